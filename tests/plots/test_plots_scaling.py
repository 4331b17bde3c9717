"""What the figures of lesson 11 show is what goes in."""

import numpy as np
import pytest

from course_utils.plots import scaling

PRICES = {"core_hour": 0.5, "TB_moved": 20.0, "TB_month": 10.0, "months": 3}


def test_a_run_takes_its_start_and_then_each_image():
    shown = scaling.run_times({"quick": (2, 0.5)}, {"quick": [(4, 4.1)]}, 1000, caption="One program.")
    axes = shown.figure.axes[0]
    line, marks = (each.get_xydata() for each in axes.lines[:2])
    np.testing.assert_allclose(line[:, 1], 2 + 0.5 * line[:, 0])
    assert marks.tolist() == [[4, 4.1]]
    assert "quick takes 2 s to start and 0.5 s an image" in shown.alt
    assert axes.get_xlabel() == "images"
    assert axes.get_ylabel() == "the whole run (seconds)"


def test_the_slowest_stage_of_each_case_is_marked_and_no_rate_is_a_power_of_ten():
    rates = {"plain": {"link": 70.0, "cores": 240.0}, "packed": {"link": 180.0, "cores": 46.25, "card": 2e3}}
    shown = scaling.slowest_stages(rates)
    words = [text.get_text() for text in shown.figure.axes[0].texts]
    assert words == ["70  ◀ decides", "240", "180", "46.2  ◀ decides", "2,000"]
    assert shown.alt.endswith("plain: link 70, cores 240; packed: link 180, cores 46.2, card 2,000.")


def test_a_bill_adds_up_computing_moving_and_keeping():
    shown = scaling.bill({"plain": 20, "packed": 100}, {"plain": 17, "packed": 7}, **PRICES)
    bars = [(bar.get_x(), bar.get_width()) for bar in shown.figure.axes[0].patches]
    assert bars == [(0, 10), (0, 50), (10, 340), (50, 140), (350, 510), (190, 210)]
    assert "860, of which computing 10.00" in shown.figure.axes[0].texts[0].get_text()
    assert "0.50 dollars a core-hour" in shown.caption
    assert shown.alt.endswith("packed: computing 50, moving 140, keeping 210.")


def test_a_bill_of_nothing_is_drawn_too():
    nothing = dict.fromkeys(PRICES, 0)
    assert scaling.bill({"plain": 20}, {"plain": 17}, **nothing).png()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_size_is_marked_on_its_curve(theme):
    shown = scaling.shard_overheads({"every day": (lambda n: 1 / n, 50)}, 1000, theme=theme)
    curve, mark = (line.get_xydata() for line in shown.figure.axes[0].lines[:2])
    np.testing.assert_allclose(curve[:, 1], 1 / curve[:, 0])
    assert mark.tolist() == [[50, 0.02]]
    assert "every day, best at 50" in shown.alt
