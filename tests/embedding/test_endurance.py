"""Long runs: killed at any moment, stopped by Ctrl-C, and over thousands of files in constant memory."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from calibration import patience

from course_utils.embedding import Extraction

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no signals, and no /proc, as here")

RUN = """
import sys
from pathlib import Path
from course_utils.embedding import EmbeddingExtractor, EmbeddingStore, load_backbone, store
from course_utils.imaging import Preprocessor

store.COMPACT_ABOVE = 3  # parts are merged all the time, so that a kill meets that too
files = sorted(Path(sys.argv[1]).glob("*.dcm"))
extractor = EmbeddingExtractor(
    load_backbone("efficientnet_lite0"), device="cpu", batch_size=2, deterministic=True
)
print("ready", flush=True)
extractor.extract_to(
    sys.argv[2], files, Preprocessor(size=224), store=EmbeddingStore(sys.argv[3]), workers=2, progress=False
)
"""

GROWTH = """
import re, sys, time
from pathlib import Path
import torch
from course_utils.embedding import EmbeddingExtractor, EmbeddingStore, load_backbone
from course_utils.imaging import Preprocessor

extractor = EmbeddingExtractor(load_backbone("efficientnet_lite0"), device="cpu")
extractor.forward = lambda images: images.mean(dim=(1, 2, 3))[:, None].expand(-1, 1280)
files = sorted(Path(sys.argv[1]).glob("*.dcm"))
clock = time.perf_counter()
record = extractor.extract_to(
    sys.argv[2], files, Preprocessor(size=224), store=EmbeddingStore(sys.argv[3]), workers=2, progress=False
)
seconds = time.perf_counter() - clock
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(record.counts["computed"], record.counts["from_store"], peak, seconds)
"""


def _copies(folder: Path, mammogram: Path, count: int) -> Path:
    """A folder of files that differ in their SOPInstanceUID, settled long enough to be remembered."""
    folder.mkdir()
    uid = str(pydicom.dcmread(mammogram).SOPInstanceUID)
    content = mammogram.read_bytes()
    for number in range(count):
        changed = f"{uid[:-6]}{100000 + number}"
        file = folder / f"{number:06d}.dcm"
        file.write_bytes(content.replace(uid.encode(), changed.encode()))
    return folder


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again_at_random_moments_an_archive_is_complete_and_equal(samples, tmp_path, kills):
    def start(output, store):
        run = subprocess.Popen(
            [sys.executable, "-c", RUN, samples[0].parent, output, store], stdout=subprocess.PIPE, text=True
        )
        assert run.stdout.readline() == "ready\n"
        return run

    run, clock = start(tmp_path / "whole", tmp_path / "whole_store"), time.perf_counter()
    assert run.wait() == 0
    seconds = time.perf_counter() - clock
    moments, killed = random.Random(0), 0
    while killed < kills:
        run = start(tmp_path / "out", tmp_path / "store")
        time.sleep(moments.uniform(0, 1.2 * seconds / kills))  # together about half of a run
        run.kill()
        if run.wait() == 0:  # the machine has become faster
            break
        assert run.returncode == -signal.SIGKILL
        killed += 1
    assert killed >= kills / 2
    assert start(tmp_path / "out", tmp_path / "store").wait() == 0
    whole, resumed = Extraction.read(tmp_path / "whole"), Extraction.read(tmp_path / "out")
    assert np.array_equal(resumed.vectors, whole.vectors)
    assert list(resumed.table["file"]) == list(whole.table["file"])
    assert resumed.failures.empty
    assert len(resumed.vectors) == len(samples)


@pytest.mark.slow  # the quick run of the benchmark measures growth, too
@pytest.mark.parametrize("many", [2500, 5000])
def test_thousands_of_files_need_no_more_memory_than_one_thousand_and_come_fast_out_of_the_store(
    write_mammogram, breast, tmp_path, many
):
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of memory is read from /proc, which Linux has")
    small = write_mammogram(np.ascontiguousarray(breast[::2, ::2]), SOPInstanceUID="1.2.3.4.100000")
    measured = {}
    for count in (1000, many):
        files = _copies(tmp_path / f"{count}", small, count)
        time.sleep(2.1)  # a file changed in the last two seconds is hashed again, to be sure
        for turn in ("fresh", "cached"):
            done = subprocess.run(
                [sys.executable, "-c", GROWTH, files, tmp_path / f"out{count}", tmp_path / f"store{count}"],
                capture_output=True,
                text=True,
                check=True,
            )
            measured[count, turn] = [float(number) for number in done.stdout.split()]
    assert [measured[many, turn][:2] for turn in ("fresh", "cached")] == [[many, 0], [0, many]]
    for turn in ("fresh", "cached"):
        assert measured[many, turn][2] <= 1.05 * measured[1000, turn][2]
    assert measured[many, "cached"][3] < patience(many / 2000)  # what `make bench` asks for
