"""What is known of an image is said once, in `records.Facts`: every schema follows."""

import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import course_utils
from course_utils import records
from course_utils.embedding import EmbeddingStore
from course_utils.imaging import Mammogram
from course_utils.records import Entry, Facts, Failure
from course_utils.runs.folder import RunFolder, RunInMemory

FACTS = Facts("img-1", "ab" * 32, None, "CC", "L", "window:LINEAR", ("odd", "odder"))


def test_facts_come_back_from_the_row_of_any_table_made_of_them():
    row = {**vars(FACTS), "warnings": ["odd", "odder"], "cluster": 3}
    assert Facts.from_row(row) == FACTS


def test_every_fact_but_the_hash_has_the_name_that_a_mammogram_gives_it():
    assert {each.name for each in fields(Facts)} - {"sha256"} <= set(Mammogram.__dataclass_fields__)


def test_each_column_has_the_type_of_its_field():
    schema = pa.schema(records.arrow_fields(records.table_columns()))
    assert schema.field("view") == pa.field("view", pa.string(), nullable=True)
    assert schema.field("voi") == pa.field("voi", pa.string(), nullable=False)
    assert schema.field("warnings") == pa.field("warnings", pa.list_(pa.string()), nullable=False)


def test_the_promised_columns_come_in_the_promised_order():
    assert records.identity_columns() == [
        "image_id",
        "file",
        "sha256",
        "patient_key",
        "view",
        "laterality",
        "kind",
        "modifiers",
    ]
    assert records.rendering_columns() == ["voi", "warnings"]
    assert records.failure_columns() == ["file", "stage", "reason"]
    assert [*records.COMPARED] == ["view", "laterality", "kind", "modifiers", "patient_key"]
    assert records.WHERE_IT_VARIES == ["kind", "modifiers"]


def test_a_failure_has_its_fields_for_columns():
    run = RunInMemory(3)
    run.add("a.dcm", Failure("read", "why"))
    assert run.finish(record=None).failures.to_dict("records") == [
        {"file": "a.dcm", "stage": "read", "reason": "why"}
    ]


ROUND_TRIP = """
import sys
from dataclasses import fields
import numpy as np
from course_utils.embedding import EmbeddingStore
from course_utils.provenance import RunRecord
from course_utils.records import Entry, Facts
from course_utils.runs import Extraction, RunFolder, read_run

facts = Facts("i", "ab" * 32, None, "CC", "L", "window", ("odd",), NEW_VALUES)
entry = Entry(facts, b"", np.ones(3, np.float32))
config = {"backbone": "b", "embedding_dim": 3}
EmbeddingStore(sys.argv[1]).shelf(config).put([entry])
assert EmbeddingStore(sys.argv[1]).shelf(config).get(facts.sha256).facts == facts
with RunFolder(sys.argv[1] + "/out", 3) as run:
    run.add("a.dcm", entry)
    run.finish(RunRecord(**{each.name: None for each in fields(RunRecord)}))
written = Extraction.read(sys.argv[1] + "/out")
assert Facts.from_row(written.table.iloc[0]) == facts, written.table
assert "maker" in read_run(sys.argv[1] + "/out").table
written.write(sys.argv[1] + "/again")
assert Extraction.read(sys.argv[1] + "/again").table.equals(written.table)
"""


def test_a_new_field_of_an_image_is_one_line_and_goes_everywhere(tmp_path):
    package = shutil.copytree(Path(course_utils.__file__).parent, tmp_path / "course_utils")
    source = (package / "records.py").read_text()
    last = '    modifiers: tuple[str, ...] = field(default=(), metadata={"compared": "where it varies"})\n'
    new = "    maker: str | None = None\n    dose: float | None = None\n    findings: tuple[str, ...] = ()\n"
    assert last in source
    (package / "records.py").write_text(source.replace(last, last + new))
    script = ROUND_TRIP.replace("NEW_VALUES", '"film", ("magnification",), "a", 1.5, ("mass",)')
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("write", ["store", "run folder"])
def test_what_is_written_has_a_column_per_fact(tmp_path, write):
    entry = Entry(FACTS, b"", np.ones(3, np.float32))
    if write == "store":
        EmbeddingStore(tmp_path).shelf({"backbone": "b", "embedding_dim": 3}).put([entry])
    else:
        with RunFolder(tmp_path, 3) as run:
            run.add("a.dcm", entry)
            run.finish(_Unwritten())
    columns = [set(pa.parquet.read_schema(file).names) for file in tmp_path.rglob("*.parquet")]
    assert {each.name for each in fields(Facts)} <= set.union(*columns)


class _Unwritten:
    """A record that is not written."""

    def write(self, path: Path) -> None:
        path.touch()
