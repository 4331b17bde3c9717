"""Slide a kernel over a picture, one of a few or one's own (lesson 03)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
from numpy.typing import ArrayLike

from course_utils.plots import Illustration, convolution_window
from course_utils.teaching.widgets import LivePicture

OWN = "my own"


class KernelWindow(LivePicture):
    """A picture with a kernel at one place; sliders move it, and a small editor takes a kernel of one's own.

    Writing in the editor chooses `my own`. What cannot be read is said below the picture, which stays as it
    was, so that nothing jumps.

    Args:
        picture: `(H, W)` in [0, 1].
        kernels: the kernels to choose from, `(3, 3)` each, by name.
        row, column: where the window begins at first.
    """

    def __init__(
        self, picture: ArrayLike, kernels: Mapping[str, Sequence[Sequence[float]]], *, row: int, column: int
    ) -> None:
        pixels = np.asarray(picture, np.float64)
        self._readable = [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

        def draw(kernel: str, my_own: str, row: int = row, column: int = column) -> Illustration:
            if kernel != OWN:
                return convolution_window(pixels, kernels[kernel], row, column)
            try:
                self._readable = read_kernel(my_own)
            except ValueError as error:
                shown = convolution_window(pixels, self._readable, row, column)
                return dataclasses.replace(shown, caption=f"{error} This is still the kernel of before.")
            return convolution_window(pixels, self._readable, row, column)

        choice = ipywidgets.Dropdown(options=[*kernels, OWN], description="kernel")
        editor = ipywidgets.Textarea(
            "0 0 0\n0 1 0\n0 0 0", description=OWN, rows=3, continuous_update=False, layout={"width": "18em"}
        )
        height, width = pixels.shape
        super().__init__(draw, kernel=choice, my_own=editor, row=(0, height - 3), column=(0, width - 3))
        where = (self._controls["row"], self._controls["column"])
        beside = ipywidgets.HBox(
            (ipywidgets.VBox((choice, *where)), editor), layout={"flex_flow": "row wrap"}
        )
        self.children = (beside, self._shown)
        editor.observe(lambda _change: self._choose_own(choice), names="value")

    def _choose_own(self, choice: Any) -> None:
        choice.value = OWN


def read_kernel(text: str) -> list[list[float]]:
    """Return the kernel that is written in lines of numbers, with spaces, commas or semicolons between.

    Raises:
        ValueError: it is not a square of 1 × 1 to 7 × 7 finite numbers; a sentence says what it is.
    """
    rows = []
    for line in filter(str.strip, text.replace("−", "-").splitlines()):
        words = [word for word in re.split(r"[\s,;]+", line) if word]
        try:
            rows.append([_number(word) for word in words])
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"“{line.strip()}” is not a row of numbers.") from None
    lengths = [len(row) for row in rows]
    if not rows or set(lengths) != {len(rows)} or len(rows) > 7:
        counted = f"{len(rows)} rows of {', '.join(map(str, lengths))}" if rows else "none"
        raise ValueError(f"Three rows of three numbers make a kernel; here are {counted}.")
    return rows


def _number(word: str) -> float:
    """Return `-0.5` or `1/9` as a number."""
    top, _, bottom = word.partition("/")
    value = float(top) / float(bottom or 1)
    if not np.isfinite(value):
        raise ValueError(word)
    return value
