"""A mammogram of any size becomes a square picture for a network (lesson 02).

In: a `Mammogram`. Out: float32 ``(1, size, size)`` in [0, 1], the breast alone on black, its chest wall at
the left edge, its proportions kept. Nothing is learned from the data: a file's picture depends on that file
only.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from course_utils.provenance import fingerprint

from .errors import MammogramError

if TYPE_CHECKING:
    from .dicom import VOI, Mammogram

Side = Literal["left", "right"]

VERSION = 1
"""Goes into every fingerprint. Raise it whenever the same options give other pixels."""


WORKING_SIDE = 320  # pixels on the longer side of the copy on which the mask is found: about 0.75 mm each
CORE, RIM = 0.35, 0.1  # the cuts for the two, as fractions of the way from the ground to Otsu's threshold
OPENING = 0.06  # radius of the opening, as a fraction of the shorter side
MARGIN = 0.01  # by how much the mask is wider than what it found, likewise
FILM_EDGE = 0.015  # a white film edge is at most this part of a side deep
PLAIN = 1.5  # the chest wall is plain if one end of the mask is this many times as tall as the other
NO_GROUND = 0.6  # no ground in sight if the darker class is more than this part of the brighter (of roots)

THINNEST = 16  # pixels of that copy on its shorter side; with fewer, edges and opening lose their meaning

NOTHING_THERE = "No breast can be told from the background of this image."
TOO_SMALL = "This image is too small to be a mammogram."


@dataclass(frozen=True, eq=False)
class BreastMask:
    """Where the breast is, on a grid of blocks of ``factor`` × ``factor`` pixels (`shrink`).

    Attributes:
        inside: bool ``(h, w)``, true in the breast.
        factor: pixels on a block's side.
        frame: first row, end of rows, first column, end of columns, in blocks, without a white film edge.
    """

    inside: np.ndarray
    factor: int
    frame: tuple[int, int, int, int]

    def well_inside(self) -> np.ndarray:
        """Return the mask, bool ``(h, w)``, without margin and blurred skin: for statistics of tissue."""
        deep = 1 - _widen(1 - self.inside.astype(np.uint8), round(2 * MARGIN * min(self.inside.shape)))
        return deep.astype(bool) if deep.any() else self.inside


@dataclass(frozen=True)
class Preprocessor:
    """Crop, resize, mask, orient and pad a mammogram; each step can be switched off to see what it is for.

    Attributes:
        size: height and width of the picture, in pixels.
        voi: the VOI transform with which files are to be read for this preprocessor (see `read_mammogram`).
        mask: set everything outside the breast to 0: labels, film edges, noise.
        crop: cut to the breast's box. No tissue is cut: the box is the mask's, which errs on the large side.
        margin: room around the box, as a fraction of its longer side; none at the chest wall.
        orient: turn the chest wall to the left, as the mask shows it where that is plain, else by laterality.
        keep_aspect: resize by one factor and pad with 0, away from the chest wall; else stretch to a square.

    Calling it is free of side effects, so one instance may serve many threads.
    """

    size: int = 512
    voi: "VOI" = "auto"
    mask: bool = True
    crop: bool = True
    margin: float = 0.01
    orient: bool = True
    keep_aspect: bool = True

    def __post_init__(self) -> None:
        if self.size < 8:
            raise ValueError(f"size must be at least 8 pixels, not {self.size}")
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin must be a fraction from 0 to below 1, not {self.margin}")

    def __call__(self, mammogram: "Mammogram") -> np.ndarray:
        """Return the picture: float32 ``(1, size, size)`` in [0, 1], C-contiguous.

        Raises:
            MammogramError: no breast can be told from the background.
        """
        *_, (_, picture) = self._steps(mammogram)
        return np.ascontiguousarray(picture[np.newaxis])

    def trace(self, mammogram: "Mammogram") -> dict[str, np.ndarray]:
        """Return the picture after each step, float32 ``(h, w)`` in [0, 1], in the order of the steps.

        Keys: ``read``, ``crop``, ``resize``, ``mask``, ``orient``, ``pad``; a step that is not taken is left
        out. The last one is what calling the preprocessor gives, without its channel axis.
        """
        return {name: picture.copy() for name, picture in self._steps(mammogram)}

    @property
    def config(self) -> dict[str, Any]:
        """All options and the version of the algorithm, as plain values that go into JSON."""
        return {**asdict(self), "version": VERSION}

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any option: SHA-256 of `config` as sorted JSON."""
        return fingerprint(self.config)

    def _steps(self, mammogram: "Mammogram") -> Iterator[tuple[str, np.ndarray]]:
        picture = mammogram.pixels
        yield "read", picture
        height, width = picture.shape
        breast = find_breast(picture)
        wall = chest_wall(breast.inside) or _LATERALITY_SIDE.get(mammogram.laterality)

        rows, columns = slice(0, height), slice(0, width)
        if self.crop:
            rows, columns = self._box(breast, wall, picture.shape)
            picture = picture[rows, columns]
            yield "crop", picture

        target = self._target(picture.shape)
        picture = np.clip(resize_area(picture, target), 0, 1)  # sums in float32 may round to just above 1
        yield "resize", picture

        if self.mask:
            picture = picture * _sample(breast, rows, columns, target)
            yield "mask", picture

        if self.orient and wall == "right":
            picture, wall = picture[:, ::-1], "left"
            yield "orient", picture

        if self.keep_aspect:
            picture = self._pad(picture, wall)
            yield "pad", picture

    def _box(self, breast: BreastMask, wall: Side | None, shape: tuple[int, ...]) -> tuple[slice, slice]:
        y = np.flatnonzero(breast.inside.any(axis=1))
        x = np.flatnonzero(breast.inside.any(axis=0))
        room = round(self.margin * max(np.ptp(y), np.ptp(x)))
        top, bottom, left, right = breast.frame
        top, bottom = max(top, y[0] - room), min(bottom, y[-1] + 1 + room)
        left = max(left, x[0] - (0 if wall == "left" else room))
        right = min(right, x[-1] + 1 + (0 if wall == "right" else room))
        rows, columns = breast.inside.shape  # the last block takes what is left over at the edge
        return (
            slice(int(top) * breast.factor, shape[0] if bottom == rows else int(bottom) * breast.factor),
            slice(int(left) * breast.factor, shape[1] if right == columns else int(right) * breast.factor),
        )

    def _target(self, shape: tuple[int, ...]) -> tuple[int, int]:
        if not self.keep_aspect:
            return self.size, self.size
        scale = self.size / max(shape)
        return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))

    def _pad(self, picture: np.ndarray, wall: Side | None) -> np.ndarray:
        height, width = picture.shape
        top = (self.size - height) // 2
        left = {"left": 0, "right": self.size - width, None: (self.size - width) // 2}[wall]
        square = np.zeros((self.size, self.size), np.float32)
        square[top : top + height, left : left + width] = picture
        return square


_LATERALITY_SIDE: dict[str | None, Side] = {"L": "left", "R": "right"}  # of the chest wall, hung as usual


def resize_area(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize float32 ``(h, w)``: a new pixel is the mean of the area that it covers; enlarging is linear."""
    shrinking = shape[0] <= picture.shape[0] and shape[1] <= picture.shape[1]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return cv2.resize(picture, shape[::-1], interpolation=method)


def breast_mask(pixels: np.ndarray) -> np.ndarray:
    """Return where the breast is: bool ``(H, W)`` for pixels ``(H, W)`` as `find_breast` takes them."""
    height, width = pixels.shape
    return _sample(find_breast(pixels), slice(0, height), slice(0, width), (height, width))


def shrink(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Return float32 ``(H, W)`` averaged over k × k blocks, about `WORKING_SIDE` on the longer side, and k.

    What does not fill a block at the right and lower edge (less than k pixels) is left out.
    """
    factor = max(1, round(max(pixels.shape) / WORKING_SIDE))
    height, width = (max(1, side // factor) for side in pixels.shape)
    blocks = pixels[: height * factor, : width * factor]
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_AREA), factor


def find_breast(pixels: np.ndarray) -> BreastMask:
    """Find the breast in float32 pixels ``(H, W)``, not negative, the breast bright on dark ground.

    Otsu's threshold of the square roots says where ground and tissue are; the cut for the breast's core is
    made much lower, so that fat stays. Opening by a disc parts labels, film edges and specks from the core,
    and the largest piece is kept. From there the mask grows by the disc's radius through all that is above
    the ground: the rim of skin, the nipple, the corners at the chest wall. Holes are filled.

    Raises:
        MammogramError: there is nothing but ground, or the image is a few pixels high or wide, or a strip.
    """
    small, factor = shrink(pixels)
    if min(small.shape) < THINNEST:
        raise MammogramError(TOO_SMALL)
    frame = top, bottom, left, right = _film_frame(small)
    inside = np.zeros(small.shape, bool)
    inside[top:bottom, left:right] = _breast(small[top:bottom, left:right])
    return BreastMask(inside, factor, frame)


def _breast(small: np.ndarray) -> np.ndarray:
    roots = cv2.GaussianBlur(np.sqrt(np.maximum(small, 0)), (0, 0), 1)
    white = float(np.percentile(roots, 99.5))
    if not white > 0:
        raise MammogramError(NOTHING_THERE)
    levels = np.minimum(roots * (255 / white), 255).astype(np.uint8)
    otsu, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if levels.max() <= otsu:
        raise MammogramError(NOTHING_THERE)
    split = int(otsu) + 1
    counts = np.bincount(levels.ravel(), minlength=256)
    ground = _median(np.arange(split), counts[:split])
    tissue = _median(np.arange(split, 256), counts[split:])
    if ground > NO_GROUND * tissue:  # the breast fills the image, and Otsu parted fat from gland
        return np.ones(small.shape, bool)
    noise = 3 * 1.4826 * _median(abs(np.arange(split) - ground), counts[:split])  # three standard deviations
    core, rim = (
        (levels > ground + max(cut * (otsu - ground), noise)).astype(np.uint8) for cut in (CORE, RIM)
    )

    shorter = min(small.shape)
    radius = max(2, round(OPENING * shorter))
    opened = _widen(1 - _widen(1 - core, radius, border=1), radius)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        raise MammogramError(NOTHING_THERE)
    breast = (pieces == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    for _ in range(radius):
        breast = cv2.dilate(breast, np.ones((3, 3), np.uint8)) & rim
    return _fill(_widen(breast, max(1, round(MARGIN * shorter)))).astype(bool)


def chest_wall(inside: np.ndarray) -> Side | None:
    """Return the side at which a mask ``(h, w)`` is plainly taller: a breast tapers from the chest wall."""
    box = inside[:, inside.any(axis=0)]
    edge = max(1, box.shape[1] // 10)
    left, right = int(box[:, :edge].sum()), int(box[:, -edge:].sum())
    if max(left, right) < PLAIN * min(left, right):
        return None
    return "left" if left > right else "right"


def thumbnail(picture: np.ndarray, size: int = 128) -> bytes:
    """Return a picture, float32 ``(1, S, S)`` or ``(S, S)`` in [0, 1], as the bytes of an 8-bit gray PNG."""
    flat = np.ascontiguousarray(picture.reshape(picture.shape[-2:]), dtype=np.float32)
    small = resize_area(flat, (size, size))
    _, png = cv2.imencode(".png", np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8))
    return png.tobytes()


def _sample(breast: BreastMask, rows: slice, columns: slice, shape: tuple[int, int]) -> np.ndarray:
    """Return the mask, bool ``shape``, over a box of the image's pixels resized to that shape."""
    y, x = (
        ((np.arange(n) + 0.5) * (box.stop - box.start) / n + box.start) / breast.factor - 0.5
        for n, box in zip(shape, (rows, columns), strict=True)
    )
    map_x, map_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    inside = breast.inside.astype(np.float32)
    return cv2.remap(inside, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) >= 0.5


def _film_frame(small: np.ndarray) -> tuple[int, int, int, int]:
    """Return first row, end of rows, first column, end of columns of ``(h, w)`` without a white film edge.

    From each side a row goes as long as a tenth of it is nearly white and clearly brighter than what comes
    further in, and the blurred one after it; no deeper than `FILM_EDGE`. Tissue at the border is about as
    bright as its neighbours further in, so it stays.
    """
    white = 0.85 * float(np.percentile(small, 99.9))
    depths = []
    for turns in (0, 2, 1, 3):  # each side in turn on top: top, bottom, right, left
        rows = np.rot90(small, turns)
        deepest = max(1, round(FILM_EDGE * len(rows)))
        further_in = np.median(rows[deepest : 2 * deepest + 1], axis=0)
        edge = (rows[:deepest] > white) & (rows[:deepest] - further_in > 0.15 * white)
        beside = edge.mean(axis=1) >= 0.1
        depth = deepest if beside.all() else int(np.argmin(beside))
        depths.append(depth + 1 if depth else 0)
    top, bottom, right, left = depths
    return top, small.shape[0] - bottom, left, small.shape[1] - right


def _median(values: np.ndarray, counts: np.ndarray) -> float:
    """Return the median of ``values`` that occur ``counts`` times."""
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2)])


def _widen(binary: np.ndarray, radius: int, border: int = 0) -> np.ndarray:
    """Dilate uint8 ``(h, w)`` of 0 and 1 by a disc, with ``border`` all around the image."""
    around = np.pad(1 - binary, 1, constant_values=1 - border)
    distance = cv2.distanceTransform(around, cv2.DIST_L2, cv2.DIST_MASK_5)
    return (distance[1:-1, 1:-1] <= radius).astype(np.uint8)


def _fill(binary: np.ndarray) -> np.ndarray:
    outside = np.pad(binary, 1)
    cv2.floodFill(outside, None, (0, 0), 2)
    return (outside[1:-1, 1:-1] != 2).astype(np.uint8)
