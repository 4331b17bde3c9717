import numpy as np
import pytest
from sample_figures import MOVED, TRACE

from course_utils import plots


def test_the_curve_over_the_histogram_is_the_function_that_was_given():
    values = np.repeat([100.0, 900.0, 3000.0], [50, 5, 5])
    shown = plots.gray_curves(values, {"window": lambda x: np.clip((x - 500) / 2000, 0, 1)}, span=(0, 4000))
    (axes,) = shown.figure.axes
    x, y = axes.lines[0].get_data()
    assert (x[0], x[-1]) == (0, 4000)
    assert np.allclose(y, np.interp(x, [0, 500, 2500, 4000], [0, 0, 1, 1]), atol=1e-6)
    assert "window" in shown.alt


def test_a_ground_of_the_largest_number_is_drawn():
    values = np.append(np.arange(4096), np.full(4096, 4095))  # as MONOCHROME1 stores its ground
    (axes,) = plots.gray_curves(values, {"window": lambda x: x / 4095}).figure.axes
    (hills,) = (patch.get_data() for patch in axes.patches)
    assert hills.edges[-1] == 4095
    assert hills.values[-1] == 1


def test_a_curve_that_works_in_place_changes_neither_values_nor_the_next_curve():
    def spoils(x):
        x -= 1000
        return x

    values = np.linspace(0, 4000, 50, dtype=np.float32)
    shown = plots.gray_curves(values, {"first": spoils, "second": lambda x: x})
    assert values[0] == 0
    assert shown.figure.axes[0].lines[1].get_data()[1][0] == 0


def test_each_step_of_preprocessing_is_shown_with_its_name_and_size():
    shown = plots.preprocessing_steps(TRACE)
    axes = shown.figure.axes
    assert [each.get_title() for each in axes] == ["1 read", "2 crop", "3 pad"]
    assert [each.get_xlabel() for each in axes] == ["40 × 30", "30 × 20", "30 × 30"]
    assert "read, crop, pad" in shown.alt


@pytest.mark.parametrize(
    ("step", "titles"),
    [(1, ["1 read"]), (2, ["1 read", "2 crop"]), (3, ["2 crop", "3 pad"]), (9, ["2 crop", "3 pad"])],
)
def test_one_step_is_shown_after_the_one_before_it_and_beyond_the_last_is_the_last(step, titles):
    shown = plots.one_step(TRACE, step)
    assert [axes.get_title() for axes in shown.figure.axes if axes.get_title()] == titles
    assert titles[-1].split()[1] in shown.alt


def test_shifts_are_sorted_by_their_median_under_the_distance_between_women():
    axes = plots.shifts(MOVED, [0.1, 0.3, 0.2]).figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["near", "far", "two women"]
    diamonds = [float(each.get_offsets()[0, 0]) for each in axes.collections if len(each.get_offsets()) == 1]
    assert diamonds == [0.02, 0.3, 0.2]
    assert axes.lines[0].get_xdata()[0] == 0.2
