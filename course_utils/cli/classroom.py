"""What `course classroom` does: it checks a machine of a room, and packs the course for laptops offline."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from course_utils.cli.errors import UsageError
from course_utils.cli.lab import COURSE, lab_environment
from course_utils.cli.printing import counted
from course_utils.cli.stopping import stops_at_once
from course_utils.files import display_path

if TYPE_CHECKING:
    from course_utils.doctor import Check

PLATFORMS = "win_amd64, macosx_14_0_arm64, manylinux_2_28_x86_64, manylinux_2_35_aarch64"


def check(_: argparse.Namespace) -> int:
    """Say what this machine needs before a class can use it."""
    _check_course()
    with stops_at_once():  # it writes nothing
        from course_utils.doctor import told

        return 0 if told(_examine(COURSE), "course classroom check") else 1


def pack(arguments: argparse.Namespace) -> int:
    """Write the course and what it installs into one zip."""
    _check_course()
    from course_utils.teaching import packs

    output = arguments.output
    if output.exists():
        raise UsageError(f"-o: {output.name} is there already: delete it, or choose another name")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"-o: the folder of {output.name} is not there")
    try:
        wanted = packs.targets(arguments.platform, arguments.python)
    except packs.PackError as error:
        raise UsageError(str(error)) from None
    weights = None
    if arguments.weights:
        from course_utils.embedding.backbones import resnet50_weights_file

        weights = packs.checked_weights(resnet50_weights_file())
    for target in wanted:
        print(f"Packing for {target.platform.says}, Python {target.python}", flush=True)
    size = packs.pack(COURSE, output, wanted, weights=weights, say=lambda text: print(text, flush=True))
    print(f"{display_path(output)}: {size / 1e9:.1f} GB")
    print("Next: unpack it on each laptop, and run python start.py setup there; no network is needed")
    return 0


def _check_course() -> None:
    if not (COURSE / "requirements.lock").is_file():
        raise UsageError(
            "the course is not beside this install: clone the repository and use python start.py setup"
        )


def _examine(course: Path) -> Iterator[Check]:
    """Yield what `course doctor` asks, with the room's own questions in place of some."""
    from course_utils import doctor

    yield doctor.python()
    yield from _versions(course)
    yield from _room(course)
    yield from doctor.decoders()
    yield doctor.device()
    yield from _weights()
    yield from _lessons(course)
    yield _caches()
    yield _lab()


def _versions(course: Path) -> Iterator[Check]:
    from course_utils.doctor import Check
    from course_utils.teaching.classroom import versions

    found = versions(course)
    if found.missing:
        yield Check("problem", f"missing: {', '.join(found.missing)}: run python start.py setup")
    if found.others:
        first = ", ".join(f"{name} {here} (tested: {tested})" for name, here, tested in found.others[:3])
        more = f" and {len(found.others) - 3} more" if len(found.others) > 3 else ""
        yield Check("note", f"other versions than in requirements.lock: {first}{more}")
    yield Check("ok", f"{counted(found.tested, 'package')} in the version of requirements.lock")


def _room(course: Path) -> Iterator[Check]:
    """Yield whether disk and memory suffice for the lesson that needs most."""
    from course_utils.doctor import DISK_NEEDED_GB, Check, memory_bytes
    from course_utils.teaching.classroom import cards, free_memory_bytes

    free = shutil.disk_usage(course).free / 1e9
    if not os.access(course, os.W_OK):
        yield Check("problem", "the folder of the course cannot be written to: copy it to the disk")
    yield Check(
        "ok" if free >= DISK_NEEDED_GB else "problem",
        f"{free:.1f} GB of disk free; the lessons need {DISK_NEEDED_GB:.0f} GB",
    )
    peak, lesson = max((peak, lesson) for lesson, peak in cards(course).items())
    total, unused = memory_bytes(), free_memory_bytes()
    needs = f"lesson {lesson[:2]} needs most, {peak:.1f} GB"
    if total is not None and total / 1e9 < peak + 1:
        yield Check("problem", f"{total / 1e9:.1f} GB of memory in all; {needs}: use another machine")
    elif unused is not None and unused / 1e9 < peak:
        yield Check("problem", f"{unused / 1e9:.1f} GB of memory free; {needs}: close other programs")
    else:
        known = [f"{n / 1e9:.0f} GB of memory {w}" for n, w in ((total, "in all"), (unused, "free")) if n]
        yield Check("ok" if known else "note", f"{', '.join(known) or 'memory: not known'}; {needs}")


def _weights() -> Iterator[Check]:
    """Yield which backbone `auto` takes, and whether all laptops of a room will take the same."""
    from course_utils import doctor
    from course_utils.embedding.backbones import resnet50_weights_file
    from course_utils.teaching.packs import PackError, checked_weights

    yield doctor.lite0()
    chosen = os.environ.get("COURSE_BACKBONE", "auto")
    try:
        checked_weights(resnet50_weights_file())
    except PackError as error:
        if resnet50_weights_file().exists():
            yield doctor.Check("problem", str(error))
            return
        is_here = False
    else:
        is_here = True
    if chosen not in ("auto", "resnet50"):
        yield doctor.Check("ok", f"COURSE_BACKBONE is {chosen}: that is what lessons take")
    elif is_here:
        yield doctor.Check("ok", "auto takes resnet50, whose weights are here: no network is needed")
    elif chosen == "resnet50":
        yield doctor.Check(
            "problem", "COURSE_BACKBONE is resnet50, whose weights are not here: go online once"
        )
    else:
        yield doctor.Check(
            "note",
            "auto takes efficientnet_lite0 without a network, and fetches resnet50 with one (98 MB a "
            "laptop); to have one for all, pack with --weights, or set COURSE_BACKBONE=efficientnet_lite0",
        )


def _lessons(course: Path) -> Iterator[Check]:
    from course_utils.doctor import Check
    from course_utils.imaging import MammogramError
    from course_utils.teaching.classroom import cards, missing_lessons, samples

    missing = missing_lessons(course)
    try:
        mammograms = samples()
    except MammogramError as error:
        yield Check("problem", str(error))
        mammograms = 0
    if missing:
        yield Check("problem", f"lessons are missing: {', '.join(missing)}: copy the course anew")
    elif mammograms:
        yield Check(
            "ok", f"{counted(len(cards(course)), 'lesson')} and their {mammograms} mammograms are here"
        )


def _caches() -> Check:
    from course_utils.doctor import Check
    from course_utils.teaching.classroom import warm_caches

    seconds = warm_caches()
    if seconds is None:
        return Check("problem", "UMAP or matplotlib does not start: run python start.py setup")
    return Check(
        "ok", f"what is slow the first time is in its caches: fonts, UMAP ({seconds:.0f} s just now)"
    )


def _lab() -> Check:
    from course_utils.doctor import Check
    from course_utils.teaching.classroom import seconds_until_lab_answers

    seconds = seconds_until_lab_answers(lab_environment())
    if seconds is None:
        return Check("problem", "JupyterLab does not start: run course lab, and read what it says")
    return Check("ok", f"JupyterLab starts ({seconds:.0f} s)")
