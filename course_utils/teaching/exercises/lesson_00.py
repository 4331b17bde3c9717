"""Exercises of lesson 00: stored integers to a fixed range, and vectors in the order of their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of
from course_utils.teaching.exercises.answers import on_copies

Scale = Callable[[np.ndarray, int], np.ndarray]
Stack = Callable[[Mapping[str, np.ndarray], Sequence[str]], np.ndarray]


def _test_scale(answer: Scale) -> None:
    scale = on_copies(answer)
    stored = np.array([[0, 1024, 2048], [3000, 512, 7]], dtype=np.uint16)  # 12 bits, the brightest is 3000
    got: Any = scale(stored, 12)
    if not isinstance(got, np.ndarray) or got.shape != stored.shape:
        raise NotYet(f"an array of shape {stored.shape} went in, and out came {kind_of(got)}.")
    _test_12_bits(got, stored)
    later = np.array([[9, 1024, 5000], [3000, 512, 70]], dtype=np.uint16)  # 14 bits, and no 0 in it
    again = scale(later, 14)
    if not np.allclose(again, later / 16383, atol=_rounding(got)):
        if np.allclose(again, (later - 9.0) / 16383, atol=_rounding(got)):
            raise NotYet(
                "in a picture without a 0, the darkest pixel was stored as 9 and became 0. Nothing is to be "
                "subtracted: only a stored 0 becomes 0."
            )
        raise NotYet(
            "it holds for 12 bits, but not for 14. Is 4095 written into your function, or taken from the "
            "picture?"
        )
    if got.dtype != np.float32:
        raise NotYet(
            f"the numbers are right, but of dtype {got.dtype}. Networks compute in float32: ask for it "
            "with `.astype(np.float32)`."
        )


def _rounding(got: np.ndarray) -> float:
    """Return how far off a number may be by its dtype alone: float16 has three digits."""
    return 1e-3 if got.dtype == np.float16 else 1e-6


def _test_12_bits(got: np.ndarray, stored: np.ndarray) -> None:
    close = _rounding(got)
    if np.allclose(got, stored / 4095, atol=close):
        return
    if np.all((got == 0) | (got == 1)):
        raise NotYet(
            "every gray value became 0 or 1: something makes whole numbers of them, such as `//` in place of "
            "`/`, or integers asked for too early."
        )
    _test_black(got)
    if got.max() > 1 + close:
        which = " In Python a power is `**`; `^` is something else." if got[1, 0] > 200 else ""
        raise NotYet(
            f"3000 became {got[1, 0]:.4g}: white came out above 1. The largest number in `bits_stored` bits "
            f"is a power of 2, less 1.{which}"
        )
    if np.isclose(got[0, 2], 1.0, atol=close):
        raise NotYet(
            "2048 and 3000 both became 1. Only the brightest value that a file of 12 bits can hold may, and "
            "that is 4095. By what is divided, and is it cut off at 1?"
        )
    if np.isclose(got.max(), 1.0, atol=close):
        raise NotYet(
            "the brightest pixel of this picture is 3000 and became 1.0. Only the brightest value that a "
            "file of 12 bits can hold may become 1. Do you divide by the picture's own maximum?"
        )
    for by in (4094, 4096, 4097):
        if np.allclose(got, stored / by, atol=1e-7):
            raise NotYet(
                f"4095 should become exactly 1, and becomes {4095 / by:.4f}. What is the largest number in "
                "12 bits?"
            )
    if np.allclose(got, stored / 65535, atol=1e-7):
        raise NotYet(
            "3000 became 0.046. The array has room for 16 bits in each pixel, but the file uses 12 of them "
            "(BitsStored). Do you use `bits_stored`, or the array's dtype?"
        )
    raise NotYet(f"with 12 bits, 3000 should become {3000 / 4095:.4f}, and becomes {got[1, 0]:.4f}.")


def _test_black(got: np.ndarray) -> None:
    black = got[0, 0]
    if abs(black) < 1e-6:
        return
    if not np.isfinite(black):
        raise NotYet(f"0 should stay 0, and becomes {black}. Which of the two numbers is divided by which?")
    if got[1, 0] < black:
        raise NotYet(f"0 should stay 0, and becomes {black:.4g}. Is black taken for white?")
    raise NotYet(
        f"0 should stay 0, and becomes {black:.4g}. Is something added or subtracted? Mind the brackets: "
        "`/` comes before `-`."
    )


def _test_stack(answer: Stack) -> None:
    stack = on_copies(answer)
    vectors = {name: np.arange(4, dtype=np.float32) + 10 * n + 0.25 for n, name in enumerate("dacbe")}
    names = ["c", "d", "b"]
    _test_order(stack(vectors, names), vectors, names)
    try:
        twice = stack(vectors, ["b", "d", "b"])
    except KeyError:
        raise NotYet(
            "for the names b, d, b it stopped with a KeyError, although each of them has a vector. Is a "
            "vector taken out of the dictionary, as `pop` does? Only look it up."
        ) from None
    if len(twice) != 3:
        raise NotYet(
            f"the names b, d, b came, and {len(twice)} rows went back. A name that comes twice needs two "
            "rows, or every row after it gets its neighbour's label. Is a set, or a dictionary, on the way?"
        )
    if not np.array_equal(twice, np.stack([vectors[name] for name in ("b", "d", "b")])):
        raise NotYet("it holds while every name comes once, but not for the names b, d, b.")
    _test_nobody(stack, vectors)
    one: Any = stack(vectors, ["e"])
    if np.shape(one) != (1, 4):
        raise NotYet(f"one name should make an array (1, 4), and made {kind_of(one)}.")


def _test_nobody(stack: Stack, vectors: dict[str, np.ndarray]) -> None:
    rows: int | None
    try:
        got: Any = stack(vectors, ["a", "nobody"])
        rows = len(got) if isinstance(got, np.ndarray) and got.ndim else None
    except NotYet:  # it gave back None, which is silence too
        rows = None
    except Exception:
        return
    if rows == 1:
        raise NotYet(
            "a name without a vector was passed over in silence, so the rows no longer match the labels. "
            "Let it raise: `vectors[name]` does, `if name in vectors` does not."
        )
    if rows == 2:
        raise NotYet(
            "a name without a vector got a row all the same, in silence, and nobody will know that it is "
            "made up. Let it raise: `vectors[name]` does."
        )
    raise NotYet(
        "a name without a vector must raise an error, and something came back in silence. `vectors[name]` "
        "raises by itself; in words of your own it is `raise KeyError(name)`."
    )


def _test_order(got: Any, vectors: dict[str, np.ndarray], names: list[str]) -> None:
    if not isinstance(got, np.ndarray):
        raise NotYet(f"an array (N, D) is needed, and out came {kind_of(got)}. What does np.stack do?")
    if got.shape == (5, 4):
        raise NotYet("3 names went in, and 5 rows came out. The list of names decides which rows there are.")
    if got.shape == (12,):
        raise NotYet(
            "the vectors came out end to end, shape (12,). Each name needs its own row: see np.stack."
        )
    if got.shape == (4, 3):
        raise NotYet(
            "3 names and vectors of 4 numbers make an array (3, 4), and (4, 3) came out: each vector has "
            "become a column. Stack along axis 0, which is what np.stack does unless told otherwise."
        )
    if got.shape == (1, 4):
        raise NotYet("3 names went in, and one row came out. Is `return` inside the loop?")
    if got.shape != (3, 4):
        raise NotYet(f"3 names and vectors of 4 numbers make an array (3, 4), not {kind_of(got)}.")
    _test_dtype(got.dtype)
    order = [next((n for n, v in vectors.items() if np.array_equal(v, row)), "?") for row in got]
    if "?" in order:
        row = order.index("?")
        given, came = (", ".join(f"{x:.4g}" for x in v) for v in (vectors[names[row]], got[row]))
        raise NotYet(
            f"row {row} is none of the vectors: {names[row]} has {given}, and the row {came}. The numbers of "
            "a vector stay as they are."
        )
    came = f"the names came as {', '.join(names)}; your rows stand for {', '.join(order)}."
    if order == sorted(names):
        raise NotYet(
            f"{came} That is alphabetical order. The labels keep the order of the names: so must you."
        )
    if order == [name for name in vectors if name in names]:
        raise NotYet(
            f"{came} That is the order in which the dictionary was filled. Walk along `names`, not along "
            "`vectors`."
        )
    if order == list(vectors)[:3]:
        raise NotYet(f"{came} Those are the first three of the dictionary. Look each name up.")
    if order != names:
        raise NotYet(came)


def _test_dtype(dtype: np.dtype) -> None:
    if dtype in (np.float32, np.float64):
        return
    why = "it does not hold the numbers as they are"
    if dtype.kind in "OUS":
        why = "nothing that comes later can compute with it"
    raise NotYet(
        f"an array of dtype {dtype} came out, and the vectors are float32: {why}. What does np.stack give "
        "without a dtype?"
    )


def _writes_into(pixels: np.ndarray, bits_stored: int) -> np.ndarray:
    scaled = (pixels / (2**bits_stored - 1)).astype(np.float32)
    pixels[:] = scaled.round().astype(pixels.dtype)
    return scaled


def _takes_out(vectors: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    rows = np.stack([vectors[name] for name in names])
    for name in set(names):
        del vectors[name]
    return rows


EXERCISES = (
    Exercise(
        id="00.1",
        title="Stored integers to the range 0 to 1",
        minutes=5,
        test=_test_scale,
        buys="equal stored values now become equal numbers in every picture, whatever else is in it.",
        hints=(
            "Which number must become 1: the largest in this picture, or the largest that fits into "
            "`bits_stored` bits?",
            "In 3 bits the numbers go from 0 to 7, and 7 is 2**3 - 1. An integer array divided by a number "
            "with `/` gives floats.",
            "Divide `pixels` by `2**bits_stored - 1`, then ask for `.astype(np.float32)`.",
        ),
        planted=(
            Planted(
                lambda pixels, bits_stored: (pixels / pixels.max()).astype(np.float32),
                "divided by the picture's own maximum",
                "the picture's own maximum?",
            ),
            Planted(
                lambda pixels, bits_stored: (pixels // (2**bits_stored - 1)).astype(np.float32),
                "whole-number division",
                "such as `//` in place of `/`",
            ),
            Planted(
                lambda pixels, bits_stored: pixels / (2**bits_stored - 1),
                "float64 left as it is",
                "of dtype float64",
            ),
            Planted(
                lambda pixels, bits_stored: (pixels / np.iinfo(pixels.dtype).max).astype(np.float32),
                "the array's 16 bits taken for the file's 12",
                "the file uses 12 of them",
            ),
            Planted(
                lambda pixels, bits_stored: (pixels / (2 ^ bits_stored - 1)).astype(np.float32),
                "`^` taken for a power",
                "`^` is something else",
            ),
            Planted(
                lambda pixels, bits_stored: (pixels / (2 ** int(pixels.max()).bit_length() - 1)).astype(
                    np.float32
                ),
                "the bits counted in the picture",
                "or taken from the picture?",
            ),
            Planted(
                lambda pixels, bits_stored: (1 - pixels / pixels.max()).astype(np.float32),
                "turned black into white",
                "Is black taken for white?",
            ),
            Planted(
                lambda pixels, bits_stored: (pixels / 2**bits_stored - 1).astype(np.float32),
                "forgot the brackets",
                "`/` comes before `-`",
            ),
            Planted(
                lambda pixels, bits_stored: ((pixels - pixels.min()) / (2**bits_stored - 1)).astype(
                    np.float32
                ),
                "subtracted the picture's own minimum",
                "Nothing is to be subtracted",
            ),
            Planted(
                _writes_into, "wrote into the array that it was given", "where it stands, and its caller"
            ),
        ),
    ),
    Exercise(
        id="00.2",
        title="Vectors in the order of their labels",
        minutes=5,
        test=_test_stack,
        buys="row i of the vectors and row i of the labels now speak of the same picture.",
        hints=(
            "Two things could decide the order of the rows: the dictionary and the list. Which do the "
            "labels follow?",
            "Walk along `names` and look each one up. What you then have is a list: one "
            "vector for each name.",
            "`np.stack` makes one array (N, D) of a list of N vectors: "
            "`np.stack([vectors[name] for name in names])`.",
        ),
        planted=(
            Planted(
                lambda vectors, names: np.stack([vectors[name] for name in sorted(names)]),
                "sorted the names",
                "That is alphabetical order",
            ),
            Planted(
                lambda vectors, names: np.stack(
                    [vector for name, vector in vectors.items() if name in names]
                ),
                "walked along the dictionary",
                "the dictionary was filled",
            ),
            Planted(
                lambda vectors, names: np.stack([vectors[name] for name in dict.fromkeys(names)]),
                "dropped what comes twice",
                "A name that comes twice needs two rows",
            ),
            Planted(
                lambda vectors, names: np.stack([vectors[name] for name in names if name in vectors]),
                "passed over what is missing",
                "passed over in silence",
            ),
            Planted(
                lambda vectors, names: np.stack([vectors.get(name, np.zeros(4)) for name in names]),
                "made up what is missing",
                "got a row all the same",
            ),
            Planted(
                lambda vectors, names: np.stack([vectors.pop(name) for name in names]),
                "popped the vectors",
                "as `pop` does",
            ),
            Planted(
                lambda vectors, names: np.array([vectors[name] for name in names], dtype=object),
                "made an array of objects",
                "of dtype object",
            ),
            Planted(
                lambda vectors, names: np.stack([vectors[name] for name in names], axis=1),
                "stacked along the wrong axis",
                "each vector has become a column",
            ),
            Planted(_takes_out, "took the vectors out of the dictionary", "where it stands, and its caller"),
        ),
    ),
)
