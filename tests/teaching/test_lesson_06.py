"""Exercises of lesson 06: other right answers, rarer mistakes, and that its check for races needs no luck."""

import hashlib
import itertools
import json
import pickle
import statistics
import subprocess
import sys
import threading
import time
import zlib
from collections import deque

import numpy as np
import pytest
import torch
from calibration import patience

from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor
from course_utils.teaching import exercise
from course_utils.teaching.exercises import NotYet
from course_utils.teaching.exercises import lesson_06 as lesson


def by_numpy(actions, synchronise, clock, turns):
    rows = []
    for _ in turns:
        row = []
        for action in actions.values():
            synchronise()
            begin = clock()
            action()
            synchronise()
            row.append(clock() - begin)
        rows.append(row)
    return dict(zip(actions, np.median(rows[1:] or rows, axis=0), strict=True))


def reads_one_clock_between(actions, synchronise, clock, turns):
    times = {name: deque() for name in actions}
    for number, _ in enumerate(turns):
        if number == 1:
            for each in times.values():
                each.clear()
        synchronise()
        readings = [clock()]
        for action in reversed(actions.values()):
            action()
            synchronise()
            readings.append(clock())
        for name, (begin, end) in zip(reversed(actions), itertools.pairwise(readings), strict=True):
            times[name].append(end - begin)
    return {name: statistics.median(each) for name, each in times.items()}


def turns_about(actions, synchronise, clock, turns):
    """The order within a turn is the other one each time; the medians are tensors."""
    times, order = {name: [] for name in actions}, list(actions)
    for _ in turns:
        for name in order:
            begin = clock()
            actions[name]()
            synchronise()
            times[name].append(clock() - begin)
        order.reverse()
    return {name: torch.tensor(each[1:] or each).double().quantile(0.5) for name, each in times.items()}


def refills_after(read, names, pool, ahead):
    futures = (pool.submit(read, name) for name in names)
    waiting = deque(itertools.islice(futures, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(itertools.islice(futures, 1))


class Results:
    """An iterator without `yield`."""

    def __init__(self, read, names, pool, ahead):
        self.futures = (pool.submit(read, name) for name in names)
        self.waiting = deque(itertools.islice(self.futures, ahead))

    def __iter__(self):
        return self

    def __next__(self):
        if not self.waiting:
            raise StopIteration
        result = self.waiting.popleft().result()
        self.waiting.extend(itertools.islice(self.futures, 1))
        return result


def fills_first(read, names, pool, ahead):
    names = iter(names)
    waiting = deque(pool.submit(read, name) for name in itertools.islice(names, ahead))
    while waiting:
        result = waiting.popleft().result()
        for name in itertools.islice(names, 1):
            waiting.append(pool.submit(read, name))
        yield result


def keeps_by_number(read, names, pool, ahead):
    futures = {}
    for i in range(len(names) + ahead - 1):
        if i < len(names):
            futures[i] = pool.submit(read, names[i])
        if i >= ahead - 1:
            yield futures.pop(i - ahead + 1).result()


def reserves(table, vector):
    with table.lock:
        row = table.filled
        table.filled += 1
    table.rows[row] = vector
    return row


def gives_back_at_last(table, vector):
    table.lock.acquire()
    try:
        table.rows[table.filled] = vector
        table.filled += 1
        return table.filled - 1
    finally:
        table.lock.release()


SHARED = threading.Lock()


def lock_of_the_module(table, vector):
    with SHARED:
        row = table.filled
        table.rows[row] = vector
        table.filled = row + 1
        return row


def asks_again_and_again(table, vector):
    while not table.lock.acquire(blocking=False):
        time.sleep(0.001)
    row = table.filled
    table.rows[row : row + 1] = [vector]
    table.filled = row + 1
    table.lock.release()
    return row


def first_free_row(table, vector):
    with table.lock:
        row = table.rows.index(None)
        table.rows[row] = vector
        table.filled = row + 1
        return row


def leaves_out(job):
    kept = {k: v for k, v in job.items() if k not in ("file", "batch_size", "device", "started", "content")}
    sha256 = hashlib.sha256(json.dumps(kept, sort_keys=True).encode() + b"\n")
    sha256.update(job["content"])
    return sha256.hexdigest()


def readable(job):
    parts = [f"{k}={job[k]!r}" for k in ("backbone", "weights", "adapter", "precision", "engine")]
    parts += [f"{k}={v!r}" for k, v in sorted(job["preprocessing"].items())]
    return "; ".join([*parts, hashlib.sha256(job["content"]).hexdigest()])


def pickled(job):
    kept = {name: job[name] for name in job if name not in ("file", "batch_size", "device", "started")}
    kept["preprocessing"] = json.dumps(kept["preprocessing"], sort_keys=True)
    return hashlib.md5(pickle.dumps(sorted(kept.items()))).hexdigest()


def with_content(key):
    def of(job):
        kept = [job[n] for n in ("preprocessing", "backbone", "weights", "adapter", "precision", "engine")]
        return json.dumps([kept, key(job["content"])], sort_keys=True)

    return of


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("06.1", by_numpy),
        ("06.1", reads_one_clock_between),
        ("06.1", turns_about),
        ("06.2", fills_first),
        ("06.2", keeps_by_number),
        ("06.2", refills_after),
        ("06.2", lambda read, names, pool, ahead: Results(read, names, pool, ahead)),
        ("06.3", reserves),
        ("06.3", gives_back_at_last),
        ("06.3", asks_again_and_again),
        ("06.3", first_free_row),
        ("06.3", lock_of_the_module),
        ("06.4", leaves_out),
        ("06.4", readable),
        ("06.4", pickled),
        ("06.4", with_content(zlib.crc32)),  # of all of it
        ("06.4", with_content(lambda content: content.decode("latin-1"))),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(number, answer):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "right", verdict.text


def numbers_of_turns(actions, synchronise, clock, turns):
    for _ in range(turns):
        pass
    return {}


def after_the_turn(actions, synchronise, clock, turns):
    """Wait once a turn: only the last action's time holds what all of them took."""
    times = {name: [] for name in actions}
    for _ in turns:
        begin = {}
        for name, action in actions.items():
            begin[name] = clock()
            action()
        synchronise()
        for name in actions:
            times[name].append(clock() - begin[name])
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def returns_within_the_loop(actions, synchronise, clock, turns):
    found = {}
    for _ in turns:
        found |= {name: action() for name, action in actions.items()}
        break
    return found


def calls_nothing(actions, synchronise, clock, turns):
    return dict.fromkeys(actions, sum(clock() for _ in turns))


def warms_up_by_itself(actions, synchronise, clock, turns):
    for action in actions.values():
        action()
    return after_the_turn(actions, synchronise, clock, turns)


def full_at_three(read, names, pool, ahead):
    yield from fills_first(read, names, pool, 3)


def submits_before_it_asks(read, names, pool, ahead):
    waiting = deque(pool.submit(read, name) for name in names[:ahead])
    for name in names[ahead:]:
        oldest = waiting.popleft()
        waiting.append(pool.submit(read, name))
        yield oldest.result()
    yield from (each.result() for each in waiting)


def newest_first(read, names, pool, ahead):
    waiting = []
    for name in names:
        waiting.append(pool.submit(read, name))
        if len(waiting) == ahead:
            yield waiting.pop().result()


def without_the_pool(read, names, pool, ahead):
    yield from map(read, names)


def forgot_the_brackets(read, names, pool, ahead):
    yield from (pool.submit(read, name).result for name in names)


def one_twice(read, names, pool, ahead):
    first = True
    for result in fills_first(read, names, pool, ahead):
        yield result
        if first:
            yield result
        first = False


def nothing_at_all(read, names, pool, ahead):
    yield from ()


def a_lock_in_its_place(table, vector):
    table.lock = threading.RLock()
    with table.lock:
        return racy(table, vector)


def takes_from_the_queue(read, names, pool, ahead):
    waiting = []
    while names or waiting:
        while names and len(waiting) < ahead:
            waiting.append(pool.submit(read, names.pop(0)))
        yield waiting.pop(0).result()


def counts_under_the_lock_and_looks_again(table, vector):
    with table.lock:
        table.filled += 1
    row = table.filled - 1
    table.rows[row] = vector
    return row


def two_locks_with_a_gap(table, vector):
    with table.lock:
        row = table.filled
    with table.lock:
        table.rows[row] = vector
        table.filled = row + 1
    return row


def takes_it_twice(table, vector):
    with table.lock, table.lock:
        return table.filled


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("06.1", lambda actions, synchronise, clock, turns: {}, "In each turn each action runs once"),
        ("06.1", numbers_of_turns, "cannot be interpreted as an integer"),
        ("06.1", after_the_turn, "the median of its runs after the first is"),
        ("06.2", takes_from_the_queue, "the list of names that you were given is shorter now"),
        ("06.1", returns_within_the_loop, "Does the `return` stand within the loop?"),
        ("06.1", calls_nothing, "with brackets"),
        ("06.1", warms_up_by_itself, "nothing has to run before the loop"),
        ("06.2", lambda read, names, pool, ahead: "pictures", "out came a str"),
        ("06.2", full_at_three, "`ahead` is 2"),
        ("06.2", submits_before_it_asks, "before you submit another"),
        ("06.2", lambda read, names, pool, ahead: [pool.submit(read, n) for n in names], "a promise"),
        ("06.2", lambda read, names, pool, ahead: [], "not one result"),
        ("06.2", newest_first, "A later file came first"),
        ("06.2", without_the_pool, "was never called"),
        ("06.2", forgot_the_brackets, "result 1 is a function"),
        ("06.2", one_twice, "handed out before"),
        ("06.2", nothing_at_all, "not one result"),
        ("06.3", a_lock_in_its_place, "keeps nobody out"),
        ("06.2", lambda read, names, pool, ahead: 3, "one by one (`yield`)"),
        ("06.3", counts_under_the_lock_and_looks_again, "not held from the first look"),
        ("06.3", two_locks_with_a_gap, "not held from the first look"),
        ("06.3", takes_it_twice, "a thread waits for ever"),
        ("06.4", lambda job: 7, "a key is a string"),
        ("06.4", lambda job: job["file"], "`content` changed"),
        ("06.4", lambda job: hashlib.sha256(repr(job).encode()).hexdigest(), "Leave `file` out"),
        ("06.4", with_content(len), "as long as before"),
        ("06.4", with_content(lambda content: [len(content), str(content[:64])]), "as long as before"),
        ("06.4", with_content(sum), "changed places"),
        ("06.4", with_content(lambda content: content.decode(errors="ignore")), "above 127"),
        ("06.4", with_content(lambda content: str(content[:-1])), "the last byte is another"),
        ("06.4", with_content(lambda content: str(content[1:])), "the first byte is another"),
    ],
)
def test_a_rarer_mistake_is_named_too(number, answer, says):
    verdict = exercise(number).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text


def racy(table, vector):
    row = table.filled
    table.rows[row] = vector
    table.filled = row + 1
    return row


@pytest.fixture
def patient(monkeypatch):
    """Nobody loses his turn because the machine is busy."""
    monkeypatch.setattr(lesson._Turns, "WAIT_S", 5.0)


@pytest.mark.usefixtures("patient")
def test_a_race_is_found_every_time_and_told_step_by_step():
    verdicts = {exercise("06.3").judge(racy).text for _ in range(20)}
    assert len(verdicts) == 1
    assert "A reads filled = 0; B reads filled = 0" in verdicts.pop()


@pytest.mark.usefixtures("patient")
def test_without_a_switch_the_racy_function_is_right():
    turns = lesson._Turns()
    table = lesson._Table(turns)
    assert turns.run([lambda v=v: racy(table, v) for v in "ab"]) == [0, 1]
    assert table.kept == {0: "a", 1: "b"}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("switch", [2, 3])
def test_a_switch_within_loses_a_vector(switch):
    turns = lesson._Turns([switch])
    table = lesson._Table(turns)
    turns.run([lambda v=v: racy(table, v) for v in "ab"])
    assert len(table.kept) == 1


def test_an_error_of_a_thread_comes_up():
    turns = lesson._Turns()

    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        turns.run([fails, lambda: 1])


@pytest.mark.usefixtures("patient")
def test_two_that_wait_for_each_other_are_told_so_and_end():
    before = threading.active_count()
    turns = lesson._Turns([2])
    one, other = lesson._Table(turns), lesson._Table(turns)

    def both(first, second):
        with first.lock:
            _ = first.filled
            with second.lock:
                _ = second.filled

    with pytest.raises(NotYet, match="a thread waits for ever"):
        turns.run([lambda: both(one, other), lambda: both(other, one)])
    # Threads left behind would turn up in every profile that is taken later.
    deadline = time.monotonic() + patience(5)
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_pythons_hash_of_text_does_differ_between_processes():
    script = "print(hash('replicate'))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True
        ).stdout
        for seed in "12"
    }
    assert len(seen) == 2


def test_the_job_of_the_exercise_has_what_the_extractor_puts_into_its_key():
    extractor = EmbeddingExtractor(load_backbone("efficientnet_lite0", weights="random"), device="cpu")
    config = set(extractor.config(Preprocessor()))
    follow_from_the_others = {"embedding_dim", "architecture", "input", "fuse"}
    change_rounding_alone = {"deterministic"}
    assert config - follow_from_the_others - change_rounding_alone | {"content"} == set(lesson._MATTERS)
    assert set(lesson._JOB) == set(lesson._MATTERS) | set(lesson._DOES_NOT)
