"""This package's one error."""


class AnalysisError(Exception):
    """Vectors or parameters that an analysis cannot use; the message says which and what would work."""
