"""Maps of pictures, from the side of Python: what reaches the canvas, and what a stored notebook keeps."""

import base64
import io
import re
import sys
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline
from PIL import Image
from traitlets import TraitError

from course_utils import plots
from course_utils.analysis.errors import AnalysisError
from course_utils.teaching.picture_map import PictureMap, PictureNeighbours

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import notebooks

POINTS = np.column_stack([np.arange(6) * 2.0, [5, 5, 5, 5, 5, 9]])
PICTURES = [np.full((20, 10), (row + 1) / 8) for row in range(6)]
TABLE = pd.DataFrame(
    {
        "view": ["CC", "MLO", "CC", None, "MLO", "CC"],
        "woman": [1, 1, 2, 2, np.nan, np.nan],
        "thickness": [50.5, 50.5, 61.25, 42.0, 40.0, 39.0],
    }
)


def a_map(**changed):
    given = {"points": POINTS, "pictures": PICTURES, "table": TABLE} | changed
    return PictureMap(given.pop("points"), given.pop("pictures"), given.pop("table"), **given)


def column(chart, name):
    return next(each for each in chart._data["columns"] if each["name"] == name)


def pixels(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)


def png(picture):
    return cv2.imencode(".png", np.rint(picture * 255).astype(np.uint8))[1].tobytes()


# What a stored notebook keeps


def test_a_stored_notebook_keeps_a_still_picture_and_the_words_for_it():
    bundle, _ = a_map(title="Six images")._repr_mimebundle_()
    words = "Six images. Scatter plot of 6 images, axis 2 against axis 1, coloured by view:"
    assert bundle["text/plain"] == f"{words} CC 3, MLO 2, not stated 1."
    alt, picture = re.search('alt="([^"]+)".*base64,([^"]+)', bundle["text/html"]).groups()
    assert alt == bundle["text/plain"]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).format == "PNG"
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert a_map(alt="My words.")._repr_mimebundle_()[0]["text/plain"] == "My words."


def test_a_notebook_with_a_map_stays_small_and_stores_no_state_of_it():
    cell = """
import numpy as np, pandas as pd
from course_utils.teaching.picture_map import PictureMap
noise = np.random.default_rng(0)
PictureMap(noise.normal(size=(200, 2)), noise.random((200, 1, 64, 64)), pd.DataFrame({"view": ["CC"] * 200}))
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    built = notebooks.tidy(notebooks.execute(notebook, Path(__file__).parent))
    assert set(built.cells[0].outputs[0].data) == {"text/html", "text/plain"}
    assert "widgets" not in built.metadata
    assert len(nbformat.writes(built)) < 50_000


# What reaches the canvas


def test_canvas_and_still_have_the_same_colours_and_markers():
    chart = a_map(colour="woman")
    drawn = plots.map_scatter(POINTS, chart._table["woman"].tolist(), name="woman").figure.axes[0]
    styles = column(chart, "woman")["styles"]
    assert column(chart, "woman")["groups"] == ["1", "2", plots.MISSING]
    for points, style, marker in zip(drawn.collections, styles, ["o", "s", "."], strict=True):
        assert (points.get_facecolor()[0, :3] * 255).round().tolist() == [
            int(style["light"][i : i + 2], 16) for i in (1, 3, 5)
        ]
        np.testing.assert_allclose(points.get_paths()[0].vertices, outline_of(marker).vertices)
        drawn_by_browser = [float(each) for each in style["outline"].translate(NO_LETTERS).split()]
        expected = outline_of(marker).vertices * [1, -1]  # down is positive there
        assert drawn_by_browser == pytest.approx(expected[: len(drawn_by_browser) // 2].ravel(), abs=6e-4)
    assert styles[2] | {"outline": ""} == {
        "outline": "",
        "light": plots.GRAY["light"],
        "dark": plots.GRAY["dark"],
    }


NO_LETTERS = str.maketrans(dict.fromkeys("MLCQZ", " "))


def outline_of(marker) -> Outline:
    style = MarkerStyle(marker)
    return style.get_path().transformed(style.get_transform())


def test_both_axes_have_one_scale_and_equal_coordinates_divide_nothing_by_zero():
    data = a_map()._data
    np.testing.assert_allclose(data["points"], np.column_stack([np.arange(6) / 5, [0, 0, 0, 0, 0, 0.4]]))
    assert data["extent"] == [1, 0.4]
    same = a_map(points=np.ones((6, 2)))._data
    assert same["points"] == [[0, 0]] * 6
    assert min(same["extent"]) > 0
    drawn = plots.map_scatter(POINTS, TABLE["view"]).figure
    drawn.draw_without_rendering()
    one, along_x, along_y = drawn.axes[0].transData.transform([[0, 0], [1, 0], [0, 1]])
    assert np.linalg.norm(along_x - one) == pytest.approx(np.linalg.norm(along_y - one), rel=1e-3)


def test_days_have_no_time_and_lists_and_arrays_in_a_table_are_text():
    table = pd.DataFrame(
        {
            "day": pd.to_datetime(
                ["2020-02-01", "2020-02-03", None, "2020-02-01", "2020-02-03", "2020-02-01"]
            ),
            "hour": pd.to_datetime(["2020-02-01 08:30", None] * 3),
            "list": [[1, 2], None] * 3,
            "array": [np.array([1, 2]), np.nan] * 3,
            7: [True, False, None] * 2,
        }
    )
    chart = a_map(table=table, colour=7)
    assert column(chart, "day")["groups"] == ["2020-02-01", "2020-02-03", plots.MISSING]
    assert column(chart, "hour")["texts"] == ["2020-02-01 08:30:00"]
    assert column(chart, "list")["groups"] == ["[1, 2]", plots.MISSING]
    assert column(chart, "array")["texts"] == ["[1 2]"]
    assert chart.colour == "7"
    assert "7: True 2, False 2, not stated 2" in chart._repr_mimebundle_()[0]["text/plain"]


def test_a_column_says_for_each_image_what_it_is_and_what_is_missing():
    woman = column(a_map(), "woman")
    assert woman["texts"] == ["1", "2"]  # not 1.0
    assert woman["codes"] == [0, 0, 1, 1, -1, -1]
    assert woman["group"] == [0, 0, 1, 1, 2, 2]
    assert column(a_map(), "thickness")["texts"] == ["50.5", "61.25", "42", "40", "39"]
    ages = pd.DataFrame({"age": [*range(40, 80)]})
    chart = PictureMap(np.random.default_rng(0).random((40, 2)), [b""] * 40, ages)
    assert column(chart, "age")["groups"] == ["40 to 49", "50 to 59", "60 to 69", "70 to 79"]
    assert column(chart, "age")["texts"][:2] == ["40", "41"]


def test_each_picture_lies_where_the_canvas_looks_for_it():
    grays = (np.arange(70) + 10) / 100
    chart = PictureMap(
        np.random.default_rng(0).random((70, 2)),
        [np.full((30, 30), gray) for gray in grays],
        pd.DataFrame({"row": range(70)}),
    )
    sheets = [pixels(sheet) for sheet in chart._sheets]
    assert [sheet.shape for sheet in sheets] == [(8 * 160, 8 * 160)] * 2
    for row, gray in enumerate(grays):
        line, across = divmod(row % 64, 8)
        tile = sheets[row // 64][line * 160 : (line + 1) * 160, across * 160 : (across + 1) * 160]
        assert abs(tile[16:-16, 16:-16].astype(int) - 255 * gray).max() < 4  # JPEG is rough at edges
        assert tile[0].max() < 30  # a dark line keeps neighbours apart
    assert sheets[1][160:].max() < 4


def test_a_picture_may_be_a_png_an_array_of_floats_or_of_bytes_or_missing():
    picture = np.linspace(0, 1, 20 * 10).reshape(20, 10)
    whole = np.rint(picture * 255).astype(np.uint8)
    pictures = [png(picture), picture, picture[None], whole, b"", picture]
    sheet = pixels(a_map(pictures=pictures)._sheets[0]).astype(int)
    tiles = [sheet[:160, i * 160 : (i + 1) * 160] for i in range(6)]
    for other in (1, 2, 3, 5):
        assert abs(tiles[other] - tiles[0]).max() <= 4
    assert tiles[0].max() > 240
    assert tiles[4].max() < 4
    assert tiles[0][:, :36].max() < 8  # a tall picture keeps its shape
    assert tiles[0][100:150, 44:116].min() > 50


def test_many_pictures_are_smaller_each():
    sheets = PictureMap(np.zeros((5000, 2)), [PICTURES[0]] * 5000, pd.DataFrame({"n": range(5000)}))._sheets
    assert len(sheets) == 79
    assert pixels(sheets[0]).shape == (8 * 64, 8 * 64)
    assert sum(map(len, sheets)) < 4e6


# What the kernel is told and tells


def test_selected_rows_are_kept_in_order_and_colours_are_those_of_the_table():
    chart = a_map()
    assert chart.selected == ()
    chart.selected = (5, 0, 5, np.int64(3))
    assert chart.selected == (0, 3, 5)
    many = PictureMap(VECTORS[:, :2], [b""] * 40, MANY)
    many.selected = (33, 8, 16)
    assert many.selected == (8, 16, 33)
    with pytest.raises(ValueError, match="There is no row 6: the rows are 0 to 5"):
        chart.selected = (0, 6)
    with pytest.raises(ValueError, match="There is no row -1"):
        chart.selected = (-1,)
    chart.colour = "thickness"
    with pytest.raises(ValueError, match="no column 'density'; it has view, woman, thickness"):
        chart.colour = "density"
    assert "coloured by thickness" in chart._repr_mimebundle_()[0]["text/plain"]
    assert repr(chart) == "PictureMap(6 images, coloured by 'thickness')"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"points": POINTS[:5]}, "5 points, 6 pictures and 6 rows"),
        ({"pictures": PICTURES[:5]}, "6 points, 5 pictures and 6 rows"),
        ({"table": TABLE[:5]}, "6 points, 6 pictures and 5 rows"),
        ({"points": np.zeros((6, 3))}, r"points have shape \(6, 3\); needed is \(N, 2\)"),
        ({"points": np.zeros((0, 2)), "pictures": [], "table": TABLE[:0]}, r"shape \(0, 2\)"),
        ({"points": np.where(POINTS == 9, np.nan, POINTS)}, "Point 5 is NaN"),
        ({"points": np.where(POINTS == 6, np.inf, POINTS)}, "Point 3 is NaN or infinite"),
        ({"colour": "density"}, "no column 'density'; it has view, woman, thickness"),
        ({"table": TABLE[[]]}, "needs columns"),
        ({"table": TABLE[["view", "view"]]}, "columns with different names"),
        ({"pictures": [*PICTURES[:5], b"GIF89a"]}, "Picture 5 is bytes, but not those of a PNG"),
        ({"pictures": [*PICTURES[:5], np.zeros((4, 4, 3))]}, r"Picture 5 has shape \(4, 4, 3\)"),
        ({"pictures": [*PICTURES[:5], np.zeros((0, 4))]}, r"Picture 5 has shape \(0, 4\)"),
        (
            {"pictures": [*PICTURES[:5], np.eye(4) * 255]},
            "Picture 5 has values from 0 to 255; needed are uint8",
        ),
        ({"pictures": [*PICTURES[:5], np.full((4, 4), np.nan)]}, "Picture 5 has values from nan"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_reason(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        a_map(**changed)


# Neighbours

VECTORS = np.random.default_rng(3).normal(1, 2, (40, 12))
MANY = pd.DataFrame({"view": ["CC", "MLO"] * 20, "patient_key": [f"W{row // 4}" for row in range(40)]})


def neighbours(**options):
    return PictureNeighbours(VECTORS, [b""] * 40, MANY, **options)


@pytest.mark.parametrize("metric", ["Euclidean", "cosine"])
def test_neighbours_are_the_nearest_others_in_all_dimensions(metric):
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    from_all = {
        "Euclidean": np.linalg.norm(VECTORS[:, None] - VECTORS[None], axis=2),
        "cosine": 1 - unit @ unit.T,
    }[metric]
    np.fill_diagonal(from_all, np.inf)
    found = neighbours(metric=metric)._data["neighbours"][metric]
    expected = from_all.argsort(axis=1)[:, :10]
    assert found["rows"] == expected.tolist()
    assert found["distances"][7] == [f"{each:.3g}" for each in from_all[7, expected[7]]]


def test_fewer_images_than_ten_have_fewer_neighbours():
    chart = PictureNeighbours(VECTORS[:4], [b""] * 4, MANY[:4])
    assert sorted(chart._data["neighbours"]["Euclidean"]["rows"][2]) == [0, 1, 3]


def test_the_still_picture_of_neighbours_counts_what_they_share_beside_chance():
    chart = neighbours(start=9, title="Near")
    near = chart._data["neighbours"]["Euclidean"]["rows"][9]
    views, women = (sum(MANY[name][row] == MANY[name][9] for row in near) for name in MANY)
    assert chart._repr_mimebundle_()[0]["text/plain"] == (
        f"Near. Of the 10 nearest to image 9 (Euclidean distance), {views} have the same view (by chance 4.9)"
        f", {women} the same woman (0.8)."
    )
    assert chart.selected == (9,)


def test_measurements_and_missing_values_are_shared_by_nobody():
    table = TABLE.assign(file=[f"{row}.dcm" for row in range(6)])
    chart = PictureNeighbours(VECTORS[:6], PICTURES, table, points=POINTS, start=4)
    assert [each["name"] for each in chart._data["compared"]] == ["view", "woman"]
    words = chart._repr_mimebundle_()[0]["text/plain"]
    assert words.endswith(
        ", 1 have the same view (by chance 1.0)."
    )  # which woman image 4 is of, nobody knows
    chosen = PictureNeighbours(VECTORS[:6], PICTURES, table, points=POINTS, compare=["thickness"])
    assert "1 have the same thickness" in chosen._repr_mimebundle_()[0]["text/plain"]


def test_neighbours_refuse_what_they_cannot_show():
    with pytest.raises(ValueError, match="no column 'density'"):
        neighbours(compare=["density"])
    with pytest.raises(ValueError, match="There is no row 40"):
        neighbours(start=40)
    with pytest.raises(ValueError, match="One image is chosen at a time, not 2"):
        neighbours().selected = (1, 2)
    with pytest.raises(ValueError, match="40 vectors for 6 points"):
        PictureNeighbours(VECTORS, PICTURES, TABLE, points=POINTS)
    with pytest.raises(AnalysisError, match="vector 0 holds NaN"):
        PictureNeighbours(VECTORS * np.nan, [b""] * 40, MANY)
    with pytest.raises(TraitError, match=r"expected any of \['Euclidean', 'cosine'\]"):
        neighbours(metric="manhattan")
