"""How many clusters: every criterion beside what it says of data without clusters (lesson 08).

A criterion alone always has a favourite: the silhouette falls or rises with k in pure noise, too. So each is
also taken of Gaussian clouds of the same covariance, clustered by the same method with the same number of
clusters, and what counts is how far the data stand out.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.fitting import Fitted, Method, fit
from course_utils.analysis.reduction import gaussian_scores

MOST_ROWS = 1000
"""Larger sets are judged by this many rows, drawn at random: a silhouette costs N² distances."""

LARGEST_K = 10
DRAWS = 10
DECIDES = "silhouette"

_SMALLER_IS_BETTER = ("davies_bouldin", "aic", "bic")
_SHOWN = {
    "silhouette": "the silhouette",
    "calinski_harabasz": "Calinski and Harabasz",
    "davies_bouldin": "Davies and Bouldin",
    "aic": "AIC",
    "bic": "BIC",
}


@dataclass(frozen=True)
class Criterion:
    """What one criterion says of each number of clusters.

    Attributes:
        name: `"silhouette"`, `"calinski_harabasz"`, `"davies_bouldin"`, `"aic"` or `"bic"`.
        curve: its value for the data, for each k searched.
        null: its values for the clouds without clusters, for each k.
    """

    name: str
    curve: dict[int, float]
    null: dict[int, tuple[float, ...]]

    @property
    def shown(self) -> str:
        """Return the name as it stands in a sentence."""
        return _SHOWN[self.name]

    @property
    def larger_is_better(self) -> bool:
        """Return whether a larger value is the better one."""
        return self.name not in _SMALLER_IS_BETTER

    @property
    def favourite(self) -> int:
        """Return the k with the best value, which may be that of noise."""
        best = max if self.larger_is_better else min
        return best(self.curve, key=self.curve.__getitem__)

    @property
    def excess(self) -> dict[int, float]:
        """Return for each k how much better the data are than the mean of the clouds."""
        sign = 1 if self.larger_is_better else -1
        return {k: sign * float(value - np.mean(self.null[k])) for k, value in self.curve.items()}

    @property
    def k(self) -> int:
        """Return the smallest k whose excess is within one standard deviation (of the clouds) of the largest.

        AIC and BIC differ by the same number for data and clouds, so here they agree.
        """
        excess = self.excess
        largest = max(excess, key=excess.__getitem__)
        enough = excess[largest] - float(np.std(self.null[largest]))
        return next(k for k, value in excess.items() if value >= enough)


@dataclass(frozen=True)
class Choice:
    """How the number of clusters was chosen.

    Attributes:
        ks: what was tried.
        criteria: what each criterion says.
        decided: the name of the one whose `k` was taken.
        rows: how many images were looked at: all, or MOST_ROWS drawn at random.
    """

    ks: tuple[int, ...]
    criteria: tuple[Criterion, ...]
    decided: str
    rows: int

    @property
    def k(self) -> int:
        """Return the number of clusters that was chosen."""
        return self[self.decided].k

    def __getitem__(self, name: str) -> Criterion:
        for criterion in self.criteria:
            if criterion.name == name:
                return criterion
        raise KeyError(name)

    @property
    def sentence(self) -> str:
        """Return what was chosen and whether the criteria agree, in words."""
        others: dict[int, list[str]] = {}
        for criterion in self.criteria:
            if criterion.k != self.k:
                others.setdefault(criterion.k, []).append(criterion.shown)
        chosen = (
            f"k = {self.k}, the smallest of {self.ks[0]} to {self.ks[-1]} at which "
            f"{self[self.decided].shown} stands out from Gaussian clouds of the same covariance as far as "
            "anywhere, within one standard deviation"
        )
        if not others:
            return f"{chosen}; every other criterion says the same."
        listed = "; ".join(f"{', '.join(names)}: {k}" for k, names in sorted(others.items()))
        return f"{chosen}. Others would choose differently ({listed}): the number is a choice, not a finding."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        plain = asdict(self)
        plain["ks"] = list(self.ks)
        plain["criteria"] = [
            {
                "name": one.name,
                "curve": {str(k): value for k, value in one.curve.items()},
                "null": {str(k): list(values) for k, values in one.null.items()},
            }
            for one in self.criteria
        ]
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Choice":
        """Rebuild from what `to_dict` returned, as read back from JSON.

        Raises:
            KeyError, TypeError, ValueError or AttributeError: it is something else.
        """
        criteria = tuple(
            Criterion(
                one["name"],
                {int(k): float(value) for k, value in one["curve"].items()},
                {int(k): tuple(map(float, values)) for k, values in one["null"].items()},
            )
            for one in plain["criteria"]
        )
        found = cls(tuple(map(int, plain["ks"])), criteria, str(plain["decided"]), int(plain["rows"]))
        for one in criteria:
            if one.name not in _SHOWN or not set(one.curve) == set(one.null) == set(found.ks):
                raise ValueError("a criterion was not taken at every k")
        if found[found.decided].k not in found.ks:
            raise ValueError("what decided is not among the criteria")
        return found


def choose_k(
    matrix: NDArray[np.float64],
    space: NDArray[np.float64],
    singular: NDArray[np.float64],
    method: Method,
    params: dict[str, Any],
    seed: int,
) -> Choice:
    """Choose k by the excess of the silhouette over its mean on Gaussian clouds.

    Args:
        matrix: the vectors (N, D), of which at least as many must differ as there are clusters.
        space: their scores (N, dims), and `singular` (dims,) their singular values.
        method: what to cluster with; `params`: what it needs besides k. A mixture gets one start in the
            search.
        seed: seed of every random choice.

    Raises:
        AnalysisError: fewer than 3 vectors, or no k gives two clusters.

    Source: Rousseeuw, Silhouettes, J. Comput. Appl. Math. 20 (1987) 53–65; Caliński and Harabasz, A dendrite
    method for cluster analysis, Communications in Statistics 3 (1974) 1–27; Davies and Bouldin, A cluster
    separation measure, IEEE Trans. Pattern Anal. 1 (1979) 224–227; the comparison with clouds and the rule of
    one standard deviation follow Tibshirani, Walther and Hastie, Estimating the number of clusters via the
    gap statistic, J. R. Stat. Soc. B 63 (2001) 411–423.
    """
    from threadpoolctl import threadpool_limits

    if len(space) < 3:
        raise AnalysisError(
            f"k='auto' compares silhouettes, which need 3 vectors; got {len(space)}: give k a number"
        )
    rng = np.random.default_rng([seed, 0])
    n = min(len(space), MOST_ROWS)
    rows = np.sort(rng.choice(len(space), n, replace=False))
    most = min(LARGEST_K, len(np.unique(matrix[rows], axis=0)), n - 1, max(2, n // 2))
    ks = list(range(2, most + 1))
    scale = np.sqrt(n / len(space))
    if method == "gmm":
        params = params | {
            "n_init": 1
        }  # from k-means centres; ten starts, eleven times for each k, take minutes
    clouds = [gaussian_scores(singular * scale, n, rng) for _ in range(DRAWS)]
    # Hundreds of tiny fits: on a busy machine their threads would wait for each other for minutes.
    with threadpool_limits(1):
        taken = [criteria_of(each, method, params, ks, seed) for each in (space[rows], *clouds)]
    # A mixture may leave all but one of its components empty; then nothing can be compared at this k.
    possible = [k for k in ks if all(each[k] for each in taken)]
    if not possible:
        raise AnalysisError("every k that was tried left all images in one cluster: give k a number")
    data, *null = taken
    criteria = tuple(
        Criterion(
            name,
            {k: round(data[k][name], 6) for k in possible},
            {k: tuple(round(each[k][name], 6) for each in null) for k in possible},
        )
        for name in data[possible[0]]
    )
    return Choice(tuple(possible), criteria, DECIDES, n)


def criteria_of(
    space: NDArray[np.float64], method: Method, params: dict[str, Any], ks: list[int], seed: int
) -> dict[int, dict[str, float]]:
    """Return every criterion for each k; empty where there are no two clusters, or one for each point."""
    from sklearn.metrics import pairwise_distances

    distances = pairwise_distances(space)
    return {k: _criteria(space, distances, fit(space, method, params | {"k": k}, seed)) for k in ks}


def _criteria(space: NDArray[np.float64], distances: NDArray[np.float64], fitted: Fitted) -> dict[str, float]:
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

    if not 2 <= len(np.unique(fitted.labels)) < len(space):
        return {}
    values = {
        "silhouette": silhouette_score(distances, fitted.labels, metric="precomputed"),
        "calinski_harabasz": calinski_harabasz_score(space, fitted.labels),
        "davies_bouldin": davies_bouldin_score(space, fitted.labels),
    }
    if fitted.aic is not None and fitted.bic is not None:
        values |= {"aic": fitted.aic, "bic": fitted.bic}
    return {name: float(value) for name, value in values.items()}
