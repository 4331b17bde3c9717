"""State dicts: read from what people publish, loaded strictly, told apart by their content (lesson 05).

In: a PyTorch or safetensors file. Out: tensors under the names that the network itself uses.
Nothing in a file is ever run, and a damaged one becomes one sentence.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from course_utils.embedding.errors import EmbeddingError, WeightsUnavailable
from course_utils.files import as_text

StateDict = dict[str, Tensor]

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""The keys under which a checkpoint keeps the weights, beside epoch, optimiser and the like."""
PREFIXES = ("module.", "backbone.", "encoder.", "model.", "network.")
"""What training puts before a network's names: a wrapper for several GPUs, or its place in a larger model."""
HEADS = ("fc.", "_fc.", "head.", "classifier.", "projector.", "projection_head.", "predictor.")
"""What comes after an embedding and is not needed for it; its size differs from task to task."""
COUNTER = "num_batches_tracked"
"""Batch normalisation counts its training batches; no vector depends on that, and some files leave it out."""


def read_state_dict(file: Path) -> StateDict:
    """Read the weights of one network from a PyTorch file, or from a safetensors file (by its suffix).

    Names lose the prefixes that training gave them, and heads are left out (see `only_features`).

    Raises:
        WeightsUnavailable: there is no such file, or it cannot be read.
        EmbeddingError: it holds no weights that can be loaded safely, or those of several networks.
    """
    return only_features(read_as_it_is(file), as_text(file.name))


def read_as_it_is(file: Path) -> StateDict:
    """Read what `read_state_dict` does, under the names in the file, heads and all."""
    name = as_text(file.name)
    try:
        with file.open("rb"):
            pass
    except FileNotFoundError:
        raise WeightsUnavailable(
            f"there is no weights file {name!r}: check --weights or COURSE_WEIGHTS"
        ) from None
    except OSError as error:
        raise WeightsUnavailable(f"the weights file {name!r} cannot be read: {error.strerror}") from None
    return _unwrapped(_load(file, name), name)


def load_strictly(network: nn.Module, state: StateDict, label: str) -> None:
    """Load all of a state dict into all of a network; EmbeddingError names what is missing or left over."""
    try:
        missing, left_over = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else type(error).__name__
        raise EmbeddingError(f"the weights {label} do not fit this network: {first}") from error
    if missing := [key for key in missing if not key.endswith(COUNTER)]:
        raise EmbeddingError(f"the weights {label} do not fit this network: they lack {_listed(missing)}")
    if left_over:
        raise EmbeddingError(
            f"the weights {label} do not fit this network: it has no place for {_listed(left_over)}"
        )
    if odd := [key for key, value in network.state_dict().items() if not torch.isfinite(value).all()]:
        raise EmbeddingError(f"the weights {label} are damaged: NaN or infinite numbers in {_listed(odd)}")


def content_sha256(module: nn.Module) -> str:
    """Return the sha256 of a network's weights: names, shapes, types and numbers, in the order of the names.

    It is the same whatever file they came from.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if name.endswith(COUNTER):
            continue
        numbers = value.detach().cpu().contiguous()
        digest.update(f"{name} {numbers.dtype} {tuple(numbers.shape)}\n".encode())
        digest.update(numbers.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _load(file: Path, name: str) -> Any:
    """Return what a file holds. Whatever a parser makes of a damaged one becomes the same sentence."""
    try:
        if file.suffix.lower() == ".safetensors":
            return safetensors.torch.load(file.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a pickle protocol, if a file is damaged
            # weights_only keeps a file from running code of its own.
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise EmbeddingError(
            f"{name} is damaged, or is not a PyTorch state dict that can be loaded safely: save it with "
            "torch.save(model.state_dict(), file)"
        ) from error


def _unwrapped(loaded: Any, name: str) -> StateDict:
    """Return the state dict in a checkpoint, which may hold it under a key of its own."""
    while isinstance(loaded, dict):
        inner = [loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), dict)]
        if not inner:
            break
        loaded = inner[0]
    if (
        not isinstance(loaded, dict)
        or not loaded
        or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items())
    ):
        raise EmbeddingError(f"{name} holds no state dict: save it with torch.save(model.state_dict(), file)")
    return loaded


def only_features(
    state: StateDict, name: str, *, known: Collection[str] = (), heads: tuple[str, ...] = HEADS
) -> StateDict:
    """Return the tensors under the names that the network itself uses, without its head.

    Args:
        state: as read.
        name: the file's name, for messages.
        known: the network's own names. These are kept, even where they look like a prefix or a head.
        heads: how the names of heads begin.

    Raises:
        EmbeddingError: these are the weights of several networks.
    """
    features: StateDict = {}
    for key, value in state.items():
        own = key
        while own not in known and (prefix := next((each for each in PREFIXES if own.startswith(each)), "")):
            own = own.removeprefix(prefix)
        if own not in known and own.startswith(heads):
            continue
        if own in features:
            raise EmbeddingError(
                f"{name} holds several networks (more than one tensor is called {own}): save the one you want"
            )
        features[own] = value
    return features


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
