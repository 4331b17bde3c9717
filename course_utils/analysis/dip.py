"""Is there a valley in these numbers? Hartigan's dip, and how often chance alone digs so deep (lesson 08).

Numbers on a line go in. Out comes the largest gap between their cumulative distribution and the nearest one
with a single peak: a cumulative curve with one peak bends up until the peak and down after it, so that a
valley between two peaks shows as a stretch that no such curve can follow.
"""

from __future__ import annotations

import csv
import functools
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.errors import AnalysisError

TABLE = Path(__file__).with_name("dip_quantiles.csv")


def dip(values: ArrayLike) -> float:
    """Return the dip of numbers (n,): 1/(2n) for one peak, up to 1/4 for two spikes of the same height.

    It is found by narrowing an interval around the peak. The greatest convex curve below the cumulative
    counts is right before the peak, the least concave one above them is right after it. Where the two are
    farthest apart the interval is cut; what either curve misses of the counts outside is a lower bound, and
    the answer once the gap inside is no larger.

    Raises:
        AnalysisError: no number at all, or one that is not finite.

    Source: Hartigan and Hartigan, The dip test of unimodality, Annals of Statistics 13 (1985) 70–84; P. M.
    Hartigan, Algorithm AS 217, Applied Statistics 34 (1985) 320–325.
    """
    return _dip_of_sorted(np.sort(_check_values(values)).tolist())


def dip_p_value(values: ArrayLike) -> float:
    """Return how often as many uniform numbers have a dip as large as that of `values`, between 0 and 1.

    Uniform numbers are the hardest of all with one peak, so that for any other (a Gaussian, say) the
    test errs on the side of "no valley". The frequencies are interpolated in a table that
    `tools/dip_table.py` made by drawing; its smallest, `smallest_p()`, therefore means "at most". Fewer
    than four numbers cannot have a valley.
    """
    numbers = _check_values(values)
    return p_value_of(_dip_of_sorted(np.sort(numbers).tolist()), len(numbers))


def p_value_of(statistic: float, n: int) -> float:
    """Return the p-value of the dip `statistic` of `n` numbers."""
    sizes, shares, quantiles = _table()
    if n < sizes[0] or statistic <= 0.5 / n + 1e-9:  # a dip cannot be smaller
        return 1.0
    # √n · dip settles as n grows, and what is left of the change goes with 1/√n.
    row = [np.interp(-1 / np.sqrt(n), -1 / np.sqrt(sizes), column) for column in quantiles.T]
    scaled = np.sqrt(n) * statistic
    if scaled <= row[0]:
        return 1.0
    if scaled >= row[-1]:
        return smallest_p()
    # The tail falls about exponentially: between two quantiles the logarithm of p is interpolated.
    return float(np.exp(np.interp(scaled, row, np.log(shares))))


def smallest_p() -> float:
    """Return the smallest p-value that the table holds; whatever lies beyond it is given this one."""
    return float(_table()[1][-1])


@functools.cache
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return sizes (S,), p-values (P,), largest first, and quantiles (S, P) of √n · dip."""
    text = TABLE.read_text(encoding="utf-8")
    head, *rows = csv.reader(line for line in text.splitlines() if not line.startswith("#"))
    numbers = np.array(rows, np.float64)
    return numbers[:, 0], np.array(head[1:], np.float64), numbers[:, 1:]


def _check_values(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or len(numbers) == 0 or not np.isfinite(numbers).all():
        raise AnalysisError(
            f"values of shape {numbers.shape}: the dip is taken of finite numbers (n,), at least one"
        )
    return numbers


def _dip_of_sorted(x: list[float]) -> float:
    """Return the dip of ascending numbers. Lists, not arrays: with a few dozen numbers they are faster."""
    n = len(x)
    before = _previous_corners(x)
    after = [n - 1 - corner for corner in reversed(_previous_corners([-value for value in reversed(x)]))]
    low, high, deepest = 0, n - 1, 1.0  # in steps of the cumulative curve; half of one is always missed
    while high > low:
        convex = _walk(before, high, low)[::-1]
        concave = _walk(after, low, high)
        gap, left, right = _widest_gap(x, convex, concave)
        if gap <= deepest:
            break
        missed = max(
            _missed(x, [corner for corner in convex if corner <= left], 1),
            _missed(x, [corner for corner in concave if corner >= right], -1),
        )
        deepest = max(deepest, missed)
        if (left, right) == (low, high):
            break
        low, high = left, right
    return deepest / (2 * n)


def _previous_corners(x: list[float]) -> list[int]:
    """Return for each j the corner before j of the greatest convex curve below the points (x_i, i ≤ j)."""
    corner = [0] * len(x)
    for j in range(1, len(x)):
        i = j - 1
        # Leave i out while the slope to it is no less than the slope from it to j.
        while i > 0 and (x[j] - x[i]) * (i - corner[i]) >= (x[i] - x[corner[i]]) * (j - i):
            i = corner[i]
        corner[j] = i
    return corner


def _walk(next_corner: list[int], start: int, stop: int) -> list[int]:
    """Return the corners from `start` to `stop`."""
    corners = [start]
    while corners[-1] != stop:
        corners.append(next_corner[corners[-1]])
    return corners


def _widest_gap(x: list[float], convex: list[int], concave: list[int]) -> tuple[float, int, int]:
    """Return the largest gap between the two curves, in steps, and the corners on either side of it."""
    widest, left, right = 0.0, convex[0], concave[-1]
    i = j = 1
    while convex[i] != concave[j]:
        if convex[i] > concave[j]:
            at, start = concave[j], convex[i - 1]
            gap = at - _chord(x, start, convex[i], at) + 1
            found = (start, at)
            j += 1
        else:
            at, start = convex[i], concave[j - 1]
            gap = _chord(x, start, concave[j], at) - at + 1
            found = (at, concave[j])
            i += 1
        if gap >= widest:
            widest, (left, right) = gap, found
    return widest, left, right


def _missed(x: list[float], corners: list[int], sign: int) -> float:
    """Return the most by which the curve through `corners` misses the cumulative counts, in steps."""
    most = 0.0
    for start, stop in itertools.pairwise(corners):
        if x[stop] > x[start]:
            slope = (stop - start) / (x[stop] - x[start])
            for at in range(start + 1, stop):
                most = max(most, sign * (at - start - (x[at] - x[start]) * slope))
    return most + 1


def _chord(x: list[float], start: int, stop: int, at: int) -> float:
    """Return the height at x[at] of the line between two corners."""
    return start + (x[at] - x[start]) * (stop - start) / (x[stop] - x[start])
