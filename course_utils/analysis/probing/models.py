"""The models of a probe, and the folds in which they are fitted (lesson 10).

Vectors and a target go in, predictions for women whom the model has never seen come out. Everything that is
fitted is fitted on the women in training, in one scikit-learn Pipeline; what is tuned is tuned on folds among
these women alone.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from course_utils.analysis.checks import is_number
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.probing.targets import Target

Model = Literal["linear", "knn", "spread", "self_training"]
"""Logistic (of numbers: ridge) regression, nearest neighbours, label spreading, self-training."""

Recalibration = Literal["isotonic", "sigmoid"]

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows to train on, and rows to test on."""

DIMS = 256
"""Vectors with more dimensions than this are reduced to so many principal components, inside the fold."""

INNER_SPLITS = 3
"""Folds among the women in training, for what is tuned or recalibrated."""

_TRIES = 20

SETTINGS: dict[tuple[str, str], tuple[float, tuple[float, ...]]] = {
    ("linear", "categories"): (100.0, (0.1, 1.0, 10.0, 100.0, 1000.0)),
    ("linear", "number"): (0.1, (0.001, 0.01, 0.1, 1.0, 10.0)),
    ("knn", "categories"): (5, (1, 3, 5, 9, 15)),
    ("knn", "number"): (5, (1, 3, 5, 9, 15)),
    ("spread", "categories"): (7, (3, 5, 7, 11, 15)),
    ("self_training", "categories"): (0.75, (0.6, 0.75, 0.9, 0.95)),
}
"""The one setting of each model, its default and what tuning tries: C of the logistic and α of the ridge
regression, the number of neighbours, the probability from which self-training believes itself."""

SEMI_SUPERVISED = ("spread", "self_training")
"""These learn from images without a label, too."""


@dataclass(frozen=True)
class Recipe:
    """How a model is fitted.

    Attributes:
        model: which.
        kind: what it predicts.
        setting: see `SETTINGS`.
        tune: choose the setting inside each fold.
        recalibrate: how probabilities are corrected inside each fold, or None.
        columns: whether the input is a table of columns in units of their own, which may be unknown here and
            there, and not a vector.
        seed: seed of every random choice.
    """

    model: Model
    kind: str
    setting: float
    tune: bool = False
    recalibrate: Recalibration | None = None
    columns: bool = False
    seed: int = 0


def make_recipe(
    model: str,
    kind: str,
    *,
    setting: float | None,
    tune: bool,
    recalibrate: str | None,
    seed: int,
) -> Recipe:
    """Return the recipe, or raise AnalysisError saying what there is instead."""
    models = sorted({name for name, _ in SETTINGS})
    if model not in models:
        raise AnalysisError(f"probe has no model {model!r}; available: {', '.join(models)}")
    if (model, kind) not in SETTINGS:
        raise AnalysisError(f"{model} tells classes apart; for numbers take linear or knn")
    if recalibrate not in (None, "isotonic", "sigmoid"):
        raise AnalysisError(f"recalibrate={recalibrate!r}: it is isotonic, sigmoid (Platt's) or None")
    if recalibrate and (kind == "number" or model in SEMI_SUPERVISED):
        raise AnalysisError("recalibrating corrects the probabilities of linear or knn, for classes only")
    if setting is None:
        setting = SETTINGS[model, kind][0]
    elif tune:
        raise AnalysisError("a setting is given or tuned, not both")
    elif not is_number(setting) or not 0 < setting < np.inf:
        raise AnalysisError(f"setting={setting!r}: it is a number above 0")
    elif model in ("knn", "spread") and setting != round(setting):
        raise AnalysisError(f"setting={setting!r}: neighbours come in whole numbers")
    elif model == "self_training" and setting >= 1:
        raise AnalysisError(f"setting={setting!r}: it is a probability below 1")
    return Recipe(model, kind, float(setting), bool(tune), recalibrate, seed=seed)  # type: ignore[arg-type]


def rotate(matrix: NDArray[np.float64]) -> NDArray[np.floating]:
    """Return vectors (N, D) turned so that they need no more than N − 1 dimensions, if these are fewer.

    A rotation keeps every distance and looks at no label, as do a shift and a change of unit. All models here
    depend on the proportions of distances alone, so they change nothing but the time they take. It is not
    fitting: no fold could tell the difference.
    """
    from course_utils.analysis.reduction import principal_components

    if matrix.shape[1] >= len(matrix):
        return principal_components(without_unit(matrix), len(matrix) - 1)[0]
    return without_unit(matrix).astype(np.float32) if matrix.shape[1] > DIMS else matrix


def without_unit(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors (N, D) less their mean, over a power of two: the largest is about 1 in single precision.

    Numbers like 1e-30 could not be squared there, nor would small differences of large numbers be left.
    """
    from course_utils.analysis.reduction import centre

    centred = centre(matrix)
    return np.ldexp(centred, -np.frexp(np.abs(centred).max())[1], out=centred)


def women_folds(woman: NDArray[np.int64], splits: int, seed: int) -> list[Fold]:
    """Return folds of women dealt out at random, without a look at any target."""
    numbers = np.unique(woman, return_inverse=True)[1]
    order = np.random.default_rng([seed, 17]).permutation(int(numbers.max()) + 1)
    fold = np.argsort(order)[numbers] % splits
    split = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(splits)]
    return [(train, test) for train, test in split if len(test)]


def folds(target: Target, woman: NDArray[np.int64], splits: int, seed: int) -> list[Fold]:
    """Return folds of women, with about the same share of each class in all of them."""
    if not target.levels:
        return women_folds(woman, splits, seed)
    from sklearn.model_selection import StratifiedGroupKFold

    split = StratifiedGroupKFold(splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a class has few images: its women were counted
        return [(train, test) for train, test in split.split(woman, target.values, woman) if len(test)]


def out_of_fold(
    recipe: Recipe,
    matrix: NDArray[np.floating],
    woman: NDArray[np.int64],
    target: Target,
    splits: int,
) -> NDArray[np.float64]:
    """Return, for each image whose target is known, what a model predicts that never saw the woman.

    Args:
        recipe: how it is fitted; its seed is that of the folds, too.
        matrix: `(N, D)`, all images; those whose target is not known teach a semi-supervised model.
        woman: `(N,)`.
        target: known for M images.
        splits: how many folds.

    Returns:
        probabilities `(M, classes)`, or numbers `(M,)`.
    """
    known, owner = matrix[target.rows], woman[target.rows]
    unknown = np.setdiff1d(np.arange(len(matrix)), target.rows)
    predicted = np.zeros((len(known), len(target.levels)) if target.levels else len(known))
    for train, test in folds(target, owner, splits, recipe.seed):
        others = unknown[~np.isin(woman[unknown], owner[test])]
        predicted[test] = fit_predict(
            recipe, known[train], target, train, owner[train], known[test], matrix[others]
        )
    return predicted


def fit_predict(
    recipe: Recipe,
    vectors: NDArray[np.floating],
    target: Target,
    rows: NDArray[np.int64],
    owner: NDArray[np.int64],
    test: NDArray[np.floating],
    unlabelled: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Return what a model fitted to some vectors predicts for others.

    Args:
        recipe: how it is fitted.
        vectors: `(R, D)`, to train on.
        target: what is asked.
        rows: `(R,)`, which of the target's values are those of `vectors`.
        owner: `(R,)`, their women.
        test: `(T, D)`.
        unlabelled: more vectors, for the models that can use them.

    Returns:
        probabilities `(T, classes)`, or numbers `(T,)`.
    """
    from course_utils.analysis.probing.pipelines import estimator

    values = target.values[rows]
    probabilities = np.zeros((len(test), len(target.levels)))
    if target.levels and (values == values[0]).all():
        probabilities[:, int(values[0])] = 1.0  # one class is all that it has seen
        return probabilities
    known = replace(target, rows=rows, values=values)
    if recipe.tune:
        recipe = _tuned(recipe, vectors, known, owner)
    if recipe.model not in SEMI_SUPERVISED or unlabelled is None or not len(unlabelled):
        unlabelled = vectors[:0]
    if not target.levels:
        return estimator(recipe, vectors, supervised=True).fit(vectors, values).predict(test)
    inner = _inner_folds(known, owner, recipe.seed) if recipe.recalibrate else None
    model = estimator(recipe, vectors, supervised=not len(unlabelled), inner=inner)
    model.fit(np.vstack([vectors, unlabelled]), np.append(values, np.full(len(unlabelled), -1)))
    # An image whose neighbours no label has reached could be of any class.
    found = np.nan_to_num(model.predict_proba(test), nan=1 / len(model.classes_))
    probabilities[:, model.classes_] = found
    return probabilities


def prepared(
    recipe: Recipe, train: NDArray[np.floating], test: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return both as a model gets them: centred, reduced and scaled by what is in training."""
    from sklearn.pipeline import Pipeline

    from course_utils.analysis.probing.pipelines import preparation

    steps = Pipeline(preparation(recipe, train))
    return steps.fit_transform(train), steps.transform(test)


def _inner_folds(target: Target, owner: NDArray[np.int64], seed: int) -> list[Fold]:
    """Return folds among the women in training, all of whose training parts have every class there is.

    Raises:
        AnalysisError: the women in training are too few for that, or one of them has nearly all images.
    """
    classes = len(np.unique(target.values)) if target.levels else 0
    for more in range(_TRIES):
        try:
            found = folds(target, owner, INNER_SPLITS, (seed + more) % 2**32)
        except ValueError:  # there are fewer women, or images of each class, than folds
            break
        if len(found) > 1 and all(
            len(train) and (not classes or len(np.unique(target.values[train])) == classes)
            for train, _ in found
        ):
            return found
    raise AnalysisError(
        "the women in training are too few, or too uneven, to be split once more: leave tuning and "
        "recalibrating out, or ask for more splits"
    )


def _tuned(recipe: Recipe, vectors: NDArray[np.floating], target: Target, owner: NDArray[np.int64]) -> Recipe:
    """Return the recipe with the setting that does best on folds among these women; the first of equals."""
    from course_utils.analysis.probing.scores import balanced_accuracy, confusion_cells

    inner = [  # prepared once; to do it again for each setting would change nothing but the time
        (train, test, *prepared(recipe, vectors[train], vectors[test]))
        for train, test in _inner_folds(target, owner, recipe.seed)
    ]
    found = []
    for setting in SETTINGS[recipe.model, recipe.kind][1]:
        one, scores = replace(recipe, setting=setting, tune=False, recalibrate=None), []
        for train, test, of_train, of_test in inner:
            said = fit_predict(one, of_train, target, train, owner[train], of_test)
            truth = target.values[test]
            if target.levels:
                scores.append(float(balanced_accuracy(confusion_cells(said, truth).sum(axis=0))))
            else:
                scores.append(-float(((said - truth) ** 2).mean()))
        found.append(float(np.mean(scores)))
    return replace(recipe, setting=SETTINGS[recipe.model, recipe.kind][1][int(np.argmax(found))], tune=False)
