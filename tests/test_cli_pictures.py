"""Pictures without headers through the command line: embedded, exported, and joined with clinical tables."""

import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from course_utils import cli
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import sample_cohort
from course_utils.imaging.export import export
from course_utils.imaging.identity import patient_key
from course_utils.imaging.keys import key_of
from course_utils.runs import Extraction

SMALL = ["--size", "224", "--workers", "0"]


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Write two DICOM files, one picture, one damaged picture, and what is neither; work beside them."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "archive"
    (folder / "film").mkdir(parents=True)
    samples = sample_cohort()
    for path in samples["path"][:2]:
        shutil.copy(path, folder)
    gray = np.rint(read_mammogram(samples["path"][2]).pixels * 255).astype(np.uint8)
    assert cv2.imwrite(str(folder / "film" / "mdb.pgm"), gray)
    (folder / "film" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    for name in ("notes.csv", "more.csv", "old.dcm.gz", "all.zip", "README"):
        (folder / name).write_bytes(b"neither")
    return folder


def table(**columns):
    pd.DataFrame(columns).to_csv("table.csv", index=False)
    return "table.csv"


def test_embed_takes_pictures_and_says_what_it_passes_over(archive, capsys):
    assert cli.main(["embed", "archive", "-o", "out", *SMALL]) == 0
    heard = capsys.readouterr()
    assert "skipped: 2 .csv, 1 " in heard.out
    for kind in ("1 .dcm.gz", "1 .zip", "1 without a suffix"):
        assert kind in heard.out
    assert "has to be unpacked first" in heard.out
    got = Extraction.read("out")
    assert got.table["kind"].tolist() == ["ffdm", "ffdm", "picture"]
    assert got.table["file"].tolist()[-1] == "film/mdb.pgm"
    assert got.failures["file"].tolist() == ["film/broken.png"]


def test_a_table_says_whose_a_picture_is_and_its_numbers_stay_secret(archive, capsys):
    file = table(
        file=["film/mdb.pgm", "elsewhere.png"],
        view=["mlo", "CC"],
        side=["left", "R"],
        patient=["NHS-4711", "NHS-4712"],
    )
    assert cli.main(["embed", "archive", "-o", "out", "--table", file, *SMALL]) == 0
    assert "something of 1 of 4 files" in capsys.readouterr().out
    row = Extraction.read("out").table.iloc[-1]
    expected = patient_key("NHS-4711", key_of(archive.parent / "results" / "embeddings"))
    assert (row["view"], row["laterality"], row["patient_key"]) == ("MLO", "L", expected)
    written = b"".join(path.read_bytes() for path in archive.parent.rglob("out/*") if path.is_file())
    assert b"NHS-4711" not in written
    # Another table, and the same store: what is stored is what the files say, and no table.
    file = table(file=["film/mdb.pgm"], laterality=["R"])
    assert cli.main(["embed", "archive", "-o", "again", "--table", file, *SMALL]) == 0
    row = Extraction.read("again").table.iloc[-1]
    assert row[["view", "laterality", "patient_key"]].isna().tolist() == [True, False, True]
    assert row["laterality"] == "R"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"view": ["CC"]}, "needs a column file"),
        ({"file": ["a"], "age": ["3"]}, "needs a column file, and one of view"),
        ({"file": ["film/mdb.pgm"], "view": ["top"]}, "row 2 of table.csv has a view that there is not"),
        ({"file": ["film/mdb.pgm"], "laterality": ["X"]}, "neither L nor R"),
        ({"file": ["film/mdb.pgm"], "laterality": ["L"], "side": ["R"]}, "both a column laterality and"),
        (
            {"file": ["film/mdb.pgm"] * 2, "view": ["CC"] * 2},
            "row 3 of table.csv names a file for the second",
        ),
        ({"file": ["nothing.png"], "view": ["CC"]}, "names none of the files"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_anything_is_computed(archive, capsys, columns, sentence):
    assert cli.main(["embed", "archive", "-o", "out", "--table", table(**columns), *SMALL]) == 2
    assert sentence in capsys.readouterr().err
    assert not (archive.parent / "out" / "embeddings.parquet").exists()


@pytest.mark.parametrize("form", ["png16", "tiff16", "npy"])
def test_preprocess_writes_what_the_network_would_see(archive, capsys, form):
    command = ["preprocess", "archive", "-o", "seen", "--format", form, "--mask", *SMALL]
    assert cli.main(command) == 0
    assert "4 files: 3 written, 1 failed" in capsys.readouterr().out
    listed = pd.read_csv("seen/pictures.csv", keep_default_na=False)
    assert listed["file"].tolist() == [*sorted(path.name for path in archive.glob("*.dcm")), "film/mdb.pgm"]
    for row in listed.itertuples():
        wanted, inside = Preprocessor(size=224).with_mask(read_mammogram(archive / row.file))
        place = archive.parent / "seen" / row.picture
        got = np.load(place) if form == "npy" else cv2.imread(str(place), cv2.IMREAD_UNCHANGED) / 65535
        assert np.abs(got - wanted[0]).max() <= 1 / 65535
        mask = cv2.imread(str(place.with_name(f"{place.stem}_mask.png")), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask, inside[0] * 255)
        assert not got[~inside[0]].any()
    record = json.loads((archive.parent / "seen" / "run.json").read_text())
    assert record["counts"] == {"found": 4, "written": 3, "failed": 1}
    assert "research use only" in record["disclaimer"]
    failures = pd.read_csv("seen/failures.csv")
    assert failures[["file", "stage"]].to_numpy().tolist() == [["film/broken.png", "read"]]


def test_results_that_lie_in_the_input_are_no_input(archive, capsys):
    command = ["preprocess", "archive", "-o", "archive/seen", "--cache", "archive/store", *SMALL]
    said = []
    for _ in range(2):
        assert cli.main(command) == 0
        said.append(capsys.readouterr())
    assert "4 files: 3 written, 1 failed" in said[1].out
    assert ".key" not in said[1].out


def test_names_that_would_clash_are_told_apart(archive, capsys):
    for name in ("film/mdb.png", "film/MDB.tif", "pictures.pgm"):
        shutil.copy(archive / "film" / "mdb.pgm", archive / name)
    assert cli.main(["preprocess", "archive", "-o", "seen", *SMALL]) == 0
    listed = pd.read_csv("seen/pictures.csv")
    assert len({name.casefold() for name in listed["picture"]}) == len(listed) == 6
    assert all((archive.parent / "seen" / name).is_file() for name in listed["picture"])


@pytest.mark.parametrize("given", ["archive", "archive/film/own.png"])
def test_a_picture_never_takes_the_place_of_one_of_the_input(archive, capsys, given):
    own = archive / "film" / "own.png"
    cv2.imwrite(str(own), cv2.imread(str(archive / "film" / "mdb.pgm"), cv2.IMREAD_UNCHANGED))
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    output = "archive" if given == "archive" else "archive/film"
    assert cli.main(["preprocess", given, "-o", output, *SMALL]) == 2
    assert "-o: a picture would take the place of one of the input" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()} == before
    with pytest.raises(ValueError, match="would take the place"):
        export([own], ["own.png"], own.parent, Preprocessor(), progress=False)


def test_a_name_that_leaves_no_room_or_is_that_of_a_folder_ends_no_run(archive, capsys):
    film = archive / "film" / "mdb.pgm"
    (archive / "a.png").mkdir()
    for name in ("a.png/inside.pgm", "a.pgm", f"{'n' * 250}.pgm"):
        shutil.copy(film, archive / name)
    assert cli.main(["preprocess", "archive", "-o", "seen", "--mask", *SMALL]) == 0
    assert "7 files: 5 written, 2 failed" in capsys.readouterr().out
    assert cv2.imread("seen/a.pgm.png") is not None
    assert cv2.imread("seen/a.png/inside.png") is not None
    failures = pd.read_csv("seen/failures.csv").set_index("file")
    assert "leaves no room" in failures.loc[f"{'n' * 250}.pgm", "reason"]


def test_the_last_number_of_a_uid_is_no_ending(archive):
    for uid in ("1.2.840.7.1", "1.2.840.7.2"):
        shutil.copy(sample_cohort()["path"][0], archive / uid)
    assert cli.main(["preprocess", "archive", "-o", "seen", *SMALL]) == 0
    pictures = pd.read_csv("seen/pictures.csv").set_index("file")["picture"]
    assert pictures[["1.2.840.7.1", "1.2.840.7.2"]].tolist() == ["1.2.840.7.1.png", "1.2.840.7.2.png"]


def test_an_unforeseen_error_in_one_file_costs_that_file_only(archive, monkeypatch):
    whole = Preprocessor.with_mask

    def fails_once(self, mammogram):
        if mammogram.kind == "picture":
            raise IndexError("/secret/folder")
        return whole(self, mammogram)

    monkeypatch.setattr(Preprocessor, "with_mask", fails_once)
    assert cli.main(["preprocess", "archive", "-o", "seen", *SMALL]) == 0
    failures = pd.read_csv("seen/failures.csv").set_index("file")
    assert failures.loc["film/mdb.pgm", "stage"] == "preprocess"
    assert failures.loc["film/mdb.pgm", "reason"].startswith("unexpected IndexError")
    assert "secret" not in (archive.parent / "seen" / "failures.csv").read_text()
    assert len(pd.read_csv("seen/pictures.csv")) == 2


def test_preprocess_of_nothing_ends_with_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert cli.main(["preprocess", "empty", "-o", "seen"]) == 1
    assert "nothing in the input is DICOM or a picture" in capsys.readouterr().err


def test_one_scale_for_all_refuses_what_it_cannot_place_and_goes_on(archive):
    assert cli.main(["preprocess", "archive", "-o", "seen", "--mm-per-pixel", "2", *SMALL]) == 0
    failures = pd.read_csv("seen/failures.csv").set_index("file")
    assert "does not say how large its pixels are" in failures["reason"]["film/mdb.pgm"]
    assert failures["stage"]["film/mdb.pgm"] == "preprocess"
    assert len(pd.read_csv("seen/pictures.csv")) == 2


# --- pseudonyms for clinical tables ---


def test_a_pseudonymised_table_joins_with_a_run(archive, capsys):
    assert cli.main(["embed", "archive", "-o", "out", *SMALL]) == 0
    number = "PHANTOM-W01"
    pd.DataFrame(
        {"PatientID": [number, "ELSE", ""], "age": [50, 61, 70], "PatientName": ["Quisling^Prudence"] * 3}
    ).to_csv("clinical.csv", index=False)
    assert cli.main(["pseudonymise", "clinical.csv", "--id", "PatientID", "-o", "safe.csv"]) == 0
    said = capsys.readouterr().out
    assert "3 rows of 2 patients in safe.csv" in said
    assert "1 row has no number, and so no pseudonym" in said
    assert "Left out, since they look as if they identified people: PatientName" in said
    safe = pd.read_csv("safe.csv")
    assert safe.columns.tolist() == ["patient_key", "age"]
    joined = Extraction.read("out").table.merge(safe.dropna(subset="patient_key"), on="patient_key")
    assert joined["age"].tolist() == [50, 50]
    text = (archive.parent / "safe.csv").read_text()
    assert number not in text
    assert "Quisling" not in text


def test_the_issuer_is_part_of_a_pseudonym(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"id": [1, 1, 1], "who": ["A", "B", ""]}).to_csv("t.csv", index=False)
    assert cli.main(["pseudonymise", "t.csv", "--id", "id", "--issuer", "who", "-o", "s.csv"]) == 0
    key = key_of(tmp_path / "results" / "embeddings")
    wanted = [patient_key("1", key, issuer) for issuer in ("A", "B", None)]
    assert pd.read_csv("s.csv")["patient_key"].tolist() == wanted


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["t.csv", "--id", "number"], "--id: there is no such column; there are id"),
        (["t.csv", "--id", "id", "--issuer", "hospital"], "--issuer: there is no such column"),
        (["none.csv", "--id", "id"], "there is no file none.csv"),
        (["t.csv", "--id", "id", "-o", "t.csv/s.csv"], "-o: t.csv is a file, and a folder is needed"),
        (["t.csv", "--id", "id", "-o", "t.csv"], "-o: this is the table itself, whose numbers would be lost"),
        (["t.csv", "--id", "id", "-o", "folder"], "-o: folder is a folder, and a file is needed"),
    ],
)
def test_what_cannot_be_pseudonymised_is_refused_in_a_sentence(
    tmp_path, monkeypatch, capsys, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"id": [1]}).to_csv("t.csv", index=False)
    (tmp_path / "folder").mkdir()
    output = [] if "-o" in arguments else ["-o", "s.csv"]
    assert cli.main(["pseudonymise", *arguments, *output]) in (1, 2)
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()
    assert (tmp_path / "t.csv").read_text() == "id\n1\n"
