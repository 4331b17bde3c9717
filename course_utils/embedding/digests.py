"""The sha256 of a file, remembered by what the file system says of it (lesson 06).

A mammogram is 10 to 50 MB: hashing it takes longer than all else that a cached run does. So a digest is
remembered as git remembers it, under the file's device, inode, size, and times of change. No path is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from course_utils.embedding.store import read_kept, write_parquet
from course_utils.imaging.dicom import open_file

SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use: FAT's
LIMIT = 1_000_000  # digests kept on disk; the oldest go first
_SCHEMA = pa.schema(
    [
        pa.field("state", pa.binary(16), nullable=False),
        pa.field("sha256", pa.binary(32), nullable=False),
    ]
)


class FileDigests:
    """Digests of files, kept in `digests.parquet` of a folder, or in memory alone. Any thread may ask.

    A change of content changes the state (`st_ctime` cannot be set back), unless it comes within one tick of
    the file system's clock: so the digest of a file changed in the last two seconds is not remembered. On
    Windows `st_ctime` is the time of creation: a change that puts size and `st_mtime` back goes unnoticed.
    """

    def __init__(self, folder: Path | None = None):
        self._file = None if folder is None else folder / "digests.parquet"
        self._known = self._read()
        self._new = False
        self._lock = threading.Lock()

    def of(self, file: Path) -> str:
        """The sha256 of the file's content, 64 hexadecimal digits.

        Raises:
            MammogramError: it cannot be opened, or is not a regular file of a size that a mammogram may have.
            OSError: it cannot be read to the end.
        """
        with contextlib.suppress(OSError, ValueError):  # open_file says what is wrong with the file
            if (known := self._known.get(_state(file.stat()))) is not None:
                return known.hex()
        begun = time.time_ns()
        with open_file(file) as stream:
            before = os.fstat(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256")
            after = os.fstat(stream.fileno())
        settled = max(before.st_mtime_ns, before.st_ctime_ns) < begun - SETTLED_NS
        if settled and _state(before) == _state(after):
            with self._lock:
                self._known[_state(after)] = digest.digest()
                self._new = True
        return digest.hexdigest()

    def save(self) -> None:
        """Keep on disk what is known, with what other runs have kept meanwhile. Losing it costs time only."""
        if self._file is None or not self._new:
            return
        with self._lock:
            known = {**self._read(), **self._known}
            rows = list(known.items())[-LIMIT:]
            columns = zip(*rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_parquet(pa.Table.from_arrays(arrays, schema=_SCHEMA), self._file)
            self._new = False

    def _read(self) -> dict[bytes, bytes]:
        return {} if self._file is None else read_kept(self._file, _rows) or {}


def _rows(parquet: pq.ParquetFile) -> dict[bytes, bytes]:
    if parquet.schema_arrow != _SCHEMA:
        raise ValueError("another schema")
    table = parquet.read(use_threads=False)
    return dict(zip(table["state"].to_pylist(), table["sha256"].to_pylist(), strict=True))


def _state(status: os.stat_result) -> bytes:
    """What changes when the content of a file does, 16 bytes."""
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.blake2b(repr(numbers).encode(), digest_size=16).digest()
