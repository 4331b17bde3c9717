"""What is known of the images of a run: by their own files, and by a table of labels that the user has.

Clusters are held against both. A table of labels has a column `sha256` or `file`, to tell which row is which
image, and any number of further columns, none of which may identify people.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from course_utils.files import display_path
from course_utils.records import COMPARED, FILE
from course_utils.runs.errors import LabelsError

IDENTIFYING = re.compile(r"patient.?(name|id)|birth|accession|address|phone|\bmrn\b", re.IGNORECASE)


def compared_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return what the files themselves say that clusters are held against, by the names that readers see.

    That is `records.COMPARED`, and the first folder below the input, where there are several.
    """
    compared = table[list(COMPARED)].rename(columns=COMPARED)
    folders = table[FILE].str.rpartition("/")[0]
    if folders.nunique() > 1:
        compared["folder"] = folders.str.split("/").str[0]
    return compared


def read_labels(file: str | Path) -> pd.DataFrame:
    """Read a table of labels, each value as text.

    Args:
        file: CSV in UTF-8, with a column `sha256` or `file` (as in embeddings.parquet).

    Raises:
        LabelsError: it is not there, is not such a table, or has a column that looks as if it identified
            people.
    """
    file = Path(file)
    if not file.is_file():
        raise LabelsError(f"there is no file {display_path(file)}")
    try:
        header, *_ = pd.read_csv(file, dtype=str, header=None, nrows=1).itertuples(index=False, name=None)
        table = pd.read_csv(file, dtype=str, index_col=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise LabelsError(f"{file.name} is no table: commas between columns, UTF-8") from error
    if not {"sha256", FILE} & set(table.columns):
        raise LabelsError(
            f"{file.name} needs a column sha256 or file (with commas between the columns), "
            "to tell which row is which image"
        )
    if len(set(header)) < len(header):
        raise LabelsError(f"two columns of {file.name} have the same name")
    if personal := [column for column in table if IDENTIFYING.search(str(column))]:
        raise LabelsError(f"column {personal[0]} looks as if it identifies people: take it out")
    return table


def match_labels(labels: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return what a table of labels says of the images of a run.

    Args:
        labels: from `read_labels`; rows are matched by sha256 where it has that column, else by file.
        table: `Extraction.table`, N rows.

    Returns:
        N rows with the index of `table`, NaN where an image has no row; columns that only say which image it
        is, or that the run has itself, are left out.

    Raises:
        LabelsError: no row belongs to any of the images.
    """
    key = "sha256" if "sha256" in labels else FILE
    known = {"image_id", FILE, "sha256", "cluster", "folder", *COMPARED, *COMPARED.values()}
    if not labels[key].isin(table[key]).any():
        raise LabelsError(f"no row's {key} is that of an embedded image")
    rows = labels.drop_duplicates(key).set_index(key).reindex(table[key])
    return rows[[column for column in rows if column not in known]].set_index(table.index)
