#!/usr/bin/env python3
"""Install the course beside this file and run it: the standard library is all that this script needs.

The first call makes ``.venv``, installs the package into it and notes in ``.venv/course-stamp.txt`` what was
installed; every later call finds that note and starts at once. ``python start.py`` alone lists the commands.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "course-stamp.txt"
LOG = VENV / "course-install.log"
TARGET = ".[course,archives,fast,test]"
OLDEST = (3, 11)
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
GB_WITH_CUDA, GB_WITHOUT = 7.5, 2.5  # free disk for .venv: 6.9 GB were measured with CUDA

USAGE = """\
From mammograms to embeddings: a course. Educational and research use only.

  python start.py demo    embed, cluster and report on the mammograms that come with the course
  python start.py lab     open JupyterLab on the first lesson
  python start.py test    run every check and test; what follows goes to pytest (test -k dicom)
  python start.py setup   install only

Each command first installs what it needs into .venv beside this file (once; some minutes, 2.5 to 7 GB).
To undo everything, delete the folder .venv.
"""
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format --check": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    "lint-imports": ["-c", LINT_IMPORTS],
    "tools/notebooks.py check": ["tools/notebooks.py", "check"],
}


def say(text: str) -> None:
    """Print at once, also where the output is a pipe."""
    print(text, flush=True)


def why_not_this_python(version: tuple, system: str, machine: str) -> str | None:
    """Return the reason why the course cannot run here, or None."""
    if tuple(version[:2]) < OLDEST:
        have = ".".join(str(part) for part in version[:3])
        return f"The course needs Python 3.11 or newer; you have {have} ({sys.executable})."
    if system == "Darwin" and machine == "x86_64":
        return (
            "PyTorch stops at 2.2.2 for Macs with an Intel processor, and the course needs 2.6.\n"
            "On a Mac with Apple silicon, install a Python for arm64. Else README.md has the conda way."
        )
    if sys.maxsize < 2**32:
        return "This Python is a 32-bit one; PyTorch needs a 64-bit Python."
    return None


def answers(url: str, seconds: float = 8.0) -> bool:
    """Say whether ``url`` answers with success within ``seconds`` in total, name look-up included."""
    found: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as reply:
                found.append(reply.status == 200)
        except (OSError, ValueError):
            pass

    asking = threading.Thread(target=ask, daemon=True)  # a socket's timeout starts anew with every step
    asking.start()
    asking.join(seconds)
    return found == [True]


def cpu_wheels_wanted() -> bool:
    """On Linux PyPI's torch brings gigabytes of CUDA, whether or not there is an NVIDIA GPU to use them."""
    has_nvidia = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    return platform.system() == "Linux" and not has_nvidia


def why_not_this_disk(needed_gb: float, free_bytes: int, installed_bytes: int) -> str | None:
    """Return a sentence if what is still to be installed does not fit, or None."""
    missing_gb = max(needed_gb - installed_bytes / 1e9, 0.5)
    if free_bytes >= missing_gb * 1e9:
        return None
    free_gb = free_bytes / 1e9
    return f"The install needs about {missing_gb:.1f} GB here and {free_gb:.1f} GB are free: make room first."


def stamp() -> str:
    """Describe what an install would give now; the folder counts, since an editable install names it."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    python = (VENV / "pyvenv.cfg").read_text(encoding="utf-8") if (VENV / "pyvenv.cfg").exists() else ""
    version = [line.strip() for line in python.splitlines() if line.startswith("version")]
    return "\n".join([TARGET, digest, *version, str(ROOT)]) + "\n"


def is_installed() -> bool:
    """Say whether ``.venv`` holds what ``pyproject.toml`` asks for."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == stamp()


def run(*command: object, env: dict | None = None) -> int:
    """Run a command from the course's folder, return its exit status; how to stop on Ctrl-C is its affair."""
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=env)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def pip_install(*options: str) -> int:
    """Run pip with its output in a log, say now and then what it is doing, and return its exit status."""
    command = [str(PYTHON), "-m", "pip", "install", "--progress-bar", "off", *options]
    on_screen = sys.stdout.isatty()
    begun = time.monotonic()
    with LOG.open("w") as log:
        pip = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        while True:
            try:
                status = pip.wait(1 if on_screen else 30)
                break
            except subprocess.TimeoutExpired:
                said = LOG.read_text(errors="replace").splitlines()
                steps = [x.strip() for x in said if x.lstrip().startswith(("Collect", "Download", "Install"))]
                line = f"{time.monotonic() - begun:5.0f} s  {steps[-1] if steps else 'pip starts'}"[:78]
                print(f"\r{line:<78}" if on_screen else line, end="" if on_screen else "\n", flush=True)
            except KeyboardInterrupt:
                pip.wait()
                raise
    say("" if on_screen else f"{time.monotonic() - begun:5.0f} s  pip is through")
    return status


def install() -> None:
    """Make ``.venv``, install the course into it, try it, and write the stamp."""
    options = []
    needed = GB_WITH_CUDA if platform.system() == "Linux" else GB_WITHOUT
    if cpu_wheels_wanted():
        say("No NVIDIA GPU here: asking whether PyTorch's CPU wheels can be reached (8 seconds at most) ...")
        if answers(CPU_WHEELS + "/torch/"):
            options, needed = ["--extra-index-url", CPU_WHEELS], GB_WITHOUT
        else:
            say("They cannot: PyPI's wheels it is. They run as well on a CPU and are only larger.")
    already = sum(f.stat().st_size for f in VENV.rglob("*") if f.is_file()) if VENV.exists() else 0
    problem = why_not_this_disk(needed, shutil.disk_usage(ROOT).free, already)
    if problem:
        sys.exit(problem)
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode:
        say("Making .venv ...")
        if run(sys.executable, "-m", "venv", "--clear", VENV):
            sys.exit("Python could not make .venv. On Debian or Ubuntu: sudo apt install python3-venv")
    say(f"Installing the course into .venv: up to {needed} GB, about 2 to 10 minutes, once ...")
    STAMP.unlink(missing_ok=True)
    if pip_install(*options, "-e", TARGET):
        say("\n".join(LOG.read_text(errors="replace").splitlines()[-15:]))
        sys.exit(
            "\npip could not finish; its whole log is .venv/course-install.log. If it was the network,\n"
            "type the same command again: what was fetched is kept. If not, delete .venv and try once more."
        )
    say("Trying it ...")
    if run(PYTHON, "-c", "import torch, torchvision, course_utils"):
        sys.exit("The install finished but PyTorch does not start. Delete the folder .venv and try again.")
    STAMP.write_text(stamp(), encoding="utf-8")
    say("Installed.\n")


def test(pytest_options: list[str], env: dict) -> int:
    """Run the checks, then pytest over tests and notebooks; sum up and return 1 if any failed."""
    pytest = {"pytest": ["-m", "pytest", "-n", "2", "--dist", "loadfile", *pytest_options]}
    statuses = {}
    for name, arguments in {**CHECKS, **pytest}.items():
        say(f"--- {name}")
        statuses[name] = run(PYTHON, *arguments, env=env)
    say("")
    for name, status in statuses.items():
        say(f"  {'ok  ' if status == 0 else 'FAIL'}  {name}")
    return int(any(statuses.values()))


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    command, *rest = arguments
    if command not in ("demo", "lab", "test", "setup"):
        print(f"There is no command {command!r}.\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    problem = why_not_this_python(sys.version_info, platform.system(), platform.machine())
    if problem:
        sys.exit(problem)
    if not is_installed():
        install()
    env = {"PYTHONUTF8": "1", **os.environ}  # Windows consoles would stumble over the first micro sign
    if command == "test":
        return test(rest, env)
    if command == "setup":
        say("The course is installed. Next: python start.py demo")
        return 0
    return run(PYTHON, "-m", "course_utils.cli", command, *rest, env=env)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nStopped. The next call goes on from here.")
