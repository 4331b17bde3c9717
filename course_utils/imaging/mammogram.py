"""What everything else works on: a `Mammogram`, its pixels and the little known about them (lesson 01).

In: whatever a reader has found out about one image. Out: one frozen object, which `dicom` makes and the
`Preprocessor` takes. Nothing in it identifies a person.
"""

import hashlib
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
        reduction: how many stored pixels make one side of a pixel; above 1 where a file was read fast.
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
    reduction: int = 1

    @classmethod
    def from_array(
        cls,
        pixels: np.ndarray,
        *,
        view: str | None = None,
        laterality: str | None = None,
        image_id: str | None = None,
    ) -> "Mammogram":
        """Return a mammogram of one's own pixels, ready for a `Preprocessor`.

        Args:
            pixels: `(H, W)`, the breast bright: floating point in [0, 1], or unsigned integers, which are
                divided by the largest number of their type.
            view: such as `CC` or `MLO`.
            laterality: `L` or `R`.
            image_id: a name without meaning; None: one made from the pixels.

        Raises:
            ValueError: the pixels are not such an array, or the laterality is neither.
        """
        array = np.asarray(pixels)
        if array.ndim != 2 or not array.size or array.dtype.kind not in "fu":
            raise ValueError(f"pixels are gray values (H, W), not {array.dtype} {array.shape}")
        if array.dtype.kind == "u":
            array = array / np.float64(np.iinfo(array.dtype).max)
        if not (array.min() >= 0 and array.max() <= 1):  # false for NaN
            raise ValueError("pixels of floating point lie in [0, 1]")
        if laterality not in (None, "L", "R"):
            raise ValueError(f"laterality is L, R or None, not {laterality!r}")
        gray = np.ascontiguousarray(array, np.float32)
        return cls(
            pixels=gray,
            image_id=image_id or f"img-{hashlib.sha256(gray.data).hexdigest()[:12]}",
            patient_key=None,
            view=view,
            laterality=laterality,
            spacing_mm=None,
            voi="none",
            kind="picture",
        )
