import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from course_utils.analysis import AnalysisError, Evaluation, cluster, evaluate
from course_utils.analysis.evaluation import Association
from course_utils.analysis.reduction import reduce


def noise(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def three_blobs(apart: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat([0, 1, 2], 10)
    return np.eye(60)[truth] * apart + noise(30, 60), truth


def test_the_silhouette_is_that_of_scikit_learn_in_the_space_of_the_clusters():
    data = noise(50, 80)
    found = cluster(data, k=4, dims=3)
    expected = silhouette_score(reduce(data, dims=3), found.labels)
    assert evaluate(data, found).silhouette == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pure_noise_with_an_impressive_silhouette_is_no_better_than_its_null(seed):
    data = noise(100, 200, seed)
    judged = evaluate(data, cluster(data, k=4, dims=2))
    assert judged.silhouette > 0.28
    assert judged.p_value > 0.05
    assert "no better than" in judged.verdict


def test_noise_stays_noise_when_k_was_searched():
    data = noise(40, 100)
    judged = evaluate(data, cluster(data))
    assert "no better than" in judged.verdict
    assert "search for k was repeated" in judged.verdict
    assert list(judged.curve) == list(range(2, 11))


def test_correlated_columns_without_clusters_are_no_structure():
    data = noise(60, 3) @ noise(3, 100, 1) + 0.1 * noise(60, 100, 2)
    judged = evaluate(data, cluster(data, k=3))
    assert judged.nulls[0].name == "permuted"
    assert judged.nulls[0].p_value < 0.05
    assert judged.p_value == judged.nulls[1].p_value > 0.05
    assert "no better than" in judged.verdict
    assert "correlation, not clusters" in judged.verdict


def test_three_well_separated_groups_are_structure():
    data, _ = three_blobs()
    judged = evaluate(data, cluster(data))
    assert judged.k == 3
    assert judged.p_value == pytest.approx(1 / 21)
    assert judged.verdict.startswith("There is structure")
    assert max(max(null.silhouettes[3]) for null in judged.nulls) < judged.silhouette


def test_bare_labels_are_judged_like_a_clustering_with_defaults():
    data, truth = three_blobs()
    names = np.array(["fatty", "scattered", "dense"])[truth]
    assert evaluate(data, names).silhouette == pytest.approx(evaluate(data, cluster(data, k=3)).silhouette)


def test_weak_structure_and_few_images_are_called_so():
    data, _ = three_blobs(apart=5.5)
    judged = evaluate(data, cluster(data, k=3))
    assert "It is weak" in judged.verdict
    few = evaluate(data[::3], cluster(data[::3], k=3)).verdict
    assert "With 10 images this says little" in few


def test_noise_points_are_left_out_of_silhouette_and_agreement():
    data, truth = three_blobs()
    labels = np.where(np.arange(30) % 10 == 0, -1, truth)
    judged = evaluate(data, labels, metadata=pd.DataFrame({"class": truth.astype(str)}))
    expected = evaluate(data[labels >= 0], labels[labels >= 0])
    assert judged.rows == 27
    assert judged.k == 3
    assert judged.silhouette == pytest.approx(expected.silhouette)
    assert judged.associations[0].rows == 27


def test_agreement_with_metadata_is_that_of_scikit_learn_and_p_values_tell_chance_from_more():
    data, truth = three_blobs()
    rng = np.random.default_rng(5)
    metadata = pd.DataFrame(
        {
            "same": truth,
            "part": np.where(rng.random(30) < 0.6, truth, rng.integers(0, 3, 30)),
            "side": np.tile(["L", "R"], 15),
            "chance": rng.integers(0, 2, 30).astype(bool),
        }
    )
    judged = evaluate(data, truth, metadata=metadata)
    found = {one.column: one for one in judged.associations}
    for column, one in found.items():
        assert one.ari == pytest.approx(adjusted_rand_score(truth, metadata[column]), abs=1e-5)
    assert [one.column for one in judged.associations][:2] == ["same", "part"]
    assert found["same"].p_value == 0.001
    assert found["part"].p_value <= 0.01
    assert found["side"].p_value > 0.05
    assert found["chance"].p_value > 0.05
    assert found["same"].sentence == "The clusters are the same as same (ARI 1.00, p = 0.001)."
    assert "no better than chance" in found["side"].sentence
    assert found["side"].levels == {"L": 15, "R": 15}


def test_p_values_of_agreement_are_uniform_when_there_is_none():
    data, truth = three_blobs()
    rng = np.random.default_rng(0)
    metadata = pd.DataFrame({str(i): rng.integers(0, 2, 30) for i in range(200)})
    p_values = np.array(
        [one.p_value for one in evaluate(data, truth, metadata=metadata, draws=1).associations]
    )
    assert 0.01 <= np.mean(p_values <= 0.05) <= 0.12
    assert 0.3 <= np.mean(p_values <= 0.5) <= 0.7


def test_columns_that_cannot_be_compared_are_skipped_with_a_reason():
    data, truth = three_blobs()
    metadata = pd.DataFrame(
        {
            "file": [f"{i}.dcm" for i in range(30)],
            "view": ["CC"] * 30,
            "vendor": [None] * 30,
            "thickness_mm": np.repeat(np.linspace(30, 80, 15), 2),
            "dose": [str(i % 14) for i in range(30)],
            "side": ["L", None] * 15,
        }
    )
    judged = evaluate(data, truth, metadata=metadata, draws=1)
    assert judged.associations == ()
    assert judged.skipped == {
        "file": "a different value for each image",
        "view": "fewer than two values",
        "vendor": "no value in any file",
        "thickness_mm": "a measured number",
        "dose": "a measured number",
        "side": "fewer than two values",
    }


def test_missing_values_are_left_out_of_the_agreement():
    data, truth = three_blobs()
    view = pd.Series(np.where(truth == 0, "CC", "MLO"), dtype=object)
    view[::4] = None
    judged = evaluate(data, truth, metadata=pd.DataFrame({"view": view}), draws=1)
    known = view.notna().to_numpy()
    assert judged.associations[0].rows == known.sum()
    expected = adjusted_rand_score(truth[known], view[known])
    assert judged.associations[0].ari == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("k", "sentence"), [(1, "all images are in one"), (2, "every image is a cluster")])
def test_where_there_is_no_silhouette_there_is_a_sentence(k, sentence):
    judged = evaluate(noise(2, 10), cluster(noise(2, 10), k=k))
    assert judged.silhouette is None
    assert judged.p_value is None
    assert sentence in judged.verdict


def test_the_same_seed_gives_the_same_evaluation_which_survives_json():
    data, truth = three_blobs()
    metadata = pd.DataFrame({"view": np.where(truth == 0, "CC", "MLO")})
    first = evaluate(data, cluster(data), metadata=metadata, seed=3, draws=4)
    assert first == evaluate(data, cluster(data), metadata=metadata, seed=3, draws=4)
    assert Evaluation.from_dict(json.loads(json.dumps(first.to_dict()))) == first


def test_what_is_no_evaluation_is_refused():
    data, truth = three_blobs()
    plain = evaluate(data, truth, draws=1).to_dict()
    for change in ({"nulls": []}, {"nulls": [5]}, {"k": 7}, {"curve": None}, {"surprise": 1}):
        with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
            Evaluation.from_dict(plain | change)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(AnalysisError, match="a seed is a whole number from 0 to 4294967295"):
        evaluate(*three_blobs(), seed=seed)


def test_labels_and_metadata_of_another_length_are_refused():
    data, truth = three_blobs()
    with pytest.raises(AnalysisError, match="29 labels for 30 vectors"):
        evaluate(data, truth[1:])
    with pytest.raises(AnalysisError, match="29 rows of metadata for 30 vectors"):
        evaluate(data, truth, metadata=pd.DataFrame({"view": ["CC"] * 29}))


def test_large_sets_are_judged_on_a_sample(monkeypatch):
    monkeypatch.setattr("course_utils.analysis.evaluation.MOST_ROWS", 60)
    truth = np.repeat([0, 1, 2], 50)
    data = np.eye(20)[truth] * 8 + noise(150, 20)
    judged = evaluate(data, cluster(data, k=3), draws=3)
    assert judged.rows == 60
    assert judged.k == 3


def test_importing_the_package_loads_neither_scikit_learn_nor_torch():
    heavy = "[name for name in ('sklearn', 'torch', 'scipy') if name in sys.modules]"
    code = f"import course_utils.analysis, sys; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("ari", "p_value", "words"),
    [
        (1.0, 0.05, "are the same as"),
        (0.99, 0.001, "follow"),
        (0.5, 0.001, "follow"),
        (0.4999, 0.001, "partly follow"),
        (0.1, 0.05, "partly follow"),
        (0.0999, 0.05, "hardly, but measurably, follow"),
        (1.0, 0.051, "agree no better than chance with"),
    ],
)
def test_the_words_for_an_agreement_change_where_they_should(ari, p_value, words):
    sentence = Association("site", 30, {"a": 15, "b": 15}, ari, p_value).sentence
    assert sentence.startswith(f"The clusters {words} site (ARI ")
