import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from course_utils.analysis import (
    AnalysisError,
    associations,
    cluster,
    evaluate,
    faithfulness,
    label_curve,
    leaks,
    probe,
    reduce,
    stability,
    ties,
    transfer,
    valley,
)
from course_utils.analysis.agreement import agreement
from course_utils.analysis.checks import check_groups

WOMAN = np.repeat(np.arange(20), 2)
VECTORS = np.random.default_rng(0).standard_normal((40, 4))
CLASSES = pd.Series(np.array(["left", "right"])[WOMAN % 2], name="side")
LABELS = WOMAN % 2
KNOWN = pd.DataFrame({"side": CLASSES})
FIRST = WOMAN < 10

WHOLE: dict[str, Callable] = {
    "reduce dims": lambda n: reduce(VECTORS, dims=n),
    "reduce neighbours": lambda n: reduce(VECTORS, "umap", neighbours=n),
    "faithfulness neighbours": lambda n: faithfulness(VECTORS, VECTORS[:, :2], neighbours=n),
    "agreement neighbours": lambda n: agreement(VECTORS, VECTORS, neighbours=n),
    "cluster k": lambda n: cluster(VECTORS, k=n),
    "cluster dims": lambda n: cluster(VECTORS, k=2, dims=n),
    "cluster n_init": lambda n: cluster(VECTORS, k=2, n_init=n),
    "cluster min_cluster_size": lambda n: cluster(VECTORS, "hdbscan", min_cluster_size=n),
    "evaluate draws": lambda n: evaluate(VECTORS, LABELS, draws=n),
    "associations most": lambda n: associations(LABELS, KNOWN, most=n),
    "stability runs": lambda n: stability(VECTORS, k=2, runs=n),
    "stability draws": lambda n: stability(VECTORS, k=2, draws=n),
    "stability k": lambda n: stability(VECTORS, k=n),
    "probe splits": lambda n: probe(VECTORS, CLASSES, groups=WOMAN, splits=n),
    "probe repeats": lambda n: probe(VECTORS, CLASSES, groups=WOMAN, repeats=n),
    "probe permutations": lambda n: probe(VECTORS, CLASSES, groups=WOMAN, permutations=n),
    "label_curve women": lambda n: label_curve(VECTORS, CLASSES, groups=WOMAN, women=(n,)),
    "label_curve repeats": lambda n: label_curve(VECTORS, CLASSES, groups=WOMAN, women=(4,), repeats=n),
    "leaks splits": lambda n: leaks(VECTORS, groups=WOMAN, y=CLASSES, sizes=np.arange(40), splits=n),
    "transfer splits": lambda n: transfer(VECTORS, CLASSES, groups=WOMAN, train=FIRST, test=~FIRST, splits=n),
}

SEEDED: dict[str, Callable] = {
    "reduce": lambda seed: reduce(VECTORS, seed=seed),
    "faithfulness": lambda seed: faithfulness(VECTORS, VECTORS[:, :2], seed=seed),
    "agreement": lambda seed: agreement(VECTORS, VECTORS, seed=seed),
    "cluster": lambda seed: cluster(VECTORS, k=2, seed=seed),
    "evaluate": lambda seed: evaluate(VECTORS, LABELS, draws=2, seed=seed),
    "associations": lambda seed: associations(LABELS, KNOWN, seed=seed),
    "stability": lambda seed: stability(VECTORS, k=2, runs=2, draws=1, seed=seed),
    "valley": lambda seed: valley(VECTORS, cluster(VECTORS, k=2), seed=seed),
    "probe": lambda seed: probe(VECTORS, CLASSES, groups=WOMAN, repeats=1, permutations=19, seed=seed),
    "label_curve": lambda seed: label_curve(VECTORS, CLASSES, groups=WOMAN, women=(4,), repeats=2, seed=seed),
    "leaks": lambda seed: leaks(VECTORS, groups=WOMAN, y=CLASSES, sizes=np.arange(40), seed=seed),
    "ties": lambda seed: ties(CLASSES, KNOWN, groups=WOMAN, seed=seed),
    "transfer": lambda seed: transfer(
        VECTORS, CLASSES, groups=WOMAN, train=FIRST, test=~FIRST, repeats=1, seed=seed
    ),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("wrong", [2.5, 3.0, True, "3", -1, None, [3], float("nan")], ids=repr)
def test_what_is_no_whole_number_is_refused_in_a_sentence_wherever_one_is_asked_for(name, wrong):
    if wrong is None and name in ("cluster dims", "cluster n_init", "cluster min_cluster_size"):
        return  # there it means: choose yourself
    with pytest.raises(AnalysisError):
        WHOLE[name](wrong)


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_is_a_whole_number_numpys_too_and_comes_out_as_plain_json(name):
    for wrong in (-1, 2**32, 1.0, True, "1", None):
        with pytest.raises(AnalysisError, match="a seed is a whole number"):
            SEEDED[name](wrong)
    found, again = SEEDED[name](np.int64(3)), SEEDED[name](3)
    if hasattr(found, "to_dict"):
        assert json.dumps(found.to_dict()) == json.dumps(again.to_dict())


@pytest.mark.parametrize("share", ["0.5", None, True, np.nan, [0.5]])
def test_a_share_is_a_number(share):
    with pytest.raises(AnalysisError, match="stability compares at least two runs"):
        stability(VECTORS, k=2, share=share)


def test_numbers_of_numpy_are_numbers():
    used = stability(VECTORS, k=2, runs=np.int64(2), draws=np.int64(1), share=np.float32(0.5))
    assert json.loads(json.dumps(used.to_dict()))["runs"] == 2
    assert reduce(VECTORS, "tsne", perplexity=np.float32(5)).shape == (40, 2)


@pytest.mark.parametrize("blank", ["", "  ", None, np.nan, pd.NA])
def test_images_whose_woman_is_not_named_are_not_taken_for_those_of_one_woman(blank):
    keys = np.array([f"W{one}" for one in WOMAN], object)
    keys[6] = blank
    with pytest.raises(AnalysisError, match="row 6 has no group"):
        check_groups(keys, 40)


def test_keys_past_the_precision_of_a_float_stay_apart():
    assert check_groups([2**60, 2**60 + 1, 2**60], 3).tolist() == [0, 1, 0]


def test_groups_that_are_no_keys_are_refused():
    with pytest.raises(AnalysisError, match="one text or number per image"):
        check_groups([[1], [1, 2]], 2)
