"""Keep women together, in folds and intervals, and choose nothing by a label that is asked for (lesson 10).

Vectors, labels and whose they are go in; out come the folds, what is predicted in them, and how sure that is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def dealt_out(women: Array, labels: Array, splits: int, rng: np.random.Generator) -> Array:
    """Return the fold `(N,)`, 0 to `splits` − 1, of each image: women whole, each class spread evenly.

    Args:
        women: `(N,)`, whose each image is.
        labels: `(N,)`, the class of each image, the same for all images of a woman.
        splits: how many folds.
        rng: shuffles the women of each class.
    """
    names, first, owner = np.unique(women, return_index=True, return_inverse=True)
    fold = np.empty(len(names), np.int64)
    for level in np.unique(labels[first]):
        members = rng.permutation(np.flatnonzero(labels[first] == level))
        fold[members] = np.arange(len(members)) % splits
    return fold[owner]


def asked_in_folds(vectors: Array, labels: Array, fold: Array, count: int) -> Array:
    """Return the predicted labels `(N,)`, each from `count` columns that the other folds have chosen.

    Args:
        vectors: `(N, D)`.
        labels: `(N,)`, two classes or more.
        fold: `(N,)`, the fold of each image.
        count: how many columns, at most D.
    """
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(SelectKBest(k=count), StandardScaler(), LogisticRegression(max_iter=1000))
    predicted = np.empty_like(labels)
    for k in np.unique(fold):
        train = fold != k
        predicted[~train] = model.fit(vectors[train], labels[train]).predict(vectors[~train])
    return predicted


def ends_over(right: Array, women: Array, rng: np.random.Generator, draws: int) -> tuple[float, float]:
    """Return the ends of a 95% interval of the share of right answers, from drawing women anew.

    Args:
        right: `(N,)` bool, for each image.
        women: `(N,)`, whose each image is.
        rng: draws the women.
        draws: how often.
    """
    owner = np.unique(women, return_inverse=True)[1]
    sums, images = np.bincount(owner, right), np.bincount(owner)
    times = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), draws)
    low, high = np.percentile((times @ sums) / (times @ images), [2.5, 97.5])
    return float(low), float(high)


def weighted_kappa(truth: Array, said: Array, classes: int) -> float:
    """Return Cohen's quadratic kappa of two arrays `(N,)` of class numbers, 0 to `classes` − 1."""
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(truth, said, labels=np.arange(classes), weights="quadratic"))


def confidence_curve(confidence: Array, right: Array, bins: int) -> tuple[Array, Array, Array]:
    """Return mean confidence, share right and number of images of each of `bins` that holds any.

    Args:
        confidence: `(N,)`, 0 to 1.
        right: `(N,)` bool.
        bins: of equal width, from 0 to 1; the last one holds 1.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    images = np.bincount(place, minlength=bins)
    used = images > 0
    mean_confidence = np.bincount(place, confidence, bins)[used] / images[used]
    return mean_confidence, np.bincount(place, right, bins)[used] / images[used], images[used]


def least_sure(probabilities: Array, women: Array) -> Any:
    """Return the woman whose images have the least mean gap between the two likeliest classes.

    Args:
        probabilities: `(M, K)`, of each image.
        women: `(M,)`, the woman of each image.
    """
    names, owner = np.unique(women, return_inverse=True)
    ordered = np.sort(probabilities, axis=1)
    margins = np.bincount(owner, ordered[:, -1] - ordered[:, -2]) / np.bincount(owner)
    return names[margins.argmin()]
