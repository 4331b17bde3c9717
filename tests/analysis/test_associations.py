import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway
from scipy.stats.contingency import association as scipy_association
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from course_utils.analysis import AnalysisError
from course_utils.analysis.associations import (
    Association,
    Associations,
    _interval,
    adjusted_rand,
    associations,
    cramers_v,
    normalised_mutual_information,
)

WOMEN = np.repeat(np.arange(24), 4)
N = len(WOMEN)


def draw(seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Return clusters that follow the density of 24 women's images, and what is known of them."""
    rng = np.random.default_rng(seed)
    density = np.repeat(rng.permutation([0, 1, 2] * 8), 4)
    labels = np.where(rng.random(N) < 0.2, rng.integers(0, 3, N), density)
    known = {
        "density": np.array(list("abc"))[density],
        "view": np.tile(["CC", "MLO"], N // 2),
        "vendor": np.repeat(rng.permutation(list("xyz") * 8), 4),
        "thickness": rng.normal(50, 8, N).round(1),
        "area": density + rng.normal(0, 1, N),
    }
    return labels, pd.DataFrame(known)


def find(labels, known, **options) -> dict[str, Association]:
    return {one.column: one for one in associations(labels, known, **options).found}


def test_agreement_with_categories_is_that_of_scikit_learn_and_scipy():
    labels, known = draw()
    for column, one in find(labels, known[["density", "view", "vendor"]], groups=WOMEN).items():
        table = pd.crosstab(labels, known[column]).to_numpy()
        assert one.ari == pytest.approx(adjusted_rand_score(labels, known[column]), abs=1e-6)
        assert one.nmi == pytest.approx(normalized_mutual_info_score(labels, known[column]), abs=1e-6)
        assert one.cramers_v == pytest.approx(scipy_association(table, "cramer"), abs=1e-6)
        assert one.eta_squared is None
        assert one.statistic == one.ari
        assert one.levels == known[column].value_counts().to_dict()


@pytest.mark.parametrize("seed", range(5))
def test_the_three_indexes_are_those_of_others_on_uneven_tables_too(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, 40) ** 2 // 4, rng.integers(0, 3, 40)
    table = pd.crosstab(a, b).to_numpy()
    assert adjusted_rand(table) == pytest.approx(adjusted_rand_score(a, b))
    assert normalised_mutual_information(table) == pytest.approx(normalized_mutual_info_score(a, b))
    assert cramers_v(table) == pytest.approx(scipy_association(table, "cramer"))


def test_numbers_are_compared_by_the_share_of_variance_that_an_f_test_sees():
    labels, known = draw()
    for column, one in find(labels, known[["thickness", "area"]], groups=WOMEN).items():
        f = f_oneway(*(known[column][labels == label] for label in range(3))).statistic
        assert one.eta_squared == pytest.approx(2 * f / (2 * f + N - 3), abs=1e-6)
        assert (one.kind, one.ari, one.nmi, one.cramers_v, one.levels) == ("number", None, None, None, {})
        assert one.is_more_than_chance == (column == "area")


def test_each_column_is_permuted_as_it_varies_and_says_so():
    found = find(*draw(), groups=WOMEN)
    assert {name: one.unit for name, one in found.items()} == {
        "density": "women",
        "vendor": "women",
        "view": "images within women",
        "thickness": "women and the images within them",
        "area": "women and the images within them",
    }
    assert {one.unit for one in find(*draw()).values()} == {"images"}


def test_what_clusters_follow_comes_first_and_chance_is_called_chance():
    got = associations(*draw(), groups=WOMEN)
    assert [one.column for one in got.found][:2] == ["density", "area"]
    assert [one.is_more_than_chance for one in got.found] == [True, True, False, False, False]
    assert got.found[0].finding == "The clusters follow density"
    assert got.found[1].finding == "The clusters differ in area"
    assert "agree no better than chance with v" in got.found[2].sentence + got.found[3].sentence


def test_more_than_chance_comes_before_closer_agreement_that_may_be_chance():
    labels = WOMEN % 2
    density = np.where(WOMEN % 8 == 0, "b", np.where(labels == 0, "a", "b"))
    site = np.where(WOMEN < 4, np.where(labels == 0, "x", "y"), None)
    found = associations(labels, pd.DataFrame({"site": site, "density": density}), groups=WOMEN).found
    assert [(one.column, one.is_more_than_chance) for one in found] == [("density", True), ("site", False)]
    assert found[0].ari < found[1].ari == 1


def rate_of_false_alarms(groups: np.ndarray | None, per_set: int = 20, sets: int = 10) -> float:
    """Return how often a label drawn for each woman is found to agree with clusters made without it."""
    p_values = []
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        labels = np.repeat(rng.integers(0, 3, 24), 4)
        labels = np.where(rng.random(N) < 0.2, rng.integers(0, 3, N), labels)  # her images are alike
        known = pd.DataFrame({str(i): np.repeat(rng.integers(0, 3, 24), 4) for i in range(per_set)})
        p_values += [one.p_value for one in associations(labels, known, groups=groups, most=99).found]
    return float(np.mean(np.array(p_values) <= 0.05))


def test_permuting_women_holds_the_level_where_permuting_images_does_not():
    assert rate_of_false_alarms(WOMEN) <= 0.096  # 200 columns: three standard errors above 0.05
    assert rate_of_false_alarms(None) >= 0.25


def test_p_values_by_woman_are_uniform_without_an_association():
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 3, 24), 4)
    known = pd.DataFrame({str(i): np.repeat(rng.normal(size=24), 4) for i in range(150)})
    p_values = np.array([one.p_value for one in associations(labels, known, groups=WOMEN).found])
    assert 0.35 <= np.mean(p_values <= 0.5) <= 0.65
    assert np.mean(p_values <= 0.05) <= 0.11


def test_among_many_unrelated_columns_none_is_found():
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = np.repeat(rng.integers(0, 3, 24), 4)
        known = pd.DataFrame({str(i): np.repeat(rng.integers(0, 2, 24), 4) for i in range(8)})
        found += associations(labels, known, groups=WOMEN).found[0].is_more_than_chance
    assert found <= 4


def test_holm_goes_over_all_columns_and_the_sentence_shows_both_p_values():
    found = associations(*draw(), groups=WOMEN).found
    assert {one.columns for one in found} == {5}
    assert found[0].p_holm == pytest.approx(5 * found[0].p_value)
    words = f"p = {found[0].p_value:.3f}, {found[0].p_holm:.3f} with Holm's correction for 5 columns"
    assert words in found[0].sentence


def test_so_many_columns_that_999_draws_could_tell_nothing_get_more():
    labels, known = draw()
    many = pd.DataFrame({f"n{i}": np.repeat(np.random.default_rng(i).random(24), 4) for i in range(59)})
    found = find(labels, known[["density"]].join(many), groups=WOMEN)
    assert found["density"].draws == 1200
    assert found["density"].is_more_than_chance


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    def judge(seed: int) -> Association:
        labels, known = draw(seed)
        return find(labels, known[["density"]], groups=WOMEN, most=1)["density"]

    truth = np.mean([judge(seed).ari for seed in range(100, 180)])
    intervals = [(one.low, one.high) for one in map(judge, range(60))]
    assert np.mean([low <= truth <= high for low, high in intervals]) >= 0.85
    assert np.mean([high - low for low, high in intervals]) < 0.35


def test_an_interval_over_women_is_wider_than_one_over_images_that_pretends_they_are_independent():
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 24), 4)
    known = pd.DataFrame({"density": np.where(rng.random(24) < 0.8, labels[::4], 1 - labels[::4]).repeat(4)})
    of_women, of_images = (find(labels, known, groups=groups)["density"] for groups in (WOMEN, None))
    assert of_women.high - of_women.low > 1.4 * (of_images.high - of_images.low)


def test_an_interval_lies_around_what_was_found_although_halves_agree_more_by_chance():
    numbers = np.random.default_rng(0).uniform(-0.5, 0.5, 200)
    low, high = _interval(
        lambda _, values: values.mean() + 0.3 * (len(values) < 200),
        np.zeros(200, np.int64),
        numbers,
        None,
        float(numbers.mean()),
        np.random.default_rng(1),
    )
    spread = 1.96 * numbers.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((numbers.mean() - spread, numbers.mean() + spread), abs=0.01)


def test_perfect_agreement_has_an_interval_that_stays_within_bounds():
    labels, _ = draw()
    one = find(labels, pd.DataFrame({"same": labels.astype(str)}), groups=WOMEN)["same"]
    assert (one.ari, one.low, one.high) == (1, 1, 1)
    assert one.finding == "The clusters are the same as same"
    assert (one.nmi, one.cramers_v) == (1, 1)


def test_few_women_have_no_interval_and_the_sentence_says_what_so_few_can_say():
    density = pd.DataFrame({"density": list("aaaaaaaabbbbbbbb")})
    one = find(np.repeat([0, 1], 8), density, groups=np.repeat([0, 1, 2, 3], 4))["density"]
    assert (one.low, one.high, one.detectable) == (None, None, None)
    assert one.p_value == pytest.approx(1 / 3, abs=0.1)  # 2 of 6 arrangements are as good
    assert one.sentence == (
        "The clusters agree no better than chance with density: ARI 1.00, among the 16 images of 4 women "
        f"whose density is known (p = {one.p_value:.3f}; permuting women). "
        "Permuting could not have told any agreement from chance here."
    )


def test_what_could_have_been_found_would_have_been():
    labels, known = draw()
    one = find(labels, known[["vendor"]], groups=WOMEN, seed=1)["vendor"]
    assert one.p_value > 0.05
    assert one.statistic < one.null_high < one.detectable < 0.5
    assert f"ARI {np.ceil(100 * one.detectable) / 100:.2f} would have been more than chance." in one.sentence


def test_chance_ends_where_five_in_a_hundred_permutations_lie_beyond():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    known = pd.DataFrame({"number": rng.normal(size=400)})
    one = find(labels, known, most=199)["number"]
    # For independent Gaussian numbers η² of two clusters follows a beta distribution: its 95th percentile.
    assert one.null_high == pytest.approx(0.0096, abs=0.003)
    assert one.null_low < 1e-4


def test_a_column_that_counts_only_by_itself_is_said_to():
    one = Association(
        column="site",
        kind="categories",
        images=30,
        women=10,
        levels={"a": 12, "b": 18},
        ari=0.2,
        nmi=0.1,
        cramers_v=0.3,
        eta_squared=None,
        low=0.1,
        high=0.3,
        null_low=-0.01,
        null_high=0.15,
        detectable=0.16,
        p_value=0.02,
        p_holm=0.16,
        columns=8,
        draws=999,
        unit="women",
    )
    assert one.sentence == (
        "The clusters agree no better than chance with site: ARI 0.20, 95% interval 0.10 to 0.30, among the "
        "30 images of 10 women whose site is known (p = 0.020, 0.160 with Holm's correction for 8 columns; "
        "permuting women). By itself it would count as more than chance, but 8 columns were tried."
    )


def test_a_sentence_counts_the_images_whose_value_is_known():
    labels, known = draw()
    known.loc[8:, "view"] = None
    one = find(labels, known[["view"]], groups=WOMEN)["view"]
    assert (one.images, one.women) == (8, 2)
    assert "among the 8 images of 2 women whose view is known" in one.sentence
    assert one.ari == pytest.approx(adjusted_rand_score(labels[:8], known["view"][:8]), abs=1e-6)
    assert "among the 8 images whose view is known" in find(labels, known[["view"]])["view"].sentence
    of_women = find(labels[::4], known[["vendor"]][::4], groups=WOMEN[::4])["vendor"]
    assert "among the 24 women whose vendor is known" in of_women.sentence


def test_noise_is_left_out():
    labels, known = draw()
    noisy = np.where(np.arange(N) % 7 == 0, -1, labels)
    kept = noisy >= 0
    expected = associations(labels[kept], known[kept], groups=WOMEN[kept])
    found = associations(noisy, known, groups=WOMEN)
    assert {one.noise for one in found.found} == {14}
    assert replace(found, found=tuple(replace(one, noise=0) for one in found.found)) == expected
    assert "among the 82 images of 24 women whose view is known and that are in a cluster (" in next(
        one.sentence for one in found.found if one.column == "view"
    )
    assert associations(np.full(N, -1), known).skipped["view"] == "known for no image in a cluster"


@pytest.mark.parametrize("kind", [str, object, float])
def test_noise_is_noise_whatever_the_type_of_the_labels(kind):
    labels, known = draw()
    noisy = np.where(np.arange(N) % 7 == 0, -1, labels)
    expected = associations(noisy, known[["view"]])
    given = noisy.astype(kind)
    if kind is object:
        given[1] = str(given[1])
    assert associations(given, known[["view"]]) == expected


def test_columns_that_cannot_be_compared_are_skipped_with_a_reason():
    labels, known = draw()
    half = np.where(labels == 0, "a", None)
    known = pd.DataFrame(
        {
            "file": [f"{i % 90}.dcm" for i in range(N)],
            "uid": [f"1.2.{i}x" for i in range(N)],
            "woman": [f"w{i}" for i in WOMEN],
            "vendor": [None] * N,
            "kind": ["ffdm"] * N,
            "size": [47.5] * N,
            "film": half,
            "of cluster 0": np.where(labels == 0, known["view"], None),
        }
    )
    got = associations(labels, known, groups=WOMEN)
    assert got.found == ()
    assert got.skipped == {
        "file": "it says which image it is",
        "uid": "a different value for each image",
        "woman": "a different value for each woman",
        "vendor": "known for no image",
        "kind": "the same for all images",
        "size": "the same for all images",
        "film": "one value only",
        "of cluster 0": "all images in one cluster",
    }


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "3", "4"] * 24, "categories"),
        ([1.0, 2.0, np.nan, 4.0] * 24, "categories"),
        ([str(i % 9) for i in range(N)], "number"),
        (["1.5", "2", "2.5", "3"] * 24, "number"),
        (["1", "2", "3", "4a"] * 24, "categories"),
        ([True, False] * 48, "categories"),
        (["1", "inf"] * 48, "categories"),
        (np.arange(N), "number"),
    ],
)
def test_few_whole_numbers_are_categories_and_other_numbers_are_numbers(values, kind):
    labels, _ = draw()
    assert find(labels, pd.DataFrame({"column": values}))["column"].kind == kind


def test_equal_numbers_are_one_category_texts_stay_as_written_and_ten_comes_after_two():
    labels, _ = draw()
    mixed = pd.DataFrame({"score": pd.Series([2, 10, 2.0, 10.0] * 24, dtype=object)})
    assert list(find(labels, mixed)["score"].levels.items()) == [("2", 48), ("10", 48)]
    texts = pd.DataFrame({"site": ["10", "2", "02", "2"] * 24})
    assert list(find(labels, texts)["site"].levels.items()) == [("02", 24), ("2", 48), ("10", 24)]
    long = pd.DataFrame({"code": [str(10**30), str(10**30 + 1)] * 48})
    assert len(find(labels, long)["code"].levels) == 2


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e306])
def test_the_unit_of_a_number_does_not_matter_however_small_or_large(scale):
    labels, known = draw()
    expected = find(labels, known[["thickness"]], groups=WOMEN)["thickness"]
    one = find(labels, known[["thickness"]] * scale, groups=WOMEN)["thickness"]
    assert (one.eta_squared, one.p_value) == (expected.eta_squared, expected.p_value)


def test_one_woman_is_not_counted_in_the_plural():
    labels, known = draw()
    one = find(labels, known[["view"]], groups=np.zeros(N))["view"]
    assert "among the 96 images of 1 woman whose view is known" in one.sentence


def test_images_that_share_a_woman_are_warned_of_where_nobody_said_so():
    labels, known = draw()
    named = known[["view"]].assign(patient_key=[f"p{i}" for i in WOMEN // 4])
    (warning,) = associations(labels, named).warnings
    assert warning.startswith(
        "96 images share 6 values of patient_key. If these are the women, pass them as groups"
    )
    unnamed = known[["view"]].assign(code=[f"p{i}" for i in WOMEN])
    assert "96 images share 24 values of code." in associations(labels, unnamed).warnings[0]
    assert associations(labels, unnamed, groups=WOMEN).warnings == ()
    assert associations(labels, known).warnings == ()
    assert associations(labels, known.assign(patient=[f"p{i}" for i in range(N)])).warnings == ()


def test_the_same_seed_gives_the_same_associations_which_survive_json():
    first = associations(*draw(), groups=WOMEN, seed=3)
    assert first == associations(*draw(), groups=WOMEN, seed=3)
    assert first != associations(*draw(), groups=WOMEN, seed=4)
    assert Associations.from_dict(json.loads(json.dumps(first.to_dict()))) == first


def test_what_is_no_association_is_refused():
    plain = associations(*draw(), groups=WOMEN).to_dict()
    (one, *_) = plain["found"]
    for change in ({"kind": "date"}, {"ari": None}, {"ari": float("nan")}, {"surprise": 1}, {"p_holm": "x"}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Associations.from_dict(plain | {"found": [one | change]})
    with pytest.raises(KeyError):
        Associations.from_dict({"found": []})


def test_labels_metadata_and_groups_of_different_lengths_are_refused():
    labels, known = draw()
    with pytest.raises(AnalysisError, match="95 rows of metadata for 96 images"):
        associations(labels, known[1:])
    with pytest.raises(AnalysisError, match="95 groups for 96"):
        associations(labels, known, groups=WOMEN[1:])
    with pytest.raises(AnalysisError, match=r"labels have shape \(96, 1\)"):
        associations(labels[:, None], known)
    with pytest.raises(AnalysisError, match="the labels are not one list"):
        associations([[1], [1, 2]], known)
    with pytest.raises(AnalysisError, match="row 1 has no label"):
        associations([0, None, *labels[2:]], known)
    with pytest.raises(AnalysisError, match=r"groups have shape \(96, 1\)"):
        associations(labels, known, groups=WOMEN[:, None])
    with pytest.raises(AnalysisError, match="1 group for 96"):
        associations(labels, known, groups=["a"])
    with pytest.raises(AnalysisError, match="two columns of the metadata are called view: rename one"):
        associations(labels, known[["view", "view"]])
    with pytest.raises(AnalysisError, match="metadata is a dict; needed is a pandas DataFrame"):
        associations(labels, dict(known))
    with pytest.raises(AnalysisError, match="a seed is a whole number"):
        associations(labels, known, seed=-1)


@pytest.mark.parametrize(
    ("ari", "words"),
    [
        (0.0999, "hardly, but measurably, follow"),
        (0.1, "partly follow"),
        (0.4999, "partly follow"),
        (0.5, "follow"),
        (0.9899, "follow"),
        (0.99, "are the same as"),
    ],
)
def test_the_words_for_an_agreement_change_where_they_should(ari, words):
    plain = dict.fromkeys(Association.__dataclass_fields__, 1)
    one = Association(**plain | {"kind": "categories", "column": "site", "ari": ari, "p_holm": 0.05})
    assert one.finding == f"The clusters {words} site"
    by_chance = Association(**plain | {"kind": "categories", "column": "site", "ari": ari, "p_holm": 0.0501})
    assert by_chance.finding == "The clusters agree no better than chance with site"
