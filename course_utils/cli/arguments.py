"""What can be asked for: commands, options, and what their values may be."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from course_utils import DISCLAIMER, __version__
from course_utils.cli import classroom, commands, exporting, probing, values
from course_utils.cli.lab import lab

WORKERS = min(4, os.cpu_count() or 1)
"""How many threads read ahead, unless the user says otherwise."""

EPILOG = """\
typical workflow:
  course doctor                        is this machine ready?
  course samples -o phantoms           make synthetic mammograms with known truth
  course embed phantoms -o out         files -> out/embeddings.parquet, failures.csv, run.json
  course preprocess phantoms -o seen   what the network gets to see, as pictures
  course map out --method tsne         embeddings -> out/map_tsne.csv, and how far to believe it
  course cluster out                   embeddings -> out/clusters.csv, judged beside null baselines
  course probe out --target view       how well a column can be read off the embeddings
  course report out                    everything -> out/report.html, one page to look at
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sets `run`, the function that does it."""
    parser = argparse.ArgumentParser(
        prog="course",
        description="From mammograms to embeddings to clusters that you may (or may not) believe. "
        + DISCLAIMER,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"course {__version__}")
    parser.set_defaults(run=None)
    every = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    _command(every, "doctor", commands.doctor, "check this machine and say what to do")
    _add_samples(every)
    _add_embed(every)
    _add_preprocess(every)
    _add_pseudonymise(every)
    _add_map(every)
    _add_cluster(every)
    _add_probe(every)
    _add_report(every)
    demo = _command(every, "demo", commands.demo, "run everything on real and synthetic mammograms")
    demo.add_argument(
        "-o",
        "--output",
        type=values.path,
        default=Path("results/demo"),
        metavar="OUT",
        help="folder for the results (default: results/demo)",
    )
    _embedding_options(demo)
    _lab(every)
    _add_classroom(every)
    return parser


def _add_report(every: Any) -> None:
    report = _command(every, "report", commands.report, "write one HTML page about a run")
    _run_folder(report)
    report.add_argument("--title", metavar="TITLE", help="title of the page, in place of its own")
    report.add_argument(
        "--authors",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="whose work it is, each name in quotes, after OUT; with a title, authors or a plan, the page "
        "gets methods, citations and a checklist",
    )


def _lab(every: Any) -> None:
    lab_ = _command(every, "lab", lab, "open JupyterLab on your own copies of the lessons")
    lab_.add_argument("--fresh", metavar="LESSON", help="open a new copy of one lesson, such as 03")
    lab_.add_argument(
        "--instructor",
        action="store_true",
        help="copies for teaching: outputs and solutions are there, and folded until a key unfolds them",
    )
    lab_.add_argument(
        "--folder",
        type=values.path,
        metavar="DIR",
        help="where your copies are (default: my_lessons, beside notebooks; with --instructor "
        "instructor_lessons)",
    )
    lab_.add_argument(
        "jupyter",
        nargs="*",
        metavar="OPTION",
        help="options of JupyterLab's, after two dashes: course lab -- --no-browser --port 8888",
    )


def _add_classroom(every: Any) -> None:
    room = _command(every, "classroom", None, "prepare a room, and laptops that have no network")
    steps = room.add_subparsers(dest="step", title="steps", metavar="STEP", required=True)
    _command(steps, "check", classroom.check, "check a machine of the room and say what to do")
    pack = _command(steps, "pack", classroom.pack, "put the course and all that it installs into a zip")
    pack.add_argument(
        "-o",
        "--output",
        type=values.path,
        default=Path("course.zip"),
        metavar="ZIP",
        help="the zip, which must not be there yet (default: course.zip)",
    )
    pack.add_argument(
        "--platform",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"for which laptops, one or more of {classroom.PLATFORMS} (default: this machine's)",
    )
    pack.add_argument(
        "--python",
        nargs="+",
        action="extend",
        metavar="VERSION",
        help="for which Pythons, one or more of 3.11 to 3.14 (default: this one)",
    )
    pack.add_argument(
        "--weights",
        action="store_true",
        help="ResNet-50's weights go along, from this machine's disk (98 MB)",
    )


def _command(every: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = every.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {DISCLAIMER}"
    )
    command.set_defaults(run=run)
    return command


def _run_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "run_folder", type=values.path, metavar="OUT", help="the folder that course embed wrote into"
    )


def _add_samples(every: Any) -> None:
    samples = _command(
        every, "samples", commands.samples, "make synthetic mammograms, or download public ones"
    )
    samples.add_argument(
        "-o",
        "--output",
        type=values.path,
        help="folder for the files (default: phantoms, or the archive's name)",
    )
    samples.add_argument(
        "--women",
        type=values.whole_number(1, 100_000),
        help="number of women (default: 12 synthetic, 20 of victre, all 1775 of cmmd)",
    )
    samples.add_argument(
        "--seed",
        type=values.seed,
        help="the same seed gives the same bytes (default: 0); for an archive, which women (default: the "
        "first)",
    )
    samples.add_argument(
        "--rows",
        type=values.whole_number(128, 4096),
        help="rows of a synthetic image, 128 to 4096 (default: 1024)",
    )
    archive = samples.add_argument_group("a public archive, via the Imaging Data Commons")
    archive.add_argument(
        "--from",
        dest="archive",
        choices=["victre", "cmmd"],
        help="victre: simulated, density known; cmmd: real. Shows size and licence, then asks",
    )
    archive.add_argument(
        "--dry-run", action="store_true", help="only show the size, the licence and what to cite"
    )
    archive.add_argument("--yes", action="store_true", help="download without asking")


def _add_embed(every: Any) -> None:
    embed = _command(every, "embed", commands.embed, "turn mammograms into embeddings")
    _input(embed, values.path_or_place, ", or of a bucket: s3://BUCKET/PREFIX")
    embed.add_argument(
        "-o",
        "--output",
        type=values.path_or_place,
        required=True,
        metavar="OUT",
        help="folder for the results, on this machine or in a bucket: s3://BUCKET/PREFIX",
    )
    _embedding_options(embed)
    embed.add_argument("--strict", action="store_true", help="exit with status 1 if any file fails")
    archive = embed.add_mutually_exclusive_group()
    archive.add_argument(
        "--shards",
        type=values.positive,
        metavar="N",
        help="for archives: N processes, each given about a hundred files at a time; a process that ends is "
        "replaced, and a file that ends two of them becomes a failure",
    )
    archive.add_argument(
        "--ray",
        metavar="local|auto|ADDRESS",
        help="the same on a Ray cluster: one started on this machine, the one it belongs to, or another",
    )


def _add_preprocess(every: Any) -> None:
    preprocess = _command(
        every, "preprocess", exporting.preprocess, "write what a network would get to see, as pictures"
    )
    _input(preprocess)
    preprocess.add_argument(
        "-o", "--output", type=values.path, required=True, metavar="OUT", help="folder for the pictures"
    )
    preprocess.add_argument(
        "--format",
        default="png16",
        choices=["png16", "tiff16", "npy"],
        help="16 bits of gray, or NumPy's float32 from 0 to 1 (default: png16)",
    )
    preprocess.add_argument(
        "--mask", action="store_true", help="also write where the breast is, as NAME_mask.png"
    )
    _picture_options(preprocess)
    _workers(preprocess)
    _key_folder(preprocess)


def _add_pseudonymise(every: Any) -> None:
    pseudonymise = _command(
        every,
        "pseudonymise",
        exporting.pseudonymise,
        "replace patients' numbers in a table by the pseudonyms of course embed",
    )
    pseudonymise.add_argument("table", type=values.path, metavar="TABLE.csv", help="comma-separated UTF-8")
    pseudonymise.add_argument(
        "--id", required=True, metavar="COLUMN", help="the column of patients' numbers, as in PatientID"
    )
    pseudonymise.add_argument(
        "--issuer", metavar="COLUMN", help="the column of IssuerOfPatientID, where the files have one"
    )
    pseudonymise.add_argument(
        "-o", "--output", type=values.path, required=True, metavar="OUT.csv", help="the table to write"
    )
    _key_folder(pseudonymise)


def _key_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache",
        type=values.path,
        default=Path("results/embeddings"),
        metavar="DIR",
        help="the store whose key makes the pseudonyms; one is drawn where there is none "
        "(default: results/embeddings)",
    )


def _input(
    command: argparse.ArgumentParser, kind: Callable[[str], Any] = values.path, also: str = ""
) -> None:
    command.add_argument(
        "input",
        nargs="+",
        type=kind,
        metavar="INPUT",
        help=f"DICOM or picture files, or folders of them{also}",
    )
    command.add_argument(
        "--table",
        type=values.path,
        metavar="TABLE.csv",
        help="what pictures do not say: a column file, and view, laterality, patient or issuer",
    )


def _add_map(every: Any) -> None:
    map_ = _command(every, "map", commands.map_, "lay embeddings out on a map and say what it keeps")
    _run_folder(map_)
    map_.add_argument(
        "--method",
        default="pca",
        choices=["pca", "tsne", "umap"],
        help="pca keeps large distances, tsne and umap keep neighbours (default: pca)",
    )
    map_.add_argument("--seed", type=values.seed, default=0, help="one seed, one map (default: 0)")
    map_.add_argument(
        "--perplexity",
        type=values.number(1),
        metavar="N",
        help="tsne: about how many neighbours count (default: 30)",
    )
    map_.add_argument("--neighbours", type=values.several, metavar="N", help="umap: the same (default: 15)")
    map_.add_argument(
        "--min-dist",
        type=values.number(0, 1),
        metavar="X",
        help="umap: how close together points may lie, 0 to 1 (default: 0.1)",
    )
    map_.add_argument(
        "--no-noise",
        action="store_true",
        help="do not make a map of noise as well to compare with: half the time",
    )


def _add_cluster(every: Any) -> None:
    cluster = _command(every, "cluster", commands.cluster, "cluster embeddings and judge the clusters")
    _run_folder(cluster)
    cluster.add_argument(
        "--method",
        default="kmeans",
        choices=["kmeans", "gmm", "ward", "hdbscan"],
        help="k-means, a mixture of Gaussians, Ward's tree, or dense regions, which leaves some images out "
        "as noise (default: kmeans)",
    )
    cluster.add_argument(
        "-k",
        type=values.positive_or_auto,
        default="auto",
        help="number of clusters; hdbscan finds it itself (default: auto)",
    )
    cluster.add_argument(
        "--seed", type=values.seed, default=0, help="seed of everything that is random (default: 0)"
    )
    cluster.add_argument(
        "--remove",
        type=values.names,
        default=[],
        metavar="COLUMN[,COLUMN]",
        help="first take off the vectors what these columns explain of them, such as view (default: nothing)",
    )
    cluster.add_argument(
        "--per",
        default="image",
        choices=["image", "woman"],
        help="what is clustered: each image, or the mean of each woman's images (default: image)",
    )
    cluster.add_argument(
        "--labels",
        type=values.path,
        metavar="TABLE.csv",
        help="metadata to compare the clusters with: a comma-separated UTF-8 file with a column sha256, "
        "file or patient_key, and none that identifies people (default: what the files themselves say)",
    )


def _add_probe(every: Any) -> None:
    probe = _command(
        every, "probe", probing.probe, "say how well a column can be read off embeddings, and what else could"
    )
    _run_folder(probe)
    probe.add_argument(
        "--target",
        required=True,
        metavar="COLUMN",
        help="what is asked for, classes or numbers: a column of --labels, or view or side",
    )
    probe.add_argument(
        "--labels",
        type=values.path,
        metavar="TABLE.csv",
        help="a comma-separated UTF-8 file with a column sha256, file or patient_key, and none that "
        "identifies people; "
        "its other columns stand beside the embeddings, but for rows, columns and bytes, which are looked at "
        "for leaks (default: what the files themselves say)",
    )
    probe.add_argument(
        "--groups",
        default="patient_key",
        metavar="COLUMN",
        help="which woman an image is of: she is in training or in the test, never in both "
        "(default: patient_key)",
    )
    probe.add_argument(
        "--model",
        default="linear",
        choices=["linear", "knn", "spread", "self_training"],
        help="logistic (of numbers: ridge) regression, nearest neighbours; for classes also label spreading "
        "and self-training (default: linear)",
    )
    probe.add_argument(
        "--splits", type=values.several, default=5, metavar="N", help="folds of women (default: 5)"
    )
    probe.add_argument(
        "--repeats", type=values.positive, default=5, metavar="N", help="so often in other folds (default: 5)"
    )
    probe.add_argument(
        "--tune", action="store_true", help="choose the model's setting inside each fold; slower"
    )
    probe.add_argument(
        "--seed", type=values.seed, default=0, help="seed of everything that is random (default: 0)"
    )


def _embedding_options(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("the network")
    network.add_argument(
        "--backbone",
        type=values.backbone,
        default="auto",
        metavar="|".join([*values.BACKBONES, *(f"{zoo}:NAME" for zoo in values.ZOOS)]),
        help="auto is ResNet-50 if its weights are available, otherwise EfficientNet-Lite0; or any network "
        "of torchvision's or timm's (default: auto)",
    )
    network.add_argument(
        "--weights",
        default="auto",
        metavar="imagenet|random|PATH",
        help="the network's own, random ones (for timing), or a state dict of yours (default: imagenet)",
    )
    network.add_argument("--seed", type=values.seed, default=0, help="seed of random weights (default: 0)")
    network.add_argument(
        "--layer",
        metavar="NAME",
        help="take the output of an earlier layer, such as layer3; a name that the network does not have "
        "lists those that it has (default: the last one before the classifier)",
    )
    network.add_argument(
        "--pool",
        default="mean",
        choices=["mean", "max", "gem", "multi"],
        help="how a map becomes a vector: its mean, its maximum, the generalised mean between the two, or "
        "the means of the whole and of its quarters (default: mean)",
    )
    network.add_argument(
        "--adapter",
        default="replicate",
        choices=["replicate", "folded"],
        help="how gray becomes three channels: copied, or folded into the first convolution; both give the "
        "same vectors (default: replicate)",
    )
    _picture_options(parser)
    _machine_options(parser.add_argument_group("the machine"))
    store = parser.add_mutually_exclusive_group()
    store.add_argument(
        "--cache",
        type=values.path,
        default=Path("results/embeddings"),
        metavar="DIR",
        help="where computed embeddings are kept for the next run (default: results/embeddings)",
    )
    store.add_argument("--no-cache", action="store_true", help="compute everything anew and keep nothing")


def _picture_options(parser: argparse.ArgumentParser) -> None:
    picture = parser.add_argument_group("the picture")
    picture.add_argument(
        "--size",
        type=values.whole_number(32, 4096),
        default=512,
        help="pixels per side after preprocessing (default: 512)",
    )
    picture.add_argument(
        "--voi",
        type=values.voi,
        default="auto",
        metavar="auto|lut|window|percentile|none|N",
        help="how stored values become gray; N is the file's N-th window, counted from 0 (default: auto)",
    )
    picture.add_argument(
        "--mm-per-pixel",
        type=values.number(0.001, 100),
        metavar="MM",
        help="one physical scale for all, where spacing is known (default: each breast fills the picture)",
    )
    picture.add_argument(
        "--read",
        default="full",
        choices=["full", "fast"],
        help="fast decodes JPEG 2000 at a fraction of its size: several times as fast, and nearly "
        "the same vectors (default: full)",
    )


def _machine_options(machine: argparse._ArgumentGroup) -> None:
    machine.add_argument(
        "--device", default="auto", metavar="auto|cpu|cuda[:N]|mps", help="where to compute (default: auto)"
    )
    machine.add_argument(
        "--precision",
        default="fp32",
        choices=["fp32", "bf16", "fp16"],
        help="numeric precision (default: fp32)",
    )
    machine.add_argument(
        "--engine",
        default="torch",
        choices=["torch", "openvino", "auto"],
        help="what runs the network; auto measures for a second or two which is faster here, and keeps the "
        "answer beside the store (default: torch)",
    )
    machine.add_argument(
        "--batch-size",
        type=values.positive_or_auto,
        default="auto",
        metavar="N|auto",
        help="images per pass (default: auto)",
    )
    _workers(machine)
    machine.add_argument(
        "--deterministic",
        action="store_true",
        help="the same files give the same bits, in any order; slower",
    )


def _workers(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--workers",
        type=values.not_negative,
        default=WORKERS,
        metavar="N",
        help=f"threads that read ahead (default: {WORKERS})",
    )
