"""How much can be read off the vectors? A model asks it of women whom it has never seen (lesson 10).

Vectors and a target go in; how well the target can be read comes out, with an interval over women, beside
what chance gives and what a mean gray or a histogram would have given. That something can be read does not
say that it forms clusters, nor that it could be read at another hospital (`transfer`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_utils.analysis.associations import two_decimals
from course_utils.analysis.checks import check_groups, check_seed, check_vectors, check_whole
from course_utils.analysis.columns import Kind
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.permutations import LEVEL
from course_utils.analysis.probing.baselines import Baseline, read_baselines
from course_utils.analysis.probing.chance import FEWEST_ARRANGEMENTS, Chance, chance
from course_utils.analysis.probing.models import (
    DIMS,
    INNER_SPLITS,
    SETTINGS,
    Model,
    Recalibration,
    Recipe,
    make_recipe,
    out_of_fold,
    rotate,
)
from course_utils.analysis.probing.scores import (
    MAIN,
    NAMES,
    WIDENED,
    Score,
    all_or_none,
    class_scores,
    confidence_cells,
    confusion_cells,
    draw_women,
    for_few,
    knowing_nothing,
    number_scores,
    summaries,
    summarise,
)
from course_utils.analysis.probing.targets import Target, check_classes, read_target, women_of_classes
from course_utils.analysis.validity import p_words

MODELS = {
    ("linear", "categories"): "logistic regression",
    ("linear", "number"): "ridge regression",
    ("knn", "categories"): "nearest neighbours",
    ("knn", "number"): "nearest neighbours",
    ("spread", "categories"): "label spreading",
    ("self_training", "categories"): "self-training logistic regression",
}

Values = dict[str, NDArray[np.float64]]
"""Each measure for each repeat and each draw of women (repeats, 1 + draws)."""


@dataclass(frozen=True)
class Probe:
    """How well a target can be read off vectors of women who were not in training.

    Attributes:
        target: its name.
        kind: `"categories"` or `"number"`.
        levels: how many images each class has; empty for a number.
        ordered: whether the order of the classes means something.
        model: what was fitted.
        setting: its one setting, see `models.SETTINGS`; None if it was tuned inside each fold.
        recalibrate: how its probabilities were corrected inside each fold, or None.
        images: how many images the target is known for.
        women: how many women they are of.
        missing: how many images were left out, since their target is not known.
        splits: into how many folds the women were split.
        repeats: how often, in other ways.
        scores: classes: `"balanced_accuracy"`, `"macro_auc"`, `"calibration_error"` and, where they are
            ordered, `"quadratic_kappa"`; a number: `"r2"`, `"mae"`, `"spearman"`.
        chance: what permuted targets give, see Chance; None if that was not asked.
        baselines: what stands beside it.
        confusion: classes: images by their class (rows) and the predicted one (columns), a mean over repeats.
        reliability: classes: for each bin of confidence that holds any, its mean confidence, the share that
            was right, and the number of images, a mean over repeats.
        seed: seed of every random choice.
    """

    target: str
    kind: Kind
    levels: dict[str, int]
    ordered: bool
    model: Model
    setting: float | None
    recalibrate: Recalibration | None
    images: int
    women: int
    missing: int
    splits: int
    repeats: int
    scores: dict[str, Score]
    chance: Chance | None
    baselines: dict[str, Baseline]
    confusion: tuple[tuple[float, ...], ...]
    reliability: tuple[tuple[float, float, float], ...]
    seed: int

    @property
    def measure(self) -> str:
        """Return the name of the main measure: `"balanced_accuracy"`, or of a number `"r2"`."""
        return MAIN[self.kind]

    @property
    def score(self) -> Score:
        """Return the main measure."""
        return self.scores[self.measure]

    @property
    def chance_level(self) -> float:
        """Return what knowing nothing gives: one over the number of classes, or the R² of the mean: 0."""
        return 1 / len(self.levels) if self.levels else 0.0

    @property
    def is_more_than_chance(self) -> bool:
        """Return whether the interval lies above chance and the permutations, if any, say the same."""
        tested = self.chance is None or self.chance.p_value is None or self.chance.p_value <= LEVEL
        return tested and self.score.low is not None and self.score.low > self.chance_level

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return what was found, how it stands to chance and to the baselines, and what was not shown."""
        return tuple(filter(None, (self._found, self._by_chance, self._beside, self._not_shown)))

    @property
    def sentence(self) -> str:
        """Return the same in one piece."""
        return " ".join(self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        return asdict(self) | {
            "baselines": {name: one.to_dict() for name, one in self.baselines.items()},
            "confusion": [list(row) for row in self.confusion],
            "reliability": [list(row) for row in self.reliability],
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Probe:
        """Rebuild from what `to_dict` returned, as read back from JSON.

        Raises:
            KeyError, TypeError, ValueError or AttributeError: it is something else.
        """
        if set(plain) != {each.name for each in fields(cls)}:
            raise ValueError("a probe has other fields")
        found = cls(
            **plain
            | {
                "scores": {name: Score.from_dict(score) for name, score in plain["scores"].items()},
                "chance": None if plain["chance"] is None else Chance.from_dict(plain["chance"]),
                "baselines": {name: Baseline.from_dict(one) for name, one in plain["baselines"].items()},
                "confusion": tuple(tuple(map(float, row)) for row in plain["confusion"]),
                "reliability": tuple(tuple(map(float, row)) for row in plain["reliability"]),
            }
        )
        whole = (found.images, found.women, found.missing, found.splits, found.repeats, found.seed)
        if any(type(number) is not int for number in whole) or found.measure not in found.scores:
            raise ValueError("a probe counts in whole numbers and has its main measure")
        return found

    @property
    def _of(self) -> str:
        images = f"{self.images} images of {self.women} women"
        return f"{self.women} women" if self.images == self.women else images

    @property
    def _found(self) -> str:
        if self.is_more_than_chance:
            head = f"{self.target} can be read off the vectors"
        else:
            head = f"It was not shown that {self.target} can be read off the vectors"
        words = (
            f"{head}: {NAMES[self.measure]} {self.score.words}, where "
            f"{knowing_nothing(self.measure, self.chance_level)}, on {self._of}, each judged by a model "
            "fitted to other women "
            f"({MODELS[self.model, self.kind]}, {self.splits} folds of women, {_times(self.repeats)})."
        )
        if self.missing:
            images = "1 image was" if self.missing == 1 else f"{self.missing} images were"
            words += f" {images} left out: {self.target} is not known there."
        return words

    @property
    def _by_chance(self) -> str:
        if self.chance is None:
            return ""
        test, name = self.chance, NAMES[self.measure]
        if test.p_value is None or test.high is None:
            return "Permuting could not have told anything from chance: there are too few ways to do it."
        return (
            f"What was tested is {test.reader}, with {name} {two_decimals(test.value)}: with {self.target} "
            f"permuted ({test.unit}), it is {two_decimals(test.high)} or less in 95% of {test.draws} cases "
            f"({p_words(test.p_value)})."
        )

    @property
    def _beside(self) -> str:
        if not self.baselines:
            return "Nothing simpler stands beside it, so this does not say that it takes a network."
        measured = [
            f"{name} {two_decimals(one.scores[self.measure].value)}" for name, one in self.baselines.items()
        ]
        words = f"Beside it, from the same folds: {', '.join(measured)}."
        said = {
            "The vectors do better than {}": [n for n, one in self.baselines.items() if one.is_beaten],
            "They do worse than {}": [n for n, one in self.baselines.items() if one.wins],
            "No difference from {} was shown": [
                n for n, one in self.baselines.items() if not one.is_beaten and not one.wins
            ],
        }
        return " ".join([words, *(f"{text.format(_and(names))}." for text, names in said.items() if names)])

    @property
    def _not_shown(self) -> str:
        if self.is_more_than_chance:
            return (
                f"Not shown: that the vectors hold {self.target} itself and not something tied to it here, "
                "nor that it can be read off images from elsewhere."
            )
        if self.score.low is None:
            return f"Nor was it shown that {self.target} cannot be read: so few women could not tell."
        return (
            f"Nor was it shown that {self.target} cannot be read: the interval says how much may have been "
            "missed."
        )


def probe(
    vectors: ArrayLike,
    y: ArrayLike | pd.Series,
    *,
    groups: ArrayLike,
    model: Model = "linear",
    splits: int = 5,
    repeats: int = 5,
    tune: bool = False,
    setting: float | None = None,
    recalibrate: Recalibration | None = None,
    ordered: bool | None = None,
    baselines: Mapping[str, ArrayLike | pd.Series | pd.DataFrame] | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> Probe:
    """Fit a model to some of the women, ask it about the others, and say how sure that is.

    All images of a woman are in one fold: alike as they are, they would give her away. What is fitted (the
    centre, the scale, 256 principal components where there are more dimensions, the model, its tuning and its
    recalibration) is fitted inside the fold. The intervals are those of drawing women, widened as said at
    `scores.WIDENED`, `for_few` and `all_or_none`. The women are dealt to the folds in the order of their
    rows, so that the same rows in another order are like another seed.

    No class is weighted: probabilities are those of the images given, and the likeliest class is the
    prediction. Where one class is rare, a model seldom names it, and its balanced accuracy is up to a tenth
    lower than that of a model with weights; macro AUC does not depend on it.

    Args:
        vectors: `(N, D)` finite numbers, one row per image.
        y: `(N,)`, classes or numbers, see `read_target`; images where it is missing are left out and counted
            (label spreading and self-training learn from them as images without a label).
        groups: `(N,)`, the woman of each image. There is no default: without it, a coin tossed for each woman
            can be read off her other images.
        model: `"linear"` (logistic regression; for numbers ridge), `"knn"`, or, for classes only, `"spread"`
            (label spreading) and `"self_training"`.
        splits: folds, at least 2.
        repeats: how often the women are split anew, at least 1.
        tune: choose the model's one setting inside each fold, on folds among the women in training.
        setting: that setting, if it is neither tuned nor the default, see `models.SETTINGS`.
        recalibrate: correct the probabilities inside each fold, by `"isotonic"` regression or `"sigmoid"`.
        ordered: whether the classes have an order; None: decide by their names.
        baselines: what stands beside the vectors, `(N,)` or `(N, columns)` each, such as the mean gray.
        permutations: at most so many, at least 19, since fewer could not give p = 0.05; 0 for none.
        seed: seed of every random choice.

    Raises:
        AnalysisError: vectors, groups or parameters that cannot be used; a target that is the same or unknown
            everywhere, that names the women, or of which a class has fewer women than there are folds.

    Source: Alain and Bengio, Understanding intermediate layers using linear classifier probes,
    arXiv:1610.01644 (2016); Brodersen, Ong, Stephan and Buhmann, The balanced accuracy and its posterior
    distribution, ICPR 2010, 3121–3124; Ojala and Garriga, Permutation tests for studying classifier
    performance, JMLR 11 (2010) 1833–1863; Bengio and Grandvalet, No unbiased estimator of the variance of
    k-fold cross-validation, JMLR 5 (2004) 1089–1105.
    """
    from threadpoolctl import threadpool_limits

    seed = check_seed(seed)
    matrix = check_vectors(vectors)
    woman = check_groups(groups, len(matrix))
    target = read_target(y, len(matrix), ordered)
    splits, repeats = check_whole("splits", splits, 2), check_whole("repeats", repeats, 1)
    permutations = check_whole("permutations", permutations, 0)
    if 0 < permutations < FEWEST_ARRANGEMENTS - 1:
        raise AnalysisError(
            f"permutations={permutations}: {FEWEST_ARRANGEMENTS - 1} or more, since fewer could not give p = "
            "0.05; or 0 for none"
        )
    owner = np.unique(woman[target.rows], return_inverse=True)[1]
    check_classes(target, owner, splits, nested=2 * INNER_SPLITS if tune or recalibrate else 0)
    tables = read_baselines(baselines, len(matrix))
    recipe = make_recipe(model, target.kind, setting=setting, tune=tune, recalibrate=recalibrate, seed=seed)
    weights = draw_women(int(owner.max()) + 1, np.random.default_rng([seed, 11]))
    widened = WIDENED * for_few(weights.shape[1], len(target.levels) or 2)
    turned = rotate(matrix)
    with threadpool_limits(1 if turned.shape[1] <= DIMS else None):
        predicted = predictions(recipe, turned, woman, target, splits, repeats)
        values = _values(predicted, target, owner, weights)
        slack = _slack(predicted, target, owner)
        beside = {
            name: _baseline(table, recipe, woman, target, splits, repeats, owner, weights, values, slack)
            for name, table in tables.items()
        }
        by_chance = None
        if permutations:
            by_chance = chance(
                turned[target.rows], owner, target, model=model, splits=splits, most=permutations, seed=seed
            )
    sizes = np.bincount(target.values, minlength=len(target.levels)) if target.levels else ()
    return Probe(
        target=target.name,
        kind=target.kind,
        levels={level: int(size) for level, size in zip(target.levels, sizes, strict=True)},
        ordered=target.ordered,
        model=recipe.model,
        setting=None if tune else recipe.setting,
        recalibrate=recipe.recalibrate,
        images=len(target.rows),
        women=len(weights[0]),
        missing=len(matrix) - len(target.rows),
        splits=splits,
        repeats=repeats,
        scores=summaries(values, widened, weights.shape[1], slack),
        chance=by_chance,
        baselines=beside,
        confusion=_confusion(predicted, target),
        reliability=_reliability(predicted, target),
        seed=seed,
    )


def predictions(
    recipe: Recipe,
    matrix: NDArray[np.floating],
    woman: NDArray[np.int64],
    target: Target,
    splits: int,
    repeats: int,
) -> list[NDArray[np.float64]]:
    """Return what is predicted out of fold, once for each repeat; see `out_of_fold`."""
    seeds = np.random.default_rng([recipe.seed, 12]).integers(0, 2**31, repeats)
    return [out_of_fold(replace(recipe, seed=int(one)), matrix, woman, target, splits) for one in seeds]


def _values(
    predicted: list[NDArray[np.float64]],
    target: Target,
    owner: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> Values:
    if target.levels:
        of_repeats = [
            class_scores(each, target.values, owner, weights, ordered=target.ordered) for each in predicted
        ]
    else:
        of_repeats = [number_scores(each, target.values, owner, weights) for each in predicted]
    return {name: np.array([scores[name] for scores in of_repeats]) for name in of_repeats[0]}


def _baseline(
    table: NDArray[np.float64],
    recipe: Recipe,
    woman: NDArray[np.int64],
    target: Target,
    splits: int,
    repeats: int,
    owner: NDArray[np.int64],
    weights: NDArray[np.float64],
    of_vectors: Values,
    slack: tuple[float, float],
) -> Baseline:
    """Return what a logistic or a ridge regression makes of a table, in the folds of the vectors."""
    simple = replace(
        recipe,
        model="linear",
        setting=SETTINGS["linear", target.kind][0],
        tune=False,
        recalibrate=None,
        columns=True,
    )
    predicted = predictions(simple, table, woman, target, splits, repeats)
    values, own = _values(predicted, target, owner, weights), _slack(predicted, target, owner)
    measure = MAIN[target.kind]
    widened = WIDENED * for_few(weights.shape[1], len(target.levels) or 2)
    return Baseline(
        columns=table.shape[1],
        scores=summaries(values, widened, weights.shape[1], own),
        difference=summarise(
            "difference",
            of_vectors[measure] - values[measure],
            widened,
            slack=(math.hypot(slack[0], own[1]), math.hypot(slack[1], own[0])),
        ),
    )


def _slack(
    predicted: list[NDArray[np.float64]], target: Target, owner: NDArray[np.int64]
) -> tuple[float, float]:
    """Return what drawing women does not show of balanced accuracy, see `all_or_none`; 0 for numbers."""
    if not target.levels:
        return 0.0, 0.0
    women = women_of_classes(target.values, owner, len(target.levels))
    return all_or_none(np.array(_confusion(predicted, target)), women)


def _confusion(predicted: list[NDArray[np.float64]], target: Target) -> tuple[tuple[float, ...], ...]:
    if not target.levels:
        return ()
    cells = np.mean([confusion_cells(each, target.values).sum(axis=0) for each in predicted], axis=0)
    return tuple(tuple(map(float, row)) for row in cells.round(6))


def _reliability(
    predicted: list[NDArray[np.float64]], target: Target
) -> tuple[tuple[float, float, float], ...]:
    if not target.levels:
        return ()
    bins = np.mean([confidence_cells(each, target.values).sum(axis=0) for each in predicted], axis=0)
    there = bins[:, bins[0] > 0]
    curve = np.column_stack([there[1] / there[0], there[2] / there[0], there[0]]).round(6)
    return tuple((float(a), float(b), float(c)) for a, b, c in curve)


def _times(repeats: int) -> str:
    return "once" if repeats == 1 else f"{repeats} times"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
