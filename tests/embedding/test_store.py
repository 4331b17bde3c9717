import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from calibration import patience

from course_utils.embedding import EmbeddingError, EmbeddingStore, store
from course_utils.embedding.store import COMPACT_ABOVE, PART_ROWS, Shelf
from course_utils.files import ABANDONED_S
from course_utils.records import Entry, Facts

CONFIG = {"backbone": "resnet50", "embedding_dim": 6, "precision": "fp32"}


def _entry(number: int) -> Entry:
    vector = np.random.default_rng(number).normal(size=6).astype(np.float32)
    facts = Facts(f"img-{number}", f"{number:064x}", None, "CC", "L", "window", ("odd",))
    return Entry(facts, b"png", vector)


def _same(one: Entry, other: Entry) -> bool:
    alike = (one.facts, one.thumbnail) == (other.facts, other.thumbnail)
    return alike and np.array_equal(one.embedding, other.embedding)


def test_what_was_put_is_found_again_by_another_process_s_store(tmp_path):
    EmbeddingStore(tmp_path).shelf(CONFIG).put([_entry(1), _entry(2)])
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    assert len(shelf) == 2
    assert _same(shelf.get(_entry(2).facts.sha256), _entry(2))
    assert shelf.get(_entry(3).facts.sha256) is None


def test_another_configuration_is_another_shelf(tmp_path):
    EmbeddingStore(tmp_path).shelf(CONFIG).put([_entry(1)])
    assert len(EmbeddingStore(tmp_path).shelf({**CONFIG, "precision": "bf16"})) == 0


def test_a_damaged_part_is_set_aside_with_a_warning_and_the_rest_is_kept(tmp_path, caplog):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    for number in (1, 2, 3):
        shelf.put([_entry(number)])
    cut, flipped, _ = sorted(shelf.folder.glob("part-*.parquet"))
    cut.write_bytes(cut.read_bytes()[:100])
    data = bytearray(flipped.read_bytes())
    data[data.index(b"img-")] ^= 1  # one bit inside a page: only its checksum can tell
    flipped.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        again = EmbeddingStore(tmp_path).shelf(CONFIG)
        found = [again.get(_entry(number).facts.sha256) is not None for number in (1, 2, 3)]
    assert sum(found) == len(again) == 1
    assert len(caplog.records) == 2
    assert str(tmp_path) not in caplog.text
    assert len(list(shelf.folder.glob("*.damaged"))) == 2


def _parts(shelf: Shelf) -> list[Path]:
    return sorted(shelf.folder.glob("part-*.parquet"))


def test_many_parts_become_one_and_nothing_is_lost(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    count = COMPACT_ABOVE + 5
    for number in range(count):
        shelf.put([_entry(number)])
        assert len(_parts(shelf)) == (number + 1 if number < COMPACT_ABOVE else number - COMPACT_ABOVE + 1)
    for some in (shelf, EmbeddingStore(tmp_path).shelf(CONFIG)):
        assert all(_same(some.get(_entry(number).facts.sha256), _entry(number)) for number in range(count))


def test_a_full_part_is_never_written_again(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    shelf.put([_entry(number) for number in range(PART_ROWS)])
    full = _parts(shelf)
    written = full[0].stat().st_mtime_ns
    for number in range(PART_ROWS, PART_ROWS + 2 * COMPACT_ABOVE):
        shelf.put([_entry(number)])
    assert full[0].stat().st_mtime_ns == written
    assert len(_parts(shelf)) <= 1 + COMPACT_ABOVE


def test_large_parts_do_not_grow_beyond_their_size(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    each, puts = 40, COMPACT_ABOVE + 1
    for put in range(puts):
        shelf.put([_entry(number) for number in range(put * each, (put + 1) * each)])
    rows = [pq.ParquetFile(part).metadata.num_rows for part in _parts(shelf)]
    assert max(rows) == PART_ROWS
    assert sum(rows) == puts * each
    assert all(shelf.get(_entry(number).facts.sha256) for number in range(puts * each))


def test_an_entry_put_twice_is_merged_into_one(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    for number in range(COMPACT_ABOVE + 1):
        shelf.put([_entry(0), _entry(number)])
    assert pq.read_table(_parts(shelf)[0]).num_rows == COMPACT_ABOVE + 1


def test_a_part_that_is_damaged_when_parts_are_merged_costs_its_own_entries_alone(tmp_path, caplog):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    for number in range(COMPACT_ABOVE):
        shelf.put([_entry(number)])
    victim = next(part for part in _parts(shelf) if b"img-7" in part.read_bytes())
    victim.write_bytes(victim.read_bytes()[:-1])
    shelf.put([_entry(COMPACT_ABOVE)])
    assert "Set aside" in caplog.text
    missing = {n for n in range(COMPACT_ABOVE + 1) if shelf.get(_entry(n).facts.sha256) is None}
    assert missing == {7}
    assert victim.with_suffix(".damaged").exists()


def test_a_run_finds_what_another_one_has_merged_meanwhile(tmp_path):
    first, second = (EmbeddingStore(tmp_path).shelf(CONFIG) for _ in range(2))
    for number in range(COMPACT_ABOVE):
        first.put([_entry(number)])
    waiting = EmbeddingStore(tmp_path).shelf(CONFIG)
    second.put([_entry(1000)])
    first.put([_entry(COMPACT_ABOVE)])  # the parts that `waiting` knows are gone
    assert all(_same(waiting.get(_entry(n).facts.sha256), _entry(n)) for n in range(COMPACT_ABOVE))
    assert waiting.get(_entry(1000).facts.sha256)


def test_a_shelf_that_is_asked_for_again_opens_only_what_others_have_written_since(tmp_path, monkeypatch):
    opened = []
    read_part = store._read_part
    monkeypatch.setattr(
        store, "_read_part", lambda path, read: (opened.append(path), read_part(path, read))[1]
    )
    here, elsewhere = EmbeddingStore(tmp_path), EmbeddingStore(tmp_path)
    elsewhere.shelf(CONFIG).put([_entry(1)])
    shelf = here.shelf(CONFIG)
    assert len(opened) == 1
    shelf.put([_entry(2)])
    elsewhere.shelf({**CONFIG, "precision": "bf16"}).put([_entry(4)])
    opened.clear()
    assert here.shelf(CONFIG) is shelf
    assert opened == []
    Shelf(shelf.folder, CONFIG).put([_entry(3)])
    opened.clear()
    assert len(here.shelf(CONFIG)) == 3
    assert len(opened) == 1
    assert _same(shelf.get(_entry(3).facts.sha256), _entry(3))


def test_a_shelf_that_is_asked_for_again_knows_what_others_have_merged_or_deleted(tmp_path):
    here = EmbeddingStore(tmp_path)
    shelf = here.shelf(CONFIG)
    for number in range(COMPACT_ABOVE):
        shelf.put([_entry(number)])
    assert shelf.get(_entry(0).facts.sha256)
    Shelf(shelf.folder, CONFIG).put([_entry(COMPACT_ABOVE)])  # one too many: it merges them
    assert len(_parts(shelf)) == 1
    again = here.shelf(CONFIG)
    assert all(again.get(_entry(number).facts.sha256) for number in range(COMPACT_ABOVE + 1))
    shutil.rmtree(shelf.folder)
    assert len(here.shelf(CONFIG)) == 0
    assert again.get(_entry(0).facts.sha256) is None


def test_runs_that_write_merge_and_read_at_once_lose_nothing(tmp_path):
    def run(first: int) -> bool:
        shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
        numbers = range(first, first + 2 * COMPACT_ABOVE)
        for number in numbers:
            shelf.put([_entry(number)])
        return all(_same(shelf.get(_entry(number).facts.sha256), _entry(number)) for number in numbers)

    step = COMPACT_ABOVE // 2  # so that neighbours compute the same images
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(0, 8 * step, step)))
    again = EmbeddingStore(tmp_path).shelf(CONFIG)
    assert all(
        _same(again.get(_entry(n).facts.sha256), _entry(n)) for n in range(7 * step + 2 * COMPACT_ABOVE)
    )
    assert not list(again.folder.glob("*.damaged"))


def test_threads_may_share_a_shelf(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    count = 4 * COMPACT_ABOVE

    def use(number: int) -> bool:
        shelf.put([_entry(number)])
        return all(_same(shelf.get(_entry(n).facts.sha256), _entry(n)) for n in (number, number // 2, 0))

    shelf.put([_entry(number) for number in range(count // 2)])
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(count)))


_KILLED = """
import os, random, signal, sys, time
sys.path[:0] = sys.argv[1], sys.argv[1] + "/.."
from test_store import COMPACT_ABOVE, CONFIG, EmbeddingStore, _entry
random.seed(0)
for run in range(20):
    source, sink = os.pipe()
    writer = os.fork()
    if writer == 0:
        shelf = EmbeddingStore(sys.argv[2]).shelf(CONFIG)
        for number in range(100_000 * run, 100_000 * (run + 1)):
            shelf.put([_entry(number)])
            os.write(sink, b"%d\\n" % number)
    os.close(sink)
    with open(source) as put:
        for _ in range(random.randint(1, 2 * COMPACT_ABOVE)):  # a slow machine puts as many as a fast one
            print(put.readline(), end="", flush=True)
        time.sleep(random.uniform(0, 0.01))
        os.kill(writer, signal.SIGKILL)
        print(put.read(), end="", flush=True)
    os.waitpid(writer, 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_runs_that_are_killed_at_any_moment_lose_nothing_that_they_had_put(tmp_path, caplog):
    script = [sys.executable, "-c", _KILLED, Path(__file__).parent, tmp_path]
    output = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    put = [int(line) for line in output.split()]
    assert len(put) > 20 * COMPACT_ABOVE / 4, "hardly a merge was hit"
    again = EmbeddingStore(tmp_path).shelf(CONFIG)
    assert all(_same(again.get(_entry(number).facts.sha256), _entry(number)) for number in put)
    assert not caplog.records


@pytest.mark.parametrize("broken", ["before", "after"])
def test_a_merge_that_is_cut_off_loses_nothing(tmp_path, monkeypatch, broken):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    for number in range(COMPACT_ABOVE):
        shelf.put([_entry(number)])
    kept = Path.unlink if broken == "before" else Path.replace

    def stop(path: Path, *arguments, **options):
        if path.suffix == ".parquet" or (broken == "after" and len(_parts(shelf)) > COMPACT_ABOVE):
            raise KeyboardInterrupt
        return kept(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, kept.__name__, stop)
        with pytest.raises(KeyboardInterrupt):
            shelf.put([_entry(COMPACT_ABOVE)])
    for some in (shelf, EmbeddingStore(tmp_path).shelf(CONFIG)):
        assert all(_same(some.get(_entry(n).facts.sha256), _entry(n)) for n in range(COMPACT_ABOVE + 1))
    shelf.put([_entry(COMPACT_ABOVE + 1)])
    assert len(_parts(shelf)) <= 2


def test_what_a_killed_run_left_half_written_goes_in_time(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    shelf.put([_entry(0)])
    old, young = shelf.folder / "old.tmp", shelf.folder / "young.tmp"
    for file in (old, young):
        file.write_bytes(b"PAR1")
    os.utime(old, (time.time() - 2 * ABANDONED_S,) * 2)
    for number in range(1, COMPACT_ABOVE + 1):
        shelf.put([_entry(number)])
    assert not old.exists()
    assert young.exists()
    os.utime(young, (time.time() - 2 * ABANDONED_S,) * 2)
    lost = tmp_path / "pseudonym.key.0123.tmp"
    lost.touch()
    os.utime(lost, (time.time() - 2 * ABANDONED_S,) * 2)
    EmbeddingStore(tmp_path).shelf(CONFIG)
    assert not young.exists()
    assert not lost.exists()


def test_a_half_written_part_is_not_read(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    shelf.put([_entry(1)])
    (shelf.folder / "part-0123.parquet.tmp").write_bytes(b"PAR1 and no more")
    assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 1


def test_the_key_is_drawn_once_and_kept_from_other_users(tmp_path):
    key = EmbeddingStore(tmp_path).key
    assert len(key) == 32
    assert EmbeddingStore(tmp_path).key == key
    assert EmbeddingStore(tmp_path / "other").key != key
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "pseudonym.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "ab", "z" * 64, "ü" * 64])
def test_a_damaged_key_is_an_error_and_not_a_new_key(tmp_path, content):
    (tmp_path / "pseudonym.key").write_text(content, encoding="utf-8")
    with pytest.raises(EmbeddingError, match="damaged"):
        _ = EmbeddingStore(tmp_path).key


def test_an_editors_newline_after_the_key_does_no_harm(tmp_path):
    key = EmbeddingStore(tmp_path).key
    (tmp_path / "pseudonym.key").write_text(key.hex() + "\n")
    assert EmbeddingStore(tmp_path).key == key


def test_a_key_that_is_missing_beside_embeddings_is_an_error(tmp_path):
    EmbeddingStore(tmp_path).shelf(CONFIG).put([_entry(1)])
    with pytest.raises(EmbeddingError, match="is missing"):
        _ = EmbeddingStore(tmp_path).key


def test_many_runs_that_start_at_once_agree_on_the_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: EmbeddingStore(tmp_path).key, range(32)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pseudonym.key"]


@pytest.mark.parametrize("error", [PermissionError(1, "not permitted"), OSError(95, "not supported")])
def test_a_file_system_without_hard_links_keeps_a_key_too(tmp_path, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "link", refuse)
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: EmbeddingStore(tmp_path).key, range(32)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pseudonym.key"]
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "pseudonym.key").stat().st_mode) == 0o600


def test_a_full_disk_leaves_no_half_key(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    for name in ("link", "write"):
        monkeypatch.setattr(os, name, full)
    with pytest.raises(OSError, match="No space left"):
        _ = EmbeddingStore(tmp_path).key
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such a folder cannot be made there")
def test_a_store_whose_name_is_no_unicode_is_a_store(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    assert EmbeddingStore(folder).key == EmbeddingStore(folder).key
    EmbeddingStore(folder).shelf(CONFIG).put([_entry(1)])
    assert EmbeddingStore(folder).shelf(CONFIG).get(_entry(1).facts.sha256)


def test_two_runs_that_write_the_same_part_do_not_trip_over_each_other(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: EmbeddingStore(tmp_path).shelf(CONFIG).put([_entry(1)]), range(64)))
    assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 1
    assert not list(shelf.folder.glob("*.tmp"))


def _with(table: pa.Table, column: int, value: object, kind: pa.DataType) -> pa.Table:
    field = pa.field(table.schema.names[column], kind, table.schema[column].nullable or value is None)
    return table.set_column(column, field, pa.array([value], kind))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: _with(table, 10, np.full(6, np.nan, "f4").tobytes(), pa.binary(24)),
        lambda table: _with(table, 1, "no hash", pa.string()),
    ],
)
def test_a_part_of_nonsense_is_set_aside(tmp_path, spoil, caplog):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    shelf.put([_entry(1)])
    part = next(shelf.folder.glob("part-*.parquet"))
    pq.write_table(spoil(pq.read_table(part)), part)
    again = EmbeddingStore(tmp_path).shelf(CONFIG)
    assert again.get(_entry(1).facts.sha256) is None
    assert len(again) == 0
    assert "Set aside" in caplog.text
    assert not part.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns("warnings"),
        lambda table: table.drop_columns("embedding"),
        lambda table: table.append_column("kind", pa.array([None], pa.string())),
        lambda table: _with(table, 8, bytes(8), pa.binary(8)),
        lambda table: _with(table, 8, None, pa.binary(24)),
        lambda table: _with(table, 6, None, pa.list_(pa.string())),
    ],
)
def test_parts_of_another_version_are_left_alone_and_that_is_said_once(tmp_path, change, caplog):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    for number in (1, 2, 3):
        shelf.put([_entry(number)])
    before = {}
    for number, part in enumerate(_parts(shelf)[:2]):
        pq.write_table(change(pq.read_table(part)), part)
        foreign = part.rename(part.with_name(f"part-{number:016x}.parquet"))  # names tell schemas apart
        before[foreign] = foreign.read_bytes()
    again = EmbeddingStore(tmp_path).shelf(CONFIG)
    assert len(again) == 1
    assert len(caplog.records) == 1
    assert "left alone" in caplog.text
    for number in range(1, COMPACT_ABOVE + 10):  # those two are computed again, and all are merged
        again.put([_entry(number)])
    assert all(part.read_bytes() == content for part, content in before.items())
    assert len(caplog.records) == 1


def test_that_the_store_was_filled_by_another_version_is_said_once(tmp_path, caplog):
    store = EmbeddingStore(tmp_path)
    old = store.shelf({key: CONFIG[key] for key in ("backbone", "embedding_dim")})
    old.put([_entry(1)])
    shelf = store.shelf(CONFIG)
    assert caplog.text.count("Another version of this course") == 1
    shelf.put([_entry(1)])
    store.shelf(CONFIG)
    store.shelf({**CONFIG, "precision": "bf16"})
    EmbeddingStore(tmp_path / "other").shelf(CONFIG)
    assert len(caplog.records) == 2, "once for each configuration that starts anew"
    assert len(old) == 1


def test_a_part_that_cannot_be_opened_now_is_left_where_it_is(tmp_path, caplog, monkeypatch):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    shelf.put([_entry(1)])
    with monkeypatch.context() as patch:
        patch.setattr(
            pa, "OSFile", lambda path: (_ for _ in ()).throw(PermissionError(13, f"denied: {path}"))
        )
        assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 0
    assert "cannot be read now" in caplog.text
    assert str(tmp_path) not in caplog.text
    assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 1


LARGE = {"backbone": "resnet50", "embedding_dim": 2048}


@pytest.fixture(scope="module")
def archives():
    """A folder with two shelves of entries of real size, `LARGE` with "files" 1000 and 10 000."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for files in (1000, 10_000):
            shelf = EmbeddingStore(folder).shelf({**LARGE, "files": files})
            for first in range(0, files, 200):
                shelf.put([_large_entry(number, random) for number in range(first, first + 200)])
        yield folder


def _large_entry(number: int, random: np.random.Generator) -> Entry:
    vector = random.normal(size=2048).astype(np.float32)
    facts = Facts(f"img-{number}", f"{number:064x}", "p", "CC", "L", "window", ())
    return Entry(facts, random.bytes(6000), vector)


_PEAK = """
import re, sys
from pathlib import Path
sys.path[:0] = sys.argv[1], sys.argv[1] + "/.."
from test_store import LARGE, EmbeddingStore
for files in (1000, 10_000):
    shelf = EmbeddingStore(sys.argv[2]).shelf({**LARGE, "files": files})
    assert all(shelf.get(f"{number:064x}") for number in range(files))
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_ten_thousand_entries_take_hardly_more_memory_than_one_thousand(archives):
    script = [sys.executable, "-c", _PEAK, Path(__file__).parent, archives]
    output = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout
    few, many = (int(line) / 1024 for line in output.split())
    print(f"peak {few:.0f} MB for 1000 entries, {many:.0f} MB for 10 000")
    assert many < 1.05 * few
    assert many - few < 12  # an index; the entries themselves are 140 MB


@pytest.mark.parametrize(("order", "seconds"), [("sequential", 0.2), ("shuffled", 1.2)])
def test_entries_are_found_fast_in_any_order(archives, order, seconds):
    numbers = np.arange(4000)
    if order == "shuffled":
        np.random.default_rng(0).shuffle(numbers)
    clock = time.process_time()  # of this process: whatever else runs on the machine
    shelf = EmbeddingStore(archives).shelf({**LARGE, "files": 10_000})
    for number in numbers:
        assert shelf.get(f"{number:064x}").facts.image_id == f"img-{number}"
    taken = time.process_time() - clock
    print(f"{taken:.2f} s for {len(numbers)} entries, {order}")
    assert taken < patience(seconds)
