"""The figure of lesson 12's planning: every study has its place in it, and its words say what it shows."""

import numpy as np
import pytest

from course_utils.plots.planning import studies_expected

FOUND = np.array([0.42, 0.55, 0.7, 1.0, 1.0])
CHANCE = np.array([-0.12, -0.01, 0.0, 0.06, 0.3])


def heights(axes):
    return sum(bar.get_height() for bar in axes.patches)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_study_is_lost_not_even_one_that_finds_everything(theme):
    shown = studies_expected({"12 women": (FOUND, CHANCE), "24": (FOUND, CHANCE)}, measure="ARI", theme=theme)
    assert [heights(axes) for axes in shown.figure.axes] == [10, 10]
    at_one = [bar for bar in shown.figure.axes[0].patches if bar.get_x() == pytest.approx(1)]
    assert max(bar.get_height() for bar in at_one) == 2
    assert {axes.get_xlabel() for axes in shown.figure.axes} == {"ARI"}
    assert shown.figure.axes[0].get_ylabel() == "studies"


def test_the_words_say_between_what_values_the_studies_lie():
    shown = studies_expected({"12 women": (FOUND, CHANCE)}, measure="ARI")
    assert "12 women: 0.42 to 1.00, dealt out anew -0.12 to 0.30" in shown.alt
    assert "Dashed" not in shown.caption


def test_a_bar_that_counts_as_a_finding_is_drawn_and_told():
    shown = studies_expected({"12 women": (FOUND, CHANCE)}, measure="ARI", threshold=0.3)
    (line,) = shown.figure.axes[0].lines
    assert set(line.get_xdata()) == {0.3}
    assert "Dashed" in shown.caption


def test_the_same_studies_give_the_same_bytes():
    studies = {"12 women": (FOUND, CHANCE)}
    assert studies_expected(studies, measure="ARI").png() == studies_expected(studies, measure="ARI").png()
