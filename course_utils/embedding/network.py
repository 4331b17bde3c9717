"""A backbone made ready for one device: pictures in, vectors out, in batches (lesson 05).

Nothing here knows about files. The way to a picture, and to its vector, is up to `pipeline`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.embedding import adapters, choice
from course_utils.embedding.backbones import Backbone
from course_utils.embedding.device import (
    PRECISIONS,
    Precision,
    check_precision,
    default_batch_size,
    determinism,
    pick_device,
)
from course_utils.embedding.engines import ENGINES, Engine, make_engine
from course_utils.embedding.errors import EmbeddingError
from course_utils.provenance import fingerprint, machine

logger = logging.getLogger(__name__)

ROUNDING = 1e-4  # how far resizing may leave [0, 1]; pixels on another scale miss it by far more


class Network:
    """A backbone made ready for one device: frozen, in evaluation mode, batched.

    Args:
        backbone: from `load_backbone`. It is copied, never changed.
        device: see `pick_device`.
        precision: `"fp32"` unless asked for `"bf16"`, or on CUDA `"fp16"`. Vectors are float32 in any case.
        engine: `"torch"`, or `"openvino"` for CPUs (the extra `fast`), see `engines`. `"auto"` measures which
            is faster here (see `choice`), for a second or two; where OpenVINO is not installed, or the device
            is not the CPU, it is torch without measuring. The attribute `engine` names the one that is used.
        adapter: `"replicate"`, one gray channel copied to three; `"folded"`, the same vectors within rounding
            from a first convolution that takes gray and ones (see `adapters.fold`).
        batch_size: images per forward pass; for `"auto"` see `default_batch_size`.
        deterministic: same input, same bits, whatever the order of the files and the size of the last batch.
        fuse: see `make_engine`: faster, equal within rounding. False runs the network as torchvision does.
        choices: the folder, such as a store's, in which choices of the engine `"auto"` are kept.

    Attributes:
        forward: the engine's function, from a batch as the adapter made it to vectors, see `engines.Engine`.

    Raises:
        DeviceUnavailable: the device was asked for by name and is not there.
        EmbeddingError: an option is unknown, the device cannot do the precision or the engine, or the network
            cannot be folded.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: str = "auto",
        precision: Precision = "fp32",
        engine: Literal["torch", "openvino", "auto"] = "torch",
        adapter: Literal["replicate", "folded"] = "replicate",
        batch_size: int | Literal["auto"] = "auto",
        deterministic: bool = False,
        fuse: bool = True,
        choices: str | Path | None = None,
    ):
        _check_choice("precision", precision, PRECISIONS)
        _check_choice("engine", engine, ("auto", *ENGINES))
        _check_choice("adapter", adapter, adapters.ADAPTERS)
        self.backbone = replace(backbone)  # which hashes its weights as they are now
        # OpenVINO computes on a CPU: that is what auto has to mean for it.
        self.device = pick_device("cpu" if (engine, device) == ("openvino", "auto") else device)
        self.precision = precision
        self.adapter = adapter
        self.deterministic = deterministic
        self.fuse = fuse
        self.batch_size = default_batch_size(self.device) if batch_size == "auto" else int(batch_size)
        if self.batch_size < 1:
            raise EmbeddingError(f"batch_size must be 1 or more, got {batch_size}")
        check_precision(self.device, precision)
        made: dict[str, Engine] = {}
        self.engine: choice.Name = self._faster(made, choices) if engine == "auto" else engine
        self.forward: Engine = made[self.engine] if self.engine in made else self._make(self.engine)

    def _make(self, engine: choice.Name) -> Engine:
        return make_engine(
            engine,
            self.backbone,
            device=self.device,
            precision=self.precision,
            adapter=self.adapter,
            fuse=self.fuse,
            batch_size=self.batch_size,
        )

    def _faster(self, made: dict[str, Engine], folder: str | Path | None) -> choice.Name:
        """Return which engine is faster, with what is asked for; those that it made are in `made`."""
        openvino = choice.openvino_version()
        if self.device.type != "cpu" or openvino is None:
            return "torch"
        size = self.backbone.input_size
        own = torch.Generator().manual_seed(0)  # not the caller's random numbers
        images = torch.rand((self.batch_size, 1, size, size), generator=own)

        def ready(name: choice.Name) -> Callable[[], choice.Batch]:
            def make() -> choice.Batch:
                made[name] = self._make(name)
                return lambda: self._run(made[name], images)

            return make

        settings = {
            **machine(),
            "threads": torch.get_num_threads(),
            "versions": [torch.__version__, openvino],
            "network": [self.backbone.label, fingerprint({"modules": repr(self.backbone.module)})],
            "input_size": size,
            "precision": self.precision,
            "adapter": self.adapter,
            "batch_size": self.batch_size,
            "deterministic": self.deterministic,
            "fuse": self.fuse,
        }
        engines = {name: ready(name) for name in ENGINES}
        return choice.faster(engines, settings, None if folder is None else Path(folder))

    def _run(self, engine: Engine, pictures: Tensor) -> Tensor:
        with determinism(self.deterministic):
            return engine(self._input(pictures))

    def identity(self) -> dict[str, Any]:
        """Return everything about the network that changes a vector, as plain values."""
        return {
            "backbone": self.backbone.label,
            "architecture": fingerprint({"modules": repr(self.backbone.module)}),
            "embedding_dim": self.backbone.embedding_dim,
            "weights": self.backbone.weights.sha256,
            "input": {
                "size": self.backbone.input_size,
                "mean": list(self.backbone.mean),
                "std": list(self.backbone.std),
                "interpolation": self._interpolation,
            },
            "adapter": self.adapter,
            "precision": self.precision,
            "engine": self.engine,
            "fuse": self.fuse,
            "deterministic": self.deterministic,
        }

    @property
    def _interpolation(self) -> dict[str, Any]:
        return {"mode": self.backbone.interpolation, "antialias": True}

    def embed(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Turn pictures into vectors, in batches.

        Args:
            images: `(N, 1, H, H)` float32 in `[0, 1]`; resized to the input size, antialiased.

        Returns:
            `(N, D)` float32, row i from image i, whatever the batch size.

        Raises:
            EmbeddingError: wrong shape, values outside `[0, 1]`, or not finite.
        """
        if isinstance(images, np.ndarray):
            images = torch.from_numpy(np.ascontiguousarray(images, np.float32))
        pictures = images.to(torch.float32)
        if pictures.ndim != 4 or pictures.shape[1] != 1 or pictures.shape[2] != pictures.shape[3]:
            raise EmbeddingError(
                f"images must be (N, 1, H, H), one gray channel and square, got {tuple(pictures.shape)}"
            )
        if len(pictures) and not (pictures.min() >= -ROUNDING and pictures.max() <= 1 + ROUNDING):
            raise EmbeddingError(
                f"pixels must be finite and in [0, 1], got {pictures.min():g} to {pictures.max():g}: "
                "scale by the fixed range of the stored values (Preprocessor does)"
            )
        vectors = [np.empty((0, self.backbone.embedding_dim), np.float32)]
        for start in range(0, len(pictures), self.batch_size):
            vectors.append(self.launch(pictures[start : start + self.batch_size]).cpu().numpy())
        return np.concatenate(vectors)

    def launch(self, pictures: Tensor) -> Tensor:
        """Start on pictures `(n, 1, H, H)`, float32 in `[0, 1]`, unchecked; return their vectors `(n, D)`.

        They are on the device, which may still be computing them. If its memory runs out, batches are
        halved from here on.
        """
        vectors: list[Tensor] = []
        waiting = pictures
        while len(waiting):
            batch = waiting[: self.batch_size]
            try:
                found = self._run(self.forward, self._filled(batch))
                vectors.append(self._checked(found)[: len(batch)])
            except torch.OutOfMemoryError as error:
                self._halve_batches(error)
            else:
                waiting = waiting[len(batch) :]
        return torch.cat(vectors)

    def _checked(self, vectors: Tensor) -> Tensor:
        """Return vectors `(n, D)`; a network of one's own may give something else."""
        if vectors.ndim != 2 or vectors.shape[1] != self.backbone.embedding_dim:
            raise EmbeddingError(
                f"the network gives {tuple(vectors.shape)} for a batch, and its embedding_dim says "
                f"(N, {self.backbone.embedding_dim}): pool its map, or correct embedding_dim"
            )
        return vectors

    def _halve_batches(self, error: torch.OutOfMemoryError) -> None:
        if self.batch_size == 1:
            raise EmbeddingError("not even one image fits into the device's memory: choose cpu") from error
        self.batch_size //= 2
        logger.warning("Out of memory: going on with batches of %d", self.batch_size)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _filled(self, batch: Tensor) -> Tensor:
        """Return a whole batch in deterministic mode: a kernel's order of sums may depend on the size."""
        missing = self.batch_size - len(batch)
        if not self.deterministic or missing == 0:
            return batch
        return torch.cat([batch, batch.new_zeros((missing, *batch.shape[1:]))])

    def _input(self, pictures: Tensor) -> Tensor:
        size = self.backbone.input_size
        if self.device.type == "cuda":
            pictures = pictures.pin_memory().to(self.device, non_blocking=True)
        if pictures.shape[-1] != size:
            pictures = F.interpolate(pictures, (size, size), **self._interpolation)
        if self.adapter == "folded":
            return adapters.with_ones(pictures)
        return adapters.replicate(pictures, self.backbone.mean, self.backbone.std)


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise EmbeddingError(f"{option} {value!r} is unknown: choose {' or '.join(choices)}")
