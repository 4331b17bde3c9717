"""What lesson 10 says holds on the cohorts that ship, and on women drawn afresh."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from lesson_10_claims import CLAIMS, measure, unmet

from course_utils.imaging.datasets import sample_run
from course_utils.runs import Extraction

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import vector_cohort


def found_on(cohort, tries):
    extraction = Extraction.read(sample_run(cohort))
    truth = pd.read_csv(sample_run(cohort) / "manifest.csv")
    return measure(extraction.vectors, extraction.thumbnails, truth, tries)


def test_every_claim_of_lesson_10_holds_on_the_women_of_lesson_08_in_a_few_tries():
    """On women other than the lesson's, whose own numbers are in its outputs."""
    found = found_on("discovery", tries=4)
    assert unmet(found) == [], found


@pytest.mark.slow
@pytest.mark.parametrize("cohort", ["discovery", "replication"])
def test_every_claim_of_lesson_10_holds_on_the_women_that_ship(cohort):
    found = found_on(cohort, tries=10)
    assert unmet(found) == [], found


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_every_claim_of_lesson_10_holds_on_women_drawn_afresh(seed, tmp_path):
    truth = vector_cohort.draw(tmp_path, 60, seed)
    extraction = vector_cohort.embed([tmp_path / file for file in truth["file"]])
    assert extraction.table["sha256"].tolist() == truth["sha256"].tolist()
    found = measure(extraction.vectors, extraction.thumbnails, truth)
    assert unmet(found) == [], found


def test_no_claim_holds_whatever_is_measured():
    """Each must fail on some numbers, or it would say nothing."""
    names = set()

    class Asked(dict):
        def __missing__(self, name):
            names.add(name)
            return 0.5

    always = Asked()
    failed = unmet(always)
    low = dict.fromkeys(names, 0.0) | {"width over images": 1.0, "gain": 9.0, "side nearest by image": 1.0}
    low |= {"vendor at 1.0, reversed": 1.0, "vendor at 0.8, reversed": 1.0, "coin components before": 1.0}
    assert set(failed) | set(unmet(low)) == set(CLAIMS)
