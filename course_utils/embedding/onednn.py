"""A convolution with what follows it in one pass over memory, where oneDNN can do that (lesson 06).

In: a network whose batch normalisation is folded away. Out: the same network, each block in a few passes. On
a CPU a separate ReLU or addition costs a pass over all activations. The operations used here are
those that PyTorch's own compiler emits for a CPU.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger(__name__)

# How far the output may move, as a share of its largest number, before one pass is considered wrong.
SAME = {torch.float32: 1e-4, torch.bfloat16: 0.2}
Activation = tuple[str, list[float]]  # oneDNN's name, and its limits
NOTHING: Activation = ("none", [])
RELU: Activation = ("relu", [])
RELU6: Activation = ("hardtanh", [0.0, 6.0])
WHOLE_BATCH = 8  # what `default_batch_size` gives a CPU


def in_one_pass(network: nn.Module, example: Tensor, whole_batch: int = WHOLE_BATCH) -> nn.Module:
    """Return a copy of the network that does convolution, addition and activation together.

    Args:
        network: torchvision's ResNet-50, or another of its networks of bottlenecks, or EfficientNet-Lite0, on
            a CPU, frozen, without batch normalisation. Any other network is returned as it is; in these, each
            convolution is given its `input_size`.
        example: `(1, C, S, S)`, what the network takes, in its dtype. The outputs for it are compared.
        whole_batch: for how many images at once weights are laid out (see `OnePass`).

    Returns:
        The copy. The network itself, with a warning, where PyTorch no longer has what is used here, or where
        the two outputs differ by more than `SAME`; without one, where there is no oneDNN to be had.
    """
    change = _change(network)
    if change is None:
        return network
    if not _has_onednn(example.dtype):
        logger.info("Convolution and activation stay apart: oneDNN has no %s here", example.dtype)
        return network
    with torch.inference_mode():
        before = _noting_input_sizes(network, example, whole_batch).float()
        try:
            changed = change(copy.deepcopy(network))
            # Two images: for one alone, weights would be laid out once more, which few ever need.
            pair = torch.cat([example, example]).to(memory_format=torch.channels_last)
            after = changed(pair).float()[:1]
        except (AttributeError, RuntimeError, TypeError) as error:  # private names of PyTorch, which may move
            _warn_of_lost_speed(type(error).__name__)
            return network
    if not (after - before).abs().max() <= SAME[example.dtype] * before.abs().max():
        logger.warning("oneDNN's convolution in one pass gives different numbers here; using PyTorch's own")
        return network
    return changed


def _has_onednn(dtype: torch.dtype) -> bool:
    """Return whether PyTorch has oneDNN, may use it, and can compute in this dtype on this processor."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    try:
        return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except AttributeError:  # then what follows is missing, too, and that is worth a warning
        return True


@functools.cache
def _warn_of_lost_speed(reason: str) -> None:
    """Say it once, not for every extractor."""
    logger.warning(
        "Embedding is slower than it could be: PyTorch %s does not do convolution and activation in one pass "
        "as the course asks it to (%s). The vectors are the same; --engine openvino may be faster",
        torch.__version__,
        reason,
    )


class OnePass(nn.Module):
    """A convolution, an addition if there is one to do, and an activation.

    The weights are kept in the order in which oneDNN's kernels read them: sorted once, not for every batch.
    That order depends on the size of the input, `conv.input_size`, and on the number of threads. With two
    threads, sorting ResNet-50's anew for each batch of one took as long as computing it: so they are sorted
    for batches of one as well, once the first one comes. Other sizes are computed all the same.
    """

    def __init__(self, conv: Any, activation: Activation = NOTHING):
        super().__init__()
        weight, padding, self.pad_first = _padded(conv)
        self.settings: tuple[Any, ...] = (padding, [*conv.stride], [*conv.dilation], conv.groups)
        left, right, top, bottom = self.pad_first or (0, 0, 0, 0)
        images, channels, height, width = conv.input_size
        self.input_size = [images, channels, height + top + bottom, width + left + right]
        # Not parameters of the module: this layout supports neither copies nor other dtypes.
        self.weight = self._laid_out(weight.detach().to_mkldnn(), images)
        self.weight_for_one: Tensor | None = self.weight if images == 1 else None
        self.bias = conv.bias.detach() if conv.bias is not None else None
        self.activation, self.limits = activation

    def _laid_out(self, weight: Tensor, images: int) -> Tensor:
        """Return the weights in the order in which the kernel for so many images at once reads them."""
        reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # its stub is old
        laid_out: Tensor = reorder(weight, *self.settings, input_size=[images, *self.input_size[1:]])
        return laid_out

    def _weight_for(self, images: int) -> Tensor:
        if images != 1:
            return self.weight
        if self.weight_for_one is None:
            self.weight_for_one = self._laid_out(self.weight, 1)
        return self.weight_for_one

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """`x` convolved, plus `plus` (which is overwritten) if it is given, activated."""
        if self.pad_first is not None:
            x = F.pad(x, self.pad_first)
        given = (x, self._weight_for(len(x)), self.bias, *self.settings)
        if plus is None:
            return torch.ops.mkldnn._convolution_pointwise(*given, self.activation, self.limits, "")
        after = None if self.activation == "none" else self.activation
        add = torch.ops.mkldnn._convolution_pointwise_.binary
        return add(plus, *given, "add", 1.0, after, self.limits, "")


class _Bottleneck(nn.Module):
    """torchvision's bottleneck in three passes, or four where it narrows."""

    def __init__(self, block: Any):
        super().__init__()
        self.conv1, self.conv2 = OnePass(block.conv1, RELU), OnePass(block.conv2, RELU)
        self.conv3 = OnePass(block.conv3, RELU)
        self.downsample = None if block.downsample is None else OnePass(block.downsample[0])

    def forward(self, x: Tensor) -> Tensor:
        """`(n, C, H, W)` to the block's output; `x` is overwritten where the shortcut is `x` itself."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.conv3(self.conv2(self.conv1(x)), plus=shortcut)


class _MBConv(nn.Module):
    """EfficientNet-Lite's inverted bottleneck in two passes or three."""

    def __init__(self, block: Any):
        super().__init__()
        arguments = block._block_args
        self.expand = OnePass(block._expand_conv, RELU6) if arguments.expand_ratio != 1 else None
        self.depthwise, self.project = OnePass(block._depthwise_conv, RELU6), OnePass(block._project_conv)
        same_size = arguments.stride in (1, [1]) and arguments.input_filters == arguments.output_filters
        self.skips = block.id_skip and same_size

    def forward(self, x: Tensor, drop_connect_rate: float | None = None) -> Tensor:
        """`(n, C, H, W)` to the block's output; `x` is overwritten where the block has a shortcut."""
        y = x if self.expand is None else self.expand(x)
        return self.project(self.depthwise(y), plus=x if self.skips else None)


def _change(network: Any) -> Callable[[Any], nn.Module] | None:
    """Return what rewrites this network, None for one that is not known here."""
    # By name: importing torchvision to ask for the class would cost every other network a second. timm, for
    # one, has a ResNet of its own, with other parts in it.
    named = f"{type(network).__module__}.{type(network).__name__}"
    if named == "torchvision.models.resnet.ResNet" and hasattr(
        next(network.layer1.children(), None), "conv3"
    ):
        return _resnet
    return _lite0 if type(network).__name__ == "_PooledFeatures" else None


def _noting_input_sizes(network: nn.Module, example: Tensor, whole_batch: int) -> Tensor:
    """Run the network on the example; each convolution is given the `input_size` of a whole batch."""

    def note(conv: Any, given: tuple[Tensor]) -> None:
        conv.input_size = [whole_batch, *given[0].shape[1:]]

    hooks = [m.register_forward_pre_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d)]
    output: Tensor = network(example)
    for hook in hooks:
        hook.remove()
    return output


def _resnet(network: Any) -> nn.Module:
    network.conv1, network.relu = OnePass(network.conv1, RELU), nn.Identity()
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for i, block in enumerate(layer):
            layer[i] = _Bottleneck(block)
    return network


def _lite0(features: Any) -> nn.Module:
    network = features.network
    network._conv_stem, network._swish = OnePass(network._conv_stem, RELU6), nn.Identity()
    network._conv_head = OnePass(network._conv_head, RELU6)
    for i, block in enumerate(network._blocks):
        network._blocks[i] = _MBConv(block)
    return features


def _padded(conv: Any) -> tuple[Tensor, list[int], list[int] | None]:
    """Return the weights, what the convolution pads itself, and what is padded before it (left, right, …)."""
    static = getattr(conv, "static_padding", None)  # EfficientNet's convolutions pad in a module of their own
    if not isinstance(static, nn.ZeroPad2d):
        return conv.weight, [*conv.padding], None
    left, right, top, bottom = static.padding
    if (left, top) == (right, bottom):
        return conv.weight, [top, left], None
    depthwise = conv.groups == conv.in_channels
    if depthwise and (left + 1, top + 1) == (right, bottom) and tuple(conv.dilation) == (1, 1):
        # oneDNN pads both sides alike. A row and a column of zeros before the weights make up for the one
        # pixel more, bit by bit. In a depthwise convolution they cost less than a padded copy of the input.
        return F.pad(conv.weight, (1, 0, 1, 0)), [bottom, right], None
    return conv.weight, [*conv.padding], [left, right, top, bottom]
