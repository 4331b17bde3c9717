"""Embeddings kept on disk, found again by what they were made from (lessons 05 and 06).

A store is a folder. Each configuration of the extractor (see `EmbeddingExtractor.config`) has its own shelf,
where an entry is found by the sha256 of the image's file. So a change in either is a miss, and nothing else
is. Entries are Parquet; nothing is pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from course_utils.embedding.errors import EmbeddingError
from course_utils.files import sweep, write_atomic
from course_utils.imaging.keys import KeyTrouble, key_of
from course_utils.provenance import fingerprint
from course_utils.records import FILE, Entry, Facts, arrow_fields, table_columns

logger = logging.getLogger(__name__)

DEFAULT_STORE = Path("results") / "embeddings"
GROUP_ROWS = 16  # entries in a row group: what one lookup in a part reads, about a quarter of a megabyte
PART_GROUPS = 32  # row groups in a full part, which is never merged again
PART_ROWS = PART_GROUPS * GROUP_ROWS
COMPACT_ABOVE = 64  # more small parts than this are merged
GROUPS_IN_MEMORY = 64
# Neither vectors nor PNGs get smaller by compression: this is for speed.
_LAYOUT: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": False,
    "write_statistics": False,
    "write_page_checksum": True,
}

_Place = tuple[str, int]  # the name of a part, the number of a row group in it
_T = TypeVar("_T")


class EmbeddingStore:
    """A folder of embeddings, by default `results/embeddings/`; several runs may use it at once."""

    def __init__(self, folder: str | Path = DEFAULT_STORE):
        self.folder = Path(folder)
        self._shelves: dict[Path, Shelf] = {}

    @property
    def key(self) -> bytes:
        """Return the secret of this store's pseudonyms: drawn on first use, readable by its owner alone."""
        try:
            return key_of(self.folder)
        except KeyTrouble as error:
            raise EmbeddingError(str(error)) from None

    def shelf(self, config: dict[str, Any]) -> Shelf:
        """Return the shelf of one configuration: `backbone`, `embedding_dim`, and whatever else matters.

        Its index is made once. Asked for again, as for each shard of an archive, the same shelf comes back,
        with what other runs have put on it meanwhile.
        """
        named = re.sub(
            r"[^\w.=-]+", "-", config["backbone"]
        )  # a colon is no character for a folder on Windows
        folder = self.folder / f"{named}-{fingerprint(config)}"
        if not folder.exists():
            self._say_if_foreign(config)
        sweep(self.folder)
        sweep(folder)
        if folder in self._shelves:
            self._shelves[folder].look_again()
        else:
            self._shelves[folder] = Shelf(folder, config)
        return self._shelves[folder]

    def _say_if_foreign(self, config: dict[str, Any]) -> None:
        """Log once if another version of the course, with other configurations, has filled this store."""
        for file in sorted(self.folder.glob("*/config.json")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                if set(json.loads(file.read_bytes())) != set(config):
                    logger.warning(
                        "Another version of this course has kept embeddings in this store. They are left "
                        "alone, and images are computed again"
                    )
                    return


class Shelf:
    """The embeddings of one configuration: an index in memory, the entries on disk. Any thread may use it.

    Memory holds the place of each entry and the row groups that were read last. A part is written beside its
    name and renamed into place, so that a killed run leaves whole parts only. A part that is damaged all the
    same is set aside with a warning as soon as it is noticed (on opening, or when one of its entries is asked
    for), and its images are computed again. A part with another schema is another version's, and left alone.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        self.folder = folder
        self._config = config
        self._schema = _schema(config["embedding_dim"])
        self._places: dict[bytes, _Place] = {}
        self._parts: dict[str, int] = {}  # how many row groups each has
        self._given_up: set[str] = set()  # merged by another run, or unusable
        self._said_foreign = False
        self._groups: OrderedDict[_Place, dict[str, Entry]] = OrderedDict()
        self._lock = threading.Lock()
        self._find_parts()

    def __len__(self) -> int:
        return len(self._places)

    def look_again(self) -> None:
        """Index the parts that other runs have written since, and forget those that are gone."""
        with self._lock:
            gone = self._parts.keys() - {part.name for part in self.folder.glob("part-*.parquet")}
            if gone:  # merged by another run, or the store was deleted
                self._parts = {part: size for part, size in self._parts.items() if part not in gone}
                self._places = {sha: place for sha, place in self._places.items() if place[0] not in gone}
                for place in [place for place in self._groups if place[0] in gone]:
                    del self._groups[place]
            self._find_parts()

    def get(self, sha256: str) -> Entry | None:
        """Return the entry of the file with this hash, or None."""
        digest = bytes.fromhex(sha256)
        with self._lock:
            while (place := self._places.get(digest)) is not None:
                if place not in self._groups:
                    group = self._read_group(place)
                    if group is None:
                        self._find_anew()
                        continue
                    self._groups[place] = group
                    if len(self._groups) > GROUPS_IN_MEMORY:
                        self._groups.popitem(last=False)
                self._groups.move_to_end(place)
                return self._groups[place].get(sha256)
        return None

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep these entries. Once this returns no kill loses them; a power cut may lose the last seconds."""
        if not entries:
            return
        with self._lock:
            if not (self.folder / "config.json").exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                readable = json.dumps(self._config, indent=2, sort_keys=True) + "\n"
                write_atomic(self.folder / "config.json", readable.encode())
            self._write(entries)
            self._compact()

    def _compact(self) -> None:
        """Merge the small parts when there are many, so that no run has thousands of them to open.

        A small part goes once the larger one is on disk: a kill in between leaves entries twice, at worst.
        """
        small = [part for part, groups in self._parts.items() if groups < PART_GROUPS]
        if len(small) <= COMPACT_ABOVE:
            return
        entries = self._entries(small)
        merged = {self._write(chain([first], islice(entries, PART_ROWS - 1))) for first in entries}
        read = [part for part in small if part in self._parts]
        for part in set(read) - merged:
            del self._parts[part]
            with contextlib.suppress(OSError):  # another run was first, or is reading it on Windows
                (self.folder / part).unlink()
        if len(read) < len(small):
            self._find_anew()
        sweep(self.folder)

    def _entries(self, parts: Iterable[str]) -> Iterator[Entry]:
        """Yield each entry of these parts once, one row group in memory at a time."""
        seen: set[str] = set()
        for part in parts:
            for number in range(self._parts[part]):
                group = self._read_group((part, number))
                if group is None:
                    break
                yield from (entry for sha256, entry in group.items() if sha256 not in seen)
                seen.update(group)

    def _write(self, entries: Iterable[Entry]) -> str:
        """Write one part, row group by row group, and note the places. Returns its name."""
        groups: list[list[bytes]] = []
        remaining = iter(entries)
        beside = self.folder / f"{secrets.token_hex(8)}.tmp"
        try:
            with beside.open("wb") as file:
                with pq.ParquetWriter(file, self._schema, **_LAYOUT) as writer:
                    while group := list(islice(remaining, GROUP_ROWS)):
                        writer.write_table(_as_table(group, self._schema))
                        groups.append([bytes.fromhex(entry.facts.sha256) for entry in group])
                file.flush()
                os.fsync(file.fileno())  # on disk before the small parts that it replaces are deleted
            # Named by its content: two runs that compute the same part write the same file. Versions with
            # other schemas do not.
            named = str(self._schema).encode() + b"".join(chain.from_iterable(groups))
            content = hashlib.sha256(named).hexdigest()
            part = f"part-{content[:16]}.parquet"
            beside.replace(self.folder / part)
        finally:
            beside.unlink(missing_ok=True)
        self._note(part, groups)
        return part

    def _note(self, part: str, groups: Sequence[Sequence[bytes]]) -> None:
        self._parts[part] = len(groups)
        self._given_up.discard(part)
        for number, group in enumerate(groups):
            self._places.update(dict.fromkeys(group, (part, number)))

    def _find_anew(self) -> None:
        """Index all parts again: one is gone, and others may hold what it held."""
        self._parts.clear()
        self._places.clear()
        self._find_parts()

    def _find_parts(self) -> None:
        """Index the parts that are not known yet; again if one went meanwhile, merged into another."""
        while new := sorted(
            part.name
            for part in self.folder.glob("part-*.parquet")
            if part.name not in self._parts and part.name not in self._given_up
        ):
            for part in new:
                groups = self._attempt(part, self._digests)
                if groups is not None:
                    self._note(part, groups)

    def _digests(self, parquet: pq.ParquetFile) -> list[list[bytes]]:
        """Return the sha256 of the entries of a part, by row group."""
        if parquet.schema_arrow != self._schema:
            raise _ForeignSchema
        column = parquet.read(columns=["sha256"], use_threads=False)["sha256"]
        digests = map(bytes.fromhex, column.to_pylist())
        sizes = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
        return [list(islice(digests, size)) for size in sizes]

    def _read_group(self, place: _Place) -> dict[str, Entry] | None:
        """Return the entries of a row group by their sha256, or None if it is not available."""
        part, number = place
        return self._attempt(part, lambda file: _from_table(file.read_row_group(number, use_threads=False)))

    def _attempt(self, part: str, read: Callable[[pq.ParquetFile], _T]) -> _T | None:
        """Return what `read` makes of a part, or None; then the part is not tried again."""
        try:
            made = _read_part(self.folder / part, read)
        except _ForeignSchema:
            made = None
            if not self._said_foreign:
                logger.warning("Another version of this course has kept embeddings here; they are left alone")
            self._said_foreign = True
        if made is None:
            self._parts.pop(part, None)
            self._given_up.add(part)
        return made


class _ForeignSchema(Exception):
    """A part whose columns are not those of this version of the course."""


def _read_part(path: Path, read: Callable[[pq.ParquetFile], _T]) -> _T | None:
    """Return what `read` makes of a part of the store, or None if it is missing or unusable.

    A warning says so if the file cannot be read now, or is damaged (`read` may say so with a ValueError or a
    TypeError): then it is set aside for inspection.
    """
    try:
        # Arrow's own file. With a Python file, its threads need the GIL, and abort the process if they ask
        # for it while the interpreter is shutting down.
        with pa.OSFile(os.fsencode(path)) as file:
            return read(pq.ParquetFile(file, page_checksum_verification=True))
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        # Permissions, a network drive that is offline; Arrow's own message names the path.
        if isinstance(error, OSError) and error.errno is not None:
            reason = os.strerror(error.errno)
            logger.warning("A part of the store cannot be read now (%s): %s", path.name, reason)
            return None
    logger.warning("Set aside a damaged part of the store (%s); its images are read again", path.name)
    with contextlib.suppress(OSError):
        path.replace(path.with_suffix(".damaged"))
    return None


def _schema(dimensions: int) -> pa.Schema:
    """Return the columns of a part. Vectors are bytes, little-endian float32: floats are read more slowly."""
    return pa.schema(
        [
            *arrow_fields(name for name in table_columns() if name != FILE),
            pa.field("thumbnail", pa.binary(), nullable=False),
            pa.field("embedding", pa.binary(4 * dimensions), nullable=False),
        ]
    )


def _as_table(entries: Sequence[Entry], schema: pa.Schema) -> pa.Table:
    rows = [
        {**vars(e.facts), "thumbnail": e.thumbnail, "embedding": e.embedding.astype("<f4").tobytes()}
        for e in entries
    ]
    return pa.Table.from_pylist(rows, schema)


def _from_table(table: pa.Table) -> dict[str, Entry]:
    """Return the entries by their sha256; raises ValueError or TypeError if a row is not one."""
    rows = table.to_pylist()
    if not np.isfinite(np.frombuffer(b"".join(row["embedding"] for row in rows), "<f4")).all():
        raise ValueError("not finite")
    return {
        row["sha256"]: Entry(Facts.from_row(row), row["thumbnail"], np.frombuffer(row["embedding"], "<f4"))
        for row in rows
    }
