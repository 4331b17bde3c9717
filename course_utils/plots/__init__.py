"""Figures: numbers and pictures go in, an Illustration comes out that a notebook and a web page can show.

An Illustration carries its picture, a caption that says what to see and a text for those who cannot see it.
End a cell with one and the notebook shows all three. The same input gives the same bytes. Colours are those
of Okabe and Ito, told apart by most colour-blind readers, and each comes with a marker of its own.
"""

import base64
import cProfile
import io
import pstats
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis import Evaluation

Theme = Literal["light", "dark"]
Picture = NDArray[np.floating] | bytes
"""Float (H, W) or (1, H, W) in [0, 1], or the bytes of a PNG (as ``imaging.thumbnail`` gives)."""

PALETTE = {
    "light": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C7A00", "#882255"),
    "dark": ("#4AA3E0", "#F0783C", "#2BC299", "#E09CC4", "#8FD0F7", "#F2B63C", "#D6C62F", "#C9577F"),
}
"""Okabe and Ito's colours (2008) in an order that suits points; their black and yellow, which a theme
would swallow, are replaced."""
GRAY = {"light": "#7F7F7F", "dark": "#9A9A9A"}
"""For what is missing, and for baselines."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MISSING = "not stated"
"""How a category that a file does not state is called."""

_INK = {"light": "#1d2327", "dark": "#e6e3dc"}
_FAINT = {"light": "#c9c7c0", "dark": "#454a4f"}
_GROUND = {"light": "#ffffff", "dark": "#1b1f22"}
_DPI = 144


@dataclass(frozen=True)
class Illustration:
    """A figure with its caption and its alternative text."""

    figure: Figure = field(repr=False)
    caption: str
    alt: str

    def __post_init__(self) -> None:
        """Lay the figure out once and for all: the layout moves a little each time that it is made anew."""
        self.figure.set_dpi(_DPI)
        if isinstance(self.figure.get_layout_engine(), ConstrainedLayoutEngine):
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")

    def png(self) -> bytes:
        """Return the picture as PNG bytes, without date or version: they depend on the figure alone."""
        data = io.BytesIO()
        self.figure.savefig(data, format="png", dpi=_DPI, metadata={"Software": None})
        return data.getvalue()

    def html(self) -> str:
        """Return an HTML figure that holds everything and asks for no file."""
        source = data_uri(self.png())
        return (
            f'<figure><img src="{source}" alt="{escape(self.alt)}">'
            f"<figcaption>{escape(self.caption)}</figcaption></figure>"
        )

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """For front ends that ask for one bundle: the PNG, and as text what it shows."""
        png = base64.b64encode(self.png()).decode()
        bundle = {"image/png": png, "text/plain": f"{self.alt}\n{self.caption}"}
        return bundle, {"image/png": {"alt": self.alt}}

    def _ipython_display_(self) -> None:
        """In a notebook the caption follows the picture as text, for eyes and screen readers alike."""
        from IPython.display import display

        bundle, metadata = self._repr_mimebundle_()
        display(bundle | {"text/plain": self.alt}, metadata=metadata, raw=True)
        display({"text/markdown": f"*{self.caption}*", "text/plain": self.caption}, raw=True)


def data_uri(png: bytes) -> str:
    """Return PNG bytes as a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def spread(n: int, limit: int) -> NDArray[np.int64]:
    """Return at most ``limit`` of the numbers 0 … n − 1, spread evenly, first and last among them."""
    return (
        np.unique(np.linspace(0, n - 1, min(n, limit)).round().astype(np.int64))
        if n
        else np.empty(0, np.int64)
    )


def contact_sheet(
    pictures: Sequence[Picture],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    limit: int = 48,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Show pictures side by side, in their order; of more than ``limit`` a selection, spread evenly."""
    shown = spread(len(pictures), limit)
    columns = min(columns, max(len(shown), 1))
    rows = max(-(-len(shown) // columns), 1)
    figure = _figure(1.25 * columns, (1.42 if titles is not None else 1.28) * rows, theme)
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, shown, strict=False):
        axes.imshow(_pixels(pictures[index]), cmap="gray", vmin=0, vmax=1)
        if titles is not None:
            axes.set_title(titles[index], fontsize=7.5, color=_INK[theme], pad=4)
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
    return Illustration(figure, caption, f"Contact sheet of {len(shown)} preprocessed mammograms{names}.")


def batch_in_order(
    pictures: Sequence[Picture],
    vectors: ArrayLike,
    batch_size: int,
    batch: int = 1,
    *,
    theme: Theme = "light",
) -> Illustration:
    """Show one batch among the files in their order, and the table of vectors as it stands after that batch.

    Args:
        pictures: N pictures, in the order of the files.
        vectors: ``(N, D)``, one row a picture.
        batch_size: pictures a batch; the last batch holds what is left.
        batch: which one, from 1; beyond the last, the last.
        theme: on a light or on a dark ground.
    """
    values = np.asarray(vectors)
    count = len(pictures)
    batches = -(-count // batch_size)
    number = min(batch, batches)
    start, stop = (number - 1) * batch_size, min(number * batch_size, count)
    outline = PALETTE[theme][1]
    figure = _figure(9, 3.8, theme)
    files, filled = figure.subfigures(1, 2, width_ratios=(3, 2), squeeze=False)[0]
    columns = 6
    grid = files.subplots(-(-count // columns), columns, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for index, axes in enumerate(grid.flat[:count]):
        axes.imshow(_pixels(pictures[index])[::4, ::4], cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=outline if start <= index < stop else _GROUND[theme], linewidth=3)
    axes = filled.subplots()
    so_far = np.where(np.arange(count)[:, None] < stop, values, np.nan)
    highest = float(np.quantile(values, 0.98))
    axes.imshow(so_far, cmap="cividis", aspect="auto", interpolation="nearest", vmin=0, vmax=highest)
    axes.axhspan(start - 0.5, stop - 0.5, fill=False, edgecolor=outline, linewidth=3)
    axes.set(xlabel="feature (number in the vector)", ylabel="row = file, in order")
    _plain_axes(axes, theme)
    figure.suptitle(
        f"batch {number} of {batches}: {stop - start} picture{'s' if stop - start > 1 else ''}, "
        f"rows {start} to {stop - 1}",
        color=_INK[theme],
    )
    return Illustration(
        figure,
        "Outlined: the batch. On the right the table of vectors so far; rows of later batches are empty.",
        f"On the left {count} mammograms, {stop - start} of them outlined; on the right the table of "
        f"their vectors, filled down to row {stop - 1}.",
    )


def side_by_side(
    pictures: Mapping[str, Picture], *, caption: str, alt: str, theme: Theme = "light"
) -> Illustration:
    """Show a few pictures of the same height beside one another, each with its name above it."""
    shown = [_pixels(picture) for picture in pictures.values()]
    widths = [pixels.shape[1] / pixels.shape[0] for pixels in shown]
    figure = _figure(2.1 * sum(widths) + 0.1 * len(widths), 2.4, theme)
    panels = figure.subplots(1, len(shown), squeeze=False, width_ratios=widths)[0]
    for axes, title, pixels in zip(panels, pictures, shown, strict=True):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(_FAINT[theme])
        axes.set_title(title, fontsize=9, color=_INK[theme], pad=4)
    return Illustration(figure, caption, alt)


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
    """Show which gray each value becomes: curves over the histogram of the values, and the picture if given.

    Args:
        values: what goes in, of any shape; few enough to count quickly if a slider is to be dragged.
        curves: name and function, from values to display values in [0, 1]; at most four.
        picture: what the first curve makes of it, shown on the left.
        span: the range of the values that is shown.
        unit: what the values are.
        caption: what to see; None: what the two parts are.
        theme: on a light or on a dark ground.
    """
    figure = _figure(7.0, 3.6, theme) if picture is not None else _figure(5.4, 3.2, theme)
    widths = (2, 3) if picture is not None else (1,)
    figure.set_layout_engine("none")  # to find a layout takes as long as to draw, which a slider would feel
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
    _plain_axes(axes, theme)
    axes.legend(
        frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, labelcolor=_INK[theme]
    )
    if picture is not None:
        panels[0].imshow(_pixels(picture), cmap="gray", vmin=0, vmax=1)
        panels[0].set_axis_off()
        panels[0].set_position((0, 0.01, 0.36, 0.98))  # all the height: it is the picture that one looks at
    if caption is None:
        caption = "Curve: which gray each value becomes. Hills: how many pixels have it, the highest cut off."
    names = ", ".join(curves)
    seen = "A mammogram, and beside it the" if picture is not None else "The"
    alt = f"{seen} histogram of its values under the curve that makes gray of them: {names}."
    return Illustration(figure, caption, alt)


def map_scatter(
    points: ArrayLike,
    categories: Sequence[Any],
    *,
    name: str = "cluster",
    shares: Sequence[float] | None = None,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Scatter a map of embeddings (N, 2), each category with a colour and a marker of its own.

    ``name`` says what the categories are; ``shares`` (2,) are the shares of variance of the two axes (PCA).
    More than eight categories: the seven largest keep their names and the others become one.
    """
    coordinates = np.asarray(points, np.float64)
    labels = tidy_categories(categories)
    figure = _figure(5.0, 4.4, theme)
    axes = figure.subplots()
    size = float(np.clip(2400 / max(len(labels), 1), 12, 64))
    counts = {each: labels.count(each) for each in _in_order(labels)}
    for each, (colour, marker) in _styles(list(counts), theme).items():
        rows = np.flatnonzero(np.array(labels, dtype=object) == each)
        axes.scatter(
            coordinates[rows, 0],
            coordinates[rows, 1],
            s=size,
            c=colour,
            marker=marker,
            label=f"{each} ({counts[each]})",
            edgecolors=_GROUND[theme],
            linewidths=0.6,
            alpha=0.9,
        )
    _map_axes(axes, coordinates, shares, theme)
    _legend(axes, name, theme)
    of = ", ".join(f"{each} {count}" for each, count in counts.items())
    if caption is None:
        caption = f"Each point is one image, coloured by {name}; the axes have no unit."
    alt = f"Scatter plot of {len(labels)} images on two principal components, coloured by {name}: {of}."
    return Illustration(figure, caption, alt)


def map_pictures(
    points: ArrayLike,
    pictures: Sequence[Picture],
    categories: Sequence[Any] | None = None,
    *,
    name: str = "cluster",
    shares: Sequence[float] | None = None,
    limit: int = 60,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Lay the pictures themselves on the map (N, 2), framed in the colour of their category.

    Where they would hide one another, some are left out and stand as dots: at most ``limit`` pictures, none
    over another.
    """
    coordinates = np.asarray(points, np.float64)
    labels = tidy_categories(categories) if categories is not None else None
    figure = _figure(8.2, 5.6, theme)
    axes = figure.subplots()
    _map_axes(axes, coordinates, shares, theme, margin=0.09)
    styles = _styles(_in_order(labels), theme) if labels else {}
    colours = [styles[label][0] if labels else _INK[theme] for label in labels or [""] * len(coordinates)]
    axes.scatter(coordinates[:, 0], coordinates[:, 1], s=9, c=colours, zorder=1)
    figure.draw_without_rendering()
    side_inches = 0.56
    placed = _apart(axes.transData.transform(coordinates) / figure.dpi, side_inches * 1.12, limit)
    for index in placed:
        pixels = _pixels(pictures[index])
        image = OffsetImage(
            pixels, zoom=side_inches * 72 / max(pixels.shape), cmap="gray", norm=Normalize(0, 1)
        )
        frame = {
            "edgecolor": colours[index],
            "linewidth": 2.0,
            "boxstyle": "square,pad=0",
            "facecolor": "black",
        }
        axes.add_artist(AnnotationBbox(image, tuple(coordinates[index]), pad=0, bboxprops=frame, zorder=3))
    if styles:
        _legend(
            axes,
            name,
            theme,
            [Line2D([], [], color=styles[each][0], linewidth=4, label=each) for each in styles],
        )
    framed = f", framed in the colour of their {name}" if labels else ""
    left_out = len(coordinates) - len(placed)
    dots = f" {left_out} that would hide others are dots." if left_out else ""
    if caption is None:
        caption = f"The pictures on the map{framed}.{dots} Look along each axis: what changes?"
    alt = f"Map of {len(coordinates)} images, {len(placed)} of them as small pictures{framed}."
    return Illustration(figure, caption, alt)


def preprocessing_steps(
    trace: Mapping[str, NDArray[np.floating]], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show the picture after each step, as ``Preprocessor.trace`` gives them: float (h, w) in [0, 1].

    All are equally high, so that what a step has made smaller is not confused with what is drawn smaller.
    """
    widths = [max(0.42, picture.shape[1] / picture.shape[0]) for picture in trace.values()]
    figure = _figure(5.6, 0.55 + 4.5 / sum(widths), theme)
    grid = figure.subplots(1, len(trace), squeeze=False, width_ratios=widths)[0]
    for number, (axes, (name, picture)) in enumerate(zip(grid, trace.items(), strict=True), start=1):
        axes.imshow(_small(picture), cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], anchor="N")
        axes.spines[:].set_color(_FAINT[theme])
        axes.set_title(f"{number} {name}", fontsize=9, color=_INK[theme])
        axes.set_xlabel(f"{picture.shape[0]} × {picture.shape[1]}", fontsize=7.2, color=_INK[theme])
    if caption is None:
        caption = "The same mammogram after each step; below, its rows × columns in pixels."
    return Illustration(
        figure, caption, f"One mammogram after each of {len(trace)} steps: {', '.join(trace)}."
    )


def one_step(trace: Mapping[str, NDArray[np.floating]], step: int, *, theme: Theme = "light") -> Illustration:
    """Show one step of ``Preprocessor.trace``, counted from 1: the picture before it and after it.

    A step beyond the last is the last.
    """
    names = list(trace)
    step = min(step, len(names))
    shown = names[max(step - 2, 0) : step]
    figure = _figure(4.0, 2.5, theme)
    grid = figure.subplots(1, 2)
    for axes in grid:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(_FAINT[theme])
    for axes, name in zip(grid[-len(shown) :], shown, strict=True):
        picture = trace[name]
        axes.imshow(_small(picture), cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{names.index(name) + 1} {name}", fontsize=10, color=_INK[theme])
        axes.set_xlabel(f"{picture.shape[0]} × {picture.shape[1]} pixels", fontsize=9, color=_INK[theme])
    for axes in grid[: 2 - len(shown)]:
        axes.set_axis_off()
    way = " → ".join(f"[{name}]" if name == names[step - 1] else name for name in names)
    figure.suptitle(way, fontsize=10.5, color=_INK[theme])
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
    """Show pictures with the outline of the breast in each, and below each what the network gets to see.

    ``masks`` are bool, each of the shape of its picture.
    """
    columns = min(columns, len(pictures))
    lines = -(-len(pictures) // columns)
    figure = _figure(0.51 * columns, 1.26 * lines, theme)
    room = {"wspace": 0.05, "hspace": 0.04, "height_ratios": (3, 2) * lines}
    grid = figure.subplots(2 * lines, columns, squeeze=False, gridspec_kw=room)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, (picture, mask, seen, title) in enumerate(zip(pictures, masks, after, titles, strict=True)):
        line, column = 2 * (index // columns), index % columns
        above, below = grid[line, column], grid[line + 1, column]
        above.imshow(_small(picture, 110), cmap="gray", vmin=0, vmax=1)
        around = np.pad(_small(mask.astype(np.float32), 110), 1)  # closes the outline at the border
        height, width = (side - 2 for side in around.shape)
        above.contour(
            np.arange(-1, width + 1),
            np.arange(-1, height + 1),
            around,
            levels=[0.5],
            colors=PALETTE[theme][1],
            linewidths=0.9,
        )
        above.set_title(title, fontsize=5.2, color=_INK[theme], pad=2)
        below.imshow(_small(seen, 70), cmap="gray", vmin=0, vmax=1)
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
    """Show how far vectors move under each treatment, beside how far different women lie apart.

    Args:
        moved: for each treatment ``(N,)`` distances, each of one image to itself treated otherwise.
        between: ``(M,)`` distances between different women, treated alike.
        unit: what is measured.
        caption: what to see; None: what dots, diamonds and band are.
        theme: on a light or on a dark ground.
    """
    apart = np.asarray(between)
    rows = sorted(
        ((name, np.asarray(each)) for name, each in moved.items()), key=lambda row: np.median(row[1])
    )
    figure = _figure(7.0, 0.42 * len(rows) + 1.5, theme)
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
    _plain_axes(axes, theme)
    if caption is None:
        caption = (
            "A dot is one image, a diamond the median. Gray: how far apart two different women lie, from the "
            "nearest pair to the farthest; the dashed line is their median."
        )
    alt = f"Distances by which {len(rows)} treatments move a vector, beside those between different women."
    return Illustration(figure, caption, alt)


def prototypes(
    pictures: Sequence[Picture],
    nearest: Mapping[int, Sequence[int] | NDArray[np.int64]],
    *,
    sizes: Mapping[int, int] | None = None,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Show each cluster as a row of the images nearest its centre (see ``analysis.clustering``)."""
    columns = max(len(rows) for rows in nearest.values())
    figure = _figure(1.3 * columns + 0.9, 1.34 * len(nearest), theme)
    grid = figure.subplots(len(nearest), columns, squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.06})
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (label, rows) in zip(grid, sorted(nearest.items()), strict=True):
        for axes, index in zip(line, rows, strict=False):
            axes.imshow(_pixels(pictures[index]), cmap="gray", vmin=0, vmax=1)
        size = f"\n{sizes[label]} images" if sizes else ""
        colour = PALETTE[theme][label % 8]
        line[0].text(
            -0.08,
            0.5,
            f"cluster {label}{size}",
            transform=line[0].transAxes,
            ha="right",
            va="center",
            color=colour,
            weight="bold",
        )
    if caption is None:
        caption = "Each row is a cluster, nearest to its centre first. Say in words what a row has in common."
    alt = f"The images nearest the centres of {len(nearest)} clusters, a row each, up to {columns} a row."
    return Illustration(figure, caption, alt)


def silhouette_against_null(
    evaluation: Evaluation, *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show the silhouette beside its null baselines: a dot for each null data set, a diamond for the data.

    Where k was searched, a second panel shows the data's silhouette over k, above the range of each null.
    """
    if evaluation.silhouette is None:
        raise ValueError("this evaluation has no silhouette to show: " + evaluation.verdict)
    several = len(evaluation.curve) > 1
    figure = _figure(8.2 if several else 5.6, 3.3, theme)
    panels = np.atleast_1d(np.asarray(figure.subplots(1, 2 if several else 1)))
    names = {"permuted": "columns\nshuffled", "gaussian": "Gaussian\ncloud"}
    colours = {"data": PALETTE[theme][1], "permuted": GRAY[theme], "gaussian": PALETTE[theme][0]}
    axes = panels[0]
    for row, null in enumerate(evaluation.nulls):
        values = np.array(null.silhouettes[evaluation.k])
        jitter = np.linspace(-0.16, 0.16, len(values))[np.argsort(np.arange(len(values)) % 5, kind="stable")]
        axes.scatter(values, row + jitter, s=16, c=colours[null.name], alpha=0.75, linewidths=0)
    top = len(evaluation.nulls)
    axes.axvline(evaluation.silhouette, color=colours["data"], linewidth=1, linestyle=(0, (4, 3)))
    axes.scatter([evaluation.silhouette], [top], s=90, c=colours["data"], marker="D", zorder=3)
    axes.set_yticks(range(top + 1), [*(names[null.name] for null in evaluation.nulls), "your\nimages"])
    axes.set_ylim(-0.5, top + 0.5)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(f"mean silhouette at k = {evaluation.k} (−1 to 1)")
    if several:
        ks = list(evaluation.curve)
        for null in evaluation.nulls:
            low = [min(null.silhouettes[k]) for k in ks]
            high = [max(null.silhouettes[k]) for k in ks]
            label = names[null.name].replace("\n", " ")
            panels[1].fill_between(
                ks, low, high, color=colours[null.name], alpha=0.3, label=label, linewidth=0
            )
            panels[1].plot(ks, np.mean([low, high], axis=0), color=colours[null.name], linewidth=1)
        panels[1].plot(
            ks, list(evaluation.curve.values()), color=colours["data"], marker=".", label="your images"
        )
        panels[1].plot(
            [evaluation.k], [evaluation.silhouette], color=colours["data"], marker="D", markersize=9
        )
        panels[1].set_xticks(ks)
        panels[1].set_xlabel("number of clusters k")
        panels[1].set_ylabel("mean silhouette")
        panels[1].legend(
            frameon=False,
            fontsize=8,
            ncols=3,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            labelcolor=_INK[theme],
        )
    for each in panels:
        _plain_axes(each, theme)
    if caption is None:
        caption = (
            "Diamond: the silhouette of these clusters. Dots: what the same pipeline finds in "
            f"{evaluation.draws} data sets of each kind that have no clusters. Only a diamond to the right "
            "of all dots says anything."
        )
    spans = ((names[null.name].replace("\n", " "), null.span(evaluation.k)) for null in evaluation.nulls)
    ranges = "; ".join(f"{name} {span}" for name, span in spans)
    alt = f"Silhouette {evaluation.silhouette:.2f} at k = {evaluation.k}, beside null data sets: {ranges}."
    return Illustration(figure, caption, alt)


def convolution_window(
    picture: ArrayLike, kernel: ArrayLike, row: int, column: int, *, theme: Theme = "light"
) -> Illustration:
    """Show one place of a kernel on a picture: the window, the kernel, their products and the sum of these.

    Args:
        picture: ``(H, W)`` in [0, 1].
        kernel: ``(k, k)``; it is not flipped, and the picture is not padded.
        row: where the window begins, from the top; beyond the last place, the last.
        column: likewise, from the left.
        theme: on a light or on a dark ground.
    """
    pixels, weights = np.asarray(picture, np.float64), np.asarray(kernel, np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, weights.shape)
    sums = np.einsum("ijkl,kl->ij", windows, weights)
    row, column = min(row, sums.shape[0] - 1), min(column, sums.shape[1] - 1)
    window, mark = windows[row, column], PALETTE[theme][1]
    figure = _figure(6.4, 4.6, theme)
    figure.set_layout_engine("none")  # finding a layout takes longer than drawing, which a slider would feel
    room = {"left": 0.03, "right": 0.97, "bottom": 0.03, "top": 0.93, "hspace": 0.16, "height_ratios": (3, 2)}
    grid = figure.add_gridspec(2, 6, **room)
    most = max(float(np.abs(sums).max()), 1e-9)
    signed, gray = Normalize(-most, most), Normalize(0, 1)
    parts: list[tuple[Any, str, NDArray[np.float64], str, Normalize, tuple[float, float]]] = [
        (grid[0, :3], "picture", pixels, "gray", gray, window.shape),
        (grid[0, 3:], "all sums", sums, "PuOr_r", signed, (1, 1)),
    ]
    for place, title, values, colours, norm, (height, width) in parts:
        axes = figure.add_subplot(place)
        axes.imshow(values, cmap=colours, norm=norm, interpolation="nearest")
        axes.set_title(title, fontsize=10, color=_INK[theme], pad=4)
        corner = (column - 0.5, row - 0.5)
        for colour, line in ((_GROUND["light"], 4.0), (mark, 2.0)):
            axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line))
        axes.set(xticks=[], yticks=[])
    products = window * weights
    largest = Normalize(*(float(np.abs(weights).max()) * np.array([-1.5, 1.5]) + [-1e-9, 1e-9]))
    title = f"products, sum {products.sum():+.2f}"
    tables: list[tuple[str, NDArray[np.float64], str, Normalize]] = [
        ("window", window, "gray", gray),
        ("kernel", weights, "PuOr_r", largest),
        (title, products, "PuOr_r", largest),
    ]
    for number, (title, values, colours, norm) in enumerate(tables):
        axes = figure.add_subplot(grid[1, 2 * number : 2 * number + 2])
        axes.imshow(values, cmap=colours, norm=norm)
        for (i, j), value in np.ndenumerate(values):
            dark = colours == "gray" and value < 0.5
            ink = "white" if dark else "black"
            axes.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=8, color=ink)
        axes.set_title(title, fontsize=10, color=_INK[theme], pad=4)
        axes.set(xticks=[], yticks=[])
    return Illustration(
        figure,
        "Below: the window's pixels, times the kernel's numbers, are the products; their sum is the outlined "
        "pixel above. Violet is below zero, orange above.",
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
    """Draw the receptive field of one place at each stage over a square picture, and what of it is padding.

    Args:
        picture: a square.
        fields: name of a stage and the side of its field, in pixels of the picture.
        centre: row and column of the place, in pixels; None: the middle of the picture.
        caption: what to see; None: what the squares are.
        theme: on a light or on a dark ground.
    """
    pixels = _pixels(picture)
    size, widest = len(pixels), max(fields.values())
    figure = _figure(4.2, 4.5, theme)
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
    axes.tick_params(colors=_INK[theme], labelsize=8.5)
    axes.xaxis.label.set(color=_INK[theme], size=9.5)
    axes.yaxis.label.set(color=_INK[theme], size=9.5)
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


class Span(NamedTuple):
    """One piece of work: in which thread, of which kind, with what name, from when to when (seconds)."""

    thread: str
    work: str
    label: str
    begin: float
    end: float


def timeline(
    runs: Mapping[str, Sequence[Span]], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show which thread worked on what and when: a panel a run, a line a thread, a bar a piece of work.

    The clock of each run starts at its first piece; all panels have the same scale. Kinds of work have a
    colour and a hatch each, at most four. Where a bar is wide enough, its label stands in it.
    """
    runs = {name: sorted(spans, key=lambda span: span.begin) for name, spans in runs.items()}
    lanes = {name: list(dict.fromkeys(span.thread for span in spans)) for name, spans in runs.items()}
    kinds = dict.fromkeys(span.work for spans in runs.values() for span in spans)
    styles = dict(zip(kinds, zip(PALETTE[theme], ("", "///", "...", "xxx"), strict=False), strict=False))
    length = {
        name: max(span.end for span in spans) - min(span.begin for span in spans)
        for name, spans in runs.items()
    }
    longest = max(length.values())
    heights = [len(each) + 0.6 for each in lanes.values()]
    figure = _figure(8.6, 0.42 * sum(heights) + 0.5 * len(runs) + 0.7, theme)
    panels = figure.subplots(len(runs), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, spans) in zip(panels, runs.items(), strict=True):
        start = min(span.begin for span in spans)
        for span in spans:
            colour, hatch = styles[span.work]
            row, wide = lanes[name].index(span.thread), span.end - span.begin
            bar = {"color": colour, "edgecolor": _GROUND[theme], "hatch": hatch, "linewidth": 1.0}
            axes.barh(row, wide, left=span.begin - start, height=0.78, **bar)
            if wide > longest * (0.011 * len(span.label) + 0.004):
                middle = (span.begin + span.end) / 2 - start
                box = {"facecolor": colour, "edgecolor": "none", "pad": 0.8}
                axes.text(
                    middle, row, span.label, ha="center", va="center", color="white", fontsize=7.5, bbox=box
                )
        axes.axvline(length[name], color=GRAY[theme], linestyle=(0, (4, 3)), linewidth=1.2)
        axes.set_yticks(range(len(lanes[name])), lanes[name])
        axes.set(xlim=(0, longest * 1.02), ylim=(len(lanes[name]) - 0.4, -0.6))
        axes.set_title(f"{name}: {length[name]:.2f} s", loc="left", fontsize=9.5, color=_INK[theme])
        _plain_axes(axes, theme)
    panels[-1].set_xlabel("time (seconds)")
    figure.legend(
        handles=[
            Patch(facecolor=colour, hatch=hatch, edgecolor=_GROUND[theme], label=work)
            for work, (colour, hatch) in styles.items()
        ],
        loc="outside upper right",
        ncols=len(styles),
        frameon=False,
        fontsize=9,
        labelcolor=_INK[theme],
    )
    if caption is None:
        caption = "A line is a thread, a bar a piece of work with its number. White is waiting."
    of = "; ".join(f"{name}, {len(lanes[name])} threads" for name in runs)
    return Illustration(figure, caption, f"Bars along time, a line for each thread, two kinds of work: {of}.")


def throughput_maps(
    tried: Mapping[str, Mapping[tuple[int, int], float]],
    batch_sizes: Sequence[int],
    workers: Sequence[int],
    *,
    last: tuple[str, int, int] | None = None,
    title: str = "",
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Show the images a second of the settings tried so far: a panel an archive, a square a setting.

    Args:
        tried: for each archive, the rate of each pair (batch size, workers) that was tried.
        batch_sizes: the columns.
        workers: the rows.
        last: archive, batch size and workers of the square to outline.
        title: one line above all.
        caption: what to see; None: what a square is.
        theme: on a light or on a dark ground.
    """
    figure = _figure(8.2, 0.55 * len(workers) + 1.7, theme)
    panels = figure.subplots(1, len(tried), squeeze=False)[0]
    for axes, (archive, rates) in zip(panels, tried.items(), strict=True):
        table = np.array([[rates.get((size, count), np.nan) for size in batch_sizes] for count in workers])
        best = max(rates.values(), default=1.0)
        axes.imshow(table, cmap="cividis", vmin=0, vmax=best, aspect="auto")
        for (row, column), rate in np.ndenumerate(table):
            known = bool(np.isfinite(rate))
            ink = ("black" if rate > 0.55 * best else "white") if known else GRAY[theme]
            text = f"{rate:.1f}" if known else "?"
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=10)
        if last is not None and last[0] == archive:
            corner = (batch_sizes.index(last[1]) - 0.5, workers.index(last[2]) - 0.5)
            axes.add_patch(
                Rectangle(corner, 1, 1, fill=False, edgecolor=PALETTE[theme][1], linewidth=3, clip_on=False)
            )
        axes.set_xticks(range(len(batch_sizes)), batch_sizes)
        axes.set_yticks(range(len(workers)), workers)
        axes.set(xlabel="batch size (images)", ylabel="workers (threads that read)")
        axes.set_title(archive, fontsize=10, color=_INK[theme])
        _plain_axes(axes, theme)
    figure.suptitle(title, fontsize=9.5, color=_INK[theme])
    if caption is None:
        caption = "Images a second of each setting tried so far; outlined, the last one; ? was not tried yet."
    names = " and ".join(tried)
    return Illustration(
        figure,
        caption,
        f"Squares of batch size by number of workers, one field for {names}, each with the images a second "
        "that were measured.",
    )


def flame_graph(
    profile: cProfile.Profile,
    *,
    leaves: Sequence[str] = (),
    least: float = 0.015,
    levels: int = 6,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw where the time of a profiled call went: a bar for each function, below it what it called.

    A function that is called from several places has its time divided among them as the profile tells it, one
    level deep; below that, in proportion. Only names of functions are shown.

    Args:
        profile: of one call, as ``profile.runcall(function)`` makes it.
        leaves: names of functions whose insides are not shown.
        least: share of the whole below which a function is not drawn.
        levels: how many are drawn at most, the call itself being the first.
        caption: what to see; None: what bars and colours are.
        theme: on a light or on a dark ground.

    Source: B. Gregg, The Flame Graph, Communications of the ACM 59 (6), 48–57, 2016.
    """
    bars = [bar for bar in _flames(profile, leaves, least) if bar.depth < levels]
    whole = bars[0].milliseconds
    deepest = max(bar.depth for bar in bars)
    first = [bar.name for bar in bars if bar.depth == 1]
    figure = _figure(8.2, 0.36 * (deepest + 1) + 0.7, theme)
    axes = figure.subplots()
    for bar in bars:
        colour = PALETTE[theme][first.index(bar.stage) % 8] if bar.stage else GRAY[theme]
        axes.barh(
            bar.depth,
            bar.milliseconds,
            left=bar.start,
            height=1,
            color=colour,
            edgecolor=_GROUND[theme],
            alpha=0.75,
        )
        letters = int(bar.milliseconds / whole * 92)
        if letters >= 4:
            text = bar.name if len(bar.name) <= letters else bar.name[: letters - 1] + "…"
            axes.text(
                bar.start + bar.milliseconds / 2,
                bar.depth,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color=_INK[theme],
            )
    axes.set(
        xlim=(0, whole), ylim=(deepest + 0.5, -0.5), yticks=[], xlabel="time (ms)", ylabel="calls, downwards"
    )
    _plain_axes(axes, theme)
    if caption is None:
        caption = "Each bar is a function, as wide as the time spent in it; below it stands what it called."
    parts = ", ".join(f"{bar.name} {bar.milliseconds / whole:.0%}" for bar in bars if bar.depth == 1)
    deep = f"{deepest + 1} level{'s' if deepest else ''} deep"
    return Illustration(figure, caption, f"Flame graph of one call, {deep}: {parts}.")


def roofline(
    layers: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    peaks: Mapping[str, float],
    bandwidth: float,
    *,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw what a machine can attain over arithmetic intensity, and what each layer did attain.

    Args:
        layers: for each kind of layer three arrays ``(n,)``: FLOP, bytes moved, and seconds.
        peaks: the largest FLOP a second that were measured, by name (a precision, say), the first one solid.
        bandwidth: bytes a second from and to memory.
        caption: what to see; None: what lines and points are.
        theme: on a light or on a dark ground.

    Source: Williams, Waterman, Patterson, Communications of the ACM 52 (4), 65–76, 2009.
    """
    figure = _figure(7.2, 4.0, theme)
    axes = figure.subplots()
    points = {kind: [np.asarray(part, float) for part in parts] for kind, parts in layers.items()}
    intensity = np.concatenate([flop / moved for flop, moved, _ in points.values()])
    x = np.geomspace(min(intensity.min(), 0.2) / 2, intensity.max() * 3, 200)
    for (name, peak), dashes in zip(peaks.items(), ("-", "--", ":"), strict=False):
        roof = np.minimum(peak, bandwidth * x)
        axes.plot(
            x,
            roof / 1e9,
            linestyle=dashes,
            color=_INK[theme],
            linewidth=1.6,
            label=f"{name}: {peak / 1e9:.0f} GFLOP/s",
        )
    axes.plot([], [], " ", label=f"memory: {bandwidth / 1e9:.0f} GB/s")
    for (kind, (flop, moved, seconds)), colour, marker in zip(
        points.items(), PALETTE[theme], MARKERS, strict=False
    ):
        axes.scatter(
            flop / moved,
            flop / seconds / 1e9,
            s=26,
            c=colour,
            marker=marker,
            alpha=0.75,
            linewidths=0,
            label=kind,
        )
    axes.set(xscale="log", yscale="log", xlim=(x[0], x[-1]))
    axes.set(xlabel="arithmetic intensity (FLOP a byte)", ylabel="attained (GFLOP a second)")
    _plain_axes(axes, theme)
    _legend(axes, "limits and layers", theme)
    if caption is None:
        caption = (
            "Lines: the most that this machine was seen to do. Under the slope memory is the limit, under "
            "the flat part arithmetic. A point is a layer; how far below its roof it lies can be gained."
        )
    kinds = ", ".join(f"{len(parts[0])} {kind}" for kind, parts in points.items())
    alt = f"Roofline on logarithmic axes, a slope that turns flat, with points below it: {kinds}."
    return Illustration(figure, caption, alt)


def ladder(
    rates: Mapping[str, float],
    limits: Mapping[str, float],
    *,
    unit: str = "images a second",
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw the rate after each step, first step on top, beside the limits that were measured.

    Args:
        rates: images a second, by step; at most a dozen.
        limits: images a second that the machine cannot pass, by name; at most three.
        unit: what a rate is.
        caption: what to see; None: what bars and lines are.
        theme: on a light or on a dark ground.
    """
    figure = _figure(7.2, 0.4 * len(rates) + 1.3, theme)
    axes = figure.subplots()
    places = range(len(rates))
    axes.barh(places, list(rates.values()), height=0.62, color=PALETTE[theme][0])
    for place, rate in zip(places, rates.values(), strict=True):
        axes.annotate(
            f"{rate:.3g}",
            (rate, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=_INK[theme],
            bbox={"facecolor": _GROUND[theme], "edgecolor": "none", "pad": 0.5},
        )
    for (name, limit), dashes, colour in zip(
        limits.items(), ("-", "--", ":"), PALETTE[theme][1:], strict=False
    ):
        axes.axvline(limit, linestyle=dashes, color=colour, linewidth=1.8, label=f"{name}: {limit:.3g}")
    axes.set_yticks(places, list(rates))
    axes.set(xlabel=unit, xlim=(0, 1.08 * max(*rates.values(), *limits.values())))
    axes.invert_yaxis()
    _plain_axes(axes, theme)
    if limits:
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.4, 1.0),
            ncols=3,
            frameon=False,
            fontsize=8.5,
            labelcolor=_INK[theme],
        )
    if caption is None:
        caption = "Each bar is one step further. Lines: what this machine cannot pass."
    steps = ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
    return Illustration(figure, caption, f"Bars of {unit}: {steps}.")


def reading_threads(
    read_ms: float,
    network_ms: float,
    *,
    cores: int,
    threads: int,
    card: bool = False,
    theme: Theme = "light",
) -> Illustration:
    """Draw the images a second that reading threads can bring, worked out from what each part costs.

    With n threads on at most as many cores, reading takes ``read_ms / n``. In turn with the network the two
    add up, which is Amdahl's law. At the same time the slower one decides, unless both need the same cores:
    ``cores`` of them cannot do more than ``read_ms + cores * network_ms`` of work an image.

    Args:
        read_ms: what one image costs one core, from file to picture.
        network_ms: what one image costs the network, on all cores or on the card.
        cores: how many there are.
        threads: how many read; it is marked.
        card: whether the network computes on a card of its own, and leaves the cores to the readers.
        theme: on a light or on a dark ground.

    Source: G. M. Amdahl, AFIPS Spring Joint Computer Conference 1967, 483–485.
    """
    counts = np.arange(1, max(16, threads) + 1)
    reading = read_ms / np.minimum(counts, cores)
    allowed = 1000 / (read_ms / cores + (0 if card else network_ms))
    in_turn = 1000 / (reading + network_ms)
    together = np.minimum(1000 / np.maximum(reading, network_ms), allowed)
    figure = _figure(7.2, 3.4, theme)
    axes = figure.subplots()
    for name, rate, colour, marker in (
        ("at the same time", together, PALETTE[theme][1], "D"),
        ("in turn", in_turn, PALETTE[theme][0], "o"),
    ):
        axes.plot(counts, rate, color=colour, marker=marker, markersize=4, label=name)
        chosen = rate[threads - 1]
        axes.plot([threads], [chosen], color=colour, marker=marker, markersize=11)
        axes.text(threads + 0.3, chosen, f"{chosen:.3g}", va="bottom", fontsize=9.5, color=_INK[theme])
    axes.axhline(
        1000 / network_ms, color=GRAY[theme], linestyle="--", label=f"network alone: {1000 / network_ms:.3g}"
    )
    axes.axhline(allowed, color=GRAY[theme], linestyle=":", label=f"the cores allow: {allowed:.3g}")
    axes.set(xlabel="threads that read", ylabel="images a second, at most", ylim=(0, None), xticks=counts)
    _plain_axes(axes, theme)
    _legend(axes, "network and reading", theme)
    where = "on a card" if card else f"on the same {cores} cores"
    caption = (
        f"Worked out from {read_ms:.3g} ms to read an image and {network_ms:.3g} ms for the network {where}. "
        "Dotted: more than that the cores cannot do; dashed: the network without any reading."
    )
    alt = (
        f"Images a second over the number of reading threads. With {threads}: {in_turn[threads - 1]:.3g} in "
        f"turn with the network, {together[threads - 1]:.3g} at the same time."
    )
    return Illustration(figure, caption, alt)


def tidy_categories(categories: Sequence[Any]) -> list[str]:
    """Return categories as text: what is missing is called so; beyond eight, the smallest become others."""
    labels = [MISSING if _is_missing(each) else str(each) for each in categories]
    counts = {each: labels.count(each) for each in set(labels)}
    if len(counts) <= len(MARKERS):
        return labels
    keep = sorted(counts, key=lambda each: (-counts[each], each))[: len(MARKERS) - 1]
    return [each if each in keep else "others" for each in labels]


@dataclass(frozen=True)
class _Flame:
    """One bar of a flame graph; ``stage`` is the bar at depth 1 above it, or itself."""

    name: str
    depth: int
    start: float
    milliseconds: float
    stage: str | None


def _flames(profile: cProfile.Profile, leaves: Sequence[str], least: float) -> Iterator[_Flame]:
    """Yield the bars of a profile from the top, each before what it called."""
    table: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    calls: dict[Any, dict[Any, float]] = {}
    for called, (_, _, _, _, callers) in table.items():
        for caller, (_, _, _, total) in callers.items():
            calls.setdefault(caller, {})[called] = total
    root = max((key for key, row in table.items() if not row[4]), key=lambda key: table[key][3])

    def below(key: Any, depth: int, start: float, total: float, stage: str | None, above: set[Any]) -> Any:
        name = _short(key[2])
        stage = name if depth == 1 else stage
        yield _Flame(name, depth, start * 1000, total * 1000, stage)
        if name in leaves:
            return
        share = total / table[key][3] if table[key][3] else 0.0
        for called, spent in sorted(calls.get(key, {}).items(), key=lambda each: -each[1]):
            if spent * share >= least * table[root][3] and called not in above:
                yield from below(called, depth + 1, start, spent * share, stage, above | {called})
                start += spent * share

    yield from below(root, 0, 0.0, table[root][3], None, {root})


def _short(name: str) -> str:
    """``<method 'read' of '_io.BufferedReader' objects>`` is called ``read``."""
    method = re.match(r"<method '(\w+)'", name) or re.match(r"<built-in method (?:.*\.)?(\w+)>", name)
    return method[1] if method else name.strip("<>")


def _is_missing(value: Any) -> bool:
    return value is None or value != value or str(value) == "<NA>"


def _in_order(labels: Sequence[str]) -> list[str]:
    """Return the distinct labels: numbers by value, then words, and what is missing last."""
    return sorted(
        set(labels), key=lambda each: (each == MISSING, each == "others", not each.isdigit(), len(each), each)
    )


def _styles(names: Sequence[str], theme: Theme) -> dict[str, tuple[str, str]]:
    """Return colour and marker for each category; what is missing is always gray."""
    styles = {name: (PALETTE[theme][i % 8], MARKERS[i % 8]) for i, name in enumerate(names)}
    return styles | {name: (GRAY[theme], ".") for name in (MISSING, "others") if name in styles}


def _pixels(picture: Picture) -> NDArray[np.floating]:
    pixels = imread(io.BytesIO(picture), format="png") if isinstance(picture, bytes) else np.asarray(picture)
    return pixels[0] if pixels.ndim == 3 and pixels.shape[0] == 1 else pixels


def _small(picture: Picture, side: int = 320) -> NDArray[np.floating]:
    """The means of blocks of k × k pixels: about ``side`` on the longer side, so that drawing is quick."""
    pixels = _pixels(picture)
    k = max(1, round(max(pixels.shape) / side))
    height, width = (max(1, length // k) for length in pixels.shape)
    return pixels[: height * k, : width * k].reshape(height, k, width, k).mean(axis=(1, 3))


def _figure(width: float, height: float, theme: Theme) -> Figure:
    """Return an empty figure, in inches, that belongs to no window and to no global state."""
    return Figure((width, height), layout="constrained", facecolor=_GROUND[theme], dpi=100)


def _map_axes(
    axes: Axes,
    coordinates: NDArray[np.float64],
    shares: Sequence[float] | None,
    theme: Theme,
    margin: float = 0.05,
) -> None:
    percent = [f" ({share:.0%} of variance)" for share in shares] if shares is not None else ["", ""]
    axes.set_xlabel(f"principal component 1{percent[0]}")
    axes.set_ylabel(f"principal component 2{percent[1]}")
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    room = np.maximum((high - low) * margin, (high - low).max() * 0.02) + 1e-9
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    axes.set_ylim(low[1] - room[1], high[1] + room[1])
    _plain_axes(axes, theme)


def _plain_axes(axes: Axes, theme: Theme) -> None:
    """Two thin spines, quiet ticks, ink of the theme."""
    axes.set_facecolor(_GROUND[theme])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT[theme])
    axes.tick_params(colors=_INK[theme], labelsize=8.5, color=_FAINT[theme])
    axes.xaxis.label.set(color=_INK[theme], size=9.5)
    axes.yaxis.label.set(color=_INK[theme], size=9.5)


def _legend(axes: Axes, title: str, theme: Theme, handles: list[Line2D] | None = None) -> None:
    """Put a legend to the right of the axes, where it hides nothing."""
    legend = axes.legend(
        handles=axes.get_legend_handles_labels()[0] if handles is None else handles,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        labelcolor=_INK[theme],
        alignment="left",
    )
    legend.get_title().set_color(_INK[theme])


def _apart(centres: NDArray[np.float64], distance: float, limit: int) -> list[int]:
    """Choose points (N, 2), first come first placed, no two within ``distance`` along both axes."""
    placed: list[int] = []
    for index, centre in enumerate(centres):
        if len(placed) == limit:
            break
        if all(np.abs(centre - centres[other]).max() >= distance for other in placed):
            placed.append(index)
    return placed
