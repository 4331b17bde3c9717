"""From the demo's report to the picture in README.md: two screens of the page, side by side.

    python start.py demo && python tools/report_picture.py

Needs Chromium (`apt-get install chromium`, or any Chrome on the PATH).
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from notebooks import with_palette

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "results" / "demo" / "report.html"
PICTURE = ROOT / "docs" / "images" / "report.png"
WIDTH, HEIGHT = 1280, 1500  # of one screen, in CSS pixels
SHRUNK = 0.6


def main() -> int:
    """Draw the picture; 1 if the report or a browser is missing."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if not REPORT.is_file() or browser_path is None:
        print("Missing: the demo's report (python start.py demo), or Chromium", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 2 * HEIGHT})
        page.goto(REPORT.as_uri())
        screen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    both = Image.new("RGB", (2 * WIDTH, HEIGHT))
    for side in (0, 1):
        both.paste(screen.crop((0, side * HEIGHT, WIDTH, (side + 1) * HEIGHT)), (side * WIDTH, 0))
    small = both.resize((round(2 * WIDTH * SHRUNK), round(HEIGHT * SHRUNK)), Image.Resampling.LANCZOS)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    with_palette(small).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
