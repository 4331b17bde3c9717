"""Ask chance, strangers and the other breast (lesson 09).

The lesson computes with these until the student's own functions are right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils.analysis import harmonise
from course_utils.analysis.harmonise import prepare
from course_utils.analysis.permutations import permuter, sequential_p_value

Array = NDArray[Any]


def package_p(
    agreement: Callable[[Array, Array], float],
    clusters: Array,
    label: Array,
    women: Array,
    rng: np.random.Generator,
    draws: int = 99,
) -> float:
    """Return the p value of an agreement as `associations` takes it, but always after all the draws.

    Args:
        agreement: gets clusters and labels, both `(N,)`; larger is closer.
        clusters: `(N,)`, the cluster of each image.
        label: `(N,)`, permuted as a whole woman's where it is the same in all her images.
        women: `(N,)`, whose each image is.
        rng: permutes.
        draws: how many permutations; p is at least `1 / (draws + 1)`.
    """
    permute = permuter(label, women)
    observed = agreement(clusters, label)
    return sequential_p_value(observed, lambda: agreement(clusters, permute(rng)), most=draws, least=draws)[0]


def cleaned(vectors: Array, view: Array, vendor: Array, women: Array) -> Array:
    """Return `(women, D)`, sorted by their names: means of women, without view and vendor.

    Args:
        vectors: `(N, D)`, one row per image.
        view: `(N,)`; each view's mean is subtracted from its images.
        vendor: `(N,)`, one for each woman; each vendor's mean over women is subtracted from its women.
        women: `(N,)`, whose each image is.
    """
    table = pd.DataFrame({"view": view, "vendor": vendor})
    found = prepare(vectors, table, women, remove=["view"], per="woman")
    clean = harmonise(found.vectors, found.metadata, ["vendor"])
    return clean[found.row_of[np.unique(women, return_index=True)[1]]]


def p_among_others(first: Array, second: Array) -> Array:
    """Return `(S,)`: from each row of `second` `(S, C)` what stands where `first` `(S, C)` is smallest."""
    return np.take_along_axis(second, first.argmin(axis=1)[:, None], axis=1)[:, 0]


def evened_out(vendor: Array, density: Array, rng: np.random.Generator) -> Array:
    """Return row numbers, drawn at random: equally many of each pair of vendor `(W,)` and density `(W,)`."""
    least = int(pd.crosstab(vendor, density).to_numpy().min())
    table = pd.DataFrame({"vendor": vendor, "density": density})
    return table.groupby(["vendor", "density"]).sample(least, random_state=rng).index.to_numpy()


def across(vectors: Array, women: Array, view: Array, side: Array) -> Array:
    """Return `(pairs, D)`: the left breast's vector minus the right one's, by woman and view, both sorted.

    Args:
        vectors: `(N, D)`, one row per image.
        women: `(N,)`, whose each image is.
        view: `(N,)`; a pair is of one woman and one view, and what has no counterpart is left out.
        side: `(N,)`, "L" or "R"; at most one image of each woman, view and side.
    """
    index = pd.MultiIndex.from_arrays([women, view])
    left, right = (pd.DataFrame(vectors[side == each], index=index[side == each]) for each in "LR")
    both = left.index.intersection(right.index).sort_values()
    return left.loc[both].to_numpy() - right.loc[both].to_numpy()
