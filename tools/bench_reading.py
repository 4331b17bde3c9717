"""Section h of `make bench`: what fast reading saves, and what it does to vectors.

Rates are those of files to vectors, full and fast in turns, in contestants' processes; they are the course's
own alone, since nobody else reads so. Fidelity is measured here: the real films and phantoms of full size,
compressed in each way, are read in both and embedded by pretrained weights.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from encoders import compress
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless

from course_utils.analysis.agreement import agreement
from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor
from course_utils.imaging.datasets import real_mammograms
from course_utils.imaging.wavelet import Read
from course_utils.phantoms import write_cohort

Record = dict[str, Any]

SYNTAXES = ("JPEG 2000",)
"""Those whose rate is measured, without loss."""

WAYS = {
    "JPEG 2000 without loss (5/3)": JPEG2000Lossless,
    "JPEG 2000 with loss (9/7)": JPEG2000,
}
READS: tuple[Read, ...] = ("full", "fast")
RATE, MEDIAN, WORST, RECALL = 2.5, 0.995, 0.97, 0.97


@dataclass(frozen=True)
class Amount:
    """How much is measured: of the picture its size, films, women with two phantoms each, their rows."""

    size: int = 512
    films: int = 8
    women: int = 8
    rows: int = 2560  # the fewest of which fast reading reads half


QUICK = Amount(size=64, films=1, women=6, rows=256)


def fidelity(amount: Amount, folder: Path, tick: Callable[[], object]) -> Record:
    """Vectors of the same files, read in both ways, for each compression."""
    films = list(real_mammograms()["path"])[: amount.films]
    phantoms = sorted(
        folder / "reading" / name
        for name in write_cohort(folder / "reading", women=amount.women, rows=amount.rows)["file"]
    )
    tick()
    backbone = load_backbone("auto")
    extractor = EmbeddingExtractor(backbone, device="cpu")
    rows = {}
    for way, syntax in WAYS.items():
        files = [
            _written(path, folder / "reading" / f"{number}-{syntax.keyword}.dcm", syntax)
            for number, path in enumerate([*films, *phantoms])
        ]
        vectors = {}
        for read in READS:
            preprocessor = Preprocessor(size=amount.size, read=read)
            extraction = extractor.extract(files, preprocessor, workers=2, progress=False)
            if len(extraction.failures):
                raise RuntimeError(extraction.failures["reason"][0])
            vectors[read] = extraction.vectors
            tick()
        for file in files:
            file.unlink()
        rows[way] = _compared(vectors["full"], vectors["fast"], len(films))
    about = {"backbone": backbone.name, "weights": backbone.weights.id}
    return {**about, "films": len(films), "phantoms": len(phantoms), "rows": rows}


def _compared(full: np.ndarray, fast: np.ndarray, films: int) -> Record:
    """How far vectors of fast reading agree with those of full reading; the films' cosines apart."""
    found = agreement(full, fast)
    parts = {"films": found.centred_cosine[:films], "phantoms": found.centred_cosine[films:]}
    cosines = {
        f"{name}_{what}": float(of(part))
        for name, part in parts.items()
        for what, of in (("median", np.median), ("worst", np.min))
    }
    plain = found.to_dict()
    return {**cosines, **{name: plain[name] for name in ("recall", "neighbours", "ari", "k")}}


def _written(source: Path, target: Path, syntax: UID) -> Path:
    """Write a file compressed in another way."""
    ds = pydicom.dcmread(source)
    ds.decompress(generate_instance_uid=False)
    compress(ds, syntax)
    ds.save_as(target)
    return target


# --- The page -----------------------------------------------------------------------------------------------

SECTION = """
## h. Reading at a fraction of the size

`--read fast` against full reading: files to vectors as in b, ResNet-50 in fp32, in turns; {rows} × {columns}
pixels without loss. *Reading* is all but the network.

| transfer syntax | full | fast | times | reading alone, times |
|---|---|---|---|---|
{rates}

What it does to vectors: real films ({films}) and synthetic mammograms ({phantoms}), compressed in each way
and read in both, {backbone}, weights {weights}. Cosines are taken after
subtracting the mean of full reading's vectors; recall and ARI are of films and phantoms together, as in f.

| | films, median | films, worst | phantoms, median | phantoms, worst | recall@{neighbours} | ARI (k = {k}) |
|---|---|---|---|---|---|---|
{fidelity}
"""


def times(turns: list[Record], syntax: str, task: str) -> float | None:
    """The median over the turns of the rate of fast reading over that of full reading."""
    try:
        return statistics.median(
            turn[f"{syntax}, {task}, fast"]["rate"] / turn[f"{syntax}, {task}, full"]["rate"]
            for turn in turns
        )
    except (KeyError, statistics.StatisticsError):
        return None


def targets(section: Record) -> list[tuple[str, float, float | None, str]]:
    """What was asked for: what, at least how much, what was measured, and how numbers are written."""
    rows = section.get("rows", {}).values()

    def least(name: str) -> float | None:
        return min((row[name] for row in rows), default=None)

    what = "fast reading, every compression"
    return [
        (
            "JPEG 2000 to vectors: fast reading, times full",
            RATE,
            times(section.get("turns", []), "JPEG 2000", "files"),
            "{:.2f}",
        ),
        (f"{what}: centred cosine with full, films, median", MEDIAN, least("films_median"), "{:.4f}"),
        (f"{what}: centred cosine with full, worst film", WORST, least("films_worst"), "{:.4f}"),
        (f"{what}: recall@10 of full's neighbours", RECALL, least("recall"), "{:.3f}"),
    ]


def table_rows(section: Record) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The rows of both tables."""
    turns = section["turns"]
    rates = []
    for syntax in SYNTAXES:
        each = [
            statistics.median(turn[f"{syntax}, files, {read}"]["rate"] for turn in turns) for read in READS
        ]
        gains = [times(turns, syntax, task) or 0.0 for task in ("files", "reading")]
        rates.append((syntax, *(f"{rate:.2f}" for rate in each), *(f"{gain:.2f}" for gain in gains)))
    names = ("films_median", "films_worst", "phantoms_median", "phantoms_worst")
    vectors = [
        (way, *(f"{row[name]:.4f}" for name in names), f"{row['recall']:.3f}", f"{row['ari']:.2f}")
        for way, row in section["rows"].items()
    ]
    return rates, vectors
