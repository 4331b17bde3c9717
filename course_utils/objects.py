"""Files and folders of an object store, for an archive that lies in one; nothing else knows of addresses.

In: an address such as `s3://bucket/prefix`. Out: a `Place`, which is asked what a `Path` is asked. What it
holds comes through temporary files, and goes with a run's record last. Paths of this machine pass unchanged:
callers need not tell one from the other. pyarrow does the work, and finds credentials itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from course_utils.files import display_path, is_abandoned, write_atomic

SCHEMES = ("s3", "gs")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Where an S3 store is that is not Amazon's, as the AWS tools name it."""

AT_ONCE = 2**25  # bytes of an object that are asked for, and kept in memory, at a time: most files at once
FETCHED = "course-fetched-"


class ObjectError(Exception):
    """An object store cannot do what is asked: one sentence, with a bucket's name at most."""


class UnreadableObject(ObjectError):
    """One object cannot be read, as a file may not be; the others may be fine."""


@dataclass(frozen=True)
class Place:
    """A file or a folder in an object store: `parts` are its bucket and the names below it."""

    scheme: str
    parts: tuple[str, ...]

    def __truediv__(self, name: str) -> Place:
        return Place(self.scheme, (*self.parts, *name.split("/")))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}"

    @property
    def key(self) -> str:
        """The bucket and what is below it, as pyarrow names an object."""
        return "/".join(self.parts)

    @property
    def bucket(self) -> str:
        """The bucket, as a sentence names it."""
        return f"{self.scheme}://{self.parts[0]}"

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1]

    @property
    def suffix(self) -> str:
        """How the name ends, such as `.dcm`."""
        return PurePosixPath(self.name).suffix

    def absolute(self) -> Place:
        """Return the place: it is the same from everywhere."""
        return self

    def mkdir(self, **_: Any) -> None:
        """Do nothing: an object store has folders as far as there is something in them."""

    def is_dir(self) -> bool:
        """Return False: what is listed are objects."""
        return False

    def is_file(self) -> bool:
        """Return whether there is an object of this name."""
        from pyarrow.fs import FileType

        with _in_words(self):
            return bool(_system(self).get_file_info(self.key).type == FileType.File)

    exists = is_file

    def open_(self) -> Any:
        """Return the object as a binary stream, of which parts can be read."""
        with _in_words(self):
            return _system(self).open_input_file(self.key)

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the whole object as text."""
        with _in_words(self), self.open_() as stream:
            return str(stream.read(), encoding)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        if not missing_ok or self.exists():
            with _in_words(self):
                _system(self).delete_file(self.key)


def place(given: str | Path | Place) -> Path | Place:
    """Return a path of this machine, or the place that an address names.

    Raises:
        ObjectError: an address without a bucket, with more than a bucket and what is below it (credentials
            have no place in an address: a run's record holds its command), or made a `Path` already.
    """
    if isinstance(given, Place):
        return given
    if isinstance(given, Path):
        if given.parts and given.parts[0] in {f"{scheme}:" for scheme in SCHEMES}:
            raise ObjectError("the address of an object store is text: a Path has lost one of its slashes")
        return given
    address = re.fullmatch(f"({'|'.join(SCHEMES)})://(.*)", os.fspath(given), re.DOTALL)
    if address is None:
        return Path(given)
    bucket, *names = address[2].rstrip("/").split("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket):
        raise ObjectError(f"{address[1]}:// wants a bucket and what is below it, and no credentials")
    return Place(address[1], (bucket, *names))


def shown(path: Path | Place) -> str:
    """Return a path as it may be printed (see `display_path`), or an address."""
    return str(path) if isinstance(path, Place) else display_path(path)


def files_below(folder: Place) -> list[Place]:
    """Return all objects below a folder, in the order in which the paths of a local copy are sorted."""
    from pyarrow.fs import FileSelector, FileType

    listed = []
    with _in_words(folder), contextlib.suppress(FileNotFoundError):  # of a folder, not of a bucket
        listed = _system(folder).get_file_info(FileSelector(folder.key, recursive=True))
    parts = sorted(tuple(each.path.split("/")) for each in listed if each.type == FileType.File)
    return [Place(folder.scheme, each) for each in parts]


def write(file: Path | Place, content: bytes) -> None:
    """Write a short file, whole or not at all."""
    if isinstance(file, Path):
        write_atomic(file, content)
        return
    with _in_words(file), _system(file).open_output_stream(file.key) as stream:
        stream.write(content)


def opened(file: Path | Place) -> IO[bytes]:
    """Return a file as a binary stream."""
    return file.open("rb") if isinstance(file, Path) else file.open_()


@contextlib.contextmanager
def at_hand(file: Path | Place, most: int | None = None) -> Iterator[Path]:
    """Yield a file of this machine: itself, or a copy of an object, which is deleted afterwards.

    Raises:
        UnreadableObject: there is no such object, this machine may not read it, or it has more bytes than
            `most`.
        ObjectError: the store cannot be reached, or the copy cannot be kept.
    """
    if isinstance(file, Path):
        yield file
        return
    _sweep()
    with tempfile.TemporaryDirectory(prefix=FETCHED, ignore_cleanup_errors=True) as folder:
        _fetch(file, Path(folder) / "object", most)  # its name is nobody's business here
        yield Path(folder) / "object"


@contextlib.contextmanager
def folder_at_hand(folder: Path | Place) -> Iterator[Path]:
    """Yield a folder of this machine: itself, or a copy, which is deleted afterwards."""
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix=FETCHED, ignore_cleanup_errors=True) as copy:
        for file in files_below(folder):
            _fetch(file, Path(copy) / file.name)
        yield Path(copy)


@contextlib.contextmanager
def sent(folder: Path | Place, last: str) -> Iterator[Path]:
    """Yield a folder to write into: itself, or a temporary one whose files are sent after all went well.

    Args:
        folder: where the files go; no folders, and nothing hidden.
        last: the file that says that all are there. It is deleted first and sent last, so that whatever ends
            this, nobody takes half of it for whole.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as here:
        yield Path(here)
        files = [file for file in Path(here).iterdir() if file.is_file() and not file.name.startswith(".")]
        (folder / last).unlink(missing_ok=True)
        for file in sorted(files, key=lambda file: (file.name == last, file.name)):
            there = folder / file.name
            with (
                file.open("rb") as content,
                _in_words(there),
                _system(there).open_output_stream(there.key) as stream,
            ):
                shutil.copyfileobj(content, stream, AT_ONCE)


def delete_folders(parent: Path | Place, start: str) -> None:
    """Delete the folders in a folder whose names start so; what cannot be deleted stays."""
    if isinstance(parent, Path):
        for folder in parent.glob(f"{start}*"):
            shutil.rmtree(folder, ignore_errors=True)
        return
    from pyarrow.fs import FileSelector, FileType

    with contextlib.suppress(ObjectError), _in_words(parent):
        system = _system(parent)
        for found in system.get_file_info(FileSelector(parent.key, allow_not_found=True)):
            if found.type == FileType.Directory and found.base_name.startswith(start):
                system.delete_dir(found.path)


def _fetch(file: Place, copy: Path, most: int | None = None) -> None:
    """Copy an object to a file of this machine."""
    with _in_words(file), file.open_() as stream:
        if most is not None and stream.size() > most:
            raise UnreadableObject(f"This object is larger than {most / 2**30:.0f} GB, far too large.")
        try:
            with copy.open("wb") as kept:
                while content := stream.read(AT_ONCE):
                    kept.write(content)
        except OSError as error:
            if error.errno is None:  # pyarrow's
                raise
            raise ObjectError(
                f"the temporary folder cannot keep the copy of an object ({os.strerror(error.errno)}): set "
                "TMPDIR to a folder with more room"
            ) from None


@cache
def _sweep() -> None:
    """Delete the copies of objects that killed processes left, once a process."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FETCHED}*"):
        if is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _system(where: Place) -> Any:
    return _system_of(where.scheme, where.parts[0], next(filter(None, map(os.environ.get, ENDPOINTS)), None))


@cache
def _system_of(scheme: str, bucket: str, endpoint: str | None) -> Any:
    """Return pyarrow's file system for a bucket; any thread may use it."""
    from pyarrow.fs import FileSystem

    address = f"{scheme}://{bucket}"
    if scheme == "s3" and endpoint:  # said in the address, since not every pyarrow reads the variable itself
        server = urlsplit(endpoint)
        address += "?" + urlencode({"scheme": server.scheme, "endpoint_override": server.netloc})
    return FileSystem.from_uri(address)[0]


@contextlib.contextmanager
def _in_words(where: Place) -> Iterator[None]:
    """Turn what a store answers into one sentence: its own may hold keys, names and requests."""
    import pyarrow

    try:
        yield
    except FileNotFoundError:
        error: ObjectError = UnreadableObject("There is no such object (any more).")
    except (OSError, pyarrow.ArrowException) as answer:
        if isinstance(answer, OSError) and answer.errno is not None:
            raise
        error = _trouble(where, str(answer))
    else:
        return
    raise error from None


def _trouble(where: Place, answer: str) -> ObjectError:
    found = re.search(r"AWS Error ([A-Z_]+)", answer)
    code = found[1] if found else ""
    if code == "NO_SUCH_BUCKET" or re.search(r"[Bb]ucket '[^']*' not found", answer):
        return ObjectError(f"there is no bucket {where.bucket}, or not at this endpoint")
    if code in ("INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "EXPIRED_TOKEN", "INVALID_TOKEN"):
        return ObjectError(f"{where.bucket} does not accept this machine's credentials ({code.lower()})")
    if code == "ACCESS_DENIED" or "HTTP status 403" in answer:
        return UnreadableObject(
            f"Access to {where.bucket} is denied: this machine's credentials do not allow it."
        )
    if code == "NETWORK_CONNECTION" or "imeout" in answer:
        return ObjectError(f"{where.bucket} cannot be reached: what is finished is kept, so try again")
    return ObjectError(f"{where.bucket} failed{f' ({code.lower()})' if code else ''}: try again")
