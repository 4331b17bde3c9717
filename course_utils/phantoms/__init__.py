"""Synthetic mammograms whose truth is known, written as conformant DICOM.

A `Phantom` is a handful of choices (density, view, side, thickness, vendor style, label text, seeds);
out come 12-bit FOR PRESENTATION pixels, the tissue behind every pixel in millimetres, and a file. Lessons 01
and 02 look at the pictures; lessons 07 to 10 ask what embeddings of them really follow.

The recipe: `anatomy` makes an outline, compressed to an even thickness that rolls off at the edge; glandular
tissue from three-dimensional power-law noise plus an anatomical prior, thresholded softly in every depth
layer until its share of the volume meets the target; Cooper's ligaments and vessels as thin curved lines;
skin, nipple and, in MLO, the pectoral muscle under the breast. `picture` exposes them (Beer–Lambert, quantum
noise, blur) and renders them in one of three made-up vendor styles. `files` writes them.

Everything comes from the seeds. What could round differently from one processor to the next (transforms,
exponentials, filters) is done in float64, long before the step to 12 bits, so that the pixels, and with them
the bytes of a file, are the same everywhere.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from course_utils.files import write_atomic
from course_utils.imaging.errors import MammogramError
from course_utils.phantoms.anatomy import (
    FRACTION_RANGE,
    Anatomy,
    Density,
    Shape,
    Tissues,
    View,
    fibres,
    gland_mm,
)
from course_utils.phantoms.files import compress_rle, dataset
from course_utils.phantoms.noise import FIELD_MM, Array, generator
from course_utils.phantoms.picture import MU_PER_MM, STYLES, Vendor, expose, film, label_ink, present

__all__ = [
    "DENSE_SHARE",
    "DENSITIES",
    "FIELD_MM",
    "FRACTION_RANGE",
    "MU_PER_MM",
    "VENDORS",
    "VIEWS",
    "Phantom",
    "Rendering",
    "cohort",
    "write_cohort",
]

Laterality = Literal["L", "R"]

DENSITIES: tuple[Density, ...] = get_args(Density)
VIEWS: tuple[View, ...] = get_args(View)
VENDORS: tuple[Vendor, ...] = get_args(Vendor)
LATERALITIES: tuple[Laterality, ...] = get_args(Laterality)

DENSE_SHARE = 0.36
"""A ray counts as dense, for the area density, where more than this share of the breast along it is gland.

With 0.36 the four classes cover about 0, 12, 38 and 70 % of the area; for BI-RADS a to d, radiologists'
outlines gave means of 4, 19, 40 and 62 %.
"""


@dataclass(frozen=True)
class Rendering:
    """A rendered phantom and its truth; all maps are (rows, columns), as displayed.

    ``pixels`` is uint16, 0 to 4095, breast bright. ``raw`` is float32: detected quanta a pixel before any
    processing, and ``air`` what bare air gives. The float32 maps ``breast_mm`` (the breast inside its skin,
    muscle left out), ``gland_mm`` (the part of it that is gland), ``muscle_mm`` and ``skin_mm`` are the ray's
    way through each tissue. ``tissue``, ``label`` and ``film_edge`` are bool: where breast (skin, nipple and
    muscle included), burned-in text and the frame of the film lie; the frame covers what is under it.
    ``volumetric_fraction`` is gland over breast by volume; ``area_density`` the share of rays with more than
    `DENSE_SHARE` gland, the thin rim left out.
    """

    pixels: NDArray[np.uint16]
    raw: NDArray[np.float32]
    air: float
    breast_mm: NDArray[np.float32]
    gland_mm: NDArray[np.float32]
    muscle_mm: NDArray[np.float32]
    skin_mm: NDArray[np.float32]
    tissue: NDArray[np.bool_]
    label: NDArray[np.bool_]
    film_edge: NDArray[np.bool_]
    volumetric_fraction: float
    area_density: float


# --- The phantom --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phantom:
    """One synthetic mammogram.

    ``density`` is the BI-RADS-like class; ``thickness_mm`` the compressed thickness (20 to 110); ``vendor``
    the style of exposure and rendering; ``label`` whether text such as RMLO is burned into the dark corner;
    ``film_edge`` whether there are the white edges of digitised film, at times with tape or a scratch.
    ``seed`` is the woman, ``nuisance_seed`` the visit: positioning, exposure and display, quantum noise,
    place of the label, film. ``rows`` (128 to 4096) is the sampling of a field of 240 × 192 mm; ``woman`` the
    name that goes into the file. Seeds are whole numbers from 0.

    What is shared: a woman's images all have her size, shape and glandular fraction, and about half of the
    noise behind her gland; CC and MLO of one side are two projections of one breast, with the same lumps,
    ducts and strands at the same depth behind the nipple. What is not: the lace in the fat, the finest
    texture and the muscle's fibres are each view's own, and a breast is squeezed from a circle to an ellipse,
    without any mechanics.

    What can be read without looking at texture, as balanced accuracy for the four classes over sixty women in
    two views (``cohort(women=60)``, women kept apart, chance 0.25): 0.08 from thickness, 0.26 from mean raw
    signal, 0.22 from mean gray inside the breast after preprocessing; 0.93 from ``area_density``. The display
    holds the mean gray as exposure control does, with a gain and a brightness of each visit's own.

    Raises ValueError if a field is outside these ranges.
    """

    density: Density = "b"
    view: View = "CC"
    laterality: Laterality = "L"
    thickness_mm: float = 55.0
    vendor: Vendor = "alder"
    label: bool = False
    film_edge: bool = False
    seed: int = 0
    nuisance_seed: int = 0
    rows: int = 1024
    woman: str = "W01"

    def __post_init__(self) -> None:
        # Equal phantoms have equal UIDs, whether their fields come from Python, numpy or a table.
        for field, kind in (("thickness_mm", float), ("label", bool), ("film_edge", bool), ("rows", int)):
            object.__setattr__(self, field, kind(getattr(self, field)))
        choices = {"density": DENSITIES, "view": VIEWS, "laterality": LATERALITIES, "vendor": VENDORS}
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} must be one of {', '.join(allowed)}, not {getattr(self, field)!r}")
        for field, low, high in (("thickness_mm", 20, 110), ("rows", 128, 4096)):
            if not low <= getattr(self, field) <= high:
                raise ValueError(f"{field} must lie between {low} and {high}, not {getattr(self, field)}")
        for field in ("seed", "nuisance_seed"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} must be 0 or more, not {getattr(self, field)}")

    @property
    def columns(self) -> int:
        """Columns of the image: pixels are square."""
        return round(self.rows * FIELD_MM[1] / FIELD_MM[0])

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Row and column spacing in mm."""
        return FIELD_MM[0] / self.rows, FIELD_MM[0] / self.rows

    @property
    def target_fraction(self) -> float:
        """Volumetric glandular fraction that this woman is made to have."""
        return Anatomy.of(self.seed, self.density).fraction

    def render(self) -> Rendering:
        """Return the picture and its truth. Equal phantoms give equal arrays."""
        style = STYLES[self.vendor]
        which = (VIEWS.index(self.view), LATERALITIES.index(self.laterality))
        side = generator("side", self.seed, which[1])
        view = generator("view", self.seed, *which)
        visit = generator("visit", self.nuisance_seed, self.seed, *which)
        shape = Shape.of(Anatomy.of(self.seed, self.density), self.view, self.thickness_mm, visit)
        frame = shape.frame(self.rows)
        t = Tissues.of(shape, *frame.grid(), fibres=fibres(shape, frame, view))
        gland = gland_mm(shape, t, frame, (generator("woman", self.seed), side, view))
        raw, air = expose(t, gland, style, visit, frame.pixel)
        value = present(raw, air, t, style, visit, self.thickness_mm, frame.pixel)

        def whole(part: Array, fill: float = 0.0) -> Array:
            image = np.full((self.rows, self.columns), fill)
            image[frame.corner] = part
            return np.ascontiguousarray(image if self.laterality == "L" else image[:, ::-1])

        display = style.ground + whole(value) * (4095 - style.ground)
        nuisance = (self.nuisance_seed, self.seed, *which)
        label: Array = np.zeros_like(display)
        if self.label:
            text = self.laterality + self.view
            label = label_ink(text, style, generator("label", *nuisance), self.rows, self.laterality == "L")
            display += (3900 - display) * label
        edge: Array = np.zeros_like(display)
        if self.film_edge:
            edge, gray = film(generator("film", *nuisance), self.rows, self.columns)
            if self.laterality == "R":
                edge, gray = edge[:, ::-1], gray[:, ::-1]
            display += (gray - display) * edge
        return Rendering(
            pixels=np.rint(display).astype(np.uint16),
            raw=whole(raw, air).astype(np.float32),
            air=air,
            breast_mm=whole(t.inner).astype(np.float32),
            gland_mm=whole(gland).astype(np.float32),
            muscle_mm=whole(t.muscle).astype(np.float32),
            skin_mm=whole(t.skin).astype(np.float32),
            tissue=whole(t.outer) > 0,
            label=(label > 0) & (edge < 1),
            film_edge=edge > 0,
            volumetric_fraction=float(gland.sum() / t.inner.sum()),
            area_density=float((gland > DENSE_SHARE * t.inner)[t.inner > 0.2 * self.thickness_mm].mean()),
        )

    def write(self, path: str | Path, *, compress: bool = True) -> Rendering:
        """Render, write a Digital Mammography X-Ray Image – For Presentation file, and return the rendering.

        ``compress`` chooses RLE lossless, else explicit VR little endian. Same phantom, same bytes. Vendors
        with MONOCHROME1 store 4095 minus ``pixels``. The file gets its name only when it is whole.
        """
        rendering = self.render()
        ds = dataset(self, rendering.pixels)
        if compress:
            compress_rle(ds)
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        write_atomic(Path(path), file.getvalue())
        return rendering


# --- Cohorts ------------------------------------------------------------------------------------------------

WOMEN_OF_A_SEED = 100_000
"""How many women a cohort can have: beyond them begin those of the next seed."""


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
    with fewer it is cut. Thickness comes in three strata that are dealt out within each density, so that it
    says nothing about density. ``sides=None`` takes one side a view and lets it alternate between views and
    women; ``("L", "R")`` takes both sides in every view. Every other image of a woman carries label text; a
    seed of its own says which. With ``film_edges`` all images of every other woman in each
    density are digitised film. Raises ValueError if ``women`` is not 1 to `WOMEN_OF_A_SEED`.
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
    """Return 0 or 1 for each woman, by turns within each density, in an order of the part's own."""
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
    """Write a cohort (see `cohort`) as RLE DICOM files and ``manifest.csv``; return the manifest.

    One row a file: ``file, sha256, woman, density, volumetric_fraction, area_density, view, laterality,
    thickness_mm, vendor, label, film_edge, rows, columns, seed, nuisance_seed``. Fractions are shares (0 to
    1) rounded to four digits. Files of the same names are replaced, and the manifest comes last: where there
    is one, the cohort is whole. ``workers`` threads share the work, by default one a core and at most four;
    the files are the same whatever their number. ``progress`` shows a bar.

    Raises:
        MammogramError: other DICOM files are in the folder, such as those of another cohort.
        ValueError: ``women`` or ``rows`` is out of range.
    """
    folder = Path(folder)
    phantoms = list(
        cohort(women=women, views=views, sides=sides, rows=rows, film_edges=film_edges, seed=seed)
    )
    folder.mkdir(parents=True, exist_ok=True)
    # Whoever reads the folder would take them for a part of this cohort, without a row in its manifest.
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
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the images at hand, not for all
    write_atomic(folder / "manifest.csv", manifest.to_csv(index=False, lineterminator="\n").encode())
    return manifest


def _file_name(p: Phantom) -> str:
    return f"{p.woman}_{p.laterality}{p.view}.dcm"


def _write_one(p: Phantom, folder: Path) -> dict[str, Any]:
    """Write one phantom and return its row of the manifest."""
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
