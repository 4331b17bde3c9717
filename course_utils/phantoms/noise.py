"""Random numbers and the noise that all phantoms share: a volume, and tiles at the picture's resolution.

In: the seeds of one part of a phantom. Out: generators that never share a number, and noise whose power falls
as 1/f^β (lesson 01 says what that looks like). The grid of the field and simple filters are here too.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

FIELD_MM = (240.0, 192.0)
"""Height and width of the detector in millimetres; `rows` only says how finely it is sampled."""

VOXELS = 128
VOXEL_MM = 1.25

_PARTS = {
    "anatomy": 1,
    "side": 2,
    "visit": 3,
    "label": 4,
    "noise": 5,
    "cohort": 6,
    "film": 7,
    "woman": 8,
    "view": 9,
}


def generator(part: str, *key: int) -> np.random.Generator:
    """Return the generator of one part of the phantom; parts never share random numbers.

    Keys of one part have the same length: SeedSequence ignores zeros at a key's end.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((_PARTS[part], *key))))


@lru_cache(maxsize=1)
def volume() -> NDArray[np.float32]:
    """Return periodic noise, `VOXELS` a side of `VOXEL_MM`, power 1/f^3.6, mean 0, variance 1.

    Steeper than the 2.8 wanted in the image: thresholding and lines add fine detail.
    """
    rng = generator("noise", 0)
    f = np.fft.fftfreq(VOXELS, VOXEL_MM) ** 2
    power = f[:, None, None] + f[None, :, None] + f[None, None, : VOXELS // 2 + 1]
    power = (power + (1 / 70) ** 2) ** (-3.6 / 2)
    spectrum = rng.standard_normal(power.shape) + 1j * rng.standard_normal(power.shape)
    spectrum *= np.sqrt(power)
    spectrum[0, 0, 0] = 0
    block = np.fft.irfftn(spectrum, (VOXELS,) * 3, axes=(0, 1, 2))
    return (block / block.std()).astype(np.float32)


def look_up(block: NDArray[np.float32], z: Array, y: Array, x: Array) -> NDArray[np.float32]:
    """Sample a block like the volume at points in mm: nearest layer in z, bilinear in y and x."""
    z, y, x = (np.broadcast_to(mm, np.broadcast_shapes(z.shape, y.shape, x.shape)) for mm in (z, y, x))
    last, flat = VOXELS - 1, block.reshape(-1)
    layer = (np.rint(z * (1 / VOXEL_MM)).astype(np.int32) & last) * np.int32(VOXELS**2)
    y, x = y * (1 / VOXEL_MM), x * (1 / VOXEL_MM)
    iy, ix = np.floor(y).astype(np.int32), np.floor(x).astype(np.int32)
    fy, fx = (y - iy).astype(np.float32), (x - ix).astype(np.float32)
    upper, lower = (layer + (i & last) * np.int32(VOXELS) for i in (iy, iy + 1))
    left, right = ix & last, (ix + 1) & last
    top = flat.take(upper + left) * (1 - fx) + flat.take(upper + right) * fx
    bottom = flat.take(lower + left) * (1 - fx) + flat.take(lower + right) * fx
    return top * (1 - fy) + bottom * fy


@dataclass(frozen=True)
class Band:
    """Which noise: the draw, power 1/f^beta from `low` to `high` cycles per mm, stretched along rows."""

    number: int
    beta: float
    low: float
    high: float
    stretch: float = 1.0


@lru_cache(maxsize=16)
def tile(rows: int, band: Band) -> Array:
    """Return a periodic (rows, rows) tile of noise, 240 mm wide, of unit variance at full resolution.

    The spectrum is drawn once for 1024 samples and cut or padded to `rows`, so a phantom has the same anatomy
    at every resolution.
    """
    full = 1024
    k = np.fft.fftfreq(full, 1 / full)[:, None]
    f = np.hypot(k, band.stretch * np.arange(full // 2 + 1)) / FIELD_MM[0]
    rng = generator("noise", band.number)
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
def level_distance(rows: int, band: Band) -> Array:
    """Return the distance in mm from the zero lines of a tile, to first order: value over gradient."""
    noise = tile(rows, band)
    gy = np.roll(noise, -1, 0) - np.roll(noise, 1, 0)
    gx = np.roll(noise, -1, 1) - np.roll(noise, 1, 1)
    return np.abs(noise) * (2 * FIELD_MM[0] / rows) / np.maximum(np.hypot(gy, gx), 1e-6)


@dataclass(frozen=True)
class Frame:
    """The part of the image that holds the breast, and its sampling; chest wall in the first column."""

    rows: int
    top: int
    bottom: int
    right: int

    @property
    def pixel(self) -> float:
        """Return the millimetres from one pixel to the next."""
        return FIELD_MM[0] / self.rows

    @property
    def size(self) -> tuple[int, int]:
        """Return rows and columns of the frame."""
        return self.bottom - self.top, self.right

    @property
    def corner(self) -> tuple[slice, slice]:
        """Return where the frame lies in the image."""
        return slice(self.top, self.bottom), slice(0, self.right)

    def grid(self) -> tuple[Array, Array]:
        """Return the centres of the rows (h, 1) and of the columns (1, w) in mm."""
        y = (np.arange(self.top, self.bottom)[:, None] + 0.5) * self.pixel
        return y, (np.arange(self.right)[None, :] + 0.5) * self.pixel

    def window(self, periodic: Array, shift_mm: Array) -> Array:
        """Return the part of a periodic (rows, rows) tile that lies under the frame after a shift."""
        iy, ix = (np.rint(shift_mm / self.pixel)).astype(int).tolist()
        return _cut(_cut(periodic, self.top + iy, self.size[0]).T, ix, self.size[1]).T


def _cut(periodic: Array, first: int, count: int) -> Array:
    """Return `count` rows, starting at `first`, of something periodic."""
    first %= len(periodic)
    rest = first + count - len(periodic)
    return (
        np.concatenate([periodic[first:], periodic[:rest]]) if rest > 0 else periodic[first : first + count]
    )


def blur(image: Array, sigma: float) -> Array:
    """Return the image after a Gaussian of `sigma` pixels, in float64."""
    if sigma <= 0.2:
        return image
    radius = max(1, math.ceil(3.5 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return np.asarray(
        cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REPLICATE), np.float64
    )


def splat(size: tuple[int, int], y: Array, x: Array, weight: Array) -> Array:
    """Return an image to which each point (pixels) adds its weight, shared among four neighbours.

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


@lru_cache(maxsize=8)
def enlarger(fine: int, coarse: int) -> Array:
    """Return the (fine, coarse) matrix of cubic convolution (Keys, 1981, a = −1/2)."""
    at = (np.arange(fine) + 0.5) * (coarse / fine) - 0.5
    d = np.abs(at[:, None] - np.arange(coarse)[None, :])
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)
