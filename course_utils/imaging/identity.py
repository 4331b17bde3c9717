"""Whose breast it is and how it was seen: pseudonyms, view, side and scale of one image (lesson 01).

In: a header and the secret key of a run. Out: an `Identity`. The same key gives the same person the same
pseudonym, and without the key nobody can trace it back to the person. What the header does not say is None.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from course_utils.imaging.header import get_spacing, get_text

PROCESS_KEY = secrets.token_bytes(32)
"""Keys the pseudonyms when the caller has no key: they are then valid in this process only."""

# CID 4014 "View for Mammography": SNOMED CT code, the SRT code found in older files, ACR abbreviation.
VIEW_CODES = {
    code: view
    for codes, view in [
        ("399162004 R-10242", "CC"),
        ("399368009 R-10226", "MLO"),
        ("399260004 R-10224", "ML"),
        ("399352003 R-10228", "LM"),
        ("399099002 R-10230", "LMO"),
        ("399192008 R-1024A", "XCCL"),
        ("399101009 R-1024B", "XCCM"),
        ("399196006 R-10244", "FB"),
        ("399188001 R-102D0", "SIO"),
        ("441555000 R-40AAA", "ISO"),
        ("127457009 G-8310", "SPECIMEN"),
    ]
    for code in codes.split()
}
VIEWS = frozenset(VIEW_CODES.values())

# CBIS-DDSM puts the image, not the woman, into PatientID: Mass-Training_P_00001_LEFT_CC, and one more number
# for a lesion's crop (Lee et al., Sci. Data 4, 170177, 2017). P_00001 is the woman, in both the Mass and
# the Calc part.
CBIS_PATIENT_ID = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d{5})_(LEFT|RIGHT)_(CC|MLO)(?:_\d+)?")


class Identity(NamedTuple):
    """What is known about an image apart from its pixels; the fields of a `Mammogram`, and warnings."""

    image_id: str
    patient_key: str | None
    view: str | None
    laterality: str | None
    spacing_mm: tuple[float, float] | None
    warnings: list[str]


def identify(header: Dataset, stored: np.ndarray, key: bytes) -> Identity:
    """Return who and what an image shows; `stored` names an image that has no UID, `key` keys pseudonyms."""
    image_id, warnings = _image_id(header, stored, key)
    patient = get_text(header, "PatientID")
    cbis = CBIS_PATIENT_ID.fullmatch(patient)
    if cbis:
        patient = cbis[1]
        warnings.append(
            "PatientID names a CBIS-DDSM image; the patient's pseudonym is made from its patient number."
        )
    view, of_view = _view(header, cbis)
    laterality, of_laterality = _laterality(header, cbis)
    return Identity(
        image_id=image_id,
        patient_key=f"pat-{pseudonym(key, patient)}" if patient else None,
        view=view,
        laterality=laterality,
        spacing_mm=get_spacing(header, "ImagerPixelSpacing") or get_spacing(header, "PixelSpacing"),
        warnings=warnings + of_view + of_laterality,
    )


def pseudonym(key: bytes, identifier: str) -> str:
    """Return 12 hexadecimal digits that stand for an identifier: the start of its HMAC-SHA256 under `key`."""
    return hmac.new(key, identifier.encode(), hashlib.sha256).hexdigest()[:12]


def _image_id(header: Dataset, stored: np.ndarray, key: bytes) -> tuple[str, list[str]]:
    warnings = []
    instance = get_text(header, "SOPInstanceUID") or get_text(header.file_meta, "MediaStorageSOPInstanceUID")
    if not instance:
        instance = hashlib.sha256(np.ascontiguousarray(stored).data).hexdigest()
        warnings.append("The file has no SOPInstanceUID; the image's pseudonym is made from its pixels.")
    return f"img-{pseudonym(key, instance)}", warnings


def _view(header: Dataset, cbis: re.Match[str] | None) -> tuple[str | None, list[str]]:
    position = get_text(header, "ViewPosition").upper()
    if position in VIEWS:
        return position, []
    if code := _view_code(header):
        return code, []
    if film := _on_film(header):
        return film[2], ["The view stands in PatientOrientation, as in digitised film."]
    if cbis:
        return cbis[3], ["The view was read from CBIS-DDSM's PatientID."]
    return None, ["The file does not say which view it is."]


def _laterality(header: Dataset, cbis: re.Match[str] | None) -> tuple[str | None, list[str]]:
    for keyword in ("ImageLaterality", "Laterality", "FrameLaterality"):
        if (side := get_text(header, keyword).upper()) in ("L", "R"):
            return side, []
    if (film := _on_film(header)) and film[1]:
        return film[1], ["The side stands in PatientOrientation, as in digitised film."]
    if cbis:
        return cbis[2][0], ["The side was read from CBIS-DDSM's PatientID."]
    return None, ["The file does not say which breast it is."]


def _on_film(header: Dataset) -> re.Match[str] | None:
    """Match the side, which may be missing, and the view that digitised film has in PatientOrientation."""
    orientation = re.fullmatch(r"([LR]?)([A-Z]+)", get_text(header, "PatientOrientation").upper())
    return orientation if orientation and orientation[2] in VIEWS else None


def _view_code(header: Dataset) -> str | None:
    sequence = header.get("ViewCodeSequence")
    return VIEW_CODES.get(get_text(sequence[0], "CodeValue")) if sequence else None
