"""What the page needs of a run folder, read tolerantly: what is missing or does not fit is said."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils import plots
from course_utils.analysis import AnalysisError, Clustering, Evaluation, cluster, evaluate
from course_utils.report.text import as_sentence

MOST_LABELS = 12
"""How many columns beside view and side get a map of their own at most."""

_TEXTS = ("file", "sha256", "patient_key", "view", "laterality", "voi")
_FAILURE = ["file", "stage", "reason"]
_NOT_METADATA = ("image_id", "file", "sha256", "embedding", "warnings")
NAMES = {"laterality": "side", "patient_key": "patient", "voi": "grayscale transform"}


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
        """Return the columns that clusters may turn out to follow, by the names that a reader sees."""
        kept = self.table.drop(columns=[name for name in _NOT_METADATA if name in self.table])
        return kept.rename(columns=NAMES)

    @property
    def categories(self) -> tuple[pd.DataFrame, int]:
        """Return the columns that a picture can be coloured by, and how many more there would be.

        These are view and side, and columns of two to eight values that are no pseudonyms.
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
    """Read a run folder. Raises AnalysisError where a file that is there cannot be read."""
    if not (folder / "embeddings.parquet").is_file():
        raise AnalysisError(
            "this folder holds no embeddings.parquet: make one with `course embed INPUT -o FOLDER` first"
        )
    table, vectors = _read_file(folder / "embeddings.parquet", _read_embeddings)
    thumbnails, pictures_note = [b""] * len(table), ""
    if (folder / "thumbnails.parquet").is_file():
        pictures = _read_file(folder / "thumbnails.parquet", _read_pictures)
        if pictures["image_id"].tolist() == table["image_id"].tolist():
            thumbnails = pictures["thumbnail"].tolist()
            if "warnings" in pictures:
                table["warnings"] = pictures["warnings"]
        else:
            pictures_note = "The pictures in this folder belong to another run, so none is shown."
    failures = pd.DataFrame(columns=_FAILURE)
    if (folder / "failures.csv").is_file():
        failures = _read_file(
            folder / "failures.csv",
            lambda path: pd.read_csv(path, dtype=str, keep_default_na=False)[_FAILURE],
        )
    record = _read_file(folder / "run.json", _read_record) if (folder / "run.json").is_file() else {}
    read = Run(table, vectors, thumbnails, pictures_note, failures, record, None, None, "")
    return _with_clusters(folder, read)


def _read_file(path: Path, reader: Callable[[Path], Any]) -> Any:
    """Return what `reader` makes of a file; whatever it stumbles over becomes one sentence."""
    try:
        return reader(path)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError) as error:
        command = "course cluster" if path.name.startswith("clusters") else "course embed"
        raise AnalysisError(
            f"{path.name} cannot be read ({type(error).__name__}): run `{command}` again"
        ) from error


def _read_embeddings(path: Path) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return what is known of N images, and their vectors (N, D)."""
    rows = pd.read_parquet(path).reset_index(drop=True)
    if "embedding" not in rows or "image_id" not in rows:
        raise AnalysisError(
            "embeddings.parquet has no columns image_id and embedding: `course embed` did not write it"
        )
    vectors = np.empty((0, 0), np.float32)
    if len(rows):
        vectors = np.stack(rows["embedding"].to_list()).astype(np.float32)
    if vectors.ndim != 2:
        raise ValueError("an embedding is a list of numbers")
    table = pd.DataFrame({"image_id": rows["image_id"].map(str)})
    for name in _TEXTS:
        if name in rows:
            table[name] = rows[name].map(lambda value: value if isinstance(value, str) else None)
    return table.join(rows[["warnings"]]) if "warnings" in rows else table, vectors


def _read_pictures(path: Path) -> pd.DataFrame:
    """Return image_id, thumbnail (a PNG, or nothing) and, where they are, warnings."""
    rows = pd.read_parquet(path).reset_index(drop=True)
    rows["image_id"] = rows["image_id"].map(str)
    rows["thumbnail"] = [b"" if value is None else value for value in rows["thumbnail"]]
    if not all(value[:4] in (b"", b"\x89PNG") for value in rows["thumbnail"]):
        raise ValueError("a thumbnail is a PNG")
    return rows


def _read_record(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    kinds = {"weights": dict, "counts": dict, "started": str, "device": str, "backbone": str}
    if not isinstance(record, dict) or not all(
        isinstance(record[name], kind) for name, kind in kinds.items() if record.get(name) is not None
    ):
        raise ValueError("a run record is a JSON object")
    return record


def _read_labels(path: Path) -> pd.DataFrame:
    rows = pd.read_csv(path)
    return rows.assign(image_id=rows["image_id"].map(str), cluster=rows["cluster"].astype(np.int64))


def _read_judgement(path: Path) -> tuple[Clustering, Evaluation | None, str | None]:
    """Return the clustering (labels yet to come), its evaluation, and the SHA-256 of its vectors."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    params = stored["params"]
    whole = [params[name] for name in ("k", "dims", "n_init", "standardise")] + params.get("k_searched", [])
    if not all(isinstance(number, int) for number in whole):
        raise ValueError("a parameter is no whole number")
    found = Clustering(np.empty(0, np.int64), None, params, str(stored["method"]), stored.get("seed", 0))
    judged = Evaluation.from_dict(stored["evaluation"]) if stored.get("evaluation") else None
    return found, judged, stored.get("embeddings_sha256")


def _with_clusters(folder: Path, run: Run) -> Run:
    """Return the run with the clusters of the folder, or with new ones, or with a note why there are none."""
    try:
        if (folder / "clusters.csv").is_file() and (folder / "clusters.json").is_file():
            rows = _read_file(folder / "clusters.csv", _read_labels)
            found, judged, sha256 = _read_file(folder / "clusters.json", _read_judgement)
            same = rows["image_id"].tolist() == run.table["image_id"].tolist()
            if same and sha256 in (None, hashlib.sha256(run.vectors.tobytes()).hexdigest()):
                found = replace(found, labels=rows["cluster"].to_numpy())
                known = {*run.table, *NAMES, *NAMES.values(), "cluster"}
                run = replace(run, table=run.table.join(rows[[each for each in rows if each not in known]]))
                judged = judged or evaluate(run.vectors, found, metadata=run.metadata)
                return replace(run, clustering=found, evaluation=judged)
            note = "The clusters in this folder belong to other embeddings, so this report made new ones: "
        else:
            note = "This folder held no clusters, so this report made some: "
        note += "run “course cluster” to keep them as files."
        found = cluster(run.vectors)
        judged = evaluate(run.vectors, found, metadata=run.metadata)
        return replace(run, clustering=found, evaluation=judged, note=note)
    except AnalysisError as error:
        return replace(run, note=f"There are no clusters to show: {as_sentence(error)}")
