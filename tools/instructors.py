"""From the lessons and a plan for each to the pages in `docs/instructors`, for whoever teaches the course.

What a lesson says itself (aims, card, exercises, quiz) is taken from its source; what a student is told about
a mistake is asked of the exercise. Only what a teacher alone can say stands in `docs/instructors/plans`:
minutes, what to cut, what to show, what to argue about. `check` judges no mistake, which takes seconds (the
tests of the exercises do that anyway), and says where a page differs.

    python tools/instructors.py build            every page, and the concept map
    python tools/instructors.py build 05         the page of one lesson
    python tools/instructors.py check
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import notebooks
from course_utils.report.rubric import Item, check_report
from course_utils.teaching.exercises import Exercise, all_exercises

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "instructors"
PLANS = PAGES / "plans"
GLOSSARY = ROOT / "docs" / "glossary.md"
OPENING = "Opening"
"""What stands above the first heading of a lesson: its aims and its card."""

CARD = re.compile(r"^\| (\d+) min(?:, (\d+) with all)? \|(.+)\|$", re.MULTILINE)
QUIZ = re.compile(r"<details><summary>(\d+)\. (.+?)</summary>\n\n(.+?)\n</details>", re.DOTALL)
TERM = re.compile(r"^## (.+)\n\n(.+)$", re.MULTILINE)
TOLD = re.compile(r"^- \*\*(.+?)\*\*: (.+)$")
NUMBER = re.compile(r"[-−]?\d[\d.,]*(?:e[-+]?\d+)?")

Messages = dict[tuple[str, str], str]
"""What a student reads, by exercise and mistake."""


class PlanError(Exception):
    """A plan that cannot be read or does not fit its lesson; the message says where."""


@dataclass(frozen=True)
class Section:
    """A part of a lesson under a `##` heading, and whether a first reading leaves it out."""

    heading: str
    text: str
    skipped: bool
    exercises: tuple[str, ...]


@dataclass(frozen=True)
class Lesson:
    """What a lesson's source says of itself; text has its links as seen from `docs/instructors`.

    `first` and `everything` are the minutes on its card; `needs` are the numbers of the lessons that its
    prerequisites name, `quiz` its questions, each with its answer.
    """

    name: str
    title: str
    aims: tuple[str, ...]
    prerequisites: str
    needs: tuple[str, ...]
    first: int
    everything: int
    machine: str
    sections: tuple[Section, ...]
    quiz: tuple[tuple[str, str], ...]

    @property
    def number(self) -> str:
        """Return its number, such as "08"."""
        return self.name[:2]

    @property
    def short(self) -> str:
        """Return its title without what comes after the colon."""
        return self.title.partition(" · ")[2].partition(":")[0]

    def section(self, heading: str) -> Section:
        """Return the section of this heading."""
        for section in self.sections:
            if section.heading == heading:
                return section
        raise PlanError(f"plan of lesson {self.number}: the lesson has no section {heading!r}")


@dataclass(frozen=True)
class Cut:
    """What may be left out when time is short, the minutes that this saves, and what to say instead."""

    what: str
    minutes: int
    say: str


def lessons() -> list[Lesson]:
    """Return all lessons in order."""
    return [read(source) for source in notebooks.sources()]


def read(source: Path) -> Lesson:
    """Read what a lesson's source says of itself."""
    cells = notebooks.read(source, "student").cells
    first = _from_here(cells[0].source)
    aims = re.search(r"\*\*You will be able to\*\*\n\n(.+?)\n\n", first, re.DOTALL)
    needs = re.search(r"\*\*Prerequisites\.\*\* (.+?)\n\n", first, re.DOTALL)
    card, title = CARD.search(first), re.search(r"^# (.+)$", first, re.MULTILINE)
    if not (aims and needs and card and title):
        raise PlanError(f"{source.name}: its first cell lacks a title, its aims, prerequisites or card")
    text = "\n\n".join(_from_here(cell.source) for cell in cells if cell.cell_type == "markdown")
    return Lesson(
        name=source.stem,
        title=title[1],
        aims=tuple(" ".join(aim.split()) for aim in aims[1].removeprefix("- ").split("\n- ")),
        prerequisites=" ".join(needs[1].split()),
        needs=tuple(re.findall(r"\((?:\.\./)+notebooks/(\d\d)_", needs[1])),
        first=int(card[1]),
        everything=int(card[2] or card[1]),
        machine=card[3],
        sections=tuple(_sections([cell.source for cell in cells])),
        quiz=tuple((" ".join(q.split()), " ".join(a.split())) for _, q, a in QUIZ.findall(text)),
    )


def _from_here(text: str) -> str:
    """Return text of a lesson with its links as seen from `docs/instructors`."""
    text = re.sub(r"\]\((?=\d\d_|solutions/)", "](../../notebooks/", text)
    return text.replace("](../docs/", "](../")


def _sections(cells: list[str]) -> Iterator[Section]:
    parts = re.split(r"^## (.+)$", "\n\n".join(cells), flags=re.MULTILINE)
    for heading, text in zip([OPENING, *parts[1::2]], parts[::2], strict=True):
        exercises = tuple(re.findall(r"^### Exercise (\d\d\.\d)", text, re.MULTILINE))
        name = heading.removesuffix(notebooks.SKIPPED).strip()
        yield Section(name, text, heading.endswith(notebooks.SKIPPED), exercises)


def plan_of(lesson: Lesson) -> dict[str, Any]:
    """Read the plan for a lesson."""
    return _toml(lesson.name)


@functools.cache
def _toml(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads((PLANS / f"{name}.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanError(f"docs/instructors/plans/{name}.toml is missing") from None
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"docs/instructors/plans/{name}.toml is no TOML: {error}") from None


def cuts(lesson: Lesson) -> list[Cut]:
    """Return what the plan would leave out, with the minutes that it saves: a section's, or an exercise's."""
    plan = plan_of(lesson)
    took = {exercise.id: exercise.minutes for exercise in all_exercises()}
    found = []
    for cut in plan["cuts"]:
        what = cut["what"]
        saved = took.get(what) or plan["minutes"].get(what)
        if saved is None:
            raise PlanError(f"plan of lesson {lesson.number}: {what!r} is no section and no exercise")
        found.append(Cut(what, saved, " ".join(cut["say"].split())))
    return found


def glossary() -> dict[str, tuple[str, ...]]:
    """Return the terms of the glossary, each with the numbers of the lessons that it names."""
    text = GLOSSARY.read_text(encoding="utf-8")
    return {term: tuple(re.findall(r"\[(\d\d)\]", said)) for term, said in TERM.findall(text)}


def anchor(term: str) -> str:
    """Return what GitHub and the site make of a heading."""
    return re.sub(r"[^\w\- ]", "", term.lower()).replace(" ", "-")


def judged(exercise: Exercise) -> Messages:
    """Ask an exercise what a student is told about each of its planted mistakes."""
    return {
        (exercise.id, planted.mistake): shown(exercise, exercise.judge(planted.answer).text)
        for planted in exercise.planted
    }


def shown(exercise: Exercise, verdict: str) -> str:
    """Return a verdict as it stands on a page; what might be taken for HTML is escaped outside of code."""
    parts = re.split(r"(`[^`]*`)", verdict.removeprefix(f"❌ {exercise.id} not yet: "))
    return "".join(part if part.startswith("`") else part.replace("<", r"\<") for part in parts)


def stored(lesson: Lesson) -> Messages:
    """Return the messages that the page of a lesson holds now."""
    path, found, exercise = PAGES / f"{lesson.name}.md", {}, ""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        heading = re.match(r"### (\d\d\.\d) ", line)
        exercise = heading[1] if heading else exercise
        if exercise and (told := TOLD.match(line)):
            found[exercise, told[1]] = told[2]
    return found


def same_but_for_numbers(one: str, other: str) -> bool:
    """Compare two messages; what they say was measured, timed or drawn may differ."""
    return NUMBER.sub("#", one) == NUMBER.sub("#", other)


def messages(lesson: Lesson) -> Messages:
    """Ask the exercises of a lesson, and keep what the page says where only a number has changed."""
    before, found = stored(lesson), {}
    for exercise in _exercises(lesson):
        for key, told in judged(exercise).items():
            kept = before.get(key, "")
            found[key] = kept if same_but_for_numbers(kept, told) else told
    return found


def _exercises(lesson: Lesson) -> list[Exercise]:
    return [exercise for exercise in all_exercises() if exercise.id.startswith(lesson.number)]


# The page of a lesson


def page(lesson: Lesson, told: Messages) -> str:
    """Write the page of a lesson."""
    plan = plan_of(lesson)
    parts = [
        f"# Teaching {lesson.title}",
        f"[Lesson](../../notebooks/{lesson.name}.ipynb) · "
        f"[solved](../../notebooks/solutions/{lesson.name}.ipynb) · [all lessons](index.md)",
        *_aims(lesson, plan),
        *_time(lesson, plan),
        *_cuts(lesson),
        *_demo(plan),
        *_disagreement(plan),
        "## When a laptop fails",
        _list(plan["laptop"]),
        *_mistakes(lesson, told),
        *_quiz(lesson, plan),
    ]
    return "\n\n".join(parts) + "\n"


def _aims(lesson: Lesson, plan: dict[str, Any]) -> Iterator[str]:
    yield "## Aim"
    yield " ".join(plan["aim"].split())
    yield "What the lesson promises under *You will be able to*, and what shows it:"
    yield _list(f"{aim} ({evidence(by)})" for aim, by in zip(lesson.aims, plan["shown_by"], strict=True))
    yield f"**Prerequisites.** {lesson.prerequisites}"
    words = [f"[{term}](../glossary.md#{anchor(term)})" for term in _terms(lesson)]
    if words:
        yield f"**Words that are new.** {', '.join(words)}."


def evidence(names: Iterable[str]) -> str:
    """Say what shows that an aim was reached: exercises ("08.1"), the quiz ("3"), a plan's asks ("ask 1")."""
    names = list(names)
    kinds = {
        "exercise": [name for name in names if "." in name],
        "quiz question": [name for name in names if name.isdigit()],
    }
    said = [f"{kind}{'s' if len(each) > 1 else ''} {_and(each)}" for kind, each in kinds.items() if each]
    said += [
        f"question {name.removeprefix('ask ')} to ask aloud" for name in names if name.startswith("ask ")
    ]
    return "; ".join(said + ["`course doctor`"] * ("doctor" in names))


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _terms(lesson: Lesson) -> list[str]:
    return [term for term, named in glossary().items() if named[-1:] == (lesson.number,)]


def _time(lesson: Lesson, plan: dict[str, Any]) -> Iterator[str]:
    both = lesson.everything != lesson.first
    every = f", {lesson.everything} with all" if both else ""
    run, memory, download, gpu = (each.strip() for each in lesson.machine.split("|"))
    yield "## Time"
    yield (
        f"{lesson.first} minutes{every}, as on the lesson's card. Run time {run}, peak memory {memory}, "
        f"download {download}, GPU {gpu}: see [how that was measured](../resource-cards.md)."
    )
    rows = ["| section | minutes | exercises |", "|---|---|---|"]
    for section in lesson.sections:
        minutes = plan["minutes"][section.heading]
        said = f"(+ {minutes})" if section.skipped else str(minutes or "at home")
        rows.append(f"| {section.heading} | {said} | {', '.join(section.exercises)} |")
    yield "\n".join(rows)
    if both:
        yield "In brackets: minutes of what a first reading leaves out. It makes good homework."


def _cuts(lesson: Lesson) -> Iterator[str]:
    found, took = cuts(lesson), {exercise.id: exercise for exercise in _exercises(lesson)}
    yield "## When you are late"
    yield (
        "Cut in this order. Still run the cells, without a word, since later ones need what they make. "
        "Where nobody solves an exercise, the lesson runs on the course's own function."
    )
    left, lines = lesson.first, []
    for number, cut in enumerate(found, start=1):
        left -= cut.minutes
        name = f"Exercise {cut.what}, {took[cut.what].title}" if cut.what in took else f"“{cut.what}”"
        minutes = f"{cut.minutes} minute{'s' if cut.minutes > 1 else ''}"
        lines.append(f"{number}. {name} ({minutes}; {left} are left). {cut.say}")
    yield "\n".join(lines)


def _demo(plan: dict[str, Any]) -> Iterator[str]:
    yield "## Show it live"
    lines = []
    for number, step in enumerate(plan["demo"], start=1):
        do, ask, see = (" ".join(step[part].split()) for part in ("do", "ask", "see"))
        lines.append(f"{number}. *{step['at']}* {do} **Ask:** {ask} **They see:** {see}")
    yield "\n".join(lines)


def _disagreement(plan: dict[str, Any]) -> Iterator[str]:
    quarrel = plan["disagreement"]
    one, other = quarrel["who"]
    yield f"## Let them disagree: {one} and {other}"
    yield f"In *{quarrel['at']}* they say:"
    claims = zip(quarrel["who"], quarrel["claims"], strict=True)
    yield _list(f"**{who}**: {' '.join(claim.split())}" for who, claim in claims)
    yield f"**What settles it.** {' '.join(quarrel['settles'].split())}"
    yield f"**Then ask.** {' '.join(quarrel['then'].split())}"


def _mistakes(lesson: Lesson, told: Messages) -> Iterator[str]:
    yield "## What goes wrong, and what they are told"
    yield (
        "A list to search, not to learn by heart. Look for a few words of the message on a student's screen "
        "(numbers may differ): the bold words in front of it say what the student did. Each mistake was made "
        "on purpose, and the message is what the check answered. Let it work before you explain."
    )
    for exercise in _exercises(lesson):
        yield f"### {exercise.id} {exercise.title} ({exercise.minutes} minutes)"
        yield "\n".join(
            f"- **{planted.mistake}**: {told[exercise.id, planted.mistake]}"
            for planted in exercise.planted
            if (exercise.id, planted.mistake) in told
        )


def _quiz(lesson: Lesson, plan: dict[str, Any]) -> Iterator[str]:
    yield "## Questions for the end"
    yield _questions(lesson.quiz)
    if "asks" in plan:
        yield "To ask aloud, since no exercise and no quiz question covers it:"
        yield _questions((asked["question"], asked["answer"]) for asked in plan["asks"])


def _questions(asked: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{n}. **{asks}** {answer}" for n, (asks, answer) in enumerate(asked, start=1))


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)


# The other pages


def index(all_lessons: list[Lesson]) -> str:
    """Write the page that one begins with."""
    rows = ["| lesson | minutes | with all | exercises | runs within | needs at most |"]
    rows.append("|---|---|---|---|---|---|")
    for lesson in all_lessons:
        run, memory, *_ = (each.strip().removeprefix("under ") for each in lesson.machine.split("|"))
        numbers = f"{lesson.first} | {lesson.everything} | {len(_exercises(lesson))}"
        rows.append(f"| [{lesson.number} {lesson.short}]({lesson.name}.md) | {numbers} | {run} | {memory} |")
    total = f"{sum(x.first for x in all_lessons)} | {sum(x.everything for x in all_lessons)}"
    rows.append(f"| all | {total} | {sum(len(_exercises(x)) for x in all_lessons)} | | |")
    return _filled("index", lessons="\n".join(rows))


def schedules(all_lessons: list[Lesson]) -> str:
    """Write the page of the schedules."""
    known, parts = {lesson.number: lesson for lesson in all_lessons}, []
    for schedule in _toml("schedules")["schedule"]:
        parts += [f"## {schedule['name']}", schedule["intro"].strip()]
        for session in schedule["session"]:
            parts += [f"### {session['name']}", _session(session, known)]
        if schedule.get("bridge"):
            parts.append("What is skipped, and what to say instead:")
            parts.append(
                _list(f"{known[n].number} {known[n].short}: {say}" for n, say in schedule["bridge"].items())
            )
        parts += [schedule["after"].strip()] if "after" in schedule else []
    return _filled("schedules", schedules="\n\n".join(parts))


def took(item: dict[str, Any], known: dict[str, Lesson]) -> int:
    """Return the minutes of an item of a session; a lesson takes what its card says."""
    return known[item["lesson"]].first if "lesson" in item else item["minutes"]


def _session(session: dict[str, Any], known: dict[str, Lesson]) -> str:
    clock = datetime.fromisoformat(f"2000-01-01T{session['from']}")
    rows = ["| from | minutes | what |", "|---|---|---|"]
    for item in session["item"]:
        what = item.get("what", "")
        if "lesson" in item:
            lesson = known[item["lesson"]]
            what = f"[{lesson.number} {lesson.short}]({lesson.name}.md)" + (f": {what}" if what else "")
        rows.append(f"| {clock:%H:%M} | {took(item, known)} | {what} |")
        clock += timedelta(minutes=took(item, known))
    rows.append(f"| {clock:%H:%M} | | end |")
    return "\n".join(rows)


def concepts(all_lessons: list[Lesson]) -> str:
    """Write the page of the concept map."""
    rows = ["| lesson | needs | brings | builds on |", "|---|---|---|---|"]
    for lesson in all_lessons:
        plan = plan_of(lesson)
        needs = ", ".join(lesson.needs) or "nothing"
        brings, builds = (", ".join(_linked(plan[name])) for name in ("brings", "builds_on"))
        rows.append(f"| [{lesson.number} {lesson.short}]({lesson.name}.md) | {needs} | {brings} | {builds} |")
    return _filled("concepts", alt=alt(all_lessons), concepts="\n".join(rows))


def _linked(terms: list[str]) -> list[str]:
    return [f"[{term}](../glossary.md#{anchor(term)})" for term in terms]


def alt(all_lessons: list[Lesson]) -> str:
    """Return the concept map in words."""
    said = [f"{x.number} {x.short} needs {' and '.join(x.needs) or 'nothing'}" for x in all_lessons]
    return f"Arrows between the lessons: {'; '.join(said)}."


def rubric(all_lessons: list[Lesson]) -> str:
    """Write the page of the rubrics."""
    rows = ["| lesson | you will be able to | shown by |", "|---|---|---|"]
    for lesson in all_lessons:
        for aim, by in zip(lesson.aims, plan_of(lesson)["shown_by"], strict=True):
            rows.append(f"| {lesson.number} | {aim} | {evidence(by)} |")
    taught = _toml("pages")["taught"]
    items = ["| item | what is asked | taught in |", "|---|---|---|"]
    items += [f"| `{item.id}` | {item.asks} | {', '.join(taught[item.id])} |" for item in capstone_items()]
    return _filled("rubric", aims="\n".join(rows), capstone="\n".join(items))


def capstone_items() -> tuple[Item, ...]:
    """Return what the capstone's own rubric asks of any run, here of an empty folder."""
    with tempfile.TemporaryDirectory() as nothing:
        return check_report(nothing).items


def _filled(name: str, **tables: str) -> str:
    text = _toml("pages")[name].strip() + "\n"
    for key, table in tables.items():
        text = text.replace(f"{{{key}}}", table)
    return text


def other_pages(all_lessons: list[Lesson]) -> dict[Path, str]:
    """Return the pages that are of no single lesson."""
    makers = {"index": index, "schedules": schedules, "concepts": concepts, "rubric": rubric}
    return {PAGES / f"{name}.md": make(all_lessons) for name, make in makers.items()}


# What is wrong with a plan, or with a page


def complaints(lesson: Lesson) -> list[str]:
    """Say where a plan does not fit its lesson; empty if it does."""
    plan, where = plan_of(lesson), f"plan of lesson {lesson.number}"
    headings = [section.heading for section in lesson.sections]
    if list(plan["minutes"]) != headings:
        differing = [h for h in headings if h not in plan["minutes"]]
        differing += [h for h in plan["minutes"] if h not in headings] or ["their order"]
        return [f"{where}: its minutes are not those of the lesson's sections: {', '.join(differing)}"]
    found = []
    first = sum(plan["minutes"][section.heading] for section in lesson.sections if not section.skipped)
    everything = sum(plan["minutes"].values())
    if (first, everything) != (lesson.first, lesson.everything):
        found.append(
            f"{where}: its minutes sum to {first} and {everything}; the card says {lesson.first} and "
            f"{lesson.everything}"
        )
    if len(plan["shown_by"]) != len(lesson.aims):
        found.append(f"{where}: {len(lesson.aims)} aims, and {len(plan['shown_by'])} lists in shown_by")
    for at in [*(step["at"] for step in plan["demo"]), plan["disagreement"]["at"]]:
        lesson.section(at)
    quarrel = plan["disagreement"]
    text = lesson.section(quarrel["at"]).text
    found += [f"{where}: {who} is not in {quarrel['at']!r}" for who in quarrel["who"] if who not in text]
    return found


def differing(all_lessons: list[Lesson]) -> list[str]:
    """Say where plans, lessons and pages differ, without judging any mistake; empty if nowhere."""
    found = [sentence for lesson in all_lessons for sentence in complaints(lesson)]
    if found:
        return found
    pages = {PAGES / f"{lesson.name}.md": page(lesson, stored(lesson)) for lesson in all_lessons}
    for path, text in (pages | other_pages(all_lessons)).items():
        where = path.relative_to(ROOT).as_posix()
        if not path.is_file():
            found.append(f"{where} is missing: make instructors")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{where} is not what its lesson and its plan say: make instructors")
    return found


def build(all_lessons: list[Lesson], chosen: list[Lesson]) -> None:
    """Write the pages of the chosen lessons; if these are all lessons, the other pages and the map, too."""
    pages = {PAGES / f"{lesson.name}.md": page(lesson, messages(lesson)) for lesson in chosen}
    if chosen == all_lessons:
        import concept_map  # matplotlib, for this alone

        pages |= other_pages(all_lessons)
        needs = {lesson.number: lesson.needs for lesson in all_lessons}
        boxes = {x.number: (f"{x.number} {x.short}", plan_of(x)["brings"][:4]) for x in all_lessons}
        concept_map.draw(needs, boxes, PAGES / "concept-map.svg")
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8", newline="\n")


def main() -> int:
    """Build or check; the exit status is 1 if something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["build", "check"])
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="a number (05); default: all")
    options = parser.parse_args()
    try:
        every = lessons()
        chosen = [x for x in every if not options.lessons or x.number in options.lessons]
        found = [sentence for lesson in chosen for sentence in complaints(lesson)]
        if not found and options.what == "build":
            build(every, chosen)
        found = found or (differing(every) if chosen == every else [])
    except (PlanError, notebooks.NotebookError) as error:
        found = [str(error)]
    print("\n".join(found) or f"[ok] {len(chosen)} lessons")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
