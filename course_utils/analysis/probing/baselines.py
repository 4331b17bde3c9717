"""What stands beside a probe: the same question asked of something much simpler than a network (lesson 10).

Columns go in, such as the mean gray, a histogram, or the thickness of the breast; out comes what they say of
the same images, in the same folds. A vector that cannot beat its histogram has added nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.columns import read_column
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.probing.scores import Score

_LARGEST = 1e100
_MOST_CATEGORIES = 256


@dataclass(frozen=True)
class Baseline:
    """What something simpler than the vectors says of the target.

    Attributes:
        columns: how many numbers each image has in it.
        scores: each measure.
        difference: the main measure of the vectors, less that of the baseline, on the same draws of women.
    """

    columns: int
    scores: dict[str, Score]
    difference: Score

    @property
    def is_beaten(self) -> bool:
        """Return whether the interval of the difference lies above zero."""
        return self.difference.low is not None and self.difference.low > 0

    @property
    def wins(self) -> bool:
        """Return whether the interval of the difference lies below zero."""
        return self.difference.high is not None and self.difference.high < 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        scores = {name: score.to_dict() for name, score in self.scores.items()}
        return {"columns": self.columns, "scores": scores, "difference": self.difference.to_dict()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Baseline:
        """Rebuild from what `to_dict` returned; KeyError, TypeError or ValueError for anything else."""
        scores = {name: Score.from_dict(score) for name, score in plain["scores"].items()}
        return cls(plain["columns"], scores, Score.from_dict(plain["difference"]))


def read_baselines(
    baselines: Mapping[str, ArrayLike | pd.Series | pd.DataFrame] | None, rows: int
) -> dict[str, NDArray[np.float64]]:
    """Return each baseline as numbers (N, columns): categories as one indicator each, what is unknown as NaN.

    Raises:
        AnalysisError: another number of rows than vectors, no number at all, or infinity.
    """
    if not isinstance(baselines, Mapping | None):
        raise AnalysisError("baselines are given by name: {'mean gray': values}")
    tables = {str(name): _table(str(name), given) for name, given in (baselines or {}).items()}
    for name, table in tables.items():
        if len(table) != rows:
            raise AnalysisError(f"the baseline {name} has {len(table)} rows for {rows} vectors")
        if not table.size or np.isinf(table).any() or np.isnan(table).all():
            raise AnalysisError(f"the baseline {name} holds infinity, or no number at all: leave it out")
        if np.nanmax(np.abs(table)) > _LARGEST:
            raise AnalysisError(f"the baseline {name} is too large to be squared: give it in another unit")
    return tables


def _table(name: str, given: ArrayLike | pd.Series | pd.DataFrame) -> NDArray[np.float64]:
    try:
        array = np.asarray(given)
        if array.dtype.kind not in "biuf":  # in an array of texts NaN would be one more category
            array = np.asarray(given, object)
    except ValueError:
        raise AnalysisError(f"the baseline {name} has rows of different lengths") from None
    if array.ndim == 2:
        try:
            return np.where(pd.isna(array), np.nan, array).astype(float)
        except (TypeError, ValueError):
            raise AnalysisError(
                f"the baseline {name} is not a table of numbers: give its columns one by one"
            ) from None
    if array.ndim != 1:
        raise AnalysisError(f"the baseline {name} has shape {array.shape}; needed is (N,) or (N, columns)")
    values = pd.Series(array)
    if values.map(lambda value: isinstance(value, complex | list | tuple | dict | set | np.ndarray)).any():
        raise AnalysisError(f"the baseline {name} is not one text or one number for each image")
    try:
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(float, na_value=np.nan)
    except OverflowError:
        numbers = np.full(len(values), np.inf)
    if np.isinf(numbers).any():
        return numbers[:, None]  # which is refused
    column = read_column(values)
    if column.kind == "number":
        return np.where(column.known, column.values, np.nan)[:, None]
    if len(column.levels) > _MOST_CATEGORIES:
        raise AnalysisError(
            f"the baseline {name} has {len(column.levels)} different texts, which name images and tell "
            "nothing of others: leave it out"
        )
    return ((column.values[:, None] == np.arange(len(column.levels))) & column.known[:, None]).astype(float)
