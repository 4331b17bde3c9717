"""Many dimensions become few: vectors (N, D) go in, coordinates (N, dims) come out (lesson 07).

Everything here is deterministic: the same vectors give the same coordinates, signs included.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_dims, check_vectors
from course_utils.analysis.errors import AnalysisError

Method = Literal["pca"]
"""The available methods."""

_DEFAULTS: dict[str, dict[str, Any]] = {"pca": {"standardise": False}}


def reduce(
    vectors: ArrayLike, method: Method = "pca", *, dims: int = 2, seed: int = 0, **params: Any
) -> NDArray[np.float32]:
    """Reduce vectors to a few coordinates that keep as much of their spread as `dims` numbers can.

    Args:
        vectors: `(N, D)` finite numbers, one row per image, N at least 2.
        method: `"pca"`, principal component analysis of the centred columns.
        dims: how many coordinates; at most `min(N - 1, D)`, since N points span no more than N − 1
            dimensions.
        seed: accepted so that every method has the same signature; PCA is deterministic.
        params: `standardise` (default False): divide each column by its standard deviation first. Off,
            because a feature that hardly varies would then weigh as much as one that does.

    Returns:
        float32 `(N, dims)`, centred on zero, in the units of the vectors. The sign of each component is
        fixed: its largest loading is positive.

    Raises:
        AnalysisError: a shape, a value, a method or a parameter that cannot be used.

    Source: Pearson, On lines and planes of closest fit, Phil. Mag. 2 (1901) 559–572; Jolliffe and Cadima,
    Principal component analysis: a review, Phil. Trans. R. Soc. A 374 (2016) 20150202.
    """
    options = choose_params("reduce", _DEFAULTS, method, params)
    matrix = check_vectors(vectors)
    scores, _ = principal_components(
        centre(matrix, standardise=options["standardise"]), check_dims(dims, matrix)
    )
    return scores.astype(np.float32)


def variance_shares(vectors: ArrayLike, coordinates: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the total variance of `vectors` (N, D) that each coordinate (N, dims) carries, in
    [0, 1].

    Meant for `reduce(vectors, "pca")`, whose coordinates have the units of the vectors.
    """
    total = float(check_vectors(vectors).var(axis=0).sum())
    return np.asarray(coordinates, np.float64).var(axis=0) / total


def choose_params(
    caller: str, defaults: dict[str, dict[str, Any]], method: str, given: dict[str, Any]
) -> dict[str, Any]:
    """Return the defaults of `method` updated with what was `given`; refuse unknown names."""
    if method not in defaults:
        raise AnalysisError(f"{caller} has no method {method!r}; available: {', '.join(defaults)}")
    unknown = sorted(set(given) - set(defaults[method]))
    if unknown:
        raise AnalysisError(
            f"{caller}(…, {method!r}) has no parameter {', '.join(unknown)}; "
            f"available: {', '.join(defaults[method])}"
        )
    return defaults[method] | given


def centre(matrix: NDArray[np.float64], *, standardise: bool = False) -> NDArray[np.float64]:
    """Subtract each column's mean; with `standardise` divide by its standard deviation."""
    centred = matrix - matrix.mean(axis=0)
    if standardise:
        spread = centred.std(axis=0)
        centred /= np.where(spread > 0, spread, 1.0)
    return centred


def principal_components(
    centred: NDArray[np.float64], dims: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scores (N, dims) and singular values (dims,) of centred vectors (N, D), largest first.

    Taken from the eigenvectors of the smaller of the two products X Xᵀ and Xᵀ X: exact, and far cheaper than
    a singular value decomposition where N and D differ.
    """
    n, d = centred.shape
    if n <= d:
        squares, left = np.linalg.eigh(centred @ centred.T)
        singular = np.sqrt(squares[::-1][:dims].clip(min=0))
        scores = left[:, ::-1][:, :dims] * singular
        loadings = centred.T @ scores
    else:
        squares, loadings = np.linalg.eigh(centred.T @ centred)
        singular = np.sqrt(squares[::-1][:dims].clip(min=0))
        loadings = loadings[:, ::-1][:, :dims]
        scores = centred @ loadings
    largest = np.abs(loadings).argmax(axis=0)
    signs = np.where(loadings[largest, np.arange(dims)] < 0, -1.0, 1.0)
    return scores * signs, singular
