"""What an analysis takes: each check returns its argument in the form that the others work on.

If it cannot, it raises AnalysisError with a sentence on what is wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.errors import AnalysisError

NOISE = -1
"""The label of an image that belongs to no cluster."""


def check_vectors(vectors: ArrayLike, *, least: int = 2) -> NDArray[np.float64]:
    """Return `vectors` as float64 (N, D), or raise AnalysisError saying why no analysis can use them."""
    try:
        matrix = np.asarray(vectors, np.float64)
    except (TypeError, ValueError):
        raise AnalysisError(
            "the vectors are not one table of numbers: give an array (N, D), one row per image"
        ) from None
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise AnalysisError(f"vectors have shape {matrix.shape}; needed is (N, D), one row per image")
    if len(matrix) < least:
        got = "1 vector" if len(matrix) == 1 else f"{len(matrix)} vectors"
        raise AnalysisError(f"got {got}; at least {least} are needed here: embed more images")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise AnalysisError(f"vector {row} holds NaN or infinity: leave it out, and find out why it does")
    with np.errstate(over="ignore", under="ignore"):
        spread = float(((matrix - matrix[0]) ** 2).sum())
    if not np.isfinite(spread * len(matrix)):
        raise AnalysisError(
            "the vectors hold numbers too large to be squared: divide them all by the largest"
        )
    if spread < np.finfo(float).tiny and (matrix != matrix[0]).any():
        raise AnalysisError(
            "the vectors differ by numbers too small to be squared: divide them all by the largest"
        )
    if spread == 0:
        raise AnalysisError(
            f"all {len(matrix)} vectors are identical, so nothing sets them apart: is it one image many "
            "times, or did preprocessing make every picture the same?"
        )
    return matrix


def check_dims(dims: int, matrix: NDArray[np.float64]) -> int:
    """Return `dims` if `matrix` (N, D) has that many principal components, else raise AnalysisError."""
    most = min(len(matrix) - 1, matrix.shape[1])
    if not is_whole(dims) or not 1 <= dims <= most:
        numbers = _counted(matrix.shape[1], "number")
        range_of = "1 dimension" if most == 1 else f"between 1 and {most} dimensions"
        raise AnalysisError(
            f"dims={dims!r}: {len(matrix)} vectors of {numbers} have {range_of} (never more than the number "
            "of vectors minus one)"
        )
    return int(dims)


def is_whole(number: object) -> bool:
    """Return whether it is an integer, Python's or NumPy's; True, 2.0 and "2" are none."""
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def is_number(number: object) -> bool:
    """Return whether it is one real number, Python's or NumPy's; True and "2" are none."""
    return is_whole(number) or isinstance(number, float | np.floating)


def check_whole(name: str, number: int, least: int) -> int:
    """Return a whole number as an int, or raise AnalysisError if it is none or below the least."""
    if not is_whole(number) or number < least:
        raise AnalysisError(f"{name}={number!r}: it is a whole number, at least {least}")
    return int(number)


def check_seed(seed: int) -> int:
    """Return `seed` as an int that every generator accepts, 0 to 2³² − 1, or raise AnalysisError."""
    if not is_whole(seed) or not 0 <= seed < 2**32:
        raise AnalysisError(f"seed={seed!r}: a seed is a whole number from 0 to {2**32 - 1}")
    return int(seed)


def check_groups(groups: ArrayLike | Sequence[str] | pd.Series, rows: int) -> NDArray[np.int64]:
    """Return the group of each row, the woman, as a number (N,) from 0 in the order of their first row.

    Raises:
        AnalysisError: another number of groups than rows, or a row without one, be it missing or blank.
    """
    named = np.asarray(groups, object)
    if named.ndim > 1:
        raise AnalysisError(f"groups have shape {named.shape}; needed is (N,), one per image")
    given = pd.Series(named)
    if len(given) != rows:
        raise AnalysisError(f"{_counted(len(given), 'group')} for {rows} vectors: there must be one for each")
    blank = given.isna() | given.map(lambda key: isinstance(key, str) and not key.strip())
    if blank.any():
        row = int(np.flatnonzero(blank)[0])
        raise AnalysisError(
            f"row {row} has no group: which woman is it? Leave it out, or give it a key of its own"
        )
    try:
        return pd.factorize(given)[0].astype(np.int64)
    except TypeError:
        raise AnalysisError("the groups are not keys: give one text or number per image") from None


def check_labels(labels: ArrayLike) -> NDArray[Any]:
    """Return labels (N,) of any kind as they are, with noise, −1 as a number or as text, as the number −1.

    Raises:
        AnalysisError: another shape, or an image without a label.
    """
    try:
        given = np.asarray(labels)
    except ValueError:  # rows of different lengths
        raise AnalysisError("the labels are not one list: needed is (N,), one per image") from None
    if given.ndim != 1:
        raise AnalysisError(f"labels have shape {given.shape}; needed is (N,), one per image")
    missing = pd.isna(given)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise AnalysisError(f"row {row} has no label: an image in no cluster has the label {NOISE}")
    if np.issubdtype(given.dtype, np.number) or given.dtype == bool:
        return given
    text = given.astype(str)
    return np.where(text == str(NOISE), NOISE, text.astype(object))


def check_metadata(metadata: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return `metadata` if it is a table of so many rows in which every column has a name of its own.

    Raises:
        AnalysisError: it is not.
    """
    if not isinstance(metadata, pd.DataFrame):
        raise AnalysisError(f"metadata is a {type(metadata).__name__}; needed is a pandas DataFrame")
    if len(metadata) != rows:
        raise AnalysisError(
            f"{_counted(len(metadata), 'row')} of metadata for {rows} images: there must be one for each"
        )
    names = [str(name) for name in metadata]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise AnalysisError(f"two columns of the metadata are called {twice}: rename one")
    return metadata


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
