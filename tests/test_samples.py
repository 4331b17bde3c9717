import hashlib
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from needs import needs, needs_pyjpegls

from course_utils.imaging.datasets import sample_run
from course_utils.imaging.errors import MammogramError
from course_utils.phantoms import Phantom
from course_utils.runs import Extraction

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "data_samples"
COHORT = SAMPLES / "cohort"
MANIFEST = pd.read_csv(COHORT / "manifest.csv")
VARIANTS = pd.read_csv(SAMPLES / "variants" / "manifest.csv", keep_default_na=False)

sys.path.insert(0, str(ROOT / "tools"))
import samples  # noqa: E402
import variants  # noqa: E402
import vector_cohort  # noqa: E402


def _phantom(row):
    return Phantom(**{field.name: row[field.name] for field in fields(Phantom) if field.name in row})


@pytest.mark.parametrize("folder", samples.FOLDERS)
def test_the_manifest_lists_every_file_and_its_hash(folder):
    manifest = pd.read_csv(SAMPLES / folder / "manifest.csv")
    assert sorted([*manifest.file, "manifest.csv"]) == sorted(p.name for p in (SAMPLES / folder).iterdir())
    for row in manifest.itertuples():
        data = (SAMPLES / folder / row.file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row.sha256, row.file


def test_the_cohort_has_twenty_four_files():
    assert len(MANIFEST) == 24


def test_the_manifest_names_every_recipe_and_a_sentence_about_it():
    assert list(VARIANTS.file) == [f"{recipe.name}.dcm" for recipe in variants.VARIANTS]
    broken = pd.read_csv(SAMPLES / "broken" / "manifest.csv")
    assert list(broken.file) == [recipe.name for recipe in variants.BROKEN]
    for sentence in [*VARIANTS.what, *broken.what, *broken.reason]:
        assert sentence.endswith(".")
    assert VARIANTS.what.is_unique
    assert broken.what.is_unique


def test_the_samples_stay_small():
    sizes = {
        folder.name: sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        for folder in SAMPLES.iterdir()
    }
    assert sizes["variants"] + sizes["broken"] < 12_000_000
    assert sum(sizes.values()) < 18_000_000


def test_density_is_crossed_with_vendor_and_balanced_over_view_side_and_label():
    assert (pd.crosstab(MANIFEST.density, MANIFEST.vendor) == 2).all(axis=None)
    for nuisance in ("view", "laterality", "label"):
        assert (pd.crosstab(MANIFEST.density, MANIFEST[nuisance]) == 3).all(axis=None), nuisance
    assert (pd.crosstab(MANIFEST["view"], MANIFEST.laterality) == 6).all(axis=None)
    assert (MANIFEST.groupby("woman").file.count() == 2).all()
    assert np.ptp(MANIFEST.groupby("density").thickness_mm.mean()) < 6


def test_the_headers_say_what_the_manifest_says():
    for row in MANIFEST.itertuples():
        ds = pydicom.dcmread(COHORT / row.file, stop_before_pixels=True)
        assert (ds.ViewPosition, ds.ImageLaterality, ds.Rows, ds.Columns) == (
            row.view,
            row.laterality,
            row.rows,
            row.columns,
        )
        assert str(ds.PatientName) == f"Phantom^{row.woman}"
        assert float(ds.BodyPartThickness) == row.thickness_mm
        assert ds.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless


@pytest.mark.parametrize("index", [0, 9, 22])
def test_a_shipped_file_is_what_its_seed_gives(index, tmp_path):
    row = MANIFEST.iloc[index]
    truth = _phantom(row).write(tmp_path / "again.dcm")
    shipped = pydicom.dcmread(COHORT / row.file)
    stored = shipped.pixel_array
    pixels = 4095 - stored if shipped.PhotometricInterpretation == "MONOCHROME1" else stored
    assert np.array_equal(pixels, truth.pixels)
    assert (tmp_path / "again.dcm").read_bytes() == (COHORT / row.file).read_bytes()
    assert truth.volumetric_fraction == pytest.approx(row.volumetric_fraction, abs=1e-4)
    assert truth.area_density == pytest.approx(row.area_density, abs=1e-4)


@pytest.mark.parametrize(
    ("cohort", "rows"),
    [
        ("discovery", [0, 3]),
        ("replication", [1, 6]),
        pytest.param("discovery", range(240), marks=pytest.mark.slow),
        pytest.param("replication", range(384), marks=pytest.mark.slow),
    ],
    ids=["discovery", "replication", "all of discovery", "all of replication"],
)
def test_the_vectors_of_a_larger_cohort_are_what_its_seeds_give(cohort, rows, tmp_path):
    shipped = Extraction.read(sample_run(cohort))
    truth = pd.read_csv(sample_run(cohort) / "manifest.csv").iloc[list(rows)]
    paths = [tmp_path / file for file in truth.file]
    for row, path in zip(truth.itertuples(), paths, strict=True):
        _phantom(row._asdict()).write(path)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
    assert truth.sha256.tolist() == shipped.table.sha256.iloc[list(rows)].tolist()
    again = vector_cohort.embed(paths)
    assert vector_cohort.same_vectors(again.vectors, shipped.vectors[list(rows)])
    neighbours = np.roll(shipped.vectors, -1, axis=0)[list(rows)]
    assert not vector_cohort.same_vectors(again.vectors, neighbours)


@pytest.mark.parametrize(("cohort", "women"), [("discovery", 60), ("replication", 96)])
def test_a_larger_cohort_has_four_images_of_each_woman_with_density_crossed_with_vendor(cohort, women):
    truth = pd.read_csv(sample_run(cohort) / "manifest.csv")
    shipped = Extraction.read(sample_run(cohort))
    assert shipped.vectors.shape == (4 * women, 1280)
    assert shipped.table.file.tolist() == truth.file.tolist()
    assert (truth.groupby("woman")[["view", "laterality"]].nunique() == 2).all(axis=None)
    assert (pd.crosstab(truth.density, truth.vendor) == women / 3).all(axis=None)
    assert shipped.record.weights["id"]
    assert shipped.failures.empty


def test_no_image_is_in_both_larger_cohorts_and_another_name_is_refused():
    one, other = (
        set(Extraction.read(sample_run(name)).table.sha256) for name in ("discovery", "replication")
    )
    assert not one & other
    with pytest.raises(MammogramError, match="no cohort 'vectors': available are discovery and replication"):
        sample_run("vectors")


@needs_pyjpegls
def test_variants_and_broken_files_are_what_their_recipes_give(tmp_path):
    scratch, built = tmp_path / "scratch", tmp_path / "built"
    scratch.mkdir()
    source = variants.source(scratch)
    for name, write in (("variants", variants.write_variants), ("broken", variants.write_broken)):
        (built / name).mkdir(parents=True)
        write(built / name, source)
    wrong, _ = samples.differences(built, SAMPLES)
    assert wrong == []


def errors_of(path):
    """Return the lines of `dciodvfy` about errors in a file, and its answer to what the file is."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith("Error")], lines


@needs("dciodvfy")
def test_dciodvfy_finds_no_error_in_any_file_of_the_cohort():
    for path in sorted(COHORT.glob("*.dcm")):
        errors, lines = errors_of(path)
        assert "MammographyImageForPresentation" in lines, path.name  # it did read the file
        assert errors == [], path.name


NOT_ASKED = {
    "more_bits_in_the_stream.dcm",  # it looks into no stream
    "label_of_another_encoding.dcm",  # it believes the label
    "no_preamble.dcm",  # it does without
    "synthetic_2d.dcm",  # an object of tomosynthesis, which needs much more
}
"""Variants of which dciodvfy is no judge, and why."""


@needs("dciodvfy")
@pytest.mark.parametrize(
    "row", [row for row in VARIANTS.itertuples() if row.file not in NOT_ASKED], ids=lambda row: row.file
)
def test_dciodvfy_finds_no_error_in_a_variant_that_the_standard_allows(row, tmp_path):
    path = SAMPLES / "variants" / row.file
    if row.file.startswith("htj2k"):  # dciodvfy is older than HTJ2K: it is told that this is JPEG 2000
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000
        path = tmp_path / row.file
        ds.save_as(path)
    errors, lines = errors_of(path)
    assert {"MammographyImageForPresentation", "MammographyImageForProcessing", "SCImage"} & set(lines)
    assert (errors == []) == row.conformant, errors


def test_the_readme_names_every_file_and_every_column():
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert samples.with_tables(text, SAMPLES) == text
    for folder in samples.FOLDERS:
        manifest = pd.read_csv(SAMPLES / folder / "manifest.csv")
        for name in [*manifest.columns, *manifest.file]:
            assert f"`{name}`" in text
    assert "CC BY 4.0" in text
    assert "CC BY 4.0" in (SAMPLES / "LICENSE").read_text(encoding="utf-8")


def two_folders(tmp_path, *names):
    """Return two folders of samples that hold the same files of ``variants/``."""
    folders = tmp_path / "built", tmp_path / "shipped"
    for folder in folders:
        (folder / "variants").mkdir(parents=True)
        for name in names:
            shutil.copy(SAMPLES / "variants" / name, folder / "variants" / name)
    return folders


def test_the_check_names_a_file_that_was_altered_or_lost_or_is_nobodys(tmp_path):
    built, shipped = two_folders(tmp_path, "reference.dcm", "rle.dcm", "manifest.csv")
    data = bytearray((shipped / "variants" / "reference.dcm").read_bytes())
    data[-1] ^= 1
    (shipped / "variants" / "reference.dcm").write_bytes(data)
    (shipped / "variants" / "rle.dcm").unlink()
    (shipped / "variants" / "stray").write_bytes(b"3")
    wrong, packed = samples.differences(built, shipped)
    assert [line.split(":")[0] for line in wrong] == [
        "variants/rle.dcm",
        "variants/stray",
        "variants/reference.dcm",
    ]
    assert packed == []


def test_the_check_forgives_another_version_of_an_encoder_but_no_other_pixels(tmp_path):
    built, shipped = two_folders(tmp_path, "jpeg_lossless.dcm", "rle.dcm", "manifest.csv")
    path = shipped / "variants" / "jpeg_lossless.dcm"
    ours = hashlib.sha256(path.read_bytes()).hexdigest()
    ds = pydicom.dcmread(path)
    stream = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = pydicom.encaps.encapsulate(
        [stream], fragments_per_frame=2
    )  # the same values, packed otherwise
    ds.save_as(path)
    manifest = shipped / "variants" / "manifest.csv"
    theirs = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_bytes(manifest.read_bytes().replace(ours.encode(), theirs.encode()))
    wrong, packed = samples.differences(built, shipped)
    assert wrong == []
    assert [line.split(":")[0] for line in packed] == ["variants/jpeg_lossless.dcm"]

    path = shipped / "variants" / "rle.dcm"
    ds = pydicom.dcmread(path)
    pixels = ds.pixel_array.copy()
    pixels[100, 100] ^= 1
    ds.compress(pydicom.uid.RLELossless, pixels, encoding_plugin="pydicom", generate_instance_uid=False)
    ds.save_as(path)
    wrong, _ = samples.differences(built, shipped)
    assert [line.split(":")[0] for line in wrong] == ["variants/rle.dcm"]
