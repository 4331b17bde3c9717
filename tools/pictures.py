"""The pictures of the first pages: two screens of the demo's report, and the map of pictures in use.

    python start.py demo && python tools/pictures.py

Needs Chromium (`apt-get install chromium`, or any Chrome on the PATH).
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import website
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "results" / "demo" / "report.html"
PICTURES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1280, 1500  # of one screen, in CSS pixels
SHRUNK = 0.6
EDGE = 18  # px around the points, as in picture_map.js

PAGE = """<!doctype html><meta charset="utf-8"><style>body { margin: 12px; font-family: sans-serif; }</style>
<link rel="stylesheet" href="picture_map.css"><div id="live-map"></div>
<script src="data.js"></script><script src="picture_map.js"></script><script src="../live_map.js"></script>"""
"""The site's live map, alone on a page."""


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


def open_map(browser: Browser, folder: Path) -> Page:
    """Open the site's live map, which keeps what is selected without a kernel."""
    website.write_map(folder)
    shutil.copy(website.SITE / "static" / "live_map.js", folder / "static")
    (folder / "static" / "map" / "page.html").write_text(PAGE, encoding="utf-8")
    page = browser.new_page(viewport={"width": 960, "height": 720})
    page.goto((folder / "static" / "map" / "page.html").as_uri())
    page.wait_for_selector("#live-map canvas")
    page.wait_for_timeout(1500)
    return page


def places(page: Page) -> NDArray[np.float64]:
    """Return where each image of the map is on the screen (N, 2), in CSS pixels."""
    box = page.locator("#live-map canvas").last.bounding_box()
    assert box is not None
    points, extent = (
        np.array(page.evaluate(f"window.mapOfTheCohort.data.{name}")) for name in ("points", "extent")
    )
    scale = min((box["width"] - 2 * EDGE) / extent[0], (box["height"] - 2 * EDGE) / extent[1])
    centred = (points - extent / 2) * scale * [1, -1]
    return centred + np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])


def use_of_the_map(page: Page) -> Iterator[tuple[Image.Image, int]]:
    """Point at three images, draw around an island, and colour by view: yield pictures, and milliseconds."""

    def shown(milliseconds: int) -> tuple[Image.Image, int]:
        page.wait_for_timeout(120)
        return Image.open(io.BytesIO(page.screenshot())).convert("RGB"), milliseconds

    where = places(page)
    right = where[where[:, 0] > np.median(where[:, 0])]
    yield shown(1200)
    for row in (0, len(right) // 3, len(right) // 2):
        page.mouse.move(*right[row])
        yield shown(900)
    centre, reach = right.mean(axis=0), np.ptp(right, axis=0) / 2 * 1.25
    turns = np.linspace(0, 2 * np.pi, 25)
    around = centre + reach * np.column_stack([np.cos(turns), np.sin(turns)])
    page.mouse.move(*around[0])
    page.mouse.down()
    for number, point in enumerate(around[1:]):
        page.mouse.move(*point, steps=3)
        if number % 2:
            yield shown(110)
    page.mouse.up()
    yield shown(2600)
    page.get_by_label("Colour by").select_option("view")
    yield shown(3000)


def save_moving(frames: Iterator[tuple[Image.Image, int]], name: str) -> None:
    """Write an animated PNG that plays three times and then rests."""
    played = list(frames)
    pictures, times = zip(
        played[-2], *played, strict=True
    )  # the first is what a viewer that plays nothing shows
    # Half of the palette is gray, or mammograms would be tinted; the other half is for the markers.
    seen = np.concatenate([np.asarray(each).reshape(-1, 3) for each in pictures[-2:]])
    coloured = seen[np.ptp(seen, axis=1) > 8]
    few = Image.fromarray(coloured[None]).quantize(128, Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*np.repeat(np.linspace(0, 255, 128).astype(int), 3).tolist(), *few[: 3 * 128]])
    first, *rest = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in pictures]
    path = PICTURES / name
    first.save(path, save_all=True, append_images=rest, duration=list(times), loop=3, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB, {len(pictures)} pictures")


def main() -> int:
    """Draw the pictures; 1 if the report or a browser is missing."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if not REPORT.is_file() or browser_path is None:
        print("Missing: the demo's report (python start.py demo), or Chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        save(report(browser), "report.png")
        page = open_map(browser, Path(folder))
        save_moving(use_of_the_map(page), "picture_map.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
