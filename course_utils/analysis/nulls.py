"""What a method finds in data without clusters: the silhouette that people know, beside that of clouds.

Vectors and their clusters go in; the silhouette comes out, beside those of two kinds of data sets that have
no clusters, made to resemble the vectors and clustered by the very same method (lessons 08 and 09).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from course_utils.analysis.associations import two_decimals
from course_utils.analysis.clustering import Clustering, fit, pca_space
from course_utils.analysis.fitting import NOISE
from course_utils.analysis.permutations import LEVEL

Name = Literal["gaussian", "permuted"]
Cloud = Callable[[np.random.Generator], NDArray[np.float64]]
"""Draws points without clusters."""

ROWS = 500
"""Silhouettes of larger sets are taken over so many rows, drawn at random: hundreds of them are needed."""

NOTHING = -1.0
"""Stands for the silhouette where the method finds fewer than two clusters: the lowest there is."""

_TIE = 1e-12
_CLEAR_ABOVE, _CLEAR_BELOW = 0.02, 0.05
_FIRST, _FAR_FIRST, _FAR = 19, 29, 5.0
"""After so many draws it is looked whether p is clear; a statistic so many standard deviations out is."""
_FITS, _ROWS_FITTED = 1000, 250_000
"""What a p-value near the level is worth: so many fits, on so many rows in all."""


@dataclass(frozen=True)
class Null:
    """What the method finds in data without clusters.

    Attributes:
        name: `"gaussian"`, clouds with exactly the covariance of the vectors, between women and within
            them; or `"permuted"`, each column shuffled by itself, so that no two are correlated.
        silhouettes: for each k searched, one mean silhouette per draw.
        excess: how far the data's silhouettes rise above the mean at that k, at most: what is tested. With
            one k, this ranks as the silhouette itself does.
        at_k: the k of that.
        as_good: how many draws rise as far.
        p_value: (`as_good` + 1) / (draws + 1).
    """

    name: Name
    silhouettes: dict[int, list[float]]
    excess: float
    at_k: int
    as_good: int
    p_value: float

    @property
    def draws(self) -> int:
        """Return how many data sets were drawn."""
        return len(self.silhouettes[self.at_k])

    @property
    def beaten(self) -> bool:
        """Return whether the data stand out: p is 0.05 or less."""
        return self.p_value <= LEVEL

    def defined(self, k: int) -> list[float]:
        """Return the silhouettes of the draws in which the method found two clusters or more at `k`."""
        return [value for value in self.silhouettes[k] if value != NOTHING]

    def span(self, k: int) -> str:
        """Return where the silhouettes of the draws at `k` lie, in words."""
        defined = self.defined(k)
        without = "undefined for want of two clusters"
        if not defined:
            return without
        words = f"{two_decimals(min(defined))} to {two_decimals(max(defined))}"
        return f"{words}, or {without}" if len(defined) < self.draws else words


def silhouette_beside_nulls(
    matrix: NDArray[np.float64],
    labels: NDArray[np.int64],
    clustering: Clustering,
    women: NDArray[np.int64] | None,
    *,
    draws: int,
    seed: int,
) -> tuple[dict[int, float], tuple[Null, ...]]:
    """Return the silhouette for each k searched, and what the same method finds in either kind of null.

    Args:
        matrix: `(N, D)`, the vectors, or as many of them as are to be looked at.
        labels: `(N,)`, their clusters.
        clustering: how those were made; where k was searched, the search is repeated on each draw.
        women: `(N,)`, whose image each row is, or None.
        draws: data sets of each kind; fewer where it is clear whether the data stand out, up to ten times
            as many where it is not and the set is small.
        seed: seed of every random choice.
    """
    from threadpoolctl import threadpool_limits

    params = params_for_share(clustering.params, len(matrix) / len(clustering.labels))
    params["dims"] = min(params["dims"], len(matrix) - 1)
    method, k = clustering.method, len(np.unique(clustering.labels[clustering.labels != NOISE]))
    ks = params.get("k_searched") or [k]
    space, _ = pca_space(matrix, params)

    def curve(points: NDArray[np.float64], at: list[int]) -> list[float]:
        return [silhouette(points, fit(points, method, params | {"k": each}, seed).labels) for each in at]

    with threadpool_limits(1):  # hundreds of tiny fits, whose threads would wait for one another
        others = [each for each in ks if each != k]
        found = dict(zip(others, curve(space, others), strict=True)) | {k: silhouette(space, labels)}
        observed = np.array([found[each] for each in ks])
        cloud = gaussian_cloud(space, women)
        sources: dict[Name, Cloud] = {
            "permuted": lambda rng: pca_space(rng.permuted(matrix, axis=0), params)[0],
            "gaussian": cloud,
        }
        fits = min(_FITS, _ROWS_FITTED // len(space))
        most = max(draws, min(10 * draws + 9, fits // len(ks)))
        nulls = []
        for number, (name, source) in enumerate(sources.items()):
            rng = np.random.default_rng([seed, 1, number])
            draw = partial(lambda source, rng: curve(source(rng), ks), source, rng)
            nulls.append(_null(name, observed, ks, draw, draws, most))
    return dict(zip(ks, (round(float(value), 6) for value in observed), strict=True)), tuple(nulls)


def silhouette(space: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean silhouette of labels (N,), noise left out; `NOTHING` where it is not defined."""
    from sklearn.metrics import silhouette_score

    member = labels != NOISE
    if not 2 <= len(np.unique(labels[member])) < member.sum():
        return NOTHING
    return float(silhouette_score(space[member], labels[member]))


def gaussian_cloud(space: NDArray[np.float64], women: NDArray[np.int64] | None) -> Cloud:
    """Return what draws points (N, dims) from a Gaussian with the scatter of `space` (N, dims), centred.

    With `women` (N,), the women's means and the images' distances from them are drawn separately, each
    with the scatter that they have: the images of a woman stay as alike as they are. Given mean and
    scatter, what remains of Gaussian points are random directions, which are drawn; so the scatter is kept
    exactly, even with fewer points than dimensions.

    Source: Langsrud, Rotation tests, Statistics and Computing 15 (2005) 53–60.
    """
    centred = space - space.mean(axis=0)
    if women is None:
        return _rotation(centred, lambda numbers: numbers - numbers.mean(axis=0))
    _, woman, sizes = np.unique(women, return_inverse=True, return_counts=True)

    def means(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.zeros((len(sizes), numbers.shape[1]))
        np.add.at(sums, woman, numbers)
        return (sums / sizes[:, None])[woman]

    between = _rotation(means(centred), lambda numbers: means(numbers) - numbers.mean(axis=0))
    within = _rotation(centred - means(centred), lambda numbers: numbers - means(numbers))
    return lambda rng: between(rng) + within(rng)


def _rotation(
    part: NDArray[np.float64], project: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Cloud:
    """Return what turns `part` (N, dims) at random within the subspace on which `project` projects."""
    _, singular, axes = np.linalg.svd(part, full_matrices=False)
    kept = singular > 1e-9 * max(singular[0], 1e-300)
    shape = singular[kept, None] * axes[kept]

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        directions = project(rng.standard_normal((len(part), len(shape))))
        orthonormal, triangle = np.linalg.qr(directions)
        return (orthonormal * np.sign(np.diag(triangle))) @ shape

    return draw


def params_for_share(params: dict[str, Any], share: float) -> dict[str, Any]:
    """Return the parameters of a clustering for a share of its rows: sizes counted in rows shrink."""
    changed = dict(params)
    if "min_cluster_size" in params:
        changed["min_cluster_size"] = max(2, round(share * params["min_cluster_size"]))
        changed["min_samples"] = max(1, min(params["min_samples"], changed["min_cluster_size"]))
    return changed


def _null(
    name: Name,
    observed: NDArray[np.float64],
    ks: list[int],
    draw: Callable[[], list[float]],
    draws: int,
    most: int,
) -> Null:
    """Draw until it is clear whether the data stand out: by the largest excess over k above the mean."""
    drawn: list[list[float]] = []
    while True:
        drawn.append(draw())
        if len(drawn) < min(_FIRST, draws):
            continue
        everything = np.vstack([observed, drawn])
        excess = everything - everything.mean(axis=0)
        largest = excess.max(axis=1)
        as_good = int(np.sum(largest[1:] >= largest[0] - _TIE))
        far = len(drawn) >= _FAR_FIRST and largest[0] > largest[1:].mean() + _FAR * largest[1:].std()
        if far or _is_clear(as_good, len(drawn)) or len(drawn) >= most:
            break
    values = {
        k: [round(float(value), 6) for value in column]
        for k, column in zip(ks, np.array(drawn).T, strict=True)
    }
    at_k = ks[int(excess[0].argmax())]
    return Null(name, values, round(float(largest[0]), 6), at_k, as_good, (as_good + 1) / (len(drawn) + 1))


def _is_clear(as_good: int, drawn: int) -> bool:
    """Return whether more draws could hardly change on which side of the level the p-value lies."""
    from scipy.stats import binom

    above = binom.sf(as_good - 1, drawn, LEVEL) < _CLEAR_ABOVE
    return bool(above or binom.cdf(as_good, drawn, LEVEL) < _CLEAR_BELOW)
