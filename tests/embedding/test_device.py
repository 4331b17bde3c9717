import copy
import os
import subprocess
import sys

import pytest
import torch

from course_utils.embedding import DeviceUnavailable, EmbeddingError, pick_device
from course_utils.embedding.device import check_precision, default_batch_size, determinism, keep_freed_memory


def test_the_environment_decides_what_auto_means(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert pick_device("auto") == torch.device("cpu")


def test_an_empty_environment_variable_is_none(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")


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
        check_precision(torch.device("cpu"), "fp16")
    with pytest.raises(EmbeddingError, match=r"choose fp32$"):
        check_precision(torch.device("mps"), "bf16")


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


@pytest.mark.parametrize(
    ("free_gib", "expected"), [(0.1, 8), (1, 16), (3.9, 32), (4, 64), (10, 128), (16, 256), (80, 256)]
)
def test_a_cuda_device_gets_the_batch_that_half_of_its_free_memory_holds(free_gib, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free_gib * 2**30), 80 * 2**30))
    assert default_batch_size(torch.device("cuda")) == expected


def test_arrow_takes_its_memory_from_the_system_so_that_it_gets_back_what_a_store_frees():
    ask = "import course_utils.embedding.store, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    env = {key: value for key, value in os.environ.items() if key != "ARROW_DEFAULT_MEMORY_POOL"}
    said = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "system"


def test_openmp_is_told_to_let_go_of_the_cores_unless_the_user_says_otherwise():
    ask = "import os, course_utils; print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")]:
        env = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"} | given
        said = subprocess.run(
            [sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True
        )
        assert said.stdout.strip() == expected
