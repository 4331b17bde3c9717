import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from course_utils.embedding import digests
from course_utils.embedding.digests import FileDigests
from course_utils.imaging.errors import MammogramError

CONTENT = b"pixels" * 1000


@pytest.fixture
def hashed(monkeypatch):
    """The names of the files whose content was read, in order."""
    names = []
    honest = digests.open_file
    monkeypatch.setattr(digests, "open_file", lambda file: (names.append(file.name), honest(file))[1])
    return names


@pytest.fixture
def settled(monkeypatch):
    """A clock ahead of the file system's: whatever a test has just written was written long ago."""
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + 10 * digests.SETTLED_NS)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "a.dcm"
    path.write_bytes(CONTENT)
    return path


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("settled")
def test_a_file_is_hashed_once(file, hashed):
    known = FileDigests()
    assert [known.of(file) for _ in range(3)] == [_sha256(CONTENT)] * 3
    assert hashed == ["a.dcm"]


@pytest.mark.usefixtures("settled")
def test_a_file_under_a_new_name_has_the_same_digest(file, hashed):
    known = FileDigests()
    known.of(file)
    assert known.of(file.rename(file.with_name("b.dcm"))) == _sha256(CONTENT)


@pytest.mark.skipif(sys.platform == "win32", reason="st_ctime is the time of creation there")
@pytest.mark.usefixtures("settled")
def test_a_change_that_hides_behind_the_old_size_and_time_is_noticed(file):
    known = FileDigests()
    known.of(file)
    before = file.stat()
    time.sleep(0.02)  # more than one tick of the file system's clock
    changed = b"X" + CONTENT[1:]
    file.write_bytes(changed)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert known.of(file) == _sha256(changed)


def test_a_file_that_has_just_changed_is_hashed_again(file, hashed, monkeypatch):
    known = FileDigests()
    changed = file.stat().st_ctime_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: changed)
    known.of(file)
    known.of(file)
    assert len(hashed) == 2
    later = changed + digests.SETTLED_NS
    monkeypatch.setattr(digests.time, "time_ns", lambda: later)
    known.of(file)
    known.of(file)
    assert len(hashed) == 4
    monkeypatch.setattr(digests.time, "time_ns", lambda: later + 1)
    known.of(file)
    known.of(file)
    assert len(hashed) == 5


@pytest.mark.usefixtures("settled")
def test_a_file_that_changes_while_it_is_read_is_hashed_again(file, monkeypatch, hashed):
    honest = digests.hashlib.file_digest

    def slow(stream, name):
        digest = honest(stream, name)
        time.sleep(0.02)
        with file.open("ab") as more:
            more.write(b"more")
        return digest

    known = FileDigests()
    with monkeypatch.context() as patch:
        patch.setattr(digests.hashlib, "file_digest", slow)
        known.of(file)
    assert known.of(file) == _sha256(CONTENT + b"more")
    assert len(hashed) == 2


@pytest.mark.usefixtures("settled")
def test_what_was_saved_is_found_by_another_process(file, tmp_path):
    known = FileDigests(tmp_path / "store")
    known.of(file)
    known.save()
    script = """
import sys
from pathlib import Path
from course_utils.embedding import digests
digests.open_file = None  # nothing can be read
print(digests.FileDigests(Path(sys.argv[1])).of(Path(sys.argv[2])))
"""
    arguments = [sys.executable, "-c", script, tmp_path / "store", file]
    assert subprocess.check_output(arguments, text=True).strip() == _sha256(CONTENT)


@pytest.mark.usefixtures("settled")
def test_two_runs_keep_what_both_have_learned(tmp_path, hashed):
    files = [tmp_path / name for name in ("a.dcm", "b.dcm")]
    runs = [FileDigests(tmp_path) for _ in files]
    for file, run in zip(files, runs, strict=True):
        file.write_bytes(file.name.encode())
        run.of(file)
    for run in runs:
        run.save()
    again = FileDigests(tmp_path)
    assert [again.of(file) for file in files] == [_sha256(file.name.encode()) for file in files]
    assert hashed == ["a.dcm", "b.dcm"]


_LEARN = """
import sys
from pathlib import Path
from course_utils.embedding import digests
digests.SETTLED_NS = -10**18  # whatever was just written was written long ago
digests.SAVED_AT_ONCE = 3
known = digests.FileDigests(Path(sys.argv[1]))
for file in sorted(Path(sys.argv[2]).iterdir()):
    known.of(file)
known.save()
"""


def test_runs_that_learn_at_once_lose_nothing(tmp_path, hashed, caplog):
    runs = []
    for number in range(2):
        folder = tmp_path / f"archive{number}"
        folder.mkdir()
        for name in range(50):
            (folder / f"{name}.dcm").write_text(f"{number} {name}")
        script = [sys.executable, "-c", _LEARN, tmp_path / "store", folder]
        runs.append(subprocess.Popen(script, stderr=subprocess.PIPE, text=True))
    assert [run.communicate()[1] for run in runs] == [""] * 2
    again = FileDigests(tmp_path / "store")
    files = sorted(tmp_path.glob("archive*/*"))
    assert [again.of(file) for file in files] == [_sha256(file.read_bytes()) for file in files]
    assert hashed == []


@pytest.mark.usefixtures("settled")
def test_no_more_is_written_than_was_learned(tmp_path, monkeypatch):
    for number in range(20):
        (tmp_path / f"{number}.dcm").write_text(f"{number}")
        known = FileDigests(tmp_path / "store")
        for file in tmp_path.glob("*.dcm"):
            known.of(file)
        known.save()
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / digests.NAME)) as database:
        assert database.execute("SELECT count(*), max(number) FROM digests").fetchone() == (20, 20)


@pytest.mark.usefixtures("settled")
def test_a_run_that_is_killed_has_kept_what_it_learned_some_time_before(tmp_path, monkeypatch, hashed):
    monkeypatch.setattr(digests, "SAVED_AT_ONCE", 4)
    files = [tmp_path / f"{number}.dcm" for number in range(6)]
    known = FileDigests(tmp_path / "store")
    for file in files:
        file.write_text(file.name)
        known.of(file)
    hashed.clear()
    again = FileDigests(tmp_path / "store")  # `known` was never saved
    for file in files:
        again.of(file)
    assert hashed == ["4.dcm", "5.dcm"]


@pytest.mark.usefixtures("settled")
def test_nothing_is_written_where_nothing_was_learned(file, tmp_path):
    known = FileDigests(tmp_path / "store")
    known.save()
    assert not (tmp_path / "store").exists()
    known.of(file)
    known.save()
    before = (tmp_path / "store" / digests.NAME).stat()
    again = FileDigests(tmp_path / "store")
    again.of(file)
    again.save()
    FileDigests(None).save()
    assert (tmp_path / "store" / digests.NAME).stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in (tmp_path / "store").iterdir()] == [digests.NAME]


@pytest.mark.usefixtures("settled")
def test_no_more_is_kept_than_the_limit_and_the_oldest_go_first(tmp_path, monkeypatch, hashed):
    monkeypatch.setattr(digests, "LIMIT", 2)
    files = [tmp_path / f"{number}.dcm" for number in range(3)]
    known = FileDigests(tmp_path)
    for file in files:
        file.write_bytes(file.name.encode())
        known.of(file)
    known.save()
    again = FileDigests(tmp_path)
    hashed.clear()
    for file in reversed(files):
        again.of(file)
    assert hashed == ["0.dcm"]


def _with_a_bit_flipped_in_a_digest(kept: Path) -> bytes:
    content = bytearray(kept.read_bytes())
    content[content.index(hashlib.sha256(CONTENT).digest())] ^= 1
    return bytes(content)


@pytest.mark.usefixtures("settled")
def test_a_digest_with_a_flipped_bit_is_not_believed(file, tmp_path, hashed):
    known = FileDigests(tmp_path)
    known.of(file)
    known.save()
    kept = tmp_path / digests.NAME
    kept.write_bytes(_with_a_bit_flipped_in_a_digest(kept))
    for _ in range(2):  # the second time from what the first has put right
        again = FileDigests(tmp_path)
        assert again.of(file) == _sha256(CONTENT)
        again.save()
    assert hashed == ["a.dcm", "a.dcm"]


@pytest.mark.parametrize(
    "content", [b"PAR1 and no more", b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 9000]
)
@pytest.mark.usefixtures("settled")
def test_a_damaged_file_of_digests_is_set_aside_with_a_warning(file, tmp_path, content, caplog):
    kept = tmp_path / digests.NAME
    kept.write_bytes(content)
    known = FileDigests(tmp_path)
    assert known.of(file) == _sha256(CONTENT)
    known.save()
    assert caplog.text.count("Set aside") == 1
    assert str(tmp_path) not in caplog.text
    assert (tmp_path / "digests.damaged").read_bytes() == content
    assert kept.exists(), "what is learned from now on is kept"


@pytest.mark.usefixtures("settled")
def test_however_a_file_of_digests_is_damaged_the_digests_are_right(tmp_path):
    files = [tmp_path / f"{number}.dcm" for number in range(30)]
    known = FileDigests(tmp_path / "whole")
    for file in files:
        file.write_text(file.name)
        known.of(file)
    known.save()
    content = (tmp_path / "whole" / digests.NAME).read_bytes()
    random = np.random.default_rng(0)
    for number in range(60):
        damaged = bytearray(content[: random.integers(len(content))] if number % 4 == 0 else content)
        for at in random.integers(len(damaged), size=20):
            damaged[at] = random.integers(256)
        store = tmp_path / f"store{number}"
        store.mkdir()
        (store / digests.NAME).write_bytes(damaged)
        again = FileDigests(store)
        assert [again.of(file) for file in files] == [_sha256(file.name.encode()) for file in files]
        again.save()


class _Full(sqlite3.Connection):
    """A database on a disk that is full."""

    def executemany(self, *_):
        raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("kind", ["full disk", "no folder", "locked", "of another version"])
def test_where_digests_cannot_be_kept_there_is_one_warning_and_the_run_goes_on(
    tmp_path, file, kind, monkeypatch, caplog, hashed
):
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setattr(digests, "PATIENCE_S", 0.01)
    monkeypatch.setattr(digests, "SAVED_AT_ONCE", 1)
    other = None
    if kind == "full disk":
        real = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *a, **o: real(*a, **o, factory=_Full))
    elif kind == "no folder":
        store.rmdir()
        store.touch()
    else:
        other = sqlite3.connect(store / digests.NAME)
        other.execute("CREATE TABLE digests (name TEXT)")
        if kind == "locked":
            other.execute("BEGIN EXCLUSIVE")
    known = FileDigests(store)
    assert [known.of(file) for _ in range(3)] == [_sha256(CONTENT)] * 3
    known.save()
    assert hashed == ["a.dcm"]
    assert len(caplog.records) == 1
    assert "cannot be kept" in caplog.text
    assert str(tmp_path) not in caplog.text
    assert not list(tmp_path.rglob("*.damaged"))
    if other is not None:
        other.close()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such a folder cannot be made there")
@pytest.mark.usefixtures("settled")
def test_a_folder_whose_name_is_no_unicode_keeps_digests(tmp_path, file, hashed):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    for _ in range(2):
        known = FileDigests(folder)
        known.of(file)
        known.save()
    assert hashed == ["a.dcm"]


@pytest.mark.usefixtures("settled")
def test_no_path_is_kept(file, tmp_path):
    known = FileDigests(tmp_path)
    known.of(file)
    known.save()
    assert b"a.dcm" not in (tmp_path / digests.NAME).read_bytes()


def test_what_is_no_file_of_a_mammogram_is_refused(tmp_path):
    (tmp_path / "empty.dcm").touch()
    for path in (tmp_path, tmp_path / "missing.dcm", tmp_path / "empty.dcm"):
        with pytest.raises(MammogramError):
            FileDigests().of(path)
