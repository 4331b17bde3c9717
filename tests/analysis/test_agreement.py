"""What two embeddings of the same images have in common is told right, and plain cosine is not believed."""

import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist, cosine

from course_utils.analysis import AnalysisError
from course_utils.analysis.agreement import agreement


def features(n: int = 60, d: int = 32, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    """Four well-separated groups on a common mean, as the features of one network have it."""
    rng = np.random.default_rng(seed)
    return mean + np.eye(d)[np.arange(n) % 4] * 8 + rng.standard_normal((n, d))


def test_vectors_agree_with_themselves_in_everything():
    same = agreement(features(), features())
    assert same.relative_difference == 0
    assert same.recall == same.ari == 1
    np.testing.assert_allclose([same.cosine, same.centred_cosine], 1)


def test_each_number_is_what_it_says_worked_out_the_long_way():
    a = features(mean=3)
    b = a + np.random.default_rng(1).normal(0, 1.5, a.shape)
    got = agreement(a, b, neighbours=5)
    assert got.relative_difference == pytest.approx(np.max(np.abs(a - b)) / np.max(np.abs(a)))
    np.testing.assert_allclose(got.cosine, [1 - cosine(x, y) for x, y in zip(a, b, strict=True)])
    centred = [1 - cosine(x - a.mean(0), y - a.mean(0)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(got.centred_cosine, centred)
    near = [np.argsort(cdist(m, m) + np.diag(np.full(len(m), np.inf)))[:, :5] for m in (a, b)]
    shares = [len(set(x) & set(y)) / 5 for x, y in zip(*near, strict=True)]
    assert 0.1 < got.recall < 0.9
    assert got.recall == pytest.approx(np.mean(shares))


def test_plain_cosine_hides_a_loss_that_the_centred_one_and_the_neighbours_show():
    a = features(mean=100)
    lost = agreement(a, a + np.random.default_rng(1).normal(0, 4, a.shape))
    assert lost.cosine.min() > 0.99
    assert np.median(lost.centred_cosine) < 0.6
    assert lost.recall < 0.8
    assert lost.ari < 0.8


def test_a_shift_of_all_vectors_keeps_neighbours_and_clusters_but_is_not_called_the_same():
    a = features()
    shifted = agreement(a, a + 5)
    assert shifted.recall == shifted.ari == 1
    assert shifted.centred_cosine.max() < 0.9


def test_rows_in_another_order_do_not_agree():
    a = features()
    mixed = agreement(a, a[np.random.default_rng(1).permutation(len(a))])
    assert mixed.recall < 0.4
    assert mixed.ari < 0.1


def test_k_auto_is_chosen_on_the_reference_and_taken_for_both():
    a, pairs = (
        features(),
        features() + 50 * np.eye(32)[np.arange(60) % 2],
    )  # of which k="auto" makes two groups
    got = agreement(a, pairs, k="auto")
    assert got.k == 4
    assert agreement(pairs, a, k="auto").k == 2
    assert got.ari == agreement(a, pairs, k=4).ari


def test_a_row_of_zeros_agrees_with_zeros_only():
    a = features()
    a[0] = 0
    b = a.copy()
    assert agreement(a, b).cosine[0] == 1
    b[0, 0] = 1
    assert agreement(a, b).cosine[0] == 0


def test_what_is_written_down_fits_into_json_with_the_median_and_the_worst():
    a = features(mean=3)
    got = agreement(a, a + np.random.default_rng(1).normal(0, 1, a.shape))
    plain = json.loads(json.dumps(got.to_dict()))
    assert plain["centred_cosine_worst"] == got.centred_cosine.min() < plain["centred_cosine_median"]
    assert plain["cosine_median"] == np.median(got.cosine)
    assert plain["neighbours"] == 10
    assert plain["k"] == 4


@pytest.mark.parametrize(
    ("rows", "columns", "options", "sentence"),
    [
        (59, 32, {}, r"shapes \(60, 32\) and \(59, 32\)"),
        (60, 31, {}, r"shapes \(60, 32\) and \(60, 31\)"),
        (60, 32, {"neighbours": 59}, "between 1 and 58 can be compared"),
        (60, 32, {"neighbours": 0}, "between 1 and 58 can be compared"),
        (60, 32, {"k": 61}, "k can be at most 60"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(rows, columns, options, sentence):
    with pytest.raises(AnalysisError, match=sentence):
        agreement(features(), features(rows, columns), **options)


def test_vectors_that_are_not_finite_are_refused():
    b = features()
    b[3, 3] = np.nan
    with pytest.raises(AnalysisError, match="vector 3 holds NaN"):
        agreement(features(), b)
