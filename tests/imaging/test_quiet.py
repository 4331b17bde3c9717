"""What pydicom, imagecodecs and Pillow say while they read is neither printed nor logged, in any thread."""

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from pydicom.uid import (
    JPEG2000Lossless,
)

from course_utils.imaging import MammogramError, read_mammogram


def test_what_pydicom_warns_of_is_neither_printed_nor_quoted(write_mammogram, capfd):
    path = write_mammogram(SOPInstanceUID="1.2.3.4711")
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4711", b"1.2.3.0815"))  # no part may begin with a zero
    with pytest.warns(UserWarning, match="0815"):
        pydicom.dcmread(path).SOPInstanceUID
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        got = read_mammogram(path)
    assert seen == []
    assert capfd.readouterr() == ("", "")
    assert got.warnings == ("The file departs from the DICOM standard in ways that do not hinder reading.",)


def broken_jpeg_2000(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\x52", data.index(b"\xff\x4f\xff\x51"))
    data[at + 5] = 0xFF  # the order of its packets, of which there are five
    path.write_bytes(data)
    return path


def test_what_the_libraries_log_while_reading_goes_nowhere_and_outside_it_still_does(
    write_mammogram, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(pydicom.config, "debugging", True)
    caplog.set_level(logging.DEBUG)
    for name in ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils"):
        caplog.set_level(logging.DEBUG, logger=name)
    named = write_mammogram(name="named.dcm", PatientID="DOE^JANE 1947-07-13 ")
    named.write_bytes(named.read_bytes().replace(b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00UI"))
    broken = broken_jpeg_2000(write_mammogram(name="broken.dcm", syntax=JPEG2000Lossless))
    caplog.clear()

    def read_both(_: int) -> None:
        assert read_mammogram(named).patient_key
        with pytest.raises(MammogramError, match="cannot be decoded"):
            read_mammogram(broken)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_both, range(8)))
    mine = ("course_utils.imaging.decode", logging.DEBUG)
    assert {(name, level) for name, level, _ in caplog.record_tuples} == {mine}
    assert not any(record.exc_info for record in caplog.records)
    for value in ("DOE", "1947", str(tmp_path), "site-packages", "Traceback"):
        assert value not in caplog.text

    with pytest.raises(RuntimeError):
        pydicom.pixels.pixel_array(broken)
    pydicom.dcmread(named)
    assert "1947" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_what_pillow_logs_of_a_picture_s_tags_goes_nowhere(breast, tmp_path, caplog, name):
    tags = Image.Exif()
    tags[315] = "DOE^JANE 1947-07-13"  # Artist
    Image.fromarray((breast >> 4).astype(np.uint8)).save(tmp_path / name, exif=tags)
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    with Image.open(tmp_path / name) as picture:
        picture.getexif()
    assert "DOE" in caplog.text
    caplog.clear()
    assert read_mammogram(tmp_path / name).kind == "picture"
    assert not caplog.records


def test_many_threads_read_the_same_pixels_and_leave_the_warning_filters_alone(write_mammogram):
    paths = [write_mammogram(name=f"{n}.dcm") for n in range(8)] * 4
    before = list(warnings.filters), warnings.showwarning
    alone = read_mammogram(paths[0]).pixels
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(read_mammogram, paths):
            assert_array_equal(got.pixels, alone)
    assert (list(warnings.filters), warnings.showwarning) == before
