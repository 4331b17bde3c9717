"""The snippets of docs/vectors.md do what the page says."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pages import snippets

from course_utils.imaging.datasets import sample_run

PAGE = Path(__file__).resolve().parents[1] / "docs" / "vectors.md"
SNIPPETS = snippets(PAGE)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run some of the snippets, in order, beside a run folder; return the names they leave."""
    shutil.copytree(sample_run(), tmp_path / "results" / "mine")
    monkeypatch.chdir(tmp_path)

    def follow(*numbers):
        names = {}
        for number in (0, *numbers):
            exec(SNIPPETS[number], names)
        return names

    return follow


def test_there_is_a_snippet_for_each_way_and_none_is_longer_than_seven_lines():
    assert len(SNIPPETS) == 5
    assert max(len(snippet.strip().splitlines()) for snippet in SNIPPETS) <= 7


def test_a_woman_and_a_breast_have_the_mean_of_their_images(run):
    found = run(1)
    vectors, table = found["vectors"], found["table"]
    assert found["women"].shape == (60, 1280)
    assert found["breasts"].shape == (120, 1280)
    hers = table["patient_key"] == table["patient_key"].iloc[7]
    assert found["women"][found["row_of"][7]] == pytest.approx(vectors[hers].mean(axis=0), rel=1e-4)
    name = found["names"][3]
    assert found["breasts"][3] == pytest.approx(vectors[found["breast"] == name].mean(axis=0), rel=1e-4)


def test_numpy_gives_back_what_was_saved_without_a_pickle(run):
    found = run(2)
    back = found["back"]
    assert np.array_equal(back["vectors"], found["vectors"])
    assert back["view"].tolist() == found["table"]["view"].tolist()
    assert set(back.files) == {"vectors", "image_id", "patient_key", "view", "laterality"}


def test_anndata_gives_back_what_was_saved(run):
    pytest.importorskip("anndata")
    found = run(3)
    assert np.array_equal(found["again"].X, found["vectors"])
    assert found["again"].obs["view"].tolist() == found["table"]["view"].tolist()


def test_scikit_learn_reads_the_view_of_women_whom_it_has_not_seen(run):
    assert run(4)["scores"].min() > 0.95
