"""What is known of an image besides its pixels: view, side, scale, and pseudonyms that give nobody away."""

import hashlib
import hmac

import pydicom
import pytest
from elements import FILM
from pydicom.dataset import Dataset

from course_utils.imaging import read_mammogram
from course_utils.imaging.identity import patient_key


def test_what_the_header_says_comes_through(write_mammogram):
    got = read_mammogram(write_mammogram(ImagerPixelSpacing=[0.07, 0.07], PixelSpacing=[1, 1]))
    assert (got.view, got.laterality, got.spacing_mm, got.warnings) == ("CC", "L", (0.07, 0.07), ())


def test_what_the_header_does_not_say_is_none(write_mammogram):
    got = read_mammogram(
        write_mammogram(ViewPosition=None, ImageLaterality=None, ImagerPixelSpacing=None, PatientID=None)
    )
    assert (got.view, got.laterality, got.spacing_mm, got.patient_key) == (None, None, None, None)


@pytest.mark.parametrize(
    ("code", "view"), [("399162004", "CC"), ("R-10226", "MLO"), ("399192008", "XCCL"), ("12345", None)]
)
def test_the_view_is_read_from_its_code(write_mammogram, code, view):
    item = Dataset()
    item.CodeValue = code
    path = write_mammogram(ViewPosition=None, ViewCodeSequence=[item])
    assert read_mammogram(path).view == view


@pytest.mark.parametrize("orientation", [["A", "R"], ["P", "FL"]])
def test_the_orientation_of_a_digital_image_says_neither_view_nor_side(write_mammogram, orientation):
    got = read_mammogram(
        write_mammogram(ViewPosition=None, ImageLaterality=None, PatientOrientation=orientation)
    )
    assert (got.view, got.laterality) == (None, None)


def test_digitised_film_says_view_and_side_in_its_own_way(write_mammogram):
    got = read_mammogram(write_mammogram(**FILM))
    assert (got.view, got.laterality, got.spacing_mm, got.voi) == ("MLO", "L", None, "percentile")
    assert any("secondary capture" in sentence for sentence in got.warnings)


@pytest.mark.parametrize(
    ("orientation", "view", "side"), [("RCC", "CC", "R"), ("LMO", "LMO", None), ("LM", "LM", None)]
)
def test_film_with_the_side_before_the_view_is_understood(write_mammogram, orientation, view, side):
    got = read_mammogram(
        write_mammogram(**FILM | {"PatientOrientation": orientation, "Laterality": None, "PatientID": "X"})
    )
    assert (got.view, got.laterality) == (view, side)


def test_the_images_of_a_woman_in_cbis_ddsm_share_their_patient_key(write_mammogram):
    ids = ["Mass-Test_P_00173_LEFT_MLO", "Calc-Training_P_00173_RIGHT_CC", "Mass-Test_P_00173_LEFT_CC"]
    keys = {
        read_mammogram(write_mammogram(name=f"{n}.dcm", **FILM | {"PatientID": patient})).patient_key
        for n, patient in enumerate(ids)
    }
    other = read_mammogram(write_mammogram(**FILM | {"PatientID": "Mass-Test_P_00174_LEFT_MLO"})).patient_key
    assert len(keys) == 1
    assert other not in keys


def test_a_patient_id_that_only_resembles_cbis_ddsm_is_left_alone(write_mammogram):
    keys = {
        read_mammogram(write_mammogram(name=f"{n}.dcm", PatientID=patient)).patient_key
        for n, patient in enumerate(["P_00173_LEFT_CC", "P_00173_LEFT_MLO"])
    }
    assert len(keys) == 2


def test_cbis_ddsm_without_any_other_word_still_says_view_and_side(write_mammogram):
    got = read_mammogram(write_mammogram(**FILM | {"PatientOrientation": None, "Laterality": None}))
    assert (got.view, got.laterality) == ("MLO", "L")


def test_pseudonyms_are_the_hmac_of_the_identifiers(write_mammogram, personal):
    path = write_mammogram()
    got = read_mammogram(path, key=b"secret")
    uid = pydicom.dcmread(path).SOPInstanceUID
    assert got.image_id == "img-" + hmac.new(b"secret", uid.encode(), hashlib.sha256).hexdigest()[:12]
    patient = personal["PatientID"].encode()
    assert got.patient_key == "pat-" + hmac.new(b"secret", patient, hashlib.sha256).hexdigest()[:12]


def test_another_key_gives_other_pseudonyms_and_no_key_holds_for_the_process(write_mammogram):
    path = write_mammogram()
    a, b = read_mammogram(path, key=b"a"), read_mammogram(path, key=b"b")
    assert (a.image_id, a.patient_key) != (b.image_id, b.patient_key)
    assert read_mammogram(path).image_id == read_mammogram(path).image_id not in (a.image_id, b.image_id)


def test_an_image_without_uid_is_named_after_its_pixels(write_mammogram, breast):
    path = write_mammogram(SOPInstanceUID=None)
    ds = pydicom.dcmread(path)
    del ds.file_meta.MediaStorageSOPInstanceUID
    ds.save_as(path)
    assert read_mammogram(path, key=b"k").image_id == read_mammogram(path, key=b"k").image_id


def test_nothing_personal_is_in_what_comes_back(write_mammogram, tmp_path, personal):
    text = repr(read_mammogram(write_mammogram()))
    for value in [*personal.values(), "Prudence", str(tmp_path)]:
        assert value not in text


def coded(value):
    """Return a sequence with one code."""
    item = Dataset()
    item.CodeValue = value
    return [item]


def test_a_view_position_that_contradicts_the_code_is_not_followed(write_mammogram):
    got = read_mammogram(write_mammogram(ViewPosition="CC", ViewCodeSequence=coded("399368009")))
    assert got.view == "MLO"
    assert [each for each in got.warnings if "ViewPosition contradicts" in each]


def test_image_laterality_goes_before_laterality_with_a_warning(write_mammogram):
    got = read_mammogram(write_mammogram(ImageLaterality="L", Laterality="R"))
    assert got.laterality == "L"
    assert [each for each in got.warnings if "names both sides" in each]


@pytest.mark.parametrize(
    ("position", "view", "side", "modifiers"),
    [
        ("LMLO", "MLO", "L", ()),
        ("R CC", "CC", "R", ()),
        ("R-ML", "ML", "R", ()),
        ("MLOID", "MLO", None, ("implant displaced",)),
        ("RCCID", "CC", "R", ("implant displaced",)),
        ("LM", "LM", None, ()),
        ("LMO", "LMO", None, ()),
        ("XCCL", "XCCL", None, ()),
        ("LXCCL", "XCCL", "L", ()),
        ("SPOT", None, None, ()),
    ],
)
def test_views_of_other_names_are_understood(write_mammogram, position, view, side, modifiers):
    got = read_mammogram(write_mammogram(ViewPosition=position, ImageLaterality=None))
    assert (got.view, got.laterality, got.modifiers) == (view, side, modifiers)
    own = [each for each in got.warnings if "a name of its own" in each]
    assert len(own) == (view is not None and position != view)


@pytest.mark.parametrize(("code", "side"), [("7771000", "L"), ("G-A100", "R"), ("51440002", None)])
def test_the_side_may_stand_in_the_modifier_of_the_anatomic_region(write_mammogram, code, side):
    region = Dataset()
    region.AnatomicRegionModifierSequence = coded(code)
    got = read_mammogram(write_mammogram(ImageLaterality=None, AnatomicRegionSequence=[region]))
    assert got.laterality == side


def test_the_same_number_from_two_hospitals_is_two_women(write_mammogram):
    key = b"secret"
    got = {
        read_mammogram(write_mammogram(name=f"{n}.dcm", PatientID="1", **more), key=key).patient_key
        for n, more in enumerate([{"IssuerOfPatientID": "A"}, {"IssuerOfPatientID": "B"}, {}])
    }
    assert got == {patient_key("1", key, "A"), patient_key("1", key, "B"), patient_key(" 1 ", key)}
    assert len(got) == 3


def test_a_public_key_is_the_hmac_of_issuer_and_number():
    digest = hmac.new(b"secret", b"A\\1", hashlib.sha256).hexdigest()
    assert patient_key("1", b"secret", "A") == f"pat-{digest[:12]}"


@pytest.mark.parametrize("number", ["", "  ", None, 7, 7.0])
def test_what_is_no_number_of_a_patient_has_no_public_key(number):
    with pytest.raises(ValueError, match="must be text, and not empty"):
        patient_key(number, b"secret", "A")
