import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest
from calibration import patience

from course_utils import DISCLAIMER, cli
from course_utils.cli.arguments import make_parser
from course_utils.embedding import Extraction
from course_utils.embedding.adapters import ADAPTERS
from course_utils.imaging import datasets
from course_utils.imaging.datasets import real_mammograms, sample_cohort

COURSE = [sys.executable, "-m", "course_utils.cli"]
PLANTED = {
    "PatientName": "Zyxwvut^Planted",
    "PatientBirthDate": "19471203",
    "AccessionNumber": "ACC998877",
    "PatientID": "PID554433",
    "InstitutionName": "Hospital Quirrelmoor",
    "PatientAddress": "7 Xanadu Lane",
}


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COURSE_BACKBONE", "efficientnet_lite0")
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    return folder


@pytest.fixture(scope="module")
def samples():
    return list(sample_cohort()["path"])


@pytest.fixture
def archive(tmp_path, samples):
    """A folder with a sub-folder, good files and bad ones, and things that are not images at all."""
    folder = tmp_path / "archive"
    (folder / "b").mkdir(parents=True)
    for name, path in [("b/2.dcm", samples[0]), ("b/1.dcm", samples[1]), ("a.dcm", samples[2])]:
        (folder / name).write_bytes(path.read_bytes())
    (folder / "no_suffix").write_bytes(samples[3].read_bytes())
    (folder / "README.txt").write_text("an archive")
    (folder / ".hidden.dcm").write_text("x")
    return folder


def _spoil(folder, samples):
    """The four kinds of bad file that an archive is sure to hold."""
    (folder / "text.dcm").write_text("this was renamed")
    (folder / "truncated.dcm").write_bytes(samples[0].read_bytes()[:-20_000])
    no_pixels = pydicom.dcmread(samples[0])
    del no_pixels.PixelData
    no_pixels.save_as(folder / "no_pixels.dcm")
    slice_ = pydicom.dcmread(samples[0])
    slice_.SOPClassUID = slice_.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    slice_.Modality = "CT"
    slice_.save_as(folder / "ct.dcm")
    return ["ct.dcm", "no_pixels.dcm", "text.dcm", "truncated.dcm"]


def _run(*arguments):
    command = [*COURSE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=patience(60))


@contextlib.contextmanager
def _running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start `course …`, its messages in a pipe; whatever happens, it does not outlive the test."""
    with subprocess.Popen(
        [*COURSE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def _wait_until(happened: Callable[[], bool], run: subprocess.Popen[str]) -> None:
    """Wait for something that a running process does; a process that ends first, or hangs, fails the test."""
    deadline = time.monotonic() + patience(60)
    while not happened():
        assert run.poll() is None, "it ended first"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.005)


def test_embed_writes_the_promised_files_in_the_order_of_the_walk(archive, capsys):
    assert cli.main(["embed", str(archive), "-o", "out", "--size", "224"]) == 0
    written = Extraction.read("out")
    assert list(written.table["file"]) == ["a.dcm", "b/1.dcm", "b/2.dcm", "no_suffix"]
    assert written.vectors.shape == (4, 1280)
    assert (pd.read_csv("out/failures.csv").columns == ["file", "stage", "reason"]).all()
    record = json.loads(Path("out/run.json").read_text())
    assert record["disclaimer"] == DISCLAIMER
    assert record["counts"] == {"found": 4, "embedded": 4, "from_store": 0, "computed": 4, "failed": 0}
    printed = capsys.readouterr().out
    assert DISCLAIMER in printed
    assert "4 files: 4 computed, 0 from the store" in printed


def test_a_second_run_computes_nothing_and_says_so(archive, capsys):
    for _ in range(2):
        assert cli.main(["embed", str(archive), "-o", "out", "--size", "224"]) == 0
    assert "4 files: 0 computed, 4 from the store" in capsys.readouterr().out
    assert Path("results/embeddings").is_dir()


def test_the_adapters_give_the_same_vectors_and_share_none(archive):
    for adapter in ADAPTERS:
        command = ["embed", str(archive), "-o", adapter, "--size", "224", "--adapter", adapter]
        assert cli.main(command) == 0
    one, other = (Extraction.read(adapter) for adapter in ADAPTERS)
    assert (one.record.adapter, other.record.adapter) == ADAPTERS
    assert one.record.counts["computed"] == other.record.counts["computed"] == 4
    assert np.abs(one.vectors - other.vectors).max() <= 1e-5 * np.abs(one.vectors).max()


def test_no_cache_keeps_nothing(archive):
    assert cli.main(["embed", str(archive), "-o", "out", "--size", "224", "--no-cache"]) == 0
    assert not Path("results").exists()


def test_bad_files_are_set_aside_with_a_sentence_each_and_the_good_ones_are_embedded(archive, samples):
    bad = _spoil(archive, samples)
    command = ["embed", str(archive), "-o", "out", "--size", "224"]
    assert cli.main(command) == 0
    assert cli.main([*command, "--strict"]) == 1
    assert len(Extraction.read("out").vectors) == 4
    failures = pd.read_csv("out/failures.csv")
    assert sorted(failures["file"]) == bad
    assert (failures["stage"] == "read").all()
    assert failures["reason"].nunique() == 4
    assert failures["reason"].str.split().str.len().gt(3).all()


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes, no such file names")
def test_pipes_links_and_names_that_are_no_unicode_cost_one_row_at_most(archive, tmp_path):
    os.mkfifo(archive / "pipe.dcm")
    os.mkfifo(archive / "pipe")
    (archive / "broken.dcm").symlink_to(tmp_path / "nowhere")
    (archive / "zero.dcm").symlink_to("/dev/zero")
    (archive / "loop").symlink_to(archive)
    latin = os.fsencode(archive) + b"/caf\xe9.dcm"
    Path(os.fsdecode(latin)).write_bytes((archive / "a.dcm").read_bytes())
    assert cli.main(["embed", str(archive), "-o", "out", "--size", "224"]) == 0
    run = Extraction.read("out")
    assert "caf\\xe9.dcm" in set(run.table["file"])
    assert len(run.vectors) == 5
    assert sorted(run.failures["file"]) == ["broken.dcm", "pipe.dcm", "zero.dcm"]


def test_a_folder_that_cannot_be_opened_is_a_failure_and_not_lost(archive, monkeypatch):
    locked = archive / "locked"
    locked.mkdir()
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert cli.main(["embed", str(archive), "-o", "out", "--size", "224", "--strict"]) == 1
    failures = Extraction.read("out").failures
    assert list(failures["file"]) == ["locked"]
    assert "folder cannot be opened" in failures["reason"][0]


def test_what_other_libraries_log_is_not_printed():
    script = (
        "import logging; from course_utils import cli; cli.main(['cluster', 'nowhere']);"
        "logging.getLogger('pydicom').error('Doe^Jane'); logging.getLogger('course_utils.x').warning('ours')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Doe^Jane" not in done.stderr
    assert "ours" in done.stderr


def test_results_cannot_go_where_a_file_is_and_that_is_said_at_once(archive, tmp_path, capsys):
    (tmp_path / "taken").write_text("x")
    for option in ("-o", "--cache"):
        arguments = ["embed", str(archive), "-o", "out", option, str(tmp_path / "taken" / "in")]
        assert cli.main(arguments) == 2
        assert "taken is a file" in capsys.readouterr().err


def test_overlapping_inputs_are_refused(archive, capsys):
    assert cli.main(["embed", str(archive), str(archive / "b"), "-o", "out"]) == 2
    assert "overlap" in capsys.readouterr().err


def test_a_run_without_any_embedding_cannot_be_clustered(tmp_path, capsys):
    (tmp_path / "text.dcm").write_text("x")
    assert cli.main(["embed", str(tmp_path / "text.dcm"), "-o", "out"]) == 1
    assert cli.main(["cluster", "out"]) == 2
    assert "embedded no image" in capsys.readouterr().err


def test_an_unfinished_or_mixed_run_is_refused(archive, capsys):
    assert cli.main(["embed", str(archive), "-o", "out", "--size", "224"]) == 0
    assert cli.main(["embed", str(archive / "a.dcm"), "-o", "other", "--size", "224"]) == 0
    Path("out/thumbnails.parquet").write_bytes(Path("other/thumbnails.parquet").read_bytes())
    assert cli.main(["cluster", "out"]) == 1
    assert "holds no finished run" in capsys.readouterr().err


def test_a_reader_that_closes_the_pipe_ends_the_command_without_a_traceback(archive):
    command = [*COURSE, "embed", str(archive), "-o", "out", "--size", "224"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait(60)


def test_nothing_embedded_is_exit_status_1(tmp_path, capsys):
    (tmp_path / "text.dcm").write_text("x")
    assert cli.main(["embed", str(tmp_path / "text.dcm"), "-o", "out"]) == 1
    assert "no file could be embedded" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main(["embed", str(tmp_path / "empty"), "-o", "out2"]) == 1
    assert "nothing in the input is DICOM or a picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["embed", "nowhere", "-o", "out"],
        ["embed", ".", "-o", "out", "--batch-size", "0"],
        ["embed", ".", "-o", "out", "--precision", "fp8"],
        ["embed", "."],
        ["embed", ".", "-o", "out", "--voi", "best"],
        ["embed", ".", "-o", "out", "--size", "4"],
        ["embed", "", "-o", "out"],
        ["cluster", "out", "--seed", "-1"],
        ["cluster", "out", "--seed", "99999999999"],
        ["fly"],
    ],
)
def test_wrong_usage_is_exit_status_2(arguments, capsys):
    try:
        status = cli.main(arguments)
    except SystemExit as stopped:  # argparse's own way
        status = stopped.code
    assert status == 2
    assert capsys.readouterr().err


def test_a_device_that_is_not_there_is_one_sentence_and_exit_status_1(archive, capsys):
    assert cli.main(["embed", str(archive), "-o", "out", "--device", "cuda:77"]) == 1
    assert capsys.readouterr().err.startswith("course embed: device 'cuda:77' was asked for")
    assert not Path("out").exists()


def test_two_inputs_of_one_name_are_refused_and_two_names_are_told_apart(tmp_path, samples, capsys):
    for folder in ("one", "two", "other/one"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.dcm").write_bytes(samples[0].read_bytes())
    inputs = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert cli.main(["embed", *inputs, "-o", "out", "--size", "224"]) == 0
    assert list(Extraction.read("out").table["file"]) == ["one/x.dcm", "two/x.dcm"]
    assert cli.main(["embed", inputs[0], str(tmp_path / "other/one"), "-o", "out"]) == 2
    assert "same name" in capsys.readouterr().err


def test_random_weights_are_shouted(archive, capsys):
    arguments = ["embed", str(archive), "-o", "out", "--size", "224", "--weights", "random"]
    assert cli.main(arguments) == 0
    assert "RANDOM WEIGHTS" in capsys.readouterr().out
    assert Extraction.read("out").record.seeds == {"weights": 0}


def test_cluster_and_report_finish_the_way(samples, tmp_path, capsys):
    manifest = samples[0].with_name("manifest.csv")
    assert cli.main(["embed", str(manifest.parent), "-o", "out", "--size", "224"]) == 0
    assert cli.main(["cluster", "out", "-k", "2", "--labels", str(manifest)]) == 0
    clusters = pd.read_csv("out/clusters.csv")
    assert len(clusters) == len(samples)
    assert set(clusters["cluster"]) == {0, 1}
    truth = pd.read_csv(manifest).set_index("file")["density"]
    assert (clusters["density"] == truth[clusters["file"]].to_numpy()).all()
    result = json.loads(Path("out/clusters.json").read_text())
    assert result["disclaimer"] == DISCLAIMER
    assert result["evaluation"]["nulls"]
    assert cli.main(["report", "out"]) == 0
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert DISCLAIMER in page
    assert "density" in page
    assert str(tmp_path) not in capsys.readouterr().out


def test_labels_that_match_no_image_are_refused(archive, tmp_path, capsys):
    assert cli.main(["embed", str(archive), "-o", "out", "--size", "224"]) == 0
    table = tmp_path / "labels.csv"
    for text, message in [
        ("file,site\nother.dcm,x\n", "no row's file"),
        ("name,site\na.dcm,x\n", "needs a column"),
        ("file;site\na.dcm;x\n", "commas"),
        ("", "is not a comma-separated"),
        ("file,site,site\na.dcm,x,y\n", "same name"),
        ("file,PatientName\na.dcm,Doe\n", "identifies people"),
    ]:
        table.write_text(text)
        assert cli.main(["cluster", "out", "--labels", str(table)]) == 2
        assert message in capsys.readouterr().err


def test_commands_on_a_folder_without_a_run_say_what_to_do(tmp_path, capsys):
    for command in ("cluster", "report"):
        assert cli.main([command, str(tmp_path)]) == 1
        assert "course embed" in capsys.readouterr().err


def test_samples_makes_the_same_bytes_twice(tmp_path):
    for folder in ("one", "two"):
        assert cli.main(["samples", "-o", folder, "--women", "1", "--rows", "256", "--seed", "3"]) == 0
    one, two = (sorted((tmp_path / "work" / name).iterdir()) for name in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "63"], "'63' is not a whole number, 128 to 4096"),
        (["--rows", "4097"], "'4097' is not a whole number, 128 to 4096"),
        (["--women", "0"], "'0' is not a whole number, 1 to 100000"),
        (["--women", "1000000000"], "'1000000000' is not a whole number, 1 to 100000"),
        (["--seed", "-1"], "'-1' is not a whole number"),
        (["--seed", "1.5"], "'1.5' is not a whole number"),
    ],
)
def test_samples_refuses_what_no_phantom_can_be(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["samples", "-o", "out", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_samples_says_what_is_wrong_with_its_folder(capsys):
    Path("taken").write_text("mine")
    for folder in ("taken", "taken/below"):
        assert cli.main(["samples", "-o", folder, "--women", "1", "--rows", "128"]) == 2
        assert "taken is a file, and a folder is needed" in capsys.readouterr().err
    Path("other").mkdir()
    Path("other/mine.dcm").write_text("mine")
    assert cli.main(["samples", "-o", "other", "--women", "1", "--rows", "128"]) == 1
    assert "choose an empty one" in capsys.readouterr().err
    assert [path.name for path in Path("other").iterdir()] == ["mine.dcm"]


@pytest.mark.skipif(os.name == "nt", reason="no signals as here")
def test_ctrl_c_in_the_middle_of_samples_leaves_whole_files_and_a_sentence(working_folder):
    women = 1000  # so many that the run is still going, however late the signal comes
    with _running("samples", "-o", "out", "--women", str(women), "--rows", "512") as run:
        _wait_until(lambda: any(working_folder.glob("out/*.dcm")), run)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=patience(60))[1]
    assert run.returncode == 130
    assert "Stopped. No file is left half written" in said
    assert "Traceback" not in said
    left = list(working_folder.glob("out/*"))
    assert 0 < len(left) < women
    assert all(path.suffix == ".dcm" and pydicom.dcmread(path).pixel_array.any() for path in left)


def test_an_archive_is_only_described_by_a_dry_run(tmp_path, capsys):
    assert cli.main(["samples", "--from", "victre", "--women", "8", "--dry-run"]) == 0
    said = capsys.readouterr().out
    for part in (
        "8 images of 8 women, 72 MB",
        "CC BY 3.0",
        "Badano",
        "10.7937/tcia.2019.ho23nxaw",
        "Nothing was",
    ):
        assert part in said
    assert not list((tmp_path / "work").iterdir())


@pytest.fixture
def fetched(monkeypatch):
    """What the archive was asked for; nothing is, really."""
    jobs = []
    monkeypatch.setattr(
        datasets, "fetch_series", lambda row, folder: jobs.append((row, folder)) or {"a.dcm": "0" * 64}
    )
    return jobs


@pytest.mark.parametrize(("answer", "status", "count"), [("y", 0, 8), ("", 2, 0), ("no", 2, 0)])
def test_an_archive_is_fetched_if_the_question_is_answered_with_yes(
    answer, status, count, fetched, monkeypatch, capsys, tmp_path
):
    asked = []
    (tmp_path / "work" / "victre").mkdir()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    assert cli.main(["samples", "--from", "victre", "--women", "8"]) == status
    assert asked == ["Fetch it? [y/N] "]
    assert len(fetched) == count
    assert {folder for _, folder in fetched} <= {Path("victre")}
    said = capsys.readouterr()
    assert "CC BY 3.0" in said.out
    assert ("nothing was fetched" in said.err) == (count == 0)
    assert ("course embed victre" in said.out) == (count > 0)


def test_ctrl_d_for_an_answer_fetches_nothing(fetched, monkeypatch, capsys):
    def end(question):
        raise EOFError

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", end)
    assert cli.main(["samples", "--from", "victre", "--women", "8"]) == 2
    assert "nothing was fetched" in capsys.readouterr().err
    assert not fetched


def test_where_nobody_can_answer_an_archive_is_fetched_only_with_yes(fetched, monkeypatch, capsys, tmp_path):
    (tmp_path / "work" / "here").mkdir()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    command = ["samples", "-o", "here", "--from", "cmmd", "--women", "3", "--seed", "5"]
    assert cli.main(command) == 2
    assert "--yes" in capsys.readouterr().err
    assert not fetched
    assert cli.main([*command, "--yes"]) == 0
    wanted = datasets.plan("cmmd", women=3, seed=5)["series_uid"]
    assert {row.series_uid for row, _ in fetched} == set(wanted)


def test_an_archive_that_cannot_be_reached_is_one_sentence_and_status_1(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(datasets, "BUCKET", "http://127.0.0.1:9/{bucket}")  # the port of "discard": closed
    monkeypatch.setattr(datasets, "PAUSES_S", ())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert cli.main(["samples", "--from", "victre", "--yes", "-o", str(tmp_path / "deep" / "down")]) == 1
    said = capsys.readouterr()
    assert "course samples: The archive cannot be reached" in said.err
    assert "Traceback" not in said.err
    assert str(tmp_path) not in said.out + said.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--yes"], "go with --from"),
        (["--dry-run"], "go with --from"),
        (["--from", "victre", "--rows", "256"], "--rows is for synthetic"),
        (["--from", "victre", "--women", "9999"], "--women: victre has 1050 women"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, reason, capsys):
    assert cli.main(["samples", *options]) == 2
    assert reason in capsys.readouterr().err


def test_every_archive_can_be_named(capsys):
    for name in datasets.ARCHIVES:
        assert make_parser().parse_args(["samples", "--from", name]).archive == name


def test_help_teaches_and_waits_for_no_library():
    help_text = _run("--help").stdout
    for command in ("doctor", "samples", "embed", "cluster", "report", "demo", "lab"):
        assert f"    {command}" in help_text
    assert "Not for clinical" in help_text
    probe = "import sys; before = set(sys.modules); from course_utils.cli import arguments; "
    probe += "arguments.make_parser(); "
    probe += "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    imported = set(subprocess.check_output([sys.executable, "-c", probe], text=True).split())
    assert imported - set(sys.stdlib_module_names) == {"course_utils"}


def test_a_killed_run_goes_on_where_it_stopped_and_loses_nothing(samples, tmp_path):
    folder = str(samples[0].parent)
    # ResNet-50 is slow enough to be killed half-way.
    network = ["--backbone", "resnet50", "--weights", "random", "--batch-size", "2", "--size", "224"]
    command = ["embed", folder, "-o", "out", *network]
    store = tmp_path / "work" / "results" / "embeddings"
    with _running(*command) as victim:
        _wait_until(lambda: len(list(store.glob("*/part-*.parquet"))) >= 3, victim)
        victim.kill()
    kept = sum(pq.read_metadata(part).num_rows for part in store.glob("*/part-*.parquet"))
    assert 6 <= kept < len(samples), "the run was not killed half-way"
    assert cli.main(command) == 0
    resumed = Extraction.read("out")
    assert resumed.record.counts["from_store"] == kept
    assert len(resumed.vectors) == len(samples)
    assert cli.main(["embed", folder, "-o", "whole", "--no-cache", *network]) == 0
    whole = Extraction.read("whole").vectors
    assert np.abs(resumed.vectors - whole).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.skipif(os.name == "nt", reason="no signals as here")
def test_ctrl_c_in_the_middle_of_embed_keeps_what_was_computed_and_leaves_no_half_result(samples, tmp_path):
    network = ["--backbone", "resnet50", "--weights", "random", "--batch-size", "2", "--size", "224"]
    store = tmp_path / "work" / "results" / "embeddings"
    with _running("embed", str(samples[0].parent), "-o", "out", *network) as run:
        _wait_until(lambda: len(list(store.glob("*/part-*.parquet"))) >= 3, run)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=patience(60))[1]
    assert run.returncode == 130
    assert "Stopped. No file is left half written" in said
    assert "Traceback" not in said
    assert list((tmp_path / "work" / "out").iterdir()) == []
    assert sum(pq.read_metadata(part).num_rows for part in store.glob("*/part-*.parquet")) >= 6


def _everything_in(folder):
    """All that was written below a folder as one string, Parquet unpacked."""
    texts = []
    for path in folder.rglob("*"):
        texts.append(str(path.relative_to(folder)))
        if path.suffix == ".parquet":
            table = pq.read_table(path, partitioning=None)
            texts.append(
                repr(
                    table.drop_columns("embedding").to_pylist()
                    if "embedding" in table.column_names
                    else table.to_pylist()
                )
            )
        if path.is_file():
            texts.append(path.read_bytes().decode("latin-1"))
    return "\n".join(texts)


def test_no_name_birth_date_number_or_folder_of_the_machine_gets_out(samples, tmp_path, working_folder):
    archive = tmp_path / "Folder_Of_Secrets"
    archive.mkdir()
    for number, path in enumerate(samples[:6]):
        dataset = pydicom.dcmread(path)
        for keyword, value in PLANTED.items():
            setattr(dataset, keyword, value)
        dataset.save_as(archive / f"{number}.dcm")
    _spoil(archive, [archive / "0.dcm"])
    odd = pydicom.dcmread(archive / "1.dcm")
    odd.PatientBirthDate = "19471203"
    odd.WindowWidth = "0"
    odd.save_as(archive / "odd.dcm")
    # A value that pydicom complains about, quoting it: a warning must not carry it out.
    raw = (archive / "2.dcm").read_bytes().replace(b"19471203", b"1947XX03")
    (archive / "warns.dcm").write_bytes(raw)
    printed = ""
    for arguments in [
        ["embed", archive, "-o", tmp_path / "work" / "out", "--size", "224", "--workers", "2"],
        ["embed", archive, "-o", "out", "--size", "224", "--strict"],
        ["cluster", working_folder / "out"],
        ["report", working_folder / "out"],
        ["embed", archive / "missing", "-o", "out"],
        ["cluster", archive],
    ]:
        done = _run(*arguments)
        printed += done.stdout + done.stderr
    assert "Traceback" not in printed
    assert "6 from the store" in printed or "8 from the store" in printed
    everything = printed + _everything_in(working_folder)
    secrets = [
        "Zyxwvut",
        "Planted",
        "19471203",
        "1947XX03",
        "ACC998877",
        "PID554433",
        "Quirrelmoor",
        "Xanadu",
    ]
    for secret in [*secrets, str(tmp_path), str(working_folder.parent)]:
        assert secret not in everything, f"{secret} got out"


def test_the_demo_runs_the_whole_way_and_says_where_the_report_is(capsys, working_folder):
    assert cli.main(["demo"]) == 0
    printed = capsys.readouterr().out
    assert "results/demo/report.html".replace("/", os.sep) in printed
    run = Extraction.read("results/demo")
    assert len(run.vectors) == len(real_mammograms()) + len(sample_cohort())
    assert run.failures.empty
    assert (working_folder / "results" / "demo" / "report.html").stat().st_size > 100_000


def test_doctor_finds_this_machine_ready(capsys):
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "[!!]" not in printed
    for expected in ("Python 3", "decoders: uncompressed, RLE", "device: cpu", "EfficientNet-Lite0"):
        assert expected in printed


def test_doctor_says_what_to_mend(capsys, monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cuda:77")
    assert cli.main(["doctor"]) == 1
    assert "[!!]   device 'cuda:77'" in capsys.readouterr().out
