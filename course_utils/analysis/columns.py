"""One column of what is known about the images: categories or numbers, and where it says nothing.

A table of labels holds text, so a column is read by its values. Many numbers, or numbers with decimals, are a
measurement; a few whole ones are categories (BI-RADS 1 to 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Kind = Literal["categories", "number"]

MOST_CATEGORIES = 8
"""Whole numbers with more different values than this are a measurement, not categories."""

_EXACT = 2.0**53  # from here on, two whole numbers may be the same float


@dataclass(frozen=True)
class Column:
    """What a column says of N images.

    Attributes:
        kind: `"categories"` or `"number"`.
        known: bool `(N,)`, where it says something.
        values: `(N,)`: the number of each image's category, or the number itself, over a power of two so that
            the largest is about 1 and its square neither too large nor zero; where nothing is known, 0.
        levels: the categories as text, in order; none for numbers.
    """

    kind: Kind
    known: NDArray[np.bool_]
    values: NDArray[np.int64] | NDArray[np.float64]
    levels: tuple[str, ...]


def read_column(column: pd.Series) -> Column:
    """Return what a column says, as categories or as numbers."""
    known = column.notna().to_numpy()
    text = column[known].astype(str)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(float)
    if len(numbers) and np.isfinite(numbers).all():
        whole = (numbers == np.round(numbers)).all()
        if not whole or len(np.unique(numbers)) > MOST_CATEGORIES:
            values = np.zeros(len(column))
            values[known] = np.ldexp(numbers, -np.frexp(np.abs(numbers).max())[1])
            return Column("number", known, values, ())
        if np.abs(numbers).max() < _EXACT:  # so that "2" and "2.0" are the same, and 10 comes after 9
            numbers, of_known = np.unique(numbers, return_inverse=True)
            return Column("categories", known, _codes(known, of_known), tuple(f"{n:.0f}" for n in numbers))
    levels, of_known = np.unique(text.to_numpy(str), return_inverse=True)
    return Column("categories", known, _codes(known, of_known), tuple(map(str, levels)))


def _codes(known: NDArray[np.bool_], of_known: NDArray[np.int64]) -> NDArray[np.int64]:
    codes = np.zeros(len(known), np.int64)
    codes[known] = of_known
    return codes
