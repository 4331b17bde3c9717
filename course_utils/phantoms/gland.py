"""Glandular tissue and the strands through it: where in a breast, and how many millimetres (lessons 01, 07).

In: the shape of one breast and three generators, for the woman, the side and the view. Out: millimetres of
gland along each ray, with the volume share that the woman is meant to have.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from course_utils.phantoms.anatomy import Anatomy, Shape, Tissues
from course_utils.phantoms.noise import (
    FIELD_MM,
    VOXELS,
    Array,
    Band,
    Frame,
    blur,
    enlarger,
    level_distance,
    look_up,
    splat,
    tile,
    volume,
)

_GRID = 192  # samples down the field where glandular tissue is decided: one per 1.25 mm
_LAYERS = 20
_LACE = (
    Band(1, 3.6, 1 / 90, 1 / 20, 2.0),
    Band(2, 3.6, 1 / 90, 1 / 20, 2.0),
    Band(3, 3.6, 1 / 60, 1 / 13, 1.6),
)
_FINE = Band(5, 2.8, 0.10, 4.0)
_MOTTLE = Band(6, 2.9, 1 / 30, 4.0, 1.6)
_SOFT_MM = 0.5
_SLOPE = 2.82  # noise, blur and display make 2.8 of it in the picture


# --- Glandular tissue ---------------------------------------------------------------------------------------


def _turn(shape: Shape) -> tuple[float, float]:
    """Return cosine and sine of the view: how far its plane is turned about the nipple's axis."""
    angle = 0.0 if shape.view == "CC" else math.pi / 4
    return math.cos(angle), math.sin(angle)


def _radius(anatomy: Anatomy) -> float:
    """Return the radius in mm of the breast's round cross-section before it is compressed."""
    return 0.3 * anatomy.height


def _mixed(woman: np.random.Generator, side: np.random.Generator) -> NDArray[np.float32]:
    """Return the noise of one breast: what a woman's two breasts share, and what is this one's own."""
    shifts = [tuple(rng.integers(VOXELS, size=3).tolist()) for rng in (woman, side)]
    shared, own = (np.roll(volume(), shift, (0, 1, 2)) for shift in shifts)
    return np.float32(0.75) * shared + np.float32(0.66) * own


def gland_share(shape: Shape, woman: np.random.Generator, side: np.random.Generator) -> Array:
    """Return the glandular share along each ray, 0 to 1, and the noise behind it: (2, `_GRID`, columns).

    The threshold is found by bisection: the share of the volume that it leaves matches the target to within a
    few per cent, and the picture's own scaling settles the rest.
    """
    a, r = shape.anatomy, _radius(shape.anatomy)
    frame = shape.frame(_GRID)
    y, x = frame.grid()
    t = Tissues.of(shape, y, x)
    cos, sin = _turn(shape)
    across = shape.across(y)[None]
    depth = ((np.arange(_LAYERS) + 0.5) * (2 / _LAYERS) - 1)[:, None, None]
    medial, caudal = r * (across * cos - depth * sin), r * (across * sin + depth * cos)

    p = woman.uniform(0, 2 * math.pi, 6).tolist()
    ripple = 2.2 * np.sin(medial / 7 + p[0]) + 2.2 * np.sin(caudal / 8 + p[1])
    wave = 2.4 * np.sin(x / 8 + p[2]) + 1.6 * np.sin(x / 4.3 + p[3])
    swell = 2.4 * np.sin(x / 9 + p[4]) + 1.6 * np.sin(x / 4.7 + p[5])
    px, py, pz = x[None] + ripple, medial + wave[None], caudal + swell[None]
    dx = a.depth + 10 - px
    far = np.sqrt(dx * dx + py * py + pz * pz)
    # More than half of the noise is stretched towards the nipple, as ducts are.
    block = _mixed(woman, side)
    noise = np.float32(0.8) * look_up(block, 38.0 * pz / far, 38.0 * py / far, 0.24 * far)
    noise += np.float32(0.6) * look_up(block, 0.6 * pz, 0.6 * py, 0.6 * px)

    # Gland grows behind the nipple, more of it up and out; not under the skin or in front of the muscle.
    from_tip = np.hypot(y - shape.nipple, x - a.depth)
    fat = a.fat * (1.1 - 0.5 * a.fraction) * (1 - np.exp(-((from_tip / 16.0) ** 2)))
    under_skin = np.clip((t.distance - fat) / 9.0, -1.0, 1.0)
    before_muscle = np.clip(t.beyond / 16.0, -1.0, 1.0)
    plane = 1.5 * under_skin + 0.9 * before_muscle - 0.66 * (x / (0.55 * a.depth) - 1) ** 2
    section = -1.0 * ((medial / r + 0.10) ** 2 + (caudal / r + 0.08) ** 2)
    field = np.float32(1.3 * a.lump) * noise
    field += plane.astype(np.float32)
    field += section.astype(np.float32)

    gain = np.float32(2.2 - 2.7 * a.fraction)

    def share(values: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
        return np.clip((values - np.float32(threshold)) * gain + np.float32(0.5), 0, 1).mean(0)

    volume, sample = t.inner[::2, ::2], np.ascontiguousarray(field[:, ::2, ::2])
    goal = a.fraction * float(volume.sum())
    low, high = -12.0, 12.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if float((share(sample, middle) * volume).sum()) > goal else (low, middle)
    streaks = noise.mean(0).astype(float)
    streaks -= blur(streaks, 10.0 * _GRID / FIELD_MM[0])
    whole = np.zeros((2, _GRID, round(_GRID * FIELD_MM[1] / FIELD_MM[0])))
    whole[:, *frame.corner] = share(field, middle), streaks / streaks.std()
    return whole


# --- Lines --------------------------------------------------------------------------------------------------


def _strands(
    shape: Shape, rng: np.random.Generator, count: int, mm: tuple[float, float], stray: float, wall: bool
) -> tuple[Array, Array, Array]:
    """Return the points (count, 256) of curves through the breast, y and x in mm, and the mm between points.

    They start anywhere in the breast, or at its chest wall, and bend towards the nipple.
    """
    a, r = shape.anatomy, _radius(shape.anatomy)
    u = rng.random((4, count))
    start = np.stack([a.depth * u[0] ** 0.8, 2 * u[1] - 1, 2 * u[2] - 1])
    if wall:
        start[0] = -2.0
    start[1:] *= r * 0.95 / np.maximum(np.hypot(start[1], start[2]), 1.0)
    heading = np.array([a.depth + 4, 0.0, 0.0])[:, None] - start
    heading = heading / np.sqrt((heading**2).sum(0)) + rng.normal(0, stray, (3, count))
    bend = rng.normal(0, 0.6, (3, count)), rng.normal(0, 1.0, (3, count))
    length = mm[0] + (mm[1] - mm[0]) * u[3]
    s = (np.arange(256) + 0.5) / 256
    way = heading[..., None] * s + bend[0][..., None] * s**2 + bend[1][..., None] * (s**3 - s**2)
    x, medial, caudal = start[..., None] + length[:, None] * way
    cos, sin = _turn(shape)
    across = (medial * cos + caudal * sin) / r
    y = shape.nipple + across * np.where(across < 0, shape.up, shape.down)
    # As bright end on as from the side: a strand is a band rather than a rod.
    step = np.hypot(np.diff(y, axis=1, append=y[:, -1:]), np.diff(x, axis=1, append=x[:, -1:]))
    return y, x, step


def _lines(shape: Shape, side: np.random.Generator, view: np.random.Generator, frame: Frame) -> Array:
    """Return ligaments and vessels in mm: strands, and a lace along the level lines of smooth noise."""
    a, pixel = shape.anatomy, frame.pixel

    def draw(y: Array, x: Array, step: Array, weight: Array, width: float) -> Array:
        ink = splat(frame.size, y / pixel - frame.top, x / pixel, weight * step / pixel**2)
        return blur(ink, width / pixel)

    arc = np.sin(np.linspace(0, np.pi, 256))
    n = 300
    fine = _strands(shape, side, n, (10, 45), 0.4, wall=False)
    thin = 3.2 * arc * side.uniform(0.15, 1.0, n)[:, None] ** 2
    n = 80
    broad = _strands(shape, side, n, (15, 60), 0.35, wall=False)
    thick = 8.0 * arc * side.uniform(0.15, 1.0, n)[:, None] ** 2
    n = 6
    vessels = _strands(shape, side, n, (60, 110), 0.25, wall=True)
    full = 5.0 * np.linspace(1, 0.25, 256) * side.uniform(0.5, 1.0, n)[:, None]
    y, x, step = (np.concatenate(parts) for parts in zip(broad, vessels, strict=True))
    total = draw(*fine, thin, 0.26) + draw(y, x, step, np.concatenate([thick, full]), 0.6)

    strength = frame.window(tile(frame.rows, _LACE[0]), view.uniform(0, 240, 2))
    strength = 2.2 * a.lace * np.clip(strength, 0.0, 1.2)
    for lace, width in zip(_LACE, (0.5, 0.45, 0.4), strict=True):
        away = frame.window(level_distance(frame.rows, lace), view.uniform(0, 240, 2))
        profile = np.clip(1.5 - away / width, 0.0, 1.0)
        total += strength * profile * profile
    return total


def gland_mm(
    shape: Shape,
    t: Tissues,
    frame: Frame,
    generators: tuple[np.random.Generator, np.random.Generator, np.random.Generator],
) -> Array:
    """Return gland in mm: the share with lines and fine texture, scaled until its volume is the target."""
    woman, side, view = generators
    coarse = gland_share(shape, woman, side)
    columns = round(frame.rows * FIELD_MM[1] / FIELD_MM[0])
    down = enlarger(frame.rows, coarse.shape[1])[frame.top : frame.bottom]
    share, streaks = down @ coarse @ enlarger(columns, coarse.shape[2])[: frame.right].T
    share = np.clip(share, 0.0, 1.0)
    fine = frame.window(tile(frame.rows, _FINE), view.uniform(0, 240, 2))
    mottle = frame.window(tile(frame.rows, _MOTTLE), view.uniform(0, 240, 2))
    near = np.clip((t.distance - 3) / 12, 0.0, 1.0)
    lines = _lines(shape, side, view, frame) * near * (0.55 + 1.2 * share * (1 - share))
    body = (share * (1 + 0.02 * fine + 0.04 * mottle) + 0.006 * np.maximum(mottle, 0.0)) * t.inner
    # All gland holds some fat, more here and less there: no ray is full of gland.
    uneven = streaks + 0.5 * mottle
    most = (0.80 + 0.07 * uneven / np.sqrt(1 + uneven * uneven / 6.25)) * t.inner
    goal = shape.anatomy.fraction * float(t.inner.sum())
    gland = _fill(body, lines, most, goal)
    detail = gland - blur(gland, _SOFT_MM / frame.pixel)
    return _fill(
        gland + _sharpness(gland, t, frame) * detail, np.zeros_like(gland), 0.4 * most + 0.6 * t.inner, goal
    )


def _fill(body: Array, lines: Array, most: Array, goal: float) -> Array:
    """Return gland in mm: the lines, and as much of the body as makes the sum right; never above `most`.

    How much that is comes from every third sample, and finally from all of them.
    """

    def filled(scale: float, body: Array, lines: Array, most: Array) -> Array:
        gland = scale * body
        gland += lines
        np.maximum(gland, 0.0, out=gland)
        gland *= most > 0
        over = gland - 0.75 * most
        np.maximum(over, 0.0, out=over)
        room = 0.25 * most
        room += over
        room += 1e-9
        over *= over
        over /= room
        gland -= over
        return gland

    every_third = tuple(np.ascontiguousarray(part[::3, ::3]) for part in (body, lines, most))
    scale = 1.0
    for _ in range(8):
        scale *= goal / (9 * float(filled(scale, *every_third).sum()))
    scale *= goal / float(filled(scale, body, lines, most).sum())
    return filled(scale, body, lines, most)


def _sharpness(gland: Array, t: Tissues, frame: Frame) -> float:
    """Return how much of its fine detail a gland picture needs for its power to fall as 1/f^2.8.

    The detail is what a Gaussian of `_SOFT_MM` removes. Power is that of the largest square well inside
    the breast, no more than 60 mm wide, averaged over directions; the slope is fitted to logarithms.
    """
    flat = np.pad(t.inner > 0.85 * t.outer.max(), 1).astype(np.uint8)
    reach = cv2.distanceTransform(flat, cv2.DIST_C, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(reach.argmax()), reach.shape)
    half = int(min(float(reach.max()) - 1, 30.0 / frame.pixel))
    square = gland[y - half : y + half, x - half : x + half]
    h, w = square.shape
    window = np.hanning(h)[:, None] * np.hanning(w)[None, :]
    power = np.abs(np.fft.rfft2((square - square.mean()) * window)) ** 2
    f = np.hypot(np.fft.fftfreq(h, frame.pixel)[:, None], np.fft.rfftfreq(w, frame.pixel)[None, :])
    edges = np.geomspace(0.1, min(1.0, 0.4 / frame.pixel), 11)
    middle = np.sqrt(edges[1:] * edges[:-1])
    ring = np.digitize(f, edges).ravel()
    many = np.bincount(ring, minlength=12)[1:11]
    mean = np.bincount(ring, power.ravel(), 12)[1:11][many > 0] / many[many > 0]
    middle = middle[many > 0]
    detail = 1 - np.exp(-2 * (np.pi * _SOFT_MM * middle) ** 2)
    low, high = -0.75, 3.0
    for _ in range(20):
        amount = (low + high) / 2
        slope = -np.polyfit(np.log(middle), np.log(mean) + 2 * np.log1p(amount * detail), 1)[0]
        low, high = (amount, high) if slope > _SLOPE else (low, amount)
    return amount
