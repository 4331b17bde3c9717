import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

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
        run.save()
    again = FileDigests(tmp_path)
    assert [again.of(file) for file in files] == [_sha256(file.name.encode()) for file in files]
    assert hashed == ["a.dcm", "b.dcm"]


@pytest.mark.usefixtures("settled")
def test_nothing_is_written_where_nothing_was_learned(file, tmp_path):
    known = FileDigests(tmp_path)
    known.of(file)
    known.save()
    (tmp_path / "digests.parquet").unlink()
    known.of(file)
    known.save()
    FileDigests(None).save()
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


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


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", None])
@pytest.mark.usefixtures("settled")
def test_a_damaged_file_of_digests_is_set_aside_with_a_warning(file, tmp_path, content, caplog):
    known = FileDigests(tmp_path)
    known.of(file)
    known.save()
    kept = tmp_path / "digests.parquet"
    if content is None:  # one byte of a digest: only the page's checksum can tell
        content = bytearray(kept.read_bytes())
        content[content.index(hashlib.sha256(CONTENT).digest())] ^= 1
    kept.write_bytes(content)
    assert FileDigests(tmp_path).of(file) == _sha256(CONTENT)
    assert "Set aside" in caplog.text
    assert str(tmp_path) not in caplog.text
    assert not kept.exists()
    assert (tmp_path / "digests.damaged").exists()


@pytest.mark.usefixtures("settled")
def test_no_path_is_kept(file, tmp_path):
    known = FileDigests(tmp_path)
    known.of(file)
    known.save()
    assert b"a.dcm" not in (tmp_path / "digests.parquet").read_bytes()


def test_what_is_no_file_of_a_mammogram_is_refused(tmp_path):
    (tmp_path / "empty.dcm").touch()
    for path in (tmp_path, tmp_path / "missing.dcm", tmp_path / "empty.dcm"):
        with pytest.raises(MammogramError):
            FileDigests().of(path)
