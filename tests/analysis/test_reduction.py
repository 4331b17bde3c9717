"""Coordinates are those of the reference, come out the same each time, and fit the number of images."""

import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from course_utils.analysis import AnalysisError, reduce, reduction
from course_utils.analysis.reduction import used_params, variance_shares


def vectors(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * np.linspace(3, 0.5, d) + rng.standard_normal(d) * 10


@pytest.mark.parametrize(("n", "d"), [(12, 40), (40, 12), (20, 20)])
def test_pca_agrees_with_the_singular_value_decomposition_of_numpy(n, d):
    data = vectors(n, d)
    left, singular, right = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
    signs = np.sign(right[np.arange(5), np.abs(right[:5]).argmax(axis=1)])
    np.testing.assert_allclose(reduce(data, dims=5), (left * singular)[:, :5] * signs, atol=1e-4)


def test_pca_agrees_with_scikit_learn_up_to_the_signs():
    from sklearn.decomposition import PCA

    data = vectors(30, 50)
    np.testing.assert_allclose(np.abs(reduce(data, dims=3)), np.abs(PCA(3).fit_transform(data)), atol=1e-4)


def test_coordinates_are_float32_and_the_same_every_time():
    data = vectors(25, 60)
    first = reduce(data)
    assert first.dtype == np.float32
    assert first.shape == (25, 2)
    assert np.array_equal(first, reduce(data.copy()))


def test_shuffling_the_rows_shuffles_the_coordinates_signs_included():
    data = vectors(25, 60)
    order = np.random.default_rng(3).permutation(25)
    np.testing.assert_allclose(reduce(data[order]), reduce(data)[order], atol=1e-4)


def test_standardise_gives_each_column_the_same_weight():
    data = vectors(30, 5)
    scaled = (data - data.mean(axis=0)) / data.std(axis=0)
    np.testing.assert_allclose(reduce(data, standardise=True), reduce(scaled), atol=1e-4)
    with_constant = np.column_stack([data, np.ones(30)])
    assert np.isfinite(reduce(with_constant, standardise=True)).all()


def test_shares_of_all_components_sum_to_one():
    data = vectors(10, 6)
    shares = variance_shares(data, reduce(data, dims=6))
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 0).all()


def test_there_are_never_more_dimensions_than_vectors_minus_one():
    assert reduce(vectors(5, 100), dims=4).shape == (5, 4)
    with pytest.raises(AnalysisError, match="between 1 and 4 dimensions"):
        reduce(vectors(5, 100), dims=5)
    with pytest.raises(AnalysisError, match="dims=0"):
        reduce(vectors(5, 100), dims=0)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (np.ones(7), r"shape \(7,\)"),
        (np.ones((1, 7)), "got 1 vector; at least 2"),
        (np.ones((4, 7)), "all 4 vectors are identical"),
        (np.array([[1.0, 2.0], [np.nan, 1.0], [2.0, 2.0]]), "vector 1 holds NaN"),
        ([["a", "b"]], "not one table of numbers"),
        ([[1.0, 2.0], [1.0]], "not one table of numbers"),
    ],
)
def test_vectors_that_cannot_be_reduced_get_a_sentence_of_their_own(data, sentence):
    with pytest.raises(AnalysisError, match=sentence):
        reduce(data, dims=1)


def test_an_unknown_method_names_what_there_is():
    with pytest.raises(AnalysisError, match="no method 'mds'; available: pca, tsne, umap"):
        reduce(vectors(5, 5), "mds")


def groups(n: int = 60, d: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(n) % 3
    return np.eye(d)[truth] * 15 + np.random.default_rng(seed).standard_normal((n, d)), truth


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_one_seed_gives_one_map_and_groups_stay_together(method):
    data, truth = groups()
    first = reduce(data, method, seed=3)
    assert first.dtype == np.float32
    assert first.shape == (60, 2)
    assert np.array_equal(first, reduce(data.copy(), method, seed=3))
    assert silhouette_score(first, truth) > 0.7
    if method == "umap":  # t-SNE starts from principal components and draws nothing else
        assert not np.array_equal(first, reduce(data, method, seed=4))
    assert reduce(data, method, dims=3).shape == (60, 3)


def test_tsne_is_that_of_scikit_learn_on_fifty_components():
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    data, _ = groups(n=90, d=80)
    scores = reduce(data, dims=50)  # those of scikit-learn, see above
    with threadpool_limits(1):
        want = TSNE(perplexity=12, init="pca", random_state=0).fit_transform(scores)
        assert np.array_equal(reduce(data, "tsne", perplexity=12), want)


def test_tsne_and_umap_see_what_pca_before_them_leaves(monkeypatch):
    """One column is a hundred times wider: standardised, it no longer decides."""
    data, truth = groups(n=60, d=6)
    data[:, 5] = np.random.default_rng(5).permutation(60) * 100.0
    assert silhouette_score(reduce(data, "tsne"), truth) < 0.2
    assert silhouette_score(reduce(data, "tsne", standardise=True), truth) > 0.4
    seen = {}
    monkeypatch.setattr(reduction, "_tsne", lambda scores, *_, **used: seen.update(used, at=scores.shape))
    reduce(groups(d=70)[0], "tsne", perplexity=7)
    assert seen == {"at": (60, 50), "perplexity": 7.0}


def test_perplexity_and_neighbours_shape_the_map():
    data, _ = groups()
    assert not np.allclose(reduce(data, "tsne", perplexity=5), reduce(data, "tsne", perplexity=15))
    assert not np.allclose(reduce(data, "umap", neighbours=5), reduce(data, "umap", neighbours=30))
    assert not np.allclose(reduce(data, "umap", min_dist=0.0), reduce(data, "umap", min_dist=0.9))


@pytest.mark.parametrize(
    ("method", "asked", "images", "used", "words"),
    [
        ("tsne", {"perplexity": 30.0}, 16, {"perplexity": 5.0}, "A perplexity of 30 is too high for 16"),
        ("tsne", {"perplexity": 30}, 91, {"perplexity": 30.0}, ""),
        ("tsne", {"perplexity": 30}, 90, {"perplexity": 89 / 3}, "29.7 was used, a third of the others"),
        ("umap", {"neighbours": 15}, 15, {"neighbours": 14, "min_dist": 0.1}, "all 14 others were used"),
        ("umap", {"min_dist": 1}, 16, {"neighbours": 15, "min_dist": 1.0}, ""),
        ("pca", {"perplexity": -1}, 3, {}, ""),
    ],
)
def test_what_is_too_much_for_so_few_images_is_lowered_and_that_is_said(
    method, asked, images, used, words, caplog
):
    assert used_params(method, images, **asked) == used
    assert words in caplog.text
    assert bool(words) == bool(caplog.records)


@pytest.mark.parametrize(
    ("method", "asked", "sentence"),
    [
        ("tsne", {"perplexity": 0.5}, "perplexity=0.5: it is a number from 1"),
        ("tsne", {"perplexity": float("nan")}, "perplexity=nan"),
        ("tsne", {"perplexity": float("inf")}, "perplexity=inf"),
        ("tsne", {"perplexity": "30"}, "perplexity='30'"),
        ("tsne", {"dims": 4}, "t-SNE gives 1 to 3 coordinates"),
        ("umap", {"neighbours": 1}, "neighbours=1: it is a whole number from 2"),
        ("umap", {"neighbours": 2.5}, "neighbours=2.5"),
        ("umap", {"min_dist": -0.1}, "min_dist=-0.1: it is a number from 0 to 1"),
        ("umap", {"min_dist": 1.1}, "min_dist=1.1"),
        ("umap", {"seed": -1}, "a seed is a whole number"),
    ],
)
def test_a_parameter_that_makes_no_sense_gets_a_sentence_of_its_own(method, asked, sentence):
    with pytest.raises(AnalysisError, match=re.escape(sentence)):
        reduce(vectors(12, 8), method, **asked)


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_five_images_can_be_laid_out_and_four_cannot(method):
    assert np.isfinite(reduce(vectors(5, 9), method)).all()
    with pytest.raises(AnalysisError, match=f"{method} lays out at least 5 vectors; got 4"):
        reduce(vectors(4, 9), method)


def test_without_umap_one_is_told_how_to_get_it_and_the_others_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(AnalysisError, match=r"umap-learn: python start\.py setup"):
        reduce(vectors(20, 9), "umap")
    assert reduce(vectors(20, 9), "tsne").shape == (20, 2)


def test_umap_is_imported_only_when_it_is_asked_for():
    code = (
        "import sys, numpy as np; from course_utils.analysis import reduce;"
        "reduce(np.random.default_rng(0).standard_normal((9, 4)));"
        "sys.exit(any(name in sys.modules for name in ('umap', 'numba', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
