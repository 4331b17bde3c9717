"""What the libraries print and log while they read: caught, since it quotes the header (lesson 01).

In: a block of code that reads a file. Out: the kinds of warning that it gave, by name, and nothing else,
either on the screen or in a log. Other threads, and the same thread afterwards, are left as they are.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIBRARIES = frozenset({"pydicom", "imagecodecs", "PIL"})
"""Top-level logger names of everything that parses or decodes here."""

_heard = threading.local()
_readers = 0
_outside: Any = None
_lock = threading.Lock()


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect the kinds of warning that this thread gives; their texts quote the header and are not printed.

    The libraries' log records quote it too, and those for a damaged file have tracebacks: they are dropped.

    `warnings.catch_warnings` alone is not safe with several threads (the last one out restores another's
    settings), so the first reader sets it up for all and the last one takes it down.
    """
    global _readers, _outside
    kinds: list[str] = []
    _heard.kinds = kinds
    with _lock:
        _filter_loggers()
        _readers += 1
        if _readers == 1:
            _outside = warnings.catch_warnings()
            _outside.__enter__()
            warnings.simplefilter("always")
            shown = warnings.showwarning

            def collect(message: Any, category: Any, *where: Any) -> None:
                if (mine := getattr(_heard, "kinds", None)) is None:
                    shown(message, category, *where)
                else:
                    mine.append(category.__name__)

            warnings.showwarning = collect  # type: ignore[assignment]
    try:
        yield kinds
    finally:
        _heard.kinds = None
        with _lock:
            _readers -= 1
            if _readers == 0:
                _outside.__exit__(None, None, None)


def _filter_loggers() -> None:
    """Put `_not_reading` on each logger of `LIBRARIES`: a logger's filters do not see its children's records.

    It stays there, where it does nothing outside `quiet`; adding it again changes nothing.
    """
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] in LIBRARIES and isinstance(logger, logging.Logger):
            logger.addFilter(_not_reading)


def _not_reading(_record: logging.LogRecord) -> bool:
    """Let a log record pass unless this thread is inside `quiet`."""
    return getattr(_heard, "kinds", None) is None
