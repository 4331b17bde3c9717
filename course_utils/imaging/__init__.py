"""A file on disk becomes a picture: decoding, gray levels, preprocessing; never torch (lessons 01 and 02)."""

from course_utils.imaging.dicom import read_mammogram
from course_utils.imaging.errors import MammogramError
from course_utils.imaging.mammogram import Mammogram
from course_utils.imaging.preprocess import Preprocessor

__all__ = ["Mammogram", "MammogramError", "Preprocessor", "read_mammogram"]
