"""Layers and poolings against torchvision's own feature extractor and PyTorch's own pooling."""

import copy
import dataclasses
import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from course_utils.embedding import EmbeddingError, EmbeddingExtractor, EmbeddingStore, load_backbone
from course_utils.embedding.engines import make_engine
from course_utils.embedding.features import POOLS, as_map, pooled
from course_utils.imaging import Preprocessor

PREPROCESSOR = Preprocessor(size=96)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    """torchvision's ResNet-18, its batch normalisation as if it had been trained."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet18(weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).random((3, 1, 96, 96), np.float32)


def _normalised(pictures, backbone):
    colour = torch.from_numpy(pictures).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std))
    return (colour - mean) / std


def _small(backbone):
    """The same network for pictures of 96 pixels, so that nothing is resized."""
    return dataclasses.replace(backbone, input_size=96)


def _reference(grid, pool):
    """Each pooling by PyTorch's own functions, or written out."""
    if pool == "mean":
        return F.adaptive_avg_pool2d(grid, 1).flatten(1)
    if pool == "max":
        return F.adaptive_max_pool2d(grid, 1).flatten(1)
    if pool == "gem":
        return (grid.double().clamp(min=1e-6) ** 3).flatten(2).mean(2).pow(1 / 3).float()
    quarters = F.adaptive_avg_pool2d(grid, 2).permute(0, 2, 3, 1).flatten(1)  # place by place
    return torch.cat([F.adaptive_avg_pool2d(grid, 1).flatten(1), quarters], dim=1)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("side", [1, 2, 7, 8])
def test_each_pooling_is_pytorchs_own(pool, side):
    grid = torch.randn(2, 5, side, side, generator=torch.Generator().manual_seed(side))
    if side == 1:  # one pixel: nothing to pool
        assert torch.equal(pooled(grid, pool), grid.flatten(1))
    else:
        torch.testing.assert_close(pooled(grid, pool), _reference(grid, pool))


def test_the_generalised_mean_lies_between_mean_and_maximum():
    grid = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert pooled(grid, "gem").item() == pytest.approx(25 ** (1 / 3))  # (1 + 8 + 27 + 64) / 4 = 25


def test_tokens_become_the_grid_that_they_come_from_without_the_token_of_the_class():
    grid = torch.randn(2, 4, 3, 3)
    tokens = grid.flatten(2).transpose(1, 2)
    assert torch.equal(as_map(tokens), grid)
    assert torch.equal(as_map(torch.cat([torch.ones(2, 1, 4), tokens], dim=1)), grid)


def test_channels_may_come_last_as_in_swin():
    grid = torch.randn(2, 4, 3, 3)
    assert torch.equal(as_map(grid.permute(0, 2, 3, 1)), grid)


@pytest.mark.parametrize("shape", [(2,), (2, 3, 4, 5), (2, 3, 4, 4, 4), (2, 15, 4)])
def test_what_is_neither_a_map_nor_a_vector_is_refused(shape):
    with pytest.raises(EmbeddingError, match="neither a map nor a vector"):
        pooled(torch.zeros(shape), "mean")


@pytest.mark.parametrize(
    ("layer", "pool"),
    # The output of a convolution is its own, not that of the batch normalisation that is folded into it.
    [("conv1", "mean"), ("bn1", "mean"), ("layer1.0.conv1", "max"), ("layer2", "gem"), ("layer3", "multi")],
)
def test_a_layer_gives_what_torchvisions_own_extractor_gives(network, file, pictures, layer, pool):
    backbone = _small(load_backbone("torchvision:resnet18", weights=file, layer=layer, pool=pool))
    given = _normalised(pictures, backbone)
    with torch.inference_mode():
        expected = _reference(create_feature_extractor(network, {layer: "out"})(given)["out"], pool).numpy()
    for fuse in (True, False):
        got = EmbeddingExtractor(backbone, device="cpu", fuse=fuse).embed(pictures)
        assert got.shape == (3, backbone.embedding_dim)
        assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_pooling_alone_is_that_of_the_last_map(network, file, pictures):
    backbone = load_backbone("torchvision:resnet18", weights=file, pool="gem")
    caught = []
    hook = network.layer4.register_forward_hook(lambda *call: caught.append(call[2]))
    given = _normalised(pictures, backbone)
    with torch.inference_mode():
        network(given)
        got = backbone.module(given)
    hook.remove()
    torch.testing.assert_close(got, _reference(caught[0], "gem"))


def test_the_courses_own_networks_have_layers_too(lite0):
    given = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        grid = lite0.module.network.extract_features(given)
        got = load_backbone("efficientnet_lite0", weights="imagenet", pool="multi").module(given)
        torch.testing.assert_close(got, _reference(grid, "multi"))
    early = load_backbone("efficientnet_lite0", weights="imagenet", layer="network._blocks.4")
    assert (early.embedding_dim, early.weights) == (40, lite0.weights)


def test_nothing_behind_the_layer_is_computed():
    backbone = load_backbone("torchvision:resnet18", weights="random", layer="layer1")
    ran = []
    backbone.module.network.layer2.register_forward_hook(lambda *_: ran.append(1))
    backbone.module(torch.zeros(1, 3, 96, 96))
    assert not ran


def test_copies_of_a_network_give_their_own_output():
    backbone = load_backbone("torchvision:resnet18", weights="random", layer="layer1")
    copied = copy.deepcopy(backbone.module)
    copied.network.conv1.weight.data.zero_()
    given = torch.rand(1, 3, 96, 96)
    assert not copied(given).any()
    assert backbone.module(given).any()


def test_a_layer_or_a_pooling_changes_neither_the_weights_nor_their_hash(file):
    whole = load_backbone("torchvision:resnet18", weights=file)
    cut = load_backbone("torchvision:resnet18", weights=file, layer="layer2", pool="max")
    assert cut.weights == whole.weights


def test_the_label_names_layer_and_pooling_unless_they_are_the_networks_own():
    def label(**options):
        return load_backbone("torchvision:mobilenet_v3_small", weights="random", **options).label

    assert label() == "torchvision:mobilenet_v3_small"
    assert label(pool="gem") == "torchvision:mobilenet_v3_small pool=gem"
    assert label(layer="features.3") == "torchvision:mobilenet_v3_small layer=features.3 pool=mean"


def test_the_store_keeps_layers_and_poolings_apart_and_takes_none_for_another_versions(
    samples, tmp_path, caplog
):
    store = EmbeddingStore(tmp_path)

    def computed(**options):
        backbone = load_backbone("torchvision:mobilenet_v3_small", weights="random", **options)
        extractor = EmbeddingExtractor(_small(backbone), device="cpu", fuse=False)
        result = extractor.extract(samples[:1], PREPROCESSOR, store=store)
        assert extractor.config(PREPROCESSOR)["backbone"] == result.record.backbone == backbone.label
        return result.record.counts["computed"]

    chosen = [{}, {"layer": "features.5"}, {"layer": "features.6"}, {"layer": "features.6", "pool": "max"}]
    with caplog.at_level(logging.WARNING):
        assert [computed(**options) for options in chosen] == [1] * 4
        assert [computed(**options) for options in chosen] == [0] * 4
    assert not caplog.records
    shelves = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    assert len(shelves) == 4
    assert sum("layer=features.6-pool=max" in name for name in shelves) == 1
    assert not any(character in name for name in shelves for character in ':*?"<>| ')


def test_the_key_of_the_default_is_what_it_was(lite0):
    config = EmbeddingExtractor(lite0, device="cpu").config(PREPROCESSOR)
    assert config["backbone"] == "efficientnet_lite0"
    assert config["input"]["interpolation"] == {"mode": "bilinear", "antialias": True}
    assert set(config) == {
        *("preprocessing", "backbone", "architecture", "embedding_dim", "weights", "input"),
        *("adapter", "precision", "engine", "fuse", "deterministic"),
    }


@pytest.mark.parametrize("adapter", ["replicate", "folded"])
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_every_engine_and_adapter_stops_at_the_layer(file, pictures, engine, adapter):
    if engine == "openvino":
        pytest.importorskip("openvino")
    backbone = _small(load_backbone("torchvision:resnet18", weights=file, layer="layer2", pool="multi"))
    plain = EmbeddingExtractor(backbone, device="cpu", fuse=False).embed(pictures)
    got = EmbeddingExtractor(backbone, device="cpu", engine=engine, adapter=adapter).embed(pictures)
    assert np.abs(got - plain).max() < 1e-4 * np.abs(plain).max()


def test_unknown_layers_and_poolings_name_those_that_there_are():
    def refused(**options):
        with pytest.raises(EmbeddingError) as error:
            load_backbone(options.pop("name", "torchvision:resnet18"), weights="random", **options)
        assert "\n" not in str(error.value)
        return str(error.value)

    stages = "conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4"
    assert refused(layer="layer9") == f"torchvision:resnet18 has no layer 'layer9': its stages are {stages}"
    assert "has no layer ''" in refused(layer="")
    # Run twice in every block, this part has no output of its own.
    assert "has no layer 'layer1.0.relu'" in refused(layer="layer1.0.relu")
    assert "choose mean, max, gem or multi" in refused(pool="median")
    assert "gives a vector, which leaves nothing to pool by max" in refused(layer="avgpool", pool="max")
    assert "features.0, features.1" in refused(name="torchvision:mobilenet_v3_small", layer="layer3")
    assert "network._blocks.0" in refused(name="efficientnet_lite0", layer="layer3")


class _Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.pair, self.line = nn.Conv2d(3, 4, 3), _Pair(), _Line()

    def forward(self, x):
        return self.line(self.pair(self.first(x))[0]).mean((2, 3))


class _Pair(nn.Module):
    def forward(self, x):
        return x, x


class _Line(nn.Module):
    def forward(self, x):
        return x.mean(2, keepdim=True)


def test_a_layer_that_gives_neither_a_map_nor_a_vector_is_refused_by_what_it_gives(monkeypatch):
    monkeypatch.setattr("torchvision.models.get_model", lambda *_, **__: _Odd())
    monkeypatch.setattr("course_utils.embedding.zoos.without_classifier", lambda _: ("fc.",))
    for layer, gives in [("pair", "a tuple"), ("line", "a tensor of 1 × 4 × 1 × 222")]:
        with pytest.raises(
            EmbeddingError, match=f"gives {gives}, neither a map nor a vector: choose one of first"
        ):
            load_backbone("torchvision:resnet18", weights="random", layer=layer)


def test_a_vector_in_bf16_is_pooled_in_float32(file, pictures):
    backbone = _small(load_backbone("torchvision:resnet18", weights=file, layer="layer1", pool="gem"))
    images = _normalised(pictures, backbone)
    exact, rough = (make_engine("torch", backbone, device=CPU, precision=p)(images) for p in ("fp32", "bf16"))
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()
