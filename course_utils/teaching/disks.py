"""Two disks for lesson 11: one in memory, on which a process may be killed at any step, and a real folder.

Both have four operations, `exists`, `write`, `rename` and `delete`, on names such as `shard/run.json`.
"""

from __future__ import annotations

import shutil
from pathlib import Path


class Killed(BaseException):
    """The process was ended. No `except Exception` catches it, as none catches SIGKILL."""


class Disk:
    """A disk in memory; `steps` says after how many steps whoever writes on it is killed.

    A file is written in two steps: half of it, then the whole. A folder is deleted file by file. To rename a
    file or a folder is a single step, and a file may take another's place, as with `os.replace`; a folder may
    not take a folder's.

    Attributes:
        files: what each file holds, by name.
        taken: steps taken so far.
    """

    def __init__(self, files: dict[str, str] | None = None, steps: int | None = None):
        self.files: dict[str, str] = dict(files or {})
        self.steps, self.taken = steps, 0

    def exists(self, name: str) -> bool:
        """Return whether there is a file or a folder of this name."""
        self._live()
        return any(file == name or file.startswith(f"{name}/") for file in self.files)

    def write(self, name: str, content: str) -> None:
        """Write a file, and the folder that it lies in; what it held before is gone."""
        if not isinstance(name, str) or not isinstance(content, str):
            raise TypeError("disk.write takes a file's name and its content, two strings")
        self.step()
        self.files[name] = content[: len(content) // 2]
        self.step()
        self.files[name] = content

    def rename(self, old: str, new: str) -> None:
        """Give a file or a folder another name, in one step.

        Raises:
            FileNotFoundError: there is no `old`.
            FileExistsError: a folder would take the place of something.
        """
        self._live()
        moved = [file for file in self.files if file == old or file.startswith(f"{old}/")]
        if not moved:
            raise FileNotFoundError(f"there is no {old} to rename")
        if self.exists(new) and not (moved == [old] and new in self.files):
            raise FileExistsError(f"{new} is there already")
        self.step()
        for file in moved:
            self.files[new + file[len(old) :]] = self.files.pop(file)

    def delete(self, name: str) -> None:
        """Delete a file, or a folder file by file; nothing happens if there is none."""
        self._live()
        for file in [file for file in self.files if file == name or file.startswith(f"{name}/")]:
            self.step()
            del self.files[file]

    def step(self) -> None:
        """Take one more step, or be killed before it."""
        self._live()
        self.taken += 1

    def _live(self) -> None:
        if self.steps is not None and self.taken >= self.steps:
            raise Killed


class FolderDisk:
    """The same four operations in a folder of this machine; files hold bytes or text."""

    def __init__(self, folder: Path):
        self.folder = folder

    def exists(self, name: str) -> bool:
        """Return whether there is a file or a folder of this name."""
        return (self.folder / name).exists()

    def write(self, name: str, content: bytes | str) -> None:
        """Write a file, and the folder that it lies in."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def rename(self, old: str, new: str) -> None:
        """Give a file or a folder another name, in one step."""
        (self.folder / old).replace(self.folder / new)

    def delete(self, name: str) -> None:
        """Delete a file or a folder, if it is there."""
        place = self.folder / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
