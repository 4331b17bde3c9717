"""From a seed to a body: the woman, the outline of her breast in a view, skin and muscle (lessons 01 and 02).

In: a seed, a density and a view. Out: an `Anatomy`, the `Shape` of one breast in one view, and `Tissues`: the
millimetres of each along every ray. `gland` fills the rest.

A breast has its own coordinates: x from the chest wall to the nipple, and a round cross-section, lateral
to medial and cranial to caudal. A view squeezes that circle into an ellipse as thick as the paddle leaves it,
CC from above, MLO at 45°, and adds up what lies along each ray. So both views of a breast show the same
glandular lumps, ducts and strands, at the same depth behind the nipple.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from course_utils.phantoms.noise import FIELD_MM, Array, Band, Frame, generator, tile

Density = Literal["a", "b", "c", "d"]
View = Literal["CC", "MLO"]
Laterality = Literal["L", "R"]

FRACTION_RANGE = {"a": (0.035, 0.070), "b": (0.11, 0.20), "c": (0.26, 0.38), "d": (0.46, 0.62)}
"""Glandular share of the volume in each class, near the 5, 15, 34 and 60 % of the VICTRE trial."""

_FIBRES = Band(7, 2.6, 1 / 40, 0.5)


@dataclass(frozen=True)
class Anatomy:
    """What all images of a woman share; lengths in mm."""

    fraction: float
    height: float  # across the breast in CC
    slender: float  # chest wall to nipple, as a share of the height
    tip: float  # exponent of the outline along the axis
    round: float  # exponent of the outline across it
    skin: float
    fat: float  # subcutaneous
    lump: float  # how much the noise outweighs the prior
    lace: float
    muscle: float  # share of the thickness
    muscle_top: float  # share of the depth covered by the muscle at the top of an MLO
    muscle_end: float  # row at which its edge meets the chest wall

    @classmethod
    def of(cls, seed: int, density: Density) -> Anatomy:
        """Draw the woman of a seed."""
        ranges = (
            FRACTION_RANGE[density],
            (140.0, 190.0),
            (0.44, 0.62),
            (1.25, 1.75),
            (1.55, 1.95),
            (0.9, 1.6),
            (5.0, 11.0),
            (0.75, 1.25),
            (0.7, 1.3),
            (0.30, 0.44),
            (0.42, 0.66),
            (125.0, 170.0),
        )
        draws = generator("anatomy", seed).random(len(ranges)).tolist()
        return cls(*(low + (high - low) * u for (low, high), u in zip(ranges, draws, strict=True)))

    @property
    def depth(self) -> float:
        """Return the millimetres from the chest wall to the nipple."""
        return self.slender * self.height


def _union(a: Array, b: Array, mm: float) -> Array:
    """Return the distance inside the union of two shapes, the junction rounded off over `mm`."""
    near = np.maximum(1 - np.abs(a - b) / mm, 0.0)
    return np.maximum(a, b) + 0.25 * mm * near * near


@dataclass(frozen=True)
class Shape:
    """Outline of one breast in one view, chest wall at x = 0, in mm."""

    anatomy: Anatomy
    view: View
    thickness: float
    nipple: float  # row
    up: float
    down: float
    wall: float  # how far the chest or belly beside the breast is in the image
    tail: float  # MLO: from the muscle's edge to the skin of the armpit, at the top
    lean: float  # MLO: how far that skin would reach at the nipple's row, as a share of the depth

    @classmethod
    def of(cls, anatomy: Anatomy, view: View, thickness: float, rng: np.random.Generator) -> Shape:
        """Position the breast: the technologist's hand moves and turns it a little."""
        shift, skew, wall, tail, lean = rng.uniform(-1, 1, 5).tolist()
        half = anatomy.height / 2
        up, down = half * (1 + 0.07 * skew), half * (1 - 0.07 * skew)
        if view == "CC":
            return cls(anatomy, view, thickness, 120 + 7 * shift, up, down, -5 + 3 * wall, 0.0, 0.0)
        up, down, nipple = 1.15 * up, 0.92 * down, 142 + 9 * shift
        wall, tail, lean = -3 + 3 * wall, 12 + 8 * tail, 0.66 + 0.18 * lean
        return cls(anatomy, view, thickness, nipple, up, down, wall, tail, lean)

    def frame(self, rows: int) -> Frame:
        """Return the frame around the breast: for an MLO, all rows."""
        scale = rows / FIELD_MM[0]
        right = min(int((self.anatomy.depth + 12) * scale) + 1, round(rows * FIELD_MM[1] / FIELD_MM[0]))
        if self.view == "MLO":
            return Frame(rows, 0, rows, right)
        top = max(int((self.nipple - self.up - 16) * scale), 0)
        return Frame(rows, top, min(int((self.nipple + self.down + 16) * scale) + 1, rows), right)

    def across(self, y: Array) -> Array:
        """Return where across the breast, −1 at its upper border, 0 behind the nipple, 1 at its lower."""
        v = y - self.nipple
        return v / np.where(v < 0, self.up, self.down)

    def distance(self, y: Array, x: Array) -> Array:
        """Return the distance to the skin in mm, positive inside, to first order: value over gradient."""
        a = self.anatomy
        v = np.abs(self.across(y))
        p, q = a.tip, a.round
        fx, fy = (x / a.depth) ** p, v**q
        gx = p / a.depth * (x / a.depth) ** (p - 1)
        gy = q / np.where(y < self.nipple, self.up, self.down) * v ** (q - 1)
        m = (p + q) / 2
        f = np.maximum(fx + fy, 1e-9)
        g = f ** (1 / m)
        slope = g / (m * f) * np.sqrt(gx**2 + gy**2)
        mound = (1 - g) / np.maximum(slope, 1e-6)
        if self.view == "CC":
            return np.minimum(_union(mound, self.wall - x, 18.0), 60.0)
        top = a.muscle_top * a.depth + self.tail
        lean = (top - self.lean * a.depth) / self.nipple
        tail = (top - lean * y - x) / math.hypot(1, lean)
        tail = np.minimum(tail, 0.7 * (self.nipple - y))
        belly = np.minimum(self.wall - x, 0.5 * (y - self.nipple))
        return np.minimum(_union(_union(mound, tail, 22.0), belly, 12.0), 60.0)

    def nipple_mm(self, y: Array, x: Array) -> Array:
        """Return the thickness of the nipple in mm: an ellipsoid in profile."""
        r2 = ((x - self.anatomy.depth + 2.5) / 6.5) ** 2 + ((y - self.nipple) / 5.5) ** 2
        return 0.25 * self.thickness * np.sqrt(np.maximum(1 - r2, 0.0))

    def beyond_muscle(self, y: Array, x: Array) -> Array:
        """Return the distance from the edge of the pectoral muscle in mm, negative within it."""
        if self.view == "CC":
            return x + 0 * y + 8.0
        a = self.anatomy
        top = a.muscle_top * a.depth
        edge = top * (1 - (y / a.muscle_end) ** 1.4)  # convex, about 20 to 30 degrees from the vertical
        return (x - edge) * math.cos(math.atan(top / a.muscle_end))


def _rolled_off(distance: Array, thickness: float) -> Array:
    """Return the thickness in mm of a slab whose edge is a semicircle."""
    inward = np.clip(distance / (thickness / 2), 0.0, 1.0)
    return thickness * np.sqrt(inward * (2 - inward))


@dataclass(frozen=True)
class Tissues:
    """Ray paths in mm through the whole breast, skin, muscle and the rest; two distances."""

    outer: Array
    skin: Array
    muscle: Array
    inner: Array
    distance: Array
    beyond: Array

    @classmethod
    def of(cls, shape: Shape, y: Array, x: Array, fibres: Array | float = 1.0) -> Tissues:
        """Lay skin, muscle and breast on top of each other; `fibres` multiplies the muscle."""
        a = shape.anatomy
        distance = shape.distance(y, x)
        outer = np.maximum(_rolled_off(distance, shape.thickness), shape.nipple_mm(y, x))
        within = _rolled_off(distance - a.skin, shape.thickness - 2 * a.skin)
        beyond = shape.beyond_muscle(y, x)
        inside = np.maximum(-beyond, 0.0)
        step = np.clip(inside / 3.0, 0.0, 1.0)
        rise = 0.35 * step * step * (3 - 2 * step) + 0.65 * (1 - np.exp(-inside / 16.0))
        full = a.muscle * shape.thickness * np.clip(1.3 - 1.0 * y / a.muscle_end, 0.15, 1.2)
        muscle = np.minimum(full * rise * fibres, 0.8 * within)
        return cls(outer, outer - within, muscle, within - muscle, distance, beyond)


def fibres(shape: Shape, frame: Frame, rng: np.random.Generator) -> Array | float:
    """Return the texture of the muscle, stretched along its edge, as a factor near one."""
    if shape.view == "CC":
        return 1.0
    noise = tile(frame.rows, _FIBRES)
    n = noise.shape[0]
    slope = shape.anatomy.muscle_top * shape.anatomy.depth / shape.anatomy.muscle_end
    shift = rng.uniform(0, n, 2)
    ys = np.arange(frame.top, frame.bottom)[:, None]
    xs = np.arange(frame.right)[None, :]
    across = np.rint(xs + slope * ys + shift[0]).astype(int) % n
    along = np.rint((ys - slope * xs) * 0.2 + shift[1]).astype(int) % n
    return 1 + 0.06 * noise[across, along]
