"""What makes a page one to publish: title, authors, plan, claims, rubric, methods, citations, checklist."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from course_utils.records import SHOWN
from course_utils.report import checklist, methods
from course_utils.report.citations import how_to_cite
from course_utils.report.evidence import Evidence, gather
from course_utils.report.reading import Run
from course_utils.report.rubric import SIGNS, judge
from course_utils.report.text import listed, without_folders
from course_utils.report.words import METHODS, points_to_take_away
from course_utils.runs import Plan
from course_utils.runs.folder import PLAN
from course_utils.runs.plans import CLAIMS

_KINDS = {
    "none": "claims no finding",
    "association": "claims that the clusters follow {}",
    "clusters": "claims clusters",
    "prediction": "claims that {} can be read off the vectors",
}


def publishing(run: Run, folder: Path, title: str, authors: list[str]) -> dict[str, Any]:
    """Return what the template says beyond the run itself; `published` is None where nobody asked for it."""
    heading = {"title": title, "authors": listed(authors)}
    if not (title or authors or (folder / PLAN).exists() or (folder / CLAIMS).exists()):
        return {**heading, "published": None}
    # What an earlier page says must not change this one.
    found = replace(gather(folder), page_counts=None)
    run = replace(run, record=_sound(run.record))
    asked = checklist.rows(run, found, title)
    outcome = "" if found.plan is None else SHOWN.get(found.plan.plan.outcome, found.plan.plan.outcome)
    return {
        **heading,
        "points": points_to_take_away(run, outcome),
        "published": {
            "plan": [] if found.plan is None else _plan(found.plan.plan),
            "asked": _asked(found, outcome),
            "no_plan": found.trouble(PLAN) or "Nothing was written down before the analysis.",
            "claims": [
                (without_folders(claim.says), without_folders(_KINDS[claim.kind].format(claim.about)))
                for claim in found.claims or ()
            ],
            "no_claims": found.trouble(CLAIMS) or "Nothing is claimed.",
            "rubric": [asdict(item) | {"sign": SIGNS[item.met]} for item in judge(found).items],
            "methods": methods.paragraphs(run, found),
            "citations": how_to_cite(run),
            "checklist": asked,
            "open": sum(row.is_open for row in asked),
        },
    }


def _asked(found: Evidence, outcome: str) -> tuple[str, str] | None:
    """Return the question that was written down beforehand, and what the run says to it; None without one."""
    if found.plan is None or not outcome:
        return None
    answers = [found.associations[outcome].sentence] if outcome in found.associations else []
    answers += [probe.sentence for target, (_, probe) in found.probes.items() if target == outcome]
    said = " ".join(answers) or f"Nothing in this run answers it: {outcome} was not tested."
    return without_folders(found.plan.plan.question), without_folders(said)


def _sound(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without those of its groups that somebody's editing made something else."""
    groups = ("versions", "machine", "weights", "preprocessing", "seeds", "counts", "timings")
    return {name: value for name, value in record.items() if name not in groups or isinstance(value, dict)}


def _plan(plan: Plan) -> list[tuple[str, str]]:
    """Return what was planned, each point with its name."""
    number = "a number chosen by the data" if plan.k == "auto" else str(plan.k)
    clusters = "" if plan.method == "hdbscan" else f", {number} clusters"
    points = [
        ("Question", plan.question),
        ("What would count", plan.finding),
        ("Outcome", plan.outcome),
        ("Threshold", "" if plan.threshold is None else f"{plan.threshold:g}"),
        ("Clustering", f"{METHODS[plan.method]}{clusters}, seed {plan.seed}, by {plan.per}"),
        ("Taken off", listed(plan.remove)),
        ("Confounders", listed(plan.confounders)),
        ("Controls", listed(plan.controls)),
        ("Unit", plan.unit),
        ("Written", f"{plan.written[:16].replace('T', ' ')} UTC"),
    ]
    return [(name, without_folders(text)) for name, text in points if text]
