"""A picture is turned upright by what its header says, and keeps its proportions."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from course_utils.imaging import MammogramError, Preprocessor, read_mammogram


def as_stored(upright, rows, columns):
    """Return a picture (rows to the front, columns to the feet) as it lies with these directions.

    Worked out on a grid of names: each of the eight ways to lay a picture down is tried, and the one is
    taken whose rows and columns run where they are said to run.
    """
    grid = np.array([["top back", "top front"], ["low back", "low front"]])
    steps = {"A": ("back", "front"), "P": ("front", "back"), "F": ("top", "low"), "H": ("low", "top")}
    for transposed in (False, True):
        for flips in ((), (0,), (1,), (0, 1)):

            def lay(array, transposed=transposed, flips=flips):
                return np.flip(array.T if transposed else array, flips)

            laid = lay(grid)
            (a, b), (c, d) = steps[rows], steps[columns]
            if a in laid[0, 0] and b in laid[0, 1] and c in laid[0, 0] and d in laid[1, 0]:
                return np.ascontiguousarray(lay(upright))
    raise AssertionError("there is no such way")


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ("A", "F", []),
        ("A", "H", ["stood on its head"]),
        ("F", "A", ["lay on its side"]),
        ("H", "A", ["lay on its side", "stood on its head"]),
    ],
)
def test_a_picture_is_turned_upright_exactly(write_mammogram, breast, rows, columns, said):
    stored = as_stored(breast, rows, columns)
    path = write_mammogram(stored, PatientOrientation=[f"{rows}L", columns], ViewPosition="MLO")
    got = read_mammogram(path)
    assert_array_equal(np.rint(got.pixels * 4095), breast)
    assert [words for words in said if any(words in each for each in got.warnings)] == said
    assert len(got.warnings) == len(said)


@pytest.mark.parametrize(("rows", "columns"), [("P", "F"), ("P", "H"), ("F", "P"), ("H", "P")])
def test_a_picture_that_faces_the_other_way_may_do_so(write_mammogram, breast, rows, columns):
    got = read_mammogram(
        write_mammogram(as_stored(breast, rows, columns), PatientOrientation=[rows, columns])
    )
    assert_array_equal(np.rint(got.pixels * 4095), breast[:, ::-1])


@pytest.mark.parametrize(
    "orientation",
    [["A", "R"], ["P", "L"], "CC", ["MLO", ""], ["X", "H"], ["", "H"], ["F", "H"], None, ["A", "H", "F"]],
    ids=str,
)
def test_other_orientations_move_nothing(write_mammogram, breast, orientation):
    got = read_mammogram(write_mammogram(PatientOrientation=orientation))
    assert_array_equal(np.rint(got.pixels * 4095), breast)


def test_a_craniocaudal_view_that_lies_is_turned(write_mammogram, breast):
    got = read_mammogram(write_mammogram(np.ascontiguousarray(breast.T), PatientOrientation=["R", "A"]))
    assert_array_equal(np.rint(got.pixels * 4095), breast)


def test_spacing_is_turned_with_the_picture(write_mammogram, breast):
    path = write_mammogram(
        np.ascontiguousarray(breast.T), PatientOrientation=["F", "A"], ImagerPixelSpacing=[0.1, 0.2]
    )
    got = read_mammogram(path)
    assert got.spacing_mm == (0.2, 0.1)
    assert got.pixel_aspect == 2


@pytest.mark.parametrize(
    "elements",
    [
        {"ImagerPixelSpacing": [0.2, 0.1]},
        {"ImagerPixelSpacing": None, "PixelSpacing": [0.2, 0.1]},
        {"ImagerPixelSpacing": None, "PixelAspectRatio": [2, 1]},
    ],
    ids=str,
)
def test_pixels_that_are_not_square_give_the_true_proportions(write_mammogram, breast, elements):
    wide = np.repeat(breast, 2, axis=1)
    got = read_mammogram(write_mammogram(wide, **elements))
    assert got.pixel_aspect == 2
    assert [each for each in got.warnings if "not square" in each]
    preprocess = Preprocessor(size=128)
    truth = preprocess(read_mammogram(write_mammogram(name="true.dcm")))
    picture = preprocess(got)
    assert np.abs(picture - truth).mean() < 0.01
    one, other = ((each[0] > 0).any(axis=0).sum() for each in (picture, truth))
    assert abs(one - other) <= 2


def test_absurd_proportions_are_not_believed(write_mammogram):
    got = read_mammogram(write_mammogram(ImagerPixelSpacing=[0.1, 5]))
    assert (got.pixel_aspect, got.spacing_mm) == (1, None)
    assert [each for each in got.warnings if "make no sense" in each]


@pytest.mark.parametrize("spacing", [[100, 100], [1e-9, 1e-9], [100, 200]], ids=str)
def test_an_absurd_spacing_is_no_scale(write_mammogram, spacing):
    got = read_mammogram(write_mammogram(ImagerPixelSpacing=spacing))
    assert (got.pixel_aspect, got.spacing_mm) == (spacing[0] / spacing[1], None)
    assert [each for each in got.warnings if "spacing of pixels makes no sense" in each]
    with pytest.raises(MammogramError, match="does not say how large its pixels are"):
        Preprocessor(mm_per_pixel=0.4)(got)


@pytest.mark.parametrize("ground", [0, 100], ids=["as it is", "a small breast"])
def test_inverted_gray_values_that_the_header_denies_are_warned_of(write_mammogram, breast, ground):
    wider = np.pad(breast, ((ground, ground), (0, ground)))
    got = read_mammogram(write_mammogram((4095 - wider).astype(np.uint16)))
    assert [each for each in got.warnings if "as if the gray values were inverted" in each]
    assert not read_mammogram(write_mammogram(name="true.dcm")).warnings
