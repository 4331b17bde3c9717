"""Lesson 00 as an instructor gets it from `course lab --instructor`: in a real JupyterLab, key by key."""

import nbformat
import pytest
from browsing import BROWSER_TEST, SELECT, close, serving

pytestmark = BROWSER_TEST

LESSON = "00_start_here.ipynb"


@pytest.fixture(scope="module")
def instructors_lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("instructor")
    command = ("-m", "course_utils.cli", "lab", "--instructor", "--folder", str(home / "live"), "--")
    with serving(home, home / "live", *command) as lab:
        yield lab


def test_one_key_shows_and_hides_a_predictions_output_and_another_a_solution(instructors_lab, browser):
    cells = nbformat.read(instructors_lab.work / LESSON, as_version=4).cells
    prediction = next(c for c in cells if c.metadata.get("tags") == ["hide-output"])
    solution = next(c for c in cells if c.id.endswith("-solution"))
    first_line = prediction.outputs[-1].text.split("\n")[0]
    page = instructors_lab.open(browser, LESSON)
    page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel")
    selected = page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
    output = selected.locator(".jp-OutputArea-output")
    code = selected.locator(".jp-InputArea-editor")

    page.wait_for_function(SELECT, arg=prediction.id)
    assert output.count() == 0
    assert first_line not in selected.inner_text()  # JupyterLab would show it of a folded output
    assert "Predict first" in selected.inner_text()
    page.keyboard.press("o")
    output.first.wait_for()
    assert first_line in output.first.inner_text()
    assert "Predict first" not in selected.inner_text()
    page.keyboard.press("o")
    output.first.wait_for(state="detached")

    page.wait_for_function(SELECT, arg=solution.id)
    assert code.count() == 0
    assert selected.inner_text().strip() == "# Solution of 00.1: S shows the code, O the output"
    page.keyboard.press("s")
    code.wait_for()
    assert "    return " in code.inner_text()
    page.keyboard.press("o")
    output.first.wait_for()
    assert "00.1" in output.first.inner_text()
    page.keyboard.press("s")
    code.wait_for(state="detached")
    close(page)
