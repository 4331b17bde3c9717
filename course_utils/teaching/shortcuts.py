"""What lesson 02 holds the right way against: Otsu's threshold, a centre cut, ten more ways to a square.

In: a `Mammogram`, or vectors of many. Out: what a shortcut makes of it, or how much of what is known nearest
neighbours share.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from course_utils.imaging import Mammogram, Preprocessor, read_mammogram
from course_utils.imaging.preprocess import resize_area
from course_utils.phantoms import Phantom, Rendering

Array = NDArray[Any]
Way = Callable[[Mammogram], Array]
"""Makes a picture `(size, size)` of a mammogram."""


def taken(phantom: Phantom) -> tuple[Mammogram, Rendering]:
    """Write a synthetic mammogram as a DICOM file and read it, as if from a clinic; return its truth too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "phantom.dcm"
        truth = phantom.write(path)
        return read_mammogram(path), truth


def mirrored(mammogram: Mammogram) -> Mammogram:
    """Return the mirror image, as if it were the other breast."""
    side = {"L": "R", "R": "L", None: None}[mammogram.laterality]
    return replace(mammogram, pixels=np.ascontiguousarray(mammogram.pixels[:, ::-1]), laterality=side)


def otsu(pixels: Array) -> float:
    """Return Otsu's threshold of pixels in [0, 1], found in 256 levels."""
    levels = np.rint(255 * pixels).astype(np.uint8)
    return float(cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]) / 255


def centre_cut(shape: tuple[int, int]) -> list[int]:
    """Return what the recipe for photographs keeps: top, bottom, left, right, the last of each not included.

    It resizes the shorter side to 256 and cuts 224 × 224 out of the centre.
    """
    side = min(shape) * 224 / 256
    return [round((n + sign * side) / 2) for n in shape for sign in (-1, 1)]


def filled(picture: Array, **how: Any) -> Array:
    """Fill a picture that is taller than wide up to a square on the right; `how` is for `np.pad`."""
    return np.pad(picture, ((0, 0), (0, len(picture) - picture.shape[1])), **how)


def before_padding(mammogram: Mammogram, right: Preprocessor) -> Array:
    """Return the picture after the last step but one: `size` pixels high, and as wide as the breast."""
    return [*right.trace(mammogram).values()][-2]


def shortcuts(right: Preprocessor) -> dict[str, Way]:
    """Return ten ways to make a square that are not the right one, by name."""
    size = right.size

    def to_left(picture: Array, mammogram: Mammogram) -> Array:
        return picture[:, ::-1] if mammogram.laterality == "R" else picture

    def cut_out(mammogram: Mammogram) -> Array:
        top, bottom, left, right_end = centre_cut(mammogram.pixels.shape)
        return to_left(resize_area(mammogram.pixels[top:bottom, left:right_end], (size, size)), mammogram)

    def nearest(mammogram: Mammogram) -> Array:
        rows, columns = before_padding(mammogram, right).shape
        crop = right.trace(mammogram)["crop"]
        picture = cv2.resize(crop, (columns, rows), interpolation=cv2.INTER_NEAREST)
        return filled(to_left(picture, mammogram)) * (right(mammogram)[0] > 0)

    def centred(mammogram: Mammogram) -> Array:
        room = size - before_padding(mammogram, right).shape[1]
        return np.roll(right(mammogram)[0], room // 2, axis=1)

    def by_tiles(mammogram: Mammogram) -> Array:
        levels = np.rint(255 * right(mammogram)[0]).astype(np.uint8)
        return cv2.createCLAHE(2.0, (8, 8)).apply(levels) / 255

    return {
        "no mask, no crop": lambda one: replace(right, mask=False, crop=False)(one)[0],
        "centre cut": cut_out,
        "flipped": lambda one: right(one)[0, :, ::-1],
        "nearest neighbour": nearest,
        "stretched": lambda one: replace(right, keep_aspect=False)(one)[0],
        "mirrored padding": lambda one: filled(before_padding(one, right), mode="symmetric"),
        "gray padding": lambda one: filled(before_padding(one, right), constant_values=0.5),
        "padding on both sides": centred,
        "one scale for all": lambda one: replace(right, mm_per_pixel=1.1)(one)[0],
        "CLAHE": by_tiles,
    }


def share_of_alike(vectors: Array, values: Array, women: Array) -> float:
    """Return for which share of images the nearest one of another woman has the same value.

    Args:
        vectors: `(N, D)`, each of length 1.
        values: `(N,)`, what is asked for.
        women: `(N,)`, whose each image is.
    """
    strangers = women[:, np.newaxis] != women
    near = np.where(strangers, vectors @ vectors.T, -1).argmax(axis=1)
    return float((values[near] == values).mean())


def told_apart(right: Array, treated: Array, women: Array, *, halvings: int = 20) -> float:
    """Return how often the nearest neighbour was treated alike, if half of the women were treated so.

    Args:
        right: `(N, D)` vectors of pictures made in the right way, each of length 1.
        treated: `(N, D)`, the same made in another way.
        women: `(N,)`, whose each image is.
        halvings: how many times the women are halved; the mean over them comes back.
    """
    names, found = np.unique(women), []
    for seed in range(halvings):
        half = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
        hers = np.isin(women, half)
        mixed = np.where(hers[:, np.newaxis], treated, right)
        found.append(share_of_alike(mixed, hers, women))
    return float(np.mean(found))
