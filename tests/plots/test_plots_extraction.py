import pytest
from sample_figures import PICTURES, RATES, RUNS, VECTORS

from course_utils import plots


@pytest.mark.parametrize(
    ("batch_size", "batch", "title"),
    [
        (7, 1, "batch 1 of 3: 7 pictures, rows 0 to 6"),
        (7, 3, "batch 3 of 3: 4 pictures, rows 14 to 17"),
        (7, 99, "batch 3 of 3: 4 pictures, rows 14 to 17"),
        (18, 1, "batch 1 of 1: 18 pictures, rows 0 to 17"),
        (17, 2, "batch 2 of 2: 1 picture, rows 17 to 17"),
    ],
)
def test_the_last_batch_holds_what_is_left(batch_size, batch, title):
    drawn = plots.batch_in_order(PICTURES, VECTORS, batch_size, batch)
    assert drawn.figure.get_suptitle() == title


def test_a_bar_of_the_timeline_lies_where_its_work_was_done_and_the_clock_starts_with_each_run():
    alone, ahead = plots.timeline(RUNS).figure.axes[:2]
    bars = {
        axes.get_title(loc="left"): [(b.get_x(), b.get_width(), b.get_y() > 0) for b in axes.patches]
        for axes in (alone, ahead)
    }
    assert bars == {
        "alone: 3.00 s": [(0, 1, False), (1, 2, False)],
        "ahead: 2.50 s": [(0, 1, False), (1, 1.5, True)],  # in another thread, so on another line
    }
    assert [label.get_text() for label in ahead.get_yticklabels()] == ["reader", "main"]
    assert alone.get_xlim() == ahead.get_xlim()


def test_a_square_of_the_throughput_map_holds_its_rate_and_an_untried_one_a_question_mark():
    large, small = plots.throughput_maps(RATES, (1, 8), (0, 2), last=("large", 8, 2)).figure.axes
    assert [text.get_text() for text in large.texts] == ["4.0", "?", "?", "9.0"]  # workers down, sizes across
    assert [text.get_text() for text in small.texts] == ["?", "21.0", "?", "?"]
    assert [outline.get_xy() for outline in large.patches] == [(0.5, 0.5)]
    assert not small.patches


def test_the_rate_of_each_batch_size_is_drawn_from_zero_and_said():
    shown = plots.extraction.batch_rates([1, 2, 4], [10, 15, 18])
    axes = shown.figure.axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 10], [2, 15], [4, 18]]
    assert axes.get_ylim()[0] == 0
    assert "15 in batches of 2" in shown.alt


def test_what_did_not_move_stands_at_the_left_end_of_a_logarithmic_axis():
    shown = plots.extraction.shares_moved({"nothing": 0.0, "rounding": 3e-7, "training": 0.5})
    axes = shown.figure.axes[0]
    assert axes.get_xscale() == "log"
    places = [line.get_xdata()[0] for line in axes.lines[1::2]]
    assert places == sorted(places)
    assert places[1:] == [3e-7, 0.5]
    assert [text.get_text() for text in axes.texts] == ["not one bit", "3e-07", "50%"]
    assert "nothing, not at all; rounding, 3e-07; training, 0.5" in shown.alt
