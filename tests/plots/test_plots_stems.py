"""The figures of lessons 03 and 04 show what they are given."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.plots import resnet, stems

RNG = np.random.default_rng(1)


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_both_blocks_are_drawn_and_one_of_them_projects():
    left, right = resnet.bottleneck_drawing().figure.axes
    assert [sum("conv" in t.get_text() for t in axes.texts) for axes in (left, right)] == [3, 4]
    projections = [
        [t.get_text() for t in axes.texts if "batch norm" in t.get_text()] for axes in (left, right)
    ]
    assert projections == [[], ["conv, batch norm\n1 × 1,  512, s 2"]]
    assert "conv2, bn2, ReLU\n3 × 3,  128, s 2" in [t.get_text() for t in right.texts]


def test_w_convolved_with_ones_is_outlined_inside_and_at_the_rim():
    kernel = torch.tensor(RNG.standard_normal((1, 1, 3, 3)))
    sums = F.conv2d(torch.ones(1, 1, 8, 8, dtype=torch.float64), kernel, padding=1)[0, 0]
    shown = stems.ones_convolved(kernel[0, 0], sums, 1, (1, 1))
    ones, table = shown.figure.axes
    assert ones.images[0].get_array().sum() == 64
    assert ones.images[0].get_array().shape == (10, 10)
    assert f"{kernel.sum():.2f}" in words(shown.figure)
    assert f"{kernel[0, 0, 1:, 1:].sum():.2f}" == table.texts[0].get_text()


def test_shares_are_written_beside_their_dots_and_rounding_is_called_so():
    moved = {"far": [0.2, 0.4, 0.3], "near": [0.0, 1e-12, 0.0]}
    shown = stems.shifts_as_shares(moved, [0.1, 0.3, 0.2])
    assert words(shown.figure) == ["rounding", "150.00%"]
    assert "far 150.00%" in shown.alt


def test_shares_have_their_intervals():
    shares = {"view": {"a": (0.5, 0.2, 0.8), "b": (0.9, 0.6, 1.0)}}
    (axes,) = stems.shares_with_intervals(shares).figure.axes
    assert [list(line.get_xdata()) for line in axes.lines[:2]] == [[0.2, 0.8], [0.5]]


def test_a_padded_picture_is_framed_by_its_gray():
    shown = stems.padded_with(np.zeros((40, 40)), np.eye(20), [0, 1], [1, 2], 0.25, "net")
    seen = shown.figure.axes[0].images[0].get_array()
    assert (seen[0, 0], seen[44, 44]) == (0.25, 0)
    assert "100.0% of the largest output" in shown.caption


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_others_draw_what_they_are_given(theme):
    norms = {(kind, depth): np.arange(1, depth + 1) for kind in "abcd" for depth in (2, 4)}
    assert len(resnet.gradients_by_layer(norms, theme=theme).figure.axes) == 4
    losses = {(kind, run): [0.7, 0.1] for kind in ("plain", "shortcuts") for run in ("20", "56")}
    panels = resnet.learning_curves(losses, theme=theme).figure.axes
    assert [axes.get_title() for axes in panels] == ["plain", "shortcuts"]
    maps = RNG.random((5, 4, 4))
    assert len(resnet.maps_by_part({"stem": maps, "stage": maps}, "Maps.", theme=theme).figure.axes) == 6
    assert len(resnet.shuffled_places(maps, maps[:, ::-1], theme=theme).figure.axes) == 3
    assert resnet.first_kernels(RNG.standard_normal((20, 3, 3, 3)), "Kernels.", theme=theme).png()
    assert stems.kernels_on_gray(RNG.standard_normal((32, 3, 3, 3)), np.arange(32), theme=theme).png()
    assert stems.channels_as_colours({"a": maps[:3], "b": maps[:3]}, theme=theme).png()
    assert stems.corners({"net": RNG.random((30, 30))}, theme=theme).png()
