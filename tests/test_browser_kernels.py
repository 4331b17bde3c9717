"""Lesson 03's window in a real JupyterLab: a kernel that is written is chosen, and nothing jumps."""

from browsing import BROWSER_TEST, close, run_all

pytestmark = BROWSER_TEST

WINDOW = """
import numpy as np
from course_utils.teaching.kernels import KernelWindow

picture = np.linspace(0, 1, 30 * 40).reshape(30, 40)
KernelWindow(picture, {"edge": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]}, row=8, column=20)
"""
CHANGED = """before => {
    const image = document.querySelector(".jupyter-widgets figure img");
    return image.src !== before && image.naturalWidth > 0;
}"""


def test_a_written_kernel_is_chosen_and_a_mistake_moves_nothing(lab, browser):
    lab.write("kernels.ipynb", WINDOW)
    page = lab.open(browser, "kernels.ipynb", viewport={"width": 1366, "height": 768})
    run_all(page)
    image, editor = page.locator(".jupyter-widgets figure img"), page.locator(".widget-textarea textarea")
    chosen = page.locator(".widget-dropdown select")
    caption = page.locator(".jupyter-widgets figcaption")
    size = image.bounding_box()
    top = page.locator(".widget-dropdown").bounding_box()["y"]
    assert size["y"] + size["height"] - top < 640  # beside the menus, a screen of 768 pixels has this much

    before = image.get_attribute("src")
    editor.fill("0, 0, 0\n0, 3, 0\n0, 0, 0")
    editor.blur()
    page.wait_for_function(CHANGED, arg=before)
    assert chosen.evaluate("select => select.selectedOptions[0].text").split() == ["my", "own"]

    editor.fill("0 0 0\n0 three 0\n0 0 0")
    editor.blur()
    caption.filter(has_text="“0 three 0” is not a row of numbers").wait_for()
    assert {key: image.bounding_box()[key] for key in ("width", "height")} == {
        key: size[key] for key in ("width", "height")
    }
    close(page)
