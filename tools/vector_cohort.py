"""The larger cohorts, which ship as vectors: women are drawn and embedded, and a run folder remains.

Their 624 images would be 800 MB of DICOM. What lessons 07 to 10 need of them is what `course embed` makes of
them, and the truth: `manifest.csv`, one row per image, in the order of the run's rows.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor
from course_utils.phantoms import write_cohort
from course_utils.runs import Extraction

SHIPPED = Path(__file__).resolve().parent.parent / "data_samples"
ROWS = 1024


@dataclass(frozen=True)
class Cohort:
    """How many women are drawn, four images each, from which seed."""

    women: int
    seed: int


COHORTS = {"vectors": Cohort(women=60, seed=0), "replication": Cohort(women=96, seed=1)}
"""By the name of their folder: the cohort that lessons explore, and the women whom they ask later."""

TOLERANCE = 1e-3
"""How far a number may be off on another processor, as a share of the largest."""


def embed(paths: Sequence[Path], *, progress: bool = False) -> Extraction:
    """Embed the images with the network whose weights come with the course, in fp32 on the processor."""
    backbone = load_backbone("efficientnet_lite0")
    extractor = EmbeddingExtractor(backbone, device="cpu", batch_size=8, deterministic=True)
    return extractor.extract(paths, Preprocessor(), workers=2, progress=progress)


def draw(folder: Path, women: int, seed: int) -> pd.DataFrame:
    """Draw both views of both sides of so many women into ``folder``; return the truth about each image."""
    return write_cohort(folder, women=women, sides=("L", "R"), rows=ROWS, seed=seed, workers=2, progress=True)


def write(folder: Path) -> None:
    """Write the run of the whole cohort that ``folder`` is named after, and its truth (a minute or two)."""
    cohort = COHORTS[folder.name]
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch) / folder.name
        truth = draw(files, cohort.women, cohort.seed)
        made = embed([files / file for file in truth["file"]], progress=True)
        _with_the_same_pseudonyms(made, SHIPPED / folder.name).write(folder)
        shutil.copy(files / "manifest.csv", folder / "manifest.csv")


def _with_the_same_pseudonyms(made: Extraction, shipped: Path) -> Extraction:
    """Return a run with the pseudonyms of the shipped one: lessons draw women in the order of their keys."""
    if not shipped.is_dir():
        return made
    known = Extraction.read(shipped).table
    if known["sha256"].tolist() != made.table["sha256"].tolist():
        return made
    return replace(made, table=made.table.assign(**known[["image_id", "patient_key"]]))


def same_vectors(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Tell whether two processors gave these vectors of the same images."""
    return bool(np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max())


def differences(made: Path, shipped: Path) -> list[str]:
    """Return a sentence on each thing that a fresh run gives otherwise."""
    name = made.name
    ours, theirs = Extraction.read(made), Extraction.read(shipped)
    wrong = []
    if not pd.read_csv(made / "manifest.csv").equals(pd.read_csv(shipped / "manifest.csv")):
        wrong.append(f"{name}/manifest.csv: differs from what its seed gives")
    if ours.table["sha256"].tolist() != theirs.table["sha256"].tolist():
        wrong.append(f"{name}: the images are not those that the seed gives")
    elif not same_vectors(ours.vectors, theirs.vectors):
        wrong.append(f"{name}: a fresh run gives other vectors")
    return wrong
