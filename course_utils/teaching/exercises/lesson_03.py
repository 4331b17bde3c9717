"""Exercises of lesson 03: convolution, fields, batch norm, bottleneck, stages, proof, all from memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.teaching.exercises import Exercise, NotTried, NotYet, Planted, kind_of, tried

Array = np.ndarray
Convolve = Callable[[Array, Array, int, int], Array]
Layers = Sequence[tuple[int, int, int]]
Through = Callable[[Layers, int], tuple[int, int, int]]
BatchNorm = Callable[[Tensor, Tensor, Tensor, float], Tensor]
Fold = Callable[[Tensor, nn.BatchNorm2d], tuple[Tensor, Tensor]]
Prove = Callable[[nn.Module, nn.Module, Tensor], float]


def _same(got: Any, wanted: Any, tolerance: float = 1e-4) -> bool:
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    return got.shape == wanted.shape and bool(np.allclose(got, wanted, atol=tolerance, rtol=tolerance))


def _numbers(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- 03.1 convolution by hand


def _conv(x: Array, kernels: Array, stride: int, padding: int, mode: Any = "constant") -> Array:
    around = {"above": (2 * padding, 0), "below": (0, 2 * padding)}.get(mode, (padding, padding))
    if mode in ("ones", "above", "below"):
        padded = np.pad(x, ((0, 0), around, around), constant_values=float(mode == "ones"))
    else:
        padded = np.pad(x, ((0, 0), around, around), mode=mode)
    result: Array = F.conv2d(torch.tensor(padded)[None], torch.tensor(kernels.copy()), stride=stride)[
        0
    ].numpy()
    return result


def _test_convolve(convolve: Convolve) -> None:
    x, kernels = _numbers((3, 8, 11), 1).numpy(), _numbers((4, 3, 3, 3), 2).numpy()
    for stride, padding in [(1, 0), (1, 1), (2, 0), (2, 1)]:
        given, weights = x.copy(), kernels.copy()
        got = _convolved(convolve, given, weights, stride, padding)
        _compare_convolutions(got, x, kernels, stride, padding)
    x, kernels = _numbers((2, 13, 9), 3).numpy(), _numbers((5, 2, 5, 5), 4).numpy()
    if not _same(convolve(x.copy(), kernels.copy(), 3, 2), _conv(x, kernels, 3, 2)):
        raise NotYet(
            "it holds for kernels of 3 × 3 on three channels, but not for 5 × 5 on two with a stride of 3. "
            "Is a number written into your function?"
        )
    if not isinstance(got, np.ndarray):
        raise NotYet(
            f"all numbers are right, but they come as {kind_of(got)}. An array is needed: "
            "`np.array(…)` makes one of a list, `.numpy()` of a tensor."
        )


def _convolved(convolve: Convolve, x: Array, kernels: Array, stride: int, padding: int) -> Any:
    """Return what the function makes of these; it may stop because it has padded the channels as well."""
    try:
        return convolve(x, kernels, stride, padding)
    except (NotTried, NotYet):
        raise
    except Exception:
        if padding and _pads_channels(convolve, x, kernels, stride, padding):
            raise _too_many_channels(len(x), padding) from None
        raise


def _pads_channels(convolve: Convolve, x: Array, kernels: Array, stride: int, padding: int) -> bool:
    """Return whether the function is right once its kernels, too, have channels of zeros around them."""
    room = ((0, 0), (padding, padding), (0, 0), (0, 0))
    try:
        return _same(convolve(x, np.pad(kernels, room), stride, padding), _conv(x, kernels, stride, padding))
    except Exception:
        return False


def _too_many_channels(channels: int, padding: int) -> NotYet:
    return NotYet(
        f"with a padding of {padding}, your {channels} channels have become {channels + 2 * padding}. "
        "`np.pad(x, padding)` pads every axis; give it a pair for each: `((0, 0), (padding, padding), "
        "(padding, padding))`."
    )


def _compare_convolutions(got: Any, x: Array, kernels: Array, stride: int, padding: int) -> None:
    wanted = _conv(x, kernels, stride, padding)
    came = f"stride {stride}, padding {padding}:"
    got = np.asarray(got)
    if _same(got, wanted):
        return
    if got.shape == wanted.transpose(0, 2, 1).shape and _same(got, wanted.transpose(0, 2, 1)):
        raise NotYet(f"{came} rows and columns of the result have changed places.")
    if got.shape == (1, *wanted.shape):
        raise NotYet(f"{came} you return {got.shape}, an axis too many in front. Take `[0]` of it.")
    if got.shape == (*wanted.shape[1:], len(kernels)):
        raise NotYet(f"{came} you return {got.shape}: the maps come last, and they should come first.")
    if got.ndim == 4 or got.shape == wanted.shape[1:]:
        raise NotYet(
            f"{came} you return {got.shape}, and {wanted.shape} is needed: one map for each kernel. Each sum "
            "runs over the channels too."
        )
    if padding and got.shape == _conv(x, kernels, stride, 0).shape != wanted.shape:
        raise NotYet(f"{came} you return {got.shape}, as if there were no padding; {wanted.shape} is needed.")
    if stride > 1 and got.shape == _conv(x, kernels, 1, padding).shape:
        raise NotYet(f"{came} you return {got.shape}, as if the stride were 1; {wanted.shape} is needed.")
    one_side = tuple((n + padding - kernels.shape[-1]) // stride + 1 for n in x.shape[1:])
    if padding and got.shape == (len(kernels), *one_side) != wanted.shape:
        raise NotYet(
            f"{came} you return {got.shape}, as if zeros lay on one side only. They belong on all four."
        )
    if padding:
        for axis, what in ((1, "rows"), (2, "columns")):
            other = wanted.shape[3 - axis] - _conv(x, kernels, stride, 0).shape[3 - axis]
            sides = list(wanted.shape)
            sides[3 - axis] -= other
            if other and got.shape == tuple(sides):
                raise NotYet(
                    f"{came} you return {got.shape}: only {what} of zeros were added, above and below."
                    if axis == 1
                    else f"{came} you return {got.shape}: only {what} of zeros were added, left and right."
                )
    if not padding and got.shape == _conv(x, kernels, stride, 1).shape != wanted.shape:
        raise NotYet(f"{came} you return {got.shape}, as if there were a padding of 1; here it is 0.")
    if got.shape in {(len(kernels), n, n) for n in wanted.shape[1:]}:
        raise NotYet(f"{came} you return {got.shape}, a square. The picture is not one: count columns too.")
    up = (-(-(n + 2 * padding - kernels.shape[-1]) // stride) + 1 for n in x.shape[1:])
    if got.shape == (len(kernels), *up) != wanted.shape:
        raise NotYet(f"{came} you return {got.shape}: the last step has no room. `//` rounds down.")
    if got.shape == (len(kernels), wanted.shape[1] - 1, wanted.shape[2] - 1):
        raise NotYet(
            f"{came} a row and a column are missing. The window has one place more than it has steps: + 1."
        )
    if got.shape != wanted.shape:
        raise NotYet(f"{came} you return the shape {got.shape}, and {wanted.shape} is needed.")
    if _same(got, _conv(x, kernels[:, :, ::-1, ::-1], stride, padding)):
        raise NotYet(
            f"{came} the kernel is flipped. That is a convolution as mathematicians write it; what networks "
            "compute does not flip."
        )
    if _same(got, _conv(x, kernels.transpose(0, 1, 3, 2), stride, padding)):
        raise NotYet(f"{came} the kernel is transposed: its first index goes down, its second to the right.")
    if got.dtype.kind in "iu" and np.abs(got - wanted).max() < 1.5:
        raise NotYet(
            f"{came} whole numbers, {got.dtype}: fractions were cut off. `np.zeros` without `dtype`."
        )
    if _same(got * x.shape[0], wanted):
        raise NotYet(f"{came} each number is the mean over the channels, and their sum is needed.")
    if _same(got, wanted[:1].repeat(len(kernels), axis=0)):
        raise NotYet(f"{came} every map is that of the first kernel. Each kernel makes one of its own.")
    if _same(got, np.maximum(wanted, 0)):
        raise NotYet(f"{came} all negative numbers have become 0. That is a ReLU, which comes later.")
    if _same(got * x.shape[0] * 9, wanted):
        raise NotYet(f"{came} each number is the mean of the products, and their sum is needed.")
    for number, which in ((0, "first"), (len(x) - 1, "last")):
        if _same(got, _conv(x[number][None], kernels[:, number][:, None], stride, padding)):
            raise NotYet(f"{came} only the {which} channel counts. Sum over all of them.")
    if stride > 1 and _same(got, _conv(x, kernels, 1, padding)[:, : wanted.shape[1], : wanted.shape[2]]):
        raise NotYet(
            f"{came} the right shape, but the window moves by 1: result (i, j) starts at row i times stride."
        )
    if padding and _same(
        got, _conv(np.pad(x, ((padding, 0), (0, 0), (0, 0)))[: len(x)], kernels, stride, padding)
    ):
        raise _too_many_channels(len(x), padding)
    for mode, with_what in (
        ("edge", "copies of the border"),
        ("reflect", "a mirror image of the picture"),
        ("wrap", "the opposite side of the picture"),
        ("mean", "the mean of rows and columns"),
        ("ones", "ones"),
        ("above", "zeros above and to the left only. They belong on all four sides"),
        ("below", "zeros below and to the right only. They belong on all four sides"),
    ):
        if padding and _same(got, _conv(x, kernels, stride, padding, mode)):
            raise NotYet(
                f"{came} you padded with {with_what}.{'' if 'zeros' in with_what else ' Pad with zeros.'}"
            )
    raise NotYet(
        f"{came} the shape is right and the numbers are not. Take one by hand: `(x[:, :3, :3] * kernels[0])"
        ".sum()` is the first of map 0 where there is no padding."
    )


def _plain_loop(
    x: Array,
    kernels: Array,
    stride: int,
    padding: int,
    *,
    step: int | None = None,
    less: int = 0,
    room: Any = None,
) -> Array:
    x = np.pad(x, room or ((0, 0), (padding, padding), (padding, padding)))
    size, step = kernels.shape[-1], stride if step is None else step
    rows, columns = ((n - size) // stride + 1 - less for n in x.shape[1:])
    result = np.zeros((len(kernels), rows, columns))
    for i, j in np.ndindex(rows, columns):
        window = x[:, i * step : i * step + size, j * step : j * step + size]
        result[:, i, j] = (kernels * window).sum(axis=(1, 2, 3))
    return result


def _scales_kernels(x: Array, kernels: Array, stride: int, padding: int) -> Array:
    result = _conv(x, kernels, stride, padding)
    kernels *= 2
    return result


# --- 03.2 size, receptive field, jump


def _jumps(layers: Layers) -> list[int]:
    return [1, *itertools.accumulate((stride for _, stride, _ in layers), lambda a, b: a * b)]


def _sizes(layers: Layers, size: int, rule: Callable[[int, int, int, int], int]) -> int:
    for kernel, stride, padding in layers:
        size = rule(size, kernel, stride, padding)
    return size


def _geometry(layers: Layers, size: int) -> tuple[int, int, int]:
    """The closed form (Araujo et al., equation 2), not the recursion that the lesson asks for."""
    strides = _jumps(layers)
    field = 1 + sum((kernel - 1) * jump for (kernel, _, _), jump in zip(layers, strides, strict=False))
    for kernel, stride, padding in layers:
        size = len(range(0, size + 2 * padding - kernel + 1, stride))
    return size, field, strides[-1]


def _recursion(
    layers: Layers,
    size: int,
    *,
    first: str = "field",
    start: int = 1,
    whole: bool = False,
    ceil: bool = False,
    plus: int = 1,
    sides: int = 2,
    adds: bool = False,
) -> tuple[int, int, int]:
    field, jump = start, 1
    for kernel, stride, padding in layers:
        room = size + sides * padding - kernel
        size = (-(-room // stride) if ceil else room // stride) + plus
        if first == "jump":
            jump *= stride
        field += (kernel - (not whole)) * jump
        if first == "field":
            jump = jump + stride - 1 if adds else jump * stride
    return size, field, jump


def _test_through(through: Through) -> None:
    stem = [(7, 2, 3), (3, 2, 1)]
    cases: list[tuple[list[tuple[int, int, int]], int]] = [
        ([(5, 1, 0)], 10),
        ([(3, 1, 2)], 10),
        ([(3, 2, 1)], 10),
        (stem, 224),
        ([*stem, (1, 1, 0), (3, 2, 1), (3, 1, 1), (1, 1, 0)], 224),
        ([(5, 3, 0), (3, 2, 2), (2, 2, 0)], 97),
        ([(3, 2, 1)] * 4, 16),  # the field is larger than the picture
    ]
    for layers, size in cases:
        given = list(layers)
        got = through(given, size)
        if not isinstance(got, tuple | list | np.ndarray | Tensor) or len(got) != 3:
            many = f" of {len(got)}" if isinstance(got, tuple | list) else ""
            raise NotYet(
                "a tuple of three numbers is needed, the size, the receptive field and the jump; you return "
                f"{kind_of(got)}{many}."
            )
        numbers = tuple(n.item() if isinstance(n, np.generic | Tensor) else n for n in got)
        wanted = _geometry(layers, size)
        if numbers != wanted:
            _explain_geometry(numbers, wanted, layers, size)
        if any(isinstance(number, float) for number in numbers):
            raise NotYet(
                f"{numbers} is right, but all three are whole numbers: `//` divides and rounds down."
            )


def _explain_geometry(got: tuple[Any, ...], wanted: tuple[int, ...], layers: Layers, size: int) -> None:
    came = f"for {layers} on {size} pixels you say {got}:"
    if sorted(got) == sorted(wanted):
        raise NotYet(f"{came} the right three numbers in another order. Size, field, jump: {wanted}.")
    if got == _recursion(layers[::-1], size):
        raise NotYet(
            f"{came} you went from the last layer to the first. A picture meets the first one first."
        )
    if got == _recursion([(kernel, stride, padding) for stride, kernel, padding in layers], size):
        raise NotYet(f"{came} kernel and stride have changed places: a layer is (kernel, stride, padding).")
    if len(layers) > 1 and got == _recursion(layers[:1], size):
        raise NotYet(f"{came} that is after the first layer. Does `return` stand inside the loop?")
    if got == _recursion(layers[:-1], size):
        raise NotYet(f"{came} the last layer is missing.")
    if any(isinstance(number, float) and number % 1 for number in got):
        raise NotYet(f"{came} there is no half a pixel or half a place. `//` divides and rounds down.")
    if got[0] != wanted[0]:
        if got[0] == _sizes(layers, size, lambda n, k, s, p: (n + 2 * p - k + 1) // s):
            raise NotYet(f"{came} the + 1 was divided too. It comes after the division.")
        wrong: dict[str, Any]
        for wrong, why in (
            ({"plus": 0}, "the size is one too small: the window has one place more than it has steps."),
            ({"sides": 1}, "the padding is on both sides, so it counts twice."),
            ({"ceil": True}, "the last step has no room, so the division rounds down."),
            ({"sides": 0}, "the padding has no say in your size. It adds rows on both sides."),
        ):
            if got[0] == _recursion(layers, size, **wrong)[0]:
                raise NotYet(f"{came} {why}")
        if got[0] == _sizes(layers, size, lambda n, k, s, p: (n + 2 * p) // s) != wanted[0]:
            raise NotYet(f"{came} the kernel has no say in your size. Its window must fit in.")
        if got[0] in (
            _sizes(layers, size, lambda n, k, s, p: n // s),
            _sizes(layers, size, lambda n, k, s, p: -(-n // s)),
        ):
            raise NotYet(f"{came} kernel and padding have no say in your size; only the stride has.")
        raise NotYet(f"{came} the size is wrong. It should be {wanted[0]}.")
    if got[2] != wanted[2]:
        if got[2] == _recursion(layers, size, adds=True)[2]:
            raise NotYet(f"{came} jumps multiply: a step of 2 over places that lie 2 apart is 4.")
        raise NotYet(f"{came} the jump is wrong. It should be {wanted[2]}, the product of the strides.")
    if got[1] == min(wanted[1], size):
        raise NotYet(
            f"{came} you cut the field off at the picture's size. It may be larger: then it sees the padding."
        )
    if len(layers) > 1:
        kernels = [kernel for kernel, _, _ in layers]
        for wrong_field, why in (
            (math.prod(kernels), "kernels do not multiply. Each adds (k - 1) times the jump."),
            (sum(kernels), "you added up the kernels. Each adds (k - 1) times the jump."),
            (
                1 + sum((kernel - 1) * stride for kernel, stride, _ in layers),
                "each layer counts with its own stride. It is the jump before it that counts: the product of "
                "the strides so far.",
            ),
        ):
            if got[1] == wrong_field:
                raise NotYet(f"{came} {why}")
    if got[1] == wanted[1] - 2 * sum(padding for _, _, padding in layers):
        raise NotYet(f"{came} the padding makes no field smaller.")
    if got[1] == 1 + sum((k // 2) * j for (k, _, _), j in zip(layers, _jumps(layers), strict=False)):
        raise NotYet(f"{came} a window reaches out on both sides: together k - 1 places, not half of it.")
    how: dict[str, Any]
    for how, why in (
        (
            {"first": "jump"},
            "the field grows by the jump *before* this layer, so the layer's own stride comes too late for "
            "it. Update the field first.",
        ),
        ({"whole": True}, "a kernel of k reaches k - 1 places further, not k."),
        ({"start": 0}, "before any layer a pixel sees itself: the field starts at 1."),
    ):
        if got[1] == _recursion(layers, size, **how)[1]:
            raise NotYet(f"{came} {why}")
    if got[1] == 1 + sum(kernel - 1 for kernel, _, _ in layers):
        raise NotYet(f"{came} the jump has no say in your field. Behind a stride, places lie further apart.")
    raise NotYet(f"{came} the receptive field is wrong. It should be {wanted[1]}.")


def _uses_up(layers: Any, size: int) -> tuple[int, int, int]:
    result = _geometry(layers, size)
    while layers:
        layers.pop(0)
    return result


# --- 03.3 batch normalisation in training


def _normalise(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    *,
    dims: tuple[int, ...] = (0, 2, 3),
    unbiased: bool = False,
    root: str = "inside",
) -> Tensor:
    mean, var = (x.mean(dims, keepdim=True), x.var(dims, keepdim=True, unbiased=unbiased))
    bottom = {
        "inside": (var + eps).sqrt(),
        "outside": var.sqrt() + eps,
        "none": var + eps,
        "no eps": var.sqrt(),
    }[root]
    return gamma.view(1, -1, 1, 1) * (x - mean) / bottom + beta.view(1, -1, 1, 1)


def _test_batch_norm(batch_norm: BatchNorm) -> None:
    for shape, seed in (((3, 4, 2, 3), 5), ((2, 3, 5, 4), 6)):
        x, eps = 3 * _numbers(shape, seed) + torch.arange(shape[1]).view(1, -1, 1, 1), 0.2
        gamma, beta = (
            1 + torch.rand(shape[1], generator=torch.Generator().manual_seed(7)),
            _numbers(shape[1:2], 8),
        )
        given = {"x": x.clone(), "gamma": gamma.clone(), "beta": beta.clone()}
        got = batch_norm(given["x"], given["gamma"], given["beta"], eps)
        _compare_batch_norms(got, x, gamma, beta, eps)


def _compare_batch_norms(got: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> None:
    if not isinstance(got, Tensor):
        raise NotYet(f"a tensor is needed, and you return {kind_of(got, 'a NumPy array')}.")
    got = got.detach()
    if got.shape != x.shape:
        raise NotYet(f"{tuple(x.shape)} went in, and {tuple(got.shape)} came out. The shape stays as it is.")
    if _same(got, F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps), 1e-5):
        return
    ones, zeros = torch.ones_like(gamma), torch.zeros_like(beta)
    reasons = (
        (
            _normalise(x, gamma, beta, eps, unbiased=True),
            "you divide by n - 1. In training batch norm takes the biased variance, by n: `unbiased=False`.",
        ),
        (
            _normalise(x, gamma, beta, eps, root="outside"),
            "eps is outside the square root. It is added to the variance, not to the standard deviation.",
        ),
        (
            _normalise(x, gamma, beta, eps, dims=(2, 3)),
            "each picture has a mean of its own here. Batch norm takes one for the whole batch.",
        ),
        (
            _normalise(x, gamma, beta, eps, dims=(0,)),
            "each place has a mean of its own here. A channel has one mean, over all of its places.",
        ),
        (
            _normalise(x, gamma, beta, eps, dims=(1,)),
            "you took the mean over the channels. It is channels that keep their own; `dim` names what goes.",
        ),
        (
            _normalise(x, gamma, beta, eps, dims=(0, 1, 2, 3)),
            "one mean for all channels together. Each channel has its own.",
        ),
        (
            _normalise(x, gamma, beta, eps, root="none"),
            "you divide by the variance. Its square root is missing.",
        ),
        (
            _normalise(x, gamma, beta, eps, root="no eps"),
            "the eps that is given has no say. It keeps a constant channel from being divided by 0; add it "
            "to the variance.",
        ),
        (
            _normalise(x, gamma, beta, eps, dims=(1, 2, 3)),
            "each picture has one mean for all of its channels. A channel has one, for all pictures.",
        ),
        (
            gamma.view(1, -1, 1, 1)
            * (x - x.mean((0, 2, 3), keepdim=True))
            * (x.var((0, 2, 3), keepdim=True, unbiased=False) + eps).sqrt()
            + beta.view(1, -1, 1, 1),
            "you multiplied by the root of the variance. Divide.",
        ),
        (
            _normalise(x, gamma, beta, eps, dims=(0, 2)),
            "each column has a mean of its own: dim 3 is missing.",
        ),
        (
            _normalise(x, gamma, beta, eps, dims=(0, 3)),
            "each row has a mean of its own: dim 2 is missing.",
        ),
        (_normalise(x, beta, gamma, eps), "gamma and beta have changed places: gamma is the scale."),
        (_normalise(x, gamma, -beta, eps), "you subtracted beta. It is added."),
        (
            gamma.view(1, -1, 1, 1) * (_normalise(x, ones, zeros, eps) + beta.view(1, -1, 1, 1)),
            "gamma scales beta too. Scale first, then add beta.",
        ),
        (
            _normalise(x, gamma, zeros, eps)
            + beta.view(1, -1, 1, 1) / (x.var((0, 2, 3), keepdim=True, unbiased=False) + eps).sqrt(),
            "beta is divided by the standard deviation too. It is added last.",
        ),
        (
            gamma.view(1, -1, 1, 1) * x / (x.var((0, 2, 3), keepdim=True, unbiased=False) + eps).sqrt()
            + beta.view(1, -1, 1, 1),
            "no mean was subtracted.",
        ),
        (
            gamma.view(1, -1, 1, 1) * (x - x.mean((0, 2, 3), keepdim=True)) + beta.view(1, -1, 1, 1),
            "the mean is gone, but nothing is divided by the standard deviation.",
        ),
        (
            gamma.view(1, -1, 1, 1)
            * (x - x.mean((0, 2, 3), keepdim=True))
            / (x.std((0, 2, 3), keepdim=True) + eps)
            + beta.view(1, -1, 1, 1),
            "`std` divides by n - 1 unless told not to, and eps belongs under the root: `(var + eps).sqrt()`",
        ),
        (_normalise(x, ones, zeros, eps), "gamma and beta have no say: scale and shift come last."),
        (_normalise(x, ones, beta, eps), "gamma has no say."),
        (_normalise(x, gamma, zeros, eps), "beta has no say."),
    )
    for wrong, why in reasons:
        if _same(got, wrong, 1e-5):
            raise NotYet(why)
    raise NotYet(
        "the shape is right and the numbers are not. For one channel c take `x[:, c]`: subtract its mean, "
        "divide by the root of its variance plus eps, times gamma[c], plus beta[c]."
    )


def _centres_its_input(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    var = x.var((0, 2, 3), keepdim=True, unbiased=False)
    x -= x.mean((0, 2, 3), keepdim=True)
    return gamma.view(1, -1, 1, 1) * x / (var + eps).sqrt() + beta.view(1, -1, 1, 1)


# --- 03.4 batch normalisation folded into the convolution


def _lived_in(bn: nn.BatchNorm2d, seed: int) -> nn.BatchNorm2d:
    """Scales, shifts and running statistics as training leaves them: none of them 1 or 0."""
    generator = torch.Generator().manual_seed(seed)
    for tensor, low, high in (
        (bn.weight, 0.5, 1.5),
        (bn.bias, -1.0, 1.0),
        (bn.running_mean, -1.0, 1.0),
        (bn.running_var, 0.3, 2.0),
    ):
        if tensor is not None:
            nn.init.uniform_(tensor, low, high, generator=generator)
    return bn.eval()


def _folded(
    weight: Tensor, bn: nn.BatchNorm2d, *, root: str = "inside", axis: int = 0, bias: str = "right"
) -> tuple[Tensor, Tensor]:
    if bn.running_var is None or bn.running_mean is None:
        raise ValueError("a batch normalisation with running statistics is needed")
    with torch.no_grad():
        bottom = {
            "inside": (bn.running_var + bn.eps).sqrt(),
            "outside": bn.running_var.sqrt() + bn.eps,
            "none": bn.running_var + bn.eps,
            "no eps": bn.running_var.sqrt(),
        }[root]
        scale = bn.weight / bottom
        shift = {
            "right": bn.bias - bn.running_mean * scale,
            "plus": bn.bias + bn.running_mean * scale,
            "no mean": bn.bias.clone(),
            "unscaled": bn.bias - bn.running_mean,
            "all scaled": (bn.bias - bn.running_mean) * scale,
            "no beta": -bn.running_mean * scale,
            "no gamma": bn.bias - bn.running_mean * scale / bn.weight,
            "gamma only": bn.bias - bn.running_mean * bn.weight,
            "no eps": bn.bias - bn.running_mean * bn.weight / bn.running_var.sqrt(),
            "beta scaled": bn.bias * scale - bn.running_mean,
            "negative": bn.running_mean * scale - bn.bias,
            "zero": torch.zeros_like(scale),
        }[bias]
        return weight * scale.view([-1 if d == axis else 1 for d in range(4)]), shift


def _test_fold(fold: Fold) -> None:
    for channels, out in ((4, 4), (2, 5)):
        weight, bn = _numbers((out, channels, 3, 3), 9), _lived_in(nn.BatchNorm2d(out, eps=0.2), 10)
        before = {name: value.clone() for name, value in bn.state_dict().items()}
        given = weight.clone()
        got = fold(given, bn)
        got = list(got) if isinstance(got, Iterator) else got
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("two things are needed: the new weights and the new bias.")
        new, bias = (part.detach() if isinstance(part, Tensor) else part for part in got)
        _compare_folds(new, bias, weight, bn)
        if any(not torch.equal(value, before[name]) for name, value in bn.state_dict().items()):
            raise NotYet(
                "right, but the batch normalisation itself has changed on the way. Compute new tensors."
            )


def _compare_folds(new: Any, bias: Any, weight: Tensor, bn: nn.BatchNorm2d) -> None:
    if getattr(new, "shape", None) == bn.bias.shape and getattr(bias, "shape", None) == weight.shape:
        raise NotYet("weights and bias have changed places: the weights come first.")
    for part, wanted, name in ((new, weight, "weights"), (bias, bn.bias, "bias")):
        if not isinstance(part, Tensor) or part.shape != wanted.shape:
            if not isinstance(part, Tensor):
                what = "None" if part is None else kind_of(part, "a NumPy array")
                raise NotYet(f"the new {name} should be a tensor, and you return {what}.")
            raise NotYet(
                f"the new {name} should have the shape {tuple(wanted.shape)}, not {tuple(part.shape)}."
            )
    right = _folded(weight, bn)
    if not _same(new, right[0], 1e-5):
        scale = right[0] / weight
        reasons = (
            (
                _folded(weight, bn, root="outside")[0],
                "eps is outside the square root: it is added to running_var, before the root.",
            ),
            (_folded(weight, bn, root="none")[0], "you divide by the variance; its square root is missing."),
            (weight * scale / bn.weight.detach().view(-1, 1, 1, 1), "gamma (`bn.weight`) has no say."),
            (weight, "the weights came back as they were. Each kernel is multiplied by its scale."),
            (
                _folded(weight, bn, root="no eps")[0],
                "in the weights `bn.eps` has no say. It is added to running_var, before the root.",
            ),
            (
                weight * bn.weight.detach().view(-1, 1, 1, 1) ** 2 / (right[0] / weight),
                "you multiplied the weights by the root of the variance. Divide.",
            ),
            (
                right[0] + bn.bias.detach().view(-1, 1, 1, 1),
                "beta was added to the weights. It belongs in the bias alone.",
            ),
            (
                right[0] * bn.weight.detach().view(-1, 1, 1, 1),
                "gamma is in the weights twice.",
            ),
        )
        for wrong, why in reasons:
            if _same(new, wrong, 1e-5):
                raise NotYet(why)
        if weight.shape[0] == weight.shape[1] and _same(new, _folded(weight, bn, axis=1)[0], 1e-5):
            raise NotYet(
                "you scaled the channels that come in. Scales belong to those that go out, axis 0: `view(-1, "
                "1, 1, 1)`."
            )
        raise NotYet("the new weights are wrong: kernel k times gamma[k] / sqrt(running_var[k] + eps).")
    if not _same(bias, right[1], 1e-5):
        for name, why in (
            ("no mean", "the running mean has no say in the bias: it is subtracted before the scale."),
            ("plus", "the mean is subtracted, so it enters the bias with a minus."),
            ("unscaled", "the mean is subtracted *before* the scale, so in the bias it is scaled too."),
            ("all scaled", "beta is added after the scale, so it is not scaled. Only the mean is."),
            ("no beta", "beta (`bn.bias`) has no say in the bias."),
            ("no gamma", "in the bias the mean is scaled as the weights are, by gamma as well."),
            ("gamma only", "in the bias the mean is scaled as the weights are: by gamma *and* by the root."),
            ("no eps", "the bias lacks `bn.eps`. Use the scale of the weights for it."),
            ("beta scaled", "the wrong one is scaled: the mean is, and beta is not."),
            ("negative", "the bias has the wrong sign: beta minus the scaled mean."),
            ("zero", "the bias is zero. Beta and the running mean belong in it."),
        ):
            if _same(bias, _folded(weight, bn, bias=name)[1], 1e-5):
                raise NotYet(why)
        raise NotYet("the weights are right and the bias is not. What does batch norm make of a zero?")


def _scales_in_place(weight: Tensor, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    new, bias = _folded(weight, bn)
    with torch.no_grad():
        weight.copy_(new)
    return weight, bias


# --- 03.5 the bottleneck


class _Block(nn.Module):
    """A bottleneck, right or wrong, with torchvision's names."""

    expansion = 4
    growth, bias, stride_on, padding = 4, False, "conv2", 1
    projects = "always needed"
    projection = "both"
    end = "add, relu"

    def __init__(self, inside: int, width: int, stride: int = 1) -> None:
        super().__init__()
        first, second = (stride, 1) if self.stride_on == "conv1" else (1, stride)
        outside = width * self.growth
        self.conv1 = nn.Conv2d(inside, width, 1, first, bias=self.bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, self.padding, bias=self.bias)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outside, 1, bias=self.bias)
        self.bn3 = nn.BatchNorm2d(outside)
        self.downsample: nn.Module = nn.Identity()
        needed = {"always needed": stride != 1 or inside != outside, "stride only": stride != 1, "ever": True}
        if needed[self.projects]:
            convolution = nn.Conv2d(inside, outside, 1, stride, bias=False)
            self.downsample = {
                "both": nn.Sequential(convolution, nn.BatchNorm2d(outside)),
                "no norm": nn.Sequential(convolution),
                "bare": convolution,
            }[self.projection]

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        y = self.bn1(F.relu(y)) if self.end == "relu, norm" else self.bn1(y)
        y = self.conv2(y if self.end in ("no first relu", "no relus", "relu, norm") else F.relu(y))
        y = self.bn2(F.relu(y)) if self.end == "relu, norm" else self.bn2(y)
        y = self.bn3(self.conv3(y if self.end in ("no second relu", "no relus", "relu, norm") else F.relu(y)))
        short = self.downsample(x)
        return {
            "relu, add": lambda: F.relu(y) + short,
            "relu, add, relu": lambda: F.relu(F.relu(y) + short),
            "add": lambda: y + short,
            "nothing": lambda: None,
            "no shortcut": lambda: F.relu(y),
            "in place": lambda: x.copy_(F.relu(y + short)) if x.shape == y.shape else F.relu(y + short),
        }.get(self.end, lambda: F.relu(y + short))()


def _block(mistake: str, **attributes: Any) -> type[nn.Module]:
    return type(f"Bottleneck_{mistake}", (_Block,), attributes)


def _torchvision_block(inside: int, width: int, stride: int) -> nn.Module:
    from torchvision.models.resnet import Bottleneck

    projection = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        if stride != 1 or inside != 4 * width:
            projection = nn.Sequential(
                nn.Conv2d(inside, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )
        block = Bottleneck(inside, width, stride, projection)
    for number, module in enumerate(block.modules()):
        if isinstance(module, nn.BatchNorm2d):
            _lived_in(module, 100 + number)
    return block.eval()


def _test_bottleneck(block: Any) -> None:
    if not (isinstance(block, type) and issubclass(block, nn.Module)):
        raise NotYet("Give `check` the class itself, without brackets.")
    for inside, width, stride in ((16, 4, 1), (8, 4, 1), (16, 4, 2)):
        _test_one_block(block, inside, width, stride)


def _test_one_block(block: type[nn.Module], inside: int, width: int, stride: int) -> None:
    what = f"a block from {inside} to {4 * width} channels with a stride of {stride}"
    x = _numbers((2, inside, 6, 8), 12)
    failure: Exception | None = None
    first: Any = None
    with torch.random.fork_rng(devices=[]):
        mine = block(inside, width, stride).eval()
    try:
        with torch.no_grad():
            first = mine(x.clone())
    except (RuntimeError, AttributeError, TypeError) as error:
        failure = error
    if not failure and not mine.state_dict():
        tried(first)  # no parts and no result: the stub
    theirs = _torchvision_block(inside, width, stride)
    _compare_parts(mine.state_dict(), theirs.state_dict(), what)
    _compare_strides(mine, stride, what)
    if failure:
        raise NotYet(f"the parts of {what} are right, but `forward` stopped with {failure}")
    if first is None or first is ...:
        raise NotYet("the parts are right, but `forward` gives back None. Does it end with `return …`?")
    mine.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        given = x.clone()
        got, wanted = mine.eval()(given), theirs(x)
        if isinstance(got, Tensor) and _same(got, wanted, 1e-5):
            if not torch.equal(given, x):
                raise NotYet(
                    "the numbers are right, but the block writes into its input `x`. Add with `y + x`, not "
                    "with `+=`."
                )
            return
        if not isinstance(got, Tensor) or got.shape != wanted.shape:
            raise NotYet(f"{what} should give {tuple(wanted.shape)}.")
        for end, why in (
            ("relu, add", "ReLU comes before the addition. Add first, then ReLU."),
            (
                "relu, add, relu",
                "one ReLU too many: bn3 goes into the addition as it is, negative numbers too.",
            ),
            ("add", "the ReLU after the addition is missing."),
            ("no shortcut", "the shortcut is missing: nothing is added."),
            ("no second relu", "the ReLU between bn2 and conv3 is missing."),
            ("no first relu", "the ReLU between bn1 and conv2 is missing."),
            ("no relus", "two ReLUs are missing: after bn1 and after bn2."),
            (
                "relu, norm",
                "ReLU and batch norm have changed places: first bn1, then ReLU, and bn2 likewise.",
            ),
        ):
            with torch.random.fork_rng(devices=[]):
                wrong = _block("", end=end)(inside, width, stride).eval()
            wrong.load_state_dict(theirs.state_dict())
            if _same(got, wrong(x), 1e-5):
                raise NotYet(why)
    raise NotYet(
        f"the parts of {what} are right, but the numbers are not. In order: conv1, bn1, ReLU, conv2, bn2, "
        "ReLU, conv3, bn3, plus the shortcut, ReLU."
    )


def _compare_parts(mine: dict[str, Tensor], theirs: dict[str, Tensor], what: str) -> None:
    missing, extra = theirs.keys() - mine.keys(), mine.keys() - theirs.keys()
    projection_bias = "downsample.0.bias" in extra and "downsample.0.weight" in theirs
    if projection_bias or any(name.startswith("conv") and name.endswith(".bias") for name in extra):
        raise NotYet("a convolution has a bias. Batch norm would subtract it again: `bias=False`.")
    for name in ("conv3.weight", "bn3.weight"):
        if name in mine and mine[name].shape[0] * 4 == theirs[name].shape[0]:
            raise NotYet(
                f"{what}: `{name}` gives as many channels as the 3 × 3. The last convolution widens: 4 times "
                "`width`."
            )
    if missing and all(name.startswith("downsample.1.") for name in missing) and not extra:
        raise NotYet(
            f"the projection of {what} is a convolution alone. A batch norm belongs behind it, as after "
            "every convolution here."
        )
    if extra == {"downsample.weight"} and mine["downsample.weight"].ndim == 4:
        raise NotYet(
            f"`downsample` of {what} is a bare convolution. torchvision's is an `nn.Sequential` of two: a "
            "convolution and a batch norm."
        )
    if missing and all(name.startswith("downsample") for name in missing) and not extra:
        if what.endswith("stride of 1"):
            raise NotYet(
                f"{what} needs a projection, although its stride is 1: the shortcut has too few channels. "
                "The first block of stage 1 is such a one."
            )
        raise NotYet(f"{what} needs a projection: its shortcut is too large to be added.")
    if extra and all(name.startswith("downsample") for name in extra) and not missing:
        raise NotYet(f"{what} needs no projection: the shortcut is the input itself.")
    if missing or extra:
        lacks = f"It lacks {', '.join(sorted(missing)[:3])}. " if missing else ""
        more = f"It has {', '.join(sorted(extra)[:3])} besides. " if extra else ""
        raise NotYet(
            f"{what} does not have torchvision's names, so its weights will not fit. {lacks}{more}The parts "
            "are conv1, bn1, conv2, bn2, conv3, bn3 and downsample, a Sequential of convolution and batch "
            "norm."
        )
    for name, tensor in theirs.items():
        if mine[name].shape != tensor.shape:
            raise NotYet(
                f"{what}: `{name}` has the shape {tuple(mine[name].shape)}, and {tuple(tensor.shape)} is "
                "needed."
            )


def _compare_strides(mine: nn.Module, stride: int, what: str) -> None:
    strides = {name: part.stride for name, part in mine.named_modules() if isinstance(part, nn.Conv2d)}
    if stride > 1 and strides["conv1"] == (stride, stride):
        raise NotYet(
            "the stride is on the first 1 × 1, as in the paper. torchvision's V1.5 has it on the 3 × 3, "
            "`conv2`."
        )
    if strides["conv1"] == strides["conv3"] == (1, 1) and strides["conv2"] != (stride, stride):
        raise NotYet(f"{what}: `conv2` has the stride {strides['conv2'][0]}. It takes the one that is given.")
    if strides["conv2"] != (stride, stride) or strides["conv3"] != (1, 1):
        raise NotYet(f"{what}: it is `conv2` that takes the stride, and no other on this path.")
    if strides.get("downsample.0", (stride, stride)) != (stride, stride):
        raise NotYet(f"{what}: the projection takes the same stride, or it will not fit.")
    padding = mine.get_submodule("conv2").padding
    if padding == (0, 0):
        raise NotYet("the 3 × 3 has no padding of 1, so a pixel is lost at each border.")
    if padding not in ((1, 1), "same"):
        raise NotYet(f"the 3 × 3 has a padding of {padding}. With 1 on each side it keeps the size.")
    for name, part in mine.named_modules():
        if (
            isinstance(part, nn.Conv2d)
            and part.kernel_size == (1, 1)
            and part.padding not in ((0, 0), "same")
        ):
            raise NotYet(f"`{name}` has padding. A 1 × 1 sees one place only and needs none.")
    if any(
        isinstance(part, nn.ReLU) and name.startswith("downsample.") for name, part in mine.named_modules()
    ):
        raise NotYet("the projection has a ReLU. It is added as it is, and the ReLU comes after the sum.")


# --- 03.6 the four stages


class _Recorded(nn.Module):
    """Stands in for a bottleneck: remembers what it was asked for, and costs nothing."""

    expansion = 4

    def __init__(self, inside: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.asked = (inside, width, stride)


_DEPTHS, _WIDTHS = (3, 4, 6, 3), (64, 128, 256, 512)


def _plan(
    depths: Sequence[int] = _DEPTHS,
    strides: Sequence[int] = (1, 2, 2, 2),
    *,
    every: bool = False,
    grows: int = 4,
    last: bool = False,
) -> list[list[tuple[int, int, int]]]:
    stages, inside = [], 64
    for width, depth, stride in zip(_WIDTHS, depths, strides, strict=True):
        stage = []
        for number in range(depth):
            takes = every or number == (depth - 1 if last else 0)
            stage.append((inside, width, stride if takes else 1))
            inside = grows * width
        stages.append(stage)
    return stages


def _stages_of(plan: list[list[tuple[int, int, int]]]) -> Callable[[Any], list[nn.Sequential]]:
    return lambda block: [nn.Sequential(*(block(*asked) for asked in stage)) for stage in plan]


def _shared(block: Any) -> list[nn.Sequential]:
    return [nn.Sequential(block(*stage[0]), *[block(*stage[1])] * (len(stage) - 1)) for stage in _plan()]


def _test_stages(four_stages: Callable[[Any], Any]) -> None:
    try:
        stages = list(tried(four_stages(_Recorded)))
    except TypeError as error:
        advice = "A block is made as `block(inside, width, stride)`."
        if "Module subclass" in str(error):
            advice = "`nn.Sequential` takes blocks that are made, one by one: `nn.Sequential(*blocks)`."
        raise NotYet(f"`four_stages` stopped with {error}. {advice}") from None
    if len(stages) != 4:
        raise NotYet(f"four stages are needed, and there are {len(stages)}.")
    if not all(isinstance(stage, nn.Sequential) for stage in stages):
        other = next(stage for stage in stages if not isinstance(stage, nn.Sequential))
        why = ": a network does not see the weights in a plain list." if isinstance(other, list) else "."
        raise NotYet(f"each stage has to be an `nn.Sequential`, not {kind_of(other)}{why}")
    blocks = [list(stage) for stage in stages]
    got = [[getattr(block, "asked", None) for block in stage] for stage in blocks]
    depths = tuple(map(len, got))
    if depths != _DEPTHS:
        raise NotYet(f"your stages have {depths} blocks. ResNet-50 has {_DEPTHS}.")
    if any(len({id(block) for block in stage}) < len(stage) for stage in blocks):
        raise NotYet(
            "the same block stands in a stage more than once, so its weights are shared. Make a new one each "
            "time."
        )
    if got == _plan():
        return
    for wrong, why in (
        (_plan(every=True), "every block of a stage has a stride of 2. Only the first halves the size."),
        (_plan(strides=(2, 2, 2, 2)), "stage 1 has a stride too. The max pooling before it has just halved."),
        (_plan(strides=(1, 1, 1, 1)), "no block has a stride of 2, so all stages are equally large."),
        (_plan(last=True), "it is the last block that has the stride. The first one takes it."),
        (
            [[(stage[0][0], *rest) for _, *rest in stage] for stage in _plan()],
            "every block of a stage gets the channels that come into the stage. After its first block there "
            "are 4 * width.",
        ),
        (
            [[(64, *rest) for _, *rest in stage] for stage in _plan()],
            "every block gets 64 channels. What comes in has changed with each block before it.",
        ),
        (
            _plan(grows=1),
            "after a block there are `width` channels in your count. There are 4 times as many: `expansion`.",
        ),
    ):
        if got == wrong:
            raise NotYet(why)
    number, (have, want) = next(
        (n, pair)
        for n, pair in enumerate(zip(itertools.chain(*got), itertools.chain(*_plan()), strict=True), 1)
        if pair[0] != pair[1]
    )
    raise NotYet(f"block {number} of 16 is made with (inside, width, stride) = {have}, and {want} is needed.")


# --- 03.7 the proof


class _Toy(nn.Module):
    """Batch norm and dropout, so that the mode shows; `off` is by how much each picture's outputs are off.

    Which picture it is stands in its first pixel, so that it may come in any batch.
    """

    def __init__(self, off: Sequence[Sequence[float]] = (), name: str = "conv") -> None:
        super().__init__()
        self.off, self.name = torch.tensor(off or _EQUAL), name
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(len(off) + len(name))
            setattr(self, name, nn.Conv2d(1, 4, 3))
        self.bn = _lived_in(nn.BatchNorm2d(4), 13)

    def forward(self, x: Tensor) -> Tensor:
        y = F.dropout(self.bn(getattr(self, self.name)(x)), 0.5, self.training).mean(dim=(2, 3))
        return y + torch.tensor((-50.0, 20.0, 2.0, 8.0)) + self.off[x[:, 0, 0, 0].long()]


# Lengths, signs, means, each number's own share: all give something else here than what is asked.
_EQUAL = ((0.0, 0.0, 0.0, 0.0),) * 3
_OFF_ABOVE = ((-1.0, 0.0, 0.2, 5.0), (-1.0, 0.5, 0.0, -1.0), (-1.0, 0.0, 1.5, 0.0))
_OFF_BELOW = ((-1.0, 1.2, 0.0, 0.0), (-1.0, 0.0, 2.0, 0.5), (-1.0, 0.0, 0.2, -6.0))


def _test_prove(prove: Prove) -> None:
    x = _numbers((3, 1, 6, 6), 14)
    x[:, 0, 0, 0] = torch.arange(3.0)
    for off in (_EQUAL, _OFF_BELOW, _OFF_ABOVE):
        mine, theirs = _Toy(off).train(), _Toy().train()
        given, images = theirs.state_dict()["conv.weight"].clone(), x.clone()
        with torch.random.fork_rng(devices=[]):
            got = prove(mine, theirs, images)
        numbers = got.numel() if isinstance(got, Tensor) else np.size(got)
        if isinstance(got, bool | str | tuple | list | dict) or numbers != 1:
            kind = f"a tensor of shape {tuple(got.shape)}" if isinstance(got, Tensor) else kind_of(got)
            raise NotYet(
                "one number is needed, the largest difference as a share of the largest number; you return "
                f"{kind}."
            )
        if mine.training or theirs.training:
            raise NotYet(
                "a network was still in training mode, where batch norm uses the batch and dropout throws "
                "dice: both need `eval()`."
            )
        if not torch.equal(mine.state_dict()["conv.weight"], theirs.state_dict()["conv.weight"]):
            raise NotYet("the two networks have different weights. Load those of one into the other first.")
        if not torch.equal(theirs.state_dict()["conv.weight"], given):
            raise NotYet("the weights of `theirs` have changed: it is `mine` that loads them.")
        fresh = _Toy(off).eval()
        with torch.no_grad():
            if abs(float(got) - _difference(fresh(x), theirs(x), "share")) < 1e-6:
                raise NotYet("the networks ran before the weights were loaded. Load them first.")
        _compare_proofs(float(got.detach() if isinstance(got, Tensor) else got), mine, theirs, x)
    try:
        prove(_Toy(name="convolution").train(), _Toy().train(), x)
    except (NotTried, NotYet):
        raise
    except Exception:  # whatever the student raises, `assert` included
        return
    raise NotYet(
        "two networks whose parts have other names went through without an error. Then some weights were not "
        "loaded, and nobody noticed: `strict=True`."
    )


def _compare_proofs(got: float, mine: nn.Module, theirs: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        a, b = mine.eval()(x), theirs.eval()(x)
    wanted = _difference(a, b, "share")
    if abs(got - wanted) < 1e-5:
        return
    for end, why in (
        (
            "absolute",
            "that is the largest difference itself. As a share, it is divided by the largest number.",
        ),
        ("signed", "differences have a sign, and the negative ones hide from `max()`. Take `abs()` first."),
        ("signed by signed", "neither difference nor number is without its sign: both need `abs()` first."),
        (
            "by signed",
            "you divide by the largest number above zero. A larger one lies below: `b.abs().max()`.",
        ),
        (
            "signed the other way",
            "`max()` passes over what lies below zero, whichever way you subtract. Take `abs()` first.",
        ),
        ("percent", "that is in percent. As a share it is a hundredth of that."),
        ("first", "only the first picture counts. The largest difference may be in any."),
        (
            "by picture",
            "each picture's difference is divided by its own largest number. Divide by the largest of all.",
        ),
        ("maxima", "that is the difference of the two largest numbers, which may stand in different places."),
        ("mean", "that is the mean difference. One wrong number of 2048 would hide in it: take the largest."),
        ("mean by mean", "you divide means. One wrong number of 2048 would hide in them: take the largest."),
        ("norm", "these are lengths (norms). One wrong number of 2048 would hide in them: take the largest."),
        (
            "each",
            "each difference is divided by its own number, so one that is nearly 0 makes much of a rounding "
            "error. Divide by the largest number of `theirs`.",
        ),
        (
            "mean of each",
            "that is the mean of shares, each of its own number. Take the largest difference, and divide it "
            "by the largest number.",
        ),
        ("by mine", "you divide by the largest number of `mine`. It is `theirs` that is the reference."),
    ):
        if abs(got - _difference(a, b, end)) < 1e-5:
            raise NotYet(why)
    raise NotYet(
        f"you return {got:.5g}, and {wanted:.5g} is right for two networks that differ by a known share."
    )


def _difference(a: Tensor, b: Tensor, end: str) -> float:
    d = a - b
    return float(
        {
            "share": lambda: d.abs().max() / b.abs().max(),
            "absolute": lambda: d.abs().max(),
            "signed": lambda: d.max() / b.abs().max(),
            "signed by signed": lambda: d.max() / b.max(),
            "by signed": lambda: d.abs().max() / b.max(),
            "signed the other way": lambda: (-d).max() / b.abs().max(),
            "percent": lambda: 100 * d.abs().max() / b.abs().max(),
            "first": lambda: d[0].abs().max() / b.abs().max(),
            "by picture": lambda: (d.abs().amax(1) / b.abs().amax(1)).max(),
            "maxima": lambda: (a.abs().max() - b.abs().max()).abs() / b.abs().max(),
            "mean": lambda: d.abs().mean() / b.abs().max(),
            "mean by mean": lambda: d.abs().mean() / b.abs().mean(),
            "norm": lambda: d.norm() / b.norm(),
            "each": lambda: (d / b).abs().max(),
            "mean of each": lambda: (d / b).abs().mean(),
            "by mine": lambda: d.abs().max() / a.abs().max(),
        }[end]()
    )


def _proof(
    mine: nn.Module,
    theirs: nn.Module,
    images: Tensor,
    *,
    evaluate: bool = True,
    strict: bool = True,
    load: bool = True,
    end: str = "share",
) -> float:
    if load:
        mine.load_state_dict(theirs.state_dict(), strict=strict)
    if evaluate:
        mine.eval()
        theirs.eval()
    with torch.no_grad():
        a, b = mine(images), theirs(images)
    return _difference(a, b, end)


# --- 03.8 all of it from memory


def _reference() -> nn.Module:
    """torchvision's whole ResNet-50, every scale, shift and statistic drawn."""
    from torchvision.models import resnet50

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(15)
        network = resnet50(weights=None)
    for number, module in enumerate(network.modules()):
        if isinstance(module, nn.BatchNorm2d):
            _lived_in(module, 200 + number)
    return network.eval()


def _test_from_memory(from_memory: Callable[[], Any]) -> None:
    with torch.random.fork_rng(devices=[]):
        mine = from_memory()
    if isinstance(mine, type):
        raise NotYet("you return a class. Make a network of it: `return Network()`.")
    if not isinstance(mine, nn.Module):
        raise NotYet(f"an `nn.Module` is needed, and you return a {type(mine).__name__}.")
    theirs = _reference()
    _compare_networks(mine.state_dict(), theirs.state_dict())
    mine.load_state_dict(theirs.state_dict(), strict=True)
    x = _numbers((2, 3, 96, 64), 16)
    mine.eval()
    seen, wanted = _numbers_on_the_way(mine), _numbers_on_the_way(theirs)
    failure: Exception | None = None
    got = None
    with torch.no_grad():
        try:
            got = mine(x.clone())
        except Exception as error:
            failure = error
        right = theirs(x)
    if isinstance(got, Tensor) and _same(got, right, 1e-4):
        return
    _find_the_place(seen, wanted, mine, failure)
    if failure:
        raise NotYet(f"torchvision's weights load, but `forward` stopped with {failure}")
    if isinstance(got, Tensor) and _same(got, right.softmax(dim=1), 1e-4):
        raise NotYet("a softmax comes last. torchvision's network ends with the numbers of `fc` as they are.")
    if not isinstance(got, Tensor) or got.shape != right.shape:
        raise NotYet(f"pictures {tuple(x.shape)} should give {tuple(right.shape)}, a number for each class.")
    raise NotYet("torchvision's weights load and every part is right, but what `forward` returns is not.")


def _compare_networks(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    missing, extra = theirs.keys() - mine.keys(), mine.keys() - theirs.keys()
    biases = sorted(name for name in extra if name.endswith(".bias") and name[:-4] + "weight" in theirs)
    if biases:
        raise NotYet(
            f"`{biases[0].removesuffix('.bias')}` has a bias, and torchvision's has none: `bias=False`."
        )
    if missing == {"fc.weight", "fc.bias"} and not extra:
        raise NotYet("the classifier `fc` is missing: a linear layer from 2048 numbers to 1000.")
    if not mine:
        raise NotYet("your network has no weights. Are its parts attributes, such as `self.conv1`?")
    lost = [f"layer{n}" for n in (1, 2, 3, 4) if not any(name.startswith(f"layer{n}.") for name in mine)]
    if lost and not extra:
        raise NotYet(
            f"the network does not see the weights of {', '.join(lost)}. In a plain list they are hidden: "
            "`nn.Sequential` registers them."
        )
    if missing or extra:
        lacks = f"It lacks {', '.join(sorted(missing)[:2])} ({len(missing)} in all). " if missing else ""
        more = f"It has {', '.join(sorted(extra)[:2])} ({len(extra)} in all), which torchvision's lacks. "
        raise NotYet(f"the state dict does not fit. {lacks}{more if extra else ''}".strip())
    for name, tensor in theirs.items():
        if mine[name].shape != tensor.shape:
            raise NotYet(
                f"`{name}` has the shape {tuple(mine[name].shape)}, and torchvision's {tuple(tensor.shape)}."
            )


def _numbers_on_the_way(network: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Return a dict that a run fills: by the name of a part, what went in and what came out."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def before(name: str) -> Callable[..., None]:
        return lambda _module, given: found.update({name: (given[0].clone(), torch.empty(0))})

    def after(name: str) -> Callable[..., None]:
        return lambda _module, given, result: found.update({name: (given[0].clone(), result.clone())})

    parts = [
        "conv1",
        "bn1",
        *(f"layer{n}.{k}" for n, depth in enumerate(_DEPTHS, 1) for k in range(depth)),
        "fc",
    ]
    for part in parts:
        network.get_submodule(part).register_forward_pre_hook(before(part))
        network.get_submodule(part).register_forward_hook(after(part))
    return found


def _find_the_place(
    seen: Mapping[str, tuple[Tensor, Tensor]],
    wanted: Mapping[str, tuple[Tensor, Tensor]],
    mine: nn.Module,
    failure: Exception | None,
) -> None:
    """Raise what is wrong with the first part whose numbers differ from torchvision's."""
    for name in wanted:
        if name not in seen:
            if failure:
                return
            raise NotYet(f"`forward` never runs `{name}`.")
        (given, result), (right_given, right_result) = seen[name], wanted[name]
        if not _same(given, right_given, 1e-4):
            _explain_what_went_in(name, given, right_given, wanted)
        if failure and not len(result):
            return
        if not _same(result, right_result, 1e-4):
            block = mine.get_submodule(name)
            on_first = getattr(getattr(block, "conv1", None), "stride", None) == (2, 2)
            if name.startswith("layer") and on_first:
                raise NotYet(
                    f"`{name}` has its stride on the first 1 × 1, as in the paper. torchvision's V1.5 has it "
                    "on the 3 × 3."
                )
            shapes = ""
            if result.shape != right_result.shape:
                shapes = f" Its shape is {tuple(result.shape)}; {tuple(right_result.shape)} is needed."
            raise NotYet(
                f"all is right up to `{name}`: it gets the right numbers and makes wrong ones of "
                f"them.{shapes}"
            )


def _explain_what_went_in(
    name: str, given: Tensor, right: Tensor, wanted: Mapping[str, tuple[Tensor, Tensor]]
) -> None:
    if name == "layer1.0":
        stem = wanted["bn1"][1]
        for wrong, why in (
            (F.relu(stem), "the max pooling of the stem is missing: 3 × 3, stride 2, padding 1."),
            (
                F.max_pool2d(stem, 3, 2, 1),
                "the ReLU of the stem is missing, between `bn1` and the max pooling.",
            ),
            (F.max_pool2d(F.relu(stem), 3, 2), "the stem's max pooling has no padding; it needs 1."),
            (F.max_pool2d(F.relu(stem), 2, 2), "the stem's max pooling is 2 × 2; it should be 3 × 3."),
            (F.avg_pool2d(F.relu(stem), 3, 2, 1), "the stem takes the mean of each window, not its largest."),
        ):
            if _same(given, wrong, 1e-4):
                raise NotYet(why)
        raise NotYet("between `bn1` and the first block there are ReLU and max pooling (3 × 3, 2, 1).")
    if name == "fc":
        last = wanted["layer4.2"][1]
        if given.ndim == 4:
            raise NotYet("`fc` gets maps. It wants (N, 2048): `flatten(1)`, or a mean that drops its axes.")
        if _same(given, last.amax(dim=(2, 3)), 1e-4):
            raise NotYet(
                "you pool the last maps by their largest number. ResNet-50 takes the mean of each map."
            )
        raise NotYet("between `layer4` and `fc` there is one thing: the mean of each map over its places.")
    raise NotYet(f"`{name}` gets numbers that are not what the part before it should hand on.")


class _Network(nn.Module):
    """A ResNet-50 with torchvision's parts; its mistakes are in the parts, or in how it is run."""

    def __init__(self, pool: str = "mean", flat: bool = True, plain_lists: bool = False) -> None:
        super().__init__()
        network = _reference()
        self.pool, self.flat = pool, flat
        for name, part in network.named_children():
            setattr(self, name, [part] if plain_lists and name.startswith("layer") else part)

    def forward(self, x: Tensor) -> Tensor:
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(name)(x)
        x = x.mean((2, 3)) if self.pool == "mean" else x.amax((2, 3))
        result: Tensor = self.get_submodule("fc")(x if self.flat else x[:, :, None, None])
        return result


def _spoilt(**parts: Any) -> Callable[[], nn.Module]:
    """A function that returns torchvision's network with other parts; `None` leaves one out."""

    def make() -> nn.Module:
        network = _reference()
        for name, part in parts.items():
            setattr(network, name, part() if isinstance(part, type) else part)
        return network

    return make


def _renamed() -> nn.Module:
    network = _Network()
    network.classifier = network.fc
    del network.fc
    return network


def _with_softmax() -> nn.Module:
    network = _reference()
    network.register_forward_hook(lambda _module, _given, result: result.softmax(dim=1))
    return network


def _as_in_the_paper() -> nn.Module:
    network = _reference()
    for module in network.modules():
        conv = getattr(module, "conv2", None)
        if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2):
            module.get_submodule("conv1").stride, conv.stride = (2, 2), (1, 1)  # type: ignore[assignment]
    return network


EXERCISES = (
    Exercise(
        id="03.1",
        title="Convolution by hand",
        minutes=10,
        test=_test_convolve,
        buys="you have written the operation that does nearly all of ResNet-50's arithmetic.",
        hints=(
            "Pad first, then forget about the padding. Result (i, j) of every map comes from one window of "
            "x.",
            "The window of (i, j) starts at row i * stride and column j * stride and has the kernel's size. "
            "There are (size - k) // stride + 1 places for it.",
            "`window = x[:, i * stride : i * stride + k, j * stride : j * stride + k]`, and `result[:, i, "
            "j] = (kernels * window).sum(axis=(1, 2, 3))`.",
        ),
        planted=(
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels[:, :, ::-1, ::-1], stride, padding),
                "flipped the kernel",
                "the kernel is flipped",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels.transpose(0, 1, 3, 2), stride, padding),
                "transposed the kernel",
                "the kernel is transposed",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding).transpose(0, 2, 1),
                "rows and columns of the result swapped",
                "have changed places",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x[:1], kernels[:, :1], stride, padding),
                "only the first channel",
                "only the first channel counts",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, 0),
                "forgot the padding",
                "as if there were no padding",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, 1, padding),
                "forgot the stride",
                "as if the stride were 1",
            ),
            Planted(
                lambda x, kernels, stride, padding: _plain_loop(x, kernels, stride, padding, step=1),
                "stride in the shape only",
                "the window moves by 1",
            ),
            Planted(
                lambda x, kernels, stride, padding: _plain_loop(x, kernels, stride, padding, less=1),
                "one place too few",
                "a row and a column are missing",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding, "edge"),
                "padded with the border",
                "copies of the border",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding, "reflect"),
                "padded with a mirror image",
                "a mirror image of the picture",
            ),
            Planted(
                lambda x, kernels, stride, padding: _plain_loop(x, kernels, stride, padding, room=padding),
                "padded the channels too",
                "pads every axis",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding).tolist(),
                "nested lists",
                "they come as a list",
            ),
            Planted(_scales_kernels, "changed its kernels", "your function changes kernels where"),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding) / kernels[0].size,
                "mean in place of sum",
                "the mean of the products",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding)[0],
                "one kernel only",
                "one map for each kernel",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding)[None],
                "left the axis of pictures",
                "an axis too many in front",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, 1),
                "padded by 1 in any case",
                "as if there were a padding of 1",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding, "ones"),
                "padded with ones",
                "padded with ones",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding).astype(int),
                "whole numbers",
                "fractions were cut off",
            ),
            Planted(
                lambda x, kernels, stride, padding: _conv(x, kernels, stride, padding) / len(x),
                "mean over the channels",
                "the mean over the channels",
            ),
        ),
    ),
    Exercise(
        id="03.2",
        title="Size, receptive field, jump",
        minutes=6,
        test=_test_through,
        buys="from a list of layers you know what a number at its end can have seen.",
        hints=(
            "Start with field 1 and jump 1, and take the layers one by one. Which of the three needs the "
            "jump of before?",
            "Size: (size + 2 * padding - kernel) // stride + 1. The field grows by (kernel - 1) * jump.",
            "In the loop: `size = (size + 2 * padding - kernel) // stride + 1`, `field += (kernel - 1) * "
            "jump`, `jump *= stride`, in this order.",
        ),
        planted=(
            Planted(
                lambda layers, size: _recursion(layers, size, first="jump"),
                "jump updated first",
                "Update the field first",
            ),
            Planted(
                lambda layers, size: _recursion(layers, size, whole=True), "k in place of k - 1", "not k."
            ),
            Planted(
                lambda layers, size: _recursion(layers, size, start=0), "field starts at 0", "starts at 1"
            ),
            Planted(lambda layers, size: _recursion(layers, size, plus=0), "forgot the + 1", "one too small"),
            Planted(
                lambda layers, size: _recursion(layers, size, sides=1), "padding once", "it counts twice"
            ),
            Planted(lambda layers, size: _recursion(layers, size, ceil=True), "rounded up", "rounds down."),
            Planted(
                lambda layers, size: _recursion(layers, size, adds=True),
                "added the strides",
                "jumps multiply",
            ),
            Planted(
                lambda layers, size: (
                    _geometry(layers, size)[0],
                    _geometry(layers, size)[2],
                    _geometry(layers, size)[1],
                ),
                "jump before field",
                "in another order",
            ),
            Planted(
                lambda layers, size: _recursion(layers[::-1], size),
                "from the last layer to the first",
                "A picture meets the first one first",
            ),
            Planted(_uses_up, "used the list up", "your function changes layers where"),
            Planted(
                lambda layers, size: (
                    _geometry(layers, size)[0],
                    1 + sum(kernel - 1 for kernel, _, _ in layers),
                    _geometry(layers, size)[2],
                ),
                "no jump in the field",
                "the jump has no say",
            ),
            Planted(
                lambda layers, size: _geometry(layers[:1], size), "return in the loop", "inside the loop"
            ),
            Planted(
                lambda layers, size: (
                    _geometry(layers, size)[0],
                    math.prod(kernel for kernel, _, _ in layers),
                    _geometry(layers, size)[2],
                ),
                "multiplied the kernels",
                "kernels do not multiply",
            ),
            Planted(
                lambda layers, size: (
                    _geometry(layers, size)[0],
                    min(size, _geometry(layers, size)[1]),
                    _geometry(layers, size)[2],
                ),
                "no field beyond the picture",
                "you cut the field off",
            ),
            Planted(
                lambda layers, size: (
                    _sizes(layers, size, lambda n, k, s, p: (n + 2 * p - k + 1) // s),
                    *_geometry(layers, size)[1:],
                ),
                "+ 1 before the division",
                "the + 1 was divided",
            ),
        ),
    ),
    Exercise(
        id="03.3",
        title="Batch normalisation in training",
        minutes=6,
        test=_test_batch_norm,
        buys="that is Algorithm 1 of Ioffe and Szegedy, to the last digit of torch's own.",
        hints=(
            "A channel has one mean and one variance, over the pictures and all places: which axes go?",
            "`x.mean(dim=(0, 2, 3), keepdim=True)` keeps the shape (1, C, 1, 1). The variance is the biased "
            "one.",
            "`(x - mean) / (var + eps).sqrt()`, times `gamma.view(1, -1, 1, 1)`, plus `beta.view(1, -1, 1, "
            "1)`.",
        ),
        planted=(
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps, unbiased=True),
                "unbiased variance",
                "you divide by n - 1",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps, root="outside"),
                "eps outside the root",
                "eps is outside",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps, dims=(2, 3)),
                "a mean for each picture",
                "each picture has a mean",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps, dims=(0,)),
                "a mean for each place",
                "each place has a mean",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps, dims=(1,)),
                "wrong axis",
                "the mean over the channels",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps, dims=(0, 1, 2, 3)),
                "one mean for all",
                "for all channels together",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps, root="none"),
                "divided by the variance",
                "you divide by the variance",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps, root="no eps"),
                "forgot eps",
                "the eps that is given",
            ),
            Planted(_centres_its_input, "changed its input", "your function changes x where"),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma.pow(0), 0 * beta, eps),
                "forgot gamma and beta",
                "gamma and beta have no say",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, beta, gamma, eps),
                "swapped gamma and beta",
                "have changed places",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta * gamma, eps),
                "scaled beta",
                "gamma scales beta too",
            ),
            Planted(
                lambda x, gamma, beta, eps: _normalise(x, gamma, beta, eps).numpy(),
                "a NumPy array",
                "you return a NumPy array",
            ),
        ),
    ),
    Exercise(
        id="03.4",
        title="Batch normalisation folded into the convolution",
        minutes=6,
        test=_test_fold,
        buys="at inference batch norm costs nothing: the course's extractor folds every pair.",
        hints=(
            "In evaluation batch norm is, for each channel, times a scale and plus a shift. What are the "
            "two?",
            "scale = gamma / sqrt(running_var + eps). The kernels that *make* channel k are weight[k].",
            "`weight * scale.view(-1, 1, 1, 1)` and `bn.bias - bn.running_mean * scale`.",
        ),
        planted=(
            Planted(
                lambda weight, bn: _folded(weight, bn, root="outside"),
                "eps outside the root",
                "eps is outside",
            ),
            Planted(lambda weight, bn: _folded(weight, bn, root="none"), "no root", "square root is missing"),
            Planted(
                lambda weight, bn: (
                    _folded(weight, bn, axis=1) if weight.shape[0] == weight.shape[1] else None
                ),
                "wrong axis",
                "the channels that come in",
            ),
            Planted(
                lambda weight, bn: _folded(weight, bn, bias="no mean"),
                "forgot the running mean",
                "the running mean has no say",
            ),
            Planted(lambda weight, bn: _folded(weight, bn, bias="plus"), "sign", "with a minus"),
            Planted(
                lambda weight, bn: _folded(weight, bn, bias="unscaled"),
                "mean not scaled",
                "in the bias it is scaled too",
            ),
            Planted(
                lambda weight, bn: _folded(weight, bn, bias="all scaled"),
                "beta scaled too",
                "it is not scaled",
            ),
            Planted(
                lambda weight, bn: (weight, _folded(weight, bn)[1]), "bias only", "came back as they were"
            ),
            Planted(_scales_in_place, "scaled in place", "your function changes weight where"),
            Planted(lambda weight, bn: _folded(weight, bn)[::-1], "swapped", "the weights come first"),
            Planted(
                lambda weight, bn: _folded(weight, bn, root="no eps"), "forgot eps", "in the weights `bn.eps`"
            ),
            Planted(
                lambda weight, bn: _folded(weight, bn, bias="no beta"),
                "forgot beta",
                "beta (`bn.bias`) has no",
            ),
            Planted(
                lambda weight, bn: _folded(weight, bn, bias="gamma only"),
                "no root in the bias",
                "by gamma *and* by the root",
            ),
        ),
    ),
    Exercise(
        id="03.5",
        title="The bottleneck",
        minutes=10,
        test=_test_bottleneck,
        buys="sixteen of these are ResNet-50, and torchvision's weights fit into yours.",
        hints=(
            "Six layers with torchvision's names: conv1 and bn1 to conv3 and bn3. Which has the stride, and "
            "which gives 4 * width channels? When can the input not be added as it is?",
            "`nn.Conv2d(width, width, 3, stride, padding=1, bias=False)` is conv2. The projection is "
            "`nn.Sequential(nn.Conv2d(inside, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * "
            "width))`.",
            "It is needed if `stride != 1 or inside != 4 * width`; else `nn.Identity()`. At the end: "
            "`return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))`.",
        ),
        planted=(
            Planted(
                _block("paper", stride_on="conv1"), "stride on the first 1 × 1", "the stride is on the first"
            ),
            Planted(
                _block("early_relu", end="relu, add"),
                "ReLU before the addition",
                "ReLU comes before the addition",
            ),
            Planted(_block("no_relu", end="add"), "no ReLU after it", "after the addition is missing"),
            Planted(_block("two_relus", end="relu, add, relu"), "ReLU before and after", "one ReLU too many"),
            Planted(
                _block("no_projection", projects="stride only"),
                "no projection in stage 1",
                "although its stride is 1",
            ),
            Planted(_block("always", projects="ever"), "a projection everywhere", "needs no projection"),
            Planted(
                _block("no_norm", projection="no norm"),
                "a projection without batch norm",
                "A batch norm belongs behind it",
            ),
            Planted(
                _block("bare", projection="bare"),
                "a projection that is a convolution only",
                "is a bare convolution",
            ),
            Planted(_block("in_place", end="in place"), "changed its input", "writes into its input"),
            Planted(_block("narrow", growth=1), "expansion forgotten", "The last convolution widens"),
            Planted(_block("bias", bias=True), "biases", "Batch norm would subtract it again"),
            Planted(_block("no_shortcut", end="no shortcut"), "no shortcut", "nothing is added"),
            Planted(_block("unpadded", padding=0), "no padding", "no padding of 1"),
            Planted(
                _block("one_relu", end="no second relu"), "second ReLU forgotten", "between bn2 and conv3"
            ),
            Planted(
                _block("late_relu", end="no first relu"), "first ReLU forgotten", "between bn1 and conv2"
            ),
            Planted(_block("linear", end="no relus"), "both ReLUs forgotten", "two ReLUs are missing"),
            Planted(
                _block("relu_first", end="relu, norm"), "ReLU before batch norm", "ReLU and batch norm have"
            ),
            Planted(_block("silent", end="nothing"), "no return", "`forward` gives back None"),
        ),
    ),
    Exercise(
        id="03.6",
        title="Four stages",
        minutes=6,
        test=_test_stages,
        buys="with another list of depths the same function builds ResNet-101 or ResNet-152.",
        hints=(
            "The first block of a stage is special: other channels come in, and it has the stride.",
            "Keep `inside`, 64 at first, and after each stage set it to `width * block.expansion`.",
            "`first = block(inside, width, stride)`, then `inside = width * block.expansion`, then "
            "`nn.Sequential(first, *[block(inside, width) for _ in range(depth - 1)])`.",
        ),
        planted=(
            Planted(_stages_of(_plan(every=True)), "stride in every block", "Only the first halves"),
            Planted(_stages_of(_plan(strides=(2, 2, 2, 2))), "stride in stage 1", "stage 1 has a stride too"),
            Planted(_stages_of(_plan(strides=(1, 1, 1, 1))), "no strides", "no block has a stride"),
            Planted(_stages_of(_plan(grows=1)), "expansion forgotten", "4 times as many"),
            Planted(_stages_of(_plan(depths=(3, 4, 23, 3))), "ResNet-101", "ResNet-50 has"),
            Planted(_stages_of(_plan(last=True)), "stride in the last block", "it is the last block"),
            Planted(_shared, "one block, repeated", "its weights are shared"),
            Planted(
                lambda block: [list(stage) for stage in _stages_of(_plan())(block)],
                "plain lists",
                "in a plain list",
            ),
            Planted(
                _stages_of([[(stage[0][0], width, step) for _, width, step in stage] for stage in _plan()]),
                "`inside` changes with the stage only",
                "that come into the stage",
            ),
        ),
    ),
    Exercise(
        id="03.7",
        title="The proof",
        minutes=4,
        test=_test_prove,
        buys="you need not believe that two networks are the same. You can show it.",
        hints=(
            "Two networks can only be compared with the same weights, and in the mode in which they are "
            "used.",
            "`mine.load_state_dict(theirs.state_dict())` and `eval()` for both; then no gradients are "
            "needed.",
            "`a, b = mine(images), theirs(images)`, and `return ((a - b).abs().max() / "
            "b.abs().max()).item()`.",
        ),
        planted=(
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, evaluate=False),
                "eval forgotten",
                "still in training mode",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, strict=False),
                "strict=False",
                "nobody noticed",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, load=False),
                "weights not loaded",
                "different weights",
            ),
            Planted(
                lambda mine, theirs, images: _proof(theirs, mine, images),
                "loaded the wrong way",
                "it is `mine` that loads them",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="absolute"),
                "absolute difference",
                "the largest difference itself",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="signed"),
                "no absolute value",
                "differences have a sign",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="mean"),
                "mean difference",
                "that is the mean difference",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="norm"),
                "lengths",
                "these are lengths",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="percent"),
                "percent",
                "that is in percent",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="signed the other way"),
                "no absolute value, the other way round",
                "whichever way you subtract",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="first"),
                "one picture",
                "only the first picture counts",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="by picture"),
                "each picture's own share",
                "by its own largest number",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="each"),
                "each by its own number",
                "divided by its own number",
            ),
            Planted(
                lambda mine, theirs, images: _proof(mine, theirs, images, end="by signed"),
                "divided by the largest number above zero",
                "A larger one lies below",
            ),
        ),
    ),
    Exercise(
        id="03.8",
        title="ResNet-50 from memory",
        minutes=20,
        test=_test_from_memory,
        buys="you can write ResNet-50 from memory: torchvision's weights load, and every number agrees.",
        hints=(
            "Two classes, a block and a network. The network's parts: conv1, bn1, ReLU, max pooling, layer1 "
            "to layer4, mean, fc.",
            "The stem is `nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)`, then `nn.MaxPool2d(3, 2, "
            "padding=1)`. Stages: depths 3, 4, 6, 3, widths 64, 128, 256, 512, strides 1, 2, 2, 2.",
            "An attribute that is an identity adds nothing to the state dict, so `downsample = "
            "nn.Identity()` is fine. The end: `self.fc(x.mean(dim=(2, 3)))` with `self.fc = nn.Linear(2048, "
            "1000)`.",
        ),
        planted=(
            Planted(_spoilt(fc=nn.Identity), "no classifier", "`fc` is missing"),
            Planted(_spoilt(maxpool=nn.Identity), "no max pooling", "max pooling of the stem is missing"),
            Planted(_spoilt(maxpool=nn.MaxPool2d(3, 2)), "pooling without padding", "pooling has no padding"),
            Planted(_spoilt(relu=nn.Identity), "no ReLU in the stem", "the ReLU of the stem is missing"),
            Planted(_spoilt(conv1=nn.Conv2d(3, 64, 7, 2, 3)), "a bias in the stem", "torchvision's has none"),
            Planted(_as_in_the_paper, "the paper's stride", "has its stride on the first 1 × 1"),
            Planted(lambda: _Network(pool="max"), "max in place of mean", "by their largest number"),
            Planted(lambda: _Network(flat=False), "forgot to flatten", "`fc` gets maps"),
            Planted(lambda: _Network(plain_lists=True), "plain lists", "In a plain list they are hidden"),
            Planted(_renamed, "another name for fc", "the state dict does not fit"),
            Planted(_with_softmax, "a softmax at the end", "a softmax comes last"),
        ),
    ),
)
