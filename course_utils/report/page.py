"""The page as a whole: what the template says, and where it is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from course_utils import DISCLAIMER, plots
from course_utils.files import write_atomic
from course_utils.records import failure_columns
from course_utils.report import figures, words
from course_utils.report.publishing import publishing
from course_utils.report.reading import Run, read_run
from course_utils.report.text import without_folders

MOST_PICTURES = 48
"""The most pictures that the contact sheet shows."""
MOST_ROWS = 100
"""The most rows that the table of failures shows; failures.csv has them all."""


def write_report(run_dir: str | Path, *, title: str | None = None, authors: Sequence[str] = ()) -> Path:
    """Write `report.html` from the files of `course embed` and `course cluster`; return its path.

    With a title, authors, a plan or claims, the page is one to publish: plan, claims and rubric, methods,
    what to cite and a checklist are added. Without any, it is about the run alone.

    Needs `embeddings.parquet`; takes `thumbnails.parquet`, `failures.csv`, `run.json`,
    `clusters.csv` (whose further columns describe the images) and `clusters.json` if they exist.
    Without clusters it computes them, with the defaults of `cluster`. What `course map` and
    `course probe` wrote is shown where it belongs to these embeddings. The same files give the same bytes.

    Args:
        run_dir: the folder of the run.
        title: of the page, in place of its own.
        authors: whose work it is, in their order.

    Raises:
        RunError: the folder holds no embeddings, or a file of it cannot be read.
    """
    run = read_run(Path(run_dir))
    heading = without_folders(title or "").strip()
    names = [without_folders(each).strip() for each in ((authors,) if isinstance(authors, str) else authors)]
    published = publishing(run, Path(run_dir), heading, [name for name in names if name])
    environment = Environment(
        loader=PackageLoader("course_utils.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template("report.html.jinja").render({**_context(run), **published})
    path = Path(run_dir) / "report.html"
    write_atomic(path, page.encode())
    return path


def _context(run: Run) -> dict[str, Any]:
    """Return everything the template says, as text and pictures; the template decides where it goes."""
    weights = run.record.get("weights") or {}
    found = run.evaluation
    return {
        "disclaimer": DISCLAIMER,
        "random": weights.get("pretrained") is False,
        "summary": words.summary(run),
        "tiles": words.tiles(run),
        "headline": words.headline(run),
        "plainly": words.in_plain_words(run),
        "verdict": without_folders(found.verdict) if found is not None else "",
        "points": words.points_to_take_away(run),
        "limits": words.limits(run),
        "notes": [without_folders(note) for note in run.notes],
        "cautions": [without_folders(each) for each in found.warnings] if found is not None else [],
        "pictures_note": run.pictures_note,
        "pictures": figures.cards(run, plots.spread(len(run.table), MOST_PICTURES)),
        "total": len(run.table),
        "picture_map": figures.pictures_on_map(run),
        "maps": figures.maps(run),
        "on_the_map": words.on_the_map(run),
        "maps_left_out": run.categories[1],
        "clusters": figures.typical_images(run),
        "clustered": figures.clustered(run),
        "noise": figures.noise_words(run),
        "choice": figures.choice_figure(run),
        "valley": figures.valley_figure(run),
        "silhouette": figures.silhouette_figure(run),
        "stability": figures.stability_figure(run),
        "evaluation": found,
        "associations": words.association_rows(run),
        "associations_figure": figures.associations_figure(run),
        "skipped": words.skipped_rows(run),
        "probes": figures.probes(run),
        "failures": [
            [without_folders(row[name]) for name in failure_columns()]
            for row in run.failures.head(MOST_ROWS).to_dict("records")
        ],
        "failed": len(run.failures),
        "warnings": words.warning_rows(run),
        "provenance": words.provenance_groups(run),
        "recorded": bool(run.record),
    }
