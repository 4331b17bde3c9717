"""Shards, one key, and what a million images cost (lesson 11): the course's own answers to its exercises.

The lesson runs on these until the student's own functions are right.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils.embedding import EmbeddingExtractor, pipeline
from course_utils.embedding.distributed import Recipe
from course_utils.embedding.shards import Shard
from course_utils.objects import Place

Images = Sequence[tuple[str, str]]
"""Pairs of a file and the patient whom it shows."""


@dataclass(frozen=True)
class DeadlyFile(Recipe):
    """A recipe whose processes end without a word when they read one certain file: a decoder's fault, played.

    It stands here and not in the notebook, since another process cannot import what a notebook defines.

    Attributes:
        deadly: the file's name, without its folder.
    """

    deadly: str = ""

    def run(self, shard: Shard, folder: Path | Place, extractor: EmbeddingExtractor) -> None:
        """Extract one shard, unless it holds the file."""
        read = pipeline.read_mammogram

        def read_or_end(path: Any, **how: Any) -> Any:
            if Path(path).name == self.deadly:
                os._exit(1)
            return read(path, **how)

        pipeline.read_mammogram = read_or_end  # in a process of its own, which does nothing else
        try:
            super().run(shard, folder, extractor)
        finally:
            pipeline.read_mammogram = read


def shard_ids(names: Sequence[str], size: int) -> list[str]:
    """Return a name for each shard of `size` files: the same for the same files in the same order."""
    ids = []
    for number, start in enumerate(range(0, len(names), size)):
        closed = "".join(name + "\0" for name in names[start : start + size])
        ids.append(f"{number:06d}-{hashlib.sha256(closed.encode()).hexdigest()[:16]}")
    return ids


def keep_shard(disk: Any, shard: str, compute: Callable[[], Mapping[str, Any]]) -> str:
    """Put a shard's files on a disk, whole or not at all; return `made`, or `kept` if it was there."""
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    beside = f"{shard}.making"
    disk.delete(beside)
    for name, content in compute().items():
        disk.write(f"{beside}/{name}", content)
    disk.rename(beside, shard)
    return "made"


def merged(
    planned: Sequence[str], there: Iterable[str], read: Callable[[str], Iterable[Any]]
) -> Iterator[Any]:
    """Yield the rows of all planned shards, in order, one shard in memory at a time.

    Raises:
        ValueError: a shard is missing.
    """
    missing = len(set(planned) - set(there))
    if missing:
        raise ValueError(f"{missing} of {len(planned)} shards are missing")
    for shard in planned:
        yield from read(shard)


def with_one_key(
    shards: Mapping[str, Images],
    drawer: MutableMapping[str, bytes],
    draw: Callable[[], bytes],
    pseudonym: Callable[[bytes, str], str],
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """Return rows (file, pseudonym) of all shards under one key, and how many images and women there are."""
    if "key" not in drawer:
        drawer["key"] = draw()
    rows = [(file, pseudonym(drawer["key"], who)) for images in shards.values() for file, who in images]
    return rows, {"images": len(rows), "women": len({name for _, name in rows})}


def million(image: Mapping[str, float], machine: Mapping[str, float]) -> tuple[float, str, float]:
    """Return images a second, what holds them back, and the dollars for a million of them.

    Args:
        image: `MB`, and core-seconds to `read` it and for the `network`.
        machine: `cores`, `MB_a_second` from where the files are, `card` (images a second of its network; 0:
            there is none) and `dollars_an_hour`.
    """
    on_cores = image["read"] + (0 if machine["card"] else image["network"])
    rates = {"link": machine["MB_a_second"] / image["MB"], "cores": machine["cores"] / on_cores}
    if machine["card"]:
        rates["card"] = machine["card"]
    slowest = min(rates, key=lambda each: rates[each])
    return rates[slowest], slowest, 1e6 / rates[slowest] / 3600 * machine["dollars_an_hour"]


def shard_size(start: float, an_image: float, between: float) -> int:
    """Return how many images make the best shard: Young's interval, in images.

    Args:
        start: seconds that a shard costs before its first image.
        an_image: seconds for each image.
        between: mean seconds between two interruptions.

    Source: J. W. Young, Communications of the ACM 17 (9), 530–531, 1974.
    """
    return max(1, round(math.sqrt(2 * start * between) / an_image))


def overhead(images: float, start: float, an_image: float, between: float) -> float:
    """Return what shards of so many images cost beyond the bare work, as a share of it.

    A shard is begun anew, start and all, until it comes through; interruptions have no memory. Then a shard
    of w seconds takes `between * (exp(w / between) - 1)` on average.

    Source: J. T. Daly, Future Generation Computer Systems 22 (3), 303–312, 2006, with no time to restart.
    """
    bare = images * an_image
    try:
        return between * math.expm1((start + bare) / between) / bare - 1
    except OverflowError:
        return math.inf
