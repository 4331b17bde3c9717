"""Splits that leak, biases that turn round, and how many labels are enough (lesson 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from course_utils.plots.illustration import (
    FAINT,
    GRAY,
    INK,
    MARKERS,
    PALETTE,
    Illustration,
    Theme,
    legend_beside,
    new_figure,
    plain_axes,
)


def two_splits(
    scores: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    chances: Mapping[str, float],
    *,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw how well each thing is read if women are kept together, and if images are shuffled.

    Args:
        scores: for each name, the balanced accuracies by woman and those by image; one or several each.
        chances: for each name, what chance gives.
        caption: what to look for; None: says what is drawn.
        theme: light or dark background.
    """
    figure = new_figure(7.4, 0.5 * len(scores) + 1.3, theme)
    axes = figure.subplots()
    styles = (("women kept together", 0, -0.13), ("images shuffled", 1, 0.13))
    said = []
    for row, (name, both) in enumerate(scores.items()):
        axes.plot([chances[name]] * 2, [row - 0.38, row + 0.38], color=GRAY[theme], linewidth=1.6, zorder=1)
        for (label, place, shift), values in zip(styles, both, strict=True):
            numbers, colour = np.atleast_1d(np.asarray(values, np.float64)), PALETTE[theme][place]
            axes.scatter(
                numbers, np.full(len(numbers), row + shift), s=14, c=colour, alpha=0.45, linewidths=0
            )
            axes.scatter(
                [numbers.mean()],
                [row + shift],
                s=64,
                c=colour,
                marker=MARKERS[place],
                label=label if not row else None,
                zorder=3,
            )
        by_woman, by_image = (float(np.mean(values)) for values in both)
        said.append(f"{name} {by_woman:.2f} and {by_image:.2f}, chance {chances[name]:.2f}")
    axes.plot([], [], color=GRAY[theme], linewidth=1.6, label="chance")
    axes.set_yticks(range(len(scores)), list(scores))
    axes.set(
        ylim=(len(scores) - 0.45, -0.55), xlim=(0.2, 1.0), xlabel="balanced accuracy (1 is always right)"
    )
    plain_axes(axes, theme)
    axes.tick_params(axis="y", labelsize=9.5, length=0)
    axes.legend(
        frameon=False,
        fontsize=8.5,
        ncols=3,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        labelcolor=INK[theme],
    )
    if caption is None:
        caption = "The same model and the same images, split in two ways. Small dots: each repeat."
    alt = f"Balanced accuracy by woman, and with images shuffled: {'; '.join(said)}."
    return Illustration(figure, caption, alt)


def shortcut_doses(
    doses: Sequence[float],
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw how often a model is right that learnt from a biased set, where the bias is the same and reversed.

    Args:
        doses: the share of women in training in whom the two things agree, rising, from 0.5 (no bias) to 1.
        panels: for each target, `(doses,)` right answers where the bias is the same, and where it is
            reversed. At least one.
        caption: what to look for; None: says what is drawn.
        theme: light or dark background.
    """
    figure = new_figure(3.6 * len(panels) + 1.5, 3.3, theme)
    every = np.atleast_1d(np.asarray(figure.subplots(1, len(panels), sharey=True)))
    said, places = [], range(len(doses))  # side by side: 95% and 100% would lie on one another
    for axes, (name, lines) in zip(every, panels.items(), strict=True):
        axes.axhline(0.5, color=GRAY[theme], linewidth=1.4, linestyle=(0, (4, 3)), zorder=1, label="chance")
        for place, (label, line) in enumerate(
            zip(("the same bias", "the bias reversed"), lines, strict=True)
        ):
            axes.plot(
                places,
                np.asarray(line, np.float64),
                color=PALETTE[theme][place],
                marker=MARKERS[place],
                markersize=6,
                label=label,
            )
            values = ", ".join(f"{value:.2f}" for value in np.asarray(line, np.float64))
            said.append(f"{name}, {label}: {values}")
        axes.set(ylim=(0, 1.03), xlabel="agreement in training", title=name)
        axes.set_xticks(places, [f"{dose:.0%}" for dose in doses])
        plain_axes(axes, theme)
        axes.title.set(color=INK[theme], size=10)
    every[0].set_ylabel("share of right answers")
    legend_beside(every[-1], "tested where there is", theme)
    if caption is None:
        caption = (
            "In training the two agree in so many women of a hundred; at 50% they have nothing in common."
        )
    listed = "; ".join(said)
    asked = ", ".join(f"{dose:.0%}" for dose in doses)
    return Illustration(figure, caption, f"Right answers by agreement in training ({asked}): {listed}.")


def label_curves(
    curves: Mapping[str, tuple[Sequence[int], ArrayLike]],
    chance: float,
    *,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw how well the others are read, by the number of labelled women.

    Args:
        curves: for each name, at most 8, the numbers of women `(sizes,)` and the balanced accuracy at each
            repeat and number `(repeats, sizes)`.
        chance: what knowing nothing gives.
        caption: what to look for; None: says what is drawn.
        theme: light or dark background.
    """
    figure = new_figure(8.0, 3.8, theme)
    axes = figure.subplots()
    axes.axhline(chance, color=GRAY[theme], linewidth=1.4, linestyle=(0, (4, 3)), zorder=1, label="chance")
    said = []
    for place, (name, (women, values)) in enumerate(curves.items()):
        table = np.asarray(values, np.float64)
        means, sds = table.mean(axis=0), table.std(axis=0, ddof=1)
        shifted = np.asarray(women, np.float64) * 1.035 ** (place - (len(curves) - 1) / 2)
        axes.errorbar(
            shifted,
            means,
            sds,
            color=PALETTE[theme][place],
            marker=MARKERS[place],
            markersize=6,
            elinewidth=0.9,
            linewidth=1.4,
            label=name,
        )
        said.append(f"{name} " + ", ".join(f"{m:.2f} from {w}" for m, w in zip(means, women, strict=True)))
    numbers = sorted({int(n) for women, _ in curves.values() for n in women})
    axes.set_xscale("log")
    axes.set_xticks(numbers, [str(n) for n in numbers], minor=False)
    axes.set_xticks([], minor=True)
    axes.set(xlabel="women with a label", ylabel="balanced accuracy on other women", ylim=(0, 1))
    plain_axes(axes, theme)
    axes.grid(axis="y", color=FAINT[theme], linewidth=0.6)
    axes.set_axisbelow(True)
    legend_beside(axes, "", theme)
    if caption is None:
        caption = (
            "Means over the repeats; the bars are one standard deviation, which is how much luck a single "
            "try has. (Points at the same number of women are drawn side by side.)"
        )
    return Illustration(figure, caption, f"Balanced accuracy by the number of women: {'; '.join(said)}.")
