"""What the user points at: inputs become files in a fixed order; where results go is checked beforehand."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from course_utils import DISCLAIMER
from course_utils.cli.errors import UsageError
from course_utils.cli.printing import printable
from course_utils.cli.stopping import stops_at_once
from course_utils.files import as_text, display_path
from course_utils.objects import ObjectError, Place, UnreadableObject, files_below, opened, shown, write

if TYPE_CHECKING:
    from course_utils.imaging import Preprocessor

DICOM_SUFFIXES = {".dcm", ".dicom"}
PICTURE_SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".pgm"}
DICOM_WITHOUT_PREAMBLE = b"\x02\0\0\0UL\x04\0"  # the length of its label, its first element (PS3.10 7.1)
LOOKS_AT_ONCE = 16  # objects without a suffix whose first bytes are asked for at a time
PACKED_SUFFIXES = {".gz", ".zip", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz"}


def find_files(
    inputs: Sequence[Path | Place], results: Sequence[Path | Place] = ()
) -> tuple[list[Path | Place], list[str]]:
    """Return the files of all inputs in a fixed order, and the name of each relative to its input.

    A folder that cannot be opened is in the list too, so that it becomes a failure and is not lost. The
    folders of `results` are not looked into: they may lie in the input, and are none.

    Raises:
        UsageError: an input is not there, or two of them overlap or have the same name.
    """
    files: list[Path | Place] = []
    names: list[str] = []
    skipped: Counter[str] = Counter()
    not_entered = {os.path.realpath(folder) for folder in results if isinstance(folder, Path)}
    for given in inputs:
        if isinstance(given, Place):
            found = list(_objects(given, skipped, [each for each in results if isinstance(each, Place)]))
            files += found
            names += [_object_name(each, given, several=len(inputs) > 1) for each in found]
            continue
        if not _is_there(given):
            raise UsageError(f"there is no file or folder {printable(display_path(given))}")
        if given.is_dir():
            below = sorted(_walk(given, skipped, not_entered))
            files += below
            names += [_name(path, given, several=len(inputs) > 1) for path in below]
        else:
            files.append(given)
            names.append(given.name)
    _say_skipped(skipped)
    if len(set(names)) < len(names):
        raise UsageError("two inputs have the same name: give the folder that holds both instead")
    if len(inputs) > 1 and len({_whole(file) for file in files}) < len(files):
        raise UsageError("a file was given twice: two of the inputs overlap")
    return files, [as_text(name) for name in names]


def preprocessor_for(arguments: argparse.Namespace) -> Preprocessor:
    """Return what makes pictures of files, as the options of the picture ask for."""
    with stops_at_once():
        from course_utils.imaging import Preprocessor

    return Preprocessor(
        size=arguments.size, voi=arguments.voi, mm_per_pixel=arguments.mm_per_pixel, read=arguments.read
    )


def check_folder(option: str, folder: Path | Place) -> None:
    """Say before a long run, not after it, that its results cannot be written there.

    In an object store, nobody knows before something was written: the disclaimer, which belongs there anyway.

    Raises:
        UsageError: there is no folder and none can be made, or it cannot be written into.
    """
    if isinstance(folder, Place):
        try:
            write(folder / "DISCLAIMER.txt", f"{DISCLAIMER}\n".encode())
        except ObjectError as error:
            raise UsageError(f"{option}: {error}") from None
        return
    there = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    name = printable(as_text(there.name)) or "the root folder"
    if not there.exists():
        raise UsageError(f"{option}: {name} is a link that leads nowhere, and a folder is needed")
    if not there.is_dir():
        raise UsageError(f"{option}: {name} is a file, and a folder is needed")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{option}: {name} cannot be written into")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise UsageError(f"{printable(as_text(path.name))} cannot be opened: {reason}") from None
    return True


def _name(path: Path, given: Path, *, several: bool) -> str:
    folder = Path(os.path.realpath(given)).name
    if path == given:  # it cannot be opened, and stands for what is in it
        return folder or "root"
    below = path.relative_to(given).as_posix()
    return f"{folder or 'root'}/{below}" if several else below


def _objects(given: Place, skipped: Counter[str], results: Sequence[Place]) -> Iterator[Place]:
    """Yield the objects below a place that may be mammograms, or the one that it is."""
    try:
        below = files_below(given)
        if not below and given.is_file():
            yield given
            return
    except ObjectError as error:
        raise UsageError(str(error)) from None
    if not below:
        raise UsageError(f"there is no file or folder {printable(shown(given))}")
    visible = [
        each
        for each in below
        if not any(part.startswith(".") for part in each.parts[len(given.parts) :])
        and not any(each.parts[: len(result.parts)] == result.parts for result in results)
    ]
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
        wanted = pool.map(
            lambda each: each.suffix.lower() in PICTURE_SUFFIXES or _may_be_dicom(each), visible
        )
        for each, is_wanted in zip(visible, wanted, strict=True):
            if is_wanted:
                yield each
            else:
                skipped[_kind(each)] += 1


def _object_name(each: Place, given: Place, *, several: bool) -> str:
    below = each.parts[len(given.parts) :] or (given.name,)
    return "/".join((given.name, *below) if several and each != given else below)


def _whole(file: Path | Place) -> str:
    """Return what is the same for a file that is reached in two ways."""
    return str(file) if isinstance(file, Place) else os.path.realpath(file)


def _say_skipped(skipped: Counter[str]) -> None:
    """Say how many files were passed over, by kind, and what to do about packed ones."""
    if not skipped:
        return
    kinds = ", ".join(f"{count} {printable(kind)}" for kind, count in skipped.most_common(8))
    more = f", {sum(skipped.values())} in all" if len(skipped) > 8 else ""
    print(f"Neither DICOM nor a picture, and skipped: {kinds}{more}")
    if any(kind.rpartition(".")[2] in {suffix[1:] for suffix in PACKED_SUFFIXES} for kind in skipped):
        print("What is packed has to be unpacked first, for example with gunzip or unzip.")


def _walk(folder: Path, skipped: Counter[str], not_entered: set[str]) -> Iterator[Path]:
    """Yield the files below a folder that may be mammograms, and the folders that cannot be opened.

    The others are counted in `skipped`, by the ends of their names.
    """
    linked = 0
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as listing:
                entries = [entry for entry in listing if not entry.name.startswith(".")]
        except OSError:
            yield here
            continue
        for entry in entries:
            path = here / entry.name
            if not _is_folder(entry):
                if path.suffix.lower() in PICTURE_SUFFIXES or _may_be_dicom(path):
                    yield path
                else:
                    skipped[_kind(path)] += 1
            elif entry.is_symlink():
                linked += 1
            elif not not_entered or os.path.realpath(path) not in not_entered:
                waiting.append(path)
    if linked:
        print(f"Linked folders are not followed; skipped: {linked}", file=sys.stderr)


def _kind(path: Path | Place) -> str:
    """Return how the name of a file ends, such as `.csv` or `.dcm.gz`; its name only where it is DICOMDIR."""
    if path.name == "DICOMDIR":
        return path.name
    suffix = path.suffix.lower()
    inner = Path(path.name).with_suffix("").suffix.lower() if suffix in PACKED_SUFFIXES else ""
    return f"{inner if inner in {*DICOM_SUFFIXES, '.tar'} else ''}{suffix}" or "without a suffix"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link, or a folder that may be listed but not entered
        return False


def _may_be_dicom(path: Path | Place) -> bool:
    """Return whether a file is named like DICOM, or is DICOM by its first bytes, or cannot be read.

    An archive also holds notes, tables and indexes. What cannot be inspected is kept, to fail with a reason.
    """
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    if path.name == "DICOMDIR":
        return False
    try:
        if isinstance(path, Path) and not stat.S_ISREG(path.stat().st_mode):
            return False  # opening a pipe would wait forever
        with opened(path) as stream:
            start = stream.read(132)
        return start[128:] == b"DICM" or start.startswith(DICOM_WITHOUT_PREAMBLE)
    except FileNotFoundError:  # a broken link
        return False
    except (OSError, UnreadableObject):
        return True
