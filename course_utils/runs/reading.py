"""A run folder read tolerantly: an older one, a partial or an edited one, as far as it makes sense.

What is missing is left out and said; what is there and cannot be read is an error of one sentence.
"""

from __future__ import annotations

import json
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
from course_utils.runs.folder import EMBEDDINGS, FAILURES, RECORD, THUMBNAILS

_T = TypeVar("_T")


@dataclass(frozen=True)
class Run:
    """What a run folder holds; N rows throughout, in the same order.

    Attributes:
        table: image_id and those of the columns of `records.table_columns` that are there.
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
    folder = Path(folder)
    if not (folder / EMBEDDINGS).is_file():
        raise RunError(
            "this folder holds no embeddings.parquet: make one with `course embed INPUT -o FOLDER` first"
        )
    table, vectors = parse(folder / EMBEDDINGS, _read_embeddings)
    thumbnails, pictures_note = [b""] * len(table), ""
    if (folder / THUMBNAILS).is_file():
        pictures = parse(folder / THUMBNAILS, _read_pictures)
        if pictures["image_id"].tolist() == table["image_id"].tolist():
            thumbnails = pictures["thumbnail"].tolist()
            if "warnings" in pictures:
                table["warnings"] = pictures["warnings"]
        else:
            pictures_note = "The pictures in this folder belong to another run, so none is shown."
    failures = pd.DataFrame(columns=failure_columns())
    if (folder / FAILURES).is_file():
        failures = parse(folder / FAILURES, _read_failures)
    record = parse(folder / RECORD, _read_record) if (folder / RECORD).is_file() else {}
    return Run(table, vectors, thumbnails, pictures_note, failures, record)


def parse(path: Path, reader: Callable[[Path], _T]) -> _T:
    """Return what `reader` makes of a file; whatever it stumbles over becomes one sentence, a RunError."""
    try:
        return reader(path)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError) as error:
        command = "course cluster" if path.name.startswith("clusters") else "course embed"
        raise RunError(
            f"{path.name} cannot be read ({type(error).__name__}): run `{command}` again"
        ) from error


def _read_embeddings(path: Path) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return what is known of N images, and their vectors `(N, D)`."""
    rows = pd.read_parquet(path).reset_index(drop=True)
    if "embedding" not in rows or "image_id" not in rows:
        raise RunError(
            "embeddings.parquet has no columns image_id and embedding: `course embed` did not write it"
        )
    vectors = np.empty((0, 0), np.float32)
    if len(rows):
        vectors = np.stack(rows["embedding"].to_list()).astype(np.float32)
    if vectors.ndim != 2:
        raise ValueError("an embedding is a list of numbers")
    table = pd.DataFrame({"image_id": rows["image_id"].map(str)})
    for field in arrow_fields(table_columns()[1:]):
        if field.name in rows:
            values = rows[field.name]
            is_text = pa.types.is_string(field.type)
            table[field.name] = values.map(lambda v: v if isinstance(v, str) else None) if is_text else values
    return table, vectors


def _read_pictures(path: Path) -> pd.DataFrame:
    """Return image_id, thumbnail (a PNG, or nothing) and, where they are, warnings."""
    rows = pd.read_parquet(path).reset_index(drop=True)
    rows["image_id"] = rows["image_id"].map(str)
    rows["thumbnail"] = [b"" if value is None else value for value in rows["thumbnail"]]
    if not all(value[:4] in (b"", b"\x89PNG") for value in rows["thumbnail"]):
        raise ValueError("a thumbnail is a PNG")
    return rows


def _read_failures(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)[failure_columns()]


def _read_record(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    kinds = {"weights": dict, "counts": dict, "started": str, "device": str, "backbone": str}
    if not isinstance(record, dict) or not all(
        isinstance(record[name], kind) for name, kind in kinds.items() if record.get(name) is not None
    ):
        raise ValueError("a run record is a JSON object")
    return record
