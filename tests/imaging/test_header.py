"""Headers: what is read of them, and what is refused before it is parsed."""

import time

import pydicom
import pytest
from calibration import patience
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from course_utils.imaging import MammogramError, read_mammogram
from course_utils.imaging.header import read_header


def test_what_is_deflated_is_refused_before_it_is_inflated(write_mammogram, monkeypatch):
    path = write_mammogram(syntax=DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr("zlib.decompress", lambda *a, **k: pytest.fail("inflated"))
    with pytest.raises(MammogramError, match="deflated"):
        read_mammogram(path)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"])
def test_a_list_in_place_of_a_number_is_refused_before_it_is_multiplied(write_mammogram, keyword):
    path = write_mammogram()
    ds = pydicom.dcmread(path)
    ds.add_new(keyword, "US", [16] * 300)
    ds.save_as(path)
    with pytest.raises(MammogramError, match=f"{keyword} is missing or is not a whole number"):
        read_mammogram(path)


def test_an_absurdly_long_value_is_refused_unparsed(write_mammogram):
    path = write_mammogram(syntax=ImplicitVRLittleEndian)
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x50\x10")
    value = b"1\\" * 100_000
    end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    path.write_bytes(data[:at] + data[at : at + 4] + len(value).to_bytes(4, "little") + value + data[end:])
    with pytest.raises(MammogramError, match="absurdly long"):
        read_mammogram(path)


@pytest.mark.parametrize("tag", [b"\x28\x00\x10\x30", b"\x28\x00\x45\x91"], ids=["read", "skipped"])
def test_a_header_without_end_is_refused_soon(write_mammogram, tag):
    path = write_mammogram(syntax=ImplicitVRLittleEndian)
    data = path.read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00")
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(data[:at] + tag + b"\xff" * 4 + items + data[at:])
    start = time.perf_counter()
    with pytest.raises(MammogramError, match="damaged"):
        read_mammogram(path)
    assert time.perf_counter() - start < patience(3)  # it takes 1 s; 30 s and 800 MB, if all of it is read


def test_what_is_not_needed_of_a_header_is_not_read(write_mammogram):
    path = write_mammogram()
    with path.open("rb") as file:
        header = read_header(file)
    assert "PatientID" in header
    assert not {"PatientName", "PatientBirthDate", "AccessionNumber"} & set(header.dir())
