"""A lesson in a real JupyterLab and browser: cells run, and a moved control changes the picture."""

from pathlib import Path

import nbformat
import pytest
from browsing import BROWSER_TEST, close, run_all

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LIVE = [
    path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if "LivePicture(" in path.read_text(encoding="utf-8")
]

# What comes before their pictures takes a minute each; nbval and the resource cards run it anyway.
LONG = ("06_", "07_", "11_")

pytestmark = BROWSER_TEST

SMALL = """
import numpy as np
from course_utils.teaching.widgets import LivePicture

def draw(level=100):
    return np.full((40, 60), level / 255)

LivePicture(draw, alt="A gray sheet.", level=(0, 255))
"""


def up_to_picture(lesson, sign):
    """Return a lesson without what follows a live picture: the rest is executed by nbval anyway."""
    notebook = nbformat.read(lesson, as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if sign in cell.source)
    notebook.cells = notebook.cells[: last + 1]
    return notebook


CHANGED = """before => {
    const image = [...document.querySelectorAll(".jupyter-widgets figure img")].at(-1);
    return image.src !== before && image.naturalWidth > 0;
}"""


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("small.ipynb", ""),
        *(
            pytest.param(
                path.name, "LivePicture(", marks=[pytest.mark.slow] if path.name.startswith(LONG) else []
            )
            for path in LIVE
        ),
        ("03_convolution_to_resnet50.ipynb", "KernelWindow("),
        ("08_clustering.ipynb", "k=(2, "),
    ],
)
def test_a_moved_control_changes_its_picture_and_both_fit_a_laptops_screen(lab, browser, name, sign):
    if name == "small.ipynb":
        lab.write(name, SMALL)
    else:
        nbformat.write(up_to_picture(NOTEBOOKS / name, sign), lab.work / name)
    page = lab.open(browser, name, viewport={"width": 1366, "height": 768})
    run_all(page)

    image = page.locator(".jupyter-widgets figure img").last
    before = image.get_attribute("src")
    widget = image.locator("xpath=ancestor::*[contains(@class, 'widget-vbox')]")
    widget.locator(".noUi-handle, select").first.wait_for()
    slider = widget.locator(".noUi-handle").first
    if slider.count():
        slider.press("ArrowRight")
    else:
        widget.locator("select").first.select_option(index=0)  # lesson 07 begins with the second
    page.wait_for_function(CHANGED, arg=before)
    assert image.get_attribute("alt")
    free = page.locator(".jp-WindowedPanel-outer").first.bounding_box()["height"]
    assert widget.bounding_box()["height"] <= free
    close(page)
