"""Does what was learnt here hold elsewhere? Train on one vendor, site or bias, test on another (lesson 10).

Two sets of images go in. Beside what the model does on the other set stands what it does on women of its own
that it has not seen: the gap between the two is what folds among one's own women never show.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.checks import check_groups, check_metadata, check_seed, check_vectors
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.harmonise import CONFOUNDED, confounding
from course_utils.analysis.permutations import LEVEL, permuter, sequential_p_value
from course_utils.analysis.probing.models import Model, fit_predict, make_recipe
from course_utils.analysis.probing.probes import probe
from course_utils.analysis.probing.scores import (
    MAIN,
    NAMES,
    Score,
    all_or_none,
    class_scores,
    confusion_cells,
    draw_women,
    for_few,
    knowing_nothing,
    number_scores,
    summaries,
)
from course_utils.analysis.probing.targets import Target, one_column, read_target, women_of_classes
from course_utils.analysis.validity import p_words


@dataclass(frozen=True)
class Transfer:
    """How well a model does on other images than those of its kind.

    Attributes:
        target: its name.
        kind: `"categories"` or `"number"`.
        train_images, train_women: what it was fitted to.
        test_images, test_women: what it was tested on.
        shared_women: women of both sets, who were left out of the training.
        within: scores among the women in training, out of fold, as in `probe`.
        across: scores on the other set. The model is fixed there, so the interval is that of drawing women.
        chance_level: what knowing nothing gives.
        warnings: sentences on columns that are tied to the target in training, and on classes that the test
            lacks.
        seed: seed of every random choice.
    """

    target: str
    kind: str
    train_images: int
    train_women: int
    test_images: int
    test_women: int
    shared_women: int
    within: dict[str, Score]
    across: dict[str, Score]
    chance_level: float
    warnings: tuple[str, ...]
    seed: int

    @property
    def measure(self) -> str:
        """Return the name of the main measure."""
        return MAIN[self.kind]

    @property
    def difference(self) -> tuple[float, float] | None:
        """Return a 95% interval of `across` less `within`, from those of both; None with too few women."""
        within, across = self.within[self.measure], self.across[self.measure]
        if within.low is None or within.high is None or across.low is None or across.high is None:
            return None
        gap = across.value - within.value
        below = math.hypot(across.value - across.low, within.high - within.value)
        above = math.hypot(across.high - across.value, within.value - within.low)
        return gap - below, gap + above

    @property
    def sentence(self) -> str:
        """Return what the numbers mean, in words."""
        within, across, gap = self.within[self.measure], self.across[self.measure], self.difference
        if gap is None:
            head = "So few women do not say whether it holds elsewhere"
        elif gap[1] < 0:
            head = "Less of it holds elsewhere"
        elif gap[0] > 0:
            head = "It does even better elsewhere"
        else:
            head = "No loss was shown"
        left = ""
        if self.shared_women:
            left = f" Women of both sets, left out of training: {self.shared_women}."
        return (
            f"{head}: {NAMES[self.measure]} for {self.target} is {within.words} among the {self.train_women} "
            f"women in training, each judged by a model fitted to the others, and {across.words} on "
            f"{self.test_images} images of {self.test_women} women of the other set, where "
            f"{knowing_nothing(self.measure, self.chance_level)}.{left}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        return asdict(self) | {"warnings": [*self.warnings]}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Transfer:
        """Return what `to_dict` was called on. Raises KeyError, TypeError or ValueError for anything else."""
        scores = {
            name: {measure: Score.from_dict(one) for measure, one in plain[name].items()}
            for name in ("within", "across")
        }
        return cls(**plain | scores | {"warnings": tuple(map(str, plain["warnings"]))})


def transfer(
    vectors: ArrayLike,
    y: ArrayLike | pd.Series,
    *,
    train: ArrayLike,
    test: ArrayLike,
    groups: ArrayLike,
    model: Model = "linear",
    setting: float | None = None,
    ordered: bool | None = None,
    nuisances: pd.DataFrame | None = None,
    splits: int = 5,
    repeats: int = 5,
    seed: int = 0,
) -> Transfer:
    """Fit a model to one set of images and test it on another.

    Args:
        vectors: `(N, D)`, one row per image.
        y: `(N,)`, as in `probe`.
        train, test: bool `(N,)`, which images are in which set; in neither is fine, in both is not.
        groups: `(N,)`, the woman of each image. Women of both sets are left out of training.
        model, setting, ordered, splits, repeats, seed: as in `probe`.
        nuisances: N rows of what may be tied to the target, such as the vendor; a warning says if it is.

    Raises:
        AnalysisError: what `probe` refuses among the images in training; masks that overlap, or have another
            length; a test set of another kind, with one class only, or with one that is not in training.

    Source: Zech et al., Variable generalization performance of a deep learning model to detect pneumonia in
    chest radiographs, PLoS Medicine 15 (2018) e1002683; DeGrave, Janizek and Lee, AI for radiographic
    COVID-19 detection selects shortcuts over signal, Nature Machine Intelligence 3 (2021) 610–619.
    """
    seed = check_seed(seed)
    matrix = check_vectors(vectors)
    woman = check_groups(groups, len(matrix))
    learn, ask = _mask("train", train, len(matrix)), _mask("test", test, len(matrix))
    if (learn & ask).any():
        both = int((learn & ask).sum())
        raise AnalysisError(f"images in training and in the test: {both}; choose one set for each")
    if nuisances is not None:
        nuisances = check_metadata(nuisances, len(matrix))
    column = one_column(y)
    if len(column) == len(matrix):
        column = column.where(learn | ask)
    target = read_target(column, len(matrix), ordered)
    known = np.zeros(len(matrix), bool)
    known[target.rows] = True
    learn, ask = learn & known, ask & known
    shared = np.intersect1d(woman[learn], woman[ask])
    learn &= ~np.isin(woman, shared)
    for name, rows in (("train", learn), ("test", ask)):
        if not rows.any():
            raise AnalysisError(
                f"{name} holds no image whose {target.name} is known, women of both sets left out"
            )
    target = read_target(column.where(learn | ask), len(matrix), ordered)  # less the women of both sets
    known = learn | ask
    recipe = make_recipe(model, target.kind, setting=setting, tune=False, recalibrate=None, seed=seed)
    if read_target(column[learn], int(learn.sum())).kind != target.kind:
        raise AnalysisError(
            f"train holds too few different values of {target.name} to tell how it is measured"
        )
    within = probe(
        matrix[learn],
        column[learn],
        groups=woman[learn],
        model=model,
        setting=setting,
        ordered=target.ordered,
        splits=splits,
        repeats=repeats,
        permutations=0,
        seed=seed,
    )
    tied: tuple[str, ...] = ()
    if nuisances is not None:
        tied = ties(column[learn], nuisances[learn], groups=woman[learn], seed=seed)
    place = np.cumsum(known) - 1  # where an image is among those whose target is known
    values, owner = target.values[place[ask]], np.unique(woman[ask], return_inverse=True)[1]
    if (values == values[0]).all():
        raise AnalysisError(
            f"{target.name} is the same for all images of the test: nothing is told apart there"
        )
    tied += _classes_apart(target, place[learn], place[ask])
    said = fit_predict(recipe, matrix[learn], target, place[learn], woman[learn], matrix[ask])
    weights = draw_women(int(owner.max()) + 1, np.random.default_rng([seed, 14]))
    if target.levels:
        scores = class_scores(said, values, owner, weights, ordered=target.ordered)
    else:
        scores = number_scores(said, values, owner, weights)
    few, slack = for_few(weights.shape[1], len(target.levels) or 2), (0.0, 0.0)
    if target.levels:
        women = women_of_classes(values, owner, len(target.levels))
        slack = all_or_none(confusion_cells(said, values).sum(axis=0), women)
    return Transfer(
        target=target.name,
        kind=target.kind,
        train_images=int(learn.sum()),
        train_women=within.women,
        test_images=int(ask.sum()),
        test_women=len(weights[0]),
        shared_women=len(shared),
        within=within.scores,
        across=summaries({name: of[None] for name, of in scores.items()}, few, weights.shape[1], slack),
        chance_level=target.chance,
        warnings=tied,
        seed=seed,
    )


def ties(
    y: ArrayLike | pd.Series, metadata: pd.DataFrame, *, groups: ArrayLike, seed: int = 0
) -> tuple[str, ...]:
    """Return a sentence for each column that is tied to the target, so that one may be learnt for the other.

    Tied is a column that explains a tenth of the target or more (R², of classes Goodman and Kruskal's tau),
    and more than it does when the target is permuted between women.

    Args:
        y: `(N,)`, as in `probe`.
        metadata: N rows.
        groups: `(N,)`, the woman of each row.
        seed: seed of the permutations.

    Raises:
        AnalysisError: a target that cannot be read, or another number of groups or rows.
    """
    seed = check_seed(seed)
    metadata = check_metadata(metadata, len(metadata) if isinstance(metadata, pd.DataFrame) else 0)
    metadata = metadata.set_axis([str(name) for name in metadata], axis=1)
    target = read_target(y, len(metadata))
    owner = check_groups(groups, len(metadata))[target.rows]
    columns = metadata.reset_index(drop=True).iloc[target.rows].reset_index(drop=True)
    permute, found = permuter(target.values, owner), []
    for name in map(str, columns):

        def share(values: NDArray[Any], name: str = name) -> float:
            shown = pd.Series(values) if not target.levels else pd.Series(np.array(target.levels)[values])
            frame = pd.DataFrame({"y": shown, "x": columns[name].to_numpy()})
            return confounding(frame, ["x"], ["y"]).get("y", 0.0)

        explained, rng = share(target.values), np.random.default_rng([seed, 15])
        if explained < CONFOUNDED:
            continue
        p_value, _ = sequential_p_value(explained, lambda: share(permute(rng)), most=199)  # noqa: B023
        if p_value <= LEVEL:
            found.append(
                f"{name} explains {explained:.0%} of {target.name} here ({p_words(p_value)}): a model can "
                "learn the one in place of the other."
            )
    return tuple(found)


def _classes_apart(target: Target, learnt: NDArray[np.int64], asked: NDArray[np.int64]) -> tuple[str, ...]:
    """Refuse a test with classes that no model could have learnt; say which ones it lacks."""
    if not target.levels:
        return ()
    train, test = (set(target.values[rows].tolist()) for rows in (learnt, asked))
    unseen = [target.levels[code] for code in sorted(test - train)]
    if unseen:
        raise AnalysisError(
            f"no image in training has {target.name} {', '.join(unseen)}, so no model could say it: leave "
            "such images out of the test"
        )
    lacking = ", ".join(target.levels[code] for code in sorted(train - test))
    if not lacking:
        return ()
    return (f"No image of the test has {target.name} {lacking}: its scores are those of the other classes.",)


def _mask(name: str, given: ArrayLike, rows: int) -> NDArray[np.bool_]:
    mask = np.asarray(given)
    if mask.shape != (rows,) or mask.dtype != bool:
        raise AnalysisError(f"{name} says for each of the {rows} images whether it is in: True or False")
    return mask.copy()
