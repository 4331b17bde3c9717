import numpy as np
from sample_figures import every_illustration

from course_utils import plots

POINTS = np.array([[0.0, 0.0], [2.0, 1.0], [4.0, 0.0], [1.0, 1.0]])


def width(axes):
    return np.diff(axes.get_xlim()).item()


def test_each_panel_has_its_title_and_the_categories_one_legend():
    panels = every_illustration()["maps"].figure.axes
    assert [axes.get_title() for axes in panels] == ["one", "other"]
    assert panels[0].get_legend() is None
    names = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert names == ["CC", "MLO", "not stated"]


def test_panels_have_the_same_scale_only_if_asked():
    maps = {"near": POINTS, "far": 5 * POINTS}
    own = plots.several_maps(maps, caption="").figure.axes
    shared = plots.several_maps(maps, caption="", same_scale=True).figure.axes
    assert 4.9 < width(own[1]) / width(own[0]) < 5.1
    assert width(shared[1]) == width(shared[0]) > 20


def test_no_point_lies_outside_and_all_are_there():
    for axes in plots.several_maps({"a": POINTS, "b": 5 * POINTS}, "xyxy", caption="").figure.axes:
        drawn = np.vstack([each.get_offsets() for each in axes.collections])
        assert len(drawn) == 4
        assert (drawn.min(axis=0) > [axes.get_xlim()[0], axes.get_ylim()[0]]).all()
        assert (drawn.max(axis=0) < [axes.get_xlim()[1], axes.get_ylim()[1]]).all()


def test_panels_that_are_left_over_are_empty():
    figure = plots.several_maps(dict.fromkeys("abc", POINTS), caption="", columns=2).figure
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]
