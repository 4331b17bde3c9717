"""The rubric finds exactly the sin of each of seven runs, and none in an honest one."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from course_utils.files import sha256_of
from course_utils.report import check_report
from course_utils.runs import Claim, Extraction, write_claims
from course_utils.teaching.exercises.lesson_12 import SINS
from course_utils.teaching.sins import HONEST, honest_run, sinful_run


@pytest.fixture(scope="session")
def honest(tmp_path_factory):
    return honest_run(tmp_path_factory.mktemp("runs") / "honest")


@pytest.fixture
def run(honest, tmp_path):
    """Return a copy of the honest run, to sin with."""
    shutil.copytree(honest, tmp_path / "run")
    return tmp_path / "run"


def answers(folder):
    return {item.id: (item.met, item.says) for item in check_report(folder).items}


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def only(folder, name, met="no"):
    """Check that all items but one are met, and return what that one says."""
    found = answers(folder)
    assert {each for each, (kept, _) in found.items() if kept != "yes"} == {name}
    assert found[name][0] == met
    return found[name][1]


def test_an_honest_run_meets_every_item(honest):
    rubric = check_report(honest)
    assert [item.met for item in rubric.items] == ["yes"] * 9
    assert rubric.missing == rubric.open == ()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "changed after clusters.json"),
        (2, "no reason"),
        (3, "never held against vendor"),
        (4, "stands without what"),
        (5, "judged by image"),
        (6, "no better than a cloud"),
        (7, "do better than histogram"),
    ],
)
def test_each_sin_is_found_and_named_and_nothing_else(number, words, tmp_path):
    says = only(sinful_run(number, tmp_path / "run"), SINS[number])
    assert words in says
    assert says.endswith(".")
    assert str(tmp_path) not in says


def test_a_sin_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match="1 to 7"):
        sinful_run(8, tmp_path)


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("plan.json", {"plan", "followed"}),
        ("claims.json", {"claims"}),
        ("probe_density.json", {"intervals"}),
        ("failures.csv", {"failures"}),
        ("run.json", {"failures"}),
        ("thumbnails.parquet", {"order"}),
        ("clusters.csv", {"order", "confounders", "nulls", "followed", "claims"}),
        ("clusters.json", {"confounders", "nulls", "followed", "claims"}),
        ("embeddings.parquet", {"order", "failures", "women"}),
    ],
)
def test_a_damaged_file_is_an_item_not_met_and_no_traceback(run, name, items):
    (run / name).write_bytes(b"\x00 damaged \xff")
    found = answers(run)
    assert items <= {each for each, (met, _) in found.items() if met == "no"}
    assert any(name in says for met, says in found.values() if met == "no")
    assert str(run) not in str(found)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("clusters.json", lambda plain: plain["params"].update(remove=3, k_searched=3)),
        ("clusters.json", lambda plain: plain["evaluation"]["associations"][0].update(draws="many")),
        ("probe_density.json", lambda plain: plain.update(warnings=3)),
        ("probe_density.json", lambda plain: plain["probe"]["scores"]["balanced_accuracy"].update(low="x")),
        ("run.json", lambda plain: plain.update(counts={"found": "many"})),
    ],
)
def test_a_file_that_was_edited_into_nonsense_gives_answers_and_no_traceback(run, name, change):
    write_claims(run, [Claim("It can be read.", "prediction", "density")])
    edit(run / name, change)
    assert all(says for _, says in answers(run).values())
    assert {met for met, _ in answers(run).values()} != {"yes"}


def test_an_empty_folder_has_a_rubric_too(tmp_path):
    rubric = check_report(tmp_path)
    assert {"plan", "order", "failures", "nulls", "women", "claims"} <= {one.id for one in rubric.missing}


def test_a_lost_row_shows_in_the_counts_of_the_record(run):
    failures = pd.read_csv(run / "failures.csv", dtype=str)
    failures.head(1).to_csv(run / "failures.csv", index=False)
    assert "1 failures" in only(run, "failures")


def test_a_page_that_counts_other_failures_is_noticed(run):
    (run / "report.html").write_text("<dt>files set aside</dt><dd>5</dd>")
    assert "run course report again" in only(run, "failures")


def test_rows_in_another_order_than_the_pictures_are_noticed(run):
    table = pq.read_table(run / "thumbnails.parquet")
    pq.write_table(table.take(np.arange(len(table))[::-1]), run / "thumbnails.parquet")
    assert "belong to another run" in only(run, "order")


def test_clusters_changed_after_they_were_judged_are_noticed(run):
    text = (run / "clusters.csv").read_text()
    (run / "clusters.csv").write_text(text.replace('"CC"', '"MLO"', 1))
    assert "was changed after" in only(run, "order")


def test_vectors_of_another_run_void_the_plan_and_the_results(run):
    other = Extraction.read(run)
    replace(other, vectors=other.vectors[::-1].copy()).write(run)
    found = answers(run)
    assert {"plan", "order"} <= {each for each, (met, _) in found.items() if met == "no"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plain: plain.update(method="ward"), "method kmeans was planned and ward was run"),
        (lambda plain: plain.update(seed=5), "seed 0 was planned and 5 was run"),
        (lambda plain: plain["params"].update(k=4), "k 2 was planned and 4 was run"),
        (lambda plain: plain["params"].update(k_searched=[2, 3, 4]), "k 2 was planned and auto was run"),
        (lambda plain: plain["params"].update(remove=[]), "--remove view was planned and nothing was run"),
    ],
)
def test_each_departure_from_the_plan_is_named(run, change, words):
    edit(run / "clusters.json", change)
    assert words in answers(run)["followed"][1]


def test_a_score_without_its_interval_is_noticed_and_too_few_women_cannot_say(run):
    def without(plain, women):
        plain["probe"]["women"] = women
        plain["probe"]["scores"]["macro_auc"].update(low=None, high=None)

    edit(run / "probe_density.json", lambda plain: without(plain, 24))
    assert "no interval" in only(run, "intervals")
    edit(run / "probe_density.json", lambda plain: without(plain, 5))
    assert "too few" in only(run, "intervals", "cannot say")


def test_a_probe_split_by_image_is_noticed(run):
    def by_image(plain):
        plain["groups"] = "image"
        plain["probe"]["women"] = 96

    edit(run / "probe_density.json", by_image)
    assert "split by image" in only(run, "women")


def test_without_women_nobody_can_say_what_the_unit_was(run):
    table = pq.read_table(run / "embeddings.parquet").to_pydict()
    schema = pq.read_schema(run / "embeddings.parquet")
    table["patient_key"] = [None] * len(table["file"])
    pq.write_table(pa.table(table, schema=schema), run / "embeddings.parquet")
    assert "course embed --table" in only(run, "women", "cannot say")


def test_too_few_women_for_a_verdict_leave_it_open(run):
    def of_few(plain):
        plain["evaluation"]["conclusion"] = "too few"
        plain["evaluation"]["valley"]["joins"] = []

    edit(run / "clusters.json", of_few)
    assert "too few to ask whether clusters are separate" in only(run, "nulls", "cannot say")


def test_an_outcome_that_permuting_could_not_have_told_from_chance_is_left_open(run):
    def untold(plain):
        density = next(one for one in plain["evaluation"]["associations"] if one["column"] == "density")
        density.update(p_holm=0.2, detectable=None)

    edit(run / "clusters.json", untold)
    met, says = answers(run)["nulls"]
    assert met == "cannot say"
    assert says.startswith("density can be dealt out")


def test_a_control_that_no_file_shows_is_left_open(run):
    stored = json.loads((run / "plan.json").read_text())
    stored["controls"] = ["gaussian clouds", "shuffled pixels"]
    (run / "plan.json").write_text(json.dumps(stored))
    met, says = answers(run)["nulls"]
    assert met == "cannot say"
    assert "shuffled pixels" in says
    assert "gaussian" not in says


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (Claim("They follow it.", "association", "vendor"), "with Holm’s correction"),
        (Claim("They follow it.", "association", "age"), "not held against age"),
        (Claim("It can be read.", "prediction", "age"), "age was not probed"),
    ],
)
def test_a_claim_needs_figures_that_carry_it(run, claim, words):
    write_claims(run, [*HONEST, claim])
    assert words in only(run, "claims")


def test_a_claim_about_a_column_tied_to_the_vendor_is_too_strong(run):
    rows = pd.read_csv(run / "clusters.csv", dtype=str)
    rows["vendor"] = rows["density"].map({"a or b": "alder", "c or d": "birch"})
    rows.to_csv(run / "clusters.csv", index=False)
    assert "vendor explains 100% of density" in answers(run)["claims"][1]


def test_the_rubric_is_a_short_table_in_a_terminal_and_in_a_notebook(run):
    write_claims(run, [Claim("<b>Proof</b>", "association", "<b>age</b>")])
    rubric = check_report(run)
    lines = str(rubric).splitlines()
    assert len(lines) == 9
    assert [line.split()[1] for line in lines] == [item.id for item in rubric.items]
    shown = rubric._repr_html_()
    assert shown.count("<tr>") == 10
    assert "<b>age" not in shown


def associations_of(plain):
    return {one["column"]: one for one in plain["evaluation"]["associations"]}


@pytest.mark.parametrize("name", ["embeddings_sha256", "table_sha256"])
def test_clusters_that_no_longer_keep_what_they_belong_to_are_not_taken_for_those_of_the_run(run, name):
    edit(run / "clusters.json", lambda plain: plain.pop(name))
    assert "does not keep which vectors" in only(run, "order")


def test_a_p_value_without_its_correction_is_noticed_and_carries_no_claim(run):
    def uncorrected(plain):
        associations_of(plain)["side"].update(p_value=0.04, p_holm=0.04)

    edit(run / "clusters.json", uncorrected)
    write_claims(run, [Claim("They follow it.", "association", "side")])
    found = answers(run)
    assert "p of side is smaller than Holm’s correction" in found["nulls"][1]
    assert "Holm’s correction, and may be 0.05 at most" in found["claims"][1]
    assert {found[name][0] for name in ("nulls", "claims")} == {"no"}


def test_a_p_value_below_what_its_permutations_can_give_is_noticed(run):
    def too_small(plain):
        associations_of(plain)["side"].update(p_value=1e-6, p_holm=1e-6, draws=19)

    edit(run / "clusters.json", too_small)
    assert "p of side" in answers(run)["nulls"][1]


def test_a_planned_confounder_that_is_the_same_everywhere_is_said_to_be_so(run):
    edit_column(run, "vendor", lambda values: values.map(lambda _: "alder"))
    edit(run / "clusters.json", lambda plain: plain["evaluation"]["associations"].remove(vendor_of(plain)))
    assert "All images have the same vendor." in answers(run)["confounders"][1]


def test_a_confounder_that_is_unknown_of_half_of_the_images_is_not_ruled_out(run):
    edit_column(run, "vendor", lambda values: values.where(values.index % 2 == 0))
    met, says = answers(run)["confounders"]
    assert met == "cannot say"
    assert "vendor (known of 48 of 96 images)" in says


def test_a_claim_about_a_confounder_is_held_against_the_others(run):
    stored = json.loads((run / "plan.json").read_text())
    stored["confounders"] = ["view", "side", "vendor", "density"]
    (run / "plan.json").write_text(json.dumps(stored))
    edit_column(run, "vendor", lambda values: pd.read_csv(run / "clusters.csv")["density"])
    assert "vendor explains 100% of density" in answers(run)["claims"][1]


def test_a_probe_whose_groups_part_the_images_of_a_woman_is_noticed_without_its_warning(run):
    edit(run / "probe_density.json", lambda plain: plain.update(groups="view", warnings=[]))
    assert "split by view" in only(run, "women")


@pytest.mark.parametrize("unit", ["Woman ", "patients"])
def test_a_plan_may_call_the_woman_what_it_likes(run, unit):
    stored = json.loads((run / "plan.json").read_text()) | {"unit": unit}
    (run / "plan.json").write_text(json.dumps(stored))
    assert answers(run)["women"][0] == "yes"


def test_an_empty_list_of_claims_claims_nothing_yet(run):
    write_claims(run, [])
    assert "Nothing is claimed yet" in only(run, "claims")


def test_a_finding_in_the_words_of_a_claim_of_none_is_left_to_the_reader(run):
    write_claims(run, [Claim("These are two separate kinds of breast.", "none")])
    assert answers(run)["claims"][1] == (
        "Nothing is claimed to have been found; that the words fit the kind of each claim, only a reader can "
        "tell."
    )


def test_clusters_that_give_nothing_to_judge_stand_beside_no_null(run):
    def nothing(plain):
        verdict = "There is nothing to judge: the method found no cluster."
        plain["evaluation"].update(
            conclusion="nothing to judge", verdict=verdict, silhouette=None, nulls=[], valley=None
        )

    edit(run / "clusters.json", nothing)
    met, says = answers(run)["nulls"]
    assert met == "cannot say"
    assert "there is nothing to judge: the method found no cluster." in says


def test_what_changes_within_each_woman_is_not_said_to_have_been_held_against_clusters_of_women(run):
    def per_woman(plain):
        plain["params"].update(per="woman")
        plain["evaluation"]["associations"] = [
            one for name, one in associations_of(plain).items() if name not in ("view", "side")
        ]

    edit(run / "clusters.json", per_woman)
    assert answers(run)["confounders"] == (
        "yes",
        "The clusters were held against vendor. No cluster of women can follow what changes within "
        "a woman: view and side.",
    )


def vendor_of(plain):
    return associations_of(plain)["vendor"]


def edit_column(folder, name, change):
    """Change a column of the clusters' table, and the sha256 that they keep of it."""
    rows = pd.read_csv(folder / "clusters.csv", dtype=str)
    rows[name] = change(rows[name])
    rows.to_csv(folder / "clusters.csv", index=False)
    written = sha256_of((folder / "clusters.csv").read_bytes())
    edit(folder / "clusters.json", lambda plain: plain.update(table_sha256=written))
