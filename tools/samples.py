"""Rebuild what ships in ``data_samples/``, byte for byte, from its seeds.

``python tools/samples.py`` writes; with ``--check`` it writes nothing, says which file differs, and then ends
with status 1. Another version of an encoder may pack the same values in other bytes: such a file is named,
but is not a failure, since its header and its pixels are what the seeds give. The README is written by hand,
except for the tables between its markers.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import variants
import vector_cohort
from pydicom.dataset import Dataset

from course_utils.phantoms import write_cohort

HERE = Path(__file__).resolve().parent.parent / "data_samples"
ROWS, WOMEN, SEED = 640, 12, 2024
FOLDERS = ("cohort", "variants", "broken")
VARYING = ("PixelData", "LossyImageCompressionRatio")
"""What another version of an encoder may write differently."""


def markdown(lines: list[tuple[str, ...]]) -> str:
    """Return rows of cells, the head first, as a Markdown table."""
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], ("---",) * len(lines[0]), *lines[1:]])


def cohort_table(manifest: pd.DataFrame) -> str:
    """Return the cohort's manifest as a Markdown table for the README."""
    lines: list[tuple[str, ...]] = [
        ("file", "density", "volumetric", "area", "view", "side", "thickness, mm", "vendor", "label")
    ]
    for row in manifest.to_dict("records"):
        fractions = (f"{row['volumetric_fraction']:.3f}", f"{row['area_density']:.3f}")
        view = (row["view"], row["laterality"], f"{row['thickness_mm']:.1f}")
        label = "yes" if row["label"] else "no"
        lines.append((f"`{row['file']}`", row["density"], *fractions, *view, row["vendor"], label))
    return markdown(lines)


def variants_table(manifest: pd.DataFrame) -> str:
    """Return the variants' manifest as a Markdown table for the README."""
    lines: list[tuple[str, ...]] = [("file", "what it is", "shown by", "same picture", "conformant")]
    for row in manifest.to_dict("records"):
        yes = ("yes" if row["same_as"] else "no", "yes" if row["conformant"] else "no")
        lines.append((f"`{row['file']}`", row["what"], row["voi"], *yes))
    return markdown(lines)


def broken_table(manifest: pd.DataFrame) -> str:
    """Return the broken files' manifest as a Markdown table for the README."""
    lines: list[tuple[str, ...]] = [("file", "what is wrong", "what `read_mammogram` says")]
    lines += [(f"`{row['file']}`", row["what"], row["reason"]) for row in manifest.to_dict("records")]
    return markdown(lines)


TABLES = {"cohort": cohort_table, "variants": variants_table, "broken": broken_table}


def with_tables(text: str, folder: Path) -> str:
    """Return the README's text with the tables of the manifests in ``folder`` between their markers."""
    for name, table in TABLES.items():
        manifest = pd.read_csv(folder / name / "manifest.csv", keep_default_na=False)
        begin, end = f"<!-- {name}: made by tools/samples.py -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = before + begin + table(manifest) + end + rest.split(end)[1]
    return text


def build(folder: Path) -> None:
    """Write the samples, their manifests and the README with its tables into ``folder``."""
    write_cohort(folder / "cohort", women=WOMEN, rows=ROWS, seed=SEED)
    with tempfile.TemporaryDirectory() as scratch:
        source = variants.source(Path(scratch))
    for name, write in (("variants", variants.write_variants), ("broken", variants.write_broken)):
        (folder / name).mkdir()
        write(folder / name, source)
    for name in vector_cohort.COHORTS:
        vector_cohort.write(folder / name)
    text = with_tables((HERE / "README.md").read_text(encoding="utf-8"), folder)
    (folder / "README.md").write_text(text, encoding="utf-8", newline="\n")


def unpacked(path: Path) -> tuple[Dataset, np.ndarray | None]:
    """Return a file's header without what depends on the packing, and its pixels if they can be decoded."""
    ds = pydicom.dcmread(path)
    pixels = None if path.parent.name == "broken" else ds.pixel_array.astype(int)
    for keyword in VARYING:
        if keyword in ds:
            del ds[keyword]
    return ds, pixels


def same_but_packed(ours: Path, theirs: Path) -> bool:
    """Tell whether two files differ only in how an encoder packed the pixels (or lost 2 gray levels more)."""
    try:
        (header, pixels), (their_header, their_pixels) = unpacked(ours), unpacked(theirs)
    except Exception:  # not DICOM, or not decodable: then it is not a matter of packing
        return False
    if header != their_header or not header.file_meta.TransferSyntaxUID.is_encapsulated:
        return False
    if pixels is None or their_pixels is None:
        return True
    lossy = header.get("LossyImageCompression") == "01"
    return pixels.shape == their_pixels.shape and bool(np.abs(pixels - their_pixels).max() <= 2 * lossy)


def differences(built: Path, shipped: Path) -> tuple[list[str], list[str]]:
    """Return sentences: on each file that is missing, left over or wrong, and on each packed differently."""
    made = {
        p.relative_to(built).as_posix()
        for p in built.rglob("*")
        if p.is_file() and p.relative_to(built).parts[0] not in vector_cohort.COHORTS
    }
    there = {
        p.relative_to(shipped).as_posix()
        for name in FOLDERS
        if (built / name).is_dir()
        for p in shipped.glob(f"{name}/*")
    }
    wrong = [f"{name}: not there" for name in sorted(made) if not (shipped / name).exists()]
    wrong += [f"{name}: nothing makes this file" for name in sorted(there - made)]
    packed: list[str] = []
    hashes: dict[bytes, bytes] = {}
    for name in sorted(made, key=lambda name: (name.endswith(".csv"), name)):  # manifests last
        if not (shipped / name).exists():
            continue
        ours, theirs = (built / name).read_bytes(), (shipped / name).read_bytes()
        if name.endswith(".csv"):
            for digest, other in hashes.items():
                ours = ours.replace(digest, other)
        if ours == theirs:
            continue
        if name.endswith(".dcm") and same_but_packed(built / name, shipped / name):
            packed.append(f"{name}: another version of its encoder packs the same values differently")
            hashes[_digest(ours)] = _digest(theirs)
        else:
            wrong.append(f"{name}: differs from what its seed gives")
    return wrong, packed


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def main(arguments: list[str] | None = None) -> int:
    """Build or check; return the exit status."""
    parser = argparse.ArgumentParser(description="Rebuild data_samples/ byte for byte from its seeds.")
    parser.add_argument("--check", action="store_true", help="compare only; status 1 if anything differs")
    check = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "data_samples"  # not the scratch folder: it is private
        build(built)
        if check:
            wrong, packed = differences(built, HERE)
            for name in vector_cohort.COHORTS:
                wrong += vector_cohort.differences(built / name, HERE / name)
            print("\n".join(wrong + packed) or "data_samples/ is what its seeds give.")
            return 1 if wrong else 0
        for name in (*FOLDERS, *vector_cohort.COHORTS):
            shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(built, HERE, dirs_exist_ok=True)
    size = sum(p.stat().st_size for p in HERE.rglob("*") if p.is_file())
    print(f"data_samples/: {len(list(HERE.glob('*/*.dcm')))} DICOM files, {size / 1e6:.1f} MB in all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
