"""What lesson 07 reads off maps, for whoever skips an exercise: scores, neighbours, gaps and silhouettes.

In: vectors `(N, D)` and maps of them. Out: the numbers that say how far such a map is to be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils.analysis import faithfulness, reduce
from course_utils.analysis.reduction import variance_shares

Array = NDArray[Any]


def pca(vectors: Array, dims: int) -> tuple[Array, Array]:
    """Return scores `(N, dims)` on the first principal axes, and the axes' shares of the variance."""
    scores = reduce(vectors, "pca", dims=dims)
    return scores, variance_shares(vectors, scores)


def neighbours_kept(vectors: Array, coordinates: Array, k: int) -> float:
    """Return the share, 0 to 1, of the k nearest others that are still among them on a map `(N, 2)`."""
    return faithfulness(vectors, coordinates, neighbours=k).kept.neighbours


def gap(vectors: Array, coordinates: Array, is_cc: Array) -> float:
    """Return how far apart two groups of vectors are, in units of their spread; `is_cc` is bool `(N,)`."""
    first, second = vectors[is_cc].mean(axis=0), vectors[~is_cc].mean(axis=0)
    own = np.where(is_cc[:, np.newaxis], first, second)
    spread = np.sqrt(((vectors - own) ** 2).sum(axis=1).mean())
    return float(np.linalg.norm(first - second) / spread)


def silhouette(vectors: Array, coordinates: Array, labels: Array) -> float:
    """Return the mean silhouette, −1 to 1, of labels `(N,)` in the vectors."""
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(vectors, labels))


def always_neighbours(maps: Sequence[Array], k: int) -> Array:
    """Return bool `(N, N)`: which images are among the k nearest others of which on every map."""
    from sklearn.neighbors import NearestNeighbors

    near = [NearestNeighbors(n_neighbors=k).fit(points).kneighbors_graph().toarray() > 0 for points in maps]
    together: Array = np.logical_and.reduce(near)
    return together
