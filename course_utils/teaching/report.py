"""The HTML report: the folder of one run goes in, one self-contained page comes out (``course report``).

The page asks the network for nothing, holds no path of a machine, and reads well on a screen, in the dark and
on paper. What cannot be shown (too few images, no clusters yet) is said in a sentence, in its place.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from course_utils import DISCLAIMER
from course_utils.analysis import AnalysisError, Clustering, Evaluation, cluster, evaluate, reduce
from course_utils.analysis.clustering import nearest_to_centre
from course_utils.analysis.evaluation import two_decimals
from course_utils.analysis.reduction import variance_shares
from course_utils.provenance import write_whole
from course_utils.teaching import plots

MOST_PICTURES = 48
"""How many pictures the contact sheet shows at most."""
MOST_ROWS = 100
"""How many rows the table of failures shows at most; failures.csv has them all."""

_NOT_METADATA = ("image_id", "file", "sha256", "embedding", "warnings")
_NAMES = {"laterality": "side", "patient_key": "patient", "voi": "grayscale transform"}
_SIDES = {"L": "left", "R": "right"}
_PATH = re.compile(r"""(?<![\w./:\\-])(?:[A-Za-z]:[\\/]|\\\\|~?/)(?:[^\s"'<>|/\\]+[\\/])+""")


@dataclass(frozen=True)
class _Run:
    """What the files of a run folder hold; N rows throughout, in the same order."""

    table: pd.DataFrame
    vectors: NDArray[np.float32]
    thumbnails: list[bytes]
    failures: pd.DataFrame
    record: dict[str, Any]
    clustering: Clustering | None
    evaluation: Evaluation | None
    note: str

    @property
    def metadata(self) -> pd.DataFrame:
        """The columns that clusters may turn out to follow, by the names that a reader sees."""
        kept = self.table.drop(columns=[name for name in _NOT_METADATA if name in self.table])
        return kept.rename(columns=_NAMES)

    @property
    def categories(self) -> pd.DataFrame:
        """Those of them that a picture can be coloured by: at most eight values, and no pseudonyms."""
        kept = [name for name, values in self.metadata.items() if values.nunique() <= len(plots.MARKERS)]
        return self.metadata[[name for name in kept if name != "patient"]]


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` from the files of ``course embed`` and ``course cluster``; return its path.

    Needs ``embeddings.parquet``; takes ``thumbnails.parquet``, ``failures.csv``, ``run.json``,
    ``clusters.csv`` (whose further columns describe the images) and ``clusters.json`` where they are.
    Without clusters it computes them, with the defaults of ``cluster``. The same files give the same bytes.

    Raises:
        AnalysisError: the folder holds no embeddings, or a file of it cannot be read.
    """
    run = _read(Path(run_dir))
    environment = Environment(
        loader=PackageLoader("course_utils.teaching"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template("report.html.jinja").render(_context(run))
    path = Path(run_dir) / "report.html"
    write_whole(path, page.encode())
    return path


def _read(folder: Path) -> _Run:
    if not (folder / "embeddings.parquet").is_file():
        raise AnalysisError(
            "this folder holds no embeddings.parquet: make one with `course embed INPUT -o FOLDER` first"
        )
    table = _read_file(folder / "embeddings.parquet", pd.read_parquet)
    if "embedding" not in table or "image_id" not in table:
        raise AnalysisError(
            "embeddings.parquet has no columns image_id and embedding: `course embed` did not write it"
        )
    vectors = np.stack(table["embedding"].to_list()) if len(table) else np.empty((0, 0), np.float32)
    thumbnails: dict[str, bytes] = {}
    if (folder / "thumbnails.parquet").is_file():
        rows = _read_file(folder / "thumbnails.parquet", pd.read_parquet)
        thumbnails = dict(zip(rows["image_id"], rows["thumbnail"], strict=True))
        if "warnings" in rows:
            warnings = dict(zip(rows["image_id"], rows["warnings"], strict=True))
            table["warnings"] = [warnings.get(each, ()) for each in table["image_id"]]
    failures = pd.DataFrame(columns=["file", "stage", "reason"])
    if (folder / "failures.csv").is_file():
        failures = _read_file(
            folder / "failures.csv", lambda path: pd.read_csv(path, dtype=str, keep_default_na=False)
        )
    record = _read_file(folder / "run.json", _read_json) if (folder / "run.json").is_file() else {}
    read = _Run(
        table.drop(columns="embedding"),
        vectors,
        [thumbnails.get(each, b"") for each in table["image_id"]],
        failures,
        record,
        None,
        None,
        "",
    )
    return _with_clusters(folder, read)


def _read_file(path: Path, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except (OSError, ValueError) as error:
        raise AnalysisError(
            f"{path.name} cannot be read ({type(error).__name__}): run `course embed` again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _with_clusters(folder: Path, run: _Run) -> _Run:
    """Return the run with the clusters of the folder, or with new ones, or with a note why there are none."""
    try:
        if (folder / "clusters.csv").is_file() and (folder / "clusters.json").is_file():
            rows = _read_file(folder / "clusters.csv", pd.read_csv)
            stored = _read_file(folder / "clusters.json", _read_json)
            if rows["image_id"].tolist() == run.table["image_id"].tolist():
                labels = rows["cluster"].to_numpy(np.int64)
                found = Clustering(labels, None, stored["params"], stored["method"], stored.get("seed", 0))
                known = [*run.table, *run.metadata, "cluster"]
                run = replace(run, table=run.table.join(rows[[each for each in rows if each not in known]]))
                judged = Evaluation.from_dict(stored["evaluation"]) if stored.get("evaluation") else None
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
        return replace(run, note=f"There are no clusters to show: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith(("?", ".")) else f"{text}."


def _context(run: _Run) -> dict[str, Any]:
    """Everything the template says, as text and pictures; the template decides only where it stands."""
    weights = run.record.get("weights") or {}
    points, shares, map_note = _map(run)
    return {
        "disclaimer": DISCLAIMER,
        "random": weights.get("pretrained") is False,
        "summary": _summary(run),
        "tiles": _tiles(run),
        "points": _points(run),
        "note": _clean(run.note),
        "pictures": _cards(run, plots.spread(len(run.table), MOST_PICTURES)),
        "total": len(run.table),
        "map_note": map_note,
        "picture_map": _picture_map(run, points, shares),
        "maps": _maps(run, points, shares),
        "clusters": _prototypes(run),
        "silhouette": _silhouette(run),
        "evaluation": run.evaluation,
        "associations": _associations(run),
        "failures": [
            [_clean(row[name]) for name in ("file", "stage", "reason")]
            for row in run.failures.head(MOST_ROWS).to_dict("records")
        ],
        "failed": len(run.failures),
        "warnings": _warnings(run),
        "provenance": _provenance(run),
        "recorded": bool(run.record),
    }


def _summary(run: _Run) -> str:
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
        f"{day}{len(run.table)} of {found} {'file was' if found == 1 else 'files were'} read, brought to one "
        f"size and orientation, and put through {network}{where}."
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
    return _clean(" ".join(sentences))


def _tiles(run: _Run) -> list[tuple[str, str]]:
    tiles = [
        (str(len(run.table)), "image embedded" if len(run.table) == 1 else "images embedded"),
        (str(len(run.failures)), "file set aside" if len(run.failures) == 1 else "files set aside"),
    ]
    if len(run.table):
        tiles.append((str(run.vectors.shape[1]), "numbers in an embedding"))
    if run.evaluation is not None:
        tiles.append((str(run.evaluation.k), "clusters"))
        if run.evaluation.silhouette is not None:
            highest = max(max(null.silhouettes[run.evaluation.k]) for null in run.evaluation.nulls)
            words = f"silhouette; without clusters up to {two_decimals(highest)}"
            tiles.append((two_decimals(run.evaluation.silhouette), words))
    return tiles


def _points(run: _Run) -> list[str]:
    """The sentences that one should take away, strongest first."""
    points = []
    if run.evaluation is not None:
        points.append(run.evaluation.verdict)
        followed = [one for one in run.evaluation.associations if one.p_value <= 0.05 and one.ari >= 0.1]
        points += [one.sentence for one in followed]
        if followed:
            points.append(
                "What clusters follow is known already, so before you believe in a discovery, ask what is "
                "left of it among images that are alike in this."
            )
        elif run.evaluation.associations:
            columns = ", ".join(one.column for one in run.evaluation.associations)
            points.append(f"The clusters follow nothing that is known of the images ({columns}).")
    return [_clean(point) for point in points]


def _cards(run: _Run, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """One small picture each: its address, alternative text, label and cluster."""
    cards = []
    for row in rows:
        values = run.table.iloc[int(row)]
        view = _text(values.get("view"))
        side = _SIDES.get(_text(values.get("laterality")), "")
        label = " ".join(part for part in (view, side) if part) or "view not stated"
        number = int(run.clustering.labels[row]) if run.clustering is not None else None
        picture = run.thumbnails[row]
        cards.append(
            {
                "uri": plots.data_uri(picture) if picture else "",
                "alt": f"Preprocessed mammogram, {label}",
                "label": _clean(label),
                "file": _clean(_text(values.get("file"))),
                "cluster": number,
                "colour": number % 8 if number is not None else 0,
            }
        )
    return cards


def _text(value: Any) -> str:
    return "" if value is None or value != value or value is pd.NA else str(value)


def _map(run: _Run) -> tuple[NDArray[np.float32] | None, NDArray[np.float64] | None, str]:
    if len(run.table) < 3:
        return None, None, f"A map needs at least three images; this run has {len(run.table)}."
    try:
        points = reduce(run.vectors)
        return points, variance_shares(run.vectors, points), ""
    except AnalysisError as error:
        return None, None, f"There is no map: {_sentence(error)}"


def _both_themes(draw: Callable[[plots.Theme], plots.Illustration]) -> dict[str, str]:
    light = draw("light")
    return {
        "light": plots.data_uri(light.png()),
        "dark": plots.data_uri(draw("dark").png()),
        "alt": _clean(light.alt),
        "caption": _clean(light.caption),
    }


def _picture_map(
    run: _Run, points: NDArray[np.float32] | None, shares: NDArray[np.float64] | None
) -> dict[str, str] | None:
    if points is None or shares is None or not all(run.thumbnails):
        return None
    labels = run.clustering.labels.tolist() if run.clustering is not None else None
    return _both_themes(
        lambda theme: plots.map_pictures(points, run.thumbnails, labels, shares=shares.tolist(), theme=theme)
    )


def _maps(
    run: _Run, points: NDArray[np.float32] | None, shares: NDArray[np.float64] | None
) -> list[dict[str, str]]:
    """The map once for the clusters, and once for each column with two to eight values."""
    if points is None or shares is None:
        return []
    colourings: dict[str, list[Any]] = {}
    if run.clustering is not None:
        colourings["cluster"] = run.clustering.labels.tolist()
    for column, values in run.categories.items():
        if column in ("view", "side") or values.nunique() >= 2:
            colourings[str(column)] = values.tolist()
    where = shares.tolist()

    def draw(name: str, values: list[Any]) -> Callable[[plots.Theme], plots.Illustration]:
        return lambda theme: plots.map_scatter(points, values, name=name, shares=where, theme=theme)

    return [{"name": name} | _both_themes(draw(name, values)) for name, values in colourings.items()]


def _prototypes(run: _Run) -> list[dict[str, Any]]:
    if run.clustering is None:
        return []
    labels = run.clustering.labels
    nearest = nearest_to_centre(run.vectors, labels, params=run.clustering.params)
    clusters = []
    for label, rows in nearest.items():
        members = run.categories[labels == label]
        made_of = []
        for column, values in members.items():
            counts = Counter(_text(value) or plots.MISSING for value in values)
            parts = (f"{_SIDES.get(value, value)} {count}" for value, count in sorted(counts.items()))
            made_of.append(f"{column}: {', '.join(parts)}")
        clusters.append(
            {
                "number": label,
                "colour": label % 8,
                "size": int((labels == label).sum()),
                "made_of": _clean("; ".join(made_of)),
                "pictures": _cards(run, rows),
            }
        )
    return clusters


def _silhouette(run: _Run) -> dict[str, Any] | None:
    found = run.evaluation
    if found is None or found.silhouette is None:
        return None
    names = {
        "gaussian": "Gaussian cloud of the same covariance",
        "permuted": "every column shuffled by itself",
    }
    rows = [["your images", "", two_decimals(found.silhouette), "", ""]]
    for null in reversed(found.nulls):
        values = null.silhouettes[found.k]
        numbers = [two_decimals(number) for number in (min(values), float(np.mean(values)), max(values))]
        rows.append([names[null.name], *numbers, f"{null.p_value:.3f}"])
    figure = _both_themes(lambda theme: plots.silhouette_against_null(found, theme=theme))
    return {"figure": figure, "rows": rows}


def _associations(run: _Run) -> list[list[str]]:
    if run.evaluation is None:
        return []
    return [
        [
            _clean(one.column),
            str(one.rows),
            _levels(one.levels),
            two_decimals(one.ari),
            f"{one.p_value:.3f}",
            _clean(one.sentence.split(" (ARI")[0] + "."),
        ]
        for one in run.evaluation.associations
    ]


def _levels(levels: dict[str, int]) -> str:
    if len(levels) > 6:
        return f"{len(levels)} different values"
    return _clean(", ".join(f"{value} {count}" for value, count in levels.items()))


def _warnings(run: _Run) -> list[tuple[str, int]]:
    """Each warning of the files once, with the number of images that have it, the most frequent first."""
    if "warnings" not in run.table:
        return []
    counts: Counter[str] = Counter()
    for value in run.table["warnings"]:
        lines = value.split("\n") if isinstance(value, str) else value if np.iterable(value) else []
        counts.update({str(line) for line in lines if line})
    return [
        (_clean(line), count) for line, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]


def _provenance(run: _Run) -> list[tuple[str, list[tuple[str, str]]]]:
    """The run record in groups of (name, value), all of it: the rest stands under Other."""
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
    """Nested dicts as one list of names and texts; the outer name is dropped, it is the heading's."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value)
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else _value(name, value)
            rows.append((name.replace("_", " "), _clean(shown)))
    return rows


def _value(name: str, value: Any) -> str:
    if name == "pretrained":
        return "yes" if value else "NO: RANDOM weights"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _clean(text: Any) -> str:
    """Return text without the folders of a machine: of an absolute path only the last part is left."""
    return _PATH.sub("", str(text))
