"""Ctrl-C: the same clean end whenever it comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOPPED = "Stopped. No file is left half written; run the same command again to finish."
STATUS = 130


@contextmanager
def stops_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process on the spot while libraries are imported and nothing is being written.

    As an exception it would surface inside a half-imported library: numpy and torchvision would then be
    taken for missing, and the run would go on.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # the caller has plans of its own
        yield
        return
    try:
        signal.signal(signal.SIGINT, _stop)
    except ValueError:  # not the main thread, which alone receives signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(*_: object) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(STATUS)
