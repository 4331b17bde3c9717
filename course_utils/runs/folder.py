"""What comes of a list of files: vectors and their table, the failures, the record; in memory or in a folder.

`Extraction` holds a result in memory, for a lesson. `RunFolder` writes the same result while it is made, so
that ten thousand files need no more memory than a thousand (lesson 05).
"""

from __future__ import annotations

import contextlib
import csv
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from course_utils import DISCLAIMER
from course_utils.files import write_atomic
from course_utils.provenance import RunRecord
from course_utils.records import (
    FILE,
    Entry,
    Facts,
    Failure,
    arrow_fields,
    failure_columns,
    identity_columns,
    rendering_columns,
    table_columns,
)
from course_utils.runs.errors import RunError

EMBEDDINGS, THUMBNAILS = "embeddings.parquet", "thumbnails.parquet"
FAILURES, RECORD = "failures.csv", "run.json"
ROWS_AT_ONCE = 256  # rows kept in memory before they are written: some 4 MB


@dataclass(frozen=True)
class Extraction:
    """What came of a list of files.

    Attributes:
        vectors: `(N, D)` float32, one row per image that could be embedded, in the order of the paths.
        table: N rows in the same order: the facts of each image (see `records.Facts`) and its file.
        failures: one row per file that could not: file, stage, reason.
        record: what was run, on what, with what.
        thumbnails: N PNG pictures of what the network saw.
    """

    vectors: np.ndarray
    table: pd.DataFrame
    failures: pd.DataFrame
    record: RunRecord
    thumbnails: list[bytes]

    def write(self, folder: str | Path) -> Path:
        """Write what `RunFolder` writes, and return the folder."""
        with RunFolder(folder, self.vectors.shape[1]) as run:
            # pandas may hold NaN where a file says nothing
            table = self.table.astype(object).where(self.table.notna(), None)
            rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
            for row, thumbnail, vector in zip(rows, self.thumbnails, self.vectors, strict=True):
                run.add(row[FILE], Entry(Facts.from_row(row), thumbnail, vector))
            for file, *why in self.failures[failure_columns()].itertuples(index=False):
                run.add(file, Failure(*why))
            run.finish(self.record)
        return run.folder

    @classmethod
    def read(cls, folder: str | Path) -> Extraction:
        """Read what `RunFolder` wrote. Raises RunError where the folder holds no finished run."""
        folder = Path(folder)
        try:
            embeddings = pq.read_table(folder / EMBEDDINGS)
            pictures = pq.read_table(folder / THUMBNAILS)
            failures = pd.read_csv(folder / FAILURES, dtype=str, keep_default_na=False)
            record = RunRecord.read(folder / RECORD)
            lists = embeddings["embedding"].combine_chunks()
            vectors = lists.values.to_numpy().reshape(len(lists), lists.type.list_size)
            rows = embeddings.drop_columns("embedding").to_pylist()
            renderings = pictures.select(rendering_columns()).to_pylist()
            table = as_table([{**row, **other} for row, other in zip(rows, renderings, strict=True)])
            return cls(vectors, table, failures, record, pictures["thumbnail"].to_pylist())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
            raise RunError(
                f"{folder.name} holds no finished run: make one with course embed INPUT -o {folder.name}"
            ) from error


class RunInMemory:
    """A run that is kept in memory while it is made: what `add` took, `finish` gives as an Extraction."""

    def __init__(self, embedding_dim: int):
        self._embedding_dim = embedding_dim
        self._rows: list[tuple[str, Entry]] = []
        self._failures: list[tuple[str, ...]] = []

    def add(self, file: str, outcome: Entry | Failure) -> None:
        """Keep the row of one file: `file` is what the column of that name says."""
        if isinstance(outcome, Failure):
            self._failures.append((file, *vars(outcome).values()))
        else:
            self._rows.append((file, outcome))

    def finish(self, record: RunRecord) -> Extraction:
        """Return all that was added."""
        vectors = np.array([entry.embedding for _, entry in self._rows], np.float32)
        return Extraction(
            vectors.reshape(len(self._rows), self._embedding_dim),
            as_table([{FILE: file, **vars(entry.facts)} for file, entry in self._rows]),
            pd.DataFrame(self._failures, columns=failure_columns()),
            record,
            [entry.thumbnail for _, entry in self._rows],
        )


class RunFolder:
    """A run folder in the making: `embeddings.parquet`, `thumbnails.parquet`, `failures.csv` and `run.json`.

    Rows go to files beside those names as they come. `finish` renames them into place, the record last, since
    it holds the provenance of the others; until then an earlier run's results stay as they are. Without
    `finish`, leaving the context leaves nothing behind.
    """

    def __init__(self, folder: str | Path, embedding_dim: int):
        self.folder = Path(folder)
        self._schemas = {
            EMBEDDINGS: pa.schema(
                [
                    *arrow_fields(identity_columns()),
                    pa.field("embedding", pa.list_(pa.float32(), embedding_dim)),
                ]
            ),
            THUMBNAILS: pa.schema(
                [*arrow_fields(["image_id", *rendering_columns()]), pa.field("thumbnail", pa.binary())]
            ),
        }
        self._rows: list[tuple[str, Entry]] = []

    def __enter__(self) -> RunFolder:
        self.folder.mkdir(parents=True, exist_ok=True)
        mark = secrets.token_hex(4)  # another run may be writing into the same folder just now
        names = [*self._schemas, FAILURES]
        self._beside = {name: self.folder / f"{name}.{mark}.tmp" for name in names}
        with contextlib.ExitStack() as stack:
            for path in self._beside.values():
                stack.callback(path.unlink, missing_ok=True)
            note = {"disclaimer": DISCLAIMER}
            self._tables = {
                name: stack.enter_context(
                    pq.ParquetWriter(
                        self._beside[name],
                        schema.with_metadata(note),
                        use_dictionary=False,
                        write_page_checksum=True,
                    )
                )
                for name, schema in self._schemas.items()
            }
            self._failures = stack.enter_context(
                self._beside[FAILURES].open("w", encoding="utf-8", newline="")
            )
            self._failure_rows = csv.writer(self._failures, lineterminator="\n")
            self._failure_rows.writerow(failure_columns())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, file: str, outcome: Entry | Failure) -> None:
        """Write the row of one file: `file` is what the column of that name says."""
        if isinstance(outcome, Failure):
            self._failure_rows.writerow([file, *vars(outcome).values()])
            return
        self._rows.append((file, outcome))
        if len(self._rows) == ROWS_AT_ONCE:
            self._write_rows()

    def finish(self, record: RunRecord) -> None:
        """Put everything into its place; nothing can be added afterwards."""
        self._write_rows()
        for writer in self._tables.values():
            writer.close()
        self._failures.close()
        # Without it, what lies here is no finished run: it must never stand beside tables of another one.
        (self.folder / RECORD).unlink(missing_ok=True)
        for name, beside in self._beside.items():
            beside.replace(self.folder / name)
        write_atomic(self.folder / "DISCLAIMER.txt", (DISCLAIMER + "\n").encode())
        record.write(self.folder / RECORD)

    def _write_rows(self) -> None:
        if not self._rows:
            return
        rows = [{FILE: file, "thumbnail": e.thumbnail, **vars(e.facts)} for file, e in self._rows]
        vectors = [entry.embedding for _, entry in self._rows]
        flat = pa.array(np.concatenate(vectors))
        for writer in self._tables.values():
            arrays = [
                pa.FixedSizeListArray.from_arrays(flat, len(vectors[0]))
                if field.name == "embedding"
                else pa.array([row[field.name] for row in rows], field.type)
                for field in writer.schema
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=writer.schema))
        self._rows = []


def as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as the DataFrame of an Extraction, the warnings of each as a tuple of sentences."""
    table = pd.DataFrame(rows, columns=table_columns())
    table["warnings"] = [tuple(row["warnings"]) for row in rows]
    return table
