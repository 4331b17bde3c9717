"""What a map keeps is counted right, and stands beside what it would keep of noise."""

import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness

from course_utils.analysis import AnalysisError, reduce
from course_utils.analysis.map_quality import Faithfulness, Kept, faithfulness


def vectors(n: int = 60, d: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) * np.linspace(3, 0.5, d) + 5


@pytest.mark.parametrize("neighbours", [1, 5, 10, 29])
def test_trustworthiness_is_that_of_scikit_learn(neighbours):
    data = vectors()
    found = faithfulness(data, reduce(data), neighbours=neighbours)
    assert found.kept.trustworthiness == pytest.approx(
        trustworthiness(data, reduce(data).astype(float), n_neighbors=neighbours), abs=1e-9
    )


def test_neighbours_and_distances_are_what_they_say_worked_out_the_long_way():
    data = vectors()
    points = reduce(data).astype(float)
    found = faithfulness(data, points, neighbours=7).kept
    near = [np.argsort(cdist(m, m) + np.diag(np.full(60, np.inf)))[:, :7] for m in (data, points)]
    shares = [len(set(x) & set(y)) / 7 for x, y in zip(*near, strict=True)]
    assert 0.2 < found.neighbours < 0.8
    assert found.neighbours == pytest.approx(np.mean(shares))
    assert found.distances == pytest.approx(spearmanr(pdist(data), pdist(points)).statistic)


def test_a_map_that_is_the_vectors_keeps_everything_and_a_random_one_nothing():
    data = vectors(d=2)
    assert faithfulness(data, data * 7 - 3).kept == Kept(1.0, 1.0, pytest.approx(1.0))
    lost = faithfulness(data, np.random.default_rng(1).standard_normal((60, 2)))
    assert lost.kept.neighbours == pytest.approx(lost.chance, abs=0.06)
    assert lost.kept.trustworthiness == pytest.approx(0.5, abs=0.05)
    assert lost.kept.distances == pytest.approx(0, abs=0.1)
    assert lost.noise is None


def test_in_a_large_set_a_thousand_images_are_asked_about_all_others(monkeypatch):
    monkeypatch.setattr("course_utils.analysis.map_quality.MOST_ROWS", 150)
    data = vectors(300)
    points = reduce(data).astype(float)
    found = faithfulness(data, points, seed=3)
    assert (found.images, found.rows) == (300, 150)
    assert "(150 of 300 images asked)" in found.sentence
    assert found.kept.trustworthiness == pytest.approx(
        trustworthiness(data, points, n_neighbors=10), abs=0.01
    )
    assert found.kept == faithfulness(data, points, seed=3).kept != faithfulness(data, points, seed=4).kept
    monkeypatch.undo()
    whole = faithfulness(data, points)
    assert whole.rows == 300
    assert found.kept.neighbours == pytest.approx(whole.kept.neighbours, abs=0.03)
    assert found.kept.distances == pytest.approx(whole.kept.distances, abs=0.03)


def test_noise_has_the_covariance_of_the_vectors_and_goes_through_the_same_method():
    data, seen = vectors(), []

    def method(cloud):
        seen.append(cloud)
        return cloud[:, :2]

    found = faithfulness(data, reduce(data), method=method)
    (cloud,) = seen
    values = [np.linalg.eigvalsh(np.cov(each.T))[::-1] for each in (data, cloud)]
    np.testing.assert_allclose(*values, atol=1e-8)
    # Noise with the same spectrum: PCA keeps as much of it as of the vectors, which are Gaussian themselves.
    for name in ("neighbours", "trustworthiness", "distances"):
        assert getattr(found.noise, name) == pytest.approx(getattr(found.kept, name), abs=0.12)
    assert found.noise != found.kept
    by_name = faithfulness(data, reduce(data), method="pca")
    assert by_name.noise.distances == pytest.approx(found.noise.distances, abs=1e-6)
    assert faithfulness(data, reduce(data), method=method, seed=1).noise != found.noise


def test_a_method_given_by_name_makes_the_map_of_noise(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "course_utils.analysis.map_quality.reduce",
        lambda cloud, method, *, dims, seed: asked.append((method, dims, seed)) or cloud[:, :dims],
    )
    faithfulness(vectors(), np.eye(60)[:, :3], method="tsne", seed=5)
    assert asked == [("tsne", 3, 5)]


def test_there_are_never_more_neighbours_than_half_of_the_others():
    data = vectors(16)
    found = faithfulness(data, reduce(data))
    assert found.neighbours == 7
    assert found.chance == pytest.approx(7 / 15)
    assert found.kept.trustworthiness == pytest.approx(
        trustworthiness(data, reduce(data).astype(float), n_neighbors=7)
    )
    assert "7 nearest neighbours" in found.sentence
    few = faithfulness(vectors(4), np.eye(4)[:, :2])
    assert few.neighbours == 1
    assert "nearest neighbour (" in few.sentence


def test_points_that_all_lie_on_one_spot_have_no_order():
    assert faithfulness(vectors(8), np.zeros((8, 2))).kept.distances == 0


@pytest.mark.parametrize(
    ("near", "far", "words"),
    [
        (0.60, 0.95, "Read neighbours off it, and roughly distances"),
        (0.60, 0.80, "Read off it who is near whom, but not how far apart two groups are"),
        (0.40, 0.95, "Read large distances off it, but not who is next to whom"),
        (0.40, 0.80, "Read neither neighbours nor distances off it"),
    ],
)
def test_the_sentence_follows_from_the_figures(near, far, words):
    found = Faithfulness(Kept(near, 0.974, far), Kept(0.5, 0.9, 0.7), 10, 201, 201)
    assert found.sentence == (
        f"This map keeps {near:.0%} of each image's 10 nearest neighbours (by chance 5%, a map of noise "
        f"keeps 50%); trustworthiness 0.97 (0.90), rank correlation of distances {far:.2f} (0.70). {words}; "
        "noise makes islands too, so a gap on a map proves nothing."
    )
    alone = Faithfulness(Kept(near, 0.974, far), None, 10, 201, 201).figures
    assert alone.endswith(f"(by chance 5%); trustworthiness 0.97, rank correlation of distances {far:.2f}.")


def test_next_to_nothing_has_no_sign():
    found = Faithfulness(Kept(0.05, 0.5, -0.001), Kept(0.05, 0.5, -0.004), 10, 201, 201)
    assert "rank correlation of distances 0.00 (0.00)." in found.figures


def test_half_of_the_neighbours_is_little_where_chance_gives_nearly_as_many():
    assert "not who is next to whom" in Faithfulness(Kept(0.6, 0.9, 0.95), None, 7, 16, 16).advice


def test_it_survives_being_written_as_json():
    data = vectors(20)
    for method in ("pca", None):
        found = faithfulness(data, reduce(data), method=method)
        assert Faithfulness.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    "spoil", [{"kept": {}}, {"noise": {"neighbours": 1}}, {"neighbours": 20}, {"rows": 21}, {"rows": None}]
)
def test_something_else_is_not_taken_for_it(spoil):
    plain = faithfulness(vectors(20), reduce(vectors(20))).to_dict() | spoil
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        Faithfulness.from_dict(plain)


@pytest.mark.parametrize(
    ("map_", "options", "sentence"),
    [
        (np.zeros((9, 2)), {}, r"the map has shape \(9, 2\); needed is \(10, 2\)"),
        (np.zeros(10), {}, r"the map has shape \(10,\)"),
        ([["a", "b"]] * 10, {}, "not one table of numbers"),
        (np.full((10, 2), np.nan), {}, "NaN or infinity"),
        (np.eye(10)[:, :2], {"neighbours": 0}, "neighbours=0: it is a whole number from 1"),
        (np.eye(10)[:, :2], {"seed": -1}, "a seed is a whole number"),
        (np.eye(10)[:, :2], {"method": "mds"}, "no method 'mds'"),
        (np.eye(10)[:, :2], {"method": lambda cloud: cloud[1:]}, r"the map has shape \(9, 9\)"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(map_, options, sentence):
    with pytest.raises(AnalysisError, match=sentence):
        faithfulness(vectors(10), map_, **options)


def test_three_vectors_are_too_few():
    with pytest.raises(AnalysisError, match="got 3 vectors; at least 4"):
        faithfulness(vectors(3), np.eye(3)[:, :2])
