import numpy as np
import pytest
from sample_figures import every_illustration

from course_utils import plots


@pytest.mark.parametrize("name", ["p values", "repeated"])
def test_every_figure_has_words_and_labelled_axes(name):
    shown = every_illustration()[name]
    assert min(len(shown.caption), len(shown.alt)) > 40
    assert all(axes.get_xlabel() for axes in shown.figure.axes)
    assert shown.figure.axes[0].get_ylabel()


def test_each_bar_holds_the_p_values_up_to_and_with_its_right_edge():
    values = np.random.default_rng(0).integers(1, 41, 300) / 40  # many lie on an edge
    axes = plots.p_value_histograms({"one": values}).figure.axes[0]
    wanted = [((values > i / 20 + 1e-9) & (values < (i + 1) / 20 + 1e-9)).sum() for i in range(20)]
    assert [bar.get_height() for bar in axes.patches] == wanted
    assert axes.lines[0].get_ydata()[0] == 15


def test_the_text_counts_what_is_at_or_below_the_level():
    shown = plots.p_value_histograms({"a": [0.05, 0.01, 0.051, 1.0], "b": [0.5, 0.6]})
    assert shown.alt.endswith("a: 2 of 4; b: 0 of 2.")
    assert [axes.get_title() for axes in shown.figure.axes] == ["a", "b"]


def test_each_step_has_its_mark_and_its_interval_in_every_set_of_women():
    values, low, high = np.array([0.2, 0.6, 0.7]), np.array([0.1, 0.5, 0.5]), np.array([0.3, 0.8, 0.9])
    cohorts = {"first": (values, low, high), "second": (values + 0.05, low, high)}
    axes = plots.steps_repeated(["x", "y", "z"], cohorts, measure="ARI").figure.axes[0]
    for line, intervals, (expected, *ends) in zip(
        axes.lines, axes.collections, cohorts.values(), strict=True
    ):
        assert line.get_ydata() == pytest.approx(expected)
        segments = np.array(intervals.get_segments())
        assert np.allclose(segments[:, :, 1].T, ends)
        assert segments[:, 0, 0] == pytest.approx(line.get_xdata())
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["first", "second"]
    assert len({line.get_marker() for line in axes.lines}) == 2  # told apart without colour


def test_a_value_below_zero_is_not_cut_off():
    axes = plots.steps_repeated(["x"], {"one": ([-0.2], [-0.3], [0.1])}, measure="ARI").figure.axes[0]
    assert axes.get_ylim()[0] < -0.3


def test_a_contact_sheet_says_what_its_pictures_are():
    assert "2 masks" in plots.contact_sheet([np.eye(4), np.eye(4)], what="masks").alt
