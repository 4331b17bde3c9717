"""Stored values of a mammogram become display values: modality, VOI and presentation transforms (lesson 01).

In: decoded pixels and what the header says. Out: float32 in [0, 1]. The steps follow DICOM PS3.3 C.11.1
(modality), C.11.2 (values of interest) and C.11.6 (presentation), and PS3.4 N.2 for their order. pydicom's
own presentation step is not used: it inverts by the image's maximum, so the same gray would mean
something different in each file.
"""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from pydicom.dataset import Dataset

from course_utils.imaging.decode import Stored
from course_utils.imaging.errors import MammogramError
from course_utils.imaging.header import get_text, is_for_processing, is_little_endian, stored_range
from course_utils.imaging.mask import find_breast, shrink
from course_utils.imaging.transforms import (
    LookupTable,
    Window,
    apply_lut,
    apply_rescale,
    apply_window,
    mirror,
    narrowed,
    percentile_window,
    read_lut,
    read_windows,
)

VOI: TypeAlias = Literal["auto", "lut", "window", "percentile", "none"] | int
"""Which VOI transform to use (see `read_mammogram`)."""

RAW_LINEAR = "Raw detector signal (FOR PROCESSING): shown as minus its logarithm, tissue bright."
SKIPPED_TABLE = "A lookup table of this file is damaged; what stands behind it was used."
RAW_LOG = "FOR PROCESSING with a logarithmic signal: shown without the vendor's processing."


def check_voi(voi: object) -> None:
    """Raise ValueError if `voi` is not a `VOI`."""
    number = isinstance(voi, int) and not isinstance(voi, bool) and voi >= 0
    if not (number or voi in ("auto", "lut", "window", "percentile", "none")):
        raise ValueError(
            f"voi must be 'auto', 'lut', 'window', 'percentile', 'none' or a window's number, not {voi!r}"
        )


class Display(NamedTuple):
    """What is shown: float32 `(H, W)` in [0, 1], breast bright, padding 0; the VOI used; and warnings."""

    pixels: np.ndarray
    voi: str
    warnings: list[str]


class Modality(NamedTuple):
    """Integers `(H, W)`, their possible range, and the line from them to modality values."""

    gray: np.ndarray
    least: int
    greatest: int
    slope: float
    intercept: float


def polarity(header: Dataset) -> tuple[bool, list[str]]:
    """Return whether low values are bright, and warnings; MammogramError if the header does not say."""
    photometric = get_text(header, "PhotometricInterpretation").upper()
    shape = get_text(header, "PresentationLUTShape").upper()
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise MammogramError(
            "The header does not say whether low values are bright (PhotometricInterpretation)."
        )
    inverted = photometric == "MONOCHROME1"
    if shape in ("IDENTITY", "INVERSE") and inverted != (shape == "INVERSE"):
        return inverted, [
            "PresentationLUTShape contradicts PhotometricInterpretation; the latter was followed."
        ]
    return inverted, []


def display_values(stored: Stored, header: Dataset, voi: VOI, inverted: bool) -> Display:
    """Return what stored values `(H, W)` look like.

    Args:
        stored: as `decode.stored_values` returns them.
        header: their file's.
        voi: how values become gray levels (see `read_mammogram`).
        inverted: whether low values are bright (`polarity`).

    Raises:
        MammogramError: the header lacks what `voi` asks for, or what it has makes no sense.
    """
    padding = stored.padding
    modality = modality_values(stored, header)
    windows, warnings = read_windows(header)
    tables = header.get("VOILUTSequence") or []
    linear_signal = False
    if raw := is_for_processing(header):
        if voi not in ("auto", "percentile", "none"):
            raise MammogramError("This image is FOR PROCESSING, so it has no window or LUT; use voi='auto'.")
        linear_signal = _is_linear(header)
        windows, tables, warnings = [], [], [RAW_LINEAR if linear_signal else RAW_LOG]

    if voi == "lut" and not tables:
        raise MammogramError("This file has no VOI LUT; try voi='auto'.")
    if voi in ("auto", "lut"):
        table, of_tables = _first_table(tables, modality, header, required=voi == "lut")
        warnings += of_tables
        if table is not None:
            return Display(_without(padding, _through_table(modality, table, inverted)), "lut", warnings)

    values, low, high = _minus_log(modality) if linear_signal else _bright_is_high(modality, inverted)
    if voi == "none":
        values -= np.float32(low)
        values *= np.float32(1 / (high - low))
        return Display(_without(padding, np.clip(values, 0, 1, out=values)), "none", warnings)
    if voi != "percentile" and (chosen := _choose(windows, voi)):
        used = f"window:{chosen.function}"
        window = _of_gray(chosen, modality, inverted)
    else:
        used = "percentile"
        window = _of_breast(values, padding, stored.reduction)
        if voi == "auto" and not raw:
            warnings.append("The file brings no usable window or LUT; the gray range is that of the breast.")
    return Display(_without(padding, apply_window(values, window)), used, warnings)


def modality_values(stored: Stored, header: Dataset) -> Modality:
    """Return the stored values with the file's slope and intercept, or its modality LUT's output, 1 and 0.

    Raises:
        MammogramError: the table, the slope or the intercept makes no sense.
    """
    sequence = header.get("ModalityLUTSequence")
    if sequence:
        table, _ = read_lut(
            sequence[0], signed=stored.values.dtype.kind == "i", little_endian=is_little_endian(header)
        )
        return Modality(apply_lut(stored.values, table), 0, 2**table.bits - 1, 1.0, 0.0)
    slope = header.get("RescaleSlope")
    slope = 1.0 if slope is None else float(slope)
    intercept = float(header.get("RescaleIntercept") or 0)
    if not (1e-9 < abs(slope) < 1e9 and abs(intercept) < 1e12):  # also false for NaN
        raise MammogramError("The rescale slope or intercept of this file makes no sense.")
    return Modality(stored.values, *stored_range(stored.bits, stored.values), slope, intercept)


def shown_by_its_breast(gray: np.ndarray) -> np.ndarray:
    """Return gray values `(H, W)`, bright tissue, as float32 in [0, 1] that the breast's values span."""
    values = gray.astype(np.float32)
    return apply_window(values, _of_breast(values, None))


def _first_table(
    items: list[Dataset], modality: Modality, header: Dataset, *, required: bool
) -> tuple[LookupTable | None, list[str]]:
    """Return the first VOI LUT of a sequence that can be used, None if none can, and warnings.

    Raises:
        MammogramError: none can, and one is required.
    """
    slope, intercept = modality.slope, modality.intercept
    signed = min(slope * modality.least, slope * modality.greatest) + intercept < 0
    for item in items:
        try:
            table, warnings = read_lut(item, signed=signed, little_endian=is_little_endian(header))
            if table.values.min() == table.values.max():
                raise MammogramError("A lookup table in this file has the same value everywhere.")
        except MammogramError:
            if required and item is items[-1]:
                raise
            continue
        table, of_range = narrowed(table)
        skipped = [] if item is items[0] else [SKIPPED_TABLE]
        return table, skipped + warnings + of_range
    return None, [SKIPPED_TABLE] if items else []


def _through_table(modality: Modality, table: LookupTable, inverted: bool) -> np.ndarray:
    """Return display values `(H, W)` through a VOI LUT."""
    gray, _, _, slope, intercept = modality
    rescaled = gray if (slope, intercept) == (1, 0) else apply_rescale(gray, slope, intercept)
    values = apply_lut(rescaled, table)
    brightest = np.float32(2**table.bits - 1)
    if inverted:
        np.subtract(brightest, values, out=values)
    values *= 1 / brightest
    return values


def _bright_is_high(modality: Modality, inverted: bool) -> tuple[np.ndarray, float, float]:
    """Return float32 `(H, W)` in which bright is high, and their possible range.

    They are inverted while still integers, so the same image stored either way round gives the same numbers,
    and no rounding can separate the two.
    """
    gray, least, greatest, slope, _ = modality
    turned = inverted != (slope < 0)
    values = mirror(gray, least + greatest) if turned else gray.astype(np.float32)
    return values, float(least), float(greatest)


def _minus_log(modality: Modality) -> tuple[np.ndarray, float, float]:
    """Return minus the logarithm of a detector's linear signal, float32 `(H, W)`, and its possible range.

    The signal is bright where there is air. Its logarithm is proportional to what the beam passed through
    (Beer-Lambert), so minus the logarithm shows tissue bright, whatever PhotometricInterpretation says.
    """
    gray, least, greatest, slope, intercept = modality
    signal = apply_rescale(gray, slope, intercept)
    np.maximum(signal, 1, out=signal)
    np.log(signal, out=signal)
    brightest = max(slope * least + intercept, slope * greatest + intercept, 2)
    return np.negative(signal, out=signal), -float(np.log(brightest)), 0.0


def _is_linear(header: Dataset) -> bool:
    """Return whether a raw signal is linear in exposure, not logarithmic; refuse one that is neither."""
    relationship = get_text(header, "PixelIntensityRelationship", "LIN").upper()
    if relationship == "LOG":
        return False
    if relationship != "LIN" or header.get("PixelIntensityRelationshipSign") == -1:
        raise MammogramError(
            "This image is FOR PROCESSING and its signal is not linear in exposure, so it cannot be shown."
        )
    return True


def _choose(windows: list[Window | None], voi: VOI) -> Window | None:
    """Return the window asked for by number, else the first usable one, else None."""
    if isinstance(voi, int):
        if voi >= len(windows) or windows[voi] is None:
            raise MammogramError(
                f"This file has no usable window number {voi}; it has {len(windows)}, counted from 0."
            )
        return windows[voi]
    first = next((window for window in windows if window is not None), None)
    if first is None and voi == "window":
        raise MammogramError("This file has no usable window; try voi='auto'.")
    return first


def _of_gray(window: Window, modality: Modality, inverted: bool) -> Window:
    """Translate a window of modality values to the values of `_bright_is_high`."""
    total = modality.least + modality.greatest
    slope, intercept = modality.slope, modality.intercept
    if slope < 0:
        slope, intercept = -slope, intercept + slope * total
    window = window.before_rescale(slope, intercept)
    return window.mirrored(total) if inverted else window


def _of_breast(values: np.ndarray, padding: np.ndarray | None, reduction: int = 1) -> Window:
    """Return the window that the values inside the breast span; set padding to the background, in place."""
    if padding is not None:
        np.copyto(values, values[~padding].min(), where=padding)
    small, _ = shrink(values, reduction)
    breast = find_breast(small - small.min())  # not shrunk a second time: it is small already
    return percentile_window(small, breast.well_inside())


def _without(padding: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """Set display values to 0 where padding is, in place, and return them."""
    if padding is not None:
        np.copyto(values, 0, where=padding)
    return values
