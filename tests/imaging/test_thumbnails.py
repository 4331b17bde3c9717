"""What is simpler than a network, from the pictures that it saw."""

import cv2
import numpy as np
import pytest

from course_utils.imaging.thumbnails import read_pictures


def test_mean_gray_and_histogram_are_of_what_is_not_black():
    pixels = np.zeros((32, 32), np.uint8)
    pixels[:, :4], pixels[:, 4:6] = 255, 7
    png = cv2.imencode(".png", pixels)[1].tobytes()
    found = read_pictures([png, b"", b"no picture", cv2.imencode(".png", pixels * 0)[1].tobytes()])
    assert found.pixels == 32
    assert found.mean_gray[0] == pytest.approx((4 * 255 + 2 * 7) / 6 / 255)
    assert found.histogram[0] == pytest.approx(np.histogram(pixels[pixels > 0], 32, (0, 256))[0] / (6 * 32))
    assert found.small[0] == pytest.approx(pixels)
    assert np.isnan(found.mean_gray[1:]).all()
    assert np.isnan(found.histogram[1:]).all()
    assert read_pictures([b"", b"x"]) is None
