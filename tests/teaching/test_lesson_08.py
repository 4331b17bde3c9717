"""Exercises of lesson 08: other right answers, rarer mistakes, and loops that would never end."""

import inspect
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from course_utils.teaching import exercise, groups
from course_utils.teaching.exercises import lesson_08 as lesson
from course_utils.teaching.others import position, positions_of_makers, positions_of_others


def plain_python(points, centres):
    centres, before = [list(centre) for centre in centres], None
    while True:
        labels = [
            min(
                range(len(centres)),
                key=lambda j: sum((p - q) ** 2 for p, q in zip(x, centres[j], strict=True)),
            )
            for x in points
        ]
        if labels == before:
            return labels, centres
        before = labels
        for j in range(len(centres)):
            members = [x for x, label in zip(points, labels, strict=True) if label == j]
            if members:
                centres[j] = [sum(column) / len(members) for column in zip(*members, strict=True)]


def until_centres_rest(points, centres):
    places = np.array(centres)
    while True:
        labels = cdist(points, places).argmin(axis=1)
        moved = places.copy()
        for j in np.unique(labels):
            moved[j] = points[labels == j].mean(axis=0)
        if np.allclose(moved, places):
            return [labels, moved]
        places = moved


def counts_by_set(labels):
    clusters = set(labels.tolist()) - {-1}
    return len(clusters), sum(label in clusters for label in labels.tolist()) / len(labels)


def counts_by_dictionary_of_k(ks, found, null):
    excess = {k: found[i] - sum(null[:, i]) / len(null) for i, k in enumerate(ks)}
    everything = np.vstack([found, null]) - null.mean(axis=0)
    return max(excess, key=excess.get), float(np.mean(everything.max(axis=1) >= max(excess.values())))


def with_the_data_in_the_mean(ks, found, null):
    """As the course's own `evaluate` does it."""
    everything = np.vstack([found, null])
    excess = everything - everything.mean(axis=0)
    return ks[excess[0].argmax()], np.mean(excess.max(axis=1) >= excess[0].max() - 1e-12)


def bar_by_bar(counts):
    return max(min(max(counts[: i + 1]), max(counts[i:])) - counts[i] for i in range(len(counts)))


def drop_by_drop(counts):
    level = [0] * len(counts)
    for height in range(1, max(counts) + 1):
        walls = [i for i, count in enumerate(counts) if count >= height]
        for i in range(walls[0], walls[-1] + 1):
            level[i] = height
    return max(a - b for a, b in zip(level, counts, strict=True))


def by_a_table(vectors, women, makers, two_centres, rng):
    made = set(makers)
    a, b = two_centres(np.array([v for v, w in zip(vectors, women, strict=True) if w in made]))
    way = (b - a) / np.linalg.norm(b - a) ** 2
    order = rng.permutation(len(women))
    answers = {w: float((vectors[i] - a) @ way) for i, w in zip(order, women[order], strict=True)}
    return [answers[w] for w in answers if w not in made]


def in_single_precision(vectors, women, makers, two_centres, rng):
    return positions_of_others(vectors, women, makers, two_centres, rng).astype(np.float32)


def by_draws_of_a_table(vectors, women, makers, two_centres, rng):
    table = pd.Series(women)
    rows = table[~table.isin(makers)].groupby(table).sample(1, random_state=rng).index
    return pd.Series(position(vectors[rows], *two_centres(vectors[table.isin(makers)])))


def with_a_mean_of_the_other_draws(ks, found, null):
    excess = found - null.mean(axis=0)
    largest = [(row - np.delete(null, i, 0).mean(axis=0)).max() for i, row in enumerate(null)]
    return ks[excess.argmax()], (1 + sum(each >= excess.max() for each in largest)) / (1 + len(null))


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("08.2", lambda labels: np.array([len(set(labels) - {-1}), np.mean(labels != -1)])),
        ("08.2", lambda labels: (len(set(labels) - {-1}), Fraction(int((labels >= 0).sum()), len(labels)))),
        ("08.3", with_a_mean_of_the_other_draws),
        ("08.5", in_single_precision),
        ("08.5", by_draws_of_a_table),
        ("08.1", plain_python),
        ("08.1", until_centres_rest),
        ("08.2", counts_by_set),
        ("08.2", lambda labels: [len(set(labels) - {-1}), np.mean(labels != -1)]),
        ("08.3", counts_by_dictionary_of_k),
        ("08.3", with_the_data_in_the_mean),
        ("08.4", bar_by_bar),
        ("08.4", drop_by_drop),
        ("08.5", by_a_table),
        ("08.5", positions_of_others),
        ("08.1", groups.kmeans),
        ("08.2", groups.count_clusters),
        ("08.3", groups.best_k),
        ("08.4", groups.deepest_puddle),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


def never_equal(points, centres):
    while True:
        labels = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.array([points[labels == j].mean(axis=0) for j in range(len(centres))])
        if (moved == centres).all():
            return labels, moved
        centres = moved


def ten_rounds(points, centres):
    return lesson._lloyd(np.asarray(points), np.asarray(centres), 10)


def one_number_for_all(points, centres):
    labels = cdist(points, centres).argmin(axis=1)
    return labels, np.full(len(centres), points.mean())


def all_to_the_middle(points, centres):
    return np.zeros(len(points), int), np.array([points.mean(axis=0)] * len(centres))


def by_city_blocks(points, centres):
    for _ in range(80):
        labels = np.abs(points[:, None] - centres).sum(axis=2).argmin(axis=1)
        centres = np.array(
            [points[labels == j].mean(axis=0) if (labels == j).any() else c for j, c in enumerate(centres)]
        )
    return labels, centres


def starts_itself(points, centres):
    model = KMeans(len(centres), n_init=10, random_state=0).fit(np.asarray(points))
    return model.labels_, model.cluster_centers_


def p_of_the_silhouette(ks, found, null):
    place = (found - null.mean(axis=0)).argmax()
    return ks[place], (1 + (null.max(axis=1) >= found.max()).sum()) / (1 + len(null))


def counts_the_data_below_alone(ks, found, null):
    k, p = groups.best_k(ks, found, null)
    return k, p - 1 / (1 + len(null))


def asks_with_luck_of_its_own(vectors, women, makers, two_centres, rng):
    return positions_of_others(vectors, women, makers, two_centres, np.random.default_rng())


def asks_some(vectors, women, makers, two_centres, rng):
    return positions_of_others(vectors, women, makers, two_centres, rng)[:4]


def leaves_the_length_out(vectors, women, makers, two_centres, rng):
    first, second = two_centres(vectors[np.isin(women, makers)])
    rows = [rng.choice(np.flatnonzero(women == woman)) for woman in np.setdiff1d(women, makers)]
    return (vectors[rows] - first) @ (second - first)


def gives_vectors(vectors, women, makers, two_centres, rng):
    two_centres(vectors[np.isin(women, makers)])
    return vectors[[rng.choice(np.flatnonzero(women == w)) for w in np.setdiff1d(women, makers)]]


def lets_the_others_make(vectors, women, makers, two_centres, rng):
    return positions_of_others(vectors, women, np.setdiff1d(women, makers), two_centres, rng)


def one_image_of_each_maker(vectors, women, makers, two_centres, rng):
    rows = [rng.choice(np.flatnonzero(women == woman)) for woman in makers]
    return position(vectors[rows], *two_centres(vectors[rows]))


def numbers_them_by_their_place(points, centres):
    labels, centres = lesson._lloyd(np.asarray(points), np.asarray(centres))
    order = centres[:, 0].argsort()
    return order.argsort()[labels], centres[order]


def one_mean_for_all_columns(points, centres):
    centres = np.array(centres)
    for _ in range(20):
        labels = cdist(points, centres).argmin(axis=1)
        for j in np.unique(labels):
            centres[j] = points[labels == j].mean()
    return labels, centres


def takes_one_off_always(labels):
    return len(set(labels)) - 1, np.mean(labels >= 0)


def clusters_by_images(labels):
    number = len(set(labels) - {-1})
    return number, number / len(labels)


def sorts_what_it_was_given(labels):
    labels.sort()
    return len(set(labels) - {-1}), np.mean(labels >= 0)


def choose_by(excess):
    def best_k(ks, found, null):
        largest = (null - null.mean(axis=0)).max(axis=1)
        data = (found - null.mean(axis=0)).max()
        return ks[excess(found, null).argmax()], (1 + (largest >= data).sum()) / (1 + len(null))

    return best_k


def only_larger_counts(ks, found, null):
    excess, largest = found - null.mean(axis=0), (null - null.mean(axis=0)).max(axis=1)
    return ks[excess.argmax()], (1 + (largest > excess.max()).sum()) / (1 + len(null))


def subtracts_in_place(ks, found, null):
    expected = null.mean(axis=0)
    found -= expected
    null -= expected
    return ks[found.argmax()], (1 + (null.max(axis=1) >= found.max()).sum()) / (1 + len(null))


def between_the_two_highest(counts):
    one, other = sorted(np.argsort(counts, kind="stable")[-2:])
    return min(counts[one], counts[other]) - counts[one : other + 1].min()


def empties_the_bars(counts):
    depth = bar_by_bar(counts)
    counts[:] = 0
    return depth


def gives_rows(vectors, women, makers, two_centres, rng):
    two_centres(vectors[np.isin(women, makers)])
    return [rng.choice(np.flatnonzero(women == woman)) for woman in np.setdiff1d(women, makers)]


def gives_names(vectors, women, makers, two_centres, rng):
    two_centres(vectors[np.isin(women, makers)])
    return np.setdiff1d(women, makers)


def moves_the_origin(vectors, women, makers, two_centres, rng):
    answers = positions_of_others(vectors, women, makers, two_centres, rng)
    vectors -= vectors.mean(axis=0)
    return answers


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("08.1", numbers_them_by_their_place, "the groups are right, and their numbers are not"),
        ("08.1", one_mean_for_all_columns, "the same number in every column"),
        ("08.1", lambda points, centres: (plain_python(points, centres)[0], None), "one of them is missing"),
        (
            "08.1",
            lambda points, centres: (
                np.add(plain_python(points, centres)[0], 1),
                until_centres_rest(points, centres)[1],
            ),
            "your labels begin at 1",
        ),
        ("08.2", takes_one_off_always, "nothing to take off"),
        ("08.2", clusters_by_images, "7 of 9 images are in a cluster"),
        ("08.2", sorts_what_it_was_given, "work on a copy"),
        ("08.2", lambda labels: counts_by_set(labels)[::-1], "changed places"),
        ("08.2", lambda labels: (counts_by_set(labels)[0], 100 * np.mean(labels >= 0)), "in percent"),
        ("08.2", lambda labels: np.unique(labels), "out came an array of shape (4,)"),
        ("08.3", choose_by(lambda found, null: (found - null.mean(0)) / null.std(0)), "should be 3"),
        (
            "08.3",
            choose_by(lambda found, null: found - np.median(null, 0)),
            "The draws without clusters reach",
        ),
        ("08.3", choose_by(lambda found, null: found - null.max(0)), "should be 3"),
        ("08.3", choose_by(lambda found, null: abs(found - null.mean(0))), "stand out least"),
        ("08.3", only_larger_counts, "as large as the data's counts, too"),
        ("08.3", subtracts_in_place, "work on a copy"),
        ("08.3", lambda ks, found, null: counts_by_dictionary_of_k(ks, found, null)[::-1], "changed places"),
        ("08.3", lambda ks, found, null: ((found - null.mean(0)).max(), 0.2), "the largest excess itself"),
        ("08.4", between_the_two_highest, "It should be 4"),
        ("08.4", empties_the_bars, "work on a copy"),
        ("08.4", lambda counts: int((lesson._water(counts) > 0).sum()), "So many bars are under water"),
        ("08.5", gives_rows, "labels or numbers of rows"),
        ("08.5", gives_names, "these are names"),
        ("08.5", moves_the_origin, "work on a copy"),
        ("08.1", never_equal, "your loop does not end"),
        ("08.1", ten_rounds, "too early, after about 10 rounds"),
        ("08.1", one_number_for_all, "out came (40,) and (3,)"),
        ("08.1", all_to_the_middle, "two centres lie in the same place"),
        ("08.1", by_city_blocks, "the labels are not where k-means ends"),
        ("08.1", starts_itself, "k-means could end here"),
        ("08.1", lambda points, centres: (points.argmin(axis=0), centres), "make labels (40,)"),
        ("08.1", lambda points, centres: cdist(points, centres).argmin(axis=1), "two things are needed"),
        (
            "08.1",
            lambda points, centres: (lesson._lloyd(np.asarray(points), np.asarray(centres))[0], centres),
            "still the ones that you started from",
        ),
        ("08.2", lambda labels: len(set(labels) - {-1}), "two things are needed"),
        ("08.2", lambda labels: (labels.max(), np.mean(labels >= 0)), "Cluster 0 is one of them"),
        ("08.2", lambda labels: (len(set(labels) - {-1}), (labels >= 0).sum()), "divide by how many"),
        ("08.2", lambda labels: (len(labels), 1.0), "how many different labels are there"),
        ("08.3", lambda ks, found, null: ks[0], "two things are needed"),
        ("08.3", lambda ks, found, null: (ks[(found - null.mean(0)).argmin()], 0.1), "stand out least"),
        ("08.3", p_of_the_silhouette, "and it should be"),
        ("08.4", lambda counts: int(counts.max() - counts.min()), "the *lower* of its two walls"),
        ("08.4", lambda counts: int(counts.argmin()), "the number of the bar"),
        ("08.4", lambda counts: counts * 0, "should be one number"),
        ("08.3", counts_the_data_below_alone, "count them in, above and below"),
        ("08.4", lambda counts: counts[lesson._water(counts).argmax()], "It should be 5"),
        ("08.5", lambda *given: dict(enumerate(positions_of_others(*given))), "out came a dict"),
        ("08.5", lambda *given: iter(positions_of_others(*given)), "an array of positions is needed"),
        ("08.5", asks_with_luck_of_its_own, "the same generator gave two different answers"),
        ("08.5", asks_some, "you asked 4 of them"),
        ("08.5", leaves_the_length_out, "these are not the positions of images"),
        ("08.5", gives_vectors, "out came (6, 5)"),
        ("08.5", lets_the_others_make, "the others have made the clusters"),
        ("08.5", one_image_of_each_maker, "the clusters were made of 6 images"),
        ("08.5", lambda vectors, women, makers, two_centres, rng: [0, 1], "was never called"),
    ],
)
def test_a_rarer_mistake_is_named_too(number, answer, says):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text, verdict.text


def test_the_check_of_kmeans_agrees_with_scikit_learn():
    for points, start in (lesson._blobs(), lesson._slow()):
        labels, centres = lesson._lloyd(points, start)
        model = KMeans(len(start), init=start, n_init=1, tol=0).fit(points)
        assert np.array_equal(labels, model.labels_)
        assert np.allclose(centres, model.cluster_centers_)


def test_no_point_of_the_check_is_about_as_far_from_two_centres():
    """Or a right answer that rounds differently would be called wrong."""
    for points, start in (lesson._blobs(), lesson._slow(), lesson._lonely()):
        for rounds in range(15):
            nearest = np.sort(cdist(points, lesson._lloyd(points, start, rounds)[1]), axis=1)
            assert (nearest[:, 1] - nearest[:, 0]).min() > 1e-9


def test_the_best_silhouette_the_right_k_and_its_place_differ():
    """Or one of the three mistakes would pass by luck, or get another's message."""
    for ks, found, null in lesson._STANDS_OUT[:2]:
        place = (found - null.mean(axis=0)).argmax()
        assert len({ks[found.argmax()], ks[place], place}) == 3


def test_the_image_of_a_woman_is_told_from_any_other_in_single_precision():
    vectors, women = lesson._women()
    places = position(vectors, *lesson._centres_of(vectors[np.isin(women, lesson._MAKERS)]))
    assert np.diff(np.sort(places)).min() > 10 * lesson._NEAR


def test_no_solution_stands_in_the_module_of_the_exercises():
    functions = {name: value for name, value in vars(lesson).items() if inspect.isfunction(value)}
    own = {name: value for name, value in functions.items() if value.__module__ == lesson.__name__}
    right = [
        (each.id, name)
        for each in lesson.EXERCISES
        for name, function in own.items()
        if each.judge(function).state == "right"
    ]
    assert right == [("08.1", "_lloyd")]  # what the check compares with


def test_nobody_is_asked_twice_nor_any_maker_and_a_draw_can_be_repeated():
    vectors, women = lesson._women()
    row_of = {tuple(vector): row for row, vector in enumerate(vectors)}
    asked = []

    def two_centres(rows):
        asked.append({women[row_of[tuple(row)]] for row in rows})
        return lesson._centres_of(rows)

    draws = [
        positions_of_others(vectors, women, lesson._MAKERS, two_centres, np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    assert asked[0] == set(lesson._MAKERS)
    assert draws[0].shape == (6,)
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_the_makers_stand_around_the_two_centres_that_they_make():
    vectors, women = lesson._women()
    theirs = vectors[np.isin(women, lesson._MAKERS)]
    places = positions_of_makers(vectors, women, lesson._MAKERS, lesson._centres_of)
    assert np.allclose(places, position(theirs, *lesson._centres_of(theirs)))


def test_the_draws_exceed_their_own_mean_by_nothing_on_average():
    _, found, null = lesson._STANDS_OUT[0]
    assert np.allclose(groups.excess(null, null).mean(axis=0), 0)
    assert np.allclose(groups.excess(found, null), found - np.mean(null, axis=0))
