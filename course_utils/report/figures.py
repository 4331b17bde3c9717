"""The pictures of the page: maps, typical images and the silhouette, each in a light and a dark version."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils import plots
from course_utils.analysis import AnalysisError, reduce
from course_utils.analysis.clustering import nearest_to_centre
from course_utils.analysis.evaluation import two_decimals
from course_utils.analysis.reduction import variance_shares
from course_utils.report.reading import Run
from course_utils.report.text import as_sentence, stated, without_folders

SIDES = {"L": "left", "R": "right"}


def cards(run: Run, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return one small picture per row: its address, alternative text, label and cluster."""
    cards = []
    for row in rows:
        values = run.table.iloc[int(row)]
        view = stated(values.get("view"))
        side = SIDES.get(stated(values.get("laterality")), "")
        label = " ".join(part for part in (view, side) if part) or "view not stated"
        number = int(run.clustering.labels[row]) if run.clustering is not None else None
        picture = run.thumbnails[row]
        cards.append(
            {
                "uri": plots.data_uri(picture) if picture else "",
                "alt": f"Preprocessed mammogram, {label}",
                "label": without_folders(label),
                "file": without_folders(stated(values.get("file"))),
                "cluster": number,
                "colour": number % 8 if number is not None else 0,
            }
        )
    return cards


def map_points(run: Run) -> tuple[NDArray[np.float32] | None, NDArray[np.float64] | None, str]:
    """Return the map (N, 2), the shares of variance of its axes, and, if there is no map, why."""
    if len(run.table) < 3:
        return None, None, f"A map needs at least three images; this run has {len(run.table)}."
    try:
        points = reduce(run.vectors)
        return points, variance_shares(run.vectors, points), ""
    except AnalysisError as error:
        return None, None, f"There is no map: {as_sentence(error)}"


def picture_map(
    run: Run, points: NDArray[np.float32] | None, shares: NDArray[np.float64] | None
) -> dict[str, str] | None:
    """Draw the pictures themselves on the map, if there are any."""
    if points is None or shares is None or not any(run.thumbnails):
        return None
    labels = run.clustering.labels.tolist() if run.clustering is not None else None
    return _both_themes(
        lambda theme: plots.map_pictures(points, run.thumbnails, labels, shares=shares.tolist(), theme=theme)
    )


def scatter_maps(
    run: Run, points: NDArray[np.float32] | None, shares: NDArray[np.float64] | None
) -> list[dict[str, str]]:
    """Draw the map once for the clusters, and once for each of the categories."""
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


def typical_images(run: Run) -> list[dict[str, Any]]:
    """Return for each cluster its size, what it is made of, and the images nearest its centre."""
    if run.clustering is None:
        return []
    labels, categories = run.clustering.labels, run.categories[0]
    nearest = nearest_to_centre(run.vectors, labels, params=run.clustering.params)
    clusters = []
    for label, rows in nearest.items():
        members = categories[labels == label]
        made_of = []
        for column, values in members.items():
            counts = Counter(stated(value) or plots.MISSING for value in values)
            parts = (f"{SIDES.get(value, value)} {count}" for value, count in sorted(counts.items()))
            made_of.append(f"{column}: {', '.join(parts)}")
        clusters.append(
            {
                "number": label,
                "colour": label % 8,
                "size": int((labels == label).sum()),
                "made_of": without_folders("; ".join(made_of)),
                "pictures": cards(run, rows),
            }
        )
    return clusters


def silhouette_figure(run: Run) -> dict[str, Any] | None:
    """Draw the silhouette beside its nulls, and return it with the rows of its table."""
    found = run.evaluation
    if found is None or found.silhouette is None:
        return None
    names = {
        "gaussian": "Gaussian cloud with the same covariance",
        "permuted": "every column shuffled independently",
    }
    rows = [["your images", "", two_decimals(found.silhouette), "", ""]]
    for null in reversed(found.nulls):
        values = null.silhouettes[found.k]
        numbers = [two_decimals(number) for number in (min(values), float(np.mean(values)), max(values))]
        rows.append([names[null.name], *numbers, f"{null.p_value:.3f}"])
    figure = _both_themes(lambda theme: plots.silhouette_against_null(found, theme=theme))
    return {"figure": figure, "rows": rows}


def _both_themes(draw: Callable[[plots.Theme], plots.Illustration]) -> dict[str, str]:
    light = draw("light")
    return {
        "light": plots.data_uri(light.png()),
        "dark": plots.data_uri(draw("dark").png()),
        "alt": without_folders(light.alt),
        "caption": without_folders(light.caption),
    }
