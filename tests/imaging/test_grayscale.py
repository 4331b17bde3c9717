"""The grayscale transforms against the standard's own equations and values worked out by hand."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydicom.dataset import Dataset

from course_utils.imaging.errors import MammogramError
from course_utils.imaging.grayscale import (
    LookupTable,
    Window,
    apply_lut,
    apply_rescale,
    apply_window,
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
    )  # an odd number: 8 bits need a byte of filling
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
