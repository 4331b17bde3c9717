"""The network that the solved lesson 03 builds is torchvision's ResNet-50, number for number."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import ResNet50_Weights, resnet50

from course_utils.embedding.adapters import replicate
from course_utils.embedding.backbones import IMAGENET_MEAN, IMAGENET_STD
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "03_convolution_to_resnet50.py"
DEFINED = {"convolve", "through", "fold", "Bottleneck", "four_stages", "ResNet50", "prove", "count"}


@pytest.fixture(scope="module")
def lesson():
    """What the lesson's source defines, solutions included, and nothing else of it."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if getattr(node, "name", None) in DEFINED]
    names = {"np": np, "torch": torch, "F": F, "nn": nn}
    exec(compile(tree, str(SOURCE), "exec"), names)
    assert names.keys() >= DEFINED
    return names


@pytest.fixture(scope="module")
def images():
    preprocess = Preprocessor(size=224)
    gray = np.stack([preprocess(read_mammogram(path)) for path in real_mammograms().path])
    return replicate(torch.from_numpy(gray), IMAGENET_MEAN, IMAGENET_STD)


@pytest.fixture(scope="module")
def theirs(images):
    """torchvision's ResNet-50 without classifier, with no scale, shift or statistic that is 1 or 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = resnet50(weights=None)
        network.fc = nn.Identity()
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        for module in norms:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.momentum = 1.0  # one pass, and the statistics are those of the mammograms
    with torch.no_grad():
        network.train()(images)
        for module in norms:
            module.running_mean += 0.1
    return network.eval()


def difference(mine, theirs, images):
    mine.load_state_dict(theirs.state_dict(), strict=True)
    with torch.inference_mode():
        got, wanted = mine.eval()(images), theirs(images)
    assert got.shape == wanted.shape == (len(images), 2048)
    assert wanted.std(dim=0).median() > 0.001 * wanted.abs().max()  # the mammograms are told apart
    return ((got - wanted).abs().max() / wanted.abs().max()).item()


def test_the_students_network_gives_torchvisions_2048_numbers_on_eight_real_mammograms(
    lesson, theirs, images
):
    mine = lesson["ResNet50"](lesson["four_stages"](lesson["Bottleneck"]))
    assert len(images) == 8
    assert difference(mine, theirs, images) < 1e-5
    assert lesson["prove"](mine, theirs, images[:2]) < 1e-5


@pytest.mark.parametrize(
    "spoil",
    [
        lambda block: (setattr(block.conv1, "stride", (2, 2)), setattr(block.conv2, "stride", (1, 1))),
        lambda block: setattr(block.bn3, "eps", 1e-3),
        lambda block: setattr(block, "bn2", nn.Identity()),
    ],
    ids=["the paper's stride", "another eps", "a lost batch norm"],
)
def test_the_comparison_sees_one_spoilt_block_of_sixteen(lesson, theirs, images, spoil):
    mine = lesson["ResNet50"](lesson["four_stages"](lesson["Bottleneck"]))
    mine.load_state_dict(theirs.state_dict(), strict=True)
    spoil(mine.layer2[0])
    with torch.inference_mode():
        got, wanted = mine.eval()(images[:2]), theirs(images[:2])
    assert (got - wanted).abs().max() > 1e-5 * wanted.abs().max()


def test_the_lessons_count_is_what_torchvision_publishes(lesson):
    with torch.device("meta"):
        network = resnet50(weights=None)
    table = lesson["count"](network)
    parameters, products = (sum(column) for column in zip(*table.values(), strict=True))
    meta = ResNet50_Weights.IMAGENET1K_V2.meta
    assert parameters == meta["num_params"] == sum(p.numel() for p in network.parameters())
    assert round(products / 1e9, 3) == round(meta["_ops"], 3)
    assert parameters - table["fc"][0] == 23_508_032


def test_the_lessons_convolution_is_torchs(lesson):
    rng = np.random.default_rng(3)
    x, kernels = rng.standard_normal((3, 17, 12)), rng.standard_normal((4, 3, 7, 7))
    wanted = F.conv2d(torch.from_numpy(x)[None], torch.from_numpy(kernels), stride=2, padding=3)[0].numpy()
    assert np.allclose(lesson["convolve"](x, kernels, 2, 3), wanted)


def test_the_lessons_fold_is_exact_in_double_precision(lesson, theirs, images):
    block = theirs.layer1[0].double()
    x = torch.rand(2, 64, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        weight, bias = lesson["fold"](block.conv2.weight, block.bn2)
        got, wanted = F.conv2d(x, weight, bias, padding=1), block.bn2(block.conv2(x))
    theirs.layer1[0].float()
    assert torch.allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_the_lessons_rule_gives_the_fields_of_both_layouts_as_added_up_by_hand(lesson):
    """A 3 × 3 adds twice the jump before it; in the paper's layout the first of a stage has the new jump."""
    through, block = lesson["through"], [(1, 1, 0), (3, 1, 1), (1, 1, 0)]
    stem = [(7, 2, 3), (3, 2, 1)]
    layouts = {"paper": [(1, 2, 0), (3, 1, 1), (1, 1, 0)], "V1.5": [(1, 1, 0), (3, 2, 1), (1, 1, 0)]}
    ends = {
        name: through([*stem, *3 * block, *half, *3 * block, *half, *5 * block, *half, *2 * block], 224)
        for name, half in layouts.items()
    }
    assert ends["paper"] == (7, 11 + 2 * (3 * 4 + 4 * 8 + 6 * 16 + 3 * 32), 32) == (7, 483, 32)
    assert ends["V1.5"] == (7, 11 + 2 * (3 * 4 + (4 + 3 * 8) + (8 + 5 * 16) + (16 + 2 * 32)), 32)
