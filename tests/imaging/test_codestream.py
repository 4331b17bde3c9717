"""Compressed streams that contradict their header, lack a part or take absurd memory are refused."""

import contextlib
import time

import numpy as np
import pydicom
import pytest
from calibration import patience
from numpy.testing import assert_allclose, assert_array_equal
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from streams import COMPRESSED, JPEG_LS, WITH_HEADER

from course_utils.imaging import MammogramError, read_mammogram


def header_at(stream):
    """Return where the height is in a JPEG, JPEG-LS or JPEG 2000 stream, and in how many bytes."""
    if stream[:4] == b"\xff\x4f\xff\x51":
        return 12, 4
    at = next(at for mark in (b"\xc0", b"\xc1", b"\xc3", b"\xf7") if (at := stream.find(b"\xff" + mark)) > 0)
    return at + 5, 2


def with_rows(stream, rows):
    at, width = header_at(stream)
    return stream[:at] + rows.to_bytes(width, "big") + stream[at + width :]


def with_components(stream, count):
    at = 41 if header_at(stream)[1] == 4 else header_at(stream)[0] + 4
    return stream[:at] + bytes([count]) + stream[at + 1 :]


def with_precision(stream, bits):
    at, value = (42, bits - 1) if header_at(stream)[1] == 4 else (header_at(stream)[0] - 1, bits)
    return stream[:at] + bytes([value]) + stream[at + 1 :]


def wrapped_in_jp2(stream):
    def box(kind, content):
        return (len(content) + 8).to_bytes(4, "big") + kind + content

    size = (300).to_bytes(4, "big") + (240).to_bytes(4, "big") + b"\0\1\x0b\7\0\0"
    header = box(b"jp2h", box(b"ihdr", size) + box(b"colr", b"\1\0\0\0\0\0\x11"))
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + header + box(b"jp2c", stream)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.keyword)
def test_fragments_and_offset_tables_change_nothing(compressed, breast, syntax):
    for fragments, has_bot in ((1, True), (1, False), (3, True), (4, False)):
        got = read_mammogram(compressed(syntax, fragments=fragments, has_bot=has_bot))
        assert_allclose(got.pixels, breast / 4095, atol=1e-7)
        assert got.warnings == ()


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless], ids=lambda uid: uid.keyword)
def test_a_stream_in_the_wrapping_of_a_jp2_file_is_read(compressed, breast, syntax):
    assert_allclose(read_mammogram(compressed(syntax, wrapped_in_jp2)).pixels, breast / 4095, atol=1e-7)


@pytest.mark.parametrize("syntax", WITH_HEADER, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda stream: with_rows(stream, 12000), "another size than Rows and Columns"),
        (lambda stream: with_rows(stream, 299), "another size than Rows and Columns"),
        (lambda stream: with_rows(stream, 0), "another size than Rows and Columns"),
        (lambda stream: with_components(stream, 3), "colour image"),
        (lambda stream: with_precision(stream, 24), "more bits per pixel than BitsAllocated"),
        (lambda stream: b"\xff" + stream, "do not begin as"),
        (lambda stream: b"\0\0", "do not begin as"),
        (lambda stream: stream[:10], "do not begin as"),
        (lambda stream: bytes(5000), "do not begin as"),
    ],
    ids=["larger", "smaller", "open", "colour", "precision", "shifted", "empty", "short", "zeros"],
)
def test_a_stream_that_contradicts_the_header_is_refused_undecoded(
    compressed, monkeypatch, syntax, change, words
):
    path = compressed(syntax, change)
    monkeypatch.setattr(
        "pydicom.pixels.decoders.base.Decoder.as_array", lambda *a, **k: pytest.fail("decoded")
    )
    with pytest.raises(MammogramError, match=words):
        read_mammogram(path)


@pytest.mark.parametrize("claimed", WITH_HEADER, ids=lambda uid: uid.keyword)
def test_a_stream_of_another_kind_than_its_syntax_says_is_refused(compressed, claimed):
    other = JPEG2000Lossless if claimed in (JPEGLossless, JPEGLosslessSV1, JPEGLSLossless) else JPEGLossless
    path = compressed(other)
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = claimed
    ds.save_as(path)
    with pytest.raises(MammogramError, match="do not begin as"):
        read_mammogram(path)


@pytest.mark.parametrize("change", [b"\3", b"\0", b"\xff"], ids=str)
def test_an_rle_frame_with_the_wrong_number_of_segments_is_refused(compressed, change):
    with pytest.raises(MammogramError, match=r"RLE|more bits|cannot be decoded"):
        read_mammogram(compressed(RLELossless, lambda frame: change + frame[1:]))


def with_coding(stream, *, blocks=None, precincts=None):
    """Return a JPEG 2000 stream that claims another size of its code blocks or precincts."""
    at = stream.index(b"\xff\x52")
    cod = bytearray(stream[at : at + 14])
    end = at + 2 + int.from_bytes(cod[2:4], "big")
    if blocks is not None:
        cod[10:12] = bytes([blocks - 2, blocks - 2])
    if precincts is not None:
        cod[4] |= 1
        sizes = bytes([precincts * 17] * (cod[9] + 1))
        cod[2:4] = (12 + len(sizes)).to_bytes(2, "big")
        cod += sizes
    return stream[:at] + bytes(cod) + stream[end:]


@pytest.mark.parametrize("change", [{"blocks": 2}, {"precincts": 0}], ids=str)
def test_jpeg_2000_in_blocks_that_take_gigabytes_is_refused_undecoded(compressed, monkeypatch, change):
    path = compressed(JPEG2000Lossless, lambda stream: with_coding(with_rows(stream, 5000), **change))
    ds = pydicom.dcmread(path)
    ds.Rows = 5000
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.save_as(path)
    monkeypatch.setattr("course_utils.imaging.codestream.MAX_BLOCKS", 50_000)
    monkeypatch.setattr(
        "pydicom.pixels.decoders.base.Decoder.as_array", lambda *a, **k: pytest.fail("decoded")
    )
    with pytest.raises(MammogramError, match="do not begin as"):
        read_mammogram(path)


@pytest.mark.parametrize("syntax", WITH_HEADER, ids=lambda uid: uid.keyword)
def test_a_stream_without_its_end_is_read_with_a_warning_or_refused(compressed, syntax):
    path = compressed(syntax, lambda stream: stream[: len(stream) * 3 // 4])
    start = time.perf_counter()
    with contextlib.suppress(MammogramError):
        assert "no end mark" in read_mammogram(path).warnings[0]
    assert time.perf_counter() - start < patience(1)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG2000Lossless, HTJ2KLossless], ids=lambda uid: uid.keyword)
def test_a_stream_that_lacks_its_middle_but_has_its_end_is_refused(compressed, syntax, keep):
    path = compressed(syntax, lambda stream: stream[: int(len(stream) * keep)] + b"\xff\xd9")
    with pytest.raises(MammogramError, match="cannot be decoded"):
        read_mammogram(path)


@pytest.mark.parametrize("syntax", WITH_HEADER, ids=lambda uid: getattr(uid, "keyword", "JPEGLSLossless"))
def test_zeros_behind_the_end_mark_are_no_damage(compressed, breast, syntax):
    got = read_mammogram(compressed(syntax, lambda frame: frame + bytes(64)), voi="none")
    assert_array_equal(np.rint(got.pixels * 4095), breast)
    assert not got.warnings
