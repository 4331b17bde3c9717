import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from course_utils.analysis import AnalysisError, Transfer, ties, transfer


def shortcut(women: int = 80, seed: int = 0):
    """Return vectors that show a vendor clearly and a density faintly; in the first half the two are tied."""
    rng = np.random.default_rng(seed)
    woman = np.repeat(np.arange(women), 2)
    dense = np.arange(women) % 2
    first = np.arange(women) < women // 2
    vendor = np.where(first, dense, 1 - dense)
    x = rng.standard_normal((len(woman), 6))
    x[:, 0] += 4 * vendor[woman]
    x[:, 1] += dense[woman]
    known = pd.DataFrame(
        {
            "density": np.array(["fatty", "dense"])[dense[woman]],
            "vendor": np.array(["alder", "birch"])[vendor[woman]],
            "view": np.tile(["CC", "MLO"], women),
            "woman": woman.astype(str),
        }
    )
    return x, known, woman, first[woman]


def test_a_shortcut_that_is_reversed_in_the_test_turns_the_model_against_the_truth():
    x, known, woman, first = shortcut()
    found = transfer(x, known.density, train=first, test=~first, groups=woman, nuisances=known)
    assert found.within["balanced_accuracy"].value > 0.9
    assert found.across["balanced_accuracy"].value < 0.4
    assert (found.train_women, found.test_women, found.train_images, found.test_images) == (40, 40, 80, 80)
    assert found.sentence.startswith("Less of it holds elsewhere: balanced accuracy for density is ")
    assert "on 80 images of 40 women of the other set, where chance gives 0.50." in found.sentence
    assert any(said.startswith("vendor explains 100% of density here") for said in found.warnings)
    assert len(found.warnings) == 2  # the column density is one of those given
    assert not any(said.startswith(("view", "woman")) for said in found.warnings)


def test_where_nothing_is_different_no_loss_is_shown():
    x, known, woman, _ = shortcut()
    even = woman % 4 < 2
    found = transfer(x, known.vendor, train=even, test=~even, groups=woman)
    assert found.sentence.startswith("No loss was shown: ")
    low, high = found.difference
    assert low < 0 < high


def test_across_is_what_scikit_learn_gives():
    x, known, woman, first = shortcut()
    y, scale = known.density, x[first] - x[first].mean(axis=0)
    length = np.sqrt((scale**2).sum(axis=1).mean())
    model = LogisticRegression(C=100.0, max_iter=1000).fit(scale / length, y[first])
    expected = balanced_accuracy_score(y[~first], model.predict((x[~first] - x[first].mean(axis=0)) / length))
    found = transfer(x, y, train=first, test=~first, groups=woman)
    assert found.across["balanced_accuracy"].value == pytest.approx(expected, abs=1e-6)


def test_women_of_both_sets_are_left_out_of_training_and_counted():
    x, known, woman, first = shortcut()
    test = ~first
    test[1] = True  # woman 0, the other of whose images is in training
    first = first & ~test
    found = transfer(x, known.density, train=first, test=test, groups=woman)
    assert (found.shared_women, found.train_images, found.test_images) == (1, 78, 81)
    assert found.sentence.endswith("Women of both sets, left out of training: 1.")


def test_images_in_neither_set_and_without_a_target_count_nowhere():
    x, known, woman, first = shortcut()
    y = known.density.copy()
    y[:4] = None
    y[100:] = "elsewhere"
    found = transfer(x, y, train=first, test=~first & (np.arange(160) < 100), groups=woman)
    assert (found.train_images, found.test_images, found.chance_level) == (76, 20, 0.5)


def test_numbers_transfer_too():
    x, _, woman, first = shortcut()
    found = transfer(x, x[:, 1] * 3.3 + 0.1, train=first, test=~first, groups=woman)
    assert found.measure == "r2"
    assert found.across["r2"].value > 0.8


def test_a_class_that_the_test_lacks_is_left_out_there():
    x, known, woman, first = shortcut()
    y = known.density.where(~(first & (woman % 4 == 0)), "middle")
    found = transfer(x, y, train=first, test=~first, groups=woman)
    assert np.isfinite(found.across["balanced_accuracy"].value)
    assert found.chance_level == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": np.ones(160, bool)}, "images in training and in the test: 80"),
        ({"train": [1, 2]}, "train says for each of the 160 images"),
        ({"test": np.zeros(160, bool)}, "test holds no image whose density is known"),
        ({"test": np.arange(160) >= 158}, "density is the same for all images of the test"),
        ({"train": np.arange(160) < 4}, "2 women cannot be split into 5 folds"),
        ({"model": "forest"}, "no model"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(change, message):
    x, known, woman, first = shortcut()
    with pytest.raises(AnalysisError, match=message):
        transfer(x, known.density, groups=woman, **({"train": first, "test": ~first} | change))


def test_a_transfer_repeats_itself_and_comes_back_from_json():
    x, known, woman, first = shortcut()
    found, again = (
        transfer(x, known.density, train=first, test=~first, groups=woman, nuisances=known[["vendor"]])
        for _ in range(2)
    )
    assert found == again
    assert Transfer.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_ties_by_chance_are_not_reported_and_those_of_few_women_are_not_taken_for_more():
    _, known, woman, _ = shortcut()
    alarms = 0
    for seed in range(20):
        dealt = np.random.default_rng(seed).integers(0, 4, 12)[woman[:24]]
        alarms += len(ties(known.density[:24], pd.DataFrame({"site": dealt.astype(str)}), groups=woman[:24]))
    assert alarms <= 4
    one = ties(known.density, known[["density"]].rename(columns={"density": "copy"}), groups=woman)
    assert one[0].startswith("copy explains 100% of density here (p = 0.00")


def test_a_class_that_no_model_has_seen_is_not_asked_for():
    x, known, woman, first = shortcut()
    y = known.density.where(first | (woman % 4 > 0), "middle")
    with pytest.raises(AnalysisError, match="no image in training has density middle, so no model could say"):
        transfer(x, y, train=first, test=~first, groups=woman)


def test_a_class_that_the_test_lacks_is_said():
    x, known, woman, first = shortcut()
    y = known.density.where(~(first & (woman % 4 == 0)), "middle")
    found = transfer(x, y, train=first, test=~first, groups=woman)
    assert found.warnings == (
        "No image of the test has density middle: its scores are those of the other classes.",
    )


def test_a_class_of_shared_women_alone_counts_for_nothing():
    x, known, woman, first = shortcut()
    woman = woman.copy()
    woman[-8:] = woman[:8]  # four women of both sets
    y = known.density.where(~(first & (woman < 4)), "middle")
    found = transfer(x, y, train=first, test=~first, groups=woman)
    assert (found.shared_women, found.chance_level) == (4, 0.5)


@pytest.mark.parametrize(
    ("nuisances", "message"),
    [
        ([1, 2], "needed is a pandas DataFrame"),
        (pd.DataFrame({"vendor": ["a"]}), "1 row of metadata for 160 images"),
        (pd.DataFrame([["a", "b"]] * 160, columns=["v", "v"]), "two columns of the metadata are called v"),
    ],
)
def test_nuisances_that_do_not_fit_are_refused(nuisances, message):
    x, known, woman, first = shortcut()
    with pytest.raises(AnalysisError, match=message):
        transfer(x, known.density, train=first, test=~first, groups=woman, nuisances=nuisances)


def test_columns_may_be_called_by_number():
    _, known, woman, _ = shortcut()
    found = ties(known.density, pd.DataFrame({7: known.density}), groups=woman)
    assert found[0].startswith("7 explains 100% of density here")


def test_a_number_is_not_measured_where_training_has_it_in_a_few_values_only():
    x, _, woman, first = shortcut()
    with pytest.raises(AnalysisError, match="too few different values of the target"):
        transfer(x, np.where(first, woman % 3, x[:, 0]), train=first, test=~first, groups=woman)
