"""What lesson 08 builds, where an exercise is skipped: k-means, counts without noise, a k, and puddles.

In: points, labels or counts as numpy arrays. Out: clusters, or what may be said of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def kmeans(points: Array, centres: Array) -> tuple[Array, Array]:
    """Return k-means' labels `(N,)` and centres `(k, D)`, from the centres `(k, D)` to start from."""
    labels = np.full(len(points), -1)
    while True:
        nearest = ((points[:, np.newaxis] - centres) ** 2).sum(axis=2).argmin(axis=1)
        if np.array_equal(nearest, labels):
            return labels, centres
        labels, centres = nearest, centres.copy()
        for j in np.unique(labels):  # a centre that is nearest to no point stays where it is
            centres[j] = points[labels == j].mean(axis=0)


def count_clusters(labels: Array) -> tuple[int, float]:
    """Return how many clusters there are, and the share of images in one; −1 is noise."""
    inside = labels >= 0
    return len(np.unique(labels[inside])), float(inside.mean())


def excess(found: Array, null: Array) -> Array:
    """Return by how much silhouettes `(…, K)` exceed the mean of the draws `(draws, K)` at each k."""
    above: Array = found - null.mean(axis=0)
    return above


def best_k(ks: Array, found: Array, null: Array) -> tuple[int, float]:
    """Return the k with the largest excess over draws `(draws, K)` without clusters, and its p."""
    ours, largest = excess(found, null), excess(null, null).max(axis=1)
    p = (1 + (largest >= ours.max()).sum()) / (1 + len(null))
    return int(ks[ours.argmax()]), float(p)


def deepest_puddle(counts: Array) -> int:
    """Return the depth of the deepest valley of a histogram, filled up to the lower of its walls."""
    left = np.maximum.accumulate(counts)
    right = np.maximum.accumulate(counts[::-1])[::-1]
    return int((np.minimum(left, right) - counts).max())
