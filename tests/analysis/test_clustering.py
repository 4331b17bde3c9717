"""Every method finds clusters and numbers them alike; noise is none; members are who they should be."""

import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from course_utils.analysis import AnalysisError, cluster
from course_utils.analysis.clustering import medoids, nearest_to_centre, outliers, pca_space
from course_utils.analysis.fitting import fit
from course_utils.analysis.reduction import gaussian_scores


def blobs(
    sizes=(14, 10, 6), d: int = 40, apart: float = 10.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat(np.arange(len(sizes)), sizes)
    noise = np.random.default_rng(seed).standard_normal((len(truth), d))
    return np.eye(d)[truth] * apart + noise, truth


def test_well_separated_groups_are_found_and_so_is_their_number():
    data, truth = blobs()
    found = cluster(data)
    assert found.params["k"] == 3
    assert found.params["k_asked"] == "auto"
    assert adjusted_rand_score(truth, found.labels) == 1
    assert found.probabilities is None


def test_clusters_are_numbered_by_falling_size_then_by_first_member():
    data, truth = blobs(sizes=(6, 10, 14))
    assert np.array_equal(cluster(data, k=3).labels, 2 - truth)
    data, truth = blobs(sizes=(8, 8, 8))
    assert np.array_equal(cluster(data, k=3, seed=5).labels, truth)


def test_the_same_seed_gives_the_same_labels_and_the_order_of_rows_does_not_matter():
    data, _ = blobs(apart=7.0)
    order = np.random.default_rng(1).permutation(len(data))
    assert np.array_equal(cluster(data, k=3, seed=4).labels, cluster(data, k=3, seed=4).labels)
    assert adjusted_rand_score(cluster(data, k=3).labels[order], cluster(data[order], k=3).labels) == 1


def test_what_was_used_is_recorded_and_fits_into_json():
    data, _ = blobs()
    plain = json.loads(json.dumps(cluster(data, seed=9).to_dict()))
    assert plain["seed"] == 9
    assert plain["method"] == "kmeans"
    assert plain["params"]["dims"] == 29
    assert plain["params"]["k_searched"] == list(range(2, 11))
    assert cluster(data, k=2, dims=5).params == {"k": 2, "dims": 5, "n_init": 10, "standardise": False}


@pytest.mark.parametrize("n", [3, 4, 5])
def test_a_handful_of_vectors_can_be_clustered(n):
    assert cluster(np.random.default_rng(0).standard_normal((n, 50))).labels.shape == (n,)


def test_one_cluster_and_as_many_as_vectors_are_allowed_if_asked_for():
    data = np.random.default_rng(0).standard_normal((4, 50))
    assert np.array_equal(cluster(data, k=1).labels, [0, 0, 0, 0])
    assert np.array_equal(cluster(data, k=4).labels, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"k": 31}, "k=31 clusters from 30 vectors: k can be at most 30"),
        ({"k": 0}, "whole number from 1, or"),
        ({"k": "three"}, "whole number from 1, or"),
        ({"n_init": 0}, "number of starts"),
        ({"method": "gmm", "covariance": "spherical"}, "none of a mixture's: full, tied, diag"),
        ({"method": "hdbscan", "k": 3}, "HDBSCAN finds the number of clusters itself"),
        ({"method": "hdbscan", "min_cluster_size": 31}, "a whole number from 2 to 30"),
        ({"method": "hdbscan", "min_cluster_size": 1}, "a whole number from 2 to 30"),
        ({"method": "ward", "k": 31}, "k can be at most 30"),
        ({"dims": 30}, "between 1 and 29 dimensions"),
    ],
)
def test_a_parameter_that_makes_no_sense_gets_a_sentence_of_its_own(params, sentence):
    with pytest.raises(AnalysisError, match=sentence):
        cluster(blobs()[0], **params)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None, True])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(AnalysisError, match="a seed is a whole number from 0 to 4294967295"):
        cluster(blobs()[0], k=3, seed=seed)


def test_the_largest_seed_is_taken():
    data, truth = blobs()
    assert np.array_equal(cluster(data, seed=2**32 - 1).labels, truth)


def test_vectors_that_cannot_be_clustered_get_a_sentence_of_their_own():
    with pytest.raises(AnalysisError, match="identical"):
        cluster(np.ones((5, 3)))
    data = blobs()[0]
    for method in ("kmeans", "gmm", "ward", "hdbscan"):
        with pytest.raises(AnalysisError, match="too large to be squared"):
            cluster(data * 1e200, method)
        with pytest.raises(AnalysisError, match="too small to be squared"):
            cluster(data * 1e-200, method)
    with pytest.raises(AnalysisError, match="2 vectors of 1 number have 1 dimension "):
        cluster([[0.0], [1.0]], k=2, dims=2)
    with pytest.raises(AnalysisError, match="need 3 vectors; got 2"):
        cluster(np.eye(2))
    with pytest.raises(AnalysisError, match="only 2 of 6 vectors differ"):
        cluster(np.repeat(np.eye(2), 3, axis=0), k=3)
    with pytest.raises(AnalysisError, match="no method 'dbscan'; available: kmeans, gmm, ward, hdbscan"):
        cluster(np.eye(5), "dbscan")


def test_a_gaussian_cloud_has_exactly_the_scatter_asked_for():
    singular = np.array([5.0, 2.0, 0.5])
    cloud = gaussian_scores(singular, 12, np.random.default_rng(0))
    np.testing.assert_allclose(cloud.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(cloud.T @ cloud, np.diag(singular**2), atol=1e-10)


def test_prototypes_are_the_members_nearest_their_mean():
    data, truth = blobs(sizes=(9, 7))
    nearest = nearest_to_centre(data, truth, count=4)
    for label, rows in nearest.items():
        distance = np.linalg.norm(data - data[truth == label].mean(axis=0), axis=1)
        members = np.flatnonzero(truth == label)
        assert rows.tolist() == members[np.argsort(distance[members])][:4].tolist()


METHODS = ("kmeans", "gmm", "ward", "hdbscan")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_separate_groups_and_numbers_them_alike(method):
    data, truth = blobs(sizes=(8, 14, 20))
    found = cluster(data, method)
    assert found.method == method
    assert found.params["k"] == 3
    assert np.array_equal(found.labels, 2 - truth)
    assert (found.choice is None) == (method == "hdbscan")
    json.dumps(found.to_dict())


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_result_by_every_method(method):
    data = np.random.default_rng(3).standard_normal((60, 20))
    one, two = (cluster(data, method, k="auto" if method == "hdbscan" else 3, seed=2) for _ in range(2))
    assert np.array_equal(one.labels, two.labels)
    assert one.params == two.params


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_gives_centres_and_puts_new_points_where_they_belong(method):
    data, truth = blobs(sizes=(40, 30, 20), d=5)
    space, _ = pca_space(data, {})
    found = fit(space, method, cluster(data, method, k="auto" if method == "hdbscan" else 3).params, seed=0)
    assert np.array_equal(found.labels, truth)
    for label in range(3):
        np.testing.assert_allclose(found.centres[label], space[truth == label].mean(axis=0))
    moved = space + np.random.default_rng(1).normal(0, 0.3, space.shape)
    assert np.array_equal(found.assign(moved[::-1]), truth[::-1])
    assert np.array_equal(found.assign(space), truth)


def test_ward_agrees_with_the_tree_of_scipy():
    from scipy.cluster.hierarchy import cut_tree, ward

    data = np.random.default_rng(0).standard_normal((50, 6))
    space, _ = pca_space(data, {})
    for k in (1, 2, 5, 50):
        assert adjusted_rand_score(cut_tree(ward(space), k)[:, 0], cluster(data, "ward", k=k).labels) == 1


def test_ward_gives_as_many_clusters_as_asked_for_where_two_joins_are_equally_high():
    square = np.array([[0.0, 0], [0, 1], [10, 0], [10, 1]])
    assert sorted(np.bincount(cluster(square, "ward", k=3).labels)) == [1, 1, 2]


def test_ward_gives_a_new_point_to_the_cluster_whose_sum_of_squares_grows_least():
    """Between a cluster of 20 and one of 1 a point goes to the small one, even if it is a little farther."""
    space = np.r_[np.tile([[-1.0, 0.01], [-1.0, -0.01]], (10, 1)), [[1.0, 0.0]]]
    found = fit(space, "ward", {"k": 2}, seed=0)
    sums = [20 / 21 * 0.9**2, 1 / 2 * 1.1**2]  # of squares, by which a point at -0.1 would make them grow
    assert found.assign(np.array([[-0.1, 0.0]])) == np.argmin(sums) == 1
    assert found.assign(np.array([[-0.5, 0.0]])) == 0


@pytest.mark.parametrize("covariance", ["full", "tied", "diag"])
def test_a_mixture_is_that_of_scikit_learn_with_a_hundredth_of_the_variance_as_floor(covariance):
    from sklearn.mixture import GaussianMixture

    data, _ = blobs(sizes=(60, 40), d=8, apart=4)
    found = cluster(data, "gmm", k=2, covariance=covariance, seed=3)
    space, _ = pca_space(data, {})
    model = GaussianMixture(
        2, covariance_type=covariance, reg_covar=0.01 * space.var(axis=0).mean(), n_init=3, random_state=3
    ).fit(space)
    assert adjusted_rand_score(model.predict(space), found.labels) == 1
    np.testing.assert_allclose(np.sort(found.probabilities), np.sort(model.predict_proba(space)), atol=1e-6)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert np.array_equal(found.probabilities.argmax(axis=1), found.labels)
    fitted = fit(space, "gmm", found.params, seed=3)
    assert (fitted.aic, fitted.bic) == pytest.approx((model.aic(space), model.bic(space)))
    # Akaike's and the Bayesian criterion charge 2 and log(100) for each parameter.
    parameters = 1 + 2 * 8 + {"full": 2 * 36, "tied": 36, "diag": 2 * 8}[covariance]
    assert fitted.bic - fitted.aic == pytest.approx(parameters * (np.log(100) - 2))


def test_the_columns_of_the_probabilities_are_numbered_like_the_clusters():
    data, _ = blobs(sizes=(8, 14, 20), d=5)
    space, _ = pca_space(data, {})
    for seed in range(4):  # each starts its components in another order
        found = fit(space, "gmm", {"k": 3, "n_init": 1, "covariance": "diag", "floor": 0.01}, seed)
        assert np.array_equal(found.probabilities.argmax(axis=1), found.labels)
        np.testing.assert_allclose(found.probabilities.sum(axis=0), [20, 14, 8], atol=0.1)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag"])
def test_a_mixture_does_not_collapse_where_there_are_more_dimensions_than_images(covariance):
    data = np.random.default_rng(0).standard_normal((16, 200))
    found = cluster(data, "gmm", k=4, covariance=covariance)
    assert np.isfinite(found.probabilities).all()
    repeated = np.repeat(np.random.default_rng(1).standard_normal((6, 30)), 5, axis=0)
    assert np.isfinite(cluster(repeated, "gmm", k=6, covariance=covariance).probabilities).all()


def test_a_component_that_is_most_probable_nowhere_keeps_its_column_and_its_mean(monkeypatch):
    from sklearn.mixture import GaussianMixture

    monkeypatch.setattr(GaussianMixture, "predict", lambda _, points: np.where(points[:, 0] > 0, 2, 1))
    space = np.random.default_rng(0).standard_normal((30, 2))
    found = fit(space, "gmm", {"k": 3, "n_init": 1, "covariance": "full", "floor": 0.01}, seed=0)
    assert set(found.labels) == {0, 1}
    assert found.centres.shape == (3, 2)
    assert found.probabilities.shape == (30, 3)
    assert np.array_equal(found.assign(space), found.labels)


def test_hdbscan_agrees_with_scikit_learn_and_leaves_noise_out_of_everything():
    from sklearn.cluster import HDBSCAN

    data, _ = blobs(sizes=(30, 20), d=4)
    data = np.r_[data, [[40.0, 40, 40, 40], [-40.0, 9, 9, 9]]]
    found = cluster(data, "hdbscan")
    assert found.params["min_cluster_size"] == found.params["min_samples"] == 5
    space, _ = pca_space(data, {})
    assert adjusted_rand_score(HDBSCAN(5, min_samples=5, copy=True).fit_predict(space), found.labels) == 1
    assert found.labels[-2:].tolist() == [-1, -1]
    assert found.params["k"] == 2
    assert sorted(nearest_to_centre(data, found.labels)) == sorted(medoids(data, found.labels)) == [0, 1]
    assert not set(outliers(data, found.labels, count=52)) & {50, 51}
    fitted = fit(space, "hdbscan", found.params, 0)
    np.testing.assert_allclose(fitted.centres[0], space[:30][found.labels[:30] == 0].mean(axis=0))
    assert np.array_equal(fitted.assign(space), found.labels)
    assert fitted.assign(space.mean(axis=0)[None] + 500).tolist() == [-1]


def test_hdbscan_assigns_as_if_the_point_had_been_there():
    """Beside the answer of HDBSCAN itself with the point among the others, for points of every kind."""
    from sklearn.cluster import HDBSCAN

    rng = np.random.default_rng(0)
    space = np.r_[rng.normal(0, 1, (150, 2)), rng.normal(8, 1.5, (150, 2))]
    params = {"min_cluster_size": 15, "min_samples": 10}
    found = fit(space, "hdbscan", params, 0)
    asked = rng.uniform(-4, 14, (60, 2))
    got = found.assign(asked)
    agree = []
    for point, label in zip(asked, got, strict=True):
        with_it = HDBSCAN(15, min_samples=10, copy=True).fit_predict(np.r_[space, point[None]])
        members = with_it[:-1] == with_it[-1]
        there = -1 if with_it[-1] == -1 else np.bincount(found.labels[members] + 1).argmax() - 1
        agree.append(there == label)
    assert set(got) == {-1, 0, 1}
    assert np.mean(agree) > 0.9


def test_hdbscan_may_find_nothing():
    data = np.random.default_rng(0).standard_normal((12, 30))
    found = cluster(data, "hdbscan", min_cluster_size=12)
    assert set(found.labels) == {-1}
    assert found.params["k"] == 0
    assert nearest_to_centre(data, found.labels) == medoids(data, found.labels) == {}
    assert outliers(data, found.labels).tolist() == []
    assert set(fit(pca_space(data, {})[0], "hdbscan", found.params, 0).assign(data[:, :11])) == {-1}


def test_a_smallest_cluster_of_hdbscan_is_a_twentieth_of_the_images_and_five_at_least():
    data = np.random.default_rng(0).standard_normal((140, 3))
    assert cluster(data, "hdbscan").params["min_cluster_size"] == 7
    assert cluster(data[:40], "hdbscan").params["min_cluster_size"] == 5
    assert cluster(data[:4], "hdbscan").params["min_cluster_size"] == 4
    used = cluster(data, "hdbscan", min_cluster_size=30).params
    assert (used["min_cluster_size"], used["min_samples"]) == (30, 10)


def test_a_medoid_has_the_smallest_mean_distance_to_the_other_members():
    from scipy.spatial.distance import cdist

    data, truth = blobs(sizes=(9, 7))
    data[0] += 30  # one wild member draws the mean, not the medoid
    for label, row in medoids(data, truth).items():
        members = np.flatnonzero(truth == label)
        assert row == members[cdist(data[members], data[members]).mean(axis=1).argmin()]


def test_outliers_are_farthest_from_their_mean_as_their_own_cluster_measures():
    """Two wide clusters and a tight one: the planted stray of the tight one comes first."""
    data, truth = blobs(sizes=(20, 20, 20), d=6)
    data[truth < 2] += np.random.default_rng(2).normal(0, 5, (40, 6))
    data[truth == 2] = np.random.default_rng(3).normal(0, 0.1, (20, 6)) + 30 * np.eye(6)[0]
    data[47] += 1.0
    found = outliers(data, truth, count=60)
    assert found[0] == 47
    far = np.empty(60)
    for label in range(3):
        of = data[truth == label]
        distance = np.linalg.norm(of - of.mean(axis=0), axis=1)
        far[truth == label] = distance / np.sqrt((distance**2).mean())
    assert found.tolist() == np.argsort(-far).tolist()
    assert outliers(data, truth).tolist() == found[:6].tolist()
    assert outliers(data, np.arange(60)).tolist() == []  # a cluster of one has no outlier


def test_members_are_sought_in_the_space_of_the_clustering():
    """Standardised, the last column no longer drowns the first."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((40, 3)) * [1, 1, 1000]
    one = np.zeros(40, int)
    scaled = (data - data.mean(axis=0)) / data.std(axis=0)
    want = np.argsort(np.linalg.norm(scaled, axis=1))[:5].tolist()
    params = cluster(data, k=2, standardise=True).params
    assert nearest_to_centre(data, one, count=5, params=params)[0].tolist() == want
    assert nearest_to_centre(data, one, count=5)[0].tolist() != want
    with pytest.raises(AnalysisError, match="39 labels for 40 vectors"):
        medoids(data, one[1:])


@pytest.mark.parametrize("members", [medoids, outliers, nearest_to_centre])
def test_labels_that_number_no_clusters_get_a_sentence(members):
    data, truth = blobs()
    with pytest.raises(AnalysisError, match=r"labels have shape \(30, 2\)"):
        members(data, np.column_stack([truth, truth]))
    with pytest.raises(AnalysisError, match="row 0 has no label"):
        members(data, np.where(truth == 0, np.nan, truth))
    with pytest.raises(AnalysisError, match="label 'a': clusters are numbered"):
        members(data, np.array(list("abc"))[truth])


def test_noise_is_none_of_the_clusters_whose_medoids_are_sought_in_labels_of_text_either():
    data, truth = blobs()
    assert medoids(data, (truth - 1).astype(str)) == medoids(data, truth - 1)
