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
