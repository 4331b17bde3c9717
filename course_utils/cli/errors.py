"""The one error of the command line."""


class UsageError(Exception):
    """The command line asks for something that is not there; exit status 2."""
