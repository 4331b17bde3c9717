"""How often chance is called a finding, and whether a finding comes back among other women (lesson 09)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from course_utils.plots.illustration import (
    GRAY,
    GROUND,
    INK,
    MARKERS,
    PALETTE,
    Illustration,
    Theme,
    new_figure,
    plain_axes,
)

_BARS = 20
_LEVEL = 1 / _BARS


def p_value_histograms(
    p_values: Mapping[str, ArrayLike], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Draw the p values of many studies of nothing: a panel for each way to get them.

    If p is what it promises, each of the twenty bars is about as high as the dashed line. The first bar,
    p ≤ 0.05, holds the false findings.

    Args:
        p_values: for each way, `(n,)` numbers above 0 and at most 1.
        caption: what to look for; None: says what is drawn.
        theme: light or dark background.
    """
    figure = new_figure(3.3 * len(p_values) + 0.4, 2.9, theme)
    panels = np.atleast_1d(np.asarray(figure.subplots(1, len(p_values), sharey=True)))
    said = {}
    for axes, (name, values) in zip(panels, p_values.items(), strict=True):
        numbers = np.asarray(values, np.float64)
        bar = np.ceil(numbers * _BARS - 1e-9).astype(int) - 1  # p = 0.05 belongs to the first
        counts = np.bincount(bar, minlength=_BARS)
        colours = [PALETTE[theme][1]] + [GRAY[theme]] * (_BARS - 1)
        bars = axes.bar(
            np.arange(_BARS) * _LEVEL,
            counts,
            _LEVEL,
            align="edge",
            color=colours,
            edgecolor=GROUND[theme],
            linewidth=0.6,
        )
        bars[0].set_hatch("////")
        axes.axhline(len(numbers) * _LEVEL, color=INK[theme], linewidth=1, linestyle=(0, (4, 3)))
        said[name] = f"{counts[0]} of {len(numbers)}"
        axes.set(title=name, xlabel="p value", xlim=(0, 1))
        plain_axes(axes, theme)
        axes.title.set(color=INK[theme], size=10)
    panels[0].set_ylabel("studies")
    if caption is None:
        caption = "Hatched: p ≤ 0.05. Dashed: what each bar should hold when there is nothing to find."
    listed = "; ".join(f"{name}: {each}" for name, each in said.items())
    return Illustration(figure, caption, f"Histograms of p values; at or below 0.05 are, {listed}.")


def steps_repeated(
    steps: Sequence[str],
    cohorts: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    measure: str,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw what each step of a chain gives, in several sets of women beside each other.

    Args:
        steps: what each of S steps is called.
        cohorts: for each set of women, its values `(S,)` and the ends of their intervals `(S,)`, `(S,)`.
        measure: what the values are; words on the axis.
        caption: what to look for; None: says what is drawn.
        theme: light or dark background.
    """
    figure = new_figure(7.4, 3.6, theme)
    axes = figure.subplots()
    places, said = np.arange(len(steps)), []
    for i, (name, numbers) in enumerate(cohorts.items()):
        values, low, high = (np.asarray(each, np.float64) for each in numbers)
        x, colour = places + 0.16 * (i - (len(cohorts) - 1) / 2), PALETTE[theme][i]
        axes.vlines(x, low, high, color=colour, linewidth=2)
        axes.plot(x, values, linestyle="none", marker=MARKERS[i], markersize=8, color=colour, label=name)
        said.append(f"{name}: {', '.join(f'{value:.2f}' for value in values)}")
    axes.set_xticks(places, list(steps))
    axes.set_xlim(-0.5, len(steps) - 0.5)
    axes.set_xlabel("step")
    axes.set_ylabel(measure)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK[theme], loc="upper left")
    plain_axes(axes, theme)
    if caption is None:
        caption = "Marks: all the women of a set. Lines: 95% of the random halves of its women."
    return Illustration(figure, caption, f"{measure} after {', '.join(steps)}. {'; '.join(said)}.")
