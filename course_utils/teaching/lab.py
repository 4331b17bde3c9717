"""A student's own copies of the lessons: without outputs, so that a prediction is one.

The lessons in `notebooks/` go in and are only read. `working_copies` puts a copy of each into a folder of the
student's, which is all that JupyterLab shows. A copy is made once and never written over. Its metadata say
which edition it is of, so that a lesson that has changed since can be offered beside it. Instructors get
copies of another kind (`instructing`), by the same rules.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from course_utils.files import sha256_of, write_atomic

LESSONS = "[0-9][0-9]_*.ipynb"
PAGE = re.compile(r"(\]\((?:\.\./)*)\.\./(docs/[^)#\s]+)")
"""A link to a page of `docs/`, which stands beside `notebooks/` but inside a student's folder."""

Notebook = dict[str, Any]


class LessonError(ValueError):
    """There is no such lesson; the message lists those that there are."""


def without_outputs(lesson: Path) -> Notebook:
    """Return a lesson as a student gets it."""
    notebook = read_notebook(lesson)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return notebook


def working_copies(
    lessons: Path, folder: Path, make: Callable[[Path], Notebook] = without_outputs
) -> list[str]:
    """Copy each lesson of which there is none in `folder`, or only an older edition.

    Solved lessons, in `solutions/`, and the pages that the lessons link to are copied along, anew each time.

    Args:
        lessons: the folder `notebooks/`.
        folder: the student's folder; it is made.
        make: makes of a lesson what a copy holds.

    Returns:
        A sentence for each lesson that is newer than the student's copy.
    """
    said = []
    for lesson in _lessons(lessons):
        copies = list(copies_of(lesson, folder))
        if _edition(make(lesson)) in [_edition_of(copy) for copy in copies]:
            continue
        made = fresh_copy(lesson, folder, make)
        if copies:
            said.append(f"{lesson.stem} has changed since your copy; the new one is {made.name}, beside it.")
    for solved in _lessons(lessons / "solutions"):
        notebook = _with_pages(read_notebook(solved), solved.parents[2], folder)
        write_notebook(notebook, folder / "solutions" / solved.name)
    return said


def find_lesson(lessons: Path, number: str) -> Path:
    """Return the lesson of a number such as "03" or "3".

    Raises:
        LessonError: there is none.
    """
    numbered = {lesson.stem[:2]: lesson for lesson in _lessons(lessons)}
    if number.zfill(2) not in numbered:
        raise LessonError(f"there is no lesson {number}; there is {', '.join(numbered)}")
    return numbered[number.zfill(2)]


def fresh_copy(lesson: Path, folder: Path, make: Callable[[Path], Notebook] = without_outputs) -> Path:
    """Make one more copy of a lesson, under the next free name; return where it is."""
    number = 1 + sum(1 for _ in copies_of(lesson, folder))
    target = folder / (f"{lesson.stem}.ipynb" if number == 1 else f"{lesson.stem}_{number}.ipynb")
    notebook = make(lesson)
    notebook["metadata"]["course"] = {"edition": _edition(notebook)}
    write_notebook(_with_pages(notebook, lesson.parents[1], folder), target)
    return target


def edition(lesson: Path) -> str:
    """Return what tells one edition of a lesson from another: a hash of its cells, without their outputs."""
    return _edition(read_notebook(lesson))


def copies_of(lesson: Path, folder: Path) -> Iterator[Path]:
    """Yield the copies of a lesson: `NN_topic.ipynb`, `NN_topic_2.ipynb`, …"""
    copy, number = folder / f"{lesson.stem}.ipynb", 1
    while copy.exists():
        yield copy
        number += 1
        copy = folder / f"{lesson.stem}_{number}.ipynb"


def read_notebook(path: Path) -> Notebook:
    """Return a notebook as it is stored."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def write_notebook(notebook: Notebook, path: Path) -> None:
    """Write a notebook, and make the folder that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode())


def _edition(notebook: Notebook) -> str:
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return sha256_of(json.dumps(cells).encode())[:16]


def _lessons(folder: Path) -> list[Path]:
    return sorted(folder.glob(LESSONS))


def _edition_of(copy: Path) -> str | None:
    """Return of which edition a student's copy is; None for a notebook that is not, or no longer, a copy."""
    try:
        return str(read_notebook(copy)["metadata"]["course"]["edition"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _with_pages(notebook: Notebook, course: Path, folder: Path) -> Notebook:
    """Return a notebook whose links lead to copies of the pages of `docs/`, and copy these."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            for _, page in PAGE.findall(text):
                (folder / page).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(course / page, folder / page)
            cell["source"] = PAGE.sub(r"\1\2", text)
    return notebook
