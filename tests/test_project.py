"""The project's own promises: its lists of dependencies agree, its README is true, imports go one way."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from needs import needs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import course_utils

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
import lock  # noqa: E402
import starting  # noqa: E402

import start  # noqa: E402

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "opencv": "opencv-python-headless"}
CONDA_ONLY = {"python", "pip", "setuptools"}


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


# The lists of dependencies


def test_environment_yml_asks_for_what_pyproject_asks_for_with_the_extras_of_students() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    from_conda = [line for line in listed if isinstance(line, str)]
    from_pip = next(line["pip"] for line in listed if isinstance(line, dict))
    conda = {
        canonicalize_name(CONDA_NAMES.get(name, name)): str(r.specifier)
        for name, r in requirements([*from_conda, *from_pip]).items()
        if name not in CONDA_ONLY
    }
    wanted = requirements(PROJECT["dependencies"] + EXTRAS["course"] + EXTRAS["archives"])
    assert conda == {name: str(r.specifier) for name, r in wanted.items()}


def test_environment_yml_asks_for_the_python_that_pyproject_asks_for() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    python = next(
        Requirement(line) for line in listed if isinstance(line, str) and line.startswith("python>")
    )
    assert str(python.specifier) == PROJECT["requires-python"]


def test_start_py_asks_for_the_python_that_pyproject_asks_for() -> None:
    assert start.OLDEST == starting.OLDEST
    assert PROJECT["requires-python"] == ">={}.{}".format(*start.OLDEST)


LOCK = [
    Requirement(line)
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
SYSTEMS = {
    "Linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "Windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    "macOS": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
}


def applying(lines: list[Requirement], python: str, system: str) -> list[Requirement]:
    """Return the lines whose markers hold for a Python (3.13: any patch release of it) on a system."""
    here = {"python_version": python, "python_full_version": f"{python}.9", **SYSTEMS[system]}
    return [line for line in lines if line.marker is None or line.marker.evaluate(here)]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", lock.PYTHONS)
def test_the_lock_has_one_version_of_every_dependency_within_its_range(python: str, system: str) -> None:
    extras = [line for extra in lock.EXTRAS for line in EXTRAS[extra]]
    wanted = applying([Requirement(line) for line in [*PROJECT["dependencies"], *extras]], python, system)
    lines = applying(LOCK, python, system)
    locked = {canonicalize_name(line.name): line.specifier for line in lines}
    assert len(locked) == len(lines), "two versions of one package"
    missing = [r.name for r in wanted if canonicalize_name(r.name) not in locked]
    assert not missing, "make lock"
    versions = {name: str(specifier).removeprefix("==") for name, specifier in locked.items()}
    outside = [str(r) for r in wanted if not r.specifier.contains(versions[canonicalize_name(r.name)])]
    assert not outside, "make lock"
    assert ("pyjpegls" in locked) is (python != "3.14")


def test_the_lock_names_versions_only_and_leaves_cuda_to_torch() -> None:
    assert all(re.fullmatch(r"==[\w.]+", str(line.specifier)) and line.url is None for line in LOCK)
    assert not [line.name for line in LOCK if line.name.startswith(("nvidia-", "cuda-", "triton"))]
    assert {"ruff", "mypy", "pandas-stubs", "pytest"} <= {line.name for line in LOCK}


def test_the_lock_is_made_for_what_start_py_installs() -> None:
    assert f".[{','.join(lock.EXTRAS)}]" == starting.TARGET
    assert lock.PYTHONS[0] == "{}.{}".format(*start.OLDEST)


# What the papers say


def test_citation_and_pyproject_carry_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == course_utils.__version__ == PROJECT["version"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)


def test_the_disclaimer_stands_near_the_top_of_the_readme() -> None:
    assert course_utils.DISCLAIMER in re.sub(r"[*>]", "", README[:1500])


def test_every_command_of_the_readme_exists() -> None:
    commands = set(re.findall(r"python start\.py (\w+)", README))
    assert {"demo", "test", "lab"} <= commands
    assert all(f"python start.py {command} " in starting.USAGE for command in commands)
    help_text = subprocess.run(
        [sys.executable, "-m", "course_utils.cli", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    ).stdout
    course_commands = set(re.findall(r"^`?course (\w+)|`course (\w+)", README, re.M))
    names = {first or second for first, second in course_commands}
    assert {"embed", "cluster", "report", "doctor"} <= names
    assert all(re.search(rf"\b{name}\b", help_text) for name in names)


def test_every_file_that_the_readme_names_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", README) if not re.match(r"[a-z]+:", link)]
    tops = {path.name for path in ROOT.iterdir()}
    quoted = re.findall(r"`([\w./-]+)`", README)
    files = [q for q in quoted if "/" in q and q.split("/")[0] in tops - {"results", ".venv"}]
    files += [q for q in quoted if q.endswith((".py", ".toml", ".yml", ".lock", ".cff"))]
    assert len(links) + len(files) > 8
    assert not [name for name in links + files if not (ROOT / name).exists()]


def test_every_lesson_that_exists_is_linked_in_the_readme_and_no_other() -> None:
    there = {path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    linked = set(re.findall(r"\]\(notebooks/(\w+)\.ipynb\)", README))
    planned = set(re.findall(r"`(\d\d_\w+)` \(planned\)", README))
    assert linked == there
    assert len(linked | planned) == 13
    assert not linked & planned


# What a bare pytest runs


def test_pytest_runs_the_tests_and_compares_every_notebook_strictly() -> None:
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests", "notebooks"]
    given = options["addopts"].split()
    assert {"--nbval", "--nbval-current-env"} <= set(given)
    assert not {"--nbval-lax", "--nbval-sanitize-with"} & set(given)


# The direction of the imports


def test_imports_go_one_way() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("module", ["course_utils.imaging", "course_utils.analysis"])
def test_imaging_and_analysis_bring_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'torchvision'}} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert answer.stdout.strip() == "[]"


# What no file may hold


@needs("git")
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout: no list of tracked files")
def test_no_tracked_text_file_holds_a_path_of_somebodys_machine_or_a_registry_host() -> None:
    homes = r"(?<![\w.])(/(root|home|Users|work|tmp)/\w|[A-Z]:\\\\?Users\\)"
    hosts = r"\b(pypi\.org|pythonhosted\.org)\b"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, cwd=ROOT, check=True
    ).stdout.decode()
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file() or path == Path(__file__):
            continue
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for line in content.decode("utf-8", errors="replace").splitlines():
            for pattern in (homes, hosts):
                if hit := re.search(pattern, line):
                    found.append(f"{name}: {hit.group()}")
    assert not found
