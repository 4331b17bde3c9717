"""Other networks: torchvision's for real, timm's for real where it is installed, and by a stand-in."""

import hashlib
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import ResNet18_Weights
from torchvision.models._api import Weights, WeightsEnum

from course_utils.embedding import EmbeddingError, EmbeddingExtractor, WeightsUnavailable, load_backbone, zoos
from course_utils.embedding.hub import weights_file
from course_utils.embedding.statedicts import only_features

SMALL = {
    "resnet18": ("fc", 512),
    "mobilenet_v2": ("classifier.1", 1280),
    "mobilenet_v3_small": ("classifier.3", 1024),
    "efficientnet_b0": ("classifier.1", 1280),
    "regnet_y_400mf": ("fc", 440),
    "shufflenet_v2_x0_5": ("fc", 1024),
    "mnasnet0_5": ("classifier.1", 1280),
}
"""By family, the smallest member: where its classifier is, and how long the vectors are that it is given."""
LARGE = {
    "alexnet": ("classifier.6", 4096),
    "densenet121": ("classifier", 1024),
    "convnext_tiny": ("classifier.2", 768),
    "efficientnet_v2_s": ("classifier.1", 1280),
    "googlenet": ("fc", 1024),
    "inception_v3": ("fc", 2048),
    "maxvit_t": ("classifier.5", 512),
    "resnext50_32x4d": ("fc", 2048),
    "swin_t": ("head", 768),
    "swin_v2_t": ("head", 768),
    "vgg11": ("classifier.6", 4096),
    "vgg11_bn": ("classifier.6", 4096),
    "vit_b_32": ("heads.head", 768),
    "wide_resnet50_2": ("fc", 2048),
}


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_the_vector_of_a_torchvision_network_is_what_its_classifier_is_given(name):
    classifier, dimensions = (SMALL | LARGE)[name]
    inception = name in ("googlenet", "inception_v3")  # these draw their weights in an order of their own
    options = {"init_weights": False, "aux_logits": False} if inception else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        whole = models.get_model(name, weights=None, **options).eval()
    caught = []
    whole.get_submodule(classifier).register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    backbone = load_backbone(f"torchvision:{name}", weights="random", seed=5)
    given = torch.rand(2, 3, backbone.input_size, backbone.input_size)
    with torch.inference_mode():
        whole(given)
        got = backbone.module(given)
    assert got.shape == (2, dimensions) == (2, backbone.embedding_dim)
    assert torch.equal(got, caught[0])


def test_size_mean_std_and_interpolation_are_those_of_torchvisions_own_transforms():
    for name in SMALL:
        backbone, transforms = load_backbone(f"torchvision:{name}", weights="random"), _transforms(name)
        assert [backbone.input_size] == transforms.crop_size
        assert (list(backbone.mean), list(backbone.std)) == (transforms.mean, transforms.std)
        assert backbone.interpolation == transforms.interpolation.value


def _transforms(name):
    return models.get_model_weights(name).DEFAULT.transforms()


def test_pictures_are_resized_as_the_networks_own_transforms_do():
    picture = np.random.default_rng(0).random((1, 1, 300, 300), np.float32)
    backbone = load_backbone("torchvision:efficientnet_b0", weights="random")
    transforms = models.EfficientNet_B0_Weights.DEFAULT.transforms(resize_size=224)
    assert backbone.interpolation == "bicubic"
    with torch.inference_mode():
        expected = backbone.module(transforms(torch.from_numpy(picture).expand(-1, 3, -1, -1))).numpy()
    got = EmbeddingExtractor(backbone, device="cpu", fuse=False).embed(picture)
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_the_inceptions_get_the_normalisation_that_torchvision_does_inside_them(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = models.get_model(
            name, weights=None, init_weights=False, aux_logits=False, transform_input=True
        ).eval()
    whole.fc = nn.Identity()
    backbone = load_backbone(f"torchvision:{name}", weights="random")
    picture = np.random.default_rng(0).random((1, 1, backbone.input_size, backbone.input_size), np.float32)
    usual = _transforms(name)(torch.from_numpy(picture).expand(-1, 3, -1, -1))
    with torch.inference_mode():
        expected = whole(usual).numpy()
    # Its transforms crop the middle of a larger picture; of one that has the right size already, all of it.
    assert usual.shape[-1] == backbone.input_size
    transforms = _transforms(name)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (transforms.mean, transforms.std))
    with torch.inference_mode():
        expected = whole((torch.from_numpy(picture).expand(-1, 3, -1, -1) - mean) / std).numpy()
    got = EmbeddingExtractor(backbone, device="cpu").embed(picture)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_random_weights_are_seeded_say_random_and_leave_the_callers_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one, again, other = (
        load_backbone("torchvision:mobilenet_v3_small", weights="random", seed=seed).weights
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(2), expected)
    assert one == again
    assert one.sha256 != other.sha256
    assert (one.pretrained, one.id, one.seed) == (False, "RANDOM (seed 1)", 1)


# Weights: a file, the network's own, or none


@pytest.fixture(scope="module")
def state():
    return models.mobilenet_v3_small(weights=None).state_dict()


@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone."])
def test_a_file_may_hold_the_classifier_and_prefixes(state, tmp_path, prefix):
    file = tmp_path / "mine.pth"
    torch.save({"state_dict": {prefix + key: value for key, value in state.items()}}, file)
    backbone = load_backbone("torchvision:mobilenet_v3_small", weights=file)
    assert (backbone.weights.id, backbone.weights.pretrained) == ("mine.pth", True)
    # The first linear layer of this classifier belongs to the network: only the last one is left out.
    assert torch.equal(backbone.module.classifier[0].weight, state["classifier.0.weight"])


def test_a_file_without_the_classifier_will_do_and_one_of_another_network_will_not(state, tmp_path):
    file = tmp_path / "mine.pth"
    torch.save({key: v for key, v in state.items() if not key.startswith("classifier.3.")}, file)
    load_backbone("torchvision:mobilenet_v3_small", weights=file)
    with pytest.raises(EmbeddingError, match="do not fit this network"):
        load_backbone("torchvision:resnet18", weights=file)


def test_names_of_a_network_that_look_like_a_prefix_or_a_head_are_kept():
    names = ["encoder.layers.0.weight", "head.norm.weight", "conv.weight"]
    held = {name: torch.zeros(1) for name in [*names, "heads.head.weight", "fc.weight"]}
    expected = dict.fromkeys(names, torch.zeros(1))
    heads = ("fc.", "head.", "heads.head.")
    assert only_features(held, "file", known=names, heads=heads) == expected
    wrapped = {f"module.{name}": value for name, value in held.items()}
    assert only_features(wrapped, "file", known=names, heads=heads) == expected


@pytest.mark.slow
def test_torchvisions_files_of_densenet_name_their_layers_as_they_once_did(tmp_path):
    state = models.densenet121(weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): v for key, v in state.items()}
    assert old.keys() != state.keys()
    hashes = []
    for held in (state, old):
        torch.save(held, tmp_path / "densenet.pth")
        hashes.append(
            load_backbone("torchvision:densenet121", weights=tmp_path / "densenet.pth").weights.sha256
        )
    assert hashes[0] == hashes[1]


@pytest.fixture
def cached(monkeypatch, tmp_path, state):
    """torchvision's own weights, as they lie in torch's cache once they were fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("COURSE_WEIGHTS", raising=False)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "x.pth")
    digest = hashlib.sha256((folder / "x.pth").read_bytes()).hexdigest()[:8]
    file = (folder / "x.pth").rename(folder / f"mobilenet-{digest}.pth")
    transforms = models.MobileNet_V3_Small_Weights.DEFAULT.transforms

    class StandIn(WeightsEnum):
        SWAG = Weights(f"http://127.0.0.1:9/{file.name}", transforms, {"license": "CC-BY-NC 4.0"})
        DEFAULT = SWAG

    monkeypatch.setattr(models, "get_model_weights", lambda _: StandIn)
    return file


def test_a_networks_own_weights_are_taken_from_torchs_cache_with_their_licence(cached):
    weights = load_backbone("torchvision:mobilenet_v3_small").weights
    assert (weights.id, weights.source, weights.licence) == ("StandIn.SWAG", "torchvision", "CC-BY-NC 4.0")
    assert weights.pretrained
    assert weights.sha256 == load_backbone("torchvision:mobilenet_v3_small", weights=cached).weights.sha256


def test_a_networks_own_weights_that_were_damaged_are_refused(cached):
    with cached.open("r+b") as file:
        file.seek(1000)
        file.write(b"xxxx")
    with pytest.raises(WeightsUnavailable, match="is damaged"):
        load_backbone("torchvision:mobilenet_v3_small")


def test_a_networks_own_weights_that_cannot_be_had_are_an_error_and_no_other_network_takes_its_place(cached):
    cached.unlink()
    with pytest.raises(
        WeightsUnavailable, match=r"torchvision:mobilenet_v3_small's.*Three ways out.*as --weights PATH; or"
    ):
        load_backbone("torchvision:mobilenet_v3_small")


def test_every_network_of_torchvisions_can_be_planned_and_its_file_is_named_by_its_hash():
    for name in models.list_models(module=models):
        plan, enum = zoos.plan(f"torchvision:{name}"), models.get_model_weights(name).DEFAULT
        assert plan.interpolation == enum.transforms().interpolation.value
        assert plan.input_size >= 224
        assert re.fullmatch("[0-9a-f]{8,}", weights_file(enum).stem.rpartition("-")[2])


def test_torchvisions_real_entries_name_their_licence_or_have_its_own():
    assert "license" not in ResNet18_Weights.DEFAULT.meta
    assert "SWAG" in models.ViT_H_14_Weights.DEFAULT.meta["license"]


def test_the_environment_may_name_a_network_and_the_file_that_is_meant_for_it(monkeypatch, state, tmp_path):
    file = tmp_path / "mine.pth"
    torch.save(state, file)
    monkeypatch.setenv("COURSE_WEIGHTS", str(file))
    monkeypatch.setenv("COURSE_BACKBONE", "torchvision:mobilenet_v3_small")
    assert load_backbone().weights.id == "mine.pth"
    # The file is not meant for any other network.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("course_utils.embedding.hub.weights_reachable", lambda _: False)
    with pytest.raises(WeightsUnavailable, match="torchvision:resnet18's ImageNet weights"):
        load_backbone("torchvision:resnet18")


# Names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:resnet19", r"^torchvision has no network 'resnet19': the nearest are resnet1"),
        ("torchvision:ResNet18", r"the nearest .*resnet18"),
        ("torchvision:", r"there are \d+, such as alexnet and wide_resnet50_2$"),
        ("torchvision:fcn_resnet50", "torchvision has no network"),  # it segments, and gives no vector
        ("resnet18", "choose auto, resnet50 or efficientnet_lite0, or a network as torchvision:NAME"),
    ],
)
def test_an_unknown_network_is_one_sentence_with_the_nearest_names(name, said):
    with pytest.raises(EmbeddingError, match=said) as error:
        load_backbone(name, weights="random")
    assert "\n" not in str(error.value)


def test_a_network_without_a_linear_layer_has_no_vector_but_has_layers():
    with pytest.raises(EmbeddingError, match=r"ends in no linear layer.*\(features, classifier\)"):
        load_backbone("torchvision:squeezenet1_1", weights="random")
    backbone = load_backbone("torchvision:squeezenet1_1", weights="random", layer="features")
    assert backbone.embedding_dim == 512


# timm, by a stand-in


class _TimmNet(nn.Module):
    """As timm makes them: `num_classes=0` leaves out the classifier."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 5, stride=4), nn.BatchNorm2d(6)
        self.head = nn.Module()
        self.head.norm = nn.LayerNorm(6)
        self.head.fc = nn.Linear(6, num_classes) if num_classes else nn.Identity()

    def forward(self, x):
        return self.head.fc(self.head.norm(self.norm(self.conv(x)).relu().mean((2, 3))))


@pytest.fixture
def timm(monkeypatch):
    """The few functions of timm that are used, as its version 1.0 has them."""
    config = SimpleNamespace(
        input_size=(3, 96, 96),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        interpolation="bicubic",
        classifier="head.fc",
        license="cc-by-nc-4.0",
        has_weights=True,
        hf_hub_id="timm/tiny.a1_in1k",
        origin_url=None,
        architecture="tiny",
        tag="a1_in1k",
    )
    module = SimpleNamespace(
        online=True, checked=[], config=config, models=SimpleNamespace(set_pretrained_check_hash=None)
    )

    def get_pretrained_cfg(name):
        if name.startswith("tiny.") and name != "tiny.a1_in1k":
            raise RuntimeError("Invalid pretrained tag")
        return config if name.startswith("tiny") else None

    def create_model(name, pretrained, num_classes):
        if pretrained and not module.online:
            raise OSError("no such host as somebody.example")
        made = _TimmNet(num_classes)
        if pretrained:
            made.norm.weight.data.fill_(2)
        return made

    module.get_pretrained_cfg, module.create_model = get_pretrained_cfg, create_model
    module.models.set_pretrained_check_hash = module.checked.append
    module.list_models = lambda pretrained=False: ["tiny.a1_in1k"] if pretrained else ["tiny", "vast"]
    monkeypatch.setitem(sys.modules, "timm", module)
    monkeypatch.delenv("COURSE_WEIGHTS", raising=False)
    return module


def test_a_timm_network_brings_its_own_configuration(timm):
    backbone = load_backbone("timm:tiny", weights="random")
    assert (backbone.embedding_dim, backbone.input_size, backbone.interpolation) == (6, 96, "bicubic")
    assert (backbone.mean, backbone.std) == ((0.5,) * 3, (0.25,) * 3)
    assert not backbone.weights.pretrained
    early = load_backbone("timm:tiny.a1_in1k", weights="random", layer="conv", pool="multi")
    assert (early.embedding_dim, early.name) == (30, "timm:tiny.a1_in1k")


def test_timms_own_weights_carry_their_provenance_and_their_hash_is_checked(timm):
    weights = load_backbone("timm:tiny", weights="imagenet").weights
    assert (weights.id, weights.source) == ("tiny.a1_in1k", "timm (timm/tiny.a1_in1k)")
    assert (weights.licence, weights.pretrained) == ("cc-by-nc-4.0", True)
    assert timm.checked == [True]


def test_timms_own_weights_that_cannot_be_had_are_one_sentence(timm):
    timm.online = False
    with pytest.raises(
        WeightsUnavailable, match=r"of timm:tiny are not on this machine.*Three ways out"
    ) as error:
        load_backbone("timm:tiny", weights="imagenet")
    assert "somebody" not in str(error.value)


def test_a_timm_network_that_was_never_trained_is_not_said_to_be_pretrained(timm):
    timm.config.has_weights = False
    with pytest.raises(WeightsUnavailable, match=r"without weights.*the nearest is tiny.a1_in1k"):
        load_backbone("timm:tiny", weights="imagenet")
    load_backbone("timm:tiny", weights="random")


def test_a_file_of_a_timm_network_keeps_the_norm_of_its_head(timm, tmp_path):
    state = _TimmNet(10).state_dict()
    torch.save(state, tmp_path / "mine.pth")
    backbone = load_backbone("timm:tiny", weights=tmp_path / "mine.pth")
    assert torch.equal(backbone.module.head.norm.weight, state["head.norm.weight"])


def test_an_unknown_timm_network_names_the_nearest(timm):
    with pytest.raises(EmbeddingError, match="timm has no network 'tinny': the nearest is tiny"):
        load_backbone("timm:tinny", weights="random")
    with pytest.raises(EmbeddingError, match=r"no network 'tiny.a2_in1k': the nearest is tiny.a1_in1k"):
        load_backbone("timm:tiny.a2_in1k", weights="random")


def test_another_interpolation_is_done_bicubically(timm):
    timm.config.interpolation = "lanczos"
    assert load_backbone("timm:tiny", weights="random").interpolation == "bicubic"


def test_without_timm_the_way_to_install_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(EmbeddingError, match="pip install timm"):
        load_backbone("timm:resnet18", weights="random")


def test_nothing_is_told_to_the_hub_about_who_uses_it():
    pytest.importorskip("timm")
    script = """
from course_utils.embedding import load_backbone
load_backbone("timm:resnet18", weights="random")
from huggingface_hub import constants
print(constants.HF_HUB_DISABLE_TELEMETRY)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_a_real_timm_network_gives_timms_own_vectors():
    timm = pytest.importorskip("timm")
    backbone = load_backbone("timm:resnet18", weights="random", seed=1)
    torch.manual_seed(1)
    whole = timm.create_model("resnet18", pretrained=False, num_classes=0).eval()
    picture = np.random.default_rng(0).random((1, 1, 224, 224), np.float32)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (backbone.mean, backbone.std))
    with torch.inference_mode():
        expected = whole((torch.from_numpy(picture).expand(-1, 3, -1, -1) - mean) / std).numpy()
    got = EmbeddingExtractor(backbone, device="cpu").embed(picture)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()
    assert load_backbone("timm:resnet18", weights="random", layer="layer2").embedding_dim == 128
