"""What a reader of a paper about a run would ask, each answered from the run or left open by name.

The questions are those of TRIPOD+AI (Collins et al., BMJ 2024;385:e078378) and CLAIM 2024 (Tejani et al.,
Radiology: Artificial Intelligence 2024;6:e240300) that apply to such a run, in our own words. TRIPOD+AI's are
named by their numbers and CLAIM's by their sections.
"""

from __future__ import annotations

from dataclasses import dataclass

from course_utils.analysis.evaluation import FEW
from course_utils.report.citations import sources
from course_utils.report.evidence import Evidence
from course_utils.report.reading import Run
from course_utils.report.text import counted, listed, stated, without_folders
from course_utils.report.words import warning_rows


@dataclass(frozen=True)
class Row:
    """One question.

    Attributes:
        asks: the question.
        tripod: the number of its item in TRIPOD+AI, or nothing.
        claim: its section in CLAIM 2024, or nothing.
        answer: from the run; where it is open, what is missing.
        is_open: whether the run cannot answer it.
    """

    asks: str
    tripod: str
    claim: str
    answer: str
    is_open: bool = False


def rows(run: Run, found: Evidence, title: str) -> list[Row]:
    """Return the questions that apply to a run, in the order of a paper."""
    every = [*_opening(found, title), *_data(run), *_analysis(run, found), *_openness(run, found)]
    every += [*_results(run, found)]
    return [
        Row(one.asks, one.tripod, one.claim, without_folders(one.answer), one.is_open)
        for one in every
        if one is not None
    ]


def _open(asks: str, tripod: str, claim: str, missing: str, *, known: str = "") -> Row:
    """Return a question that nobody but the authors can answer, with what the run says of it."""
    return Row(asks, tripod, claim, f"{f'{known} ' if known else ''}Open: {missing}.", is_open=True)


def _opening(found: Evidence, title: str) -> list[Row]:
    asks = ("Does the title say what kind of study this is?", "1", "Title and abstract")
    plan = None if found.plan is None else found.plan.plan
    return [
        Row(*asks, f"It is “{title}”; judge yourself whether it names the method and the images.")
        if title
        else _open(*asks, "a title (course report --title)"),
        _open(
            "Why does the question matter, for whom, and who is treated unequally today?",
            "3a, 3b, 3c",
            "Introduction",
            "the background; nobody but you can write it",
        ),
        Row("What is asked?", "4", "Introduction", plan.question)
        if plan is not None
        else _open("What is asked?", "4", "Introduction", "the question (write_plan)"),
    ]


def _data(run: Run) -> list[Row]:
    known = sources(run)
    where = " ".join(f"{source.words}." for source in known)
    asks = ("Where do the images come from?", "5a", "Methods: data")
    public = bool(known) and all(source.public for source in known)
    nobody = bool(known) and all(source.synthetic for source in known)
    failed = len(run.failures)
    shown = _shown_facts(run)
    warnings = sum(count for _, count in warning_rows(run))
    return [
        Row(*asks, where) if public else _open(*asks, "the source, and why it was chosen", known=where),
        _open("When were they taken?", "5b", "Methods: data", "the dates; the course keeps none"),
        _open(
            "In what setting were they taken, and who was eligible?",
            "6a, 6b",
            "Methods: data",
            "the setting, and how the images were chosen",
            known=f"{failed or 'No'} file{' was' if failed < 2 else 's were'} set aside"
            f"{', each for a stated reason' if failed else ''}.",
        ),
        Row(
            "How were the images prepared, and how was that checked?",
            "7",
            "Methods: data",
            "See Methods, Preprocessing."
            + (
                f" Reading gave {counted(warnings, 'warning')}, listed under “Files set aside”."
                if warnings
                else ""
            ),
        )
        if run.record.get("preprocessing")
        else _open(
            "How were the images prepared, and how was that checked?",
            "7",
            "Methods: data",
            "no record says it",
        ),
        Row(
            "How were people made unrecognisable?",
            "",
            "Methods: data",
            "The images are of nobody."
            if nobody
            else "Images and women have pseudonyms, made with a secret key; no name, birth date or number "
            "was copied. Look at the pictures for what is burned into the pixels.",
        ),
        _open(
            "With what machines and settings were they taken?",
            "",
            "Methods: data",
            "machine, dose and compression",
            known=f"Known are {shown}." if shown else "",
        ),
    ]


def _shown_facts(run: Run) -> str:
    return listed([name for name in map(str, run.metadata) if name != "patient"])


def _analysis(run: Run, found: Evidence) -> list[Row]:
    outcome = "" if found.plan is None else found.plan.plan.outcome
    women = None if found.women is None else found.women.nunique()
    of = "" if women is None else f" of {women} {'woman' if women == 1 else 'women'}"
    is_few = women is not None and women < FEW
    size = f"{counted(len(run.table), 'image')}{of}.".capitalize()
    units = set() if run.evaluation is None else {run.evaluation.unit}
    units |= {"women"} if run.probes else set()
    unit = {
        (): "Nothing was permuted or split.",
        ("women",): "Permutations, nulls and splits go by woman.",
        ("images",): "Images counted as independent.",
    }.get((*sorted(units),), "Clusters were judged by image, and probes were split by woman.")
    defined = f"It is the column {outcome}." if outcome else ""
    asked = [
        _open(
            "What is the outcome, who assessed it, and were they blind to the images?",
            "8a, 8b, 8c",
            "Methods: reference standard",
            "how, when and by whom it was assessed",
            known=defined,
        ),
        Row(
            "What is it read from?",
            "9b",
            "Methods: model",
            f"The {f'{run.vectors.shape[1]} ' if len(run.table) else ''}numbers of an embedding; no reader "
            "assessed anything.",
        ),
        _open(
            "Why are there so many images, and are they enough?",
            "10",
            "Methods",
            "a reason for this number",
            known=size + (" These few say little about others." if is_few else ""),
        ),
        Row("What is the unit, and how were images parted?", "12a", "Methods: data partitions", unit),
        Row(
            "What is the network, and what were its first weights?",
            "",
            "Methods: model, training",
            "See Methods, Network. This run trained none of it.",
        ),
    ]
    return asked + (_of_probes(run) if run.probes else [])


def _of_probes(run: Run) -> list[Row]:
    missing = [f"{each.probe.missing} for {each.probe.target}" for each in run.probes]
    beside = sorted({name for each in run.probes for name in each.probe.baselines})
    return [
        Row(
            "What was done where a value is missing?",
            "11",
            "Methods: data",
            f"Images without a value were left out: {listed(missing)}.",
        ),
        Row(
            "What model was fitted, how was it tuned, and how was it tested?",
            "12c",
            "Methods: training, evaluation",
            "See Methods, Probes. All fitting was inside the folds.",
        ),
        Row(
            "How is its quality measured, and what is it compared with?",
            "12e",
            "Methods: evaluation",
            "By the measures under “What can be read off the vectors?”"
            + (f", beside {listed(beside)}." if beside else "; nothing simpler stands beside them."),
        ),
        Row("What was done where a class is rare?", "13", "Methods: training", "No class was weighted."),
        _open(
            "Is it as good for everybody?",
            "14",
            "Results: model performance",
            "whether it differs by age, origin or site, which the course does not know",
        ),
    ]


def _openness(run: Run, found: Evidence) -> list[Row]:
    known = sources(run)
    nobody = bool(known) and all(source.synthetic for source in known)
    public = bool(known) and all(source.public for source in known)
    ethics = ("Which committee approved it, and did the women consent?", "17", "")
    protocol = ("Was there a protocol, and where is it?", "18c", "Other information")
    data = ("Can others have the data?", "18e", "Other information")
    commit = stated(run.record.get("git_commit"))
    which = f", commit {commit.removesuffix('+')[:12]}" if commit else ""
    changed = ", with changes that were not committed and that nobody else has" if commit[-1:] == "+" else ""
    code = f"The course’s code is open (MIT){which}{changed}; see How to cite."
    plan = found.plan
    return [
        Row(*ethics, "The images are simulated, of nobody.")
        if nobody
        else _open(*ethics, "ethics approval; nobody but you can answer it"),
        _open("Who paid, and what did they decide?", "18a", "Other information", "funding"),
        _open("What interests do the authors have?", "18b", "", "conflicts of interest"),
        Row(*protocol, f"plan.json, written on {plan.plan.written[:10]}, shown under “What was planned”.")
        if plan is not None
        else _open(*protocol, "no plan was written"),
        _open("Is the study registered?", "18d", "", "a register, if there is one"),
        Row(*data, "They are public; see How to cite.")
        if public
        else _open(*data, "who may have them, and how"),
        Row("Can others have the code?", "18f", "Other information", code),
        _open("Were women involved in planning it?", "19", "", "whether patients or the public took part"),
    ]


def _results(run: Run, found: Evidence) -> list[Row]:
    counts = run.record.get("counts") or {}
    total = counts.get("found")
    if not isinstance(total, int):
        total = len(run.table) + len(run.failures)
    answered = [
        Row(
            "How many were there at each step?",
            "20a",
            "Results: data",
            f"{counted(total, 'file')}, {counted(len(run.table), 'embedding')}, "
            f"{counted(len(run.failures), 'failure')}{' with its reason' * (len(run.failures) == 1)}"
            f"{' with their reasons' * (len(run.failures) > 1)}.",
        ),
        _open(
            "Who are the women?",
            "20b",
            "Results: data",
            "age, origin and findings, which the course does not read",
            known="By view and side, see Methods, Images.",
        ),
    ]
    if run.probes:
        scores = [f"{one.probe.target}: {one.probe.score.words}" for one in run.probes]
        answered += [
            Row(
                "On how many was each model fitted and tested?",
                "21",
                "Results: model performance",
                listed([f"{one.probe.images} images of {one.probe.women} women" for one in run.probes]) + ".",
            ),
            Row(
                "How good is it, and how sure is that?",
                "23a",
                "Results: model performance",
                f"{'; '.join(scores)}.",
            ),
            Row(
                "Where does it fail?",
                "",
                "Results: model performance",
                "The confusion matrix stands under “What can be read off the vectors?”.",
            ),
        ]
    said = [claim.says for claim in found.claims or ()]
    means = ("What does it mean?", "25", "Discussion")
    answered += [
        Row(*means, " ".join(said))
        if said
        else _open(*means, "a claim, even if it is “none” (write_claims)"),
        Row("What are its limits?", "26", "Discussion", "See “What these data cannot support”.")
        if run.evaluation is not None
        else _open("What are its limits?", "26", "Discussion", "no clusters were judged"),
        _open(
            "Does it hold for women from elsewhere?",
            "27c",
            "Methods: evaluation",
            "a repetition on women who had no part in it",
        ),
    ]
    return answered
