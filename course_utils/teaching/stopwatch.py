"""Time several things in turns, within a time budget (lesson 06).

Functions to time go in; seconds come out, and a remark where they rest on fewer runs than were asked for.
`in_turns` is the course's own answer to exercise 06.1: the lesson runs on it until the student's is right.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

Action = Callable[[], Any]


class Turns:
    """Something to loop over: a turn to warm up, then further ones until the budget is spent.

    Args:
        budget: seconds; once they have passed, no new turn begins. Zero: the first turn is the only one.
        most: further turns at most.
    """

    def __init__(self, budget: float, most: int):
        self.budget = budget
        self.most = most
        self.begun = 0

    def __iter__(self) -> Iterator[int]:
        """Yield the number of each turn, from 0."""
        start = time.perf_counter()
        self.begun = 0
        while self.begun == 0 or (self.begun <= self.most and time.perf_counter() - start < self.budget):
            self.begun += 1
            yield self.begun - 1

    @property
    def remark(self) -> str:
        """What to add to a figure: nothing if all turns were taken, else how few there were."""
        if self.begun > self.most:
            return ""
        few = f"{self.begun - 1} of {self.most} turns" if self.begun > 1 else "only the warm-up"
        return f" (rough: {few})"


def in_turns(
    actions: Mapping[str, Action],
    synchronise: Action,
    clock: Callable[[], float],
    turns: Iterable[Any],
    pick: Callable[[Sequence[float]], float] = statistics.median,
) -> dict[str, float]:
    """Return the seconds of each action; the first turn warms up, and counts only if there is no other.

    Args:
        actions: what to time, by name; in each turn each runs once.
        synchronise: waits until the device has done all that it was given.
        clock: tells the time in seconds.
        turns: what to loop over, once.
        pick: makes one number of the times of an action.
    """
    times = run_times(actions, synchronise, clock, turns)
    return {name: pick(each[1:] or each) for name, each in times.items()}


def run_times(
    actions: Mapping[str, Action], synchronise: Action, clock: Callable[[], float], turns: Iterable[Any]
) -> dict[str, list[float]]:
    """Return the seconds of each run of each action, that of the first turn first; see `in_turns`."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in turns:
        for name, action in actions.items():
            synchronise()
            start = clock()
            action()
            synchronise()
            times[name].append(clock() - start)
    return times


def fastest(
    actions: Mapping[str, Action], device: torch.device, budget: float
) -> tuple[dict[str, float], str]:
    """Return the least seconds of each action in up to five turns, and a remark if there were fewer."""
    turns = Turns(budget, most=5)
    return in_turns(actions, waiting_for(device), time.perf_counter, turns, min), turns.remark


def waiting_for(device: torch.device) -> Action:
    """Return the function that waits for a device: a CPU has done what it was given, a card may not have."""
    waits = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}
    return waits.get(device.type, lambda: None)
