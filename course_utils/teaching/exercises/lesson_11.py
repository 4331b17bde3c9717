"""Exercises of lesson 11: names for shards, a shard that is there whole or not at all, shards merged in
order, one key for all, what a million images cost, and how large a shard should be.
"""

from __future__ import annotations

import builtins
import hashlib
import inspect
import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from course_utils.imaging.identity import pseudonym as keyed_hash
from course_utils.teaching.disks import Disk, Killed
from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of, tried
from course_utils.teaching.scaling import overhead

ShardIds = Callable[[Sequence[str], int], Sequence[str]]
Compute = Callable[[], Mapping[str, str]]
KeepShard = Callable[[Disk, str, Compute], str]
Read = Callable[[str], list[str]]
Merged = Callable[[Sequence[str], Sequence[str], Read], Iterable[str]]
Shards = Mapping[str, Sequence[tuple[str, str]]]
Drawer = MutableMapping[str, bytes]
Draw = Callable[[], bytes]
Pseudonym = Callable[[bytes, str], str]
WithOneKey = Callable[[Shards, Drawer, Draw, Pseudonym], tuple[Any, Any]]
Million = Callable[[Mapping[str, float], Mapping[str, float]], tuple[float, str, float]]
ShardSize = Callable[[float, float, float], int]


# --- 11.1 names for shards


def _test_shard_ids(shard_ids: ShardIds) -> None:
    names = [f"ward {n % 3}/Yvonne-{n:02d}.dcm" for n in range(7)]
    found = _ids(shard_ids, names, 3)
    if len(found) == 7:
        raise NotYet("7 files make 7 names: one name is needed for a shard, and not for a file.")
    if len(found) != 3:
        raise NotYet(
            "7 files in shards of 3 are 3 shards, the last of which holds one file, and you name "
            f"{len(found)}."
        )
    for each in found:
        if "ward" in each.casefold() or "yvonne" in each.casefold():
            raise NotYet(f"{each!r} holds names of files, which may say who somebody is. Hash them.")
        if len(each) > 100:
            raise NotYet(f"a name has {len(each)} letters, and the folder's may have a hundred: cut it.")
        if not re.fullmatch(r"[\w.-]+", each, re.ASCII):
            raise NotYet(
                f"{each[:40]!r} is to name a folder on any disk: letters, digits, '-', '_' and '.', at most "
                "a hundred. A hash has a `hexdigest`."
            )
    if _ids(shard_ids, names, 3) != found:
        raise NotYet("the same list, asked again, has other names. Nothing of them may be drawn or timed.")
    if _in_another_process(shard_ids, names, 3) != found:
        raise NotYet(
            "in another process the same list gets other names: Python salts `hash()`, anew in each process. "
            "`hashlib.sha256` is the same everywhere."
        )
    for files, size in ((6, 3), (4, 2), (5, 1), (2, 9)):
        named, shards = len(_ids(shard_ids, names[:files], size)), -(-files // size)
        if named != shards:
            raise NotYet(
                f"{files} files in shards of {size}: that makes {shards}, none of them empty, and you name "
                f"{named}."
            )
    _test_tell_apart(shard_ids)
    _test_own_files(shard_ids, names)


def _test_tell_apart(shard_ids: ShardIds) -> None:
    if _ids(shard_ids, ["a", "b"], 2) == _ids(shard_ids, ["c", "d"], 2):
        raise NotYet(
            "shards of other files have the same name, and a rerun with another list would take what "
            "is not its own. The number alone is no name: it has to depend on the files."
        )
    if _ids(shard_ids, ["a", "b"], 2) == _ids(shard_ids, ["b", "a"], 2):
        raise NotYet("`a, b` and `b, a` have the same name. Their rows come in another order: sort nothing.")
    if _ids(shard_ids, ["a", "b", "c"], 3) == _ids(shard_ids, ["a", "x", "c"], 3) or _ids(
        shard_ids, ["a", "b"], 2
    ) == _ids(shard_ids, ["a", "x"], 2):
        raise NotYet(
            "another file in the middle or at the end, and the name stays. *All* names of a shard count."
        )
    for between in _BETWEEN:
        one, other = [f"a{between}b", "c"], ["a", f"b{between}c"]
        if _ids(shard_ids, one, 2) == _ids(shard_ids, other, 2):
            raise NotYet(
                f"{one} and {other} have the same name: run together, they read alike. Close each name with "
                "a character that no file's name can hold: '\\0'."
            )
    ids = [_ids(shard_ids, [f"{n}"], 1)[0] for n in range(1500)]
    if len(set(ids)) < len(ids):
        raise NotYet("of 1500 shards some share a name: so few digits of a hash are not enough. Take 16.")
    several = _ids(shard_ids, [f"{n}" for n in range(40)], 1)
    if len(set(several)) < 40:
        raise NotYet("two shards of one list have the same name.")


_BETWEEN = ("", *",;:|/\\-_+&#*~ .\n\t", ", ", "; ", ": ", " | ", " - ", "--", "__", "::", "||", "\r\n")
"""What names are joined with, most often."""


def _test_own_files(shard_ids: ShardIds, names: list[str]) -> None:
    """Give each file in turn another name: that of its own shard has to change, and no other."""
    found = _ids(shard_ids, names, 3)
    if _ids(shard_ids, [*names[:6], "later.dcm"], 3)[:2] != found[:2]:
        raise NotYet(
            "the seventh of 7 files is another one, and the first two shards of 3 have other names, too: all "
            "would be computed again. A shard's name depends on the files of that shard alone."
        )
    for place in range(7):
        other = _ids(shard_ids, [*names[:place], "other.dcm", *names[place + 1 :]], 3)
        if other[place // 3] == found[place // 3]:
            raise NotYet(
                f"file {place} of 7 belongs to shard {place // 3} if three make one, counted from 0. That "
                "shard keeps its name when this file is another one: which files do you take for it?"
            )


def _ids(shard_ids: ShardIds, names: list[str], size: int) -> list[str]:
    given = list(names)
    found: Any = tried(shard_ids(given, size))
    if isinstance(found, str | Mapping) or not isinstance(found, Iterable):
        raise NotYet(f"a list of names is needed, one for each shard, and out came {kind_of(found)}.")
    listed = list(found)
    for each in listed:
        if not isinstance(each, str):
            raise NotYet(
                f"a name is a string, and yours holds {kind_of(each)}. What does `hexdigest()` give?"
            )
    return listed


def _in_another_process(shard_ids: ShardIds, names: list[str], size: int) -> list[str]:
    """Return what the answer would give where `hash` has another salt."""
    seen = getattr(inspect.unwrap(shard_ids), "__globals__", {})
    missing = object()
    before = seen.get("hash", missing)
    seen["hash"] = lambda value: builtins.hash((value, "another salt"))
    try:
        return _ids(shard_ids, names, size)
    finally:
        if before is missing:
            del seen["hash"]
        else:
            seen["hash"] = before


def _cut(names: Sequence[str], size: int) -> list[tuple[int, list[str]]]:
    return [(n, list(names[start : start + size])) for n, start in enumerate(range(0, len(names), size))]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _salted(names: Sequence[str], size: int) -> list[str]:
    return [f"{n:06d}-{hash(tuple(part)) % 10**12}" for n, part in _cut(names, size)]


def _numbers_alone(names: Sequence[str], size: int) -> list[str]:
    return [f"{n:06d}" for n, _ in _cut(names, size)]


def _run_together(names: Sequence[str], size: int) -> list[str]:
    return [f"{n:06d}-{_digest(''.join(part))[:16]}" for n, part in _cut(names, size)]


def _sorted_first(names: Sequence[str], size: int) -> list[str]:
    return [f"{n:06d}-{_digest(repr(sorted(part)))[:16]}" for n, part in _cut(names, size)]


def _first_file(names: Sequence[str], size: int) -> list[str]:
    return [f"{n:06d}-{_digest(part[0])[:16]}" for n, part in _cut(names, size)]


def _in_clear(names: Sequence[str], size: int) -> list[str]:
    return [f"{n:06d}-{part[0]}" for n, part in _cut(names, size)]


def _full_ones(names: Sequence[str], size: int) -> list[str]:
    return [f"{n:06d}-{_digest(repr(part))[:16]}" for n, part in _cut(names, size) if len(part) == size]


def _three_digits(names: Sequence[str], size: int) -> list[str]:
    return [f"{n:06d}-{_digest(repr(part))[:3]}" for n, part in _cut(names, size)]


# --- 11.2 a shard that is there whole, or not at all

_SHARD = "000003"
_RECORD = f"{_SHARD}/run.json"


class _Work:
    """What computes a shard; each attempt leaves other contents, and the first one more file."""

    def __init__(self) -> None:
        self.attempts = 0

    def on(self, disk: Disk) -> Compute:
        called = False

        def compute() -> dict[str, str]:
            nonlocal called
            if called:
                raise NotYet(
                    "your function calls `compute` twice, and it takes its time. Keep what it returns."
                )
            called = True
            disk.step()
            self.attempts += 1
            return self.made(self.attempts)

        return compute

    @staticmethod
    def made(attempt: int) -> dict[str, str]:
        """Return a shard's files: `run.json` is the first of them."""
        made = {"run.json": f"record of attempt {attempt}", "embeddings.parquet": f"vectors of {attempt}"}
        if attempt == 1:
            made["failures.csv"] = "the file server was down for a moment"
        return made


def _test_keep_shard(keep_shard: KeepShard) -> None:
    disk, work = Disk(), _Work()
    said = [_kept(keep_shard, disk, work, _TOO_EARLY)]
    finished = _RECORD in disk.files
    beside = sorted(name for name in disk.files if not name.startswith(f"{_SHARD}/"))
    if finished and beside:
        raise NotYet(
            f"nobody was killed, and {beside[0]} is there beside the shard. Only the shard itself should be, "
            "and its `run.json` says that it is finished."
        )
    said.append(_kept(keep_shard, disk, work, _FINISHED))
    if finished and _RECORD not in disk.files:
        raise NotYet(
            "the shard was finished, and after a second call it is gone. Leave alone what is finished."
        )
    if not disk.files:
        raise NotYet("nothing is on the disk afterwards. `disk.write` puts a file there.")
    if _RECORD not in disk.files:
        raise NotYet(
            f"afterwards the disk holds {', '.join(sorted(disk.files))}. It should hold {_RECORD} and the "
            "other files beside it."
        )
    _compare_files(disk, work, "nobody was killed, and")
    if work.attempts > 1:
        raise NotYet(
            "a shard that is finished is computed again. Ask first whether its `run.json` is there: that is "
            "what makes a rerun cheap."
        )
    if said != ["made", "kept"]:
        raise NotYet(f"the first call should return 'made', the second 'kept'; yours return {said}.")
    _test_killed(keep_shard)
    _test_killed_when_finished(keep_shard)


def _test_killed(keep_shard: KeepShard) -> None:
    """Kill it after each step and run it again; then kill it twice, after any two steps."""
    for first in range(_MOST_STEPS):
        disk, work = Disk(steps=first), _Work()
        if _is_through(keep_shard, disk, work):
            steps = first
            break
        where = f"killed after {_steps(first)},"
        _compare_files(disk, work, where)
        _test_rerun(keep_shard, disk, work, where)
    else:
        raise NotYet(f"it takes more than {_MOST_STEPS} steps on the disk for three files.")
    for first, second in itertools.product(range(steps), range(_MOST_STEPS)):
        disk, work = Disk(steps=first), _Work()
        _is_through(keep_shard, disk, work)
        disk = Disk(disk.files, steps=second)
        if not _is_through(keep_shard, disk, work):
            where = f"killed after {_steps(first)}, begun again and killed after {_steps(second)},"
            _compare_files(disk, work, where)
            _test_rerun(keep_shard, disk, work, where)


_MOST_STEPS = 60


def _steps(count: int) -> str:
    return f"{count} step{'s' if count != 1 else ''}"


def _test_rerun(keep_shard: KeepShard, disk: Disk, work: _Work, where: str) -> None:
    """Run it once more on what it left, undisturbed."""
    disk = Disk(disk.files)
    _is_through(keep_shard, disk, work)
    if _RECORD not in disk.files:
        raise NotYet(f"{where} and run again, it leaves no finished shard.")
    _compare_files(disk, work, f"{where} and run again,")
    left = sorted(name for name in disk.files if not name.startswith(f"{_SHARD}/"))
    if left:
        raise NotYet(
            f"{where} and run again to its end, it leaves {left[0]} lying about. Begin by deleting what "
            "a killed process may have left: so give that folder a name that you find again."
        )


def _test_killed_when_finished(keep_shard: KeepShard) -> None:
    done = {f"{_SHARD}/{name}": content for name, content in _Work.made(1).items()}
    for steps in range(5):
        disk, work = Disk(done, steps=steps), _Work()
        _is_through(keep_shard, disk, work)
        if disk.files != done:
            raise NotYet(
                f"a finished shard was there; a second run, killed after {steps} steps, has damaged it. "
                "Look whether it is finished before you change anything."
            )


_TOO_EARLY = (
    "nobody was killed, and something has that name already: rename once, when everything is written."
)
_FINISHED = (
    "the shard was finished, and a second call makes it again, for which there is no room. Ask before "
    "anything else whether its `run.json` is there."
)
_LEFT = (
    "a folder cannot take the place of one that a killed process left, or a finished shard's. Look first "
    "whether it is finished; if not, delete what is there."
)


def _kept(keep_shard: KeepShard, disk: Disk, work: _Work, why: str = _LEFT) -> str:
    try:
        return keep_shard(disk, _SHARD, work.on(disk))
    except FileExistsError as error:
        raise NotYet(f"it stops with FileExistsError ({error}): {why}") from None


def _is_through(keep_shard: KeepShard, disk: Disk, work: _Work) -> bool:
    """Run the answer, and return whether it came to its end without being killed."""
    try:
        _kept(keep_shard, disk, work)
    except Killed:
        return False
    return disk.steps is None or disk.taken < disk.steps


def _compare_files(disk: Disk, work: _Work, where: str) -> None:
    """Say what is wrong with a shard that counts as finished; one that does not may look as it likes."""
    if _RECORD not in disk.files:
        return
    held = {
        name[len(_SHARD) + 1 :]: text for name, text in disk.files.items() if name.startswith(_SHARD + "/")
    }
    possible = [work.made(attempt) for attempt in range(1, max(1, work.attempts) + 1)]
    if held in possible:
        return
    record = held["run.json"]
    whole = [made for made in possible if made["run.json"] == record]
    if not whole:
        if not any(made["run.json"].startswith(record) for made in possible):
            raise NotYet(f"{where} `run.json` does not hold what `compute` returned for it: {record[:40]!r}.")
        raise NotYet(
            f"{where} the shard counts as finished with half a `run.json`: {record!r}. To write takes time, "
            "and only to rename is one step: write it under another name first."
        )
    missing = sorted(set(whole[0]) - set(held))
    if missing:
        raise NotYet(
            f"{where} the shard counts as finished, since its `run.json` is there, and {missing[0]} is not. "
            "Everything else has to be in its place, or come into it with `run.json`, in the same step."
        )
    if set(held) > set(whole[0]):
        raise NotYet(
            f"{where} the shard holds a {(set(held) - set(whole[0])).pop()} that this attempt never wrote: "
            "an earlier one did. Delete what was left before you write."
        )
    part = next((name for name, text in whole[0].items() if held.get(name) != text), "a file")
    raise NotYet(
        f"{where} the shard counts as finished with half of {part}. Write all of it elsewhere, and rename at "
        "the end."
    )


def _in_place(disk: Disk, shard: str, compute: Compute) -> str:
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    for name, content in compute().items():
        disk.write(f"{shard}/{name}", content)
    return "made"


def _renames_early(disk: Disk, shard: str, compute: Compute) -> str:
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    disk.delete(f"{shard}.making")
    disk.delete(shard)
    made = dict(compute())
    disk.write(f"{shard}.making/run.json", made.pop("run.json"))
    disk.rename(f"{shard}.making", shard)
    for name, content in made.items():
        disk.write(f"{shard}/{name}", content)
    return "made"


def _never_sweeps(disk: Disk, shard: str, compute: Compute) -> str:
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    for name, content in compute().items():
        disk.write(f"{shard}.making/{name}", content)
    disk.rename(f"{shard}.making", shard)
    return "made"


def _any_name(disk: Disk, shard: str, compute: Compute) -> str:
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    beside = f"making-{random.Random(len(disk.files)).random()}"
    for name, content in compute().items():
        disk.write(f"{beside}/{name}", content)
    disk.rename(beside, shard)
    return "made"


def _always_anew(disk: Disk, shard: str, compute: Compute) -> str:
    disk.delete(f"{shard}.making")
    for name, content in compute().items():
        disk.write(f"{shard}.making/{name}", content)
    disk.delete(shard)
    disk.rename(f"{shard}.making", shard)
    return "made"


# --- 11.3 merged in the order of the list


def _rows(shard: str) -> list[str]:
    return [f"{shard}, row {n}" for n in range(1 + len(shard) % 3)]


class _Folder:
    """Finished shards; it counts how often each was read."""

    def __init__(self, there: Sequence[str]) -> None:
        self.there, self.reads = list(there), list[str]()

    def read(self, shard: str) -> list[str]:
        """Return the rows of a shard, which are in memory from then on."""
        if shard not in self.there:
            raise NotYet(f"your function reads {shard!r}, of which there is no finished shard.")
        self.reads.append(shard)
        return _rows(shard)


def _test_merged(merged: Merged) -> None:
    # As text, 10 comes before 2; and the list itself is in no order of the numbers.
    planned = ["b-2", "b-10", "a-1", "a-30", "b-1", "a-4"]
    finished = ["a-30", "b-2", "a-4", "b-10", "b-1", "a-1"]
    _test_merge(merged, planned, finished)
    _test_merge(merged, planned[::-1], finished)
    _test_merge(merged, planned[:4], [*finished, "b-99"])
    folder = _Folder(["b-2", "a-1", "b-99"])
    try:
        result: Any = merged(["b-2", "b-10", "a-1"], list(folder.there), folder.read)
        if isinstance(result, Exception):
            raise NotYet("b-10 is missing, and your function *returns* an exception: raise it.")
        list(result)
    except (ValueError, LookupError, RuntimeError, OSError, AssertionError):
        return
    raise NotYet(
        "planned were b-2, b-10 and a-1; there are b-2, a-1 and a stranger, b-99. b-10 is missing, "
        "your function says nothing, and nobody would know. Raise a ValueError before the first row."
    )


def _test_merge(merged: Merged, planned: list[str], finished: list[str]) -> None:
    folder, given = _Folder(finished), (list(planned), list(finished))
    try:
        result: Any = tried(merged(*given, folder.read))
        if isinstance(result, str | Mapping) or not isinstance(result, Iterable):
            raise NotYet(f"the rows are needed, one after the other, and out came {kind_of(result)}.")
        rows = iter(result)
        got = [next(rows, "nothing at all")]
        at_first = len(folder.reads)
        got += rows
    except (ValueError, AssertionError) as error:
        raise NotYet(
            f"planned were {', '.join(planned)}; there are {', '.join(finished)}. None is missing, and your "
            f"function raises {type(error).__name__}. Of another list there may be some, too."
        ) from None
    if given != (planned, finished):
        raise NotYet("afterwards the lists that it was given are others. Change neither of them.")
    if isinstance(got[0], list):
        raise NotYet("out come whole shards; rows are needed, one after the other: `yield from`.")
    expected = [row for shard in planned for row in _rows(shard)]
    if got != expected:
        _say_what_order(got, planned, finished)
    if len(folder.reads) > len(planned):
        raise NotYet(
            f"the order is right, but of {len(planned)} shards it makes {len(folder.reads)} reads. Read each "
            "once, and go through what `read` gave you."
        )
    if at_first > 2:
        raise NotYet(
            f"the order is right, but {at_first} shards were read for the first row: all of them would "
            "be in memory at once, a hundred million numbers or more. Read one, `yield` its rows, go on."
        )


def _say_what_order(got: list[str], planned: list[str], finished: list[str]) -> None:
    came = list(dict.fromkeys(row.partition(",")[0] for row in got))
    words = f"planned were {', '.join(planned)}, and the rows come as {', '.join(came)}."
    strange = [shard for shard in came if shard not in planned]
    if strange:
        raise NotYet(f"{words} {strange[0]} is there, but it is of another list: take what was planned.")
    if came == [shard for shard in finished if shard in planned]:
        raise NotYet(f"{words} That is the order in which they finished, another one in every run.")
    if came == sorted(planned):
        raise NotYet(
            f"{words} Sorted as text, 10 comes before 2. The list itself is the order: sort nothing."
        )
    if len(came) < len(planned):
        raise NotYet(f"{words} Some are missing.")
    if came == planned:
        raise NotYet("shards are in order, but their rows are not all there as `read` gives them.")
    raise NotYet(f"{words} The order of the list that was planned is needed.")


def _as_finished(planned: Sequence[str], there: Sequence[str], read: Read) -> Iterator[str]:
    for shard in there:
        if shard in planned:
            yield from read(shard)


def _as_text(planned: Sequence[str], there: Sequence[str], read: Read) -> Iterator[str]:
    for shard in sorted(planned):
        yield from read(shard)


def _all_at_once(planned: Sequence[str], there: Sequence[str], read: Read) -> list[str]:
    if set(planned) - set(there):
        raise ValueError("shards are missing")
    tables = {shard: read(shard) for shard in planned}
    return [row for shard in planned for row in tables[shard]]


def _all_there_is(planned: Sequence[str], there: Sequence[str], read: Read) -> Iterator[str]:
    strangers = [shard for shard in there if shard not in planned]
    for shard in [*planned, *strangers]:
        yield from read(shard)


def _skips_the_missing(planned: Sequence[str], there: Sequence[str], read: Read) -> Iterator[str]:
    for shard in planned:
        if shard in there:
            yield from read(shard)


# --- 11.4 one key


def _women_in_shards() -> dict[str, list[tuple[str, str]]]:
    """Return shards of files of six women; most have images in two or three of them."""
    whose = ["Ida", "Mia", "Ida", "Ada", "Mia", "Eva", "Ida", "Zoe", "Eva", "Uma", "Zoe", "Ada"]
    files = [(f"{n:02d}.dcm", who) for n, who in enumerate(whose)]
    return {f"shard {n}": files[3 * n : 3 * n + 3] for n in range(4)}


class _Keys:
    """Draws keys, each another one, and counts them."""

    def __init__(self, seed: int) -> None:
        self.seed, self.drawn = seed, list[bytes]()

    def draw(self) -> bytes:
        self.drawn.append(hashlib.sha256(f"{self.seed}, {len(self.drawn)}".encode()).digest())
        return self.drawn[-1]


def _test_one_key(with_one_key: WithOneKey) -> None:
    images = [image for each in _women_in_shards().values() for image in each]
    expected, whose = [file for file, _ in images], [who for _, who in images]
    names, drawn = [], []
    for seed in (1, 2):
        keys, drawer = _Keys(seed), dict[str, bytes]()
        rows, record = _rows_and_record(with_one_key, _women_in_shards(), drawer, keys)
        if [file for file, _ in rows] != expected:
            raise NotYet(f"{len(expected)} rows are needed, (file, pseudonym), shard after shard.")
        _test_secrecy(rows, record, keys, whose)
        hers = [name for _, name in rows]
        drawn.append(len(keys.drawn))
        if len(set(hers)) > 6:
            _say_why_so_many(len(set(hers)), keys)
        if keys.drawn and hers != [keyed_hash(keys.drawn[0], who) for who in whose]:
            raise NotYet("a row's pseudonym is not `pseudonym(key, patient)` with the key that was drawn.")
        names.append(hers)
        _test_record(record, len(expected))
    if names[0] == names[1] and drawn[0]:
        raise NotYet(
            "the key of one archive was taken for another, which came with an empty drawer: keep it in "
            "`drawer`, and nowhere else."
        )
    if names[0] == names[1]:
        raise NotYet(
            "two archives with a key of their own give the same pseudonyms: whoever guesses a name can "
            "compute hers, and knows her. The key has to be drawn, with `draw()`."
        )
    _test_resumed(with_one_key, _women_in_shards())


def _say_why_so_many(patients: int, keys: _Keys) -> None:
    if len(keys.drawn) == 1:
        raise NotYet(
            f"6 women became {patients} patients, under a single key. A pseudonym is of the *patient*, as "
            "it stands in the pair, and of nothing else."
        )
    raise NotYet(
        f"6 women became {patients} patients. Two shards with two keys give a woman two pseudonyms: one key "
        "for all shards."
    )


def _test_secrecy(rows: list[Any], record: Any, keys: _Keys, whose: list[str]) -> None:
    said = repr((rows, record))
    for key in keys.drawn:
        if repr(key) in said or key.hex() in said:
            raise NotYet(
                "the key is in what you give back, and would lie beside the pseudonyms: whoever has both can "
                "try all names. It stays in `drawer`."
            )
    if any(who in said for who in whose):
        raise NotYet("the patients themselves are in what you give back. Only their pseudonyms may be.")


def _test_record(record: Any, images: int) -> None:
    if not isinstance(record, Mapping) or set(record) != {"images", "women"}:
        raise NotYet("the second result is a dictionary with two numbers, 'images' and 'women'.")
    if any(not isinstance(number, Real) for number in record.values()):
        raise NotYet(f"'images' and 'women' are numbers, and your record says {dict(record)}.")
    if record["women"] == images:
        raise NotYet(f"the record says {images} women. So many are the images: count each pseudonym once.")
    if record["women"] > 6:
        raise NotYet(
            f"the record says {record['women']} women, and there are 6: she who has images in two shards is "
            "counted in both. Count the pseudonyms of all rows, each once."
        )
    if (record["images"], record["women"]) != (images, 6):
        raise NotYet(f"there are {images} images of 6 women, and your record says {dict(record)}.")


def _test_resumed(with_one_key: WithOneKey, shards: Shards) -> None:
    """Run the first two shards, and the others after an interruption: the drawer is what is left."""
    keys, drawer = _Keys(3), dict[str, bytes]()
    whose = {file: who for images in shards.values() for file, who in images}
    ids, rows = list(shards), list[Any]()
    for part in (ids[:2], ids[2:]):
        rows += _rows_and_record(with_one_key, {shard: shards[shard] for shard in part}, drawer, keys)[0]
    if len({(whose[file], name) for file, name in rows}) > 6:
        raise NotYet(
            "the run was interrupted after two shards and taken up again, and women who have images in both "
            "halves now have two pseudonyms. Keep the key in `drawer`, and draw only if none is there."
        )


def _rows_and_record(
    with_one_key: WithOneKey, shards: Shards, drawer: Drawer, keys: _Keys
) -> tuple[list[Any], Any]:
    result: Any = tried(with_one_key(shards, drawer, keys.draw, keyed_hash))
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise NotYet("two things are needed, the rows and the record.")
    rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in tried(result[0])]
    for row in rows:
        if not isinstance(row, tuple | list) or len(row) != 2:
            length = f" of {len(row)}" if isinstance(row, tuple | list) else ""
            raise NotYet(f"a row is a pair, (file, pseudonym), and yours is {kind_of(row)}{length}.")
    return [tuple(row) for row in rows], tried(result[1])


def _keyed(
    key_for: Callable[[Drawer, Draw, str], bytes],
    record_more: Callable[[Drawer], dict[str, Any]] | None = None,
) -> WithOneKey:
    """A planted answer: where the key of a row comes from, and what else goes into the record."""

    def with_some_key(shards: Shards, drawer: Drawer, draw: Draw, pseudonym: Pseudonym) -> tuple[Any, Any]:
        rows = []
        for shard, images in shards.items():
            key = key_for(drawer, draw, shard)
            rows += [(file, pseudonym(key, who)) for file, who in images]
        record = {"images": len(rows), "women": len({name for _, name in rows})}
        return rows, record | (record_more(drawer) if record_more else {})

    return with_some_key


def _drawn_once(drawer: Drawer, draw: Draw, shard: str) -> bytes:
    if "key" not in drawer:
        drawer["key"] = draw()
    return drawer["key"]


def _a_key_a_run(shards: Shards, drawer: Drawer, draw: Draw, pseudonym: Pseudonym) -> tuple[Any, Any]:
    key = draw()
    return _keyed(lambda *_: key)(shards, drawer, draw, pseudonym)


def _counts_in_each(shards: Shards, drawer: Drawer, draw: Draw, pseudonym: Pseudonym) -> tuple[Any, Any]:
    rows, record = _keyed(_drawn_once)(shards, drawer, draw, pseudonym)
    return rows, record | {"women": sum(len({who for _, who in images}) for images in shards.values())}


# --- 11.5 what holds it back, and what a million cost

_FILM = {"MB": 17.0, "read": 0.03, "network": 0.04}
_PACKED = {"MB": 7.0, "read": 0.3, "network": 0.04}
_BOX = {"cores": 8, "MB_a_second": 4000.0, "card": 0, "dollars_an_hour": 0.5}
_CASES: tuple[tuple[dict[str, float], dict[str, float]], ...] = (
    (_FILM, _BOX),  # cores
    (_FILM, {**_BOX, "MB_a_second": 125.0}),  # link
    (_PACKED, {**_BOX, "card": 900, "dollars_an_hour": 2.5}),  # cores: the card sleeps
    (_FILM, {**_BOX, "cores": 64, "MB_a_second": 40_000.0, "card": 900}),  # card
    (_PACKED, {**_BOX, "cores": 4, "MB_a_second": 80.0}),
)


def _rates(image: Mapping[str, float], machine: Mapping[str, float]) -> dict[str, float]:
    on_cores = image["read"] + (0 if machine["card"] else image["network"])
    rates = {"link": machine["MB_a_second"] / image["MB"], "cores": machine["cores"] / on_cores}
    return rates | ({"card": float(machine["card"])} if machine["card"] else {})


def _wrong_rates(image: Mapping[str, float], machine: Mapping[str, float]) -> dict[str, float]:
    """Return what likely mistakes give, by what to say of them; the slowest stage decides in all of them."""
    cores, read, network = machine["cores"], image["read"], image["network"]
    rates = _rates(image, machine)
    link = rates["link"]
    card = {"card": rates["card"]} if machine["card"] else {}
    apart = {"link": link, "read": cores / read, **(card or {"network": cores / network})}
    return {
        "That is the sum of the rates. The stages do not share out the images among them: each image passes "
        "all of them, and the slowest decides.": sum(rates.values()),
        "So it is if the stages take turns, and their times add up. They work at the same time, each on "
        "another image: the slowest decides.": 1 / sum(1 / rate for rate in rates.values()),
        "So it would be if only the card counted. It can embed no picture that the cores have not read: a "
        "card for a job that waits for decoding sleeps.": rates.get("card", math.nan),
        "So it is if the link let everything through. By itself it allows `MB_a_second / MB`.": min(
            rate for stage, rate in rates.items() if stage != "link"
        ),
        "A megabyte is a megabyte, of a file and on the link: nothing is to be divided by 8.": min(
            {**rates, "link": link / 8}.values()
        ),
        "That is the fastest stage; all images have to pass the slowest, too.": max(rates.values()),
        "That is one core. Core-seconds an image are shared out among all `cores`.": min(
            {**rates, "cores": rates["cores"] / cores}.values()
        ),
        "So it is if the network still ran on the cores. With a card, these have only to read.": min(
            {**rates, "cores": cores / (read + network)}.values()
        ),
        "So it is if reading and network had all cores each. They share them: the core-seconds add up.": min(
            apart.values()
        ),
        "Mind the units: what goes through the link is `MB` an image, and `MB_a_second` come through.": min(
            {**rates, "link": machine["MB_a_second"]}.values()
        ),
    }


def _test_million(million: Million) -> None:
    for image, machine in _CASES:
        given = dict(image), dict(machine)
        try:
            result: Any = tried(million(*given))
        except ZeroDivisionError:
            if machine["card"]:
                raise
            raise NotYet("your function divides by 0. A `card` of 0 is none: it has no rate.") from None
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise NotYet(
                "three things are needed: images a second, what holds them back, and what a million cost."
            )
        rate, which = _number(result[0], "images a second"), result[1]
        _compare_rate(rate, image, machine)
        rates = _rates(image, machine)
        slowest = min(rates, key=lambda each: rates[each])
        if which != slowest:
            raise NotYet(
                f"{rate:.4g} images a second is right, and what allows no more is the {slowest}; you say "
                f"{which!r}. The answer is 'link', 'cores' or 'card'."
            )
        _compare_dollars(_number(result[2], "the dollars"), rate, machine)


def _compare_rate(rate: float, image: Mapping[str, float], machine: Mapping[str, float]) -> None:
    rates = _rates(image, machine)
    wanted = min(rates.values())
    if math.isclose(rate, wanted, rel_tol=1e-3):
        return
    stages = ", ".join(f"{name} {each:.4g}" for name, each in rates.items())
    came = f"your function says {rate:.4g} images a second for {image} on {machine}."
    for words, wrong in _wrong_rates(image, machine).items():
        if math.isclose(rate, wrong, rel_tol=1e-3):
            raise NotYet(f"{came} {words}")
    if any(math.isclose(rate, 1 / each, rel_tol=1e-3) for each in rates.values()):
        raise NotYet(f"{came} Those are seconds an image; turn it over.")
    if rate == int(rate) and abs(rate - wanted) < 1:
        raise NotYet(f"{came} It is {wanted:.4g}: do not round, since the dollars follow from it.")
    raise NotYet(f"{came} By itself each stage would allow: {stages}. Which of them decides?")


def _compare_dollars(dollars: float, rate: float, machine: Mapping[str, float]) -> None:
    wanted = 1e6 / rate / 3600 * machine["dollars_an_hour"]
    if math.isclose(dollars, wanted, rel_tol=1e-3):
        return
    came = f"the rate is right, but a million cost {wanted:.4g} dollars there, and you say {dollars:.4g}."
    if math.isclose(dollars, wanted * machine["cores"], rel_tol=1e-3):
        raise NotYet(f"{came} The price is for an hour of the whole machine, and not of a core.")
    if math.isclose(dollars, wanted * 3600, rel_tol=1e-3):
        raise NotYet(f"{came} The price is for an hour, which has 3600 seconds.")
    if math.isclose(dollars, wanted / 1e6, rel_tol=1e-3):
        raise NotYet(f"{came} That is one image.")
    if math.isclose(dollars * machine["dollars_an_hour"], wanted, rel_tol=1e-3):
        raise NotYet(f"{came} Those are the hours. What does one cost?")
    raise NotYet(f"{came} How many hours does a million take at that rate?")


def _number(value: Any, what: str) -> float:
    array = np.asarray(value)
    if isinstance(value, bool) or array.ndim or array.dtype.kind not in "iuf":
        kind = "None" if value is None else kind_of(value, "an array")
        raise NotYet(f"{what} should be one number, and out came {kind}.")
    if not np.isfinite(array):
        raise NotYet(f"{what} should be a number, and out came {float(array)}.")
    return float(array)


def _mistaken(which: int) -> Million:
    """A planted answer: the rate of one of the likely mistakes; the rest follows from it."""

    def million(image: Mapping[str, float], machine: Mapping[str, float]) -> tuple[float, str, float]:
        rate = list(_wrong_rates(image, machine).values())[which]
        rates = _rates(image, machine)
        rate = min(rates.values()) if math.isnan(rate) else rate
        return rate, min(rates, key=lambda each: rates[each]), 1e6 / rate / 3600 * machine["dollars_an_hour"]

    return million


def _by_core_hours(image: Mapping[str, float], machine: Mapping[str, float]) -> tuple[float, str, float]:
    rates = _rates(image, machine)
    slowest = min(rates, key=lambda each: rates[each])
    hours = 1e6 / rates[slowest] / 3600
    return rates[slowest], slowest, hours * machine["cores"] * machine["dollars_an_hour"]


# --- 11.6 how large a shard is

_PLACES: tuple[tuple[float, float, float], ...] = (
    (2.0, 0.05, 86_400.0),
    (5.0, 0.1, 3_600.0),
    (0.2, 0.02, 20_000.0),
    (30.0, 0.5, 43_200.0),
)
_TOLERANCE = 1.02
"""How much more than the best an answer may waste: a formula a little finer than Young's is right, too."""


def _test_shard_size(shard_size: ShardSize) -> None:
    for start, an_image, between in _PLACES:
        size = _number(tried(shard_size(start, an_image, between)), "the size of a shard")
        _compare_size(size, start, an_image, between)
    if _number(shard_size(0.001, 10.0, 3600.0), "the size of a shard") < 1:
        raise NotYet(
            "with a start of a millisecond and images of 10 seconds your shards hold less than one image. "
            "One is the least: `max(1, …)`."
        )


def _compare_size(size: float, start: float, an_image: float, between: float) -> None:
    best = math.sqrt(2 * start * between) / an_image
    came = (
        f"a start of {start:g} s, {an_image:g} s an image, {between:g} s between two interruptions: you say "
        f"{size:g} image{'s' if size != 1 else ''}."
    )
    if size != int(size):
        raise NotYet(f"{came} A shard holds whole images: `round`.")

    def like(wrong: float) -> bool:
        return math.isclose(size, max(1, wrong), rel_tol=0.02, abs_tol=1)

    if size < 1:
        raise NotYet(f"{came} A shard holds at least one.")
    wasted, least = (overhead(n, start, an_image, between) for n in (size, max(1, round(best))))
    if wasted <= _TOLERANCE * least:
        return
    cost = f"That wastes {_percent(wasted)}, where {_percent(least)} will do."
    if like(1):
        raise NotYet(
            f"{came} {cost} One image a shard loses next to nothing, and pays for a start each time."
        )
    if like(best * an_image):
        raise NotYet(f"{came} {cost} Those are the *seconds* of the best shard. How many images is that?")
    if like(2 * start * between / an_image) or like(2 * start * between):
        raise NotYet(f"{came} {cost} Is a square root missing?")
    if like(best / math.sqrt(2)):
        raise NotYet(
            f"{came} {cost} So it comes out if an interruption cost a *whole* shard. On average it "
            "comes in the middle of one."
        )
    if like(between / an_image):
        raise NotYet(
            f"{came} {cost} Such a shard takes as long as an interruption is away: most are begun twice or "
            "more."
        )
    if wasted > 1 and size > best:
        raise NotYet(f"{came} {cost} One large shard hardly ever comes through: each interruption costs all.")
    raise NotYet(
        f"{came} {cost} Write down both, for one image: the start, shared among n; and what an interruption "
        "costs, times how often it comes. Where is their sum least?"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 1 else "more than the work itself"


def _sizes(rule: Callable[[float, float, float], float]) -> ShardSize:
    def shard_size(start: float, an_image: float, between: float) -> int:
        return max(1, round(rule(start, an_image, between)))

    return shard_size


EXERCISES = (
    Exercise(
        id="11.1",
        title="Names for shards",
        minutes=7,
        test=_test_shard_ids,
        buys="the next process, on any machine, finds what is finished, and takes nothing of another list.",
        hints=(
            "What must a name depend on, and what must it not depend on?",
            "`for number, start in enumerate(range(0, len(names), size))` goes through the shards, and "
            "`names[start : start + size]` are the files of one.",
            '`hashlib.sha256("".join(name + "\\0" for name in part).encode()).hexdigest()[:16]`, and in '
            'front of it the number: `f"{number:06d}-{digest}"`.',
        ),
        planted=(
            Planted(_salted, "took `hash()`", "Python salts `hash()`"),
            Planted(_numbers_alone, "took the number alone", "The number alone is no name"),
            Planted(_run_together, "ran the names together", "run together, they read alike"),
            Planted(_sorted_first, "sorted the names first", "sort nothing"),
            Planted(_first_file, "hashed the first name only", "*All* names of a shard count"),
            Planted(_in_clear, "left a name in clear", "may say who somebody is"),
            Planted(_full_ones, "dropped the last shard", "the last of which holds one file"),
            Planted(_three_digits, "kept three digits", "so few digits of a hash"),
        ),
    ),
    Exercise(
        id="11.2",
        title="There whole, or not at all",
        minutes=9,
        test=_test_keep_shard,
        buys="your process may be killed at any step, twice, and nothing half made passes for whole.",
        hints=(
            "If you are killed between two lines, what does the next process find? Ask that after each line.",
            "Look whether `run.json` is there. If not, delete what a killed process left beside it, compute, "
            "write everything into a folder of another name, and rename that folder.",
            '`beside = shard + ".making"`; `disk.delete(beside)`; `disk.write(f"{beside}/{name}", content)` '
            "for each of `compute().items()`; `disk.rename(beside, shard)`.",
        ),
        planted=(
            Planted(_in_place, "wrote in place, `run.json` first", "finished with half a `run.json`"),
            Planted(_renames_early, "renamed before all was written", "come into it with `run.json`"),
            Planted(_never_sweeps, "kept what was left", "that this attempt never wrote"),
            Planted(_any_name, "took another name each time", "lying about"),
            Planted(_always_anew, "computed finished shards again", "is computed again"),
        ),
    ),
    Exercise(
        id="11.3",
        title="Merged in order",
        minutes=6,
        test=_test_merged,
        buys="the table has the order of the list, whoever was first, and one shard in memory.",
        hints=(
            "Two lists of shards go in. Which of them says the order, and what is the other one for?",
            "`set(planned) - set(there)` are those that are missing. If there are any, raise a ValueError.",
            "`for shard in planned: yield from read(shard)`. A function that yields reads a shard when it is "
            "asked for its rows, and not before.",
        ),
        planted=(
            Planted(_as_finished, "took the order of finishing", "the order in which they finished"),
            Planted(_as_text, "sorted the names as text", "10 comes before 2"),
            Planted(_all_at_once, "read everything first", "in memory at once"),
            Planted(_all_there_is, "took whatever was there", "of another list"),
            Planted(_skips_the_missing, "skipped a missing shard", "nobody would know"),
        ),
    ),
    Exercise(
        id="11.4",
        title="One key",
        minutes=6,
        test=_test_one_key,
        buys="a woman is one woman in all shards, and after an interruption, too.",
        hints=(
            "How many keys may there be? Who draws it, and who has to know it?",
            '`if "key" not in drawer: drawer["key"] = draw()`, before the first shard.',
            'The rows are `(file, pseudonym(drawer["key"], patient))`. The women are the different '
            "pseudonyms of all rows together: `len({name for _, name in rows})`.",
        ),
        planted=(
            Planted(
                _keyed(lambda drawer, draw, shard: draw()), "drew a key a shard", "one key for all shards"
            ),
            Planted(
                _keyed(lambda drawer, draw, shard: b"mammograms"),
                "took a key that is known",
                "The key has to be drawn",
            ),
            Planted(
                _keyed(_drawn_once, lambda drawer: {"key": drawer["key"].hex()}),
                "wrote the key into the record",
                "the key is in what you give back",
            ),
            Planted(_a_key_a_run, "drew a key a run", "draw only if none is there"),
            Planted(_counts_in_each, "counted the women shard by shard", "counted in both"),
        ),
        fills=(1,),
    ),
    Exercise(
        id="11.5",
        title="What holds it back, and what it costs",
        minutes=7,
        test=_test_million,
        buys="you know what to buy, and what would sleep.",
        hints=(
            "How many images a second would each stage allow by itself? The link: `MB_a_second / MB`.",
            "The cores have `read` to do and, without a card, `network` as well: `cores` divided by the sum. "
            "The slowest stage decides: `min(rates, key=rates.get)` is its name.",
            "A million takes `1e6 / rate` seconds; that divided by 3600 are hours, times `dollars_an_hour`.",
        ),
        planted=(
            Planted(_mistaken(0), "added the rates", "do not share out the images"),
            Planted(_mistaken(1), "added the times", "their times add up"),
            Planted(_mistaken(2), "bought a card for a job that decodes", "sleeps"),
            Planted(_mistaken(6), "took one core", "shared out among all"),
            Planted(_mistaken(7), "left the network on the cores", "these have only to read"),
            Planted(_mistaken(8), "gave all cores to both", "had all cores each"),
            Planted(_by_core_hours, "paid for the cores twice", "and not of a core"),
        ),
    ),
    Exercise(
        id="11.6",
        title="How large is a shard?",
        minutes=8,
        test=_test_shard_size,
        buys="starting and losing cost the same: with any other size, one of them costs more.",
        hints=(
            "For one image of a shard of n: what does the start cost? What does an interruption cost on "
            "average, and how often does one come while an image is made?",
            "The start costs `start / n`. Half a shard is `n * an_image / 2`, and an interruption comes "
            "`an_image / between` times an image. Their sum is least where its derivative is 0.",
            "`n = sqrt(2 * start * between) / an_image`, rounded, and at least 1.",
        ),
        planted=(
            Planted(_sizes(lambda s, t, m: 1), "made one file a shard", "pays for a start each time"),
            Planted(_sizes(lambda s, t, m: 10**7), "put all into one shard", "hardly ever comes through"),
            Planted(
                _sizes(lambda s, t, m: math.sqrt(2 * s * m)), "gave seconds", "the *seconds* of the best"
            ),
            Planted(_sizes(lambda s, t, m: 2 * s * m / t), "forgot the root", "Is a square root missing"),
            Planted(
                _sizes(lambda s, t, m: math.sqrt(s * m) / t),
                "let an interruption cost a whole shard",
                "in the middle of one",
            ),
            Planted(_sizes(lambda s, t, m: m / t), "worked as long as it lasts", "begun twice or more"),
        ),
    ),
)
