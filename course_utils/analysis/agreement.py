"""How far two embeddings of the same images agree: full precision beside a cheaper one (lesson 06).

Two tables of vectors go in, one row per image in both; a few numbers come out. Cosine is not enough: the
features of one network share a large mean, and beside it even a bad error looks small. What an archive is
used for depends on neighbours and clusters, so these are compared too.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_vectors, is_whole
from course_utils.analysis.clustering import cluster
from course_utils.analysis.errors import AnalysisError


@dataclass(frozen=True)
class Agreement:
    """How far vectors agree with reference vectors of the same images.

    Attributes:
        relative_difference: the largest difference of any number, as a share of the reference's largest.
        cosine: `(N,)`, −1 to 1, between each image's two vectors as they are.
        centred_cosine: `(N,)`, the same after subtracting the reference's mean vector from both.
        recall: the share of an image's nearest neighbours that it keeps, 0 to 1, mean over the images.
        neighbours: how many nearest neighbours were compared.
        ari: adjusted Rand index between the k-means clusters of the two: 1 the same, 0 chance.
        k: number of clusters.
    """

    relative_difference: float
    cosine: NDArray[np.float64]
    centred_cosine: NDArray[np.float64]
    recall: float
    neighbours: int
    ari: float
    k: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values; for each cosine, the median and the worst."""
        plain = asdict(self)
        for name in ("cosine", "centred_cosine"):
            values = plain.pop(name)
            plain |= {f"{name}_median": float(np.median(values)), f"{name}_worst": float(values.min())}
        return plain


def agreement(
    reference: ArrayLike,
    vectors: ArrayLike,
    *,
    neighbours: int = 10,
    k: int | Literal["auto"] = 4,
    seed: int = 0,
) -> Agreement:
    """Compare vectors with reference vectors of the same images.

    Args:
        reference: `(N, D)` finite numbers, one row per image; N at least `neighbours` + 2.
        vectors: `(N, D)` finite numbers, row i from the same image as row i of the reference.
        neighbours: how many nearest neighbours (Euclidean, the image itself left out) to compare.
        k: number of clusters; `"auto"` lets `cluster` choose it on the reference, then uses it for both.
        seed: seed of k-means.

    Both are centred on the *reference's* mean: vectors all shifted alike are no longer
    interchangeable with the reference's, and the centred cosine should say so.

    Raises:
        AnalysisError: shapes that differ, vectors that cannot be used, too few images for so many neighbours.

    Source: Hubert and Arabie, Comparing partitions, Journal of Classification 2 (1985) 193–218 (the index).
    """
    from sklearn.metrics import adjusted_rand_score

    a, b = check_vectors(reference), check_vectors(vectors)
    if a.shape != b.shape:
        raise AnalysisError(
            f"the two have shapes {a.shape} and {b.shape}: compare vectors of the same images and network"
        )
    if not is_whole(neighbours) or not 1 <= neighbours <= len(a) - 2:
        raise AnalysisError(
            f"{neighbours} neighbours among {len(a)} images: between 1 and {len(a) - 2} can be compared "
            "(with all others as neighbours nothing could differ)"
        )
    found = cluster(a, seed=seed, k=k)
    mean = a.mean(axis=0)
    return Agreement(
        relative_difference=float(np.abs(b - a).max() / np.abs(a).max()),
        cosine=_cosine(a, b),
        centred_cosine=_cosine(a - mean, b - mean),
        recall=_recall(a, b, neighbours),
        neighbours=int(neighbours),
        ari=float(adjusted_rand_score(found.labels, cluster(b, seed=seed, k=found.params["k"]).labels)),
        k=found.params["k"],
    )


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine (N,) between rows; a row of zeros has no direction and agrees with zeros only."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    zeros = (a == b).all(axis=1).astype(float)
    return np.divide((a * b).sum(axis=1), norms, out=zeros, where=norms > 0)


def _recall(a: NDArray[np.float64], b: NDArray[np.float64], neighbours: int) -> float:
    from sklearn.neighbors import NearestNeighbors

    # Without query points, kneighbors leaves each row out of its own neighbours.
    near_a, near_b = (
        NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(m).kneighbors(return_distance=False)
        for m in (a, b)
    )
    kept = [len(np.intersect1d(*rows)) for rows in zip(near_a, near_b, strict=True)]
    return float(np.mean(kept) / neighbours)
