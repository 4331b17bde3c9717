"""What the network gets to see, as files: for people who train one of their own (lesson 02).

In: mammograms and a `Preprocessor`. Out: a folder that has the tree of the input, one picture for each file,
with a table of what is known of them, a table of failures, and a record of how they were made.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from tqdm.auto import tqdm

from course_utils import DISCLAIMER
from course_utils.files import as_text, write_atomic
from course_utils.imaging.dicom import open_file, read_mammogram
from course_utils.imaging.errors import MammogramError, TooCoarse
from course_utils.imaging.preprocess import Preprocessor
from course_utils.imaging.wavelet import Read
from course_utils.provenance import command_line, git_commit, machine, now, versions
from course_utils.records import FILE, Facts, Failure, Told, failure_columns, table_columns

Format = Literal["png16", "tiff16", "npy"]
"""16-bit PNG or TIFF (0 is black, 65535 white), or NumPy's float32 `(size, size)` in [0, 1]."""

SUFFIX: dict[str, str] = {"png16": ".png", "tiff16": ".tif", "npy": ".npy"}
MASK = "_mask.png"
NAME_TOO_LONG = "The name of this file leaves no room for the longer one of its picture: shorten it."
TABLE, FAILURES, RECORD = "pictures.csv", "failures.csv", "run.json"


def export(
    paths: Sequence[Path],
    names: Sequence[str],
    folder: Path,
    preprocessor: Preprocessor,
    *,
    form: Format = "png16",
    mask: bool = False,
    told: Sequence[Told] | None = None,
    key: bytes | None = None,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, int]:
    """Write the preprocessed pictures of files; return how many were `found`, `written` and `failed`.

    Args:
        paths: N files.
        names: N names, relative to their input; each picture lies below `folder` where its file lies there.
        folder: gets the pictures, pictures.csv, failures.csv and run.json.
        preprocessor: makes the pictures; its `voi` says how each file is rendered.
        form: of the pictures.
        mask: also write where the breast is, as an 8-bit PNG: 255 in it, 0 outside.
        told: what a table says of each file.
        key: keys the pseudonyms.
        workers: threads; 0 for this one alone.
        progress: a progress bar.

    Raises:
        OSError: the folder cannot be written into.
        ValueError: there is no such form, or a picture would take the place of one of the files.
    """
    if form not in get_args(Format):
        raise ValueError(f"form must be one of {', '.join(get_args(Format))}, not {form!r}")
    if would_overwrite(paths, names, folder, form):
        raise ValueError("a picture would take the place of one of the files: choose another folder")
    started = now()
    places = _places(names, SUFFIX[form])

    def one(number: int) -> dict[str, Any] | Failure:
        made = _made(paths[number], preprocessor, key, preprocessor.read)
        if isinstance(made, Failure):
            return made
        facts, picture, inside = made
        try:
            _write(folder / places[number], picture, inside if mask else None, form)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # a full disk, say, is the end of the whole run
                raise
            return Failure("preprocess", NAME_TOO_LONG)
        if told is not None:
            facts = told[number].completed(facts)
        return {"picture": places[number], FILE: names[number], **vars(facts)}

    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        results = list(
            tqdm(pool.map(one, range(len(paths))), total=len(paths), unit="image", disable=not progress)
        )
    rows = [result for result in results if not isinstance(result, Failure)]
    failures = [
        {FILE: names[number], **vars(result)}
        for number, result in enumerate(results)
        if isinstance(result, Failure)
    ]
    for row in rows:
        row |= {name: "; ".join(row[name]) for name in Facts.words()}
    _write_table(folder / TABLE, ["picture", *table_columns()], rows)
    _write_table(folder / FAILURES, failure_columns(), failures)
    counts = {"found": len(paths), "written": len(rows), "failed": len(failures)}
    record = {
        "disclaimer": DISCLAIMER,
        "command": command_line(),
        "started": started,
        "finished": now(),
        "git_commit": git_commit(),
        "versions": versions(),
        "machine": machine(),
        "preprocessing": {"config": preprocessor.config, "fingerprint": preprocessor.fingerprint},
        "format": form,
        "counts": counts,
    }
    write_atomic(folder / RECORD, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomic(folder / "DISCLAIMER.txt", (DISCLAIMER + "\n").encode())
    return counts


def would_overwrite(paths: Sequence[Path], names: Sequence[str], folder: Path, form: Format) -> bool:
    """Return whether a picture or a mask that `export` writes would take the place of one of its files."""
    originals = {_on_disk(path) for path in paths} - {None}
    pictures = [folder / place for place in _places(names, SUFFIX[form])]
    return any(_on_disk(place) in originals for picture in pictures for place in (picture, _mask_of(picture)))


def _on_disk(path: Path) -> tuple[int, int] | None:
    """Return what names a file whatever its path is called, None if there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _places(names: Sequence[str], suffix: str) -> list[str]:
    """Return where each picture goes: the file's name with another ending, added where two would clash.

    The last number of a UID is no ending, and where a folder of the input goes no picture can.
    """
    taken: set[str] = {TABLE.casefold(), FAILURES.casefold(), RECORD.casefold()}
    taken |= {parent.as_posix().casefold() for name in names for parent in Path(name).parents}
    places = []
    for name in names:
        is_number = Path(name).suffix[1:].isdigit()
        place = f"{(Path(name) if is_number else Path(name).with_suffix('')).as_posix()}{suffix}"
        number = 1
        while place.casefold() in taken or place.casefold().removesuffix(suffix) + MASK in taken:
            place, number = (f"{name}{suffix}" if number == 1 else f"{name}-{number}{suffix}"), number + 1
        taken |= {place.casefold(), place.casefold().removesuffix(suffix) + MASK}
        places.append(place)
    return places


def _mask_of(picture: Path) -> Path:
    return picture.with_name(f"{picture.stem}{MASK}")


def _made(
    path: Path, preprocessor: Preprocessor, key: bytes | None, read: Read
) -> tuple[Facts, np.ndarray, np.ndarray] | Failure:
    """Return what is known of a file, its picture and where in it the breast is, or why there is none."""
    stage = "read"
    try:
        mammogram = read_mammogram(path, key=key, **preprocessor.reading | {"read": read})
        with open_file(path) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        stage = "preprocess"
        picture, inside = preprocessor.with_mask(mammogram)
    except MammogramError as error:
        if isinstance(error, TooCoarse) and read == "fast":
            return _made(path, preprocessor, key, "full")
        return Failure(stage, str(error))
    except Exception as error:  # one file must never end a run of ten thousand; its text may hold a path
        return Failure(stage, f"unexpected {type(error).__name__}: this is a bug, please report it")
    return Facts.of(mammogram, sha256), picture[0], inside[0]


def _write(place: Path, picture: np.ndarray, inside: np.ndarray | None, form: Format) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, _encoded(picture, form))
    if inside is not None:
        mask = _image(".png", inside.astype(np.uint8) * np.uint8(255))
        write_atomic(_mask_of(place), mask)


def _encoded(picture: np.ndarray, form: Format) -> bytes:
    if form == "npy":
        out = io.BytesIO()
        np.save(out, picture)
        return out.getvalue()
    return _image(SUFFIX[form], np.rint(picture * 65535).astype(np.uint16))


def _image(suffix: str, values: np.ndarray) -> bytes:
    _, encoded = cv2.imencode(suffix, values)
    return encoded.tobytes()


def _write_table(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows({name: as_text(str(row[name] or "")) for name in columns} for row in rows)
    write_atomic(path, out.getvalue().encode())
