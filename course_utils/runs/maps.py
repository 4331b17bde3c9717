"""The maps of a run: `map_METHOD.csv`, one row per image, and `map_METHOD.json`, how it was made.

How faithful a map is, is a plain dict here; `analysis` makes it, and reads it back.
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
from course_utils.runs.folder import Extraction
from course_utils.runs.reading import parse

PREFIX = "map_"


@dataclass(frozen=True)
class Map:
    """What `course map` made with one method.

    Attributes:
        points: `(N, 2)` float32, a row for each image.
        image_ids: the images, in the order of the points.
        method: what made it.
        result: params, seed and faithfulness, as plain JSON types.
        table_sha256: the sha256 of the file that the points were read from.
    """

    points: NDArray[np.float32]
    image_ids: list[str]
    method: str
    result: dict[str, Any]
    table_sha256: str

    def why_unusable(self, image_ids: list[str], vectors: NDArray[np.float32]) -> str | None:
        """Return why this is not a map of these images and vectors, or None if it is."""
        if self.image_ids != image_ids or self.result.get("embeddings_sha256") != sha256_of(
            vectors.tobytes()
        ):
            return f"The {self.method} map in this folder belongs to other embeddings"
        if self.result.get("table_sha256") != self.table_sha256:
            return f"{PREFIX}{self.method}.csv in this folder was changed after the map in it was judged"
        return None


def write_map(
    folder: str | Path, extraction: Extraction, points: NDArray[np.float32], result: dict[str, Any]
) -> Path:
    """Write a map of a run into its folder, beside those of other methods; return the path of the table.

    Args:
        folder: the run folder.
        extraction: the run that was mapped.
        points: `(N, 2)`, where each image lies.
        result: method, params, seed and faithfulness, as plain JSON types.
    """
    rows = extraction.table[["image_id", FILE]].assign(x=points[:, 0], y=points[:, 1])
    # Text is quoted: a name may hold a carriage return.
    table = rows.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).encode()
    head = {
        "disclaimer": DISCLAIMER,
        "embeddings_sha256": sha256_of(extraction.vectors.tobytes()),
        "table_sha256": sha256_of(table),
    }
    path = Path(folder) / f"{PREFIX}{result['method']}.csv"
    write_atomic(path, table)
    write_atomic(path.with_suffix(".json"), (json.dumps({**head, **result}, indent=2) + "\n").encode())
    return path


def read_maps(folder: str | Path) -> tuple[Map, ...]:
    """Read the maps of a run folder, in the order of their methods' names; RunError if a file is damaged."""
    results = sorted(Path(folder).glob(f"{PREFIX}*.json"))
    return tuple(_read_map(path) for path in results if path.with_suffix(".csv").is_file())


def _read_map(path: Path) -> Map:
    result = parse(path, _read_result)
    image_ids, points, table_sha256 = parse(path.with_suffix(".csv"), _read_table)
    return Map(points, image_ids, result["method"], result, table_sha256)


def _read_table(path: Path) -> tuple[list[str], NDArray[np.float32], str]:
    """Return the images, their points `(N, 2)`, and the sha256 of the file."""
    content = path.read_bytes()
    rows = pd.read_csv(io.BytesIO(content), dtype={"image_id": str}, keep_default_na=False)
    points = rows[["x", "y"]].to_numpy(np.float32)
    if not np.isfinite(points).all():
        raise ValueError("a place on a map is two numbers")
    return rows["image_id"].tolist(), points, sha256_of(content)


def _read_result(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(result, dict) or result.get("method") != path.stem.removeprefix(PREFIX):
        raise ValueError("a map is a JSON object that names its method")
    return result
