"""Shards on a Ray cluster: the actors of one machine or of many (lesson 11).

`RayActors` is to `distributed` what `Processes` is: it is handed shards and yields those that are finished.
Ray is an extra (`.[scale]`); every node needs this package and the same view of files, store and output.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from course_utils.embedding.distributed import FALSE_STARTS, Recipe
from course_utils.embedding.errors import EmbeddingError
from course_utils.embedding.extractor import EmbeddingExtractor
from course_utils.embedding.shards import Shard
from course_utils.objects import Place

LOST = 20
"""So many actors in a row may be lost without a shard that is finished; then the cluster is at fault."""

NOT_READY = (
    "the cluster's actors end before they are ready: every node needs this course, at the same version, and "
    "enough memory for its actors. --shards works in processes of this machine without Ray"
)
KEPT_LOSING = (
    f"{LOST} actors in a row were lost and no shard was finished: are nodes going down, or out of memory? "
    "Shards that are finished are kept: run the same command again, or go on in processes of this machine "
    "with --shards"
)


class RayActors:
    """Actors of a Ray cluster. Each has an extractor and works on one shard at a time.

    Retries are counted on disk, with the shard (see `shards`), and not by Ray: its own are without end, so
    that one file that ends its process would hold a run for ever.

    Args:
        address: `"local"` starts Ray on this machine, `"auto"` joins the cluster that this machine belongs
            to, anything else is a cluster's address. Its token is read as Ray reads it (`RAY_AUTH_TOKEN`).
        count: how many actors; by default one for every two cores of the cluster.
        cores: cores for each actor.

    Raises:
        EmbeddingError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, address: str = "local", *, count: int | None = None, cores: int = 2):
        self.address, self.count, self.cores = address, count, cores

    def run(self, todo: Sequence[Shard], folder: Path | Place, recipe: Recipe) -> Iterator[Shard]:
        """Keep the actors busy; one that is lost is replaced, and its shard is begun once more."""
        ray = _started(self.address)
        try:
            yield from self._run(ray, todo, folder.absolute(), recipe)
        finally:
            ray.shutdown()

    def _run(self, ray: Any, todo: Sequence[Shard], folder: Path | Place, recipe: Recipe) -> Iterator[Shard]:
        waiting, lost, ready = deque(todo), 0, False
        busy: dict[Any, tuple[Any, Shard]] = {}
        cores = min(self.cores, int(ray.cluster_resources().get("CPU", 1)))
        count = self.count or max(1, int(ray.cluster_resources().get("CPU", 1)) // cores)
        make = ray.remote(num_cpus=cores, max_restarts=0, max_task_retries=0)(_Actor).remote
        actors = [make(recipe, folder, cores) for _ in range(min(count, len(todo)))]
        while waiting or busy:
            while actors and waiting:
                actor, shard = actors.pop(), waiting.popleft()
                busy[actor.run.remote(shard)] = actor, shard
            (answer,), _ = ray.wait(list(busy), num_returns=1)
            actor, shard = busy.pop(answer)
            try:
                ray.get(answer)
            except ray.exceptions.RayActorError:
                lost += 1
                ready |= (folder / f"{shard.id}.begun").exists()
                if lost == (LOST if ready else FALSE_STARTS):
                    raise EmbeddingError(KEPT_LOSING if ready else NOT_READY) from None
                waiting.appendleft(shard)
                actors.append(make(recipe, folder, cores))
                continue
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # what went wrong in the actor is the run's own
            lost, ready = 0, True
            if waiting:
                actors.append(actor)
            else:
                ray.kill(actor)  # a replacement may be waiting for its cores
            yield shard


class _Actor:
    """One extractor, somewhere on the cluster."""

    def __init__(self, recipe: Recipe, folder: Path | Place, threads: int):
        import torch

        torch.set_num_threads(threads)
        self._recipe, self._folder = recipe, folder
        self._extractor: EmbeddingExtractor | None = None

    def run(self, shard: Shard) -> None:
        """Extract one shard into its folder."""
        if self._extractor is None:  # not in __init__, where Ray would hide what went wrong
            self._extractor = self._recipe.make()
        self._recipe.run(shard, self._folder, self._extractor)


def _started(address: str) -> Any:
    """Return Ray, connected: quiet, without dashboard, and telling nobody that it is used."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns that this will change
    try:
        import ray
    except ImportError:
        raise EmbeddingError(
            "Ray is not installed: pip install 'mammogram-embeddings-course[scale]', or work in processes of "
            "this machine with --shards"
        ) from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        options |= {"include_dashboard": False, "_temp_dir": tempfile.mkdtemp(prefix="ray-")}
    try:
        ray.init(address, **options)
    except Exception as error:
        raise EmbeddingError(
            f"Ray could not be started or reached at {address!r} ({type(error).__name__}). On a busy machine "
            "it gives up after 15 seconds; --shards works in processes of this machine without it"
        ) from error
    return ray
