"""What kind of mammogram a file holds, what was done to the view, and what is no mammogram."""

import pytest
from elements import FILM
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
)

from course_utils.imaging import MammogramError, read_mammogram
from course_utils.imaging.kind import MODIFIER_CODES

DERIVED = ["DERIVED", "PRIMARY"]


@pytest.mark.parametrize(
    ("elements", "kind"),
    [
        ({}, "ffdm"),
        ({"ImageType": DERIVED}, "ffdm"),
        (FILM, "film"),
        ({"DetectorType": "FILM"}, "film"),
        ({"ImageType": [*DERIVED, "TOMOSYNTHESIS", "GENERATED_2D"]}, "synthetic_2d"),
        ({"SeriesDescription": "L CC C-View"}, "synthetic_2d"),
        ({"SeriesDescription": "L MLO Intelligent 2D"}, "synthetic_2d"),
        ({"SeriesDescription": "L_CC_CVIEW"}, "synthetic_2d"),
        ({"SeriesDescription": "L CC synthetic phantom"}, "ffdm"),
        (
            {
                "SOPClassUID": BreastTomosynthesisImageStorage,
                "ImageType": [*DERIVED, "TOMOSYNTHESIS", "GENERATED_2D"],
                "NumberOfFrames": 1,
            },
            "synthetic_2d",
        ),
        (
            {
                "SOPClassUID": DigitalMammographyXRayImageStorageForProcessing,
                "PresentationIntentType": "FOR PROCESSING",
            },
            "raw",
        ),
    ],
    ids=str,
)
def test_the_kind_is_what_the_header_describes(write_mammogram, elements, kind):
    assert read_mammogram(write_mammogram(**elements)).kind == kind


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        (
            {"ImageType": [*DERIVED, "TOMOSYNTHESIS", "NONE"]},
            "one slice or projection of breast tomosynthesis",
        ),
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "TOMO_PROJ"]},
            "one slice or projection of breast tomosynthesis",
        ),
        ({"SOPClassUID": BreastTomosynthesisImageStorage}, "one slice or projection of breast tomosynthesis"),
        (
            {"SOPClassUID": BreastTomosynthesisImageStorage, "NumberOfFrames": 40},
            "breast tomosynthesis, a stack of slices",
        ),
        (
            {
                "SOPClassUID": BreastTomosynthesisImageStorage,
                "NumberOfFrames": 40,
                "ImageType": [*DERIVED, "TOMOSYNTHESIS", "GENERATED_2D"],
            },
            "breast tomosynthesis, a stack of slices",
        ),
        ({"ImageType": [*DERIVED, "POST_CONTRAST", "SUBTRACTION"]}, "contrast subtraction"),
        ({"QualityControlImage": "YES"}, "quality control"),
        (FILM | {"PatientID": "Mass-Test_P_00173_LEFT_CC_2"}, "CBIS-DDSM's crop or mask of a lesion"),
        (
            FILM | {"PatientID": "Mass-Test_P_00173_LEFT_CC_1", "SeriesDescription": "ROI mask images"},
            "CBIS-DDSM's mask of a lesion",
        ),
    ],
    ids=str,
)
def test_what_is_no_mammogram_is_refused_with_its_name(write_mammogram, elements, sentence):
    with pytest.raises(MammogramError, match=sentence):
        read_mammogram(write_mammogram(**elements))


def test_modifiers_of_the_view_come_through_in_the_words_of_the_standard(write_mammogram):
    view = Dataset()
    view.CodeValue = "399368009"
    view.ViewModifierCodeSequence = []
    for value in ("399055006", "R-102D6", "no code"):
        item = Dataset()
        item.CodeValue = value
        view.ViewModifierCodeSequence.append(item)
    got = read_mammogram(write_mammogram(ViewPosition="MLO", ViewCodeSequence=[view]))
    assert got.modifiers == ("magnification", "spot compression")
    assert read_mammogram(write_mammogram(name="plain.dcm")).modifiers == ()


def test_the_codes_are_those_of_the_standard_as_pydicom_has_them():
    listed = [getattr(codes.cid4015, name) for name in dir(codes.cid4015)]
    theirs = {code.value: code.meaning.lower() for code in listed if hasattr(code, "value")}
    assert {code: name for code, name in MODIFIER_CODES.items() if code in theirs} == theirs


def test_side_and_window_of_an_enhanced_object_are_those_of_its_frame(write_mammogram, breast):
    anatomy, window, group = Dataset(), Dataset(), Dataset()
    anatomy.FrameLaterality = "R"
    window.WindowCenter, window.WindowWidth = 1000, 2000
    group.FrameAnatomySequence, group.FrameVOILUTSequence = [anatomy], [window]
    path = write_mammogram(
        SOPClassUID=BreastTomosynthesisImageStorage,
        ImageType=[*DERIVED, "TOMOSYNTHESIS", "GENERATED_2D"],
        ImageLaterality=None,
        WindowCenter=None,
        WindowWidth=None,
        SharedFunctionalGroupsSequence=[group],
    )
    got = read_mammogram(path)
    assert (got.laterality, got.voi) == ("R", "window:LINEAR")
    assert got.pixels[breast >= 2000].min() == 1
