"""The pictures in README.md: two screens of the demo's report, and a map of pictures with some selected.

    python start.py demo && python tools/pictures.py

Needs Chromium (`apt-get install chromium`, or any Chrome on the PATH).
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from course_utils.analysis import reduce
from course_utils.imaging.datasets import sample_run
from course_utils.runs import Extraction
from course_utils.teaching import picture_map

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "results" / "demo" / "report.html"
PICTURES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1280, 1500  # of one screen, in CSS pixels
SHRUNK = 0.6

# What a notebook does with a widget, without a kernel: give it its state and a place on the page.
PAGE = """<!doctype html><meta charset="utf-8">
<style>body {{ margin: 16px; font-family: sans-serif; }} {css}</style>
<div id="here"></div><script type="module">
const module = await import(URL.createObjectURL(new Blob([{code}], {{ type: "text/javascript" }})));
const state = {state};
state._sheets = state._sheets.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
const no = () => {{}};
const model = {{ get: (name) => state[name], set: no, save_changes: no, on: no, off: no }};
module.default.render({{ model, el: document.getElementById("here") }});
</script>"""


def save(picture: Image.Image, name: str) -> None:
    """Write a picture, shrunk and in few colours."""
    small = picture.resize(
        (round(picture.width * SHRUNK), round(picture.height * SHRUNK)), Image.Resampling.LANCZOS
    )
    path = PICTURES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    small.quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def report(browser: Browser) -> Image.Image:
    """Return two screens of the report, side by side."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 2 * HEIGHT})
    page.goto(REPORT.as_uri())
    screen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    both = Image.new("RGB", (2 * WIDTH, HEIGHT))
    for side in (0, 1):
        both.paste(screen.crop((0, side * HEIGHT, WIDTH, (side + 1) * HEIGHT)), (side * WIDTH, 0))
    return both


def map_of_pictures(browser: Browser, folder: Path) -> Image.Image:
    """Return the widget of lesson 07 on the cohort that ships as vectors, one corner of it selected."""
    run = Extraction.read(sample_run())
    truth = pd.read_csv(sample_run() / "manifest.csv")
    points = reduce(run.vectors)
    columns = ["view", "density", "vendor", "woman"]
    widget = picture_map.PictureMap(points, run.thumbnails, truth[columns], colour="density")
    corner = np.argsort(points[:, 0] + points[:, 1])[-12:]
    state = {
        "_data": widget._data,
        "_sheets": [base64.b64encode(sheet).decode("ascii") for sheet in widget._sheets],
        "colour": widget.colour,
        "selected": sorted(map(int, corner)),
    }
    file = folder / "map.html"
    code = json.dumps((picture_map.HERE / "picture_map.js").read_text(encoding="utf-8"))
    css = (picture_map.HERE / "picture_map.css").read_text(encoding="utf-8")
    file.write_text(PAGE.format(css=css, code=code, state=json.dumps(state)), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1100, "height": 900}, device_scale_factor=1.5)
    page.goto(file.as_uri())
    page.wait_for_selector("#here canvas")
    page.wait_for_timeout(1500)
    page.locator("#here [tabindex='0']").first.focus()
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    return Image.open(io.BytesIO(page.locator("#here").screenshot())).convert("RGB")


def main() -> int:
    """Draw the pictures; 1 if the report or a browser is missing."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if not REPORT.is_file() or browser_path is None:
        print("Missing: the demo's report (python start.py demo), or Chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        save(report(browser), "report.png")
        save(map_of_pictures(browser, Path(folder)), "picture_map.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
