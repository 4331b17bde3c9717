"""A compressed mammogram at half its size is, as nearly as can be, the mean of its pixels two by two."""

import io
import itertools

import imagecodecs
import numpy as np
import pydicom
import pytest
from damage import flip_in_pixels, flip_in_stream_header, load
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLossless,
)
from scenes import mammogram, scene

from course_utils.imaging import MammogramError, Preprocessor, read_mammogram
from course_utils.imaging.errors import TooCoarse
from course_utils.imaging.export import export
from course_utils.imaging.mask import area_means, shrink
from course_utils.imaging.wavelet import (
    LOW_PASS,
    TAPS,
    at_reduced_size,
    block_means,
    correction,
    spare_levels,
)

WAVELETS = [JPEG2000Lossless, JPEG2000]
SIZE = 96


@pytest.fixture(scope="module")
def pixels():
    """A breast of 12 bits with noise, odd sides, so that blocks at two edges are cut."""
    return np.rint(scene(721, 563, ground=0.03, noise=0.02)[0] * 4095).astype(np.uint16)


@pytest.fixture
def read(compressed, pixels):
    """Read a compressed mammogram in full and fast: `read(syntax, **elements)`."""

    def both(syntax=JPEG2000Lossless, change=bytes, **elements):
        path = compressed(syntax, change, **{"pixels": pixels, **elements})
        return tuple(read_mammogram(path, key=b"k", read=how, size=SIZE) for how in ("full", "fast"))

    return both


def encoded(pixels, **options):
    """Return a stream by Pillow, whose encoder lets everything be chosen."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG2000", no_jp2=True, **options)
    return out.getvalue()


def blocks(pixels, side=2):
    """Return the means over blocks, float64; sides that `side` divides."""
    height, width = pixels.shape
    return pixels.reshape(height // side, side, width // side, side).mean(axis=(1, 3))


# --- the stream ---


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"irreversible": True},
        {"progression": "RLCP", "quality_layers": [20, 10, 0], "quality_mode": "rates"},
        {"progression": "RPCL", "precinct_size": (128, 128), "codeblock_size": (32, 32)},
        {"tile_size": (192, 128)},
        {"num_resolutions": 4, "progression": "RPCL", "irreversible": True, "tile_size": (64, 256)},
    ],
)
def test_a_reduced_stream_gives_what_another_decoder_makes_of_the_whole_one(pixels, options, levels):
    stream = encoded(pixels[:704, :544].copy(), **options)  # Pillow breaks off where sides are odd twice
    reduced = at_reduced_size(stream, levels, signed=False)
    assert (reduced.levels, reduced.wavelet) == (levels, "9/7" if options.get("irreversible") else "5/3")
    with Image.open(io.BytesIO(stream)) as picture:
        picture.reduce = levels
        picture.load()
        expected = np.asarray(picture)
    assert_array_equal(imagecodecs.jpeg2k_decode(reduced.stream), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"quality_layers": [20, 0], "quality_mode": "rates"},  # LRCP: the finest of layer 1 precede layer 2
        {"progression": "CPRL"},
        {"progression": "PCRL"},
        {"num_resolutions": 1},
        {"tile_size": (101, 101)},
    ],
)
def test_streams_in_which_the_small_picture_does_not_come_first_are_read_whole(pixels, options):
    assert at_reduced_size(encoded(pixels, **options), 1, signed=False) is None


def test_a_picture_that_does_not_begin_at_the_first_place_is_read_whole(pixels):
    stream = bytearray(encoded(pixels))
    stream[16:20] = stream[26:30] = bytes([0, 0, 0, 1])  # XOsiz; nobody decodes this
    assert at_reduced_size(bytes(stream), 1, signed=False) is None


def test_no_stream_is_halved_more_often_than_its_wavelet_was(pixels):
    assert at_reduced_size(encoded(pixels, num_resolutions=2), 3, signed=False).levels == 1


@pytest.mark.parametrize(
    ("sides", "options", "levels"),
    [
        ((3328, 2560), {"size": 512}, 1),
        ((4096, 3328), {"size": 512}, 1),
        ((5928, 4728), {"size": 512}, 2),
        ((2294, 1914), {"size": 512}, 0),  # its half has 957 columns
        ((2048, 2048), {"size": 512}, 1),
        ((3328, 2560), {"size": 224}, 2),
        ((3328, 2560), {"size": 512, "mm_per_pixel": 0.4}, 0),
        ((3328, 2560), {"size": 512, "mm_per_pixel": 0.4, "spacing_mm": (0.07, 0.07)}, 1),
        ((3328, 2560), {"size": 512, "mm_per_pixel": 0.4, "spacing_mm": (0.05, 0.05)}, 2),
    ],
)
def test_twice_as_many_pixels_are_left_on_each_side_as_the_picture_has(sides, options, levels):
    assert spare_levels(*sides, **options) == levels


# --- from low-pass to means ---


@pytest.mark.parametrize("wavelet", LOW_PASS)
def test_the_low_pass_filters_are_those_by_which_the_library_encodes(wavelet, pixels):
    """By convolution in numpy, the picture mirrored around its first and last pixels."""
    taps = np.array([*LOW_PASS[wavelet][:0:-1], *LOW_PASS[wavelet]])
    pixels = pixels + np.uint16(1000)  # so that nothing is clipped
    wider = np.pad(pixels.astype(float), len(taps) // 2, "reflect")
    rows = np.stack([np.convolve(row, taps, "valid") for row in wider])[:, ::2]
    low = np.stack([np.convolve(column, taps, "valid") for column in rows.T])[:, ::2].T
    stream = encoded(pixels, irreversible=wavelet == "9/7", quality_layers=[0])
    got = imagecodecs.jpeg2k_decode(at_reduced_size(stream, 1, signed=False).stream)
    assert_allclose(got, low, atol=3)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("wavelet", LOW_PASS)
def test_the_correction_leaves_flat_gray_as_it_is_and_undoes_most_of_the_error_at_edges(wavelet, levels):
    """A step at every place of a block, far from the borders; its means are known by hand."""
    side, n = 2**levels, 64
    x = np.arange(n * side)
    taps = correction(wavelet, levels)
    assert taps.sum() == pytest.approx(1)
    left, raw, unfiltered = 0.0, 0.0, 0.0
    for place in range(n // 2 * side, (n // 2 + 1) * side):
        line = (x >= place).astype(float)
        low = line
        for _ in range(levels):
            half = np.array([*LOW_PASS[wavelet][:0:-1], *LOW_PASS[wavelet]])
            low = np.convolve(np.pad(low, len(half) // 2, "edge"), half, "valid")[::2]
        means = line.reshape(n, side).mean(axis=1)
        got = sum(tap * np.roll(low, -at) for tap, at in zip(taps, TAPS, strict=True))[4:-4]
        left += ((got - means[4:-4]) ** 2).sum()
        raw += ((low - means) ** 2).sum()
        shift = (side - 1) / (2 * side)  # linear interpolation at the block's middle
        unfiltered += (((1 - shift) * low + shift * np.roll(low, -1) - means)[4:-4] ** 2).sum()
    assert left < 0.35 * raw
    assert left < (1.0 if wavelet == "5/3" else 0.8) * unfiltered


def test_an_edge_stays_where_it_was_and_does_not_move_by_half_a_pixel():
    """64 columns, of which 33 are dark: the sum along a row of means of two is (64 − 33) / 2 × 1000."""
    picture = np.zeros((64, 64), np.uint16)
    picture[:, 33:] = 1000
    reduced = at_reduced_size(encoded(picture), 1, signed=False)
    low = imagecodecs.jpeg2k_decode(reduced.stream)
    means = block_means(low, reduced, picture.shape, 16)
    # By hand: 1000 × (1/4 − 1/8) at place 32, 1000 × (1 + 1/8) at 34, and 14 times 1000: an edge that lies a
    # quarter of a block too far to the right.
    assert int(low[16].sum()) == 125 + 1125 + 14 * 1000
    assert int(means[16].sum()) == pytest.approx(15500, abs=30)
    across = encoded(np.ascontiguousarray(picture.T))
    reduced = at_reduced_size(across, 1, signed=False)
    assert_array_equal(block_means(imagecodecs.jpeg2k_decode(reduced.stream), reduced, (64, 64), 16), means.T)


@pytest.mark.parametrize("options", [{}, {"irreversible": True}])
@pytest.mark.parametrize("side", [2, 4])
def test_means_are_nearer_to_those_of_numpy_than_the_low_pass_is_up_to_the_borders(pixels, side, options):
    even = np.rint(scene(704, 544, ground=0.03)[0] * 4095).astype(np.uint16)
    even[:, -5:] = 4095  # the white edge of a film
    reduced = at_reduced_size(encoded(even, **options), side // 2, signed=False)
    low = imagecodecs.jpeg2k_decode(reduced.stream)
    means = block_means(low, reduced, even.shape, 12)
    expected = blocks(even, side)
    where = (slice(None), slice(0, expected.shape[1] - 5 // side - 3)), (slice(None), slice(-4, None))
    for part in where:
        assert np.abs(means[part] - expected[part]).mean() < 0.75 * np.abs(low[part] - expected[part]).mean()
    assert means.dtype == np.uint16
    assert means.max() <= 4095


def test_means_stay_within_the_values_that_can_be_stored():
    checks = np.where((np.indices((64, 64)) // 3).sum(axis=0) % 2, 4095, 0).astype(np.uint16)
    reduced = at_reduced_size(encoded(checks), 1, signed=False)
    means = block_means(imagecodecs.jpeg2k_decode(reduced.stream), reduced, (64, 64), 12)
    assert means.max() <= 4095
    signed = at_reduced_size(encoded(checks), 1, signed=False)._replace(wavelet="9/7")
    for dtype, bits in ((np.int16, 12), (np.int32, 12), (np.uint8, 8)):
        info = np.iinfo(dtype)
        low = np.where(checks[::2, ::2] > 0, min(info.max, 2047), max(info.min, -2048)).astype(dtype)
        got = block_means(low, signed, (64, 64), bits)
        assert got.dtype == dtype
        assert low.min() <= got.min() < got.max() <= low.max()


# --- blocks that cut pixels ---


def test_means_over_boxes_that_cut_pixels_are_those_of_the_same_picture_with_finer_pixels():
    picture = np.random.default_rng(0).normal(size=(30, 44)).astype(np.float32)
    finer = np.repeat(np.repeat(picture, 4, axis=0), 4, axis=1).astype(float)
    rows, columns = np.array([0, 1.25, 7.5, 30]), np.array([0.5, 10, 10.75, 43, 44])
    expected = [
        [
            finer[int(4 * top) : int(4 * bottom), int(4 * left) : int(4 * right)].mean()
            for left, right in itertools.pairwise(columns)
        ]
        for top, bottom in itertools.pairwise(rows)
    ]
    assert_allclose(area_means(picture, rows, columns), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(4560, 2864), (4688, 2592), (3328, 2560)])  # blocks of 14, 15 and 10
def test_the_mask_is_looked_for_on_the_same_blocks_however_a_file_was_read(shape):
    picture = np.random.default_rng(0).uniform(size=(shape[0] // 2, shape[1] // 2)).astype(np.float32)
    whole, factor = shrink(np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1))
    small, halved = shrink(picture, 2)
    assert factor == 2 * halved
    assert_allclose(small, whole, atol=1e-5)


# --- files ---


@pytest.mark.parametrize("syntax", WAVELETS, ids=lambda syntax: syntax.keyword)
def test_a_picture_of_fast_reading_is_that_of_full_reading(read, syntax):
    full, fast = read(syntax)
    assert (full.reduction, fast.reduction) == (1, 2)
    assert fast.pixels.shape == (361, 282)
    pictures = [Preprocessor(size=SIZE)(one) for one in (full, fast)]
    assert np.sqrt(np.mean(np.square(pictures[0] - pictures[1]))) < 0.004


def test_a_file_says_the_same_of_itself_however_it_was_read(read):
    full, fast = read(PatientOrientation=["P", "F"])
    same = ("image_id", "patient_key", "view", "laterality", "voi", "warnings", "pixel_aspect", "kind")
    assert [getattr(full, name) for name in same] == [getattr(fast, name) for name in same]
    assert full.spacing_mm == (0.1, 0.1)
    assert fast.spacing_mm == (0.2, 0.2)


@pytest.mark.parametrize(
    "elements",
    [
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        {"WindowCenter": None, "WindowWidth": None},
        {"VOILUTFunction": "SIGMOID"},
        {"RescaleSlope": 0.5, "RescaleIntercept": -100, "WindowCenter": 900, "WindowWidth": 2000},
        {"PatientOrientation": ["H", "A"], "Columns": 562},
        {"PatientOrientation": ["F", "P"], "ImagerPixelSpacing": [0.1, 0.15]},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1", "PresentationIntentType": "FOR PROCESSING"},
    ],
)
def test_gray_values_and_position_come_out_as_with_full_reading(read, pixels, elements):
    raw = "PresentationIntentType" in elements  # bright where there is air
    inverted = "PhotometricInterpretation" in elements or raw
    shown = pixels[:, : elements.get("Columns")]  # which stands on its head, and so has to be even
    full, fast = read(pixels=np.ascontiguousarray(4095 - shown if inverted else shown), **elements)
    assert fast.reduction == 2
    pictures = [Preprocessor(size=SIZE)(one) for one in (full, fast)]
    assert np.sqrt(np.mean(np.square(pictures[0] - pictures[1]))) < 0.006


def test_signed_values_are_averaged_as_such(read, pixels):
    full, fast = read(pixels=pixels.astype(np.int16) - 2048, WindowCenter=0)
    assert fast.reduction == 2
    assert_allclose(fast.pixels[:360, :281], blocks(full.pixels[:720, :562]), atol=0.05)


def test_dark_padding_stays_black_and_bright_padding_is_read_whole(read, pixels):
    framed = pixels.copy()
    framed[:, 460:] = 0
    full, fast = read(pixels=np.maximum(framed, 1) * (framed > 0), PixelPaddingValue=0, WindowCenter=None)
    assert fast.reduction == 2
    pictures = [Preprocessor(size=SIZE)(one) for one in (full, fast)]
    assert np.sqrt(np.mean(np.square(pictures[0] - pictures[1]))) < 0.006
    framed[:, 460:] = 4095
    full, fast = read(pixels=np.minimum(framed, 4094) + (framed == 4095), PixelPaddingValue=4095)
    assert fast.reduction == 1
    assert_array_equal(fast.pixels, full.pixels)


def hide_end(stream: bytes) -> bytes:
    """Return a stream that does not end with its end mark."""
    return stream + 32 * b"\1"


@pytest.mark.parametrize(
    ("syntax", "change", "elements"),
    [
        (JPEGLossless, bytes, {}),
        (HTJ2K, bytes, {}),
        (HTJ2KLossless, bytes, {}),
        (HTJ2KLosslessRPCL, bytes, {}),
        (JPEG2000Lossless, hide_end, {}),
        (JPEG2000Lossless, bytes, {"SOPInstanceUID": None}),
        (JPEG2000Lossless, bytes, {"PatientOrientation": ["A", "H"]}),  # on its head, 721 rows
        (JPEG2000Lossless, bytes, {"BitsStored": 10, "HighBit": 9, "OverlayBitPosition": 12}),
    ],
)
def test_what_could_come_out_otherwise_is_read_whole_to_the_bit(compressed, pixels, syntax, change, elements):
    path = compressed(syntax, change, pixels=pixels)
    ds = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if keyword == "OverlayBitPosition":
            ds.add_new(0x60000102, "US", value)
        elif value is None:
            delattr(ds, keyword)
            del ds.file_meta.MediaStorageSOPInstanceUID
        else:
            setattr(ds, keyword, value)
    ds.save_as(path, enforce_file_format=False)
    full, fast = (read_mammogram(path, key=b"k", read=how, size=SIZE) for how in ("full", "fast"))
    assert fast.reduction == 1
    assert_array_equal(fast.pixels, full.pixels)
    assert fast.image_id == full.image_id


def test_numbers_that_wrap_around_are_not_averaged(compressed, pixels):
    """A header that calls values signed, of a stream that does not: 65535 is −1, next to 0."""
    wrapped = (pixels.astype(np.int32) - 2048).astype(np.uint16)
    path = compressed(JPEG2000Lossless, pixels=pixels, bits=16)
    ds = pydicom.dcmread(path)
    ds.PixelData = encapsulate([encoded(wrapped)])
    ds.PixelRepresentation, ds.WindowCenter = 1, 0
    ds.save_as(path)
    full, fast = (read_mammogram(path, key=b"k", read=how, size=SIZE) for how in ("full", "fast"))
    assert fast.reduction == 1
    assert_array_equal(fast.pixels, full.pixels)


def test_a_stream_of_more_bits_than_the_header_says_is_averaged_all_the_same(compressed, pixels):
    path = compressed(JPEG2000Lossless, pixels=pixels)
    ds = pydicom.dcmread(path)
    ds.PixelData = encapsulate([encoded(pixels)])  # 16 bits, as Pillow has it
    ds.save_as(path)
    full, fast = (read_mammogram(path, key=b"k", read=how, size=SIZE) for how in ("full", "fast"))
    assert fast.reduction == 2
    assert fast.warnings == full.warnings
    assert_allclose(fast.pixels[:360, :281], blocks(full.pixels[:720, :562]), atol=0.05)


def test_files_that_are_not_compressed_and_pictures_are_read_alike_either_way(
    write_mammogram, pixels, tmp_path
):
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    for file in (path, write_mammogram(pixels)):
        full, fast = (read_mammogram(file, key=b"k", read=how, size=SIZE) for how in ("full", "fast"))
        assert fast.reduction == 1
        assert_array_equal(fast.pixels, full.pixels)


def test_what_is_neither_full_nor_fast_is_a_mistake_of_the_caller(write_mammogram):
    with pytest.raises(ValueError, match="read must be 'full' or 'fast', not 'quick'"):
        read_mammogram(write_mammogram(), read="quick")


def test_one_physical_scale_is_kept_where_pixels_are_twice_as_wide(read):
    pictures = [Preprocessor(size=SIZE, mm_per_pixel=1.0).with_mask(one) for one in read()]
    inside = [mask[0] for _, mask in pictures]
    for axis in (0, 1):
        extents = [np.ptp(np.flatnonzero(mask.any(axis=axis))) for mask in inside]
        assert abs(extents[0] - extents[1]) <= 1


def test_a_breast_too_small_for_it_is_refused_with_the_way_out_and_exported_from_full_reading(
    compressed, tmp_path
):
    small = np.zeros((720, 560), np.uint16)
    small[240:480, :200] = np.rint(scene(240, 200)[0] * 4095)
    path = compressed(JPEG2000Lossless, pixels=small)
    fast = Preprocessor(size=SIZE, read="fast")
    got = read_mammogram(path, key=b"k", **fast.reading)
    assert got.reduction == 2
    with pytest.raises(TooCoarse, match="read the file in full"):
        fast(got)
    counts = export([path], ["a.dcm"], tmp_path / "out", fast, form="npy", key=b"k", progress=False)
    assert counts["written"] == 1
    expected = Preprocessor(size=SIZE)(read_mammogram(path, key=b"k"))
    assert_array_equal(np.load(tmp_path / "out" / "a.npy"), expected[0])


def test_an_array_of_ones_own_is_whole():
    assert mammogram(np.zeros((4, 4))).reduction == 1


# --- damage ---


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEG2000])
def test_what_full_reading_refuses_of_a_damaged_stream_fast_reading_refuses_too(compressed, pixels, syntax):
    path = compressed(syntax, pixels=pixels[::3, ::3].copy())
    seed = load(path)
    refused = 0
    for number in range(150):
        rng, data = np.random.default_rng(number), bytearray(seed.data)
        (flip_in_stream_header, flip_in_pixels)[number % 2](data, seed, rng)
        path.write_bytes(bytes(data))
        outcomes = []
        for how in ("full", "fast"):
            try:
                got = read_mammogram(path, read=how, size=32)
            except MammogramError as refusal:
                outcomes.append(str(refusal))
            else:
                assert 0 <= got.pixels.min() <= got.pixels.max() <= 1
                outcomes.append("read")
        assert outcomes[0] == "read" or outcomes[1] != "read"
        refused += outcomes[0] != "read"
    assert 20 < refused < 130
