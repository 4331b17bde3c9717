"""A run folder holds the old run or the new one, whatever happens; and it is read, or one is told why not."""

import csv
import errno
import os
import shutil
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from course_utils import DISCLAIMER
from course_utils.files import ABANDONED_S
from course_utils.provenance import RunRecord
from course_utils.records import Entry, Facts, Failure
from course_utils.runs import (
    Extraction,
    RunError,
    RunFolder,
    clusters,
    compared_columns,
    folder,
    read_clusters,
    read_maps,
    read_run,
    write_clusters,
    write_map,
)
from course_utils.runs.folder import RunInMemory

RECORD = RunRecord(
    command="course embed archive -o out",
    started="2025-03-02T10:11:12+00:00",
    finished="2025-03-02T10:11:42+00:00",
    git_commit=None,
    versions={"python": "3.11.9", "course": "0.1.0"},
    machine={"cores": 2},
    device="cpu",
    precision="fp32",
    engine="torch",
    adapter="replicate",
    batch_size=8,
    deterministic=False,
    backbone="efficientnet_lite0",
    weights={"id": "lite0", "pretrained": True},
    preprocessing={"config": {"size": 512}, "fingerprint": "feed"},
    seeds={},
    counts={"found": 3, "embedded": 2, "from_store": 0, "computed": 2, "failed": 1},
    timings={"total_s": 1.0},
)
PNG = cv2.imencode(".png", np.arange(256, dtype=np.uint8).reshape(16, 16))[1].tobytes()
needs_posix = pytest.mark.skipif(os.name == "nt", reason="no fork, no such names")


def _entry(number: int) -> Entry:
    facts = Facts(f"img-{number}", f"{number:064x}", None, "CC", "L", "window", ("odd",) * (number % 2))
    return Entry(facts, PNG, np.full(6, number, np.float32))


def _write(out: Path, numbers=(1, 2), command="first", bad="bad.dcm") -> None:
    with RunFolder(out, 6) as run:
        for number in numbers:
            run.add(f"{number}.dcm", _entry(number))
        run.add(bad, Failure("read", "This is no DICOM file."))
        run.finish(replace(RECORD, command=command))


def _told(out: Path) -> tuple:
    """What a run is, as far as the files could be of different ones."""
    run = Extraction.read(out)
    return run.record.command, run.vectors[:, 0].tolist(), run.table["file"].tolist(), len(run.thumbnails)


OLD = ("old", [1, 2], ["1.dcm", "2.dcm"], 2)
NEW = ("new", [3, 4, 5], ["3.dcm", "4.dcm", "5.dcm"], 3)


def test_a_run_is_read_as_it_was_written(tmp_path):
    _write(tmp_path / "out")
    run = Extraction.read(tmp_path / "out")
    assert [Facts.from_row(row) for row in run.table.to_dict("records")] == [
        _entry(number).facts for number in (1, 2)
    ]
    assert run.failures.to_dict("records") == [
        {"file": "bad.dcm", "stage": "read", "reason": "This is no DICOM file."}
    ]
    assert run.thumbnails == [PNG, PNG]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "DISCLAIMER.txt",
        "embeddings.parquet",
        "failures.csv",
        "run.json",
        "thumbnails.parquet",
    ]


STEPS = [
    (Path, "replace"),
    (Path, "rename"),
    (Path, "unlink"),
    (Path, "rmdir"),
    (os, "fsync"),
    (Path, "open"),
]


def _interrupt(monkeypatch: pytest.MonkeyPatch, number: int, end) -> None:
    """Call `end` in the place of the step of this number, of all that change something on the disk."""
    left = iter(range(number))

    def instead(step):
        def counted(*given, **more):
            return step(*given, **more) if next(left, None) is not None else end()

        return counted

    for place, name in STEPS:
        monkeypatch.setattr(place, name, instead(getattr(place, name)))


@needs_posix
def test_a_run_that_is_killed_between_any_two_steps_leaves_the_old_one_or_the_new(tmp_path):
    seen = []
    for number in range(100):
        out = tmp_path / f"{number}"
        _write(out, command="old")
        process = os.fork()
        if process == 0:
            with pytest.MonkeyPatch.context() as patch:
                _interrupt(patch, number, lambda: os._exit(1))
                _write(out, (3, 4, 5), command="new")
                os._exit(0)
        status = os.waitpid(process, 0)[1]
        seen.append(_told(out))
        assert seen[-1] in (OLD, NEW), number
        assert not (out / folder.FINISHED).exists()
        if status == 0:
            break
    assert status == 0, "there are more steps than were tried"
    assert seen.count(OLD) > 5
    assert seen.count(NEW) > 5
    _write(out, command="old")
    assert _told(out) == OLD


def test_a_disk_that_is_full_at_any_step_leaves_the_old_run_or_the_new(tmp_path):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ended = set()
    for number in range(50):
        out = tmp_path / f"{number}"
        _write(out, command="old")
        with pytest.MonkeyPatch.context() as patch:
            _interrupt(patch, number, full)
            try:
                _write(out, (3, 4, 5), command="new")
                ended.add(0)
            except OSError as error:
                ended.add(error.errno)
        assert _told(out) in (OLD, NEW)
    assert ended == {0, errno.ENOSPC}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
@pytest.mark.parametrize("name", ["embeddings.parquet", "failures.csv"])
def test_a_disk_that_fills_up_while_rows_are_written_is_told_without_a_folder(tmp_path, monkeypatch, name):
    _write(tmp_path, command="old")
    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *given, **more: opened(Path("/dev/full") if self.name == name else self, *given, **more),
    )
    with pytest.raises(OSError, match="No space left") as error:
        _write(tmp_path, range(3, 600), command="new")
    monkeypatch.undo()
    assert str(tmp_path) not in str(error.value)
    assert _told(tmp_path) == OLD
    assert not list(tmp_path.glob(".*"))


def test_a_finished_run_that_was_killed_before_it_was_in_place_is_read_where_nothing_can_be_written(
    tmp_path, monkeypatch
):
    _write(tmp_path / "old", command="old")
    _write(tmp_path / "new", (3, 4, 5), command="new")
    for moved in range(6):
        out = shutil.copytree(tmp_path / "old", tmp_path / f"{moved}")
        shutil.copytree(tmp_path / "new", out / folder.FINISHED)
        for file in sorted((out / folder.FINISHED).iterdir())[:moved]:
            file.replace(out / file.name)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", _refuse)
            assert _told(out) == NEW
            assert read_run(out).record["command"] == "new"
        assert _told(out) == NEW
        assert read_run(out).vectors[:, 0].tolist() == NEW[1]


def _refuse(*_):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_two_runs_that_finish_at_once_leave_one_of_them_whole(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    def write(number: int) -> None:
        _write(tmp_path, (number,) * (number + 1), command=f"{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(40)))
    command, first, files, pictures = _told(tmp_path)
    assert first == [int(command)] * (int(command) + 1)
    assert len(files) == pictures == len(first)
    assert not list(tmp_path.glob(".*"))


def test_what_killed_runs_left_is_swept_and_what_lives_is_not(tmp_path):
    _write(tmp_path)
    left = [tmp_path / f"{folder.MAKING}dead", tmp_path / f"{folder.MAKING}alive"]
    for making in left:
        making.mkdir()
        (making / "embeddings.parquet").touch()
    tmp = tmp_path / "report.html.0123.tmp"
    tmp.touch()
    for path in (left[0], tmp):
        os.utime(path, (time.time() - 2 * ABANDONED_S,) * 2)
    _write(tmp_path)
    assert [path.exists() for path in (*left, tmp)] == [False, True, False]


def test_a_run_shows_that_it_is_alive_with_each_file(tmp_path):
    with RunFolder(tmp_path, 6) as run:
        making = next(tmp_path.glob(f"{folder.MAKING}*"))
        os.utime(making, (0, 0))
        run.add("bad.dcm", Failure("read", "why"))
        assert making.stat().st_mtime > ABANDONED_S


NAMES = ["a\rb.dcm", "a\r\nb.dcm", "a\nb.dcm", 'a"b.dcm', "a,b.dcm", "NA", " a ", "=1+1", "ä — 乳.dcm"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_comes_back_from_both_tables_and_from_the_clusters(tmp_path, name):
    with RunFolder(tmp_path, 6) as run:
        run.add(name, _entry(1))
        run.add(name, Failure("read", "It is\rbroken."))
        run.finish(RECORD)
    written = Extraction.read(tmp_path)
    assert written.table["file"].tolist() == [name]
    assert written.failures.to_dict("records") == [
        {"file": name, "stage": "read", "reason": "It is\rbroken."}
    ]
    with (tmp_path / "failures.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file))[1][0] == name
    known = pd.DataFrame({"site": [name]})
    write_clusters(tmp_path, written, np.zeros(1, np.int64), known, {})
    table = read_clusters(tmp_path).table
    assert table[["file", "site"]].to_numpy().tolist() == [[name, name]]


def test_a_name_that_is_no_unicode_is_written_as_text(tmp_path):
    odd = "caf\udce9.dcm"
    with RunFolder(tmp_path, 6) as run:
        run.add(odd, _entry(1))
        run.add(odd, Failure("read", "why"))
        run.finish(RECORD)
    run = Extraction.read(tmp_path)
    assert [*run.table["file"], *run.failures["file"]] == ["caf\\xe9.dcm"] * 2


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such a folder cannot be made there")
def test_a_folder_whose_name_is_no_unicode_holds_a_run_like_any_other(tmp_path):
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    _write(out, command="old")
    assert _told(out) == OLD
    assert read_run(out).table["file"].tolist() == OLD[2]
    write_clusters(out, Extraction.read(out), np.zeros(2, np.int64), pd.DataFrame(index=range(2)), {})
    assert len(read_clusters(out).table) == 2
    (out / "run.json").unlink()
    with pytest.raises(RunError) as error:
        Extraction.read(out)
    assert "caf\\xe9" in str(error.value)


def test_a_folder_without_a_run_says_so_by_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for where in (tmp_path, ".", "nowhere"):
        with pytest.raises(RunError, match=r"^(\.|nowhere) holds no finished run") as error:
            Extraction.read(where)
        assert str(tmp_path) not in str(error.value)
        with pytest.raises(RunError, match=r"holds no embeddings.parquet"):
            read_run(where)


def test_a_run_of_a_newer_version_is_said_to_be_one(tmp_path):
    _write(tmp_path)
    record = tmp_path / "run.json"
    newer = record.read_text().replace('"course": "0.1.0"', '"course": "7.0"').replace('"seeds"', '"dice"')
    record.write_text(newer)
    with pytest.raises(RunError, match=r"written by version 7.0 of this course, and this is 0.1.0"):
        Extraction.read(tmp_path)
    assert read_run(tmp_path).record["dice"] == {}


@pytest.mark.parametrize("name", ["embeddings.parquet", "thumbnails.parquet", "failures.csv", "run.json"])
def test_a_damaged_file_of_a_run_is_one_sentence_without_a_folder(tmp_path, name):
    _write(tmp_path / "whole")
    content = (tmp_path / "whole" / name).read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", content[: len(content) // 2], b"\0" * len(content), b"[" * 100_000]
    for _ in range(40):
        flipped = bytearray(content)
        for at in rng.integers(len(content), size=3):
            flipped[at] ^= 1 << rng.integers(8)
        damaged.append(bytes(flipped))
    for number, data in enumerate(damaged):
        out = shutil.copytree(tmp_path / "whole", tmp_path / f"{number}")
        (out / name).write_bytes(data)
        for read in (Extraction.read, read_run):
            said = ""
            try:
                read(out)  # a flipped letter of a text may leave a text
            except RunError as error:
                said = str(error)
            assert str(tmp_path) not in said
            assert "\n" not in said


def test_one_flipped_bit_in_a_vector_is_noticed(tmp_path):
    vector = np.random.default_rng(0).normal(size=6).astype(np.float32)
    with RunFolder(tmp_path, 6) as run:
        run.add("1.dcm", replace(_entry(1), embedding=vector))
        run.finish(RECORD)
    file = tmp_path / "embeddings.parquet"
    data = bytearray(file.read_bytes())
    data[data.index(vector.tobytes())] ^= 1
    file.write_bytes(data)
    for read in (Extraction.read, read_run):
        with pytest.raises(RunError):
            read(tmp_path)


def test_a_run_that_may_not_be_read_is_not_said_to_be_damaged(tmp_path, monkeypatch):
    _write(tmp_path)
    monkeypatch.setattr(folder, "read_table", _refuse)
    with pytest.raises(RunError, match="are you allowed to"):
        Extraction.read(tmp_path)


def test_pictures_of_other_images_are_refused_even_where_they_are_as_many(tmp_path):
    _write(tmp_path / "one", (1, 2))
    _write(tmp_path / "other", (1, 3))
    shutil.copy(tmp_path / "other" / "thumbnails.parquet", tmp_path / "one")
    with pytest.raises(RunError, match="holds no finished run"):
        Extraction.read(tmp_path / "one")


def _spoilt(kind: str) -> bytes:
    if kind == "cut":
        return PNG[:-20]
    if kind == "no end":
        return PNG[:-12]
    if kind == "other bytes":
        return b"GIF89a and no more"
    if kind == "only its signature":
        return PNG[:8]
    at = PNG.index(b"IDAT") + 10
    flipped = PNG[:at] + bytes([PNG[at] ^ 1]) + PNG[at + 1 :]
    if kind == "flipped":
        return flipped
    length = int.from_bytes(PNG[PNG.index(b"IDAT") - 4 : PNG.index(b"IDAT")])
    start = PNG.index(b"IDAT")
    checksum = zlib.crc32(flipped[start : start + 4 + length]).to_bytes(4)
    return flipped[: start + 4 + length] + checksum + flipped[start + 8 + length :]


@pytest.mark.parametrize(
    "kind", ["cut", "no end", "other bytes", "only its signature", "flipped", "flipped, its checksum right"]
)
def test_a_damaged_thumbnail_is_left_out_and_said(tmp_path, kind):
    with RunFolder(tmp_path, 6) as run:
        run.add("1.dcm", _entry(1))
        run.add("2.dcm", replace(_entry(2), thumbnail=_spoilt(kind)))
        run.finish(RECORD)
    read = read_run(tmp_path)
    assert read.thumbnails == [PNG, b""]
    assert read.pictures_note == "1 picture in this folder is damaged and not shown."


class TestClusters:
    @pytest.fixture
    def out(self, tmp_path):
        _write(tmp_path, (1, 2, 3))
        return tmp_path

    def _cluster(self, out: Path, **columns) -> None:
        run = Extraction.read(out)
        write_clusters(out, run, np.array([0, 1, 0]), pd.DataFrame(columns, index=range(3)), {"seed": 4})

    def _why_not(self, out: Path) -> str | None:
        run = read_run(out)
        return read_clusters(out).why_unusable(run.table["image_id"].tolist(), run.vectors)

    def test_they_are_read_as_they_were_written_each_value_as_text(self, out):
        self._cluster(out, site=["NA", None, "01"], grade=["None", "nan", "1.0"])
        read = read_clusters(out)
        assert read.table["cluster"].tolist() == [0, 1, 0]
        assert read.table["site"].fillna("(missing)").tolist() == ["NA", "(missing)", "01"]
        assert read.table["grade"].tolist() == ["None", "nan", "1.0"]
        assert read.result["seed"] == 4
        assert self._why_not(out) is None

    def test_where_there_are_none_there_are_none(self, out):
        assert read_clusters(out) is None

    def test_a_table_that_was_edited_beside_an_old_verdict_is_noticed(self, out):
        self._cluster(out)
        table = out / clusters.TABLE
        table.write_text(table.read_text().replace('"img-2","2.dcm",1', '"img-2","2.dcm",0'))
        assert "was changed after" in self._why_not(out)

    def test_clusters_of_other_images_or_vectors_are_noticed(self, out):
        self._cluster(out)
        _write(out, (1, 2, 4))
        assert "other embeddings" in self._why_not(out)

    @pytest.mark.parametrize("name", [clusters.TABLE, clusters.RESULT])
    @pytest.mark.parametrize("content", [b"", b"\0\xff", b"a,b\n1,2\n", b"[]"])
    def test_a_damaged_file_is_one_sentence(self, out, name, content):
        self._cluster(out)
        (out / name).write_bytes(content)
        with pytest.raises(RunError, match=rf"{name} cannot be read .* run `course cluster` again"):
            read_clusters(out)


def test_the_table_has_the_promised_columns_and_a_fixed_size_list(tmp_path):
    _write(tmp_path)
    table = pq.read_table(tmp_path / "embeddings.parquet")
    expected = ["image_id", "file", "sha256", "patient_key", "view", "laterality"]
    expected += ["kind", "modifiers", "embedding"]
    assert table.column_names == expected
    assert table.schema.field("embedding").type.list_size == 6
    assert b"Not for clinical" in table.schema.metadata[b"disclaimer"]


class TestMaps:
    @pytest.fixture
    def out(self, tmp_path):
        _write(tmp_path, (1, 2, 3))
        return tmp_path

    POINTS = np.array([[1.1, -2.7], [1e-7, 3.3e8], [0.1, 1 / 3]], np.float32)

    def _map(self, out: Path, method: str = "tsne", **result) -> Path:
        return write_map(out, Extraction.read(out), self.POINTS, {"method": method, **result})

    def _why_not(self, out: Path) -> str | None:
        run = read_run(out)
        (map_,) = read_maps(out)
        return map_.why_unusable(run.table["image_id"].tolist(), run.vectors)

    def test_they_are_read_as_they_were_written_to_the_bit(self, out):
        assert self._map(out, seed=4, params={"perplexity": 5.0}) == out / "map_tsne.csv"
        (read,) = read_maps(out)
        assert np.array_equal(read.points, self.POINTS)
        assert read.points.dtype == np.float32
        assert read.image_ids == Extraction.read(out).table["image_id"].tolist()
        assert (read.method, read.result["seed"], read.result["params"]) == ("tsne", 4, {"perplexity": 5.0})
        assert read.result["disclaimer"] == DISCLAIMER
        assert self._why_not(out) is None

    def test_a_folder_holds_one_of_each_method_and_a_new_one_takes_the_place_of_the_old(self, out):
        assert read_maps(out) == ()
        for method in ("umap", "pca", "tsne", "pca"):
            self._map(out, method)
        assert [each.method for each in read_maps(out)] == ["pca", "tsne", "umap"]

    def test_half_a_map_is_none(self, out):
        self._map(out).unlink()
        assert read_maps(out) == ()

    def test_a_table_that_was_edited_after_it_was_judged_is_noticed(self, out):
        table = self._map(out)
        table.write_text(table.read_text().replace("1.1,", "1.2,"))
        assert self._why_not(out) == "map_tsne.csv in this folder was changed after the map in it was judged"

    def test_a_map_of_other_images_or_vectors_is_noticed(self, out):
        self._map(out)
        _write(out, (1, 2, 4))
        assert self._why_not(out) == "The tsne map in this folder belongs to other embeddings"
        run = Extraction.read(out)
        self._map(out)
        assert self._why_not(out) is None
        ids = run.table["image_id"].tolist()
        assert "other embeddings" in read_maps(out)[0].why_unusable(ids, run.vectors + 1)
        assert "other embeddings" in read_maps(out)[0].why_unusable(ids[::-1], run.vectors)

    @pytest.mark.parametrize("name", ["map_tsne.csv", "map_tsne.json"])
    @pytest.mark.parametrize(
        "content", [b"", b"\0\xff", b"image_id,x\n1,2\n", b"image_id,x,y\n1,2,z\n", b"[]"]
    )
    def test_a_damaged_file_is_one_sentence(self, out, name, content):
        self._map(out)
        (out / name).write_bytes(content)
        with pytest.raises(RunError, match=rf"{name} cannot be read .* run `course map` again"):
            read_maps(out)

    def test_the_result_of_another_method_is_not_taken_for_that_of_this_one(self, out):
        self._map(out, "umap").rename(out / "map_tsne.csv")
        (out / "map_umap.json").rename(out / "map_tsne.json")
        with pytest.raises(RunError, match=r"map_tsne\.json cannot be read"):
            read_maps(out)


def test_what_an_earlier_version_did_not_write_is_missing_and_hinders_nothing(tmp_path):
    _write(tmp_path)
    file = tmp_path / "embeddings.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["kind", "modifiers"]), file)
    old = Extraction.read(tmp_path).table
    assert old["kind"].isna().all()
    assert set(old["modifiers"]) == {()}
    assert "kind" not in compared_columns(old)
    assert "kind" not in read_run(tmp_path).table


def test_kind_and_modifiers_are_compared_as_one_text_where_they_vary():
    facts = [Facts(f"i{n}", f"{n:064x}", "p", "CC", "L", "window", ()) for n in range(3)]
    magnified = replace(facts[0], kind="film", modifiers=("magnification", "spot compression"))
    run = RunInMemory(3)
    for n, one in enumerate([*facts, magnified]):
        run.add(f"{n}.dcm", Entry(one, b"", np.ones(3, np.float32)))
    compared = compared_columns(run.finish(record=None).table)
    assert compared["modifiers"].tolist() == [*["none"] * 3, "magnification, spot compression"]
    assert compared["kind"].isna().tolist() == [True, True, True, False]
    assert "kind" not in compared_columns(run.finish(record=None).table[:3])
