"""Exercises of lesson 09: other right answers and rarer mistakes. And what the lesson's run has shown."""

import inspect
import re
from decimal import Decimal
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

from course_utils.analysis import group_means, harmonise
from course_utils.analysis.permutations import permuter
from course_utils.imaging import read_mammogram
from course_utils.imaging.datasets import sample_run
from course_utils.imaging.mask import breast_mask
from course_utils.phantoms import Phantom
from course_utils.plots.illustration import pixels_of
from course_utils.runs import Extraction
from course_utils.teaching import exercise
from course_utils.teaching.controls import across, cleaned, evened_out, p_among_others, package_p
from course_utils.teaching.exercises import lesson_09 as lesson

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
STUDENTS = NOTEBOOKS / "09_do_you_believe_it.ipynb"
SOLVED = NOTEBOOKS / "solutions" / STUDENTS.name


# --- 09.1


def a_table_of_women(agreement, clusters, label, women, rng, draws=99):
    hers = pd.Series(label, index=women).groupby(level=0).first()
    observed, as_good = agreement(clusters, label), 0
    for _ in range(draws):
        dealt = pd.Series(rng.permutation(hers.to_numpy()), index=hers.index)
        as_good += agreement(clusters, dealt.loc[women].to_numpy()) >= observed
    return (as_good + 1) / (draws + 1)


def names_change_places(agreement, clusters, label, women, rng, draws=99):
    names, hers, as_good = list(dict.fromkeys(women)), dict(zip(women, label, strict=True)), 1
    for _ in range(draws):
        other = dict(zip(names, rng.permutation(names), strict=True))
        new = [hers[other[woman]] for woman in women]
        as_good += agreement(clusters, new) >= agreement(clusters, label)
    return np.float32(as_good / (draws + 1))


def by_the_library(agreement, clusters, label, women, rng, draws=99):
    permute, observed = permuter(label, women), agreement(clusters, label)
    return np.mean([True] + [agreement(clusters, permute(rng)) >= observed for _ in range(draws)])


def deals(change):
    """A right answer to 09.1 but for what `change` makes of the women's labels, the count and the draws."""

    def p_by_women(agreement, clusters, label, women, rng, draws=99):
        _, first, owner = np.unique(women, return_index=True, return_inverse=True)
        return change(agreement, clusters, label, label[first], owner, rng, draws)

    return p_by_women


def once_for_all(agreement, clusters, label, hers, owner, rng, draws):
    new = rng.permutation(hers)[owner]
    good = sum(agreement(clusters, new) >= agreement(clusters, label) for _ in range(draws))
    return (1 + good) / (1 + draws)


def with_luck_of_its_own(agreement, clusters, label, hers, owner, rng, draws):
    fresh, observed = np.random.default_rng(), agreement(clusters, label)
    good = sum(agreement(clusters, fresh.permutation(hers)[owner]) >= observed for _ in range(draws))
    return (1 + good) / (1 + draws)


def always_99(agreement, clusters, label, hers, owner, rng, draws):
    observed = agreement(clusters, label)
    return (1 + sum(agreement(clusters, rng.permutation(hers)[owner]) >= observed for _ in range(99))) / 100


def one_too_few(agreement, clusters, label, hers, owner, rng, draws):
    observed = agreement(clusters, label)
    good = sum(agreement(clusters, rng.permutation(hers)[owner]) >= observed for _ in range(draws - 1))
    return (1 + good) / (1 + draws)


def the_other_tail(agreement, clusters, label, hers, owner, rng, draws):
    observed = agreement(clusters, label)
    good = sum(agreement(clusters, rng.permutation(hers)[owner]) < observed for _ in range(draws))
    return good / (1 + draws)


def a_number_of_shuffles(agreement, clusters, label, hers, owner, rng, draws):
    observed = agreement(clusters, label)
    return 1 + sum(agreement(clusters, rng.permutation(hers)[owner]) >= observed for _ in range(draws))


def labels_of_women_alone(agreement, clusters, label, hers, owner, rng, draws):
    return agreement(clusters, rng.permutation(hers))


def clusters_shuffled(agreement, clusters, label, hers, owner, rng, draws):
    observed = agreement(clusters, label)
    good = sum(agreement(rng.permutation(clusters), label) >= observed for _ in range(draws))
    return (1 + good) / (1 + draws)


def four_of_each(agreement, clusters, label, hers, owner, rng, draws):
    observed = agreement(clusters, label)
    new = [np.repeat(rng.permutation(hers), 4)[: len(label)] for _ in range(draws)]
    return (1 + sum(agreement(clusters, each) >= observed for each in new)) / (1 + draws)


def never_as_they_are(agreement, clusters, label, hers, owner, rng, draws):
    null = [agreement(clusters, rng.permutation(hers)[owner]) for _ in range(draws + 1)]
    return (1 + sum(each >= null[0] for each in null[1:])) / (1 + draws)


def with_another_seed(agreement, clusters, label, hers, owner, rng, draws):
    return by_the_library(agreement, clusters, label, owner, np.random.default_rng(0), draws)


def turned_round(agreement, clusters, label, hers, owner, rng, draws):
    new = [np.roll(hers, i + 1)[owner] for i in range(draws)]
    return (1 + sum(agreement(clusters, each) >= agreement(clusters, label) for each in new)) / (1 + draws)


def one_image_of_each(agreement, clusters, label, women, rng, draws=99):
    first = np.unique(women, return_index=True)[1]
    return package_p(agreement, clusters[first], label[first], women[first], rng, draws)


def the_label_first(agreement, clusters, label, women, rng, draws=99):
    return by_the_library(lambda one, other: agreement(other, one), clusters, label, women, rng, draws)


def counted(share):
    """A right answer to 09.1 but for the p that `share` makes of (as good, less good, shuffles)."""

    def change(agreement, clusters, label, hers, owner, rng, draws):
        observed = agreement(clusters, label)
        good = sum(agreement(clusters, rng.permutation(hers)[owner]) >= observed for _ in range(draws))
        return share(good, draws - good, draws)

    return deals(change)


def with_floats_and_lists(agreement, clusters, label, women, rng, draws=99):
    def listed(one, other):
        return agreement(list(one), [float(each) for each in other])

    return Decimal(by_the_library(listed, clusters, label, women, rng, draws))


def shuffles_in_place(agreement, clusters, label, women, rng, draws=99):
    p = a_table_of_women(agreement, clusters, label, women, rng, draws)
    rng.shuffle(label)
    return p


# --- 09.2


def in_loops(vectors, view, vendor, women):
    rows = np.array(vectors, float)
    for each in set(view):
        rows[view == each] -= rows[view == each].mean(axis=0)
    names = sorted(set(women))
    rows = np.array([rows[women == name].mean(axis=0) for name in names])
    machine = np.array([vendor[women == name][0] for name in names])
    for each in set(machine):
        rows[machine == each] -= rows[machine == each].mean(axis=0)
    return rows


def by_regression(vectors, view, vendor, women):
    """What a line through indicators leaves over: scikit-learn's, with nothing of the lesson's."""

    def rest(rows, kinds):
        indicators = OneHotEncoder().fit_transform(np.reshape(kinds, (-1, 1))).toarray()
        return rows - LinearRegression().fit(indicators, rows).predict(indicators)

    off, names = rest(vectors, view), np.unique(women)
    means = np.array([off[women == name].mean(axis=0) for name in names])
    return rest(means, [vendor[women == name][0] for name in names])


def by_harmonise(vectors, view, vendor, women):
    off = harmonise(vectors, pd.DataFrame({"view": view}), ["view"])
    means, row = group_means(off, women)
    machine = pd.Series(vendor).groupby(row).first()
    clean = harmonise(means, pd.DataFrame({"vendor": machine}), ["vendor"])
    return clean[row[np.unique(women, return_index=True)[1]]]


def subtracts_in_place(vectors, view, vendor, women):
    for each in np.unique(view):
        vectors[view == each] -= vectors[view == each].mean(axis=0)
    return in_loops(vectors, view, vendor, women)


def with_sums(vectors, view, vendor, women):
    off = vectors - pd.DataFrame(vectors).groupby(view).transform("mean").to_numpy()
    sums = pd.DataFrame(off).groupby(women).sum()
    return sums - sums.groupby(pd.Series(vendor).groupby(women).first()).transform("mean")


def the_vendors_means(vectors, view, vendor, women):
    off = vectors - pd.DataFrame(vectors).groupby(view).transform("mean").to_numpy()
    means = pd.DataFrame(off).groupby(women).mean()
    return means.groupby(pd.Series(vendor).groupby(women).first()).transform("mean")


def one_mean_for_both_views(vectors, view, vendor, women):
    return in_loops(vectors, np.zeros(len(vectors)), vendor, women)


def vendors_of_the_first_rows(vectors, view, vendor, women):
    off = vectors - pd.DataFrame(vectors).groupby(view).transform("mean").to_numpy()
    means = pd.DataFrame(off).groupby(women).mean()
    return means - means.groupby(vendor[: len(means)]).transform("mean")


def vendor_before_view(vectors, view, vendor, women):
    rows = pd.DataFrame(vectors)
    rows -= rows.groupby(vendor).transform("mean")
    rows -= rows.groupby(view).transform("mean")
    return rows.groupby(women).mean().to_numpy()


# --- 09.3


def all_that_are_smallest(first, second):
    return second[first == first.min(axis=1, keepdims=True)]


def summed_over_the_smallest(first, second):
    return (second * (first == first.min(axis=1, keepdims=True))).sum(axis=1)


def largest_of_the_smallest(first, second):
    return np.where(first == first.min(axis=1, keepdims=True), second, 0).max(axis=1)


def wrong_in_the_last(first, second):
    p = largest_of_the_smallest(first, second)
    p[-1] = 0.5
    return p


# --- 09.4


def drawn_by_pandas(vendor, density, rng):
    table = pd.DataFrame({"vendor": vendor, "density": density})
    least = pd.crosstab(vendor, density).to_numpy().min()
    return table.groupby(["vendor", "density"]).sample(least, random_state=rng).index


def one_after_the_other(vendor, density, rng):
    least, seen, kept = pd.crosstab(vendor, density).to_numpy().min(), {}, []
    for i in rng.permutation(len(vendor)).tolist():
        cell = vendor[i], density[i]
        seen[cell] = seen.get(cell, 0) + 1
        if seen[cell] <= least:
            kept.append(i)
    return kept


def as_a_mask(vendor, density, rng):
    return np.isin(np.arange(len(vendor)), drawn_by_pandas(vendor, density, rng))


def of_each(count):
    def crossed(vendor, density, rng):
        cells = [
            np.flatnonzero((vendor == v) & (density == d))
            for v in np.unique(vendor)
            for d in np.unique(density)
        ]
        return np.concatenate([rng.permutation(cell)[:count] for cell in cells])

    return crossed


def three_of_each(vendor, density, rng):
    table = pd.DataFrame({"vendor": vendor, "density": density})
    return table.groupby(["vendor", "density"]).sample(3, random_state=rng).index


# --- 09.5


def by_an_index(vectors, women, view, side):
    index = pd.MultiIndex.from_arrays([women, view])
    left, right = (pd.DataFrame(vectors[side == each], index=index[side == each]) for each in "LR")
    return (left - right).dropna().sort_index().to_numpy()


def by_a_dictionary(vectors, women, view, side):
    row = {key: i for i, key in enumerate(zip(women, view, side, strict=True))}
    return [
        (vectors[row[woman, each, "L"]] - vectors[row[woman, each, "R"]]).tolist()
        for woman in sorted(set(women))
        for each in sorted(set(view))
        if (woman, each, "L") in row and (woman, each, "R") in row
    ]


def by_signs(vectors, women, view, side):
    groups = pd.DataFrame(vectors * np.where(side == "L", 1, -1)[:, None]).groupby([women, view])
    return groups.sum()[groups.size() == 2].astype(np.float32)


def keeps_those_alone(vectors, women, view, side):
    return pd.DataFrame(vectors * np.where(side == "L", 1, -1)[:, None]).groupby([women, view]).sum()


def sorted_and_taken_in_twos(vectors, women, view, side):
    rows = vectors[np.lexsort((side, view, women))]
    return rows[::2] - rows[1::2]


def the_first_minus_the_second(vectors, women, view, side):
    pairs = pd.Series(np.arange(len(women))).groupby([women, view]).agg(list)
    return np.array([vectors[pair[0]] - vectors[pair[1]] for pair in pairs if len(pair) == 2])


def less_the_mean_right(vectors, women, view, side):
    right = pd.DataFrame(vectors[side == "R"]).groupby(view[side == "R"]).mean()
    left = pd.DataFrame(vectors[side == "L"], index=[women[side == "L"], view[side == "L"]])
    return (left - right.reindex(left.index, level=1)).sort_index()


def views_first(vectors, women, view, side):
    return by_an_index(vectors, view, women, side)


def missing_ones_as_nan(vectors, women, view, side):
    index = pd.MultiIndex.from_arrays([women, view])
    left, right = (pd.DataFrame(vectors[side == each], index=index[side == each]) for each in "LR")
    return (left - right).sort_index()


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("09.1", a_table_of_women),
        ("09.1", names_change_places),
        ("09.1", by_the_library),
        ("09.1", package_p),
        ("09.1", with_floats_and_lists),
        ("09.2", in_loops),
        ("09.2", by_regression),
        ("09.2", by_harmonise),
        ("09.2", cleaned),
        ("09.2", lambda *archive: in_loops(*archive).astype(np.float32)),
        ("09.2", lambda *archive: pd.DataFrame(in_loops(*archive) + 3)),
        ("09.3", lambda first, second: [b[np.argmin(a)] for a, b in zip(first, second, strict=True)]),
        ("09.3", lambda first, second: np.diag(second[:, first.argmin(axis=1)])),
        ("09.3", lambda first, second: np.take_along_axis(second, first.argmin(1)[:, None], 1)[:, 0]),
        ("09.3", p_among_others),
        ("09.3", largest_of_the_smallest),
        ("09.4", evened_out),
        ("09.4", lambda *study: drawn_by_pandas(*study).to_numpy().astype(object)),
        ("09.4", drawn_by_pandas),
        ("09.4", one_after_the_other),
        ("09.4", as_a_mask),
        ("09.5", by_an_index),
        ("09.5", by_a_dictionary),
        ("09.5", by_signs),
        ("09.5", across),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("09.1", deals(once_for_all), "all your shuffles are the same one"),
        ("09.1", deals(with_luck_of_its_own), "two different answers"),
        ("09.1", deals(always_99), "19 shuffles were asked for (`draws`), and there were 99"),
        ("09.1", deals(one_too_few), "99 shuffles were asked for (`draws`), and there were 98"),
        ("09.1", deals(the_other_tail), "counts the shuffles that agree less"),
        ("09.1", deals(a_number_of_shuffles), "is a number of shuffles"),
        ("09.1", deals(labels_of_women_alone), "got 16 labels for 51 images"),
        ("09.1", deals(clusters_shuffled), "the clusters have been shuffled"),
        ("09.1", deals(four_of_each), "one woman's images carry different labels"),
        ("09.1", deals(never_as_they_are), "of the labels as they are was never asked for"),
        ("09.1", shuffles_in_place, "work on a copy"),
        ("09.1", deals(with_another_seed), "the same whatever the generator"),
        ("09.1", deals(turned_round), "the same whatever the generator"),
        ("09.1", one_image_of_each, "about all 51 images, and was asked about 16"),
        ("09.1", the_label_first, "it is `agreement(clusters, label)`"),
        ("09.1", counted(lambda good, less, draws: (1 + good) / draws), "divide by 99 + 1"),
        ("09.1", counted(lambda good, less, draws: good / (1 + draws)), "59 + 1 of 99 + 1"),
        ("09.1", counted(lambda good, less, draws: (1 + less) / (1 + draws)), "that agree less"),
        ("09.1", counted(lambda good, less, draws: 100 * (1 + good) / (1 + draws)), "or of per cent"),
        ("09.1", counted(lambda good, less, draws: np.nan), "p = nan, and it should be"),
        ("09.1", lambda *study: 0.5, "`agreement` was never called"),
        ("09.1", lambda agreement, *study: (1, [2, 3]), "p should be one number"),
        ("09.2", subtracts_in_place, "work on a copy"),
        ("09.2", with_sums, "four images would lie four times as far out"),
        ("09.2", the_vendors_means, "these are the vendors' means"),
        ("09.2", one_mean_for_both_views, "the view is still in"),
        ("09.2", vendor_before_view, "the order is another"),
        ("09.2", vendors_of_the_first_rows, "vendors that are not theirs"),
        (
            "09.2",
            lambda *archive: in_loops(*archive)[::-1],
            "in another order than that of the women's names",
        ),
        ("09.2", lambda *archive: in_loops(*archive) + 0j, "a table, one row for each woman, is needed"),
        ("09.2", lambda *archive: in_loops(*archive).T, "out came (6, 11)"),
        ("09.2", lambda *archive: (in_loops(*archive), 1), "out came a tuple"),
        ("09.2", lambda *archive: np.abs(in_loops(*archive)), "not the three steps in their order"),
        ("09.3", lambda first, second: second.min(axis=0), "need (7,) p values, and out came (5,)"),
        ("09.3", lambda first, second: second[np.arange(7), first.argmax(1)], "with the largest p"),
        ("09.3", lambda first, second: first[np.arange(7), second.argmin(1)], "have changed places"),
        ("09.3", lambda first, second: second[:, first.mean(axis=0).argmin()], "one and the same choice"),
        (
            "09.3",
            lambda first, second: np.maximum(first.min(1), second[np.arange(7), first.argmin(1)]),
            "the second alone is the answer",
        ),
        ("09.3", lambda first, second: first.min(1) * 5, "in study 0 choice"),
        ("09.3", wrong_in_the_last, "in study 6 choice"),
        ("09.3", all_that_are_smallest, "take one of the two, as `argmin` does"),
        ("09.3", summed_over_the_smallest, "take one of the two, as `argmin` does"),
        ("09.4", three_of_each, "Cannot take a larger sample"),
        ("09.4", lambda *study: np.where(as_a_mask(*study)), "take its `[0]`"),
        ("09.4", lambda *study: [[1, 2], [3]], "`np.concatenate`"),
        ("09.4", lambda *study: set(drawn_by_pandas(*study)), "as a list or an array of one axis"),
        ("09.4", of_each(1), "more can stay: 3 of each kind"),
        ("09.4", of_each(4), "Every number should be the same"),
        ("09.4", lambda vendor, density, rng: np.flatnonzero(vendor == "oak"), "there is nothing to compare"),
        ("09.4", lambda vendor, density, rng: [], "nobody is left"),
        ("09.4", lambda vendor, density, rng: vendor[:27], "the numbers of rows are needed"),
        ("09.4", lambda *study: np.reshape(drawn_by_pandas(*study), (9, 3)), "`np.concatenate`"),
        ("09.4", lambda *study: drawn_by_pandas(*study).astype(float), "as whole numbers"),
        ("09.4", lambda vendor, density, rng: [60], "there are rows 0 to 59"),
        (
            "09.4",
            lambda vendor, density, rng: one_after_the_other(vendor, density, np.random.default_rng()),
            "two different answers",
        ),
        ("09.5", keeps_those_alone, "11 pairs are complete, and out came 13 rows"),
        ("09.5", sorted_and_taken_in_twos, "11 pairs are complete, and out came 12 rows"),
        ("09.5", views_first, "not in order"),
        ("09.5", the_first_minus_the_second, "some rows are right minus left"),
        ("09.5", less_the_mean_right, "and nothing else"),
        ("09.5", lambda *study: by_an_index(*study) / 2, "and nothing else"),
        ("09.5", missing_ones_as_nan, "Such a pair is left out"),
        ("09.5", lambda *study: np.abs(by_an_index(*study)), "the signs are gone"),
        ("09.5", lambda *study: {}, "out came a dict"),
    ],
)
def test_a_rarer_mistake_is_named_too(number, answer, says):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text, verdict.text


def test_in_the_check_of_p_ties_the_added_one_and_each_way_to_shuffle_make_a_difference():
    """Or one of the mistakes would pass by luck."""
    clusters, label, women = lesson._labelled(*lesson._STUDIES[0][:2])
    sizes = np.unique(women, return_counts=True)[1]
    assert set(sizes) == {1, 2, 3, 4}
    assert not (women[1:] == women[:-1]).all()
    observed = (clusters == label).sum()
    permute, rng = permuter(label, women), np.random.default_rng(5)
    null = np.array([(clusters == permute(rng)).sum() for _ in range(99)])
    assert (null == observed).any()
    assert (null > observed).any()


def test_no_two_choices_of_the_search_have_the_same_p():
    assert len(np.unique(np.concatenate(lesson._searches()))) == 70


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_no_solution_stands_in_the_module_of_the_exercises():
    functions = {name: value for name, value in vars(lesson).items() if inspect.isfunction(value)}
    own = {name: value for name, value in functions.items() if value.__module__ == lesson.__name__}
    right = [
        (each.id, name)
        for each in lesson.EXERCISES
        for name, function in own.items()
        if each.judge(function).state == "right"
    ]
    assert right == []


# --- What the lesson's text says of its own run


@pytest.fixture(scope="module", params=[STUDENTS, SOLVED], ids=["the student's", "the solved"])
def printed(request):
    """What a notebook has printed: the text speaks of it in the student's and in the solved one."""
    cells = nbformat.read(request.param, as_version=4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))


def figures(pattern, printed):
    found = [[float(each) for each in match.groups()] for match in re.finditer(pattern, printed)]
    assert found, pattern
    return found


def test_images_shuffled_find_coins_and_women_shuffled_do_not_and_the_package_agrees(printed):
    counts = dict(re.findall(r"^((?:package|yours), shuffling \w+): (\d+) of 1000", printed, re.M))
    low, high = binom.interval(0.95, 1000, 0.05)
    programs = ("package", "yours") if len(counts) == 4 else ("package",)
    for program in programs:
        assert low <= int(counts[f"{program}, shuffling women"]) <= high
        assert int(counts[f"{program}, shuffling images"]) > 333
    for unit in ("women", "images"):
        found = [int(counts[f"{program}, shuffling {unit}"]) for program in programs]
        assert max(found) - min(found) < 20


def test_clouds_of_women_pass_for_clusters_beside_strangers_only(printed):
    rows = figures(r"alike ([\d.]+): of 40 .* strangers (\d+), beside women (\d+)", printed)
    assert [row[0] for row in rows] == [0, 0.5, 0.9]
    assert rows[0][1] < rows[1][1] < rows[2][1]
    assert rows[2][1] > 30
    assert max(row[2] for row in rows) <= 5


def test_the_best_of_sixty_choices_is_fooled_and_strangers_are_not(printed):
    best = figures(r"the best of sixty choices: +(\d+)% of the coins", printed)
    (strangers,) = figures(r"the same choice, other women: (\d+)% of the coins", printed)
    assert best[0] == best[1]  # before and after the strangers are asked
    assert 30 <= best[0][0] <= 45
    assert strangers[0] <= 7


def test_the_chain_comes_back_among_women_never_seen(printed):
    (first,) = figures(r"60 women, who chose it +" + " ".join([r"(0\.\d\d)"] * 4) + r"\n", printed)
    (second,) = figures(r"96 women, never seen +" + " ".join([r"(0\.\d\d)"] * 4) + r"\n", printed)
    assert first == sorted(first)
    assert second == sorted(second)
    assert np.abs(np.subtract(first, second)).max() < 0.1
    for view, mean, vendor in figures(r"(\d+)% (\d+)% (\d+)%\n", printed):  # shares of the halves
        assert view == 100
        assert 75 < min(mean, vendor) < 100
    assert first[3] == pytest.approx(0.76, abs=0.005)  # as the text says
    assert second[3] == pytest.approx(0.75, abs=0.005)


def test_taking_out_a_tied_vendor_costs_half_and_a_crossed_one_helps(printed):
    (tied,) = figures(r"96 women, tied .* still in ([\d.]+), taken out ([\d.]+)", printed)
    (crossed,) = figures(r"36 of them, crossed .* still in ([\d.]+), taken out ([\d.]+)", printed)
    assert tied[0] == pytest.approx(0.7, abs=0.05)
    assert tied[1] < 0.55 * tied[0]
    assert crossed[1] > crossed[0] + 0.1


def test_the_negative_controls_find_nothing_and_the_outline_knows_view_and_vendor(printed):
    for still_in, fake, out in figures(
        r"vendor in ([\d.]+), fake vendor out ([\d.]+), vendor out ([\d.]+)", printed
    ):
        assert fake < still_in + 0.05 < out
    pairs = figures(r"\d+ pairs, ARI with density ([+-][\d.]+), vendor ([+-][\d.]+)", printed)
    assert np.abs(pairs).max() < 0.03
    views = figures(r"  view +([\d.]+), interval ([\d.]+)", printed)
    assert [view[0] for view in views] == [1, 1]
    vendors = figures(r"  vendor +([\d.]+), interval ([\d.]+)", printed)
    assert min(low for _, low in vendors) > 1 / 3


def test_one_pixel_chosen_by_the_first_women_gives_a_vendor_away_among_the_others(printed):
    assert figures(r"row (\d+), column (\d+)\n", printed) == [[63, 0], [63, 0]]
    rows = re.findall(r"  (\w+): white in (\d+)%, median of its gray (\d+) of 255", printed)
    assert [vendor for vendor, _, _ in rows] == ["alder", "birch", "cedar"] * 2
    for vendor, share, gray in rows:
        assert (
            (int(share) < 25 and int(gray) == 0) if vendor == "alder" else (int(share) > 95 and int(gray) > 3)
        )


def test_an_outline_above_the_gray_of_air_tells_the_vendor_less_often_but_still(printed):
    black, black_others, air, air_others = figures(r"  vendor +([\d.]+), interval ([\d.]+)", printed)
    for before, after in ((black, air), (black_others, air_others)):
        assert after[1] > 1 / 3
        assert after[0] < before[0] - 0.1


@pytest.mark.parametrize(
    ("vendor", "darkest", "brightest"), [("alder", 0, 0), ("birch", 2, 24), ("cedar", 2, 24)]
)
def test_air_is_black_with_one_vendor_and_almost_black_with_two_and_is_in_the_pictures(
    tmp_path, vendor, darkest, brightest
):
    """So says the text of the pixel at the chest wall; the margin of air is the preprocessor's."""
    tissue = Phantom(vendor=vendor, seed=50).write(tmp_path / "one.dcm").tissue
    mammogram = read_mammogram(tmp_path / "one.dcm")
    mask = breast_mask(mammogram.pixels)
    air = 255 * mammogram.pixels[mask & ~tissue]
    assert len(air) > 1000
    assert darkest <= air.min() <= air.max() <= brightest
    lowest = np.flatnonzero(mask[:, 0])[-1]
    assert 255 * mammogram.pixels[lowest, 0] == pytest.approx(air.mean(), abs=1)


@pytest.mark.parametrize("name", ["cohort", "replication"])
def test_few_of_a_vendors_masks_lack_the_upper_corner_at_the_chest_wall(name):
    folder = sample_run() if name == "cohort" else sample_run(name)
    known, pictures = pd.read_csv(folder / "manifest.csv"), Extraction.read(folder).thumbnails
    corner = np.array([pixels_of(picture)[0, 0] for picture in pictures])
    cedar = (known["view"] == "MLO") & (known["vendor"] == "cedar")
    assert (corner[cedar] == 0).mean() < 0.2


def test_with_groups_a_cloud_of_women_is_a_cloud_and_without_it_is_not(printed):
    assert re.search(r"women, groups not given +more than a cloud\n.*, groups given +no better than", printed)
    assert re.search(r"our images, groups given +more than a cloud\n", printed)
