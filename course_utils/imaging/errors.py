"""The one error of this package."""


class MammogramError(Exception):
    """A file that cannot be used as a mammogram, or mammograms that cannot be had.

    The message is one sentence for a person: what is wrong and what to do about it. It never
    holds a path, a name, a date of birth or an accession number, so it may be logged and stored as it is.
    """
