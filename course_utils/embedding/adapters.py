"""One gray channel into a network that expects three (lesson 04)."""

from __future__ import annotations

from torch import Tensor

ADAPTERS = ("replicate",)


def replicate(gray: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Copy the gray channel three times, then normalise each copy with the statistics of its colour.

    Args:
        gray: `(N, 1, H, W)` float32 in `[0, 1]`.
        mean, std: per-channel statistics of the weights' training images, in the same `[0, 1]` range.

    Returns:
        `(N, 3, H, W)` float32, `(gray - mean[c]) / std[c]` in channel `c`.
    """
    centre, scale = (gray.new_tensor(statistic).view(1, -1, 1, 1) for statistic in (mean, std))
    return gray.repeat_interleave(len(mean), dim=1).sub_(centre).div_(scale)
