"""What the page says in sentences is what its figures show, over many runs of every kind."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from course_utils import plots, runs
from course_utils.analysis import AnalysisError, cluster, evaluate
from course_utils.analysis.associations import two_decimals
from course_utils.analysis.harmonise import prepare
from course_utils.plots import associations_beside_chance
from course_utils.report import figures, words
from course_utils.report.reading import Run

DRAWS = 19
METHODS = ("kmeans", "kmeans", "gmm", "ward", "hdbscan")


def random_run(seed: int) -> Run:
    """A run of a random size, with or without clusters, women, missing values and a tied pair of columns."""
    rng = np.random.default_rng(seed)
    women, each = int(rng.integers(3, 40)), int(rng.integers(1, 5))
    n, dims = women * each, int(rng.integers(2, 12))
    woman = np.repeat(np.arange(women), each)
    vectors = rng.standard_normal((women, dims))[woman] * rng.choice([0, 1]) + rng.standard_normal((n, dims))
    view = rng.choice(["CC", "MLO"], n)
    vectors[:, 0] += rng.choice([0, 3, 9]) * (view == "MLO")
    if rng.random() < 0.2:
        vectors = np.exp(vectors)
    sites = np.array(["north", "south"])[rng.integers(0, 2, women)]
    table = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "file": [f"{row}.dcm" for row in range(n)],
            "patient_key": [f"w{row}" for row in woman] if rng.random() < 0.8 else [None] * n,
            "view": np.where(rng.random(n) < 0.2, None, view),
            "laterality": rng.choice(["L", "R"], n),
            "site": sites[woman],
            "machine": np.where(rng.random(n) < 0.1, "old", sites[woman]),
            "age": rng.integers(40, 75, women)[woman].astype(str),
        }
    )
    run = Run(table, vectors.astype(np.float32), [b""] * n, "", pd.DataFrame(), {})
    prepared = prepare(run.vectors, run.metadata, runs.women(table))
    method, k = METHODS[seed % len(METHODS)], "auto" if rng.random() < 0.1 else int(rng.integers(2, 5))
    found = cluster(run.vectors, method, k="auto" if method == "hdbscan" else min(k, n) if k != "auto" else k)
    judged = evaluate(
        prepared.vectors, found, metadata=prepared.metadata, groups=prepared.groups, draws=DRAWS, seed=seed
    )
    return replace(run, prepared=prepared, clustering=found, evaluation=judged)


def check(run: Run) -> None:
    found, title = run.evaluation, words.headline(run)
    separate = found.valley is not None and any(join.p_value <= 0.05 for join in found.valley.joins)
    assert ("separate clusters" in title and not title.startswith("More")) == separate
    said = re.search(r"(Two|Three|Four|Five|\d+) clusters are separate|A valley separates", found.verdict)
    assert bool(said) == separate
    if found.nulls:
        check_silhouette(run)
    for one, row in zip(found.associations, words.association_rows(run), strict=True):
        check_association(one, row)
    said = words.points_to_take_away(run)
    followed = [one for one in found.associations if one.p_holm <= 0.05 and one.statistic >= 0.1]
    assert [one.column for one in followed] == [
        re.match(r"The clusters .* (\S+):", point)[1] for point in said[: len(followed)]
    ]
    assert any("follow nothing" in point for point in said) == (
        bool(found.associations) and not any(one.p_holm <= 0.05 for one in found.associations)
    )
    check_plain_words(run)
    check_limits(run)


def check_plain_words(run: Run) -> None:
    found, plain = run.evaluation, words.in_plain_words(run)
    separate = any(join.p_value <= 0.05 for join in found.valley.joins) if found.valley else False
    assert ("gap between them shows again" in plain) == separate
    if "data that have none" in plain or "less evenly" in plain:
        assert any(null.p_value > 0.05 for null in found.nulls) == ("data that have none" in plain)
    if "had no part" in plain:
        assert (f"{found.unit} " in plain) == (found.unit in ("women", "images"))
    if plain.startswith("So few"):
        assert found.women < 20


def check_silhouette(run: Run) -> None:
    found = run.evaluation
    shown = {number for number, _ in words.tiles(run)}
    assert str(found.k) in shown
    assert two_decimals(found.silhouette) in shown
    alt = plots.silhouette_against_null(found).alt
    assert f"Silhouette {found.silhouette:.2f}".replace("-0.00", "0.00") in alt.replace("-0.00", "0.00")
    for null in found.nulls:
        assert null.span(found.k) in alt
        assert null.p_value == pytest.approx((null.as_good + 1) / (null.draws + 1))
    gaussian = next(null for null in found.nulls if null.name == "gaussian")
    if len(found.curve) == 1 and found.valley.joins:
        beaten, drawn = map(int, re.search(r"higher than in (\d+) of (\d+) Gaussian", found.verdict).groups())
        values = np.array(gaussian.silhouettes[found.k])
        assert drawn == len(values)
        assert beaten == np.sum(values < found.silhouette - 1e-9)
    if found.conclusion == "more than a cloud":
        assert all(null.p_value <= 0.05 for null in found.nulls)
    if found.conclusion == "no better than a cloud":
        assert any(null.p_value > 0.05 for null in found.nulls)


def check_association(one, row) -> None:
    column, images, women, _, agreement, interval, p, in_words = row
    assert (column, images) == (one.column, str(one.images))
    assert f"{one.images} images" in one.sentence or f"{one.women} women" in one.sentence
    assert agreement.split()[-1] == two_decimals(one.statistic)
    assert f"{one.statistic_name} {two_decimals(one.statistic)}" in one.sentence
    assert not interval or f"95% interval {interval}" in one.sentence
    assert women == ("" if one.women is None else str(one.women))
    by_chance = "no better than chance" in in_words or "no more than by chance" in in_words
    assert by_chance == (float(p) > 0.05 if abs(float(p) - 0.05) > 1e-9 else one.p_holm > 0.05)


def check_limits(run: Run) -> None:
    text = " ".join(words.limits(run))
    few = re.match(r"(\d+) wom[ae]n cannot speak for others", text)
    assert bool(few) == (run.evaluation.unit == "women" and run.evaluation.women < 20)
    if few:
        assert int(few[1]) == run.table["patient_key"].nunique()
    assert ("counted as independent" in text) == run.table["patient_key"].isna().all()
    for one, other in re.findall(r"(\w+) and (\w+) go together", text):
        known = run.metadata[[one, other]].dropna()
        assert len(known) >= 5 * known[one].nunique() * known[other].nunique()


@pytest.mark.parametrize(
    "block", [block if block < 2 else pytest.param(block, marks=pytest.mark.slow) for block in range(20)]
)
def test_sentences_and_figures_agree_in_a_hundred_random_runs(block):
    checked = 0
    for seed in range(5 * block, 5 * block + 5):
        try:
            run = random_run(seed)
        except AnalysisError:
            continue  # too few to choose k among, say
        check(run)
        checked += 1
    assert checked >= 3


def test_columns_that_go_together_are_named_and_independent_ones_are_not():
    run = random_run(4)
    tied = words._tied(run, ["site", "machine", "side"])
    assert [pair[:2] for pair in tied] == [("site", "machine")]


def test_one_woman_is_not_called_women_and_a_cluster_of_one_or_two_is_said_to_weigh_nothing():
    run = random_run(4)
    alone = replace(run, evaluation=replace(run.evaluation, unit="women", women=1))
    assert words.limits(alone)[0].startswith("1 woman cannot speak for others")
    assert figures._weight(run, 1) == "A single image is no cluster."
    assert figures._weight(run, 2) == "Two images carry no weight: any two have something in common."
    assert figures._weight(run, 3) == ""
    said = associations_beside_chance([replace(each, women=1) for each in run.evaluation.associations]).figure
    assert "1 women" not in str([tick.get_text() for tick in said.axes[0].child_axes[0].get_yticklabels()])


def test_what_no_cluster_holds_is_counted_as_images_or_women():
    run = random_run(4)
    labels = np.zeros(len(run.clustering.labels), int)
    labels[0] = -1
    one = replace(run, clustering=replace(run.clustering, labels=labels))
    assert figures.noise_words(one) == "1 image belongs to no cluster: the method calls it noise."
    labels = labels.copy()
    labels[1] = -1
    two = replace(run, clustering=replace(run.clustering, labels=labels))
    assert figures.noise_words(two) == "2 images belong to no cluster: the method calls them noise."
