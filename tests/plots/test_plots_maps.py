import numpy as np
from sample_figures import PICTURES, TRUTH, VECTORS, every_illustration

from course_utils import plots
from course_utils.analysis import reduce


def test_a_category_has_a_colour_and_a_marker_of_its_own_and_missing_ones_are_named():
    axes = every_illustration()["map"].figure.axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["CC (6)", "MLO (6)", "not stated (6)"]
    colours = {tuple(each.get_facecolor()[0]) for each in axes.collections}
    shapes = {each.get_paths()[0].vertices.tobytes() for each in axes.collections}
    assert len(colours) == len(shapes) == 3


def test_points_stand_where_the_coordinates_say():
    points = reduce(VECTORS)
    axes = plots.map_scatter(points, TRUTH.tolist()).figure.axes[0]
    drawn = np.vstack([each.get_offsets() for each in axes.collections])
    np.testing.assert_allclose(drawn, points, atol=1e-6)
    assert axes.get_xlabel() == "principal component 1"
    assert (
        every_illustration()["map"].figure.axes[0].get_xlabel() == "principal component 1 (40% of variance)"
    )


def test_more_than_eight_categories_become_seven_and_others():
    labels = plots.tidy_categories([*"aaabbbcccdddeeefffggg", "h", "i"])
    assert set(labels) == {*"abcdefg", "others"}


def test_a_measurement_becomes_its_four_quarters_and_the_numbers_of_clusters_stay():
    ages = [*range(40, 80), None]
    labels = plots.tidy_categories(ages)
    assert plots.in_order(labels) == ["40 to 49", "50 to 59", "60 to 69", "70 to 79", plots.MISSING]
    assert labels[0] == labels[9] == "40 to 49"
    assert labels[10] == "50 to 59"
    assert plots.in_order(plots.tidy_categories([0.5 * i - 9.5 for i in range(12)])) == [
        *("-9.5 to -8.5", "-8 to -7", "-6.5 to -5.5", "-5 to -4")
    ]
    assert plots.tidy_categories([*range(10), 0, 1])[0] == "0"
    assert plots.in_order(["1st to 2nd", "10", "9"]) == ["9", "10", "1st to 2nd"]


def test_pictures_on_a_map_never_hide_one_another():
    close = np.concatenate([np.zeros((10, 2)), np.ones((8, 2))])
    shown = plots.map_pictures(close, PICTURES)
    assert len(shown.figure.axes[0].artists) == 2
    assert "16 that would hide others are dots" in shown.caption
