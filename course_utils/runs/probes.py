"""The probes of a run: `probe_TARGET.json`, one for each target, what could be read off the vectors.

What was found is a plain dict here; `analysis` makes it, and reads it back.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils import DISCLAIMER
from course_utils.files import sha256_of, write_atomic
from course_utils.runs.folder import Extraction, plan_of
from course_utils.runs.reading import parse

PREFIX = "probe_"
_LONGEST = 40


@dataclass(frozen=True)
class StoredProbe:
    """What `course probe` found for one target.

    Attributes:
        target: the name of the column that was asked for.
        result: the probe, and what else was said of it, as plain JSON types.
    """

    target: str
    result: dict[str, Any]

    def why_unusable(self, image_ids: list[str], vectors: NDArray[np.float32]) -> str | None:
        """Return why this is not a probe of these images and vectors, or None if it is."""
        if self.result.get("images_sha256") == _of_images(image_ids) and self.result.get(
            "embeddings_sha256"
        ) == sha256_of(vectors.tobytes()):
            return None
        return f"The probe of {self.target} in this folder belongs to other embeddings"


def probe_file(target: str) -> str:
    """Return the name of the file for a target; two targets never share one, whatever they are called.

    A name of lower-case ASCII letters, digits, `_` and `-` is kept. Of any other only these are, and a piece
    of its sha256 tells it from the rest: a column may be called `../x`, and some disks take Y for y.
    """
    if re.fullmatch(rf"[a-z0-9_-]{{1,{_LONGEST}}}", target):
        return f"{PREFIX}{target}.json"
    kept = re.sub(r"[^a-z0-9_-]+", "_", target.lower())[:_LONGEST]
    # Not `-`: what is kept as it is may end like that.
    return f"{PREFIX}{kept}.{sha256_of(target.encode('utf-8', 'surrogatepass'))[:8]}.json"


def write_probe(folder: str | Path, extraction: Extraction, target: str, result: dict[str, Any]) -> Path:
    """Write what was found for one target into the folder of its run, and return the path.

    Args:
        folder: the run folder.
        extraction: the run that was asked.
        target: the name of the column that was asked for.
        result: what was found, as plain JSON types.
    """
    head = {
        "disclaimer": DISCLAIMER,
        "target": target,
        "embeddings_sha256": sha256_of(extraction.vectors.tobytes()),
        "images_sha256": _of_images(extraction.table["image_id"].tolist()),
        **plan_of(folder),
    }
    path = Path(folder) / probe_file(target)
    write_atomic(path, (json.dumps({**head, **result}, indent=2, allow_nan=False) + "\n").encode())
    return path


def probe_files(folder: str | Path) -> list[Path]:
    """Return the files of the probes of a run, in the order of their names."""
    return sorted(path for path in Path(folder).glob(f"{PREFIX}*.json") if path.is_file())


def read_probe(path: Path) -> StoredProbe:
    """Read a probe; RunError if the file is damaged."""
    return parse(path, _read)


def _read(path: Path) -> StoredProbe:
    result = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(result, dict) or not isinstance(result.get("target"), str):
        raise ValueError("a probe is a JSON object that names its target")
    if probe_file(result["target"]) != path.name:
        raise ValueError("this is the probe of another target")
    return StoredProbe(result["target"], result)


def _of_images(image_ids: list[str]) -> str:
    return sha256_of(json.dumps(image_ids).encode())
