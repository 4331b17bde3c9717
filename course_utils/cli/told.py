"""What a table says of files that do not say it themselves: view, side and patient (lesson 01).

A picture file names nobody. In: a CSV table with a column `file`. Out: one `Told` for each file of a run, in
its order; the patients are pseudonyms from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from course_utils.files import as_text
from course_utils.imaging.identity import PROCESS_KEY, VIEWS, patient_key
from course_utils.records import FILE, Told
from course_utils.runs.errors import LabelsError
from course_utils.runs.tables import read_text_table

COLUMNS = (FILE, "view", "laterality", "patient", "issuer")
"""The columns that are read; `laterality` may be called side. Others are left alone."""

SIDES = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}


def read_told(table: Path, names: Sequence[str], key: bytes | None) -> list[Told]:
    """Return what a table says of each file of a run.

    Args:
        table: CSV in UTF-8, one row per file; `file` as in failures.csv, relative to the input.
        names: N names of files.
        key: keys the pseudonyms of patients, as for `read_mammogram`.

    Raises:
        LabelsError: it is no such table, says the same of a file twice, names a view or a side that there is
            not, or names none of the files.
    """
    rows, name = read_text_table(table), as_text(table.name)
    if {"laterality", "side"} <= set(rows):
        raise LabelsError(f"{name} has both a column laterality and a column side: remove one")
    rows = rows.rename(columns={"side": "laterality"})
    if FILE not in rows or len({*COLUMNS[1:4]} & set(rows)) == 0:
        raise LabelsError(f"{name} needs a column file, and one of view, laterality and patient")
    told: dict[str, Told] = {}
    for number, cells in enumerate(rows.to_dict("records"), start=2):
        row = {str(column): cell for column, cell in cells.items()}
        file = row[FILE]
        if not file:
            continue
        if file in told:
            raise LabelsError(f"row {number} of {name} names a file for the second time")
        told[file] = _told(row, f"row {number} of {name}", key or PROCESS_KEY)
    if names and not set(names) & set(told):
        raise LabelsError(f"{name} names none of the files: its column file is relative to the input")
    return [told.get(each, Told()) for each in names]


def _told(row: dict[str, str | None], where: str, key: bytes) -> Told:
    view, side = ((row.get(column) or "").strip().upper() for column in ("view", "laterality"))
    if view and view not in VIEWS:
        raise LabelsError(f"{where} has a view that there is not; there are {', '.join(sorted(VIEWS))}")
    if side and side not in SIDES:
        raise LabelsError(f"{where} has a laterality that is neither L nor R")
    patient = (row.get("patient") or "").strip()
    return Told(
        patient_key=patient_key(patient, key, row.get("issuer")) if patient else None,
        view=view or None,
        laterality=SIDES.get(side),
    )
