"""What lessons 00 and 01 build, for whoever skips an exercise: from stored numbers to gray values, and rows.

In: arrays of stored numbers, and what a header says of them. Out: gray values in [0, 1]. The package itself
does this in `imaging.grayscale`, in place and with more care; these are the short versions.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from course_utils.imaging.transforms import (
    Window,
    WindowFunction,
    apply_lut,
    apply_window,
    read_lut,
    read_windows,
)

Lookup = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""From modality values to gray values in [0, 1], of the same shape."""
Linear = Callable[[NDArray[np.generic], float, float], NDArray[np.floating]]
"""From values, a centre and a width to gray values through a LINEAR window."""


def to_unit(pixels: NDArray[np.unsignedinteger], bits_stored: int) -> NDArray[np.float32]:
    """Return unsigned integers of so many bits as float32 in [0, 1], the largest that fits as 1."""
    return (pixels / (2**bits_stored - 1)).astype(np.float32)


def rows_of(vectors: Mapping[str, NDArray[np.floating]], names: Sequence[str]) -> NDArray[np.floating]:
    """Return `(N, D)`, the vectors of N names in their order; KeyError for a name without one."""
    return np.stack([vectors[name] for name in names])


def linear(x: NDArray[np.generic], center: float, width: float) -> NDArray[np.float32]:
    """Return values through a LINEAR window, in [0, 1] (PS3.3 C.11.2.1.2.1)."""
    return apply_window(np.array(x, np.float32), Window(center, width, "LINEAR"))


def windowed(function: WindowFunction, center: float, width: float, linear: Linear = linear) -> Lookup:
    """Return a window as a function of an array; `linear` is what a LINEAR one goes through."""
    if function == "LINEAR":
        return lambda x: np.asarray(linear(x, center, width))
    return lambda x: apply_window(np.array(x, np.float32), Window(center, width, function))


def window_of(header: Dataset, linear: Linear = linear) -> Lookup | None:
    """Return the first window of a header as a function, or None; `linear` as in `windowed`."""
    first = next(iter(read_windows(header)[0]), None)
    return None if first is None else windowed(first.function, first.center, first.width, linear)


def lut_of(header: Dataset) -> Lookup | None:
    """Return the first VOI LUT of a header as a function, or None."""
    if "VOILUTSequence" not in header:
        return None
    table, _ = read_lut(header.VOILUTSequence[0])
    return lambda x: apply_lut(x, table) / (2**table.bits - 1)


def voi_of(header: Dataset) -> Lookup:
    """Return a header's VOI transform as a function: its LUT, else its window; ValueError without either."""
    found = lut_of(header) or window_of(header)
    if found is None:
        raise ValueError("this header has neither a VOI LUT nor a window")
    return found


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
