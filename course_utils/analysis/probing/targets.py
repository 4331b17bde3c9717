"""What a probe is asked for: classes or numbers, on which images they are known, and whether it can be asked.

A column of a table goes in, one value per image; out comes what a model can be fitted to, or one sentence on
why no model can (lesson 10).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.columns import Kind, read_column
from course_utils.analysis.errors import AnalysisError

_LEAST_SPREAD = 1e-280  # its square root, and what a bad model makes of it, can still be squared

MOST_CLASSES = 50
"""A text with more different values than this is no class that a probe could tell."""


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
        AnalysisError: another number of values than vectors, none of them known, all of them the same, or
            something that is neither a class nor a number.
    """
    given = one_column(y)
    name = " ".join(str(given.name).split()) if given.name is not None else ""
    name = name or "the target"
    if len(given) != rows:
        count = "1 value" if len(given) == 1 else f"{len(given)} values"
        raise AnalysisError(f"{count} of {name} for {rows} vectors: there must be one for each")
    if given.map(lambda value: isinstance(value, complex | list | tuple | dict | set | np.ndarray)).any():
        raise AnalysisError(f"{name} is not one text or one number for each image: give a single column")
    given = given.mask(given.astype(str).str.strip() == "")
    try:
        infinite = np.isinf(pd.to_numeric(given, errors="coerce").to_numpy(float, na_value=np.nan)).any()
    except OverflowError:
        infinite = True
    if infinite:
        raise AnalysisError(
            f"{name} is infinite somewhere, or past counting: leave these values out, and find out why"
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
    if column.kind == "number":
        with np.errstate(over="ignore", invalid="ignore"):
            spread = float(((values - values.mean()) ** 2).sum())
        if not _LEAST_SPREAD < spread < 1 / _LEAST_SPREAD:
            raise AnalysisError(f"{name} is too large or too small to be squared: give it in another unit")
    else:
        values, levels = _in_order(values, levels, given)
    if ordered is None:
        ordered = len(levels) > 2 and _have_an_order(levels, given)
    return Target(name, column.kind, known, values, levels, bool(ordered) and len(levels) > 2)


def women_of_classes(codes: NDArray[np.int64], woman: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return how many women have an image of each class (classes,)."""
    pairs = np.unique(np.column_stack([woman, codes]), axis=0)
    return np.bincount(pairs[:, 1], minlength=classes)


def check_classes(target: Target, woman: NDArray[np.int64], splits: int, *, nested: int = 0) -> None:
    """Raise AnalysisError if a class has fewer women than there are folds, or there are fewer women at all.

    Args:
        target: what is asked.
        woman: `(M,)`, the woman of each image for which it is known.
        splits: into how many folds the women are split.
        nested: where something is tuned or recalibrated in folds of the folds, so many women that takes.
    """
    women = len(np.unique(woman))
    if women < splits:
        of = "1 woman" if women == 1 else f"{women} women"
        raise AnalysisError(f"{of} cannot be split into {splits} folds: ask for fewer splits")
    if women < nested:
        raise AnalysisError(f"tuning inside the folds takes at least {nested} women, and here are {women}")
    of_class = np.zeros(0, int)
    if target.levels:
        of_class = women_of_classes(target.values, woman, len(target.levels))
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
        if count < nested:
            raise AnalysisError(
                f"only {count} women have {target.name} {level}, and tuning or recalibrating inside folds "
                f"takes at least {nested} of each class: leave it out, join classes, or leave this one out"
            )
    if len(target.levels) > MOST_CLASSES:
        raise AnalysisError(
            f"{target.name} has {len(target.levels)} classes, and a probe tells {MOST_CLASSES} apart at "
            "most: join some"
        )


def one_column(y: ArrayLike | pd.Series) -> pd.Series:
    """Return the target as a Series, counted from 0, in which what is missing is missing."""
    if isinstance(y, pd.Series):
        return y.reset_index(drop=True)
    if isinstance(y, pd.DataFrame) or (isinstance(y, np.ndarray) and y.ndim > 1):
        raise AnalysisError("the target has several columns: give one, with one value for each image")
    if isinstance(y, np.ndarray | pd.Index | pd.api.extensions.ExtensionArray) and np.ndim(y) == 1:
        return pd.Series(y).rename(None)
    # As objects: an array would make texts of all, so that NaN would be one more class.
    return pd.Series(list(y) if isinstance(y, Iterable) and not isinstance(y, str) else [y], dtype=object)


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
