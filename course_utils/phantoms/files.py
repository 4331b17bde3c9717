"""The data set of a phantom: Digital Mammography X-Ray Image – For Presentation (PS3.3 A.27; lesson 01).

In: 12-bit pixels and what is known about them. Out: a pydicom `Dataset` that says so as the standard asks.
Nothing in it depends on the clock or on chance, so the same phantom is the same file.
"""

from __future__ import annotations

import hashlib
import math

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    RLELossless,
)

from course_utils import DISCLAIMER
from course_utils.phantoms.anatomy import Laterality, View
from course_utils.phantoms.picture import STYLES, Vendor


def uid(*parts: object) -> UID:
    """Return a UID made from a hash (PS3.5 annex B.2): the same parts, the same UID."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _lut() -> list[int]:
    """Return a gentle S-shaped VOI LUT for 12 bits, like those some vendors ship."""
    x = np.arange(4096) / 4095
    s = 0.5 + np.tanh(2.2 * (x - 0.48)) / (2 * math.tanh(2.2 * 0.52))
    return [int(v) for v in np.rint(np.clip(s, 0, 1) * 4095)]


def _voi(ds: Dataset, vendor: Vendor) -> None:
    """Add how the vendor wants its pixels shown: two windows, a LUT, or a sigmoid."""
    if vendor == "alder":
        ds.WindowCenter, ds.WindowWidth = [2048, 2100], [4096, 3000]
        ds.WindowCenterWidthExplanation = ["NORMAL", "HARDER"]
        ds.VOILUTFunction = "LINEAR"
    elif vendor == "birch":
        lut = Dataset()
        lut.LUTDescriptor, lut.LUTExplanation = [4096, 0, 12], "NORMAL"
        lut.add_new("LUTData", "US", _lut())
        ds.VOILUTSequence = DicomSequence([lut])
    else:
        ds.WindowCenter, ds.WindowWidth = 2048, 3200
        ds.VOILUTFunction = "SIGMOID"


def dataset(
    pixels: NDArray[np.uint16],
    *,
    view: View,
    laterality: Laterality,
    thickness_mm: float,
    vendor: Vendor,
    spacing_mm: tuple[float, float],
    woman: str,
    study: tuple[object, ...],
    instance: tuple[object, ...],
) -> Dataset:
    """Return the data set of PS3.3 A.27, Digital Mammography X-Ray Image – For Presentation.

    `pixels` are (rows, columns), 0 to 4095, breast bright; `study` and `instance` are what the UIDs of the
    visit and the image are made from.
    """
    style = STYLES[vendor]
    inverse = style.photometric == "MONOCHROME1"
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    ds.SOPInstanceUID = uid("instance", *instance)
    ds.StudyDate = ds.ContentDate = "20000101"
    ds.StudyTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ""
    ds.Modality = "MG"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.Manufacturer = style.manufacturer
    ds.ManufacturerModelName = f"Phantom {vendor.title()}"
    ds.ReferringPhysicianName = ""
    ds.SeriesDescription = f"{laterality} {view} synthetic phantom"
    ds.AnatomicRegionSequence = DicomSequence([_code("76752008", "Breast")])
    ds.PatientName = f"Phantom^{woman}"
    ds.PatientID = f"PHANTOM-{woman}"
    ds.PatientBirthDate = ""
    ds.PatientSex = "F"
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic image, no patient"
    ds.PatientComments = DISCLAIMER
    ds.BodyPartExamined = "BREAST"
    ds.KVP = "28"
    ds.BodyPartThickness = f"{thickness_mm:.1f}"
    ds.ImagerPixelSpacing = [f"{mm:.6f}" for mm in spacing_mm]
    ds.PositionerType = "MAMMOGRAPHIC"
    ds.DetectorType = "DIRECT"
    ds.StudyInstanceUID = uid("study", *study)
    ds.SeriesInstanceUID = uid("series", *instance)
    ds.StudyID = "1"
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    foot = "F" if view == "MLO" else ""
    ds.PatientOrientation = ["A", foot + "R"] if laterality == "L" else ["P", foot + "L"]
    ds.ImageLaterality = laterality
    ds.OrganExposed = "BREAST"
    ds.ViewPosition = view
    code = (
        _code("399162004", "cranio-caudal") if view == "CC" else _code("399368009", "medio-lateral oblique")
    )
    code.ViewModifierCodeSequence = DicomSequence([])
    ds.ViewCodeSequence = DicomSequence([code])
    ds.AcquisitionContextSequence = DicomSequence([])
    ds.BurnedInAnnotation = "NO"  # the standard means text that could identify a person; RMLO does not
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = style.photometric
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if inverse else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.LossyImageCompression = "00"
    ds.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    _voi(ds, vendor)
    stored = 4095 - pixels if inverse else pixels
    ds.PixelData = stored.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("implementation", 1)
    meta.ImplementationVersionName = "MAMMO_COURSE_1"
    ds.file_meta = meta
    return ds


def compress_rle(ds: Dataset) -> None:
    """Replace the native 16-bit pixels of `ds` with one RLE lossless frame (PS3.5 annex G).

    pydicom's own encoder gives the same pixels but takes some ten times as long.
    """
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    segments = []
    for plane in (stored >> 8, stored & 0xFF):  # high bytes first, and no run crosses the end of a row
        packed = bytes(imagecodecs.packbits_encode(plane.astype(np.uint8), axis=-1))
        segments.append(packed + b"\0" * (len(packed) % 2))
    header = np.zeros(16, "<u4")
    header[:3] = 2, 64, 64 + len(segments[0])
    ds.PixelData = encapsulate([header.tobytes() + b"".join(segments)])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = RLELossless
