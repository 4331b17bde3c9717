"""Each transform of gray values against the standard's own equations and values worked out by hand."""

import tracemalloc
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from course_utils.imaging.errors import MammogramError
from course_utils.imaging.transforms import (
    LookupTable,
    Window,
    apply_lut,
    apply_rescale,
    apply_window,
    mirror,
    percentile_window,
    read_lut,
    read_windows,
)


def standard_linear(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1, with ymin 0 and ymax 1, one value at a time."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


def standard_linear_exact(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.2."""
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


def standard_sigmoid(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.1."""
    return float(1 / (1 + np.exp(-4 * np.longdouble(x - c) / w)))


@pytest.mark.parametrize(("center", "width"), [(2048, 4096), (2048, 1), (0, 100), (0, 2), (1000.5, 333.25)])
@pytest.mark.parametrize(
    ("function", "standard"),
    [("LINEAR", standard_linear), ("LINEAR_EXACT", standard_linear_exact), ("SIGMOID", standard_sigmoid)],
)
def test_each_window_function_follows_the_equation_of_the_standard(function, standard, center, width):
    values = np.concatenate([np.arange(-50, 4200, 7), [center, center - 0.5, center - 1, center + 1]])
    got = apply_window(values.astype(np.float32), Window(center, width, function))
    assert got.dtype == np.float32
    assert_allclose(got, [standard(x, center, width) for x in values], atol=3e-6)


def test_the_standards_own_examples_of_linear_windows_hold():
    # C.11.2.1.2.1, notes: c=2048, w=4096 takes 0..4095 to the whole range, c=0, w=100 takes -50 to the least
    # and 49 to the greatest, c=0, w=1 is a step of which 0 is on the bright side.
    full = apply_window(np.array([0, 4095], np.float32), Window(2048, 4096))
    assert_allclose(full, [0, 1])
    hundred = apply_window(np.array([-50, -0.5, 49], np.float32), Window(0, 100))
    assert_allclose(hundred, [0, 0.5, 1], atol=1e-7)
    assert_array_equal(apply_window(np.array([-1, 0], np.float32), Window(0, 1)), [0, 1])


def test_a_window_works_in_place():
    values = np.arange(5, dtype=np.float32)
    assert apply_window(values, Window(2, 4)) is values


def test_an_8_bit_table_does_not_wrap_indices():
    # Indices taken in the width of the table's entries would come to 0, 2 and 15.
    table = LookupTable((np.arange(4096) // 16).astype(np.uint8), first=0, bits=8)
    assert_array_equal(apply_lut(np.array([256, 300, 4095], np.uint16), table), [16, 18, 255])


def test_a_table_clamps_what_lies_outside_it():
    table = LookupTable(np.array([10, 20, 30], np.uint16), first=-1, bits=12)
    assert_array_equal(
        apply_lut(np.array([-9.0, -1, 0.4, 0.6, 1, 9], np.float32), table), [10, 10, 20, 30, 30, 30]
    )


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32, np.float32])
def test_a_table_is_looked_up_in_little_more_memory_than_its_result_takes(dtype):
    values = np.random.default_rng(0).integers(0, 30000, (2000, 1500)).astype(dtype)
    table = LookupTable(np.arange(65536)[::-1].astype(np.uint16), first=-5, bits=16)
    tracemalloc.start()
    got = apply_lut(values, table)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_array_equal(got, 65530 - values.astype(np.int64))
    assert most < 1.5 * got.nbytes


def test_a_table_clamps_values_of_32_bits_too():
    table = LookupTable(np.array([10, 20], np.uint16), first=0, bits=12)
    assert_array_equal(apply_lut(np.array([2**32 - 1, 0], np.uint32), table), [20, 10])


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_tables_of_8_12_and_16_bits_are_read_from_words(bits, lut):
    values = np.linspace(0, 2**bits - 1, 301).astype(
        np.uint16
    )  # an odd number: 8 bits need a byte of padding
    table, problems = read_lut(lut(values, first=5, bits=bits)[0])
    assert_array_equal(table.values, values)
    assert (table.first, table.bits, problems) == (5, bits, [])


def test_zero_entries_in_a_descriptor_mean_65536(lut):
    table, _ = read_lut(lut(np.arange(65536), bits=16)[0])
    assert len(table.values) == 65536
    assert table.values[-1] == 65535


def test_table_data_that_is_a_list_of_numbers_or_big_endian_reads_the_same(lut):
    item = lut([0, 1000, 4095])[0]
    expected = read_lut(item)[0].values
    item["LUTData"].value = np.array([0, 1000, 4095], ">u2").tobytes()
    assert_array_equal(read_lut(item, little_endian=False)[0].values, expected)
    item.add_new("LUTData", "US", [0, 1000, 4095])
    assert_array_equal(read_lut(item)[0].values, expected)


def test_a_table_with_values_above_its_bits_is_widened_with_a_warning(lut):
    table, problems = read_lut(lut([0, 4095], bits=10)[0])
    assert table.bits == 12
    assert problems == ["A lookup table holds larger values than its descriptor says; its range was widened."]


def test_a_table_that_is_too_short_is_refused(lut):
    item = lut(np.arange(100))[0]
    item.LUTDescriptor = [4096, 0, 12]
    with pytest.raises(MammogramError, match="shorter than its descriptor"):
        read_lut(item)


def header(**elements) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def test_several_windows_keep_their_order_and_function():
    windows, problems = read_windows(
        header(WindowCenter=[2000, 1500], WindowWidth=[4000, 800], VOILUTFunction="SIGMOID")
    )
    assert windows == [Window(2000, 4000, "SIGMOID"), Window(1500, 800, "SIGMOID")]
    assert problems == []


def test_an_empty_function_means_linear():
    assert read_windows(header(WindowCenter=1, WindowWidth=2, VOILUTFunction="")) == (
        [Window(1, 2, "LINEAR")],
        [],
    )


def test_an_unknown_function_is_linear_with_a_warning():
    windows, problems = read_windows(header(WindowCenter=1, WindowWidth=2, VOILUTFunction="LOGISTIC"))
    assert windows == [Window(1, 2, "LINEAR")]
    assert len(problems) == 1


@pytest.mark.parametrize(("center", "width"), [(None, None), ("", ""), (2048, 0), (2048, -5), (2048, 0.5)])
def test_a_window_without_use_is_skipped_with_a_warning(center, width):
    windows, problems = read_windows(header(WindowCenter=center, WindowWidth=width))
    assert [window for window in windows if window] == []
    assert problems == ["A window without a usable centre and width was skipped."]


def test_a_useless_window_leaves_the_number_of_the_next_one_alone():
    windows, _ = read_windows(header(WindowCenter=[0, 1500], WindowWidth=[0, 800]))
    assert windows == [None, Window(1500, 800)]


def test_a_header_without_windows_gives_none_and_no_warning():
    assert read_windows(Dataset()) == ([], [])


def test_rescaling_gives_float32_and_leaves_its_input_alone():
    stored = np.array([[0, 4095]], np.uint16)
    got = apply_rescale(stored, 2, -1000)
    assert got.dtype == np.float32
    assert_array_equal(got, [[-1000, 7190]])
    assert_array_equal(stored, [[0, 4095]])


def test_the_percentile_window_spans_the_inside_only():
    values = np.concatenate([np.arange(1001), np.full(500, 9000)]).astype(np.float32)[None]
    window = percentile_window(values, values < 5000)
    assert_allclose((window.center, window.width), (500, 990))


def test_a_breast_of_one_value_has_no_percentile_window():
    values = np.full((4, 4), 7, np.float32)
    with pytest.raises(MammogramError, match="single value"):
        percentile_window(values, values == 7)


# --- properties ---

STANDARD = {"LINEAR": standard_linear, "LINEAR_EXACT": standard_linear_exact, "SIGMOID": standard_sigmoid}
values_of_16_bits = st.one_of(
    arrays(np.uint16, st.tuples(st.just(3), st.integers(1, 40))),
    arrays(np.int16, st.tuples(st.just(3), st.integers(1, 40))),
)
decimals = st.decimals(-70000, 70000, places=3)  # of the kind found in a header
windows = st.builds(
    lambda center, width, function: Window(center, width + (function == "LINEAR"), function),
    st.floats(-70000, 70000),
    st.floats(1e-3, 140000),
    st.sampled_from(list(STANDARD)),
)


def rounding(window: Window, values: np.ndarray) -> float:
    """What float32 may lose of the difference between value and window, in parts of the window's width."""
    width = window.width - (window.function == "LINEAR")
    largest = abs(window.center) + window.width + np.abs(values.astype(float)).max()
    return 1e-6 + largest * 2.0**-22 / max(width, 1e-6)


@given(values_of_16_bits, windows)
def test_any_window_gives_what_the_equation_gives_within_0_and_1(values, window):
    got = apply_window(values.astype(np.float32), window)
    assert got.min() >= 0
    assert got.max() <= 1
    expected = [
        [STANDARD[window.function](float(x), window.center, window.width) for x in row] for row in values
    ]
    assert_allclose(got, expected, atol=rounding(window, values))


@given(values_of_16_bits, windows)
def test_a_brighter_value_is_never_darker_behind_a_window(values, window):
    got = apply_window(np.sort(values, axis=None)[None].astype(np.float32), window)
    assert (np.diff(got) >= -1e-7).all()  # a bit of the exponential function


@given(arrays(np.float32, (2, 9), elements=st.floats(-(2.0**100), 2.0**100, width=32)), windows)
def test_no_value_and_no_window_gives_anything_but_a_gray(values, window):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for absurd in (window, Window(1e300, 1e-300, "SIGMOID"), Window(-1e300, 1e300, "LINEAR_EXACT")):
            got = apply_window(values.copy(), absurd)
            assert ((got >= 0) & (got <= 1)).all()


@given(values_of_16_bits, windows, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_a_window_of_modality_values_fits_stored_values_as_well(values, window, slope, intercept):
    fitted = window.before_rescale(slope, intercept)
    rescaled = apply_rescale(values, slope, intercept)
    tolerance = 2 * rounding(window, rescaled) + rounding(fitted, values)
    if fitted.width > 0:
        assert_allclose(
            apply_window(values.astype(np.float32), fitted), apply_window(rescaled, window), atol=tolerance
        )


def total_of(values: np.ndarray) -> int:
    """The sum of the least and the greatest value of the type."""
    return 65535 if values.dtype.kind == "u" else -1


@given(values_of_16_bits)
def test_mirroring_twice_changes_nothing(values):
    once = mirror(values, total_of(values))
    assert_array_equal(once, total_of(values) - values.astype(int))
    assert_array_equal(mirror(once, total_of(values)), values)


@given(values_of_16_bits, windows.filter(lambda window: window.function != "LINEAR"))
def test_a_mirrored_window_gives_the_negative_of_mirrored_values(values, window):
    total = total_of(values)
    got = apply_window(mirror(values, total), window.mirrored(total))
    expected = 1 - apply_window(values.astype(np.float32), window)
    assert_allclose(got, expected, atol=4 * rounding(window, values) + 1e-6 / window.width)


@given(values_of_16_bits, decimals, st.decimals(2, 70000, places=3), st.sampled_from(list(STANDARD)))
def test_the_same_image_stored_either_way_round_is_the_same_to_the_bit(values, center, width, function):
    total = total_of(values)
    opposite = total - center + (function == "LINEAR")  # what its header has to say, by exact arithmetic
    one_way = Window(float(center), float(width), function).before_rescale(1, 0)
    other_way = Window(float(opposite), float(width), function).before_rescale(1, 0).mirrored(total)
    inverse = (total - values.astype(np.int64)).astype(values.dtype)
    assert_array_equal(
        apply_window(values.astype(np.float32), one_way), apply_window(mirror(inverse, total), other_way)
    )
    assert one_way == other_way
    assert Decimal(str(other_way.center)) == center - Decimal("0.5") * (function == "LINEAR")


@given(values_of_16_bits, arrays(np.uint16, st.integers(1, 50)), st.integers(-(2**15), 2**16 - 1))
def test_a_table_does_what_a_loop_does(values, entries, first):
    table = LookupTable(entries, first, 16)
    expected = [[entries[min(max(int(x) - first, 0), len(entries) - 1)] for x in row] for row in values]
    for dtype in (values.dtype, np.int64, np.float32):
        assert_array_equal(apply_lut(values.astype(dtype), table), expected)


def raw(dataset: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """Put an element as it stands in a file into a data set, whether it makes sense or not."""
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


texts = st.one_of(
    st.text("0123456789.-+eE\\ naif", max_size=30).map(str.encode), st.binary(max_size=30), st.just(b"")
)
vrs = st.sampled_from(["DS", "IS", "US", "SS", "OW", "OB", "LO", "CS", "UN", "FD", "SQ", "UT", "PN"])


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(vrs, texts, vrs, texts, vrs, texts)
def test_no_header_makes_reading_windows_fail(vr1, center, vr2, width, vr3, function):
    header = Dataset()
    raw(header, "WindowCenter", vr1, center)
    raw(header, "WindowWidth", vr2, width)
    raw(header, "VOILUTFunction", vr3, function)
    found, problems = read_windows(header)
    assert all(window is None or window.width > 0 for window in found)
    assert all(isinstance(problem, str) for problem in problems)


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(vrs, texts, vrs, st.binary(max_size=60), st.sampled_from([None, True, False]), st.booleans())
def test_no_header_makes_reading_a_table_fail_but_with_a_sentence(vr1, descriptor, vr2, data, signed, little):
    item = Dataset()
    raw(item, "LUTDescriptor", vr1, descriptor)
    raw(item, "LUTData", vr2, data)
    try:
        table, _ = read_lut(item, signed=signed, little_endian=little)
    except MammogramError:
        return
    assert 0 < len(table.values) <= 65536
    assert table.values.max() < 2**table.bits <= 65536


@given(arrays(np.uint16, st.integers(1, 300)), st.integers(-(2**15), 2**16 - 1), st.booleans())
def test_a_table_is_read_as_it_was_written(entries, first, signed):
    item = Dataset()
    raw(
        item,
        "LUTDescriptor",
        "US",
        b"".join(n.to_bytes(2, "little") for n in (len(entries), first % 65536, 16)),
    )
    raw(item, "LUTData", "OW", entries.astype("<u2").tobytes())
    table, problems = read_lut(item, signed=signed)
    assert_array_equal(table.values, entries)
    assert (table.first - first) % 65536 == 0
    assert table.first in (range(-32768, 32768) if signed else range(65536))
    assert problems == []


@pytest.mark.parametrize(
    ("written", "signed", "first"), [(65336, True, -200), (-200, False, 65336), (7, True, 7)]
)
def test_the_first_value_mapped_is_signed_as_the_values_are(lut, written, signed, first):
    item = lut([0, 1])[0]
    item.add_new("LUTDescriptor", "SS" if written < 0 else "US", [2, written, 12])
    assert read_lut(item, signed=signed)[0].first == first
    assert read_lut(item)[0].first == written


@pytest.mark.parametrize(("centers", "widths"), [([2000, 1500], 4000), (2000, [4000, 800]), ([1, 2, 3], [5])])
def test_a_centre_without_a_width_and_the_other_way_round_is_skipped_with_a_warning(centers, widths):
    windows, problems = read_windows(header(WindowCenter=centers, WindowWidth=widths))
    assert windows[0] is not None
    assert set(windows[1:]) == {None}
    assert problems == ["A window without a usable centre and width was skipped."]


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_windows_narrower_than_one_and_below_zero_are_good_except_for_linear(function):
    windows, problems = read_windows(header(WindowCenter=-3.5, WindowWidth=0.25, VOILUTFunction=function))
    assert windows == [Window(-3.5, 0.25, function)]
    assert problems == []
    got = apply_window(np.array([-4, -3.5, -3], np.float32), windows[0])
    assert_allclose(got, [STANDARD[function](x, -3.5, 0.25) for x in (-4, -3.5, -3)], atol=1e-6)
