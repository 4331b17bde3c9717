"""What a probe is asked for: classes or numbers, on which images they are known, and whether it can be asked.

A column of a table goes in, one value per image; out comes what a model can be fitted to, or one sentence on
why no model can (lesson 10).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.columns import Kind, read_column
from course_utils.analysis.errors import AnalysisError


@dataclass(frozen=True)
class Target:
    """What is to be read off N vectors.

    Attributes:
        name: what it is called in sentences.
        kind: `"categories"` or `"number"`.
        rows: int `(M,)`, the images for which it is known.
        values: `(M,)`: the number of each image's class, or the number itself.
        levels: the classes as text, in order; none for numbers.
        ordered: whether that order means something (density a to d), so that a near miss counts less.
    """

    name: str
    kind: Kind
    rows: NDArray[np.int64]
    values: NDArray[Any]
    levels: tuple[str, ...]
    ordered: bool

    @property
    def chance(self) -> float:
        """Return what knowing nothing gives: a balanced accuracy of one over the classes, or an R² of 0."""
        return 1 / len(self.levels) if self.levels else 0.0


def read_target(y: ArrayLike | pd.Series, rows: int, ordered: bool | None = None) -> Target:
    """Return the target of a probe; values that are missing, NaN or empty leave their image out.

    Args:
        y: `(N,)`. Many numbers, or numbers with decimals, are a measurement; a few whole ones and any text
            are classes. A Series brings its name.
        rows: how many vectors there are.
        ordered: whether the classes have an order; None: they do if they are an ordered Categorical, whole
            numbers, or single letters one after the other (a, b, c), and three or more.

    Raises:
        AnalysisError: another number of values than vectors, none of them known, or all of them the same.
    """
    given = y.reset_index(drop=True) if isinstance(y, pd.Series) else pd.Series(np.asarray(y).tolist())
    name = str(given.name) if given.name is not None else "the target"
    if len(given) != rows:
        raise AnalysisError(f"{len(given)} values of {name} for {rows} vectors: there must be one for each")
    given = given.mask(given.astype(str).str.strip() == "")
    if np.isinf(pd.to_numeric(given, errors="coerce").to_numpy(float)).any():
        raise AnalysisError(
            f"{name} is infinite somewhere: leave these values out, and find out why they are"
        )
    column = read_column(given)
    known = np.flatnonzero(column.known)
    if not len(known):
        raise AnalysisError(f"{name} is known for none of the {rows} images: there is nothing to learn from")
    values, levels = column.values[known], column.levels
    if (values == values[0]).all():
        raise AnalysisError(
            f"{name} is the same for all {len(known)} images where it is known: a probe tells at least two "
            "classes apart"
        )
    if column.kind == "categories":
        values, levels = _in_order(values, levels, given)
    if ordered is None:
        ordered = len(levels) > 2 and _have_an_order(levels, given)
    return Target(name, column.kind, known, values, levels, bool(ordered) and len(levels) > 2)


def check_classes(target: Target, woman: NDArray[np.int64], splits: int) -> None:
    """Raise AnalysisError if a class has fewer women than there are folds, or there are fewer women at all.

    Args:
        target: what is asked.
        woman: `(M,)`, the woman of each image for which it is known.
        splits: into how many folds the women are split.
    """
    women = len(np.unique(woman))
    if women < splits:
        raise AnalysisError(f"{women} women cannot be split into {splits} folds: ask for fewer splits")
    pairs = np.unique(np.column_stack([woman, target.values]), axis=0) if target.levels else np.empty((0, 2))
    of_class = np.bincount(pairs[:, 1].astype(int), minlength=len(target.levels))
    if len(of_class) and (of_class == 1).all():
        raise AnalysisError(
            f"each {target.name} is that of one woman: it names her, so nothing can be learnt from the others"
        )
    for level, count in zip(target.levels, of_class, strict=True):
        if count < splits:
            whom = "1 woman has" if count == 1 else f"{count} women have"
            raise AnalysisError(
                f"only {whom} {target.name} {level}, and {splits} folds need at least as many women of each "
                "class: join classes, leave this one out, or ask for fewer splits"
            )


def _in_order(
    codes: NDArray[np.generic], levels: tuple[str, ...], given: pd.Series
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return codes and levels in the order of a Categorical, or of numbers, or else of the alphabet."""
    if isinstance(given.dtype, pd.CategoricalDtype):
        there = [str(level) for level in given.dtype.categories if str(level) in levels]
        order = [levels.index(level) for level in there]
    elif _numbers(levels):
        order = sorted(range(len(levels)), key=lambda i: float(levels[i]))
    else:
        order = list(range(len(levels)))
    new = np.argsort(order)[np.asarray(codes, np.int64)]
    return new.astype(np.int64), tuple(levels[i] for i in order)


def _numbers(levels: tuple[str, ...]) -> bool:
    return bool(np.isfinite(pd.to_numeric(pd.Series(levels), errors="coerce").to_numpy(float)).all())


def _have_an_order(levels: tuple[str, ...], given: pd.Series) -> bool:
    if isinstance(given.dtype, pd.CategoricalDtype):
        return bool(given.dtype.ordered)
    if _numbers(levels):
        return True
    letters = [ord(level.lower()) for level in levels if len(level) == 1 and level.isalpha()]
    return len(letters) == len(levels) and letters == list(range(letters[0], letters[0] + len(letters)))
