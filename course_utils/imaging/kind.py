"""What kind of picture a file holds, what was done to the view, and what is not a mammogram (lesson 01).

In: a header. Out: one word for the kind, the modifiers of its view; or a `MammogramError` for what shares a
mammogram's file format: slices, subtractions, test objects, masks. ImageType and SeriesDescription are read
for this and never kept.
"""

import re
from typing import Literal

from pydicom.dataset import Dataset

from course_utils.imaging.errors import MammogramError
from course_utils.imaging.header import get_text, is_for_processing

Kind = Literal["ffdm", "film", "synthetic_2d", "raw", "picture"]
"""A full-field digital mammogram, a digitised film, a 2D mammogram computed from tomosynthesis, a detector's
signal (FOR PROCESSING), or a picture file such as PNG."""

TOMOSYNTHESIS = frozenset(
    {"1.2.840.10008.5.1.4.1.1.13.1.3", "1.2.840.10008.5.1.4.1.1.13.1.4", "1.2.840.10008.5.1.4.1.1.13.1.5"}
)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

SYNTHETIC_TYPES = frozenset({"GENERATED_2D", "TOMO_2D"})
"""Values of ImageType that a 2D mammogram computed from tomosynthesis has."""

SYNTHETIC_SERIES = re.compile(r"\b(?:C-?VIEW|INTELLIGENT 2D|INSIGHT 2D|S-VIEW|V-PREVIEW|SYNTHETIC 2D)\b")
"""What vendors call such pictures in SeriesDescription."""

# CID 4015 "View Modifier for Mammography" (PS3.16): SNOMED CT code, SRT code in older files, name.
MODIFIER_CODES = {
    code: name
    for codes, name in [
        ("441752004 P2-00161", "anterior compression"),
        ("399011000 R-102D1", "axillary tail"),
        ("442580003 R-40AB2", "axillary tissue"),
        ("399161006 R-102D2", "cleavage"),
        ("399209000 R-102D5", "implant displaced"),
        ("442593008 R-40ABE", "infra-mammary fold"),
        ("399163009 R-102D6", "magnification"),
        ("442581004 R-40AB3", "nipple in profile"),
        ("414493004 R-102CA", "rolled inferior"),
        ("399197002 R-102D3", "rolled lateral"),
        ("399226006 R-102D4", "rolled medial"),
        ("415670009 R-102C9", "rolled superior"),
        ("399055006 R-102D7", "spot compression"),
        ("399110001 R-102C2", "tangential"),
    ]
    for code in codes.split()
}
MODIFIER_NAMES = tuple(dict.fromkeys(MODIFIER_CODES.values()))

# CBIS-DDSM puts the image, not the woman, into PatientID: Mass-Training_P_00001_LEFT_CC, and one more number
# for a lesion's crop or mask (Lee et al., Sci. Data 4, 170177, 2017). P_00001 is the woman, in both the Mass
# and the Calc part.
CBIS_PATIENT_ID = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d{5})_(LEFT|RIGHT)_(CC|MLO)(_\d+)?")


def kind_of(header: Dataset) -> Kind:
    """Return the kind of mammogram that a header describes.

    Raises:
        MammogramError: it is a stack, a slice or a projection of breast tomosynthesis, a subtraction of two
            exposures, an image for quality control, or CBIS-DDSM's crop or mask of a lesion.
    """
    types = set(get_text(header, "ImageType").upper().split("\\"))
    series = get_text(header, "SeriesDescription").upper().replace("_", " ")
    synthetic = bool(types & SYNTHETIC_TYPES or SYNTHETIC_SERIES.search(series))
    _refuse_tomosynthesis(header, types, synthetic=synthetic)
    if any("SUBTRACT" in each for each in types):
        raise MammogramError(
            "This is a contrast subtraction of two exposures; only single mammograms can be read."
        )
    if get_text(header, "QualityControlImage").upper() in ("YES", "BOTH"):
        raise MammogramError("This is an image for quality control, such as of a test object.")
    cbis = CBIS_PATIENT_ID.fullmatch(get_text(header, "PatientID"))
    if cbis and cbis[4]:
        what = "mask" if "MASK" in get_text(header, "SeriesDescription").upper() else "crop or mask"
        raise MammogramError(f"This is CBIS-DDSM's {what} of a lesion, not a whole mammogram.")
    if is_for_processing(header):
        return "raw"
    if synthetic:
        return "synthetic_2d"
    film = get_text(header, "SOPClassUID") == SECONDARY_CAPTURE
    return "film" if film or cbis or get_text(header, "DetectorType").upper() == "FILM" else "ffdm"


def _refuse_tomosynthesis(header: Dataset, types: set[str], *, synthetic: bool) -> None:
    one_frame = int(header.get("NumberOfFrames") or 1) == 1
    if synthetic and one_frame:
        return
    of_tomosynthesis = get_text(header, "SOPClassUID") in TOMOSYNTHESIS
    if of_tomosynthesis and not one_frame:
        raise MammogramError(
            "This is breast tomosynthesis, a stack of slices; only single mammograms can be read."
        )
    if of_tomosynthesis or any(each.startswith("TOMO") for each in types):
        raise MammogramError(
            "This is one slice or projection of breast tomosynthesis; only single mammograms can be read."
        )


def modifiers_of(header: Dataset) -> tuple[str, ...]:
    """Return what was done to the view, in the words of CID 4015, such as `("magnification",)`.

    A ViewPosition such as MLOID says that an implant was displaced.
    """
    views = header.get("ViewCodeSequence") or []
    items = [item for view in views for item in view.get("ViewModifierCodeSequence") or []]
    found = {MODIFIER_CODES.get(get_text(item, "CodeValue")) for item in items}
    if get_text(header, "ViewPosition").upper().endswith("ID"):
        found.add("implant displaced")
    return tuple(name for name in MODIFIER_NAMES if name in found)
