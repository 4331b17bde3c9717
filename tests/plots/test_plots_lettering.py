import io
import logging
import warnings

import numpy as np
import pytest
from matplotlib.image import imread
from sample_figures import PICTURES, VECTORS

from course_utils import plots
from course_utils.analysis import reduce
from course_utils.plots import lettering

POINTS = reduce(VECTORS)
WORDS = ["$x^2$ and $y$", "$\\frac{$", "_hidden", "5\" 'film'", "a_b^c", "左乳", "ثدي", "100 %", "<b>&</b>"]


@pytest.fixture(autouse=True)
def say_it_again():
    lettering._say_once.cache_clear()


def legend_of(shown: plots.Illustration) -> list[str]:
    return [text.get_text() for text in shown.figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize("words", WORDS)
def test_words_from_outside_stand_in_the_figure_letter_by_letter(words):
    values = [words, "b"] * 9
    maps = (
        plots.map_scatter(POINTS, values, name=words),
        plots.map_pictures(POINTS, PICTURES, values, name=words),
    )
    for shown in maps:
        assert shown.png()
        assert {text.removesuffix(" (9)") for text in legend_of(shown)} == {words, "b"}
        assert shown.figure.axes[0].get_legend().get_title().get_text() == words
    sheet = plots.contact_sheet(PICTURES[:2], [words, "b"])
    assert sheet.png()
    assert sheet.figure.axes[0].get_title() == words


def test_a_label_of_thousands_of_letters_is_shortened_in_its_middle_and_leaves_room_for_the_map():
    long = ["a" * 6000 + "1", "a" * 6000 + "2"] * 9
    shown = plots.map_scatter(POINTS, long, name="n" * 6000)
    one, other = legend_of(shown)
    assert one != other
    assert max(map(len, (one, other, shown.caption, shown.alt))) < 250
    assert shown.figure.axes[0].get_position().width > 0.3


def test_what_has_several_lines_or_control_characters_becomes_one_line():
    assert lettering.shortened("a\r\nb\x07\tc") == "a b c"


def test_letters_that_no_font_has_are_boxes_and_are_told_once(caplog, monkeypatch):
    monkeypatch.setattr(lettering, "_installed", frozenset)
    lettering._fonts_for.cache_clear()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        with_boxes = plots.map_scatter(POINTS, ["左", "右"] * 9, name="side").png()
        plots.map_scatter(POINTS, ["左", "右"] * 9, name="側").png()
    lettering._fonts_for.cache_clear()
    assert len(caplog.records) == 1
    assert "boxes instead" in caplog.text
    legend = imread(io.BytesIO(with_boxes))[:, -60:, :3]
    assert legend.min() < 0.5, "nothing is drawn where the letters should be"


def test_a_font_that_has_the_letters_is_taken_where_there_is_one(monkeypatch):
    has = {"DejaVu Sans": "ab", "SimHei": "左", "Tahoma": "b"}
    monkeypatch.setattr(lettering, "_installed", lambda: frozenset(has))
    monkeypatch.setattr(lettering, "_letters_of", lambda family: frozenset(has[family]))
    fonts_for = lettering._fonts_for.__wrapped__
    assert fonts_for(frozenset("ab")) == (["DejaVu Sans"], frozenset())
    assert fonts_for(frozenset("a左")) == (["DejaVu Sans", "SimHei"], frozenset())
    assert fonts_for(frozenset("ع左")) == (["DejaVu Sans", "SimHei"], frozenset("ع"))


def test_an_image_without_a_picture_is_a_dot_on_the_map():
    pictures = [b"", *PICTURES[1:]]
    shown = plots.map_pictures(np.arange(36.0).reshape(18, 2) * 9, pictures)
    assert "1 without a picture is a dot." in shown.caption
