"""Synthetic mammograms with known truth, written as conformant DICOM.

A `Phantom` is a handful of choices (density, view, side, thickness, vendor style, label text, seeds);
out come 12-bit FOR PRESENTATION pixels, the tissue behind every pixel in millimetres, and a file. Lessons 01
and 02 look at the pictures; lessons 07 to 10 ask what their embeddings really follow.

The recipe: `anatomy` makes an outline, compressed to an even thickness that rolls off at the edge, with
skin, nipple and, in MLO, the pectoral muscle under the breast. `gland` makes glandular tissue from
three-dimensional power-law noise plus an anatomical prior, thresholded softly in every depth layer until its
share of the volume meets the target, and Cooper's ligaments and vessels as thin curved lines. `picture`
exposes them (Beer–Lambert, quantum noise, blur) and renders them in one of three made-up vendor styles.
`files` writes them, and `cohorts` plans many at once.

Everything comes from the seeds. What could round differently from one processor to the next (transforms,
exponentials, filters) is done in float64, long before the step to 12 bits, so that the pixels, and with them
the bytes of a file, are the same everywhere.
"""

from course_utils.phantoms.anatomy import FRACTION_RANGE
from course_utils.phantoms.cohorts import cohort, write_cohort
from course_utils.phantoms.noise import FIELD_MM
from course_utils.phantoms.phantom import DENSE_SHARE, DENSITIES, VENDORS, VIEWS, Phantom, Rendering
from course_utils.phantoms.picture import MU_PER_MM

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
