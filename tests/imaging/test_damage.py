"""Ten thousand damaged files: each gives pixels or a sentence, soon, in little memory, and nobody's name."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from calibration import patience
from needs import HAS_PYJPEGLS
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import encoders

FILES, PARTS = 10_000, 4
COMPRESSED = [
    RLELossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
]
if HAS_PYJPEGLS:  # else there is no encoder for them, and their decoder is left out
    COMPRESSED += [JPEGLSLossless, JPEGLSNearLossless]


@pytest.fixture
def seeds(write_mammogram, lut, breast, tmp_path):
    """Write a small sound file for each transfer syntax and each kind of VOI; return their folder."""
    small = np.ascontiguousarray(breast[::3, ::3][2:98])
    curve = np.rint(4095 * (np.arange(4096) / 4095) ** 0.6).astype(int)
    bare = {"WindowCenter": None, "WindowWidth": None}
    kinds = {
        "plain": {},
        "implicit": {"syntax": ImplicitVRLittleEndian},
        "monochrome1": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        "windows": {"WindowCenter": [2048, 1500], "WindowWidth": [4096, 800]},
        "exact": {"VOILUTFunction": "LINEAR_EXACT"},
        "sigmoid": {"VOILUTFunction": "SIGMOID"},
        "lut": {"VOILUTSequence": lut(curve)},
        "lut of 8 bits": {"VOILUTSequence": lut(curve // 16, first=3, bits=8)},
        "modality lut": {"ModalityLUTSequence": lut(curve)},
        "rescaled": {"RescaleSlope": -0.5, "RescaleIntercept": 100},
        "padded": {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 5, **bare},
        "raw": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1", "PresentationIntentType": "FOR PROCESSING"},
        "film": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "PatientOrientation": "RMLO", **bare},
    }
    folder = tmp_path / "seeds"
    folder.mkdir()
    for name, elements in kinds.items():
        write_mammogram(small, name=f"seeds/{name}.dcm", **elements)
    write_mammogram(small.astype(np.int16) - 2048, name="seeds/signed.dcm", WindowCenter=0)
    write_mammogram(small.astype(">u2"), name="seeds/big endian.dcm", syntax=ExplicitVRBigEndian)
    for syntax in COMPRESSED:
        narrow = syntax == JPEGBaseline8Bit
        path = write_mammogram(
            (small >> 4).astype(np.uint8) if narrow else small, bits=8 if narrow else 12, name="seed.dcm"
        )
        ds = pydicom.dcmread(path)
        encoders.compress(ds, syntax, fragments=1 + 2 * (syntax == JPEG2000))
        ds.save_as(folder / f"{syntax}.dcm")
    return folder


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, PARTS))])
def test_a_damaged_file_gives_pixels_or_a_sentence(seeds, part):
    first, last = part * FILES // PARTS, (part + 1) * FILES // PARTS
    ran = subprocess.run(  # in another process: a decoder that crashes or hangs takes everything with it
        [sys.executable, Path(__file__).with_name("damage.py"), seeds, *map(str, (first, last, patience(4)))],
        capture_output=True,
        text=True,
        timeout=patience(120),
        check=False,
    )
    left = [path.name for path in seeds.glob("damaged_*")]
    assert ran.returncode == 0, f"{left}\n{ran.stderr[-3000:]}"
    outcomes = json.loads(ran.stdout)
    assert sum(outcomes.values()) == last - first
    assert outcomes["pixels"] > 0.15 * (last - first)
    assert len(outcomes) > 30  # so the damage goes deep, and each kind has its own sentence
