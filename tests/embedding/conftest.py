"""Shared by the tests of the embedding package: backbones, shipped samples, the real mammograms."""

from pathlib import Path

import pytest

from course_utils.embedding import Backbone, load_backbone
from course_utils.imaging.datasets import real_mammograms, sample_cohort


@pytest.fixture(scope="session")
def lite0() -> Backbone:
    return load_backbone("efficientnet_lite0", weights="imagenet")


@pytest.fixture(scope="session")
def samples() -> list[Path]:
    return list(sample_cohort()["path"])


@pytest.fixture(scope="session")
def real() -> list[Path]:
    return list(real_mammograms()["path"])
