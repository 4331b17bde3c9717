"""The one door for pixels: a DICOM file on disk becomes a `Mammogram` (lesson 01).

In: a path. Out: float32 display values in [0, 1], breast bright, and the little that the course needs to know
about them; or a `MammogramError` that says in one sentence why not. Nothing that identifies a person comes
through: ids are pseudonyms, and neither errors nor warnings quote the header.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.errors import InvalidDicomError
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from course_utils.imaging import grayscale
from course_utils.imaging.codestream import (
    DECODERS,
    NOT_GRAY,
    PLUGIN,
    TRUNCATED,
    check_decodable,
    check_frame,
    has_end,
    read_frame,
)
from course_utils.imaging.errors import MammogramError
from course_utils.imaging.grayscale import VOI, check_voi
from course_utils.imaging.preprocess import TOO_SMALL, find_breast, shrink

MAX_PIXELS = 60_000_000
"""Rows × Columns above which a file is refused undecoded. The largest mammograms have about 5000 × 6000
pixels, a large film scanned at 43.5 µm has 40 million; what unpacks to more is a mistake or an attack. With
`MAX_BITS` it keeps the memory that one file takes under about 1.2 GB."""

MAX_BYTES = 2**31
"""Length of a file above which it is refused unread: it may be sparse, and take hours to hash."""

MAX_BITS = 32
"""BitsAllocated above which a file is refused undecoded; mammograms have 8 or 16."""

NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
"""The transfer syntaxes in which pixels are not compressed. (What is deflated as a whole is refused.)"""

UNDEFINED = 0xFFFFFFFF
"""The length of pixels that are in items (PS3.5 A.4)."""

KEYWORDS = [
    *("SOPClassUID", "SOPInstanceUID", "Modality", "PresentationIntentType", "BodyPartExamined", "PatientID"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "PixelIntensityRelationship"),
    *("PixelIntensityRelationshipSign", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
    *("PresentationLUTShape", "ViewPosition", "ViewCodeSequence", "PatientOrientation", "ImageLaterality"),
    *("Laterality", "FrameLaterality", "ImagerPixelSpacing", "PixelSpacing"),
]
"""All of the header that is read; the rest, names and whatever vendors add, is skipped."""

LONGEST = {"SQ": 2**21}
"""Bytes of one of these above which a file is refused, by VR; else 64 kB. A table takes 128 kB; parsed, an
element takes a hundred times its length in memory and more."""

MAX_READS = 50_000
"""Reads of a header after which a file is refused: an element takes two or three, a header has hundreds."""

MIN_SIDE = 64
"""Rows or Columns below which a file is refused undecoded: not even a thumbnail of a mammogram."""

PROCESS_KEY = secrets.token_bytes(32)
"""Keys the pseudonyms when the caller has no key: they then hold within this process and nowhere else."""

MODALITIES = frozenset({"MG", "CR", "DX", "DR", "RG", "OT"})
"""Modalities under which mammograms are met; digitised film is often CR or OT."""

TOMOSYNTHESIS = frozenset(
    {"1.2.840.10008.5.1.4.1.1.13.1.3", "1.2.840.10008.5.1.4.1.1.13.1.4", "1.2.840.10008.5.1.4.1.1.13.1.5"}
)
FOR_PROCESSING = frozenset({"1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.1.1.1"})
RAW_LINEAR = "Raw detector signal (FOR PROCESSING): shown as minus its logarithm, tissue bright."
RAW_LOG = "FOR PROCESSING with a logarithmic signal: shown without the vendor's processing."
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PROJECTION_X_RAY = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
        "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, for presentation
        "1.2.840.10008.5.1.4.1.1.1.2",  # Digital Mammography X-Ray, for presentation
        SECONDARY_CAPTURE,
        *FOR_PROCESSING,
    }
)

# CID 4014 "View for Mammography": SNOMED CT code, the SRT code that older files have, ACR abbreviation.
VIEW_CODES = {
    code: view
    for codes, view in [
        ("399162004 R-10242", "CC"),
        ("399368009 R-10226", "MLO"),
        ("399260004 R-10224", "ML"),
        ("399352003 R-10228", "LM"),
        ("399099002 R-10230", "LMO"),
        ("399192008 R-1024A", "XCCL"),
        ("399101009 R-1024B", "XCCM"),
        ("399196006 R-10244", "FB"),
        ("399188001 R-102D0", "SIO"),
        ("441555000 R-40AAA", "ISO"),
        ("127457009 G-8310", "SPECIMEN"),
    ]
    for code in codes.split()
}
VIEWS = frozenset(VIEW_CODES.values())

# CBIS-DDSM puts the image, not the woman, into PatientID: Mass-Training_P_00001_LEFT_CC, and one more number
# for a lesion's crop (Lee et al., Sci. Data 4, 170177, 2017). P_00001 is the woman, in the Mass and in the
# Calc part alike.
CBIS_PATIENT_ID = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d{5})_(LEFT|RIGHT)_(CC|MLO)(?:_\d+)?")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Mammogram:
    """One mammogram, ready to look at. What the file does not say is None.

    Attributes:
        pixels: float32 ``(H, W)`` in [0, 1], breast bright on dark ground.
        image_id: pseudonym of the image, ``img-`` and 12 hexadecimal digits.
        patient_key: pseudonym of the person, ``pat-`` and 12 hexadecimal digits.
        view: ``CC``, ``MLO``, ``ML``, ``LM``, ``XCCL``, … (the abbreviations of PS3.16 CID 4014).
        laterality: ``L`` or ``R``.
        spacing_mm: distance of pixel centres between rows and between columns; ImagerPixelSpacing is that at
            the detector, so that the breast itself is a little smaller.
        voi: what made the display values: ``lut``, ``window:LINEAR`` (or another function), ``percentile``,
            ``none``.
        warnings: sentences about what was odd, free of personal data.
    """

    pixels: np.ndarray = field(repr=False)
    image_id: str
    patient_key: str | None
    view: str | None
    laterality: str | None
    spacing_mm: tuple[float, float] | None
    voi: str
    warnings: tuple[str, ...] = ()


def read_mammogram(path: str | os.PathLike[str], *, voi: VOI = "auto", key: bytes | None = None) -> Mammogram:
    """Read one mammogram from a DICOM file.

    Args:
        path: the file; single-frame and gray, uncompressed or in any transfer syntax of
            `codestream.DECODERS`, which says what decodes it.
        voi: how values become gray levels. ``auto``: the file's VOI LUT, else its first usable window, else
            the window that the values inside the breast span. ``lut``, ``window``, ``percentile``: that one.
            An int: the n-th window, from 0. ``none``: all stored values, stretched to [0, 1].
        key: secret bytes that key the pseudonyms (HMAC-SHA256 of SOPInstanceUID and PatientID). The same key
            gives the same pseudonyms. None: a random key drawn once per process.

    Raises:
        MammogramError: one sentence on what is wrong with the file; it quotes neither path nor header, and no
            error that does hangs on behind it.
        ValueError: ``voi`` is none of the above, or ``key`` is empty or no bytes.

    Sources: DICOM PS3.3 C.7.6.3, C.8.11 and C.11; PS3.4 N.2 for the order of the transforms.
    """
    check_voi(voi)
    if key is not None and not (isinstance(key, bytes) and key):
        raise ValueError("key must be bytes, and not empty")
    path = Path(path)
    try:
        with _quiet() as heard, open_file(path) as file:
            return _read(file, voi, key or PROCESS_KEY, heard)
    except MammogramError as refusal:
        refusal.__context__ = None  # what a library said of the file may quote its header or its path
        raise
    except Exception as error:  # whatever a parser makes of a damaged file ends here, values unquoted
        _log.debug("unreadable: %s", type(error).__name__)
    raise MammogramError("This file is damaged or breaks the DICOM standard in a way that cannot be read.")


def open_file(path: Path) -> BufferedReader:
    """Open a regular file in binary; MammogramError if it is none, empty or longer than `MAX_BYTES`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a folder, or a pipe, on which opening would wait for ever
            raise MammogramError("This is not a regular file.")
        if status.st_size == 0:
            raise MammogramError("This file is empty.")
        if status.st_size > MAX_BYTES:
            raise MammogramError("This file is larger than 2 GB, far too large for a single mammogram.")
        return path.open("rb")
    except FileNotFoundError:
        raise MammogramError("There is no such file.") from None
    except (OSError, ValueError):  # a ValueError if there is a NUL in the name
        raise MammogramError("This file cannot be opened; are you allowed to read it?") from None


def _read(file: BinaryIO, voi: VOI, key: bytes, heard: list[str]) -> Mammogram:
    header = _read_header(file)
    problems = _check(header)
    inverted, odd = _polarity(header)
    decoded, more = _decode(file, header)
    odd += more
    stored, stray = _clear_unused_bits(header, decoded)
    padding = _padding(header, decoded, stored)
    if stray is not None and (stray if padding is None else stray & ~padding).any():
        odd.append("Bits above BitsStored were set, such as an old overlay; they were cleared.")
    if padding is not None and padding.all():
        raise MammogramError("Every pixel of this image is marked as padding.")
    if _constant(stored if padding is None else stored[~padding]):
        raise MammogramError("Every pixel of this image has the same value.")
    pixels, used, more = _display_values(stored, header, voi, inverted, padding)
    if _constant(pixels):
        raise MammogramError("Every pixel ends up the same under this VOI transform; try voi='percentile'.")

    identity, problems_of_identity = _identity(header, stored, key)
    problems += odd + more + problems_of_identity
    if heard:
        problems.append("The file departs from the DICOM standard in ways that do not hinder reading.")
    return Mammogram(pixels=pixels, voi=used, warnings=tuple(dict.fromkeys(problems)), **identity)


class _Patience:
    """A file as `dcmread` is let see it: it asks for a few bytes at a time, and not for ever."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.tell, self.seek, self.left = file, file.tell, file.seek, MAX_READS

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise MammogramError("This file is damaged: its header has no end.")
        if size < 0:  # which it asks for only in order to inflate it, however much that is
            raise MammogramError(
                "This file is deflated as a whole; convert it first, for example with DCMTK's dcmconv."
            )
        return self.file.read(size)


def _read_header(file: BinaryIO) -> Dataset:
    """Return the elements of `KEYWORDS`, not yet parsed; the file then stands where the pixels should be."""
    try:
        header = pydicom.dcmread(_Patience(file), stop_before_pixels=True, specific_tags=KEYWORDS)
    except InvalidDicomError:
        raise MammogramError("This is not a DICOM file.") from None
    raws = (element for element in header.values() if isinstance(element, RawDataElement))
    if any(raw.length > LONGEST.get(dictionary_VR(raw.tag), 2**16) for raw in raws):
        raise MammogramError("This file is damaged: a value in its header is absurdly long.")
    return header


# --- is it a mammogram? ---


def _check(header: Dataset) -> list[str]:
    """Refuse what is not one gray mammogram of a sane size; return warnings about what is doubtful."""
    problems = []
    modality = _text(header, "Modality").upper()
    sop_class = _text(header, "SOPClassUID")
    if sop_class in TOMOSYNTHESIS:
        raise MammogramError(
            "This is breast tomosynthesis, a stack of slices; only single mammograms can be read."
        )
    if modality and modality not in MODALITIES:
        raise MammogramError(
            "This is no mammogram: its modality is not one under which mammograms are stored."
        )
    if sop_class not in PROJECTION_X_RAY and modality != "MG":
        raise MammogramError("This is no mammogram: it is another kind of DICOM object.")
    part = _text(header, "BodyPartExamined").upper()
    if modality != "MG":
        if part and "BREAST" not in part:
            raise MammogramError(
                "This is no mammogram: its header says that it shows another part of the body."
            )
        problems.append("The modality is not MG; taken for a mammogram all the same.")
    if sop_class == SECONDARY_CAPTURE:
        problems.append(
            "A secondary capture, such as a digitised film: its gray values have no fixed meaning."
        )

    rows, columns = header.get("Rows"), header.get("Columns")
    if not rows or not columns:
        raise MammogramError("This DICOM file holds no pixels.")
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"):
        if not isinstance(header.get(keyword), int):
            raise MammogramError(f"This file is damaged: {keyword} is missing or is no whole number.")
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise MammogramError("This file has several frames; only single mammograms can be read.")
    if header.get("SamplesPerPixel", 1) != 1 or not _text(
        header, "PhotometricInterpretation", "MONO"
    ).startswith("MONO"):
        raise MammogramError(NOT_GRAY)
    if rows * columns > MAX_PIXELS:
        raise MammogramError(
            f"This image is too large: more than {MAX_PIXELS / 1e6:.0f} million pixels (Rows × Columns)."
        )
    if min(rows, columns) < MIN_SIDE:
        raise MammogramError(TOO_SMALL)
    if header.BitsAllocated > MAX_BITS:
        raise MammogramError(f"This image has more than {MAX_BITS} bits a pixel; mammograms have 8 or 16.")
    if header.BitsAllocated not in (8, 16, 32) or not 1 <= header.BitsStored <= header.BitsAllocated:
        raise MammogramError("This file is damaged: BitsAllocated and BitsStored make no sense.")
    return problems


def _constant(values: np.ndarray) -> bool:
    some = values[::16, ::16] if values.ndim == 2 else values[::256]  # nearly always enough, and quick
    return values.size == 0 or bool(some.min() == some.max() and values.min() == values.max())


# --- decode ---


def _polarity(header: Dataset) -> tuple[bool, list[str]]:
    """Return whether low values are bright, and warnings."""
    photometric = _text(header, "PhotometricInterpretation").upper()
    shape = _text(header, "PresentationLUTShape").upper()
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


def _decode(file: BinaryIO, header: Dataset) -> tuple[np.ndarray, list[str]]:
    """Return pixels ``(H, W)`` as they are stored, with the bits above BitsStored, and warnings."""
    syntax = UID(header.file_meta.get("TransferSyntaxUID") or "")
    if not syntax:
        raise MammogramError("The header does not say how the pixels are stored (TransferSyntaxUID).")
    if syntax not in NATIVE:
        check_decodable(syntax)
    position, vr, length = _pixel_data(file, header)
    source: BinaryIO | bytes = file
    problems = []
    if syntax in NATIVE:
        if length == UNDEFINED:
            raise MammogramError("The pixels of this file are compressed, but its transfer syntax denies it.")
        needed = header.Rows * header.Columns * header.BitsAllocated // 8
        if min(length, os.fstat(file.fileno()).st_size - position) < needed:
            raise MammogramError(TRUNCATED)
        file.seek(position)
    else:
        frame = read_frame(file, position)
        frame = check_frame(frame, syntax, header.Rows, header.Columns, header.BitsAllocated)
        if not has_end(frame, syntax):
            problems.append("The compressed pixels have no end mark; a part of the picture may be missing.")
        source = encapsulate([frame], has_bot=False)
    options: dict[str, Any] = {
        "rows": header.Rows,
        "columns": header.Columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",  # of no account here
        "bits_allocated": header.BitsAllocated,
        "bits_stored": header.BitsStored,
        "pixel_representation": header.PixelRepresentation,
        "pixel_keyword": "PixelData",
        "pixel_vr": vr,
        "allow_excess_frames": False,
        "correct_unused_bits": False,
        "view_only": syntax in NATIVE,
    }
    plugin = PLUGIN if syntax in DECODERS else ""
    try:
        stored, _ = get_decoder(syntax).as_array(source, decoding_plugin=plugin, **options)
    except Exception as error:
        _log.debug("undecodable: %s", type(error).__name__)
        raise MammogramError(
            "The pixels of this file cannot be decoded: it is damaged or truncated."
        ) from None
    if stored.shape != (header.Rows, header.Columns) or stored.dtype.kind not in "ui":
        raise MammogramError("The pixels of this file are not what its header says.")
    return stored, problems


def _pixel_data(file: BinaryIO, header: Dataset) -> tuple[int, str, int]:
    """Return where the value of PixelData begins, its VR and its length.

    The file stands at its tag, where `dcmread` stopped.
    """
    implicit, little = header.original_encoding
    order: Literal["little", "big"] = "little" if little else "big"
    start = file.read(8 if implicit else 12)
    if [int.from_bytes(start[at : at + 2], order) for at in (0, 2)] != [0x7FE0, 0x0010]:
        raise MammogramError("This DICOM file holds no pixels.")
    vr = "OW" if implicit else start[4:6].decode("ascii")
    return file.tell(), vr, int.from_bytes(start[-4:], order)


def _clear_unused_bits(header: Dataset, decoded: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels with nothing but their value in them, and where other bits were set (PS3.5 8.1.1)."""
    lowest, highest = _stored_range(header, decoded)
    least, greatest = int(decoded.min()), int(decoded.max())
    if lowest <= least and greatest <= highest:
        return decoded, None
    bits = header.BitsStored
    if header.get("HighBit", bits - 1) != bits - 1:
        raise MammogramError("HighBit and BitsStored contradict each other, and the pixels do not tell.")
    unused = 8 * decoded.itemsize - bits
    stored = (decoded << unused) >> unused
    if lowest < 0 <= least and greatest < 2**bits:  # negative values without the bits above their sign
        return stored, None
    return stored, (decoded < lowest) | (decoded > highest)


def _stored_range(header: Dataset, stored: np.ndarray) -> tuple[int, int]:
    """Return the least and the greatest value that BitsStored bits can hold."""
    bits = header.BitsStored
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if stored.dtype.kind == "i" else (0, 2**bits - 1)


def _padding(header: Dataset, decoded: np.ndarray, stored: np.ndarray) -> np.ndarray | None:
    """Return where padding is, bool ``(H, W)``, or None (PS3.3 C.7.5.1.1.2: both ends of the range count).

    The values should fit into BitsStored; where they do not, the padding has them all the same.
    """
    first = header.get("PixelPaddingValue")
    if first is None:
        return None
    last = header.get("PixelPaddingRangeLimit")
    low, high = sorted(
        _as_stored(int(value), stored.dtype) for value in (first, first if last is None else last)
    )
    padding = _between(stored, low, high)
    if decoded is not stored:
        padding |= _between(decoded, low, high)
    return padding if padding.any() else None


def _between(values: np.ndarray, low: int, high: int) -> np.ndarray:
    return values == low if low == high else (values >= low) & (values <= high)


def _as_stored(value: int, dtype: np.dtype) -> int:
    """Read a 16-bit number as signed or unsigned, as the pixels are; writers often confuse the two."""
    if dtype.kind == "i":
        return value - 65536 if value > 32767 else value
    return value + 65536 if value < 0 else value


# --- gray values ---


def _display_values(
    stored: np.ndarray, header: Dataset, voi: VOI, inverted: bool, padding: np.ndarray | None
) -> tuple[np.ndarray, str, list[str]]:
    """Return display values, float32 ``(H, W)`` in [0, 1] with padding at 0, the VOI used, and warnings."""
    gray, (least, greatest), slope, intercept = _modality(stored, header)
    total = least + greatest
    windows, problems = grayscale.read_windows(header)
    tables = header.get("VOILUTSequence") or []
    linear_signal = False
    if raw := _for_processing(header):
        if voi not in ("auto", "percentile", "none"):
            raise MammogramError("This image is FOR PROCESSING, so it has no window or LUT; use voi='auto'.")
        linear_signal = _is_linear(header)
        windows, tables, problems = [], [], [RAW_LINEAR if linear_signal else RAW_LOG]

    if voi == "lut" and not tables:
        raise MammogramError("This file has no VOI LUT; try voi='auto'.")
    if voi == "lut" or (voi == "auto" and tables):
        signed = min(slope * least, slope * greatest) + intercept < 0
        table, more = grayscale.read_lut(tables[0], signed=signed, little_endian=_little_endian(header))
        values = grayscale.apply_lut(_rescaled(gray, slope, intercept), table)
        brightest = np.float32(2**table.bits - 1)
        if inverted:
            np.subtract(brightest, values, out=values)
        values *= 1 / brightest
        return _without(padding, values), "lut", problems + more

    if linear_signal:
        values = _minus_log(grayscale.apply_rescale(gray, slope, intercept))
        low, high = -float(np.log(max(slope * least + intercept, slope * greatest + intercept, 2))), 0.0
    else:
        # Bright is high from here on, while the numbers are still whole. So the same image stored either way
        # round is the same numbers, and no rounding can part the two.
        turned = inverted != (slope < 0)
        values = grayscale.mirror(gray, total) if turned else gray.astype(np.float32)
        low, high = float(least), float(greatest)

    if voi == "none":
        values -= np.float32(low)
        values *= np.float32(1 / (high - low))
        return _without(padding, np.clip(values, 0, 1, out=values)), "none", problems
    if voi != "percentile" and (window := _choose(windows, voi)):
        used = f"window:{window.function}"
        if slope < 0:
            slope, intercept = -slope, intercept + slope * total
        window = window.before_rescale(slope, intercept)
        if inverted:
            window = window.mirrored(total)
    else:
        used = "percentile"
        if padding is not None:
            np.copyto(values, values[~padding].min(), where=padding)
        small, _ = shrink(values)
        breast = find_breast(small - small.min())  # not shrunk a second time: it is small already
        window = grayscale.percentile_window(small, breast.well_inside())
        if voi == "auto" and not raw:
            problems.append("The file brings no usable window or LUT; the gray range is that of the breast.")
    return _without(padding, grayscale.apply_window(values, window)), used, problems


def _without(padding: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """Set display values to 0 where padding is, in place, and return them."""
    if padding is not None:
        np.copyto(values, 0, where=padding)
    return values


def _modality(stored: np.ndarray, header: Dataset) -> tuple[np.ndarray, tuple[int, int], float, float]:
    """Return whole numbers ``(H, W)``, the range that they can have, and what makes modality values of them.

    They are the stored values and the file's slope and intercept, or what the modality LUT gives, 1 and 0.
    """
    sequence = header.get("ModalityLUTSequence")
    if sequence:
        table, _ = grayscale.read_lut(
            sequence[0], signed=stored.dtype.kind == "i", little_endian=_little_endian(header)
        )
        return grayscale.apply_lut(stored, table), (0, 2**table.bits - 1), 1.0, 0.0
    slope = header.get("RescaleSlope")
    slope = 1.0 if slope is None else float(slope)
    intercept = float(header.get("RescaleIntercept") or 0)
    if not (1e-9 < abs(slope) < 1e9 and abs(intercept) < 1e12):  # not so for not-a-number either
        raise MammogramError("The rescale slope or intercept of this file makes no sense.")
    return stored, _stored_range(header, stored), slope, intercept


def _rescaled(gray: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    return gray if (slope, intercept) == (1, 0) else grayscale.apply_rescale(gray, slope, intercept)


def _little_endian(header: Dataset) -> bool:
    return bool(header.original_encoding[1])


def _choose(windows: list[grayscale.Window | None], voi: VOI) -> grayscale.Window | None:
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


def _for_processing(header: Dataset) -> bool:
    intent = _text(header, "PresentationIntentType").upper()
    return intent == "FOR PROCESSING" or _text(header, "SOPClassUID") in FOR_PROCESSING


def _is_linear(header: Dataset) -> bool:
    """Return whether a raw signal is linear in exposure, not logarithmic; refuse what is neither."""
    relationship = _text(header, "PixelIntensityRelationship", "LIN").upper()
    if relationship == "LOG":
        return False
    if relationship != "LIN" or header.get("PixelIntensityRelationshipSign") == -1:
        raise MammogramError(
            "This image is FOR PROCESSING and its signal is not linear in exposure, so it cannot be shown."
        )
    return True


def _minus_log(signal: np.ndarray) -> np.ndarray:
    """Return minus the logarithm of a detector's linear signal, float32 ``(H, W)``, in place.

    The signal is bright where there is air. Its logarithm is proportional to what the beam passed through
    (Beer-Lambert), so that minus the logarithm shows tissue bright, whatever PhotometricInterpretation says.
    """
    np.maximum(signal, 1, out=signal)
    np.log(signal, out=signal)
    return np.negative(signal, out=signal)


# --- who and what ---


def _identity(header: Dataset, stored: np.ndarray, key: bytes) -> tuple[dict[str, Any], list[str]]:
    """Return image_id, patient_key, view, laterality and spacing_mm, and warnings."""
    problems = []
    instance = _text(header, "SOPInstanceUID") or _text(header.file_meta, "MediaStorageSOPInstanceUID")
    if not instance:
        instance = hashlib.sha256(np.ascontiguousarray(stored).data).hexdigest()
        problems.append("The file has no SOPInstanceUID; the image's pseudonym is made from its pixels.")
    patient = _text(header, "PatientID")
    cbis = CBIS_PATIENT_ID.fullmatch(patient)
    if cbis:
        patient = cbis[1]
        problems.append(
            "PatientID names a CBIS-DDSM image; the patient's pseudonym is made from its patient number."
        )

    view, laterality = None, None
    orientation = re.fullmatch(r"([LR]?)([A-Z]+)", _text(header, "PatientOrientation").upper())
    film = orientation[2] if orientation and orientation[2] in VIEWS else None
    position = _text(header, "ViewPosition").upper()
    if position in VIEWS:
        view = position
    elif code := _view_code(header):
        view = code
    elif film:
        view = film
        problems.append("The view stands in PatientOrientation, as in digitised film.")
    elif cbis:
        view = cbis[3]
        problems.append("The view was read from CBIS-DDSM's PatientID.")
    else:
        problems.append("The file does not say which view it is.")

    for keyword in ("ImageLaterality", "Laterality", "FrameLaterality"):
        if (side := _text(header, keyword).upper()) in ("L", "R"):
            laterality = side
            break
    else:
        if film and orientation and orientation[1]:
            laterality = orientation[1]
            problems.append("The side stands in PatientOrientation, as in digitised film.")
        elif cbis:
            laterality = cbis[2][0]
            problems.append("The side was read from CBIS-DDSM's PatientID.")
        else:
            problems.append("The file does not say which breast it is.")
    return {
        "image_id": f"img-{_pseudonym(key, instance)}",
        "patient_key": f"pat-{_pseudonym(key, patient)}" if patient else None,
        "view": view,
        "laterality": laterality,
        "spacing_mm": _spacing(header, "ImagerPixelSpacing") or _spacing(header, "PixelSpacing"),
    }, problems


def _pseudonym(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:12]


def _view_code(header: Dataset) -> str | None:
    sequence = header.get("ViewCodeSequence")
    return VIEW_CODES.get(_text(sequence[0], "CodeValue")) if sequence else None


def _spacing(header: Dataset, keyword: str) -> tuple[float, float] | None:
    try:
        row, column = (float(distance) for distance in header.get(keyword) or ())
    except (TypeError, ValueError):
        return None
    return (row, column) if 0 < row < np.inf and 0 < column < np.inf else None


def _text(header: Dataset, keyword: str, default: str = "") -> str:
    """Return a header value as text without blanks at its ends; several values are joined as in the file."""
    value = header.get(keyword)
    if value is None or value == "":
        return default
    return str(value).strip() if isinstance(value, str) else "\\".join(map(str, np.atleast_1d(value))).strip()


# --- pydicom's warnings and log records ---

LIBRARIES = frozenset({"pydicom", "imagecodecs"})
"""Top names of the loggers of all that parses or decodes here."""

_heard = threading.local()
_readers = 0
_outside: Any = None
_lock = threading.Lock()


def _not_reading(_record: logging.LogRecord) -> bool:
    """Let a log record pass unless this thread is inside `_quiet`."""
    return getattr(_heard, "kinds", None) is None


def _filter_loggers() -> None:
    """Put `_not_reading` on each logger of `LIBRARIES`: a logger's filters do not see its children's records.

    It stays there, where it does nothing outside `_quiet`; adding it once more changes nothing.
    """
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] in LIBRARIES and isinstance(logger, logging.Logger):
            logger.addFilter(_not_reading)


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """Collect the kinds of warning that this thread gives; their texts quote the header and are not printed.

    Log records of the libraries quote it too, and those of a damaged file have tracebacks: they are dropped.

    `warnings.catch_warnings` alone is not safe with several threads (the one that leaves last puts another's
    settings back), so the first reader sets it up for all and the last one takes it down.
    """
    global _readers, _outside
    kinds: list[str] = []
    _heard.kinds = kinds
    with _lock:
        _filter_loggers()
        _readers += 1
        if _readers == 1:
            _outside = warnings.catch_warnings()
            _outside.__enter__()
            warnings.simplefilter("always")
            shown = warnings.showwarning

            def collect(message: Any, category: Any, *where: Any) -> None:
                if (mine := getattr(_heard, "kinds", None)) is None:
                    shown(message, category, *where)
                else:
                    mine.append(category.__name__)

            warnings.showwarning = collect  # type: ignore[assignment]
    try:
        yield kinds
    finally:
        _heard.kinds = None
        with _lock:
            _readers -= 1
            if _readers == 0:
                _outside.__exit__(None, None, None)
