"""What start.py does: install the course and run it. This module needs only the standard library.

The first call makes ``.venv``, installs the package into it and notes in ``.venv/course-stamp.txt`` what was
installed; every later call finds that note and starts at once. ``python start.py`` alone lists the commands.

What is installed is what was tested together, ``requirements.lock``: a new release of somebody else's library
reaches nobody until it has been tried with ``test --newest``. Where there is a folder ``wheels`` beside
``start.py``, as ``course classroom pack`` makes it for sticks, it alone is installed from, with no network.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "course-stamp.txt"
LOG = VENV / "course-install.log"
LOCK = ROOT / "requirements.lock"
LOWEST = VENV / "course-lowest.txt"
WHEELS, WEIGHTS = ROOT / "wheels", ROOT / "weights"
TARGET = ".[course,archives,fast,test,site]"
OLDEST = (3, 11)  # start.py asks before this module is read
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
GB_WITH_CUDA, GB_WITHOUT = 7.5, 2.5  # free disk for .venv: 6.9 GB were measured with CUDA
NOT_TO_BE_HAD = ("ResolutionImpossible", "No matching distribution found", "subprocess-exited-with-error")
"""How pip's log says that versions clash, do not exist here, or would have to be compiled and cannot be."""

USAGE = """\
From mammograms to embeddings: a course. Educational and research use only.

  python start.py demo    embed, cluster and report on the mammograms that come with the course
  python start.py lab     open JupyterLab on your own copies of the lessons
  python start.py test    run every check and test; what follows goes to pytest (test -k dicom)
  python start.py setup   install only
  python start.py classroom check|pack   prepare a room, and sticks for laptops without a network

Each command first installs what it needs into .venv, beside this file (once; a few minutes, 2.5 to 7 GB).
These are the versions that were tested together. For maintainers: "test --newest" and "test --lowest"
install the newest or the oldest versions that pyproject.toml allows.
To undo everything, delete the folder .venv.
"""
FINE = (0, 2, 130)  # done, a wrong command line, Ctrl-C: none of them is the fault of .venv
DELETE = "Delete the folder .venv, and run the same command again."
KIND = "import struct, sys; print(*sys.version_info[:2], 8 * struct.calcsize('P'))"
PACKAGES = """
    cv2 imagecodecs ipykernel ipywidgets jinja2 jupyterlab matplotlib numpy pandas PIL pyarrow pydicom scipy
    sklearn torch torchvision course_utils.cli.commands
"""
PARTS = f"""
import importlib
for name in {PACKAGES.split()}:
    try:
        importlib.import_module(name)
    except BaseException:
        print(name.partition(".")[0])
"""
"""What the Python in .venv is asked: of what kind it is (KIND), and which packages do not start (PARTS)."""
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format --check": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    "lint-imports": ["-c", LINT_IMPORTS],
    "tools/notebooks.py check": ["tools/notebooks.py", "check"],
}


def say(text: str) -> None:
    """Print at once, even if the output is a pipe."""
    print(text, flush=True)


def why_not_this_python(system: str, machine: str) -> str | None:
    """Return the reason why the course cannot run here, or None."""
    if system == "Darwin" and machine == "x86_64":
        return (
            "The last PyTorch for Macs with an Intel processor is 2.2.2, and the course needs 2.6.\n"
            "On a Mac with Apple silicon, install an arm64 Python. On others, use conda: see README.md."
        )
    if system == "Windows" and machine == "win-arm64":
        return (
            "The course needs pyarrow, and there is none for Windows on ARM. Install the 64-bit Python for\n"
            "Intel and AMD (x86-64) instead: Windows 11 runs it on ARM as well. We have not tried that."
        )
    if sys.maxsize < 2**32:
        return "This is a 32-bit Python, and PyTorch needs a 64-bit one."
    return None


def answers(url: str, seconds: float = 8.0) -> bool:
    """Return whether ``url`` answers with success within ``seconds`` in all, name look-up included."""
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
    """On Linux, PyPI's torch brings gigabytes of CUDA along, even where no NVIDIA GPU can use them."""
    has_nvidia = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    return platform.system() == "Linux" and not has_nvidia


def why_not_this_disk(needed_gb: float, free_bytes: int, installed_bytes: int) -> str | None:
    """Return a sentence if what is still to be installed does not fit, or None."""
    missing_gb = max(needed_gb - installed_bytes / 1e9, 0.5)
    if free_bytes >= missing_gb * 1e9:
        return None
    free_gb = free_bytes / 1e9
    return (
        f"The install needs about {missing_gb:.1f} GB, and only {free_gb:.1f} GB are free: make room first."
    )


def this_machine() -> str:
    """Return the processor that this Python is for: on Windows `platform` names the one it runs on."""
    return sysconfig.get_platform() if platform.system() == "Windows" else platform.machine()


def why_not_these_wheels(names: list[str], version: tuple, system: str, machine: str) -> str | None:
    """Return why wheels that came on a stick are not for this machine, judged by PyTorch's; None if they are.

    A wheel's name ends in the Python, the ABI and the platform that it is for.
    """
    kind = {"Windows": "win", "Darwin": "macosx"}.get(system, "linux")
    end = re.sub(r"\W", "_", machine).lower()
    packed = []
    for name in names:
        if name.startswith("torch-"):
            python, _, tag = name[: -len(".whl")].split("-")[-3:]
            if python == f"cp{version[0]}{version[1]}" and kind in tag and tag.endswith(end):
                return None
            packed.append(f"Python {python[2]}.{python[3:]} on {tag}")
    return (
        f"The folder wheels is for {', '.join(packed) or 'no Python at all'}; this is Python "
        f"{version[0]}.{version[1]} on {system} {machine}.\n"
        "Take a stick that was packed for it. Or go online, delete the folder wheels, and run this again."
    )


def place_weights() -> None:
    """Put the networks' weights that came on a stick where PyTorch looks for them."""
    files = sorted(WEIGHTS.glob("*.pth"))
    cache = asked_of_venv("import torch; print(torch.hub.get_dir())") if files else None
    if cache:
        there = Path(cache) / "checkpoints"
        there.mkdir(parents=True, exist_ok=True)
        for file in files:
            if not (there / file.name).exists():
                shutil.copyfile(file, there / file.name)


def stamp(versions: str) -> str:
    """Describe what an install would give now; the folder counts, since an editable install names it."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + LOCK.read_bytes()).hexdigest()
    python = (VENV / "pyvenv.cfg").read_text(encoding="utf-8") if (VENV / "pyvenv.cfg").exists() else ""
    version = [line.strip() for line in python.splitlines() if line.startswith("version")]
    return "\n".join([TARGET, versions, digest, *version, str(ROOT)]) + "\n"


def is_installed(versions: str) -> bool:
    """Return whether ``.venv`` holds what ``pyproject.toml`` asks for, in these versions."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == stamp(versions)


def why_not_this_venv() -> str | None:
    """Return why the Python in ``.venv`` cannot be used; None if it can, or if there is none yet."""
    if not PYTHON.exists():
        return None
    kind = asked_of_venv(KIND)
    if kind is None:
        return f"The Python in .venv does not run here: it was removed, or is another machine's. {DELETE}"
    *version, bits = (int(part) for part in kind.split())
    if tuple(version) < OLDEST or bits < 64:
        have = ".".join(str(part) for part in version)
        return f".venv was made by a Python {have} of {bits} bits, and the course runs on no such. {DELETE}"
    return None


def missing_parts() -> str | None:
    """Return which packages in ``.venv`` are missing or damaged, in a sentence; None if all of them start."""
    found = asked_of_venv(PARTS)
    if found == "":
        return None
    names = found.split() if found else []
    which = f" ({', '.join(names[:4])}{', …' if len(names) > 4 else ''})" if names else ""
    return f"Packages in .venv are missing or damaged{which}. {DELETE}"


def asked_of_venv(code: str) -> str | None:
    """Return what the Python in ``.venv`` prints when it runs ``code``; None if it cannot."""
    try:
        answer = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return None
    return None if answer.returncode else answer.stdout.strip()


def run(*command: object, env: dict | None = None) -> int:
    """Run a command in the course's folder and return its exit status; Ctrl-C is left to the command."""
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
                line = f"{time.monotonic() - begun:5.0f} s  {steps[-1] if steps else 'starting pip'}"[:78]
                print(f"\r{line:<78}" if on_screen else line, end="" if on_screen else "\n", flush=True)
            except KeyboardInterrupt:
                pip.wait()
                raise
    say("" if on_screen else f"{time.monotonic() - begun:5.0f} s  pip finished")
    return status


def lowest_bounds() -> list[str]:
    """Return the install's direct dependencies, each pinned to its lower bound: ``numpy>=2.0`` at 2.0."""
    import tomllib  # here, since an older Python must get as far as being told that it is too old

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [project["optional-dependencies"][extra] for extra in re.findall(r"\w+", TARGET)]
    return [line.replace(">=", "==", 1) for line in sum(extras, project["dependencies"])]


def version_options(versions: str) -> list[str]:
    """Return what tells pip which versions to install."""
    if versions == "newest":
        return ["--upgrade", "--upgrade-strategy", "eager"]
    if versions == "lowest":
        LOWEST.write_text("\n".join(lowest_bounds()) + "\n", encoding="utf-8")
        return ["-c", str(LOWEST)]
    return ["-c", str(LOCK)]


def install(versions: str) -> None:
    """Make ``.venv``, install the course into it, try it, and write the stamp."""
    problem = why_not_this_venv()
    if problem:
        sys.exit(problem)
    options = []
    needed = GB_WITH_CUDA if platform.system() == "Linux" else GB_WITHOUT
    wheels = [file.name for file in WHEELS.glob("*.whl")] if versions == "tested" else []
    if wheels:
        problem = why_not_these_wheels(wheels, sys.version_info, platform.system(), this_machine())
        if problem:
            sys.exit(problem)
        options = ["--no-index", "--find-links", str(WHEELS)]
        needed = GB_WITH_CUDA if any(name.startswith("nvidia") for name in wheels) else GB_WITHOUT
    elif cpu_wheels_wanted():
        say("No NVIDIA GPU found; looking for PyTorch's smaller CPU wheels (8 seconds at most) ...")
        if answers(CPU_WHEELS + "/torch/"):
            options, needed = ["--extra-index-url", CPU_WHEELS], GB_WITHOUT
        else:
            say("Not reachable; using PyPI's wheels, which are larger and run just as well on a CPU.")
    already = sum(f.stat().st_size for f in VENV.rglob("*") if f.is_file()) if VENV.exists() else 0
    problem = why_not_this_disk(needed, shutil.disk_usage(ROOT).free, already)
    if problem:
        sys.exit(problem)
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode:
        say("Making .venv ...")
        if run(sys.executable, "-m", "venv", "--clear", VENV):
            sys.exit("Python could not make .venv. On Debian or Ubuntu: sudo apt install python3-venv")
    say(f"Installing the course into .venv (once; up to {needed} GB, 2 to 10 minutes) ...")
    STAMP.unlink(missing_ok=True)
    failed = pip_install(*options, *version_options(versions), "-e", TARGET)
    log = LOG.read_text(errors="replace")
    if failed and wheels and any(sign in log for sign in NOT_TO_BE_HAD):
        say("\n".join(log.splitlines()[-15:]))
        sys.exit(
            "\nThe folder wheels lacks what this machine needs, or is for another edition of the course.\n"
            "Take another stick. Or go online, delete the folder wheels, and run the same command again."
        )
    if failed and versions == "tested" and any(sign in log for sign in NOT_TO_BE_HAD):
        say("The tested versions cannot be installed here; trying the newest that pyproject.toml allows ...")
        failed = pip_install(*options, "-e", TARGET)
    if failed:
        say("\n".join(LOG.read_text(errors="replace").splitlines()[-15:]))
        sys.exit(
            "\npip could not finish; its whole log is .venv/course-install.log. If the network failed, run\n"
            "the same command again: what was downloaded is kept. If not, delete .venv and try once more."
        )
    say("Checking that it starts ...")
    if run(PYTHON, "-c", "import torch, torchvision, course_utils"):
        sys.exit("The install finished, but PyTorch does not start. Delete the folder .venv and try again.")
    place_weights()
    STAMP.write_text(stamp(versions), encoding="utf-8")
    say("Installed.\n")


def test(pytest_options: list[str], env: dict, versions: str) -> int:
    """Run the checks, then pytest over tests and notebooks; sum up and return 1 if any failed."""
    # In the order of their names: files of few tests, which xdist would keep for the end, are the longest.
    workers = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    pytest = {"pytest": ["-m", "pytest", *workers, *pytest_options]}
    checks = {} if versions == "lowest" else CHECKS  # an old linter or type checker says nothing about it
    statuses = {}
    for name, arguments in {**checks, **pytest}.items():
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
    if command not in ("demo", "lab", "test", "setup", "classroom"):
        print(f"There is no command {command!r}.\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    problem = why_not_this_python(platform.system(), this_machine())
    if problem:
        sys.exit(problem)
    versions = "tested"
    if command == "test" and rest[:1] in (["--newest"], ["--lowest"]):
        versions = rest.pop(0)[2:]
    if versions == "lowest" and sys.version_info[:2] != OLDEST:
        sys.exit("test --lowest needs Python 3.11: the oldest versions have no wheels for a newer Python.")
    is_new = not is_installed(versions)
    if is_new:
        install(versions)
    env = {"PYTHONUTF8": "1", **os.environ}  # a Windows console would stumble over the first micro sign
    if command == "test":
        return test(rest, env, versions)
    if command == "setup":
        problem = None if is_new else why_not_this_venv() or missing_parts()
        if problem:
            sys.exit(problem)
        say("The course is installed. Next: python start.py demo")
        return 0
    return course(command, rest, env)


def course(command: str, rest: list[str], env: dict) -> int:
    """Run one of the course's commands; if it fails, say so where the fault is that of ``.venv``."""
    try:
        status = run(PYTHON, "-m", "course_utils.cli", command, *rest, env=env)
    except OSError:
        status = 1
    problem = None if status in FINE else why_not_this_venv() or missing_parts()
    if problem:
        sys.exit(problem)
    return status


def start(arguments: list[str]) -> int:
    """Do what the command line says, and answer Ctrl-C in a sentence."""
    try:
        return main(arguments)
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run the same command again to continue.")
