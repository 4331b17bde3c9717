"""Pages of the documentation as programs: what a page shows is run, and what it says came out is compared.

A page has fenced blocks. `console` holds commands after `$ course`, each with what it printed; `python` is
run, and a `text` block behind it is what it printed; other blocks are for reading. On a page, `…` stands for
what differs between machines, a long line may be broken anywhere between words, and how many seconds a run
took is not compared.
"""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils import DISCLAIMER, cli

FENCE = re.compile(r"^(<!-- slow -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = re.compile(r"\b(\d+\.\d|\d+) s\b")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `slow` is one that `make check-slow` alone runs."""

    language: str
    text: str
    slow: bool = False


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, from top to bottom."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(language, text, bool(slow)) for slow, language, text in found]


def snippets(page: Path) -> list[str]:
    """Return the Python of a page."""
    return [block.text for block in blocks(page) if block.language == "python"]


def commands(block: Block) -> Iterator[tuple[list[str], str]]:
    """Yield the words of each command in a block of the console, and what the page says that it printed."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        name, *words = shlex.split(command)
        assert name == "course", f"the tests run course alone, not {name}"
        yield words, printed


def says(page: str, printed: str) -> bool:
    """Return whether a page says what was printed."""
    wanted, heard = (" ".join(SECONDS.sub("… s", text).split()) for text in (page, printed))
    pattern = ".*?".join(map(re.escape, wanted.split("…")))
    return re.fullmatch(pattern, heard, re.DOTALL) is not None


def follow(page: Path, folder: Path, *, slow: bool = False) -> dict[str, Any]:
    """Do what a page shows, from top to bottom, in a folder; return the names that its Python leaves.

    AssertionError: something else was printed. Of slow blocks either none is run, or no others are.
    """
    names: dict[str, Any] = {}
    heard = ""
    with contextlib.chdir(folder):
        for block in blocks(page):
            if block.language == "python" and not slow:
                heard = _heard(lambda text=block.text: exec(text, names))
            elif block.language == "text" and not slow:
                assert says(block.text, heard), f"{page.name}: Python printed:\n{heard}"
            elif block.language == "console" and block.slow == slow:
                for words, printed in commands(block):
                    heard = _heard(lambda words=words: cli.main(words)).replace(f"{DISCLAIMER}\n", "")
                    assert says(printed, heard), f"{page.name}: course {shlex.join(words)} printed:\n{heard}"
    return names


def _heard(does: Any) -> str:
    """Return what is printed; of a command that fails, the reason is part of it."""
    said, why = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(why):
        status = does()
    return said.getvalue() + (why.getvalue() if status else "")
