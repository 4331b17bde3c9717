"""The how-to pages and the page of commands are true: what they show is run, what they name is there."""

import re
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pages import blocks, follow, says

from course_utils import cli
from course_utils.cli import lab
from course_utils.cli.arguments import make_parser
from course_utils.embedding import EmbeddingExtractor, EmbeddingStore, load_backbone
from course_utils.imaging import patient_key
from course_utils.report import words
from course_utils.runs import Extraction

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(ROOT / "tools"))
from command_pages import command_pages, options_of  # noqa: E402

COMMANDS = DOCS / "commands.md"
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
PAGES = [COMMANDS, *HOW_TO]
FIRST = DOCS / "how-to" / "first-run.md"
RUN = [page for page in HOW_TO if any(block.language in ("console", "python") for block in blocks(page))]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Return a checkout with a single lesson: what `course lab` copies costs time."""
    root = tmp_path_factory.mktemp("room")
    for folder in ("notebooks", "notebooks/solutions"):
        (root / folder).mkdir()
        shutil.copy(ROOT / folder / lab.FIRST, root / folder)
    shutil.copytree(DOCS, root / "docs")
    return root


@pytest.fixture(scope="module")
def begun(room, tmp_path_factory):
    """Return what each page begins with: the samples, and what the page about the first run leaves."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("cohort", "broken"):
        shutil.copytree(ROOT / "data_samples" / part, folder / "data_samples" / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_BACKBONE", "efficientnet_lite0")
        patch.setenv("COURSE_DEVICE", "cpu")
        patch.delenv("COURSE_WEIGHTS", raising=False)
        patch.setattr(lab, "COURSE", room)
        patch.setattr(lab.subprocess, "call", lambda command, env: 0)  # nobody wants JupyterLab to open
        follow(FIRST, folder)
        yield folder


@pytest.fixture
def folder(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "checkout")


@pytest.fixture(scope="module")
def after_commands(begun, tmp_path_factory):
    """Return the folder in which all commands of docs/commands.md were run."""
    folder = tmp_path_factory.mktemp("commands")
    shutil.copytree(begun / "data_samples", folder / "data_samples")
    follow(COMMANDS, folder)
    return folder


# What is shown is run


@pytest.mark.parametrize(
    "page",
    [page for page in RUN if page.stem not in ("first-run", "features", "pictures", "own-reader")],
    ids=lambda page: page.stem,
)
def test_a_how_to_page_does_what_it_shows_and_prints_what_it_says(page, folder):
    follow(page, folder)


def test_the_patches_of_a_picture_have_the_mean_that_the_layer_has(folder):
    names = follow(DOCS / "how-to" / "features.md", folder)
    backbone = load_backbone("efficientnet_lite0", layer="network._blocks.10")
    layer = EmbeddingExtractor(backbone, device="cpu").embed(names["pictures"])
    assert names["maps"][0].mean((2, 3)).numpy() == pytest.approx(
        layer, abs=1e-4 * float(np.abs(layer).max())
    )
    assert np.array_equal(names["tiles"][6, 0], names["picture"][224:448, 448:672])


def test_a_table_made_of_names_says_of_pictures_what_their_dicom_files_said(folder):
    follow(DOCS / "how-to" / "pictures.md", folder)
    truth = pd.read_csv(folder / "data_samples" / "cohort" / "manifest.csv").sort_values("file")
    table = Extraction.read(folder / "results" / "films").table
    for said in ("view", "laterality"):
        assert table[said].tolist() == truth[said].tolist()
    women = pd.DataFrame({"key": table["patient_key"], "woman": truth["woman"].to_numpy()})
    assert len(women.drop_duplicates()) == women["key"].nunique() == women["woman"].nunique()


def test_women_of_a_reader_have_the_pseudonyms_of_the_store(folder):
    follow(DOCS / "how-to" / "own-reader.md", folder)
    key = EmbeddingStore(folder / "results" / "embeddings").key
    found = Extraction.read(folder / "results" / "arrays").table["patient_key"].tolist()
    assert found == [patient_key("W01", key), patient_key("W02", key)]


def test_every_command_prints_what_the_page_of_commands_says(after_commands):
    shown = {asked[0] for block in blocks(COMMANDS) for asked in _asked(block.text)}
    assert shown == set(_parsers())


@pytest.mark.slow
def test_what_takes_long_prints_what_the_page_of_commands_says(folder):
    follow(COMMANDS, folder, slow=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_without_running_it_can_at_least_be_asked_for(page):
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        for asked in _asked(block.text):
            make_parser().parse_args(asked)
    for name, rest in re.findall(r"`course ([a-z]+)([^`]*)`", text):
        known = {option for each in _parsers()[name]._actions for option in each.option_strings}
        assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)) <= known, f"course {name}{rest}"


def _asked(text):
    """Return the words of each line of a block that asks for `course`."""
    return [shlex.split(each) for each in re.findall(r"^(?:\$ )?course (\w+(?: .+)?)$", text, re.MULTILINE)]


def _parsers():
    return next(each for each in make_parser()._actions if each.dest == "command").choices


# What is named is there


def test_the_files_that_commands_are_said_to_write_are_written(after_commands):
    text = COMMANDS.read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+\.(?:parquet|csv|json|txt))`", text)) - {"manifest.csv", "pictures.csv"}
    written = {path.name for path in (after_commands / "results" / "mine").iterdir()}
    assert named == written
    columns = re.search(r"`embeddings.parquet`: one row per image, with (.+?) \(", text, re.DOTALL)[1]
    read = pd.read_parquet(after_commands / "results" / "mine" / "embeddings.parquet")
    assert re.findall(r"`(\w+)`", columns) == read.columns.tolist()


def test_the_page_about_the_report_has_its_sections_in_their_order():
    template = (ROOT / "course_utils" / "report" / "templates" / "report.html.jinja").read_text(
        encoding="utf-8"
    )
    there = " ".join(re.findall(r"<h[23][^>]*>(.+?)</h[23]>", template))
    text = (DOCS / "how-to" / "report.md").read_text(encoding="utf-8")
    parts = r"^(?:## |- \*\*(?=.+\?\*\*|What these))(.+?)(?:\*\*.*)?$"
    told = re.findall(parts, text, re.MULTILINE)
    places = [there.index(each) for each in told]
    assert len(told) == 13
    assert places == sorted(places)


def test_the_six_verdicts_of_the_page_are_those_of_the_report():
    text = (DOCS / "how-to" / "report.md").read_text(encoding="utf-8")
    told = re.findall(r"^- \*\*(.+?)\*\*(?: \(|:)", text, re.MULTILINE)
    two = SimpleNamespace(parts=[1, 2])
    given = ["separate clusters", "more than a cloud", "no better than a cloud", "too few", "not judged"]
    runs = [
        SimpleNamespace(evaluation=SimpleNamespace(conclusion=each, valley=two))
        for each in [*given, "nothing to judge"]
    ]
    assert told == [words.headline(run) for run in runs]


def test_every_command_has_a_section_and_a_place_for_its_options_in_the_order_of_the_help():
    text = COMMANDS.read_text(encoding="utf-8")
    assert re.findall(r"^## course (\w+)$", text, re.MULTILINE) == list(_parsers())
    assert re.findall(r"^<!-- options: (\w+) -->$", text, re.MULTILINE) == list(_parsers())


def test_the_site_lists_every_option_that_the_help_of_a_command_has(capsys):
    listed = options_of(make_parser())
    repeated = set(re.findall(r"`(--[\w-]+)", listed["embed"]))
    for name in _parsers():
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        options = set(
            re.findall(r"^  (?:-\w,? ?[\w.]*,? )?(--[\w-]+)", capsys.readouterr().out, re.MULTILINE)
        )
        there = set(re.findall(r"(--[\w-]+)", listed[name]))
        there |= repeated if "as for `course embed`" in listed[name] else set()
        assert options - there == {"--help"}, name
    page = command_pages()["docs/commands.md"]
    assert "<!-- options" not in page
    assert page.count("<details>") == page.count("</details>") == len(_parsers()) - 1  # doctor has none


def test_the_index_has_every_page_once_with_a_line_about_it():
    text = (DOCS / "how-to" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[… .+?\?\]\(([\w./-]+)\) .+\.$", text, re.MULTILINE)
    assert len(listed) == len(set(listed)) == text.count("\n- ")
    own = [each for each in listed if "/" not in each]
    assert sorted(own) == sorted(page.name for page in HOW_TO if page.stem != "index")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)) == 1
    for link, anchor in re.findall(r"\]\(([^)#:\s]+)(?:#([\w-]+))?\)", text):
        target = page.parent / link
        assert target.is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\s-]", "", each.lower()).replace(" ", "-") for each in headings]
            assert anchor in slugs, f"{link}#{anchor}"


# A page that is wrong is found out


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("24 files in 0.8 s", "24 files in 12.4 s", True),
        ("a long line\n    that is broken", "a long line that is broken\n", True),
        ("… GB of disk", "[ok]   62 GB of disk\n", True),
        ("24 files", "25 files", False),
        ("24 files", "24 files: 3 failed", False),
        ("… GB of disk", "62 GB of memory", False),
    ],
)
def test_what_differs_between_machines_may_differ_and_nothing_else(shown, printed, same):
    assert says(shown, printed) == same


@pytest.mark.parametrize(
    "wrong",
    [
        "```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n",
        "```console\n$ course map nowhere\nMap of 24 images\n```\n",
    ],
)
def test_a_page_that_says_something_else_than_was_printed_fails(wrong, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{wrong}", encoding="utf-8")
    with pytest.raises(AssertionError, match="printed"):
        follow(page, tmp_path)
