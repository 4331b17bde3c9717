"""What everything else works on: a `Mammogram`, its pixels and the little known about them (lesson 01).

In: whatever a reader has found out about one image. Out: one frozen object, which `dicom` makes and the
`Preprocessor` takes. Nothing in it identifies a person.
"""

from dataclasses import dataclass, field

import numpy as np

from course_utils.imaging.kind import Kind


@dataclass(frozen=True, eq=False)
class Mammogram:
    """One mammogram, ready to look at. Anything the file does not say is None.

    Attributes:
        pixels: float32 `(H, W)` in [0, 1], breast bright on dark ground.
        image_id: pseudonym of the image, `img-` and 12 hexadecimal digits.
        patient_key: pseudonym of the person, `pat-` and 12 hexadecimal digits.
        view: `CC`, `MLO`, `ML`, `LM`, `XCCL`, … (the abbreviations of PS3.16 CID 4014).
        laterality: `L` or `R`.
        spacing_mm: distance of pixel centres between rows and between columns; ImagerPixelSpacing applies at
            the detector, so the breast itself is a little smaller.
        pixel_aspect: height of a pixel over its width; 1 where the file does not say.
        kind: `ffdm` (digital), `film` (digitised), `synthetic_2d` (computed from tomosynthesis), `raw` (FOR
            PROCESSING), `picture` (no DICOM).
        modifiers: what was done to the view, such as `magnification` (the names of PS3.16 CID 4015).
        voi: what set the display values: `lut`, `window:LINEAR` (or another function), `percentile`, `none`.
        warnings: sentences about what was odd, free of personal data.
    """

    pixels: np.ndarray = field(repr=False)
    image_id: str
    patient_key: str | None
    view: str | None
    laterality: str | None
    spacing_mm: tuple[float, float] | None
    voi: str
    warnings: tuple[str, ...] = ()
    pixel_aspect: float = 1.0
    kind: Kind | None = None
    modifiers: tuple[str, ...] = ()
