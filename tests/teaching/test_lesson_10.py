"""Exercises of lesson 10: other right answers, rarer mistakes, and what stands in for an answer."""

import inspect
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.calibration import calibration_curve
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.teaching import exercise
from course_utils.teaching.exercises import lesson_10 as lesson
from course_utils.teaching.folds import (
    asked_in_folds,
    confidence_curve,
    dealt_out,
    ends_over,
    least_sure,
    weighted_kappa,
)

# --- Right answers


def numbers_of(splitter, women, labels):
    fold = np.zeros(len(women), int)
    for k, (_, test) in enumerate(splitter.split(women, labels, women)):
        fold[test] = k
    return fold


def by_scikit_learn(women, labels, splits, rng):
    seed = int(rng.integers(2**31))
    return numbers_of(StratifiedGroupKFold(splits, shuffle=True, random_state=seed), women, labels)


def by_a_dictionary(women, labels, splits, rng):
    by_class = defaultdict(list)
    for name, label in dict(zip(women.tolist(), labels.tolist(), strict=True)).items():
        by_class[label].append(name)
    fold, turn = {}, 0
    for members in by_class.values():
        rng.shuffle(members)
        for name in members:
            fold[name] = turn % splits
            turn += 1
    return [fold[name] for name in women.tolist()]


def by_pandas(women, labels, splits, rng):
    hers = pd.DataFrame({"w": women, "y": labels}).drop_duplicates("w").sample(frac=1, random_state=rng)
    hers["fold"] = hers.groupby("y").cumcount() % splits
    return pd.Series(women).map(hers.set_index("w")["fold"])


def in_a_list(right, women, rng, draws):
    by_name = {name: right[women == name] for name in sorted(set(women.tolist()))}
    names, shares = list(by_name), []
    for _ in range(draws):
        hits = [by_name[name] for name in rng.choice(names, len(names))]
        shares.append(sum(each.sum() for each in hits) / sum(len(each) for each in hits))
    shares.sort()
    return [shares[round(0.025 * draws)], shares[round(0.975 * draws) - 1]]


def by_tables(right, women, rng, draws):
    table = pd.DataFrame({"right": right, "woman": women}).groupby("woman")["right"].agg(["sum", "size"])
    drawn = [table.sample(frac=1, replace=True, random_state=rng).sum() for _ in range(draws)]
    return tuple(pd.Series([each["sum"] / each["size"] for each in drawn]).quantile([0.025, 0.975]))


def pair_by_pair(truth, said, classes):
    n, rows, columns = len(truth), Counter(truth.tolist()), Counter(said.tolist())
    missed = sum((a - b) ** 2 for a, b in zip(truth.tolist(), said.tolist(), strict=True))
    expected = sum(
        Fraction((i - j) ** 2 * rows[i] * columns[j], n) for i in range(classes) for j in range(classes)
    )
    return 1 - missed / expected


def with_weights_up_to_one(truth, said, classes):
    observed = np.histogram2d(truth, said, bins=np.arange(classes + 1))[0] / len(truth)
    weight = 1 - np.subtract.outer(np.arange(classes), np.arange(classes)) ** 2 / (classes - 1) ** 2
    expected = observed.sum(1, keepdims=True) @ observed.sum(0, keepdims=True)
    agreed, by_chance = (weight * observed).sum(), (weight * expected).sum()
    return np.array((agreed - by_chance) / (1 - by_chance))


def step_by_step(vectors, labels, fold, count):
    said = []
    for i in range(len(labels)):
        train = fold != fold[i]
        scores = f_classif(vectors[train], labels[train])[0]
        best = scores.argsort()[-count:]
        model = LogisticRegression().fit(vectors[train][:, best], labels[train])
        said.append(model.predict(vectors[i : i + 1, best])[0])
    return said


def with_any(model):
    def chosen_inside(vectors, labels, fold, count):
        steps = make_pipeline(StandardScaler(), SelectKBest(k=count), model)
        return cross_val_predict(steps, vectors, labels, cv=PredefinedSplit(fold))

    return chosen_inside


def scaled_before(vectors, labels, fold, count):
    """It looks at no label: a habit, not a leak."""
    return asked_in_folds(StandardScaler().fit_transform(vectors), labels, fold, count)


def by_means_apart(vectors, labels, fold, count):
    said = np.empty(len(labels), object)
    for k in set(fold.tolist()):
        x, y, there = vectors[fold != k], labels[fold != k], vectors[fold == k]
        one, other = (x[y == label] for label in ("heads", "tails"))
        gap = np.abs(one.mean(0) - other.mean(0)) / (one.std(0) + other.std(0))
        best = np.argsort(-gap)[:count]
        nearer = [np.linalg.norm(there[:, best] - g[:, best].mean(0), axis=1) for g in (one, other)]
        said[fold == k] = np.where(nearer[0] < nearer[1], "heads", "tails")
    return said


def bin_by_bin(confidence, right, bins):
    out = []
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = (confidence >= low) & ((confidence < high) | (b == bins - 1))
        if inside.any():
            out.append((confidence[inside].mean(), right[inside].mean(), inside.sum()))
    return [list(column) for column in zip(*out, strict=True)]


def by_digitize(confidence, right, bins):
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    table = pd.DataFrame({"c": confidence, "r": right}).groupby(place)
    return np.array([table["c"].mean(), table["r"].mean(), table.size()])


def by_bincount(confidence, right, bins):
    place = np.minimum(np.floor(confidence * bins), bins - 1).astype(int)
    images = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=each, minlength=bins) for each in (confidence, right))
    c, r = (each[images > 0] / images[images > 0] for each in sums)
    return c.astype(np.float32).astype(float), r, images[images > 0]


def by_groupby(probabilities, women):
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return pd.Series(two[:, 1] - two[:, 0]).groupby(women).mean().idxmin()


def by_hand(probabilities, women):
    found = {}
    for name in set(women.tolist()):
        gaps = []
        for row in probabilities[women == name]:
            first, second, *_ = sorted(row, reverse=True)
            gaps.append(first - second)
        found[name] = sum(gaps) / len(gaps)
    return min(found, key=found.get)


def women_first(women, labels, splits, rng):
    """scikit-learn's folds, of a table that has each woman once."""
    names, first, owner = np.unique(women, return_index=True, return_inverse=True)
    fold = np.zeros(len(names), np.uint8)
    cards = StratifiedKFold(splits, shuffle=True, random_state=int(rng.integers(2**31)))
    for k, (_, test) in enumerate(cards.split(names, labels[first])):
        fold[test] = k
    return fold[owner]


def in_chunks(women, labels, splits, rng):
    names, first, owner = np.unique(women, return_index=True, return_inverse=True)
    fold = np.zeros(len(names), int)
    for label in np.unique(labels):
        hers = rng.permutation(np.flatnonzero(labels[first] == label))
        for k, part in enumerate(np.array_split(hers, splits)):
            fold[part] = k
    return tuple(fold[owner].tolist())


def by_scipy(right, women, rng, draws):
    owner = np.unique(women, return_inverse=True)[1]

    def share(hits, images, axis=-1):
        return hits.sum(axis) / images.sum(axis)

    data, how = (np.bincount(owner, right), np.bincount(owner)), {"paired": True, "method": "percentile"}
    found = scipy.stats.bootstrap(
        data, share, n_resamples=draws, random_state=int(rng.integers(2**31)), **how
    )
    return found.confidence_interval


def from_moments(truth, said, classes):
    gap = truth.mean() - said.mean()
    return 2 * np.cov(truth, said, bias=True)[0, 1] / (truth.var() + said.var() + gap**2)


def with_numbers_for_labels(vectors, labels, fold, count):
    said = with_any(LogisticRegression())(vectors.astype(np.float32), labels == "tails", fold, count)
    return np.where(said, "tails", "heads").tolist()


def by_histograms(confidence, right, bins):
    images, *sums = (
        np.histogram(confidence, bins, (0, 1), weights=each)[0] for each in (None, confidence, right * 1.0)
    )
    used = images > 0
    return (*(each[used] / images[used] for each in sums), pd.Series(images[used]))


def by_calibration_curve(confidence, right, bins):
    share, means = calibration_curve(right, confidence, n_bins=bins)
    images = np.histogram(confidence, bins, (0, 1))[0]
    return means, share, images[images > 0]


def as_an_array_of_nothing(probabilities, women):
    return np.array(by_groupby(probabilities, women))


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("10.1", by_scikit_learn),
        ("10.1", by_a_dictionary),
        ("10.1", by_pandas),
        ("10.1", dealt_out),
        ("10.1", lambda women, labels, splits, rng: dealt_out(women, labels, splits, rng).astype(float)),
        ("10.1", lambda women, labels, splits, rng: splits - 1 - dealt_out(women, labels, splits, rng)),
        ("10.1", women_first),
        ("10.1", in_chunks),
        ("10.2", ends_over),
        ("10.2", by_scipy),
        ("10.2", lambda right, women, rng, draws: pd.Series(ends_over(right, women, rng, draws))),
        ("10.2", in_a_list),
        ("10.2", by_tables),
        ("10.2", lambda right, women, rng, draws: np.array(ends_over(right * 1.0, women, rng, 999))),
        ("10.3", weighted_kappa),
        ("10.3", lambda t, s, k: cohen_kappa_score(t, s, weights="quadratic", labels=np.arange(k))),
        ("10.3", pair_by_pair),
        ("10.3", with_weights_up_to_one),
        ("10.3", from_moments),
        ("10.3", lambda t, s, k: 1 - ((t - s) ** 2).mean() / ((t[:, None] - s) ** 2).mean()),
        ("10.4", asked_in_folds),
        ("10.4", with_numbers_for_labels),
        ("10.4", step_by_step),
        ("10.4", with_any(LogisticRegression(C=0.01))),
        ("10.4", with_any(RidgeClassifier())),
        ("10.4", with_any(GaussianNB())),
        ("10.4", with_any(KNeighborsClassifier(5))),
        ("10.4", scaled_before),
        ("10.4", by_means_apart),
        ("10.4", lambda v, y, f, k: pd.Series(asked_in_folds(v, y, f, k))),
        ("10.5", confidence_curve),
        ("10.5", by_histograms),
        ("10.5", by_calibration_curve),
        ("10.5", bin_by_bin),
        ("10.5", by_digitize),
        ("10.5", by_bincount),
        ("10.6", least_sure),
        ("10.6", by_groupby),
        ("10.6", by_hand),
        ("10.6", as_an_array_of_nothing),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


# --- Wrong answers


def tears_some(women, labels, splits, rng):
    fold = dealt_out(women, labels, splits, rng)
    fold[0] = (fold[0] + 1) % splits
    return fold


def seeds_itself(women, labels, splits, rng):
    return dealt_out(women, labels, splits, np.random.default_rng())


def sorts_the_women(women, labels, splits, rng):
    fold = dealt_out(women, labels, splits, rng)
    women.sort()
    return fold


def with_own_luck(right, women, rng, draws):
    return ends_over(right, women, np.random.default_rng(), draws)


def one_woman_less(right, women, rng, draws):
    names = np.unique(women)
    shares = []
    for _ in range(draws):
        drawn = rng.choice(names, 6)
        shares.append(np.concatenate([right[women == name] for name in drawn]).mean())
    return np.percentile(shares, [2.5, 97.5])


def asks_isin(right, women, rng, draws):
    names = np.unique(women)
    shares = [right[np.isin(women, rng.choice(names, len(names)))].mean() for _ in range(draws)]
    return np.percentile(shares, [2.5, 97.5])


def of_the_numbers(right, women, rng, draws):
    low, high = ends_over(right, women, rng, draws)
    return 100 * low, 100 * high


def choose_before_in_a_pipeline(vectors, labels, fold, count):
    best = f_classif(vectors, labels)[0].argsort()[-count:]
    return with_any(LogisticRegression())(vectors[:, best], labels, fold, count)


def chooses_among_the_asked(vectors, labels, fold, count):
    said = labels.copy()
    for k in np.unique(fold):
        test = fold == k
        best = f_classif(vectors[test], labels[test])[0].argsort()[-count:]
        model = LogisticRegression().fit(vectors[~test][:, best], labels[~test])
        said[test] = model.predict(vectors[test][:, best])
    return said


def first_columns(vectors, labels, fold, count):
    return with_any(LogisticRegression())(vectors[:, :count], labels, fold, count)


def says_the_truth(vectors, labels, fold, count):
    return labels


def forgets_the_choice(vectors, labels, fold, count):
    return cross_val_predict(LogisticRegression(), vectors, labels, cv=PredefinedSplit(fold))


def as_numbers(vectors, labels, fold, count):
    return (asked_in_folds(vectors, labels, fold, count) == "tails").astype(int)


def moves_blocks(women, labels, splits, rng):
    """The same women stay together; which number they get is all that chance decides."""
    return rng.permutation(splits)[lesson._in_blocks(women, labels, splits, rng)]


def shuffles_the_women(women, labels, splits, rng):
    rng.shuffle(women)
    return dealt_out(women, labels, splits, rng)


def draws_images_too(right, women, rng, draws):
    hers = [right[women == name] for name in np.unique(women)]
    shares = []
    for _ in range(draws):
        drawn = [rng.choice(hers[i], len(hers[i])) for i in rng.integers(0, len(hers), len(hers))]
        shares.append(np.concatenate(drawn).mean())
    return np.percentile(shares, [2.5, 97.5])


def draws_from_the_column(right, women, rng, draws):
    names, shares = np.unique(women), []
    for _ in range(draws):
        drawn = rng.choice(women, len(names))
        shares.append(np.concatenate([right[women == name] for name in drawn]).mean())
    return np.percentile(shares, [2.5, 97.5])


def draws_as_many_as_images(right, women, rng, draws):
    owner = np.unique(women, return_inverse=True)[1]
    sums, images = np.bincount(owner, right), np.bincount(owner)
    times = rng.multinomial(len(right), np.full(len(images), 1 / len(images)), draws)
    return np.percentile((times @ sums) / (times @ images), [2.5, 97.5])


def in_parts_of_one(right, women, rng, draws):
    shares = lesson._drawn(right, women, "women", rng)
    return np.percentile(shares, [0.025, 0.975])


def counts_each_pair_once(truth, said, classes):
    observed = np.zeros((classes, classes))
    observed[truth, said] += 1
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / len(truth)
    weight = np.subtract.outer(np.arange(classes), np.arange(classes)) ** 2
    return 1 - (weight * observed).sum() / (weight * expected).sum()


def cut_off_at_nothing(truth, said, classes):
    return max(lesson._weighed(truth, said, classes, 2), 0)


def adds_one_in_place(truth, said, classes):
    truth += 1
    said += 1
    return lesson._weighed(truth - 1, said - 1, classes, 2)


def fitted_to_all(vectors, labels, fold, count):
    model = make_pipeline(SelectKBest(k=count), LogisticRegression())
    return model.fit(vectors, labels).predict(vectors)


def with_columns(number):
    return lambda vectors, labels, fold, count: asked_in_folds(vectors, labels, fold, number)


def fits_to_one_fold(vectors, labels, fold, count):
    said = labels.copy()
    for k in np.unique(fold):
        train = fold == (k + 1) % 3
        said[fold == k] = asked_by(LogisticRegression(), vectors, labels, train, fold == k, count)
    return said


def fits_to_the_nearest_of_one_fold(vectors, labels, fold, count):
    said = labels.copy()
    for k in np.unique(fold):
        train = fold == (k + 1) % 3
        said[fold == k] = asked_by(KNeighborsClassifier(3), vectors, labels, train, fold == k, count)
    return said


def asked_by(model, vectors, labels, train, asked, count):
    steps = make_pipeline(SelectKBest(k=count), model).fit(vectors[train], labels[train])
    return steps.predict(vectors[asked])


def forgets_a_label(vectors, labels, fold, count):
    said = asked_in_folds(vectors, labels, fold, count).astype(object)
    said[0] = np.nan
    return said


def by_folds(vectors, labels, fold, count):
    said = asked_in_folds(vectors, labels, fold, count)
    return [said[fold == k] for k in range(3)]


def from_one_half(confidence, right, bins):
    place = np.clip(((confidence - 0.5) * 2 * bins).astype(int), 0, bins - 1)
    there = np.unique(place)
    pick = [[each[place == b].mean() for b in there] for each in (confidence, right)]
    return (*pick, [(place == b).sum() for b in there])


def sorts_confidence(confidence, right, bins):
    found = lesson._curve(confidence, right, bins)
    confidence.sort()
    return found


def right_only(confidence, right, bins):
    return lesson._curve(confidence[right], right[right], bins)


def turned_round(confidence, right, bins):
    return tuple(part[::-1] for part in lesson._curve(confidence, right, bins))


def zeros_where_empty(confidence, right, bins):
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    images = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=each, minlength=bins) for each in (confidence, right)]
    return (*(each / np.maximum(images, 1) for each in sums), images)


def a_bin_for_one(confidence, right, bins):
    place = (confidence * bins).astype(int)
    there = np.unique(place)
    pick = [[each[place == b].mean() for b in there] for each in (confidence, right)]
    return (*map(np.array, pick), np.array([(place == b).sum() for b in there]))


def counted_answers(confidence, right, bins):
    means, shares, images = lesson._curve(confidence, right, bins)
    return means, shares * images, images


def the_place(probabilities, women):
    return np.unique(women).tolist().index(by_groupby(probabilities, women))


def the_margin_itself(probabilities, women):
    return float(lesson._margins(probabilities).min())


def all_of_them(probabilities, women):
    return pd.Series(lesson._margins(probabilities)).groupby(women).mean().sort_values().index.to_numpy()


def sorts_in_place(probabilities, women):
    name = by_groupby(probabilities, women)
    probabilities.sort(axis=1)
    return name


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("10.1", tears_some, "1 of 32 women have images in more than one fold"),
        ("10.1", seeds_itself, "two different answers"),
        ("10.1", sorts_the_women, "work on a copy"),
        ("10.1", lambda w, y, k, rng: numbers_of(KFold(k), w, y), "in more than one fold"),
        ("10.1", lambda w, y, k, rng: numbers_of(StratifiedKFold(k), w, y), "in more than one fold"),
        ("10.1", lambda w, y, k, rng: numbers_of(GroupKFold(k), w, y), "no fold lacks a class"),
        ("10.1", lambda w, y, k, rng: list(GroupKFold(k).split(w, y, w)), "lists of rows"),
        ("10.1", lambda w, y, k, rng: GroupKFold(k).split(w, y, w), "a generator"),
        ("10.1", lambda w, y, k, rng: rng.permutation(len(np.unique(w))) % k, "one number for each woman"),
        ("10.1", lambda w, y, k, rng: np.zeros(len(w)), "1 of them hold any image"),
        ("10.1", lambda w, y, k, rng: np.unique(w, return_inverse=True)[1], "5 folds are 0 to 4"),
        ("10.1", lambda w, y, k, rng: dealt_out(w, y, k, rng) / 2, "a whole number"),
        ("10.1", lambda w, y, k, rng: w, "a whole number"),
        ("10.1", lambda w, y, k, rng: 3, "one fold for each image is needed"),
        ("10.1", lambda w, y, k, rng: dealt_out(w, y, k, np.random.default_rng(4)), "every generator puts"),
        ("10.1", moves_blocks, "every generator puts the same women together"),
        ("10.1", shuffles_the_women, "work on a copy"),
        ("10.1", lambda w, y, k, rng: dealt_out(w, y, k, rng) + 0j, "a whole number"),
        ("10.1", lambda w, y, k, rng: dealt_out(w, y, k, rng) * np.nan, "a whole number"),
        ("10.1", lambda w, y, k, rng: dict.fromkeys(w.tolist(), 0), "a dict"),
        ("10.2", lambda r, w, rng, n: ends_over(r, w, np.random.default_rng(0), n), "the same two ends"),
        ("10.2", draws_images_too, "Draw women only"),
        ("10.2", draws_from_the_column, "nine times as often"),
        ("10.2", draws_as_many_as_images, "in each draw as many women as there are"),
        ("10.2", in_parts_of_one, "counts in per cent"),
        ("10.2", lesson._of_women("women", 0.98), "an interval of 98%"),
        ("10.2", lambda r, w, rng, n: (r.sort(), ends_over(r, w, rng, n))[1], "work on a copy"),
        ("10.2", lambda r, w, rng, n: (np.nan, np.nan), "not a number"),
        ("10.2", with_own_luck, "two different answers"),
        ("10.2", one_woman_less, "too wide"),
        ("10.2", asks_isin, "counts twice"),
        ("10.2", of_the_numbers, "shares go from 0 to 1"),
        ("10.2", lambda r, w, rng, n: ends_over(r, w, rng, n)[::-1], "changed places"),
        ("10.2", lambda r, w, rng, n: ends_over(r, w, rng, n)[0], "two things are needed"),
        ("10.2", lambda r, w, rng, n: (r.mean(), r.mean()), "*with* replacement"),
        ("10.2", lambda r, w, rng, n: np.array([0.1, 0.2]), "does not hold the share itself"),
        ("10.2", lambda r, w, rng, n: (None, 1.0), "one of them is missing"),
        ("10.2", lambda r, w, rng, n: ends_over(r, np.arange(len(w)), rng, n), "if images are drawn"),
        ("10.2", lambda r, w, rng, n: ends_over(~r, w, rng, n), "does not hold the share itself"),
        ("10.3", lambda t, s, k: cohen_kappa_score(t, s, weights="quadratic"), "lies between its neighbours"),
        ("10.3", lambda t, s, k: cohen_kappa_score(t, s), "plain kappa"),
        (
            "10.3",
            lambda t, s, k: cohen_kappa_score(t, s, weights="linear"),
            "a miss by two counts four times",
        ),
        ("10.3", lambda t, s, k: (t == s).mean(), "what chance would give"),
        ("10.3", lambda t, s, k: balanced_accuracy_score(t, s), "It should be"),
        ("10.3", lambda t, s, k: np.corrcoef(t, s)[0, 1], "It should be"),
        ("10.3", lambda t, s, k: 1 - cohen_kappa_score(t, s, weights="quadratic"), "kappa is one minus it"),
        ("10.3", lambda t, s, k: np.eye(k), "should be one number"),
        ("10.3", lambda t, s, k: "0.5", "should be one number"),
        ("10.3", counts_each_pair_once, "you counted it once"),
        ("10.3", cut_off_at_nothing, "Worse than chance"),
        ("10.3", lambda t, s, k: abs(lesson._weighed(t, s, k, 2)), "Worse than chance"),
        ("10.3", adds_one_in_place, "work on a copy"),
        ("10.3", lambda t, s, k: np.nan, "It should be"),
        ("10.4", fitted_to_all, "They have had a say"),
        ("10.4", with_columns(1), "use all of the `count` best"),
        ("10.4", with_columns(2), "use all of the `count` best"),
        ("10.4", with_columns(3), "as many as `count` says"),
        ("10.4", with_columns(10), "as many as `count` says"),
        ("10.4", fits_to_one_fold, "*all* other folds"),
        ("10.4", fits_to_the_nearest_of_one_fold, "*all* other folds"),
        ("10.4", forgets_a_label, "predictions are labels"),
        ("10.4", by_folds, "as if one for each fold"),
        ("10.4", lambda v, y, f, k: SelectKBest(k=k), "a prediction for each image"),
        ("10.4", lambda v, y, f, k: make_pipeline(SelectKBest(k=k), GaussianNB()), "out came a model"),
        ("10.4", lambda v, y, f, k: dict(enumerate(asked_in_folds(v, y, f, k))), "a dict"),
        ("10.4", choose_before_in_a_pipeline, "They have had a say"),
        ("10.4", chooses_among_the_asked, "They have had a say"),
        ("10.4", says_the_truth, "They have had a say"),
        ("10.4", first_columns, "three columns of 403"),
        ("10.4", forgets_the_choice, "Only the `count` best"),
        ("10.4", as_numbers, "predictions are labels"),
        ("10.4", lambda v, y, f, k: asked_in_folds(v, y, f, k)[f == 0], "a prediction for each image"),
        ("10.4", lambda v, y, f, k: v[:, :k], "a prediction for each image"),
        ("10.4", lambda v, y, f, k: 0.5, "not how good that is"),
        ("10.5", from_one_half, "your bins hold"),
        ("10.5", sorts_confidence, "work on a copy"),
        ("10.5", lambda c, r, n: lesson._curve(c, r, n)[::-1], "have changed places"),
        ("10.5", lambda c, r, n: np.transpose(lesson._curve(c, r, n)), "three arrays"),
        ("10.5", lambda c, r, n: np.array(lesson._curve(c, r, n)) * [[1], [1], [1 / len(c)]], "are shares"),
        ("10.5", lambda c, r, n: np.array(lesson._curve(c, r, n)) * [[np.nan], [1], [1]], "are NaN"),
        ("10.5", lambda c, r, n: np.array(lesson._curve(c, r, n)) + 0j, "should be numbers"),
        ("10.5", right_only, "images went in"),
        ("10.5", turned_round, "order is not"),
        ("10.5", zeros_where_empty, "hold no image"),
        ("10.5", a_bin_for_one, "exactly 1"),
        ("10.5", counted_answers, "numbers of right answers"),
        ("10.5", lambda c, r, n: lesson._curve(c, r, 2 * n), "your bins hold"),
        ("10.5", lambda c, r, n: lesson._curve(c, ~r, n), "the shares that are right are not"),
        ("10.5", lambda c, r, n: lesson._curve(c, r, n)[:2], "three things are needed"),
        ("10.5", lambda c, r, n: (c.mean(), r.mean(), len(r)), "one number for each bin"),
        ("10.5", lambda c, r, n: (np.ones(3), np.ones(2), np.ones(3)), "different lengths"),
        ("10.6", the_place, "none of the women"),
        ("10.6", the_margin_itself, "that is a margin"),
        ("10.6", lambda p, w: pd.Series(lesson._margins(p)).groupby(w).mean().min(), "that is a margin"),
        ("10.6", lambda p, w: str(w), "a str is none of the women"),
        ("10.6", lambda p, w: np.nan, "none of the women"),
        ("10.6", lambda p, w: {w[0]}, "a set is none of the women"),
        ("10.6", all_of_them, "one woman is needed"),
        ("10.6", sorts_in_place, "work on a copy"),
        ("10.6", lesson._asks("median"), "take the mean"),
        ("10.6", lesson._asks("entropy"), "here it is the margin"),
        ("10.6", lesson._asks("extremes"), "take the two largest"),
        ("10.6", lesson._asks("first minus second"), "not sorted by probability"),
        ("10.6", lambda p, w: w[0], "has the smallest"),
        ("10.6", lambda p, w: "nobody", "none of the women"),
    ],
)
def test_a_rarer_mistake_is_named_too(number, answer, says):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text, verdict.text


# --- What the checks stand on


def test_the_reference_of_kappa_agrees_with_scikit_learn():
    for truth, said, classes in lesson._READINGS:
        for power, weights in ((0, None), (1, "linear"), (2, "quadratic")):
            ours = lesson._weighed(np.array(truth), np.array(said), classes, power)
            assert ours == pytest.approx(
                cohen_kappa_score(truth, said, weights=weights, labels=np.arange(classes))
            )


def test_women_of_the_check_have_unequal_numbers_of_images_and_every_class_its_women():
    for women, labels, splits in lesson._women_and_classes():
        table = pd.DataFrame({"woman": women, "label": labels})
        assert table.groupby("woman")["label"].nunique().max() == 1
        assert table["woman"].value_counts().nunique() > 1
        assert table.drop_duplicates("woman")["label"].value_counts().min() >= splits
        assert not (np.diff(np.unique(women, return_inverse=True)[1]) >= 0).all()


def test_intervals_over_women_images_and_women_once_are_told_apart():
    """By far more than the chance in an answer: else luck would decide which message comes."""
    for seed in (1, 5):
        right, women = lesson._answers(seed)
        rng = np.random.default_rng(1)
        ends = {way: np.quantile(lesson._drawn(right, women, way, rng), [0.025, 0.975]) for way in
                ("women", *lesson._OTHER_DRAWS)}  # fmt: skip
        error = lesson._drawn(right, women, "women", rng).std()
        for way in lesson._OTHER_DRAWS:
            assert np.abs(ends[way] - ends["women"]).max() > 0.28 * error


def test_an_interval_is_judged_alike_whatever_its_luck():
    """Twenty answers that draw otherwise, and each is right."""

    def shifted(by):
        def interval(right, women, rng, draws):
            rng.random(by)
            return ends_over(right, women, rng, draws)

        return interval

    states = [exercise("10.2").judge(shifted(by)).state for by in range(1, 21)]
    assert states == ["right"] * 20


def test_no_confidence_of_the_check_lies_at_an_edge_but_one():
    for confidence, _, bins in lesson._confidences():
        inside = confidence[confidence < 1] * bins
        assert np.abs(inside - np.round(inside)).min() > 1e-6
        assert (confidence == 1).any()


def test_the_usual_ways_to_choose_a_woman_differ_in_both_cases_and_all_ways_in_one():
    for probabilities, women in lesson._asked():
        assert probabilities.sum(axis=1) == pytest.approx(1)
        ways = ["mean margin", *lesson._WAYS]
        assert len({women[lesson._place(probabilities, women, way)] for way in ways}) == len(ways)
        margins = [lesson._margins(probabilities)[women == name].mean() for name in np.unique(women)]
        assert np.diff(np.sort(margins))[0] > 1e-3
    both = {
        tuple(str(women[lesson._place(each, women, way)]) for each, women in lesson._asked())
        for way in [*ways, *lesson._RARER]
    }
    assert len(both) == len(ways) + len(lesson._RARER)


def test_no_solution_stands_in_the_module_of_the_exercises():
    functions = {name: value for name, value in vars(lesson).items() if inspect.isfunction(value)}
    own = {name: value for name, value in functions.items() if value.__module__ == lesson.__name__}
    right = [
        (each.id, name)
        for each in lesson.EXERCISES
        for name, function in own.items()
        if each.judge(function).state == "right"
    ]
    assert right == [("10.5", "_curve")]  # what the check compares with


# --- What stands in for an answer


def test_women_dealt_out_stay_whole_and_each_class_is_spread_evenly():
    for women, labels, splits in lesson._women_and_classes():
        fold = dealt_out(women, labels, splits, np.random.default_rng(0))
        table = pd.DataFrame({"woman": women, "label": labels, "fold": fold})
        assert table.groupby("woman")["fold"].nunique().max() == 1
        spread = table.drop_duplicates("woman").groupby(["label", "fold"]).size().unstack(fill_value=0)
        assert (spread.max(axis=1) - spread.min(axis=1)).max() <= 1
        assert not np.array_equal(fold, dealt_out(women, labels, splits, np.random.default_rng(1)))


def test_an_interval_over_images_is_that_of_the_binomial_distribution():
    right = np.arange(400) < 300
    low, high = ends_over(right, np.arange(400), np.random.default_rng(0), 4000)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.005)
