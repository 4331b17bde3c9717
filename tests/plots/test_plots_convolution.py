import numpy as np
import pytest
from sample_figures import PICTURES, RNG
from scipy.signal import correlate2d

from course_utils import plots


def test_the_window_s_sum_is_what_scipy_correlates_at_that_place():
    picture, kernel = RNG.random((9, 11)), RNG.standard_normal((3, 3))
    expected = correlate2d(picture, kernel, mode="valid")
    shown = plots.convolution_window(picture, kernel, 4, 6)
    window, _, products, _, sums, bar = shown.figure.axes
    assert np.allclose(sums.images[0].get_array(), expected)
    assert np.allclose(window.images[0].get_array(), picture[4:7, 6:9])
    assert np.isclose(products.images[0].get_array().sum(), expected[4, 6])
    assert f"{expected[4, 6]:+.2f}" in shown.figure.texts[-1].get_text()
    assert np.allclose(bar.get_ylim(), [-np.abs(expected).max(), np.abs(expected).max()])
    assert f"{expected[4, 6]:+.2f}" in shown.alt


def test_a_window_beyond_the_last_place_is_the_last():
    shown = plots.convolution_window(np.eye(8), np.ones((3, 3)), 40, 40)
    assert "row 5, column 5" in shown.alt


@pytest.mark.parametrize("centre", [None, (20.0, 4.0)])
def test_receptive_fields_are_squares_about_one_place(centre):
    axes = plots.receptive_fields(PICTURES[0], {"stem": 10, "stage 1": 60}, centre=centre).figure.axes[0]
    row, column = centre or (16, 16)
    squares = [patch.get_bbox() for patch in axes.patches if patch.get_label() in ("stem: 10", "stage 1: 60")]
    assert [box.width for box in squares] == [box.height for box in squares] == [10, 60]
    assert all((box.x0 + box.x1) / 2 == column and (box.y0 + box.y1) / 2 == row for box in squares)
    assert axes.get_xlim()[0] < column - 30 < column + 30 < axes.get_xlim()[1]
    assert axes.get_ylim()[1] < row - 30 < row + 30 < axes.get_ylim()[0]
