"""Exercises of lesson 01: what identifies a person, the LINEAR window, MONOCHROME1, the order of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of
from course_utils.teaching.exercises.answers import on_copies

Lookup = Callable[[np.ndarray], np.ndarray]
Identifying = Callable[[Dataset], Iterable[Any]]
Linear = Callable[[np.ndarray, float, float], np.ndarray]
AsMonochrome2 = Callable[[np.ndarray, int, int], np.ndarray]
ToDisplay = Callable[[np.ndarray, float, float, Lookup | None, Lookup | None, bool], np.ndarray]

PRIVATE_NOTE = (0x0009, 0x1001)
"""The private element of `planted_header` in which a name is hidden."""

_IDENTIFYING: dict[str | tuple[int, int], str] = {
    "PatientName": "names her",
    "PatientID": "is her number in the clinic's archive",
    "PatientBirthDate": "singles her out, together with any other date",
    "AccessionNumber": "is the number of her visit in the clinic's books",
    "ReferringPhysicianName": "names a person too: her doctor",
    "StudyDate": "says on which day she was there",
    "SOPInstanceUID": "is unique in the world: the archive knows whose it is",
    "StudyInstanceUID": "is unique in the world: the archive knows whose it is",
    "ImageComments": "is free text, and somebody has typed a name and a number into it",
    PRIVATE_NOTE: "is private to the vendor and repeats her name: a list of known names never catches it",
}
_HARMLESS: dict[str | tuple[int, int], str] = {
    "PatientOrientation": "says which way the picture lies, not who is in it",
    "SOPClassUID": "is the same in every mammogram of this kind: it says what the file is",
    "Modality": "is MG in every mammogram",
    "ViewPosition": "is shared with millions of mammograms",
    "ImageLaterality": "is shared with half of all mammograms",
    "PhotometricInterpretation": "is needed to show the picture",
    "Rows": "is needed to read the pixels",
    "Columns": "is needed to read the pixels",
    "BitsStored": "is needed to read the pixels",
}
# Removed by the standard's basic profile or not (PS3.15 Table E.1-1), neither is a mistake worth a lesson.
_DISPUTED = ("StudyTime", "PatientSex", "InstitutionName", "Manufacturer", (0x0009, 0x0010))


def planted_header() -> Dataset:
    """Return a mammogram's header of 24 elements with made-up identifiers in it, one in a private element."""
    header = Dataset()
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    header.SOPInstanceUID = "2.25.1001"
    header.StudyInstanceUID = "2.25.1002"
    header.StudyDate = "20000101"
    header.StudyTime = "120000"
    header.AccessionNumber = "MADE-UP-77"
    header.Modality = "MG"
    header.Manufacturer = "Example Devices"
    header.InstitutionName = "Example Clinic"
    header.ReferringPhysicianName = "Sample^Doctor"
    header.private_block(PRIVATE_NOTE[0], "EXAMPLE DEVICES", create=True).add_new(
        0x01, "LO", "for Example, Ada"
    )
    header.PatientName = "Example^Ada"
    header.PatientID = "MADE-UP-0042"
    header.PatientBirthDate = "19000101"
    header.PatientSex = "F"
    header.ViewPosition = "MLO"
    header.PatientOrientation = ["A", "FR"]
    header.ImageLaterality = "L"
    header.ImageComments = "Ms Example asks to be called, 000-0000"
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns, header.BitsStored = 3328, 2560, 12
    return header


def _test_identifying(find: Identifying) -> None:
    header = planted_header()
    got: Any = find(header)
    if isinstance(got, Dataset):
        raise NotYet(
            "a header came back. Asked for is a list of what has to go, with the header left as it is."
        )
    if isinstance(got, str) or not isinstance(got, Iterable):
        raise NotYet(f"a list of keywords and tags is needed, and out came {kind_of(got)}.")
    tags = {_tag(one): one for one in got}
    if header != planted_header():
        raise NotYet(
            "your function has changed the header that it was given. Only list what has to go, and delete "
            "nothing."
        )
    missed = [name for name in _IDENTIFYING if Tag(name) not in tags]
    wrong = [name for name in _HARMLESS if Tag(name) in tags]
    known = {Tag(name) for name in (*_IDENTIFYING, *_HARMLESS, *_DISPUTED)}
    if strange := sorted(set(tags) - known):
        raise NotYet(_no_element(strange[0], tags[strange[0]]))
    if not missed and not wrong:
        return
    if len(wrong) == len(_HARMLESS):
        raise NotYet(
            "you flagged everything. Without Rows, Columns and BitsStored nobody can read the picture."
        )
    said = []
    if missed:  # a long list would give the answer away
        which = _listed(missed) if len(missed) <= 2 else f"{len(missed)} of {len(_IDENTIFYING)}"
        said.append(f"{which} {'was' if len(missed) == 1 else 'were'} missed.")
    said += [f"{_listed(wrong)} {'was' if len(wrong) == 1 else 'were'} flagged wrongly."] if wrong else []
    if wrong:
        said.append(f"{wrong[0]} {_HARMLESS[wrong[0]]}.")
    if missed:
        said.append(f"{_listed(missed[:1])} {_IDENTIFYING[missed[0]]}.")
    raise NotYet(" ".join(said))


def _no_element(tag: BaseTag, given: Any) -> str:
    if isinstance(given, str):
        return f"the header has no element {tag}, {given}. Print it, and take the names from there."
    return (
        f"the header has no element {tag}. Print it, and take the tags from there; the numbers of a tag are "
        "hexadecimal and begin with 0x."
    )


def _tag(one: Any) -> BaseTag:
    if one == "":
        raise NotYet(
            "one of the keywords is empty: an element that is private to a vendor has none. Give its `tag`."
        )
    if isinstance(one, list | tuple | set) and any(isinstance(each, str) for each in one):
        raise NotYet(
            f"there is a {type(one).__name__} within the list, with {next(iter(one))!r} in it. One list is "
            "needed: two of them are joined by `+`."
        )
    try:
        return Tag(getattr(one, "tag", one))
    except (ValueError, OverflowError, TypeError):
        raise NotYet(
            f"{one!r} is neither a keyword, such as 'PatientName' (the printed name without blanks and 's), "
            "nor a tag, such as (0x0010, 0x0010), without quotation marks."
        ) from None


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(name if isinstance(name, str) else str(Tag(name)) for name in names)


def _linear_by_the_standard(x: float, center: float, width: float) -> float:
    """PS3.3 C.11.2.1.2.1 with ymin 0 and ymax 1, one value at a time, in the standard's own order."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if x > center - 0.5 + (width - 1) / 2:
        return 1.0
    return (x - (center - 0.5)) / (width - 1) + 0.5


def _test_linear(answer: Linear) -> None:
    linear = on_copies(answer)
    x = np.arange(-60, 60)
    with np.errstate(all="ignore"):
        # the standard's note: with centre 0 and width 100, -50 becomes 0 and 49 becomes 1
        _test_one_window(_numbers(linear(x, 0.0, 100.0), x.shape), x)
        _test_other_windows(linear)
        _test_width_1(linear)


def _test_one_window(got: np.ndarray, x: np.ndarray) -> None:
    at = dict(zip(x.tolist(), got.tolist(), strict=True))
    expected = np.array([_linear_by_the_standard(value, 0, 100) for value in x.tolist()])
    if np.allclose(got, expected, atol=1e-6):
        return
    if np.isnan(got).any():
        raise NotYet(f"with centre 0 and width 100, {x[np.isnan(got)][0]} became nan, which is no number.")
    if len(np.unique(got)) == 1:
        raise NotYet(
            f"with centre 0 and width 100, all numbers from {x[0]} to {x[-1]} became {got[0]:.4g}. Are two "
            "things exchanged, such as the centre and the width, or the two ends of the clipping?"
        )
    if got.max() > 1.5:
        raise NotYet(
            f"the result reaches {got.max():.4g}. The output goes from 0 to 1 here; where is the "
            "clipping, and at which numbers?"
        )
    if len(np.unique(got)) <= 2:
        raise NotYet(
            "only two different grays came out. Were the values clipped to 0 and 1 before they were scaled, "
            "or made whole numbers on the way (by `//`, or by an array of integers)?"
        )
    if got.min() < -1e-9 or got.max() > 1 + 1e-9:
        raise NotYet(
            f"outside the window the result runs on to {got.min():.2f} and {got.max():.2f}. Below the "
            "window is 0, above it is 1."
        )
    if np.allclose(got, 1 - expected, atol=1e-3):
        raise NotYet("the least value became 1: the window runs the wrong way.")
    if np.allclose(got, np.clip(x / 100 + 0.5, 0, 1), atol=1e-6):
        raise NotYet(
            "with centre 0 and width 100, 49 should become exactly 1 and becomes 0.99. That is LINEAR_EXACT: "
            "LINEAR has a -0.5 at the centre and a -1 at the width."
        )
    if np.allclose(got, np.clip(x / 99 + 0.5, 0, 1), atol=1e-6):
        raise NotYet(
            f"the -1 at the width is there. At the centre, 0 becomes {at[0]:.4f} and not 0.5051: why?"
        )
    if np.allclose(got, np.clip((x + 0.5) / 100 + 0.5, 0, 1), atol=1e-6):
        raise NotYet(
            f"the -0.5 at the centre is there, but 49 becomes {at[49]:.3f} and not 1. By what is divided?"
        )
    if np.allclose(got, np.clip((x - 0.5) / 99 + 0.5, 0, 1), atol=1e-6):
        raise NotYet(
            f"the -1 at the width is there, but 0 becomes {at[0]:.4f} and not 0.5051. Mind the brackets of "
            "`x - (c - 0.5)`: without them it is `x - c + 0.5`."
        )
    worst = int(np.argmax(np.abs(got - expected)))
    if np.allclose(got, expected, atol=5.1e-3):
        raise NotYet(
            f"nearly: {x[worst]} should become {expected[worst]:.4f} and becomes {got[worst]:.4f}. Is the "
            "result rounded, or of a dtype with few digits?"
        )
    raise NotYet(
        f"with centre 0 and width 100, {x[worst]} should become {expected[worst]:.4g} and becomes "
        f"{got[worst]:.4g}. Compare with the last line of the equation, bracket by bracket."
    )


def _test_other_windows(linear: Linear) -> None:
    stored = np.array([[0, 1, 700, 1999], [2000, 2600, 4000, 4095]], dtype=np.uint16)
    for center, width in ((2048.0, 4096.0), (1500.0, 1000.0), (2000.0, 2.0)):
        got = _numbers(linear(stored, center, width), stored.shape)
        expected = [
            [_linear_by_the_standard(float(x), center, width) for x in row] for row in stored.tolist()
        ]
        if not np.allclose(got, expected, atol=1e-5):
            raise NotYet(
                f"it holds for centre 0 and width 100, but not for centre {center:g} and width {width:g}. Is "
                "a number written into your function, or taken from the picture?"
            )


def _test_width_1(linear: Linear) -> None:
    for center in (2048.0, 0.0):  # both are examples in the standard's notes
        x = center - 0.5 + np.array([-1000, -0.5, 0, 0.5, 1000])
        try:
            got = _numbers(linear(x, center, 1.0), x.shape)
        except ZeroDivisionError:
            raise NotYet(
                "with width 1 it stopped with a ZeroDivisionError. There `width - 1` is 0, and what is left "
                f"of the equation is its first two lines, a step just above {center - 0.5:g}."
            ) from None
        except NotYet as problem:
            raise NotYet(f"with width 1: {problem}") from None
        wrong = ~np.isclose(got, [0, 0, 0, 1, 1], atol=1e-6)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise NotYet(
                f"with centre {center:g} and width 1, {x[at]:g} should become {int(at > 2)} and becomes "
                f"{got[at]:.4g}. There `width - 1` is 0, and nothing can be divided by it: what is left of "
                f"the equation is its first two lines, a step just above {center - 0.5:g}."
            )


def _numbers(got: Any, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(got, np.ndarray) or got.shape != shape:
        raise NotYet(f"an array of shape {shape} went in, and out came {kind_of(got)}.")
    if isinstance(got, np.ma.MaskedArray):
        raise NotYet(
            "a masked array came out, and where it is masked there is no number. `.filled(0)` makes an "
            "ordinary array of it, with 0 there."
        )
    return got.astype(np.float64)


def _test_as_monochrome2(answer: AsMonochrome2) -> None:
    convert = on_copies(answer)
    low = np.array([[4000, 3000, 1000], [200, 0, 0]], dtype=np.uint16)  # 12 bits; 0 is padding
    _test_low_padding(_numbers(convert(low, 12, 0), low.shape), low)
    high = np.array([[4000, 3000, 4095], [200, 4095, 0]], dtype=np.uint16)  # 12 bits; 4095 is padding
    got = _numbers(convert(high, 12, 4095), high.shape)
    if not got.any():
        raise NotYet(f"it holds for padding 0, but with padding 4095 {_EQUAL}")
    if not np.array_equal(got, [[95, 1095, 0], [3895, 0, 4095]]):
        why = "Was the padding looked for before anything was turned?"
        if got[1, 2] == 0:
            why = "0 is not padding here. Is 0 written into your function, where `padding_value` is meant?"
        if got[0, 2] == 4095:
            why = "Padding is to become 0, whatever it was."
        raise NotYet(
            "it holds for padding 0, but not for padding 4095: 4000, 4095 and 0 should become 95, 0 and "
            f"4095, and became {got[0, 0]:.6g}, {got[0, 2]:.6g} and {got[1, 2]:.6g}. {why}"
        )
    middle = np.array([[16383, 600, 500, 499], [9, 500, 501, 0]], dtype=np.uint16)  # 14 bits; 500
    got = _numbers(convert(middle, 14, 500), middle.shape)
    if not np.array_equal(got, [[0, 15783, 0, 15884], [16374, 0, 15882, 16383]]):
        raise NotYet(
            "it holds for 12 bits, but not for 14 bits and padding 500, which must end at 0: 9, 499 and 500 "
            f"should become 16374, 15884 and 0, and became {got[1, 0]:.6g}, {got[0, 3]:.6g} and "
            f"{got[0, 2]:.6g}. Is a number written into your function, or `<=` where `==` is meant?"
        )


_EQUAL = (
    "pixels of the breast became 0 as well. Padding is where the number *equals* the padding value: `==`, "
    "not `<=` or `>=`."
)


def _test_low_padding(got: np.ndarray, stored: np.ndarray) -> None:
    expected = np.array([[95, 1095, 3095], [3895, 0, 0]])
    picture, came = stored > 0, f"4000 became {got[0, 0]:.6g}"
    if not got[picture].any() and got[~picture].all():
        raise NotYet(
            "the breast became 0, and the padding did not. Are two things exchanged: `==` and `!=`, or what "
            "comes second and third in `np.where`?"
        )
    if not got[picture].any():
        raise NotYet(f"with padding 0 {_EQUAL}")
    if np.array_equal(got[picture], stored[picture]):
        raise NotYet("the picture came out as it went in. Is it turned twice, or not at all?")
    if any(np.array_equal(got[picture], ends - stored[picture]) for ends in (4000.0, 4200.0)):
        raise NotYet(
            f"{came}: 4000 is the darkest value here, but not the darkest that 12 bits can hold. With "
            "another maximum all numbers would move. Turn within the range, not by the picture's own maximum."
        )
    if np.array_equal(got[picture], 4096.0 - stored[picture]):
        raise NotYet(f"{came} and should become 95. What is the largest number in 12 bits?")
    if np.array_equal(got[picture], 65535.0 - stored[picture]):
        raise NotYet(
            f"{came}. The array has room for 16 bits in each pixel, but the file uses 12 of them: "
            "`bits_stored`."
        )
    if got[0, 0] in (1.0 - 4000, 1.0 - 4000 + 65536, -4000.0, 65536.0 - 4000):
        raise NotYet(
            f"{came}. `1 - x` turns numbers from 0 to 1, `-x` turns about 0; these go from 0 to 4095."
        )
    without_brackets = (2 ^ (11 - stored[picture].astype(np.int64))) % 65536
    if np.array_equal(got[picture] % 65536, (13.0 - stored[picture]) % 65536) or np.array_equal(
        got[picture] % 65536, without_brackets
    ):
        raise NotYet(f"{came}. In Python `2^12` is 14, an exclusive or; the power is `2**12`.")
    if got.min() >= 0 and got.max() <= 1:
        raise NotYet(f"{came}. Whole numbers from 0 to 4095 are asked for, as a file would store them.")
    if np.array_equal(got[picture], expected[picture]) and not np.array_equal(got, expected):
        ground = ": a white ground" if got[1, 1] == 4095 else ""
        raise NotYet(
            f"the breast is right, but the padding became {got[1, 1]:.6g}{ground}. It is no picture, and "
            "must end dark, at 0. Note where it is before you turn."
        )
    if np.array_equal(got[picture], expected[picture] % 256):
        raise NotYet(
            f"1000 should become 3095 and became {got[0, 2]:.6g}, which is 3095 in an array of 8 bits: it "
            "has no room for more than 256 numbers."
        )
    if not np.array_equal(got, expected):
        raise NotYet(
            f"4000, 1000 and padding should become 95, 3095 and 0; they became {got[0, 0]:.6g}, "
            f"{got[0, 2]:.6g} and {got[1, 1]:.6g}."
        )


def _test_to_display(answer: ToDisplay) -> None:
    to_display = on_copies(answer)
    stored = np.array([[0, 100, 300], [400, 700, 1000]], dtype=np.uint16)

    def table(values: np.ndarray) -> np.ndarray:
        return np.clip((_whole(values) + 100) / 2500, 0, 1) ** 2

    def window(values: np.ndarray) -> np.ndarray:
        return np.clip((_whole(values) - 300) / 2500, 0, 1)

    def got(lut: Lookup | None, chosen: Lookup | None, inverted: bool) -> np.ndarray:
        return _numbers(to_display(stored, 2.0, -100.0, lut, chosen, inverted), stored.shape)

    modality = stored * 2.0 - 100
    shown = got(None, window, False)
    if np.allclose(shown, window(stored.astype(float))):
        raise NotYet(
            "the window got the stored values. Its centre and width are in modality units: rescale first."
        )
    if np.allclose(shown, window(stored.astype(float)) * 2 - 100):
        raise NotYet("the rescale came after the window. Its centre and width are in modality units.")
    if np.allclose(shown, 1 - window(modality)):
        raise NotYet("`low_is_bright` is False here, and the picture was turned all the same.")
    _test_modality(shown, stored, modality, window)
    both = got(table, window, False)
    if np.allclose(both, shown):
        raise NotYet("this file has both, and the window won. Where a VOI LUT is chosen, no window applies.")
    if np.allclose(both, window(table(modality))) or np.allclose(both, table(window(modality))):
        raise NotYet(
            "the LUT and the window were applied one after the other. They are alternatives: one of them."
        )
    if not np.allclose(both, table(modality)):
        raise NotYet("with a VOI LUT, the result should be `lut(slope * stored + intercept)`.")
    _test_inversion(got(None, window, True), stored, modality, window)
    if not np.allclose(got(table, None, True), 1 - table(modality)):
        raise NotYet("low values are bright, and it holds with a window, but not with a VOI LUT.")


def _whole(values: Any) -> np.ndarray:
    """Return what a student gave to a window or LUT as floats, as the lesson's own windows do."""
    if not isinstance(values, np.ndarray):
        raise NotYet(
            "`lut` and `window` take the whole array of modality values at once, and this one got "
            f"{kind_of(values)}."
        )
    return values.astype(np.float64)


def _test_modality(shown: np.ndarray, stored: np.ndarray, modality: np.ndarray, window: Lookup) -> None:
    right = window(modality)
    if np.allclose(shown, right):
        return
    if shown.max() > 1 + 1e-6:
        raise NotYet(
            f"with a window alone the result reaches {shown.max():.4g}. Gray values go from 0 to 1 here, and "
            "the window gives them."
        )
    if np.all((shown == 0) | (shown == 1)):
        raise NotYet(
            "with a window alone every gray value became 0 or 1. Are whole numbers made of them, or is the "
            "window given something else than modality values?"
        )
    below = modality < 0
    if np.allclose(shown[~below], right[~below]):
        raise NotYet(
            f"a modality value of {modality[below][0]:g} should become {right[below][0]:g} and became "
            f"{shown[below][0]:.4g}. Modality values may be negative, which unsigned integers cannot hold."
        )
    others = {
        "the intercept was left out": stored * 2.0,
        "the slope was left out": stored - 100.0,
        "the intercept was added before the slope multiplied": (stored - 100.0) * 2,
        "the intercept was subtracted": stored * 2.0 + 100,
    }
    for what, values in others.items():
        if np.allclose(shown, window(values)):
            raise NotYet(f"{what}. The modality value is `slope * stored + intercept`.")
    at = np.unravel_index(np.argmax(np.abs(shown - right)), right.shape)
    raise NotYet(
        "with a window alone, the result should be `window(slope * stored + intercept)`: a stored "
        f"{stored[at]} should become {right[at]:.4g} and becomes {shown[at]:.4g}."
    )


def _test_inversion(turned: np.ndarray, stored: np.ndarray, modality: np.ndarray, window: Lookup) -> None:
    if np.allclose(turned, window(modality)):
        raise NotYet("low values are bright in this file, and the picture was not turned.")
    if np.allclose(turned, window(modality).max() - window(modality)):
        raise NotYet("turned by the picture's own maximum. After the VOI the range is 0 to 1, in every file.")
    early = (
        1 - modality,
        modality.max() - modality,
        *((highest - stored) * 2 - 100 for highest in (float(stored.max()), 4095.0, 65535.0)),
    )
    if any(np.allclose(turned, window(values)) for values in early):
        raise NotYet(
            "it was turned before the VOI. The window's numbers are meant for values as they are: turn last."
        )
    if not np.allclose(turned, 1 - window(modality)):
        raise NotYet("where low values are bright, the result should be 1 minus what the VOI gave.")


def _keywords(header: Dataset, wanted: Callable[[Any], bool]) -> list[str]:
    return [element.keyword for element in header if element.keyword and wanted(element)]


def _right_but(*left_out: Any) -> Identifying:
    return lambda header: [name for name in _IDENTIFYING if name not in left_out]


def _both(values: np.ndarray, lut: Lookup | None, window: Lookup | None) -> np.ndarray:
    for transform in (lut, window):
        values = values if transform is None else transform(values)
    return values


def _window_in_place(x: np.ndarray, center: float, width: float) -> np.ndarray:
    step = 1.0 * (x > center - 0.5)
    y = step if width == 1 else np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    x[:] = y
    return y


def _turned_in_place(stored: np.ndarray, bits_stored: int, padding_value: int) -> np.ndarray:
    stored[stored == padding_value] = 2**bits_stored - 1
    return 2**bits_stored - 1 - stored


def _rescaled_in_place(
    stored: np.ndarray,
    slope: float,
    intercept: float,
    lut: Lookup | None,
    window: Lookup | None,
    low_is_bright: bool,
) -> np.ndarray:
    voi = lut or window
    assert voi is not None
    shown = voi(stored * slope + intercept)
    stored[:] = 0
    return 1 - shown if low_is_bright else shown


def _turned_by_maximum(shown: np.ndarray, low_is_bright: bool) -> np.ndarray:
    return shown.max() - shown if low_is_bright else shown


EXERCISES = (
    Exercise(
        id="01.1",
        title="What in this header leads back to her?",
        minutes=8,
        test=_test_identifying,
        buys=(
            "you have read the values too, where a list of well-known names would have stopped. Four more "
            "were up to you: Table E.1-1 empties StudyTime and PatientSex and removes or replaces "
            "InstitutionName; it does not list Manufacturer."
        ),
        hints=(
            "Go through the printed header line by line and ask of each: could somebody who holds the "
            "clinic's books find her with this? Names that begin with Patient are neither enough nor all of "
            "them.",
            "Four kinds: names and numbers of people; dates; numbers that are unique in the world (but not "
            "SOPClassUID, which says what kind of file it is); and whatever somebody typed. One more hides "
            "in a private element: its group number is odd.",
            "PatientName, PatientID, PatientBirthDate, AccessionNumber, ReferringPhysicianName, StudyDate, "
            "SOPInstanceUID, StudyInstanceUID, ImageComments and the tag (0x0009, 0x1001).",
        ),
        planted=(
            Planted(
                lambda header: _keywords(header, lambda e: e.keyword.startswith("Patient")),
                "took what begins with Patient",
                "PatientOrientation says which way",
            ),
            Planted(
                lambda header: [*_IDENTIFYING, "SOPClassUID"],
                "took every UID",
                "SOPClassUID was flagged wrongly",
            ),
            Planted(_right_but("ImageComments"), "did not read the free text", "ImageComments is free text"),
            Planted(
                _right_but(PRIVATE_NOTE),
                "did not look at private elements",
                "(0009,1001) is private to the vendor",
            ),
            Planted(_right_but("StudyDate"), "left the date", "StudyDate says on which day"),
            Planted(
                _right_but("SOPInstanceUID", "StudyInstanceUID"),
                "left what is unique in the world",
                "SOPInstanceUID, StudyInstanceUID were missed",
            ),
            Planted(
                lambda header: [*_keywords(header, lambda e: True), ""],
                "gave the private element's empty keyword",
                "one of the keywords is empty",
            ),
            Planted(
                lambda header: [list(_IDENTIFYING)[:3], list(_IDENTIFYING)[3:]],
                "put lists into the list",
                "there is a list within the list",
            ),
            Planted(
                lambda header: [element.tag for element in header],
                "flagged everything",
                "you flagged everything",
            ),
        ),
    ),
    Exercise(
        id="01.2",
        title="The LINEAR window, from the standard's equation",
        minutes=8,
        test=_test_linear,
        buys="this is PS3.3 C.11.2.1.2.1 to the last digit, the two odd constants included.",
        hints=(
            "The last line of the equation alone, for the whole array at once, is a straight line. What do "
            "the first two lines do to what runs out of it below and above?",
            "`np.clip(y, 0, 1)` keeps `y` between 0 and 1. Scale first, clip last. Mind the brackets: the "
            "centre is c - 0.5, the width is w - 1.",
            "First `if width == 1: return np.where(x > center - 0.5, 1.0, 0.0)`. For all other widths "
            "`y = (x - (center - 0.5)) / (width - 1) + 0.5`, then `return np.clip(y, 0, 1)`.",
        ),
        planted=(
            Planted(
                lambda x, center, width: np.clip((x - center) / width + 0.5, 0, 1),
                "left out the -0.5 and the -1",
                "That is LINEAR_EXACT",
            ),
            Planted(
                lambda x, center, width: np.clip((x - center) / (width - 1) + 0.5, 0, 1),
                "left out the -0.5",
                "0 becomes 0.5000 and not 0.5051",
            ),
            Planted(
                lambda x, center, width: np.clip((x - center - 0.5) / (width - 1) + 0.5, 0, 1),
                "left out the brackets of the centre",
                "without them it is",
            ),
            Planted(
                lambda x, center, width: np.clip((x - (center - 0.5)) / width + 0.5, 0, 1),
                "divided by the width",
                "By what is divided?",
            ),
            Planted(
                lambda x, center, width: (np.clip(x, 0, 1) - (center - 0.5)) / (width - 1) + 0.5,
                "clipped before scaling",
                "before they were scaled",
            ),
            Planted(
                lambda x, center, width: (x - (center - 0.5)) / (width - 1) + 0.5,
                "did not clip",
                "outside the window the result runs on",
            ),
            Planted(
                lambda x, center, width: np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255,
                "made 8-bit values",
                "the result reaches 255",
            ),
            Planted(
                lambda x, center, width: np.clip((x - x.min()) / (x.max() - x.min()), 0, 1),
                "stretched the picture's own range",
                "becomes 0.916",
            ),
            Planted(
                lambda x, center, width: np.clip(x - (center - 0.5) / (width - 1) + 0.5, 0, 1),
                "forgot the outer brackets",
                "-1 should become 0.4949",
            ),
            Planted(
                lambda x, center, width: np.clip((x + 0.5) / 99 + 0.5, 0, 1),
                "wrote the numbers in",
                "Is a number written into your function",
            ),
            Planted(
                lambda x, center, width: np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1),
                "divided by nothing at width 1",
                "There `width - 1` is 0",
            ),
            Planted(
                _window_in_place, "wrote into the array that it was given", "where it stands, and its caller"
            ),
        ),
    ),
    Exercise(
        id="01.3",
        title="MONOCHROME1 turned, padding kept dark",
        minutes=6,
        test=_test_as_monochrome2,
        buys="the same tissue now has the same number, whatever else is in the picture, on a dark ground.",
        hints=(
            "In 3 bits the numbers go from 0 to 7. Which number must 7 become, and which 0? Does it matter "
            "whether any pixel is 7?",
            "`2**bits_stored - 1` is the largest number there can be; take the picture away from it. Padding "
            "is where `stored == padding_value`, asked before anything has changed.",
            "`turned = 2**bits_stored - 1 - stored`, then "
            "`return np.where(stored == padding_value, 0, turned)`.",
        ),
        planted=(
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, 0, stored.max() - stored),
                "turned by the picture's maximum",
                "not by the picture's own maximum",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, 0, 1 - stored.astype(int)),
                "took stored values for 0 to 1",
                "`1 - x` turns numbers from 0 to 1",
            ),
            Planted(
                lambda stored, bits, padding: 2**bits - 1 - stored,
                "turned the padding too",
                "a white ground",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, 2**bits - 1 - stored, 0),
                "exchanged the two ends of np.where",
                "the breast became 0, and the padding did not",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, padding, 2**bits - 1 - stored),
                "left the padding as it was",
                "Padding is to become 0, whatever it was",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, 0, 2**bits - stored),
                "one off",
                "What is the largest number in 12 bits?",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, 0, ~stored),
                "turned all 16 bits",
                "the file uses 12 of them",
            ),
            Planted(
                lambda stored, bits, padding: 2**bits - 1 - (2**bits - 1 - stored),
                "turned it twice",
                "Is it turned twice",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, 0, (2 ^ bits) - 1 - stored),
                "took ^ for the power",
                "the power is `2**12`",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, 0, 1 - stored / (2**bits - 1)),
                "gave numbers from 0 to 1",
                "as a file would store them",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == 0, 0, 4095 - stored),
                "wrote the numbers in",
                "Is 0 written into your function",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored == padding, 0, 4095 - stored.astype(int)),
                "wrote the 12 bits in",
                "not for 14 bits",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored <= padding, 0, 2**bits - 1 - stored),
                "took all that is lower for padding",
                "but with padding 4095 pixels of the breast",
            ),
            Planted(
                lambda stored, bits, padding: np.where(stored >= padding, 0, 2**bits - 1 - stored),
                "took all that is higher for padding",
                "with padding 0 pixels of the breast",
            ),
            Planted(
                _turned_in_place, "wrote into the array that it was given", "where it stands, and its caller"
            ),
        ),
    ),
    Exercise(
        id="01.4",
        title="Which transform, and in which order?",
        minutes=6,
        test=_test_to_display,
        buys="any mammogram that brings a LUT or a window now comes out as its maker meant it.",
        hints=(
            "Three steps, each on what the one before gave: modality, VOI, presentation. Exactly one of "
            "`lut` and `window` has its turn.",
            "`voi = window if lut is None else lut`, so that the LUT wins. It is called with the modality "
            "values.",
            "`shown = voi(slope * stored + intercept)`, then `return 1 - shown if low_is_bright else shown`.",
        ),
        planted=(
            Planted(
                lambda stored, slope, intercept, lut, window, low: (lut or window)(stored.astype(float)),
                "left out the modality transform",
                "the window got the stored values",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: (
                    (lut or window)(stored.astype(float)) * slope + intercept
                ),
                "rescaled after the VOI",
                "the rescale came after the window",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: (lut or window)(slope * stored),
                "forgot the intercept",
                "the intercept was left out",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: (lut or window)(
                    (slope * stored + intercept).astype(np.uint16)
                ),
                "made unsigned integers of the modality values",
                "which unsigned integers cannot hold",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: (window or lut)(
                    slope * stored + intercept
                ),
                "let the window win",
                "and the window won",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: _both(
                    slope * stored + intercept, lut, window
                ),
                "applied both",
                "one after the other",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: (
                    1 - (lut or window)(slope * stored + intercept)
                ),
                "always turned",
                "turned all the same",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: (lut or window)(
                    slope * stored + intercept
                ),
                "never turned",
                "the picture was not turned",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: (lut or window)(
                    slope * (float(stored.max()) - stored if low else stored) + intercept
                ),
                "turned the stored values",
                "turned before the VOI",
            ),
            Planted(
                lambda stored, slope, intercept, lut, window, low: _turned_by_maximum(
                    (lut or window)(slope * stored + intercept), low
                ),
                "turned by the picture's maximum",
                "After the VOI the range is 0 to 1",
            ),
            Planted(
                _rescaled_in_place,
                "wrote into the array that it was given",
                "where it stands, and its caller",
            ),
        ),
    ),
)
