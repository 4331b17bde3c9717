"""What lesson 04 runs on: the course's own answers, slips of normalising, and stems with other weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from course_utils.embedding import Backbone
from course_utils.embedding.adapters import replicate

Statistics = Sequence[float]


def to_three_channels(gray: Tensor) -> Tensor:
    """Return `(N, 3, H, W)`: the one channel of `(N, 1, H, W)` three times."""
    return torch.cat([gray, gray, gray], dim=1)


def copies(gray: Tensor) -> dict[str, Tensor]:
    """Return the pictures as they are, copied three times, and as a view of three equal channels."""
    return {"gray": gray, "copied": to_three_channels(gray), "expand": gray.expand(-1, 3, -1, -1)}


def in_memory(x: Tensor) -> dict[str, object]:
    """Return a tensor's shape, its strides and the megabytes that hold its numbers."""
    megabytes = round(x.untyped_storage().nbytes() / 1e6, 1)
    return {"shape": tuple(x.shape), "strides": x.stride(), "MB": megabytes}


def each_channel(statistics: Statistics) -> Tensor:
    """Return three numbers in the shape `(1, 3, 1, 1)`, so that each meets its own channel."""
    return torch.tensor(tuple(statistics)).view(1, 3, 1, 1)


def normalise(stored: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    """Return `(N, 3, H, W)` of 0 to 255 as a network wants them that was trained on these statistics."""
    return stored.div(255).sub(each_channel(mean)).div(each_channel(std))


def slips(mean: Statistics, std: Statistics, others: tuple[Statistics, Statistics]) -> dict[str, Callable]:
    """Return seven wrong ways to normalise three channels of 0 to 1; `others` belong to other weights."""
    m, s = each_channel(mean), each_channel(std)

    def right(x: Tensor) -> Tensor:
        return (x - m) / s

    def by_its_own(x: Tensor) -> Tensor:
        axes = (1, 2, 3)
        return (x - x.mean(axes, keepdim=True)) / x.std(axes, keepdim=True)

    return {
        "skipped": lambda x: x,
        "done twice": lambda x: right(right(x)),
        "on 0 to 255": lambda x: right(255 * x),
        "before scaling to 0 to 1": lambda x: right(255 * x) / 255,
        "the other network's": lambda x: (x - each_channel(others[0])) / each_channel(others[1]),
        "mean and std swapped": lambda x: (x - s) / m,
        "the picture's own": by_its_own,
    }


def fold_with_ones(weight: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    """Return the weights `(O, 2, k, k)` of a stem for [x, 1], exact at the border."""
    scaled = weight / each_channel(std)
    return torch.cat([scaled.sum(1, True), -(scaled * each_channel(mean)).sum(1, True)], dim=1)


def fold_weights(weight: Tensor, mean: Statistics, std: Statistics) -> tuple[Tensor, Tensor]:
    """Return the weights `(O, 1, k, k)` and the bias `(O,)` of the naive fold, wrong at the border."""
    picture, ones = fold_with_ones(weight, mean, std).split(1, dim=1)
    return picture, ones.sum((1, 2, 3))


def stem(module: nn.Module) -> nn.Conv2d:
    """Return the first convolution of a network."""
    return next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))


def restemmed(module: nn.Module, weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    """Return a copy of a network whose stem has other weights."""
    module = copy.deepcopy(module)
    first = stem(module)
    first.weight = nn.Parameter(weight.to(first.weight.dtype), requires_grad=False)
    first.bias = None if bias is None else nn.Parameter(bias.to(first.weight.dtype), requires_grad=False)
    return module


def surrounded(network: Backbone, x: Tensor, value: float) -> Tensor:
    """Return the stem's output if the world around the pictures has that gray, from 0 to 1."""
    conv = stem(network.module)
    static = getattr(conv, "static_padding", None)
    zeros = static.padding if static is not None else (*conv.padding[::-1], *conv.padding[::-1])
    left_right = (zeros[0], zeros[1], zeros[2], zeros[3])
    around = F.pad(x, left_right, value=value)
    return F.conv2d(replicate(around, network.mean, network.std), conv.weight, stride=conv.stride)


def vectors(module: nn.Module, inputs: Tensor) -> NDArray[np.float64]:
    """Return `(N, D)`, each of length 1, so that the cosine distance of two is 1 minus their product."""
    with torch.inference_mode():
        found = torch.cat([module(part) for part in inputs.split(8)]).double()
    return F.normalize(found).numpy()


def pairs(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine distance of any two rows of length 1."""
    distances: NDArray[np.float64] = (1 - found @ found.T)[np.triu_indices(len(found), 1)]
    return distances


def usable(pictures: Tensor) -> Tensor:
    """Return for each picture whether all its numbers are finite and not all the same."""
    flat = pictures.flatten(start_dim=1)
    return flat.isfinite().all(dim=1) & (flat.amax(dim=1) != flat.amin(dim=1))
