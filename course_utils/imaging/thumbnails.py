"""What pictures are without a network: mean gray, a histogram, and a few pixels (lesson 10, `course probe`).

Thumbnails go in, 8-bit gray PNGs of what the network saw; out come numbers for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

BINS = 32
SIDE = 32


@dataclass(frozen=True)
class Pictures:
    """What the thumbnails of N images are without a network; NaN where one is missing, damaged or black.

    Attributes:
        mean_gray: `(N,)`, 0 to 1, of the pixels that are not black: around the breast all are.
        histogram: `(N, 32)`, the share of these pixels in each of 32 bins of gray.
        small: `(N, 32, 32)` float32 means of blocks.
        pixels: how many pixels a side has, of the first.
    """

    mean_gray: NDArray[np.float64]
    histogram: NDArray[np.float64]
    small: NDArray[np.float32]
    pixels: int


def read_pictures(thumbnails: Sequence[bytes]) -> Pictures | None:
    """Return what thumbnails, 8-bit gray PNGs of what the network saw, hold; None if there is no picture."""
    mean, small = np.full(len(thumbnails), np.nan), np.full((len(thumbnails), SIDE, SIDE), np.nan, np.float32)
    shares = np.full((len(thumbnails), BINS), np.nan)
    pixels = 0
    for row, png in enumerate(thumbnails):
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) if png else None
        if picture is None or not picture.any():
            continue
        pixels = pixels or picture.shape[0]
        breast = picture[picture > 0]
        mean[row] = breast.mean() / 255
        shares[row] = np.bincount(breast // (256 // BINS), minlength=BINS) / breast.size
        small[row] = cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return Pictures(mean, shares, small, pixels) if pixels else None
