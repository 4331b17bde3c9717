"""What every test and every notebook under test starts from: the weights that need no network, on the CPU."""

import os

os.environ.setdefault("COURSE_BACKBONE", "efficientnet_lite0")
os.environ.setdefault("COURSE_DEVICE", "cpu")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core; threads of all workers on all cores would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
