"""Exercises of lesson 04: three channels, normalisation, the folded stem and its border, bad pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.embedding.backbones import IMAGENET_MEAN, IMAGENET_STD
from course_utils.teaching.exercises import Exercise, NotTried, NotYet, Planted, kind_of

Statistics = Sequence[float]
ToThree = Callable[[Tensor], Tensor]
Normalise = Callable[[Tensor, Statistics, Statistics], Tensor]
FoldWeights = Callable[[Tensor, Statistics, Statistics], tuple[Tensor, Tensor]]
FoldWithOnes = Callable[[Tensor, Statistics, Statistics], Tensor]
Usable = Callable[[Tensor], Tensor]

MEAN, STD = (0.2, 0.3, 0.6), (0.7, 0.4, 0.9)  # made up, all different: no slip goes unseen
OTHER_MEAN, OTHER_STD = (0.6, 0.1, 0.4), (0.3, 0.8, 0.5)


def _tensor(got: Any, shape: Sequence[int]) -> Tensor:
    if isinstance(got, list | tuple) and any(isinstance(each, Tensor) for each in got):
        raise NotYet(
            f"you return a {type(got).__name__} of {len(got)} tensors. Join them: `torch.stack` or "
            "`torch.cat`."
        )
    if not isinstance(got, Tensor):
        kind = "None" if got is None else kind_of(got, "a NumPy array")
        back = " `torch.from_numpy` makes a tensor of it." if isinstance(got, np.ndarray) else ""
        raise NotYet(f"you return {kind}. A tensor of shape {tuple(shape)} is needed.{back}")
    return got


def _pair(out: Any, needed: str) -> tuple[Any, Any]:
    """Two results, which may come as any sequence that can be unpacked."""
    both = list(out) if isinstance(out, Iterator) else out
    if not isinstance(both, tuple | list) or len(both) != 2:
        raise NotYet(needed)
    if all(part is None or part is ... for part in both):
        raise NotTried
    return both[0], both[1]


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _each(statistic: Statistics) -> Tensor:
    return torch.tensor(statistic).view(1, -1, 1, 1)


def _same(got: Tensor, wanted: Tensor) -> bool:
    return got.shape == wanted.shape and torch.allclose(got.to(wanted), wanted, rtol=1e-4, atol=1e-6)


def _name(got: Tensor, known: Mapping[str, Tensor]) -> None:
    """Raise what is said of the first of the known wrong answers that this is."""
    for sentence, wrong in known.items():
        if _same(got, wrong):
            raise NotYet(sentence)


def _first_wrong(got: Tensor, wanted: Tensor, axes: Sequence[str]) -> str:
    """Name the first number that is wrong, what it should be, and what it is."""
    wrong = ~torch.isclose(got.to(wanted), wanted, rtol=1e-4, atol=1e-6)
    place = tuple(wrong.nonzero()[0].tolist())
    where = ", ".join(f"{axis} {n}" for axis, n in zip(axes, place, strict=True) if axis)
    return f"{where}: it should be {wanted[place]:.4f}, and yours is {got[place]:.4f}"


# --- 04.1: to three channels -------------------------------------------------------------------------------


def _test_to_three(to_three: ToThree) -> None:
    for number in (2, 1, 3):
        _test_copies(to_three, _random(number, 1, 4, 5, seed=number))


def _test_copies(to_three: ToThree, gray: Tensor) -> None:
    shape = (len(gray), 3, *gray.shape[2:])
    given = gray.clone()
    _compare_copies(_tensor(to_three(given), shape), gray)


def _compare_copies(got: Tensor, gray: Tensor) -> None:
    number, _, height, width = gray.shape
    shape = (number, 3, height, width)
    came = f"{tuple(gray.shape)} became {tuple(got.shape)}:"
    if got.shape == gray.shape:
        raise NotYet(f"{came} the channel axis is still 1. Which axis is it, counted from 0?")
    if got.shape == (3 * number, 1, height, width) and number > 1:
        raise NotYet(f"{came} there are three times as many pictures. The pictures are dim 0.")
    if got.shape in ((number, 1, 3 * height, width), (number, 1, height, 3 * width)):
        raise NotYet(f"{came} the pictures have grown, but still have one channel. Replicate along dim 1.")
    if got.shape == (number, height, width, 3):
        raise NotYet(f"{came} channels last is what Matplotlib likes. PyTorch wants them at dim 1.")
    if number == 1 and got.ndim == 3:
        raise NotYet(
            f"{came} the axis of pictures is gone. `squeeze()` drops every axis of length 1, so it takes "
            "this one too when there is one picture."
        )
    if got.ndim == 5:
        raise NotYet(
            f"{came} an axis too many. `stack` makes a new one; `cat` joins along one that is there."
        )
    if got.shape != shape:
        raise NotYet(f"{came} it should be {shape}.")
    if got.dtype != gray.dtype:
        raise NotYet(f"{gray.dtype} went in, and {got.dtype} comes out. Leave the kind of number as it is.")
    wanted = torch.cat([gray, gray, gray], dim=1)
    if torch.equal(got, wanted):
        return
    if number > 1 and torch.equal(got, gray.repeat(3, 1, 1, 1).reshape(shape)):
        raise NotYet(
            "the shape is right, and the pictures are mixed: channel 1 of the first is the second picture. "
            "`repeat(3, 1, 1, 1)` repeats along dim 0, and no reshape can sort that out."
        )
    for channel in (1, 2):
        if not got[:, channel].any():
            raise NotYet(f"channel {channel} is all zeros. A picture is gray where all three are *equal*.")
    if torch.allclose(got * 3, wanted, atol=1e-6):
        raise NotYet("you divided by 3. Each channel gets the picture as it is.")
    if torch.equal(got[:, 0], got[:, 1]) and torch.equal(got[:, 0], got[:, 2]):
        raise NotYet("the three channels are equal, but their numbers are not those of the gray picture.")
    raise NotYet("the shape is right, but the channels are not all equal to the gray picture.")


# --- 04.2: normalise ---------------------------------------------------------------------------------------


def _test_normalise(normalise: Normalise) -> None:
    # three columns: so a mean for each channel, laid along the wrong axis, fits without an error
    stored = (255 * _random(2, 3, 4, 3)).to(torch.uint8)
    _test_numbers(normalise, stored, MEAN, STD)
    stored = (255 * _random(1, 3, 5, 6, seed=1)).to(torch.uint8)
    _test_numbers(normalise, stored, OTHER_MEAN, OTHER_STD)


def _test_numbers(normalise: Normalise, stored: Tensor, mean: Statistics, std: Statistics) -> None:
    given = stored.clone()
    got = _tensor(normalise(given, tuple(mean), tuple(std)), stored.shape)
    _compare_numbers(got, stored, mean, std)


def _compare_numbers(got: Tensor, stored: Tensor, mean: Statistics, std: Statistics) -> None:
    if got.shape != stored.shape:
        raise NotYet(
            f"{tuple(stored.shape)} came in and {tuple(got.shape)} went out: it should stay the same."
        )
    x, m, s = stored / 255, _each(mean), _each(std)
    wanted = (x - m) / s
    if not got.is_floating_point():
        raise NotYet(
            f"you return {got.dtype}: what is normalised has fractions and a sign. float32 has both."
        )
    if got.dtype == torch.float16 and torch.allclose(got.float(), wanted, rtol=1e-2, atol=1e-2):
        raise NotYet("float16 keeps three digits. The network's weights are float32: leave it there.")
    if _same(got, wanted):
        if got.dtype != torch.float32:
            raise NotYet(f"the numbers are right, but in {got.dtype}. The network's weights are float32.")
        return
    wrong = {
        "nothing is normalised yet: these are the pixels, from 0 to 1.": x,
        "the pixels go from 0 to 255 and the mean from 0 to 1, so the mean is hardly felt, and the numbers "
        "run "
        "into the hundreds. Bring the pixels to 0 to 1 first.": (stored - m) / s,
        "you normalised first and divided by 255 afterwards. The mean belongs to pixels that *are* between 0 "
        "and 1: the other way round.": (stored - m) / s / 255,
        "you normalised twice. Once is enough: what is normalised has no mean left to take away.": (
            wanted - m
        )
        / s,
        "mean and std have changed places: subtract the mean, divide by the std.": (x - s) / m,
        "you subtracted the mean, and stopped there. The std is missing.": x - m,
        "you divided by the std, but nothing was subtracted.": x / s,
        "you multiplied by the std. Divide.": (x - m) * s,
        "you divided by the variance. The std is given, so do not square it.": (x - m) / s**2,
        "you used ImageNet's statistics in place of those given. Other weights have others: Lite0's are "
        "about "
        "0.498 and 0.502.": (x - _each(IMAGENET_MEAN)) / _each(IMAGENET_STD),
        "you added the mean. Subtract it.": (x + m) / s,
        "`x - mean / std` divides the mean alone. The difference is divided: `(x - mean) / std`.": x - m / s,
        "you divided by 255 twice.": (x / 255 - m) / s,
        "you divided by 256. The largest number of a byte is 255.": (stored / 256 - m) / s,
        "`//` rounds down, so nearly all pixels became 0. Divide with `/`.": (stored // 255 - m) / s,
        "you divided by the largest pixel that happens to be there. 255 is white in every picture.": (
            stored / stored.max() - m
        )
        / s,
        "you brought the mean to 0 to 255, but not the std: both are for pixels from 0 to 1.": (
            stored - 255 * m
        )
        / s,
        "you made one mean and one std of the three. Each channel has its own.": (x - m.mean()) / s.mean(),
        "all channels got the first mean and the first std. Each has its own.": (x - mean[0]) / std[0],
        "red and blue have changed places: the first number belongs to channel 0.": (x - m.flip(1))
        / s.flip(1),
    }
    _name(got, wrong)
    if stored.shape[-1] == 3 and _same(got, (x - torch.tensor(mean)) / torch.tensor(std)):
        raise NotYet(
            "the statistics went along the *columns*: broadcasting starts at the last axis, and this picture "
            "happens to have 3 columns. Give them the shape (1, 3, 1, 1)."
        )
    for axes in ((1, 2, 3), (2, 3), (0, 2, 3), (0, 1, 2, 3)):
        for correction in (0, 1):
            own = x.std(axes, keepdim=True, correction=correction)
            if _same(got, (x - x.mean(axes, keepdim=True)) / own) or _same(got, (x - m) / own):
                raise NotYet(
                    "you used statistics of the picture itself. Then a dark picture and a bright one come "
                    "out alike, and the network was not trained on that. Use those that are given."
                )
    wrong_at = ~torch.isclose(got.to(wanted), wanted, rtol=1e-4, atol=1e-6)
    picture, channel, row, column = wrong_at.nonzero()[0].tolist()
    raise NotYet(
        f"picture {picture}, channel {channel}: a pixel {int(stored[picture, channel, row, column])} with "
        f"mean {mean[channel]} and std {std[channel]} should become "
        f"{wanted[picture, channel, row, column]:.4f}, and yours is {got[picture, channel, row, column]:.4f}."
    )


# --- 04.3: fold the weights --------------------------------------------------------------------------------


def _slices(weight: Tensor, mean: Statistics, std: Statistics) -> tuple[Tensor, Tensor]:
    """The folded slice for the picture and the one for the ones, both (O, 1, k, k)."""
    m, s = _each(mean), _each(std)
    return (weight / s).sum(1, keepdim=True), -(weight * m / s).sum(1, keepdim=True)


def _test_fold(fold: FoldWeights) -> None:
    _test_folded(fold, _random(4, 3, 3, 3) - 0.4, MEAN, STD)
    _test_folded(fold, _random(5, 3, 7, 7, seed=1) - 0.6, OTHER_MEAN, OTHER_STD)


def _test_folded(fold: FoldWeights, weight: Tensor, mean: Statistics, std: Statistics) -> None:
    given = weight.clone()
    _compare_folded(fold(given, tuple(mean), tuple(std)), weight, mean, std)


def _compare_folded(out: Any, weight: Tensor, mean: Statistics, std: Statistics) -> None:
    picture, ones = _slices(weight, mean, std)
    both = _pair(out, "two things are needed, the folded weights and the bias: `return folded, bias`.")
    got, bias = _tensor(both[0], picture.shape), _tensor(both[1], ones.shape[:1])
    if got.shape == ones.shape[:1] and bias.shape == picture.shape:
        raise NotYet("you return the bias first. The weights come first: `return folded, bias`.")
    _test_picture_slice(got, weight, picture, mean, std)
    wanted = ones.sum((1, 2, 3))
    taps = weight.shape[-1] ** 2
    if bias.shape in (ones.shape, ones.shape[:1] + ones.shape[2:]):
        raise NotYet(
            f"the bias has the shape {tuple(bias.shape)}: a number for each weight. It should be one number "
            "per kernel, so sum over rows and columns as well."
        )
    if bias.shape == weight.shape[:2] and _same(bias, -(weight * _each(mean) / _each(std)).sum((2, 3))):
        raise NotYet("the bias has a number for each colour. The three add up: one number per kernel.")
    if bias.shape != wanted.shape:
        raise NotYet(
            f"the bias has the shape {tuple(bias.shape)}. It should be {tuple(wanted.shape)}: sum over "
            "channels, rows and columns (dims 1, 2 and 3), without `keepdim`."
        )
    _name(
        bias,
        {
            "the bias is the right number with the wrong sign: the mean is *subtracted*.": -wanted,
            "the bias lacks the std: it is mean / std, for the whole difference is divided.": -(
                weight * _each(mean)
            ).sum((1, 2, 3)),
            "the bias is zero. Where has the mean gone?": torch.zeros_like(wanted),
            "the bias is the mean over the weights. A convolution adds them up: sum.": wanted / (3 * taps),
            "the bias is a third of what it should be. The three channels add up.": wanted / 3,
            "the bias lacks the mean: these are the folded weights, summed.": -picture.sum((1, 2, 3)),
            "in the bias you divided by the std twice.": -(weight * _each(mean) / _each(std) ** 2).sum(
                (1, 2, 3)
            ),
            "in the bias you multiplied by the std. Divide.": -(weight * _each(mean) * _each(std)).sum(
                (1, 2, 3)
            ),
            "in the bias mean and std have changed places: it is mean / std.": -(
                weight * _each(std) / _each(mean)
            ).sum((1, 2, 3)),
            "the bias is mean / std, summed. The kernel's weights belong in it: what is convolved is a "
            "picture of ones.": -(_each(mean) / _each(std)).sum().expand_as(wanted),
            "the bias is made of one mean for all. Each channel has its own, so take it before the channels "
            "are summed.": -picture.sum((1, 2, 3)) * _each(mean).mean(),
            "the bias is made of folded weights. Each channel has its own mean, so take it before the "
            "channels are summed.": -picture.sum((1, 2, 3)) * _each(mean).sum(),
        },
    )
    _name(bias, {sentence: -both.sum((1, 2, 3)) for sentence, _, both in _laid_wrong(weight, mean, std)})
    if not _same(bias, wanted):
        raise NotYet(f"the weights are right. The bias of {_first_wrong(bias, wanted, ['kernel'])}.")


def _laid_wrong(weight: Tensor, mean: Statistics, std: Statistics) -> list[tuple[str, Tensor, Tensor]]:
    """Sentences, and what becomes of the two sums if the statistics lie along columns or rows of 3 × 3."""
    if weight.shape[-1] != 3:
        return []
    found = []
    for axis, (shape, why) in {
        "columns": ((3,), "broadcasting starts at the last axis, and this kernel happens to have 3 of them"),
        "rows": ((3, 1), "they lie along the last axis but one, and this kernel happens to have 3 of them"),
    }.items():
        m, s = (torch.tensor(each).view(shape) for each in (mean, std))
        found.append(
            (
                f"the statistics went along the *{axis}*: {why}. Give them the shape (1, 3, 1, 1).",
                (weight / s).sum(1, keepdim=True),
                (weight * m / s).sum(1, keepdim=True),
            )
        )
    return found


def _test_picture_slice(
    got: Tensor, weight: Tensor, picture: Tensor, mean: Statistics, std: Statistics
) -> None:
    if got.shape == weight.shape:
        raise NotYet("the weights still have three channels. Sum over them, which are dim 1.")
    if got.shape == (1, *weight.shape[1:]):
        raise NotYet("you summed over the kernels, dim 0. The channels are dim 1.")
    if got.shape == picture.squeeze(1).shape:
        raise NotYet(
            f"the weights have the shape {tuple(got.shape)}; a convolution wants {tuple(picture.shape)}. "
            "Look at `keepdim`."
        )
    if got.shape != picture.shape:
        raise NotYet(f"the weights have the shape {tuple(got.shape)}. It should be {tuple(picture.shape)}.")
    _name(
        got,
        {
            "you averaged the channels. All three are fed with the same picture, so what they answer adds "
            "up: "
            "sum.": picture / 3,
            "the weights lack the std. Each channel is divided by its own before they add up.": weight.sum(
                1, keepdim=True
            ),
            "you multiplied the weights by the std. Divide.": (weight * _each(std)).sum(1, keepdim=True),
            "you used ImageNet's statistics in place of those given.": _slices(
                weight, IMAGENET_MEAN, IMAGENET_STD
            )[0],
            "mean and std have changed places: the weights are divided by the std.": (
                weight / _each(mean)
            ).sum(1, keepdim=True),
            "that is one channel's share. Sum over all three.": (weight / _each(std))[:, :1],
            "the folded weights have the wrong sign: a minus stands before the bias only.": -picture,
            "you divided the weights by the variance. The std is given, so do not square it.": (
                weight / _each(std) ** 2
            ).sum(1, keepdim=True),
            "you divided by one std, the mean of the three. Each channel is divided by its own.": weight.sum(
                1, keepdim=True
            )
            / _each(std).mean(),
            "you divided by 255 too. The picture comes in with numbers from 0 to 1.": picture / 255,
        },
    )
    _name(got, {sentence: wrong for sentence, wrong, _ in _laid_wrong(weight, mean, std)})
    if not _same(got, picture):
        raise NotYet(f"the folded weight of {_first_wrong(got, picture, ['kernel', '', 'row', 'column'])}.")


# --- 04.4: repair the border with ones ---------------------------------------------------------------------


def _test_fold_with_ones(fold: FoldWithOnes) -> None:
    _test_two(fold, _random(4, 3, 3, 3) - 0.4, MEAN, STD)
    _test_two(fold, _random(5, 3, 7, 7, seed=1) - 0.6, OTHER_MEAN, OTHER_STD)


def _test_two(fold: FoldWithOnes, weight: Tensor, mean: Statistics, std: Statistics) -> None:
    given = weight.clone()
    _compare_two(fold(given, tuple(mean), tuple(std)), weight, mean, std)


def _compare_two(out: Any, weight: Tensor, mean: Statistics, std: Statistics) -> None:
    picture, ones = _slices(weight, mean, std)
    wanted = torch.cat([picture, ones], dim=1)
    if isinstance(out, tuple | list):
        raise NotYet("one tensor with two channels is needed. `torch.cat` or `torch.stack` along dim 1.")
    got = _tensor(out, wanted.shape)
    if got.shape == (2, *picture.squeeze(1).shape) or got.shape == (2 * len(weight), *picture.shape[1:]):
        raise NotYet(f"you return {tuple(got.shape)}: the two slices lie along dim 0, where kernels are.")
    if got.shape == picture.shape:
        raise NotYet(
            f"you return {tuple(got.shape)}. It should be {tuple(wanted.shape)}: the ones' slice is missing."
        )
    if got.shape == (len(weight), 2 * weight.shape[2], weight.shape[3]):
        raise NotYet(
            f"you return {tuple(got.shape)}: `cat` put the rows of one slice below those of the other. "
            "`stack` along dim 1 makes a new axis for the two."
        )
    if got.shape == (len(weight), 2, *picture.shape[1:]):
        raise NotYet(f"you return {tuple(got.shape)}, an axis too many: `cat`, or `stack` without `keepdim`.")
    if got.shape != wanted.shape:
        raise NotYet(f"you return {tuple(got.shape)}. It should be {tuple(wanted.shape)}.")
    if _same(got, wanted.flip(1)):
        raise NotYet("both slices are right and have changed places: the picture comes first, as in [x, 1].")
    if _same(got, torch.stack([picture[:, 0], ones[:, 0]]).reshape(wanted.shape)):
        raise NotYet(
            "the slices are right, and mixed: you stacked along dim 0, and no reshape can sort that out. "
            "Stack along dim 1."
        )
    _test_picture_slice(got[:, :1], weight, picture, mean, std)
    bias = ones.sum((2, 3), keepdim=True)
    middle = torch.zeros_like(ones)
    middle[..., weight.shape[-2] // 2, weight.shape[-1] // 2] = bias[..., 0, 0]
    _name(
        got[:, 1:],
        {
            "the ones' slice has the sum in its middle and zeros around. That is the plain bias again: at "
            "the "
            "border the middle still lies on the picture. Each weight must carry its own share.": middle,
            "you spread the bias evenly over the ones' slice. Inside the picture that is right, since the "
            "sum "
            "is; at the border other weights drop out than those which carry the mean.": (
                bias / weight.shape[-1] ** 2
            ).expand_as(ones),
            "the whole bias stands in each weight of the ones' slice: they add up to many times too much. Do "
            "not sum over rows and columns here.": bias.expand_as(ones),
            "the ones' slice has the wrong sign: the mean is *subtracted*.": -ones,
            "the ones' slice lacks the std. The mean, too, is divided by it.": -(weight * _each(mean)).sum(
                1, keepdim=True
            ),
            "the ones' slice is zero: the mean is gone.": torch.zeros_like(ones),
            "the ones' slice is averaged over the channels. Sum.": ones / 3,
            "the ones' slice lacks the mean: it is the picture's slice once more, negative.": -picture,
            "the ones' slice holds ones. The ones are the second channel of the picture, [x, 1]; this is "
            "what they are multiplied by.": torch.ones_like(ones),
            "in the ones' slice you divided by the std twice.": -(weight * _each(mean) / _each(std) ** 2).sum(
                1, keepdim=True
            ),
            "in the ones' slice you multiplied by the std. Divide.": -(weight * _each(mean) * _each(std)).sum(
                1, keepdim=True
            ),
            "the ones' slice is mean / std, summed. The kernel's weights belong in it.": -(
                (_each(mean) / _each(std)).sum().expand_as(ones)
            ),
            "the ones' slice is made of one mean for all. Each channel has its own, so take it before the "
            "channels are summed.": -picture * _each(mean).mean(),
            "the ones' slice is made of folded weights. Each channel has its own mean, so take it before the "
            "channels are summed.": -picture * _each(mean).sum(),
        },
    )
    _name(got[:, 1:], {sentence: -both for sentence, _, both in _laid_wrong(weight, mean, std)})
    if not _same(got, wanted):
        raise NotYet(
            "the picture's slice is right. The weight for the ones, "
            f"{_first_wrong(got[:, 1:], ones, ['kernel', '', 'row', 'column'])}."
        )


# --- 04.5: pick out bad pictures ---------------------------------------------------------------------------


_CONSTANT = {"1/255": 1 / 255, "0.1": 0.1, "0.2": 0.2}  # whose deviation is not 0, but a rounding error


def _pictures() -> tuple[Tensor, list[str]]:
    """As large as those of the lesson: in a small picture the sums that hide a constant are exact."""
    names = ["ordinary", "black", "NaN", "infinite", "faint", "spot", "all NaN", "minus infinite", *_CONSTANT]
    pictures = _random(len(names), 1, 224, 224)
    place = {name: pictures[number] for number, name in enumerate(names)}
    place["black"][:] = 0.0
    place["NaN"][0, 4, 4] = float("nan")
    place["infinite"][0, 4, 4] = float("inf")
    place["faint"][:] = 0.5 + 0.001 * place["faint"]
    place["spot"][:] = 0.0
    place["spot"][0, 90:110, 90:110] = 1.0
    place["all NaN"][:] = float("nan")
    place["minus infinite"][0, 4, 4] = -float("inf")
    for name, gray in _CONSTANT.items():
        place[name][:] = gray
    return pictures, names


def _test_usable(usable: Usable) -> None:
    pictures, names = _pictures()
    good = {"ordinary", "faint", "spot"}
    wanted = torch.tensor([name in good for name in names])
    given = pictures.clone()
    _compare_usable(usable(given), pictures, names, wanted, good)
    for gray in (*_CONSTANT.values(), *(k / 255 for k in range(2, 255, 12))):  # sums round otherwise alone
        alone = torch.full((1, 1, 224, 224), gray)
        if torch.as_tensor(np.asarray(usable(alone))).any():
            raise _rounded(f"{gray:.3g}", alone)
    if not torch.as_tensor(np.asarray(usable(_random(1, 1, 224, 224)))).all():
        raise NotYet("an ordinary picture is thrown away if it comes in a batch of one.")


def _compare_usable(got: Any, pictures: Tensor, names: list[str], wanted: Tensor, good: set[str]) -> None:
    if got is None:
        raise NotYet("nothing came out. Is there a `return`?")
    if isinstance(got, bool) or (isinstance(got, Tensor) and got.ndim == 0):
        raise NotYet(
            "you return one answer for the whole batch. Each picture needs its own: reduce dims 1 to 3."
        )
    if not isinstance(got, Tensor):
        try:
            got = torch.as_tensor(np.asarray(got).copy())  # torch warns of an array that is read-only
        except (TypeError, ValueError):
            raise NotYet(
                f"you return {kind_of(got)} that cannot be read. True or False is needed for each picture, "
                "in a tensor, an array or a list."
            ) from None
    if got.shape == pictures.shape:
        raise NotYet("you return an answer for each pixel. Reduce dims 1 to 3, so that each picture has one.")
    if got.shape == (len(pictures), 1):
        raise NotYet(f"you return {tuple(got.shape)}; it should be ({len(pictures)},). `flatten` first.")
    if got.shape != wanted.shape:
        raise NotYet(f"you return {tuple(got.shape)}; it should be ({len(pictures)},), one for each picture.")
    truths = got.dtype == torch.bool
    if not torch.isin(got.float(), torch.tensor([0.0, 1.0])).all():
        raise NotYet("True or False is needed for each picture, not a number.")
    got = got.bool()
    if torch.equal(got, ~wanted):
        raise NotYet("it is the wrong way round: True should stand for a picture that can be used.")
    passed = {name for name, each in zip(names, got, strict=True) if each}
    sentences = {
        "ordinary": "an ordinary picture is thrown away.",
        "spot": "a black picture with one white spot is thrown away. It is not constant.",
        "faint": "a picture whose grays differ by a thousandth is thrown away. Faint is not constant: where "
        "does your limit come from?",
    }
    for name, sentence in sentences.items():
        if name not in passed:
            raise NotYet(sentence)
    if {"NaN", "all NaN"} <= passed:
        raise NotYet(
            "pictures with NaN pass. NaN is equal to nothing, not even to itself: ask `isnan` or `isfinite`."
        )
    if "NaN" in passed:
        raise NotYet("a picture with a single NaN passes. One is enough to spoil the vector: all, not any.")
    if {"infinite", "minus infinite"} & passed:
        raise NotYet(
            "an infinite pixel passes. `isnan` does not see it; `isfinite` sees both. And it has to hold "
            "for all pixels, not for any."
        )
    if "black" in passed:
        raise NotYet("a black picture passes. It is finite, and there is nothing in it.")
    constant = [name for name in _CONSTANT if name in passed]
    if constant:
        raise _rounded(constant[0], pictures[names.index(constant[0])])
    if not torch.equal(got, wanted):
        raise NotYet("a picture in which everything is NaN passes.")
    if not truths:
        raise NotYet(
            "the answers are right, but they are numbers. As an index, 1 means picture 1 and not yes: return "
            "True and False (`bool`)."
        )


def _rounded(gray: str, picture: Tensor) -> NotYet:
    deviation = picture.std().item()
    hides = f" Its standard deviation is {deviation:.0e} here, by rounding alone." if deviation else ""
    return NotYet(
        f"black is caught, but a picture that is {gray} everywhere passes.{hides} Compare the largest number "
        "with the smallest: these two are not computed, and so not rounded."
    )


# --- The mistakes worth catching ---------------------------------------------------------------------------


def _scaled(stored: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    return (stored / 255 - _each(mean)) / _each(std)


def _by_own(stored: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    x = stored / 255
    return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)


def _folded(weight: Tensor, mean: Statistics, std: Statistics) -> tuple[Tensor, Tensor]:
    picture, ones = _slices(weight, mean, std)
    return picture, ones.sum((1, 2, 3))


def _divides_in_place(weight: Tensor, mean: Statistics, std: Statistics) -> tuple[Tensor, Tensor]:
    weight /= _each(std)
    return weight.sum(1, keepdim=True), -(weight * _each(mean)).sum((1, 2, 3))


def _averaged(weight: Tensor, mean: Statistics, std: Statistics) -> tuple[Tensor, Tensor]:
    picture, bias = _folded(weight, mean, std)
    return picture / 3, bias / 3


def _bias_without_std(weight: Tensor, mean: Statistics, std: Statistics) -> tuple[Tensor, Tensor]:
    return _folded(weight, mean, std)[0], -(weight * _each(mean)).sum((1, 2, 3))


def _sign(weight: Tensor, mean: Statistics, std: Statistics) -> tuple[Tensor, Tensor]:
    picture, bias = _folded(weight, mean, std)
    return picture, -bias


def _in_the_middle(weight: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    picture, bias = _folded(weight, mean, std)
    ones = torch.zeros_like(picture)
    ones[:, 0, weight.shape[-2] // 2, weight.shape[-1] // 2] = bias
    return torch.cat([picture, ones], 1)


def _evenly(weight: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    picture, bias = _folded(weight, mean, std)
    return torch.cat([picture, (bias / weight.shape[-1] ** 2).view(-1, 1, 1, 1).expand_as(picture)], 1)


def _everywhere(weight: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    picture, bias = _folded(weight, mean, std)
    return torch.cat([picture, bias.view(-1, 1, 1, 1).expand_as(picture)], 1)


def _no_nan(pictures: Tensor) -> Tensor:
    return ~pictures.flatten(1).isnan().any(1)


def _wipes_nan(pictures: Tensor) -> Tensor:
    good = pictures.flatten(1).isfinite().all(1)
    return good & _varies(pictures.nan_to_num_())


def _varies(pictures: Tensor) -> Tensor:
    flat = pictures.flatten(1)
    return flat.amax(1) > flat.amin(1)


EXERCISES = (
    Exercise(
        id="04.1",
        title="To three channels",
        minutes=4,
        test=_test_to_three,
        buys="each picture keeps its own three channels, in a batch of any size.",
        hints=(
            "The axes are pictures, channels, rows, columns, counted from 0. Along which one must there be "
            "three?",
            "`repeat_interleave(3, dim=…)` repeats along one axis; so does `repeat`, with a number for each "
            "axis.",
            "Return `gray.repeat_interleave(3, dim=1)`.",
        ),
        planted=(
            Planted(
                lambda gray: gray.repeat(3, 1, 1, 1), "along the pictures", "three times as many pictures"
            ),
            Planted(
                lambda gray: gray.repeat(3, 1, 1, 1).reshape(len(gray), 3, *gray.shape[2:]),
                "repeated the pictures and reshaped",
                "the pictures are mixed",
            ),
            Planted(lambda gray: gray.repeat_interleave(3, dim=3), "along the columns", "have grown"),
            Planted(
                lambda gray: torch.stack([gray[:, 0]] * 3, dim=-1),
                "put channels last",
                "what Matplotlib likes",
            ),
            Planted(
                lambda gray: torch.cat([gray, torch.zeros_like(gray).repeat(1, 2, 1, 1)], 1),
                "filled up with zeros",
                "is all zeros",
            ),
            Planted(lambda gray: gray, "changed nothing", "the channel axis is still 1"),
            Planted(lambda gray: gray.repeat(1, 3, 1, 1) / 3, "shared the gray out", "you divided by 3"),
            Planted(lambda gray: gray.repeat(1, 3, 1, 1).double(), "float64", "kind of number"),
            Planted(
                lambda gray: torch.stack([gray.squeeze()] * 3, dim=1),
                "squeezed a batch of one",
                "the axis of pictures is gone",
            ),
            Planted(lambda gray: torch.stack([gray] * 3, dim=1), "stacked", "an axis too many"),
        ),
    ),
    Exercise(
        id="04.2",
        title="Normalise",
        minutes=6,
        test=_test_normalise,
        buys="the network gets the numbers that it was trained on, whichever network it is.",
        hints=(
            "Two steps, in which order? The mean is one for pixels from 0 to 1.",
            "`torch.tensor(mean).view(1, 3, 1, 1)` has its three numbers along the channels.",
            "Return `(stored / 255 - mean) / std`, both as tensors of shape (1, 3, 1, 1).",
        ),
        planted=(
            Planted(
                lambda x, mean, std: (x - _each(mean)) / _each(std),
                "left the pixels at 0 to 255",
                "hardly felt",
            ),
            Planted(
                lambda x, mean, std: (x - _each(mean)) / _each(std) / 255,
                "normalised before scaling",
                "divided by 255 afterwards",
            ),
            Planted(
                lambda x, mean, std: (_scaled(x, mean, std) - _each(mean)) / _each(std),
                "normalised twice",
                "Once is enough",
            ),
            Planted(
                lambda x, mean, std: _scaled(x, std, mean), "swapped mean and std", "have changed places"
            ),
            Planted(_by_own, "took the picture's own mean and std", "statistics of the picture itself"),
            Planted(
                lambda x, mean, std: _scaled(x, IMAGENET_MEAN, IMAGENET_STD),
                "used ImageNet's statistics for all weights",
                "you used ImageNet's statistics",
            ),
            Planted(
                lambda x, mean, std: (x / 255 - torch.tensor(mean)) / torch.tensor(std),
                "let the statistics run along the columns",
                "along the *columns*",
            ),
            Planted(lambda x, mean, std: x / 255, "scaled only", "nothing is normalised yet"),
            Planted(lambda x, mean, std: x / 255 - _each(mean), "centred only", "The std is missing"),
            Planted(
                lambda x, mean, std: x / 255 - _each(mean) / _each(std),
                "forgot the brackets",
                "divides the mean alone",
            ),
            Planted(
                lambda x, mean, std: (x / 255 - sum(mean) / 3) / (sum(std) / 3),
                "one mean for all channels",
                "one mean and one std of the three",
            ),
            Planted(
                lambda x, mean, std: _scaled(x, mean, std).clamp(0, 1), "cut off at 0 and 1", "and yours is"
            ),
        ),
    ),
    Exercise(
        id="04.3",
        title="Fold the weights",
        minutes=8,
        test=_test_fold,
        buys="inside the picture one channel does the work of three. Now for the border.",
        hints=(
            "Bring mean and std into the shape (1, 3, 1, 1): then they broadcast over the kernels' channels.",
            "The weights: divide by the std, then sum over dim 1 with `keepdim=True`. The bias: weight × "
            "mean / std, summed over dims 1, 2 and 3, with a minus.",
            "`folded = (weight / std).sum(dim=1, keepdim=True)` and `bias = -(weight * mean / "
            "std).sum(dim=(1, 2, 3))`.",
        ),
        planted=(
            Planted(_averaged, "averaged the channels", "you averaged the channels"),
            Planted(
                lambda w, mean, std: (w.sum(1, keepdim=True), _folded(w, mean, std)[1]),
                "summed without the std",
                "the weights lack the std",
            ),
            Planted(_bias_without_std, "forgot the std in the bias", "the bias lacks the std"),
            Planted(_sign, "added the mean", "with the wrong sign"),
            Planted(
                lambda w, mean, std: (_folded(w, mean, std)[0], _slices(w, mean, std)[1]),
                "did not sum the bias over rows and columns",
                "a number for each weight",
            ),
            Planted(
                lambda w, mean, std: (_folded(w, mean, std)[0], torch.zeros(len(w))),
                "left the mean out",
                "Where has the mean gone?",
            ),
            Planted(
                lambda w, mean, std: _folded(w, IMAGENET_MEAN, IMAGENET_STD),
                "used ImageNet's statistics for all weights",
                "ImageNet's statistics in place",
            ),
            Planted(
                lambda w, mean, std: _folded(w, std, mean), "swapped mean and std", "have changed places"
            ),
            Planted(
                lambda w, mean, std: (
                    (w / torch.tensor(std)).sum(1, keepdim=True),
                    -(w * torch.tensor(mean) / torch.tensor(std)).sum((1, 2, 3)),
                ),
                "let the statistics run along the columns",
                "along the *columns*",
            ),
            Planted(_divides_in_place, "scaled in place", "your function changes weight where"),
            Planted(
                lambda w, mean, std: ((w / _each(std)).sum(1), _folded(w, mean, std)[1]),
                "lost the channel axis",
                "Look at `keepdim`",
            ),
            Planted(
                lambda w, mean, std: _folded(w, mean, std)[::-1],
                "swapped the two results",
                "you return the bias first",
            ),
            Planted(
                lambda w, mean, std: (
                    _folded(w, mean, std)[0],
                    -(_folded(w, mean, std)[0] * _each(mean)).sum((1, 2, 3)),
                ),
                "took the mean after the channels were summed",
                "the bias is made of folded weights",
            ),
            Planted(lambda w, mean, std: (_folded(w, mean, std)[0], None), "no bias", "you return None"),
        ),
    ),
    Exercise(
        id="04.4",
        title="Repair the border with ones",
        minutes=6,
        test=_test_fold_with_ones,
        buys="two channels do the work of three, border included, for any padding with zeros.",
        hints=(
            "The first slice is that of 04.3. The second one is the term with the mean, not summed over "
            "rows and columns.",
            "A convolution with ones sums over rows and columns by itself, and at the border over fewer of "
            "them.",
            "`torch.stack([(weight / std).sum(dim=1), -(weight * mean / std).sum(dim=1)], dim=1)`.",
        ),
        planted=(
            Planted(_in_the_middle, "put the plain bias into the middle", "the plain bias again"),
            Planted(_evenly, "spread the bias evenly", "you spread the bias evenly"),
            Planted(_everywhere, "put the whole bias into each weight", "many times too much"),
            Planted(
                lambda w, mean, std: torch.cat(_slices(w, mean, std)[::-1], 1),
                "put the ones first",
                "the picture comes first",
            ),
            Planted(
                lambda w, mean, std: torch.cat([_slices(w, mean, std)[0], -_slices(w, mean, std)[1]], 1),
                "added the mean",
                "has the wrong sign",
            ),
            Planted(
                lambda w, mean, std: torch.cat(
                    [_slices(w, mean, std)[0], -(w * _each(mean)).sum(1, keepdim=True)], 1
                ),
                "forgot the std with the mean",
                "The mean, too, is divided",
            ),
            Planted(
                lambda w, mean, std: torch.cat(_slices(w, mean, std), 1) / 3,
                "averaged the channels",
                "you averaged the channels",
            ),
            Planted(
                lambda w, mean, std: torch.cat(
                    [_slices(w, mean, std)[0], -(w * torch.tensor(mean) / torch.tensor(std)).sum(1, True)], 1
                ),
                "let the mean run along the columns",
                "along the *columns*",
            ),
            Planted(
                lambda w, mean, std: torch.cat(
                    [
                        _slices(w, mean, std)[0],
                        -(_slices(w, mean, std)[0] * _each(mean)).sum(1, keepdim=True),
                    ],
                    1,
                ),
                "took the mean after the channels were summed",
                "the ones' slice is made of folded weights",
            ),
            Planted(
                lambda w, mean, std: torch.cat(_slices(w, mean, std), 0),
                "joined along dim 0",
                "where kernels are",
            ),
        ),
    ),
    Exercise(
        id="04.5",
        title="Pick out bad pictures",
        minutes=6,
        test=_test_usable,
        buys="a picture that holds nothing costs a line in the failures, not a vector that means nothing.",
        hints=(
            "`pictures.flatten(start_dim=1)` has a row for each picture. Ask two questions of each row.",
            "`isfinite` is False for NaN and for infinite numbers; `.all(dim=1)` asks a whole row. A row is "
            "constant if its largest number is its smallest.",
            "Return `flat.isfinite().all(dim=1) & (flat.amax(dim=1) > flat.amin(dim=1))`.",
        ),
        planted=(
            Planted(
                lambda x: x.flatten(1).isfinite().all(1), "forgot constant pictures", "a black picture passes"
            ),
            Planted(_varies, "forgot infinite pixels", "an infinite pixel passes"),
            Planted(
                lambda x: _varies(x.nan_to_num(0.0, 0.0, 0.0)), "replaced NaN by zeros", "a single NaN passes"
            ),
            Planted(
                lambda x: x.flatten(1).isfinite().all(1) & (x.flatten(1).std(1) > 0.01),
                "drew a line at some deviation",
                "Faint is not constant",
            ),
            Planted(
                lambda x: ~((x == float("nan")).flatten(1).any(1) | (x.flatten(1).std(1) == 0)),
                "compared with NaN",
                "equal to nothing",
            ),
            Planted(
                lambda x: x.flatten(1).isfinite().all(1) & (x.flatten(1).std(1) > 0),
                "asked whether it deviates at all",
                "by rounding alone",
            ),
            Planted(_wipes_nan, "changed its input", "your function changes pictures where"),
            Planted(
                lambda x: x.isfinite().all() & (x.max() > x.min()),
                "asked the whole batch",
                "for the whole batch",
            ),
            Planted(
                lambda x: ~(x.flatten(1).isfinite().all(1) & _varies(x)),
                "marked the bad ones",
                "wrong way round",
            ),
            Planted(
                lambda x: (x.flatten(1).isfinite().all(1) & _varies(x)).float(),
                "numbers in place of truth values",
                "but they are numbers",
            ),
        ),
    ),
)
