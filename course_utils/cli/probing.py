"""`course probe`: how well a column can be read off the vectors of women not in training (lesson 10)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_utils.cli.beside import HISTOGRAM, MEAN_GRAY, columns_beside, names_one_by_one, sizes
from course_utils.cli.errors import UsageError
from course_utils.cli.printing import counted, printable, say_who_is_alone
from course_utils.cli.stopping import stops_at_once
from course_utils.files import display_path

if TYPE_CHECKING:
    import pandas as pd

    from course_utils.analysis.probing import Leaks, Probe
    from course_utils.imaging.thumbnails import Pictures
    from course_utils.runs import Extraction, MatchedLabels

MOST_TWINS = 5
"""So many pairs of near-duplicates are named."""
OF_THE_FILES = ("view", "side", "folder")
"""Names of files say these by design: that they can be read there is no leak."""


@dataclass(frozen=True)
class Question:
    """What is asked of a run.

    Attributes:
        target: `(N,)`, the column that is asked for.
        groups: `(N,)`, the woman of each image.
        group_name: the column that says so.
        alone: how many images name no woman.
        of_run: what the run itself knows of the images.
        labels: what the user's table knows, without columns if there is none.
        matched: how the table fits the run, if there is one.
    """

    target: pd.Series
    groups: pd.Series
    group_name: str
    alone: int
    of_run: pd.DataFrame
    labels: pd.DataFrame
    matched: MatchedLabels | None


def probe(arguments: argparse.Namespace) -> int:
    """Write what can be read off the vectors of a run, beside what is simpler and what gives it away."""
    with stops_at_once():
        import sklearn.linear_model  # noqa: F401  (the probes need it)

        from course_utils.analysis import AnalysisError
        from course_utils.runs import Extraction, LabelsError, read_labels, write_probe

    try:
        labels = None if arguments.labels is None else read_labels(arguments.labels)
        extraction = Extraction.read(arguments.run_folder)
        if len(extraction.vectors) == 0:
            raise UsageError("this run embedded no image: failures.csv says why")
        question = _ask(extraction, labels, arguments.target, arguments.groups)
        _refuse(question, extraction.table["file"].tolist(), arguments.splits)
        found, result = _answer(extraction, question, arguments)
    except LabelsError as error:
        raise UsageError(f"--labels: {error}") from error
    except AnalysisError as error:
        raise UsageError(str(error)) from error
    written = write_probe(arguments.run_folder, extraction, found.target, result)
    for sentence in found.sentences:
        print(printable(sentence))
    if result["pictures"]:
        print(result["pictures"])
    for warning in result["warnings"]:
        print(printable(f"Warning: {warning}"))
    _name_twins(result["leaks"]["twins"], extraction.table["file"].tolist())
    print(printable(f"The probe of {found.target} is {display_path(written)}"))
    print(f"Next: course report {display_path(arguments.run_folder)}")
    return 0


def _ask(extraction: Extraction, labels: pd.DataFrame | None, target: str, groups: str) -> Question:
    """Return what is asked, or refuse columns that are not there."""
    import pandas as pd

    from course_utils.runs import compared_columns, match_labels, women

    table = extraction.table
    of_run = compared_columns(table)
    matched = None if labels is None else match_labels(labels, table)
    of_labels = pd.DataFrame(index=table.index) if matched is None else matched.columns
    known = of_run.join(of_labels)
    group_name = "patient" if groups == "patient_key" else groups
    for option, name in (("--target", target), ("--groups", group_name)):
        if name not in known:
            and_labels = "" if labels is not None else " (and those of --labels)"
            raise UsageError(
                f"{option}: there is no column {name}; there are {', '.join(map(str, known))}{and_labels}"
            )
    keys = known[group_name]
    whose = women(pd.DataFrame({"patient_key": keys}))
    if whose is None and group_name == "patient":
        raise UsageError(
            "no file of this run says which woman it is of (PatientID): give a column of --labels that does, "
            "with --groups"
        )
    if whose is None:
        raise UsageError(f"--groups: {group_name} says of no image which woman it is of")
    return Question(known[target], whose, group_name, int(keys.isna().sum()), of_run, of_labels, matched)


def _refuse(question: Question, files: Sequence[str], splits: int) -> None:
    """Raise UsageError or AnalysisError if the target cannot be asked for, before anything takes long."""
    import numpy as np

    from course_utils.analysis.checks import check_groups
    from course_utils.analysis.probing.targets import check_classes, read_target

    name = str(question.target.name)
    if name == question.group_name:
        raise UsageError(f"--target: {name} names the women: nothing about one can be learnt from the others")
    target = read_target(question.target, len(question.target))
    owner = check_groups(question.groups, len(question.groups))[target.rows]
    if not target.levels and names_one_by_one(question.target, question.groups):
        raise UsageError(
            f"--target: {name} counts women or images through: none can be learnt from the others"
        )
    check_classes(target, np.unique(owner, return_inverse=True)[1], splits)
    if name not in OF_THE_FILES:
        folders = tied_folders([files[row] for row in target.rows], target.values, owner)
        if folders:
            raise UsageError(
                f"--target: {name} is tied to the folder ({_some(folders)} hold one each), so that a probe "
                "may read the site or the scanner instead: take images of every class from each source"
            )


def tied_folders(files: Sequence[str], values: Any, owner: Any) -> list[str]:
    """Return the folders that a target is tied to, none if it is not.

    Tied it is where each folder holds one value of it only, and where that is no accident: if the target were
    dealt out anew among the women it would be so in 5% of cases at most. A folder for each woman is no tie,
    since that is so however it is dealt.

    Args:
        files: M names with folders, as in the column `file`.
        values: `(M,)`, the target.
        owner: `(M,)`, the woman of each.
    """
    import numpy as np

    from course_utils.analysis.permutations import LEVEL, permuter, sequential_p_value

    parts = [name.split("/")[:-1] for name in files]
    classes = np.unique(values, return_inverse=True)[1]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(each[:depth]) for each in parts]
        folders, folder = np.unique(names, return_inverse=True)

        def are_pure(codes: Any, folder: Any = folder, count: int = len(folders)) -> bool:
            return len(np.unique(folder * len(classes) + codes)) == count

        if len(folders) < 2 or not are_pure(classes):
            continue
        permute, rng = permuter(classes, owner), np.random.default_rng(0)
        p_value, _ = sequential_p_value(1.0, lambda: float(are_pure(permute(rng))), most=199)  # noqa: B023
        if p_value <= LEVEL:
            return [name or "the folder above" for name in map(str, folders)]
    return []


def _some(folders: list[str]) -> str:
    shown = folders if len(folders) < 4 else [*folders[:2], f"{len(folders) - 2} more folders"]
    return printable(f"{', '.join(shown[:-1])} and {shown[-1]}")


def _answer(
    extraction: Extraction, question: Question, arguments: argparse.Namespace
) -> tuple[Probe, dict[str, Any]]:
    """Return the probe, and all that is kept of it."""
    import pandas as pd

    from course_utils.analysis.columns import MOST_CATEGORIES
    from course_utils.analysis.probing import probe, ties
    from course_utils.imaging.thumbnails import read_pictures

    name = str(question.target.name)
    pictures = read_pictures(extraction.thumbnails)
    columns, left_out = columns_beside(question.labels, name, question.groups, question.group_name)
    beside: dict[str, Any] = {}
    if pictures is not None:
        beside = {MEAN_GRAY: pictures.mean_gray, HISTOGRAM: pictures.histogram}
    if question.matched is not None:
        print(printable(question.matched.sentence(left_out)))
    say_who_is_alone(question.alone, len(question.groups))
    of = f"{counted(len(extraction.vectors), 'image')} of {question.groups.nunique()} women"
    also = f" and {counted(len(beside | columns), 'baseline')}" if beside or columns else ""
    print(printable(f"Working: reading {name} off the vectors{also}, {of} …"), flush=True)
    found = probe(
        extraction.vectors,
        question.target,
        groups=question.groups,
        model=arguments.model,
        splits=arguments.splits,
        repeats=arguments.repeats,
        tune=arguments.tune,
        baselines=beside | columns,
        seed=arguments.seed,
    )
    print("Working: looking for leaks, and for columns that are tied to it …", flush=True)
    leaks = _leaks(extraction, question, pictures, arguments)
    nuisances = question.of_run.drop(columns=["patient", name, question.group_name], errors="ignore")
    few = [each for each in nuisances if 2 <= nuisances[each].nunique() <= MOST_CATEGORIES]
    nuisances = nuisances[few].join(pd.DataFrame(columns, index=nuisances.index))
    tied = ties(question.target, nuisances, groups=question.groups, seed=arguments.seed)
    return found, {
        "groups": question.group_name,
        "probe": found.to_dict(),
        "leaks": leaks.to_dict(),
        "warnings": [*_split_women(question), *leaks.warnings, *tied],
        "left_out": left_out,
        "pictures": "" if pictures is None else _of_pictures(pictures),
    }


def _leaks(
    extraction: Extraction, question: Question, pictures: Pictures | None, arguments: argparse.Namespace
) -> Leaks:
    import numpy as np

    from course_utils.analysis.probing import leaks

    files = extraction.table["file"].tolist()
    small = None if pictures is None or np.isnan(pictures.small).any() else pictures.small
    return leaks(
        extraction.vectors,
        groups=question.groups,
        y=question.target,
        files=None if question.target.name in OF_THE_FILES else files,
        sizes=sizes(question.labels),
        thumbnails=small,
        splits=arguments.splits,
        seed=arguments.seed,
    )


def _split_women(question: Question) -> tuple[str, ...]:
    """Warn if --groups takes apart what the files say is one woman."""
    keys = question.of_run["patient"]
    split = int((question.groups[keys.notna()].groupby(keys[keys.notna()]).nunique() > 1).sum())
    if not split:
        return ()
    whose = "1 woman is" if split == 1 else f"{split} women are"
    return (
        f"By the files {whose} under several values of {question.group_name}: images of one woman can be on "
        "both sides of a split.",
    )


def _of_pictures(pictures: Pictures) -> str:
    bins = pictures.histogram.shape[1]
    return (
        f"Mean gray and histogram ({bins} bins) are those of the breast, all that is not black, in the "
        f"thumbnails: what the network saw, as {pictures.pixels} × {pictures.pixels} pixels of 8 bits."
    )


def _name_twins(twins: Sequence[dict[str, Any]], files: Sequence[str]) -> None:
    for twin in twins[:MOST_TWINS]:
        pair = f"{files[twin['first']]} and {files[twin['second']]}"
        print(printable(f"  {pair}: cosine {twin['likeness']:.3f} of their {twin['seen_in']}"))
