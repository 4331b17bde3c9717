"""Drawn breasts whose truth is known, for the tests of mask and preprocessor."""

import cv2
import numpy as np

from course_utils.imaging import Mammogram


def mammogram(pixels: np.ndarray, laterality: str | None = None) -> Mammogram:
    """Return a mammogram of which nothing is known but its pixels and perhaps its side."""
    return Mammogram(pixels.astype(np.float32), "img-0", None, None, laterality, None, "none")


def scene(
    height: int = 900, width: int = 700, *, ground: float = 0, noise: float = 0, tall: float = 0.38
) -> tuple[np.ndarray, np.ndarray]:
    """Return a left breast with a nipple and thin skin, float32 `(height, width)`, and where it is, bool.

    `ground` is the gray around it, `noise` a standard deviation, `tall` half its height, as a fraction
    of the image's.
    """
    y, x = np.mgrid[:height, :width] / height
    distance = 1 - np.sqrt(((y - 0.5) / tall) ** 2 + (x / 0.45) ** 2)
    tissue = (distance > 0) | (((y - 0.5) / 0.02) ** 2 + ((x - 0.46) / 0.02) ** 2 < 1)
    gland = 0.4 * np.exp(-(((y - 0.5) / 0.12) ** 2) - ((x - 0.2) / 0.12) ** 2)
    bright = np.where(tissue, ground + 0.06 + 0.3 * np.sqrt(np.clip(distance, 0, 0.3) / 0.3) + gland, ground)
    bright += np.random.default_rng(0).normal(0, noise, bright.shape) if noise else 0
    return np.clip(bright, 0, 1).astype(np.float32), tissue


def label(picture: np.ndarray, text: str = "LCC", at: tuple[int, int] = (500, 110)) -> np.ndarray:
    """Burn white text into a picture, its lower left corner `at` (x, y); returns where it is."""
    drawn = np.zeros(picture.shape, np.uint8)
    cv2.putText(drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, 3, 1, 12)
    picture[drawn > 0] = 1
    return drawn > 0
