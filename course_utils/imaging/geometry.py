"""How a picture lies, and how wide its pixels are: what was stored becomes upright (lesson 01).

In: pixels as they were stored, and the header. Out: the picture turned upright by right angles and
flips, which move pixels and change none; and the proportions of a pixel. Left and right are no matter of this
module: a breast may face either way (`preprocess`).
"""

from collections.abc import MutableSequence
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from course_utils.imaging.header import get_numbers, get_spacing, get_value

LONGEST_PIXEL = 4.0
"""A pixel that is said to be longer than so many times its width, or wider, is not believed."""

SMALLEST_MM, LARGEST_MM = 0.005, 5.0
"""A spacing outside of this is not believed, such as one in µm; detectors and film scanners have 0.04 to 0.2
mm."""

LYING = "The picture lay on its side, as PatientOrientation says; it was turned upright."
UPSIDE_DOWN = "The picture stood on its head, as PatientOrientation says; it was turned upright."
NOT_SQUARE = "The pixels are not square; preprocessing gives the picture its true proportions."
ABSURD = "The header's proportions of a pixel make no sense; they were taken for square."
NO_SPACING = "The header's spacing of pixels makes no sense; it was taken for unknown."


class Geometry(NamedTuple):
    """How stored rows and columns become an upright picture.

    Attributes:
        lying: whether rows and columns are swapped first.
        upside_down: whether the first row is then the lowest.
        aspect: height over width of a pixel of the upright picture.
        spacing_mm: distance of its rows and of its columns, or None.
        warnings: sentences.
    """

    lying: bool
    upside_down: bool
    aspect: float
    spacing_mm: tuple[float, float] | None
    warnings: list[str]

    def spacing_of(self, reduction: int) -> tuple[float, float] | None:
        """Return the distance of rows and of columns where a pixel is the mean of several stored ones."""
        return self.spacing_mm and (self.spacing_mm[0] * reduction, self.spacing_mm[1] * reduction)

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Return `(H, W)` or `(W, H)`, the same values in upright order, contiguous."""
        turned = pixels.T if self.lying else pixels
        return np.ascontiguousarray(turned[::-1] if self.upside_down else turned)


def geometry(header: Dataset) -> Geometry:
    """Return how the picture of a header lies, and the proportions of its pixels.

    The two values of PatientOrientation (PS3.3 C.7.6.1.1.1) say where its rows and its columns run to:
    anterior, posterior, left, right, head or feet. Rows of a mammogram run forwards or backwards, and its
    columns do not run to the head. The proportions are those of ImagerPixelSpacing, PixelSpacing or
    PixelAspectRatio, whichever is there first.
    """
    rows, columns = _directions(header)
    lying = columns in ("A", "P") and rows in ("H", "F", "L", "R")
    if lying:
        rows, columns = columns, rows
    upside_down = columns == "H"
    warnings = [sentence for applies, sentence in ((lying, LYING), (upside_down, UPSIDE_DOWN)) if applies]

    spacing = get_spacing(header, "ImagerPixelSpacing") or get_spacing(header, "PixelSpacing")
    height, width = spacing or _ratio(header)
    if lying:
        height, width = width, height
        spacing = spacing and (spacing[1], spacing[0])
    aspect = height / width
    if not 1 / LONGEST_PIXEL <= aspect <= LONGEST_PIXEL:
        aspect, spacing = 1.0, None
        warnings.append(ABSURD)
    elif not 0.99 < aspect < 1.01:
        warnings.append(NOT_SQUARE)
    if spacing and not all(SMALLEST_MM <= each <= LARGEST_MM for each in spacing):
        spacing = None
        warnings.append(NO_SPACING)
    return Geometry(lying, upside_down, aspect, spacing, warnings)


def _directions(header: Dataset) -> tuple[str, str]:
    """Return the main direction of the rows and of the columns, empty where the header does not say."""
    value = get_value(header, "PatientOrientation")
    values = []
    if isinstance(value, MutableSequence | tuple):
        values = [str(each).strip().upper() for each in value]
    if len(values) != 2 or not all(each and set(each) <= set("APLRHF") for each in values):
        return "", ""
    rows, columns = values[0][0], values[1][0]
    if any(rows in axis and columns in axis for axis in ("AP", "LR", "HF")):  # they cannot run along the same
        return "", ""
    return rows, columns


def _ratio(header: Dataset) -> tuple[float, float]:
    """Return the proportions in PixelAspectRatio: vertical, horizontal (PS3.3 C.7.6.3.1.7)."""
    ratio = get_numbers(header, "PixelAspectRatio")
    usable = len(ratio) == 2 and all(0 < part < np.inf for part in ratio)
    return (ratio[0], ratio[1]) if usable else (1.0, 1.0)
