"""A mammogram of any size becomes a square picture for a network (lesson 02).

In: a `Mammogram`. Out: float32 `(1, size, size)` in [0, 1], the breast alone on black, its chest wall at
the left edge, its proportions kept. Nothing is learned from the data: a file's picture depends on that file
only.
"""

import operator
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from course_utils.imaging.errors import MammogramError, TooCoarse
from course_utils.imaging.grayscale import VOI, check_voi
from course_utils.imaging.mammogram import Mammogram
from course_utils.imaging.mask import (
    BreastMask,
    Side,
    area_means,
    breast_mask,
    chest_wall,
    find_breast,
    shrink,
)
from course_utils.imaging.wavelet import Read, check_read
from course_utils.provenance import fingerprint

# Lesson 02 takes the mask's functions from here, beside the steps that they serve.
__all__ = ["Preprocessor", "breast_mask", "resize_area", "shrink", "thumbnail"]

VERSION = 3
"""Goes into every fingerprint. Raise it whenever the same options give other pixels."""

ENOUGH = 1.5
"""A breast read at a fraction of its size has at least so many times the pixels, along each side, that its
picture has."""


@dataclass(frozen=True)
class Preprocessor:
    """Crop, resize, mask, orient and pad a mammogram; each step can be switched off to see what it is for.

    Attributes:
        size: height and width of the picture, in pixels.
        voi: the VOI transform with which to read files for this preprocessor (see `read_mammogram`).
        mask: set everything outside the breast to 0: labels, film edges, noise.
        crop: cut to the mask's box with some room around it, so that no tissue is cut off.
        margin: room around the box, as a fraction of its longer side; none at the chest wall.
        orient: turn the chest wall to the left, by the mask where that is clear, else by laterality.
        keep_aspect: resize to true proportions and pad with 0, away from the chest wall; else stretch to a
            square.
        read: how to read files for this preprocessor (see `read_mammogram`), all of them or `fast`.
        mm_per_pixel: a fixed scale in place of each breast's own: so many mm on a pixel's side, for files
            whose spacing is known. Small breasts then stay small, and each must fit into `size`.

    Calling it is free of side effects, so one instance may serve many threads. ValueError: an option is out
    of its range.
    """

    size: int = 512
    voi: VOI = "auto"
    mask: bool = True
    crop: bool = True
    margin: float = 0.01
    orient: bool = True
    keep_aspect: bool = True
    mm_per_pixel: float | None = None
    read: Read = "full"

    def __post_init__(self) -> None:
        # JSON takes no numpy numbers, and 0 and 0.0 are the same margin.
        object.__setattr__(self, "size", operator.index(self.size))
        object.__setattr__(self, "margin", float(self.margin))
        check_voi(self.voi)
        check_read(self.read)
        if self.size < 8:
            raise ValueError(f"size must be at least 8 pixels, not {self.size}")
        if self.mm_per_pixel is not None:
            object.__setattr__(self, "mm_per_pixel", float(self.mm_per_pixel))
            if not (0 < self.mm_per_pixel < np.inf and self.keep_aspect):
                raise ValueError("mm_per_pixel must be above 0, and goes with keep_aspect")
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin must be a fraction from 0 to below 1, not {self.margin}")

    def __call__(self, mammogram: Mammogram) -> np.ndarray:
        """Return the picture: float32 `(1, size, size)` in [0, 1], C-contiguous.

        Raises:
            MammogramError: no breast can be told from the background; with `mm_per_pixel`, the spacing is
                unknown or the breast is larger than the picture.
            TooCoarse: the file was read fast, and the breast is too small for that. (Read it in full.)
            ValueError: the pixels are not what those of a `Mammogram` should be.
        """
        *_, (_, picture, _) = self._steps(mammogram)
        return np.ascontiguousarray(picture[np.newaxis])

    def with_mask(self, mammogram: Mammogram) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture, and bool `(1, size, size)`: where in it the breast is, whatever `mask` says.

        Raises as calling does.
        """
        *_, (_, picture, inside) = self._steps(mammogram)
        return np.ascontiguousarray(picture[np.newaxis]), np.ascontiguousarray(inside[np.newaxis])

    def trace(self, mammogram: Mammogram) -> dict[str, np.ndarray]:
        """Return the picture after each step, float32 `(h, w)` in [0, 1], in the order of the steps.

        Keys: `read`, `crop`, `resize`, `mask`, `orient`, `pad`; a step not taken is left
        out. The last one is what calling the preprocessor returns, without its channel axis.
        """
        return {name: picture.copy() for name, picture, _ in self._steps(mammogram)}

    @property
    def config(self) -> dict[str, Any]:
        """Return all options and the version of the algorithm, as plain JSON-able values.

        `read` is among them where it is not `full`: pictures of full reading keep the fingerprints that
        they had before there was another.
        """
        options = {**asdict(self), "version": VERSION}
        return {name: value for name, value in options.items() if (name, value) != ("read", "full")}

    @property
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with any option: SHA-256 of `config` as sorted JSON."""
        return fingerprint(self.config)

    @property
    def reading(self) -> dict[str, Any]:
        """Return how `read_mammogram` is to read a file for this preprocessor: its arguments but the key."""
        return {"voi": self.voi, "read": self.read, "size": self.size, "mm_per_pixel": self.mm_per_pixel}

    def _steps(self, mammogram: Mammogram) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield each step's name, the picture `(h, w)` after it and where in it the breast is."""
        picture = mammogram.pixels
        breast = find_breast(picture, mammogram.reduction)
        yield "read", picture, breast.inside
        height, width = picture.shape
        wall = chest_wall(breast.inside) or _LATERALITY_SIDE.get(mammogram.laterality)

        rows, columns = slice(0, height), slice(0, width)
        if self.crop:
            rows, columns = self._box(breast, wall, picture.shape)
            yield "crop", picture[_whole(rows), _whole(columns)], breast.inside

        target = self._target((rows.stop - rows.start, columns.stop - columns.start), mammogram)
        if mammogram.reduction > 1 and _too_coarse(rows, columns, target):
            raise TooCoarse
        picture = np.clip(_resized(picture, rows, columns, target), 0, 1)  # float32 may round to above 1
        inside = breast.sample(rows, columns, target)
        yield "resize", picture, inside

        if self.mask:
            picture = picture * inside
            yield "mask", picture, inside

        if self.orient and wall == "right":
            picture, inside, wall = picture[:, ::-1], inside[:, ::-1], "left"
            yield "orient", picture, inside

        if self.keep_aspect:
            picture, inside = self._pad(picture, wall), self._pad(inside, wall)
            yield "pad", picture, inside

    def _box(self, breast: BreastMask, wall: Side | None, shape: tuple[int, ...]) -> tuple[slice, slice]:
        y = np.flatnonzero(breast.inside.any(axis=1))
        x = np.flatnonzero(breast.inside.any(axis=0))
        room = round(self.margin * max(np.ptp(y), np.ptp(x)))
        rows, columns = breast.inside.shape
        top, bottom = max(0, y[0] - room), min(rows, y[-1] + 1 + room)
        left = max(0, x[0] - (0 if wall == "left" else room))
        right = min(columns, x[-1] + 1 + (0 if wall == "right" else room))
        return (
            slice(int(top) * breast.factor, min(int(bottom) * breast.factor, shape[0])),
            slice(int(left) * breast.factor, min(int(right) * breast.factor, shape[1])),
        )

    def _target(self, shape: tuple[float, float], mammogram: Mammogram) -> tuple[int, int]:
        if not self.keep_aspect:
            return self.size, self.size
        if self.mm_per_pixel is not None:
            return self._target_in_mm(shape, mammogram.spacing_mm, self.mm_per_pixel)
        height, width = shape[0] * mammogram.pixel_aspect, float(shape[1])
        scale = self.size / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _target_in_mm(
        self, shape: tuple[float, float], spacing: tuple[float, float] | None, mm_per_pixel: float
    ) -> tuple[int, int]:
        if spacing is None:
            raise MammogramError("The file does not say how large its pixels are, and mm_per_pixel needs it.")
        lengths = [pixels * mm for pixels, mm in zip(shape, spacing, strict=True)]
        room = self.size * mm_per_pixel
        if max(lengths) > room:
            raise MammogramError(
                f"This breast takes {max(lengths):.0f} mm and the picture has {room:.0f}: "
                "choose a larger size, or more mm per pixel."
            )
        height, width = (max(1, round(length / mm_per_pixel)) for length in lengths)
        return height, width

    def _pad(self, picture: np.ndarray, wall: Side | None) -> np.ndarray:
        height, width = picture.shape
        top = (self.size - height) // 2
        left = {"left": 0, "right": self.size - width, None: (self.size - width) // 2}[wall]
        square = np.zeros((self.size, self.size), picture.dtype)
        square[top : top + height, left : left + width] = picture
        return square


_LATERALITY_SIDE: dict[str | None, Side] = {"L": "left", "R": "right"}  # of the chest wall, hung as usual


def _whole(side: slice) -> slice:
    """Return a side of a box without the pixels that it cuts."""
    return slice(int(np.ceil(side.start)), int(side.stop))


def _too_coarse(rows: slice, columns: slice, target: tuple[int, int]) -> bool:
    sides = zip((rows, columns), target, strict=True)
    return any(side.stop - side.start < ENOUGH * pixels for side, pixels in sides)


def _resized(picture: np.ndarray, rows: slice, columns: slice, target: tuple[int, int]) -> np.ndarray:
    """Resize a box of a picture; each new pixel is the mean of the area it covers, cut pixels included."""
    if all(end == int(end) for end in (rows.start, rows.stop, columns.start, columns.stop)):
        return resize_area(picture[_whole(rows), _whole(columns)], target)
    ends = [
        np.linspace(side.start, side.stop, n + 1) for side, n in zip((rows, columns), target, strict=True)
    ]
    return area_means(picture, *ends)


def resize_area(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize float32 `(h, w)`: each new pixel is the mean of the area it covers; enlarging is linear."""
    smaller = min(shape[0], picture.shape[0]), min(shape[1], picture.shape[1])
    if smaller != picture.shape:
        picture = cv2.resize(picture, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != shape:
        picture = cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return picture


def thumbnail(picture: np.ndarray, size: int = 128) -> bytes:
    """Return a picture, float32 `(1, S, S)` or `(S, S)` in [0, 1], as the bytes of an 8-bit gray PNG."""
    flat = np.ascontiguousarray(picture.reshape(picture.shape[-2:]), dtype=np.float32)
    small = resize_area(flat, (size, size))
    _, png = cv2.imencode(".png", np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8))
    return png.tobytes()
