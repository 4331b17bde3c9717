"""A slow or busy machine breaks no budget; a lesson that has become twice as heavy does, on every machine."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import calibration
import nbformat
import pytest
from calibration import PATIENCE, SLOWEST, Pace, mean, meter, patience

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import cards  # noqa: E402

DECODE = """
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import sample_cohort

preprocess = Preprocessor()
for path in sample_cohort().path:
    preprocess(read_mammogram(path))
"""
EMBED = """
import torch
from torchvision.models import resnet18

torch.manual_seed(0)
network = resnet18(weights=None).eval()
with torch.inference_mode():
    for _ in range(12):
        network(torch.rand(16, 3, 112, 112))
"""
SPIN = "import sys, time\nprint(flush=True)\nwhile True: pass"
THREE_TIMES_AS_SLOW = """
import time

in_truth = time.process_time
time.process_time = lambda: 3 * in_truth()
"""


def toy_run(folder, environment):
    """Run a toy lesson as the lessons are run, between two measurements."""
    lesson = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (DECODE, EMBED)])
    environment = {**cards.PLAIN, **environment}
    with meter(environment) as measure:
        return cards.run(lesson, folder, measure, environment)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The toy lesson, as `make cards` runs it: plain, and with a slow network."""
    folder = tmp_path_factory.mktemp("toy")
    return [toy_run(folder, environment) for environment in (cards.PLAIN, cards.SLOW_NETWORK)]


@pytest.fixture(scope="module")
def card(runs):
    """The toy lesson's card, made here and now."""
    try:
        return cards.solved(*runs)
    except ValueError as error:
        pytest.skip(str(error))


def assert_it_is_held(card, run):
    """The lesson passes with its own card, fails with that of one half as heavy, and of one far heavier.

    Too light is a reminder to measure again, not a fault, so that factor leaves room for the machine's noise.
    """
    assert cards.complaint(card, run) == ""
    assert "heavier than" in cards.complaint(dataclasses.replace(card, seconds=card.seconds / 2), run)
    assert "lighter than" in cards.complaint(dataclasses.replace(card, seconds=card.seconds * 4), run)


@pytest.fixture
def slow(tmp_path):
    """An environment in which each processor second of this machine lasts three."""
    (tmp_path / "sitecustomize.py").write_text(THREE_TIMES_AS_SLOW, encoding="utf-8")
    return {"PYTHONPATH": str(tmp_path)}


@pytest.fixture
def busy():
    """Two neighbours that never rest."""
    neighbours = [subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE) for _ in range(2)]
    for neighbour in neighbours:
        neighbour.stdout.readline()  # it has begun
    yield
    for neighbour in neighbours:
        neighbour.kill()
        neighbour.communicate()


@pytest.mark.slow
def test_on_a_machine_three_times_as_slow_only_what_is_twice_as_heavy_fails(card, runs, slow, tmp_path):
    run = toy_run(tmp_path, slow)
    assert run.seconds > 2 * runs[0].seconds
    assert_it_is_held(card, run)


@pytest.mark.slow
def test_on_a_busy_machine_only_what_is_twice_as_heavy_fails(card, busy, tmp_path):
    assert_it_is_held(card, toy_run(tmp_path, {}))


@pytest.mark.slow
def test_a_slow_network_counts_for_as_much_as_the_lesson_uses_it(card, runs):
    _, slowed = runs
    assert 0.1 < card.network_share < 0.9  # it is there, and not alone
    assert cards.complaint(card, slowed) == ""
    assert slowed.on_reference(0) > 1.2 * card.seconds
    assert slowed.on_reference(1) < card.seconds / 1.2


def test_shares_follow_from_two_runs_that_differ_in_the_networks_pace():
    plain = cards.Run(seconds=20 * 1.1 + 10 * 0.9, gigabytes=1.5, pace=Pace(1.1, 0.9, 1))
    slowed = cards.Run(seconds=20 * 3.0 + 10 * 1.2, gigabytes=1.6, pace=Pace(3.0, 1.2, 1))
    card = cards.solved(plain, slowed)
    assert (card.seconds, card.network_share, card.gigabytes) == pytest.approx((30, 2 / 3, 1.6))
    with pytest.raises(ValueError, match="no slower"):
        cards.solved(plain, plain)


@pytest.mark.parametrize(
    ("times", "said"), [(0.4, "lighter"), (0.6, ""), (1.4, ""), (1.6, "heavier"), (2, "heavier")]
)
@pytest.mark.parametrize("pace", [Pace(1, 1, 1), Pace(3, 3, 30), Pace(2, 1, 1), Pace(0.3, 0.8, 0.5)])
def test_what_counts_is_the_time_on_the_reference_machine(times, said, pace):
    card = cards.Card(seconds=40, network_share=0.5, gigabytes=2)
    run = cards.Run(seconds=times * (20 * pace.network + 20 * pace.other), gigabytes=2, pace=pace)
    complaint = cards.complaint(card, run)
    assert complaint.startswith(said)
    assert bool(complaint) == bool(said)


def test_the_page_is_read_as_it_was_written(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(cards.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(cards, "PAGE", page)
    before = cards.recorded()
    cards.write(before)
    assert page.read_text(encoding="utf-8") == (ROOT / "docs/resource-cards.md").read_text(encoding="utf-8")
    changed = {**before, "98_toy": cards.Card(12.3, 0.45, 1.67)}
    cards.write(changed)
    assert cards.recorded() == changed


@pytest.mark.parametrize(("clock", "slowness"), [(0.3, 1), (1, 1), (10, 10), (1000, SLOWEST)])
def test_patience_grows_with_what_the_clock_says_and_never_falls_below_the_quiet_machines(
    clock, slowness, monkeypatch
):
    monkeypatch.setattr(calibration, "pace", lambda: Pace(1, 1, clock))
    calibration.slowness.cache_clear()
    assert patience(60) == 60 * PATIENCE * slowness
    calibration.slowness.cache_clear()


def test_patience_looks_at_the_machine_once(monkeypatch):
    looks = []
    monkeypatch.setattr(calibration, "pace", lambda: looks.append(1) or Pace(1, 1, 2))
    calibration.slowness.cache_clear()
    assert patience(1) == patience(1)
    assert len(looks) == 1
    calibration.slowness.cache_clear()


def test_the_mean_of_two_measurements_is_that_of_each_kind_of_work():
    assert mean([Pace(1, 2, 3), Pace(2, 4, 5)]) == Pace(1.5, 3, 4)
