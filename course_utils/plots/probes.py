"""How much can be read off vectors, what is taken for what, and how sure that was (lesson 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.lines import Line2D

from course_utils.plots.illustration import (
    FAINT,
    GRAY,
    GROUND,
    INK,
    PALETTE,
    Illustration,
    Theme,
    new_figure,
    plain_axes,
)
from course_utils.plots.lettering import shortened, write_words

if TYPE_CHECKING:
    from course_utils.analysis.probing import Probe
    from course_utils.analysis.probing.baselines import Baseline
    from course_utils.analysis.probing.scores import Score

LOWEST = -1.0
"""What lies further left than this is drawn at the edge: an R² has no lower end."""
MOST_NUMBERED = 12
"""So many classes have their counts written into the cells."""


def scores_beside(probe: Probe, *, caption: str | None = None, theme: Theme = "light") -> Illustration:
    """Show what was read off the vectors beside each baseline: the main measure, with its interval.

    Args:
        probe: what was found.
        caption: what to say below it.
        theme: `"light"` or `"dark"`.
    """
    from course_utils.analysis.probing.scores import NAMES

    rows = {"the vectors": probe.score} | {
        name: one.scores[probe.measure] for name, one in probe.baselines.items()
    }
    figure = new_figure(7.6, 0.42 * len(rows) + 1.35, theme)
    axes = figure.subplots()
    axes.axvline(probe.chance_level, color=GRAY[theme], linewidth=1.4, linestyle=(0, (4, 3)), zorder=1)
    for row, score in enumerate(rows.values()):
        _draw_score(axes, row, score, theme)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [shortened(name) for name in rows])
    for label, name in zip(axes.get_yticklabels(), rows, strict=True):
        write_words(label, shortened(name))
    known = [value for one in rows.values() for value in (one.value, one.low, one.high) if value is not None]
    least = 0.0 if probe.levels else max(min(*known, probe.chance_level), LOWEST)
    axes.set_xlim(least - 0.03, 1.03)
    best = "1 is always right" if probe.levels else "1 is without error"
    axes.set_xlabel(f"{NAMES[probe.measure]} of women not in training ({best})")
    plain_axes(axes, theme)
    beside = axes.secondary_yaxis("right")
    words = [_value(probe.score.value), *(_compared(one, probe.measure) for one in probe.baselines.values())]
    beside.set_yticks(range(len(rows)), words)
    beside.tick_params(colors=INK[theme], labelsize=8.5, length=0)
    beside.spines["right"].set_visible(False)
    _explain(axes, probe, theme)
    if caption is None:
        caption = _scores_caption(probe, cut=min(known) < LOWEST)
    return Illustration(figure, caption, _scores_alt(probe, rows))


def confusion(probe: Probe, *, caption: str | None = None, theme: Theme = "light") -> Illustration:
    """Show how many images of each class (rows) were taken for which (columns), a mean over the repeats.

    Args:
        probe: what was found, of classes.
        caption: what to say below it.
        theme: `"light"` or `"dark"`.
    """
    counts, levels = np.array(_of_classes(probe).confusion), list(probe.levels)
    size = len(levels)
    side = min(0.62 * size, 6.4)
    figure = new_figure(side + 1.3, side + 0.9, theme)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    shades = LinearSegmentedColormap.from_list("shares", [GROUND[theme], PALETTE[theme][0]])
    axes.imshow(shares, cmap=shades, vmin=0, vmax=1)
    if size <= MOST_NUMBERED:
        for row, column in np.ndindex(counts.shape):
            ground = shades(shares[row, column])[:3]
            ink = max((INK["light"], INK["dark"]), key=lambda each: _contrast(to_rgb(each), ground))
            words = _count(float(counts[row, column]))
            axes.text(column, row, words, ha="center", va="center", fontsize=9, color=ink)
    names = [shortened(level, 14) for level in levels]
    axes.set_xticks(range(size), names, rotation=0 if max(map(len, names)) < 6 else 90)
    axes.set_yticks(range(size), names)
    for label, level in zip([*axes.get_xticklabels(), *axes.get_yticklabels()], levels * 2, strict=True):
        write_words(label, shortened(level, 14))
    write_words(axes.xaxis.label, f"{shortened(probe.target)} as predicted")
    write_words(axes.yaxis.label, f"{shortened(probe.target)} as it is")
    plain_axes(axes, theme)
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT[theme])
    if caption is None:
        times = "" if probe.repeats == 1 else f", a mean over {probe.repeats} repeats"
        near = " Misses beside the diagonal are by one class." if probe.ordered else ""
        caption = (
            f"Images by their class (rows) and the predicted one (columns){times}. The shade is the share of "
            f"the row; on the diagonal are those that were recognised.{near}"
        )
    recognised = ", ".join(
        f"{shortened(level)} {_count(counts[i, i])} of {_count(counts[i].sum())}"
        for i, level in enumerate(levels[:MOST_NUMBERED])
    )
    more = f", and {size - MOST_NUMBERED} more classes" if size > MOST_NUMBERED else ""
    return Illustration(figure, caption, f"Images of each class that were recognised: {recognised}{more}.")


def reliability(probe: Probe, *, caption: str | None = None, theme: Theme = "light") -> Illustration:
    """Show how often predictions of some confidence are right, a point for each bin of confidence.

    Args:
        probe: what was found, of classes.
        caption: what to say below it.
        theme: `"light"` or `"dark"`.
    """
    curve = np.array(_of_classes(probe).reliability)
    confidence, right, images = curve.T
    figure = new_figure(5.2, 4.2, theme)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GRAY[theme], linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    axes.plot(confidence, right, color=PALETTE[theme][1], linewidth=1, alpha=0.5, zorder=2)
    area = 16 + 240 * images / images.max()
    axes.scatter(
        confidence, right, s=area, c=PALETTE[theme][1], edgecolors=GROUND[theme], linewidths=0.8, zorder=3
    )
    for x, y, n in curve:
        above = y > x  # away from the dashed line
        axes.annotate(
            _count(n),
            (x, y),
            xytext=(-9, 7) if above else (9, -7),
            textcoords="offset points",
            ha="right" if above else "left",
            va="bottom" if above else "top",
            fontsize=8.5,
            color=INK[theme],
        )
    axes.set(xlim=(-0.04, 1.12), ylim=(-0.1, 1.06))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("confidence: the largest of the predicted probabilities")
    axes.set_ylabel("share of these predictions that is right")
    plain_axes(axes, theme)
    if caption is None:
        caption = (
            "On the dashed line, of the predictions made with 80% confidence, 80% are right; below it, the "
            "model is surer than it should be. The number at a point is how many images it stands for. "
            f"Expected calibration error {probe.scores['calibration_error'].words}."
        )
    points = ", ".join(f"{x:.2f} confident, {y:.2f} right" for x, y, _ in curve)
    return Illustration(figure, caption, f"Confidence, and how often it was right: {points}.")


def _of_classes(probe: Probe) -> Probe:
    if not probe.levels:
        raise ValueError(f"{probe.target} is a number: it has no classes to show")
    return probe


def _draw_score(axes: Axes, row: int, score: Score, theme: Theme) -> None:
    """Draw a value and its interval; the first row is that of the vectors."""
    colour = INK[theme] if row else PALETTE[theme][1]
    if score.low is not None and score.high is not None:
        ends = [max(score.low, LOWEST), max(score.high, LOWEST)]
        axes.plot(ends, [row, row], color=colour, linewidth=1.6, zorder=2)
    axes.plot(
        [max(score.value, LOWEST)],
        [row],
        marker="o" if row else "D",
        color=colour,
        markersize=6.5 if row else 8,
        linestyle="",
        zorder=3,
    )


def _compared(one: Baseline, measure: str) -> str:
    found = "vectors better" if one.is_beaten else "vectors worse" if one.wins else "no difference shown"
    return f"{_value(one.scores[measure].value)}, {found}"


def _explain(axes: Axes, probe: Probe, theme: Theme) -> None:
    """Put a legend above the axes."""
    handles = [
        Line2D([], [], marker="D", color=PALETTE[theme][1], markersize=7, linewidth=1.6, label="the vectors")
    ]
    if probe.baselines:
        handles.append(
            Line2D(
                [], [], marker="o", color=INK[theme], markersize=6, linewidth=1.6, label="something simpler"
            )
        )
    handles.append(Line2D([], [], color=GRAY[theme], linestyle=(0, (4, 3)), linewidth=1.4, label="chance"))
    axes.legend(
        handles=handles,
        frameon=False,
        fontsize=8.5,
        ncols=3,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        labelcolor=INK[theme],
    )


def _scores_caption(probe: Probe, *, cut: bool) -> str:
    interval = "a line is a 95% interval from drawing the women anew"
    if probe.score.low is None:
        interval = "there are too few women for an interval"
    words = f"Each mark is read off women whom no model has seen, in the same folds; {interval}."
    if probe.baselines:
        words += (
            " Whether the vectors do better is decided by the interval of the difference, woman by woman, "
            "which is not drawn: two lines may overlap and one still be ahead."
        )
    return words + (f" What lies below {LOWEST:.0f} is drawn there." if cut else "")


def _scores_alt(probe: Probe, rows: dict[str, Score]) -> str:
    from course_utils.analysis.probing.scores import NAMES

    listed = "; ".join(f"{shortened(name)} {_with_ends(score)}" for name, score in rows.items())
    of = f"{NAMES[probe.measure]} for {shortened(probe.target)}"
    return f"{of[0].upper()}{of[1:]}, chance {_value(probe.chance_level)}: {listed}."


def _with_ends(score: Score) -> str:
    if score.low is None or score.high is None:
        return _value(score.value)
    return f"{_value(score.value)} ({_value(score.low)} to {_value(score.high)})"


def _value(value: float) -> str:
    from course_utils.analysis.associations import two_decimals

    return two_decimals(value)


def _count(value: float) -> str:
    """Return a number of images; a mean over repeats has a decimal where it is not whole."""
    return f"{value:.1f}".removesuffix(".0")


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the contrast of two colours. Source: WCAG 2.2, "contrast ratio"."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    light = [
        float(weights @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4))
        for c in (np.array(one), np.array(other))
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)
