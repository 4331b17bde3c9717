"""Pictures beside one another: many small ones as a contact sheet, or a few large ones (all lessons)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from course_utils.plots.illustration import FAINT, INK, Illustration, Picture, Theme, new_figure, pixels_of
from course_utils.plots.lettering import write_words


def contact_sheet(
    pictures: Sequence[Picture],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    limit: int = 48,
    caption: str | None = None,
    what: str = "preprocessed mammograms",
    theme: Theme = "light",
) -> Illustration:
    """Show pictures side by side, in order; if more than `limit`, an evenly spread selection.

    `what` says in the text for those who cannot see them what they are.
    """
    shown = spread(len(pictures), limit)
    columns = min(columns, max(len(shown), 1))
    rows = max(-(-len(shown) // columns), 1)
    figure = new_figure(1.25 * columns, (1.42 if titles is not None else 1.28) * rows, theme)
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, shown, strict=False):
        axes.imshow(pixels_of(pictures[index]), cmap="gray", vmin=0, vmax=1)
        if titles is not None:
            write_words(axes.set_title(" ", fontsize=7.5, color=INK[theme], pad=4), titles[index])
    part = (
        f"{len(shown)} of {len(pictures)} pictures, spread evenly"
        if len(shown) < len(pictures)
        else "All pictures"
    )
    if caption is None:
        caption = f"{part}, as the network gets to see them: cropped, turned and padded, never distorted."
    names = (
        f": {'; '.join(titles[index] for index in shown)}" if titles is not None and len(shown) <= 12 else ""
    )
    return Illustration(figure, caption, f"Contact sheet of {len(shown)} {what}{names}.")


def side_by_side(
    pictures: Mapping[str, Picture], *, caption: str, alt: str, theme: Theme = "light"
) -> Illustration:
    """Show a few pictures of the same height beside one another, each with its name above."""
    shown = [pixels_of(picture) for picture in pictures.values()]
    widths = [pixels.shape[1] / pixels.shape[0] for pixels in shown]
    figure = new_figure(2.1 * sum(widths) + 0.1 * len(widths), 2.4, theme)
    panels = figure.subplots(1, len(shown), squeeze=False, width_ratios=widths)[0]
    for axes, title, pixels in zip(panels, pictures, shown, strict=True):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(FAINT[theme])
        axes.set_title(title, fontsize=9, color=INK[theme], pad=4)
    return Illustration(figure, caption, alt)


def spread(n: int, limit: int) -> NDArray[np.int64]:
    """Return at most `limit` of the numbers 0 … n − 1, spread evenly, including first and last."""
    return (
        np.unique(np.linspace(0, n - 1, min(n, limit)).round().astype(np.int64))
        if n
        else np.empty(0, np.int64)
    )
