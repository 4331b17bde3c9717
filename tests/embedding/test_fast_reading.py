"""Files read at a fraction of their size: nearly the same vectors, kept apart from others, and recorded."""

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless

from course_utils import cli
from course_utils.embedding import EmbeddingExtractor, EmbeddingStore
from course_utils.imaging import Mammogram, Preprocessor, read_mammogram
from course_utils.phantoms import Phantom

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import encoders

FULL, FAST = Preprocessor(size=128), Preprocessor(size=128, read="fast")


@pytest.fixture(scope="module")
def extractor(lite0):
    return EmbeddingExtractor(lite0, device="cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three phantoms in JPEG 2000, the last with a breast that is too small in its image for fast reading."""
    folder = tmp_path_factory.mktemp("archive")
    for number, density in enumerate("bcd"):
        path = folder / f"{number}.dcm"
        Phantom(density=density, rows=640, seed=number).write(path, compress=False)
        ds = pydicom.dcmread(path)
        if number == 2:
            small = np.full((ds.Rows, ds.Columns), ds.pixel_array.min(), np.uint16)
            half = ds.pixel_array[::2, ::2]
            left = 0 if ds.pixel_array[:, 0].mean() > ds.pixel_array[:, -1].mean() else -half.shape[1]
            small[160 : 160 + len(half), left : left + half.shape[1] or None] = half
            ds.PixelData = small.tobytes()
        encoders.compress(ds, JPEG2000Lossless)
        ds.save_as(path)
    return sorted(folder.glob("*.dcm"))


@pytest.fixture(scope="module")
def runs(extractor, files):
    """The same files read in full and fast."""
    return [extractor.extract(files, each, workers=2, progress=False) for each in (FULL, FAST)]


def test_vectors_of_fast_reading_point_the_way_of_full_reading(runs, files):
    full, fast = runs
    assert [read_mammogram(file, **FAST.reading).reduction for file in files] == [2, 2, 2]
    assert len(fast.failures) == 0
    a, b = (run.vectors - full.vectors.mean(axis=0) for run in runs)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert (cosine > 0.95).all()
    assert (np.abs(full.vectors - fast.vectors).max(axis=1)[:2] > 0).all(), "nothing was read fast"


def test_a_breast_too_small_for_it_is_read_again_in_full(runs):
    full, fast = runs
    np.testing.assert_allclose(fast.vectors[2], full.vectors[2], atol=1e-5)


def test_the_record_says_how_files_were_read_and_full_reading_adds_nothing_to_it(runs):
    full, fast = (run.record.preprocessing for run in runs)
    assert fast["config"] == {**full["config"], "read": "fast"}
    assert "read" not in full["config"]
    assert full["fingerprint"] != fast["fingerprint"]


def test_a_store_keeps_the_two_apart(extractor, files, tmp_path):
    store = EmbeddingStore(tmp_path)
    computed = [
        extractor.extract(files[:2], each, store=store, progress=False).record.counts["computed"]
        for each in (FULL, FAST, FULL, FAST)
    ]
    assert computed == [2, 2, 0, 0]


def test_a_reader_whose_pictures_are_too_coarse_costs_one_row(extractor, files):
    def coarse(path):
        pixels = read_mammogram(path).pixels[::4, ::4]
        return Mammogram(pixels.copy(), "img-0", None, "CC", "L", None, "none", reduction=4)

    got = extractor.extract(files[:1], FAST, reader=coarse, progress=False)
    assert "too small in its image to be read fast" in got.failures["reason"][0]


def test_the_command_line_reads_fast_and_the_run_says_so(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = str(files[0].parent)
    small = ["--size", "128", "--workers", "0"]
    assert cli.main(["embed", folder, "-o", "fast", "--read", "fast", "--no-cache", *small]) == 0
    assert cli.main(["preprocess", folder, "-o", "seen", "--read", "fast", *small]) == 0
    for run in ("fast", "seen"):
        record = json.loads(Path(run, "run.json").read_text(encoding="utf-8"))
        assert record["preprocessing"]["config"]["read"] == "fast"
    with pytest.raises(SystemExit):
        cli.main(["embed", folder, "-o", "other", "--read", "quick"])
    assert "invalid choice: 'quick'" in capsys.readouterr().err
