"""Time the way from a file to a 512 × 512 picture, beside two plain ways of doing it, in one run.

``make bench-imaging`` writes ``docs/benchmarks/imaging.md`` and ``imaging.png``. The mammogram is a phantom
of real size; each transfer syntax holds the same pixels. All ways take turns on the same file, so that a slow
moment of the machine affects all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pydicom
from encoders import compress
from matplotlib import pyplot as plt
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
)
from skimage.transform import resize
from tqdm import tqdm

from course_utils import doctor, provenance
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.decode import DECODERS, PLUGIN
from course_utils.phantoms import Phantom

ROOT = Path(__file__).resolve().parents[1]
ROWS, COLUMNS, SIZE = 3328, 2560, 512
BUDGET = 1.3  # times what plain OpenCV needs for an uncompressed file
SYNTAXES = {"uncompressed": ExplicitVRLittleEndian} | {
    name: UID(syntax) for syntax, name in doctor.SYNTAXES.items()
}
PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "pydicom",
    "imagecodecs",
    "pyjpegls",
    "pylibjpeg-openjpeg",
    "scikit-image",
)
OURS, OPENCV, PLAIN = "course_utils", "plain OpenCV", "pydicom + scikit-image"
PIECES = ("decode", "gray levels", "preprocess")
Way = Callable[[Path], np.ndarray]


@dataclass
class Times:
    """Seconds of every repetition for one transfer syntax."""

    megabytes: float
    ways: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], OPENCV: [], PLAIN: []})
    pieces: dict[str, list[float]] = field(default_factory=lambda: {piece: [] for piece in PIECES})
    threads: dict[int, list[float]] = field(default_factory=lambda: {1: [], 2: []})  # images per second

    def ms(self, way: str) -> float:
        """Return the median of one way, in milliseconds."""
        return 1000 * statistics.median(self.ways[way])

    def piece_ms(self, piece: str) -> float:
        """Return the median of one piece of our way, in milliseconds."""
        return 1000 * statistics.median(self.pieces[piece])

    def ratio(self, way: str) -> float:
        """Return our time as a multiple of another way's: the median of the ratios within a repetition."""
        return statistics.median(a / b for a, b in zip(self.ways[OURS], self.ways[way], strict=True))


preprocess = Preprocessor(SIZE)


def our_way(path: Path) -> np.ndarray:
    """What `course embed` does with a file: mask, crop, orientation and padding included."""
    return preprocess(read_mammogram(path))


def opencv_way(path: Path) -> np.ndarray:
    """The least that gives a picture: decode, window in place in float32, area resize, pad."""
    ds = pydicom.dcmread(path)
    values = pixel_array(ds, decoding_plugin=_plugin(ds)).astype(np.float32)
    low = float(ds.WindowCenter) - float(ds.WindowWidth) / 2
    values -= np.float32(low)
    values *= np.float32(1 / float(ds.WindowWidth))
    np.clip(values, 0, 1, out=values)
    scale = SIZE / max(values.shape)
    shape = (round(values.shape[1] * scale), round(values.shape[0] * scale))
    square = np.zeros((1, SIZE, SIZE), np.float32)
    square[0, : shape[1], : shape[0]] = cv2.resize(values, shape, interpolation=cv2.INTER_AREA)
    return square


def plain_way(path: Path) -> np.ndarray:
    """What a tutorial shows: pydicom's own transforms and scikit-image's resize with anti-aliasing."""
    ds = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds)
    picture = resize(values.astype(np.float32), (SIZE, SIZE), anti_aliasing=True, preserve_range=True)
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return picture[np.newaxis].astype(np.float32)


WAYS: dict[str, Way] = {OURS: our_way, OPENCV: opencv_way, PLAIN: plain_way}


def _plugin(ds: pydicom.Dataset) -> str:
    return PLUGIN if ds.file_meta.TransferSyntaxUID in DECODERS else ""


def write_files(folder: Path, rows: int, columns: int) -> dict[str, Path]:
    """Write one phantom in every transfer syntax; ``rows`` × ``columns``, 12 bits in 16, one window."""
    Phantom(density="c", rows=rows).write(folder / "phantom.dcm", compress=False)
    ds = pydicom.dcmread(folder / "phantom.dcm")
    ds.PixelData = np.ascontiguousarray(ds.pixel_array[:, :columns]).tobytes()
    ds.Columns = columns
    for keyword in ("WindowCenter", "WindowWidth"):
        setattr(ds, keyword, ds[keyword][0] if ds[keyword].VM > 1 else ds[keyword].value)
    ds.pop("WindowCenterWidthExplanation", None)
    native = ds.PixelData
    paths = {}
    for name, syntax in SYNTAXES.items():
        ds.PixelData, ds.file_meta.TransferSyntaxUID = native, ExplicitVRLittleEndian
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OW", False
        if syntax != ExplicitVRLittleEndian:
            compress(ds, syntax)
        paths[name] = folder / f"{UID(syntax).keyword}.dcm"
        ds.save_as(paths[name])
    return paths


def measure(paths: dict[str, Path], repeat: int, images: int) -> dict[str, Times]:
    """Time all ways ``repeat`` times in turns, and after each turn ours on ``images`` files by one and by two
    threads."""
    results = {name: Times(path.stat().st_size / 1e6) for name, path in paths.items()}
    with tqdm(total=(repeat + 1) * len(paths), desc="reading", unit="round") as bar:
        for path in paths.values():  # not counted: imports, page cache, tables that are made once
            for way in WAYS.values():
                way(path)
            bar.update()
        for turn in range(repeat):
            for name, path in paths.items():
                times = results[name]
                names = list(WAYS)
                for which in names[turn % 3 :] + names[: turn % 3]:
                    times.ways[which].append(seconds(WAYS[which], path))
                _measure_pieces(path, times)
                for threads, rates in times.threads.items():
                    with ThreadPoolExecutor(threads) as pool:
                        begun = time.perf_counter()
                        list(pool.map(our_way, [path] * images))
                        rates.append(images / (time.perf_counter() - begun))
                bar.update()
    return results


def _measure_pieces(path: Path, times: Times) -> None:
    plugin = _plugin(pydicom.dcmread(path, stop_before_pixels=True))
    decode = seconds(pixel_array, path, view_only=True, decoding_plugin=plugin)
    read = seconds(read_mammogram, path)
    times.pieces["decode"].append(decode)
    times.pieces["gray levels"].append(max(0.0, read - decode))
    times.pieces["preprocess"].append(seconds(preprocess, read_mammogram(path)))


def seconds(action: Callable[..., object], *arguments: object, **options: object) -> float:
    """Return how long a call takes."""
    begun = time.perf_counter()
    action(*arguments, **options)
    return time.perf_counter() - begun


def machine() -> str:
    """Name the machine and the versions of what was timed."""
    here = provenance.machine()
    load = f", load {os.getloadavg()[0]:.1f} before the run" if hasattr(os, "getloadavg") else ""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{here['processor']}, {here['cores']} cores, {platform.system()}{load}; "
        f"Python {platform.python_version()}, {packages}; {date.today()}"
    )


PAGE = """\
# From a file to a 512 × 512 picture: how long it takes

Written by `make bench-imaging`; do not edit.

One mammogram of {rows} × {columns} pixels, 12 bits in 16 (a phantom, the same pixels in every transfer
syntax), files in the page cache, one thread, medians of {repeat} repetitions in which all ways take turns.

- **course_utils** is what `course embed` does: read, check, gray levels, breast mask, crop, orientation, area
  resize, padding.
- **plain OpenCV** is the least that gives a picture: decode with the same decoder, window, area resize, pad.
- **pydicom + scikit-image** is `pixel_array` with the decoder that pydicom picks, `apply_modality_lut`,
  `apply_voi_lut`, `resize` with anti-aliasing, and rescaling.

Machine: {machine}.

![Bars: milliseconds from a file to a picture for each transfer syntax, course_utils in three pieces, beside
plain OpenCV and pydicom with scikit-image; the figures are in the table](imaging.png)

| transfer syntax | MB | course_utils, ms | OpenCV, ms | scikit-image, ms | of OpenCV | of scikit-image |
|---|---|---|---|---|---|---|
{whole}

The last two columns are the time of course_utils as a multiple of the other's. The budget for an uncompressed
file is {budget} times plain OpenCV: it takes {ratio:.2f}, so the budget is {verdict}.

Where the time of course_utils goes, in ms (gray levels: what `read_mammogram` takes beyond decoding):

| transfer syntax | decode | gray levels | preprocess |
|---|---|---|---|
{pieces}

Images a second on one thread and on two, medians. Where the gain is near 1, the decoder holds Python's lock:

| transfer syntax | one thread | two threads | gain |
|---|---|---|---|
{threads}
"""


def page(results: dict[str, Times], where: str, repeat: int, shape: tuple[int, int]) -> str:
    """Return the page in Markdown."""
    ratio = results["uncompressed"].ratio(OPENCV)
    whole: list[tuple[str, ...]] = []
    pieces: list[tuple[str, ...]] = []
    threads: list[tuple[str, ...]] = []
    for name, t in results.items():
        measured = [f"{t.megabytes:.1f}", *(f"{t.ms(way):.0f}" for way in WAYS)]
        whole.append((name, *measured, f"{t.ratio(OPENCV):.2f}", f"{t.ratio(PLAIN):.2f}"))
        pieces.append((name, *(f"{t.piece_ms(piece):.0f}" for piece in PIECES)))
        one, two = (statistics.median(rates) for rates in t.threads.values())
        threads.append((name, f"{one:.1f}", f"{two:.1f}", f"{two / one:.2f}"))
    return PAGE.format(
        rows=shape[0],
        columns=shape[1],
        repeat=repeat,
        machine=where,
        whole=table_lines(whole),
        budget=BUDGET,
        ratio=ratio,
        verdict="kept" if ratio <= BUDGET else "missed",
        pieces=table_lines(pieces),
        threads=table_lines(threads),
    )


def table_lines(rows: Sequence[tuple[str, ...]]) -> str:
    """Return the rows of a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(results: dict[str, Times], path: Path) -> None:
    """Draw the three ways as bars, ours in pieces."""
    colours = {"decode": "#0072b2", "gray levels": "#56b4e9", "preprocess": "#cce7f5"}
    others = {OPENCV: ("#e69f00", "//"), PLAIN: ("#999999", "")}
    rows, height = np.arange(len(results)), 0.27
    with mpl.rc_context({"font.size": 9, "hatch.linewidth": 0.5}):
        figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        left = np.zeros(len(results))
        for piece in PIECES:
            widths = np.array([times.piece_ms(piece) for times in results.values()])
            axes.barh(
                rows - height,
                widths,
                height,
                left,
                color=colours[piece],
                ec="black",
                lw=0.4,
                label=f"{OURS}: {piece}",
            )
            left += widths
        for place, (way, (colour, hatch)) in enumerate(others.items()):
            widths = np.array([times.ms(way) for times in results.values()])
            axes.barh(
                rows + height * place,
                widths,
                height,
                color=colour,
                hatch=hatch,
                ec="black",
                lw=0.4,
                label=way,
            )
        axes.set_yticks(rows, list(results))
        axes.invert_yaxis()
        axes.set_xlabel(
            "milliseconds from a file to a 512 × 512 picture (median; one thread; shorter is better)"
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Measure and write the page and its figure."""
    parser = argparse.ArgumentParser(description="Time reading mammograms beside two plain ways.")
    parser.add_argument("--repeat", type=int, default=11, help="repetitions of everything (default: 11)")
    parser.add_argument("--quick", action="store_true", help="a small image, twice: does it run at all?")
    parser.add_argument("--output", type=Path, help="folder (docs/benchmarks; results/benchmarks if quick)")
    arguments = parser.parse_args(argv)
    repeat, images = (2, 2) if arguments.quick else (max(2, arguments.repeat), 8)
    rows, columns = (640, 492) if arguments.quick else (ROWS, COLUMNS)
    output = arguments.output or ROOT / ("results" if arguments.quick else "docs") / "benchmarks"
    output.mkdir(parents=True, exist_ok=True)
    where = machine()
    mpl.use("Agg")
    cv2.setNumThreads(1)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(write_files(Path(folder), rows, columns), repeat, images)
    draw(results, output / "imaging.png")
    text = page(results, where, repeat, (rows, columns))
    (output / "imaging.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"{time.perf_counter() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
