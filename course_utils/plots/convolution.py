"""What a convolution computes and how far it sees (lesson 03)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from course_utils.plots.illustration import (
    GROUND,
    INK,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    new_figure,
    pixels_of,
)


def convolution_window(
    picture: ArrayLike, kernel: ArrayLike, row: int, column: int, *, theme: Theme = "light"
) -> Illustration:
    """Show a kernel at one place on a picture: window times kernel, their sum, and the map of all sums.

    Args:
        picture: `(H, W)` in [0, 1].
        kernel: `(k, k)`; it is not flipped, and the picture is not padded.
        row: where the window begins, from the top; clipped to the last place.
        column: likewise, from the left.
        theme: light or dark background.
    """
    pixels, weights = np.asarray(picture, np.float64), np.asarray(kernel, np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, weights.shape)
    sums = np.einsum("ijkl,kl->ij", windows, weights)
    row, column = min(row, sums.shape[0] - 1), min(column, sums.shape[1] - 1)
    window, mark = windows[row, column], PALETTE[theme][1]
    products = window * weights
    figure = new_figure(8.0, 4.1, theme)
    figure.set_layout_engine("none")  # finding a layout takes longer than drawing, which a slider would feel
    most = max(float(np.abs(sums).max()), 1e-9)
    signed, gray = Normalize(-most, most), Normalize(0, 1)
    largest = Normalize(*(float(np.abs(weights).max()) * np.array([-1.5, 1.5]) + [-1e-9, 1e-9]))
    tables: list[tuple[str, NDArray[np.float64], str, Normalize]] = [
        ("window", window, "gray", gray),
        ("kernel", weights, "PuOr_r", largest),
        ("products", products, "PuOr_r", largest),
    ]
    signs = ("×", "=", f"sum  {products.sum():+.2f}")
    for number, ((title, values, colours, norm), sign) in enumerate(zip(tables, signs, strict=True)):
        left = 0.03 + 0.255 * number
        axes = figure.add_axes((left, 0.58, 0.22, 0.36))
        axes.imshow(values, cmap=colours, norm=norm, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            dark = colours == "gray" and value < 0.5
            ink = "white" if dark else "black"
            axes.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=9, color=ink)
        axes.set_title(title, fontsize=10, color=INK[theme], pad=4)
        axes.set(xticks=[], yticks=[])
        across = left + 0.2375 if number < 2 else 0.885
        figure.text(across, 0.76, sign, ha="center", va="center", fontsize=13, color=INK[theme])
    parts: list[tuple[Any, str, NDArray[np.float64], str, Normalize, tuple[float, float]]] = [
        ((0.03, 0.03, 0.42, 0.46), "picture", pixels, "gray", gray, window.shape),
        ((0.49, 0.03, 0.42, 0.46), "all sums", sums, "PuOr_r", signed, (1, 1)),
    ]
    for place, title, values, colours, norm, (height, width) in parts:
        axes = figure.add_axes(place)
        shown = axes.imshow(values, cmap=colours, norm=norm, interpolation="nearest", aspect="auto")
        axes.set_title(title, fontsize=10, color=INK[theme], pad=4)
        corner = (column - 0.5, row - 0.5)
        for colour, line in ((GROUND["light"], 4.0), (mark, 2.0)):
            axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line))
        axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(shown, cax=figure.add_axes((0.92, 0.03, 0.018, 0.46)))
    bar.ax.tick_params(colors=INK[theme], labelsize=8)
    return Illustration(
        figure,
        "Above: each pixel of the window times the kernel's number. Below: the outlined pixel on the right "
        "is their sum. Violet is below zero, orange above.",
        f"A piece of a mammogram with a window at row {row}, column {column}; the map of all sums; and the "
        f"window's pixels, the kernel and their products in figures, which add up to {products.sum():+.2f}.",
    )


def receptive_fields(
    picture: Picture,
    fields: Mapping[str, int],
    *,
    centre: tuple[float, float] | None = None,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw the receptive field of one place at each stage over a square picture, and how much is padding.

    Args:
        picture: a square one.
        fields: the side of each stage's field, in pixels of the picture, by the stage's name.
        centre: row and column of the place, in pixels; None: the middle of the picture.
        caption: what to look for; None: says what the squares are.
        theme: light or dark background.
    """
    pixels = pixels_of(picture)
    size, widest = len(pixels), max(fields.values())
    figure = new_figure(4.2, 4.5, theme)
    axes = figure.subplots()
    row, column = centre or (size / 2, size / 2)
    reach = widest / 2 + 8
    axes.set_facecolor("#303437")
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, extent=(0, size, size, 0))
    axes.add_patch(Rectangle((0, 0), size, size, fill=False, edgecolor="white", linewidth=0.8, linestyle=":"))
    dashes = ("-", "--", "-.", ":", "-")
    colours = [PALETTE["dark"][i] for i in (5, 4, 2, 3, 1)]
    for (name, side), colour, dash in zip(fields.items(), colours, dashes, strict=False):
        corner = (column - side / 2, row - side / 2)
        axes.add_patch(
            Rectangle(corner, side, side, fill=False, ec=colour, lw=2, ls=dash, label=f"{name}: {side}")
        )
    axes.set(xlim=(min(column - reach, -8), max(column + reach, size + 8)))
    axes.set(ylim=(max(row + reach, size + 8), min(row - reach, -8)))
    axes.set(xlabel="column (pixel)", ylabel="row (pixel)")
    axes.set_aspect("equal")
    axes.tick_params(colors=INK[theme], labelsize=8.5)
    axes.xaxis.label.set(color=INK[theme], size=9.5)
    axes.yaxis.label.set(color=INK[theme], size=9.5)
    legend = figure.legend(
        title="field (pixels)", loc="outside lower center", ncols=3, fontsize=9, handlelength=2.6
    )
    legend.get_frame().set(facecolor="#303437", edgecolor="none")
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_color("white")
    if caption is None:
        caption = (
            "What one place can see at each stage. Dotted: the border of the picture; beyond it are zeros."
        )
    of = ", ".join(f"{name} {side}" for name, side in fields.items())
    alt = f"Squares about one place of a mammogram of {size} pixels, one inside the other: {of}."
    return Illustration(figure, caption, alt)
