"""torchvision's weights: found in torch's cache or fetched, their hash checked either way (lesson 05).

In: a member of one of torchvision's weights enums. Out: its state dict, or one sentence that names the ways
out.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import socket
import sys
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlparse

import torch

from course_utils.embedding.errors import WeightsUnavailable
from course_utils.embedding.statedicts import StateDict

logger = logging.getLogger(__name__)


def weights_file(enum: Any) -> Path:
    """Return where torchvision keeps these weights once it has fetched them."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(enum.url).path).name


def is_whole(file: Path) -> bool:
    """Return whether a file has the sha256 whose first digits end its name, as in `net-0123abcd.pth`."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return digest.startswith(file.stem.rpartition("-")[2])


def weights_reachable(enum: Any, timeout: float = 3.0) -> bool:
    """Return whether the server of these weights accepts a connection within `timeout` seconds."""
    address = urlparse(enum.url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=timeout):
            return True
    except OSError:
        return False


def torchvision_state(enum: Any, whose: str, *, by_hand: str = "--weights PATH") -> StateDict:
    """Return torchvision's weights, fetched first if they are not here.

    Args:
        enum: which; its `url` ends in the first digits of the file's sha256.
        whose: the network's name in a sentence, such as `"ResNet-50"`.
        by_hand: how a file is passed to this network, in a sentence.

    Raises:
        WeightsUnavailable: they are not here and cannot be fetched, or are damaged.
    """
    file = weights_file(enum)
    megabytes = enum.meta.get("_file_size")
    once = f"({megabytes:.0f} MB, once)" if megabytes else "(once)"
    ways_out = (
        f"go online and run it again {once}; or pass the file as {by_hand}; "
        "or choose the backbone efficientnet_lite0, whose weights came with the install"
    )
    if file.is_file():
        # torchvision checks the hash while it fetches; a file that was damaged afterwards would go unnoticed.
        if not is_whole(file):
            raise WeightsUnavailable(
                f"{file.name} in torch's cache is damaged (its sha256 does not match its name): delete it "
                f"and {ways_out}."
            )
    elif weights_reachable(enum):
        logger.warning("Fetching %s's ImageNet weights %s", whose, once)
    else:
        raise WeightsUnavailable(
            f"{whose}'s ImageNet weights are not on this machine and their server cannot be reached. "
            f"Three ways out: {ways_out}."
        )
    try:
        # torch names the folder that it saves to; none of our output names a folder of this machine.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(_ProgressOnly(sys.stderr)):
            return enum.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # the network fails in many ways
        raise WeightsUnavailable(
            f"{whose}'s ImageNet weights could not be fetched whole ({type(error).__name__}). "
            f"Three ways out: {ways_out}."
        ) from error


class _ProgressOnly(io.TextIOBase):
    """Standard error without the line in which torch 2.6 names a folder, among its progress bars."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Downloading:") else self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()
