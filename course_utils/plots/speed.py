"""Where the time goes, and how fast a machine could be at best (lesson 06)."""

import cProfile
import pstats
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

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


def flame_graph(
    profile: cProfile.Profile,
    *,
    leaves: Sequence[str] = (),
    least: float = 0.015,
    levels: int = 6,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw where a profiled call spent its time: one bar per function, with what it called below.

    The time of a function called from several places is divided among them as the profile says, one level
    deep; below that, in proportion. Only function names are shown.

    Args:
        profile: of one call, as `profile.runcall(function)` makes it.
        leaves: names of functions whose insides are not shown.
        least: share of the whole below which a function is not drawn.
        levels: the most to draw, the call itself being the first.
        caption: what to look for; None: says what bars and colours are.
        theme: light or dark background.

    Source: B. Gregg, The Flame Graph, Communications of the ACM 59 (6), 48–57, 2016.
    """
    bars = [bar for bar in flames(profile, leaves, least) if bar.depth < levels]
    whole = bars[0].milliseconds
    deepest = max(bar.depth for bar in bars)
    first = [bar.name for bar in bars if bar.depth == 1]
    figure = new_figure(8.2, 0.36 * (deepest + 1) + 0.7, theme)
    axes = figure.subplots()
    for bar in bars:
        colour = PALETTE[theme][first.index(bar.stage) % 8] if bar.stage else GRAY[theme]
        axes.barh(
            bar.depth,
            bar.milliseconds,
            left=bar.start,
            height=1,
            color=colour,
            edgecolor=GROUND[theme],
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
                color=INK[theme],
            )
    axes.set(
        xlim=(0, whole), ylim=(deepest + 0.5, -0.5), yticks=[], xlabel="time (ms)", ylabel="calls, downwards"
    )
    plain_axes(axes, theme)
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
    cache: float | None = None,
    before: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]] | None = None,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw what a machine can attain over arithmetic intensity, and what each layer attained.

    Of the layers that wait for arithmetic, the one farthest below its roof is marked, with how far.

    Args:
        layers: for each kind of layer, three arrays `(n,)`: FLOP, bytes moved, and seconds.
        peaks: the most FLOP per second measured, by name (a precision, say), the first one solid.
        bandwidth: bytes per second to and from memory.
        cache: bytes per second to and from the processor's cache, a second slope.
        before: layers as they were before something was changed, hollow.
        caption: what to look for; None: says what lines and points are.
        theme: light or dark background.

    Source: Williams, Waterman, Patterson, Communications of the ACM 52 (4), 65–76, 2009.
    """
    figure = new_figure(7.2, 4.0, theme)
    axes = figure.subplots()
    points = {kind: [np.asarray(part, float) for part in parts] for kind, parts in layers.items()}
    earlier = {kind: [np.asarray(part, float) for part in parts] for kind, parts in (before or {}).items()}
    intensity = np.concatenate([flop / moved for flop, moved, _ in points.values()])
    x = np.geomspace(min(intensity.min(), 0.2) / 2, intensity.max() * 3, 200)
    for (name, peak), dashes in zip(peaks.items(), ("-", "--", ":"), strict=False):
        roof = np.minimum(peak, bandwidth * x)
        axes.plot(
            x,
            roof / 1e9,
            linestyle=dashes,
            color=INK[theme],
            linewidth=1.6,
            label=f"{name}: {peak / 1e9:.0f} GFLOP/s,\nmemory {bandwidth / 1e9:.0f} GB/s",
        )
    if cache is not None:
        slope = x[cache * x < max(peaks.values())]
        axes.plot(
            slope,
            cache * slope / 1e9,
            linestyle=(0, (1, 1.5)),
            color=INK[theme],
            linewidth=1.6,
            label=f"cache: {cache / 1e9:.0f} GB/s",
        )
    looks = zip(PALETTE[theme], MARKERS, strict=False)
    styles = dict(zip(dict.fromkeys([*earlier, *points]), looks, strict=False))
    for kind, (flop, moved, seconds) in earlier.items():
        colour, marker = styles[kind]
        axes.scatter(
            flop / moved,
            flop / seconds / 1e9,
            s=22,
            marker=marker,
            facecolors="none",
            edgecolors=colour,
            alpha=0.6,
        )
    for kind, (flop, moved, seconds) in points.items():
        colour, marker = styles[kind]
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
    if earlier:
        axes.scatter(
            [], [], s=22, marker="o", facecolors="none", edgecolors=INK[theme], label="hollow: before"
        )
    axes.set(xscale="log", yscale="log", xlim=(x[0], x[-1]))
    lowest = _lowest(points, next(iter(peaks.values())), bandwidth)
    if lowest is not None:
        where, rate, times = lowest
        axes.annotate(
            f"{times:.0f} times below its roof",
            (where, rate / 1e9),
            (0, -26),
            textcoords="offset points",
            ha="center",
            arrowprops={"arrowstyle": "-", "color": GRAY[theme]},
            fontsize=8.5,
            color=INK[theme],
            bbox={"facecolor": GROUND[theme], "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
    axes.set(xlabel="arithmetic intensity (FLOP a byte)", ylabel="attained (GFLOP a second)")
    plain_axes(axes, theme)
    legend_beside(axes, "limits and layers", theme)
    if caption is None:
        caption = (
            "Lines: the most that this machine was seen to do. Under the slope memory is the limit, under "
            "the flat part arithmetic. A point is a layer; how far below its roof it lies can be gained."
        )
    kinds = ", ".join(f"{len(parts[0])} {kind}" for kind, parts in points.items())
    below = "" if lowest is None else f" The lowest that waits for arithmetic is {lowest[2]:.0f} times below."
    second = "" if cache is None else " A second, steeper slope is that of the cache."
    alt = f"Roofline on logarithmic axes, a slope that turns flat, with points: {kinds}.{second}{below}"
    return Illustration(figure, caption, alt)


def _lowest(
    points: Mapping[str, Sequence[np.ndarray]], peak: float, bandwidth: float
) -> tuple[float, float, float] | None:
    """Return intensity, rate and how many times below the peak, of the slowest layer right of the ridge."""
    found = [
        (f / b, f / s, peak * s / f)
        for flop, moved, seconds in points.values()
        for f, b, s in zip(flop, moved, seconds, strict=True)
        if f / b > peak / bandwidth
    ]
    return max(found, key=lambda each: each[2], default=None)


def ladder(
    rates: Mapping[str, float],
    limits: Mapping[str, float],
    *,
    unit: str = "images a second",
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw the rate after each step, first step on top, beside the measured limits.

    Args:
        rates: images per second, by step; at most a dozen.
        limits: images per second that the machine cannot exceed, by name; at most three.
        unit: what a rate is.
        caption: what to look for; None: says what bars and lines are.
        theme: light or dark background.
    """
    figure = new_figure(7.2, 0.4 * len(rates) + 1.3, theme)
    axes = figure.subplots()
    places = range(len(rates))
    axes.barh(places, list(rates.values()), height=0.62, color=PALETTE[theme][0])
    for place, rate in zip(places, rates.values(), strict=True):
        ground = {"facecolor": GROUND[theme], "edgecolor": "none", "pad": 0.5}  # a line may cross it
        _beside_bar(axes, place, rate, f"{rate:.3g}", theme, bbox=ground)
    for (name, limit), dashes, colour in zip(
        limits.items(), ("-", "--", ":"), PALETTE[theme][1:], strict=False
    ):
        axes.axvline(limit, linestyle=dashes, color=colour, linewidth=1.8, label=f"{name}: {limit:.3g}")
    axes.set_yticks(places, list(rates))
    axes.set(xlabel=unit, xlim=(0, 1.08 * max(*rates.values(), *limits.values())))
    axes.invert_yaxis()
    plain_axes(axes, theme)
    if limits:
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.4, 1.0),
            ncols=3,
            frameon=False,
            fontsize=8.5,
            labelcolor=INK[theme],
        )
    if caption is None:
        caption = "Each bar is one step further. Lines: what this machine cannot pass."
    steps = ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
    return Illustration(figure, caption, f"Bars of {unit}: {steps}.")


def _beside_bar(axes: Axes, place: float, length: float, words: str, theme: Theme, **how: Any) -> None:
    """Write words to the right of a lying bar; `how` is for `annotate`."""
    axes.annotate(
        words,
        (length, place),
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK[theme],
        **how,
    )


def parts_of_an_image(
    parts: Mapping[str, Sequence[float]],
    names: Sequence[str],
    *,
    caption: str,
    theme: Theme = "light",
) -> Illustration:
    """Draw what an image costs, part after part, as one bar for each way to store it.

    Args:
        parts: milliseconds of each part, one for each name.
        names: the bars, first on top.
        caption: what to look for.
        theme: light or dark background.
    """
    figure = new_figure(7.2, 0.5 * len(names) + 1.0, theme)
    axes = figure.subplots()
    left = np.zeros(len(names))
    for (part, widths), colour, hatch in zip(
        parts.items(), PALETTE[theme], ("", "//", "..", "xx"), strict=False
    ):
        bar: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": GROUND[theme]}
        axes.barh(range(len(names)), list(widths), left=left, height=0.72, label=part, **bar)
        left += widths
    for place, whole in enumerate(left):
        _beside_bar(axes, place, whole, f"{whole:.0f} ms", theme)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds an image, one after the other", xlim=(0, 1.12 * left.max()))
    plain_axes(axes, theme)
    legend_beside(axes, "parts", theme)
    each = "; ".join(
        f"{name}: " + ", ".join(f"{part} {widths[i]:.0f}" for part, widths in parts.items())
        for i, name in enumerate(names)
    )
    return Illustration(figure, caption, f"Stacked bars of milliseconds an image. {each}.")


def reading_threads(
    read_ms: float,
    network_ms: float,
    *,
    cores: int,
    threads: int,
    card: bool = False,
    theme: Theme = "light",
) -> Illustration:
    """Draw the images per second that reading threads can deliver, worked out from what each part costs.

    With n threads on at most as many cores, reading takes `read_ms / n`. In turn with the network, the two
    add up, which is Amdahl's law. In parallel, the slower one decides, unless both need the same cores:
    `cores` of them cannot do better than `read_ms + cores * network_ms` of work per image.

    Args:
        read_ms: what one image costs one core, from file to picture.
        network_ms: what one image costs the network, on all cores or on the card.
        cores: how many there are.
        threads: how many read; marked in the figure.
        card: whether the network runs on its own card, leaving the cores to the readers.
        theme: light or dark background.

    Source: G. M. Amdahl, AFIPS Spring Joint Computer Conference 1967, 483–485.
    """
    counts = np.arange(1, max(16, threads) + 1)
    reading = read_ms / np.minimum(counts, cores)
    allowed = 1000 / (read_ms / cores + (0 if card else network_ms))
    in_turn = 1000 / (reading + network_ms)
    together = np.minimum(1000 / np.maximum(reading, network_ms), allowed)
    figure = new_figure(7.2, 3.4, theme)
    axes = figure.subplots()
    for name, rate, colour, marker in (
        ("at the same time", together, PALETTE[theme][1], "D"),
        ("in turn", in_turn, PALETTE[theme][0], "o"),
    ):
        axes.plot(counts, rate, color=colour, marker=marker, markersize=4, label=name)
        chosen = rate[threads - 1]
        axes.plot([threads], [chosen], color=colour, marker=marker, markersize=11)
        axes.text(threads + 0.3, chosen, f"{chosen:.3g}", va="bottom", fontsize=9.5, color=INK[theme])
    axes.axhline(
        1000 / network_ms, color=GRAY[theme], linestyle="--", label=f"network alone: {1000 / network_ms:.3g}"
    )
    axes.axhline(allowed, color=GRAY[theme], linestyle=":", label=f"the cores allow: {allowed:.3g}")
    axes.set(xlabel="threads that read", ylabel="images a second, at most", ylim=(0, None), xticks=counts)
    plain_axes(axes, theme)
    legend_beside(axes, "network and reading", theme)
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


@dataclass(frozen=True)
class Flame:
    """One bar of a flame graph; `stage` is the bar at depth 1 above it, or itself."""

    name: str
    depth: int
    start: float
    milliseconds: float
    stage: str | None


def flames(profile: cProfile.Profile, leaves: Sequence[str], least: float) -> Iterator[Flame]:
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
        yield Flame(name, depth, start * 1000, total * 1000, stage)
        if name in leaves:
            return
        share = total / table[key][3] if table[key][3] else 0.0
        for called, spent in sorted(calls.get(key, {}).items(), key=lambda each: -each[1]):
            if spent * share >= least * table[root][3] and called not in above:
                yield from below(called, depth + 1, start, spent * share, stage, above | {called})
                start += spent * share

    yield from below(root, 0, 0.0, table[root][3], None, {root})


def _short(name: str) -> str:
    """`<method 'read' of '_io.BufferedReader' objects>` is called `read`."""
    method = re.match(r"<method '(\w+)'", name) or re.match(r"<built-in method (?:.*\.)?(\w+)>", name)
    return method[1] if method else name.strip("<>")
