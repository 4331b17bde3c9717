"""A live picture: a widget with a kernel, a still picture without one."""

import base64
import io
import re

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from course_utils.plots import Illustration
from course_utils.teaching.widgets import LivePicture


def gray(level=0.5):
    return np.full((4, 6), level, dtype=np.float32)


def slider_of(picture):
    return picture.children[0]


def shown(picture):
    return picture.children[-1].value


def png_of(picture):
    return base64.b64decode(re.search('data:image/png;base64,([^"]+)', shown(picture))[1])


def pixels_of(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_picture_is_drawn_at_the_defaults_of_draw():
    picture = LivePicture(gray, level=(0.0, 1.0, 0.1))
    assert slider_of(picture).value == 0.5
    assert pixels_of(png_of(picture)).tolist() == [[128] * 6] * 4


def test_moving_the_slider_redraws_the_picture():
    picture = LivePicture(gray, level=(0.0, 1.0, 0.1))
    slider_of(picture).value = 1.0
    assert pixels_of(png_of(picture)).tolist() == [[255] * 6] * 4


def test_a_stored_notebook_keeps_a_still_picture_and_the_words_for_it():
    picture = LivePicture(gray, alt="A gray sheet.", level=(0.0, 1.0, 0.1))
    bundle = picture._repr_mimebundle_()
    assert bundle["text/html"] == shown(picture)
    assert 'alt="A gray sheet."' in bundle["text/html"]
    assert bundle["text/plain"] == "A gray sheet."
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_figure_is_drawn_and_closed_so_that_it_is_not_shown_twice():
    def draw(width=2):
        figure, axes = plt.subplots(figsize=(width, 1))
        axes.plot([0, 1])
        return figure

    picture = LivePicture(draw, width=(1, 5))
    assert pixels_of(png_of(picture)).shape[2] == 4
    assert plt.get_fignums() == []


def test_bytes_of_a_png_pass_through():
    buffer = io.BytesIO()
    Image.new("L", (3, 2)).save(buffer, format="png")
    assert png_of(LivePicture(lambda: buffer.getvalue())) == buffer.getvalue()


def test_an_error_after_a_move_stands_in_the_pictures_place_until_the_next_move():
    def draw(level=0.5):
        if level > 0.8:
            raise ValueError("brighter than <light>")
        return gray(level)

    picture = LivePicture(draw, level=(0.0, 1.0, 0.1))
    slider_of(picture).value = 0.9
    assert "ValueError: brighter than &lt;light&gt;" in shown(picture)
    assert "<img" not in shown(picture)
    slider_of(picture).value = 0.2
    assert pixels_of(png_of(picture)).tolist() == [[51] * 6] * 4


def test_an_error_in_the_first_drawing_is_raised():
    with pytest.raises(TypeError, match="draw returned a str"):
        LivePicture(lambda: "not a picture")
    with pytest.raises(ValueError, match=r"\(H, W\) is needed"):
        LivePicture(lambda: np.zeros((2, 2, 3)))


def test_controls_are_labelled_sliders_choices_or_any_widget():
    def draw(batch_size=8, how="mean", angle=0.0):
        return gray()

    own = ipywidgets.FloatText(description="angle")
    picture = LivePicture(draw, batch_size=(1, 32), how=["sum", "mean"], angle=own)
    whole, choice, given = picture.children[:3]
    assert isinstance(whole, ipywidgets.IntSlider)
    assert (whole.description, whole.value, whole.max) == ("batch size", 8, 32)
    assert (choice.description, choice.value, choice.options) == ("how", "mean", ("sum", "mean"))
    assert given is own
    with pytest.raises(TypeError, match="give \\(low, high\\)"):
        LivePicture(draw, batch_size=5)


def test_an_illustration_brings_its_own_words():
    figure = Figure(figsize=(1, 1))
    picture = LivePicture(lambda: Illustration(figure, "What to see.", "An empty sheet."))
    assert picture._repr_mimebundle_()["text/plain"] == "An empty sheet."
    assert 'alt="An empty sheet."' in shown(picture)
    assert "What to see." in shown(picture)
    assert pixels_of(png_of(picture)).ndim == 3
