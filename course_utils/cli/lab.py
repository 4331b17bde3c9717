"""What `course lab` does: a student's or an instructor's copies, in a JupyterLab that asks nothing."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import course_utils
from course_utils.cli.errors import UsageError
from course_utils.files import display_path

COURSE = Path(course_utils.__file__).resolve().parents[1]
FIRST = "00_start_here.ipynb"
CONFIG = Path(course_utils.__file__).parent / "teaching" / "jupyter"
"""Turns JupyterLab's announcements off: it would ask about news over the first cell, and look for updates."""
KEYS = CONFIG / "instructor"
"""Gives instructors two keys more: one unfolds an output, and one a solution."""
MINE, INSTRUCTORS = "my_lessons", "instructor_lessons"
"""Two folders: an instructor who shows what students see should find no solutions there."""


def lab(arguments: argparse.Namespace) -> int:
    """Bring somebody's copies up to date and open JupyterLab on them, or on one fresh copy."""
    from course_utils.teaching.instructing import fold_again, with_solutions
    from course_utils.teaching.lab import (
        LessonError,
        find_lesson,
        fresh_copy,
        without_outputs,
        working_copies,
    )

    teaches = arguments.instructor
    make = with_solutions if teaches else without_outputs
    lessons = COURSE / "notebooks"
    folder = arguments.folder or COURSE / (INSTRUCTORS if teaches else MINE)
    if not (lessons / FIRST).is_file():
        raise UsageError(
            "the lessons are not beside this install: clone the repository and use python start.py lab"
        )
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        raise UsageError("JupyterLab is not installed: run python start.py setup") from None
    try:
        wanted = None if arguments.fresh is None else find_lesson(lessons, arguments.fresh)
        opened = folder / (FIRST if wanted is None else wanted.name)
        has_one = opened.exists()
        newer = working_copies(lessons, folder, make)
        if wanted is not None and has_one:
            opened = fresh_copy(wanted, folder, make)
        if teaches:
            fold_again(lessons, folder)
    except LessonError as error:
        raise UsageError(f"--fresh: {error}") from error
    except OSError as error:
        raise UsageError(f"{display_path(folder)} cannot be written ({error.strerror})") from error
    print(f"Your copies of the lessons are in {display_path(folder)}. Yours are never written over.")
    for sentence in newer:
        print(sentence)
    if wanted is not None:
        print(f"Your fresh copy is {opened.name}.")
    if teaches:
        print(
            "Predictions and solutions are folded. O shows or hides the output of the selected cell, and S "
            "its code; press Esc first if you are typing in it."
        )
    print("JupyterLab opens in your browser; stop it here with Ctrl-C.", flush=True)
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # in a container
    command = [sys.executable, "-m", "jupyterlab", str(opened), f"--ServerApp.root_dir={folder.resolve()}"]
    with contextlib.suppress(KeyboardInterrupt):
        return subprocess.call(
            [*command, "--LabApp.extension_manager=readonly", *as_root, *arguments.jupyter],
            env=lab_environment(*([KEYS] if teaches else [])),
        )
    return 0


def lab_environment(*more: Path) -> dict[str, str]:
    """Return the environment of a JupyterLab with the course's settings, and those of more folders."""
    folders = [*map(str, more), str(CONFIG), os.environ.get("JUPYTER_CONFIG_PATH")]
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, folders))}
