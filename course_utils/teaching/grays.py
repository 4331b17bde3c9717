"""What lessons 00 and 01 build, for whoever skips an exercise: from stored numbers to gray values, and rows.

In: arrays of stored numbers, and what a header says of them. Out: gray values in [0, 1]. The package itself
does this in `imaging.grayscale`, in place and with more care; these are the short versions.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from course_utils.imaging.transforms import Window, apply_window

Lookup = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""From modality values to gray values in [0, 1], of the same shape."""


def to_unit(pixels: NDArray[np.unsignedinteger], bits_stored: int) -> NDArray[np.float32]:
    """Return unsigned integers of so many bits as float32 in [0, 1], the largest that fits as 1."""
    return (pixels / (2**bits_stored - 1)).astype(np.float32)


def rows_of(vectors: Mapping[str, NDArray[np.floating]], names: Sequence[str]) -> NDArray[np.floating]:
    """Return `(N, D)`, the vectors of N names in their order; KeyError for a name without one."""
    return np.stack([vectors[name] for name in names])


def linear(x: NDArray[np.generic], center: float, width: float) -> NDArray[np.float32]:
    """Return values through a LINEAR window, in [0, 1] (PS3.3 C.11.2.1.2.1)."""
    return apply_window(np.array(x, np.float32), Window(center, width, "LINEAR"))


def as_monochrome2(
    stored: NDArray[np.unsignedinteger], bits_stored: int, padding_value: int
) -> NDArray[np.integer]:
    """Return the unsigned integers of a MONOCHROME1 picture as MONOCHROME2 would store them, padding as 0."""
    return np.where(stored == padding_value, 0, 2**bits_stored - 1 - stored.astype(np.int64))


def to_display(
    stored: NDArray[np.generic],
    slope: float,
    intercept: float,
    lut: Lookup | None,
    window: Lookup | None,
    low_is_bright: bool,
) -> NDArray[np.floating]:
    """Return stored values as gray values in [0, 1]: modality, then one VOI transform, then presentation."""
    voi = lut or window
    if voi is None:
        raise ValueError("a LUT or a window is needed")
    shown = voi(slope * stored.astype(np.float64) + intercept)
    return 1 - shown if low_is_bright else shown
