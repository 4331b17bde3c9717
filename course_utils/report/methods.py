"""The methods of a run in paragraphs that one could publish, from its record and its results alone.

What the record does not hold is said to be missing. No number is written here that is not in a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from course_utils.analysis.clustering import NOISE
from course_utils.analysis.probing.probes import MODELS
from course_utils.analysis.probing.scores import NAMES
from course_utils.report.citations import sources
from course_utils.report.evidence import Evidence
from course_utils.report.reading import Run
from course_utils.report.text import counted, listed, stated, without_folders
from course_utils.report.words import METHODS

_SIDES = {"L": "left", "R": "right"}
_PACKAGES = {"course": "this course", "python": "Python"}


def paragraphs(run: Run, found: Evidence) -> list[tuple[str, str]]:
    """Return the methods, each paragraph with its heading."""
    parts: dict[str, Callable[[], str]] = {
        "Images": lambda: _images(run),
        "Preprocessing": lambda: _preprocessing(run),
        "Network": lambda: _network(run),
        "Clusters": lambda: _clusters(run, found),
        "Probes": lambda: _probes(run),
        "Software": lambda: _software(run),
    }
    written = [(title, _written(part)) for title, part in parts.items()]
    return [(title, without_folders(text)) for title, text in written if text]


def _written(part: Callable[[], str]) -> str:
    try:
        return part()
    except (TypeError, ValueError, LookupError, AttributeError):  # a record that was edited may hold anything
        return "What the record says of this makes no sense: it was changed by hand."


def _images(run: Run) -> str:
    counts, failures = run.record.get("counts") or {}, run.failures
    found = counts.get("found", len(run.table) + len(failures))
    stages = Counter(map(str, failures["stage"])) if "stage" in failures else Counter()
    how = ", ".join(f"{number} at the stage “{stage}”" for stage, number in sorted(stages.items()))
    embeddings = "embeddings" if len(run.table) > 1 else "an embedding"
    became = (
        f"of which {len(run.table) or 'none'} became {embeddings} and {len(failures)} failed"
        f"{f' ({how})' if how else ''}"
    )
    if found == len(run.table) and not len(failures):
        became = "and it became an embedding" if found == 1 else "and all became embeddings"
    sentences = [f"{found} {'file was' if found == 1 else 'files were'} found, {became}."]
    if not len(run.table):
        return " ".join(sentences)
    women = run.table["patient_key"].nunique() if "patient_key" in run.table else 0
    sentences.append(
        f"The images are of {women} {'woman' if women == 1 else 'women'}."
        if women
        else "No file says which woman an image is of."
    )
    sentences += [f"{source.words}." for source in sources(run)]
    if "view" in run.table:
        sentences.append(f"By view: {_counted(run.table['view'].map(stated).tolist())}.")
    if "laterality" in run.table:
        sides = [_SIDES.get(stated(side), stated(side)) for side in run.table["laterality"]]
        sentences.append(f"By side: {_counted(sides)}.")
    return " ".join(sentences)


def _counted(values: list[str]) -> str:
    counts = sorted(Counter(value or "not stated" for value in values).items())
    return ", ".join(f"{value} {number}" for value, number in counts)


def _preprocessing(run: Run) -> str:
    held = run.record.get("preprocessing") or {}
    config = held.get("config") if isinstance(held, dict) else None
    if not isinstance(config, dict):
        return "The record does not say how the images were preprocessed."
    sentences = []
    if "voi" in config:
        rule = {
            "auto": "the transform that each file states, else by percentiles inside the breast",
            "percentile": "percentiles inside the breast",
        }.get(config["voi"], f"the transform “{config['voi']}”")
        used = _counted(run.table["voi"].map(stated).tolist()) if "voi" in run.table else ""
        sentences.append(f"Stored values became gray by {rule}{f' (used: {used})' if used else ''}.")
    if config.get("read") == "fast":
        sentences.append(
            "Images compressed as JPEG 2000 or HTJ2K, if there were any, could be decoded at a reduced "
            "resolution (--read fast)."
        )
    steps = []
    if config.get("mask"):
        steps.append("all that lies outside the breast was set to black")
    if config.get("crop"):
        margin = config.get("margin")
        by = f" with a margin of {margin:.0%}" if isinstance(margin, float) else ""
        steps.append(f"each picture was cropped to the breast{by}")
    if config.get("orient"):
        steps.append("the chest wall was turned to the left")
    if steps:
        sentences.append(f"{listed(steps)}.".capitalize())
    if config.get("size"):
        if config.get("mm_per_pixel"):
            how = f"at {config['mm_per_pixel']} mm a pixel"
        else:
            how = "in its true proportions" if config.get("keep_aspect") else "stretched to the square"
        sentences.append(f"What was left was resized to {config['size']} × {config['size']} pixels, {how}.")
    version, mark = config.get("version"), held.get("fingerprint")
    if version is not None and mark:
        sentences.append(f"This is version {version} of the preprocessing, with the fingerprint {mark}.")
    return " ".join(sentences)


def _network(run: Run) -> str:
    record, weights = run.record, run.record.get("weights") or {}
    if not record.get("backbone"):
        return "The record does not say which network made the embeddings."
    facts = [
        f"source {weights['source']}" if weights.get("source") else "source not recorded",
        f"licence {weights['licence']}" if weights.get("licence") else "licence not recorded",
        f"SHA-256 {weights['sha256']}" if weights.get("sha256") else "SHA-256 not recorded",
    ]
    if weights.get("pretrained") is False:
        trained = f"RANDOM weights, never trained (seed {weights.get('seed', 'not recorded')})"
    else:
        trained = f"the weights {weights.get('id', '(not named)')} ({', '.join(facts)}), used as they are"
    of = f", {run.vectors.shape[1]} numbers each," if len(run.table) else ""
    sentences = [f"The embeddings{of} are those of {record['backbone']} with {trained}."]
    gray = {
        "replicate": "copied to three channels",
        "folded": "given to a first convolution that was folded to one",
    }
    if record.get("adapter"):
        sentences.append(f"Gray was {gray.get(record['adapter'], record['adapter'])}.")
    how = [f"{word} {record[name]}" for name, word in _RUN_WITH.items() if record.get(name) is not None]
    missing = [word for name, word in _RUN_WITH.items() if record.get(name) is None]
    if how:
        sentences.append(f"It ran with {', '.join(how)}.")
    if missing:
        sentences.append(f"Not recorded: {listed(missing)}.")
    if record.get("deterministic") is not None:
        exact = (
            "The same files give the same bits"
            if record["deterministic"]
            else "Equality to the last bit was not asked for"
        )
        sentences.append(f"{exact}.")
    return " ".join(sentences)


_RUN_WITH = {"engine": "engine", "precision": "precision", "device": "device", "batch_size": "batch size"}


def _clusters(run: Run, found: Evidence) -> str:
    if run.clustering is None:
        return "No clusters were made."
    params, judged = run.clustering.params, run.evaluation
    sentences = []
    if found.clusters is None:
        sentences.append("The clusters are those that the report makes by itself, with its defaults.")
    if params.get("remove"):
        explain = "explains" if len(params["remove"]) == 1 else "explain"
        sentences.append(
            f"What {listed(params['remove'])} {explain} of the embeddings was taken off by least squares."
        )
    if run.clusters_women:
        sentences.append("Each woman entered with the mean of her images.")
    searched = params.get("k_searched") or []
    chosen = f", chosen from {searched[0]} to {searched[-1]}" if len(searched) > 1 else ""
    scaled = ", each scaled to unit variance" if params.get("standardise") else ""
    noise = int((run.clustering.labels == NOISE).sum())
    method, seed = METHODS[run.clustering.method], f"(seed {run.clustering.seed})"
    grouped = f"grouped by {method} into {counted(params['k'], 'cluster')}{chosen} {seed}"
    if params["k"] == 0:
        grouped = f"searched by {method}, which found no cluster {seed}"
    elif noise:
        grouped += f"; {noise} {'belongs' if noise == 1 else 'belong'} to none"
    space = counted(params["dims"], "principal component")
    sentences.append(f"The embeddings were reduced to {space}{scaled} and {grouped}.")
    if judged is None:
        return " ".join(sentences)
    if judged.valley is not None and judged.valley.joins:
        others = "women who" if judged.unit == "women" else "images that"
        sentences.append(
            f"Whether clusters are separate was asked of {others} had no part in making them: in "
            f"{judged.valley.splits} random splits, half of all made the clusters, and the other half was "
            "tested for a valley between them."
        )
    elif judged.conclusion == "too few":
        sentences.append(f"Whether clusters are separate could not be asked of {judged.women} {judged.unit}.")
    if judged.nulls:
        draws = listed([f"{null.draws} {_NULLS[null.name]}" for null in judged.nulls])
        sentences.append(f"The silhouette was held against that of {draws}, clustered in the same way.")
    if judged.associations:
        columns = [one.column for one in judged.associations]
        kinds = {one.kind for one in judged.associations}
        by = {"categories": "adjusted Rand index", "number": "η² for numbers"}
        by_what = "; ".join(words for kind, words in by.items() if kind in kinds)
        most = max(one.draws for one in judged.associations)
        sentences.append(
            f"The clusters were held against {listed(columns)} ({by_what}), with p values from at most "
            f"{most} permutations, with the {'woman' if judged.unit == 'women' else 'image'} as the unit"
            f"{f', and Holm’s correction for {len(columns)} columns' if len(columns) > 1 else ''}."
        )
    if run.stability is not None:
        sentences.append(
            f"Stability is the agreement among {run.stability.runs} clusterings of {run.stability.share:.0%} "
            f"of the {run.stability.unit} each, beside that of {len(run.stability.null)} Gaussian clouds."
        )
    return " ".join(sentences)


_NULLS = {"gaussian": "Gaussian clouds of the same covariance", "permuted": "sets with every column permuted"}


_SETTINGS = {
    ("linear", "categories"): "C = {:g}",
    ("linear", "number"): "α = {:g}",
    ("knn", "categories"): "{:g} neighbours",
    ("knn", "number"): "{:g} neighbours",
    ("spread", "categories"): "{:g} neighbours",
    ("self_training", "categories"): "from a probability of {:g}",
}


def _probes(run: Run) -> str:
    sentences = []
    for shown in run.probes:
        probe = shown.probe
        tuned = "tuned inside each fold"
        if probe.setting is not None:
            tuned = _SETTINGS[probe.model, probe.kind].format(probe.setting)
        beside = f", beside {listed([*probe.baselines])} in the same folds" if probe.baselines else ""
        sentences.append(
            f"The column {probe.target} was read off the embeddings of {probe.images} images of "
            f"{probe.women} women by {MODELS[probe.model, probe.kind]} ({tuned}), in {probe.splits} folds of "
            f"women, dealt {probe.repeats} times (seed {probe.seed}){beside}; the measure is "
            f"{NAMES[probe.measure]}, with a 95% interval from drawing women."
        )
        if probe.chance is not None and probe.chance.p_value is not None:
            sentences.append(
                f"Chance is what {probe.chance.reader} reads off {probe.chance.draws} permutations of "
                f"{probe.target} ({probe.chance.unit})."
            )
    return " ".join(sentences)


def _software(run: Run) -> str:
    record = run.record
    versions: dict[str, Any] = record.get("versions") or {}
    if not versions:
        return "The record does not say which software was used."
    used = listed([f"{_PACKAGES.get(name, name)} {version}" for name, version in versions.items()])
    sentences = [f"The embeddings were made with {used}."]
    commit = stated(record.get("git_commit"))
    if commit:
        changed = ", with changes that were not committed" if commit.endswith("+") else ""
        sentences.append(f"The course’s code is that of commit {commit.removesuffix('+')[:12]}{changed}.")
    else:
        sentences.append("The commit of the course’s code is not recorded.")
    machine = record.get("machine") or {}
    if machine:
        parts = [stated(machine[name]) for name in ("system", "processor") if machine.get(name)]
        parts += [f"{machine['cores']} cores"] if machine.get("cores") else []
        sentences.append(f"Machine: {', '.join(parts)}.")
    seeds = record.get("seeds") or {}
    if seeds:
        sentences.append(
            f"Seeds of the extraction: {', '.join(f'{name} {seed}' for name, seed in seeds.items())}."
        )
    return " ".join(sentences)
