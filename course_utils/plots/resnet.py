"""The figures of lesson 03 that show a network: its block, its gradients, how it learns, what it sees."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import ArrayLike

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

_LINES = ("-", "--", ":")
_MARKS = ("o", "s", "^")


def bottleneck_drawing(*, theme: Theme = "light") -> Illustration:
    """Draw two blocks of ResNet-50's stage 2: the second with an identity, the first with a projection."""
    figure = new_figure(6.4, 4.3, theme)
    identity, projection = figure.subplots(1, 2)
    _block(identity, (512, 28), 128, 1, theme)
    _block(projection, (256, 56), 128, 2, theme)
    identity.set_title("identity", fontsize=11.5, color=INK[theme])
    projection.set_title("projection", fontsize=11.5, color=INK[theme])
    return Illustration(
        figure,
        "Both kinds of block, with the numbers of stage 2. Left, input and output agree; right, they do "
        "not. Along the arrows: channels @ rows × columns. s: "
        "stride, wherever it is not 1. Every convolution is followed by batch normalisation.",
        "Two block diagrams. Each goes down a column: 1 by 1 convolution to 128 channels, 3 by 3 "
        "convolution, 1 by 1 convolution to 512 channels; then a plus sign and a ReLU. Left, the shortcut is "
        "a bare line around them. Right, it leads through a 1 by 1 convolution with the stride of "
        "the 3 by 3.",
    )


def _block(axes: Axes, comes_in: tuple[int, int], width: int, stride: int, theme: Theme) -> None:
    channels, size = comes_in
    outside, smaller = 4 * width, size // stride
    axes.set(xlim=(0, 10), ylim=(0, 11.4))
    axes.axis("off")
    path, side = 2.9, 7.8
    heights = (8.6, 6.3, 4.0)
    blue, orange = PALETTE[theme][0], PALETTE[theme][1]
    steps = f", s {stride}" if stride > 1 else ""
    words = (
        ("conv1, bn1, ReLU", f"1 × 1,  {width}"),
        ("conv2, bn2, ReLU", f"3 × 3,  {width}{steps}"),
        ("conv3, bn3", f"1 × 1,  {outside}"),
    )
    for height, (first, second) in zip(heights, words, strict=True):
        _box(axes, path, height, f"{first}\n{second}", blue, theme)
    _arrow(axes, (path, 11.2), (path, heights[0] + 0.75), theme)
    between = (
        f"{channels} @ {size} × {size}",
        f"{width} @ {size} × {size}",
        f"{width} @ {smaller} × {smaller}",
    )
    for top, bottom in zip(heights, (*heights[1:], 1.55), strict=True):
        _arrow(axes, (path, top - 0.75), (path, bottom + 0.75 if bottom > 2 else bottom + 0.42), theme)
    for height, text in zip((10.15, 7.45, 5.15), between, strict=True):
        axes.text(path + 0.2, height, text, fontsize=9.5, color=INK[theme], va="center")
    axes.text(
        path + 0.2, 2.6, f"{outside} @ {smaller} × {smaller}", fontsize=9.5, color=INK[theme], va="center"
    )
    axes.plot([path, side, side, path + 0.42], [10.75, 10.75, 1.55, 1.55], color=orange, linewidth=2)
    _arrow(axes, (path + 0.9, 1.55), (path + 0.42, 1.55), theme, orange)
    if stride > 1 or channels != outside:
        _box(axes, side, 6.3, f"conv, batch norm\n1 × 1,  {outside}{steps}", orange, theme)
    axes.text(side - 0.15, 2.0, "downsample", fontsize=9.5, color=orange, ha="right")
    axes.text(path, 1.55, "+", fontsize=14, color=INK[theme], ha="center", va="center")
    axes.add_patch(_round(path, 1.55, 0.84, 0.84, INK[theme], "none"))
    _arrow(axes, (path, 1.13), (path, 0.0), theme)
    axes.text(path + 0.2, 0.45, "ReLU", fontsize=9.5, color=INK[theme], va="center")


def _box(axes: Axes, x: float, y: float, words: str, colour: str, theme: Theme) -> None:
    axes.add_patch(_round(x, y, 4.3, 1.5, colour, _paper(theme)))
    axes.text(x, y, words, fontsize=9.5, color=INK[theme], ha="center", va="center", zorder=4)


def _round(x: float, y: float, width: float, height: float, edge: str, face: str) -> FancyBboxPatch:
    corner, style = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.35"
    return FancyBboxPatch(
        corner, width, height, style, edgecolor=edge, facecolor=face, linewidth=1.8, zorder=3
    )


def _paper(theme: Theme) -> str:
    return "#ffffff" if theme == "light" else "#1b1f22"


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], theme: Theme, colour: str | None = None
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=11,
            color=colour or INK[theme],
            lw=1.4,
            shrinkA=0,
            shrinkB=0,
        )
    )


def gradients_by_layer(
    norms: Mapping[tuple[str, int], Sequence[float]], *, theme: Theme = "light"
) -> Illustration:
    """Show what arrives at each layer: a panel for each kind of network, a line for each depth.

    Args:
        norms: for each kind and depth the norm of the gradient of each layer's kernels, from the first on.
        theme: light or dark background.
    """
    kinds = list(dict.fromkeys(kind for kind, _ in norms))
    depths = list(dict.fromkeys(depth for _, depth in norms))
    figure = new_figure(6.4, 4.3, theme)
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for axes, kind in zip(panels, kinds, strict=True):
        for depth, line, mark, ink in zip(depths, _LINES, _MARKS, PALETTE[theme], strict=False):
            place = np.arange(1, depth + 1) / depth
            axes.semilogy(
                place, norms[kind, depth], line + mark, color=ink, ms=3, lw=1.2, label=f"{depth} layers"
            )
        plain_axes(axes, theme)
        axes.tick_params(which="minor", colors=INK[theme])
        axes.set_title(kind, fontsize=10, color=INK[theme])
    axes.legend(fontsize=8, labelcolor=INK[theme], frameon=False)
    figure.supxlabel("layer, from the first (0) to the last (1)", fontsize=9, color=INK[theme])
    figure.supylabel("norm of the gradient of its kernels", fontsize=9, color=INK[theme])
    return Illustration(
        figure,
        "What reaches each layer before training. Above: without shortcuts. Below: with them.",
        "Gradient norms by layer for 8, 20 and 56 layers. Plain: falling steeply towards the first layer. "
        "Plain with batch norm: growing towards it. With shortcuts, with or without batch norm: "
        "nearly level.",
    )


def learning_curves(
    losses: Mapping[tuple[str, str], Sequence[float]], *, theme: Theme = "light"
) -> Illustration:
    """Show training losses by step: a panel for each kind of network, a line for each run.

    Args:
        losses: for each kind and name of a run the loss at each step.
        theme: light or dark background.
    """
    kinds = list(dict.fromkeys(kind for kind, _ in losses))
    runs = list(dict.fromkeys(run for _, run in losses))
    figure = new_figure(7.0, 2.9, theme)
    panels = figure.subplots(1, len(kinds), sharex=True, sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        for run, line, ink in zip(runs, _LINES, PALETTE[theme], strict=False):
            axes.plot(losses[kind, run], line, color=ink, lw=1.7, label=run)
        axes.axhline(np.log(2), color=GRAY[theme], lw=1, ls=(0, (4, 3)))
        plain_axes(axes, theme)
        axes.set_title(kind, fontsize=10, color=INK[theme])
        axes.set(xlabel="step", ylim=(0, 1.2))
    panels[0].set_ylabel("training loss")
    panels[-1].legend(fontsize=8, labelcolor=INK[theme], frameon=False, loc="upper right")
    return Illustration(
        figure,
        "The same pictures and the same number of steps. Gray: guessing (0.69). Above 1.2 it is cut off.",
        f"Charts of the training loss by step for {' and '.join(kinds)}, each with {len(runs)} lines.",
    )


def first_kernels(weight: ArrayLike, caption: str, *, theme: Theme = "light") -> Illustration:
    """Show the kernels `(O, 3, k, k)` of a first layer in colour, each on its own scale; gray is zero."""
    kernels = np.asarray(weight)
    columns, rows = 16, -(-len(kernels) // 16)
    figure = new_figure(7.4, 0.5 * rows, theme)
    for axes in (panels := figure.subplots(rows, columns, squeeze=False)).flat:
        axes.set_axis_off()
    for axes, kernel in zip(panels.flat, kernels, strict=False):
        axes.imshow((0.5 + 0.5 * kernel / np.abs(kernel).max()).transpose(1, 2, 0))
    return Illustration(
        figure,
        caption,
        "Small squares, one a kernel: edges of light and dark in several directions, and patches of colour.",
    )


def maps_by_part(maps: Mapping[str, ArrayLike], caption: str, *, theme: Theme = "light") -> Illustration:
    """Show after each part of a network the three maps that vary most.

    Args:
        maps: `(C, H, W)` after each part, by its name.
        caption: what to look for.
        theme: light or dark background.
    """
    figure = new_figure(6.4, 4.1, theme)
    for column, (name, found) in zip(figure.subplots(3, len(maps)).T, maps.items(), strict=True):
        each = np.asarray(found)
        most = np.argsort(-each.std(axis=(1, 2)), kind="stable")[:3]
        column[0].set_title(f"{name}\n{each.shape[1]} × {each.shape[2]}", fontsize=9, color=INK[theme])
        for axes, number in zip(column, most, strict=True):
            axes.imshow(each[number], cmap="gray")
            axes.set_axis_off()
    return Illustration(
        figure,
        caption + " Each from its least (black) to its largest (white).",
        "Three maps after the stem and each of four stages: a sharp breast first, at last 7 by 7 squares.",
    )


def shuffled_places(
    maps: ArrayLike, shuffled: ArrayLike, *, shown: int = 16, theme: Theme = "light"
) -> Illustration:
    """Show one map `(C, H, W)` before and after its places were shuffled, and the means of the first maps."""
    before, after = np.asarray(maps), np.asarray(shuffled)
    figure = new_figure(6.4, 2.3, theme)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.5))
    number = int(before.std(axis=(1, 2)).argmax())
    for axes, each, title in ((left, before, "one map"), (middle, after, "shuffled")):
        axes.imshow(each[number], cmap="gray")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10, color=INK[theme])
        axes.spines[:].set_color(FAINT[theme])
    for each, mark, size, ink, name in (
        (before, "o", 8, PALETTE[theme][0], "before"),
        (after, "x", 6, PALETTE[theme][1], "shuffled"),
    ):
        vector = each.mean(axis=(1, 2))[:shown]
        right.plot(vector, mark, mfc="none", ms=size, color=ink, label=name)
    plain_axes(right, theme)
    right.set(xlabel="feature", ylabel="value", ylim=(0, None))
    right.set_title(f"{min(shown, len(before))} of {len(before)}", fontsize=10, color=INK[theme])
    right.legend(fontsize=8, labelcolor=INK[theme], frameon=False)
    return Illustration(
        figure,
        "Left: a map of stage 4, and its places shuffled. Right: the vector does not notice.",
        f"Two 7 by 7 maps, one shuffled; beside them {shown} features, where circles and crosses coincide.",
    )
