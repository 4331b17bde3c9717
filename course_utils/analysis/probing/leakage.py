"""Is there a way round the question? Pictures that are in two women at once, and names that tell the answer.

Vectors, the women, and what is known of the files go in; out come pairs of images that would sit on both
sides of any split, and what can be read off a file's name or size without looking at the picture (lesson 10).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.associations import two_decimals
from course_utils.analysis.checks import check_groups, check_seed, check_vectors, is_number
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.probing.models import without_unit
from course_utils.analysis.probing.probes import Probe, probe
from course_utils.analysis.probing.scores import NAMES, knowing_nothing

ALIKE = 0.95
"""From this cosine on, two vectors are those of near-duplicates, the mean of all taken off.

In the course's 156 women no two images of different women, nor the two breasts of one, come above 0.92. A
picture stored again as JPEG or with another gamma comes to 0.95 or more; moved, halved or with noise it may
not.
"""

ALIKE_THUMBNAILS = 0.98
"""The same for thumbnails. These differ less: there, different women come up to 0.96, the two breasts of one
to 0.976. A picture stored again as JPEG, or moved by one pixel of its thumbnail, comes to 0.976 or more."""

FEWEST_DIMS = 16
"""In fewer dimensions than this, vectors point the same way by chance."""

MOST_PAIRS = 1000
"""So many pairs are kept, the most alike first."""

_SIDE = 32
_LEAST_SIDE = 8
_CHUNK = 1000
_N_GRAMS = 200
_LARGEST_SIZE = 1e18


@dataclass(frozen=True)
class Twin:
    """Two images that are nearly the same picture, though their women are said to be different.

    Attributes:
        first, second: their rows.
        likeness: their cosine, 1 for the same picture.
        seen_in: `"vectors"` or `"thumbnails"`, whichever is more alike.
    """

    first: int
    second: int
    likeness: float
    seen_in: str


@dataclass(frozen=True)
class Leaks:
    """What would make a probe look better than it is.

    Attributes:
        twins: near-duplicates of different women, the most alike first, `MOST_PAIRS` at most.
        readable: for `"file names"`, `"numbers in the file names"` and `"sizes"`, what a probe of these alone
            reads of the target.
        warnings: a sentence on each thing found.
    """

    twins: tuple[Twin, ...]
    readable: dict[str, Probe]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        readable = {name: one.to_dict() for name, one in self.readable.items()}
        twins = [asdict(twin) for twin in self.twins]
        return {"twins": twins, "readable": readable, "warnings": [*self.warnings]}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Leaks:
        """Return what `to_dict` was called on. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            tuple(Twin(**twin) for twin in plain["twins"]),
            {name: Probe.from_dict(one) for name, one in plain["readable"].items()},
            tuple(map(str, plain["warnings"])),
        )


def leaks(
    vectors: ArrayLike,
    *,
    groups: ArrayLike,
    y: ArrayLike | pd.Series | None = None,
    files: Sequence[str] | None = None,
    sizes: ArrayLike | None = None,
    thumbnails: ArrayLike | None = None,
    alike: float = ALIKE,
    alike_thumbnails: float = ALIKE_THUMBNAILS,
    splits: int = 5,
    seed: int = 0,
) -> Leaks:
    """Look for near-duplicates across women, and for targets that the files give away.

    What is read off names and sizes is asked like anything else: a logistic regression, by women not in
    training, beside permutations. Of a name, folders included, it sees the pieces of up to three
    characters, and the numbers.

    Args:
        vectors: `(N, D)`, one row per image; with fewer than 16 dimensions no near-duplicates are looked for.
        groups: `(N,)`, the woman of each image.
        y: `(N,)`, a target as in `probe`; without it only near-duplicates are looked for.
        files: `(N,)`, the name of each file, with its folders.
        sizes: `(N,)` or `(N, columns)`: bytes, or rows and columns; NaN where they are not known.
        thumbnails: `(N, height, width)`, all of the same size, at least 8 × 8.
        alike, alike_thumbnails: from which cosine on two images are near-duplicates, above 0 and at most 1.
        splits: folds of women in which the files are asked, as in `probe`.
        seed: seed of every random choice.

    Raises:
        AnalysisError: anything of another length than the vectors, or a target that `probe` refuses.
    """
    seed = check_seed(seed)
    matrix = check_vectors(vectors)
    woman = check_groups(groups, len(matrix))
    if not all(is_number(one) and 0 < one <= 1 for one in (alike, alike_thumbnails)):
        raise AnalysisError(f"alike={alike!r}, {alike_thumbnails!r}: cosines above 0 and at most 1")
    seen = {"vectors": (matrix, alike)} if matrix.shape[1] >= FEWEST_DIMS else {}
    if thumbnails is not None:
        seen["thumbnails"] = (_small(thumbnails, len(matrix)), alike_thumbnails)
    twins = _twins(seen, woman)
    tables = {} if y is None else _tables(files, sizes, len(matrix))
    readable = {
        name: probe(table, y, groups=woman, splits=splits, repeats=2, seed=seed)  # type: ignore[arg-type]
        for name, table in tables.items()
    }
    return Leaks(twins, readable, (*_of_twins(twins), *_of_files(readable)))


def _twins(seen: dict[str, tuple[NDArray[np.float64], float]], woman: NDArray[np.int64]) -> tuple[Twin, ...]:
    found: dict[tuple[int, int], Twin] = {}
    for name, (matrix, alike) in seen.items():
        for first, second, likeness in zip(*_pairs(matrix, woman, alike), strict=True):
            before = found.get((first, second))
            if before is None or before.likeness < likeness:
                found[first, second] = Twin(int(first), int(second), round(float(likeness), 6), name)
    ranked = sorted(found.values(), key=lambda twin: (-twin.likeness, twin.first, twin.second))
    return tuple(ranked[:MOST_PAIRS])


def _pairs(
    matrix: NDArray[np.float64], woman: NDArray[np.int64], alike: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return first row, second row and cosine, the mean taken off, of pairs of different women that reach
    `alike`; of very many, the `MOST_PAIRS` most alike."""
    rows, columns, cosines = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    if (matrix == matrix[0]).all():
        return rows, columns, cosines
    centred = without_unit(matrix).astype(np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    units = centred / np.where(length > 0, length, 1.0)
    for start in range(0, len(units), _CHUNK):
        some = units[start : start + _CHUNK]
        cosine = some @ units[start:].T
        others = woman[start : start + _CHUNK, None] != woman[start:]
        row, column = np.nonzero(np.triu((cosine >= alike - 1e-5) & others, k=1))
        rows, columns = np.append(rows, start + row), np.append(columns, start + column)
        cosines = np.append(cosines, cosine[row, column])
        best = np.lexsort((columns, rows, -cosines))[:MOST_PAIRS]
        rows, columns, cosines = rows[best], columns[best], cosines[best]
    return rows, columns, np.minimum(cosines, 1.0)


def _small(thumbnails: ArrayLike, rows: int) -> NDArray[np.float64]:
    """Return thumbnails as vectors of at most 32 × 32 means of blocks, so that noise counts little."""
    try:
        pictures = np.asarray(thumbnails)
    except ValueError:
        raise AnalysisError("thumbnails differ in size: make them all the same") from None
    if pictures.ndim != 3 or len(pictures) != rows or min(pictures.shape[1:]) < _LEAST_SIDE:
        raise AnalysisError(
            f"thumbnails have shape {pictures.shape}; needed is ({rows}, height, width), "
            f"{_LEAST_SIDE} × {_LEAST_SIDE} or more"
        )
    if pictures.dtype.kind not in "biuf" or not np.isfinite(pictures).all():
        raise AnalysisError("thumbnails hold something other than finite gray values")
    for axis in (1, 2):
        edges = np.linspace(0, pictures.shape[axis], min(_SIDE, pictures.shape[axis]) + 1).astype(int)
        widths = np.diff(edges).reshape([-1 if each == axis else 1 for each in range(3)])
        pictures = np.add.reduceat(pictures.astype(float), edges[:-1], axis=axis) / widths
    return pictures.reshape(rows, -1)


def _tables(
    files: Sequence[str] | None, sizes: ArrayLike | None, rows: int
) -> dict[str, NDArray[np.float64]]:
    """Return what is known of the files as tables of numbers; none where all files are the same in it."""
    tables = {}
    if files is not None:
        if len(files) != rows:
            raise AnalysisError(f"{len(files)} file names for {rows} vectors: there must be one for each")
        names = [str(name) for name in files]
        tables = {"file names": _pieces(names), "numbers in the file names": _numbers(names)}
    if sizes is not None:
        tables["sizes"] = _sizes(sizes, rows)
    scaled = {name: _in_units(table) for name, table in tables.items()}
    return {name: table for name, table in scaled.items() if table.any()}


def _sizes(sizes: ArrayLike, rows: int) -> NDArray[np.float64]:
    """Return sizes (N, columns), the mean of the others where one is not known, and where that is so."""
    try:
        table = np.atleast_1d(np.asarray(sizes, float))
    except (TypeError, ValueError):
        raise AnalysisError("sizes are numbers, NaN where they are not known") from None
    if len(table) != rows:
        raise AnalysisError(f"{len(table)} sizes for {rows} vectors: there must be one for each")
    table = table.reshape(rows, -1)
    missing = np.isnan(table)
    known = np.where(missing, 0.0, table)
    if np.abs(known).max(initial=0.0) > _LARGEST_SIZE:
        raise AnalysisError("a size is infinite, or larger than any file")
    mean = known.sum(axis=0) / (~missing).sum(axis=0).clip(1)
    return np.hstack([np.where(missing, mean, table), missing])


def _pieces(names: list[str]) -> NDArray[np.float64]:
    """Return which short pieces each name has."""
    from sklearn.feature_extraction.text import CountVectorizer

    if not any(names):
        return np.zeros((len(names), 1))
    pieces = CountVectorizer(
        analyzer="char", ngram_range=(1, 3), binary=True, max_features=_N_GRAMS, lowercase=False
    )
    return pieces.fit_transform(names).toarray().astype(float)


def _numbers(names: list[str]) -> NDArray[np.float64]:
    """Return the numbers in each name, 0 where another has more: files counted through keep their order."""
    numbers = [re.findall(r"\d{1,15}", name) for name in names]
    width = max(map(len, numbers))
    table = [[float(one) for one in row] + [0.0] * (width - len(row)) for row in numbers]
    return np.array(table).reshape(len(names), width)


def _in_units(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns that vary, each divided by its spread: their units are not comparable."""
    centred = table - table.mean(axis=0)
    spread = centred.std(axis=0)
    return centred / np.where(spread > 0, spread, 1.0)


def _of_twins(twins: tuple[Twin, ...]) -> tuple[str, ...]:
    if not twins:
        return ()
    first, more = twins[0], len(twins) - 1
    count = f"at least {more}" if len(twins) >= MOST_PAIRS else str(more)
    others = "" if not more else f", as are {count} more pairs" if more > 1 else ", as is 1 more pair"
    return (
        f"Images {first.first} and {first.second} are of different women and nearly the same picture (cosine "
        f"{two_decimals(first.likeness)} of their {first.seen_in}){others}: one woman under two keys can be "
        "on both sides of a split.",
    )


def _of_files(readable: dict[str, Probe]) -> tuple[str, ...]:
    return tuple(
        f"{found.target} can be read off the {name} alone ({NAMES[found.measure]} {found.score.words}, where "
        f"{knowing_nothing(found.measure, found.chance_level)}): it is tied to how the files came about, so "
        "that a probe may have found that instead."
        for name, found in readable.items()
        if found.is_more_than_chance
    )
