import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from course_utils.analysis import AnalysisError, cluster
from course_utils.analysis.clustering import gaussian_scores, nearest_to_centre


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
        ({"clusters": 3}, "no parameter clusters; available: k, dims, n_init, standardise"),
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
    with pytest.raises(AnalysisError, match="need 3 vectors; got 2"):
        cluster(np.eye(2))
    with pytest.raises(AnalysisError, match="only 2 of 6 vectors differ"):
        cluster(np.repeat(np.eye(2), 3, axis=0), k=3)
    with pytest.raises(AnalysisError, match="no method 'dbscan'; available: kmeans"):
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


@pytest.mark.parametrize(
    ("deviation_at_the_best", "chosen"),
    [
        (0.05, 4),  # 0.25 - 0.05 = 0.20: no smaller k reaches it
        (0.07, 3),  # 0.25 - 0.07 = 0.18: k = 3 with 0.19 does
        (0.13, 3),  # 0.25 - 0.13 = 0.12: k = 2 with 0.10 does not
        (0.16, 2),  # 0.25 - 0.16 = 0.09: k = 2 does
    ],
)
def test_the_smallest_k_within_one_deviation_of_the_best_excess_is_chosen(
    monkeypatch, deviation_at_the_best, chosen
):
    """Silhouettes are scripted: ten clouds about 0.3, as far above it as below it, then the data."""
    excess = np.array([0.10, 0.19, 0.25, 0.24, 0.05])  # of k = 2 to 6
    deviations = np.array([0.3, 0.3, deviation_at_the_best, 0.3, 0.3])
    clouds = [0.3 + deviations * sign for sign in (1, -1) * 5]
    script = iter([*clouds, 0.3 + excess])
    monkeypatch.setattr("course_utils.analysis.clustering.silhouettes", lambda *_: next(script))
    data, _ = blobs(sizes=(4, 4, 4))
    params = cluster(data).params
    assert params["k_searched"] == [2, 3, 4, 5, 6]
    assert params["k_excess"] == pytest.approx(excess, abs=1e-6)
    assert params["k"] == chosen
