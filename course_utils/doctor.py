"""Is this machine ready? Each check answers with [ok], with a note, or with what to do (lesson 00)."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

MARKS = {"ok": "[ok]  ", "note": "[note]", "problem": "[!!]  "}
DISK_NEEDED_GB = 1.0
MEMORY_NEEDED_GB = 4.0
PACKAGES = ("numpy", "pydicom", "opencv-python-headless", "torch", "torchvision", "scikit-learn", "pandas")
# One transfer syntax for each kind of compression used for mammography.
SYNTAXES = {
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.70": "JPEG lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
}


@dataclass(frozen=True)
class Check:
    """One answer: `state` is "ok", "note" (works, but know this) or "problem" (must be fixed)."""

    state: str
    sentence: str


def doctor() -> bool:
    """Print one line per check; return whether nothing needs fixing."""
    return told(examine(), "course doctor")


def told(checks: Iterable[Check], command: str) -> bool:
    """Print one line per check, as each is made; return whether nothing needs fixing."""
    healthy = True
    for check in checks:
        print(MARKS[check.state], check.sentence, flush=True)
        healthy &= check.state != "problem"
    print("Ready." if healthy else f"Not ready yet: fix the lines marked [!!], then run {command} again.")
    return healthy


def examine() -> Iterator[Check]:
    """Yield all checks, cheap ones first."""
    yield python()
    yield from _packages()
    yield _disk()
    yield _memory()
    yield from decoders()
    yield device()
    yield from _weights()


def python() -> Check:
    """Name the Python and the system."""
    return Check("ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Check]:
    found, missing = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    if found:
        yield Check("ok", ", ".join(found))
    if missing:
        yield Check("problem", f"missing: {', '.join(missing)}: run python start.py setup")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < DISK_NEEDED_GB:
        return Check("problem", f"{free:.1f} GB of disk free: the lessons need {DISK_NEEDED_GB:.0f} GB")
    return Check("ok", f"{free:.0f} GB of disk free")


def _memory() -> Check:
    total = memory_bytes()
    if total is None:
        return Check("note", "how much memory this machine has could not be read; the lessons need 4 GB")
    if total / 1e9 < MEMORY_NEEDED_GB:
        return Check(
            "note", f"{total / 1e9:.1f} GB of memory: close other programs, the lessons need up to 3 GB"
        )
    return Check("ok", f"{total / 1e9:.0f} GB of memory, {os.cpu_count()} cores")


def memory_bytes() -> int | None:
    """Return the physical memory in bytes, or None if the system does not say."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if sys.platform == "win32":
        # MEMORYSTATUSEX: its length, then the load in percent, then total physical memory and six more sizes.
        status = (ctypes.c_uint64 * 8)(64)
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return status[1]
    return None


def decoders() -> Iterator[Check]:
    """Ask whether every kind of compressed mammogram can be read."""
    from course_utils.imaging.decode import decoder_package

    readable = ["uncompressed"]
    for syntax, name in SYNTAXES.items():
        if package := decoder_package(syntax):
            yield Check("problem", f"{name} files cannot be decoded: pip install {package}")
        else:
            readable.append(name)
    yield Check("ok", f"decoders: {', '.join(readable)}")


def device() -> Check:
    """Name the device that networks run on."""
    from course_utils.embedding.device import describe_device, pick_device
    from course_utils.embedding.errors import DeviceUnavailable

    try:
        found = pick_device()
    except DeviceUnavailable as error:
        return Check("problem", f"{error} (COURSE_DEVICE is set to {os.environ.get('COURSE_DEVICE')!r})")
    words = describe_device(found)
    return Check("ok", f"device: {words}" + (", enough for every lesson" if found.type == "cpu" else ""))


def _weights() -> Iterator[Check]:
    from course_utils.embedding.backbones import resnet50_weights_file, resnet50_weights_reachable

    if resnet50_weights_file().is_file():
        yield Check("ok", "ResNet-50's ImageNet weights are on this machine")
    elif resnet50_weights_reachable():
        yield Check("ok", "ResNet-50's ImageNet weights will be fetched on first use (98 MB, once)")
    else:
        yield Check(
            "note",
            "ResNet-50's ImageNet weights are not here and cannot be reached now: "
            "the lessons use EfficientNet-Lite0 until you have been online once",
        )
    yield lite0()


def lite0() -> Check:
    """Ask whether the weights that need no network are here."""
    from course_utils.embedding.backbones import load_backbone
    from course_utils.embedding.errors import EmbeddingError

    try:
        offline = load_backbone("efficientnet_lite0", weights="imagenet")
    except (EmbeddingError, OSError, ImportError):
        return Check("problem", "EfficientNet-Lite0's weights are missing: run python start.py setup")
    return Check("ok", f"EfficientNet-Lite0's ImageNet weights are here ({offline.embedding_dim}-D)")
