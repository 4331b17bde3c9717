"""Maps of embeddings: points (N, 2) become a scatter plot, or pictures laid out on a map (lesson 07)."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import ArrayLike, NDArray

from course_utils.plots.illustration import (
    GRAY,
    GROUND,
    INK,
    MARKERS,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    legend_beside,
    new_figure,
    pixels_of,
    plain_axes,
)
from course_utils.plots.lettering import boxes_for_missing_letters, shortened

MISSING = "not stated"
"""The name of a category that a file does not state."""
NOISE = "noise"
"""The name of what a clustering leaves out."""


def map_scatter(
    points: ArrayLike,
    categories: Sequence[Any],
    *,
    name: str = "cluster",
    axis: str = "principal component",
    shares: Sequence[float] | None = None,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Scatter a map of embeddings (N, 2), each category with its own colour and marker.

    `name` says what the categories are and `axis` what the axes are; `shares` (2,) are the shares of variance
    of the two axes (PCA). Many categories become few, as `tidy_categories` says.
    """
    coordinates = np.asarray(points, np.float64)
    labels = tidy_categories(categories)
    figure = new_figure(5.0, 4.4, theme)
    axes = figure.subplots()
    size = float(np.clip(6000 / max(len(labels), 1), 12, 64))
    counts = {each: labels.count(each) for each in in_order(labels)}
    name, short = shortened(name), {each: shortened(each) for each in counts}
    entries: list[tuple[Artist, str]] = []
    for each, (colour, marker) in category_styles(list(counts), theme).items():
        rows = np.flatnonzero(np.array(labels, dtype=object) == each)
        points_of = axes.scatter(
            coordinates[rows, 0],
            coordinates[rows, 1],
            s=size,
            c=colour,
            marker=marker,
            edgecolors=GROUND[theme],
            linewidths=0.6,
            alpha=0.9,
        )
        entries.append((points_of, f"{short[each]} ({counts[each]})"))
    _map_axes(axes, axis, shares, theme)
    legend_beside(axes, name, theme, entries)
    of = ", ".join(f"{short[each]} {count}" for each, count in counts.items())
    if caption is None:
        caption = f"Each point is one image, coloured by {name}; the axes have no unit."
    alt = f"Scatter plot of {len(labels)} images, {axis} 2 against {axis} 1, coloured by {name}: {of}."
    return Illustration(figure, caption, alt)


def map_pictures(
    points: ArrayLike,
    pictures: Sequence[Picture],
    categories: Sequence[Any] | None = None,
    *,
    name: str = "cluster",
    axis: str = "principal component",
    shares: Sequence[float] | None = None,
    limit: int = 60,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Lay the pictures themselves out on the map (N, 2), framed in the colour of their category.

    Where they would hide one another, some become dots instead: at most `limit` pictures, none over another.
    An image without a picture (empty bytes) is also a dot.
    """
    coordinates = np.asarray(points, np.float64)
    labels = tidy_categories(categories) if categories is not None else None
    name = shortened(name)
    figure = new_figure(8.2, 5.6, theme)
    axes = figure.subplots()
    styles = category_styles(in_order(labels), theme) if labels else {}
    colours = [styles[label][0] if labels else INK[theme] for label in labels or [""] * len(coordinates)]
    axes.scatter(coordinates[:, 0], coordinates[:, 1], s=9, c=colours, zorder=1)
    _map_axes(axes, axis, shares, theme, margin=0.09)
    with boxes_for_missing_letters():
        figure.draw_without_rendering()
    side_inches = 0.56
    there = [index for index, picture in enumerate(pictures) if len(picture)]
    centres = axes.transData.transform(coordinates[there]) / figure.dpi
    placed = [there[index] for index in _apart(centres, side_inches * 1.12, limit)]
    for index in placed:
        pixels = pixels_of(pictures[index])
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
        legend_beside(
            axes,
            name,
            theme,
            [(Line2D([], [], color=styles[each][0], linewidth=4), shortened(each)) for each in styles],
        )
    framed = f", framed in the colour of their {name}" if labels else ""
    hidden, lacking = len(there) - len(placed), len(coordinates) - len(there)
    dots = f" {hidden} that would hide others are dots." if hidden else ""
    dots += f" {lacking} without a picture {'is a dot' if lacking == 1 else 'are dots'}." if lacking else ""
    if caption is None:
        caption = f"The pictures on the map{framed}.{dots} Look along each axis: what changes?"
    alt = f"Map of {len(coordinates)} images, {len(placed)} of them as small pictures{framed}."
    return Illustration(figure, caption, alt)


def tidy_categories(categories: Sequence[Any]) -> list[str]:
    """Return categories as text, at most eight of them: missing ones are called so.

    Beyond eight, the smallest become others, and measurements become their four quarters ("41 to 52").
    """
    labels = [MISSING if is_missing(each) else str(each) for each in categories]
    counts = Counter(labels)
    if len(counts) <= len(MARKERS):
        return labels
    if _are_measurements(categories):
        return _quarters(categories)
    keep = sorted(counts, key=lambda each: (-counts[each], each))[: len(MARKERS) - 1]
    return [each if each in keep else "others" for each in labels]


def is_missing(value: Any) -> bool:
    """Say whether a value is None, NaN or one of pandas' own."""
    return value is None or type(value).__name__ == "NAType" or value != value


def _are_measurements(values: Sequence[Any]) -> bool:
    """Tell measurements from numbers that are names, such as those of clusters: few, and whole."""
    present = [each for each in values if not is_missing(each)]
    if not all(isinstance(each, int | float | np.number) for each in present):
        return False
    return len(set(present)) > 3 * len(MARKERS) or any(each % 1 for each in present)


def _quarters(values: Sequence[Any]) -> list[str]:
    """Return the quarter of the range of ranks that each number falls into, named by its ends."""
    numbers = np.array([np.nan if is_missing(each) else each for each in values], np.float64)
    edges = np.nanquantile(numbers, [0.25, 0.5, 0.75])
    quarter = np.searchsorted(edges, numbers, side="right")
    ends = [numbers[(quarter == q) & ~np.isnan(numbers)] for q in range(4)]
    names = [f"{each.min():.4g} to {each.max():.4g}" if len(each) else "" for each in ends]
    return [MISSING if np.isnan(number) else names[q] for number, q in zip(numbers, quarter, strict=True)]


def in_order(labels: Sequence[str]) -> list[str]:
    """Return the distinct labels: numbers and ranges by value, then words, and missing ones last."""

    def rank(label: str) -> tuple[bool, bool, float, int, str]:
        number = re.fullmatch(r"(\d+)|(-?\d+(?:\.\d+)?(?:e[+-]\d+)?) to \S+", label)
        value = float(number[1] or number[2]) if number else np.inf
        return label == MISSING, label in (NOISE, "others"), value, len(label), label

    return sorted(set(labels), key=rank)


def category_styles(names: Sequence[str], theme: Theme) -> dict[str, tuple[str, str]]:
    """Return colour and marker for each category; missing ones and noise are always gray."""
    styles = {name: (PALETTE[theme][i % 8], MARKERS[i % 8]) for i, name in enumerate(names)}
    return styles | {name: (GRAY[theme], ".") for name in (MISSING, NOISE, "others") if name in styles}


def _map_axes(
    axes: Axes,
    axis: str,
    shares: Sequence[float] | None,
    theme: Theme,
    margin: float = 0.05,
) -> None:
    percent = [f" ({share:.0%} of variance)" for share in shares] if shares is not None else ["", ""]
    axes.set_xlabel(f"{axis} 1{percent[0]}")
    axes.set_ylabel(f"{axis} 2{percent[1]}")
    axes.margins(margin)
    axes.set_aspect("equal", adjustable="datalim")  # or a distance would be longer along one of the axes
    plain_axes(axes, theme)


def _apart(centres: NDArray[np.float64], distance: float, limit: int) -> list[int]:
    """Choose points (N, 2), first come first placed, no two within `distance` along both axes."""
    placed: list[int] = []
    for index, centre in enumerate(centres):
        if len(placed) == limit:
            break
        if all(np.abs(centre - centres[other]).max() >= distance for other in placed):
            placed.append(index)
    return placed
