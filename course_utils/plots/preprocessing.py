"""From stored values to the square that the network sees, step by step (lessons 01, 02 and 04)."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from course_utils.plots.illustration import (
    DPI,
    FAINT,
    GRAY,
    INK,
    MARKERS,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    new_figure,
    pixels_of,
    plain_axes,
)

GRAYS = 40
"""Mammograms are drawn in as many: steps of 2.5 %, which are hardly seen and make a notebook smaller."""


def gray_curves(
    values: ArrayLike,
    curves: Mapping[str, Callable[[NDArray[np.float32]], NDArray[np.floating]]],
    *,
    picture: Picture | None = None,
    span: tuple[float, float] = (0, 4095),
    unit: str = "stored value",
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Show which gray each value becomes: curves over the values' histogram, and the picture if given.

    Args:
        values: what goes in, of any shape; few enough to count quickly if there is a slider.
        curves: functions from values to display values in [0, 1], by name; at most four.
        picture: what the first curve makes of it, shown on the left.
        span: the range of values shown.
        unit: what the values are.
        caption: what to look for; None: says what the two parts are.
        theme: light or dark background.
    """
    figure = new_figure(7.0, 3.2, theme) if picture is not None else new_figure(5.4, 3.2, theme)
    widths = (2, 3) if picture is not None else (1,)
    figure.set_layout_engine("none")  # finding a layout takes as long as drawing, which a slider would feel
    room = {"left": 0.01 if picture is not None else 0.12, "right": 0.98, "bottom": 0.15, "top": 0.9}
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths, gridspec_kw=room)[0]
    axes = panels[-1]
    hills(axes, values, bins=128, span=span, cut_off=3, theme=theme)
    x = np.linspace(*span, 512, dtype=np.float32)
    for (name, curve), colour, dashes in zip(
        curves.items(), PALETTE[theme], ("-", "--", "-.", ":"), strict=False
    ):
        axes.plot(x, curve(x.copy()), linestyle=dashes, color=colour, linewidth=2, label=name)
    axes.set(xlim=span, ylim=(-0.03, 1.03), xlabel=unit, ylabel="display value (0 black, 1 white)")
    plain_axes(axes, theme)
    axes.legend(
        frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, labelcolor=INK[theme]
    )
    if picture is not None:
        panels[0].imshow(pixels_of(picture), cmap="gray", vmin=0, vmax=1)
        panels[0].set_axis_off()
        panels[0].set_position((0, 0.01, 0.36, 0.98))  # full height: the picture is what one looks at
    if caption is None:
        caption = "Curve: which gray each value becomes. Hills: how many pixels have it, the highest cut off."
    names = ", ".join(curves)
    seen = "A mammogram, and beside it the" if picture is not None else "The"
    alt = f"{seen} histogram of its values under the curve that makes gray of them: {names}."
    return Illustration(figure, caption, alt)


def hills(
    axes: Axes, values: ArrayLike, *, bins: int, span: tuple[float, float], cut_off: int, theme: Theme
) -> None:
    """Draw a histogram as gray hills, 0 to 1; the `cut_off` highest bins, the ground's, are cut off."""
    counts, edges = np.histogram(np.asarray(values), bins=bins, range=span)
    highest = max(np.sort(counts)[-1 - cut_off], 1)
    axes.stairs(np.minimum(counts / highest, 1), edges, fill=True, color=GRAY[theme], alpha=0.45, linewidth=0)


def preprocessing_steps(
    trace: Mapping[str, NDArray[np.floating]], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show the picture after each step, as `Preprocessor.trace` gives them: float (h, w) in [0, 1].

    All are equally high, so that what a step has made smaller is not confused with what is drawn smaller.
    """
    widths = [max(0.42, picture.shape[1] / picture.shape[0]) for picture in trace.values()]
    height = 4.5 / sum(widths)
    figure = new_figure(5.6, 0.55 + height, theme)
    grid = figure.subplots(1, len(trace), squeeze=False, width_ratios=widths)[0]
    for number, (axes, (name, picture)) in enumerate(zip(grid, trace.items(), strict=True), start=1):
        axes.imshow(as_drawn(picture, round(height * DPI)), cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], anchor="N")
        axes.spines[:].set_color(FAINT[theme])
        axes.set_title(f"{number} {name}", fontsize=9, color=INK[theme])
        axes.set_xlabel(f"{picture.shape[0]} × {picture.shape[1]}", fontsize=7.2, color=INK[theme])
    if caption is None:
        caption = "The same mammogram after each step; below, its rows × columns in pixels."
    return Illustration(
        figure, caption, f"One mammogram after each of {len(trace)} steps: {', '.join(trace)}."
    )


def one_step(trace: Mapping[str, NDArray[np.floating]], step: int, *, theme: Theme = "light") -> Illustration:
    """Show one step of `Preprocessor.trace`, counted from 1: the picture before it and after it.

    A step beyond the last is the last.
    """
    names = list(trace)
    step = min(step, len(names))
    shown = names[max(step - 2, 0) : step]
    figure = new_figure(4.0, 2.5, theme)
    grid = figure.subplots(1, 2)
    for axes in grid:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(FAINT[theme])
    for axes, name in zip(grid[-len(shown) :], shown, strict=True):
        picture = trace[name]
        axes.imshow(as_drawn(picture, round(1.7 * DPI)), cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{names.index(name) + 1} {name}", fontsize=10, color=INK[theme])
        axes.set_xlabel(f"{picture.shape[0]} × {picture.shape[1]} pixels", fontsize=9, color=INK[theme])
    for axes in grid[: 2 - len(shown)]:
        axes.set_axis_off()
    way = " → ".join(f"[{name}]" if name == names[step - 1] else name for name in names)
    figure.suptitle(way, fontsize=10.5, color=INK[theme])
    caption = f"Step {step} of {len(names)}: {names[step - 1]}."
    alt = f"A mammogram before and after step {step} of {len(names)}, {names[step - 1]}."
    return Illustration(figure, caption, alt)


def as_drawn(picture: Picture, height: int) -> NDArray[np.floating]:
    """Return a picture, float (H, W) in [0, 1], in the height at which it is drawn and in `GRAYS` grays."""
    pixels = np.asarray(pixels_of(picture), np.float32)
    width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
    how = cv2.INTER_AREA if height < pixels.shape[0] else cv2.INTER_LINEAR
    return np.rint(cv2.resize(pixels, (width, height), interpolation=how) * (GRAYS - 1)) / (GRAYS - 1)


def shifts(
    moved: Mapping[str, ArrayLike],
    between: ArrayLike,
    *,
    kept: Mapping[str, Mapping[str, float]] | None = None,
    chance: Mapping[str, float] | None = None,
    unit: str = "cosine distance (0: the same direction)",
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Show how far vectors move under each treatment, beside how far apart different women are.

    Args:
        moved: for each treatment `(N,)` distances, each from one image to itself treated differently.
        between: `(M,)` distances between different women, treated the same.
        kept: for each column beside them the share, 0 to 1, under each treatment.
        chance: for each such column what chance would give.
        unit: what is measured.
        caption: what to look for; None: says what dots, diamonds and band are.
        theme: light or dark background.
    """
    columns = dict(kept or {})
    apart = np.asarray(between)
    rows = sorted(
        ((name, np.asarray(each)) for name, each in moved.items()), key=lambda row: np.median(row[1])
    )
    height = 0.42 * len(rows) + 1.5 if not columns else 0.24 * len(rows) + 1.1
    figure = new_figure(7.0 + 0.5 * len(columns), height, theme)
    widths = (4 if columns else 1, *(1 for _ in columns))
    axes, *beside = figure.subplots(1, len(widths), squeeze=False, sharey=True, width_ratios=widths)[0]
    axes.axvspan(apart.min(), apart.max(), color=GRAY[theme], alpha=0.18, linewidth=0)
    axes.axvline(float(np.median(apart)), color=GRAY[theme], linestyle=(0, (4, 3)), linewidth=1.4)
    styles = (PALETTE[theme][0], PALETTE[theme][1])
    size = 64 if not columns else 40
    for row, (_, each) in enumerate(rows):
        axes.scatter(each, np.full(len(each), row), s=18, c=styles[0], alpha=0.55, linewidths=0)
        axes.scatter([np.median(each)], [row], s=size, c=styles[1], marker="D", zorder=3)
    axes.scatter([np.median(apart)], [len(rows)], s=size, c=GRAY[theme], marker="D", zorder=3)
    axes.plot([apart.min(), apart.max()], [len(rows)] * 2, color=GRAY[theme], linewidth=2)
    axes.set_yticks(range(len(rows) + 1), [*(name for name, _ in rows), "two women"])
    axes.set(xlim=(0, None), ylim=(-0.6, len(rows) + 0.6), xlabel=unit)
    plain_axes(axes, theme)
    for panel, (title, shares), marker in zip(beside, columns.items(), MARKERS, strict=False):
        if chance and title in chance:
            panel.axvline(chance[title], color=GRAY[theme], linestyle=":", linewidth=1.4)
        found = [(shares[name], row) for row, (name, _) in enumerate(rows) if name in shares]
        panel.scatter(*zip(*found, strict=True), s=30, c=PALETTE[theme][2], marker=marker, zorder=3)
        panel.set(xlim=(-0.05, 1.05), xticks=[0, 0.5, 1], xticklabels=["0", "½", "1"])
        panel.set_xlabel("share (0 to 1)")
        panel.set_title(title, fontsize=9, color=INK[theme])
        plain_axes(panel, theme)
        panel.tick_params(labelleft=False)
    if caption is None:
        caption = (
            "A dot is one image, a diamond the median. Gray: how far apart two different women lie, from the "
            "nearest pair to the farthest; the dashed line is their median."
        )
        if chance:
            caption += " In the columns, dotted: what chance would give."
    alt = f"Distances by which {len(rows)} treatments move a vector, beside those between different women."
    if columns:
        alt += f" In columns beside them, shares: {', '.join(columns)}."
    return Illustration(figure, caption, alt)
