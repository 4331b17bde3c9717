import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from course_utils.analysis import AnalysisError, Valley, cluster, valley
from course_utils.analysis import validity as module
from course_utils.analysis.fitting import fit
from course_utils.analysis.validity import FEWEST, Join, p_words
from course_utils.runs import Extraction

COHORT = Path(__file__).parents[2] / "data_samples" / "vectors"


def women(count: int, images: int = 4) -> np.ndarray:
    return np.repeat(np.arange(count), images)


def alike(count: int, images: int = 4, dims: int = 20, seed: int = 0) -> np.ndarray:
    """Return images without clusters; those of a woman have half of their variance in common."""
    rng = np.random.default_rng(seed)
    own = rng.standard_normal((count * images, dims))
    return rng.standard_normal((count, dims))[women(count, images)] + own


def blobs(count: int, centres: int, apart: float = 12, seed: int = 0) -> np.ndarray:
    """Return four images of each woman, in turn from one blob and the next."""
    number = np.arange(count * 4) % centres
    return np.eye(20)[number] * apart + alike(count, seed=seed)


@pytest.fixture(scope="module")
def cohort() -> tuple[np.ndarray, pd.DataFrame]:
    return Extraction.read(COHORT).vectors, pd.read_csv(COHORT / "manifest.csv")


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_between_the_views_lies_a_valley_and_inside_them_none(cohort, k):
    vectors, known = cohort
    found = cluster(vectors, k=k, seed=1)
    judged = valley(vectors, found, groups=known["woman"], seed=1)
    part_of = {label: number for number, part in enumerate(judged.parts) for label in part}
    parts = [part_of[label] for label in found.labels]
    assert pd.crosstab(parts, known["view"]).to_numpy().tolist() in (
        [[0, 120], [120, 0]],
        [[120, 0], [0, 120]],
    )
    assert judged.p_value < 0.02
    assert [join.is_valley for join in judged.joins] == [True] + [False] * (k - 2)


@pytest.mark.parametrize("method", ["kmeans", "gmm", "ward", "hdbscan"])
def test_every_method_is_run_again_on_half_of_the_women(method):
    vectors = blobs(60, 3)
    found = cluster(vectors, method, k="auto" if method == "hdbscan" else 3)
    judged = valley(vectors, found, groups=women(60))
    assert judged.parts == ((0,), (1,), (2,))
    assert judged.sentence.startswith("Three clusters are separate (p ")


@pytest.mark.parametrize("method", ["kmeans", "gmm", "ward"])
def test_a_cloud_that_is_cut_in_pieces_has_no_valley(method):
    judged = valley(alike(60), cluster(alike(60), method, k=3), groups=women(60))
    assert not judged.found
    assert judged.p_value > 0.2
    assert judged.sentence.startswith("No valley lies between the clusters")


def test_those_who_made_the_clusters_are_not_asked(monkeypatch):
    seen = []

    def spy(space, *rest):
        found = fit(space, *rest)

        def assign(points):
            seen.append(np.r_[space, points])
            return found.assign(points)

        return replace(found, assign=assign)

    monkeypatch.setattr(module, "fit", spy)
    along = np.random.default_rng(0).random((80, 1))
    valley(along, cluster(along, k=2), groups=women(40, 2))
    assert len(seen) >= 10
    for each in seen:  # makers and asked together are everybody, and nobody twice
        assert sorted(np.diff(np.sort(each[:, 0]))) == pytest.approx(sorted(np.diff(np.sort(along[:, 0]))))


def test_noise_that_its_makers_see_a_valley_in_has_none_for_others():
    """In 2000 dimensions, k-means parts noise so well that its own points show a valley."""
    noise = np.random.default_rng(0).standard_normal((80, 2000))
    found = cluster(noise, k=2)
    means = (noise[found.labels == label].mean(axis=0) for label in (0, 1))
    assert module._answer(noise, found.labels == 0, *means).p_value < 0.01
    assert valley(noise, found).p_value > 0.2


def test_of_each_woman_one_image_is_asked(monkeypatch):
    asked = []

    def spy(points, *rest):
        asked.append(points)
        return answer(points, *rest)

    answer = module._answer
    monkeypatch.setattr(module, "_answer", spy)
    rng = np.random.default_rng(3)
    hers = rng.normal(0, [9, 1], (30, 2))[women(30, 40)]
    vectors = hers + 0.001 * rng.standard_normal((1200, 2))
    assert valley(vectors, cluster(vectors, k=2), groups=women(30, 40)).p_value > 0.1
    assert {len(points) for points in asked} == {15}
    for points in asked:  # images of the same woman are as good as copies
        assert len(np.unique(points.round(1), axis=0)) == 15
    # What happens if nobody says whose they are: thirty spikes.
    assert valley(vectors, cluster(vectors, k=2)).p_value < 0.05


def test_the_p_value_of_a_split_allows_for_the_number_of_its_forks(monkeypatch):
    monkeypatch.setattr(module, "_answer", lambda *_: module._Answer(0.004, 0.2, (-0.5, 0.5)))
    for k in (2, 3, 4):
        judged = valley(blobs(40, k), cluster(blobs(40, k), k=k), groups=women(40))
        assert [join.p_value for join in judged.joins] == pytest.approx([2 * (k - 1) * 0.004] * (k - 1))


def test_a_bow_is_no_two_clusters_however_many_women_there_are(monkeypatch):
    rng = np.random.default_rng(0)
    turn = np.pi * rng.random(600)
    bow = np.c_[3 * np.cos(turn), 3 * np.sin(turn)] + 0.2 * rng.standard_normal((600, 2))
    assert not valley(bow, cluster(bow, k=2)).found
    monkeypatch.setattr(module, "NEAR_LEAST", 600)
    assert valley(bow, cluster(bow, k=2)).found  # seen as a whole, from the side


def test_noise_points_between_clusters_are_asked_too():
    """HDBSCAN leaves out what lies between its clusters; left out here as well, it would be a valley."""
    rng = np.random.default_rng(1)
    ends = np.where(rng.random(400) < 0.5, -1, 1) * rng.beta(4, 1, 400) * 0.5
    line = np.c_[np.r_[ends, rng.uniform(-0.5, 0.5, 800)], 0.02 * rng.standard_normal(1200)]
    found = cluster(line, "hdbscan", min_cluster_size=60)
    if found.labels.max() >= 1:
        assert not valley(line, found).found
    labels = np.where(np.abs(line[:, 0]) < 0.3, -1, (line[:, 0] > 0).astype(int))
    assigned = module._assign_all(_constant(labels), np.array([1, 1]), line)
    assert set(assigned) == {0, 1}
    assert (assigned[labels == -1] == (line[labels == -1, 0] > 0)).all()


def _constant(labels: np.ndarray) -> module.Fitted:
    return module.Fitted(labels, np.array([[-0.4, 0.0], [0.4, 0.0]]), None, lambda points: labels)


@pytest.mark.parametrize("count", [2, 8, FEWEST - 1])
def test_few_women_are_not_asked(count):
    vectors = blobs(count, 2)
    judged = valley(vectors, cluster(vectors, k=2), groups=women(count))
    assert judged.p_value is None
    assert not judged.found
    assert f"cannot be asked of fewer than {FEWEST} women (here {count})" in judged.sentence


def test_twenty_women_can_be_asked():
    vectors = blobs(FEWEST, 2, apart=30)
    assert valley(vectors, cluster(vectors, k=2), groups=women(FEWEST)).p_value is not None


def test_one_cluster_has_nothing_to_be_separate_from():
    judged = valley(alike(30), cluster(alike(30), k=1), groups=women(30))
    assert judged.joins == ()
    assert judged.sentence == "There are no two clusters that a valley could separate."


def test_without_groups_every_image_counts_as_a_woman_of_its_own():
    vectors = blobs(20, 2)
    judged = valley(vectors, cluster(vectors, k=2))
    assert (judged.women, judged.images, judged.unit) == (80, 80, "images")
    assert "80 images; half of them were asked about the other half's clusters)" in judged.sentence


@pytest.mark.parametrize("k", [2, 4])
def test_the_verdict_is_the_same_for_ten_seeds(cohort, k):
    vectors, known = cohort
    chosen = (known["woman"] < sorted(set(known["woman"]))[30]).to_numpy()
    judged = [
        valley(vectors[chosen], cluster(vectors[chosen], k=k), groups=known["woman"][chosen], seed=seed)
        for seed in range(10)
    ]
    assert len({each.parts for each in judged}) == 1
    cloud = [valley(alike(30), cluster(alike(30), k=k), groups=women(30), seed=seed) for seed in range(10)]
    assert not any(each.found for each in cloud)


def test_the_same_seed_gives_the_same_answer_which_survives_json():
    vectors = blobs(20, 3)
    judged = valley(vectors, cluster(vectors, k=3), groups=women(20), seed=5)
    assert judged == valley(vectors, cluster(vectors, k=3), groups=women(20), seed=5)
    assert Valley.from_dict(json.loads(json.dumps(judged.to_dict()))) == judged


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"joins": None},
        {"joins": [5]},
        {"k": 2.0},
        {"k": 7},
        {"unit": "men"},
        {"joins": [{"left": [0], "right": [1], "p_value": 2.0, "dip": None, "values": []}]},
        {"joins": [{"left": [0], "right": [1], "p_value": 0.5}]},
    ],
    ids=str,
)
def test_what_is_no_valley_is_refused(change):
    join = {"left": [0], "right": [1], "p_value": 0.5, "dip": 0.1, "values": [0.0]}
    plain = {"k": 2, "images": 90, "women": 30, "unit": "women", "splits": 10, "joins": [join], "level": 0.05}
    assert Valley.from_dict(plain).k == 2
    with pytest.raises((KeyError, TypeError, ValueError)):
        Valley.from_dict(plain | change)


def _valley(k: int, *joins: tuple[tuple[int, ...], tuple[int, ...], float]) -> Valley:
    found = tuple(Join(left, right, p_value, 0.1, ()) for left, right, p_value in joins)
    return Valley(k, 240, 60, "women", 10, found)


def test_the_sentence_says_which_clusters_are_separate_and_quotes_what_was_tested():
    asked = (
        "240 images of 60 women; half of the women were asked about the other half's clusters, one image each"
    )
    top = ((0, 2), (1,), 0.0123)
    assert _valley(3, top, ((0,), (2,), 0.2)).sentence == (
        f"Two clusters are separate: clusters 0 and 2; cluster 1 (p = 0.012; {asked}); inside them no valley "
        "was found."
    )
    assert (
        _valley(3, top, ((0,), (2,), 0.04)).sentence == f"Three clusters are separate (p = 0.040; {asked})."
    )
    assert _valley(3, ((0, 2), (1,), 0.3), ((0,), (2,), 0.0004)).sentence == (
        f"A valley separates cluster 0 from cluster 2 (p < 0.001); elsewhere there is none ({asked})."
    )
    none = _valley(3, ((0, 2), (1,), 0.3), ((0,), (2,), 0.0501))
    assert none.sentence.startswith("No valley lies between the clusters")
    assert f"(p = 0.0501; {asked})" in none.sentence
    assert (none.p_value, none.found, none.parts) == (0.0501, False, ((0, 1, 2),))


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (0.05, "p = 0.050"),
        (0.05004, "p = 0.0500"),
        (0.0499, "p = 0.050"),
        (0.0004, "p < 0.001"),
        (1, "p = 1.000"),
    ],
)
def test_a_p_value_is_never_rounded_across_the_level(p_value, words):
    shown = p_words(p_value)
    assert shown.startswith(words)
    if "=" in shown:
        assert (float(shown.removeprefix("p = ")) <= 0.05) == (p_value <= 0.05)


def test_the_tree_of_centres_has_a_fork_for_each_join_from_the_top():
    centres = np.array([[0.0], [10.0], [1.0], [11.5]])
    assert module._joins(centres) == [((0, 2), (1, 3)), ((1,), (3,)), ((0,), (2,))]
    assert module._joins(centres[:2]) == [((0,), (1,))]


def test_the_p_value_of_a_join_is_twice_the_median_of_the_splits():
    answers = [module._Answer(p_value, p_value) for p_value in (0.3, 0.01, 0.02, 0.5)]
    assert module._judge((0,), (1,), answers).p_value == 0.6  # the larger of the two in the middle
    assert module._judge((0,), (1,), answers[:3]).p_value == 0.04
    assert module._judge((0,), (1,), answers[:3]).dip == 0.02


def test_splits_go_on_until_each_join_is_clear():
    low, high = module._Answer(0.001), module._Answer(0.9)
    assert not module._is_clear([[low, high]] * 9)
    assert module._is_clear([[low, high]] * 10)
    assert not module._is_clear([[low, high], [low, low]] * 10)
    assert module._is_clear([[low, high], [low, low]] * 100)


def test_a_fork_parts_two_clusters_only_if_it_parts_three_quarters_of_either():
    labels = np.array([0] * 8 + [1] * 8)
    first = np.r_[np.full(6, True), np.full(2, False), np.full(8, False)]  # six of eight
    forks = [([first, ~first], module._Answer(0.01, 0.1, (-0.5, 0.1)))]
    assert module._find(((0,), (1,)), labels, forks).p_value == 0.01
    assert module._find(((1,), (0,)), labels, forks).values == (-0.1, 0.5)
    fewer = first.copy()
    fewer[0] = False
    assert module._find(((0,), (1,)), labels, [([fewer, ~fewer], forks[0][1])]).p_value == 1


def test_a_join_is_as_separate_as_the_two_clusters_across_it_that_are_least_so():
    labels = np.repeat([0, 1, 2, 3], [40, 40, 40, 3])
    sides = {name: np.isin(labels, members) for name, members in {"a": [0], "b": [1], "ac": [0, 2]}.items()}
    forks = [
        ([sides["ac"], sides["b"]], module._Answer(0.001, 0.2)),
        ([sides["a"], labels == 2], module._Answer(0.03, 0.1)),
    ]
    assert module._find(((0, 1), (2,)), labels, forks).p_value == 0.03
    assert module._find(((0, 2), (1,)), labels, forks).p_value == 0.001
    assert module._find(((0, 2, 3), (1,)), labels, forks).p_value == 0.001  # three images have no vote
    assert module._find(((3,), (1,)), labels, forks).p_value == 1


def test_labels_or_groups_of_another_length_are_refused():
    vectors = alike(20)
    found = cluster(vectors, k=2)
    with pytest.raises(AnalysisError, match="79 labels for 80 vectors"):
        valley(vectors, replace(found, labels=found.labels[1:]))
    with pytest.raises(AnalysisError, match="20 groups for 80 vectors"):
        valley(vectors, found, groups=range(20))
