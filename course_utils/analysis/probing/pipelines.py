"""The scikit-learn Pipeline of a probe: vectors are centred, reduced and scaled, then the model follows.

Imported only where something is fitted, since scikit-learn takes a second to load (lesson 10).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from course_utils.analysis.probing.models import DIMS, Fold, Recipe

SELF_TRAINING_C = 100.0


class UnitLength(TransformerMixin, BaseEstimator):
    """Divides all vectors by one number: the root of the mean square of their lengths in training.

    So a regularisation means the same for any network, and the columns keep their proportions.
    """

    def fit(self, vectors: NDArray[np.floating], y: object = None) -> UnitLength:
        """Remember the length; 1 where there is none."""
        self.length_ = float(np.sqrt((vectors**2).sum(axis=1).mean())) or 1.0
        return self

    def transform(self, vectors: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the vectors, divided."""
        return vectors / self.length_


def preparation(recipe: Recipe, vectors: NDArray[np.floating]) -> list[tuple[str, Any]]:
    """Return the steps before the model, for training vectors of this shape."""
    rows, dims = vectors.shape
    steps: list[tuple[str, Any]] = []
    if recipe.columns:
        steps.append(("fill", SimpleImputer(strategy="median", keep_empty_features=True)))
    # A vector's columns keep their proportions, as in `reduce`; those of a table have units of their own.
    steps.append(("centre", StandardScaler(with_std=recipe.columns)))
    if dims > DIMS and rows > DIMS:
        steps.append(("components", PCA(DIMS, svd_solver="randomized", random_state=recipe.seed)))
    return [*steps, ("length", UnitLength())]


def estimator(
    recipe: Recipe,
    vectors: NDArray[np.floating],
    *,
    supervised: bool,
    inner: list[Fold] | None = None,
) -> Any:
    """Return the model, not fitted yet.

    Args:
        recipe: which, and how.
        vectors: what it will be fitted to; only the shape counts.
        supervised: whether every image has a label; then self-training has nothing to do.
        inner: folds for the recalibration.
    """
    # A recalibrated model is fitted to the inner folds too: fewer rows for components and neighbours.
    some = vectors[: min((len(train) for train, _ in inner or []), default=len(vectors))]
    whole = Pipeline([*preparation(recipe, some), ("model", _model(recipe, len(some), supervised))])
    if inner is None:
        return whole
    return CalibratedClassifierCV(whole, method=recipe.recalibrate, cv=inner, ensemble=False)


def _model(recipe: Recipe, rows: int, supervised: bool) -> Any:
    setting = recipe.setting
    if recipe.model == "knn":
        nearest = KNeighborsClassifier if recipe.kind == "categories" else KNeighborsRegressor
        return nearest(min(int(setting), rows))
    if recipe.model == "spread":
        return LabelSpreading(kernel="knn", n_neighbors=min(int(setting), rows), max_iter=500)
    if recipe.kind == "number":
        return Ridge(setting)
    if recipe.model == "self_training":
        base = LogisticRegression(C=SELF_TRAINING_C, max_iter=1000)
        return base if supervised else SelfTrainingClassifier(base, threshold=setting)
    return LogisticRegression(C=setting, max_iter=1000)
