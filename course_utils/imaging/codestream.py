"""What a compressed stream says about itself, before anything is decoded (lesson 01).

In: an open file and where its pixels begin. Out: one frame's compressed bytes, known to begin as their
transfer syntax requires and to hold as many pixels as the DICOM header says; or a `MammogramError`.
A decoder believes the stream, not the DICOM header: 14 kB of JPEG 2000 may unpack to gigabytes.
"""

import os
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, RLELossless

from course_utils.imaging.errors import NOT_GRAY, TRUNCATED, MammogramError

MAX_TILES = 4096
"""A JPEG 2000 stream with more tiles is refused. OpenJPEG keeps about 7 kB for each, used or not."""

MAX_BLOCKS = 2**19
"""A JPEG 2000 stream with more code blocks is refused: twice what 60 million pixels need in blocks of
16 × 16. OpenJPEG keeps about a hundred bytes for each, used or not; blocks of 4 × 4 would take gigabytes."""


class Size(NamedTuple):
    """What a compressed stream says about its picture."""

    rows: int
    columns: int
    precision: int
    components: int


class Frame(NamedTuple):
    """One frame's compressed bytes, and how many bits per pixel they say they hold."""

    stream: bytes
    precision: int


def read_frame(file: BinaryIO, position: int) -> bytes:
    """Return the compressed bytes of a file with one frame, whose encapsulated pixels begin at `position`.

    Raises:
        MammogramError: the file ends within an item, or these are not items (PS3.5 A.4). Decoders may make up
            what is missing, so they are not asked.
    """
    size = os.fstat(file.fileno()).st_size
    items: list[tuple[int, int]] = []
    while position < size:  # a missing delimiter at the very end does no harm
        file.seek(position)
        item = file.read(8)
        if item[:4] == b"\xfe\xff\xdd\xe0":
            break
        start, length = position + 8, int.from_bytes(item[4:], "little")
        if item[:4] != b"\xfe\xff\x00\xe0" or start + length > size:
            raise MammogramError(TRUNCATED)
        items.append((start, length))
        position = start + length
    parts = []
    for start, length in items[1:]:  # the first item is the offset table, which one frame does not need
        file.seek(start)
        parts.append(file.read(length))
    return b"".join(parts)


def check_frame(frame: bytes, syntax: UID, rows: int, columns: int, bits_allocated: int) -> Frame:
    """Check a compressed frame against the DICOM header; return it, without any JP2 wrapper.

    Args:
        frame: what `read_frame` returned.
        syntax: a compressed transfer syntax of `decode.DECODERS`.
        rows, columns, bits_allocated: from the DICOM header.

    Raises:
        MammogramError: the stream is not of the kind that its transfer syntax says, is in colour, or has
            a different size or more bits than the header says.

    Sources: ITU-T T.81 B.2 (JPEG), T.87 C.2 (JPEG-LS), T.800 A.5 and A.6 (JPEG 2000), DICOM PS3.5 G (RLE).
    """
    try:
        if syntax == RLELossless:  # the header says only how many bytes make up a pixel
            size = Size(rows, columns, 8 * len(rle_segments(frame)), 1)
        elif syntax in JPEG2000TransferSyntaxes:
            frame = _unwrapped(frame)
            size = _jpeg_2000_size(frame)
        else:
            size = _jpeg_size(frame, b"\xf7" if syntax in JPEGLSTransferSyntaxes else b"\xc0\xc1\xc3")
    except (IndexError, ValueError):
        raise MammogramError(
            f"The pixels of this file cannot be decoded: they do not begin as {syntax.name} does."
        ) from None
    if size.components != 1:
        raise MammogramError(NOT_GRAY)
    if (size.rows, size.columns) != (rows, columns):
        raise MammogramError("The compressed picture has another size than Rows and Columns say.")
    if size.precision > bits_allocated:
        raise MammogramError("The compressed picture has more bits per pixel than BitsAllocated says.")
    if syntax in JPEGLSTransferSyntaxes and not has_end(frame, syntax):  # CharLS takes 8 s to find out
        raise MammogramError(TRUNCATED)
    return Frame(frame, size.precision)


def has_end(frame: bytes, syntax: UID) -> bool:
    """Return whether a compressed frame ends as it should; RLE has no end mark to tell by.

    Zeros may follow: some writers fill up the item.
    """
    return syntax == RLELossless or b"\xff\xd9" in frame.rstrip(b"\0")[-16:]


def _jpeg_size(stream: bytes, frames: bytes) -> Size:
    """Return the size in the frame header (one of the markers `frames`) of a JPEG or JPEG-LS stream."""
    if stream[:2] != b"\xff\xd8":
        raise ValueError("no start of image")
    position = 2
    while stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in frames:
            header = stream[position + 4 : position + 10]
            return Size(_number(header[1:3]), _number(header[3:5]), header[0], header[5])
        if marker == 0xDA:
            break
        position += 2 + _number(stream[position + 2 : position + 4])
    raise ValueError("no frame header")


def _unwrapped(stream: bytes) -> bytes:
    """Return the codestream in a JP2 file; DICOM wants it bare, but some writers wrap it anyway."""
    if stream[4:8] != b"jP  ":
        return stream
    position = 0
    while stream[position + 4 : position + 8] != b"jp2c":
        length = _number(stream[position : position + 4])
        if length < 8 or position + length > len(stream):
            raise ValueError("no codestream")
        position += length
    return stream[position + 8 :]


def _jpeg_2000_size(stream: bytes) -> Size:
    """Return the size of a JPEG 2000 codestream; ValueError if it needs absurd memory."""
    if stream[:4] != b"\xff\x4f\xff\x51" or len(stream) < 45:
        raise ValueError("no codestream")
    x1, y1, x0, y0, tile_x, tile_y, tile_x0, tile_y0 = (
        _number(stream[at : at + 4]) for at in range(8, 40, 4)
    )
    components, precision, step_x, step_y = _number(stream[40:42]), stream[42], stream[43], stream[44]
    if components == 1 and (step_x, step_y) != (1, 1):
        raise ValueError("subsampled")
    if not (tile_x and tile_y):
        raise ValueError("tiles of no size")
    if -(-(x1 - tile_x0) // tile_x) * -(-(y1 - tile_y0) // tile_y) > MAX_TILES:
        raise ValueError("too many tiles")
    size = Size(y1 - y0, x1 - x0, (precision & 0x7F) + 1, components)
    for marker, start, end in markers(stream):
        segment = stream[start + 4 : end]
        skipped = {0x52: 5, 0x53: 2}.get(marker)  # COD and COC: how much comes before the coding parameters
        if skipped and _blocks(size, segment[skipped:], bool(segment[marker == 0x53] & 1)) > MAX_BLOCKS:
            raise ValueError("too many code blocks")
    return size


def markers(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the segments in a JPEG 2000 stream's main header and in each tile part's.

    Of each its marker, where it begins (with the marker) and where it ends; a tile part's data are skipped.
    """
    position, tile_part = 2, 0
    while stream[position : position + 1] == b"\xff" and stream[position + 1] != 0xD9:
        marker, end = stream[position + 1], position + 2 + _number(stream[position + 2 : position + 4])
        if marker == 0x90:  # a tile part begins; how long it is, its data included
            tile_part = position + _number(stream[position + 6 : position + 10])
        if marker == 0x93:  # its data begin here
            if tile_part <= position:  # the last one may leave its length open
                return
            end = tile_part
        else:
            yield marker, position, end
        position = end


def _blocks(size: Size, coding: bytes, has_precincts: bool) -> int:
    """Return about how many code blocks a tile as large as the picture has (T.800 A.6.1, B.6, B.7)."""
    levels = coding[0]
    count = 0
    for level in range(levels + 1):
        precinct = coding[5 + level] if has_precincts else 0xFF
        across, down = (
            max(0, min(block + 2, limit - (level > 0)))
            for block, limit in ((coding[1], precinct & 15), (coding[2], precinct >> 4))
        )
        smaller = levels - level
        count += (((size.columns >> smaller) >> across) + 1) * (((size.rows >> smaller) >> down) + 1)
    return count


def rle_segments(frame: bytes) -> list[tuple[int, int]]:
    """Return where each segment of an RLE frame begins and ends (PS3.5 G.5)."""
    count, *starts = (int.from_bytes(frame[at : at + 4], "little") for at in range(0, 64, 4))
    segments = list(pairwise([*starts[:count], len(frame)]))
    if not segments or segments[0][0] != 64 or any(start >= end for start, end in segments):
        raise ValueError("no RLE header")
    return segments


def _number(digits: bytes) -> int:
    return int.from_bytes(digits, "big")
