"""Which features: the output of an earlier layer, pooled into one vector per picture.

In: a network without its classifier. Out: the same network, stopped at one of its layers, `(N, 3, S, S)` to
`(N, D)`. Early layers see edges and texture, late ones what ImageNet's classes are told apart by.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.embedding.errors import EmbeddingError

POOLS = ("mean", "max", "gem", "multi")
GEM_POWER = 3.0
GEM_FLOOR = 1e-6  # roots of negative numbers are none
MOST_EXTRA = 5  # tokens before those of a vision transformer's patches: a class, some registers
FEW_STAGES = 5  # fewer than this, and the parts of the stages are named as well


class Cut(nn.Module):
    """A network up to one of its layers, then pooling.

    Nothing behind the layer is computed. The weights behind it are kept: they say whose network this is.
    """

    def __init__(self, network: nn.Module, layer: str, pool: str):
        super().__init__()
        self.network, self.layer, self.pool = network, layer, pool
        # The hook keeps nothing, so that copies of the network, and threads, do not get in each other's way.
        network.get_submodule(layer).register_forward_hook(_stop)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled output of the layer, `(N, D)`."""
        try:
            output = self.network(x)
        except _Reached as reached:
            output = reached.output
        return pooled(output, self.pool)

    def extra_repr(self) -> str:
        """Return what tells this network from the same one cut elsewhere: it becomes part of its address."""
        return f"layer={self.layer}, pool={self.pool}"


class _Reached(Exception):
    def __init__(self, output: Any):
        self.output = output


def _stop(module: nn.Module, given: Any, output: Any) -> None:
    raise _Reached(output)


def pooled(output: Tensor, pool: str) -> Tensor:
    """Pool the output of a layer over the picture.

    Args:
        output: a map, `(N, C, H, H)` or `(N, H, H, C)`; tokens `(N, T, C)`; or vectors `(N, C)`, which stay.
        pool: `"mean"`; `"max"`; `"gem"`, the generalised mean, which lies between the two (the third root of
            the mean of the cubes; negative numbers count as 0; Radenović et al., 2018); or `"multi"`, two
            scales: the mean of the whole map, then those of its four quarters, which overlap if H is odd.

    Returns:
        `(N, C)` float32; `(N, 5 C)` for `"multi"`.
    """
    if is_vector(output):
        return output.flatten(1)
    grid = as_map(output).float()
    if pool == "max":
        return grid.amax((2, 3))
    if pool == "gem":
        return grid.clamp(min=GEM_FLOOR).pow(GEM_POWER).mean((2, 3)).pow(1 / GEM_POWER)
    mean = grid.mean((2, 3))
    if pool == "mean":
        return mean
    half = (grid.shape[-1] + 1) // 2
    rows = (grid[:, :, :half], grid[:, :, -half:])
    quarters = [part.mean((2, 3)) for row in rows for part in (row[..., :half], row[..., -half:])]
    return torch.cat([mean, *quarters], dim=1)


def is_vector(output: Tensor) -> bool:
    """Return whether a layer's output has one place only: `(N, C)`, or a map of one pixel."""
    return output.ndim == 2 or (output.ndim == 4 and output.shape[2:] == (1, 1))


def as_map(output: Tensor) -> Tensor:
    """Return a layer's output as `(N, C, H, H)`; a transformer's tokens as the grid that they come from.

    Raises:
        EmbeddingError: it is no map of a square picture.
    """
    if output.ndim == 3:
        side = math.isqrt(output.shape[1])
        extra = output.shape[1] - side**2  # they come first
        if extra <= MOST_EXTRA:
            output = output[:, extra:].unflatten(1, (side, side))
    if output.ndim == 4 and output.shape[2] == output.shape[3]:
        return output
    if output.ndim == 4 and output.shape[1] == output.shape[2]:  # Swin keeps the channels last
        return output.permute(0, 3, 1, 2)
    raise EmbeddingError(f"its output {tuple(output.shape)} is neither a map nor a vector")


def cut(network: nn.Module, name: str, layer: str | None, pool: str, size: int) -> Cut:
    """Return the network, stopped at a layer, and pooled.

    Args:
        network: frozen, in evaluation mode. A hook is added to it.
        name: its name, for messages.
        layer: the name of a part of it, such as `"layer3"`; None for the last one that gives a map.
        pool: see `pooled`.
        size: what the network takes, `(N, 3, size, size)`.

    Raises:
        EmbeddingError: there is no such layer or pooling; its output is neither a map nor a vector.
    """
    if pool not in POOLS:
        raise EmbeddingError(f"pool {pool!r} is unknown: choose {', '.join(POOLS[:-1])} or {POOLS[-1]}")
    kinds = {path: _kind(output) for path, output in _outputs(network, size).items()}
    if layer is None:
        maps = [path for path, kind in kinds.items() if kind == "map"]
        if not maps:
            raise EmbeddingError(f"{name} has no layer that gives a map: there is nothing to pool")
        return Cut(network, maps[-1], pool)
    stages = _stages(network, kinds)
    if layer not in kinds or not layer:
        raise EmbeddingError(f"{name} has no layer {layer!r}: its stages are {stages}")
    if kinds[layer] not in ("map", "vector"):
        raise EmbeddingError(
            f"the layer {layer} of {name} gives {kinds[layer]}, neither a map nor a vector: choose one of "
            f"{stages}"
        )
    if kinds[layer] == "vector" and pool != "mean":
        raise EmbeddingError(
            f"the layer {layer} of {name} gives a vector, which leaves nothing to pool by {pool}: leave that "
            f"out, or choose one of {stages}"
        )
    return Cut(network, layer, pool)


def _outputs(network: nn.Module, size: int) -> dict[str, Tensor | str]:
    """Return what each part of the network gives for one picture, in the order in which they are done.

    It is a tensor without numbers, or the name of another type. A part that runs more than once has no output
    of its own, and is left out; the network itself is the part without a name.
    """
    outputs: dict[str, Tensor | str] = {}
    several: set[str] = set()

    def note(path: str) -> Any:
        def noted(module: nn.Module, given: Any, output: Any) -> None:
            if path in outputs:
                several.add(path)
            outputs[path] = output.to("meta") if isinstance(output, Tensor) else type(output).__name__

        return noted

    hooks = [part.register_forward_hook(note(path)) for path, part in network.named_modules()]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
    finally:
        for hook in hooks:
            hook.remove()
    return {path: output for path, output in outputs.items() if path not in several}


def _kind(output: Tensor | str) -> str:
    """Return `"map"`, which tokens are too, `"vector"`, or what else it is, for a sentence."""
    if isinstance(output, str):
        return f"a {output}"
    if output.ndim and len(output) == 1:  # Swin counts its windows as if they were pictures
        if is_vector(output):
            return "vector"
        with contextlib.suppress(EmbeddingError):
            as_map(output)
            return "map"
    return f"a tensor of {' × '.join(map(str, output.shape))}"


def _stages(network: nn.Module, kinds: dict[str, str]) -> str:
    """Return the names of the network's parts that give maps, and those of their parts if these are few."""
    paths = [path for path, _ in network.named_children()]
    while True:
        maps = [path for path in paths if kinds.get(path) == "map" and _does_something(network, path)]
        deeper = [inner for path in paths for inner in _parts(network, path) or [path]]
        if len(maps) >= FEW_STAGES or deeper == paths:
            return ", ".join(maps)
        paths = deeper


def _parts(network: nn.Module, path: str) -> list[str]:
    return [f"{path}.{name}" for name, _ in network.get_submodule(path).named_children()]


def _does_something(network: nn.Module, path: str) -> bool:
    return not isinstance(network.get_submodule(path), nn.Identity | nn.Dropout)
