"""What a run folder can be held to: each of its files, read by itself, and a sentence where one cannot be.

`reading` is for the page and makes what is missing; here nothing is made, since what is missing is the point.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from course_utils import runs
from course_utils.analysis import Association, Evaluation, Probe
from course_utils.files import sha256_of
from course_utils.report.text import without_folders
from course_utils.runs.clusters import RESULT, TABLE
from course_utils.runs.folder import FAILURES, RECORD
from course_utils.runs.reading import parse, read_parts

PAGE = "report.html"
ALWAYS_HELD = ("view", "side", "kind", "folder", "vendor")
"""Columns that clusters are held against wherever they vary, planned or not."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Evidence:
    """What there is to judge a run by; what is missing is None or empty.

    Attributes:
        run: images, vectors, failures and record.
        plan: what was decided before looking.
        clusters: what `course cluster` wrote, and `evaluation` how it judged them.
        probes: what `course probe` wrote, target to (the whole result, the probe).
        claims: what is claimed.
        page_counts: how many files the page in the folder says were set aside; None without a page.
        has: the names of the files of the run that are there.
        damaged: for a file that is there and cannot be read, a sentence.
    """

    run: runs.Run | None
    plan: runs.StoredPlan | None
    clusters: runs.Clusters | None
    evaluation: Evaluation | None
    probes: dict[str, tuple[dict[str, Any], Probe]]
    claims: tuple[runs.Claim, ...] | None
    page_counts: int | None
    has: frozenset[str]
    damaged: dict[str, str]

    @property
    def embeddings_sha256(self) -> str:
        """Return the sha256 of the vectors, as clusters, probes and plans keep it."""
        return "" if self.run is None else sha256_of(self.run.vectors.tobytes())

    @property
    def known(self) -> pd.DataFrame:
        """Return all that is known of the images, by their files and by the table of `course cluster`."""
        if self.run is None:
            return pd.DataFrame()
        known = runs.compared_columns(self.run.table) if "file" in self.run.table else pd.DataFrame()
        if self.clusters is None or len(self.clusters.table) != len(self.run.table):
            return known
        rows = self.clusters.table
        return known.join(
            rows[[name for name in rows if name not in {*known, "image_id", "file", "cluster"}]]
        )

    @property
    def women(self) -> pd.Series | None:
        """Return the woman of each image, None where no file says whose it is."""
        return None if self.run is None else runs.women(self.run.table)

    @property
    def associations(self) -> dict[str, Association]:
        """Return what the clusters were held against, by column."""
        return {} if self.evaluation is None else {one.column: one for one in self.evaluation.associations}

    @property
    def skipped(self) -> dict[str, str]:
        """Return the columns that the clusters could not be held against, and why."""
        return {} if self.evaluation is None else self.evaluation.skipped

    @property
    def params(self) -> dict[str, Any]:
        """Return the parameters of the clustering."""
        found = {} if self.clusters is None else self.clusters.result.get("params")
        return found if isinstance(found, dict) else {}

    def trouble(self, *names: str) -> str:
        """Return the sentences on those of these files that cannot be read; nothing if there are none."""
        return " ".join(self.damaged[name] for name in names if name in self.damaged)


def gather(folder: str | Path) -> Evidence:
    """Read what there is in a run folder; nothing that is wrong with a file is raised."""
    folder, damaged = Path(folder), dict[str, str]()

    def attempt(name: str, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except runs.RunError as error:
            damaged[TABLE if str(error).startswith(TABLE) else name] = _shown(str(error))
        except OSError:
            damaged[name] = f"{name} cannot be read: are you allowed to?"
        return None

    run, parts = read_parts(folder)
    damaged |= {name: _shown(sentence) for name, sentence in parts.items()}
    clusters = attempt(RESULT, lambda: runs.read_clusters(folder))
    evaluation = None
    if clusters is not None and clusters.result.get("evaluation") is not None:
        stored = clusters.result["evaluation"]
        evaluation = attempt(RESULT, lambda: parse(folder / RESULT, lambda _: Evaluation.from_dict(stored)))
    probes = {}
    for path in runs.probe_files(folder):
        found = attempt(path.name, lambda path=path: _probe(path))  # type: ignore[misc]
        if found is not None:
            probes[found[1].target] = found
    return Evidence(
        run=run,
        plan=attempt("plan.json", lambda: runs.read_stored_plan(folder)),
        clusters=clusters,
        evaluation=evaluation,
        probes=probes,
        claims=attempt("claims.json", lambda: runs.read_claims(folder)),
        page_counts=_set_aside(folder / PAGE),
        has=frozenset(name for name in (FAILURES, RECORD, PAGE) if (folder / name).is_file()),
        damaged=damaged,
    )


def _shown(sentence: str) -> str:
    return without_folders(sentence if sentence.endswith(("?", ".")) else f"{sentence}.")


def _probe(path: Path) -> tuple[dict[str, Any], Probe]:
    stored = runs.read_probe(path)
    return stored.result, parse(path, lambda _: Probe.from_dict(stored.result["probe"]))


def _set_aside(page: Path) -> int | None:
    """Return how many files a page says were set aside; None if there is no page, or it does not say."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    found = re.search(r"<dt>files? set aside</dt><dd>(\d{1,9})</dd>", text)
    return int(found[1]) if found else None
