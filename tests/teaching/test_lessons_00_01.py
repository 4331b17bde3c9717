"""Exercises of lessons 00 and 01: other right answers, and wrong ones that once got past."""

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset

from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms, sample_cohort, sample_variants
from course_utils.imaging.grayscale import shown_by_its_breast
from course_utils.imaging.transforms import Window, apply_window
from course_utils.teaching import exercise, grays
from course_utils.teaching.exercises import lesson_01 as lesson


def torch_scale(pixels, bits_stored):
    return torch.from_numpy(pixels.astype(np.float32)) / (2**bits_stored - 1)


def torch_rows(vectors, names):
    return torch.stack([torch.from_numpy(vectors[name]) for name in names])


def torch_window(x, center, width):
    y = torch.as_tensor(x.astype(np.float64))
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    inside = (y - (center - 0.5)) / max(width - 1, 1e-9) + 0.5
    return torch.where(y <= low, 0.0, torch.where(y > high, 1.0, inside))


def torch_turn(stored, bits_stored, padding_value):
    given = torch.as_tensor(stored.astype(np.int64))
    return torch.where(given == padding_value, 0, 2**bits_stored - 1 - given)


def torch_display(stored, slope, intercept, lut, window, low_is_bright):
    return torch.as_tensor(grays.to_display(stored, slope, intercept, lut, window, low_is_bright))


def divides_by_zero(x, center, width):
    """Right all the same: numpy warns, and the two branches outside decide."""
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    inside = (x - (center - 0.5)) / np.float64(width - 1) + 0.5
    return np.where(x <= low, 0, np.where(x > high, 1, inside))


def turns_a_copy(stored, bits_stored, padding_value):
    turned = stored.copy()
    turned[stored == padding_value] = 2**bits_stored - 1
    return 2**bits_stored - 1 - turned


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("00.1", torch_scale),
        ("00.1", grays.to_unit),
        ("00.1", lambda pixels, bits: np.float32(pixels) / np.float32((1 << bits) - 1)),
        ("00.2", torch_rows),
        ("00.2", grays.rows_of),
        ("00.2", lambda vectors, names: np.array([vectors[name] for name in names])),
        ("01.1", lambda header: sorted(lesson._IDENTIFYING, key=str)),
        ("01.1", lambda header: {*lesson._IDENTIFYING, "StudyTime", "InstitutionName"}),
        ("01.2", torch_window),
        ("01.2", grays.linear),
        ("01.2", divides_by_zero),
        ("01.3", torch_turn),
        ("01.3", grays.as_monochrome2),
        ("01.3", turns_a_copy),
        ("01.3", lambda stored, bits, padding: (2**bits - 1 - stored) * (stored != padding)),
        ("01.4", torch_display),
        ("01.4", grays.to_display),
    ],
)
def test_another_right_answer_passes(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


def without_identifiers(header):
    for name in lesson._IDENTIFYING:
        if name in header:
            del header[name]
    return header


def lists_and_deletes(header):
    del header.PatientName
    return list(lesson._IDENTIFYING)


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("00.1", lambda pixels, bits: pixels / pixels.max(), "the picture's own maximum?"),
        ("00.1", lambda pixels, bits: pixels / 2**bits, "becomes 0.9998"),
        ("00.1", lambda pixels, bits: (pixels / 2**bits).astype(int), "or integers asked for too early"),
        ("00.2", lambda vectors, names: np.concatenate([vectors[n] for n in names]), "end to end"),
        ("00.2", lambda vectors, names: np.stack(list(vectors.values())), "and 5 rows came out"),
        ("00.2", lambda vectors, names: np.stack([vectors[n] for n in names[::-1]]), "stand for b, d, c."),
        ("01.1", without_identifiers, "a header came back"),
        ("01.1", lists_and_deletes, "has changed the header"),
        ("01.2", lambda x, c, w: 1.0 * (x >= c - 0.5) if w == 1 else grays.linear(x, c, w), "2047.5 should"),
        ("01.2", lambda x, c, w: apply_window(x * 1.0, Window(c, w, "LINEAR_EXACT")), "LINEAR_EXACT"),
        (
            "01.3",
            lambda s, bits, padding: np.where(turned := 2**bits - 1 - s, turned, 0) * (turned != padding),
            "Note where it is before you turn",
        ),
        (
            "01.3",
            lambda s, bits, padding: (
                grays.as_monochrome2(s, bits, padding) * ((s > padding) | (padding in (0, 2**bits - 1)))
            ),
            "or `<=` where `==` is meant",
        ),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong_with_it(number, answer, says):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text


def test_the_planted_header_is_made_anew_each_time():
    assert isinstance(lesson.planted_header(), Dataset)
    assert lesson.planted_header() is not lesson.planted_header()
    assert lesson.planted_header() == lesson.planted_header()


@pytest.mark.parametrize(("width", "center"), [(4096, 2048), (1, 2048), (100, 0), (1, 0), (1800, 1500)])
def test_the_lessons_own_window_is_that_of_the_standard(width, center):
    x = center - 0.5 + np.linspace(-3000, 3000, 601)
    expected = [lesson._linear_by_the_standard(each, center, width) for each in x]
    assert np.allclose(grays.linear(x, center, width), expected, atol=1e-4)


def variant(name):
    return pydicom.dcmread(
        dict(zip(sample_variants().file, sample_variants().path, strict=True))[f"{name}.dcm"]
    )


@pytest.mark.parametrize("name", ["reference", "sigmoid", "linear_exact", "voi_lut_12", "voi_lut_and_window"])
def test_a_headers_own_voi_shows_what_the_package_shows(name):
    header = variant(name)
    shown = read_mammogram(header.filename).pixels
    assert np.allclose(grays.voi_of(header)(header.pixel_array), shown, atol=1e-5)


def test_a_linear_window_goes_through_the_students_own_and_no_other_does():
    half = lambda x, center, width: torch.full(x.shape, 0.5)  # noqa: E731
    assert (grays.window_of(variant("reference"), half)(np.zeros((2, 2))) == 0.5).all()
    assert (grays.window_of(variant("sigmoid"), half)(np.zeros((2, 2))) != 0.5).all()
    assert isinstance(grays.windowed("LINEAR", 5, 3, half)(np.zeros(2)), np.ndarray)


def test_a_header_without_transforms_has_none():
    header = variant("no_voi")
    assert grays.lut_of(header) is grays.window_of(header) is None
    with pytest.raises(ValueError, match="neither a VOI LUT nor a window"):
        grays.voi_of(header)


def test_one_voi_transform_is_needed():
    with pytest.raises(ValueError, match="a LUT or a window"):
        grays.to_display(np.zeros((2, 2)), 1, 0, None, None, False)


# --- what the two lessons claim of their vectors, asked of the weights that need no network ---


@pytest.fixture(scope="module")
def embedded():
    """The cohort's table, its pictures and vectors, and what embeds more pictures."""
    cohort, preprocess = sample_cohort(), Preprocessor()
    pictures = np.stack([preprocess(read_mammogram(path)) for path in cohort.path])
    embed = EmbeddingExtractor(load_backbone("efficientnet_lite0"), device="cpu").embed
    return cohort, pictures, embed(pictures), embed


def cosines(vectors):
    unit = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return unit @ unit.T


def shared_with_nearest(vectors, labels):
    cosine = cosines(vectors)
    np.fill_diagonal(cosine, -1)
    labels = np.asarray(labels)
    return (labels == labels[cosine.argmax(axis=1)]).mean()


def test_neighbours_share_view_and_density_but_not_the_vendor_until_the_labels_are_sorted(embedded):
    cohort, _, vectors, _ = embedded
    dense = cohort.density.isin(["c", "d"])
    assert shared_with_nearest(vectors, cohort["view"]) > 0.85
    assert shared_with_nearest(vectors, dense) > 0.8
    assert shared_with_nearest(vectors, cohort.density) > 0.4
    assert shared_with_nearest(vectors, cohort.vendor) < 0.4
    assert shared_with_nearest(vectors, cohort.sort_values("thickness_mm")["view"]) < 0.65


def test_with_its_word_ignored_the_archive_falls_in_two(embedded):
    cohort, pictures, vectors, embed = embedded
    negative = (cohort.vendor == "cedar").to_numpy()
    careless = np.where(negative[:, None, None, None], 1 - pictures, pictures)
    assert shared_with_nearest(vectors, negative) < 0.75
    assert shared_with_nearest(embed(careless), negative) > 0.95


def test_lossless_moves_no_vector_and_lossy_moves_it_a_little(embedded):
    _, _, vectors, embed = embedded
    preprocess = Preprocessor()
    path = dict(zip(sample_variants().file, sample_variants().path, strict=True))
    names = ("reference", "rle", "jpeg_ls_near_lossless", "jpeg_2000_lossy")
    shown = [preprocess(read_mammogram(path[f"{name}.dcm"])) for name in names]
    away = 1 - cosines(np.concatenate([embed(np.stack(shown)), vectors]))[0]
    lossless, near, lossy = away[1:4] / away[4:].min()
    assert abs(lossless) < 1e-5
    assert 1e-6 < near < lossy < 0.1


def test_percentiles_are_robust_to_metal_and_yet_each_films_own():
    film_of = real_mammograms().set_index(["case", "laterality", "view"]).path
    grays = []
    for case in ("benign", "malign"):
        values, shown = (read_mammogram(film_of[case, "R", "CC"], voi=v).pixels for v in ("none", "auto"))
        grays.append(shown[np.abs(values - 0.5) < 0.001].mean())
        stored = (4095 * values[::8, ::8]).astype(np.uint16)
        marked = stored.copy()
        marked[20:40, 60:120] = 4095
        assert np.abs(shown_by_its_breast(marked) - shown_by_its_breast(stored))[100:].max() < 0.02
    assert grays[0] - grays[1] > 0.1
