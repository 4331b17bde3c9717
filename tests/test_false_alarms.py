"""The short form of `make bench-verdicts`: the families that deceive most, in few seeds, and the cohort."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import false_alarms  # noqa: E402
from false_alarms import COHORT_KS, FAMILIES, Claims, Results  # noqa: E402

HARDEST = (
    "women alike, correlation 0.8",
    "elliptic t, 3 degrees of freedom",
    "lognormal",
    "ten factors, rectified",
    "along a line",
    "along an arc",
    "two women far out",
)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("name", HARDEST)
def test_nobody_claims_clusters_where_there_are_none(name, k):
    found = [false_alarms.claims(name, seed, k).valley for seed in range(100, 104)]
    assert sum(found) <= 1


@pytest.mark.parametrize("k", COHORT_KS)
def test_the_views_of_the_cohort_are_found_in_every_seed(k):
    assert [false_alarms.view_found(seed, k) for seed in (100, 101)] == [(True, False)] * 2


def test_a_silhouette_takes_women_that_are_alike_for_clusters_unless_its_clouds_are_so_too():
    name = "women alike, correlation 0.8"
    found = [false_alarms.claims(name, seed, 2, silhouettes=True) for seed in range(6)]
    assert sum(one.silhouette for one in found) >= 3
    assert sum(one.by_woman for one in found) <= 1


def test_the_page_counts_what_was_claimed_and_says_whether_the_aim_was_missed():
    none, one = Claims(False, True, False), Claims(True, True, True)
    alarms = {(name, k): [none] * 10 for name in FAMILIES for k in false_alarms.KS}
    found = {k: [(True, False)] * 10 for k in COHORT_KS}
    fewer = {key: [(False, True), (True, False)] for key in false_alarms.FEWER}
    others = {key: [none, one] for key in false_alarms.METHODS}
    views = {key: [(True, False)] * 3 for key in false_alarms.METHODS}
    text = false_alarms.page(Results(alarms, others, found, fewer, views), 10, 60.0)
    assert "| along an arc | 0 | 0 | 10 | 10 | 0 | 0 |" in text
    assert "the worst family has 0%: kept" in text
    assert "| 60 | 6 | 10 | 0 |\n| 40 | 2 | 1 | 1 |" in text
    assert "| gmm | 1 of 2 | 3 of 3 |" in text
    assert "**missed**" not in text
    alarms["along an arc", 2] = [one] * 2 + [none] * 8
    found[3] = [(True, False)] * 9 + [(False, False)]
    text = false_alarms.page(Results(alarms, others, found, fewer, views), 10, 60.0)
    assert "the worst family has 20%: **missed**" in text
    assert "The aim is 10 of 10 with all women: **missed**" in text
