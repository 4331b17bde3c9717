"""What do the clusters follow? Each column that is known is held against them, with the woman as the unit.

Labels and metadata go in; for each column, how far they agree, an interval over women and a p value from
permutations come out (lessons 08 and 09). Agreement is no proof of clusters: k-means also cuts a continuum
into pieces, and these agree with whatever the continuum follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import (
    NOISE,
    check_groups,
    check_labels,
    check_metadata,
    check_seed,
    check_whole,
)
from course_utils.analysis.columns import MOST_CATEGORIES, Column, Kind, read_column
from course_utils.analysis.permutations import LEVEL, holm, permuter, sequential_p_value
from course_utils.records import FILE

_LEAST_DRAWS = 199
"""So many draws show where chance ends."""
_HALVES = 400
_FEWEST_FOR_AN_INTERVAL = 6
"""Halves of fewer women than this are too few and too small to say how far a number can be trusted."""

_IMAGES = ("image_id", FILE, "sha256")
_WOMEN = ("patient", "woman", "subject", "participant", "case")

Statistic = Callable[[NDArray[np.int64], NDArray[Any]], float]


def two_decimals(value: float) -> str:
    """Return a number as shown, never "-0.00"."""
    return f"{round(value, 2) + 0.0:.2f}"


@dataclass(frozen=True)
class Association:
    """How far clusters agree with one column, and whether chance would have done as well.

    Attributes:
        column: its name.
        kind: `"categories"` or `"number"`.
        images: how many images have a value there, and a cluster.
        women: how many women they are of; None where nobody knows.
        levels: how many images each category has; empty for numbers.
        ari: adjusted Rand index, which is what is tested: 1 the same partition, 0 chance; may be below 0.
        nmi: normalised mutual information, 0 to 1 (arithmetic mean); chance is above 0.
        cramers_v: Cramér's V, 0 to 1, without correction; chance is above 0.
        eta_squared: of a number, which is what is tested: the share of its variance between clusters, 0 to 1;
            chance is above 0. None for categories, as the three before are for numbers.
        low, high: 95% interval of what is tested, from halves of the women; None with too few of them.
        null_low, null_high: where 95% of the permutations lie: from the smallest to their 95th percentile.
        detectable: what would just have been told from chance; None where nothing would, so few are there.
        p_value: share of permutations, the data among them, that agree as well.
        p_holm: the same, adjusted for the number of columns.
        columns: how many columns were tested.
        draws: how many permutations that took.
        unit: what was permuted, see `permutations.permuter`.
        noise: how many more images have a value there, but no cluster.
    """

    column: str
    kind: Kind
    images: int
    women: int | None
    levels: dict[str, int]
    ari: float | None
    nmi: float | None
    cramers_v: float | None
    eta_squared: float | None
    low: float | None
    high: float | None
    null_low: float
    null_high: float
    detectable: float | None
    p_value: float
    p_holm: float
    columns: int
    draws: int
    unit: str
    noise: int = 0

    @property
    def statistic(self) -> float:
        """Return what was tested: ARI for categories, η² for a number."""
        value = {"categories": self.ari, "number": self.eta_squared}[self.kind]
        if value is None:
            raise ValueError(f"no {self.statistic_name} of {self.column}")
        return value

    @property
    def statistic_name(self) -> str:
        """Return the name of what was tested."""
        return "ARI" if self.kind == "categories" else "η²"

    @property
    def is_more_than_chance(self) -> bool:
        """Return whether chance is ruled out, the number of columns considered."""
        return self.p_holm <= LEVEL

    @property
    def finding(self) -> str:
        """Return in a few words what was found."""
        grade = sum(self.statistic >= bound for bound in (0.1, 0.5, 0.99))
        if self.kind == "categories":
            words = ("hardly, but measurably, follow", "partly follow", "follow", "are the same as")
            chance = "agree no better than chance with"
        else:
            words = ("differ hardly, but measurably, in", "differ in", "differ most of all in", "are set by")
            chance = "differ no more than by chance in"
        return f"The clusters {words[grade] if self.is_more_than_chance else chance} {self.column}"

    @property
    def sentence(self) -> str:
        """Return what was found, on how many, how sure it is, and what could have been found."""
        interval = (
            ""
            if self.low is None or self.high is None
            else f", 95% interval {two_decimals(self.low)} to {two_decimals(self.high)}"
        )
        if self.women is None:
            of = f"{self.images} images"
        elif self.women == self.images:
            of = f"{self.women} women"
        else:
            of = f"{self.images} images of {self.women} {'woman' if self.women == 1 else 'women'}"
        noise = " and that are in a cluster" if self.noise else ""
        p = f"p = {self.p_value:.3f}"
        if self.columns > 1:
            p += f", {self.p_holm:.3f} with Holm's correction for {self.columns} columns"
        words = (
            f"{self.finding}: {self.statistic_name} {two_decimals(self.statistic)}{interval}, among the {of} "
            f"whose {self.column} is known{noise} ({p}; permuting {self.unit})."
        )
        return words if self.is_more_than_chance else f"{words} {self._power}"

    @property
    def _power(self) -> str:
        """Return what it would have taken to be told from chance."""
        if self.p_value <= LEVEL:
            return f"By itself it would count as more than chance, but {self.columns} columns were tried."
        if self.detectable is None:
            return "Permuting could not have told any agreement from chance here."
        least = math.ceil(100 * self.detectable) / 100  # rounded up, so that it holds as it is shown
        return f"{self.statistic_name} {two_decimals(least)} would have been more than chance."


@dataclass(frozen=True)
class Associations:
    """What clusters follow.

    Attributes:
        found: one for each column that could be compared: first those that are more than chance, then the
            others, and the closest agreement first.
        skipped: the other columns, with the reason.
        warnings: sentences on what is wrong with the comparison as a whole.
    """

    found: tuple[Association, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        return asdict(self) | {"found": [asdict(one) for one in self.found], "warnings": [*self.warnings]}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Associations:
        """Return what `to_dict` was called on. Raises KeyError, TypeError or ValueError for anything else."""
        found = tuple(Association(**one) for one in plain["found"])
        for one in found:
            numbers = [one.statistic, one.p_value, one.p_holm, one.null_low, one.null_high]
            numbers += [each for each in (one.low, one.high, one.detectable) if each is not None]
            if not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
                raise ValueError(f"the association with {one.column} is not a number")
            counts = [one.images, one.draws, one.columns, one.noise, *one.levels.values()]
            counts += [] if one.women is None else [one.women]
            if not all(type(each) is int for each in counts):
                raise ValueError(f"the association with {one.column} counts in whole numbers")
            if not all(isinstance(each, str) for each in (one.column, one.unit)):
                raise ValueError("an association names its column and what was permuted")
        return cls(found, dict(plain["skipped"]), tuple(map(str, plain["warnings"])))


def associations(
    labels: ArrayLike,
    metadata: pd.DataFrame,
    *,
    groups: ArrayLike | None = None,
    most: int = 999,
    seed: int = 0,
) -> Associations:
    """Hold each column of `metadata` against the labels.

    What is tested is the adjusted Rand index of categories, and η² of numbers. Permutations move whole women,
    or images within a woman where the column varies there (see `permuter`); p values are adjusted by Holm's
    method for the number of columns, and drawn until it is clear on which side of 0.05 they lie, up to
    `most`. The interval is that of random halves of the women, without replacement (a woman drawn twice
    would agree with herself): half of a set scatters around the whole as the whole does around the truth.

    Args:
        labels: `(N,)`; −1 is noise and is left out.
        metadata: N rows. Whole numbers of few values are categories, other numbers are numbers.
        groups: `(N,)`, the woman of each row. Without it every image counts as independent, which is wrong
            as soon as two are of one woman.
        most: the most permutations; where there are so many columns that these could not tell anything,
            20 for each column.
        seed: seed of every random choice, 0 to 2³² − 1.

    Raises:
        AnalysisError: labels, metadata or groups of different lengths, a row without a group, or a seed out
            of range.

    Source: Hubert and Arabie, Comparing partitions, J. Classif. 2 (1985) 193–218 (ARI); Vinh, Epps and
    Bailey, JMLR 11 (2010) 2837–2854 (NMI); Cramér, Mathematical Methods of Statistics (1946), chapter 21;
    Politis and Romano, Ann. Stat. 22 (1994) 2031–2050 (halves).
    """
    seed, most = check_seed(seed), check_whole("most", most, 1)
    clusters = cluster_numbers(labels)
    check_metadata(metadata, len(clusters))
    women = None if groups is None else check_groups(groups, len(clusters))
    columns = {str(name): read_column(values) for name, values in metadata.items()}
    reasons = {name: _why_not(name, column, clusters, women) for name, column in columns.items()}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    compared = {name: column for name, column in columns.items() if name not in skipped}
    test = partial(
        _associate,
        clusters=clusters,
        women=women,
        tests=len(compared),
        most=max(most, math.ceil(len(compared) / LEVEL)),
        seed=seed,
    )
    tested = [test(name, column) for name, column in compared.items()]
    adjusted = holm([one["p_value"] for one in tested])
    found = [Association(**one, p_holm=p) for one, p in zip(tested, adjusted, strict=True)]
    found.sort(key=lambda one: (not one.is_more_than_chance, -one.statistic))
    warnings = _repeats(columns, len(clusters)) if women is None else ()
    return Associations(tuple(found), skipped, warnings)


def cluster_numbers(labels: ArrayLike) -> NDArray[np.int64]:
    """Return labels (N,) of any kind as whole numbers from 0; noise (−1) stays −1."""
    given = check_labels(labels)
    noise = given == NOISE
    numbers = np.full(len(given), NOISE)
    numbers[~noise] = np.unique(given[~noise], return_inverse=True)[1]
    return numbers


def adjusted_rand(table: NDArray[np.int64]) -> float:
    """Return the adjusted Rand index of a table of counts; NaN where neither side is divided at all."""

    def pairs(counts: NDArray[np.int64]) -> float:
        return float((counts * (counts - 1) // 2).sum())

    rows, columns = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(pairs(table.sum(keepdims=True)), 1.0)
    most = (rows + columns) / 2
    return (pairs(table) - expected) / (most - expected) if most > expected else math.nan


def normalised_mutual_information(table: NDArray[np.int64]) -> float:
    """Return the mutual information of a table of counts, over the mean of the two entropies."""
    shares = table / table.sum()
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)

    def entropy(p: NDArray[np.float64]) -> float:
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    mean = (entropy(rows) + entropy(columns)) / 2
    return (entropy(rows) + entropy(columns) - entropy(shares.ravel())) / mean


def cramers_v(table: NDArray[np.int64]) -> float:
    """Return Cramér's V of a table of counts without empty rows or columns, not corrected for its bias."""
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    phi_squared = float(((table - expected) ** 2 / expected).sum() / table.sum())
    return math.sqrt(phi_squared / (min(table.shape) - 1))


def eta_squared(clusters: NDArray[np.int64], numbers: NDArray[np.float64]) -> float:
    """Return the share of the variance of `numbers` (N,) between clusters (N,); NaN where there is none."""
    centred = numbers - numbers.mean()
    total = float(centred @ centred)
    sums, sizes = np.bincount(clusters, centred), np.bincount(clusters)
    return float((sums**2 / np.maximum(sizes, 1)).sum()) / total if total > 0 else math.nan


def _counts(clusters: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    width = int(values.max()) + 1
    height = int(clusters.max()) + 1
    return np.bincount(clusters * width + values, minlength=height * width).reshape(height, width)


def _ari(clusters: NDArray[np.int64], values: NDArray[np.int64]) -> float:
    return adjusted_rand(_counts(clusters, values))


def _why_not(
    name: str, column: Column, clusters: NDArray[np.int64], women: NDArray[np.int64] | None
) -> str | None:
    """Return why a column is not compared, or None if it is."""
    kept = column.known & (clusters >= 0)
    values = column.values[kept]
    different = len(np.unique(values))
    if name in _IMAGES:
        return "it says which image it is"
    if not column.known.any():
        return "known for no image"
    if not kept.any():
        return "known for no image in a cluster"
    if different == 1:
        return "the same for all images" if kept.all() else "one value only"
    if column.kind == "categories" and different == len(values):
        return "a different value for each image"
    if women is not None and column.kind == "categories":
        pairs = len(np.unique(np.column_stack([women[kept], values]), axis=0))
        if different == pairs == len(np.unique(women[kept])):
            return "a different value for each woman"
    return "all images in one cluster" if len(np.unique(clusters[kept])) < 2 else None


def _associate(
    name: str,
    column: Column,
    *,
    clusters: NDArray[np.int64],
    women: NDArray[np.int64] | None,
    tests: int,
    most: int,
    seed: int,
) -> dict[str, Any]:
    """Return the fields of the Association of one column, all but `p_holm`."""
    kept = column.known & (clusters >= 0)
    groups, values = np.unique(clusters[kept], return_inverse=True)[1], column.without_unit[kept]
    owners = None if women is None else women[kept]
    number = column.kind == "number"
    statistic: Statistic = eta_squared if number else _ari
    table = None if number else _counts(groups, np.unique(values, return_inverse=True)[1])
    observed = statistic(groups, values)

    permute, rng = permuter(values, owners), np.random.default_rng([seed, 3])
    null: list[float] = []

    def draw() -> float:
        null.append(statistic(groups, permute(rng)))
        return null[-1]

    p_value, draws = sequential_p_value(observed, draw, most=most, least=_LEAST_DRAWS, tests=tests)
    null_high, detectable = _where_chance_ends(np.array(null), observed)
    low, high = _interval(statistic, groups, values, owners, observed, np.random.default_rng([seed, 5]))
    sizes = np.bincount(values, minlength=len(column.levels)) if table is not None else ()
    return {
        "column": name,
        "kind": column.kind,
        "images": len(values),
        "women": None if owners is None else len(np.unique(owners)),
        "levels": {level: int(size) for level, size in zip(column.levels, sizes, strict=True) if size},
        "ari": None if table is None else round(observed, 6),
        "nmi": None if table is None else round(normalised_mutual_information(table), 6),
        "cramers_v": None if table is None else round(cramers_v(table), 6),
        "eta_squared": round(observed, 6) if number else None,
        "low": low,
        "high": high,
        "null_low": round(min(null), 6),
        "null_high": null_high,
        "detectable": detectable,
        "p_value": p_value,
        "columns": tests,
        "draws": draws,
        "unit": permute.unit,
        "noise": int((column.known & (clusters < 0)).sum()),
    }


def _where_chance_ends(null: NDArray[np.float64], observed: float) -> tuple[float, float | None]:
    """Return the largest value that p ≤ 0.05 does not reach, and the smallest seen that does, if any."""
    descending = np.sort(null)[::-1]
    end = descending[max(math.floor(LEVEL * (len(null) + 1)) - 1, 0)]
    seen = np.append(null, observed)
    beyond = seen[seen > end + 1e-9]
    return round(float(end), 6), round(float(beyond.min()), 6) if len(beyond) else None


def _interval(
    statistic: Statistic,
    clusters: NDArray[np.int64],
    values: NDArray[Any],
    women: NDArray[np.int64] | None,
    observed: float,
    rng: np.random.Generator,
) -> tuple[float | None, float | None]:
    """Return a 95% interval from halves of the women, centred on `observed`; None, None for too few women."""
    owners = np.arange(len(values)) if women is None else np.unique(women, return_inverse=True)[1]
    count = int(owners.max()) + 1
    if count < _FEWEST_FOR_AN_INTERVAL:
        return None, None
    drawn = np.zeros(count, bool)
    drawn[: count // 2] = True
    halves = []
    for _ in range(_HALVES):
        rows = rng.permutation(drawn)[owners]
        halves.append(statistic(clusters[rows], values[rows]))
    of_halves = np.array(halves)[np.isfinite(halves)]
    if len(of_halves) < _HALVES / 2:
        return None, None
    low, high = np.quantile(of_halves, [0.025, 0.975]) - of_halves.mean() + observed
    least = 0.0 if statistic is eta_squared else -1.0
    return round(float(min(max(low, least), observed)), 6), round(float(max(min(high, 1.0), observed)), 6)


def _repeats(columns: dict[str, Column], rows: int) -> tuple[str, ...]:
    """Return a warning for each column that looks as if it named the women, several images each."""
    found = []
    for name, column in columns.items():
        known, different = int(column.known.sum()), len(column.levels)
        named = any(word in name.lower() for word in _WOMEN)
        many = different > MOST_CATEGORIES and known <= 20 * different
        if name not in _IMAGES and 1.25 * different <= known and different > 1 and (named or many):
            found.append(
                f"{known} images share {different} values of {name}. If these are the women, pass them as "
                "groups: without, images of one woman count as independent, and p comes out too small."
            )
    return tuple(found)
