"""Synthetic mammograms whose truth is known, written as conformant DICOM.

A :class:`Phantom` is a handful of choices (density, view, side, thickness, vendor style, label text, seeds);
out come 12-bit FOR PRESENTATION pixels, the tissue behind every pixel in millimetres, and a file. Lessons 01
and 02 look at the pictures; lessons 07 to 10 ask what embeddings of them really follow.

The recipe: a superellipse outline, compressed to an even thickness that rolls off at the edge; glandular
tissue from three-dimensional power-law noise plus an anatomical prior, thresholded softly in every depth
layer until its share of the volume meets the target; Cooper's ligaments and vessels as thin curved lines;
skin, nipple and, in MLO, the pectoral muscle under the breast; Beer–Lambert, quantum noise, blur; and a
rendering in one of three made-up vendor styles.

Everything comes from the seeds. What could round differently from one processor to the next (transforms,
exponentials, filters) is done in float64, long before the step to 12 bits, so that the pixels, and with them
the bytes of a file, are the same everywhere.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
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

FRACTION_RANGE = {"a": (0.035, 0.070), "b": (0.11, 0.20), "c": (0.26, 0.38), "d": (0.46, 0.62)}
"""Glandular share of the volume in each class, near the 5, 15, 34 and 60 % of the VICTRE trial."""

DENSE_SHARE = 0.3
"""A ray counts as dense, for the area density, where more than this share of the breast along it is gland.

With 0.3 the four classes cover about 2, 19, 42 and 67 % of the area; for BI-RADS a to d, radiologists'
outlines gave means of 4, 19, 40 and 62 %.
"""

_GRID = 256  # samples down the field on which glandular tissue is decided: one per 0.94 mm
_LAYERS = 24
_LAYER_MM = 2.3  # between two layers of the shared noise volume
_PARTS = {"anatomy": 1, "side": 2, "exposure": 3, "label": 4, "noise": 5, "cohort": 6, "film": 7, "woman": 8}


def _rng(part: str, *key: int) -> np.random.Generator:
    """Return the generator of one part of the phantom; parts never share random numbers.

    Keys of one part have one length: SeedSequence takes no notice of zeros at a key's end.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((_PARTS[part], *key))))


# --- Noise that all phantoms share --------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _volume() -> NDArray[np.float32]:
    """Return periodic noise (64, 256, 256), power 1/f^3.6, zero mean, unit variance; made once a process."""
    rng = _rng("noise", 0)
    shape = (64, _GRID, _GRID)
    step = FIELD_MM[0] / _GRID
    fz = np.fft.fftfreq(shape[0], _LAYER_MM)[:, None, None]
    fy = np.fft.fftfreq(shape[1], step)[None, :, None]
    fx = np.fft.rfftfreq(shape[2], step)[None, None, :]
    # Steeper than the 2.8 that is wanted in the image: thresholding and the lines add fine detail.
    power = (fz**2 + fy**2 + fx**2 + (1 / 70) ** 2) ** (-3.6 / 2)
    spectrum = rng.standard_normal(power.shape) + 1j * rng.standard_normal(power.shape)
    spectrum *= np.sqrt(power)
    spectrum[0, 0, 0] = 0
    volume = np.fft.irfftn(spectrum, shape, axes=(0, 1, 2))
    return (volume / volume.std()).astype(np.float32)


@dataclass(frozen=True)
class _Band:
    """Which noise: the draw, power 1/f^beta from ``low`` to ``high`` cycles per mm, drawn out along rows."""

    number: int
    beta: float
    low: float
    high: float
    stretch: float = 1.0


_LACE = (
    _Band(1, 3.6, 1 / 90, 1 / 20, 2.0),
    _Band(2, 3.6, 1 / 90, 1 / 20, 2.0),
    _Band(3, 3.6, 1 / 60, 1 / 13, 1.6),
)
_FINE = _Band(5, 2.8, 0.35, 4.0)
_MOTTLE = _Band(6, 2.8, 1 / 25, 4.0)
_FIBRES = _Band(7, 2.6, 1 / 40, 0.4)
_SWIRL = _Band(9, 4.0, 1 / 80, 1 / 12)


@lru_cache(maxsize=16)
def _tile(rows: int, band: _Band) -> Array:
    """Return a periodic (rows, rows) tile of noise, 240 mm wide, of unit variance at full resolution.

    The spectrum is drawn once for 1024 samples and cut or padded to ``rows``, so that a phantom has the same
    anatomy at every resolution.
    """
    full = 1024
    k = np.fft.fftfreq(full, 1 / full)[:, None]
    f = np.hypot(k, band.stretch * np.arange(full // 2 + 1)) / FIELD_MM[0]
    rng = _rng("noise", 1, band.number)
    spectrum = rng.standard_normal(f.shape) + 1j * rng.standard_normal(f.shape)
    f[0, 0] = 1.0
    spectrum *= f ** (-band.beta / 2) * np.exp(-((f / band.high) ** 4)) * (1 - np.exp(-((f / band.low) ** 4)))
    spectrum[0, 0] = 0
    spectrum /= math.sqrt(2 * float((np.abs(spectrum[:, 1:]) ** 2).sum()))
    half = min(full, rows) // 2
    cut = np.zeros((rows, rows // 2 + 1), complex)
    cut[:half, :half] = spectrum[:half, :half]
    cut[-half + 1 :, :half] = spectrum[-half + 1 :, :half]
    return np.fft.irfft2(cut, (rows, rows), axes=(0, 1), norm="forward")


@lru_cache(maxsize=4)
def _level_distance(rows: int, band: _Band) -> Array:
    """Return the distance in mm from the zero lines of a tile, to first order: value over gradient."""
    tile = _tile(rows, band)
    gy = np.roll(tile, -1, 0) - np.roll(tile, 1, 0)
    gx = np.roll(tile, -1, 1) - np.roll(tile, 1, 1)
    return np.abs(tile) * (2 * FIELD_MM[0] / rows) / np.maximum(np.hypot(gy, gx), 1e-6)


def _sample(periodic: Array, y: Array, x: Array) -> Array:
    """Return each layer of a periodic (layers, n, n) block at points in mm: bilinear, dtype as given."""
    n = periodic.shape[1]
    y, x = np.broadcast_arrays(y * (n / FIELD_MM[0]), x * (n / FIELD_MM[0]))
    iy, ix = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx = (y - iy).astype(periodic.dtype), (x - ix).astype(periodic.dtype)
    flat = periodic.reshape(len(periodic), -1)
    result = np.zeros((len(periodic), *y.shape), periodic.dtype)
    for ky, wy in ((iy % n, 1 - fy), ((iy + 1) % n, fy)):
        for kx, wx in ((ix % n, 1 - fx), ((ix + 1) % n, fx)):
            result += flat.take(ky * n + kx, axis=1) * (wy * wx)
    return result


@dataclass(frozen=True)
class _Frame:
    """The part of the image that holds the breast, and its sampling; chest wall in the first column."""

    rows: int
    top: int
    bottom: int
    right: int

    @property
    def pixel(self) -> float:
        return FIELD_MM[0] / self.rows

    @property
    def size(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right

    @property
    def corner(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(0, self.right)

    def grid(self) -> tuple[Array, Array]:
        """Return the centres of the rows (h, 1) and of the columns (1, w) in mm."""
        y = (np.arange(self.top, self.bottom)[:, None] + 0.5) * self.pixel
        return y, (np.arange(self.right)[None, :] + 0.5) * self.pixel

    def window(self, tile: Array, shift_mm: Array) -> Array:
        """Return the part of a periodic (rows, rows) tile that lies under the frame after a shift."""
        n = tile.shape[0]
        iy, ix = (np.rint(shift_mm / self.pixel)).astype(int)
        ys = (np.arange(self.top, self.bottom) + iy) % n
        xs = (np.arange(self.right) + ix) % n
        return tile.take(ys, axis=0).take(xs, axis=1)


# --- Anatomy ------------------------------------------------------------------------------------------------


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
    lace: float
    muscle: float  # share of the thickness
    muscle_top: float  # share of the depth that the muscle covers at the top of an MLO
    muscle_end: float  # row at which its edge meets the chest wall

    @classmethod
    def of(cls, seed: int, density: Density) -> _Anatomy:
        """Draw the woman of a seed."""
        ranges = (
            FRACTION_RANGE[density],
            (74.0, 112.0),
            (135.0, 185.0),
            (1.35, 1.95),
            (1.65, 2.1),
            (0.9, 1.6),
            (6.0, 13.0),
            (0.75, 1.25),
            (0.7, 1.3),
            (0.36, 0.50),
            (0.45, 0.66),
            (125.0, 170.0),
        )
        draws = _rng("anatomy", seed).random(len(ranges)).tolist()
        return cls(*(low + (high - low) * u for (low, high), u in zip(ranges, draws, strict=True)))


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
        """Position the breast: the technologist's hand moves and turns it a little."""
        shift, skew = rng.uniform(-1, 1, 2).tolist()
        if view == "CC":
            half, nipple = anatomy.height / 2, 120 + 7 * shift
            return cls(anatomy, view, thickness, nipple, half * (1 + 0.06 * skew), half * (1 - 0.06 * skew))
        nipple = 138 + 9 * shift
        return cls(anatomy, view, thickness, nipple, nipple * (1.42 + 0.08 * skew), 0.47 * anatomy.height)

    def frame(self, rows: int, margin: float) -> _Frame:
        """Return the frame around the breast."""
        scale = rows / FIELD_MM[0]
        return _Frame(
            rows,
            top=max(int((self.nipple - self.up - margin) * scale), 0),
            bottom=min(int((self.nipple + self.down + margin) * scale) + 1, rows),
            right=min(
                int((self.anatomy.depth + 6 + margin) * scale) + 1, round(rows * FIELD_MM[1] / FIELD_MM[0])
            ),
        )

    def distance(self, y: Array, x: Array) -> Array:
        """Return the distance to the skin in mm, positive inside, to first order: value over gradient."""
        a = self.anatomy
        v = y - self.nipple
        half = np.where(v < 0, self.up, self.down)
        p = a.tip
        q = np.where((v < 0) & (self.view == "MLO"), 1.5, a.round)  # straighter towards the armpit
        fx = (x / a.depth) ** p
        fy = (np.abs(v) / half) ** q
        gx = p / a.depth * (x / a.depth) ** (p - 1)
        gy = q / half * (np.abs(v) / half) ** (q - 1)
        m = (p + q) / 2
        f = np.maximum(fx + fy, 1e-9)
        g = f ** (1 / m)
        slope = g / (m * f) * np.sqrt(gx**2 + gy**2)
        return np.minimum((1 - g) / np.maximum(slope, 1e-6), 60.0)

    def nipple_mm(self, y: Array, x: Array) -> Array:
        """Return the thickness of the nipple in mm: an ellipsoid in profile."""
        r2 = ((x - self.anatomy.depth + 3.0) / 6.5) ** 2 + ((y - self.nipple) / 6.0) ** 2
        return 0.3 * self.thickness * np.sqrt(np.maximum(1 - r2, 0.0))

    def beyond_muscle(self, y: Array, x: Array) -> Array:
        """Return the distance from the edge of the pectoral muscle in mm, negative within it."""
        if self.view == "CC":
            return x + 0 * y + 8.0
        a = self.anatomy
        top = a.muscle_top * a.depth
        edge = top * (1 - (y / a.muscle_end) ** 1.3)  # convex, about 20 to 30 degrees from the vertical
        return (x - edge) * math.cos(math.atan(top / a.muscle_end))


def _rolled_off(distance: Array, thickness: float) -> Array:
    """Return the thickness in mm of a slab whose edge is a half circle."""
    inward = np.clip(distance / (thickness / 2), 0.0, 1.0)
    return thickness * np.sqrt(inward * (2 - inward))


@dataclass(frozen=True)
class _Tissues:
    """Ways of the rays in mm through all of the breast, skin, muscle and what is left; two distances."""

    outer: Array
    skin: Array
    muscle: Array
    inner: Array
    distance: Array
    beyond: Array

    @classmethod
    def of(cls, shape: _Shape, y: Array, x: Array, fibres: Array | float = 1.0) -> _Tissues:
        """Lay skin, muscle and breast on top of each other; ``fibres`` multiplies the muscle."""
        a = shape.anatomy
        distance = shape.distance(y, x)
        outer = np.maximum(_rolled_off(distance, shape.thickness), shape.nipple_mm(y, x))
        within = _rolled_off(distance - a.skin, shape.thickness - 2 * a.skin)
        beyond = shape.beyond_muscle(y, x)
        inside = np.maximum(-beyond, 0.0)
        step = np.clip(inside / 2.0, 0.0, 1.0)
        rise = 0.45 * step * step * (3 - 2 * step) + 0.55 * (1 - np.exp(-inside / 14.0))
        full = a.muscle * shape.thickness * np.clip(1.15 - 0.7 * y / a.muscle_end, 0.2, 1.0)
        muscle = np.minimum(full * rise * fibres, 0.8 * within)
        return cls(outer, outer - within, muscle, within - muscle, distance, beyond)


# --- Glandular tissue ---------------------------------------------------------------------------------------


def _prior(shape: _Shape, t: _Tissues, y: Array, x: Array) -> Array:
    """Return how willingly gland grows: behind the nipple; not under the skin or before the muscle."""
    a = shape.anatomy
    to_nipple = np.hypot(y - shape.nipple, x - a.depth)
    fat = a.fat * (1 - np.exp(-((to_nipple / 16.0) ** 2)))
    under_skin = np.clip((t.distance - fat) / 9.0, -1.0, 1.0)
    before_muscle = np.clip(t.beyond / 16.0, -1.0, 1.0)
    lift = 0.08 if shape.view == "CC" else 0.12  # more tissue on the outer, upper side
    centre_y = (y - shape.nipple + lift * shape.up) / (0.42 * (min(shape.up, 90.0) + shape.down))
    centre_x = (x - 0.55 * a.depth) / (0.55 * a.depth)
    return 1.6 * under_skin + 0.9 * before_muscle - 1.1 * (centre_y**2 + 0.6 * centre_x**2)


def _lobes(shape: _Shape, y: Array, x: Array, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise (layers, rows, columns), half of it drawn out along rays from the nipple as ducts are."""
    volume = _volume()[(rng.integers(64) + np.arange(_LAYERS)) % 64]
    swirl = _tile(_GRID, _SWIRL)[None]
    (a, b), (c, d) = rng.uniform(0, 240, (2, 2)).tolist()
    y, x = y + 3.0 * _sample(swirl, y + a, x + b)[0], x + 3.0 * _sample(swirl, y + c, x + d)[0]
    dy, dx = y - shape.nipple, shape.anatomy.depth + 8 - x
    radius, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
    a, b, c, d = rng.uniform(0, 240, 4).tolist()
    drawn = _sample(volume, 62.0 * angle + a, 0.38 * radius + b)
    plain = _sample(volume[::-1], y + c, x + d)
    return (np.float32(0.8) * drawn + np.float32(0.6) * plain).astype(np.float32)


def _gland_share(shape: _Shape, woman: np.random.Generator, side: np.random.Generator) -> Array:
    """Return the glandular share along each ray, 0 to 1, on the coarse grid (256, 205).

    The threshold is found by bisection on every second sample: the share of the volume that it leaves is the
    target to within a few per cent, and the picture's own scaling settles the rest.
    """
    a = shape.anatomy
    frame = shape.frame(_GRID, 0.0)
    y, x = frame.grid()
    t = _Tissues.of(shape, y, x)
    noise = np.float32(0.75) * _lobes(shape, y, x, woman) + np.float32(0.66) * _lobes(shape, y, x, side)
    depth = np.linspace(-1, 1, _LAYERS)[:, None, None]
    field = np.float32(1.3 * a.lump) * noise
    field += _prior(shape, t, y, x).astype(np.float32)
    field -= (0.9 * depth**2).astype(np.float32)
    gain = np.float32(2.6 - 2.6 * a.fraction)

    def share(values: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
        return np.clip((values - np.float32(threshold)) * gain + np.float32(0.5), 0, 1).mean(0)

    volume, sample = t.inner[::2, ::2], np.ascontiguousarray(field[:, ::2, ::2])
    goal = a.fraction * float(volume.sum())
    low, high = -12.0, 12.0
    for _ in range(22):
        middle = (low + high) / 2
        low, high = (middle, high) if float((share(sample, middle) * volume).sum()) > goal else (low, middle)
    whole = np.zeros((_GRID, round(_GRID * FIELD_MM[1] / FIELD_MM[0])))
    whole[frame.corner] = share(field, middle)
    return whole


@lru_cache(maxsize=8)
def _enlarger(fine: int, coarse: int) -> Array:
    """Return the (fine, coarse) matrix of cubic convolution (Keys, 1981, a = −1/2)."""
    at = (np.arange(fine) + 0.5) * (coarse / fine) - 0.5
    d = np.abs(at[:, None] - np.arange(coarse)[None, :])
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)


# --- Lines --------------------------------------------------------------------------------------------------


def _blur(image: Array, sigma: float) -> Array:
    """Return the image after a Gaussian of ``sigma`` pixels, in float64."""
    if sigma <= 0.2:
        return image
    radius = max(1, math.ceil(3.5 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return np.asarray(
        cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REPLICATE), np.float64
    )


def _splat(size: tuple[int, int], y: Array, x: Array, weight: Array) -> Array:
    """Return an image to which each point (pixels) has given its weight, shared among four neighbours.

    OpenCV's own lines and letters change from release to release; these do not.
    """
    h, w = size
    y, x, weight = y.ravel() - 0.5, x.ravel() - 0.5, weight.ravel()
    iy, ix = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx = y - iy, x - ix
    image = np.zeros(h * w)
    for dy, dx in itertools.product((0, 1), (0, 1)):
        share = weight * (fy if dy else 1 - fy) * (fx if dx else 1 - fx)
        ok = (iy + dy >= 0) & (iy + dy < h) & (ix + dx >= 0) & (ix + dx < w)
        image += np.bincount(((iy + dy) * w + ix + dx)[ok], share[ok], h * w)
    return image.reshape(h, w)


def _curves(
    rng: np.random.Generator, start: tuple[Array, Array], heading: Array, length: Array, bend: float
) -> tuple[Array, Array, Array]:
    """Return points (curves, 256), y and x in mm, of gently wandering curves, and the mm between points."""
    points = 256
    turns = rng.standard_normal((heading.size, 8)) @ _enlarger(points, 8).T * (bend / points)
    angle = heading[:, None] + np.cumsum(turns, 1) * length[:, None] / 10
    step = np.repeat(length[:, None] / points, points, 1)
    y = start[0][:, None] + np.cumsum(np.sin(angle) * step, 1)
    return y, start[1][:, None] + np.cumsum(np.cos(angle) * step, 1), step


def _lines(shape: _Shape, rng: np.random.Generator, frame: _Frame) -> Array:
    """Return ligaments and vessels in mm: single curves, and a lace along the level lines of smooth noise."""
    a, pixel = shape.anatomy, frame.pixel
    first, last = shape.nipple - shape.up, shape.nipple + shape.down

    def draw(y: Array, x: Array, mm2: Array) -> Array:
        return _splat(frame.size, y / pixel - frame.top, x / pixel, mm2 / pixel**2)

    n = 90
    sy, sx = rng.uniform(max(first, 0), last, n), rng.uniform(0, 1, n) ** 0.8 * a.depth
    outward = np.arctan2(sy - shape.nipple, sx - 0.2 * a.depth) + rng.normal(0, 0.7, n)
    y, x, step = _curves(rng, (sy, sx), outward, rng.uniform(15, 65, n), 0.3)
    fade = np.sin(np.linspace(0, np.pi, 256)) * rng.uniform(0.3, 1.0, n)[:, None]
    total = _blur(draw(y, x, 1.6 * fade * step), 0.28 / pixel)

    n = 5
    sy = rng.uniform(0.75 * max(first, 0) + 0.25 * last, 0.25 * max(first, 0) + 0.75 * last, n)
    inward = np.arctan2(shape.nipple - sy, a.depth) + rng.normal(0, 0.35, n)
    y, x, step = _curves(rng, (sy, np.full(n, -2.0)), inward, rng.uniform(60, 110, n), 0.4)
    fade = np.linspace(1, 0.25, 256) * rng.uniform(0.5, 1.0, n)[:, None]
    total += _blur(draw(y, x, 4.5 * fade * step), 0.75 / pixel)

    for i, width in itertools.product(range(3), (0.5, 0.45, 0.4)):
        away = frame.window(_level_distance(frame.rows, _LACE[i]), rng.uniform(0, 240, 2))
        strength = frame.window(_tile(frame.rows, _LACE[0]), rng.uniform(0, 240, 2))
        profile = np.clip(1.5 - away / width, 0.0, 1.0)
        total += 2.6 * a.lace * np.clip(strength + 0.5, 0.0, 1.3) * profile * profile
    return total


def _gland_mm(shape: _Shape, t: _Tissues, share: Array, frame: _Frame, rng: np.random.Generator) -> Array:
    """Return gland in mm: the share with fine texture and lines, scaled until its volume is the target."""
    fine = frame.window(_tile(frame.rows, _FINE), rng.uniform(0, 240, 2))
    mottle = frame.window(_tile(frame.rows, _MOTTLE), rng.uniform(0, 240, 2))
    lines = _lines(shape, rng, frame) * np.minimum(t.inner / 10, 1.0) * (0.35 + np.minimum(2 * share, 0.65))
    body = (share * (1 + 0.03 * fine + 0.09 * mottle) + 0.008 * np.maximum(mottle, 0.0)) * t.inner
    ceiling = 0.96 * t.inner
    goal = shape.anatomy.fraction * float(t.inner.sum())
    scale = 1.0
    for _ in range(7):
        gland = np.clip(scale * body + lines, 0.0, ceiling)
        scale *= goal / float(gland.sum())
    return gland


def _fibres(shape: _Shape, frame: _Frame, rng: np.random.Generator) -> Array:
    """Return the texture of the muscle, drawn out along its edge, as a factor near one."""
    tile = _tile(frame.rows, _FIBRES)
    n = tile.shape[0]
    slope = shape.anatomy.muscle_top * shape.anatomy.depth / shape.anatomy.muscle_end
    shift = rng.uniform(0, n, 2)
    ys = np.arange(frame.top, frame.bottom)[:, None]
    xs = np.arange(frame.right)[None, :]
    across = np.rint(xs + slope * ys + shift[0]).astype(int) % n
    along = np.rint((ys - slope * xs) * 0.2 + shift[1]).astype(int) % n
    return 1 + 0.03 * tile[across, along]


# --- From tissue to a picture -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Style:
    """How a made-up vendor exposes and renders."""

    manufacturer: str
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    quanta: float  # mean detected behind the breast, per pixel of 0.1 mm
    blur_mm: float
    equalise: float  # share of the missing thickness that is made up for at the edge
    rim_mm: float  # thickness at which half of that is reached
    sharpen: float
    fat_level: float  # display value of a ray through fat alone
    gamma: float
    ground: int  # value of the air
    label_mm: float
    label_turn: float  # degrees


_STYLES: dict[str, _Style] = {
    "alder": _Style("Alder (synthetic)", "MONOCHROME2", 900, 0.08, 0.97, 1.5, 0.6, 0.27, 1.0, 0, 7.0, 0.0),
    "birch": _Style("Birch (synthetic)", "MONOCHROME2", 600, 0.14, 0.88, 3.0, 0.3, 0.22, 1.15, 96, 9.0, 0.0),
    "cedar": _Style("Cedar (synthetic)", "MONOCHROME1", 350, 0.20, 0.70, 6.0, 0.4, 0.30, 0.85, 0, 11.0, 42.0),
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


def _text(text: str, style: _Style, rng: np.random.Generator, rows: int, left: bool) -> Array:
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
    ink = _splat((rows, round(rows * FIELD_MM[1] / FIELD_MM[0])), y / pixel, x / pixel, np.ones_like(x))
    ink = np.minimum(_blur(ink, 0.05 * height / pixel) * 0.0018 * (height / pixel) ** 2, 1.0)
    return np.where(ink > 0.01, ink, 0.0)


def _film(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
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


def _expose(
    t: _Tissues, gland: Array, style: _Style, rng: np.random.Generator, pixel: float
) -> tuple[Array, float]:
    """Return detected quanta a pixel, and what bare air would give.

    Beer–Lambert, detector blur, automatic exposure control, and Poisson noise in its Gaussian limit.
    """
    depth = (
        MU_PER_MM["fat"] * (t.inner - gland)
        + MU_PER_MM["gland"] * gland
        + MU_PER_MM["skin"] * t.skin
        + MU_PER_MM["muscle"] * t.muscle
    )
    through = _blur(np.exp(-depth), style.blur_mm / pixel)
    # The control holds the mean signal behind the breast, within a tenth.
    signal = style.quanta * (pixel / 0.1) ** 2 * float(rng.uniform(0.9, 1.1))
    air = signal / float(through[t.distance > 10].mean())
    expected = air * through
    return np.maximum(expected + np.sqrt(expected) * rng.standard_normal(expected.shape), 1.0), air


def _present(
    raw: Array,
    air: float,
    t: _Tissues,
    style: _Style,
    rng: np.random.Generator,
    thickness: float,
    pixel: float,
) -> Array:
    """Return display values, 0 to 1: log, peripheral equalisation, sharpening, window, tone."""
    log = -np.log(raw / air)
    smooth = _blur(t.outer, 2.0 / pixel)
    missing = style.equalise * MU_PER_MM["fat"] * (thickness - smooth)
    log += missing * smooth / (smooth + style.rim_mm) * np.minimum(t.outer / 2.0, 1.0)
    log += style.sharpen * (log - _blur(log, 0.6 / pixel))
    fat = MU_PER_MM["fat"] * thickness
    contrast = 0.75 * (MU_PER_MM["gland"] - MU_PER_MM["fat"]) * thickness
    sample = log[::3, ::3][t.distance[::3, ::3] > 8]
    nth = int(0.99 * sample.size)
    bright = float(np.partition(sample, nth)[nth]) - fat
    # No two examinations are windowed alike: brightness and contrast vary a little from one to the next.
    level = style.fat_level + 0.05 * float(rng.uniform(-1, 1))
    span = max(0.3 * contrast + 0.7 * bright, 0.4) / (0.9 - level) * float(rng.uniform(0.88, 1.14))
    value = level + (log - fat) / span
    value = 0.5 * (value + np.sqrt(value**2 + 0.003))  # a soft toe: the skin fades, it is not cut
    over = np.maximum(value - 0.75, 0.0)
    value = np.minimum(value, 0.75) + over / (1 + over / 0.25)  # and a soft shoulder
    return np.where(t.outer > 0, value, 0.0) ** style.gamma


@dataclass(frozen=True)
class Rendering:
    """A rendered phantom and its truth; all maps are (rows, columns), as displayed.

    ``pixels`` is uint16, 0 to 4095, breast bright. ``raw`` is float32: detected quanta a pixel before any
    processing, and ``air`` what bare air gives. The float32 maps ``breast_mm`` (the breast inside its skin,
    muscle left out), ``gland_mm`` (the part of it that is gland), ``muscle_mm`` and ``skin_mm`` are the ray's
    way through each tissue. ``tissue``, ``label`` and ``film_edge`` are bool: where breast (skin, nipple and
    muscle included), burned-in text and the frame of the film lie; the frame covers what is under it.
    ``volumetric_fraction`` is gland over breast by volume; ``area_density`` the share of rays with more than
    :data:`DENSE_SHARE` gland, the thin rim left out.
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
    film_edge: NDArray[np.bool_]
    volumetric_fraction: float
    area_density: float


# --- The phantom --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phantom:
    """One synthetic mammogram.

    ``density`` is the BI-RADS-like class; ``thickness_mm`` the compressed thickness (20 to 110); ``vendor``
    the style of exposure and rendering; ``label`` whether text such as RMLO is burned into the dark corner;
    ``film_edge`` whether there are the white edges of digitised film, at times with tape or a scratch.
    ``seed`` is the woman: her images share size, shape, glandular fraction and much of the texture.
    ``nuisance_seed`` is the visit: positioning, exposure, quantum noise, place of the label, film. ``rows``
    (128 to 4096) is the sampling of a field of 240 × 192 mm; ``woman`` the name that goes into the file.

    Raises ValueError if a field is outside these ranges.
    """

    density: Density = "b"
    view: View = "CC"
    laterality: Laterality = "L"
    thickness_mm: float = 55.0
    vendor: Vendor = "alder"
    label: bool = False
    film_edge: bool = False
    seed: int = 0
    nuisance_seed: int = 0
    rows: int = 1024
    woman: str = "W01"

    def __post_init__(self) -> None:
        # Equal phantoms have equal UIDs, whether their fields come from Python, numpy or a table.
        for field, kind in (("thickness_mm", float), ("label", bool), ("film_edge", bool), ("rows", int)):
            object.__setattr__(self, field, kind(getattr(self, field)))
        choices = {"density": DENSITIES, "view": VIEWS, "laterality": LATERALITIES, "vendor": VENDORS}
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} must be one of {', '.join(allowed)}, not {getattr(self, field)!r}")
        for field, low, high in (("thickness_mm", 20, 110), ("rows", 128, 4096)):
            if not low <= getattr(self, field) <= high:
                raise ValueError(f"{field} must lie between {low} and {high}, not {getattr(self, field)}")

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
        which = (VIEWS.index(self.view), LATERALITIES.index(self.laterality))
        woman = _rng("woman", self.seed, which[0])
        side = _rng("side", self.seed, *which)
        visit = _rng("exposure", self.nuisance_seed, self.seed, *which)
        shape = _Shape.of(_Anatomy.of(self.seed, self.density), self.view, self.thickness_mm, visit)
        frame = shape.frame(self.rows, margin=6.0)
        pixel = frame.pixel

        coarse = _gland_share(shape, woman, side)
        down = _enlarger(self.rows, coarse.shape[0])[frame.top : frame.bottom]
        across = _enlarger(self.columns, coarse.shape[1])[: frame.right]
        share = np.clip(down @ coarse @ across.T, 0.0, 1.0)
        t = _Tissues.of(shape, *frame.grid(), fibres=_fibres(shape, frame, side))
        gland = _gland_mm(shape, t, share, frame, side)
        raw, air = _expose(t, gland, style, visit, pixel)
        value = _present(raw, air, t, style, visit, self.thickness_mm, pixel)

        def whole(part: Array, fill: float = 0.0) -> Array:
            image = np.full((self.rows, self.columns), fill)
            image[frame.corner] = part
            return np.ascontiguousarray(image if self.laterality == "L" else image[:, ::-1])

        display = style.ground + whole(value) * (4095 - style.ground)
        label: Array = np.zeros_like(display)
        if self.label:
            rng = _rng("label", self.nuisance_seed, self.seed, *which)
            label = _text(self.laterality + self.view, style, rng, self.rows, self.laterality == "L")
            display += (3900 - display) * label
        film: Array = np.zeros_like(display)
        if self.film_edge:
            film, gray = _film(_rng("film", self.nuisance_seed, self.seed, *which), self.rows, self.columns)
            if self.laterality == "R":
                film, gray = film[:, ::-1], gray[:, ::-1]
            display += (gray - display) * film
        return Rendering(
            pixels=np.rint(display).astype(np.uint16),
            raw=whole(raw, air).astype(np.float32),
            air=air,
            breast_mm=whole(t.inner).astype(np.float32),
            gland_mm=whole(gland).astype(np.float32),
            muscle_mm=whole(t.muscle).astype(np.float32),
            skin_mm=whole(t.skin).astype(np.float32),
            tissue=whole(t.outer) > 0,
            label=(label > 0) & (film < 1),
            film_edge=film > 0,
            volumetric_fraction=float(gland.sum() / t.inner.sum()),
            area_density=float((gland > DENSE_SHARE * t.inner)[t.inner > 0.2 * self.thickness_mm].mean()),
        )

    def write(self, path: str | Path, *, compress: bool = True) -> Rendering:
        """Render, write a Digital Mammography X-Ray Image – For Presentation file, and return the rendering.

        ``compress`` chooses RLE lossless, else explicit VR little endian. Same phantom, same bytes. Vendors
        with MONOCHROME1 store 4095 minus ``pixels``.
        """
        rendering = self.render()
        ds = _dataset(self, rendering.pixels)
        if compress:
            # pydicom's own encoder: others pack runs differently, and bytes would depend on what is there.
            ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        ds.save_as(path, enforce_file_format=True)
        return rendering


# --- DICOM --------------------------------------------------------------------------------------------------


def _uid(*parts: object) -> UID:
    """Return a UID made from a hash (PS3.5 annex B.2): the same parts, the same UID."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
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
    ds.SOPInstanceUID = _uid("instance", *astuple(p))
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
    ds.SeriesInstanceUID = _uid("series", *astuple(p))
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


# --- Cohorts ------------------------------------------------------------------------------------------------


def cohort(
    *,
    women: int = 12,
    views: Sequence[View] = VIEWS,
    sides: Sequence[Laterality] | None = None,
    rows: int = 1024,
    film_edges: bool = False,
    seed: int = 0,
) -> Iterator[Phantom]:
    """Yield the phantoms of a cohort in which density and every nuisance are crossed, woman by woman.

    Twelve women are the four densities times the three vendor styles; with more women the pattern repeats,
    with fewer it is cut. Thickness comes in three strata that are dealt out within each density, so that it
    says nothing about density. ``sides=None`` takes one side a view and lets it alternate between views and
    women; ``("L", "R")`` takes both sides in every view. Every other image of a woman carries label text; a
    seed of its own says which. With ``film_edges`` all images of every other woman in each
    density are digitised film. Raises ValueError if ``women`` is less than 1.
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
    turn, film = _turns(plan, seed, 2), _turns(plan, seed, 3)
    for row in plan:
        turn[row["woman"]] += 1
        edge = film_edges and film[row["woman"]] == 1
        yield Phantom(label=turn[row["woman"]] % 2 == 0, film_edge=edge, **row)


def _turns(plan: list[dict[str, Any]], seed: int, part: int) -> dict[str, int]:
    """Return 0 or 1 for each woman, by turns within each density, in an order of the part's own."""
    turns: dict[str, int] = {}
    for d, density in enumerate(DENSITIES):
        names = sorted({row["woman"] for row in plan if row["density"] == density})
        _rng("cohort", seed, part, d).shuffle(names)
        turns.update({name: (i + d) % 2 for i, name in enumerate(names)})
    return turns


def write_cohort(
    folder: str | Path,
    *,
    women: int = 12,
    views: Sequence[View] = VIEWS,
    sides: Sequence[Laterality] | None = None,
    rows: int = 1024,
    film_edges: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Write a cohort (see :func:`cohort`) as RLE DICOM files, ``manifest.csv`` beside them; return the
    manifest.

    One row a file: ``file, sha256, woman, density, volumetric_fraction, area_density, view, laterality,
    thickness_mm, vendor, label, film_edge, rows, columns, seed, nuisance_seed``. Fractions are shares (0 to
    1) rounded to four digits. Files of the same names are replaced; ``progress`` shows a bar.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    phantoms: Iterable[Phantom] = list(
        cohort(women=women, views=views, sides=sides, rows=rows, film_edges=film_edges, seed=seed)
    )
    if progress:
        from tqdm.auto import tqdm

        phantoms = tqdm(phantoms, desc="phantoms", unit="image")
    table = []
    for p in phantoms:
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
                "film_edge": p.film_edge,
                "rows": p.rows,
                "columns": p.columns,
                "seed": p.seed,
                "nuisance_seed": p.nuisance_seed,
            }
        )
    manifest = pd.DataFrame(table)
    manifest.to_csv(folder / "manifest.csv", index=False, lineterminator="\n")
    return manifest
