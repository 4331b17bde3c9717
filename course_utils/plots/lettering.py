"""Users' words in a figure: not read as formulas, and set in a font that has their letters."""

import functools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unicodedata import category

from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

# What systems have for the letters that matplotlib's own font lacks: Chinese, Japanese, Korean and Arabic.
_OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "SimHei",
    "Malgun Gothic",
    "Yu Gothic",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti TC",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Noto Sans Arabic",
    "Noto Naskh Arabic",
    "Geeza Pro",
    "Segoe UI",
    "Tahoma",
)

logger = logging.getLogger(__name__)


def shortened(words: str, most: int = 24) -> str:
    """Return words on one line, with an ellipsis in their middle if there are more than `most` letters."""
    line = " ".join("".join(" " if category(each) in ("Cc", "Cs") else each for each in words).split())
    ahead, behind = most - most // 3 - 1, most // 3
    return line if len(line) <= most else f"{line[:ahead]}…{line[-behind:]}"


def write_words(artist: Text, words: str) -> None:
    """Set words that a user chose as the text of an artist, letter by letter: a `$` is only a `$`."""
    artist.set_parse_math(False)
    artist.set_text(words)
    families, missing = _fonts_for(frozenset(words) - {"\n"})
    if len(families) > 1:
        artist.set_fontfamily(families)
    if missing:
        _say_once()


@contextmanager
def boxes_for_missing_letters() -> Iterator[None]:
    """Draw boxes for letters that no font has, without matplotlib's warning for each letter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


@functools.cache
def _fonts_for(letters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Return font families that together have the letters, and the letters that none has."""
    families = ["DejaVu Sans"]
    missing = letters - _letters_of("DejaVu Sans")
    for name in _OTHER_FONTS:
        if missing and name in _installed() and missing & _letters_of(name):
            families.append(name)
            missing -= _letters_of(name)
    return families, frozenset(missing)


@functools.cache
def _installed() -> frozenset[str]:
    return frozenset(fontManager.get_font_names())


@functools.cache
def _letters_of(family: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(findfont(family)).get_charmap()))


@functools.cache
def _say_once() -> None:
    logger.warning("Some letters are in no font on this machine: the figures show boxes instead.")
