"""Exercises of lesson 09: permuting women, a chain of steps as one function, a choice put to strangers,
women chosen so that vendor and density are crossed, and left minus right.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of, tried

Array = NDArray[Any]
Agreement = Callable[[Array, Array], float]
PByWomen = Callable[[Agreement, Array, Array, Array, np.random.Generator, int], float]
Chain = Callable[[Array, Array, Array, Array], Array]
AskStrangers = Callable[[Array, Array], Array]
Crossed = Callable[[Array, Array, np.random.Generator], Array]
LeftMinusRight = Callable[[Array, Array, Array, Array], Array]


def _number(value: Any, what: str) -> float:
    if isinstance(value, Real | Decimal) and not isinstance(value, bool):
        return float(value)
    try:
        array = np.asarray(value)
    except ValueError:  # a list of things of different lengths
        array = np.zeros(1)
    if array.ndim or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise NotYet(f"{what} should be one number, and out came {kind_of(value, 'an array')}.")
    return float(array)


def _table(value: Any, what: str) -> Array:
    """Return a result as float64 (rows, columns), or say that it is none."""
    try:
        array = np.asarray(value)
        array = array.astype(np.float64) if array.dtype.kind in "biufO" else np.zeros(0)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 2:
        raise NotYet(f"{what} is needed, and out came {kind_of(value, 'an array')}.")
    return array


def _check_unchanged(given: tuple[Array, ...], before: tuple[Array, ...]) -> None:
    """Compare each array that a function was given with what it was before."""
    if not all(np.array_equal(one, other) for one, other in zip(given, before, strict=True)):
        raise NotYet(
            "the result is right, but an array that your function was given is no longer the same. "
            "Whoever calls may need it again: work on a copy."
        )


def _close(one: Array, other: Array) -> bool:
    """Return whether two tables are the same in single precision."""
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-4, atol=1e-4))


# --- 09.1 permute women


def _labelled(seed: int, follows: float) -> tuple[Array, Array, Array]:
    """Clusters, a label for each woman, and the women: in no order, and not four images of each.

    A share of the images is in the cluster that the label names: the rest are anywhere.
    """
    rng = np.random.default_rng(seed)
    names = np.array([f"W{i:02d}" for i in range(1, 17)])
    women = rng.permutation(np.repeat(names, [4, 1, 3, 4, 2, 4, 4, 3, 4, 4, 2, 4, 3, 4, 1, 4]))
    hers = dict(zip(names, rng.permutation(np.repeat([0, 1, 2], [6, 5, 5])), strict=True))
    label = np.array([hers[name] for name in women])
    clusters = np.where(rng.random(len(women)) < follows, label, rng.integers(0, 3, len(women)))
    return clusters, label, women


_STUDIES = ((1, 0.05, 99), (2, 0.4, 19), (3, 1.0, 39))
"""Seed, how closely the clusters follow the label, number of shuffles."""


class _Recorder:
    """Counts the images whose cluster is their label, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Array, Array]] = []

    def __call__(self, clusters: Any, label: Any) -> int:
        pair = np.array(clusters), np.array(label)
        if pair[0].shape != pair[1].shape:
            raise NotYet(
                f"`agreement` needs one label for each image, and got {pair[1].size} labels for "
                f"{pair[0].size} images. How does each image get its woman's label?"
            )
        self.asked.append(pair)
        return int((pair[0] == pair[1]).sum())


def _test_p_by_women(p_by_women: PByWomen) -> None:
    for seed, follows, draws in _STUDIES:
        given = _labelled(seed, follows)
        asked, p, used = _one_study(p_by_women, given, draws, seed=5)
        again, _, _ = _one_study(p_by_women, given, draws, seed=5)
        other, _, _ = _one_study(p_by_women, given, draws, seed=6)
        _compare_shuffles(asked, given, draws)
        _compare_p(p, asked, given, draws)
        if not _asked_the_same(asked, again):
            raise NotYet(
                "the same generator gave two different answers: shuffle with `rng.permutation(…)`, so that "
                "others can repeat what you did."
            )
        if _asked_the_same(asked, other):
            raise NotYet(
                "the shuffles are the same whatever the generator. Whoever calls chooses the luck: shuffle "
                "with the `rng` that your function is given."
            )
        _check_unchanged(used, given)


def _one_study(
    p_by_women: PByWomen, study: tuple[Array, Array, Array], draws: int, seed: int
) -> tuple[list[tuple[Array, Array]], float, tuple[Array, ...]]:
    """Return what was asked, p, and the arrays that the answer was given."""
    clusters, label, women = used = tuple(array.copy() for array in study)
    recorder = _Recorder()
    p = tried(p_by_women(recorder, clusters, label, women, np.random.default_rng(seed), draws))
    return recorder.asked, _number(p, "p"), used


def _asked_the_same(one: list[tuple[Array, Array]], other: list[tuple[Array, Array]]) -> bool:
    """Return whether two runs held the same labels against the clusters, in the same order."""
    return len(one) == len(other) and all(
        np.array_equal(first[1], second[1]) for first, second in zip(one, other, strict=True)
    )


def _compare_shuffles(asked: list[tuple[Array, Array]], study: tuple[Array, ...], draws: int) -> None:
    clusters, label, women = study
    if not asked:
        raise NotYet("`agreement` was never called: how closely do clusters and labels agree?")
    short = [len(each) for each, _ in asked if len(each) != len(clusters)]
    if short:
        raise NotYet(
            f"`agreement` is to be asked about all {len(clusters)} images, and was asked about {short[0]}. "
            "Shuffle the women's labels, then give each image its woman's."
        )
    if any(not np.array_equal(each, clusters) for each, _ in asked):
        if all(np.array_equal(each, clusters) for _, each in asked):
            raise NotYet("the two have changed places: it is `agreement(clusters, label)`.")
        raise NotYet(
            "the clusters have been shuffled, image by image or otherwise. Shuffle the women's labels."
        )
    shuffled = [column for _, column in asked if not np.array_equal(column, label)]
    if len(asked) == len(shuffled):
        raise NotYet("the agreement of the labels as they are was never asked for. What is p compared with?")
    if not shuffled and len(asked) > 1:
        raise NotYet(
            "no shuffle changed anything. All images of a woman have one label, so shuffling among her own "
            "images gives the same again: her label must go to another woman."
        )
    for column in shuffled:
        _compare_column(column, label, women)
    if len(asked) < draws + 1:
        raise NotYet(f"{draws} shuffles were asked for (`draws`), and there were {len(asked) - 1}.")
    if len(shuffled) > draws:
        raise NotYet(f"{draws} shuffles were asked for (`draws`), and there were {len(shuffled)}.")
    if len({column.tobytes() for column in shuffled}) == 1:
        raise NotYet("all your shuffles are the same one. Shuffle anew in each round, with the same `rng`.")


def _compare_column(column: Array, label: Array, women: Array) -> None:
    names, first = np.unique(women, return_index=True)
    if any(len(set(column[women == name].tolist())) > 1 for name in names):
        if np.array_equal(np.sort(column), np.sort(label)):
            raise NotYet(
                "you have shuffled images: after it, one woman's images carry different labels. Chance deals "
                "out labels to women, so a woman's label has to move as a whole."
            )
        raise NotYet(
            "after your shuffle one woman's images carry different labels. Each woman has one label."
        )
    before, after = (np.sort(each[first]) for each in (label, column))
    if not np.array_equal(before, after):
        raise NotYet(
            "a shuffle deals out the same labels anew: of 16 women, "
            f"{_counts(before)} have labels 0, 1, 2 before it, and {_counts(after)} after it. Take one label "
            "of each woman, and use `rng.permutation`."
        )


def _counts(labels: Array) -> str:
    return ", ".join(str(int((labels == each).sum())) for each in (0, 1, 2))


def _compare_p(p: float, asked: list[tuple[Array, Array]], study: tuple[Array, ...], draws: int) -> None:
    clusters, label, _ = study
    observed = int((clusters == label).sum())
    null = np.array([(clusters == column).sum() for _, column in asked if not np.array_equal(column, label)])
    same = draws - len(null)  # shuffles that happened to give the labels as they were
    larger, ties = int((null > observed).sum()), int((null == observed).sum()) + same
    wanted = (1 + larger + ties) / (1 + draws)
    if np.isclose(p, wanted):
        return
    if np.isclose(p, [(larger + ties) / draws, larger / draws, (larger + ties) / (1 + draws)]).any():
        raise NotYet(
            f"p = {p:.3f}. The labels as they are might have come up in a shuffle, too: count them in, "
            f"{larger + ties} + 1 of {draws} + 1. Or p could be 0, and no number of shuffles can show that."
        )
    if np.isclose(p, (1 + larger + ties) / draws):
        raise NotYet(
            f"p = {p:.3f}. The labels as they are count above the line, and so below it, too: divide by "
            f"{draws} + 1. Or p could be more than 1."
        )
    if np.isclose(p, (1 + larger) / (1 + draws)):
        raise NotYet(f"p = {p:.3f}. A shuffle that agrees exactly as well counts, too: `>=`.")
    if p > 1:
        raise NotYet(f"p = {p:.0f} is a number of shuffles or of per cent; p is a share, 0 to 1.")
    less = draws - larger - ties
    if np.isclose(p, np.array([1 + less + ties, 1 + less, less]) / (1 + draws)).any():
        raise NotYet(
            f"p = {p:.3f} counts the shuffles that agree less; those that agree as well are asked for."
        )
    raise NotYet(
        f"p = {p:.3f}, and it should be {wanted:.3f}: in {larger + ties} of {draws} shuffles the agreement "
        "is as good, and the labels as they are count as one more."
    )


def _p(observed: float, null: list[float]) -> float:
    return float(1 + sum(each >= observed for each in null)) / (1 + len(null))


def _permutes_images(agreement: Agreement, clusters: Array, label: Array, *rest: Any) -> float:
    _, rng, draws = rest
    null = [agreement(clusters, rng.permutation(label)) for _ in range(draws)]
    return _p(agreement(clusters, label), null)


def _permutes_within(agreement: Agreement, clusters: Array, label: Array, *rest: Any) -> float:
    women, rng, draws = rest

    def within() -> Array:
        column = label.copy()
        for name in np.unique(women):
            column[women == name] = rng.permutation(column[women == name])
        return column

    return _p(agreement(clusters, label), [agreement(clusters, within()) for _ in range(draws)])


def _by_women(agreement: Agreement, clusters: Array, label: Array, *rest: Any) -> tuple[float, list[float]]:
    """What the planted answers have in common: the agreement as it is, and after shuffles."""
    women, rng, draws = rest
    names, first = np.unique(women, return_index=True)
    null = []
    for _ in range(draws):
        hers = dict(zip(names, rng.permutation(label[first]), strict=True))
        null.append(agreement(clusters, np.array([hers[name] for name in women])))
    return agreement(clusters, label), null


def _without_the_data(*study: Any) -> float:
    observed, null = _by_women(*study)
    return float(np.mean([each >= observed for each in null]))


def _only_larger(*study: Any) -> float:
    observed, null = _by_women(*study)
    return float(1 + sum(each > observed for each in null)) / (1 + len(null))


def _draws_anew(agreement: Agreement, clusters: Array, label: Array, *rest: Any) -> float:
    women, rng, draws = rest
    names, first, owner = np.unique(women, return_index=True, return_inverse=True)
    null = [agreement(clusters, rng.choice(label[first], len(names))[owner]) for _ in range(draws)]
    return _p(agreement(clusters, label), null)


# --- 09.2 the chain as one function


def _archive() -> tuple[Array, Array, Array, Array]:
    """Vectors, view, vendor and woman of each image: in no order, and not as many of each woman or vendor."""
    rng = np.random.default_rng(4)
    names = np.array([f"W{i:02d}" for i in range(1, 12)])
    machine = dict(zip(names, np.repeat(["oak", "elm", "fir"], [5, 4, 2])[rng.permutation(11)], strict=True))
    women = rng.permutation(np.repeat(names, [4, 1, 3, 4, 2, 4, 1, 3, 4, 2, 4]))
    view = np.where(rng.random(len(women)) < 0.4, "CC", "MLO")
    vendor = np.array([machine[name] for name in women])
    own = {name: rng.normal(size=6) for name in names}
    shift = {"oak": 1.0, "elm": -2.0, "fir": 3.0, "CC": 2.0, "MLO": -4.0}
    vectors = np.array(
        [
            own[who] + shift[maker] * np.arange(6) / 5 + shift[how]
            for who, maker, how in zip(women, vendor, view, strict=True)
        ]
    )
    return vectors + 0.3 * rng.normal(size=vectors.shape), view, vendor, women


def _less_means(rows: Array, kinds: Array) -> Array:
    return rows - pd.DataFrame(rows).groupby(np.asarray(kinds)).transform("mean").to_numpy()


def _means(rows: Array, women: Array) -> Array:
    return pd.DataFrame(rows).groupby(np.asarray(women)).mean().to_numpy()


def _first(column: Array, women: Array) -> Array:
    return np.asarray(column)[np.unique(women, return_index=True)[1]]


def _centred(rows: Array) -> Array:
    return rows - rows.mean(axis=0)


def _in_one_order(rows: Array) -> Array:
    return rows[np.argsort(rows[:, 0])]


def _test_chain(chain: Chain) -> None:
    archive = _archive()
    for one in (archive, (archive[0].astype(np.float32), *archive[1:])):
        given = tuple(array.copy() for array in one)
        result = _table(tried(chain(*given)), "a table, one row for each woman,")
        _compare_chain(result, *archive)
        _check_unchanged(given, one)


def _compare_chain(result: Array, vectors: Array, view: Array, vendor: Array, women: Array) -> None:
    hers, off = _first(vendor, women), _less_means(vectors, view)
    means = _means(off, women)
    wanted = _less_means(means, hers)
    if len(result) == len(vectors) != len(wanted):
        raise NotYet(
            f"{len(result)} rows, one for each image. The mean of each woman's images makes {len(wanted)}."
        )
    if result.shape != wanted.shape:
        raise NotYet(
            f"{len(wanted)} women with {wanted.shape[1]} columns make {wanted.shape}; out came "
            f"{result.shape}."
        )
    if np.isnan(result).any():
        raise NotYet("some numbers are NaN: were two tables joined whose row names differ?")
    got = _centred(result)
    if _close(got, _centred(wanted)):  # whether the overall mean stays makes no difference to any distance
        return
    seen = list(dict.fromkeys(women.tolist()))
    place = np.argsort(np.argsort(seen))
    if _close(got, _centred(wanted)[place]):
        raise NotYet(
            "the rows are right, but not sorted by the women's names: `np.unique` and `groupby` sort."
        )
    if _close(_in_one_order(got), _in_one_order(_centred(wanted))):
        raise NotYet("the rows are right, but in another order than that of the women's names.")
    named = {
        "the view is still in: subtract from each image the mean of all images of its view.": _less_means(
            _means(vectors, women), hers
        ),
        "the vendor is still in: from each woman's mean subtract the mean of all women of her vendor.": means,
        "nothing but the mean of each woman's images was taken.": _means(vectors, women),
        (
            "the vendor was taken off image by image, so that a woman with four images counts four times in "
            "her vendor's mean. First the mean of her images, then the vendor."
        ): _means(_less_means(off, vendor), women),
        "these are the women's sums. A woman with four images would lie four times as far out.": (
            _less_means(pd.DataFrame(off).groupby(women).sum().to_numpy(), hers)
        ),
        "these are the vendors' means, which are what should go.": means - wanted,
        (
            "women were given vendors that are not theirs: `vendor` has a row for each image, and the first "
            f"{len(means)} images are not the {len(means)} women."
        ): _less_means(means, vendor[: len(means)]),
    }
    for says, other in named.items():
        if _close(got, _centred(other)):
            raise NotYet(says)
    if _close(got, _centred(_means(_less_means(_less_means(vectors, vendor), view), women))):
        raise NotYet(
            "the order is another: first the view, from the images; then the mean of each woman; then the "
            "vendor, from the women."
        )
    raise NotYet(
        "these are not the three steps in their order: subtract each view's mean from its images; take the "
        "mean of each woman's images; subtract each vendor's mean over women from its women."
    )


def _vendor_by_images(vectors: Array, view: Array, vendor: Array, women: Array) -> Array:
    return _means(_less_means(_less_means(vectors, view), vendor), women)


def _view_stays(vectors: Array, view: Array, vendor: Array, women: Array) -> Array:
    return _less_means(_means(vectors, women), _first(vendor, women))


def _vendor_stays(vectors: Array, view: Array, vendor: Array, women: Array) -> Array:
    return _means(_less_means(vectors, view), women)


def _stays_with_images(vectors: Array, view: Array, vendor: Array, women: Array) -> Array:
    return _less_means(_less_means(vectors, view), vendor)


def _as_they_come(vectors: Array, view: Array, vendor: Array, women: Array) -> Array:
    rows = _less_means(_vendor_stays(vectors, view, vendor, women), _first(vendor, women))
    names = np.unique(women).tolist()
    return rows[[names.index(name) for name in dict.fromkeys(women.tolist())]]


# --- 09.3 ask strangers


def _searches() -> tuple[Array, Array]:
    """P values of 7 studies with 5 choices each, no two the same, in two sets of women."""
    rng = np.random.default_rng(2)
    values = rng.permutation(np.arange(1, 71)) / 71
    return values[:35].reshape(7, 5), values[35:].reshape(7, 5)


def _test_ask_strangers(ask_strangers: AskStrangers) -> None:
    study = _searches()
    given = tuple(array.copy() for array in study)
    result = tried(ask_strangers(*given))
    _compare_strangers(_column(result), *study)
    _check_unchanged(given, study)
    single = tuple(array[:1, :3] for array in study)
    _compare_strangers(_column(tried(ask_strangers(*(array.copy() for array in single)))), *single)
    _compare_equals(_column(ask_strangers(*(array.copy() for array in _equals()))), *_equals())


def _equals() -> tuple[Array, Array]:
    """P values as before, but in two studies two choices share the smallest p among the first women."""
    first, second = _searches()
    for study in (2, 5):
        best, *_, worst = np.argsort(first[study])
        first[study, worst] = first[study, best]
    return first, second


def _compare_equals(result: Array, first: Array, second: Array) -> None:
    """Accept the p of any choice whose p among the first women is the smallest."""
    if result.shape == (len(first),) and all(
        np.isclose(p, row[chosen == chosen.min()]).any()
        for p, chosen, row in zip(result, first, second, strict=True)
    ):
        return
    raise NotYet(
        "it holds as long as one choice of a study has the smallest p. Here two studies have two choices "
        f"whose p are equally small: take one of the two, as `argmin` does, so that {len(first)} studies "
        f"have {len(first)} p."
    )


def _column(value: Any) -> Array:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise NotYet(f"one p for each study is needed, and out came {kind_of(value, 'an array')}.") from None


def _compare_strangers(result: Array, first: Array, second: Array) -> None:
    studies, choice = np.arange(len(first)), first.argmin(axis=1)
    wanted = second[studies, choice]
    if result.shape == wanted.shape and np.allclose(result, wanted):
        return
    if result.shape == wanted.shape and np.allclose(result, first.min(axis=1)):
        raise NotYet(
            "these are the p of the women among whom the choice was made, the smallest of "
            f"{first.shape[1]}. To call that a discovery is to sell the choice. What do the other women say?"
        )
    if result.shape == wanted.shape and np.allclose(result, second.min(axis=1)):
        raise NotYet(
            "you have chosen again, among the second women, and theirs is the smallest of "
            f"{first.shape[1]}, too. The choice was made by the first; the second only answer."
        )
    if result.shape == wanted.shape and np.allclose(result, choice):
        raise NotYet("these are the numbers of the choices. What is the p of each among the second women?")
    if result.shape == wanted.shape and np.allclose(result, second[studies, first.argmax(axis=1)]):
        raise NotYet("you took the choice with the largest p. The one to be tested is the most promising.")
    if result.shape == wanted.shape and np.allclose(result, first[studies, second.argmin(axis=1)]):
        raise NotYet("the two have changed places: the first women choose, the second are asked.")
    if result.shape == (len(first), len(first)) or result.shape == (len(first), first.shape[1]):
        raise NotYet(
            f"one p for each study, {wanted.shape}, and out came {result.shape}: from row i take the column "
            "that study i chose, and no other."
        )
    if result.shape != wanted.shape:
        raise NotYet(f"{len(first)} studies need {wanted.shape} p values, and out came {result.shape}.")
    if np.allclose(result, second[:, first.mean(axis=0).argmin()]):
        raise NotYet("all studies took one and the same choice. Each has made its own: `argmin(axis=1)`.")
    if np.allclose(result, np.maximum(first.min(axis=1), wanted)) or np.allclose(
        result, np.minimum(first.min(axis=1), wanted)
    ):
        raise NotYet("the first p has done its work when the choice is made; the second alone is the answer.")
    wrong = int(np.argmin(np.isclose(result, wanted)))
    raise NotYet(
        f"in study {wrong} choice {choice[wrong]} has the smallest p among the first women, and among the "
        f"second it has {wanted[wrong]:.3f}; out came {result[wrong]:.3f}."
    )


# --- 09.4 cross what was tied


_ARCHIVES = (
    {"oak": {"a": 12, "b": 6, "c": 3}, "elm": {"a": 4, "b": 9, "c": 5}, "fir": {"a": 3, "b": 5, "c": 13}},
    {"ash": {"a": 9, "b": 7, "c": 2, "d": 3}, "yew": {"a": 2, "b": 4, "c": 8, "d": 10}},
)
"""Women of each vendor and density; the smallest cells have three, and two."""


def _tied(archive: dict[str, dict[str, int]]) -> tuple[Array, Array]:
    """Vendor and density of each woman, in no order."""
    cells = [((vendor, density), n) for vendor, row in archive.items() for density, n in row.items()]
    pairs = np.random.default_rng(7).permutation([pair for pair, count in cells for _ in range(count)])
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def _test_crossed(crossed: Crossed) -> None:
    for archive in _ARCHIVES:
        _test_one_archive(crossed, *_tied(archive))


def _test_one_archive(crossed: Crossed, vendor: Array, density: Array) -> None:
    study, answers = (vendor, density), []
    for seed in (0, 0, 1, 2, 3):
        given = vendor.copy(), density.copy()
        rows = _rows(tried(crossed(*given, np.random.default_rng(seed))), len(vendor))
        _compare_cells(rows, vendor, density)
        _check_unchanged(given, study)
        answers.append(np.sort(rows))
    if not np.array_equal(answers[0], answers[1]):
        raise NotYet(
            "the same generator gave two different answers: draw with `rng.choice(…)` or "
            "`rng.permutation(…)`, so that others can repeat what you did."
        )
    if all(np.array_equal(answers[0], other) for other in answers[2:]):
        raise NotYet(
            "the numbers are right, but the same women are taken whatever the generator. Who comes first in "
            "a table may differ from the others: draw at random."
        )


def _rows(value: Any, women: int) -> Array:
    """Return row numbers; a mask is as good."""
    if isinstance(value, tuple) and len(value) == 1:
        raise NotYet("out came a tuple with one thing in it, as `np.where` gives: take its `[0]`.")
    try:
        array = np.asarray(value)
    except ValueError:  # cells of different sizes
        raise NotYet("the rows of all cells belong in one list: `np.concatenate`.") from None
    if array.dtype == object and array.ndim == 1 and all(isinstance(each, Integral) for each in array):
        array = array.astype(int)
    if array.dtype == bool and array.shape == (women,):
        return np.flatnonzero(array)
    if array.size == 0:
        raise NotYet("nobody is left.")
    if array.ndim > 1 and array.dtype.kind in "iu":
        raise NotYet(
            f"the rows of all cells belong in one list, and out came {array.shape}: `np.concatenate`."
        )
    if array.ndim == 1 and array.dtype.kind not in "iu":
        raise NotYet(
            f"the numbers of rows are needed, as whole numbers, and the first that came is {array[0]!s}."
        )
    if array.ndim != 1:
        raise NotYet(
            "the numbers of rows are needed, as a list or an array of one axis, and out came "
            f"{kind_of(value, 'an array')}."
        )
    if array.min() < 0 or array.max() >= women:
        raise NotYet(f"there are rows 0 to {women - 1}, and yours go from {array.min()} to {array.max()}.")
    return array


def _compare_cells(rows: Array, vendor: Array, density: Array) -> None:
    cells = pd.crosstab(pd.Series(vendor), pd.Series(density))
    smallest = int(cells.to_numpy().min())
    if len(np.unique(rows)) < len(rows):
        raise NotYet(
            "some women are in it more than once. Copies of a woman bring nothing new: take fewer of the "
            "others, not more of her."
        )
    if len(rows) == len(vendor):
        raise NotYet(
            "all the women are still there, and with them the tie between vendor and density. If the vendor "
            "is taken off now, density goes with it."
        )
    kept = pd.crosstab(pd.Series(vendor[rows]), pd.Series(density[rows]))
    counts = kept.reindex(index=cells.index, columns=cells.columns, fill_value=0).to_numpy()
    if (counts == smallest).all():
        return
    told = "; ".join(
        f"{name} {', '.join(map(str, row))}" for name, row in zip(cells.index, counts.tolist(), strict=True)
    )
    came = f"women with density {', '.join(cells.columns)}: {told}."
    if (counts == counts[0, 0]).all():
        raise NotYet(f"{came} That is crossed, but more can stay: {smallest} of each kind.")
    if (counts > 0).sum(axis=0).max() <= 1:
        raise NotYet(f"{came} Of each density one vendor is left at most: there is nothing to compare.")
    if len(set(counts.sum(axis=1))) == 1 and len(set(counts.sum(axis=0))) > 1:
        raise NotYet(f"{came} The vendors have equally many women, but not of each density.")
    if len(set(counts.sum(axis=0))) == 1 and len(set(counts.sum(axis=1))) > 1:
        raise NotYet(f"{came} The densities have equally many women, but not of each vendor.")
    raise NotYet(
        f"{came} Every number should be the same, and as large as the smallest kind allows: {smallest}."
    )


def _everybody(vendor: Array, density: Array, rng: np.random.Generator) -> Array:
    return np.arange(len(vendor))


def _even_by(column: Array, rng: np.random.Generator) -> Array:
    kinds, counts = np.unique(column, return_counts=True)
    drawn = [rng.choice(np.flatnonzero(column == kind), counts.min(), replace=False) for kind in kinds]
    return np.concatenate(drawn)


def _fills_up(vendor: Array, density: Array, rng: np.random.Generator) -> Array:
    cell = np.char.add(vendor, density)
    most = np.unique(cell, return_counts=True)[1].max()
    return np.concatenate([rng.choice(np.flatnonzero(cell == each), most) for each in np.unique(cell)])


def _the_first(vendor: Array, density: Array, rng: np.random.Generator) -> Array:
    cell = np.char.add(vendor, density)
    least = np.unique(cell, return_counts=True)[1].min()
    return np.concatenate([np.flatnonzero(cell == each)[:least] for each in np.unique(cell)])


# --- 09.5 left minus right


def _breasts(complete: bool) -> tuple[Array, Array, Array, Array]:
    """Vectors, woman, view and side of images: in no order; of some women one breast only, or one view."""
    rng = np.random.default_rng(11)
    rows = [(f"W{i}", view, side) for i in range(1, 8) for view in ("CC", "MLO") for side in "LR"]
    gone = (
        set() if complete else {("W2", "CC", "L"), ("W4", "MLO", "R"), ("W5", "MLO", "L"), ("W5", "MLO", "R")}
    )
    kept = [row for row in rows if row not in gone]
    order = rng.permutation(len(kept))
    women, view, side = (np.array([kept[i][j] for i in order]) for j in range(3))
    return rng.normal(size=(len(kept), 5)) + 3, women, view, side


def _differences(study: tuple[Array, ...], combine: Callable[[Array, Array], Array]) -> Array:
    vectors, women, view, side = study
    found = []
    for woman in np.unique(women):
        for each in np.unique(view):
            hers = (women == woman) & (view == each)
            left, right = vectors[hers & (side == "L")], vectors[hers & (side == "R")]
            if len(left) and len(right):
                found.append(combine(left[0], right[0]))
    return np.array(found)


def _test_left_minus_right(left_minus_right: LeftMinusRight) -> None:
    for complete in (True, False):
        study = _breasts(complete)
        given = tuple(array.copy() for array in study)
        result = _table(tried(left_minus_right(*given)), "a table, one row for each pair of breasts,")
        _compare_differences(result, study, complete)
        _check_unchanged(given, study)


def _compare_differences(result: Array, study: tuple[Array, ...], complete: bool) -> None:
    women = study[1]
    wanted = _differences(study, combine=np.subtract)
    if np.isnan(result).any():
        raise NotYet(
            "some rows are NaN: of some women one breast is missing in a view. Such a pair is left out."
        )
    if _close(result, wanted):
        return
    if not complete and len(result) != len(wanted):
        raise NotYet(
            f"as long as everybody has both breasts in both views it holds. Here some pictures are missing: "
            f"{len(wanted)} pairs are complete, and out came {len(result)} rows."
        )
    by_woman = len(np.unique(women))
    if len(result) == by_woman != len(wanted):
        raise NotYet(
            f"{by_woman} rows, one for each woman: CC and MLO were mixed. One for each woman and view is "
            "asked for."
        )
    if result.shape != wanted.shape:
        raise NotYet(f"{len(wanted)} pairs make {wanted.shape}, and out came {result.shape}.")
    if _close(result, -wanted):
        raise NotYet("that is right minus left.")
    if _close(result, np.abs(wanted)):
        raise NotYet(
            "the signs are gone. A difference of 2 to the left and one of 2 to the right are not the same."
        )
    for says, other in (
        ("sums", _differences(study, combine=np.add)),
        ("means", _differences(study, combine=lambda left, right: (left + right) / 2)),
    ):
        if _close(result, other):
            raise NotYet(
                f"these are {says} of left and right. What the two have in common must go, not stay."
            )
    if _close(np.sort(result, axis=0), np.sort(wanted, axis=0)):
        raise NotYet("the differences are right, but not in order: women by name, and of each CC before MLO.")
    if _close(np.abs(result), np.abs(wanted)):
        raise NotYet(
            "some rows are right minus left. Which image of a pair comes first in the table says nothing: "
            "`side` says which is the left."
        )
    vectors, _, _, side = study
    any_two = (vectors[side == "L"][:, None] - vectors[side == "R"]).reshape(-1, vectors.shape[1])
    if all(np.abs(any_two - row).max(axis=1).min() < 1e-4 for row in result):
        raise NotYet(
            "left and right do not belong together in every row. The rows of the table are in no order: find "
            "for each woman and each view her left and her right."
        )
    raise NotYet(
        "not every row is the vector of a left breast minus that of a right one, and nothing else: one minus "
        "the other, of the same woman in the same view."
    )


def _trusts_the_order(vectors: Array, women: Array, view: Array, side: Array) -> Array:
    left, right = vectors[side == "L"], vectors[side == "R"]
    pairs = min(len(left), len(right))
    return left[:pairs] - right[:pairs]


def _mixes_views(vectors: Array, women: Array, view: Array, side: Array) -> Array:
    names = np.unique(women)
    return np.array(
        [
            vectors[(women == name) & (side == "L")].mean(axis=0)
            - vectors[(women == name) & (side == "R")].mean(axis=0)
            for name in names
        ]
    )


EXERCISES = (
    Exercise(
        id="09.1",
        title="Shuffle women, not images",
        minutes=10,
        test=_test_p_by_women,
        buys="a coin for each woman is now called a finding once in twenty, as p = 0.05 promises.",
        hints=(
            "How could chance have dealt out the labels? One to each woman. So a shuffle moves the labels "
            "from woman to woman, and all images of a woman get the new one.",
            "`names, first, owner = np.unique(women, return_index=True, return_inverse=True)`: then "
            "`label[first]` has one label for each woman, and `owner` says whose each image is.",
            "A shuffled column is `rng.permutation(label[first])[owner]`. Count in how many of `draws` "
            "shuffles the agreement is at least (`>=`) that of the labels as they are, and return "
            "(1 + count) / (1 + draws).",
        ),
        planted=(
            Planted(_permutes_images, "permuted images", "you have shuffled images"),
            Planted(_permutes_within, "permuted within a woman", "no shuffle changed anything"),
            Planted(_without_the_data, "left out the data", "count them in"),
            Planted(_only_larger, "left out ties", "agrees exactly as well counts"),
            Planted(_draws_anew, "drew with replacement", "deals out the same labels anew"),
        ),
    ),
    Exercise(
        id="09.2",
        title="The chain as one function",
        minutes=8,
        test=_test_chain,
        buys="the steps are fixed: whoever comes next can only be put through them, not choose others.",
        hints=(
            "Three steps. The first is on images, the second turns images into women, the third is on women.",
            "`pd.DataFrame(rows).groupby(kind).transform('mean')` gives each row the mean of its kind; "
            "without `transform`, `.mean()` gives one row for each kind, sorted by name.",
            "`off = vectors - pd.DataFrame(vectors).groupby(view).transform('mean').to_numpy()`, then "
            "`means = pd.DataFrame(off).groupby(women).mean()`. The women's vendors are "
            "`pd.Series(vendor).groupby(women).first()`; take their means off `means` in the same way.",
        ),
        planted=(
            Planted(_view_stays, "left the view in", "the view is still in"),
            Planted(_vendor_stays, "left the vendor in", "the vendor is still in"),
            Planted(_vendor_by_images, "took the vendor off images", "counts four times"),
            Planted(_stays_with_images, "never came to women", "one for each image"),
            Planted(_as_they_come, "did not sort the women", "not sorted by the women's names"),
        ),
    ),
    Exercise(
        id="09.3",
        title="Ask strangers",
        minutes=4,
        test=_test_ask_strangers,
        buys="a choice is judged by women who had no part in it.",
        hints=(
            "Two steps: which choice looks best among the first women, study by study? And what is the p of "
            "that one among the second?",
            "`first.argmin(axis=1)` is the choice of each study. From row i of `second` you need that "
            "column.",
            "`second[np.arange(len(second)), choice]` takes one number from each row.",
        ),
        planted=(
            Planted(
                lambda first, second: first.min(axis=1),
                "sold the chosen step as a discovery",
                "is to sell the choice",
            ),
            Planted(lambda first, second: second.min(axis=1), "chose again", "you have chosen again"),
            Planted(
                lambda first, second: first.argmin(axis=1), "gave the choices", "the numbers of the choices"
            ),
            Planted(
                lambda first, second: second[:, first.argmin(axis=1)],
                "took every column for every study",
                "and no other",
            ),
        ),
    ),
    Exercise(
        id="09.4",
        title="Cross what was tied",
        minutes=7,
        test=_test_crossed,
        buys="among these women the vendor says nothing about density, so it can go alone.",
        hints=(
            "Make a table in your head: a row for each vendor, a column for each density, in each cell the "
            "number of women. What must it look like if the vendor is to tell nothing of density?",
            "Every cell must hold the same number, so the smallest decides. `(vendor == v) & (density == d)` "
            "are the women of a cell.",
            "`cells = [np.flatnonzero((vendor == v) & (density == d)) for v in np.unique(vendor) for d in "
            "np.unique(density)]`; `least = min(map(len, cells))`; of each draw `rng.choice(cell, least, "
            "replace=False)`, and `np.concatenate` them.",
        ),
        planted=(
            Planted(_everybody, "takes the vendor off anyway", "density goes with it"),
            Planted(lambda v, d, rng: _even_by(v, rng), "evened out vendors", "but not of each density"),
            Planted(lambda v, d, rng: _even_by(d, rng), "evened out densities", "but not of each vendor"),
            Planted(_fills_up, "took copies of women", "Copies of a woman"),
            Planted(_the_first, "took the first", "whatever the generator"),
        ),
    ),
    Exercise(
        id="09.5",
        title="Left minus right",
        minutes=7,
        test=_test_left_minus_right,
        buys="all that a woman's two breasts share has cancelled, whatever it was.",
        hints=(
            "Which two rows belong together? Those of one woman and one view. Never trust the order of a "
            "table.",
            "Loop over `np.unique(women)` and, inside, over `np.unique(view)`. `hers = (women == woman) & "
            "(view == each)` has at most two rows: `hers & (side == 'L')` is the left one.",
            "`left = vectors[hers & (side == 'L')]`, `right` likewise; if `len(left) and len(right)`, append "
            "`left[0] - right[0]` to a list. At the end `np.array(…)` of it.",
        ),
        planted=(
            Planted(_trusts_the_order, "trusted the order of rows", "do not belong together"),
            Planted(
                lambda *study: -_differences(study, combine=np.subtract),
                "right minus left",
                "right minus left",
            ),
            Planted(
                lambda *study: _differences(study, combine=lambda left, right: (left + right) / 2),
                "took the mean",
                "must go, not stay",
            ),
            Planted(_mixes_views, "mixed the views", "CC and MLO were mixed"),
        ),
    ),
)
