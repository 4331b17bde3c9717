import numpy as np

from course_utils.plots.findings import what_readers_look_for

BREAST = np.full((400, 320), 0.35, np.float32)


def painted(number):
    return what_readers_look_for(BREAST).figure.axes[number]


def test_four_findings_each_have_a_name_a_picture_and_an_outline():
    axes = what_readers_look_for(BREAST).figure.axes
    names = ["mass", "calcifications", "architectural distortion", "asymmetry"]
    assert [each.get_title() for each in axes] == names
    for each in axes:
        (outline,) = each.patches
        column, row = outline.center
        height, width = each.images[0].get_array().shape
        assert outline.width / 2 < column < width - outline.width / 2
        assert outline.height / 2 < row < height - outline.height / 2


def test_what_is_painted_lies_within_its_outline():
    for each in what_readers_look_for(BREAST).figure.axes:
        pixels, (outline,) = np.asarray(each.images[0].get_array()), each.patches
        rows, columns = np.indices(pixels.shape)
        across, down = 2 * (columns - outline.center[0]), 2 * (rows - outline.center[1])
        inside = (across / outline.width) ** 2 + (down / outline.height) ** 2 < 1.1
        added = np.abs(pixels - 0.35)
        assert added[inside].max() > 0.1
        assert added[inside].sum() > 0.95 * added.sum()


def test_the_right_breast_is_the_left_ones_mirror_image_but_for_the_asymmetry():
    both = np.asarray(painted(3).images[0].get_array())
    right, left = np.hsplit(both, 2)
    assert (right == 0.35).all()
    assert left.max() > 0.5


def test_the_picture_that_goes_in_is_not_painted_on_and_gives_the_same_bytes_again():
    first = what_readers_look_for(BREAST)
    assert np.ptp(BREAST) == 0
    assert first.png() == what_readers_look_for(BREAST).png()
    assert len(first.alt) > 40
    assert len(first.caption) > 40
