"""One command from its arguments to its exit status; whatever goes wrong becomes one sentence."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

from course_utils import DISCLAIMER
from course_utils.cli.arguments import make_parser
from course_utils.cli.errors import UsageError
from course_utils.cli.printing import printable
from course_utils.files import as_text


def run(argv: Sequence[str] | None) -> int:
    """Run one command and return its exit status; Ctrl-C is the caller's to catch."""
    for stream in (sys.stdout, sys.stderr):
        # A Windows console may not know every character that a sentence holds; a run must not fail over one.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser = make_parser()
    arguments = parser.parse_args(argv)
    _keep_other_libraries_quiet()
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        print(DISCLAIMER, flush=True)
        return arguments.run(arguments)
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("COURSE_TRACEBACK"):
            raise
        lines = map(printable, _sentence(error).split("\n"))
        print(f"course {arguments.command}:", "\n".join(lines), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _keep_other_libraries_quiet() -> None:
    """Let only this course's own log through: other libraries quote headers and name folders."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(logging.Filter("course_utils"))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])


def _sentence(error: Exception) -> str:
    """Say what went wrong, without what another library's message may quote: a header, or a folder's path."""
    if type(error).__module__.startswith("course_utils."):
        return str(error)
    if isinstance(error, OSError):
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        name = as_text(Path(error.filename).name) if isinstance(error.filename, str) else ""
        return f"{reason} ({name})" if name else reason
    if isinstance(error, ImportError):
        return f"a package cannot be loaded ({error.name or 'its name is not known'}): run course doctor"
    if isinstance(error, MemoryError):
        return "not enough memory: close other programs, or use a smaller --batch-size and --size"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"something unexpected went wrong ({type(error).__name__}, {Path(place.filename).name} line "
        f"{place.lineno}): please report it. With COURSE_TRACEBACK=1 the same command shows more."
    )
