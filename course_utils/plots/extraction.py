"""Files on their way to vectors: batches, threads and what a setting costs (lesson 05)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from course_utils.plots.illustration import (
    GRAY,
    GROUND,
    INK,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    new_figure,
    pixels_of,
    plain_axes,
)


def batch_in_order(
    pictures: Sequence[Picture],
    vectors: ArrayLike,
    batch_size: int,
    batch: int = 1,
    *,
    theme: Theme = "light",
) -> Illustration:
    """Show one batch among the files in order, and the table of vectors as it is after that batch.

    Args:
        pictures: N pictures, in the order of the files.
        vectors: `(N, D)`, one row per picture.
        batch_size: pictures per batch; the last batch holds what is left.
        batch: which one, from 1; clipped to the last.
        theme: light or dark background.
    """
    values = np.asarray(vectors)
    count = len(pictures)
    batches = -(-count // batch_size)
    number = min(batch, batches)
    start, stop = (number - 1) * batch_size, min(number * batch_size, count)
    outline = PALETTE[theme][1]
    figure = new_figure(9, 3.8, theme)
    files, filled = figure.subfigures(1, 2, width_ratios=(3, 2), squeeze=False)[0]
    columns = 6
    grid = files.subplots(-(-count // columns), columns, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for index, axes in enumerate(grid.flat[:count]):
        axes.imshow(pixels_of(pictures[index])[::4, ::4], cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=outline if start <= index < stop else GROUND[theme], linewidth=3)
    axes = filled.subplots()
    so_far = np.where(np.arange(count)[:, None] < stop, values, np.nan)
    highest = float(np.quantile(values, 0.98))
    axes.imshow(so_far, cmap="cividis", aspect="auto", interpolation="nearest", vmin=0, vmax=highest)
    axes.axhspan(start - 0.5, stop - 0.5, fill=False, edgecolor=outline, linewidth=3)
    axes.set(xlabel="feature (number in the vector)", ylabel="row = file, in order")
    plain_axes(axes, theme)
    figure.suptitle(
        f"batch {number} of {batches}: {stop - start} picture{'s' if stop - start > 1 else ''}, "
        f"rows {start} to {stop - 1}",
        color=INK[theme],
    )
    return Illustration(
        figure,
        "Outlined: the batch. On the right the table of vectors so far; rows of later batches are empty.",
        f"On the left {count} mammograms, {stop - start} of them outlined; on the right the table of "
        f"their vectors, filled down to row {stop - 1}.",
    )


def batch_rates(
    batch_sizes: Sequence[int],
    rates: ArrayLike,
    *,
    caption: str | None = None,
    theme: Theme = "light",
) -> Illustration:
    """Draw pictures a second over the batch size, from zero.

    Args:
        batch_sizes: in rising order, each twice the one before.
        rates: pictures per second, one for each.
        caption: what to look for; None: says what was measured.
        theme: light or dark background.
    """
    values = np.asarray(rates, float)
    figure = new_figure(6.4, 3.0, theme)
    axes = figure.subplots()
    axes.plot(batch_sizes, values, "o-", color=PALETTE[theme][0])
    for size, rate in zip(batch_sizes, values, strict=True):
        offset = (0, -14)
        axes.annotate(
            f"{rate:.0f}", (size, rate), offset, textcoords="offset points", ha="center", color=INK[theme]
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(batch_sizes, [str(size) for size in batch_sizes])
    axes.set(xlabel="batch size (pictures)", ylabel="pictures a second", ylim=(0, 1.1 * values.max()))
    axes.minorticks_off()
    plain_axes(axes, theme)
    if caption is None:
        caption = "Resizing and network, without reading files. Your machine has a curve of its own."
    each = ", ".join(
        f"{rate:.0f} in batches of {size}" for size, rate in zip(batch_sizes, values, strict=True)
    )
    return Illustration(figure, caption, f"Line of pictures a second: {each}.")


def shares_moved(
    shares: Mapping[str, float], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Draw how far vectors moved, on a logarithmic axis; what did not move at all stands at its left end.

    Args:
        shares: by what was changed: the largest difference as a share of the largest number, 0 to 1.
        caption: what to look for; None: says what a mark is.
        theme: light or dark background.
    """
    figure = new_figure(8.2, 0.4 * len(shares) + 1.1, theme)
    axes = figure.subplots()
    none = 1e-9
    for place, share in enumerate(shares.values()):
        colour, marker = PALETTE[theme][share > 1e-3], "os"[share > 1e-3]
        where = max(share, none)
        axes.plot([none, where], [place, place], color=GRAY[theme], linewidth=0.8, zorder=1)
        face = colour if share else GROUND[theme]
        axes.plot([where], [place], marker, color=colour, markerfacecolor=face, markersize=8)
        words = f"{share:.0%}" if share > 1e-3 else f"{share:.0e}" if share else "not one bit"
        axes.annotate(
            words,
            (where, place),
            (9, 0),
            textcoords="offset points",
            va="center",
            color=INK[theme],
            fontsize=9,
        )
    axes.set(xscale="log", xlim=(none / 2, 20))
    axes.set_xticks(
        [none, 1e-7, 1e-5, 1e-3, 1e-1], ["0", "one in\n10 million", "one in\n100 000", "0.1%", "10%"]
    )
    axes.minorticks_off()
    axes.set_yticks(range(len(shares)), list(shares))
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.set_xlabel("how far vectors moved, as a share of their largest number")
    plain_axes(axes, theme)
    if caption is None:
        caption = "Each step of the axis is a factor of a hundred. Squares: moved by more than 0.1%."
    each = "; ".join(
        f"{name}, {share:.1g}" if share else f"{name}, not at all" for name, share in shares.items()
    )
    return Illustration(figure, caption, f"Marks on a logarithmic axis, how far vectors moved: {each}.")


class Span(NamedTuple):
    """One piece of work: its thread, kind and name, when it began and when it ended (seconds)."""

    thread: str
    work: str
    label: str
    begin: float
    end: float


def timeline(
    runs: Mapping[str, Sequence[Span]], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show which thread worked on what and when: a panel per run, a line per thread, a bar per piece of work.

    The clock of each run starts at its first piece; all panels have the same scale. Each kind of
    work, at most four, has a colour and a hatch. Where a bar is wide enough, it holds its label.
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
    figure = new_figure(8.6, 0.42 * sum(heights) + 0.5 * len(runs) + 0.7, theme)
    panels = figure.subplots(len(runs), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, spans) in zip(panels, runs.items(), strict=True):
        start = min(span.begin for span in spans)
        for span in spans:
            colour, hatch = styles[span.work]
            row, wide = lanes[name].index(span.thread), span.end - span.begin
            bar = {"color": colour, "edgecolor": GROUND[theme], "hatch": hatch, "linewidth": 1.0}
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
        axes.set_title(f"{name}: {length[name]:.2f} s", loc="left", fontsize=9.5, color=INK[theme])
        plain_axes(axes, theme)
    panels[-1].set_xlabel("time (seconds)")
    figure.legend(
        handles=[
            Patch(facecolor=colour, hatch=hatch, edgecolor=GROUND[theme], label=work)
            for work, (colour, hatch) in styles.items()
        ],
        loc="outside upper right",
        ncols=len(styles),
        frameon=False,
        fontsize=9,
        labelcolor=INK[theme],
    )
    if caption is None:
        caption = "A line is a thread, a bar a piece of work with its number. White is waiting."
    of = "; ".join(f"{name}, {len(each)} thread{'s'[: len(each) - 1]}" for name, each in lanes.items())
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
    """Show the images per second of the settings tried so far: one panel per archive, one square per setting.

    Args:
        tried: for each archive, the rate of each pair (batch size, workers) that was tried.
        batch_sizes: the columns.
        workers: the rows.
        last: archive, batch size and workers of the square to outline.
        title: one line above everything.
        caption: what to look for; None: says what a square is.
        theme: light or dark background.
    """
    figure = new_figure(8.2, 0.55 * len(workers) + 1.7, theme)
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
        axes.set_title(archive, fontsize=10, color=INK[theme])
        plain_axes(axes, theme)
    figure.suptitle(title, fontsize=9.5, color=INK[theme])
    if caption is None:
        caption = "Images a second of each setting tried so far; outlined, the last one; ? was not tried yet."
    names = " and ".join(tried)
    return Illustration(
        figure,
        caption,
        f"Squares of batch size by number of workers, one field for {names}, each with the images a second "
        "that were measured.",
    )
