"""Each engine against the network as torchvision or its author runs it."""

import dataclasses
import logging
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from course_utils.embedding import EmbeddingError, EmbeddingExtractor, engines, load_backbone, onednn
from course_utils.embedding.adapters import replicate, with_ones
from course_utils.embedding.engines import make_engine
from course_utils.imaging import Preprocessor, read_mammogram

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def resnet50():
    return load_backbone("resnet50", weights="random", seed=2)


@pytest.fixture(scope="module")
def gray(real):
    """Three real mammograms, (3, 1, 224, 224)."""
    preprocess = Preprocessor(size=224)
    return torch.stack([torch.from_numpy(preprocess(read_mammogram(path))) for path in real[:3]])


def _off(got, expected):
    """The largest difference, as a share of the largest number."""
    return ((got - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(params=["resnet50", "efficientnet_lite0"])
def backbone(request, lite0, resnet50):
    return {"resnet50": resnet50, "efficientnet_lite0": lite0}[request.param]


@pytest.mark.parametrize("adapter", ["replicate", "folded"])
@pytest.mark.parametrize("name", engines.ENGINES)
def test_every_engine_gives_the_networks_own_vectors_in_fp32(name, adapter, backbone, gray):
    if name == "openvino":
        pytest.importorskip("openvino")
    colour = replicate(gray, backbone.mean, backbone.std)
    with torch.inference_mode():
        expected = backbone.module(colour)
    images = with_ones(gray) if adapter == "folded" else colour
    untouched = images.clone()
    run = make_engine(name, backbone, device=CPU, adapter=adapter)
    for size in (3, 1):
        got = torch.cat([run(part) for part in images.split(size)])
        assert got.dtype == torch.float32
        assert _off(got, expected) < 1e-4
    assert torch.equal(images, untouched)


@pytest.mark.parametrize("name", engines.ENGINES)
def test_bf16_is_near_fp32_comes_back_as_float32_and_is_not_equal(name, backbone, gray):
    if name == "openvino":
        openvino = pytest.importorskip("openvino")
        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # It does not notice where its library is told to use less than the processor has.
        if "BF16" not in able or "ONEDNN_MAX_CPU_ISA" in os.environ:
            pytest.skip("OpenVINO has no bf16 on this processor")
    colour = replicate(gray, backbone.mean, backbone.std)
    exact, rough = (
        make_engine(name, backbone, device=CPU, precision=precision)(colour) for precision in ("fp32", "bf16")
    )
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert torch.corrcoef(torch.stack([rough.flatten(), exact.flatten()]))[0, 1] > 0.99


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_convolution_its_addition_and_its_activation_are_one_operation(backbone, precision, gray, caplog):
    """If a new PyTorch fails here, the course still embeds, at a third of its speed, and says so."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch was built without oneDNN")
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bf16 on this processor")
    run = make_engine("torch", backbone, device=CPU, precision=precision)
    assert not caplog.records
    with torch.profiler.profile() as profile:
        run(replicate(gray, backbone.mean, backbone.std))
    called = {event.key: event.count for event in profile.key_averages()}
    # ResNet-50: 53 convolutions, 16 of them at the end of a block. Lite0: 49 in 16 blocks, 9 with a shortcut.
    plain, added = {"resnet50": (37, 16), "efficientnet_lite0": (40, 9)}[backbone.name]
    assert called["mkldnn::_convolution_pointwise"] == plain
    assert called["mkldnn::_convolution_pointwise_"] == added
    apart = {"aten::relu_", "aten::hardtanh", "aten::batch_norm", "aten::add_", "aten::add", "aten::conv2d"}
    assert not apart & called.keys()
    # Lite0 pads one side more than the other in five places: only its first convolution needs a copy for it.
    assert called.get("aten::constant_pad_nd", 0) == (backbone.name == "efficientnet_lite0")


def _watch_layouts(monkeypatch) -> list[list[int]]:
    """Return a list that gets the sizes of input for which weights are laid out from here on."""
    sizes: list[list[int]] = []
    lay_out = torch._C._nn.mkldnn_reorder_conv2d_weight

    def watched(*given, input_size):
        sizes.append(input_size)
        return lay_out(*given, input_size=input_size)

    monkeypatch.setattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", watched)
    return sizes


def test_weights_are_laid_out_for_the_sizes_that_the_network_sees(resnet50, monkeypatch):
    sizes = _watch_layouts(monkeypatch)
    make_engine("torch", resnet50, device=CPU)
    # Without them bf16 ran at half the speed. Sizes as in table 1 of the paper on residual networks.
    assert sizes[0] == [8, 3, 224, 224]
    assert sizes[1] == [8, 64, 56, 56]
    assert [8, 1024, 14, 14] in sizes
    assert sizes[-1] == [8, 512, 7, 7]
    assert {size[0] for size in sizes} == {8}


def test_weights_are_laid_out_for_one_image_once_the_first_comes_alone(resnet50, gray, monkeypatch):
    sizes = _watch_layouts(monkeypatch)
    colour = replicate(gray, resnet50.mean, resnet50.std)
    run = make_engine("torch", resnet50, device=CPU)
    for images in (colour, colour[:2]):
        run(images)
    assert [size[0] for size in sizes] == 53 * [8]
    for image in colour.split(1):
        run(image)
    assert [size[0] for size in sizes[53:]] == 53 * [1]
    assert sorted(size[1:] for size in sizes[53:]) == sorted(size[1:] for size in sizes[:53])


@pytest.mark.parametrize("batch_size", [1, 32])
def test_weights_are_laid_out_for_the_extractors_own_batch_size_and_once(
    batch_size, lite0, gray, monkeypatch
):
    sizes = _watch_layouts(monkeypatch)
    extractor = EmbeddingExtractor(lite0, device="cpu", batch_size=batch_size)
    extractor.embed(gray[:2])
    assert [size[0] for size in sizes] == 49 * [batch_size]
    assert [batch_size, 3, 225, 225] in sizes  # padded by one before, 224 otherwise


@pytest.mark.parametrize(("kernel", "size"), [(3, 12), (3, 13), (5, 14)])
def test_padding_one_side_more_by_zeros_among_the_weights_gives_the_same(kernel, size):
    left = kernel // 2 - 1
    conv = nn.Conv2d(16, 16, kernel, stride=2, groups=16).requires_grad_(False)
    conv.static_padding, conv.input_size = nn.ZeroPad2d((left, left + 1, left, left + 1)), [2, 16, size, size]
    x = torch.rand(2, 16, size, size).to(memory_format=torch.channels_last)
    weight, padding, first = onednn._padded(conv)
    assert (weight.shape[-1], padding, first) == (kernel + 1, [left + 1, left + 1], None)
    expected = torch.nn.functional.conv2d(
        conv.static_padding(x).double(), conv.weight.double(), None, 2, 0, 1, 16
    )
    given = torch.nn.functional.conv2d(x.double(), weight.double(), None, 2, padding, 1, 16)
    torch.testing.assert_close(given, expected, rtol=1e-12, atol=1e-12)
    if torch.backends.mkldnn.is_available():
        got = onednn.OnePass(conv)(x) - conv.bias[:, None, None]
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-6)


def test_without_fusing_every_operation_is_torchvisions(resnet50, gray):
    colour = replicate(gray, resnet50.mean, resnet50.std)
    with torch.inference_mode():
        expected = resnet50.module(colour)
    assert torch.equal(make_engine("torch", resnet50, device=CPU, fuse=False)(colour), expected)


@pytest.fixture
def not_yet_warned():
    onednn._warn_of_lost_speed.cache_clear()
    yield
    onednn._warn_of_lost_speed.cache_clear()


@pytest.mark.usefixtures("not_yet_warned")
@pytest.mark.parametrize(
    "error", [AttributeError("renamed"), RuntimeError("other types"), TypeError("other")]
)
def test_a_pytorch_that_has_lost_one_pass_runs_as_before_and_that_is_said_once(
    error, lite0, gray, monkeypatch, caplog
):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch was built without oneDNN")

    def gone(*given, **named):
        raise error

    colour = replicate(gray, lite0.mean, lite0.std)
    expected = make_engine("torch", lite0, device=CPU)(colour)
    monkeypatch.setattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", gone)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert _off(make_engine("torch", lite0, device=CPU)(colour), expected) < 1e-4
    (record,) = caplog.records
    assert "slower than it could be" in record.message
    assert type(error).__name__ in record.message


@pytest.mark.usefixtures("not_yet_warned")
def test_where_there_is_no_onednn_nothing_is_warned_of(lite0, gray, monkeypatch, caplog):
    colour = replicate(gray, lite0.mean, lite0.std)
    expected = make_engine("torch", lite0, device=CPU)(colour)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert _off(make_engine("torch", lite0, device=CPU)(colour), expected) < 1e-4
    assert not caplog.records


def test_one_pass_that_gives_other_numbers_is_not_used_and_that_is_said(resnet50, gray, monkeypatch, caplog):
    def wrong(network):
        network.layer4[2].conv3.bias += 1
        return network

    colour = replicate(gray, resnet50.mean, resnet50.std)
    expected = make_engine("torch", resnet50, device=CPU)(colour)
    monkeypatch.setattr(onednn, "_resnet", wrong)
    with caplog.at_level(logging.WARNING):
        got = make_engine("torch", resnet50, device=CPU)(colour)
    assert "different numbers" in caplog.text
    assert _off(got, expected) < 1e-4


class _LayoutOfInput(nn.Module):
    """Gives 1 where the images came in channels-last memory, else 0."""

    def forward(self, x):
        last = x.is_contiguous(memory_format=torch.channels_last)
        return torch.full((len(x), 1280), float(last), dtype=x.dtype)


def test_images_come_in_channels_last_memory_where_fused(lite0, gray):
    watching = dataclasses.replace(lite0, module=_LayoutOfInput())
    colour = replicate(gray, lite0.mean, lite0.std)
    assert (make_engine("torch", watching, device=CPU)(colour) == 1).all()
    assert (make_engine("torch", watching, device=CPU, fuse=False)(colour) == 0).all()


def test_openvino_that_is_not_installed_is_one_sentence(lite0, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EmbeddingError, match="pip install openvino"):
        EmbeddingExtractor(lite0, device="cpu", engine="openvino")


def test_openvino_computes_on_the_cpu_and_nowhere_else(lite0):
    pytest.importorskip("openvino")
    with pytest.raises(EmbeddingError, match="not on cuda"):
        make_engine("openvino", lite0, device=torch.device("cuda"))
    with pytest.raises(EmbeddingError, match="fp16"):
        EmbeddingExtractor(lite0, engine="openvino", precision="fp16", device="cpu")
    assert EmbeddingExtractor(lite0, engine="openvino").device == CPU


def test_openvino_reports_nothing_to_anybody():
    pytest.importorskip("openvino")
    script = """
import socket, sys
def refuse(*arguments): raise SystemExit("it wanted to connect")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from course_utils.embedding import EmbeddingExtractor, load_backbone
EmbeddingExtractor(load_backbone("efficientnet_lite0"), engine="openvino")
print(sys.modules["openvino_telemetry"])
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "None"
