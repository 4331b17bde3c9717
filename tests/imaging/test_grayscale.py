"""The walk from stored to display values, against DCMTK and values worked out by hand."""

import subprocess

import cv2
import numpy as np
import pytest
from elements import CURVE, RAW
from lookup_tables import lut_item
from needs import needs
from numpy.testing import assert_allclose, assert_array_equal

from course_utils.imaging import MammogramError, read_mammogram


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "kind",
    [
        "window",
        "narrow",
        "sigmoid",
        "lut 8",
        "lut 12",
        "lut 16",
        "rescale",
        "signed",
        "modality lut",
    ],
)
@pytest.mark.dcmtk
@needs("dcm2pnm")
def test_display_values_are_those_of_dcmtk(write_mammogram, lut, breast, tmp_path, kind, photometric):
    elements = {
        "window": {},
        "narrow": {"WindowCenter": 1500, "WindowWidth": 700},
        "sigmoid": {"WindowCenter": 1500, "WindowWidth": 1200, "VOILUTFunction": "SIGMOID"},
        "lut 8": {"VOILUTSequence": lut(CURVE >> 4, bits=8)},
        "lut 12": {"VOILUTSequence": lut(CURVE, bits=12)},
        "lut 16": {"VOILUTSequence": lut(CURVE.astype(int) * 16, bits=16)},
        "rescale": {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 3000, "WindowWidth": 5000},
        "signed": {"WindowCenter": -300, "WindowWidth": 2500},
        "modality lut": {"ModalityLUTSequence": lut(CURVE, bits=12)},
    }[kind]
    pixels = breast.astype(np.int16) - 2048 if kind == "signed" else breast
    path = write_mammogram(
        pixels, PhotometricInterpretation=photometric, PresentationLUTShape=None, **elements
    )
    how = ["+Wl", "1"] if kind.startswith("lut") else ["+Wi", "1"]
    subprocess.run(["dcm2pnm", *how, "+on2", path, tmp_path / "out.png"], check=True, capture_output=True)
    expected = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED).astype(np.float64) / 65535
    got = read_mammogram(path)
    assert got.pixels.dtype == np.float32
    assert got.voi.startswith(kind.split()[0] if kind.startswith("lut") else "window")
    # DCMTK expands a LUT of n bits to 16 by shifting: its brightest gray is up to 2**-n short of white.
    short = 2.0 ** -int(kind.split()[1]) if kind.startswith("lut") else 0
    assert_allclose(got.pixels, expected, atol=2e-5 + short)


def test_inverting_does_not_depend_on_the_brightest_pixel(write_mammogram, breast):
    brighter = breast.copy()
    brighter[150, 10] = 4095
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    plain = read_mammogram(write_mammogram(breast, name="a.dcm", **inverse)).pixels
    spiked = read_mammogram(write_mammogram(brighter, name="b.dcm", **inverse)).pixels
    assert_array_equal(np.delete(plain.ravel(), 150 * 240 + 10), np.delete(spiked.ravel(), 150 * 240 + 10))


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")])
def test_photometric_interpretation_wins_over_a_contradicting_lut_shape(write_mammogram, photometric, shape):
    silent = write_mammogram(name="a.dcm", PhotometricInterpretation=photometric, PresentationLUTShape=None)
    contradicting = write_mammogram(
        name="b.dcm", PhotometricInterpretation=photometric, PresentationLUTShape=shape
    )
    got = read_mammogram(contradicting)
    assert_array_equal(got.pixels, read_mammogram(silent).pixels)
    assert any("contradicts" in sentence for sentence in got.warnings)


def test_a_voi_lut_goes_before_a_window(write_mammogram, lut, breast):
    path = write_mammogram(VOILUTSequence=lut(CURVE))
    assert read_mammogram(path).voi == "lut"
    assert_allclose(read_mammogram(path).pixels, CURVE[breast] / 4095, atol=1e-6)
    assert read_mammogram(path, voi="window").voi == "window:LINEAR"


def test_the_asked_for_window_is_taken(write_mammogram, breast):
    path = write_mammogram(WindowCenter=[2048, 1000], WindowWidth=[4096, 501])
    assert_allclose(read_mammogram(path, voi=1).pixels, np.clip((breast - 749.5) / 500, 0, 1), atol=1e-5)
    assert_array_equal(read_mammogram(path, voi=0).pixels, read_mammogram(path).pixels)
    with pytest.raises(MammogramError, match="no usable window number 2"):
        read_mammogram(path, voi=2)


def test_an_unusable_first_window_gives_way_to_the_second(write_mammogram, breast):
    got = read_mammogram(write_mammogram(WindowCenter=[0, 1000], WindowWidth=[0, 501]))
    assert_allclose(got.pixels, np.clip((breast - 749.5) / 500, 0, 1), atol=1e-5)
    assert "A window without a usable centre and width was skipped." in got.warnings


@pytest.mark.parametrize("voi", ["lut", "window"])
def test_an_asked_for_transform_that_is_not_there_is_an_error(write_mammogram, voi):
    path = write_mammogram(WindowCenter=None, WindowWidth=None)
    with pytest.raises(MammogramError, match="try voi='auto'"):
        read_mammogram(path, voi=voi)


def test_voi_none_stretches_all_stored_values(write_mammogram, breast):
    path = write_mammogram(
        breast, RescaleSlope=-1, RescaleIntercept=10, PhotometricInterpretation="MONOCHROME1"
    )
    got = read_mammogram(path, voi="none")
    assert got.voi == "none"
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)


def test_an_unknown_voi_is_a_value_error(write_mammogram):
    with pytest.raises(ValueError, match="voi must be"):
        read_mammogram(write_mammogram(), voi="best")


def test_without_window_the_gray_range_is_that_of_the_breast(write_mammogram, breast):
    labelled = breast.copy()
    labelled[10:40, 180:230] = 4095  # a label, brighter than any tissue
    got = read_mammogram(write_mammogram(labelled, WindowCenter=None, WindowWidth=None))
    assert got.voi == "percentile"
    low, high = np.percentile(breast[breast > 0], [0.5, 99.5])
    inside = breast > 0
    expected = np.clip((breast[inside] - low) / (high - low), 0, 1)
    assert np.abs(got.pixels[inside] - expected).mean() < 0.04
    bare = read_mammogram(write_mammogram(breast, WindowCenter=None, WindowWidth=None))
    assert_allclose(got.pixels[inside], bare.pixels[inside], atol=1e-3)
    assert any("range is that of the breast" in sentence for sentence in got.warnings)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_ends_as_ground_and_moves_no_statistic(write_mammogram, breast, photometric):
    pixels = breast if photometric == "MONOCHROME2" else 4095 - breast
    bare = {"WindowCenter": None, "WindowWidth": None, "PresentationLUTShape": None}
    plain = read_mammogram(
        write_mammogram(pixels, name="a.dcm", PhotometricInterpretation=photometric, **bare)
    )
    padded = pixels.copy()
    padded[:, -40:] = np.arange(60000, 60040)
    got = read_mammogram(
        write_mammogram(
            padded,
            name="b.dcm",
            bits=16,
            PhotometricInterpretation=photometric,
            PixelPaddingValue=60000,
            PixelPaddingRangeLimit=60039,
            **bare,
        )
    )
    assert not got.pixels[:, -40:].any()
    assert_allclose(got.pixels[:, :-40], plain.pixels[:, :-40], atol=1e-6)


def test_a_raw_linear_signal_is_shown_as_minus_its_logarithm(write_mammogram, breast):
    thickness = breast.astype(float) / 4095 * 3
    signal = np.rint(16000 * np.exp(-thickness)).astype(np.uint16)
    got = read_mammogram(write_mammogram(signal, bits=14, PixelIntensityRelationship="LIN", **RAW))
    assert got.voi == "percentile"
    assert any("minus its logarithm" in sentence for sentence in got.warnings)
    inside = (breast > 0) & (got.pixels > 0) & (got.pixels < 1)
    assert np.corrcoef(got.pixels[inside], thickness[inside])[0, 1] > 0.9999
    assert not got.pixels[breast == 0].any()


@pytest.mark.parametrize(
    "elements", [{"PixelIntensityRelationshipSign": -1}, {"PixelIntensityRelationship": "OTHER"}], ids=str
)
def test_a_raw_signal_that_is_not_linear_is_refused(write_mammogram, elements):
    with pytest.raises(MammogramError, match="FOR PROCESSING"):
        read_mammogram(write_mammogram(**RAW, **elements))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("slope", "intercept", "stored"),
    [(-1, 4096, [0, 3072, 4032, 4088, 4095]), (1, 1, [4095, 1023, 63, 7, 0])],
    ids=["negative", "positive"],
)
def test_a_raw_linear_signal_is_what_slope_and_intercept_make_of_it(
    write_mammogram, slope, intercept, stored, photometric
):
    """Signals of 4096, 1024, 64, 8 and 1, of which 4096 is the largest: log2 is 12, 10, 6, 3 and 0."""
    pixels = np.repeat(np.repeat([stored], 20, axis=1), 80, axis=0).astype(np.uint16)
    elements = {"RescaleSlope": slope, "RescaleIntercept": intercept, **RAW}
    path = write_mammogram(pixels, PhotometricInterpretation=photometric, **elements)
    got = read_mammogram(path, voi="none").pixels[40, ::20]
    assert_allclose(got, [0, 2 / 12, 6 / 12, 9 / 12, 1], atol=1e-6)


def test_a_raw_signal_stored_with_a_negative_slope_gives_the_same_picture(write_mammogram, breast):
    signal = np.rint(4000 * np.exp(-breast.astype(float) / 4095 * 3)).astype(np.uint16)
    plain = read_mammogram(write_mammogram(signal, name="a.dcm", **RAW))
    negative = {"RescaleSlope": -1, "RescaleIntercept": 4095, **RAW}
    turned = read_mammogram(write_mammogram(4095 - signal, name="b.dcm", **negative))
    assert_array_equal(turned.pixels, plain.pixels)
    assert turned.voi == "percentile"


@pytest.mark.parametrize(
    ("photometric", "expected"), [("MONOCHROME2", [1, 0.2, 0]), ("MONOCHROME1", [0, 0.8, 1])]
)
def test_a_raw_logarithmic_signal_with_a_negative_slope_is_bright_where_its_modality_value_says_so(
    write_mammogram, photometric, expected
):
    pixels = np.repeat(np.repeat([[0, 3276, 4095]], 30, axis=1), 80, axis=0).astype(np.uint16)
    elements = {"RescaleSlope": -1, "RescaleIntercept": 4095, "PixelIntensityRelationship": "LOG", **RAW}
    path = write_mammogram(pixels, PhotometricInterpretation=photometric, **elements)
    assert_allclose(read_mammogram(path, voi="none").pixels[40, ::30], expected, atol=1e-6)


TOTAL = {"u": 4095, "i": -1}  # of the least and the greatest value that 12 bits hold


def stored_inversely(pixels, **elements):
    """Return the pixels and the elements of the same image with low values bright, worked out by hand."""
    total = TOTAL[pixels.dtype.kind]
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    slope, intercept = elements.get("RescaleSlope", 1), elements.get("RescaleIntercept", 0)
    if "ModalityLUTSequence" in elements:
        item = elements["ModalityLUTSequence"][0]
        entries = 4095 - np.frombuffer(item.LUTData, "<u2")[::-1]
        inverse["ModalityLUTSequence"] = [lut_item(entries, 0, 12)]
        middle = 4095 / 2  # of what the table gives, for windows go by that
    else:
        middle = (slope * total + 2 * intercept) / 2
    if elements.get("WindowCenter") is not None:
        one = elements.get("VOILUTFunction", "LINEAR") == "LINEAR"
        inverse["WindowCenter"] = round(2 * middle - elements["WindowCenter"] + one, 3)
    if "VOILUTSequence" in elements:
        item = elements["VOILUTSequence"][0]
        bits = item.LUTDescriptor[2]
        entries = np.frombuffer(item.LUTData, "<u1" if bits == 8 else "<u2")
        last = item.LUTDescriptor[1] + len(entries) - 1
        turned = (2**bits - 1 - entries.astype(int))[::-1]
        inverse["VOILUTSequence"] = [lut_item(turned, total - last, bits)]
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        if keyword in elements:
            inverse[keyword] = total - elements[keyword]
    return (total - pixels).astype(pixels.dtype), elements | inverse


@pytest.mark.parametrize("ground", [0, 300], ids=["ground at the end", "ground off the end"])
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"WindowCenter": 1500.3, "WindowWidth": 701.7},
        {"WindowCenter": 1500.3, "WindowWidth": 701.7, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 1200.1, "WindowWidth": 333.3, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 1500, "WindowWidth": 1},
        {"RescaleSlope": 0.7, "RescaleIntercept": -13.9, "WindowCenter": 1111.1, "WindowWidth": 1234.5},
        {"RescaleSlope": -1.5, "RescaleIntercept": 6000, "WindowCenter": 3000, "WindowWidth": 4000},
        {"WindowCenter": None, "WindowWidth": None},
        {"lut": 8},
        {"lut": 12},
        {"lut": 16},
        {"modality lut": 12, "WindowCenter": 2000, "WindowWidth": 3000},
        {"PixelPaddingValue": 4000, "WindowCenter": None, "WindowWidth": None},
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 310},
        {"PixelPaddingValue": 310, "PixelPaddingRangeLimit": 0, "WindowCenter": None, "WindowWidth": None},
        {"signed": True, "WindowCenter": -300, "WindowWidth": 2500},
        {"signed": True, "PixelPaddingValue": -2048, "WindowCenter": None, "WindowWidth": None},
        {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationship": "LOG"},
    ],
    ids=str,
)
def test_monochrome1_and_monochrome2_give_the_same_pixels_to_the_bit(write_mammogram, breast, kind, ground):
    kind = dict(kind)
    pixels = np.maximum(breast, ground)
    pixels[:, -30:] = 4000  # as wide as a label, and padding in one of them
    if kind.pop("signed", False):
        pixels = pixels.astype(np.int16) - 2048
    curve = CURVE.astype(int)
    for name, keyword in (("lut", "VOILUTSequence"), ("modality lut", "ModalityLUTSequence")):
        if bits := kind.pop(name, None):
            entries = curve >> 4 if bits == 8 else curve << (bits - 12)
            kind[keyword] = [lut_item(entries, 0, bits)]
    two = write_mammogram(pixels, name="2.dcm", **kind)
    turned, elements = stored_inversely(pixels, **({"WindowCenter": 2048, "WindowWidth": 4096} | kind))
    one = write_mammogram(turned, name="1.dcm", **elements)
    raw = "PresentationIntentType" in kind
    for voi in ("auto", "percentile", "none") if raw else ("auto", "window", "lut", "percentile", "none", 0):
        asked = {"window": "WindowCenter", 0: "WindowCenter", "lut": "VOILUTSequence"}.get(voi)
        if asked and kind.get(asked, asked == "WindowCenter") in (None, False):
            continue
        got, expected = read_mammogram(one, voi=voi), read_mammogram(two, voi=voi)
        assert_array_equal(got.pixels, expected.pixels)
        assert (got.voi, got.warnings) == (expected.voi, expected.warnings)
        assert len(np.unique(got.pixels)) > 1


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize(
    ("elements", "signed"),
    [
        ({"pixels": "signed"}, True),
        ({"RescaleSlope": 1, "RescaleIntercept": -2048}, True),
        ({"RescaleSlope": -1, "RescaleIntercept": 2047}, True),
        ({}, False),
    ],
    ids=str,
)
def test_the_first_value_of_a_table_is_signed_where_values_may_be_negative(
    write_mammogram, breast, vr, elements, signed
):
    first = -2048 if signed else 40000
    bits = 12 if signed else 16
    pixels = breast.astype(np.int16) - 2048 if elements.get("pixels") else breast
    pixels = pixels if signed else (breast.astype(int) + 40000).astype(np.uint16)
    item = lut_item(CURVE, 0, 12)
    item.add_new(
        "LUTDescriptor", vr, [4096, first % 65536 if vr == "US" else (first + 32768) % 65536 - 32768, 12]
    )
    elements = {key: value for key, value in elements.items() if key != "pixels"}
    got = read_mammogram(write_mammogram(pixels, bits=bits, VOILUTSequence=[item], **elements))
    index = 4095 - breast.astype(int) if elements.get("RescaleSlope") == -1 else breast
    assert_allclose(got.pixels, CURVE[index] / 4095, atol=1e-6)
    assert got.voi == "lut"


@pytest.mark.parametrize("entries", [2, 200, 65536])
def test_a_table_that_does_not_reach_as_far_as_the_values_ends_in_its_last_entry(
    write_mammogram, breast, entries
):
    values = np.linspace(0, 4095, entries).astype(int)
    path = write_mammogram(VOILUTSequence=[lut_item(values, 500, 12)])
    expected = values[np.clip(breast.astype(int) - 500, 0, entries - 1)] / 4095
    assert_allclose(read_mammogram(path).pixels, expected, atol=1e-6)


# --- a VOI LUT is not all or nothing ---


def broken(item):
    """Return the item of a lookup table, cut so that its descriptor claims more entries than there are."""
    item.LUTDescriptor = [2 * item.LUTDescriptor[0] % 65536, *item.LUTDescriptor[1:]]
    return item


def test_a_broken_table_gives_way_to_the_next_one(write_mammogram, breast):
    items = [broken(lut_item(CURVE, 0, 12)), lut_item(CURVE[::-1].copy(), 0, 12)]
    got = read_mammogram(write_mammogram(VOILUTSequence=items))
    assert_allclose(got.pixels, CURVE[::-1][breast] / 4095, atol=1e-6)
    assert got.voi == "lut"
    assert [each for each in got.warnings if "lookup table of this file is damaged" in each]


def test_a_table_of_one_value_gives_way_to_the_window(write_mammogram, breast):
    flat = lut_item(np.zeros_like(CURVE), 0, 12)
    got = read_mammogram(write_mammogram(VOILUTSequence=[flat]))
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)
    assert [each for each in got.warnings if "lookup table of this file is damaged" in each]


def test_broken_tables_give_way_to_the_window(write_mammogram, breast):
    items = [broken(lut_item(CURVE, 0, 12)), broken(lut_item(CURVE, 0, 12))]
    path = write_mammogram(VOILUTSequence=items)
    got = read_mammogram(path)
    assert_allclose(got.pixels, breast / 4095, atol=1e-6)
    assert got.voi == "window:LINEAR"
    assert [each for each in got.warnings if "lookup table of this file is damaged" in each]
    with pytest.raises(MammogramError, match="shorter than its descriptor"):
        read_mammogram(path, voi="lut")


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_table_that_claims_far_more_bits_than_it_holds_has_the_range_of_its_values(
    write_mammogram, breast, photometric
):
    elements = {"PhotometricInterpretation": photometric, "PresentationLUTShape": None}
    got = read_mammogram(write_mammogram(VOILUTSequence=[lut_item(CURVE, 0, 16)], **elements))
    shown = CURVE[breast] / 4095
    assert_allclose(got.pixels, 1 - shown if photometric == "MONOCHROME1" else shown, atol=1e-6)
    assert [each for each in got.warnings if "range was narrowed" in each]


def test_a_table_that_ends_a_little_below_white_is_left_alone(write_mammogram, breast):
    got = read_mammogram(write_mammogram(VOILUTSequence=[lut_item(CURVE // 2, 0, 12)]))
    assert_allclose(got.pixels, (CURVE // 2)[breast] / 4095, atol=1e-6)
    assert not got.warnings
