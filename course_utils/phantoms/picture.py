"""From tissue to a picture: exposure, display, burned-in text, a film's frame (lessons 01 and 02).

In: millimetres of each tissue along every ray, and a vendor's `Style`. Out: detected quanta, then gray values
from 0 to 1, where text and a film's frame may cover what is under them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from course_utils.phantoms.anatomy import Tissues
from course_utils.phantoms.noise import FIELD_MM, Array, blur, splat

Vendor = Literal["alder", "birch", "cedar"]

MU_PER_MM = {"fat": 0.0567, "gland": 0.0883, "skin": 0.0946, "muscle": 0.0975}
"""Tabulated linear attenuation at 19 keV, about the mean energy of a W/Rh tube at 28 kVp."""


@dataclass(frozen=True)
class Style:
    """How a made-up vendor exposes and renders."""

    manufacturer: str
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    quanta: float  # mean number detected behind the breast, per pixel of 0.1 mm
    blur_mm: float
    equalise: float  # share of the missing thickness made up for at the edge
    rim_mm: float  # thickness at which half of that is reached
    sharpen: float
    mean_gray: float  # mean display value of the breast
    gamma: float
    ground: int  # value of the air
    label_mm: float
    label_turn: float  # degrees


STYLES: dict[Vendor, Style] = {
    "alder": Style("Alder (synthetic)", "MONOCHROME2", 8000, 0.08, 0.93, 2.0, 0.15, 0.46, 1.0, 0, 7.0, 0.0),
    "birch": Style("Birch (synthetic)", "MONOCHROME2", 7000, 0.14, 0.86, 3.0, 0.3, 0.50, 1.15, 96, 9.0, 0.0),
    "cedar": Style("Cedar (synthetic)", "MONOCHROME1", 6000, 0.20, 0.80, 5.0, 0.5, 0.42, 0.85, 0, 11.0, 42.0),
}

# Strokes of the letters in a box 0.7 wide and 1 high, y down.
_GLYPHS: dict[str, list[list[tuple[float, float]]]] = {
    "L": [[(0.05, 0), (0.05, 1), (0.6, 1)]],
    "R": [
        [(0.05, 1), (0.05, 0), (0.4, 0), (0.58, 0.1), (0.58, 0.4), (0.4, 0.5), (0.05, 0.5)],
        [(0.3, 0.5), (0.6, 1)],
    ],
    "M": [[(0, 1), (0, 0), (0.32, 0.6), (0.64, 0), (0.64, 1)]],
    "O": [
        [
            (0.2, 0),
            (0.45, 0),
            (0.62, 0.2),
            (0.62, 0.8),
            (0.45, 1),
            (0.2, 1),
            (0.03, 0.8),
            (0.03, 0.2),
            (0.2, 0),
        ]
    ],
    "C": [[(0.6, 0.15), (0.45, 0), (0.2, 0), (0.03, 0.2), (0.03, 0.8), (0.2, 1), (0.45, 1), (0.6, 0.85)]],
}


def label_ink(text: str, style: Style, rng: np.random.Generator, rows: int, left: bool) -> Array:
    """Return (rows, columns), 0 to 1, with the text in the top corner away from the chest wall."""
    height, pixel = style.label_mm, FIELD_MM[0] / rows
    strokes = []
    for i, letter in enumerate(text):
        for stroke in _GLYPHS[letter]:
            for start, end in itertools.pairwise(np.array(stroke, float)):
                points = start + (end - start) * np.linspace(0, 1, 160)[:, None]
                strokes.append((points + np.array([0.95 * (i - len(text) / 2), -0.5])) * height)
    x, y = np.concatenate(strokes).T
    turn = math.radians(style.label_turn if left else -style.label_turn)
    y, x = y * math.cos(turn) + x * math.sin(turn), x * math.cos(turn) - y * math.sin(turn)
    down, inwards = np.array([np.ptp(y), np.ptp(x)]) / 2 + 5 + rng.uniform(0, 8, 2)
    y, x = y + down, x + (FIELD_MM[1] - inwards if left else inwards)
    ink = splat((rows, round(rows * FIELD_MM[1] / FIELD_MM[0])), y / pixel, x / pixel, np.ones_like(x))
    ink = np.minimum(blur(ink, 0.05 * height / pixel) * 0.0018 * (height / pixel) ** 2, 1.0)
    return np.where(ink > 0.01, ink, 0.0)


def film(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
    """Return how far a scanned film's frame covers each pixel, 0 to 1, and its gray; chest wall at the left.

    One to three edges are white strips, a little askew and wavy, some of them ending before the corner. There
    may be a piece of tape in the lower outer corner and a scratch in the dark beside it.
    """
    pixel = FIELD_MM[0] / rows
    y = (np.arange(rows)[:, None] + 0.5) * pixel
    x = (np.arange(columns)[None, :] + 0.5) * pixel
    sides = rng.permutation(4)[: int(rng.integers(1, 4))].tolist()  # top, bottom, chest wall, outer side
    strips = np.zeros((rows, columns))
    for side in sides:
        away = (y, FIELD_MM[0] - y, x, FIELD_MM[1] - x)[side]
        along, length = (x, FIELD_MM[1]) if side < 2 else (y, FIELD_MM[0])
        start, end = (np.array([-0.4, 1.4]) + [0.5, -0.5] * rng.random(2)) * length
        width = float(rng.uniform(0.9, 2.7)) * (0.35 if side == 2 else 1.0)
        askew, wave, phase = rng.uniform(-1, 1, 3).tolist()
        width = width * (
            1 + 0.4 * askew * (2 * along / length - 1) + 0.06 * wave * np.sin(along / 7 + 3 * phase)
        )
        width = width * np.sqrt(np.clip(np.minimum(along - start, end - along) / 3, 0, 1))
        strips = np.maximum(strips, np.clip((width - away) / pixel + 0.5, 0, 1))
    a, b, c, d, e, f = rng.random(6).tolist()
    tape = np.zeros_like(strips)
    if a < 0.4:
        turn, size = math.radians(30 + 30 * b), 7 + 7 * c
        reach = (FIELD_MM[0] - y) * math.cos(turn) + (FIELD_MM[1] - x) * math.sin(turn)
        tape = np.clip((size - reach) / pixel + 0.5, 0, 1)
    if d < 0.4:
        line = x - FIELD_MM[1] + 30 + 25 * e - 0.3 * (y - 200) * (f - 0.5)
        scratch = np.clip((0.15 - np.abs(line)) / pixel + 0.5, 0, 1) * ((y > 150 + 40 * f) & (y < 225))
        strips = np.maximum(strips, scratch)
    cover = np.maximum(strips, tape)
    return np.where(cover > 0.01, cover, 0.0), np.where(strips >= tape, 4000.0, 1900.0)


def expose(
    t: Tissues, gland: Array, style: Style, rng: np.random.Generator, pixel: float
) -> tuple[Array, float]:
    """Return detected quanta per pixel, and what bare air would give.

    Beer–Lambert, detector blur, automatic exposure control, and Poisson noise in its Gaussian limit.
    """
    depth = (
        MU_PER_MM["fat"] * (t.inner - gland)
        + MU_PER_MM["gland"] * gland
        + MU_PER_MM["skin"] * t.skin
        + MU_PER_MM["muscle"] * t.muscle
    )
    through = blur(np.exp(-depth), style.blur_mm / pixel)
    # The control holds the mean signal behind the breast, within a tenth.
    signal = style.quanta * (pixel / 0.1) ** 2 * float(rng.uniform(0.9, 1.1))
    air = signal / float(through[t.distance > 10].mean())
    expected = air * through
    return np.maximum(expected + np.sqrt(expected) * rng.standard_normal(expected.shape), 1.0), air


def present(
    raw: Array,
    air: float,
    t: Tissues,
    style: Style,
    rng: np.random.Generator,
    thickness: float,
    pixel: float,
) -> Array:
    """Return display values, 0 to 1: log, peripheral equalisation, sharpening, window, tone."""
    log = -np.log(raw / air)
    side = max(1, round(7.0 / pixel))
    smooth = cv2.blur(t.outer, (side, side), borderType=cv2.BORDER_REPLICATE)
    missing = style.equalise * MU_PER_MM["fat"] * (thickness - smooth)
    log += missing * smooth / (smooth + style.rim_mm) * np.minimum(t.outer / 2.0, 1.0)
    log += style.sharpen * (log - blur(log, 0.6 / pixel))
    # As exposure control does for film, the display holds the breast's mean gray; what that mean is varies
    # from one visit to the next, and so says little about density. But fat must not drown in the dark.
    sample = log[::3, ::3][(t.distance[::3, ::3] > 8) & (t.beyond[::3, ::3] > 0)]
    fat, mean = MU_PER_MM["fat"] * thickness, float(sample.mean())
    nth = int(0.99 * sample.size)
    bright = float(np.partition(sample, nth)[nth])
    gray = style.mean_gray + 0.10 * float(rng.uniform(-1, 1))
    gain = 0.48 / max(bright - mean, 0.012 * thickness) * float(rng.uniform(0.85, 1.15))
    gain = min(gain, 0.67 / (bright - fat + 0.2))
    value = max(gray, 0.11 + gain * (mean - fat)) + gain * (log - mean)
    value = 0.5 * (value + np.sqrt(value**2 + 0.003))  # a soft toe: the skin fades rather than being cut off
    over = np.maximum(value - 0.82, 0.0)
    value -= over * over / (over + 0.18)  # and a soft shoulder
    return np.where(t.outer > 0, value, 0.0) ** style.gamma
