"""Which engine, where `auto` is asked for: the one that is faster here, as measured (lesson 06).

In: two engines that do the same work. Out: the name of one. Vectors of two engines differ in their last bits
and lie on different shelves of a store. So a choice is not made again without need: it is kept beside the
store for this network, these settings and this machine, and OpenVINO has to be clearly faster to be chosen.
"""

from __future__ import annotations

import contextlib
import json
import logging
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from course_utils.files import write_atomic
from course_utils.provenance import fingerprint

logger = logging.getLogger(__name__)

MARGIN = 1.03
"""OpenVINO has to be this many times as fast to be chosen; by less it is not worth another shelf."""
TURNS = 5
ENOUGH_S = 4.0
"""No new turn begins after so long: without bf16 units, a batch of it takes minutes."""
FILE = "engines.json"

Name = Literal["torch", "openvino"]
Batch = Callable[[], object]
"""Computes one batch."""


def openvino_version() -> str | None:
    """Return the version of OpenVINO, None where it is not installed."""
    if find_spec("openvino") is None:
        return None
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("openvino")
    return "unknown"


def times_as_fast(torch: Batch, openvino: Batch, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how many times as fast as PyTorch OpenVINO computes a batch: the median of a few turns.

    In each turn both are timed, one right after the other, which a slow moment of the machine strikes alike;
    who begins changes. Both are warmed up before.
    """
    begun = clock()
    torch(), openvino()
    ratios: list[float] = []
    for turn in range(TURNS):
        seconds = {}
        for batch in (torch, openvino) if turn % 2 else (openvino, torch):
            start = clock()
            batch()
            seconds[batch] = clock() - start
        ratios.append(seconds[torch] / seconds[openvino])
        if clock() - begun > ENOUGH_S:
            break
    return statistics.median(ratios)


def kept_choice(folder: Path | None, settings: dict[str, Any]) -> Name | None:
    """Return what was chosen before for these settings, None if nothing was, or nothing that can be read."""
    if folder is None:
        return None
    engine = _read(folder / FILE).get(fingerprint(settings), {}).get("engine")
    return engine if engine in ("torch", "openvino") else None


def keep_choice(folder: Path | None, settings: dict[str, Any], engine: Name, times: float) -> None:
    """Keep a choice, if there is a folder to keep it in; one that cannot be kept is measured again."""
    if folder is None:
        return
    choices = _read(folder / FILE)
    choices[fingerprint(settings)] = {**settings, "engine": engine, "openvino_times_torch": round(times, 3)}
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / FILE, json.dumps(choices, indent=1).encode())


def _read(file: Path) -> dict[str, dict[str, Any]]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(file.read_bytes())
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, dict)}
    return {}


def faster(engines: dict[Name, Callable[[], Batch]], settings: dict[str, Any], folder: Path | None) -> Name:
    """Return the name of the engine to use, and say in one line which it is and why.

    Args:
        engines: for each name what makes its engine ready and returns a batch of it to be timed. OpenVINO's
            may fail: it compiles only for what the processor can do.
        settings: all that the speed depends on, as plain values.
        folder: where choices are kept, such as a store's; None keeps none.
    """
    chosen = kept_choice(folder, settings)
    if chosen is not None:
        logger.warning("Using the engine %s, as measured before on this machine", chosen)
        return chosen
    torch = engines["torch"]()
    try:
        times = times_as_fast(torch, engines["openvino"]())
    except Exception as error:  # what it raises on a processor that it cannot compile for is not documented
        logger.warning("Using the engine torch: openvino fails here (%s)", type(error).__name__)
        return "torch"
    chosen = "openvino" if times >= MARGIN else "torch"
    keep_choice(folder, settings, chosen, times)
    logger.warning("Using the engine %s: openvino is %.2f times as fast as torch here", chosen, times)
    return chosen
