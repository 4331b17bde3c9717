"""What lesson 03 runs on until the student's answers are right: the course's own, and a count of the work."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import resnet

Array = NDArray[Any]


def convolve(x: Array, kernels: Array, stride: int = 1, padding: int = 0) -> Array:
    """Return the maps `(O, H', W')` of `x` `(C, H, W)` under `kernels` `(O, C, k, k)`, from torch."""
    maps: Array = F.conv2d(torch.from_numpy(x)[None], torch.from_numpy(kernels), None, stride, padding)[
        0
    ].numpy()
    return maps


def through(layers: Sequence[tuple[int, int, int]], size: int) -> tuple[int, int, int]:
    """Return size, field and jump behind layers of (kernel, stride, padding).

    The field in closed form (A. Araujo, W. Norris, J. Sim: Computing Receptive Fields of Convolutional Neural
    Networks, Distill 2019, equation 2).
    """
    jumps = np.cumprod([1, *(stride for _, stride, _ in layers)])
    for kernel, stride, padding in layers:
        size = len(range(0, size + 2 * padding - kernel + 1, stride))
    grown = sum((kernel - 1) * int(jump) for (kernel, _, _), jump in zip(layers, jumps, strict=False))
    return size, 1 + grown, int(jumps[-1])


def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Return what batch normalisation makes of `x` `(N, C, H, W)` in training."""
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def fold(weight: Tensor, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weights and bias of the one convolution that does what `weight` and then `bn` do."""
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    fused = fuse_conv_bn_weights(weight, None, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)  # type: ignore[arg-type]
    return fused[0].detach(), fused[1].detach()


class Bottleneck(resnet.Bottleneck):
    """torchvision's block, which makes its own projection where it needs one."""

    def __init__(self, inside: int, width: int, stride: int = 1) -> None:
        projection, outside = None, width * self.expansion
        if stride != 1 or inside != outside:
            conv = nn.Conv2d(inside, outside, 1, stride, bias=False)
            projection = nn.Sequential(conv, nn.BatchNorm2d(outside))
        super().__init__(inside, width, stride, projection)


def four_stages(block: Any) -> list[nn.Sequential]:
    """Return ResNet-50's four stages of these blocks."""
    stages, inside = [], 64
    for number, depth in enumerate((3, 4, 6, 3)):
        width, blocks = 64 * 2**number, []
        for place in range(depth):
            blocks.append(block(inside, width, 2 if number and not place else 1))
            inside = width * block.expansion
        stages.append(nn.Sequential(*blocks))
    return stages


def prove(mine: nn.Module, theirs: nn.Module, images: Tensor) -> float:
    """Return by how much two networks with the same weights differ, as a share of the largest number."""
    mine.load_state_dict(theirs.state_dict(), strict=True)
    with torch.inference_mode():
        mine_says, they_say = (network.eval()(images) for network in (mine, theirs))
    return ((mine_says - they_say).abs().max() / they_say.abs().max()).item()


def fold_all(network: nn.Module, fold: Any) -> nn.Module:
    """Return a copy of a network in which `fold` has put each batch norm into the convolution before it."""
    folded = copy.deepcopy(network)
    for module in folded.modules():
        for (_, conv), (name, bn) in itertools.pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
                weight, bias = fold(conv.weight.detach(), bn)
                conv.weight, conv.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
                setattr(module, name, nn.Identity())
    return folded


def count(network: nn.Module, size: int = 224) -> dict[str, tuple[int, int]]:
    """Return parameters and multiply-adds of each part of a network on the device `meta`, `fc` included.

    A convolution multiplies each of its weights once for each place of its output; batch norm is folded away.
    """
    found: dict[str, tuple[int, int]] = {}

    def note(name: str, module: nn.Module, output: Tensor) -> None:
        places = output.shape[2:].numel() if output.ndim == 4 else 1
        part = {"conv1": "stem", "bn1": "stem"}.get(name.split(".")[0], name.split(".")[0])
        weight = module.get_parameter("weight")
        parameters, products = found.get(part, (0, 0))
        own = sum(p.numel() for p in module.parameters())
        found[part] = (parameters + own, products + weight.numel() * places * (weight.ndim > 1))

    for name, module in network.named_modules():
        if isinstance(getattr(module, "weight", None), Tensor):
            module.register_forward_hook(lambda m, _, out, name=name: note(name, m, out))
    network(torch.empty(1, 3, size, size, device="meta"))
    return found
