"""Seven run folders with one sin each, and an honest one to compare them with (lesson 12).

The first 24 women of the shipped cohort are planned, clustered, probed and reported on as the lesson does it;
then one thing is done that people do. `check_report` finds it, and nothing in the honest run.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils.analysis import Clustering, Stability, cluster, evaluate, leaks, probe, stability
from course_utils.analysis.harmonise import prepare
from course_utils.files import write_atomic
from course_utils.imaging.datasets import broken_samples, sample_run
from course_utils.imaging.thumbnails import read_pictures
from course_utils.runs import (
    Claim,
    Extraction,
    Plan,
    compared_columns,
    women,
    write_claims,
    write_clusters,
    write_plan,
    write_probe,
)
from course_utils.runs.folder import FAILURES, PLAN

WOMEN = 24
"""So many women are enough for a verdict, and cost two seconds."""

PLANNED = Plan(
    question="Do the clusters of these mammograms follow breast density, once the view is taken off?",
    finding="The clusters agree with density better than permuted densities do, p at most 0.05 with Holm's "
    "correction, and follow neither side nor vendor. Clusters are claimed only if a valley parts them.",
    method="kmeans",
    k=2,
    seed=0,
    outcome="density",
    threshold=0.05,
    confounders=("view", "side", "vendor"),
    controls=("gaussian clouds", "permuted columns", "mean gray"),
    remove=("view",),
)
"""What was decided before any of these runs was looked at."""

HONEST = (
    Claim("The clusters follow density and not the vendor.", "association", "density"),
    Claim("No separate clusters were found.", "none"),
)
"""What the figures of these runs carry."""


@dataclass(frozen=True)
class _Made:
    """A run as it is written down, file by file."""

    extraction: Extraction
    known: pd.DataFrame
    labels: Any
    clusters: dict[str, Any]
    probe: dict[str, Any]
    claims: tuple[Claim, ...] = HONEST


def honest_run(folder: str | Path) -> Path:
    """Write a run that keeps every rule, and return its folder."""
    return _write(_honest(), Path(folder))


def sinful_run(number: int, folder: str | Path) -> Path:
    """Write a run that breaks one rule, and return its folder.

    Args:
        number: 1 to 7.
        folder: where to, new or empty.
    """
    if number not in _COMMIT:
        raise ValueError(f"there is no sin {number!r}: they are 1 to {len(_COMMIT)}")
    return _COMMIT[number](_honest(), Path(folder))


def _plan_changed_afterwards(made: _Made, folder: Path) -> Path:
    _write(made, folder)
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    plan["finding"] = "The clusters agree with density, or with anything else that is known, p at most 0.1."
    write_atomic(folder / PLAN, (json.dumps(plan, indent=2) + "\n").encode())
    return folder


def _failures_without_reasons(made: _Made, folder: Path) -> Path:
    _write(made, folder)
    failures = made.extraction.failures.head(1).assign(reason="")
    failures.to_csv(folder / FAILURES, index=False)
    return folder


def _vendor_never_looked_at(made: _Made, folder: Path) -> Path:
    known = made.known.drop(columns="vendor")
    return _write(replace(made, known=known, clusters=_clusters(known)[1]), folder)


def _silhouette_without_nulls(made: _Made, folder: Path) -> Path:
    return _write(replace(made, clusters=_clusters(made.known, method=False)[1]), folder)


def _judged_by_image(made: _Made, folder: Path) -> Path:
    return _write(replace(made, clusters=_clusters(made.known, by_woman=False)[1]), folder)


def _clusters_claimed(made: _Made, folder: Path) -> Path:
    claim = Claim("Mammograms fall into two kinds, and these are separate clusters.", "clusters")
    return _write(replace(made, claims=(*HONEST[:1], claim)), folder)


def _prediction_claimed(made: _Made, folder: Path) -> Path:
    claim = Claim("The network predicts density.", "prediction", "density")
    return _write(replace(made, claims=(*HONEST, claim)), folder)


_COMMIT: dict[int, Callable[[_Made, Path], Path]] = {
    1: _plan_changed_afterwards,
    2: _failures_without_reasons,
    3: _vendor_never_looked_at,
    4: _silhouette_without_nulls,
    5: _judged_by_image,
    6: _clusters_claimed,
    7: _prediction_claimed,
}


def _write(made: _Made, folder: Path) -> Path:
    """Write a run in the order in which it has to be made."""
    made.extraction.write(folder)
    write_plan(folder, PLANNED)
    write_clusters(folder, made.extraction, made.labels, made.known, made.clusters)
    write_probe(folder, made.extraction, "density", made.probe)
    write_claims(folder, made.claims)
    return folder


@functools.cache
def _honest() -> _Made:
    extraction, known = _women()
    labels, clusters = _clusters(known)
    return _Made(extraction, known, labels, clusters, _probe(extraction, known))


@functools.cache
def _women() -> tuple[Extraction, pd.DataFrame]:
    """Return the run of the first women, with two files that failed, and what is known of the images."""
    shipped, truth = Extraction.read(sample_run()), pd.read_csv(sample_run() / "manifest.csv")
    keys = shipped.table["patient_key"]
    rows = np.flatnonzero(keys.isin(keys.unique()[:WOMEN]))
    broken = broken_samples().head(2)
    failures = pd.DataFrame({"file": broken["file"], "stage": "read", "reason": broken["reason"]})
    counts = {
        "found": len(rows) + 2,
        "embedded": len(rows),
        "from_store": 0,
        "computed": len(rows),
        "failed": 2,
    }
    table = shipped.table.iloc[rows].reset_index(drop=True)
    extraction = Extraction(
        shipped.vectors[rows],
        table,
        failures,
        replace(shipped.record, counts=counts),
        [shipped.thumbnails[row] for row in rows],
    )
    density = truth["density"].map({"a": "a or b", "b": "a or b", "c": "c or d", "d": "c or d"})
    told = truth.assign(density=density).iloc[rows].reset_index(drop=True)[["density", "vendor"]]
    return extraction, compared_columns(table).join(told)


def _clusters(
    known: pd.DataFrame, *, method: bool = True, by_woman: bool = True
) -> tuple[Any, dict[str, Any]]:
    """Return the labels and what `course cluster` would keep of them.

    Args:
        known: what the clusters are held against.
        method: whether the method is told, which the nulls need.
        by_woman: whether the woman is the unit.
    """
    vectors, whose, found, again = _clustering()
    judged = evaluate(
        vectors,
        found if method else found.labels,
        metadata=known,
        groups=whose if by_woman else None,
        seed=PLANNED.seed,
    )
    result = {**found.to_dict(), "evaluation": judged.to_dict(), "stability": again.to_dict()}
    result["params"] = {**result["params"], "remove": [*PLANNED.remove], "per": PLANNED.per}
    return found.labels, result


@functools.cache
def _clustering() -> tuple[NDArray[np.floating], pd.Series, Clustering, Stability]:
    """Return what was clustered, whose each row is, its clusters, and whether they come back."""
    extraction, known = _women()
    whose = women(extraction.table)
    assert whose is not None
    vectors = prepare(extraction.vectors, known, whose, remove=PLANNED.remove).vectors
    found = cluster(vectors, PLANNED.method, k=PLANNED.k, seed=PLANNED.seed)
    again = stability(vectors, PLANNED.method, groups=whose, k=PLANNED.k, runs=5, seed=PLANNED.seed)
    return vectors, whose, found, again


def _probe(extraction: Extraction, known: pd.DataFrame) -> dict[str, Any]:
    """Return what `course probe --target density` would keep."""
    whose, pictures = women(extraction.table), read_pictures(extraction.thumbnails)
    assert whose is not None
    assert pictures is not None
    beside: dict[str, Any] = {
        "mean gray": pictures.mean_gray,
        "histogram": pictures.histogram,
        "vendor": known["vendor"],
    }
    found = probe(extraction.vectors, known["density"], groups=whose, baselines=beside, seed=PLANNED.seed)
    leaky = leaks(extraction.vectors, groups=whose, y=known["density"], seed=PLANNED.seed)
    return {
        "groups": "patient",
        "probe": found.to_dict(),
        "leaks": leaky.to_dict(),
        "warnings": list(leaky.warnings),
        "left_out": {},
        "pictures": "",
    }
