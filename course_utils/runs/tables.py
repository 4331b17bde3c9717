"""A user's table: a CSV file in UTF-8, each value text as it is written."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from course_utils.files import as_text, display_path
from course_utils.runs.errors import LabelsError

NO_TABLE = "is not a comma-separated UTF-8 file"
LONGEST_CELL = 2**20
"""Characters that a cell may have; Python's own limit is 2**17."""


def read_text_table(file: Path) -> pd.DataFrame:
    """Read a table. Only an empty cell is missing (None).

    Raises:
        LabelsError: it is not there, is not such a table, or two of its columns have the same name.
    """
    name = as_text(file.name)
    if not file.is_file():
        raise LabelsError(f"there is no file {display_path(file)}")
    _refuse_packed(file, name)
    try:
        header, *rows = _read_cells(file)
    except (ValueError, csv.Error) as error:  # no line, bytes that are not UTF-8, or unmatched quotes
        raise LabelsError(f"{name} {NO_TABLE}") from error
    while header and not header[-1].strip() and not any(any(row[len(header) - 1 :]) for row in rows):
        header.pop()  # commas at the ends of lines
    columns = [column.strip() or f"column {number}" for number, column in enumerate(header, start=1)]
    if len(set(columns)) < len(columns):
        raise LabelsError(f"two columns of {name} have the same name")
    for number, row in enumerate(rows, start=2):
        if any(row[len(columns) :]):
            raise LabelsError(f"row {number} of {name} has more cells than there are columns")
    padded = [[*row, *[""] * len(columns)][: len(columns)] for row in rows if row]
    return pd.DataFrame([[cell or None for cell in row] for row in padded], columns=columns, dtype=object)


def _refuse_packed(file: Path, name: str) -> None:
    with file.open("rb") as stream:
        start = stream.read(6)
    if start[:4] == b"PK\x03\x04":
        raise LabelsError(f"{name} is a spreadsheet or a ZIP archive: save the table as CSV (UTF-8)")
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"(\xb5/\xfd")):
        raise LabelsError(f"{name} is compressed: unpack it first")


def _read_cells(file: Path) -> list[list[str]]:
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.reader(stream, strict=True))
    finally:
        csv.field_size_limit(before)
