"""One extraction in several processes: the same rows in the same order, whatever becomes of a process.

`extract_in_shards` cuts the files into shards (see `shards`) and hands them, one at a time, to whoever runs
them; then it merges them. `Processes` runs them in processes of this machine, with the standard library.
Paths travel to the processes, pixels and vectors never do: they stay in the shard's folder (lesson 11).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm.auto import tqdm

from course_utils.embedding.backbones import load_backbone
from course_utils.embedding.errors import EmbeddingError
from course_utils.embedding.extractor import EmbeddingExtractor, file_names
from course_utils.embedding.pipeline import is_watched
from course_utils.embedding.shards import SHARD_FILES, Shard, merge, plan, run_shard
from course_utils.embedding.store import EmbeddingStore
from course_utils.files import sha256_of
from course_utils.imaging.keys import key_of
from course_utils.imaging.preprocess import Preprocessor
from course_utils.objects import Place, delete_folders, files_below, place
from course_utils.provenance import RunRecord, fingerprint, now
from course_utils.records import Told
from course_utils.runs.folder import RECORD, is_finished

SHARDS = ".shards-"
"""How the hidden folder of the shards is called, before what tells one recipe from another."""

PATIENCE_S = 10
FALSE_STARTS = 3
"""So many processes may end before they are ready: then something is wrong with all of them."""


@dataclass(frozen=True)
class Recipe:
    """What each process makes its extractor from; all fields can be sent to another process.

    Attributes:
        backbone: arguments of `load_backbone`.
        extractor: further arguments of `EmbeddingExtractor`.
        preprocessor: makes the pictures.
        store: the folder of the store, or None.
        workers: threads that read ahead, in each process.
        key: keys the pseudonyms of all shards. None: the store's, or without a store one that the output
            keeps until it is finished. It travels to the processes, and is never in an output.
    """

    backbone: dict[str, Any] = field(default_factory=dict)
    extractor: dict[str, Any] = field(default_factory=dict)
    preprocessor: Preprocessor = field(default_factory=Preprocessor)
    store: Path | None = None
    workers: int = 0
    key: bytes | None = field(default=None, repr=False)

    def make(self) -> EmbeddingExtractor:
        """Return the extractor."""
        return EmbeddingExtractor(load_backbone(**self.backbone), **self.extractor)

    def run(self, shard: Shard, folder: Path | Place, extractor: EmbeddingExtractor) -> None:
        """Extract one shard (see `run_shard`).

        All share one key: with one for each process, a woman whose images lie in two shards would be two.
        """
        key = self.key or _key(self, folder)
        store = None if self.store is None else _opened(self.store.absolute(), key)
        run_shard(shard, folder, extractor, self.preprocessor, store=store, key=key, workers=self.workers)


@cache
def _opened(folder: Path, key: bytes) -> EmbeddingStore:
    """Return the store in a folder, one for this process: its index is made once and not for each shard.

    A node that does not share the master's store has one of its own, which takes the run's key.
    """
    if key_of(folder, new=key) != key:
        raise EmbeddingError(
            "a store of this run has another key than the run, so that one woman would have two pseudonyms: "
            "share one store among all nodes, or give each an empty folder (--cache)"
        )
    return EmbeddingStore(folder)


def _key(recipe: Recipe, folder: Path | Place) -> bytes:
    """Return the key of a recipe that holds none; drawn where there is none yet."""
    if recipe.store is not None:
        return EmbeddingStore(recipe.store).key
    if isinstance(folder, Path):
        return key_of(folder)
    raise EmbeddingError(
        "an output in an object store needs a key that is kept elsewhere: give one, or a store"
    )


class Backend(Protocol):
    """Runs shards, anywhere."""

    def run(self, todo: Sequence[Shard], folder: Path | Place, recipe: Recipe) -> Iterator[Shard]:
        """Extract each shard into its folder below `folder`, and yield each once it is finished.

        A process that ends before its shard is finished costs an attempt: the shard is begun once more.
        """
        ...


def extract_in_shards(
    output: str | Path | Place,
    paths: Sequence[str | Path | Place],
    recipe: Recipe,
    backend: Backend,
    *,
    names: Sequence[str] | None = None,
    told: Sequence[Told] | None = None,
    shard_files: int = SHARD_FILES,
    progress: bool = True,
) -> RunRecord:
    """Turn files into vectors in a run folder, shard by shard: what `extract_to` writes, in the same order.

    Whatever ends it, finished shards stay in a hidden folder of `output`, and the next call with the same
    files and the same recipe computes only what is missing.

    Args:
        output: the run folder; it may be an address in an object store, and so may each of `paths`.
        paths, names, told: as for `EmbeddingExtractor.extract_to`.
        recipe: what each process makes its extractor from.
        backend: who runs the shards, such as `Processes(4)`.
        shard_files: files in a shard.
        progress: a progress bar, if there is a terminal or a notebook to show it.

    Raises:
        EmbeddingError: there are no files, or no process of the backend gets ready.
    """
    started, clock = now(), time.perf_counter()
    planned = plan(paths, file_names(paths, names), told, shard_files)
    if not planned:
        raise EmbeddingError("there are no files to embed")
    output = place(output)
    recipe, address = _settled(recipe)
    folder = output / f"{SHARDS}{address}"
    folder.mkdir(parents=True, exist_ok=True)
    recipe = replace(recipe, key=recipe.key or _key(recipe, folder))  # here, before there are several
    todo = _unfinished(planned, folder)
    missing = {shard.id for shard in todo}
    done = [shard for shard in planned if shard.id not in missing]
    bar = tqdm(total=len(paths), unit="image", disable=not (progress and is_watched()))
    try:
        with bar:
            bar.update(sum(len(shard.files) for shard in done))
            for shard in backend.run(todo, folder, recipe):
                bar.update(len(shard.files))
                done.append(shard)
        record = merge(planned, folder, output, started, clock)
    except Exception:
        if isinstance(folder, Path) and not all(is_finished(folder / each.id) for each in done):
            raise EmbeddingError(GONE) from None
        raise
    delete_folders(output, SHARDS)
    return record


def _unfinished(planned: Sequence[Shard], folder: Path | Place) -> list[Shard]:
    """Return the shards that are not finished; an object store is asked once for all of them."""
    if isinstance(folder, Path):
        return [shard for shard in planned if not is_finished(folder / shard.id)]
    done = {file.parts[-2] for file in files_below(folder) if file.name == RECORD}
    return [shard for shard in planned if shard.id not in done]


class Processes:
    """Processes of this machine. The cores are shared out among them."""

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"at least one process is needed, not {count}")
        self.count = count

    def run(self, todo: Sequence[Shard], folder: Path | Place, recipe: Recipe) -> Iterator[Shard]:
        """Keep `count` processes busy; one that ends before its time is replaced."""
        waiting, false_starts = deque(todo), 0
        threads = max(1, (os.cpu_count() or 1) // self.count)
        crew: list[_Worker] = []
        try:
            while waiting or any(worker.shard for worker in crew):
                busy = sum(worker.shard is not None for worker in crew)
                while len(crew) < min(self.count, len(waiting) + busy):
                    crew.append(_Worker(recipe, folder, threads))
                heard = wait([worker.connection for worker in crew])
                for worker in [each for each in crew if each.connection in heard]:
                    try:
                        said = worker.connection.recv()
                    except (EOFError, OSError):  # the process has ended
                        crew.remove(worker)
                        worker.stop()
                        false_starts += not worker.ready
                        if false_starts == FALSE_STARTS:
                            raise EmbeddingError(NOT_READY) from None
                        if worker.shard:
                            waiting.appendleft(worker.shard)
                        continue
                    if isinstance(said, Exception):
                        raise said
                    done = worker.shard
                    worker.give(waiting.popleft() if waiting else None)
                    if done:
                        yield done
        finally:
            for worker in crew:
                worker.stop()


GONE = (
    "finished shards are gone: another run into the same output has ended before this one, and its results "
    "are there; or somebody has deleted them, and the same command makes them again"
)
NOT_READY = (
    "the processes end before they are ready: is there enough memory for so many? Without --shards the same "
    "command needs one process"
)
"""What is said of shards that were swept, and of processes that end too early."""


class _Worker:
    """One process as its master sees it: what it works on, and the connection to it."""

    def __init__(self, recipe: Recipe, folder: Path | Place, threads: int):
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_work, args=(theirs, recipe, folder, threads), daemon=True
        )
        with _deaf_to_ctrl_c():
            self.process.start()
        theirs.close()  # else the end of the process would not end the connection
        self.shard: Shard | None = None
        self.ready = False

    def give(self, shard: Shard | None) -> None:
        """Hand over the next shard to a process that waits for one; None ends it."""
        self.ready, self.shard = True, shard
        with contextlib.suppress(OSError):  # it has just ended, which `recv` will say
            self.connection.send(shard)

    def stop(self) -> None:
        """End the process: by itself if it knows that there is no more, else at once."""
        self.connection.close()
        if self.ready and self.shard is None:
            self.process.join(PATIENCE_S)
        self.process.kill()
        self.process.join()


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Have a process that is started here never hear Ctrl-C, which is its master's: not even as it imports.

    Whoever presses it meanwhile is heard afterwards. On Windows, a process is deaf from `_work` on.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(master: Connection, recipe: Recipe, folder: Path | Place, threads: int) -> None:
    """Run shards until there are no more, or until the master is gone; what goes wrong is the master's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the master ends the others
    tqdm.set_lock(threading.RLock())  # by default, one that processes share: whoever is killed would leave it
    torch.set_num_threads(threads)
    try:
        extractor = recipe.make()
        master.send(None)
        while (shard := master.recv()) is not None:
            recipe.run(shard, folder, extractor)
            master.send(None)
    except EOFError:
        return
    except Exception as error:
        try:
            master.send(error)
        except Exception:  # an exception that cannot be sent, or a master that has gone meanwhile
            with contextlib.suppress(OSError):
                master.send(EmbeddingError(f"a process stopped with {type(error).__name__}"))


def _settled(recipe: Recipe) -> tuple[Recipe, str]:
    """Return a recipe that names its network, engine and key, and what tells its shards from others'.

    With `auto`, each process would choose for itself: a network that is fetched meanwhile would be chosen by
    some, and so would an engine that some have, or measure otherwise. A store is named in full: a process
    elsewhere has another working folder.
    """
    if recipe.store is not None:
        store = recipe.store.absolute()
        recipe = replace(recipe, store=store, key=recipe.key or EmbeddingStore(store).key)
    backbone = load_backbone(**recipe.backbone)
    if recipe.backbone.get("name", "auto") == "auto":
        recipe = replace(recipe, backbone={**recipe.backbone, "name": backbone.name})
    if recipe.extractor.get("engine") == "auto":
        chosen = EmbeddingExtractor(backbone, **{"choices": recipe.store, **recipe.extractor}).engine
        recipe = replace(recipe, extractor={**recipe.extractor, "engine": chosen})
    address = {
        "backbone": [backbone.label, backbone.weights.sha256],
        "extractor": {name: str(value) for name, value in recipe.extractor.items()},
        "preprocessing": recipe.preprocessor.fingerprint,
        "key": recipe.key and sha256_of(recipe.key),
    }
    return recipe, fingerprint(address)
