import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from needs import needs

from course_utils import provenance

ROOT = Path(__file__).resolve().parents[1]


def test_the_commit_is_what_git_says():
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if head.returncode:
        pytest.skip("not a git checkout")
    assert provenance.git_commit().rstrip("+") == head.stdout.strip()


def _repository(folder: Path, *tracked: str) -> None:
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", *tracked], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)


@needs("git")
def test_an_install_inside_another_repository_has_no_commit(tmp_path, monkeypatch):
    package = tmp_path / "venv" / "course_utils"
    package.mkdir(parents=True)
    source = Path(shutil.copy(provenance.__file__, package))
    (tmp_path / "mine.txt").touch()
    _repository(tmp_path, "mine.txt")
    monkeypatch.setattr(provenance, "__file__", str(source))
    assert provenance.git_commit() is None
    _repository(tmp_path, str(source))
    assert re.fullmatch(r"[0-9a-f]{40}", provenance.git_commit())
    source.write_text("changed")
    assert provenance.git_commit().endswith("+")


@needs("git")
def test_the_repository_is_the_one_around_the_source_whatever_the_environment_says(tmp_path, monkeypatch):
    before = provenance.git_commit()
    _repository(tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert provenance.git_commit() == before


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
    odd[0] = "/somewhere/course_utils/cli/__main__.py"
    assert provenance.command_line(odd) == "course embed DOE=1950 x -oout --seed=3"


def test_the_machine_is_described_without_its_name():
    import getpass
    import platform

    words = str(provenance.machine()).split("'")
    assert platform.node() not in words
    assert getpass.getuser() not in words
    assert provenance.versions()["torch"]


def test_a_file_that_is_no_record_is_refused(tmp_path):
    for text in ("{}", "[]", "7", "[" * 100_000, "not json", "\0", '{"command": "x", "colour": 1}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ValueError, match="not a run record"):
            provenance.RunRecord.read(tmp_path / "run.json")


@pytest.mark.parametrize(("version", "said"), [("9.0.1", True), ("/srv/x", False), (None, False), (9, False)])
def test_a_record_of_a_newer_version_is_said_to_be_one(tmp_path, version, said):
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"command": "x", "versions": {"course": version}}))
    with pytest.raises(ValueError, match="written by version 9.0.1" if said else "not a run record") as error:
        provenance.RunRecord.read(file)
    assert isinstance(error.value, provenance.ForeignRecord) == said
