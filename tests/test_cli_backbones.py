"""`course embed` with other networks and earlier layers, end to end."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v3_small
from torchvision.models.feature_extraction import create_feature_extractor

from course_utils import cli
from course_utils.cli import arguments, values
from course_utils.embedding import Extraction, backbones, zoos
from course_utils.embedding.features import POOLS
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import sample_cohort

RANDOM = ["--weights", "random", "--device", "cpu", "--size", "224", "--workers", "0"]
EARLY = ["--backbone", "torchvision:mobilenet_v3_small", "--layer", "features.3", "--pool", "max"]


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_WEIGHTS", raising=False)


@pytest.fixture(scope="module")
def two():
    return [str(path) for path in sample_cohort()["path"][:2]]


def test_embed_takes_a_network_a_layer_and_a_pooling_and_records_them(two, capsys):
    assert cli.main(["embed", *two, "-o", "out", *EARLY, *RANDOM]) == 0
    written, record = Extraction.read("out"), json.loads(Path("out/run.json").read_text())
    label = "torchvision:mobilenet_v3_small layer=features.3 pool=max"
    assert record["backbone"] == label
    assert record["weights"]["pretrained"] is False
    printed = capsys.readouterr().out
    assert "RANDOM WEIGHTS" in printed
    assert label in printed

    torch.manual_seed(0)
    network = create_feature_extractor(mobilenet_v3_small(weights=None).eval(), {"features.3": "out"})
    gray = torch.stack([torch.from_numpy(Preprocessor(size=224)(read_mammogram(path))) for path in two])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.inference_mode():
        expected = network((gray.expand(-1, 3, -1, -1) - mean) / std)["out"].amax((2, 3)).numpy()
    assert np.abs(written.vectors - expected).max() < 1e-4 * np.abs(expected).max()


def test_another_layer_is_computed_and_the_same_one_is_found(two, capsys):
    for layer, said in [
        ("features.3", "2 computed"),
        ("features.4", "2 computed"),
        ("features.3", "0 computed"),
    ]:
        network = ["--backbone", "torchvision:mobilenet_v3_small", "--layer", layer]
        assert cli.main(["embed", *two, "-o", "out", *network, *RANDOM]) == 0
        assert said in capsys.readouterr().out


def test_the_report_names_the_layer(two):
    assert cli.main(["embed", *two, "-o", "out", *EARLY, *RANDOM]) == 0
    assert cli.main(["report", "out"]) == 0
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "torchvision:mobilenet_v3_small layer=features.3 pool=max with RANDOM weights" in page


@pytest.mark.parametrize(
    ("network", "status", "said"),
    [
        (["--backbone", "torchvision:mobilenet_v3_smal"], 1, "the nearest are mobilenet_v3_small"),
        (["--backbone", "timm:resnet18"], 1, "pip install timm"),
        (["--backbone", "torchvision:mobilenet_v3_small", "--layer", "layer3"], 1, "features.0, features.1"),
        (["--backbone", "efficientnet_lite0", "--layer", "layer3"], 1, "network._blocks.0"),
        (["--backbone", "resnet18"], 2, "torchvision:NAME or timm:NAME"),
        (["--backbone", "torchvision:"], 2, "torchvision:NAME or timm:NAME"),
        (["--pool", "median"], 2, "invalid choice: 'median'"),
    ],
)
def test_what_there_is_not_is_one_sentence_and_nothing_is_written(
    two, monkeypatch, capsys, network, status, said
):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert _status(["embed", *two, "-o", "out", *network, *RANDOM]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1]
    assert not any("Traceback" in line for line in lines)
    assert not Path("out").exists()


def _status(command):
    try:
        return cli.main(command)
    except SystemExit as end:  # argparse's
        return end.code


def test_the_parser_knows_what_the_package_knows():
    assert ("auto", *backbones.BACKBONES) == values.BACKBONES
    assert zoos.ZOOS == values.ZOOS
    for pool in POOLS:
        given = arguments.make_parser().parse_args(["embed", "x", "-o", "out", "--pool", pool])
        assert given.pool == pool
