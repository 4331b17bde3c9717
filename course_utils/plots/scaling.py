"""What many images take: a start and a price for each, the slowest stage, a bill, shards (lesson 11)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

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

_HATCHES = ("", "//", "..", "xx")


def run_times(
    programs: Mapping[str, tuple[float, float]],
    measured: Mapping[str, Sequence[tuple[float, float]]],
    most: float,
    *,
    caption: str,
    theme: Theme = "light",
) -> Illustration:
    """Draw how long programs take over the number of images, on logarithmic axes, from one image on.

    Args:
        programs: for each, the seconds of its start and those of each image; at most eight.
        measured: for each, pairs of images and seconds, marked on its line.
        most: images at the right end.
        caption: what to look for.
        theme: light or dark background.
    """
    figure = new_figure(7.2, 3.6, theme)
    axes = figure.subplots()
    counts = np.geomspace(1, most, 200)
    for place, (name, (start, an_image)) in enumerate(programs.items()):
        colour, dashes = PALETTE[theme][place], ("-", "--", ":", "-.")[place % 4]
        axes.plot(counts, start + an_image * counts, color=colour, linestyle=dashes, linewidth=1.8)
        points = np.array(measured.get(name, []), float).reshape(-1, 2)
        marker = MARKERS[place]
        axes.plot(*points.T, color=colour, marker=marker, markersize=8, linestyle="none")
        axes.plot([], [], color=colour, linestyle=dashes, marker=marker, label=name)
    axes.set(xscale="log", yscale="log", xlim=(1, 1.6 * most))
    axes.set(xlabel="images", ylabel="the whole run (seconds)")
    plain_axes(axes, theme)
    legend_beside(axes, "program", theme)
    each = "; ".join(
        f"{name} takes {start:.3g} s to start and {an_image:.3g} s an image"
        for name, (start, an_image) in programs.items()
    )
    return Illustration(figure, caption, f"Lines of seconds over images, on logarithmic axes. {each}.")


def slowest_stages(
    rates: Mapping[str, Mapping[str, float]], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Draw what each stage of a run would allow, a group of bars for each case; the slowest is marked.

    Args:
        rates: for each case, images a second by stage; at most eight stages in all.
        caption: what to look for; None: says what bars and marks are.
        theme: light or dark background.
    """
    stages = list(dict.fromkeys(stage for case in rates.values() for stage in case))
    figure = new_figure(7.4, 0.26 * sum(len(case) + 1 for case in rates.values()) + 1.1, theme)
    axes = figure.subplots()
    place, middles = 0.0, []
    for case in rates.values():
        slowest = min(case, key=lambda stage: case[stage])
        for row, (stage, rate) in enumerate(case.items()):
            look = stages.index(stage)
            words = _rounded(rate) + ("  ◀ decides" if stage == slowest else "")
            axes.barh(
                place + row,
                rate,
                height=0.86,
                color=PALETTE[theme][look],
                hatch=_HATCHES[look % 4],
                edgecolor=GROUND[theme],
            )
            _beside(axes, rate, place + row, words, theme)
        middles.append(place + (len(case) - 1) / 2)
        place += len(case) + 0.8
    for look, stage in enumerate(stages):
        style: dict[str, Any] = {
            "color": PALETTE[theme][look],
            "hatch": _HATCHES[look % 4],
            "edgecolor": GROUND[theme],
        }
        axes.barh([0], [0], label=stage, **style)
    axes.set_yticks(middles, list(rates))
    axes.invert_yaxis()
    every = [rate for case in rates.values() for rate in case.values()]
    axes.set(xscale="log", xlim=(min(every) / 2, max(every) * 5))
    axes.set_xlabel("images a second that a stage would allow by itself")
    plain_axes(axes, theme)
    legend_beside(axes, "stages", theme)
    if caption is None:
        caption = (
            "Each image passes all stages of its group. The shortest bar decides, however long the others."
        )
    each = "; ".join(
        f"{name}: " + ", ".join(f"{stage} {_rounded(rate)}" for stage, rate in case.items())
        for name, case in rates.items()
    )
    return Illustration(figure, caption, f"Bars of images a second, on a logarithmic axis. {each}.")


def bill(
    core_hours: Mapping[str, float],
    terabytes: Mapping[str, float],
    *,
    core_hour: float,
    TB_moved: float,
    TB_month: float,
    months: int,
    theme: Theme = "light",
) -> Illustration:
    """Draw what archives cost as bars of three parts: computing, moving, keeping.

    Args:
        core_hours: what each archive takes to compute; the first is on top.
        terabytes: how large each is.
        core_hour: dollars for a core-hour.
        TB_moved: dollars for a terabyte that is moved once.
        TB_month: dollars for keeping a terabyte for a month.
        months: how long all is kept.
        theme: light or dark background.
    """
    parts = {
        "computing": [hours * core_hour for hours in core_hours.values()],
        "moving": [terabytes[name] * TB_moved for name in core_hours],
        "keeping": [terabytes[name] * TB_month * months for name in core_hours],
    }
    figure = new_figure(7.4, 0.55 * len(core_hours) + 1.0, theme)
    axes = figure.subplots()
    left = np.zeros(len(core_hours))
    for (part, dollars), colour, hatch in zip(parts.items(), PALETTE[theme], _HATCHES, strict=False):
        style: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": GROUND[theme]}
        axes.barh(range(len(left)), dollars, left=left, height=0.7, label=part, **style)
        left += dollars
    for place, whole in enumerate(left):
        words = f"{whole:,.0f}, of which computing {parts['computing'][place]:,.2f}"
        _beside(axes, whole, place, words, theme)
    axes.set_yticks(range(len(left)), list(core_hours))
    axes.invert_yaxis()
    axes.set(xlabel="dollars for a million images", xlim=(0, 1.7 * max(left.max(), 1e-9)))
    plain_axes(axes, theme)
    legend_beside(axes, "paid for", theme)
    caption = (
        f"{core_hour:.2f} dollars a core-hour, {TB_moved:.0f} to move a terabyte, {TB_month:.0f} to keep it "
        f"for a month; {months} months. These prices are an input, and of no provider."
    )
    each = "; ".join(
        f"{name}: " + ", ".join(f"{part} {dollars[i]:,.0f}" for part, dollars in parts.items())
        for i, name in enumerate(core_hours)
    )
    return Illustration(figure, caption, f"Stacked bars of dollars for a million images. {each}.")


def shard_overheads(
    cases: Mapping[str, tuple[Callable[[float], float], float]],
    most: float,
    *,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw what shards cost beyond the bare work, over their size; on each curve one size is marked.

    Args:
        cases: for each, a function from images in a shard to the share that is wasted, and a size to mark.
        most: images at the right end.
        caption: what to look for; None: says what curves and marks are.
        theme: light or dark background.
    """
    figure = new_figure(7.2, 3.6, theme)
    axes = figure.subplots()
    sizes = np.geomspace(1, most, 300)
    for place, (name, (wasted, marked)) in enumerate(cases.items()):
        colour, marker = PALETTE[theme][place], MARKERS[place]
        dashes = ("-", "--", ":", "-.")[place % 4]
        axes.plot(sizes, [wasted(size) for size in sizes], color=colour, linestyle=dashes, linewidth=1.8)
        axes.plot([marked], [wasted(marked)], color=colour, marker=marker, markersize=10)
        axes.plot([], [], color=colour, linestyle=dashes, marker=marker, label=f"{name}: {marked:,.0f}")
    ticks = [0.0001, 0.001, 0.01, 0.1, 1]
    axes.set(xscale="log", yscale="log", xlim=(1, most), ylim=(0.0001, 3))
    axes.set_yticks(ticks, ["0.01%", "0.1%", "1%", "10%", "100%"])
    axes.axvline(100, color=GRAY[theme], linestyle=(0, (1, 2)))
    axes.text(108, 0.00012, "the course's 100", color=INK[theme], fontsize=8.5)
    axes.set(xlabel="images in a shard", ylabel="spent on starting and on losing")
    plain_axes(axes, theme)
    legend_beside(axes, "interrupted, best size", theme)
    if caption is None:
        caption = (
            "On the left starts are what is paid for, on the right work that is lost. In between there is a "
            "wide valley; marked, the size worked out."
        )
    each = "; ".join(f"{name}, best at {marked:,.0f}" for name, (_, marked) in cases.items())
    return Illustration(
        figure, caption, f"Curves like valleys, of the share wasted over the size of a shard: {each}."
    )


def _rounded(rate: float) -> str:
    """Return a rate in digits that mean something, and never as a power of ten."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _beside(axes: Axes, length: float, place: float, words: str, theme: Theme) -> None:
    """Write words to the right of a lying bar."""
    axes.annotate(
        words,
        (length, place),
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK[theme],
    )
