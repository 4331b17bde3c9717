"""The sentences and tables of the page, free of folders of this machine."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from course_utils.analysis.associations import cramers_v
from course_utils.analysis.clustering import NOISE
from course_utils.analysis.evaluation import FEW, two_decimals
from course_utils.report.reading import Run
from course_utils.report.text import listed, without_folders

_NUMBERS = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six"}
_WORTH_TELLING = 0.1
_TIED, _MOST_TIED = 0.5, 3
_FEWEST_PER_CELL = 5  # with fewer, V is large by chance
METHODS = {
    "kmeans": "k-means",
    "gmm": "a mixture of Gaussians",
    "ward": "Ward’s method",
    "hdbscan": "HDBSCAN",
}


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
        into = f"{params['k']} cluster{'' if params['k'] == 1 else 's'}{chosen}"
        noise = int((run.clustering.labels == NOISE).sum())
        left = f"; {noise} {'belongs' if noise == 1 else 'belong'} to none (noise)" if noise else ""
        if params.get("remove"):
            sentences.append(f"Taken off the embeddings: {listed(params['remove'])}.")
        if run.clusters_women:
            sentences.append("What was clustered is the mean of each woman’s images.")
        sentences.append(
            f"PCA reduced the embeddings to {params['dims']} dimensions, and "
            f"{METHODS[run.clustering.method]} grouped them into {into}{left}."
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
        shown.append((str(run.evaluation.k), "cluster made" if run.evaluation.k == 1 else "clusters made"))
        if run.evaluation.nulls and run.evaluation.silhouette is not None:
            beside = [value for null in run.evaluation.nulls for value in null.defined(run.evaluation.k)]
            highest = f"up to {two_decimals(max(beside))}" if beside else "none is found"
            words = f"silhouette; without clusters {highest}"
            shown.append((two_decimals(run.evaluation.silhouette), words))
    return shown


def headline(run: Run) -> str:
    """Return the verdict in a few words, as the figures have it."""
    if run.evaluation is None:
        return ""
    found = run.evaluation
    separate = len(found.valley.parts) if found.valley is not None else 0
    return {
        "separate clusters": f"{_NUMBERS.get(separate, separate)} separate clusters",
        "more than a cloud": "More than a cloud, but no separate clusters",
        "no better than a cloud": "No clusters: a cloud gives the same",
        "too few": "Too few to judge",
        "not judged": "Not judged",
        "nothing to judge": "Nothing to judge",
    }[found.conclusion]


def in_plain_words(run: Run) -> str:
    """Say what the verdict means to somebody who does not read p-values; nothing where it says so itself."""
    if run.evaluation is None:
        return ""
    others = "women who" if run.evaluation.unit == "women" else "images that"
    return {
        "separate clusters": f"The gap between them shows again in {others} had no part in making them. So "
        "the network does tell these images apart; that does not say why.",
        "more than a cloud": "The images are spread less evenly than a plain cloud, but "
        f"{others} had no part in making the clusters show no gap between them.",
        "no better than a cloud": "The same method finds clusters just as good in data that have none.",
        "too few": f"So few {run.evaluation.unit} cannot show whether the clusters are really there.",
    }.get(run.evaluation.conclusion, "")


def on_the_map(run: Run) -> str:
    """Say how what was clustered differs from what the maps show; nothing where it does not."""
    params = {} if run.clustering is None else run.clustering.params
    made_of = "the mean of each woman’s images" if run.clusters_women else "the embeddings"
    taken = listed(params.get("remove") or [])
    if not (taken or run.clusters_women):
        return ""
    off = f", with {taken} taken off" if taken else ""
    return without_folders(
        f"The maps show the embeddings of the images as they are. What was clustered is {made_of}{off}: a "
        "cluster may lie scattered here and hold together there."
    )


def points_to_take_away(run: Run, planned: str = "") -> list[str]:
    """Return what the clusters follow, the closest first, and what to make of it.

    That they follow `planned`, the column that was asked about beforehand, is no news that was known already.
    """
    if run.evaluation is None:
        return []
    known = run.evaluation.associations
    measurable = [one for one in known if one.is_more_than_chance]
    followed = [one for one in measurable if one.statistic >= _WORTH_TELLING]
    points = [one.sentence for one in followed]
    columns = ", ".join(one.column for one in known)
    if any(one.column != planned for one in followed):
        points.append(
            "What the clusters follow was known already. Before you believe in a discovery, ask what is "
            "left of it among images that are alike in this respect (course cluster --remove takes a column "
            "off)."
        )
    elif measurable and not followed:
        points.append(f"The clusters hardly follow what is known about the images ({columns}).")
    elif known and not followed:
        points.append(f"The clusters follow nothing that is known about the images ({columns}).")
    return [without_folders(point) for point in points]


def limits(run: Run) -> list[str]:
    """Return what these data cannot support, from what they are."""
    found = run.evaluation
    if found is None:
        return []
    points = []
    if found.unit == "images":
        points.append(
            "No file says which woman an image is of, so each image was counted as independent. If several "
            "are of one woman, the p values are too small."
        )
    elif found.women < FEW:
        women = "1 woman" if found.women == 1 else f"{found.women} women"
        points.append(f"{women} cannot speak for others: repeat this on women who have no part in it.")
    compared = [one.column for one in found.associations]
    if compared:
        points.append(
            f"The clusters were held against {listed(compared)}, and nothing else. What no column names, "
            "say the machine, the site or the year, cannot be seen here, and may be what they follow."
        )
    else:
        points.append(
            "Nothing is known that the clusters could be held against, so nobody can say what they follow."
        )
    points += [
        f"{one} and {other} go together in these images (Cramér’s V {two_decimals(v)}): what follows the one "
        "follows the other, and this run cannot tell them apart."
        for one, other, v in _tied(run, [each.column for each in found.associations if each.levels])
    ]
    if found.conclusion != "nothing to judge":
        points.append(
            "One run is no replication. A step that was chosen by looking at its result, such as k, the "
            "method or what was taken off, has to give the same result once more on women never seen."
        )
    read = [each.probe.target for each in run.probes if each.probe.is_more_than_chance]
    if read:
        points.append(
            f"That a model can read {listed(read)} off the vectors makes no clusters of it, and does not "
            "say that it could be read off images from elsewhere."
        )
    if len(run.probes) > 1:
        points.append(
            f"{len(run.probes)} columns were probed, each by itself: the more are tried, the more can be "
            "read by chance."
        )
    points.append("The vectors say how pictures look to a network. They say nothing about anybody’s health.")
    return [without_folders(point) for point in points]


def _tied(run: Run, columns: list[str]) -> list[tuple[str, str, float]]:
    """Return pairs of compared columns of categories that go together, the closest first."""
    known = run.prepared.metadata if run.prepared is not None else run.metadata
    columns = [name for name in columns if name in {*known}]
    pairs = []
    for i, one in enumerate(columns):
        for other in columns[i + 1 :]:
            both = known[[one, other]].dropna().astype(str)
            table = pd.crosstab(both[one], both[other]).to_numpy()
            if min(table.shape, default=0) >= 2 and len(both) >= _FEWEST_PER_CELL * table.size:
                pairs.append((one, other, cramers_v(table)))
    return sorted((pair for pair in pairs if pair[2] >= _TIED), key=lambda pair: -pair[2])[:_MOST_TIED]


def association_rows(run: Run) -> list[list[str]]:
    """Return a row for each column that the clusters were compared with."""
    if run.evaluation is None:
        return []
    return [
        [
            without_folders(one.column),
            str(one.images),
            "" if one.women is None else str(one.women),
            _levels(one.levels) if one.levels else "numbers",
            f"{one.statistic_name} {two_decimals(one.statistic)}",
            ""
            if one.low is None or one.high is None
            else f"{two_decimals(one.low)} to {two_decimals(one.high)}",
            f"{one.p_holm:.3f}",
            without_folders(f"{one.finding}."),
        ]
        for one in run.evaluation.associations
    ]


def skipped_rows(run: Run) -> list[tuple[str, str]]:
    """Return each column that the clusters could not be compared with, and why."""
    skipped = run.evaluation.skipped if run.evaluation is not None else {}
    return [(without_folders(column), without_folders(reason)) for column, reason in skipped.items()]


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
        how = {name: value for name, value in run.clustering.to_dict().items() if name != "choice"}
        shown.insert(3, ("Clustering", _flat(how)))
    return [(title, rows) for title, rows in shown if rows]


def _flat(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return nested dicts as one list of names and texts, without the outer name, which is the heading."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value)
        else:
            listed = isinstance(value, list | tuple)
            shown = ", ".join(map(str, value)) or "nothing" if listed else _value(name, value)
            rows.append((name.removesuffix("_s").replace("_", " "), without_folders(shown)))
    return rows


def _value(name: str, value: Any) -> str:
    if name == "pretrained":
        return "yes" if value else "NO: RANDOM weights"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
