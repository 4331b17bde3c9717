"""What readers look for on a mammogram, painted into a synthetic one and outlined (lesson 00).

Nobody's findings: a breast without any goes in, four pictures with one each come out. They show what the
words mean, in their plainest form, and are no training for the eye.
"""

from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from course_utils.plots.illustration import FAINT, INK, PALETTE, Illustration, Theme, new_figure

Pixels = NDArray[np.float32]
Place = tuple[float, float]
"""Row and column, in pixels."""


class Finding(NamedTuple):
    """What is seen, the picture, and the ellipse around the finding: its place and its radii."""

    name: str
    pixels: Pixels
    place: Place
    radii: tuple[float, float]


def what_readers_look_for(breast: Pixels, *, theme: Theme = "light") -> Illustration:
    """Paint a mass, calcifications, a distortion and an asymmetry into a breast; outline each.

    Args:
        breast: float (H, W) in [0, 1], a left breast without findings, its chest wall on the left edge; the
            places are chosen for one that fills most of the height.
        theme: light or dark background.
    """
    height, width = breast.shape
    mm = height / 240  # pixels in a millimetre of the field: a Phantom's
    rng = np.random.default_rng(8)
    middle = (0.50 * height, 0.20 * width)
    lower = (0.60 * height, 0.19 * width)
    side = round(70 * mm)

    def around(place: Place, pixels: Pixels, name: str, radius: float) -> Finding:
        top = int(np.clip(place[0] - side / 2, 0, height - side))
        left = int(np.clip(place[1] - side / 2, 0, width - side))
        shown = pixels[top : top + side, left : left + side]
        return Finding(name, shown, (place[0] - top, place[1] - left), (radius, radius))

    cut = breast[round(0.1 * height) : round(0.9 * height), : round(0.52 * width)]
    lower = (lower[0] - round(0.1 * height), lower[1])
    both = np.hstack([cut[:, ::-1], _asymmetry(cut, lower, mm, rng)])
    pair = Finding("asymmetry", both, (lower[0], lower[1] + cut.shape[1]), (21 * mm, 20 * mm))
    return _outlined(
        [
            around(middle, _mass(breast, middle, 5.5 * mm, rng), "mass", 15 * mm),
            around(middle, _calcifications(breast, middle, mm, rng), "calcifications", 10 * mm),
            around(middle, _distortion(breast, middle, mm, rng), "architectural distortion", 17 * mm),
            pair,
        ],
        theme,
    )


def _outlined(findings: list[Finding], theme: Theme) -> Illustration:
    widths = [each.pixels.shape[1] / each.pixels.shape[0] for each in findings]
    figure = new_figure(6.8, 6.8 / sum(widths) + 0.35, theme)
    panels = figure.subplots(1, len(findings), width_ratios=widths)
    for axes, each in zip(panels, findings, strict=True):
        axes.imshow(each.pixels, cmap="gray", vmin=0, vmax=1)
        row, column = each.place
        axes.add_patch(
            Ellipse(
                (column, row),
                2 * each.radii[1],
                2 * each.radii[0],
                fill=False,
                edgecolor=PALETTE["dark"][5],
                linestyle=(0, (5, 3)),
                linewidth=1.8,
            )
        )
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(FAINT[theme])
        axes.set_title(each.name, fontsize=8.5, color=INK[theme], pad=4)
    caption = "Four things that readers look for, painted by us into one synthetic breast and outlined."
    alt = (
        "A bright lump with spikes; a group of tiny bright specks; strands that run together to a point; "
        "a right and a left breast, and in the left a bright patch that the right one lacks. All outlined."
    )
    return Illustration(figure, caption, alt)


def _polar(shape: tuple[int, ...], place: Place) -> tuple[Pixels, Pixels]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    down, right = rows - place[0], columns - place[1]
    return np.hypot(down, right).astype(np.float32), np.arctan2(down, right).astype(np.float32)


def _wave(angle: Pixels, rng: np.random.Generator, orders: range) -> Pixels:
    """Return a smooth random function of the angle, of about unit size."""
    waves = [np.cos(k * angle + rng.uniform(0, 2 * np.pi)) / np.sqrt(k) for k in orders]
    return (np.sum(waves, axis=0) / np.sqrt(len(orders))).astype(np.float32)


def _inside(depth: Pixels, softness: float) -> Pixels:
    """Return 1 well inside an edge and 0 well outside; `depth` is positive inside, both in pixels."""
    return (1 / (1 + np.exp(-np.clip(depth / softness, -40, 40)))).astype(np.float32)


def _strands(
    shape: tuple[int, ...], place: Place, reach: tuple[float, float], count: int, rng: np.random.Generator
) -> Pixels:
    """Return thin bright lines that run from near the place outwards and fade, in [0, 1]."""
    canvas: Pixels = np.zeros(shape, np.float32)
    for angle in 2 * np.pi * (np.arange(count) + rng.uniform(-0.35, 0.35, count)) / count:
        length, bend = rng.uniform(*reach), rng.uniform(-0.25, 0.25)
        along = np.linspace(0, 1, 40)
        way = angle + bend * along
        line = np.stack([place[1] + along * length * np.cos(way), place[0] + along * length * np.sin(way)], 1)
        for start, end, far in zip(line, line[1:], along, strict=False):
            ink = float((1 - far) * rng.uniform(0.8, 1.0))
            cv2.line(
                canvas, tuple(map(int, start.round())), tuple(map(int, end.round())), ink, 1, cv2.LINE_AA
            )
    return cv2.GaussianBlur(canvas, (0, 0), 0.8).astype(np.float32)


def _mass(pixels: Pixels, place: Place, radius: float, rng: np.random.Generator) -> Pixels:
    distance, angle = _polar(pixels.shape, place)
    edge = radius * (1 + 0.14 * _wave(angle, rng, range(2, 9)))
    lump = _inside(edge - distance, 0.09 * radius)
    spikes = _strands(pixels.shape, place, (1.9 * radius, 3.0 * radius), 24, rng)
    return np.clip(pixels + 0.36 * np.maximum(lump, 1.5 * spikes), 0, 1).astype(np.float32)


def _calcifications(pixels: Pixels, place: Place, mm: float, rng: np.random.Generator) -> Pixels:
    grains = np.zeros_like(pixels)
    for _ in range(17):
        far, way = 5.5 * mm * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        spot, angle = (place[1] + far * np.cos(way), place[0] + far * np.sin(way)), rng.uniform(0, 180)
        size = (rng.uniform(0.25, 0.7) * mm, rng.uniform(0.2, 0.4) * mm)
        cv2.ellipse(grains, (spot, size, angle), float(rng.uniform(0.7, 1.0)), -1, cv2.LINE_AA)
    return np.clip(pixels + 0.6 * cv2.GaussianBlur(grains, (0, 0), 0.5), 0, 1).astype(np.float32)


def _distortion(pixels: Pixels, place: Place, mm: float, rng: np.random.Generator) -> Pixels:
    distance, _ = _polar(pixels.shape, place)
    rows, columns = np.indices(pixels.shape, dtype=np.float32)
    pull = 1 + 1.1 * np.exp(-((distance / (11 * mm)) ** 2))  # what is seen here was farther out
    source = [
        (place[i] + (axis - place[i]) * pull).astype(np.float32) for i, axis in enumerate((rows, columns))
    ]
    drawn = cv2.remap(pixels, source[1], source[0], cv2.INTER_LINEAR)
    lines = _strands(pixels.shape, place, (9 * mm, 17 * mm), 19, rng)
    return np.clip(drawn + 0.24 * lines, 0, 1).astype(np.float32)


def _asymmetry(pixels: Pixels, place: Place, mm: float, rng: np.random.Generator) -> Pixels:
    distance, angle = _polar(pixels.shape, place)
    edge = 13 * mm * (1 + 0.18 * _wave(angle, rng, range(2, 6)))
    patch = _inside(edge - distance, 3 * mm)
    lumps = cv2.GaussianBlur(rng.standard_normal(pixels.shape).astype(np.float32), (0, 0), 2 * mm)
    return np.clip(pixels + 0.24 * patch * (1 + 0.45 * lumps / lumps.std()), 0, 1).astype(np.float32)
