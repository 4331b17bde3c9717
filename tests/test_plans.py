"""What was decided before looking, and what is claimed afterwards: refused, kept, and read back."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from course_utils.imaging.datasets import sample_run
from course_utils.runs import (
    Claim,
    Extraction,
    Plan,
    RunError,
    read_claims,
    read_plan,
    write_claims,
    write_clusters,
    write_plan,
    write_probe,
)

PLAN = Plan(
    question="Do the clusters follow density?",
    finding="p at most 0.05",
    method="kmeans",
    k=3,
    seed=7,
    outcome="density",
    threshold=0.05,
    confounders=("view", "vendor"),
    controls=("mean gray",),
    remove=("view",),
)


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(sample_run(), tmp_path / "run")
    return tmp_path / "run"


def clustered(folder):
    run = Extraction.read(folder)
    labels = np.arange(len(run.vectors)) % 2
    write_clusters(folder, run, labels, run.table[["view"]], {"method": "kmeans", "params": {}})
    return json.loads((folder / "clusters.json").read_text())


def test_a_plan_is_read_as_it_was_written_and_says_when(folder):
    path = write_plan(folder, PLAN)
    found = read_plan(folder)
    assert path == folder / "plan.json"
    assert replace(found, written="") == PLAN
    assert found.written.endswith("+00:00")


def test_a_plan_names_the_embeddings_that_it_was_made_for(folder):
    write_plan(folder, PLAN)
    vectors = Extraction.read(folder).vectors
    stored = json.loads((folder / "plan.json").read_text())
    assert stored["embeddings_sha256"] == hashlib.sha256(vectors.tobytes()).hexdigest()


def test_clusters_and_probes_keep_the_hash_of_the_plan_that_came_first(folder):
    assert "plan_sha256" not in clustered(folder)
    (folder / "clusters.json").unlink()
    write_plan(folder, PLAN)
    expected = hashlib.sha256((folder / "plan.json").read_bytes()).hexdigest()
    assert clustered(folder)["plan_sha256"] == expected
    probe = write_probe(folder, Extraction.read(folder), "density", {})
    assert json.loads(probe.read_text())["plan_sha256"] == expected


@pytest.mark.parametrize("result", ["clusters.json", "probe_density.json"])
def test_a_plan_written_after_a_result_is_refused(folder, result):
    (folder / result).write_text("{}")
    with pytest.raises(RunError, match="analysed already, and a plan written afterwards is none"):
        write_plan(folder, PLAN)
    assert not (folder / "plan.json").exists()


def test_the_same_plan_again_changes_nothing_even_after_the_analysis_and_another_is_refused(folder):
    before = write_plan(folder, PLAN).read_bytes()
    clustered(folder)
    assert write_plan(folder, PLAN).read_bytes() == before
    with pytest.raises(RunError, match="another plan already"):
        write_plan(folder, replace(PLAN, k=4))
    assert (folder / "plan.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"question": " "}, "its question is empty"),
        ({"finding": ""}, "its finding is empty"),
        ({"method": "dbscan"}, "it is one of kmeans, gmm, ward, hdbscan"),
        ({"k": 1}, "whole number from 2"),
        ({"k": True}, "whole number from 2"),
        ({"method": "hdbscan"}, "hdbscan finds the number of clusters itself"),
        ({"seed": -1}, "whole number from 0"),
        ({"threshold": float("nan")}, "it is a number, or None"),
        ({"threshold": True}, "it is a number, or None"),
        ({"threshold": 10**400}, "it is a number, or None"),
        ({"confounders": "view"}, "a tuple of names"),
        ({"confounders": ("view", "patient_name")}, "identified people"),
        ({"outcome": "date_of_birth"}, "identified people"),
        ({"per": "breast"}, "it is image or woman"),
    ],
)
def test_what_cannot_be_run_is_no_plan(folder, change, says):
    with pytest.raises(RunError, match=says):
        write_plan(folder, replace(PLAN, **change))
    assert not (folder / "plan.json").exists()


def test_without_a_run_there_is_nothing_to_plan_for(tmp_path):
    with pytest.raises(RunError, match="holds no embeddings") as error:
        write_plan(tmp_path, PLAN)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"question": "Why?"}', '{"written": 3}', "\xff"])
def test_a_damaged_plan_is_one_sentence_without_a_path(folder, content):
    (folder / "plan.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match="changed by hand or is damaged") as error:
        read_plan(folder)
    assert str(folder) not in str(error.value)


def test_claims_are_read_as_they_were_written_and_written_anew_as_often_as_one_likes(folder):
    assert read_claims(folder) is None
    claims = (Claim("Clusters follow density.", "association", "density"), Claim("Nothing else.", "none"))
    assert write_claims(folder, claims).name == "claims.json"
    assert read_claims(folder) == claims
    write_claims(folder, claims[1:])
    assert read_claims(folder) == claims[1:]


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        (Claim("", "none"), "claim 2: it says nothing"),
        (Claim("It works.", "proof"), "it is one of none, association, clusters, prediction"),
        (Claim("It can be read.", "prediction"), "which column is it about"),
        (Claim("They follow it.", "association", "PatientName"), "identified people"),
    ],
)
def test_what_says_nothing_is_no_claim(folder, claim, says):
    with pytest.raises(RunError, match=says):
        write_claims(folder, [Claim("Nothing.", "none"), claim])
    assert not (folder / "claims.json").exists()
