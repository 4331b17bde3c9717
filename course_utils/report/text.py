"""Values and errors as text that may appear on the page."""

import re
from typing import Any

import pandas as pd

_PATH = re.compile(r"""(?<![\w./:\\-])(?:[A-Za-z]:[\\/]|\\\\|~?/)(?:[^\s"'<>|/\\]+[\\/])+""")
_NO_LETTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def as_sentence(error: Exception) -> str:
    """Return an error's text with a full stop, unless it already ends a sentence."""
    text = str(error)
    return text if text.endswith(("?", ".")) else f"{text}."


def stated(value: Any) -> str:
    """Return a value of a table as text, and what is missing as nothing."""
    return "" if value is None or value != value or value is pd.NA else str(value)


def without_folders(text: Any) -> str:
    """Return text without the folders of a machine: only the last part of an absolute path is left.

    Characters that no page can hold, control characters and halves of surrogate pairs, become �.
    """
    return _NO_LETTER.sub("\N{REPLACEMENT CHARACTER}", _PATH.sub("", str(text)))
