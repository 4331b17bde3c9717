"""What chance alone would give: values permuted as chance could have dealt them out, and p values from that.

The unit is the woman, not the image (lesson 09). Her images are alike, and a test that shuffles them as if
they were not finds something in most sets in which there is nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_groups

LEVEL = 0.05
"""A p value of this or less is more than chance."""

Unit = Literal["women", "images within women", "women and the images within them", "images"]
"""What a permutation moves."""

_CLEAR = 1e-3
"""Drawing stops as soon as draws like these would be this rare if p were just across the level."""
_TIE = 1e-10


def sequential_p_value(
    observed: float,
    draw: Callable[[], float],
    *,
    most: int = 999,
    least: int = 0,
    level: float = LEVEL,
    tests: int = 1,
) -> tuple[float, int]:
    """Return the p value of `observed` among draws under the null, and how many draws it took.

    Draws until it is clear on which side of the level p lies: few where it is far away, `most` where it is
    near. With b of m draws as large as the data, p is (b + 1) / (m + 1): under the null the data are one more
    draw, so p is never zero.

    Args:
        observed: the statistic of the data; larger is more extreme, and ties count against the data.
        draw: returns the statistic of one more data set from the null.
        most: the most draws; p cannot be below 1 / (most + 1).
        least: at least so many draws, for those who need the null itself, too.
        level: p at most this is called more than chance.
        tests: how many p values are compared with one another (Holm): one below `level / tests` is clear.

    Source: Besag and Clifford, Sequential Monte Carlo p-values, Biometrika 78 (1991) 301–304; Gandy,
    Sequential implementation of Monte Carlo tests with uniformly bounded resampling risk, JASA 104 (2009)
    1504–1511; Phipson and Smyth, Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9
    (2010) 39.
    """
    from scipy.special import bdtr, bdtrc  # the binomial distribution, below and above

    as_large, drawn = 0, 0
    bar = observed - _TIE * max(1.0, abs(observed))
    while drawn < most:
        as_large += not draw() < bar  # what is not a number counts against the data, too
        drawn += 1
        above = bdtrc(as_large - 1, drawn, level) < _CLEAR
        below = bdtr(as_large, drawn, level / tests) < _CLEAR
        if drawn >= least and (above or below):
            break
    return (as_large + 1) / (drawn + 1), drawn


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for how many there are: the chance of one false alarm among all stays below p.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6 (1979) 65–70.
    """
    adjusted, so_far = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = so_far
    return adjusted


@dataclass(frozen=True)
class Permuter:
    """Permutes a column as chance could have dealt it out; call it with a generator.

    Attributes:
        unit: what is moved.
        arrangements: how many different columns can come of it (`inf` where that is past counting). With
            fewer than 20 no p value can be below 0.05, whatever the data.
    """

    unit: Unit
    arrangements: float
    _values: NDArray[Any]
    _blocks: tuple[NDArray[np.int64], ...]

    def __call__(self, rng: np.random.Generator) -> NDArray[Any]:
        """Return the values (N,) in a new order."""
        permuted = np.empty_like(self._values)
        for block in self._blocks:
            source = block[rng.permutation(len(block))]
            if "within" in self.unit:
                source = rng.permuted(source, axis=1)
            permuted[block] = self._values[source]
        return permuted


def permuter(values: ArrayLike, groups: ArrayLike | None) -> Permuter:
    """Return what permutes `values` (N,), with `groups` (N,) the woman of each row.

    Women with equally many rows are swapped as a whole; where values change within a woman, her rows are
    shuffled, too. So what each woman has once (the vendor) is permuted between women, what is the same in
    all of them (two CC and two MLO) within them, and anything else (the density of each breast) both ways.
    Nobody can be swapped with a woman who alone has so many rows: `arrangements` says what is left. Without
    groups, all rows are shuffled.

    Shuffling within a woman takes her images for exchangeable. Those of one breast are more alike than
    that: of a side, a p value near the level says little.

    Raises:
        AnalysisError: another number of groups than values, or a row without a group.

    Source: Winkler, Webster, Vidaurre, Nichols and Smith, Multi-level block permutation, NeuroImage 123
    (2015) 253–268.
    """
    column = np.asarray(values)
    codes = np.unique(column, return_inverse=True)[1]
    if groups is None:
        rows = np.arange(len(column))[:, None]
        return Permuter("images", _count(_log_orders(codes[rows])), column, (rows,))
    blocks = _blocks(check_groups(groups, len(column)))
    contents = [np.sort(codes[block], axis=1) for block in blocks]
    between = sum(_log_orders(women) for women in contents)
    if all((women == women[:, :1]).all() for women in contents):
        return Permuter("women", _count(between), column, blocks)
    within = sum(_log_orders(woman[:, None]) for women in contents for woman in women)
    unit: Unit = "women and the images within them" if between else "images within women"
    return Permuter(unit, _count(between + within), column, blocks)


def _blocks(woman: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Return a matrix (women, rows each) for each number of rows: which rows are whose."""
    order = np.argsort(woman, kind="stable")
    sizes = np.bincount(woman)
    of_size = sizes[woman[order]]
    return tuple(order[of_size == size].reshape(-1, size) for size in np.unique(sizes))


def _log_orders(rows: NDArray[Any]) -> float:
    """Return the logarithm of how many different orders the rows of a matrix have."""
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    return math.lgamma(len(rows) + 1) - sum(math.lgamma(count + 1) for count in counts)


def _count(log: float) -> float:
    return round(math.exp(log), 6) if log < 700 else math.inf
