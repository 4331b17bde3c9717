import copy
import os

import pytest
import torch

from course_utils.embedding import DeviceUnavailable, EmbeddingError, pick_device
from course_utils.embedding.device import autocast, default_batch_size, determinism, keep_freed_memory


def test_the_environment_decides_what_auto_means(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert pick_device("auto") == torch.device("cpu")


def test_auto_takes_cuda_then_mps_then_cpu(monkeypatch):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    for cuda, mps, expected in [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda answer=cuda: answer)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda answer=mps: answer)
        assert pick_device("auto").type == expected


@pytest.mark.parametrize("name", ["cuda:99", "mps", "tpu", "cuda:x", "", "meta"])
def test_a_device_that_is_not_there_is_an_error_never_the_cpu(name, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceUnavailable, match="choose"):
        pick_device(name)


def test_a_precision_that_the_device_lacks_is_refused_with_the_ones_that_it_has():
    with pytest.raises(EmbeddingError, match="choose fp32 or bf16"):
        autocast(torch.device("cpu"), "fp16")
    with pytest.raises(EmbeddingError, match=r"choose fp32$"):
        autocast(torch.device("mps"), "bf16")


def _flags():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )


def test_determinism_sets_every_flag_and_gives_each_back():
    before = copy.copy(_flags())
    with determinism(True):
        assert _flags() == (True, True, False, False, False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")
    assert _flags() == before
    with determinism(False):
        assert _flags() == before


def test_flags_come_back_after_an_error_too():
    before = _flags()
    with pytest.raises(RuntimeError), determinism(True):
        raise RuntimeError
    assert _flags() == before


def test_keeping_freed_memory_changes_no_bit():
    generator = torch.Generator().manual_seed(0)
    image, kernel = (torch.randn(shape, generator=generator) for shape in [(2, 3, 64, 64), (8, 3, 3, 3)])
    before = torch.nn.functional.conv2d(image, kernel)
    keep_freed_memory()
    assert torch.equal(before, torch.nn.functional.conv2d(image, kernel))


def test_a_cpu_gets_batches_of_eight():
    assert default_batch_size(torch.device("cpu")) == 8
