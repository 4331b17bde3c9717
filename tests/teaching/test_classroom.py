"""A room of laptops: what is asked of each, and a pack that installs on them with no network."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from needs import needs

from course_utils import cli, doctor
from course_utils.cli import classroom as command
from course_utils.teaching import classroom, packs
from course_utils.teaching.packs import PackError

ROOT = Path(__file__).resolve().parents[2]
WINDOWS, MAC, LINUX, ARM = packs.PLATFORMS
PURE = "py3-none-any"


def wheel(folder, name, version="1", tag=PURE, asks=()):
    """Write a wheel of an empty module, which pip installs."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
            + [f"Requires-Dist: {line}" for line in asks]
        ),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Return a folder of wheels, which is all that pip looks into."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in [name for name in os.environ if name.startswith("PIP_") and name != "PIP_CONFIG_FILE"]:
        monkeypatch.delenv(name)
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "backend")
    wheel(folder, "plain", asks=["helper>=1; sys_platform == 'win32'", "absent; extra == 'never'"])
    wheel(folder, "helper")
    wheel(folder, "winonly", tag="py3-none-win_amd64")
    for python in ("cp312", "cp313"):
        for tag in ("win_amd64", "macosx_11_0_arm64", "manylinux_2_17_x86_64"):
            wheel(folder, "compiled", tag=f"{python}-{python}-{tag}")
    wheel(folder, "old", tag="cp312-cp312-win_amd64")  # like pyjpegls: none for a newer Python
    return folder


@pytest.fixture
def course(tmp_path):
    """Return a course of four files in git, a private one beside them, and its list of requirements."""
    folder = tmp_path / "course"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["backend"]\n[project]\ndependencies = ["plain"]\n'
        '[project.optional-dependencies]\ncourse = ["compiled"]\narchives = []\nfast = []\n'
        "test = ['old; python_version < \"3.13\"', 'winonly; platform_system == \"Windows\"']\n"
    )
    (folder / "requirements.lock").write_text(
        "# tested\nbackend==1\nplain==1\ncompiled==1\nold==1 ; python_full_version < '3.13'\n"
        "winonly==1 ; sys_platform == 'win32'\n"
    )
    (folder / "start.py").write_text("print('hello')\n")
    (folder / "lesson.ipynb").write_text("{}")
    (folder / "private.dcm").write_text("somebody")
    git = ["git", "-c", "init.defaultBranch=main"]
    for arguments in (
        ["init", "-q"],
        ["add", "pyproject.toml", "requirements.lock", "start.py", "lesson.ipynb"],
    ):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    return folder


def local(index):
    return ["--no-index", "--find-links", str(index)]


# What goes into a pack


@needs("git")
def test_what_several_packages_ask_for_is_asked_for_in_a_version_that_suits_them_all(course, tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "backend")
    wheel(folder, "compiled")
    wheel(folder, "plain", asks=["shared", "toolkit[parts]"])
    wheel(folder, "toolkit", asks=["shared==1.1.*; extra == 'parts'", "absent; extra == 'more'"])
    (target,) = packs.targets([LINUX], ["3.13"])
    assert packs.missing_from(course, target, folder) == ["shared==1.1.*"]
    wheel(folder, "shared", "2.0")  # the newest, as pip takes it for "shared" alone
    assert packs.missing_from(course, target, folder) == ["shared==1.1.*"]
    wheel(folder, "shared", "1.1.3")
    assert packs.missing_from(course, target, folder) == []


@needs("git")
def test_a_package_without_a_wheel_for_the_laptop_is_named(course, index, tmp_path):
    with pytest.raises(PackError, match=r"no wheel of compiled for manylinux_2_35_aarch64, Python 3\.12"):
        packs.fetch(course, *packs.targets([ARM], ["3.12"]), tmp_path, pip_options=local(index))


@needs("git")
def test_a_pack_holds_what_git_tracks_and_the_wheels_that_each_laptop_asks_for_and_installs_offline(
    course, index, tmp_path
):
    said = []
    weights = tmp_path / "net-0123.pth"
    weights.write_text("weights")
    wanted = packs.targets([WINDOWS, LINUX], ["3.13"])
    output = tmp_path / "stick.zip"
    size = packs.pack(course, output, wanted, weights=weights, say=said.append, pip_options=local(index))
    assert size == output.stat().st_size
    assert [line for line in said if "Python 3.13: 4 packages" in line]
    unpacked = tmp_path / "laptop"
    with zipfile.ZipFile(output) as archive:
        assert archive.testzip() is None
        archive.extractall(unpacked)
    found = {p.relative_to(unpacked / packs.TOP).as_posix() for p in unpacked.rglob("*") if p.is_file()}
    wheels = {name for name in found if name.endswith(".whl")}
    assert found - wheels == {
        "pyproject.toml",
        "requirements.lock",
        "start.py",
        "lesson.ipynb",
        "weights/net-0123.pth",
    }
    assert wheels == {
        f"wheels/{name}-1-{tag}.whl"
        for name, tag in [
            ("backend", PURE),
            ("plain", PURE),
            ("helper", PURE),  # what plain asks for on Windows alone; this machine's Python is not asked
            ("winonly", "py3-none-win_amd64"),
            ("compiled", "cp313-cp313-win_amd64"),
            ("compiled", "cp313-cp313-manylinux_2_17_x86_64"),
        ]
    }
    install = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links"]
    answer = subprocess.run(
        [*install, unpacked / packs.TOP / packs.WHEELS, "--target", tmp_path / "site", "plain", "backend"],
        capture_output=True,
    )
    assert answer.returncode == 0
    assert (tmp_path / "site" / "plain.py").exists()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(("course-pack", "stick"))) == [
        "stick.zip"
    ]


@needs("git")
def test_files_that_git_does_not_know_stay_at_home_and_without_git_nothing_is_packed(course, tmp_path):
    assert "private.dcm" not in packs.tracked(course)
    (course / "lesson.ipynb").unlink()
    with pytest.raises(PackError, match=r"lesson\.ipynb belongs to the course and is missing"):
        packs.tracked(course)
    (course / ".git").rename(tmp_path / "elsewhere")
    with pytest.raises(PackError, match="clone the repository"):
        packs.tracked(course)


# What can go wrong


@pytest.mark.parametrize(
    ("platform", "why"),
    [
        ("win_arm64", "Windows on ARM"),
        ("macosx_13_0_x86_64", "Intel processor"),
        ("amiga", "no platform 'amiga'"),
    ],
)
def test_an_unknown_platform_is_told_why_and_which_there_are(platform, why, tmp_path, capsys):
    assert cli.main(["classroom", "pack", "-o", str(tmp_path / "x.zip"), "--platform", platform]) == 2
    said = capsys.readouterr().err
    assert why in said
    assert all(name in said for name in packs.PLATFORMS)


def test_a_python_that_there_are_no_wheels_for_is_refused(tmp_path, capsys):
    assert cli.main(["classroom", "pack", "-o", str(tmp_path / "x.zip"), "--python", "2.7"]) == 2
    assert "no Python '2.7' to pack for: choose from 3.11, 3.12" in capsys.readouterr().err


def test_a_zip_that_is_there_is_not_written_over(tmp_path, capsys):
    there = tmp_path / "stick.zip"
    there.write_text("mine")
    assert cli.main(["classroom", "pack", "-o", str(there)]) == 2
    said = capsys.readouterr().err
    assert "stick.zip is there already" in said
    assert str(tmp_path) not in said
    assert there.read_text() == "mine"
    assert cli.main(["classroom", "pack", "-o", str(tmp_path / "nowhere" / "x.zip")]) == 2


@needs("git")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(course, index, tmp_path, monkeypatch):
    (target,) = packs.targets([MAC], ["3.13"])
    output = tmp_path / "stick.zip"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(packs, "fetch", lambda *_, **__: None)
    monkeypatch.setattr(packs.zipfile.ZipFile, "write", full)
    with pytest.raises(PackError, match="disk is full"):
        packs.pack(course, output, [target], say=lambda text: None, pip_options=local(index))
    assert sorted(tmp_path.iterdir()) == before
    monkeypatch.setattr(packs.shutil, "disk_usage", lambda folder: Free(1e8))
    with pytest.raises(PackError, match=r"about 1\.7 GB while it is made, and 0\.1 GB are free"):
        packs.pack(course, output, [target], say=lambda text: None, pip_options=local(index))


class Free:
    """What `shutil.disk_usage` returns, as far as it is asked."""

    def __init__(self, free):
        self.free = free


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("Retrying after 'NewConnectionError(...)'\nERROR: Could not find (from versions: none)\n"
         "ERROR: No matching distribution found for six==1", "cannot be reached: go online"),
        ("Connection broken\n(from versions: 3)\nNo matching distribution found for six", "no wheel of six"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "full"),
        ("ERROR: No matching distribution found for six==1", "no wheel of six for win_amd64, Python 3.12"),
        ("ERROR: cannot read /secret/place/six.whl", "pip could not download: ERROR: cannot read six.whl"),
        ("", "it gave no reason"),
    ],
)  # fmt: skip
def test_what_pip_says_becomes_one_sentence_without_folders(log, sentence):
    (target,) = packs.targets([WINDOWS], ["3.12"])
    said = packs._why(log, target)
    assert sentence in said
    assert "secret" not in said
    assert "\n" not in said


@needs("git")
def test_a_closed_port_in_place_of_an_index_is_told_as_no_network(course, tmp_path, index):
    (target,) = packs.targets([WINDOWS], ["3.12"])
    nobody = ["--index-url", "http://127.0.0.1:9/simple"]
    with pytest.raises(PackError, match="go online"):
        packs.fetch(course, target, tmp_path, say=lambda text: None, pip_options=nobody)


def test_weights_that_are_missing_or_damaged_are_not_packed(tmp_path):
    with pytest.raises(PackError, match=r"net-e3b0c442\.pth is not on this machine"):
        packs.checked_weights(tmp_path / "net-e3b0c442.pth")
    for content, is_whole in ((b"", True), (b"cut", False)):
        (tmp_path / "net-e3b0c442.pth").write_bytes(content)
        if is_whole:
            assert packs.checked_weights(tmp_path / "net-e3b0c442.pth").exists()
        else:
            with pytest.raises(PackError, match="damaged"):
                packs.checked_weights(tmp_path / "net-e3b0c442.pth")


def test_a_pack_is_for_what_start_py_installs_and_for_what_the_lock_was_made(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import lock
    import starting

    assert f".[{','.join(packs.EXTRAS)}]" == starting.TARGET
    assert lock.PYTHONS == packs.PYTHONS
    assert packs.CPU_WHEELS == starting.CPU_WHEELS
    assert (starting.WHEELS.name, starting.WEIGHTS.name) == (packs.WHEELS, packs.WEIGHTS)
    assert ", ".join(packs.PLATFORMS) == command.PLATFORMS
    spelled = {LINUX: "x86_64-manylinux_2_28", ARM: "aarch64-manylinux_2_35", WINDOWS: "windows"}
    assert {spelled.get(name, "aarch64-apple-darwin") for name in packs.PLATFORMS} == set(lock.SYSTEMS)
    assert f"macosx_{lock.MACOS.replace('.', '_')}_arm64" == MAC


@pytest.mark.parametrize("platform", packs.PLATFORMS)
@pytest.mark.parametrize("python", packs.PYTHONS)
def test_the_real_lock_answers_for_each_laptop_as_its_own_python_would(platform, python):
    (target,) = packs.targets([platform], [python])
    from packaging.requirements import Requirement

    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = [Requirement(line) for line in lines if line and not line.startswith("#")]
    taken = {each.name for each in locked if target.needs(each)}
    assert {"torch", "jupyterlab", "setuptools"} <= taken
    assert ("pywinpty" in taken) is (platform == WINDOWS)
    assert ("appnope" in taken) is (platform == MAC)
    assert ("diptest" in taken) is (platform != ARM)
    assert ("pyjpegls" in taken) is (python != "3.14")


def test_the_page_about_rooms_quotes_what_start_py_says():
    page = (ROOT / "docs" / "instructors" / "classroom.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `((?:The|Delete) [^`]+)`", page, re.M)
    sources = [(ROOT / name).read_text(encoding="utf-8") for name in ("start.py", "tools/starting.py")]
    assert len(quoted) == 5
    for sentence in quoted:
        begin = re.split(r"\d|Python", sentence)[0].rstrip()
        assert any(begin in source for source in sources), sentence


# What is asked of a machine


def test_versions_are_held_against_the_lock_and_what_students_need_against_what_is_installed(tmp_path):
    (tmp_path / "requirements.lock").write_text(
        "# tested\npytest==0.1\nnot-here==1\nnumpy==1; python_version<'3'\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["pytest", "gone>=2", "old; python_version < \'3\'"]\n'
        '[project.optional-dependencies]\ncourse = ["away"]\narchives = []\ntest = ["unasked"]\n'
    )
    found = classroom.versions(tmp_path)
    assert found.missing == ["gone", "away"]
    assert [(name, tested) for name, _, tested in found.others] == [("pytest", "0.1")]
    assert found.tested == 0


def test_the_largest_card_is_that_of_the_page():
    cards = classroom.cards(ROOT)
    assert sorted(cards) == [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    page = (ROOT / "docs" / "resource-cards.md").read_text(encoding="utf-8")
    assert f"| {max(cards.values()):.2f} GB |" in page


@pytest.fixture
def quick(monkeypatch):
    """What takes seconds answers at once."""
    monkeypatch.setattr(classroom, "warm_caches", lambda: 1.0)
    monkeypatch.setattr(classroom, "seconds_until_lab_answers", lambda environment: 2.0)


def test_a_machine_that_is_ready_gets_a_line_for_each_question_and_status_0(quick, capsys):
    assert cli.main(["classroom", "check"]) == 0
    said = capsys.readouterr().out
    questions = "Python 3, requirements.lock, of disk free, needs most, auto takes|COURSE_BACKBONE, "
    for expected in (questions + "13 lessons, caches, JupyterLab starts").split(", "):
        assert any(part in said for part in expected.split("|")), expected
    assert "[!!]" not in said
    assert said.endswith("Ready.\n")
    assert str(ROOT) not in said


@pytest.mark.parametrize(
    ("where", "name", "value", "sentence"),
    [
        (classroom, "seconds_until_lab_answers", lambda environment: None, "JupyterLab does not start"),
        (classroom, "warm_caches", lambda: None, "UMAP or matplotlib does not start"),
        (classroom, "free_memory_bytes", lambda: 5e8, "0.5 GB of memory free; lesson 06 needs most"),
        (doctor, "memory_bytes", lambda: 2e9, "2.0 GB of memory in all"),
        (classroom, "missing_lessons", lambda course: ["07_seeing"], "lessons are missing: 07_seeing"),
        (command.shutil, "disk_usage", lambda folder: Free(2e8), "0.2 GB of disk free"),
        (classroom, "versions", lambda course: classroom.Versions(3, [], ["umap"]), "missing: umap"),
    ],
)  # fmt: skip
def test_whatever_is_missing_is_one_line_and_status_1(
    quick, monkeypatch, capsys, where, name, value, sentence
):
    monkeypatch.setattr(where, name, value)
    assert cli.main(["classroom", "check"]) == 1
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if line.startswith("[!!]")]
    assert sentence in line
    assert "run course classroom check again" in said


def test_a_damaged_sample_is_named(monkeypatch, tmp_path):
    table = classroom.datasets.sample_cohort().head(1)
    damaged = tmp_path / Path(table["path"][0]).name
    damaged.write_bytes(b"cut")
    monkeypatch.setattr(classroom.datasets, "sample_cohort", lambda: table.assign(path=[damaged]))
    with pytest.raises(classroom.MammogramError, match=rf"{damaged.stem}\.dcm of data_samples is damaged"):
        classroom.samples()


@pytest.mark.parametrize(
    ("backbone", "content", "state", "sentence"),
    [
        ("auto", None, "note", "without a network, and fetches resnet50"),
        ("auto", b"", "ok", "auto takes resnet50, whose weights are here"),
        ("auto", b"cut", "problem", "net-e3b0c442.pth is damaged"),
        ("efficientnet_lite0", None, "ok", "COURSE_BACKBONE is efficientnet_lite0"),
        ("resnet50", None, "problem", "go online once"),
    ],
)
def test_it_says_which_backbone_auto_takes(monkeypatch, tmp_path, backbone, content, state, sentence):
    file = tmp_path / "net-e3b0c442.pth"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("COURSE_BACKBONE", backbone)
    monkeypatch.setattr("course_utils.embedding.backbones.resnet50_weights_file", lambda: file)
    monkeypatch.setattr(doctor, "lite0", lambda: doctor.Check("ok", "lite0 is here"))
    (check,) = list(command._weights())[1:]
    assert check.state == state
    assert sentence in check.sentence


@pytest.mark.slow
def test_a_real_jupyterlab_answers_and_is_stopped_and_a_broken_one_is_found_out(monkeypatch):
    seconds = classroom.seconds_until_lab_answers(dict(os.environ))
    assert seconds is not None
    broken = {**os.environ, "PYTHONHOME": "nowhere"}
    assert classroom.seconds_until_lab_answers(broken) is None
