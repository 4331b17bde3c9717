"""Batches, bad files, labels and runs that go on (lesson 05): the course's own answers to its exercises.

The lesson runs on these until the student's own functions are right. Beside them stands what the lesson
measures with: how far vectors move, whose vector one is, and which thread did what and when.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from course_utils.embedding.backbones import Backbone
from course_utils.imaging import MammogramError
from course_utils.plots import Span

Array = NDArray[Any]


def in_runs(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Return a list cut into runs of `size`, in order; the last one may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def embedded(network: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """Return the vectors `(N, D)` of images `(N, C, H, W)`, in evaluation mode and without gradients."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in images.split(batch_size)])


def set_aside(
    read: Callable[[str], Any], names: Sequence[str]
) -> tuple[list[str], list[Any], dict[str, str]]:
    """Return the names that can be read, what they hold, and for each of the others the reason."""
    good, pictures, failures = [], [], {}
    for name in names:
        try:
            picture = read(name)
        except MammogramError as error:
            failures[name] = str(error)
        else:
            good.append(name)
            pictures.append(picture)
    return good, pictures, failures


def joined(rows: Sequence[str], labels: Sequence[tuple[str, int]]) -> list[int | None]:
    """Return the label of each row, found by its name; None where there is none."""
    known = dict(labels)
    return [known.get(row) for row in rows]


def gone_on(
    files: Sequence[str],
    digest: Callable[[str], str],
    store: dict[str, Any],
    compute: Callable[[list[str]], Sequence[Any]],
) -> list[Any]:
    """Return a vector for each file; compute, in one call, and keep what the store does not hold."""
    keys = [digest(file) for file in files]
    missing = {key: file for key, file in zip(keys, files, strict=True) if key not in store}
    store.update(zip(missing, compute(list(missing.values())), strict=True))
    return [store[key] for key in keys]


def as_in_training(network: nn.Module) -> nn.Module:
    """Return a copy of the network whose batch normalisation looks at the batch, as in training."""
    changed = copy.deepcopy(network).eval()
    for module in changed.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    return changed


class _Crowded(nn.Module):
    def __init__(self, network: nn.Module, room: int):
        super().__init__()
        self.network = network
        self.room = room

    def forward(self, batch: Tensor) -> Tensor:
        if len(batch) > self.room:
            raise torch.OutOfMemoryError(f"no room for more than {self.room}")
        vectors: Tensor = self.network(batch)
        return vectors


def crowded(backbone: Backbone, room: int) -> Backbone:
    """Return the backbone on a device that plays a crowded card: it has memory for `room` pictures."""
    return dataclasses.replace(backbone, module=_Crowded(backbone.module, room))


def moved(network: nn.Module, images: Tensor, one: int, other: int) -> float:
    """Return how far vectors move between two batch sizes, as a share of the largest number in them.

    The network is run in the mode that it is in.
    """
    with torch.inference_mode():
        first, second = (torch.cat([network(part) for part in images.split(size)]) for size in (one, other))
    return share_moved(first.numpy(), second.numpy())


def share_moved(one: Array, other: Array) -> float:
    """Return the largest difference of two arrays `(N, D)`, as a share of the largest number of the first."""
    return float(np.abs(one - other).max() / np.abs(one).max())


def nearest_rows(vectors: Sequence[Array] | Array, known: Array) -> list[int]:
    """Return, for each vector `(D,)`, the number of the row of `known` `(N, D)` that is most like it."""
    return [int(np.linalg.norm(known - vector, axis=1).argmin()) for vector in vectors]


def noted(spans: list[Span], work: str, label: str, function: Callable[..., Any], *given: Any) -> Any:
    """Do the work, and note which thread did it, and from when to when."""
    begin = time.perf_counter()
    result = function(*given)
    spans.append(Span(threading.current_thread().name, work, label, begin, time.perf_counter()))
    return result


def batch_sliders(files: int, batch_size: int) -> dict[str, ipywidgets.IntSlider]:
    """Return two sliders, `batch_size` and `batch`; there are only as many batches as the files make."""
    look: dict[str, Any] = {
        "min": 1,
        "continuous_update": False,
        "style": {"description_width": "initial"},
        "layout": {"width": "32em", "max_width": "100%"},
    }
    size = ipywidgets.IntSlider(batch_size, max=files, description="batch size", **look)
    batch = ipywidgets.IntSlider(1, max=-(-files // batch_size), description="batch", **look)

    def there_are(change: dict[str, int]) -> None:
        batch.max = -(-files // change["new"])

    size.observe(there_are, names="value")
    return {"batch_size": size, "batch": batch}
