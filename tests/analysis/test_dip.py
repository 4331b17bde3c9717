import importlib.util
import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from course_utils.analysis import AnalysisError
from course_utils.analysis.dip import TABLE, dip, dip_p_value, p_value_of, smallest_p

TOOL = Path(__file__).parents[2] / "tools" / "dip_table.py"


def samples(seed: int, n: int) -> list[np.ndarray]:
    """Return n numbers of each kind: with one peak, with two, and with many of them equal."""
    rng = np.random.default_rng(seed)
    return [
        rng.random(n),
        rng.standard_normal(n),
        rng.lognormal(size=n),
        np.r_[rng.standard_normal(n // 2), 5 + rng.standard_normal(n - n // 2)],
        np.round(rng.standard_normal(n), 1),
        rng.integers(0, 6, n).astype(float),
        rng.integers(0, 2, n).astype(float),
        np.full(n, 3.0),
    ]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 13, 29, 60, 143, 500])
def test_the_dip_is_that_of_diptest(n):
    oracle = pytest.importorskip("diptest")
    for values in itertools.chain.from_iterable(samples(seed, n) for seed in range(20)):
        assert dip(values) == pytest.approx(oracle.dipstat(values, allow_zero=False), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 2, 3], 1 / 8),  # evenly spaced: only half a step is missed
        ([0, 0, 1, 1], 1 / 4),  # two spikes of the same height are as far from one peak as can be
        ([0, 0, 0, 0, 1], 1 / 10),  # a spike and a tail are one peak
        ([0, 1, 10, 11], 1.8 / 8),  # a line from the first to the third has risen by 0.2 at the second
    ],
)
def test_dips_by_hand(values, expected):
    assert dip(values) == pytest.approx(expected, abs=1e-12)


def test_a_dip_has_no_unit_no_direction_and_no_order():
    values = samples(0, 40)[3]
    same = [3 * values - 7, -values, np.random.default_rng(1).permutation(values)]
    assert [dip(each) for each in same] == pytest.approx([dip(values)] * 3, abs=1e-12)


@pytest.mark.parametrize("n", [5, 6, 9, 15, 22, 30, 57, 100, 300, 3000])
def test_p_values_are_those_that_diptest_draws(n):
    oracle, draws = pytest.importorskip("diptest"), 200_000 // n + 4000
    for values in itertools.chain.from_iterable(samples(seed, n)[:4] for seed in range(4)):
        _, theirs = oracle.diptest(values, boot_pval=True, n_boot=draws, n_threads=1, seed=1)
        # What chance does to a share p of so many draws, and a hundredth of p for the table.
        allowed = 4 * np.sqrt((theirs + 1 / draws) / draws) + 0.01 * theirs
        assert dip_p_value(values) == pytest.approx(max(theirs, smallest_p()), abs=allowed)


def test_uniform_numbers_are_called_a_valley_as_often_as_the_p_value_says():
    rng = np.random.default_rng(0)
    for n in (11, 20, 33):
        p_values = np.array([dip_p_value(rng.random(n)) for _ in range(4000)])
        for level in (0.01, 0.05, 0.25):
            assert np.mean(p_values <= level) == pytest.approx(level, abs=4 * np.sqrt(level / 4000))


def test_a_gaussian_is_hardly_ever_called_a_valley_and_two_are():
    rng = np.random.default_rng(0)
    one = [dip_p_value(rng.standard_normal(60)) for _ in range(300)]
    two = [dip_p_value(np.r_[rng.standard_normal(30), 6 + rng.standard_normal(30)]) for _ in range(50)]
    assert np.mean(np.array(one) <= 0.05) <= 0.01
    assert max(two) <= 0.01


def test_p_values_fall_from_one_to_the_smallest_of_the_table_as_the_dip_grows():
    for n in (4, 10, 31, 700, 10**6):
        p_values = [p_value_of(each, n) for each in np.linspace(1 / (2 * n), 0.25, 400)]
        assert p_values[0] == 1
        assert all(later <= earlier for earlier, later in itertools.pairwise(p_values))
        assert p_values[-1] == pytest.approx(smallest_p(), rel=1e-9)
    assert smallest_p() == 0.0001


def test_fewer_than_four_numbers_have_no_valley():
    assert [dip_p_value([0, 5, 9][:n]) for n in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize("values", [[], [[1, 2], [3, 4]], [1, np.nan], [np.inf, 0]])
def test_what_is_not_a_row_of_numbers_is_refused(values):
    with pytest.raises(AnalysisError, match="finite numbers"):
        dip(values)


def test_the_time_grows_with_the_numbers_and_not_with_their_square():
    def seconds(n: int) -> float:
        values = np.random.default_rng(0).random(n)
        clock = time.process_time()
        for _ in range(64_000 // n):
            dip(values)
        return time.process_time() - clock

    assert min(seconds(8000) for _ in range(3)) < 6 * min(seconds(500) for _ in range(3))


def test_the_table_is_what_its_recipe_draws():
    spec = importlib.util.spec_from_file_location("dip_table", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    head, *rows = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert head == ",".join(["n", *map(str, tool.SHARES)])
    assert [int(row.split(",")[0]) for row in rows] == list(tool.SIZES)
    stored = {int(row.split(",")[0]): np.array(row.split(",")[1:], float) for row in rows}
    shares = np.array(tool.SHARES)
    tool.MOST_DRAWS = 4000
    for n in (8, 24):
        drawn = np.array(tool.quantiles(n))
        usual = (shares >= 0.01) & (shares <= 0.9)
        assert drawn[usual] == pytest.approx(stored[n][usual], rel=0.03)
