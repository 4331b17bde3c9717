"""A JPEG 2000 stream at a fraction of its size: its wavelet holds smaller pictures in itself (lesson 06).

In: a compressed stream. Out: the stream of the same picture at half its size, a quarter, …, which any decoder
reads in a fraction of the time; and from what is decoded, the means over blocks of pixels that
averaging the whole picture would have given, as nearly as they can be known. Nothing is decoded here.
"""

from functools import cache
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np

from course_utils.imaging.codestream import markers
from course_utils.imaging.header import stored_range

Read = Literal["full", "fast"]
"""How a file is read: `full`, every stored pixel; `fast`, compressed wavelets at a fraction of their size."""

Wavelet = Literal["5/3", "9/7"]
"""The two wavelets of ITU-T T.800: that of reversible streams, and that of irreversible ones."""

FINER = 2
"""Each side of a picture read at a fraction of its size has at least so many times the pixels that a
preprocessed one has. With fewer, what is missing between its pixels shows in vectors."""

LOW_PASS: dict[Wavelet, tuple[float, ...]] = {
    "5/3": (6 / 8, 2 / 8, -1 / 8),
    "9/7": (0.602949018236360, 0.266864118442875, -0.078223266528990, -0.016864118442875, 0.026748757410810),
}
"""What one step takes of a pixel at an even place and of its neighbours on both sides (T.800 annex F; the
9/7's as in Antonini et al., IEEE Trans. Image Process. 1 (1992) 205–220). The sums are 1."""

TAPS = range(-1, 3)
"""Which decoded pixels, counted from its own, a block's mean is put together from."""

SIZ, COD, QCD, SOT = 0x51, 0x52, 0x5C, 0x90
UNUSUAL = frozenset({0x53, 0x5D, 0x5F, 0x60, 0x61})
"""Markers of streams that are read whole: other parameters for a component (COC, QCC), another order of
packets (POC), and packet headers kept apart (PPM, PPT)."""


def check_read(read: object) -> None:
    """Raise ValueError if `read` is not a `Read`."""
    if read not in get_args(Read):
        raise ValueError(f"read must be 'full' or 'fast', not {read!r}")


class Reduced(NamedTuple):
    """A stream at a fraction of its size: `levels` halvings of the picture that the whole stream holds."""

    stream: bytes
    levels: int
    wavelet: Wavelet


def spare_levels(
    rows: int,
    columns: int,
    size: int,
    *,
    spacing_mm: tuple[float, float] | None = None,
    mm_per_pixel: float | None = None,
) -> int:
    """Return how often a picture may be halved and still be `FINER` than what is made of it.

    Args:
        rows, columns: of the stored picture.
        size: of the square picture that a `Preprocessor` makes of it.
        spacing_mm: distance of its pixels, where it is known.
        mm_per_pixel: the preprocessor's, or None: then `size` counts.
    """
    if mm_per_pixel is None:
        spare = min(rows, columns) / (FINER * size)
    else:
        spare = 0 if spacing_mm is None else mm_per_pixel / (FINER * max(spacing_mm))
    return int(np.log2(spare)) if spare >= 1 else 0


def at_reduced_size(stream: bytes, levels: int, *, signed: bool) -> Reduced | None:
    """Return a stream of one component at a fraction of its size, or None where it must be read whole.

    A stream is a sequence of packets, each of which belongs to one resolution. Where those of the
    lower resolutions come first, the smaller picture's header before the same packets makes the smaller
    picture's stream: a decoder stops once it has what the header promises. So it is where packets come in
    order of resolution, or in order of layers of which there is only one; of position, they do not.

    Args:
        stream: a bare codestream whose size `codestream.check_frame` has found sane.
        levels: how often the picture is halved, at most; each halves its sides, rounded up.
        signed: whether values may be negative as the DICOM header has it. A stream that says otherwise holds
            numbers that wrap around, between which nothing can be averaged.

    Source: ITU-T T.800 A.5.1 (SIZ), A.6.1 (COD), A.6.4 (QCD), B.5 (resolutions), B.12 (progression).
    """
    found = list(markers(stream))
    kinds = [marker for marker, _, _ in found]
    if any(kinds.count(marker) != 1 for marker in (SIZ, COD, QCD)) or not UNUSUAL.isdisjoint(kinds):
        return None
    size, coding, steps = (
        next(stream[start:end] for marker, start, end in found if marker == wanted)
        for wanted in (SIZ, COD, QCD)
    )
    if len(size) < 43 or len(coding) < 14 or len(steps) < 6 or signed != bool(size[40] >> 7):
        return None
    levels = min(levels, coding[9])
    in_order = coding[5] in (1, 2) or (coding[5] == 0 and coding[6:8] == b"\0\1")
    if levels < 1 or not in_order or not _halves_evenly(size, levels):
        return None
    left = coding[9] - levels
    bands = {0: 3 * left + 1, 1: 2, 2: 2 * (3 * left + 1)}.get(steps[4] & 31, len(steps))  # in bytes
    precincts = (left + 1) * (coding[4] & 1)
    if len(coding) < 14 + precincts or len(steps) < 5 + bands:
        return None
    smaller = {
        SIZ: _smaller(size, levels),
        COD: _cut(coding[:9] + bytes([left]) + coding[10:], 14 + precincts),
        QCD: _cut(steps, 5 + bands),
    }
    tiles = next((start for marker, start, _ in found if marker == SOT), len(stream))
    header = b"".join(smaller.get(kind, stream[a:b]) for kind, a, b in found if a < tiles)
    return Reduced(stream[:2] + header + stream[tiles:], levels, "5/3" if coding[13] else "9/7")


def _halves_evenly(size: bytes, levels: int) -> bool:
    """Return whether a smaller picture's pixels lie at even places in each tile of a stream with this SIZ."""
    right, lower, left, top, tile_width, tile_height, tile_left, tile_top = _numbers(size)
    one_tile = tile_width >= right and tile_height >= lower
    even = tile_width % 2**levels == tile_height % 2**levels == 0
    return (left, top, tile_left, tile_top) == (0, 0, 0, 0) and (one_tile or even)


def _smaller(size: bytes, levels: int) -> bytes:
    """Return SIZ with all lengths halved `levels` times, rounded up."""
    halved = (-(-number // 2**levels) for number in _numbers(size))
    return size[:6] + b"".join(number.to_bytes(4, "big") for number in halved) + size[38:]


def _numbers(size: bytes) -> list[int]:
    return [int.from_bytes(size[at : at + 4], "big") for at in range(6, 38, 4)]


def _cut(segment: bytes, length: int) -> bytes:
    """Return a segment's first bytes, which say how many they are, not counting the marker's two."""
    return segment[:2] + (length - 2).to_bytes(2, "big") + segment[4:length]


def block_means(low: np.ndarray, reduced: Reduced, shape: tuple[int, int], bits: int) -> np.ndarray:
    """Return the means over blocks of 2^levels × 2^levels pixels, rounded, from a reduced stream's pixels.

    What a reduced stream holds is no mean: the wavelet's low-pass lies around the *first* pixel of each
    block, is flatter, and overshoots at edges. A few taps on what it left behind (`correction`) move it to
    the block's middle and undo the rest as far as a linear filter can.

    Args:
        low: integers `(h, w)` as decoded.
        reduced: their stream.
        shape: of the whole picture, `(H, W)`.
        bits: of its values, which are between the least and the greatest number that they can hold.

    Returns:
        Integers `(h, w)` of the same type.
    """
    taps = correction(reduced.wavelet, reduced.levels)
    before, after = -TAPS.start, TAPS.stop - 1
    # The encoder mirrored the picture around its first and its last pixel (T.800 F.3.7). A last pixel at an
    # odd place has none of its own here: the mirror then stands between two.
    lower, right = (
        cv2.BORDER_REFLECT_101 if -(-n // 2 ** (reduced.levels - 1)) % 2 else cv2.BORDER_REFLECT
        for n in shape
    )
    quick = low.dtype in (np.uint16, np.int16)  # OpenCV rounds and saturates these itself
    wider = low if quick else low.astype(np.float32)
    wider = cv2.copyMakeBorder(wider, before, 0, before, 0, cv2.BORDER_REFLECT_101)
    wider = cv2.copyMakeBorder(wider, 0, after, 0, 0, lower)
    wider = cv2.copyMakeBorder(wider, 0, 0, 0, after, right)
    means = cv2.sepFilter2D(wider, -1, taps, taps, anchor=(before, before))[before:-after, before:-after]
    means = means if quick else np.rint(means)
    return np.clip(means, *stored_range(bits, low)).astype(low.dtype, copy=False)


@cache
def correction(wavelet: Wavelet, levels: int) -> np.ndarray:
    """Return the `TAPS` that turn a low-pass into the mean of a block best, float64 `(4,)`; their sum is 1.

    Of a mammogram's gray values, as of any photograph's, little is known but that they change by steps at
    edges anywhere. So the taps are those with the least squared error, over a step at each possible place:
    what a filter makes of a step is the running sum of its weights. (For a random walk, whose power falls
    with the square of the frequency, these are the best linear estimate of the mean.)
    """
    side = 2**levels
    low = np.ones(1)
    for level in range(levels):
        half = LOW_PASS[wavelet]
        spread = np.zeros(2 ** (level + 1) * (len(half) - 1) + 1)
        spread[:: 2**level] = [*half[:0:-1], *half]
        low = np.convolve(low, spread)
    reach = len(low) // 2
    places = np.arange(-reach + TAPS.start * side, reach + TAPS.stop * side)
    block = ((places >= 0) & (places < side)) / side
    each = [np.interp(places - tap * side, np.arange(-reach, reach + 1), low, 0, 0) for tap in TAPS]
    wanted, *made = (np.cumsum(weights) for weights in (block, *each))
    # The sum is 1 where the first tap is what the others leave of it.
    others = np.linalg.lstsq(
        np.stack([one - made[0] for one in made[1:]], axis=1), wanted - made[0], rcond=None
    )[0]
    return np.array([1 - others.sum(), *others])
