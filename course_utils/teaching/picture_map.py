"""Maps of pictures that answer to mouse, finger and keyboard while a kernel runs (lesson 07).

`PictureMap` shows the mammogram behind each point of a map and collects those that one draws round;
`PictureNeighbours` shows the ten images nearest to one, and what they share with it. Both draw on a plain
canvas (`picture_map.js`); a stored notebook keeps a still picture and a sentence, as with `LivePicture`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import anywidget
import cv2
import numpy as np
import pandas as pd
import traitlets
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray

from course_utils import plots
from course_utils.plots.illustration import FAINT, GROUND, INK, pixels_of

__all__ = ["PictureMap", "PictureNeighbours"]

Metric = Literal["Euclidean", "cosine"]

HERE = Path(__file__).parent
ACROSS = 8
"""Pictures in a row of a sheet, which has as many rows."""
PIXELS = 25e6
"""How many all pictures may have together; each is 64 to 160 on a side."""
NEAREST = 10
QUIET = {"light": "#5c6166", "dark": "#a9aaa8"}
"""Ink for words of less weight, with a contrast of more than 4.5 to the ground."""
SVG = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
"""What SVG calls the parts of a path, by matplotlib's codes."""

MAP_HELP = (
    "Point at an image, or walk with the arrow keys. Draw around images to select them; hold Shift for a box,"
    " Ctrl or ⌘ to add. A click or Enter selects one or takes it out again; Escape clears."
)
NEIGHBOURS_HELP = "Click an image, or walk with the arrow keys and press Enter, to see those nearest to it."


class PictureMap(anywidget.AnyWidget):
    """A map of images: pointing at one shows it, drawing around some selects them and shows them together.

    `points` (N, 2) is the map. `pictures` are N gray pictures: bytes of a PNG (empty where there is none), or
    arrays (H, W) or (1, H, W), floats in [0, 1] or uint8. `table` has a row per image; its columns are
    what is said of each. Colours and markers follow the column `colour` (default: the first), which can
    be changed in the widget. `title` stands above it, `height` is in pixels, and `alt` replaces the
    description of the still picture.

    `selected` holds the row numbers of the selected images; setting it selects them.

    Raises:
        ValueError: lengths differ, a point is NaN, a column or row is unknown, or a picture cannot be read.
    """

    _esm = (HERE / "picture_map.js").read_text(encoding="utf-8")
    _css = (HERE / "picture_map.css").read_text(encoding="utf-8")
    _data = traitlets.Dict().tag(sync=True)
    _sheets = traitlets.List(traitlets.Bytes()).tag(sync=True)
    colour = traitlets.Unicode().tag(sync=True)
    selected = traitlets.Tuple().tag(sync=True)

    def __init__(
        self,
        points: ArrayLike,
        pictures: Sequence[plots.Picture],
        table: pd.DataFrame,
        *,
        colour: str | None = None,
        title: str = "Map of the images",
        alt: str | None = None,
        height: int = 420,
    ) -> None:
        self._points, self._table = _checked(points, pictures, table)
        self._pictures, self._title, self._alt = list(pictures), title, alt
        colour = self._table.columns[0] if colour is None else str(colour)
        self._check_column(colour)
        places = self._points - self._points.min(axis=0)
        places /= places.max() or 1
        data = {
            "points": places.round(4).tolist(),  # from 0 to 1 along the longer axis
            "extent": np.maximum(places.max(axis=0), 1e-6).tolist(),
            "columns": [_column(str(name), values.tolist()) for name, values in self._table.items()],
            "themes": {
                theme: {"ink": INK[theme], "ground": GROUND[theme], "faint": FAINT[theme], "quiet": quiet}
                for theme, quiet in QUIET.items()
            },
            "missing": plots.MISSING,
            "title": title,
            "help": MAP_HELP,
            "height": height,
            "across": ACROSS,
        }
        super().__init__(_data=data, _sheets=list(_sheets(self._pictures)), colour=colour)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._points)} images, coloured by {self.colour!r})"

    def _check_column(self, name: str) -> None:
        if name not in self._table.columns:
            raise ValueError(f"The table has no column {name!r}; it has {', '.join(self._table.columns)}.")

    @traitlets.validate("colour")
    def _known_colour(self, proposal: Any) -> str:
        self._check_column(proposal["value"])
        return proposal["value"]

    @traitlets.validate("selected")
    def _known_rows(self, proposal: Any) -> tuple[int, ...]:
        rows = sorted({int(row) for row in proposal["value"]})
        if rows and not 0 <= rows[0] <= rows[-1] < len(self._points):
            wrong = rows[0] if rows[0] < 0 else rows[-1]
            raise ValueError(f"There is no row {wrong}: the rows are 0 to {len(self._points) - 1}.")
        return tuple(rows)

    def _still(self) -> tuple[bytes, str]:
        """Return what is seen where no kernel runs: a picture, and what it shows."""
        values = self._table[self.colour].tolist()
        drawn = plots.map_scatter(self._points, values, name=self.colour, axis="axis")
        return drawn.png(), f"{self._title}. {drawn.alt}"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        png, described = self._still()
        alt = self._alt or described
        view = {"version_major": 2, "version_minor": 1, "model_id": self.model_id}
        bundle = {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": plots.figure_html(png, alt),
            "text/plain": alt,
        }
        return bundle, {}


class PictureNeighbours(PictureMap):
    """A map on which one chooses an image, and below it the ten nearest in all D dimensions of the vectors.

    `vectors` (N, D) are the embeddings; `points` (N, 2) is the map (default: two principal components).
    `metric`, "Euclidean" or "cosine", can be changed in the widget. Each neighbour says which of the columns
    `compare` it shares with the image (default: all that repeat a value, but for measurements), and a
    sentence counts them, beside how many of any ten images would. `start` is the row that is shown first,
    and in the still picture. The rest is as in `PictureMap`; `selected` holds the row of the image.
    """

    metric = traitlets.Enum(get_args(Metric), "Euclidean").tag(sync=True)

    def __init__(
        self,
        vectors: ArrayLike,
        pictures: Sequence[plots.Picture],
        table: pd.DataFrame,
        *,
        points: ArrayLike | None = None,
        metric: Metric = "Euclidean",
        compare: Sequence[str] | None = None,
        start: int = 0,
        colour: str | None = None,
        title: str = "Nearest images",
        alt: str | None = None,
        height: int = 420,
    ) -> None:
        from course_utils.analysis import reduce
        from course_utils.analysis.checks import check_vectors

        matrix = check_vectors(vectors)
        points = reduce(matrix) if points is None else points
        super().__init__(points, pictures, table, colour=colour, title=title, alt=alt, height=height)
        if len(matrix) != len(self._points):
            raise ValueError(f"There are {len(matrix)} vectors for {len(self._points)} points.")
        if compare is None:
            compare = [
                str(name)
                for name, values in self._table.items()
                if values.dropna().duplicated().any() and not pd.api.types.is_float_dtype(values)
            ]
        for name in compare:
            self._check_column(name)
        self._data = {
            **self._data,
            "neighbours": {each: _nearest(matrix, each) for each in get_args(Metric)},
            "compared": [
                {"name": name, "word": _word(name), **_mark(number)} for number, name in enumerate(compare)
            ],
            "help": NEIGHBOURS_HELP,
        }
        self.metric, self.selected = metric, (start,)
        self._start = self.selected[0]

    @traitlets.validate("selected")
    def _known_rows(self, proposal: Any) -> tuple[int, ...]:
        if len(proposal["value"]) > 1:
            raise ValueError(f"One image is chosen at a time, not {len(proposal['value'])}.")
        return super()._known_rows(proposal)

    def _still(self) -> tuple[bytes, str]:
        asked = self._start
        near = self._data["neighbours"][self.metric]
        rows, titles = near["rows"][asked], [f"distance {each}" for each in near["distances"][asked]]
        counted: list[str] = []
        for each in self._data["compared"]:
            column = next(column for column in self._data["columns"] if column["name"] == each["name"])
            codes = np.array(column["codes"])
            if codes[asked] < 0:
                continue
            same = codes == codes[asked]
            for place, row in enumerate(rows):
                titles[place] += f"\nsame {each['word']}" if same[row] else ""
            chance = len(rows) * np.delete(same, asked).mean()
            have, by = ("", "") if counted else ("have ", "by chance ")
            counted.append(f"{same[rows].sum()} {have}the same {each['word']} ({by}{chance:.1f})")
        shown = [_gray(self._pictures[row], row) / 255 for row in (asked, *rows)]
        png = plots.contact_sheet(shown, [f"image {asked}", *titles], columns=6).png()
        counts = ", ".join(counted) or "nothing is compared"
        nearest = f"Of the {len(rows)} nearest to image {asked} ({self.metric} distance)"
        return png, f"{self._title}. {nearest}, {counts}."


def _checked(
    points: ArrayLike, pictures: Sequence[plots.Picture], table: pd.DataFrame
) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Return the map (N, 2) and the table with names as text and whole numbers as such; or ValueError."""
    place = np.asarray(points, np.float64)
    if place.ndim != 2 or place.shape[1] != 2 or not len(place):
        raise ValueError(f"points have shape {place.shape}; needed is (N, 2), a row per image.")
    if not len(place) == len(pictures) == len(table):
        raise ValueError(
            f"There are {len(place)} points, {len(pictures)} pictures and {len(table)} rows in the table:"
            " each image needs one of each."
        )
    if not np.isfinite(place).all():
        row = int(np.flatnonzero(~np.isfinite(place).all(axis=1))[0])
        raise ValueError(f"Point {row} is NaN or infinite: it has no place on a map.")
    named = table.set_axis([str(name) for name in table.columns], axis=1).map(_value).convert_dtypes()
    if named.columns.empty or not named.columns.is_unique:
        raise ValueError(f"The table needs columns with different names; it has {list(table.columns)}.")
    return place, named


def _value(value: Any) -> Any:
    """Return a value as a canvas can say it: a day without a time, and a list as text."""
    if isinstance(value, datetime) and not pd.isna(value):
        return str(value).removesuffix(" 00:00:00")
    return value if pd.api.types.is_scalar(value) else str(value)


def _column(name: str, values: list[Any]) -> dict[str, Any]:
    """Return a column for the canvas: what it says of each image, and its categories with their looks."""
    words = [None if plots.is_missing(each) else _words(each) for each in values]
    codes, texts = pd.factorize(np.array(words, object))
    categories = plots.tidy_categories(values)
    groups = plots.in_order(categories)
    light, dark = (plots.category_styles(groups, theme) for theme in ("light", "dark"))
    place = {group: number for number, group in enumerate(groups)}
    return {
        "name": name,
        "texts": list(texts),
        "codes": codes.tolist(),  # -1 where missing
        "groups": groups,
        "group": [place[each] for each in categories],
        "styles": [
            {"outline": _outline(light[each][1]), "light": light[each][0], "dark": dark[each][0]}
            for each in groups
        ],
    }


def _words(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _outline(marker: str) -> str:
    """Return a marker of matplotlib's as an SVG path, one unit across, so that canvas and still agree."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform() + Affine2D().scale(1, -1))
    parts = path.iter_segments(simplify=False)
    return "".join(
        SVG[int(code)] + ("" if code == 79 else " ".join(f"{each:.3f}" for each in ends))
        for ends, code in parts
    )


def _sheets(pictures: Sequence[plots.Picture]) -> Iterator[bytes]:
    """Yield sheets of 8 × 8 pictures as JPEG: a browser decodes a sheet when one of its pictures is shown."""
    side = int(np.clip((PIXELS / len(pictures)) ** 0.5, 64, 160)) // 8 * 8  # a JPEG has blocks of 8 × 8
    inner = side - 2  # a black line around each, or its neighbour would show through when it is scaled
    for first in range(0, len(pictures), ACROSS**2):
        sheet = np.zeros((ACROSS * side, ACROSS * side), np.uint8)
        for place, row in enumerate(range(first, min(first + ACROSS**2, len(pictures)))):
            gray = _gray(pictures[row], row)
            scale = inner / max(gray.shape)
            height, width = (max(1, round(length * scale)) for length in gray.shape)
            small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
            top, left = (side * step for step in divmod(place, ACROSS))
            top, left = top + (side - height) // 2, left + (side - width) // 2
            sheet[top : top + height, left : left + width] = small
        yield cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _gray(picture: plots.Picture, row: int) -> NDArray[np.uint8]:
    """Return a picture as uint8 (H, W); one that is missing is black."""
    if isinstance(picture, bytes):
        if not picture:
            return np.zeros((1, 1), np.uint8)
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            raise ValueError(f"Picture {row} is bytes, but not those of a PNG.")
        return pixels.astype(np.uint8, copy=False)
    array = pixels_of(picture)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"Picture {row} has shape {array.shape}; needed is (H, W) or (1, H, W).")
    whole = array.dtype == np.uint8
    if not whole and not (np.abs(array - 0.5) < 0.51).all():
        raise ValueError(
            f"Picture {row} has values from {array.min():.4g} to {array.max():.4g}; needed are uint8, or"
            " floats in [0, 1]."
        )
    return array.astype(np.uint8) if whole else np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)


def _nearest(matrix: NDArray[np.float64], metric: Metric) -> dict[str, list[list[Any]]]:
    """Return the rows and the distances, as text, of the ten nearest to each vector (N, D), nearest first."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEAREST, len(matrix) - 1)
    search = NearestNeighbors(n_neighbors=count, metric=metric.lower(), algorithm="brute").fit(matrix)
    distances, rows = search.kneighbors()  # of each vector among the others
    return {"rows": rows.tolist(), "distances": [[f"{each:.3g}" for each in row] for row in distances]}


def _word(column: str) -> str:
    """Return what a sentence calls a column: "same woman", "same view"."""
    words = {"patient": "woman", "patient_key": "woman", "laterality": "side"}
    return words.get(column, column.replace("_", " "))


def _mark(number: int) -> dict[str, str]:
    return {theme: colours[number % len(colours)] for theme, colours in plots.PALETTE.items()}
