"""`course report --title --authors` asks for a page to publish, and says in the terminal what is not met."""

import shutil
from pathlib import Path

import pytest

from course_utils import cli
from course_utils.runs import Claim, write_claims, write_plan
from course_utils.teaching.sins import PLANNED

SAMPLE = Path(__file__).resolve().parents[1] / "data_samples" / "vectors"


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Make `out`, a run without clusters; no page is drawn, and what would be written is recorded."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SAMPLE, "out")
    asked = {}

    def write_report(folder, **options):
        asked.update(options)
        return folder / "report.html"

    monkeypatch.setattr("course_utils.report.write_report", write_report)
    return asked


def test_title_and_authors_reach_the_page_however_they_are_given(out):
    command = [
        "report",
        "out",
        "--title",
        "A title",
        "--authors",
        "A. Name",
        "B. Name",
        "--authors",
        "C. Name",
    ]
    assert cli.main(command) == 0
    assert out == {"title": "A title", "authors": ["A. Name", "B. Name", "C. Name"]}


def test_without_them_nothing_is_asked_for_and_nothing_is_said_of_a_rubric(out, capsys):
    for _ in range(2):
        assert cli.main(["report", "out"]) == 0
        assert out == {"title": None, "authors": ()}
    assert "Not met" not in capsys.readouterr().out


def test_with_a_plan_the_terminal_says_what_is_not_met(out, capsys):
    write_plan("out", PLANNED)
    write_claims("out", [Claim("There are two kinds.", "clusters")])
    assert cli.main(["report", "out"]) == 0
    said = capsys.readouterr().out
    assert "Not met, confounders: The clusters were held against nothing" in said
    assert "Not met, claims: Claim 1 (clusters) is stronger than the figures" in said
    assert "Not met, plan" not in said
