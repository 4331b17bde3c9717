"""How fast this machine is now, beside the one whose figures the course quotes.

A test that counts seconds asks here what a second is worth. `pace` compares processor time and is for
budgets; `patience` goes by the clock and is for timeouts, which should end a hang and nothing else. The
work is done in a process of its own, on one thread, so that nothing a test has imported or set changes it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

REFERENCE_MACHINE = "AMD EPYC (Zen 4, family 25, model 17), 2 virtual cores, Linux"
"""The machine that `REFERENCE_SECONDS` and the figures in `docs/resource-cards.md` come from."""

REFERENCE_SECONDS = {"network": 0.34, "other": 0.21}
"""Processor seconds for one round of each kind of work on the reference machine, while it was quiet."""

ROUNDS = 3
PATIENCE = 5
SLOWEST = 20


@dataclass(frozen=True)
class Pace:
    """How many times as long as the reference machine this one takes; below 1, it is the faster one.

    `network` and `other` are processor time. Processors differ by kind of work: with matrix units, or
    without wide vectors, a network changes and a decoder does not. `clock` is what a clock on the wall says
    of both together, waiting for a free core included.
    """

    network: float
    other: float
    clock: float

    def weighed(self, network_share: float) -> float:
        """Return the pace for work that spends this share of its reference seconds in the network."""
        return network_share * self.network + (1 - network_share) * self.other


def mean(paces: list[Pace]) -> Pace:
    """Return the mean of several measurements, such as one before and one after a lesson."""
    names = ("network", "other", "clock")
    return Pace(*(statistics.mean(getattr(pace, name) for pace in paces) for name in names))


@contextlib.contextmanager
def meter(extra: Mapping[str, str] | None = None) -> Iterator[Callable[[], Pace]]:
    """Start the process that measures; what it yields measures whenever it is called.

    `extra` goes into its environment. Starting takes some seconds, for importing torch; each measurement
    takes one or two.
    """
    command = [sys.executable, str(Path(__file__).resolve())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(extra or {})}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        questions, answers = process.stdin, process.stdout
        assert questions and answers  # noqa: PT018  (for the type checker)

        def measure() -> Pace:
            print(file=questions)
            return Pace(**json.loads(answers.readline()))

        yield measure


def pace() -> Pace:
    """Measure once, now."""
    with meter() as measure:
        return measure()


@functools.cache
def slowness() -> float:
    """Return how many times as long as on the reference machine a wait takes here, from 1 to `SLOWEST`."""
    return min(max(pace().clock, 1.0), SLOWEST)


def patience(seconds: float) -> float:
    """Return a timeout for what a quiet reference machine does within `seconds`.

    It is `PATIENCE` times as long, for a machine that gets busy later, and longer still where the machine is
    slow or busy already. That is measured once in a process.
    """
    return seconds * PATIENCE * slowness()


def network_work() -> Callable[[], object]:
    """Return a forward pass of torchvision's ResNet-50: random weights, fp32, nothing tuned."""
    import torch
    from torchvision.models import resnet50

    torch.set_num_threads(1)
    torch.manual_seed(0)
    # Sixteen: with fewer, one thread alone takes another path than two threads and the course's engine do.
    module, images = resnet50(weights=None).eval(), torch.rand(16, 3, 96, 96)
    return torch.inference_mode()(lambda: module(images))


def other_work() -> Callable[[], object]:
    """Return a round of what lessons do besides: decoding, arrays, and plain Python, about a third each."""
    import imagecodecs
    import numpy as np

    noise = np.random.default_rng(0).normal(0, 40, (768, 768))
    picture = (2000 + 1000 * np.sin(np.arange(768) / 90) + noise).astype(np.uint16)
    jpeg = imagecodecs.jpeg8_encode(picture, lossless=True, predictor=1, bitspersample=16)
    jpeg_2000 = imagecodecs.jpeg2k_encode(picture, codecformat="j2k", reversible=True, bitspersample=16)

    def a_round() -> None:
        for _ in range(4):
            imagecodecs.jpeg8_decode(jpeg)
        imagecodecs.jpeg2k_decode(jpeg_2000)
        for _ in range(6):
            grays = np.sqrt(picture.astype(np.float32)) / 64
            np.sort(np.clip(grays - grays.mean(axis=0), 0, 1).ravel())
        counts: dict[str, int] = {}
        for number in range(400_000):
            name = f"image {number % 97}"
            counts[name] = counts.get(name, 0) + number

    return a_round


def measured(works: dict[str, Callable[[], object]]) -> Pace:
    """Time both kinds of work in this process."""
    started, paces = time.perf_counter(), {}
    for name, work in works.items():
        rounds = []
        for _ in range(ROUNDS):
            before = time.process_time()
            work()
            rounds.append(time.process_time() - before)
        paces[name] = statistics.median(rounds) / REFERENCE_SECONDS[name]
    clock = (time.perf_counter() - started) / ROUNDS
    return Pace(**paces, clock=clock / sum(REFERENCE_SECONDS.values()))


def serve() -> None:
    """Answer each line on standard input with a measurement; the first round, which warms up, is not told."""
    works = {"network": network_work(), "other": other_work()}
    measured(works)
    for _ in sys.stdin:
        print(json.dumps(asdict(measured(works))), flush=True)


if __name__ == "__main__":
    serve()
