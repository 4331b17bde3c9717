"""Picture files: a PNG, TIFF, JPEG or PGM becomes a `Mammogram`, as far as a picture can be one (lesson 01).

In: an open file that begins as one of these formats. Out: a `Mammogram` of kind `picture`. A picture says
neither what its gray values mean nor whose breast it shows; view, side and patient come from a table or not
at all, and never from a file's name.
"""

from __future__ import annotations

import hashlib
import logging
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.TiffImagePlugin import TiffImageFile  # Pillow would load it, and its logger, only within `quiet`

from course_utils.imaging.errors import NOT_GRAY, TOO_SMALL, MammogramError
from course_utils.imaging.grayscale import VOI, shown_by_its_breast
from course_utils.imaging.identity import pseudonym
from course_utils.imaging.mammogram import Mammogram

FORMATS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"P5": "PPM",
    b"P2": "PPM",
}
"""The first bytes of each format, and Pillow's name for it."""

BITS = {"L": 8, "I;16": 16, "I;16L": 16, "I;16B": 16, "I": 16}
"""Pillow's modes of gray pictures, and how many bits they have here; `I` is how it opens a 16-bit PGM, and
also a TIFF of signed or of 32-bit numbers."""

BITS_PER_SAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF 6.0."""

SIGNED = 2
"""What `SAMPLE_FORMAT` says of them."""

UNREADABLE = "This picture is damaged, or of a kind that is not read: save it as gray PNG of 8 or 16 bits."
NO_GRAY_VALUES = "The pixels of this picture are not gray values of 8 or 16 bits."
COLOUR_OF_16_BITS = (
    "This picture has 16 bits in each channel of colour or transparency: save it as gray of 16 bits."
)
TRANSPARENT = "This picture is transparent in places; save it as plain gray."

NO_MEANING = (
    "A picture file: its gray values have no fixed meaning, and it says neither view nor side nor patient."
)

_log = logging.getLogger(__name__)


def picture_format(start: bytes) -> str | None:
    """Return Pillow's name for the format whose files begin with these bytes, or None."""
    return next((name for magic, name in FORMATS.items() if start.startswith(magic)), None)


def read_picture(file: BinaryIO, name: str, voi: VOI, key: bytes, limits: tuple[int, int]) -> Mammogram:
    """Return the mammogram in a picture file.

    Args:
        file: positioned at its start.
        name: what `picture_format` returned.
        voi: `auto` takes 8 bits as they are and stretches 16 bits over the values inside the breast;
            `percentile` does so for both, and `none` takes the whole range.
        key: keys the pseudonym of the image, made from its pixels.
        limits: the most pixels, and the fewest on a side; checked before anything is decoded.

    Raises:
        MammogramError: it is coloured, has transparency, a palette, several pages or only two values, is too
            large or too small, damaged, or has no such transform.
    """
    if voi not in ("auto", "percentile", "none"):
        raise MammogramError("A picture file has no window or LUT; use voi='auto'.")
    most, fewest = limits
    too_large = f"This image is too large: more than {most / 1e6:.0f} million pixels."
    try:
        with Image.open(file, formats=[name]) as picture:
            if picture.width * picture.height > most:
                raise MammogramError(too_large)
            if min(picture.size) < fewest:
                raise MammogramError(TOO_SMALL)
            values, bits = _gray(picture)
    except MammogramError:
        raise
    except Image.DecompressionBombError:
        raise MammogramError(too_large) from None
    except Exception as error:  # what Pillow makes of a damaged file varies
        if isinstance(error, OSError) and error.errno is not None:  # the disk's fault, not the file's
            raise
        _log.debug("unreadable: %s", type(error).__name__)
        raise MammogramError(UNREADABLE) from None
    if values.min() == values.max():
        raise MammogramError("Every pixel of this image has the same value.")
    if voi == "percentile" or (voi == "auto" and bits > 8):
        pixels, used = shown_by_its_breast(values), "percentile"
    else:
        pixels, used = values.astype(np.float32) / np.float32(2**bits - 1), "none"
    digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
    return Mammogram(
        pixels=pixels,
        image_id=f"img-{pseudonym(key, digest)}",
        patient_key=None,
        view=None,
        laterality=None,
        spacing_mm=None,
        voi=used,
        warnings=(NO_MEANING,),
        kind="picture",
    )


def _gray(picture: ImageFile.ImageFile) -> tuple[np.ndarray, int]:
    """Return unsigned integers `(H, W)`, turned as EXIF says, and their bits; or say why there are none."""
    if getattr(picture, "n_frames", 1) > 1:
        raise MammogramError("This picture file has several pages; only single mammograms can be read.")
    if picture.mode in ("P", "PA"):
        raise MammogramError("This picture has a palette: its numbers are no gray values; save it as gray.")
    if "transparency" in picture.info:
        raise MammogramError(TRANSPARENT)
    if picture.mode == "1":
        raise MammogramError("This picture is black and white without any gray, as a mask is.")
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    # Pillow would keep the upper 8 bits of each channel, so it is asked first how they are packed.
    if picture.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile) for tile in picture.tile):
        raise MammogramError(COLOUR_OF_16_BITS)
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("RGB", "RGBA", "LA"):
        channels = np.asarray(upright)
        if upright.mode in ("RGBA", "LA"):
            if channels[..., -1].min() < 255:  # an alpha channel that hides nothing is as good as none
                raise MammogramError(TRANSPARENT)
            channels = channels[..., :-1]
        if not (channels == channels[..., :1]).all():
            raise MammogramError(NOT_GRAY)
        return np.ascontiguousarray(channels[..., 0]), 8
    bits = BITS.get(upright.mode)
    if bits is None:
        raise MammogramError(NO_GRAY_VALUES)
    values = np.asarray(upright)
    negative = values.min() < 0 or (
        bits == 8 and SIGNED in tags.get(SAMPLE_FORMAT, ()) and values.max() > 127
    )
    if negative or values.max() >= 2**bits:
        raise MammogramError(NO_GRAY_VALUES)
    if bits == 16:
        values = values.astype(np.uint16)
        if tags.get(PHOTOMETRIC_INTERPRETATION) == 0:  # Pillow turns 8 bits round, and leaves 16 as they are
            values = np.uint16(65535) - values
        if tags.get(BITS_PER_SAMPLE) == (12,):
            bits = 12
    return values, bits
