"""The benchmark of reading runs, its ways do the same work, and its page can be read."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from needs import needs_pyjpegls

from course_utils.imaging import Preprocessor, read_mammogram

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import bench_imaging  # noqa: E402
from calibration import patience  # noqa: E402

pytestmark = needs_pyjpegls  # its files are encoded in every transfer syntax, JPEG-LS too


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return bench_imaging.write_files(tmp_path_factory.mktemp("bench"), 640, 500)


def test_every_transfer_syntax_holds_the_same_pixels_and_ours_is_a_whole_picture(paths):
    assert list(paths) == list(bench_imaging.SYNTAXES)
    plain = [bench_imaging.opencv_way(path) for path in paths.values()]
    ours = [bench_imaging.our_way(path) for path in paths.values()]
    for pictures in (plain, ours):
        assert pictures[0].shape == (1, 512, 512)
        assert pictures[0].max() > 0.5
        assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


def test_plain_opencv_does_what_ours_does_without_mask_crop_and_orientation(paths):
    bare = Preprocessor(512, mask=False, crop=False, orient=False)
    for path in paths.values():
        np.testing.assert_allclose(bench_imaging.opencv_way(path), bare(read_mammogram(path)), atol=1e-3)


def test_the_way_of_pydicom_and_scikit_image_gives_the_same_picture_but_for_its_shape(paths):
    path = paths["uncompressed"]
    plain, opencv = bench_imaging.plain_way(path)[0], bench_imaging.opencv_way(path)[0]
    stretched = bench_imaging.cv2.resize(opencv[:, : round(512 * 500 / 640)], (512, 512))
    assert plain.shape == (512, 512)
    assert np.corrcoef(plain.ravel(), stretched.ravel())[0, 1] > 0.99


def test_a_quick_run_writes_a_page_with_a_sane_line_for_each_syntax_and_a_figure(tmp_path):
    command = [sys.executable, ROOT / "tools" / "bench_imaging.py", "--quick", "--output", tmp_path]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=patience(30))
    assert answer.returncode == 0, answer.stderr
    text = (tmp_path / "imaging.md").read_text(encoding="utf-8")
    assert text in answer.stdout
    tables = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in text.splitlines()
        if line.startswith(tuple(f"| {name} |" for name in bench_imaging.SYNTAXES))
    ]
    assert [row[0] for row in tables] == 3 * list(bench_imaging.SYNTAXES)
    # Two hasty repetitions on a busy machine may come out anyhow, and a fast one rounds to 0 ms.
    assert all(0 <= float(value) < math.inf for row in tables for value in row[1:])
    assert all(float(megabytes) > 0 for _, megabytes, *_ in tables[:6])
    assert "Machine: " in text
    assert str(tmp_path) not in text
    assert (tmp_path / "imaging.png").read_bytes().startswith(b"\x89PNG")


def test_times_are_medians_and_a_ratio_is_taken_within_each_repetition():
    ways = {
        bench_imaging.OURS: [0.010, 0.020, 0.090],
        bench_imaging.OPENCV: [0.010, 0.010, 0.090],
        bench_imaging.PLAIN: [0.040, 0.020, 0.045],
    }
    times = bench_imaging.Times(1.0, ways=ways)
    assert [times.ms(way) for way in ways] == pytest.approx([20, 10, 40])
    assert times.ratio(bench_imaging.OPENCV) == pytest.approx(1)  # of 1, 2 and 1
    assert times.ratio(bench_imaging.PLAIN) == pytest.approx(1)  # of 1/4, 1 and 2
