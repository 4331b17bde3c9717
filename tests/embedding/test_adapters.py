import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms.functional import normalize

from course_utils.embedding import EmbeddingError, load_backbone
from course_utils.embedding.adapters import fold, replicate, with_ones
from course_utils.embedding.backbones import IMAGENET_MEAN, IMAGENET_STD
from course_utils.imaging import Preprocessor, read_mammogram

TOLERANCE = 1e-5  # of the largest number of each vector
BACKBONES = ("resnet50", "efficientnet_lite0")


def _error(one, other):
    """The largest difference of each row, relative to the largest value of that row."""
    one, other = one.flatten(1), other.flatten(1)
    return ((one - other).abs().amax(1) / other.abs().amax(1)).max().item()


@pytest.fixture(scope="module")
def backbones(lite0):
    """Lite0 with its own weights, and a random ResNet-50 whose batch norms do something."""
    generator = torch.Generator().manual_seed(0)
    resnet = load_backbone("resnet50", weights="random", seed=1)
    for module in resnet.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return {"resnet50": resnet, "efficientnet_lite0": lite0}


@pytest.fixture(scope="module")
def mammograms(real):
    return [read_mammogram(path) for path in real]


def _pictures(mammograms, size):
    """Eight real mammograms, two of noise, and the first two mammograms in a bright frame."""
    preprocessor = Preprocessor(size=size)
    real = torch.from_numpy(np.stack([preprocessor(mammogram) for mammogram in mammograms]))
    noise = torch.rand((2, 1, size, size), generator=torch.Generator().manual_seed(size))
    framed = torch.ones((2, 1, size, size))
    framed[..., 3:-3, 3:-3] = real[:2, :, 3:-3, 3:-3]
    return torch.cat([real, noise, framed])


def test_replication_equals_torchvisions_normalise_of_three_equal_channels():
    gray = torch.rand((2, 1, 5, 7), generator=torch.Generator().manual_seed(0))
    untouched = gray.clone()
    expected = normalize(gray.expand(-1, 3, -1, -1), IMAGENET_MEAN, IMAGENET_STD)
    assert torch.equal(replicate(gray, IMAGENET_MEAN, IMAGENET_STD), expected)
    assert torch.equal(gray, untouched)


def test_ones_go_behind_the_gray_channel():
    gray = torch.rand((2, 1, 5, 7), dtype=torch.float64)
    both = with_ones(gray)
    assert both.shape == (2, 2, 5, 7)
    assert both.dtype == torch.float64
    assert torch.equal(both[:, :1], gray)
    assert (both[:, 1] == 1).all()


def test_a_kernel_folded_by_hand_has_the_same_weights():
    conv = nn.Conv2d(3, 1, (1, 2), bias=False, dtype=torch.float64)
    conv.weight.data = torch.tensor([[[[1.0, 0.0]], [[2.0, 5.0]], [[3.0, 0.0]]]], dtype=torch.float64)
    folded = fold(conv, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0))
    # 1/0.5 + 2/0.25 + 3/1 = 13 and 5/0.25 = 20; -(1*0.5/0.5 + 2*0.25/0.25 + 0) = -3 and -5
    expected = torch.tensor([[[[13.0, 20.0]], [[-3.0, -5.0]]]], dtype=torch.float64)
    assert torch.allclose(folded.weight, expected, rtol=1e-15)


@st.composite
def _cases(draw):
    """A convolution in float64, so that nothing but the algebra is at work, statistics and an image."""
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    kernel, dilation = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (4, 3))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    paddings: list = [st.tuples(st.integers(0, 4), st.integers(0, 4)), st.just("valid")]
    if stride == (1, 1):
        paddings.append(st.just("same"))
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    conv = nn.Conv2d(
        3,
        draw(st.integers(1, 4)),
        kernel,
        stride,
        draw(st.one_of(paddings)),
        dilation,
        bias=draw(st.booleans()),
        padding_mode=mode,
        dtype=torch.float64,
    )
    means, stds = st.floats(-1, 2), st.floats(0.01, 10)
    mean, std = (tuple(draw(st.lists(f, min_size=3, max_size=3))) for f in (means, stds))
    height, width = draw(st.integers(10, 20)), draw(st.integers(10, 20))
    return conv, mean, std, torch.rand((2, 1, height, width), dtype=torch.float64)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@settings(max_examples=200)
@given(_cases())
def test_any_convolution_folds_exactly_whatever_its_padding_stride_and_dilation(case):
    conv, mean, std, gray = case
    normalised, black = replicate(gray, mean, std), replicate(torch.zeros_like(gray), mean, std)
    expected, got = conv(normalised), fold(conv, mean, std)(with_ones(gray))
    # The terms may cancel: rounding is relative to their size, not to what is left of them.
    size = conv.weight.abs().sum() * (normalised.abs().max() + black.abs().max()) + 1
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= 1e-13 * size


@pytest.mark.parametrize("size", [224, 223, 257, 97])
@pytest.mark.parametrize("name", BACKBONES)
def test_folded_equals_replicated_for_real_mammograms_noise_and_bright_borders(
    name, size, backbones, mammograms
):
    backbone, pictures = backbones[name], _pictures(mammograms, size)
    folded = fold(backbone.module, backbone.mean, backbone.std)
    with torch.inference_mode():
        expected = backbone.module(replicate(pictures, backbone.mean, backbone.std))
        error = _error(folded(with_ones(pictures)), expected)
    assert error <= TOLERANCE


class _Naive(nn.Module):
    """The fold that forgets the padding: one channel of weights, the means' share in the bias."""

    def __init__(self, conv):
        super().__init__()
        self.conv = copy.deepcopy(conv)
        gray, ones = conv.weight.unbind(1)
        self.conv.weight = nn.Parameter(gray[:, None], requires_grad=False)
        self.conv.bias = nn.Parameter(ones.sum(dim=(1, 2)), requires_grad=False)

    def forward(self, x):
        return self.conv(x[:, :1])


@pytest.mark.parametrize(
    ("name", "size", "border"),
    [
        # 7x7, stride 2, padding 3: the output rows whose window hangs over the edge
        ("resnet50", 224, {0, 1, 111}),
        ("resnet50", 223, {0, 1, 110, 111}),
        # 3x3, stride 2, padded at the bottom and the right only, by one; no odd size reaches that row
        ("efficientnet_lite0", 224, {111}),
        ("efficientnet_lite0", 223, set()),
    ],
)
def test_the_naive_fold_is_wrong_by_about_half_at_the_border_and_nowhere_else(
    name, size, border, backbones, mammograms
):
    backbone, pictures = backbones[name], _pictures(mammograms, size)
    stem = next(module for module in backbone.module.modules() if isinstance(module, nn.Conv2d))
    folded = fold(stem, backbone.mean, backbone.std)
    with torch.inference_mode():
        expected = stem(replicate(pictures, backbone.mean, backbone.std))
        largest = expected.abs().max()
        naive = (_Naive(folded)(with_ones(pictures)) - expected).abs().amax(dim=(0, 1)) / largest
        right = (folded(with_ones(pictures)) - expected).abs().amax(dim=(0, 1)) / largest
    wrong = naive > TOLERANCE
    edge = torch.zeros_like(wrong)
    for index in border:
        edge[index], edge[:, index] = True, True
    assert torch.equal(wrong, edge)
    assert right.max() <= TOLERANCE
    if border:
        assert naive.max() > 0.4


def test_the_border_alone_moves_the_naive_embedding_far_beyond_the_tolerance(backbones, mammograms):
    for name, backbone in backbones.items():
        pictures = with_ones(_pictures(mammograms, 224)[:8])
        folded = fold(backbone.module, backbone.mean, backbone.std)
        naive = copy.deepcopy(folded)
        if name == "resnet50":
            naive.conv1 = _Naive(naive.conv1)
        else:
            naive.network._conv_stem = _Naive(naive.network._conv_stem)
        with torch.inference_mode():
            error = _error(naive(pictures), folded(pictures))
        assert error > 100 * TOLERANCE


def test_a_fold_is_a_copy_and_keeps_dtype_bias_and_whether_it_learns(backbones):
    backbone = backbones["resnet50"]
    before = {key: value.clone() for key, value in backbone.module.state_dict().items()}
    folded = fold(backbone.module, backbone.mean, backbone.std)
    assert all(torch.equal(before[key], value) for key, value in backbone.module.state_dict().items())
    assert backbone.module.conv1.in_channels == 3
    assert folded.conv1.weight.shape == (64, 2, 7, 7)
    assert folded.conv1.in_channels == 2
    assert not folded.conv1.weight.requires_grad
    trained = nn.Conv2d(3, 4, 3, dtype=torch.bfloat16)
    other = fold(trained, IMAGENET_MEAN, IMAGENET_STD)
    assert other.weight.dtype == torch.bfloat16
    assert other.weight.requires_grad
    assert torch.equal(other.bias, trained.bias)


def test_folded_weights_are_summed_in_float64_and_rounded_once(backbones):
    for backbone in backbones.values():
        stem = next(module for module in backbone.module.modules() if isinstance(module, nn.Conv2d))
        weights = stem.weight.numpy().astype(np.float64)
        mean, std = (np.array(values)[:, None, None] for values in (backbone.mean, backbone.std))
        exact = np.stack([(weights / std).sum(1), -(weights * mean / std).sum(1)], axis=1)
        folded = fold(stem, backbone.mean, backbone.std).weight.numpy()
        assert folded.dtype == np.float32
        # Half a unit in the last place is the most that one rounding can lose.
        assert (np.abs(folded - exact) <= 0.5000001 * np.spacing(np.abs(folded))).all()


@pytest.mark.parametrize(
    ("network", "named"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.Conv2d(3, 4, 1)), "Linear"),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 1)), "ReLU"),
        (nn.Conv2d(1, 4, 3), r"Conv2d\(1, 4"),
        (nn.Conv2d(3, 6, 3, groups=3), "groups=3"),
        (nn.ConvTranspose2d(3, 4, 3), "ConvTranspose2d"),
        (nn.Sequential(), "Sequential"),
    ],
)
def test_a_network_that_does_not_begin_with_a_convolution_of_three_channels_is_refused(network, named):
    with pytest.raises(EmbeddingError, match=f"a convolution of 3 channels .*{named}.*adapter replicate"):
        fold(network, IMAGENET_MEAN, IMAGENET_STD)
