"""The page and the figure of `make bench`, made from its measurements and from nothing else.

In: what `bench.py` keeps as JSON, section by section; a section that is not there is named as not measured.
Every verdict is computed here: the target and how it is judged stand side by side in `verdicts`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bench_reading
import bench_scale
import matplotlib as mpl
import numpy as np
from bench_imaging import table_lines
from matplotlib import pyplot as plt

Record = dict[str, Any]
Turns = list[Record]

FP32, BF16 = "course_utils fp32", "course_utils bf16"
OPENVINO = "course_utils, OpenVINO fp32"
OPENVINO_BF16 = "course_utils, OpenVINO bf16"
INT8 = "OpenVINO int8 (not offered)"
DETERMINISTIC = "course_utils fp32, deterministic"
NETWORKS = ("torchvision", "torchvision's feature extractor", "timm")  # against which the network is judged
LIBRARIES = ("torchvision's feature extractor", "timm", "img2vec_pytorch", "thingsvision")
DECODER = "pydicom's default decoder"
LIMITS = ("loop", "matrix product")  # what may be the machine's limit
NOT_MEASURED = "not measured"
NOT_MEASURABLE = "not measurable here"


def at(label: str, batch: int) -> str:
    """The name of a contestant's network at a batch size."""
    return f"{label} × {batch}"


# --- From turns to numbers ----------------------------------------------------------------------------------


def over_turns(turns: Turns, value: Callable[[Record], float]) -> float | None:
    """The median over the turns of a value made within each of them; None if something is missing."""
    try:
        return statistics.median(value(turn) for turn in turns)
    except (KeyError, ValueError, statistics.StatisticsError):
        return None


def rate(turns: Turns, key: str) -> float | None:
    """The median rate of one contestant."""
    return over_turns(turns, lambda turn: turn[key]["rate"])


def ratio(turns: Turns, key: str, *others: str) -> float | None:
    """The median of a contestant's rate over the best of the others' in the same turn."""
    return over_turns(
        turns,
        lambda turn: turn[key]["rate"] / max(turn[other]["rate"] for other in others if other in turn),
    )


def allowed(turn: Record, syntax: str, label: str) -> float:
    """Images per second if reading and inference, each measured alone on all cores, took turns on them."""
    return 1 / (1 / turn[syntax]["reading"]["rate"] + 1 / turn["inference"][label]["rate"])


def reaches(turns: Turns, syntax: str, label: str) -> float | None:
    """The share of what the cores allow that a contestant reaches from files to vectors."""
    return over_turns(turns, lambda turn: turn[syntax][label]["rate"] / allowed(turn, syntax, label))


def taken_as_limit(turns: Turns, precision: str) -> str | None:
    """What did the most operations a second in a precision, "loop" or "matrix product"; None: no limit.

    A processor without bf16 has neither a loop of it nor a product that is faster than in fp32: PyTorch then
    widens the numbers one by one, which is no limit of anything.
    """
    rates = {kind: found for kind in LIMITS if (found := rate(turns, f"{kind} {precision}")) is not None}
    if precision == "bf16" and "loop" not in rates:
        gain = ratio(turns, "matrix product bf16", "matrix product fp32")
        if gain is not None and gain <= 1:
            return None
    return max(rates, key=lambda kind: rates[kind], default=None)


def of_limit(section: Record, label: str, limit: str) -> float | None:
    """The share of a limit (operations a second) that a contestant's network reaches at the large batch."""
    key = at(label, section["batches"][1])
    return over_turns(
        section["turns"], lambda turn: turn[key]["rate"] * section["flops"] / turn[limit]["rate"]
    )


# --- The verdicts -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """One line of what was asked for: at least, or at most, so much."""

    section: str
    what: str
    bound: float
    measured: float | None
    form: str
    at_most: bool = False
    holds: bool = True  # what else has to be true
    absent: str = NOT_MEASURED  # what is said if nothing was measured
    instead: str = ""  # what keeps the target where the bound is missed

    @property
    def verdict(self) -> str:
        """Kept, missed, or why there is none."""
        if self.measured is None:
            return self.absent
        within = self.measured <= self.bound if self.at_most else self.measured >= self.bound
        if within and self.holds:
            return "kept"
        return f"kept: {self.instead}" if self.instead else "**missed**"

    def line(self) -> tuple[str, ...]:
        """A row of the table."""
        sign = "≤" if self.at_most else "≥"
        measured = self.absent if self.measured is None else self.form.format(self.measured)
        return self.section, self.what, f"{sign} {self.form.format(self.bound)}", measured, self.verdict


def verdicts(results: Record) -> list[Target]:
    """Every target beside what was measured."""
    return [
        *_network_targets(results.get("a", {"turns": [], "batches": [8, 32], "flops": 1.0})),
        *_file_targets(results.get("b", {"turns": [], "same_pixels": None})),
        *_growth_targets(results.get("d", {"rows": []})["rows"]),
        *_start_targets(results.get("e", {})),
        *_fidelity_targets(results.get("f", {"rows": {}})["rows"]),
        *_scale_targets(results.get("g", {"turns": [], "small": [], "missing": {}})),
        *(Target("h", *target) for target in bench_reading.targets(results.get("h", {}))),
    ]


def _network_targets(section: Record) -> list[Target]:
    turns, large = section["turns"], section["batches"][1]
    usual = [at(label, large) for label in NETWORKS]
    ours, openvino = at(FP32, large), at(OPENVINO, large)
    plain = f"the best of plain torchvision, its feature extractor and timm at batch {large}"
    return [
        Target("a", f"network, fp32: times {plain}", 2.2, ratio(turns, ours, *usual), "{:.2f}"),
        Target("a", f"network, bf16: times {plain}", 4, ratio(turns, at(BF16, large), *usual), "{:.2f}"),
        _engine_target(section, "fp32", large, 0.97, ratio(turns, ours, openvino)),
        _engine_target(section, "bf16", large, 0.95, ratio(turns, at(BF16, large), at(OPENVINO_BF16, large))),
        _engine_target(section, "fp32", 1, 0.90, ratio(turns, at(FP32, 1), at(OPENVINO, 1))),
        _limit_target(section, "fp32", FP32, 0.80),
        _limit_target(section, "bf16", BF16, 0.75),
    ]


def _engine_target(section: Record, precision: str, batch: int, bound: float, share: float | None) -> Target:
    """PyTorch as a share of OpenVINO, or `auto` takes OpenVINO; it is asked at the batches of its users."""
    what = f"network, {precision}, batch {batch}: PyTorch as a share of OpenVINO, or `auto` takes OpenVINO"
    asked = at(precision, min(batch, section["batches"][0]))
    takes = section.get("auto", {}).get(asked) == "openvino"
    instead = "`auto` takes OpenVINO" if takes else ""
    return Target("a", what, bound, share, "{:.2f}", instead=instead)


def _limit_target(section: Record, precision: str, label: str, bound: float) -> Target:
    turns, what = section["turns"], f"network, {precision}: share of the limit"
    taken = taken_as_limit(turns, precision)
    if taken is None:
        absent = NOT_MEASURABLE if turns else NOT_MEASURED
        return Target("c", what, bound, None, "{:.0%}", absent=absent)
    share = of_limit(section, label, f"{taken} {precision}")
    return Target("c", f"{what} ({taken})", bound, share, "{:.0%}")


def _file_targets(section: Record) -> list[Target]:
    turns, syntax = section["turns"], "uncompressed"
    share = reaches(turns, syntax, FP32)
    uncompressed = [turn[syntax] for turn in turns]
    decoding = [turn["decode"] for turn in turns]
    return [
        Target("b", "files to vectors, uncompressed: share of what the cores allow", 0.90, share, "{:.0%}"),
        Target(
            "b",
            "files to vectors, uncompressed, fp32: times the best of the usual code",
            3,
            ratio(uncompressed, FP32, *LIBRARIES),
            "{:.1f}",
        ),
        Target(
            "b",
            "JPEG lossless: times pydicom's default decoder, the same pixels",
            2.5,
            ratio(decoding, "ours", DECODER),
            "{:.1f}",
            holds=bool(section["same_pixels"]),
        ),
    ]


def _growth_targets(rows: list[Record]) -> list[Target]:
    counts = sorted({row["files"] for row in rows})
    peaks = {(row["kind"], row["files"]): row["peak_mb"] for row in rows}
    growths = [
        peaks[kind, counts[-1]] / peaks[kind, counts[-2]]
        for kind in ("fresh", "cached")
        if len(counts) > 1 and peaks.get((kind, counts[-1])) and peaks.get((kind, counts[-2]))
    ]
    cached = [row for row in rows if row["kind"] == "cached" and row["files"] == counts[-1]]
    most, less = (
        f"{count:,}".replace(",", " ") for count in (counts[-1:-3:-1] if len(counts) > 1 else (10_000, 1000))
    )
    return [
        Target(
            "d",
            f"peak memory of {most} files over that of {less}, fresh or cached",
            1.05,
            max(growths, default=None),
            "{:.2f}",
            at_most=True,
        ),
        Target(
            "d",
            f"{most} files, cached: files a second",
            2000,
            cached[0]["files"] / cached[0]["extraction_s"] if cached else None,
            "{:.0f}",
        ),
    ]


def _start_targets(section: Record) -> list[Target]:
    aid = first = None
    if section:
        aid = statistics.median(section["help"])
        first = statistics.median(a - b for a, b in zip(section["first"], section["torch"], strict=True))
    return [
        Target("e", "`course --help`, seconds", 0.3, aid, "{:.2f}", at_most=True),
        Target("e", "first vector, seconds beyond the import of torch", 5, first, "{:.1f}", at_most=True),
    ]


def _fidelity_targets(rows: dict[str, Record]) -> list[Target]:
    exact = [row["relative_difference"] for label, row in rows.items() if "fp32" in label]
    what = "fp32, every engine and adapter: largest difference from plain PyTorch, of the largest number"
    return [Target("f", what, 1e-4, max(exact, default=None), "{:.0e}", at_most=True)]


def _scale_targets(section: Record) -> list[Target]:
    few, most = (
        f"{row['files']:,}".replace(",", " ")
        for row in section["small"] or ({"files": 1000}, {"files": 10_000})
    )
    return [
        *(
            Target(
                "g",
                f"`{way}`: time an image, beyond that in one process",
                0.05,
                bench_scale.overhead(section, way),
                "{:.0%}",
                at_most=True,
            )
            for way in (bench_scale.SHARDS, bench_scale.RAY)
        ),
        Target(
            "g",
            f"`{bench_scale.SHARDS}`: most memory of {most} small files over that of {few}",
            1.1,
            bench_scale.growth(section["small"]),
            "{:.2f}",
            at_most=True,
        ),
    ]


# --- The page -----------------------------------------------------------------------------------------------

PAGE = """\
# From mammograms to embeddings: how fast, beside what people use today and what the machine allows

Written by `make bench`; do not edit.
{quick}
ResNet-50 to 2048 numbers, the same weights for everybody. Each contestant is a process of its own, written
as its users would write it (`tools/contestants.py`). All take turns, so that a slow moment of the machine
strikes all; ratios are taken within a turn, then medians over the turns. Rates are images a second unless
something else is said.

{machines}

| | what was asked for | target | measured | |
|---|---|---|---|---|
{targets}

![Bars: images a second of each library's network beside the limits of the machine, and from files to vectors
for each transfer syntax; the figures are in the tables](embedding.png)
{sections}"""

NETWORK = """
## a and c. The network alone, and the machine's limit

Input ready as float32 (N, 3, 224, 224), output in memory. img2vec_pytorch prepares its pictures itself, so
its time holds that too. *Best usual* is the best of torchvision, its feature extractor and timm at batch
{large}. *Difference* is the largest from plain torchvision's vectors, as a share of its largest number.

| | batch | images a second | times the best usual | page faults an image | difference |
|---|---|---|---|---|---|
{networks}

ResNet-50 needs {gflops:.2f} GFLOP an image (counted by PyTorch, without its classifier). The *loop* does
fused multiply-adds on registers alone, on all cores (`tools/peak.c`): vector units do no more. The *matrix
product*, of two square matrices by PyTorch, is what a good library attains; where a processor has tile units
(AMX), it uses them and is faster than the loop. course_utils is taken at batch {large}, as the others are.

The faster of the two is taken as the limit. {taken}

| | GFLOP/s | images a second | course_utils reaches |
|---|---|---|---|
{limits}

Deterministic mode runs at {deterministic} of the speed without it (fp32, batch {small}).

{auto}
{missing}"""

FILES = """
## b. Files to vectors

Mammograms of {rows} × {columns} pixels, 12 bits in 16, in the page cache. course_utils reads ahead as
`course embed` does, without a store; it also finds the breast, crops and orients it. The others read by
pydicom and scikit-image in a DataLoader with two workers, in batches of {batch}: small ones, for which nobody
waits long. A run is {uncompressed} files ({compressed} where they are compressed), and {usual} for the slower
others.

| transfer syntax | {labels} |
|---|{rules}|
{files}

*Reading* is all that an extraction does but the network, *network* is inference in fp32 from pictures of
512 × 512, each alone on all cores. *Allowed* is 1 / (1 / reading + 1 / network). *The usual* is the best of
the others.

| transfer syntax | reading | network | allowed | fp32 reaches | bf16 of its own | fp32, times the usual |
|---|---|---|---|---|---|---|
{shares}

{decode}
{missing}"""

GROWTH = """
## d. As the number of files grows

`course embed` over small files, with efficientnet_lite0, so that the files count and not the network;
*resumed* with half of the vectors in the store, *cached* with all. *Extraction* is what `run.json` says, and
files a second are of it; *command* is all, imports included. Peak memory is known on Linux only.

| files | run | command, s | extraction, s | files a second | peak memory, MB |
|---|---|---|---|---|---|
{growth}
"""

START = """
## e. Start

`course --help` takes {help:.2f} s. `course embed` of one uncompressed mammogram with ResNet-50 takes
{first:.1f} s from start to end, of which `import torch` alone is {torch:.1f} s.
"""

FIDELITY = """
## f. What precision does to vectors

{images} mammograms (eight real, the others synthetic), {backbone}, weights {weights}, against PyTorch in fp32
without any fusion. Plain cosine hides a loss, since all vectors of one network point the same way; so their
mean is taken off first. What matters is counted: how many of the {neighbours} nearest neighbours stay, and
whether k-means (k = {k}) finds the same clusters.{int8}

| | largest difference | cosine, worst | centred, median | centred, worst | recall@{neighbours} | ARI |
|---|---|---|---|---|---|---|
{rows}
{missing}"""


SCALE = """
## g. What shards and Ray cost

`course embed` of {files} and of {more} uncompressed mammograms with ResNet-50, without a store, on the same
number of threads. *Start* is what a run takes besides its images, *an image* what the longer run takes
beyond the shorter, for each image more; *overhead* is beside one process, within a turn. Memory is that of
all processes together, each page counted once; it is known on Linux only.

| | start, s | an image, ms | overhead | peak memory, MB |
|---|---|---|---|---|
{ways}

Small files with efficientnet_lite0 and a store, by `{shards}` (section d has one process):

| files | command, s | extraction, s | files a second | peak memory, MB |
|---|---|---|---|---|
{small}
{missing}"""


def page(results: Record) -> str:
    """The page in Markdown."""
    makers = {
        "a": _network,
        "b": _files,
        "d": _growth,
        "e": _start,
        "f": _fidelity,
        "g": _scale,
        "h": _reading,
    }
    where = {letter: section["where"] for letter, section in results.items()}
    machines = [
        f"Machine ({', '.join(letter for letter in where if where[letter] == line)}): {line}."
        for line in dict.fromkeys(where.values())
    ]
    quick = any(section["quick"] for section in results.values())
    return PAGE.format(
        quick="\n**A quick run: it shows that everything works. Its figures mean nothing.**\n"
        if quick
        else "",
        machines="\n\n".join(machines),
        targets=table_lines([target.line() for target in verdicts(results)]),
        sections="".join(makers[letter](section) for letter, section in sorted(results.items())),
    )


def _network(section: Record) -> str:
    turns, (small, large) = section["turns"], section["batches"]
    usual = [at(label, large) for label in NETWORKS]
    networks, limits = [], []
    for key in section["differences"]:
        label, _, batch = key.rpartition(" × ")
        faults = over_turns(turns, partial(_faults, key=key))
        networks.append(
            (
                _named(label, section["versions"]),
                batch,
                _number(rate(turns, key), "{:.1f}"),
                _number(ratio(turns, key, *usual), "{:.2f}"),
                _number(faults, "{:.0f}"),
                f"{section['differences'][key]:.0e}",
            )
        )
    for precision, ours in (("fp32", FP32), ("bf16", BF16)):
        limits += [_limit_row(section, f"{kind} {precision}", ours) for kind in LIMITS]
    kept = ratio(turns, at(DETERMINISTIC, small), at(FP32, small))
    return NETWORK.format(
        large=large,
        small=small,
        networks=table_lines(networks),
        gflops=section["flops"] / 1e9,
        taken=" ".join(_limit_taken(turns, precision) for precision in ("fp32", "bf16")),
        limits=table_lines(limits),
        auto=_auto(section.get("auto", {})),
        deterministic="an unknown share" if kept is None else f"{kept:.0%}",
        missing=_missing(section),
    )


def _auto(chosen: dict[str, str]) -> str:
    """What the engine `auto` chose, as a sentence."""
    if not chosen:
        return "The engine `auto` was not asked."
    listed = ", ".join(f"{engine} in {asked.replace(' ×', ' at batch')}" for asked, engine in chosen.items())
    return f"Before the turns, while nobody else worked, the engine `auto` chose {listed}."


def _limit_row(section: Record, limit: str, label: str) -> tuple[str, ...]:
    found = rate(section["turns"], limit)
    if found is None:
        lacking = section.get("not_measurable", {}).get(limit)
        return limit, f"{NOT_MEASURABLE}: no {lacking}" if lacking else NOT_MEASURED, "", ""
    reached = of_limit(section, label, limit)
    return limit, f"{found / 1e9:.0f}", f"{found / section['flops']:.1f}", _number(reached, "{:.0%}")


def _limit_taken(turns: Turns, precision: str) -> str:
    """Which of the two was taken as the limit, as a sentence."""
    taken = taken_as_limit(turns, precision)
    if taken is not None:
        return f"In {precision} it is the {taken}."
    return (
        f"In {precision} it is {NOT_MEASURABLE}: there is no loop, and no matrix product that is faster "
        f"than in fp32, as on a processor without {precision}."
    )


def _faults(turn: Record, key: str) -> float:
    return float(turn[key]["faults"])


def _named(label: str, versions: dict[str, dict[str, str]]) -> str:
    """A contestant's label with its version, and that of PyTorch if it brings another one."""
    here = versions.get(label, {})
    ours = versions.get(FP32, {})
    own = [f"{label} {here[label]}"] if label in here else [label]
    if here.get("torch") != ours.get("torch"):
        own.append(f"with torch {here.get('torch')}")
    return ", ".join(own)


def _files(section: Record) -> str:
    turns, counts = section["turns"], section["counts"]
    syntaxes = [name for name in turns[0] if name not in ("inference", "decode")]
    labels = [label for label in turns[0][syntaxes[0]] if label != "reading"]
    labels.sort(key=lambda label: (not label.startswith("course_utils"), label))
    rows, shares = [], []
    for syntax in syntaxes:
        within = [turn[syntax] for turn in turns]
        rows.append((syntax, *(_number(rate(within, label), "{:.1f}") for label in labels)))
        shares.append(
            (
                syntax,
                _number(rate(within, "reading"), "{:.1f}"),
                _number(rate([turn["inference"] for turn in turns], FP32), "{:.1f}"),
                _number(over_turns(turns, partial(allowed, syntax=syntax, label=FP32)), "{:.1f}"),
                _number(reaches(turns, syntax, FP32), "{:.0%}"),
                _number(reaches(turns, syntax, BF16), "{:.0%}"),
                _number(ratio(within, FP32, *LIBRARIES), "{:.1f}"),
            )
        )
    decoding = [turn["decode"] for turn in turns]
    ours, theirs = rate(decoding, "ours"), rate(decoding, DECODER)
    decode = "Decoding JPEG lossless was not compared."
    if ours is not None and theirs is not None:
        same = "the same pixels" if section["same_pixels"] else "**other pixels**"
        times = f"{1000 / ours:.0f} ms here and {1000 / theirs:.0f} ms with {DECODER}"
        decode = f"Decoding JPEG lossless takes {times}: {same}."
    return FILES.format(
        rows=section["shape"][0],
        columns=section["shape"][1],
        uncompressed=counts["ours"][0],
        compressed=counts["ours"][1],
        usual=counts["usual"],
        batch=counts["usual_batch"],
        labels=" | ".join(labels),
        rules="|".join("---" for _ in labels),
        files=table_lines(rows),
        shares=table_lines(shares),
        decode=decode,
        missing=_missing(section),
    )


def _growth(section: Record) -> str:
    rows = [
        (
            f"{row['files']:,}".replace(",", " "),
            row["kind"],
            f"{row['command_s']:.1f}",
            f"{row['extraction_s']:.1f}",
            f"{row['files'] / row['extraction_s']:.0f}",
            _number(row["peak_mb"], "{:.0f}"),
        )
        for row in section["rows"]
    ]
    return GROWTH.format(growth=table_lines(rows))


def _start(section: Record) -> str:
    return START.format(**{name: statistics.median(section[name]) for name in ("help", "first", "torch")})


def _fidelity(section: Record) -> str:
    rows = [
        (
            label,
            f"{row['relative_difference']:.0e}",
            f"{row['cosine_worst']:.5f}",
            f"{row['centred_cosine_median']:.5f}",
            f"{row['centred_cosine_worst']:.5f}",
            f"{row['recall']:.3f}",
            f"{row['ari']:.2f}",
        )
        for label, row in section["rows"].items()
    ]
    any_row: Record = next(iter(section["rows"].values()), {"neighbours": 10, "k": 4})
    return FIDELITY.format(
        images=section["images"],
        backbone=section["backbone"],
        weights=section["weights"],
        int8=_int8(section["rows"].get(INT8)),
        neighbours=any_row["neighbours"],
        k=any_row["k"],
        rows=table_lines(rows),
        missing=_missing(section),
    )


def _scale(section: Record) -> str:
    ways = [
        (
            way if way == bench_scale.ONE else f"`{way}`",
            _number(bench_scale.median_of(section, bench_scale.start_s, way), "{:.1f}"),
            _number(
                bench_scale.median_of(section, lambda *of: 1000 * bench_scale.marginal_s(*of), way), "{:.1f}"
            ),
            "" if way == bench_scale.ONE else _number(bench_scale.overhead(section, way), "{:.1%}"),
            _number(bench_scale.median_of(section, bench_scale.peak_mb, way), "{:.0f}"),
        )
        for way in bench_scale.WAYS
        if way not in section["missing"]
    ]
    small = [
        (
            f"{row['files']:,}".replace(",", " "),
            f"{row['command_s']:.1f}",
            f"{row['extraction_s']:.1f}",
            f"{row['files'] / row['extraction_s']:.0f}",
            _number(row["peak_mb"], "{:.0f}"),
        )
        for row in section["small"]
    ]
    return SCALE.format(
        files=section["files"],
        more=3 * section["files"],
        shards=bench_scale.SHARDS,
        ways=table_lines(ways),
        small=table_lines(small),
        missing=_aborted(bench_scale.aborted(section)) + _missing(section),
    )


def _reading(section: Record) -> str:
    rates, vectors = bench_reading.table_rows(section)
    some = next(iter(section["rows"].values()))
    return bench_reading.SECTION.format(
        rows=section["shape"][0],
        columns=section["shape"][1],
        rates=table_lines(rates),
        fidelity=table_lines(vectors),
        neighbours=some["neighbours"],
        k=some["k"],
        **{name: section[name] for name in ("films", "phantoms", "backbone", "weights")},
    )


def _aborted(runs: int) -> str:
    if not runs:
        return ""
    return f"\nRuns that Ray aborted while it ended, after everything had been written: {runs}.\n"


def _int8(row: Record | None) -> str:
    """Why int8 is offered nowhere, in its own figures."""
    if row is None:
        return ""
    return (
        "\n\n*int8* is OpenVINO's, calibrated by NNCF on these very mammograms, which flatters it. The "
        f"course offers it nowhere: whatever it saves, {1 - row['recall']:.0%} of the nearest neighbours are "
        f"others, and the worst centred cosine is {row['centred_cosine_worst']:.2f}."
    )


def _missing(section: Record) -> str:
    lines = [f"- {label}: not measured; missing: {reason}" for label, reason in section["missing"].items()]
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


# --- The figure ---------------------------------------------------------------------------------------------

COLOURS = {  # Okabe and Ito's, told apart by hatching too
    FP32: ("#0072b2", ""),
    BF16: ("#56b4e9", "//"),
    OPENVINO: ("#009e73", ".."),
    OPENVINO_BF16: ("#9fd9c8", "xx"),
}
USUAL_COLOUR = ("#bbbbbb", "\\\\")


def draw(results: Record, path: Path) -> None:
    """Draw images per second: the networks beside the machine's limits, and files to vectors by syntax."""
    panels = [
        (letter, panel) for letter, panel in (("a", _draw_network), ("b", _draw_files)) if letter in results
    ]
    with mpl.rc_context({"font.size": 8.5, "hatch.linewidth": 0.5}):
        figure, axes = plt.subplots(
            1, max(1, len(panels)), figsize=(10, 4.6), layout="constrained", squeeze=False
        )
        for (letter, panel), ax in zip(panels, axes[0], strict=False):
            panel(results[letter], ax)
            ax.invert_yaxis()
            ax.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def _draw_network(section: Record, ax: Any) -> None:
    turns = section["turns"]
    keys = [key for key in section["differences"] if "deterministic" not in key and "CUDA" not in key]
    for row, key in enumerate(keys):
        label = key.rpartition(" × ")[0]
        colour, hatch = COLOURS.get(label, USUAL_COLOUR)
        ax.barh(row, rate(turns, key), 0.75, color=colour, hatch=hatch, ec="black", lw=0.4)
    for precision, style in (("fp32", "-"), ("bf16", "--")):
        taken = taken_as_limit(turns, precision)
        most = rate(turns, f"{taken} {precision}") if taken else None
        if most is not None:
            ax.axvline(most / section["flops"], color="black", ls=style, lw=1, label=f"limit, {precision}")
    ax.set_yticks(range(len(keys)), keys)
    ax.set_xlabel("images a second, network alone (label × batch; longer is better)")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))


def _draw_files(section: Record, ax: Any) -> None:
    turns = section["turns"]
    syntaxes = [name for name in turns[0] if name not in ("inference", "decode")]
    places, height = np.arange(len(syntaxes)), 0.27

    def median(value: Callable[[Record, str], float], syntax: str) -> float:
        return over_turns(turns, lambda turn: value(turn, syntax)) or 0.0

    def values(value: Callable[[Record, str], float]) -> list[float]:
        return [median(value, syntax) for syntax in syntaxes]

    def best_usual(turn: Record, syntax: str) -> float:
        return max(turn[syntax][label]["rate"] for label in LIBRARIES if label in turn[syntax])

    bars = {
        BF16: values(lambda turn, syntax: turn[syntax][BF16]["rate"]),
        FP32: values(lambda turn, syntax: turn[syntax][FP32]["rate"]),
        "the best of the usual code": values(best_usual),
    }
    for place, (label, widths) in enumerate(bars.items()):
        colour, hatch = COLOURS.get(label, USUAL_COLOUR)
        ax.barh(
            places + height * (place - 1),
            widths,
            height,
            color=colour,
            hatch=hatch,
            ec="black",
            lw=0.4,
            label=label,
        )
    ax.plot(
        values(lambda turn, syntax: allowed(turn, syntax, FP32)),
        places,
        "D",
        ms=6,
        mfc="white",
        mec="black",
        label="what the cores allow in fp32",
    )
    ax.set_yticks(places, syntaxes)
    ax.set_xlabel("images a second, files to vectors (longer is better)")
    ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
