"""How good predictions are, and how far that can be trusted with so few women (lesson 10).

Out-of-fold predictions go in; balanced accuracy and its like come out, each with an interval from drawing the
women, not the images, again and again. Every measure is a sum over women first, so that a thousand such draws
cost no more than a product of matrices.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils.analysis.associations import two_decimals

BOOTSTRAPS = 999
"""So often the women are drawn anew."""

FEWEST_FOR_AN_INTERVAL = 6
"""Fewer women than this, drawn again and again, do not say how far a number can be trusted."""

WIDENED = math.sqrt(2)
"""An interval from out-of-fold predictions is wider than that of drawing women, by this.

Drawing women takes the predictions as given. But each woman also taught the model that judged the others:
where chance made two women alike and gave them one class, both come out right. Under the null this doubles
the variance; without it, the interval of a coin tossed for each woman holds one half in 83 of 100 runs only.
"""

BINS = 10
"""Bins of confidence, equally wide, of the reliability curve."""

_RANGES = {
    "balanced_accuracy": (0.0, 1.0),
    "macro_auc": (0.0, 1.0),
    "quadratic_kappa": (-1.0, 1.0),
    "calibration_error": (0.0, 1.0),
    "r2": (-math.inf, 1.0),
    "mae": (0.0, math.inf),
    "spearman": (-1.0, 1.0),
}

_OF_ONE = ("balanced_accuracy", "macro_auc", "quadratic_kappa")
"""Measures that are 1 where all are right."""

NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_auc": "macro AUC",
    "quadratic_kappa": "quadratic kappa",
    "calibration_error": "expected calibration error",
    "r2": "R²",
    "mae": "mean absolute error",
    "spearman": "Spearman's rank correlation",
}
"""What each measure is called in a sentence."""

MAIN = {"categories": "balanced_accuracy", "number": "r2"}
"""The measure that is told first, by the kind of the target."""


def knowing_nothing(measure: str, level: float) -> str:
    """Return what knowing nothing gives, in words; of a permuted number a model does worse than the mean."""
    return f"{'chance' if measure == MAIN['categories'] else 'the mean alone'} gives {two_decimals(level)}"


@dataclass(frozen=True)
class Score:
    """One measure of how good predictions are.

    Attributes:
        value: the mean over the repeats.
        low, high: 95% interval from drawing women; None with fewer than six of them.
        sd: standard deviation over the repeats, that is, over other folds of the same women.
    """

    value: float
    low: float | None
    high: float | None
    sd: float

    @property
    def words(self) -> str:
        """Return the value with its interval, as it stands in a sentence."""
        value = two_decimals(self.value)
        if self.low is None or self.high is None:
            return f"{value} (too few women for an interval)"
        return f"{value} (95% interval {two_decimals(self.low)} to {two_decimals(self.high)})"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain, JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Score:
        """Rebuild from what `to_dict` returned. Raises TypeError or ValueError for anything else."""
        found = cls(**plain)
        if not math.isfinite(found.value + found.sd) or (found.low is None) != (found.high is None):
            raise ValueError("a score is a number with two ends of an interval, or none")
        return found


def draw_women(women: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each woman counts (draws, women): once in the first row, as drawn in the others.

    Of fewer women than `FEWEST_FOR_AN_INTERVAL` there is the first row alone.
    """
    if women < FEWEST_FOR_AN_INTERVAL:
        return np.ones((1, women))
    drawn = rng.multinomial(women, np.full(women, 1 / women), BOOTSTRAPS)
    return np.vstack([np.ones(women), drawn]).astype(float)


def for_few(women: int, classes: int) -> float:
    """Return by how much a drawn interval is widened since there are only so many women, of so many classes.

    Drawing women gives the variance with a divisor of n instead of n − 1 in each class, and the normal
    distribution where Student's t is due: 1.13 for twenty women of two classes, 1.04 for sixty.
    """
    from scipy.stats import norm, t

    freedom = max(women - classes, 1)
    return float(t.ppf(0.975, freedom) / norm.ppf(0.975) * math.sqrt(women / freedom))


def all_or_none(confusion: NDArray[np.float64], women: NDArray[np.int64]) -> tuple[float, float]:
    """Return by how much balanced accuracy may be lower, and higher, than drawing women can show.

    Where all images of a class are right, so are they in every draw, though it may be of five women alone;
    the share that would all be right in 25 of 1000 cases is the end of Clopper and Pearson's interval. The
    same goes for a class of which none is right, as of a rare one, by chance.

    Args:
        confusion: `(K, K)`, images by class and predicted class.
        women: `(K,)`, how many women each class has.
    """
    images = confusion.sum(axis=1)
    there = images > 0
    shares = np.diag(confusion)[there] / images[there]
    missed = (1 - 0.025 ** (1 / women[there].clip(1))) / max(there.sum(), 1)
    return (
        float(np.sqrt((missed[shares >= 1 - 1e-9] ** 2).sum())),
        float(np.sqrt((missed[shares <= 1e-9] ** 2).sum())),
    )


def summarise(
    name: str,
    values: NDArray[np.float64],
    widened: float,
    women: int | None = None,
    slack: tuple[float, float] = (0.0, 0.0),
) -> Score:
    """Return the Score of a measure from its values (repeats, 1 + draws) or, of a difference, the same.

    The interval is that of the draws, widened and centred on the value: some measures (a calibration error)
    are larger in every draw than in the data. Where every woman is right, so is every draw of them; then it
    begins at the share of right women with which so many would all be right in 25 of 1000 cases. `slack` is
    what else the draws do not show, see `all_or_none`, below and above.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404–413 (where all are right).
    """
    means = values.mean(axis=0)
    value, draws = float(means[0]), means[1:][np.isfinite(means[1:])]
    low = high = None
    if len(draws) > BOOTSTRAPS / 2:
        least, most = _RANGES.get(name, (-math.inf, math.inf))
        drawn = widened * (np.quantile(draws, [0.025, 0.975]) - draws.mean())
        ends = value + np.array([-1, 1]) * np.hypot(drawn, slack)
        if name in _OF_ONE and value == 1 and women:
            ends[0] = min(ends[0], 0.025 ** (1 / women))
        low = _rounded(name, min(max(ends[0], least), value))
        high = _rounded(name, max(min(ends[1], most), value))
    return Score(_rounded(name, value), low, high, _rounded(name, values[:, 0].std()))


def summaries(
    values: dict[str, NDArray[np.float64]], widened: float, women: int, slack: tuple[float, float]
) -> dict[str, Score]:
    """Return the Score of each measure, see `summarise`; the slack is that of balanced accuracy."""
    none = (0.0, 0.0)
    return {
        name: summarise(name, of, widened, women, slack if name == MAIN["categories"] else none)
        for name, of in values.items()
    }


def _rounded(name: str, value: float) -> float:
    """Return six decimals, or of what has a unit, six digits."""
    return float(f"{value:.6g}") if name == "mae" else round(float(value), 6)


def class_scores(
    probabilities: NDArray[np.float64],
    codes: NDArray[np.int64],
    woman: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    ordered: bool,
) -> dict[str, NDArray[np.float64]]:
    """Return each measure of class probabilities (M, K), for each row of weights (draws, women)."""
    counts = _per_woman(woman, confusion_cells(probabilities, codes), weights)
    scores = {
        "balanced_accuracy": balanced_accuracy(counts),
        "macro_auc": macro_auc(probabilities, codes, woman, weights),
    }
    if ordered:
        scores["quadratic_kappa"] = quadratic_kappa(counts)
    bins = _per_woman(woman, confidence_cells(probabilities, codes), weights)
    return scores | {"calibration_error": calibration_error(bins)}


def number_scores(
    predicted: NDArray[np.float64],
    numbers: NDArray[np.float64],
    woman: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Return each measure of predicted numbers (M,), for each row of weights (draws, women).

    Ranks are those among all images: a draw of women weighs them, and does not rank anew.
    """
    from scipy.stats import rankdata

    a, b = rankdata(predicted), rankdata(numbers)
    centred = numbers - numbers.mean()
    error = predicted - numbers
    cells = np.column_stack(
        [np.ones(len(a)), centred, centred**2, error**2, np.abs(error), a, b, a * a, b * b, a * b]
    )
    sums = _per_woman(woman, cells, weights)
    n, total, square, squared_error, absolute = np.moveaxis(sums[..., :5], -1, 0)
    ma, mb, maa, mbb, mab = np.moveaxis(sums[..., 5:] / n[..., None], -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "r2": 1 - squared_error / (square - total**2 / n),
            "mae": absolute / n,
            "spearman": np.nan_to_num((mab - ma * mb) / np.sqrt((maa - ma**2) * (mbb - mb**2))),
        }


def confusion_cells(probabilities: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each image a table (M, K, K): a one in the row of its class and the column predicted."""
    one = np.eye(probabilities.shape[1])
    return one[codes][:, :, None] * one[probabilities.argmax(axis=1)][:, None, :]


def confidence_cells(probabilities: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (M, 3, bins): in the bin of its confidence, a one, the confidence, and whether it was right."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == codes
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return (
        np.stack([np.ones(len(codes)), confidence, right], axis=1)[:, :, None] * np.eye(BINS)[bins][:, None]
    )


def balanced_accuracy(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean share of each class that was recognised, from confusion matrices (…, K, K).

    Classes of which there is no image are left out.
    """
    with np.errstate(invalid="ignore"):
        shares = np.diagonal(counts, axis1=-2, axis2=-1) / counts.sum(axis=-1)
    return _mean_of_known(shares)


def quadratic_kappa(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Cohen's kappa of confusion matrices (…, K, K); a miss by two classes counts as four by one.

    Source: Cohen, Weighted kappa, Psychological Bulletin 70 (1968) 213–220.
    """
    k = counts.shape[-1]
    weight = (np.arange(k)[:, None] - np.arange(k)) ** 2
    rows, columns = counts.sum(axis=-1), counts.sum(axis=-2)
    expected = np.einsum("...i,...j,ij->...", rows, columns, weight) / counts.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - (counts * weight).sum(axis=(-2, -1)) / expected


def calibration_error(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far confidence and share of right answers are apart, from sums per bin (…, 3, bins).

    Source: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017.
    """
    return np.abs(bins[..., 1, :] - bins[..., 2, :]).sum(axis=-1) / bins[..., 0, :].sum(axis=-1)


def macro_auc(
    probabilities: NDArray[np.float64],
    codes: NDArray[np.int64],
    woman: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the area under the curve of each class against all others, averaged over classes (draws,)."""
    k = probabilities.shape[1]
    classes = [1] if k == 2 else range(k)  # of two classes, either area is the other
    areas = [_auc(probabilities[:, c], codes == c, woman, weights) for c in classes]
    return _mean_of_known(np.column_stack(areas))


def _auc(
    score: NDArray[np.float64],
    positive: NDArray[np.bool_],
    woman: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the chance that an image of the class scores higher than one that is not, ties counting half."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-math.inf))
    owner, hit = woman[order], positive[order]
    areas = []
    for some in np.array_split(weights, max(1, len(weights) * len(score) // 2_000_000)):
        each = some[:, owner]
        yes = np.add.reduceat(each * hit, starts, axis=1)
        no = np.add.reduceat(each * ~hit, starts, axis=1)
        with np.errstate(invalid="ignore"):
            below = np.cumsum(no, axis=1) - no / 2
            areas.append((yes * below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1)))
    return np.concatenate(areas)


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)


def _per_woman(
    woman: NDArray[np.int64], cells: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sums of cells (M, …) over images, women weighted: (draws, …)."""
    flat = cells.reshape(len(cells), -1)
    sums = np.zeros((weights.shape[1], flat.shape[1]))
    np.add.at(sums, woman, flat)
    return (weights @ sums).reshape(len(weights), *cells.shape[1:])
