"""Several maps in one figure, to be compared: several sets of points (N, 2) become panels (lesson 07)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from course_utils.plots.illustration import (
    GROUND,
    INK,
    Illustration,
    Theme,
    legend_beside,
    new_figure,
    plain_axes,
)
from course_utils.plots.maps import category_styles, in_order, tidy_categories

INCHES = 2.35
"""Width and height of a panel."""


def several_maps(
    maps: Mapping[str, ArrayLike],
    categories: Sequence[Any] | None = None,
    *,
    caption: str,
    name: str = "group",
    columns: int = 4,
    same_scale: bool = False,
    theme: Theme = "light",
) -> Illustration:
    """Draw maps `(N, 2)` of the same N images, one panel each, with what they are called above them.

    Args:
        maps: title -> points.
        categories: N values for colour and marker, the same in every panel; None draws all points alike.
        caption: what to look for.
        name: what the categories are.
        columns: panels in a row.
        same_scale: give all panels the same axes, so that a gap is as wide in each as it is; otherwise each
            map fills its panel.
        theme: light or dark background.
    """
    points = {title: np.asarray(each, np.float64) for title, each in maps.items()}
    labels = (
        tidy_categories(categories) if categories is not None else [""] * len(next(iter(points.values())))
    )
    rows, columns = -(-len(points) // columns), min(columns, len(points))
    room = 0.4 if categories is None else 1.2
    figure = new_figure(INCHES * columns + room, INCHES * rows + 0.4, theme)
    panels = np.atleast_1d(np.asarray(figure.subplots(rows, columns))).ravel()
    for axes, (title, place) in zip(panels, points.items(), strict=False):
        _scatter(axes, place, np.array(labels, object), theme)
        axes.set_title(title, color=INK[theme], size=9.5)
        reach = max(np.ptp(each, axis=0).max() for each in (points.values() if same_scale else [place]))
        middle = (place.min(axis=0) + place.max(axis=0)) / 2
        axes.set_xlim(middle[0] - 0.54 * reach, middle[0] + 0.54 * reach)
        axes.set_ylim(middle[1] - 0.54 * reach, middle[1] + 0.54 * reach)
        plain_axes(axes, theme)
    for axes in panels[len(points) :]:
        axes.set_axis_off()
    figure.supxlabel("first coordinate", color=INK[theme], size=9.5)
    figure.supylabel("second coordinate", color=INK[theme], size=9.5)
    groups = in_order(labels)
    if categories is not None:
        legend_beside(panels[columns - 1], name, theme)
    by = f", coloured by {name} ({', '.join(groups)})" if categories is not None else ""
    alt = f"{len(points)} maps of {len(labels)} images{by}: {', '.join(points)}."
    return Illustration(figure, caption, alt)


def _scatter(axes: Axes, place: NDArray[np.float64], labels: NDArray[Any], theme: Theme) -> None:
    size = float(np.clip(1600 / max(len(place), 1), 5, 40))
    for group, (colour, marker) in category_styles(in_order(list(labels)), theme).items():
        drawn = place[labels == group]
        axes.scatter(
            drawn[:, 0],
            drawn[:, 1],
            s=size,
            c=colour,
            marker=marker,
            edgecolors=GROUND[theme],
            linewidths=0.3,
            label=group,
        )
