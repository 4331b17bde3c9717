"""Vectors without what is known and unwanted: what a view or a vendor adds to them is taken off (lesson 09).

Clusters follow what differs most, and that is the view; once it is off, they follow the next thing. But a
column can only be taken off if it is not the question itself: where all dense breasts come from one vendor,
the density goes with the vendor.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_groups, check_metadata, check_vectors
from course_utils.analysis.columns import read_column
from course_utils.analysis.errors import AnalysisError

CONFOUNDED = 0.1
"""A warning is due where columns explain this share of what is to be kept."""
MOST_CONFOUNDED = 0.9
"""With more than this share explained, nothing is taken off."""

Per = Literal["image", "woman"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """What is clustered and judged: M rows, one for each image or for each woman.

    Attributes:
        vectors: `(M, D)`.
        metadata: M rows.
        groups: int `(M,)`, the woman of each row; None where nobody knows.
        row_of: int `(N,)`, the row of each of the N images.
        left_out: columns that vary within a woman, and so cannot be hers.
    """

    vectors: NDArray[np.floating]
    metadata: pd.DataFrame
    groups: NDArray[np.int64] | None
    row_of: NDArray[np.int64]
    left_out: tuple[str, ...] = ()


def prepare(
    vectors: NDArray[np.floating],
    metadata: pd.DataFrame,
    groups: ArrayLike | None,
    *,
    remove: Sequence[str] = (),
    per: Per = "image",
) -> Prepared:
    """Return what `course cluster --remove … --per …` clusters: columns come off, then women are averaged.

    Args:
        vectors: `(N, D)`, one row per image.
        metadata: N rows; those of a woman are put together, and columns that vary within one are left out.
        groups: `(N,)`, the woman of each image; None where nobody knows.
        remove: columns of `metadata` to take off, see `harmonise`.
        per: `"woman"` averages the vectors of each woman.

    Raises:
        AnalysisError: as `harmonise`; or women are asked for and nobody knows them.
    """
    if remove:
        vectors = harmonise(vectors, metadata, remove)
    woman = None if groups is None else check_groups(groups, len(vectors))
    if per == "image":
        return Prepared(vectors, metadata, woman, np.arange(len(vectors)))
    if woman is None:
        raise AnalysisError("which images are of one woman is not known, so there is no mean of her images")
    means, row_of = group_means(vectors, woman)
    check_metadata(metadata, len(vectors))
    # As text, as in `read_column`: a cell may hold a list, which cannot be counted.
    different = metadata.astype(object).map(str, na_action="ignore").groupby(woman).nunique()
    left_out = [name for name, values in different.items() if (values > 1).any()]
    kept = metadata.drop(columns=left_out).astype(object)
    hers = kept.groupby(woman).first().reset_index(drop=True)
    return Prepared(means, hers, np.arange(len(means)), row_of, tuple(map(str, left_out)))


def harmonise(
    vectors: ArrayLike, metadata: pd.DataFrame, columns: Sequence[str], *, keep: Sequence[str] = ()
) -> NDArray[np.float64]:
    """Take off what `columns` explain of the vectors, by least squares; the overall mean stays.

    For one column of categories, the mean of each is subtracted; for a number, its straight line; several
    columns are fitted together, as a sum. Images for which a column says nothing are a category of their
    own, for a number too: they would stand apart otherwise, merely for being unknown. Of an image that alone
    has its category nothing of its own is left, and a warning is logged.

    `keep` names what you want to find afterwards. It takes no part in the fit, since labels that shape the
    vectors prove nothing when found in them (Nygaard et al.); it is only held against the columns, see
    `confounding`. A warning is logged where they explain a tenth of it or more.

    Args:
        vectors: `(N, D)` finite numbers.
        metadata: N rows.
        columns: what to take off.
        keep: what is to be found afterwards.

    Returns:
        float64 `(N, D)`.

    Raises:
        AnalysisError: a column that is not there, more than nine tenths of a column to keep explained, or
            no image left with anything of its own.

    Source: Johnson, Li and Rabinovic, Biostatistics 8 (2007) 118–127 (ComBat, of which this is the first
    step); Nygaard, Rødland and Hovig, Biostatistics 17 (2016) 29–39.
    """
    matrix = check_vectors(vectors)
    check_metadata(metadata, len(matrix))
    columns, keep = ([names] if isinstance(names, str) else names for names in (columns, keep))
    for name, share in confounding(metadata, columns, keep).items():
        if share > MOST_CONFOUNDED:
            raise AnalysisError(
                f"{_and(columns)} cannot be told from {name} here (explaining {share:.0%} of it), so that "
                f"taking off the one would take the other with it: compare images that are alike in the one"
            )
        if share >= CONFOUNDED:
            logger.warning("%s", confounded(columns, name, share))
    for name in columns:
        if not _basis(_design(metadata, [name])).size:
            logger.warning("%s does not differ between the images, so there was nothing to take off.", name)
    basis = _basis(_design(metadata, columns))
    alone = (basis**2).sum(axis=1) + 1 / len(matrix) > 1 - 1e-9
    if alone.all():
        raise AnalysisError(f"taking off {_and(columns)} would leave nothing: no two images are alike in it")
    if alone.any():
        of, them = f"{alone.sum()} of {len(alone)} images", "it" if alone.sum() == 1 else "them"
        logger.warning("Nothing is left of %s: no other is like %s in %s.", of, them, _and(columns))
    return matrix - basis @ (basis.T @ matrix)


def confounding(metadata: pd.DataFrame, columns: Sequence[str], keep: Sequence[str]) -> dict[str, float]:
    """Return which share of each column of `keep` the `columns` explain, 0 to 1.

    For a number this is R² of the least squares; for categories the same over the indicators of all of them
    together, which is Goodman and Kruskal's tau. Counted over the images for which the column says
    something. Chance alone explains about (categories − 1) / (women − 1).
    """
    design, shares = _design(metadata, columns), {}
    for name in keep:
        column = read_column(_named(metadata, name))
        values = column.without_unit[column.known, None]
        target = np.asarray(values == np.arange(len(column.levels)) if column.levels else values, float)
        target -= target.mean(axis=0)
        if target.any():
            basis = _basis(design[column.known])
            shares[name] = float(((basis.T @ target) ** 2).sum() / (target**2).sum())
    return shares


def confounded(columns: Sequence[str], name: str, share: float) -> str:
    """Say what it means that `columns`, which are taken off, explain this share of the column `name`."""
    verb = "explain" if len(columns) > 1 else "explains"
    return f"{_and(columns)} {verb} {share:.0%} of {name}: so much of {name} is taken off as well."


def group_means(vectors: ArrayLike, groups: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean vector (W, D) of each group, the woman, and the row of that table for each image (N,).

    Women come in the order of their first image.
    """
    matrix = check_vectors(vectors)
    woman = check_groups(groups, len(matrix))
    order = np.argsort(woman, kind="stable")
    sizes = np.bincount(woman)
    sums = np.add.reduceat(matrix[order], np.cumsum(sizes) - sizes, axis=0)
    return sums / sizes[:, None], woman


def _design(metadata: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return what is fitted (N, terms): an indicator per category, a number as it is, where it is unknown."""
    terms = []
    for name in columns:
        column = read_column(_named(metadata, name))
        if column.levels:
            terms.append((column.values[:, None] == np.arange(len(column.levels))) & column.known[:, None])
        else:
            numbers = column.without_unit
            spread = numbers[column.known].std() if column.known.any() else 0.0
            mean = numbers[column.known].mean() if spread > 0 else 0.0
            terms.append(np.where(column.known, numbers - mean, 0.0)[:, None] / (spread or 1.0))
        terms.append(~column.known[:, None])
    return np.hstack([np.asarray(term, float) for term in terms]) if terms else np.zeros((len(metadata), 0))


def _basis(design: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return orthonormal columns that span those of the centred design."""
    left, singular, _ = np.linalg.svd(design - design.mean(axis=0), full_matrices=False)
    return left[:, singular > 1e-9 * max(singular.max(initial=0.0), 1.0)]


def _named(metadata: pd.DataFrame, name: str) -> pd.Series:
    if name not in metadata:
        raise AnalysisError(f"there is no column {name}; there are: {', '.join(map(str, metadata))}")
    return metadata[name]


def _and(columns: Sequence[str]) -> str:
    return " and ".join(map(str, columns))
