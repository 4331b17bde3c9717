"""A long list of files in shards: each is extracted by itself, and all are merged in order (lesson 11).

A shard is a folder of its own, named after its number and a hash of its files' names, so that a rerun finds
what is finished. It is finished once its run folder is; its process may be killed at any time. A shard that
was begun and not finished is gone through file by file the next time, each file noted before it is read: one
that has ended its process twice becomes a failure like any other.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from course_utils.embedding.extractor import EmbeddingExtractor
from course_utils.embedding.pipeline import Pipeline
from course_utils.embedding.store import EmbeddingStore
from course_utils.imaging.preprocess import Preprocessor
from course_utils.objects import Place, folder_at_hand, place, sent, write
from course_utils.provenance import RunRecord, command_line, now
from course_utils.records import Failure, Told
from course_utils.runs.folder import RECORD, Extraction, RunFolder, is_finished

SHARD_FILES = 100
"""Files in a shard: starting on one costs little beside computing it, and losing one loses little."""

FATAL = 2
"""A file that has ended this many processes is not read again."""

ENDED_ITS_PROCESS = "reading this file ended its process twice: it is left out, so that the run can go on"


@dataclass(frozen=True)
class Shard:
    """Some files in a row: `id` is the same for the same names at the same place in the list."""

    id: str
    files: tuple[Path | Place, ...]
    names: tuple[str, ...]
    told: tuple[Told, ...] | None = None


def plan(
    paths: Sequence[str | Path | Place],
    names: Sequence[str],
    told: Sequence[Told] | None = None,
    size: int = SHARD_FILES,
) -> list[Shard]:
    """Cut a list of files into shards of `size`; the same list gives the same shards."""
    shards = []
    for number, start in enumerate(range(0, len(paths), size)):
        part = slice(start, start + size)
        # Not hash(), which differs between processes. Each name is closed off: "a", "bc" is not "ab", "c".
        digest = hashlib.sha256(b"".join(n.encode("utf-8", "surrogateescape") + b"\0" for n in names[part]))
        shards.append(
            Shard(
                f"{number:06d}-{digest.hexdigest()[:16]}",
                tuple(place(path) for path in paths[part]),
                tuple(names[part]),
                None if told is None else tuple(told[part]),
            )
        )
    return shards


def run_shard(
    shard: Shard,
    folder: Path | Place,
    extractor: EmbeddingExtractor,
    preprocessor: Preprocessor,
    *,
    store: EmbeddingStore | None,
    key: bytes,
    workers: int = 0,
) -> None:
    """Extract one shard into its run folder below `folder`, unless it is there already.

    Args:
        shard: the files.
        folder: where the shards are, and what is known of attempts; in an object store, a shard is sent there
            once it is whole.
        extractor, preprocessor, store, workers: as for `EmbeddingExtractor.extract_to`.
        key: the one secret of all shards' pseudonyms; with a store, that store's.
    """
    if is_finished(folder / shard.id):
        return
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = Pipeline(extractor, preprocessor, store, key=key)
    notes = _Notes(folder / f"{shard.id}.begun")
    dim = extractor.backbone.embedding_dim
    with sent(folder / shard.id, last=RECORD) as here, RunFolder(here, dim) as results:
        if notes.begin():
            record = pipeline.run(shard.files, shard.names, results.add, workers, False, shard.told)
        else:
            for number, (file, name) in enumerate(zip(shard.files, shard.names, strict=True)):
                if notes.fatal(number) >= FATAL:
                    pipeline.set_aside()
                    results.add(name, Failure("read", ENDED_ITS_PROCESS))
                    continue
                notes.about_to_read(number)
                told = None if shard.told is None else [shard.told[number]]
                pipeline.run([file], [name], results.add, 0, False, told)
            record = pipeline.record()
        results.finish(record)
    notes.remove()


def merge(
    shards: Sequence[Shard], folder: Path | Place, output: Path | Place, started: str, clock: float
) -> RunRecord:
    """Write the rows of finished shards into one run folder, in order; one shard is in memory at a time.

    Args:
        shards: all shards, in order.
        folder: where they are.
        output: the run folder.
        started, clock: when all of it began, as the record says it and on `time.perf_counter`.
    """
    first = _read(folder / shards[0].id)
    counts, timings = dict.fromkeys(first.record.counts, 0), dict.fromkeys(first.record.timings, 0.0)
    dim = first.vectors.shape[1]
    with sent(output, last=RECORD) as here, RunFolder(here, dim) as results:
        for shard in shards:
            done = _read(folder / shard.id)
            for file, outcome in done.outcomes():
                results.add(file, outcome)
            for name, count in done.record.counts.items():
                counts[name] += count
            for name, seconds in done.record.timings.items():
                timings[name] = round(timings[name] + seconds, 3)
        timings["total_s"] = round(time.perf_counter() - clock, 3)
        record = replace(
            first.record,
            command=command_line(),
            started=started,
            finished=now(),
            counts=counts,
            timings=timings,
        )
        results.finish(record)
    return record


def _read(folder: Path | Place) -> Extraction:
    with folder_at_hand(folder) as here:
        return Extraction.read(here)


class _Notes:
    """What is known of attempts at a shard: one line each, `begun`, or the number of the file that was next.

    The last line of an attempt that did not end well is the file that its process was reading.
    """

    def __init__(self, file: Path | Place):
        self._file = file
        self._lines = list(self._read())

    def _read(self) -> Iterator[str]:
        if self._file.exists():
            yield from self._file.read_text(encoding="ascii").split()

    def begin(self) -> bool:
        """Note that an attempt begins; return whether it is the first."""
        is_first = not self._lines
        self._write("begun")
        return is_first

    def about_to_read(self, number: int) -> None:
        """Note which file is next, in place of the one before, which has done no harm."""
        if self._lines[-1] != "begun":
            self._lines.pop()
        self._write(str(number))

    def fatal(self, number: int) -> int:
        """Return how many processes a file has ended."""
        ended = [line for line, after in zip(self._lines, self._lines[1:], strict=False) if after == "begun"]
        return ended.count(str(number))

    def remove(self) -> None:
        """Delete the notes of a shard that is finished."""
        self._file.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        self._lines.append(line)
        write(self._file, "\n".join(self._lines).encode())
