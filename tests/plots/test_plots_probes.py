import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from course_utils import plots
from course_utils.analysis.probing import probe
from course_utils.plots.illustration import INK
from course_utils.plots.probes import LOWEST

WOMAN = np.repeat(np.arange(24), 2)
CLASSES = np.array(["$a_1$", "b", "c"])[WOMAN % 3]
RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((48, 6)) + 1.5 * np.eye(6)[WOMAN % 3]
BASELINES = {"mean gray": RNG.random(48), "$truth_$": (WOMAN % 3).astype(float)}


def ask(y, **options):
    beside = {"baselines": BASELINES, "splits": 3, "repeats": 2, "permutations": 0} | options
    return probe(VECTORS, y, groups=WOMAN, **beside)


@pytest.fixture(scope="module")
def of_classes():
    return ask(pd.Series(CLASSES, name="density"), ordered=True)


@pytest.fixture(scope="module")
def of_numbers():
    return ask(pd.Series(VECTORS[:, 4] + 0.01 * WOMAN, name="thickness"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_vectors_and_baselines_stand_one_below_the_other_with_intervals_and_chance(of_classes, theme):
    shown = plots.scores_beside(of_classes, theme=theme)
    (axes,) = shown.figure.axes
    scores = [of_classes.score, *(one.scores["balanced_accuracy"] for one in of_classes.baselines.values())]
    chance, *lines = axes.lines
    assert chance.get_xdata() == [1 / 3, 1 / 3]
    for row, score in enumerate(scores):
        interval, mark = lines[2 * row : 2 * row + 2]
        assert list(interval.get_xdata()) == [score.low, score.high]
        assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([score.value], [row])
    assert [each.get_text() for each in axes.get_yticklabels()] == ["the vectors", "mean gray", "$truth_$"]
    assert not any(each.get_parse_math() for each in axes.get_yticklabels())
    bottom, top = axes.get_ylim()
    assert bottom > top  # the vectors are on top
    beside = [each.get_text() for each in axes.child_axes[0].get_yticklabels()]
    assert beside == [
        f"{scores[0].value:.2f}",
        f"{scores[1].value:.2f}, vectors better",
        f"{scores[2].value:.2f}, vectors worse",
    ]
    assert imread(io.BytesIO(shown.png())).shape[2] == 4


def test_what_is_said_beside_a_baseline_is_what_the_sentence_says(of_classes):
    even = replace(
        of_classes.baselines["mean gray"], difference=replace(of_classes.score, low=-0.1, high=0.1)
    )
    found = replace(of_classes, baselines={"mean gray": even})
    axes = plots.scores_beside(found).figure.axes[0]
    assert axes.child_axes[0].get_yticklabels()[1].get_text().endswith(", no difference shown")
    assert "No difference from mean gray was shown." in found.sentence


def test_the_alternative_text_says_what_the_picture_shows(of_classes):
    score = of_classes.score
    assert plots.scores_beside(of_classes).alt.startswith(
        f"Balanced accuracy for density, chance 0.33: the vectors {score.value:.2f} ({score.low:.2f} to "
        f"{score.high:.2f}); mean gray "
    )


def test_a_number_has_its_r2_and_what_lies_far_below_is_drawn_at_the_edge(of_numbers):
    far = replace(of_numbers.score, value=-7.0, low=-9.0, high=-3.0)
    low = replace(of_numbers.baselines["mean gray"], scores={"r2": far})
    found = replace(of_numbers, baselines={"mean gray": low})
    shown = plots.scores_beside(found)
    (axes,) = shown.figure.axes
    assert axes.get_xlim()[0] == pytest.approx(LOWEST - 0.03)
    assert axes.lines[-1].get_xdata() == [LOWEST]
    assert "What lies below -1 is drawn there." in shown.caption
    assert "mean gray -7.00 (-9.00 to -3.00)" in shown.alt
    assert axes.get_xlabel().startswith("R² of women not in training")
    assert "drawn there" not in plots.scores_beside(of_numbers).caption


def test_few_women_have_marks_without_intervals(of_classes):
    few = replace(of_classes, scores={"balanced_accuracy": replace(of_classes.score, low=None, high=None)})
    shown = plots.scores_beside(replace(few, baselines={}))
    assert len(shown.figure.axes[0].lines) == 2  # chance and the mark
    assert "too few women for an interval" in shown.caption
    assert "difference" not in shown.caption


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_confusion_matrix_has_true_classes_in_rows_and_numbers_that_can_be_read(of_classes, theme):
    shown = plots.confusion(of_classes, theme=theme)
    (axes,) = shown.figure.axes
    counts = np.array(of_classes.confusion)
    written = np.array([float(each.get_text()) for each in axes.texts]).reshape(3, 3)
    np.testing.assert_allclose(written, counts, atol=0.051)
    for text, (row, column) in zip(axes.texts, np.ndindex(3, 3), strict=True):
        assert text.get_position() == (column, row)
        assert text.get_color() in INK.values()
    np.testing.assert_allclose(axes.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))
    assert axes.get_ylabel() == "density as it is"
    assert axes.get_xlabel() == "density as predicted"
    assert [each.get_text() for each in axes.get_yticklabels()] == list(of_classes.levels)
    assert "by one class" in shown.caption
    assert f"$a_1$ {counts[0, 0]:.1f}".removesuffix(".0") in shown.alt


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_number_in_a_cell_stands_out_from_its_shade(of_classes, theme):
    (axes,) = plots.confusion(of_classes, theme=theme).figure.axes
    shades, (image,) = np.array(axes.images[0].get_array()), axes.images
    for text, share in zip(axes.texts, shades.ravel(), strict=True):
        ground, ink = (np.mean(to_rgb(colour)) for colour in (image.to_rgba(share)[:3], text.get_color()))
        assert abs(ground - ink) > 0.3


def test_twenty_classes_are_drawn_without_numbers(of_classes):
    many = {f"class {i}": 5 for i in range(20)}
    shown = plots.confusion(replace(of_classes, levels=many, confusion=tuple(map(tuple, 5 * np.eye(20)))))
    assert len(shown.figure.axes[0].texts) == 0
    assert shown.alt.endswith("class 11 5 of 5, and 8 more classes.")
    assert max(shown.figure.get_size_inches()) < 9


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_reliability_curve_has_a_point_for_each_bin_with_its_number_of_images(of_classes, theme):
    shown = plots.reliability(of_classes, theme=theme)
    (axes,) = shown.figure.axes
    curve = np.array(of_classes.reliability)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), curve[:, :2])
    assert [float(each.get_text()) for each in axes.texts] == pytest.approx(curve[:, 2], abs=0.051)
    assert of_classes.scores["calibration_error"].words in shown.caption
    assert f"{curve[-1, 0]:.2f} confident, {curve[-1, 1]:.2f} right." in shown.alt


@pytest.mark.parametrize("draw", [plots.confusion, plots.reliability])
def test_a_number_has_no_classes_to_show(of_numbers, draw):
    with pytest.raises(ValueError, match="thickness is a number"):
        draw(of_numbers)


@pytest.mark.parametrize("draw", [plots.scores_beside, plots.confusion, plots.reliability])
def test_a_caption_may_be_given_and_the_same_probe_gives_the_same_bytes(of_classes, draw):
    shown = draw(of_classes, caption="Look here.")
    assert shown.caption == "Look here."
    assert shown.png() == draw(of_classes).png()
