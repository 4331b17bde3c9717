"""What the site adds to `docs/commands.md`: the options of each command.

The page has a mark where they belong, `<!-- options: embed -->`. In the repository nobody sees it, and
`course embed --help` answers; the site shows what argparse knows, so that no option is written down twice.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from course_utils.cli.arguments import WORKERS, make_parser

ROOT = Path(__file__).resolve().parents[1]
PAGE = "docs/commands.md"
MARK = re.compile(r"^<!-- options: (\w+) -->$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CODE = re.compile(r"course [a-z]+(?: -- .+)?|(?<![\w-])--[a-z][\w-]*|s3://\S+|\w+_[\w.]+")
"""What is code in a sentence of help: a command, an option, an address, a name with an underscore."""


def command_pages() -> dict[str, str]:
    """Return the page of commands as the site shows it: its path from the root, and its Markdown."""
    options = options_of(make_parser())
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    return {PAGE: MARK.sub(lambda mark: options[mark[1]], page)}


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
