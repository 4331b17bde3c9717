"""Clusters become an answer to believe, or not: validity beside its null baselines, and confounders
(lesson 09).

A validity index is never shown alone. Beside the clusters' silhouette is what the same pipeline (PCA,
k-means, and the search for k if there was one) finds in data without clusters; beside the clusters are the
things that the files say anyway, such as view and side, since a cluster that follows one of them is not a
discovery.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_seed, check_vectors
from course_utils.analysis.clustering import (
    DEFAULTS,
    MOST_ROWS,
    Clustering,
    gaussian_scores,
    pca_space,
    silhouettes,
)
from course_utils.analysis.errors import AnalysisError

_LEVEL = 0.05
_PERMUTATIONS = 999
_TIE = 1e-12
_MOST_NUMBERS = 8
"""A column with more distinct numbers is a measurement or a serial number, not a category."""


def two_decimals(value: float) -> str:
    """Return a number as shown, never "-0.00"."""
    return f"{round(value, 2) + 0.0:.2f}"


@dataclass(frozen=True)
class Null:
    """What the pipeline finds in data without clusters.

    Attributes:
        name: `"gaussian"` (a cloud with exactly the covariance of the vectors) or `"permuted"` (each
            column shuffled separately, which leaves no correlation between columns).
        silhouettes: for each k searched, one mean silhouette per draw.
        p_value: the share of draws, including the data, that stand out as much as the data do.
    """

    name: str
    silhouettes: dict[int, list[float]]
    p_value: float

    def span(self, k: int) -> str:
        """Return the smallest and largest silhouette of the draws at `k`, in words."""
        return f"{two_decimals(min(self.silhouettes[k]))} to {two_decimals(max(self.silhouettes[k]))}"


@dataclass(frozen=True)
class Association:
    """How far the clusters agree with a column of the metadata.

    Attributes:
        column: its name.
        rows: how many images have a value there (and a cluster).
        levels: how many images have each value.
        ari: adjusted Rand index: 1 the same partition, 0 chance; may be slightly below 0.
        p_value: the share of label shuffles, including the data, that agree as well.
    """

    column: str
    rows: int
    levels: dict[str, int]
    ari: float
    p_value: float

    @property
    def sentence(self) -> str:
        """Return what the numbers mean, in words."""
        if self.p_value > _LEVEL:
            how = "agree no better than chance with"
        elif self.ari > 0.99:
            how = "are the same as"
        elif self.ari >= 0.5:
            how = "follow"
        elif self.ari >= 0.1:
            how = "partly follow"
        else:
            how = "hardly, but measurably, follow"
        return f"The clusters {how} {self.column} (ARI {two_decimals(self.ari)}, p = {self.p_value:.3f})."


@dataclass(frozen=True)
class Evaluation:
    """How far clusters can be believed; every number beside what chance gives.

    Attributes:
        silhouette: mean silhouette of the labels in the space where they were made, −1 to 1; None where it is
            not defined (fewer than 3 images, one cluster, or as many clusters as images).
        k: number of clusters (noise, label −1, is not one and is left out everywhere).
        rows: how many images the silhouettes were taken over: all, or MOST_ROWS drawn at random.
        curve: silhouette of the data for each k searched; at `k`, that of the labels themselves.
        nulls: the baselines, see Null.
        p_value: the larger of the baselines' p-values; None where there is no silhouette.
        verdict: what all this says, in words.
        associations: agreement with each metadata column that can be compared.
        skipped: columns that cannot be, with the reason.
        draws: number of null data sets of each kind.
        seed: seed of every random choice.
    """

    silhouette: float | None
    k: int
    rows: int
    curve: dict[int, float]
    nulls: tuple[Null, ...]
    p_value: float | None
    verdict: str
    associations: tuple[Association, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    draws: int = 20
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        plain = asdict(self)
        plain["curve"] = {str(k): value for k, value in self.curve.items()}
        for null in plain["nulls"]:
            null["silhouettes"] = {str(k): values for k, values in null["silhouettes"].items()}
        plain["nulls"] = list(plain["nulls"])
        plain["associations"] = list(plain["associations"])
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Evaluation":
        """Rebuild from what `to_dict` returned, as read back from JSON.

        Raises:
            KeyError, TypeError, ValueError or AttributeError: it is something else.
        """
        nulls = tuple(
            Null(null["name"], {int(k): v for k, v in null["silhouettes"].items()}, null["p_value"])
            for null in plain["nulls"]
        )
        associations = tuple(Association(**one) for one in plain["associations"])
        curve = {int(k): value for k, value in plain["curve"].items()}
        found = cls(**plain | {"nulls": nulls, "associations": associations, "curve": curve})
        at_k = {null.name for null in nulls if null.silhouettes.get(found.k)}
        if found.silhouette is not None and at_k != {"gaussian", "permuted"}:
            raise ValueError("a silhouette comes without its two nulls")
        return found


def evaluate(
    vectors: ArrayLike,
    labels: Clustering | ArrayLike,
    *,
    metadata: pd.DataFrame | None = None,
    seed: int = 0,
    draws: int = 20,
) -> Evaluation:
    """Judge clusters: silhouette beside two null baselines, and agreement with what the files say.

    The baselines are put through the pipeline that made the labels: for a Clustering its own (dimensions,
    number of starts, and the search for k if k was chosen), for bare labels, `cluster(vectors, k=…)` with
    its defaults and as many clusters as there are labels. Where k was searched, the statistic
    compared is the largest excess over k, so that the search does not make the p-value too small. With the
    Gaussian baseline the test is exact: if the vectors are Gaussian, p ≤ 0.05 comes up in 5% of cases.

    Args:
        vectors: `(N, D)` finite numbers, one row per image.
        labels: the Clustering, or `(N,)` labels; −1 is noise and is left out.
        metadata: one row per image, in the vectors' order. Columns of few repeated values are compared
            with the labels by the adjusted Rand index, with a permutation test (999 shuffles).
        seed: seed of every random choice, 0 to 2³² − 1.
        draws: null data sets of each kind; the smallest p-value is 1 / (draws + 1), so at least 19 are
            needed to reach 0.05.

    Raises:
        AnalysisError: vectors that cannot be used, labels or metadata of another length, or a seed out of
            range.

    Source: Rousseeuw, Silhouettes, J. Comput. Appl. Math. 20 (1987) 53–65; Hubert and Arabie, Comparing
    partitions, J. Classif. 2 (1985) 193–218; Langsrud, Rotation tests, Statistics and Computing 15 (2005)
    53–60; Phipson and Smyth, Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9
    (2010) 39.
    """
    check_seed(seed)
    matrix = check_vectors(vectors)
    groups, params = _labels_and_params(labels)
    if len(groups) != len(matrix):
        raise AnalysisError(f"{len(groups)} labels for {len(matrix)} vectors: there must be one for each")
    if metadata is not None and len(metadata) != len(matrix):
        raise AnalysisError(
            f"{len(metadata)} rows of metadata for {len(matrix)} vectors: there must be one for each"
        )
    associations, skipped = _compare_with_metadata(groups, metadata, seed)

    rows = np.flatnonzero(groups >= 0)
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng([seed, 4]).choice(rows, MOST_ROWS, replace=False))
    kept = groups[rows]
    k = len(np.unique(groups[groups >= 0]))
    if not 2 <= len(np.unique(kept)) < len(kept):
        alone = "all images are in one cluster" if k < 2 else "every image is a cluster of its own"
        verdict = f"There is nothing to judge: {alone}."
        return Evaluation(None, k, len(rows), {}, (), None, verdict, associations, skipped, draws, seed)

    ks = params.get("k_searched") or [k]
    curve, draws_of = _silhouettes_of_data_and_nulls(matrix[rows], kept, k, ks, params, seed, draws)
    nulls = tuple(_null(name, curve, drawn, ks) for name, drawn in draws_of.items())
    observed = dict(zip(ks, (round(float(value), 6) for value in curve), strict=True))
    p_value = max(null.p_value for null in nulls)
    verdict = _verdict(observed[k], nulls, k, len(rows), searched=len(ks) > 1)
    return Evaluation(
        observed[k], k, len(rows), observed, nulls, p_value, verdict, associations, skipped, draws, seed
    )


def _labels_and_params(labels: Clustering | ArrayLike) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return labels as integers (noise stays −1), and the parameters that the nulls repeat."""
    if isinstance(labels, Clustering):
        return labels.labels, labels.params
    given = np.asarray(labels)
    if given.ndim != 1:
        raise AnalysisError(f"labels have shape {given.shape}; needed is (N,), one per image")
    _, numbers = np.unique(given, return_inverse=True)
    noise = given == -1 if np.issubdtype(given.dtype, np.number) else np.zeros(len(given), bool)
    return np.where(noise, -1, numbers), dict(DEFAULTS["kmeans"])


def _silhouettes_of_data_and_nulls(
    matrix: NDArray[np.float64],
    groups: NDArray[np.int64],
    k: int,
    ks: list[int],
    params: dict[str, Any],
    seed: int,
    draws: int,
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return the data's silhouettes (len(ks),) and, for each null, those of its draws (draws, len(ks))."""
    from sklearn.metrics import silhouette_score
    from threadpoolctl import threadpool_limits

    n, n_init = len(matrix), params["n_init"]
    space, singular = pca_space(matrix, params)
    others = [other for other in ks if other != k]
    gaussian, permuted = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])

    def scores(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return silhouettes(vectors, ks, n_init, seed)

    with threadpool_limits(1):  # tiny fits, as in the search for k
        found = dict(zip(others, silhouettes(space, others, n_init, seed), strict=True))
        found[k] = silhouette_score(space, groups)
        nulls = {
            "permuted": [
                scores(pca_space(permuted.permuted(matrix, axis=0), params)[0]) for _ in range(draws)
            ],
            "gaussian": [scores(gaussian_scores(singular, n, gaussian)) for _ in range(draws)],
        }
    return np.array([found[each] for each in ks]), {name: np.array(drawn) for name, drawn in nulls.items()}


def _null(name: str, curve: NDArray[np.float64], drawn: NDArray[np.float64], ks: list[int]) -> Null:
    """Rank the data among the draws by the largest excess, over k, of silhouette above the mean of all."""
    everything = np.vstack([curve, drawn])
    excess = (everything - everything.mean(axis=0)).max(axis=1)
    p_value = float(np.mean(excess >= excess[0] - _TIE))
    values = {k: [round(float(value), 6) for value in drawn[:, i]] for i, k in enumerate(ks)}
    return Null(name, values, p_value)


def _verdict(silhouette: float, nulls: tuple[Null, ...], k: int, rows: int, *, searched: bool) -> str:
    """Return what the silhouette means beside its nulls, in plain words."""
    value = two_decimals(silhouette)
    span = {null.name: null.span(k) for null in nulls}
    p_values = {null.name: null.p_value for null in nulls}
    if p_values["gaussian"] > _LEVEL:
        words = (
            f"No better than chance: a silhouette of {value} is no better than what the same "
            f"pipeline finds in a Gaussian cloud that has no clusters ({span['gaussian']})."
        )
        if p_values["permuted"] <= _LEVEL:
            words += f" Shuffled columns give less ({span['permuted']}): correlation, not clusters."
    elif p_values["permuted"] > _LEVEL:
        words = (
            f"No better than chance: a silhouette of {value} is no better than what the same "
            f"pipeline finds once every column has been shuffled by itself ({span['permuted']})."
        )
    else:
        words = (
            f"There is structure: a silhouette of {value} stands above what the same pipeline "
            f"finds in data without clusters (Gaussian cloud {span['gaussian']}, "
            f"shuffled columns {span['permuted']})."
        )
        if silhouette <= 0.25:
            words += " It is weak, though: below 0.25 the clusters touch and blend."
    if searched:
        words += " The search for k was repeated on every null data set."
    if rows < 20:
        words += f" With {rows} images this says little about any others."
    return words


def _compare_with_metadata(
    groups: NDArray[np.int64], metadata: pd.DataFrame | None, seed: int
) -> tuple[tuple[Association, ...], dict[str, str]]:
    """Compare labels with each categorical column; also return why the other columns are not compared."""
    associations, skipped = [], {}
    for column in metadata if metadata is not None else ():
        values = metadata[column]  # type: ignore[index]
        known = values.notna().to_numpy() & (groups >= 0)
        text = values[known].astype(str)
        counts = text.value_counts().sort_index()
        if len(counts) > _MOST_NUMBERS and pd.to_numeric(text, errors="coerce").notna().all():
            skipped[str(column)] = "a measured number"
        elif len(counts) < 2:
            skipped[str(column)] = "fewer than two values" if len(counts) else "no value in any file"
        elif len(counts) == len(text):
            skipped[str(column)] = "a different value for each image"
        elif len(np.unique(groups[known])) < 2:
            skipped[str(column)] = "all images in one cluster"
        else:
            ari, p_value = _ari_with_permutations(groups[known], text.to_numpy(), seed)
            levels = {str(level): int(count) for level, count in counts.items()}
            associations.append(Association(str(column), len(text), levels, ari, p_value))
    return tuple(sorted(associations, key=lambda one: -one.ari)), skipped


def _ari_with_permutations(groups: NDArray[np.int64], values: NDArray[Any], seed: int) -> tuple[float, float]:
    """Return the adjusted Rand index of two labellings (N,), and the share of shuffles that agree as well.

    Shuffling leaves the sizes of groups and values alone, so the index is a fixed linear function of the
    number of image pairs that share both: only this number is recounted.
    """
    _, a = np.unique(groups, return_inverse=True)
    _, b = np.unique(values, return_inverse=True)
    width = int(b.max()) + 1

    def pairs(counts: NDArray[np.int64]) -> float:
        return float((counts * (counts - 1) // 2).sum())

    def together(order: NDArray[np.int64]) -> float:
        return pairs(np.bincount(order * width + b))

    in_a, in_b, in_all = pairs(np.bincount(a)), pairs(np.bincount(b)), pairs(np.array([len(a)]))
    expected, most = in_a * in_b / in_all, (in_a + in_b) / 2
    observed = together(a)
    rng = np.random.default_rng([seed, 3])
    as_good = sum(together(rng.permutation(a)) >= observed for _ in range(_PERMUTATIONS))
    ari = (observed - expected) / (most - expected)
    return round(ari, 6), (1 + as_good) / (1 + _PERMUTATIONS)
