import numpy as np
import pytest

from course_utils.teaching.kernels import OWN, KernelWindow, read_kernel

EDGE = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]


@pytest.mark.parametrize(
    "text",
    ["1 0 -1\n2 0 -2\n1 0 -1", "1, 0, −1\n2,0,-2\n\n 1;0;-1 ", "2/2 0.0 -1\n4/2 0 -2.0\n1 0 -1,"],
)
def test_a_kernel_is_read_with_spaces_commas_and_semicolons(text):
    assert read_kernel(text) == [[1, 0, -1], [2, 0, -2], [1, 0, -1]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "here are none"),
        ("1 2 3", "here are 1 rows of 3"),
        ("1 0\n0 1 0\n0 0 1", "here are 3 rows of 2, 3, 3"),
        ("1 x 0\n0 1 0\n0 0 1", "“1 x 0” is not a row of numbers"),
        ("1/0", "is not a row of numbers"),
        ("nan", "is not a row of numbers"),
    ],
)
def test_what_is_no_kernel_is_said_in_a_sentence(text, says):
    with pytest.raises(ValueError, match=says):
        read_kernel(text)


@pytest.fixture
def shown():
    return KernelWindow(np.linspace(0, 1, 120).reshape(10, 12), {"edge": EDGE}, row=2, column=3)


def parts(shown):
    beside, picture = shown.children
    left, editor = beside.children
    return (*left.children, editor, picture)


def test_writing_a_kernel_chooses_it(shown):
    choice, _, _, editor, picture = parts(shown)
    before = picture.value
    editor.value = "0, 0, 0\n0, 2, 0\n0, 0, 0"
    assert choice.value == OWN
    assert picture.value != before


def test_what_cannot_be_read_is_said_below_a_picture_of_the_same_size(shown):
    *_, editor, picture = parts(shown)
    size = picture.value[: picture.value.index("src=")].rpartition("width=")[2]
    editor.value = "0 0 0\n0 2 O\n0 0 0"
    assert "“0 2 O” is not a row of numbers" in picture.value
    assert size in picture.value


def test_the_window_starts_where_it_is_put_and_stays_inside(shown):
    _, row, column, _, _ = parts(shown)
    assert (row.value, row.max, column.value, column.max) == (2, 7, 3, 9)
