"""Are clusters separate, and do they come back? Each beside what chance gives (lessons 08 and 09)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from course_utils.plots.illustration import (
    FAINT,
    GRAY,
    INK,
    PALETTE,
    Illustration,
    Theme,
    new_figure,
    plain_axes,
)
from course_utils.plots.lettering import shortened

if TYPE_CHECKING:
    from course_utils.analysis.resampling import Stability
    from course_utils.analysis.validity import Join, Valley

_MOST_JOINS = 6
_COLUMNS = 3


def held_out_valley(valley: Valley, *, caption: str | None = None, theme: Theme = "light") -> Illustration:
    """Show, at each join of the tree of clusters, where the images asked lie between its two sides.

    A panel is a split of the women whose p-value is in the middle; its dip and the join's p stand above it.
    Joins at which nobody could be asked have no panel, and at most six have one, those from the top.
    """
    joins = [join for join in valley.joins if join.values]
    if not joins:
        raise ValueError("nobody was asked about these clusters: " + valley.sentence)
    shown = joins[:_MOST_JOINS]
    columns = min(_COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    figure = new_figure(max(4.6, 3.0 * columns), 2.6 * lines, theme)
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, join in zip(panels.flat, shown, strict=False):
        _one_join(axes, join, theme)
    for axes in panels[:, 0]:
        axes.set_ylabel("images asked")
    left_out = f" {len(joins) - len(shown)} more are not shown." if len(joins) > len(shown) else ""
    whose = "of a woman who" if valley.unit == "women" else "that"
    if caption is None:
        caption = (
            f"Each mark is an image {whose} did not make the clusters, projected on the line from one "
            "side to the other. A valley is a gap in the middle with many on either side of it; p says how "
            f"often a single cloud would show one as deep.{left_out}"
        )
    alt = "; ".join(f"{_sides(join)}: {_finding(join)}, dip {join.dip:.2f}, {_p(join)}" for join in shown)
    return Illustration(figure, caption, f"Histograms of images between the sides of each join. {alt}.")


def _one_join(axes: Axes, join: Join, theme: Theme) -> None:
    values = np.array(join.values)
    colour = PALETTE[theme][1] if join.is_valley else GRAY[theme]
    reach = max(0.9, float(np.abs(values).max()) * 1.02)
    bins = np.linspace(-reach, reach, 2 * max(5, round(len(values) ** 0.5)) + 1)
    axes.hist(values, bins=bins.tolist(), color=colour, alpha=0.75)
    axes.plot(values, np.full(len(values), -0.35), "|", color=INK[theme], markersize=6, alpha=0.8)
    for where in (-0.5, 0.5):
        axes.axvline(where, color=FAINT[theme], linewidth=1, zorder=0)
    axes.set_title(
        f"{_sides(join)}\n{_finding(join)}: dip {join.dip:.2f}, {_p(join)}",
        fontsize=8.5,
        color=INK[theme],
        loc="left",
    )
    axes.set_xticks([-0.5, 0.5], [f"mean of\n{_numbers(side)}" for side in (join.left, join.right)])
    axes.set_xlim(-reach, reach)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_ylim(bottom=-0.7)
    plain_axes(axes, theme)


def _sides(join: Join) -> str:
    return f"clusters {_numbers(join.left)} | {_numbers(join.right)}"


def _numbers(side: Sequence[int]) -> str:
    """Return the clusters of a side, "1+2"; many of them are shortened."""
    return shortened("+".join(map(str, side)), 12)


def _finding(join: Join) -> str:
    return "a valley" if join.is_valley else "no valley"


def _p(join: Join) -> str:
    from course_utils.analysis.validity import p_words

    return p_words(join.p_value)


def stability_beside_null(
    stability: Stability, *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show how far clusterings of subsamples agree, beside the same on clouds without clusters."""
    figure = new_figure(5.6, 2.6, theme)
    axes = figure.subplots()
    rows = ((0, stability.null, GRAY[theme], "o"), (1, stability.agreement, PALETTE[theme][0], "s"))
    for row, numbers, colour, marker in rows:
        jitter = np.linspace(-0.16, 0.16, len(numbers))[
            np.argsort(np.arange(len(numbers)) % 5, kind="stable")
        ]
        axes.scatter(numbers, row + jitter, s=16, c=colour, marker=marker, alpha=0.7, linewidths=0)
    axes.scatter([stability.mean], [1], s=90, c=PALETTE[theme][1], marker="D", zorder=3)
    axes.axvline(stability.mean, color=PALETTE[theme][1], linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks([0, 1], ["Gaussian\nclouds", "your\nimages"])
    axes.set_ylim(-0.5, 1.5)
    axes.set_xlim(min(0.0, *stability.agreement, *stability.null) - 0.02, 1.02)
    axes.set_xlabel(f"agreement (ARI) of {stability.k} clusters from one subsample to another")
    plain_axes(axes, theme)
    if caption is None:
        caption = (
            f"Squares: each two of {stability.runs} subsamples of {stability.share:.0%} of the "
            f"{stability.unit}; diamond: their mean. Circles: that mean for each of {len(stability.null)} "
            "clouds without clusters. Among the circles or to the left of them, stability says nothing."
        )
    null = f"{min(stability.null):.2f} to {max(stability.null):.2f}"
    alt = f"Mean agreement of subsamples {stability.mean:.2f}; of Gaussian clouds {null}."
    return Illustration(figure, caption, alt)
