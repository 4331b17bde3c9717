"""The pictures of the page: maps, typical images and the silhouette, each in a light and a dark version."""

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils import plots
from course_utils.analysis.clustering import NOISE, nearest_to_centre
from course_utils.analysis.evaluation import two_decimals
from course_utils.analysis.probing import Probe
from course_utils.report.reading import Run, ShownMap
from course_utils.report.text import stated, without_folders

SIDES = {"L": "left", "R": "right"}
_ALWAYS = ("view", "side")
_MAPS = {"pca": "Principal components", "tsne": "t-SNE", "umap": "UMAP"}
_REM_PER_INCH = 3.4
"""How narrow a figure may become on a phone before its words are too small: then it scrolls."""


def cards(run: Run, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return one small picture per row: its address, alternative text, label, cluster, file, what is known.

    What is known: the values of the columns that have a map, but for view and side, which are the label.
    """
    cards = []
    columns = [name for name in run.categories[0] if name not in ("view", "side")]
    for row in rows:
        values = run.table.iloc[int(row)]
        view = stated(values.get("view"))
        side = SIDES.get(stated(values.get("laterality")), "")
        label = " ".join(part for part in (view, side) if part) or "view not stated"
        known = {name: stated(run.categories[0][name].iloc[int(row)]) for name in columns}
        number = int(run.labels[row]) if run.labels is not None else NOISE
        picture = run.thumbnails[row]
        cards.append(
            {
                "uri": plots.data_uri(picture) if picture else "",
                "alt": f"Preprocessed mammogram, {label}",
                "label": without_folders(label),
                "file": without_folders(stated(values.get("file"))),
                "known": without_folders(
                    ", ".join(f"{name} {value}" for name, value in known.items() if value)
                ),
                "cluster": number if number != NOISE else None,
                "colour": number % 8 if number != NOISE else 0,
            }
        )
    return cards


def pictures_on_map(run: Run) -> dict[str, str] | None:
    """Draw the pictures themselves on the map of PCA, if there are any."""
    if not run.maps or not any(run.thumbnails):
        return None
    labels = _cluster_names(run) if run.labels is not None else None
    pca = run.maps[0]
    return _both_themes(
        lambda theme: plots.map_pictures(pca.points, run.thumbnails, labels, shares=pca.shares, theme=theme)
    )


def maps(run: Run) -> list[dict[str, Any]]:
    """Draw each map once for the clusters, and that of PCA once for each of the categories, too."""
    shown = []
    for each in run.maps:
        colourings: dict[str, list[Any]] = {}
        if run.labels is not None:
            colourings["cluster"] = _cluster_names(run)
        for column, values in run.categories[0].items():
            if each.method == "pca" or column in _ALWAYS:
                colourings[str(column)] = values.tolist()
        figures = [_scatter(each, name, values) for name, values in colourings.items()]
        found = each.faithfulness
        shown.append(
            {
                "title": _MAPS[each.method],
                "method": each.method,
                "kept": found.sentence if found is not None else "",
                "figures": figures or [_scatter(each, "image", ["image"] * len(each.points))],
            }
        )
    return shown


def _scatter(each: ShownMap, name: str, values: list[Any]) -> dict[str, str]:
    axis = {"pca": "principal component", "tsne": "t-SNE axis", "umap": "UMAP axis"}[each.method]

    def draw(theme: plots.Theme) -> plots.Illustration:
        return plots.map_scatter(each.points, values, name=name, axis=axis, shares=each.shares, theme=theme)

    return _both_themes(draw)


def _cluster_names(run: Run) -> list[str]:
    assert run.labels is not None
    return [plots.NOISE if label == NOISE else str(label) for label in run.labels]


def typical_images(run: Run) -> list[dict[str, Any]]:
    """Return for each cluster its size, what it is made of, and the images nearest its centre.

    Where women were clustered, those are the images of the women nearest to it, one each.
    """
    if run.clustering is None or run.prepared is None:
        return []
    labels, categories = run.labels, run.categories[0]
    nearest = nearest_to_centre(run.prepared.vectors, run.clustering.labels, params=run.clustering.params)
    first_image = np.unique(run.prepared.row_of, return_index=True)[1]
    clusters = []
    for label, rows in nearest.items():
        members = categories[labels == label]
        made_of = []
        for column, values in members.items():
            counts = Counter(stated(value) or plots.MISSING for value in values)
            parts = (f"{SIDES.get(value, value)} {count}" for value, count in sorted(counts.items()))
            made_of.append(f"{column}: {', '.join(parts)}")
        size = int((run.clustering.labels == label).sum())
        clusters.append(
            {
                "number": label,
                "colour": label % 8,
                "size": f"{size} {_unit(run, size)}",
                "weight": _weight(run, size),
                "made_of": without_folders("; ".join(made_of)),
                "pictures": cards(run, first_image[rows]),
            }
        )
    return clusters


def _weight(run: Run, size: int) -> str:
    """Warn of a cluster of one or two."""
    unit = _unit(run, size)
    few = {
        1: f"A single {unit} is no cluster.",
        2: f"Two {unit} carry no weight: any two have something in common.",
    }
    return few.get(size, "")


def noise_words(run: Run) -> str:
    """Say how many images a method left out, if it left out any."""
    if run.clustering is None or not (run.clustering.labels == NOISE).any():
        return ""
    size = int((run.clustering.labels == NOISE).sum())
    belong, them = ("belongs", "it") if size == 1 else ("belong", "them")
    return f"{size} {_unit(run, size)} {belong} to no cluster: the method calls {them} noise."


def clustered(run: Run) -> str:
    """Return how many of what the silhouette is over: those that are in a cluster."""
    rows = run.evaluation.rows if run.evaluation is not None else 0
    return f"{rows} {_unit(run, rows)}"


def _unit(run: Run, number: int) -> str:
    """Return the word for what was clustered."""
    one, many = ("woman", "women") if run.clusters_women else ("image", "images")
    return one if number == 1 else many


def choice_figure(run: Run) -> dict[str, Any] | None:
    """Draw how the number of clusters was chosen, if it was."""
    choice = run.clustering.choice if run.clustering is not None else None
    if choice is None:
        return None
    return {
        "figure": _both_themes(lambda theme: plots.choice_of_k(choice, theme=theme)),
        "words": choice.sentence,
    }


def valley_figure(run: Run) -> dict[str, str] | None:
    """Draw what the women said who did not make the clusters, if they were asked."""
    valley = run.evaluation.valley if run.evaluation is not None else None
    if valley is None or not any(join.values for join in valley.joins):
        return None
    return _both_themes(lambda theme: plots.held_out_valley(valley, theme=theme))


def stability_figure(run: Run) -> dict[str, Any] | None:
    """Draw whether the clusters come back without some of the women."""
    found = run.stability
    if found is None:
        return None
    figure = _both_themes(lambda theme: plots.stability_beside_null(found, theme=theme))
    return {"figure": figure, "words": found.sentence}


def associations_figure(run: Run) -> dict[str, str] | None:
    """Draw what the clusters follow, beside chance."""
    if run.evaluation is None or not run.evaluation.associations:
        return None
    found = run.evaluation.associations
    return _both_themes(lambda theme: plots.associations_beside_chance(found, theme=theme))


def probes(run: Run) -> list[dict[str, Any]]:
    """Return for each probe its sentences, its cautions and its figures."""
    shown = []
    for each in run.probes:
        found = each.probe
        draws: list[Callable[..., plots.Illustration]] = [plots.confusion, plots.reliability]
        of_classes = draws if found.levels else []
        left_out = "; ".join(f"{name} ({why})" for name, why in each.left_out.items())
        shown.append(
            {
                "target": without_folders(found.target),
                "groups": without_folders(each.groups),
                "sentences": [without_folders(sentence) for sentence in found.sentences],
                "cautions": [without_folders(warning) for warning in each.warnings],
                "twins": [tuple(map(without_folders, pair)) for pair in each.twins],
                "pictures": each.pictures,
                "left_out": without_folders(left_out),
                "scores": _both_themes(functools.partial(_drawn, plots.scores_beside, found)),
                "classes": [_both_themes(functools.partial(_drawn, draw, found)) for draw in of_classes],
            }
        )
    return shown


def _drawn(draw: Callable[..., plots.Illustration], probe: Probe, theme: plots.Theme) -> plots.Illustration:
    return draw(probe, theme=theme)


def silhouette_figure(run: Run) -> dict[str, Any] | None:
    """Draw the silhouette beside its nulls, and return it with the rows of its table."""
    found = run.evaluation
    if found is None or found.silhouette is None or not found.nulls:
        return None
    names = {
        "gaussian": "Gaussian cloud with the same covariance",
        "permuted": "every column shuffled independently",
    }
    rows = [["your images", "", "", two_decimals(found.silhouette), "", ""]]
    for null in reversed(found.nulls):
        values = null.defined(found.k)
        three = (min(values), float(np.mean(values)), max(values)) if values else ()
        numbers = [two_decimals(number) for number in three] or ["–"] * 3
        rows.append([names[null.name], str(null.draws), *numbers, f"{null.p_value:.3f}"])
    figure = _both_themes(lambda theme: plots.silhouette_against_null(found, theme=theme))
    return {"figure": figure, "rows": rows}


def _both_themes(draw: Callable[[plots.Theme], plots.Illustration]) -> dict[str, str]:
    light = draw("light")
    return {
        "light": plots.data_uri(light.png()),
        "dark": plots.data_uri(draw("dark").png()),
        "alt": without_folders(light.alt),
        "caption": without_folders(light.caption),
        "least": f"{_REM_PER_INCH * light.figure.get_figwidth():.1f}",
    }
