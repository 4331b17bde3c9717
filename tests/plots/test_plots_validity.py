from dataclasses import replace

import pytest
from sample_figures import JOINS, STABILITY, VALLEY

from course_utils import plots


def test_a_valley_is_shown_at_each_join_with_the_dip_and_the_p_value_that_were_tested():
    shown = plots.held_out_valley(VALLEY)
    titles = [axes.get_title(loc="left") for axes in shown.figure.axes]
    assert titles == [
        "clusters 0+2 | 1\na valley: dip 0.21, p < 0.001",
        "clusters 0 | 2\nno valley: dip 0.09, p = 0.800",
    ]
    for axes, join in zip(shown.figure.axes, JOINS, strict=True):
        assert sum(bar.get_height() for bar in axes.patches) == len(join.values)
        assert axes.lines[0].get_xdata().tolist() == list(join.values)
    assert "clusters 0+2 | 1: a valley, dip 0.21, p < 0.001; clusters 0 | 2: no valley" in shown.alt


def test_a_join_at_which_nobody_could_be_asked_has_no_panel():
    silent = replace(JOINS[1], p_value=1.0, dip=None, values=())
    assert len(plots.held_out_valley(replace(VALLEY, joins=(JOINS[0], silent))).figure.axes) == 1
    with pytest.raises(ValueError, match="nobody was asked"):
        plots.held_out_valley(replace(VALLEY, joins=(silent,)))


def test_at_most_six_joins_are_shown_and_the_caption_counts_the_others():
    shown = plots.held_out_valley(replace(VALLEY, joins=JOINS * 4))
    assert sum(bool(axes.get_title(loc="left")) for axes in shown.figure.axes) == 6
    assert "2 more are not shown" in shown.caption


def test_stability_is_shown_with_its_mean_beside_that_of_every_cloud():
    shown = plots.stability_beside_null(STABILITY)
    null, pairs, mean = (dots.get_offsets() for dots in shown.figure.axes[0].collections)
    assert sorted(null[:, 0]) == list(STABILITY.null)
    assert sorted(pairs[:, 0]) == list(STABILITY.agreement)
    assert mean[:, 0].tolist() == [pytest.approx(0.9)]
    assert shown.alt == "Mean agreement of subsamples 0.90; of Gaussian clouds 0.50 to 0.95."
