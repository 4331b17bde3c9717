"""Clusters become an answer to believe, or not: are they separate, and what do they follow? (lessons 08, 09)

Two questions, and each has its own test. Whether clusters are separate is asked of women who did not make
them (`validity.valley`); that carries the verdict. What they follow is asked of the metadata
(`associations`), since a cluster that follows the view is not a discovery. Beside them stands the silhouette,
the index that people know, with what the same method finds in data without clusters (`nulls`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.associations import (
    Association,
    Associations,
    associations,
    cluster_numbers,
    two_decimals,
)
from course_utils.analysis.checks import check_groups, check_metadata, check_seed, check_vectors, is_whole
from course_utils.analysis.clustering import Clustering, pca_space
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.nulls import (
    NOTHING,
    ROWS,
    Null,
    gaussian_cloud,
    silhouette,
    silhouette_beside_nulls,
)
from course_utils.analysis.validity import Valley, p_words, valley

__all__ = ["Evaluation", "evaluate", "two_decimals"]

Conclusion = Literal[
    "separate clusters",
    "more than a cloud",
    "no better than a cloud",
    "too few",
    "not judged",
    "nothing to judge",
]
"""What the verdict comes to, in the order of how much it claims."""

FEW = 20
"""With fewer women than this, the verdict begins with what so few can say."""

_REPEATS = 0.25
_FEWEST_FOR_REPEATS = 16


@dataclass(frozen=True)
class Evaluation:
    """How far clusters can be believed; every number beside what chance gives.

    Attributes:
        conclusion: the verdict as one of `Conclusion`.
        verdict: the verdict in words.
        k: number of clusters (noise, label −1, is not one and is left out everywhere).
        women: how many women the images are of; of images, where nothing says whose they are.
        unit: `"women"` or `"images"`.
        valley: which clusters are separate, see Valley; None for bare labels or a single cluster.
        silhouette: mean silhouette of the labels in the space where they were made, −1 to 1; None where it is
            not defined (fewer than 3 images, one cluster, or as many clusters as images).
        indexes: two others that people know: `"calinski_harabasz"` (larger is better) and `"davies_bouldin"`
            (smaller is better).
        rows: how many images these were taken over: all, or `nulls.ROWS` drawn at random.
        curve: silhouette of the data for each k searched; at `k`, that of the labels themselves.
        nulls: what the method finds in data without clusters, see Null; empty for bare labels.
        associations: agreement with each metadata column that can be compared.
        skipped: columns that cannot be, with the reason.
        warnings: sentences on what may be wrong with all this.
        seed: seed of every random choice.
    """

    conclusion: Conclusion
    verdict: str
    k: int
    women: int
    unit: Literal["women", "images"]
    valley: Valley | None
    silhouette: float | None
    indexes: dict[str, float]
    rows: int
    curve: dict[int, float]
    nulls: tuple[Null, ...]
    associations: tuple[Association, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seed: int = 0

    @property
    def draws(self) -> int:
        """Return the number of null data sets of the kind that has most."""
        return max((null.draws for null in self.nulls), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        plain = asdict(self)
        plain["valley"] = None if self.valley is None else self.valley.to_dict()
        plain["curve"] = {str(k): value for k, value in self.curve.items()}
        for null in plain["nulls"]:
            null["silhouettes"] = {str(k): values for k, values in null["silhouettes"].items()}
        return plain | {name: list(plain[name]) for name in ("nulls", "associations", "warnings")}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Evaluation:
        """Rebuild from what `to_dict` returned, as read back from JSON.

        Raises:
            KeyError, TypeError, ValueError or AttributeError: it is something else.
        """
        if set(plain) != {each.name for each in fields(cls)}:
            raise ValueError("an evaluation has other fields")
        nulls = tuple(
            Null(
                **null
                | {"silhouettes": {int(k): list(map(float, v)) for k, v in null["silhouettes"].items()}}
            )
            for null in plain["nulls"]
        )
        known = Associations.from_dict(
            {"found": plain["associations"], "skipped": plain["skipped"], "warnings": plain["warnings"]}
        )
        found = cls(
            **plain
            | {
                "valley": None if plain["valley"] is None else Valley.from_dict(plain["valley"]),
                "nulls": nulls,
                "curve": {int(k): float(value) for k, value in plain["curve"].items()},
                "associations": known.found,
                "skipped": known.skipped,
                "warnings": known.warnings,
            }
        )
        _check(found)
        return found


def _check(found: Evaluation) -> None:
    """Raise ValueError if the parts of an evaluation do not belong together."""
    if found.conclusion not in get_args(Conclusion) or not isinstance(found.verdict, str):
        raise ValueError("an evaluation without a verdict")
    if any(type(number) is not int for number in (found.k, found.women, found.rows, found.seed)):
        raise ValueError("an evaluation counts in whole numbers")
    told = [number for null in found.nulls for number in (null.excess, null.p_value)]
    told += [*found.indexes.values(), *([] if found.silhouette is None else [found.silhouette])]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in told):
        raise ValueError("an index and its null are numbers")
    if any(null.at_k not in null.silhouettes or type(null.as_good) is not int for null in found.nulls):
        raise ValueError("a null does not say how many draws rise as far, or where")
    judged = found.conclusion not in ("not judged", "nothing to judge")
    at_k = {null.name for null in found.nulls if null.silhouettes.get(found.k)}
    if judged and (found.silhouette is None or found.valley is None or at_k != {"gaussian", "permuted"}):
        raise ValueError("a verdict comes without its valley, its silhouette, or the two nulls")
    if judged and (found.conclusion == "separate clusters") != found.valley.found:  # type: ignore[union-attr]
        raise ValueError("the verdict contradicts the valley")


def evaluate(
    vectors: ArrayLike,
    labels: Clustering | ArrayLike,
    *,
    metadata: pd.DataFrame | None = None,
    groups: ArrayLike | None = None,
    draws: int = 99,
    seed: int = 0,
) -> Evaluation:
    """Judge clusters: are they separate, do they stand out from a cloud, and what do they follow?

    The verdict is that of the held-out valley, which does not mistake heavy tails, or four images of the same
    woman, for clusters. The silhouette beside its nulls is right for independent Gaussians (with `groups`,
    also for women with several images), and says no more than that the data are not such a cloud. Both run
    the method of `labels` again. Where k was searched, the search is repeated on each null data set, and
    what is compared is the largest excess over k, so that the search does not make the p-value too small.
    Bare labels come without a method: they get their indexes and no verdict.

    Args:
        vectors: `(N, D)` finite numbers, one row per image.
        labels: the Clustering, or `(N,)` labels; −1 is noise and is left out.
        metadata: one row per image, in the vectors' order; see `associations`.
        groups: `(N,)`, the woman of each image. Without it every image counts as a woman of its own.
        draws: null data sets of each kind. Fewer are drawn where it is clear whether the data stand out, up
            to ten times as many where it is not and the set is small.
        seed: seed of every random choice, 0 to 2³² − 1.

    Raises:
        AnalysisError: vectors that cannot be used, labels, metadata or groups of another length, or a seed
            out of range.

    Source: Rousseeuw, Silhouettes, J. Comput. Appl. Math. 20 (1987) 53–65; Langsrud, Rotation tests,
    Statistics and Computing 15 (2005) 53–60; Phipson and Smyth, Permutation p-values should never be zero,
    Stat. Appl. Genet. Mol. Biol. 9 (2010) 39; and see `valley`.
    """
    seed = check_seed(seed)
    if not is_whole(draws) or draws < 1:
        raise AnalysisError(f"draws={draws!r}: the number of null data sets is a whole number from 1")
    matrix = check_vectors(vectors)
    clustering = labels if isinstance(labels, Clustering) else None
    numbers = cluster_numbers(labels.labels if isinstance(labels, Clustering) else labels)
    if len(numbers) != len(matrix):
        raise AnalysisError(f"{len(numbers)} labels for {len(matrix)} vectors: there must be one for each")
    if metadata is not None:
        check_metadata(metadata, len(matrix))
    woman = None if groups is None else check_groups(groups, len(matrix))
    known = Associations()
    if metadata is not None:
        known = associations(numbers, metadata, groups=woman, seed=seed)
    warnings = known.warnings
    if woman is None and not warnings:
        warnings = _repeats(matrix, seed)
    rows = np.arange(len(matrix))
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng([seed, 4]).choice(len(rows), ROWS, replace=False))
    k = len(np.unique(numbers[numbers >= 0]))
    indexes = _indexes(matrix[rows], numbers[rows], clustering)
    bare = Evaluation(
        conclusion="not judged",
        verdict="",
        k=k,
        women=len(matrix) if woman is None else int(woman.max()) + 1,
        unit="images" if woman is None else "women",
        valley=None,
        silhouette=indexes.pop("silhouette", None),
        indexes=indexes,
        rows=int(np.sum(numbers[rows] >= 0)),
        curve={},
        nulls=(),
        associations=known.found,
        skipped=known.skipped,
        warnings=warnings,
        seed=seed,
    )
    if bare.silhouette is None:
        return replace(bare, conclusion="nothing to judge", verdict=_nothing(numbers))
    if clustering is None:
        return replace(bare, verdict=_no_verdict(bare.silhouette), curve={k: bare.silhouette})
    curve, nulls = silhouette_beside_nulls(
        matrix[rows],
        numbers[rows],
        clustering,
        None if woman is None else woman[rows],
        draws=draws,
        seed=seed,
    )
    found = valley(matrix, clustering, groups=woman, seed=seed)
    return _with_verdict(
        replace(bare, silhouette=curve[k], curve=curve, nulls=nulls, valley=found), len(matrix)
    )


def _indexes(
    matrix: NDArray[np.float64], numbers: NDArray[np.int64], clustering: Clustering | None
) -> dict[str, float]:
    """Return the indexes of labels (N,) in the space where they were made; none where not defined."""
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    params = {} if clustering is None else dict(clustering.params)
    if params:
        params["dims"] = min(params["dims"], len(matrix) - 1)
    space, _ = pca_space(matrix, params)
    value, member = silhouette(space, numbers), numbers >= 0
    if value == NOTHING:
        return {}
    scores = {
        "silhouette": value,
        "calinski_harabasz": calinski_harabasz_score(space[member], numbers[member]),
        "davies_bouldin": davies_bouldin_score(space[member], numbers[member]),
    }
    return {name: round(float(score), 6) for name, score in scores.items()}


def _nothing(numbers: NDArray[np.int64]) -> str:
    k = len(np.unique(numbers[numbers >= 0]))
    why = (
        ("the method found no cluster", "all images are in one cluster")[k]
        if k < 2
        else ("every image is a cluster of its own")
    )
    return f"There is nothing to judge: {why}."


def _no_verdict(value: float) -> str:
    return (
        f"No verdict: a silhouette of {two_decimals(value)} (−1 to 1) says little by itself, and these "
        "labels come without the method that made them, which would have to be run again on data without "
        "clusters."
    )


def _with_verdict(found: Evaluation, images: int) -> Evaluation:
    """Return the evaluation with what its parts come to."""
    valley = found.valley
    assert valley is not None
    stands_out = all(null.beaten for null in found.nulls)
    conclusion: Conclusion = "more than a cloud" if stands_out else "no better than a cloud"
    head = {
        "more than a cloud": "More than a Gaussian cloud, but not yet clusters. ",
        "no better than a cloud": "No better than a cloud without clusters. ",
    }[conclusion]
    if valley.found:
        conclusion, head = "separate clusters", ""
    elif not valley.joins:
        conclusion, head = "too few", ""
    few = ""
    if found.women < FEW:
        of = f"{images} images"
        if found.unit == "women":
            of += f" of {found.women} {'woman' if found.women == 1 else 'women'}"
        few = f"{of} say little about any others. "
    found = replace(found, conclusion=conclusion)
    return replace(found, verdict=f"{few}{head}{valley.sentence} {_silhouette_words(found)}")


def _silhouette_words(found: Evaluation) -> str:
    """Return how the silhouette stands to its nulls, as it was tested."""
    permuted, gaussian = sorted(found.nulls, key=lambda null: null.name, reverse=True)
    rank = _rank(found, gaussian, "Gaussian clouds of the same covariance, clustered in the same way")
    words = f"{rank[0].upper()}{rank[1:]}."
    if gaussian.beaten and not permuted.beaten:
        return f"{words} But {_rank(found, permuted, 'sets with every column shuffled by itself')}."
    if gaussian.beaten and found.conclusion != "separate clusters":
        words += " Heavy tails or a bent cloud give that, too."
    return words


def _rank(found: Evaluation, null: Null, sets: str) -> str:
    if len(found.curve) == 1:
        return (
            f"the silhouette, {two_decimals(found.curve[found.k])}, is higher than in "
            f"{null.draws - null.as_good} of {null.draws} {sets} (where it is {null.span(found.k)}; "
            f"{p_words(null.p_value)})"
        )
    return (
        f"over k = {min(found.curve)} to {max(found.curve)}, the silhouette rises at most "
        f"{two_decimals(null.excess)} above the mean of {sets} (at k = {null.at_k}), and {null.as_good} of "
        f"{null.draws} of those rise as far ({p_words(null.p_value)})"
    )


def _repeats(matrix: NDArray[np.float64], seed: int) -> tuple[str, ...]:
    """Return a warning if far more rows than in a cloud have a few neighbours much nearer than the next ones.

    That is how several images of one woman look: her others are near, everybody else's are not.
    """
    if len(matrix) < _FEWEST_FOR_REPEATS:
        return ()
    space, _ = pca_space(matrix, {})
    cloud = gaussian_cloud(space, None)
    rng = np.random.default_rng([seed, 6])
    usual = np.quantile([_nearness(cloud(rng)) for _ in range(10)], 0.01)
    share = float(np.mean(_nearness(space) < usual))
    if share < _REPEATS:
        return ()
    return (
        f"{share:.0%} of the images have neighbours much nearer than chance would put them: are they several "
        "images of the same women? If so, say whose they are (groups); without, the p-values are too small.",
    )


def _nearness(space: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each row (N,), its distance to the nearest other over that to the eighth."""
    from scipy.spatial.distance import cdist

    nearest = np.partition(cdist(space, space), [1, 8], axis=1)
    return nearest[:, 1] / np.maximum(nearest[:, 8], 1e-300)
