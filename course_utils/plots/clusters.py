"""Clusters: what they look like, and how far above chance they stand (lessons 08 and 09)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from course_utils.plots.illustration import (
    GRAY,
    INK,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    new_figure,
    pixels_of,
    plain_axes,
)

if TYPE_CHECKING:
    from course_utils.analysis import Evaluation


def prototypes(
    pictures: Sequence[Picture],
    nearest: Mapping[int, Sequence[int] | NDArray[np.int64]],
    *,
    sizes: Mapping[int, int] | None = None,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Show each cluster as a row of the images nearest its centre (see `analysis.clustering`)."""
    columns = max(len(rows) for rows in nearest.values())
    figure = new_figure(1.3 * columns + 0.9, 1.34 * len(nearest), theme)
    grid = figure.subplots(len(nearest), columns, squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.06})
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (label, rows) in zip(grid, sorted(nearest.items()), strict=True):
        for axes, index in zip(line, rows, strict=False):
            axes.imshow(pixels_of(pictures[index]), cmap="gray", vmin=0, vmax=1)
        size = f"\n{sizes[label]} images" if sizes else ""
        colour = PALETTE[theme][label % 8]
        line[0].text(
            -0.08,
            0.5,
            f"cluster {label}{size}",
            transform=line[0].transAxes,
            ha="right",
            va="center",
            color=colour,
            weight="bold",
        )
    if caption is None:
        caption = "Each row is a cluster, nearest to its centre first. Say in words what a row has in common."
    alt = f"The images nearest the centres of {len(nearest)} clusters, a row each, up to {columns} a row."
    return Illustration(figure, caption, alt)


def silhouette_against_null(
    evaluation: Evaluation, *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show the silhouette beside its null baselines: a dot per null data set, a diamond for the data.

    Where k was searched, a second panel shows the data's silhouette over k, above the range of each null.
    """
    if evaluation.silhouette is None:
        raise ValueError("this evaluation has no silhouette to show: " + evaluation.verdict)
    if not evaluation.nulls:
        raise ValueError("there is nothing to show the silhouette beside: " + evaluation.verdict)
    several = len(evaluation.curve) > 1
    figure = new_figure(8.2 if several else 5.6, 3.3, theme)
    panels = np.atleast_1d(np.asarray(figure.subplots(1, 2 if several else 1)))
    names = {"permuted": "columns\nshuffled", "gaussian": "Gaussian\ncloud"}
    colours = {"data": PALETTE[theme][1], "permuted": GRAY[theme], "gaussian": PALETTE[theme][0]}
    axes = panels[0]
    for row, null in enumerate(evaluation.nulls):
        values = np.array(null.defined(evaluation.k))
        if not len(values):
            across = axes.get_yaxis_transform()
            axes.text(
                0.04,
                row,
                "never two clusters",
                color=INK[theme],
                size=9,
                ha="left",
                va="center",
                transform=across,
            )
        jitter = np.linspace(-0.16, 0.16, len(values))[np.argsort(np.arange(len(values)) % 5, kind="stable")]
        axes.scatter(values, row + jitter, s=16, c=colours[null.name], alpha=0.75, linewidths=0)
    top = len(evaluation.nulls)
    axes.axvline(evaluation.silhouette, color=colours["data"], linewidth=1, linestyle=(0, (4, 3)))
    axes.scatter([evaluation.silhouette], [top], s=90, c=colours["data"], marker="D", zorder=3)
    axes.set_yticks(range(top + 1), [*(names[null.name] for null in evaluation.nulls), "your\nimages"])
    axes.set_ylim(-0.5, top + 0.5)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(f"mean silhouette at k = {evaluation.k} (−1 to 1)")
    if several:
        ks = list(evaluation.curve)
        for null in evaluation.nulls:
            low = [min(null.defined(k), default=np.nan) for k in ks]
            high = [max(null.defined(k), default=np.nan) for k in ks]
            label = names[null.name].replace("\n", " ")
            panels[1].fill_between(
                ks, low, high, color=colours[null.name], alpha=0.3, label=label, linewidth=0
            )
            panels[1].plot(ks, np.mean([low, high], axis=0), color=colours[null.name], linewidth=1)
        panels[1].plot(
            ks, list(evaluation.curve.values()), color=colours["data"], marker=".", label="your images"
        )
        panels[1].plot(
            [evaluation.k], [evaluation.silhouette], color=colours["data"], marker="D", markersize=9
        )
        panels[1].set_xticks(ks)
        panels[1].set_xlabel("number of clusters k")
        panels[1].set_ylabel("mean silhouette")
        panels[1].legend(
            frameon=False,
            fontsize=8,
            ncols=3,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            labelcolor=INK[theme],
        )
    for each in panels:
        plain_axes(each, theme)
    if caption is None:
        caption = (
            "Diamond: the silhouette of these clusters. Dots: what the same method finds in data sets of "
            "either kind that have no clusters. A diamond to the right of every dot means that the data are "
            "no such cloud. Whether there are clusters is for the valley to say."
        )
    spans = ((names[null.name].replace("\n", " "), null.span(evaluation.k)) for null in evaluation.nulls)
    ranges = "; ".join(f"{name} {span}" for name, span in spans)
    alt = f"Silhouette {evaluation.silhouette:.2f} at k = {evaluation.k}, beside null data sets: {ranges}."
    return Illustration(figure, caption, alt)
