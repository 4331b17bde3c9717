"""How far a map may be believed: vectors (N, D) and their map go in, three figures come out (lesson 07).

Each stands beside what the same method makes of noise, a Gaussian cloud with the covariance of the vectors:
a good figure says that the map is a good one, not that there is anything on it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_seed, check_vectors, is_whole
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.reduction import Method, centre, gaussian_scores, principal_components, reduce

MOST_ROWS = 1000
"""In larger sets, so many images drawn at random are asked for their neighbours, among all the others."""

CLOSE = 0.9
"""From this rank correlation on, distances on a map are said to mean something."""


@dataclass(frozen=True)
class Kept:
    """What a map keeps of the vectors.

    Attributes:
        neighbours: the share of an image's nearest neighbours that are also its nearest on the map, 0 to 1.
        trustworthiness: 1 where neighbours on the map are neighbours, less the farther away they really are.
        distances: Spearman's rank correlation of the distances of all pairs, here and there, −1 to 1.
    """

    neighbours: float
    trustworthiness: float
    distances: float


@dataclass(frozen=True)
class Faithfulness:
    """How faithful a map is, beside the same method's map of noise.

    Attributes:
        kept: what the map keeps.
        noise: what a map of noise keeps of it, None where no method was given.
        neighbours: how many nearest neighbours were compared.
        images: how many images are on the map.
        rows: how many of them were asked: all, or MOST_ROWS drawn at random.
    """

    kept: Kept
    noise: Kept | None
    neighbours: int
    images: int
    rows: int

    @property
    def chance(self) -> float:
        """Return the share of neighbours that points thrown at random would keep."""
        return self.neighbours / (self.images - 1)

    @property
    def sentence(self) -> str:
        """Return what the map keeps and how to read it, in words."""
        return f"{self.figures} {self.advice}"

    @property
    def figures(self) -> str:
        """Return what the map keeps, beside noise, in words."""
        kept, noise = self.kept, self.noise
        beside = [f"by chance {self.chance:.0%}"]
        if noise is not None:
            beside.append(f"a map of noise keeps {noise.neighbours:.0%}")
        others = (
            ("trustworthiness", kept.trustworthiness, None if noise is None else noise.trustworthiness),
            ("rank correlation of distances", kept.distances, None if noise is None else noise.distances),
        )
        listed = ", ".join(
            f"{name} {_shown(value)}" + ("" if other is None else f" ({_shown(other)})")
            for name, value, other in others
        )
        asked = f" ({self.rows} of {self.images} images asked)" if self.rows < self.images else ""
        nearest = "nearest neighbour" if self.neighbours == 1 else f"{self.neighbours} nearest neighbours"
        return (
            f"This map keeps {kept.neighbours:.0%} of each image's {nearest} "
            f"({', '.join(beside)}); {listed}{asked}."
        )

    @property
    def advice(self) -> str:
        """Return how the map may be read, in words; how far above chance it is decides."""
        near = self.kept.neighbours - self.chance >= (1 - self.chance) / 2
        far = self.kept.distances >= CLOSE
        if near and far:
            words = "Read neighbours off it, and roughly distances"
        elif near:
            words = "Read off it who is near whom, but not how far apart two groups are"
        elif far:
            words = "Read large distances off it, but not who is next to whom"
        else:
            words = "Read neither neighbours nor distances off it"
        return f"{words}; noise makes islands too, so a gap on a map proves nothing."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Faithfulness":
        """Rebuild from what `to_dict` returned, as read back from JSON.

        Raises:
            KeyError, TypeError, ValueError or AttributeError: it is something else.
        """
        noise = None if plain["noise"] is None else _kept_from(plain["noise"])
        counts = (int(plain[name]) for name in ("neighbours", "images", "rows"))
        found = cls(_kept_from(plain["kept"]), noise, *counts)
        if not 1 <= found.neighbours < found.images or not 1 <= found.rows <= found.images:
            raise ValueError("there are not so many neighbours or rows")
        return found


def faithfulness(
    vectors: ArrayLike,
    map: ArrayLike,
    *,
    method: Method | Callable[[NDArray[np.float64]], ArrayLike] | None = None,
    neighbours: int = 10,
    seed: int = 0,
) -> Faithfulness:
    """Measure how much of the vectors a map keeps.

    Args:
        vectors: `(N, D)` finite numbers, N at least 4.
        map: `(N, dims)`, one row for each.
        method: how the map was made, so that one of noise can be made in the same way: the name of a method
            of `reduce`, or, where it had other parameters than the defaults, a function from vectors to a
            map: `lambda noise: reduce(noise, "tsne", perplexity=5)`. None: nothing is compared.
        neighbours: how many nearest neighbours to compare; at most (N − 1) / 2.
        seed: which rows are asked in a large set, and which noise is drawn.

    Raises:
        AnalysisError: too few vectors, or a map or a number that does not fit them.

    Source: Venna and Kaski, Neighborhood preservation in nonlinear projection methods, ICANN 2001
    (trustworthiness); Kobak and Berens, The art of using t-SNE for single-cell transcriptomics, Nature
    Communications 10 (2019) 5416 (neighbours kept and rank correlation); Langsrud, Rotation tests, Statistics
    and Computing 15 (2005) 53–60 (the noise).
    """
    seed = check_seed(seed)
    matrix = check_vectors(vectors, least=4)
    points = _check_map(map, len(matrix))
    most = (len(matrix) - 1) // 2
    if not is_whole(neighbours) or neighbours < 1:
        raise AnalysisError(f"neighbours={neighbours!r}: it is a whole number from 1")
    neighbours = min(int(neighbours), most)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(matrix), min(len(matrix), MOST_ROWS), replace=False))
    centred = centre(matrix)
    kept = _kept(centred, points, rows, neighbours)
    noise = None
    if method is not None:
        _, singular = principal_components(centred, min(len(matrix) - 1, matrix.shape[1]))
        cloud = gaussian_scores(singular, len(matrix), rng)
        noise = _kept(cloud, _map_of(cloud, method, points.shape[1], seed), rows, neighbours)
    return Faithfulness(kept, noise, neighbours, len(matrix), len(rows))


def _shown(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # never -0.00


def _kept(
    vectors: NDArray[np.float64], points: NDArray[np.float64], rows: NDArray[np.int64], neighbours: int
) -> Kept:
    """Return what `points` (N, dims) keep of `vectors` (N, D), as the images in `rows` see it."""
    from scipy.stats import spearmanr
    from sklearn.metrics import pairwise_distances

    n, m = len(vectors), len(rows)
    far = pairwise_distances(vectors[rows], vectors)
    near = pairwise_distances(points[rows], points)
    pairs = np.triu_indices(m, 1)
    true, drawn = far[:, rows][pairs], near[:, rows][pairs]
    # Where all pairs are equally far apart they have no order.
    distances = spearmanr(true, drawn).statistic if np.ptp(true) and np.ptp(drawn) else 0.0
    for each in (far, near):
        each[np.arange(m), rows] = np.inf  # nobody is their own neighbour
    on_map = near.argsort(axis=1)[:, :neighbours]
    order, rank = far.argsort(axis=1), np.empty((m, n), np.int64)
    rank[np.arange(m)[:, None], order] = np.arange(1, n + 1)
    true_rank = np.take_along_axis(rank, on_map, axis=1)  # of each neighbour on the map, 1 for the nearest
    beyond = np.maximum(true_rank - neighbours, 0).sum()
    worst = m * neighbours * (2 * n - 3 * neighbours - 1) / 2
    return Kept(
        float((true_rank <= neighbours).mean()),
        float(1 - beyond / worst),
        float(distances),
    )


def _map_of(
    cloud: NDArray[np.float64],
    method: Method | Callable[[NDArray[np.float64]], ArrayLike],
    dims: int,
    seed: int,
) -> NDArray[np.float64]:
    made = reduce(cloud, method, dims=dims, seed=seed) if isinstance(method, str) else method(cloud)
    return _check_map(made, len(cloud))


def _check_map(map: ArrayLike, rows: int) -> NDArray[np.float64]:
    try:
        points = np.asarray(map, np.float64)
    except (TypeError, ValueError):
        raise AnalysisError("the map is not one table of numbers: give an array (N, 2)") from None
    if points.ndim != 2 or len(points) != rows or not points.shape[1]:
        raise AnalysisError(f"the map has shape {points.shape}; needed is ({rows}, 2), a row for each vector")
    if not np.isfinite(points).all():
        raise AnalysisError("the map holds NaN or infinity")
    return points


def _kept_from(plain: dict[str, Any]) -> Kept:
    return Kept(*(float(plain[name]) for name in ("neighbours", "trustworthiness", "distances")))
