"""Picture files and arrays become mammograms, as far as they can be; what cannot be read says why."""

import io
import struct

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from course_utils.imaging import Mammogram, MammogramError, Preprocessor, dicom, pictures, read_mammogram


@pytest.fixture
def write(tmp_path):
    """Write a picture with Pillow: `write(image, "name.png", **options)`."""

    def write(picture, name="picture.png", **options):
        path = tmp_path / name
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        image.save(path, **options)
        return path

    return write


@pytest.fixture
def narrow(breast):
    """Return the breast in 8 bits."""
    return (breast >> 4).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "no suffix.dcm"])
def test_eight_bits_are_taken_as_they_are(write, tmp_path, narrow, name):
    path = write(narrow, "a.png" if name.endswith("dcm") else name)
    if name.endswith("dcm"):  # what is in a file decides, not its name
        path = path.rename(tmp_path / name)
    got = read_mammogram(path)
    assert_array_equal(np.rint(got.pixels * 255), narrow)
    assert (got.kind, got.voi, got.view, got.laterality, got.patient_key) == (
        "picture",
        "none",
        None,
        None,
        None,
    )
    assert "no fixed meaning" in got.warnings[0]


def test_jpeg_is_what_opencv_decodes(write, narrow):
    path = write(narrow, "a.jpg", quality=90)
    theirs = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert_allclose(
        read_mammogram(path).pixels * 255, theirs, atol=1.01
    )  # two decoders may round differently


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_are_stretched_over_the_breast(tmp_path, write_mammogram, breast, name):
    path = tmp_path / name
    assert cv2.imwrite(str(path), breast)  # 12 bits in 16: shown as they are, they would be black
    got = read_mammogram(path)
    theirs = read_mammogram(write_mammogram(WindowCenter=None, WindowWidth=None))
    assert got.voi == theirs.voi == "percentile"
    assert_allclose(got.pixels, theirs.pixels, atol=1e-6)
    assert_allclose(read_mammogram(path, voi="none").pixels, breast / 65535, atol=1e-7)


def test_a_tiff_in_which_white_is_zero_is_turned_round(tmp_path, breast):
    header = io.BytesIO()
    Image.fromarray(65535 - breast).save(header, "TIFF", tiffinfo={262: 0})
    path = tmp_path / "a.tif"
    path.write_bytes(header.getvalue())
    assert Image.open(path).tag_v2[262] == 0
    assert_allclose(read_mammogram(path, voi="none").pixels, breast / 65535, atol=1e-7)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_equal_channels_and_an_alpha_that_hides_nothing_are_gray(write, narrow, mode):
    got = read_mammogram(write(Image.fromarray(narrow).convert(mode)))
    assert_array_equal(np.rint(got.pixels * 255), narrow)


def test_a_picture_is_turned_as_exif_says(write, narrow):
    exif = Image.Exif()
    exif[0x0112] = 3  # by 180 degrees
    got = read_mammogram(write(narrow[::-1, ::-1].copy(), "a.jpg", quality=100, exif=exif))
    assert np.abs(got.pixels * 255 - narrow).max() <= 4


def coloured(narrow):
    return Image.fromarray(np.stack([narrow, narrow, narrow // 2], axis=-1))


def see_through(narrow):
    alpha = np.full_like(narrow, 255)
    alpha[0, 0] = 0
    return Image.fromarray(np.stack([narrow, narrow, narrow, alpha], axis=-1))


@pytest.mark.parametrize(
    ("make", "name", "options", "sentence"),
    [
        (coloured, "a.png", {}, "colour image"),
        (see_through, "a.png", {}, "transparent in places"),
        (Image.fromarray, "a.png", {"transparency": 0}, "transparent in places"),
        (lambda x: Image.fromarray(x).convert("P"), "a.png", {}, "palette"),
        (lambda x: Image.fromarray(x).convert("1"), "a.png", {}, "black and white without any gray"),
        (lambda x: Image.fromarray(x).convert("CMYK"), "a.tif", {}, "not gray values of 8 or 16 bits"),
        (lambda x: Image.fromarray(x.astype(np.float32)), "a.tif", {}, "not gray values of 8 or 16 bits"),
        (lambda x: Image.fromarray(np.full_like(x, 7)), "a.png", {}, "has the same value"),
        (lambda x: Image.fromarray(x[:20]), "a.png", {}, "too small"),
        (
            Image.fromarray,
            "a.tif",
            {"save_all": True, "append_images": [Image.new("L", (240, 300))]},
            "several pages",
        ),
    ],
)
def test_what_is_no_gray_picture_is_refused_with_its_reason(write, narrow, make, name, options, sentence):
    with pytest.raises(MammogramError, match=sentence):
        read_mammogram(write(make(narrow), name, **options))


@pytest.mark.parametrize("top", [-1, 65536])
def test_numbers_that_do_not_fit_into_16_bits_are_refused_and_not_wrapped(write, narrow, top):
    values = narrow.astype(np.int32)
    assert read_mammogram(write(values, "a.tif")).pixels.max() == 1
    values[0, 0] = top
    with pytest.raises(MammogramError, match="not gray values of 8 or 16 bits"):
        read_mammogram(write(values, "a.tif"))


def test_signed_numbers_of_8_bits_are_not_taken_for_unsigned_ones(write, narrow):
    signed = {"tiffinfo": {pictures.SAMPLE_FORMAT: (pictures.SIGNED,)}}
    with pytest.raises(MammogramError, match="not gray values of 8 or 16 bits"):
        read_mammogram(write(narrow, "a.tif", **signed))
    got = read_mammogram(write(narrow // 2, "a.tif", **signed))
    assert_array_equal(np.rint(got.pixels * 255), narrow // 2)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_channels_of_16_bits_are_refused_and_not_cut_to_8(tmp_path, breast, name, channels):
    path = tmp_path / name
    cv2.imwrite(str(path), np.dstack([breast << 4] * 3 + [np.full_like(breast, 65535)] * (channels - 3)))
    with pytest.raises(MammogramError, match="16 bits in each channel"):
        read_mammogram(path)


def test_packed_tiffs_of_12_bits_have_the_range_of_12_bits(tmp_path, breast):
    pairs = breast.reshape(-1, 2).astype(int)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    strip = packed.astype(np.uint8).tobytes()
    height, width = breast.shape
    entries = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(strip)}
    ifd = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    path = tmp_path / "a.tif"
    head = b"II*\0" + struct.pack("<I", 8 + len(strip))
    path.write_bytes(head + strip + struct.pack("<H", len(entries)) + ifd + bytes(4))
    assert_allclose(read_mammogram(path, voi="none").pixels, breast / 4095, atol=1e-6)


def test_a_big_tiff_is_a_tiff(write, breast):
    path = write(breast << 4, "a.tif", big_tiff=True)
    assert path.read_bytes()[:4] == b"II+\0"
    assert_allclose(read_mammogram(path, voi="none").pixels, (breast << 4) / 65535, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"P5 99999999 99999999 255\n", "too large"),
        (b"P5 300 240 70000\n" + bytes(100), "is damaged, or of a kind that is not read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is damaged, or of a kind that is not read"),
        (b"II*\0" + bytes(100), "is damaged, or of a kind that is not read"),
    ],
)
def test_a_picture_that_cannot_be_read_is_not_blamed_on_the_dicom_standard(tmp_path, content, sentence):
    path = tmp_path / "a.pgm"
    path.write_bytes(content)
    with pytest.raises(MammogramError, match=sentence) as refusal:
        read_mammogram(path)
    assert "DICOM" not in str(refusal.value)


def test_dicom_whose_preamble_is_that_of_a_tiff_is_dicom(write_mammogram):
    path = write_mammogram()
    plain = read_mammogram(path)
    path.write_bytes(b"II*\0\x08\0\0\0" + path.read_bytes()[8:])
    got = read_mammogram(path)
    assert got.kind == "ffdm"
    assert_array_equal(got.pixels, plain.pixels)


def test_a_size_is_refused_before_anything_is_decoded(write, narrow, monkeypatch):
    path = write(narrow)
    monkeypatch.setattr(dicom, "MAX_PIXELS", narrow.size - 1)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(MammogramError, match="too large"):
        read_mammogram(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.pgm"])
def test_damage_anywhere_ends_in_a_mammogram_or_a_mammogram_error(write, narrow, name):
    path = write(narrow, name)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for turn in range(60):
        data = bytearray(whole)
        if turn % 2:
            data = data[: int(rng.integers(3, len(data)))]
        for at in rng.integers(0, len(data), 20):
            data[at] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        try:
            read_mammogram(path)
        except MammogramError as error:
            assert str(path.parent) not in str(error)  # noqa: PT017


@pytest.mark.parametrize("voi", ["window", "lut", 0])
def test_a_picture_has_no_window(write, narrow, voi):
    with pytest.raises(MammogramError, match="no window or LUT"):
        read_mammogram(write(narrow), voi=voi)


def test_the_same_picture_has_the_same_pseudonym_under_a_key(write, narrow):
    png, tif = write(narrow), write(narrow, "b.tif")
    one, other = (read_mammogram(path, key=b"secret").image_id for path in (png, tif))
    assert one == other
    assert one != read_mammogram(png, key=b"another").image_id


# --- arrays ---


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_an_array_becomes_the_same_picture_as_its_file(write, narrow, dtype):
    scale = {np.uint8: 1, np.uint16: 257}.get(dtype)
    array = (narrow.astype(dtype) * dtype(scale)) if scale else (narrow / 255).astype(dtype)
    got = Mammogram.from_array(array, view="CC", laterality="L")
    assert_allclose(got.pixels, narrow / 255, atol=1e-6)
    assert (got.view, got.laterality, got.kind) == ("CC", "L", "picture")
    assert_allclose(Preprocessor()(got), Preprocessor()(read_mammogram(write(narrow))), atol=1e-6)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4, 5), np.float32),
        np.full((4, 5), 1.5),
        np.full((4, 5), np.nan),
        np.zeros((4, 5), int),
        np.zeros((0, 5)),
        "text",
    ],
    ids=str,
)
def test_an_array_that_is_no_picture_is_a_value_error(array):
    with pytest.raises(ValueError, match="pixels"):
        Mammogram.from_array(array)


def test_an_unknown_side_is_a_value_error(narrow):
    with pytest.raises(ValueError, match="laterality"):
        Mammogram.from_array(narrow, laterality="left")
