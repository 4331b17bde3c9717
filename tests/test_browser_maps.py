"""The maps of pictures in a real JupyterLab: mouse, finger and keyboard, and what the kernel gets to know.

The map under test is a grid of 6 × 5 points, a picture of its own gray for each; so a test knows which
image lies where, and what it must look like.
"""

import io
import json
import re
import time

import pytest
from browsing import BROWSER_TEST, ask_kernel, close, run_all
from calibration import patience
from PIL import Image

pytestmark = BROWSER_TEST

HOSTILE = "<img src=x onerror=window.hurt=1>"

GRID = f"""
import numpy as np
import pandas as pd
from course_utils.teaching.picture_map import PictureMap, PictureNeighbours

rows = np.arange(30)
points = np.column_stack([rows % 6, rows // 6])
pictures = [np.full((40, 30), (row + 1) / 31) for row in rows]
table = pd.DataFrame({{
    "view": np.where(rows % 6 < 3, "CC", "MLO"),
    "density": [None, "a", "b", "c", "d"] * 6,
    "note": [{HOSTILE!r}] * 30,
}})
"""
MAP = "chart = PictureMap(points, pictures, table, title='A grid')\nchart"
NEIGHBOURS = """
vectors = np.column_stack([rows, np.zeros(30)]).astype(float)
chart = PictureNeighbours(vectors, pictures, table, points=points, start=7)
chart
"""
MANY = """
chart = PictureMap(
    np.random.default_rng(0).normal(size=(5000, 2)),
    [np.zeros((8, 8), np.uint8)] * 5000,
    pd.DataFrame({"view": ["CC", "MLO"] * 2500}),
)
chart
"""
COLUMNS, LINES = 6, 5
MARGIN = 18

# Counts what is painted on any canvas: a map at rest must paint nothing.
COUNT_PAINT = """() => {
    window.painted = 0;
    for (const name of ["fill", "stroke"]) {
        const original = CanvasRenderingContext2D.prototype[name];
        CanvasRenderingContext2D.prototype[name] = function (...given) {
            window.painted += 1;
            return original.apply(this, given);
        };
    }
}"""
HIDE_FILES = "window.jupyterapp.commands.execute('application:toggle-left-area')"
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Chart:
    """A map in an open notebook, and hands to use it with."""

    def __init__(self, page):
        self.page = page
        self.canvas = page.get_by_role("application")
        self.canvas.wait_for()
        self.canvas.scroll_into_view_if_needed()
        self.status = page.locator(".pm-status")
        self.card = page.locator(".pm-card")
        self.gallery = page.locator(".pm-gallery button")

    def at(self, column, line):
        """Return where on the page the point of a column and a line of the grid is; halves lie between."""
        box = self.canvas.bounding_box()
        scale = min(
            (box["width"] - 2 * MARGIN) / (COLUMNS - 1), (box["height"] - 2 * MARGIN) / (LINES - 1)
        )  # one for both axes
        across, down = (column - (COLUMNS - 1) / 2) * scale, ((LINES - 1) / 2 - line) * scale
        return box["x"] + box["width"] / 2 + across, box["y"] + box["height"] / 2 + down

    def draw(self, *corners):
        """Draw with the mouse from corner to corner."""
        mouse = self.page.mouse
        mouse.move(*self.at(*corners[0]))
        mouse.down()
        for corner in corners[1:]:
            mouse.move(*self.at(*corner), steps=4)
        mouse.up()

    def say(self, words):
        """Wait until the live region says these words."""
        from playwright.sync_api import expect

        expect(self.status).to_have_text(words, timeout=1000 * patience(10))

    def selected(self):
        """Ask the kernel which images are selected."""
        return json.loads(ask_kernel(self.page, "print(list(chart.selected))"))

    def kernel_has(self, rows):
        """Wait until the kernel knows that these images are selected."""
        self.kernel_says("list(chart.selected)", str(rows))

    def kernel_says(self, asked, expected):
        """Wait until the kernel answers as expected.

        A widget sends one change at a time and keeps the next until the first was answered, so a question may
        overtake it.
        """
        deadline = time.monotonic() + patience(10)
        while (said := ask_kernel(self.page, f"print({asked})")) != expected:
            assert time.monotonic() < deadline, f"the kernel says {said}, not {expected}"


@pytest.fixture(scope="module")
def show(lab, browser):
    """Open a notebook with a map in it and run it: `show(cell, **options of the page)`."""
    opened = []

    def open_and_run(cell, before="null", **options):
        name = f"maps_{len(opened)}.ipynb"
        lab.write(name, GRID, cell)
        page = lab.open(browser, name, **options)
        opened.append(page)
        page.evaluate(before)
        run_all(page)
        return Chart(page)

    yield open_and_run
    for page in opened:
        close(page)


@pytest.fixture(scope="module")
def grid(show):
    return show(MAP)


@pytest.fixture
def chart(grid):
    """The one map of most tests, as it was at first."""
    ask_kernel(grid.page, "chart.selected, chart.colour = (0,), 'view'")
    grid.say("1 of 30 images selected.")
    ask_kernel(grid.page, "chart.selected = ()")
    grid.say("No image is selected.")
    return grid


def test_pointing_shows_the_picture_and_its_labels_as_text(chart):
    chart.page.mouse.move(*chart.at(4, 2))
    chart.card.get_by_text("Image 16").wait_for()
    assert chart.card.locator("dd").all_inner_texts() == ["MLO", "a", HOSTILE]
    picture = chart.card.get_by_role("img")
    assert picture.get_attribute("aria-label") == f"Image 16: view MLO, density a, note {HOSTILE}"
    assert gray_in_the_middle_of(picture) == pytest.approx(255 * 17 / 31, abs=4)
    assert chart.page.evaluate("window.hurt") is None
    chart.page.mouse.move(*chart.at(0, 1))
    chart.card.get_by_text("Image 6").wait_for()
    assert chart.card.locator("dd").all_inner_texts() == ["CC", "a", HOSTILE]


def gray_in_the_middle_of(locator):
    shot = Image.open(io.BytesIO(locator.screenshot())).convert("L")
    return shot.getpixel((shot.width // 2, shot.height // 2))


def test_a_lasso_fills_the_gallery_and_the_kernel_knows(chart):
    # Around (0, 0), (1, 0), (2, 0) and (0, 1), and not around (1, 1), which lies in the same box.
    chart.draw((-0.1, -0.1), (2.4, -0.1), (2.4, 0.3), (0.5, 0.5), (0.4, 1.4), (-0.1, 1.4))
    chart.say("4 of 30 images selected.")
    chart.kernel_has([0, 1, 2, 6])
    assert [each.split("\n")[0] for each in chart.gallery.all_inner_texts()] == [
        *("image 0", "image 1", "image 2", "image 6")
    ]
    chart.page.keyboard.press("Escape")
    chart.say("No image is selected.")
    chart.kernel_has([])
    assert chart.gallery.count() == 0


def test_shift_draws_a_box_control_adds_and_a_click_takes_out(chart):
    chart.page.keyboard.down("Shift")
    chart.draw((3.5, 2.5), (5.1, 4.1))
    chart.page.keyboard.up("Shift")
    chart.say("4 of 30 images selected.")
    chart.kernel_has([22, 23, 28, 29])
    chart.page.keyboard.down("Control")
    chart.draw((-0.1, 3.6), (0.4, 3.6), (0.4, 4.1), (-0.1, 4.1))
    chart.page.keyboard.up("Control")
    chart.say("5 of 30 images selected.")
    chart.page.mouse.click(*chart.at(5, 4))
    chart.say("4 of 30 images selected.")
    chart.kernel_has([22, 23, 24, 28])
    ask_kernel(chart.page, "chart.selected = (3, 1)")
    chart.say("2 of 30 images selected.")
    assert [each.split("\n")[0] for each in chart.gallery.all_inner_texts()] == ["image 1", "image 3"]


def test_the_keyboard_walks_selects_and_clears_and_leaves_the_notebook_alone(chart):
    cells = "window.jupyterapp.shell.currentWidget.content.model.cells.length"
    before = chart.page.evaluate(cells)
    chart.canvas.focus()
    outline = chart.canvas.evaluate("node => getComputedStyle(node).outlineStyle")
    for key in ("Home", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft", "ArrowDown"):
        chart.page.keyboard.press(key)
    chart.say(f"Image 6: view CC, density a, note {HOSTILE}.")
    chart.page.keyboard.press("Enter")
    chart.say("1 of 30 images selected.")
    chart.page.keyboard.press("ArrowRight")
    chart.page.keyboard.press("Enter")
    chart.say("2 of 30 images selected.")
    chart.kernel_has([6, 7])
    chart.page.keyboard.press("ArrowLeft")
    chart.say(re.compile("^Image 6: .*, selected"))
    for key in "bbddx":  # to JupyterLab: two cells more, one less, one cut
        chart.page.keyboard.press(key)
    chart.page.keyboard.press("Escape")
    chart.say("No image is selected.")
    chart.kernel_has([])
    assert chart.canvas.evaluate("node => node === document.activeElement")
    assert chart.page.evaluate(cells) == before
    assert outline == "solid"


def test_another_column_colours_map_and_legend_and_the_kernel_knows(chart):
    legend = chart.page.get_by_role("list", name="Legend")
    assert legend.locator("li").all_inner_texts() == ["CC (15)", "MLO (15)"]
    chart.page.get_by_label("Colour by").select_option("density")
    legend.get_by_text("not stated (6)").wait_for()
    assert legend.locator("li").all_inner_texts() == ["a (6)", "b (6)", "c (6)", "d (6)", "not stated (6)"]
    shapes = legend.locator("path").evaluate_all("all => all.map(path => path.getAttribute('d'))")
    colours = legend.locator("path").evaluate_all("all => all.map(path => path.getAttribute('fill'))")
    assert len(set(shapes)) == len(set(colours)) == 5
    chart.page.evaluate(TWO_FRAMES)
    assert colour_at(chart, 1, 0) == pytest.approx(numbers_of(colours[0]), abs=2)
    assert colour_at(chart, 0, 0) == pytest.approx(numbers_of(colours[4]), abs=2)
    chart.kernel_says("chart.colour", "density")
    ask_kernel(chart.page, "chart.colour = 'view'")
    legend.get_by_text("MLO (15)").wait_for()
    assert chart.page.get_by_label("Colour by").input_value() == "view"


def colour_at(chart, column, line):
    """Return the colour in the middle of a point of the grid."""
    x, y = chart.at(column, line)
    box = chart.canvas.bounding_box()
    pixel = """(node, [x, y]) => [...node.previousSibling.getContext("2d").getImageData(
        x * devicePixelRatio, y * devicePixelRatio, 1, 1).data]"""
    *colour, alpha = chart.canvas.evaluate(pixel, [x - box["x"], y - box["y"]])
    assert alpha > 200
    return colour


def numbers_of(colour):
    return list(bytes.fromhex(colour[1:]))


def test_the_map_follows_the_theme_of_jupyterlab(chart):
    assert chart.page.locator(".pm").get_attribute("data-theme") == "light"
    chart.page.evaluate(
        "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    chart.page.locator(".pm[data-theme=dark]").wait_for()
    for name in (".pm-help", ".pm-bar label", ".pm-card p"):
        assert contrast(chart.page.locator(name).first) >= 4.5
    chart.page.evaluate(
        "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})"
    )
    chart.page.locator(".pm[data-theme=light]").wait_for()
    for name in (".pm-help", ".pm-bar label", ".pm-card p"):
        assert contrast(chart.page.locator(name).first) >= 4.5


def contrast(locator):
    """Return the contrast of words with the map's ground (WCAG 2.2, 1.4.3)."""
    script = """node => [node, node.closest(".pm")].map((each, i) =>
        getComputedStyle(each)[i ? "backgroundColor" : "color"].match(/[0-9.]+/g).slice(0, 3).map(Number))"""
    bright = []
    for colour in locator.evaluate(script):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)
        ]
        bright.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(bright) + 0.05) / (min(bright) + 0.05)


def test_the_map_has_names_and_roles_for_those_who_cannot_see_it(chart):
    assert chart.canvas.get_attribute("aria-label") == "A grid: 30 images"
    described = chart.canvas.get_attribute("aria-describedby")
    assert "arrow keys" in chart.page.locator(f"[id={described}]").inner_text()
    assert chart.canvas.get_attribute("tabindex") == "0"
    assert chart.status.get_attribute("aria-live") == "polite"
    assert chart.page.get_by_role("group", name="Draw").get_by_role("radio").count() == 3
    assert chart.page.get_by_role("combobox", name="Colour by").count() == 1
    ask_kernel(chart.page, "chart.selected = (3, 1)")
    chart.say("2 of 30 images selected.")
    assert chart.page.get_by_role("list", name="Selected images").get_by_role("button").count() == 2


def test_a_finger_looks_and_draws_only_when_asked_and_the_map_fits_a_phone(show):
    chart = show(
        MAP, before=HIDE_FILES, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    assert chart.page.get_by_label("off").is_checked()
    assert chart.canvas.evaluate("node => getComputedStyle(node).touchAction") == "auto"
    chart.page.touchscreen.tap(*chart.at(1, 3))
    chart.card.get_by_text("Image 19").wait_for()
    chart.say("1 of 30 images selected.")
    chart.page.get_by_label("lasso").check()
    assert chart.canvas.evaluate("node => getComputedStyle(node).touchAction") == "none"
    swipe(chart, (-0.1, -0.1), (1.5, -0.1), (1.5, 0.5), (-0.1, 0.5))
    chart.say("2 of 30 images selected.")
    chart.kernel_has([0, 1])
    root = chart.page.locator(".pm")
    assert root.evaluate("node => node.scrollWidth - node.clientWidth") == 0


def swipe(chart, *corners):
    """Draw with a finger."""
    session = chart.page.context.new_cdp_session(chart.page)
    for number, corner in enumerate(corners):
        x, y = chart.at(*corner)
        kind = "touchMove" if number else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_five_thousand_images_answer_and_paint_only_when_something_changes(show):
    chart = show(MANY, before=COUNT_PAINT)
    chart.page.evaluate(TWO_FRAMES)
    chart.page.evaluate("window.painted = 0")
    chart.page.evaluate(TWO_FRAMES)
    assert chart.page.evaluate("window.painted") == 0
    chart.page.mouse.move(*chart.at(2.5, 2))
    chart.card.get_by_text("Image").wait_for()
    chart.page.evaluate(TWO_FRAMES)
    assert 0 < chart.page.evaluate("window.painted") < 100  # a ring, not 5000 points
    chart.draw((0, 0), (5, 0), (5, 4), (0, 4))
    chart.page.evaluate(TWO_FRAMES)
    assert chart.page.evaluate("window.painted") > 5000
    count = len(chart.selected())
    assert count > 4900
    assert chart.gallery.count() == 60
    assert chart.page.locator(".pm-more").inner_text() == f"60 of {count}, spread evenly"


def test_neighbours_are_named_nearest_first_with_what_they_share(show):
    chart = show(NEIGHBOURS)
    chart.say(re.compile("^Of the 10 nearest to image 7, "))
    chart.page.mouse.click(*chart.at(0, 0))
    # Rows 1 to 10 are nearest to row 0: CC are 1, 2, 6, 7, 8 of them; 14 of the other 29 images are.
    # Nothing is said of density: that of image 0 is not known.
    chart.say("Of the 10 nearest to image 0, 5 have the same view (by chance 4.8), 10 the same note (10.0).")
    chart.kernel_has([0])
    cards = [each.split("\n") for each in chart.gallery.all_inner_texts()]
    assert cards[0] == ["image 0", "chosen"]
    assert cards[1] == ["image 1", "distance 1", "same view", "same note"]
    assert cards[3] == ["image 3", "distance 3", "same note"]
    assert [card[0] for card in cards] == [f"image {row}" for row in range(11)]
    chart.gallery.nth(1).click()
    chart.say(re.compile("^Of the 10 nearest to image 1, "))
    chart.page.get_by_label("Distance").select_option("cosine")
    chart.page.wait_for_function(
        "document.querySelectorAll('.pm-gallery button')[1].innerText.includes('distance 0\\n')"
    )
    chart.kernel_says("chart.metric", "cosine")
    chart.canvas.focus()
    for key in ("ArrowRight", "Enter"):
        chart.page.keyboard.press(key)
    chart.say(re.compile("^Of the 10 nearest to image 2, "))
