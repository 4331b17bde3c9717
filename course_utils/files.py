"""Files and their names: written whole or not at all, and named without folders of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from pathlib import Path

ABANDONED_S = 3600
"""Seconds without a touch after which a half-written file or folder is taken to be a killed run's."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` beside `path` and rename it into place, so that no reader ever sees half a file."""
    # A unique name: another run may be writing the same file just now.
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a full disk may only show here
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def sha256_of(content: bytes) -> str:
    """Return the sha256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def is_abandoned(path: Path) -> bool:
    """Return whether nothing has touched a half-written file or folder for an hour; False if it is gone."""
    try:
        return path.stat().st_mtime < time.time() - ABANDONED_S
    except OSError:
        return False


def sweep(folder: Path) -> None:
    """Delete the `*.tmp` that killed runs left in a folder."""
    for file in folder.glob("*.tmp"):
        if is_abandoned(file):
            with contextlib.suppress(OSError):
                file.unlink()


def nearest_folder(path: Path) -> Path:
    """Return the path, or the nearest of its parents that exists."""
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def display_path(path: Path | str) -> str:
    """Return a path as it may be printed or stored: relative to the working folder, else its last part alone.

    In the root folder it is always the last part: below it, a relative path names all folders of the machine.
    """
    try:
        here, there = Path.cwd().resolve(), Path(path).resolve()
    except (OSError, RuntimeError):  # the working folder is gone, or links go in circles
        return as_text(Path(path).name)
    if here != Path(here.anchor) and there.is_relative_to(here):
        return as_text(str(there.relative_to(here)))
    return as_text(there.name) or there.anchor


def as_text(name: str) -> str:
    r"""Return a file's name as valid Unicode: bytes that are not become `\x..`, as on some older disks."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
