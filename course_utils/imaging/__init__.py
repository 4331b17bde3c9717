"""A file on disk becomes a picture: decoding, gray levels, preprocessing; never torch (lessons 01 and 02)."""

from .dicom import Mammogram, read_mammogram
from .errors import MammogramError
from .phantoms import Phantom, write_cohort
from .preprocess import Preprocessor

__all__ = ["Mammogram", "MammogramError", "Phantom", "Preprocessor", "read_mammogram", "write_cohort"]
