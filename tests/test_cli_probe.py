"""What `course probe` finds, what it stands beside, what it warns of and what it refuses."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from test_runs import RECORD

from course_utils import cli
from course_utils.analysis.probing import Probe
from course_utils.cli.beside import columns_beside, names_one_by_one, sizes
from course_utils.cli.probing import tied_folders
from course_utils.records import Entry, Facts
from course_utils.runs import RunError, RunFolder, StoredProbe, probe_file, probe_files, read_probe

WOMEN, N = 30, 60
OF = np.repeat(np.arange(WOMEN), 2)
DENSITY = np.array(list("abc"))[np.random.default_rng(1).permutation(WOMEN) % 3][OF]
QUICK = ["--splits", "3", "--repeats", "1"]


def picture(seed: int, gray: int = 120) -> bytes:
    pixels = np.random.default_rng(seed).integers(gray - 20, gray + 20, (64, 64), dtype=np.uint8)
    pixels[:, 40:] = 0
    return cv2.imencode(".png", pixels)[1].tobytes()


def write_run(
    folder: str = "out",
    *,
    patients: list | None = None,
    files: list[str] | None = None,
    vectors: np.ndarray | None = None,
    thumbnails: list[bytes] | None = None,
) -> None:
    """Write a run of 30 women with two views each; density can be read off the vectors, the side cannot."""
    if vectors is None:
        vectors = np.random.default_rng(0).standard_normal((N, 24))
        vectors[:, 0] += 3 * (DENSITY == "a")
        vectors[:, 1] += 3 * (DENSITY == "b")
    with RunFolder(folder, vectors.shape[1]) as run:
        for i in range(N):
            patient = f"pat-{OF[i]}" if patients is None else patients[i]
            facts = Facts(f"img-{i}", f"{i:064x}", patient, ["CC", "MLO"][i % 2], "LRRL"[i % 4], "none", ())
            png = picture(i) if thumbnails is None else thumbnails[i]
            name = f"{i * 7919 % 1000:03d}.dcm" if files is None else files[i]
            run.add(name, Entry(facts, png, vectors[i].astype(np.float32)))
        run.finish(RECORD)


def write_labels(**columns) -> None:
    table = pd.DataFrame({"density": DENSITY} | columns | {"sha256": [f"{i:064x}" for i in range(N)]})
    table.to_csv("labels.csv", index=False)


def ask(target: str, *options: str) -> int:
    return cli.main(["probe", "out", "--labels", "labels.csv", "--target", target, *QUICK, *options])


def result(target: str) -> dict:
    return json.loads((Path("out") / probe_file(target)).read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run, labels and the probe of the density."""
    here = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        write_run()
        thickness = np.random.default_rng(2).normal(55, 9, N).round(1)
        write_labels(thickness=thickness, woman=[f"W{woman}" for woman in OF], empty="")
        assert ask("density") == 0
    return here


@pytest.fixture
def done(folder, monkeypatch):
    monkeypatch.chdir(folder)


# --- What is found ------------------------------------------------------------------------------------------


def test_what_was_found_is_said_with_its_baselines_and_kept(done, capsys):
    assert ask("density") == 0
    said = capsys.readouterr().out
    kept = result("density")
    found = Probe.from_dict(kept["probe"])
    assert found.score.value > 0.7
    assert (found.images, found.women, found.splits, found.repeats) == (N, WOMEN, 3, 1)
    for sentence in found.sentences:
        assert f"{sentence}\n" in said
    assert list(found.baselines) == ["mean gray", "histogram", "thickness"]
    assert found.baselines["histogram"].columns == 32
    assert "not compared: woman (it names women or images), empty (the same everywhere)\n" in said
    assert kept["left_out"] == {"woman": "it names women or images", "empty": "the same everywhere"}
    assert "as 64 × 64 pixels of 8 bits" in kept["pictures"]
    assert f"{kept['pictures']}\n" in said
    assert "Working: reading density off the vectors and 3 baselines, 60 images of 30 women …\n" in said
    assert said.endswith("The probe of density is out/probe_density.json\nNext: course report out\n")
    assert kept["warnings"] == []
    assert "Warning" not in said


def test_the_same_command_writes_the_same_bytes(done):
    before = Path("out/probe_density.json").read_bytes()
    assert ask("density") == 0
    assert Path("out/probe_density.json").read_bytes() == before
    assert ask("density", "--seed", "1") == 0
    assert Path("out/probe_density.json").read_bytes() != before
    assert ask("density") == 0


def test_what_the_run_itself_knows_needs_no_labels(done, capsys):
    assert cli.main(["probe", "out", "--target", "side", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "It was not shown that side can be read off the vectors" in said
    assert "labels:" not in said
    Path("out/probe_side.json").unlink()


def test_the_options_reach_the_probe(done):
    assert ask("density", "--model", "knn", "--tune", "--repeats", "2", "--seed", "3") == 0
    found = Probe.from_dict(result("density")["probe"])
    assert (found.model, found.setting, found.repeats, found.seed) == ("knn", None, 2, 3)
    assert ask("density") == 0


def test_a_number_is_asked_for_as_a_number(done):
    assert ask("thickness") == 0
    found = Probe.from_dict(result("thickness")["probe"])
    assert (found.kind, found.confusion, list(found.baselines)) == (
        "number",
        (),
        ["mean gray", "histogram", "density"],
    )
    Path("out/probe_thickness.json").unlink()


def test_nothing_of_the_machine_and_no_key_of_a_woman_is_in_the_file(done):
    text = Path("out/probe_density.json").read_text(encoding="utf-8")
    assert str(Path.cwd()) not in text
    assert "pat-" not in text
    assert ".dcm" not in text


# --- Who is one woman ---------------------------------------------------------------------------------------


def test_a_column_of_the_labels_can_say_who_is_one_woman(capsys):
    write_run(patients=[None] * N)
    write_labels(number=OF + 100)
    assert ask("density") == 2
    assert (
        "no file of this run says which woman it is of (PatientID): give a column" in capsys.readouterr().err
    )
    assert ask("density", "--groups", "number") == 0
    kept = result("density")
    assert (kept["groups"], kept["probe"]["women"]) == ("number", WOMEN)
    assert "name no woman" not in capsys.readouterr().out
    write_labels(number="")
    assert ask("density", "--groups", "number") == 2
    assert "--groups: number says of no image which woman it is of" in capsys.readouterr().err


def test_images_that_name_no_woman_count_alone_and_it_is_said(capsys):
    write_run(patients=[f"pat-{OF[i]}" if i > 1 else None for i in range(N)])
    write_labels()
    assert ask("density") == 0
    assert capsys.readouterr().out.count("2 images name no woman: each counts as a woman of its own\n") == 1
    assert result("density")["probe"]["women"] == WOMEN + 1


def test_groups_that_take_a_woman_apart_are_warned_of(capsys):
    write_run()
    write_labels(exam=np.arange(N) // 2 + 100 * (np.arange(N) < 6) * (np.arange(N) % 2))
    assert ask("density", "--groups", "exam") == 0
    assert "Warning: By the files 3 women are under several values of exam: " in capsys.readouterr().out


# --- What is refused ----------------------------------------------------------------------------------------

REFUSALS = {
    "a column that is not there": (
        ["--target", "birads"],
        "--target: there is no column birads; there are view, ",
    ),
    "groups that are not there": (
        ["--target", "density", "--groups", "who"],
        "--groups: there is no column who; there are view, side, patient, density, ",
    ),
    "one class": (["--target", "site"], "site is the same for all 60 images where it is known"),
    "nothing known": (["--target", "empty"], "empty is known for none of the 60 images"),
    "too few women of a class": (
        ["--target", "rare"],
        "only 2 women have rare x, and 3 folds need at least as many",
    ),
    "fewer women than folds": (
        ["--target", "density", "--splits", "31"],
        "30 women cannot be split into 31 folds",
    ),
    "the women": (["--target", "patient"], "--target: patient names the women"),
    "the women by another name": (["--target", "woman"], "each woman is that of one woman: it names her"),
    "the number of a woman": (["--target", "number"], "--target: number counts women or images through"),
    "the number of an image": (["--target", "row"], "--target: row counts women or images through"),
    "a model that is for classes": (["--target", "age", "--model", "spread"], "spread tells classes apart"),
}


@pytest.mark.parametrize("given", REFUSALS)
def test_what_cannot_be_asked_is_refused_in_one_sentence(given, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    write_labels(
        site="x",
        empty="",
        rare=np.where(OF < 2, "x", "y"),
        woman=[f"W{woman}" for woman in OF],
        number=OF + 1000,
        row=np.arange(N),
        age=np.random.default_rng(3).normal(60, 9, WOMEN).round(1)[OF],
    )
    options, sentence = REFUSALS[given]
    before = sorted(path.name for path in Path("out").iterdir())
    assert cli.main(["probe", "out", "--labels", "labels.csv", *QUICK, *options]) == 2
    refused = capsys.readouterr().err
    assert refused.startswith("course probe: ")
    assert sentence in refused
    assert refused.count("\n") == 1
    assert str(folder) not in refused
    assert sorted(path.name for path in Path("out").iterdir()) == before
    write_labels(thickness=np.random.default_rng(2).normal(55, 9, N).round(1), woman=OF, empty="")


def test_without_labels_the_columns_of_the_run_are_named(done, capsys):
    assert cli.main(["probe", "out", "--target", "density"]) == 2
    assert "there is no column density; there are view, side, patient (and those of --labels)" in (
        capsys.readouterr().err
    )


def test_a_folder_without_a_run_and_labels_of_other_images_are_refused(done, capsys):
    assert cli.main(["probe", "nowhere", "--target", "view"]) == 1
    assert "nowhere holds no finished run" in capsys.readouterr().err
    Path("other.csv").write_text("sha256,density\nff,a\n", encoding="utf-8")
    assert cli.main(["probe", "out", "--target", "density", "--labels", "other.csv"]) == 2
    assert "course probe: --labels: no row's sha256 is that of an embedded image" in capsys.readouterr().err


# --- A target that is tied to the folder --------------------------------------------------------------------


def test_a_target_that_is_tied_to_the_folder_is_refused(capsys):
    case = np.where(OF % 2, "malign", "benign")
    write_run(files=[f"{case[i]}/{i}.dcm" for i in range(N)])
    write_labels(case=case)
    assert ask("case") == 2
    assert capsys.readouterr().err == (
        "course probe: --target: case is tied to the folder (benign and malign hold one each), so that a "
        "probe may read the site or the scanner instead: take images of every class from each source\n"
    )
    assert not probe_files("out")
    assert ask("density") == 0


FOLDERS = {
    "a folder for each class": ([f"{'ab'[w % 2]}/{w}.dcm" for w in range(20)], ["a", "b"]),
    "below one that holds all": ([f"all/{'ab'[w % 2]}/{w}.dcm" for w in range(20)], ["all/a", "all/b"]),
    "with one for each woman below": ([f"{'ab'[w % 2]}/W{w}/x.dcm" for w in range(20)], ["a", "b"]),
    "several folders of one class": (
        [f"{'ab'[w % 2]}{w % 4}/{w}.dcm" for w in range(20)],
        ["a0", "a2", "b1", "b3"],
    ),
    "a class beside its folder": ([f"{'a/' * (w % 2)}{w}.dcm" for w in range(20)], ["a", "the folder above"]),
    "a folder for each woman": ([f"W{w}/x.dcm" for w in range(20)], []),
    "one folder for two women, by chance of one class": (
        [f"W{0 if w == 2 else w}/{w}.dcm" for w in range(20)],
        [],
    ),
    "a folder with both": ([f"{'ab'[w % 2 if w else 1]}/{w}.dcm" for w in range(20)], []),
    "no folder": ([f"{w}.dcm" for w in range(20)], []),
    "one folder": ([f"all/{w}.dcm" for w in range(20)], []),
}


@pytest.mark.parametrize("given", FOLDERS)
def test_a_folder_is_a_tie_if_all_are_of_one_class_and_that_is_no_accident(given):
    files, tied = FOLDERS[given]
    classes = np.arange(20) % 2
    assert sorted(tied_folders(files, classes, np.arange(20))) == tied
    # Each woman twice: she moves with all her images.
    assert sorted(tied_folders(files * 2, np.tile(classes, 2), np.tile(np.arange(20), 2))) == tied


def test_view_and_side_may_stand_in_names_and_folders(capsys):
    write_run(files=[f"{['CC', 'MLO'][i % 2]}/{i}_{'LRRL'[i % 4]}.dcm" for i in range(N)])
    for target in ("view", "side"):
        assert cli.main(["probe", "out", "--target", target, *QUICK]) == 0
        assert result(target)["leaks"]["readable"] == {}
        assert not [each for each in result(target)["warnings"] if "file names" in each]


# --- Leaks and ties -----------------------------------------------------------------------------------------


def test_one_woman_under_two_keys_is_found_by_vectors_and_by_thumbnails(capsys):
    vectors = np.random.default_rng(0).standard_normal((N, 24))
    vectors[58] = vectors[0] + 1e-3
    thumbnails = [picture(i // 2 * 11 + i % 2, 60 + 4 * OF[i]) for i in range(N)]
    structured = [cv2.imdecode(np.frombuffer(png, np.uint8), 0) for png in thumbnails]
    for i, pixels in enumerate(structured):  # no two breasts look alike
        blocks = np.random.default_rng(1000 + i).integers(1, 255, (8, 8), dtype=np.uint8)
        pixels[:] = cv2.resize(blocks, (64, 64), interpolation=cv2.INTER_NEAREST)
    structured[57] = structured[4]
    write_run(vectors=vectors, thumbnails=[cv2.imencode(".png", each)[1].tobytes() for each in structured])
    write_labels()
    assert ask("density") == 0
    said = capsys.readouterr().out
    twins = result("density")["leaks"]["twins"]
    assert {(one["first"], one["second"], one["seen_in"]) for one in twins} == {
        (0, 58, "vectors"),
        (4, 57, "thumbnails"),
    }
    assert said.count("are of different women and nearly the same picture") == 1
    names = [f"{i * 7919 % 1000:03d}.dcm" for i in range(N)]
    assert f"  {names[4]} and {names[57]}: cosine 1.000 of their thumbnails\n" in said
    assert f"  {names[0]} and {names[58]}: cosine " in said


def test_a_target_that_names_or_sizes_of_files_give_away_is_warned_of(capsys):
    write_run(files=[f"{DENSITY[i]}{i:03d}.dcm" for i in range(N)])
    rows = {"a": 1000, "b": 2000, "c": 3000}
    write_labels(rows=[rows[each] for each in DENSITY])
    assert ask("density") == 0
    said = capsys.readouterr().out
    assert "Warning: density can be read off the file names alone" in said
    assert "Warning: density can be read off the sizes alone" in said
    assert result("density")["left_out"]["rows"] == "a size: looked at for leaks"


def test_a_column_that_is_tied_to_the_target_is_warned_of(capsys):
    write_run()
    write_labels(vendor=np.where(OF < 3, "y", np.where(DENSITY == "a", "x", "y")))
    assert ask("density") == 0
    (warning,) = result("density")["warnings"]
    assert warning.startswith("vendor explains ")
    assert f"Warning: {warning}\n" in capsys.readouterr().out


# --- What stands beside it ----------------------------------------------------------------------------------


def test_a_run_without_pictures_has_no_baselines_of_them(capsys):
    write_run(thumbnails=[b""] * N)
    assert cli.main(["probe", "out", "--target", "view", *QUICK]) == 0
    kept = result("view")
    assert (kept["probe"]["baselines"], kept["pictures"]) == ({}, "")
    assert "Nothing simpler stands beside it" in capsys.readouterr().out


def test_columns_stand_beside_it_unless_they_name_somebody_say_nothing_or_are_the_target_itself():
    groups, rng = pd.Series(OF), np.random.default_rng(0)
    labels = pd.DataFrame(
        {
            "density": DENSITY,
            "birads": pd.Series(DENSITY).map({"a": "1", "b": "2", "c": "3"}),
            "who": OF,
            "row": np.arange(N),
            "note": [f"n{i % 9}" for i in range(N)],
            "empty": None,
            "Rows": rng.integers(900, 1100, N),
            "mean gray": rng.random(N),
            "endless": [1.0, "inf"] * (N // 2),
        }
        | {f"x{i}": rng.random(N) for i in range(9)}
    )
    taken, left_out = columns_beside(labels, "density", groups, "patient")
    assert list(taken) == [f"x{i}" for i in range(8)]
    assert left_out == {
        "birads": "density by another name",
        "who": "it names women or images",
        "row": "it names women or images",
        "note": "more than 8 different values",
        "empty": "the same everywhere",
        "Rows": "a size: looked at for leaks",
        "mean gray": "measured on the pictures instead",
        "endless": "it holds infinity, or no number at all: leave it out",
        "x8": "8 others stand there already",
    }
    assert list(columns_beside(labels[["density", "x0", "x1"]], "view", groups, "x0")[0]) == ["density", "x1"]


def test_a_key_or_a_running_number_names_somebody_and_a_measurement_does_not():
    groups = pd.Series(OF)
    per_woman = np.random.default_rng(0).permutation(WOMEN)
    assert names_one_by_one(pd.Series(per_woman[OF] + 7), groups)
    assert names_one_by_one(pd.Series([f"W{woman}" for woman in OF]), groups)
    assert names_one_by_one(pd.Series(np.arange(N)[::-1]), groups)
    assert not names_one_by_one(pd.Series(per_woman[OF] * 37), groups)  # whole, but far apart
    assert not names_one_by_one(pd.Series(per_woman[OF] + 0.5), groups)
    assert not names_one_by_one(pd.Series(per_woman[OF] // 2 * 1.0), groups)  # two women share each
    assert not names_one_by_one(pd.Series(DENSITY), groups)


def test_sizes_are_asked_where_they_are_known_of_every_image():
    table = pd.DataFrame({"rows": ["10", "20"], "Bytes": ["5", "6"], "thickness": ["1", "2"]})
    assert sizes(table).tolist() == [[10, 5], [20, 6]]
    assert sizes(table.assign(rows=["10", None])) is None
    assert sizes(table.assign(rows=["10", "large"])) is None
    assert sizes(table[["thickness"]]) is None


# --- The file -----------------------------------------------------------------------------------------------

NAMES = [
    "../../x",
    "/etc/x",
    "a/b",
    "a\\b",
    "Dichte (µm)",
    "密度",
    "a\x00b",
    "..",
    ".",
    "",
    "x" * 300,
    "A",
    "a b",
]


def test_no_name_of_a_target_leaves_the_folder_and_no_two_share_a_file():
    files = [probe_file(name) for name in [*NAMES, "a", "density", "a_b"]]
    assert len({file.lower() for file in files}) == len(files)
    for file in files:
        assert Path(file).name == file
        assert file.isascii()
        assert len(file) < 80
        assert file.startswith("probe_")
        assert file.endswith(".json")
    assert probe_file("density") == "probe_density.json"


def test_a_target_with_a_path_in_its_name_is_kept_inside_the_folder_of_the_run(capsys):
    write_run()
    write_labels(**{"../../密度": DENSITY})
    everything = set(Path().rglob("*"))
    assert ask("../../密度") == 0
    (written,) = set(Path().rglob("*")) - everything
    assert written.parent == Path("out")
    assert read_probe(written).target == "../../密度"
    assert [written] == probe_files("out")


def test_a_probe_belongs_to_the_images_and_vectors_that_it_was_made_of(done):
    stored = read_probe(Path("out/probe_density.json"))
    vectors = pd.read_parquet("out/embeddings.parquet")["embedding"]
    matrix, ids = np.stack(vectors), [f"img-{i}" for i in range(N)]
    assert stored.why_unusable(ids, matrix) is None
    words = "The probe of density in this folder belongs to other embeddings"
    assert stored.why_unusable(ids[::-1], matrix) == words
    assert stored.why_unusable(ids, matrix + 1) == words
    assert StoredProbe("density", {}).why_unusable(ids, matrix) == words


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"target": 3}', '{"target": "other"}', '{"target": "density"', "\xff"]
)
def test_a_damaged_file_is_an_error_that_names_it_and_the_way_out(text, tmp_path):
    path = tmp_path / "probe_density.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(
        RunError, match=r"^probe_density\.json cannot be read \(\w+\): run `course probe` again$"
    ):
        read_probe(path)
