import numpy as np
import pytest
from scipy.stats import binomtest, spearmanr, ttest_1samp
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from course_utils.analysis.probing.scores import (
    WIDENED,
    Score,
    all_or_none,
    calibration_error,
    class_scores,
    confidence_cells,
    confusion_cells,
    draw_women,
    for_few,
    macro_auc,
    number_scores,
    summarise,
)

WOMAN = np.repeat(np.arange(20), 3)
RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 4, 60)
PROBABILITIES = RNG.dirichlet(np.ones(4), 60).round(1)  # with ties
PROBABILITIES /= PROBABILITIES.sum(axis=1, keepdims=True)


def test_class_scores_are_those_of_scikit_learn_on_the_data_and_on_every_draw_of_women():
    weights = draw_women(20, np.random.default_rng(1))[:8]
    found = class_scores(PROBABILITIES, CODES, WOMAN, weights, ordered=True)
    for i, row in enumerate(weights):
        w, said = row[WOMAN], PROBABILITIES.argmax(axis=1)
        expected = {
            "balanced_accuracy": balanced_accuracy_score(CODES, said, sample_weight=w),
            "quadratic_kappa": cohen_kappa_score(CODES, said, weights="quadratic", sample_weight=w),
            "macro_auc": np.mean(
                [roc_auc_score(c == CODES, PROBABILITIES[:, c], sample_weight=w) for c in range(4)]
            ),
        }
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value), name
    assert found["macro_auc"][0] == pytest.approx(roc_auc_score(CODES, PROBABILITIES, multi_class="ovr"))


def test_of_two_classes_the_area_is_that_of_the_second():
    codes, p = CODES % 2, PROBABILITIES[:, :2] / PROBABILITIES[:, :2].sum(axis=1, keepdims=True).clip(1e-9)
    found = macro_auc(p, codes, WOMAN, np.ones((1, 20)))
    assert found[0] == pytest.approx(roc_auc_score(codes, p[:, 1]))


def test_a_class_that_is_not_there_is_left_out_of_balanced_accuracy_as_in_scikit_learn():
    codes = CODES % 3
    found = class_scores(PROBABILITIES, codes, WOMAN, np.ones((1, 20)), ordered=False)
    with pytest.warns(UserWarning, match="y_pred contains classes"):
        expected = balanced_accuracy_score(codes, PROBABILITIES.argmax(axis=1))
    assert found["balanced_accuracy"][0] == pytest.approx(expected)
    assert np.isfinite(found["macro_auc"][0])
    assert "quadratic_kappa" not in found


def test_the_confusion_matrix_is_that_of_scikit_learn():
    said = PROBABILITIES.argmax(axis=1)
    assert np.array_equal(confusion_cells(PROBABILITIES, CODES).sum(axis=0), confusion_matrix(CODES, said))


def test_the_calibration_error_is_what_one_gets_by_hand():
    # Two images of confidence 0.9, one of them right; two of 0.6, both right.
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    bins = confidence_cells(p, np.array([0, 1, 0, 1])).sum(axis=0)
    assert calibration_error(bins) == pytest.approx(0.5 * abs(0.9 - 0.5) + 0.5 * abs(0.6 - 1.0))
    assert bins[0].sum() == 4


def test_a_confidence_of_one_falls_into_the_last_bin():
    bins = confidence_cells(np.array([[1.0, 0.0]]), np.array([0])).sum(axis=0)
    assert (bins[0, -1], calibration_error(bins)) == (1, 0)


def test_number_scores_are_those_of_scikit_learn_and_scipy():
    truth = RNG.normal(50, 10, 60)
    said = truth + RNG.normal(0, 5, 60)
    weights = draw_women(20, np.random.default_rng(1))[:5]
    found = number_scores(said, truth, WOMAN, weights)
    for i, row in enumerate(weights):
        assert found["r2"][i] == pytest.approx(r2_score(truth, said, sample_weight=row[WOMAN]))
        assert found["mae"][i] == pytest.approx(mean_absolute_error(truth, said, sample_weight=row[WOMAN]))
    assert found["spearman"][0] == pytest.approx(spearmanr(truth, said).statistic)
    assert found["spearman"][1] == pytest.approx(
        spearmanr(
            np.repeat(truth, weights[1][WOMAN].astype(int)), np.repeat(said, weights[1][WOMAN].astype(int))
        ).statistic,
        abs=0.02,
    )


def test_a_constant_prediction_has_no_rank_correlation():
    assert number_scores(np.ones(60), RNG.normal(size=60), WOMAN, np.ones((1, 20)))["spearman"][0] == 0


def test_women_are_drawn_with_all_their_images_and_the_first_row_is_the_data():
    weights = draw_women(20, np.random.default_rng(0))
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 20).all()
    assert weights[1:].max() > 2


def test_an_interval_is_centred_on_the_value_widened_and_kept_within_its_range():
    draws = np.append(0.97, np.random.default_rng(0).normal(0.9, 0.1, 999))
    found = summarise("balanced_accuracy", draws[None], WIDENED)
    low, high = np.quantile(draws[1:], [0.025, 0.975]) - draws[1:].mean()
    assert found.low == pytest.approx(0.97 + WIDENED * low, abs=1e-6)
    assert found.high == 1
    assert summarise("difference", draws[None], WIDENED).high == pytest.approx(
        0.97 + WIDENED * high, abs=1e-6
    )
    assert pytest.approx(2) == WIDENED**2


def test_an_interval_from_one_draw_of_women_each_is_that_of_students_t():
    values = RNG.normal(size=20)
    weights = draw_women(20, np.random.default_rng(0))
    drawn = summarise("mean", (weights @ values / 20)[None], for_few(20, 1))
    low, high = ttest_1samp(values, 0).confidence_interval()
    assert drawn.low == pytest.approx(low, abs=0.1 * (high - low))
    assert drawn.high == pytest.approx(high, abs=0.1 * (high - low))
    assert for_few(20, 2) == pytest.approx(2.1009 / 1.96 * np.sqrt(20 / 18), abs=1e-3)


def test_where_every_woman_is_right_the_interval_is_not_a_single_point():
    perfect = np.eye(4)[CODES]
    weights = draw_women(20, np.random.default_rng(0))
    scores = class_scores(perfect, CODES, WOMAN, weights, ordered=True)
    for name in ("balanced_accuracy", "macro_auc", "quadratic_kappa"):
        found = summarise(name, scores[name][None], WIDENED, 20)
        low = binomtest(20, 20).proportion_ci().low  # Clopper and Pearson's
        assert (found.value, found.high) == (1, 1)
        assert found.low == pytest.approx(low, abs=1e-6)


def test_without_draws_there_is_no_interval():
    found = summarise("r2", np.array([[0.5], [0.7]]), 1.0)
    assert found == Score(0.6, None, None, 0.1)
    assert found.words == "0.60 (too few women for an interval)"
    with pytest.raises(ValueError, match="two ends"):
        Score.from_dict(found.to_dict() | {"low": 0.1})


def test_the_calibration_error_is_that_of_scikit_learns_reliability_curve():
    p = RNG.dirichlet(np.ones(3), 500)
    codes = RNG.integers(0, 3, 500)
    right, confidence = p.argmax(axis=1) == codes, p.max(axis=1)
    share, mean = calibration_curve(right, confidence, n_bins=10)
    images = np.histogram(confidence, np.linspace(0, 1, 11))[0]
    bins = confidence_cells(p, codes).sum(axis=0)
    there = bins[0] > 0
    assert np.array_equal(bins[0], images)
    assert bins[1, there] / bins[0, there] == pytest.approx(mean)
    assert bins[2, there] / bins[0, there] == pytest.approx(share)
    assert calibration_error(bins) == pytest.approx(np.abs(share - mean) @ images[there] / 500)


def test_kappa_is_zero_and_no_error_where_all_are_said_to_be_of_one_class():
    p = np.tile([0.7, 0.2, 0.1], (60, 1))
    codes = CODES % 3
    found = class_scores(p, codes, WOMAN, np.ones((1, 20)), ordered=True)
    assert found["quadratic_kappa"][0] == 0
    assert cohen_kappa_score(codes, np.zeros(60, int), weights="quadratic") == 0
    assert found["macro_auc"][0] == pytest.approx(0.5)


def test_a_class_of_which_all_or_none_are_right_has_clopper_and_pearsons_noise():
    confusion = np.array([[30.0, 0], [10, 0]])
    low, high = all_or_none(confusion, np.array([30, 5]))
    assert low == pytest.approx((1 - binomtest(30, 30).proportion_ci().low) / 2)
    assert high == pytest.approx(binomtest(0, 5).proportion_ci().high / 2)
    assert all_or_none(np.array([[29.0, 1], [9, 1]]), np.array([30, 5])) == (0, 0)
    draws = np.append(0.5, np.full(999, 0.5))[None]
    found = summarise("balanced_accuracy", draws, WIDENED, 35, (low, high))
    assert (found.low, found.high) == (
        pytest.approx(0.5 - low, abs=1e-6),
        pytest.approx(0.5 + high, abs=1e-6),
    )
