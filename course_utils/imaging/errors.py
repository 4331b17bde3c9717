"""The one error of this package."""


class MammogramError(Exception):
    """A file that cannot be used as a mammogram.

    The message is one sentence for a person: what is wrong with *this* file and what to do about it. It never
    holds a path, a name, a date of birth or an accession number, so it may be logged and stored as it is.
    """
