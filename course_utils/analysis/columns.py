"""One column of what is known about the images: categories or numbers, and where it says nothing.

A table of labels holds text, so a column is read by its values. Many numbers, or numbers with decimals, are a
measurement; a few whole ones are categories (BI-RADS 1 to 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Kind = Literal["categories", "number"]

MOST_CATEGORIES = 8
"""Whole numbers with more different values than this are a measurement, not categories."""


@dataclass(frozen=True)
class Column:
    """What a column says of N images.

    Attributes:
        kind: `"categories"` or `"number"`.
        known: bool `(N,)`, where it says something.
        values: `(N,)`: the number of each image's category, or the number itself; where nothing is known, 0.
        levels: the categories as text, in order; none for numbers.
    """

    kind: Kind
    known: NDArray[np.bool_]
    values: NDArray[np.int64] | NDArray[np.float64]
    levels: tuple[str, ...]

    @property
    def without_unit(self) -> NDArray[np.int64] | NDArray[np.float64]:
        """Return the values, numbers over a power of two: the largest is about 1, and can be squared."""
        if self.kind == "categories":
            return self.values
        return np.ldexp(self.values, -np.frexp(np.abs(self.values).max())[1])


def read_column(column: pd.Series) -> Column:
    """Return what a column says, as categories or as numbers."""
    known = column.notna().to_numpy()
    text = column[known].map(_written).astype(str)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(float)
    if len(numbers) and np.isfinite(numbers).all():
        whole = (numbers == np.round(numbers)).all()
        if not whole or len(np.unique(numbers)) > MOST_CATEGORIES:
            values = np.zeros(len(column))
            values[known] = numbers
            return Column("number", known, values, ())
    else:
        numbers = np.zeros(len(text))
    levels, first, of_known = np.unique(text.to_numpy(str), return_index=True, return_inverse=True)
    order = np.argsort(numbers[first], kind="stable")  # 10 comes after 9
    codes = np.zeros(len(column), np.int64)
    codes[known] = np.argsort(order)[of_known]
    return Column("categories", known, codes, tuple(map(str, levels[order])))


def _written(value: Any) -> Any:
    """Return a number as a whole one if it is: 2 and 2.0 are the same, the texts "2" and "2.0" may not be."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return int(value) if is_number and np.isfinite(value) and value == int(value) else value
