"""Exercises: a check that says what is wrong and where to look, hints, and the mistakes worth catching.

A lesson calls ``exercise("04.1").check(my_function)``; the rest of exercise 04.1 is one ``Exercise`` in
``lesson_04.py`` beside this file. The solution is in the lesson's source and nowhere else.

A lesson's module holds ``EXERCISES``, a tuple, and, for each exercise, one function that tests an answer.
That function returns when the answer is right and raises ``NotYet("what is wrong, and where to look")``
when it is not.
"""

from __future__ import annotations

import dis
import functools
import importlib
import inspect
import os
import pkgutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

import numpy as np

__all__ = [
    "Exercise",
    "NotTried",
    "NotYet",
    "Planted",
    "Verdict",
    "all_exercises",
    "exercise",
    "kind_of",
    "tried",
]

_NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"
_MARKS = {"untried": "⏳", "wrong": "❌", "right": "✅"}
_hints_given: dict[str, int] = {}


class NotYet(Exception):
    """Raised by an exercise's test: one sentence on what is wrong with the answer and where to look."""


class NotTried(Exception):
    """The answer is still the stub that the lesson came with."""


@dataclass(frozen=True)
class Planted:
    """A wrong answer, kept so that a test can prove that the check tells this mistake from others.

    ``mistake`` names what the student did in a few words; ``says`` is part of the message that must come
    back.
    """

    answer: Any
    mistake: str
    says: str


@dataclass(frozen=True)
class Verdict:
    """What a check found: the state, and the line that the student reads."""

    state: Literal["untried", "wrong", "right"]
    text: str


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    ``test(answer)`` returns if the answer is right and raises ``NotYet`` if not; ``buys`` says what a right
    answer is good for; ``hints`` go from a nudge to almost the answer. The answer is a function, or any
    other value; if the planted answers are functions, it has to be one. ``fills`` are the places of those
    of its arguments, from 0, that the answer is to change; any other stays as it was.
    """

    id: str
    title: str
    minutes: int
    test: Callable[[Any], None]
    buys: str
    hints: tuple[str, ...]
    planted: tuple[Planted, ...]
    fills: tuple[int, ...] = ()

    def check(self, answer: Any) -> None:
        """Print the verdict on the answer. Raise nothing, unless ``COURSE_STRICT=1`` and it is not right."""
        verdict = self.judge(answer)
        _print_wrapped(verdict.text)
        if verdict.state != "right" and os.environ.get("COURSE_STRICT") == "1":
            raise AssertionError(verdict.text)

    def use(self, answer: Any, *, otherwise: Any) -> Any:
        """Return what the rest of a lesson runs on, and say so: a right answer, else the course's own."""
        right = self.judge(answer).state == "right"
        whose = "your answer" if right else "the course's own"
        _print_wrapped(f"{self.id}: from here on, the lesson runs on {whose}.")
        return answer if right else otherwise

    def judge(self, answer: Any) -> Verdict:
        """Return the verdict on an answer, without printing; an answer that raises is wrong, not an error."""
        try:
            if self._asks_for_a_function() and not callable(tried(answer)):
                raise NotYet("Give `check` the function itself, without brackets.")
            changed: list[str] = []
            self.test(_watched(answer, changed, self.fills) if _is_function(answer) else tried(answer))
            if changed:
                raise NotYet(
                    f"your function changes {changed[0]} where it stands, and its caller finds something "
                    "else in it afterwards. Compute something new, or work on a copy."
                )
        except NotTried:
            return self._verdict("untried", "not tried yet")
        except NotYet as problem:
            return self._verdict("wrong", f"not yet: {problem}")
        except (Exception, SystemExit) as error:  # `exit()` in an answer would end the kernel
            return self._verdict("wrong", f"not yet: {_explain(error, answer)}")
        return self._verdict("right", f"right: {self.buys}")

    def hint(self) -> None:
        """Print the next hint; after the last one, where the solved lesson is."""
        given = _hints_given.get(self.id, 0)
        _hints_given[self.id] = given + 1
        if given < len(self.hints):
            _print_wrapped(f"💡 {self.id} hint {given + 1} of {len(self.hints)}: {self.hints[given]}")
        else:
            _print_wrapped(f"💡 {self.id} has no more hints. The solved lesson is {_solved_lesson(self.id)}.")

    def _asks_for_a_function(self) -> bool:
        return any(_is_function(planted.answer) for planted in self.planted)

    def _verdict(self, state: Literal["untried", "wrong", "right"], text: str) -> Verdict:
        return Verdict(state, f"{_MARKS[state]} {self.id} {text}")


def exercise(exercise_id: str) -> Exercise:
    """Return the exercise with this id, such as ``"04.1"``; otherwise raise LookupError, listing all ids."""
    module = f"{__name__}.lesson_{exercise_id.partition('.')[0]}"
    if exercise_id.partition(".")[0] in _lessons():
        for candidate in importlib.import_module(module).EXERCISES:
            if candidate.id == exercise_id:
                return candidate
    there_is = ", ".join(e.id for e in all_exercises()) or "none so far"
    raise LookupError(f"There is no exercise {exercise_id!r}. Available: {there_is}.")


def all_exercises() -> list[Exercise]:
    """Return every exercise of every lesson, in order."""
    return [e for n in _lessons() for e in importlib.import_module(f"{__name__}.lesson_{n}").EXERCISES]


def tried(value: Any) -> Any:
    """Return the value; raise ``NotTried`` for ``...`` and ``None``, which is what an untouched stub leaves.

    The first result of a function is checked automatically. A test whose answer is a class calls this on
    the first thing that the class computes.
    """
    if value is ... or value is None:
        raise NotTried
    return value


def kind_of(value: Any, array: str = "one") -> str:
    """Describe a result for a message: ``one of shape (3, 4)`` for an array, else ``a list`` and the like."""
    if isinstance(value, np.ndarray):
        return f"{array} of shape {value.shape}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"


def _lessons() -> list[str]:
    names = [m.name for m in pkgutil.iter_modules(__path__)]
    return sorted(name.removeprefix("lesson_") for name in names if name.startswith("lesson_"))


def _is_function(answer: Any) -> bool:
    return callable(answer) and not inspect.isclass(answer)


def _watched(
    answer: Callable[..., Any], changed: list[str], fills: tuple[int, ...] = ()
) -> Callable[..., Any]:
    """Return the function wrapped to say so if it turns out to be the stub or to lack a ``return``.

    The names of arguments that it changes, but for those at the places `fills`, are added to `changed`.
    """
    first = True

    @functools.wraps(answer)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal first
        values = (*args, *kwargs.values())
        before = [_snapshot(value) for value in values]
        result, is_first = answer(*args, **kwargs), first
        first = False
        for place, name in enumerate(_names(answer, args, kwargs)):
            if place not in fills and before[place] != _snapshot(values[place]):
                changed.append(name)
        if is_first and (result is ... or (result is None and _is_empty(answer))):
            raise NotTried
        if result is None:
            raise NotYet("your function gives back None. Does it end with `return …`?")
        return result

    return call


def _names(answer: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """Return what a student's function calls the arguments of a call."""
    try:
        own = list(inspect.signature(answer).parameters)
    except (TypeError, ValueError):  # some built-in functions have no signature
        own = []
    return [*(own + ["its argument"] * len(args))[: len(args)], *kwargs]


def _snapshot(value: Any) -> Any:
    """Return what tells whether an array, a tensor or a container of them was changed; else None."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if type(value).__module__ == "torch" and hasattr(value, "detach"):  # without importing torch
        return tuple(value.shape), str(value.dtype), value.detach().cpu().double().numpy().tobytes()
    if isinstance(value, dict):
        return [(str(key), _snapshot(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [_snapshot(each) for each in value]
    return value if isinstance(value, str | int | float) else None


def _is_empty(function: Callable[..., Any]) -> bool:
    """Return whether the body does nothing at all: ``...``, ``pass`` or a docstring alone."""
    does_nothing = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    return (
        isinstance(function, FunctionType)
        and {i.opname for i in dis.get_instructions(function)} <= does_nothing
    )


def _explain(error: BaseException, answer: Any) -> str:
    """Return a sentence about an exception: its type, its message, and the student's line that raised it."""
    code = getattr(answer, "__code__", None)
    line, traceback = None, error.__traceback__
    while traceback:
        if traceback.tb_frame.f_code is code:
            line = traceback.tb_lineno - traceback.tb_frame.f_code.co_firstlineno + 1
        traceback = traceback.tb_next
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if line:
        return f"line {line} of your function stopped with {what}"
    return f"your answer could not be checked ({what}). Is it of the kind that the exercise asks for?"


def _solved_lesson(exercise_id: str) -> str:
    lesson = exercise_id.partition(".")[0]
    found = sorted(_NOTEBOOKS.glob(f"solutions/{lesson}_*.ipynb"))
    return f"solutions/{found[0].name if found else lesson + '_….ipynb'}"


def _print_wrapped(text: str) -> None:
    print(textwrap.fill(text, width=100, subsequent_indent="   ", break_long_words=False))
