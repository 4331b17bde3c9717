"""Stored values of a mammogram become display values: modality, VOI and presentation transforms (lesson 01).

In: decoded pixels and what the header says. Out: float32 in [0, 1]. The steps follow DICOM PS3.3 C.11.1
(modality), C.11.2 (values of interest) and C.11.6 (presentation), and PS3.4 N.2 for their order. pydicom's
own functions for the last two are not used: its VOI LUT wraps indices in the LUT's 8 bits, and its
presentation step inverts by the image's maximum, so that the same gray would mean something else in each
file.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset

from .errors import MammogramError

WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

PERCENTILES = (0.5, 99.5)
"""The window of a file that brings none: these percentiles of the values inside the breast."""


@dataclass(frozen=True)
class Window:
    """A window of PS3.3 C.11.2.1.2: ``center`` and ``width`` in modality units, and its function."""

    center: float
    width: float
    function: WindowFunction = "LINEAR"


@dataclass(frozen=True)
class LookupTable:
    """A table of PS3.3 C.11.1.1 or C.11.2.1.1: ``values[i]`` of ``bits`` bits stands for ``first + i``."""

    values: np.ndarray
    first: int
    bits: int


def apply_rescale(values: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Return new float32 modality values (H, W), ``slope * value + intercept`` (PS3.3 C.11.1.1.2)."""
    out = values.astype(np.float32)
    if slope != 1:
        out *= np.float32(slope)
    if intercept != 0:
        out += np.float32(intercept)
    return out


def apply_window(values: np.ndarray, window: Window) -> np.ndarray:
    """Map float32 ``values`` to [0, 1] through ``window``, **in place**, and return them.

    The three functions are those of PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) and C.11.2.1.3.2
    (LINEAR_EXACT), with an output range of 0 to 1. LINEAR of width 1 is a step.
    """
    for top in range(0, len(values), 64):  # so few rows stay in the processor's cache from step to step
        _window_rows(values[top : top + 64], window)
    return values


def _window_rows(values: np.ndarray, window: Window) -> None:
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        values -= np.float32(center)
        values *= np.float32(-4 / width)
        np.minimum(values, 80, out=values)  # exp() of float32 overflows above 88; beyond 80 the answer is 0
        np.exp(values, out=values)
        values += 1
        np.reciprocal(values, out=values)
        return
    if window.function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        np.greater(values, np.float32(center), out=values)
        return
    values -= np.float32(center - width / 2)
    values *= np.float32(1 / width)
    np.clip(values, 0, 1, out=values)


def apply_lut(values: np.ndarray, table: LookupTable) -> np.ndarray:
    """Look ``values`` (H, W) up in ``table``; returns new float32 values in [0, 2**bits - 1].

    Inputs below the first or above the last entry get that entry (PS3.3 C.11.2.1.1). The index is worked out
    in float64, which holds all integers of 32 bits, whatever the width of the table's entries.
    """
    entries = table.values.astype(np.float32)
    out = np.empty(values.shape, np.float32)
    for top in range(0, len(values), 64):  # a few rows at a time, so that no index of full size is kept
        index = np.rint(values[top : top + 64].astype(np.float64)) - table.first
        out[top : top + 64] = entries[np.clip(index, 0, len(entries) - 1).astype(np.intp)]
    return out


def percentile_window(values: np.ndarray, inside: np.ndarray) -> Window:
    """Return the window that `PERCENTILES` of ``values`` (H, W) span where ``inside`` (H, W) is true."""
    low, high = np.percentile(values[inside], PERCENTILES)
    if not high > low:
        raise MammogramError(
            "The breast in this image has a single value everywhere, so there is nothing to see in it."
        )
    return Window(center=float(low + high) / 2, width=float(high - low), function="LINEAR_EXACT")


def read_windows(dataset: Dataset) -> tuple[list[Window | None], list[str]]:
    """Return the windows of a header in their order, and warnings.

    A window that cannot be used (empty, not a number, or of no width) is None, so that the others keep
    their number. An empty VOILUTFunction means LINEAR (PS3.3 C.11.2.1.2.1), and so does an unknown one, with
    a warning.
    """
    problems: list[str] = []
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        problems.append("The VOI LUT function is not one that the standard knows; read as LINEAR.")
        function = "LINEAR"
    least = 1.0 if function == "LINEAR" else np.finfo(np.float32).tiny
    windows: list[Window | None] = []
    for center, width in zip(
        _numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth"), strict=False
    ):
        usable = np.isfinite(center) and np.isfinite(width) and width >= least
        windows.append(Window(center, width, function) if usable else None)  # type: ignore[arg-type]
    if None in windows or (not windows and ("WindowCenter" in dataset or "WindowWidth" in dataset)):
        problems.append("A window without a usable centre and width was skipped.")
    return windows, problems


def read_lut(item: Dataset, *, little_endian: bool = True) -> tuple[LookupTable, list[str]]:
    """Return the table of a Modality or VOI LUT Sequence's item (PS3.3 C.11.1.1, C.11.2.1.1), and warnings.

    Raises:
        MammogramError: the descriptor or the data are missing or do not fit each other.
    """
    descriptor = item.get("LUTDescriptor")
    data = item.get("LUTData")
    if descriptor is None or len(descriptor) != 3 or not data:
        raise MammogramError("A lookup table in this file is empty or has no proper descriptor.")
    entries, first, bits = (int(number) for number in descriptor)
    # 0 stands for 65536, and a signed reading of a large count is negative.
    entries = entries % 65536 or 65536
    if isinstance(data, bytes):
        order = "<" if little_endian else ">"
        values = np.frombuffer(data[: len(data) // 2 * 2], dtype=f"{order}u2")
        if bits <= 8 and len(values) < entries:  # two entries to a word
            values = np.frombuffer(values.astype("<u2").tobytes(), dtype=np.uint8)
    else:
        values = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
    values = values[:entries].astype(np.uint16)
    if not 1 <= bits <= 16 or len(values) < entries:
        raise MammogramError("A lookup table in this file is shorter than its descriptor says.")
    problems = []
    needed = max(bits, int(values.max()).bit_length())
    if needed != bits:
        problems.append("A lookup table holds larger values than its descriptor says; its range was widened.")
    return LookupTable(values, first, needed), problems


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    try:
        value = dataset.get(keyword)
        if keyword not in dataset:
            return []
        values = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
        return [np.nan if number in (None, "") else float(number) for number in values]
    except (TypeError, ValueError):
        return []
