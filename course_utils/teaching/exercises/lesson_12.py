"""Exercises of lesson 12: balanced books, the least p that so few women can give, a plan that can fail, the
most that figures carry, seven reports with a sin each, and a sentence on methods that is read off the record.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import comb, factorial, prod
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils.runs import Plan
from course_utils.teaching.capstone import PLANNED, carried, least_p, on_methods, unbalanced
from course_utils.teaching.exercises import Exercise, NotTried, NotYet, Planted, kind_of, tried

Array = NDArray[Any]
Books = tuple[list[str], list[str], list[str]]
Balance = Callable[[list[str], list[str], pd.DataFrame], Books]
LeastP = Callable[[Array], float]
Strongest = Callable[[Mapping[str, float]], str]
Methods = Callable[[Mapping[str, Any], int], str]


# --- 12.1 balance the books

_LISTS = ("missing", "counted twice", "without a reason")


def _failed(*rows: tuple[str, Any]) -> pd.DataFrame:
    table = [(file, "read", reason) for file, reason in rows]
    return pd.DataFrame(table, columns=["file", "stage", "reason"])


def _runs() -> tuple[tuple[str, list[str], list[str], pd.DataFrame], ...]:
    """What is wrong, and then the files given, those in the table, and the failures."""
    cut, ct = "This file is truncated.", "Not a mammogram: Modality is CT."
    return (
        ("all is well", ["b.dcm", "a.dcm", "c.dcm"], ["b.dcm", "c.dcm"], _failed(("a.dcm", cut))),
        (
            "d.dcm is in no table, and b.dcm is in both",
            ["d.dcm", "a.dcm", "c.dcm", "b.dcm"],
            ["a.dcm", "b.dcm"],
            _failed(("c.dcm", ct), ("b.dcm", cut)),
        ),
        (
            "x/2.dcm is in the table of embeddings twice",
            ["x/1.dcm", "x/2.dcm", "x/3.dcm"],
            ["x/1.dcm", "x/2.dcm", "x/2.dcm", "x/3.dcm"],
            _failed(),
        ),
        (
            "left/1.dcm is in no table; right/1.dcm is, and it is another file",
            ["left/1.dcm", "right/1.dcm", "right/2.dcm"],
            ["right/1.dcm"],
            _failed(("right/2.dcm", cut)),
        ),
        (
            "the reasons of q.dcm and s.dcm are empty",
            ["s.dcm", "r.dcm", "q.dcm", "p.dcm"],
            ["p.dcm"],
            _failed(("s.dcm", ""), ("r.dcm", ct), ("q.dcm", "")),
        ),
    )


def _test_balance(balance: Balance) -> None:
    for what, given, embedded, failures in _runs():
        hers = failures.copy()
        result = tried(balance([*given], [*embedded], hers))
        if not hers.equals(failures):
            raise NotYet("your function changes the table of failures where it stands. Work on a copy.")
        _compare_books(_three_lists(result), what, given, embedded, failures)


def _three_lists(result: Any) -> list[list[str]]:
    if isinstance(result, str | Mapping | set) or not np.iterable(result):
        raise NotYet(
            f"three lists are needed, {_listed(_LISTS)}, and out came {kind_of(result, 'an array')}."
        )
    result = list(result)
    if len(result) != 3:
        raise NotYet(f"three lists are needed, {_listed(_LISTS)}, and out came {len(result)}.")
    lists = []
    for each, name in zip(result, _LISTS, strict=True):
        if isinstance(each, str | dict | Real) or not np.iterable(each):
            raise NotYet(f"{name}: a list of names is needed, and out came {kind_of(each, 'an array')}.")
        lists.append([str(file) for file in each])
    return lists


def _compare_books(
    came: list[list[str]], what: str, given: list[str], embedded: list[str], failures: pd.DataFrame
) -> None:
    books = unbalanced(given, embedded, failures)
    for mine, right, name in zip(came, books, _LISTS, strict=True):
        if mine == right:
            continue
        told = f"here {what}. You say {name}: {_listed([each or '“”' for each in mine]) or 'nothing'}."
        if strange := [each for each in mine if each not in (*given, *embedded, *failures["file"])]:
            raise NotYet(f"{told} “{strange[0]}” is the name of no file, and names of files are needed.")
        if mine and mine in books:
            raise NotYet(f"{told} That list belongs elsewhere: their order is {_listed(_LISTS)}.")
        if sorted(mine) == right:
            raise NotYet(f"{told} The names are right, but not sorted.")
        raise NotYet(f"{told} {_why_not(mine, right, name, embedded, failures)}")


def _why_not(
    mine: list[str], right: list[str], name: str, embedded: list[str], failures: pd.DataFrame
) -> str:
    failed = failures["file"].tolist()
    if sorted({*mine}) == right:
        return "Name each of them once."
    if name == "missing" and set(mine) - set(right) <= set(failed) and set(mine) > set(right):
        return "A file that failed is accounted for: its name is in the column `file` of the failures."
    if name == "missing" and not mine:
        if len({file.split("/")[-1] for file in embedded + failed + right}) < len(
            {*embedded, *failed, *right}
        ):
            return "Two folders may hold files of one name: compare whole names."
        return (
            f"The numbers agree, and yet {right[0]} is lost: ask of each name in `given` whether it is in "
            "either table."
        )
    if name == "counted twice" and len(set(embedded)) < len(embedded):
        return "It is enough to stand twice within one table."
    if name == "counted twice" and not mine:
        return "Look for names that the two tables share."
    if name == "without a reason" and set(mine) - set(right):
        return f"The table gives a reason for {min(set(mine) - set(right))}."
    if name == "without a reason":
        return "A reason that says nothing is an empty string in this table."
    return f"It should be {_listed(right) or 'nothing'}."


def _by_counting(given: list[str], embedded: list[str], failures: pd.DataFrame) -> Books:
    if len(given) == len(embedded) + len(failures):
        return [], [], sorted(failures["file"][failures["reason"] == ""])
    return unbalanced(given, embedded, failures)


def _both_tables_only(given: list[str], embedded: list[str], failures: pd.DataFrame) -> Books:
    missing, _, silent = unbalanced(given, embedded, failures)
    return missing, sorted({*embedded} & {*failures["file"]}), silent


def _by_last_name(given: list[str], embedded: list[str], failures: pd.DataFrame) -> Books:
    missing, twice, silent = unbalanced(given, embedded, failures)
    there = {file.split("/")[-1] for file in [*embedded, *failures["file"]]}
    return [file for file in missing if file.split("/")[-1] not in there], twice, silent


def _only_nan(given: list[str], embedded: list[str], failures: pd.DataFrame) -> Books:
    missing, twice, _ = unbalanced(given, embedded, failures)
    return missing, twice, sorted(failures["file"][failures["reason"].isna()])


def _without_failures(given: list[str], embedded: list[str], failures: pd.DataFrame) -> Books:
    _, twice, silent = unbalanced(given, embedded, failures)
    return sorted({*given} - {*embedded}), twice, silent


# --- 12.2 the least p

_DEALT = ("bab", "abba", "babab", "ababba", "acbccab", "cacbc", "cababc", "dadbcd", "bbabbbb", "ba")
"""Classes of women, in no order: sorting them in place is noticed, and so is counting only neighbours."""


def _test_least_p(least: LeastP) -> None:
    for letters in _DEALT:
        classes = np.array(list(letters))
        result = tried(least(classes.copy()))
        if isinstance(result, bool) or np.ndim(result) or not isinstance(result, Real | np.ndarray):
            raise NotYet(f"one number is needed, and out came {kind_of(result, 'an array')}.")
        _compare_least(float(result), letters)


def _compare_least(came: float, letters: str) -> None:
    sizes = sorted(Counter(letters).values())
    deals = factorial(len(letters)) // prod(map(factorial, sizes))
    same = prod(map(factorial, Counter(sizes).values()))
    if np.isclose(came, same / deals):
        return
    told = f"women of classes {', '.join(letters)}: your p is {came:.4g}."
    if np.isclose(came, deals / same) and came > 1:
        raise NotYet(f"{told} That is how many groupings there are. p is one divided by it.")
    if np.isclose(came, 1 / factorial(len(letters))):
        raise NotYet(
            f"{told} There are {factorial(len(letters))} orders of the women, but two women of one class can "
            "change places and nothing has changed."
        )
    if same > 1 and np.isclose(came, 1 / deals):
        raise NotYet(
            f"{told} One of the {deals} deals is as it was, and in {same - 1} more the names of classes of "
            "equal size have changed places. The groups are the same, so those agree as well."
        )
    if np.isclose(came, factorial(len(sizes)) / deals):
        raise NotYet(
            f"{told} Classes can only change places if they are of equal size, and here there are "
            f"{_listed(list(map(str, sizes)))} women."
        )
    if np.isclose(came, 1 / len(letters)):
        raise NotYet(f"{told} That is one divided by the number of women. Count the deals.")
    if came == round(same / deals, 2):
        raise NotYet(f"{told} You rounded it, and p values are small: leave the figures as they are.")
    counted = came * deals
    if 0.5 < counted < factorial(len(sizes)) + 0.5 and np.isclose(counted, round(counted)):
        raise NotYet(
            f"{told} That is {counted:.0f} of the {deals} deals, and it should be {same}: of classes with "
            "equally many women the names can change places, in every order."
        )
    if len(sizes) > 2:
        raise NotYet(
            f"{told} With two classes it held. Here there are {len(sizes)}, and {deals} deals: choose the "
            "women of the first, then those of the second from the others, and so on."
        )
    wanted = f"{same} of them make" if same > 1 else "1 of them makes"
    raise NotYet(f"{told} There are {deals} different deals, and {wanted} the same groups.")


def _deals(sizes: Sequence[int]) -> int:
    return factorial(sum(sizes)) // prod(map(factorial, sizes))


def _as_named(classes: Array) -> float:
    return 1 / _deals(list(Counter(classes.tolist()).values()))


def _all_orders(classes: Array) -> float:
    return 1 / factorial(len(classes))


def _all_change(classes: Array) -> float:
    sizes = list(Counter(classes.tolist()).values())
    return factorial(len(sizes)) / _deals(sizes)


def _two_classes(classes: Array) -> float:
    first = int((classes == classes[0]).sum())
    ways = comb(len(classes), first)
    return (2 if 2 * first == len(classes) else 1) / ways


# --- 12.3 a plan that can fail

_VARIES = ("density", "vendor", "thickness")
_WITHIN = ("view", "side", "label")


def _test_plan(plan: Plan) -> None:
    if not isinstance(plan, Plan):
        raise NotYet(f"a Plan is needed, and this is {kind_of(plan, 'an array')}.")
    if any(getattr(plan, name) is ... for name in vars(plan)):
        raise NotTried
    checks = (_check_tuples, _check_unit, _check_outcome, _check_finding, _check_confounders, _check_controls)
    for check in checks:
        check(plan)
    try:
        Plan.from_dict(plan.to_dict())
    except ValueError as wrong:
        raise NotYet(f"{wrong}.") from None


def _check_tuples(plan: Plan) -> None:
    for name in ("confounders", "controls", "remove"):
        words = getattr(plan, name)
        if not isinstance(words, tuple) or not all(isinstance(each, str) and each.strip() for each in words):
            raise NotYet(
                f'{name}: a tuple of names is needed, like ("view", "side"), and this is {words!r}. A single '
                'name needs a comma: ("view",).'
            )


def _check_unit(plan: Plan) -> None:
    if str(plan.unit).lower() not in ("woman", "women"):
        raise NotYet(
            f"your unit is {plan.unit!r}. Four pictures of a woman are one witness, not four (lesson 09)."
        )
    if plan.per != "woman":
        raise NotYet("per: the chain of lesson 09 clusters the mean of each woman's images.")
    if plan.method != "kmeans" or plan.k != 4:
        raise NotYet(
            f"method and k: the planning was done with 'kmeans' and k = 4, and you would run {plan.method!r} "
            f"with k = {plan.k!r}. Nobody has measured what that gives. If k is searched, chance finds more."
        )
    if {*plan.remove} != {"view", "vendor"}:
        raise NotYet('remove: the planning was done with ("view", "vendor") taken off.')


def _check_outcome(plan: Plan) -> None:
    if plan.outcome != "density":
        named = plan.outcome or "nothing"
        raise NotYet(f"the outcome is {named}. Which column is the question about?")
    if plan.threshold is None:
        raise NotYet("there is no threshold: what must p not exceed?")
    if isinstance(plan.threshold, bool) or not isinstance(plan.threshold, Real):
        raise NotYet("the threshold is a number.")
    if plan.threshold > 0.05:
        raise NotYet(
            f"p may be {plan.threshold:g} at most. That cannot fail often enough: a coin passes it in "
            f"{min(plan.threshold, 1):.0%} of all studies, where one in twenty is usual."
        )
    if not plan.threshold >= 1 / 1000:  # nan is not, either
        raise NotYet(
            f"p may be {plan.threshold:g} at most. A thousand shuffles cannot show that: no study could pass."
        )


def _check_finding(plan: Plan) -> None:
    if not str(plan.question).strip():
        raise NotYet("the question is empty.")
    if not isinstance(plan.finding, str):
        raise NotYet(f"finding: words are needed, and this is {plan.finding!r}.")
    figures = _figures(plan.finding)
    if not any(figure != plan.threshold for figure in figures):
        raise NotYet(
            f"finding: “{plan.finding}”. Could anybody ever say that it did not come true? Name the figure "
            "that the ARI must reach: the picture above shows what is to be expected, and what chance gives."
        )
    if not any(0.2 <= figure <= 0.5 for figure in figures if figure != plan.threshold):
        raise NotYet(
            f"finding: “{plan.finding}”. No figure in it tells the two humps of the picture apart: below 0.2 "
            "chance sometimes gets there, and above 0.5 a true finding sometimes does not."
        )
    if not re.search("ari|rand", plan.finding, re.IGNORECASE):
        raise NotYet(f"finding: “{plan.finding}”. Which measure has to reach that? Name the ARI.")
    of_p = _figures("".join(re.findall(r"\bp\b[^.,;\d]*([.,]?\d[\d.,]*(?:\s*%)?)", plan.finding)[:1]))
    if of_p and of_p[0] != plan.threshold:
        raise NotYet(
            f"finding lets p be {of_p[0]:g}, and threshold {plan.threshold:g}. Which of the two will you be "
            "held to?"
        )


def _figures(words: str) -> list[float]:
    """Return the figures in a sentence, with points or commas, or as percentages."""
    found = re.findall(r"(?<![\w.,])(\d*[.,]?\d+)(\s*%)?", words)
    return [float(each.replace(",", ".")) / (100 if percent else 1) for each, percent in found]


def _check_confounders(plan: Plan) -> None:
    if not plan.confounders:
        raise NotYet("no confounders: what else might the clusters follow? Look at the table above.")
    if plan.outcome in plan.confounders:
        raise NotYet("the outcome stands among its own confounders.")
    strange = [name for name in plan.confounders if name not in (*_VARIES, *_WITHIN, "kind", "laterality")]
    if strange:
        raise NotYet(f"confounders: {strange[0]} is no column of these women.")
    if not {*plan.confounders} & {*_VARIES}:
        raise NotYet(
            f"your confounders are {_listed(list(plan.confounders))}. They cannot differ between the means "
            "of women, so holding clusters against them is no test. Choose what varies from woman to woman."
        )
    if "thickness" not in plan.confounders:
        raise NotYet(
            "confounders: dense breasts are often thin ones, and thickness changes the picture. It belongs "
            "in the list."
        )


def _check_controls(plan: Plan) -> None:
    if not plan.controls:
        raise NotYet(
            "there are no controls: what stands beside the result, so that you see what the same steps give "
            "where there is nothing to find?"
        )


# --- 12.4 the most that figures carry

_FIGURES = {
    "p": 0.004,
    "columns": 3,
    "low": 0.21,
    "chance": 0.0,
    "silhouette": 0.13,
    "of_clouds": 0.17,
    "valley_p": 0.6,
    "tied": 0.1,
}
_CASES: tuple[tuple[dict[str, float], str], ...] = (
    ({}, "nothing speaks against an association, and no valley was found"),
    (
        {"p": 0.02, "columns": 6, "low": 0.05},
        "six columns were tried, and with six tickets a p of 0.02 is drawn in more than one lottery in ten",
    ),
    ({"p": 0.02, "columns": 1, "low": 0.05}, "one column was tried, and p is 0.02"),
    (
        {"silhouette": 0.46, "of_clouds": 0.52, "p": 0.4, "low": -0.05},
        "the silhouette looks well and clouds without clusters reach more",
    ),
    (
        {"silhouette": 0.38, "of_clouds": 0.2},
        "the silhouette is higher than that of clouds, which heavy tails give too, but women who did not "
        "make the clusters show no valley",
    ),
    (
        {"valley_p": 0.01, "p": 0.6, "low": -0.1, "silhouette": 0.11, "of_clouds": 0.15},
        "a valley was found among women who did not make the clusters. That they follow this column is "
        "another question",
    ),
    (
        {"valley_p": 0.01},
        "figures carry an association and clusters, and clusters are the stronger claim",
    ),
    ({"low": -0.03, "p": 0.01, "columns": 1}, "chance lies inside the interval"),
    (
        {"chance": 0.25, "low": 0.2, "p": 0.01, "columns": 1},
        "chance lies inside the interval: it is 0.25 here, and not 0",
    ),
    (
        {"tied": 0.4},
        "the column goes with a nuisance (0.4), and nobody can tell which of the two the clusters follow",
    ),
    ({"p": 0.3, "low": 0.01}, "p is 0.3"),
    ({"p": 0.05, "columns": 1}, "0.05 is at most 0.05"),
    ({"valley_p": 0.05}, "a valley_p of 0.05 is at most 0.05"),
    ({"low": 0.0}, "the interval begins at chance, and not above it"),
    ({"tied": 0.25}, "0.25 is not less than 0.25"),
)


def _test_strongest(strongest: Strongest) -> None:
    for changed, why in _CASES:
        found = _FIGURES | changed
        result = tried(strongest(dict(found)))
        if not isinstance(result, str) or result not in ("clusters", "association", "none"):
            raise NotYet(
                f'out came {result!r}, and needed is one of "clusters", "association" and "none".'
                if isinstance(result, str)
                else f"a word is needed, and out came {kind_of(result, 'an array')}."
            )
        right = carried(found)
        if result != right:
            shown = ", ".join(f"{name} {value:g}" for name, value in found.items())
            raise NotYet(f"{shown}: you claim “{result}”. But {why}: “{right}”.")


def _claims_unless(change: Callable[[dict[str, float]], dict[str, float]]) -> Strongest:
    """Return the right answer to other figures than those that are given."""
    return lambda found: carried({**found, **change({**found})})


# --- 12.5 a sin each

SINS = {
    1: "plan",
    2: "failures",
    3: "confounders",
    4: "nulls",
    5: "women",
    6: "claims",
    7: "claims",
}
"""The item of the rubric that each run of `course_utils.teaching.sins` breaks."""

_LOOK = {
    "plan": "Compare the plan in the folder with the one that the clusters remember.",
    "order": "Compare the names and their order from file to file.",
    "failures": "Count the files that went in, the rows, the failures and their reasons.",
    "confounders": "Compare what the plan wanted the clusters held against with what they were held against.",
    "nulls": "Look at what stands beside the silhouette.",
    "women": "Look at what counted as one, and at how many there are.",
    "intervals": "Look for an interval beside each score.",
    "followed": "Compare method, k and seed with the plan.",
    "claims": "Read what is claimed, and then the figures that should carry it.",
}
"""The items of the rubric, and where to look for each."""


_IN_ORDER = {
    "plan": "the clusters remember this plan",
    "order": "no row of the table says that names changed places",
    "failures": "every file is accounted for, with a reason if it failed",
    "confounders": "the clusters were held against all that was planned",
    "nulls": "the silhouette has its nulls beside it",
    "women": "the woman counted as one",
    "intervals": "the score of the probe has its interval",
    "followed": "method and k are as planned, and that is all this item asks",
    "claims": "the figures carry what is claimed",
}
"""What is so wherever an item is not the sin."""


def _test_sins(sins: Mapping[int, str]) -> None:
    if isinstance(sins, pd.Series):
        sins = sins.to_dict()
    if not isinstance(sins, Mapping):
        raise NotYet(
            f"a dictionary is needed, the number of each folder and an item, and this is "
            f"{kind_of(sins, 'an array')}."
        )
    named = {str(number): item for number, item in sins.items()}
    if all(item is ... for item in named.values()):
        raise NotTried
    for number, item in SINS.items():
        if named.get(str(number), ...) in (..., None, ""):
            raise NotYet(f"folder {number} has no item yet.")
        mine = str(named[str(number)]).strip().lower()
        if mine not in _LOOK:
            raise NotYet(f"folder {number}: {mine!r} is none of the items, which are {_listed([*_LOOK])}.")
        if mine != item:
            raise NotYet(f"folder {number}: “{mine}” is in order, {_IN_ORDER[mine]}. {_LOOK[item]}")


def _missed(number: int) -> Planted:
    others = ("order", "intervals", "followed")
    answer = {**SINS, number: others[number % len(others)]}
    return Planted(answer, f"missed the sin of folder {number}", f"folder {number}:")


# --- 12.6 the sentence on methods


def _records() -> tuple[tuple[dict[str, Any], int], ...]:
    lite = {"id": "efficientnet-lite0-57934424", "pretrained": True}
    resnet = {"id": "ResNet50_Weights.IMAGENET1K_V2", "pretrained": True}
    chance = {"id": "random-seed-7", "pretrained": False}
    return (
        (_record("efficientnet_lite0", lite, "fp32", 99, 96, 3), 24),
        (_record("resnet50", resnet, "bf16", 1284, 1251, 33), 318),
        (_record("resnet50", chance, "fp16", 61, 52, 9), 17),
        (_record("efficientnet_lite0", lite, "fp32", 40, 40, 0), 20),
    )


def _record(
    backbone: str, weights: dict[str, Any], precision: str, found: int, embedded: int, failed: int
) -> dict[str, Any]:
    return {
        "device": "cpu",
        "precision": precision,
        "backbone": backbone,
        "weights": weights,
        "counts": {
            "found": found,
            "embedded": embedded,
            "from_store": 0,
            "computed": embedded,
            "failed": failed,
        },
    }


def _test_methods(methods: Methods) -> None:
    said: list[str] = []
    for record, women in _records():
        result = tried(methods(_copied(record), women))
        if not isinstance(result, str):
            raise NotYet(f"a sentence is needed, as text, and out came {kind_of(result, 'an array')}.")
        if said and result == said[0]:
            raise NotYet(
                "another run, and the same sentence: its words are typed in, and not read from the record."
            )
        said.append(result)
        _compare_sentence(result, record, women)


def _copied(record: dict[str, Any]) -> dict[str, Any]:
    return {name: {**value} if isinstance(value, dict) else value for name, value in record.items()}


def _compare_sentence(sentence: str, record: dict[str, Any], women: int) -> None:
    weights, counts = record["weights"], record["counts"]
    told = f"“{sentence}”" if len(sentence) < 160 else f"“{sentence[:150]}…”"
    needed = {
        "the network": (record["backbone"], r"[\w-]"),
        "the weights": (weights["id"], r"[\w-]"),
        "the precision": (record["precision"], r"\w"),
    }
    for what, (word, beside) in needed.items():
        if not re.search(rf"(?<!{beside}){re.escape(word)}(?!{beside})", sentence):
            raise NotYet(f"{told} does not name {what}: {word}.")
    numbers = {int(each.replace(",", "")) for each in re.findall(r"(?<![\w.-])\d[\d,]*(?![\w-])", sentence)}
    if counts["embedded"] not in numbers and counts["found"] in numbers:
        raise NotYet(
            f"{told}: {counts['found']} files were found, and {counts['embedded']} of them became vectors."
        )
    for what, number in (("images", counts["embedded"]), ("women", women)):
        if number not in numbers:
            raise NotYet(f"{told} does not say how many {what} there are: {number}.")
    if counts["failed"] and not numbers & {counts["failed"], counts["found"]}:
        raise NotYet(f"{told} keeps to itself that {counts['failed']} files failed.")
    if re.search(rf"\b{counts['embedded']}\s+women\b", sentence):
        raise NotYet(f"{told} says {counts['embedded']} women, and that is how many images there are.")
    warns = re.search(r"(?<!not )random(?!-)|untrained|not (pre)?trained", sentence, re.IGNORECASE)
    if not weights["pretrained"] and not warns:
        raise NotYet(
            f"{told} does not warn that these weights are random (`pretrained` is not true): such vectors "
            "mean nothing."
        )
    if weights["pretrained"] and warns:
        raise NotYet(f"{told} calls weights random that are trained.")


def _typed_in(record: Mapping[str, Any], women: int) -> str:
    return (
        "96 images of 24 women were embedded with efficientnet_lite0 (weights efficientnet-lite0-57934424, "
        "fp32); 3 files failed."
    )


def _with(**change: Callable[[Mapping[str, Any]], Any]) -> Methods:
    """Return the right answer to another record than the one that is given."""

    def methods(record: Mapping[str, Any], women: int) -> str:
        other = {**record, **{name: new(record) for name, new in change.items()}}
        return on_methods(other, women)

    return methods


def _four_each(record: Mapping[str, Any], women: int) -> str:
    return on_methods(record, record["counts"]["embedded"] // 4)


def _listed(names: Sequence[str]) -> str:
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"


EXERCISES = (
    Exercise(
        id="12.1",
        title="Balance the books",
        minutes=6,
        test=_test_balance,
        buys="no file can be lost, or count twice, without your hearing of it.",
        hints=(
            "Numbers are not enough: a lost file and a doubled one cancel out. Put the names of both tables "
            "into one list, and count how often each is there.",
            "`Counter([*embedded, *failures['file']])` from `collections` counts them. What is in `given` "
            "and not in it is missing.",
            "Counted twice: `[file for file, times in counter.items() if times > 1]`. Without a reason: "
            "`failures['file'][failures['reason'] == '']`. Return the three, each through `sorted`.",
        ),
        planted=(
            Planted(_by_counting, "compared numbers", "numbers agree, and yet"),
            Planted(_both_tables_only, "looked for names in both tables", "within one table"),
            Planted(_by_last_name, "left the folders out", "compare whole names"),
            Planted(_only_nan, "looked for NaN", "is an empty string in this table"),
            Planted(_without_failures, "took failures for lost", "A file that failed is accounted for"),
        ),
    ),
    Exercise(
        id="12.2",
        title="The least that p can be",
        minutes=7,
        test=_test_least_p,
        buys="you know before the first picture is read whether so few women could show anything at all.",
        hints=(
            "How many ways are there to deal out the classes? With two classes: in how many ways can you "
            "choose the women of the first? That is `math.comb(W, n)`.",
            "With any number of classes it is W! divided by the factorial of each class's size: "
            "`math.factorial`, `math.prod`, and `collections.Counter(classes).values()` for the sizes.",
            "Then ask which deals make the same groups. If two classes have equally many women, exchanging "
            "them changes names and no group. Of `m` classes of one size there are m! such exchanges: "
            "`Counter(sizes).values()` says for each size how many classes have it.",
        ),
        planted=(
            Planted(_as_named, "left out that names can change places", "The groups are the same, so"),
            Planted(_all_orders, "counted orders of women", "two women of one class can change places"),
            Planted(_all_change, "let unequal classes change places", "if they are of equal size"),
            Planted(_two_classes, "chose the first class only", "With two classes it held"),
            Planted(lambda classes: 1 / least_p(classes), "gave the number of deals", "divided by it"),
        ),
    ),
    Exercise(
        id="12.3",
        title="A plan that can fail",
        minutes=8,
        test=_test_plan,
        buys="whatever comes out, you will know whether it is what you looked for.",
        hints=(
            "Ask of every line: could it turn out otherwise, and would I then have to say that I was wrong?",
            "The unit is the woman, and the chain that of lesson 09: k-means, k = 4, view and vendor taken "
            "off, one vector per woman. Of the confounders at least one has to vary from woman to woman.",
            'For example `finding="ARI with density at least 0.3, and p at most 0.05"`, `threshold=0.05`, '
            '`confounders=("vendor", "thickness")`, `controls=("Gaussian clouds", "stability")`.',
        ),
        planted=(
            Planted(replace(PLANNED, unit="image"), "counted images", "one witness, not four"),
            Planted(
                replace(PLANNED, finding="The clusters show something of interest."),
                "could not be wrong",
                "did not come true",
            ),
            Planted(
                replace(PLANNED, threshold=1.0), "set a bar that lies on the ground", "cannot fail often"
            ),
            Planted(replace(PLANNED, controls=()), "planned no controls", "there are no controls"),
            Planted(
                replace(PLANNED, confounders=("view", "kind")),
                "chose confounders that do not vary",
                "holding clusters against them is no test",
            ),
            Planted(replace(PLANNED, k="auto"), "left k open", "chance finds more"),
        ),
    ),
    Exercise(
        id="12.4",
        title="The most that figures carry",
        minutes=5,
        test=_test_strongest,
        buys="your own wish has no say in it any more.",
        hints=(
            "Ask the strongest first. What alone may be called clusters? Then what an association needs; it "
            "is three things, and all of them.",
            "Clusters: `valley_p`, and nothing else. The silhouette decides nothing, however high it is.",
            "An association: `p * columns <= 0.05`, `low > chance` and `tied < 0.25`.",
        ),
        planted=(
            Planted(_claims_unless(lambda f: {"columns": 1}), "left p uncorrected", "six tickets"),
            Planted(
                _claims_unless(
                    lambda f: {"valley_p": 0.0} if f["silhouette"] > 0.25 else {"valley_p": f["valley_p"]}
                ),
                "took the silhouette at face value",
                "the silhouette looks well",
            ),
            Planted(
                _claims_unless(lambda f: {"valley_p": 0.0} if f["silhouette"] > f["of_clouds"] else {}),
                "took a silhouette above that of clouds for clusters",
                "heavy tails give too",
            ),
            Planted(_claims_unless(lambda f: {"low": 1.0}), "did not look at the interval", "inside the"),
            Planted(_claims_unless(lambda f: {"tied": 0.0}), "overlooked a nuisance", "goes with a nuisance"),
            Planted(_claims_unless(lambda f: {"valley_p": 1.0}), "asked for no valley", "a valley was found"),
        ),
    ),
    Exercise(
        id="12.5",
        title="A sin each",
        minutes=8,
        test=_test_sins,
        buys="you have refereed your first papers.",
        hints=(
            "Go through the table row by row, not folder by folder: in most rows one folder stands out.",
            "Two of them have nothing wrong in their figures. Their sin is in what they say about them.",
            "A claim of clusters needs the verdict “separate clusters”. A claim that a network can predict "
            "something needs a network that does better than what stands beside it.",
        ),
        planted=tuple(map(_missed, SINS)),
    ),
    Exercise(
        id="12.6",
        title="A sentence that the record writes",
        minutes=4,
        test=_test_methods,
        buys="your methods cannot drift away from what was run.",
        hints=(
            "Look at `run.json` in the run folder, or at the record printed above: everything is in it but "
            "the number of women.",
            "`record['weights']['id']`, `record['weights']['pretrained']`, `record['counts']['embedded']` "
            "and `record['counts']['failed']`.",
            "Put them into an f-string. Say RANDOM if `not record['weights']['pretrained']`.",
        ),
        planted=(
            Planted(_typed_in, "typed the figures in", "words are typed in"),
            Planted(
                _with(counts=lambda r: {**r["counts"], "embedded": r["counts"]["found"]}),
                "counted what was found",
                "of them became vectors",
            ),
            Planted(
                _with(weights=lambda r: {**r["weights"], "pretrained": True}),
                "kept random weights quiet",
                "does not warn that these weights are random",
            ),
            Planted(_with(counts=lambda r: {**r["counts"], "failed": 0}), "kept failures quiet", "to itself"),
            Planted(
                _with(precision=lambda r: r["device"]), "named the device", "does not name the precision"
            ),
            Planted(_four_each, "took four images of each woman for granted", "say how many women"),
        ),
    ),
)
