"""Files become vectors: batched, in order, a bad file set aside with its reason (lessons 05 and 06).

`EmbeddingExtractor.embed` maps pictures to vectors. `EmbeddingExtractor.extract` does the whole way for a
list of files: hash, look into the store, read, preprocess, embed in batches, keep, and say what was done.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from course_utils import DISCLAIMER
from course_utils.embedding import adapters
from course_utils.embedding.backbones import Backbone, fuse_conv_bn
from course_utils.embedding.device import (
    PRECISIONS,
    Precision,
    autocast,
    default_batch_size,
    describe_device,
    determinism,
    keep_freed_memory,
    pick_device,
)
from course_utils.embedding.errors import EmbeddingError
from course_utils.embedding.store import EmbeddingStore, Entry, Shelf, write_parquet
from course_utils.imaging.dicom import open_file, read_mammogram
from course_utils.imaging.errors import MammogramError
from course_utils.imaging.preprocess import Preprocessor, thumbnail
from course_utils.provenance import (
    RunRecord,
    as_text,
    command_line,
    git_commit,
    machine,
    now,
    versions,
    write_whole,
)

logger = logging.getLogger(__name__)

ENGINES = ("torch",)
ROUNDING = 1e-4  # how far resizing may leave [0, 1]; pixels on another scale miss it by far more
FAILURE_COLUMNS = ["file", "stage", "reason"]
TABLE_COLUMNS = ["image_id", "file", "sha256", "patient_key", "view", "laterality", "voi", "warnings"]


@dataclass(frozen=True)
class Failure:
    """Why one file gave no vector: the stage (`read`, `preprocess` or `embed`) and a sentence."""

    stage: str
    reason: str


@dataclass(frozen=True)
class Extraction:
    """What came of a list of files.

    Attributes:
        vectors: `(N, D)` float32, one row an image that could be embedded, in the order of the paths.
        table: N rows in the same order: image_id, file, sha256, patient_key, view, laterality, voi, warnings.
        failures: one row a file that could not: file, stage, reason.
        record: what was run, on what, with what.
        thumbnails: N PNG pictures of what the network saw.
    """

    vectors: np.ndarray
    table: pd.DataFrame
    failures: pd.DataFrame
    record: RunRecord
    thumbnails: list[bytes]

    def write(self, folder: str | Path) -> Path:
        """Write `embeddings.parquet`, `thumbnails.parquet`, `failures.csv` and `run.json` into `folder`.

        The last holds the provenance of the others, so it is written last. Returns the folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # Without it, what lies here is no finished run: it must never stand beside tables of another one.
        (folder / "run.json").unlink(missing_ok=True)
        note = {"disclaimer": DISCLAIMER}
        identity = pa.table({name: pa.array(self.table[name], pa.string()) for name in TABLE_COLUMNS[:6]})
        flat = pa.array(np.ascontiguousarray(self.vectors).reshape(-1))
        embedding = pa.FixedSizeListArray.from_arrays(flat, self.vectors.shape[1])
        write_parquet(
            identity.append_column("embedding", embedding).replace_schema_metadata(note),
            folder / "embeddings.parquet",
        )
        pictures = pa.table(
            {
                "image_id": pa.array(self.table["image_id"], pa.string()),
                "voi": pa.array(self.table["voi"], pa.string()),
                "warnings": pa.array([list(row) for row in self.table["warnings"]], pa.list_(pa.string())),
                "thumbnail": pa.array(self.thumbnails, pa.binary()),
            }
        )
        write_parquet(pictures.replace_schema_metadata(note), folder / "thumbnails.parquet")
        write_whole(folder / "failures.csv", self.failures.to_csv(index=False).encode())
        write_whole(folder / "DISCLAIMER.txt", (DISCLAIMER + "\n").encode())
        self.record.write(folder / "run.json")
        return folder

    @classmethod
    def read(cls, folder: str | Path) -> Extraction:
        """Read what `write` wrote. Raises EmbeddingError where the folder holds no finished run."""
        folder = Path(folder)
        try:
            embeddings = pq.read_table(folder / "embeddings.parquet")
            pictures = pq.read_table(folder / "thumbnails.parquet")
            failures = pd.read_csv(folder / "failures.csv", dtype=str, keep_default_na=False)
            record = RunRecord.read(folder / "run.json")
            lists = embeddings["embedding"].combine_chunks()
            vectors = lists.values.to_numpy().reshape(len(lists), lists.type.list_size)
            rows = embeddings.drop_columns("embedding").to_pylist()
            notes = pictures.select(["voi", "warnings"]).to_pylist()
            table = _as_table([{**row, **note} for row, note in zip(rows, notes, strict=True)])
            return cls(vectors, table, failures, record, pictures["thumbnail"].to_pylist())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
            raise EmbeddingError(
                f"{folder.name} holds no finished run: make one with course embed INPUT -o {folder.name}"
            ) from error


class EmbeddingExtractor:
    """A backbone made ready for one device: frozen, in evaluation mode, batched.

    Args:
        backbone: from `load_backbone`. It is copied, never changed.
        device: see `pick_device`.
        precision: `"fp32"`; `"bf16"` or `"fp16"` by automatic mixed precision, where the device has it.
        engine: `"torch"`.
        adapter: `"replicate"`, one gray channel copied to three; `"folded"`, the same vectors within rounding
            from a first convolution that takes gray and ones (see `adapters.fold`).
        batch_size: images a forward pass; `"auto"` is 8 on a CPU.
        deterministic: same input, same bits, whatever the order of the files and the size of the last batch.
        fuse: fold batch normalisation into the convolutions and use channels-last memory: faster, equal
            within rounding. False runs the network exactly as torchvision does.

    Raises:
        DeviceUnavailable: the device was asked for by name and is not there.
        EmbeddingError: an option is unknown, the device cannot do the precision, or the network cannot be
            folded.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: str = "auto",
        precision: Precision = "fp32",
        engine: Literal["torch"] = "torch",
        adapter: Literal["replicate", "folded"] = "replicate",
        batch_size: int | Literal["auto"] = "auto",
        deterministic: bool = False,
        fuse: bool = True,
    ):
        _check_choice("precision", precision, PRECISIONS)
        _check_choice("engine", engine, ENGINES)
        _check_choice("adapter", adapter, adapters.ADAPTERS)
        self.backbone = backbone
        self.device = pick_device(device)
        self.precision = precision
        self.engine = engine
        self.adapter = adapter
        self.deterministic = deterministic
        self.fuse = fuse
        self.batch_size = default_batch_size(self.device) if batch_size == "auto" else int(batch_size)
        if self.batch_size < 1:
            raise EmbeddingError(f"batch_size must be 1 or more, got {batch_size}")
        with autocast(self.device, precision):
            pass  # says now, not in the middle of a run, that the device cannot do this precision
        self._module = copy.deepcopy(backbone.module).eval().requires_grad_(False)
        self._memory_format = torch.channels_last if fuse else torch.contiguous_format
        if fuse:
            fuse_conv_bn(self._module)
        if adapter == "folded":
            self._module = adapters.fold(self._module, backbone.mean, backbone.std)
        self._module = self._module.to(self.device).to(memory_format=self._memory_format)
        keep_freed_memory()

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
        start = 0
        with determinism(self.deterministic):
            while start < len(pictures):
                done = self._forward(pictures[start : start + self.batch_size])
                vectors.append(done)
                start += len(done)
        return np.concatenate(vectors)

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
        """Files to vectors: rows in the order of `paths`, one failure row a file that cannot be used.

        Args:
            paths: the files.
            preprocessor: makes the picture; its `voi` says how each file is rendered.
            names: what the column `file` says of each; by default the path below the common folder.
            store: embeddings found in it are not computed again; new ones are kept in it batch by batch.
            workers: threads that read ahead; 0 reads in this thread.
            progress: a progress bar, where there is a terminal or a notebook to show it.
        """
        started, clock = now(), time.perf_counter()
        files = [Path(path) for path in paths]
        shelf = store.shelf(self.config(preprocessor)) if store else None
        run = _Run(self, shelf, preprocessor, store.key if store else None)
        results: dict[int, Entry | Failure] = {}
        bar = tqdm(total=len(files), unit="image", disable=not (progress and _is_watched()))
        with contextlib.closing(run.prepare_all(files, workers)) as prepared, bar:
            batch: list[tuple[int, _Prepared]] = []
            for index, item in enumerate(prepared):
                if isinstance(item, _Prepared):
                    batch.append((index, item))
                else:
                    results[index] = item
                    bar.update()
                if len(batch) >= self.batch_size or (batch and index == len(files) - 1):
                    results.update(run.embed_batch(batch))
                    bar.update(len(batch))
                    batch = []
        if shelf is not None:
            shelf.compact()
        names = _names(files) if names is None else list(names)
        entries = [(names[i], results[i]) for i in range(len(files))]
        rows = [(name, entry) for name, entry in entries if isinstance(entry, Entry)]
        failed = [(name, entry) for name, entry in entries if isinstance(entry, Failure)]
        vectors = np.array([entry.embedding for _, entry in rows], np.float32)
        record = RunRecord(
            command=command_line(),
            started=started,
            finished=now(),
            git_commit=git_commit(),
            versions=versions(),
            machine=machine(),
            device=describe_device(self.device),
            precision=self.precision,
            engine=self.engine,
            adapter=self.adapter,
            batch_size=self.batch_size,
            deterministic=self.deterministic,
            backbone=self.backbone.name,
            weights=dict(vars(self.backbone.weights)),
            preprocessing={"config": preprocessor.config, "fingerprint": preprocessor.fingerprint},
            seeds={} if self.backbone.weights.seed is None else {"weights": self.backbone.weights.seed},
            counts={
                "found": len(files),
                "embedded": len(rows),
                "from_store": len(rows) - run.computed,
                "computed": run.computed,
                "failed": len(failed),
            },
            timings={
                "read_and_preprocess_s": round(run.seconds_reading, 3),
                "embed_s": round(run.seconds_embedding, 3),
                "total_s": round(time.perf_counter() - clock, 3),
            },
        )
        return Extraction(
            vectors.reshape(len(rows), self.backbone.embedding_dim),
            _as_table([{**vars(entry), "file": name} for name, entry in rows]),
            pd.DataFrame([(name, e.stage, e.reason) for name, e in failed], columns=FAILURE_COLUMNS),
            record,
            [entry.thumbnail for _, entry in rows],
        )

    def _forward(self, pictures: Tensor) -> np.ndarray:
        """One forward pass, `(n, 1, H, H)` to `(n, D)`; fewer rows where memory ran out, batches shrank."""
        count = len(pictures)
        if self.deterministic and count < self.batch_size:
            # A kernel may sum in another order for another batch size: fill the batch, drop the filling.
            filling = pictures.new_zeros((self.batch_size - count, *pictures.shape[1:]))
            pictures = torch.cat([pictures, filling])
        try:
            with torch.inference_mode(), autocast(self.device, self.precision):
                return self._module(self._input(pictures)).float().cpu().numpy()[:count]
        except torch.OutOfMemoryError as error:
            if self.batch_size == 1:
                raise EmbeddingError(
                    "not even one image fits into the device's memory: choose cpu"
                ) from error
            self.batch_size //= 2
            logger.warning("Out of memory: going on with batches of %d", self.batch_size)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return self._forward(pictures[: self.batch_size])

    def _input(self, pictures: Tensor) -> Tensor:
        size = self.backbone.input_size
        if self.device.type == "cuda":
            pictures = pictures.pin_memory().to(self.device, non_blocking=True)
        if pictures.shape[-1] != size:
            pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
        if self.adapter == "folded":
            pictures = adapters.with_ones(pictures)
        else:
            pictures = adapters.replicate(pictures, self.backbone.mean, self.backbone.std)
        return pictures.to(self.device, memory_format=self._memory_format)


@dataclass(frozen=True)
class _Prepared:
    """A picture on its way to the network: an entry that lacks its embedding."""

    picture: np.ndarray
    facts: dict[str, Any]


class _Run:
    """The moving parts of one `extract`: what is read, what is computed, how long each took."""

    def __init__(
        self,
        extractor: EmbeddingExtractor,
        shelf: Shelf | None,
        preprocessor: Preprocessor,
        key: bytes | None,
    ):
        self.extractor, self.shelf, self.preprocessor, self.key = extractor, shelf, preprocessor, key
        self.computed = 0
        self.seconds_reading = 0.0
        self.seconds_embedding = 0.0

    def prepare_all(self, files: Sequence[Path], workers: int) -> Generator[Entry | _Prepared | Failure]:
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

    def embed_batch(self, batch: list[tuple[int, _Prepared]]) -> dict[int, Entry | Failure]:
        """Embed one batch and keep what came out well in the store."""
        clock = time.perf_counter()
        vectors = self.extractor.embed(np.stack([prepared.picture for _, prepared in batch]))
        self.seconds_embedding += time.perf_counter() - clock
        results: dict[int, Entry | Failure] = {}
        for (index, prepared), vector in zip(batch, vectors, strict=True):
            results[index] = (
                Entry(**prepared.facts, embedding=vector)
                if np.isfinite(vector).all()
                else Failure(
                    "embed",
                    f"the embedding is not finite in {self.extractor.precision}: use fp32, check the weights",
                )
            )
        entries = [entry for entry in results.values() if isinstance(entry, Entry)]
        self.computed += len(entries)
        if self.shelf is not None and entries:
            self.shelf.put(entries)
        return results

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
            with open_file(file) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            known = self.shelf.get(digest) if self.shelf is not None else None
            if known is not None:
                return known, time.perf_counter() - clock
            mammogram = read_mammogram(file, voi=self.preprocessor.voi, key=self.key)
            stage = "preprocess"
            picture = self.preprocessor(mammogram)
            outcome = _why_unusable(picture) or _Prepared(
                picture,
                {
                    "sha256": digest,
                    "image_id": mammogram.image_id,
                    "patient_key": mammogram.patient_key,
                    "view": mammogram.view,
                    "laterality": mammogram.laterality,
                    "voi": mammogram.voi,
                    "warnings": mammogram.warnings,
                    "thumbnail": thumbnail(picture),
                },
            )
        except MammogramError as error:
            outcome = Failure(stage, str(error))
        except OSError as error:
            outcome = Failure(stage, f"the file cannot be read: {error.strerror or type(error).__name__}")
        except Exception as error:  # one file must never end a run of ten thousand; its text may hold a path
            outcome = Failure(stage, f"unexpected {type(error).__name__}: this is a bug, please report it")
        return outcome, time.perf_counter() - clock


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


def _names(files: Sequence[Path]) -> list[str]:
    """Each file below the folder that all of them share: never an absolute path."""
    if not files:
        return []
    shared = Path(os.path.commonpath([file.absolute().parent for file in files]))
    return [as_text(file.absolute().relative_to(shared).as_posix()) for file in files]


def _as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=TABLE_COLUMNS)
    table["warnings"] = [tuple(row["warnings"]) for row in rows]
    return table
