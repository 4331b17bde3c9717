"""The one error of this package, and the sentences that several of its modules say (lesson 01).

Whoever reads files catches `MammogramError` and nothing else: a damaged file, one that shows no breast and
one that may not be opened are one row of failures each, with a sentence of its own.
"""

TRUNCATED = "This file is truncated: it ends before its pixels do."
NOT_GRAY = "This is a colour image; mammograms are gray."
TOO_SMALL = "This image is too small to be a mammogram."


class MammogramError(Exception):
    """A file that cannot be used as a mammogram, or mammograms that are not available.

    The message is one sentence for a person: what is wrong and what to do about it. It never
    holds a path, a name, a date of birth or an accession number, so it may be logged and stored as it is.
    """
