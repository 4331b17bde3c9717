"""Draw which lesson needs which, for `docs/instructors/concepts.md`; called by `make instructors`.

Lessons stand in columns, each to the right of all that it needs. The picture is an SVG whose text is text, so
it can be searched, and drawing it twice changes no byte.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Path2D

Needs = Mapping[str, Sequence[str]]
BOX, GAP = (2.15, 1.3), (2.6, 1.6)
"""A box's width and height, and the distances between the middles of two boxes, in inches."""


def columns(needs: Needs) -> dict[str, int]:
    """Return for each lesson the length of the longest way to it; ValueError if lessons need one another."""
    found: dict[str, int] = {}
    while len(found) < len(needs):
        ready = [n for n in needs if n not in found and all(need in found for need in needs[n])]
        if not ready:
            raise ValueError(
                f"lessons that need one another: {', '.join(n for n in needs if n not in found)}"
            )
        for lesson in ready:
            found[lesson] = 1 + max((found[need] for need in needs[lesson]), default=-1)
    return found


def direct(needs: Needs) -> dict[str, set[str]]:
    """Return the needs without those that another need brings along: fewer arrows say the same."""

    def all_before(lesson: str) -> set[str]:
        return {one for need in needs[lesson] for one in {need, *all_before(need)}}

    return {
        lesson: {need for need in own if not any(need in all_before(other) for other in own)}
        for lesson, own in needs.items()
    }


def places(needs: Needs) -> dict[str, tuple[float, float]]:
    """Return where the middle of each lesson's box lies: its column, and a row of its own in it."""
    column = columns(needs)
    found = {}
    for number in set(column.values()):
        here = [lesson for lesson in needs if column[lesson] == number]
        for row, lesson in enumerate(here):
            found[lesson] = (number * GAP[0], ((len(here) - 1) / 2 - row) * GAP[1])
    return found


def draw(needs: Needs, boxes: Mapping[str, tuple[str, Sequence[str]]], path: Path) -> None:
    """Write the map as SVG; `boxes` has for each lesson its name and the words that it brings."""
    where = places(needs)
    xs, ys = zip(*where.values(), strict=True)
    left, right, low, high = min(xs) - 1.15, max(xs) + 1.15, min(ys) - 0.75, max(ys) + 0.75
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "concept map"}):
        figure = Figure(figsize=(right - left, high - low))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(low, high))
        axes.set_axis_off()
        for lesson, own in direct(needs).items():
            for need in sorted(own):
                _arrow(axes, where[need], where[lesson])
        for lesson, middle in where.items():
            _box(axes, middle, *boxes[lesson])
        figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Title": "Concept map"})
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(line.rstrip() + "\n" for line in lines), encoding="utf-8", newline="\n")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow; one that passes a column goes through the lane between two rows of boxes."""
    tail, head = (start[0] + BOX[0] / 2, start[1]), (end[0] - BOX[0] / 2, end[1])
    points = [tail, head]
    if end[0] - start[0] > 1.5 * GAP[0]:
        lane, bend = (start[1] + end[1]) / 2, GAP[0] - BOX[0]
        points[1:1] = [(tail[0] + bend, lane), (head[0] - bend, lane)]
    arrow = FancyArrowPatch(path=Path2D(points), arrowstyle="-|>", mutation_scale=12, color="#444444")
    axes.add_patch(arrow)


def _box(axes: Axes, middle: tuple[float, float], name: str, words: Sequence[str]) -> None:
    corner = middle[0] - BOX[0] / 2, middle[1] - BOX[1] / 2
    shape = "round,pad=0,rounding_size=0.1"
    axes.add_patch(FancyBboxPatch(corner, *BOX, boxstyle=shape, facecolor="#eef3f8", edgecolor="#30506f"))
    x, top = middle[0], middle[1] + BOX[1] / 2
    heading, below = textwrap.wrap(name, 20), textwrap.wrap(", ".join(words), 25)
    for n, line in enumerate(heading):
        axes.text(x, top - 0.26 - 0.21 * n, line, ha="center", fontsize=11.5, weight="bold", color="#111111")
    for n, line in enumerate(below):
        y = top - 0.34 - 0.21 * len(heading) - 0.19 * n
        axes.text(x, y, line, ha="center", fontsize=10, color="#333333")
