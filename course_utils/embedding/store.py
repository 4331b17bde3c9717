"""Embeddings kept on disk, found again by what they were made from (lessons 05 and 06).

A store is a folder. Each configuration of the extractor (preprocessing, backbone, weights, adapter,
precision, engine) has a shelf of its own in it, and on a shelf an entry is found by the sha256 of the image's
file. So a change in any of them misses, and nothing else does. Entries are Parquet; nothing is pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from course_utils.embedding.errors import EmbeddingError
from course_utils.provenance import fingerprint, write_whole

logger = logging.getLogger(__name__)

DEFAULT_STORE = Path("results") / "embeddings"
COMPACT_ABOVE = 64
_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("image_id", pa.string()),
        ("patient_key", pa.string()),
        ("view", pa.string()),
        ("laterality", pa.string()),
        ("voi", pa.string()),
        ("warnings", pa.list_(pa.string())),
        ("thumbnail", pa.binary()),
        ("embedding", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class Entry:
    """What is known of one image: the hash of its file, what the file says, and its embedding `(D,)` float32.

    `thumbnail` is a PNG of what the network saw, for reports. Identities are pseudonyms.
    """

    sha256: str
    image_id: str
    patient_key: str | None
    view: str | None
    laterality: str | None
    voi: str
    warnings: tuple[str, ...]
    thumbnail: bytes
    embedding: np.ndarray


class EmbeddingStore:
    """A folder of embeddings, by default `results/embeddings/`; several runs may use it at once."""

    def __init__(self, folder: str | Path = DEFAULT_STORE):
        self.folder = Path(folder)

    @property
    def key(self) -> bytes:
        """The secret of this store's pseudonyms: drawn on first use, kept in it, readable by its owner."""
        file = self.folder / "pseudonym.key"
        if not file.exists():
            if any(self.folder.glob("*/part-*.parquet")):
                # A new key would give one woman two pseudonyms in one table.
                raise EmbeddingError(
                    f"{file.name} is missing from a store with embeddings: restore it, or delete the store"
                )
            self._draw_key(file)
        try:
            key = bytes.fromhex(file.read_text(encoding="ascii"))
        except ValueError:
            key = b""
        if len(key) != 32:
            raise EmbeddingError(f"{file.name} in the store is damaged: restore it, or delete the store")
        return key

    def _draw_key(self, file: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
        try:
            beside.touch(mode=0o600)
            beside.write_text(secrets.token_hex(32), encoding="ascii")
            with contextlib.suppress(FileExistsError):  # another run was first: its key counts
                os.link(beside, file)
        finally:
            beside.unlink(missing_ok=True)

    def shelf(self, config: dict[str, Any]) -> Shelf:
        """The shelf of one configuration: `backbone`, `embedding_dim`, and all else that changes a vector."""
        return Shelf(self.folder / f"{config['backbone']}-{fingerprint(config)}", config)


class Shelf:
    """The embeddings of one configuration, read when opened, written part by part.

    A part is written beside its name and renamed into place, so that a killed run leaves whole parts only. A
    part that is damaged all the same is set aside with a warning, and its images are computed again.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        self.folder = folder
        self._config = config
        self._entries: dict[str, Entry] = {}
        self._parts: list[Path] = []
        for part in sorted(folder.glob("part-*.parquet")):
            self._read(part)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, sha256: str) -> Entry | None:
        """The entry of the file with this hash, or None."""
        return self._entries.get(sha256)

    def put(self, entries: Sequence[Entry]) -> None:
        """Keep these entries; once this returns they survive a crash."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            readable = json.dumps(self._config, indent=2, sort_keys=True) + "\n"
            write_whole(self.folder / "config.json", readable.encode())
        self._parts.append(self._write(entries))
        self._entries.update((entry.sha256, entry) for entry in entries)

    def compact(self) -> None:
        """Merge the parts into one where there are many: the next run opens one file, not thousands."""
        if len(self._parts) <= COMPACT_ABOVE:
            return
        merged = self._write(list(self._entries.values()))
        for part in self._parts:
            if part != merged:
                part.unlink(missing_ok=True)
        self._parts = [merged]

    def _write(self, entries: Sequence[Entry]) -> Path:
        columns = {
            name: [getattr(entry, name) for entry in entries] for name in _SCHEMA.names if name != "embedding"
        }
        offsets = np.cumsum([0, *(len(entry.embedding) for entry in entries)], dtype=np.int32)
        values = np.concatenate([entry.embedding for entry in entries]).astype(np.float32)
        vectors = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        arrays = [pa.array(columns[field.name], field.type) for field in _SCHEMA if field.name in columns]
        # Named by its content: two runs that compute the same part write the same file.
        names = "".join(entry.sha256 for entry in entries)
        part = self.folder / f"part-{hashlib.sha256(names.encode()).hexdigest()[:16]}.parquet"
        write_parquet(pa.Table.from_arrays([*arrays, vectors], schema=_SCHEMA), part)
        return part

    def _read(self, part: Path) -> None:
        try:
            table = pq.read_table(io.BytesIO(part.read_bytes()), page_checksum_verification=True)
            entries = self._entries_of(table)
        except FileNotFoundError:  # another run has just merged it into a larger part
            return
        except OSError as error:
            if error.errno is None:  # Arrow's own: the bytes are there and make no sense
                self._set_aside(part)
            else:  # not ours to judge: permissions, a network drive that is away
                logger.warning("A part of the store cannot be read now (%s): %s", part.name, error.strerror)
            return
        except (pa.ArrowException, ValueError, TypeError):
            self._set_aside(part)
            return
        self._entries.update(entries)
        self._parts.append(part)

    def _entries_of(self, table: pa.Table) -> dict[str, Entry]:
        """The entries of a part; raises ValueError or TypeError where it is none of this shelf's."""
        if table.schema != _SCHEMA or table["embedding"].null_count:
            raise ValueError("another schema")
        dimensions = set(pc.list_value_length(table["embedding"]).to_pylist())
        if not dimensions <= {self._config["embedding_dim"]}:
            raise ValueError("another length")
        vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        if not np.isfinite(vectors).all():
            raise ValueError("not finite")
        rows = table.drop_columns("embedding").to_pylist()
        return {
            row["sha256"]: Entry(**{**row, "warnings": tuple(row["warnings"])}, embedding=vector)
            for row, vector in zip(rows, vectors, strict=True)
        }

    def _set_aside(self, part: Path) -> None:
        logger.warning("Set aside a damaged part of the store (%s); its images are read again", part.name)
        with contextlib.suppress(OSError):
            part.replace(part.with_suffix(".damaged"))


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table with a checksum on each page, whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    write_whole(path, sink.getvalue().to_pybytes())
