"""`course …`: the lessons' own code as a command line, for ten files or an archive of ten thousand.

Hardly anything is imported before Ctrl-C can be caught, and nothing heavy before a command needs it, so
that `course --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from course_utils.cli.stopping import STATUS, STOPPED, stops_at_once


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 failed, 2 usage, 130 stopped by Ctrl-C."""
    try:
        with stops_at_once():
            from course_utils.cli.running import run

        return run(argv)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return STATUS
