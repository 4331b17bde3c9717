"""Rebuild what ships in ``data_samples/``, byte for byte, from its seeds.

``python tools/samples.py`` writes; with ``--check`` it writes nothing, says which file differs, and then ends
with status 1. The README is written by hand, but for the table between its two markers.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from course_utils.imaging.phantoms import write_cohort

HERE = Path(__file__).resolve().parent.parent / "data_samples"
ROWS, WOMEN, SEED = 640, 12, 2024
MARKS = ("<!-- table: made by tools/samples.py -->\n", "<!-- end of table -->")


def table(manifest: pd.DataFrame) -> str:
    """Return the manifest as a Markdown table for the README."""
    head = ("file", "density", "volumetric", "area", "view", "side", "thickness, mm", "vendor", "label")
    lines = [head, ("---",) * len(head)]
    for row in manifest.to_dict("records"):
        fractions = (f"{row['volumetric_fraction']:.3f}", f"{row['area_density']:.3f}")
        view = (row["view"], row["laterality"], f"{row['thickness_mm']:.1f}")
        label = "yes" if row["label"] else "no"
        lines.append((f"`{row['file']}`", row["density"], *fractions, *view, row["vendor"], label))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def build(folder: Path) -> None:
    """Write the cohort, its manifest and the README with its table into ``folder``."""
    manifest = write_cohort(folder / "cohort", women=WOMEN, rows=ROWS, seed=SEED)
    text = (HERE / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    readme = before + MARKS[0] + table(manifest) + MARKS[1] + after
    (folder / "README.md").write_text(readme, encoding="utf-8", newline="\n")


def differences(built: Path, shipped: Path) -> list[str]:
    """Return one sentence for every file that is missing, left over or not the same byte for byte."""
    made = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    there = {p.relative_to(shipped).as_posix() for p in shipped.glob("cohort/*") if p.is_file()}
    found = [f"{name}: not there" for name in sorted(made - there) if not (shipped / name).exists()]
    found += [f"{name}: nothing makes this file" for name in sorted(there - made)]
    for name in sorted(made):
        if (shipped / name).exists() and (built / name).read_bytes() != (shipped / name).read_bytes():
            found.append(f"{name}: differs from what its seed gives")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Build or check; return the exit status."""
    parser = argparse.ArgumentParser(description="Rebuild data_samples/ byte for byte from its seeds.")
    parser.add_argument("--check", action="store_true", help="compare only; status 1 if anything differs")
    check = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "data_samples"  # not the scratch folder: it is private
        build(built)
        if check:
            found = differences(built, HERE)
            print("\n".join(found) or "data_samples/ is what its seeds give.")
            return 1 if found else 0
        shutil.rmtree(HERE / "cohort", ignore_errors=True)
        shutil.copytree(built, HERE, dirs_exist_ok=True)
    size = sum(p.stat().st_size for p in HERE.rglob("*") if p.is_file())
    print(f"data_samples/: {len(list(HERE.glob('cohort/*.dcm')))} DICOM files, {size / 1e6:.1f} MB in all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
