"""`course lab`: what it opens, what it says, and what it refuses."""

import os
import shutil
from pathlib import Path

import pytest

from course_utils import cli
from course_utils.cli import lab as room
from course_utils.cli.lab import FIRST

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def started(monkeypatch):
    """Return the calls that would have started JupyterLab, as (command, environment)."""
    calls = []
    monkeypatch.setattr(room.subprocess, "call", lambda command, env: calls.append((command, env)) or 0)
    return calls


def test_it_opens_the_first_lesson_of_the_students_folder_and_nothing_else(started, tmp_path, capsys):
    folder = tmp_path / "mine"
    assert cli.main(["lab", "--folder", str(folder), "--", "--no-browser", "--port", "8889"]) == 0
    ((command, env),) = started
    assert str(folder / "00_start_here.ipynb") in command
    assert f"--ServerApp.root_dir={folder}" in command
    assert command[-3:] == ["--no-browser", "--port", "8889"]
    config = env["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0]
    assert (Path(config) / "labconfig" / "page_config.json").is_file()
    said = capsys.readouterr().out
    assert "Your copies of the lessons are in mine." in said
    assert "has changed" not in said


def test_instructors_have_copies_and_keys_of_their_own_and_students_neither(
    started, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(room, "COURSE", tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    settings = "labconfig/default_setting_overrides.json"
    told = []
    for options in ([], ["--instructor"]):
        assert cli.main(["lab", *options]) == 0
        told.append("O shows or hides the output" in capsys.readouterr().out)
    opened = [Path(command[3]).parent.name for command, _ in started]
    assert opened == ["my_lessons", "instructor_lessons"]
    folders = [env["JUPYTER_CONFIG_PATH"].split(os.pathsep) for _, env in started]
    with_keys = [any((Path(folder) / settings).is_file() for folder in each) for each in folders]
    assert told == with_keys == [False, True]
    assert all(any("announcements" in p.read_text() for p in map(page_config, each)) for each in folders)
    student, live = ((tmp_path / name / FIRST).read_text() for name in opened)
    assert "END SOLUTION" in live
    assert "END SOLUTION" not in student
    (tmp_path / "instructor_lessons" / FIRST).write_text(live.replace('"outputs_hidden": true', '"x": 1'))
    assert cli.main(["lab", "--instructor"]) == 0  # what was shown in one class is folded for the next
    assert "outputs_hidden" in (tmp_path / "instructor_lessons" / FIRST).read_text()


def page_config(folder):
    file = Path(folder) / "labconfig" / "page_config.json"
    return file if file.is_file() else Path(os.devnull)


def test_a_fresh_copy_is_opened_in_place_of_the_first_lesson(started, tmp_path, capsys):
    for _ in range(2):
        assert cli.main(["lab", "--folder", str(tmp_path), "--fresh", "3"]) == 0
    opened = [command[3] for command, _ in started]
    names = [f"03_convolution_to_resnet50{n}.ipynb" for n in ("", "_2")]  # the first is fresh as it is
    assert opened == [str(tmp_path / name) for name in names]
    assert f"Your fresh copy is {names[1]}." in capsys.readouterr().out


def test_a_lesson_that_is_not_there_starts_nothing(started, tmp_path, capsys):
    assert cli.main(["lab", "--folder", str(tmp_path / "mine"), "--fresh", "77"]) == 2
    assert "--fresh: there is no lesson 77; there is 00, 01, 02" in capsys.readouterr().err
    assert not started
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_cannot_be_made_is_named_without_the_folders_above_it(started, tmp_path, capsys):
    (tmp_path / "mine").write_text("a file")
    assert cli.main(["lab", "--folder", str(tmp_path / "mine")]) == 2
    said = capsys.readouterr().err
    assert "mine cannot be written" in said
    assert str(tmp_path) not in said
    assert not started


def test_without_lessons_beside_the_install_it_says_where_they_are(started, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(room, "COURSE", tmp_path)
    assert cli.main(["lab"]) == 2
    assert "clone the repository" in capsys.readouterr().err
    assert not started
