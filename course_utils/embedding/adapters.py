"""One gray channel into a network that expects three (lesson 04).

Two ways, one result: `replicate` copies the gray channel three times; `fold` changes the weights of the first
convolution instead, so that it takes the gray channel and a channel of ones.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from course_utils.embedding.errors import EmbeddingError

ADAPTERS = ("replicate", "folded")


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


def with_ones(gray: Tensor) -> Tensor:
    """Append a channel of ones to the gray one: the input of a folded network.

    Args:
        gray: `(N, 1, H, W)` in `[0, 1]`, not normalised: the folded weights do that.

    Returns:
        `(N, 2, H, W)`, the same dtype and device: `[gray, 1]`.
    """
    return torch.cat([gray, torch.ones_like(gray)], dim=1)


def fold(module: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> nn.Module:
    """Return a copy of a network that maps `[gray, 1]` to what the original makes of `replicate(gray)`.

    With x the gray image, w the first convolution's weights `(O, 3, kH, kW)` and * its convolution,

        sum_c w_c * (x - mean_c) / std_c  =  (sum_c w_c / std_c) * x  +  (-sum_c w_c mean_c / std_c) * 1

    so that two channels of weights do the work of three. Away from the border the second term is one number
    and could go into the bias. At the border it cannot: padding puts zeros around the *normalised* image,
    so the sum there misses the mean's share of every weight that hangs over the edge. The channel of
    ones is padded with zeros as well and loses just that share; any other padding keeps them. Bias,
    stride, dilation and padding stay as they are. Sums are taken in float64 and rounded once.

    Args:
        module: a network whose first registered layer, the first to run, is an `nn.Conv2d` of 3 channels in
            one group that uses its weights as they are stored (no weight standardisation or normalisation).
            It is copied, never changed.
        mean, std: the statistics that `replicate` would be given.

    Returns:
        A network from `(N, 2, H, W)`, as made by `with_ones`, to what `module` returns.

    Raises:
        EmbeddingError: the first layer is not such a convolution.
    """
    folded = copy.deepcopy(module)
    conv = next(m for m in folded.modules() if isinstance(m, nn.Conv2d) or not [*m.children()])
    if not isinstance(conv, nn.Conv2d) or conv.in_channels != len(mean) or conv.groups != 1:
        raise EmbeddingError(
            f"this network cannot be folded: its first layer has to be a convolution of {len(mean)} channels "
            f"in one group, but is {type(conv).__name__}({conv.extra_repr()}): use the adapter replicate"
        )
    weight = conv.weight.detach().to("cpu", torch.float64)
    centre, scale = (torch.tensor(statistic, dtype=torch.float64).view(-1, 1, 1) for statistic in (mean, std))
    two = torch.stack([(weight / scale).sum(dim=1), -(weight * centre / scale).sum(dim=1)], dim=1)
    conv.weight = nn.Parameter(two.to(conv.weight), requires_grad=conv.weight.requires_grad)
    conv.in_channels = 2
    return folded
