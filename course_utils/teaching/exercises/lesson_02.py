"""Exercises of lesson 02: find the breast, measure what a crop costs, turn it, and fit it onto a square."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of

FindBreast = Callable[[np.ndarray, float], np.ndarray]
ShareLost = Callable[[np.ndarray, int, int, int, int], float]
TurnLeft = Callable[[np.ndarray, np.ndarray, str | None], np.ndarray]
Fit = Callable[[np.ndarray, int], np.ndarray]


# --- what all four have in common ---------------------------------------------------------------------------


def _plain(got: Any) -> Any:
    """Return numbers in whatever form they come, such as a torch tensor or nested lists, as an array."""
    if hasattr(got, "detach"):
        got = got.detach().cpu()
    return np.asarray(got) if hasattr(got, "__array__") or isinstance(got, list) else got


def _leaves_alone(answer: Callable[..., Any], *given: Any) -> None:
    """Ask a right answer once more, and see whether it gives back its arguments as they were."""
    before = [each.copy() if isinstance(each, np.ndarray) else each for each in given]
    answer(*given)
    if any(not np.array_equal(old, new) for old, new in zip(before, given, strict=True)):
        raise NotYet(
            "what comes out is right, but your function has changed the array that it was given. Whoever "
            "calls it may still need that array: work on a copy, as `array.copy()` makes one."
        )


# --- 02.1: the largest piece --------------------------------------------------------------------------------


def _film() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A picture (60, 50) whose pieces, from the top down, are two letters, the breast and a film edge.

    The film edge has the largest box, the ground the most pixels; no two pieces touch at a corner.
    """
    y, x = np.mgrid[:60, :50]
    parts = {
        "the first letter": (y >= 2) & (y < 6) & (x >= 38) & (x < 42),
        "the second letter": (y >= 3) & (y < 7) & (x >= 44) & (x < 48),
        "the breast": (((y - 30) / 18) ** 2 + (x / 22) ** 2 < 1) & (y >= 10),
        "the film edge": ((x == 49) & (y >= 20)) | (y >= 58),
    }
    picture = np.random.default_rng(0).uniform(0.01, 0.08, y.shape).astype(np.float32)
    for name, part in parts.items():
        picture[part] = 0.5 if name == "the breast" else 0.9
    parts["the ground"] = ~np.logical_or.reduce(list(parts.values()))
    return picture, parts


def _test_find_breast(find_breast: FindBreast) -> None:
    picture, parts = _film()
    got = _mask(find_breast(picture.copy(), 0.2), picture)
    breast = parts["the breast"]
    if not got.any():
        raise NotYet("the mask is empty. Compare the pieces with the number of the one that you want.")
    if got.all():
        raise NotYet(
            "everything is in the mask, ground and all. Label what is brighter than the threshold, not the "
            "picture itself: its ground is not quite 0."
        )
    if np.array_equal(got, ~parts["the ground"]):
        raise NotYet(
            "the letters and the film edge are still in. They are as bright as tissue, so no threshold will "
            "part them from it. Which of the pieces is the largest?"
        )
    if np.array_equal(got, parts["the ground"]):
        raise NotYet(
            "you kept the ground. Either you looked for what is *darker* than the threshold, or you counted "
            "number 0 as well: `scipy.ndimage.label` gives it to the ground, which is the largest of all."
        )
    if np.array_equal(got, parts["the film edge"]):
        raise NotYet(
            "you kept the film edge, piece 4, the last one; the breast is piece 3 and has more pixels. Did "
            "you measure boxes (the edge is long and thin, so its box is the largest)? Then count pixels, "
            "not the box. Did you add 1 although the ground, number 0, is among your counts? Or is it the "
            "second largest, or just the last?"
        )
    if np.array_equal(got, parts["the first letter"]):
        raise NotYet("you kept the first piece from the top, a letter. Which one has the most pixels?")
    if np.array_equal(got, parts["the second letter"]):
        raise NotYet(
            "the breast is piece 3, and you kept piece 2. Once the ground is left out of the counts, entry 0 "
            "belongs to piece 1: add 1."
        )
    if np.array_equal(got, ~breast):
        raise NotYet("the mask is the wrong way round: True should stand in the breast.")
    if np.array_equal(got, _box_of(breast)):
        raise NotYet("that is the box around the breast. Keep only the pixels of the piece itself.")
    if not np.array_equal(got, breast):
        held = " and ".join(name for name, part in parts.items() if (got & part).sum() > part.sum() / 2)
        raise NotYet(
            f"the breast has {breast.sum()} pixels; your mask has {got.sum()}, {(got & breast).sum()} of "
            f"them in the breast, and holds most of {held or 'nothing'}. One piece is asked for, whole and "
            "by itself."
        )
    upside_down = _mask(find_breast(picture[::-1].copy(), 0.2), picture)
    if not np.array_equal(upside_down, breast[::-1]):
        raise NotYet(
            "it holds for one picture, but not for the same one upside down, where the breast is another "
            "piece. Is its number written into your function?"
        )
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    gland = ((y - 30) / 9) ** 2 + ((x - 8) / 7) ** 2 < 1
    lit = np.where(gland, np.float32(0.85), picture)
    whole, core = (_mask(find_breast(lit.copy(), level), lit) for level in (0.2, 0.6))
    if np.array_equal(whole, core):
        raise NotYet(
            "the same mask comes out at the thresholds 0.2 and 0.6, though the fat of this breast, 0.5, lies "
            "between them. Compare the picture with the `threshold` that your function is given."
        )
    if not (np.array_equal(whole, breast) and np.array_equal(core, gland)):
        raise NotYet(
            "at the threshold 0.2 the largest piece is the whole breast, and at 0.6 only its gland, which is "
            f"then the last of four pieces: {breast.sum()} and {gland.sum()} pixels, and your masks have "
            f"{whole.sum()} and {core.sum()}."
        )
    dim = np.where(breast, np.float32(0.21), np.where(parts["the ground"], picture, 1)).astype(np.float32)
    if not np.array_equal(_mask(find_breast(dim, 0.2), dim), breast):
        raise NotYet(
            "it fails where the breast is dark and the film edge white. Did you add up grays? Count pixels."
        )
    large = np.zeros((20, 16), np.float32)
    large[1:-1, :14] = 0.5  # more pixels than the ground
    large[3:6, 15] = 0.9
    if not np.array_equal(_mask(find_breast(large.copy(), 0.2), large), large == np.float32(0.5)):
        raise NotYet(
            "it fails where the breast fills more than half of the picture. Did you take the second largest, "
            "since the largest is the ground? There it is not: leave the ground out, then take the largest."
        )
    _leaves_alone(find_breast, picture.copy(), 0.2)


def _box_of(mask: np.ndarray) -> np.ndarray:
    return np.logical_and.outer(mask.any(axis=1), mask.any(axis=0))


def _mask(got: Any, picture: np.ndarray) -> np.ndarray:
    if isinstance(got, tuple) and (not got or np.shape(got[0]) != picture.shape):
        raise NotYet(
            f"a mask of shape {picture.shape} is needed, and out came a tuple. `np.where` and `np.nonzero` "
            "say where pixels are; the comparison that they were given is the mask."
        )
    if isinstance(got, tuple):
        raise NotYet(
            "out came two things. `scipy.ndimage.label` gives the numbered pieces and how many there are: "
            "`pieces, count = scipy.ndimage.label(…)`. Go on with the pieces."
        )
    got = _plain(got)
    if isinstance(got, int | np.integer) or (isinstance(got, np.ndarray) and got.shape == ()):
        what = "the number of a piece" if got < 9 else "a single number; a count of pixels, perhaps"
        raise NotYet(f"out came {got}, {what}. Compare for a mask: `pieces == number of the largest`.")
    if not isinstance(got, np.ndarray) or got.shape != picture.shape:
        raise NotYet(f"a mask of shape {picture.shape} is needed, and out came {kind_of(got, 'an array')}.")
    found = ~np.isin(got.ravel(), (0, 1))
    if got.dtype != bool and found.any():
        raise NotYet(
            f"the mask holds other values than True and False, such as {got.ravel()[found][0]:.3g}. A "
            "comparison gives a mask: `pieces == number`."
        )
    return got.astype(bool)


def _pieces(picture: np.ndarray, threshold: float) -> np.ndarray:
    return ndimage.label(picture > threshold)[0]


def _largest_box(picture: np.ndarray, threshold: float) -> np.ndarray:
    pieces = _pieces(picture, threshold)
    boxes = [np.prod([side.stop - side.start for side in box]) for box in ndimage.find_objects(pieces)]
    return pieces == 1 + int(np.argmax(boxes))


def _otsu(picture: np.ndarray, threshold: float) -> np.ndarray:
    levels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    return _largest(levels, cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0])


def _largest(picture: np.ndarray, threshold: float) -> np.ndarray:
    pieces = _pieces(picture, threshold)
    return pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()


def _blackens(picture: np.ndarray, threshold: float) -> np.ndarray:
    picture[picture <= threshold] = 0
    return _largest(picture, 0)


def _ground_counted(picture: np.ndarray, threshold: float) -> np.ndarray:
    pieces = _pieces(picture, threshold)
    return pieces == np.bincount(pieces.ravel()).argmax()


def _one_off(picture: np.ndarray, threshold: float) -> np.ndarray:
    pieces = _pieces(picture, threshold)
    return pieces == np.bincount(pieces.ravel())[1:].argmax()


def _most_light(picture: np.ndarray, threshold: float) -> np.ndarray:
    pieces = _pieces(picture, threshold)
    return pieces == 1 + int(np.bincount(pieces.ravel(), picture.ravel())[1:].argmax())


# --- 02.2: what a crop costs --------------------------------------------------------------------------------


def _test_share_lost(share_lost: ShareLost) -> None:
    breast = np.arange(8) < np.array([0, 2, 4, 5, 6, 7, 6, 5, 3, 2])[:, None]  # 40 pixels of 80
    crop = (4, 8, 1, 6)  # 4 × 5 pixels, 19 of them in the breast: no two mistakes make the same number
    got = _share(share_lost(breast.copy(), *crop))
    for value, message in _shares_by_mistake(breast, *crop):
        if np.isclose(got, value):
            raise NotYet(message)
    if not np.isclose(got, 21 / 40):
        raise NotYet(
            "the breast has 40 pixels, and 19 of them lie in the crop: the share lost is 0.525, not "
            f"{got:.3g}."
        )
    bulk = np.ones((4, 5), bool)
    got = _share(share_lost(bulk, 1, 4, 0, 5))
    if not np.isclose(got, 0.25):
        raise NotYet(f"a crop that keeps three rows of a breast of four loses 0.25, and you say {got:.3g}.")
    for inside, expected in (((0, 10, 0, 8), 0.0), ((0, 1, 0, 8), 1.0)):
        got = _share(share_lost(breast.copy(), *inside))
        if not np.isclose(got, expected):
            what = "no" if expected else "all of the"
            raise NotYet(f"a crop that holds {what} breast loses {expected:.0f}, and you say {got:.3g}.")
    _leaves_alone(share_lost, breast.copy(), *crop)


def _shares_by_mistake(
    breast: np.ndarray, top: int, bottom: int, left: int, right: int
) -> list[tuple[float, str]]:
    """Return what each mistake makes of a breast and a crop, and what to say about it."""
    whole, crop = int(breast.sum()), breast[top:bottom, left:right]
    kept = int(crop.sum())
    lost = whole - kept
    rows = (
        "only the rows count in your number. The crop leaves out columns, too; and a row at the nipple's "
        "height holds more breast than one at the edge, so count pixels."
    )
    columns = "only the columns count in your number. The crop leaves out rows, too."
    all_of_it = (
        f"{lost} pixels of breast are lost and {kept} kept, and you divided them by all {breast.size} pixels "
        "of the picture. By how many must you divide for the share of the *breast*?"
    )
    outside = (breast[:top], breast[bottom:], breast[:, :left], breast[:, right:])
    return [
        (kept / whole, "that is the share that is *kept*: the wrong way round."),
        (100 * lost / whole, "that is a percentage. A share lies between 0 and 1."),
        *(
            (count, f"{count} is a count of pixels. Divide by how many the breast has for a share.")
            for count in (lost, kept)
        ),
        (
            1 - crop.size / breast.size,
            f"the crop keeps {crop.size} of the picture's {breast.size} pixels, and you counted those. Not "
            "all pixels are breast, and nobody misses dark ground. Count the pixels where `breast` is True.",
        ),
        (lost / breast.size, all_of_it),
        (1 - kept / breast.size, all_of_it),
        (1 - breast[top:bottom].sum() / whole, rows),
        (1 - breast[top:bottom].any(axis=1).sum() / breast.any(axis=1).sum(), rows),
        (1 - breast[:, left:right].sum() / whole, columns),
        (1 - breast[:, left:right].any(axis=0).sum() / breast.any(axis=0).sum(), columns),
        (
            1 - breast[top : bottom + 1, left : right + 1].sum() / whole,
            "your crop is too large: it ends *before* row `bottom` and column `right`, as slices do.",
        ),
        (
            1 - breast[top : bottom - 1, left : right - 1].sum() / whole,
            "your crop is too small. A slice ends before its end by itself: nothing is to be subtracted.",
        ),
        (
            1 - breast[top + 1 : bottom, left + 1 : right].sum() / whole,
            "your crop is too small: row `top` and column `left` still belong to it.",
        ),
        (
            1 - breast[left:right, top:bottom].sum() / whole,
            "rows and columns have changed places: `breast[top:bottom, left:right]`, rows first.",
        ),
        (
            1 - breast[top:bottom][left:right].sum() / whole,
            "`[top:bottom][left:right]` cuts the rows twice. One bracket takes both: `[top:bottom, "
            "left:right]`.",
        ),
        (lost / kept, "you divided what is lost by what is kept. Divide by the whole breast."),
        (kept / crop.size, "that is the share of the crop that is breast. Divide by the breast."),
        (
            1 - kept / crop.size,
            "that is the share of the crop that is ground. The question is how much breast is outside it.",
        ),
        (
            sum(int(each.sum()) for each in outside) / whole,
            "you added up four strips, and they overlap: breast in the picture's corners counts twice.",
        ),
    ]


def _share(got: Any) -> float:
    got = _plain(got)
    if isinstance(got, np.ndarray) and got.size == 1:
        got = got.item()
    if not isinstance(got, numbers.Real) or isinstance(got, bool):
        raise NotYet(f"one number is needed, and out came {kind_of(got, 'an array')}.")
    return float(got)


def _kept(breast: np.ndarray, top: int, bottom: int, left: int, right: int) -> float:
    return breast[top:bottom, left:right].sum() / breast.sum()


def _wipes(breast: np.ndarray, top: int, bottom: int, left: int, right: int) -> float:
    whole = breast.sum()
    breast[top:bottom, left:right] = False
    return breast.sum() / whole


# --- 02.3: which way it looks -------------------------------------------------------------------------------


def _breasts() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pictures and masks with the chest wall at the left, though not all at the left border.

    `small` is bright far from the chest wall; `large` reaches both borders; `apart` touches neither and lies
    in the far half of its picture. `round` has equal ends, and of `nearly` the right end is a little fuller.
    `notched` is a film cut askew: the first column of its box holds fewer pixels than the last.
    The bright half, rows and sides all differ, so that each way to turn gives another picture.
    """
    y, x = np.mgrid[:24, :20]
    wide_y, wide_x = np.mgrid[:24, :34]
    masks = {
        "small": ((y - 13) / 9) ** 2 + (x / 16) ** 2 < 1,
        "large": ((y - 13) / 9) ** 2 + (x / 21) ** 2 < 1,
        "apart": (((wide_y - 13) / 9) ** 2 + ((wide_x - 15) / 16) ** 2 < 1) & (wide_x >= 15),
        "round": ((y - 13) / 9) ** 2 + ((x - 9.5) / 9) ** 2 < 1,
    }
    masks["nearly"] = masks["round"].copy()
    masks["nearly"][21, 12:16] = True
    masks["notched"] = ((wide_y - 13) / 9) ** 2 + (wide_x / 31) ** 2 < 1
    masks["notched"][:-4, 0] = False
    pictures = {
        name: np.where(mask, 0.05 + 0.0035 * np.arange(mask.shape[1]) ** 1.9 / 2 + 0.001 * wide_y[:, :1], 0)
        for name, mask in masks.items()
    }
    pictures["large"] = np.where(masks["large"], 0.9 - 0.02 * x + 0.001 * y, 0)
    return {name: (pictures[name].astype(np.float32), mask) for name, mask in masks.items()}


def _turned(turn_left: TurnLeft, name: str, *, flipped: bool, stated: str | None) -> tuple[np.ndarray, ...]:
    """Return what comes out for one of the breasts, as it is or flipped, and the breast as it is."""
    picture, mask = _breasts()[name]
    shown, inside = ((each[:, ::-1] if flipped else each).copy() for each in (picture, mask))
    return _picture(turn_left(shown, inside, stated), picture), picture


def _test_turn_left(turn_left: TurnLeft) -> None:
    stays, small = _turned(turn_left, "small", flipped=False, stated="L")
    turned, _ = _turned(turn_left, "small", flipped=True, stated="R")
    flipped = small[:, ::-1]
    if np.array_equal(stays, flipped) and np.array_equal(turned, flipped):
        raise NotYet(
            "both breasts came out with the chest wall at the right. Either the condition is the wrong way "
            "round, or you went by where it is bright: tissue is brightest where the gland is, and that may "
            "be far from the chest wall. Compare the two ends of the *mask*."
        )
    if np.array_equal(stays, flipped) and np.array_equal(turned, small):
        raise NotYet(
            "both pictures were turned, and the left breast, which was right already, now has its chest wall "
            "at the right."
        )
    if any(np.array_equal(got, each[::-1]) for got in (stays, turned) for each in (small, flipped)):
        raise NotYet(
            "the breast stands on its head: `picture[::-1]` turns the rows. Columns are the second axis."
        )
    if np.array_equal(turned, flipped):
        raise NotYet(
            "a right breast, its chest wall at the right border, came back as it was. `mask[:, -6:]` are the "
            "last six columns of a mask, and `mask[:, :6]` the first six."
        )
    if not (np.array_equal(stays, small) and np.array_equal(turned, small)):
        raise NotYet("the pixels themselves have changed. Turning moves them and does nothing else.")
    if not np.array_equal(_turned(turn_left, "small", flipped=True, stated=None)[0], small):
        raise NotYet(
            "it holds while the header is right. Here the chest wall is at the right, plain to see from the "
            "mask, and the header says nothing (None), as it often does. Nothing was turned."
        )
    if not np.array_equal(_turned(turn_left, "small", flipped=True, stated="L")[0], small):
        raise NotYet(
            "here the mask shows plainly that the chest wall is at the right, and the header says L. You "
            "believed the header. Ask the mask first, and the header only where the mask does not say."
        )
    if not np.array_equal(_turned(turn_left, "small", flipped=False, stated="R")[0], small):
        raise NotYet(
            "here the mask shows plainly that the chest wall is at the left, and the header says R. You "
            "turned the picture all the same. A plain mask needs no header, whichever end it names."
        )
    for side, is_flipped in (("L", False), ("R", True)):
        got, large = _turned(turn_left, "large", flipped=is_flipped, stated=side)
        if not np.array_equal(got, large):
            raise NotYet(
                "a large breast reaches both borders, so that touching one says nothing. At the chest wall "
                "it fills more rows: compare how many."
            )
    stays, apart = _turned(turn_left, "apart", flipped=False, stated=None)
    turned, _ = _turned(turn_left, "apart", flipped=True, stated=None)
    if np.array_equal(stays, apart[:, ::-1]) and np.array_equal(turned, apart[:, ::-1]):
        raise NotYet(
            "this breast lies far from its chest wall's border of the picture, with a wide strip of ground "
            "in between, and you turned it the wrong way. Compare the two ends of the mask's own box, not "
            "the two halves of the picture."
        )
    if not (np.array_equal(stays, apart) and np.array_equal(turned, apart)):
        raise NotYet(
            "this mask ends before the border of the picture, so both border columns are empty and say "
            "nothing. Find the first and the last column that the mask fills, and compare what lies there."
        )
    unsure: tuple[tuple[str | None, bool], ...] = (("L", False), ("R", True), (None, False))
    for stated, is_flipped in unsure:
        got, alike = _turned(turn_left, "round", flipped=is_flipped, stated=stated)
        if not np.array_equal(got, alike):
            raise NotYet(
                f"a round mask: both ends hold as much, so it does not say where the chest wall is. The "
                f"header says {stated}, and the picture was {'' if stated != 'R' else 'not '}turned. An L "
                "stays as it is, an R is turned, and where nobody knows, nothing is turned. (Or is a column "
                "of the box missing? `columns[-1] + 1` is where it ends.)"
            )
    got, nearly = _turned(turn_left, "nearly", flipped=False, stated="L")
    if not np.array_equal(got, nearly):
        raise NotYet(
            "the ends of this mask differ by a few pixels, which may be chance, and you believed the mask. "
            "Believe it only if one end holds at least a fifth more than the other."
        )
    for is_flipped in (False, True):
        got, notched = _turned(turn_left, "notched", flipped=is_flipped, stated=None)
        if not np.array_equal(got, notched):
            raise NotYet(
                "this film was cut askew: the box's very first column, at the chest wall, holds fewer pixels "
                "than its last, and yet one outer third holds half as much again as the other. A single "
                "column may be chance. Compare the outer thirds."
            )
    picture, mask = _breasts()["small"]
    _leaves_alone(turn_left, picture[:, ::-1].copy(), mask[:, ::-1].copy(), "R")


def _picture(got: Any, picture: np.ndarray) -> np.ndarray:
    got = _plain(got)
    if not isinstance(got, np.ndarray) or got.shape != picture.shape:
        raise NotYet(
            f"a picture of shape {picture.shape} is needed, and out came {kind_of(got, 'an array')}."
        )
    if got.dtype == bool:
        raise NotYet("that is the mask. It says which way to turn; the picture is what to turn and return.")
    return got


def _by_light(picture: np.ndarray, mask: np.ndarray, laterality: str | None) -> np.ndarray:
    half = picture.shape[1] // 2
    return picture if picture[:, :half].sum() >= picture[:, half:].sum() else picture[:, ::-1]


def _by_ends(
    picture: np.ndarray, mask: np.ndarray, laterality: str | None, *, plain: float = 1.2, asked: bool = True
) -> np.ndarray:
    columns = np.flatnonzero(mask.any(axis=0))
    box = mask[:, columns[0] : columns[-1] + 1]
    third = box.shape[1] // 3
    left, right = box[:, :third].sum(), box[:, -third:].sum()
    unsure = left == right or max(left, right) < plain * min(left, right)
    turn = laterality == "R" if unsure and asked else right > left
    return picture[:, ::-1] if turn else picture


def _in_place(picture: np.ndarray, mask: np.ndarray, laterality: str | None) -> np.ndarray:
    picture[:] = _by_ends(picture.copy(), mask, laterality)
    return picture


def _by_halves(picture: np.ndarray, mask: np.ndarray, laterality: str | None) -> np.ndarray:
    half = mask.shape[1] // 2
    return picture[:, ::-1] if mask[:, half:].sum() > mask[:, :half].sum() else picture


def _or_by_header(picture: np.ndarray, mask: np.ndarray, laterality: str | None) -> np.ndarray:
    return picture[:, ::-1] if laterality == "R" else _by_ends(picture, mask, None)


def _by_borders_of_the_box(picture: np.ndarray, mask: np.ndarray, laterality: str | None) -> np.ndarray:
    columns = mask[:, mask.any(axis=0)].sum(axis=0)
    left, right = columns[0], columns[-1]
    turn = laterality == "R" if max(left, right) < 1.2 * min(left, right) else right > left
    return picture[:, ::-1] if turn else picture


def _by_touch(picture: np.ndarray, mask: np.ndarray, laterality: str | None) -> np.ndarray:
    return picture[:, ::-1] if mask[:, -1].any() else picture


# --- 02.4: onto a square ------------------------------------------------------------------------------------


def _tall() -> np.ndarray:
    """A picture (96, 48), chest wall at the left: at a size of 24 each new pixel covers 4 × 4 old ones."""
    y, x = np.mgrid[:96, :48]
    grain = np.random.default_rng(2).uniform(-0.2, 0.2, y.shape)
    return np.clip(0.75 - 0.006 * x + 0.002 * y + grain, 0, 1).astype(np.float32)


def _area(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Each new pixel is the mean of the area that it covers: two matrices of overlaps, one a side."""

    def overlaps(old: int, new: int) -> np.ndarray:
        edges = np.arange(new + 1) * old / new
        low = np.maximum(edges[:-1, None], np.arange(old))
        high = np.minimum(edges[1:, None], np.arange(old) + 1)
        return np.clip(high - low, 0, None) * new / old

    return overlaps(picture.shape[0], rows) @ picture @ overlaps(picture.shape[1], columns).T


def _test_fit(fit: Fit) -> None:
    picture = _tall()
    got: Any = _plain(fit(picture.copy(), 24))
    if isinstance(got, np.ndarray) and got.shape == (24, 12):
        raise NotYet(
            "the breast has the right size, (24, 12), but a square is needed: fill up the 12 columns that "
            "are missing on the right."
        )
    if isinstance(got, np.ndarray) and got.shape in ((36, 24), (36, 12)):
        raise NotYet(
            f"a square (24, 24) is needed, and out came {got.shape}: there is padding below. `np.pad` takes "
            "((above, below), (left, right)), and a single pair goes for both directions."
        )
    if isinstance(got, np.ndarray) and got.shape in ((12, 36), (12, 24), (24, 36)):
        raise NotYet(
            f"a square (24, 24) is needed, and out came {got.shape}. `cv2.resize` takes the width first, "
            "(columns, rows), while `shape` gives (rows, columns); and what is missing to the square is "
            "padded."
        )
    if not isinstance(got, np.ndarray) or got.shape != (24, 24):
        raise NotYet(f"a square (24, 24) is needed, and out came {kind_of(got, 'an array')}.")
    small = _area(picture, 24, 12)
    if any(np.array_equal(got, picture[y : y + 24, x : x + 24]) for y in range(73) for x in range(25)):
        raise NotYet(
            "you cut a piece of 24 × 24 out of the picture, and the rest of the breast is gone. All of it "
            "should be there, made smaller by one factor, 24 / 96."
        )
    if np.allclose(got, _area(picture, 24, 24), atol=0.02):
        raise NotYet(
            "the breast is stretched to the full width: twice as wide as it is. The factor is 24 / 96 for "
            "rows and columns alike, and the rest is padding."
        )
    if np.allclose(got[:12], _area(picture, 12, 24), atol=0.02):
        raise NotYet(
            "height and width have changed places: the breast came out 12 high and 24 wide. `cv2.resize` "
            "takes (columns, rows)."
        )
    if np.allclose(got[:, 6:18], small, atol=0.02) and not np.allclose(got[:, :12], small, atol=0.02):
        raise NotYet(
            "you padded on both sides, so the chest wall stands in the middle of the picture, elsewhere for "
            "each woman. Pad away from it: on the right."
        )
    if np.allclose(got, _area(picture, 48, 24)[:24], atol=0.02):
        raise NotYet(
            "the width became 24, so half of the height has no room. It is the height that becomes `size`."
        )
    if np.allclose(got[:, 12:], small, atol=0.02) and not np.allclose(got[:, :12], small, atol=0.02):
        raise NotYet(
            "you padded on the left. The chest wall stays at the left border; the padding is on the right."
        )
    breast, padding = got[:, :12], got[:, 12:]
    if breast.max() > 1.5:
        raise NotYet(
            f"the grays went in as 0 to 1, and {breast.max():.3g} came out. Leave their scale alone."
        )
    if any(np.allclose(breast, each, atol=0.02) for each in (small[:, ::-1], small[::-1], small[::-1, ::-1])):
        raise NotYet("the breast was turned round. Its chest wall is at the left already, and stays there.")
    mirrored = (np.pad(breast, ((0, 0), (0, 12)), mode=mode)[:, 12:] for mode in ("symmetric", "reflect"))
    if any(np.allclose(padding, each, atol=1e-4) for each in mirrored):
        raise NotYet(
            "there is a second breast where the padding should be, a mirror image of the first. Pad with the "
            "ground, which is 0."
        )
    if np.allclose(padding, breast, atol=1e-4):
        raise NotYet(
            "there is a copy of the breast where the padding should be. Pad with the ground, which is 0."
        )
    if not np.allclose(padding, 0) and np.ptp(padding, axis=1).max() < 1e-6:
        raise NotYet(
            f"the padding is a gray bar (its first pixel is {padding[0, 0]:.2g}). The ground of a mammogram "
            "is 0: whatever is brighter is an object that is not there."
        )
    if not np.allclose(padding, 0):
        raise NotYet(
            "the first 48 × 24 / 96 = 12 columns should hold the whole breast, and the other 12 should be 0 "
            "everywhere; yours are not."
        )
    if not np.allclose(breast, small, atol=1e-4):
        if np.isin(breast, picture).all():
            raise NotYet(
                "each new pixel is one old pixel, and the other fifteen beside it are lost: nearest "
                "neighbour. Ask for `interpolation=cv2.INTER_AREA`, their mean."
            )
        if np.corrcoef(breast.ravel(), small.ravel())[0, 1] > 0.9999:
            raise NotYet(
                f"the grays are not the same any more: {small.min():.2f} to {small.max():.2f} became "
                f"{breast.min():.2f} to {breast.max():.2f}. Resizing takes means, and stretches no contrast."
            )
        raise NotYet(
            "place and padding are right, but the pixels are not the means of the 4 × 4 that each covers. "
            "`cv2.resize` interpolates between a few neighbours unless you ask for "
            "`interpolation=cv2.INTER_AREA`, by that name: its third place is for something else."
        )
    narrow = picture[:75, :30].copy()
    got = _plain(fit(narrow.copy(), 40))  # 40 × 16
    if np.shape(got) != (40, 40) or not np.allclose(got[:, :16], _area(narrow, 40, 16), atol=1e-4):
        raise NotYet(
            "it holds for 96 × 48 at a size of 24, but not for 75 × 30 at a size of 40, where the breast "
            "becomes 40 × 16. Is a number written into your function, or the factor rounded before it is "
            "used?"
        )
    if got.dtype != np.float32:
        raise NotYet(f"float32 went in, and {got.dtype} came out. Networks compute in float32.")
    _leaves_alone(fit, picture.copy(), 24)


def _sized(picture: np.ndarray, size: int, interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    columns = round(picture.shape[1] * size / picture.shape[0])
    return cv2.resize(picture, (columns, size), interpolation=interpolation)


def _pad_right(picture: np.ndarray, size: int, **how: Any) -> np.ndarray:
    return np.pad(picture, ((0, 0), (0, size - picture.shape[1])), **how)


def _clips(picture: np.ndarray, size: int) -> np.ndarray:
    square = _pad_right(_sized(picture, size), size)
    picture[:] = np.clip(picture, 0, 0.5)
    return square


def _both_sides(picture: np.ndarray, size: int) -> np.ndarray:
    small = _sized(picture, size)
    left = (size - small.shape[1]) // 2
    return np.pad(small, ((0, 0), (left, size - small.shape[1] - left)))


def _gray(picture: np.ndarray, size: int) -> np.ndarray:
    small = _sized(picture, size)
    return _pad_right(small, size, constant_values=small.mean())


def _by_width(picture: np.ndarray, size: int) -> np.ndarray:
    rows = round(picture.shape[0] * size / picture.shape[1])
    return cv2.resize(picture, (size, rows), interpolation=cv2.INTER_AREA)[:size]


def _swapped(picture: np.ndarray, size: int) -> np.ndarray:
    columns = round(picture.shape[1] * size / picture.shape[0])
    return _pad_right(cv2.resize(picture, (size, columns), interpolation=cv2.INTER_AREA), size)


def _swapped_into_place(picture: np.ndarray, size: int) -> np.ndarray:
    small = _swapped(picture, size)
    square = np.zeros((size, size), np.float32)
    square[: small.shape[0], : small.shape[1]] = small
    return square


EXERCISES = (
    Exercise(
        id="02.1",
        title="The breast is the largest piece",
        minutes=8,
        test=_test_find_breast,
        buys="letters and film edges stay behind, however bright they are.",
        hints=(
            "`scipy.ndimage.label(picture > threshold)` gives two things: an array in which each connected "
            "piece has a number of its own, from 1, and how many there are. The ground is 0.",
            "`np.bincount(pieces.ravel())` counts the pixels of each number: entry k belongs to piece k, and "
            "entry 0 to the ground.",
            "`sizes = np.bincount(pieces.ravel())`, then `sizes[0] = 0`, and `return pieces == "
            "sizes.argmax()`.",
        ),
        planted=(
            Planted(
                lambda picture, threshold: picture > threshold,
                "threshold only, so the label stays",
                "letters and the film edge are still in",
            ),
            Planted(_largest_box, "the largest bounding box", "its box is the largest"),
            Planted(_ground_counted, "the ground counted as a piece", "you kept the ground"),
            Planted(_one_off, "one off: the ground left out, the 1 forgotten", "belongs to piece 1: add 1"),
            Planted(
                lambda picture, threshold: _pieces(picture, threshold) == 1,
                "the first piece",
                "the first piece from the top",
            ),
            Planted(
                lambda picture, threshold: _ground_counted(picture, 0.0),
                "labelled the picture without a threshold",
                "ground and all",
            ),
            Planted(
                lambda picture, threshold: _pieces(picture, threshold),
                "gave back the numbers of the pieces",
                "other values than True and False",
            ),
            Planted(
                lambda picture, threshold: _pieces(picture, threshold) == 3,
                "wrote the piece's number in",
                "not for the same one upside down",
            ),
            Planted(
                lambda picture, threshold: ndimage.label(picture > threshold),
                "gave back both results of label",
                "out came two things",
            ),
            Planted(
                lambda picture, threshold: np.bincount(_pieces(picture, threshold).ravel()).argmax(),
                "gave back the piece's number",
                "the number of a piece",
            ),
            Planted(_most_light, "added up grays", "Did you add up grays?"),
            Planted(
                lambda picture, threshold: ~_largest(picture, threshold),
                "turned the mask round",
                "True should stand in the breast",
            ),
            Planted(_otsu, "found a threshold of its own", "the same mask comes out at"),
            Planted(_blackens, "blackened the picture itself", "has changed the array"),
        ),
    ),
    Exercise(
        id="02.2",
        title="How much breast does a crop lose?",
        minutes=4,
        test=_test_share_lost,
        buys="you can say what a crop costs in tissue, and not only in pixels.",
        hints=(
            "Two counts are needed: the pixels of the breast in the whole picture, and those inside the "
            "crop.",
            "`breast.sum()` counts the True ones; `breast[top:bottom, left:right].sum()` those inside the "
            "crop.",
            "One minus the second count divided by the first.",
        ),
        planted=(
            Planted(_kept, "kept in place of lost", "the wrong way round"),
            Planted(
                lambda breast, top, bottom, left, right: 1 - (bottom - top) * (right - left) / breast.size,
                "counted pixels of the picture",
                "you counted those",
            ),
            Planted(
                lambda breast, top, bottom, left, right: (
                    (breast.sum() - breast[top:bottom, left:right].sum()) / breast.size
                ),
                "divided by the picture",
                "you divided them by all 80 pixels",
            ),
            Planted(
                lambda breast, top, bottom, left, right: (
                    1 - breast[top:bottom].any(axis=1).sum() / breast.any(axis=1).sum()
                ),
                "counted rows",
                "only the rows count",
            ),
            Planted(
                lambda breast, top, bottom, left, right: 1 - _kept(breast, top, bottom + 1, left, right + 1),
                "kept a row and a column too many",
                "your crop is too large",
            ),
            Planted(
                lambda breast, top, bottom, left, right: 1 - _kept(breast, left, right, top, bottom),
                "rows and columns swapped",
                "have changed places",
            ),
            Planted(
                lambda breast, top, bottom, left, right: 1 / _kept(breast, top, bottom, left, right) - 1,
                "lost divided by kept",
                "what is lost by what is kept",
            ),
            Planted(
                lambda breast, top, bottom, left, right: breast.sum() - breast[top:bottom, left:right].sum(),
                "a count of pixels",
                "is a count of pixels",
            ),
            Planted(
                lambda breast, top, bottom, left, right: breast[top:bottom, left:right].mean(),
                "the share of breast in the crop",
                "the share of the crop that is breast",
            ),
            Planted(
                lambda breast, top, bottom, left, right: 100 * (1 - _kept(breast, top, bottom, left, right)),
                "a percentage",
                "that is a percentage",
            ),
            Planted(_wipes, "wiped the mask", "has changed the array"),
            Planted(
                lambda breast, top, bottom, left, right: (
                    1 - breast[top:bottom][left:right].sum() / breast.sum()
                ),
                "cut the rows twice",
                "One bracket takes both",
            ),
            Planted(
                lambda breast, top, bottom, left, right: 1 - breast[top:bottom, left:right].mean(),
                "the share of ground in the crop",
                "the share of the crop that is ground",
            ),
        ),
    ),
    Exercise(
        id="02.3",
        title="The chest wall to the left",
        minutes=9,
        test=_test_turn_left,
        buys="left and right breasts now lie on top of one another, whatever their headers say.",
        hints=(
            "A breast tapers. At which end does the mask fill more rows? Its ends need not be the borders of "
            "the picture.",
            "`columns = np.flatnonzero(mask.any(axis=0))` are the columns that the mask fills, and `box = "
            "mask[:, columns[0] : columns[-1] + 1]` is its box. Count the True ones in the box's first and "
            "last third.",
            "`if max(left, right) < 1.2 * min(left, right)`, the mask does not say: `turn = stated_side == "
            '"R"`. Otherwise `turn = right > left`. Then `return picture[:, ::-1] if turn else picture`.',
        ),
        planted=(
            Planted(
                lambda picture, mask, laterality: picture[:, ::-1],
                "turned every picture",
                "both pictures were turned",
            ),
            Planted(_by_light, "went by the brighter half", "tissue is brightest where the gland is"),
            Planted(
                lambda picture, mask, laterality: _by_ends(mask, mask, laterality),
                "turned the mask",
                "that is the mask",
            ),
            Planted(
                lambda picture, mask, laterality: picture[::-1] if mask[:, -1].any() else picture,
                "turned the rows",
                "stands on its head",
            ),
            Planted(
                lambda picture, mask, laterality: picture[:, ::-1] if laterality == "R" else picture,
                "trusted the header",
                "the header says nothing (None), as it often does",
            ),
            Planted(
                lambda picture, mask, laterality: _by_ends(
                    picture, mask, laterality, plain=1 if laterality is None else 99
                ),
                "asked the header first",
                "You believed the header",
            ),
            Planted(_by_touch, "asked which border it touches", "a large breast reaches both borders"),
            Planted(
                lambda picture, mask, laterality: (
                    picture[:, ::-1] if mask[:, -1].sum() > mask[:, 0].sum() else picture
                ),
                "compared the border columns",
                "both border columns are empty",
            ),
            Planted(_by_halves, "compared the halves of the picture", "not the two halves of the picture"),
            Planted(
                lambda picture, mask, laterality: _by_ends(picture, mask, laterality, asked=False),
                "never asked the header",
                "a round mask",
            ),
            Planted(
                lambda picture, mask, laterality: _by_ends(picture, mask, laterality, plain=1),
                "believed a difference of a few pixels",
                "which may be chance",
            ),
            Planted(lambda picture, mask, laterality: picture, "turned nothing", "came back as it was"),
            Planted(
                lambda picture, mask, laterality: (
                    np.roll(picture, 1, axis=1) if mask[:, 0].any() else np.roll(picture, 1, axis=0)
                ),
                "moved the pixels",
                "the pixels themselves have changed",
            ),
            Planted(_in_place, "turned the picture that it was given", "has changed the array"),
            Planted(_or_by_header, "asked mask or header", "whichever end it names"),
            Planted(_by_borders_of_the_box, "compared the box's border columns", "column may be chance"),
        ),
    ),
    Exercise(
        id="02.4",
        title="Onto a square",
        minutes=7,
        test=_test_fit,
        buys="every breast keeps its proportions, chest walls lie at one border, and nothing is invented.",
        hints=(
            "One factor for both directions: the rows become `size`, so what becomes of the columns? The "
            "rest of the square is ground.",
            "`cv2.resize(picture, (columns, size), interpolation=cv2.INTER_AREA)`: the width first. `np.pad` "
            "takes ((above, below), (left, right)) and fills with 0.",
            "`columns = round(picture.shape[1] * size / picture.shape[0])`, resize as above, then "
            "`return np.pad(small, ((0, 0), (0, size - columns)))`.",
        ),
        planted=(
            Planted(
                lambda picture, size: cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA),
                "stretched",
                "stretched to the full width",
            ),
            Planted(lambda picture, size: picture[:size, :size], "cut a corner out", "you cut a piece"),
            Planted(_both_sides, "padded on both sides", "you padded on both sides"),
            Planted(_gray, "padded with the mean", "a gray bar"),
            Planted(
                lambda picture, size: _pad_right(_sized(picture, size), size, mode="symmetric"),
                "padded with the mirror image",
                "a second breast",
            ),
            Planted(
                lambda picture, size: _pad_right(_sized(picture, size), size, mode="wrap"),
                "padded with a copy",
                "a copy of the breast",
            ),
            Planted(_sized, "did not pad", "a square is needed"),
            Planted(_by_width, "made the width fit", "It is the height that becomes"),
            Planted(_swapped, "height and width swapped in cv2", "takes the width first"),
            Planted(_swapped_into_place, "the same, and pasted in", "have changed places"),
            Planted(
                lambda picture, size: _pad_right(_sized(picture, size, cv2.INTER_NEAREST), size),
                "nearest neighbour",
                "the other fifteen beside it are lost",
            ),
            Planted(
                lambda picture, size: _pad_right(_sized(picture, size, cv2.INTER_LINEAR), size),
                "left the interpolation as it is",
                "interpolates between a few neighbours",
            ),
            Planted(_clips, "clipped the picture that it was given", "has changed the array"),
            Planted(
                lambda picture, size: _pad_right(_sized(picture, size)[:, ::-1], size)[:, ::-1],
                "padded on the left",
                "you padded on the left",
            ),
        ),
    ),
)
