"""Shared by the tests of the embedding package: backbones, shipped samples, the real mammograms."""

from pathlib import Path

import pytest

from course_utils.embedding import Backbone, EmbeddingExtractor, Extraction, load_backbone
from course_utils.imaging import Preprocessor
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


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, samples: list[Path]) -> tuple[list[Path], list[str]]:
    """Return ten files in order, the fourth of which is no mammogram, and their names."""
    broken = tmp_path_factory.mktemp("archive") / "broken.dcm"
    broken.write_bytes(b"no mammogram")
    paths = [*samples[:3], broken, *samples[3:9]]
    return paths, [f"{number}/{path.name}" for number, path in enumerate(paths)]


@pytest.fixture(scope="session")
def alone(archive: tuple[list[Path], list[str]], lite0: Backbone) -> Extraction:
    """Return what one process makes of the archive, deterministically and at 224 pixels."""
    paths, names = archive
    extractor = EmbeddingExtractor(lite0, device="cpu", deterministic=True)
    return extractor.extract(paths, Preprocessor(size=224), names=names, progress=False)
