"""Pixels come back as they were stored: every transfer syntax, width and sign, unused bits and padding."""

import io
import itertools
import subprocess
import sys
import time
import tracemalloc
from threading import Thread
from types import SimpleNamespace

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from streams import COMPRESSED, JPEG_LS

from course_utils.doctor import SYNTAXES, examine
from course_utils.imaging import MammogramError, decode, read_mammogram
from course_utils.imaging.decode import PLUGIN
from course_utils.phantoms.files import compress_rle


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        RLELossless,
        JPEG_LS,
        JPEG2000Lossless,
    ],
    ids=lambda uid: uid.name,
)
def test_every_lossless_transfer_syntax_gives_the_same_pixels(write_mammogram, breast, syntax):
    data = breast.astype(">u2") if syntax == ExplicitVRBigEndian else breast
    got = read_mammogram(write_mammogram(data, syntax=syntax))
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)


def test_8_bit_pixels_are_read(write_mammogram, breast):
    small = (breast >> 4).astype(np.uint8)
    got = read_mammogram(write_mammogram(small, bits=8, WindowCenter=128, WindowWidth=256))
    assert_allclose(got.pixels, small / 255, atol=1e-6)


def test_padding_written_unsigned_is_understood_in_signed_pixels(write_mammogram, breast):
    pixels = breast.astype(np.int16)
    pixels[:, -20:] = -2000
    path = write_mammogram(pixels, bits=16, WindowCenter=0, WindowWidth=8192)
    ds = pydicom.dcmread(path)
    ds.add_new("PixelPaddingValue", "US", 65536 - 2000)
    ds.save_as(path)
    assert not read_mammogram(path).pixels[:, -20:].any()


def test_bits_above_bits_stored_are_cleared_with_a_warning(write_mammogram, breast):
    overlaid = breast | np.uint16(0x8000)
    got = read_mammogram(write_mammogram(overlaid))
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)
    assert any("overlay" in sentence for sentence in got.warnings)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG_LS, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_values_of_any_width_come_back_signed_or_not(write_mammogram, breast, syntax, bits, signed):
    pixels = (breast << 4) >> (16 - bits)
    if signed:
        pixels = pixels.astype(int) - 2 ** (bits - 1)
    stored = pixels.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    got = read_mammogram(write_mammogram(stored, bits=bits, syntax=syntax), voi="none").pixels
    assert_array_equal(np.rint(got * (2**bits - 1)), pixels - pixels.min())


@pytest.mark.parametrize("options", [{}, {"tile": (64, 100)}, {"tile": (64, 100), "tilepart": 1}], ids=str)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_htj2k_in_tiles_and_tile_parts_comes_back_signed_or_not(compressed, breast, options, signed):
    stored = breast.astype(np.int16) - 2048 if signed else breast
    path = compressed(
        HTJ2KLossless,
        lambda _: bytes(imagecodecs.htj2k_encode(stored, reversible=True, **options)),
        PixelRepresentation=int(signed),
    )
    assert_array_equal(np.rint(read_mammogram(path, voi="none").pixels * 4095), breast)


@pytest.mark.parametrize("order", ["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"])
@pytest.mark.parametrize("tile", [None, (64, 100)], ids=str)
def test_tiles_and_the_order_of_packets_change_nothing_in_jpeg_2000(compressed, breast, tile, order):
    narrow = (breast >> 4).astype(np.uint8)
    encoded = io.BytesIO()
    options = {"tile_size": tile, "progression": order, "num_resolutions": 3, "no_jp2": True}
    Image.fromarray(narrow).save(
        encoded, "JPEG2000", quality_layers=[8, 2, 0], quality_mode="rates", **options
    )
    path = compressed(JPEG2000Lossless, lambda _: encoded.getvalue(), bits=8)
    assert_array_equal(np.rint(read_mammogram(path, voi="none").pixels * 255), narrow)


def test_rle_is_unpacked_no_further_than_its_pixels(compressed, breast):
    runs = b"\x81\x07" * (breast.size // 2)  # of 128 bytes each: 64 times as much as there are pixels

    def bomb(frame):
        header = np.array([2, 64, 64 + len(runs), *[0] * 13], "<u4")
        return header.tobytes() + runs + runs

    path = compressed(RLELossless, bomb)
    tracemalloc.start()
    with pytest.raises(MammogramError, match="cannot be decoded"):
        read_mammogram(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * breast.size  # and not 64


@pytest.mark.parametrize("syntax", [*COMPRESSED, JPEG2000, JPEGLSNearLossless], ids=lambda uid: uid.keyword)
def test_without_its_decoder_a_file_is_refused_by_the_name_of_syntax_and_package(
    write_mammogram, monkeypatch, syntax
):
    path = write_mammogram()
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([b"\0\0"])
    ds.save_as(path)
    monkeypatch.delitem(get_decoder(syntax)._available, PLUGIN)
    with pytest.raises(MammogramError) as refusal:
        read_mammogram(path)
    assert syntax.name in str(refusal.value)
    assert str(refusal.value).endswith("pip install imagecodecs")
    cheap = itertools.takewhile(lambda check: not check.sentence.startswith("decoders:"), examine())
    doctor = [check.sentence for check in cheap if "cannot be decoded" in check.sentence]
    assert len(doctor) == (syntax in SYNTAXES)
    assert all(sentence.endswith("pip install imagecodecs") for sentence in doctor)


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.4.102", "stored as MPEG-4 AVC/H.264 High Profile / Level 4.1"),
        ("1.2.840.10008.1.2.4.65", "stored as JPEG"),
        ("1.2.840.10008.1.2.1.98", "stored as Encapsulated Uncompressed"),
        ("1.2.826.0.1.3680043.4711", "private or unknown"),
        ("Quisling", "private or unknown"),
    ],
)
def test_a_transfer_syntax_that_is_none_for_mammograms_is_refused(write_mammogram, syntax, words, personal):
    path = write_mammogram()
    path.write_bytes(relabelled(path.read_bytes(), syntax.encode()))
    with pytest.raises(MammogramError, match=words) as refusal:
        read_mammogram(path)
    assert "4711" not in str(refusal.value)
    assert "Quisling" not in str(refusal.value)


def relabelled(data: bytes, syntax: bytes) -> bytes:
    """Return a file with another transfer syntax in its meta information."""
    syntax += b"\0" * (len(syntax) % 2)
    at = data.index(b"\x02\x00\x10\x00UI")
    end = at + 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    length = int.from_bytes(data[140:144], "little") + len(syntax) - (end - at - 8)
    meta = data[:140] + length.to_bytes(4, "little") + data[144 : at + 6]
    return meta + len(syntax).to_bytes(2, "little") + syntax + data[end:]


def test_pixels_whose_compression_is_denied_are_refused(compressed):
    path = compressed(JPEG2000Lossless)
    path.write_bytes(relabelled(path.read_bytes(), b"1.2.840.10008.1.2.1"))
    with pytest.raises(MammogramError, match="compressed, but its transfer syntax denies it"):
        read_mammogram(path)


def test_pixels_that_are_not_compressed_although_the_syntax_says_so_are_refused(write_mammogram):
    path = write_mammogram()
    path.write_bytes(relabelled(path.read_bytes(), b"1.2.840.10008.1.2.4.90"))
    with pytest.raises(MammogramError, match="not compressed, but its transfer syntax says so"):
        read_mammogram(path)


def test_a_file_that_does_not_say_its_transfer_syntax_is_refused(write_mammogram):
    path = write_mammogram()
    path.write_bytes(relabelled(path.read_bytes(), b""))
    with pytest.raises(MammogramError, match="TransferSyntaxUID"):
        read_mammogram(path)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.keyword)
def test_pydicom_itself_decodes_by_our_plugin(compressed, breast, syntax):
    ds = pydicom.dcmread(compressed(syntax))
    got, _ = get_decoder(syntax).as_array(ds, decoding_plugin=PLUGIN)
    assert_array_equal(got, breast)


def test_the_plugin_decodes_what_no_other_is_installed_for():
    code = """if True:
    import sys
    sys.modules.update(dict.fromkeys(["jpeg_ls", "openjpeg", "pylibjpeg", "gdcm", "_CharLS", "_openjpeg"]))
    import pydicom
    from course_utils.imaging.datasets import sample_variants
    odd = {"no_preamble", "lower_case", "label_of_another_encoding"}  # pydicom reads none of them
    for path in sample_variants()["path"]:
        if path.stem not in odd:
            pydicom.dcmread(path).pixel_array
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("function", "encode"),
    [
        ("decode_rle", lambda pixels: rle(pixels)),
        ("decode_jpeg", lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12)),
        ("decode_jpeg_ls", imagecodecs.jpegls_encode),
        ("decode_jpeg_2000", lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="J2K")),
        ("decode_jpeg_2000", lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True)),
    ],
    ids=["RLE", "JPEG", "JPEG-LS", "JPEG 2000", "HTJ2K"],
)
def test_other_threads_run_while_a_picture_is_decoded(function, encode):
    noise = np.random.default_rng(1).normal(2000, 20, (1500, 1500))
    frame = bytes(encode(np.clip(noise, 0, 4095).astype(np.uint16)))
    runner = SimpleNamespace(rows=1500, columns=1500, set_option=lambda *_: None)
    assert any(longest_pause(getattr(decode, function), frame, runner) < 0.5 for _ in range(10))


def longest_pause(function, *arguments):
    """Return for how long this thread stood still while another ran a function, as a part of that time."""
    span, ticks = [], []

    def work():
        span.append(time.perf_counter())
        function(*arguments)
        span.append(time.perf_counter())

    thread = Thread(target=work)
    thread.start()
    while thread.is_alive():
        ticks.append(time.perf_counter())
    begin, end = span
    return np.diff(np.clip([begin, *ticks, end], begin, end)).max() / (end - begin)


def rle(pixels):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.tobytes()
    compress_rle(ds)
    return next(generate_frames(ds.PixelData, number_of_frames=1))


def test_negative_values_of_12_bits_without_the_bits_above_their_sign_are_understood(write_mammogram, breast):
    signed = breast.astype(np.int16) - 2048
    whole = read_mammogram(write_mammogram(signed, name="a.dcm", WindowCenter=0))
    cut = read_mammogram(write_mammogram(signed & 0x0FFF, name="b.dcm", WindowCenter=0))
    assert_array_equal(cut.pixels, whole.pixels)
    assert cut.warnings == ()


def test_a_high_bit_that_contradicts_bits_stored_is_refused_where_it_matters(write_mammogram, breast):
    assert read_mammogram(write_mammogram(HighBit=15)).warnings == ()
    with pytest.raises(MammogramError, match="HighBit"):
        read_mammogram(write_mammogram(breast << 4, HighBit=15))


@pytest.mark.parametrize("limits", [(60000, 60039), (60039, 60000), (60039, None)], ids=str)
def test_padding_outside_of_bits_stored_is_padding_all_the_same(write_mammogram, breast, limits):
    padded = breast.copy()
    padded[:, -40:] = 60039 if limits[1] is None else np.arange(60000, 60040)
    path = write_mammogram(padded, PixelPaddingValue=limits[0], PixelPaddingRangeLimit=limits[1])
    for voi in ("auto", "none", "percentile"):
        got = read_mammogram(path, voi=voi)
        assert not got.pixels[:, -40:].any()
        assert got.warnings == ()
    assert_allclose(read_mammogram(path).pixels[:, :-40], breast[:, :-40] / 4095, atol=1e-6)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.keyword)
def test_padding_in_compressed_pixels_is_background(compressed, breast, syntax):
    padded = breast.copy()
    padded[:, -40:] = 4000
    path = compressed(syntax, pixels=padded, PixelPaddingValue=4000)
    assert not read_mammogram(path).pixels[:, -40:].any()


def test_nothing_but_padding_is_refused(write_mammogram):
    with pytest.raises(MammogramError, match="marked as padding"):
        read_mammogram(write_mammogram(PixelPaddingValue=0, PixelPaddingRangeLimit=4095))


# --- streams that hold more bits than BitsStored says (PS3.5 8.2) ---


def ends_of_the_range(breast, most):
    """Return uint16 `(H, W)` with patches of values next to black, next to white, and edges between them."""
    pixels = (breast.astype(np.int64) * most // 4095).astype(np.uint16)
    pixels[100:140, 20:60] = most - np.arange(40) % 3
    pixels[150:190, 20:60] = np.arange(40) % 3
    pixels[200:240, 20:60] = np.where(np.indices((40, 40)).sum(axis=0) // 4 % 2, most, 0)
    return pixels


def in_a_stream(pixels, syntax, bits):
    """Return a JPEG-family stream of `bits` bits per pixel."""
    if syntax == JPEGLSLossless:
        return bytes(imagecodecs.jpegls_encode(pixels))
    if syntax == JPEG2000Lossless:
        return bytes(
            imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, bitspersample=bits)
        )
    lossless = {"lossless": True, "predictor": 1} if syntax == JPEGLosslessSV1 else {"level": 60}
    return bytes(imagecodecs.jpeg8_encode(pixels, bitspersample=bits, **lossless))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("syntax", "precision", "bits"),
    [
        (JPEGLosslessSV1, 12, 10),
        (JPEGLosslessSV1, 16, 12),
        (JPEGLSLossless, 16, 12),
        (JPEG2000Lossless, 12, 10),
        (JPEG2000Lossless, 16, 12),
    ],
)
def test_a_lossless_stream_of_more_bits_than_bits_stored_keeps_them(
    compressed, breast, syntax, precision, bits, photometric
):
    most = 2**precision - 1
    pixels = ends_of_the_range(breast, most)
    path = compressed(
        syntax,
        lambda _: in_a_stream(pixels, syntax, precision),
        BitsStored=bits,
        HighBit=bits - 1,
        PhotometricInterpretation=photometric,
        PresentationLUTShape=None,
    )
    got = read_mammogram(path, voi="none")
    shown = most - pixels.astype(int) if photometric == "MONOCHROME1" else pixels
    assert_array_equal(np.rint(got.pixels.astype(float) * most), shown)
    assert [each for each in got.warnings if "more bits than BitsStored" in each]


def test_a_stream_of_more_bits_whose_values_fit_into_bits_stored_keeps_its_range(compressed, breast):
    pixels = breast >> 2
    path = compressed(
        JPEGLosslessSV1, lambda _: in_a_stream(pixels, JPEGLosslessSV1, 12), BitsStored=10, HighBit=9
    )
    got = read_mammogram(path, voi="none")
    assert_array_equal(np.rint(got.pixels * 1023), pixels)
    assert not got.warnings


def test_bits_that_the_header_gives_to_an_overlay_are_cleared_in_a_stream_too(compressed, breast):
    overlaid = breast | np.uint16(0x8000)
    path = compressed(JPEGLosslessSV1, lambda _: in_a_stream(overlaid, JPEGLosslessSV1, 16))
    ds = pydicom.dcmread(path)
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 15)
    ds.save_as(path)
    got = read_mammogram(path, voi="none")
    assert_array_equal(np.rint(got.pixels * 4095), breast)
    assert any("overlay" in sentence for sentence in got.warnings)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_lossy_values_that_overshoot_end_at_the_ends_of_the_range(compressed, breast, photometric):
    pixels = ends_of_the_range(breast, 1023)
    stream = in_a_stream(pixels, JPEGExtended12Bit, 12)
    assert imagecodecs.jpeg8_decode(stream).max() > 1023  # so there is something to clip
    path = compressed(
        JPEGExtended12Bit,
        lambda _: stream,
        PhotometricInterpretation=photometric,
        PresentationLUTShape=None,
    )
    ds = pydicom.dcmread(path)
    ds.BitsStored, ds.HighBit = 10, 9
    ds.save_as(path)
    got = read_mammogram(path, voi="none").pixels
    expected = np.minimum(imagecodecs.jpeg8_decode(stream), 1023) / 1023
    assert_allclose(got, 1 - expected if photometric == "MONOCHROME1" else expected, atol=1e-6)
    bright = (1 - got if photometric == "MONOCHROME1" else got)[100:140, 20:60]
    assert bright.min() > 0.95  # the brightest patch holds no black speck
