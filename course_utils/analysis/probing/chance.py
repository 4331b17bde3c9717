"""What a probe would find by chance: the same question asked of targets that were dealt out anew (lesson 10).

Refitting a logistic regression a thousand times would take hours. What is tested is a simpler reading of the
same vectors, least squares or a vote of neighbours, in which a new target costs a product of matrices. Its
own value is told beside its p value, so that nobody takes the one for the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils.analysis.permutations import LEVEL, permuter, sequential_p_value
from course_utils.analysis.probing.models import Model, Recipe, prepared, women_folds
from course_utils.analysis.probing.targets import Target

NEIGHBOURS = 5
RIDGE = 1.0
"""α of the least squares; the mean square of the lengths of the vectors is 1."""
FEWEST_ARRANGEMENTS = 20
"""Fewer different targets than this cannot give a p value of 0.05 or less."""
_LEAST_DRAWS = 199

Reader = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Takes the targets (R, K) in training, returns what it reads (T, K) off the others."""


@dataclass(frozen=True)
class Chance:
    """A reading of the vectors, beside what it reads off targets dealt out anew.

    Attributes:
        reader: `"least squares"` or `"a vote of the 5 nearest neighbours"`.
        value: its balanced accuracy, or R², for other women than those it learnt from. It names the class
            that is likelier than usual, so that a rare one has its turn.
        high: 95% of the permutations stay at or below this.
        p_value: share of permutations, the data among them, that reach the value; None where the target can
            be dealt out in fewer than 20 ways.
        draws: how many permutations that took.
        unit: what was permuted, see `permutations.permuter`.
    """

    reader: str
    value: float
    high: float | None
    p_value: float | None
    draws: int
    unit: str

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Chance:
        """Rebuild from `asdict`. Raises TypeError or ValueError for anything else."""
        found = cls(**plain)
        if not math.isfinite(found.value) or not (found.p_value is None or 0 < found.p_value <= 1):
            raise ValueError("chance is a number and a p value")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        return asdict(self)


def chance(
    matrix: NDArray[np.floating],
    woman: NDArray[np.int64],
    target: Target,
    *,
    model: Model,
    splits: int,
    most: int,
    seed: int,
) -> Chance:
    """Test whether anything can be read off the vectors at all.

    The folds are drawn without a look at the target: one that is dealt out anew has no folds of its own, and
    data split more evenly than the permutations would beat them by that alone.

    Args:
        matrix: `(M, D)`, the images whose target is known.
        woman: `(M,)`.
        target: known for these M.
        model: the probe's; neighbours are tested with neighbours, anything else with least squares.
        splits: how many folds.
        most: the most permutations.
        seed: seed of every random choice.
    """
    of_neighbours = model in ("knn", "spread")
    make = _neighbours if of_neighbours else _least_squares
    recipe = Recipe("linear", target.kind, 1.0, seed=seed)
    readers = [
        (train, test, make(*prepared(recipe, matrix[train], matrix[test])))
        for train, test in women_folds(woman, splits, seed)
    ]

    # Each class counts alike: where one is rare, it would else never be the likeliest.
    alike = np.diag(1 / np.bincount(target.values)) if target.levels else np.empty(0)

    def value_of(values: NDArray[Any]) -> float:
        wanted = alike[values] if target.levels else values[:, None].astype(float)
        said = np.zeros(wanted.shape)
        for train, test, read in readers:
            said[test] = read(wanted[train])
        return _balanced(said, values) if target.levels else _r_squared(said[:, 0], values)

    permute, rng = permuter(target.values, woman), np.random.default_rng([seed, 13])
    observed, null = value_of(target.values), []

    def draw() -> float:
        null.append(value_of(permute(rng)))
        return null[-1]

    words = f"a vote of the {NEIGHBOURS} nearest neighbours" if of_neighbours else "least squares"
    if permute.arrangements < FEWEST_ARRANGEMENTS or most < FEWEST_ARRANGEMENTS - 1:
        return Chance(words, round(observed, 6), None, None, 0, permute.unit)
    p_value, draws = sequential_p_value(observed, draw, most=most, least=min(_LEAST_DRAWS, most))
    end = np.sort(null)[::-1][max(math.floor(LEVEL * (draws + 1)) - 1, 0)]
    return Chance(words, round(observed, 6), round(float(end), 6), p_value, draws, permute.unit)


def _least_squares(train: NDArray[np.floating], test: NDArray[np.floating]) -> Reader:
    """Return a ridge regression, all of it that does not depend on the target done beforehand."""
    penalised = train.T @ train + RIDGE * np.eye(train.shape[1])
    weights = np.linalg.solve(penalised, train.T)

    def read(wanted: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = wanted.mean(axis=0)
        return test @ (weights @ (wanted - mean)) + mean

    return read


def _neighbours(train: NDArray[np.floating], test: NDArray[np.floating]) -> Reader:
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train))).fit(train)
    rows = nearest.kneighbors(test, return_distance=False)
    return lambda wanted: wanted[rows].mean(axis=1)


def _balanced(said: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    right = np.bincount(codes, said.argmax(axis=1) == codes, said.shape[1])
    return float((right / np.bincount(codes, minlength=said.shape[1])).mean())


def _r_squared(said: NDArray[np.float64], numbers: NDArray[np.float64]) -> float:
    return 1 - float(((said - numbers) ** 2).sum() / ((numbers - numbers.mean()) ** 2).sum())
