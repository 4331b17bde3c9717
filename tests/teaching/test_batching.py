"""What lesson 05 runs on until the student's own functions are right, and what it measures with."""

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.plots import Span
from course_utils.teaching import batching, exercise


@pytest.mark.parametrize(
    ("exercise_id", "own"),
    [
        ("05.1", batching.in_runs),
        ("05.2", batching.embedded),
        ("05.3", batching.set_aside),
        ("05.4", batching.joined),
        ("05.5", batching.gone_on),
    ],
)
def test_the_courses_own_answers_are_right(exercise_id, own):
    verdict = exercise(exercise_id).judge(own)
    assert verdict.state == "right", verdict.text


def test_vectors_move_with_the_batch_in_training_and_not_in_evaluation():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.rand(8, 1, 8, 8)
    training = batching.as_in_training(network.eval())
    assert batching.moved(training, images, 8, 2) > 0.1
    assert batching.moved(training, images, 8, 8) == 0
    assert batching.moved(network, images, 8, 2) < 1e-5
    assert not network.training


def test_a_share_that_moved_is_of_the_largest_number():
    one, other = np.array([[0.0, -4.0]]), np.array([[1.0, -4.0]])
    assert batching.share_moved(one, other) == 0.25


def test_each_vector_finds_the_row_that_it_is_most_like():
    known = np.eye(4)
    assert batching.nearest_rows([known[2] + 0.1, known[0]], known) == [2, 0]


def test_on_a_crowded_device_the_extractor_goes_on_with_smaller_batches():
    backbone = load_backbone("efficientnet_lite0")
    pictures = np.random.default_rng(0).random((5, 1, 64, 64), np.float32)
    crowded = EmbeddingExtractor(
        batching.crowded(backbone, room=2), device="cpu", batch_size=5, fuse=False
    ).embed(pictures)
    plain = EmbeddingExtractor(backbone, device="cpu", batch_size=5, fuse=False).embed(pictures)
    np.testing.assert_allclose(crowded, plain, atol=1e-4)


def test_what_was_done_is_noted_with_its_thread():
    spans: list[Span] = []
    assert batching.noted(spans, "read", "7", max, 2, 3) == 3
    (span,) = spans
    assert (span.thread, span.work, span.label) == ("MainThread", "read", "7")
    assert span.begin <= span.end


def test_there_are_never_more_batches_to_choose_from_than_the_files_make():
    sliders = batching.batch_sliders(24, batch_size=10)
    size, batch = sliders["batch_size"], sliders["batch"]
    assert (size.max, batch.max) == (24, 3)
    size.value = 1
    assert batch.max == 24
    batch.value = 20
    size.value = 24
    assert (batch.max, batch.value) == (1, 1)
    assert not size.continuous_update
