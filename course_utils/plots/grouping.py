"""How groups are made, how many, and whether a valley lies between them (lesson 08)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from course_utils.plots.illustration import (
    GRAY,
    GROUND,
    INK,
    MARKERS,
    PALETTE,
    Illustration,
    Theme,
    legend_beside,
    new_figure,
    plain_axes,
)
from course_utils.plots.maps import category_styles, in_order


def kmeans_rounds(
    points: ArrayLike, start: ArrayLike, rounds: int, *, theme: Theme = "light"
) -> Illustration:
    """Draw where the centres of k-means have come after some rounds, and which points are nearest to each.

    Args:
        points: `(N, 2)`.
        start: `(k, 2)`, k up to 8: where the centres begin.
        rounds: how many times they move, 0 or more.
        theme: light or dark background.
    """
    from sklearn.metrics import pairwise_distances_argmin

    spots, trail = np.asarray(points, np.float64), [np.asarray(start, np.float64)]
    for _ in range(rounds):
        trail.append(_next_centres(spots, trail[-1]))
    labels = pairwise_distances_argmin(spots, trail[-1])
    figure = new_figure(6.2, 4.0, theme)
    axes = figure.subplots()
    for j in range(len(trail[0])):
        colour, path = PALETTE[theme][j], np.array([centres[j] for centres in trail])
        x, y = spots[labels == j].T
        axes.scatter(
            x,
            y,
            s=16,
            c=colour,
            marker=MARKERS[j],
            linewidths=0,
            alpha=0.6,
            label=f"{j} ({(labels == j).sum()})",
        )
        axes.plot(path[:, 0], path[:, 1], color=INK[theme], linewidth=1.2, zorder=3)
        axes.scatter(
            path[-1, 0],
            path[-1, 1],
            s=150,
            c=colour,
            marker=MARKERS[j],
            edgecolors=INK[theme],
            linewidths=2,
            zorder=4,
        )
    axes.set(xlabel="principal component 1", ylabel="principal component 2")
    plain_axes(axes, theme)
    legend_beside(axes, "nearest centre", theme)
    moved = float(np.linalg.norm(trail[-1] - trail[-2], axis=1).max()) if rounds else np.inf
    still = " Nothing moved in the last round: k-means has ended." if moved < 1e-9 else ""
    after = f"after {rounds} round{'' if rounds == 1 else 's'}"
    caption = f"The centres {after} (large), and the way that each has come (lines).{still}"
    sizes = ", ".join(str((labels == j).sum()) for j in range(len(trail[0])))
    alt = (
        f"Map of {len(spots)} images with {len(trail[0])} centres {after} of k-means; "
        f"images nearest to each: {sizes}."
    )
    return Illustration(figure, caption, alt)


def _next_centres(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would say that one round is not the end
        model = KMeans(len(centres), init=centres, n_init=1, max_iter=1, tol=0).fit(points)
    moved: NDArray[np.float64] = model.cluster_centers_
    return moved


def map_and_silhouettes(
    points: ArrayLike,
    labels: Sequence[int] | NDArray[np.int64],
    found: Mapping[int, float],
    null: Mapping[int, Sequence[float]] | None = None,
    *,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw clusters on a map beside the silhouette of every k, and what noise reaches there.

    Args:
        points: `(N, 2)`, the map.
        labels: `(N,)`, at most 8 clusters.
        found: the silhouette of the data for each k; that of these clusters is marked.
        null: for each k, the silhouettes of data without clusters; None draws none.
        caption: what to look for; None: says what is drawn.
        theme: light or dark background.
    """
    spots, groups = np.asarray(points, np.float64), np.asarray(labels)
    names = in_order([str(each) for each in groups])
    k, ks = len(names), list(found)
    figure = new_figure(8.2, 3.5, theme)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for name, (colour, marker) in category_styles(names, theme).items():
        rows = groups == int(name)
        left.scatter(*spots[rows].T, s=18, c=colour, marker=marker, linewidths=0, alpha=0.85)
    left.set(xlabel="principal component 1", ylabel="principal component 2", title=f"k = {k}")
    if null is not None:
        low, high = ([edge(null[each]) for each in ks] for edge in (min, max))
        right.fill_between(
            ks, low, high, color=GRAY[theme], alpha=0.35, linewidth=0, label="without clusters"
        )
    right.plot(ks, list(found.values()), ".-", color=PALETTE[theme][1], label="these images")
    if k in found:
        right.plot([k], [found[k]], "D", color=PALETTE[theme][1], markersize=9)
    right.set(xticks=ks, xlabel="number of clusters k", ylabel="mean silhouette", ylim=(0, None))
    right.legend(frameon=False, fontsize=8.5, labelcolor=INK[theme])
    for axes in (left, right):
        plain_axes(axes, theme)
        axes.title.set(color=INK[theme], size=10)
    band = " Gray: what the same search finds in data without clusters." if null is not None else ""
    if caption is None:
        caption = f"k = {k}: the clusters on the map of two components, and the silhouette of each k.{band}"
    values = ", ".join(f"{each}: {value:.2f}" for each, value in found.items())
    alt = f"{k} clusters on a map of {len(spots)} images; mean silhouette by k: {values}."
    return Illustration(figure, caption, alt)


def histograms(
    positions: Mapping[str, ArrayLike],
    bins: int = 12,
    *,
    rain: bool = False,
    kinds: Sequence[Any] | None = None,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw histograms of positions between two centres; with `rain`, the water that stays in their valleys.

    Args:
        positions: for each name, `(n,)` positions; a panel each.
        bins: number of bars.
        rain: draw the water, and say how deep it is at most.
        kinds: a category of each position, the same for all panels: bars are stacked by it.
        caption: what to look for; None: says what is drawn.
        theme: light or dark background.
    """
    figure = new_figure(2.7 * len(positions) + (1.6 if kinds is not None else 0.4), 2.9, theme)
    panels = np.atleast_1d(np.asarray(figure.subplots(1, len(positions))))
    said = {}
    for axes, (name, values) in zip(panels, positions.items(), strict=True):
        numbers = np.asarray(values, np.float64)
        counts, edges = np.histogram(numbers, bins)
        _stacked(axes, numbers, edges, kinds, theme)
        said[name] = ", ".join(map(str, counts))
        if rain:
            level = np.minimum(np.maximum.accumulate(counts), np.maximum.accumulate(counts[::-1])[::-1])
            _water(axes, counts, level, edges, theme)
            said[name] = str((level - counts).max())
        for centre in (0, 1):
            axes.axvline(centre, color=INK[theme], linewidth=0.8, linestyle=(0, (2, 3)))
        axes.set(title=name, xlabel="position between the centres", ylim=(0, 1.06 * counts.max()))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        plain_axes(axes, theme)
        axes.title.set(color=INK[theme], size=10)
    panels[0].set_ylabel("images")
    if kinds is not None:
        legend_beside(panels[-1], "", theme)
    if caption is None:
        water = " Hatched: the water that stays when it rains." if rain else ""
        caption = f"{bins} bars; dotted: the two centres.{water}"
    what = "with the depth of the deepest puddle, in images" if rain else "from left to right, in images"
    listed = "; ".join(f"{name}: {each}" for name, each in said.items())
    return Illustration(figure, caption, f"Histograms of {bins} bars, {what}: {listed}.")


def _stacked(
    axes: Axes, numbers: NDArray[np.float64], edges: NDArray[np.float64], kinds: Any, theme: Theme
) -> None:
    labels = np.array([""] * len(numbers) if kinds is None else [str(kind) for kind in kinds])
    colours = [GRAY[theme]] if kinds is None else PALETTE[theme]
    bottom = np.zeros(len(edges) - 1)
    for kind, colour in zip(in_order(list(labels)), colours, strict=False):
        counts = np.histogram(numbers[labels == kind], edges)[0]
        axes.bar(
            edges[:-1],
            counts,
            np.diff(edges),
            bottom=bottom,
            align="edge",
            color=colour,
            edgecolor=GROUND[theme],
            linewidth=0.6,
            label=kind,
        )
        bottom += counts


def _water(
    axes: Axes, counts: NDArray[Any], level: NDArray[Any], edges: NDArray[np.float64], theme: Theme
) -> None:
    axes.bar(
        edges[:-1],
        level - counts,
        np.diff(edges),
        bottom=counts,
        align="edge",
        color="none",
        edgecolor=PALETTE[theme][4],
        hatch="////",
        linewidth=0,
    )


def cumulative_dips(
    positions: Mapping[str, ArrayLike], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Draw the cumulative curve of positions `(n,)`, and the nearest curve that belongs to one hill.

    The largest distance between the two is Hartigan's dip.

    Source: Hartigan and Hartigan, The dip test of unimodality, Annals of Statistics 13 (1985) 70–84.
    """
    figure = new_figure(2.7 * len(positions) + 0.4, 2.9, theme)
    panels = np.atleast_1d(np.asarray(figure.subplots(1, len(positions), sharey=True)))
    dips = {}
    for axes, (name, values) in zip(panels, positions.items(), strict=True):
        x = np.sort(np.asarray(values, np.float64))
        curve, dips[name] = one_hill(x)
        n, steps = len(x), np.arange(len(x) + 1) / len(x)
        axes.step(np.r_[x, x[-1]], steps, where="pre", color=GRAY[theme], linewidth=2, label="the images")
        axes.plot(x, curve, color=PALETTE[theme][1], linewidth=1.3, linestyle="--", label="one hill")
        above, below = steps[1:] - curve, curve - steps[:-1]
        far = np.maximum(above, below)
        places = np.flatnonzero(
            far > far.max() - 1e-6
        )  # as far in several places: in the middle one sees it best
        at = int(places[np.abs(places - n / 2).argmin()])
        end = steps[at + 1] if above[at] >= below[at] else steps[at]
        axes.plot([x[at]] * 2, [curve[at], end], color=PALETTE[theme][0], linewidth=4, label="the dip")
        axes.set_title(f"{name}: {dips[name]:.2f}")
        axes.set_xlabel("position between the centres")
        plain_axes(axes, theme)
        axes.title.set(color=INK[theme], size=10)
    panels[0].set_ylabel("share of images up to there")
    panels[0].legend(frameon=False, fontsize=8.5, labelcolor=INK[theme])
    if caption is None:
        caption = (
            "Gray: the share of images up to each position. Dashed: the nearest curve with one hill. "
            "Thick: the dip, the largest distance between them."
        )
    listed = "; ".join(f"{name}: {each:.2f}" for name, each in dips.items())
    return Illustration(
        figure, caption, f"Cumulative curves beside the nearest one of one hill; dips: {listed}."
    )


def one_hill(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the cumulative curve (n,) of one hill nearest to that of ascending numbers, and its distance.

    Such a curve bends upwards as far as the top of the hill, and downwards from there. For each place of the
    top the nearest one is the solution of a linear programme; all are solved.
    """
    from scipy.optimize import linprog

    n = len(x)
    gaps = np.maximum(np.diff(x), 1e-9 * (x[-1] - x[0]))
    slopes = (np.eye(n - 1, n, 1) - np.eye(n - 1, n)) / gaps[:, None]
    bends = np.diff(slopes, axis=0)  # (n − 2, n): at least 0 where the curve bends up
    far, rising = np.ones((n, 1)), np.zeros((n - 1, 1))
    steps = np.arange(n + 1) / n
    best, curve = np.inf, steps[1:]
    for top in range(0, n - 1):
        signs = np.where(np.arange(n - 2) < top, -1.0, 1.0)[:, None]
        rows = np.block([[np.eye(n), -far], [-np.eye(n), -far], [signs * bends, np.zeros((n - 2, 1))]])
        rows = np.vstack([rows, np.hstack([-slopes, rising])])
        most = np.concatenate([steps[:-1], -steps[1:], np.zeros(2 * n - 3)])
        solved = linprog(np.r_[np.zeros(n), 1.0], rows, most, bounds=[(0, 1)] * (n + 1))
        if solved.success and solved.fun < best - 1e-12:
            best, curve = solved.fun, solved.x[:-1]
    return curve, float(best)
