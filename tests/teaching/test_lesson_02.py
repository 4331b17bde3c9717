"""What lesson 02 measures with, held against what is known beforehand."""

import numpy as np
import pytest

from course_utils import phantoms
from course_utils.imaging import Preprocessor
from course_utils.teaching import shortcuts as lesson


@pytest.fixture(scope="module")
def right_breast():
    return lesson.taken(phantoms.Phantom("c", "MLO", "R", seed=3, rows=512))


def test_a_phantom_that_is_taken_comes_with_its_truth(right_breast):
    mammogram, truth = right_breast
    assert mammogram.laterality == "R"
    assert mammogram.pixels.shape == truth.tissue.shape


def test_a_mirror_image_is_the_other_breast(right_breast):
    mirrored = lesson.mirrored(right_breast[0])
    assert mirrored.laterality == "L"
    assert np.array_equal(mirrored.pixels[:, ::-1], right_breast[0].pixels)


def test_otsu_finds_the_threshold_between_two_grays():
    pixels = np.repeat(np.float32([0.1, 0.7]), 50).reshape(10, 10)
    assert 0.1 < lesson.otsu(pixels) + 1 / 255 < 0.7


def test_the_centre_cut_is_that_of_the_recipe_for_photographs():
    top, bottom, left, right = lesson.centre_cut((512, 256))
    assert (bottom - top, right - left) == (224, 224)
    assert (top, left) == (144, 16)


@pytest.mark.parametrize("name", lesson.shortcuts(Preprocessor(size=224)))
def test_each_shortcut_makes_another_square_than_the_right_way(right_breast, name):
    right = Preprocessor(size=224)
    picture = lesson.shortcuts(right)[name](right_breast[0])
    assert picture.shape == (224, 224)
    assert 0 <= picture.min() < picture.max() <= 1 + 1e-6
    assert np.abs(picture - right(right_breast[0])[0]).mean() > 1e-5


def test_mirrored_and_gray_padding_leave_the_breast_as_it_is(right_breast):
    right = Preprocessor(size=64)
    breast = lesson.before_padding(right_breast[0], right)
    for name in ("mirrored padding", "gray padding"):
        picture = lesson.shortcuts(right)[name](right_breast[0])
        assert np.array_equal(picture[:, : breast.shape[1]], breast)


def test_at_one_scale_a_small_breast_is_smaller_than_the_square(right_breast):
    right = Preprocessor(size=224)
    own, scaled = right(right_breast[0])[0], lesson.shortcuts(right)["one scale for all"](right_breast[0])
    assert np.ptp(np.flatnonzero(scaled.any(axis=1))) < np.ptp(np.flatnonzero(own.any(axis=1)))


def test_the_nearest_neighbour_is_looked_for_among_other_women():
    vectors = np.array([[1, 0], [1, 0], [0.9, 0.1], [0, 1]])
    women = np.array(["A", "A", "B", "B"])
    views = np.array(["CC", "MLO", "CC", "MLO"])
    assert lesson.share_of_alike(vectors, views, women) == pytest.approx(0.5)  # B, B, A's first, A's first


def test_women_treated_in_a_way_that_moves_them_far_find_one_another():
    rng = np.random.default_rng(0)
    right = rng.standard_normal((40, 8))
    right[:, 0] = 0
    treated = right + np.eye(8)[0] * 50
    right, treated = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (right, treated))
    women = np.repeat(np.arange(20), 2)
    assert lesson.told_apart(right, treated, women) == 1
    assert 0.3 < lesson.told_apart(right, right, women) < 0.65
