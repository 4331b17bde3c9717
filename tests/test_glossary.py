"""The glossary: in order, each term once, used, linked; every link of a lesson to it leads to a term."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.py"))


def anchor(heading):
    """What GitHub, JupyterLab and the site make of a heading, but for its capitals."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_terms_are_in_alphabetical_order_and_each_is_there_once():
    assert sorted(TERMS, key=str.lower) == TERMS
    assert len({anchor(term) for term in TERMS}) == len(TERMS)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_explained_in_a_few_sentences_and_names_its_lesson(term):
    text = re.search(rf"^## {re.escape(term)}\n\n(.+)$", TEXT, re.MULTILINE)[1]
    assert 5 <= len(text.split()) <= 70
    assert re.search(r"\[\d\d\]", text)


def test_every_link_within_the_glossary_leads_to_a_term():
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= {anchor(term) for term in TERMS}


def test_every_lesson_that_is_named_is_linked():
    defined = dict(re.findall(r"^\[(\d\d)\]: (\S+)$", TEXT, re.MULTILINE))
    named = set(re.findall(r"\[(\d\d)\](?!:)", TEXT))
    assert named <= set(defined)
    for target in defined.values():
        assert (ROOT / "docs" / target).is_file()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_link_of_a_lesson_to_the_glossary_leads_to_a_term(source):
    links = re.findall(r"docs/glossary\.md#([^)\s]+)", source.read_text(encoding="utf-8"))
    assert set(links) <= {anchor(term) for term in TERMS}


@pytest.mark.parametrize("term", TERMS)
def test_a_lesson_uses_the_words_of_a_term(term):
    lessons = " ".join(source.read_text(encoding="utf-8").lower() for source in SOURCES)
    for word in re.findall(r"[\w-]+", term.lower()):
        assert re.search(rf"\b{re.escape(word)}", lessons), word


def test_a_lesson_or_a_page_links_to_each_term():
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.name != "glossary.md"]
    links = {
        link
        for path in [*SOURCES, *pages]
        for link in re.findall(r"glossary\.md#([^)\s]+)", path.read_text(encoding="utf-8"))
    }
    assert {anchor(term) for term in TERMS} <= links
