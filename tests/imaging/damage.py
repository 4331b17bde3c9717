"""Damage files and read them, in a separate process: `python damage.py SEEDS FIRST LAST SECONDS`.

SEEDS is a folder of sound files, and SECONDS is how long reading one of them may take. Number n is always the
same file with the same damage, so that `damage.py SEEDS n n+1 20` shows again what went wrong. A file that
is still there when the process has died is the one that killed it.
"""

import faulthandler
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom

from course_utils.imaging import MammogramError, read_mammogram

PERSONAL = ("Quisling", "Prudence", "HOSPITAL", "4711", "1954", "ACC0815")
MEMORY = 2**29

VRS = b"AE AS AT CS DA DS FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT"
LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT")
SEQUENCES = ([0x0028, 0x3010],)
TEXTS = (
    rb"0 |-1|1e|NaN |inf |1e999 |99999999999999|1\2\3 |\\|\-0|MONOCHROME1 |RGB |LINEAR_EXACT|SIGMOID |LOG |"
)
NUMBERS = (0, 1, 0x8000, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x1000000010, 0xE000FFFE, 0xFFFFFFFFE000FFFE)
VALUES = [
    *TEXTS.split(b"|"),
    b"Quisling^Prudence ",
    b"1.2.840.10008.1.2",
    *(
        number.to_bytes(width, "little")
        for number in NUMBERS
        for width in (2, 4, 6, 8)
        if number < 256**width
    ),
]
"""What an element may suddenly hold: nothing, numbers as text and as such, words, the start of an item."""


class Element(NamedTuple):
    """Where an element begins, where its length is and in how many bytes, and where its value is."""

    start: int
    length_at: int
    width: int
    value: int
    end: int


class Seed(NamedTuple):
    """A sound file: its bytes, its elements before the pixels, and where the value of the pixels begins."""

    data: bytes
    elements: list[Element]
    pixels: int
    order: str


def load(path: Path) -> Seed:
    """Read a seed and find its elements, those in the items of a sequence too."""
    data = path.read_bytes()
    implicit, little = pydicom.dcmread(path, stop_before_pixels=True).original_encoding
    order = "little" if little else "big"
    meta = 144 + int.from_bytes(data[140:144], "little")  # where the file meta information ends
    elements = [*_walk(data, 132, meta, False, "little"), *_walk(data, meta, len(data), implicit, order)]
    return Seed(data, elements, elements.pop().value, order)


def _walk(data: bytes, at: int, end: int, implicit: bool, order: str) -> Iterator[Element]:
    while at < end:
        tag = [int.from_bytes(data[at + n : at + n + 2], order) for n in (0, 2)]
        vr = b"" if implicit or tag[0] == 0xFFFE else data[at + 4 : at + 6]
        header, width = (12, 4) if vr in LONG else (8, 2) if vr else (8, 4)
        value = at + header
        length = int.from_bytes(data[value - width : value], order)
        element = Element(at, value - width, width, value, min(end, value + length))
        yield element
        if tag == [0x7FE0, 0x0010]:
            return
        if vr == b"SQ" or tag[0] == 0xFFFE or tag in SEQUENCES:
            yield from _walk(data, value, element.end, implicit, order)
        at = element.end


def damage(seed: Seed, rng: np.random.Generator) -> bytes:
    """Return the file with one kind of damage, now and then with several."""
    data = bytearray(seed.data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        kind = KINDS[rng.integers(len(KINDS))]
        kind(data, seed, rng)
    return bytes(data)


def _flip(data: bytearray, rng: np.random.Generator, low: int, high: int) -> None:
    for at in rng.integers(low, max(low + 1, min(high, len(data))), rng.integers(1, 9)):
        if at < len(data):
            data[at] = rng.choice([rng.integers(256), data[at] ^ (1 << rng.integers(8)), 0, 255, 127, 128])


def _element(seed, rng):
    return seed.elements[rng.integers(len(seed.elements))]


def flip_anywhere(data, seed, rng):
    _flip(data, rng, 0, len(data))


def flip_in_header(data, seed, rng):
    _flip(data, rng, 132, seed.pixels)


def flip_in_value(data, seed, rng):
    element = _element(seed, rng)
    _flip(data, rng, element.start, element.end)


def flip_in_stream_header(data, seed, rng):
    _flip(data, rng, seed.pixels, seed.pixels + rng.choice([24, 60, 140, 300]))


def flip_in_pixels(data, seed, rng):
    _flip(data, rng, seed.pixels, len(data))


def truncate(data, seed, rng):
    del data[rng.choice([rng.integers(len(data)), len(data) - rng.integers(1, 40)]) :]


def cut_out(data, seed, rng):
    at = rng.integers(len(data))
    del data[at : at + rng.choice([1, 2, 8, 100, 2000])]


def repeat(data, seed, rng):
    at = rng.integers(len(data))
    data[at:at] = data[at : at + rng.choice([1, 2, 8, 100, 2000])]


def remove(data, seed, rng):
    element = _element(seed, rng)
    del data[element.start : element.end]


def duplicate(data, seed, rng):
    element, other = _element(seed, rng), _element(seed, rng)
    data[element.start : element.start] = data[other.start : other.end]


def lie_about_length(data, seed, rng):
    element = _element(seed, rng)
    most = 256**element.width - 1
    length = rng.choice([0, 1, element.end - element.value + 2, 100, 60000, most, rng.integers(most)])
    data[element.length_at : element.value] = int(length).to_bytes(element.width, seed.order)


def change_vr(data, seed, rng):
    element = _element(seed, rng)
    data[element.start + 4 : element.start + 6] = rng.choice(VRS.split())


def replace(data, seed, rng):
    element, other = _element(seed, rng), _element(seed, rng)
    value = VALUES[rng.integers(len(VALUES))] if rng.random() < 0.7 else bytes(data[other.value : other.end])
    value += b"\0" * (len(value) % 2)
    data[element.length_at : element.end] = len(value).to_bytes(element.width, seed.order) + value


KINDS = (
    flip_anywhere,
    flip_in_header,
    flip_in_header,
    flip_in_value,
    flip_in_value,
    flip_in_stream_header,
    flip_in_stream_header,
    flip_in_pixels,
    truncate,
    cut_out,
    repeat,
    remove,
    duplicate,
    lie_about_length,
    change_vr,
    replace,
    replace,
)


def check(path: Path, voi: object, read: str) -> str:
    """Read a damaged file; return "pixels" or the sentence, or raise an AssertionError."""
    try:
        got = read_mammogram(path, voi=voi, read=read, size=16)
    except MammogramError as refusal:
        text = outcome = str(refusal)
        chained = refusal.__cause__
    else:
        text = re.sub("'(img|pat)-[0-9a-f]{12}'", "", repr(got))  # which spell 4711 now and then, by chance
        outcome, chained = "pixels", None
        assert got.pixels.dtype == np.float32
        assert got.pixels.ndim == 2
        assert (got.pixels >= 0).all()  # also false for NaN
        assert (got.pixels <= 1).all()
    assert chained is None
    for secret in (*PERSONAL, str(path.parent), path.name):
        assert secret not in text
    return outcome


def memory() -> int:
    """Return the most memory that this process has taken, in bytes; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one, up to the moment it did
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on a Mac


def main(folder: Path, first: int, last: int, seconds: float) -> None:
    """Read damaged files number `first` up to `last`; print as JSON how many ended how."""
    seeds = [load(path) for path in sorted(folder.glob("*.dcm"))]
    outcomes: dict[str, int] = {}
    for number in range(first, last):
        rng = np.random.default_rng(number)
        path = folder / f"damaged_{number}.bin"
        path.write_bytes(damage(seeds[number % len(seeds)], rng))
        voi = ["auto", "auto", "auto", "window", "lut", "percentile", "none", 1][rng.integers(8)]
        faulthandler.dump_traceback_later(seconds, exit=True)
        try:
            outcome = check(path, voi, ["full", "fast"][rng.integers(2)])
        except BaseException as error:
            print(f"damaged file {number}: {type(error).__name__}", file=sys.stderr)
            raise
        faulthandler.cancel_dump_traceback_later()
        assert memory() < MEMORY, f"damaged file {number} took {memory() / 2**20:.0f} MiB"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        path.unlink()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    faulthandler.enable()
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
