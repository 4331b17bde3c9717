"""What the site adds to two pages of `docs/`: the options of each command, and the list of the how-to pages.

`docs/commands.md` has a mark where the options of a command belong, `<!-- options: embed -->`. In the
repository nobody sees it, and `course embed --help` answers; the site shows what argparse knows, so that no
option is written down twice.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from course_utils.cli.arguments import WORKERS, make_parser

DOCS = Path(__file__).resolve().parents[1] / "docs"
COMMANDS, HOW_TO = "commands.md", "how-to/index.md"
MARK = re.compile(r"^<!-- options: (\w+) -->$", re.MULTILINE)
PAGE = re.compile(r"\]\(([\w-]+)\.md\)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CODE = re.compile(r"course [a-z]+(?: -- .+)?|(?<![\w-])--[a-z][\w-]*|s3://\S+|\w+_[\w.]+")
"""What is code in a sentence of help: a command, an option, an address, a name with an underscore."""


def command_pages() -> dict[str, str]:
    """Return the two pages as the site shows them: their paths from the root, and their Markdown."""
    commands, how_to = ((DOCS / name).read_text(encoding="utf-8") for name in (COMMANDS, HOW_TO))
    pages = "\n".join(dict.fromkeys(PAGE.findall(how_to)))
    options = options_of(make_parser())
    return {
        f"docs/{COMMANDS}": MARK.sub(lambda mark: options[mark[1]], commands),
        f"docs/{HOW_TO}": f"{how_to}\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n",
    }


def options_of(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return for each command a folded list of what it takes, in the groups of its help.

    A group that an earlier command has as well is named, and not listed again.
    """
    every = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    listed: dict[str, str] = {}
    shown = {}
    for name, command in every.choices.items():
        own, parts = [], []
        for group in command._action_groups:
            items = [_item(each, command) for each in group._group_actions if each.dest != "help"]
            title, text = str(group.title), "\n".join(items)
            if title in ("positional arguments", "options"):
                own += items
            elif text in listed:
                parts.append(f"{title[0].upper()}{title[1:]}: as for `course {listed[text]}`.")
            elif items:
                listed[text] = name
                parts.append(f"{title[0].upper()}{title[1:]}:\n\n{text}")
        shown[name] = _folded(name, ["\n".join(own), *parts] if own else parts)
    return shown


def _item(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    formatter = parser._get_formatter()  # it puts metavar, choices and nargs together
    written = COLOUR.sub("", formatter._format_action_invocation(action))
    required = " (required)" if action.required and action.option_strings else ""
    says = (action.help or "").replace("%%", "%")
    if action.dest == "workers":  # what the machine that builds the site has is nobody else's default
        says = says.replace(f"default: {WORKERS}", "default: one for each core, at most 4")
    says = CODE.sub(r"`\g<0>`", says)
    return f"- `{written}`{required}: {says}"


def _folded(name: str, parts: list[str]) -> str:
    if not parts:
        return f"`course {name}` has no options."
    inside = "\n\n".join(parts)
    return f"<details>\n<summary>Options of <code>course {name}</code></summary>\n\n{inside}\n\n</details>"
