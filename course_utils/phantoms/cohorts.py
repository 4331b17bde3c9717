"""Cohorts of phantoms in which density and every nuisance are crossed, planned and written (lessons 07–10).

In: how many women, in which views. Out: `Phantom`s woman by woman, or a folder of DICOM files with a manifest
of their truth. Clusters that follow density there cannot be following thickness or vendor instead.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from course_utils.files import write_atomic
from course_utils.imaging.errors import MammogramError
from course_utils.phantoms.anatomy import Laterality, View
from course_utils.phantoms.noise import generator
from course_utils.phantoms.phantom import DENSITIES, LATERALITIES, VENDORS, VIEWS, Phantom

WOMEN_OF_A_SEED = 100_000
"""How many women a cohort can have: beyond that, the next seed's begin."""


def cohort(
    *,
    women: int = 12,
    views: Sequence[View] = VIEWS,
    sides: Sequence[Laterality] | None = None,
    rows: int = 1024,
    film_edges: bool = False,
    seed: int = 0,
) -> Iterator[Phantom]:
    """Yield the phantoms of a cohort in which density and every nuisance are crossed, woman by woman.

    Twelve women are the four densities times the three vendor styles; with more women the pattern repeats,
    with fewer it is cut off. Thickness comes in three strata dealt out within each density, so it says
    nothing about density. `sides=None` takes one side per view, alternating between views and
    women; `("L", "R")` takes both sides in every view. Every other image of a woman carries label text; a
    seed of its own says which. With `film_edges` all images of every other woman in each
    density are digitised film. Raises ValueError if `women` is not 1 to `WOMEN_OF_A_SEED`.
    """
    if not 1 <= women <= WOMEN_OF_A_SEED:
        raise ValueError(f"women must be 1 to {WOMEN_OF_A_SEED}, not {women}")
    order = np.arange(women)
    generator("cohort", seed, 0).shuffle(order)
    plan: list[dict[str, Any]] = []
    for number, k in enumerate(order.tolist(), start=1):
        rng = generator("cohort", seed, 1, k)
        d, v, block = k % 4, k % 3, k // 12
        stratum = (v + d + block) % 3
        thickness = 38 + 15 * stratum + 13 * float(rng.random())
        for i, view in enumerate(views):
            for side in sides or (LATERALITIES[(d + v + block + i) % 2],):
                plan.append(
                    {
                        "density": DENSITIES[d],
                        "view": view,
                        "laterality": side,
                        "thickness_mm": round(thickness + float(rng.uniform(-2, 2)) + 2 * (view == "MLO"), 1),
                        "vendor": VENDORS[v],
                        "seed": seed * WOMEN_OF_A_SEED + k,
                        "nuisance_seed": seed * WOMEN_OF_A_SEED + k + 50_000,
                        "rows": rows,
                        "woman": f"W{number:02d}",
                    }
                )
    turn, film = _turns(plan, seed, 2), _turns(plan, seed, 3)
    for row in plan:
        turn[row["woman"]] += 1
        edge = film_edges and film[row["woman"]] == 1
        yield Phantom(label=turn[row["woman"]] % 2 == 0, film_edge=edge, **row)


def _turns(plan: list[dict[str, Any]], seed: int, part: int) -> dict[str, int]:
    """Return 0 or 1 for each woman, alternating within each density, in the part's own order."""
    turns: dict[str, int] = {}
    for d, density in enumerate(DENSITIES):
        names = sorted({row["woman"] for row in plan if row["density"] == density})
        generator("cohort", seed, part, d).shuffle(names)
        turns.update({name: (i + d) % 2 for i, name in enumerate(names)})
    return turns


def write_cohort(
    folder: str | Path,
    *,
    women: int = 12,
    views: Sequence[View] = VIEWS,
    sides: Sequence[Laterality] | None = None,
    rows: int = 1024,
    film_edges: bool = False,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Write a cohort (see `cohort`) as RLE DICOM files and `manifest.csv`; return the manifest.

    One row per file: `file, sha256, woman, density, volumetric_fraction, area_density, view, laterality,
    thickness_mm, vendor, label, film_edge, rows, columns, seed, nuisance_seed`. Fractions are shares (0 to
    1) rounded to four digits. Files with the same names are replaced, and the manifest comes last: where
    there is one, the cohort is complete. `workers` threads share the work, by default one per core and at
    most four; the files are the same whatever their number. `progress` shows a bar.

    Raises:
        MammogramError: the folder holds other DICOM files, such as those of another cohort.
        ValueError: `women` or `rows` is out of range.
    """
    folder = Path(folder)
    phantoms = list(
        cohort(women=women, views=views, sides=sides, rows=rows, film_edges=film_edges, seed=seed)
    )
    folder.mkdir(parents=True, exist_ok=True)
    # A reader would take them for part of this cohort, without a row in its manifest.
    if {path.name for path in folder.glob("*.dcm")} - {_file_name(p) for p in phantoms}:
        raise MammogramError("The folder holds DICOM files that are not of this cohort: choose an empty one.")
    (folder / "manifest.csv").unlink(missing_ok=True)
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 4) if workers is None else workers)
    try:
        written = pool.map(lambda p: _write_one(p, folder), phantoms)
        bar = tqdm(written, desc="phantoms", unit="image", total=len(phantoms), disable=not progress)
        with threadpool_limits(1):  # images run in parallel; threads within each would only queue
            manifest = pd.DataFrame(list(bar))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the images in progress, not for all
    write_atomic(folder / "manifest.csv", manifest.to_csv(index=False, lineterminator="\n").encode())
    return manifest


def _file_name(p: Phantom) -> str:
    return f"{p.woman}_{p.laterality}{p.view}.dcm"


def _write_one(p: Phantom, folder: Path) -> dict[str, Any]:
    """Write one phantom and return its row in the manifest."""
    path = folder / _file_name(p)
    truth = p.write(path)
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "woman": p.woman,
        "density": p.density,
        "volumetric_fraction": round(truth.volumetric_fraction, 4),
        "area_density": round(truth.area_density, 4),
        "view": p.view,
        "laterality": p.laterality,
        "thickness_mm": p.thickness_mm,
        "vendor": p.vendor,
        "label": p.label,
        "film_edge": p.film_edge,
        "rows": p.rows,
        "columns": p.columns,
        "seed": p.seed,
        "nuisance_seed": p.nuisance_seed,
    }
