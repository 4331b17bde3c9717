import dataclasses
import logging
import shutil
import sqlite3

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from course_utils.embedding import (
    Backbone,
    EmbeddingError,
    EmbeddingExtractor,
    EmbeddingStore,
    Extraction,
    Weights,
    device,
    digests,
    load_backbone,
    network,
    pipeline,
)
from course_utils.embedding.digests import FileDigests
from course_utils.embedding.pipeline import LOOK_BACK
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.provenance import fingerprint
from course_utils.records import Failure
from course_utils.runs import folder

PREPROCESSOR = Preprocessor(size=224)


def _close(one, other, tolerance=1e-5):
    """Equal within `tolerance`, relative to the largest value of each vector."""
    return (np.abs(one - other).max(axis=1) <= tolerance * np.abs(other).max(axis=1)).all()


@pytest.fixture(scope="module")
def extractor(lite0):
    return EmbeddingExtractor(lite0, device="cpu")


@pytest.fixture(scope="module")
def plain(extractor, real):
    return extractor.extract(real, PREPROCESSOR)


@pytest.fixture(scope="module")
def real_pictures(real):
    return np.stack([PREPROCESSOR(read_mammogram(path)) for path in real])


def _watched(extractor, note):
    """The extractor, which calls `note` with each batch before its network sees it."""
    forward = extractor.forward

    def watched(images):
        note(images)
        return forward(images)

    extractor.forward = watched
    return extractor


def _noting(calls, method):
    """The method, which notes what it is called with."""
    return lambda self, what: calls.append(what) or method(self, what)


def _counting(extractor):
    """The extractor, and a list that grows by the size of each batch that its network sees."""
    seen = []
    return _watched(extractor, lambda images: seen.append(len(images))), seen


def test_eight_real_mammograms_give_eight_finite_rows_in_the_order_of_the_paths(plain, real):
    assert plain.vectors.shape == (8, 1280)
    assert plain.vectors.dtype == np.float32
    assert np.isfinite(plain.vectors).all()
    assert list(plain.table["file"]) == [f"{path.parent.name}/{path.name}" for path in real]
    assert plain.failures.empty


def test_the_same_files_twice_give_the_same_bytes(plain, extractor, real):
    assert extractor.extract(real, PREPROCESSOR).vectors.tobytes() == plain.vectors.tobytes()


def test_shuffled_files_give_shuffled_rows(plain, extractor, real):
    order = np.random.default_rng(1).permutation(8)
    shuffled = extractor.extract([real[i] for i in order], PREPROCESSOR)
    assert _close(shuffled.vectors, plain.vectors[order])
    assert list(shuffled.table["sha256"]) == list(plain.table["sha256"].iloc[order])


def test_batch_size_changes_no_vector_of_a_real_mammogram(plain, lite0, real_pictures):
    for batch_size in (1, 3, 8):
        other = EmbeddingExtractor(lite0, device="cpu", batch_size=batch_size)
        assert _close(other.embed(real_pictures), plain.vectors)


def test_batch_size_changes_no_vector_of_resnet50(real_pictures):
    network = load_backbone("resnet50", weights="random", seed=4)
    expected, *others = (
        EmbeddingExtractor(network, device="cpu", batch_size=size).embed(real_pictures) for size in (8, 1, 3)
    )
    assert all(_close(other, expected) for other in others)


def test_deterministic_mode_gives_the_same_bits_whatever_the_order_and_the_last_batch(lite0):
    extractor = EmbeddingExtractor(lite0, device="cpu", batch_size=3, deterministic=True)
    pictures = np.random.default_rng(0).random((7, 1, 224, 224), np.float32)
    expected = extractor.embed(pictures)
    assert np.array_equal(extractor.embed(pictures[::-1]), expected[::-1])
    assert np.array_equal(extractor.embed(pictures[:1]), expected[:1])


def test_threads_that_read_ahead_change_nothing(plain, extractor, real):
    threaded = extractor.extract(real, PREPROCESSOR, workers=3)
    assert np.array_equal(threaded.vectors, plain.vectors)
    assert list(threaded.table["file"]) == list(plain.table["file"])


def test_bad_files_among_good_ones_cost_one_row_each(extractor, samples, tmp_path):
    bad = tmp_path / "bad.dcm"
    bad.write_text("no picture here")
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(samples[0].read_bytes()[:5000])
    files = [samples[0], bad, samples[1], tmp_path / "missing.dcm", cut, samples[2]]
    for workers in (0, 2):
        mixed = extractor.extract(files, PREPROCESSOR, names=list("abcdef"), workers=workers)
        assert list(mixed.table["file"]) == ["a", "c", "f"]
        assert list(mixed.failures["file"]) == ["b", "d", "e"]
        assert set(mixed.failures["stage"]) == {"read"}
        assert mixed.failures["reason"].str.len().gt(10).all()
        assert not mixed.failures["reason"].str.contains(str(tmp_path), regex=False).any()
        good = extractor.extract([samples[0], samples[1], samples[2]], PREPROCESSOR)
        assert _close(mixed.vectors, good.vectors)


def test_an_unforeseen_error_in_one_file_costs_that_file_only(extractor, samples, monkeypatch):
    original = Preprocessor.__call__

    def failing(self, mammogram):
        if mammogram.view == "MLO":
            raise IndexError("/somewhere/secret")
        return original(self, mammogram)

    monkeypatch.setattr(Preprocessor, "__call__", failing)
    mixed = extractor.extract(samples[:4], PREPROCESSOR)
    assert len(mixed.vectors) == len(mixed.failures) == 2
    assert set(mixed.failures["stage"]) == {"preprocess"}
    assert not mixed.failures["reason"].str.contains("secret").any()


class _NanForDark(nn.Module):
    """Gives NaN for dark pictures, their mean otherwise; as wide as Lite0."""

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        return torch.where(mean < mean.median(), torch.nan, mean)[:, None].expand(-1, 1280)


def test_an_embedding_with_nan_is_a_failure_and_its_neighbours_are_kept(lite0, samples, tmp_path):
    broken = EmbeddingExtractor(dataclasses.replace(lite0, module=_NanForDark()), device="cpu")
    store = EmbeddingStore(tmp_path)
    mixed = broken.extract(samples[:5], PREPROCESSOR, store=store)
    assert len(mixed.vectors) == 3
    assert list(mixed.failures["stage"]) == ["embed", "embed"]
    assert mixed.failures["reason"].str.contains("not finite in fp32").all()
    assert broken.extract(samples[:5], PREPROCESSOR, store=store).record.counts["from_store"] == 3


class _Small(nn.Module):
    """A device that holds two pictures, in the words of torch."""

    def forward(self, x):
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.mean(dim=(1, 2, 3))[:, None].expand(-1, 1280)


def test_out_of_memory_halves_the_batch_goes_on_and_says_so(lite0, caplog):
    extractor = EmbeddingExtractor(dataclasses.replace(lite0, module=_Small()), device="cpu", batch_size=8)
    pictures = np.random.default_rng(0).random((7, 1, 224, 224), np.float32)
    with caplog.at_level(logging.WARNING):
        vectors = extractor.embed(pictures)
    one_by_one = np.concatenate([extractor.embed(pictures[i : i + 1]) for i in range(7)])
    assert np.allclose(vectors, one_by_one)
    assert extractor.batch_size == 2
    assert "batches of 2" in caplog.text


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 8, 8)), "one gray channel"),
        (np.zeros((1, 8, 8)), "one gray channel"),
        (np.zeros((1, 1, 8, 9)), "square"),
        (np.full((1, 1, 8, 8), 255.0), r"in \[0, 1\], got 255 to 255"),
        (np.full((1, 1, 8, 8), -0.5), r"in \[0, 1\]"),
        (np.full((1, 1, 8, 8), np.nan), "finite"),
    ],
)
def test_pictures_that_are_no_pictures_are_refused(extractor, images, message):
    with pytest.raises(EmbeddingError, match=message):
        extractor.embed(images)


def test_names_that_do_not_match_the_paths_are_refused_before_anything_is_read(extractor, samples, tmp_path):
    for run in (extractor.extract, lambda *given, **more: extractor.extract_to(tmp_path, *given, **more)):
        with pytest.raises(EmbeddingError, match="2 paths need as many names, got 1"):
            run(samples[:2], PREPROCESSOR, names=["a"])


def test_no_pictures_give_no_rows(extractor):
    assert extractor.embed(np.empty((0, 1, 224, 224), np.float32)).shape == (0, 1280)
    nothing = extractor.extract([], PREPROCESSOR)
    assert nothing.vectors.shape == (0, 1280)
    assert nothing.table.empty


@pytest.mark.parametrize(
    "option", [{"precision": "int8"}, {"engine": "tpu"}, {"adapter": "colour"}, {"batch_size": 0}]
)
def test_an_unknown_option_is_refused(lite0, option):
    with pytest.raises(EmbeddingError):
        EmbeddingExtractor(lite0, device="cpu", **option)


def test_the_backbone_itself_is_never_changed(lite0):
    before = {key: value.clone() for key, value in lite0.module.state_dict().items()}
    EmbeddingExtractor(lite0, device="cpu", precision="bf16")
    after = lite0.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_bf16_is_near_fp32_and_not_equal(extractor, lite0):
    pictures = np.random.default_rng(0).random((2, 1, 224, 224), np.float32)
    exact = extractor.embed(pictures)
    rough = EmbeddingExtractor(lite0, device="cpu", precision="bf16").embed(pictures)
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, exact)
    assert np.corrcoef(rough.ravel(), exact.ravel())[0, 1] > 0.99


class TestFolded:
    @pytest.mark.parametrize("fuse", [True, False])
    @pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0"])
    def test_a_folded_network_gives_the_vectors_of_the_replicated_one(self, name, fuse, lite0, real_pictures):
        backbone = lite0 if name == "efficientnet_lite0" else load_backbone(name, weights="random", seed=4)
        replicated, folded = (
            EmbeddingExtractor(backbone, device="cpu", fuse=fuse, adapter=adapter).embed(real_pictures)
            for adapter in ("replicate", "folded")
        )
        assert _close(folded, replicated)
        assert not np.array_equal(folded, replicated)

    def test_the_network_gets_gray_and_ones(self, lite0):
        seen = []
        extractor = _watched(EmbeddingExtractor(lite0, device="cpu", adapter="folded"), seen.append)
        pictures = np.random.default_rng(0).random((2, 1, 224, 224), np.float32)
        extractor.embed(pictures)
        assert seen[0].shape == (2, 2, 224, 224)
        assert np.array_equal(seen[0][:, 0], pictures[:, 0])
        assert (seen[0][:, 1] == 1).all()

    def test_bf16_is_as_near_to_fp32_as_with_replicated_channels(self, extractor, lite0, real_pictures):
        def nearness(adapter):
            rough = EmbeddingExtractor(lite0, device="cpu", precision="bf16", adapter=adapter)
            one, other = (v - v.mean(axis=0) for v in (rough.embed(real_pictures), exact))
            lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
            return ((one * other).sum(axis=1) / lengths).min()

        exact = extractor.embed(real_pictures)
        assert 0.95 < nearness("folded") < 1
        assert abs(nearness("folded") - nearness("replicate")) < 0.02

    def test_deterministic_mode_gives_the_same_bits_whatever_the_order_and_the_last_batch(self, lite0):
        options = {"device": "cpu", "batch_size": 3, "deterministic": True, "adapter": "folded"}
        extractor = EmbeddingExtractor(lite0, **options)
        pictures = np.random.default_rng(0).random((7, 1, 224, 224), np.float32)
        expected = extractor.embed(pictures)
        assert np.array_equal(extractor.embed(pictures[::-1]), expected[::-1])
        assert np.array_equal(EmbeddingExtractor(lite0, **options).embed(pictures[:1]), expected[:1])

    def test_a_folded_run_takes_no_vector_from_a_replicated_one(self, lite0, samples, tmp_path):
        store = EmbeddingStore(tmp_path / "store")
        replicated, folded = (
            EmbeddingExtractor(lite0, device="cpu", adapter=adapter) for adapter in ("replicate", "folded")
        )
        shelves = {store.shelf(one.config(PREPROCESSOR)).folder for one in (replicated, folded)}
        first, second, third = (
            one.extract(samples[:2], PREPROCESSOR, store=store) for one in (replicated, folded, folded)
        )
        assert len(shelves) == 2
        assert [run.record.counts["computed"] for run in (first, second, third)] == [2, 2, 0]
        assert [run.record.adapter for run in (first, second)] == ["replicate", "folded"]
        assert third.vectors.tobytes() == second.vectors.tobytes() != first.vectors.tobytes()

    def test_a_network_that_cannot_be_folded_is_refused_before_any_picture_is_read(self, lite0):
        other = dataclasses.replace(lite0, module=nn.Sequential(nn.Flatten(), nn.Linear(3, 1280)))
        EmbeddingExtractor(other, device="cpu")
        with pytest.raises(EmbeddingError, match="cannot be folded"):
            EmbeddingExtractor(other, device="cpu", adapter="folded")


class TestStore:
    @pytest.fixture
    def store(self, tmp_path):
        return EmbeddingStore(tmp_path / "store")

    def test_a_second_run_computes_nothing_and_gives_the_same_bytes(self, lite0, samples, store):
        extractor, seen = _counting(EmbeddingExtractor(lite0, device="cpu"))
        first = extractor.extract(samples, PREPROCESSOR, store=store)
        assert sum(seen) == len(samples)
        seen.clear()
        second = extractor.extract(samples, PREPROCESSOR, store=store)
        assert seen == []
        assert second.record.counts["from_store"] == len(samples)
        assert second.vectors.tobytes() == first.vectors.tobytes()
        assert second.thumbnails == first.thumbnails
        pd.testing.assert_frame_equal(second.table, first.table)

    def test_a_changed_file_is_computed_again_and_no_other(self, lite0, samples, store, tmp_path):
        copies = [shutil.copy(path, tmp_path / path.name) for path in samples[:4]]
        extractor, seen = _counting(EmbeddingExtractor(lite0, device="cpu"))
        extractor.extract(copies, PREPROCESSOR, store=store)
        seen.clear()
        shutil.copy(samples[7], copies[2])
        assert extractor.extract(copies, PREPROCESSOR, store=store).record.counts["computed"] == 1
        assert sum(seen) == 1

    def test_a_renamed_file_is_found(self, extractor, samples, store, tmp_path):
        extractor.extract(samples[:2], PREPROCESSOR, store=store)
        renamed = shutil.copy(samples[0], tmp_path / "renamed.dcm")
        assert extractor.extract([renamed], PREPROCESSOR, store=store).record.counts["from_store"] == 1

    def test_a_change_in_preprocessing_weights_or_precision_misses(self, lite0, samples, store):
        def computed(backbone, preprocessor, **options):
            extractor = EmbeddingExtractor(backbone, device="cpu", **options)
            return extractor.extract(samples[:2], preprocessor, store=store).record.counts["computed"]

        other_weights = load_backbone("efficientnet_lite0", weights="random")
        assert computed(lite0, PREPROCESSOR) == 2
        assert computed(lite0, Preprocessor(size=256)) == 2
        assert computed(lite0, Preprocessor(size=224, voi="percentile")) == 2
        assert computed(other_weights, PREPROCESSOR) == 2
        assert computed(lite0, PREPROCESSOR, precision="bf16") == 2
        assert computed(lite0, PREPROCESSOR, fuse=False) == 2
        assert computed(lite0, PREPROCESSOR, batch_size=1) == 0

    def test_each_batch_is_on_disk_before_the_next_one_starts(self, lite0, samples, store):
        extractor = EmbeddingExtractor(lite0, device="cpu", batch_size=4)
        kept = []
        _watched(extractor, lambda _: kept.append(len(store.shelf(extractor.config(PREPROCESSOR)))))
        extractor.extract(samples[:12], PREPROCESSOR, store=store)
        assert kept == [0, 4, 8]

    def test_a_run_that_is_stopped_keeps_every_batch_it_computed(self, lite0, samples, store):
        extractor, seen = _counting(EmbeddingExtractor(lite0, device="cpu", batch_size=4))
        outcomes = extractor.stream(samples[:12], PREPROCESSOR, store=store, workers=2)
        for _ in range(5):
            next(outcomes)
        outcomes.close()
        assert sum(seen) == 8
        assert extractor.extract(samples[:12], PREPROCESSOR, store=store).record.counts["from_store"] == 8


class TestStream:
    def test_outcomes_come_in_the_order_of_the_paths_whatever_fails(self, extractor, samples, tmp_path):
        missing = tmp_path / "missing.dcm"
        files = [missing, *samples[:9], missing, samples[0]]
        outcomes = list(extractor.stream(files, PREPROCESSOR, workers=2))
        assert [isinstance(outcome, Failure) for outcome in outcomes] == [file == missing for file in files]
        expected = extractor.extract(samples[:9], PREPROCESSOR).table["sha256"]
        assert [outcome.facts.sha256 for outcome in outcomes[1:10]] == list(expected)

    def test_no_more_pictures_are_read_ahead_than_a_batch_and_the_workers(self, lite0, samples, monkeypatch):
        read = []
        monkeypatch.setattr(Preprocessor, "__call__", _noting(read, Preprocessor.__call__))
        extractor = EmbeddingExtractor(lite0, device="cpu", batch_size=2)
        outcomes = extractor.stream(samples[:20], PREPROCESSOR, workers=3)
        next(outcomes)
        assert len(read) <= 2 * 2 + 3 + 1
        outcomes.close()

    def test_one_new_picture_among_many_known_ones_does_not_hold_them_all_back(
        self, lite0, samples, tmp_path, monkeypatch
    ):
        store = EmbeddingStore(tmp_path / "store")
        extractor, seen = _counting(EmbeddingExtractor(lite0, device="cpu", batch_size=2))
        extractor.extract(samples[1:2], PREPROCESSOR, store=store)
        seen.clear()
        paths = [samples[0], *[samples[1]] * 100]
        asked = []
        monkeypatch.setattr(FileDigests, "of", _noting(asked, FileDigests.of))
        outcomes = extractor.stream(paths, PREPROCESSOR, store=store)
        next(outcomes)
        assert seen == [1]
        assert len(asked) <= 2 * LOOK_BACK + 1  # the new picture: its hash before and after it is read
        outcomes.close()

    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_run_folder_written_on_the_way_is_the_one_written_at_the_end(
        self, extractor, samples, tmp_path, workers, monkeypatch
    ):
        monkeypatch.setattr(folder, "ROWS_AT_ONCE", 3)
        files = [*samples[:5], tmp_path / "missing.dcm", *samples[5:8]]
        whole = extractor.extract(files, PREPROCESSOR)
        record = extractor.extract_to(tmp_path / "out", files, PREPROCESSOR, workers=workers)
        written = Extraction.read(tmp_path / "out")
        assert np.array_equal(written.vectors, whole.vectors)
        pd.testing.assert_frame_equal(written.table, whole.table)
        pd.testing.assert_frame_equal(written.failures, whole.failures)
        assert written.thumbnails == whole.thumbnails
        assert written.record == record
        assert record.counts == whole.record.counts
        assert not list((tmp_path / "out").glob("*.tmp"))

    def test_an_interrupted_run_leaves_the_results_of_the_one_before(self, lite0, samples, tmp_path):
        extractor = EmbeddingExtractor(lite0, device="cpu", batch_size=2)
        extractor.extract_to(tmp_path, samples[:3], PREPROCESSOR)
        before = Extraction.read(tmp_path)

        def interrupt(_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _watched(extractor, interrupt).extract_to(tmp_path, samples, PREPROCESSOR, workers=2)
        assert Extraction.read(tmp_path).record == before.record
        assert not list(tmp_path.glob("*.tmp"))


class TestWriting:
    def test_what_is_written_is_read_back(self, plain, tmp_path):
        again = Extraction.read(plain.write(tmp_path / "out"))
        assert np.array_equal(again.vectors, plain.vectors)
        pd.testing.assert_frame_equal(again.table, plain.table)
        assert again.failures.empty
        assert again.record == plain.record
        assert again.thumbnails == plain.thumbnails

    def test_an_empty_run_can_be_written(self, extractor, tmp_path):
        bad = tmp_path / "bad.dcm"
        bad.write_text("x")
        run = extractor.extract([bad], PREPROCESSOR)
        assert len(Extraction.read(run.write(tmp_path / "out")).failures) == 1

    def test_a_disk_that_is_full_when_digests_are_saved_costs_a_warning(
        self, lite0, samples, tmp_path, monkeypatch, caplog
    ):
        def full(*_, **__):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(sqlite3, "connect", full)
        store = EmbeddingStore(tmp_path / "store")
        record = EmbeddingExtractor(lite0, device="cpu").extract_to(
            tmp_path / "out", samples[:2], PREPROCESSOR, store=store
        )
        assert Extraction.read(tmp_path / "out").record == record
        assert "disk is full" in caplog.text


class TestChange:
    """A file may change between the look at its hash and the look at its pixels."""

    @pytest.fixture
    def changing(self, samples, tmp_path, monkeypatch):
        """A file that becomes another mammogram just before its pixels are read; what is done to it first."""
        file = tmp_path / "a.dcm"
        shutil.copyfile(samples[0], file)
        honest = pipeline.read_mammogram

        def change(path, **options):
            if file == path and samples[0].read_bytes() == file.read_bytes():
                file.write_bytes(samples[1].read_bytes())
            return honest(path, **options)

        monkeypatch.setattr(pipeline, "read_mammogram", change)
        return file

    @pytest.mark.parametrize("settled", [True, False])
    def test_it_costs_one_row_and_poisons_no_store(
        self, extractor, samples, changing, tmp_path, settled, monkeypatch
    ):
        if settled:  # written long ago, so that its hash is remembered before it changes
            monkeypatch.setattr(digests, "SETTLED_NS", -(10**18))
        store = EmbeddingStore(tmp_path / "store")
        run = extractor.extract([changing, samples[2]], PREPROCESSOR, store=store)
        assert list(run.failures["reason"]) == [
            "This file changed while it was read; run again once it is complete."
        ]
        monkeypatch.undo()
        fresh = extractor.extract(samples[:2], PREPROCESSOR)
        later = extractor.extract([samples[0], changing], PREPROCESSOR, store=store)
        assert _close(later.vectors, fresh.vectors)
        assert later.record.counts["computed"] == 2


class TestKey:
    """What a shelf is found by holds everything that can change a vector."""

    @pytest.mark.parametrize(
        "change",
        [
            {"input_size": 192},
            {"mean": (0.5, 0.5, 0.5)},
            {"std": (0.2, 0.2, 0.2)},
            {"module": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Identity())},
        ],
    )
    def test_another_backbone_of_the_same_name_is_another_key(self, change):
        pooled = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Identity())
        weights = Weights("w", "here", "none", True, sha256="the same for all")
        backbone = Backbone("mine", 3, 224, pooled, (0.0,) * 3, (1.0,) * 3, weights)
        one, other = (
            EmbeddingExtractor(each, device="cpu", fuse=False).config(PREPROCESSOR)
            for each in (backbone, dataclasses.replace(backbone, **change))
        )
        assert fingerprint(one) != fingerprint(other)

    def test_deterministic_mode_and_interpolation_are_in_the_key(self, lite0, extractor):
        keys = [extractor.config(PREPROCESSOR)]
        keys.append(EmbeddingExtractor(lite0, device="cpu", deterministic=True).config(PREPROCESSOR))
        bicubic = dataclasses.replace(lite0, interpolation="bicubic")
        keys.append(EmbeddingExtractor(bicubic, device="cpu").config(PREPROCESSOR))
        assert len({fingerprint(key) for key in keys}) == 3

    def test_weights_that_were_changed_in_place_are_other_weights(self, samples, tmp_path):
        backbone = load_backbone("efficientnet_lite0", weights="random")
        store = EmbeddingStore(tmp_path)
        before = EmbeddingExtractor(backbone, device="cpu")
        before.extract(samples[:1], PREPROCESSOR, store=store)
        next(backbone.module.parameters()).data += 0.1
        after = EmbeddingExtractor(backbone, device="cpu")
        assert after.extract(samples[:1], PREPROCESSOR, store=store).record.counts["computed"] == 1
        assert before.extract(samples[:1], PREPROCESSOR, store=store).record.counts["computed"] == 0


def test_making_an_extractor_and_embedding_change_no_setting_of_the_process(lite0, samples, monkeypatch):
    called = []
    for module in (device, pipeline, network):
        monkeypatch.setattr(module, "keep_freed_memory", lambda: called.append(1), raising=False)
    extractor = EmbeddingExtractor(lite0, device="cpu")
    extractor.embed(np.zeros((1, 1, 224, 224), np.float32))
    assert not called
    extractor.extract(samples[:1], PREPROCESSOR)
    assert called


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.mark.gpu
@needs_gpu
def test_cuda_agrees_with_the_cpu(lite0):
    pictures = np.random.default_rng(0).random((8, 1, 512, 512), np.float32)
    expected = EmbeddingExtractor(lite0, device="cpu").embed(pictures)
    extractor = EmbeddingExtractor(lite0, device="cuda", deterministic=True)
    assert _close(extractor.embed(pictures), expected, 1e-3)
    assert np.array_equal(extractor.embed(pictures), extractor.embed(pictures))


@pytest.mark.gpu
@needs_gpu
def test_half_precision_on_cuda_is_near_fp32(lite0):
    pictures = np.random.default_rng(0).random((4, 1, 224, 224), np.float32)
    expected = EmbeddingExtractor(lite0, device="cuda").embed(pictures)
    for precision in ("bf16", "fp16"):
        rough = EmbeddingExtractor(lite0, device="cuda", precision=precision).embed(pictures)
        assert np.corrcoef(rough.ravel(), expected.ravel())[0, 1] > 0.99
