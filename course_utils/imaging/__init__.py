"""A file on disk becomes a picture for a network; never torch (lessons 01 and 02).

In: a DICOM or picture file. Out: a `Mammogram` (`read_mammogram`), and from it a square picture
(`Preprocessor`). The pixels flow one way: `dicom` opens and checks, `header`, `kind`, `codestream`,
`wavelet` and `decode` read, `grayscale` shows, `geometry` turns upright, `mask` finds the breast and
`preprocess` cuts it out; `pictures` reads what has no header, and `export` writes what comes out.
"""

from course_utils.imaging.dicom import read_mammogram
from course_utils.imaging.errors import MammogramError
from course_utils.imaging.identity import patient_key
from course_utils.imaging.mammogram import Mammogram
from course_utils.imaging.preprocess import Preprocessor

__all__ = ["Mammogram", "MammogramError", "Preprocessor", "patient_key", "read_mammogram"]
