"""One synthetic mammogram: a handful of choices becomes a picture, its truth and a file (lessons 01 and 02).

In: a `Phantom`, whose fields are the choices. Out: a `Rendering`, with the tissue behind every pixel in
millimetres, or the same written as DICOM. `anatomy`, `gland` and `picture` do the work, `files` the header.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from io import BytesIO
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from course_utils.files import write_atomic
from course_utils.phantoms.anatomy import Anatomy, Density, Laterality, Shape, Tissues, View, fibres
from course_utils.phantoms.files import compress_rle, dataset
from course_utils.phantoms.gland import gland_mm
from course_utils.phantoms.noise import FIELD_MM, Array, generator
from course_utils.phantoms.picture import STYLES, Vendor, expose, film, label_ink, present

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

    `pixels` is uint16, 0 to 4095, breast bright. `raw` is float32: detected quanta per pixel before any
    processing, and `air` what bare air gives. The float32 maps `breast_mm` (the breast inside its skin,
    muscle left out), `gland_mm` (the part of it that is gland), `muscle_mm` and `skin_mm` are the ray's
    path through each tissue. `tissue`, `label` and `film_edge` are bool: where breast (skin, nipple and
    muscle included), burned-in text and the frame of the film lie; the frame covers what is under it.
    `volumetric_fraction` is gland over breast by volume; `area_density` the share of rays with more than
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


@dataclass(frozen=True)
class Phantom:
    """One synthetic mammogram.

    `density` is the BI-RADS-like class; `thickness_mm` the compressed thickness (20 to 110); `vendor`
    the style of exposure and rendering; `label` whether text such as RMLO is burned into the dark corner;
    `film_edge` whether it has the white edges of digitised film, sometimes with tape or a scratch.
    `seed` is the woman, `nuisance_seed` the visit: positioning, exposure and display, quantum noise,
    place of the label, film. `rows` (128 to 4096) is the sampling of a field of 240 × 192 mm; `woman` the
    name that goes into the file. Seeds are non-negative integers.

    What is shared: a woman's images all have her size, shape and glandular fraction, and about half of the
    noise behind her gland; CC and MLO of one side are two projections of one breast, with the same lumps,
    ducts and strands at the same depth behind the nipple. What is not: the lace in the fat, the finest
    texture and the muscle's fibres are each view's own, and a breast is squeezed from a circle into an
    ellipse, without any mechanics.

    What can be read without looking at texture, as balanced accuracy for the four classes over sixty women in
    two views (`cohort(women=60)`, women kept apart, chance 0.25): 0.08 from thickness, 0.26 from mean raw
    signal, 0.22 from mean gray inside the breast after preprocessing; 0.93 from `area_density`. The display
    holds the mean gray as exposure control does, with each visit's own gain and brightness.

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
        """Return the number of columns: pixels are square."""
        return round(self.rows * FIELD_MM[1] / FIELD_MM[0])

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Return row and column spacing in mm."""
        return FIELD_MM[0] / self.rows, FIELD_MM[0] / self.rows

    @property
    def target_fraction(self) -> float:
        """Return the volumetric glandular fraction that this woman is meant to have."""
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

        `compress` chooses RLE lossless, else explicit VR little endian. Same phantom, same bytes. Vendors
        with MONOCHROME1 store 4095 minus `pixels`. The file gets its name only when it is complete.
        """
        rendering = self.render()
        ds = dataset(
            rendering.pixels,
            view=self.view,
            laterality=self.laterality,
            thickness_mm=self.thickness_mm,
            vendor=self.vendor,
            spacing_mm=self.spacing_mm,
            woman=self.woman,
            study=(self.woman, self.seed, self.nuisance_seed),
            instance=astuple(self),
        )
        if compress:
            compress_rle(ds)
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        write_atomic(Path(path), file.getvalue())
        return rendering
