"""Vectors become groups: vectors (N, D) go in, one cluster number per image comes out (lesson 08).

The steps are always the same: centre, reduce by PCA, cluster. Whether the groups mean anything is not asked
here but in `evaluation`: k-means finds k clusters in anything, pure noise included.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_dims, check_seed, check_vectors
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.reduction import centre, choose_params, principal_components

Method = Literal["kmeans"]
"""The available methods."""

MOST_DIMS = 50
"""PCA keeps at most this many dimensions: in thousands of dimensions, distances are all alike, and slow."""

MOST_ROWS = 1000
"""Silhouettes of larger sets use this many rows, drawn at random: they cost N² distances."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "kmeans": {"k": "auto", "dims": None, "n_init": 10, "standardise": False},
}
_AUTO_DRAWS = 10


@dataclass(frozen=True)
class Clustering:
    """Which image is in which cluster, and how that came about.

    Attributes:
        labels: int `(N,)`, 0 for the largest cluster, then by decreasing size (ties: the one whose first
            member comes first).
        probabilities: float `(N, k)` that sum to 1 along a row, or None for a method without them.
        params: what was actually used, JSON-able: `k`, `dims`, `n_init`, `standardise`; where k was
            chosen, also `k_asked`, `k_searched` and `k_excess` (for each k searched, the silhouette
            minus its mean on data without clusters).
        method: `"kmeans"`.
        seed: the seed of every random choice.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64] | None
    params: dict[str, Any]
    method: str
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return method, params and seed, JSON-able; the labels belong in a table, beside the images."""
        return {"method": self.method, "params": self.params, "seed": self.seed}


def cluster(vectors: ArrayLike, method: Method = "kmeans", *, seed: int = 0, **params: Any) -> Clustering:
    """Group vectors: centre, reduce by PCA, then k-means.

    Args:
        vectors: `(N, D)` finite numbers, one row per image.
        method: `"kmeans"`.
        seed: seed of every random choice, 0 to 2³² − 1; the same seed gives the same labels.
        params: `k` (a number, or `"auto"`), `dims` (dimensions kept by PCA; None means 50, or N − 1 or
            D if smaller), `n_init` (starts of k-means, of which the best is kept; 10), `standardise`
            (divide each column by its standard deviation first; False).

    `k="auto"` tries k from 2 to 10 (at most N / 2), and for each k takes the silhouette minus the mean
    that the same k-means reaches on Gaussian clouds of the same covariance: the silhouette alone would favour
    some k even in noise. The smallest k within one standard deviation (of the clouds) of the largest excess
    is taken. It is a choice, not a proof: see `evaluate`.

    Raises:
        AnalysisError: vectors that cannot be clustered, an unknown method or parameter, k larger than N, a
            seed out of range.

    Source: Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982) 129–137; Arthur and
    Vassilvitskii, k-means++, SODA 2007; the comparison with clouds and the rule of one standard deviation
    follow Tibshirani, Walther and Hastie, Estimating the number of clusters via the gap statistic, J. R.
    Stat. Soc. B 63 (2001) 411–423.
    """
    options = choose_params("cluster", DEFAULTS, method, params)
    check_seed(seed)
    matrix = check_vectors(vectors)
    space, singular = pca_space(matrix, options)
    options["dims"] = space.shape[1]
    if options["k"] == "auto":
        options |= _choose_k(matrix, space, singular, options["n_init"], seed)
    else:
        _check_k(options["k"], matrix)
    return Clustering(kmeans(space, options["k"], options["n_init"], seed), None, options, method, seed)


def nearest_to_centre(
    vectors: ArrayLike, labels: ArrayLike, *, count: int = 6, params: dict[str, Any] | None = None
) -> dict[int, NDArray[np.int64]]:
    """Return for each cluster the rows nearest its mean, nearest first: its prototypes, at most `count`.

    `params` are those of the Clustering, so that "near" refers to the space where it was made.
    """
    groups = np.asarray(labels)
    space, _ = pca_space(check_vectors(vectors), DEFAULTS["kmeans"] | (params or {}))
    nearest = {}
    for label in np.unique(groups):
        members = np.flatnonzero(groups == label)
        distance = np.linalg.norm(space[members] - space[members].mean(axis=0), axis=1)
        nearest[int(label)] = members[np.argsort(distance, kind="stable")[:count]]
    return nearest


def pca_space(
    matrix: NDArray[np.float64], params: dict[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores (N, dims) in which clusters are sought, and their singular values (dims,)."""
    dims = min(MOST_DIMS, len(matrix) - 1, matrix.shape[1]) if params["dims"] is None else params["dims"]
    centred = centre(matrix, standardise=params["standardise"])
    return principal_components(centred, check_dims(dims, matrix))


def kmeans(space: NDArray[np.float64], k: int, n_init: int, seed: int) -> NDArray[np.int64]:
    """Return the labels (N,) of the best of `n_init` runs of k-means, 0 for the largest cluster."""
    from sklearn.cluster import KMeans

    found = KMeans(k, n_init=n_init, random_state=seed).fit_predict(space)
    _, first, inverse, sizes = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return rank[inverse]


def silhouettes(space: NDArray[np.float64], ks: list[int], n_init: int, seed: int) -> NDArray[np.float64]:
    """Return the mean silhouette (len(ks),) of k-means on `space` (N, dims), for each k."""
    from sklearn.metrics import pairwise_distances, silhouette_score

    distances = pairwise_distances(space)
    return np.array(
        [silhouette_score(distances, kmeans(space, k, n_init, seed), metric="precomputed") for k in ks]
    )


def gaussian_scores(singular: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw n points (n, dims) from a Gaussian, given that their mean is 0 and their scatter is exactly
    `singular²`.

    This is what remains of N Gaussian vectors once their mean and covariance are known: random directions in
    the space of the samples, scaled by the singular values. So it needs no inverse covariance, and holds
    even with far fewer vectors than dimensions.

    Source: Langsrud, Rotation tests, Statistics and Computing 15 (2005) 53–60.
    """
    directions = rng.standard_normal((n, len(singular)))
    directions -= directions.mean(axis=0)
    orthonormal, triangle = np.linalg.qr(directions)
    return orthonormal * np.sign(np.diag(triangle)) * singular


def _check_k(k: Any, matrix: NDArray[np.float64]) -> None:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise AnalysisError(f"k={k!r}: the number of clusters must be a whole number from 1, or 'auto'")
    if k > len(matrix):
        raise AnalysisError(f"k={k} clusters from {len(matrix)} vectors: k can be at most {len(matrix)}")
    distinct = len(np.unique(matrix, axis=0))
    if k > distinct:
        raise AnalysisError(
            f"k={k} clusters, but only {distinct} of {len(matrix)} vectors differ: take a smaller k"
        )


def _choose_k(
    matrix: NDArray[np.float64],
    space: NDArray[np.float64],
    singular: NDArray[np.float64],
    n_init: int,
    seed: int,
) -> dict[str, Any]:
    """Choose k by the excess of the silhouette over its mean on Gaussian clouds."""
    from threadpoolctl import threadpool_limits

    if len(space) < 3:
        raise AnalysisError(
            f"k='auto' compares silhouettes, which need 3 vectors; got {len(space)}: give k a number"
        )
    rng = np.random.default_rng([seed, 0])
    n = min(len(space), MOST_ROWS)
    rows = np.sort(rng.choice(len(space), n, replace=False))
    most = min(10, len(np.unique(matrix[rows], axis=0)), n - 1, max(2, n // 2))
    ks = list(range(2, most + 1))
    scale = np.sqrt(n / len(space))
    clouds = [gaussian_scores(singular * scale, n, rng) for _ in range(_AUTO_DRAWS)]
    # Hundreds of tiny fits: on a busy machine their threads would wait for each other for minutes.
    with threadpool_limits(1):
        null = np.array([silhouettes(cloud, ks, n_init, seed) for cloud in clouds])
        excess = silhouettes(space[rows], ks, n_init, seed) - null.mean(axis=0)
    enough = excess.max() - null.std(axis=0)[excess.argmax()]
    return {
        "k": ks[int(np.argmax(excess >= enough))],
        "k_asked": "auto",
        "k_searched": ks,
        "k_excess": [round(float(value), 6) for value in excess],
    }
