"""The transforms of gray values, one by one, and what a header says about them (lesson 01).

In: arrays of values, and the elements that describe a window or a table. Out: float32 arrays after rescaling,
a window or a table. The sources are DICOM PS3.3 C.11.1 and C.11.2. pydicom's own VOI LUT is not used: it
wraps indices to the table's 8 bits. `grayscale` puts the transforms in order.
"""

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset

from course_utils.imaging.errors import MammogramError
from course_utils.imaging.header import get_numbers, get_value

WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

PERCENTILES = (0.5, 99.5)
"""The window for a file without one: these percentiles of the values inside the breast."""


FAR_BELOW = 2
"""A table whose largest value takes so many bits less than its descriptor says is not one of that range: it
would show the brightest tissue at a quarter of white, or less."""


@dataclass(frozen=True)
class Window:
    """A window of PS3.3 C.11.2.1.2: `center` and `width` in modality units, and its function."""

    center: float
    width: float
    function: WindowFunction = "LINEAR"

    def before_rescale(self, slope: float, intercept: float) -> "Window":
        """Return the window that does to x what this one does to `slope * x + intercept`; slope above 0.

        LINEAR becomes LINEAR_EXACT, because its half and its one are in modality units. The centre is
        rounded to 6 decimals, see `mirrored`.
        """
        half, one = (0.5, 1) if self.function == "LINEAR" else (0, 0)
        function: WindowFunction = "SIGMOID" if self.function == "SIGMOID" else "LINEAR_EXACT"
        center = round((self.center - half - intercept) / slope, 6)
        return Window(center, (self.width - one) / slope, function)

    def mirrored(self, total: float) -> "Window":
        """Return the window that maps `total - x` to one minus what this one maps x to.

        Not for LINEAR, which is not symmetric. The centre is rounded to 6 decimals, so the same image stored
        either way round has the same window to the bit, not one that is off by a rounding error.
        """
        return Window(round(total - self.center, 6), self.width, self.function)


@dataclass(frozen=True)
class LookupTable:
    """A table of PS3.3 C.11.1.1 or C.11.2.1.1: `values[i]` of `bits` bits stands for `first + i`."""

    values: np.ndarray
    first: int
    bits: int


# --- applying them ---


def apply_rescale(values: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Return new float32 modality values (H, W), `slope * value + intercept` (PS3.3 C.11.1.1.2)."""
    out = values.astype(np.float32)
    if slope != 1:
        out *= np.float32(slope)
    if intercept != 0:
        out += np.float32(intercept)
    return out


def mirror(values: np.ndarray, total: int) -> np.ndarray:
    """Return `total - values` of integers (H, W) as new float32, which swaps the ends of the range.

    The difference is taken on integers and exact; only then is it rounded to float32, if it must be.
    """
    out = np.empty(values.shape, np.float32)
    for top in range(0, len(values), 64):
        out[top : top + 64] = total - values[top : top + 64]
    return out


def apply_window(values: np.ndarray, window: Window) -> np.ndarray:
    """Map float32 `values` to [0, 1] through `window`, **in place**, and return them.

    The three functions are those of PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) and C.11.2.1.3.2
    (LINEAR_EXACT), with an output range of 0 to 1. LINEAR of width 1 is a step.
    """
    for top in range(0, len(values), 64):  # so few rows stay in the cache from step to step
        _window_rows(values[top : top + 64], window)
    return values


def _window_rows(values: np.ndarray, window: Window) -> None:
    center, width = window.center, window.width
    if window.function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        np.greater(values, np.float32(_within(center)), out=values)
        return
    factor = min(1 / width, 1e6)  # so that nothing here overflows in float32
    if window.function == "SIGMOID":
        values -= np.float32(_within(center))
        values *= np.float32(-4 * factor)
        np.minimum(values, 80, out=values)  # exp() of float32 overflows above 88; beyond 80 the answer is 0
        np.exp(values, out=values)
        values += 1
        np.reciprocal(values, out=values)
        return
    values -= np.float32(_within(center - width / 2))
    values *= np.float32(factor)
    np.clip(values, 0, 1, out=values)


def _within(value: float) -> float:
    return max(-1e30, min(value, 1e30))


def apply_lut(values: np.ndarray, table: LookupTable) -> np.ndarray:
    """Look `values` (H, W) up in `table`; returns new float32 values in [0, 2**bits - 1].

    Inputs below the first or above the last entry get that entry (PS3.3 C.11.2.1.1). The index is worked out
    in 64 bits, whatever the width of the values or of the table's entries. Values that are not whole, as
    after rescaling, are rounded.
    """
    entries = table.values.astype(np.float32)
    last = len(entries) - 1
    out = np.empty(values.shape, np.float32)
    for top in range(0, len(values), 64):  # a few rows at a time, so that no full-size index is kept
        rows = values[top : top + 64]
        if rows.dtype.kind == "f":
            rows = np.clip(np.rint(rows.astype(np.float64)), table.first, table.first + last)
        index = rows.astype(np.int64) - table.first
        np.take(entries, index, mode="clip", out=out[top : top + 64])
    return out


def percentile_window(values: np.ndarray, inside: np.ndarray) -> Window:
    """Return the window that `PERCENTILES` of `values` (H, W) span where `inside` (H, W) is true."""
    low, high = np.percentile(values[inside], PERCENTILES)
    if not high > low:
        raise MammogramError(
            "The breast in this image has a single value everywhere, so there is nothing to see in it."
        )
    return Window(float(low) / 2 + float(high) / 2, float(high) - float(low), "LINEAR_EXACT")


# --- reading them ---


def read_windows(dataset: Dataset) -> tuple[list[Window | None], list[str]]:
    """Return the windows of a header in their order, and warnings.

    A window that cannot be used (empty, not a number, of no width, or a centre without a width or vice
    versa) is None, so that the others keep their number. An empty VOILUTFunction means LINEAR (PS3.3
    C.11.2.1.2.1), and so does an unknown one, with a warning.
    """
    warnings: list[str] = []
    function = str(get_value(dataset, "VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        warnings.append("The VOI LUT function is not one that the standard knows; read as LINEAR.")
        function = "LINEAR"
    windows: list[Window | None] = []
    for center, width in zip_longest(
        get_numbers(dataset, "WindowCenter"), get_numbers(dataset, "WindowWidth"), fillvalue=np.nan
    ):
        wide = width >= 1 if function == "LINEAR" else width > 0
        usable = wide and width < 1e12 and abs(center) < 1e12  # false for NaN
        windows.append(Window(center, width, function) if usable else None)  # type: ignore[arg-type]
    if None in windows or (not windows and ("WindowCenter" in dataset or "WindowWidth" in dataset)):
        warnings.append("A window without a usable centre and width was skipped.")
    return windows, warnings


def read_lut(
    item: Dataset, *, signed: bool | None = None, little_endian: bool = True
) -> tuple[LookupTable, list[str]]:
    """Return the table of a Modality or VOI LUT Sequence's item (PS3.3 C.11.1.1, C.11.2.1.1), and warnings.

    Args:
        item: with LUTDescriptor and LUTData.
        signed: whether the values to look up may be negative; it decides how the first mapped value is
            read, since writers often pick the wrong one of US and SS for it. None: as written.
        little_endian: the byte order of the file, for data given as bytes.

    Raises:
        MammogramError: the descriptor or the data are missing or do not fit each other.
    """
    try:
        entries, first, bits = get_numbers(item, "LUTDescriptor")
        entries, first, bits = int(entries), int(first), int(bits)
        data = get_value(item, "LUTData") or b""
        if isinstance(data, bytes):
            words = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if little_endian else ">u2")
        else:
            words = (np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF).astype(np.uint16)
    except (TypeError, ValueError, OverflowError):
        raise MammogramError("A lookup table in this file is empty or has no proper descriptor.") from None
    entries = (
        entries % 65536 or 65536
    )  # 0 stands for 65536, and a signed reading of a large count is negative
    if signed is not None and -32768 <= first <= 65535:
        first = (first + 32768) % 65536 - 32768 if signed else first % 65536
    if bits <= 8 and len(words) < entries:  # two entries per word
        words = np.frombuffer(words.astype("<u2").tobytes(), dtype=np.uint8)
    values = words[:entries].astype(np.uint16)
    if not 1 <= bits <= 16 or len(values) < entries:
        raise MammogramError("A lookup table in this file is shorter than its descriptor says.")
    warnings = []
    needed = max(bits, int(values.max()).bit_length())
    if needed != bits:
        warnings.append("A lookup table holds larger values than its descriptor says; its range was widened.")
    return LookupTable(values, first, needed), warnings


def narrowed(table: LookupTable) -> tuple[LookupTable, list[str]]:
    """Return a VOI LUT with the range of its values, where that is far below the range it claims."""
    held = int(table.values.max()).bit_length()
    if held > table.bits - FAR_BELOW or held == 0:
        return table, []
    return replace(table, bits=held), [
        "A lookup table holds far smaller values than its descriptor says; its range was narrowed."
    ]
