"""Count how often clusters are claimed where there are none, and found where there are.

Each family draws 60 women with four images each, as vectors without clusters; the cohort that ships with the
course has two, its views. `make bench-verdicts` writes what is claimed of them over many seeds to
docs/benchmarks/verdicts.md: by the held-out valley, which gives the verdict of `evaluate`, and by the
silhouette beside it.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_utils import provenance
from course_utils.analysis import cluster, validity, valley
from course_utils.analysis.fitting import Method, fit
from course_utils.analysis.nulls import gaussian_cloud, silhouette
from course_utils.files import write_atomic
from course_utils.runs import Extraction

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "verdicts.md"
COHORT = ROOT / "data_samples" / "vectors"
WOMEN, IMAGES, DIMS = 60, 4, 40
KS, COHORT_KS = (2, 4), (2, 3, 4, 6)
FEWER = (40, 30, 24, 20, 16)
FEWEST = validity.FEWEST
CLOUDS = 19  # the silhouette stands out if it beats them all: 1 in 20 by chance
MOST_ALARMS = 0.1
METHODS: tuple[Method, ...] = ("gmm", "ward", "hdbscan")

Draw = Callable[[np.random.Generator], NDArray[np.float64]]
WOMAN = np.repeat(np.arange(WOMEN), IMAGES)
SCALE = np.arange(1, DIMS + 1) ** -0.7
"""The standard deviations of a cloud whose first directions are the longest, as those of embeddings are."""


def images(rng: np.random.Generator, common: float, dims: int = DIMS) -> NDArray[np.float64]:
    """Draw Gaussian numbers (240, dims); the share `common` of their variance is that of the woman."""
    hers = rng.standard_normal((WOMEN, dims))[WOMAN]
    return np.sqrt(common) * hers + np.sqrt(1 - common) * rng.standard_normal((len(WOMAN), dims))


def heavy_tails(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw from an elliptic t distribution with 3 degrees of freedom, one scale for each woman."""
    scale = np.sqrt(rng.chisquare(3, WOMEN) / 3)[WOMAN, None]
    return images(rng, 0.5) * SCALE / scale


def rectified(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw ten factors, mix them and cut off what is negative: nearest to pooled activations."""
    return np.maximum(images(rng, 0.6, 10) @ rng.standard_normal((10, DIMS)), 0)


def line(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw women evenly along a line, a little off it."""
    along = np.outer(6 * rng.random(WOMEN)[WOMAN], np.eye(DIMS)[0])
    return along + 0.3 * images(rng, 0) * SCALE


def arc(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw women evenly along half a circle, a little off it."""
    turn = np.pi * rng.random(WOMEN)[WOMAN]
    there = np.zeros((len(WOMAN), DIMS))
    there[:, 0], there[:, 1] = 3 * np.cos(turn), 3 * np.sin(turn)
    return there + 0.3 * images(rng, 0) * SCALE


def with_outliers(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a cloud, and send the images of two women six times as far out."""
    vectors = images(rng, 0.5) * SCALE
    vectors[: 2 * IMAGES] *= 6
    return vectors


FAMILIES: dict[str, Draw] = {
    "Gaussian, round": lambda rng: images(rng, 0),
    "Gaussian, falling spectrum": lambda rng: images(rng, 0) * SCALE,
    "Gaussian, one long axis": lambda rng: images(rng, 0) * np.where(np.arange(DIMS) == 0, 5.0, 1.0),
    "women alike, correlation 0.5": lambda rng: images(rng, 0.5) * SCALE,
    "women alike, correlation 0.8": lambda rng: images(rng, 0.8) * SCALE,
    "elliptic t, 3 degrees of freedom": heavy_tails,
    "lognormal": lambda rng: np.exp(images(rng, 0.5) * SCALE),
    "ten factors, rectified": rectified,
    "along a line": line,
    "along an arc": arc,
    "two women far out": with_outliers,
}


class Claims(NamedTuple):
    """What was claimed of one data set."""

    valley: bool
    silhouette: bool | None = None
    by_woman: bool | None = None


def claims(
    name: str, seed: int, k: int | None, *, method: Method = "kmeans", silhouettes: bool = False
) -> Claims:
    """Return what is claimed of a family's data set with this seed; without k, HDBSCAN finds it."""
    vectors = FAMILIES[name](np.random.default_rng([seed, list(FAMILIES).index(name)]))
    found = cluster(vectors, method, k=k or "auto", seed=seed)
    separate = valley(vectors, found, groups=WOMAN, seed=seed).found
    if not silhouettes:
        return Claims(separate)
    space = vectors - vectors.mean(axis=0)
    params = found.params | {"n_init": 3}
    rng = np.random.default_rng([seed, 99])

    def score(points: NDArray[np.float64]) -> float:
        return silhouette(points, fit(points, method, params, seed).labels)

    observed, stands_out = score(space), []
    for groups in (None, WOMAN):
        cloud = gaussian_cloud(space, groups)
        stands_out.append(all(score(cloud(rng)) < observed for _ in range(CLOUDS)))
    return Claims(separate, *stands_out)


def view_found(
    seed: int, k: int | None, women: int = WOMEN, *, method: Method = "kmeans"
) -> tuple[bool, bool]:
    """Return whether the cohort's views are found as two clusters, and whether anything else is claimed."""
    validity.FEWEST = min(FEWEST, women)  # also those who are not asked otherwise
    vectors, known = cohort()
    drawn = np.random.default_rng(seed).choice(sorted(set(known["woman"])), women, replace=False)
    kept = known["woman"].isin(drawn).to_numpy()
    found = cluster(vectors[kept], method, k=k or "auto", seed=seed)
    judged = valley(vectors[kept], found, groups=known["woman"][kept], seed=seed)
    parts = {label: number for number, part in enumerate(judged.parts) for label in part}
    of_image = pd.Series([parts.get(int(label), -1) for label in found.labels])
    member = (of_image >= 0).to_numpy()
    views = pd.crosstab(of_image[member].to_numpy(), known["view"][kept].to_numpy()[member]).to_numpy()
    both = views.shape == (2, 2) and (views.max(axis=1) >= 0.95 * views.sum(axis=1)).all()
    return bool(judged.found and both), bool(judged.found and not both)


@functools.cache
def cohort() -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Return the vectors of the cohort that ships with the course, and the truth about its images."""
    return Extraction.read(COHORT).vectors, pd.read_csv(COHORT / "manifest.csv")


def _call(task: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]) -> Any:
    function, values, named = task
    return function(*values, **named)


class Results(NamedTuple):
    """Everything that the page tells; a list has one entry per seed."""

    alarms: dict[tuple[str, int], list[Claims]]
    others: dict[Method, list[Claims]]
    cohort: dict[int, list[tuple[bool, bool]]]
    fewer: dict[int, list[tuple[bool, bool]]]
    other_cohort: dict[Method, list[tuple[bool, bool]]]


def measure(seeds: int) -> Results:
    """Run everything, on all cores."""
    few = range(max(2, seeds // 4))
    plan: list[tuple[Any, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]] = []
    for seed in range(seeds):
        for name in FAMILIES:
            plan += [(("alarm", (name, k)), (claims, (name, seed, k), {"silhouettes": True})) for k in KS]
        plan += [(("cohort", k), (view_found, (seed, k), {})) for k in COHORT_KS]
        plan += [(("fewer", women), (view_found, (seed, 2, women), {})) for women in FEWER]
    for method in METHODS:
        k = None if method == "hdbscan" else 3
        for seed in few:
            plan += [(("other", method), (claims, (name, seed, k), {"method": method})) for name in FAMILIES]
            plan.append((("other cohort", method), (view_found, (seed, k), {"method": method})))
    found: dict[Any, list[Any]] = {}
    with multiprocessing.get_context("spawn").Pool() as pool:
        for (key, _), result in zip(plan, pool.imap(_call, (task for _, task in plan)), strict=True):
            found.setdefault(key, []).append(result)

    def of(kind: str) -> dict[Any, list[Any]]:
        return {key: values for (each, key), values in found.items() if each == kind}

    return Results(of("alarm"), of("other"), of("cohort"), of("fewer"), of("other cohort"))


def _count(values: list[bool]) -> str:
    return f"{sum(values)}"


def page(results: Results, seeds: int, seconds: float) -> str:
    """Return the page in Markdown."""
    lines = []
    for name in FAMILIES:
        cells = [name]
        for field in Claims._fields:
            cells += [_count([getattr(one, field) for one in results.alarms[name, k]]) for k in KS]
        lines.append(f"| {' | '.join(cells)} |")
    worst = max(np.mean([one.valley for one in values]) for values in results.alarms.values())
    kept = "kept" if worst <= MOST_ALARMS else "**missed**"
    view = [
        f"| 60 | {k} | {_count([one for one, _ in values])} | {_count([other for _, other in values])} |"
        for k, values in results.cohort.items()
    ] + [
        f"| {women} | 2 | {_count([one for one, _ in values])} | {_count([other for _, other in values])} |"
        for women, values in results.fewer.items()
    ]
    others = [
        f"| {method} | {_count([one.valley for one in results.others[method]])} of "
        f"{len(results.others[method])} | {_count([one for one, _ in results.other_cohort[method]])} of "
        f"{len(results.other_cohort[method])} |"
        for method in METHODS
    ]
    power = "kept" if all(all(one for one, _ in each) for each in results.cohort.values()) else "**missed**"
    newline = "\n"
    return f"""# Verdicts: how often clusters are claimed where there are none, and found where there are

Written by `make bench-verdicts`; do not edit.

Each family is a way to draw 60 women with four images each, as vectors of 40 numbers, **without any
clusters**. {seeds} data sets of each were cut into 2 and into 4 clusters by k-means. The table counts how
many of the {seeds} were nevertheless said to have some, at the level 0.05:

- **valley**: "separate clusters", the verdict of `evaluate`. Half of the women make the clusters, the others
  are asked whether a valley lies between them.
- **silhouette**: higher than in {CLOUDS} Gaussian clouds of the same covariance, every image counted as
  independent.
- **by woman**: the same with clouds in which the images of a woman are as alike as in the data. `evaluate`
  quotes this one, and calls what beats it "more than a Gaussian cloud, but not yet clusters".

Machine: {machine()}; {seconds / 60:.0f} minutes.

| no clusters | valley, k = 2 | k = 4 | silhouette, k = 2 | k = 4 | by woman, k = 2 | k = 4 |
|---|---|---|---|---|---|---|
{newline.join(lines)}

The aim is at most {MOST_ALARMS:.0%} for the valley; the worst family has {worst:.0%}: {kept}. The silhouette
says whether the data are a Gaussian cloud, and heavy tails, factors that are cut off and a bend are none. By
woman it says so of women who are alike, too; of clusters it says nothing.

## Where there are clusters

The cohort of `data_samples/vectors` (240 images of 60 women) has two clusters for certain, CC and MLO.
Counted is how often, of {seeds} seeds, exactly these two are called separate, and how often anything else is.
With fewer women, each seed draws others.

| women | k | the views | anything else |
|---|---|---|---|
{newline.join(view)}

The aim is {seeds} of {seeds} with all women: {power}. Fewer than {FEWEST} women are asked for this table
only: `evaluate` says instead that they are too few.

## Other methods

With k = 3 (HDBSCAN finds it itself), over all families, and on the cohort:

| method | claimed where there are none | the views found |
|---|---|---|
{newline.join(others)}

What the valley cannot do: clusters that touch have none, and few images beside many leave a shallow one,
since a dip is at most half of the smaller side's share.
"""


def machine() -> str:
    """Name the machine and the versions of what was measured."""
    here = provenance.machine()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn"))
    return (
        f"{here['processor']}, {here['cores']} cores, {platform.system()}; Python "
        f"{platform.python_version()}, {packages}; {date.today()}"
    )


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40, help="data sets of each family (default: 40)")
    parser.add_argument("-o", "--output", type=Path, default=PAGE, help="the page to write")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores
    clock = time.perf_counter()
    results = measure(arguments.seeds)
    write_atomic(arguments.output, page(results, arguments.seeds, time.perf_counter() - clock).encode())
    print(f"Written: {arguments.output}")


if __name__ == "__main__":
    main()
