import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from course_utils.analysis import AnalysisError, Stability, stability
from course_utils.analysis.resampling import _adjusted_rand

WOMAN = np.repeat(np.arange(30), 4)


def noise(seed: int = 0, dims: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((120, dims))


def blobs() -> np.ndarray:
    return np.eye(10)[np.arange(120) % 3] * 12 + noise()


def test_clusters_that_are_there_come_back_and_more_often_than_in_clouds():
    found = stability(blobs(), groups=WOMAN, k=3, runs=4)
    assert found.mean > 0.99
    assert (found.p_value, found.k, found.women, found.unit) == (0.05, 3, 30, "women")
    assert len(found.agreement) == 6
    assert found.sentence.startswith(
        "More stable than a cloud without clusters: from one 80% of the 30 women"
    )
    assert "which is more than in 19 of 19 Gaussian clouds" in found.sentence


def test_a_cloud_is_no_more_stable_than_clouds_however_stable_it_is():
    egg = noise() * np.where(np.arange(10) == 0, 8, 1)
    found = stability(egg, k=2, runs=4)
    assert found.mean > 0.7
    assert found.p_value > 0.05
    assert (found.women, found.unit) == (120, "images")
    assert found.sentence.startswith("No more stable than a cloud without clusters")


@pytest.mark.parametrize("method", ["gmm", "ward", "hdbscan"])
def test_every_method_can_be_asked(method):
    k = "auto" if method == "hdbscan" else 3
    found = stability(blobs(), method, groups=WOMAN, k=k, runs=2, draws=1)
    assert (found.method, found.k) == (method, 3)
    assert found.mean > 0.95


def test_runs_see_whole_women_and_the_share_of_them_that_was_asked_for(monkeypatch):
    from course_utils.analysis import resampling

    seen = []

    def spy(points, *rest):
        seen.append(points[:, 0])
        return fit(points, *rest)

    fit = resampling.fit
    monkeypatch.setattr(resampling, "fit", spy)
    rows = np.arange(120.0)[:, None] + np.zeros((120, 2))
    rows[:, 1] = rows[:, 0] % 7
    stability(rows, groups=WOMAN, k=2, runs=3, share=0.5, draws=1)
    order = np.argsort(np.unique(np.concatenate(seen[:3])))
    assert [len(each) for each in seen] == [60] * 6
    for each in seen[:3]:
        where = np.flatnonzero(np.isin(resampling.pca_space(rows, {})[0][:, 0], each))
        assert np.bincount(WOMAN[where], minlength=30).tolist().count(4) == 15
    assert len(order) > 60  # not the same women each time


def test_the_index_is_that_of_scikit_learn_on_what_both_runs_put_in_a_cluster():
    rng = np.random.default_rng(0)
    a, b = rng.integers(-1, 3, 50), rng.integers(-1, 3, 50)
    both = (a >= 0) & (b >= 0)
    assert _adjusted_rand(a, b) == adjusted_rand_score(a[both], b[both])
    assert _adjusted_rand(a, np.full(50, -1)) == 0


def test_the_p_value_counts_the_data_among_the_clouds():
    found = Stability("kmeans", 2, 0.8, 3, 30, "women", (0.5, 0.7), (0.1, 0.6, 0.9, 0.2), 0)
    assert found.mean == pytest.approx(0.6)
    assert found.p_value == 3 / 5
    assert found.to_dict()["null"] == [0.1, 0.6, 0.9, 0.2]


def test_the_same_seed_gives_the_same_stability():
    asked = {"groups": WOMAN, "k": 2, "runs": 3, "draws": 2}
    assert stability(noise(), seed=4, **asked) == stability(noise(), seed=4, **asked)
    assert stability(noise(), seed=4, **asked) != stability(noise(), seed=5, **asked)


@pytest.mark.parametrize("wrong", [{"runs": 1}, {"share": 0}, {"share": 1}, {"share": 0.01}, {"draws": 0}])
def test_what_compares_nothing_is_refused(wrong):
    with pytest.raises(AnalysisError, match="stability compares at least two runs on at least two women"):
        stability(noise(), groups=WOMAN, k=2, **wrong)


def test_more_clusters_than_images_in_a_subsample_are_refused():
    data = np.random.default_rng(0).standard_normal((30, 4))
    with pytest.raises(AnalysisError, match="k=25: 80% of the women may have no more than 24 images"):
        stability(data, k=25)
