"""The header of a DICOM file: which of its elements are read, as text and as numbers (lesson 01).

In: an open file. Out: a pydicom `Dataset` of the elements in `KEYWORDS`, and functions that return its
values without tripping over what writers make of the standard. Names and vendors' additions are never read.
"""

from collections.abc import MutableSequence
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from course_utils.imaging.errors import MammogramError

OVERLAY_BIT_POSITIONS = [(group << 16) | 0x0102 for group in range(0x6000, 0x6020, 2)]
"""The elements that say which bit of a pixel belongs to an overlay (retired, PS3.5 8.1.2)."""

FUNCTIONAL_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
"""Where enhanced objects keep windows, side and spacing of a frame (PS3.3 C.7.6.16)."""

KEYWORDS: list[str] = [
    *("SOPClassUID", "SOPInstanceUID", "Modality", "PresentationIntentType", "BodyPartExamined", "PatientID"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "PixelIntensityRelationship"),
    *("PixelIntensityRelationshipSign", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
    *("PresentationLUTShape", "ViewPosition", "ViewCodeSequence", "PatientOrientation", "ImageLaterality"),
    *("Laterality", "FrameLaterality", "ImagerPixelSpacing", "PixelSpacing"),
    *("PixelAspectRatio", "ImageType", "SeriesDescription", "QualityControlImage", "DetectorType"),
    *("IssuerOfPatientID", "AnatomicRegionSequence"),
    *FUNCTIONAL_GROUPS,
]
"""The header elements that are read by name."""

READ = [tag_for_keyword(keyword) or 0 for keyword in KEYWORDS] + OVERLAY_BIT_POSITIONS
"""The only header elements read; the rest are skipped."""

LONGEST = {"SQ": 2**21}
"""Bytes above which one of these makes a file refused, by VR; otherwise 64 kB. A table takes 128 kB; parsed,
an element takes a hundred times its length in memory or more."""

MAX_READS = 50_000
"""Reads of a header after which a file is refused: an element takes two or three, a header has hundreds."""

FOR_PROCESSING = frozenset({"1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.1.1.1"})
"""SOP classes of raw images, for mammography and digital X-ray (PS3.6 table A-1)."""


class _BoundedReader:
    """A file as `dcmread` sees it: a few bytes at a time, and not forever."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.tell, self.seek, self.left = file, file.tell, file.seek, MAX_READS

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes of the file, as `read` does."""
        self.left -= 1
        if self.left < 0:
            raise MammogramError("This file is damaged: its header has no end.")
        if size < 0:  # asked for only to inflate it all, however large
            raise MammogramError(
                "This file is deflated as a whole; convert it first, for example with DCMTK's dcmconv."
            )
        return self.file.read(size)


def read_header(file: BinaryIO) -> Dataset:
    """Return the elements of `KEYWORDS`, not yet parsed; leave the file where the pixels should be.

    A file without the preamble that PS3.10 7.1 asks for is read where its first element, the length of its
    label, makes sense.

    Raises:
        MammogramError: this is not DICOM, is deflated, or has a header that is endless or absurd.
    """
    bare = _begins_with_its_label(file)
    try:
        header = pydicom.dcmread(
            _BoundedReader(file), stop_before_pixels=True, specific_tags=READ, force=bare
        )
    except InvalidDicomError:
        raise MammogramError("This is not a DICOM file.") from None
    raws = (element for element in header.values() if isinstance(element, RawDataElement))
    if any(raw.length > LONGEST.get(dictionary_VR(raw.tag), 2**16) for raw in raws):
        raise MammogramError("This file is damaged: a value in its header is absurdly long.")
    _lift_out_of_groups(header)
    return header


def _lift_out_of_groups(header: Dataset) -> None:
    """Put the elements of the first frame's functional groups where those of a plain image are.

    What is there already stays, and the frame's own group goes before the shared one.
    """
    for name in FUNCTIONAL_GROUPS:
        for group in list(header.get(name) or [])[:1]:
            for macro in group:
                for item in list(macro.value)[:1] if macro.VR == "SQ" else ():
                    for element in item:
                        if element.keyword in KEYWORDS and element.tag not in header:
                            header.add(element)


def _begins_with_its_label(file: BinaryIO) -> bool:
    """Return whether a file begins with its file meta information, whose length fits; leave it at its start.

    That is group 0002, in explicit VR little endian whatever follows; the first element is its length, and
    behind it an element of a later group begins (PS3.10 7.1).
    """
    start = file.read(12)
    there = start[:8] == b"\x02\x00\x00\x00UL\x04\x00"
    if there:
        file.seek(12 + int.from_bytes(start[8:12], "little"))
        there = int.from_bytes(file.read(2), "little") in range(3, 0x20)
    file.seek(0)
    return there


def get_text(header: Dataset, keyword: str, default: str = "") -> str:
    """Return a header value as text without surrounding blanks; several values are joined as in the file."""
    value = header.get(keyword)
    if value is None or value == "":
        return default
    return str(value).strip() if isinstance(value, str) else "\\".join(map(str, np.atleast_1d(value))).strip()


def get_numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return the numbers of an element, NaN for each that is not one; empty if there is no element."""
    if keyword not in dataset:
        return []
    value = get_value(dataset, keyword)
    values = value if isinstance(value, MutableSequence | tuple) else [value]
    return [_float(number) for number in values]


def get_value(dataset: Dataset, keyword: str) -> object:
    """Return the value of an element as pydicom parses it, None if it is missing or cannot be parsed."""
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom parses a value on access, and what it raises for a bad one varies
        return None


def get_spacing(header: Dataset, keyword: str) -> tuple[float, float] | None:
    """Return the distances in mm between rows and between columns; None unless both are above 0."""
    try:
        row, column = (float(distance) for distance in header.get(keyword) or ())
    except (TypeError, ValueError):
        return None
    return (row, column) if 0 < row < np.inf and 0 < column < np.inf else None


def stored_range(bits: int, stored: np.ndarray) -> tuple[int, int]:
    """Return the least and the greatest value of the kind of `stored` that so many bits can hold."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if stored.dtype.kind == "i" else (0, 2**bits - 1)


def is_little_endian(header: Dataset) -> bool:
    """Return whether the file stores the low byte of a number first."""
    return bool(header.original_encoding[1])


def is_for_processing(header: Dataset) -> bool:
    """Return whether this is a raw image, which is not meant to be looked at."""
    intent = get_text(header, "PresentationIntentType").upper()
    return intent == "FOR PROCESSING" or get_text(header, "SOPClassUID") in FOR_PROCESSING


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return np.nan
