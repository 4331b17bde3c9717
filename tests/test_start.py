"""start.py without an install: what it says, what it asks the network, and when it installs again."""

import ast
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
START = ROOT / "start.py"
SOURCE = ROOT / "tools" / "starting.py"
PYPROJECT = """\
[project]
dependencies = ["numpy>=2.0", "torch>=2.6"]
[project.optional-dependencies]
course = ["jupyterlab>=4.2"]
archives = []
fast = []
scale = ["ray[data]>=2.40"]
test = ['pyjpegls>=1.4; python_version < "3.14"']
site = []
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What start.py does, believing that it stands in a folder with only pyproject.toml and a lock."""
    spec = importlib.util.spec_from_file_location("starting", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\n")
    for name in ("VENV", "PYTHON", "STAMP", "LOG", "LOCK", "LOWEST", "WHEELS", "WEIGHTS"):
        moved = tmp_path / getattr(module, name).relative_to(module.ROOT)
        monkeypatch.setattr(module, name, moved)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def pretend_an_install(start: ModuleType, versions: str = "tested") -> None:
    start.PYTHON.parent.mkdir(parents=True, exist_ok=True)
    start.PYTHON.touch()
    (start.VENV / "pyvenv.cfg").write_text("home = somewhere\nversion = 3.11.7\n")
    start.STAMP.write_text(start.stamp(versions), encoding="utf-8")


def call(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, START, *arguments], capture_output=True, text=True, timeout=60)


# What it says


def test_alone_it_lists_every_command_and_exits_with_0() -> None:
    answer = call()
    assert answer.returncode == 0
    for command in ("demo", "lab", "test", "setup", "classroom"):
        assert f"python start.py {command} " in answer.stdout
    assert "research use only" in answer.stdout


def test_an_unknown_command_exits_with_2_and_shows_the_commands() -> None:
    answer = call("dmeo")
    assert answer.returncode == 2
    assert "no command 'dmeo'" in answer.stderr
    assert "python start.py demo" in answer.stderr


OLD_PYTHONS = [found for found in map(shutil.which, ("python2.7", "python3.6")) if found]


def test_an_old_python_is_told_what_is_needed(tmp_path: Path) -> None:
    """The first lines of start.py, run as if by Python 3.6: it asks before it reads anything else."""
    pretending = "import sys; sys.version_info = (3, 6, 15, 'final', 0); import runpy; "
    pretending += f"runpy.run_path({str(START)!r}, run_name='__main__')"
    answer = subprocess.run([sys.executable, "-c", pretending], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1
    assert answer.stderr.startswith("The course needs Python 3.11 or newer; you have 3.6.15 (")
    assert "Traceback" not in answer.stderr


def test_start_py_is_written_in_what_python_2_7_and_3_have_in_common() -> None:
    source = START.read_text(encoding="utf-8")
    assert source.isascii()  # Python 2 takes nothing else without a declaration
    allowed = (ast.Import, ast.Assign, ast.If, ast.Expr)
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, ast.stmt) or isinstance(node, allowed), ast.dump(node)
        assert not isinstance(node, ast.JoinedStr | ast.Starred | ast.NamedExpr | ast.Await)
    assert "print" not in source
    parso = pytest.importorskip("parso")  # IPython brings it; it knows the grammar of 3.6, not that of 2.7
    grammar = parso.load_grammar(version="3.6")
    assert not list(grammar.iter_errors(grammar.parse(source)))


@pytest.mark.skipif(not OLD_PYTHONS, reason="not installed: an old Python")
@pytest.mark.parametrize("python", OLD_PYTHONS or [""])
def test_real_old_pythons_are_told_in_a_sentence_too(python: str) -> None:
    answer = subprocess.run([python, START, "demo"], capture_output=True, text=True, timeout=60)
    if "command not found" in answer.stderr:
        pytest.skip("a shim without a Python behind it")
    assert answer.returncode == 1
    assert answer.stderr.startswith("The course needs Python 3.11 or newer; you have ")
    assert "Error" not in answer.stderr


def test_it_imports_the_standard_library_only() -> None:
    trees = [ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for path in (START, SOURCE)]
    imports = [n for tree in trees for n in tree if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {n.module if isinstance(n, ast.ImportFrom) else alias.name for n in imports for alias in n.names}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"starting"}


@pytest.mark.parametrize(
    ("system", "machine"),
    [("Linux", "x86_64"), ("Windows", "win-amd64"), ("Darwin", "arm64"), ("Linux", "aarch64")],
)
def test_every_supported_machine_may_go_on(start: ModuleType, system: str, machine: str) -> None:
    assert start.why_not_this_python(system, machine) is None


def test_a_mac_with_an_intel_processor_is_told_why_not(start: ModuleType) -> None:
    reason = start.why_not_this_python("Darwin", "x86_64")
    assert "2.2.2" in reason
    assert "conda" in reason


def test_a_python_for_windows_on_arm_is_told_why_not_and_which_one_to_take(start: ModuleType) -> None:
    reason = start.why_not_this_python("Windows", "win-arm64")
    assert "pyarrow" in reason
    assert "x86-64" in reason


# The disk


def test_a_full_disk_is_told_how_much_is_needed_and_how_much_is_free(start: ModuleType) -> None:
    sentence = start.why_not_this_disk(6.5, free_bytes=1_200_000_000, installed_bytes=0)
    assert "6.5 GB" in sentence
    assert "1.2 GB" in sentence


def test_what_is_already_installed_counts_towards_the_need(start: ModuleType) -> None:
    assert start.why_not_this_disk(6.5, free_bytes=1_200_000_000, installed_bytes=0) is not None
    assert start.why_not_this_disk(6.5, free_bytes=1_200_000_000, installed_bytes=5_500_000_000) is None


# The question whether PyTorch's index answers


@contextlib.contextmanager
def server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/torch/"
        running.shutdown()


def replying(status: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def test_a_server_that_answers_is_found(start: ModuleType) -> None:
    with server(replying(200)) as url:
        assert start.answers(url, seconds=5)


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_server_that_refuses_is_not_used(start: ModuleType, status: int) -> None:
    with server(replying(status)) as url:
        assert not start.answers(url, seconds=5)


def test_a_server_that_trickles_keeps_nobody_longer_than_the_time_given(start: ModuleType) -> None:
    # One header line every 0.2 s: no single step ever reaches the socket's own timeout.
    finished = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not finished.wait(0.2):
                connection.sendall(b"X-More: to come\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=trickle, args=(listener,), daemon=True).start()
        begun = time.monotonic()
        assert not start.answers(f"http://127.0.0.1:{listener.getsockname()[1]}/", seconds=1)
        assert time.monotonic() - begun < 3
        finished.set()


def test_a_closed_port_and_a_malformed_address_are_a_calm_no(start: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    begun = time.monotonic()
    assert not start.answers(f"http://127.0.0.1:{port}/", seconds=5)
    assert not start.answers("no address at all", seconds=5)
    assert time.monotonic() - begun < 4


# What was installed


def test_nothing_is_installed_twice(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "install", lambda _: pytest.fail("installed again"))
    monkeypatch.setattr(start, "asked_of_venv", lambda code: "3 11 64" if code == start.KIND else "")
    pretend_an_install(start)
    assert start.is_installed("tested")
    assert start.main(["setup"]) == 0


def test_an_empty_folder_is_not_installed(start: ModuleType) -> None:
    assert not start.is_installed("tested")


def test_an_install_that_was_cut_short_is_taken_up_again(start: ModuleType) -> None:
    pretend_an_install(start)
    start.STAMP.unlink()
    assert not start.is_installed("tested")


def test_a_change_in_pyproject_the_lock_or_the_python_installs_again(start: ModuleType) -> None:
    pretend_an_install(start)
    changes = {
        start.ROOT / "pyproject.toml": PYPROJECT.replace("2.6", "2.7"),
        start.LOCK: "numpy==2.4.7\n",
        start.VENV / "pyvenv.cfg": "version = 3.13.0\n",
    }
    for path, text in changes.items():
        path.write_text(text)
        assert not start.is_installed("tested"), path.name
        start.STAMP.write_text(start.stamp("tested"), encoding="utf-8")
        assert start.is_installed("tested")


@pytest.mark.parametrize("versions", ["newest", "lowest"])
def test_other_versions_are_another_install(start: ModuleType, versions: str) -> None:
    pretend_an_install(start, versions)
    assert start.is_installed(versions)
    assert not start.is_installed("tested")
    pretend_an_install(start, "tested")
    assert not start.is_installed(versions)


def test_a_folder_that_was_moved_is_installed_again(
    start: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_an_install(start)
    monkeypatch.setattr(start, "ROOT", tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/pyproject.toml").write_text(PYPROJECT)
    assert not start.is_installed("tested")


@dataclass
class Pip:
    """Stands in for pip: notes its options, and answers each call with the next status and log."""

    start: ModuleType
    answers: list[tuple[int, str]]
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, *options: str) -> int:
        self.calls.append(options)
        status, log = self.answers.pop(0) if self.answers else (0, "")
        self.start.LOG.write_text(log)
        return status


@pytest.fixture
def pip(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Pip:
    """An install in which everything but pip itself goes well; pip too, unless it is given other answers."""
    pretend_an_install(start)
    fake = Pip(start, [])
    monkeypatch.setattr(start, "cpu_wheels_wanted", lambda: False)
    monkeypatch.setattr(start, "why_not_this_disk", lambda *_: None)
    monkeypatch.setattr(start, "why_not_this_venv", lambda: None)
    monkeypatch.setattr(start.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    monkeypatch.setattr(start, "pip_install", fake)
    monkeypatch.setattr(start, "run", lambda *_: 0)
    return fake


TARGET = ("-e", ".[course,archives,fast,test,site]")


def test_a_pip_that_fails_shows_its_last_lines_and_leaves_no_stamp(
    start: ModuleType, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    pip.answers = [(1, "WARNING: noise\n" * 50 + "ERROR: Connection broken\n")]
    with pytest.raises(SystemExit) as end:
        start.install("tested")
    shown = capsys.readouterr().out
    assert "Connection broken" in shown
    assert shown.count("noise") < 20
    assert "same command again" in str(end.value)
    assert not start.STAMP.exists()


def test_what_was_tested_together_is_what_pip_installs(
    start: ModuleType, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    start.install("tested")
    assert pip.calls == [("-c", str(start.LOCK), *TARGET)]
    assert start.is_installed("tested")
    assert "cannot be installed" not in capsys.readouterr().out


REFUSALS = {
    "they clash": "ERROR: ResolutionImpossible: for help visit",
    "they do not exist here": "ERROR: No matching distribution found for torch==2.14.1",
    "they do not compile": "error: subprocess-exited-with-error",
}


@pytest.mark.parametrize("log", REFUSALS.values(), ids=REFUSALS)
def test_where_the_tested_versions_cannot_be_had_one_line_says_so_and_the_ranges_are_installed(
    start: ModuleType, pip: Pip, capsys: pytest.CaptureFixture[str], log: str
) -> None:
    pip.answers = [(1, log)]
    start.install("tested")
    assert pip.calls == [("-c", str(start.LOCK), *TARGET), TARGET]
    said = capsys.readouterr().out.splitlines()
    assert [
        line for line in said if "tested versions" in line and "newest that pyproject.toml allows" in line
    ]
    assert log not in said
    assert start.is_installed("tested")


@pytest.mark.parametrize(
    ("versions", "log"),
    [
        ("tested", "ERROR: Connection broken: IncompleteRead(17 bytes read)"),
        ("tested", "ERROR: Could not install packages due to an OSError: No space left on device"),
        ("newest", "ERROR: ResolutionImpossible"),
        ("lowest", "ERROR: ResolutionImpossible"),
    ],
)
def test_no_other_failure_changes_the_versions(start: ModuleType, pip: Pip, versions: str, log: str) -> None:
    pip.answers = [(1, log)]
    with pytest.raises(SystemExit):
        start.install(versions)
    assert len(pip.calls) == 1


@pytest.mark.parametrize("lock", ["absent-and-never-published==1\n", "six==1.16\nsix==1.17\n"])
def test_pip_says_itself_that_a_lock_cannot_be_had(start: ModuleType, tmp_path: Path, lock: str) -> None:
    start.LOCK.write_text(lock)
    wanted = lock.split("=")[0]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--ignore-installed"]
    answer = subprocess.run([*command, "-c", start.LOCK, wanted], capture_output=True, text=True)
    assert answer.returncode
    assert any(sign in answer.stdout + answer.stderr for sign in start.NOT_TO_BE_HAD)


def test_newest_upgrades_everything_and_takes_no_lock(start: ModuleType, pip: Pip) -> None:
    start.install("newest")
    assert pip.calls == [("--upgrade", "--upgrade-strategy", "eager", *TARGET)]
    assert start.is_installed("newest")


def test_lowest_holds_every_direct_dependency_at_its_lower_bound(start: ModuleType, pip: Pip) -> None:
    start.install("lowest")
    assert pip.calls == [("-c", str(start.LOWEST), *TARGET)]
    assert start.LOWEST.read_text().splitlines() == [
        "numpy==2.0",
        "torch==2.6",
        "jupyterlab==4.2",
        'pyjpegls==1.4; python_version < "3.14"',
    ]


@pytest.mark.parametrize(("reachable", "asked"), [(True, True), (False, False)])
def test_pip_is_pointed_at_the_cpu_wheels_only_where_they_answer(
    start: ModuleType, pip: Pip, monkeypatch: pytest.MonkeyPatch, reachable: bool, asked: bool
) -> None:
    monkeypatch.setattr(start, "cpu_wheels_wanted", lambda: True)
    monkeypatch.setattr(start, "answers", lambda url: reachable)
    start.install("tested")
    assert ("--extra-index-url" in pip.calls[0]) is asked
    assert pip.calls[0][-2:] == TARGET
    assert start.is_installed("tested")


# A .venv that is broken


def a_python_that(start: ModuleType, body: str) -> None:
    """Put a program in the place of the Python in .venv, beside the note that all is installed."""
    pretend_an_install(start)
    start.PYTHON.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    start.PYTHON.chmod(0o755)


ONE_THAT_LACKS_PACKAGES = """
if "course_utils.cli" in sys.argv:
    sys.exit(1)
print("pandas\\ntorch" if "importlib" in sys.argv[-1] else "3 11 64")
"""
on_posix = pytest.mark.skipif(os.name == "nt", reason="Windows starts no script by its first line")


@on_posix
@pytest.mark.parametrize("command", ["setup", "demo"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (ONE_THAT_LACKS_PACKAGES, r"Packages in \.venv are missing or damaged \(pandas, torch\)"),
        ("sys.exit(103)", r"The Python in \.venv does not run here"),
        (
            "if len(sys.argv) > 3: sys.exit(1)\nprint('3 9 64')",
            r"\.venv was made by a Python 3\.9 of 64 bits",
        ),
        (
            "if len(sys.argv) > 3: sys.exit(1)\nprint('3 12 32')",
            r"\.venv was made by a Python 3\.12 of 32 bits",
        ),
    ],
    ids=["packages gone", "interpreter gone", "too old", "32 bits"],
)
def test_a_broken_venv_says_to_delete_it(start: ModuleType, command: str, body: str, says: str) -> None:
    a_python_that(start, body)
    with pytest.raises(SystemExit) as end:
        start.main([command])
    assert re.fullmatch(
        rf"{says}.*\. Delete the folder \.venv, and run the same command again\.", end.value.code
    )
    assert str(start.ROOT) not in end.value.code


@on_posix
def test_a_file_that_is_no_program_says_to_delete_it(start: ModuleType) -> None:
    pretend_an_install(start)
    for command in ("setup", "demo"):
        with pytest.raises(SystemExit, match=r"does not run here.* Delete the folder \.venv"):
            start.main([command])


@on_posix
def test_nothing_is_installed_into_the_venv_of_another_kind_of_python(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_python_that(start, "print('3 9 64')")
    start.STAMP.unlink()
    monkeypatch.setattr(start, "cpu_wheels_wanted", lambda: False)
    monkeypatch.setattr(start, "pip_install", lambda *_: pytest.fail("installed"))
    with pytest.raises(SystemExit, match="Delete the folder"):
        start.main(["setup"])


@on_posix
@pytest.mark.parametrize("status", [0, 1, 2, 130])
def test_a_command_that_fails_in_a_sound_venv_keeps_its_exit_status(start: ModuleType, status: int) -> None:
    sound = f"if 'course_utils.cli' in sys.argv: sys.exit({status})\n"
    a_python_that(start, sound + "print('' if 'importlib' in sys.argv[-1] else '3 11 64')")
    assert start.main(["demo"]) == status


def test_the_packages_that_are_asked_for_are_those_that_are_installed(start: ModuleType) -> None:
    assert {"numpy", "torch", "jupyterlab"} <= set(start.PACKAGES.split())
    assert [name for name in start.PACKAGES.split() if importlib.util.find_spec(name) is None] == []


def test_what_does_not_start_is_named(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "half.py").write_text("import what_was_deleted")
    monkeypatch.setattr(start, "PYTHON", sys.executable)
    names = str(start.PACKAGES.split())
    monkeypatch.setattr(start, "PARTS", start.PARTS.replace(names, "['json', 'email.message']"))
    assert start.missing_parts() is None
    monkeypatch.setattr(start, "PARTS", start.PARTS.replace("'json'", "'of_nobody.at_all', 'half'"))
    assert "damaged (of_nobody, half). Delete" in start.missing_parts()


# A stick


def pack_for(start: ModuleType, python: str, tag: str, *others: str) -> None:
    start.WHEELS.mkdir()
    for name in (f"torch-2.14.1-{python}-{python}-{tag}.whl", *others):
        (start.WHEELS / name).touch()


def fitting(start: ModuleType) -> tuple[str, str]:
    """The tags of PyTorch's wheel for the Python that runs this test."""
    system = {"Windows": "win", "Darwin": "macosx_14_0"}.get(start.platform.system(), "manylinux_2_28")
    machine = re.sub(r"\W", "_", start.this_machine()).lower().removeprefix("win_")
    return "cp{}{}".format(*sys.version_info), f"{system}_{machine}"


def test_wheels_beside_it_are_all_that_is_installed_from_and_no_server_is_asked(
    start: ModuleType, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_for(start, *fitting(start))
    monkeypatch.setattr(start, "cpu_wheels_wanted", lambda: True)
    monkeypatch.setattr(start, "answers", lambda url: pytest.fail("asked the network"))
    start.install("tested")
    from_stick = ("--no-index", "--find-links", str(start.WHEELS))
    assert pip.calls == [(*from_stick, "-c", str(start.LOCK), *TARGET)]
    assert start.is_installed("tested")


def test_newest_goes_online_all_the_same(start: ModuleType, pip: Pip) -> None:
    pack_for(start, *fitting(start))
    start.install("newest")
    assert "--no-index" not in pip.calls[0]


def test_wheels_of_another_python_are_refused_in_one_sentence(start: ModuleType, pip: Pip) -> None:
    pack_for(start, "cp39", fitting(start)[1])
    with pytest.raises(SystemExit, match=r"is for Python 3\.9 on \w+; this is Python 3\.\d+ on "):
        start.install("tested")
    assert pip.calls == []


@pytest.mark.parametrize(
    ("tag", "system", "machine"),
    [
        ("win_amd64", "Windows", "win-amd64"),
        ("macosx_11_0_arm64", "Darwin", "arm64"),
        ("manylinux_2_28_x86_64", "Linux", "x86_64"),
        ("manylinux_2_28_aarch64", "Linux", "aarch64"),
    ],
)
def test_each_kind_of_machine_takes_its_own_wheels_and_no_others(
    start: ModuleType, tag: str, system: str, machine: str
) -> None:
    tags = ["win_amd64", "macosx_11_0_arm64", "manylinux_2_28_x86_64", "manylinux_2_28_aarch64"]
    taken = [
        each
        for each in tags
        if not start.why_not_these_wheels([f"torch-2-cp312-cp312-{each}.whl"], (3, 12), system, machine)
    ]
    assert taken == [tag]
    several = [f"torch-2-cp312-cp312-{each}.whl" for each in tags]
    assert start.why_not_these_wheels(several, (3, 12), system, machine) is None


def test_a_stick_that_lacks_something_says_so_and_is_not_made_up_for_by_the_network(
    start: ModuleType, pip: Pip
) -> None:
    pack_for(start, *fitting(start))
    pip.answers = [(1, REFUSALS["they do not exist here"])]
    with pytest.raises(SystemExit, match="lacks what this machine needs"):
        start.install("tested")
    assert len(pip.calls) == 1
    assert not start.STAMP.exists()


def test_weights_of_a_stick_are_put_where_pytorch_looks_for_them_and_nothing_there_is_replaced(
    start: ModuleType, pip: Pip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "asked_of_venv", lambda code: str(tmp_path / "hub"))
    start.WEIGHTS.mkdir()
    for name in ("net-1.pth", "net-2.pth"):
        (start.WEIGHTS / name).write_text("of the stick")
    there = tmp_path / "hub" / "checkpoints"
    there.mkdir(parents=True)
    (there / "net-2.pth").write_text("mine")
    start.place_weights()
    assert [(there / f"net-{n}.pth").read_text() for n in (1, 2)] == ["of the stick", "mine"]


# The test command


def test_one_failing_check_fails_the_whole_and_every_other_still_runs(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[tuple] = []

    def run(*command: object, env: dict) -> int:
        commands.append(command)
        assert env == {"COURSE_BACKBONE": "resnet50"}  # what the user set is passed on
        return int("mypy" in command)

    monkeypatch.setattr(start, "run", run)
    assert start.test(["-k", "dicom"], {"COURSE_BACKBONE": "resnet50"}, "tested") == 1
    assert len(commands) == len(start.CHECKS) + 1
    assert commands[-1][1:3] == ("-m", "pytest")
    assert commands[-1][-2:] == ("-k", "dicom")
    summary = capsys.readouterr().out
    assert "FAIL  mypy" in summary
    assert summary.count("FAIL") == 1


@pytest.mark.parametrize(
    ("options", "versions", "to_pytest"),
    [
        (["--newest", "-k", "dicom"], "newest", ["-k", "dicom"]),
        (["--lowest"], "lowest", []),
        (["-k", "dicom"], "tested", ["-k", "dicom"]),
    ],
)
def test_the_test_command_installs_the_versions_that_it_is_asked_for(
    start: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    versions: str,
    to_pytest: list[str],
) -> None:
    done: list[object] = []
    monkeypatch.setattr(start.sys, "version_info", (3, 11, 7, "final", 0))
    monkeypatch.setattr(start, "install", done.append)
    monkeypatch.setattr(start, "test", lambda rest, _, versions: done.extend([rest, versions]) or 0)
    assert start.main(["test", *options]) == 0
    assert done == [versions, to_pytest, versions]


def test_lowest_is_refused_on_a_newer_python_for_which_old_releases_have_no_wheels(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start.sys, "version_info", (3, 13, 0, "final", 0))
    monkeypatch.setattr(start, "install", lambda _: pytest.fail("installed"))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11"):
        start.main(["test", "--lowest"])


def test_old_linters_are_not_asked_what_they_think(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple] = []
    monkeypatch.setattr(start, "run", lambda *command, env: commands.append(command) or 0)
    assert start.test([], {}, "lowest") == 0
    assert [command[1:3] for command in commands] == [("-m", "pytest")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process")
def test_ctrl_c_lets_the_command_end_in_its_own_way_before_it_stops(tmp_path: Path) -> None:
    child = "import time\ntry: print('up', flush=True); time.sleep(30)\n"
    child += "except KeyboardInterrupt: time.sleep(0.5); print('child ends', flush=True)"
    driver = tmp_path / "driver.py"
    driver.write_text(
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r})\nimport starting\n"
        f"try: starting.run(sys.executable, '-c', {child!r})\n"
        "except KeyboardInterrupt: print('start.py ends')\n"
    )
    process = subprocess.Popen(
        [sys.executable, driver], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    rest, _ = process.communicate(timeout=20)
    assert rest == "child ends\nstart.py ends\n"
