import numpy as np
import pytest

from course_utils.analysis import AnalysisError, reduce
from course_utils.analysis.reduction import variance_shares


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


def test_an_unknown_method_or_parameter_names_what_there_is():
    with pytest.raises(AnalysisError, match="no method 'umap'; available: pca"):
        reduce(vectors(5, 5), "umap")
    with pytest.raises(AnalysisError, match="no parameter perplexity; available: standardise"):
        reduce(vectors(5, 5), perplexity=3)
