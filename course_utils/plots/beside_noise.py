"""Figures of merit beside those of noise: what a map keeps (lesson 07), what each k is worth (lesson 08)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

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
from course_utils.plots.lettering import shortened, write_words

if TYPE_CHECKING:
    from course_utils.analysis import Faithfulness
    from course_utils.analysis.choice import Choice, Criterion

_FIGURES = {
    "neighbours": "neighbours kept",
    "trustworthiness": "trustworthiness",
    "distances": "rank correlation of distances",
}
_AXES = {
    "silhouette": "silhouette",
    "calinski_harabasz": "Caliński–Harabasz",
    "davies_bouldin": "Davies–Bouldin",
    "aic": "AIC",
    "bic": "BIC",
}


def faithfulness_of_maps(
    found: Mapping[str, Faithfulness], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show what each of several maps keeps, a diamond, beside the same method's map of noise, a gray dot.

    Args:
        found: the faithfulness of each map, under its name; at least one.
        caption: what to say below it.
        theme: `"light"` or `"dark"`.
    """
    if not found:
        raise ValueError("there is no map to show")
    figure = new_figure(8.2, 0.42 * len(found) + 1.45, theme)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (name, shown) in zip(panels, _FIGURES.items(), strict=True):
        for row, one in enumerate(found.values()):
            _draw_map(axes, row, name, one, theme)
        axes.set_xlabel(shown)
        axes.margins(x=0.12)
        axes.set_ylim(len(found) - 0.5, -0.5)
        plain_axes(axes, theme)
        axes.grid(axis="y", color=FAINT[theme], linewidth=0.6)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(found)), [shortened(name) for name in found])
    for label, name in zip(panels[0].get_yticklabels(), found, strict=True):
        write_words(label, shortened(name))
    _legend_above(
        figure,
        [
            Line2D([], [], marker="D", color=PALETTE[theme][1], linestyle="", markersize=8, label="this map"),
            Line2D([], [], marker="o", color=GRAY[theme], linestyle="", markersize=7, label="a map of noise"),
            Line2D([], [], marker="|", color=INK[theme], linestyle="", markersize=10, label="chance"),
        ],
        theme,
    )
    if caption is None:
        caption = (
            "Diamonds: what a map keeps. Dots: what the same method keeps of a Gaussian cloud with the same "
            "covariance. A diamond far to the right makes a good map; whether there is anything on it is "
            "another question."
        )
    return Illustration(
        figure, caption, "What maps keep. " + "; ".join(map(_map_in_words, found.items())) + "."
    )


def choice_of_k(choice: Choice, *, caption: str | None = None, theme: Theme = "light") -> Illustration:
    """Show each criterion over k, above or below the range that it has in clouds without clusters.

    A diamond marks the k at which the data stand out most, a ring the k with the best value itself.
    """
    columns = min(3, len(choice.criteria))
    lines = -(-len(choice.criteria) // columns)
    figure = new_figure(2.75 * columns, 2.35 * lines + 0.4, theme)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, criterion in zip(panels, choice.criteria, strict=False):
        _draw_criterion(axes, criterion, theme, decides=criterion.name == choice.decided)
    for axes in panels[len(choice.criteria) :]:
        axes.set_axis_off()
    colour = PALETTE[theme][1]
    _legend_above(
        figure,
        [
            Line2D([], [], color=colour, marker=".", label="your images"),
            Patch(color=GRAY[theme], alpha=0.35, linewidth=0, label="without clusters"),
            Line2D([], [], marker="D", color=colour, linestyle="", markersize=8, label="stands out most"),
            Line2D(
                [],
                [],
                marker="o",
                color=INK[theme],
                markerfacecolor="none",
                linestyle="",
                markersize=11,
                label="best value",
            ),
        ],
        theme,
    )
    if caption is None:
        caption = (
            "Each criterion for each number of clusters, beside what it gives for Gaussian clouds of the "
            "same covariance. Where ring and diamond part, trust the diamond: some numbers of clusters give "
            "better values in noise, too."
        )
    parts = (
        f"{_AXES[one.name]} chooses {one.k}, its best value is at {one.favourite}" for one in choice.criteria
    )
    alt = f"{len(choice.criteria)} criteria for k = {choice.ks[0]} to {choice.ks[-1]}: {'; '.join(parts)}."
    return Illustration(figure, caption, alt)


def _draw_map(axes: Axes, row: int, name: str, one: Faithfulness, theme: Theme) -> None:
    value = getattr(one.kept, name)
    if name == "neighbours":
        axes.plot([one.chance], [row], marker="|", color=INK[theme], markersize=10)
    if one.noise is not None:
        noise = getattr(one.noise, name)
        axes.plot([noise, value], [row, row], color=GRAY[theme], linewidth=1.2)
        axes.plot([noise], [row], marker="o", color=GRAY[theme], markersize=7)
    axes.plot([value], [row], marker="D", color=PALETTE[theme][1], markersize=8)


def _draw_criterion(axes: Axes, one: Criterion, theme: Theme, *, decides: bool) -> None:
    ks, colour = list(one.curve), PALETTE[theme][1]
    drawn = np.array([one.null[k] for k in ks])
    axes.fill_between(ks, drawn.min(axis=1), drawn.max(axis=1), color=GRAY[theme], alpha=0.35, linewidth=0)
    axes.plot(ks, drawn.mean(axis=1), color=GRAY[theme], linewidth=1)
    axes.plot(ks, list(one.curve.values()), color=colour, marker=".")
    axes.plot([one.k], [one.curve[one.k]], color=colour, marker="D", markersize=8)
    axes.plot(
        [one.favourite],
        [one.curve[one.favourite]],
        color=INK[theme],
        marker="o",
        markersize=13,
        markerfacecolor="none",
        linestyle="",
    )
    axes.set_xticks(ks)
    axes.set_xlabel("number of clusters k" + (" (decides)" if decides else ""))
    better = "larger" if one.larger_is_better else "smaller"
    axes.set_ylabel(f"{_AXES[one.name]}\n({better} is better)")
    axes.margins(y=0.14)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.yaxis.get_offset_text().set(color=INK[theme], size=8)
    plain_axes(axes, theme)


def _legend_above(figure: Figure, handles: Sequence[Artist], theme: Theme) -> None:
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK[theme],
    )


def _map_in_words(one: tuple[str, Faithfulness]) -> str:
    name, found = one
    parts = []
    for figure, words in _FIGURES.items():
        noise = "" if found.noise is None else f" (noise {getattr(found.noise, figure):.2f})"
        parts.append(f"{words} {getattr(found.kept, figure):.2f}{noise}")
    return f"{shortened(name)}: {', '.join(parts)}"
