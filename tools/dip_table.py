"""Draw the table of the dip's chances that `course_utils/analysis/dip.py` reads (`make dip-table`).

For each size n, the dips of many sets of n uniform numbers; a column holds, for its p, the √n · dip that a
share p of the sets reaches. The same numbers come out every time.
"""

import io
import multiprocessing
import sys

import numpy as np

from course_utils.analysis import dip
from course_utils.files import write_atomic

SIZES = (*range(4, 13), 14, 16, 18, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256, 512, 1024, 2048)
SHARES = (
    *(0.99, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.04, 0.03, 0.025, 0.02, 0.015),
    *(0.01, 0.007, 0.005, 0.003, 0.002, 0.001, 0.0005, 0.0002, 0.0001),
)
MOST_DRAWS, MOST_NUMBERS = 200_000, 40_000_000


def quantiles(n: int) -> list[float]:
    """Return, for each of SHARES, the √n · dip that this share of sets of `n` uniform numbers reaches."""
    rng = np.random.default_rng(n)
    draws = min(MOST_DRAWS, MOST_NUMBERS // n)
    dips = np.sort([dip.dip(rng.random(n)) for _ in range(draws)])[::-1]
    return [float(np.sqrt(n) * dips[max(1, round(share * draws)) - 1]) for share in SHARES]


def main() -> None:
    """Write the table into the package."""
    table = io.StringIO()
    table.write("# The square root of n times the dip that a share p of sets of n uniform numbers reaches.\n")
    table.write("# Drawn by tools/dip_table.py.\n")
    table.write(",".join(["n", *map(str, SHARES)]) + "\n")
    with multiprocessing.get_context("spawn").Pool() as pool:
        for n, row in zip(SIZES, pool.imap(quantiles, SIZES), strict=True):
            table.write(",".join([str(n), *(f"{value:.5f}" for value in row)]) + "\n")
            print(f"n = {n}", file=sys.stderr)
    write_atomic(dip.TABLE, table.getvalue().encode())


if __name__ == "__main__":
    main()
