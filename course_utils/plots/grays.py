"""Figures of the first two lessons: from a file to a vector, and from stored numbers to grays (00 and 01)."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from course_utils.plots.illustration import (
    FAINT,
    INK,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    new_figure,
    pixels_of,
    plain_axes,
)
from course_utils.plots.preprocessing import hills

Curve = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""From values to display values in [0, 1]."""
DASHES = ("-", "--", ":", "-.")


def from_file_to_vector(
    mammogram: Picture, picture: Picture, vector: ArrayLike, *, theme: Theme = "light"
) -> Illustration:
    """Show a mammogram as read, the square that the network gets, and the vector `(D,)` in 32 rows."""
    figure = new_figure(8.2, 3.0, theme)
    left, middle, right = figure.subplots(1, 3)
    left.imshow(pixels_of(mammogram), cmap="gray", vmin=0, vmax=1)
    middle.imshow(pixels_of(picture), cmap="gray", vmin=0, vmax=1)
    cells = right.imshow(np.asarray(vector).reshape(32, -1), cmap="cividis", aspect="auto")
    bar = figure.colorbar(cells, ax=right, label="activation (no unit)")
    bar.ax.tick_params(colors=INK[theme], labelsize=8.5)
    bar.ax.yaxis.label.set(color=INK[theme], size=9.5)
    for axes, what in ((left, "mammogram"), (middle, "picture"), (right, "vector")):
        axes.set(xlabel="column", ylabel="row")
        plain_axes(axes, theme)
        axes.set_title(f"the {what}", fontsize=10, color=INK[theme])
    caption = "As read; as the network gets it; what it makes of it. One cell on the right is one number."
    alt = "A mammogram, the same breast cropped to a square, and a mosaic of few bright cells on dark."
    return Illustration(figure, caption, alt)


def values_inside(
    pictures: Mapping[str, NDArray[np.floating]],
    inside: NDArray[np.bool_],
    *,
    caption: str,
    alt: str,
    theme: Theme = "light",
) -> Illustration:
    """Show pictures `(H, W)` in [0, 1] of the same thing, and beside them how its values are spread.

    Args:
        pictures: by name; at most four.
        inside: `(H, W)`, the pixels whose values are counted.
        caption: what to look for.
        alt: what there is to see.
        theme: light or dark background.
    """
    figure = new_figure(8.4, 2.9, theme)
    *panels, curves = figure.subplots(1, len(pictures) + 1, width_ratios=[*(1 for _ in pictures), 1.5])
    for axes, (title, pixels), dashes, colour in zip(
        panels, pictures.items(), DASHES, PALETTE[theme], strict=False
    ):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(FAINT[theme])
        axes.set_title(title, fontsize=10, color=INK[theme])
        share, edges = np.histogram(pixels[inside], bins=60, range=(0, 1))
        curves.plot(edges[:-1], share / share.sum(), dashes, color=colour, label=title)
    curves.set(xlabel="gray value (0 to 1)", ylabel="share of the breast's pixels")
    plain_axes(curves, theme)
    _legend_above(curves, theme)
    return Illustration(figure, caption, alt)


def shares_beside_chance(
    shares: Mapping[str, tuple[float, float]],
    *,
    caption: str,
    alt: str,
    names: tuple[str, str] = ("nearest neighbour", "two at random"),
    theme: Theme = "light",
) -> Illustration:
    """Show shares from 0 to 1 as bars, one above another, and on each a diamond where chance would end.

    Args:
        shares: for each label, how often it is shared, and how often by chance.
        caption: what to look for.
        alt: what there is to see.
        names: what bar and diamond are.
        theme: light or dark background.
    """
    figure = new_figure(6.4, 0.42 * len(shares) + 1.1, theme)
    axes = figure.subplots()
    rows = range(len(shares))
    axes.barh(
        rows, [each for each, _ in shares.values()], color=PALETTE[theme][0], height=0.55, label=names[0]
    )
    chances = [chance for _, chance in shares.values()]
    axes.plot(chances, rows, "D", color=PALETTE[theme][1], markersize=8, label=names[1])
    axes.set_yticks(rows, list(shares))
    axes.set(xlim=(0, 1), xlabel="share of pairs with the same label (0 to 1)")
    axes.invert_yaxis()
    plain_axes(axes, theme)
    _legend_above(axes, theme)
    return Illustration(figure, caption, alt)


def modality_lines(x: ArrayLike, lines: Mapping[str, ArrayLike], *, theme: Theme = "light") -> Illustration:
    """Show modality values over stored values `(N,)`: one line for each transform, by its name."""
    figure = new_figure(5.2, 2.8, theme)
    axes = figure.subplots()
    for (name, y), dashes, colour in zip(lines.items(), DASHES, PALETTE[theme], strict=False):
        axes.plot(np.asarray(x), np.asarray(y), dashes, color=colour, label=name)
    axes.set(xlabel="stored value (12 bits)", ylabel="modality value")
    plain_axes(axes, theme)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK[theme])
    caption = "Three modality transforms: what is stored becomes what was measured."
    alt = "Three lines over the stored value: one rises, one rises twice as steeply, one falls."
    return Illustration(figure, caption, alt)


def curves_over_values(
    examples: Mapping[str, tuple[ArrayLike, Curve]], *, caption: str, alt: str, theme: Theme = "light"
) -> Illustration:
    """Show, for each picture of 12 bits, the histogram of its stored values under its own VOI curve.

    Args:
        examples: by title, the stored values of any shape and their curve.
        caption: what to look for.
        alt: what there is to see.
        theme: light or dark background.
    """
    figure = new_figure(9.0, 2.9, theme)
    panels = figure.subplots(1, len(examples), sharey=True, squeeze=False)[0]
    x = np.arange(4096.0)
    for axes, (title, (values, curve)) in zip(panels, examples.items(), strict=True):
        hills(axes, values, bins=96, span=(0, 4096), cut_off=2, theme=theme)
        axes.plot(x, curve(x), color=PALETTE[theme][0], linewidth=2)
        axes.set(xlabel="stored value")
        plain_axes(axes, theme)
        axes.set_title(title, fontsize=9.5, color=INK[theme])
    panels[0].set_ylabel("display value (0 to 1)")
    return Illustration(figure, caption, alt)


def packed_sizes(
    shares: Mapping[str, float], lossy: Sequence[str], *, theme: Theme = "light"
) -> Illustration:
    """Show how large one picture's pixels are in each transfer syntax, as a share of unpacked (0 to 1)."""
    figure = new_figure(6.4, 3.0, theme)
    axes = figure.subplots()
    styles = {False: (PALETTE[theme][0], "", "lossless"), True: (PALETTE[theme][1], "//", "lossy")}
    for kind, (colour, hatch, label) in styles.items():
        names = [name for name in shares if (name in lossy) == kind]
        widths = [shares[name] for name in names]
        axes.barh(names, widths, color=colour, hatch=hatch, edgecolor=FAINT[theme], label=label)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="bytes of the pixels, as a share of those uncompressed (0 to 1)")
    plain_axes(axes, theme)
    axes.legend(frameon=False, labelcolor=INK[theme])
    caption = f"One picture in {len(shares)} transfer syntaxes, by their names in our samples."
    listed = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    return Illustration(figure, caption, f"Bars of the packed size as a share of the unpacked one: {listed}.")


def changes(
    errors: Mapping[str, NDArray[np.integer]], *, of: int, caption: str, alt: str, theme: Theme = "light"
) -> Illustration:
    """Show by how much stored values `(H, W)` were changed, each map on a scale of its own.

    Args:
        errors: by name, the changes, of either sign.
        of: the largest stored value, named beside the scale.
        caption: what to look for.
        alt: what there is to see.
        theme: light or dark background.
    """
    figure = new_figure(6.2, 2.6, theme)
    panels = figure.subplots(1, len(errors), squeeze=False)[0]
    for axes, (name, error) in zip(panels, errors.items(), strict=True):
        most = abs(error).max()
        five = colormaps["PuOr"].resampled(5)
        shown = axes.imshow(error, five, vmin=-most, vmax=most, interpolation="nearest")
        axes.set(xlabel="column (pixel)", ylabel="row (pixel)")
        plain_axes(axes, theme)
        axes.set_title(name, fontsize=10, color=INK[theme])
        bar = figure.colorbar(shown, ax=axes, shrink=0.8, label=f"change (of {of})")
        bar.ax.tick_params(colors=INK[theme], labelsize=8.5)
        bar.ax.yaxis.label.set(color=INK[theme], size=9.5)
    return Illustration(figure, caption, alt)


def _legend_above(axes: Axes, theme: Theme) -> None:
    """Put the legend above the axes, where it crosses nothing."""
    axes.legend(
        frameon=False,
        fontsize=9,
        ncols=4,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        labelcolor=INK[theme],
    )
