import cProfile
import time

import numpy as np
import pytest
from sample_figures import LAYERS

from course_utils import plots
from course_utils.plots.speed import flames


def middle():
    time.sleep(0.02)


def outer():
    middle()
    time.sleep(0.03)


def test_a_flame_graph_puts_each_function_below_its_caller_and_as_wide_as_its_time():
    profile = cProfile.Profile()
    profile.runcall(outer)
    bars = [each for each in flames(profile, (), 0.01) if each.depth < 3]
    assert (bars[0].name, bars[0].depth) == ("outer", 0)
    (inner,) = [bar for bar in bars if bar.name == "middle"]
    whole = bars[0].milliseconds
    assert inner.depth == 1
    assert 20 <= inner.milliseconds < whole - 29
    assert {bar.name for bar in bars} == {"outer", "middle", "sleep"}  # no path of any file
    assert [bar.stage for bar in bars if bar.depth == 2] == ["middle"]
    beside = sorted((bar.start, bar.milliseconds) for bar in bars if bar.depth == 1)
    assert beside[1][0] == pytest.approx(sum(beside[0]))


def test_a_flame_graph_hides_what_is_in_a_leaf_and_what_is_too_deep():
    profile = cProfile.Profile()
    profile.runcall(outer)
    assert "middle" in {bar.name for bar in flames(profile, (), 0.01)}
    assert {bar.depth for bar in flames(profile, ["middle"], 0.01)} == {0, 1}
    assert "one call, 1 level deep" in plots.flame_graph(profile, levels=1).alt


def recursive(depth):
    time.sleep(0.002)
    return recursive(depth - 1) if depth else None


def test_a_flame_graph_of_a_function_that_calls_itself_ends():
    profile = cProfile.Profile()
    profile.runcall(lambda: recursive(20))
    bars = list(flames(profile, (), 0.01))
    assert [bar.name for bar in bars].count("recursive") == 1


def test_the_roof_is_the_smaller_of_what_memory_and_arithmetic_allow():
    axes = plots.roofline(LAYERS, {"fp32": 4e11}, 4e10).figure.axes[0]
    roof = axes.lines[0].get_xydata()
    left, right = roof[roof[:, 0] < 10], roof[roof[:, 0] > 10]  # the ridge: 4e11 / 4e10 FLOP a byte
    np.testing.assert_allclose(left[:, 1], 40 * left[:, 0])
    np.testing.assert_allclose(right[:, 1], 400)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), [[400, 400], [50, 100]])


@pytest.mark.parametrize(
    ("cores", "threads", "card", "in_turn", "together"),
    [
        (4, 1, True, 1000 / (80 + 20), 1000 / 80),  # one reader cannot keep up
        (4, 2, True, 1000 / (40 + 20), 1000 / 40),
        (4, 8, True, 1000 / (20 + 20), 1000 / 20),  # more threads than cores read no faster
        (8, 8, True, 1000 / (10 + 20), 1000 / 20),  # the network decides
        (4, 4, False, 1000 / (20 + 20), 1000 / (20 + 20)),  # the same cores cannot do both
        (4, 1, False, 1000 / (80 + 20), 1000 / 80),
    ],
)
def test_reading_threads_bring_what_amdahl_and_the_cores_allow(cores, threads, card, in_turn, together):
    shown = plots.reading_threads(80, 20, cores=cores, threads=threads, card=card)
    lines = {line.get_label(): line.get_ydata() for line in shown.figure.axes[0].lines}
    assert lines["in turn"][threads - 1] == pytest.approx(in_turn)
    assert lines["at the same time"][threads - 1] == pytest.approx(together)
    assert f"{in_turn:.3g} in turn" in shown.alt


def test_a_ladder_names_every_step_and_limit_with_its_rate():
    shown = plots.ladder({"plain": 10, "fused": 24.5}, {"limit": 30})
    axes = shown.figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [10, 24.5]
    assert axes.get_legend().get_texts()[0].get_text() == "limit: 30"
    assert "fused 24.5" in shown.alt


def test_a_cache_has_a_steeper_slope_and_what_was_before_is_hollow():
    faster = {"convolution": ([4e9, 2e9], [1e7, 4e7], [0.01, 0.008])}
    shown = plots.roofline(faster, {"fp32": 4e11}, 4e10, cache=2e11, before=LAYERS)
    axes = shown.figure.axes[0]
    slope = next(line for line in axes.lines if line.get_label() == "cache: 200 GB/s").get_xydata()
    np.testing.assert_allclose(slope[:, 1], 200 * slope[:, 0])
    assert slope[:, 1].max() <= 400
    before = axes.collections[:2]
    assert all(len(marks.get_facecolors()) == 0 for marks in before)
    np.testing.assert_allclose(axes.collections[2].get_offsets(), [[400, 400], [50, 250]])
    assert "1.6" not in shown.alt
    assert "2 times below" in shown.alt


def test_the_parts_of_an_image_lie_one_after_the_other():
    shown = plots.speed.parts_of_an_image(
        {"read": [10, 30], "network": [40, 40]}, ["plain", "packed"], caption="Two ways."
    )
    bars = [(bar.get_x(), bar.get_width()) for bar in shown.figure.axes[0].patches]
    assert bars == [(0, 10), (0, 30), (10, 40), (30, 40)]
    assert shown.alt.endswith("plain: read 10, network 40; packed: read 30, network 40.")
