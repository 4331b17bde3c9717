"""The instructor pack: its pages are what lessons and plans say, and its minutes add up.

The lessons are read here by other means than the tool's, from their sources as text. What a student is told
about a mistake is compared in `test_exercises.py`, where the mistakes are judged anyway.
"""

import json
import re
import sys
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

from course_utils.report.rubric import check_report
from course_utils.teaching.exercises import all_exercises

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import concept_map  # noqa: E402
import instructors as tool  # noqa: E402

SOURCES = sorted((ROOT / "notebooks" / "src").glob("[0-9][0-9]_*.py"))
NUMBERS = [source.stem[:2] for source in SOURCES]
TEXT = {source.stem: re.sub(r"^# ?", "", source.read_text("utf-8"), flags=re.MULTILINE) for source in SOURCES}
NEEDS = {
    name[:2]: set(re.findall(r"\((\d\d)_\w+\.ipynb\)", re.search(r"\*\*Prereq.+?\n\n", text, re.DOTALL)[0]))
    for name, text in TEXT.items()
}
PAGES = sorted((ROOT / "docs" / "instructors").glob("*.md"))
MINUTES = {exercise.id: exercise.minutes for exercise in all_exercises()}
SKIPPED = " (skip on a first reading)"
each_lesson = pytest.mark.parametrize("name", TEXT)


@pytest.fixture(scope="module")
def lessons():
    return tool.lessons()


def plan(name):
    return tool._toml(name)


def headings(name):
    """Each section's heading, and whether a first reading leaves it out."""
    found = re.findall(r"^## (?!BEGIN|END)(.+)$", TEXT[name].partition("\n# ")[2], re.MULTILINE)
    return {h.removesuffix(SKIPPED): h.endswith(SKIPPED) for h in ["Opening", *found]}


def card(name):
    found = re.search(r"^\| (\d+) min(?:, (\d+) with all)? \|", TEXT[name], re.MULTILINE)
    return int(found[1]), int(found[2] or found[1])


def before(number):
    """All lessons that a lesson needs, those included that others bring along."""
    return {one for need in NEEDS[number] for one in {need, *before(need)}}


# The pages


def test_the_pages_are_what_lessons_and_plans_say(lessons):
    assert tool.differing(lessons) == []


def test_make_check_notebooks_compares_the_pages_too():
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("check-notebooks:")[2].partition("\n\n")[0]
    assert "tools/instructors.py check" in recipe


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_one_title_and_skips_no_level(path):
    levels = [len(marks) for marks in re.findall(r"^(#+) ", path.read_text("utf-8"), re.MULTILINE)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= level + 1 for level, after in pairwise(levels))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_link_of_a_page_leads_to_a_file_and_to_a_term_of_the_glossary(path):
    anchors = {tool.anchor(term) for term in tool.glossary()}
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)", path.read_text("utf-8")):
        assert (path.parent / target[0]).is_file(), target
        assert not target[1] or target[0] != "../glossary.md" or target[1] in anchors


def test_every_mistake_that_an_exercise_knows_is_on_the_page_of_its_lesson(lessons):
    shown = {key for lesson in lessons for key in tool.stored(lesson)}
    assert shown == {(ex.id, planted.mistake) for ex in all_exercises() for planted in ex.planted}


def test_messages_that_differ_in_a_number_are_the_same_and_others_are_not():
    assert tool.same_but_for_numbers("0.1 everywhere, off by 2e-08.", "0.00392 everywhere, off by 5e-10.")
    assert not tool.same_but_for_numbers("row 3 is too dark", "row 3 is too bright")


# The plans


@each_lesson
def test_the_minutes_of_the_sections_sum_to_the_card(name):
    minutes, skipped = plan(name)["minutes"], headings(name)
    assert list(minutes) == list(skipped)
    first = sum(took for heading, took in minutes.items() if not skipped[heading])
    assert (first, sum(minutes.values())) == card(name)


@each_lesson
def test_a_section_has_the_minutes_that_its_exercises_take(name):
    for part in re.split(r"^## ", TEXT[name], flags=re.MULTILINE):
        heading = part.partition("\n")[0].removesuffix(SKIPPED)
        exercises = re.findall(r"^### Exercise (\d\d\.\d)", part, re.MULTILINE)
        if exercises:
            assert plan(name)["minutes"][heading] >= sum(MINUTES[number] for number in exercises)


@each_lesson
def test_every_objective_has_an_exercise_or_a_question(name):
    aims = re.search(r"\*\*You will be able to\*\*\n\n(.+?)\n\n", TEXT[name], re.DOTALL)[1]
    shown_by = plan(name)["shown_by"]
    assert len(shown_by) == len(re.findall(r"^- ", aims, re.MULTILINE))
    there = {number for number in MINUTES if number.startswith(name[:2])}
    there |= set(re.findall(r"<summary>(\d+)\. ", TEXT[name]))
    there |= {f"ask {n}" for n, _ in enumerate(plan(name).get("asks", ()), start=1)}
    if name == "00_start_here":
        there.add("doctor")  # that the machine is ready, the machine says
    assert all(by and set(by) <= there for by in shown_by)


@each_lesson
def test_a_cut_is_a_section_or_an_exercise_of_a_first_reading_and_is_cut_once(name):
    skipped, gone = headings(name), set()
    for cut in plan(name)["cuts"]:
        what = cut["what"]
        inside = [h for h in skipped if re.search(rf"### Exercise {re.escape(what)}", section(name, h))]
        (where,) = inside or [what]
        assert not skipped[where]
        assert not {what, where} & gone
        gone.add(what)
    assert len(gone) >= 3


def section(name, heading):
    for part in re.split(r"^## ", TEXT[name], flags=re.MULTILINE):
        if part.partition("\n")[0].removesuffix(SKIPPED) == heading:
            return part
    return ""


@each_lesson
def test_what_is_left_after_a_cut_is_what_the_page_says(name):
    left = card(name)[0]
    page = (ROOT / "docs" / "instructors" / f"{name}.md").read_text("utf-8")
    for cut in plan(name)["cuts"]:
        saved = MINUTES.get(cut["what"]) or plan(name)["minutes"][cut["what"]]
        left -= saved
        assert re.search(rf"\({saved} minutes?; {left} are left\)", page)


@each_lesson
def test_code_that_a_plan_names_is_in_the_lesson(name):
    said = json.dumps([plan(name)[part] for part in ("demo", "cuts", "disagreement")])
    commands = ("--read fast", "check_report")
    missing = [
        code for code in re.findall(r"`([^`]+)`", said) if code not in TEXT[name] and code not in commands
    ]
    assert missing == []


@each_lesson
def test_figures_that_a_plan_quotes_are_those_of_the_solved_lesson(name):
    solved = json.loads((ROOT / "notebooks" / "solutions" / f"{name}.ipynb").read_text("utf-8"))
    there = json.dumps(solved["cells"], ensure_ascii=False) + TEXT[name]
    quoted = [step["see"] for step in plan(name)["demo"]]
    quoted += [plan(name)["disagreement"][part] for part in ("settles", "then")]
    figures = re.findall(r"(?<![\w.])\d[\d,.]*\d%?|(?<![\w.])\d%?", " ".join(quoted))
    assert [figure for figure in figures if figure not in there] == []


@each_lesson
def test_the_two_who_disagree_do_so_in_that_section(name):
    quarrel = plan(name)["disagreement"]
    part = section(name, quarrel["at"])
    for who in quarrel["who"]:
        assert re.search(rf"{who}\b", part)
    assert len(quarrel["claims"]) == len(quarrel["who"]) == 2


@pytest.fixture
def own_plans(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "PLANS", tmp_path)
    tool._toml.cache_clear()
    yield tmp_path
    tool._toml.cache_clear()


def test_a_plan_that_does_not_fit_is_named_in_one_sentence(own_plans, lessons):
    good = (ROOT / "docs" / "instructors" / "plans" / "08_clustering.toml").read_text("utf-8")
    eight = lessons[8]

    def complaint(text):
        (own_plans / "08_clustering.toml").write_text(text, "utf-8")
        tool._toml.cache_clear()
        return tool.complaints(eight)

    assert complaint(good) == []
    (longer,) = complaint(good.replace('"What does k-means do?" = 14', '"What does k-means do?" = 15'))
    assert longer == "plan of lesson 08: its minutes sum to 76 and 86; the card says 75 and 85"
    (renamed,) = complaint(good.replace('"And HDBSCAN?" = ', '"And DBSCAN?" = '))
    assert "And HDBSCAN?, And DBSCAN?" in renamed
    (stranger,) = complaint(good.replace('who = ["Ada", "Ben"]', 'who = ["Ada", "Kim"]'))
    assert "Kim is not in" in stranger
    with pytest.raises(tool.PlanError, match=r"^docs/instructors/plans/08_clustering\.toml is no TOML"):
        complaint("minutes = [")
    with pytest.raises(
        tool.PlanError, match=r"^docs/instructors/plans/09_do_you_believe_it\.toml is missing$"
    ):
        tool.complaints(lessons[9])


# Schedules


SCHEDULES = plan("schedules")["schedule"]
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: each["name"])


def minutes_of(item):
    names = {name[:2]: name for name in TEXT}
    return card(names[item["lesson"]])[0] if "lesson" in item else item["minutes"]


@each_schedule
def test_the_minutes_of_a_schedule_fit_its_hours(schedule):
    for session in schedule["session"]:
        assert sum(map(minutes_of, session["item"])) <= session["minutes"], session["name"]


@each_schedule
def test_nobody_sits_for_more_than_an_hour_and_a_half(schedule):
    for session in schedule["session"]:
        stretch = 0
        for item in session["item"]:
            stretch = 0 if item.get("what") == "Break" else stretch + minutes_of(item)
            assert stretch <= 90, session["name"]


@each_schedule
def test_a_lesson_of_a_schedule_comes_after_those_that_it_needs_or_a_bridge_says_what_to_say(schedule):
    taught, bridged = [], schedule.get("bridge", {})
    for item in (item for session in schedule["session"] for item in session["item"] if "lesson" in item):
        assert NEEDS[item["lesson"]] <= {*taught, *bridged}
        taught.append(item["lesson"])
    assert len(set(taught)) == len(taught)
    assert not set(taught) & set(bridged)


def test_a_semester_holds_every_lesson():
    taught = [item["lesson"] for s in SCHEDULES[-1]["session"] for item in s["item"] if "lesson" in item]
    assert taught == NUMBERS


# The concept map


def test_lessons_form_no_circle_and_need_only_earlier_ones():
    assert next(iter(TopologicalSorter(NEEDS).static_order())) == "00"
    for number, needs in NEEDS.items():
        assert all(need < number for need in needs)
        assert needs or number == "00"


def test_what_is_drawn_is_what_the_lessons_need(lessons):
    assert {lesson.number: set(lesson.needs) for lesson in lessons} == NEEDS
    column = concept_map.columns(NEEDS)
    assert all(column[need] < column[number] for number in NEEDS for need in NEEDS[number])
    arrows = concept_map.direct(NEEDS)

    def reached(number):
        return {one for need in arrows[number] for one in {need, *reached(need)}}

    assert all(reached(number) == before(number) for number in NEEDS)


def test_a_circle_is_refused():
    circle = {"1": ["2"], "2": ["1"]}
    with pytest.raises(ValueError, match=r"^lessons that need one another: 1, 2$"):
        concept_map.columns(circle)
    with pytest.raises(CycleError):
        TopologicalSorter(circle).prepare()


def test_the_picture_holds_every_lesson_and_its_words_and_the_text_says_the_same(lessons):
    svg = (ROOT / "docs" / "instructors" / "concept-map.svg").read_text("utf-8")
    drawn = " ".join(re.findall(r"<text[^>]*>([^<]+)</text>", svg))
    page = (ROOT / "docs" / "instructors" / "concepts.md").read_text("utf-8")
    for lesson in lessons:
        words = plan(lesson.name)["brings"]
        assert f"{lesson.number} {lesson.short}" in drawn
        assert ", ".join(words[:4]) in drawn
        assert all(f"[{word}](../glossary.md#" in page for word in words)
    assert re.search(r"!\[Arrows between the lessons: [^\]]{200,}\]\(concept-map\.svg\)", page)


def test_drawing_twice_changes_no_byte(tmp_path):
    boxes = {number: (number, ["a word"]) for number in NEEDS}
    for name in ("one.svg", "other.svg"):
        concept_map.draw(NEEDS, boxes, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


@each_lesson
def test_words_that_a_lesson_brings_are_its_own_and_those_it_builds_on_come_before(name):
    credited = tool.glossary()
    assert all(credited[word][-1] == name[:2] for word in plan(name)["brings"])
    for word in plan(name)["builds_on"]:
        brought_by = [other for other in TEXT if word in plan(other)["brings"]]
        assert len(brought_by) == 1, word
        assert brought_by[0][:2] in before(name[:2]), word


def test_lessons_of_which_the_page_says_so_load_no_network():
    assert "lessons 07 to 10 load no network" in (ROOT / "docs/instructors/concepts.md").read_text("utf-8")
    assert not any("load_backbone" in TEXT[name] for name in TEXT if "07" <= name[:2] <= "10")
    assert not any("11" in needs for needs in NEEDS.values())


# The rubrics


def test_the_capstones_rubric_is_the_one_that_a_run_is_asked(tmp_path):
    asked = check_report(tmp_path).items
    page = (ROOT / "docs" / "instructors" / "rubric.md").read_text("utf-8")
    assert re.findall(r"^\| `(\w+)` \| (.+?) \|", page, re.MULTILINE) == [(i.id, i.asks) for i in asked]
    assert len(asked) == 9
    taught = plan("pages")["taught"]
    assert set(taught) == {item.id for item in asked}
    assert {number for numbers in taught.values() for number in numbers} <= set(NUMBERS)
