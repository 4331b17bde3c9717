"""Which device, which precision, and whether two runs give the same bits (lessons 05 and 06).

`auto` takes CUDA, then Apple's MPS, then the CPU. Asking for a device that is not there is an error: a
run meant for a GPU never crawls along on a CPU unnoticed.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
from collections.abc import Iterator
from typing import Literal

import torch

from course_utils.embedding.errors import DeviceUnavailable, EmbeddingError

logger = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


def pick_device(name: str = "auto") -> torch.device:
    """Return the device to compute on.

    Args:
        name: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:N"` or `"mps"`. For `"auto"` the environment variable
            `COURSE_DEVICE` decides if it is set.

    Raises:
        DeviceUnavailable: the device was asked for by name and this machine has none, or the name is unknown.
    """
    if name == "auto":
        name = os.environ.get("COURSE_DEVICE") or "auto"
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceUnavailable(
            f"device {name!r} is unknown: choose auto, cpu, cuda, cuda:N or mps"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceUnavailable(
            f"device {name!r} was asked for, but the number of CUDA devices that torch sees is {found}: "
            "check the driver with nvidia-smi, or choose auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceUnavailable(
            "device 'mps' was asked for, but this is not a Mac with Metal: choose auto or cpu"
        )
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceUnavailable(f"device {name!r} is not supported: choose auto, cpu, cuda, cuda:N or mps")
    return device


def describe_device(device: torch.device) -> str:
    """Return the device in words, with the card's name on CUDA."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def default_batch_size(device: torch.device) -> int:
    """Return images per batch for `batch_size="auto"`: 8 on a CPU (its cache), 16 on MPS, more on CUDA.

    On CUDA the largest power of two, from 8 to 256, that half of the free memory holds at 32 MiB per image:
    ResNet-50's largest activations at 224 × 224 take a third of that in fp32, the rest is for cuDNN.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return max(8, min(256, 1 << (free // 2 // (32 << 20)).bit_length() >> 1))
    return 16 if device.type == "mps" else 8


def check_precision(device: torch.device, precision: Precision) -> None:
    """Raise EmbeddingError if the device cannot do this precision (MPS: fp32 only; CPU: fp32 and bf16)."""
    supported = {"cuda": PRECISIONS, "cpu": ("fp32", "bf16")}.get(device.type, ("fp32",))
    if precision not in supported:
        raise EmbeddingError(
            f"precision {precision!r} is not available on {device.type}: choose {' or '.join(supported)}"
        )


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Return the context for a network: on CUDA automatic mixed precision for bf16 and fp16, else none."""
    if device.type != "cuda" or precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast("cuda", dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


@contextlib.contextmanager
def determinism(on: bool) -> Iterator[None]:
    """Let the same input give the same bits on the same machine, within this context.

    Turns on `torch.use_deterministic_algorithms`, sets the cuBLAS workspace that it needs, and turns off
    cuDNN's autotuning and TF32. Source: PyTorch notes on reproducibility.
    """
    if not on:
        yield
        return
    # cuBLAS reads this when its first handle is made, so it must be set before any CUDA matrix product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.deterministic,
        cudnn.benchmark,
        cudnn.allow_tf32,
        matmul.allow_tf32,
    )
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = True, False, False, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before[2:]


def keep_freed_memory() -> bool:
    """Tell glibc to keep the memory of freed activations instead of returning it to the system each time.

    By default every large activation is mapped and unmapped again, about 30 000 page faults per image for
    ResNet-50. So is a large film in a thread that reads ahead, whose arena of 64 MB it does not fit into: one
    arena serves all threads that start after this call. No bit of any result changes. Returns whether the
    allocator accepted it (glibc on Linux only). Source: mallopt(3), its parameters M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD and M_ARENA_MAX.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, mmap_threshold, arena_max = -1, -3, -8
    libc = ctypes.CDLL(None)
    # 1 GiB is beyond any activation here; -1 switches trimming off.
    settings = {mmap_threshold: 1 << 30, trim_threshold: -1, arena_max: 1}
    return all(libc.mallopt(parameter, value) for parameter, value in settings.items())
