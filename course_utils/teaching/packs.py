"""The course on a stick: what git tracks, and the wheels that a laptop without a network installs.

The versions are those of `requirements.lock`, whose markers are asked of the laptops' system and not of this
one: pip itself asks them of the Python that runs it. `start.py` installs from the folder `wheels` beside it.
"""

from __future__ import annotations

import contextlib
import errno
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
TOP = "mammogram-course"
"""The folder that the zip unpacks to."""
WHEELS, WEIGHTS = "wheels", "weights"
"""Folders of the pack, in which `start.py` looks for what it would fetch."""
EXTRAS = ("course", "archives", "fast", "test", "site")
"""Those that `start.py` installs."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
GB_A_TARGET, GB_OF_CUDA = 1.7, 7.0
"""Free disk for one kind of laptop: its wheels, and once more in the zip (0.8 and 3.1 GB were measured)."""
FAT32_BYTES = 2**32 - 1
"""What a file may hold at most on a stick as it is sold."""
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Max retries exceeded|"
    r"Connection broken|Temporary failure in name resolution"
)
NO_WHEEL = re.compile(r"No matching distribution found for ([\w.-]+)")
STEPS = ("Collecting ", "Processing ", "Downloading ", "Using cached ", "Saved ")
FULL = re.compile(r"No space left on device|not enough space on the disk")

Say = Callable[[str], None]


class PackError(Exception):
    """The pack cannot be made; the sentence says why, and what to do."""


@dataclass(frozen=True)
class Platform:
    """One kind of laptop: pip's tags for it, newest first, and what markers in requirements ask."""

    name: str
    says: str
    tags: tuple[str, ...]
    markers: dict[str, str] = field(compare=False)


def _manylinux(newest: int, machine: str) -> tuple[str, ...]:
    older = (f"manylinux_2_{minor}_{machine}" for minor in range(newest, 4, -1))
    return (*older, f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"linux_{machine}")


def _markers(sys_platform: str, system: str, machine: str) -> dict[str, str]:
    return {
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "nt" if system == "Windows" else "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_version": "",
    }


PLATFORMS = {
    each.name: each
    for each in (
        Platform(
            "win_amd64", "Windows on Intel or AMD", ("win_amd64",), _markers("win32", "Windows", "AMD64")
        ),
        Platform(
            "macosx_14_0_arm64",
            "Macs with Apple silicon, macOS 14 or newer",
            ("macosx_14_0_arm64",),
            _markers("darwin", "Darwin", "arm64"),
        ),
        Platform(
            "manylinux_2_28_x86_64",
            "Linux on Intel or AMD",
            _manylinux(28, "x86_64"),
            _markers("linux", "Linux", "x86_64"),
        ),
        Platform(
            "manylinux_2_35_aarch64",
            "Linux on ARM",
            _manylinux(35, "aarch64"),
            _markers("linux", "Linux", "aarch64"),
        ),
    )
}
"""Those for which `tools/lock.py` finds every wheel."""


@dataclass(frozen=True)
class Target:
    """A kind of laptop and its Python."""

    platform: Platform
    python: str

    @property
    def markers(self) -> dict[str, str]:
        """What this laptop would answer to the markers in requirements."""
        full = f"{self.python}.0"
        version = {
            "python_version": self.python,
            "python_full_version": full,
            "implementation_version": full,
        }
        return self.platform.markers | version

    def needs(self, requirement: Requirement, extras: Iterable[str] = ()) -> bool:
        """Return whether a requirement holds for this laptop, for any of the extras that were asked for."""
        marker = requirement.marker
        return marker is None or any(
            marker.evaluate(dict(self.markers, extra=extra)) for extra in ("", *extras)
        )

    def __str__(self) -> str:
        return f"{self.platform.name}, Python {self.python}"


def targets(platforms: Sequence[str] | None, pythons: Sequence[str] | None) -> list[Target]:
    """Return every platform with every Python; this machine's in place of None.

    Raises:
        PackError: there are no wheels for one of them.
    """
    named = [_platform(name) for name in platforms or [this_platform()]]
    versions = list(pythons or ["{}.{}".format(*sys.version_info)])
    for version in versions:
        if version not in PYTHONS:
            raise PackError(f"there is no Python {version!r} to pack for: choose from {', '.join(PYTHONS)}")
    return [Target(each, version) for each in dict.fromkeys(named) for version in dict.fromkeys(versions)]


def this_platform() -> str:
    """Return the name of this machine's platform, which may be one that there are no wheels for."""
    system, machine = platform.system(), platform.machine()
    for each in PLATFORMS.values():
        if (each.markers["platform_system"], each.markers["platform_machine"]) == (system, machine):
            return each.name
    return {"Darwin": "macosx", "Windows": "win"}.get(system, system.lower()) + f"_{machine}".lower()


def _platform(name: str) -> Platform:
    if name in PLATFORMS:
        return PLATFORMS[name]
    why = f"there is no platform {name!r}"
    if name == "win_arm64":
        why = "not every package has a wheel for Windows on ARM"
    elif re.fullmatch(r"macosx\w*_x86_64", name):
        why = "the last PyTorch for Macs with an Intel processor is too old for the course"
    raise PackError(f"{why}: choose from {', '.join(PLATFORMS)}")


def pack(
    course: Path,
    output: Path,
    wanted: Sequence[Target],
    *,
    weights: Path | None = None,
    say: Say = print,
    pip_options: Sequence[str] = (),
) -> int:
    """Write the course, with the wheels of some kinds of laptops, into a zip; return its bytes.

    Args:
        course: the folder of the checkout.
        output: the zip, which must not be there yet.
        wanted: for which laptops.
        weights: a file of network weights that goes along.
        say: is told now and then what is going on.
        pip_options: more options for `pip download`, such as another index.

    Raises:
        PackError: it cannot be made, and nothing is left of it.
    """
    if output.exists():
        raise PackError(f"{output.name} is there already: delete it, or choose another name")
    files = tracked(course)
    options, cuda = (list(pip_options), 0) if pip_options else _index_options(wanted, say)
    _check_room(output.parent, GB_A_TARGET * len(wanted) + GB_OF_CUDA * cuda)
    try:
        with tempfile.TemporaryDirectory(prefix="course-pack-", dir=output.parent) as folder:
            wheels = Path(folder)
            for target in wanted:
                fetch(course, target, wheels, say=say, pip_options=options)
            found = sorted(wheels.glob("*.whl"))
            members = [(course / name, name) for name in files]
            members += [(wheel, f"{WHEELS}/{wheel.name}") for wheel in found]
            members += [(weights, f"{WEIGHTS}/{weights.name}")] if weights is not None else []
            _zip(members, output, say)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise PackError(_FULL_DISK) from error
        raise
    return output.stat().st_size


_FULL_DISK = "the disk is full: make room, and run it again"


def tracked(course: Path) -> list[str]:
    """Return what git tracks, so that nothing else in the folder ends up on other people's laptops.

    Raises:
        PackError: git does not say, or a file is missing.
    """
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=course, capture_output=True)
    except FileNotFoundError:
        raise PackError("git is not installed: it alone knows which files belong to the course") from None
    if listed.returncode or not (course / ".git").exists():
        raise PackError(
            "this folder is no git checkout, so what else lies in it might go along: "
            "clone the repository, and pack from there"
        )
    names = list(filter(None, listed.stdout.decode("utf-8", "surrogateescape").split("\0")))
    gone = [name for name in names if not (course / name).is_file()]
    if gone:
        raise PackError(f"{gone[0]} belongs to the course and is missing: git restore {gone[0]}")
    return names


def _index_options(wanted: Sequence[Target], say: Say) -> tuple[list[str], int]:
    """Return what points pip to PyTorch's CPU wheels, and how many kinds of laptops get CUDA without them.

    On Linux only: for other systems, PyTorch's usual wheels are small.
    """
    linux = sum(target.platform.markers["platform_system"] == "Linux" for target in wanted)
    if not linux:
        return [], 0
    say("Looking for PyTorch's smaller CPU wheels for Linux (8 seconds at most) …")
    if _answers(f"{CPU_WHEELS}/torch/"):
        return ["--extra-index-url", CPU_WHEELS], 0
    say("Not reachable: PyTorch for Linux comes with CUDA, which is 3 GB more for each kind of laptop.")
    return [], linux


def _check_room(folder: Path, needed: float) -> None:
    free = shutil.disk_usage(folder).free / 1e9
    if free < needed:
        raise PackError(f"the pack needs about {needed:.1f} GB while it is made, and {free:.1f} GB are free")


def fetch(
    course: Path, target: Target, folder: Path, *, say: Say = print, pip_options: Sequence[str] = ()
) -> None:
    """Download the wheels of everything that the course needs on one kind of laptop.

    Raises:
        PackError: one of them cannot be had.
    """
    lines = (course / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = [f"{each.name}{each.specifier}" for each in locked if target.needs(each)]
    say(f"{target}: {len(pinned)} packages")
    others = set(folder.glob("*.whl"))
    _download(pinned, target, folder, pip_options, say)
    asked: list[str] = []
    while missing := missing_from(course, target, folder):
        if missing == asked:
            raise PackError(f"no wheel of {missing[0]} that there is fits {target}")
        asked = missing
        say(f"{target}: {len(missing)} more, which these ask for")
        again = {canonicalize_name(Requirement(line).name) for line in missing}
        for wheel in set(folder.glob("*.whl")) - others:  # nobody asks for that version any more
            if parse_wheel_filename(wheel.name)[0] in again:
                wheel.unlink()
        _download(missing, target, folder, pip_options, say)


def missing_from(course: Path, target: Target, folder: Path) -> list[str]:
    """Return what the course and the wheels of a folder ask for on a laptop, and the folder does not hold."""
    project = tomllib.loads((course / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"].get("optional-dependencies", {})
    lines = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    lines += [line for extra in EXTRAS for line in extras.get(extra, [])]
    here = _wheels_for(folder, target)
    asked: dict[str, SpecifierSet] = {}
    waiting: list[tuple[Requirement, Iterable[str]]] = [(Requirement(line), ()) for line in lines]
    seen = set()
    while waiting:
        requirement, extras_of_parent = waiting.pop()
        name = canonicalize_name(requirement.name)
        if not target.needs(requirement, extras_of_parent):
            continue
        asked[name] = asked.get(name, SpecifierSet()) & requirement.specifier
        step = (name, frozenset(requirement.extras))
        if step not in seen:
            seen.add(step)
            waiting += [(each, requirement.extras) for wheel in here.get(name, []) for each in wheel.asks]
    return sorted(
        f"{name}{versions}"
        for name, versions in asked.items()
        if not any(versions.contains(wheel.version, prereleases=True) for wheel in here.get(name, []))
    )


@dataclass(frozen=True)
class _Wheel:
    version: Version
    asks: list[Requirement]


def _wheels_for(folder: Path, target: Target) -> dict[str, list[_Wheel]]:
    """Return the wheels of a folder that are for a laptop, by name, and what each asks for."""
    found: dict[str, list[_Wheel]] = {}
    for wheel in folder.glob("*.whl"):
        name, version, _, tags = parse_wheel_filename(wheel.name)
        if not any(_fits(tag.interpreter, tag.abi, tag.platform, target) for tag in tags):
            continue
        with zipfile.ZipFile(wheel) as archive:
            (metadata,) = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
            headers = HeaderParser().parsestr(archive.read(metadata).decode("utf-8", "replace"))
        asks = [Requirement(line) for line in headers.get_all("Requires-Dist", [])]
        found.setdefault(name, []).append(_Wheel(version, asks))
    return found


def _fits(interpreter: str, abi: str, system: str, target: Target) -> bool:
    """Return whether a wheel is for a laptop, as far as it takes to tell the laptops of one pack apart."""
    of_this = "cp" + target.python.replace(".", "")
    if interpreter.startswith("cp") and abi != "abi3" and interpreter != of_this:
        return False
    kind = {"Windows": "win", "Darwin": "macosx"}.get(target.platform.markers["platform_system"], "linux")
    machine = target.platform.markers["platform_machine"].lower()
    return system == "any" or (kind in system and system.endswith((machine, "universal2")))


def _download(lines: Sequence[str], target: Target, folder: Path, options: Sequence[str], say: Say) -> None:
    """Have pip download wheels, without what they ask for, and say what it is doing."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", folder]
    command += ["--progress-bar=off", "--no-input", "--retries=2", "--disable-pip-version-check", *options]
    command += [f"--platform={tag}" for tag in target.platform.tags]
    command += [f"--python-version={target.python}", "--implementation=cp", *lines]
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    try:
        said = list(_followed(process, len(lines), say))
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
    if process.returncode:
        raise PackError(_why("".join(said), target))


def _followed(process: subprocess.Popen[str], of: int, say: Say) -> Iterator[str]:
    """Yield the lines of a running pip, and say every ten seconds how far it is."""
    assert process.stdout is not None
    at, last = 0, time.monotonic()
    for line in process.stdout:
        yield line
        step = line.strip()
        at += step.startswith(("Collecting ", "Processing "))
        if time.monotonic() - last > 10 and step.startswith(STEPS):
            last = time.monotonic()
            say(f"  {at} of {of}: {_without_folders(step)}")


def _without_folders(step: str) -> str:
    return " ".join(re.split(r"[/\\]", word)[-1] for word in step.split())[:90]


def _why(log: str, target: Target) -> str:
    """Return a sentence on why pip failed; what it printed may name folders and servers."""
    if FULL.search(log):
        return _FULL_DISK
    if NO_NETWORK.search(log) and ("from versions: none" in log or not NO_WHEEL.search(log)):
        return "the package index cannot be reached: go online, and run it again"
    if absent := NO_WHEEL.search(log):
        return f"there is no wheel of {absent[1]} for {target} in the version of requirements.lock"
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")]
    return f"pip could not download: {_without_folders(errors[-1] if errors else 'it gave no reason')}"


def _zip(members: Sequence[tuple[Path, str]], output: Path, say: Say) -> None:
    """Write a zip beside its place and move it there once it is whole."""
    total = sum(file.stat().st_size for file, _ in members)
    if total > FAT32_BYTES:
        say("The zip will be larger than 4 GB, which sticks formatted as FAT32 cannot hold: take exFAT.")
    beside = output.with_name(f"{output.name}.{secrets.token_hex(4)}.tmp")
    done, last = 0, time.monotonic()
    try:
        with zipfile.ZipFile(beside, "x") as archive:
            for file, name in members:
                packed = file.suffix in (".whl", ".pth")
                how = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
                archive.write(file, f"{TOP}/{name}", how)
                done += file.stat().st_size
                if time.monotonic() - last > 10:
                    last = time.monotonic()
                    say(f"  {done / 1e9:.1f} of {total / 1e9:.1f} GB packed")
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


def _answers(url: str, seconds: float = 8.0) -> bool:
    """Return whether an address answers with success; `start.py` asks the same."""
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=seconds) as reply:
        return bool(reply.status == 200)
    return False


def checked_weights(file: Path) -> Path:
    """Return a file of network weights, whose name ends in the first digits of its sha256.

    Raises:
        PackError: it is not there, or damaged.
    """
    from course_utils.embedding.hub import is_whole

    if not file.is_file():
        raise PackError(
            f"{file.name} is not on this machine: go online, run course embed with --backbone resnet50 once, "
            "and pack again; or leave out --weights"
        )
    if not is_whole(file):
        raise PackError(f"{file.name} is damaged: delete it, go online and fetch it again")
    return file
