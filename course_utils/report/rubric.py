"""Does a run keep what it promised, and does anybody claim more than its figures show? (lesson 12)

The folder of a run goes in; for each thing that a reader would ask, whether it is met comes out, in a
sentence that names what is missing and how to mend it. A damaged file is an item that is not met.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from course_utils.analysis.permutations import LEVEL
from course_utils.analysis.probing.scores import FEWEST_FOR_AN_INTERVAL
from course_utils.analysis.validity import FEWEST
from course_utils.records import SHOWN
from course_utils.report.claims import corrected, judge_claims
from course_utils.report.evidence import ALWAYS_HELD, Evidence, gather
from course_utils.report.text import listed, without_folders
from course_utils.runs import StoredProbe, probe_file
from course_utils.runs.clusters import RESULT, TABLE
from course_utils.runs.folder import EMBEDDINGS, FAILURES, RECORD, THUMBNAILS

Met = Literal["yes", "no", "cannot say"]
Answer = tuple[Met, str]

FEWEST_DRAWS = round(1 / LEVEL) - 1
"""With fewer draws than this, no p value can be 0.05 or less."""

MOST_UNKNOWN = 0.1
"""A confounder that is unknown of a larger share of the images is not ruled out."""

_HER = ("woman", "women", "patient", "patients")

SIGNS = {"yes": "✓", "no": "✗", "cannot say": "?"}


@dataclass(frozen=True)
class Item:
    """One thing that a reader would ask of a run.

    Attributes:
        id: its name, such as `"nulls"`.
        asks: the question.
        met: `"yes"`, `"no"`, or `"cannot say"` where the run holds too little to tell.
        says: the answer in a sentence: what is missing, and how to mend it.
    """

    id: str
    asks: str
    met: Met
    says: str


@dataclass(frozen=True)
class Rubric:
    """What a reader would ask of a run, and the answers."""

    items: tuple[Item, ...]

    @property
    def missing(self) -> tuple[Item, ...]:
        """Return what is not met."""
        return tuple(item for item in self.items if item.met == "no")

    @property
    def open(self) -> tuple[Item, ...]:
        """Return what the run holds too little to tell."""
        return tuple(item for item in self.items if item.met == "cannot say")

    def __str__(self) -> str:
        return "\n".join(f"{SIGNS[item.met]} {item.id:<12}{item.met:<12}{item.says}" for item in self.items)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{SIGNS[item.met]} {item.met}</td><th style='text-align: left'>{html.escape(item.asks)}"
            f"</th><td style='text-align: left'>{html.escape(item.says)}</td></tr>"
            for item in self.items
        )
        head = "<tr><th>met</th><th>asked</th><th>answer</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def check_report(run_folder: str | Path) -> Rubric:
    """Ask of a run what a careful reader would ask, and answer from its files alone.

    Args:
        run_folder: the folder that `course embed`, `course cluster` and `course probe`, `write_plan` and
            `write_claims` wrote into. Whatever is missing or damaged is an item that is not met.
    """
    return judge(gather(run_folder))


def judge(evidence: Evidence) -> Rubric:
    """Answer from what was gathered."""
    items = (Item(name, asks, *_answered(answer, evidence)) for name, (asks, answer) in _ITEMS.items())
    return Rubric(tuple(Item(one.id, one.asks, one.met, without_folders(one.says)) for one in items))


def _answered(answer: Callable[[Evidence], Answer], evidence: Evidence) -> Answer:
    try:
        return answer(evidence)
    except (TypeError, ValueError, LookupError, AttributeError):  # a file that was edited may hold anything
        return "no", (
            "A file of this run was changed by hand and makes no sense: run course cluster and course "
            "probe again."
        )


def _plan(found: Evidence) -> Answer:
    if trouble := found.trouble("plan.json"):
        return "no", trouble
    results = {RESULT: found.clusters.result} if found.clusters is not None else {}
    results |= {probe_file(target): result for target, (result, _) in found.probes.items()}
    if found.plan is None:
        late = " One written now would come too late: embed anew, plan, and then cluster." if results else ""
        return "no", f"There is no plan.json: write_plan writes one, before course cluster.{late}"
    if found.run is not None and found.plan.embeddings_sha256 != found.embeddings_sha256:
        return "no", "The plan was made for other embeddings: plan anew, and then cluster and probe again."
    without = [name for name, result in results.items() if result.get("plan_sha256") != found.plan.sha256]
    if without:
        return "no", (
            f"The plan was written or changed after {listed(without)}: it counts only if it came first, so "
            "embed into another folder, plan there, and then cluster and probe."
        )
    came = "came before all results, which keep its sha256" if results else "is there, and no result yet"
    return "yes", f"The plan of {found.plan.plan.written[:10]} {came}."


def _order(found: Evidence) -> Answer:
    if found.run is None:
        return "no", found.trouble(EMBEDDINGS) or _NO_RUN
    if trouble := found.trouble(EMBEDDINGS, THUMBNAILS, TABLE):
        return "no", trouble
    if found.run.pictures_note:
        return "no", f"{found.run.pictures_note} Run course embed again."
    ids = found.run.table["image_id"].tolist()
    if found.clusters is not None:
        why = found.clusters.why_unusable(ids, found.run.vectors)
        kept = [found.clusters.result.get(name) for name in ("embeddings_sha256", "table_sha256")]
        if why is None and not all(kept):  # the page takes clusters of an older course, a referee does not
            why = f"{RESULT} does not keep which vectors and which {TABLE} it belongs to"
        if why is None and _other_files(found):
            why = f"{TABLE} names other files than {EMBEDDINGS}, or in another order"
        if why is not None:
            return "no", f"{why}: run course cluster again."
    for target, (result, _) in found.probes.items():
        why = StoredProbe(target, result).why_unusable(ids, found.run.vectors)
        if why is not None:
            return "no", f"{why}: run course probe --target {target} again."
    images = "image" if len(ids) == 1 else "images"
    return "yes", f"Vectors, pictures and results name the same {len(ids)} {images} in the same order."


def _other_files(found: Evidence) -> bool:
    assert found.run is not None
    assert found.clusters is not None
    tables = (found.run.table, found.clusters.table)
    return (
        all("file" in table for table in tables) and tables[0]["file"].tolist() != tables[1]["file"].tolist()
    )


def _failures(found: Evidence) -> Answer:
    if found.run is None:
        return "no", found.trouble(EMBEDDINGS) or _NO_RUN
    if trouble := found.trouble(FAILURES, RECORD):
        return "no", trouble
    if FAILURES not in found.has:
        return "no", f"There is no {FAILURES}, so nobody knows what failed: run course embed again."
    rows, failures = len(found.run.table), found.run.failures
    silent = int((failures.apply(lambda column: column.str.strip() == "").any(axis=1)).sum())
    if silent:
        return "no", (
            f"{silent} of {len(failures)} rows of {FAILURES} name no file, no stage or no reason: run course "
            "embed again, which gives one for each."
        )
    counts = found.run.record.get("counts") or {}
    told = [counts.get(name) for name in ("found", "embedded", "failed")]
    if not all(isinstance(number, int) for number in told):
        return "cannot say", f"{RECORD} does not say how many files were found, so a lost one would not show."
    if told != [rows + len(failures), rows, len(failures)]:
        return "no", (
            f"By {RECORD}, {told[1]} of {told[0]} files were embedded and {told[2]} failed, but there are "
            f"{rows} rows and {len(failures)} failures: run course embed again, and delete no row."
        )
    if found.page_counts not in (None, len(failures)):
        return (
            "no",
            f"The page counts {found.page_counts} failures of {len(failures)}: run course report again.",
        )
    files = "1 file" if told[0] == 1 else f"{told[0]} files"
    failed = f"{told[2]} failed, each with a reason" if told[2] else "none failed"
    return "yes", f"Of {files}, {rows} became {'a vector' if rows == 1 else 'vectors'} and {failed}."


def _confounders(found: Evidence) -> Answer:
    if found.evaluation is None:
        return "no", found.trouble(RESULT, TABLE) or (
            "The clusters were held against nothing: run course cluster (--labels for what files do not say)."
        )
    known = found.known
    planned = [] if found.plan is None else [SHOWN.get(name, name) for name in found.plan.plan.confounders]
    varies = {name for name in map(str, known) if known[name].nunique() > 1}
    asked = [*planned, *(name for name in ALWAYS_HELD if name in varies and name not in planned)]
    asked = [name for name in asked if name != "patient"]  # she is the unit
    never, untold = [], []
    for name in asked:
        if name in found.associations or (name in known and name not in varies) or _averaged(found, name):
            continue
        if name in found.skipped:
            untold.append(f"{name} ({found.skipped[name]})")
        else:
            never.append(name)
    if never:
        return "no", (
            f"The clusters were never held against {listed(never)}: run course cluster again, with a table "
            f"that has {'it' if len(never) == 1 else 'them'} (--labels)."
        )
    held = [name for name in asked if name in found.associations]
    and_held = f"were held against {listed(held)}, but " if held else ""
    if untold:
        return "cannot say", f"The clusters {and_held}could not be held against {listed(untold)}."
    partly = [
        f"{name} (known of {known[name].notna().sum()} of {len(known)} images)"
        for name in asked
        if name in known and known[name].isna().mean() > MOST_UNKNOWN
    ]
    if partly:
        return "cannot say", (
            f"Too little is known of {listed(partly)} to rule it out: give a fuller table (--labels)."
        )
    if not any(name in varies for name in asked):
        return "cannot say", "Nothing that varies is known of the images: give a table with --labels."
    said = [f"The clusters were held against {listed(held)}."] if held else []
    mixed = [name for name in asked if name in varies and name not in held]
    if mixed:
        said.append(f"No cluster of women can follow what changes within a woman: {listed(mixed)}.")
    said += [f"All images have the same {name}." for name in planned if name in known and name not in varies]
    return "yes", " ".join(said)


def _averaged(found: Evidence, name: str) -> bool:
    """Return whether women were clustered and a column changes within each, so that no cluster follows it."""
    if found.params.get("per") != "woman" or name not in found.known or found.women is None:
        return False
    return bool((found.known[name].groupby(found.women).nunique() > 1).any())


def _nulls(found: Evidence) -> Answer:
    if found.evaluation is None:
        return "no", found.trouble(RESULT, TABLE) or "No cluster was judged yet: run course cluster."
    judged = found.evaluation
    if uncorrected := [one.column for one in judged.associations if one.p_holm < corrected(found, one)]:
        return "no", (
            f"p of {listed(uncorrected)} is smaller than Holm’s correction for the "
            f"{len(judged.associations)} columns that were tried makes it: run course cluster again."
        )
    beside = {null.name: null for null in judged.nulls if null.silhouettes.get(judged.k)}
    if judged.silhouette is not None and set(beside) != {"gaussian", "permuted"}:
        return "no", (
            f"A silhouette of {judged.silhouette:.2f} stands without what the same method finds in data that "
            "have no clusters: run course cluster again, which draws it."
        )
    draws = {f"the {name} null": null.draws for name, null in beside.items()}
    draws |= {name: one.draws for name, one in found.associations.items()}
    alone, untold = [], []
    for target, (_, probe) in found.probes.items():
        if probe.chance is None:
            alone.append(target)
        elif probe.chance.p_value is None:
            untold.append(target)
        else:
            draws[f"the probe of {target}"] = probe.chance.draws
    few = [name for name, number in draws.items() if number < FEWEST_DRAWS]
    if alone:
        return "no", f"The probe of {listed(alone)} stands without permuted targets: run course probe again."
    if few:
        return "no", (
            f"{listed(few)} had fewer than {FEWEST_DRAWS} draws, which cannot give p = {LEVEL}: run it with "
            "more."
        )
    planned = "" if found.plan is None else found.plan.plan.outcome
    outcome = found.associations.get(SHOWN.get(planned, planned))
    if outcome is not None and outcome.detectable is None and not outcome.is_more_than_chance:
        untold.append(outcome.column)
    if judged.conclusion == "nothing to judge":
        return "cannot say", f"No index and no null: {judged.verdict[0].lower()}{judged.verdict[1:]}"
    if judged.conclusion == "too few":
        return "cannot say", (
            f"The nulls are there, but {judged.women} {judged.unit} are too few to ask whether clusters are "
            f"separate: it takes {FEWEST} or more."
        )
    if untold:
        return "cannot say", f"{listed(untold)} can be dealt out among the women in too few ways to test."
    beside_it = {*found.associations, "gaussian", "permuted", "valley", "stability"}
    beside_it |= {name for _, probe in found.probes.values() for name in (*probe.baselines, "chance")}
    controls = () if found.plan is None else found.plan.plan.controls
    unseen = [each for each in controls if not any(name.lower() in each.lower() for name in beside_it)]
    if unseen:
        return "cannot say", (
            f"The nulls are there, but no file of this run says whether {listed(unseen)} stood beside the "
            "result, as planned: show it yourself."
        )
    return "yes", f"Each index stands beside its null, of {min(draws.values(), default=0)} draws or more."


def _women(found: Evidence) -> Answer:
    if found.run is None:
        return "no", found.trouble(EMBEDDINGS) or _NO_RUN
    if found.evaluation is None and not found.probes:
        return "no", found.trouble(RESULT, TABLE) or "Nothing was permuted or split yet: run course cluster."
    women = found.women
    if women is None:
        return "cannot say", (
            "No file says which woman an image is of, so images had to count as independent: give the women "
            "with course embed --table."
        )
    number = women.nunique()
    if found.plan is not None and found.plan.plan.unit.strip().lower() not in _HER:
        return (
            "no",
            f"The plan’s unit is the {found.plan.plan.unit.strip()}, where it must be the woman: plan anew.",
        )
    of = f"{len(women)} images are of {number} women"
    if found.evaluation is not None:
        by_image = any(one.unit == "images" for one in found.evaluation.associations)
        if found.evaluation.unit != "women" or found.evaluation.women != number or by_image:
            return (
                "no",
                f"Clusters were judged by image, though {of}: run course cluster, which goes by woman.",
            )
    for target, (result, probe) in found.probes.items():
        whose = women[found.known[target].notna()] if target in found.known else women
        groups = result.get("groups")
        parted = groups in found.known and bool((found.known[groups].groupby(women).nunique() > 1).any())
        split = parted or any(
            str(words).startswith("By the files ") for words in result.get("warnings") or []
        )
        if probe.women > whose.nunique() or split:
            return "no", (
                f"The probe of {target} was split by {result.get('groups')}, though {of}: run course probe "
                "again, without --groups, so that no woman is on both sides."
            )
    if number < 2:
        return "cannot say", "All images are of one woman, who can be neither permuted nor split."
    return "yes", f"The {of}, and every permutation and every split goes by woman."


def _intervals(found: Evidence) -> Answer:
    if trouble := found.trouble(*(name for name in found.damaged if name.startswith("probe_"))):
        return "no", trouble
    if not found.probes:
        return "yes", "There is no probe, and so no score that would need one."
    bare = [
        target
        for target, (_, probe) in found.probes.items()
        if any(score.low is None or score.high is None for score in probe.scores.values())
    ]
    few = [target for target in bare if found.probes[target][1].women < FEWEST_FOR_AN_INTERVAL]
    if len(bare) > len(few):
        return "no", f"A score of the probe of {listed(bare)} has no interval: run course probe again."
    if few:
        return "cannot say", (
            f"The probe of {listed(few)} is of fewer than {FEWEST_FOR_AN_INTERVAL} women, too few for an "
            "interval: give the score as an example and not as a result."
        )
    return "yes", f"Every score of the probe of {listed([*found.probes])} has its interval over women."


def _followed(found: Evidence) -> Answer:
    if found.plan is None:
        return "no", found.trouble("plan.json") or "There is no plan that could have been followed."
    if found.clusters is None:
        return "no", found.trouble(RESULT, TABLE) or "What was planned was not run yet: run course cluster."
    departures = [
        f"{name} {_words(wanted)} was planned and {_words(got)} was run"
        for name, wanted, got in _side_by_side(found)
        if wanted != got
    ]
    if departures:
        return "no", f"The plan was left: {listed(departures)}. Run it as planned, or report the departure."
    outcome = SHOWN.get(found.plan.plan.outcome, found.plan.plan.outcome)
    if outcome and outcome not in found.associations and outcome not in found.probes:
        if outcome in found.skipped:
            return "cannot say", f"{outcome} could not be tested: {found.skipped[outcome]}."
        return "no", (
            f"{outcome}, the planned outcome, was never tested: run course cluster with a table that has it "
            f"(--labels), or course probe --target {outcome}."
        )
    return "yes", "Method, number of clusters, seed and outcome are those of the plan."


def _side_by_side(found: Evidence) -> Iterable[tuple[str, Any, Any]]:
    """Yield what was planned and what was run, each with its name."""
    assert found.plan is not None
    assert found.clusters is not None
    plan, result, params = found.plan.plan, found.clusters.result, found.params
    yield "method", plan.method, result.get("method")
    searched = result.get("method") == "hdbscan" or len(params.get("k_searched") or []) > 1
    yield "k", plan.k, "auto" if searched else params.get("k")
    yield "seed", plan.seed, result.get("seed")
    yield "--remove", sorted(plan.remove), sorted(params.get("remove") or [])
    yield "--per", plan.per, params.get("per", "image")
    for target, (_, probe) in found.probes.items():
        yield f"seed of the probe of {target}", plan.seed, probe.seed


def _claims(found: Evidence) -> Answer:
    if trouble := found.trouble("claims.json"):
        return "no", trouble
    if not found.claims:
        return "no", "Nothing is claimed yet: write_claims says what was found, even if it is nothing."
    too_strong = judge_claims(found)
    if too_strong:
        return "no", " ".join(too_strong)
    claiming = sum(claim.kind != "none" for claim in found.claims)
    number = {0: "Nothing is claimed to have been found", 1: "1 claim is no stronger than the figures"}
    said = number.get(claiming, f"{claiming} claims are no stronger than the figures")
    unread = "; that the words fit the kind of each claim, only a reader can tell"
    return "yes", f"{said}{unread}."


_NO_RUN = "This folder holds no embeddings: run course embed."

_ITEMS: dict[str, tuple[str, Callable[[Evidence], Answer]]] = {
    "plan": ("Was the plan written before the analysis?", _plan),
    "order": ("Are all rows in the order of the input?", _order),
    "failures": ("Is each file that failed explained and counted?", _failures),
    "confounders": ("Were the clusters held against what might explain them?", _confounders),
    "nulls": ("Does every index stand beside its null?", _nulls),
    "women": ("Is the woman the unit of every permutation and split?", _women),
    "intervals": ("Does every score carry an interval?", _intervals),
    "followed": ("Was the plan followed?", _followed),
    "claims": ("Is no claim stronger than the figures?", _claims),
}
"""What is asked, in the order in which a run is made."""


def _words(value: Any) -> str:
    if isinstance(value, list):
        return listed(value) or "nothing"
    return str(value)
