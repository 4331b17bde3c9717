"""`python -m course_utils.cli`, for when the command `course` is not on the path."""

import sys

from course_utils.cli import main

if __name__ == "__main__":
    sys.exit(main())
