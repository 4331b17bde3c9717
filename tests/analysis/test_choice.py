"""k is chosen where the data stand out from clouds without clusters, and every criterion is right."""

import json

import numpy as np
import pytest
from sklearn import metrics
from test_clustering import blobs

from course_utils.analysis import AnalysisError, cluster
from course_utils.analysis.choice import Choice, Criterion, criteria_of
from course_utils.analysis.clustering import pca_space


def scripted(excess: list[float], deviations: list[float], name: str = "silhouette") -> Criterion:
    """Ten clouds about 0.3, as far above it as below it, and data that exceed it by `excess`; k from 2."""
    sign = -1 if name in ("davies_bouldin", "aic", "bic") else 1
    curve = {k: 0.3 + sign * value for k, value in enumerate(excess, 2)}
    return Criterion(name, curve, {k: (0.3 + d, 0.3 - d) * 5 for k, d in enumerate(deviations, 2)})


@pytest.mark.parametrize(
    ("deviation_at_the_best", "chosen"),
    [
        (0.05, 4),  # 0.25 - 0.05 = 0.20: no smaller k reaches it
        (0.07, 3),  # 0.25 - 0.07 = 0.18: k = 3 with 0.19 does
        (0.13, 3),  # 0.25 - 0.13 = 0.12: k = 2 with 0.10 does not
        (0.16, 2),  # 0.25 - 0.16 = 0.09: k = 2 does
    ],
)
@pytest.mark.parametrize("name", ["silhouette", "calinski_harabasz", "davies_bouldin", "aic", "bic"])
def test_the_smallest_k_within_one_deviation_of_the_best_excess_is_chosen(
    name, deviation_at_the_best, chosen
):
    excess = [0.10, 0.19, 0.25, 0.24, 0.05]
    criterion = scripted(excess, [0.3, 0.3, deviation_at_the_best, 0.3, 0.3], name)
    assert list(criterion.excess.values()) == pytest.approx(excess)
    assert criterion.k == chosen
    assert criterion.favourite == 4


def test_the_favourite_is_the_best_value_whatever_noise_says():
    """Noise has a silhouette of 0.8 at k = 6 too, so that 0.7 is nothing; at k = 3 it has 0.1."""
    criterion = Criterion("silhouette", {3: 0.4, 6: 0.7}, {3: (0.1, 0.12), 6: (0.8, 0.82)})
    assert criterion.favourite == 6
    assert criterion.k == 3


@pytest.mark.parametrize("method", ["kmeans", "gmm", "ward"])
def test_every_method_is_asked_about_its_own_clusters_by_every_criterion(method):
    data, truth = blobs(sizes=(20, 15, 10))
    found = cluster(data, method)
    choice = found.choice
    assert choice.k == found.params["k"] == 3
    assert list(choice.ks) == found.params["k_searched"] == list(range(2, 11))
    names = ["silhouette", "calinski_harabasz", "davies_bouldin"] + ["aic", "bic"] * (method == "gmm")
    assert [one.name for one in choice.criteria] == names
    assert all(len(values) == 10 for one in choice.criteria for values in one.null.values())
    space, _ = pca_space(data, {})
    for name in names[:3]:
        score = getattr(metrics, f"{name}_score")(space, truth)
        assert choice[name].curve[3] == pytest.approx(score, abs=1e-6)
        assert choice[name].k == 3
    assert choice.rows == 45


def test_the_curve_of_the_silhouette_is_that_of_the_labels_for_each_k():
    data = np.random.default_rng(0).standard_normal((40, 12))
    found = cluster(data)
    space, _ = pca_space(data, {})
    for k, value in found.choice["silhouette"].curve.items():
        assert value == pytest.approx(metrics.silhouette_score(space, cluster(data, k=k).labels), abs=1e-6)


def test_clouds_have_the_covariance_of_the_data_and_no_clusters():
    """Two groups along one axis: every criterion sees them, none sees them in the clouds."""
    data, _ = blobs(sizes=(40, 40), d=3, apart=20)
    for criterion in cluster(data).choice.criteria:
        better = min if criterion.larger_is_better else max
        worst = better(criterion.curve[2], criterion.excess[2])
        assert criterion.excess[2] > 0
        assert worst not in criterion.null[2]
    silhouette = cluster(data).choice["silhouette"]
    assert silhouette.curve[2] > 0.8
    assert 0.5 < min(silhouette.null[2]) <= max(silhouette.null[2]) < 0.75


def test_aic_and_bic_agree_once_the_clouds_are_taken_off():
    choice = cluster(blobs(sizes=(25, 20))[0], "gmm", covariance="diag").choice
    aic, bic = choice["aic"].excess, choice["bic"].excess
    assert list(aic.values()) == pytest.approx(list(bic.values()), abs=1e-4)


def test_large_sets_are_judged_by_a_thousand_rows():
    data, _ = blobs(sizes=(500, 400, 300), d=3)
    assert cluster(data, "ward").choice.rows == 1000


def test_where_no_two_clusters_come_out_there_is_nothing_to_compare(monkeypatch):
    data, _ = blobs(sizes=(6, 6))
    space, _ = pca_space(data, {})
    assert criteria_of(space, "ward", {}, [1, 12], 0) == {1: {}, 12: {}}
    monkeypatch.setattr("course_utils.analysis.choice._criteria", lambda *_: {})
    with pytest.raises(AnalysisError, match="left all images in one cluster: give k a number"):
        cluster(data, "gmm")


def test_a_k_at_which_a_mixture_leaves_one_component_is_not_searched(monkeypatch):
    from course_utils.analysis import choice

    real = choice.criteria_of

    def without_four(*arguments):
        return real(*arguments) | {4: {}}

    monkeypatch.setattr(choice, "criteria_of", without_four)
    assert 4 not in cluster(blobs()[0]).params["k_searched"]


def test_a_choice_survives_being_written_as_json():
    choice = cluster(blobs()[0], "gmm").choice
    assert Choice.from_dict(json.loads(json.dumps(choice.to_dict()))) == choice


@pytest.mark.parametrize("spoil", [{"decided": "luck"}, {"ks": [2, 3]}, {"criteria": []}, {"criteria": [{}]}])
def test_something_else_is_not_taken_for_a_choice(spoil):
    plain = cluster(blobs()[0]).choice.to_dict() | spoil
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        Choice.from_dict(plain)


def test_the_sentence_says_what_was_chosen_and_who_disagrees():
    one = scripted([0.1, 0.5, 0.1], [0.01] * 3)
    other = scripted([0.1, 0.2, 0.5], [0.01] * 3, "davies_bouldin")
    third = scripted([0.1, 0.5, 0.1], [0.01] * 3, "calinski_harabasz")
    assert Choice((2, 3, 4), (one, third), "silhouette", 50).sentence == (
        "k = 3, the smallest of 2 to 4 at which the silhouette stands out from Gaussian clouds of the same "
        "covariance as far as anywhere, within one standard deviation; every other criterion says the same."
    )
    assert Choice((2, 3, 4), (one, other), "silhouette", 50).sentence.endswith(
        "Others would choose differently (Davies and Bouldin: 4): the number is a choice, not a finding."
    )


def test_in_a_subsample_the_clouds_have_the_variance_of_single_images(monkeypatch):
    """AIC and BIC depend on scale: for Gaussian vectors they are about what they are for clouds."""
    monkeypatch.setattr("course_utils.analysis.choice.MOST_ROWS", 60)
    data = np.random.default_rng(0).standard_normal((240, 3)) * [3, 2, 1]
    choice = cluster(data, "gmm", covariance="diag").choice
    assert choice.rows == 60
    assert abs(choice["bic"].excess[2]) < 60  # twice the scale would make it 2 · 60 · 3 · log 2 = 250
