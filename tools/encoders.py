"""Compress gray pixels for the samples: a data set with native pixels becomes an encapsulated one.

The encoders are those of other libraries. What is ours: streams say how many bits are really used, carry no
comment with a library's version (so that their bytes do not change with it), and come with the header that
DICOM PS3.5 A.4 and PS3.3 C.7.6.1.1.5 require.
"""

from __future__ import annotations

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

LOSSY = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
    HTJ2K: "ISO_15444_15",
}
"""LossyImageCompressionMethod of the syntaxes that are used with loss here."""


def compress(ds: Dataset, syntax: UID, *, fragments: int = 1) -> None:
    """Replace the native pixels of ``ds`` by compressed ones of transfer syntax ``syntax``.

    One fragment with a basic offset table; or, as some writers do, several fragments and an empty table.
    """
    native = len(ds.PixelData)
    stream = _stream(ds, syntax)
    ds.PixelData = encapsulate([stream], fragments_per_frame=fragments, has_bot=fragments == 1)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax in LOSSY:
        ds.LossyImageCompression = "01"
        ds.LossyImageCompressionRatio = f"{native / len(stream):.1f}"
        ds.LossyImageCompressionMethod = LOSSY[syntax]


def _stream(ds: Dataset, syntax: UID) -> bytes:
    pixels = ds.pixel_array
    bits = ds.BitsStored
    if syntax == RLELossless:  # pydicom's own: others pack runs differently
        return get_encoder(syntax).encode(ds, encoding_plugin="pydicom")
    if syntax == JPEGLSLossless:
        return get_encoder(syntax).encode(ds, encoding_plugin="pyjpegls")
    if syntax == JPEGLSNearLossless:
        return get_encoder(syntax).encode(ds, encoding_plugin="pyjpegls", jls_error=2)
    if syntax == JPEG2000Lossless:
        return without_comments(get_encoder(syntax).encode(ds, encoding_plugin="pylibjpeg"))
    if syntax == JPEG2000:
        return without_comments(get_encoder(syntax).encode(ds, encoding_plugin="pylibjpeg", j2k_cr=[12]))
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        # Selection value 1 is all that the second may have (PS3.5 10.2); another one shows the difference.
        predictor = 1 if syntax == JPEGLosslessSV1 else 6
        return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits))
    if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit):
        return bytes(imagecodecs.jpeg8_encode(pixels, level=90, bitspersample=bits))
    if syntax in (HTJ2KLossless, HTJ2KLosslessRPCL):
        return high_throughput(pixels, bits, lossless=True)
    if syntax == HTJ2K:
        return high_throughput(pixels, bits, lossless=False)
    raise ValueError(f"no encoder for {syntax.name}")


def high_throughput(pixels: np.ndarray, bits: int, *, lossless: bool) -> bytes:
    """Encode uint16 ``(H, W)`` of ``bits`` bits as HTJ2K: RPCL order and TLM marker, as .202 requires.

    The encoder supports 16 bits only. Its stream is that of ``bits`` once the header says so, if the pixels
    are moved to where the level shift (ITU-T T.800 annex G) of 16 bits leaves what that of ``bits`` expects;
    without loss by adding the difference, with loss by scaling, since steps are relative to the range (E.1).
    """
    if lossless:
        moved = pixels + np.uint16(2**15 - 2 ** (bits - 1))
        stream = bytes(imagecodecs.htj2k_encode(moved, reversible=True, tlm=True))
    else:
        moved = pixels << np.uint16(16 - bits)
        stream = bytes(imagecodecs.htj2k_encode(moved, reversible=False, level=0.001, tlm=True))
    at = 42  # of Ssiz: SOC, then 38 bytes of the SIZ marker segment before the first component
    return without_comments(stream[:at] + bytes([bits - 1]) + stream[at + 1 :])


def without_comments(stream: bytes) -> bytes:
    """Return a JPEG 2000 stream without COM segments in its main header (ITU-T T.800 A.9.2)."""
    kept, at = stream[:2], 2
    while (marker := stream[at : at + 2]) != b"\xff\x90":  # SOT: the main header ends
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker != b"\xff\x64":
            kept += stream[at : at + length]
        at += length
    return kept + stream[at:]
