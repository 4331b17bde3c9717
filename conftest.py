"""What every test and every notebook under test starts from: the weights that need no network, on the CPU."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("COURSE_BACKBONE", "efficientnet_lite0")
os.environ.setdefault("COURSE_DEVICE", "cpu")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core; threads of all workers on all cores would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Leave slow tests out, unless `-m` names them, and from comparison what nbval should not compare."""
    if config.option.nbval_sanitize_with is None:
        config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "nbval.cfg")
    asked = config.option.markexpr
    if "slow" not in asked:
        config.option.markexpr = f"({asked}) and not slow" if asked else "not slow"
