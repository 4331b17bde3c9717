"""A run at a glance: what to say after it, without reading its vectors again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from course_utils.objects import Place, opened, place
from course_utils.records import FILE
from course_utils.runs.folder import EMBEDDINGS, FAILURES


@dataclass(frozen=True)
class Summary:
    """What a run folder holds, in short.

    Attributes:
        embeddings: the file that holds the vectors.
        dims: how many numbers a vector has.
        has_twins: whether several files have the same image_id.
        failures: file and reason of the first failures.
    """

    embeddings: Path | Place
    dims: int
    has_twins: bool
    failures: list[tuple[str, str]]


def summarise(folder: str | Path | Place, *, failures: int = 5) -> Summary:
    """Return what a finished run folder holds, with its first `failures` failures."""
    folder = place(folder)
    written = folder / EMBEDDINGS
    with opened(written) as stream:
        table = pq.ParquetFile(stream)
        dims = table.schema_arrow.field("embedding").type.list_size
        images = table.read(columns=["image_id"])["image_id"]
    with opened(folder / FAILURES) as stream:
        rows = pd.read_csv(stream, dtype=str, keep_default_na=False, nrows=failures)
    return Summary(
        written, dims, len(images.unique()) < len(images), list(zip(rows[FILE], rows["reason"], strict=True))
    )
