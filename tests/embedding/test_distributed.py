"""An extraction in several processes gives what one process gives, whatever becomes of a process."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
from calibration import patience
from numpy.testing import assert_array_equal

from course_utils import cli
from course_utils.embedding import (
    DeviceUnavailable,
    EmbeddingError,
    Extraction,
    distributed,
    shards,
)
from course_utils.embedding.distributed import Processes, Recipe, extract_in_shards
from course_utils.embedding.shards import ENDED_ITS_PROCESS, plan, run_shard
from course_utils.imaging import Preprocessor
from course_utils.imaging.datasets import sample_cohort

LITE = {"name": "efficientnet_lite0"}
EXACT = {"device": "cpu", "deterministic": True}
PREPROCESSOR = Preprocessor(size=224)


class InThisProcess:
    """A backend that runs shards here, up to `most` of them, and remembers which."""

    def __init__(self, most=1000):
        self.most, self.done = most, []

    def run(self, todo, folder, recipe):
        extractor = recipe.make()
        for shard in todo[: self.most]:
            recipe.run(shard, folder, extractor)
            self.done.append(shard.id)
            yield shard
        if len(todo) > self.most:
            raise InterruptedError


class DiesOnce(Recipe):
    """Ends the process in the middle of a shard, the first time that the shard is tried."""

    def run(self, shard, folder, extractor):
        if shard.id.startswith("000001") and not (folder / f"{shard.id}.begun").exists():
            shards.RunFolder.finish = lambda *_: os._exit(9)
        super().run(shard, folder, extractor)


class DiesOfAFile(Recipe):
    """Ends the process whenever it reads the third file."""

    def run(self, shard, folder, extractor):
        prepare = shards.Pipeline._prepare
        shards.Pipeline._prepare = lambda self, file: (
            os._exit(9) if file.name == sample_cohort()["path"][2].name else prepare(self, file)
        )
        super().run(shard, folder, extractor)


class NeverReady(Recipe):
    """Ends each process before it has an extractor."""

    def make(self):
        os._exit(9)


class Slowly(Recipe):
    """Rests after each shard but the first three, so that a test can step in between."""

    def run(self, shard, folder, extractor):
        super().run(shard, folder, extractor)
        if int(shard.id[:6]) > 2:
            time.sleep(2)


def recipe(of=Recipe, **changes):
    return of(LITE, EXACT | changes, PREPROCESSOR)


def same_but_for_the_run(one, other):
    """Compare two extractions whose pseudonyms have different keys."""
    assert_array_equal(one.vectors, other.vectors)
    keyed = ["image_id", "patient_key"]
    pd.testing.assert_frame_equal(one.table.drop(columns=keyed), other.table.drop(columns=keyed))
    pd.testing.assert_frame_equal(one.failures, other.failures)
    assert one.record.counts == other.record.counts
    assert one.thumbnails == other.thumbnails


def test_the_same_list_gives_the_same_shards_in_any_process():
    names = [f"woman {n}/ä.dcm" for n in range(7)]
    planned = plan([Path(name) for name in names], names, size=3)
    assert [len(shard.files) for shard in planned] == [3, 3, 1]
    assert [name for shard in planned for name in shard.names] == names
    script = f"from course_utils.embedding.shards import plan; n = {names!r}\n"
    script += "print(*[shard.id for shard in plan(n, n, size=3)])"
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"}
        run = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        )
        assert run.stdout.split() == [shard.id for shard in planned]


def test_names_that_only_run_together_alike_make_other_shards():
    one, other = (plan(names, names)[0].id for names in (["a", "bc"], ["ab", "c"]))
    assert one != other
    assert one.startswith("000000-")


def test_two_processes_give_the_vectors_order_and_failures_of_one_and_count_the_women(
    archive, alone, tmp_path
):
    paths, names = archive
    record = extract_in_shards(tmp_path, paths, recipe(), Processes(2), names=names, shard_files=2)
    found = Extraction.read(tmp_path)
    same_but_for_the_run(found, alone)
    assert record == found.record
    assert record.counts == {"found": 10, "embedded": 9, "from_store": 0, "computed": 9, "failed": 1}
    # Each woman's images lie in several shards: one key for each process would make more women of them.
    assert found.table["patient_key"].nunique() == alone.table["patient_key"].nunique()
    assert len(found.table) > found.table["patient_key"].nunique()
    assert not list(tmp_path.glob(".*"))


def test_a_process_that_ends_in_the_middle_of_a_shard_loses_nothing_and_doubles_nothing(
    archive, alone, tmp_path
):
    paths, names = archive
    extract_in_shards(tmp_path, paths, recipe(DiesOnce), Processes(2), names=names, shard_files=5)
    same_but_for_the_run(Extraction.read(tmp_path), alone)


def test_a_file_that_ends_its_process_twice_becomes_a_failure_and_the_rest_goes_on(archive, tmp_path):
    paths, names = archive
    extract_in_shards(tmp_path, paths[:5], recipe(DiesOfAFile), Processes(1), names=names[:5], shard_files=5)
    found = Extraction.read(tmp_path)
    assert found.table["file"].tolist() == [names[0], names[1], names[4]]
    assert found.failures["file"].tolist() == [names[2], names[3]]
    assert found.failures.iloc[0].tolist() == [names[2], "read", ENDED_ITS_PROCESS]
    assert found.record.counts == {"found": 5, "embedded": 3, "from_store": 0, "computed": 3, "failed": 2}


def test_an_interrupted_run_computes_only_what_is_missing(archive, alone, tmp_path):
    paths, names = archive
    first, second = InThisProcess(most=2), InThisProcess()
    for backend in (first, second):
        try:
            extract_in_shards(tmp_path, paths, recipe(), backend, names=names, shard_files=3)
        except InterruptedError:
            assert not (tmp_path / "run.json").exists()
    assert len(first.done) == 2
    assert len(second.done) == 2
    assert not set(first.done) & set(second.done)
    found = Extraction.read(tmp_path)
    same_but_for_the_run(found, alone)
    assert found.table["patient_key"].nunique() == alone.table["patient_key"].nunique()


@pytest.mark.parametrize(
    "other",
    [
        Recipe(LITE, EXACT | {"adapter": "folded"}, PREPROCESSOR),
        Recipe({"name": "efficientnet_lite0", "weights": "random"}, EXACT, PREPROCESSOR),
        Recipe(LITE, EXACT, Preprocessor(size=128)),
    ],
    ids=["extractor", "weights", "picture"],
)
def test_shards_of_another_recipe_are_not_taken(archive, tmp_path, other):
    paths, names = archive
    with pytest.raises(InterruptedError):
        extract_in_shards(tmp_path, paths[:2], recipe(), InThisProcess(1), names=names[:2], shard_files=1)
    backend = InThisProcess()
    extract_in_shards(tmp_path, paths[:2], other, backend, names=names[:2], shard_files=1)
    assert len(backend.done) == 2
    assert not list(tmp_path.glob(".*"))


def test_a_finished_shard_is_not_run_again(archive, tmp_path):
    paths, names = archive
    (shard,) = plan(paths[:2], names[:2])
    extractor = recipe().make()
    for _ in range(2):
        run_shard(shard, tmp_path, extractor, PREPROCESSOR, store=None, key=b"k" * 32)
        made = (tmp_path / shard.id / "run.json").stat().st_mtime_ns
        extractor = None  # it is not even asked
    assert (tmp_path / shard.id / "run.json").stat().st_mtime_ns == made
    assert sorted(path.name for path in tmp_path.iterdir()) == [shard.id]


def test_a_process_whose_master_has_finished_meanwhile_ends_without_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed.signal, "signal", lambda *_: None)
    monkeypatch.setattr(distributed.torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(Recipe, "make", lambda _: None)
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    distributed._work(theirs, recipe(), tmp_path, 1)  # it has started so late that nobody waits for it


def test_processes_that_never_get_ready_end_the_run_with_a_sentence(archive, tmp_path):
    paths, names = archive
    with pytest.raises(EmbeddingError, match="the processes end before they are ready"):
        extract_in_shards(tmp_path, paths[:2], recipe(NeverReady), Processes(1), names=names[:2])


def test_an_error_in_a_process_is_the_runs_own(archive, tmp_path):
    paths, names = archive
    with pytest.raises(DeviceUnavailable):
        extract_in_shards(tmp_path, paths[:2], recipe(device="cuda:99"), Processes(1), names=names[:2])


@pytest.mark.parametrize("count", [0, -1])
def test_no_process_is_none(count):
    with pytest.raises(ValueError, match="at least one process"):
        Processes(count)


def test_a_run_whose_shards_another_one_swept_says_so(archive, tmp_path):
    paths, names = archive

    class AnotherEnds(InThisProcess):
        def run(self, todo, folder, recipe):
            for shard in super().run(todo, folder, recipe):
                yield shard
                shutil.rmtree(folder)

    with pytest.raises(EmbeddingError, match="another run into the same output"):
        extract_in_shards(tmp_path, paths[:2], recipe(), AnotherEnds(), names=names[:2], shard_files=1)


def test_no_files_are_no_run(tmp_path):
    with pytest.raises(EmbeddingError, match="no files"):
        extract_in_shards(tmp_path, [], recipe(), InThisProcess())


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a matter of POSIX")
def test_after_the_master_is_killed_its_processes_end_and_a_rerun_finishes(archive, alone, tmp_path):
    paths, names = archive
    script = tmp_path / "master.py"
    script.write_text(
        textwrap.dedent(f"""
        from test_distributed import *
        if __name__ == "__main__":
            paths, names = {[str(path) for path in paths]!r}, {names!r}
            out = {str(tmp_path / "out")!r}
            extract_in_shards(out, paths, recipe(Slowly), Processes(2), names=names, shard_files=1)
        """)
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    master = subprocess.Popen([sys.executable, str(script)], env=env, start_new_session=True)
    deadline = time.monotonic() + patience(60)
    while len(list(tmp_path.glob("out/.shards-*/*/run.json"))) < 3:
        assert master.poll() is None, "it has ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    master.send_signal(signal.SIGKILL)
    master.wait()
    while _session_of(master.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _session_of(master.pid)
    backend = InThisProcess()
    extract_in_shards(tmp_path / "out", paths, recipe(), backend, names=names, shard_files=1)
    assert len(backend.done) <= 7
    same_but_for_the_run(Extraction.read(tmp_path / "out"), alone)


@pytest.mark.skipif(os.name == "nt", reason="sessions are a matter of POSIX")
@pytest.mark.parametrize("moment", [".shards-*", ".shards-*/*.begun"], ids=["early", "late"])
def test_ctrl_c_is_answered_in_one_sentence_and_by_no_process_of_its_own(moment, tmp_path):
    """Early, the processes are importing; late, each of them reads."""
    waits = patience(60)  # which takes seconds to work out, so beforehand
    out, folder = tmp_path / "out", sample_cohort()["path"][0].parent
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"  # may be ignored
    code += "; from course_utils.cli import main; sys.exit(main(sys.argv[1:]))"
    asked = ["embed", str(folder), "-o", str(out), "--backbone", "efficientnet_lite0", "--no-cache"]
    master = subprocess.Popen(
        [sys.executable, "-c", code, *asked, "--shards", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + waits
    while not list(out.glob(moment)):
        assert master.poll() is None, "it has ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(master.pid, signal.SIGINT)  # as a terminal does
    _, said = master.communicate(timeout=waits)
    assert master.returncode == 130
    assert said.splitlines()[-1].startswith("Stopped.")
    assert "Traceback" not in said
    assert "leaked" not in said


def _session_of(leader):
    """Return the processes of a session that are still alive."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-s", str(leader)], capture_output=True, text=True, check=False
    )
    return [line for line in found.stdout.split() if not line.startswith("Z")]


def test_the_command_line_works_in_processes_and_says_what_it_says_otherwise(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(sample_cohort()["path"][0].parent)
    common = [folder, "--backbone", "efficientnet_lite0", "--size", "224", "--deterministic", "--no-cache"]
    assert cli.main(["embed", *common, "-o", "two", "--shards", "2"]) == 0
    said = capsys.readouterr().out
    assert "24 files: 24 computed, 0 from the store, 0 failed" in said
    assert cli.main(["embed", *common, "-o", "one"]) == 0
    same_but_for_the_run(Extraction.read("two"), Extraction.read("one"))


def test_a_table_needs_the_stores_key_in_processes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("file,view\na.dcm,CC\n")
    folder = str(sample_cohort()["path"][0].parent)
    asked = ["embed", folder, "-o", "out", "--shards", "2", "--no-cache", "--table", "table.csv"]
    assert cli.main(asked) == 2
    assert "leave out --no-cache" in capsys.readouterr().err
