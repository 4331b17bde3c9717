"""Plan a study, balance its books, and say no more than it carries (lesson 12).

The lesson computes with these until the student's own functions are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import comb, factorial, prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils.analysis import Evaluation, Probe, cluster, harmonise
from course_utils.analysis.associations import adjusted_rand
from course_utils.analysis.harmonise import confounding, prepare
from course_utils.imaging.datasets import broken_samples, real_mammograms, sample_cohort, sample_run
from course_utils.runs import Extraction, Plan, probe_files, read_claims, read_clusters, read_probe
from course_utils.runs.plans import read_stored_plan

Array = NDArray[Any]

PLANNED = Plan(
    question="Do clusters of women, by the mean of their images without view and vendor, follow density?",
    finding="ARI of four clusters with density at least 0.3, and p at most 0.05 with Holm's correction.",
    method="kmeans",
    k=4,
    seed=0,
    outcome="density",
    threshold=0.05,
    confounders=("vendor", "thickness"),
    controls=("Gaussian clouds", "permuted columns", "stability", "left minus right"),
    unit="woman",
    remove=("view", "vendor"),
    per="woman",
)
"""What the course itself decides, unless the student's plan is right (exercise 12.3)."""


_WRONG = ("truncated.dcm", "tomosynthesis.dcm", "other_modality.dcm")


def first_archive() -> pd.DataFrame:
    """Return `path` and `name` of eight films, 24 synthetic mammograms, and three files that are neither."""
    films, synthetic, broken = real_mammograms(), sample_cohort(), broken_samples()
    wrong = broken[broken["file"].isin(_WRONG)]
    case = films["case"].replace("malign", "malignant")
    names = ("films/" + case + "_" + films["laterality"] + "_" + films["view"] + ".dcm").tolist()
    names += [f"synthetic/{file}" for file in (*synthetic["file"], *wrong["file"])]
    return pd.DataFrame({"path": [*films["path"], *synthetic["path"], *wrong["path"]], "name": names})


def unbalanced(
    given: Sequence[str], embedded: Sequence[str], failures: pd.DataFrame
) -> tuple[list[str], list[str], list[str]]:
    """Return files that are in no table, that are counted more than once, and that failed for no reason.

    Args:
        given: the names of the files that went in.
        embedded: the names in the table of embeddings.
        failures: the table of failures, with the columns `file` and `reason`.
    """
    times = Counter([*embedded, *failures["file"]])
    silent = failures["reason"].fillna("").str.strip() == ""
    return (
        sorted(set(given) - set(times)),
        sorted(file for file, count in times.items() if count > 1),
        sorted(failures["file"][silent]),
    )


def least_p(classes: Array) -> float:
    """Return the share of all ways to deal out classes `(W,)` to W women that make the same groups."""
    sizes = list(Counter(np.asarray(classes).tolist()).values())
    deals = prod(comb(sum(sizes[i:]), size) for i, size in enumerate(sizes))
    return prod(map(factorial, Counter(sizes).values())) / deals


def carried(found: Mapping[str, float]) -> str:
    """Return the most that some figures carry: `"clusters"`, `"association"` or `"none"` (exercise 12.4)."""
    if found["valley_p"] <= 0.05:
        return "clusters"
    shown = found["p"] * found["columns"] <= 0.05 and found["low"] > found["chance"]
    return "association" if shown and found["tied"] < 0.25 else "none"


def on_methods(record: Mapping[str, Any], women: int) -> str:
    """Return what was run on what in a sentence, from a run record (`run.json`) as a dict."""
    weights, counts = record["weights"], record["counts"]
    kind = "weights" if weights["pretrained"] else "RANDOM weights"
    return (
        f"{counts['embedded']} images of {women} women were embedded with {record['backbone']} ({kind} "
        f"{weights['id']}, {record['precision']}); {counts['failed']} files failed."
    )


def pairs_parted(count: int = 100) -> list[int]:
    """Return of how many of their eight images two clusters say rightly which of two women they are of.

    The pairs are drawn at random from sixty synthetic women without a lesion, with four images each. The mean
    of each view is subtracted, as it is from the films.
    """
    sixty = Extraction.read(sample_run())
    keys, view = sixty.table["patient_key"], sixty.table[["view"]]
    rng, right = np.random.default_rng(0), []
    for _ in range(count):
        pair = rng.choice(keys.unique(), 2, replace=False)
        rows = np.flatnonzero(keys.isin(pair))
        off = harmonise(sixty.vectors[rows].astype(float), view.iloc[rows].reset_index(drop=True), ["view"])
        same = int((cluster(off, k=2).labels == (keys.iloc[rows] == pair[0])).sum())
        right.append(max(same, len(rows) - same))
    return right


def studies_of(
    women_each: int, vectors: Array, known: pd.DataFrame, *, count: int = 100
) -> tuple[Array, Array]:
    """Draw small studies from a large one, and ask each how closely four clusters follow density.

    In each, density and vendor are crossed. View and vendor are taken off, a woman is the mean of her images.

    Args:
        women_each: how many women a study has, a multiple of twelve.
        vectors: `(N, D)`, one row per image.
        known: N rows with the columns `woman`, `view`, `vendor` and `density`.
        count: how many studies.

    Returns:
        The adjusted Rand indices `(count,)` with density, and those with density dealt out to the women anew.
    """
    told = known.groupby("woman").first()
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        hers = told.groupby(["density", "vendor"]).sample(women_each // 12, random_state=rng).index
        rows = np.flatnonzero(known["woman"].isin(hers))
        part = known.iloc[rows].reset_index(drop=True)
        study = prepare(vectors[rows], part, part["woman"], remove=["view", "vendor"], per="woman")
        labels = cluster(study.vectors, k=4).labels
        codes = np.unique(study.metadata["density"], return_inverse=True)[1]
        found.append([_agreement(labels, codes), _agreement(labels, rng.permutation(codes))])
    with_density, with_none = np.array(found).T
    return with_density, with_none


def _agreement(labels: Array, codes: Array) -> float:
    table = np.zeros((int(labels.max()) + 1, int(codes.max()) + 1), np.int64)
    np.add.at(table, (labels, codes), 1)
    return adjusted_rand(table)


def figures_of(judged: Evaluation, column: str, known: pd.DataFrame) -> dict[str, float]:
    """Return the figures on which a claim about a column rests (exercise 12.4).

    Args:
        judged: what became of the clusters.
        column: what the claim is about.
        known: a row for each woman, with the column and whatever else it may go with.
    """
    one = next(each for each in judged.associations if each.column == column)
    clouds = [value for null in judged.nulls for value in null.defined(judged.k)]
    valley = None if judged.valley is None else judged.valley.p_value
    others = [str(name) for name in known if name != column and known[name].nunique() > 1]
    shares = [confounding(known, [name], [column]).get(column, 0.0) for name in others]
    found: dict[str, float | None] = {
        "p": one.p_value,
        "columns": one.columns,
        "low": one.low,
        "chance": 0.0,
        "silhouette": judged.silhouette,
        "of_clouds": max(clouds, default=None),
        "valley_p": valley,
        "tied": max(shares, default=0.0),
    }
    worst = {"low": -1.0, "of_clouds": 1.0, "valley_p": 1.0, "silhouette": 0.0}
    return {name: round(worst[name] if value is None else value, 4) for name, value in found.items()}


def files_say(folder: str | Path) -> dict[str, str]:
    """Return what the files of a run folder say, in a few words each, for somebody who judges the run."""
    folder = Path(folder)
    extraction, clusters, stored = Extraction.read(folder), read_clusters(folder), read_stored_plan(folder)
    if clusters is None or stored is None:
        raise ValueError("there are no clusters, or no plan, in this folder")
    judged, counts = Evaluation.from_dict(clusters.result["evaluation"]), extraction.record.counts
    reasons = (extraction.failures["reason"].str.strip() != "").sum()
    kept = clusters.result.get("plan_sha256") == stored.sha256
    return {
        "the plan that the clusters remember": "this one" if kept else "another one",
        "method and k, planned": f"{stored.plan.method}, {stored.plan.k}",
        "method and k, run": f"{clusters.result['method']}, {clusters.result['params']['k']}",
        "files found": str(counts["found"]),
        "rows": str(len(extraction.table)),
        "failures, with a reason": f"{len(extraction.failures)}, {reasons}",
        "planned to be held against": ", ".join(stored.plan.confounders),
        "held against": ", ".join(one.column for one in judged.associations),
        "counted as one": f"{judged.women} {judged.unit}",
        "silhouette": f"{judged.silhouette:.2f}",
        "beside it": ", ".join(null.name for null in judged.nulls) or "nothing",
        "verdict": judged.conclusion,
        **_probes_say(folder),
        **_claims_say(folder),
    }


def _probes_say(folder: Path) -> dict[str, str]:
    said = {}
    for path in probe_files(folder):
        stored = read_probe(path)
        found = Probe.from_dict(stored.result["probe"])
        beside = {name: each.scores[found.measure].value for name, each in found.baselines.items()}
        score = found.score
        said[f"probe of {found.target}"] = f"{score.value:.2f} ({score.low:.2f} to {score.high:.2f})"
        said["beside it, in the same folds"] = ", ".join(f"{n} {value:.2f}" for n, value in beside.items())
    return said


def _claims_say(folder: Path) -> dict[str, str]:
    claims = read_claims(folder) or ()
    return {f"claim {i}": f"{one.kind}: {one.says}" for i, one in enumerate(claims, start=1)}
