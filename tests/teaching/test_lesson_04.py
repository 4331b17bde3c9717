"""What lesson 04 runs on where a student's answer is not right yet, and what it says of borders."""

import numpy as np
import pytest
import torch

from course_utils.embedding import load_backbone
from course_utils.embedding.adapters import replicate, with_ones
from course_utils.teaching import exercise
from course_utils.teaching import stems as course

MEAN, STD = (0.2, 0.3, 0.5), (0.7, 0.4, 0.9)


@pytest.fixture(scope="module", params=["resnet50", "efficientnet_lite0"])
def network(request):
    return load_backbone(request.param, weights="random", seed=3)


@pytest.fixture
def gray():
    return torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def truth(network, gray):
    return course.stem(network.module)(replicate(gray, network.mean, network.std))


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("04.1", course.to_three_channels),
        ("04.2", course.normalise),
        ("04.3", course.fold_weights),
        ("04.4", course.fold_with_ones),
        ("04.5", course.usable),
    ],
)
def test_what_the_lesson_runs_on_otherwise_is_right(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


def test_a_stem_for_ones_is_exact_and_the_naive_one_fails_at_the_border_only(network, gray):
    right = truth(network, gray)
    weight = course.stem(network.module).weight
    two = course.fold_with_ones(weight, network.mean, network.std)
    exact = course.stem(course.restemmed(network.module, two))(with_ones(gray))
    naive = course.stem(
        course.restemmed(network.module, *course.fold_weights(weight, network.mean, network.std))
    )(gray)
    off = [(each - right).abs().amax((0, 1)) / right.abs().max() for each in (exact, naive)]
    assert off[0].max() < 1e-5
    assert off[1].max() > 0.1
    assert off[1][2:-1, 2:-1].max() < 1e-5
    assert course.stem(network.module).weight.shape[1] == 3  # the network itself is as it was


def test_the_naive_fold_is_a_black_world_around_the_picture(network, gray):
    weight = course.stem(network.module).weight
    folded = course.fold_weights(weight, network.mean, network.std)
    naive = course.stem(course.restemmed(network.module, *folded))(gray)
    black = course.surrounded(network, gray, 0.0)
    assert (naive - black).abs().max() < 1e-5 * black.abs().max()


def test_one_mean_gray_repairs_lite0_and_no_gray_repairs_resnet50(network, gray):
    right = truth(network, gray)
    off = [
        ((course.surrounded(network, gray, value) - right).abs().max() / right.abs().max()).item()
        for value in (*network.mean, sum(network.mean) / 3)
    ]
    assert (min(off) < 1e-5) == (network.name == "efficientnet_lite0")


def test_every_slip_gives_other_numbers_than_normalising_does():
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    right = (x - course.each_channel(MEAN)) / course.each_channel(STD)
    slips = course.slips(MEAN, STD, ((0.4, 0.4, 0.4), (0.3, 0.3, 0.3)))
    found = [slip(x) for slip in slips.values()]
    assert len(found) == 7
    assert all((each - right).abs().max() > 0.1 for each in found)


def test_copies_take_three_times_the_memory_and_a_view_takes_none(gray):
    sizes = {name: x.untyped_storage().nbytes() for name, x in course.copies(gray).items()}
    assert sizes["copied"] == 3 * sizes["gray"] == 3 * sizes["expand"]


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("04.2", lambda x, m, s: torch.stack([(x[:, c] / 255 - m[c]) / s[c] for c in range(3)], 1)),
        ("04.3", lambda w, m, s: (each for each in course.fold_weights(w, m, s))),
        ("04.5", lambda pictures: [len(each.unique()) > 1 and each.isfinite().all() for each in pictures]),
        ("04.5", lambda pictures: np.array([bool(np.ptp(each) > 0) for each in finite(pictures)])),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


def finite(pictures):
    """Pictures in which those that are not finite have become constant."""
    good = pictures.flatten(1).isfinite().all(1)
    return torch.where(good.view(-1, 1, 1, 1), pictures, 0.0).numpy()


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("04.1", lambda gray: [gray] * 3, "a list of 3 tensors"),
        ("04.1", lambda gray: (gray, gray, gray), "a tuple of 3 tensors"),
        ("04.2", lambda x, m, s: x.double().sub(127.5).div(127.5).float(), "picture 0, channel 0"),
        ("04.2", lambda x, m, s: (x // 255 - course.each_channel(m)) / course.each_channel(s), "`//` rounds"),
        (
            "04.4",
            lambda w, m, s: course.fold_with_ones(w, m, s).transpose(0, 1).reshape(len(w), 2, *w.shape[2:]),
            "and mixed",
        ),
        ("04.5", lambda pictures: (x.isfinite().all() for x in pictures), "a generator that cannot be read"),
        (
            "04.3",
            lambda w, m, s: ((w / torch.tensor(s).view(3, 1)).sum(1, True), torch.zeros(len(w))),
            "along the *rows*",
        ),
        ("04.5", lambda pictures: [bool(x.isfinite().all() and x.std() > 0) for x in pictures], "passes"),
        ("04.5", lambda pictures: [bool(x.isfinite().all() and x.sum() > 0) for x in pictures], "passes"),
        ("04.5", lambda pictures: finite(pictures).std((1, 2, 3)) > 0, "by rounding alone"),
    ],
)
def test_a_rarer_mistake_is_named_too(number, answer, says):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text
