"""Write requirements.lock: the newest releases that install together on every Python and system below.

uv solves for all of them at once. It is asked for as few releases of each package as possible, so that what
is tested under one Python is what runs under the others. Then each wheel is looked for on every system, and
the lower bounds of pyproject.toml are asked whether they were published and go together.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import starting

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("course", "archives", "fast", "test", "site")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_35", "windows", "aarch64-apple-darwin")
MACOS = "14.0"  # the oldest for which there are current PyTorch wheels
CUDA = ("nvidia-", "cuda-", "triton==")

HEADER = """\
# The versions that the course is tested with, for Python 3.11 to 3.14 on Linux, Windows and Apple silicon.
#
# start.py installs these versions. To do it by hand:
#   pip install -c requirements.lock -e ".[course,archives,fast,test,site]"
# To refresh this file: make lock (and then make test).
#
# These are constraints, not a shopping list: pip takes only what your system needs. NVIDIA's CUDA packages
# and triton are left out: torch itself names the ones that it needs, and its CPU wheels need none. "torch"
# may be the CUDA build or the CPU build of that release.
"""


def pip_settings() -> list[str]:
    """Return this machine's settings of pip as options for uv, which does not read pip's files."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = dict(re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", listed, re.M))
    options = {"index-url": "--default-index", "constraint": "--constraint"}
    return [part for key, option in options.items() if key in settings for part in (option, settings[key])]


def solve(*options: object) -> str:
    """Return uv's answer for pyproject.toml; its own words and a non-zero exit if there is none."""
    extras = [part for extra in EXTRAS for part in ("--extra", extra)]
    plain = ["--no-header", "--no-annotate", "--quiet", "--no-config"]
    command = ["uv", "pip", "compile", "pyproject.toml", *extras, *plain, *pip_settings(), *map(str, options)]
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS}
    solved = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    if solved.returncode:
        sys.exit(f"no solution with {' '.join(map(str, options))}")
    return solved.stdout


def main() -> None:
    """Write the lock, then check that every Python on every system finds a wheel of everything in it."""
    found = solve("--universal", "--python-version", PYTHONS[0], "--fork-strategy", "fewest")
    kept = [line for line in found.splitlines() if not line.startswith(CUDA)]
    LOCK.write_text(HEADER + "\n".join(kept) + "\n", encoding="utf-8")
    for python in PYTHONS:
        for system in SYSTEMS:
            where = ("--python-version", python, "--python-platform", system)
            solve(*where, "--only-binary", ":all:", "--constraint", LOCK.name)
            print(f"wheels of everything: Python {python}, {system}")
    with tempfile.TemporaryDirectory() as folder:
        lowest = Path(folder, "lowest.txt")
        lowest.write_text("\n".join(starting.lowest_bounds()) + "\n", encoding="utf-8")
        solve("--python-version", PYTHONS[0], "--constraint", lowest)
        print(f"lower bounds that go together: Python {PYTHONS[0]}")


if __name__ == "__main__":
    main()
