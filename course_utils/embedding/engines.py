"""What runs the network: PyTorch, tuned, or OpenVINO (lesson 06).

In: a backbone. Out: a function from a batch as the adapter made it to its vectors.
"""

from __future__ import annotations

import copy
import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from course_utils.embedding.adapters import fold, replicate, with_ones
from course_utils.embedding.backbones import BACKBONES, Backbone, fuse_conv_bn
from course_utils.embedding.device import Precision, autocast
from course_utils.embedding.errors import EmbeddingError
from course_utils.embedding.onednn import SAME, WHOLE_BATCH, in_one_pass

ENGINES: tuple[Literal["torch", "openvino"], ...] = ("torch", "openvino")

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
    batch_size: int = WHOLE_BATCH,
) -> Engine:
    """Make a backbone ready to run; it is copied, never changed.

    Args:
        name: `"torch"`, or `"openvino"` (CPU only; the extra `fast` installs it).
        device: where to compute.
        precision: what the device can do, see `device.check_precision`.
        adapter: `"replicate"` takes three normalised channels, `"folded"` the gray one and ones.
        fuse: fold batch normalisation into the convolutions, and with PyTorch use channels-last memory and,
            on a CPU, do a convolution, what is added to it and its activation in one pass (see `onednn`).
            False runs the network as its author wrote it.
        batch_size: images in a batch, as a rule: other sizes give the same vectors, perhaps more slowly.

    Raises:
        EmbeddingError: OpenVINO is not installed, or was asked for on a device other than the CPU; the
            network cannot be folded.
    """
    gray = torch.rand((1, 1, backbone.input_size, backbone.input_size))
    example = with_ones(gray) if adapter == "folded" else replicate(gray, backbone.mean, backbone.std)
    module = _prepared(backbone, gray, example, adapter, fuse)
    if name == "openvino":
        return _openvino(module, example, device, precision)
    return _torch(module, example, device, precision, fuse, batch_size)


def _prepared(
    backbone: Backbone, gray: Tensor, example: Tensor, adapter: Literal["replicate", "folded"], fuse: bool
) -> nn.Module:
    """Return a copy of the network, fused and folded as asked for.

    What is known of the course's own two networks is tried out on any other: it is left unfused if fusing
    changes its output, and refused if folding does.
    """

    def changed(fuse: bool, adapter: str) -> nn.Module:
        module = copy.deepcopy(backbone.module).eval().requires_grad_(False)
        if fuse:
            fuse_conv_bn(module)
        return fold(module, backbone.mean, backbone.std) if adapter == "folded" else module

    if backbone.name in BACKBONES or not (fuse or adapter == "folded"):
        return changed(fuse, adapter)
    expected = _output(changed(False, "replicate"), replicate(gray, backbone.mean, backbone.std))
    for fused in (True, False) if fuse else (False,):
        module = changed(fused, adapter)
        if (_output(module, example) - expected).abs().max() <= SAME[torch.float32] * expected.abs().max():
            return module
    if adapter == "folded":
        raise EmbeddingError(f"folding changes what {backbone.name} gives: use the adapter replicate")
    return module


def _output(module: nn.Module, example: Tensor) -> Tensor:
    """Return what the network gives for the example, wherever and in whatever precision its weights are."""
    weight = next(module.parameters(), example)
    with torch.inference_mode():
        output: Tensor = module(example.to(weight.device, weight.dtype))
    return output.float()


def _torch(
    module: nn.Module,
    example: Tensor,
    device: torch.device,
    precision: Precision,
    fuse: bool,
    batch_size: int,
) -> Engine:
    memory_format = torch.channels_last if fuse else torch.contiguous_format
    # On CUDA automatic mixed precision chooses a dtype for each operation; on a CPU all of them support bf16.
    dtype = torch.bfloat16 if precision == "bf16" and device.type == "cpu" else torch.float32
    module = module.to(device, dtype).to(memory_format=memory_format)
    if fuse and device.type == "cpu":
        module = in_one_pass(module, example.to(dtype), batch_size)

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode(), autocast(device, precision):
            vectors: Tensor = module(images.to(device, dtype, memory_format=memory_format))
            return vectors.float()

    return run


def _openvino(module: nn.Module, example: Tensor, device: torch.device, precision: Precision) -> Engine:
    if device.type != "cpu":
        raise EmbeddingError(f"the engine openvino computes on the cpu, not on {device.type}: choose torch")
    # When imported, OpenVINO sends telemetry, unless its package for that is missing. With mammograms at hand
    # nothing may leave this machine: in this process it is missing.
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
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit.trace is old, but OpenVINO reads it
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # sizes are fixed, but for the batch's
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
