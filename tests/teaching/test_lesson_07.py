"""Exercises of lesson 07: other right answers, rarer mistakes. And what the lesson says holds on any machine.

A t-SNE map differs from one processor to the next, so the lesson's figures are not compared to the digit.
Here its sentences are checked on maps of vectors whose rounding differs.
"""

import re
from pathlib import Path

import jupytext
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist, pdist, squareform
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_samples, silhouette_score
from sklearn.neighbors import NearestNeighbors

from course_utils.analysis import cluster, faithfulness, reduce
from course_utils.analysis.reduction import gaussian_scores, principal_components
from course_utils.imaging.datasets import sample_run
from course_utils.runs import Extraction
from course_utils.teaching import exercise, readings
from course_utils.teaching.exercises import lesson_07 as lesson

ROOT = Path(__file__).resolve().parents[2]

# --- The exercises


def by_scikit_learn(vectors, dims):
    model = PCA().fit(vectors)
    return model.transform(vectors)[:, :dims], model.explained_variance_ratio_[:dims]


def by_eigenvectors(vectors, dims):
    centred = vectors - vectors.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred)
    return [-centred @ directions[:, ::-1][:, :dims], list(values[::-1][:dims] / values.sum())]


def kept_by_sorted_loops(vectors, coordinates, k):
    count = 0
    for i in range(len(vectors)):
        others = [j for j in range(len(vectors)) if j != i]
        near, drawn = (
            {*sorted(others, key=lambda j: np.linalg.norm(points[i] - points[j]))[:k]}
            for points in (vectors, coordinates)
        )
        count += len(near & drawn)
    return count / k / len(vectors)


def kept_by_scikit_learn(vectors, coordinates, k):
    tables = [
        NearestNeighbors(n_neighbors=k).fit(points).kneighbors_graph().toarray()
        for points in (vectors, coordinates)
    ]
    return np.float32((tables[0] * tables[1]).sum() / tables[0].sum())


def gap_by_groups(vectors, coordinates, is_cc):
    groups = [vectors[is_cc], vectors[~is_cc]]
    squares = sum(((group - group.mean(0)) ** 2).sum() for group in groups)
    return np.linalg.norm(groups[0].mean(0) - groups[1].mean(0)) / (squares / len(vectors)) ** 0.5


def agreed_by_loops(maps, k):
    n = len(maps[0])
    near = [
        {(i, j) for i in range(n) for j in squareform(pdist(each))[i].argsort()[1 : k + 1]} for each in maps
    ]
    return [[(i, j) in set.intersection(*near) for j in range(n)] for i in range(n)]


def agreed_by_counting(maps, k):
    return sum(NearestNeighbors(n_neighbors=k).fit(each).kneighbors_graph() for each in maps) == len(maps)


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("07.1", by_scikit_learn),
        ("07.1", by_eigenvectors),
        ("07.2", kept_by_sorted_loops),
        ("07.2", kept_by_scikit_learn),
        ("07.3", gap_by_groups),
        ("07.4", lambda vectors, coordinates, labels: silhouette_score(vectors, labels)),
        ("07.4", lambda vectors, coordinates, labels: silhouette_samples(vectors, labels).mean()),
        ("07.5", agreed_by_loops),
        ("07.5", lambda maps, k: agreed_by_counting(maps, k).toarray()),
        ("07.1", readings.pca),
        ("07.2", readings.neighbours_kept),
        ("07.3", readings.gap),
        ("07.4", readings.silhouette),
        ("07.5", readings.always_neighbours),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(exercise_id, answer):
    verdict = exercise(exercise_id).judge(answer)
    assert verdict.state == "right", verdict.text


# --- Whatever form a right answer comes in, the lesson goes on with it

CELLS = [
    cell.source
    for cell in jupytext.read(ROOT / "notebooks" / "src" / "07_seeing_embeddings.py").cells
    if cell.cell_type == "code"
]


def run_cells(names, *starts):
    """Run the lesson's cells that hold these lines, with small data in place of the lesson's own."""
    for start in starts:
        (source,) = [cell for cell in CELLS if start in cell]
        exec(source, names)
    return names


@pytest.fixture
def names():
    """What the cells find: 24 vectors and three maps of them."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((24, 60)).astype(np.float32)
    names = {"np": np, "pd": pd, "vectors": vectors, "tsne": vectors[:, :2], "exercise": exercise}
    names["truth"] = pd.DataFrame({"view": ["CC", "MLO"] * 12})
    names["maps"] = dict.fromkeys(("PCA", "t-SNE", "UMAP"), vectors[:, :2])
    names["reduce"] = lambda points, *_: points[:, :2]
    return run_cells(names, "def one_number(")


@pytest.mark.parametrize("answer", [by_scikit_learn, by_eigenvectors], ids=["arrays", "lists"])
def test_the_lesson_goes_on_with_a_pca_in_any_form_that_is_right(names, capsys, answer):
    names["pca"] = answer
    run_cells(names, "scores, shares = (")
    assert names["scores"].shape == (24, 50 if answer is by_eigenvectors else 24)
    assert "the first 50 axes hold 100% of the variance" in capsys.readouterr().out


def test_the_lesson_goes_on_with_one_number_in_any_form_that_is_right(names, capsys):
    names["gap"] = lambda *given: np.array([[gap_by_groups(*given)]])
    names["silhouette"] = lambda vectors, _, labels: np.array([silhouette_score(vectors, labels)])
    names |= {"noise": names["vectors"], "off": names["vectors"], "pair": [names["tsne"]] * 2}
    names["cluster"] = cluster
    run_cells(names, 'print(f"in the vectors:', "cases = {")
    printed = capsys.readouterr().out
    assert printed.count("spreads") == 4
    assert len(re.findall(r"k = \d +-?\d\.\d\d +-?\d\.\d\d\n", printed)) == 5


@pytest.mark.parametrize(
    "answer",
    [agreed_by_loops, lambda maps, k: 1.0 * np.array(agreed_by_loops(maps, k))],
    ids=["lists", "floats"],
)
def test_the_lesson_goes_on_with_a_table_in_any_form_that_is_right(names, capsys, answer):
    names["always_neighbours"] = answer
    names |= {"starts": names["maps"], "another": lambda *_: names["tsne"]}
    run_cells(names, "five = [")
    assert capsys.readouterr().out.count("10.0 neighbours per image") == 3


def directions_alone(vectors, dims):
    return np.linalg.svd(vectors - vectors.mean(0))[2][:dims].T, by_scikit_learn(vectors, dims)[1]


def by_svd(matrix, dims):
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    return u[:, :dims] * s[:dims], s[:dims] ** 2 / (s**2).sum()


def by_vt(vectors):
    return np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)[2]


def small_to_large(vectors, dims):
    scores, shares = by_scikit_learn(vectors, dims)
    return scores[:, ::-1], shares[::-1]


def whitened(vectors, dims):
    return PCA(dims, whiten=True).fit_transform(vectors), by_scikit_learn(vectors, dims)[1]


def with_shares(change):
    return lambda vectors, dims: (by_scikit_learn(vectors, dims)[0], change(vectors, dims))


def kept_with_one_more(vectors, coordinates, k):
    near, drawn = (cdist(each, each).argsort(1)[:, : k + 1] for each in (vectors, coordinates))
    return np.mean([len({*a} & {*b}) / k for a, b in zip(near, drawn, strict=True)])


def kept_in_both_lists(vectors, coordinates, k):
    near, drawn = (cdist(each, each).argsort(1)[:, 1 : k + 1] for each in (vectors, coordinates))
    return np.mean([len({*a} & {*b}) / len({*a} | {*b}) for a, b in zip(near, drawn, strict=True)])


def kept_of(first, last):
    """Neighbours kept by answers that cut their sorted lists elsewhere: one list here, the other there."""

    def kept(vectors, coordinates, k):
        near = cdist(vectors, vectors).argsort(1)[:, first : k + first]
        drawn = cdist(coordinates, coordinates).argsort(1)[:, 1 : k + last]
        return np.mean([len({*a} & {*b}) / k for a, b in zip(near, drawn, strict=True)])

    return kept


def kept_of_one_fewer(vectors, coordinates, k):
    return kept_by_scikit_learn(vectors, coordinates, k - 1) * (k - 1) / k


def kept_of_the_full_lists(vectors, coordinates, k):
    near, drawn = (cdist(each, each).argsort(1)[:, 1 : k + 1] for each in (vectors, coordinates))
    return np.mean([{*a} == {*b} for a, b in zip(near, drawn, strict=True)])


def kept_by_sort(vectors, coordinates, k):
    near, drawn = (np.sort(cdist(each, each))[:, 1 : k + 1] for each in (vectors, coordinates))
    return np.mean([len({*a} & {*b}) / k for a, b in zip(near, drawn, strict=True)])


def kept_by_the_first_image(vectors, coordinates, k):
    near, drawn = (cdist(each, each)[0].argsort()[1 : k + 1] for each in (vectors, coordinates))
    return len({*near} & {*drawn}) / k


def kept_by_angle(vectors, coordinates, k):
    near = cdist(vectors, vectors, "cosine").argsort(1)[:, 1 : k + 1]
    drawn = cdist(coordinates, coordinates).argsort(1)[:, 1 : k + 1]
    return np.mean([len({*a} & {*b}) / k for a, b in zip(near, drawn, strict=True)])


def gap_with(spread):
    """A gap in units of another spread: a function of the vectors and the groups."""
    return lambda v, c, is_cc: np.linalg.norm(v[is_cc].mean(0) - v[~is_cc].mean(0)) / spread(v, is_cc)


def gap_of_both(vectors, coordinates, is_cc):
    return gap_from_the_map_undivided(vectors, coordinates, is_cc) * (
        gap_by_groups(vectors, coordinates, is_cc) / gap_from_the_map_undivided(vectors, vectors, is_cc)
    )


def own_spread(vectors, is_cc):
    return gap_from_the_map_undivided(vectors, vectors, is_cc) / gap_by_groups(vectors, vectors, is_cc)


def gap_between_swapped_centres(vectors, coordinates, is_cc):
    other = np.where(is_cc[:, None], vectors[~is_cc].mean(0), vectors[is_cc].mean(0))
    spread = np.sqrt(((vectors - other) ** 2).sum(1).mean())
    return gap_from_the_map_undivided(vectors, vectors, is_cc) / spread


def of_three_clusters(vectors, coordinates, labels):
    """Right as long as there are no more than three, which the lesson's noise has."""
    a, _, far = a_and_b(vectors, labels)
    means = np.stack([far[:, labels == each].mean(1) for each in range(3)], axis=1)
    means[np.arange(len(labels)), np.minimum(labels, 2)] = np.inf
    return index(a, means.min(1))


def a_and_b(vectors, labels):
    far, b = cdist(vectors, vectors), []
    a = [far[i, labels == own].sum() / ((labels == own).sum() - 1) for i, own in enumerate(labels)]
    for i, own in enumerate(labels):
        b.append([far[i, labels == other].mean() for other in {*labels} - {own}])
    return np.array(a), np.array(b), far


def index(a, b):
    return ((b - a) / np.maximum(a, b)).mean()


def silhouette_from(index):
    return lambda vectors, coordinates, labels: index(*a_and_b(vectors, labels)[:2])


def nearest_of_all_clusters(vectors, coordinates, labels):
    a, _, far = a_and_b(vectors, labels)
    return index(a, np.min([far[:, labels == each].mean(1) for each in np.unique(labels)], axis=0))


def nearest_image(vectors, coordinates, labels):
    a, _, far = a_and_b(vectors, labels)
    b = np.where(labels[:, None] == labels, np.inf, far).min(1)
    return ((b - a) / np.maximum(a, b)).mean()


def pooled_distances(maps, k):
    far = np.mean([cdist(each, each) for each in maps], axis=0)
    table = np.zeros(far.shape, bool)
    np.put_along_axis(table, far.argsort(1)[:, 1 : k + 1], True, axis=1)
    return table


def with_image_three(maps, k):
    table = np.array(agreed_by_loops(maps, k))
    table[3, 3] = True
    return table


def per_image(vectors, coordinates, k):
    return np.full(len(vectors), 0.5)


def summed(vectors, coordinates, labels):
    samples = silhouette_samples(vectors, labels)
    return np.mean([samples[labels == each].mean() for each in np.unique(labels)])


def on_the_map_and_per_cluster(vectors, coordinates, labels):
    return summed(coordinates, vectors, labels)


def gap_from_the_map_undivided(vectors, coordinates, is_cc):
    return np.linalg.norm(coordinates[is_cc].mean(0) - coordinates[~is_cc].mean(0))


def moves_the_map(maps, k):
    for each in maps:
        each -= each.mean(0)
    return agreed_by_loops(maps, k)


def struck_out_afterwards(maps, k):
    table = np.logical_and.reduce([lesson._neighbours(each, k, first=0) for each in maps])
    np.fill_diagonal(table, False)
    return table


@pytest.mark.parametrize(
    ("exercise_id", "answer", "says"),
    [
        ("07.1", lambda v, dims: by_scikit_learn(v, dims)[0], "two things are needed"),
        ("07.1", directions_alone, "the directions themselves are not the scores"),
        ("07.1", lambda v, dims: (by_scikit_learn(v, dims)[0].T, 0), "Rows are images"),
        ("07.1", lambda v, dims: (by_scikit_learn(v, dims)[0][:, :1], 0), "one row per image, not"),
        ("07.1", lambda v, dims: (*by_scikit_learn(v, dims), 1), "and out came 3"),
        ("07.1", lambda v, dims: by_scikit_learn(v, dims)[::-1], "the shares came first"),
        ("07.1", lambda v, dims: (by_scikit_learn(v, dims)[0], ...), "the shares are still missing"),
        ("07.1", lambda v, dims: (by_scikit_learn(v, dims)[0] * np.nan, 0), "NaN among the scores"),
        ("07.1", lambda v, dims: by_svd(v - v.mean(1, keepdims=True), dims), "its own mean"),
        ("07.1", lambda v, dims: by_svd(v - v.mean(), dims), "one mean from all numbers"),
        ("07.1", lambda v, dims: ((v - v.mean(0)) @ by_vt(v)[:, :dims], 0), "the directions are its *rows*"),
        ("07.1", lambda v, dims: (3 * by_scikit_learn(v, dims)[0], 0), "and their lengths are not"),
        ("07.1", small_to_large, "the first one should have the largest spread"),
        ("07.1", whitened, "divided by its spread"),
        ("07.1", lambda v, dims: (np.ones((len(v), dims)), 0), "are not those of the principal components"),
        ("07.1", with_shares(lambda v, dims: 100 * by_scikit_learn(v, dims)[1]), "those are percent"),
        ("07.1", with_shares(lambda v, dims: by_scikit_learn(v, dims)[1].cumsum()), "those before it"),
        ("07.1", with_shares(lambda v, dims: by_scikit_learn(v, dims)[1].sum()), "One share per axis"),
        ("07.1", with_shares(lambda v, dims: PCA(dims).fit(v).singular_values_), "the singular values"),
        (
            "07.1",
            with_shares(lambda v, dims: PCA().fit(v).explained_variance_ratio_[::-1][:dims]),
            "the shares of the *last* axes",
        ),
        (
            "07.1",
            with_shares(lambda v, dims: PCA(dims).fit(v).singular_values_ ** 2 / (v**2).sum()),
            "that were not centred",
        ),
        ("07.1", with_shares(lambda v, dims: PCA(dims).fit(v).explained_variance_), "variances, not shares"),
        ("07.1", with_shares(lambda v, dims: PCA().fit(v).explained_variance_ratio_), "the shares of *all*"),
        ("07.1", with_shares(lambda v, dims: np.zeros(dims)), "the scores are right, and the shares"),
        ("07.1", with_shares(lambda v, dims: (x for x in by_scikit_learn(v, dims)[1])), "not a generator"),
        ("07.1", lambda v, dims: (by_scikit_learn(v, dims + 1)[0][:, 1:], 0), "the first axis is missing"),
        ("07.1", lambda v, dims: (by_scikit_learn(v, dims)[0].round(1), 0), "Did you round them?"),
        ("07.2", kept_of_the_full_lists, "you counted the images that keep *all*"),
        (
            "07.2",
            lambda v, c, k: lesson._kept(v, c, k, first=2),
            "the nearest other of each image is missing",
        ),
        ("07.2", lambda v, c, k: 2 - kept_by_scikit_learn(v, c, k), "a share lies between 0 and 1"),
        (
            "07.3",
            gap_with(lambda v, is_cc: np.linalg.norm(v - v[is_cc].mean(0), axis=1)),
            "one number, the root",
        ),
        ("07.3", gap_between_swapped_centres, "the *other* group"),
        (
            "07.3",
            lambda v, c, is_cc: (v[is_cc].mean() - v[~is_cc].mean()) / own_spread(v, is_cc),
            "of the centres",
        ),
        ("07.3", lambda v, c, is_cc: gap_by_groups(v, c, is_cc) * (5 / 12) ** 0.5, "the numbers of a vector"),
        (
            "07.4",
            lambda v, c, labels: silhouette_score(v, labels, metric="sqeuclidean"),
            "*squared* distances",
        ),
        ("07.4", lambda v, c, labels: silhouette_samples(v, labels)[0], "within the loop"),
        ("07.4", of_three_clusters, "and it should be"),
        ("07.5", lambda maps, k: np.zeros((14, 14), bool), "nobody is near anybody"),
        ("07.5", lambda maps, k: {1, 2}, "Out came a set"),
        ("07.5", lambda maps, k: agreed_by_loops([maps.pop()], k), "has changed the list"),
        ("07.2", kept_with_one_more, "counted as a neighbour of itself"),
        (
            "07.2",
            lambda v, c, k: kept_with_one_more(v, c, k) * k / (k + 1),
            "counted as a neighbour of itself",
        ),
        ("07.2", kept_in_both_lists, "Divide by k"),
        ("07.2", lambda v, c, k: kept_by_scikit_learn(c, c, k), "or both from the map"),
        ("07.2", lambda v, c, k: 1 - kept_by_scikit_learn(v, c, k), "*lost*"),
        ("07.2", lambda v, c, k: len(v) * k * kept_by_scikit_learn(v, c, k), "the number of all neighbours"),
        ("07.2", lambda v, c, k: len(v) * kept_by_scikit_learn(v, c, k), "added up the shares"),
        ("07.2", lambda v, c, k: 100 * kept_by_scikit_learn(v, c, k), "percent"),
        ("07.2", lambda v, c, k: kept_by_scikit_learn(v, c, k) * k / len(v), "by the number of images"),
        ("07.2", lambda v, c, k: kept_by_scikit_learn(v, c, k - 1), "holds k - 1 of them"),
        ("07.2", kept_of_one_fewer, "holds k - 1 of them"),
        ("07.2", kept_of(0, 1), "one of your two lists"),
        ("07.2", kept_by_sort, "(`argsort`) or distances"),
        ("07.2", kept_by_the_first_image, "and it should be"),
        ("07.2", kept_by_angle, "and it should be"),
        ("07.2", per_image, "Take their mean"),
        ("07.2", lambda v, c, k: float("nan"), "NaN"),
        ("07.2", lambda v, c, k: "0.5", "one number is needed"),
        ("07.2", lambda v, c, k: 0.123, "and it should be"),
        ("07.3", gap_from_the_map_undivided, "measured on the map"),
        ("07.3", lambda v, c, is_cc: cdist(v[is_cc], v[~is_cc]).min(), "and it should be"),
        ("07.3", lambda v, c, is_cc: gap_by_groups(v, c, is_cc) / 2, "half of it is missing"),
        ("07.3", lambda v, c, is_cc: gap_by_groups(v, c, is_cc) ** 2, "both are squared still"),
        ("07.3", lambda v, c, is_cc: 1 / gap_by_groups(v, c, is_cc), "upside down"),
        ("07.3", gap_with(lambda v, is_cc: v.std()), "a single coordinate"),
        ("07.3", gap_with(lambda v, is_cc: v.std(axis=0).mean()), "a single coordinate"),
        ("07.3", gap_with(lambda v, is_cc: v[is_cc].var(axis=0).sum() ** 0.5), "one of the two groups"),
        ("07.3", lambda v, c, is_cc: gap_by_groups(v, c, is_cc) / len(v) ** 0.5, "grows with the number"),
        ("07.3", lambda v, c, is_cc: gap_by_groups(v, c, is_cc) * (10 / 12) ** 0.5, "not by fewer"),
        ("07.3", gap_of_both, "one of the two, gap or spread"),
        ("07.4", silhouette_from(lambda a, b: index(a, b.mean(1))), "is the mean over all other clusters"),
        ("07.4", nearest_of_all_clusters, "image's own"),
        ("07.4", silhouette_from(lambda a, b: ((b.min(1) - a) / b.min(1)).mean()), "the *larger*"),
        ("07.4", silhouette_from(lambda a, b: ((b.min(1) - a) / (a + b.min(1))).mean()), "the *larger*"),
        ("07.4", nearest_image, "to a single image"),
        ("07.4", lambda v, c, labels: silhouette_samples(v, labels).sum(), "added up the silhouettes"),
        ("07.4", lambda v, c, labels: np.median(silhouette_samples(v, labels)), "the median"),
        ("07.4", on_the_map_and_per_cluster, "on the *map*"),
        ("07.4", summed, "the mean of the clusters' means"),
        ("07.4", lambda v, c, labels: -silhouette_score(v, labels), "the sign is turned"),
        ("07.4", lambda v, c, labels: silhouette_samples(v, labels), "one per image"),
        ("07.5", agreed_by_counting, "Put `.toarray()` behind it"),
        ("07.5", lambda maps, k: [list(range(i)) for i in range(len(maps[0]))], "is not a table yet"),
        ("07.5", lambda maps, k: sum(1 * lesson._neighbours(each, k) for each in maps), "those are counts"),
        ("07.5", lambda maps, k: np.array(agreed_by_loops(maps, k)) / 2, "other things than True and False"),
        ("07.5", pooled_distances, "put the maps together first"),
        ("07.5", with_image_three, "image 3 is its own neighbour"),
        ("07.5", moves_the_map, "has changed the arrays"),
        ("07.5", struck_out_afterwards, "only k - 1 others are left"),
        ("07.5", lambda maps, k: lesson._neighbours(np.hstack(maps), k), "put the maps together first"),
        ("07.5", lambda maps, k: np.transpose(agreed_by_loops(maps, k)), "rows and columns are exchanged"),
        ("07.5", lambda maps, k: lesson._nearest(maps[0], k), "a table of shape (14, 14)"),
        ("07.5", lambda maps, k: np.eye(14)[::-1], "is among the 4 nearest of"),
    ],
)
def test_a_rarer_mistake_is_named_too(exercise_id, answer, says):
    verdict = exercise(exercise_id).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text


# --- What the lesson says

RUN = Extraction.read(sample_run())
TRUTH = pd.read_csv(sample_run() / "manifest.csv")
VECTORS = RUN.vectors
IS_CC = (TRUTH["view"] == "CC").to_numpy()
VIEW_MEAN = pd.DataFrame(VECTORS).groupby(TRUTH["view"]).transform("mean").to_numpy()
ROUNDINGS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def maps():
    """t-SNE of the vectors, as processors might draw it that round differently."""
    rngs = [np.random.default_rng(seed) for seed in ROUNDINGS]
    return [reduce(VECTORS * (1 + 1e-6 * rng.standard_normal(VECTORS.shape)), "tsne") for rng in rngs]


def gap(points):
    return gap_by_groups(points, None, IS_CC)


@pytest.mark.parametrize("which", ROUNDINGS)
def test_the_islands_are_the_views_and_lie_left_and_right_once_the_map_is_turned(maps, which):
    is_left = reduce(maps[which])[:, 0] < 0
    assert (is_left == IS_CC).all() or (is_left != IS_CC).all()
    assert pd.crosstab(is_left, TRUTH["density"]).to_numpy().tolist() == [[30] * 4] * 2


@pytest.mark.parametrize("which", ROUNDINGS)
def test_tsne_keeps_six_neighbours_of_ten_and_fewer_distances_than_pca(maps, which):
    drawn, flat = (faithfulness(VECTORS, points).kept for points in (maps[which], reduce(VECTORS)))
    assert 0.55 < drawn.neighbours < 0.67
    assert 0.34 < flat.neighbours < 0.38
    assert drawn.distances < 0.9 < 0.94 < flat.distances < 0.96
    assert 4 < gap(maps[which]) < 9


def test_a_millionth_turns_the_map(maps):
    moves = [np.linalg.norm(points - maps[0], axis=1).max() for points in maps[1:]]
    assert max(moves) > 10


def test_the_seed_of_tsne_is_not_used():
    assert np.array_equal(reduce(VECTORS, "tsne"), reduce(VECTORS, "tsne", seed=1))


@pytest.mark.parametrize(("times", "low", "high"), [(0, 0, 1.5), (4, 5, 10), (8, 5, 10)])
def test_the_gap_of_tsne_stays_where_the_true_one_grows(times, low, high):
    pulled = VECTORS + (times - 1) * (VIEW_MEAN - VECTORS.mean(axis=0))
    assert gap(pulled) == pytest.approx(1.411 * times, abs=0.01)
    assert gap(reduce(pulled)) == pytest.approx(2.8 * times, abs=0.1)
    assert low <= gap(reduce(pulled, "tsne")) < high


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("seed", [0, 1])
def test_noise_has_a_silhouette_on_a_map_and_hardly_one_in_the_vectors(method, seed):
    off = (VECTORS - VIEW_MEAN).astype(float)
    _, lengths = principal_components(off, 239)
    noise = gaussian_scores(lengths, len(off), np.random.default_rng(seed))
    drawn = reduce(noise, method)
    labels = cluster(drawn, k=4).labels
    assert silhouette_score(drawn, labels) > 0.31
    assert silhouette_score(noise, labels) < 0.08


def test_only_the_islands_keep_a_silhouette_in_the_vectors():
    assert silhouette_score(VECTORS, IS_CC) == pytest.approx(0.30, abs=0.01)
    off = VECTORS - VIEW_MEAN
    drawn = reduce(off, "tsne")
    labels = cluster(drawn, k=4).labels
    assert silhouette_score(drawn, labels) > 0.35
    assert silhouette_score(off, labels) < 0.12


def test_what_several_maps_agree_on_is_more_often_true():
    fifty = reduce(VECTORS, dims=50)
    settings = [(30, 0), (30, 1), (30, 2), (5, 0), (60, 0)]
    drawn = [TSNE(perplexity=p, init="random", random_state=s).fit_transform(fifty) for p, s in settings]
    tables = [lesson._neighbours(points, 10) for points in drawn]
    real = lesson._neighbours(VECTORS, 10)
    true = []
    for count in (1, 3, 5):
        agreed = np.logical_and.reduce(tables[:count])
        true.append(agreed[real].sum() / agreed.sum())
    assert true[0] < 0.67
    assert true[0] + 0.07 < true[1]
    assert true[1] + 0.03 < true[2]
    assert 3.5 < agreed.sum() / len(agreed) < 5.5
