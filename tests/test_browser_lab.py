"""Lesson 01 as a student gets it from `python start.py lab`: in a real JupyterLab, from top to bottom."""

import re

import nbformat
import pytest
from browsing import BROWSER_TEST, SELECT, close, run_all, serving
from calibration import patience

from course_utils.teaching.exercises import all_exercises

pytestmark = BROWSER_TEST

LESSON = "01_mammograms_as_dicom.ipynb"


@pytest.fixture(scope="module")
def students_lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("student")
    command = ("-m", "course_utils.cli", "lab", "--folder", str(home / "mine"), "--")
    with serving(home, home / "mine", *command) as lab:
        yield lab


def test_a_lesson_has_no_output_before_it_is_run_and_figures_with_alt_text_after(students_lab, browser):
    page = students_lab.open(browser, LESSON)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel")
    notebook = page.locator(".jp-Notebook")
    notebook.locator(".jp-CodeCell").first.wait_for()
    assert notebook.locator(".jp-OutputArea-output").count() == 0
    assert page.locator(".Toastify__toast, .jp-Dialog").count() == 0  # nobody asks about news

    run_all(page)
    stored = nbformat.read(students_lab.work.parents[0] / "mine" / LESSON, as_version=4)
    assert not any(cell.get("outputs") for cell in stored.cells)  # nothing is saved unasked
    shown = page.evaluate(SHOWN)
    pictures = [alt for output in shown["html"] for alt in re.findall(r'<img alt="([^"]*)"', output)]
    assert len(pictures) > 8
    assert all(len(alt) > 20 for alt in pictures)
    for exercise in (e for e in all_exercises() if e.id.startswith("01.")):
        assert f"⏳ {exercise.id} not tried yet" in shown["text"]
    seen = page.locator(".jp-OutputArea-output figure img").first
    seen.scroll_into_view_if_needed(timeout=1000 * patience(20))
    assert len(seen.get_attribute("alt")) > 20
    shown_cell = next(c for c in stored.cells if "hide-output" in c.metadata.get("tags", []))
    page.wait_for_function(SELECT, arg=shown_cell.id)
    page.keyboard.press("o")  # an instructor's key: here it does nothing
    assert page.locator(".jp-Cell.jp-mod-active .jp-OutputArea-output").count()
    assert page.locator(".jp-OutputPlaceholder").count() == 0
    assert {url.split("/")[2].split(":")[0] for url in asked if "://" in url} == {"127.0.0.1"}
    close(page)


SHOWN = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.model.toJSON().cells;
    const outputs = cells.flatMap(cell => cell.outputs ?? []);
    const joined = text => Array.isArray(text) ? text.join("") : text ?? "";
    return {
        html: outputs.map(output => joined(output.data?.["text/html"])).filter(html => html.includes("<img")),
        text: outputs.map(output => joined(output.text)).join(""),
    };
}"""
