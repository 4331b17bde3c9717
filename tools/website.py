"""Build the site into `build/site/html`: the lessons as they are stored, the pages of `docs/`, a reference.

    python tools/website.py         build it
    python tools/website.py --links    look whether the addresses that it links to answer (needs the network)

Pages keep the places that they have in the repository (`notebooks/`, `docs/`), so a link leads to the same
page on the site as in a checkout. Written anew for each build are the front page (`docs/site/index.md.j2`),
the live map, the reference (from docstrings), the options of each command, the lessons to download and
`llms.txt`. Everything is local: no page asks another server for anything.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html as html_module
import importlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from command_pages import command_pages
from instructors import lessons
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "site"
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build" / "site"
PAGES = (
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "tests/README.md",
    "data_samples/README.md",
)
"""Pages outside `docs/` that stand on the site, too."""
REFERENCE = {
    "imaging": "From a file to a picture",
    "embedding": "From pictures to vectors",
    "analysis": "Clusters, maps, nulls and probes",
    "runs": "The folder of a run",
    "report": "The report",
    "phantoms": "Synthetic mammograms",
    "plots": "Figures",
}
"""The packages whose public names have a reference, in the order in which data travels, and their titles."""
SIDEBAR = {
    "Try it": {"docs/map": "A map of a cohort"},
    "How do I …": {"docs/how-to/index": "Questions of researchers"},
    "Commands and Python": {"docs/commands": "Commands", "docs/reference/index": "Reference"},
    "Good to know": {
        "docs/glossary": "Glossary",
        "docs/resource-cards": "Time and memory of each lesson",
        "docs/determinism": "The same bits twice",
        "docs/which-features": "Which features",
        "docs/vectors": "Taking vectors elsewhere",
        "docs/cluster": "On many cores or machines",
        "data_samples/README": "The sample mammograms",
    },
    "Measured": {
        "docs/benchmarks/embedding": "Speed: mammograms to vectors",
        "docs/benchmarks/imaging": "Speed: reading files",
        "docs/benchmarks/analysis": "Speed: clusters and maps",
        "docs/benchmarks/verdicts": "How often verdicts are wrong",
    },
    "For instructors": {"docs/instructors/index": "The instructor pack"},
    "The project": {
        "CONTRIBUTING": "Contributing",
        "CODE_OF_CONDUCT": "Code of conduct",
        "SECURITY": "Security and privacy",
        "CHANGELOG": "Changes",
        "tests/README": "What the tests compare with",
    },
}
"""The sidebar below the lessons: a heading, its pages, and what each is called there."""
MATHJAX = (
    "startup.js",
    "loader.js",
    "core.js",
    "input/tex-base.js",
    "input/tex/extensions/ams.js",
    "output/chtml.js",
)
MATHJAX_FOLDERS = ("output/chtml", "a11y")
REVEAL = "What comes out? Look once you have a guess"
INLINE = re.compile(r'src="data:image/png;base64,([^"]+)"')
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")


# --- what is put beside one another before Sphinx begins


def stage(source: Path) -> None:
    """Write everything that Sphinx reads into `source`."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    shutil.copy(SITE / "conf.py", source)
    shutil.copytree(SITE / "static", source / "static")
    copy_mathjax(source / "static" / "mathjax")
    below = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
    for page in [*PAGES, *below]:
        _write(source / page, (ROOT / page).read_text(encoding="utf-8"))
    for page, text in {**command_pages(), **reference_pages()}.items():
        _write(source / page, text)
    cards = [(lesson, stage_lesson(NOTEBOOKS / f"{lesson.name}.ipynb", source)) for lesson in lessons()]
    write_map(source)
    add_children(source)
    _write(source / "index.md", render("index.md.j2", cards=cards, groups=sidebar()))
    copy_linked_files(source)


def reference_pages() -> dict[str, str]:
    """Return a page for each package, which Sphinx fills from the docstrings of its public names."""
    pages = {}
    for package, title in REFERENCE.items():
        name = f"course_utils.{package}"
        module = importlib.import_module(name)
        named = [(each, getattr(module, each)) for each in module.__all__]
        public = [each for each, found in named if getattr(found, "__module__", "").startswith(name)]
        blocks = [f"```{{eval-rst}}\n.. auto{_kind(module, each)}:: {name}.{each}\n```" for each in public]
        about = (module.__doc__ or "").strip()
        pages[f"docs/reference/{package}.md"] = "\n\n".join([f"# {title}: `{name}`", about, *blocks]) + "\n"
    names = "\n".join(f"- [{title}: `course_utils.{name}`]({name}.md)" for name, title in REFERENCE.items())
    pages["docs/reference/index.md"] = (
        "# Reference\n\nThe public names of each package, with shapes, ranges, units and errors, in the order"
        f" in which data travels.\n\n{names}\n"
    )
    return pages


def _kind(module: Any, name: str) -> str:
    found = getattr(module, name)
    if not isinstance(found, type):
        return "function"
    return "exception" if issubclass(found, Exception) else "class"


def stage_lesson(path: Path, source: Path) -> str:
    """Write a lesson and its solution as pages, and the lesson without outputs; return its first figure."""
    from course_utils.teaching.lab import without_outputs

    lesson = nbformat.read(path, as_version=4)
    first, *_ = take_figures_out(lesson, source, "../_static")
    download = source / "downloads" / path.name
    _write(download, json.dumps(without_outputs(path), indent=1, ensure_ascii=False) + "\n")
    for cell in lesson.cells:
        if "hide-output" in cell.metadata.get("tags", []):
            cell.metadata["mystnb"] = {"code_prompt_show": REVEAL, "code_prompt_hide": "Hide it again"}
    link = f"{{download}}`Download this lesson <../downloads/{path.name}>` without its outputs:"
    link += " they would answer what you are asked to predict."
    lesson.cells.insert(1, nbformat.v4.new_markdown_cell(link, id="download"))
    target = source / "notebooks" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(lesson, target)

    solution = nbformat.read(path.parent / "solutions" / path.name, as_version=4)
    take_figures_out(solution, source, "../../_static")
    solution.cells[0].source = solution.cells[0].source.replace("# ", "# Solution · ", 1)
    solution.metadata |= {"orphan": True, "nosearch": True}
    (target.parent / "solutions").mkdir(exist_ok=True)
    nbformat.write(solution, target.parent / "solutions" / path.name)
    return first


def take_figures_out(notebook: nbformat.NotebookNode, source: Path, static: str) -> list[str]:
    """Put figures that stand in HTML into files of static/, loaded when they come into sight; return them."""
    files = []

    def as_file(found: re.Match[str]) -> str:
        png = base64.b64decode(found.group(1))
        name = f"figures/{hashlib.sha256(png).hexdigest()[:16]}.png"
        target = source / "static" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(png)
        files.append(name)
        width, height = struct.unpack(">II", png[16:24])  # a page that knows them does not jump
        return f'src="{static}/{name}" loading="lazy" width="{width}" height="{height}"'

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = INLINE.sub(as_file, output.data["text/html"])
    return files


def sidebar() -> dict[str, dict[str, str]]:
    """Return the headings of the sidebar, and below each its pages with their short names."""
    names = {f"notebooks/{each.name}": f"{each.number} · {each.short}" for each in lessons()}
    return {"Lessons": names, **SIDEBAR}


def render(template: str, **values: Any) -> str:
    """Return a page of `docs/site` with its blanks filled in."""
    text = (SITE / template).read_text(encoding="utf-8")
    return jinja2.Template(text, undefined=jinja2.StrictUndefined).render(**values)


def children(index: Path) -> list[str]:
    """Return the pages that stand beside an index.md, in the order in which it names them."""
    text = index.read_text(encoding="utf-8")
    beside = sorted(page.stem for page in index.parent.glob("*.md") if page != index)
    return sorted(beside, key=lambda name: text.find(f"]({name}.md") % (len(text) + 1))


def add_children(source: Path) -> None:
    """Hang the pages of a folder under its index.md. (In a checkout the directive would be seen as code.)"""
    for index in source.glob("docs/*/index.md"):
        with index.open("a", encoding="utf-8") as file:
            file.write("\n```{toctree}\n:hidden:\n\n" + "\n".join(children(index)) + "\n```\n")


def copy_mathjax(target: Path) -> None:
    """Copy the parts of MathJax that a page with mathematics loads; the package brings many more."""
    files = metadata.files("sphinx-mathjax-offline") or []
    start = next(Path(str(file.locate())) for file in files if file.name == "startup.js")
    for part in MATHJAX:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(start.parent / part, target / part)
    for folder in MATHJAX_FOLDERS:
        shutil.copytree(start.parent / folder, target / folder, dirs_exist_ok=True)


def write_map(source: Path) -> None:
    """Write the map that lives without a kernel: its data, and the widget's own script and style."""
    import numpy as np
    import pandas as pd
    from sklearn.manifold import TSNE

    from course_utils.analysis import reduce
    from course_utils.imaging.datasets import sample_run
    from course_utils.runs import Extraction
    from course_utils.teaching import picture_map

    folder = sample_run()
    extraction = Extraction.read(folder)
    truth = pd.read_csv(folder / "manifest.csv")
    table = truth[["density", "view", "laterality", "vendor"]].rename(columns={"laterality": "side"})
    table["woman"] = [f"woman {code + 1}" for code in pd.factorize(extraction.table["patient_key"])[0]]
    points = TSNE(random_state=0, init="pca").fit_transform(reduce(np.asarray(extraction.vectors), dims=50))
    chart = picture_map.PictureMap(
        points, extraction.thumbnails, table, title="240 synthetic mammograms of 60 women"
    )
    sheets = [base64.b64encode(sheet).decode() for sheet in chart._sheets]
    static = source / "static" / "map"
    static.mkdir(parents=True)
    shown = json.dumps({"data": chart._data, "sheets": sheets, "colour": chart.colour})
    _write(static / "data.js", f"window.mapOfTheCohort = {shown};\n")
    # Plain scripts, no modules: they also work in a page that was opened from a disk.
    export = "export default { render };"
    assert export in chart._esm
    _write(static / "picture_map.js", chart._esm.replace(export, "window.pictureMap = { render };"))
    _write(static / "picture_map.css", chart._css)
    still_of_the_front_page(static / "front.png")
    png, alt = chart._still()
    (static / "still.png").write_bytes(png)
    _write(source / "docs" / "map.md", render("map.md.j2", alt=alt))


def still_of_the_front_page(target: Path) -> None:
    """Write one picture of README's moving one: on a page, what moves has to be stoppable."""
    moving = Image.open(ROOT / "docs" / "images" / "picture_map.png")
    moving.seek(moving.n_frames - 2)  # type: ignore[attr-defined]
    moving.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def copy_linked_files(source: Path) -> None:
    """Copy what the pages link to and is no page, such as templates, pictures and licences."""
    for page in list(source.rglob("*.md")):
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if target.exists() or not target.is_relative_to(source.resolve()):
                continue
            original = ROOT / target.relative_to(source.resolve())
            if original.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(original, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- after Sphinx


def write_index_for_machines(source: Path, html: Path) -> None:
    """Write `llms.txt`: a plain list of the pages, for whatever reads text rather than pages."""
    lines = ["# From mammograms to embeddings: a course", "", "> Educational and research use only.", ""]
    for group, pages in sidebar().items():
        lines += [f"## {group}", ""]
        for page, name in pages.items():
            lines.append(f"- [{name}]({page}.html)")
            if page.endswith("/index"):
                folder = page.removesuffix("index")
                below = children(source / f"{page}.md")
                lines += [
                    f"- [{title_of(html / f'{folder}{each}.html')}]({folder}{each}.html)" for each in below
                ]
        lines.append("")
    _write(html / "llms.txt", "\n".join(lines))


def title_of(page: Path) -> str:
    """Return the title of a finished page."""
    found = re.search(r"<h1>(.*?)<a class=\"headerlink\"", page.read_text(encoding="utf-8"), re.S)
    return html_module.unescape(re.sub(r"<[^>]+>", "", found.group(1))).strip() if found else page.stem


def build(target: Path = BUILD, *, builder: str = "html") -> Path:
    """Build the site and return its folder.

    Raises:
        SystemExit: Sphinx has a warning; it has been printed.
    """
    source, html = target / "source", target / builder
    stage(source)
    shutil.rmtree(html, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder]
    command += ["-d", str(target / "doctrees"), str(source), str(html)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"}
    if subprocess.call(command, env=environment):
        raise SystemExit("The site was not built: see above.")
    if builder == "html":
        write_index_for_machines(source, html)
    return html


def main() -> None:
    """Build the site, or check its links."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--links", action="store_true", help="check external links instead")
    links = parser.parse_args().links
    folder = build(builder="linkcheck" if links else "html")
    print(f"The site is in {folder.relative_to(ROOT)}; its first page is index.html.")


if __name__ == "__main__":
    main()
