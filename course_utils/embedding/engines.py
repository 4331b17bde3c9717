"""What runs the network: PyTorch, treated well, or OpenVINO (lesson 06).

In: a backbone. Out: a function from a batch as the adapter made it to its vectors.
"""

from __future__ import annotations

import copy
import importlib
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from course_utils.embedding.adapters import fold
from course_utils.embedding.backbones import Backbone, fuse_conv_bn
from course_utils.embedding.device import Precision, autocast
from course_utils.embedding.errors import EmbeddingError

logger = logging.getLogger(__name__)

ENGINES = ("torch", "openvino")
SAME = 1e-4  # how far, as a share of the largest number, fp32 may move between two ways of running a network
SAME_BF16 = 0.05  # bf16 keeps 8 bits: two ways of rounding differ in the second digit at the worst

Engine = Callable[[Tensor], Tensor]
"""`(n, C, S, S)` float32 to `(n, D)` float32 on the engine's device, which may still be computing it."""


def make_engine(
    name: Literal["torch", "openvino"],
    backbone: Backbone,
    *,
    device: torch.device,
    precision: Precision = "fp32",
    adapter: Literal["replicate", "folded"] = "replicate",
    fuse: bool = True,
) -> Engine:
    """Make a backbone ready to run; it is copied, never changed.

    Args:
        name: `"torch"`, or `"openvino"` (CPU only; the extra `fast` installs it).
        device: where to compute.
        precision: what the device can do, see `device.check_precision`.
        adapter: `"replicate"` takes three normalised channels, `"folded"` the gray one and ones.
        fuse: fold batch normalisation into the convolutions, and with PyTorch use channels-last memory and,
            on a CPU with oneDNN, do a convolution, what is added to it and its ReLU in one pass. False runs
            the network as torchvision does.

    Raises:
        EmbeddingError: OpenVINO is not installed, or was asked for on another device than the CPU; the
            network cannot be folded.
    """
    module = copy.deepcopy(backbone.module).eval().requires_grad_(False)
    if fuse:
        fuse_conv_bn(module)
    if adapter == "folded":
        module = fold(module, backbone.mean, backbone.std)
    channels = 2 if adapter == "folded" else 3
    example = torch.rand((1, channels, backbone.input_size, backbone.input_size))
    if name == "openvino":
        return _openvino(module, example, device, precision)
    return _torch(module, example, device, precision, fuse)


def _torch(
    module: nn.Module, example: Tensor, device: torch.device, precision: Precision, fuse: bool
) -> Engine:
    memory_format = torch.channels_last if fuse else torch.contiguous_format
    # On CUDA automatic mixed precision chooses a dtype for each operation; on a CPU all of them have bf16.
    dtype = torch.bfloat16 if precision == "bf16" and device.type == "cpu" else torch.float32
    module = module.to(device, dtype).to(memory_format=memory_format)
    # By its name: importing torchvision to ask for the class would cost every other network a second.
    if fuse and device.type == "cpu" and type(module).__name__ == "ResNet":
        module = _with_one_pass_convolutions(module, example.to(dtype))

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode(), autocast(device, precision):
            vectors: Tensor = module(images.to(device, dtype, memory_format=memory_format))
            return vectors.float()

    return run


class _OnePass(nn.Module):
    """A convolution of oneDNN with what follows it: a ReLU, or an addition and then a ReLU.

    Each would be a walk through memory of its own. The weights are stored in the order in which oneDNN's
    kernels read them, so that they need not be sorted again for every batch. These are the operations that
    PyTorch's own compiler emits for a CPU.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool):
        super().__init__()
        padding, stride, dilation = [*conv.padding], [*conv.stride], [*conv.dilation]
        self.settings: tuple[Any, ...] = (padding, stride, dilation, conv.groups)
        # Kept out of the module's parameters: this layout knows nothing of copies or of other dtypes.
        self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
            conv.weight.detach().to_mkldnn(), *self.settings
        )
        self.bias = conv.bias.detach() if conv.bias is not None else None
        self.relu = relu

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """Convolve `x`; with `plus`, add the result to it in place and apply the ReLU."""
        if plus is not None:
            add = torch.ops.mkldnn._convolution_pointwise_.binary
            return add(plus, x, self.weight, self.bias, *self.settings, "add", 1.0, "relu", [], "")
        after = "relu" if self.relu else "none"
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.settings, after, [], ""
        )


class _OnePassBottleneck(nn.Module):
    """torchvision's bottleneck with its batch normalisation folded away, in three passes or four."""

    def __init__(self, block: Any):
        super().__init__()
        self.conv1, self.conv2 = _OnePass(block.conv1, relu=True), _OnePass(block.conv2, relu=True)
        self.conv3 = _OnePass(block.conv3, relu=False)
        self.downsample = None if block.downsample is None else _OnePass(block.downsample[0], relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(n, C, H, W)` to the block's output; `x` is overwritten where the shortcut is `x` itself."""
        y = self.conv2(self.conv1(x))
        return self.conv3(y, plus=x if self.downsample is None else self.downsample(x))


def _with_one_pass_convolutions(module: nn.Module, example: Tensor) -> nn.Module:
    """The network with convolution, addition and ReLU in one pass; as it was where that cannot be had."""
    with torch.inference_mode():
        before = module(example).float()
        try:
            changed = _bottlenecks_in_one_pass(copy.deepcopy(module))
            after = changed(example.to(memory_format=torch.channels_last)).float()
        except (AttributeError, RuntimeError) as error:  # no oneDNN in this build, or not for this processor
            logger.info("Convolution and ReLU stay apart: %s", type(error).__name__)
            return module
    allowed = SAME if example.dtype == torch.float32 else SAME_BF16
    if not (after - before).abs().max() <= allowed * before.abs().max():
        logger.warning("oneDNN's convolution in one pass gives other numbers here: PyTorch's own is used")
        return module
    return changed


def _bottlenecks_in_one_pass(network: Any) -> nn.Module:
    network.conv1, network.relu = _OnePass(network.conv1, relu=True), nn.Identity()
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for i, block in enumerate(layer):
            layer[i] = _OnePassBottleneck(block)
    return network


def _openvino(module: nn.Module, example: Tensor, device: torch.device, precision: Precision) -> Engine:
    if device.type != "cpu":
        raise EmbeddingError(f"the engine openvino computes on the cpu, not on {device.type}: choose torch")
    # When imported, OpenVINO reports to its makers that it is used, unless its package for that is missing.
    # Mammograms are near, and nothing leaves this machine: for this process it is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        openvino = importlib.import_module("openvino")
        frontend = importlib.import_module("openvino.frontend")
        decoder = importlib.import_module("openvino.frontend.pytorch.ts_decoder")
    except ImportError as error:
        raise EmbeddingError(
            "the engine openvino is not installed: pip install openvino, or choose the engine torch"
        ) from error
    reader = frontend.FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit.trace is old, and what OpenVINO reads
        traced = decoder.TorchScriptPythonDecoder(module, example_input=example)
    model = reader.convert(reader.load(traced))  # the reader keeps no reference: `traced` has to live on
    model.reshape([-1, *example.shape[1:]])
    options = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = openvino.compile_model(model, "CPU", options)

    def run(images: Tensor) -> Tensor:
        (vectors,) = compiled([images.contiguous().numpy()]).values()
        return torch.from_numpy(vectors).float()

    return run
