"""Time `course cluster` and `course probe`, and each map and method beside a plain call of its library.

``make bench-analysis`` writes ``docs/benchmarks/analysis.md`` and ``analysis.png``. The vectors are drawn:
2048 numbers each, four images a woman, with views and women that differ, cut off at zero like the pooled
activations of a network. Ours and the plain call take turns, so that a slow moment of the machine affects
both.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from bench import CHILD, environment
from bench_imaging import ROOT, seconds, table_lines
from matplotlib import pyplot as plt
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from tqdm import tqdm

from course_utils import provenance
from course_utils.analysis import cluster, reduce
from course_utils.analysis.clustering import STARTS
from course_utils.analysis.fitting import CORE, FLOOR
from course_utils.records import Entry, Facts
from course_utils.runs import RunFolder

DIMS, K = 2048, 4
CORES = 2
MOST_S, MOST_PROBE_S, MOST_GB, MOST_RATIO = 180, 300, 3.0, 1.5  # what was asked for
PACKAGES = ("numpy", "scipy", "scikit-learn", "umap-learn", "pandas")
MAPS = ("PCA", "t-SNE", "UMAP")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        turns: how often every map and method is timed, for each number of images.
        commands: for which numbers of images `course cluster` runs with its default method.
        others: other methods that it runs with, on the largest number.
        probes: for which numbers of images `course probe` runs.
        left_out: maps and methods that are not timed.
    """

    turns: dict[int, int]
    commands: tuple[int, ...]
    others: tuple[str, ...] = ("ward", "hdbscan", "gmm")
    probes: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()


FULL = Size({100: 5, 300: 3, 1000: 3, 3000: 2, 10_000: 2}, (100, 1000, 10_000), probes=(1000, 10_000))
QUICK = Size({40: 2, 60: 2}, (40,), ("hdbscan",), (120,), ("UMAP",))  # UMAP is compiled first


@dataclass
class Times:
    """Seconds of every turn, of ours and of the plain call, at each number of images."""

    ours: dict[int, list[float]] = field(default_factory=dict)
    plain: dict[int, list[float]] = field(default_factory=dict)

    def ratio(self, images: int) -> float:
        """Return our time as a multiple of the plain call's: the median of the ratios within a turn."""
        return statistics.median(a / b for a, b in zip(self.ours[images], self.plain[images], strict=True))


@dataclass(frozen=True)
class Command:
    """One run of a command: its seconds by the clock and of the processor, and the most memory.

    Its method is that of `course cluster`, or the model of `course probe`.
    """

    images: int
    method: str
    seconds: float
    processor_s: float
    gigabytes: float | None


# --- What is measured ---------------------------------------------------------------------------------------


def draw(images: int, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Return vectors (images, 2048) of four images a woman, and what is known of them."""
    rng = np.random.default_rng(seed)
    woman = np.arange(images) // 4
    view = np.arange(images) % 2
    density = rng.integers(0, 4, woman.max() + 1)[woman]
    factors = rng.standard_normal((images, 40)) + rng.standard_normal((woman.max() + 1, 40))[woman]
    factors[:, 0] += 6 * view
    factors[:, 1] += 1.5 * density
    loadings = rng.standard_normal((40, DIMS)).astype(np.float32)
    vectors = factors.astype(np.float32) @ loadings / 6
    vectors += rng.standard_normal((images, DIMS)).astype(np.float32)
    known = pd.DataFrame(
        {
            "patient_key": [f"pat-{number}" for number in woman],
            "view": np.array(["CC", "MLO"])[view],
            "laterality": np.array(["L", "R"])[np.arange(images) // 2 % 2],
            "density": np.array(list("abcd"))[density],
            "vendor": np.array(list("xyz"))[rng.integers(0, 3, woman.max() + 1)[woman]],
            "thickness": rng.normal(55, 12, images).round(1),
        }
    )
    return np.maximum(vectors, 0), known


def _reduced(vectors: np.ndarray) -> np.ndarray:
    """Return what every plain call but PCA's starts from, as ours does: 50 principal components."""
    return PCA(min(50, len(vectors) - 1), random_state=0).fit_transform(vectors)


def _perplexity(vectors: np.ndarray) -> float:
    return min(30.0, (len(vectors) - 1) / 3)


def _umap(vectors: np.ndarray) -> np.ndarray:
    from umap import UMAP

    return UMAP(n_neighbors=15, init="pca", random_state=0, n_jobs=1).fit_transform(_reduced(vectors))


def _mixture(vectors: np.ndarray) -> np.ndarray:
    points = _reduced(vectors)
    floor = FLOOR * points.var(axis=0).mean()
    return GaussianMixture(
        K, n_init=STARTS["gmm"], max_iter=500, reg_covar=floor, random_state=0
    ).fit_predict(points)


def _hdbscan(vectors: np.ndarray) -> np.ndarray:
    size = max(5, len(vectors) // 20)
    model = HDBSCAN(min_cluster_size=size, min_samples=min(size, CORE), copy=True)
    return model.fit_predict(_reduced(vectors))


WAYS: dict[str, tuple[Callable[[np.ndarray], object], Callable[[np.ndarray], object]]] = {
    "PCA": (
        lambda vectors: reduce(vectors),
        lambda vectors: PCA(2, random_state=0).fit_transform(vectors),
    ),
    "t-SNE": (
        lambda vectors: reduce(vectors, "tsne", perplexity=_perplexity(vectors)),
        lambda vectors: TSNE(init="pca", perplexity=_perplexity(vectors), random_state=0).fit_transform(
            _reduced(vectors)
        ),
    ),
    "UMAP": (lambda vectors: reduce(vectors, "umap"), _umap),
    "k-means": (
        lambda vectors: cluster(vectors, k=K),
        lambda vectors: KMeans(K, n_init=STARTS["kmeans"], random_state=0).fit_predict(_reduced(vectors)),
    ),
    "mixture": (lambda vectors: cluster(vectors, "gmm", k=K), _mixture),
    "Ward": (
        lambda vectors: cluster(vectors, "ward", k=K),
        lambda vectors: AgglomerativeClustering(K).fit_predict(_reduced(vectors)),
    ),
    "HDBSCAN": (lambda vectors: cluster(vectors, "hdbscan"), _hdbscan),
}
"""Ours, and the same by a plain call: the same components, starts, number of clusters and parameters."""


def measure(size: Size) -> dict[str, Times]:
    """Time every map and method beside its plain call, in turns."""
    ways_of = {name: ways for name, ways in WAYS.items() if name not in size.left_out}
    results = {name: Times() for name in ways_of}
    small = draw(60)[0]
    for ways in ways_of.values():  # not counted: imports, and what UMAP compiles in every process
        for way in ways:
            way(small)
    with tqdm(total=sum(size.turns.values()) * len(results), desc="maps and methods", unit="turn") as bar:
        for images, turns in size.turns.items():
            vectors = draw(images)[0].astype(np.float64)
            for turn in range(turns):
                for name, (ours, plain) in ways_of.items():
                    both = [(ours, results[name].ours), (plain, results[name].plain)]
                    for way, times in both[:: 1 if turn % 2 else -1]:
                        times.setdefault(images, []).append(seconds(way, vectors))
                    bar.update()
    return results


def write_run(folder: Path, images: int) -> None:
    """Write a run folder as `course embed` would, and a table of labels beside it."""
    now = f"{date.today()}T00:00:00+00:00"
    record = provenance.RunRecord(
        command="bench_analysis",
        started=now,
        finished=now,
        git_commit=None,
        versions={},
        machine=provenance.machine(),
        device="cpu",
        precision="fp32",
        engine="none",
        adapter="none",
        batch_size=1,
        deterministic=True,
        backbone="drawn",
        weights={"id": "none", "pretrained": False},
        preprocessing={},
        seeds={"vectors": 0},
        counts={"found": images, "computed": images, "from_store": 0, "failed": 0},
        timings={},
    )
    vectors, known = draw(images)
    rng = np.random.default_rng(1)
    with RunFolder(folder / "run", DIMS) as run:
        for i, row in enumerate(known.to_dict("records")):
            who = (row["patient_key"], row["view"], row["laterality"])
            facts = Facts(f"img-{i}", f"{i:064x}", *who, "none", ())
            gray = cv2.resize(rng.integers(0, 256, (16, 16), dtype=np.uint8), (128, 128))
            picture = cv2.imencode(".png", gray)[1].tobytes()
            run.add(f"{i:05d}.dcm", Entry(facts, picture, vectors[i]))
        run.finish(record)
    labels = known[["density", "vendor", "thickness"]].assign(file=[f"{i:05d}.dcm" for i in range(images)])
    labels.to_csv(folder / "labels.csv", index=False)


def run_command(folder: Path, images: int, method: str) -> Command:
    """Run `course cluster` on a run folder, as a process of its own."""
    return _timed(["cluster", str(folder / "run"), "--method", method], folder, images, method)


def run_probe(folder: Path, images: int, model: str = "linear") -> Command:
    """Run `course probe` for the density on a run folder, as a process of its own."""
    return _timed(
        ["probe", str(folder / "run"), "--target", "density", "--model", model], folder, images, model
    )


def _timed(arguments: list[str], folder: Path, images: int, method: str) -> Command:
    command = [sys.executable, "-c", CHILD, *arguments, "--labels", str(folder / "labels.csv")]
    begun, before = time.perf_counter(), os.times()
    answer = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    took, after = time.perf_counter() - begun, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    if answer.returncode != 0:
        raise RuntimeError(f"course {arguments[0]} failed: {answer.stderr[-2000:]}")
    peak = re.search(r"(\d+)\s*$", answer.stderr)
    return Command(images, method, took, used, int(peak[1]) * 1024 / 1e9 if peak else None)


# --- The page -----------------------------------------------------------------------------------------------

PAGE = """\
# From vectors to clusters: what it costs

Written by `make bench-analysis`; do not edit.

The vectors are drawn: {dims} numbers each, four images a woman, with views and women that differ, cut off at
zero. Two cores, two threads.

Machine: {machine}.

![Lines: seconds of each map and method against the number of images, course_utils and the plain call; the
figures are in the tables](analysis.png)

## The whole command

`course cluster` as a process of its own: from the run folder and a table of labels (density, vendor,
thickness) to clusters.csv and clusters.json, with everything that the verdict stands on. Where other programs
were busy, the processor's seconds are fewer than its share of the clock's.

| images | method | seconds | processor seconds | most memory, GB |
|---|---|---|---|---|
{commands}

{verdict}

`course probe` for the density, with mean gray, histogram, vendor and thickness beside it, the search for
leaks and ties, and all the other defaults (5 folds, 5 times):

| images | model | seconds | processor seconds | most memory, GB |
|---|---|---|---|---|
{probes}

{probe_verdict}

## Each map and method beside the plain call of its library

At {largest} images, medians of {turns} turns. The plain call has the same work to do: for PCA that is
scikit-learn's `PCA(2)`; everything else starts from its `PCA(50)`, and has the same starts, number of
clusters ({k}) and parameters. Its PCA picks its solver itself, which may be an approximate one; ours is
always exact.

| | course_utils, s | plain call, s | of the plain call |
|---|---|---|---|
{ways}

{ratios}

## As the number of images grows

Seconds of course_utils (medians; in brackets as a multiple of the plain call):

| images | {names} |
|---|{rules}
{growth}
"""


def page(
    size: Size, where: str, results: dict[str, Times], commands: list[Command], probes: list[Command]
) -> str:
    """Return the page in Markdown."""
    largest = max(size.turns)
    ways: list[tuple[str, ...]] = []
    for name, times in results.items():
        ours, plain = (statistics.median(of[largest]) for of in (times.ours, times.plain))
        ways.append((name, f"{ours:.3g}", f"{plain:.3g}", f"{times.ratio(largest):.2f}"))
    growth: list[tuple[str, ...]] = []
    for images in size.turns:
        cells = (
            f"{statistics.median(times.ours[images]):.2g} ({times.ratio(images):.1f})"
            for times in results.values()
        )
        growth.append((str(images), *cells))
    slow = [name for name, times in results.items() if times.ratio(largest) > MOST_RATIO]
    return PAGE.format(
        dims=DIMS,
        machine=where,
        commands=_lines(commands),
        verdict=_verdict(commands, "kmeans", MOST_S),
        probes=_lines(probes),
        probe_verdict=_verdict(probes, "linear", MOST_PROBE_S),
        largest=largest,
        turns=size.turns[largest],
        k=K,
        ways=table_lines(ways),
        ratios=f"At most {MOST_RATIO} times the plain call was asked for: "
        + (f"missed by {', '.join(slow)}." if slow else "kept by all."),
        names=" | ".join(results),
        rules="---|" * len(results),
        growth=table_lines(growth),
    )


def _lines(commands: list[Command]) -> str:
    rows = [
        (str(one.images), one.method, f"{one.seconds:.1f}", f"{one.processor_s:.1f}", _memory(one))
        for one in commands
    ]
    return table_lines(rows)


def _memory(command: Command) -> str:
    return "not known" if command.gigabytes is None else f"{command.gigabytes:.2f}"


def _verdict(commands: list[Command], method: str, most_s: int) -> str:
    """Return what was asked for beside what the default method needed at the largest number of images."""
    one = max((one for one in commands if one.method == method), key=lambda one: one.images)
    kept = one.seconds <= most_s and (one.gigabytes or 0) <= MOST_GB
    return (
        f"Asked for were at most {most_s} s and {MOST_GB:.0f} GB with the default: for {one.images} "
        f"images it took {one.seconds:.0f} s and {_memory(one)} GB, so that is "
        f"{'kept' if kept else '**missed**'}."
    )


def machine() -> str:
    """Name the machine and the versions of what was timed."""
    here = provenance.machine()
    load = f", load {os.getloadavg()[0]:.1f} before the run" if hasattr(os, "getloadavg") else ""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{here['processor']}, {min(here['cores'], CORES)} of {here['cores']} cores, {platform.system()}"
        f"{load}; Python {platform.python_version()}, {packages}; {date.today()}"
    )


def draw_growth(results: dict[str, Times], path: Path) -> None:
    """Draw seconds against the number of images, one panel for maps and one for methods."""
    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
    panels: dict[str, list[str]] = {"maps": [], f"methods ({K} clusters)": []}
    for name in results:
        panels["maps" if name in MAPS else f"methods ({K} clusters)"].append(name)
    with mpl.rc_context({"font.size": 9}):
        figure, both = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained", sharey=True)
        for axes, (title, names) in zip(both, panels.items(), strict=True):
            for name, colour, marker in zip(names, colours, "osD^", strict=False):
                times = results[name]
                counts = list(times.ours)
                for label, of, style in ((name, times.ours, "-"), (None, times.plain, ":")):
                    medians = [statistics.median(of[count]) for count in counts]
                    axes.plot(counts, medians, style, color=colour, marker=marker, ms=4, label=label)
            axes.plot([], [], "k:", label="the plain call")
            axes.set(xscale="log", yscale="log", xlabel="images", title=title)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        both[0].set_ylabel("seconds (median)")
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Measure and write the page and its figure."""
    parser = argparse.ArgumentParser(description="Time clustering and probing, and maps beside plain calls.")
    parser.add_argument("--quick", action="store_true", help="a few images, twice: does it run at all?")
    parser.add_argument("--output", type=Path, help="folder (docs/benchmarks; results/benchmarks if quick)")
    arguments = parser.parse_args(argv)
    size = QUICK if arguments.quick else FULL
    output = arguments.output or ROOT / ("results" if arguments.quick else "docs") / "benchmarks"
    output.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    where = machine()
    mpl.use("Agg")
    commands = []
    for images in size.commands:
        with tempfile.TemporaryDirectory() as folder:
            write_run(Path(folder), images)
            methods = ("kmeans", *(size.others if images == max(size.commands) else ()))
            commands += [run_command(Path(folder), images, method) for method in methods]
    probes = []
    for images in size.probes:
        with tempfile.TemporaryDirectory() as folder:
            write_run(Path(folder), images)
            probes.append(run_probe(Path(folder), images))
    results = measure(size)
    draw_growth(results, output / "analysis.png")
    text = page(size, where, results, commands, probes)
    (output / "analysis.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
