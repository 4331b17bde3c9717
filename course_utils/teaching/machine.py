"""What a machine can do at most, and what each layer of a network did of it (lesson 06).

A device or a network goes in; out come operations and bytes a second, and a table of layers.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.embedding import EmbeddingError, EmbeddingExtractor
from course_utils.embedding.backbones import Backbone
from course_utils.teaching.stopwatch import fastest, waiting_for

MEMORY, CACHE = 80_000_000, 1_000_000
"""Bytes: more than the caches of most processors hold, and what fits into the one of a single core."""
COPIES = 50
"""A small copy takes microseconds: so many are timed together."""


def peak_of(dtype: torch.dtype, device: torch.device, budget: float) -> tuple[float, str]:
    """Return the most FLOP a second that a device was seen to do, and a remark if that is rough.

    A large matrix product and a large convolution, of which the better one counts: they do hardly anything
    but multiply and add.
    """
    square = torch.rand(1536, 1536, device=device).to(dtype)
    maps = torch.rand(4, 512, 28, 28, device=device).to(dtype, memory_format=torch.channels_last)
    kernels = torch.rand(512, 512, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    actions = {"product": lambda: square @ square, "convolution": lambda: F.conv2d(maps, kernels, padding=1)}
    with torch.inference_mode():
        seconds, remark = fastest(actions, device, budget)
    best = max(2 * 1536**3 / seconds["product"], 2 * maps.numel() * 512 * 9 / seconds["convolution"])
    return best, remark


def bandwidth_of(size: int, device: torch.device, budget: float) -> float:
    """Return the most bytes a second, read and written, that a device was seen to move.

    It copies, and it changes numbers in their place; the faster one counts.

    Args:
        size: bytes, `MEMORY` or `CACHE`. What fits into a cache is moved there.
        device: where.
        budget: seconds to spend on it.
    """
    source = torch.rand(size // 4, device=device)
    target = torch.empty_like(source)
    times = max(1, COPIES * CACHE // size)

    def copy() -> None:
        for _ in range(times):
            target.copy_(source)

    def change() -> None:
        for _ in range(times):
            source.clamp_(min=0)

    seconds, _ = fastest({"copy": copy, "change": change}, device, budget)
    return 2 * source.nbytes * times / min(seconds.values())


Cost = Callable[[nn.Module, Tensor, Tensor], tuple[float, float]]


def layer_table(
    network: nn.Module,
    run: Callable[[], Any],
    timed: Callable[[dict[str, Callable[[], Any]]], Any],
    cost: Cost,
) -> pd.DataFrame:
    """Return one row for each layer of a network: `kind`, `flop`, `bytes` and `seconds`.

    Args:
        network: whose layers are timed, one by one; each is waited for, so that all of it takes longer.
        run: runs the network once.
        timed: runs an action once to warm up and then several times, or once alone.
        cost: of a layer, its input and its output: FLOP, and bytes from and to memory.
    """
    runs: list[list[tuple[Any, ...]]] = []
    starts: list[float] = []

    def once() -> None:
        runs.append([])
        run()

    def begin(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        wait()
        starts.append(time.perf_counter())

    def end(layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        wait()
        seconds = time.perf_counter() - starts.pop()
        runs[-1].append((_kind(layer), *cost(layer, inputs[0], y), seconds))

    layers = [layer for layer in network.modules() if not [*layer.children()]]
    wait = waiting_for(next(network.parameters()).device)
    hooks = [layer.register_forward_pre_hook(begin) for layer in layers]
    hooks += [layer.register_forward_hook(end) for layer in layers]
    try:
        timed({"layer by layer": once})
    finally:
        for hook in hooks:
            hook.remove()
    table = pd.DataFrame(runs[0], columns=["kind", "flop", "bytes", "seconds"])
    table["seconds"] = np.median([[row[3] for row in rows] for rows in runs[1:] or runs], axis=0)
    return table


def by_kind(table: pd.DataFrame) -> dict[str, tuple[pd.Series, pd.Series, pd.Series]]:
    """Return FLOP, bytes and seconds of each kind of layer that computes something, most FLOP first."""
    rest = ("Identity", "AdaptiveAvgPool2d", "MaxPool2d", "Flatten")
    shown = table[~table["kind"].isin(rest)]
    kinds = shown.groupby("kind")["flop"].sum().sort_values(ascending=False).index
    parts = {str(kind): shown[shown["kind"] == kind] for kind in kinds}
    return {kind: (rows["flop"], rows["bytes"], rows["seconds"]) for kind, rows in parts.items()}


def _kind(layer: nn.Module) -> str:
    names = {"BatchNorm2d": "batch normalisation"}
    if isinstance(layer, nn.Conv2d):
        return f"convolution {layer.kernel_size[0]} × {layer.kernel_size[1]}"
    return names.get(type(layer).__name__, type(layer).__name__)


def compiled(network: nn.Module, example: Tensor) -> tuple[nn.Module | None, str]:
    """Return the network as `torch.compile` makes it, run once, and how long that took; or None, and why not.

    Without "freezing", which folds weights into the code: with torch 2.14 and channels-last memory it changes
    vectors, in silence.

    Args:
        network: in evaluation mode, on a CPU. For cards it is not tried: it takes longer there.
        example: a batch; what is compiled is for its shape.
    """
    if example.device.type != "cpu":
        return None, "on a card it takes longer to compile than all the rest of this lesson"
    quiet = logging.getLogger("torch.utils.cpp_extension")  # it looks for a card and says that there is none
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    begin = time.perf_counter()
    try:
        cpp_builder = importlib.import_module("torch._inductor.cpp_builder")
        config = importlib.import_module("torch._inductor.config")
        cpp_builder.get_cpp_compiler()
        with config.patch(compile_threads=1), torch.inference_mode():
            made: Any = torch.compile(network)
            made(example)
    except Exception as error:
        no_compiler = "Compiler" in type(error).__name__
        return (
            None,
            "there is no C++ compiler here" if no_compiler else f"it stops with {type(error).__name__}",
        )
    finally:
        quiet.setLevel(level)
    return made, f"it took {time.perf_counter() - begin:.0f} s to compile"


def operations(network: nn.Module, images: Tensor, most: int = 6) -> pd.DataFrame:
    """Return what takes most of a run by PyTorch's profiler: a `share` of the time, and the `calls`."""
    where = "self_device_time_total" if images.device.type == "cuda" else "self_cpu_time_total"
    os.environ["KINETO_LOG_LEVEL"] = "99"  # or the profiler reports on itself
    with torch.inference_mode(), torch.profiler.profile() as profiler:
        network(images)
    spent = {row.key: (getattr(row, where), row.count) for row in profiler.key_averages()}
    whole = sum(each for each, _ in spent.values())
    first = sorted(spent, key=lambda key: -spent[key][0])[:most]
    rows = {key: {"share": f"{spent[key][0] / whole:.0%}", "calls": spent[key][1]} for key in first}
    return pd.DataFrame(rows).T


def page_faults(run: Callable[[], Any]) -> int:
    """Return how many pages of memory the system had to find for a run; 0 on Windows, which does not say."""
    try:
        import resource
    except ModuleNotFoundError:
        return 0

    def faults() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    before = faults()
    run()
    return faults() - before


PATIENCE_S = 3.0
"""A processor without bf16 computes in it step by step, and takes minutes for a batch."""


def engines(backbone: Backbone, device: torch.device, gray: Tensor) -> dict[str, Callable[..., Any]]:
    """Return what embeds the first few of some pictures, or all, by name of the step; print what is left out.

    Args:
        backbone: whose network is to be run.
        device: where.
        gray: `(N, 1, S, S)`, in one batch.
    """
    steps: dict[str, Callable[..., Any]] = {}
    options: dict[str, dict[str, Any]] = {
        "ReLU fused (engine torch)": {},
        "bf16": {"precision": "bf16"},
        "OpenVINO": {"engine": "openvino"},
    }
    for name, chosen in options.items():
        try:
            treated = EmbeddingExtractor(backbone, device=str(device), batch_size=len(gray), **chosen)
        except EmbeddingError as error:
            print(f"{name} is left out: {error}")
            continue
        begin = time.perf_counter()
        treated.embed(gray[:1])
        if time.perf_counter() - begin > PATIENCE_S:
            print(f"{name} is left out: it takes too long on this processor")
            continue
        steps[name] = lambda first=None, treated=treated: treated.embed(gray[:first])
    return steps


def flags() -> dict[str, str]:
    """Return the switches of PyTorch that decide whether two runs give the same bits: `on` or `off`."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    found = {
        "deterministic algorithms only": torch.are_deterministic_algorithms_enabled(),
        "cuDNN tries out algorithms": cudnn.benchmark,
        "TF32 in convolutions": cudnn.allow_tf32,
        "TF32 in matrix products": matmul.allow_tf32,
    }
    return {name: "on" if value else "off" for name, value in found.items()}
