"""Other people's collections of networks: torchvision's, and timm's (the extra `backbones`).

In: a name, `torchvision:NAME` or `timm:NAME`. Out: how to make that network without its classifier, the
pictures that its weights were trained on (size, mean, std, interpolation) and where these weights are.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from course_utils.embedding.errors import EmbeddingError, WeightsUnavailable
from course_utils.embedding.hub import torchvision_state
from course_utils.embedding.statedicts import StateDict

ZOOS = ("torchvision", "timm")
INTERPOLATIONS = ("bilinear", "bicubic")
"""What pictures are resized with here; both can be antialiased on every device."""

# torchvision turns its usual normalisation into (pixel - 0.5) / 0.5 inside these two. Without the detour the
# same numbers can be folded into the first convolution.
_INCEPTIONS = ("googlenet", "inception_v3")
SIDE_EXITS = ("aux1.", "aux2.", "AuxLogits.")  # their classifiers along the way, for training alone
# torchvision's files of DenseNet are older than its code: norm.1 there is norm1 here.
_OLD_DENSENET = re.compile(r"(?<=\.)(norm|relu|conv)\.([12])(?=\.)")


@dataclass(frozen=True)
class Plan:
    """How to make one network, and its own weights.

    Attributes:
        make: returns the network with random weights and without its classifier, and how the names of that
            began in a state dict; nothing if none was found to leave out.
        fetch: returns the network's own weights, and their id, source and licence.
    """

    name: str
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    make: Callable[[], tuple[nn.Module, tuple[str, ...]]]
    fetch: Callable[[], tuple[StateDict, str, str, str]]


def is_from_a_zoo(name: str) -> bool:
    """Return whether a backbone's name says `torchvision:` or `timm:`."""
    return name.startswith(tuple(f"{zoo}:" for zoo in ZOOS))


def plan(name: str) -> Plan:
    """Return how to make the network of this name.

    Raises:
        EmbeddingError: there is none of this name, or timm is not installed.
    """
    zoo, _, network = name.partition(":")
    return _torchvision(name, network) if zoo == "torchvision" else _timm(name, network)


def nearest(name: str, names: Sequence[str]) -> str:
    """Say which of these names, one or more, are most like this one."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if not close:
        return f"there are {len(names)}, such as {names[0]} and {names[-1]}"
    return f"the nearest {'is' if len(close) == 1 else 'are'} {', '.join(close)}"


def without_classifier(network: nn.Module) -> tuple[str, ...]:
    """Put an identity in place of the last linear layer; return how its names began, if there is one.

    Each classifier of torchvision's is the linear layer that was registered last (tests try one of every
    family), except SqueezeNet's, which is a convolution.
    """
    linear = [path for path, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        return ()
    parent, _, last = linear[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    return (f"{linear[-1]}.",)


def as_named_now(state: StateDict) -> StateDict:
    """Return a state dict under the names that the networks give their tensors today."""
    return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}


def _torchvision(name: str, network: str) -> Plan:
    from torchvision import models

    known = models.list_models(module=models)
    if network not in known:
        raise EmbeddingError(f"torchvision has no network {network!r}: {nearest(network, known)}")
    enum: Any = models.get_model_weights(network).DEFAULT
    pictures = enum.transforms()
    size, mean, std = pictures.crop_size[0], tuple(pictures.mean), tuple(pictures.std)
    options: dict[str, Any] = {"image_size": size} if network.startswith("vit_") else {}
    if network in _INCEPTIONS:
        mean = std = (0.5, 0.5, 0.5)
        options = {"aux_logits": False, "transform_input": False, "init_weights": False}

    def make() -> tuple[nn.Module, tuple[str, ...]]:
        made: nn.Module = models.get_model(network, weights=None, **options)
        return made, without_classifier(made)

    def fetch() -> tuple[StateDict, str, str, str]:
        # Some weights are not for every use; torchvision says so where that is the case.
        licence = enum.meta.get("license") or "BSD-3-Clause (torchvision)"
        return torchvision_state(enum, name), str(enum), "torchvision", licence

    return Plan(name, size, mean, std, _interpolation(pictures.interpolation.value), make, fetch)


def _timm(name: str, network: str) -> Plan:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # it is read when the hub's library is imported
    try:
        timm = importlib.import_module("timm")
    except ImportError:
        raise EmbeddingError(
            f"{name} needs timm, which is not installed: python -m pip install timm (the extra backbones), "
            "or choose a network of torchvision's"
        ) from None
    try:
        config = timm.get_pretrained_cfg(network)
    except RuntimeError:  # the network exists, these weights of it do not
        config = None
    if config is None:
        known = timm.list_models(pretrained=True) if "." in network else timm.list_models()
        raise EmbeddingError(f"timm has no network {network!r}: {nearest(network, known)}")
    size, mean, std = config.input_size[-1], tuple(config.mean), tuple(config.std)

    def make() -> tuple[nn.Module, tuple[str, ...]]:
        heads = config.classifier or "fc"
        named = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
        return timm.create_model(network, pretrained=False, num_classes=0), named

    def fetch() -> tuple[StateDict, str, str, str]:
        if not config.has_weights:
            trained = nearest(network, timm.list_models(pretrained=True))
            raise WeightsUnavailable(
                f"{name} was published without weights: pass a file as --weights PATH, or choose a network "
                f"with weights ({trained})"
            )
        try:
            timm.models.set_pretrained_check_hash(True)
            state = timm.create_model(network, pretrained=True, num_classes=0).state_dict()
        except Exception as error:  # the network fails in many ways
            raise WeightsUnavailable(
                f"the weights of {name} are not on this machine and could not be fetched "
                f"({type(error).__name__}). Three ways out: go online and run it again; or pass a file as "
                "--weights PATH; or choose the backbone efficientnet_lite0, whose weights came with the "
                "install."
            ) from error
        source = config.hf_hub_id or config.origin_url or "its authors"
        tagged = ".".join(filter(None, (config.architecture or network, config.tag)))
        licence = config.license or "not known: see the network's page"
        return state, tagged, f"timm ({source})", licence

    return Plan(name, size, mean, std, _interpolation(config.interpolation), make, fetch)


def _interpolation(named: str) -> str:
    """Return how pictures are resized: as the network's own were, or bicubically where that cannot be had."""
    return named if named in INTERPOLATIONS else "bicubic"
