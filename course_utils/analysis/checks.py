"""What an analysis takes: each check returns its argument in the form that the others work on.

If it cannot, it raises AnalysisError with a sentence on what is wrong.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.errors import AnalysisError


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
    if (matrix == matrix[0]).all():
        raise AnalysisError(
            f"all {len(matrix)} vectors are identical, so nothing sets them apart: is it one image many "
            "times, or did preprocessing make every picture the same?"
        )
    return matrix


def check_dims(dims: int, matrix: NDArray[np.float64]) -> int:
    """Return `dims` if `matrix` (N, D) has that many principal components, else raise AnalysisError."""
    most = min(len(matrix) - 1, matrix.shape[1])
    if not isinstance(dims, int | np.integer) or not 1 <= dims <= most:
        raise AnalysisError(
            f"dims={dims!r}: {len(matrix)} vectors of {matrix.shape[1]} numbers have between 1 and {most} "
            "dimensions (never more than the number of vectors minus one)"
        )
    return int(dims)


def check_seed(seed: int) -> None:
    """Raise AnalysisError unless `seed` is an integer that every generator accepts, 0 to 2³² − 1."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise AnalysisError(f"seed={seed!r}: a seed is a whole number from 0 to {2**32 - 1}")


def check_groups(groups: ArrayLike | Sequence[str] | pd.Series, rows: int) -> NDArray[np.int64]:
    """Return the group of each row, the woman, as a number (N,) from 0 in the order of their first row.

    Raises:
        AnalysisError: another number of groups than rows, or a row without one.
    """
    given = pd.Series(np.asarray(groups, object))
    if len(given) != rows:
        raise AnalysisError(f"{len(given)} groups for {rows} vectors: there must be one for each")
    if given.isna().any():
        row = int(np.flatnonzero(given.isna())[0])
        raise AnalysisError(
            f"row {row} has no group: which woman is it? Leave it out, or give it a key of its own"
        )
    return pd.factorize(given)[0].astype(np.int64)
