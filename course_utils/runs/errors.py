"""The errors of this package: each message says what is wrong with this folder or table, and what to do."""


class RunError(Exception):
    """A run folder holds no run, or a file of it cannot be read."""


class LabelsError(RunError):
    """A table of labels cannot be used; the command line takes it for a wrong command (exit status 2)."""
