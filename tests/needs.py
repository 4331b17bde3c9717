"""One place that decides what a test does when a program or package that it uses is not on this machine."""

import os
import shutil
from importlib.util import find_spec

import pytest

SPELLINGS = {"chromium": ("chromium", "chromium-browser", "google-chrome", "chrome")}


def program(name: str) -> str | None:
    """Return the path of a program, under any of its usual names, or None."""
    return next((path for path in map(shutil.which, SPELLINGS.get(name, (name,))) if path), None)


def needs(*names: str) -> pytest.MarkDecorator:
    """Mark a test that drives these programs: skipped where one is missing, with the reason.

    With ``COURSE_REQUIRE_TOOLS`` set, as CI sets it, nothing is skipped: the test runs, and fails at the
    program that is not there.
    """
    missing = [name for name in names if program(name) is None]
    required = bool(os.environ.get("COURSE_REQUIRE_TOOLS"))
    return pytest.mark.skipif(bool(missing) and not required, reason=f"not installed: {', '.join(missing)}")


HAS_PYJPEGLS = find_spec("jpeg_ls") is not None
needs_pyjpegls = pytest.mark.skipif(
    not HAS_PYJPEGLS, reason="not installed: pyjpegls, which has no wheel for Python 3.14"
)
"""Mark a test that encodes JPEG-LS, or decodes it a second time."""
