import numpy as np
import pytest

from course_utils.plots import grays

RNG = np.random.default_rng(0)
PICTURE = RNG.random((32, 32)).astype(np.float32)
WORDS = {"caption": "A caption that is long enough to be one.", "alt": "Words for who cannot see the figure."}


def every_figure(theme="light"):
    x = np.arange(4096.0)
    return {
        "way": grays.from_file_to_vector(PICTURE, PICTURE[None], np.arange(1280.0), theme=theme),
        "values": grays.values_inside(
            {"one": PICTURE, "half": PICTURE / 2}, PICTURE > 0.2, **WORDS, theme=theme
        ),
        "shares": grays.shares_beside_chance(
            {"view": (1.0, 0.5), "vendor": (0.2, 0.3)}, **WORDS, theme=theme
        ),
        "lines": grays.modality_lines(x, {"rising": x, "falling": 4095 - x}, theme=theme),
        "curves": grays.curves_over_values(
            {"window": (PICTURE * 4095, lambda x: x / 4095)}, **WORDS, theme=theme
        ),
        "packed": grays.packed_sizes({"plain": 1.0, "rle": 0.4, "lossy": 0.1}, ["lossy"], theme=theme),
        "changes": grays.changes(
            {"one": np.eye(4, dtype=int), "two": -np.eye(4, dtype=int)}, of=4095, **WORDS
        ),
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_has_words_and_is_the_same_each_time(theme):
    again = every_figure(theme)
    for name, shown in every_figure(theme).items():
        assert len(shown.caption) > 20, name
        assert len(shown.alt) > 20, name
        assert shown.png() == again[name].png(), name


@pytest.mark.parametrize("name", ["lines", "packed", "shares", "changes"])
def test_axes_say_what_they_show(name):
    axes = every_figure()[name].figure.axes[0]
    assert axes.get_xlabel()
    assert axes.get_ylabel() or axes.get_yticklabels()[0].get_text()


def test_values_are_counted_inside_only_and_the_legend_crosses_no_curve():
    figure = every_figure()["values"].figure
    curves = figure.axes[-1]
    whole, half = (line.get_ydata() for line in curves.lines)
    assert whole.sum() == pytest.approx(1)
    assert whole[:12].sum() == 0  # nothing below 0.2 was counted
    assert half[30:].sum() == pytest.approx(0, abs=1e-9)
    figure.draw_without_rendering()
    assert curves.get_legend().get_window_extent().y0 >= curves.get_window_extent().y1 - 1


def test_a_ground_of_the_largest_number_is_drawn():
    values = np.append(np.arange(4096), np.full(4096, 4095))  # as MONOCHROME1 stores its ground
    figure = grays.curves_over_values({"window": (values, lambda x: x / 4095)}, **WORDS).figure
    (hills,) = (patch.get_data() for patch in figure.axes[0].patches)
    assert hills.edges[-1] == 4096
    assert hills.values[-1] == 1


def test_bars_and_diamonds_stand_where_the_numbers_say():
    axes = every_figure()["shares"].figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [1.0, 0.2]
    assert axes.lines[0].get_xdata().tolist() == [0.5, 0.3]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["view", "vendor"]


def test_a_curve_lies_over_the_histogram_of_its_own_values():
    axes = every_figure()["curves"].figure.axes[0]
    x, y = axes.lines[0].get_data()
    assert np.allclose(y, x / 4095)
    assert axes.get_title() == "window"


def test_lossy_sizes_are_hatched_and_all_are_named_in_words():
    shown = every_figure()["packed"]
    assert [bool(bar.get_hatch()) for bar in shown.figure.axes[0].patches] == [False, False, True]
    assert "rle 0.40" in shown.alt


def test_each_map_of_changes_has_its_own_scale():
    errors = {"small": np.array([[-2, 2]]), "large": np.array([[0, 9]])}
    shown = grays.changes(errors, of=4095, **WORDS)
    maps = [axes.images[0].get_clim() for axes in shown.figure.axes if axes.images]
    assert maps[:2] == [(-2, 2), (-9, 9)]
