"""What the page needs of a run folder, read tolerantly: what is missing or does not fit is noted."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils import plots, runs
from course_utils.analysis import AnalysisError, Clustering, Evaluation, cluster, evaluate
from course_utils.records import FILE, SHOWN
from course_utils.report.text import as_sentence
from course_utils.runs.clusters import RESULT
from course_utils.runs.reading import parse

MOST_LABELS = 12
"""The most columns besides view and side that get a map of their own."""

RENAMED = {name: shown for name, shown in SHOWN.items() if shown != name}
_NOT_METADATA = ("image_id", FILE, "sha256", "warnings")


@dataclass(frozen=True)
class Run:
    """What the files of a run folder hold; N rows throughout, in the same order."""

    table: pd.DataFrame
    vectors: NDArray[np.float32]
    thumbnails: list[bytes]
    pictures_note: str
    failures: pd.DataFrame
    record: dict[str, Any]
    clustering: Clustering | None
    evaluation: Evaluation | None
    note: str

    @property
    def metadata(self) -> pd.DataFrame:
        """Return the columns that clusters may turn out to follow, under the names that a reader sees."""
        kept = self.table.drop(columns=[name for name in _NOT_METADATA if name in self.table])
        return kept.rename(columns=RENAMED)

    @property
    def categories(self) -> tuple[pd.DataFrame, int]:
        """Return the columns that a picture can be coloured by, and how many more there would be.

        These are view and side, and columns of two to eight values that are not pseudonyms.
        """
        metadata, most = self.metadata, len(plots.MARKERS)
        kept = [name for name in ("view", "side") if name in metadata and metadata[name].nunique() <= most]
        others = [
            name
            for name, values in metadata.items()
            if name not in ("view", "side", "patient") and 2 <= values.nunique() <= most
        ]
        return metadata[[*kept, *others[:MOST_LABELS]]], len(others[MOST_LABELS:])


def read_run(folder: Path) -> Run:
    """Read a run folder. Raises RunError if a file that is there cannot be read."""
    read = runs.read_run(folder)
    return _with_clusters(folder, Run(**vars(read), clustering=None, evaluation=None, note=""))


def _judgement(clusters: runs.Clusters) -> tuple[Clustering, Evaluation | None]:
    """Return the clustering and its evaluation, if there is one."""
    stored = clusters.result
    params = stored["params"]
    whole = [params[name] for name in ("k", "dims", "n_init", "standardise")] + params.get("k_searched", [])
    if not all(isinstance(number, int) for number in whole):
        raise ValueError("a parameter is not a whole number")
    labels = clusters.table["cluster"].to_numpy()
    found = Clustering(labels, None, params, str(stored["method"]), stored.get("seed", 0))
    return found, Evaluation.from_dict(stored["evaluation"]) if stored.get("evaluation") else None


def _with_clusters(folder: Path, run: Run) -> Run:
    """Return the run with the clusters of the folder, or with new ones, or with a note on why it has none."""
    try:
        clusters = runs.read_clusters(folder)
        why_not: str | None = "This folder held no clusters"
        if clusters is not None:
            why_not = clusters.why_unusable(run.table["image_id"].tolist(), run.vectors)
        if clusters is not None and why_not is None:
            found, judged = parse(folder / RESULT, lambda _: _judgement(clusters))
            known = {*run.table, *RENAMED, *RENAMED.values(), "cluster"}
            rows = clusters.table
            run = replace(run, table=run.table.join(rows[[each for each in rows if each not in known]]))
            judged = judged or evaluate(run.vectors, found, metadata=run.metadata)
            return replace(run, clustering=found, evaluation=judged)
        made = "made some" if clusters is None else "made new ones"
        note = f"{why_not}, so this report {made}: run “course cluster” to keep them as files."
        found = cluster(run.vectors)
        judged = evaluate(run.vectors, found, metadata=run.metadata)
        return replace(run, clustering=found, evaluation=judged, note=note)
    except (AnalysisError, runs.RunError) as error:
        return replace(run, note=f"There are no clusters to show: {as_sentence(error)}")
