"""Stored bytes become stored values: a file's pixels as the machine numbered them (lesson 01).

In: an open file, positioned where its header ended, and the header. Out: integers `(H, W)` that hold nothing
but their value, and where they are padding. Uncompressed pixels are read by pydicom, compressed ones by
imagecodecs, for which pydicom has no plugin: this module is one.
"""

import contextlib
import logging
import os
from importlib.util import find_spec
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from course_utils.imaging.codestream import check_frame, has_end, read_frame, rle_segments
from course_utils.imaging.errors import NO_PIXELS, TRUNCATED, MammogramError
from course_utils.imaging.header import OVERLAY_BIT_POSITIONS, stored_range
from course_utils.imaging.wavelet import at_reduced_size, block_means

NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
"""The transfer syntaxes in which pixels are not compressed. (A file deflated as a whole is refused.)"""

UNDEFINED = 0xFFFFFFFF
"""The length of pixels that are in items (PS3.5 A.4)."""

PLUGIN = "course_utils"
"""The name under which pydicom knows the functions at the end of this module."""

PACKAGE = "imagecodecs"
"""What to `pip install` if they cannot work."""

DECODERS: dict[UID, str] = {
    RLELossless: "decode_rle",
    JPEGBaseline8Bit: "decode_jpeg",
    JPEGExtended12Bit: "decode_jpeg",
    JPEGLossless: "decode_jpeg",
    JPEGLosslessSV1: "decode_jpeg",
    JPEGLSLossless: "decode_jpeg_ls",
    JPEGLSNearLossless: "decode_jpeg_ls",
    JPEG2000Lossless: "decode_jpeg_2000",
    JPEG2000: "decode_jpeg_2000",
    HTJ2KLossless: "decode_jpeg_2000",
    HTJ2KLosslessRPCL: "decode_jpeg_2000",
    HTJ2K: "decode_jpeg_2000",
}
"""For each compressed transfer syntax, the one function in this module that decodes it, whatever else is
installed, so that a file has the same pixels on every machine. All of them release the GIL while they
decode, so threads help. Not used are GDCM, since a damaged JPEG stream makes it kill the whole process;
pydicom's own RLE decoder, where a stream may unpack to 64 times its length before anything checks; and
OpenJPH, which is fast at HTJ2K, but crashes on some damaged streams and makes up the rest of others."""

_log = logging.getLogger(__name__)


LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K})
"""The transfer syntaxes whose values may overshoot those that were stored."""


HALVED = frozenset({JPEG2000Lossless, JPEG2000})
"""The transfer syntaxes of which a fraction can be decoded. HTJ2K could be as well, but OpenJPEG gains little
there, and of damaged streams it let some through that it refuses as a whole (77 of 3000 looked wrong)."""


class Stored(NamedTuple):
    """What a file's pixels hold, apart from their meaning.

    Attributes:
        values: integers `(H, W)`.
        bits: how many bits a value may take, those of BitsStored or, where it holds more, of the stream.
        padding: where they are padding, bool `(H, W)`, or None.
        warnings: sentences.
        reduction: how many stored pixels make one side of a value: above 1, values are means.
    """

    values: np.ndarray
    bits: int
    padding: np.ndarray | None
    warnings: list[str]
    reduction: int = 1


class _Decoded(NamedTuple):
    """Pixels `(H, W)` as stored, including the bits above BitsStored; what the stream says; and warnings.

    Attributes:
        pixels: integers.
        precision: the bits that a stream of the JPEG family says it holds; None for any other.
        warnings: sentences.
        reduction: as in `Stored`.
    """

    pixels: np.ndarray
    precision: int | None
    warnings: list[str]
    reduction: int = 1


def stored_values(file: BinaryIO, header: Dataset, levels: int = 0) -> Stored:
    """Return the pixels of a file positioned where `read_header` left it.

    Args:
        file: the file.
        header: its header.
        levels: how often a picture may be halved that is compressed as JPEG 2000 and sound. Others are
            read whole, whatever is asked for.

    Raises:
        MammogramError: there are no pixels or not all of them, there is no decoder for them, or they are
            damaged or contradict the header.
    """
    decoded, precision, warnings, reduction = _decoded(file, header, levels)
    bits = header.BitsStored
    if precision is not None and precision > bits and not _belong_to_an_overlay(header, bits):
        values, bits, of_range = _as_in_the_stream(header, decoded, precision)
        return Stored(values, bits, _padding(header, decoded, values), warnings + of_range, reduction)
    values, stray = _clear_unused_bits(header, decoded)
    padding = _padding(header, decoded, values)
    if stray is not None and (stray if padding is None else stray & ~padding).any():
        warnings.append("Bits above BitsStored were set, such as an old overlay; they were cleared.")
    return Stored(values, bits, padding, warnings, reduction)


def decoder_package(syntax: str) -> str | None:
    """Return what to `pip install` for a syntax of `DECODERS`, or None if its decoder is installed."""
    return None if PLUGIN in get_decoder(syntax).available_plugins else PACKAGE


# --- from bytes to numbers ---


def _decoded(file: BinaryIO, header: Dataset, levels: int) -> _Decoded:
    """Return what is stored, at its whole size or halved at most `levels` times."""
    syntax = UID(header.file_meta.get("TransferSyntaxUID") or "")
    if not syntax:
        raise MammogramError("The header does not say how the pixels are stored (TransferSyntaxUID).")
    if syntax not in NATIVE:
        _check_decodable(syntax)
    position, vr, length, warnings = _pixel_data(file, header)
    precision = None
    source: BinaryIO | bytes
    if syntax in NATIVE:
        source = _native(file, header, position, length)
    elif UNDEFINED != length >= _native_size(header):
        raise MammogramError("The pixels of this file are not compressed, but its transfer syntax says so.")
    else:
        found = read_frame(file, position)
        if not found:
            raise MammogramError(NO_PIXELS)
        frame, bits = check_frame(found, syntax, header.Rows, header.Columns, header.BitsAllocated)
        precision = None if syntax == RLELossless else bits
        if not has_end(frame, syntax):
            warnings.append("The compressed pixels have no end mark; a part of the picture may be missing.")
        elif levels and syntax in HALVED:
            with contextlib.suppress(MammogramError):  # then the whole stream has the last word
                if (smaller := _reduced(frame, bits, header, levels, vr)) is not None:
                    return smaller
        source = encapsulate([frame], has_bot=False)
    return _Decoded(_as_array(source, header, header.Rows, header.Columns, vr), precision, warnings)


def _reduced(frame: bytes, bits: int, header: Dataset, levels: int, vr: str) -> _Decoded | None:
    """Return a JPEG 2000 frame's means over blocks of pixels; None where it must be read whole.

    Means over numbers in which some bits are an overlay's would make no sense.
    """
    if bits > header.BitsStored and _belong_to_an_overlay(header, header.BitsStored):
        return None
    smaller = at_reduced_size(frame, levels, signed=bool(header.PixelRepresentation))
    if smaller is None:
        return None
    reduction = 2**smaller.levels
    rows, columns = (-(-side // reduction) for side in (header.Rows, header.Columns))
    low = _as_array(encapsulate([smaller.stream], has_bot=False), header, rows, columns, vr)
    means = block_means(low, smaller, (header.Rows, header.Columns), bits)
    return _Decoded(means, bits, [], reduction)


def _as_array(source: BinaryIO | bytes, header: Dataset, rows: int, columns: int, vr: str) -> np.ndarray:
    """Return pixels `(rows, columns)` as pydicom gets them out of a file or of items."""
    syntax = UID(header.file_meta.TransferSyntaxUID)
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",  # unused here
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
    except OSError:  # the disk's fault, not the file's
        raise
    except Exception as error:
        _log.debug("undecodable: %s", type(error).__name__)
        raise MammogramError(
            "The pixels of this file cannot be decoded: it is damaged or truncated."
        ) from None
    if stored.shape != (rows, columns) or stored.dtype.kind not in "ui":
        raise MammogramError("The pixels of this file are not what its header says.")
    return stored


def _native(file: BinaryIO, header: Dataset, position: int, length: int) -> BinaryIO:
    """Return the file positioned at its first uncompressed pixel, once all of them are known to be there."""
    if length == UNDEFINED:
        raise MammogramError("The pixels of this file are compressed, but its transfer syntax denies it.")
    if length == 0:
        raise MammogramError(NO_PIXELS)
    if min(length, os.fstat(file.fileno()).st_size - position) < _native_size(header):
        raise MammogramError(TRUNCATED)
    file.seek(position)
    return file


def _native_size(header: Dataset) -> int:
    """Return how many bytes the pixels take without compression."""
    return int(header.Rows * header.Columns * header.BitsAllocated // 8)


def _check_decodable(syntax: UID) -> None:
    """Raise a MammogramError if a transfer syntax cannot be decoded, saying which and what to do about it."""
    name = syntax.name
    if syntax not in DECODERS:
        if name == str(syntax):  # not in the standard's list; not quoted, since it may be any text
            raise MammogramError("The transfer syntax of this file is private or unknown; convert it first.")
        raise MammogramError(
            f"The pixels are stored as {name}, which is not used for mammography; convert the file first."
        )
    if package := decoder_package(syntax):
        raise MammogramError(
            f"The pixels are compressed as {name}, and no decoder is installed for it: pip install {package}"
        )


def _pixel_data(file: BinaryIO, header: Dataset) -> tuple[int, str, int, list[str]]:
    """Return where the value of PixelData begins, its VR and its length, and warnings.

    The file is positioned at its tag, where `dcmread` stopped. Whether VRs are written out is what the bytes
    say: some writers put another transfer syntax into the file's label.
    """
    implicit, little = header.original_encoding
    order: Literal["little", "big"] = "little" if little else "big"
    start = file.read(12)
    if [int.from_bytes(start[at : at + 2], order) for at in (0, 2)] != [0x7FE0, 0x0010]:
        raise MammogramError(NO_PIXELS)
    explicit = start[4:8] in (b"OB\0\0", b"OW\0\0", b"UN\0\0")
    warnings = []
    if explicit == implicit:
        warnings.append("The transfer syntax is not the one in which the file is written; the bytes told.")
    if not explicit:
        file.seek(-4, os.SEEK_CUR)
        start = start[:8]
    vr = start[4:6].decode("ascii") if explicit else "OW"
    return file.tell(), vr, int.from_bytes(start[-4:], order), warnings


# --- from numbers to values ---


def _belong_to_an_overlay(header: Dataset, bits: int) -> bool:
    """Return whether the header says that a bit above `bits` of each pixel is an overlay's."""
    positions = [header[tag].value for tag in OVERLAY_BIT_POSITIONS if tag in header]
    return any(isinstance(position, int) and position >= bits for position in positions)


def _as_in_the_stream(
    header: Dataset, decoded: np.ndarray, precision: int
) -> tuple[np.ndarray, int, list[str]]:
    """Return the values of a stream that holds more bits than BitsStored says; their bits; and warnings.

    What a stream says of itself controls its decompression (PS3.5 8.2). With loss, values overshoot the
    range that they had, and the ends of the range are as near as one gets. Without loss, they are values.
    """
    bits = header.BitsStored
    unused = 8 * decoded.itemsize - precision
    values = (decoded << unused) >> unused  # the sign of a signed value is the stream's highest bit
    lowest, highest = stored_range(bits, values)
    if lowest <= values.min() and values.max() <= highest:
        return values, bits, []
    if UID(header.file_meta.TransferSyntaxUID) in LOSSY:
        return np.clip(values, lowest, highest), bits, []
    return values, precision, ["The compressed picture holds more bits than BitsStored says; all were used."]


def _clear_unused_bits(header: Dataset, decoded: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels holding nothing but their value, and where other bits were set (PS3.5 8.1.1)."""
    lowest, highest = stored_range(header.BitsStored, decoded)
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


def _padding(header: Dataset, decoded: np.ndarray, stored: np.ndarray) -> np.ndarray | None:
    """Return where padding is, bool `(H, W)`, or None (PS3.3 C.7.5.1.1.2: both ends of the range count).

    The padding values should fit into BitsStored; where they do not, they count anyway.
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


# --- a plugin for pydicom, which has none for imagecodecs ---

DECODER_DEPENDENCIES = dict.fromkeys(DECODERS, (PACKAGE,))

_RLE_PADDING = 1024  # bytes that a segment may unpack to beyond its last pixel; some writers pad


def is_available(_uid: str) -> bool:
    """Return whether this plugin can work; pydicom calls this in a plugin's module."""
    return find_spec(PACKAGE) is not None


def decode_jpeg(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one gray JPEG frame for pydicom, lossless or not, of 2 to 16 bits (libjpeg-turbo)."""
    import imagecodecs

    return _packed(imagecodecs.jpeg8_decode(frame), runner)


def decode_jpeg_ls(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one gray JPEG-LS frame for pydicom, lossless or near-lossless, of 2 to 16 bits (CharLS)."""
    import imagecodecs

    return _packed(imagecodecs.jpegls_decode(frame), runner)


def decode_jpeg_2000(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one gray JPEG 2000 or HTJ2K frame for pydicom (OpenJPEG), on one thread: the caller has more."""
    import imagecodecs

    return _packed(imagecodecs.jpeg2k_decode(frame, numthreads=1), runner)


def _packed(pixels: np.ndarray, runner: DecodeRunner) -> bytes:
    """Return pixels `(H, W)` as bytes, and tell pydicom how many bits each takes."""
    if pixels.ndim != 2:
        raise NotImplementedError("this plugin decodes gray pictures only")
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    return pixels.tobytes()


def decode_rle(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one gray RLE frame for pydicom: one segment per byte of a pixel, highest first."""
    import imagecodecs

    pixels = runner.rows * runner.columns
    segments = rle_segments(frame)
    out = np.empty((pixels, len(segments)), np.uint8)
    for byte, (start, end) in zip(reversed(range(len(segments))), segments, strict=True):
        plane = imagecodecs.packbits_decode(frame[start:end], out=pixels + _RLE_PADDING)
        out[:, byte] = np.frombuffer(plane, np.uint8, count=pixels)
    return out.tobytes()


for _syntax, _function in DECODERS.items():  # on import, so that plain `pydicom` decodes with them too
    get_decoder(_syntax).add_plugin(PLUGIN, (__name__, _function))
