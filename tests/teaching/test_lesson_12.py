"""Exercises of lesson 12: other right answers and rarer mistakes; and what the lesson's run has shown."""

import itertools
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from course_utils.analysis import Evaluation, cluster
from course_utils.imaging.datasets import sample_run
from course_utils.report import check_report
from course_utils.runs import Extraction, read_clusters
from course_utils.teaching import exercise
from course_utils.teaching.capstone import (
    PLANNED,
    carried,
    figures_of,
    files_say,
    first_archive,
    least_p,
    on_methods,
    pairs_parted,
    studies_of,
    unbalanced,
)
from course_utils.teaching.controls import cleaned
from course_utils.teaching.exercises import lesson_12 as lesson
from course_utils.teaching.exercises.lesson_12 import SINS
from course_utils.teaching.sins import honest_run, sinful_run

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
STUDENTS = NOTEBOOKS / "12_capstone.ipynb"
SOLVED = NOTEBOOKS / "solutions" / STUDENTS.name

# --- Right answers


def by_value_counts(given, embedded, failures):
    times = pd.concat([pd.Series(embedded, dtype=object), failures["file"]]).value_counts()
    silent = failures.loc[failures["reason"].eq(""), "file"]
    return [
        sorted(name for name in given if name not in times.index),
        sorted(times.index[times > 1]),
        np.sort(silent.to_numpy(object)),
    ]


def by_loops(given, embedded, failures):
    both = embedded + failures["file"].tolist()
    missing = [name for name in sorted(given) if both.count(name) == 0]
    twice = sorted({name for name in both if both.count(name) > 1})
    rows = zip(failures["file"], failures["reason"], strict=True)
    return missing, twice, tuple(sorted(name for name, reason in rows if not reason))


def by_dealing(classes):
    """Every order of the women, each by the groups that it makes."""

    def groups(labels):
        return frozenset(frozenset(i for i, each in enumerate(labels) if each == one) for one in {*labels})

    deals = {*itertools.permutations(classes.tolist())}
    return sum(groups(deal) == groups(classes.tolist()) for deal in deals) / len(deals)


def by_logarithms(classes):
    sizes = np.unique(classes, return_counts=True)[1]
    equal = np.unique(sizes, return_counts=True)[1]

    def log_factorial(n):
        return np.log(np.arange(1, n + 1)).sum()

    logs = sum(map(log_factorial, sizes)) + sum(map(log_factorial, equal)) - log_factorial(len(classes))
    return np.exp(logs)


def step_by_step(found):
    if not found["valley_p"] > 0.05:
        return "clusters"
    if found["tied"] >= 0.25:
        return "none"
    for bad in (found["p"] > 0.05 / found["columns"], found["low"] <= found["chance"]):
        if bad:
            return "none"
    return "association"


def in_a_few_sentences(record, women):
    weights, counts = record["weights"], record["counts"]
    trained = "" if weights["pretrained"] else " THEY ARE UNTRAINED."
    return (
        f"Of {counts['found']:,} files, {counts['embedded']:,} gave a vector; they show {women} women. "
        f"Network: {record['backbone']}; weights: {weights['id']}.{trained} In {record['precision']}."
    )


def one_after_another(given, embedded, failures):
    yield from unbalanced(given, embedded, failures)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("12.1", unbalanced),
        ("12.1", one_after_another),
        ("12.1", by_value_counts),
        ("12.1", by_loops),
        ("12.2", least_p),
        ("12.2", by_dealing),
        ("12.2", by_logarithms),
        ("12.2", lambda classes: np.array(least_p(classes))),
        ("12.3", PLANNED),
        ("12.3", replace(PLANNED, unit="women", seed=7)),
        ("12.3", replace(PLANNED, threshold=0.01, finding="ARI at least 0.4, p at most 0.01")),
        ("12.3", replace(PLANNED, finding="An ARI of .25 or more.", controls=("left minus right",))),
        ("12.3", replace(PLANNED, finding="ARI at least 30 %, p (Holm) at most 5 %")),
        ("12.3", replace(PLANNED, finding="If p <= 0,05 and the Rand index is 0,4 or more.")),
        ("12.3", replace(PLANNED, remove=("vendor", "view"), confounders=("thickness", "vendor", "view"))),
        ("12.4", carried),
        ("12.4", step_by_step),
        ("12.5", dict(SINS)),
        ("12.5", {str(number): item.upper() for number, item in SINS.items()}),
        ("12.6", on_methods),
        ("12.5", pd.Series(SINS)),
        ("12.6", in_a_few_sentences),
        ("12.6", lambda record, women: in_a_few_sentences(record, women).replace("UN", "NOT ")),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


# --- Wrong answers


def sorts_what_it_is_given(given, embedded, failures):
    given.sort()
    return unbalanced(given, embedded, failures)


def marks_what_has_no_reason(given, embedded, failures):
    failures["reason"] = failures["reason"].replace("", "none")
    return unbalanced(given, embedded, failures)


def positions(given, embedded, failures):
    silent = [i for i in failures.index if failures["reason"][i] == ""]
    return (*unbalanced(given, embedded, failures)[:2], silent)


def neighbours_only(classes):
    sizes = [len([*each]) for _, each in itertools.groupby(classes)]
    equal = Counter(sizes).values()
    return math.prod(map(math.factorial, [*sizes, *equal])) / math.factorial(len(classes))


def two_if_any_are_equal(classes):
    sizes = Counter(classes.tolist()).values()
    deals = math.factorial(len(classes)) / math.prod(map(math.factorial, sizes))
    return (2 if len({*sizes}) < len(sizes) else 1) / deals


def sorts_the_classes(classes):
    classes.sort()
    return least_p(classes)


def association_first(found):
    weaker = carried(found | {"valley_p": 1.0})
    return weaker if weaker == "association" else carried(found)


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("12.1", lambda g, e, f: unbalanced(g, e, f)[:2], "three lists are needed"),
        ("12.1", lambda g, e, f: (1, [], []), "missing: a list of names is needed"),
        ("12.1", lambda g, e, f: tuple(each[::-1] for each in unbalanced(g, e, f)), "not sorted"),
        ("12.1", lambda g, e, f: (*unbalanced(g, e, f)[:2], []), "without a reason: nothing"),
        ("12.1", sorts_what_it_is_given, "changes given where it stands"),
        ("12.1", marks_what_has_no_reason, "changes the table of failures"),
        ("12.1", lambda g, e, f: (*unbalanced(g, e, f)[1::-1], []), "belongs elsewhere"),
        ("12.1", positions, "“0” is the name of no file"),
        ("12.1", lambda g, e, f: (*unbalanced(g, e, f)[:2], sorted(f["file"])), "a reason for a.dcm"),
        ("12.2", lambda classes: True, "one number is needed"),
        ("12.2", lambda classes: 1 / len(classes) ** 2, "3 different deals, and 1 of them makes"),
        ("12.2", lambda classes: 0.3 * least_p(classes), "different deals"),
        ("12.2", lambda classes: round(least_p(classes), 2), "You rounded it"),
        ("12.2", two_if_any_are_equal, "2 of the 90 deals, and it should be 6"),
        ("12.2", neighbours_only, "different deals"),
        ("12.2", sorts_the_classes, "changes classes where it stands"),
        ("12.3", {"unit": "woman"}, "a Plan is needed"),
        ("12.3", replace(PLANNED, confounders=()), "no confounders"),
        ("12.3", replace(PLANNED, confounders=("density",)), "among its own confounders"),
        ("12.3", replace(PLANNED, confounders=("vendor", "age")), "age is no column"),
        ("12.3", replace(PLANNED, confounders=("vendor",)), "dense breasts are often thin"),
        ("12.3", replace(PLANNED, threshold=None), "there is no threshold"),
        ("12.3", replace(PLANNED, threshold=1e-9), "no study could pass"),
        ("12.3", replace(PLANNED, outcome=""), "the outcome is nothing"),
        ("12.3", replace(PLANNED, finding="p is at most 0.05"), "Name the figure"),
        ("12.3", replace(PLANNED, finding="The ARI is at least 0.01."), "two humps"),
        ("12.3", replace(PLANNED, finding="ARI above 0, p below 0.05"), "two humps"),
        ("12.3", replace(PLANNED, finding="Silhouette at least 0.3."), "Name the ARI"),
        ("12.3", replace(PLANNED, finding="ARI at least 0.3, p at most 0.01"), "Which of the two"),
        ("12.3", replace(PLANNED, finding=0.3), "words are needed"),
        ("12.3", replace(PLANNED, threshold=math.nan), "no study could pass"),
        ("12.3", replace(PLANNED, confounders="thickness"), "needs a comma"),
        ("12.3", replace(PLANNED, controls=["stability"]), "a tuple of names"),
        ("12.3", replace(PLANNED, k="4"), "k = '4'"),
        ("12.3", replace(PLANNED, seed=None), "a whole number from 0"),
        ("12.3", replace(PLANNED, per="image"), "mean of each woman's images"),
        ("12.3", replace(PLANNED, remove=()), "taken off"),
        ("12.4", lambda found: "yes", "needed is one of"),
        ("12.4", lambda found: 1, "a word is needed"),
        ("12.4", lambda found: "association", "six columns were tried"),
        ("12.4", lambda found: "none", "nothing speaks against"),
        ("12.4", association_first, "clusters are the stronger claim"),
        ("12.4", lambda found: carried(found | {"tied": found["tied"] - 1e-9}), "not less than 0.25"),
        ("12.4", lambda found: carried(found | {"low": found["low"] + 1e-9}), "not above it"),
        ("12.4", lambda found: carried(found | {"p": found["p"] * 1.01}), "0.05 is at most 0.05"),
        ("12.4", lambda found: carried(found | {"valley_p": found["valley_p"] * 1.01}), "a valley_p of"),
        ("12.5", ["plan"], "a dictionary is needed"),
        ("12.5", {1: "plan"}, "folder 2 has no item yet"),
        ("12.5", {**SINS, 4: "gluttony"}, "'gluttony' is none of the items"),
        ("12.5", {**SINS, 3: "followed"}, "that is all this item asks"),
        ("12.6", lambda record, women: on_methods(record, women) + " 96 women.", "says 96 women"),
        ("12.6", lambda record, women: record, "a sentence is needed"),
        ("12.6", lambda record, women: on_methods(record, women) + " RANDOM?", "that are trained"),
    ],
)
def test_a_rarer_mistake_is_told_what_it_is(number, answer, says):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text


@pytest.mark.parametrize("answer", [..., {1: ..., 2: ...}])
def test_sins_without_names_are_not_tried(answer):
    assert exercise("12.5").judge(answer).state == "untried"


# --- What stands in for an answer, and what the lesson computes with


def test_the_least_p_is_what_dealing_out_gives():
    for letters in ("ab", "abb", "aabb", "aabcc", "abccc", "aaabbb"):
        classes = np.array([*letters])
        assert least_p(classes) == pytest.approx(by_dealing(classes))
    assert least_p(np.array(["film"] * 2 + ["ffdm"] * 12)) == pytest.approx(1 / 91)


def test_the_pile_holds_35_files_and_three_of_them_are_no_mammograms():
    pile = first_archive()
    kinds = Counter(name.partition("/")[0] for name in pile["name"])
    assert kinds == {"films": 8, "synthetic": 27}
    assert pile["name"].is_unique
    assert all(path.is_file() for path in pile["path"])
    assert "films/malignant_L_CC.dcm" in pile["name"].tolist()


def test_a_small_study_is_lesson_nines_chain_on_as_many_women():
    run, known = Extraction.read(sample_run()), pd.read_csv(sample_run() / "manifest.csv")
    vectors = run.vectors.astype(float)
    found, chance = studies_of(60, vectors, known, count=1)  # all there are
    rows = cleaned(vectors, *(known[name].to_numpy() for name in ("view", "vendor", "woman")))
    density = known.groupby("woman")["density"].first()
    assert found[0] == pytest.approx(adjusted_rand_score(density, cluster(rows, k=4).labels), abs=0.15)
    assert abs(chance[0]) < 0.1
    assert found[0] > 0.5


def test_pairs_of_women_come_apart_and_a_pair_has_eight_images():
    right = pairs_parted(12)
    assert len(right) == 12
    assert all(4 <= each <= 8 for each in right)
    assert right.count(8) >= 8


# --- The folders with a sin each


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sins")
    return {number: sinful_run(number, root / str(number)) for number in SINS} | {0: honest_run(root / "0")}


def test_each_folder_fails_the_one_item_that_the_exercise_asks_for(folders):
    for number, item in SINS.items():
        assert [each.id for each in check_report(folders[number]).missing] == [item]


def test_the_table_shows_each_sin_and_nothing_else_that_differs(folders):
    honest = files_say(folders[0])
    shown = {
        "plan": {"the plan that the clusters remember"},
        "failures": {"failures, with a reason"},
        "confounders": {"held against"},
        "nulls": {"beside it", "verdict"},
        "women": {"counted as one", "held against", "verdict"},
        "claims": {"claim 2", "claim 3"},
    }
    for number, item in SINS.items():
        said = files_say(folders[number])
        differing = {name for name in {**honest, **said} if honest.get(name) != said.get(name)}
        assert differing, number
        assert differing <= shown[item], number


def test_the_figures_of_a_claim_are_those_of_the_run(folders):
    judged = Evaluation.from_dict(read_clusters(folders[0]).result["evaluation"])
    known = pd.DataFrame({"density": ["a", "a", "b", "b"], "vendor": ["x", "x", "y", "y"]})
    found = figures_of(judged, "density", known)
    one = next(each for each in judged.associations if each.column == "density")
    assert {*found} == {*lesson._FIGURES}
    assert (found["p"], found["columns"]) == (round(one.p_value, 4), len(judged.associations))
    assert found["tied"] == 1
    assert carried(found) == "none"
    assert carried(found | {"tied": 0.0}) == "association"


# --- What the lesson's run has shown


def output_after(notebook, start):
    """Return what the cell shows that begins like this, or holds this line."""
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and start in cell.source)
    return "".join(out.get("text", "") + out.get("data", {}).get("text/plain", "") for out in cell.outputs)


@pytest.fixture(scope="module")
def solved():
    return nbformat.read(SOLVED, as_version=4)


def test_the_text_says_of_ada_and_ben_what_the_cells_show(solved):
    table = output_after(solved, "Ada's cluster")
    counts = np.array([re.findall(r"\d+", line) for line in table.splitlines()[2:]], int)
    assert max(np.trace(counts), np.trace(counts[::-1])) == 7
    right = output_after(solved, "pairs_parted")
    alone, with_seven = map(int, re.findall(r": (\d+)", right))
    assert alone > 85
    assert with_seven > 90
    assert "p = 1.000" in output_after(solved, "associations(bens")


def test_the_conclusion_quotes_the_figures_of_the_run(solved):
    text = next(cell.source for cell in solved.cells if "## What would you write?" in cell.source)
    ari, low, high, p = re.findall(r"-?\d\.\d+", output_after(solved, "interval = f"))
    quoted = " ".join(text.split())
    assert f"(ARI {ari}, 95% interval {low} to {high}; p = {p} with Holm's correction)" in quoted
    assert float(ari) >= 0.3
    assert float(low) < 0.3


def test_only_the_control_that_leaves_no_file_is_open_in_the_lessons_own_run(solved):
    rubric = output_after(solved, "check_report(study)")
    met = re.findall(r"id='(\w+)'.*?met='([\w ]+)'", rubric)
    assert len(met) == 9
    assert {name for name, answer in met if answer != "yes"} == {"nulls"}
    assert "left minus right" in rubric
