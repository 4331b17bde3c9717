"""Words for the terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text without what moves a terminal's cursor: a name may hold a line feed or an escape code."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def counted(number: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
