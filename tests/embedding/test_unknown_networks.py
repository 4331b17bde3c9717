"""The fast engine leaves alone what it does not know, and notices what fusing or folding would change."""

import copy
import dataclasses
import logging

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.embedding import EmbeddingError, EmbeddingExtractor, load_backbone
from course_utils.embedding.engines import make_engine
from course_utils.embedding.onednn import in_one_pass


def _engines(backbone):
    given = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        expected = backbone.module(given)
    got = make_engine("torch", backbone, device=torch.device("cpu"))(given)
    return (got - expected).abs().max() / expected.abs().max()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_networks_that_the_fast_engine_does_not_know_run_without_a_warning(name, caplog):
    backbone = dataclasses.replace(load_backbone(f"torchvision:{name}", weights="random"), input_size=96)
    with caplog.at_level(logging.INFO, logger="course_utils"):
        assert _engines(backbone) < 1e-4
    assert not caplog.records


def test_a_resnet_of_another_library_is_not_taken_for_torchvisions():
    bottleneck = nn.Module()
    bottleneck.conv3 = nn.Identity()

    class ResNet(nn.Module):
        layer1 = nn.Sequential(bottleneck)

        def forward(self, x):
            raise AssertionError("it was run")

    network = ResNet()
    assert in_one_pass(network, torch.zeros(1)) is network


class _Disordered(nn.Module):
    """Its first convolution is normalised by what is registered after the second one."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.norm1, self.norm2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.norm1.running_mean.fill_(0.5)

    def forward(self, x):
        x = self.norm1(self.conv1(x)).relu()
        return self.norm2(self.conv2(x)).mean((2, 3))


class _NormAndActivation(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


@pytest.mark.parametrize("adapter", ["replicate", "folded"])
@pytest.mark.parametrize(
    "module",
    [
        _Disordered(),
        nn.Sequential(nn.Conv2d(3, 4, 3), _NormAndActivation(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    ],
    ids=["disordered", "norm with activation"],
)
def test_a_network_that_fusing_would_change_is_not_fused(module, adapter):
    network = copy.deepcopy(module).eval().requires_grad_(False)
    backbone = dataclasses.replace(
        load_backbone("torchvision:mobilenet_v3_small", weights="random"),
        **{"name": "timm:odd", "module": network, "embedding_dim": 4, "input_size": 96},
    )
    pictures = np.random.default_rng(0).random((2, 1, 96, 96), np.float32)
    plain = EmbeddingExtractor(backbone, device="cpu", fuse=False).embed(pictures)
    got = EmbeddingExtractor(backbone, device="cpu", adapter=adapter).embed(pictures)
    assert np.abs(got - plain).max() < 1e-4 * np.abs(plain).max()


def test_a_network_that_folding_would_change_is_refused():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            weight = (self.weight - self.weight.mean((1, 2, 3), keepdim=True)) * 3
            return self._conv_forward(x, weight, self.bias)

    network = nn.Sequential(Standardised(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).requires_grad_(
        False
    )
    backbone = dataclasses.replace(
        load_backbone("torchvision:mobilenet_v3_small", weights="random"),
        **{"name": "timm:odd", "module": network, "embedding_dim": 4, "input_size": 96},
    )
    with pytest.raises(EmbeddingError, match="use the adapter replicate"):
        EmbeddingExtractor(backbone, device="cpu", adapter="folded")
