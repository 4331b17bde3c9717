"""Measure (g) of `make bench`: what shards and Ray cost beside one process, on the same files and threads.

A run takes its time to start, and then its time for each image. Runs of two lengths tell one from the other:
an image costs what the longer run takes beyond the shorter, divided by the images that it has more. Memory is
that of all processes together, each page counted once (proportional set size), as Linux tells it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Record = dict[str, Any]

ONE, SHARDS, RAY = "one process", "--shards 2", "--ray local"
WAYS: dict[str, list[str]] = {
    ONE: ["--workers", "4"],
    SHARDS: ["--shards", "2", "--workers", "2"],
    RAY: ["--ray", "local", "--workers", "4"],  # one actor for two cores
}
LOOK_S = 0.25


class NotStarted(Exception):
    """Ray is installed, and could not be started; a busy machine is reason enough."""


@dataclass(frozen=True)
class Lengths:
    """How much is run: `files` and three times as many, `turns` times; and as many small files."""

    files: int = 200
    turns: int = 2
    small: tuple[int, int] = (1000, 10_000)


def steps(lengths: Lengths) -> int:
    """How often `measure` ticks, if Ray is installed."""
    return len(WAYS) * 2 * lengths.turns + len(lengths.small)


def measure(
    lengths: Lengths,
    folder: Path,
    large: Path,
    small: Callable[[Path, int], list[Path]],
    environment: dict[str, str],
    tick: Callable[[], object],
) -> Record:
    """Run `course embed` in each way in turns, over real-sized files, and then in shards over small ones.

    Args:
        lengths: how many files.
        folder: for files and results; random ResNet-50 weights lie in it (`resnet50.pt`).
        large: an uncompressed mammogram.
        small: writes so many small files into a folder.
        environment: of what is measured.
        tick: called after each run.
    """
    missing = {} if find_spec("ray") else {RAY: "Ray (`pip install -e .[scale]`)"}
    ways = [way for way in WAYS if way not in missing]
    resnet = ["--backbone", "resnet50", "--weights", str(folder / "resnet50.pt"), "--no-cache"]
    inputs = {count: _copies(large, count, folder) for count in (lengths.files, 3 * lengths.files)}
    turns = []
    for turn in range(lengths.turns):
        first, measured = turn % len(ways), {}
        for way in ways[first:] + ways[:first]:
            try:
                measured[way] = {
                    str(count): _embed(files, [*resnet, *WAYS[way]], folder, environment, tick)
                    for count, files in inputs.items()
                }
            except NotStarted:
                missing[way] = "a Ray that can be started here"
        turns.append(measured)
        ways = [way for way in ways if way not in missing]
    lite = ["--backbone", "efficientnet_lite0", "--cache"]
    rows = []
    for count in lengths.small:
        paths = folder / f"g-small-{count}"
        small(paths, count)
        options = [*lite, str(folder / f"g-store-{count}"), *WAYS[SHARDS]]
        rows.append(_embed(paths, options, folder, environment, tick))
    return {"files": lengths.files, "missing": missing, "turns": turns, "small": rows}


def marginal_s(turn: Record, way: str, files: int) -> float:
    """Return what one more image takes, in seconds."""
    few, many = (turn[way][str(count)]["command_s"] for count in (files, 3 * files))
    return float((many - few) / (2 * files))


def start_s(turn: Record, way: str, files: int) -> float:
    """Return what a run takes before and after its images, in seconds."""
    return float(turn[way][str(files)]["command_s"] - files * marginal_s(turn, way, files))


def overhead(section: Record, way: str) -> float | None:
    """Return by which share an image takes longer than in one process: the median over the turns.

    None if it was not measured, or where so few images were that noise made the longer run the faster one.
    """
    files = section.get("files", 0)
    pairs = [
        (marginal_s(turn, way, files), marginal_s(turn, ONE, files))
        for turn in section["turns"]
        if way in turn
    ]
    shares = [theirs / one - 1 for theirs, one in pairs if min(theirs, one) > 0]
    return statistics.median(shares) if shares else None


def median_of(section: Record, value: Callable[[Record, str, int], float | None], way: str) -> float | None:
    """Return the median over the turns of what is made of each, or None."""
    made = [value(turn, way, section["files"]) for turn in section["turns"] if way in turn]
    known = [each for each in made if each is not None]
    return statistics.median(known) if known else None


def aborted(section: Record) -> int:
    """Return how many runs did not end well, although they had done everything."""
    runs = (run for turn in section["turns"] for lengths in turn.values() for run in lengths.values())
    return sum(run.get("status", 0) != 0 for run in runs)


def peak_mb(turn: Record, way: str, files: int) -> float | None:
    """Return the most memory of the longer run, in MB; None where it is not known."""
    peak: float | None = turn[way][str(3 * files)]["peak_mb"]
    return peak


def growth(rows: list[Record]) -> float | None:
    """Return the peak memory of the most small files over that of fewer."""
    peaks = [row["peak_mb"] for row in rows]
    return peaks[-1] / peaks[0] if len(peaks) > 1 and all(peaks) else None


def _copies(file: Path, count: int, folder: Path) -> Path:
    """Return a folder in which a file stands under `count` names."""
    copies = folder / f"g-{count}"
    copies.mkdir()
    for number in range(count):
        os.link(file, copies / f"{number:06d}.dcm")
    return copies


def _embed(
    inputs: Path, options: list[str], folder: Path, environment: dict[str, str], tick: Callable[[], object]
) -> Record:
    """Run `course embed` over a folder; its time from start to end, and the memory of all its processes."""
    output = folder / "g-out"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "course_utils.cli", "embed", str(inputs), "-o", str(output)]
    command += [*options, "--device", "cpu"]
    # A file and no pipe: Ray's own processes may keep it open.
    with (folder / "g-said").open("w+") as said:
        begun = time.perf_counter()
        run = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        with _Watch(run.pid) as watch:
            status = run.wait()
        command_s = time.perf_counter() - begun
        # Ray now and then aborts while it ends, after everything has been written.
        if status != 0 and not (RAY.split()[0] in options and (output / "run.json").exists()):
            said.seek(0)
            text = said.read()
            if "Ray could not be started" in text:
                raise NotStarted
            raise RuntimeError(f"course embed failed: {text[-2000:]}")
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    counts = record["counts"]
    assert counts["failed"] == 0, "a file of the benchmark could not be read"
    assert counts["found"] == len(list(inputs.iterdir())), "a file was lost, or came twice"
    tick()
    return {
        "files": counts["found"],
        "command_s": command_s,
        "extraction_s": record["timings"]["total_s"],
        "peak_mb": watch.peak_mb,
        "status": status,
    }


class _Watch:
    """Looks at the memory of a process and of all that it has started, now and then; Linux only."""

    def __init__(self, leader: int):
        self._leader, self._over = leader, threading.Event()
        self.peak_mb: float | None = None
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            if (now := sum(map(_megabytes, _family(self._leader)))) > (self.peak_mb or 0):
                self.peak_mb = now


def _family(leader: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    family = [leader]
    for member in family:
        family += children.get(member, [])
    return family


def _megabytes(process: int) -> float:
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M)
        return int(found[1]) / 1024 if found else 0.0
    return 0.0
