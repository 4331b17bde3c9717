"""An instructor's copies of the lessons: the answers are there, and folded until a key unfolds them.

A lesson and its solved twin go in, and one notebook comes out. Outputs are those of the solved lesson, and
what students are asked to predict is folded. Each exercise is left as students find it, and its solution
stands below, folded as well: to run all cells is to try first and then to solve.
"""

import contextlib
import copy
import re
from pathlib import Path
from typing import Any

from course_utils.teaching.lab import Notebook, copies_of, read_notebook, write_notebook

PREDICTION = "hide-output"
"""The tag of cells whose output students are to predict."""
SOLUTION = "solution"
"""The tag of cells that only an instructor's copy has."""
EXERCISE = re.compile(r'exercise\("(.+?)"\)\.')
COVER = {
    "output_type": "display_data",
    "metadata": {},
    "data": {"text": "Predict first: O shows the output"},
}
"""Stands before an output that is to be predicted: JupyterLab shows the first line of what is folded.

It looks for that line in `text`, too, which it does not draw once the output is unfolded."""


def with_solutions(lesson: Path) -> Notebook:
    """Return a lesson as an instructor gets it; its solved twin is looked for in `solutions/`, beside it."""
    notebook = read_notebook(lesson)
    solved = {cell["id"]: cell for cell in read_notebook(lesson.parent / "solutions" / lesson.name)["cells"]}
    cells = []
    for cell in notebook["cells"]:
        twin = solved[cell["id"]]
        if cell["cell_type"] != "code":
            cells.append(cell)
        elif cell["source"] == twin["source"]:
            cells.append(cell | {"outputs": twin["outputs"], "execution_count": twin["execution_count"]})
        else:
            cells += [cell, _solution(twin)]
    notebook["cells"] = cells
    _fold(notebook)
    return notebook


def fold_again(lessons: Path, folder: Path) -> None:
    """Fold what is to be folded in an instructor's copies, as it was before the last time they were shown."""
    for lesson in lessons.glob("*.ipynb"):
        for made in copies_of(lesson, folder):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                notebook = read_notebook(made)  # one that is none is left alone
                before = copy.deepcopy(notebook)
                _fold(notebook)
                if notebook != before:
                    write_notebook(notebook, made)


def _solution(solved: dict[str, Any]) -> dict[str, Any]:
    """Return a cell with a solution; JupyterLab shows the first line of a folded cell."""
    code = "".join(solved["source"])
    numbers = sorted(set(EXERCISE.findall(code)))
    of = f" of {' and '.join(numbers)}" if numbers else ""
    first = f"# Solution{of}: S shows the code, O the output\n"
    tags = [*solved["metadata"].get("tags", []), SOLUTION]
    return solved | {
        "id": f"{solved['id']}-{SOLUTION}",
        "source": (first + code).splitlines(keepends=True),
        "metadata": {**solved["metadata"], "tags": tags},
    }


def _fold(notebook: Notebook) -> None:
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] != "code":
            continue
        if SOLUTION in tags:
            _fold_cell(cell, "outputs_hidden", "source_hidden")
        elif PREDICTION in tags and cell["outputs"]:
            if cell["outputs"][0] != COVER:
                cell["outputs"] = [COVER, *cell["outputs"]]
            _fold_cell(cell, "outputs_hidden")


def _fold_cell(cell: dict[str, Any], *what: str) -> None:
    metadata = cell["metadata"]
    metadata["jupyter"] = {**metadata.get("jupyter", {}), **dict.fromkeys(what, True)}
    metadata["collapsed"] = True  # the older name of outputs_hidden, which JupyterLab keeps as well
