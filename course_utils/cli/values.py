"""What an option's value may be: text goes in; the value, or a sentence on what is wrong, comes out."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

from course_utils.objects import ObjectError, Place, place

BACKBONES = ("auto", "resnet50", "efficientnet_lite0")
ZOOS = ("torchvision", "timm")


def path(text: str) -> Path:
    """Return any path but an empty one, which would be the working folder, and no address."""
    found = path_or_place(text)
    if isinstance(found, Place):
        raise argparse.ArgumentTypeError(
            f"{text!r} is in an object store, where only INPUT and -o of course embed may be: copy it first"
        )
    return found


def path_or_place(text: str) -> Path | Place:
    """Return any path but an empty one, or an address in an object store, such as `s3://bucket/prefix`."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    try:
        return place(text)
    except ObjectError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def backbone(text: str) -> str:
    """Return one of the course's backbones, or a zoo's name and a network's."""
    zoo, _, name = text.partition(":")
    if text in BACKBONES or (zoo in ZOOS and name):
        return text
    wanted = ", ".join(BACKBONES) + " or, with the name of a network, torchvision:NAME or timm:NAME"
    raise argparse.ArgumentTypeError(f"{text!r} is not one of {wanted}")


def names(text: str) -> list[str]:
    """Return the names of columns, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of columns, with a comma between two")
    return list(dict.fromkeys(parts))


def whole_number(least: int, most: int = sys.maxsize) -> Callable[[str], int]:
    """Return what reads a whole number from `least` to `most`."""

    def read(text: str) -> int:
        if not (text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
            upper = f" to {most}" if most < sys.maxsize else " or more"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least}{upper}")
        return int(text)

    return read


def number(least: float, most: float = math.inf) -> Callable[[str], float]:
    """Return what reads a finite number from `least` to `most`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most):
            upper = f" to {most:g}" if most < math.inf else " or more"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number, {least:g}{upper}")
        return value

    return read


positive = whole_number(1)
several = whole_number(2)
not_negative = whole_number(0)
seed = whole_number(0, 2**32 - 1)


def positive_or_auto(text: str) -> int | str:
    """Return `auto` or a number that is at least 1."""
    return text if text == "auto" else positive(text)


def voi(text: str) -> str | int:
    """Return the name of a VOI transform or the number of a window."""
    return text if text in ("auto", "lut", "window", "percentile", "none") else not_negative(text)
