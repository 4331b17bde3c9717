"""Values and errors as text that may appear on the page."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

_PATH = re.compile(r"""(?<![\w./:\\-])(?:file://)?(?:[A-Za-z]:[\\/]|\\\\|~?/)(?:[^\s"'<>|/\\]+[\\/])+""")
_NO_LETTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def as_sentence(error: Exception) -> str:
    """Return an error's text with a full stop, unless it already ends a sentence."""
    text = str(error)
    return text if text.endswith(("?", ".")) else f"{text}."


def stated(value: Any) -> str:
    """Return a value of a table as text, and what is missing as nothing."""
    return "" if value is None or value != value or value is pd.NA else str(value)


def listed(names: Sequence[str]) -> str:
    """Return names as they are listed in a sentence: `view, side and vendor`."""
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(number: int, noun: str) -> str:
    """Return `1 image`, `2 images`, `no image`."""
    return f"{number or 'no'} {noun}{'s' if number > 1 else ''}"


def without_folders(text: Any) -> str:
    """Return text without the folders of a machine: only the last part of an absolute path is left.

    Control characters, halves of surrogate pairs, and marks that turn the direction of all that follows,
    become �.
    """
    return _NO_LETTER.sub("\N{REPLACEMENT CHARACTER}", _PATH.sub("", str(text)))
