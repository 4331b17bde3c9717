"""Headers: what is read of them, and what is refused before it is parsed."""

import struct
import time

import pydicom
import pytest
from calibration import patience
from numpy.testing import assert_allclose
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
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


@pytest.mark.parametrize("written", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_label_that_names_another_encoding_of_the_header_is_not_believed(write_mammogram, breast, written):
    said = ({ImplicitVRLittleEndian, ExplicitVRLittleEndian} - {written}).pop()
    path = write_mammogram(syntax=written)
    ours, theirs = (f"{uid}\0".encode()[: len(uid) + len(uid) % 2] for uid in (written, said))
    data, meta = path.read_bytes(), pydicom.filereader.read_file_meta_info(path)
    # Lengths differ (1.2.840.10008.1.2 and …1.2.1), and so does that of the label.
    label = b"\x02\x00\x10\x00UI"
    at = data.index(label)
    data = data[: at + 6] + struct.pack("<H", len(theirs)) + theirs + data[at + 8 + len(ours) :]
    grown = meta.FileMetaInformationGroupLength + len(theirs) - len(ours)
    path.write_bytes(data[:140] + struct.pack("<I", grown) + data[144:])
    assert pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == said
    got = read_mammogram(path)
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)
    assert [each for each in got.warnings if "the bytes told" in each]


def test_a_file_without_preamble_is_read_if_the_length_of_its_label_fits(write_mammogram, breast):
    path = write_mammogram()
    bare = path.read_bytes()[132:]
    path.write_bytes(bare)
    assert_allclose(read_mammogram(path).pixels, breast / 4095, atol=1e-6)
    path.write_bytes(bare[:8] + struct.pack("<I", 7) + bare[12:])
    with pytest.raises(MammogramError, match=r"^This is not a DICOM file\.$"):
        read_mammogram(path)


@pytest.mark.parametrize("photometric", ["monochrome2", "Monochrome1 "])
def test_small_letters_and_an_empty_number_of_samples_make_no_picture_coloured(write_mammogram, photometric):
    path = write_mammogram(PhotometricInterpretation=photometric, PresentationLUTShape=None)
    ds = pydicom.dcmread(path)
    ds.SamplesPerPixel = None
    ds.save_as(path)
    assert read_mammogram(path).view == "CC"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.keyword)
def test_pixels_of_no_length_are_none(write_mammogram, syntax):
    path = write_mammogram(syntax=syntax)
    ds = pydicom.dcmread(path)
    offsets = b"\xfe\xff\x00\xe0" + bytes(4)  # and no frame
    ds.PixelData = offsets + b"\xfe\xff\xdd\xe0" + bytes(4) if syntax.is_compressed else b""
    ds.save_as(path)
    with pytest.raises(MammogramError, match=r"^This DICOM file holds no pixels\.$"):
        read_mammogram(path)
