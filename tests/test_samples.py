import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from course_utils.imaging.phantoms import Phantom

ROOT = Path(__file__).resolve().parent.parent
COHORT = ROOT / "data_samples" / "cohort"
MANIFEST = pd.read_csv(COHORT / "manifest.csv")

sys.path.insert(0, str(ROOT / "tools"))
import samples  # noqa: E402


def _phantom(row):
    fields = (
        "density",
        "view",
        "laterality",
        "thickness_mm",
        "vendor",
        "label",
        "seed",
        "nuisance_seed",
        "rows",
    )
    return Phantom(**{name: row[name] for name in fields}, woman=row["woman"])


def test_the_manifest_lists_every_file_and_its_hash():
    assert sorted(MANIFEST.file) == sorted(p.name for p in COHORT.glob("*.dcm"))
    assert len(MANIFEST) == 24
    for row in MANIFEST.itertuples():
        assert hashlib.sha256((COHORT / row.file).read_bytes()).hexdigest() == row.sha256, row.file


def test_the_samples_stay_small():
    size = sum(p.stat().st_size for p in (ROOT / "data_samples").rglob("*") if p.is_file())
    assert size < 8_000_000


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


@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy (package dicom3tools) is not installed"
)
def test_dciodvfy_finds_no_error_in_any_file():
    for path in sorted(COHORT.glob("*.dcm")):
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        assert "MammographyImageForPresentation" in lines, path.name  # it did read the file
        assert not [line for line in lines if line.startswith("Error")], path.name


def test_the_readme_names_every_file_and_every_column():
    text = (ROOT / "data_samples" / "README.md").read_text(encoding="utf-8")
    assert samples.table(MANIFEST) in text
    for column in MANIFEST.columns:
        assert f"`{column}`" in text
    assert "CC BY 4.0" in text
    assert "CC BY 4.0" in (ROOT / "data_samples" / "LICENSE").read_text(encoding="utf-8")


def test_the_check_names_a_file_that_was_altered_or_lost_or_is_nobodys(tmp_path):
    built, shipped = tmp_path / "built", tmp_path / "shipped"
    for folder in (built, shipped):
        (folder / "cohort").mkdir(parents=True)
        for name in ("same", "altered", "lost"):
            (folder / "cohort" / name).write_bytes(b"1")
    (shipped / "cohort" / "altered").write_bytes(b"2")
    (shipped / "cohort" / "lost").unlink()
    (shipped / "cohort" / "stray").write_bytes(b"3")
    assert [line.split(":")[0] for line in samples.differences(built, shipped)] == [
        "cohort/lost",
        "cohort/stray",
        "cohort/altered",
    ]
