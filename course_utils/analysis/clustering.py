"""Vectors become groups: vectors (N, D) go in, one cluster number per image comes out (lesson 08).

The steps are always the same: centre, reduce by PCA, cluster. Whether the groups mean anything is not asked
here but in `evaluation`: k-means finds k clusters in anything, pure noise included.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import NOISE, check_dims, check_labels, check_seed, check_vectors, is_whole
from course_utils.analysis.choice import MOST_ROWS, Choice, choose_k
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.fitting import CORE, FLOOR, Fitted, Method, fit
from course_utils.analysis.reduction import centre, gaussian_scores, principal_components

__all__ = [
    "MOST_ROWS",
    "NOISE",
    "Clustering",
    "Fitted",
    "Method",
    "cluster",
    "fit",
    "gaussian_scores",
    "medoids",
    "nearest_to_centre",
    "outliers",
    "pca_space",
]

Covariance = Literal["full", "tied", "diag"]
"""What shapes the components of a mixture may have: any, all the same, or along the axes."""

STARTS = {"kmeans": 10, "gmm": 3}
"""Starts of which the best is kept. A mixture needs fewer: each of its starts is a k-means already."""

MOST_DIMS = 50
"""PCA keeps at most this many dimensions: in thousands of dimensions, distances are all alike, and slow."""


@dataclass(frozen=True)
class Clustering:
    """Which image is in which cluster, and how that came about.

    Attributes:
        labels: int `(N,)`, 0 for the largest cluster, then by decreasing size (ties: the one whose first
            member comes first). −1 is HDBSCAN's noise: in no cluster, and left out everywhere.
        probabilities: float `(N, k)` that sum to 1 along a row, for a mixture; otherwise None.
        params: what was actually used, JSON-able: `k`, `dims`, `standardise` and what the method takes; where
            k was chosen, also `k_asked` and `k_searched`.
        method: `"kmeans"`, `"gmm"`, `"ward"` or `"hdbscan"`.
        seed: the seed of every random choice.
        choice: how k was chosen; None where it was given, or found by HDBSCAN.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64] | None
    params: dict[str, Any]
    method: Method
    seed: int
    choice: Choice | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all but the labels, JSON-able; they belong in a table, beside the images."""
        choice = None if self.choice is None else self.choice.to_dict()
        return {"method": self.method, "params": self.params, "seed": self.seed, "choice": choice}


def cluster(
    vectors: ArrayLike,
    method: Method = "kmeans",
    *,
    k: int | Literal["auto"] = "auto",
    seed: int = 0,
    dims: int | None = None,
    standardise: bool = False,
    n_init: int | None = None,
    covariance: Covariance = "full",
    min_cluster_size: int | None = None,
) -> Clustering:
    """Group vectors: centre, reduce by PCA, cluster.

    Args:
        vectors: `(N, D)` finite numbers, one row per image.
        method: `"kmeans"`; `"gmm"`, a mixture of Gaussians; `"ward"`, a tree of clusters joined two by two;
            `"hdbscan"`, dense regions, with points between them left out as noise.
        k: number of clusters. `"auto"` tries 2 to 10 (at most N / 2), see `choice`: a choice, not a proof,
            for which see `evaluate`. HDBSCAN finds the number itself and takes `"auto"` only.
        seed: seed of every random choice, 0 to 2³² − 1; the same seed gives the same labels.
        dims: dimensions kept by PCA; None means 50, or N − 1 or D if smaller.
        standardise: divide each column by its standard deviation first.
        n_init: k-means and mixture: how many starts, of which the best is kept; None means 10 for k-means,
            and 3 for a mixture, each of whose starts is a k-means already.
        covariance: mixture: `"full"`, any shape for each component; `"tied"`, the same for all; `"diag"`,
            along the axes. A hundredth of the mean variance is added to every variance, so that a component
            of few points in many dimensions cannot collapse.
        min_cluster_size: HDBSCAN: fewer points than this are no cluster; None means a twentieth of them, and
            at least 5.

    Raises:
        AnalysisError: vectors that cannot be clustered, an unknown method or parameter, k larger than N, a
            seed out of range.

    Source: Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982) 129–137; Arthur and
    Vassilvitskii, k-means++, SODA 2007; Fraley and Raftery, Model-based clustering, JASA 97 (2002) 611–631;
    Ward, Hierarchical grouping to optimize an objective function, JASA 58 (1963) 236–244; Campello, Moulavi
    and Sander, Density-based clustering based on hierarchical density estimates, PAKDD 2013.
    """
    if method not in get_args(Method):
        raise AnalysisError(f"cluster has no method {method!r}; available: {', '.join(get_args(Method))}")
    seed = check_seed(seed)
    matrix = check_vectors(vectors)
    params: dict[str, Any] = {"k": k, "dims": dims, "standardise": standardise}
    params |= _params_of(method, len(matrix), n_init, covariance, min_cluster_size)
    space, singular = pca_space(matrix, params)
    params["dims"] = space.shape[1]
    choice = None
    if method == "hdbscan":
        if k != "auto":
            raise AnalysisError(
                f"k={k!r}: HDBSCAN finds the number of clusters itself; leave k at 'auto', or change "
                "min_cluster_size"
            )
    elif k == "auto":
        choice = choose_k(matrix, space, singular, method, params, seed)
        params |= {"k": choice.k, "k_asked": "auto", "k_searched": list(choice.ks)}
    else:
        _check_k(k, matrix)
    fitted = fit(space, method, params, seed)
    params["k"] = len(fitted.centres)
    return Clustering(fitted.labels, fitted.probabilities, params, method, seed, choice)


def nearest_to_centre(
    vectors: ArrayLike, labels: ArrayLike, *, count: int = 6, params: dict[str, Any] | None = None
) -> dict[int, NDArray[np.int64]]:
    """Return for each cluster the rows nearest its mean, nearest first: its prototypes, at most `count`.

    `params` are those of the Clustering, so that "near" refers to the space where it was made. Noise is in no
    cluster.
    """
    return {
        label: members[np.argsort(_from_mean(points), kind="stable")[:count]]
        for label, members, points in _clusters(vectors, labels, params)
    }


def medoids(vectors: ArrayLike, labels: ArrayLike, *, params: dict[str, Any] | None = None) -> dict[int, int]:
    """Return for each cluster the row with the smallest mean distance to the other members: its medoid.

    It is an image that exists, which a mean is not, and hardly moves if there is one wild member.
    """
    return {
        label: int(members[_total_distances(points).argmin()])
        for label, members, points in _clusters(vectors, labels, params)
    }


def outliers(
    vectors: ArrayLike, labels: ArrayLike, *, count: int = 6, params: dict[str, Any] | None = None
) -> NDArray[np.int64]:
    """Return the rows that are farthest out in their own clusters, farthest first, at most `count`.

    How far out is the distance to the cluster's mean over the root mean square of its members' distances, so
    that a wide cluster does not fill the list. Clusters of one or two have no outliers; noise was left out by
    the method itself (`labels == -1`).
    """
    rows, far = [np.empty(0, np.int64)], [np.empty(0)]
    for _, members, points in _clusters(vectors, labels, params):
        distance = _from_mean(points)
        spread = np.sqrt(np.mean(distance**2))
        if len(members) > 2 and spread > 0:
            rows.append(members)
            far.append(distance / spread)
    return np.concatenate(rows)[np.argsort(-np.concatenate(far), kind="stable")[:count]]


def pca_space(
    matrix: NDArray[np.float64], params: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores (N, dims) in which clusters are sought, and their singular values (dims,)."""
    dims, standardise = params.get("dims"), params.get("standardise", False)
    dims = min(MOST_DIMS, len(matrix) - 1, matrix.shape[1]) if dims is None else dims
    return principal_components(centre(matrix, standardise=standardise), check_dims(dims, matrix))


def _params_of(
    method: Method, rows: int, n_init: int | None, covariance: Covariance, min_cluster_size: int | None
) -> dict[str, Any]:
    """Return what the method takes besides k, checked."""
    if method == "ward":
        return {}
    if method == "hdbscan":
        size = min(rows, max(5, rows // 20)) if min_cluster_size is None else min_cluster_size
        if not is_whole(size) or not 2 <= size <= rows:
            raise AnalysisError(
                f"min_cluster_size={size!r}: for {rows} vectors, a whole number from 2 to {rows}"
            )
        return {"min_cluster_size": int(size), "min_samples": min(int(size), CORE)}
    n_init = STARTS[method] if n_init is None else n_init
    if not is_whole(n_init) or n_init < 1:
        raise AnalysisError(f"n_init={n_init!r}: the number of starts is a whole number from 1")
    if method == "kmeans":
        return {"n_init": int(n_init)}
    if covariance not in get_args(Covariance):
        raise AnalysisError(
            f"covariance={covariance!r} is none of a mixture's: {', '.join(get_args(Covariance))}"
        )
    return {"n_init": int(n_init), "covariance": covariance, "floor": FLOOR}


def _check_k(k: Any, matrix: NDArray[np.float64]) -> None:
    if not is_whole(k) or k < 1:
        raise AnalysisError(f"k={k!r}: the number of clusters must be a whole number from 1, or 'auto'")
    if k > len(matrix):
        raise AnalysisError(f"k={k} clusters from {len(matrix)} vectors: k can be at most {len(matrix)}")
    distinct = len(np.unique(matrix, axis=0))
    if k > distinct:
        raise AnalysisError(
            f"k={k} clusters, but only {distinct} of {len(matrix)} vectors differ: take a smaller k"
        )


def _clusters(
    vectors: ArrayLike, labels: ArrayLike, params: dict[str, Any] | None
) -> list[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
    """Return label, member rows and their points in the space of the clustering, for each cluster."""
    groups = check_labels(labels)
    space, _ = pca_space(check_vectors(vectors), params or {})
    if len(groups) != len(space):
        raise AnalysisError(f"{len(groups)} labels for {len(space)} vectors: there must be one for each")
    found = []
    for label in np.unique(groups[groups != NOISE]):
        members = np.flatnonzero(groups == label)
        try:
            found.append((int(label), members, space[members]))
        except ValueError:
            raise AnalysisError(f"label {label!r}: clusters are numbered here, from 0") from None
    return found


def _from_mean(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance (N,) of each point (N, dims) to the mean of all."""
    return np.linalg.norm(points - points.mean(axis=0), axis=1)


def _total_distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum (N,) of each point's distances to all others."""
    from sklearn.metrics import pairwise_distances_chunked

    def total(block: NDArray[np.float64], _: int) -> NDArray[np.float64]:
        return block.sum(axis=1)

    return np.concatenate(list(pairwise_distances_chunked(points, reduce_func=total)))
