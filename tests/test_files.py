"""Files are written whole or not at all, and shown without the folders of this machine."""

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
