"""The recipe of docs/which-features.md, on a few images, and the page that it wrote."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from course_utils.imaging.datasets import sample_cohort

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import which_features as tool


@pytest.fixture(scope="module")
def images():
    return tool.pictures([Path(path) for path in sample_cohort()["path"][:2]])


def test_an_early_layer_and_random_weights_give_vectors_of_their_own(images):
    early = tool.embed(images, tool.Features(layer="network._blocks.2"))
    last = tool.embed(images, tool.Features())
    random = tool.embed(images, tool.Features(weights="random"))
    assert (early.shape, last.shape, random.shape) == ((2, 24), (2, 1280), (2, 1280))
    assert not np.allclose(last, random)


def test_a_histogram_counts_each_pixel_of_the_breast_once(images):
    shares = tool.histogram(images)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert shares[0, 16:].sum() == pytest.approx((images[0] >= 0.5).sum() / (images[0] > 0).sum())


def test_a_row_says_where_it_was_stopped_and_whether_it_has_learnt_anything():
    rng, woman = np.random.default_rng(0), np.repeat(np.arange(24), 4)
    vectors = rng.standard_normal((96, 8))
    vectors[:, 0] += 9 * (np.arange(96) % 2)
    truth = pd.DataFrame({"woman": woman, "view": np.resize(["CC", "MLO"], 96)})
    truth["density"] = np.array(list("abcd"))[woman % 4]
    truth["vendor"] = np.array(["alder", "birch", "cedar"])[woman % 3]
    truth["volumetric_fraction"] = rng.random(96)
    choice = tool.Features("torchvision:resnet18", weights="random")
    one = tool.row(choice, 8, tool.ask(vectors, truth))
    assert one[:4] == ("`torchvision:resnet18`, **random weights**", "last", "`mean`", "8")
    assert one[6].startswith("1.00 (")
    assert f"| {' | '.join(one)} |" in tool.page([one], images=96, women=24, minutes=0.2)


def test_the_page_has_a_row_for_every_choice_in_the_recipe_and_one_for_the_histogram():
    lines = [line for line in tool.PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]
    wanted = [tool.row(choice, 0, ())[:3] for choice in tool.CHOICES]
    assert [cell[:3] for cell in cells] == [*wanted, ("none: a histogram", "", "")]
    assert all(
        re.fullmatch(r"-?\d\.\d\d \(-?\d\.\d\d–\d\.\d\d\)", each) for cell in cells for each in cell[4:]
    )
