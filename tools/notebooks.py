"""From a lesson's source to its two notebooks: the student's, with stubs, and the solved one.

``notebooks/src/NN_topic.py`` (jupytext's percent format) is the only file that anyone edits. ``build``
writes ``notebooks/NN_topic.ipynb`` and ``notebooks/solutions/NN_topic.ipynb``, both executed in their own
folder; building twice changes no byte. ``check`` executes nothing and says where a notebook and its source
differ.

    python tools/notebooks.py build             every lesson
    python tools/notebooks.py build 05          one lesson
    python tools/notebooks.py check
    python tools/notebooks.py minutes           what a student takes over each lesson
"""

from __future__ import annotations

import argparse
import ast
import base64
import io
import os
import re
import sys
import textwrap
from pathlib import Path

import jupytext
import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode
from PIL import Image

from course_utils.teaching.exercises import all_exercises

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"(?<=data:image/png;base64,)[A-Za-z0-9+/=]+")
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)")
SKIPPED = "(skip on a first reading)"
STUB = "...  # your code here"
FORBIDDEN = {
    r";\s*$": "a line ends with `;`, which nbval does not honour: write `_ = …` or `plt.show()`",
    r"\binteract(ive)?\b": "`interact` stalls without a screen: use LivePicture",
    r"\bOutput\(": "an `Output` widget stalls without a screen: use LivePicture",
}
ENVIRONMENT = {"COURSE_BACKBONE": "efficientnet_lite0", "COURSE_DEVICE": "cpu"}
MOST_BYTES = 600_000
SECONDS_A_CELL = 300


class NotebookError(Exception):
    """A lesson that cannot be built or that differs from its source; the message says where."""


def sources(wanted: list[str] | None = None) -> list[Path]:
    """The sources in order; ``wanted`` picks by number ("05") or by name ("05_batched_extraction")."""
    found = sorted((NOTEBOOKS / "src").glob("[0-9][0-9]_*.py"))
    if not wanted:
        return found
    names = [Path(name).stem for name in wanted]
    missing = [name for name in names if not any(name in (s.stem, s.stem[:2]) for s in found)]
    if missing:
        raise NotebookError(f"no lesson {missing[0]}; there is {', '.join(s.stem for s in found) or 'none'}")
    return [s for s in found if s.stem in names or s.stem[:2] in names]


def targets(source: Path) -> dict[str, Path]:
    """Where the student's notebook and the solved one go."""
    name = source.stem + ".ipynb"
    return {"student": NOTEBOOKS / name, "solved": NOTEBOOKS / "solutions" / name}


def stub(match: re.Match[str]) -> str:
    """What a student finds in place of a solution: the function or the value is there, as ``...``."""
    indent, solution = match.groups()
    body = ast.parse(textwrap.dedent(solution)).body
    last = body[-1]
    if any(isinstance(node, ast.Return) for statement in body for node in ast.walk(statement)):
        return f"{indent}return {STUB}"
    if isinstance(last, ast.Assign | ast.AnnAssign):
        target = last.targets[0] if isinstance(last, ast.Assign) else last.target
        return f"{indent}{ast.unparse(target)} = {STUB}"
    return f"{indent}{STUB}"


def read(source: Path, version: str) -> NotebookNode:
    """The lesson as a notebook that has not been run yet; ``version`` is "student" or "solved"."""
    parsed = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(parsed.cells):
        text = cell.source
        if cell.cell_type == "code" and version == "student":
            text = SOLUTION.sub(stub, text)
        if cell.cell_type == "markdown" and version == "solved":
            text = LINK.sub(r"\1../", text)  # links are written as seen from notebooks/
        new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        cell_id = f"{source.stem[:2]}-{number:03d}"
        notebook.cells.append(new(text, id=cell_id, metadata=metadata(cell.metadata.get("tags", []))))
    return notebook


def metadata(tags: list[str]) -> dict:
    """A cell's metadata; `hide-input`, which the site folds, is collapsed in JupyterLab as well."""
    hidden = {"jupyter": {"source_hidden": True}} if "hide-input" in tags else {}
    return {"tags": tags, **hidden} if tags else {}


def execute(notebook: NotebookNode, folder: Path, extra: dict[str, str] | None = None) -> NotebookNode:
    """Run every cell in ``folder``, on the CPU with the offline weights; NotebookError if a cell fails."""
    client = NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    try:
        client.execute(env={**os.environ, **ENVIRONMENT, **(extra or {})})
    except (CellExecutionError, CellTimeoutError) as error:
        raise NotebookError(f"a cell failed.\n{error}") from None
    return notebook


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Keep what a reader and a test need: no widget state, small pictures, no interpreter version."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata = metadata(cell.metadata.get("tags", []))
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                raise NotebookError(f"cell {cell.id} left an error: {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                raise NotebookError(f"cell {cell.id} wrote to stderr: {output.text.strip()}")
            data = output.get("data", {})
            live = data.pop("application/vnd.jupyter.widget-view+json", None)
            if live and "text/html" not in data:
                output.output_type = "dropped"  # a progress bar: without its widget, a line that says 0%
            if "text/html" in data:
                data["text/html"] = PICTURE.sub(lambda found: quantised(found[0]), data["text/html"])
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.output_type != "dropped"]
    return notebook


def keep_measured(notebook: NotebookNode, before: Path) -> NotebookNode:
    """Keep what unchanged cells tagged nbval-ignore-output have measured: a new timing says nothing new."""
    if not before.exists():
        return notebook
    stored = {cell.id: cell for cell in nbformat.read(before, as_version=4).cells}
    for cell in notebook.cells:
        old = stored.get(cell.id)
        if "nbval-ignore-output" in cell.metadata.get("tags", []) and old and old.source == cell.source:
            cell.outputs = old.get("outputs", cell.outputs)
    return notebook


def quantised(picture: str) -> str:
    """The same PNG (base64) with 256 colours: half the bytes, and none of the writer's metadata."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    buffer = io.BytesIO()
    with_palette(Image.alpha_composite(paper, image).convert("RGB")).save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def with_palette(image: Image.Image) -> Image.Image:
    """An RGB image in 128 grays, for the mammograms, and 128 colours of its own, for the marks on charts.

    A palette drawn from all pixels alike would merge the few coloured ones; one for colours alone shows
    contour lines in a breast.
    """
    pixels = np.asarray(image).reshape(-1, 3)
    is_coloured = np.ptp(pixels.astype(np.int16), axis=1) > 8
    index = np.rint(pixels.mean(axis=1) * 127 / 255).astype(np.uint8)
    palette = np.rint(np.repeat(np.arange(128), 3) * 255 / 127).astype(int).tolist()
    if is_coloured.any():
        own = Image.fromarray(pixels[is_coloured][None]).quantize(128, Image.Quantize.MEDIANCUT)
        index[is_coloured] = np.asarray(own)[0] + 128
        palette += (own.getpalette() or [])[: 3 * 128]
    reduced = Image.fromarray(index.reshape(image.height, image.width), "P")
    reduced.putpalette(palette)
    return reduced


def build(source: Path) -> None:
    """Write the two notebooks of one lesson. Nothing is written unless both run through."""
    built = {}
    for version, target in targets(source).items():
        target.parent.mkdir(exist_ok=True)
        notebook = keep_measured(tidy(execute(read(source, version), target.parent)), target)
        nbformat.validate(notebook)
        text = nbformat.writes(notebook) + "\n"
        if len(text.encode()) > MOST_BYTES:
            raise NotebookError(
                f"the {version} notebook has {len(text.encode()):,} bytes; at most {MOST_BYTES:,}"
            )
        built[target] = text
    for target, text in built.items():
        target.write_text(text, encoding="utf-8", newline="\n")


def problems(source: Path) -> list[str]:
    """Sentences on where the notebooks differ from their source or break a rule; empty if nowhere."""
    found = []
    for version, target in targets(source).items():
        where = target.relative_to(NOTEBOOKS.parent).as_posix()
        if not target.exists():
            found.append(f"{where} is missing")
            continue
        have, want = nbformat.read(target, as_version=4), read(source, version)
        parts = [[(c.id, c.cell_type, c.source, c.metadata) for c in nb.cells] for nb in (have, want)]
        if parts[0] != parts[1]:
            differing = [w[0] for h, w in zip(*parts, strict=False) if h != w] or ["the number of cells"]
            found.append(f"{where} is not what its source says: {', '.join(differing)}")
        code = [cell for cell in have.cells if cell.cell_type == "code"]
        if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
            found.append(f"{where} was not run from top to bottom")
        for cell in code:
            if any(output.output_type == "error" for output in cell.outputs):
                found.append(f"{where}, cell {cell.id}: an error is stored")
            for pattern, complaint in FORBIDDEN.items():
                if re.search(pattern, cell.source, re.MULTILINE):
                    found.append(f"{where}, cell {cell.id}: {complaint}")
    solutions = len(SOLUTION.findall(source.read_text(encoding="utf-8")))
    marks = source.read_text(encoding="utf-8").count("### BEGIN SOLUTION")
    stubs = sum(c.source.count(STUB) for c in read(source, "student").cells if c.cell_type == "code")
    if not solutions == marks == stubs:
        found.append(
            f"{source.name}: {marks} solutions begin, {solutions} are complete, {stubs} stubs come of them"
        )
    return found


def minutes(notebook: NotebookNode) -> tuple[int, int]:
    """How long a student takes over an executed lesson: on a first reading, and over all of it.

    200 words of text and 10 lines of code to be read take a minute, a picture and a prediction half a minute
    each, an exercise what it says. The sections whose headings end with `SKIPPED` are left for later.
    """
    took = {exercise.id: exercise.minutes for exercise in all_exercises()}
    first = everything = 0.0
    skipped = False
    for cell in notebook.cells:
        text = cell.source
        if cell.cell_type == "markdown":
            heading = re.search(r"^## .*", text, re.MULTILINE)
            skipped = heading[0].endswith(SKIPPED) if heading else skipped
            words = len(re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text).split())
            needed = words / 200 + len(re.findall(r"\*Predict", text)) / 2
        else:
            lines = sum(bool(line.strip()) for line in text.splitlines())
            needed = 0.0 if "hide-input" in cell.metadata.get("tags", []) else lines / 10
            needed += sum(took[number] for number in re.findall(r'exercise\("(.+?)"\)\.check\(', text))
            shown = [output.get("data", {}).get("text/html", "") for output in cell.outputs]
            needed += "".join(shown).count("<img") / 2
        everything += needed
        first += 0 if skipped else needed
    return 5 * round(first / 5), 5 * round(everything / 5)


def strays() -> list[str]:
    """Notebooks that have no source."""
    known = {target for source in sources() for target in targets(source).values()}
    there = [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("solutions/*.ipynb")]
    return [f"{path.relative_to(NOTEBOOKS.parent)} has no source" for path in sorted(set(there) - known)]


def main() -> int:
    """Build or check; the exit status is 1 if something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["build", "check", "minutes"])
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="a number (05) or a name (default: all)")
    options = parser.parse_args()
    try:
        chosen = sources(options.lessons)
    except NotebookError as error:
        parser.error(str(error))
    if options.what == "minutes":
        for source in chosen:
            first, everything = minutes(nbformat.read(targets(source)["student"], as_version=4))
            print(f"{source.stem}: {first} min, {everything} with all")
        return 0
    failed = False
    for source in chosen:
        try:
            if options.what == "build":
                build(source)
            complaints = problems(source)
        except NotebookError as error:
            complaints = [f"{source.name}: {error}"]
        print("\n".join(complaints) or f"[ok] {source.stem}")
        failed = failed or bool(complaints)
    if not options.lessons and strays():
        print("\n".join(strays()))
        failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
