"""Exercises of lesson 08: k-means, noise that is no cluster, a number of clusters beside its null, and a
valley sought among women who did not make the clusters.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of, tried
from course_utils.teaching.others import position

Array = NDArray[Any]
KMeans = Callable[[Array, Array], tuple[Array, Array]]
CountClusters = Callable[[Array], tuple[int, float]]
BestK = Callable[[Array, Array, Array], tuple[int, float]]
DeepestPuddle = Callable[[Array], int]
TwoCentres = Callable[[Array], Array]
AskOthers = Callable[[Array, Array, Array, TwoCentres, np.random.Generator], Array]


def _pair(result: Any, first: str, second: str) -> tuple[Any, Any]:
    """Return the two results, or say which two are needed."""
    result = tried(result)
    several = isinstance(result, tuple | list) or (isinstance(result, np.ndarray) and result.ndim > 0)
    if not several or len(result) != 2:
        came = f"{len(result)}" if isinstance(result, tuple | list) else _kind(result)
        raise NotYet(f"two things are needed, {first} and {second}, and out came {came}.")
    missing = [part is None or part is ... for part in result]
    if any(missing) and not all(missing):
        raise NotYet(f"two things are needed, {first} and {second}, and one of them is missing.")
    return tried(result[0]), tried(result[1])


def _kind(value: Any) -> str:
    return kind_of(value, "an array")


def _number(value: Any, what: str) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    array = np.asarray(value)
    if array.ndim or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise NotYet(f"{what} should be one number, and out came {_kind(value)}.")
    return float(array)


def _check_unchanged(*pairs: tuple[Array, Array]) -> None:
    """Compare each array that a function was given with what it was before."""
    if not all(np.array_equal(given, before) for given, before in pairs):
        raise NotYet(
            "the result is right, but an array that your function was given is no longer the same. "
            "It is not yours, and may be needed again: work on a copy."
        )


# --- 08.1 k-means by hand


class _Counted(np.ndarray):
    """An array that notices how often it is computed with, so that a loop without end is stopped."""

    MOST = 200_000
    left = MOST

    def __array_finalize__(self, of: Any) -> None:
        _Counted.left -= 1
        if _Counted.left < 0:
            _Counted.left = self.MOST
            raise NotYet(
                "your loop does not end. Stop when no point changes its cluster. (Centres that have become "
                "NaN are never equal to themselves: has one lost all its points?)"
            )


def _counted(array: Array) -> Array:
    _Counted.left = _Counted.MOST
    return array.copy().view(_Counted)


def _blobs() -> tuple[Array, Array]:
    """Three groups of unequal size; all centres start in one of them."""
    rng = np.random.default_rng(13)
    middles = np.repeat([[0.0, 0.0, 0.0], [6.0, 1.0, 0.0], [3.0, 5.0, 2.0]], [9, 14, 17], axis=0)
    points = middles + rng.normal(scale=(1.5, 2.0, 1.2), size=middles.shape)
    return points, points[[0, 4, 7]].copy()


def _slow() -> tuple[Array, Array]:
    """Points in a row, ever farther apart: the centres take many rounds to get there."""
    points = np.column_stack([1.18 ** np.arange(30), np.linspace(0, 0.3, 30)])
    return points, points[[0, 1, 2, 3]].copy()


def _lonely() -> tuple[Array, Array]:
    """The second centre is the nearest of no point."""
    points, start = _blobs()
    return points, np.array([start[0], [90.0, 90.0, 90.0], points[-1], points[12]])


def _nearest(points: Array, centres: Array) -> Array:
    return np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)


def _lloyd(
    points: Array, centres: Array, most: int = 1000, middle: Callable[[Array], Array] | None = None
) -> tuple[Array, Array]:
    """The reference; `middle` says where a centre goes."""
    middle = middle or (lambda members: members.mean(axis=0))
    centres, labels = centres.copy(), _nearest(points, centres)
    for _ in range(most):
        centres = np.array(
            [
                middle(points[labels == j]) if (labels == j).any() else centre
                for j, centre in enumerate(centres)
            ]
        )
        before, labels = labels, _nearest(points, centres)
        if (labels == before).all():
            break
    return labels, centres


def _test_kmeans(kmeans: KMeans) -> None:
    for name, (points, start) in {"": _blobs(), "slow": _slow(), "lonely": _lonely()}.items():
        given, begin = _counted(points), _counted(start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the mean of nothing is told in words
            labels, centres = _pair(kmeans(given, begin), "labels", "centres")
        _compare_clusters(labels, centres, points, start, name)
        _check_unchanged((given, points), (begin, start))


def _compare_clusters(labels: Any, centres: Any, points: Array, start: Array, name: str) -> None:
    labels, centres = np.asarray(labels), np.asarray(centres, np.float64)
    wanted, places = _lloyd(points, start)
    if labels.shape == places.shape and centres.shape == wanted.shape:
        raise NotYet("the two have changed places: first the labels, then the centres.")
    if centres.size < places.size and name == "lonely":
        raise NotYet(
            f"{len(places)} centres went in, and {len(centres)} came out. The one without points was "
            "dropped: it stays where it is."
        )
    if labels.shape != wanted.shape or centres.shape != places.shape:
        raise NotYet(
            f"{len(points)} points and {len(start)} centres make labels {wanted.shape} and centres "
            f"{places.shape}; out came {labels.shape} and {centres.shape}."
        )
    if np.isnan(centres).any():
        raise NotYet(
            "a centre has become NaN: no point was nearest to it, and the mean of nothing is not a number. "
            "Such a centre stays where it is."
        )
    if np.array_equal(labels, wanted) and np.allclose(centres, places):
        return
    if np.array_equal(labels, wanted) and np.allclose(centres, start):
        raise NotYet("the centres are still the ones that you started from. Move each to its points' mean.")
    if name == "lonely":
        raise NotYet(
            "it holds as long as every centre has points. One that is nearest to none must stay where it is, "
            "and the others go on as before."
        )
    if np.array_equal(labels, np.linalg.norm(points[:, None] - start, axis=2).argmax(axis=1)) or (
        np.array_equal(labels, np.linalg.norm(points[:, None] - places, axis=2).argmax(axis=1))
    ):
        raise NotYet("each point went to the centre that is farthest away. Which way does `argmin` look?")
    _name_the_centres(labels, centres, points, start, wanted)


def _name_the_centres(labels: Array, centres: Array, points: Array, start: Array, wanted: Array) -> None:
    medians, places = _lloyd(points, start, middle=lambda members: np.median(members, axis=0))
    if np.array_equal(labels, medians) and np.allclose(centres, places):
        raise NotYet("these centres are the medians of their points. k-means takes the mean.")
    for rounds in range(60):
        early, places = _lloyd(points, start, rounds)
        fresh = np.array_equal(labels, early) and not np.array_equal(early, wanted)
        assigned = _nearest(points, _lloyd(points, start, max(0, rounds - 1))[1])
        stale = np.array_equal(labels, assigned) and not np.array_equal(assigned, wanted)
        if (fresh or stale) and np.allclose(centres, places):
            after = f"about {rounds} rounds" if rounds > 1 else "the first round"
            raise NotYet(
                f"your function stopped too early, after {after}: points would still change their cluster. "
                "Go on until none does."
            )
    ends = _lloyd(points, start)[1]
    if np.array_equal(labels, wanted + 1) and np.allclose(centres, ends):
        raise NotYet(
            "your labels begin at 1. A label is the number of a row of `centres`, and rows begin at 0."
        )
    if np.array_equal(labels, wanted):
        raise NotYet(
            "the labels are right, and the centres are not the means of their points (over axis 0, one "
            "number for each column)."
        )
    if _same_groups(labels, wanted) and len(np.unique(centres.round(9), axis=0)) == len(ends):
        raise NotYet(
            "the groups are right, and their numbers are not: label j means the centre that began in row j, "
            "and row j of the result is where it ended."
        )
    if centres.shape[1] > 1 and np.allclose(np.ptp(centres, axis=1), 0):
        raise NotYet(
            "each of your centres has the same number in every column. The mean is taken over the points "
            "(axis 0), for each column by itself."
        )
    if any(np.allclose(np.linalg.norm(centre - centres[0]), 0) for centre in centres[1:]):
        raise NotYet("two centres lie in the same place. Does each take the mean of *its own* points?")
    if _stays(labels, centres, points):
        raise NotYet(
            "k-means could end here, but not if it begins at the centres that it is given. Do you start from "
            "`centres`, as they are?"
        )
    raise NotYet(
        "the labels are not where k-means ends. Two steps in turn: each point to its nearest centre (the "
        "square root of the sum of squares over the columns), each centre to the mean of its points."
    )


def _stays(labels: Array, centres: Array, points: Array) -> bool:
    """Return whether k-means would leave all where it is."""
    again, places = _lloyd(points, centres, 1)
    return np.array_equal(labels, again) and np.allclose(centres, places)


def _same_groups(labels: Array, wanted: Array) -> bool:
    """Return whether two labellings differ in the numbers only."""
    pairs = {(float(a), int(b)) for a, b in zip(labels, wanted, strict=True)}
    return len(pairs) == len(np.unique(wanted)) == len({a for a, _ in pairs})


def _in_rounds(points: Array, centres: Array, rounds: int, **options: Any) -> tuple[Array, Array]:
    """What the planted answers have in common."""
    return _lloyd(np.asarray(points), np.asarray(centres), rounds, **options)


def _starts_of_its_own(points: Array, centres: Array) -> tuple[Array, Array]:
    return _in_rounds(points, points[-len(centres) :], 1000)


def _nearest_points(points: Array, centres: Array) -> tuple[Array, Array]:
    labels, ends = _in_rounds(points, centres, 1000)
    return labels, np.asarray(points)[[np.linalg.norm(points - end, axis=1).argmin() for end in ends]]


def _numbered_anew(points: Array, centres: Array) -> tuple[Array, Array]:
    labels, ends = _in_rounds(points, centres, 1000)
    order = np.argsort(ends[:, 0])
    return np.argsort(order)[labels], ends[order]


def _lets_a_centre_vanish(points: Array, centres: Array) -> tuple[Array, Array]:
    for _ in range(100):
        labels = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
        centres = np.array([points[labels == j].mean(axis=0) for j in range(len(centres))])
    return labels, centres


def _drops_a_centre(points: Array, centres: Array) -> tuple[Array, Array]:
    labels = _in_rounds(points, centres, 1000)[0]
    return labels, np.array([points[labels == j].mean(axis=0) for j in np.unique(labels)])


def _moves_the_start(points: Array, centres: Array) -> tuple[Array, Array]:
    labels, centres[:] = _in_rounds(points, centres, 1000)
    return labels, centres


def _farthest(points: Array, centres: Array) -> tuple[Array, Array]:
    labels = np.linalg.norm(points[:, None] - centres, axis=2).argmax(axis=1)
    return labels, np.array([points[labels == j].mean(axis=0) for j in range(len(centres))])


# --- 08.2 noise is no cluster

_LABELS: tuple[tuple[int, ...], ...] = (
    (1, 0, -1, 0, 1, 2, -1, 0, 1),
    (0, 1, 1, 0, 1),
    (2, 0, 0, 2, 2, 0, 0),  # a part of the images: cluster 1 is not among them
    (-1, -1, -1),
)


def _test_count_clusters(count_clusters: CountClusters) -> None:
    for each in _LABELS:
        labels = np.array(each)
        given = labels.copy()
        number, share = _pair(count_clusters(given), "a number", "a share")
        _compare_counts(_number(number, "the first"), _number(share, "the second"), labels)
        _check_unchanged((given, labels))


def _compare_counts(number: float, share: float, labels: Array) -> None:
    came, inside = f"labels {labels.tolist()}: your count of clusters is {number:g}.", labels >= 0
    wanted = len(np.unique(labels[inside]))
    if number != wanted and np.isclose(number, inside.mean()) and share == wanted:
        raise NotYet("the two have changed places: first the number of clusters, then the share.")
    if number == wanted + 1 and (labels == -1).any() and number == len(np.unique(labels)):
        raise NotYet(f"{came} −1 is not a cluster: it says that the image belongs to none.")
    if number == wanted - 1 and -1 not in labels:
        raise NotYet(f"{came} There is no −1 among these labels, so there is nothing to take off.")
    if number == wanted - 1 and 0 in labels:
        raise NotYet(f"{came} Cluster 0 is one of them: numbers begin at 0.")
    if number == labels.max() + 1 and number != wanted:
        raise NotYet(f"{came} The largest label is {labels.max()}, but not every number below it occurs.")
    if number != wanted:
        raise NotYet(f"{came} There are {wanted}: how many different labels are there, without −1?")
    shares = f"labels {labels.tolist()}: the share is {share:.2f}."
    if np.isclose(share, inside.mean()):
        return
    if np.isclose(share, inside.sum()):
        raise NotYet(f"{shares} That is how many images are in a cluster; divide by how many there are.")
    if np.isclose(share, (labels > 0).mean()):
        raise NotYet(f"{shares} The images of cluster 0 are in a cluster too: `>= 0`, not `> 0`.")
    if np.isclose(share, 1 - inside.mean()):
        raise NotYet(f"{shares} That is the share of noise; the share that is in a cluster is asked for.")
    if np.isclose(share, 100 * inside.mean()):
        raise NotYet(f"{shares} A share goes from 0 to 1, and this one is in percent.")
    raise NotYet(f"{shares} {inside.sum()} of {len(labels)} images are in a cluster.")


# --- 08.3 a number of clusters, beside its null


def _curves(first: int, found: list[float], seed: int) -> tuple[Array, Array, Array]:
    """Silhouettes that fall with k, and 19 draws that fall alike; three stand out at a k of their own."""
    rng = np.random.default_rng(seed)
    null = np.linspace(0.30, 0.10, len(found)) + rng.normal(0, 0.004, (19, len(found)))
    null[:3, 1] += 0.12
    return np.arange(first, first + len(found)), np.array(found), null


def _uneven() -> tuple[Array, Array, Array]:
    """Draws that are lopsided at some k: their spread, median or maximum in place of the mean misleads.

    The excess is largest at 3, where the draws spread most. Over the median of the draws the data stand out
    most at 4, over the largest draw and in units of the spread at 5; at 6 they lie far below. One draw has
    the same largest excess as the data.
    """
    rng = np.random.default_rng(5)
    ks, null = np.arange(2, 7), 0.2 + rng.normal(0, 0.002, (19, 5))
    null[:, 1] += rng.permutation(np.linspace(-0.06, 0.06, 19))
    null[:8, 2] += 0.15
    found = null.mean(axis=0) + np.array([0.0, 0.085, 0.055, 0.05, -0.15])
    null[-1, 1] = found[1]  # changes the mean at 3 a little, for the data and all draws alike
    return ks, found, null


_STANDS_OUT = (
    _curves(3, [0.31, 0.24, 0.27, 0.17, 0.05], 0),  # best 3; stands out at 5, by 0.07; least at 7
    _curves(2, [0.36, 0.28, 0.20, 0.17, 0.26, 0.11], 1),  # best 2; stands out at 6, by 0.12
    _curves(2, [0.60, 0.50, 0.40], 2),  # 2 is right by both
    _uneven(),
)


def _test_best_k(best_k: BestK) -> None:
    for ks, found, null in _STANDS_OUT:
        given = ks.copy(), found.copy(), null.copy()
        k, p = _pair(best_k(*given), "k", "p")
        _compare_choice(_number(k, "the first"), _number(p, "the second"), ks, found, null)
        _check_unchanged(*zip(given, (ks, found, null), strict=True))


def _compare_choice(k: float, p: float, ks: Array, found: Array, null: Array) -> None:
    excess, draws = found - null.mean(axis=0), null - null.mean(axis=0)
    place = int(excess.argmax())
    if p == ks[place] and k != ks[place]:
        raise NotYet("the two have changed places: first k, then p.")
    if np.isclose(k, excess.max()):
        raise NotYet(f"{k:.3f} is the largest excess itself; which k is it found at?")
    if k == place and k != ks[place]:
        raise NotYet(f"{k:g} is the place of the largest excess; the k that stands there is {ks[place]}.")
    if k == place + 2 != ks[place]:
        raise NotYet(
            f"k = {k:g} is right only if the numbers tried begin at 2. Here they begin at {ks[0]}: look the "
            "k up in `ks`."
        )
    if k == ks[found.argmax()] and k != ks[place]:
        raise NotYet(
            f"k = {k:g} has the largest silhouette, {found.max():.2f}. The draws without clusters reach "
            f"{null.mean(axis=0)[found.argmax()]:.2f} there, too. Where do the data stand out most "
            "from them? (One mean for all k changes nothing: each k has a mean of its own, over axis 0.)"
        )
    if k == ks[excess.argmin()]:
        raise NotYet(f"at k = {k:g} the data stand out least: found minus null, and the largest.")
    if k != ks[place]:
        raise NotYet(
            f"k = {k:g}, and it should be {ks[place]}: subtract from the data's silhouette the mean of the "
            "draws at the same k (over axis 0), and take the k of the largest difference."
        )
    larger, beaten = (
        int(test(draws.max(axis=1), excess.max()).sum()) for test in (np.greater_equal, np.greater)
    )
    at_k = int((draws[:, place] >= excess.max()).sum())
    if np.isclose(p, (larger + 1) / (len(null) + 1)):
        return
    if beaten != larger and (
        np.isclose(p, (beaten + 1) / (len(null) + 1)) or np.isclose(p, beaten / len(null))
    ):
        raise NotYet(f"p = {p:.3f}. A draw whose excess is as large as the data's counts, too: `>=`.")
    if np.isclose(p, larger / len(null)) or np.isclose(p, larger / (len(null) + 1)):
        raise NotYet(
            f"p = {p:.3f}. The data are one of the draws that could have come: count them in, above and "
            "below. Or p could be 0, and no number of draws can show that."
        )
    if np.isclose(p, (at_k + 1) / (len(null) + 1)) or np.isclose(p, at_k / len(null)):
        raise NotYet(
            f"p = {p:.3f} is what the draws at k = {k:g} alone give. You looked for the best k among the "
            "data; let every draw look for its own best k too, and compare with the largest excess that it "
            "finds."
        )
    raise NotYet(
        f"p = {p:.3f}, and it should be {(larger + 1) / (len(null) + 1):.3f}: {larger} of {len(null)} "
        "draws have an excess somewhere that is at least as large as the data's; and the data count as one "
        "more draw."
    )


def _choose(ks: Array, excess: Array, null: Array) -> tuple[int, float]:
    draws = (null - null.mean(axis=0)).max(axis=1)
    return int(ks[excess.argmax()]), float((1 + (draws >= excess.max()).sum()) / (1 + len(null)))


def _largest_silhouette(ks: Array, found: Array, null: Array) -> tuple[int, float]:
    return int(ks[found.argmax()]), _choose(ks, found - null.mean(axis=0), null)[1]


def _place(ks: Array, found: Array, null: Array) -> tuple[int, float]:
    excess = found - null.mean(axis=0)
    return int(excess.argmax()), _choose(ks, excess, null)[1]


def _from_two(ks: Array, found: Array, null: Array) -> tuple[int, float]:
    place, p = _place(ks, found, null)
    return 2 + place, p


def _without_the_data(ks: Array, found: Array, null: Array) -> tuple[int, float]:
    k, p = _choose(ks, found - null.mean(axis=0), null)
    return k, (p * (len(null) + 1) - 1) / len(null)


def _at_that_k_alone(ks: Array, found: Array, null: Array) -> tuple[int, float]:
    excess = found - null.mean(axis=0)
    at = int(excess.argmax())
    return int(ks[at]), float((1 + (null[:, at] >= found[at]).sum()) / (1 + len(null)))


# --- 08.4 water on a histogram

_COUNTS: tuple[tuple[int, ...], ...] = (
    (8, 3, 7, 11, 4),  # 5 deep; level, sum, place, number of wet bars and the bar's height are others
    (1, 5, 2, 7, 3, 4, 2),  # 3 deep between 5 and 7; 1 between 7 and 4
    (3, 9, 8, 2, 6, 3),  # 4 deep, and not between the two highest bars
    (9, 1, 6, 2, 4),  # 5 deep, held by the lower wall; the walls are not equal
    (4, 0, 6, 1, 9),  # the mirror, with other heights
    (1, 4, 8, 5, 2),  # one hill: none
    (7, 3, 1, 2, 8, 6, 0, 0),  # a wide puddle, 6 deep
    (0, 0, 3),
)


def _test_deepest_puddle(deepest_puddle: DeepestPuddle) -> None:
    for each in _COUNTS:
        counts = np.array(each)
        given = counts.copy()
        _compare_depth(_number(tried(deepest_puddle(given)), "the depth"), counts)
        _check_unchanged((given, counts))


def _water(counts: Array) -> Array:
    left, right = np.maximum.accumulate(counts), np.maximum.accumulate(counts[::-1])[::-1]
    return np.minimum(left, right) - counts


def _compare_depth(depth: float, counts: Array) -> None:
    came, water = f"counts {counts.tolist()}: your deepest puddle is {depth:g}.", _water(counts)
    left, right = np.maximum.accumulate(counts), np.maximum.accumulate(counts[::-1])[::-1]
    if depth == water.max():
        return
    if depth == np.minimum(left, right).max():
        raise NotYet(f"{came} That is how high the water stands; its depth is counted from the bar up.")
    if depth == counts.max() - counts.min():
        raise NotYet(
            f"{came} So high is the highest bar above the lowest. Water stands as high as the *lower* of "
            "its two walls, and at the ends of a histogram there is no wall."
        )
    if depth in ((left - counts).max(), (right - counts).max()):
        raise NotYet(
            f"{came} That has a wall on one side only, or its two walls are not those of the same bar."
        )
    if depth == water.sum():
        raise NotYet(f"{came} That is all the water together; how deep is it where it is deepest?")
    if depth == water.argmax():
        raise NotYet(f"{came} That is the number of the bar; how deep is the water there?")
    if depth == (water > 0).sum():
        raise NotYet(f"{came} So many bars are under water; how deep is it where it is deepest?")
    raise NotYet(f"{came} It should be {water.max()}: the water over the bars is {water.tolist()}.")


def _one_wall(counts: Array) -> int:
    return int((np.maximum.accumulate(counts) - counts).max())


def _higher_wall(counts: Array) -> int:
    right = np.maximum.accumulate(counts[::-1])[::-1]
    return int((np.maximum(np.maximum.accumulate(counts), right) - counts).max())


# --- 08.5 ask the others


def _women() -> tuple[Array, Array]:
    """Vectors (N, 5) and the woman of each row: in no order, and not four of each."""
    rng = np.random.default_rng(8)
    women = np.repeat([f"W{i:02d}" for i in range(1, 13)], [4, 1, 3, 4, 2, 4, 4, 3, 4, 4, 2, 4])
    women = rng.permutation(women)
    own = {woman: rng.normal(size=5) for woman in np.unique(women)}
    return np.array([own[woman] for woman in women]) + 0.5 * rng.normal(size=(len(women), 5)), women


_NEAR = 1e-5  # single precision is enough; two images are never so close
_MAKERS = np.array(["W03", "W11", "W05", "W01", "W08", "W09"])


def _centres_of(rows: Array) -> Array:
    """Two points that depend on every row, and not on their order."""
    rows = np.asarray(rows, np.float64)
    return np.array([rows.mean(axis=0) - 0.7 * rows.std(axis=0), np.median(rows, axis=0) + 1.1])


def _test_ask_others(ask_others: AskOthers) -> None:
    vectors, women = _women()
    answers = [_asked(ask_others, vectors, women, seed) for seed in (0, 0, *range(1, 13))]
    if not np.array_equal(answers[0], answers[1]):
        raise NotYet(
            "the same generator gave two different answers: draw with `rng.choice(…)`, so that others can "
            "repeat what you did."
        )
    seen = {row for answer in answers for row in answer.tolist()}
    others = np.flatnonzero(~np.isin(women, _MAKERS))
    if len(seen) < len(others) - 2:  # thirteen draws may pass over an image, hardly over three
        raise NotYet(
            "each woman always answers with the same image, whatever the generator. (The first of each is "
            "the same view of the same side for all.) Draw one of hers with `rng.choice(…)`."
        )


def _asked(ask_others: AskOthers, vectors: Array, women: Array, seed: int) -> Array:
    """Return the rows that were asked, sorted, once it is clear that they are the right ones."""
    made_of: list[Array] = []

    def two_centres(rows: Array) -> Array:
        made_of.append(np.asarray(rows, np.float64))
        return _centres_of(rows)

    given = vectors.copy(), women.copy(), _MAKERS.copy()
    result = tried(ask_others(*given, two_centres, np.random.default_rng(seed)))
    made = np.isin(women, _MAKERS)
    if not made_of:
        raise NotYet("`two_centres` was never called: who makes the clusters?")
    _compare_makers(made_of[-1], vectors, women, made)
    if isinstance(result, Mapping | Iterator):
        raise NotYet(f"an array of positions is needed, one for each woman, and out came {_kind(result)}.")
    if np.asarray(result).dtype.kind in "US":
        raise NotYet("these are names; the `position` of an image of each is asked for.")
    answers = np.asarray(result, np.float64)
    others = len(np.unique(women[~made]))
    if answers.ndim != 1:
        raise NotYet(
            f"one position for each other woman is needed, ({others},), and out came {answers.shape}: "
            "`position` makes one number of a vector."
        )
    rows = _rows_of(answers, vectors, women, made)
    _check_unchanged(*zip(given, (vectors, women, _MAKERS), strict=True))
    return rows


def _compare_makers(rows: Array, vectors: Array, women: Array, made: Array) -> None:
    if rows.shape == vectors[made].shape and np.allclose(
        np.sort(rows, axis=0), np.sort(vectors[made], axis=0)
    ):
        return
    if len(rows) == len(vectors):
        raise NotYet(
            "the clusters were made of all the images. Then the women who are asked have helped to make "
            "them, and noise gets a valley again."
        )
    if rows.shape == vectors[~made].shape and np.allclose(
        np.sort(rows, axis=0), np.sort(vectors[~made], axis=0)
    ):
        raise NotYet("the others have made the clusters. `makers` make them, and the others are asked.")
    raise NotYet(
        f"the clusters were made of {len(rows)} images; the makers have {made.sum()}. All of theirs, and "
        "nobody else's: `np.isin(women, makers)`."
    )


def _rows_of(answers: Array, vectors: Array, women: Array, made: Array) -> Array:
    centres = _centres_of(vectors[made])
    places = position(vectors, *centres)
    apart = np.abs(answers[:, None] - places)
    if len(answers) == 0 or apart.min(axis=1).max() > _NEAR:
        _name_the_answers(answers, vectors, women, made, centres)
    rows, most = apart.argmin(axis=1), int(np.unique(women, return_counts=True)[1].max())
    if rows.max() < most:
        raise NotYet(
            f"your rows are all among the first {most}: the place of an image among those of its woman "
            "is not its row. `np.flatnonzero(women == woman)` are her rows."
        )
    names, times = np.unique(women[rows], return_counts=True)
    if np.isin(names, _MAKERS).any():
        who = "the makers themselves" if np.isin(names, _MAKERS).all() else "the makers among others"
        raise NotYet(f"you asked {who}. They will confirm what was made of them: ask the others.")
    if times.max() > 1:
        raise NotYet(
            f"{len(answers)} answers of {len(names)} women. Images of one woman are alike, and would count "
            "as independent: one image of each, at random."
        )
    everybody = len(np.unique(women[~made]))
    if len(names) < everybody:
        raise NotYet(f"{everybody} women did not make the clusters, and you asked {len(names)} of them.")
    return np.sort(rows)


def _name_the_answers(answers: Array, vectors: Array, women: Array, made: Array, centres: Array) -> None:
    """Raise NotYet with the reason why these are no positions of images."""
    others = np.unique(women[~made])
    means = position(np.array([vectors[women == woman].mean(axis=0) for woman in others]), *centres)
    if np.abs(answers[:, None] - means).min(axis=1).max() < _NEAR:
        raise NotYet(
            "these are the means of the women's images. That is a good question too, but another one: here "
            "one image of each answers, drawn at random."
        )
    if np.abs(answers[:, None] - position(vectors, *centres[::-1])).min(axis=1).max() < _NEAR:
        raise NotYet("first and second centre have changed places: 0 is at the first, 1 at the second.")
    if np.array_equal(answers, answers.round()):
        raise NotYet("these are labels or numbers of rows; the `position` of each image is asked for.")
    raise NotYet(
        "these are not the positions of images: `position(rows, first, second)`, with the two centres as "
        "`two_centres` gave them."
    )


def _one_of_each(women: Array, names: Array, rng: np.random.Generator) -> list[int]:
    return [int(rng.choice(np.flatnonzero(women == name))) for name in names]


def _all_made(vectors: Array, women: Array, makers: Array, two_centres: TwoCentres, rng: Any) -> Array:
    chosen = _one_of_each(women, np.setdiff1d(women, makers), rng)
    return position(vectors[chosen], *two_centres(vectors))


def _makers_asked(vectors: Array, women: Array, makers: Array, two_centres: TwoCentres, rng: Any) -> Array:
    chosen = _one_of_each(women, makers, rng)
    return position(vectors[chosen], *two_centres(vectors[np.isin(women, makers)]))


def _every_image(vectors: Array, women: Array, makers: Array, two_centres: TwoCentres, rng: Any) -> Array:
    made = np.isin(women, makers)
    return position(vectors[~made], *two_centres(vectors[made]))


def _first_image(vectors: Array, women: Array, makers: Array, two_centres: TwoCentres, rng: Any) -> Array:
    first = [int(np.flatnonzero(women == name)[0]) for name in np.setdiff1d(women, makers)]
    return position(vectors[first], *two_centres(vectors[np.isin(women, makers)]))


def _place_of_her_own(
    vectors: Array, women: Array, makers: Array, two_centres: TwoCentres, rng: Any
) -> Array:
    places = [rng.integers((women == name).sum()) for name in np.setdiff1d(women, makers)]
    return position(vectors[places], *two_centres(vectors[np.isin(women, makers)]))


def _mean_image(vectors: Array, women: Array, makers: Array, two_centres: TwoCentres, rng: Any) -> Array:
    centres = two_centres(vectors[np.isin(women, makers)])
    others = np.setdiff1d(women, makers)
    return position(np.array([vectors[women == name].mean(axis=0) for name in others]), *centres)


def _turned(vectors: Array, women: Array, makers: Array, two_centres: TwoCentres, rng: Any) -> Array:
    chosen = _one_of_each(women, np.setdiff1d(women, makers), rng)
    return position(vectors[chosen], *two_centres(vectors[np.isin(women, makers)])[::-1])


EXERCISES = (
    Exercise(
        id="08.1",
        title="k-means by hand",
        minutes=10,
        test=_test_kmeans,
        buys="this is the whole method. It ends in k groups, whatever you give it.",
        hints=(
            "Two steps in a loop. First: the distance of every point to every centre, (N, k), and for each "
            "point the nearest. Second: each centre to the mean of its points. When do you stop?",
            "`np.linalg.norm(points[:, None] - centres, axis=2)` are the distances, and `.argmin(axis=1)` "
            "gives the labels. The mean of cluster j is `points[labels == j].mean(axis=0)`, if it has any "
            "points.",
            "`while True:`; labels as above; are they those of the round before, `return labels, centres`; "
            "else `centres = centres.copy()`, and `for j in np.unique(labels):` set `centres[j]` to the "
            "mean. A centre without points does not occur in `np.unique(labels)`.",
        ),
        planted=(
            Planted(lambda points, centres: _in_rounds(points, centres, 1), "one round", "stopped too early"),
            Planted(_lets_a_centre_vanish, "took the mean of no points", "become NaN"),
            Planted(_farthest, "took the farthest centre", "farthest away"),
            Planted(
                lambda points, centres: _in_rounds(
                    points, centres, 1000, middle=lambda members: np.median(members, axis=0)
                ),
                "took medians",
                "the medians of their points",
            ),
            Planted(_starts_of_its_own, "started from centres of its own", "k-means could end here"),
            Planted(_nearest_points, "took the points nearest to the centres", "the labels are right"),
            Planted(_numbered_anew, "numbered the clusters anew", "the groups are right"),
            Planted(_drops_a_centre, "dropped a centre without points", "points was dropped"),
            Planted(_moves_the_start, "changed what it was given", "work on a copy"),
            Planted(
                lambda points, centres: _in_rounds(points, centres, 1000)[::-1],
                "gave the centres first",
                "changed places",
            ),
        ),
    ),
    Exercise(
        id="08.2",
        title="Noise is no cluster",
        minutes=4,
        test=_test_count_clusters,
        buys="every count says how many images it is about, and those that belong nowhere stay out.",
        hints=(
            "Which labels are those of a cluster? Take these first, and count after that.",
            "`labels >= 0` is True for an image in a cluster. What does the mean of such an array say?",
            "`inside = labels >= 0`, and then `len(np.unique(labels[inside]))` and `inside.mean()`.",
        ),
        planted=(
            Planted(
                lambda labels: (len(set(labels.tolist())), (labels >= 0).mean()),
                "counted −1 as a cluster",
                "−1 is not a cluster",
            ),
            Planted(
                lambda labels: (labels.max() + 1, (labels >= 0).mean()),
                "took the largest label",
                "not every number below it occurs",
            ),
            Planted(
                lambda labels: (len(np.unique(labels[labels >= 0])), (labels > 0).mean()),
                "left cluster 0 out of the share",
                "The images of cluster 0",
            ),
            Planted(
                lambda labels: (len(np.unique(labels[labels >= 0])), (labels == -1).mean()),
                "gave the share of noise",
                "the share of noise",
            ),
        ),
    ),
    Exercise(
        id="08.3",
        title="How many, beside how many in noise",
        minutes=7,
        test=_test_best_k,
        buys="no number of clusters is chosen because noise likes it too, and p knows that you searched.",
        hints=(
            "What does a silhouette of 0.3 at k = 2 tell you if data without clusters reach 0.3 there as "
            "well?",
            "`expected = null.mean(axis=0)`. The data's excess is `found - expected`; a draw's is its own "
            "row minus `expected`, and the draw takes its largest, `.max(axis=1)`.",
            "k is `ks[excess.argmax()]`, and p is `(1 + (largest >= excess.max()).sum()) / (1 + "
            "len(null))`, where `largest` holds the largest excess of each draw.",
        ),
        planted=(
            Planted(_largest_silhouette, "took k by the best silhouette", "has the largest silhouette"),
            Planted(_place, "gave the place in place of k", "is the place of the largest excess"),
            Planted(_from_two, "took for granted that ks begins at 2", "look the k up"),
            Planted(_without_the_data, "left the data out of p", "count them in"),
            Planted(_at_that_k_alone, "forgot in p that k was searched", "let every draw look"),
        ),
    ),
    Exercise(
        id="08.4",
        title="Pour water on a histogram",
        minutes=6,
        test=_test_deepest_puddle,
        buys="a valley has become a number of images, and one hill has none.",
        hints=(
            "Stand on one bar. How high is the highest bar to your left, and to your right, your own "
            "included? Up to which of the two can water stand?",
            "`np.maximum.accumulate(counts)` is the highest bar so far, seen from the left. For the right, "
            "turn the counts around, and the result back: `[::-1]`.",
            "`level = np.minimum(left, right)`, and the answer is `(level - counts).max()`.",
        ),
        planted=(
            Planted(_one_wall, "took a wall on the left alone", "a wall on one side only"),
            Planted(_higher_wall, "filled up to the higher wall", "the *lower* of its two walls"),
            Planted(lambda counts: int(_water(counts).sum()), "added the water up", "all the water together"),
            Planted(
                lambda counts: int((_water(counts) + counts).max()), "gave the level", "how high the water"
            ),
        ),
    ),
    Exercise(
        id="08.5",
        title="Ask women who did not make the clusters",
        minutes=9,
        test=_test_ask_others,
        buys="those who answer had no part in the question, and no woman answers twice.",
        hints=(
            "Two groups of women, and two steps: the makers give two centres; of each other woman one "
            "image gets a position between them.",
            "`np.isin(women, makers)` marks the makers' images, `np.setdiff1d(women, makers)` names the "
            "others, and `rng.choice(np.flatnonzero(women == woman))` draws a row of one of them.",
            "`first, second = two_centres(vectors[np.isin(women, makers)])`; `rows` is a list with one "
            "draw for each of the others; return `position(vectors[rows], first, second)`.",
        ),
        planted=(
            Planted(_all_made, "made the clusters of everybody", "made of all the images"),
            Planted(_makers_asked, "asked the makers", "the makers themselves"),
            Planted(_every_image, "asked every image", "Images of one woman are alike"),
            Planted(_first_image, "always took the first image", "always answers with the same image"),
            Planted(_place_of_her_own, "took a place among hers for a row", "is not its row"),
            Planted(_mean_image, "asked a woman's mean", "the means of the women's images"),
            Planted(_turned, "exchanged the centres", "first and second centre have changed places"),
        ),
    ),
)
