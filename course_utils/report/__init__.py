"""The HTML report: the folder of one run goes in, one self-contained page comes out (``course report``).

The page asks the network for nothing, holds no path of a machine, and reads well on a screen, in the dark and
on paper. What cannot be shown (too few images, no clusters yet) is said in a sentence, in its place.
"""

import hashlib
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

from course_utils import DISCLAIMER, plots
from course_utils.analysis import AnalysisError, Clustering, Evaluation, cluster, evaluate, reduce
from course_utils.analysis.clustering import nearest_to_centre
from course_utils.analysis.evaluation import two_decimals
from course_utils.analysis.reduction import variance_shares
from course_utils.files import write_atomic

MOST_PICTURES = 48
"""How many pictures the contact sheet shows at most."""
MOST_ROWS = 100
"""How many rows the table of failures shows at most; failures.csv has them all."""

MOST_LABELS = 12
"""How many columns beside view and side get a map of their own at most."""

_TEXTS = ("file", "sha256", "patient_key", "view", "laterality", "voi")
_FAILURE = ["file", "stage", "reason"]
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
    pictures_note: str
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
    def categories(self) -> tuple[pd.DataFrame, int]:
        """Those of them that a picture can be coloured by, and how many more there would be.

        That is view and side, and columns of two to eight values that are no pseudonyms.
        """
        metadata, most = self.metadata, len(plots.MARKERS)
        kept = [name for name in ("view", "side") if name in metadata and metadata[name].nunique() <= most]
        others = [
            name
            for name, values in metadata.items()
            if name not in ("view", "side", "patient") and 2 <= values.nunique() <= most
        ]
        return metadata[[*kept, *others[:MOST_LABELS]]], len(others[MOST_LABELS:])


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
        loader=PackageLoader("course_utils.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template("report.html.jinja").render(_context(run))
    path = Path(run_dir) / "report.html"
    write_atomic(path, page.encode())
    return path


def _read(folder: Path) -> _Run:
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
    read = _Run(table, vectors, thumbnails, pictures_note, failures, record, None, None, "")
    return _with_clusters(folder, read)


def _read_file(path: Path, reader: Callable[[Path], Any]) -> Any:
    """Return what ``reader`` makes of a file; whatever it stumbles over becomes one sentence."""
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


def _with_clusters(folder: Path, run: _Run) -> _Run:
    """Return the run with the clusters of the folder, or with new ones, or with a note why there are none."""
    try:
        if (folder / "clusters.csv").is_file() and (folder / "clusters.json").is_file():
            rows = _read_file(folder / "clusters.csv", _read_labels)
            found, judged, sha256 = _read_file(folder / "clusters.json", _read_judgement)
            same = rows["image_id"].tolist() == run.table["image_id"].tolist()
            if same and sha256 in (None, hashlib.sha256(run.vectors.tobytes()).hexdigest()):
                found = replace(found, labels=rows["cluster"].to_numpy())
                known = {*run.table, *_NAMES, *_NAMES.values(), "cluster"}
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
        "pictures_note": run.pictures_note,
        "pictures": _cards(run, plots.spread(len(run.table), MOST_PICTURES)),
        "total": len(run.table),
        "map_note": map_note,
        "picture_map": _picture_map(run, points, shares),
        "maps": _maps(run, points, shares),
        "maps_left_out": run.categories[1],
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
    """The map once for the clusters, and once for each of the categories."""
    if points is None or shares is None:
        return []
    colourings: dict[str, list[Any]] = {}
    if run.clustering is not None:
        colourings["cluster"] = run.clustering.labels.tolist()
    for column, values in run.categories[0].items():
        colourings[str(column)] = values.tolist()
    where = shares.tolist()

    def draw(name: str, values: list[Any]) -> Callable[[plots.Theme], plots.Illustration]:
        return lambda theme: plots.map_scatter(points, values, name=name, shares=where, theme=theme)

    return [{"name": name} | _both_themes(draw(name, values)) for name, values in colourings.items()]


def _prototypes(run: _Run) -> list[dict[str, Any]]:
    if run.clustering is None:
        return []
    labels, categories = run.clustering.labels, run.categories[0]
    nearest = nearest_to_centre(run.vectors, labels, params=run.clustering.params)
    clusters = []
    for label, rows in nearest.items():
        members = categories[labels == label]
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
