import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from course_utils.analysis import AnalysisError, LabelCurve, label_curve
from course_utils.analysis.probing import few_labels as module
from course_utils.analysis.probing.few_labels import TEST


def cohort(women: int = 60, seed: int = 0):
    rng = np.random.default_rng(seed)
    woman = np.repeat(np.arange(women), 2)
    classes = np.arange(women)[woman] % 3
    x = rng.standard_normal((len(woman), 8)) + 0.7 * rng.standard_normal((women, 8))[woman]
    x[:, 0] += 3 * classes
    return x, pd.Series(np.array(["thin", "middle", "thick"])[classes], name="gland"), woman


@pytest.fixture
def fitted(monkeypatch):
    """Note the women in training and in the test of every model."""
    seen = []
    real = module.fit_predict

    def spy(recipe, vectors, target, rows, owner, test, unlabelled):
        said = real(recipe, vectors, target, rows, owner, test, unlabelled)
        seen.append((set(owner), len(vectors), len(test), len(unlabelled)))
        return said

    monkeypatch.setattr(module, "fit_predict", spy)
    return seen


def test_more_labelled_women_read_more_and_the_numbers_have_their_noise():
    x, y, woman = cohort()
    found = label_curve(x, y, groups=woman, women=(3, 10, 40), repeats=6)
    assert found.women == (3, 10, 40)
    assert found.test_women == 18
    assert found.mean("random")[0] < found.mean("random")[-1]
    assert np.shape(found.values["margin"]) == (6, 3)
    assert found.sd("random") == pytest.approx(np.std(found.values["random"], axis=0, ddof=1))
    first, compared = found.sentences
    assert first.startswith("balanced accuracy for gland, women chosen at random: 0.")
    assert "from 3 women (sd 0." in first
    assert "Each is a mean over 6 draws, tested on about 18 other women." in first
    assert compared.startswith("Whether women are chosen by the margin or at random makes no difference")


def test_strategies_are_paired_they_start_with_the_same_women_and_end_with_everybody():
    x, y, woman = cohort()
    found = label_curve(
        x, y, groups=woman, women=(5, 20, 42), strategies=("random", "margin", "diverse"), repeats=3
    )
    for strategy in ("margin", "diverse"):
        gain, noise = found.gain(strategy)
        assert gain[0] == noise[0] == 0
        assert gain[-1] == noise[-1] == 0
    assert found.values["random"] != found.values["margin"] != found.values["diverse"]


def test_whole_women_are_asked_for_and_nobody_in_the_test_is_ever_labelled(fitted):
    x, y, woman = cohort()
    label_curve(x, y, groups=woman, women=(5, 10), strategies=("random",), repeats=2)
    assert [(len(women), images, test, rest) for women, images, test, rest in fitted] == [
        (5, 10, 36, 74),
        (10, 20, 36, 64),
    ] * 2
    assert fitted[0][0] < fitted[1][0]


def test_margin_asks_for_the_women_of_whom_the_model_is_least_sure():
    x, y, woman = cohort()
    target = module.read_target(y, len(x))
    recipe = module.make_recipe("linear", target.kind, setting=None, tune=False, recalibrate=None, seed=0)
    everyone = np.arange(60)
    run = module._Run(recipe, x, target, woman, everyone[:50], everyone[50:], everyone[:6])
    order = run._next("margin", everyone[:6], np.random.default_rng(0))
    said = np.sort(run._said(everyone[:6], np.arange(120)), axis=1)
    margins = (said[:, -1] - said[:, -2]).reshape(60, 2).mean(axis=1)
    assert sorted(order) == list(range(6, 50))
    assert list(margins[order]) == sorted(margins[6:50])


def test_diverse_asks_first_for_the_woman_most_unlike_those_labelled():
    x, y, woman = cohort()
    x[woman == 33] += 100
    target = module.read_target(y, len(x))
    recipe = module.make_recipe("linear", target.kind, setting=None, tune=False, recalibrate=None, seed=0)
    everyone = np.arange(60)
    run = module._Run(recipe, x, target, woman, everyone[:50], everyone[50:], everyone[:6])
    chosen = run._next("diverse", everyone[:6], np.random.default_rng(0))
    assert chosen[0] == 33
    assert len(set(chosen)) == 5


def test_a_value_is_the_balanced_accuracy_of_scikit_learn(monkeypatch):
    x, y, woman = cohort()
    said = []
    real = module.fit_predict
    monkeypatch.setattr(module, "fit_predict", lambda *given: said.append(real(*given)) or said[-1])
    tests = []
    start = module._start
    monkeypatch.setattr(module, "_start", lambda *given: tests.append(start(*given)) or tests[-1])
    found = label_curve(x, y, groups=woman, women=(10,), strategies=("random",), repeats=2)
    levels = np.unique(y)
    for repeat in range(2):
        truth = y[np.isin(woman, tests[repeat][1])]
        expected = balanced_accuracy_score(truth, levels[said[repeat].argmax(axis=1)])
        assert found.values["random"][repeat][0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("model", ["knn", "spread", "self_training"])
def test_every_model_learns_from_few_women(model):
    x, y, woman = cohort()
    found = label_curve(x, y, groups=woman, women=(10,), strategies=("random",), model=model, repeats=2)
    assert found.mean("random")[0] > 0.5


def test_numbers_can_be_asked_too():
    x, _, woman = cohort()
    y = pd.Series(x[:, 0] * 2.5, name="density")
    found = label_curve(x, y, groups=woman, women=(5, 40), strategies=("random", "diverse"), repeats=2)
    assert found.measure == "r2"
    assert found.mean("random")[-1] > 0.9
    assert "R² for density" in found.sentences[0]


def test_a_strategy_that_is_not_beyond_its_noise_is_said_to_be_no_better():
    even = LabelCurve(
        "density",
        "balanced_accuracy",
        "linear",
        (5, 10),
        18,
        {"random": ((0.5, 0.6), (0.5, 0.7)) * 3, "margin": ((0.5, 0.65), (0.5, 0.66)) * 3},
        0.25,
        (),
        0,
    )
    assert "chosen by the margin or at random makes no difference that shows" in even.sentences[1]
    values = {"random": ((0.5, 0.6), (0.5, 0.7)) * 3, "margin": ((0.5, 0.801), (0.5, 0.899)) * 3}
    clear = LabelCurve.from_dict(even.to_dict() | {"values": values})
    words = "Women chosen by the margin teach more than women chosen at random: the clearest difference is"
    assert f"{words} +0.200" in clear.sentences[1]
    assert TEST == 0.3


def test_more_women_than_there_are_to_label_are_left_out_and_said():
    x, y, woman = cohort()
    found = label_curve(x, y, groups=woman, women=(5, 50, 100), strategies=("random",), repeats=2)
    assert found.women == (5,)
    assert found.warnings == ("Only 42 of the 60 women can be labelled: 50, 100 were left out.",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"women": (2, 5)}, r"as many as there are classes \(3\)"),
        ({"women": (50,)}, "of 60 women 42 can be labelled"),
        ({"women": (10, 5)}, "the numbers rise"),
        ({"women": ()}, "whole numbers of women"),
        ({"strategies": ("best",)}, "available are random, margin, diverse"),
        ({"strategies": ()}, "available are random, margin, diverse"),
        ({"y": np.random.default_rng(0).random(120)}, "a margin is that between two classes"),
        ({"repeats": 1}, "one draw has no noise"),
        ({"y": ["a"] * 120}, "the same for all 120 images"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(change, message):
    x, y, woman = cohort()
    with pytest.raises(AnalysisError, match=message):
        label_curve(x, **({"y": y, "groups": woman, "repeats": 2} | change))


def test_the_same_seed_gives_the_same_curve_which_comes_back_from_json_and_no_input_is_touched():
    x, y, woman = cohort()
    before = x.copy()
    first, second = (label_curve(x, y, groups=woman, women=(5, 10), repeats=2) for _ in range(2))
    assert first == second
    assert first != label_curve(x, y, groups=woman, women=(5, 10), repeats=2, seed=1)
    plain = json.loads(json.dumps(first.to_dict()))
    assert LabelCurve.from_dict(plain) == first
    with pytest.raises(ValueError, match="for each number of women"):
        LabelCurve.from_dict(plain | {"women": [5]})
    assert np.array_equal(x, before)


def test_a_list_an_array_or_a_tuple_say_the_same_and_one_number_or_one_text_says_how_to_ask():
    x, y, woman = cohort()
    asked = {"groups": woman, "repeats": 2}
    first = label_curve(x, y, women=(5, 10), strategies=("random",), **asked)
    assert first == label_curve(x, y, women=np.array([5, 10]), strategies=["random"], **asked)
    with pytest.raises(AnalysisError, match=r"women=5: several whole numbers, such as \(5, 10, 20\)"):
        label_curve(x, y, women=5, **asked)
    with pytest.raises(AnalysisError, match="strategies='random': one or more of"):
        label_curve(x, y, strategies="random", **asked)


def test_a_number_that_all_women_of_a_test_share_gives_no_infinite_curve():
    x, _, woman = cohort(20)
    y = np.where(woman < 1, 1.5, 2.5)
    found = label_curve(x, y, groups=woman, women=(4,), strategies=("random",), repeats=3)
    assert np.isfinite(found.values["random"]).all()
    with pytest.raises(AnalysisError, match="the same for nearly all women"):
        label_curve(x[:6], [1.5] * 4 + [2.5] * 2, groups=woman[:6], women=(2,), strategies=("random",))


def test_two_draws_that_agree_by_chance_do_not_make_a_strategy_better():
    values = {"random": ((0.5, 0.6),) * 2, "margin": ((0.5, 0.7),) * 2}
    twice = LabelCurve("density", "balanced_accuracy", "linear", (5, 10), 18, values, 0.25, (), 0)
    assert "or at random makes no difference that shows above the noise" in twice.sentences[1]
    alarms = 0
    for seed in range(300):  # six draws without any difference, at four numbers of women
        rng = np.random.default_rng(seed)
        noise = {name: tuple(map(tuple, rng.normal(0.6, 0.05, (6, 5)))) for name in ("random", "margin")}
        alarms += (
            "makes no difference"
            not in LabelCurve.from_dict(
                twice.to_dict() | {"women": [5, 10, 20, 50, 100], "values": noise}
            ).sentences[1]
        )
    assert alarms <= 5
