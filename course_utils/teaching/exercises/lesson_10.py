"""Exercises of lesson 10: folds of women, intervals over women, quadratic kappa, columns chosen inside the
fold, a reliability curve, and whom to label next.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import permutations
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of, tried

Array = NDArray[Any]
FoldsOfWomen = Callable[[Array, Array, int, np.random.Generator], Array]
Interval = Callable[[Array, Array, np.random.Generator, int], tuple[float, float]]
Kappa = Callable[[Array, Array, int], float]
ChosenInside = Callable[[Array, Array, Array, int], Array]
Reliability = Callable[[Array, Array, int], tuple[Array, Array, Array]]
NextWoman = Callable[[Array, Array], Any]


def _several(result: Any, what: tuple[str, ...]) -> list[Any]:
    """Return as many results as are needed, or say which."""
    result = tried(result)
    result = result.to_numpy() if isinstance(result, pd.Series) else result
    number, names = {2: "two", 3: "three"}[len(what)], f"{', '.join(what[:-1])} and {what[-1]}"
    several = isinstance(result, tuple | list) or (isinstance(result, np.ndarray) and result.ndim > 0)
    if not several or len(result) != len(what):
        came = f"{len(result)}" if isinstance(result, tuple | list) else kind_of(result, "an array")
        raise NotYet(f"{number} things are needed, {names}, and out came {came}.")
    missing = [part is None or part is ... for part in result]
    if any(missing) and not all(missing):
        raise NotYet(f"{number} things are needed, {names}, and one of them is missing.")
    return [tried(part) for part in result]


def _number(value: Any, what: str) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    array = np.asarray(value)
    if array.ndim or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise NotYet(f"{what} should be one number, and out came {kind_of(value, 'an array')}.")
    return float(array)


def _check_unchanged(*pairs: tuple[Array, Array]) -> None:
    """Compare each array that a function was given with what it was before."""
    if not all(np.array_equal(given, before) for given, before in pairs):
        raise NotYet(
            "an array that your function was given is no longer the same afterwards. Whoever calls may need "
            "it again: work on a copy."
        )


def _owners(sizes: list[int], names: list[Any], seed: int) -> tuple[Array, Array]:
    """Return the woman of each image, in no order, and for each image the number of its woman."""
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.array(names)[order], order


# --- 10.1 folds of women


def _women_and_classes() -> tuple[tuple[Array, Array, int], ...]:
    """Women, the class of each image, and how many folds: classes of unequal size, women of unequal size."""
    rng = np.random.default_rng(3)
    first, owner = _owners(
        rng.integers(1, 6, 32).tolist(), [f"W{i:02d}" for i in rng.permutation(90)[:32]], 1
    )
    classes = np.array(["rare"] * 5 + ["some"] * 10 + ["many"] * 17)[rng.permutation(32)]
    second, other = _owners(rng.integers(2, 5, 19).tolist(), rng.permutation(50)[:19].tolist(), 2)
    sides = np.array([1] * 6 + [0] * 13)[rng.permutation(19)]
    third, _ = _owners([4, 2, 3, 4, 1, 4, 2, 4, 4, 3, 2], list("KDAHBGCFEJL"), 4)
    return (
        (first, classes[owner], 5),
        (second, sides[other], 3),
        (third, np.zeros(len(third), int), 4),
    )


def _test_folds_of_women(folds_of_women: FoldsOfWomen) -> None:
    for women, labels, splits in _women_and_classes():
        found = []
        for seed in (0, 0, 1, 2):
            given = women.copy(), labels.copy()
            result = tried(folds_of_women(*given, splits, np.random.default_rng(seed)))
            _check_unchanged((given[0], women), (given[1], labels))
            found.append(_fold_numbers(result, women, splits))
            _compare_folds(found[-1], women, labels, splits)
        if not np.array_equal(found[0], found[1]):
            raise NotYet(
                "the same generator gave two different answers: draw with `rng`, so that others can repeat "
                "what you did."
            )
        together = [(fold[:, None] == fold)[labels[:, None] == labels] for fold in found]
        if all(np.array_equal(together[0], other) for other in together[2:]):
            raise NotYet(
                "every generator puts the same women together. Deal the women out at random, with `rng`: "
                "else the order of their names decides, and women who came one after the other stay together."
            )


def _fold_numbers(result: Any, women: Array, splits: int) -> Array:
    if isinstance(result, tuple | list) and len(result) and isinstance(result[0], tuple | list | np.ndarray):
        raise NotYet(
            "these look like lists of rows. One number is needed for each image, that of its fold: "
            f"({len(women)},)."
        )
    if hasattr(result, "__next__"):
        raise NotYet("out came a generator. One number is needed for each image, that of its fold.")
    if not np.iterable(result) or isinstance(result, str | dict | set):
        kind = kind_of(result, "an array")
        raise NotYet(f"one fold for each image is needed, {women.shape}, and out came {kind}.")
    fold = np.asarray(result)
    if fold.shape == (len(np.unique(women)),) and fold.shape != women.shape:
        raise NotYet(
            f"one number for each woman, {fold.shape}, and needed is one for each image, {women.shape}: "
            "`np.unique(…, return_inverse=True)` says which woman an image is of."
        )
    if fold.shape != women.shape:
        raise NotYet(f"one fold for each image is needed, {women.shape}, and out came {fold.shape}.")
    real = np.issubdtype(fold.dtype, np.number) and not np.iscomplexobj(fold)
    if not real or not np.array_equal(fold, np.round(fold)):
        raise NotYet("a fold is a whole number from 0 up.")
    there = np.unique(fold)
    if np.array_equal(there, np.arange(1, splits + 1)):
        raise NotYet(f"your folds begin at 1: number them 0 to {splits - 1}.")
    if there.min() < 0 or there.max() >= splits:
        raise NotYet(
            f"the numbers go from {there.min():g} to {there.max():g}; {splits} folds are 0 to {splits - 1}."
        )
    if len(there) < splits:
        raise NotYet(f"{splits} folds were asked for, and {len(there)} of them hold any image.")
    return fold.astype(int)


def _compare_folds(fold: Array, women: Array, labels: Array, splits: int) -> None:
    names, first, owner = np.unique(women, return_index=True, return_inverse=True)
    torn = [np.unique(fold[owner == i]) for i in range(len(names))]
    several = sum(len(folds) > 1 for folds in torn)
    if several:
        raise NotYet(
            f"{several} of {len(names)} women have images in more than one fold. A model would be asked "
            "about women whom it knows: all images of a woman go into one fold."
        )
    of_woman, classes = fold[first], np.unique(labels)
    for level in classes:
        counts = np.bincount(of_woman[labels[first] == level], minlength=splits)
        if len(classes) > 1 and (counts.min() == 0 or np.ptp(counts) > 2):
            raise NotYet(
                f"of class {level} there are {counts.sum()} women, and your folds hold {counts.tolist()} of "
                "them. Deal out the women of each class by themselves, so that no fold lacks a class."
            )
    women_in = np.bincount(of_woman, minlength=splits)
    if np.ptp(women_in) > 2 + len(classes):
        raise NotYet(
            f"your folds hold {women_in.tolist()} women. Deal them out like cards: the first to fold 0, the "
            "next to fold 1, and so on round."
        )


def _by_image(women: Array, labels: Array, splits: int, rng: np.random.Generator) -> Array:
    return rng.permutation(len(women)) % splits


def _whatever_their_class(women: Array, labels: Array, splits: int, rng: np.random.Generator) -> Array:
    names, owner = np.unique(women, return_inverse=True)
    return (rng.permutation(len(names)) % splits)[owner]


def _in_blocks(women: Array, labels: Array, splits: int, rng: np.random.Generator) -> Array:
    """Women of a class one after the other: the first fifth of them in fold 0, and so on; no shuffling."""
    names, first, owner = np.unique(women, return_index=True, return_inverse=True)
    fold = np.zeros(len(names), int)
    for level in np.unique(labels):
        hers = np.flatnonzero(labels[first] == level)
        fold[hers] = np.arange(len(hers)) * splits // len(hers)
    return fold[owner]


def _one_too_many(women: Array, labels: Array, splits: int, rng: np.random.Generator) -> Array:
    return 1 + _in_blocks(women, labels, splits, rng)


# --- 10.2 an interval over women


def _answers(seed: int) -> tuple[Array, Array]:
    """Return whether each image was read right, and its woman: alike in a woman, worse where she has many."""
    rng = np.random.default_rng(seed)
    sizes = rng.permutation(np.repeat([1, 2, 4, 9], 6))
    women, owner = _owners(sizes.tolist(), [f"W{i:02d}" for i in rng.permutation(90)[:24]], seed)
    chance = np.where(rng.random(24) < 0.9 - 0.04 * sizes, 0.97, 0.2)
    return rng.random(len(owner)) < chance[owner], women


_CALLS, _DRAWS = 8, 500


def _test_interval(interval: Interval) -> None:
    for seed in (1, 5):
        right, women = _answers(seed)
        ends = []
        for call in (0, *range(_CALLS)):
            ends.append(_ends_of(interval, right, women, call))
            _compare_ends(ends[-1], right, women)
        if ends[0] != ends[1]:
            raise NotYet("the same generator gave two different answers: draw with `rng`.")
        if all(each == ends[0] for each in ends):
            raise NotYet("every generator gave the same two ends: draw the women with `rng`.")
        _compare_interval(np.mean(ends[1:], axis=0), right, women)
    women, order = _owners([4] * 12, [f"W{i:02d}" for i in range(12)], 3)
    right = np.empty(len(women), bool)
    for i in range(12):
        right[order == i] = [True, True, False, False]
    low, high = _ends_of(interval, right, women, 0)
    if not np.allclose([low, high], 0.5):
        raise NotYet(
            f"each of 12 women has four images, two of them right: whoever is drawn, half are right, and you "
            f"say {low:.2f} to {high:.2f}. Draw women only, and take all the images of each as they are."
        )


def _ends_of(interval: Interval, right: Array, women: Array, seed: int) -> list[float]:
    names, given = ("the low end", "the high end"), (right.copy(), women.copy())
    result = _several(interval(*given, np.random.default_rng(seed), _DRAWS), names)
    _check_unchanged((given[0], right), (given[1], women))
    return [_number(one, name) for one, name in zip(result, names, strict=True)]


def _compare_ends(ends: list[float], right: Array, women: Array) -> None:
    low, high = ends
    if not np.isfinite(ends).all():
        raise NotYet("an end is not a number. Is there a draw without any image?")
    if low > high:
        raise NotYet("the two have changed places: first the low end, then the high one.")
    if high > 1.5:
        raise NotYet(f"{low:g} to {high:g}: shares go from 0 to 1.")
    if low == high:
        raise NotYet(
            "both ends are the same. Draw *with* replacement: then some women come twice, others not at all, "
            "and each draw has a share of its own."
        )
    lowest = (_drawn(right, women, "women", np.random.default_rng(0)) <= high).mean()
    if 0 < lowest < 0.05:
        raise NotYet(
            f"{low:.2f} to {high:.2f}: both are among the lowest of the draws. `np.percentile` counts in per "
            "cent, 2.5 and 97.5; `np.quantile` takes 0.025 and 0.975."
        )
    if high < right.mean() or low > right.mean():
        raise NotYet(
            f"{low:.2f} to {high:.2f} does not hold the share itself, {right.mean():.2f}. Of each draw, take "
            "the share of right answers among the images drawn."
        )


_OTHER_DRAWS = {
    "images": (
        "so narrow it is if images are drawn. Images of one woman are right or wrong together; draw women, "
        "and take all of the images of each."
    ),
    "once": (
        "so it is if nobody counts twice. A woman who is drawn twice does (`np.isin` asks only whether she "
        "was drawn at all)."
    ),
    "means": (
        "so it is if each woman counts the same. Here each *image* drawn counts the same, so a woman with "
        "nine weighs more than a woman with one."
    ),
    "by size": (
        "so it is if a woman with nine images is drawn nine times as often. Draw from the women, each "
        "listed once (`np.unique`), and not from the column that names the woman of each image."
    ),
}


def _drawn(right: Array, women: Array, way: str, rng: np.random.Generator) -> Array:
    """Return the shares of a thousand draws, made in the right way or in a wrong one."""
    owner = np.unique(women, return_inverse=True)[1]
    n, sums, sizes = int(owner.max()) + 1, np.bincount(owner, right), np.bincount(owner)
    times = rng.multinomial(n, np.full(n, 1 / n), 4000).astype(float)
    if way == "images":
        return rng.binomial(len(right), right.mean(), 4000) / len(right)
    if way == "by size":
        times = rng.multinomial(n, sizes / sizes.sum(), 4000).astype(float)
    if way == "once":
        times = (times > 0).astype(float)
    if way == "means":
        return times @ (sums / sizes) / n
    shares: Array = (times @ sums) / (times @ sizes)
    return shares


def _compare_interval(ends: Array, right: Array, women: Array) -> None:
    rng = np.random.default_rng(0)
    shares = {way: _drawn(right, women, way, rng) for way in ("women", *_OTHER_DRAWS)}
    error = shares["women"].std()
    tolerance = 0.2 * error

    def distance(way: str, share: float = 0.95) -> float:
        wanted = np.quantile(shares[way], [(1 - share) / 2, (1 + share) / 2])
        return float(np.abs(ends - wanted).max())

    if distance("women") < tolerance:
        return
    came = f"on average {ends[0]:.3f} to {ends[1]:.3f}:"
    known = {distance(way): words for way, words in _OTHER_DRAWS.items()} | {
        distance("women", share): f"so wide is an interval of {share:.0%}. Needed are the 2.5 and 97.5 "
        f"percentiles of all {_DRAWS} draws, and in each draw as many women as there are."
        for share in (0.5, 0.68, 0.8, 0.9, 0.98, 0.99)
    }
    if min(known) < tolerance:
        raise NotYet(f"{came} {known[min(known)]}")
    wanted = np.quantile(shares["women"], [0.025, 0.975])
    if np.ptp(ends) > 1.5 * np.ptp(wanted):
        raise NotYet(f"{came} too wide. In each draw there are as many women as there are.")
    raise NotYet(
        f"{came} it should be about {wanted[0]:.3f} to {wanted[1]:.3f}. Draw as many women as there are, "
        "with replacement; take all the images of each; the share that is right; and of all draws the 2.5 "
        "and 97.5 percentiles."
    )


def _draws_images(right: Array, women: Array, rng: np.random.Generator, draws: int) -> tuple[float, float]:
    shares = [right[rng.integers(0, len(right), len(right))].mean() for _ in range(draws)]
    low, high = np.percentile(shares, [2.5, 97.5])
    return low, high


def _of_women(ways: str, share: float = 0.95) -> Interval:
    """A planted answer: women are drawn in some way, and an interval of some share is told."""

    def interval(right: Array, women: Array, rng: np.random.Generator, draws: int) -> tuple[float, float]:
        shares = _drawn(right, women, ways, rng)
        low, high = np.quantile(shares, [(1 - share) / 2, (1 + share) / 2])
        return low, high

    return interval


def _reshuffles(right: Array, women: Array, rng: np.random.Generator, draws: int) -> tuple[float, float]:
    shares = [right[rng.permutation(len(right))].sum() / len(right) for _ in range(draws)]
    low, high = np.percentile(shares, [2.5, 97.5])
    return low, high


# --- 10.3 quadratic kappa


_READINGS: tuple[tuple[tuple[int, ...], tuple[int, ...], int], ...] = (
    ((0, 0, 1, 1, 2, 2, 3, 3, 3), (0, 1, 1, 2, 2, 0, 3, 2, 3), 4),
    ((0, 0, 0, 1, 1, 2, 2, 2, 2, 1), (2, 0, 0, 1, 0, 2, 1, 2, 2, 2), 3),
    ((0, 1, 1, 3, 3, 3, 4, 0), (1, 1, 0, 3, 4, 1, 3, 0), 5),  # nobody has class 2
    ((0, 1, 2, 3, 1), (0, 1, 2, 3, 1), 4),
    ((0, 1, 2, 3, 1, 2), (3, 2, 1, 0, 2, 1), 4),  # below chance
)


def _test_kappa(kappa: Kappa) -> None:
    for reading in _READINGS:
        truth, said = (np.array(part) for part in reading[:2])
        given = truth.copy(), said.copy()
        came = _number(tried(kappa(*given, reading[2])), "kappa")
        _check_unchanged((given[0], truth), (given[1], said))
        _compare_kappa(came, truth, said, reading[2])


def _tables(truth: Array, said: Array, classes: int) -> tuple[Array, Array, Array]:
    """Return how often each pair came, how often it would by chance, and how far its classes are apart."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (truth, said), 1)
    apart = np.abs(np.arange(classes)[:, None] - np.arange(classes))
    return counts, np.outer(counts.sum(1), counts.sum(0)) / len(truth), apart


def _weighed(truth: Array, said: Array, classes: int, power: float) -> float:
    counts, chance, apart = _tables(truth, said, classes)
    weight = apart**power if power else (apart > 0).astype(float)
    return float(1 - (weight * counts).sum() / (weight * chance).sum())


def _compare_kappa(came: float, truth: Array, said: Array, classes: int) -> None:
    wanted = _weighed(truth, said, classes, 2)
    if np.isclose(came, wanted, atol=1e-6):
        return
    if wanted < 0 and (came == 0 or np.isclose(came, -wanted)):
        raise NotYet(
            f"truth {truth.tolist()}, said {said.tolist()}: your kappa is {came:.3f}. Worse than chance, it "
            f"is negative, here {wanted:.3f}: leave it so."
        )
    used = np.union1d(truth, said)
    close = np.searchsorted(used, truth), np.searchsorted(used, said)
    if len(used) < classes and np.isclose(came, _weighed(close[0], close[1], len(used), 2)):
        raise NotYet(
            f"truth {truth.tolist()}, said {said.tolist()}: your kappa is {came:.3f}. Here nobody has class "
            f"{np.setdiff1d(np.arange(classes), used)[0]}, but it still lies between its neighbours: the "
            "distance is that of the class numbers."
        )
    counts, chance, apart = _tables(truth, said, classes)
    missed, by_chance, n = (apart**2 * counts).sum(), (apart**2 * chance).sum(), len(truth)
    words = f"truth {truth.tolist()}, said {said.tolist()}: your kappa is {came:.3f}."
    if np.isclose(came, _weighed(truth, said, classes, 1)):
        raise NotYet(f"{words} That is with weights |i − j|. Quadratic: a miss by two counts four times.")
    if np.isclose(came, _weighed(truth, said, classes, 0)):
        raise NotYet(f"{words} That is plain kappa, in which every miss counts the same.")
    if np.isclose(came, 1 - missed / (by_chance * n)) or np.isclose(came, 1 - missed * n / by_chance):
        raise NotYet(
            f"{words} Observed and expected are on different scales: a row's sum times a column's sum is "
            f"divided by N, here {n}, to give images."
        )
    once = np.minimum(counts, 1)
    by_once = (apart**2 * np.outer(once.sum(1), once.sum(0))).sum()
    if np.isclose(came, [1 - (apart**2 * once).sum() * k / by_once for k in (n, once.sum())]).any():
        raise NotYet(
            f"{words} Some pair came more than once, and you counted it once: `observed[truth, said] += 1` "
            "does so; `np.add.at(observed, (truth, said), 1)` counts them all."
        )
    without = [1 - missed / n, 1 - missed / n / (classes - 1) ** 2, 1 - missed, (truth == said).mean()]
    if np.isclose(came, without).any():
        raise NotYet(
            f"{words} Nothing in it says what chance would give: where is the denominator, w times e?"
        )
    if np.isclose(came, missed / by_chance):
        raise NotYet(f"{words} That is the quotient; kappa is one minus it, so that 1 is always right.")
    if np.isclose(came, 1 - by_chance / missed if missed else np.nan):
        raise NotYet(f"{words} The quotient is upside down: observed over expected.")
    if np.isclose(came, 1 - missed / (apart**2 * n / classes**2).sum()):
        raise NotYet(
            f"{words} Your chance deals out all pairs alike. By chance, pair (i, j) comes as often as row i "
            "and column j are full: their sums, multiplied, over N."
        )
    raise NotYet(f"{words} It should be {wanted:.3f}: 1 − {missed:g} / {by_chance:.4g}.")


def _with_power(power: float) -> Kappa:
    return lambda truth, said, classes: _weighed(truth, said, classes, power)


def _without_n(truth: Array, said: Array, classes: int) -> float:
    counts, chance, apart = _tables(truth, said, classes)
    return float(1 - (apart**2 * counts).sum() / (apart**2 * chance).sum() / len(truth))


def _without_chance(truth: Array, said: Array, classes: int) -> float:
    apart = np.abs(truth - said)
    return float(1 - (apart**2).mean() / (classes - 1) ** 2)


def _even_chance(truth: Array, said: Array, classes: int) -> float:
    counts, _, apart = _tables(truth, said, classes)
    return float(1 - (apart**2 * counts).sum() / (apart**2).sum() * classes**2 / len(truth))


# --- 10.4 columns chosen inside the fold


_PLACES = [7, 150, 390]
"""The columns that say something."""


def _columns() -> tuple[Array, Array, Array, int]:
    """Vectors with three columns that say something and 400 that do not; labels, folds (unequal), a count."""
    rng = np.random.default_rng(10)
    labels = np.array(["heads", "tails"])[rng.permutation(np.arange(60) % 2)]
    vectors = rng.standard_normal((60, 403))
    vectors[:, _PLACES] += 3.0 * (labels == "tails")[:, None]
    return vectors, labels, rng.permutation(np.repeat([0, 1, 2], [14, 20, 26])), 3


def _test_chosen_inside(chosen_inside: ChosenInside) -> None:
    vectors, labels, fold, count = _columns()

    def said(x: Array, y: Array, columns: int = count) -> Array:
        given = x.copy(), y.copy(), fold.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = tried(chosen_inside(*given, columns))
        _check_unchanged((given[0], x), (given[1], y), (given[2], fold))
        return _labels_of(result, y)

    first = said(vectors, labels)
    right = (first == labels).mean()
    if right < 0.75:
        few = np.mean([len(np.unique(first[fold == k])) == 1 for k in range(3)])
        more = " In some fold it says the same of every image." if few else ""
        raise NotYet(
            f"three columns of 403 tell the labels apart, and {right:.0%} of your predictions are right."
            f"{more} Are the labels those of the rows, and the columns the same in training and test?"
        )
    _ask_with_other_labels(said, first, vectors, labels, fold)
    _ask_with_other_columns(said, first, vectors, labels, fold)
    _ask_with_one_column(said, vectors, labels, fold)
    _ask_with_one_label_a_fold(said, vectors, labels, fold)


def _labels_of(result: Any, labels: Array) -> Array:
    if hasattr(result, "predict"):
        raise NotYet(f"out came a model. A prediction for each image is needed, {labels.shape}.")
    if isinstance(result, dict | set):
        raise NotYet(
            f"a prediction for each image is needed, {labels.shape}, in their order, and out came "
            f"{kind_of(result)}."
        )
    if isinstance(result, tuple | list) and len(result) == 3:
        raise NotYet(
            f"out came {kind_of(result)} of three, as if one for each fold. A prediction for each image is "
            f"needed, {labels.shape}, in the order of the images."
        )
    found = np.asarray(result)
    if found.ndim == 0 or found.shape == (3,):
        raise NotYet(
            f"a prediction for each image is needed, {labels.shape}, and out came {found.shape}: what you "
            "predict, not how good that is."
        )
    if found.shape != labels.shape:
        raise NotYet(f"a prediction for each image is needed, {labels.shape}, and out came {found.shape}.")
    if not np.isin(found, np.unique(labels)).all():
        kinds = ", ".join(map(str, np.unique(labels)))
        raise NotYet(f"predictions are labels, here {kinds}, and some of yours are something else.")
    return found


def _ask_with_other_labels(said: Any, first: Array, vectors: Array, labels: Array, fold: Array) -> None:
    """Labels of the fold that is asked cannot matter: they are not known there."""
    noise = vectors.copy()
    noise[:, _PLACES] = np.random.default_rng(11).standard_normal((len(noise), 3))
    plain = said(noise, labels)
    for k in range(3):
        other, turned = labels.copy(), (fold == k) & (np.random.default_rng(k).random(len(labels)) < 0.5)
        other[turned] = np.where(labels[turned] == "heads", "tails", "heads")
        if not np.array_equal(said(noise, other)[fold == k], plain[fold == k]):
            good = (plain == labels).mean()
            raise NotYet(
                f"I turned half of the labels of fold {k} round, and what you predict there changed. They "
                f"have had a say: were the columns chosen, or the model fitted, with them? (In pure noise, "
                f"{good:.0%} of your predictions were right.) Choose anew for each fold in `fold`, from the "
                "others."
            )


def _ask_with_other_columns(said: Any, first: Array, vectors: Array, labels: Array, fold: Array) -> None:
    """Columns that were not chosen cannot matter, and those that were do."""
    loud = vectors.copy()
    others = np.setdiff1d(np.arange(vectors.shape[1]), _PLACES)
    loud[:, others] += np.random.default_rng(12).standard_normal((len(loud), len(others)))
    loud[:, others] *= 3.0
    changed = (said(loud, labels) != first).mean()
    if changed > 0.1:
        raise NotYet(
            "columns that say nothing of the labels change your predictions. Only the `count` best are to "
            f"be used: here 3 of {vectors.shape[1]}."
        )
    asked = fold == 2
    for place in _PLACES:
        moved = vectors.copy()
        moved[asked, place] += 12.0
        if np.array_equal(said(moved, labels)[asked], first[asked]):
            raise NotYet(
                "three columns are asked for, and three tell the labels apart. I moved one of them far off "
                "in fold 2, and what you predict there stayed the same: use all of the `count` best."
            )


def _ask_with_one_column(said: Any, vectors: Array, labels: Array, fold: Array) -> None:
    """If one column is asked for, the second best cannot matter."""
    best, asked = vectors.copy(), fold == 2
    best[:, _PLACES[0]] += 3.0 * (labels == "tails")
    moved = best.copy()
    moved[np.ix_(asked, _PLACES[1:])] += 100.0
    if not np.array_equal(said(best, labels, 1)[asked], said(moved, labels, 1)[asked]):
        raise NotYet(
            "with `count` at 1, columns other than the best change your predictions: choose as many as "
            "`count` says."
        )


def _ask_with_one_label_a_fold(said: Any, vectors: Array, labels: Array, fold: Array) -> None:
    """A model that is fitted to one fold instead of to all others meets heads alone, or tails alone."""
    sorted_out = np.where(fold == 0, "heads", np.where(fold == 1, "tails", labels))
    shifted = vectors.copy()
    shifted[:, _PLACES] += 6.0 * (sorted_out == "tails")[:, None] - 3.0 * (labels == "tails")[:, None]
    wrong = "here fold 0 is all heads and fold 1 all tails. Whoever is fitted to *all* other folds meets both"
    try:
        found = said(shifted, sorted_out)
    except ValueError as error:
        raise NotYet(f"{wrong}; yours stopped: {error}") from error
    right = (found == sorted_out)[fold == 2].mean()
    if right < 0.75:
        raise NotYet(
            f"{wrong}; yours is right in {right:.0%} of fold 2, where three columns tell them apart."
        )


def _select(outside: bool, use_all: bool = False, score: bool = False) -> Any:
    """Planted answers, which differ in one thing each."""

    def chosen_inside(vectors: Array, labels: Array, fold: Array, count: int) -> Any:
        from sklearn.feature_selection import SelectKBest
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        if outside:
            vectors = SelectKBest(k=count).fit_transform(vectors, labels)
        number: Any = "all" if use_all else count
        found = labels.copy()
        for k in np.unique(fold):
            model = make_pipeline(SelectKBest(k=number), LogisticRegression(C=100 if use_all else 1))
            found[fold == k] = model.fit(vectors[fold != k], labels[fold != k]).predict(vectors[fold == k])
        return (found == labels).mean() if score else found

    return chosen_inside


# --- 10.5 a reliability curve


def _confidences() -> tuple[tuple[Array, Array, int], ...]:
    """Confidences and whether each was right: bins without any, one of exactly 1, none near an edge."""
    rng = np.random.default_rng(6)
    many = np.concatenate([rng.uniform(0.31, 0.59, 17), rng.uniform(0.83, 0.98, 40), [1.0, 1.0]]).round(3)
    many = np.where(np.isclose(many * 10, np.round(many * 10)) & (many < 1), many + 0.007, many)
    few = np.array([0.93, 0.52, 0.97, 0.31, 1.0, 0.57, 0.33, 0.91, 0.58])
    order = rng.permutation(len(many))
    return (
        (few, np.array([1, 0, 1, 1, 0, 1, 0, 1, 0], bool), 5),
        (many[order], rng.random(len(many)) < 0.8 * many[order], 10),
        (many[order], rng.random(len(many)) < 0.7, 4),
    )


def _curve(confidence: Array, right: Array, bins: int) -> tuple[Array, Array, Array]:
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    there = np.unique(place)
    return (
        np.array([confidence[place == b].mean() for b in there]),
        np.array([right[place == b].mean() for b in there]),
        np.array([(place == b).sum() for b in there]),
    )


_PARTS = ("the mean confidences", "the shares that are right", "the numbers of images")


def _test_reliability(reliability: Reliability) -> None:
    for confidence, right, bins in _confidences():
        given = confidence.copy(), right.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the mean of nothing is told in words
            result = _several(reliability(*given, bins), _PARTS)
        _check_unchanged((given[0], confidence), (given[1], right))
        parts = []
        for part, name in zip(result, _PARTS, strict=True):
            array = np.asarray(part)
            if array.ndim != 1:
                came = "a single number" if not array.ndim else f"shape {array.shape}"
                raise NotYet(f"{name} should be one number for each bin, and out came {came}.")
            if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
                raise NotYet(f"{name} should be numbers, one for each bin, and are of type {array.dtype}.")
            parts.append(array.astype(float))
        _compare_curve(parts, confidence, right, bins)


def _compare_curve(parts: list[Array], confidence: Array, right: Array, bins: int) -> None:
    wanted = _curve(confidence, right, bins)
    filled = len(wanted[0])
    if len({len(part) for part in parts}) > 1:
        raise NotYet(f"the three have different lengths, {', '.join(str(len(part)) for part in parts)}.")
    if len(parts[0]) == filled and all(np.allclose(a, b) for a, b in zip(parts, wanted, strict=True)):
        return
    shape = (3, filled)
    if np.shape(parts) == shape and any(np.allclose(parts, each) for each in permutations(wanted)):
        raise NotYet(
            "the three are right, and have changed places: first the mean confidences, then the shares "
            "that are right, then the numbers of images."
        )
    if np.shape(parts) == shape[::-1] and np.allclose(np.transpose(parts), wanted):
        raise NotYet("one for each bin came, of three numbers; needed are three arrays with a number a bin.")
    if len(parts[0]) == bins > filled and (np.isnan(parts).any() or (parts[2] == 0).any()):
        raise NotYet(
            f"{bins} bins, of which {bins - filled} hold no image. Of these there is nothing to say: leave "
            "them out of all three."
        )
    for part, name in zip(parts, _PARTS, strict=True):
        if np.isnan(part).any():
            raise NotYet(f"some of {name} are NaN.")
    if len(parts[2]) == filled and np.allclose(parts[2], wanted[2] / len(right)):
        raise NotYet("the third are shares of the images; how many there are in each bin is asked for.")
    counts = np.sort(parts[2])
    if len(counts) == bins and np.ptp(counts) <= 1 and counts.sum() == len(right):
        raise NotYet(
            f"each of your bins holds {counts[0]:g} to {counts[-1]:g} images. That is bins of equal count; "
            "here they are of equal *width*, from 0 to 1, and hold what they hold."
        )
    if counts.sum() == len(right) - (confidence == 1).sum() and (confidence == 1).any():
        raise NotYet(
            f"{len(right)} images went in, and {counts.sum():g} are in your bins. A confidence of exactly 1 "
            "belongs to the last one."
        )
    if counts.sum() != len(right):
        raise NotYet(f"{len(right)} images went in, and {counts.sum():g} are in your bins.")
    if (confidence == 1).any() and len(parts[0]) == filled + 1 and np.isclose(parts[0], 1).any():
        raise NotYet("a confidence of exactly 1 has a bin of its own; it belongs to the last one.")
    if not np.array_equal(parts[2], wanted[2]):
        narrow = np.histogram(confidence, bins)[0]
        if np.array_equal(parts[2], narrow[narrow > 0]):
            raise NotYet(
                f"your bins go from {confidence.min():.2f} to {confidence.max():.2f}, where the confidences "
                "do. They go from 0 to 1, or two models could not be compared."
            )
        if np.array_equal(np.sort(wanted[2]), counts):
            raise NotYet("the bins are right, and their order is not: from low confidence to high.")
        raise NotYet(
            f"your bins hold {parts[2].astype(int).tolist()} images; {bins} of equal width from 0 to 1, "
            f"those without images left out, hold {wanted[2].tolist()}."
        )
    centres = (np.minimum((wanted[0] * bins).astype(int), bins - 1) + 0.5) / bins
    for shift, name in ((0, "middles"), (-0.5 / bins, "left edges"), (0.5 / bins, "right edges")):
        if np.allclose(parts[0], centres + shift):
            raise NotYet(
                f"the first are the {name} of the bins. Take the mean confidence of the images in each: they "
                "need not lie in the middle."
            )
    if np.allclose(parts[1], wanted[1] * wanted[2]):
        raise NotYet("the second are numbers of right answers; shares are needed, from 0 to 1.")
    which = "mean confidences" if not np.allclose(parts[0], wanted[0]) else "shares that are right"
    raise NotYet(f"the numbers of images are right, the {which} are not: the mean over each bin's images.")


def _equal_counts(confidence: Array, right: Array, bins: int) -> tuple[Array, Array, Array]:
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    return (
        np.array([confidence[part].mean() for part in parts]),
        np.array([right[part].mean() for part in parts]),
        np.array([len(part) for part in parts]),
    )


def _centres(confidence: Array, right: Array, bins: int) -> tuple[Array, Array, Array]:
    means, shares, counts = _curve(confidence, right, bins)
    return (np.minimum((means * bins).astype(int), bins - 1) + 0.5) / bins, shares, counts


def _keeps_empty(confidence: Array, right: Array, bins: int) -> tuple[Array, Array, Array]:
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return (
        np.array([confidence[place == b].mean() for b in range(bins)]),
        np.array([right[place == b].mean() for b in range(bins)]),
        np.bincount(place, minlength=bins),
    )


def _loses_the_surest(confidence: Array, right: Array, bins: int) -> tuple[Array, Array, Array]:
    return _curve(confidence[confidence < 1], right[confidence < 1], bins)


def _from_least_to_most(confidence: Array, right: Array, bins: int) -> tuple[Array, Array, Array]:
    edges = np.linspace(confidence.min(), confidence.max(), bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    there = np.unique(place)
    return (
        np.array([confidence[place == b].mean() for b in there]),
        np.array([right[place == b].mean() for b in there]),
        np.array([(place == b).sum() for b in there]),
    )


# --- 10.6 whom to label next


_DRAWN = (707, 801)
"""Seeds at which the usual ways to choose a woman choose different ones (a test says so)."""
_IMAGES = (1, 4, 2, 5, 3, 4, 6, 3, 7, 4, 2, 5)


def _asked() -> tuple[tuple[Array, Array], ...]:
    """Return probabilities `(M, 3)` and women `(M,)`, whose images are unlike in how sure the model is."""
    named: list[Any] = [f"W{i}" for i in (31, 12, 77, 25, 58, 40, 16, 93, 64, 49, 82, 20)]
    found = []
    for seed, names in zip(_DRAWN, (named, list(range(21, 9, -1))), strict=True):
        rng = np.random.default_rng(seed)
        women, owner = _owners(list(_IMAGES), names, seed)
        own = rng.dirichlet(np.full(3, 0.7), len(names))
        found.append((0.5 * own[owner] + 0.5 * rng.dirichlet(np.full(3, 0.5), len(owner)), women))
    return tuple(found)


def _margins(probabilities: Array) -> Array:
    two = np.sort(probabilities, axis=1)[:, -2:]
    margins: Array = two[:, 1] - two[:, 0]
    return margins


_WAYS = {
    "least image": (
        "she has the image of which the model is least sure, and may have others that it is sure of. You ask "
        "for a woman: take the mean over all of her images."
    ),
    "surest": "of her the model is surest. Her label would tell it what it knows: smallest, not largest.",
    "mean first": (
        "her probabilities were averaged before the margin was taken. Images that contradict each other look "
        "unsure then, though the model is sure of each: the margin first, then the mean."
    ),
    "sum": "she has the smallest *sum* of margins, since she has few images: take the mean.",
    "least confident": "she has the lowest mean of the largest probability. The margin is the gap between it "
    "and the second largest.",
}
_RARER = {
    "median": "she has the smallest *median* margin; take the mean.",
    "entropy": "she has the largest mean entropy. That is a good question too; here it is the margin.",
    "extremes": "that is the gap between the largest and the smallest probability; take the two largest.",
    "first minus second": "the classes are not sorted by probability: sort each row, then take the last two.",
    "largest sum": "she has the largest sum of margins. The smallest mean is asked for.",
}


def _place(probabilities: Array, women: Array, way: str) -> int:
    """Return a row of the woman whom this way of choosing asks."""
    names, first, owner = np.unique(women, return_index=True, return_inverse=True)
    counts, margins = np.bincount(owner), _margins(probabilities)
    sums = np.bincount(owner, margins)
    ordered = np.sort(probabilities, axis=1)
    if way == "least image":
        return int(margins.argmin())
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nan_to_num(probabilities * np.log(probabilities)).sum(axis=1)
    means = np.array([probabilities[owner == i].mean(axis=0) for i in range(len(names))])
    value = {
        "mean margin": sums / counts,
        "surest": -sums / counts,
        "mean first": _margins(means),
        "sum": sums,
        "largest sum": -sums,
        "least confident": np.bincount(owner, ordered[:, -1]) / counts,
        "median": np.array([np.median(margins[owner == i]) for i in range(len(names))]),
        "entropy": -np.bincount(owner, entropy) / counts,
        "extremes": np.bincount(owner, ordered[:, -1] - ordered[:, 0]) / counts,
        "first minus second": np.bincount(owner, probabilities[:, 0] - probabilities[:, 1]) / counts,
    }[way]
    return int(first[value.argmin()])


def _test_next_woman(next_woman: NextWoman) -> None:
    asked, names = _asked(), []
    for probabilities, women in asked:
        given = probabilities.copy(), women.copy()
        result = tried(next_woman(*given))
        _check_unchanged((given[0], probabilities), (given[1], women))
        names.append(_one_of(result, probabilities, women))
    for way, words in {"mean margin": "", **_WAYS, **_RARER}.items():
        if names == [women[_place(each, women, way)].item() for each, women in asked]:
            if words:
                raise NotYet(f"you ask {names[0]}: {words}")
            return
    for name, (probabilities, women) in zip(names, asked, strict=True):
        wanted = women[_place(probabilities, women, "mean margin")].item()
        hers, least = (_margins(probabilities)[women == each].mean() for each in (name, wanted))
        if name != wanted:
            raise NotYet(
                f"you ask {name}, whose mean margin is {hers:.3f}. {wanted} has the smallest, {least:.3f}: "
                "of each image the largest probability minus the second largest, and the mean over a "
                "woman's images."
            )


def _one_of(result: Any, probabilities: Array, women: Array) -> Any:
    answer = np.asarray(result)
    if answer.ndim or answer.size != 1:
        raise NotYet(f"one woman is needed, and out came {kind_of(result, 'an array')}.")
    name, like = answer.item(), women[0].item()
    if isinstance(name, str) == isinstance(like, str) and name in women.tolist():
        return name
    margins = _margins(probabilities)
    known = [*margins, *(margins[women == each].mean() for each in np.unique(women))]
    near = isinstance(name, float) and np.isclose(name, known).any()
    given = repr(name) if isinstance(name, str | int | float) and len(repr(name)) < 30 else kind_of(name)
    what = "that is a margin" if near else f"{given} is none of the women"
    raise NotYet(f"{what}: give back the woman herself, as she stands in `women` (here {like!r} and others).")


def _asks(way: str) -> NextWoman:
    return lambda probabilities, women: women[_place(probabilities, women, way)]


EXERCISES = (
    Exercise(
        id="10.1",
        title="Folds of women",
        minutes=10,
        test=_test_folds_of_women,
        buys="whoever is asked about was never in training, and no fold lacks a class.",
        hints=(
            "Who is dealt out, images or women? And how many women of each class should a fold get?",
            "`np.unique(women, return_index=True, return_inverse=True)` gives the names, a row of each woman "
            "(which tells her class), and for each image the number of its woman.",
            "`fold = np.zeros(len(names), int)`; for each class, `hers = rng.permutation(` the numbers of "
            "its women `)` and `fold[hers] = np.arange(len(hers)) % splits`; at the end `fold[owner]`.",
        ),
        planted=(
            Planted(_by_image, "dealt out images (KFold)", "more than one fold"),
            Planted(
                _whatever_their_class, "left the classes to chance (GroupKFold)", "no fold lacks a class"
            ),
            Planted(_in_blocks, "did not shuffle", "every generator puts the same women together"),
            Planted(_one_too_many, "began at 1", "your folds begin at 1"),
        ),
    ),
    Exercise(
        id="10.2",
        title="An interval over women",
        minutes=8,
        test=_test_interval,
        buys="your interval is as wide as so many women allow, however many images they have.",
        hints=(
            "What must be drawn, if the images of a woman are right or wrong together?",
            "`rows = [np.flatnonzero(women == name) for name in np.unique(women)]`, once. Then "
            "`rng.integers(0, len(rows), len(rows))` draws as many women as there are, with replacement.",
            "For each draw: `np.concatenate([rows[i] for i in drawn])`, and the mean of `right` there. At "
            "the end `np.percentile(shares, [2.5, 97.5])`.",
        ),
        planted=(
            Planted(_draws_images, "drew images", "if images are drawn"),
            Planted(_of_women("once"), "counted a woman drawn twice once", "counts twice"),
            Planted(
                _of_women("means"), "took the mean of women's means", "each *image* drawn counts the same"
            ),
            Planted(_of_women("women", 0.9), "took the 5 and 95 percentiles", "an interval of 90%"),
            Planted(_reshuffles, "drew without replacement", "*with* replacement"),
        ),
    ),
    Exercise(
        id="10.3",
        title="Quadratic kappa",
        minutes=7,
        test=_test_kappa,
        buys="a near miss costs little, a far one much, and what chance gives is off.",
        hints=(
            "Three tables, each with a row and a column for every class: what was observed, what chance "
            "would give, and the weights. Begin with what was observed.",
            "`np.add.at(observed, (truth, said), 1)` counts the pairs. `np.outer(observed.sum(axis=1), "
            "observed.sum(axis=0)) / len(truth)` is what chance gives.",
            "`i = np.arange(classes)`, `weight = (i[:, None] - i) ** 2`, and `1 - (weight * "
            "observed).sum() / (weight * expected).sum()`.",
        ),
        planted=(
            Planted(_with_power(1), "took linear weights", "a miss by two counts four times"),
            Planted(_with_power(0), "took no weights", "plain kappa"),
            Planted(_without_n, "did not divide by N", "on different scales"),
            Planted(_without_chance, "left chance out", "what chance would give"),
            Planted(_even_chance, "let chance deal out all pairs alike", "deals out all pairs alike"),
        ),
    ),
    Exercise(
        id="10.4",
        title="Columns chosen inside the fold",
        minutes=6,
        test=_test_chosen_inside,
        buys="no label of a woman who is asked has had a say, not even in the choice of columns.",
        hints=(
            "For each fold: which rows may be looked at when the columns are chosen?",
            "`make_pipeline(SelectKBest(k=count), LogisticRegression())` is one model. When it is fitted, it "
            "chooses and learns; when it predicts, it takes the columns that it chose.",
            "`out_of_fold` from above fits a model anew for each fold, to the others. Give it that pipeline, "
            "the vectors, the labels and the folds.",
        ),
        planted=(
            Planted(_select(outside=True), "chose before the split", "They have had a say"),
            Planted(_select(outside=False, use_all=True), "used every column", "Only the `count` best"),
            Planted(_select(outside=False, score=True), "gave back the score", "not how good that is"),
        ),
    ),
    Exercise(
        id="10.5",
        title="A reliability curve",
        minutes=8,
        test=_test_reliability,
        buys="you can see whether a model that says 80% is right four times in five.",
        hints=(
            "Into which bin does a confidence of 0.83 go, if there are ten? And one of exactly 1?",
            "`place = np.minimum((confidence * bins).astype(int), bins - 1)` is the bin of each image, and "
            "`np.unique(place)` are those that hold any.",
            "For each of these bins: `confidence[place == b].mean()`, `right[place == b].mean()` and "
            "`(place == b).sum()`; collect each in an array.",
        ),
        planted=(
            Planted(_equal_counts, "took bins of equal count", "bins of equal count"),
            Planted(_centres, "took the middles of the bins", "middles of the bins"),
            Planted(_keeps_empty, "kept empty bins", "hold no image"),
            Planted(_loses_the_surest, "lost a confidence of 1", "exactly 1 belongs to the last one"),
            Planted(_from_least_to_most, "let the bins begin at the least", "from 0 to 1, or two models"),
        ),
    ),
    Exercise(
        id="10.6",
        title="Whom to label next",
        minutes=6,
        test=_test_next_woman,
        buys="you know whom to ask. Whether that beats asking anyone is another question.",
        hints=(
            "Of one image, when is the model unsure between two classes? Then: what about all images of a "
            "woman together?",
            "`np.sort(probabilities, axis=1)` puts the largest of each row last. The margin is the last "
            "minus the last but one.",
            "`pd.Series(margin).groupby(women).mean().idxmin()`, or the same with a loop over "
            "`np.unique(women)`.",
        ),
        planted=(
            Planted(_asks("least image"), "asked for an image", "others that it is sure of"),
            Planted(_asks("surest"), "asked whom the model knows", "surest"),
            Planted(_asks("mean first"), "averaged before taking the margin", "the margin first"),
            Planted(_asks("sum"), "summed up", "since she has few images"),
            Planted(_asks("least confident"), "took the largest probability", "the gap between it"),
        ),
    ),
)
