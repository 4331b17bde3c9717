"""The one error of this package."""


class AnalysisError(Exception):
    """Vectors or parameters that an analysis cannot use; the message says which and what would do."""
