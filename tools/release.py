"""From a tag to a release: the wheel is built, tried where no repository is, and described by the changelog.

    python tools/release.py check v0.2.0       do tag, pyproject.toml, CITATION.cff and CHANGELOG.md agree?
    python tools/release.py try dist/*.whl     install it into a fresh environment, and run it elsewhere
    python tools/release.py notes v0.2.0       what the changelog says of this version

`.github/workflows/release.yml` calls all three. `make wheel` builds and tries one on your machine.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

import starting

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {"COURSE_BACKBONE": "efficientnet_lite0", "COURSE_DEVICE": "cpu", "PYTHONUTF8": "1"}
TRIED = (
    "doctor",
    "samples --women 4 --rows 640 -o phantoms",
    "preprocess phantoms -o pictures",
    "embed phantoms -o run",
    "map run",
    "cluster run --labels phantoms/manifest.csv",
    "report run",
)
"""What has to work from the wheel alone, with none of the extras."""
REFUSED = {
    "lab": "clone the repository",
    "demo": "clone the repository",
}
"""What needs more than the wheel, and a part of the sentence that says so."""


class ReleaseError(Exception):
    """What keeps a release from being made, in a sentence."""


def changes(version: str) -> str:
    """Return what the changelog says of a version.

    Raises:
        ReleaseError: it says nothing, or gives no date.
    """
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    if not found or not found[1].strip():
        raise ReleaseError(f"CHANGELOG.md has no heading [{version}] with a date and something under it")
    return found[1].strip() + "\n"


def check(tag: str) -> None:
    """Raise ReleaseError unless the tag is `v` and the version that every file gives."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    given = {"the tag": tag.removeprefix("v"), "pyproject.toml": project["version"]}
    for name, pattern in (
        ("CITATION.cff", r"^version: (\S+)$"),
        ("course_utils/__init__.py", r'^__version__ = "(\S+)"$'),
    ):
        found = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        given[name] = found[1] if found else "none"
    if not tag.startswith("v") or len(set(given.values())) > 1:
        raise ReleaseError("versions differ: " + ", ".join(f"{name} {what}" for name, what in given.items()))
    changes(project["version"])


def attempt(wheel: Path) -> None:
    """Install a wheel into a fresh environment, and run the course outside of the repository.

    Raises:
        ReleaseError: a command fails, or says something else than expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment, elsewhere = Path(folder, "environment"), Path(folder, "elsewhere")
        venv.create(environment, with_pip=True)
        elsewhere.mkdir()
        programs = environment / ("Scripts" if os.name == "nt" else "bin")
        index = (
            ["--extra-index-url", starting.CPU_WHEELS]
            if starting.answers(f"{starting.CPU_WHEELS}/torch/")
            else []
        )
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", *index, str(wheel.resolve())]
        if subprocess.run(pip, cwd=elsewhere).returncode:
            raise ReleaseError(f"pip cannot install {wheel.name}")
        for line in TRIED:
            if run(programs / "course", line, elsewhere).returncode:
                raise ReleaseError(f"from the wheel, this fails: course {line}")
        for line, says in REFUSED.items():
            answer = run(programs / "course", line, elsewhere)
            if answer.returncode == 0 or says not in answer.stderr:
                raise ReleaseError(f"from the wheel, course {line} should say: {says}")


def run(program: Path, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the course in a folder, show what it says, and return it."""
    print(f"--- course {line}", flush=True)
    answer = subprocess.run(
        [program, *line.split()],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
    )
    print(answer.stdout + answer.stderr, flush=True)
    return answer


def main() -> int:
    """Do what the command line says; the exit status is 1 if there can be no release."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["check", "try", "notes"])
    parser.add_argument("subject", help="a tag, or a wheel")
    options = parser.parse_args()
    try:
        if options.what == "check":
            check(options.subject)
        elif options.what == "notes":
            print(changes(options.subject.removeprefix("v")), end="")
        else:
            attempt(Path(options.subject))
    except ReleaseError as error:
        sys.exit(f"No release: {error}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
