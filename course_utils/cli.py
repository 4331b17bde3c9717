"""`course …`: the lessons' own code as a command line, for ten files or an archive of ten thousand.

Nothing heavy is imported before a command needs it, so that `course --help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils import DISCLAIMER, __version__
from course_utils.files import as_text, display_path, nearest_folder
from course_utils.provenance import RunRecord

if TYPE_CHECKING:
    import pandas as pd

WORKERS = min(4, os.cpu_count() or 1)  # threads that read ahead, unless the user says otherwise
DICOM_SUFFIXES = {".dcm", ".dicom"}
EPILOG = """\
the way through:
  course doctor                        is this machine ready?
  course samples -o phantoms           make synthetic mammograms with known truth
  course embed phantoms -o out         files -> out/embeddings.parquet, failures.csv, run.json
  course cluster out                   embeddings -> out/clusters.csv, judged beside null baselines
  course report out                    all of it -> out/report.html, one page to look at
"""


class UsageError(Exception):
    """The command line asks for something that is not there; exit status 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 failed, 2 usage, 130 stopped by Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        # A Windows console may not know every character that a sentence holds; a run must not end over one.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        # What other libraries log may quote a header or name a folder.
        handler.addFilter(lambda entry: entry.name.startswith("course_utils"))
    if arguments.command is None:
        _parser().print_help()
        return 0
    try:
        print(DISCLAIMER, flush=True)
        return arguments.run(arguments)
    except UsageError as error:
        print(f"course {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "Stopped. No file is left half written; give the same command again to finish.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        name = f" ({Path(error.filename).name})" if isinstance(error.filename, str) else ""
        print(f"course {arguments.command}: {error.strerror or type(error).__name__}{name}", file=sys.stderr)
        return 1
    except Exception as error:
        if not _is_ours(error):
            raise
        print(f"course {arguments.command}: {error}", file=sys.stderr)
        return 1


def _is_ours(error: Exception) -> bool:
    """Whether the error's text is a sentence for the user: it is one of this course's own error classes."""
    return type(error).__module__.startswith("course_utils.")


def _doctor(_: argparse.Namespace) -> int:
    from course_utils.doctor import doctor

    return 0 if doctor() else 1


def _samples(arguments: argparse.Namespace) -> int:
    if arguments.archive is not None:
        return _archive(arguments)
    if arguments.dry_run or arguments.yes:
        raise UsageError("--dry-run and --yes go with --from: synthetic mammograms are made, not fetched")
    from course_utils.phantoms import write_cohort

    folder, women = arguments.output or Path("phantoms"), arguments.women or 12
    rows, seed = arguments.rows or 1024, arguments.seed or 0
    _check_folder("-o", folder)
    manifest = write_cohort(folder, women=women, rows=rows, seed=seed, progress=True)
    print(f"{len(manifest)} synthetic mammograms of {women} women and their truth (manifest.csv)")
    print(f"Next: course embed {display_path(folder)} -o out")
    return 0


def _archive(arguments: argparse.Namespace) -> int:
    from course_utils.imaging import datasets

    if arguments.rows is not None:
        raise UsageError("--rows is for synthetic mammograms: those of an archive are as they are")
    archive = arguments.archive
    try:
        series = datasets.plan(archive, women=arguments.women, seed=arguments.seed)
    except ValueError as error:
        raise UsageError(f"--women: {error}") from None
    if arguments.dry_run:
        print(f"{datasets.notice(series)}\nNothing was fetched.")
        return 0
    folder = arguments.output or Path(archive)
    _check_folder("-o", folder)
    files = datasets.download(series, folder, announce=lambda notice: _ask(notice, arguments.yes))
    print(f"{len(files)} mammograms, and what is known of each for course cluster --labels ({archive}.csv)")
    print(f"Next: course embed {display_path(folder)} -o out")
    return 0


def _ask(notice: str, yes: bool) -> None:
    print(notice, flush=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nothing was fetched: add --yes where nobody can answer a question")
    try:
        answer = input("Fetch it? [y/N] ")
    except EOFError:  # Ctrl-D
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was fetched")


def _embed(arguments: argparse.Namespace) -> int:
    for option, folder in (("-o", arguments.output), ("--cache", arguments.cache)):
        _check_folder(option, folder)
    files, names = _find(arguments.input)
    if not files:
        print("course embed: no DICOM file in the input: nothing to embed", file=sys.stderr)
        return 1
    counts = _tell(_extract(arguments, files, names), arguments.output)
    if counts["embedded"] == 0:
        print("course embed: no file could be embedded: see failures.csv for the reasons", file=sys.stderr)
        return 1
    if arguments.strict and counts["failed"]:
        print("course embed: some files failed, and --strict was asked for", file=sys.stderr)
        return 1
    print(f"Next: course cluster {display_path(arguments.output)}")
    return 0


def _extract(arguments: argparse.Namespace, files: list[Path], names: list[str]) -> RunRecord:
    from course_utils.embedding import EmbeddingExtractor, EmbeddingStore, load_backbone
    from course_utils.imaging import Preprocessor

    extractor = EmbeddingExtractor(
        load_backbone(arguments.backbone, weights=arguments.weights, seed=arguments.seed),
        device=arguments.device,
        precision=arguments.precision,
        engine=arguments.engine,
        adapter=arguments.adapter,
        batch_size=arguments.batch_size,
        deterministic=arguments.deterministic,
    )
    return extractor.extract_to(
        arguments.output,
        files,
        Preprocessor(size=arguments.size, voi=arguments.voi),
        names=names,
        store=None if arguments.no_cache else EmbeddingStore(arguments.cache),
        workers=arguments.workers,
    )


def _tell(record: RunRecord, output: Path) -> dict[str, int]:
    import pandas as pd
    import pyarrow.parquet as pq

    counts = record.counts
    if not record.weights["pretrained"]:
        print("RANDOM WEIGHTS: these vectors are for lessons and timing; they mean nothing.")
    print(f"{record.backbone}, weights {record.weights['id']}, {record.precision} on {record.device}")
    print(
        f"{counts['found']} files: {counts['computed']} computed, {counts['from_store']} from the store, "
        f"{counts['failed']} failed, in {record.timings['total_s']:.1f} s"
    )
    failures = pd.read_csv(output / "failures.csv", dtype=str, keep_default_na=False, nrows=5)
    for file, reason in failures[["file", "reason"]].to_numpy():
        print(f"  {''.join(c if c.isprintable() else '?' for c in file)}: {reason}")
    if counts["failed"] > 5:
        print(f"  … and {counts['failed'] - 5} more in failures.csv")
    written = output / "embeddings.parquet"
    if len(pq.read_table(written, columns=["image_id"])["image_id"].unique()) < counts["embedded"]:
        print("Some files have the same SOPInstanceUID, and so the same image_id: go by the column file.")
    if counts["embedded"]:
        size = pq.read_schema(written).field("embedding").type.list_size
        print(f"{counts['embedded']} embeddings of {size} numbers in {display_path(written)}")
    return counts


def _cluster(arguments: argparse.Namespace) -> int:
    from course_utils.runs import LabelsError, read_labels

    try:
        labels = None if arguments.labels is None else read_labels(arguments.labels)
        _cluster_run(arguments.run_folder, k=arguments.k, seed=arguments.seed, labels=labels)
    except LabelsError as error:
        raise UsageError(f"--labels: {error}") from error
    print(f"Next: course report {display_path(arguments.run_folder)}")
    return 0


def _cluster_run(folder: Path, *, k: int | str, seed: int, labels: pd.DataFrame | None) -> None:
    from course_utils.analysis import cluster, evaluate
    from course_utils.runs import Extraction, compared_columns, match_labels, write_clusters

    extraction = Extraction.read(folder)
    if len(extraction.vectors) == 0:
        raise UsageError("this run embedded no image: failures.csv says why")
    compared = compared_columns(extraction.table)
    if labels is not None:
        compared = compared.join(match_labels(labels, extraction.table))
    clustering = cluster(extraction.vectors, seed=seed, k=k)
    evaluation = evaluate(extraction.vectors, clustering, metadata=compared, seed=seed)
    result = {**clustering.to_dict(), "evaluation": evaluation.to_dict()}
    written = write_clusters(folder, extraction, clustering.labels, compared, result)
    print(evaluation.verdict)
    for association in evaluation.associations:
        print(f"  {association.sentence}")
    print(f"{evaluation.k} clusters of {len(extraction.table)} images in {display_path(written)}")


def _report(arguments: argparse.Namespace) -> int:
    from course_utils.report import write_report

    print(f"The report is {display_path(write_report(arguments.run_folder))}: open it in a browser")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    import pandas as pd

    from course_utils.imaging.datasets import real_mammograms, sample_cohort
    from course_utils.report import write_report

    clock = time.perf_counter()
    print("1/4  Eight real mammograms (film, CBIS-DDSM) and 24 synthetic ones with known truth")
    real, synthetic = real_mammograms(), sample_cohort()
    files = [Path(path) for path in (*real["path"], *synthetic["path"])]
    names = [
        *(f"real/{row.case}_{row.laterality}_{row.view}.dcm" for row in real.itertuples()),
        *(f"synthetic/{path.name}" for path in synthetic["path"]),
    ]
    print("2/4  Files to embeddings", flush=True)
    _tell(_extract(arguments, files, names), arguments.output)
    print("3/4  Clusters, beside what the same pipeline finds in data without any", flush=True)
    truth = pd.DataFrame(synthetic)[["sha256", "density", "vendor"]]
    _cluster_run(arguments.output, k="auto", seed=0, labels=truth)
    print("4/4  The report", flush=True)
    report = write_report(arguments.output)
    print(f"\nDone in {time.perf_counter() - clock:.0f} s. Open {display_path(report)} in a browser.")
    print("Next: python start.py lab opens the first lesson; README.md shows how to embed your own files.")
    return 0


def _lab(_: argparse.Namespace) -> int:
    notebooks = Path(__file__).resolve().parents[1] / "notebooks"
    lesson = notebooks / "00_start_here.ipynb"
    if not lesson.is_file():
        raise UsageError(
            "the lessons are not beside this install: clone the repository and use python start.py lab"
        )
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        raise UsageError("JupyterLab is not installed: run python start.py setup") from None
    print("JupyterLab opens in your browser; stop it with Ctrl-C here.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # in a container
        return subprocess.call([sys.executable, "-m", "jupyterlab", str(lesson), *as_root], cwd=notebooks)
    return 0


def _find(inputs: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Files and folders to files in a fixed order, and the name of each relative to its INPUT.

    A folder that cannot be opened is in the list too, so that it becomes a failure and is not lost.
    """
    files: list[Path] = []
    names: list[str] = []
    for given in inputs:
        if given.is_dir():
            below = sorted(_walk(given))
            prefix = "" if len(inputs) == 1 else f"{given.resolve().name}/"
            files += below
            names += [prefix + path.relative_to(given).as_posix() for path in below]
        elif given.exists():
            files.append(given)
            names.append(given.name)
        else:
            raise UsageError(f"there is no file or folder {display_path(given)}")
    if len(set(names)) < len(names):
        raise UsageError("two inputs have the same name: give the folder that holds both instead")
    if len(inputs) > 1 and len({file.resolve() for file in files}) < len(files):
        raise UsageError("a file was given twice: two of the inputs overlap")
    return files, [as_text(name) for name in names]


def _walk(folder: Path) -> Iterator[Path]:
    unreadable: list[Path] = []
    linked = 0
    for path, folders, files in os.walk(
        folder, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked += sum((Path(path) / name).is_symlink() for name in folders)
        found = (Path(path) / name for name in files if not name.startswith("."))
        yield from (file for file in found if _looks_like_dicom(file))
    yield from unreadable
    if linked:
        print(f"Linked folders are not followed; passed over: {linked}", file=sys.stderr)


def _looks_like_dicom(path: Path) -> bool:
    """Named like DICOM, or DICOM by its first bytes: an archive also holds notes, tables and indexes."""
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    if path.name == "DICOMDIR" or not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="course",
        description="Mammograms to embeddings to clusters that one may (or may not) believe. " + DISCLAIMER,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"course {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    parser.set_defaults(run=None)

    _command(commands, "doctor", _doctor, "check this machine and say what to do")

    samples = _command(commands, "samples", _samples, "make synthetic mammograms, or fetch public ones")
    samples.add_argument("-o", "--output", type=_path, help="folder (phantoms, or the archive's name)")
    samples.add_argument(
        "--women", type=_women, help="how many women (12 synthetic, 20 of victre, all 1775 of cmmd)"
    )
    samples.add_argument(
        "--seed", type=_seed, help="same seed, same bytes (0); of an archive, which women (the first)"
    )
    samples.add_argument("--rows", type=_rows, help="rows of a synthetic image, 128 to 4096 (1024)")
    archive = samples.add_argument_group("a public archive, by way of the Imaging Data Commons")
    archive.add_argument(
        "--from",
        dest="archive",
        choices=["victre", "cmmd"],
        help="victre: simulated, density known; cmmd: real. Shows size and licence, then asks",
    )
    archive.add_argument(
        "--dry-run", action="store_true", help="show size, licence and what to cite, no more"
    )
    archive.add_argument("--yes", action="store_true", help="fetch without asking")

    embed = _command(commands, "embed", _embed, "turn mammograms into embeddings")
    embed.add_argument("input", nargs="+", type=_path, metavar="INPUT", help="DICOM files or folders of them")
    embed.add_argument(
        "-o", "--output", type=_path, required=True, metavar="OUT", help="folder for the results"
    )
    _embedding_options(embed)
    embed.add_argument("--strict", action="store_true", help="exit status 1 if any file fails")

    cluster = _command(commands, "cluster", _cluster, "cluster embeddings and judge the clusters")
    cluster.add_argument("run_folder", type=_path, metavar="OUT", help="the folder that course embed wrote")
    cluster.add_argument("-k", type=_positive_or_auto, default="auto", help="number of clusters (auto)")
    cluster.add_argument("--seed", type=_seed, default=0, help="seed of every random choice (0)")
    cluster.add_argument(
        "--labels",
        type=_path,
        metavar="TABLE.csv",
        help="what else is known: a column sha256 or file, and columns to compare the clusters with",
    )

    report = _command(commands, "report", _report, "write one HTML page about a run")
    report.add_argument("run_folder", type=_path, metavar="OUT", help="the folder that course embed wrote")

    demo = _command(commands, "demo", _demo, "the whole way on real and synthetic mammograms")
    demo.add_argument(
        "-o", "--output", type=_path, default=Path("results/demo"), help="folder (results/demo)"
    )
    _embedding_options(demo)

    _command(commands, "lab", _lab, "open JupyterLab on the first lesson")
    return parser


def _command(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {DISCLAIMER}"
    )
    command.set_defaults(run=run)
    return command


def _embedding_options(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("the network")
    network.add_argument(
        "--backbone",
        default="auto",
        choices=["auto", "resnet50", "efficientnet_lite0"],
        help="auto: ResNet-50 where its weights can be had, else EfficientNet-Lite0",
    )
    network.add_argument(
        "--weights",
        default="auto",
        metavar="imagenet|random|PATH",
        help="ImageNet's, random ones (for timing), or a state dict of your own (ImageNet's)",
    )
    network.add_argument("--seed", type=_seed, default=0, help="seed of random weights (0)")
    network.add_argument(
        "--adapter",
        default="replicate",
        choices=["replicate", "folded"],
        help="gray to three channels: copied, or folded into the first convolution; same vectors (replicate)",
    )
    picture = parser.add_argument_group("the picture")
    picture.add_argument("--size", type=_side, default=512, help="pixels a side after preprocessing (512)")
    picture.add_argument(
        "--voi",
        type=_voi,
        default="auto",
        metavar="auto|lut|window|percentile|none|N",
        help="how stored values become gray; N is the file's N-th window, from 0 (auto)",
    )
    machine = parser.add_argument_group("the machine")
    machine.add_argument(
        "--device", default="auto", metavar="auto|cpu|cuda[:N]|mps", help="where to compute (auto)"
    )
    machine.add_argument(
        "--precision",
        default="fp32",
        choices=["fp32", "bf16", "fp16"],
        help="mixed precision by asking (fp32)",
    )
    machine.add_argument(
        "--engine", default="torch", choices=["torch", "openvino"], help="what runs the network (torch)"
    )
    machine.add_argument(
        "--batch-size", type=_positive_or_auto, default="auto", metavar="N|auto", help="images a pass (auto)"
    )
    machine.add_argument(
        "--workers",
        type=_not_negative,
        default=WORKERS,
        metavar="N",
        help=f"threads that read ahead ({WORKERS})",
    )
    machine.add_argument(
        "--deterministic", action="store_true", help="same files, same bits, whatever their order; slower"
    )
    store = parser.add_mutually_exclusive_group()
    store.add_argument(
        "--cache",
        type=_path,
        default=Path("results/embeddings"),
        metavar="DIR",
        help="the store of embeddings already computed (results/embeddings)",
    )
    store.add_argument("--no-cache", action="store_true", help="neither look into a store nor keep anything")


def _check_folder(option: str, folder: Path) -> None:
    """Say before a long run, not after it, that its results cannot be written there."""
    there = nearest_folder(folder)
    if not there.is_dir():
        raise UsageError(f"{option}: {there.name} is a file, and a folder is needed")
    if not os.access(there, os.W_OK):
        raise UsageError(f"{option}: nothing may be written into {there.name or 'the root folder'}")


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)


def _positive(text: str) -> int:
    return _whole_number(text, 1)


def _not_negative(text: str) -> int:
    return _whole_number(text, 0)


def _seed(text: str) -> int:
    return _whole_number(text, 0, 2**32 - 1)


def _side(text: str) -> int:
    return _whole_number(text, 32, 4096)


def _rows(text: str) -> int:
    return _whole_number(text, 128, 4096)


def _women(text: str) -> int:
    return _whole_number(text, 1, 100_000)


def _whole_number(text: str, least: int, most: int = sys.maxsize) -> int:
    if not (text.isdecimal() and least <= int(text) <= most):
        upper = f" to {most}" if most < sys.maxsize else " or more"
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least}{upper}")
    return int(text)


def _positive_or_auto(text: str) -> int | str:
    return text if text == "auto" else _positive(text)


def _voi(text: str) -> str | int:
    return text if text in ("auto", "lut", "window", "percentile", "none") else _not_negative(text)


if __name__ == "__main__":
    sys.exit(main())
