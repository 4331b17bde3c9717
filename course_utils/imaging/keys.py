"""The secret that keys the pseudonyms of a store: one file in its folder (lesson 05).

In: a folder. Out: the key, drawn on first use and readable by its owner alone. The same key gives the same
woman the same pseudonym in every table; whoever has neither key nor identities cannot trace one back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

KEY_FILE = "pseudonym.key"
KEY_BYTES = 32
KEY_ATTEMPTS, KEY_PAUSE_S = 20, 0.05


class KeyTrouble(Exception):
    """A key that is damaged, or gone from among its embeddings."""


def key_of(folder: Path, new: bytes | None = None) -> bytes:
    """Return the key in a folder, such as that of an `EmbeddingStore`; where there is none, keep one in it.

    Args:
        folder: where the key is.
        new: what to keep where there is none; by default a key is drawn.

    Raises:
        KeyTrouble: it is damaged, or missing beside embeddings that were made with it.
        OSError: the folder cannot be read, or written into.
    """
    file = folder / KEY_FILE
    if not file.exists():
        if any(folder.glob("*/part-*.parquet")):
            # A new key would give one woman two pseudonyms in one table.
            raise KeyTrouble(
                f"{file.name} is missing from a store with embeddings: restore it, or delete the store"
            )
        _keep(folder, file, (new or secrets.token_bytes(KEY_BYTES)).hex())
    for _ in range(KEY_ATTEMPTS):
        with contextlib.suppress(ValueError):
            key = bytes.fromhex(file.read_text(encoding="ascii"))
            if len(key) == KEY_BYTES:
                return key
        time.sleep(KEY_PAUSE_S)  # without hard links, another run may be writing it just now
    raise KeyTrouble(f"{file.name} in the store is damaged: restore it, or delete the store")


def _keep(folder: Path, file: Path, drawn: str) -> None:
    """Write a new key in one step, so that two runs that start at once share it."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        beside.touch(mode=0o600)
        beside.write_text(drawn, encoding="ascii")
        try:
            os.link(beside, file)
        except FileExistsError:  # another run was first: its key counts
            pass
        except OSError:  # a file system without hard links, such as FAT or some network drives
            _create(file, drawn)
    finally:
        beside.unlink(missing_ok=True)


def _create(file: Path, text: str) -> None:
    """Write a short file for its owner alone, unless it already exists."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    try:
        os.write(descriptor, text.encode("ascii"))
    except OSError:
        file.unlink()
        raise
    finally:
        os.close(descriptor)
