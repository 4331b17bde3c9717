"""The benchmark of maps and methods: ours and the plain call do the same work, and its page can be read."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import bench_analysis  # noqa: E402
from bench_analysis import Command, Times  # noqa: E402
from calibration import patience  # noqa: E402


@pytest.fixture(scope="module")
def blobs():
    """Four clouds far apart: any two ways of doing the same find the same."""
    rng = np.random.default_rng(0)
    centres = np.diag([40.0, 30.0, 20.0, 0.0]) @ rng.standard_normal((4, 300))
    return centres[np.arange(120) % 4] + rng.standard_normal((120, 300))


def test_the_vectors_are_of_four_images_a_woman_whose_views_differ():
    vectors, known = bench_analysis.draw(120)
    assert vectors.shape == (120, 2048)
    assert vectors.min() == 0
    assert (known["patient_key"].value_counts() == 4).all()
    assert known.groupby("patient_key")["view"].nunique().eq(2).all()
    assert known.groupby("patient_key")[["density", "vendor"]].nunique().eq(1).all(axis=None)


@pytest.mark.parametrize("name", ["k-means", "mixture", "Ward", "HDBSCAN"])
def test_ours_and_the_plain_call_find_the_same_clusters(blobs, name):
    ours, plain = (way(blobs) for way in bench_analysis.WAYS[name])
    assert adjusted_rand_score(ours.labels, plain) == 1


def test_ours_and_the_plain_call_give_the_same_principal_components(blobs):
    ours, plain = (way(blobs) for way in bench_analysis.WAYS["PCA"])
    np.testing.assert_allclose(np.abs(ours), np.abs(plain), rtol=1e-3, atol=1e-2)


@pytest.mark.slow
def test_a_quick_run_writes_a_page_with_a_sane_line_for_each_way_and_a_figure(tmp_path):
    command = [sys.executable, ROOT / "tools" / "bench_analysis.py", "--quick", "--output", tmp_path]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=patience(90))
    assert answer.returncode == 0, answer.stderr
    text = (tmp_path / "analysis.md").read_text(encoding="utf-8")
    assert text in answer.stdout
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if "|" in line
    ]
    for name in ("PCA", "t-SNE", "k-means", "mixture", "Ward", "HDBSCAN"):
        (row,) = [row for row in rows if row[0] == name]
        assert all(0 < float(cell) < math.inf for cell in row[1:])
    assert [row[:2] for row in rows if row[1:2] in (["kmeans"], ["hdbscan"])] == [
        ["40", "kmeans"],
        ["40", "hdbscan"],
    ]
    assert [row[:2] for row in rows if row[1:2] == ["linear"]] == [["120", "linear"]]
    assert (tmp_path / "analysis.png").stat().st_size > 10_000


def test_a_ratio_is_taken_within_each_turn():
    assert Times({100: [1, 10, 3]}, {100: [1, 5, 2]}).ratio(100) == 1.5


@pytest.mark.parametrize(
    ("seconds", "gigabytes", "word"),
    [(180, 3.0, "kept"), (181, 1.0, "**missed**"), (100, 3.1, "**missed**"), (100, None, "kept")],
)
def test_the_verdict_is_on_the_default_method_with_the_most_images(seconds, gigabytes, word):
    commands = [
        Command(100, "kmeans", 1, 1, 0.2),
        Command(10_000, "kmeans", seconds, 90, gigabytes),
        Command(10_000, "gmm", 900, 900, 9.0),
    ]
    text = bench_analysis._verdict(commands, "kmeans", 180)
    assert f"for 10000 images it took {seconds} s" in text
    assert text.endswith(f"so that is {word}.")


def test_the_page_names_what_takes_too_long():
    results = {
        name: Times({40: [1.0]}, {40: [0.5 if name == "Ward" else 1.0]}) for name in bench_analysis.WAYS
    }
    size = bench_analysis.Size({40: 1}, (40,))
    text = bench_analysis.page(
        size, "here", results, [Command(40, "kmeans", 1, 1, 0.2)], [Command(120, "linear", 301, 9, 0.2)]
    )
    assert "Asked for were at most 300 s and 3 GB with the default: for 120 images it took 301 s" in text
    assert "| 120 | linear | 301.0 | 9.0 | 0.20 |" in text
    assert "At most 1.5 times the plain call was asked for: missed by Ward." in text
    assert "| Ward | 1 | 0.5 | 2.00 |" in text
