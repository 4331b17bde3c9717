"""From stored values to the square that the network sees, step by step (lessons 01, 02 and 04)."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_utils.plots.illustration import (
    FAINT,
    GRAY,
    INK,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    new_figure,
    pixels_of,
    plain_axes,
    reduced,
)


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
    counts, edges = np.histogram(np.asarray(values), bins=128, range=span)
    highest = np.sort(counts)[-4]  # the ground is one huge peak, cut off
    axes.fill_between(
        edges[:-1], np.minimum(counts / max(highest, 1), 1), step="post", color=GRAY[theme], alpha=0.45
    )
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


def preprocessing_steps(
    trace: Mapping[str, NDArray[np.floating]], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show the picture after each step, as `Preprocessor.trace` gives them: float (h, w) in [0, 1].

    All are equally high, so that what a step has made smaller is not confused with what is drawn smaller.
    """
    widths = [max(0.42, picture.shape[1] / picture.shape[0]) for picture in trace.values()]
    figure = new_figure(5.6, 0.55 + 4.5 / sum(widths), theme)
    grid = figure.subplots(1, len(trace), squeeze=False, width_ratios=widths)[0]
    for number, (axes, (name, picture)) in enumerate(zip(grid, trace.items(), strict=True), start=1):
        axes.imshow(reduced(picture), cmap="gray", vmin=0, vmax=1)
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
        axes.imshow(reduced(picture), cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{names.index(name) + 1} {name}", fontsize=10, color=INK[theme])
        axes.set_xlabel(f"{picture.shape[0]} × {picture.shape[1]} pixels", fontsize=9, color=INK[theme])
    for axes in grid[: 2 - len(shown)]:
        axes.set_axis_off()
    way = " → ".join(f"[{name}]" if name == names[step - 1] else name for name in names)
    figure.suptitle(way, fontsize=10.5, color=INK[theme])
    caption = f"Step {step} of {len(names)}: {names[step - 1]}."
    alt = f"A mammogram before and after step {step} of {len(names)}, {names[step - 1]}."
    return Illustration(figure, caption, alt)


def before_and_after(
    pictures: Sequence[Picture],
    masks: Sequence[NDArray[np.bool_]],
    after: Sequence[Picture],
    titles: Sequence[str],
    *,
    columns: int = 8,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Show pictures with the outline of the breast in each, and below each what the network sees.

    `masks` are bool, each of the shape of its picture.
    """
    columns = min(columns, len(pictures))
    lines = -(-len(pictures) // columns)
    figure = new_figure(0.51 * columns, 1.26 * lines, theme)
    room = {"wspace": 0.05, "hspace": 0.04, "height_ratios": (3, 2) * lines}
    grid = figure.subplots(2 * lines, columns, squeeze=False, gridspec_kw=room)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, (picture, mask, seen, title) in enumerate(zip(pictures, masks, after, titles, strict=True)):
        line, column = 2 * (index // columns), index % columns
        above, below = grid[line, column], grid[line + 1, column]
        above.imshow(reduced(picture, 110), cmap="gray", vmin=0, vmax=1)
        around = np.pad(reduced(mask.astype(np.float32), 110), 1)  # closes the outline at the border
        height, width = (side - 2 for side in around.shape)
        above.contour(
            np.arange(-1, width + 1),
            np.arange(-1, height + 1),
            around,
            levels=[0.5],
            colors=PALETTE[theme][1],
            linewidths=0.9,
        )
        above.set_title(title, fontsize=5.2, color=INK[theme], pad=2)
        below.imshow(reduced(seen, 70), cmap="gray", vmin=0, vmax=1)
        below.set_anchor("N")
    if caption is None:
        caption = "Above: as read, the breast that was found outlined. Below: what the network gets to see."
    return Illustration(
        figure,
        caption,
        f"{len(pictures)} mammograms, the breast outlined in each, and below each the square made of it.",
    )


def shifts(
    moved: Mapping[str, ArrayLike],
    between: ArrayLike,
    *,
    unit: str = "cosine distance (0: the same direction)",
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Show how far vectors move under each treatment, beside how far apart different women are.

    Args:
        moved: for each treatment `(N,)` distances, each from one image to itself treated differently.
        between: `(M,)` distances between different women, treated the same.
        unit: what is measured.
        caption: what to look for; None: says what dots, diamonds and band are.
        theme: light or dark background.
    """
    apart = np.asarray(between)
    rows = sorted(
        ((name, np.asarray(each)) for name, each in moved.items()), key=lambda row: np.median(row[1])
    )
    figure = new_figure(7.0, 0.42 * len(rows) + 1.5, theme)
    axes = figure.subplots()
    axes.axvspan(apart.min(), apart.max(), color=GRAY[theme], alpha=0.18, linewidth=0)
    axes.axvline(float(np.median(apart)), color=GRAY[theme], linestyle=(0, (4, 3)), linewidth=1.4)
    styles = (PALETTE[theme][0], PALETTE[theme][1])
    for row, (_, each) in enumerate(rows):
        axes.scatter(each, np.full(len(each), row), s=18, c=styles[0], alpha=0.55, linewidths=0)
        axes.scatter([np.median(each)], [row], s=64, c=styles[1], marker="D", zorder=3)
    axes.scatter([np.median(apart)], [len(rows)], s=64, c=GRAY[theme], marker="D", zorder=3)
    axes.plot([apart.min(), apart.max()], [len(rows)] * 2, color=GRAY[theme], linewidth=2)
    axes.set_yticks(range(len(rows) + 1), [*(name for name, _ in rows), "two women"])
    axes.set(xlim=(0, None), ylim=(-0.6, len(rows) + 0.6), xlabel=unit)
    plain_axes(axes, theme)
    if caption is None:
        caption = (
            "A dot is one image, a diamond the median. Gray: how far apart two different women lie, from the "
            "nearest pair to the farthest; the dashed line is their median."
        )
    alt = f"Distances by which {len(rows)} treatments move a vector, beside those between different women."
    return Illustration(figure, caption, alt)
