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
from packaging.version import Version

import course_utils

ROOT = Path(__file__).resolve().parent.parent
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
    oldest = re.search(r"^OLDEST = \((\d+), (\d+)\)$", (ROOT / "start.py").read_text(encoding="utf-8"), re.M)
    assert oldest
    assert PROJECT["requires-python"] == ">=" + ".".join(oldest.groups())


def test_requirements_lock_holds_every_dependency_within_its_range() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    locked = {canonicalize_name(name): Version(version) for name, version in locked.items()}
    wanted = requirements([*PROJECT["dependencies"], *EXTRAS["course"], *EXTRAS["archives"], *EXTRAS["test"]])
    assert not set(wanted) - set(locked), "make lock"
    outside = [
        str(r) for name, r in wanted.items() if not r.specifier.contains(locked[name], prereleases=True)
    ]
    assert not outside, "make lock"
    assert not [name for name in locked if name.startswith(("nvidia-", "cuda-", "triton"))]


# What the papers say


def test_citation_and_pyproject_carry_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == course_utils.__version__ == PROJECT["version"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)


def test_the_disclaimer_stands_near_the_top_of_the_readme() -> None:
    assert course_utils.DISCLAIMER in re.sub(r"[*>]", "", README[:1500])


def test_every_command_of_the_readme_exists() -> None:
    start = (ROOT / "start.py").read_text(encoding="utf-8")
    commands = set(re.findall(r"python start\.py (\w+)", README))
    assert {"demo", "test", "lab"} <= commands
    assert all(f"python start.py {command} " in start for command in commands)
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
