"""What the site adds to `docs/commands.md`: the options of each command.

The page has a mark where they belong, `<!-- options: embed -->`. In the repository nobody sees it, and
`course embed --help` answers; the site shows what argparse knows, so that no option is written down twice.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
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
    listed: dict[str, str] = {}
    shown = {}
    for name, command in _parsers(parser).items():
        steps = _parsers(command)
        if steps:
            parts = [f"`course {name} {step}`:\n\n{_own(each)}" for step, each in steps.items() if _own(each)]
        else:
            parts = [part for part in (_own(command), *_groups(name, command, listed)) if part]
        shown[name] = _folded(name, parts)
    return shown


def _parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, or of each step of a command that has some."""
    every = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(every[0].choices) if every else {}


def _own(command: argparse.ArgumentParser) -> str:
    """Return what a command takes outside its groups."""
    return "\n".join(_items(command, command._positionals) + _items(command, command._optionals))


def _groups(name: str, command: argparse.ArgumentParser, listed: dict[str, str]) -> Iterator[str]:
    """Yield the titled groups of a command's options; `listed` says which command had a group first."""
    for group in command._action_groups:
        text = "\n".join(_items(command, group))
        if not text or group in (command._positionals, command._optionals):
            continue
        title = f"{str(group.title)[0].upper()}{str(group.title)[1:]}"
        first = listed.setdefault(text, name)
        yield f"{title}:\n\n{text}" if first == name else f"{title}: as for `course {first}`."


def _items(command: argparse.ArgumentParser, group: argparse._ArgumentGroup) -> list[str]:
    return [_item(each, command) for each in group._group_actions if each.dest != "help"]


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
