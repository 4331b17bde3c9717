"""Do clusters come back when some of the women are left out? And would a cloud's? (lesson 09)

Vectors go in; how far the same method agrees with itself from one subsample of women to the next comes out,
beside what it does on clouds without clusters. Clusters that are there come back; so do the quarters of an
egg, which k-means always cuts in the same place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.associations import two_decimals
from course_utils.analysis.checks import check_groups, check_seed, check_vectors, is_number, is_whole
from course_utils.analysis.clustering import cluster, fit, pca_space
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.fitting import NOISE, Method
from course_utils.analysis.nulls import gaussian_cloud, params_for_share
from course_utils.analysis.permutations import LEVEL
from course_utils.analysis.validity import p_words

MOST_WOMEN = 250
"""Of more women, so many are drawn: everything is clustered hundreds of times."""


@dataclass(frozen=True)
class Stability:
    """How far a method agrees with itself when it sees only some of the women.

    Attributes:
        method: how the clusters were made.
        k: how many.
        share: of the women that each run saw.
        runs: how many subsamples.
        women: how many women there are; images, where nothing says whose they are.
        unit: `"women"` or `"images"`.
        agreement: adjusted Rand index between each two runs, on the images that both saw.
        null: the mean agreement on each of so many Gaussian clouds of the same covariance.
        seed: seed of every random choice.
    """

    method: Method
    k: int
    share: float
    runs: int
    women: int
    unit: Literal["women", "images"]
    agreement: tuple[float, ...]
    null: tuple[float, ...]
    seed: int

    @property
    def mean(self) -> float:
        """Return the mean agreement."""
        return float(np.mean(self.agreement))

    @property
    def p_value(self) -> float:
        """Return the share of clouds, with the data among them, that are as stable."""
        return (1 + sum(value >= self.mean for value in self.null)) / (1 + len(self.null))

    @property
    def sentence(self) -> str:
        """Return what the numbers mean, in words."""
        beaten = sum(value < self.mean for value in self.null)
        low, high = two_decimals(min(self.null)), two_decimals(max(self.null))
        compared = "More stable than" if self.p_value <= LEVEL else "No more stable than"
        return (
            f"{compared} a cloud without clusters: from one {self.share:.0%} of the {self.women} "
            f"{self.unit} to another, the {self.k} clusters agree by an ARI of {two_decimals(self.mean)}, "
            f"which is more than in {beaten} of {len(self.null)} Gaussian clouds of the same covariance "
            f"(there {low} to {high}; {p_words(self.p_value)})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        return asdict(self) | {"agreement": list(self.agreement), "null": list(self.null)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Stability:
        """Rebuild from what `to_dict` returned, as read back from JSON.

        Raises:
            KeyError, TypeError or ValueError: it is something else.
        """
        numbers = {name: tuple(map(float, plain[name])) for name in ("agreement", "null")}
        found = cls(**plain | numbers)
        whole = (found.k, found.runs, found.women, found.seed)
        if not all(type(number) is int for number in whole) or not isinstance(found.share, float):
            raise ValueError("stability counts in whole numbers")
        if not (found.agreement and found.null) or found.unit not in ("women", "images"):
            raise ValueError("stability stands beside that of clouds")
        return found


def stability(
    vectors: ArrayLike,
    method: Method = "kmeans",
    *,
    groups: ArrayLike | None = None,
    k: int | Literal["auto"] = "auto",
    runs: int = 10,
    share: float = 0.8,
    draws: int = 19,
    seed: int = 0,
) -> Stability:
    """Cluster subsamples of the women and compare the clusterings with one another.

    Args:
        vectors: `(N, D)` finite numbers, one row per image.
        method: as in `cluster`, with its defaults.
        groups: `(N,)`, the woman of each image; None: each image is a woman of its own.
        k: number of clusters; `"auto"` chooses it once, on all images.
        runs: how many subsamples, at least 2.
        share: of the women in each, between 0 and 1, drawn without replacement: a woman drawn twice would be
            a cluster of her own.
        draws: how many clouds; at least 19 are needed for a p-value of 0.05.
        seed: seed of every random choice.

    Raises:
        AnalysisError: vectors, groups, k, runs or a share that cannot be used.

    Source: Ben-Hur, Elisseeff and Guyon, A stability based method for discovering structure in clustered
    data, PSB 2002, 6–17; Ben-David, von Luxburg and Pál, A sober look at clustering stability, COLT 2006.
    """
    from threadpoolctl import threadpool_limits

    seed = check_seed(seed)
    matrix = check_vectors(vectors)
    woman = np.arange(len(matrix)) if groups is None else check_groups(groups, len(matrix))
    women = int(woman.max()) + 1
    enough = is_whole(runs) and runs >= 2 and is_whole(draws) and draws >= 1
    if not enough or not is_number(share) or not 0 < share < 1 or round(share * women) < 2:
        raise AnalysisError(
            f"runs={runs!r}, draws={draws!r}, share={share!r} of {women}: stability compares at least two "
            "runs on at least two women, none of them on all, with at least one cloud"
        )
    runs, share = int(runs), float(share)
    params = cluster(matrix, method, k=k, seed=seed).params
    rng = np.random.default_rng([seed, 7])
    if women > MOST_WOMEN:
        kept = np.isin(woman, rng.choice(women, MOST_WOMEN, replace=False))
        matrix, woman = matrix[kept], np.unique(woman[kept], return_inverse=True)[1]
    fewest = int(np.sort(np.bincount(woman))[: round(share * (woman.max() + 1))].sum())
    if method != "hdbscan" and params["k"] > fewest:
        raise AnalysisError(
            f"k={params['k']}: {share:.0%} of the women may have no more than {fewest} images, too few for "
            "as many clusters"
        )
    space, _ = pca_space(matrix, params)
    cloud = gaussian_cloud(space, None if groups is None else woman)
    fewer = params_for_share(params, share * len(space) / len(np.asarray(vectors)))

    def agreement(points: NDArray[np.float64]) -> list[float]:
        everyone = np.arange(woman.max() + 1)
        labels = np.full((runs, len(points)), NOISE)
        for run in labels:
            seen = np.isin(woman, rng.choice(everyone, round(share * len(everyone)), replace=False))
            run[seen] = fit(points[seen], method, fewer, seed).labels
        return [_adjusted_rand(labels[i], labels[j]) for i in range(runs) for j in range(i)]

    with threadpool_limits(1):  # many small fits
        observed = agreement(space)
        null = [float(np.mean(agreement(cloud(rng)))) for _ in range(draws)]
    return Stability(
        method=method,
        k=params["k"],
        share=share,
        runs=runs,
        women=women,
        unit="images" if groups is None else "women",
        agreement=tuple(round(value, 6) for value in observed),
        null=tuple(round(value, 6) for value in null),
        seed=seed,
    )


def _adjusted_rand(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return the index on rows (N,) that are in a cluster of both; 0 where there is none."""
    from sklearn.metrics import adjusted_rand_score

    both = (a != NOISE) & (b != NOISE)
    return float(adjusted_rand_score(a[both], b[both])) if both.any() else 0.0
