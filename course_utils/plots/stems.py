"""The figures of lesson 04: kernels in colour and on gray, borders, and how far other stems move a vector."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

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
)


def kernels_on_gray(kernels: ArrayLike, order: Sequence[int], *, theme: Theme = "light") -> Illustration:
    """Show 32 kernels `(32, 3, k, k)` in their colours, and what they are if all colours are equal."""
    weights = np.asarray(kernels)[np.asarray(order)]
    scale = 2 * np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    figure = new_figure(6.4, 2.0, theme)
    equal = np.repeat(weights.mean(axis=1, keepdims=True), 3, axis=1)
    for axes, name, each in zip(
        figure.subplots(1, 2), ("as trained", "on gray"), (weights, equal), strict=True
    ):
        tiles = np.pad(0.5 + each / scale, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=1.0)
        side = tiles.shape[-1]
        sheet = tiles.reshape(4, 8, 3, side, side).transpose(0, 3, 1, 4, 2).reshape(4 * side, 8 * side, 3)
        axes.imshow(sheet)
        axes.set_title(name, fontsize=10, color=INK[theme])
        axes.set_axis_off()
    return Illustration(
        figure,
        "Lite0's 32 kernels. Left: in their colours. Right: what is left of each where red, green "
        "and blue are "
        "equal.",
        "Two sheets of 32 small tiles; the first row is colourful on the left and plain gray on the right.",
    )


def channels_as_colours(pictures: Mapping[str, ArrayLike], *, theme: Theme = "light") -> Illustration:
    """Show pictures `(3, H, W)` in [0, 1] with their channels as red, green and blue."""
    figure = new_figure(6.2, 2.3, theme)
    for axes, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axes.imshow(np.asarray(picture).transpose(1, 2, 0))
        axes.set_title(name, fontsize=10, color=INK[theme])
        axes.set_axis_off()
    return Illustration(
        figure,
        "The three channels shown as red, green and blue. Where they are equal, one sees gray.",
        "A mammogram in gray, and two pictures in which three overlap as red, green and blue ghosts.",
    )


def corners(errors: Mapping[str, ArrayLike], *, side: int = 10, theme: Theme = "light") -> Illustration:
    """Show two corners of the error `(h, w)` of each stem, as a share of its largest output."""
    figure = new_figure(5.4, 4.1, theme)
    grid = figure.subplots(len(errors), 2, squeeze=False)
    shown = None
    for pair, (name, error) in zip(grid, errors.items(), strict=True):
        found = np.asarray(error)
        for axes, start in zip(pair, (0, len(found) - side), strict=True):
            shown = axes.imshow(found, cmap="magma", vmin=0, vmax=1)
            axes.set(xlim=(start - 0.5, start + side - 0.5), ylim=(start + side - 0.5, start - 0.5))
            ticks = range(start, start + side, 3)
            axes.set(xticks=ticks, yticks=ticks)
            axes.tick_params(colors=INK[theme], labelsize=8)
        pair[0].set_ylabel(f"{name}\n\nrow", fontsize=8, color=INK[theme])
    for axes, title in zip(grid[0], ("upper left", "lower right"), strict=True):
        axes.set_title(title, fontsize=10, color=INK[theme])
    for axes in grid[-1]:
        axes.set_xlabel("column", fontsize=8, color=INK[theme])
    if shown is not None:
        bar = figure.colorbar(shown, ax=grid)
        bar.set_label("error (share of the largest output)", color=INK[theme])
        bar.ax.tick_params(colors=INK[theme])
    return Illustration(
        figure,
        "Error of the naive fold: two corners of each stem's output, enlarged. At the left: whose weights.",
        "Corners of two maps: a bright frame on all sides for ResNet-50, only at the lower right for Lite0.",
    )


def padded_with(
    picture: Picture,
    error: ArrayLike,
    grays: ArrayLike,
    worst: ArrayLike,
    padding: float,
    name: str,
    *,
    theme: Theme = "light",
) -> Illustration:
    """Show a picture in a world of one gray, a corner of the stem's error there, and the error by gray.

    Args:
        picture: in [0, 1].
        error: `(h, w)` at each position, as a share of the largest output.
        grays: `(M,)` grays that were tried.
        worst: `(M,)` the largest error with each.
        padding: the gray of the world shown.
        name: whose stem it is.
        theme: light or dark background.
    """
    found, side = np.asarray(error), 10
    figure = new_figure(6.4, 2.5, theme)
    seen, where, curve = figure.subplots(1, 3, width_ratios=(2, 2, 3))
    seen.imshow(np.pad(pixels_of(picture), 24, constant_values=padding), cmap="gray", vmin=0, vmax=1)
    seen.set(xticks=[], yticks=[])
    first, last = len(found) - side, len(found)
    corner = found[first:, first:]
    where.imshow(corner, cmap="magma", vmin=0, vmax=1, extent=(first, last, last, first))
    where.set(xticks=[first, last], yticks=[first, last])
    where.tick_params(colors=INK[theme], labelsize=8)
    curve.plot(grays, worst, color=PALETTE[theme][0])
    curve.plot([padding], [found.max()], "D", color=PALETTE[theme][1], markersize=8)
    curve.set(xlabel="gray of the padding (0 to 1)", ylabel="largest error", ylim=(0, None))
    plain_axes(curve, theme)
    for panel, title in ((seen, "the world around it"), (where, "lower right corner"), (curve, name)):
        panel.set_title(title, fontsize=9, color=INK[theme])
    return Illustration(
        figure,
        f"Gray {padding:.3f} around it: the largest error is {found.max():.1%} of the largest output.",
        "A padded mammogram, a corner of its error, and the error by padding.",
    )


def ones_convolved(
    kernel: ArrayLike, sums: ArrayLike, stride: int, padding: tuple[int, int], *, theme: Theme = "light"
) -> Illustration:
    """Show W ∗ 1 for one kernel: the picture of ones in its frame of zeros, and the sum at each position.

    Args:
        kernel: `(k, k)`.
        sums: `(h, w)`, what the kernel makes of a picture of ones that is padded with zeros.
        stride: of the convolution.
        padding: rows of zeros above and below, the same as columns left and right.
        theme: light or dark background.
    """
    weights, found = np.asarray(kernel, np.float64), np.asarray(sums, np.float64)
    above, below = padding
    side, size = len(weights), (len(found) - 1) * stride + len(weights)
    ones = np.zeros((size, size))
    ones[above : size - below, above : size - below] = 1
    figure = new_figure(7.6, 3.7, theme)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    left.imshow(ones, cmap="gray", vmin=-0.6, vmax=1.15)
    inside = stride * (len(found) // 2)
    for start, colour, dash in ((0, PALETTE[theme][1], "--"), (inside, PALETTE[theme][0], "-")):
        left.add_patch(
            Rectangle((start - 0.5,) * 2, side, side, fill=False, edgecolor=colour, lw=2.2, linestyle=dash)
        )
    left.set_title("ones, zeros around, two windows", fontsize=10, color=INK[theme])
    left.set(xticks=[], yticks=[])
    most = float(np.abs(found).max())
    right.imshow(found, cmap="PuOr_r", vmin=-1.4 * most, vmax=1.4 * most)
    for (row, column), value in np.ndenumerate(found):
        right.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5)
    for place, colour, dash in ((0, PALETTE[theme][1], "--"), (len(found) // 2, PALETTE[theme][0], "-")):
        right.add_patch(
            Rectangle((place - 0.5,) * 2, 1, 1, fill=False, edgecolor=colour, lw=2.2, linestyle=dash)
        )
    right.set_title("W ∗ 1: the sum of the weights that lie on ones", fontsize=10, color=INK[theme])
    right.set(xticks=[], yticks=[])
    middle = found[len(found) // 2, len(found) // 2]
    return Illustration(
        figure,
        f"One kernel of {side} × {side}. Where it lies on the picture altogether (solid), the sum is always "
        f"{middle:.2f}. Where it hangs over the edge (dashed), some weights meet zeros, and it is another.",
        f"A square of ones in a frame of zeros with two windows; and a table of sums: {middle:.2f} "
        "everywhere "
        "inside, other numbers along the border.",
    )


def shifts_as_shares(
    moved: Mapping[str, ArrayLike], between: ArrayLike, *, least: float = 1e-6, theme: Theme = "light"
) -> Illustration:
    """Show on a log axis how far vectors move, in per cent of the distance between two women, with numbers.

    Args:
        moved: for each treatment `(N,)` distances, each from one image to itself treated differently.
        between: `(M,)` distances between different women, treated the same.
        least: shares below this are drawn at it: nothing but rounding.
        theme: light or dark background.
    """
    apart = np.asarray(between, np.float64)
    typical = float(np.median(apart))
    rows = sorted(
        ((name, np.asarray(each, np.float64) / typical) for name, each in moved.items()),
        key=lambda row: np.median(row[1]),
    )
    figure = new_figure(7.2, 0.42 * len(rows) + 1.5, theme)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.axvspan(apart.min() / typical, apart.max() / typical, color=GRAY[theme], alpha=0.18, linewidth=0)
    axes.axvline(1, color=GRAY[theme], linestyle=(0, (4, 3)), linewidth=1.4)
    for number, (_, each) in enumerate(rows):
        shown, middle = np.maximum(each, least), float(np.median(each))
        axes.scatter(shown, np.full(len(shown), number), s=18, c=PALETTE[theme][0], alpha=0.55, linewidths=0)
        axes.scatter([max(middle, least)], [number], s=64, c=PALETTE[theme][1], marker="D", zorder=3)
        words = f"{middle:.2%}" if middle > least else "rounding"
        axes.annotate(
            words,
            (1.02, number),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=INK[theme],
            annotation_clip=False,
        )
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_xticks([least, 1e-4, 1e-2, 1], ["below 1e-6", "0.01%", "1%", "100%"])
    axes.set(xlim=(least / 2, None), ylim=(-0.6, len(rows) - 0.4))
    axes.set_xlabel("moved by, as a share of the distance between two women (log axis)")
    plain_axes(axes, theme)
    return Illustration(
        figure,
        "A dot is one image, a diamond and the number beside it the median. Gray: how far two women "
        "lie apart, "
        "from the nearest pair to the farthest; dashed: their median, 100%.",
        "How far each way moves a vector, on a log axis: "
        + "; ".join(f"{name} {np.median(each):.2%}" for name, each in rows)
        + " of the distance between two women.",
    )


def shares_with_intervals(
    shares: Mapping[str, Mapping[str, tuple[float, float, float]]], *, theme: Theme = "light"
) -> Illustration:
    """Show shares of right answers with their intervals: a panel a question, a row for each kind of vector.

    Args:
        shares: for each question, for each kind, the share and the two ends of its interval.
        theme: light or dark background.
    """
    figure = new_figure(6.8, 2.9, theme)
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for axes, (question, kinds) in zip(panels, shares.items(), strict=True):
        for row, (share, low, high) in enumerate(kinds.values()):
            axes.plot([low, high], [row, row], color=GRAY[theme], linewidth=2)
            axes.plot([share], [row], "D", color=PALETTE[theme][1])
        axes.axvline(0.5, color=FAINT[theme], linestyle="--", linewidth=1.2)
        plain_axes(axes, theme)
        axes.set(xlim=(0, 1.03), xlabel=f"{question}: share of right answers", yticks=range(len(kinds)))
        axes.set_yticklabels(list(kinds))
    panels[-1].invert_yaxis()
    return Illustration(
        figure,
        "Diamond: right answers of 24. Line: what twelve women allow one to say (95% interval). Dashed: "
        "guessing.",
        "Charts with a row for each kind of vector; diamonds differ a little, intervals overlap widely.",
    )
