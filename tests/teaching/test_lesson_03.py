"""The network that the solved lesson 03 builds is torchvision's ResNet-50, number for number."""

import ast
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import ResNet50_Weights, resnet18, resnet50

from course_utils.embedding.adapters import replicate
from course_utils.embedding.backbones import IMAGENET_MEAN, IMAGENET_STD
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms
from course_utils.teaching import exercise
from course_utils.teaching import resnet as course

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "03_convolution_to_resnet50.py"
DEFINED = {"convolve", "through", "fold", "Bottleneck", "four_stages", "ResNet50", "prove", "Tower"}


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


def test_the_lessons_count_is_what_torchvision_publishes():
    with torch.device("meta"):
        network = resnet50(weights=None)
    table = course.count(network)
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


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("03.1", course.convolve),
        ("03.2", course.through),
        ("03.3", course.batch_norm),
        ("03.4", course.fold),
        ("03.5", course.Bottleneck),
        ("03.6", course.four_stages),
        ("03.7", course.prove),
    ],
)
def test_what_the_lesson_runs_on_otherwise_is_right(number, answer):
    assert exercise(number).judge(answer).state == "right"


@pytest.mark.parametrize("fold", ["lesson", "course"])
def test_folding_all_pairs_leaves_no_batch_norm_and_the_same_numbers(lesson, theirs, images, fold):
    network = copy.deepcopy(theirs).double()
    folded = course.fold_all(network, lesson["fold"] if fold == "lesson" else course.fold)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == 53
    with torch.inference_mode():
        before, after = network(images[:1].double()), folded(images[:1].double())
    assert (before - after).abs().max() < 1e-10 * before.abs().max()


def test_a_deep_plain_tower_stays_behind_on_its_own_pictures_and_one_with_shortcuts_does_not(lesson):
    """What the lesson says of its learning curves, on made-up pictures and another start."""
    generator = torch.Generator().manual_seed(5)
    pictures, target = torch.rand(16, 1, 16, 16, generator=generator), torch.arange(16) % 2
    pictures[target == 1] *= torch.linspace(0.4, 1, 16)
    last = {}
    for shortcut in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            tower = lesson["Tower"](56, shortcut, norm=True, width=8)
            optimizer = torch.optim.SGD(tower.parameters(), lr=0.05, momentum=0.9)
            for _ in range(60):
                optimizer.zero_grad()
                loss = F.cross_entropy(tower(pictures), target)
                loss.backward()
                optimizer.step()
        last[shortcut] = loss.item()
    assert last[True] < 0.1 < 0.25 < last[False]


def by_sliding_views(x, kernels, stride, padding):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernels.shape[2:], axis=(1, 2))
    return np.einsum("cijab,ocab->oij", windows[:, ::stride, ::stride], kernels)


def fused_by_torch(weight, bn):
    numbers = (bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    return nn.utils.fusion.fuse_conv_bn_weights(weight, None, *numbers)


def asserts_the_names(mine, theirs, images):
    assert mine.state_dict().keys() == theirs.state_dict().keys()
    mine.load_state_dict(theirs.state_dict(), strict=False)
    with torch.no_grad():
        a, b = mine.eval()(images), theirs.eval()(images)
    return (a - b).abs().max() / b.abs().max()


def takes_one_picture_at_a_time(mine, theirs, images):
    mine.load_state_dict(theirs.state_dict())
    mine.eval(), theirs.eval()
    a, b = (torch.cat([net(x[None]).detach() for x in images]).numpy() for net in (mine, theirs))
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("03.1", by_sliding_views),
        ("03.2", lambda layers, size: np.array(course.through(layers, size))),
        ("03.4", fused_by_torch),
        ("03.7", asserts_the_names),
        ("03.7", takes_one_picture_at_a_time),
        ("03.8", lambda: resnet50()),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


def compares(by):
    """A proof that is right but for how it compares."""

    def prove(mine, theirs, images):
        mine.load_state_dict(theirs.state_dict())
        with torch.no_grad():
            return by(mine.eval()(images), theirs.eval()(images)).item()

    return prove


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("03.1", lambda *given: torch.from_numpy(by_sliding_views(*given)), "they come as a Tensor"),
        ("03.1", lambda x, k, s, p: by_sliding_views(x, k, s, 0 * p), "as if there were no padding"),
        ("03.2", lambda layers, n: [float(x) for x in course.through(layers, n)], "whole numbers"),
        ("03.2", lambda layers, n: (x for x in course.through(layers, n)), "you return a generator"),
        (
            "03.3",
            lambda x, gamma, beta, eps: course.batch_norm(x, gamma, beta, 1e-5),
            "the eps that is given",
        ),
        ("03.6", lambda block: [nn.Sequential(list(each)) for each in course.four_stages(block)], "*blocks"),
        ("03.7", lambda *given: f"{course.prove(*given):.0e}", "you return a str"),
        ("03.7", compares(lambda a, b: ((a - b).abs().amax(1) / b.abs().amax(1)).max()), "its own largest"),
        ("03.7", compares(lambda a, b: (a - b).abs().max() / a.abs().max()), "`theirs` that is the"),
        ("03.7", compares(lambda a, b: (a - b).max() / b.max()), "both need `abs()` first"),
        ("03.7", compares(lambda a, b: (a.max() - b.max()).abs() / b.abs().max()), "is right for two"),
        ("03.7", compares(lambda a, b: ((a - b) / b).abs().mean()), "the mean of shares"),
        ("03.8", lambda: resnet18(), "the state dict does not fit"),
        ("03.8", lambda: nn.ReLU(), "has no weights"),
        ("03.8", lambda: resnet50, "an `nn.Module` is needed"),
        ("03.8", lambda: nn.Linear, "you return a class"),
    ],
)
def test_a_rarer_mistake_is_named_too(number, answer, says):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text


def test_a_check_leaves_random_numbers_as_they_are():
    for number, answer in (("03.5", course.Bottleneck), ("03.6", course.four_stages), ("03.7", course.prove)):
        before = torch.get_rng_state()
        exercise(number).judge(answer)
        assert torch.equal(torch.get_rng_state(), before), number
