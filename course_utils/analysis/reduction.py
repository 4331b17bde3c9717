"""Many dimensions become few: vectors (N, D) go in, coordinates (N, dims) come out (lesson 07).

The same vectors and the same seed give the same coordinates, signs included. How far a map may be believed is
measured in `map_quality`.
"""

import logging
import warnings
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_dims, check_seed, check_vectors, is_number, is_whole
from course_utils.analysis.errors import AnalysisError

Method = Literal["pca", "tsne", "umap"]
"""The available methods."""

DIMS_BEFORE = 50
"""PCA keeps at most this many dimensions for t-SNE and UMAP, which look at neighbours only."""

FEWEST = 5
"""The fewest vectors that t-SNE and UMAP are asked to lay out."""

TWO_THREADS_FROM = 2000
"""Vectors from which t-SNE is given a second thread."""

logger = logging.getLogger(__name__)


def reduce(
    vectors: ArrayLike,
    method: Method = "pca",
    *,
    dims: int = 2,
    seed: int = 0,
    standardise: bool = False,
    perplexity: float = 30.0,
    neighbours: int = 15,
    min_dist: float = 0.1,
) -> NDArray[np.float32]:
    """Reduce vectors to a few coordinates: a map, if there are two.

    Args:
        vectors: `(N, D)` finite numbers, one row per image; N at least 2 for PCA, otherwise 5.
        method: `"pca"` keeps as much of the spread as `dims` numbers can; `"tsne"` and `"umap"` keep
            neighbours together and give up distances. Both start from the first two principal components and
            look at no more than 50.
        dims: how many coordinates; at most `min(N - 1, D)`, since N points span no more than N − 1
            dimensions, and 3 for t-SNE.
        seed: 0 to 2³² − 1; one seed, one map. PCA needs none.
        standardise: divide each column by its standard deviation first. Off, because a feature that hardly
            varies would then weigh as much as one that does.
        perplexity: t-SNE only: about how many neighbours count. At most a third of the others; more is
            lowered to that, with a warning in the log.
        neighbours: UMAP only: how many neighbours count, 2 to N − 1; more is lowered, with a warning.
        min_dist: UMAP only: how close together points may be drawn, 0 to 1.

    Returns:
        float32 `(N, dims)`. PCA is centred on zero and in the units of the vectors; the sign of each
        component is fixed: its largest loading is positive. The coordinates of t-SNE and UMAP have no unit.

    Raises:
        AnalysisError: a shape, a value, a method or a parameter that cannot be used; UMAP is not installed.

    Source: Jolliffe and Cadima, Principal component analysis: a review, Phil. Trans. R. Soc. A 374 (2016)
    20150202; van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 9 (2008) 2579–2605; McInnes, Healy
    and Melville, UMAP, arXiv:1802.03426 (2018); Kobak and Linderman, Initialization is critical, Nature
    Biotechnology 39 (2021) 156–157 (why both start from principal components).
    """
    seed = check_seed(seed)
    matrix = check_vectors(vectors)
    used = used_params(method, len(matrix), perplexity=perplexity, neighbours=neighbours, min_dist=min_dist)
    dims = check_dims(dims, matrix)
    if method == "tsne" and dims > 3:
        raise AnalysisError(f"dims={dims}: t-SNE gives 1 to 3 coordinates; for more, use PCA or UMAP")
    centred = centre(matrix, standardise=standardise)
    if method == "pca":
        return principal_components(centred, dims)[0].astype(np.float32)
    scores, _ = principal_components(centred, min(DIMS_BEFORE, len(matrix) - 1, matrix.shape[1]))
    lay_out = _tsne if method == "tsne" else _umap
    return lay_out(scores.astype(np.float32), dims, seed, **used)


def used_params(
    method: str, images: int, *, perplexity: float = 30.0, neighbours: int = 15, min_dist: float = 0.1
) -> dict[str, Any]:
    """Return the parameters of the method that `reduce` will use for so many images, lowered if need be.

    Raises:
        AnalysisError: an unknown method, too few images, or a parameter that makes no sense for any number.
    """
    if method not in get_args(Method):
        raise AnalysisError(f"reduce has no method {method!r}; available: {', '.join(get_args(Method))}")
    if method == "pca":
        return {}
    if images < FEWEST:
        raise AnalysisError(
            f"{method} lays out at least {FEWEST} vectors; got {images}: embed more images, or use pca"
        )
    if method == "tsne":
        return {"perplexity": _perplexity(perplexity, images)}
    if not is_number(min_dist) or not 0 <= min_dist <= 1:
        raise AnalysisError(f"min_dist={min_dist!r}: it is a number from 0 to 1")
    return {"neighbours": _neighbours(neighbours, images), "min_dist": float(min_dist)}


def variance_shares(vectors: ArrayLike, coordinates: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the total variance of `vectors` (N, D) that each coordinate (N, dims) carries, in
    [0, 1].

    Meant for `reduce(vectors, "pca")`, whose coordinates have the units of the vectors.
    """
    total = float(check_vectors(vectors).var(axis=0).sum())
    return np.asarray(coordinates, np.float64).var(axis=0) / total


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
    a singular value decomposition where N and D differ. Of thousands of dimensions only the largest are asked
    for, which takes a third of the time.
    """
    from scipy.linalg import eigh

    n, d = centred.shape
    if n <= d:
        squares, left = np.linalg.eigh(centred @ centred.T)
        singular = np.sqrt(squares[::-1][:dims].clip(min=0))
        scores = left[:, ::-1][:, :dims] * singular
        loadings = centred.T @ scores
    else:
        squares, loadings = eigh(centred.T @ centred, subset_by_index=(d - dims, d - 1))
        singular = np.sqrt(squares[::-1].clip(min=0))
        loadings = loadings[:, ::-1]
        scores = centred @ loadings
    largest = np.abs(loadings).argmax(axis=0)
    signs = np.where(loadings[largest, np.arange(dims)] < 0, -1.0, 1.0)
    return scores * signs, singular


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


def _perplexity(asked: float, images: int) -> float:
    if not is_number(asked) or not 1 <= asked < np.inf:
        raise AnalysisError(f"perplexity={asked!r}: it is a number from 1, about how many neighbours count")
    most = (images - 1) / 3  # t-SNE looks at three times as many neighbours
    if asked > most:
        logger.warning(
            "A perplexity of %g is too high for %d images: %.3g was used, a third of the others.",
            asked,
            images,
            most,
        )
    return float(min(asked, most))


def _neighbours(asked: int, images: int) -> int:
    if not is_whole(asked) or asked < 2:
        raise AnalysisError(f"neighbours={asked!r}: it is a whole number from 2")
    if asked > images - 1:
        logger.warning(
            "%d neighbours are too many for %d images: all %d others were used.", asked, images, images - 1
        )
    return int(min(asked, images - 1))


def _tsne(scores: NDArray[np.float32], dims: int, seed: int, *, perplexity: float) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # The map depends on the order in which threads add up: with three or more it may differ each time. On a
    # small map they would spend their time waiting for each other.
    threads = 2 if len(scores) >= TWO_THREADS_FROM else 1
    with threadpool_limits(threads, user_api="openmp"):
        return TSNE(dims, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scores)


def _umap(
    scores: NDArray[np.float32], dims: int, seed: int, *, neighbours: int, min_dist: float
) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks of its optional parts, and of threads that a seed forbids
        try:
            from umap import UMAP
        except ImportError as error:
            raise AnalysisError(
                "UMAP needs the package umap-learn: python start.py setup installs it, as does pip install "
                "umap-learn; t-SNE and PCA work without"
            ) from error
        model = UMAP(
            n_components=dims,
            n_neighbors=neighbours,
            min_dist=min_dist,
            init="pca",
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(model.fit_transform(scores), np.float32)
