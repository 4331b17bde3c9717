"""The clusters of a run: `clusters.csv`, one row per image, and `clusters.json`, how they came about.

What was found and how it is judged is a plain dict here; `analysis` makes it, and reads it back.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils import DISCLAIMER
from course_utils.files import sha256_of, write_atomic
from course_utils.records import FILE
from course_utils.runs.folder import Extraction, plan_of
from course_utils.runs.reading import parse

TABLE, RESULT = "clusters.csv", "clusters.json"


@dataclass(frozen=True)
class Clusters:
    """What `course cluster` found.

    Attributes:
        table: one row per image: image_id, file, cluster (int64), and what else was known of it.
        result: method, params, seed and evaluation, as plain JSON types.
        table_sha256: the sha256 of the file that the table was read from.
    """

    table: pd.DataFrame
    result: dict[str, Any]
    table_sha256: str

    def why_unusable(self, image_ids: list[str], vectors: NDArray[np.float32]) -> str | None:
        """Return why these are not the clusters of these images and vectors, or None if they are."""
        known = self.result.get("embeddings_sha256")
        if self.table["image_id"].tolist() != image_ids or known not in (None, sha256_of(vectors.tobytes())):
            return "The clusters in this folder belong to other embeddings"
        if self.result.get("table_sha256") not in (None, self.table_sha256):
            return f"{TABLE} in this folder was changed after the clusters in it were judged"
        return None


def write_clusters(
    folder: str | Path,
    extraction: Extraction,
    labels: NDArray[np.int64],
    known: pd.DataFrame,
    result: dict[str, Any],
) -> Path:
    """Write the clusters of a run into its folder; return the path of the table.

    Args:
        folder: the run folder.
        extraction: the run that was clustered.
        labels: `(N,)`, the cluster of each image.
        known: N rows, further columns of the table: what the clusters were compared with.
        result: method, params, seed and evaluation, as plain JSON types.
    """
    rows = extraction.table[["image_id", FILE]].assign(cluster=labels).join(known)
    # Text is quoted: a name may hold a carriage return.
    table = rows.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).encode()
    head = {
        "disclaimer": DISCLAIMER,
        "embeddings_sha256": sha256_of(extraction.vectors.tobytes()),
        "table_sha256": sha256_of(table),
        **plan_of(folder),
    }
    write_atomic(Path(folder) / TABLE, table)
    write_atomic(Path(folder) / RESULT, (json.dumps({**head, **result}, indent=2) + "\n").encode())
    return Path(folder) / TABLE


def read_clusters(folder: str | Path) -> Clusters | None:
    """Read the clusters of a run folder, None if there are none; RunError if a file is damaged."""
    table, result = Path(folder) / TABLE, Path(folder) / RESULT
    if not (table.is_file() and result.is_file()):
        return None
    rows, table_sha256 = parse(table, _read_table)
    return Clusters(rows, parse(result, _read_result), table_sha256)


def _read_table(path: Path) -> tuple[pd.DataFrame, str]:
    """Return the rows, each value as text and an empty one as missing, and the sha256 of the file."""
    content = path.read_bytes()
    rows = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, na_values=[""])
    rows = rows.assign(image_id=rows["image_id"].map(str), cluster=rows["cluster"].astype(np.int64))
    return rows, sha256_of(content)


def _read_result(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(result, dict):
        raise ValueError("a clustering is a JSON object")
    return result
