"""The site: built once, read as files, then opened in a browser as people and their aids would.

Nothing here knows Sphinx: links, sizes, requests, pixels and barriers are those of the finished pages.
"""

import collections
import functools
import http.server
import io
import json
import shutil
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import nbformat
import numpy as np
import pytest
from browsing import BROWSER_TEST
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import website  # noqa: E402

LESSONS = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
FIRST_LOAD = 1_500_000  # bytes
CODE = (".highlight pre", "dt.sig")
"""Thousands of words in the same few colours on each page: two pages are looked at with them."""
PHONE, LAPTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
TOO_WIDE = """() => [...document.querySelectorAll("article *")].filter((element) => {
    if (element.closest("mjx-assistive-mml")) return false; // for screen readers, and clipped
    if (element.getBoundingClientRect().right <= innerWidth + 1) return false;
    for (let box = element.parentElement; box.tagName !== "ARTICLE"; box = box.parentElement) {
        if (["auto", "scroll"].includes(getComputedStyle(box).overflowX)) return false;
    }
    return true;
}).slice(0, 3).map((element) => `too wide: ${element.outerHTML.slice(0, 100)}`)"""
"""What is cut off by the edge of the screen, and in no box of its own that scrolls."""
BARRIERS = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]},
}


class Page(HTMLParser):
    """What a page links to, what it loads, and which anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.folded: list[bool] = []
        self.scripts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        of = {name: value or "" for name, value in attributes}
        self.anchors |= {of[name] for name in ("id", "name") if name in of}
        if tag == "a" and "href" in of:
            self.links.append(of["href"])
        if tag in ("img", "script", "source", "iframe", "video") and "src" in of:
            self.loads.append(of["src"])
        if tag == "script" and "src" in of:
            self.scripts.append(of["src"])
        if tag == "link" and of.get("rel") in ("stylesheet", "icon", "shortcut icon", "preload"):
            self.loads.append(of["href"])
        if tag == "details" and "hide" in of.get("class", ""):
            self.folded.append("open" not in of)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `make site` does, in another folder; Sphinx's first warning ends it."""
    return website.build(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pages(site):
    """The pages by their paths on the site."""
    found = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return {path.relative_to(site).as_posix(): Page(path) for path in found}


def test_every_lesson_page_and_package_is_on_the_site(pages):
    docs = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    lessons = {f"notebooks/{name}.html" for name in LESSONS}
    packages = {f"docs/reference/{name}.html" for name in website.REFERENCE}
    missing = (docs | lessons | packages | {"index.html", "docs/map.html", "search.html"}) - set(pages)
    assert not missing


def test_every_link_within_the_site_leads_to_a_page_and_a_place_on_it(site, pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            address, anchor = urldefrag(unquote(link))
            target = (site / name).parent / address if address else site / name
            if not target.resolve().is_relative_to(site.resolve()) or not target.is_file():
                broken.append(f"{name}: {link}")
            elif anchor and target.suffix == ".html":
                known = pages[target.resolve().relative_to(site.resolve()).as_posix()].anchors
                if anchor not in known and not anchor.startswith("_"):
                    broken.append(f"{name}: {link}")
    assert not broken


def test_no_page_loads_anything_from_elsewhere(pages):
    outside = [(name, load) for name, page in pages.items() for load in page.loads if "//" in load[:8]]
    assert not outside


def test_mathematics_is_loaded_only_where_there_is_some(pages):
    with_math = {name for name, page in pages.items() if any("mathjax" in each for each in page.scripts)}
    assert "notebooks/08_clustering.html" in with_math
    assert not with_math & {"index.html", "docs/map.html", "docs/glossary.html", "search.html"}


@pytest.mark.parametrize("name", LESSONS)
def test_what_answers_a_prediction_is_folded(pages, name):
    stored = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    code = [(cell.metadata.get("tags", []), cell.outputs) for cell in stored.cells if "outputs" in cell]
    answers = sum("hide-output" in tags and bool(outputs) for tags, outputs in code)
    sources = sum("hide-input" in tags for tags, _ in code)
    folded = pages[f"notebooks/{name}.html"].folded
    assert answers > 0
    assert len(folded) == answers + sources
    assert all(folded)


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_there_to_download_with_no_outputs(site, pages, name):
    offered = [link for link in pages[f"notebooks/{name}.html"].links if link.endswith(f"{name}.ipynb")]
    assert len(offered) == 1
    got = nbformat.read(site / "notebooks" / offered[0], as_version=4)
    stored = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    assert [cell.source for cell in got.cells] == [cell.source for cell in stored.cells]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in got.cells)


def test_solutions_say_so_and_are_not_in_the_search_or_the_sidebar(site, pages):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    known = json.loads(index[index.index("(") + 1 : index.rindex(")")])
    assert f"notebooks/{LESSONS[8]}" in known["docnames"]
    # Sphinx lists the page and none of its words: it is looked for by the numbers that words lead to.
    hidden = {place for place, name in enumerate(known["docnames"]) if "/solutions/" in name}
    hits = set()
    for places in [*known["terms"].values(), *known["titleterms"].values()]:
        hits |= set(places if isinstance(places, list) else [places])
    assert len(hits) > 20
    assert not hits & hidden
    for name in LESSONS:
        text = (site / "notebooks" / "solutions" / f"{name}.html").read_text(encoding="utf-8")
        assert f"<h1>Solution · {name[:2]}" in text
        assert not any("solutions/" in link for link in pages["index.html"].links)


def test_the_plain_index_names_every_page_once_but_for_solutions(site, pages):
    lines = (site / "llms.txt").read_text(encoding="utf-8").splitlines()
    named = [line[line.rindex("(") + 1 : -1] for line in lines if line.startswith("- [")]
    assert len(named) == len(set(named))
    others = {"index.html", "search.html", "genindex.html"}
    assert set(named) == {name for name in pages if "/solutions/" not in name} - others


# --- in a browser


@pytest.fixture(scope="module")
def address(site):
    """Serve the site on this machine only."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Visit:
    """A browser's tab that notes what went wrong, what was asked for, and how much came."""

    def __init__(self, browser, **settings) -> None:
        self.context = browser.new_context(**settings)
        self.tab = self.context.new_page()
        self.wrong, self.asked, self.bytes = [], [], 0
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("response", self._came)

    def _came(self, response):
        if response.status >= 400:
            self.wrong.append(f"{response.status} {response.url}")
        self.bytes += int(response.headers.get("content-length", 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


def barriers(tab, *, without=()):
    """Return what axe-core finds serious or critical on a page, outside of the elements `without`."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    where = {"exclude": [[selector] for selector in without]} if without else None
    found = axe.run(tab, context=where, options=BARRIERS).response["violations"]
    return [
        (each["impact"], each["id"], [node["html"][:120] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


class TestInABrowser:
    pytestmark = BROWSER_TEST

    def test_no_page_has_a_barrier_an_error_or_an_outside_request_or_is_wider_than_a_phone(
        self, browser, address, pages
    ):
        trouble = collections.defaultdict(list)
        with Visit(browser, viewport=PHONE) as visit:
            for number, name in enumerate(pages):
                visit.tab.emulate_media(color_scheme="dark" if number % 2 else "light")
                visit.tab.goto(address + name, wait_until="load")
                trouble[name] += visit.tab.evaluate(TOO_WIDE)
                seen = () if name == "index.html" else (".sidebar-drawer",)  # it is the same everywhere
                trouble[name] += barriers(visit.tab, without=(*CODE, *seen))
            own = (address, "data:", "blob:")
            trouble["asked elsewhere"] += [url for url in visit.asked if not url.startswith(own)]
            trouble["errors"] += visit.wrong
        assert not {name: what for name, what in trouble.items() if what}

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("name", ["notebooks/00_start_here", "docs/reference/report"])
    def test_code_has_no_barrier_either(self, browser, address, name, scheme):
        with Visit(browser, viewport=PHONE, color_scheme=scheme) as visit:
            visit.tab.goto(f"{address}{name}.html")
            assert visit.tab.locator(", ".join(CODE)).count() > 5
            assert not barriers(visit.tab)

    @pytest.mark.parametrize("name", ["index", "docs/map", *(f"notebooks/{each}" for each in LESSONS)])
    def test_a_first_visit_loads_less_than_a_megabyte_and_a_half(self, browser, address, name):
        with Visit(browser, viewport=LAPTOP) as visit:
            visit.tab.goto(f"{address}{name}.html", wait_until="networkidle")
            assert 10_000 < visit.bytes < FIRST_LOAD
            assert not visit.wrong

    def test_a_mammogram_has_the_same_pixels_in_light_and_dark_mode(self, browser, address):
        seen = {}
        for scheme in ("light", "dark"):
            with Visit(browser, viewport=LAPTOP, color_scheme=scheme) as visit:
                visit.tab.goto(f"{address}notebooks/{LESSONS[0]}.html")
                figure = visit.tab.locator("article figure img").first
                figure.scroll_into_view_if_needed()
                png = figure.screenshot()
                ground = visit.tab.evaluate("getComputedStyle(document.body).backgroundColor")
                seen[scheme] = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")), ground
        assert seen["light"][1] != seen["dark"][1]  # the mode did change
        assert (seen["light"][0] == seen["dark"][0]).all()

    def test_mathematics_is_typeset(self, browser, address):
        with Visit(browser, viewport=LAPTOP) as visit:
            visit.tab.goto(f"{address}notebooks/08_clustering.html")
            visit.tab.wait_for_selector("mjx-container")
            assert visit.tab.locator("mjx-container").count() > 5
            assert "$" not in visit.tab.locator("article").inner_text().replace("$ course", "")

    def test_a_prediction_opens_by_keyboard(self, browser, address):
        with Visit(browser, viewport=LAPTOP) as visit:
            visit.tab.goto(f"{address}notebooks/08_clustering.html")
            fold = visit.tab.locator("details.hide").first
            assert not fold.locator(".output").first.is_visible()
            fold.locator("summary").focus()
            visit.tab.keyboard.press("Enter")
            assert fold.locator(".output").first.is_visible()

    def test_the_map_answers_with_no_kernel(self, browser, address):
        with Visit(browser, viewport=LAPTOP) as visit:
            visit.tab.goto(f"{address}docs/map.html")
            stage = visit.tab.locator("#live-map canvas[role=application]")
            stage.wait_for()
            stage.focus()
            visit.tab.keyboard.press("Home")
            assert "Image 0" in visit.tab.locator(".pm-card").inner_text()
            box = stage.bounding_box()
            left, top = box["x"] + 2, box["y"] + 2
            visit.tab.mouse.move(left, top)
            visit.tab.mouse.down()
            for x, y in ((1, 0), (1, 1), (0, 1)):
                visit.tab.mouse.move(left + x * (box["width"] - 4), top + y * (box["height"] - 4), steps=4)
            visit.tab.mouse.up()
            visit.tab.get_by_text("240 of 240 images selected.").wait_for()
            visit.tab.get_by_label("Colour by").select_option("view")
            assert "CC (120)" in visit.tab.locator(".pm-legend").inner_text()
            assert not visit.wrong

    def test_the_theme_button_reaches_the_map(self, browser, address):
        with Visit(browser, viewport=LAPTOP, color_scheme="light") as visit:
            visit.tab.goto(f"{address}docs/map.html")
            visit.tab.locator(".pm").wait_for()
            before = visit.tab.locator(".pm").get_attribute("data-theme")
            visit.tab.evaluate("document.body.dataset.theme = 'dark'")
            visit.tab.wait_for_selector(".pm[data-theme=dark]")
            assert before == "light"

    def test_a_printed_lesson_has_no_sidebar(self, browser, address):
        with Visit(browser, viewport=LAPTOP) as visit:
            visit.tab.goto(f"{address}notebooks/08_clustering.html")
            assert visit.tab.locator(".sidebar-drawer").is_visible()
            visit.tab.emulate_media(media="print")
            assert not visit.tab.locator(".sidebar-drawer").is_visible()

    def test_the_search_finds_a_lesson(self, browser, address):
        with Visit(browser, viewport=LAPTOP) as visit:
            visit.tab.goto(f"{address}search.html?q=silhouette")
            visit.tab.locator(".search li a", has_text="08 ·").first.wait_for()
            assert "Solution ·" not in visit.tab.locator(".search").inner_text()

    def test_the_report_has_no_barrier_in_either_mode(self, browser, tmp_path, monkeypatch):
        from course_utils.imaging.datasets import sample_run
        from course_utils.report import write_report

        monkeypatch.setattr("course_utils.plots.illustration.DPI", 30)  # drawing is what takes the time
        folder = tmp_path / "run"
        shutil.copytree(sample_run(), folder)
        page = write_report(folder)
        for scheme in ("light", "dark"):
            with Visit(browser, viewport=PHONE, color_scheme=scheme) as visit:
                visit.tab.goto(Path(page).as_uri())
                assert not barriers(visit.tab)
                assert visit.tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
