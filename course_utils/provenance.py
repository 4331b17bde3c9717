"""What was run, on what, with what: one RunRecord travels with every table of embeddings (lesson 05).

A record lets somebody else repeat a run and lets a reader judge it. It holds no path of the machine, no user
or host name, and nothing that a DICOM header says about a person.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from course_utils import DISCLAIMER, __version__
from course_utils.files import as_text, display_path, write_atomic

RECORDED_PACKAGES = (
    "numpy",
    "pydicom",
    "opencv-python-headless",
    "torch",
    "torchvision",
    "timm",
    "scikit-learn",
    "pandas",
)


class ForeignRecord(ValueError):
    """A run record of another version of this course."""


@dataclass(frozen=True)
class RunRecord:
    """One run of the extractor, complete enough to repeat it.

    Times are UTC in ISO 8601; `timings` are wall-clock seconds; `counts` are images. `backbone` names the
    network, and layer and pooling unless they are its own: `resnet50 layer=layer3 pool=gem`. `weights` says
    `pretrained: false` for random weights: such vectors are for lessons and timing only.
    """

    command: str
    started: str
    finished: str
    git_commit: str | None
    versions: dict[str, str]
    machine: dict[str, Any]
    device: str
    precision: str
    engine: str
    adapter: str
    batch_size: int
    deterministic: bool
    backbone: str
    weights: dict[str, Any]
    preprocessing: dict[str, Any]
    seeds: dict[str, int]
    counts: dict[str, int]
    timings: dict[str, float]
    disclaimer: str = field(default=DISCLAIMER)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON types, the disclaimer first."""
        values = asdict(self)
        return {"disclaimer": values.pop("disclaimer"), **values}

    def write(self, path: Path) -> None:
        """Write the record as UTF-8 JSON, whole or not at all."""
        write_atomic(path, (json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Read a record that `write` wrote.

        Raises:
            OSError: the file cannot be read.
            ForeignRecord: it is a record of another version of this course.
            ValueError: it is something else.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if set(values) == {each.name for each in fields(cls)}:
                return cls(**values)
            made_by = values["versions"]["course"]
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise ValueError(f"{path.name} is not a run record of this course") from error
        is_version = isinstance(made_by, str) and re.fullmatch(r"[\w.+-]{1,20}", made_by)
        if not is_version or made_by == __version__:
            raise ValueError(f"{path.name} is not a run record of this course")
        raise ForeignRecord(
            f"{path.name} was written by version {made_by} of this course, and this is {__version__}"
        )


def fingerprint(config: dict[str, Any]) -> str:
    """Return 16 hexadecimal digits that differ when anything in a plain dict does: SHA-256 of sorted JSON."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line(argv: Sequence[str] | None = None) -> str:
    """Return the command as typed, without folders of this machine: `course embed archive -o out`."""
    program, *arguments = sys.argv if argv is None else argv
    # In a notebook the arguments are the kernel's connection file: they say nothing about the run.
    if "ipykernel" in program:
        return "notebook"
    name = Path(program).name
    named = "course" if name in ("cli.py", "__main__.py") else as_text(name)
    return " ".join([named, *(_without_folder(argument) for argument in arguments)])


def _without_folder(argument: str) -> str:
    """Return an argument, or the value in `--option=value` and `-ovalue`, as it may be stored."""
    named = re.match(r"--[\w-]+=|-[A-Za-z](?!-)", argument)
    option = named[0] if named else ""
    value = argument.removeprefix(option)
    # Below the root folder, a relative path names all folders of the machine, too.
    below_root = len(Path(value).parts) > 1 and os.path.realpath(".") == os.path.realpath(os.sep)
    leads_out = Path(value).is_absolute() or ".." in Path(value).parts or below_root
    return option + (display_path(value) if leads_out else as_text(value))


def git_commit() -> str | None:
    """Return the commit of this package's own source, with `+` if it has changed since.

    None outside git, and if the repository around it is another one that happens to hold the install.
    """
    source = Path(__file__).resolve()
    try:
        _git(source.parent, "ls-files", "--error-unmatch", source.name)
        head = _git(source.parent, "rev-parse", "HEAD")
        changed = _git(source.parent, "status", "--porcelain", "--untracked-files=no", ".")
        return head + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    # A git hook, say, names its own repository in the environment.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10, check=True, env=env
    )
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Return versions of Python, of this course and of the packages that can change a number."""
    found = {"python": platform.python_version(), "course": __version__}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return operating system, processor and core count; never a host or user name."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
