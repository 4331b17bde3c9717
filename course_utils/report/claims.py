"""Is a claim stronger than the figures? Each is held against the verdict, the associations and the probes."""

from __future__ import annotations

import numpy as np

from course_utils.analysis import AnalysisError, Association, ties
from course_utils.analysis.permutations import LEVEL, holm
from course_utils.records import SHOWN
from course_utils.report.evidence import ALWAYS_HELD, Evidence

_ROUNDING = 1e-9


def judge_claims(found: Evidence) -> list[str]:
    """Return a sentence for each claim that the figures do not carry, with what may be claimed instead."""
    judges = {"association": _association, "clusters": _clusters, "prediction": _prediction}
    too_strong = []
    for number, claim in enumerate(found.claims or (), start=1):
        if claim.kind == "none":
            continue
        about = SHOWN.get(claim.about, claim.about)
        why = judges[claim.kind](found, about) or _tied(found, about)
        if why:
            too_strong.append(f"Claim {number} ({claim.kind}) is stronger than the figures: {why}.")
    return too_strong


def _clusters(found: Evidence, _: str) -> str:
    if found.evaluation is None:
        return "no clusters were judged, so run course cluster first"
    if found.evaluation.conclusion == "separate clusters":
        return ""
    return (
        f"the verdict is “{found.evaluation.conclusion}”, so claim no clusters, and say what they follow, if "
        "anything"
    )


def _association(found: Evidence, about: str) -> str:
    one = found.associations.get(about)
    if one is None:
        return f"the clusters were not held against {about}, so run course cluster with it (--labels)"
    level = _threshold(found, about, LEVEL, most=True)
    p = max(one.p_holm, corrected(found, one))
    if p <= level:
        return ""
    return f"p is {p:.3f} for {about} with Holm’s correction, and may be {level:g} at most"


def corrected(found: Evidence, one: Association) -> float:
    """Return the p value of an association by Holm's correction for all columns that were tried."""
    every = list(found.associations.values())
    adjusted = holm([max(each.p_value, 1 / (each.draws + 1)) for each in every])
    return adjusted[every.index(one)] - _ROUNDING


def _prediction(found: Evidence, about: str) -> str:
    if about not in found.probes:
        return f"{about} was not probed, so run course probe --target {about}"
    probe = found.probes[about][1]
    if not probe.is_more_than_chance:
        return f"it was not shown that {about} can be read off better than by chance"
    least = _threshold(found, about, -np.inf, most=False)
    if probe.score.value < least:
        return f"a score of {probe.score.value:.2f} for {about} does not reach the {least:g} of the plan"
    if not probe.baselines:
        return f"nothing simpler stands beside the probe of {about}, so run course probe, which adds it"
    as_good = [name for name, one in probe.baselines.items() if not one.is_beaten]
    if as_good:
        return f"for {about}, the vectors were not shown to do better than {' and '.join(as_good)} alone"
    return ""


def _threshold(found: Evidence, about: str, otherwise: float, *, most: bool) -> float:
    """Return what the statistic of a column has to reach, by the plan if it is about that column."""
    plan = None if found.plan is None else found.plan.plan
    if plan is None or plan.threshold is None or SHOWN.get(plan.outcome, plan.outcome) != about:
        return otherwise
    return min(plan.threshold, otherwise) if most else max(plan.threshold, otherwise)


def _tied(found: Evidence, about: str) -> str:
    """Say which nuisance a column is tied to, so that a claim about the one may be about the other."""
    known = found.known
    planned = () if found.plan is None else found.plan.plan.confounders
    nuisances = [SHOWN.get(name, name) for name in dict.fromkeys((*planned, *ALWAYS_HELD))]
    if about not in known:
        return ""
    # A confounder may be claimed as well, and may be tied to another one.
    beside = [
        name
        for name in nuisances
        if name in known and known[name].nunique() > 1 and name not in ("patient", about)
    ]
    groups = np.arange(len(known)) if found.women is None else found.women
    try:
        tied = ties(known[about], known[beside], groups=groups)
    except AnalysisError:  # the same everywhere, or another column that nothing can be tied to
        return ""
    return f"{about} is tied to a nuisance here, for {tied[0].rstrip('.')}" if tied else ""
