"""Exercises of lesson 06: a stopwatch, reading ahead in order, a data race, and the key of a cache."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import itertools
import json
import math
import numbers
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from typing import Any
from unittest import mock

from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of, tried
from course_utils.teaching.stopwatch import Turns, run_times

Actions = dict[str, Callable[[], Any]]
InTurns = Callable[[Actions, Callable[[], Any], Callable[[], float], Iterable[Any]], dict[str, float]]
Read = Callable[[str], str]
ReadAhead = Callable[[Read, Sequence[str], Executor, int], Iterable[str]]
Add = Callable[[Any, str], int]
CacheKey = Callable[[dict[str, Any]], str]

# --- 06.1: a stopwatch


class _Device:
    """A device that goes on computing while Python goes on, as a CUDA card does, in a time of its own."""

    LAUNCH = 0.001
    FIRST = 5.0

    def __init__(self, costs: Mapping[str, Sequence[float]]) -> None:
        self.costs = {
            name: itertools.chain([self.FIRST], itertools.cycle(each)) for name, each in costs.items()
        }
        self.now = self.done = 0.0
        self.readings = 0
        self.calls: list[str] = []

    def actions(self) -> dict[str, Callable[[], None]]:
        return {name: functools.partial(self.launch, name) for name in self.costs}

    def launch(self, name: str) -> None:
        self.calls.append(name)
        self.now += self.LAUNCH
        self.done = max(self.now, self.done) + next(self.costs[name])

    def synchronise(self) -> None:
        self.now = max(self.now, self.done)

    def clock(self) -> float:
        self.readings += 1
        return self.now


# Of these, the median, the mean, the last and so on are numbers apart, with the first run and without it.
_COSTS = {"short": (2.4, 1.5, 9.3, 0.7, 0.8), "long": (3.2, 12.0, 2.1, 1.2, 1.4)}


def _test_in_turns(in_turns: InTurns) -> None:
    for most in (5, 4):  # an even number has two in the middle
        _test_turns(in_turns, most)
    _test_one_turn(in_turns)


def _test_turns(in_turns: InTurns, most: int) -> None:
    costs = {name: each[:most] for name, each in _COSTS.items()}
    device, turns = _Device(costs), Turns(math.inf, most)
    actions = device.actions()
    given = dict(actions)
    got: Any = tried(in_turns(given, device.synchronise, device.clock, turns))
    _test_calls(device.calls, most + 1)
    if not isinstance(got, Mapping):
        raise NotYet(f"a dictionary is needed, with the seconds of each name, and out came {_a(got)}.")
    if set(got) != set(costs):
        raise NotYet(
            f"the actions are called short and long; your result has {', '.join(map(str, got)) or 'none'}."
        )
    short, long = (_as_number(got[name]) for name in costs)
    if isinstance(short, float) and short == long and short > 0.5:
        raise NotYet(
            f"short and long both came out as {short:.2f} s. Do the times of both go into the same "
            "list? `dict.fromkeys(actions, [])` makes one list for all names."
        )
    for name in costs:
        _test_seconds(got[name], name, costs[name], device.readings)
    if given != actions:
        raise NotYet(
            "the seconds are right, but the dictionary of actions that you were given has changed. It "
            "belongs to the caller: begin one of your own."
        )


def _test_calls(calls: list[str], turns: int) -> None:
    ran = {name: calls.count(name) for name in _COSTS}
    if set(ran.values()) != {turns}:
        why = ""
        if set(ran.values()) == {0}:
            why = " To run an action, call it: `action()`, with brackets."
        elif set(ran.values()) == {1}:
            why = " Does the `return` stand within the loop?"
        elif set(ran.values()) == {turns + 1}:
            why = " The first turn is the warm-up: nothing has to run before the loop."
        raise NotYet(
            f"there were {turns} turns; runs of short: {ran['short']}, of long: {ran['long']}. In each turn "
            f"each action runs once: `for _ in turns`, and in it a loop over the actions.{why}"
        )
    if any({*turn} != {*_COSTS} for turn in zip(calls[::2], calls[1::2], strict=True)):
        raise NotYet(
            f"they ran in this order: {', '.join(calls)}. If the machine is busy for a moment, one of them "
            "alone suffers. Let them take turns: the loop over `turns` is the outer one."
        )


def _as_number(found: Any) -> Any:
    """An array or a tensor of no axes is the number that it holds."""
    return found.item() if getattr(found, "shape", None) == () else found


def _test_seconds(found: Any, name: str, costs: Sequence[float], readings: int) -> None:
    found = _as_number(found)
    if not isinstance(found, numbers.Real):
        raise NotYet(f"one number of seconds a name is needed, and {name} got {_a(found)}.")
    seconds, middle = float(found), statistics.median(costs)

    def is_about(other: float) -> bool:
        return abs(seconds - other - _Device.LAUNCH) < 0.01

    if not readings:
        raise NotYet("take the time from `clock()`: the check's device lives in a time of its own.")
    if is_about(middle):
        return
    if seconds < 0:
        raise NotYet(f"{name} came out as {seconds:.2f} s, less than nothing: it is the end minus the start.")
    if seconds < 0.5:
        raise NotYet(
            f"your stopwatch says {seconds:.3f} s for work of {middle:.2f} s: it timed the launch. The "
            "device was still at work when the clock was read. Wait for it first, with `synchronise()`."
        )
    for other, why in _mistaken(costs):
        if is_about(other):
            raise NotYet(f"{name} came out as {seconds:.2f} s. {why}")
    raise NotYet(
        f"{name} came out as {seconds:.2f} s; the median of its runs after the first is {middle:.2f} s. For "
        "each run: synchronise, clock, action, synchronise, clock."
    )


def _mistaken(costs: Sequence[float]) -> list[tuple[float, str]]:
    """What else can be made of the runs, and what that is."""
    first, everything = _Device.FIRST, [_Device.FIRST, *costs]
    middles = (
        "That is one of the two in the middle. Of an even number of runs, the median lies halfway between "
        "them: `statistics.median` sees to it."
    )
    even = [(half(costs), middles) for half in (statistics.median_low, statistics.median_high)]
    mean = "and one slow run (the machine was busy) pulls it up. Take the median of the single runs."
    return [
        *(even if len(costs) % 2 == 0 else []),
        (
            statistics.median(everything),
            f"That is the median of all its runs. The first one took {first:g} seconds: it pays for setting "
            "up. Leave the first turn out.",
        ),
        (statistics.mean(costs), f"That is the mean, {mean}"),
        (statistics.mean(everything), f"That is the mean of all runs, the warm-up among them, {mean}"),
        (min(costs), "That is its fastest run; the median is asked for."),
        (max(costs), "That is its slowest run; the median is asked for."),
        (
            costs[-1],
            "That is its last run alone. Does each turn begin the list anew, or write over what was there?",
        ),
        (
            statistics.median(everything[:-1]),
            "That comes out without the last turn, or without the fastest run where the list was sorted too "
            "early; it is the first turn that warms up.",
        ),
        (statistics.median(costs[1:]), "That is the median without the first two turns; one is enough."),
        (
            1000 * (statistics.median(costs) + _Device.LAUNCH) - _Device.LAUNCH,
            "Those are milliseconds; seconds are asked for.",
        ),
    ]


def _test_one_turn(in_turns: InTurns) -> None:
    device = _Device(_COSTS)
    try:
        got = in_turns(device.actions(), device.synchronise, device.clock, Turns(0, 3))
        right = all(abs(got[name] - _Device.FIRST - _Device.LAUNCH) < 0.01 for name in _COSTS)
    except (ArithmeticError, LookupError, ValueError):  # no median of nothing
        right = False
    if not right:
        raise NotYet(
            "with several turns it is right. But where there is only one, nothing is left without the first: "
            "then that one has to count. (`times[1:] or times` is `times` if nothing follows.)"
        )


def _a(value: Any) -> str:
    return kind_of(value, "an array")


def _picked(times: dict[str, list[float]], pick: Callable[[list[float]], Any]) -> dict[str, Any]:
    return {name: pick(each[1:] or each) for name, each in times.items()}


def _cold(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    times = run_times(actions, synchronise, clock, turns)
    return {name: statistics.median(each) for name, each in times.items()}


def _launches(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return _picked(run_times(actions, lambda: None, clock, turns), statistics.median)


def _mean(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return _picked(run_times(actions, synchronise, clock, turns), statistics.mean)


def _fastest(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return _picked(run_times(actions, synchronise, clock, turns), min)


def _all_times(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return _picked(run_times(actions, synchronise, clock, turns), list)


def _one_number(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return statistics.median(_mean(actions, synchronise, clock, turns).values())


def _clock_of_its_own(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return _picked(run_times(actions, synchronise, time.perf_counter, turns), statistics.median)


def _one_after_the_other(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    found: dict[str, Any] = {}
    for name in actions:
        found |= run_times({name: actions[name]}, synchronise, clock, turns)
    return _picked(found, statistics.median)


def _turns_of_its_own(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return _picked(run_times(actions, synchronise, clock, range(6)), statistics.median)


def _backwards(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return _picked(run_times(actions, synchronise, lambda: -clock(), turns), statistics.median)


def _last_run(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return {name: each[-1] for name, each in run_times(actions, synchronise, clock, turns).items()}


def _without_the_last(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    times = run_times(actions, synchronise, clock, turns)
    return {name: statistics.median(each[:-1] or each) for name, each in times.items()}


def _without_two(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    times = run_times(actions, synchronise, clock, turns)
    return {name: statistics.median(each[2:] or each) for name, each in times.items()}


def _upper_middle(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    return _picked(run_times(actions, synchronise, clock, turns), lambda each: sorted(each)[len(each) // 2])


def _one_list_for_all(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    times = run_times(actions, synchronise, clock, turns)
    return dict.fromkeys(actions, statistics.median(itertools.chain(*times.values())))


def _nothing_for_one_turn(actions: Actions, synchronise: Any, clock: Any, turns: Any) -> Any:
    times = run_times(actions, synchronise, clock, turns)
    return {name: statistics.median(each[1:]) for name, each in times.items()}


# --- 06.2: read ahead, in order

_PATIENCE_S = 2.0  # for a read that waits for the next one, which never starts


class _CountingPool(ThreadPoolExecutor):
    """A pool that knows how many jobs it was given, and how many at most it had before one was asked for."""

    submitted = asked = most = 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        self.most = max(self.most, self.submitted - self.asked)
        future = super().submit(*args, **kwargs)
        future.result = functools.partial(self.ask, future.result, [])  # type: ignore[method-assign]
        return future

    def ask(self, result: Callable[..., Any], asked: list[bool], *args: Any, **kwargs: Any) -> Any:
        """Note that a job was asked for its result, once a job."""
        self.asked += not asked
        asked.append(True)
        return result(*args, **kwargs)


def _test_read_ahead(read_ahead: ReadAhead) -> None:
    for number, ahead in ((12, 3), (2, 3), (7, 4), (6, 2), (4, 1)):
        _test_reading(read_ahead, [f"{i}.dcm" for i in range(number)], ahead)


def _test_reading(read_ahead: ReadAhead, names: list[str], ahead: int) -> None:
    finished = {name: threading.Event() for name in names}
    pool = _CountingPool(ahead)

    def read(name: str) -> str:
        """Every third file takes so long that the one after it is there first."""
        place = names.index(name)
        slow = ahead > 1 and place % 3 == 0
        if slow and place + 1 < len(names) and not finished[names[place + 1]].wait(_PATIENCE_S):
            if not pool.submitted:
                raise NotYet(_NOT_SUBMITTED)
            raise NotYet(
                f"with `ahead` = {ahead}, the files were read one after the other: {names[place + 1]} was "
                f"not begun before {name} was there. Submit several before you ask the first for its result."
            )
        if slow:
            time.sleep(0.005)  # a loop that looks out for the first result sees the next one
        finished[name].set()
        return f"picture of {name}"

    try:
        given = list(names)
        _test_results(read_ahead(read, given, pool, ahead), pool, names, ahead)
        if given != names:
            raise NotYet(
                "the results are right, but the list of names that you were given is shorter now. It belongs "
                "to the caller: loop over it, and keep what is waiting in a queue of your own."
            )
    finally:
        for event in finished.values():
            event.set()  # nobody waits for a file that will not be read
        pool.shutdown(cancel_futures=True)


_NOT_SUBMITTED = "`pool.submit(read, name)` was never called: the pool that you were given has read nothing."


def _test_results(results: Any, pool: _CountingPool, names: list[str], ahead: int) -> None:
    if isinstance(results, str) or not isinstance(results, Iterable):
        raise NotYet(f"results are needed, one by one (`yield`), and out came {_a(results)}.")
    got: list[Any] = []
    problem = None  # of pace; what is in the wrong place is worse and is told first
    try:
        for result in results:
            if isinstance(result, Future):
                raise NotYet("out came a Future, which is a promise. Its `.result()` is the picture.")
            got.append(result)
            problem = problem or _pace(pool, len(got), len(names), ahead)
            if len(got) > len(names):
                break
    except NotYet as stopped:
        problem = str(stopped)
    for place, (result, name) in enumerate(zip(got, names, strict=False), start=1):
        if wrong := _misplaced(result, name, got[: place - 1]):
            it = "a function" if callable(result) else repr(result)
            raise NotYet(f"result {place} is {it}, and should be 'picture of {name}'. {wrong}")
    if isinstance(results, list | tuple) and got:
        raise NotYet(
            f"out came {_a(results)}, with all the pictures in memory at once. Hand each one out by itself: "
            "`yield` instead of `append`."
        )
    if problem:
        raise NotYet(problem)
    if not got:
        raise NotYet(f"{len(names)} files, and not one result: `yield` each.")
    if len(got) < len(names):
        raise NotYet(
            f"{len(names)} files, {len(got)} results: the last are still waiting when the loop ends."
        )
    if len(got) > len(names):
        raise NotYet(f"{len(names)} files, and more results: what is handed out must leave the queue.")
    if not pool.submitted:
        raise NotYet(_NOT_SUBMITTED)


def _misplaced(result: Any, name: str, before: list[Any]) -> str | None:
    """What is wrong with a result that is not the picture of this file; None if it is."""
    if isinstance(result, str) and result == f"picture of {name}":
        return None
    if callable(result):
        return "Call it, with brackets: `.result()`."
    if not (isinstance(result, str) and result.startswith("picture of ")):
        return "Hand out the picture alone, what `read` returned."
    if result in before:
        return "That one has been handed out before: what is handed out must leave the queue."
    return "A later file came first: rows now belong to other files. Which future did you submit first?"


def _pace(pool: _CountingPool, handed: int, files: int, ahead: int) -> str | None:
    """What is wrong with what is in the pool when so many have been handed out."""
    submitted = pool.submitted
    if submitted - handed > ahead:
        return (
            f"when result {handed} was handed out, {submitted} files were already in the pool; `ahead` is "
            f"{ahead}. Of ten thousand mammograms all would be in memory at once."
        )
    if pool.most > ahead:
        return (
            f"before result {handed} was asked for, {pool.most} files were waiting at once; `ahead` is "
            f"{ahead}. As soon as that many wait, take out the oldest, before you submit another."
        )
    if submitted == handed < files and ahead > 1:
        return (
            f"when result {handed} was handed out, no other file was being read: while the network is busy "
            "with it, the threads have nothing to do. Submit the next before you hand one out."
        )
    return None


def _as_they_come(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[str]:
    for future in as_completed([pool.submit(read, name) for name in names]):
        yield future.result()


def _all_at_once(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[str]:
    for future in [pool.submit(read, name) for name in names]:
        yield future.result()


def _one_by_one(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[str]:
    for name in names:
        yield pool.submit(read, name).result()


def _without_the_end(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[str]:
    waiting: deque[Future[str]] = deque()
    for name in names:
        waiting.append(pool.submit(read, name))
        if len(waiting) == ahead:
            yield waiting.popleft().result()


def _one_too_many(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[str]:
    yield from _full_at(read, names, pool, ahead + 1)


def _one_too_few(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[str]:
    yield from _full_at(read, names, pool, ahead - 1)


def _full_at(read: Read, names: Sequence[str], pool: Executor, full: int) -> Iterator[str]:
    waiting: deque[Future[str]] = deque()
    for name in names:
        waiting.append(pool.submit(read, name))
        if len(waiting) == full:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _pool_of_its_own(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[str]:
    with ThreadPoolExecutor(ahead) as own:
        yield from _full_at(read, names, own, ahead)


def _all_in_a_list(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> list[str]:
    return list(_full_at(read, names, pool, ahead))


def _with_names(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[Any]:
    yield from zip(names, _full_at(read, names, pool, ahead), strict=True)


def _in_blocks(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[str]:
    for start in range(0, len(names), ahead):
        for future in [pool.submit(read, name) for name in names[start : start + ahead]]:
            yield future.result()


def _promises(read: Read, names: Sequence[str], pool: Executor, ahead: int) -> Iterator[Any]:
    for name in names:
        yield pool.submit(read, name)


# --- 06.3: a data race


class _Turns:
    """Two threads that take turns, one step at a time, in an order that is given: nothing is left to luck.

    A step is what touches shared state. ``switches`` are the numbers of the steps before which the turn goes
    to the other thread. This is how CHESS looks for races (Musuvathi and others, OSDI 2008): few switches,
    at all places, find most of them.
    """

    WAIT_S = 0.05  # then the other one hangs in a lock that is not ours, and has lost its turn

    def __init__(self, switches: Sequence[int] = (), threads: int = 2) -> None:
        self.switches = set(switches)
        self.waiting = set(range(threads))  # who is not finished
        self.turn = 0
        self.steps = 0
        self.story: list[str] = []
        self.change = threading.Condition()
        self.me = threading.local()

    def step(self, what: str) -> None:
        """Wait for my turn, and say what I do with it."""
        with self.change:
            self.steps += 1
            if self.steps in self.switches:
                self.pass_on()
            self.wait()
            self.story.append(f"{'AB'[self.number]} {what}")

    @property
    def number(self) -> int:
        return getattr(self.me, "number", 0)

    def pass_on(self) -> None:
        others = self.waiting - {self.number}
        if others:
            self.turn = min(others)
            self.change.notify_all()

    def wait(self) -> None:
        if not self.change.wait_for(lambda: self.turn == self.number, self.WAIT_S):
            self.turn = self.number

    def run(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run each job in a thread of its own; returns what they return, raises what they raise."""
        results: list[Any] = [None] * len(jobs)
        errors: list[BaseException] = []

        def work(number: int, job: Callable[[], Any]) -> None:
            self.me.number = number
            try:
                with self.change:
                    self.wait()
                results[number] = job()
            except BaseException as error:
                errors.append(error)
            finally:
                with self.change:
                    self.waiting.discard(number)
                    self.pass_on()

        threads = [threading.Thread(target=work, args=each, daemon=True) for each in enumerate(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE_S)
        if errors:
            raise errors[0]
        if any(thread.is_alive() for thread in threads):
            with self.change:
                self.waiting.clear()  # ends who waits for a lock of ours: nobody is left to give it back
            raise NotYet(_NOT_GIVEN_BACK)
        return results


_NOT_GIVEN_BACK = (
    "a thread waits for ever: a lock was taken and is never given back. `with table.lock:` gives it back by "
    "itself, even after an error."
)
_TAKEN_TWICE = (
    "a thread waits for ever, for a lock that it holds itself: one call takes it twice. Take it once."
)


class _Lock:
    """A lock that tells the turns when somebody has to wait for it."""

    def __init__(self, turns: _Turns) -> None:
        self.turns = turns
        self.owner: int | None = None
        self.taken = self.refused = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        turns = self.turns
        turns.step("wants the lock")
        with turns.change:
            if self.owner is not None and not blocking:
                self.refused += 1
                turns.story.append(f"{'AB'[turns.number]} does not get it")
                if self.refused > 1:  # asks again and again: lets the other one go on
                    turns.pass_on()
                return False
            while self.owner is not None:
                if self.owner == turns.number:
                    raise NotYet(_TAKEN_TWICE)
                if self.owner not in turns.waiting:
                    raise NotYet(_NOT_GIVEN_BACK)
                turns.pass_on()
                turns.wait()
            self.owner = turns.number
            self.taken += 1
        return True

    def release(self) -> None:
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.owner = None

    def locked(self) -> bool:
        return self.owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Table:
    """Rows that several threads fill; each look at it and each change of it is a step."""

    def __init__(self, turns: _Turns) -> None:
        self.turns = turns
        self.lock = _Lock(turns)
        self.kept: dict[int, Any] = {}
        self.count = 0
        self.rows = _Rows(self)

    @property
    def filled(self) -> int:
        self.turns.step(f"reads filled = {self.count}")
        return self.count

    @filled.setter
    def filled(self, count: int) -> None:
        self.turns.step(f"sets filled = {count}")
        self.count = count


class _Rows:
    def __init__(self, table: _Table) -> None:
        self.table = table

    def __setitem__(self, row: Any, vector: Any) -> None:
        if isinstance(row, slice):
            for each, one in zip(range(*row.indices(len(self))), vector, strict=True):
                self[each] = one
            return
        self.table.turns.step(f"writes row {row}")
        self.table.kept[row] = vector

    def __getitem__(self, row: Any) -> Any:
        return self.seen()[row]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.seen())

    def __len__(self) -> int:
        return 8

    def index(self, vector: Any) -> int:
        return self.seen().index(vector)

    def append(self, vector: Any) -> None:
        raise NotYet(
            "`table.rows` has all its rows from the beginning, and `append` would put one more behind them. "
            "Write into one that is there: `table.rows[row] = vector`."
        )

    def seen(self) -> list[Any]:
        self.table.turns.step("looks at the rows")
        return [self.table.kept.get(row) for row in range(len(self))]


def _test_add(add: Add) -> None:
    _test_add_alone(add)
    for count in (0, 1, 2):
        for switches in itertools.combinations(range(1, 15), count):
            _test_add_together(add, switches)


def _test_add_alone(add: Add) -> None:
    table = _Table(_Turns(threads=1))
    lock = table.lock
    for number, vector in enumerate(("vector a", "vector b", "vector c")):
        row = tried(add(table, vector))
        if table.kept.get(number) != vector:
            filled = ", ".join(map(str, table.kept)) or "none so far"
            raise NotYet(
                f"with one thread alone, call {number + 1} should put its vector into row {number}. Rows "
                f"written: {filled}."
            )
        if table.count != number + 1:
            raise NotYet(f"after call {number + 1} `table.filled` should be {number + 1}, not {table.count}.")
        if row != number:
            raise NotYet(f"call {number + 1} filled row {number} and should return that, not {row!r}.")
        if table.lock is not lock:
            raise NotYet(
                "each call puts a new lock into `table.lock`, and that keeps nobody out: take the old."
            )
        if lock.locked():
            raise NotYet(_NOT_GIVEN_BACK)


_LOCKS = {"Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"}


def _test_add_together(add: Add, switches: Sequence[int]) -> None:
    turns = _Turns(switches)
    table = _Table(turns)
    lock, vectors = table.lock, ["vector a", "vector b"]
    try:
        rows = turns.run([lambda v=v: add(table, v) for v in vectors])  # type: ignore[misc]
    except RuntimeError:
        if not lock.refused:
            raise
        rows = []  # gave back what it never got
    if table.count == 2 and [table.kept.get(row) for row in rows] == vectors:
        return
    story = f"two threads, one of the ways that it can go: {'; '.join(turns.story)}. "
    if not rows:
        story += "One of them gives back a lock that it never got. "
    elif sorted(table.kept.values()) != vectors:
        story += "One vector is gone. "
    elif table.count != 2:
        story += f"Two vectors, and `filled` is {table.count}: the next one overwrites. "
    else:
        story += f"The rows that were returned, {rows}, are not where the vectors are. "
    if lock.refused:
        raise NotYet(
            f"{story}`acquire(blocking=False)` does not wait: it returns False where the lock is taken, and "
            "you went on without it. `with table.lock:` waits."
        )
    if _LOCKS & {*getattr(getattr(inspect.unwrap(add), "__code__", None), "co_names", ())}:
        raise NotYet(f"{story}A lock that every call makes for itself keeps nobody out: share one.")
    if not lock.taken:
        raise NotYet(f"{story}Nothing keeps the two apart: `table.lock` was not taken.")
    raise NotYet(f"{story}`table.lock` was taken, but not held from the first look at `filled` to the last.")


def _no_lock(table: Any, vector: str) -> int:
    row: int = table.filled
    table.rows[row] = vector
    table.filled = row + 1
    return row


def _own_lock(table: Any, vector: str) -> int:
    with threading.Lock():
        return _no_lock(table, vector)


def _lock_around_the_writes(table: Any, vector: str) -> int:
    row: int = table.filled
    with table.lock:
        table.rows[row] = vector
        table.filled = row + 1
    return row


def _kept_the_lock(table: Any, vector: str) -> int:
    table.lock.acquire()
    return _no_lock(table, vector)


def _did_not_wait(table: Any, vector: str) -> int:
    table.lock.acquire(blocking=False)
    row = _no_lock(table, vector)
    table.lock.release()
    return row


def _locked_twice(table: Any, vector: str) -> int:
    with table.lock:
        return _lock_around_the_writes(table, vector)


def _appended(table: Any, vector: str) -> int:
    with table.lock:
        table.rows.append(vector)
        table.filled += 1
        return int(table.filled) - 1


def _counted_first(table: Any, vector: str) -> int:
    with table.lock:
        table.filled += 1
        table.rows[table.filled] = vector
        return int(table.filled)


def _did_not_count(table: Any, vector: str) -> int:
    with table.lock:
        row: int = table.filled
        table.rows[row] = vector
    return row


def _returned_the_count(table: Any, vector: str) -> int:
    with table.lock:
        return _no_lock(table, vector) + 1


# --- 06.4: the key of a cache

_CONTENT = b"DICM" + bytes(range(256)) * 40 + b"the end of a file"
_JOB: dict[str, Any] = {
    "file": "W01_LCC.dcm",
    "content": _CONTENT,
    "preprocessing": {"size": 512, "voi": "auto", "flip": True},
    "backbone": "resnet50",
    "weights": "11ad3fa6c0a1",
    "adapter": "replicate",
    "precision": "fp32",
    "engine": "torch",
    "batch_size": 8,
    "device": "cuda:0",
    "started": "2024-05-17 21:04",
}
_MATTERS = {
    "content": (b"another file altogether", "somebody replaced the pixels and kept the name"),
    "preprocessing": ({"size": 512, "voi": "auto", "flip": False}, "one setting of the preprocessing"),
    "backbone": ("efficientnet_lite0", "another network"),
    "weights": ("0676ba61b680", "the weights: a paper compares two trainings, and gets one twice"),
    "adapter": ("folded", "from replicate to folded"),
    "precision": ("bf16", "from fp32 to bf16"),
    "engine": ("openvino", "from torch to openvino, which may choose a precision of its own"),
}
_MIDDLE = len(_CONTENT) // 2
_OTHER_CONTENTS = {
    "one byte in the middle is another, as long as before": _CONTENT[:_MIDDLE]
    + bytes([_CONTENT[_MIDDLE] ^ 1])
    + _CONTENT[_MIDDLE + 1 :],
    "two neighbours in the middle changed places": _CONTENT[:_MIDDLE]
    + _CONTENT[_MIDDLE : _MIDDLE + 2][::-1]
    + _CONTENT[_MIDDLE + 2 :],
    "one byte above 127, which is no letter, is another": _CONTENT.replace(b"\x90", b"\x91", 1),
    "the last byte is another": _CONTENT[:-1] + b"!",
    "the first byte is another": b"d" + _CONTENT[1:],
}
_OTHER_PREPROCESSING: dict[str, dict[str, Any]] = {
    "the size is 256": {"size": 256, "voi": "auto", "flip": True},
    "`voi` is off": {"size": 512, "voi": "off", "flip": True},
    "there is one setting more": {"size": 512, "voi": "auto", "flip": True, "margin": 8},
    "a setting has another name and the same value": {"size": 512, "voi": "auto", "crop": True},
}
_DOES_NOT = {
    "file": ("renamed.dcm", "renamed the file", "ten thousand files are computed again after every move"),
    "batch_size": (64, "changed the batch size", "a picture does not feel its neighbours"),
    "device": ("cuda:1", "took the other card", "the vector is the same within rounding"),
    "started": ("2024-05-18 07:31", "asked again the next day", "nothing is ever found again"),
}


def _test_cache_key(cache_key: CacheKey) -> None:
    value: Any
    with _another_process():
        first = tried(cache_key(copy.deepcopy(_JOB)))
    if not isinstance(first, str):
        raise NotYet(f"a key is a string, such as a hexdigest; yours is of type {type(first).__name__}.")
    twins = [copy.deepcopy(_JOB) for _ in range(2)]  # both alive: two addresses
    here, again = (cache_key(job) for job in twins)
    if here != again:
        raise NotYet("the same job, asked twice, has two keys: does an address, a time or a die go in?")
    for name, (value, what) in _MATTERS.items():
        if cache_key(copy.deepcopy(_JOB) | {name: copy.deepcopy(value)}) == here:
            raise NotYet(
                f"`{name}` changed ({what}), and the key did not: you get the old vector and never know."
            )
    for what, settings in _OTHER_PREPROCESSING.items():
        if cache_key(copy.deepcopy(_JOB) | {"preprocessing": dict(settings)}) == here:
            raise NotYet(
                f"two jobs differ in this alone: in their preprocessing, {what}. They have the same key. "
                "Take all the settings into it, each with its name."
            )
    for what, content in _OTHER_CONTENTS.items():
        if cache_key(copy.deepcopy(_JOB) | {"content": content}) == here:
            raise NotYet(
                f"two files differ in this alone: {what}. They have the same key. Take all of the content "
                "into it, not its length or a part of it: `hashlib.sha256(content)`."
            )
    for name, (value, what, price) in _DOES_NOT.items():
        if cache_key(copy.deepcopy(_JOB) | {name: value}) != here:
            raise NotYet(f"somebody {what}, and the key changed too: {price}. Leave `{name}` out.")
    if first != here:
        raise NotYet(
            "another process gets another key for the same job. `hash()` of text starts from a random number "
            "in every process (PYTHONHASHSEED); `hashlib.sha256` does not."
        )
    backwards = {name: _JOB[name] for name in reversed(_JOB)}
    backwards["preprocessing"] = dict(reversed(_JOB["preprocessing"].items()))
    if cache_key(copy.deepcopy(backwards)) != here:
        raise NotYet(
            "the same settings, written down in another order, get another key. Sort them: "
            "`json.dumps(…, sort_keys=True)`."
        )
    shifted = [copy.deepcopy(_JOB) | {"adapter": a, "precision": b} for a, b in (("ab", "c"), ("a", "bc"))]
    if cache_key(shifted[0]) == cache_key(shifted[1]):
        raise NotYet(
            "'ab' and 'c' give the same key as 'a' and 'bc': the parts are glued together with nothing "
            "between them, so that nobody can tell where one ends."
        )
    swapped = [copy.deepcopy(_JOB) | {"adapter": a, "precision": b} for a, b in (("a", "b"), ("b", "a"))]
    if cache_key(swapped[0]) == cache_key(swapped[1]):
        raise NotYet(
            "adapter 'a' with precision 'b' has the same key as adapter 'b' with precision 'a'. Sort by the "
            "names, and keep each value with its name."
        )
    contents = (b"DICM" + bytes(str(number), "ascii") for number in range(_FILES))
    kept = {cache_key(copy.deepcopy(_JOB) | {"content": content}) for content in contents}
    if len(kept) < _FILES:
        raise NotYet(
            f"{_FILES} files with {_FILES} contents have {len(kept)} keys between them: so short a key meets "
            "itself again. Keep all of the hexdigest."
        )
    job = copy.deepcopy(_JOB)
    cache_key(job)
    if job != _JOB:
        raise NotYet(
            "the key is right, but the job that you were given has changed. It belongs to the caller, who "
            "still needs it: make a dictionary of your own."
        )


_FILES = 1000


def _another_process() -> Any:
    """As if Python had been started anew: its `hash` of text begins elsewhere."""
    inside = hash
    return mock.patch("builtins.hash", lambda value: inside(("another start", value)))


def _parts(job: dict[str, Any], *without: str) -> dict[str, Any]:
    """What belongs into a key, but for what a planted answer leaves out."""
    parts = {name: job[name] for name in _MATTERS if name not in without}
    if "content" in parts:
        parts["content"] = hashlib.sha256(job["content"]).hexdigest()
    return parts


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _by_length(job: dict[str, Any]) -> str:
    return _digest([_parts(job, "content"), len(job["content"])])


def _emptied(job: dict[str, Any]) -> str:
    for name in _DOES_NOT:
        del job[name]
    job["content"] = hashlib.sha256(job["content"]).hexdigest()
    return _digest(job)


def _by_python(job: dict[str, Any]) -> str:
    return str(hash(json.dumps(_parts(job), sort_keys=True)))


def _sorted_values(job: dict[str, Any]) -> str:
    return _digest(sorted(json.dumps(part, sort_keys=True) for part in _parts(job).values()))


def _some_settings(job: dict[str, Any]) -> str:
    settings = job["preprocessing"]
    return _digest([_parts(job, "preprocessing"), settings["size"], settings.get("flip")])


def _as_written(job: dict[str, Any]) -> str:
    return hashlib.sha256(str({name: job[name] for name in job if name in _MATTERS}).encode()).hexdigest()


def _glued(job: dict[str, Any]) -> str:
    parts = _parts(job) | {"preprocessing": json.dumps(job["preprocessing"], sort_keys=True)}
    return hashlib.sha256("".join(parts.values()).encode()).hexdigest()


EXERCISES = (
    Exercise(
        id="06.1",
        title="A stopwatch that tells the truth",
        minutes=10,
        test=_test_in_turns,
        buys="no warm-up, no busy moment and no unfinished work is in your times any more.",
        hints=(
            "Two loops: the outer one over `turns`, the inner one over the actions. Where do you look at the "
            "clock, and where must the device be waited for before you do?",
            "In the inner loop: synchronise, clock, action, synchronise, clock; keep the difference in a "
            "list for each name. After both loops, the first of each list was the warm-up.",
            "`times = {name: [] for name in actions}` before the loops; in them `start = clock(); action(); "
            "synchronise(); times[name].append(clock() - start)`; at the end `return {name: "
            "statistics.median(each[1:] or each) for name, each in times.items()}`.",
        ),
        planted=(
            Planted(_cold, "counted the warm-up", "Leave the first turn out"),
            Planted(_launches, "did not wait for the device", "it timed the launch"),
            Planted(_mean, "took the mean", "That is the mean"),
            Planted(_fastest, "took the minimum", "its fastest run"),
            Planted(_all_times, "gave back all times", "one number of seconds a name"),
            Planted(_one_number, "made one number of everything", "a dictionary is needed"),
            Planted(_clock_of_its_own, "took another clock", "take the time from `clock()`"),
            Planted(_one_after_the_other, "timed one after the other", "Let them take turns"),
            Planted(_turns_of_its_own, "wrote the turns in", "In each turn each action runs once"),
            Planted(_backwards, "subtracted the wrong way round", "less than nothing"),
            Planted(_last_run, "kept the last run alone", "its last run alone"),
            Planted(_without_the_last, "left the last turn out", "without the last turn"),
            Planted(_without_two, "left two turns out", "without the first two turns"),
            Planted(_upper_middle, "took the upper one of two in the middle", "the two in the middle"),
            Planted(_one_list_for_all, "put all times into one list", "one list for all names"),
            Planted(_nothing_for_one_turn, "left nothing of a single turn", "that one has to count"),
        ),
    ),
    Exercise(
        id="06.2",
        title="Read ahead, in order",
        minutes=10,
        test=_test_read_ahead,
        buys="threads read while the network computes, rows stay where they belong, and memory stays flat.",
        hints=(
            "A future is a place in a queue. If you keep the futures in the order in which you submitted "
            "them, in whose order do the results come out?",
            "Keep a `collections.deque`. For each name, append `pool.submit(read, name)`. Once it holds "
            "`ahead` of them, take out the oldest and yield its result. What is left when the names are used "
            "up?",
            "In the loop: `waiting.append(pool.submit(read, name))`, then `if len(waiting) == ahead: yield "
            "waiting.popleft().result()`. After it: `while waiting: yield waiting.popleft().result()`.",
        ),
        planted=(
            Planted(_as_they_come, "took results as they came", "A later file came first"),
            Planted(_all_at_once, "submitted all files at once", "all would be in memory at once"),
            Planted(_one_by_one, "waited for each before the next", "with `ahead` = 3, the files were read"),
            Planted(_without_the_end, "forgot what was still waiting", "still waiting when the loop ends"),
            Planted(_in_blocks, "read in blocks", "the threads have nothing to do"),
            Planted(_one_too_many, "kept one too many", "files were waiting at once"),
            Planted(_one_too_few, "kept one too few", "with `ahead` = 2, the files were read"),
            Planted(_pool_of_its_own, "made a pool of its own", "was never called"),
            Planted(_all_in_a_list, "returned a list", "`yield` instead of `append`"),
            Planted(_with_names, "handed out names as well", "the picture alone"),
            Planted(_promises, "handed out futures", "which is a promise"),
        ),
    ),
    Exercise(
        id="06.3",
        title="Two threads, one table",
        minutes=8,
        test=_test_add,
        buys="however the threads take turns, every vector has a row of its own.",
        hints=(
            "Between which two lines must nobody else come in?",
            "A lock lets one thread in at a time. It has to be the same lock for all, and held from the "
            "moment you read `filled` until you have set it.",
            "Put everything but the `return` into `with table.lock:`.",
        ),
        planted=(
            Planted(_no_lock, "took no lock", "`table.lock` was not taken"),
            Planted(_own_lock, "made a lock in every call", "keeps nobody out"),
            Planted(_lock_around_the_writes, "locked the writes alone", "not held from the first look"),
            Planted(_kept_the_lock, "never gave the lock back", "is never given back"),
            Planted(_locked_twice, "took the lock twice", "a lock that it holds itself"),
            Planted(_did_not_wait, "did not wait for the lock", "you went on without it"),
            Planted(_appended, "appended a row", "would put one more behind them"),
            Planted(_counted_first, "counted first", "Rows written: 1"),
            Planted(_did_not_count, "did not count", "`table.filled` should be"),
            Planted(_returned_the_count, "returned the count", "and should return that"),
        ),
    ),
    Exercise(
        id="06.4",
        title="The key of a cache",
        minutes=10,
        test=_test_cache_key,
        buys="what changes a vector changes its key, and nothing else does.",
        hints=(
            "Go through the job line by line. If this had been different, would the vector be different?",
            "Leave out `file`, `batch_size`, `device` and `started`. Hash the content on its own, since JSON "
            "takes no bytes; then everything together, in a fixed order.",
            'Make a dict of what matters, with `hashlib.sha256(job["content"]).hexdigest()` for the content; '
            "then `hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()`.",
        ),
        planted=(
            Planted(lambda job: _digest(_parts(job, "weights")), "forgot the weights", "`weights` changed"),
            Planted(
                lambda job: _digest([job["file"], _parts(job, "content")]),
                "took the name for the content",
                "`content` changed",
            ),
            Planted(
                lambda job: _digest(_parts(job, "preprocessing")),
                "forgot the preprocessing",
                "`preprocessing` changed",
            ),
            Planted(lambda job: _digest([_parts(job), job["file"]]), "put the name in", "Leave `file` out"),
            Planted(
                lambda job: _digest([_parts(job), job["batch_size"]]),
                "put the batch size in",
                "Leave `batch_size` out",
            ),
            Planted(_by_python, "used Python's hash", "another process gets another key"),
            Planted(_as_written, "took the settings as written", "written down in another order"),
            Planted(_glued, "glued the parts together", "nothing between them"),
            Planted(_sorted_values, "sorted the values", "keep each value with its name"),
            Planted(_some_settings, "took some of the settings", "each with its name"),
            Planted(lambda job: _digest(_parts(job))[:3], "cut the key short", "meets itself again"),
            Planted(_by_length, "took the length for the content", "not its length"),
            Planted(_emptied, "took things out of the job", "the job that you were given has changed"),
            Planted(lambda job: _digest([_parts(job), id(job)]), "put an address in", "has two keys"),
        ),
    ),
)
