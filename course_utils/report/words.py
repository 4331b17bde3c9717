"""The sentences and tables of the page, free of folders of this machine."""

from collections import Counter
from typing import Any

import numpy as np

from course_utils.analysis.evaluation import two_decimals
from course_utils.report.reading import Run
from course_utils.report.text import without_folders


def summary(run: Run) -> str:
    """Say in a few sentences what was run on what."""
    record, weights = run.record, run.record.get("weights") or {}
    found = (record.get("counts") or {}).get("found", len(run.table) + len(run.failures))
    day = f"On {record['started'][:10]}, " if record.get("started") else ""
    network = record.get("backbone", "a network that the run does not name")
    if weights.get("pretrained") is False:
        network += " with RANDOM weights"
    elif weights.get("id"):
        network += f" (weights {weights['id']})"
    where = f" on {record['device'].upper()}" if record.get("device") else ""
    sentences = [
        f"{day}{len(run.table)} of {found} {'file was' if found == 1 else 'files were'} read, brought to the "
        f"same size and orientation, and passed through {network}{where}."
    ]
    if len(run.table):
        sentences.append(f"Each picture became a vector of {run.vectors.shape[1]} numbers, its embedding.")
    if run.clustering is not None:
        params = run.clustering.params
        searched = params.get("k_searched", [])
        chosen = f", chosen from {searched[0]} to {searched[-1]}" if len(searched) > 1 else ""
        method = {"kmeans": "k-means"}.get(run.clustering.method, run.clustering.method)
        sentences.append(
            f"PCA reduced the embeddings to {params['dims']} dimensions, and {method} grouped them into "
            f"{params['k']} clusters{chosen}."
        )
    return without_folders(" ".join(sentences))


def tiles(run: Run) -> list[tuple[str, str]]:
    """Return the numbers at the top of the page, each with its words."""
    shown = [
        (str(len(run.table)), "image embedded" if len(run.table) == 1 else "images embedded"),
        (str(len(run.failures)), "file set aside" if len(run.failures) == 1 else "files set aside"),
    ]
    if len(run.table):
        shown.append((str(run.vectors.shape[1]), "numbers in an embedding"))
    if run.evaluation is not None:
        shown.append((str(run.evaluation.k), "clusters"))
        if run.evaluation.silhouette is not None:
            highest = max(max(null.silhouettes[run.evaluation.k]) for null in run.evaluation.nulls)
            words = f"silhouette; without clusters up to {two_decimals(highest)}"
            shown.append((two_decimals(run.evaluation.silhouette), words))
    return shown


def points_to_take_away(run: Run) -> list[str]:
    """Return the sentences to take away, strongest first."""
    points = []
    if run.evaluation is not None:
        points.append(run.evaluation.verdict)
        known = run.evaluation.associations
        measurable = [one for one in known if one.p_value <= 0.05]
        followed = [one for one in measurable if one.ari >= 0.1]
        points += [one.sentence for one in followed]
        columns = ", ".join(one.column for one in known)
        if followed:
            points.append(
                "What the clusters follow was known already. Before you believe in a discovery, ask what is "
                "left of it among images that are alike in this respect."
            )
        elif measurable:
            points.append(f"The clusters hardly follow what is known about the images ({columns}).")
        elif known:
            points.append(f"The clusters follow nothing that is known about the images ({columns}).")
    return [without_folders(point) for point in points]


def association_rows(run: Run) -> list[list[str]]:
    """Return a row for each column that the clusters were compared with."""
    if run.evaluation is None:
        return []
    return [
        [
            without_folders(one.column),
            str(one.rows),
            _levels(one.levels),
            two_decimals(one.ari),
            f"{one.p_value:.3f}",
            without_folders(one.sentence.split(" (ARI")[0] + "."),
        ]
        for one in run.evaluation.associations
    ]


def _levels(levels: dict[str, int]) -> str:
    if len(levels) > 6:
        return f"{len(levels)} different values"
    return without_folders(", ".join(f"{value} {count}" for value, count in levels.items()))


def warning_rows(run: Run) -> list[tuple[str, int]]:
    """Return each warning of the files once, with its number of images, the most frequent first."""
    if "warnings" not in run.table:
        return []
    counts: Counter[str] = Counter()
    for value in run.table["warnings"]:
        lines = value.split("\n") if isinstance(value, str) else value if np.iterable(value) else []
        counts.update({str(line) for line in lines if line})
    return [
        (without_folders(line), count)
        for line, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]


def provenance_groups(run: Run) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the whole run record in groups of (name, value); what has no group goes under Other."""
    record = {name: value for name, value in run.record.items() if name != "disclaimer"}
    groups = {
        "Run": ("command", "started", "finished", "git_commit", "deterministic"),
        "Network": ("backbone", "weights", "adapter", "precision", "engine", "batch_size"),
        "Preprocessing": ("preprocessing",),
        "Machine": ("device", "machine"),
        "Versions": ("versions",),
        "Seeds": ("seeds",),
        "Counts": ("counts",),
        "Seconds": ("timings",),
    }
    placed = {name for names in groups.values() for name in names}
    groups["Other"] = tuple(name for name in record if name not in placed)
    shown = [
        (title, _flat({name: record[name] for name in names if name in record}))
        for title, names in groups.items()
    ]
    if run.clustering is not None:
        shown.insert(3, ("Clustering", _flat(run.clustering.to_dict())))
    return [(title, rows) for title, rows in shown if rows]


def _flat(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return nested dicts as one list of names and texts, without the outer name, which is the heading."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value)
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else _value(name, value)
            rows.append((name.replace("_", " "), without_folders(shown)))
    return rows


def _value(name: str, value: Any) -> str:
    if name == "pretrained":
        return "yes" if value else "NO: RANDOM weights"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
