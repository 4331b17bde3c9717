import subprocess
from pathlib import Path

import pytest

from course_utils import provenance

ROOT = Path(__file__).resolve().parents[1]


def test_the_commit_is_what_git_says():
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if head.returncode:
        pytest.skip("not a git checkout")
    assert provenance.git_commit().rstrip("+") == head.stdout.strip()


def test_a_command_loses_the_folders_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    argv = [
        "/usr/bin/course",
        "embed",
        "/data/archive",
        "-o",
        str(tmp_path / "out"),
        "--cache=/big/store",
        "-k",
        "3",
    ]
    assert provenance.command_line(argv) == "course embed archive -o out --cache=store -k 3"
    odd = ["cli.py", "embed", "/data/DOE=1950", "../../elsewhere/x", "-o/data/out", "--seed=3"]
    assert provenance.command_line(odd) == "course embed DOE=1950 x -oout --seed=3"


def test_a_path_is_shown_below_the_working_folder_or_by_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert provenance.shown(tmp_path / "a" / "b") == str(Path("a") / "b")
    assert provenance.shown("a") == "a"
    assert provenance.shown(tmp_path.parent / "elsewhere") == "elsewhere"
    assert provenance.shown("../elsewhere") == "elsewhere"


def test_the_machine_is_described_without_its_name():
    import getpass
    import platform

    words = str(provenance.machine()).split("'")
    assert platform.node() not in words
    assert getpass.getuser() not in words
    assert provenance.versions()["torch"]


def test_a_file_that_is_no_record_is_refused(tmp_path):
    for text in ("{}", "not json", '{"command": "x", "colour": 1}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ValueError, match="not a run record"):
            provenance.RunRecord.read(tmp_path / "run.json")


def test_writing_leaves_a_whole_file_or_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "x"
    provenance.write_whole(file, b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):
        provenance.write_whole(file, b"new")
    assert file.read_bytes() == b"old"
