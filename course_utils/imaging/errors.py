"""This package's one error, and the sentences that several of its modules use (lesson 01).

Code that reads files catches `MammogramError` and nothing else: a damaged file, one that shows no breast and
one that may not be opened each become one row of failures, with a sentence of their own.
"""

TRUNCATED = "This file is truncated: it ends before its pixels do."
NO_PIXELS = "This DICOM file holds no pixels."
NOT_GRAY = "This is a colour image; mammograms are gray."
TOO_SMALL = "This image is too small to be a mammogram."


class MammogramError(Exception):
    """A file that cannot be used as a mammogram, or mammograms that are not available.

    The message is one sentence for a person: what is wrong and what to do about it. It never
    holds a path, a name, a date of birth or an accession number, so it may be logged and stored as is.
    """


class TooCoarse(MammogramError):
    """A mammogram that was read at a fraction of its size, and whose breast has too few pixels for that."""

    def __init__(self) -> None:
        super().__init__("This breast is too small in its image to be read fast: read the file in full.")
