"""Files are written whole or not at all, and shown without the folders of this machine."""

import os
import time
from pathlib import Path

import pytest

from course_utils import files


def test_a_path_is_shown_below_the_working_folder_or_by_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert files.display_path(tmp_path / "a" / "b") == str(Path("a") / "b")
    assert files.display_path("a") == "a"
    assert files.display_path(tmp_path.parent / "elsewhere") == "elsewhere"
    assert files.display_path("../elsewhere") == "elsewhere"


def test_writing_leaves_a_whole_file_or_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "x"
    files.write_atomic(file, b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):
        files.write_atomic(file, b"new")
    assert file.read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="a drive is no root of all folders")
def test_in_the_root_folder_a_path_is_shown_by_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir("/")
    assert files.display_path(tmp_path / "a") == "a"
    assert files.display_path("/") == "/"


@pytest.mark.skipif(os.name == "nt", reason="a working folder cannot be deleted there")
def test_without_a_working_folder_a_path_is_shown_by_its_name(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert files.display_path("a/b") == "b"


def test_a_name_that_is_no_unicode_can_be_shown():
    shown = files.display_path(Path("caf\udce9"))
    assert shown == "caf\\xe9"
    shown.encode("utf-8")


def test_what_a_killed_run_left_half_written_goes_in_time(tmp_path):
    old, young, kept = tmp_path / "old.tmp", tmp_path / "young.tmp", tmp_path / "kept.csv"
    for file in (old, young, kept):
        file.touch()
    for file in (old, kept):
        os.utime(file, (time.time() - 2 * files.ABANDONED_S,) * 2)
    files.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == [kept, young]
