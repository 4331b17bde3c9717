"""Live pictures: sliders that redraw a figure while a kernel runs, and a still picture where none is running.

A drawing function goes in, a widget comes out. `ipywidgets.interact` and `Output` are not used: they
occasionally stall when a notebook is executed without a screen. Lesson 05 is the first to use it.
"""

from __future__ import annotations

import html
import inspect
import io
from collections.abc import Callable
from typing import Any

import cv2
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course_utils.plots import Illustration, figure_html

__all__ = ["LivePicture"]


class LivePicture(ipywidgets.VBox):
    """A picture with its controls above it; moving one redraws the picture.

    `draw(**values)` is called with one value per control and returns a matplotlib `Figure`, an
    `Illustration`, an array `(H, W)` in [0, 1], or the bytes of a PNG. A control is given as `(low,
    high)` or `(low, high, step)` for a slider (of integers if all are integers), as a list of choices,
    or as any ipywidget with a `value`. It starts at `draw`'s default for it, or at its first value.

    `alt` says in words what the picture shows, for those who cannot see it; an `Illustration` has its
    own. A stored notebook keeps the first picture, as a still. An error in the first drawing is raised;
    a later one appears as a sentence in place of the picture until a control is moved.
    """

    def __init__(self, draw: Callable[..., Any], *, alt: str | None = None, **controls: Any) -> None:
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(draw).parameters.items()
            if parameter.default is not parameter.empty
        }
        self._draw = draw
        self._controls = {name: _control(name, given, defaults) for name, given in controls.items()}
        drawn = draw(**self._values())
        self.alt = alt or getattr(drawn, "alt", None) or "A picture that changes with the controls above it."
        self._shown = ipywidgets.HTML(self._still_of(drawn, self.alt))
        super().__init__(children=(*self._controls.values(), self._shown))
        for control in self._controls.values():
            control.observe(self._redraw, names="value")

    def _values(self) -> dict[str, Any]:
        return {name: control.value for name, control in self._controls.items()}

    def _redraw(self, _change: object) -> None:
        try:
            drawn = self._draw(**self._values())
            self._shown.value = self._still_of(drawn, getattr(drawn, "alt", self.alt))
        except Exception as error:
            reason = html.escape(f"{type(error).__name__}: {error}")
            self._shown.value = f'<p role="alert">This picture could not be drawn. {reason}</p>'

    def _still_of(self, drawn: Any, alt: str) -> str:
        """Return what was drawn as HTML; it is also what a stored notebook keeps."""
        self._still = figure_html(_png(drawn), alt, getattr(drawn, "caption", ""))
        return self._still

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": self.alt, "text/html": self._still}


def _control(name: str, given: Any, defaults: dict[str, Any]) -> ipywidgets.Widget:
    """Return a slider, a list of choices, or the widget that was given, with its name as its label."""
    if isinstance(given, ipywidgets.Widget):
        return given
    look: dict[str, Any] = {"description": name.replace("_", " "), "style": {"description_width": "initial"}}
    if isinstance(given, list):
        return ipywidgets.Dropdown(options=given, value=defaults.get(name, given[0]), **look)
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        raise TypeError(
            f"{name}: give (low, high), (low, high, step), a list of choices or a widget, not {given!r}."
        )
    whole = all(isinstance(number, int) for number in given)
    low, high, step = given if len(given) == 3 else (*given, 1 if whole else (given[1] - given[0]) / 100)
    slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    look["continuous_update"] = False  # on the way to a place, a slow picture would be drawn at every stop
    look["layout"] = ipywidgets.Layout(width="32em", max_width="100%")
    return slider(value=defaults.get(name, low), min=low, max=high, step=step, **look)


def _png(drawn: Any) -> bytes:
    """Return the picture as the bytes of a PNG."""
    if isinstance(drawn, bytes):
        return drawn
    if isinstance(drawn, np.ndarray):
        return _png_of_array(drawn)
    if isinstance(drawn, Illustration):
        return drawn.png()
    if isinstance(drawn, Figure):
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png", bbox_inches="tight")
        plt.close(drawn)  # or the notebook would show it a second time, below the controls
        return buffer.getvalue()
    raise TypeError(
        f"draw returned a {type(drawn).__name__}; a figure, an array (H, W) or PNG bytes is needed."
    )


def _png_of_array(picture: np.ndarray) -> bytes:
    if picture.ndim != 2:
        raise ValueError(f"draw returned an array of shape {picture.shape}; (H, W) is needed.")
    gray = np.rint(np.clip(picture, 0.0, 1.0) * 255).astype(np.uint8)
    return cv2.imencode(".png", gray)[1].tobytes()
