"""What a step of preprocessing keeps, cuts, bends or leaks (lesson 02).

In: pictures, masks and measured numbers. Out: figures with alt text.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
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
from course_utils.plots.preprocessing import as_drawn

Box = tuple[int, int, int, int]
"""Rows from the first to before the second, columns from the third to before the fourth."""


def crops_outlined(
    pictures: Mapping[str, Picture],
    boxes: Sequence[Box],
    *,
    caption: str = "Two views, as read. Outlined: what the recipe for photographs keeps.",
    theme: Theme = "light",
) -> Illustration:
    """Show pictures with the box outlined in each that a crop keeps, in that picture's pixels."""
    figure = new_figure(1.45 * len(pictures), 2.5, theme)
    grid = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axes, (name, picture), (top, bottom, left, right) in zip(grid, pictures.items(), boxes, strict=True):
        _gray(axes, pixels_of(picture), name, theme)
        corner, colour = (left - 0.5, top - 0.5), PALETTE[theme][5]
        axes.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, ec=colour, lw=1.6))
    alt = "Mammograms, taller than wide, each with a square outlined that cuts the breast above and below."
    return Illustration(figure, caption, alt)


def masks_beside(
    picture: Picture,
    tissue: NDArray[np.bool_],
    masks: Mapping[str, NDArray[np.bool_]],
    *,
    theme: Theme = "light",
) -> Illustration:
    """Show a picture and masks (H, W) of it in white, the outline of the true tissue in each."""
    pixels = pixels_of(picture)
    figure = new_figure(1.85 * (1 + len(masks)), 2.5, theme)
    grid = figure.subplots(1, 1 + len(masks))
    for axes, (name, shown) in zip(grid, {"as read": pixels, **masks}.items(), strict=True):
        _gray(axes, shown.astype(np.float32), name, theme)
        axes.contour(tissue, levels=[0.5], colors=PALETTE[theme][5], linewidths=1.2)
    caption = "Orange: where tissue really is. White: what each mask takes for breast."
    alt = f"A mammogram, and masks of it beside the true outline: {', '.join(masks)}."
    return Illustration(figure, caption, alt)


def readings(
    found: Mapping[str, tuple[ArrayLike, ArrayLike]],
    names: tuple[str, str],
    *,
    theme: Theme = "light",
) -> Illustration:
    """Show what a ruler reads off each woman's two vectors: one without something, one with it.

    Args:
        found: by how the pictures were made, `(N,)` readings without it and `(N,)` with it, one a woman; the
            ruler says "with" above 0.
        names: what the two are called.
        theme: light or dark background.
    """
    figure = new_figure(3.6 * len(found), 3.0, theme)
    grid = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (what, pair) in zip(grid, found.items(), strict=True):
        without, with_it = (np.asarray(each) for each in pair)
        women = np.arange(1, len(without) + 1)
        axes.axvline(0, color=GRAY[theme], linestyle="--", linewidth=1.2)
        for one, first, second in zip(women, without, with_it, strict=True):
            axes.plot([first, second], [one, one], color=FAINT[theme], linewidth=1.2, zorder=1)
        for place, (each, label) in enumerate(zip((without, with_it), names, strict=True)):
            style = {"color": PALETTE[theme][place], "marker": MARKERS[place], "s": 30, "zorder": 2}
            axes.scatter(each, women, label=label, linewidths=0, **style)
        axes.set(ylim=(len(women) + 0.7, 0.3), yticks=[1, 4, 8, 12], xlabel="reading (0: between the two)")
        axes.set_title(what, fontsize=10, color=INK[theme])
        plain_axes(axes, theme)
    grid[0].set_ylabel("woman")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=INK[theme],
    )
    caption = (
        "Each row is a woman whom the ruler has not seen. It is right where a dot lies left of the dashed "
        "line, and a square right of it."
    )
    right = {name: np.append(np.less(low, 0), np.greater(high, 0)) for name, (low, high) in found.items()}
    told = "; ".join(f"{name}, {marks.sum()} of {len(marks)}" for name, marks in right.items())
    alt = f"Two marks for each woman, joined by a line. On their own side of the middle: {told}."
    return Illustration(figure, caption, alt)


def lost_tissue(
    picture: Picture, lost: NDArray[np.bool_], shares: Mapping[str, ArrayLike], *, theme: Theme = "light"
) -> Illustration:
    """Show what one breast loses, bool (H, W) of its picture, and the shares, 0 to 1, that all lose."""
    figure = new_figure(7.2, 2.5, theme)
    where, axes = figure.subplots(1, 2, width_ratios=(1, 3))
    _gray(where, pixels_of(picture), "lost", theme)
    where.contourf(lost, levels=[0.5, 1], colors=[PALETTE[theme][5]], alpha=0.55)
    for row, values in enumerate(shares.values()):
        found = np.asarray(values)
        axes.plot(found, np.full(len(found), row), "o", color=PALETTE[theme][0], alpha=0.6)
    axes.set_yticks(range(len(shares)), list(shares))
    axes.set(ylim=(len(shares) - 0.5, -0.5), xlim=(-0.01, None))
    axes.set_xlabel("share of the breast that is lost (0 to 1)")
    plain_axes(axes, theme)
    caption = "Orange: what the cut for photographs takes from one breast. Right: each dot is one mammogram."
    alt = (
        "A breast with both its ends marked as lost; and dots: the centre cut loses much, the course nothing."
    )
    return Illustration(figure, caption, alt)


def enlarged(
    pictures: Mapping[str, Picture], rows: slice, columns: slice, *, caption: str, theme: Theme = "light"
) -> Illustration:
    """Show the same rows and columns of several pictures, enlarged without smoothing."""
    figure = new_figure(2.3 * len(pictures), 2.6, theme)
    for axes, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        _gray(axes, pixels_of(picture)[rows, columns], name, theme)
    alt = f"The same patch of a breast, enlarged, resized in {len(pictures)} ways: {', '.join(pictures)}."
    return Illustration(figure, caption, alt)


def ground_by_share(
    share: Mapping[str, ArrayLike], ground: Mapping[str, ArrayLike], *, theme: Theme = "light"
) -> Illustration:
    """Show the ground's z-score over the share, 0 to 1, of the frame that is breast; one line a woman."""
    figure = new_figure(6.0, 3.0, theme)
    axes = figure.subplots()
    p = np.linspace(0.08, 0.38, 100)
    axes.plot(p, -np.sqrt(p / (1 - p)), "--", color=GRAY[theme], label="an even breast")
    for place, name in enumerate(share):
        x, y = np.asarray(share[name]), np.asarray(ground[name])
        axes.plot(x, y, marker=MARKERS[place], color=PALETTE[theme][place], label=name)
    axes.set_xlabel("share of the frame that the breast fills (0 to 1)")
    axes.set_ylabel("z-score of the ground (no unit)")
    plain_axes(axes, theme)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK[theme])
    caption = "Each line is one woman, her breast the same to the last pixel, on a detector of four widths."
    alt = "Lines fall beside a dashed curve: the more of the frame is breast, the lower the ground."
    return Illustration(figure, caption, alt)


def squares_beside(
    pictures: Mapping[str, Picture], *, caption: str, width: float = 1.3, theme: Theme = "light"
) -> Illustration:
    """Show square pictures beside one another, `width` inches each, under their names."""
    figure = new_figure(width * len(pictures), width + 0.35, theme)
    for axes, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        _gray(axes, pixels_of(picture), name, theme)
    alt = f"One square picture beside the other: {', '.join(pictures)}."
    return Illustration(figure, caption, alt)


def by_class(
    values: Mapping[str, ArrayLike],
    classes: Sequence[str],
    *,
    xlabel: str,
    caption: str,
    alt: str,
    theme: Theme = "light",
) -> Illustration:
    """Show a number for each woman, in the row of her class; one panel for each way to measure it."""
    order = sorted(set(classes))
    rows = np.array([order.index(each) for each in classes])
    figure = new_figure(3.3 * len(values), 2.1, theme)
    grid = figure.subplots(1, len(values), squeeze=False, sharex=True)[0]
    for axes, (name, found) in zip(grid, values.items(), strict=True):
        axes.scatter(np.asarray(found), rows, color=PALETTE[theme][0], alpha=0.6, linewidths=0)
        axes.set(ylim=(len(order) - 0.5, -0.5), yticks=range(len(order)), yticklabels=order, xlabel=xlabel)
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(name, fontsize=10, color=INK[theme])
        plain_axes(axes, theme)
    grid[0].set_ylabel("density")
    return Illustration(figure, caption, alt)


def films_and_squares(
    pictures: Mapping[str, Picture],
    masks: Sequence[NDArray[np.bool_]],
    squares: Sequence[Picture],
    *,
    columns: int,
    height: int,
    size: float = 7.0,
    caption: str = "The breast that was found, outlined, and beside it what the network gets to see.",
    theme: Theme = "light",
) -> Illustration:
    """Show pictures with the outline of the breast, and beside each the square made of it.

    Args:
        pictures: by name; each is drawn `height` pixels high, and its square three fifths of that.
        masks: bool (H, W), where the breast is, each of the shape of its picture.
        squares: what became of each.
        columns: how many stand beside one another.
        height: of the drawn picture, in pixels of the figure.
        size: of the names, in points.
        caption: what to look for.
        theme: light or dark background.
    """
    side, gap, above = height * 3 // 5, 4, round(3.2 * size)
    shown = [pixels_of(picture) for picture in pictures.values()]
    widest = max(round(pixels.shape[1] * height / pixels.shape[0]) for pixels in shown)
    wide, high = widest + side + 3 * gap, height + above
    lines = -(-len(shown) // columns)
    sheet = np.ones((lines * high, columns * wide), np.float32)
    figure = new_figure(sheet.shape[1] / DPI, sheet.shape[0] / DPI, theme)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    for place, (name, mask, square) in enumerate(zip(pictures, masks, squares, strict=True)):
        top, left = place // columns * high + above, place % columns * wide
        drawn = as_drawn(shown[place], height)
        sheet[top : top + height, left : left + drawn.shape[1]] = drawn
        beside = left + drawn.shape[1] + gap
        sheet[top : top + side, beside : beside + side] = as_drawn(square, side)
        around = np.pad(as_drawn(mask.astype(np.float32), height), 1)  # closes the outline at the border
        x, y = (
            np.arange(-1, n - 1) + start for n, start in zip(around.shape[::-1], (left, top), strict=True)
        )
        axes.contour(x, y, around, levels=[0.5], colors=PALETTE[theme][1], linewidths=0.9)
        axes.text(left, top - 4, name, fontsize=size, color=INK[theme], va="bottom")
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    alt = f"{len(shown)} mammograms, the breast outlined in each, and beside each the square made of it."
    return Illustration(figure, caption, alt)


def _gray(axes: Axes, pixels: NDArray[np.floating], title: str, theme: Theme) -> None:
    """Draw a picture in few grays under its title."""
    few = as_drawn(pixels, len(pixels))
    axes.imshow(few, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(FAINT[theme])
    axes.set_title(title, fontsize=9, color=INK[theme], pad=4)
