"""Every exercise is proven: its solution, its stub, each mistake worth catching, its hints."""

import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from course_utils.imaging import MammogramError
from course_utils.imaging.mask import chest_wall
from course_utils.teaching import exercise, grays, squares
from course_utils.teaching import exercises as mechanism
from course_utils.teaching.exercises import Exercise, NotYet, Planted, all_exercises, tried

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import instructors  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"
ALL = all_exercises()


def plus_one(fn):
    if fn(1) != 2:
        raise NotYet("1 should become 2.")


TOY = Exercise("99.1", "Add one", 1, plus_one, "you can count.", ("Nudge.", "Add 1."), ())


def stored_text(folder, lesson):
    (path,) = folder.glob(f"{lesson}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))


@pytest.mark.parametrize("ex", ALL, ids=lambda e: e.id)
def test_the_solution_in_the_solved_lesson_is_right(ex):
    assert f"✅ {ex.id} right" in stored_text(NOTEBOOKS / "solutions", ex.id[:2])


@pytest.mark.parametrize("ex", ALL, ids=lambda e: e.id)
def test_the_stub_in_the_students_lesson_is_not_tried_yet(ex):
    assert f"⏳ {ex.id} not tried yet" in stored_text(NOTEBOOKS, ex.id[:2])


@pytest.mark.parametrize(
    ("ex", "planted"),
    [pytest.param(e, p, id=f"{e.id} {p.mistake}") for e in ALL for p in e.planted],
)
def test_each_planted_mistake_gets_its_own_message(ex, planted):
    verdict = ex.judge(planted.answer)
    assert verdict.state == "wrong"
    assert planted.says in verdict.text
    others = [other.says for other in ex.planted if other is not planted]
    assert not any(says in verdict.text for says in others)
    shown = instructors.shown(ex, verdict.text)
    (told,) = told_to_instructors(ex.id[:2], ex.id, planted.mistake)
    assert instructors.same_but_for_numbers(told, shown), "make instructors"


def told_to_instructors(lesson, number, mistake):
    """What the instructors' page says that a student reads; read here without the tool that wrote it."""
    (page,) = (ROOT / "docs" / "instructors").glob(f"{lesson}_*.md")
    part = page.read_text(encoding="utf-8").partition(f"\n### {number} ")[2].partition("\n#")[0]
    return re.findall(rf"^- \*\*{re.escape(mistake)}\*\*: (.+)$", part, re.MULTILINE)


def keeps(values):
    """Check an answer that doubles what is in an array, a tensor, a list or a dictionary."""

    def check(double):
        for value in values():
            if not np.array_equal(double(value), [0, 2, 4]):
                raise NotYet("not doubled.")

    return Exercise("99.2", "Double", 1, check, "fine.", ("Nudge.",), ())


CONTAINERS = {
    "array": lambda: [np.arange(3.0)],
    "tensor": lambda: [torch.arange(3.0)],
    "list": lambda: [[0, 1, 2]],
    "dict": lambda: [{"a": 0, "b": 1, "c": 2}],
}


@pytest.mark.parametrize("values", CONTAINERS.values(), ids=CONTAINERS)
def test_an_answer_that_changes_what_it_is_given_is_not_right(values):
    def anew(x):
        return np.asarray(list(x.values()) if isinstance(x, dict) else x) * 2

    def spoils(numbers):
        doubled = anew(numbers)
        if isinstance(numbers, dict):
            numbers["a"] = 7
        else:
            numbers[1] = 7
        return doubled

    assert keeps(values).judge(anew).state == "right"
    verdict = keeps(values).judge(spoils)
    assert verdict.state == "wrong"
    assert "your function changes numbers where it stands" in verdict.text


def test_an_exercise_that_asks_for_something_to_be_filled_says_which():
    def check(keep):
        kept, given = {}, [1]
        keep(kept, given)
        if kept != {0: 1}:
            raise NotYet("nothing is kept.")

    def keeps_first(store, numbers):
        store[0] = numbers[0]
        return store

    def takes_it_away(store, numbers):
        store[0] = numbers.pop()
        return store

    fills = Exercise("99.3", "Keep", 1, check, "fine.", ("Nudge.",), (), fills=(0,))
    assert fills.judge(keeps_first).state == "right"
    assert "your function changes numbers" in fills.judge(takes_it_away).text
    assert "your function changes store" in replace(fills, fills=()).judge(keeps_first).text


@pytest.mark.parametrize("answer", [lambda x: x + 2, lambda x: ..., lambda x: exit(), None])
def test_a_lesson_goes_on_with_the_courses_own_until_the_answer_is_right(answer, capsys):
    own = np.add
    assert TOY.use(answer, otherwise=own) is own
    assert capsys.readouterr().out == "99.1: from here on, the lesson runs on the course's own.\n"


def test_a_lesson_goes_on_with_a_right_answer(capsys):
    def mine(x):
        return x + 1

    assert TOY.use(mine, otherwise=np.add) is mine
    assert capsys.readouterr().out == "99.1: from here on, the lesson runs on your answer.\n"


def test_a_result_is_named_in_english():
    named = [mechanism.kind_of(value) for value in (np.ones((2, 3)), [1], 1, {"a": 1}, pd.Index([1]), 0.5)]
    assert named == ["one of shape (2, 3)", "a list", "an int", "a dict", "an Index", "a float"]


def raises_by_hand(vectors, names):
    for name in names:
        if name not in vectors:
            raise ValueError(name)
    return np.stack([vectors[name] for name in names])


def asserts(vectors, names):
    assert set(names) <= set(vectors)
    return np.stack([vectors[name] for name in names])


def yields(items, size):
    for start in range(0, len(items), size):
        yield items[start : start + size]


def detaches_each(network, images, size):
    network.train(False)
    rows = []
    for batch in images.split(size):
        row = network(batch)
        rows.append(row.detach())
    return torch.cat(rows)


def freezes(network, images, size):
    network.eval().requires_grad_(False)
    return torch.cat([network.forward(batch) for batch in images.split(size)])


@torch.no_grad()
def fills(network, images, size):
    rows = torch.empty(len(images), 4)
    for start in range(0, len(images), size):
        rows[start : start + size] = network.eval()(images[start : start + size])
    return rows


def gives_iterators(read, names):
    pictures, failures = {}, {}
    for name in names:
        try:
            pictures[name] = read(name)
        except MammogramError as error:
            failures[name] = str(error)
    return [iter(pictures), iter(pictures.values()), failures]


def by_rule(header):
    kinds = ("PN", "DA", "LT")
    found = [e for e in header if e.VR in kinds or e.tag.is_private or e.keyword.endswith("InstanceUID")]
    return [*found, "PatientID", (0x0008, 0x0050)]


def in_three_branches(x, center, width):
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    inside = (x - (center - 0.5)) / max(width - 1, 1) + 0.5
    return np.where(x <= low, 0, np.where(x > high, 1, inside)).astype(np.float32)


def turns_in_place(stored, bits, padding):
    ground = stored == padding
    turned = (1 << bits) - 1.0 - stored
    turned[ground] = 0
    return turned


def step_by_step(stored, slope, intercept, lut, window, low_is_bright):
    values = stored.astype(np.float32)
    values *= slope
    values += intercept
    shown = lut(values) if lut else window(values)
    if low_is_bright:
        shown = 1 - shown
    return shown


def by_hand(picture, threshold):
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((picture > threshold).astype(np.uint8))
    largest = max(range(1, count), key=lambda number: stats[number, cv2.CC_STAT_AREA])
    return (pieces == largest).astype(np.uint8)


def by_weight(picture, mask, stated_side):
    """Asks how far the middle of the breast lies from the middle of its box."""
    columns = np.nonzero(mask)[1]
    off = columns.mean() - (columns.min() + columns.max()) / 2
    plain = abs(off) > 0.03 * np.ptp(columns)
    return np.fliplr(picture) if (off > 0 if plain else stated_side == "R") else picture


def in_tenths(picture, mask, stated_side):
    """Goes by the mask as the package does."""
    side = chest_wall(mask) or {"L": "left", "R": "right"}.get(stated_side)
    return picture[:, ::-1].copy() if side == "right" else picture.copy()


def pastes(picture, size):
    square = np.zeros((size, size), np.float32)
    width = int(picture.shape[1] * size / picture.shape[0] + 0.5)
    square[:, :width] = cv2.resize(picture, dsize=(width, size), interpolation=cv2.INTER_AREA)
    return square


def shared_by_view(gray):
    return gray.expand(-1, 3, -1, -1)


def by_torchvision(stored, mean, std):
    from torchvision.transforms import v2

    return v2.functional.normalize(v2.functional.to_dtype(stored, torch.float32, scale=True), mean, std)


def by_probing(weight, mean, std):
    """What a stem answers to black and to a single white pixel, in float64."""
    m, s = (torch.tensor(each, dtype=torch.float64).view(1, 3, 1, 1) for each in (mean, std))
    side = weight.shape[-1]
    spots = torch.eye(side**2, dtype=torch.float64).reshape(-1, 1, side, side).expand(-1, 3, -1, -1)
    black = torch.nn.functional.conv2d((0 * spots[:1] - m) / s, weight.double()).flatten()
    answers = torch.nn.functional.conv2d((spots - m) / s, weight.double())[..., 0, 0] - black
    return answers.T.reshape(-1, 1, side, side).float(), black.float()


def by_einsum(weight, mean, std):
    slopes = torch.tensor([[1 / s for s in std], [-m / s for m, s in zip(mean, std, strict=True)]])
    return torch.einsum("ocij,kc->okij", weight, slopes)


def one_by_one(pictures):
    return [bool(np.isfinite(each).all() and np.ptp(each) > 0) for each in pictures.numpy()]


def pieces_by_size(picture, threshold):
    """Return a mask of each piece, the ground among them, from small to large."""
    pieces, _ = ndimage.label(picture > threshold)
    return [pieces == number for number in np.bincount(pieces.ravel()).argsort()]


def boxed(picture, threshold):
    mask = squares.largest_piece(picture, threshold)
    return mask.any(axis=1)[:, None] & mask.any(axis=0)


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("00.1", lambda pixels, bits: np.interp(pixels, [0, 2**bits - 1], [0, 1]).astype(np.float32)),
        ("00.2", lambda vectors, names: pd.DataFrame(vectors).T.loc[names].to_numpy()),
        ("01.2", lambda x, c, w: np.vectorize(lambda each: float(in_three_branches(each, c, w)))(x)),
        ("01.3", lambda stored, bits, padding: np.where(stored == padding, 0, stored ^ (2**bits - 1))),
        ("01.1", by_rule),
        ("01.2", in_three_branches),
        ("01.3", turns_in_place),
        ("01.4", step_by_step),
        ("00.2", raises_by_hand),
        ("00.2", asserts),
        ("00.2", lambda vectors, names: np.stack([vectors.get(name) for name in names])),
        ("05.1", yields),
        ("05.1", lambda items, size: [tuple(batch) for batch in yields(items, size)]),
        ("05.2", detaches_each),
        ("05.2", freezes),
        ("05.2", fills),
        ("05.3", gives_iterators),
        ("02.1", by_hand),
        (
            "02.2",
            lambda breast, a, b, c, d: (breast.sum() - np.count_nonzero(breast[a:b, c:d])) / breast.sum(),
        ),
        ("02.1", lambda picture, threshold: torch.tensor(by_hand(picture, threshold))),
        ("02.1", lambda picture, threshold: by_hand(picture, threshold).tolist()),
        ("02.2", lambda breast, *crop: torch.tensor(squares.share_lost(breast, *crop))),
        ("02.2", lambda breast, *crop: [Fraction(squares.share_lost(breast, *crop))]),
        ("02.3", by_weight),
        ("02.3", in_tenths),
        ("02.3", lambda *given: torch.tensor(in_tenths(*given))),
        ("02.4", pastes),
        ("02.4", lambda picture, size: torch.tensor(pastes(picture, size))),
        ("02.1", squares.largest_piece),
        ("02.2", squares.share_lost),
        ("02.3", squares.wall_to_left),
        ("02.4", squares.onto_square),
        ("04.1", shared_by_view),
        ("04.1", lambda gray: torch.cat([gray] * 3, dim=1)),
        ("04.2", by_torchvision),
        ("04.3", by_probing),
        ("04.4", by_einsum),
        ("04.5", one_by_one),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(exercise_id, answer):
    verdict = exercise(exercise_id).judge(answer)
    assert verdict.state == "right", verdict.text


def one_by_one_to_display(stored, slope, intercept, lut, window, low_is_bright):
    shown = [[(lut or window)(slope * float(each) + intercept) for each in row] for row in stored]
    return 1 - np.array(shown) if low_is_bright else np.array(shown)


def stops_early(items, size):
    for batch in yields(items, size):
        return [batch]
    return []


def grows(network, images, size):
    network.eval()
    rows = torch.empty(0, 4)
    for batch in images.split(size):
        rows = torch.cat([rows, network(batch)])
    return rows.detach()


@pytest.mark.parametrize(
    ("exercise_id", "answer", "says"),
    [
        ("00.1", lambda p, bits: np.where(p == 0, np.inf, p), "is divided by which"),
        ("00.1", lambda p, bits: p / (2**bits + 1), "becomes 0.9995"),
        ("00.1", lambda p, bits: np.minimum(p / 255, 1), "2048 and 3000 both became 1"),
        ("00.2", lambda v, n: np.stack([v[n[0]]]), "Is `return` inside the loop?"),
        ("00.2", lambda v, n: np.stack([v[k] for k in n]).squeeze(), "one name should make an array (1, 4)"),
        ("00.2", lambda v, n: np.stack([v[k] / 2 for k in n]), "none of the vectors: c has 20.25"),
        ("00.2", lambda v, n: np.stack([v[k] for k in n]).astype(int), "of dtype int64"),
        ("00.2", lambda v, n: np.stack([*v.values()][: len(n)]), "the first three of the dictionary"),
        ("01.1", lambda header: 3, "out came an int"),
        ("01.1", lambda header: ["SeriesInstanceUID"], "(0020,000E), SeriesInstanceUID"),
        ("01.2", lambda x, c, w: grays.linear(x, c, w) * np.nan, "became nan"),
        ("01.2", lambda x, c, w: np.clip((x - c + 0.5) / (w - 1) + 0.5, 1, 0), "Are two things exchanged"),
        ("01.2", lambda x, c, w: grays.linear(x, c, w).round(2), "Is the result rounded"),
        ("01.2", lambda x, c, w: grays.linear(x, c, w) * (1 // (w != 1)), "with a ZeroDivisionError"),
        ("01.2", lambda x, c, w: grays.linear(x, c, w) if w > 1 else None, "with width 1: your function"),
        ("01.3", lambda s, bits, padding: s, "or not at all?"),
        ("01.3", lambda s, bits, padding: np.ma.masked_equal(s, padding), "a masked array came out"),
        ("01.3", lambda s, b, p: np.where(s == p, 0, 2 ^ b - 1 - s), "the power is `2**12`"),
        ("01.3", lambda s, b, p: grays.as_monochrome2(s, b, p).astype("uint8"), "an array of 8 bits"),
        ("01.3", lambda s, b, p: np.where(s == p, -1, 2**b - 1 - s.astype(int)), "padding became -1. It"),
        ("01.4", one_by_one_to_display, "take the whole array of modality values at once"),
        ("01.4", lambda s, m, b, lut, window, low: m * s + b, "the result reaches 1900"),
        ("01.4", lambda s, m, b, lut, window, low: (lut or window)(s), "the window got the stored values"),
        ("01.4", lambda s, m, b, lut, window, low: (lut or window)(s + b), "the slope was left out"),
        ("01.4", lambda s, m, b, lut, window, low: (lut or window)(m * s).astype(int), "became 0 or 1"),
        ("01.1", lambda header: "PatientName", "a list of keywords and tags is needed"),
        ("01.1", lambda header: ["Patient's Name"], "is neither a keyword"),
        ("01.1", lambda header: ["EthnicGroup"], "the header has no element (0010,2160)"),
        ("01.2", lambda x, c, w: 1 - in_three_branches(x, c, w), "the window runs the wrong way"),
        ("01.3", lambda s, bits, padding: 1 - s, "`1 - x` turns numbers from 0 to 1"),
        (
            "01.4",
            lambda s, m, b, lut, window, low: step_by_step(s, m, b, lut, window, low and window),
            "but not with a VOI LUT",
        ),
        ("00.1", lambda p, bits: (p / (2**bits - 1)).astype(np.float16), "of dtype float16"),
        ("00.1", lambda p, bits: (p / 255).astype(np.float32), "white came out above 1"),
        ("00.2", lambda v, n: np.stack([v[k] for k in n]) if set(n) <= set(v) else None, "in silence"),
        (
            "02.1",
            lambda picture, threshold: squares.largest_piece(picture, 0.2),
            "the same mask comes out at the thresholds",
        ),
        (
            "02.1",
            lambda picture, threshold: squares.largest_piece(picture, picture.mean()),
            "the same mask comes out at the thresholds",
        ),
        (
            "02.2",
            lambda breast, top, bottom, left, right: int(breast[top:bottom, left:right].sum()),
            "19 is a count",
        ),
        (
            "02.3",
            lambda picture, mask, side: np.fliplr(picture) if not mask[:, 0].any() else picture,
            "a large breast reaches both borders",
        ),
        (
            "02.3",
            lambda picture, mask, side: squares.wall_to_left(picture, mask, side or "R"),
            "where nobody knows, nothing is turned",
        ),
        (
            "02.1",
            lambda picture, threshold: pieces_by_size(picture, threshold)[-2],
            "more than half of the pic",
        ),
        ("02.1", lambda picture, threshold: squares.largest_piece(-picture, -threshold), "what is *darker*"),
        (
            "02.1",
            lambda picture, threshold: np.where(by_hand(picture, threshold)),
            "out came a tuple. `np.where`",
        ),
        ("02.1", lambda picture, threshold: by_hand(picture, threshold).sum(), "a count of pixels, perhaps"),
        ("02.1", boxed, "the box around the breast"),
        ("02.1", lambda picture, threshold: picture * by_hand(picture, threshold), "such as 0.5"),
        ("02.2", lambda breast, a, b, c, d: 1 - breast[a:b, c:d].sum() / breast.size, "by all 80 pixels"),
        (
            "02.2",
            lambda breast, a, b, c, d: 1 - breast[:, c:d].sum() / breast.sum(),
            "only the columns count",
        ),
        (
            "02.2",
            lambda breast, a, b, c, d: 1 - breast[a + 1 : b, c + 1 : d].sum() / 40,
            "still belong to it",
        ),
        (
            "02.2",
            lambda breast, a, b, c, d: 1 - breast[a : b - 1, c : d - 1].sum() / 40,
            "nothing is to be sub",
        ),
        (
            "02.2",
            lambda breast, a, b, c, d: (breast[:a].sum() + breast[b:].sum()) / 40,
            "only the rows count",
        ),
        ("02.2", lambda breast, a, b, c, d: 1 - (b - a) * (d - c) / breast.sum(), "the share lost is 0.525"),
        (
            "02.4",
            lambda picture, size: np.pad(pastes(picture, size), ((0, size // 2), (0, 0))),
            "padding below",
        ),
        ("02.4", lambda picture, size: 255 * pastes(picture, size), "Leave their scale alone"),
        ("02.4", lambda picture, size: pastes(picture[:, ::-1], size), "turned round"),
        ("02.4", lambda picture, size: pastes(picture - picture.min(), size), "the grays are not the same"),
        (
            "02.4",
            lambda picture, size: np.resize(picture, (size, size)),
            "the first 48 × 24 / 96 = 12 columns",
        ),
        ("02.4", lambda picture, size: picture[-size:, -size:], "you cut a piece"),
        (
            "02.4",
            lambda picture, size: squares.onto_square(picture, size).astype(np.float64),
            "float32 went in, and float64 came out",
        ),
        ("05.1", lambda items, size: items, "A batch is itself a list"),
        ("05.1", stops_early, "is `return` inside the loop?"),
        (
            "05.1",
            lambda items, size: [items[i * size : (i + 1) * size] for i in range(round(len(items) / size))],
            "The end of the list is gone",
        ),
        (
            "05.1",
            lambda items, size: [items[i : i + size] for i in range(0, len(items) - 1, size)],
            "The end of the list is gone",
        ),
        ("05.1", lambda items, size: ["".join(batch) for batch in yields(items, size)], "itself a list"),
        ("05.1", lambda items, size: [*yields(items, size), []], "An empty batch"),
        ("05.2", lambda net, images, size: fills(net, images, 1), "in batches of [1, 1"),
        (
            "05.2",
            lambda net, images, size: torch.cat(
                [fills(net, piece, 9)[: len(piece)] for piece in images.chunk(size)]
            ),
            "`chunk` how many pieces",
        ),
        ("05.2", grows, "keeps its graph until the end"),
        ("04.1", lambda gray: gray.numpy().repeat(3, axis=1), "you return a NumPy array of shape"),
        ("04.2", lambda x, m, s: by_torchvision(x, m, [each**2 for each in s]), "divided by the variance"),
        ("04.2", lambda x, m, s: by_torchvision(x, m, s).double(), "the numbers are right, but in"),
        ("04.3", lambda w, m, s: by_probing(w, m, s)[0], "two things are needed"),
        ("04.3", lambda w, m, s: (by_probing(w, m, s)[0], by_probing(w, m, s)[1] / 3), "is a third"),
        ("04.4", lambda w, m, s: by_probing(w, m, s), "one tensor with two channels"),
        ("04.4", lambda w, m, s: by_einsum(w, m, s)[:, :1], "It should be (4, 2, 3, 3)"),
        ("04.5", lambda pictures: pictures.isfinite(), "an answer for each pixel"),
        (
            "05.3",
            lambda read, names: [*gives_iterators(read, names)[1::-1], {}],
            "first the list of names",
        ),
    ],
)
def test_a_rarer_mistake_is_named_too(exercise_id, answer, says):
    verdict = exercise(exercise_id).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text


def test_a_check_leaves_the_students_random_numbers_alone():
    before = torch.get_rng_state()
    exercise("05.2").judge(fills)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("ex", [e for e in ALL if callable(e.planted[0].answer)], ids=lambda e: e.id)
@pytest.mark.parametrize("result", [np.zeros((2, 2)), [1, 2]], ids=["array", "list"])
def test_the_result_in_place_of_the_function_is_told_so(ex, result):
    assert re.search(r"Give `check` the (function|class) itself, without brackets", ex.judge(result).text)


@pytest.mark.parametrize("ex", ALL, ids=lambda e: e.id)
def test_an_exercise_has_two_or_three_hints_three_planted_mistakes_and_a_time(ex):
    assert re.fullmatch(r"\d\d\.\d", ex.id)
    assert 2 <= len(ex.hints) <= 3
    assert len(ex.planted) >= 3
    assert 1 <= ex.minutes <= 30
    assert ex.title
    assert ex.buys


@pytest.mark.parametrize(
    "answer",
    [lambda x: ..., lambda x: None, ..., None],
    ids=["returns dots", "does nothing", "dots", "None"],
)
def test_an_untouched_answer_is_not_tried_yet(answer):
    assert TOY.judge(answer).text == "⏳ 99.1 not tried yet"


def test_a_forgotten_return_is_told_from_an_untouched_stub():
    def forgot(x):
        x + 1

    assert TOY.judge(forgot).state == "wrong"
    assert "`return …`" in TOY.judge(forgot).text


def test_a_right_answer_says_what_it_buys(capsys):
    TOY.check(lambda x: x + 1)
    assert capsys.readouterr().out == "✅ 99.1 right: you can count.\n"


def test_an_answer_that_raises_is_reported_with_its_type_message_and_line(capsys):
    def divides(x):
        y = x - 1
        return x / y

    TOY.check(divides)
    assert (
        "❌ 99.1 not yet: line 3 of your function stopped with ZeroDivisionError" in capsys.readouterr().out
    )


def test_an_answer_of_another_kind_does_not_raise():
    assert "TypeError" in TOY.judge(17).text
    assert TOY.judge(17).state == "wrong"


def test_an_answer_that_is_a_value_is_given_to_the_test_as_it_is():
    def is_seven(value):
        if value != 7:
            raise NotYet(f"{value} is not 7.")

    seven = Exercise(
        "99.2", "Seven", 1, is_seven, "luck.", ("Count.",), (Planted(8, "one off", "8 is not 7"),)
    )
    assert seven.judge(7).state == "right"
    assert seven.judge(8).text == "❌ 99.2 not yet: 8 is not 7."


def test_a_class_with_an_untouched_method_is_not_tried_yet():
    class Stub:
        def forward(self, x):
            return ...

    ex = Exercise("99.3", "A class", 1, lambda cls: tried(cls().forward(1)), "x.", (), ())
    assert ex.judge(Stub).state == "untried"


def test_strict_mode_raises_for_what_is_not_right(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    TOY.check(lambda x: x + 1)
    with pytest.raises(AssertionError, match="1 should become 2"):
        TOY.check(lambda x: x)
    with pytest.raises(AssertionError, match="not tried yet"):
        TOY.check(lambda x: ...)


def test_hints_come_one_after_another_and_then_name_the_solved_lesson(capsys, monkeypatch):
    monkeypatch.setattr(mechanism, "_hints_given", {})
    for _ in range(3):
        exercise("00.1").hint()
    assert re.findall(r"hint (\d) of 3", capsys.readouterr().out) == ["1", "2", "3"]
    exercise("00.1").hint()
    assert "is solutions/00_start_here.ipynb" in capsys.readouterr().out.replace("\n   ", " ")


@pytest.mark.parametrize("wrong_id", ["00.9", "77.1", "nonsense"])
def test_an_unknown_id_is_answered_with_what_there_is(wrong_id):
    with pytest.raises(LookupError, match=r"Available: 00\.1, 00\.2"):
        exercise(wrong_id)


def test_messages_are_wrapped_for_reading(capsys):
    exercise("00.1").check(exercise("00.1").planted[0].answer)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 100
