"""How many women must be labelled, and which ones next? The test is the same, whoever is asked (lesson 10).

Vectors and a target go in; for each number of labelled women and each way of choosing them, how well the
others are read comes out. What is asked for is a woman with all her images: a radiologist opens an
examination, and her second image says little that is new.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.associations import two_decimals
from course_utils.analysis.checks import check_groups, check_seed, check_vectors, is_whole
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.probing.models import Model, Recipe, fit_predict, make_recipe, rotate
from course_utils.analysis.probing.scores import MAIN, NAMES, class_scores, knowing_nothing, number_scores
from course_utils.analysis.probing.targets import Target, check_classes, read_target

Strategy = Literal["random", "margin", "diverse"]
"""Whom to ask next: anyone; the woman of whom the model is least sure; the one most unlike those labelled."""

_IN_WORDS = {"random": "at random", "margin": "by the margin", "diverse": "as unlike the others as can be"}

BATCH = 5
"""So many women are labelled before the model is fitted again."""

TEST = 0.3
"""The share of women kept for the test."""

_TRIES = 1000
_CLEAR = 3.0
"""A difference is clear from so many of its standard errors on: several numbers of women are looked at. Of
few draws, whose noise is not known either, it is as many as are as rare by Student's t."""

_FEWEST_DRAWS = 5
"""Fewer draws than this can agree by chance, as if there were no noise."""


@dataclass(frozen=True)
class LabelCurve:
    """How well a target is read, by the number of labelled women and the way of choosing them.

    Attributes:
        target: its name.
        measure: `"balanced_accuracy"`, or of a number `"r2"`.
        model: what was fitted.
        women: how many were labelled at each point.
        test_women: about how many were in the test.
        values: for each strategy, the measure at each repeat (rows) and number of women (columns); one repeat
            has the same test and the same first women for all strategies.
        chance_level: what knowing nothing gives.
        warnings: sentences on what could not be asked.
        seed: seed of every random choice.
    """

    target: str
    measure: str
    model: Model
    women: tuple[int, ...]
    test_women: int
    values: dict[str, tuple[tuple[float, ...], ...]]
    chance_level: float
    warnings: tuple[str, ...]
    seed: int

    def mean(self, strategy: str) -> NDArray[np.float64]:
        """Return the mean over the repeats at each number of women."""
        return np.mean(self.values[strategy], axis=0)

    def sd(self, strategy: str) -> NDArray[np.float64]:
        """Return the standard deviation over the repeats, which is the noise of a single try."""
        return np.std(self.values[strategy], axis=0, ddof=1)

    def gain(self, strategy: str, over: str = "random") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of the paired differences of two strategies."""
        paired = np.subtract(self.values[strategy], self.values[over])
        return paired.mean(axis=0), paired.std(axis=0, ddof=1)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return what a few labels give, and whether a strategy is worth it."""
        first = next(iter(self.values))
        means, sds = self.mean(first), self.sd(first)
        points = [
            f"{two_decimals(mean)} from {women} women (sd {two_decimals(sd)})"
            for women, mean, sd in zip(self.women, means, sds, strict=True)
        ]
        found = [
            f"{NAMES[self.measure]} for {self.target}, women chosen {_IN_WORDS[first]}: {', '.join(points)}; "
            f"{knowing_nothing(self.measure, self.chance_level)}. Each is a mean over "
            f"{len(self.values[first])} draws, tested on about {self.test_women} other women."
        ]
        found += [self._compared(strategy, first) for strategy in self.values if strategy != first]
        return tuple(found)

    def _compared(self, strategy: str, first: str) -> str:
        if len(self.women) < 2:
            return f"{strategy} and {first} start with the same women: nothing to compare."
        means, sds = self.gain(strategy, first)
        draws = len(self.values[first])
        # The draws share their women: the error of their mean is not sd / √draws (Nadeau and Bengio 2003).
        errors = sds * math.sqrt(1 / draws + TEST / (1 - TEST))
        ratios = np.abs(means) / np.maximum(errors, 1e-12)
        at = 1 + int(np.argmax(ratios[1:]))
        clear = ratios[at] > _clear(draws) and draws >= _FEWEST_DRAWS
        way, other = _IN_WORDS[strategy], _IN_WORDS[first]
        words = f"Whether women are chosen {way} or {other} makes no difference that shows above the noise"
        if clear:
            more = "more" if means[at] > 0 else "less"
            words = f"Women chosen {way} teach {more} than women chosen {other}"
        return (
            f"{words}: the clearest difference is {means[at]:+.3f} (sd {sds[at]:.3f} over {draws} draws), at "
            f"{self.women[at]} women."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        values = {name: [list(row) for row in rows] for name, rows in self.values.items()}
        return asdict(self) | {
            "women": [*self.women],
            "values": values,
            "warnings": [*self.warnings],
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> LabelCurve:
        """Return what `to_dict` was called on. Raises KeyError, TypeError or ValueError for anything else."""
        values = {
            name: tuple(tuple(map(float, row)) for row in rows) for name, rows in plain["values"].items()
        }
        more = {"women": tuple(map(int, plain["women"])), "warnings": tuple(map(str, plain["warnings"]))}
        found = cls(**plain | more | {"values": values})
        if any(len(row) != len(found.women) for rows in values.values() for row in rows):
            raise ValueError("a curve has a value for each number of women")
        return found


def label_curve(
    vectors: ArrayLike,
    y: ArrayLike | pd.Series,
    *,
    groups: ArrayLike,
    women: Sequence[int] = (5, 10, 20, 50, 100),
    strategies: Sequence[Strategy] = ("random", "margin"),
    model: Model = "linear",
    setting: float | None = None,
    ordered: bool | None = None,
    repeats: int = 20,
    seed: int = 0,
) -> LabelCurve:
    """Label a few women, then a few more, and see how well the others are read.

    In each repeat three tenths of the women are put aside for the test. The first ones to be labelled are
    drawn so that each class is among them, and they are the same for every strategy; then each chooses its
    own, five at a time. The others count as unlabelled for the models that can use them.

    Args:
        vectors: `(N, D)`, one row per image.
        y: `(N,)`, as in `probe`.
        groups: `(N,)`, the woman of each image.
        women: how many are labelled, rising. Numbers larger than there are women to label are left out,
            with a warning.
        strategies: `"random"`, `"margin"` (the smallest mean gap between the two likeliest classes; classes
            only), `"diverse"` (the largest distance to the nearest labelled woman).
        model, setting, ordered: as in `probe`.
        repeats: how often all of this is drawn, at least 2.
        seed: seed of every random choice.

    Raises:
        AnalysisError: what `probe` refuses; numbers of women or strategies that cannot be used.

    Source: Scheffer, Decomain and Wrobel, Active hidden Markov models for information extraction, IDA 2001
    (the margin); Sener and Savarese, Active learning for convolutional neural networks: a core-set approach,
    ICLR 2018 (the most unlike); Nadeau and Bengio, Inference for the generalization error, Machine Learning
    52 (2003) 239–281; Oliver et al., Realistic evaluation of deep semi-supervised learning algorithms,
    NeurIPS 2018.
    """
    from threadpoolctl import threadpool_limits

    seed = check_seed(seed)
    matrix = check_vectors(vectors)
    woman = check_groups(groups, len(matrix))
    target = read_target(y, len(matrix), ordered)
    recipe = make_recipe(model, target.kind, setting=setting, tune=False, recalibrate=None, seed=seed)
    if isinstance(women, str) or not np.iterable(women):
        raise AnalysisError(f"women={women!r}: several whole numbers, such as (5, 10, 20)")
    if isinstance(strategies, str) or not np.iterable(strategies):
        raise AnalysisError(
            f"strategies={strategies!r}: one or more of {', '.join(get_args(Strategy))}, as a tuple"
        )
    women, strategies = tuple(women), tuple(strategies)
    _check(women, strategies, repeats, target)
    owner = np.unique(woman[target.rows], return_inverse=True)[1]
    check_classes(target, owner, 2)
    count = int(owner.max()) + 1
    pool = count - max(1, round(TEST * count))
    sizes = tuple(int(size) for size in women if size <= pool)
    if not sizes or sizes[0] < len(target.levels):
        raise AnalysisError(
            f"women={tuple(women)}: of {count} women {pool} can be labelled, and to begin with as many as "
            f"there are classes ({len(target.levels)}) or more"
        )
    too_many = [str(size) for size in women if size > pool]
    warnings = (
        (f"Only {pool} of the {count} women can be labelled: {', '.join(too_many)} were left out.",)
        if too_many
        else ()
    )
    known = rotate(matrix)[target.rows]
    values: dict[str, list[tuple[float, ...]]] = {strategy: [] for strategy in strategies}
    with threadpool_limits(1):
        for repeat in range(repeats):
            start = _start(target, owner, pool, sizes[0], np.random.default_rng([seed, 16, repeat]))
            for strategy in strategies:
                asked = np.random.default_rng([seed, 17, repeat])
                run = _Run(replace(recipe, seed=seed + repeat), known, target, owner, *start)
                values[strategy].append(run.follow(strategy, sizes, asked))
    return LabelCurve(
        target=target.name,
        measure=MAIN[target.kind],
        model=model,
        women=sizes,
        test_women=count - pool,
        values={strategy: tuple(rows) for strategy, rows in values.items()},
        chance_level=target.chance,
        warnings=warnings,
        seed=seed,
    )


@dataclass(frozen=True)
class _Run:
    """One repeat: who is in the test, who can be labelled, and who is labelled first."""

    recipe: Recipe
    matrix: NDArray[np.floating]
    target: Target
    owner: NDArray[np.int64]
    pool: NDArray[np.int64]
    test: NDArray[np.int64]
    first: NDArray[np.int64]

    def follow(
        self, strategy: Strategy, sizes: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[float, ...]:
        """Return the measure at each number of labelled women, chosen by a strategy."""
        labelled, values = self.first, []
        for size in sizes:
            while len(labelled) < size:
                more = min(BATCH, size - len(labelled))
                labelled = np.append(labelled, self._next(strategy, labelled, rng)[:more])
            values.append(self._score(labelled))
        return tuple(values)

    def _next(
        self, strategy: Strategy, labelled: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the women who are not labelled yet, those to be asked first in front."""
        left = rng.permutation(np.setdiff1d(self.pool, labelled))
        if strategy == "random":
            return left
        if strategy == "diverse":
            return self._most_unlike(labelled, left)
        rows = np.flatnonzero(np.isin(self.owner, left))
        two = np.sort(self._said(labelled, rows), axis=1)[:, -2:]
        sums = np.bincount(self.owner[rows], two[:, 1] - two[:, 0], int(self.owner.max()) + 1)
        return left[np.argsort((sums / np.bincount(self.owner))[left], kind="stable")]

    def _most_unlike(self, labelled: NDArray[np.int64], left: NDArray[np.int64]) -> NDArray[np.int64]:
        from scipy.spatial.distance import cdist

        means = np.array([self.matrix[self.owner == one].mean(axis=0) for one in [*labelled, *left]])
        nearest = cdist(means[len(labelled) :], means[: len(labelled)]).min(axis=1)
        chosen = []
        for _ in range(min(BATCH, len(left))):
            chosen.append(int(nearest.argmax()))
            taken = means[len(labelled) + chosen[-1]]
            nearest = np.minimum(nearest, np.linalg.norm(means[len(labelled) :] - taken, axis=1))
            nearest[chosen] = -1.0
        return left[chosen]

    def _said(self, labelled: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what a model fitted to the labelled women says of some rows."""
        train = np.flatnonzero(np.isin(self.owner, labelled))
        others = np.flatnonzero(np.isin(self.owner, np.setdiff1d(self.pool, labelled)))
        return fit_predict(
            self.recipe,
            self.matrix[train],
            self.target,
            train,
            self.owner[train],
            self.matrix[rows],
            self.matrix[others],
        )

    def _score(self, labelled: NDArray[np.int64]) -> float:
        rows = np.flatnonzero(np.isin(self.owner, self.test))
        said, values = self._said(labelled, rows), self.target.values[rows]
        owner = np.unique(self.owner[rows], return_inverse=True)[1]
        once = np.ones((1, int(owner.max()) + 1))
        if self.target.levels:
            scores = class_scores(said, values, owner, once, ordered=False)
        else:
            scores = number_scores(said, values, owner, once)
        return round(float(scores[MAIN[self.target.kind]][0]), 6)


def _start(
    target: Target, owner: NDArray[np.int64], pool: int, first: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the women who can be labelled, those of the test, and the first labelled, with every class."""
    count = int(owner.max()) + 1
    for _ in range(_TRIES):
        order = rng.permutation(count)
        labelled, test = order[:first], order[pool:]
        kinds = [len(np.unique(target.values[np.isin(owner, some)])) for some in (labelled, test)]
        if kinds[0] >= len(target.levels) and kinds[1] > 1:
            return order[:pool], test, labelled
    if not target.levels:
        raise AnalysisError(
            f"{target.name} is the same for nearly all women: nothing is told apart in a test"
        )
    raise AnalysisError(
        f"among {_TRIES} draws of {first} women, none had every class of {target.name}: begin with more women"
    )


def _clear(draws: int) -> float:
    from scipy.stats import norm, t

    return float(t.isf(norm.sf(_CLEAR), draws - 1))


def _check(women: Sequence[int], strategies: Sequence[str], repeats: int, target: Target) -> None:
    if not women or any(not is_whole(each) or each < 2 for each in women):
        raise AnalysisError(f"women={tuple(women)}: whole numbers of women, at least 2")
    if list(women) != sorted(set(women)):
        raise AnalysisError(f"women={tuple(women)}: the numbers rise")
    unknown = [each for each in strategies if each not in get_args(Strategy)]
    if unknown or not strategies or len(set(strategies)) < len(strategies):
        raise AnalysisError(f"strategies={tuple(strategies)}: available are {', '.join(get_args(Strategy))}")
    if "margin" in strategies and not target.levels:
        raise AnalysisError("a margin is that between two classes; of numbers ask random or diverse")
    if not is_whole(repeats) or repeats < 2:
        raise AnalysisError(f"repeats={repeats!r}: at least 2, since one draw has no noise to compare with")
