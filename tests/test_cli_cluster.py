"""What `course cluster` does to the vectors first: columns come off, images become women."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_runs import PNG, RECORD

from course_utils import cli
from course_utils.records import Entry, Facts
from course_utils.runs import RunFolder, women

WOMEN, N = 15, 60
DENSE = np.repeat(np.arange(WOMEN) % 3 == 0, 4)


@pytest.fixture
def write_run(tmp_path, monkeypatch):
    """Write a run of 15 women with four images each, which differ in view, then in density."""
    monkeypatch.chdir(tmp_path)

    def write(patients: list[str | None]) -> None:
        rng = np.random.default_rng(0)
        with RunFolder("out", 8) as folder:
            for i, patient in enumerate(patients):
                vector = rng.standard_normal(8)
                vector[:2] += 15 * (i % 2), 9 * DENSE[i]
                facts = Facts(
                    f"img-{i}", f"{i:064x}", patient, ["CC", "MLO"][i % 2], "LLRR"[i % 4], "none", ()
                )
                folder.add(f"{i}.dcm", Entry(facts, PNG, vector.astype(np.float32)))
            folder.finish(RECORD)

    return write


@pytest.fixture
def run(write_run):
    write_run([f"pat-{i // 4}" for i in range(N)])


def write_labels(**columns) -> None:
    pd.DataFrame(columns | {"file": [f"{i}.dcm" for i in range(N)]}).to_csv("labels.csv", index=False)


def clusters() -> tuple[pd.DataFrame, dict]:
    return pd.read_csv("out/clusters.csv"), json.loads(Path("out/clusters.json").read_text(encoding="utf-8"))


def agree(found: pd.Series, truth) -> bool:
    """Return whether two labels divide the images in the same way."""
    return len(set(zip(found, truth, strict=True))) == found.nunique() == len(set(truth))


def test_clusters_follow_the_view_until_it_is_taken_off(run, capsys):
    assert cli.main(["cluster", "out", "-k", "2"]) == 0
    table, result = clusters()
    assert agree(table["cluster"], table["view"])
    assert (result["params"]["remove"], result["params"]["per"]) == ([], "image")
    assert "Taken off" not in capsys.readouterr().out
    assert cli.main(["cluster", "out", "-k", "2", "--remove", "view"]) == 0
    table, result = clusters()
    assert agree(table["cluster"], DENSE)
    assert result["params"]["remove"] == ["view"]
    assert "Taken off the vectors: view\n" in capsys.readouterr().out


def test_women_are_clustered_by_the_mean_of_their_images_and_each_image_carries_her_cluster(run, capsys):
    assert cli.main(["cluster", "out", "-k", "2", "--per", "woman"]) == 0
    table, result = clusters()
    assert len(table) == N
    assert table.groupby("patient")["cluster"].nunique().eq(1).all()
    assert agree(table["cluster"], DENSE)
    assert result["params"]["per"] == "woman"
    said = capsys.readouterr().out
    assert "Not compared, because it varies within a woman: view, side\n" in said
    assert "2 clusters of 15 women (60 images) in " in said


def test_a_report_is_made_of_such_a_folder(run, capsys):
    assert cli.main(["cluster", "out", "-k", "2", "--per", "woman", "--remove", "view,side"]) == 0
    assert cli.main(["report", "out"]) == 0
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "belong to other embeddings" not in page
    assert "view, side" in page


def test_labels_can_be_taken_off_and_one_that_goes_with_them_is_warned_of(run, capsys):
    write_labels(
        vendor=np.where(DENSE, "x", "y"), density=np.where(DENSE, "d", "a"), tall=["a", "b"] * (N // 2)
    )
    assert cli.main(["cluster", "out", "-k", "2", "--labels", "labels.csv", "--remove", "vendor"]) == 0
    said = capsys.readouterr().out
    assert "Warning: vendor explains 100% of density: so much of density is taken off as well.\n" in said
    assert said.count("Warning: ") == 1


def test_images_that_name_no_woman_count_as_women_of_their_own_and_it_is_said_once(write_run, capsys):
    write_run([f"pat-{i // 4}" if i < N - 2 else None for i in range(N)])
    assert cli.main(["cluster", "out", "-k", "2", "--per", "woman"]) == 0
    said = capsys.readouterr().out
    assert said.count("2 images name no woman: each counts as a woman of its own\n") == 1
    assert "2 clusters of 17 women (60 images)" in said
    write_run([f"pat-{i // 4}" if i < N - 1 else None for i in range(N)])
    assert cli.main(["cluster", "out", "-k", "2"]) == 0
    assert "1 image names no woman: it counts as a woman of its own\n" in capsys.readouterr().out


def test_where_no_file_names_a_woman_there_are_none_to_cluster(write_run, capsys):
    write_run([None] * N)
    assert cli.main(["cluster", "out", "--per", "woman"]) == 2
    assert "--per woman: no file of this run says which woman it is of" in capsys.readouterr().err
    assert cli.main(["cluster", "out", "-k", "2"]) == 0
    assert "name no woman" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("site", "--remove: there is no column site; there are view, side, patient (and those of --labels)"),
        ("view,laterality", "--remove: there is no column laterality; there are view, side, patient"),
        ("view,,side", "'view,,side' is not a list of columns"),
        ("", "'' is not a list of columns"),
    ],
)
def test_a_column_that_is_not_there_is_refused_with_those_that_are(run, capsys, given, sentence):
    try:
        status = cli.main(["cluster", "out", "--remove", given])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert sentence in capsys.readouterr().err
    assert not Path("out/clusters.csv").exists()


def test_the_woman_of_an_image_is_her_pseudonym_or_the_image_itself():
    table = pd.DataFrame({"patient_key": ["a", None, "a", None]}, index=[4, 5, 6, 7])
    assert women(table).tolist() == ["a", "image 1", "a", "image 3"]
    assert women(table.iloc[[1, 3]]) is None
