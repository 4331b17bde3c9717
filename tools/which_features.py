"""Which network, which layer, which pooling? Probes of one cohort, for `docs/which-features.md`.

Sixty women are drawn as for `data_samples/vectors`; each way to make vectors of their images is asked the
same questions in the same folds. Nothing is kept but the page (`make which-features`).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import vector_cohort
from numpy.typing import NDArray

from course_utils.analysis.probing import Probe, probe
from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.files import write_atomic
from course_utils.imaging import Preprocessor, read_mammogram

PAGE = Path(__file__).resolve().parent.parent / "docs" / "which-features.md"
WOMEN, SEED = 60, 0
TARGETS = {"density": "density", "vendor": "vendor", "view": "view", "volumetric_fraction": "glandular share"}
LAST = "last"


@dataclass(frozen=True)
class Features:
    """A way to make vectors: a network with its weights, stopped at a layer, pooled.

    Attributes:
        backbone: as in `course embed --backbone`.
        layer: as in `--layer`; None for the last before the classifier.
        pool: as in `--pool`.
        weights: `"imagenet"` or `"random"`.
    """

    backbone: str = "efficientnet_lite0"
    layer: str | None = None
    pool: str = "mean"
    weights: str = "imagenet"


CHOICES = (
    *(Features(layer=f"network._blocks.{block}") for block in (2, 4, 10, 15)),
    Features(),
    *(Features(layer="network._blocks.10", pool=pool) for pool in ("max", "gem", "multi")),
    *(Features(pool=pool) for pool in ("max", "gem", "multi")),
    Features(weights="random"),
    Features("torchvision:resnet18", weights="random"),
)
"""EfficientNet-Lite0 by depth, then by pooling at two depths; then networks that have learnt nothing."""


def pictures(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Return the preprocessed images (N, 1, 512, 512), which are the same for every network."""
    prepare = Preprocessor()
    return np.stack([prepare(read_mammogram(path)) for path in paths])


def embed(images: NDArray[np.float32], choice: Features) -> NDArray[np.float32]:
    """Return one vector for each image (N, D)."""
    backbone = load_backbone(choice.backbone, weights=choice.weights, layer=choice.layer, pool=choice.pool)
    vectors: NDArray[np.float32] = EmbeddingExtractor(backbone, device="cpu", batch_size=8).embed(images)
    return vectors


def ask(vectors: NDArray[np.floating], truth: pd.DataFrame) -> list[Probe]:
    """Return a probe for each target, all in the same folds of women."""
    groups = truth["woman"]
    return [probe(vectors, truth[name], groups=groups, repeats=3, permutations=0) for name in TARGETS]


def histogram(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the share of each image's pixels above 0 in each of 32 bins of gray (N, 32)."""
    counts = np.array([np.histogram(image[image > 0], 32, (0, 1))[0] for image in images], float)
    shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return shares


def row(choice: Features, dims: int, asked: Sequence[Probe]) -> tuple[str, ...]:
    """Return a row of the table."""
    network = f"`{choice.backbone}`" + (", **random weights**" if choice.weights == "random" else "")
    layer = f"`{choice.layer}`" if choice.layer else LAST
    return (network, layer, f"`{choice.pool}`", str(dims), *map(_words, asked))


def _words(one: Probe) -> str:
    score = one.score
    return f"{score.value:.2f} ({score.low:.2f}–{score.high:.2f})"


def page(rows: Sequence[tuple[str, ...]], *, images: int, women: int, minutes: float) -> str:
    """Return the page."""
    heads = ("network", "`--layer`", "`--pool`", "length", *TARGETS.values())
    lines = [heads, ("---",) * len(heads), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return TEXT.format(table=table, images=images, women=women, minutes=max(1, round(minutes)))


TEXT = """\
# Which features: network, layer, pooling

Written by `make which-features`; do not edit.

`course embed --backbone … --layer … --pool …` makes vectors in many ways. Here is what can be read off some
of them: {images} synthetic mammograms of {women} women, those of `data_samples/vectors`, and the same probes
(logistic and ridge regression) in the same folds of women. For density, vendor and view the score is balanced
accuracy (chance: 0.25, 0.33 and 0.50); for the share of glandular tissue it is R² (guessing the mean: 0). The
brackets hold 95% intervals from resampling women. Making this page took {minutes} minutes.

A layer has the name that PyTorch gives it: `network._blocks.10` is the eleventh of EfficientNet-Lite0's 16
blocks, and *last* is the default, just before the classifier. A layer's maps become a vector by their `mean`,
their `max`, a mean that leans towards large numbers (`gem`), or the means of the whole and of its four
quarters, one after the other (`multi`). *Length* is how many numbers the vector has.

{table}

How to read it:

- **Intervals are wide.** With {women} women, rows that differ by a few hundredths cannot be told apart.
- **The best row is no discovery.** It was chosen by its score, on the labels that it was scored with. Ask the
  rows that you mean to compare again, on women whom you have not looked at (lesson 09).
- **The last row is a histogram** of 32 bins of gray, without a network. Where it does as well, the network
  has added nothing (lesson 10).
- **Random weights have learnt nothing.** Their rows show what any stack of convolutions gives when it is
  pooled; each is one draw of the weights. Networks other than EfficientNet-Lite0 appear here with random
  weights, since this page is made offline: it says nothing about their ImageNet weights. Where these can be
  fetched, `course embed --backbone torchvision:NAME` or `timm:NAME` and `course probe` ask the same of them.
- **Synthetic women.** What can be read best here need not be what can be read best in your archive. Use
  `course probe` on a run of your own to see what holds there.
"""


def main() -> int:
    """Draw the women, ask everything, write the page."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        truth = vector_cohort.draw(Path(scratch), WOMEN, SEED)
        images = pictures([Path(scratch) / file for file in truth["file"]])
    rows = []
    for choice in CHOICES:
        vectors = embed(images, choice)
        rows.append(row(choice, vectors.shape[1], ask(vectors, truth)))
        print(*rows[-1], file=sys.stderr)
    gray = histogram(images)
    rows.append(("none: a histogram", "", "", str(gray.shape[1]), *map(_words, ask(gray, truth))))
    minutes = (time.monotonic() - start) / 60
    text = page(rows, images=len(truth), women=WOMEN, minutes=minutes)
    write_atomic(PAGE, text.encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
