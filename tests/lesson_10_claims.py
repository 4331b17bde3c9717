"""What lesson 10 says of its 96 women, measured on any cohort, and which of it holds there.

Vectors, thumbnails and the truth go in; numbers come out, made as in the lesson, and `CLAIMS` says in one
sentence each what must be true of them. Words such as "no more than chance" have their bounds here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils.analysis.probing import label_curve, probe
from course_utils.imaging.thumbnails import read_pictures

Measured = dict[str, float]
LINEAR = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
NEAREST = KNeighborsClassifier(1)


def measure(vectors: np.ndarray, pictures: Sequence[bytes], truth: pd.DataFrame, tries: int = 10) -> Measured:
    """Return what the lesson measures.

    Args:
        vectors: `(N, D)`.
        pictures: the thumbnails.
        truth: a row per image, with `woman` and what is known of her.
        tries: how many coins are tossed, and how often first women are drawn; a multiple for intervals.
    """
    found: Measured = {}
    for part in (_splits, _choices, _beside, _bias, _probabilities, _few_labels):
        found |= part(vectors, pictures, truth, tries)
    return found


def unmet(found: Measured) -> list[str]:
    """Return the claims that do not hold."""
    return [claim for claim, holds in CLAIMS.items() if not holds(found)]


CLAIMS: dict[str, Callable[[Measured], bool]] = {
    "a coin is a coin if women are kept together": lambda m: (
        abs(m["coin linear by woman"] - 0.5) < 0.06 and abs(m["coin nearest by woman"] - 0.5) < 0.06
    ),
    "a coin can be read if images are shuffled, by the nearest neighbour best": lambda m: (
        m["coin linear by image"] > m["coin linear by woman"] + 0.04
        and m["coin nearest by image"] > m["coin nearest by woman"] + 0.1
    ),
    "shuffling lifts density and vendor": lambda m: (
        min(
            m[f"{target} {model} by image"] - m[f"{target} {model} by woman"]
            for target in ("density", "vendor")
            for model in ("linear", "nearest")
        )
        > 0
    ),
    "shuffled, the side is read worse than by tossing a coin": lambda m: (
        m["side nearest by image"] < 0.45 and m["side linear by image"] < 0.48
    ),
    "an image's nearest neighbour is often the same woman's other breast": lambda m: m["other breast"] > 0.2,
    "columns chosen by the label before the split lift a coin, and density": lambda m: (
        m["coin columns before"] > 0.58 and m["density columns before"] > m["density columns inside"] + 0.02
    ),
    "columns chosen inside do not lift a coin": lambda m: abs(m["coin columns inside"] - 0.5) < 0.07,
    "components before the split lift nothing": lambda m: (
        abs(m["coin components before"] - m["coin components inside"]) < 0.05
        and m["density components before"] < m["density components inside"] + 0.05
    ),
    "for density the network does better than its rivals": lambda m: (
        m["density"] > max(m["density mean gray"], m["density histogram"], m["density thickness"]) + 0.05
    ),
    "the histogram knows the vendor better than the network does": lambda m: (
        m["vendor histogram"] > m["vendor"] + 0.08
    ),
    "the glandular share is read as a number": lambda m: m["glandular share"] > 0.75,
    "an interval over images is too narrow": lambda m: m["width over images"] < 0.92 * m["width over women"],
    "tied to density, the vendor is read backwards where the bias is reversed": lambda m: (
        m["vendor at 1.0, the same"] > 0.8 and m["vendor at 1.0, reversed"] < 0.4
    ),
    "one woman in five who breaks the rule is not enough": lambda m: m["vendor at 0.8, reversed"] < 0.55,
    "without a bias there is nothing to reverse": lambda m: (
        min(m["vendor at 0.5, the same"], m["vendor at 0.5, reversed"]) > 0.55
    ),
    "tied to the vendor, density loses little": lambda m: m["dense at 1.0, reversed"] > 0.68,
    "one accuracy, and probabilities worth three times as much": lambda m: (
        abs(m["accuracy at 1"] - m["accuracy at 10"]) < 0.06 and m["error at 1"] > 2.5 * m["error at 10"]
    ),
    "let loose, a model is surer than it should be": lambda m: m["error at 1000"] > m["error at 10"],
    "five women give about twice what chance does": lambda m: m["5 women"] > 0.45,
    "more women give more": lambda m: m["40 women"] > m["5 women"] + 0.1,
    "in one try, the margin may look like a gain or like a loss": lambda m: 0 < m["tries the margin won"] < 1,
    "no strategy and no model beats plain logistic regression beyond its noise": lambda m: m["gain"] < 3,
}


def _score(model, vectors, labels, woman, *, by_woman, seed):
    split = (StratifiedGroupKFold if by_woman else StratifiedKFold)(5, shuffle=True, random_state=seed)
    said = cross_val_predict(model, vectors, labels, groups=woman, cv=split)
    return balanced_accuracy_score(labels, said)


def _tossed(owner: np.ndarray, seed: int) -> np.ndarray:
    women = int(owner.max()) + 1
    return np.random.default_rng(seed).permutation(np.resize(["heads", "tails"], women))[owner]


def _splits(vectors: np.ndarray, pictures: Sequence[bytes], truth: pd.DataFrame, tries: int) -> Measured:
    owner, found, splits = np.unique(truth["woman"], return_inverse=True)[1], {}, min(3, tries // 2)
    asked = {name: [truth[name].to_numpy()] * splits for name in ("density", "vendor")}
    asked["side"] = [truth["laterality"].to_numpy()] * splits
    asked["coin"] = [_tossed(owner, seed) for seed in range(tries)]
    for target, columns in asked.items():
        for name, model in (("linear", LINEAR), ("nearest", NEAREST)):
            for by in ("woman", "image"):
                scores = [
                    _score(model, vectors, labels, owner, by_woman=by == "woman", seed=seed)
                    for seed, labels in enumerate(columns)
                ]
                found[f"{target} {name} by {by}"] = float(np.mean(scores))
    alike = NearestNeighbors(n_neighbors=2).fit(vectors).kneighbors(vectors, return_distance=False)[:, 1]
    side = truth["laterality"].to_numpy()
    other = (owner[alike] == owner) & (side[alike] != side)
    return found | {"other breast": float(other.mean())}


def _choices(vectors: np.ndarray, pictures: Sequence[bytes], truth: pd.DataFrame, tries: int) -> Measured:
    few = truth.drop_duplicates("woman").groupby(["density", "vendor"]).head(2)["woman"]
    some = truth["woman"].isin(few).to_numpy()
    little = vectors[some][:, (vectors[some] != 0).mean(axis=0) > 0.5]
    owner, density = (
        np.unique(truth["woman"][some], return_inverse=True)[1],
        truth["density"].to_numpy()[some],
    )
    pca, found = PCA(20, svd_solver="full"), {}
    asked = {"coin": [_tossed(owner, seed) for seed in range(2 * tries)], "density": [density] * (tries // 2)}
    for target, columns in asked.items():
        rows = []
        for seed, labels in enumerate(columns):
            ways = (
                (LINEAR, SelectKBest(k=20).fit_transform(little, labels)),
                (make_pipeline(SelectKBest(k=20), LINEAR), little),
                (LINEAR, pca.fit_transform(little)),
                (make_pipeline(pca, LINEAR), little),
            )
            rows.append([_score(model, x, labels, owner, by_woman=True, seed=seed) for model, x in ways])
        names = ("columns before", "columns inside", "components before", "components inside")
        means = np.mean(rows, axis=0)
        found |= {f"{target} {name}": float(mean) for name, mean in zip(names, means, strict=True)}
    return found


def _beside(vectors: np.ndarray, pictures: Sequence[bytes], truth: pd.DataFrame, tries: int) -> Measured:
    simple, found = read_pictures(pictures), {}
    rivals = {
        "mean gray": simple.mean_gray,
        "histogram": simple.histogram,
        "thickness": truth["thickness_mm"],
    }
    fixed = {"groups": truth["woman"], "repeats": 2, "permutations": 0}
    for target in ("density", "vendor"):
        one = probe(vectors, truth[target], baselines=rivals, **fixed)
        found[target] = one.score.value
        found |= {
            f"{target} {name}": rival.scores[one.measure].value for name, rival in one.baselines.items()
        }
    share = probe(vectors, truth["volumetric_fraction"], **fixed)
    return found | {"glandular share": share.score.value} | _widths(vectors, truth, tries)


def _widths(vectors: np.ndarray, truth: pd.DataFrame, tries: int) -> Measured:
    """Return the widths of intervals of quadratic kappa, from drawing women and from drawing images."""
    owner, labels = np.unique(truth["woman"], return_inverse=True)[1], truth["density"].to_numpy()
    split = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    said = cross_val_predict(LINEAR, vectors, labels, groups=owner, cv=split)
    rows = [np.flatnonzero(owner == each) for each in range(int(owner.max()) + 1)]
    rng, kappas = np.random.default_rng(0), {"women": [], "images": []}
    for _ in range(40 * tries):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        for name, some in (("women", drawn), ("images", rng.integers(0, len(labels), len(labels)))):
            kappas[name].append(cohen_kappa_score(labels[some], said[some], weights="quadratic"))
    return {
        f"width over {name}": float(np.diff(np.percentile(values, [2.5, 97.5]))[0])
        for name, values in kappas.items()
    }


def _bias(vectors: np.ndarray, pictures: Sequence[bytes], truth: pd.DataFrame, tries: int) -> Measured:
    dense, vendor = truth["density"].isin(["c", "d"]).to_numpy(), truth["vendor"].to_numpy()
    of_each, found = truth.assign(dense=dense).drop_duplicates("woman").set_index("woman"), {}
    for name, target in (("vendor", vendor), ("dense", dense)):
        for dose in (0.5, 0.8, 1.0):
            rng, shares = np.random.default_rng(0), []
            for first, second in combinations(np.unique(vendor), 2):
                two = of_each[of_each["vendor"].isin([first, second])]
                agree = two["dense"] == (two["vendor"] == first)
                for _ in range(6):
                    alike, turned = (rng.permutation(two.index[agree == kind]) for kind in (True, False))
                    size = len(alike) // 2
                    many = round(dose * size)
                    groups = (np.r_[alike[:many], turned[: size - many]], alike[many:], turned[size - many :])
                    train, *others = (truth["woman"].isin(group).to_numpy() for group in groups)
                    model = LINEAR.fit(vectors[train], target[train])
                    shares.append([model.score(vectors[them], target[them]) for them in others])
            same, reverse = np.mean(shares, axis=0)
            found |= {f"{name} at {dose}, the same": same, f"{name} at {dose}, reversed": reverse}
    return found


def _probabilities(
    vectors: np.ndarray, pictures: Sequence[bytes], truth: pd.DataFrame, tries: int
) -> Measured:
    found = {}
    for knob in (1, 10, 1000):
        one = probe(vectors, truth["density"], groups=truth["woman"], setting=knob, repeats=2, permutations=0)
        found |= {
            f"accuracy at {knob}": one.score.value,
            f"error at {knob}": one.scores["calibration_error"].value,
        }
    return found


def _few_labels(vectors: np.ndarray, pictures: Sequence[bytes], truth: pd.DataFrame, tries: int) -> Measured:
    """Return what few women give, and the largest gain of anything over plain, in units of its noise."""
    same = {"groups": truth["woman"], "women": (5, 10, 20, 40), "repeats": tries}
    plain = label_curve(vectors, truth["density"], strategies=("random", "margin", "diverse"), **same)
    values = dict(plain.values)
    for model in ("knn", "spread", "self_training"):
        curve = label_curve(vectors, truth["density"], model=model, strategies=("random",), **same)
        values[model] = curve.values["random"]
    base, gains = np.array(values.pop("random")), []
    for name, table in values.items():
        gain = np.array(table) - base
        # Repeats share their women: see `few_labels` (Nadeau and Bengio 2003).
        noise = gain.std(axis=0, ddof=1) * np.sqrt(1 / len(gain) + 0.3 / 0.7)
        first = 1 if name in plain.values else 0  # strategies begin with the same women
        gains.append((gain.mean(axis=0)[first:] / np.maximum(noise[first:], 1e-9)).max())
    means = base.mean(axis=0)
    named = {f"{women} women": float(mean) for women, mean in zip(plain.women, means, strict=True)}
    won = (np.array(values["margin"]) > base)[:, 2].mean()  # at 20 women
    return named | {"gain": float(max(gains)), "tries the margin won": float(won)}
