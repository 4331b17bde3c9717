"""Words for the terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text without what moves a terminal's cursor: a name may hold a line feed or an escape code."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def counted(number: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say_who_is_alone(alone: int, images: int) -> None:
    """Say how many of the images name no woman, if some do and some do not."""
    if 0 < alone < images:
        it = "1 image names no woman: it counts"
        they = f"{alone} images name no woman: each counts"
        print(f"{it if alone == 1 else they} as a woman of its own")
