"""From the solved lessons to `docs/resource-cards.md`: what each needs on the reference machine.

A lesson's processor seconds depend on the processor, and not every kind of work in the same way. So a lesson
is timed between two measurements of the machine (`tests/calibration.py`), and its seconds are turned into
those that the reference machine would need, weighted by the lesson's own share of work in the network. The
page holds these figures; `tests/test_notebooks.py` holds the lessons to them, on any machine.

    python tools/cards.py             every lesson; leave the machine alone meanwhile
    python tools/cards.py 05          one lesson
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
from nbformat import NotebookNode

import notebooks

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from calibration import Pace, mean, meter  # noqa: E402

PAGE = ROOT / "docs" / "resource-cards.md"
ROW = re.compile(r"^\| (\d\d_\w+) \| ([\d.]+) \| (\d+)% \| ([\d.]+) GB \|$", re.MULTILINE)
HEAVIEST, LIGHTEST = 1.5, 0.5
"""How far a lesson may differ from its recorded seconds: processors differ, and so does a busy machine."""

TIME_BUDGET = re.compile(r"\bbudget=\d+")
"""How long a lesson goes on repeating what it measures. Without it each is measured once, on any machine."""

PLAIN = {"OMP_NUM_THREADS": "1"}
SLOW_NETWORK = {**PLAIN, "ONEDNN_MAX_CPU_ISA": "SSE41"}
"""oneDNN, which computes the convolutions, does without wide vectors; nothing else gets slower."""

SPENT = """
import os, pathlib, re, time
seconds = time.process_time()
status = pathlib.Path("/proc/self/status")
if status.exists():  # Linux: getrusage would count what the parent process held before it started this one
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) * 1024
else:
    import psutil
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", memory.rss)
_ = pathlib.Path(os.environ["COURSE_SPENT"]).write_text(f"{seconds} {peak}")
"""


@dataclass(frozen=True)
class Card:
    """What a lesson needs: processor seconds on the reference machine, and the peak of its memory."""

    seconds: float
    network_share: float
    gigabytes: float


@dataclass(frozen=True)
class Run:
    """What a notebook took here, and how fast the machine was before and after it."""

    seconds: float
    gigabytes: float
    pace: Pace

    def on_reference(self, network_share: float) -> float:
        """Return the processor seconds that the reference machine would have needed."""
        return self.seconds / self.pace.weighed(network_share)


def recorded() -> dict[str, Card]:
    """Read the page: lesson -> card."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {name: Card(float(took), int(share) / 100, float(peak)) for name, took, share, peak in rows}


def run(
    notebook: NotebookNode,
    folder: Path,
    measure: Callable[[], Pace],
    environment: dict[str, str] = PLAIN,
    execute: Callable[[NotebookNode, Path, dict[str, str]], object] = notebooks.execute,
) -> Run:
    """Execute a copy of the notebook, every exercise's check raising, between two timings of the machine.

    `execute(notebook, folder, environment)` runs every cell; a test compares their outputs, too.

    Time is that of the processor, on one thread: waiting for a free core does not count, and a machine with
    two cores is no slower than one with twenty. Time budgets are set to nothing: within one, a fast machine
    would do more.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.source = TIME_BUDGET.sub("budget=0", cell.source)
    notebook.cells.append(nbformat.v4.new_code_cell(SPENT, execution_count=0))
    with tempfile.TemporaryDirectory() as elsewhere:
        spent = Path(elsewhere) / "spent"
        before = measure()
        execute(notebook, folder, {"COURSE_STRICT": "1", "COURSE_SPENT": str(spent), **environment})
        seconds, peak = map(float, spent.read_text().split())
    return Run(seconds, peak / 1e9, mean([before, measure()]))


def complaint(card: Card, run: Run) -> str:
    """Say how a run differs from the card; empty if it does not."""
    seconds = run.on_reference(card.network_share)
    times = seconds / card.seconds
    if LIGHTEST < times < HEAVIEST:
        return ""
    return (
        f"{'heavier' if times > 1 else 'lighter'} than recorded: {run.seconds:.1f} s of processor time, "
        f"{seconds:.1f} s on the reference machine, where the page says {card.seconds:.1f} s ({run.pace}). "
        "If that is intended: make cards"
    )


def solved(plain: Run, slowed: Run) -> Card:
    """Divide a lesson's seconds into network and other, from two runs that differ in the network's pace.

    Raises:
        ValueError: the network was as fast in both; nothing follows from them.
    """
    if slowed.pace.network < 1.3 * plain.pace.network:
        raise ValueError("The network is no slower with SSE alone; an x86 processor with AVX is needed.")
    paces = [[run.pace.network, run.pace.other] for run in (plain, slowed)]
    network, other = np.linalg.solve(paces, [plain.seconds, slowed.seconds])
    share = float(np.clip(network / (network + other), 0, 1))
    return Card(plain.on_reference(share), share, max(plain.gigabytes, slowed.gigabytes))


def measured(notebook: NotebookNode, folder: Path) -> Card:
    """Run a notebook plain and with a slow network."""
    runs = []
    for environment in (PLAIN, SLOW_NETWORK):
        with meter(environment) as measure:
            runs.append(run(notebook, folder, measure, environment))
    return solved(*runs)


def write(cards: dict[str, Card]) -> None:
    """Put these rows in place of the page's own."""
    rows = "\n".join(
        f"| {name} | {card.seconds:.1f} | {card.network_share:.0%} | {card.gigabytes:.2f} GB |"
        for name, card in sorted(cards.items())
    )
    text = re.sub(r"(?<=\|---\|---\|---\|---\|\n)(\|.*\n)*", rows + "\n", PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Measure the lessons and write the page; those not asked for keep their rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="a number (05) or a name (default: all)")
    try:
        sources = notebooks.sources(parser.parse_args().lessons)
    except notebooks.NotebookError as error:
        parser.error(str(error))
    cards = recorded()
    for source in sources:
        card = cards[source.stem] = measured(
            notebooks.read(source, "solved"), notebooks.NOTEBOOKS / "solutions"
        )
        print(f"{source.stem:<28}{card.seconds:6.1f} s  {card.network_share:4.0%}  {card.gigabytes:.2f} GB")
        write(cards)


if __name__ == "__main__":
    main()
