"""What was decided before looking, `plan.json`, and what is claimed afterwards, `claims.json` (lesson 12).

A plan counts only if it came first. So clusters and probes keep the sha256 of the plan that lay beside them
when they were written: one that is written or changed afterwards does not have it. A clock would say less,
since copying a folder sets its files' times. Nobody can see here who looked, threw away and planned anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from course_utils import DISCLAIMER
from course_utils.files import sha256_of, write_atomic
from course_utils.provenance import now
from course_utils.runs.clusters import RESULT
from course_utils.runs.errors import RunError
from course_utils.runs.folder import PLAN
from course_utils.runs.identifying import identifies_people
from course_utils.runs.probes import probe_files
from course_utils.runs.reading import parse, read_run

CLAIMS = "claims.json"

Method = Literal["kmeans", "gmm", "ward", "hdbscan"]
Kind = Literal["none", "association", "clusters", "prediction"]


@dataclass(frozen=True)
class Plan:
    """What is asked and how, decided before any answer was seen.

    Attributes:
        question: what is asked, in words.
        finding: what would count as a finding, in words.
        method: how to cluster.
        k: how many clusters, or `"auto"`; hdbscan finds it itself.
        seed: seed of every random choice.
        outcome: the column that the question is about, such as `"density"`; empty if there is none.
        threshold: what its statistic must reach: the most that p may be, or the least that a score must be.
        confounders: columns that the clusters are held against because they might explain them.
        controls: what stands beside the result and should show nothing: nulls, negative controls, baselines.
        unit: what counts as one: permuted, split and drawn as a whole.
        remove: columns that are taken off the vectors before they are clustered.
        per: whether images are clustered, or women by the mean of their images.
        written: when, in UTC (ISO 8601); `write_plan` fills it in.
    """

    question: str
    finding: str
    method: Method
    k: int | Literal["auto"]
    seed: int
    outcome: str = ""
    threshold: float | None = None
    confounders: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    unit: str = "woman"
    remove: tuple[str, ...] = ()
    per: Literal["image", "woman"] = "image"
    written: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Plan:
        """Rebuild from what `to_dict` returned; other keys are left out.

        Raises:
            KeyError, TypeError or ValueError: it is something else.
        """
        values: dict[str, Any] = {each.name: plain[each.name] for each in fields(cls)}
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        plan = cls(**values)
        if wrong := _what_is_wrong(plan):
            raise ValueError(wrong)
        return plan


@dataclass(frozen=True)
class StoredPlan:
    """A plan as its file holds it.

    Attributes:
        plan: the plan.
        embeddings_sha256: of the vectors that it was made for.
        sha256: of the file.
    """

    plan: Plan
    embeddings_sha256: str
    sha256: str


@dataclass(frozen=True)
class Claim:
    """One thing that is said to have been found.

    Attributes:
        says: the claim as a sentence.
        kind: how much it claims: that nothing was found (`"none"`), that clusters follow a column
            (`"association"`), that there are clusters, or that a column can be read off the vectors
            (`"prediction"`).
        about: the column; empty for clusters.
    """

    says: str
    kind: Kind
    about: str = ""


def write_plan(run_folder: str | Path, plan: Plan) -> Path:
    """Write down what was decided before looking, and return the path of `plan.json`.

    The same plan a second time changes nothing, so that a cell can be run again.

    Args:
        run_folder: the folder of a run that was embedded and not analysed yet.
        plan: what was decided; its `written` is filled in.

    Raises:
        RunError: the plan says something impossible or too little, the folder holds clusters, a probe or
            another plan already, or no run.
    """
    if wrong := _what_is_wrong(plan):
        raise RunError(f"this is no plan yet: {wrong}")
    folder = Path(run_folder)
    path = folder / PLAN
    earlier = read_plan(folder)
    if earlier is not None:
        if replace(earlier, written="") == replace(plan, written=""):
            return path
        raise RunError(
            f"this folder has another plan already ({PLAN}): keep to it, and report where you had to depart "
            "from it"
        )
    if (folder / RESULT).exists() or probe_files(folder):
        raise RunError(
            "this folder was analysed already, and a plan written afterwards is none: embed anew into "
            "another folder, and plan there before you look"
        )
    head = {
        "disclaimer": DISCLAIMER,
        "embeddings_sha256": sha256_of(read_run(folder).vectors.tobytes()),
    }
    content = {**head, **replace(plan, written=now()).to_dict()}
    write_atomic(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def read_plan(run_folder: str | Path) -> Plan | None:
    """Read the plan of a run folder, None if there is none; RunError if the file is damaged."""
    stored = read_stored_plan(run_folder)
    return None if stored is None else stored.plan


def read_stored_plan(run_folder: str | Path) -> StoredPlan | None:
    """Read the plan of a run folder and what ties it to the run; like `read_plan` otherwise."""
    path = Path(run_folder) / PLAN
    return parse(path, _read_plan) if path.is_file() else None


def write_claims(run_folder: str | Path, claims: Iterable[Claim]) -> Path:
    """Write what is claimed of a run in place of what was claimed before; return the path of `claims.json`.

    Raises:
        RunError: a claim says nothing, is of no kind, or names no column where it needs one.
    """
    every = [*claims]
    for number, claim in enumerate(every, start=1):
        if wrong := _what_is_wrong_with(claim):
            raise RunError(f"claim {number}: {wrong}")
    content = {"disclaimer": DISCLAIMER, "claims": [asdict(claim) for claim in every]}
    path = Path(run_folder) / CLAIMS
    write_atomic(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def read_claims(run_folder: str | Path) -> tuple[Claim, ...] | None:
    """Read what is claimed of a run, None if nothing was written; RunError if the file is damaged."""
    path = Path(run_folder) / CLAIMS
    return parse(path, _read_claims) if path.is_file() else None


def _read_plan(path: Path) -> StoredPlan:
    content = path.read_bytes()
    plain = json.loads(content.decode())
    plan = Plan.from_dict(plain)
    datetime.fromisoformat(plan.written)
    if not isinstance(plain["embeddings_sha256"], str):
        raise ValueError("a plan names its embeddings")
    return StoredPlan(plan, plain["embeddings_sha256"], sha256_of(content))


def _read_claims(path: Path) -> tuple[Claim, ...]:
    claims = tuple(Claim(**one) for one in json.loads(path.read_text(encoding="utf-8"))["claims"])
    if any(map(_what_is_wrong_with, claims)):
        raise ValueError("this is not a list of claims")
    return claims


def _what_is_wrong(plan: Plan) -> str:
    """Return why this is no plan, or nothing if it is one."""
    for name in ("question", "finding", "unit"):
        if not isinstance(getattr(plan, name), str) or not getattr(plan, name).strip():
            return f"its {name} is empty"
    columns = [plan.outcome, *_words(plan.confounders), *_words(plan.remove)]
    lists = {"confounders": plan.confounders, "controls": plan.controls, "remove": plan.remove}
    for name, words in lists.items():
        if not isinstance(words, tuple) or not all(isinstance(each, str) and each for each in words):
            return f'its {name} have to be a tuple of names, such as ("view", "side")'
    if plan.method not in get_args(Method):
        return f"method={plan.method!r}: it is one of {', '.join(get_args(Method))}"
    if plan.k != "auto" and not (_is_whole(plan.k) and plan.k >= 2):
        return f'k={plan.k!r}: it is a whole number from 2, or "auto"'
    if plan.method == "hdbscan" and plan.k != "auto":
        return 'k: hdbscan finds the number of clusters itself, so k="auto"'
    if not _is_whole(plan.seed) or plan.seed < 0:
        return f"seed={plan.seed!r}: it is a whole number from 0"
    if plan.per not in ("image", "woman"):
        return f"per={plan.per!r}: it is image or woman"
    if not isinstance(plan.outcome, str) or not isinstance(plan.written, str):
        return "its outcome is the name of a column, or empty"
    if plan.threshold is not None and not (
        isinstance(plan.threshold, int | float)
        and not isinstance(plan.threshold, bool)
        and abs(plan.threshold) <= sys.float_info.max
    ):
        return f"threshold={plan.threshold!r}: it is a number, or None"
    if any(map(identifies_people, columns)):
        return "a column that it names looks as if it identified people"
    return ""


def _what_is_wrong_with(claim: Claim) -> str:
    """Return why this is no claim, or nothing if it is one."""
    if not isinstance(claim.says, str) or not claim.says.strip():
        return "it says nothing"
    if claim.kind not in get_args(Kind):
        return f"kind={claim.kind!r}: it is one of {', '.join(get_args(Kind))}"
    if not isinstance(claim.about, str):
        return "about is the name of a column, or empty"
    if claim.kind in ("association", "prediction") and not claim.about:
        return "about is empty: which column is it about?"
    if identifies_people(claim.about):
        return "the column that it is about looks as if it identified people"
    return ""


def _words(names: Any) -> list[str]:
    return [each for each in names if isinstance(each, str)] if isinstance(names, tuple) else []


def _is_whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
