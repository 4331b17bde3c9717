"""Files of anybody's own, networks of anybody's own, and what a table says of pictures."""

import dataclasses

import numpy as np
import pytest
from torch import nn

from course_utils.embedding import EmbeddingError, EmbeddingExtractor, EmbeddingStore
from course_utils.imaging import Mammogram, MammogramError, Preprocessor, read_mammogram
from course_utils.records import Facts, Told

PREPROCESSOR = Preprocessor(size=224)


@pytest.fixture(scope="module")
def extractor(lite0):
    return EmbeddingExtractor(lite0, device="cpu")


def from_npy(path):
    """Read what `np.save` wrote; a file without a sound array of gray values is no mammogram."""
    if path.suffix != ".npy":
        raise MammogramError("This is no array.")
    return Mammogram.from_array(np.load(path), view="CC")


def test_a_reader_of_ones_own_gives_the_vectors_of_the_same_pixels(extractor, samples, tmp_path):
    paths = [tmp_path / f"{number}.npy" for number in range(3)]
    for path, sample in zip(paths, samples, strict=False):
        np.save(path, read_mammogram(sample).pixels)
    got = extractor.extract(paths, PREPROCESSOR, reader=from_npy, workers=2)
    theirs = extractor.extract(samples[:3], PREPROCESSOR)
    assert np.abs(got.vectors - theirs.vectors).max() < 1e-4
    assert got.table["view"].tolist() == ["CC"] * 3
    assert got.record.preprocessing["reader"] == "from_npy"


def test_what_a_reader_refuses_breaks_at_or_returns_costs_one_row_each(extractor, samples, tmp_path):
    good, no_array, broken = tmp_path / "a.npy", tmp_path / "secret.txt", tmp_path / "c.npy"
    np.save(good, read_mammogram(samples[0]).pixels)
    no_array.write_text("none")
    broken.write_text("none")
    got = extractor.extract([good, no_array, broken], PREPROCESSOR, reader=from_npy)
    assert len(got.vectors) == 1
    assert got.failures["reason"].tolist() == [
        "This is no array.",
        "This run's reader fails at this file (ValueError).",
    ]
    nothing = extractor.extract([good], PREPROCESSOR, reader=lambda path: None)
    assert "returned no Mammogram" in nothing.failures["reason"][0]


def test_a_reader_of_ones_own_and_a_store_do_not_go_together(extractor, tmp_path):
    with pytest.raises(EmbeddingError, match="store=None"):
        extractor.extract([], PREPROCESSOR, reader=from_npy, store=EmbeddingStore(tmp_path))


@pytest.mark.parametrize("method", ["stream", "extract", "extract_to"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_single_path_in_place_of_a_list_is_an_error_at_once(extractor, samples, tmp_path, method, kind):
    given = (kind(samples[0]), PREPROCESSOR)
    with pytest.raises(TypeError, match="a list of files"):
        getattr(extractor, method)(*((tmp_path, *given) if method == "extract_to" else given))


class Map(nn.Module):
    """Gives a map where a vector is promised."""

    def forward(self, x):
        return x[:, :, :2, :2]


class Short(nn.Module):
    """Gives fewer numbers than promised."""

    def forward(self, x):
        return x.mean((2, 3))


@pytest.mark.parametrize(("module", "shape"), [(Map(), r"\(2, 3, 2, 2\)"), (Short(), r"\(2, 3\)")])
def test_a_network_whose_output_does_not_fit_ends_the_run_at_its_first_batch(lite0, samples, module, shape):
    backbone = dataclasses.replace(lite0, module=module)
    extractor = EmbeddingExtractor(backbone, device="cpu", batch_size=2)
    read = []

    def reader(path):
        read.append(path)
        return read_mammogram(path)

    with pytest.raises(EmbeddingError, match=f"gives {shape} for a batch"):
        extractor.extract(samples, PREPROCESSOR, reader=reader)
    assert len(read) == 2


def test_what_a_table_says_fills_in_what_the_files_do_not_and_is_not_stored(extractor, samples, tmp_path):
    store = EmbeddingStore(tmp_path)
    plain = extractor.extract(samples[:2], PREPROCESSOR, store=store)
    told = [Told(patient_key="pat-x", view="XX", laterality="L"), Told()]
    got = extractor.extract(samples[:2], PREPROCESSOR, store=store, told=told)
    assert got.table.equals(plain.table)  # the files say all of it

    silent = Facts("i", "ab" * 32, None, None, "R", "none", ())
    assert told[0].completed(silent) == dataclasses.replace(silent, patient_key="pat-x", view="XX")
    assert told[1].completed(silent) == silent
