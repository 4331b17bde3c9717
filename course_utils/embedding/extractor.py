"""Files become vectors: batched, in order, a bad file set aside with its reason (lessons 05 and 06).

`EmbeddingExtractor.embed` maps pictures to vectors. The rest does the whole way for a list of files: hash,
look into the store, read, preprocess, embed in batches, keep. `stream` gives one outcome after the other,
`extract` collects them in memory, `extract_to` writes them into a run folder; both say what was done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from course_utils.embedding import adapters
from course_utils.embedding.backbones import Backbone
from course_utils.embedding.device import (
    PRECISIONS,
    Precision,
    check_precision,
    default_batch_size,
    describe_device,
    determinism,
    keep_freed_memory,
    pick_device,
)
from course_utils.embedding.digests import FileDigests
from course_utils.embedding.engines import ENGINES, make_engine
from course_utils.embedding.errors import EmbeddingError
from course_utils.embedding.store import EmbeddingStore
from course_utils.files import as_text
from course_utils.imaging import Mammogram, read_mammogram
from course_utils.imaging.errors import MammogramError
from course_utils.imaging.preprocess import Preprocessor, thumbnail
from course_utils.provenance import (
    RunRecord,
    command_line,
    git_commit,
    machine,
    now,
    versions,
)
from course_utils.records import Entry, Facts, Failure
from course_utils.runs.folder import Extraction, RunFolder, RunInMemory

logger = logging.getLogger(__name__)

ROUNDING = 1e-4  # how far resizing may leave [0, 1]; pixels on another scale miss it by far more
LOOK_BACK = (
    8  # batches' worth of outcomes that may wait for a batch to fill up before it is embedded as it is
)


class EmbeddingExtractor:
    """A backbone made ready for one device: frozen, in evaluation mode, batched.

    Args:
        backbone: from `load_backbone`. It is copied, never changed.
        device: see `pick_device`.
        precision: `"fp32"`; `"bf16"`, or on CUDA `"fp16"`, by asking. Vectors are float32 in any case.
        engine: `"torch"`, or `"openvino"` for CPUs (the extra `fast`), see `engines`.
        adapter: `"replicate"`, one gray channel copied to three; `"folded"`, the same vectors within rounding
            from a first convolution that takes gray and ones (see `adapters.fold`).
        batch_size: images a forward pass; for `"auto"` see `default_batch_size`.
        deterministic: same input, same bits, whatever the order of the files and the size of the last batch.
        fuse: see `make_engine`: faster, equal within rounding. False runs the network as torchvision does.

    Attributes:
        network: the engine's function, from a batch as the adapter made it to vectors, see `engines.Engine`.

    Raises:
        DeviceUnavailable: the device was asked for by name and is not there.
        EmbeddingError: an option is unknown, the device cannot do the precision or the engine, or the network
            cannot be folded.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: str = "auto",
        precision: Precision = "fp32",
        engine: Literal["torch", "openvino"] = "torch",
        adapter: Literal["replicate", "folded"] = "replicate",
        batch_size: int | Literal["auto"] = "auto",
        deterministic: bool = False,
        fuse: bool = True,
    ):
        _check_choice("precision", precision, PRECISIONS)
        _check_choice("engine", engine, ENGINES)
        _check_choice("adapter", adapter, adapters.ADAPTERS)
        self.backbone = backbone
        # OpenVINO computes on a CPU: that is what auto has to mean for it.
        self.device = pick_device("cpu" if (engine, device) == ("openvino", "auto") else device)
        self.precision = precision
        self.engine = engine
        self.adapter = adapter
        self.deterministic = deterministic
        self.fuse = fuse
        self.batch_size = default_batch_size(self.device) if batch_size == "auto" else int(batch_size)
        if self.batch_size < 1:
            raise EmbeddingError(f"batch_size must be 1 or more, got {batch_size}")
        check_precision(self.device, precision)
        keep_freed_memory()
        self.network = make_engine(
            engine, backbone, device=self.device, precision=precision, adapter=adapter, fuse=fuse
        )

    def config(self, preprocessor: Preprocessor) -> dict[str, Any]:
        """Everything that changes a vector, the file apart: the address of a shelf in the store."""
        return {
            "preprocessing": preprocessor.fingerprint,
            "backbone": self.backbone.name,
            "embedding_dim": self.backbone.embedding_dim,
            "weights": self.backbone.weights.sha256,
            "adapter": self.adapter,
            "precision": self.precision,
            "engine": self.engine,
            "fuse": self.fuse,
        }

    def embed(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Pictures to vectors, in batches.

        Args:
            images: `(N, 1, H, H)` float32 in `[0, 1]`; resized (bilinear, antialiased) to the input size.

        Returns:
            `(N, D)` float32, row i from image i, whatever the batch size.

        Raises:
            EmbeddingError: wrong shape, values outside `[0, 1]`, or not finite.
        """
        if isinstance(images, np.ndarray):
            images = torch.from_numpy(np.ascontiguousarray(images, np.float32))
        pictures = images.to(torch.float32)
        if pictures.ndim != 4 or pictures.shape[1] != 1 or pictures.shape[2] != pictures.shape[3]:
            raise EmbeddingError(
                f"images must be (N, 1, H, H), one gray channel and square, got {tuple(pictures.shape)}"
            )
        if len(pictures) and not (pictures.min() >= -ROUNDING and pictures.max() <= 1 + ROUNDING):
            raise EmbeddingError(
                f"pixels must be finite and in [0, 1], got {pictures.min():g} to {pictures.max():g}: "
                "scale by the fixed range of the stored values (Preprocessor does)"
            )
        vectors = [np.empty((0, self.backbone.embedding_dim), np.float32)]
        for start in range(0, len(pictures), self.batch_size):
            vectors.append(self._launch(pictures[start : start + self.batch_size]).cpu().numpy())
        return np.concatenate(vectors)

    def stream(
        self,
        paths: Sequence[str | Path],
        preprocessor: Preprocessor,
        *,
        store: EmbeddingStore | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> Generator[Entry | Failure]:
        """One outcome a file, in the order of `paths`; memory does not grow with their number.

        Files are read ahead of the network, at most a batch and `workers` of them. Close the generator to
        stop: what was computed is in the store.

        Args:
            paths: the files.
            preprocessor: makes the picture; its `voi` says how each file is rendered.
            store: embeddings found in it are not computed again; new ones are kept in it batch by batch.
            workers: threads that read ahead; 0 reads in this thread. Threads suffice, since the decoders let
                go of Python's lock.
            progress: a progress bar, where there is a terminal or a notebook to show it.
        """
        return _Run(self, preprocessor, store).outcomes(paths, workers, progress)

    def extract(
        self,
        paths: Sequence[str | Path],
        preprocessor: Preprocessor,
        *,
        names: Sequence[str] | None = None,
        store: EmbeddingStore | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> Extraction:
        """Files to vectors in memory: rows in the order of `paths`, a failure row a file that cannot be used.

        Args:
            paths, preprocessor, store, workers, progress: as for `stream`.
            names: what the column `file` says of each; by default the path below the common folder.
        """
        names = _names(paths, names)
        run = _Run(self, preprocessor, store)
        results = RunInMemory(self.backbone.embedding_dim)
        for name, outcome in zip(names, run.outcomes(paths, workers, progress), strict=True):
            results.add(name, outcome)
        return results.finish(run.record())

    def extract_to(
        self,
        folder: str | Path,
        paths: Sequence[str | Path],
        preprocessor: Preprocessor,
        *,
        names: Sequence[str] | None = None,
        store: EmbeddingStore | None = None,
        workers: int = 0,
        progress: bool = True,
    ) -> RunRecord:
        """Files to vectors in a run folder (see `RunFolder`), written as they come: for a whole archive.

        The arguments are those of `extract`, the files those of `Extraction.write`.
        """
        names = _names(paths, names)
        run = _Run(self, preprocessor, store)
        with (
            RunFolder(folder, self.backbone.embedding_dim) as results,
            contextlib.closing(run.outcomes(paths, workers, progress)) as outcomes,
        ):
            for name, outcome in zip(names, outcomes, strict=True):
                results.add(name, outcome)
            record = run.record()
            results.finish(record)
        return record

    def _launch(self, pictures: Tensor) -> Tensor:
        """Pictures `(n, 1, H, H)` to vectors `(n, D)` on the device, which may still be computing them.

        Where the device's memory runs out, batches are halved from here on.
        """
        vectors: list[Tensor] = []
        waiting = pictures
        while len(waiting):
            batch = waiting[: self.batch_size]
            try:
                with determinism(self.deterministic):
                    vectors.append(self.network(self._input(self._filled(batch)))[: len(batch)])
            except torch.OutOfMemoryError as error:
                if self.batch_size == 1:
                    raise EmbeddingError(
                        "not even one image fits into the device's memory: choose cpu"
                    ) from error
                self.batch_size //= 2
                logger.warning("Out of memory: going on with batches of %d", self.batch_size)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
            else:
                waiting = waiting[len(batch) :]
        return torch.cat(vectors)

    def _filled(self, batch: Tensor) -> Tensor:
        """In deterministic mode a whole batch: a kernel may sum in another order for another batch size."""
        missing = self.batch_size - len(batch)
        if not self.deterministic or missing == 0:
            return batch
        return torch.cat([batch, batch.new_zeros((missing, *batch.shape[1:]))])

    def _input(self, pictures: Tensor) -> Tensor:
        size = self.backbone.input_size
        if self.device.type == "cuda":
            pictures = pictures.pin_memory().to(self.device, non_blocking=True)
        if pictures.shape[-1] != size:
            pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
        if self.adapter == "folded":
            return adapters.with_ones(pictures)
        return adapters.replicate(pictures, self.backbone.mean, self.backbone.std)


@dataclass
class _Prepared:
    """A picture on its way to the network: an entry that lacks its embedding, until `outcome` is set."""

    picture: np.ndarray
    facts: Facts
    thumbnail: bytes
    outcome: Entry | Failure | None = None


class _Run:
    """The moving parts of one extraction: what is read, what is computed, how long each took."""

    def __init__(
        self, extractor: EmbeddingExtractor, preprocessor: Preprocessor, store: EmbeddingStore | None
    ):
        self.extractor, self.preprocessor = extractor, preprocessor
        self.shelf = store.shelf(extractor.config(preprocessor)) if store else None
        self.key = store.key if store else None
        self.digests = FileDigests(store.folder if store else None)
        self.started, self.clock = now(), time.perf_counter()
        self.found = self.computed = self.failed = 0
        self.seconds_reading = self.seconds_embedding = 0.0
        self._in_flight: tuple[list[_Prepared], Tensor] | None = None

    def outcomes(
        self, paths: Sequence[str | Path], workers: int, progress: bool
    ) -> Generator[Entry | Failure]:
        """One outcome a file, in order. Whatever ends this, what was computed is in the store."""
        files = [Path(path) for path in paths]
        bar = tqdm(total=len(files), unit="image", disable=not (progress and _is_watched()))
        with contextlib.closing(self._prepare_all(files, workers)) as prepared, bar:
            try:
                for outcome in self._embed_all(prepared):
                    self.found += 1
                    self.failed += isinstance(outcome, Failure)
                    bar.update()
                    yield outcome
            finally:
                self.digests.save()

    def record(self) -> RunRecord:
        """What was done so far, complete enough to repeat it."""
        extractor = self.extractor
        return RunRecord(
            command=command_line(),
            started=self.started,
            finished=now(),
            git_commit=git_commit(),
            versions=versions(),
            machine=machine(),
            device=describe_device(extractor.device),
            precision=extractor.precision,
            engine=extractor.engine,
            adapter=extractor.adapter,
            batch_size=extractor.batch_size,
            deterministic=extractor.deterministic,
            backbone=extractor.backbone.name,
            weights=dict(vars(extractor.backbone.weights)),
            preprocessing={
                "config": self.preprocessor.config,
                "fingerprint": self.preprocessor.fingerprint,
            },
            seeds={}
            if extractor.backbone.weights.seed is None
            else {"weights": extractor.backbone.weights.seed},
            counts={
                "found": self.found,
                "embedded": self.found - self.failed,
                "from_store": self.found - self.failed - self.computed,
                "computed": self.computed,
                "failed": self.failed,
            },
            timings={
                "read_and_preprocess_s": round(self.seconds_reading, 3),
                "embed_s": round(self.seconds_embedding, 3),
                "total_s": round(time.perf_counter() - self.clock, 3),
            },
        )

    def _prepare_all(self, files: Sequence[Path], workers: int) -> Generator[Entry | _Prepared | Failure]:
        """Prepare files in order; with workers, read ahead by a bounded number of pictures."""
        if workers == 0:
            for file in files:
                yield self._timed(self._prepare(file))
            return
        ahead = workers + self.extractor.batch_size
        waiting: deque[Future[tuple[Entry | _Prepared | Failure, float]]] = deque()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="read")
        try:
            for file in files:
                waiting.append(pool.submit(self._prepare, file))
                if len(waiting) > ahead:
                    yield self._timed(waiting.popleft().result())
            while waiting:
                yield self._timed(waiting.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)

    def _embed_all(self, prepared: Iterator[Entry | _Prepared | Failure]) -> Generator[Entry | Failure]:
        """Embed pictures in batches; yield each outcome as soon as all before it are known."""
        window: deque[Entry | _Prepared | Failure] = deque()
        batch: list[_Prepared] = []
        for item in prepared:
            window.append(item)
            if isinstance(item, _Prepared):
                batch.append(item)
            size = self.extractor.batch_size
            if len(batch) >= size or (batch and len(window) >= LOOK_BACK * size):
                self._embed(batch)
                batch = []
            yield from _settled(window)
        self._embed(batch)
        self._land()
        yield from _settled(window)

    def _embed(self, batch: list[_Prepared]) -> None:
        """Start on a batch. A GPU computes it while the next one is read; a CPU is done when this returns."""
        clock = time.perf_counter()
        launched = None
        if batch:
            pictures = torch.from_numpy(np.stack([prepared.picture for prepared in batch]))
            launched = (batch, self.extractor._launch(pictures))
        self.seconds_embedding += time.perf_counter() - clock
        self._land()
        self._in_flight = launched
        if self.extractor.device.type == "cpu":
            self._land()

    def _land(self) -> None:
        """Wait for the batch in flight and keep what came out well in the store."""
        if self._in_flight is None:
            return
        (batch, on_device), self._in_flight = self._in_flight, None
        clock = time.perf_counter()
        vectors = on_device.cpu().numpy()
        self.seconds_embedding += time.perf_counter() - clock
        entries = []
        for prepared, vector in zip(batch, vectors, strict=True):
            if np.isfinite(vector).all():
                prepared.outcome = Entry(prepared.facts, prepared.thumbnail, vector)
                entries.append(prepared.outcome)
            else:
                prepared.outcome = Failure(
                    "embed",
                    f"the embedding is not finite in {self.extractor.precision}: use fp32, check the weights",
                )
        if self.shelf is not None and entries:
            self.shelf.put(entries)
        self.computed += len(entries)

    def _timed(self, outcome: tuple[Entry | _Prepared | Failure, float]) -> Entry | _Prepared | Failure:
        self.seconds_reading += outcome[1]
        return outcome[0]

    def _prepare(self, file: Path) -> tuple[Entry | _Prepared | Failure, float]:
        """Look one file up, or read and preprocess it; runs in any thread and raises nothing."""
        clock = time.perf_counter()
        stage = "read"
        outcome: Entry | _Prepared | Failure
        try:
            if file.is_dir():
                raise MammogramError("This folder cannot be opened.")
            digest = self.digests.of(file)
            known = self.shelf.get(digest) if self.shelf is not None else None
            if known is not None:
                return known, time.perf_counter() - clock
            mammogram = read_mammogram(file, voi=self.preprocessor.voi, key=self.key)
            stage = "preprocess"
            picture = self.preprocessor(mammogram)
            outcome = _why_unusable(picture) or _Prepared(
                picture, _facts(mammogram, digest), thumbnail(picture)
            )
        except MammogramError as error:
            outcome = Failure(stage, str(error))
        except OSError as error:
            outcome = Failure(stage, f"the file cannot be read: {error.strerror or type(error).__name__}")
        except Exception as error:  # one file must never end a run of ten thousand; its text may hold a path
            outcome = Failure(stage, f"unexpected {type(error).__name__}: this is a bug, please report it")
        return outcome, time.perf_counter() - clock


def _facts(mammogram: Mammogram, sha256: str) -> Facts:
    """Return what a mammogram says of itself: each fact has its name there, the hash of its file apart."""
    names = [each.name for each in fields(Facts) if each.name != "sha256"]
    return Facts(sha256=sha256, **{name: getattr(mammogram, name) for name in names})


def _why_unusable(picture: np.ndarray) -> Failure | None:
    if not np.isfinite(picture).all():
        return Failure("preprocess", "the picture holds NaN or infinite values")
    if picture.min() < -ROUNDING or picture.max() > 1 + ROUNDING:
        return Failure("preprocess", "the picture leaves the range [0, 1]: this is a bug, please report it")
    if picture.min() == picture.max():
        return Failure("preprocess", "the picture is constant (zero variance): there is nothing to embed")
    return None


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise EmbeddingError(f"{option} {value!r} is unknown: choose {' or '.join(choices)}")


def _is_watched() -> bool:
    """Whether somebody can see a progress bar: a terminal or a notebook."""
    ipython = sys.modules.get("IPython")
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return terminal or (ipython is not None and ipython.get_ipython() is not None)


def _settled(window: deque[Entry | _Prepared | Failure]) -> Generator[Entry | Failure]:
    """Take outcomes from the front of the window, up to the first picture that waits for its embedding."""
    while window:
        first = window[0]
        outcome = first.outcome if isinstance(first, _Prepared) else first
        if outcome is None:
            return
        window.popleft()
        yield outcome


def _names(paths: Sequence[str | Path], given: Sequence[str] | None) -> Sequence[str]:
    """The names given; else each file below the folder that all of them share, never an absolute path."""
    if given is not None:
        if len(given) != len(paths):
            raise EmbeddingError(f"{len(paths)} paths need as many names, got {len(given)}")
        return given
    if not paths:
        return []
    files = [Path(path).absolute() for path in paths]
    shared = Path(os.path.commonpath([file.parent for file in files]))
    return [as_text(file.relative_to(shared).as_posix()) for file in files]
