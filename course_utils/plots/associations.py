"""What clusters follow, beside how far chance alone would have got (lessons 08 and 09)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from course_utils.plots.illustration import (
    FAINT,
    GROUND,
    INK,
    PALETTE,
    Illustration,
    Theme,
    new_figure,
    plain_axes,
)
from course_utils.plots.lettering import shortened, write_words

if TYPE_CHECKING:
    from course_utils.analysis.associations import Association

_MARKER = {"categories": "D", "number": "o"}
_NAME = {"categories": "ARI of categories", "number": "η² of a number"}


def associations_beside_chance(
    found: Sequence[Association], *, caption: str | None = None, theme: Theme = "light"
) -> Illustration:
    """Show each association with its interval over women, on a bar that reaches as far as chance does.

    Args:
        found: `Associations.found`, at least one.
        caption: what to say below it.
        theme: `"light"` or `"dark"`.
    """
    if not found:
        raise ValueError("no column could be compared, so there is nothing to show")
    figure = new_figure(7.6, 0.42 * len(found) + 1.3, theme)
    axes = figure.subplots()
    for row, one in enumerate(reversed(found)):
        _draw(axes, row, one, theme)
    axes.set_yticks(range(len(found)), [shortened(one.column) for one in reversed(found)])
    for label, one in zip(axes.get_yticklabels(), reversed(found), strict=True):
        write_words(label, shortened(one.column))
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.use_sticky_edges = False
    axes.margins(x=0.04)
    axes.set_xlabel("agreement with the clusters (ARI or η²; 1 is complete)")
    plain_axes(axes, theme)
    counts = axes.secondary_yaxis("right")
    counts.set_yticks(range(len(found)), [_count(one) for one in reversed(found)])
    counts.tick_params(colors=INK[theme], labelsize=8.5, length=0)
    counts.spines["right"].set_visible(False)
    _explain(axes, found, theme)
    if caption is None:
        caption = (
            "A mark for each column, on a line that is its 95% interval. The gray bar is as far as chance "
            "goes in 95% of the permutations. Filled: more than chance, even with so many columns tried."
        )
    return Illustration(figure, caption, _alt(found))


def _draw(axes: Axes, row: int, one: Association, theme: Theme) -> None:
    """Draw one column: the bar of chance, the interval and the mark."""
    colour = PALETTE[theme][1] if one.is_more_than_chance else INK[theme]
    axes.barh(row, one.null_high - one.null_low, 0.56, one.null_low, color=FAINT[theme], zorder=1)
    if one.low is not None and one.high is not None:
        axes.plot([one.low, one.high], [row, row], color=colour, linewidth=1.6, zorder=2)
    face = colour if one.is_more_than_chance else GROUND[theme]
    axes.scatter(
        [one.statistic],
        [row],
        s=52,
        marker=_MARKER[one.kind],
        c=face,
        edgecolors=colour,
        linewidths=1.4,
        zorder=3,
    )


def _count(one: Association) -> str:
    women = "1 woman" if one.women == 1 else f"{one.women} women"
    of = f"{one.images} images" if one.women is None else women
    return f"{of}, p = {one.p_holm:.3f}"


def _explain(axes: Axes, found: Sequence[Association], theme: Theme) -> None:
    """Put a legend above the axes, of the kinds of columns that are there."""
    handles: list[Artist] = [
        Line2D([], [], marker=_MARKER[kind], color=INK[theme], markersize=7, linewidth=1.6, label=name)
        for kind, name in _NAME.items()
        if any(one.kind == kind for one in found)
    ]
    handles.append(Patch(color=FAINT[theme], label="chance"))
    axes.legend(
        handles=handles,
        frameon=False,
        fontsize=8.5,
        ncols=3,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        labelcolor=INK[theme],
    )


def _alt(found: Sequence[Association]) -> str:
    rows = (
        f"{shortened(one.column)} {one.statistic_name} {one.statistic:.2f}, chance up to {one.null_high:.2f}"
        for one in found[:6]
    )
    columns = "1 column" if len(found) == 1 else f"{len(found)} columns"
    more = f"; and {len(found) - 6} more" if len(found) > 6 else ""
    return f"How far the clusters follow {columns}: {'; '.join(rows)}{more}."
