"""What a study may be expected to find, beside what chance would give it (lesson 12)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from course_utils.plots.illustration import (
    GRAY,
    INK,
    PALETTE,
    Illustration,
    Theme,
    new_figure,
    plain_axes,
)

_WIDTH = 0.05


def studies_expected(
    studies: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    measure: str,
    threshold: float | None = None,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw what many studies of a size find where there is something, and where there is nothing.

    Args:
        studies: for each size, what they find `(n,)`, and the same with the labels dealt out anew `(n,)`.
        measure: what the values are; words on the axis.
        threshold: what would count as a finding, as a dashed line; None: no line.
        caption: what to look for; None: says what is drawn.
        theme: light or dark background.
    """
    figure = new_figure(3.1 * len(studies) + 0.5, 3.0, theme)
    panels = np.atleast_1d(np.asarray(figure.subplots(1, len(studies), sharex=True, sharey=True)))
    every = np.concatenate([np.ravel(each) for both in studies.values() for each in both])
    # In whole steps, and one beyond 1: whoever finds everything stands in a bar of its own.
    bins = _WIDTH * np.arange(np.floor(every.min() / _WIDTH), round(1 / _WIDTH) + 2)
    said = []
    for axes, (name, both) in zip(panels, studies.items(), strict=True):
        found, chance = (np.asarray(each, np.float64) for each in both)
        axes.hist(chance, bins, color=GRAY[theme], hatch="////", edgecolor=INK[theme], linewidth=0.5)
        axes.hist(found, bins, color=PALETTE[theme][0], edgecolor=INK[theme], linewidth=0.5, alpha=0.85)
        if threshold is not None:
            axes.axvline(threshold, color=INK[theme], linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set(title=name, xlabel=measure)
        plain_axes(axes, theme)
        axes.title.set(color=INK[theme], size=10)
        said.append(
            f"{name}: {found.min():.2f} to {found.max():.2f}, dealt out anew {chance.min():.2f} to "
            f"{chance.max():.2f}"
        )
    panels[0].set_ylabel("studies")
    if caption is None:
        line = "" if threshold is None else " Dashed: what would count as a finding."
        caption = f"Blue: what studies of this size find. Hatched: with the labels dealt out anew.{line}"
    return Illustration(figure, caption, f"Histograms of {measure}. {'; '.join(said)}.")
