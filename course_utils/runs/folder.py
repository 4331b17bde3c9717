"""What becomes of a list of files: vectors and their table, failures, the record; in memory or in a folder.

`Extraction` holds a result in memory, for a lesson. `RunFolder` writes the same result as it is made, so
that ten thousand files need no more memory than a thousand (lesson 05).
"""

from __future__ import annotations

import contextlib
import csv
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from course_utils import DISCLAIMER
from course_utils.files import as_text, display_path, is_abandoned, sha256_of, sweep, write_atomic
from course_utils.objects import Place
from course_utils.provenance import ForeignRecord, RunRecord
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
PLAN = "plan.json"
MAKING, FINISHED = ".making-", ".finished"  # hidden folders: half made, and whole but not yet in its place
ROWS_AT_ONCE = 256  # rows kept in memory before they are written: some 4 MB
PUBLISH_ATTEMPTS = 20

_T = TypeVar("_T")


@dataclass(frozen=True)
class Extraction:
    """What became of a list of files.

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
            for file, outcome in self.outcomes():
                run.add(file, outcome)
            run.finish(self.record)
        return run.folder

    def outcomes(self) -> Iterator[tuple[str, Entry | Failure]]:
        """Yield what became of each file: first those that became vectors, then the others."""
        # pandas may hold NaN where a file says nothing
        table = self.table.astype(object).where(self.table.notna(), None)
        rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
        for row, thumbnail, vector in zip(rows, self.thumbnails, self.vectors, strict=True):
            yield row[FILE], Entry(Facts.from_row(row), thumbnail, vector)
        for file, *why in self.failures[failure_columns()].itertuples(index=False):
            yield file, Failure(*why)

    @classmethod
    def read(cls, folder: str | Path) -> Extraction:
        """Read what `RunFolder` wrote, all of it and strictly (`read_run` is tolerant).

        Raises:
            RunError: the folder holds no finished run, a damaged one, or one of another version.
        """
        folder = Path(folder)
        settle(folder)
        name = display_path(folder)
        try:
            return cls._read(folder)
        except ForeignRecord as error:
            raise RunError(f"the run in {name} is from another version: {error}; make it again") from error
        except PermissionError as error:
            raise RunError(f"the run in {name} cannot be read: are you allowed to?") from error
        except Exception as error:  # whatever a parser makes of a damaged file; its text may hold a path
            raise RunError(
                f"{name} holds no finished run, or a damaged one: make one with course embed INPUT -o {name}"
            ) from error

    @classmethod
    def _read(cls, folder: Path) -> Extraction:
        embeddings = read_member(folder, EMBEDDINGS, read_table)
        pictures = read_member(folder, THUMBNAILS, read_table)
        if embeddings["image_id"].to_pylist() != pictures["image_id"].to_pylist():
            raise ValueError("the files are not of one run")
        lists = embeddings["embedding"].combine_chunks()
        rows = embeddings.drop_columns("embedding").to_pylist()
        renderings = pictures.drop_columns(["image_id", "thumbnail"]).to_pylist()
        return cls(
            lists.values.to_numpy().reshape(len(lists), lists.type.list_size),
            as_table([{**row, **other} for row, other in zip(rows, renderings, strict=True)]),
            read_member(folder, FAILURES, read_failures),
            read_member(folder, RECORD, RunRecord.read),
            pictures["thumbnail"].to_pylist(),
        )


class RunInMemory:
    """A run that is kept in memory while it is made: what `add` took, `finish` gives as an Extraction."""

    def __init__(self, embedding_dim: int):
        self._embedding_dim = embedding_dim
        self._rows: list[tuple[str, Entry]] = []
        self._failures: list[tuple[str, ...]] = []

    def add(self, file: str, outcome: Entry | Failure) -> None:
        """Keep the row of one file: `file` is what the column of that name says."""
        if isinstance(outcome, Failure):
            self._failures.append((as_text(file), *vars(outcome).values()))
        else:
            self._rows.append((as_text(file), outcome))

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

    Rows go into a hidden folder in it as they come. `finish` renames that folder, which is one step, and then
    moves its files into their places. A run that is killed before that step leaves the results of the one
    before as they were; one that is killed after it is finished, and whoever comes next moves the rest
    (`settle`). Without `finish`, leaving the context leaves nothing behind.
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
        self._sweep()
        # A unique name: another run may be writing into the same folder just now.
        self._making = self.folder / f"{MAKING}{secrets.token_hex(4)}"
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self._making, ignore_errors=True)
            self._making.mkdir()
            self._files: list[IO[Any]] = []
            self._tables = {}
            for name, schema in self._schemas.items():
                # A Python file: unlike Arrow's errors, its errors name no folder.
                self._files.append(stack.enter_context((self._making / name).open("wb")))
                self._tables[name] = stack.enter_context(_parquet_writer(self._files[-1], schema))
            failures = (self._making / FAILURES).open("w", encoding="utf-8", newline="")
            self._files.append(stack.enter_context(failures))
            # Everything is quoted: a name may hold a carriage return.
            self._failures = csv.writer(failures, lineterminator="\n", quoting=csv.QUOTE_ALL)
            self._failures.writerow(failure_columns())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, file: str, outcome: Entry | Failure) -> None:
        """Write the row of one file: `file` is what the column of that name says."""
        os.utime(self._making)  # so that no other run takes it for abandoned
        if isinstance(outcome, Failure):
            self._failures.writerow([as_text(file), *vars(outcome).values()])
            return
        self._rows.append((as_text(file), outcome))
        if len(self._rows) == ROWS_AT_ONCE:
            self._write_rows()

    def finish(self, record: RunRecord) -> None:
        """Put everything in its place; nothing can be added afterwards."""
        self._write_rows()
        for writer in self._tables.values():
            writer.close()
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        write_atomic(self._making / "DISCLAIMER.txt", (DISCLAIMER + "\n").encode())
        record.write(self._making / RECORD)
        self._publish()

    def _publish(self) -> None:
        """Rename the folder with everything new, which is one step; then move its files into place."""
        for attempt in range(PUBLISH_ATTEMPTS):
            settle(self.folder)
            try:
                self._making.rename(self.folder / FINISHED)
                break
            except OSError as error:  # another run has done the same just now: its files first
                # It may have moved them meanwhile, so the error is asked, too. (Windows has another number.)
                taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST) or (self.folder / FINISHED).exists()
                if attempt == PUBLISH_ATTEMPTS - 1 or not taken:
                    raise
        settle(self.folder)

    def _sweep(self) -> None:
        """Delete what killed runs left half made."""
        sweep(self.folder)
        for making in self.folder.glob(f"{MAKING}*"):
            if is_abandoned(making):
                shutil.rmtree(making, ignore_errors=True)

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


def is_finished(folder: Path | Place) -> bool:
    """Return whether a folder holds a finished run: its record is the last file to be written."""
    return any((place / RECORD).is_file() for place in (folder / FINISHED, folder))


def settle(folder: Path) -> None:
    """Move the files of a finished run into their places, if it was killed before it had done so itself.

    What cannot be moved, say in a read-only folder, stays where `read_member` finds it.
    """
    with contextlib.suppress(OSError):
        for file in sorted((folder / FINISHED).iterdir()):
            with contextlib.suppress(FileNotFoundError):  # another run was faster
                file.replace(folder / file.name)
        (folder / FINISHED).rmdir()


def read_member(folder: Path, name: str, read: Callable[[Path], _T]) -> _T:
    """Return what `read` makes of a file of a finished run, moved into its place or not yet."""
    try:
        return read(folder / FINISHED / name)
    except (FileNotFoundError, NotADirectoryError):
        return read(folder / name)


def plan_of(folder: str | Path) -> dict[str, str]:
    """Return what a result keeps of the plan beside it, its sha256, so that nobody can plan it afterwards.

    Nothing where there is no plan.
    """
    with contextlib.suppress(OSError):
        return {"plan_sha256": sha256_of((Path(folder) / PLAN).read_bytes())}
    return {}


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file, its checksums checked. Arrow's errors name the whole path: quote none of them."""
    with pa.OSFile(os.fsencode(path)) as file:
        return pq.read_table(file, page_checksum_verification=True)


def read_failures(path: Path) -> pd.DataFrame:
    """Read the table of failures, each value as text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)[failure_columns()]


def as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as the DataFrame of an Extraction; a fact of several words is a tuple.

    What a folder of an earlier version does not say of its images is missing.
    """
    table = pd.DataFrame(rows, columns=table_columns())
    for name in Facts.words():
        table[name] = [tuple(row.get(name) or ()) for row in rows]
    return table


def _parquet_writer(file: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    note = {"disclaimer": DISCLAIMER}
    return pq.ParquetWriter(file, schema.with_metadata(note), use_dictionary=False, write_page_checksum=True)
