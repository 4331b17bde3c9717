#!/usr/bin/env python3
"""Install the course beside this file and run it: ``python start.py`` lists the commands.

Python reads a whole file before it runs its first line, so this one is written in what Python 2.7 and 3 have
in common: an old Python answers with a sentence on what is needed, and not with a syntax error. What the
commands do is in ``tools/starting.py``. Both need only the standard library.
"""

import os
import sys

OLDEST = (3, 11)

if __name__ == "__main__":
    if sys.version_info[:2] < OLDEST:
        have = ".".join(str(part) for part in sys.version_info[:3])
        sys.exit(
            "The course needs Python %d.%d or newer; you have %s (%s).\n"
            "If there is a newer one as well, call that: python3 start.py, or py start.py on Windows."
            % (OLDEST[0], OLDEST[1], have, sys.executable)
        )
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools"))
    import starting

    sys.exit(starting.start(sys.argv[1:]))
