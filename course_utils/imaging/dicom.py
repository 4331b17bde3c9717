"""The one entrance for pixels: a file on disk becomes a `Mammogram` (lesson 01).

In: a path. Out: float32 display values in [0, 1], breast bright, and the little that the course needs to know
about them; or a `MammogramError` that says in one sentence why not. Nothing that identifies a person comes
through: ids are pseudonyms, and errors and warnings quote nothing from the header but a well-known Modality.
"""

import errno
import logging
import os
import stat
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.dataset import Dataset

from course_utils.imaging.decode import Stored, stored_values
from course_utils.imaging.errors import NO_PIXELS, NOT_GRAY, TOO_SMALL, MammogramError
from course_utils.imaging.geometry import geometry
from course_utils.imaging.grayscale import VOI, check_voi, display_values, polarity
from course_utils.imaging.header import FOR_PROCESSING, get_text, is_for_processing, read_header
from course_utils.imaging.identity import PROCESS_KEY, has_name, identify
from course_utils.imaging.kind import SECONDARY_CAPTURE, TOMOSYNTHESIS, kind_of, modifiers_of
from course_utils.imaging.mammogram import Mammogram
from course_utils.imaging.pictures import picture_format, read_picture
from course_utils.imaging.quiet import quiet
from course_utils.imaging.wavelet import Read, check_read, spare_levels

MAX_PIXELS = 60_000_000
"""A file with more Rows × Columns is refused undecoded. The largest mammograms have about 5000 × 6000
pixels, a large film scanned at 43.5 µm has 40 million; anything larger is a mistake or an attack. With
`MAX_BITS` this keeps the memory for one file under about 1.2 GB."""

MAX_BYTES = 2**31
"""A longer file is refused unread: it may be sparse, and take hours to hash."""

MAX_BITS = 32
"""A file with more BitsAllocated is refused undecoded; mammograms have 8 or 16."""

CANNOT_OPEN = {
    errno.ENOENT: "There is no such file.",
    errno.ENOTDIR: "There is no such file.",
    errno.EACCES: "You are not allowed to read this file, or to enter a folder on the way to it.",
    errno.EPERM: "You are not allowed to read this file, or to enter a folder on the way to it.",
    errno.ELOOP: "This is a symbolic link that leads back to itself.",
    errno.ENAMETOOLONG: "The name of this file is longer than this system allows.",
    errno.EMFILE: "Too many files are open in this process: use fewer workers, or raise `ulimit -n`.",
    errno.ENFILE: "Too many files are open on this machine: close other programs, and try again.",
}
"""What the user is told, by the system's error number; the system's own text would name the folder."""

BROKE_OFF = "Reading this file broke off: the disk or the network failed, so try again."
DAMAGED = "This file is damaged or breaks the DICOM standard in a way that cannot be read."

GROUND_IS_BRIGHT = "The ground is bright and the breast dark, as if the gray values were inverted."

PACKED = {
    b"\x1f\x8b": "This file is packed (gzip); unpack it first, for example with gunzip.",
    b"PK\x03\x04": "This file is packed (zip); unpack it first, for example with unzip.",
    b"BZh": "This file is packed (bzip2); unpack it first, for example with bunzip2.",
    b"\xfd7zXZ\0": "This file is packed (xz); unpack it first, for example with unxz.",
}
"""What is said of files that begin so."""

MIN_SIDE = 64
"""A file with fewer Rows or Columns is refused undecoded: not even a thumbnail of a mammogram."""

MODALITIES = frozenset({"MG", "CR", "DX", "DR", "RG", "OT"})
"""Modalities used for mammography; digitised film is often CR or OT."""

OTHER_MODALITIES = frozenset(
    {
        *("CT", "MR", "US", "NM", "PT", "XA", "RF", "IO", "PX", "BMD", "ECG", "ES", "XC", "SM", "OP", "OPT"),
        *("IVUS", "DOC", "SR", "PR", "KO", "SEG", "REG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT"),
        *("AR", "AU", "BI", "CD", "CF", "CP", "CS", "DD", "DF", "DG", "DM", "DS", "EC", "EPS", "FA", "FID"),
        *("FS", "GM", "HC", "HD", "IVOCT", "KER", "LEN", "LP", "LS", "MA", "MS", "OAM", "OPM", "OPV", "OSS"),
        *("PLAN", "RESP", "RTRECORD", "SMR", "SRF", "ST", "STAIN", "TG", "VA", "VF", "BDUS", "CTPROTOCOL"),
    }
)
"""Modalities that a refusal names (PS3.3 C.7.3.1.1.1); anything else may be arbitrary text."""

PROJECTION_X_RAY = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
        "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, for presentation
        "1.2.840.10008.5.1.4.1.1.1.2",  # Digital Mammography X-Ray, for presentation
        SECONDARY_CAPTURE,
        *FOR_PROCESSING,
        *TOMOSYNTHESIS,  # of one frame that is a 2D mammogram, see `kind_of`
    }
)

_log = logging.getLogger(__name__)


def read_mammogram(
    path: str | os.PathLike[str],
    *,
    voi: VOI = "auto",
    key: bytes | None = None,
    read: Read = "full",
    size: int = 512,
    mm_per_pixel: float | None = None,
) -> Mammogram:
    """Read one mammogram from a DICOM file, or from a picture file as far as that goes (`pictures`).

    Args:
        path: the file; single-frame and gray, uncompressed or in any transfer syntax in
            `decode.DECODERS`, which says what decodes it. Or a gray PNG, TIFF, JPEG or PGM.
        voi: how values become gray levels. `auto`: the file's VOI LUT, else its first usable window, else
            the window that the values inside the breast span. `lut`, `window`, `percentile`: that one.
            An int: the n-th window, from 0. `none`: all stored values, stretched to [0, 1].
        key: secret bytes that key the pseudonyms (HMAC-SHA256 of SOPInstanceUID and PatientID). The same key
            gives the same pseudonyms. None: a random key drawn once per process.
        read: `full`, all that is stored. `fast`: a file in JPEG 2000 (not HTJ2K) is decoded at the smallest
            fraction of its size (a half, a quarter, …) that leaves each side of it twice as many pixels
            as the picture for the network has, and its `Mammogram` says so (`reduction`). Read whole all
            the same is whatever could come out otherwise: a stream whose packets are not in order of
            resolution, has no end or cannot be decoded so, padding that is not the darkest value, a file
            without SOPInstanceUID. All other files are read alike either way.
        size, mm_per_pixel: of the picture, as a `Preprocessor` has them; they matter to `fast` alone.

    Raises:
        MammogramError: one sentence on what is wrong with the file; it quotes neither the path nor anything
            that may identify a person, and no error that does is chained to it.
        ValueError: `voi` is none of the above, or `key` is empty or not bytes.

    Sources: DICOM PS3.3 C.7.6.3, C.8.11 and C.11; PS3.4 N.2 for the order of the transforms.
    """
    check_voi(voi)
    check_read(read)
    if key is not None and not (isinstance(key, bytes) and key):
        raise ValueError("key must be bytes, and not empty")
    path = Path(path)
    try:
        with quiet() as heard, open_file(path) as file:
            wanted = (size, mm_per_pixel) if read == "fast" else None
            return _read(file, voi, key or PROCESS_KEY, heard, wanted)
    except MammogramError as refusal:
        refusal.__context__ = None  # a library's message may quote the file's header or path
        raise
    except Exception as error:  # whatever a parser makes of a damaged file ends here, values unquoted
        _log.debug("unreadable: %s", type(error).__name__)
        # EINVAL is the file's fault: a damaged length points where nothing can seek.
        of_system = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    raise MammogramError(BROKE_OFF if of_system else DAMAGED)


def open_file(path: Path) -> BufferedReader:
    """Open a regular file in binary mode.

    Raises:
        MammogramError: it is not a regular file, is empty, longer than `MAX_BYTES` or cannot be opened. The
            system's own error, which names the folder, is not chained to it.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):  # of a folder that cannot be opened, the system says why
            os.scandir(path).close()
        refusal = _why_refused(status)
        if refusal is None:
            return path.open("rb")
    except ValueError:  # a NUL in the name, or a character that this system does not allow
        refusal = "No file can have a name like this one's."
    except OSError as error:
        refusal = CANNOT_OPEN.get(error.errno or 0, "The system cannot open this file, so try again.")
    raise MammogramError(refusal)


def _why_refused(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):  # a folder, or a pipe, which would block forever when opened
        return "This is not a regular file."
    if status.st_size == 0:
        return "This file is empty."
    if status.st_size > MAX_BYTES:
        return "This file is larger than 2 GB, far too large for a single mammogram."
    return None


def _read(
    file: BinaryIO, voi: VOI, key: bytes, heard: list[str], wanted: tuple[int, float | None] | None
) -> Mammogram:
    """Read an open file; `wanted` is the picture's size and mm per pixel where it may be read fast."""
    start = file.read(132)
    file.seek(0)
    if start[128:] == b"DICM":  # the preamble in front of it may hold anything, such as a TIFF's (PS3.10 7.1)
        start = b""
    for magic, refusal in PACKED.items():
        if start.startswith(magic):
            raise MammogramError(refusal)
    if (picture := picture_format(start)) is not None:
        found = read_picture(file, picture, voi, key, (MAX_PIXELS, MIN_SIDE))
        warned = [GROUND_IS_BRIGHT] if _ground_is_bright(found.pixels) else []
        return replace(found, warnings=(*found.warnings, *warned))
    header = read_header(file)
    kind = kind_of(header)
    warnings = check(header)
    inverted, of_polarity = polarity(header)
    stored = _stored(file, header, inverted, 0 if wanted is None else _levels(header, *wanted))
    if stored.padding is not None and stored.padding.all():
        raise MammogramError("Every pixel of this image is marked as padding.")
    if _constant(stored.values if stored.padding is None else stored.values[~stored.padding]):
        raise MammogramError("Every pixel of this image has the same value.")
    display = display_values(stored, header, voi, inverted)
    if _constant(display.pixels):
        raise MammogramError("Every pixel ends up the same under this VOI transform; try voi='percentile'.")
    identity = identify(header, stored.values, key)
    lies = geometry(header)
    warnings += of_polarity + stored.warnings + display.warnings + lies.warnings + identity.warnings
    if _ground_is_bright(display.pixels):
        warnings.append(GROUND_IS_BRIGHT)
    if heard:
        warnings.append("The file departs from the DICOM standard in ways that do not hinder reading.")
    return Mammogram(
        pixels=lies.upright(display.pixels),
        image_id=identity.image_id,
        patient_key=identity.patient_key,
        view=identity.view,
        laterality=identity.laterality,
        spacing_mm=lies.spacing_of(stored.reduction),
        voi=display.voi,
        warnings=tuple(dict.fromkeys(warnings)),
        pixel_aspect=lies.aspect,
        kind=kind,
        modifiers=modifiers_of(header),
        reduction=stored.reduction,
    )


def _levels(header: Dataset, size: int, mm_per_pixel: float | None) -> int:
    """Return how often a picture may be halved.

    Not at all where its pixels are all that names it. Where it stands on its head, as often as its blocks
    of pixels come out whole, since a cut one would then be the first.
    """
    if not has_name(header):
        return 0
    rows, columns, lies = header.Rows, header.Columns, geometry(header)
    levels = spare_levels(rows, columns, size, spacing_mm=lies.spacing_mm, mm_per_pixel=mm_per_pixel)
    while lies.upside_down and (columns if lies.lying else rows) % 2**levels:
        levels -= 1
    return levels


def _stored(file: BinaryIO, header: Dataset, inverted: bool, levels: int) -> Stored:
    """Return what is stored, halved at most `levels` times, but whole where padding would not blend in."""
    start = file.tell()
    stored = stored_values(file, header, levels)
    if stored.reduction == 1 or stored.padding is None or _blends_in(stored, header, inverted):
        return stored
    file.seek(start)
    return stored_values(file, header)


def _blends_in(stored: Stored, header: Dataset, inverted: bool) -> bool:
    """Return whether padding is the darkest value: means over it and its neighbours are then right.

    Padding ends as black. Where it is stored as black, too, half a pixel of it is half as bright.
    """
    slope = header.get("RescaleSlope")
    plain = not is_for_processing(header) and not header.get("ModalityLUTSequence")
    if not plain or (slope is not None and not float(slope) > 0) or stored.padding is None:
        return False
    inside, padding = stored.values[~stored.padding], stored.values[stored.padding]
    if not inside.size:
        return False
    return bool(padding.min() >= inside.max() if inverted else padding.max() <= inside.min())


def check(header: Dataset) -> list[str]:
    """Refuse anything but one gray mammogram of a sane size; return warnings about what is doubtful."""
    warnings = []
    modality = get_text(header, "Modality").upper()
    sop_class = get_text(header, "SOPClassUID")
    if modality and modality not in MODALITIES:
        named = modality if modality in OTHER_MODALITIES else "not one used for mammography"
        raise MammogramError(f"Not a mammogram: Modality is {named}.")
    if sop_class not in PROJECTION_X_RAY and modality != "MG":
        raise MammogramError("Not a mammogram: this is another kind of DICOM object.")
    part = get_text(header, "BodyPartExamined").upper()
    if modality != "MG":
        if part and "BREAST" not in part:
            raise MammogramError("Not a mammogram: the header says that it shows another part of the body.")
        warnings.append("The modality is not MG; taken for a mammogram all the same.")
    if sop_class == SECONDARY_CAPTURE:
        warnings.append(
            "A secondary capture, such as a digitised film: its gray values have no fixed meaning."
        )

    rows, columns = header.get("Rows"), header.get("Columns")
    if not rows or not columns:
        raise MammogramError(NO_PIXELS)
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"):
        if not isinstance(header.get(keyword), int):
            raise MammogramError(f"This file is damaged: {keyword} is missing or is not a whole number.")
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise MammogramError("This file has several frames; only single mammograms can be read.")
    photometric = get_text(header, "PhotometricInterpretation", "MONO").upper()
    if (header.get("SamplesPerPixel") or 1) != 1 or not photometric.startswith("MONO"):
        raise MammogramError(NOT_GRAY)
    if rows * columns > MAX_PIXELS:
        raise MammogramError(
            f"This image is too large: more than {MAX_PIXELS / 1e6:.0f} million pixels (Rows × Columns)."
        )
    if min(rows, columns) < MIN_SIDE:
        raise MammogramError(TOO_SMALL)
    if header.BitsAllocated > MAX_BITS:
        raise MammogramError(f"This image has more than {MAX_BITS} bits per pixel; mammograms have 8 or 16.")
    if header.BitsAllocated not in (8, 16, 32) or not 1 <= header.BitsStored <= header.BitsAllocated:
        raise MammogramError("This file is damaged: BitsAllocated and BitsStored make no sense.")
    return warnings


def _ground_is_bright(pixels: np.ndarray) -> bool:
    """Return whether both corners of one side are flat and nearly white, and not all of the middle is.

    Beside a breast is air, which is dark in a mammogram whatever was done to it. A small breast may leave
    most of the middle to the air.
    """
    height, width = pixels.shape
    side = min(height, width) // 20
    corners = [
        [pixels[rows, columns] for rows in (slice(None, side), slice(-side, None))]
        for columns in (slice(None, side), slice(-side, None))
    ]
    bright = any(all(np.median(each) > 0.9 and each.std() < 0.02 for each in pair) for pair in corners)
    middle = pixels[height // 4 : -height // 4, width // 4 : -width // 4]
    return bright and bool(np.percentile(middle[::4, ::4], 10) < 0.9)


def _constant(values: np.ndarray) -> bool:
    some = values[::16, ::16] if values.ndim == 2 else values[::256]  # nearly always enough, and quick
    return values.size == 0 or bool(some.min() == some.max() and values.min() == values.max())
