import logging
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from course_utils.embedding import EmbeddingError, EmbeddingStore
from course_utils.embedding.store import COMPACT_ABOVE, Entry

CONFIG = {"backbone": "resnet50", "embedding_dim": 6, "precision": "fp32"}


def _entry(number: int) -> Entry:
    vector = np.random.default_rng(number).normal(size=6).astype(np.float32)
    return Entry(f"{number:064x}", f"img-{number}", None, "CC", "L", "window", ("odd",), b"png", vector)


def _same(one: Entry, other: Entry) -> bool:
    plain = [{**vars(entry), "embedding": None} for entry in (one, other)]
    return plain[0] == plain[1] and np.array_equal(one.embedding, other.embedding)


def test_what_was_put_is_found_again_by_another_process_s_store(tmp_path):
    EmbeddingStore(tmp_path).shelf(CONFIG).put([_entry(1), _entry(2)])
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    assert len(shelf) == 2
    assert _same(shelf.get(_entry(2).sha256), _entry(2))
    assert shelf.get(_entry(3).sha256) is None


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
    data[data.index(b"img-")] ^= 0xFF  # one bit pattern inside a page: only its checksum can tell
    flipped.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 1
    assert len(caplog.records) == 2
    assert str(tmp_path) not in caplog.text
    assert len(list(shelf.folder.glob("*.damaged"))) == 2


def test_many_parts_become_one_and_nothing_is_lost(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    count = COMPACT_ABOVE + 5
    for number in range(count):
        shelf.put([_entry(number)])
    shelf.compact()
    assert len(list(shelf.folder.glob("part-*.parquet"))) == 1
    again = EmbeddingStore(tmp_path).shelf(CONFIG)
    assert all(_same(again.get(_entry(number).sha256), _entry(number)) for number in range(count))


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


def test_two_runs_that_write_the_same_part_do_not_trip_over_each_other(tmp_path):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: EmbeddingStore(tmp_path).shelf(CONFIG).put([_entry(1)]), range(64)))
    assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 1
    assert not list(shelf.folder.glob("*.tmp"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.drop_columns("warnings"),
        lambda table: table.drop_columns("embedding"),
        lambda table: table.set_column(8, "embedding", pa.array([[1.0, 2.0]], pa.list_(pa.float32()))),
        lambda table: table.set_column(8, "embedding", pa.array([[np.nan] * 6], pa.list_(pa.float32()))),
        lambda table: table.set_column(8, "embedding", pa.array([None], pa.list_(pa.float32()))),
    ],
)
def test_a_foreign_part_is_set_aside(tmp_path, spoil, caplog):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    shelf.put([_entry(1)])
    part = next(shelf.folder.glob("part-*.parquet"))
    pq.write_table(spoil(pq.read_table(part)), part)
    assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 0
    assert "Set aside" in caplog.text
    assert not part.exists()


def test_a_part_that_cannot_be_opened_now_is_left_where_it_is(tmp_path, caplog, monkeypatch):
    shelf = EmbeddingStore(tmp_path).shelf(CONFIG)
    shelf.put([_entry(1)])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(PermissionError(13, "denied")))
        assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 0
    assert "cannot be read now" in caplog.text
    assert len(EmbeddingStore(tmp_path).shelf(CONFIG)) == 1
