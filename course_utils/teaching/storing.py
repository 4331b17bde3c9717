"""One mammogram stored in three ways, all of them lossless (lesson 06).

A DICOM file goes in; out come three files that hold the same pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1


def in_three_ways(source: Path, folder: Path) -> dict[str, Path]:
    """Write a film at half its resolution, uncompressed and in two compressed ways; return the three files.

    Args:
        source: 16 bits, uncompressed. Means of two by two pixels are taken: decoding all would take seconds.
        folder: gets `uncompressed.dcm`, `JPEG lossless.dcm` and `JPEG 2000.dcm`.
    """
    import imagecodecs

    ds = pydicom.dcmread(source)
    height, width = (side // 2 for side in ds.pixel_array.shape)
    twos = ds.pixel_array[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    pixels = twos.mean(axis=(1, 3)).astype(np.uint16)
    paths = {name: folder / f"{name}.dcm" for name in ("uncompressed", "JPEG lossless", "JPEG 2000")}
    ds.set_pixel_data(pixels, ds.PhotometricInterpretation, bits_stored=16)
    ds.save_as(paths["uncompressed"])
    streams = {
        "JPEG lossless": imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=16),
        "JPEG 2000": imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, bitspersample=16),
    }
    for (name, stream), syntax in zip(streams.items(), (JPEGLosslessSV1, JPEG2000Lossless), strict=True):
        ds.PixelData = encapsulate([bytes(stream)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(paths[name])
    return paths
