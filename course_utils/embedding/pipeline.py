"""Files become vectors: ordered, a bad file set aside with its reason, resumable (lessons 05 and 06).

Hash, look in the store, read, preprocess, embed in batches, keep: `Pipeline.outcomes` yields one outcome
after another, in the order of the files, and memory does not grow with their number.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_utils.embedding.device import describe_device, keep_freed_memory
from course_utils.embedding.digests import FileDigests
from course_utils.embedding.errors import EmbeddingError
from course_utils.embedding.network import ROUNDING, Network
from course_utils.embedding.store import EmbeddingStore
from course_utils.imaging.dicom import MAX_BYTES, read_mammogram
from course_utils.imaging.errors import MammogramError, TooCoarse
from course_utils.imaging.mammogram import Mammogram
from course_utils.imaging.preprocess import Preprocessor, thumbnail
from course_utils.imaging.wavelet import Read
from course_utils.objects import Place, UnreadableObject, at_hand, place
from course_utils.provenance import RunRecord, command_line, git_commit, machine, now, versions
from course_utils.records import Entry, Facts, Failure, Told

Reader = Callable[[Path], Mammogram]
"""Reads one file; MammogramError where it holds no mammogram."""

LOOK_BACK = 8
"""Batches' worth of outcomes that may wait for a batch to fill up before it is embedded as it is."""


@dataclass
class _Prepared:
    """A picture on its way to the network: an entry that lacks its embedding, until `outcome` is set."""

    picture: np.ndarray
    facts: Facts
    thumbnail: bytes
    outcome: Entry | Failure | None = None


def shelf_config(network: Network, preprocessor: Preprocessor) -> dict[str, Any]:
    """Return everything that changes a vector, except the file: the address of a shelf in the store."""
    return {"preprocessing": preprocessor.fingerprint, **network.identity()}


class Pipeline:
    """The moving parts of one extraction: what is read, what is computed, how long each took."""

    def __init__(
        self,
        network: Network,
        preprocessor: Preprocessor,
        store: EmbeddingStore | None,
        reader: Reader | None = None,
        key: bytes | None = None,
    ):
        if reader is not None and store is not None:
            raise EmbeddingError(
                "a store keeps what read_mammogram reads: with a reader of your own, pass store=None"
            )
        self.network, self.preprocessor, self.reader = network, preprocessor, reader
        self.shelf = store.shelf(shelf_config(network, preprocessor)) if store else None
        self.key = store.key if store else key
        self.digests = FileDigests(store.folder if store else None)
        self.started, self.clock = now(), time.perf_counter()
        self.found = self.computed = self.failed = 0
        self.seconds_reading = self.seconds_embedding = 0.0
        self._in_flight: tuple[list[_Prepared], Tensor] | None = None

    def outcomes(
        self, paths: Sequence[str | Path | Place], workers: int, progress: bool
    ) -> Generator[Entry | Failure]:
        """Yield one outcome per file, in order. Whatever ends this, what was computed is in the store."""
        keep_freed_memory()
        files = [place(path) for path in paths]
        bar = tqdm(total=len(files), unit="image", disable=not (progress and is_watched()))
        with contextlib.closing(self._prepare_all(files, workers)) as prepared, bar:
            try:
                for outcome in self._embed_all(prepared):
                    self.found += 1
                    self.failed += isinstance(outcome, Failure)
                    bar.update()
                    yield outcome
            finally:
                self.digests.save()

    def run(
        self,
        paths: Sequence[str | Path | Place],
        names: Sequence[str],
        add: Callable[[str, Entry | Failure], None],
        workers: int,
        progress: bool,
        told: Sequence[Told] | None = None,
    ) -> RunRecord:
        """Hand each name and its outcome to `add`, in order; return what was done."""
        with contextlib.closing(self.outcomes(paths, workers, progress)) as outcomes:
            for number, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
                if told is not None and isinstance(outcome, Entry):  # never stored: a table may change
                    outcome = replace(outcome, facts=told[number].completed(outcome.facts))
                add(name, outcome)
        return self.record()

    def set_aside(self) -> None:
        """Count one more file, of which it is known beforehand that it fails."""
        self.found += 1
        self.failed += 1

    def record(self) -> RunRecord:
        """Return what was done so far, complete enough to repeat it."""
        network, weights = self.network, self.network.backbone.weights
        preprocessing = {"config": self.preprocessor.config, "fingerprint": self.preprocessor.fingerprint}
        if self.reader is not None:
            preprocessing["reader"] = getattr(self.reader, "__qualname__", type(self.reader).__qualname__)
        embedded = self.found - self.failed
        return RunRecord(
            command=command_line(),
            started=self.started,
            finished=now(),
            git_commit=git_commit(),
            versions=versions(),
            machine=machine(),
            device=describe_device(network.device),
            precision=network.precision,
            engine=network.engine,
            adapter=network.adapter,
            batch_size=network.batch_size,
            deterministic=network.deterministic,
            backbone=network.backbone.label,
            weights=dict(vars(weights)),
            preprocessing=preprocessing,
            seeds={} if weights.seed is None else {"weights": weights.seed},
            counts={
                "found": self.found,
                "embedded": embedded,
                "from_store": embedded - self.computed,
                "computed": self.computed,
                "failed": self.failed,
            },
            timings={
                "read_and_preprocess_s": round(self.seconds_reading, 3),
                "embed_s": round(self.seconds_embedding, 3),
                "total_s": round(time.perf_counter() - self.clock, 3),
            },
        )

    def _prepare_all(
        self, files: Sequence[Path | Place], workers: int
    ) -> Generator[Entry | _Prepared | Failure]:
        """Prepare files in order; with workers, read ahead by a bounded number of pictures."""
        if workers == 0:
            for file in files:
                yield self._timed(self._prepare(file))
            return
        ahead = workers + self.network.batch_size
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
            size = self.network.batch_size
            if len(batch) >= size or (batch and len(window) >= LOOK_BACK * size):
                self._embed(batch)
                batch = []
            yield from _settled(window)
        self._embed(batch)
        self._collect()
        yield from _settled(window)

    def _embed(self, batch: list[_Prepared]) -> None:
        """Start on a batch. A GPU computes it while the next one is read; a CPU is done when this returns."""
        clock = time.perf_counter()
        launched = None
        if batch:
            pictures = torch.from_numpy(np.stack([prepared.picture for prepared in batch]))
            launched = (batch, self.network.launch(pictures))
        self.seconds_embedding += time.perf_counter() - clock
        self._collect()
        self._in_flight = launched
        if self.network.device.type == "cpu":
            self._collect()

    def _collect(self) -> None:
        """Wait for the batch in flight and keep its valid vectors in the store."""
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
                    f"the embedding is not finite in {self.network.precision}: use fp32 or check the weights",
                )
        if self.shelf is not None and entries:
            self.shelf.put(entries)
        self.computed += len(entries)

    def _timed(self, outcome: tuple[Entry | _Prepared | Failure, float]) -> Entry | _Prepared | Failure:
        self.seconds_reading += outcome[1]
        return outcome[0]

    def _read(self, file: Path, read: Read) -> Mammogram:
        if self.reader is None:
            return read_mammogram(file, key=self.key, **self.preprocessor.reading | {"read": read})
        try:
            mammogram = self.reader(file)
        except (MammogramError, OSError):
            raise
        except Exception as error:  # its text may hold a path
            raise MammogramError(f"This run's reader fails at this file ({type(error).__name__}).") from None
        if not isinstance(mammogram, Mammogram):
            raise MammogramError("This run's reader returned no Mammogram for this file.")
        return mammogram

    def _prepare(self, file: Path | Place) -> tuple[Entry | _Prepared | Failure, float]:
        """Look one file up, or read and preprocess it; runs in any thread.

        It raises ObjectError alone: where an object store is out of reach, each file would be a failure.
        """
        clock = time.perf_counter()
        outcome: Entry | _Prepared | Failure
        try:
            with at_hand(file, MAX_BYTES) as here:
                outcome = self._prepare_here(here, self.preprocessor.read, is_ours=here is not file)
        except UnreadableObject as error:
            outcome = Failure("read", str(error))
        return outcome, time.perf_counter() - clock

    def _prepare_here(self, file: Path, read: Read, *, is_ours: bool) -> Entry | _Prepared | Failure:
        """Do so with a file of this machine; a copy of ours is changed by nobody."""
        stage = "read"
        try:
            if file.is_dir():
                raise MammogramError("This folder cannot be opened.")
            digest = self.digests.of(file)
            known = self.shelf.get(digest) if self.shelf is not None else None
            if known is not None:
                return known
            mammogram = self._read(file, read)
            # Else its vector would be kept under the wrong hash.
            if not is_ours and self.digests.of(file) != digest:
                raise MammogramError("This file changed while it was read; run again once it is complete.")
            stage = "preprocess"
            picture = self.preprocessor(mammogram)
            return _why_unusable(picture) or _Prepared(
                picture, Facts.of(mammogram, digest), thumbnail(picture)
            )
        except MammogramError as error:
            if isinstance(error, TooCoarse) and read == "fast":
                return self._prepare_here(file, "full", is_ours=is_ours)
            return Failure(stage, str(error))
        except OSError as error:
            return Failure(stage, f"the file cannot be read: {error.strerror or type(error).__name__}")
        except Exception as error:  # one file must never end a run of ten thousand; its text may hold a path
            return Failure(stage, f"unexpected {type(error).__name__}: this is a bug, please report it")


def _why_unusable(picture: np.ndarray) -> Failure | None:
    if not np.isfinite(picture).all():
        return Failure("preprocess", "the picture holds NaN or infinite values")
    if picture.min() < -ROUNDING or picture.max() > 1 + ROUNDING:
        return Failure("preprocess", "the picture leaves the range [0, 1]: this is a bug, please report it")
    if picture.min() == picture.max():
        return Failure("preprocess", "the picture is constant (zero variance): there is nothing to embed")
    return None


def is_watched() -> bool:
    """Return whether somebody can see a progress bar: in a terminal or a notebook."""
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
