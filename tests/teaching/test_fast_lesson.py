"""What lesson 06 runs on until the student's own functions are right, and what it measures a machine with."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest
import torch
from torch import nn

from course_utils.imaging.datasets import real_mammograms
from course_utils.teaching import ahead, exercise, machine, stopwatch
from course_utils.teaching.storing import in_three_ways

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("exercise_id", "own"),
    [
        ("06.1", stopwatch.in_turns),
        ("06.2", ahead.read_ahead),
        ("06.3", ahead.add_safely),
        ("06.4", ahead.cache_key),
    ],
)
def test_the_courses_own_answers_are_right(exercise_id, own):
    verdict = exercise(exercise_id).judge(own)
    assert verdict.state == "right", verdict.text


def test_turns_end_with_the_budget_but_there_is_always_one():
    spent = stopwatch.Turns(budget=0, most=3)
    assert list(spent) == [0]
    assert spent.remark == " (rough: only the warm-up)"
    enough = stopwatch.Turns(budget=60, most=3)
    assert list(enough) == [0, 1, 2, 3]
    assert enough.remark == ""
    slow = stopwatch.Turns(budget=0.03, most=3)
    for _ in slow:
        time.sleep(0.02)
    assert slow.remark == " (rough: 1 of 3 turns)"


def test_the_fastest_run_counts_for_a_limit():
    waits = iter([0.05, 0.05, 0.001, 0.05, 0.05, 0.05])
    seconds, remark = stopwatch.fastest({"sleep": lambda: time.sleep(next(waits))}, CPU, budget=60)
    assert 0.001 <= seconds["sleep"] < 0.03
    assert remark == ""


def test_what_a_cache_moves_is_more_than_nothing_and_a_peak_is_more_than_a_loop_does():
    assert machine.bandwidth_of(machine.CACHE, CPU, budget=0) > 1e8
    peak, remark = machine.peak_of(torch.float32, CPU, budget=0)
    assert peak > 1e9
    assert remark == " (rough: only the warm-up)"


def cost(layer, x, y):
    return 2 * y.numel(), 4 * (x.numel() + y.numel())


@pytest.mark.parametrize("turns", [1, 3])
def test_every_layer_has_a_row_once_whatever_the_number_of_turns(turns):
    relu = nn.ReLU()  # used twice, as ResNet uses its own
    network = nn.Sequential(nn.Conv2d(1, 2, 1), relu, nn.BatchNorm2d(2), relu, nn.Identity()).eval()
    x = torch.rand(1, 1, 4, 4)
    table = machine.layer_table(
        network, lambda: network(x), lambda each: [f() for f in each.values() for _ in range(turns)], cost
    )
    kinds = ["convolution 1 × 1", "ReLU", "batch normalisation", "ReLU", "Identity"]
    assert table["kind"].tolist() == kinds
    assert (table["seconds"] > 0).all()
    assert table["flop"].tolist() == [64] * 5
    assert sorted(machine.by_kind(table)) == ["ReLU", "batch normalisation", "convolution 1 × 1"]
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network)


def test_a_compiled_network_gives_the_same_vectors_or_says_why_there_is_none():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()).eval()
    example = torch.rand(2, 1, 4, 4)
    made, remark = machine.compiled(network, example)
    if made is None:
        assert "no C++ compiler" in remark or "it stops with" in remark
    else:
        assert "to compile" in remark
        with torch.inference_mode():
            torch.testing.assert_close(made(example), network(example))


def test_without_a_compiler_torch_compile_is_left_out(monkeypatch):
    class InvalidCxxCompiler(RuntimeError):
        pass

    def missing():
        raise InvalidCxxCompiler

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", missing)
    assert machine.compiled(nn.ReLU(), torch.rand(2)) == (None, "there is no C++ compiler here")


def test_the_operations_that_take_most_come_first():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    table = machine.operations(network, torch.rand(2, 3, 32, 32), most=3)
    assert list(table.columns) == ["share", "calls"]
    shares = [int(share.rstrip("%")) for share in table["share"]]
    assert shares == sorted(shares, reverse=True)


def test_switches_are_said_to_be_on_or_off():
    assert set(machine.flags().values()) <= {"on", "off"}


def test_the_three_files_hold_the_same_pixels(tmp_path):
    paths = in_three_ways(real_mammograms().path[2], tmp_path)
    first, *others = (pydicom.dcmread(path).pixel_array for path in paths.values())
    assert first.size > 3e6
    assert all(np.array_equal(first, other) for other in others)


def test_two_threads_fill_every_row_once():
    class Table:
        rows, filled, lock = [None] * 50, 0, threading.Lock()

    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda n: ahead.add_safely(Table, n), range(50)))
    assert sorted(taken) == list(range(50))
    assert sorted(Table.rows) == list(range(50))
