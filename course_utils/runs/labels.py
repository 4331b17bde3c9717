"""What is known about the images of a run: from their own files, and from the user's table of labels.

Clusters are compared with both. A table of labels has a column `sha256`, `file` or `patient_key`, to tell
which row is which image, and any number of further columns, none of which may identify people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from course_utils.files import as_text
from course_utils.records import COMPARED, FILE, SHOWN, WHERE_IT_VARIES, Facts, table_columns
from course_utils.runs.errors import LabelsError
from course_utils.runs.identifying import identifies_people
from course_utils.runs.tables import read_text_table

SHA256 = "sha256"
KEYS = (SHA256, FILE, "patient_key")
"""The columns by which a table says which images a row is about; the first that is there counts."""


@dataclass(frozen=True)
class MatchedLabels:
    """What a table of labels says of the images of a run.

    Attributes:
        columns: N rows with the index of the table of images, missing where a table says nothing.
        matched: how many of the N images have a row.
        unused: how many rows of the table belong to no image.
        left_out: columns that are not used, and why.
    """

    columns: pd.DataFrame
    matched: int
    unused: int
    left_out: dict[str, str]

    def sentence(self, skipped: Mapping[str, str]) -> str:
        """Say what was matched and what is not compared; `skipped` is `Evaluation.skipped`."""
        rows = "1 row" if self.unused == 1 else f"{self.unused} rows"
        words = f"labels: {self.matched} of {len(self.columns)} images matched, {rows} unused"
        reasons = self.left_out | {name: skipped[name] for name in map(str, self.columns) if name in skipped}
        listed = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
        return f"{words}; not compared: {listed}" if listed else words


def compared_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return what the files themselves say to compare clusters with, under the names that readers see.

    That is `records.COMPARED`, and the first folder below the input, if there are several.
    """
    compared = as_categories(table[[name for name in COMPARED if name in table]].rename(columns=COMPARED))
    folders = table[FILE].str.rpartition("/")[0]
    if folders.nunique() > 1:
        compared["folder"] = folders.str.split("/").str[0]
    return compared


def as_categories(known: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of images with several words as one text, as `magnification, spot compression`.

    What only matters where it varies (`records.WHERE_IT_VARIES`) is left out where it does not.
    """
    known = known.copy()
    for name in {SHOWN[each] for each in Facts.words()} & set(known):
        known[name] = [", ".join(words) or "none" for words in known[name]]
    same = [name for name in WHERE_IT_VARIES if name in known and known[name].nunique(dropna=False) < 2]
    return known.drop(columns=same)


def women(table: pd.DataFrame) -> pd.Series | None:
    """Return the woman of each image, or None if no file says whose it is.

    Where only some do not say so, each of those images counts as a woman of its own.
    """
    if "patient_key" not in table or table["patient_key"].isna().all():
        return None
    keys = table["patient_key"]
    own = pd.Series([f"image {row}" for row in range(len(keys))], index=keys.index)
    return keys.where(keys.notna(), own)


def read_labels(file: str | Path) -> pd.DataFrame:
    """Read a table of labels. Each value is text as it is written; only an empty cell is missing (None).

    Args:
        file: CSV in UTF-8, with a column `sha256`, `file` or `patient_key` (as in embeddings.parquet).

    Raises:
        LabelsError: it is not there, is not such a table, or has a column that looks as if it identified
            people.
    """
    file = Path(file)
    table = read_text_table(file)
    _check_columns([*table], as_text(file.name))
    return table


def match_labels(labels: pd.DataFrame, table: pd.DataFrame) -> MatchedLabels:
    """Find the rows of a table of labels that belong to the images of a run.

    Args:
        labels: from `read_labels`; rows are matched by sha256 if it has that column, else by file, else by
            patient_key, and then are of all her images.
        table: `Extraction.table`, N rows.

    Columns that only say which image it is, or that the run itself has, are left out. Several rows for one
    image count as one, as long as they do not contradict one another.

    Raises:
        LabelsError: no row belongs to any of the images, or rows of one image contradict one another.
    """
    key = next(name for name in KEYS if name in labels)
    keys = labels[key].str.lower() if key == SHA256 else labels[key]
    of_images = keys.isin(table[key].dropna()) & keys.notna()
    if not of_images.any():
        raise LabelsError(f"no row's {key} is that of an embedded image")
    named = {"image_id", *KEYS}
    known = {"cluster", "folder", *table_columns(), *SHOWN.values()} - named
    kept = [column for column in labels if column not in known | named]
    rows = labels.loc[of_images, kept].groupby(keys[of_images], sort=False)
    _refuse_contradictions(rows.nunique(), key)
    found = rows.first().astype(object).reindex(table[key]).set_index(table.index)
    return MatchedLabels(
        columns=found.where(found.notna(), None),
        matched=int(table[key].isin(keys.dropna()).sum()),
        unused=int((~of_images).sum()),
        left_out={column: "the run has it already" for column in labels if column in known},
    )


def _check_columns(columns: list[str], name: str) -> None:
    if not set(KEYS) & set(columns):
        raise LabelsError(
            f"{name} needs a column sha256, file or patient_key (with commas between the columns), "
            "to tell which row is which image"
        )
    if personal := next((column for column in columns if identifies_people(column)), None):
        raise LabelsError(f"column {personal} looks as if it identifies people: remove it")


def _refuse_contradictions(values: pd.DataFrame, key: str) -> None:
    """Raise LabelsError if `values`, how many values each image has in each column, exceeds one anywhere."""
    for column in values:
        contradicted = values.index[values[column] > 1]
        if len(contradicted):
            which = contradicted[0] if key == FILE else f"{key} {contradicted[0][:12]}…"
            more = f" (and {len(contradicted) - 1} more)" if len(contradicted) > 1 else ""
            raise LabelsError(
                f"rows contradict one another: {column} of {which}{more} has several values; leave one"
            )
