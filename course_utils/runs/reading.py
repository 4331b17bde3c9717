"""A run folder read tolerantly: an older, a partial or an edited one, as far as it makes sense.

What is missing is left out and noted; what is there but cannot be read is a one-sentence error.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from course_utils.records import arrow_fields, failure_columns, table_columns
from course_utils.runs.errors import RunError
from course_utils.runs.folder import (
    EMBEDDINGS,
    FAILURES,
    RECORD,
    THUMBNAILS,
    read_failures,
    read_member,
    read_table,
    settle,
)

LARGEST_PICTURE = 2**24
"""Bytes that a thumbnail may unpack to: those of the course are 2**14."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Run:
    """What a run folder holds; N rows throughout, in the same order.

    Attributes:
        table: image_id and those columns of `records.table_columns` that are there.
        vectors: `(N, D)` float32.
        thumbnails: N PNG pictures, empty where there is none.
        pictures_note: why there are none, in a sentence, or nothing.
        failures: one row per file that gave no vector: file, stage, reason.
        record: the run record as a dict, empty where there is none.
    """

    table: pd.DataFrame
    vectors: NDArray[np.float32]
    thumbnails: list[bytes]
    pictures_note: str
    failures: pd.DataFrame
    record: dict[str, Any]


def read_run(folder: str | Path) -> Run:
    """Read a run folder as far as it makes sense.

    Raises:
        RunError: it holds no embeddings, or a file of it cannot be read.
    """
    run, damaged = read_parts(folder)
    for sentence in damaged.values():
        raise RunError(sentence)
    if run is None:
        raise RunError(
            "this folder holds no embeddings.parquet: make one with `course embed INPUT -o FOLDER` first"
        )
    return run


def read_parts(folder: str | Path) -> tuple[Run | None, dict[str, str]]:
    """Read each file of a run folder by itself: a damaged one counts as missing, and a sentence says so.

    Returns the run, None without embeddings; and for each damaged file, by its name, what is wrong with it.
    """
    folder, damaged = Path(folder), dict[str, str]()

    def member(name: str, reader: Callable[[Path], _T]) -> _T | None:
        try:
            return _member(folder, name, reader)
        except RunError as error:
            damaged[name] = str(error)
            return None

    settle(folder)
    found = member(EMBEDDINGS, _read_embeddings)
    pictures = None if found is None else member(THUMBNAILS, _read_pictures)
    failures = member(FAILURES, read_failures)
    record = member(RECORD, _read_record)
    if found is None:
        return None, damaged
    table, vectors = found
    thumbnails, pictures_note = [b""] * len(table), ""
    if pictures is not None:
        if pictures["image_id"].tolist() == table["image_id"].tolist():
            thumbnails, pictures_note = _without_damaged(pictures["thumbnail"].tolist())
            if "warnings" in pictures:
                table["warnings"] = pictures["warnings"]
        else:
            pictures_note = "The pictures in this folder belong to another run, so none is shown."
    if failures is None:
        failures = pd.DataFrame(columns=failure_columns())
    return Run(table, vectors, thumbnails, pictures_note, failures, record or {}), damaged


def _member(folder: Path, name: str, reader: Callable[[Path], _T]) -> _T | None:
    """Return what `reader` makes of a file of the run, or None where it is not there."""
    try:
        return read_member(folder, name, lambda path: parse(path, reader))
    except (FileNotFoundError, NotADirectoryError):
        return None


def parse(path: Path, reader: Callable[[Path], _T]) -> _T:
    """Return what `reader` makes of a file; whatever goes wrong becomes one sentence, a RunError."""
    try:
        return reader(path)
    except (FileNotFoundError, NotADirectoryError, RunError):
        raise
    except Exception as error:  # a damaged file makes a parser fail in any way; its text may hold a path
        kind = path.name.partition(".")[0].partition("_")[0]
        commands = {"clusters": "course cluster", "map": "course map", "probe": "course probe"}
        command = f"run `{commands.get(kind, 'course embed')}` again"
        if kind in ("plan", "claims"):
            command = "it was changed by hand or is damaged"
        raise RunError(f"{path.name} cannot be read ({type(error).__name__}): {command}") from error


def _read_embeddings(path: Path) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return what is known of N images, and their vectors `(N, D)`."""
    stored = read_table(path)
    rows = stored.to_pandas().reset_index(drop=True)
    if "embedding" not in rows or "image_id" not in rows:
        raise RunError(
            "embeddings.parquet has no columns image_id and embedding: `course embed` did not write it"
        )
    kind = stored.schema.field("embedding").type
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise ValueError("an embedding is a list of numbers")  # NumPy would take lists of one as numbers
    vectors = np.empty((0, 0), np.float32)
    if len(rows):
        vectors = np.stack(rows["embedding"].to_list()).astype(np.float32)
    table = pd.DataFrame({"image_id": rows["image_id"].map(str)})
    for field in arrow_fields(table_columns()[1:]):
        if field.name in rows:
            values = rows[field.name]
            is_text = pa.types.is_string(field.type)
            table[field.name] = values.map(lambda v: v if isinstance(v, str) else None) if is_text else values
    return table, vectors


def _read_pictures(path: Path) -> pd.DataFrame:
    """Return image_id, thumbnail (a PNG, or nothing) and, if present, warnings."""
    rows = read_table(path).to_pandas().reset_index(drop=True)
    rows["image_id"] = rows["image_id"].map(str)
    rows["thumbnail"] = [b"" if value is None else value for value in rows["thumbnail"]]
    if not all(isinstance(value, bytes) for value in rows["thumbnail"]):
        raise ValueError("a thumbnail is a PNG")
    return rows


def _without_damaged(pictures: list[bytes]) -> tuple[list[bytes], str]:
    """Return the pictures, damaged ones empty, and a sentence if there are any."""
    whole = [picture if _is_png(picture) else b"" for picture in pictures]
    damaged = sum(map(bool, pictures)) - sum(map(bool, whole))
    words = "1 picture in this folder is" if damaged == 1 else f"{damaged} pictures in this folder are"
    return whole, f"{words} damaged and not shown." if damaged else ""


def _is_png(data: bytes) -> bool:
    """Return whether the checksums of a small PNG, of its chunks and of its pixels, are right."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return False
    at, kinds, packed = 8, [], b""
    try:
        while at < len(data):
            (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
            content = data[at + 8 : at + 8 + length]
            if struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] != zlib.crc32(kind + content):
                return False
            kinds.append(kind)
            packed += content if kind == b"IDAT" else b""
            at += 12 + length
        unpacked = zlib.decompressobj()
        unpacked.decompress(packed, LARGEST_PICTURE)
        return unpacked.eof and kinds[0] == b"IHDR" and kinds[-1] == b"IEND"
    except (struct.error, zlib.error):
        return False


def _read_record(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    kinds = {"weights": dict, "counts": dict, "started": str, "device": str, "backbone": str}
    if not isinstance(record, dict) or not all(
        isinstance(record[name], kind) for name, kind in kinds.items() if record.get(name) is not None
    ):
        raise ValueError("a run record is a JSON object")
    return record
