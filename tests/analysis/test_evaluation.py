import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from course_utils.analysis import AnalysisError, Evaluation, cluster, evaluate
from course_utils.analysis.fitting import fit
from course_utils.analysis.nulls import NOTHING, Null, gaussian_cloud, silhouette
from course_utils.analysis.reduction import reduce
from course_utils.runs import Extraction

COHORT = Path(__file__).parents[2] / "data_samples" / "vectors"


def noise(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def three_blobs(apart: float = 10.0, each: int = 10) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat([0, 1, 2], each)
    return np.eye(60)[truth] * apart + noise(3 * each, 60), truth


def alike(women: int, images: int = 4, dims: int = 20, common: float = 0.8, seed: int = 0) -> np.ndarray:
    """Return images without clusters; a woman's have the share `common` of their variance in common."""
    hers = noise(women, dims, seed)[np.repeat(np.arange(women), images)]
    return np.sqrt(common) * hers + np.sqrt(1 - common) * noise(women * images, dims, seed + 1000)


@functools.cache
def judged_blobs() -> Evaluation:
    data, _ = three_blobs(each=20)
    return evaluate(data, cluster(data, k=3), draws=1)


def cohort(women: int, images: int = 4) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the first images of the first women of the cohort that ships with the course."""
    vectors, known = Extraction.read(COHORT).vectors, pd.read_csv(COHORT / "manifest.csv")
    kept = known["woman"].isin(sorted(set(known["woman"]))[:women])
    kept &= known.groupby("woman").cumcount() < images
    return vectors[kept.to_numpy()], known[kept].reset_index(drop=True)


def test_the_indexes_are_those_of_scikit_learn_in_the_space_of_the_clusters():
    data = noise(50, 80)
    found = cluster(data, k=4, dims=3)
    space = reduce(data, dims=3)
    for labels in (found, found.labels):
        judged = evaluate(data, labels, draws=3)
        there = space if labels is found else reduce(data, dims=49)
        assert judged.silhouette == pytest.approx(silhouette_score(there, found.labels), abs=1e-5)
        expected = calinski_harabasz_score(there, found.labels)
        assert judged.indexes["calinski_harabasz"] == pytest.approx(expected, rel=1e-4)
        assert judged.indexes["davies_bouldin"] == pytest.approx(
            davies_bouldin_score(there, found.labels), rel=1e-4
        )


def test_pure_noise_with_an_impressive_silhouette_is_no_better_than_a_cloud():
    data = noise(100, 200, 1)
    judged = evaluate(data, cluster(data, k=4, dims=2))
    assert judged.silhouette > 0.28
    assert judged.conclusion == "no better than a cloud"
    assert judged.verdict.startswith("No better than a cloud without clusters. No valley lies between")


def test_noise_stays_noise_when_k_was_searched():
    data = noise(40, 100, 1)
    judged = evaluate(data, cluster(data, n_init=1), draws=19)
    assert judged.conclusion == "no better than a cloud"
    assert list(judged.curve) == list(range(2, 11))
    assert "Over k = 2 to 10, the silhouette rises at most" in judged.verdict


def test_correlated_columns_without_clusters_are_no_better_than_a_cloud():
    data = noise(60, 3, 5) @ noise(3, 100, 1) + 0.1 * noise(60, 100, 2)
    judged = evaluate(data, cluster(data, k=3))
    beaten = {null.name: null.beaten for null in judged.nulls}
    assert beaten == {"permuted": True, "gaussian": False}
    assert judged.conclusion == "no better than a cloud"


def test_well_separated_groups_are_separate_clusters():
    data, truth = three_blobs(each=25)
    judged = evaluate(data, cluster(data, k=3), metadata=pd.DataFrame({"class": truth}))
    assert judged.conclusion == "separate clusters"
    assert judged.verdict.startswith("Three clusters are separate (p ")
    assert judged.associations[0].ari == 1
    for null in judged.nulls:
        assert max(null.silhouettes[3]) < judged.silhouette
        assert (null.draws, null.p_value) == (29, 1 / 30)  # so far out that more would change nothing


def test_heavy_tails_are_more_than_a_gaussian_cloud_and_not_yet_clusters():
    rng = np.random.default_rng(0)
    data = noise(160, 20) / np.sqrt(rng.chisquare(2, (160, 1)) / 2)
    judged = evaluate(data, cluster(data, k=2))
    assert judged.conclusion == "more than a cloud"
    assert judged.verdict.startswith(
        "More than a Gaussian cloud, but not yet clusters. No valley lies between"
    )
    assert "Heavy tails or a bent cloud give that, too." in judged.verdict


def test_images_of_the_same_woman_are_no_cluster_and_without_groups_there_is_a_warning():
    data, woman = alike(40), np.repeat(np.arange(40), 4)
    found = cluster(data, k=4, n_init=2)
    judged = evaluate(data, found, groups=woman)
    assert judged.conclusion == "no better than a cloud"
    assert (judged.women, judged.unit, judged.warnings) == (40, "women", ())
    alone = evaluate(data, found, draws=3)
    assert (alone.women, alone.unit) == (160, "images")
    assert "say whose they are (groups)" in alone.warnings[0]
    assert evaluate(data[::4], cluster(data[::4], k=2), draws=3).warnings == ()


def test_the_view_of_the_cohort_is_found():
    vectors, known = cohort(60)
    judged = evaluate(
        vectors, cluster(vectors, k=2), metadata=known[["view", "vendor"]], groups=known["woman"]
    )
    assert judged.conclusion == "separate clusters"
    assert judged.verdict.startswith("Two clusters are separate (p ")
    assert judged.associations[0].column == "view"
    assert judged.associations[0].ari == 1


@pytest.mark.parametrize("women", [4, 8])
def test_few_women_get_the_same_verdict_whatever_the_seed(women):
    vectors, known = cohort(women, images=2)
    judged = [
        evaluate(
            vectors, cluster(vectors, k=2, seed=seed, n_init=2), groups=known["woman"], seed=seed, draws=4
        )
        for seed in range(10)
    ]
    few = f"{2 * women} images of {women} women say little about any others. "
    assert {each.conclusion for each in judged} == {"too few"}
    asked = f"{few}Whether the clusters are separate cannot be asked of fewer than 20 women (here {women})"
    assert all(each.verdict.startswith(asked) for each in judged)


def test_bare_labels_get_indexes_and_no_verdict():
    data, truth = three_blobs()
    names = np.array(["fatty", "scattered", "dense"])[truth]
    judged = evaluate(data, names)
    assert judged.conclusion == "not judged"
    assert judged.silhouette == pytest.approx(evaluate(data, cluster(data, k=3), draws=3).silhouette)
    assert (judged.nulls, judged.valley) == ((), None)
    assert "come without the method that made them" in judged.verdict


def test_noise_points_are_left_out_of_indexes_and_agreement():
    data, truth = three_blobs()
    labels = np.where(np.arange(30) % 10 == 0, -1, truth)
    judged = evaluate(data, labels, metadata=pd.DataFrame({"class": truth.astype(str)}))
    space = reduce(data, dims=29)[labels >= 0]
    assert (judged.rows, judged.k) == (27, 3)
    assert judged.silhouette == pytest.approx(silhouette_score(space, labels[labels >= 0]), abs=1e-5)
    assert judged.associations[0].images == 27


@pytest.mark.parametrize("method", ["gmm", "ward", "hdbscan"])
def test_the_nulls_run_the_method_of_the_labels(method, monkeypatch):
    used = []

    def spy(space, how, params, seed):
        used.append((how, params))
        return fit(space, how, params, seed)

    monkeypatch.setattr("course_utils.analysis.nulls.fit", spy)
    data, _ = three_blobs(each=20)
    found = cluster(data, method, k="auto" if method == "hdbscan" else 3, n_init=1)
    judged = evaluate(data, found, draws=3)
    assert {how for how, _ in used} == {method}
    if method == "gmm":
        assert all(params["covariance"] == "full" and params["k"] == 3 for _, params in used)
    assert all(NOTHING <= value <= 1 for null in judged.nulls for value in null.silhouettes[3])


@pytest.mark.parametrize(
    ("k", "sentence"), [(1, "all images are in one"), (2, "every image is a cluster of its own")]
)
def test_where_there_is_no_silhouette_there_is_a_sentence(k, sentence):
    judged = evaluate(noise(2, 10), cluster(noise(2, 10), k=k))
    assert judged.silhouette is None
    assert judged.conclusion == "nothing to judge"
    assert sentence in judged.verdict


def test_a_method_that_finds_nothing_but_noise_is_told_so():
    judged = evaluate(noise(20, 3), np.full(20, -1))
    assert judged.verdict == "There is nothing to judge: the method found no cluster."


def test_the_sentence_quotes_what_was_tested_and_never_contradicts_it(monkeypatch):
    """Small random runs; what the words say is compared with the numbers beside them."""
    monkeypatch.setattr("course_utils.analysis.validity._MOST_SPLITS", 20)
    monkeypatch.setattr("course_utils.analysis.nulls._FITS", 50)
    quoted = re.compile(
        r"silhouette, (\S+), is higher than in (\d+) of (\d+) Gaussian .*?"
        r"\(where it is (\S+) to (\S+); p = (\S+)\)"
    )
    rng = np.random.default_rng(0)
    heads = {
        "separate clusters": ("Two clusters", "Three clusters", "A valley separates", "Four clusters"),
        "more than a cloud": ("More than a Gaussian cloud, but not yet clusters. No valley",),
        "no better than a cloud": ("No better than a cloud without clusters. No valley",),
    }
    seen = set()
    for seed in range(30):
        n, k = int(rng.integers(20, 50)), int(rng.integers(2, 5))
        kind = seed % 3
        centres = np.eye(6)[rng.integers(0, k, n)] * (kind == 1) * rng.uniform(2, 15)
        tails = np.sqrt(rng.chisquare(2, (n, 1))) if kind == 2 else 1
        data = (noise(n, 6, seed) + centres) / tails
        judged = evaluate(data, cluster(data, k=k, seed=seed, n_init=1), draws=19, seed=seed)
        assert judged.verdict.startswith(heads[judged.conclusion])
        assert (judged.conclusion == "separate clusters") == (judged.valley.p_value <= 0.05)
        seen.add(judged.conclusion)
        value, higher, draws, low, high, p_value = quoted.search(judged.verdict).groups()
        gaussian = {null.name: null for null in judged.nulls}["gaussian"]
        drawn = gaussian.silhouettes[judged.k]
        assert int(higher) == sum(one < judged.silhouette for one in drawn) == int(draws) - gaussian.as_good
        assert (float(value), float(low), float(high)) == pytest.approx(
            (judged.silhouette, min(drawn), max(drawn)), abs=0.00501
        )
        assert float(p_value) == pytest.approx((1 + gaussian.as_good) / (1 + int(draws)), abs=0.0005)
        assert (float(p_value) <= 0.05) == gaussian.beaten
        if judged.conclusion == "more than a cloud":
            assert all(null.beaten for null in judged.nulls)
    assert seen == set(heads)


def test_more_draws_are_made_where_it_is_not_clear_on_which_side_p_lies():
    draws = []
    for seed in range(8):
        data = noise(24, 5, seed)
        draws += [null.draws for null in evaluate(data, cluster(data, k=2, n_init=1), draws=99).nulls]
    assert min(draws) < 30  # plainly no better
    assert max(draws) > 99
    assert all(each <= 999 for each in draws)


def test_the_same_seed_gives_the_same_evaluation_which_survives_json():
    data, truth = three_blobs()
    metadata = pd.DataFrame({"view": np.where(truth == 0, "CC", "MLO"), "age": np.arange(30) % 17 / 3})
    for labels in (cluster(data, n_init=1), truth, np.zeros(30, int)):
        first = evaluate(data, labels, metadata=metadata, seed=3, draws=4)
        assert first == evaluate(data, labels, metadata=metadata, seed=3, draws=4)
        assert Evaluation.from_dict(json.loads(json.dumps(first.to_dict()))) == first


@pytest.mark.parametrize(
    "change",
    [
        {"nulls": []},
        {"nulls": [5]},
        {"k": 7},
        {"k": 3.0},
        {"curve": None},
        {"surprise": 1},
        {"valley": None},
        {"valley": {}},
        {"silhouette": None},
        {"conclusion": "no better than a cloud"},
        {"conclusion": "surely"},
        {"verdict": None},
        {"associations": [{}]},
    ],
    ids=str,
)
def test_what_is_no_evaluation_is_refused(change):
    plain = judged_blobs().to_dict()
    assert Evaluation.from_dict(plain).conclusion == "separate clusters"
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        Evaluation.from_dict(plain | change)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(AnalysisError, match="a seed is a whole number from 0 to 4294967295"):
        evaluate(*three_blobs(), seed=seed)


def test_labels_metadata_and_groups_of_another_length_are_refused():
    data, truth = three_blobs()
    with pytest.raises(AnalysisError, match="29 labels for 30 vectors"):
        evaluate(data, truth[1:])
    with pytest.raises(AnalysisError, match="29 rows of metadata for 30 images"):
        evaluate(data, truth, metadata=pd.DataFrame({"view": ["CC"] * 29}))
    with pytest.raises(AnalysisError, match="29 groups for 30 vectors"):
        evaluate(data, truth, groups=range(29))


def test_large_sets_are_judged_on_a_sample(monkeypatch):
    monkeypatch.setattr("course_utils.analysis.evaluation.ROWS", 60)
    truth = np.repeat([0, 1, 2], 50)
    data = np.eye(20)[truth] * 8 + noise(150, 20)
    judged = evaluate(data, cluster(data, k=3), draws=3, groups=np.arange(150) // 2)
    assert (judged.rows, judged.k, judged.women) == (60, 3, 75)


def test_a_cloud_has_the_scatter_of_the_points_between_women_and_within_them():
    data, woman = alike(12, common=0.5), np.repeat(np.arange(12), 4)
    data = data - data.mean(axis=0)
    cloud = gaussian_cloud(data, woman)(np.random.default_rng(0))

    def parts(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = pd.DataFrame(points).groupby(woman).transform("mean").to_numpy()
        return means.T @ means, (points - means).T @ (points - means)

    for ours, given in zip(parts(cloud), parts(data), strict=True):
        assert ours == pytest.approx(given, abs=1e-8)
    plain = gaussian_cloud(data, None)(np.random.default_rng(0))
    assert plain.T @ plain == pytest.approx(data.T @ data, abs=1e-8)
    assert np.abs(plain.mean(axis=0)).max() < 1e-9
    assert not np.allclose(parts(plain)[0], parts(data)[0], atol=5)


def test_a_silhouette_that_is_not_defined_is_the_lowest_there_is():
    data = noise(6, 3)
    assert silhouette(data, np.zeros(6, int)) == NOTHING
    assert silhouette(data, np.full(6, -1)) == NOTHING
    assert silhouette(data, np.arange(6)) == NOTHING
    assert silhouette(data, np.array([0, 0, 0, 1, 1, -1])) == pytest.approx(
        silhouette_score(data[:5], [0, 0, 0, 1, 1])
    )


def test_importing_the_package_loads_neither_scikit_learn_nor_torch():
    heavy = "[name for name in ('sklearn', 'torch', 'scipy') if name in sys.modules]"
    code = f"import course_utils.analysis, sys; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_clouds_in_which_no_clusters_are_found_have_no_silhouette_in_words_either():
    def span(*values: float) -> str:
        return Null("gaussian", {2: list(values)}, 0.0, 2, 0, 0.25).span(2)

    assert span(0.2, 0.1, 0.3) == "0.10 to 0.30"
    assert span(NOTHING, 0.1, 0.3) == "0.10 to 0.30, or undefined for want of two clusters"
    assert span(NOTHING, NOTHING) == "undefined for want of two clusters"


@pytest.mark.parametrize("draws", [0, -1, 2.5, True])
def test_at_least_one_null_data_set_is_drawn(draws):
    with pytest.raises(AnalysisError, match="is a whole number from 1"):
        evaluate(noise(6, 3), [0, 0, 0, 1, 1, 1], draws=draws)
