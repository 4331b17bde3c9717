import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

from course_utils.analysis import AnalysisError
from course_utils.analysis.harmonise import confounding, group_means, harmonise, prepare

N = 48


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N, 30))


@pytest.fixture
def known() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "woman": np.repeat([f"w{i}" for i in range(12)], 4),
            "view": np.tile(["CC", "MLO"], N // 2),
            "vendor": np.repeat(rng.permutation(list("xyz") * 4), 4),
            "density": np.repeat(rng.permutation(list("abcd") * 3), 4),
            "thickness": rng.normal(50, 10, N),
        }
    )


def test_taking_off_a_category_subtracts_the_mean_of_each_and_leaves_the_overall_mean(vectors, known):
    got = harmonise(vectors, known, ["view"])
    for view in ("CC", "MLO"):
        rows = (known["view"] == view).to_numpy()
        expected = vectors[rows] - vectors[rows].mean(axis=0) + vectors.mean(axis=0)
        np.testing.assert_allclose(got[rows], expected, atol=1e-12)


def test_several_columns_are_fitted_together_as_scikit_learn_does(vectors, known):
    got = harmonise(vectors, known, ["vendor", "view", "thickness"])
    dummies = OneHotEncoder(sparse_output=False).fit_transform(known[["vendor", "view"]])
    design = np.column_stack([dummies, known["thickness"]])
    residuals = vectors - LinearRegression().fit(design, vectors).predict(design)
    np.testing.assert_allclose(got, residuals + vectors.mean(axis=0), atol=1e-10)


@pytest.mark.parametrize("column", ["view", "thickness"])
def test_images_of_which_nothing_is_known_do_not_stand_apart(vectors, known, column):
    known[column] = known[column].astype(object)
    known.loc[::5, column] = None
    unknown = known[column].isna().to_numpy()
    vectors[unknown] += 7
    got = harmonise(vectors, known, [column])
    np.testing.assert_allclose(got[unknown].mean(axis=0), vectors.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(got[~unknown].mean(axis=0), vectors.mean(axis=0), atol=1e-10)


def test_nothing_to_take_off_leaves_the_vectors_as_they_are(vectors, known):
    np.testing.assert_array_equal(harmonise(vectors, known, []), vectors)
    np.testing.assert_allclose(harmonise(vectors, known.assign(view="CC"), ["view"]), vectors)


def test_what_is_crossed_with_a_removed_column_stays_and_what_is_confounded_goes(known):
    density = (known["density"].isin(["c", "d"])).to_numpy() * 4.0
    vectors = np.random.default_rng(2).standard_normal((N, 5)) + density[:, None]
    dense = density > 0

    def gap(given: np.ndarray) -> float:
        return float((given[dense].mean(axis=0) - given[~dense].mean(axis=0)).mean())

    crossed = known.assign(vendor=np.tile(list("xxyy"), 12))
    assert gap(harmonise(vectors, crossed, ["vendor"])) == pytest.approx(4, abs=0.5)
    same = known.assign(vendor=np.where(dense, "x", "y"))
    assert gap(harmonise(vectors, same, ["vendor"])) == pytest.approx(0, abs=1e-9)


def test_a_column_that_is_what_is_to_be_kept_under_another_name_is_refused(vectors, known):
    known["vendor"] = known["density"].map({"a": "x", "b": "x", "c": "y", "d": "y"})
    known["dense"] = known["density"].isin(["c", "d"])
    with pytest.raises(
        AnalysisError, match=r"vendor cannot be told from dense here \(explaining 100% of it\)"
    ):
        harmonise(vectors, known, ["vendor"], keep=["dense"])


def test_a_column_that_explains_part_of_what_is_to_be_kept_is_warned_of(vectors, known, caplog):
    known["vendor"] = known["density"].map({"a": "x", "b": "x", "c": "y", "d": "y"})
    with caplog.at_level(logging.WARNING):
        got = harmonise(vectors, known, ["vendor"], keep=["density"])
    assert caplog.messages == ["vendor explains 33% of density: so much of density is taken off as well."]
    np.testing.assert_array_equal(got, harmonise(vectors, known, ["vendor"]))


def test_crossed_columns_are_no_reason_to_warn(vectors, known, caplog):
    harmonise(vectors, known, ["view"], keep=["density", "thickness"])
    assert caplog.messages == []


def test_how_much_is_confounded_is_r_squared_of_numbers_and_tau_of_categories(known):
    shares = confounding(known, ["vendor"], ["density", "thickness"])
    dummies = OneHotEncoder(sparse_output=False).fit_transform(known[["vendor"]])
    r_squared = LinearRegression().fit(dummies, known["thickness"]).score(dummies, known["thickness"])
    assert shares["thickness"] == pytest.approx(r_squared)
    table = pd.crosstab(known["vendor"], known["density"]).to_numpy() / N
    by_column = (table.sum(axis=0) ** 2).sum()
    tau = ((table**2).sum(axis=1) / table.sum(axis=1)).sum()
    assert shares["density"] == pytest.approx((tau - by_column) / (1 - by_column))


def test_confounding_is_counted_where_the_kept_column_is_known(known):
    known["result"] = np.where(known["vendor"] == "x", "early", "late")
    known.loc[known["vendor"] == "y", "result"] = None
    assert confounding(known, ["vendor"], ["result"]) == {"result": pytest.approx(1)}
    assert confounding(known, ["vendor"], []) == {}
    assert confounding(known.assign(result="late"), ["vendor"], ["result"]) == {}


def test_an_image_that_alone_has_its_category_is_warned_of(vectors, known, caplog):
    known.loc[5, "view"] = "XCCL"
    got = harmonise(vectors, known, ["view"])
    np.testing.assert_allclose(got[5], vectors.mean(axis=0), atol=1e-12)
    assert caplog.messages == ["Nothing is left of 1 of 48 images: no other is like it in view."]


def test_taking_off_everything_is_refused(vectors, known):
    known["number"] = [f"image {i}" for i in range(N)]
    with pytest.raises(AnalysisError, match="taking off number would leave nothing"):
        harmonise(vectors, known, ["number"])


def test_a_column_that_is_not_there_is_refused_with_those_that_are(vectors, known):
    with pytest.raises(AnalysisError, match="no column site; there are: woman, view, vendor, density, thick"):
        harmonise(vectors, known, ["site"])
    with pytest.raises(AnalysisError, match="47 rows of metadata for 48 images"):
        harmonise(vectors, known.head(47), ["view"])


def test_group_means_are_those_of_pandas_in_the_order_of_the_first_image(vectors):
    women = np.random.default_rng(3).permutation(np.repeat(list("dbac"), [20, 1, 3, 24]))
    means, row_of = group_means(vectors, women)
    expected = pd.DataFrame(vectors).groupby(women, sort=False).mean()
    np.testing.assert_allclose(means, expected.to_numpy())
    assert expected.index[row_of].tolist() == women.tolist()


def test_clustering_women_takes_off_columns_first_and_keeps_what_is_known_of_a_woman(vectors, known):
    known["vendor"] = known["vendor"].astype(object)
    known.loc[[0, 2], "vendor"] = None
    got = prepare(vectors, known, known["woman"], remove=["view"], per="woman")
    means, row_of = group_means(harmonise(vectors, known, ["view"]), known["woman"])
    np.testing.assert_array_equal(got.vectors, means)
    np.testing.assert_array_equal(got.row_of, row_of)
    assert got.groups is not None
    assert got.groups.tolist() == list(range(12))
    assert got.left_out == ("view", "thickness")
    assert got.metadata["woman"].tolist() == [f"w{i}" for i in range(12)]
    assert got.metadata["vendor"].tolist() == known["vendor"][1::4].tolist()


def test_clustering_images_leaves_one_row_for_each(vectors, known):
    got = prepare(vectors, known, known["woman"])
    assert got.vectors is vectors
    assert got.metadata is known
    assert got.row_of.tolist() == list(range(N))
    assert got.groups.tolist() == np.repeat(range(12), 4).tolist()
    assert prepare(vectors, known, None).groups is None


def test_women_whom_nobody_knows_have_no_mean(vectors, known):
    with pytest.raises(AnalysisError, match="which images are of one woman is not known"):
        prepare(vectors, known, None, per="woman")


def test_one_column_may_be_named_without_a_list(vectors, known):
    np.testing.assert_array_equal(harmonise(vectors, known, "view"), harmonise(vectors, known, ["view"]))
    with pytest.raises(AnalysisError, match="view cannot be told from view"):
        harmonise(vectors, known, "view", keep="view")


def test_a_column_that_does_not_differ_takes_nothing_off_and_says_so(vectors, known, caplog):
    known = known.assign(side="L", film=None)
    np.testing.assert_allclose(harmonise(vectors, known, ["side", "film"]), vectors)
    for name in ("side", "film"):
        assert f"{name} does not differ between the images, so there was nothing to take off" in caplog.text


def test_two_columns_of_one_name_are_refused(vectors, known):
    with pytest.raises(AnalysisError, match="two columns of the metadata are called view"):
        harmonise(vectors, known[["view", "view"]], ["view"])


@pytest.mark.parametrize("scale", [1e-300, 1e306])
def test_a_number_is_taken_off_in_whatever_unit(vectors, known, scale):
    scaled = known.assign(thickness=known["thickness"] * scale)
    expected = harmonise(vectors, known, ["thickness"])
    np.testing.assert_allclose(harmonise(vectors, scaled, ["thickness"]), expected, atol=1e-9)


def test_cells_that_hold_lists_or_complex_numbers_belong_to_a_woman_like_any_others(vectors, known):
    woman = pd.factorize(known["woman"])[0]
    odd = pd.DataFrame(
        {
            "hers": [[int(each)] for each in woman],
            "sizes": [[row] for row in range(N)],
            "phase": woman * 1j,
        }
    )
    found = prepare(vectors, odd, known["woman"], per="woman")
    assert found.left_out == ("sizes",)
    assert found.metadata["hers"].tolist() == [[each] for each in range(12)]
    assert found.metadata["phase"].tolist() == [each * 1j for each in range(12)]
