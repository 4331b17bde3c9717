import math
from itertools import permutations

import numpy as np
import pytest

from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.permutations import holm, permuter, sequential_p_value

WOMEN = np.repeat(np.arange(6), 4)


def p_of(chance: float, seed: int, **options) -> tuple[float, int]:
    """Return the p value of 0.5 among draws of which this share is larger."""
    rng = np.random.default_rng(seed)
    return sequential_p_value(0.5, lambda: float(rng.random() < chance), **options)


def test_a_p_value_counts_the_data_as_one_of_the_draws():
    draws = iter([3.0, 1.0, 5.0, 4.0, 2.0, 2.0, 2.0])
    assert sequential_p_value(4.0, lambda: next(draws), most=7, level=0.4) == (3 / 8, 7)
    assert sequential_p_value(4.0, lambda: 0.0, most=19) == (1 / 20, 19)


def test_a_draw_that_ties_with_the_data_but_for_rounding_counts_against_them():
    assert sequential_p_value(0.3, lambda: 0.1 + 0.2 - 1e-13, most=9)[0] == 1.0


@pytest.mark.parametrize(("chance", "fewest", "most"), [(0.5, 3, 40), (0.0, 120, 150), (0.045, 400, 999)])
def test_drawing_stops_early_where_p_is_far_from_the_level_and_goes_on_where_it_is_near(chance, fewest, most):
    drawn = np.mean([p_of(chance, seed)[1] for seed in range(20)])
    assert fewest <= drawn <= most


def test_a_verdict_is_that_of_all_draws_in_nearly_every_case():
    for chance, more_than_chance in ((0.01, True), (0.025, True), (0.1, False), (0.3, False)):
        assert np.mean([(p_of(chance, seed)[0] <= 0.05) == more_than_chance for seed in range(50)]) >= 0.96


def test_p_values_hold_their_level_although_they_stop_early():
    rng = np.random.default_rng(0)
    p_values = np.array([p_of(rng.random(), seed)[0] for seed in range(1500)])
    for level in (0.01, 0.05, 0.2, 0.5):
        assert np.mean(p_values <= level) <= level + 3 * math.sqrt(level * (1 - level) / 1500)
    assert np.mean(p_values <= 0.05) >= 0.03


def test_with_several_tests_drawing_goes_on_until_p_is_clearly_small_enough_for_all_of_them():
    assert p_of(0.0, 0)[0] > 0.05 / 8
    assert 8 * p_of(0.0, 0, tests=8)[0] <= 0.05
    assert p_of(1.0, 0, tests=8)[1] < 20


def test_at_least_so_many_are_drawn_as_are_asked_for():
    assert p_of(1.0, 0, least=199) == (1.0, 199)


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # by hand
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_a_woman_has_once_moves_with_all_of_her_images():
    vendor = np.repeat(list("aabbcc"), 4)
    permute = permuter(vendor, WOMEN)
    assert permute.unit == "women"
    for seed in range(20):
        dealt = permute(np.random.default_rng(seed)).reshape(6, 4)
        assert (dealt == dealt[:, :1]).all()
        assert sorted(dealt[:, 0]) == list("aabbcc")
    assert permute.arrangements == math.factorial(6) / 8


def test_what_is_alike_in_all_women_moves_within_them():
    view = np.tile(["CC", "MLO", "CC", "MLO"], 6)
    permute = permuter(view, WOMEN)
    assert permute.unit == "images within women"
    dealt = [permute(np.random.default_rng(seed)).reshape(6, 4) for seed in range(50)]
    assert all((np.sort(each, axis=1) == ["CC", "CC", "MLO", "MLO"]).all() for each in dealt)
    assert len({tuple(each[0]) for each in dealt}) == 6
    assert permute.arrangements == 6**6


def test_what_varies_within_women_and_between_them_moves_both_ways():
    density = np.repeat(list("aabbabccbcac"), 2)
    permute = permuter(density, WOMEN)
    assert permute.unit == "women and the images within them"
    contents = sorted("".join(sorted(each)) for each in density.reshape(6, 4))
    for seed in range(20):
        dealt = permute(np.random.default_rng(seed)).reshape(6, 4)
        assert sorted("".join(sorted(each)) for each in dealt) == contents
        assert sorted(dealt.ravel()) == sorted(density)


def test_women_are_swapped_with_those_of_as_many_images_wherever_their_rows_are():
    women = np.array(list("abacbddceefe"))  # a, b, c, d: two images each, e: three, f: one
    values = np.array([f"of {woman}" for woman in women])
    permute = permuter(values, women)
    seen = set()
    for seed in range(200):
        dealt = permute(np.random.default_rng(seed))
        assert (dealt[np.isin(women, ["e", "f"])] == values[np.isin(women, ["e", "f"])]).all()
        of_each = {woman: set(dealt[women == woman]) for woman in "abcd"}
        assert all(len(each) == 1 for each in of_each.values())
        seen.add(tuple(each.pop() for each in of_each.values()))
    assert seen == set(permutations(["of a", "of b", "of c", "of d"]))
    assert permute.arrangements == 24


def test_where_nobody_can_be_swapped_there_is_one_arrangement():
    assert permuter(list("abbccc"), list("uvvwww")).arrangements == 1


def test_without_groups_every_image_moves_by_itself():
    permute = permuter(np.arange(5.0), None)
    assert (permute.unit, permute.arrangements) == ("images", 120)
    assert sorted(permute(np.random.default_rng(0))) == [0, 1, 2, 3, 4]


def test_many_arrangements_are_not_counted():
    assert permuter(np.arange(400.0), None).arrangements == math.inf


def test_an_image_without_a_woman_is_refused():
    with pytest.raises(AnalysisError, match="row 1 has no group"):
        permuter([1, 2], ["u", None])


def test_what_is_not_a_number_is_never_more_than_chance():
    assert sequential_p_value(float("nan"), lambda: 0.0, most=9)[0] == 1.0
    assert sequential_p_value(1.0, lambda: float("nan"), most=9)[0] == 1.0
