"""What lesson 02 builds, for whoever skips an exercise: pieces, shares, turns and squares of a mammogram.

In: pictures and masks as numpy arrays. Out: the same, one step further. The package itself does all of this
on a coarse grid and with more care (`imaging.mask`, `imaging.preprocess`); these are the short versions.
"""

import cv2
import numpy as np
from scipy import ndimage

PLAINLY = 1.2
"""The chest wall is where one end of a mask holds at least this many times as much as the other."""


def largest_piece(picture: np.ndarray, threshold: float) -> np.ndarray:
    """Return where the largest connected piece above a threshold is: bool `(H, W)`."""
    pieces, _ = ndimage.label(picture > threshold)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0  # the ground
    return pieces == sizes.argmax()


def share_lost(breast: np.ndarray, top: int, bottom: int, left: int, right: int) -> float:
    """Return which share of a breast, bool `(H, W)`, a crop to these rows and columns loses: 0 to 1."""
    return float(1 - breast[top:bottom, left:right].sum() / breast.sum())


def wall_to_left(picture: np.ndarray, mask: np.ndarray, stated_side: str | None) -> np.ndarray:
    """Return a picture `(H, W)` with the chest wall at the left, by its mask or else by the stated side."""
    columns = np.flatnonzero(mask.any(axis=0))
    box = mask[:, columns[0] : columns[-1] + 1]
    third = max(1, box.shape[1] // 3)
    left, right = box[:, :third].sum(), box[:, -third:].sum()
    unsure = max(left, right) < PLAINLY * min(left, right)
    turn = stated_side == "R" if unsure else right > left
    return picture[:, ::-1] if turn else picture


def onto_square(picture: np.ndarray, size: int) -> np.ndarray:
    """Return a picture, float32 `(H, W)` with H >= W, resized by one factor and filled up at the right."""
    columns = round(picture.shape[1] * size / picture.shape[0])
    small = cv2.resize(picture, (columns, size), interpolation=cv2.INTER_AREA)
    return np.pad(small, ((0, 0), (0, size - columns)))
