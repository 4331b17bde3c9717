"""One clustering method on one cloud of points: points (N, dims) go in, labels come out (lesson 08).

The cloud is centred and reduced already, and what to use is decided: `clustering` does both. The evaluation
comes here again and again, to see what the same method makes of data without clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from course_utils.analysis.checks import NOISE

Method = Literal["kmeans", "gmm", "ward", "hdbscan"]
"""The available methods."""

FLOOR = 0.01
"""A mixture's variances get this share of the mean variance of the points added, in every direction. Without
it a component of few points becomes infinitely narrow, and the likelihood infinitely large."""

CORE = 10
"""HDBSCAN measures density by the distance to this neighbour at most."""

_BLOCK = 2**22  # distances that are held at once


@dataclass(frozen=True)
class Fitted:
    """What a method makes of a cloud of points (N, dims).

    Attributes:
        labels: int `(N,)`, 0 for the largest cluster, then by decreasing size (ties: the one whose first
            member comes first); −1 for noise.
        centres: `(k, dims)`, the mean of each cluster's members.
        probabilities: `(N, k)` that sum to 1 along a row, or None for a method without them.
        assign: gives points `(M, dims)` that were not there the labels `(M,)` that the method would.
        aic: Akaike's criterion, for a mixture; smaller is better.
        bic: the Bayesian one, likewise.
    """

    labels: NDArray[np.int64]
    centres: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None
    assign: Callable[[NDArray[np.float64]], NDArray[np.int64]]
    aic: float | None = None
    bic: float | None = None


def fit(space: NDArray[np.float64], method: Method, params: dict[str, Any], seed: int) -> Fitted:
    """Cluster a cloud of points.

    Args:
        space: `(N, dims)`, as `clustering.pca_space` gives it.
        method: one of `Method`.
        params: those of a Clustering; needed are `k` (not for HDBSCAN), `n_init` (k-means, mixture),
            `covariance` and `floor` (mixture), `min_cluster_size` and `min_samples` (HDBSCAN).
        seed: seed of every random choice. Ward and HDBSCAN make none.

    How a new point is assigned: k-means, the nearest centre; mixture, the most probable component; Ward, the
    cluster whose sum of squares grows least, as in the method itself; HDBSCAN, the cluster of the nearest
    point by mutual reachability, or noise if that is farther than where the cluster would meet the next.
    """
    methods = {"kmeans": _kmeans, "gmm": _mixture, "ward": _ward, "hdbscan": _hdbscan}
    return methods[method](np.asarray(space, np.float64), params, seed)


def _kmeans(space: NDArray[np.float64], params: dict[str, Any], seed: int) -> Fitted:
    from sklearn.cluster import KMeans

    model = KMeans(params["k"], n_init=params["n_init"], random_state=seed).fit(space)
    labels, order = ranked(model.labels_)
    return Fitted(
        labels, model.cluster_centers_[order], None, lambda points: _inverse(order)[model.predict(points)]
    )


def _mixture(space: NDArray[np.float64], params: dict[str, Any], seed: int) -> Fitted:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(
        params["k"],
        covariance_type=params["covariance"],
        reg_covar=params["floor"] * float(space.var(axis=0).mean()),
        n_init=params["n_init"],
        max_iter=500,
        random_state=seed,
    ).fit(space)
    found = model.predict(space)
    labels, order = ranked(found)
    # A component that is nowhere the most probable has no members: it comes last, with its own mean.
    order = np.r_[order, np.setdiff1d(np.arange(params["k"]), order)]
    centres = model.means_[order]
    for label in range(labels.max() + 1):
        centres[label] = space[labels == label].mean(axis=0)
    return Fitted(
        labels,
        centres,
        model.predict_proba(space)[:, order],
        lambda points: _inverse(order)[model.predict(points)],
        float(model.aic(space)),
        float(model.bic(space)),
    )


def _ward(space: NDArray[np.float64], params: dict[str, Any], seed: int) -> Fitted:
    from sklearn.cluster import AgglomerativeClustering

    labels, _ = ranked(AgglomerativeClustering(params["k"], linkage="ward").fit_predict(space))
    sizes, centres = np.bincount(labels), means(space, labels)

    def assign(points: NDArray[np.float64]) -> NDArray[np.int64]:
        return (_squares(points, centres) * (sizes / (sizes + 1))).argmin(axis=1)

    return Fitted(labels, centres, None, assign)


def _hdbscan(space: NDArray[np.float64], params: dict[str, Any], seed: int) -> Fitted:
    from sklearn.cluster import HDBSCAN

    found = HDBSCAN(
        min_cluster_size=params["min_cluster_size"], min_samples=params["min_samples"], copy=True
    ).fit_predict(space)
    labels, _ = ranked(found)

    def assign(points: NDArray[np.float64]) -> NDArray[np.int64]:
        return _assign_by_density(points, space, labels, params["min_samples"])

    return Fitted(labels, means(space, labels), None, assign)


def _assign_by_density(
    points: NDArray[np.float64], space: NDArray[np.float64], labels: NDArray[np.int64], min_samples: int
) -> NDArray[np.int64]:
    """Return the label of each point's nearest member, unless it is farther than its cluster reaches.

    "Near" is by mutual reachability: the largest of the distance and of the two points' distances to their
    `min_samples`-th neighbour. A cluster reaches as far as the nearest point that is none of its members.

    Source: Campello, Moulavi and Sander, Density-based clustering based on hierarchical density estimates,
    PAKDD 2013; McInnes and Healy, Accelerated hierarchical density based clustering, ICDMW 2017.
    """
    reach = np.full(labels.max() + 1, np.inf)
    core = _core(space, space, min_samples)
    for rows in _blocks(len(space), len(space)):
        distance = np.sqrt(_squares(space[rows], space))
        mutual = np.maximum(np.maximum(distance, core), core[rows, None])
        strangers = np.where(labels[rows, None] != labels, mutual, np.inf).min(axis=1)
        members = labels[rows] != NOISE
        np.minimum.at(reach, labels[rows][members], strangers[members])
    assigned = np.empty(len(points), np.int64)
    cores = _core(points, space, min_samples)
    for rows in _blocks(len(points), len(space)):
        distance = np.sqrt(_squares(points[rows], space))
        mutual = np.maximum(np.maximum(distance, core), cores[rows, None])
        nearest = np.lexsort((distance, mutual), axis=1)[:, 0]
        label = labels[nearest]
        inside = mutual[np.arange(len(label)), nearest] <= np.r_[reach, -np.inf][label]
        assigned[rows] = np.where(inside, label, NOISE)
    return assigned


def _core(points: NDArray[np.float64], space: NDArray[np.float64], min_samples: int) -> NDArray[np.float64]:
    """Return the distance (M,) of each point to its `min_samples`-th nearest in `space`."""
    core = np.empty(len(points))
    for rows in _blocks(len(points), len(space)):
        squares = _squares(points[rows], space)
        core[rows] = np.sqrt(np.partition(squares, min_samples - 1, axis=1)[:, min_samples - 1])
    return core


def _blocks(rows: int, columns: int) -> list[slice]:
    step = max(1, _BLOCK // columns)
    return [slice(start, start + step) for start in range(0, rows, step)]


def _squares(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial.distance import cdist

    return cdist(points, others, "sqeuclidean")


def ranked(found: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number clusters anew: 0 for the largest, then by decreasing size (ties: by the first member).

    Returns:
        The labels `(N,)`, −1 kept; and the old number of each new cluster.
    """
    labels = np.full(len(found), NOISE, np.int64)
    member = found != NOISE
    old, first, inverse, sizes = np.unique(
        found[member], return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    labels[member] = _inverse(order)[inverse]
    return labels, old[order].astype(np.int64)


def means(space: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean (k, dims) of the members of each cluster 0 … k − 1."""
    centres = [space[labels == label].mean(axis=0) for label in range(labels.max() + 1)]
    return np.array(centres).reshape(-1, space.shape[1])


def _inverse(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the permutation that undoes `order`."""
    return np.argsort(order)
