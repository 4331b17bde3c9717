import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread

from course_utils import plots
from course_utils.analysis import associations
from course_utils.plots.illustration import GROUND

WOMEN = np.repeat(np.arange(8), 4)
LABELS = np.repeat([0, 1, 0, 1], 8)
KNOWN = pd.DataFrame(
    {
        "view": ["CC", "MLO"] * 16,
        "$density_$": np.where(WOMEN % 4 < 2, "a", "b"),
        "thickness": LABELS + np.random.default_rng(0).normal(0, 0.5, 32),
    }
)


@pytest.fixture(scope="module")
def found():
    return associations(LABELS, KNOWN, groups=np.repeat(np.arange(16), 2), most=199).found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_column_has_its_mark_its_interval_and_the_reach_of_chance(found, theme):
    shown = plots.associations_beside_chance(found, theme=theme)
    (axes,) = shown.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [one.column for one in reversed(found)]
    for row, (one, bar) in enumerate(zip(reversed(found), axes.patches, strict=True)):
        assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx((one.null_low, one.null_high))
        mark, line = axes.collections[row], axes.lines[row]
        assert mark.get_offsets().tolist() == [[one.statistic, row]]
        assert line.get_xdata().tolist() == [one.low, one.high]
        is_hollow = to_hex(mark.get_facecolor()[0]) == GROUND[theme]
        assert is_hollow != one.is_more_than_chance
    assert {one.is_more_than_chance for one in found} == {True, False}
    assert imread(io.BytesIO(shown.png())).shape[2] == 4


def test_the_number_of_women_and_the_corrected_p_value_stand_beside_each_mark(found):
    figure = plots.associations_beside_chance(found).figure
    beside = [label.get_text() for label in figure.axes[0].child_axes[0].get_yticklabels()]
    assert beside == [f"16 women, p = {one.p_holm:.3f}" for one in reversed(found)]


def test_a_name_of_a_column_is_no_formula(found):
    labels = plots.associations_beside_chance(found).figure.axes[0].get_yticklabels()
    assert not any(label.get_parse_math() for label in labels)


def test_the_alternative_text_says_what_the_picture_shows(found):
    alt = plots.associations_beside_chance(found).alt
    assert alt.startswith("How far the clusters follow 3 columns: ")
    for one in found:
        assert (
            f"{one.column} {one.statistic_name} {one.statistic:.2f}, chance up to {one.null_high:.2f}" in alt
        )


def test_few_women_have_a_mark_without_an_interval():
    found = associations(LABELS, KNOWN, groups=np.repeat([0, 1, 2, 3], 8), most=99).found
    axes = plots.associations_beside_chance(found).figure.axes[0]
    assert len(axes.lines) == 0
    assert len(axes.collections) == len(found)


def test_nothing_to_compare_is_nothing_to_show():
    with pytest.raises(ValueError, match="no column could be compared"):
        plots.associations_beside_chance([])
