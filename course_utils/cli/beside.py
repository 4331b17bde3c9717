"""What of the labels stands beside a probe (what of the pictures does: `imaging.thumbnails`).

Columns go in; out come those that a probe is held against, and why a column is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MOST_COLUMNS = 8
"""So many columns of the labels stand beside a probe, in the order of the table."""
SIZES = ("rows", "columns", "width", "height", "bytes")
"""What columns are called that say how large a file or its picture is."""

MEAN_GRAY, HISTOGRAM = "mean gray", "histogram"


def columns_beside(
    labels: pd.DataFrame, target: str, groups: pd.Series, group_name: str
) -> tuple[dict[str, pd.Series], dict[str, str]]:
    """Return the columns of the labels that a probe is held against, and why the others are not.

    Numbers and few categories are taken; what names a woman or an image, or is the target by another name, is
    not.
    """
    from course_utils.analysis import AnalysisError
    from course_utils.analysis.columns import MOST_CATEGORIES, read_column
    from course_utils.analysis.probing.baselines import read_baselines

    asked = labels.get(target)
    taken: dict[str, pd.Series] = {}
    left_out: dict[str, str] = {}
    for name in map(str, labels):
        if name in (target, group_name):
            continue
        column = read_column(labels[name])
        if name in (MEAN_GRAY, HISTOGRAM):
            why = "measured on the pictures instead"
        elif name.lower() in SIZES:
            why = "a size: looked at for leaks"
        elif not column.known.any() or (column.values[column.known] == column.values[column.known][0]).all():
            why = "the same everywhere"
        elif names_one_by_one(labels[name], groups):
            why = "it names women or images"
        elif len(column.levels) > MOST_CATEGORIES:
            why = f"more than {MOST_CATEGORIES} different values"
        elif asked is not None and column.levels and _is_the_same(labels[name], asked):
            why = f"{target} by another name"
        elif len(taken) == MOST_COLUMNS:
            why = f"{MOST_COLUMNS} others stand there already"
        else:
            try:
                read_baselines({name: labels[name]}, len(labels))
            except AnalysisError as error:  # infinity, or numbers too large to reckon with
                why = str(error).replace(f"the baseline {name}", "it", 1)
            else:
                taken[name] = labels[name]
                continue
        left_out[name] = why
    return taken, left_out


def sizes(labels: pd.DataFrame) -> NDArray[np.float64] | None:
    """Return the sizes of the files or their pictures `(N, columns)`; None where the labels do not say."""
    from course_utils.analysis.columns import read_column

    found = [labels[name] for name in map(str, labels) if name.lower() in SIZES]
    return numbers_of(found) if found and all(read_column(one).known.all() for one in found) else None


def numbers_of(columns: Sequence[pd.Series]) -> NDArray[np.float64] | None:
    """Return columns as numbers (N, columns), or None where a value is none."""
    import numpy as np
    import pandas as pd

    numbers = np.column_stack([pd.to_numeric(one, errors="coerce").to_numpy(float) for one in columns])
    return numbers if np.isfinite(numbers).all() else None


def names_one_by_one(column: pd.Series, groups: pd.Series) -> bool:
    """Return whether a column tells women, or images, apart one by one, as a key or a running number does.

    Numbers that differ from woman to woman may be a measurement; those that are whole and lie close together
    were counted through.
    """
    import numpy as np

    from course_utils.analysis.columns import read_column

    found = read_column(column)
    values, owner = found.values[found.known], groups[found.known]
    table = column[found.known].to_frame("value").assign(value=values, owner=owner.to_numpy())
    pairs = table.drop_duplicates()
    of_women = pairs["value"].is_unique and pairs["owner"].is_unique
    if not (of_women or table["value"].is_unique) or len(pairs) < 2:
        return False
    if found.levels:
        return True
    return bool((values == np.round(values)).all() and np.ptp(values) < 2 * len(pairs))


def _is_the_same(one: pd.Series, other: pd.Series) -> bool:
    """Return whether two columns divide the images alike, where both are known."""
    both = one.notna() & other.notna()
    pairs = one[both].astype(str).to_frame("one").assign(other=other[both].astype(str)).drop_duplicates()
    return len(pairs) > 1 and pairs["one"].is_unique and pairs["other"].is_unique
