"""What each command does; a command takes the parsed arguments and returns the exit status."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from course_utils.cli.errors import UsageError
from course_utils.cli.exporting import told_of
from course_utils.cli.inputs import check_folder, find_files, preprocessor_for
from course_utils.cli.printing import counted, printable, say_who_is_alone
from course_utils.cli.stopping import stops_at_once
from course_utils.files import display_path
from course_utils.objects import Place, shown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from course_utils.analysis.clustering import Clustering, Method
    from course_utils.analysis.harmonise import Prepared
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
    files, names = find_files(arguments.input, (arguments.output, arguments.cache))
    if not files:
        print("course embed: nothing in the input is DICOM or a picture", file=sys.stderr)
        return 1
    counts = _print_summary(_extract(arguments, files, names), arguments.output)
    if counts["embedded"] == 0:
        print("course embed: no file could be embedded: failures.csv says why", file=sys.stderr)
        return 1
    if arguments.strict and counts["failed"]:
        print("course embed: some files failed, and --strict was given", file=sys.stderr)
        return 1
    if isinstance(arguments.output, Place):
        print("Next: copy these results to a folder of this machine, and then: course cluster FOLDER")
    else:
        print(f"Next: course cluster {display_path(arguments.output)}")
    return 0


def _extract(arguments: argparse.Namespace, files: Sequence[Path | Place], names: list[str]) -> RunRecord:
    with stops_at_once():
        import torchvision  # noqa: F401  (the backbones need it)

        from course_utils.embedding import EmbeddingExtractor, EmbeddingStore, load_backbone

    backbone = {
        "name": arguments.backbone,
        "weights": arguments.weights,
        "seed": arguments.seed,
        "layer": arguments.layer,
        "pool": arguments.pool,
    }
    network = {
        "device": arguments.device,
        "precision": arguments.precision,
        "engine": arguments.engine,
        "adapter": arguments.adapter,
        "batch_size": arguments.batch_size,
        "deterministic": arguments.deterministic,
    }
    preprocessor = preprocessor_for(arguments)
    store = None if arguments.no_cache else EmbeddingStore(arguments.cache)
    table, shards, ray = (getattr(arguments, name, None) for name in ("table", "shards", "ray"))
    if table and (shards or ray) and store is None:  # they would not have the key of the table's pseudonyms
        raise UsageError(
            f"--table with --{'shards' if shards else 'ray'} needs a store's key: leave out --no-cache"
        )
    told = told_of(table, names, store.key if store else None)
    if shards or ray:
        from course_utils.embedding.distributed import Processes, Recipe, extract_in_shards
        from course_utils.embedding.on_ray import RayActors
        from course_utils.imaging.keys import key_of

        backend = RayActors(ray) if ray else Processes(arguments.shards)
        recipe = Recipe(
            backbone,
            network,
            preprocessor,
            None if store is None else store.folder,
            arguments.workers,
            # Without a store, an output of this machine keeps the key while it is made. A bucket must not.
            key_of(arguments.cache) if store is None and isinstance(arguments.output, Place) else None,
        )
        return extract_in_shards(arguments.output, files, recipe, backend, names=names, told=told)
    choices = None if store is None else store.folder
    extractor = EmbeddingExtractor(load_backbone(**backbone), **network, choices=choices)
    return extractor.extract_to(
        arguments.output,
        files,
        preprocessor,
        names=names,
        told=told,
        store=store,
        workers=arguments.workers,
    )


def _print_summary(record: RunRecord, output: Path | Place) -> dict[str, int]:
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
        written = printable(shown(summary.embeddings))
        print(f"{counted(counts['embedded'], 'embedding')} of {summary.dims} numbers in {written}")
    return counts


def map_(arguments: argparse.Namespace) -> int:
    """Write a map of a run, and say how to read it."""
    method = arguments.method
    options = {
        name: getattr(arguments, name)
        for name in ("perplexity", "neighbours", "min_dist")
        if getattr(arguments, name) is not None
    }
    for name in options:
        belongs = "tsne" if name == "perplexity" else "umap"
        if method != belongs:
            raise UsageError(f"--{name.replace('_', '-')} goes with --method {belongs}")
    with stops_at_once():
        import sklearn.manifold  # noqa: F401  (the maps need it)

        from course_utils.analysis import faithfulness, reduce
        from course_utils.analysis.reduction import used_params, variance_shares
        from course_utils.runs import Extraction, write_map

    extraction = Extraction.read(arguments.run_folder)
    vectors = extraction.vectors
    if len(vectors) < 4:
        raise UsageError(f"a map needs at least four images; this run has {len(vectors)}")
    used = used_params(method, len(vectors), **options)

    def make(these: ArrayLike) -> NDArray[np.float32]:
        return reduce(these, method, seed=arguments.seed, **used)

    if method != "pca":
        also = "" if arguments.no_noise else " and of noise to compare with"
        first = " (umap is compiled first, which takes its time)" if method == "umap" else ""
        print(f"Working: {method} of {len(vectors)} images{also}{first} …", flush=True)
    points = make(vectors)
    found = faithfulness(vectors, points, method=None if arguments.no_noise else make, seed=arguments.seed)
    result = {"method": method, "params": used, "seed": arguments.seed, "faithfulness": found.to_dict()}
    if method == "pca":
        result["variance_shares"] = variance_shares(vectors, points).tolist()
    written = write_map(arguments.run_folder, extraction, points, result)
    print(found.sentence)
    print(f"Map of {len(vectors)} images in {display_path(written)}")
    print(f"Next: course report {display_path(arguments.run_folder)}")
    return 0


def cluster(arguments: argparse.Namespace) -> int:
    """Write the clusters of a run, and how far to believe them."""
    with stops_at_once():
        import sklearn.cluster  # noqa: F401  (the clustering needs it)

        from course_utils.runs import LabelsError, read_labels

    try:
        labels = None if arguments.labels is None else read_labels(arguments.labels)
        _cluster_run(
            arguments.run_folder,
            method=arguments.method,
            k=arguments.k,
            seed=arguments.seed,
            labels=labels,
            remove=arguments.remove,
            per=arguments.per,
        )
    except LabelsError as error:
        raise UsageError(f"--labels: {error}") from error
    print(f"Next: course report {display_path(arguments.run_folder)}")
    return 0


def _cluster_run(
    folder: Path,
    *,
    method: Method = "kmeans",
    k: int | Literal["auto"],
    seed: int,
    labels: pd.DataFrame | None,
    remove: Sequence[str] = (),
    per: Literal["image", "woman"] = "image",
) -> None:
    from course_utils.analysis import cluster, evaluate
    from course_utils.analysis.clustering import NOISE
    from course_utils.analysis.harmonise import prepare
    from course_utils.runs import Extraction, compared_columns, match_labels, women, write_clusters

    if method == "hdbscan" and k != "auto":
        raise UsageError("-k: hdbscan finds the number of clusters itself")
    extraction = Extraction.read(folder)
    if len(extraction.vectors) == 0:
        raise UsageError("this run embedded no image: failures.csv says why")
    compared = compared_columns(extraction.table)
    matched = None if labels is None else match_labels(labels, extraction.table)
    if matched is not None:
        compared = compared.join(matched.columns)
    groups = women(extraction.table)
    _check_preparation(compared, groups, remove, per)
    prepared = prepare(extraction.vectors, compared, groups, remove=remove, per=per)
    clustering = cluster(prepared.vectors, method, seed=seed, k=k)
    evaluation = evaluate(
        prepared.vectors, clustering, metadata=prepared.metadata, groups=prepared.groups, seed=seed
    )
    result = {**clustering.to_dict(), "evaluation": evaluation.to_dict()}
    result["stability"] = _stability(prepared, clustering)
    result["params"] = {**result["params"], "remove": list(remove), "per": per}
    written = write_clusters(folder, extraction, clustering.labels[prepared.row_of], compared, result)
    if matched is not None:
        print(printable(matched.sentence(evaluation.skipped)))
        _warn_if_confounded(matched.columns, compared, remove)
    _print_preparation(extraction.table, prepared.left_out, remove)
    print(evaluation.verdict)
    for association in evaluation.associations:
        print(f"  {printable(association.sentence)}")
    for warning in evaluation.warnings:
        print(printable(f"Warning: {warning}"))
    of = counted(len(extraction.table), "image")
    if per == "woman":
        of = f"{len(prepared.vectors)} women ({of})"
    noise = int((clustering.labels == NOISE).sum())
    left = f", {noise} in none (noise)," if noise else ""
    print(f"{counted(evaluation.k, 'cluster')} of {of}{left} in {display_path(written)}")


def _stability(prepared: Prepared, clustering: Clustering) -> dict[str, Any] | None:
    """Return whether the clusters come back without some of the women; None where that cannot be asked."""
    from course_utils.analysis import AnalysisError, stability

    method, seed = clustering.method, clustering.seed
    try:
        k: int | Literal["auto"] = "auto" if method == "hdbscan" else clustering.params["k"]
        return stability(prepared.vectors, method, groups=prepared.groups, k=k, seed=seed).to_dict()
    except AnalysisError:  # so few women that most of them are not enough for as many clusters
        return None


def _check_preparation(
    known: pd.DataFrame, groups: pd.Series | None, remove: Sequence[str], per: str
) -> None:
    """Refuse columns that are not there, and women whom no file names."""
    unknown = [name for name in remove if name not in known]
    if unknown:
        raise UsageError(
            f"--remove: there is no column {unknown[0]}; there are {', '.join(map(str, known))}"
            " (and those of --labels)"
        )
    if per == "woman" and groups is None:
        raise UsageError("--per woman: no file of this run says which woman it is of (PatientID)")


def _warn_if_confounded(labels: pd.DataFrame, known: pd.DataFrame, remove: Sequence[str]) -> None:
    from course_utils.analysis.harmonise import CONFOUNDED, confounded, confounding

    others = [str(name) for name in labels if name not in remove]
    for name, share in confounding(known, remove, others).items():
        if share >= CONFOUNDED:
            print(printable(f"Warning: {confounded(remove, name, share)}"))


def _print_preparation(table: pd.DataFrame, left_out: Sequence[str], remove: Sequence[str]) -> None:
    """Say what was taken off, what is not compared, and who is counted as whom."""
    say_who_is_alone(int(table["patient_key"].isna().sum()), len(table))
    if remove:
        print(printable(f"Taken off the vectors: {', '.join(remove)}"))
    if left_out:
        print(printable(f"Not compared, because it varies within a woman: {', '.join(left_out)}"))


def report(arguments: argparse.Namespace) -> int:
    """Write the page about a run."""
    with stops_at_once():
        from course_utils.report import check_report, write_report
        from course_utils.runs.folder import PLAN

    page = write_report(arguments.run_folder, title=arguments.title, authors=arguments.authors or ())
    if (arguments.run_folder / PLAN).exists():
        for item in check_report(arguments.run_folder).missing:
            print(printable(f"Not met, {item.id}: {item.says}"))
    print(f"The report is {display_path(page)}: open it in a browser")
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
    synthetic, real = sample_cohort(), real_mammograms()  # only a checkout has the first: ask for it first
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
    print("Next: python start.py lab opens the lessons; README.md shows how to embed your own files.")
    return 0
