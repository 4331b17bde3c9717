"""The benchmark runs, its contestants do the same work, and its verdicts are computed, both ways."""

import copy
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from course_utils.imaging import read_mammogram

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import bench  # noqa: E402
import bench_page  # noqa: E402
import bench_scale  # noqa: E402
import contestants  # noqa: E402
from calibration import patience  # noqa: E402

MAY_BE_MISSING = {  # on some machines: the target, and what the page then says
    "network, fp32, batch": "- course_utils, OpenVINO fp32: not measured; missing: ",
    "network, bf16, batch": "- course_utils, OpenVINO bf16: not measured; missing: ",
    "bf16: share of the limit": "In bf16 it is not measurable here: ",
    "peak memory of": "Peak memory is known on Linux only.",
    "pydicom's default decoder": "- pydicom's default decoder, JPEG lossless: not measured; missing: ",
}
NO_BF16_LOOP = "multiply-adds of bf16 vectors in this processor"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a quick run, and what it printed."""
    output = tmp_path_factory.mktemp("bench")
    command = [sys.executable, ROOT / "tools" / "bench.py", "--quick", "--output", output]
    command += ["--only", "a,b,d,e,f"]  # g and h take long: `make check-slow` runs them
    # One thread: where other work keeps the cores busy, two wait for each other after every layer.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "COURSE_THINGSVISION_PYTHON": str(output / "none"),
    }
    answer = subprocess.run(command, capture_output=True, text=True, timeout=patience(200), env=environment)
    assert answer.returncode == 0, answer.stderr
    return output, answer.stdout


@pytest.fixture
def measured():
    """Made-up measurements that keep every target, two turns of each."""
    network = {
        "torchvision × 32": (10, 30_000),
        "torchvision's feature extractor × 32": (10, 30_000),
        "timm × 32": (9, 30_000),
        "course_utils fp32 × 1": (46, 0),
        "course_utils, OpenVINO fp32 × 1": (50, 0),
        "course_utils fp32 × 8": (50, 0),
        "course_utils fp32 × 32": (50, 0),
        "course_utils bf16 × 32": (100, 0),
        "course_utils, OpenVINO fp32 × 32": (51, 0),
        "course_utils, OpenVINO bf16 × 32": (104, 0),
        "course_utils fp32, deterministic × 8": (45, 0),
    }
    limits = {
        "loop fp32": 480e9,
        "matrix product fp32": 450e9,
        "loop bf16": 960e9,
        "matrix product bf16": 800e9,
    }
    turn = {key: {"rate": rate, "faults": faults} for key, (rate, faults) in network.items()}
    turn |= {key: {"rate": rate, "faults": 0} for key, rate in limits.items()}
    rates = {"course_utils fp32": 24, "course_utils bf16": 30, "timm": 4, "reading": 50}
    files = {
        "uncompressed": {key: {"rate": rate, "faults": 0} for key, rate in rates.items()},
        "inference": {
            "course_utils fp32": {"rate": 50, "faults": 0},
            "course_utils bf16": {"rate": 90, "faults": 0},
        },
        "decode": {"ours": {"rate": 15, "faults": 0}, "pydicom's default decoder": {"rate": 3, "faults": 0}},
    }
    peaks = {("fresh", 1000): 700, ("fresh", 10_000): 710, ("cached", 1000): 600}
    peaks |= {("cached", 10_000): 620}
    exact = {
        "relative_difference": 4e-7,
        "cosine_median": 1.0,
        "cosine_worst": 0.99999,
        "centred_cosine_median": 1.0,
        "centred_cosine_worst": 0.9999,
        "recall": 1.0,
        "neighbours": 10,
        "ari": 1.0,
        "k": 4,
    }
    sections = {
        "a": {
            "batches": [8, 32],
            "flops": 8e9,
            "missing": {"thingsvision": "its environment (`make bench-rivals`)"},
            "versions": {"timm": {"timm": "1.0", "torch": "2.9"}, "course_utils fp32": {"torch": "2.9"}},
            "differences": dict.fromkeys(network, 0.0),
            "auto": {"fp32 × 1": "torch", "fp32 × 8": "torch", "bf16 × 8": "torch"},
            "turns": [turn, copy.deepcopy(turn)],
        },
        "b": {
            "shape": [3328, 2560],
            "counts": {"ours": [96, 32], "usual": 24, "usual_batch": 4},
            "missing": {},
            "same_pixels": True,
            "turns": [files, copy.deepcopy(files)],
        },
        "d": {
            "rows": [
                {"files": n, "kind": kind, "command_s": n / 2000, "extraction_s": n / 4000, "peak_mb": peak}
                for (kind, n), peak in peaks.items()
            ]
        },
        "e": {"help": [0.1, 0.2, 0.1], "first": [6.0, 7.0, 6.0], "torch": [2.0, 2.0, 2.0]},
        "f": {
            "backbone": "resnet50",
            "weights": "some",
            "images": 32,
            "rows": {"torch fp32": exact, "torch bf16": {**exact, "relative_difference": 0.01}},
            "missing": {},
        },
    }

    def runs(start_s, image_s, peak_mb):
        return {
            str(n): {"files": n, "command_s": start_s + n * image_s, "extraction_s": 1.0, "peak_mb": peak_mb}
            for n in (200, 600)
        }

    ways = {"one process": runs(5, 0.04, 900), "--shards 2": runs(9, 0.041, 1600)}
    ways["--ray local"] = runs(15, 0.0416, 2000)
    sections["g"] = {
        "files": 200,
        "missing": {},
        "turns": [ways, {way: _slower(run) for way, run in ways.items()}],
        "small": [
            {"files": n, "command_s": n / 100, "extraction_s": n / 150, "peak_mb": peak}
            for n, peak in ((1000, 1500), (10_000, 1560))
        ],
    }
    fast = {"JPEG 2000": 3.0}
    rates = {
        f"{syntax}, {task}, {read}": {"rate": 5.0 * (gain if read == "fast" else 1), "faults": 0}
        for syntax, gain in fast.items()
        for task in ("files", "reading")
        for read in ("full", "fast")
    }
    row = {"films_median": 0.9964, "films_worst": 0.984, "phantoms_median": 1.0, "phantoms_worst": 0.9987}
    sections["h"] = {
        "shape": [3328, 2560],
        "turns": [rates, {key: {**rate, "rate": rate["rate"] / 2} for key, rate in rates.items()}],
        "films": 8,
        "phantoms": 16,
        "backbone": "a network",
        "weights": "its weights",
        "rows": {"JPEG 2000": {**row, "recall": 0.9875, "neighbours": 10, "ari": 1.0, "k": 4}},
    }
    return {
        key: {"where": "a machine", "took_s": 1.0, "quick": False, **section}
        for key, section in sections.items()
    }


def _slower(run):
    """The same run in a slow moment of the machine."""
    return {count: {**row, "command_s": 2 * row["command_s"]} for count, row in run.items()}


def verdict(text: str, words: str) -> list[str]:
    """Target, measured and verdict in the one line of the summary that holds these words."""
    (line,) = [line for line in text.splitlines() if line.startswith("| ") and words in line]
    return [cell.strip() for cell in line.strip("| ").split("|")][2:]


# A quick run of everything takes minutes: it starts every contestant in a process of its own


@pytest.mark.slow
def test_a_quick_run_writes_a_page_with_every_section_and_a_figure(quick):
    output, printed = quick
    text = (output / "embedding.md").read_text(encoding="utf-8")
    assert text in printed
    assert "A quick run" in text
    targets = [line for line in text.split("![")[0].splitlines() if line.startswith("| ")]
    for target in targets:
        if "| not measur" in target and not target.startswith(("| g |", "| h |")):
            (explanation,) = [said for words, said in MAY_BE_MISSING.items() if words in target]
            assert explanation in text
    for precision in ("fp32", "bf16"):
        (taken,) = re.findall(rf"In {precision} it is (?:the (.+?)\.|not measurable here: )", text)
        row = f"network, {precision}: share of the limit" + (f" ({taken})" if taken else "")
        assert any(row in target for target in targets)
    for heading in ("## a and c.", "## b.", "## d.", "## e.", "## f."):
        assert text.count(heading) == 1
    assert str(output) not in text
    assert str(Path.home()) not in text
    picture = (output / "embedding.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 150_000


@pytest.mark.slow
def test_in_a_quick_run_every_network_gives_the_vectors_of_plain_torchvision(quick):
    measured = json.loads((quick[0] / "embedding.json").read_text(encoding="utf-8"))["a"]
    assert {"course_utils fp32 × 2", "course_utils bf16 × 2", "torchvision × 2"} <= set(
        measured["differences"]
    )
    for key, difference in measured["differences"].items():
        bound = 0.05 if "bf16" in key else 0.5 if "int8" in key else 1e-4
        assert difference < bound, key
    assert measured["flops"] == pytest.approx(
        8.18e9, rel=0.01
    )  # 4.09 billion multiply-adds (He et al., 2016)


@pytest.mark.slow
def test_what_is_not_installed_is_named_with_the_way_to_get_it(quick):
    text = (quick[0] / "embedding.md").read_text(encoding="utf-8")
    assert "- thingsvision: not measured; missing: its environment (`make bench-rivals`)" in text


@pytest.mark.slow
def test_a_quick_run_measures_growth_fresh_and_from_the_store(quick):
    rows = json.loads((quick[0] / "embedding.json").read_text(encoding="utf-8"))["d"]["rows"]
    found = {(row["kind"], row["files"]): row for row in rows}
    assert {key: row["from_store"] for key, row in found.items()} == {
        ("fresh", 4): 0, ("cached", 4): 4,
        ("fresh", 8): 0, ("resumed", 8): 4, ("cached", 8): 8,
    }  # fmt: skip
    if Path("/proc/self/status").exists():
        assert all(100 < row["peak_mb"] < 3000 for row in rows)


@pytest.mark.slow
def test_a_page_is_drawn_again_from_what_was_kept(quick, tmp_path):
    shutil.copyfile(quick[0] / "embedding.json", tmp_path / "embedding.json")
    assert bench.main(["--draw", "--quick", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "embedding.md").read_bytes() == (quick[0] / "embedding.md").read_bytes()


# Verdicts and the page


def test_a_machine_that_keeps_every_target_is_told_so(measured):
    targets = bench_page.verdicts(measured)
    assert [target.verdict for target in targets] == ["kept"] * len(targets)
    text = bench_page.page(measured)
    assert "missed" not in text
    assert verdict(text, "network, fp32: times") == ["≥ 2.20", "5.00", "kept"]
    assert verdict(text, "network, bf16: times") == ["≥ 4.00", "10.00", "kept"]
    assert verdict(text, "network, fp32, batch 32: PyTorch as a share") == ["≥ 0.97", "0.98", "kept"]
    assert verdict(text, "network, bf16, batch 32: PyTorch as a share") == ["≥ 0.95", "0.96", "kept"]
    assert verdict(text, "network, fp32, batch 1: PyTorch as a share") == ["≥ 0.90", "0.92", "kept"]
    assert "the engine `auto` chose torch in fp32 at batch 1, torch in fp32 at batch 8, torch in bf16" in text
    assert verdict(text, "network, fp32: share of the limit (loop)") == ["≥ 80%", "83%", "kept"]
    assert verdict(text, "network, bf16: share of the limit (loop)") == ["≥ 75%", "83%", "kept"]
    assert "taken as the limit. In fp32 it is the loop. In bf16 it is the loop." in text
    assert verdict(text, "share of what the cores allow") == ["≥ 90%", "96%", "kept"]
    assert verdict(text, "best of the usual code") == ["≥ 3.0", "6.0", "kept"]
    assert verdict(text, "JPEG lossless: times") == ["≥ 2.5", "5.0", "kept"]
    assert verdict(text, "peak memory of 10 000 files over that of 1 000") == ["≤ 1.05", "1.03", "kept"]
    assert verdict(text, "cached: files a second") == ["≥ 2000", "4000", "kept"]
    assert verdict(text, "course --help`, seconds") == ["≤ 0.30", "0.10", "kept"]
    assert verdict(text, "first vector, seconds") == ["≤ 5.0", "4.0", "kept"]
    assert verdict(text, "largest difference from plain PyTorch") == ["≤ 1e-04", "4e-07", "kept"]
    assert verdict(text, "`--shards 2`: time an image") == ["≤ 5%", "2%", "kept"]
    assert verdict(text, "`--ray local`: time an image") == ["≤ 5%", "4%", "kept"]
    assert verdict(text, "most memory of 10 000 small files over that of 1 000") == ["≤ 1.10", "1.04", "kept"]
    assert verdict(text, "JPEG 2000 to vectors: fast reading") == ["≥ 2.50", "3.00", "kept"]
    assert verdict(text, "with full, films, median") == ["≥ 0.9950", "0.9964", "kept"]
    assert verdict(text, "worst film") == ["≥ 0.9700", "0.9840", "kept"]
    assert verdict(text, "recall@10 of full's") == ["≥ 0.970", "0.988", "kept"]
    assert "| JPEG 2000 | 3.75 | 11.25 | 3.00 | 3.00 |" in text
    assert "| `--shards 2` | 13.5 | 61.5 | 2.5% | 1600 |" in text
    assert "| 10 000 | 100.0 | 66.7 | 150 | 1560 |" in text


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("a", "course_utils fp32 × 32", 21, "network, fp32: times"),
        ("a", "course_utils bf16 × 32", 39, "network, bf16: times"),
        ("a", "course_utils, OpenVINO fp32 × 32", 60, "network, fp32, batch 32: PyTorch"),
        ("a", "course_utils, OpenVINO bf16 × 32", 120, "network, bf16, batch 32: PyTorch"),
        ("a", "course_utils, OpenVINO fp32 × 1", 60, "network, fp32, batch 1: PyTorch"),
        ("a", "loop fp32", 550e9, "network, fp32: share of the limit (loop)"),
        ("a", "loop bf16", 1200e9, "network, bf16: share of the limit (loop)"),
        ("a", "matrix product fp32", 550e9, "network, fp32: share of the limit (matrix product)"),
        ("a", "matrix product bf16", 5000e9, "network, bf16: share of the limit (matrix product)"),
    ],
)
def test_a_network_that_misses_a_target_is_told_so(measured, section, key, value, words):
    for turn in measured[section]["turns"]:
        turn[key]["rate"] = value
    assert verdict(bench_page.page(measured), words)[2] == "**missed**"


def test_an_engine_that_is_too_slow_keeps_its_target_where_auto_takes_the_other(measured):
    for turn in measured["a"]["turns"]:
        turn["course_utils, OpenVINO bf16 × 32"]["rate"] = 120
        turn["course_utils, OpenVINO fp32 × 1"]["rate"] = 60
    measured["a"]["auto"]["bf16 × 8"] = "openvino"
    text = bench_page.page(measured)
    found = verdict(text, "network, bf16, batch 32: PyTorch")
    assert found == ["≥ 0.95", "0.83", "kept: `auto` takes OpenVINO"]
    assert verdict(text, "network, fp32, batch 1: PyTorch")[2] == "**missed**"


def test_what_int8_loses_is_said_in_its_own_figures(measured):
    assert "int8" not in bench_page.page(measured)
    lossy = {**measured["f"]["rows"]["torch fp32"], "recall": 0.9, "centred_cosine_worst": 0.78}
    measured["f"]["rows"][bench_page.INT8] = lossy
    text = bench_page.page(measured)
    assert "10% of the nearest neighbours are others, and the worst centred cosine is 0.78." in text


def test_files_growth_start_and_precision_that_miss_a_target_are_told_so(measured):
    for turn in measured["b"]["turns"]:
        turn["uncompressed"]["course_utils fp32"]["rate"] = 11
        turn["decode"]["ours"]["rate"] = 7
    measured["d"]["rows"][1]["peak_mb"] = 740
    measured["d"]["rows"][3]["extraction_s"] = 6
    measured["e"] = {**measured["e"], "help": [0.31] * 3, "torch": [0.9] * 3}
    measured["f"]["rows"]["torch fp32"]["relative_difference"] = 2e-4
    for turn in measured["g"]["turns"]:
        for way in ("--shards 2", "--ray local"):
            turn[way]["600"]["command_s"] *= 1.1
    measured["g"]["small"][1]["peak_mb"] = 1700
    for turn in measured["h"]["turns"]:
        turn["JPEG 2000, files, fast"]["rate"] *= 0.8
    other = {"films_median": 0.99, "films_worst": 0.9, "recall": 0.9}
    measured["h"]["rows"]["another"] = measured["h"]["rows"]["JPEG 2000"] | other
    text = bench_page.page(measured)
    for words in (
        "share of what the cores allow",
        "best of the usual code",
        "JPEG lossless: times",
        "peak memory of",
        "cached: files a second",
        "course --help`, seconds",
        "first vector, seconds",
        "largest difference from plain PyTorch",
        "`--shards 2`: time an image",
        "`--ray local`: time an image",
        "most memory of 10 000 small files",
        "JPEG 2000 to vectors: fast reading",
        "with full, films, median",
        "worst film",
        "recall@10 of full's",
    ):
        assert verdict(text, words)[2] == "**missed**", words


def test_a_faster_decoder_that_gives_other_pixels_misses_its_target(measured):
    measured["b"]["same_pixels"] = False
    text = bench_page.page(measured)
    assert verdict(text, "JPEG lossless: times") == ["≥ 2.5", "5.0", "**missed**"]
    assert "**other pixels**" in text


def test_what_was_not_measured_is_neither_kept_nor_missed(measured):
    for turn in measured["a"]["turns"]:
        del turn["course_utils bf16 × 32"], turn["course_utils, OpenVINO fp32 × 32"]
    for section in ("b", "d", "e", "f", "g", "h"):
        del measured[section]
    text = bench_page.page(measured)
    assert verdict(text, "network, fp32: times") == ["≥ 2.20", "5.00", "kept"]
    assert verdict(text, "network, bf16: share of the limit")[2] == "not measured"
    assert text.count("| not measured | not measured |") == 19


def test_ratios_are_taken_within_a_turn_so_that_a_slow_turn_of_all_changes_none(measured):
    slow = copy.deepcopy(measured["a"]["turns"][0])
    for value in slow.values():
        value["rate"] /= 3
    measured["a"]["turns"] = [measured["a"]["turns"][0], slow, slow]
    assert verdict(bench_page.page(measured), "network, fp32: times")[1] == "5.00"


def test_the_figure_of_made_up_numbers_is_small_enough_for_the_docs(measured, tmp_path):
    bench_page.draw(measured, tmp_path / "embedding.png")
    assert (tmp_path / "embedding.png").stat().st_size < 150_000


# The machine's limit


def limit_row(text: str, name: str) -> list[str]:
    """What follows a name in the table of limits."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line[1:-1].split("|")][1:]


def test_where_the_matrix_product_beats_the_loop_it_is_the_limit_as_with_tile_units(measured):
    for turn in measured["a"]["turns"]:
        turn["matrix product fp32"]["rate"] = 500e9
        turn["matrix product bf16"]["rate"] = 2000e9
    text = bench_page.page(measured)
    assert "In fp32 it is the matrix product. In bf16 it is the matrix product." in text
    assert verdict(text, "fp32: share of the limit (matrix product)") == ["≥ 80%", "80%", "kept"]
    assert verdict(text, "bf16: share of the limit (matrix product)") == ["≥ 75%", "40%", "**missed**"]
    assert limit_row(text, "loop fp32") == ["480", "60.0", "83%"]
    assert limit_row(text, "matrix product bf16") == ["2000", "250.0", "40%"]


def test_without_a_loop_of_bf16_a_product_that_is_faster_than_in_fp32_is_its_limit(measured):
    for turn in measured["a"]["turns"]:
        del turn["loop bf16"]
    measured["a"]["not_measurable"] = {"loop bf16": NO_BF16_LOOP}
    text = bench_page.page(measured)
    assert "In fp32 it is the loop. In bf16 it is the matrix product." in text
    assert verdict(text, "bf16: share of the limit (matrix product)") == ["≥ 75%", "100%", "kept"]
    assert limit_row(text, "loop bf16") == [f"not measurable here: no {NO_BF16_LOOP}", "", ""]


@pytest.mark.parametrize("product", [None, 2e9, 450e9])
def test_on_a_processor_without_bf16_its_limit_is_not_measurable_and_the_page_says_so(
    measured, product, tmp_path
):
    for turn in measured["a"]["turns"]:
        del turn["loop bf16"], turn["matrix product bf16"]
        if product is not None:
            turn["matrix product bf16"] = {"rate": product, "faults": 0}
    measured["a"]["not_measurable"] = {"loop bf16": NO_BF16_LOOP}
    text = bench_page.page(measured)
    assert verdict(text, "bf16: share of the limit")[1:] == 2 * ["not measurable here"]
    assert "In fp32 it is the loop. In bf16 it is not measurable here: there is no loop" in text
    assert limit_row(text, "loop bf16")[0] == f"not measurable here: no {NO_BF16_LOOP}"
    assert verdict(text, "fp32: share of the limit (loop)") == ["≥ 80%", "83%", "kept"]
    assert "missed" not in text
    bench_page.draw(measured, tmp_path / "embedding.png")


def test_without_a_compiler_the_matrix_products_are_the_limits(measured):
    for turn in measured["a"]["turns"]:
        del turn["loop fp32"], turn["loop bf16"]
    measured["a"]["not_measurable"] = dict.fromkeys(("loop fp32", "loop bf16"), "C compiler (cc)")
    text = bench_page.page(measured)
    assert "In fp32 it is the matrix product. In bf16 it is the matrix product." in text
    assert verdict(text, "fp32: share of the limit (matrix product)") == ["≥ 80%", "89%", "kept"]
    assert limit_row(text, "loop fp32")[0] == "not measurable here: no C compiler (cc)"


@pytest.mark.parametrize("stand_in", ["no bf16 loop", "no compiler"])
def test_what_this_machine_lacks_for_its_limit_is_noted_and_the_rest_is_measured(
    stand_in, tmp_path, monkeypatch
):
    if stand_in == "no compiler":
        monkeypatch.setenv("PATH", str(tmp_path))
        lacking = dict.fromkeys(("loop fp32", "loop bf16"), "C compiler (cc)")
    elif shutil.which("cc") is None:
        pytest.skip("not installed: cc")
    else:
        monkeypatch.setenv("COURSE_PEAK_CFLAGS", "-U__AVX512BF16__")
        lacking = {"loop bf16": NO_BF16_LOOP}
    noted: dict[str, str] = {}
    with bench.started({"machine": {"contestant": "machine"}}, tmp_path, tmp_path) as started:
        assert started["machine"].ready()["ready"]
        steps = bench.limit_steps(bench.QUICK, started["machine"], noted)
        measured = bench.take_turns(steps, 0, 0, lambda: None)
    assert noted == lacking
    limits = [f"{kind} {precision}" for kind in bench_page.LIMITS for precision in ("fp32", "bf16")]
    assert list(measured) == [name for name in limits if name not in lacking]
    assert all(value["rate"] > 0 for value in measured.values())


def test_a_matrix_product_that_would_take_too_long_is_made_smaller(tmp_path):
    machine = contestants.Machine({"folder": str(tmp_path)})
    assert machine.product("fp32", 300, seconds=1000)() == 2 * 300**3
    assert machine.product("fp32", 4096, seconds=0)() == 2 * 256**3


@pytest.fixture(scope="module")
def peak(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("not installed: cc")
    return contestants.compiled(tmp_path_factory.mktemp("peak"))


def test_the_loop_does_as_many_multiply_adds_as_it_says(peak):
    # From k, three times x / 2 + 1 is k / 8 + 7 / 4: two operations in each lane of each sum.
    operations = peak.fp32_flops()
    layouts = [(lanes, operations / 2 / lanes) for lanes in (4, 8, 16)]
    expected = [lanes * sum(k / 8 + 7 / 4 for k in range(int(sums))) for lanes, sums in layouts]
    assert peak.fp32(3, 0.5, 1.0) in expected


def test_the_loop_of_bf16_does_two_products_and_two_additions_a_lane(peak):
    if not hasattr(peak, "bf16"):
        pytest.skip("this processor has no multiply-adds of bf16 vectors")
    lanes, sums = 16, 12
    assert peak.bf16_flops() == 4 * lanes * sums
    assert peak.bf16(5, 0.5, 3.0) == lanes * sum(k + 5 * (0.5 * 3 + 0.5 * 3) for k in range(sums))


def test_more_iterations_take_more_time_so_that_none_is_optimised_away(peak):
    def processor_s(n: int) -> float:
        begun = time.process_time()  # of this process, however busy the machine is
        peak.fp32(n, 0.5, 1.0)
        return time.process_time() - begun

    pairs = [(processor_s(400_000), processor_s(8_000_000)) for _ in range(5)]
    short, long = (statistics.median(times) for times in zip(*pairs, strict=True))
    assert long > 5 * short


def test_without_a_compiler_the_limit_is_missing_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(contestants.Missing, match=r"C compiler \(cc\)"):
        contestants.compiled(tmp_path)


# Contestants


def test_a_contestant_whose_library_is_not_installed_says_so_and_ends(tmp_path):
    spec = {"contestant": "img2vec_pytorch", "device": "cpu", "weights": "", "folder": str(tmp_path)}
    hidden = "import sys; sys.modules['img2vec_pytorch'] = None; import contestants; contestants.main()"
    command = [sys.executable, "-c", hidden, json.dumps(spec)]
    answer = subprocess.run(command, cwd=ROOT / "tools", capture_output=True, text=True)
    assert json.loads(answer.stdout) == {"missing": "the package img2vec_pytorch"}


def test_a_network_that_openvino_cannot_compile_here_is_missing_and_other_errors_are_not():
    with (
        pytest.raises(contestants.Missing, match="OpenVINO compiles the network in bf16"),
        contestants.refusals_are_missing("openvino", "bf16"),
    ):
        raise RuntimeError("Supported primitive descriptors list is empty for node")
    with pytest.raises(RuntimeError, match="ours"), contestants.refusals_are_missing("torch", "bf16"):
        raise RuntimeError("ours")


def test_a_contestant_that_dies_ends_the_run_with_its_last_words(tmp_path):
    with bench.started({"odd one": {"contestant": "machine"}}, tmp_path, tmp_path) as started:
        odd = started["odd one"]
        assert odd.ready()["ready"]
        with pytest.raises(RuntimeError, match=r"odd one ended:[\s\S]*unheard_of"):
            odd.ask("go", "unheard_of", {}, least_seconds=0)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "ARROW_DEFAULT_MEMORY_POOL"])
def test_no_contestant_inherits_what_the_course_sets_for_itself(name, monkeypatch):
    monkeypatch.setenv(name, "as the course wants it")
    assert name not in bench.environment()


def test_all_networks_are_given_the_same_pictures_in_the_range_that_they_want():
    gray = contestants.gray_pictures(2)
    x = contestants.network_input(2)
    assert x.shape == (2, 3, 224, 224)
    back = x.numpy()[:, 1] * 0.224 + 0.456
    np.testing.assert_allclose(back * 255, gray, atol=1e-3)
    assert np.array_equal(contestants.gray_pictures(3)[:2], gray)
    assert np.array_equal(np.asarray(contestants.as_image(gray[0] / 255))[..., 2], gray[0])


def test_small_files_differ_in_hash_and_instance_and_can_be_read(tmp_path):
    paths = bench.write_small_files(tmp_path / "small", 9)
    assert len({path.read_bytes() for path in paths}) == 9
    headers = [pydicom.dcmread(path) for path in paths]
    assert len({ds.SOPInstanceUID for ds in headers}) == 9
    assert all(ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID for ds in headers)
    assert len({read_mammogram(path).image_id for path in paths}) == 9


@pytest.mark.gpu
def test_on_cuda_the_networks_give_the_same_vectors_as_on_the_cpu(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    bench.write_weights(tmp_path)
    quick = bench.network(bench.QUICK, tmp_path, lambda: None)
    for label in bench.ON_CUDA:
        difference = quick["differences"][bench_page.at(label, 2)]
        assert difference < (0.05 if "bf16" in label or "fp16" in label else 1e-3), label


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux alone tells it")
def test_the_memory_of_a_run_is_that_of_all_its_processes():
    child = "import time; held = bytes(range(256)) * 400_000; time.sleep(1.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    run = subprocess.Popen([sys.executable, "-c", parent])
    with bench_scale._Watch(run.pid) as watch:
        run.wait()
    assert 100 < watch.peak_mb < 150


def test_without_ray_its_cost_is_not_measured_and_the_page_says_so(measured):
    measured["g"]["missing"] = {"--ray local": "Ray (`pip install -e .[scale]`)"}
    for turn in measured["g"]["turns"]:
        del turn["--ray local"]
    text = bench_page.page(measured)
    assert verdict(text, "`--ray local`: time an image")[1:] == ["not measured", "not measured"]
    assert "- --ray local: not measured; missing: Ray" in text


def test_a_ray_that_does_not_start_costs_the_rest_nothing(tmp_path, monkeypatch):
    def embed(inputs, options, *_):
        if "--ray" in options:
            raise bench_scale.NotStarted
        count = len(list(inputs.iterdir()))
        return {"files": count, "command_s": 5 + 0.1 * count, "extraction_s": 1, "peak_mb": 1000, "status": 0}

    def small(folder, count):
        folder.mkdir()
        for number in range(count):
            (folder / str(number)).touch()

    monkeypatch.setattr(bench_scale, "_embed", embed)
    monkeypatch.setattr(bench_scale, "find_spec", lambda _: True)
    large = tmp_path / "large.dcm"
    large.touch()
    lengths = bench_scale.Lengths(files=2, turns=3, small=(3, 4))
    section = bench_scale.measure(lengths, tmp_path, large, small, {}, lambda: None)
    assert section["missing"] == {"--ray local": "a Ray that can be started here"}
    assert [set(turn) for turn in section["turns"]] == [{"one process", "--shards 2"}] * 3
    assert bench_scale.overhead(section, "--shards 2") == pytest.approx(0)
    assert bench_scale.median_of(section, bench_scale.start_s, "--shards 2") == pytest.approx(5)
    assert [row["files"] for row in section["small"]] == [3, 4]


@pytest.mark.slow
def test_a_quick_run_measures_what_shards_cost(tmp_path):
    command = [sys.executable, ROOT / "tools" / "bench.py", "--quick", "--only", "g", "--output", tmp_path]
    subprocess.run(command, check=True, timeout=patience(400))
    section = json.loads((tmp_path / "embedding.json").read_text(encoding="utf-8"))["g"]
    assert {"one process", "--shards 2"} <= set(section["turns"][0])
    assert [row["files"] for row in section["small"]] == [2, 4]
    assert "## g." in (tmp_path / "embedding.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_quick_run_measures_what_fast_reading_saves_and_what_it_costs(tmp_path):
    command = [sys.executable, ROOT / "tools" / "bench.py", "--quick", "--only", "h", "--output", tmp_path]
    subprocess.run(command, check=True, timeout=patience(300))
    section = json.loads((tmp_path / "embedding.json").read_text(encoding="utf-8"))["h"]
    assert (section["films"], section["phantoms"]) == (1, 12)
    assert all(row["recall"] > 0.9 and row["films_worst"] > 0.97 for row in section["rows"].values())
    assert all(row["films_worst"] < 1 for row in section["rows"].values()), "nothing was read fast"
