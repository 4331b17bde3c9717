"""An instructor's copies: outputs are there and folded, solutions below their exercises, and folded again."""

import itertools
from pathlib import Path

import nbformat
import pytest

from course_utils.teaching.instructing import fold_again, with_solutions
from course_utils.teaching.lab import fresh_copy, working_copies

LESSONS = Path(__file__).resolve().parents[2] / "notebooks"
ALL = sorted(LESSONS.glob("*.ipynb"))


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def is_folded(cell):
    return cell.metadata.get("jupyter", {}).get("outputs_hidden") and cell.metadata.get("collapsed")


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    assert working_copies(LESSONS, folder, with_solutions) == []
    return folder


@pytest.mark.parametrize("lesson", ALL, ids=lambda path: path.stem)
def test_every_prediction_is_folded_and_no_first_line_of_it_is_left_to_be_read(lesson, live):
    copy = nbformat.read(live / lesson.name, as_version=4)
    nbformat.validate(copy)
    for cell in copy.cells:
        if "hide-output" in cell.metadata.get("tags", []) and cell.outputs:
            assert is_folded(cell)
            assert len(cell.outputs) > 1
            assert "Predict first" in str(cell.outputs[0].data)
        elif cell.cell_type == "code" and not cell.id.endswith("-solution"):
            assert not is_folded(cell)


@pytest.mark.parametrize("lesson", ALL, ids=lambda path: path.stem)
def test_a_solution_stands_folded_below_each_exercise_and_nothing_else_is_added(lesson, live):
    copy, student = cells_of(live / lesson.name), cells_of(lesson)
    solved = {cell.id: cell for cell in cells_of(lesson.parent / "solutions" / lesson.name)}
    added = [(before, cell) for before, cell in itertools.pairwise(copy) if "-sol" in cell.id]
    kept = [cell for cell in copy if "-sol" not in cell.id]
    assert [cell.id for cell in kept] == [cell.id for cell in student]
    assert len(added) == sum("# your code here" in cell.source for cell in student)
    for before, cell in added:
        assert "# your code here" in before.source
        assert cell.id == f"{before.id}-solution"
        assert cell.source.partition("\n")[2] == solved[before.id].source
        assert cell.metadata.jupyter.source_hidden
        assert is_folded(cell)


def test_outputs_are_those_of_the_solved_lesson(live):
    name = ALL[4].name
    solved = {cell.id: cell for cell in cells_of(LESSONS / "solutions" / name)}
    compared = [c for c in cells_of(live / name) if c.cell_type == "code" and "your code" not in c.source]
    for cell in compared:
        shown = [output for output in cell.outputs if "Predict first" not in str(output.get("data"))]
        assert shown == solved[cell.id.removesuffix("-solution")].outputs
    assert len(compared) > 20


def test_what_was_shown_is_folded_again_and_what_was_written_stays(tmp_path):
    fresh_copy(ALL[0], tmp_path, with_solutions)
    path = tmp_path / ALL[0].name
    before = path.read_bytes()
    fold_again(LESSONS, tmp_path)
    assert path.read_bytes() == before
    shown = nbformat.read(path, as_version=4)
    for cell in shown.cells:
        cell.metadata.pop("collapsed", None)
        cell.metadata.pop("jupyter", None)
        if "hide-output" in cell.metadata.get("tags", []) and cell.outputs:  # run anew, in front of the class
            cell.outputs = [nbformat.v4.new_output("stream", text="42\n")]
    shown.cells[0].source += "\nA note of my own."
    nbformat.write(shown, path)
    fold_again(LESSONS, tmp_path)
    cells = cells_of(path)
    assert cells[0].source.endswith("A note of my own.")
    marked = [c for c in cells if {"hide-output", "solution"} & set(c.metadata.get("tags", []))]
    folded = [cell for cell in marked if cell.outputs]
    assert len(folded) > 5
    assert all(is_folded(cell) for cell in folded)
    assert all(len(c.outputs) == 2 for c in folded if "hide-output" in c.metadata.tags)


@pytest.mark.parametrize("spoiled", [b"", b"[]", b"\xff\xfe", b'{"metadata": {}, "cells": [3]}'])
def test_a_copy_that_is_no_notebook_is_left_alone(tmp_path, spoiled):
    path = tmp_path / ALL[0].name
    path.write_bytes(spoiled)
    fold_again(LESSONS, tmp_path)
    assert path.read_bytes() == spoiled


def test_a_solution_that_has_changed_makes_a_new_edition(tmp_path):
    course = tmp_path / "course" / "notebooks"
    (course / "solutions").mkdir(parents=True)
    for where, text in ((course, "..."), (course / "solutions", "1")):
        cell = nbformat.v4.new_code_cell(f"x = {text}", id="01-000")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), where / "01_one.ipynb")
    live = tmp_path / "live"
    assert working_copies(course, live, with_solutions) == []
    assert working_copies(course, live, with_solutions) == []
    solved = nbformat.read(course / "solutions" / "01_one.ipynb", as_version=4)
    solved.cells[0].source = "x = 2"
    nbformat.write(solved, course / "solutions" / "01_one.ipynb")
    (said,) = working_copies(course, live, with_solutions)
    assert "01_one has changed" in said
