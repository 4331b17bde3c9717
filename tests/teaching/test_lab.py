"""A student's copies of the lessons: without outputs, made once, never written over."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from course_utils.teaching.lab import LessonError, edition, find_lesson, fresh_copy, working_copies

ROOT = Path(__file__).resolve().parents[2]
LESSONS = ROOT / "notebooks"


def notebook(*texts, output="stored"):
    shown = nbformat.v4.new_output("stream", text=output)
    cells = [nbformat.v4.new_code_cell(text, outputs=[shown], execution_count=1) for text in texts]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def course(tmp_path):
    """Return the notebooks of a course of two lessons, with their solutions and a page."""
    lessons = tmp_path / "course" / "notebooks"
    (lessons / "solutions").mkdir(parents=True)
    (tmp_path / "course" / "docs").mkdir()
    (tmp_path / "course" / "docs" / "glossary.md").write_text("## mask\nWhere the breast is.\n")
    for name in ("01_one", "02_two"):
        for folder, up in ((lessons, "../"), (lessons / "solutions", "../../")):
            made = notebook("1 + 1")
            link = f"See the [glossary]({up}docs/glossary.md#mask), [two](02_two.ipynb) and <a>."
            made.cells.append(nbformat.v4.new_markdown_cell(link))
            nbformat.write(made, folder / f"{name}.ipynb")
    return lessons


def test_copies_have_no_outputs_and_a_second_call_leaves_them_alone(course, tmp_path):
    mine = tmp_path / "mine"
    assert working_copies(course, mine) == []
    assert sorted(p.name for p in mine.glob("*.ipynb")) == ["01_one.ipynb", "02_two.ipynb"]
    copy = nbformat.read(mine / "01_one.ipynb", as_version=4)
    nbformat.validate(copy)
    assert (copy.cells[0].source, copy.cells[0].outputs) == ("1 + 1", [])
    assert copy.cells[0].execution_count is None
    copy.cells[0].source = "my answer"
    nbformat.write(copy, mine / "01_one.ipynb")
    before = (mine / "01_one.ipynb").read_bytes()
    assert working_copies(course, mine) == []
    assert (mine / "01_one.ipynb").read_bytes() == before
    assert len(list(mine.glob("*.ipynb"))) == 2


def test_links_of_copies_and_of_their_solutions_lead_somewhere_within_the_folder(course, tmp_path):
    mine = tmp_path / "mine"
    working_copies(course, mine)
    for path in (mine / "01_one.ipynb", mine / "solutions" / "01_one.ipynb"):
        text = nbformat.read(path, as_version=4).cells[1].source
        (link,) = re.findall(r"glossary\]\((.*?)#mask\)", text)
        assert (path.parent / link).resolve() == (mine / "docs" / "glossary.md").resolve()
    assert (mine / "docs" / "glossary.md").read_text() == "## mask\nWhere the breast is.\n"
    solved = nbformat.read(mine / "solutions" / "01_one.ipynb", as_version=4)
    assert solved.cells[0].outputs[0].text == "stored"


def test_a_lesson_that_has_changed_is_offered_beside_the_copy_and_once_only(course, tmp_path):
    mine = tmp_path / "mine"
    working_copies(course, mine)
    before = (mine / "02_two.ipynb").read_bytes()
    nbformat.write(notebook("2 + 2"), course / "02_two.ipynb")
    sentence = "02_two has changed since your copy; the new one is 02_two_2.ipynb, beside it."
    assert working_copies(course, mine) == [sentence]
    assert working_copies(course, mine) == []
    assert (mine / "02_two.ipynb").read_bytes() == before
    assert nbformat.read(mine / "02_two_2.ipynb", as_version=4).cells[0].source == "2 + 2"
    nbformat.write(notebook("3 + 3"), course / "02_two.ipynb")
    assert working_copies(course, mine) == [sentence.replace("_2.", "_3.")]


def test_a_lesson_that_was_only_run_again_is_no_new_edition(course, tmp_path):
    working_copies(course, tmp_path / "mine")
    old = nbformat.read(course / "02_two.ipynb", as_version=4)
    old.cells[0].outputs[0].text = "another time"
    nbformat.write(old, course / "02_two.ipynb")
    assert working_copies(course, tmp_path / "mine") == []


@pytest.mark.parametrize("spoiled", [b"", b"[]", b"\xff\xfe", b'{"metadata": {}, "cells": []}'])
def test_a_copy_that_cannot_be_read_is_left_alone(course, tmp_path, spoiled):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "01_one.ipynb").write_bytes(spoiled)
    assert len(working_copies(course, mine)) == 1
    assert (mine / "01_one.ipynb").read_bytes() == spoiled
    assert (mine / "01_one_2.ipynb").exists()
    assert working_copies(course, mine) == []


def test_a_fresh_copy_stands_beside_the_others(course, tmp_path):
    mine = tmp_path / "mine"
    working_copies(course, mine)
    made = [fresh_copy(find_lesson(course, number), mine).name for number in ("01", "1")]
    assert made == ["01_one_2.ipynb", "01_one_3.ipynb"]
    assert working_copies(course, mine) == []


def test_a_lesson_that_is_not_there_is_named_with_those_that_are(course):
    for number in ("3", "x", "", "-1", "001"):
        with pytest.raises(LessonError, match="there is 01, 02"):
            find_lesson(course, number)


def test_the_real_lessons_come_without_outputs_and_with_all_that_they_link_to(tmp_path):
    assert working_copies(LESSONS, tmp_path) == []
    copies = sorted(tmp_path.glob("*.ipynb"))
    assert [copy.name for copy in copies] == [path.name for path in sorted(LESSONS.glob("*.ipynb"))]
    for path in [*copies, *(tmp_path / "solutions").glob("*.ipynb")]:
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
        files = [link for link in links if link and not re.match("https?:|mailto:", link)]
        assert [link for link in files if not (path.parent / link).is_file()] == []
        assert all((path.parent / link).resolve().is_relative_to(tmp_path.resolve()) for link in files)
    for copy, lesson in zip(copies, sorted(LESSONS.glob("*.ipynb")), strict=True):
        cells = json.loads(copy.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
        assert nbformat.read(copy, as_version=4).metadata.course.edition == edition(lesson)
