"""What every test and every notebook under test starts from: the weights that need no network, on the CPU."""

import os

os.environ.setdefault("COURSE_BACKBONE", "efficientnet_lite0")
os.environ.setdefault("COURSE_DEVICE", "cpu")
