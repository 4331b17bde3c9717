"""What the page needs of a run folder, read tolerantly: what is missing or does not fit is noted."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils import plots, runs
from course_utils.analysis import (
    AnalysisError,
    Clustering,
    Evaluation,
    cluster,
    evaluate,
    faithfulness,
    reduce,
)
from course_utils.analysis.choice import Choice
from course_utils.analysis.clustering import Method
from course_utils.analysis.harmonise import Prepared, prepare
from course_utils.analysis.map_quality import Faithfulness
from course_utils.analysis.probing import Leaks, Probe
from course_utils.analysis.reduction import variance_shares
from course_utils.analysis.resampling import Stability
from course_utils.records import FILE, SHOWN
from course_utils.report.text import as_sentence, stated
from course_utils.runs.clusters import RESULT
from course_utils.runs.reading import parse

MOST_LABELS = 12
"""The most columns besides view and side that get a map of their own."""

MOST_TWINS = 5
"""So many pairs of near-duplicates are named."""

_FEWEST_FOR_A_MAP, _FEWEST_FOR_FAITHFULNESS = 3, 4

RENAMED = {name: shown for name, shown in SHOWN.items() if shown != name}
_NOT_METADATA = ("image_id", FILE, "sha256", "warnings")


@dataclass(frozen=True)
class ShownMap:
    """A map of the run, and how far to believe it.

    Attributes:
        method: `"pca"`, `"tsne"` or `"umap"`.
        points: `(N, 2)`.
        shares: the shares of variance of the two axes, of PCA alone.
        faithfulness: what it keeps; None with too few images to say.
    """

    method: str
    points: NDArray[np.float32]
    shares: list[float] | None
    faithfulness: Faithfulness | None


@dataclass(frozen=True)
class ShownProbe:
    """A probe of the run, and what stands beside it.

    Attributes:
        probe: what was found.
        groups: the column that says which woman an image is of.
        warnings: sentences on leaks and ties.
        twins: the files of near-duplicates of different women, a pair each.
        pictures: what the baselines of pictures were measured on, or nothing.
        left_out: columns that do not stand beside it, and why.
    """

    probe: Probe
    groups: str
    warnings: tuple[str, ...]
    twins: tuple[tuple[str, str], ...]
    pictures: str
    left_out: dict[str, str]


@dataclass(frozen=True)
class Run:
    """What the files of a run folder hold; N rows throughout, in the same order.

    `prepared` is what was clustered: the vectors themselves, or what `course cluster` made of them.
    `clustering` has a label for each of its rows, and `labels` one for each image.
    """

    table: pd.DataFrame
    vectors: NDArray[np.float32]
    thumbnails: list[bytes]
    pictures_note: str
    failures: pd.DataFrame
    record: dict[str, Any]
    clustering: Clustering | None = None
    prepared: Prepared | None = None
    evaluation: Evaluation | None = None
    stability: Stability | None = None
    maps: tuple[ShownMap, ...] = ()
    probes: tuple[ShownProbe, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Return the cluster (N,) of each image; None without clusters."""
        if self.clustering is None or self.prepared is None:
            return None
        return self.clustering.labels[self.prepared.row_of]

    @property
    def clusters_women(self) -> bool:
        """Return whether women were clustered, by the mean of their images, and not images."""
        return self.clustering is not None and self.clustering.params.get("per") == "woman"

    @property
    def metadata(self) -> pd.DataFrame:
        """Return the columns that clusters may turn out to follow, under the names that a reader sees."""
        kept = self.table.drop(columns=[name for name in _NOT_METADATA if name in self.table])
        return runs.as_categories(kept.rename(columns=RENAMED))

    @property
    def categories(self) -> tuple[pd.DataFrame, int]:
        """Return the columns that a picture can be coloured by, and how many more there would be.

        These are view and side, and columns of two to eight values that are not pseudonyms; each is known of
        at least two images, or there would be nothing to compare.
        """
        metadata, most = self.metadata, len(plots.MARKERS)
        metadata = metadata.loc[:, metadata.notna().sum() >= 2]
        kept = [name for name in ("view", "side") if name in metadata and metadata[name].nunique() <= most]
        others = [
            name
            for name, values in metadata.items()
            if name not in ("view", "side", "patient") and 2 <= values.nunique() <= most
        ]
        return metadata[[*kept, *others[:MOST_LABELS]]], len(others[MOST_LABELS:])


def read_run(folder: Path) -> Run:
    """Read a run folder. Raises RunError if a file that is there cannot be read."""
    run = _with_clusters(folder, Run(**vars(runs.read_run(folder))))
    return _with_probes(folder, _with_maps(folder, run))


def _with_clusters(folder: Path, run: Run) -> Run:
    """Return the run with the clusters of the folder, or with new ones, or with a note on why it has none."""
    try:
        clusters = runs.read_clusters(folder)
        why_not: str | None = "This folder held no clusters"
        if clusters is not None:
            why_not = clusters.why_unusable(run.table["image_id"].tolist(), run.vectors)
        if clusters is not None and why_not is None:
            known = {*run.table, *RENAMED, *RENAMED.values(), "cluster"}
            rows = clusters.table
            run = replace(run, table=run.table.join(rows[[each for each in rows if each not in known]]))
            return parse(folder / RESULT, lambda _: _judged(run, clusters))
        if len(run.table) in (1, 2):
            raise AnalysisError(f"clusters need at least three images; this run has {len(run.table)}.")
        made = "made some" if clusters is None else "made new ones"
        note = f"{why_not}, so this report {made}: run “course cluster” to keep them as files."
        prepared = prepare(run.vectors, run.metadata, runs.women(run.table))
        run = replace(run, prepared=prepared, clustering=cluster(run.vectors), notes=(note,))
        return _evaluated(run)
    except (AnalysisError, runs.RunError) as error:
        note = f"There are no clusters to show: {as_sentence(error)}"
        return replace(run, clustering=None, prepared=None, notes=(note,))


def _judged(run: Run, clusters: runs.Clusters) -> Run:
    """Return the run with the clusters of its folder, and what was clustered, made again."""
    stored = clusters.result
    params = stored["params"]
    whole = [params[name] for name in ("k", "dims", "standardise")] + params.get("k_searched", [])
    whole += [params[name] for name in ("n_init", "min_cluster_size", "min_samples") if name in params]
    if not all(isinstance(number, int) for number in whole):
        raise ValueError("a parameter is not a whole number")
    if stored["method"] not in get_args(Method):
        raise ValueError("there is no such method")
    remove, per = params.get("remove", []), params.get("per", "image")
    prepared = prepare(run.vectors, run.metadata, runs.women(run.table), remove=remove, per=per)
    labels = np.zeros(len(prepared.vectors), np.int64)
    labels[prepared.row_of] = of_images = clusters.table["cluster"].to_numpy()
    if not np.array_equal(labels[prepared.row_of], of_images):
        raise ValueError("the images of a woman are in several clusters")
    choice = Choice.from_dict(stored["choice"]) if stored.get("choice") else None
    found = Clustering(labels, None, params, stored["method"], stored.get("seed", 0), choice)
    again = Stability.from_dict(stored["stability"]) if stored.get("stability") else None
    run = replace(run, clustering=found, prepared=prepared, stability=again)
    if not stored.get("evaluation"):
        return _evaluated(run)
    return replace(run, evaluation=Evaluation.from_dict(stored["evaluation"]))


def _evaluated(run: Run) -> Run:
    """Return the run with its clusters judged."""
    prepared, clustering = run.prepared, run.clustering
    assert prepared is not None
    assert clustering is not None
    judged = evaluate(
        prepared.vectors, clustering, metadata=prepared.metadata, groups=prepared.groups, seed=clustering.seed
    )
    return replace(run, evaluation=judged)


def _with_maps(folder: Path, run: Run) -> Run:
    """Return the run with its maps: that of PCA, which costs nothing, and those of `course map`."""
    if len(run.table) < _FEWEST_FOR_A_MAP:
        note = f"A map needs at least three images; this run has {len(run.table)}."
        return replace(run, notes=(*run.notes, note)) if len(run.table) else run
    try:
        points = reduce(run.vectors)
    except AnalysisError as error:
        return replace(run, notes=(*run.notes, f"There is no map: {as_sentence(error)}"))
    maps = {"pca": ShownMap("pca", points, variance_shares(run.vectors, points).tolist(), None)}
    if len(points) >= _FEWEST_FOR_FAITHFULNESS:
        maps["pca"] = replace(maps["pca"], faithfulness=faithfulness(run.vectors, points, method="pca"))
    notes = list(run.notes)
    try:
        for each in runs.read_maps(folder):
            why_not = each.why_unusable(run.table["image_id"].tolist(), run.vectors)
            if why_not is not None:
                notes.append(f"{why_not}; make it again with “course map”.")
            elif each.method != "pca":
                file = folder / f"map_{each.method}.json"
                maps[each.method] = parse(file, functools.partial(_stored_map, each))
    except runs.RunError as error:
        notes.append(f"A map of this folder is not shown: {as_sentence(error)}")
    return replace(run, maps=tuple(maps.values()), notes=tuple(notes))


def _stored_map(stored: runs.Map, _: Path) -> ShownMap:
    kept = Faithfulness.from_dict(stored.result["faithfulness"])
    return ShownMap(stored.method, stored.points, None, kept)


def _with_probes(folder: Path, run: Run) -> Run:
    """Return the run with its probes; one that cannot be shown becomes a note."""
    probes, notes = [], list(run.notes)
    for path in runs.probe_files(folder):
        try:
            stored = runs.read_probe(path)
            why_not = stored.why_unusable(run.table["image_id"].tolist(), run.vectors)
            if why_not is None:
                probes.append(parse(path, functools.partial(_stored_probe, stored, run)))
            else:
                notes.append(f"{why_not}; make it again with “course probe”.")
        except runs.RunError as error:
            notes.append(f"A probe of this folder is not shown: {as_sentence(error)}")
    return replace(run, probes=tuple(probes), notes=tuple(notes))


def _stored_probe(stored: runs.StoredProbe, run: Run, _: Path) -> ShownProbe:
    result = stored.result
    found, leaks = Probe.from_dict(result["probe"]), Leaks.from_dict(result["leaks"])
    if found.target != stored.target or not isinstance(result["groups"], str):
        raise ValueError("a probe names its target and its groups")
    _check_probe(found)
    files = run.table[FILE].map(stated).tolist() if FILE in run.table else [""] * len(run.table)
    return ShownProbe(
        found,
        result["groups"],
        tuple(map(str, result["warnings"])),
        tuple((files[twin.first], files[twin.second]) for twin in leaks.twins[:MOST_TWINS]),
        str(result["pictures"]),
        {str(name): str(why) for name, why in result["left_out"].items()},
    )


def _check_probe(found: Probe) -> None:
    """Raise ValueError or KeyError if a probe cannot be told or drawn: somebody has changed its file."""
    scores = [found.score, *(one.scores[found.measure] for one in found.baselines.values())]
    if not found.sentences or not all(np.isfinite(each.value) for each in scores):
        raise ValueError("a probe has a score, and so has each of its baselines")
    if (found.kind == "number") != (not found.levels):
        raise ValueError("classes have levels, and a number has none")
    if not found.levels:
        return
    classes, curve = len(found.levels), np.array(found.reliability, float)
    if np.array(found.confusion, float).shape != (classes, classes) or not np.isfinite(found.confusion).all():
        raise ValueError("a confusion matrix has a row and a column for each class")
    if curve.ndim != 2 or curve.shape[1] != 3 or not np.isfinite(curve).all():
        raise ValueError("a reliability curve has three numbers for each point")
    if not np.isfinite(found.scores["calibration_error"].value):
        raise ValueError("a calibration error is a number")
