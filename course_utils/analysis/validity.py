"""Are clusters separate, and do they come back? Vectors and clusters go in, two answers come out (lesson 08).

The held-out valley: half of the women make the clusters, and the other half, who had no part in them, are
asked whether there are fewer images between two clusters than in them. Stability: the same method on most of
the women, again and again; which alone proves nothing, so that beside it stands what a cloud without clusters
gives.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_groups, check_seed, check_vectors
from course_utils.analysis.clustering import Clustering, Fitted, fit, pca_space
from course_utils.analysis.dip import dip, p_value_of
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.fitting import NOISE, means
from course_utils.analysis.nulls import params_for_share
from course_utils.analysis.permutations import LEVEL

FEWEST = 20
"""With fewer women than this, even clusters far apart are seldom found (docs/benchmarks/verdicts.md)."""

LARGEST = 1000
"""Of more women than this, as many are drawn anew for each halving."""

NEAR_LEAST, NEAR_POWER = 20, 0.8
"""Of n images asked at a join, about max(20, n^0.8) count, those nearest to the middle: from near a bow looks
straight; the whole of it has two ends, and so two peaks when seen from the side."""

_MOST_AXES, _LEAST_SIDE = 256, 3
_MATCH, _SMALL = 0.75, 0.1
_LEAST_SPLITS, _MOST_SPLITS = 10, 200
_CLEAR = 1e-3


@dataclass(frozen=True)
class Join:
    """A fork in the tree of clusters: is there a valley between its two sides?

    Attributes:
        left: the clusters on one side.
        right: those on the other.
        p_value: how often women without clusters would show a valley as deep.
        dip: Hartigan's dip of `values`; None where no half of the women found these two sides again.
        values: where the images asked lie between the two sides, in a split of the women whose p-value was in
            the middle: the centre of the left side is at −0.5, that of the right side at 0.5.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    p_value: float
    dip: float | None
    values: tuple[float, ...]

    @property
    def is_valley(self) -> bool:
        """Return whether there is a valley: p is 0.05 or less."""
        return self.p_value <= LEVEL

    @property
    def clusters(self) -> tuple[int, ...]:
        """Return the clusters on both sides."""
        return tuple(sorted(self.left + self.right))


@dataclass(frozen=True)
class Valley:
    """Which clusters are separate, as women say who did not make them.

    Attributes:
        k: number of clusters.
        images: how many were clustered.
        women: of how many women; as many as images where nothing says whose they are.
        unit: `"women"` or `"images"`.
        splits: how often half of them made the clusters and the others were asked.
        joins: the forks of the tree of clusters, from the top; empty where nothing could be asked.
        level: a p-value of this or less is a valley.
    """

    k: int
    images: int
    women: int
    unit: Literal["women", "images"]
    splits: int
    joins: tuple[Join, ...]
    level: float = LEVEL

    @property
    def p_value(self) -> float | None:
        """Return the smallest p-value of a join, which allows for their number; None if nothing was asked."""
        return min((join.p_value for join in self.joins), default=None)

    @property
    def found(self) -> bool:
        """Return whether any clusters are separate."""
        return any(join.is_valley for join in self.joins)

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Return the clusters in groups: separate from one another, and none inside."""
        parts = [tuple(range(self.k))]
        for join in self.joins:  # from the top, so that what is parted has been whole
            if join.is_valley and join.clusters in parts:
                parts.remove(join.clusters)
                parts += [join.left, join.right]
        return tuple(sorted(parts))

    @property
    def sentence(self) -> str:
        """Return which clusters are separate, in words."""
        if self.k < 2:
            return "There are no two clusters that a valley could separate."
        if not self.joins:
            return (
                f"Whether the clusters are separate cannot be asked of fewer than {FEWEST} {self.unit} (here "
                f"{self.women}): half of them make the clusters, and the others are asked."
            )
        if not self.found:
            return (
                "No valley lies between the clusters: on the way from one to the next the images do not thin "
                f"out more than within one cloud ({p_words(self.p_value)}; {self._asked()})."
            )
        parts = self.parts
        if len(parts) - 1 < sum(join.is_valley for join in self.joins):
            return self._list_of_valleys()
        p_value = max(join.p_value for join in self.joins if join.is_valley)
        listed = "; ".join(_clusters(part) for part in parts)
        words = f"{_COUNT.get(len(parts), len(parts))} clusters are separate"
        if len(parts) < self.k:
            words += f": {listed} ({p_words(p_value)}; {self._asked()}); inside them no valley was found"
        else:
            words += f" ({p_words(p_value)}; {self._asked()})"
        return words + "."

    def _list_of_valleys(self) -> str:
        listed = "; ".join(
            f"{_clusters(join.left)} from {_clusters(join.right)} ({p_words(join.p_value)})"
            for join in self.joins
            if join.is_valley
        )
        return f"A valley separates {listed}; elsewhere there is none ({self._asked()})."

    def _asked(self) -> str:
        several = self.images > self.women
        of = f"{self.images} images of {self.women} women" if several else f"{self.women} {self.unit}"
        half = "half of the women" if several else "half of them"
        each = ", one image each" if several else ""
        return f"{of}; {half} were asked about the other half's clusters{each}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        joins = [
            asdict(join) | {name: list(getattr(join, name)) for name in ("left", "right", "values")}
            for join in self.joins
        ]
        return asdict(self) | {"joins": joins}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Valley:
        """Rebuild from what `to_dict` returned, as read back from JSON.

        Raises:
            KeyError, TypeError or ValueError: it is something else.
        """
        joins = tuple(_join(one) for one in plain["joins"])
        found = cls(**plain | {"joins": joins})
        numbers = (
            found.k,
            found.images,
            found.women,
            found.splits,
            *(side for join in joins for side in join.clusters),
        )
        if any(type(number) is not int for number in numbers) or found.unit not in ("women", "images"):
            raise ValueError("a valley counts in whole numbers, of women or of images")
        if joins and sorted(joins[0].clusters) != list(range(found.k)):
            raise ValueError("the first join is not that of all clusters")
        return found


_COUNT = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six", 7: "Seven", 8: "Eight", 9: "Nine", 10: "Ten"}


def p_words(p_value: float | None) -> str:
    """Return a p-value as it stands in a sentence, never rounded across the level."""
    if p_value is None:
        return "p unknown"
    if p_value < 0.001:
        return "p < 0.001"
    digits = 3
    while (round(p_value, digits) <= LEVEL) != (p_value <= LEVEL) and digits < 12:
        digits += 1
    return f"p = {p_value:.{digits}f}"


def _clusters(numbers: tuple[int, ...]) -> str:
    """Return cluster numbers in words."""
    if len(numbers) == 1:
        return f"cluster {numbers[0]}"
    return f"clusters {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _join(plain: dict[str, Any]) -> Join:
    if set(plain) != {each.name for each in fields(Join)}:
        raise ValueError("a join has other fields")
    sides = {name: tuple(plain[name]) for name in ("left", "right")}
    found = Join(**plain | sides | {"values": tuple(map(float, plain["values"]))})
    if not 0 <= found.p_value <= 1 or not (found.left and found.right):
        raise ValueError("a join has two sides and a p-value between 0 and 1")
    return found


def valley(
    vectors: ArrayLike,
    clustering: Clustering,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Valley:
    """Ask women who did not make the clusters whether a valley lies between them.

    The women are split at random. One half makes clusters by the method and with the parameters of
    `clustering`, PCA included. One image of each woman of the other half is then assigned to them, so that
    the images asked are independent of the clusters and of one another. At each fork in the tree of the
    clusters' centres, the images of both sides are projected on the line between the two sides' means, and
    the dip test asks for a valley among those nearest to its middle. Then the halves change places; then
    other halves are drawn, until it is clear for each join on which side of the level its p-value lies.

    The p-value of a split is multiplied by the number of forks tested (Bonferroni). A fork parts two clusters
    of `clustering` if three quarters of the images of one are on its one side and three quarters of the
    other's on the other; a join is as separate as the two clusters across it that are least so. Its p-value
    is twice the median over the splits. Noise of HDBSCAN is asked with the nearest cluster: leaving out what
    lies between two clusters would dig the valley that is looked for.

    Args:
        vectors: `(N, D)`, those that were clustered.
        clustering: what `cluster` made of them.
        groups: `(N,)`, the woman of each image; None: each image is a woman of its own.
        seed: seed of every random choice.

    Raises:
        AnalysisError: vectors or groups that do not fit.

    Source: Hartigan and Hartigan, The dip test of unimodality, Ann. Stat. 13 (1985) 70–84; Cox, A note on
    data-splitting, Biometrika 62 (1975) 441–444; Meinshausen, Meier and Bühlmann, p-values for
    high-dimensional regression, JASA 104 (2009) 1671–1681 (twice the median).
    """
    from threadpoolctl import threadpool_limits

    seed = check_seed(seed)
    matrix = check_vectors(vectors)
    labels = clustering.labels
    if len(labels) != len(matrix):
        raise AnalysisError(f"{len(labels)} labels for {len(matrix)} vectors: there must be one for each")
    woman = np.arange(len(matrix)) if groups is None else check_groups(groups, len(matrix))
    women, k = int(woman.max()) + 1, int(labels.max()) + 1
    unit: Literal["women", "images"] = "images" if groups is None else "women"
    if k < 2 or women < FEWEST:
        return Valley(k, len(matrix), women, unit, 0, ())
    axes = min(_MOST_AXES, len(matrix) - 1, matrix.shape[1])  # with so many nearly nothing is lost
    rotated, _ = pca_space(matrix, clustering.params | {"dims": axes})
    rng = np.random.default_rng([seed, 5])
    with threadpool_limits(1):  # many small fits
        dims = clustering.params["dims"]
        joins = _joins(means(rotated[:, :dims], labels))
        splits: list[list[_Answer]] = []
        while not _is_clear(splits):
            halves = np.array_split(rng.permutation(women)[:LARGEST], 2)
            for makers, asked in (halves, halves[::-1]):
                splits.append(_ask(rotated, woman, labels, joins, clustering, makers, asked, rng))
    found = tuple(_judge(*join, [split[i] for split in splits]) for i, join in enumerate(joins))
    return Valley(k, len(matrix), women, unit, len(splits), found)


@dataclass(frozen=True)
class _Answer:
    """What one split of the women says of a join."""

    p_value: float
    dip: float | None = None
    values: tuple[float, ...] = ()


def _is_clear(splits: list[list[_Answer]]) -> bool:
    """Return whether more splits could hardly move the median of any join across the level."""
    from scipy.stats import binom

    n = len(splits)
    if n < _LEAST_SPLITS:
        return False
    valleys = [
        sum(answer.p_value <= LEVEL / 2 for answer in answers) for answers in zip(*splits, strict=True)
    ]
    return n >= _MOST_SPLITS or all(binom.cdf(min(each, n - each), n, 0.5) < _CLEAR for each in valleys)


def _judge(left: tuple[int, ...], right: tuple[int, ...], answers: list[_Answer]) -> Join:
    """Return the join with twice the median p-value (the larger of the two in the middle), and that split."""
    middle = sorted(answers, key=lambda answer: answer.p_value)[len(answers) // 2]
    return Join(left, right, min(1.0, 2 * middle.p_value), middle.dip, middle.values)


def _joins(centres: NDArray[np.float64]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the two sides of each fork in the tree of centres (average linkage), the top one first."""
    from scipy.cluster.hierarchy import linkage

    members: list[tuple[int, ...]] = [(i,) for i in range(len(centres))]
    joins = []
    for left, right in linkage(centres, "average")[:, :2].astype(int):
        first, second = sorted((members[left], members[right]))
        joins.append((first, second))
        members.append(tuple(sorted(first + second)))
    return joins[::-1]


def _ask(
    rotated: NDArray[np.float64],
    woman: NDArray[np.int64],
    labels: NDArray[np.int64],
    joins: list[tuple[tuple[int, ...], tuple[int, ...]]],
    clustering: Clustering,
    makers: NDArray[np.int64],
    asked: NDArray[np.int64],
    rng: np.random.Generator,
) -> list[_Answer]:
    """Let some women make clusters and ask others; return what they say of each of `joins`."""
    silent = [_Answer(1.0)] * len(joins)
    making, held = np.isin(woman, makers), np.flatnonzero(np.isin(woman, asked))
    mean, axes = _principal_axes(rotated[making], clustering.params["dims"])
    space = (rotated[making] - mean) @ axes
    params = params_for_share(clustering.params, len(space) / len(rotated))
    if clustering.method != "hdbscan" and params["k"] > len(np.unique(space, axis=0)):
        return silent
    fitted = fit(space, clustering.method, params, int(rng.integers(2**31)))
    sizes = np.bincount(fitted.labels[fitted.labels != NOISE], minlength=len(fitted.centres))
    if np.count_nonzero(sizes) < 2:
        return silent
    points = (rotated[held] - mean) @ axes
    assigned = _assign_all(fitted, sizes, points)
    order = rng.permutation(len(held))
    one_each = order[np.unique(woman[held][order], return_index=True)[1]]
    forks = []
    for fork in _forks(fitted.centres, sizes):
        sides = [np.isin(assigned, side) for side in fork]
        if min(side[one_each].sum() for side in sides) >= _LEAST_SIDE:
            middles = [np.average(fitted.centres[list(side)], 0, sizes[list(side)]) for side in fork]
            chosen = one_each[(sides[0] | sides[1])[one_each]]
            forks.append((sides, _answer(points[chosen], sides[0][chosen], *middles)))
    if not forks:
        return silent
    answers = [_find(join, labels[held], forks) for join in joins]
    return [_Answer(min(1.0, len(forks) * each.p_value), each.dip, each.values) for each in answers]


def _principal_axes(rows: NDArray[np.float64], dims: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean (D,) and the first principal axes (D, at most dims) of the rows alone."""
    mean = rows.mean(axis=0)
    _, singular, axes = np.linalg.svd(rows - mean, full_matrices=False)
    kept = min(dims, int((singular > 1e-9 * singular[0]).sum()))
    return mean, axes[:kept].T


def _assign_all(fitted: Fitted, sizes: NDArray[np.int64], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the cluster of each point, of noise the nearest."""
    from scipy.spatial.distance import cdist

    assigned = fitted.assign(points)
    noise = assigned == NOISE
    if noise.any():
        assigned = assigned.copy()
        assigned[noise] = np.where(sizes > 0, cdist(points[noise], fitted.centres), np.inf).argmin(axis=1)
    return assigned


def _forks(
    centres: NDArray[np.float64], sizes: NDArray[np.int64]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the joins of those clusters that have members."""
    real = np.flatnonzero(sizes)
    return [
        (tuple(real[list(left)].tolist()), tuple(real[list(right)].tolist()))
        for left, right in _joins(centres[real])
    ]


def _answer(
    points: NDArray[np.float64],
    on_left: NDArray[np.bool_],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
) -> _Answer:
    """Project points on the line between the means of their two sides, those near its middle; take their dip.

    Of either side the same share is taken: that it is nearer to the middle must not make it the larger one.
    """
    middle, way = (left + right) / 2, right - left
    distance = np.linalg.norm(points - middle, axis=1)
    share = min(1.0, max(NEAR_LEAST, len(points) ** NEAR_POWER) / len(points))
    near = np.zeros(len(points), bool)
    for side in (np.flatnonzero(on_left), np.flatnonzero(~on_left)):
        near[side[np.argsort(distance[side], kind="stable")[: round(share * len(side))]]] = True
    values = np.sort((points[near] - middle) @ way / (way @ way))
    depth = dip(values)
    return _Answer(p_value_of(depth, len(values)), depth, tuple(round(float(value), 4) for value in values))


def _find(
    join: tuple[tuple[int, ...], tuple[int, ...]],
    labels: NDArray[np.int64],
    forks: list[tuple[list[NDArray[np.bool_]], _Answer]],
) -> _Answer:
    """Return what the forks say of a join: of the two clusters, one of either side, that are least apart.

    It is not asked that the tree forks in the same order: where clusters lie at the same distance from one
    another, that differs from half to half.
    """
    pairs = [(left, right) for left in _voters(join[0], labels) for right in _voters(join[1], labels)]
    answers = [_between(labels == left, labels == right, forks) for left, right in pairs]
    return max(answers, key=lambda answer: answer.p_value, default=_Answer(1.0))


def _voters(side: tuple[int, ...], labels: NDArray[np.int64]) -> list[int]:
    """Return the clusters of a side but those that are a small part of it: of few images nobody can tell."""
    least = max(1, _SMALL * np.isin(labels, side).sum())
    return [label for label in side if np.sum(labels == label) >= least]


def _between(
    left: NDArray[np.bool_],
    right: NDArray[np.bool_],
    forks: list[tuple[list[NDArray[np.bool_]], _Answer]],
) -> _Answer:
    """Return the answer of the fork that parts two clusters (N,), going by most of their images."""
    best = _Answer(1.0)
    for (first, second), answer in forks:
        straight = min(first[left].mean(), second[right].mean()) >= _MATCH
        turned = min(second[left].mean(), first[right].mean()) >= _MATCH
        if (straight or turned) and answer.p_value < best.p_value:
            values = answer.values if straight else tuple(-value for value in reversed(answer.values))
            best = _Answer(answer.p_value, answer.dip, values)
    return best
