"""Measure mammograms to embeddings, beside what people use today and beside the machine's limit.

``make bench`` writes ``docs/benchmarks/embedding.md`` and ``embedding.png`` in about half an hour on 2 cores.
Each contestant is a process of its own (`contestants.py`). All are started and warmed up, then take turns,
each blocked while another runs, so that a slow moment of the machine affects all; comparisons are made
within a turn. The measurements are kept as JSON beside the page that `bench_page.py` makes of them: one
section can be measured again, on another day or machine, and the others stay.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import bench_page
import bench_reading
import bench_scale
import numpy as np
import pydicom
import torch
from bench_imaging import COLUMNS, ROOT, ROWS, machine, seconds, write_files
from contestants import USUAL_BATCH
from pydicom.uid import UID
from tqdm import tqdm

from course_utils.analysis.agreement import agreement
from course_utils.imaging.datasets import real_mammograms, sample_cohort
from course_utils.phantoms import Phantom

SECTIONS = {
    "a": "network only, beside the machine's limit (c), and the price of determinism",
    "b": "files to vectors, and decoding",
    "d": "cost as the number of files grows",
    "e": "start",
    "f": "what precision does to vectors",
    "g": "what shards and Ray cost",
    "h": "reading at a fraction of the size",
}
THINGSVISION = ROOT / ".venv-thingsvision" / "bin" / "python"
SYNTAXES = ("uncompressed", "RLE", "JPEG-LS", "JPEG 2000", "JPEG lossless")

Record = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    pause_s: float = 0.2  # between two contestants, for threads that still spin after their work
    turns: int = 7
    batches: tuple[int, int] = (8, 32)
    least_s: float = 1.5
    loop_s: float = 0.7
    product: int = 4096
    file_turns: int = 3
    rows: int = ROWS
    columns: int = COLUMNS
    copies: int = 16
    our_files: tuple[int, int] = (96, 32)  # uncompressed, compressed
    usual_files: int = 24
    growth: tuple[int, ...] = (100, 1000, 10_000)
    starts: int = 5
    mammograms: int = 32  # at most; the real ones come first
    scale: bench_scale.Lengths = field(default_factory=bench_scale.Lengths)
    reading: bench_reading.Amount = field(default_factory=bench_reading.Amount)


QUICK = Size(
    pause_s=0,
    turns=2,
    batches=(1, 2),
    least_s=0.05,
    loop_s=0.02,
    product=512,
    file_turns=1,
    rows=640,
    columns=492,
    copies=2,
    our_files=(4, 4),
    usual_files=2,
    growth=(4, 8),
    starts=1,
    mammograms=12,
    scale=bench_scale.Lengths(files=2, turns=1, small=(2, 4)),
    reading=bench_reading.QUICK,
)


# --- Contestants --------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """The environment of what is measured, without what importing the course sets for itself alone."""
    own = {"OMP_WAIT_POLICY", "ARROW_DEFAULT_MEMORY_POOL"}
    return {name: value for name, value in os.environ.items() if name not in own}


class Contestant:
    """A contestant's process. It starts at once; `ready` waits for it."""

    def __init__(self, label: str, spec: Record, python: str | Path = sys.executable):
        self.label = label
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("contestants.py")), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(),
        )
        self._about: Record | None = None

    def ready(self) -> Record:
        """What the contestant says about itself: its `versions`, or what is `missing`."""
        if self._about is None:
            self._about = self._answer()
        return self._about

    def ask(self, do: str, task: str, arguments: Record, **more: Any) -> Record:
        """Send a request and wait for the answer."""
        assert self._process.stdin is not None
        request = {"do": do, "task": task, "arguments": arguments, **more}
        with contextlib.suppress(BrokenPipeError):  # it has ended: its last words say why
            print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Record:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(f"{self.label} ended:\n{self._errors.read().decode(errors='replace')[-3000:]}")
        answer: Record = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def course(device: str = "cpu", **options: Any) -> Record:
    """The course as a contestant."""
    defaults = {"precision": "fp32", "engine": "torch", "deterministic": False}
    return {"contestant": "course", "device": device, **defaults, **options}


def usual(contestant: str, device: str = "cpu") -> Record:
    """What people use today as a contestant."""
    return {"contestant": contestant, "device": device}


USUAL = {
    "torchvision": usual("torchvision"),
    "torchvision's feature extractor": usual("torchvision_features"),
    "timm": usual("timm"),
    "img2vec_pytorch": usual("img2vec_pytorch"),
    "thingsvision": usual("thingsvision"),
}
OURS = {
    "course_utils fp32": course(),
    "course_utils bf16": course(precision="bf16"),
    "course_utils, OpenVINO fp32": course(engine="openvino"),
    "course_utils, OpenVINO bf16": course(engine="openvino", precision="bf16"),
    "course_utils fp32, deterministic": course(deterministic=True),
    bench_page.INT8: {"contestant": "int8", "device": "cpu"},
}
ON_CUDA = {
    "torchvision, CUDA": usual("torchvision", "cuda"),
    "course_utils fp32, CUDA": course("cuda"),
    "course_utils bf16, CUDA": course("cuda", precision="bf16"),
    "course_utils fp16, CUDA": course("cuda", precision="fp16"),
}


def on_cuda() -> dict[str, Record]:
    """The contestants that a CUDA device adds."""
    return ON_CUDA if torch.cuda.is_available() else {}


@contextlib.contextmanager
def started(specs: dict[str, Record], folder: Path, weights: Path) -> Iterator[dict[str, Contestant]]:
    """Start contestants, all at once; close them at the end."""
    contestants = {}
    for label, spec in specs.items():
        python: str | Path = sys.executable
        if spec["contestant"] == "thingsvision":
            python = os.environ.get("COURSE_THINGSVISION_PYTHON", THINGSVISION)
            if not Path(python).exists():
                continue
        whole = {**spec, "folder": str(folder), "weights": str(weights)}
        contestants[label] = Contestant(label, whole, python)
    try:
        yield contestants
    finally:
        for contestant in contestants.values():
            contestant.close()


def missing_of(specs: dict[str, Record], contestants: dict[str, Contestant]) -> dict[str, str]:
    """Which contestants are not there, and what they lack; the others are ready after this."""
    lack = {label: "its environment (`make bench-rivals`)" for label in specs if label not in contestants}
    for label, contestant in contestants.items():
        if "missing" in contestant.ready():
            lack[label] = contestant.ready()["missing"]
    return lack


@dataclass(frozen=True)
class Step:
    """One measurement in each turn: who does what, for how long at least, and what its rate is called."""

    key: str
    contestant: Contestant
    task: str
    arguments: Record
    least_s: float = 0.0

    def prepare(self, **more: Any) -> Record:
        """Do it once, untimed."""
        return self.contestant.ask("prepare", self.task, self.arguments, **more)

    def go(self) -> Record:
        """Do it; return its `rate` (images or operations per second) and page `faults` per unit of work."""
        answer = self.contestant.ask("go", self.task, self.arguments, least_seconds=self.least_s)
        amount = answer["amount"]
        return {"rate": amount / answer["seconds"], "faults": answer["faults"] / amount}


def take_turns(steps: list[Step], turn: int, pause_s: float, tick: Callable[[], object]) -> Record:
    """One turn of all steps; each turn begins with a different one."""
    first = turn % max(1, len(steps))
    measured = {}
    for step in steps[first:] + steps[:first]:
        time.sleep(pause_s)
        measured[step.key] = step.go()
        tick()
    return measured


def write_weights(folder: Path) -> Path:
    """Write random ResNet-50 weights, also where torchvision would keep ImageNet's below `folder`."""
    from torchvision.models import ResNet50_Weights, resnet50

    file = folder / "resnet50.pt"
    torch.manual_seed(0)
    torch.save(resnet50(weights=None).state_dict(), file)
    cache = folder / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    os.link(file, cache / Path(ResNet50_Weights.DEFAULT.url).name)
    return file


# --- Sections -----------------------------------------------------------------------------------------------


def network(size: Size, folder: Path, tick: Callable[[], object]) -> Record:
    """(a) and (c): every contestant's network, the loop and the matrix products, in turns."""
    weights = folder / "resnet50.pt"
    small, large = size.batches
    specs = {**USUAL, **OURS, **on_cuda(), "machine": {"contestant": "machine"}}
    with started(specs, folder, weights) as contestants:
        missing = missing_of(specs, contestants)
        steps = []
        for label, contestant in contestants.items():
            if label in missing or label == "machine":
                continue
            steps += [
                Step(bench_page.at(label, batch), contestant, "network", {"batch": batch}, size.least_s)
                for batch in _batches(label, small, large)
            ]
        differences = _differences(steps, bench_page.at("torchvision", large), folder, tick)
        not_measurable: dict[str, str] = {}
        limits = limit_steps(size, contestants["machine"], not_measurable)
        for step in limits:
            step.prepare()
            tick()
        steps += limits
        flops = contestants["machine"].ask("prepare", "flops", {})["value"]
        return {
            "batches": list(size.batches),
            "flops": flops,
            "missing": missing,
            "not_measurable": not_measurable,
            "versions": {
                label: contestant.ready().get("versions", {}) for label, contestant in contestants.items()
            },
            "differences": differences,
            "auto": _chosen(contestants[bench_page.FP32], small, tick),
            "turns": [take_turns(steps, turn, size.pause_s, tick) for turn in range(size.turns)],
        }


def limit_steps(size: Size, machine: Contestant, not_measurable: dict[str, str]) -> list[Step]:
    """(c): what may be the machine's limit; what it lacks for the others is noted in `not_measurable`."""
    tasks: list[tuple[str, str, Record, float]] = [
        ("loop", "loop", {"seconds": size.loop_s}, 0.0),
        ("matrix product", "product", {"side": size.product, "seconds": 10 * size.loop_s}, size.loop_s),
    ]
    steps = [
        Step(f"{name} {precision}", machine, task, {"precision": precision, **arguments}, least_s)
        for name, task, arguments, least_s in tasks
        for precision in ("fp32", "bf16")
    ]
    return _possible(steps, "", not_measurable)


def _batches(label: str, small: int, large: int) -> tuple[int, ...]:
    """The batch sizes at which a network is measured: where it matters, and where its users have it."""
    if label in ON_CUDA:
        return large, 8 * large
    if label == bench_page.DETERMINISTIC:
        return (small,)
    if label in (bench_page.FP32, bench_page.OPENVINO):
        return tuple(sorted({1, small, large}))
    return (large,) if label in USUAL and label != "torchvision" else (small, large)


def _chosen(contestant: Contestant, small: int, tick: Callable[[], object]) -> dict[str, str]:
    """Which engine `auto` chooses while nobody else works, by precision and batch size."""
    chosen = {}
    for precision, batch in dict.fromkeys((("fp32", 1), ("fp32", small), ("bf16", small))):
        answer = contestant.ask("prepare", "chosen", {"precision": precision, "batch": batch})
        chosen[bench_page.at(precision, batch)] = "openvino" if answer["value"] else "torch"
        tick()
    return chosen


def _differences(
    steps: list[Step], reference_key: str, folder: Path, tick: Callable[[], object]
) -> dict[str, float]:
    """Warm up; how far each contestant's vectors are from plain torchvision's, as a share of its largest."""
    vectors = {}
    for step in steps:
        file = folder / "vectors.npy"
        step.prepare()  # some pages are not mapped until the second time
        step.prepare(save=str(file))
        vectors[step.key] = np.load(file)
        tick()
    reference = vectors[reference_key]
    return {  # the pictures of a small batch are the first ones of a larger one
        key: float(np.abs(found[: len(reference)] - reference[: len(found)]).max() / np.abs(reference).max())
        for key, found in vectors.items()
    }


def files(size: Size, folder: Path, tick: Callable[[], object]) -> Record:
    """(b): files to vectors for each transfer syntax, reading and inference alone, and decoding."""
    (folder / "files").mkdir()
    written = write_files(folder / "files", size.rows, size.columns)
    copies = {syntax: _copies(written[syntax], size.copies) for syntax in SYNTAXES}
    usual_specs = {label: spec for label, spec in USUAL.items() if label != "torchvision"}
    our_specs = {label: OURS[label] for label in (bench_page.FP32, bench_page.BF16)}
    decoder = {bench_page.DECODER: {"contestant": "pydicom"}}
    specs = {**usual_specs, **our_specs, **on_cuda(), **decoder}
    with started(specs, folder, folder / "resnet50.pt") as contestants:
        missing = missing_of(specs, contestants)
        here = {label: c for label, c in contestants.items() if label not in {*missing, *decoder}}
        for label, contestant in here.items():
            Step(label, contestant, "files", {"paths": copies["uncompressed"][:2]}).prepare()
            tick()
        plans = {}
        for syntax in SYNTAXES:
            ours = _cycled(copies[syntax], size.our_files[syntax != "uncompressed"])
            theirs = _cycled(copies[syntax], size.usual_files)
            steps = [
                Step(label, c, "files", {"paths": ours if label.startswith("course_utils") else theirs})
                for label, c in here.items()
            ]
            reading = Step("reading", here[bench_page.FP32], "reading", {"paths": ours})
            plans[syntax] = _possible([*steps, reading], syntax, missing)
        plans["inference"] = [
            Step(label, here[label], "pictures", {"batch": size.batches[0]}, size.least_s)
            for label in our_specs
        ]
        plans["decode"] = _possible(
            [
                Step("ours", here[bench_page.FP32], "decode", {"paths": copies["JPEG lossless"][:1]}, 0.3),
                Step(
                    bench_page.DECODER,
                    contestants[bench_page.DECODER],
                    "decode",
                    {"paths": copies["JPEG lossless"][:1]},
                    0.3,
                ),
            ],
            "JPEG lossless",
            missing,
        )
        answers = [step.prepare() for step in plans["inference"] + plans["decode"]]
        hashes = [answer["sha256"] for answer in answers if "sha256" in answer]
        turns = [
            {name: take_turns(steps, turn, size.pause_s, tick) for name, steps in plans.items()}
            for turn in range(size.file_turns)
        ]
    return {
        "shape": [size.rows, size.columns],
        "counts": {"ours": size.our_files, "usual": size.usual_files, "usual_batch": USUAL_BATCH},
        "missing": missing,
        "same_pixels": len(hashes) == 2 and hashes[0] == hashes[1],
        "turns": turns,
    }


def _possible(steps: list[Step], where: str, missing: dict[str, str]) -> list[Step]:
    """The steps that this machine can do; what the others lack is noted in `missing`."""
    possible = []
    for step in steps:
        lacking = step.contestant.ask("build", step.task, step.arguments).get("missing")
        if lacking:
            missing[f"{step.key}, {where}" if where else step.key] = lacking
        else:
            possible.append(step)
    return possible


def _copies(path: Path, count: int) -> list[str]:
    """Copies of a file, so that not all of it stays in the processor's cache."""
    return [str(shutil.copyfile(path, path.with_stem(f"{path.stem}-{i}"))) for i in range(count)]


def _cycled(paths: list[str], count: int) -> list[str]:
    return [paths[i % len(paths)] for i in range(count)]


CHILD = """
import re, sys
from pathlib import Path
from course_utils.cli import main
status = main(sys.argv[1:])
report = Path("/proc/self/status")
if report.exists():
    print(re.search(r"VmHWM:\\s+(\\d+) kB", report.read_text())[1], file=sys.stderr)
sys.exit(status)
"""
"""`course …`, then the most memory that it took, in kB, as the last line on standard error (Linux only)."""


def growth(size: Size, folder: Path, tick: Callable[[], object]) -> Record:
    """(d): `course embed` over more and more small files: fresh, with half of them in the store, with all."""
    most = max(size.growth)
    paths = write_small_files(folder / "small", most)
    rows = []
    for count in size.growth:
        inputs = _linked(paths[:count], folder / f"small-{count}")
        store = folder / f"store-{count}"
        rows.append(_embed("fresh", inputs, store, folder))
        tick()
        rows.append(_embed("cached", inputs, store, folder))
        tick()
        if count == most:
            half = folder / f"store-{count // 2}"
            if not half.exists():
                _embed("", _linked(paths[: count // 2], folder / "small-half"), half, folder)
            tick()
            rows.append(_embed("resumed", inputs, half, folder))
            tick()
    return {"rows": rows}


def write_small_files(folder: Path, count: int) -> list[Path]:
    """Write a few small phantoms over and over, each with a SOPInstanceUID, and so a hash, of its own."""
    folder.mkdir()
    stem = "2.25.123456789"
    templates = []
    for seed, rows in enumerate((128, 144, 160, 176)):
        path = folder / "template.dcm"
        Phantom(rows=rows, seed=seed).write(path, compress=False)
        ds = pydicom.dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{stem}000000")
        ds.save_as(path)
        templates.append(path.read_bytes())
        path.unlink()
    paths = [folder / f"{i:06d}.dcm" for i in range(count)]
    for i, path in enumerate(paths):
        uids = f"{stem}000000".encode(), f"{stem}{i:06d}".encode()
        path.write_bytes(templates[i % len(templates)].replace(*uids))
    return paths


def _linked(paths: list[Path], folder: Path) -> Path:
    folder.mkdir()
    for path in paths:
        os.link(path, folder / path.name)
    return folder


def _embed(kind: str, inputs: Path, store: Path, folder: Path) -> Record:
    """Run `course embed` over a folder; its times and its peak memory."""
    output = folder / "out"
    command = [sys.executable, "-c", CHILD, "embed", str(inputs), "-o", str(output), "--cache", str(store)]
    command += ["--backbone", "efficientnet_lite0", "--device", "cpu"]
    begun = time.perf_counter()
    answer = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    command_s = time.perf_counter() - begun
    if answer.returncode != 0:
        raise RuntimeError(f"course embed failed: {answer.stderr[-2000:]}")
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    assert record["counts"]["failed"] == 0, "a file of the benchmark could not be read"
    last = answer.stderr.strip().rpartition("\n")[2]
    return {
        "files": record["counts"]["found"],
        "from_store": record["counts"]["from_store"],
        "kind": kind,
        "command_s": command_s,
        "extraction_s": record["timings"]["total_s"],
        "peak_mb": int(last) / 1024 if last.isdecimal() else None,
    }


def start(size: Size, folder: Path, tick: Callable[[], object]) -> Record:
    """(e): `course --help`, and `course embed` of one file beside torch's own import."""
    program = shutil.which("course", path=str(Path(sys.executable).parent))
    course_command = [program] if program else [sys.executable, "-m", "course_utils.cli"]
    (folder / "one").mkdir()
    one = write_files(folder / "one", size.rows, size.columns)["uncompressed"]
    embed = [*course_command, "embed", one, "-o", folder / "one-out", "--no-cache"]
    embed += ["--backbone", "resnet50", "--weights", folder / "resnet50.pt", "--device", "cpu"]
    commands = {
        "help": [*course_command, "--help"],
        "first": embed,
        "torch": [sys.executable, "-c", "import torch"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(size.starts + 1):
        for name, command in commands.items():
            took = seconds(
                subprocess.run, command, capture_output=True, env=environment(), check=True, cwd=folder
            )
            if turn or size is QUICK:  # the first reads everything into the page cache
                times[name].append(took)
            tick()
        if size is QUICK:
            break
    return times


def fidelity(size: Size, folder: Path, tick: Callable[[], object]) -> Record:
    """(f): vectors of real and synthetic mammograms by each engine and precision, against plain PyTorch's."""
    paths = [*real_mammograms()["path"], *sample_cohort()["path"]]
    paths = paths[: size.mammograms]
    spec = {"contestant": "pretrained", "paths": [str(path) for path in paths]}
    plans: dict[str, Record] = {
        "torch fp32": {},
        "torch fp32, folded": {"adapter": "folded"},
        "torch bf16": {"precision": "bf16"},
        "OpenVINO fp32": {"engine": "openvino"},
        "OpenVINO bf16": {"engine": "openvino", "precision": "bf16"},
        "OpenVINO int8 (not offered)": {"int8": True},
    }
    if torch.cuda.is_available():
        plans |= {
            f"torch {precision}, CUDA": {"device": "cuda", "precision": precision}
            for precision in ("fp32", "bf16", "fp16")
        }
    with started({"pretrained": spec}, folder, folder / "resnet50.pt") as contestants:
        contestant = contestants["pretrained"]
        about = contestant.ready()["about"]
        file = folder / "vectors.npy"

        def vectors(options: Record) -> np.ndarray | str:
            task, more = ("int8", {}) if "int8" in options else ("vectors", {"device": "cpu", **options})
            answer = contestant.ask("prepare", task, more, save=str(file))
            tick()
            return answer["missing"] if "missing" in answer else np.load(file)

        reference = vectors({"fuse": False})
        assert not isinstance(reference, str)
        rows, missing = {}, {}
        for label, options in plans.items():
            found = vectors(options)
            if isinstance(found, str):
                missing[label] = found
            else:
                rows[label] = agreement(reference, found).to_dict()
    return {**about, "images": len(paths), "rows": rows, "missing": missing}


def scale(size: Size, folder: Path, tick: Callable[[], object]) -> Record:
    """(g): shards and Ray beside one process (see `bench_scale`)."""
    (folder / "g").mkdir()
    large = write_files(folder / "g", size.rows, size.columns)["uncompressed"]
    return bench_scale.measure(size.scale, folder, large, write_small_files, environment(), tick)


def reading(size: Size, folder: Path, tick: Callable[[], object]) -> Record:
    """(h): full and fast reading beside each other, and what it does to vectors (see `bench_reading`)."""
    (folder / "h").mkdir()
    written = write_files(folder / "h", size.rows, size.columns)
    label = bench_page.FP32
    with started({label: OURS[label]}, folder, folder / "resnet50.pt") as contestants:
        course_ = contestants[label]
        course_.ready()
        Step(label, course_, "files", {"paths": [str(written["uncompressed"])]}).prepare()
        plans = {}
        for syntax in bench_reading.SYNTAXES:
            paths = _cycled(_copies(written[syntax], size.copies), size.our_files[1])
            picture = {"paths": paths, "size": size.reading.size}
            steps = [
                Step(f"{syntax}, {task}, {read}", course_, task, {**picture, "read": read})
                for task in ("files", "reading")
                for read in bench_reading.READS
            ]
            plans[syntax] = _possible(steps, "", {})
        turns = [
            {
                key: found
                for steps in plans.values()
                for key, found in take_turns(steps, turn, size.pause_s, tick).items()
            }
            for turn in range(size.file_turns)
        ]
    compared = bench_reading.fidelity(size.reading, folder / "h", tick)
    return {"shape": [size.rows, size.columns], "turns": turns, **compared}


Measure = Callable[[Size, Path, Callable[[], object]], Record]
MEASURES: dict[str, Measure] = {
    "a": network,
    "b": files,
    "d": growth,
    "e": start,
    "f": fidelity,
    "g": scale,
    "h": reading,
}
EXPECTED_S = {
    "a": 220,
    "b": 620,
    "d": 300,
    "e": 60,
    "f": 60,
    "g": 400,
    "h": 400,
}  # on 2 cores; only to estimate the time left


def steps_of(section: str, size: Size) -> int:
    """About how often a section ticks, if nothing is missing."""
    cuda = len(on_cuda())
    return {
        "a": (20 + 2 * cuda + 4) * (size.turns + 1) + 3,
        "b": 7 + cuda + size.file_turns * (len(SYNTAXES) * (7 + cuda) + 4),
        "d": 2 * len(size.growth) + 2,
        "e": 3 * (size.starts + (size is not QUICK)),
        "f": 7 + (3 if cuda else 0),
        "g": bench_scale.steps(size.scale),
        "h": 8 * size.file_turns + 9,
    }[section]


def main(argv: list[str] | None = None) -> int:
    """Measure, keep the measurements, write the page and its figure."""
    parser = argparse.ArgumentParser(
        description="Measure mammograms to embeddings, beside what people use today."
    )
    parser.add_argument("--quick", action="store_true", help="a little of everything: does it run at all?")
    parser.add_argument(
        "--only",
        default="",
        metavar="a,b,d,e,f,g,h",
        help="sections: " + "; ".join(f"{letter}: {what}" for letter, what in SECTIONS.items()),
    )
    parser.add_argument("--draw", action="store_true", help="measure nothing, just write the page again")
    parser.add_argument(
        "--output", type=Path, help="folder (default: docs/benchmarks; results/benchmarks/quick if quick)"
    )
    arguments = parser.parse_args(argv)
    size = QUICK if arguments.quick else Size()
    folder = ROOT / "results" / "benchmarks" / "quick" if arguments.quick else ROOT / "docs" / "benchmarks"
    output = arguments.output or folder
    measured = output / "embedding.json"
    results: dict[str, Record] = {}
    if measured.exists() and (arguments.draw or arguments.only):
        results = json.loads(measured.read_text(encoding="utf-8"))
    asked = set((arguments.only or ",".join(SECTIONS)).replace("c", "a").split(","))
    if asked - set(SECTIONS):
        parser.error("--only takes letters from a to h separated by commas")
    chosen = [letter for letter in SECTIONS if letter in asked]
    if arguments.draw and not results:
        parser.error("nothing has been measured yet")
    if not arguments.draw:
        output.mkdir(parents=True, exist_ok=True)
        _measure(chosen, size, results, measured)
    bench_page.draw(results, output / "embedding.png")
    text = bench_page.page(results)
    (output / "embedding.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _measure(chosen: list[str], size: Size, results: dict[str, Record], keep: Path) -> None:
    where = f"{machine()}; torch {torch.__version__}"
    weight = {letter: EXPECTED_S[letter] / steps_of(letter, size) for letter in chosen}
    total = sum(EXPECTED_S[letter] for letter in chosen)
    layout = "{desc}{percentage:3.0f}% |{bar}| {elapsed}, {remaining} left"
    with tempfile.TemporaryDirectory() as folder, tqdm(total=total, bar_format=layout) as bar:
        write_weights(Path(folder))
        done = 0.0
        for letter in chosen:
            bar.set_description(f"{letter}: {SECTIONS[letter].partition(',')[0]}")
            begun = time.perf_counter()
            section = MEASURES[letter](size, Path(folder), partial(bar.update, weight[letter]))
            took = time.perf_counter() - begun
            results[letter] = {"where": where, "took_s": took, "quick": size is QUICK, **section}
            keep.write_text(json.dumps(results, indent=1), encoding="utf-8")
            done += EXPECTED_S[letter]
            bar.update(done - bar.n)


if __name__ == "__main__":
    raise SystemExit(main())
