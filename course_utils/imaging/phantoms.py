"""Synthetic mammograms whose truth is known, written as conformant DICOM.

A :class:`Phantom` is a handful of choices (density, view, side, thickness, vendor style, label text, seeds);
out come 12-bit FOR PRESENTATION pixels, the tissue behind every pixel in millimetres, and a file. Lessons 01 and 02
look at the pictures; lessons 07 to 10 ask what embeddings of them really follow.

The recipe: a superellipse outline, compressed to an even thickness that rolls off at the edge; glandular tissue
from three-dimensional power-law noise plus an anatomical prior, thresholded softly in every depth layer until its
share of the volume meets the target; Cooper's ligaments and vessels as thin curved lines; skin, nipple and, in
MLO, the pectoral muscle under the breast; Beer–Lambert, quantum noise, blur; and a rendering in one of three
made-up vendor styles.

Everything comes from the seeds. What could round differently from one processor to the next (transforms,
exponentials, filters) is done in float64, so that the 12-bit pixels, and with them the bytes of a file, are the same
everywhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    RLELossless,
)

from course_utils import DISCLAIMER

__all__ = ["DENSITIES", "VENDORS", "VIEWS", "Phantom", "Rendering", "cohort", "write_cohort"]

Density = Literal["a", "b", "c", "d"]
View = Literal["CC", "MLO"]
Laterality = Literal["L", "R"]
Vendor = Literal["alder", "birch", "cedar"]
Array = NDArray[np.floating[Any]]

DENSITIES: tuple[Density, ...] = get_args(Density)
VIEWS: tuple[View, ...] = get_args(View)
VENDORS: tuple[Vendor, ...] = get_args(Vendor)
LATERALITIES: tuple[Laterality, ...] = get_args(Laterality)

FIELD_MM = (240.0, 192.0)
"""Height and width of the detector in millimetres; ``rows`` only says how finely it is sampled."""

MU_PER_MM = {"fat": 0.0567, "gland": 0.0883, "skin": 0.0946, "muscle": 0.0975}
"""Tabulated linear attenuation at 19 keV, about the mean energy of a W/Rh tube at 28 kVp."""

FRACTION_RANGE = {"a": (0.035, 0.070), "b": (0.11, 0.20), "c": (0.28, 0.41), "d": (0.52, 0.69)}
"""Glandular share of the volume in each class, around the 5, 15, 34 and 60 % of the VICTRE trial."""

DENSE_SHARE = 0.3
"""A ray counts as dense, for the area density, where more than this share of the breast along it is glandular."""

_GRID = 256  # samples down the field on which glandular tissue is decided: one per 0.94 mm
_LAYERS = 24
_LAYER_MM = 2.3  # between two layers of the shared noise volume
_PARTS = {"anatomy": 1, "side": 2, "exposure": 3, "label": 4, "noise": 5, "cohort": 6}


def _rng(part: str, *key: int) -> np.random.Generator:
    """Return the generator of one part of the phantom; parts never share random numbers."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((_PARTS[part], *key))))


# --- Shared noise -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _volume() -> NDArray[np.float32]:
    """Return periodic noise (64, 256, 256) with power 1/f^3.4, zero mean and unit variance; made once a process."""
    rng = _rng("noise", 0)
    shape = (64, _GRID, _GRID)
    step = FIELD_MM[0] / _GRID
    fz = np.fft.fftfreq(shape[0], _LAYER_MM)[:, None, None]
    fy = np.fft.fftfreq(shape[1], step)[None, :, None]
    fx = np.fft.rfftfreq(shape[2], step)[None, None, :]
    power = (fz**2 + fy**2 + fx**2 + (1 / 70) ** 2) ** (-3.4 / 2)
    spectrum = rng.standard_normal(power.shape) + 1j * rng.standard_normal(power.shape)
    spectrum *= np.sqrt(power)
    spectrum[0, 0, 0] = 0
    volume = np.fft.irfftn(spectrum, shape)
    return (volume / volume.std()).astype(np.float32)


@lru_cache(maxsize=12)
def _tile(rows: int, number: int, beta: float, low: float, high: float) -> Array:
    """Return a periodic (rows, rows) tile of noise, 240 mm wide, with power 1/f^beta from ``low`` to ``high``.

    Frequencies are in cycles per mm. The spectrum is drawn once for 1024 samples and cut or padded to ``rows``,
    so that a phantom is the same at every resolution.
    """
    full = 1024
    k = np.fft.fftfreq(full, 1 / full)[:, None]
    f = np.hypot(k, np.arange(full // 2 + 1)) / FIELD_MM[0]
    rng = _rng("noise", 1, number)
    spectrum = rng.standard_normal(f.shape) + 1j * rng.standard_normal(f.shape)
    f[0, 0] = 1.0
    spectrum *= f ** (-beta / 2) * np.exp(-((f / high) ** 4)) * (1 - np.exp(-((f / low) ** 4)))
    spectrum[0, 0] = 0
    spectrum /= math.sqrt(2 * float((np.abs(spectrum[:, 1:]) ** 2).sum()))
    half = min(full, rows) // 2
    cut = np.zeros((rows, rows // 2 + 1), complex)
    cut[:half, :half] = spectrum[:half, :half]
    cut[-half + 1 :, :half] = spectrum[-half + 1 :, :half]
    return np.fft.irfft2(cut, (rows, rows), norm="forward")


@lru_cache(maxsize=12)
def _steepness(rows: int, number: int, beta: float, low: float, high: float) -> Array:
    """Return mm per unit of a tile: one over the length of its gradient, so that lines keep their width."""
    tile = _tile(rows, number, beta, low, high)
    gy = np.roll(tile, -1, 0) - np.roll(tile, 1, 0)
    gx = np.roll(tile, -1, 1) - np.roll(tile, 1, 1)
    return 2 * FIELD_MM[0] / rows / np.maximum(np.hypot(gy, gx), 1e-6)


def _window(tile: Array, corner: tuple[slice, slice], shift_mm: Array) -> Array:
    """Return the part of a periodic tile that lies under ``corner`` after a shift."""
    n = tile.shape[0]
    iy, ix = (np.rint(shift_mm * (n / FIELD_MM[0]))).astype(int)
    ys = (np.arange(corner[0].start, corner[0].stop) + iy) % n
    xs = (np.arange(corner[1].start, corner[1].stop) + ix) % n
    return tile[ys[:, None], xs[None, :]]


# --- Anatomy ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Anatomy:
    """What a woman brings along to all her images; lengths in mm."""

    fraction: float
    depth: float  # chest wall to nipple
    height: float  # across the breast in CC
    tip: float  # exponent of the outline along the axis
    round: float  # exponent of the outline across it
    skin: float
    fat: float  # subcutaneous
    lump: float  # how much the noise outweighs the prior
    ducts: float
    lace: float
    muscle: float  # share of the thickness
    muscle_top: float  # share of the depth that the muscle covers at the top of an MLO
    muscle_end: float  # row at which its edge meets the chest wall

    @classmethod
    def of(cls, seed: int, density: Density) -> _Anatomy:
        u = _rng("anatomy", seed).random(13)

        def between(i: int, low: float, high: float) -> float:
            return low + (high - low) * float(u[i])

        return cls(
            fraction=between(0, *FRACTION_RANGE[density]),
            depth=between(1, 74, 112),
            height=between(2, 135, 185),
            tip=between(3, 1.35, 1.95),
            round=between(4, 1.65, 2.1),
            skin=between(5, 1.2, 2.0),
            fat=between(6, 6, 13),
            lump=between(7, 0.75, 1.25),
            ducts=between(8, 0.35, 0.9),
            lace=between(9, 0.7, 1.3),
            muscle=between(10, 0.36, 0.50),
            muscle_top=between(11, 0.50, 0.72),
            muscle_end=between(12, 120, 165),
        )


@dataclass(frozen=True)
class _Shape:
    """Outline of one breast in one view, chest wall at x = 0, in mm."""

    anatomy: _Anatomy
    view: View
    thickness: float
    nipple: float  # row
    up: float
    down: float

    @classmethod
    def of(cls, anatomy: _Anatomy, view: View, thickness: float, rng: np.random.Generator) -> _Shape:
        shift, skew = rng.uniform(-1, 1, 2)
        if view == "CC":
            half = anatomy.height / 2
            return cls(
                anatomy, view, thickness, 120 + 7 * shift, half * (1 + 0.06 * skew), half * (1 - 0.06 * skew)
            )
        nipple = 138 + 9 * shift
        return cls(anatomy, view, thickness, nipple, nipple * (1.42 + 0.08 * skew), 0.47 * anatomy.height)

    def box(self) -> tuple[float, float, float]:
        """Return the first and last row and the last column of the breast, in mm."""
        return max(self.nipple - self.up, 0.0), self.nipple + self.down, self.anatomy.depth + 7

    def distance(self, y: Array, x: Array) -> Array:
        """Return the distance to the skin in mm, positive inside; exact to first order (value over gradient)."""
        a = self.anatomy
        v = y - self.nipple
        half = np.where(v < 0, self.up, self.down)
        p, q = a.tip, a.round
        fx = (x / a.depth) ** p
        fy = (np.abs(v) / half) ** q
        gx = p / a.depth * (x / a.depth) ** (p - 1)
        gy = q / half * (np.abs(v) / half) ** (q - 1)
        m = (p + q) / 2
        f = np.maximum(fx + fy, 1e-9)
        g = f ** (1 / m)
        slope = g / (m * f) * np.sqrt(gx**2 + gy**2)
        return np.minimum((1 - g) / np.maximum(slope, 1e-6), 60.0)

    def rolled(self, distance: Array, thickness: float) -> Array:
        """Return the thickness in mm where the edge is a half circle."""
        radius = thickness / 2
        inward = np.clip(distance / radius, 0.0, 1.0)
        return thickness * np.sqrt(inward * (2 - inward))

    def areola(self, y: Array, x: Array) -> Array:
        """Return the thickness of the nipple in mm, an ellipsoid in profile."""
        r2 = ((x - self.anatomy.depth + 0.5) / 5.5) ** 2 + ((y - self.nipple) / 5.0) ** 2
        return 10.0 * np.sqrt(np.maximum(1 - r2, 0.0))

    def beyond_muscle(self, y: Array, x: Array) -> Array:
        """Return the distance from the edge of the pectoral muscle in mm, negative within it."""
        if self.view == "CC":
            return x + 0 * y + 8.0
        a = self.anatomy
        top = a.muscle_top * a.depth
        edge = top * (1 - (y / a.muscle_end) ** 1.3)
        return (x - edge) * math.cos(math.atan(top / a.muscle_end))


def _tissues(shape: _Shape, y: Array, x: Array) -> dict[str, Array]:
    """Return maps in mm: ``outer`` (all of the breast), ``skin``, ``muscle``, ``inner`` (the rest), ``distance``."""
    a = shape.anatomy
    distance = shape.distance(y, x)
    outer = np.maximum(shape.rolled(distance, shape.thickness), shape.areola(y, x))
    within = shape.rolled(distance - a.skin, shape.thickness - 2 * a.skin)
    muscle = np.zeros_like(outer)
    beyond = shape.beyond_muscle(y, x)
    if shape.view == "MLO":
        inside = np.maximum(-beyond, 0.0)
        full = a.muscle * shape.thickness * np.clip(1.15 - 0.7 * y / a.muscle_end, 0.2, 1.0)
        step = np.clip(inside / 2.0, 0.0, 1.0)
        share = 0.45 * step * step * (3 - 2 * step) + 0.55 * (1 - np.exp(-inside / 14.0))
        muscle = np.minimum(full * share, 0.8 * within)
    return {
        "outer": outer,
        "skin": outer - within,
        "muscle": muscle,
        "inner": within - muscle,
        "distance": distance,
        "beyond": beyond,
    }


# --- Glandular tissue -------------------------------------------------------------------------------------------


def _prior(shape: _Shape, t: dict[str, Array], y: Array, x: Array) -> Array:
    """Return how willingly glandular tissue grows: a cone behind the nipple, fat under the skin and before the muscle."""
    a = shape.anatomy
    to_nipple = np.hypot(y - shape.nipple, x - a.depth)
    fat = a.fat * (1 - np.exp(-((to_nipple / 16.0) ** 2)))
    under_skin = np.clip((t["distance"] - fat) / 9.0, -1.0, 1.0)
    before_muscle = np.clip(t["beyond"] / 16.0, -1.0, 1.0)
    lift = 0.08 if shape.view == "CC" else 0.12  # more tissue on the outer, upper side
    centre_y = (y - shape.nipple + lift * shape.up) / (0.42 * (min(shape.up, 90.0) + shape.down))
    centre_x = (x - 0.55 * a.depth) / (0.55 * a.depth)
    return 1.6 * under_skin + 0.9 * before_muscle - 1.1 * (centre_y**2 + 0.6 * centre_x**2)


def _fan(shape: _Shape, y: Array, x: Array, shift: Array) -> Array:
    """Return noise that is drawn out along rays from the nipple, as ducts are."""
    tile = _tile(_GRID, 9, 2.0, 1 / 60, 1 / 5)
    n = tile.shape[0]
    dy, dx = y - shape.nipple, shape.anatomy.depth + 6 - x
    radius = np.hypot(dy, dx)
    py = (np.arctan2(dy, dx) * 34.0 + shift[0]) * (n / FIELD_MM[0])
    px = (radius * 0.28 + shift[1]) * (n / FIELD_MM[0])
    iy, ix = np.floor(py).astype(int), np.floor(px).astype(int)
    fy, fx = py - iy, px - ix
    iy, ix, jy, jx = iy % n, ix % n, (iy + 1) % n, (ix + 1) % n
    top = tile[iy, ix] * (1 - fx) + tile[iy, jx] * fx
    low = tile[jy, ix] * (1 - fx) + tile[jy, jx] * fx
    return (top * (1 - fy) + low * fy) * np.exp(-radius / 70.0)


def _gland_share(shape: _Shape, woman: np.random.Generator, side: np.random.Generator) -> Array:
    """Return the glandular share along each ray (0 to 1) on the coarse grid (256, 205)."""
    a = shape.anatomy
    step = FIELD_MM[0] / _GRID
    y = (np.arange(_GRID)[:, None] + 0.5) * step
    x = (np.arange(round(FIELD_MM[1] / step))[None, :] + 0.5) * step
    first, last, far = shape.box()
    rows = slice(int(first / step), min(int(last / step) + 1, _GRID))
    cols = slice(0, int(far / step) + 1)
    y, x = y[rows], x[:, cols]
    t = _tissues(shape, y, x)

    noise = np.zeros((_LAYERS, y.size, x.size), np.float32)
    for weight, rng in ((0.75, woman), (0.66, side)):
        z0, y0, x0 = rng.integers(0, (64, _GRID, _GRID))
        block = _volume()[(z0 + np.arange(_LAYERS)) % 64]
        block = block[:, (y0 + np.arange(rows.start, rows.stop)) % _GRID]
        noise += np.float32(weight) * block[:, :, (x0 + np.arange(x.size)) % _GRID]
    fans = [_fan(shape, y, x, rng.uniform(0, 240, 2)) for rng in (woman, side)]
    depth = np.linspace(-1, 1, _LAYERS)[:, None, None]
    field = (
        np.float32(1.15 * a.lump) * noise
        + (_prior(shape, t, y, x) + 1.5 * a.ducts * fans[0]).astype(np.float32)
        + (1.5 * a.ducts * fans[1]).astype(np.float32) * depth.astype(np.float32)
        - (0.9 * depth**2).astype(np.float32)
    )

    volume = np.ascontiguousarray(t["inner"][::2, ::2])
    sample = np.ascontiguousarray(field[:, ::2, ::2])
    goal = a.fraction * float(volume.sum())
    low, high = -12.0, 12.0
    for _ in range(22):
        middle = (low + high) / 2
        share = np.clip((sample - np.float32(middle)) * np.float32(1.6) + np.float32(0.5), 0, 1).mean(0)
        low, high = (middle, high) if float((share * volume).sum()) > goal else (low, middle)
    share = np.clip((field - np.float32(middle)) * np.float32(1.6) + np.float32(0.5), 0, 1).mean(0)
    whole = np.zeros((_GRID, round(FIELD_MM[1] / step)))
    whole[rows, cols] = share
    return whole


@lru_cache(maxsize=8)
def _enlarger(fine: int, coarse: int) -> Array:
    """Return the (fine, coarse) matrix of cubic convolution (Keys, 1981, a = -1/2)."""
    at = (np.arange(fine) + 0.5) * (coarse / fine) - 0.5
    d = np.abs(at[:, None] - np.arange(coarse)[None, :])
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)


# --- Lines ------------------------------------------------------------------------------------------------------


def _blur(image: Array, sigma: float) -> Array:
    """Return the image after a Gaussian of ``sigma`` pixels, in float64."""
    if sigma <= 0.2:
        return image
    radius = max(1, math.ceil(3.5 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)


def _splat(shape: tuple[int, int], y: Array, x: Array, weight: Array) -> Array:
    """Return an image to which each point (pixels) has given its weight, shared among its four neighbours."""
    h, w = shape
    y, x, weight = y.ravel() - 0.5, x.ravel() - 0.5, weight.ravel()
    iy, ix = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx = y - iy, x - ix
    image = np.zeros(h * w)
    for dy in (0, 1):
        for dx in (0, 1):
            share = weight * (fy if dy else 1 - fy) * (fx if dx else 1 - fx)
            ok = (iy + dy >= 0) & (iy + dy < h) & (ix + dx >= 0) & (ix + dx < w)
            image += np.bincount(((iy + dy) * w + ix + dx)[ok], share[ok], h * w)
    return image.reshape(h, w)


def _curves(
    rng: np.random.Generator, start_y: Array, start_x: Array, heading: Array, length: Array, bend: float
) -> tuple[Array, Array, Array]:
    """Return points (curves, 256) of smoothly wandering curves in mm, and the step between points."""
    n, points = heading.size, 256
    turns = rng.standard_normal((n, 8)) * bend
    turns = turns @ _enlarger(points, 8).T / points
    angle = heading[:, None] + np.cumsum(turns, 1) * length[:, None] / 10
    step = np.repeat(length[:, None] / points, points, 1)
    return (
        start_y[:, None] + np.cumsum(np.sin(angle) * step, 1),
        start_x[:, None] + np.cumsum(np.cos(angle) * step, 1),
        step,
    )


def _lines(shape: _Shape, rng: np.random.Generator, corner: tuple[slice, slice], rows: int) -> Array:
    """Return ligaments and vessels as mm of tissue: single curves, and a lace from level lines of smooth noise."""
    a = shape.anatomy
    pixel = FIELD_MM[0] / rows
    size = (corner[0].stop - corner[0].start, corner[1].stop)
    first, last, _ = shape.box()

    ligaments = 90
    sy = rng.uniform(first, last, ligaments)
    sx = rng.uniform(0, 1, ligaments) ** 0.8 * a.depth
    away = np.arctan2(sy - shape.nipple, sx - 0.2 * a.depth)
    towards = away + rng.normal(0, 0.7, ligaments)
    ly, lx, step = _curves(rng, sy, sx, towards, rng.uniform(10, 45, ligaments), 1.1)
    fade = np.sin(np.linspace(0, np.pi, 256)) * rng.uniform(0.3, 1.0, ligaments)[:, None]
    thin = _splat(size, ly / pixel - corner[0].start, lx / pixel, 0.9 * fade * step / pixel**2)

    vessels = 5
    vy = rng.uniform(0.75 * first + 0.25 * last, 0.25 * first + 0.75 * last, vessels)
    aim = np.arctan2(shape.nipple - vy, a.depth) + rng.normal(0, 0.35, vessels)
    vy, vx, step = _curves(rng, vy, np.full(vessels, -2.0), aim, rng.uniform(60, 110, vessels), 0.9)
    fade = np.linspace(1, 0.25, 256) * rng.uniform(0.5, 1.0, vessels)[:, None]
    thick = _splat(size, vy / pixel - corner[0].start, vx / pixel, 2.6 * fade * step / pixel**2)

    total = _blur(thin, 0.28 / pixel) + _blur(thick, 0.75 / pixel)
    for number, width in ((1, 0.45), (1, 0.45), (2, 0.4), (2, 0.4), (3, 0.35)):
        band = (3.0, 1 / 45, 1 / 7) if number < 3 else (3.0, 1 / 25, 1 / 4)
        shift, drift = rng.uniform(0, 240, 2), rng.uniform(0, 240, 2)
        away_mm = _window(_tile(rows, number, *band), corner, shift) * _window(
            _steepness(rows, number, *band), corner, shift
        )
        strength = np.clip(_window(_tile(rows, 3 - number % 3, 3.0, 1 / 45, 1 / 7), corner, drift), 0.0, 1.5)
        total += 0.55 * a.lace * strength * np.clip(1.5 - np.abs(away_mm) / width, 0.0, 1.0)
    return total


# --- From tissue to a picture -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Style:
    """How a made-up vendor exposes and renders."""

    manufacturer: str
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    quanta: float  # detected per pixel of 0.1 mm behind the breast
    blur_mm: float
    equalise: float  # share of the missing thickness that is made up for at the edge
    sharpen: float
    fat_level: float  # display value of a ray through fat alone
    gamma: float
    ground: int  # value of the air
    label_mm: float
    label_turn: float  # degrees


_STYLES: dict[str, _Style] = {
    "alder": _Style("Alder (synthetic)", "MONOCHROME2", 900, 0.08, 0.97, 0.9, 0.27, 1.0, 0, 7.0, 0.0),
    "birch": _Style("Birch (synthetic)", "MONOCHROME2", 600, 0.14, 0.85, 0.3, 0.22, 1.15, 96, 9.0, 0.0),
    "cedar": _Style("Cedar (synthetic)", "MONOCHROME1", 350, 0.20, 0.70, 0.5, 0.30, 0.85, 0, 11.0, 42.0),
}


@dataclass(frozen=True)
class Rendering:
    """A rendered phantom and its truth; all maps are (rows, columns) as displayed.

    ``pixels`` is uint16, 0 to 4095, breast bright. ``raw`` is float32, detected quanta a pixel before any processing,
    and ``air`` what it would be without a breast and without noise. The float32 maps ``breast_mm`` (the breast inside
    its skin, muscle left out) and ``gland_mm``, ``muscle_mm``, ``skin_mm`` give the path of the ray through each tissue.
    ``tissue`` and ``label`` are bool: where breast (skin, nipple and muscle included) and where burned-in text lies.
    ``volumetric_fraction`` is gland volume over breast volume; ``area_density`` the share of rays with more than
    :data:`DENSE_SHARE` gland.
    """

    pixels: NDArray[np.uint16]
    raw: NDArray[np.float32]
    air: float
    breast_mm: NDArray[np.float32]
    gland_mm: NDArray[np.float32]
    muscle_mm: NDArray[np.float32]
    skin_mm: NDArray[np.float32]
    tissue: NDArray[np.bool_]
    label: NDArray[np.bool_]
    volumetric_fraction: float
    area_density: float


_GLYPHS: dict[str, list[list[tuple[float, float]]]] = {  # strokes in a box 0.7 wide and 1 high, y down
    "L": [[(0.05, 0), (0.05, 1), (0.6, 1)]],
    "R": [[(0.05, 1), (0.05, 0), (0.4, 0), (0.58, 0.1), (0.58, 0.4), (0.4, 0.5), (0.05, 0.5)], [(0.3, 0.5), (0.6, 1)]],
    "M": [[(0.0, 1), (0.0, 0), (0.32, 0.6), (0.64, 0), (0.64, 1)]],
    "O": [[(0.2, 0), (0.45, 0), (0.62, 0.2), (0.62, 0.8), (0.45, 1), (0.2, 1), (0.03, 0.8), (0.03, 0.2), (0.2, 0)]],
    "C": [[(0.6, 0.15), (0.45, 0), (0.2, 0), (0.03, 0.2), (0.03, 0.8), (0.2, 1), (0.45, 1), (0.6, 0.85)]],
}  # fmt: skip


def _write_text(
    text: str, style: _Style, rng: np.random.Generator, rows: int, cols: int, left: bool
) -> Array:
    """Return (rows, columns) in 0 to 1 with the text in the top corner away from the chest wall."""
    height = style.label_mm
    ys: list[Array] = []
    xs: list[Array] = []
    for i, letter in enumerate(text):
        for stroke in _GLYPHS[letter]:
            points = np.array(stroke)
            for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
                s = np.linspace(0, 1, 160)
                xs.append(((x0 + (x1 - x0) * s) + 0.95 * (i - len(text) / 2)) * height)
                ys.append((y0 + (y1 - y0) * s - 0.5) * height)
    y, x = np.concatenate(ys), np.concatenate(xs)
    turn = math.radians(style.label_turn if left else -style.label_turn)
    y, x = y * math.cos(turn) + x * math.sin(turn), x * math.cos(turn) - y * math.sin(turn)
    margin = np.array([y.max() - y.min(), x.max() - x.min()]) / 2 + 5 + rng.uniform(0, 8, 2)
    y, x = y + margin[0], x + (FIELD_MM[1] - margin[1] if left else margin[1])
    pixel = FIELD_MM[0] / rows
    image = _splat((rows, cols), y / pixel, x / pixel, np.ones_like(x))
    return np.clip(_blur(image, 0.05 * height / pixel) * 0.0018 * (height / pixel) ** 2, 0.0, 1.0)


def _expose(
    t: dict[str, Array], style: _Style, rng: np.random.Generator, pixel: float
) -> tuple[Array, float]:
    """Return detected quanta a pixel (Beer–Lambert, exposure control, Poisson noise in its Gaussian limit) and air."""
    fat = np.maximum(t["inner"] - t["gland"], 0.0)
    depth = (
        MU_PER_MM["fat"] * fat
        + MU_PER_MM["gland"] * t["gland"]
        + MU_PER_MM["skin"] * t["skin"]
        + MU_PER_MM["muscle"] * t["muscle"]
    )
    through = _blur(np.exp(-depth), style.blur_mm / pixel)
    breast = t["distance"] > 10
    # Automatic exposure control holds the mean signal behind the breast, within a tenth.
    air = style.quanta * (pixel / 0.1) ** 2 / float(through[breast].mean()) * float(rng.uniform(0.9, 1.1))
    expected = air * through
    noise = rng.standard_normal(expected.shape)
    return np.maximum(expected + np.sqrt(expected) * noise, 1.0), air


def _present(
    raw: Array, air: float, t: dict[str, Array], style: _Style, thickness: float, pixel: float
) -> Array:
    """Return display values 0 to 1: log, peripheral equalisation, sharpening, tone curve."""
    log = -np.log(raw / air)
    smooth = _blur(t["outer"], 2.0 / pixel)
    missing = style.equalise * MU_PER_MM["fat"] * (thickness - smooth)
    log += missing * smooth / (smooth + 4.0) * np.minimum(t["outer"] / 2.0, 1.0)
    log += style.sharpen * (log - _blur(log, 0.6 / pixel))
    fat = MU_PER_MM["fat"] * thickness
    full = fat + 0.75 * (MU_PER_MM["gland"] - MU_PER_MM["fat"]) * thickness
    sample = log[::3, ::3][(t["distance"] > 8)[::3, ::3]]
    bright = float(np.partition(sample, int(0.99 * sample.size))[int(0.99 * sample.size)])
    span = max(0.45 * (full - fat) + 0.55 * (bright - fat), 0.35) / (0.93 - style.fat_level)
    value = style.fat_level + (log - fat) / span
    value = 0.5 * (value + np.sqrt(value**2 + 0.003))  # a soft toe: the skin fades, it is not cut
    value = np.where(t["outer"] > 0, value, 0.0)
    return np.minimum(value, 1.0) ** style.gamma


# --- The phantom ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phantom:
    """One synthetic mammogram.

    ``density`` is the BI-RADS-like class; ``thickness_mm`` the compressed thickness (20 to 110); ``vendor`` the style
    of rendering; ``label`` whether text such as RMLO is burned into the dark corner. ``seed`` is the woman: all of
    her images share size, shape, glandular fraction and much of the texture. ``nuisance_seed`` is the visit:
    positioning, quantum noise, place of the label. ``rows`` (128 to 4096) sets the sampling of a field of
    240 × 192 mm; ``woman`` is the name written into the file.

    Raises ValueError if a field is outside these ranges.
    """

    density: Density = "b"
    view: View = "CC"
    laterality: Laterality = "L"
    thickness_mm: float = 55.0
    vendor: Vendor = "alder"
    label: bool = False
    seed: int = 0
    nuisance_seed: int = 0
    rows: int = 1024
    woman: str = "W01"

    def __post_init__(self) -> None:
        choices = {"density": DENSITIES, "view": VIEWS, "laterality": LATERALITIES, "vendor": VENDORS}
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} must be one of {', '.join(allowed)}, not {getattr(self, field)!r}")
        if not 20 <= self.thickness_mm <= 110:
            raise ValueError(f"thickness_mm must lie between 20 and 110, not {self.thickness_mm}")
        if not 128 <= self.rows <= 4096:
            raise ValueError(f"rows must lie between 128 and 4096, not {self.rows}")

    @property
    def columns(self) -> int:
        """Columns of the image: pixels are square."""
        return round(self.rows * FIELD_MM[1] / FIELD_MM[0])

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Row and column spacing in mm."""
        return FIELD_MM[0] / self.rows, FIELD_MM[0] / self.rows

    @property
    def target_fraction(self) -> float:
        """Volumetric glandular fraction that this woman is made to have."""
        return _Anatomy.of(self.seed, self.density).fraction

    def render(self) -> Rendering:
        """Return the picture and its truth. Equal phantoms give equal arrays."""
        style = _STYLES[self.vendor]
        anatomy = _Anatomy.of(self.seed, self.density)
        view, side = VIEWS.index(self.view), LATERALITIES.index(self.laterality)
        woman_rng = _rng("side", self.seed, view)
        side_rng = _rng("side", self.seed, view, side, 1)
        visit = _rng("exposure", self.nuisance_seed, self.seed, view, side)
        shape = _Shape.of(anatomy, self.view, self.thickness_mm, visit)
        pixel = self.spacing_mm[0]

        first, last, far = shape.box()
        top, bottom = max(int((first - 6) / pixel), 0), min(int((last + 6) / pixel), self.rows)
        corner = (slice(top, bottom), slice(0, min(int((far + 6) / pixel), self.columns)))
        y = (np.arange(top, bottom)[:, None] + 0.5) * pixel
        x = (np.arange(corner[1].stop)[None, :] + 0.5) * pixel
        t = _tissues(shape, y, x)
        share = _gland_share(shape, woman_rng, side_rng)
        share = (
            _enlarger(self.rows, share.shape[0])[corner[0]]
            @ share
            @ _enlarger(self.columns, share.shape[1])[corner[1]].T
        )
        t["gland"] = self._fill(shape, np.clip(share, 0.0, 1.0), t, corner, side_rng)
        if self.view == "MLO":
            t["muscle"] = t["muscle"] * self._fibres(shape, corner, side_rng)

        raw, air = _expose(t, style, visit, pixel)
        value = _present(raw, air, t, style, self.thickness_mm, pixel)
        return self._assemble(style, t, raw, air, value, corner, visit)

    def _fill(
        self,
        shape: _Shape,
        share: Array,
        t: dict[str, Array],
        corner: tuple[slice, slice],
        rng: np.random.Generator,
    ) -> Array:
        """Return gland in mm: the coarse share with fine texture and lines, scaled to meet the target exactly."""
        inner = t["inner"]
        fine = _window(_tile(self.rows, 5, 2.8, 0.35, 4.0), corner, rng.uniform(0, 240, 2))
        mottle = _window(_tile(self.rows, 6, 2.8, 0.12, 4.0), corner, rng.uniform(0, 240, 2))
        share = share * (1 + 0.03 * fine + 0.07 * mottle) + 0.006 * np.clip(mottle, 0, None)
        lines = _lines(shape, rng, corner, self.rows) * np.minimum(inner / 10.0, 1.0)
        goal = shape.anatomy.fraction * float(inner.sum())
        scale = 1.0
        for _ in range(6):
            gland = np.clip(scale * share * inner + lines, 0.0, 0.98 * inner)
            scale *= goal / float(gland.sum())
        return np.clip(scale * share * inner + lines, 0.0, 0.98 * inner)

    def _fibres(self, shape: _Shape, corner: tuple[slice, slice], rng: np.random.Generator) -> Array:
        """Return the texture of the muscle, drawn out along its edge, as a factor near one."""
        tile = _tile(self.rows, 7, 2.4, 1 / 30, 1.0)
        n = tile.shape[0]
        slope = shape.anatomy.muscle_top * shape.anatomy.depth / shape.anatomy.muscle_end
        shift = rng.uniform(0, n, 2)
        ys = np.arange(corner[0].start, corner[0].stop)[:, None]
        xs = np.arange(corner[1].stop)[None, :]
        across = np.rint((xs + slope * ys) * 1.0 + shift[0]).astype(int) % n
        along = np.rint((ys - slope * xs) * 0.12 + shift[1]).astype(int) % n
        return 1 + 0.03 * tile[across, along]

    def _assemble(
        self,
        style: _Style,
        t: dict[str, Array],
        raw: Array,
        air: float,
        value: Array,
        corner: tuple[slice, slice],
        visit: np.random.Generator,
    ) -> Rendering:
        left = self.laterality == "L"

        def place(part: Array, fill: float = 0.0) -> Array:
            whole = np.full((self.rows, self.columns), fill)
            whole[corner] = part
            return whole if left else whole[:, ::-1]

        display = style.ground + place(value) * (4095 - style.ground)
        label = np.zeros(display.shape)
        if self.label:
            rng = _rng("label", self.nuisance_seed, self.seed, VIEWS.index(self.view), int(left))
            label = _write_text(self.laterality + self.view, style, rng, self.rows, self.columns, left)
            display = display + (3900 - display) * label
        inner, gland = t["inner"], t["gland"]
        whole = inner > 0.2 * self.thickness_mm
        return Rendering(
            pixels=np.ascontiguousarray(np.rint(display)).astype(np.uint16),
            raw=np.ascontiguousarray(place(raw, air), np.float32),
            air=air,
            breast_mm=np.ascontiguousarray(place(inner), np.float32),
            gland_mm=np.ascontiguousarray(place(gland), np.float32),
            muscle_mm=np.ascontiguousarray(place(t["muscle"]), np.float32),
            skin_mm=np.ascontiguousarray(place(t["skin"]), np.float32),
            tissue=np.ascontiguousarray(place(t["outer"]) > 0),
            label=label > 0.01,
            volumetric_fraction=float(gland.sum() / inner.sum()),
            area_density=float((gland > DENSE_SHARE * inner)[whole].mean()),
        )

    def dataset(self, pixels: NDArray[np.uint16]) -> Dataset:
        """Return the DICOM data set (explicit VR little endian) that carries ``pixels`` as :meth:`render` gives them."""
        return _dataset(self, pixels)

    def write(self, path: str | Path, *, compress: bool = True) -> Rendering:
        """Render, write a Digital Mammography X-Ray Image – For Presentation file, and return the rendering.

        ``compress`` chooses RLE lossless, else the pixels stand as they are. Same phantom, same bytes.
        """
        rendering = self.render()
        dataset = _dataset(self, rendering.pixels)
        if compress:
            # pydicom's own encoder: others pack runs differently, and the bytes would depend on what is installed.
            dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)
        return rendering


# --- DICOM ------------------------------------------------------------------------------------------------------


def _uid(*parts: object) -> UID:
    """Return a UID made from a hash (PS3.5 annex B.2): the same parts, the same UID."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _lut() -> list[int]:
    """Return a gentle S-shaped VOI LUT for 12 bits, as some vendors ship."""
    x = np.arange(4096) / 4095
    s = 0.5 + np.tanh(2.2 * (x - 0.48)) / (2 * math.tanh(2.2 * 0.52))
    return [int(v) for v in np.rint(np.clip(s, 0, 1) * 4095)]


def _voi(ds: Dataset, vendor: Vendor) -> None:
    """Add how the vendor wants its pixels shown: two windows, a LUT, or a sigmoid."""
    if vendor == "alder":
        ds.WindowCenter, ds.WindowWidth = [2048, 2100], [4096, 3000]
        ds.WindowCenterWidthExplanation = ["NORMAL", "HARDER"]
        ds.VOILUTFunction = "LINEAR"
    elif vendor == "birch":
        lut = Dataset()
        lut.LUTDescriptor, lut.LUTExplanation = [4096, 0, 12], "NORMAL"
        lut.add_new("LUTData", "US", _lut())
        ds.VOILUTSequence = DicomSequence([lut])
    else:
        ds.WindowCenter, ds.WindowWidth = 2048, 3200
        ds.VOILUTFunction = "SIGMOID"


def _dataset(phantom: Phantom, pixels: NDArray[np.uint16]) -> Dataset:
    """Return the data set of PS3.3 A.27, Digital Mammography X-Ray Image – For Presentation."""
    p, style = phantom, _STYLES[phantom.vendor]
    inverse = style.photometric == "MONOCHROME1"
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    ds.SOPInstanceUID = _uid("instance", p)
    ds.StudyDate = ds.ContentDate = "20000101"
    ds.StudyTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ""
    ds.Modality = "MG"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.Manufacturer = style.manufacturer
    ds.ManufacturerModelName = f"Phantom {p.vendor.title()}"
    ds.ReferringPhysicianName = ""
    ds.SeriesDescription = f"{p.laterality} {p.view} synthetic phantom"
    ds.AnatomicRegionSequence = DicomSequence([_code("76752008", "Breast")])
    ds.PatientName = f"Phantom^{p.woman}"
    ds.PatientID = f"PHANTOM-{p.woman}"
    ds.PatientBirthDate = ""
    ds.PatientSex = "F"
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic image, no patient"
    ds.PatientComments = DISCLAIMER
    ds.BodyPartExamined = "BREAST"
    ds.KVP = "28"
    ds.BodyPartThickness = f"{p.thickness_mm:.1f}"
    ds.ImagerPixelSpacing = [f"{mm:.6f}" for mm in p.spacing_mm]
    ds.PositionerType = "MAMMOGRAPHIC"
    ds.DetectorType = "DIRECT"
    ds.StudyInstanceUID = _uid("study", p.woman, p.seed, p.nuisance_seed)
    ds.SeriesInstanceUID = _uid("series", p)
    ds.StudyID = "1"
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    foot = "F" if p.view == "MLO" else ""
    ds.PatientOrientation = ["A", foot + "R"] if p.laterality == "L" else ["P", foot + "L"]
    ds.ImageLaterality = p.laterality
    ds.OrganExposed = "BREAST"
    ds.ViewPosition = p.view
    view = (
        _code("399162004", "cranio-caudal") if p.view == "CC" else _code("399368009", "medio-lateral oblique")
    )
    view.ViewModifierCodeSequence = DicomSequence([])
    ds.ViewCodeSequence = DicomSequence([view])
    ds.AcquisitionContextSequence = DicomSequence([])
    ds.BurnedInAnnotation = "NO"  # the standard means text that could identify a person; RMLO does not
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = style.photometric
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if inverse else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.LossyImageCompression = "00"
    ds.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    _voi(ds, p.vendor)
    stored = 4095 - pixels if inverse else pixels
    ds.PixelData = stored.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("implementation", 1)
    meta.ImplementationVersionName = "MAMMO_COURSE_1"
    ds.file_meta = meta
    return ds


# --- Cohorts ----------------------------------------------------------------------------------------------------


def cohort(
    *,
    women: int = 12,
    views: Sequence[View] = VIEWS,
    sides: Sequence[Laterality] | None = None,
    rows: int = 1024,
    seed: int = 0,
) -> Iterator[Phantom]:
    """Yield the phantoms of a cohort in which density and every nuisance are crossed, woman by woman.

    Twelve women are the four densities times the three vendor styles; with more women the pattern repeats, with
    fewer it is cut. Thickness comes in three strata that are dealt out within each density, so that it says nothing about
    density. ``sides=None`` takes one side a view and lets it alternate between views and women; ``("L", "R")`` takes
    both sides in every view. Every other image of a woman carries label text; a seed of its own says which.
    """
    if women < 1:
        raise ValueError(f"women must be at least 1, not {women}")
    order = np.arange(women)
    _rng("cohort", seed, 0).shuffle(order)
    plan: list[dict[str, Any]] = []
    for number, k in enumerate(order.tolist(), start=1):
        rng = _rng("cohort", seed, 1, k)
        d, v, block = k % 4, k % 3, k // 12
        stratum = (v + d + block) % 3
        thickness = 38 + 15 * stratum + 13 * float(rng.random())
        for i, view in enumerate(views):
            for side in sides or (LATERALITIES[(d + v + block + i) % 2],):
                plan.append(
                    {
                        "density": DENSITIES[d],
                        "view": view,
                        "laterality": side,
                        "thickness_mm": round(thickness + float(rng.uniform(-2, 2)) + 2 * (view == "MLO"), 1),
                        "vendor": VENDORS[v],
                        "seed": seed * 100_000 + k,
                        "nuisance_seed": seed * 100_000 + k + 50_000,
                        "rows": rows,
                        "woman": f"W{number:02d}",
                    }
                )
    turn: dict[str, int] = {}
    for d in range(4):
        names = sorted({row["woman"] for row in plan if row["density"] == DENSITIES[d]})
        _rng("cohort", seed, 2, d).shuffle(names)
        turn.update({name: (i + d) % 2 for i, name in enumerate(names)})
    for row in plan:
        turn[row["woman"]] += 1
        yield Phantom(label=turn[row["woman"]] % 2 == 0, **row)


def write_cohort(
    folder: str | Path,
    *,
    women: int = 12,
    views: Sequence[View] = VIEWS,
    sides: Sequence[Laterality] | None = None,
    rows: int = 1024,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Write a cohort (see :func:`cohort`) as RLE DICOM files with ``manifest.csv`` beside them; return the manifest.

    One row a file: ``file, sha256, woman, density, volumetric_fraction, area_density, view, laterality, thickness_mm,
    vendor, label, rows, columns, seed, nuisance_seed``. Fractions are shares (0 to 1) rounded to four digits. Existing
    files of the same names are replaced; ``progress`` shows a bar.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    phantoms = list(cohort(women=women, views=views, sides=sides, rows=rows, seed=seed))
    if progress:
        from tqdm.auto import tqdm

        phantoms_shown = tqdm(phantoms, desc="phantoms", unit="image")
    else:
        phantoms_shown = phantoms
    table = []
    for p in phantoms_shown:
        path = folder / f"{p.woman}_{p.laterality}{p.view}.dcm"
        truth = p.write(path)
        table.append(
            {
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "woman": p.woman,
                "density": p.density,
                "volumetric_fraction": round(truth.volumetric_fraction, 4),
                "area_density": round(truth.area_density, 4),
                "view": p.view,
                "laterality": p.laterality,
                "thickness_mm": p.thickness_mm,
                "vendor": p.vendor,
                "label": p.label,
                "rows": p.rows,
                "columns": p.columns,
                "seed": p.seed,
                "nuisance_seed": p.nuisance_seed,
            }
        )
    manifest = pd.DataFrame(table)
    manifest.to_csv(folder / "manifest.csv", index=False, lineterminator="\n")
    return manifest
