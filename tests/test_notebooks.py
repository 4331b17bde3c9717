"""The notebooks are what their sources say, were run from top to bottom, and keep the shape of a lesson."""

import base64
import io
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from calibration import REFERENCE_MACHINE, meter, patience
from nbconvert import HTMLExporter
from PIL import Image

from course_utils import DISCLAIMER
from course_utils.teaching.exercises import all_exercises

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import cards  # noqa: E402

import notebooks as tool  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"
DISCLAIMED = "**" + DISCLAIMER.replace("use only.", "use only.**")
CARD = re.compile(
    r"^\| (\d+) min(?:, (\d+) with all)? \| under (\d+) s \| under ([\d.]+) GB"
    r" \| (none|[\d.]+ MB) \| (not needed|needed) \|$",
    re.M,
)
PARTS = [
    r"\A# \d\d · \S.*",
    "> " + re.escape(DISCLAIMED).replace(r"\ ", r"(?: |\n> )"),
    r"^\*\*You will be able to\*\*(\s*\n- [^\n]+){3,5}\n\s*\n",
    r"^\*\*Prerequisites\.\*\* \S.*",
    CARD.pattern,
    r"^## .*",
    r"^## Check yourself$",
    r"^## Recap$",
    r"^## Go further$",
    r"^\*\*Next:\*\* \S.*",
]


SOURCES = tool.sources()
lessons = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)

TOY = """\
# %% [markdown]
# # 98 · A toy
# The [next](98_toy.ipynb) and a [site](https://example.org).

# %%
import matplotlib.pyplot as plt
from course_utils.teaching.widgets import LivePicture


def draw(size=2):
    figure, axes = plt.subplots(figsize=(size, 1))
    _ = axes.imshow([[0, 1], [2, 3]])
    return figure


LivePicture(draw, alt="Four squares.", size=(1, 3))

# %%
def double(x):
    ### BEGIN SOLUTION
    twice = 2 * x
    return twice
    ### END SOLUTION


print(double(2))

# %% tags=["nbval-ignore-output"]
import time

print(time.time_ns())
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "NOTEBOOKS", tmp_path / "notebooks")
    source = tmp_path / "notebooks" / "src" / "98_toy.py"
    source.parent.mkdir(parents=True)
    source.write_text(TOY, encoding="utf-8")
    return source


def markdown_of(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


# --- The committed notebooks


def test_there_are_lessons_and_no_notebook_without_a_source():
    assert SOURCES
    assert tool.strays() == []


@lessons
def test_both_notebooks_equal_their_source_and_were_run_from_top_to_bottom(source):
    assert tool.problems(source) == []


@lessons
def test_each_part_of_the_lessons_shape_is_there_in_order(source):
    text = markdown_of(tool.read(source, "student"))
    position = 0
    for part in PARTS:
        found = re.compile(part, re.M).search(text, position)
        assert found, f"missing, or not in its place: {part}"
        position = found.end()


@lessons
def test_check_yourself_has_four_to_six_questions_with_folded_answers(source):
    text = markdown_of(tool.read(source, "student"))
    questions = text.partition("## Check yourself")[2].partition("## Recap")[0]
    assert 4 <= questions.count("<details>") <= 6
    assert questions.count("<summary>") == questions.count("</details>") == questions.count("<details>")


@lessons
def test_every_exercise_of_the_lesson_is_checked_and_has_its_hint_in_the_lesson(source):
    text = source.read_text(encoding="utf-8")
    own = [ex for ex in all_exercises() if ex.id.startswith(source.stem[:2])]
    assert len(own) >= 2
    for ex in own:
        assert f'exercise("{ex.id}").check(' in text
        assert f'exercise("{ex.id}").hint()' in text
        assert f"Exercise {ex.id}" in text


@lessons
def test_cells_are_short(source):
    code = [cell.source for cell in tool.read(source, "student").cells if cell.cell_type == "code"]
    long = [cell for cell in code if cell.count("\n") >= 15]
    assert len(long) <= 2, f"{len(long)} cells are longer than 15 lines"


@lessons
def test_the_card_says_how_long_a_student_takes(source):
    notebook = nbformat.read(tool.targets(source)["student"], as_version=4)
    first, everything = tool.minutes(notebook)
    stated, with_all = CARD.search(markdown_of(notebook)).groups()[:2]
    assert (int(stated), int(with_all or stated)) == (first, everything)
    assert first <= 80


@lessons
def test_what_answers_a_prediction_is_folded_on_the_site(source):
    cells = tool.read(source, "student").cells
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown" and re.search(r"\*Predict", cell.source):
            answers = itertools.takewhile(lambda after: after.cell_type == "code", cells[number + 1 :])
            tags = [tag for answer in answers for tag in answer.metadata.get("tags", [])]
            assert "hide-output" in tags, cell.source[-80:]


@lessons
@pytest.mark.parametrize("version", ["student", "solved"])
def test_no_output_answers_with_true_or_false(source, version):
    for cell in nbformat.read(tool.targets(source)[version], as_version=4).cells:
        for output in cell.get("outputs", []):
            text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            assert not re.search(r"\b(True|False)\b", text), cell.source


@lessons
def test_no_line_of_code_is_wider_than_a_page(source):
    code = [cell.source for cell in tool.read(source, "solved").cells if cell.cell_type == "code"]
    assert [line for cell in code for line in cell.splitlines() if len(line) > 88] == []


@lessons
@pytest.mark.parametrize("version", ["student", "solved"])
def test_every_link_to_a_file_leads_somewhere(source, version):
    notebook = tool.targets(source)[version]
    links = re.findall(r"\]\(([^)\s]+)\)", markdown_of(nbformat.read(notebook, as_version=4)))
    files = [link.partition("#")[0] for link in links if not re.match(r"https?:|mailto:|#", link)]
    assert files
    assert [link for link in files if not (notebook.parent / link).exists()] == []


@lessons
def test_every_picture_has_words_for_those_who_cannot_see_it(source):
    notebook = nbformat.read(tool.targets(source)["solved"], as_version=4)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if "image/png" in out.get("data", {})]  # it can carry no alt text
    pictures = [out["data"] for out in outputs if "<img" in out.get("data", {}).get("text/html", "")]
    assert pictures
    for picture in pictures:
        alts = re.findall(r'<img alt="([^"]+)"', picture["text/html"])
        assert len(alts) == picture["text/html"].count("<img")
        assert min(map(len, [*alts, picture["text/plain"]])) >= 20


@lessons
def test_an_export_to_html_has_words_for_every_picture(source):
    exported, _ = HTMLExporter().from_filename(str(tool.targets(source)["student"]))
    alts = re.findall(r'<img[^>]*? alt="([^"]*)"', exported)
    assert alts
    assert len(alts) == len(re.findall(r"<img\b", exported))
    assert not [alt for alt in alts if len(alt) < 20 or alt.startswith("No description")]


@pytest.fixture(scope="module")
def measure():
    with meter() as measure:
        yield measure


def nbval(notebook, folder, environment):
    """Write a notebook into `folder`, execute it there, and compare every cell with what is stored."""
    path = folder / "compared.ipynb"
    nbformat.write(notebook, path)
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg")]
    command += ["--nbval-cell-timeout", str(round(patience(60)))]
    return subprocess.run(
        [sys.executable, *command, str(path)],
        cwd=folder,
        env={**os.environ, **tool.ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def strictly(notebook, folder, environment):
    done = nbval(notebook, folder, environment)
    assert done.returncode == 0, done.stdout


@lessons
def test_the_solved_lesson_gives_what_is_stored_and_keeps_its_card(source, measure, tmp_path):
    """Compare as nbval does, and hold what it took to `docs/resource-cards.md` and to the lesson's own card.

    One run does both, since executing all lessons once more takes minutes. A run that parts from the page
    may have been disturbed: it is repeated once.
    """
    stored = nbformat.read(tool.targets(source)["solved"], as_version=4)
    _, _, seconds, gigabytes, *_ = CARD.search(markdown_of(tool.read(source, "student"))).groups()
    card = cards.recorded()[source.stem]
    assert card.seconds < int(seconds) <= 60
    assert card.gigabytes < float(gigabytes) <= 3
    for _ in range(2):
        run = cards.run(stored, tmp_path, measure, execute=strictly)
        complaint = cards.complaint(card, run)
        if not complaint:
            break
    assert not complaint, complaint
    assert 0.1 < run.gigabytes < float(gigabytes)


def test_the_page_names_every_lesson_and_the_machine_that_is_the_reference():
    assert list(cards.recorded()) == [source.stem for source in SOURCES]
    assert f"> {REFERENCE_MACHINE}\n" in cards.PAGE.read_text(encoding="utf-8")


def test_altering_one_stored_number_fails_the_notebooks_own_test(tmp_path):
    source = SOURCES[0]
    notebook = nbformat.read(tool.targets(source)["solved"], as_version=4)
    cell, output = next(
        (cell, output)
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "nbval-ignore-output" not in cell.metadata.get("tags", [])
        and re.search(r"\d", output.get("text", ""))
    )
    output.text = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), output.text, count=1)
    del notebook.cells[notebook.cells.index(cell) + 1 :]  # the cells after it cost time and prove nothing
    run = nbval(notebook, tmp_path, {})
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert run.returncode == 1, run.stdout
    assert f"1 failed, {len(code) - 1} passed" in run.stdout, run.stdout
    assert f"Cell {code.index(cell)}" in run.stdout


# --- The tool


def test_two_builds_give_the_same_bytes_and_the_build_passes_its_own_check(toy):
    tool.build(toy)
    first = [path.read_bytes() for path in tool.targets(toy).values()]
    tool.build(toy)
    assert [path.read_bytes() for path in tool.targets(toy).values()] == first
    assert tool.problems(toy) == []
    student, solved = (nbformat.read(path, as_version=4) for path in tool.targets(toy).values())
    assert (student.cells[2].outputs[0].text, solved.cells[2].outputs[0].text) == ("Ellipsis\n", "4\n")
    still = student.cells[1].outputs[0].data
    assert sorted(still) == ["text/html", "text/plain"]
    assert "widgets" not in student.metadata
    assert "execution" not in student.cells[1].metadata
    assert [cell.id for cell in student.cells] == ["98-000", "98-001", "98-002", "98-003"]


def test_the_check_sees_an_edited_notebook_and_one_that_was_not_run(toy):
    for version, path in tool.targets(toy).items():
        path.parent.mkdir(exist_ok=True)
        nbformat.write(tool.read(toy, version), path)
    assert [p for p in tool.problems(toy) if "not run" in p]
    path = tool.targets(toy)["student"]
    path.write_text(path.read_text(encoding="utf-8").replace("A toy", "A ploy"), encoding="utf-8")
    assert "is not what its source says: 98-000" in "\n".join(tool.problems(toy))
    path.unlink()
    assert "is missing" in "\n".join(tool.problems(toy))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [("ax.plot();", "`;`"), ("interact(draw)", "`interact`"), ("widgets.Output()", "`Output`")],
)
def test_the_check_refuses_what_stalls_or_breaks_nbval(toy, line, complaint):
    toy.write_text(TOY + f"\n# %%\nif False:\n    {line}\n", encoding="utf-8")
    for version, path in tool.targets(toy).items():
        path.parent.mkdir(exist_ok=True)
        nbformat.write(tool.read(toy, version), path)
    assert complaint in "\n".join(tool.problems(toy))


def test_a_solution_without_an_end_is_reported(toy):
    toy.write_text(TOY.replace("### END SOLUTION", ""), encoding="utf-8")
    assert "1 solutions begin, 0 are complete" in "\n".join(tool.problems(toy))


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        ("    return x + 1\n", "    return ...  # your code here"),
        ("    for y in x:\n        return y\n", "    return ...  # your code here"),
        ("a = 1\nb = a + 1\n", "b = ...  # your code here"),
        ("        self.conv = 1\n", "        self.conv = ...  # your code here"),
        ("    print(x)\n", "    ...  # your code here"),
    ],
)
def test_the_stub_leaves_what_comes_after_it_working(solution, expected):
    indent = re.match(" *", solution)[0]
    text = f"{indent}### BEGIN SOLUTION\n{solution}{indent}### END SOLUTION"
    assert tool.SOLUTION.sub(tool.stub, text) == expected


def test_links_of_the_solved_lesson_lead_one_folder_up(toy):
    student, solved = (tool.read(toy, version).cells[0].source for version in ("student", "solved"))
    assert "[next](98_toy.ipynb)" in student
    assert "[next](../98_toy.ipynb)" in solved
    assert "(https://example.org)" in solved


def test_minutes_are_those_of_words_lines_pictures_predictions_and_exercises():
    def markdown(text):
        return nbformat.v4.new_markdown_cell(text)

    def code(text, *shown, tags=()):
        outputs = [nbformat.v4.new_output("display_data", {"text/html": html}) for html in shown]
        return nbformat.v4.new_code_cell(text, outputs=outputs, metadata={"tags": list(tags)})

    cells = [
        markdown("# 98 · A toy\n" + "word " * 996),  # 1000 words: 5 minutes
        code("x = 1\n\n" * 50),  # 50 lines: 5 minutes
        markdown("*Predict: what will it be?*"),  # 5 words and half a minute
        code("x = 1\n" * 200, "<img><img>", "<img>", tags=["hide-input"]),  # one and a half
        code('exercise("00.1").check(x)'),  # 5 minutes and a line
        markdown("## Much more (skip on a first reading)"),
        code("x = 1\n" * 150),  # 15 minutes
        markdown("### A part of it"),
        code("x = 1\n" * 50),  # 5 more
        markdown("## Recap"),
        code("x = 1\n" * 50),  # and 5 on any reading
    ]
    assert tool.minutes(nbformat.v4.new_notebook(cells=cells)) == (20, 40)


def test_a_failing_cell_writes_nothing(toy):
    toy.write_text(TOY + "\n# %%\n1 / 0\n", encoding="utf-8")
    with pytest.raises(tool.NotebookError, match="ZeroDivisionError"):
        tool.build(toy)
    assert not tool.targets(toy)["student"].exists()


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[]), "left an error"),
        (nbformat.v4.new_output("stream", name="stderr", text="UserWarning"), "wrote to stderr"),
    ],
)
def test_errors_and_warnings_are_refused(output, complaint):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])
    with pytest.raises(tool.NotebookError, match=complaint):
        tool.tidy(notebook)


def test_a_smaller_picture_keeps_its_size_its_grays_and_a_few_coloured_marks():
    drawn = Image.linear_gradient("L").convert("RGBA")
    marks = {(10, 10): (0, 114, 178), (10, 20): (0, 158, 115), (10, 30): (213, 94, 0)}
    for place, colour in marks.items():
        drawn.putpixel(place, (*colour, 255))
    buffer = io.BytesIO()
    drawn.save(buffer, format="png")
    reduced = tool.quantised(base64.b64encode(buffer.getvalue()).decode())
    picture = Image.open(io.BytesIO(base64.b64decode(reduced))).convert("RGB")
    assert picture.size == drawn.size
    assert len(picture.getcolors()) <= 256
    assert {place: picture.getpixel(place) for place in marks} == marks
    ramp = [picture.getpixel((200, row))[0] for row in range(256)]
    assert max(abs(gray - row) for row, gray in enumerate(ramp)) <= 1
    assert (ramp[0], ramp[255]) == (0, 255)


def test_lessons_are_chosen_by_number_or_name(toy):
    assert tool.sources(["98"]) == tool.sources(["98_toy"]) == [toy]
    with pytest.raises(tool.NotebookError, match="no lesson 44; there is 98_toy"):
        tool.sources(["44"])
