"""Small DICOM files for all tests, written on the spot.

``write_mammogram`` is a function that writes a mammogram with whatever elements a test wants otherwise; every
header carries `PERSONAL`, which must never turn up in anything that the course writes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import browser, lab  # noqa: F401
from hypothesis import HealthCheck, settings
from lookup_tables import lut_item
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

# Every run draws the same examples, and none of them fails because the machine is busy.
settings.register_profile(
    "course",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("course")

PERSONAL = {
    "PatientName": "Quisling^Prudence",
    "PatientID": "HOSPITAL-4711",
    "PatientBirthDate": "19540329",
    "AccessionNumber": "ACC0815",
}
"""What identifies the person in every file of these tests."""

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"


@pytest.fixture
def personal() -> dict[str, str]:
    """Return what identifies the person in every file of these tests, keyword by keyword."""
    return dict(PERSONAL)


@pytest.fixture
def lut() -> Callable[..., Sequence]:
    """Make a LUT Sequence: ``lut(values, first=0, bits=12)``."""
    return lambda values, first=0, bits=12: Sequence([lut_item(np.asarray(values), first, bits)])


@pytest.fixture(scope="session")
def breast() -> np.ndarray:
    """Return a 12-bit picture, uint16 (300, 240): a left breast at the left edge, ground at 0, no label."""
    y, x = np.mgrid[:300, :240]
    inside = ((y - 150) / 120) ** 2 + (x / 130) ** 2
    texture = np.random.default_rng(1).normal(0, 60, inside.shape)
    tissue = 1200 + 1800 * np.exp(-(((y - 170) / 50) ** 2) - ((x - 40) / 50) ** 2) + texture
    return np.where(
        inside < 1, np.clip(tissue * np.sqrt(np.clip(1 - inside, 0, 1)) + 300, 1, 4095), 0
    ).astype(np.uint16)


@pytest.fixture
def write_mammogram(tmp_path: Path, breast: np.ndarray) -> Callable[..., Path]:
    """Write a mammogram: ``write_mammogram(pixels, name="a.dcm", bits=12, syntax=…, Keyword=value, …)``.

    An element set to None is left out. Without arguments: a proper left CC view with a window.
    """

    def write(
        pixels: np.ndarray | None = None,
        *,
        name: str = "mammogram.dcm",
        bits: int = 12,
        syntax: UID = ExplicitVRLittleEndian,
        **elements: Any,
    ) -> Path:
        pixels = breast if pixels is None else pixels
        signed = pixels.dtype.kind == "i"
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        values = PERSONAL | {
            "SOPClassUID": FOR_PRESENTATION,
            "SOPInstanceUID": generate_uid(entropy_srcs=[name]),
            "Modality": "MG",
            "PresentationIntentType": "FOR PRESENTATION",
            "ViewPosition": "CC",
            "ImageLaterality": "L",
            "ImagerPixelSpacing": [0.1, 0.1],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "PresentationLUTShape": "IDENTITY",
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "BitsAllocated": 8 * pixels.itemsize,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": int(signed),
            "WindowCenter": 2048,
            "WindowWidth": 4096,
        }
        for keyword, value in (values | elements).items():
            if value is None:
                continue
            if keyword.startswith("PixelPadding"):
                ds.add_new(keyword, "SS" if signed else "US", value)
            else:
                setattr(ds, keyword, value)
        ds.add_new(
            "PixelData",
            "OB" if pixels.itemsize == 1 else "OW",
            pixels.tobytes() + b"\0" * (pixels.nbytes % 2),
        )
        ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", FOR_PRESENTATION)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID") or generate_uid()
        if syntax.is_compressed:
            ds.compress(syntax, generate_instance_uid=False)
        else:
            ds.file_meta.TransferSyntaxUID = syntax
        path = tmp_path / name
        ds.save_as(
            path,
            enforce_file_format=True,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=syntax.is_little_endian,
        )
        return path

    return write
