"""What all the course's figures have in common: colours, axes, and the Illustration that carries them.

Colours are those of Okabe and Ito, which most colour-blind readers can tell apart; each comes with its own
marker.
"""

import base64
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from course_utils.plots.lettering import boxes_for_missing_letters, write_words

Theme = Literal["light", "dark"]
Picture = NDArray[np.floating] | bytes
"""Float (H, W) or (1, H, W) in [0, 1], or the bytes of a PNG (as `imaging.thumbnail` gives)."""

PALETTE = {
    "light": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C7A00", "#882255"),
    "dark": ("#4AA3E0", "#F0783C", "#2BC299", "#E09CC4", "#8FD0F7", "#F2B63C", "#D6C62F", "#C9577F"),
}
"""Okabe and Ito's colours (2008) in an order that suits points; their black and yellow, which a theme
would swallow, are replaced."""
GRAY = {"light": "#7F7F7F", "dark": "#9A9A9A"}
"""For missing values and baselines."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK = {"light": "#1d2327", "dark": "#e6e3dc"}
FAINT = {"light": "#c9c7c0", "dark": "#454a4f"}
GROUND = {"light": "#ffffff", "dark": "#1b1f22"}
DPI = 144


@dataclass(frozen=True)
class Illustration:
    """A figure with its caption and its alternative text."""

    figure: Figure = field(repr=False)
    caption: str
    alt: str

    def __post_init__(self) -> None:
        """Lay the figure out once and for all: a layout shifts a little each time it is computed."""
        self.figure.set_dpi(DPI)
        if isinstance(self.figure.get_layout_engine(), ConstrainedLayoutEngine):
            with boxes_for_missing_letters():
                self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")

    def png(self) -> bytes:
        """Return the picture as PNG bytes, without date or version: they depend on the figure alone."""
        data = io.BytesIO()
        with boxes_for_missing_letters():
            self.figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
        return data.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the figure as HTML, which alone carries an alt text into every front end, and as text."""
        return {
            "text/html": figure_html(self.png(), self.alt, self.caption),
            "text/plain": f"{self.alt}\n{self.caption}",
        }


def figure_html(png: bytes, alt: str, caption: str = "") -> str:
    """Return PNG bytes as an HTML figure that needs no other file; it states its size, so nothing jumps."""
    width, height = struct.unpack(">II", png[16:24])  # PNG specification, 11.2.2: IHDR
    below = f'<figcaption style="line-height: 1.4"><em>{escape(caption)}</em></figcaption>' if caption else ""
    return (
        f'<figure style="margin: 0"><img alt="{escape(alt)}" style="max-width: 100%; height: auto"'
        f' width="{width}" height="{height}" src="{data_uri(png)}">{below}</figure>'
    )


def data_uri(png: bytes) -> str:
    """Return PNG bytes as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def new_figure(width: float, height: float, theme: Theme) -> Figure:
    """Return an empty figure, sized in inches, that belongs to no window and no global state."""
    return Figure((width, height), layout="constrained", facecolor=GROUND[theme], dpi=100)


def plain_axes(axes: Axes, theme: Theme) -> None:
    """Give axes two thin spines, quiet ticks and the ink of the theme."""
    axes.set_facecolor(GROUND[theme])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT[theme])
    axes.tick_params(colors=INK[theme], labelsize=8.5, color=FAINT[theme])
    axes.xaxis.label.set(color=INK[theme], size=9.5)
    axes.yaxis.label.set(color=INK[theme], size=9.5)


def legend_beside(
    axes: Axes, title: str, theme: Theme, entries: Sequence[tuple[Artist, str]] | None = None
) -> None:
    """Put a legend to the right of the axes, where it hides nothing; entries default to its labels."""
    if entries is None:
        entries = list(zip(*axes.get_legend_handles_labels(), strict=True))
    legend = axes.legend(
        [artist for artist, _ in entries],
        [" "] * len(entries),  # an older matplotlib leaves out words that begin with an underscore
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=9,
        title=" ",
        title_fontsize=9,
        labelcolor=INK[theme],
        alignment="left",
    )
    for text, (_, words) in zip(legend.get_texts(), entries, strict=True):
        write_words(text, words)
    write_words(legend.get_title(), title)
    legend.get_title().set_color(INK[theme])


def pixels_of(picture: Picture) -> NDArray[np.floating]:
    """Return a picture as float (H, W), unpacked if it is a PNG."""
    pixels = imread(io.BytesIO(picture), format="png") if isinstance(picture, bytes) else np.asarray(picture)
    return pixels[0] if pixels.ndim == 3 and pixels.shape[0] == 1 else pixels


def reduced(picture: Picture, side: int = 320) -> NDArray[np.floating]:
    """Return the means of blocks of k × k pixels, about `side` on the longer side, to draw quickly."""
    pixels = pixels_of(picture)
    k = max(1, round(max(pixels.shape) / side))
    height, width = (max(1, length // k) for length in pixels.shape)
    return pixels[: height * k, : width * k].reshape(height, k, width, k).mean(axis=(1, 3))
