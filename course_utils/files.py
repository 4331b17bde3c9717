"""Files and their names: written whole or not at all, and named without folders of this machine."""

from __future__ import annotations

import secrets
from pathlib import Path


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` beside `path` and rename it into place, so that no reader ever sees half a file."""
    # A name of its own: another run may be writing the same file just now.
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def nearest_folder(path: Path) -> Path:
    """Return the path, or the nearest of its parents that exists."""
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def display_path(path: Path | str) -> str:
    """A path as it may be printed or stored: relative to the working folder, else its last part alone."""
    here, there = Path.cwd().resolve(), Path(path).resolve()
    return str(there.relative_to(here)) if there.is_relative_to(here) else there.name


def as_text(name: str) -> str:
    """A file's name as valid Unicode: bytes that are none become `\\x..`, as on some older disks."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
