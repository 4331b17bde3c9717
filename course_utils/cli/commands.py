"""What each command does; a command takes the parsed arguments and returns the exit status."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from course_utils.cli.errors import UsageError
from course_utils.cli.inputs import check_folder, find_files
from course_utils.cli.printing import counted, printable
from course_utils.cli.stopping import stops_at_once
from course_utils.files import display_path

if TYPE_CHECKING:
    import pandas as pd

    from course_utils.provenance import RunRecord


def doctor(_: argparse.Namespace) -> int:
    """Check this machine."""
    with stops_at_once():  # it writes nothing
        from course_utils.doctor import doctor

        return 0 if doctor() else 1


def samples(arguments: argparse.Namespace) -> int:
    """Write synthetic mammograms, or download those of an archive."""
    if arguments.archive is not None:
        return _archive(arguments)
    if arguments.dry_run or arguments.yes:
        raise UsageError("--dry-run and --yes go with --from: synthetic mammograms are not downloaded")
    with stops_at_once():
        from course_utils.phantoms import write_cohort

    folder, women = arguments.output or Path("phantoms"), arguments.women or 12
    rows, seed = arguments.rows or 1024, arguments.seed or 0
    check_folder("-o", folder)
    manifest = write_cohort(folder, women=women, rows=rows, seed=seed, progress=True)
    of = f"{women} women" if women > 1 else "1 woman"
    print(f"{counted(len(manifest), 'synthetic mammogram')} of {of}, and the truth about them (manifest.csv)")
    print(f"Next: course embed {display_path(folder)} -o out")
    return 0


def _archive(arguments: argparse.Namespace) -> int:
    with stops_at_once():
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
    check_folder("-o", folder)
    files = datasets.download(series, folder, announce=lambda notice: _ask(notice, arguments.yes))
    print(f"{counted(len(files), 'mammogram')}, and labels for course cluster --labels: {archive}.csv")
    print(f"Next: course embed {display_path(folder)} -o out")
    return 0


def _ask(notice: str, yes: bool) -> None:
    print(notice, flush=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nothing was fetched: add --yes if nobody can answer a question")
    try:
        answer = input("Fetch it? [y/N] ")
    except EOFError:  # Ctrl-D
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was fetched")


def embed(arguments: argparse.Namespace) -> int:
    """Write the embeddings of files, and why some of them have none."""
    for option, folder in (("-o", arguments.output), ("--cache", arguments.cache)):
        check_folder(option, folder)
    files, names = find_files(arguments.input)
    if not files:
        print("course embed: there is no DICOM file in the input", file=sys.stderr)
        return 1
    counts = _print_summary(_extract(arguments, files, names), arguments.output)
    if counts["embedded"] == 0:
        print("course embed: no file could be embedded: failures.csv says why", file=sys.stderr)
        return 1
    if arguments.strict and counts["failed"]:
        print("course embed: some files failed, and --strict was given", file=sys.stderr)
        return 1
    print(f"Next: course cluster {display_path(arguments.output)}")
    return 0


def _extract(arguments: argparse.Namespace, files: list[Path], names: list[str]) -> RunRecord:
    with stops_at_once():
        import torchvision  # noqa: F401  (the backbones need it)

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


def _print_summary(record: RunRecord, output: Path) -> dict[str, int]:
    """Print the outcome of a run; return how many images there are of each kind."""
    from course_utils.runs import summarise

    counts, summary = record.counts, summarise(output)
    if not record.weights["pretrained"]:
        print("RANDOM WEIGHTS: these vectors are for lessons and timing; they mean nothing.")
    print(f"{record.backbone}, weights {record.weights['id']}, {record.precision} on {record.device}")
    print(
        f"{counted(counts['found'], 'file')}: {counts['computed']} computed, {counts['from_store']} from the "
        f"store, {counts['failed']} failed, in {record.timings['total_s']:.1f} s"
    )
    for file, reason in summary.failures:
        print(f"  {printable(file)}: {printable(reason)}")
    if counts["failed"] > len(summary.failures):
        print(f"  … and {counts['failed'] - len(summary.failures)} more in failures.csv")
    if summary.has_twins:
        print("Some files have the same SOPInstanceUID, and so the same image_id: use the column file.")
    if counts["embedded"]:
        written = display_path(summary.embeddings)
        print(f"{counted(counts['embedded'], 'embedding')} of {summary.dims} numbers in {written}")
    return counts


def cluster(arguments: argparse.Namespace) -> int:
    """Write the clusters of a run, and how far to believe them."""
    with stops_at_once():
        import sklearn.cluster  # noqa: F401  (the clustering needs it)

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
    matched = None if labels is None else match_labels(labels, extraction.table)
    if matched is not None:
        compared = compared.join(matched.columns)
    clustering = cluster(extraction.vectors, seed=seed, k=k)
    evaluation = evaluate(extraction.vectors, clustering, metadata=compared, seed=seed)
    result = {**clustering.to_dict(), "evaluation": evaluation.to_dict()}
    written = write_clusters(folder, extraction, clustering.labels, compared, result)
    if matched is not None:
        print(printable(matched.sentence(evaluation.skipped)))
    print(evaluation.verdict)
    for association in evaluation.associations:
        print(f"  {printable(association.sentence)}")
    print(f"{evaluation.k} clusters of {len(extraction.table)} images in {display_path(written)}")


def report(arguments: argparse.Namespace) -> int:
    """Write the page about a run."""
    with stops_at_once():
        from course_utils.report import write_report

    print(f"The report is {display_path(write_report(arguments.run_folder))}: open it in a browser")
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Run everything on the mammograms that come with the course."""
    with stops_at_once():
        import pandas as pd

        from course_utils.imaging.datasets import real_mammograms, sample_cohort
        from course_utils.report import write_report

    clock = time.perf_counter()
    check_folder("-o", arguments.output)
    print("1/4  Eight real mammograms (film, CBIS-DDSM) and 24 synthetic ones with known truth")
    real, synthetic = real_mammograms(), sample_cohort()
    files = [Path(path) for path in (*real["path"], *synthetic["path"])]
    names = [
        *(f"real/{row.case}_{row.laterality}_{row.view}.dcm" for row in real.itertuples()),
        *(f"synthetic/{path.name}" for path in synthetic["path"]),
    ]
    print("2/4  From files to embeddings", flush=True)
    _print_summary(_extract(arguments, files, names), arguments.output)
    print("3/4  Clusters, beside what the same pipeline finds in data without any", flush=True)
    truth = pd.DataFrame(synthetic)[["sha256", "density", "vendor"]]
    _cluster_run(arguments.output, k="auto", seed=0, labels=truth)
    print("4/4  The report", flush=True)
    page = write_report(arguments.output)
    print(f"\nDone in {time.perf_counter() - clock:.0f} s. Open {display_path(page)} in a browser.")
    print("Next: python start.py lab opens the first lesson; README.md shows how to embed your own files.")
    return 0


def lab(_: argparse.Namespace) -> int:
    """Open JupyterLab on the first lesson."""
    notebooks = Path(__file__).resolve().parents[2] / "notebooks"
    lesson = notebooks / "00_start_here.ipynb"
    if not lesson.is_file():
        raise UsageError(
            "the lessons are not beside this install: clone the repository and use python start.py lab"
        )
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        raise UsageError("JupyterLab is not installed: run python start.py setup") from None
    print("JupyterLab opens in your browser; stop it here with Ctrl-C.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # in a container
        return subprocess.call([sys.executable, "-m", "jupyterlab", str(lesson), *as_root], cwd=notebooks)
    return 0
