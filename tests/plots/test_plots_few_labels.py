import numpy as np
import pytest
from sample_figures import every_illustration

from course_utils import plots


@pytest.mark.parametrize("name", ["splits", "doses", "label curves"])
def test_every_figure_has_words_and_labelled_axes(name):
    shown = every_illustration()[name]
    assert min(len(shown.caption), len(shown.alt)) > 40
    assert all(axes.get_xlabel() for axes in shown.figure.axes)


def test_both_splits_are_drawn_where_their_means_are_and_told():
    shown = plots.two_splits(
        {"coin": ([0.5, 0.52], [0.6, 0.7]), "side": ([0.5], [0.4])}, {"coin": 0.5, "side": 0.5}
    )
    assert "coin 0.51 and 0.65, chance 0.50; side 0.50 and 0.40" in shown.alt
    axes = shown.figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["coin", "side"]
    means = [points.get_offsets()[0, 0] for points in axes.collections[1::2]]
    assert means == pytest.approx([0.51, 0.65, 0.5, 0.4])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "women kept together",
        "images shuffled",
        "chance",
    ]


def test_each_dose_has_both_answers():
    doses = (0.5, 0.8, 1.0)
    shown = plots.shortcut_doses(doses, {"vendor": ([0.7, 0.8, 0.9], [0.7, 0.4, 0.1])})
    same, turned = (line for line in shown.figure.axes[0].lines if len(line.get_xdata()) == 3)
    assert same.get_xydata() == pytest.approx(np.column_stack([[0, 1, 2], [0.7, 0.8, 0.9]]))
    assert turned.get_ydata() == pytest.approx([0.7, 0.4, 0.1])
    assert [label.get_text() for label in shown.figure.axes[0].get_xticklabels()] == ["50%", "80%", "100%"]
    assert "(50%, 80%, 100%)" in shown.alt
    assert "the bias reversed: 0.70, 0.40, 0.10" in shown.alt
    assert "vendor" in shown.figure.axes[0].get_title()


def test_a_label_curve_shows_mean_and_standard_deviation_of_the_repeats():
    values = np.array([[0.5, 0.7], [0.6, 0.8], [0.7, 0.9]])
    shown = plots.label_curves({"plain": ((5, 20), values)}, 0.25)
    assert "plain 0.60 from 5, 0.80 from 20" in shown.alt
    axes = shown.figure.axes[0]
    bars = axes.containers[0]
    assert bars[0].get_xydata() == pytest.approx(np.array([[5, 0.6], [20, 0.8]]))
    ends = bars[2][0].get_segments()[0][:, 1]
    assert np.ptp(ends) == pytest.approx(2 * np.std([0.5, 0.6, 0.7], ddof=1))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["5", "20"]
