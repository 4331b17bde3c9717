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


# --- what is wrong with films, on a picture float32 (H, W) with the chest wall at the left ---


def fog(picture: np.ndarray) -> np.ndarray:
    """Return a veiled film in a black frame: the fog's level rises downwards, and it has grain."""
    height, width = picture.shape
    down = np.linspace(0, 1, height)[:, np.newaxis]
    grain = np.random.default_rng(0).normal(0, 0.001, picture.shape)
    veiled = np.clip(picture + 0.008 + 0.02 * down**2 + grain, 0, 1)
    framed = np.pad(veiled, [(0, 0), (width // 4, width // 4)])  # chest wall and all
    return framed.astype(np.float32)


def fading_fog(picture: np.ndarray) -> np.ndarray:
    """Return a film on which a bright patch above the breast fades away in all directions."""
    y, x = np.mgrid[: len(picture), : picture.shape[1]] / len(picture)
    patch = 0.015 * np.exp(-(((y - 0.15) / 0.15) ** 2) - ((x - 0.3) / 0.25) ** 2)
    return np.clip(picture + patch, 0, 1).astype(np.float32)


def scan_band(picture: np.ndarray) -> np.ndarray:
    """Return a film whose upper rows were scanned with more gray in them, under a white stripe."""
    height = len(picture)
    banded = picture.copy()
    banded[: round(0.09 * height)] = 0.8 * banded[: round(0.09 * height)] + 0.015
    banded[: round(0.01 * height)] = 0.9
    return banded


def light_leak(picture: np.ndarray) -> np.ndarray:
    """Return a film exposed along the chest wall: the light fades within a sixth of the width."""
    fading = np.clip(1 - np.arange(picture.shape[1]) / (picture.shape[1] / 6), 0, None)
    return np.clip(picture + 0.35 * fading**2, 0, 1).astype(np.float32)


def flag(picture: np.ndarray, at: tuple[int, int]) -> np.ndarray:
    """Put a white flag with dark letters on a picture, its upper left corner `at` (y, x); returns where."""
    height, width = (round(share * len(picture)) for share in (0.12, 0.09))
    drawn = np.full((height, width), 250, np.uint8)
    for text, line in (("R", 0.45), ("ML", 0.9)):
        corner = round(0.15 * width), round(line * height)
        cv2.putText(drawn, text, corner, cv2.FONT_HERSHEY_SIMPLEX, width / 60, 60, max(1, width // 30))
    there = np.zeros(picture.shape, bool)
    there[at[0] : at[0] + height, at[1] : at[1] + width] = True
    picture[there] = (drawn[: there.any(axis=1).sum(), : there.any(axis=0).sum()] / 255).ravel()
    return there


def strands(picture: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Return a digital picture in which white strands of all lengths leave the chest wall."""
    rng = np.random.default_rng(0)
    height, width = picture.shape
    long = np.repeat(rng.integers(1, round(0.06 * width), 1 + height // 6), 6)[:height, np.newaxis]
    return np.where(tissue & (np.arange(width) < long), np.float32(0.97), picture)
