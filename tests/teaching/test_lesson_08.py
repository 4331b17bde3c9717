"""Exercises of lesson 08: other right answers, rarer mistakes, and loops that would never end."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from course_utils.teaching import exercise
from course_utils.teaching.exercises import lesson_08 as lesson


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


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("08.1", plain_python),
        ("08.1", until_centres_rest),
        ("08.2", counts_by_set),
        ("08.2", lambda labels: [len(set(labels) - {-1}), np.mean(labels != -1)]),
        ("08.3", counts_by_dictionary_of_k),
        ("08.3", with_the_data_in_the_mean),
        ("08.4", bar_by_bar),
        ("08.4", drop_by_drop),
        ("08.5", by_a_table),
        ("08.5", lesson.library_ask_others),
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


def asks_with_luck_of_its_own(vectors, women, makers, two_centres, rng):
    return lesson.library_ask_others(vectors, women, makers, two_centres, np.random.default_rng())


def asks_some(vectors, women, makers, two_centres, rng):
    return lesson.library_ask_others(vectors, women, makers, two_centres, rng)[:4]


def leaves_the_length_out(vectors, women, makers, two_centres, rng):
    first, second = two_centres(vectors[np.isin(women, makers)])
    rows = [rng.choice(np.flatnonzero(women == woman)) for woman in np.setdiff1d(women, makers)]
    return (vectors[rows] - first) @ (second - first)


def gives_vectors(vectors, women, makers, two_centres, rng):
    two_centres(vectors[np.isin(women, makers)])
    return vectors[[rng.choice(np.flatnonzero(women == w)) for w in np.setdiff1d(women, makers)]]


def lets_the_others_make(vectors, women, makers, two_centres, rng):
    return lesson.library_ask_others(vectors, women, np.setdiff1d(women, makers), two_centres, rng)


def one_image_of_each_maker(vectors, women, makers, two_centres, rng):
    rows = [rng.choice(np.flatnonzero(women == woman)) for woman in makers]
    return lesson._position(vectors[rows], *two_centres(vectors[rows]))


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("08.1", never_equal, "your loop does not end"),
        ("08.1", ten_rounds, "too early, after about 10 rounds"),
        ("08.1", one_number_for_all, "out came (40,) and (3,)"),
        ("08.1", all_to_the_middle, "two centres lie in the same place"),
        ("08.1", by_city_blocks, "the labels are not where k-means ends"),
        ("08.1", starts_itself, "the labels are not where k-means ends"),
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
        ("08.4", lambda counts: int(counts.argmin()), "It should be"),
        ("08.4", lambda counts: counts * 0, "should be one number"),
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
