"""What a hostile disk or an unlucky user can do to the command line: one sentence each, or one failure row.

Whatever happens, nothing ends in a traceback, and no folder of the machine is named.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from course_utils import cli
from course_utils.cli import commands
from course_utils.cli.arguments import make_parser
from course_utils.cli.inputs import find_files
from course_utils.cli.stopping import STOPPED, stops_at_once
from course_utils.embedding import Extraction
from course_utils.imaging.datasets import sample_cohort

COURSE = [sys.executable, "-m", "course_utils.cli"]
SMALL = ["--size", "64", "--backbone", "efficientnet_lite0", "--device", "cpu"]
HANGS_S = 900  # far more than the slowest machine needs; a test that waits so long has found a deadlock
posix_only = pytest.mark.skipif(os.name == "nt", reason="no such links, names, signals or rights")
# So that no clock is needed: Ctrl-C comes when a certain module is about to be imported.
CTRL_C_AT_AN_IMPORT = """
import os, signal, sys
name, *sys.argv[1:] = sys.argv[1:]
class PressCtrlC:
    def find_spec(self, full_name, *_):
        if full_name == name:
            sys.meta_path.remove(self)
            print("pressed", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, PressCtrlC())
from course_utils.cli import main
sys.exit(main())
"""
# Nothing is forbidden to root, who therefore becomes somebody else once all is imported.
AS_NOBODY = """
import os, sys
from course_utils.cli import main
if os.geteuid() == 0:
    main(["embed", "archive/good.dcm", "-o", "warm", *sys.argv[5:]])
    os.setegid(65534)
    os.seteuid(65534)
sys.exit(main(sys.argv[1:]))
"""
FEW_FILES = """
import os, resource, sys
import imagecodecs, sklearn.cluster, course_utils.embedding
from course_utils.cli import main
few, *arguments = sys.argv[1:]
course_utils.embedding.load_backbone("efficientnet_lite0")
highest = max(map(int, os.listdir("/proc/self/fd")))
resource.setrlimit(resource.RLIMIT_NOFILE, (highest + int(few),) * 2)
sys.exit(main(arguments))
"""


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    folder = tmp_path / "Secret_Folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def sample():
    return sample_cohort()["path"][0]


@pytest.fixture
def archive(working_folder, sample):
    folder = working_folder / "archive"
    folder.mkdir()
    shutil.copy(sample, folder / "a.dcm")
    return folder


def _run(*arguments, script=None, **options):
    command = [*COURSE] if script is None else [sys.executable, "-c", script]
    command += [os.fspath(argument) for argument in arguments]
    done = subprocess.run(command, capture_output=True, timeout=HANGS_S, **options)
    said = done.stderr.decode(errors="replace")
    assert "Traceback" not in said
    assert "Secret_Folder" not in said + done.stdout.decode(errors="replace")
    return done.returncode, said


@posix_only
@pytest.mark.parametrize("module", ["course_utils.cli.running", "argparse", "numpy", "pandas", "torchvision"])
def test_ctrl_c_while_libraries_are_imported_is_the_same_clean_end_as_later(module, archive):
    status, said = _run(module, "embed", "archive", "-o", "out", *SMALL, script=CTRL_C_AT_AN_IMPORT)
    assert (status, said) == (130, f"{STOPPED}\n")
    assert not Path("out").exists()


@posix_only
def test_ctrl_c_stays_with_those_who_have_plans_for_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for a job in the background
    try:
        with stops_at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    with stops_at_once():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


@posix_only
def test_a_folder_that_can_be_listed_but_not_entered_costs_a_row_per_file(sample):
    folder = Path(tempfile.mkdtemp())
    listed, shut = folder / "archive" / "listed", folder / "archive" / "shut"
    try:
        for below in (listed, shut):
            below.mkdir(parents=True)
        for copy in (listed / "a.dcm", listed / "no_suffix", shut / "b.dcm", folder / "archive" / "good.dcm"):
            shutil.copy(sample, copy)
        for path, mode in ((folder, 0o777), (listed, 0o444), (shut, 0)):
            path.chmod(mode)
        arguments = ["embed", "archive", "-o", "out", *SMALL, "--no-cache"]
        options = {"cwd": folder, "env": os.environ | {"HOME": str(folder)}}
        status, said = _run(*arguments, script=AS_NOBODY, **options)
        assert status == 0, said
        run = Extraction.read(folder / "out")
    finally:
        for path in (listed, shut):
            path.chmod(0o777)
        shutil.rmtree(folder)
    assert run.table["file"].tolist() == ["good.dcm"]
    assert run.failures["file"].tolist() == ["listed/a.dcm", "listed/no_suffix", "shut"]
    assert str(folder) not in " ".join(run.failures["reason"])


@posix_only
def test_links_in_a_circle_below_the_input_cost_a_row_each_at_most(archive):
    (archive / "loop.dcm").symlink_to("loop.dcm")
    (archive / "up").symlink_to("..")
    assert cli.main(["embed", "archive", "-o", "out", *SMALL]) == 0
    run = Extraction.read("out")
    assert run.table["file"].tolist() == ["a.dcm"]
    assert run.failures["file"].tolist() == ["loop.dcm"]


@posix_only
@pytest.mark.parametrize(
    "command",
    [
        ["embed", "loop", "-o", "out"],
        ["embed", "archive", "loop", "-o", "out"],
        ["embed", "archive", "-o", "loop"],
        ["embed", "archive", "-o", "loop/out"],
        ["embed", "archive", "-o", "out", "--cache", "loop"],
        ["cluster", "loop"],
        ["cluster", "archive", "--labels", "loop"],
        ["report", "loop"],
        ["samples", "-o", "loop"],
        ["demo", "-o", "loop"],
    ],
    ids=" ".join,
)
def test_a_link_in_a_circle_is_one_sentence_wherever_it_stands(command, archive, capsys, tmp_path):
    Path("loop").symlink_to("loop")
    assert cli.main(command) in (1, 2)
    said = capsys.readouterr()
    assert said.err.startswith(f"course {command[0]}: ")
    assert said.err.count("\n") == 1
    assert tmp_path.name not in said.out + said.err


@posix_only
def test_a_folder_whose_name_is_no_unicode_goes_all_the_way(sample, capsys):
    folder = Path(os.fsdecode(b"caf\xe9"))
    (folder / "in").mkdir(parents=True)
    for number in range(3):
        shutil.copy(sample_cohort()["path"][number], folder / "in")
    out, cache = str(folder / "out"), str(folder / "cache")
    assert cli.main(["embed", str(folder), "-o", out, "--cache", cache, *SMALL]) == 0
    assert cli.main(["cluster", out, "-k", "2"]) == 0
    assert cli.main(["report", out]) == 0
    assert (folder / "out" / "report.html").is_file()
    assert f"Next: course report caf\\xe9{os.sep}out" in capsys.readouterr().out
    assert cli.main(["cluster", str(folder / "nowhere")]) == 1
    assert cli.main(["embed", str(folder / "nowhere"), "-o", out]) == 2


@posix_only
def test_a_name_with_a_line_feed_or_an_escape_code_moves_no_cursor(archive, capsys):
    (archive / "x\r\n\x1b[2J.dcm").write_text("this was renamed")
    assert cli.main(["embed", "archive", "-o", "out", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "  x???[2J.dcm: " in said
    assert not {"\r", "\x1b"} & set(said)
    assert Extraction.read("out").failures["file"].tolist() == ["x\r\n\x1b[2J.dcm"]


def test_from_the_root_folder_no_other_folder_is_named(archive, working_folder, capsys, monkeypatch):
    shutil.copy(sample_cohort()["path"][1], archive / "b.dcm")
    shutil.copy(sample_cohort()["path"][2], archive / "c.dcm")
    monkeypatch.chdir(working_folder.anchor)
    here = working_folder.relative_to(working_folder.anchor)
    out = working_folder / "out"
    cache = ["--cache", str(here / "cache")]
    command = ["embed", str(here / "archive"), "-o", str(here / "out"), *cache, *SMALL]
    monkeypatch.setattr(sys, "argv", ["course", *command])  # as it is recorded
    assert cli.main(command) == 0
    assert cli.main(["cluster", str(here / "out"), "-k", "2"]) == 0
    assert cli.main(["report", str(here / "out")]) == 0
    assert cli.main(["embed", str(here / "nowhere"), "-o", str(here / "out")]) == 2
    said = capsys.readouterr()
    written = " ".join(
        (out / name).read_text("utf-8") for name in ("run.json", "report.html", "clusters.json")
    )
    assert "Secret_Folder" not in said.out + said.err + written
    assert json.loads((out / "run.json").read_text("utf-8"))["counts"]["embedded"] == 3


def test_a_working_folder_that_is_gone_is_one_sentence(archive, tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    try:
        gone.rmdir()
    except OSError:
        pytest.skip("this system keeps a folder that is in use")
    assert cli.main(["embed", str(archive), "-o", "out", *SMALL]) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("course embed: ")
    assert tmp_path.name not in said


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts its open files as Linux does")
@pytest.mark.parametrize("few", [1, 3])
def test_without_free_file_descriptors_a_run_ends_with_sentences(few, archive):
    status, said = _run(str(few), "embed", "archive", "-o", "out", *SMALL, script=FEW_FILES)
    assert status in (0, 1)
    assert status == 0 or "course embed: " in said


@pytest.mark.parametrize("name", ["COURSE_DEVICE", "COURSE_BACKBONE", "COURSE_WEIGHTS", "COURSE_TRACEBACK"])
def test_an_empty_variable_is_as_good_as_none(name, archive, monkeypatch):
    monkeypatch.setenv(name, "")
    assert (
        cli.main(["embed", "archive", "-o", "out", "--size", "64", "--backbone", "efficientnet_lite0"]) == 0
    )


def test_an_error_that_nobody_foresaw_is_a_sentence_that_quotes_nothing(monkeypatch, capsys, tmp_path):
    def fail(_):
        raise ZeroDivisionError(f"Doe^Jane in {tmp_path}")

    monkeypatch.setattr(commands, "report", fail)
    assert cli.main(["report", "out"]) == 1
    said = capsys.readouterr().err
    assert "course report: something unexpected went wrong (ZeroDivisionError, test_cli_inputs.py" in said
    assert "Doe" not in said
    assert tmp_path.name not in said
    monkeypatch.setenv("COURSE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["report", "out"])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(24, "Failed to open local file '/srv/doe/x'"), "Too many open files"),
        (OSError(28, "No space left", "/srv/doe/x.parquet"), "No space left on device (x.parquet)"),
        (OSError("Couldn't open /srv/doe/x"), "OSError"),
        (ModuleNotFoundError("No module named 'x' in /srv/doe", name="x"), "a package cannot be loaded (x)"),
        (MemoryError(), "not enough memory"),
    ],
    ids=repr,
)
def test_errors_of_the_system_are_told_without_the_folder_in_their_text(error, sentence, monkeypatch, capsys):
    def fail(_):
        raise error

    monkeypatch.setattr(commands, "report", fail)
    assert cli.main(["report", "out"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"course report: {sentence}")
    assert "doe" not in said


def test_warnings_of_other_libraries_name_no_folder(monkeypatch, capsys):
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.setattr(commands, "report", lambda _: warnings.warn("from a library", stacklevel=1) or 0)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert cli.main(["report", "out"]) == 0
    assert "a library" not in capsys.readouterr().err


def test_one_of_a_thing_is_told_in_the_singular(archive, capsys):
    assert cli.main(["embed", "archive", "-o", "out", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "\n1 file: 1 computed, 0 from the store" in said
    assert "\n1 embedding of 1280 numbers" in said


def test_dicom_without_preamble_and_suffix_is_found_in_a_folder(archive):
    whole = next(archive.glob("*.dcm")).read_bytes()
    (archive / "bare").write_bytes(whole[132:])
    (archive / "text").write_text("no DICOM")
    assert "bare" in find_files([archive])[1]
    assert "text" not in find_files([archive])[1]


def test_linked_folders_are_skipped_and_counted(archive, capsys):
    try:
        (archive / "linked").symlink_to(archive, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert [path.name for path in find_files([archive])[0]] == ["a.dcm"]
    assert capsys.readouterr().err == "Linked folders are not followed; skipped: 1\n"


def test_every_option_with_a_default_says_which():
    every = dict(make_parser()._subparsers._group_actions[0].choices)
    assert len(every) == 12
    every |= every["classroom"]._subparsers._group_actions[0].choices
    for name, command in every.items():
        for option in command._actions:
            told = "(default: " in (option.help or "")
            has_one = option.default not in (None, False, argparse.SUPPRESS) and option.option_strings
            assert told >= bool(has_one), f"{name} {option.option_strings}"


def test_the_pictures_of_a_run_that_are_damaged_are_left_out_of_the_report(archive):
    for number in range(1, 4):
        shutil.copy(sample_cohort()["path"][number], archive / f"{number}.dcm")
    assert cli.main(["embed", "archive", "-o", "out", *SMALL]) == 0
    run = Extraction.read("out")
    spoiled = [run.thumbnails[0][:-30], *run.thumbnails[1:]]
    Extraction(run.vectors, run.table, run.failures, run.record, spoiled).write("out")
    assert cli.main(["report", "out"]) == 0
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "1 picture in this folder is damaged and not shown." in page
    assert "1 without a picture is a dot." in page
