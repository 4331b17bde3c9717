"""The sha256 of a file, remembered by what the file system says about it (lesson 06).

A mammogram is 10 to 50 MB: hashing it takes longer than everything else a cached run does. So a digest is
remembered as git remembers it, under the file's device, inode, size, and times of change. No path is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from course_utils.imaging.dicom import open_file

logger = logging.getLogger(__name__)

NAME = "digests.sqlite"
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use: FAT's
LIMIT = 1_000_000  # digests kept on disk; the oldest go first
SAVED_AT_ONCE = 1000  # so that a killed run loses no more
PATIENCE_S = 10  # how long to wait for another run that is writing

_T = TypeVar("_T")
_TABLE = """
CREATE TABLE IF NOT EXISTS digests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they came
    state BLOB NOT NULL UNIQUE,
    sha256 BLOB NOT NULL,
    checksum BLOB NOT NULL  -- SQLite itself has none: see _checksum
)
"""


class FileDigests:
    """Digests of files, kept in `digests.sqlite` of a folder, or in memory alone. Any thread may ask.

    A change of content changes the state (`st_ctime` cannot be set back), unless it comes within one tick of
    the file system's clock: so the digest of a file changed in the last two seconds is not remembered. On
    Windows `st_ctime` is the time of creation: a change that puts size and `st_mtime` back goes unnoticed.

    Several runs may use one folder at once. If it fails them, a warning says so and memory has to do: only
    time is lost.
    """

    def __init__(self, folder: Path | None = None):
        self._file = None if folder is None else folder / NAME
        self._database: sqlite3.Connection | None = None
        self._new: dict[bytes, bytes] = {}  # not on disk yet
        self._lock = threading.Lock()

    def of(self, file: Path) -> str:
        """Return the sha256 of the file's content, 64 hexadecimal digits.

        Raises:
            MammogramError: it cannot be opened, or is not a regular file of a size that a mammogram may have.
            OSError: it cannot be read to the end.
        """
        with contextlib.suppress(OSError, ValueError):  # open_file says what is wrong with the file
            if (known := self._find(_state(file.stat()))) is not None:
                return known.hex()
        begun = time.time_ns()
        with open_file(file) as stream:
            before = os.fstat(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256")
            after = os.fstat(stream.fileno())
        settled = max(before.st_mtime_ns, before.st_ctime_ns) < begun - SETTLED_NS
        if settled and _state(before) == _state(after):
            with self._lock:
                self._new[_state(after)] = digest.digest()
                if self._file is not None and len(self._new) >= SAVED_AT_ONCE:
                    self._try(self._write)
        return digest.hexdigest()

    def save(self) -> None:
        """Save what was learned to disk, and close the file."""
        with self._lock:
            if self._new:
                self._try(self._write)
            self._close()

    def _find(self, state: bytes) -> bytes | None:
        with self._lock:
            return self._new.get(state) or self._try(lambda: self._read(state))

    def _read(self, state: bytes) -> bytes | None:
        if self._database is None and not (self._file and self._file.exists()):
            return None
        query = "SELECT sha256, checksum FROM digests WHERE state = ?"
        sha256, checksum = self._open().execute(query, [state]).fetchone() or (None, None)
        whole = isinstance(sha256, bytes) and checksum == _checksum(state, sha256)
        return sha256 if whole else None

    def _write(self) -> None:
        if self._file is None:
            return
        rows = [(state, sha256, _checksum(state, sha256)) for state, sha256 in self._new.items()]
        with self._open() as database:  # all of them or none
            insert = "INSERT OR REPLACE INTO digests (state, sha256, checksum) VALUES (?, ?, ?)"
            database.executemany(insert, rows)
            newest = "(SELECT max(number) FROM digests)"
            database.execute(f"DELETE FROM digests WHERE number <= {newest} - ?", [LIMIT])
        self._new.clear()

    def _open(self) -> sqlite3.Connection:
        assert self._file is not None
        if self._database is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._file, timeout=PATIENCE_S, check_same_thread=False)
            self._database.execute(_TABLE)
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _try(self, action: Callable[[], _T]) -> _T | None:
        """Return what `action` makes of the database, or warn and return None if that fails."""
        try:
            return action()
        except (sqlite3.OperationalError, OSError) as error:  # a full disk, a network drive without locks
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            logger.warning("Hashes of files cannot be kept (%s); they are computed again next time", reason)
            self._close()
            self._file = None
        except Exception:  # a damaged file raises many kinds
            logger.warning("Set aside a damaged file of the store (%s); files are hashed again", NAME)
            self._close()
            self._set_aside()
        return None

    def _set_aside(self) -> None:
        assert self._file is not None
        try:
            self._file.with_name(f"{NAME}-journal").unlink(missing_ok=True)
            self._file.replace(self._file.with_suffix(".damaged"))
        except OSError:
            self._file = None


def _state(status: os.stat_result) -> bytes:
    """Return what changes when the content of a file does, 16 bytes."""
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.blake2b(repr(numbers).encode(), digest_size=16).digest()


def _checksum(state: bytes, sha256: bytes) -> bytes:
    """Return what reveals a flipped bit in a row: a wrong digest would be trusted forever."""
    return hashlib.blake2b(state + sha256, digest_size=8).digest()
