"""Whose breast it is and how it was seen: pseudonyms, view and side of one image (lesson 01).

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

from course_utils.imaging.header import get_text
from course_utils.imaging.kind import CBIS_PATIENT_ID

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

SIDE_CODES = {"7771000": "L", "G-A101": "L", "24028007": "R", "G-A100": "R"}
"""CID 244 "Laterality": SNOMED CT codes, and the SRT codes found in older files."""

OTHER_NAME = re.compile(rf"([LR])?({'|'.join(sorted(VIEWS, key=len, reverse=True))})(ID)?")
"""What some writers put into ViewPosition: the side before the view, ID (implant displaced) behind it."""


class Identity(NamedTuple):
    """Who and what an image shows; the fields of a `Mammogram`, and warnings."""

    image_id: str
    patient_key: str | None
    view: str | None
    laterality: str | None
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
    issuer = get_text(header, "IssuerOfPatientID")
    return Identity(
        image_id=image_id,
        patient_key=patient_key(patient, key, issuer) if patient else None,
        view=view,
        laterality=laterality,
        warnings=warnings + of_view + of_laterality,
    )


def patient_key(patient_id: str, key: bytes, issuer: str | None = None) -> str:
    """Return the pseudonym of a person, `pat-` and 12 hexadecimal digits: the same in every table of a key.

    Args:
        patient_id: PatientID as in the files, blanks around it apart.
        key: secret bytes, such as those of an `EmbeddingStore`.
        issuer: IssuerOfPatientID, where the files have one: two hospitals may each have a patient 1.

    Raises:
        ValueError: `patient_id` is no text, such as a number read as 7.0, or is empty: all women without a
            number would be one woman.
    """
    if not isinstance(patient_id, str) or not patient_id.strip():
        raise ValueError("patient_id must be text, and not empty")
    # A backslash separates values in DICOM, so no identifier holds one.
    parts = [part for part in ((issuer or "").strip(), patient_id.strip()) if part]
    whole = "\\".join(parts)
    return f"pat-{pseudonym(key, whole)}"


def pseudonym(key: bytes, identifier: str) -> str:
    """Return 12 hexadecimal digits that stand for an identifier: the start of its HMAC-SHA256 under `key`."""
    return hmac.new(key, identifier.encode(), hashlib.sha256).hexdigest()[:12]


def has_name(header: Dataset) -> bool:
    """Return whether the header names the image; where it does not, its pixels are its name."""
    return bool(_instance(header))


def _instance(header: Dataset) -> str:
    return get_text(header, "SOPInstanceUID") or get_text(header.file_meta, "MediaStorageSOPInstanceUID")


def _image_id(header: Dataset, stored: np.ndarray, key: bytes) -> tuple[str, list[str]]:
    warnings = []
    instance = _instance(header)
    if not instance:
        instance = hashlib.sha256(np.ascontiguousarray(stored).data).hexdigest()
        warnings.append("The file has no SOPInstanceUID; the image's pseudonym is made from its pixels.")
    return f"img-{pseudonym(key, instance)}", warnings


def _view(header: Dataset, cbis: re.Match[str] | None) -> tuple[str | None, list[str]]:
    code, (_, position) = _view_code(header), _view_position(header)
    if code and position and code != position:  # the code is of type 1, ViewPosition of type 3
        return code, ["ViewPosition contradicts ViewCodeSequence; the latter was followed."]
    if code:
        return code, []
    if position:
        as_it_is = get_text(header, "ViewPosition").upper() == position
        return position, [] if as_it_is else [
            f"ViewPosition has a name of its own for this view, {position}."
        ]
    if film := _on_film(header):
        return film[2], ["The view stands in PatientOrientation, as in digitised film."]
    if cbis:
        return cbis[3], ["The view was read from CBIS-DDSM's PatientID."]
    return None, ["The file does not say which view it is."]


def _laterality(header: Dataset, cbis: re.Match[str] | None) -> tuple[str | None, list[str]]:
    names = ("ImageLaterality", "Laterality", "FrameLaterality")
    said: list[str | None] = [get_text(header, name).upper() for name in names]
    said += [_side_code(header), _view_position(header)[0]]
    sides = [side for side in said if side in ("L", "R")]
    if sides:
        if len(set(sides)) > 1:
            return sides[0], ["The header names both sides; ImageLaterality was followed, or the next to it."]
        return sides[0], []
    if (film := _on_film(header)) and film[1]:
        return film[1], ["The side stands in PatientOrientation, as in digitised film."]
    if cbis:
        return cbis[2][0], ["The side was read from CBIS-DDSM's PatientID."]
    return None, ["The file does not say which breast it is."]


def _view_position(header: Dataset) -> tuple[str | None, str | None]:
    """Return side and view as ViewPosition has them, None where it does not; LM is a view, and no left M."""
    position = re.sub(r"[ _-]", "", get_text(header, "ViewPosition").upper())
    if position in VIEWS:
        return None, position
    other = OTHER_NAME.fullmatch(position)
    return (other[1], other[2]) if other else (None, None)


def _on_film(header: Dataset) -> re.Match[str] | None:
    """Match the side, which may be missing, and the view that digitised film has in PatientOrientation."""
    return OTHER_NAME.fullmatch(get_text(header, "PatientOrientation").upper())


def _view_code(header: Dataset) -> str | None:
    sequence = header.get("ViewCodeSequence")
    return VIEW_CODES.get(get_text(sequence[0], "CodeValue")) if sequence else None


def _side_code(header: Dataset) -> str | None:
    """Return the side in the modifier of the anatomic region (PS3.3 C.8.11.7)."""
    regions = header.get("AnatomicRegionSequence") or []
    items = [item for region in regions for item in region.get("AnatomicRegionModifierSequence") or []]
    sides = {SIDE_CODES.get(get_text(item, "CodeValue")) for item in items} - {None}
    return sides.pop() if len(sides) == 1 else None
