"""Exercises of lesson 11: other right answers, rarer mistakes. And its disks, its deadly file, its rule."""

import hashlib
import itertools
import json
import math
import uuid

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from course_utils.embedding import Extraction
from course_utils.embedding.distributed import Processes, extract_in_shards
from course_utils.embedding.shards import ENDED_ITS_PROCESS, plan
from course_utils.imaging import Preprocessor
from course_utils.imaging.datasets import sample_cohort
from course_utils.teaching import exercise, scaling
from course_utils.teaching.disks import Disk, FolderDisk, Killed

# --- Right answers


def parts(names, size):
    return [list(names[start : start + size]) for start in range(0, len(names), size)]


def by_json(names, size):
    return (hashlib.md5(json.dumps(part).encode()).hexdigest() for part in parts(names, size))


def by_updates(names, size):
    found = []
    for number, part in enumerate(parts(names, size)):
        digest = hashlib.blake2b(digest_size=12)
        for name in part:
            digest.update(hashlib.sha256(name.encode()).digest())
        found.append(f"{number}_{digest.hexdigest()}")
    return found


def record_renamed_last(disk, shard, compute):
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    disk.delete(shard)
    made = dict(compute())
    record = made.pop("run.json")
    for name, content in made.items():
        disk.write(f"{shard}/{name}", content)
    disk.write(f"{shard}/run.json.tmp", record)
    disk.rename(f"{shard}/run.json.tmp", f"{shard}/run.json")
    return "made"


def sweeps_after_computing(disk, shard, compute):
    if not disk.exists(shard):
        made = compute()
        disk.delete("beside")
        for name in sorted(made, reverse=True):
            disk.write(f"beside/{name}", made[name])
        disk.rename("beside", shard)
        return "made"
    return "kept"


def by_chain(planned, there, read):
    for shard in planned:
        if shard not in there:
            raise LookupError(shard)
    return itertools.chain.from_iterable(map(read, planned))


def by_pop(planned, there, read):
    found = dict.fromkeys(there, True)
    waiting = [shard for shard in planned if found[shard]]  # a KeyError names the missing one
    while waiting:
        yield from iter(read(waiting.pop(0)))


def by_assert(planned, there, read):
    assert set(planned) <= set(there)
    for shard in planned:
        yield from read(shard)


def as_array(shards, drawer, draw, pseudonym):
    rows, record = scaling.with_one_key(shards, drawer, draw, pseudonym)
    return np.array(rows), record


def by_setdefault(shards, drawer, draw, pseudonym):
    key = drawer.setdefault("the key", draw())
    rows = [[file, pseudonym(key, who)] for images in shards.values() for file, who in images]
    return rows, {"women": len({row[1] for row in rows}), "images": len(rows)}


def as_numbers(image, machine):
    stages = {"link": np.float64(machine["MB_a_second"]) / image["MB"]}
    if machine["card"]:
        stages |= {"cores": machine["cores"] / image["read"], "card": machine["card"]}
    else:
        stages["cores"] = machine["cores"] / (image["read"] + image["network"])
    rate, which = min((rate, which) for which, rate in stages.items())
    return [rate, which, np.array(1e6 * machine["dollars_an_hour"] / (3600 * rate))]


def by_search(start, an_image, between):
    def wasted(log_n):
        return scaling.overhead(math.exp(log_n), start, an_image, between)

    return round(math.exp(minimize_scalar(wasted, bounds=(0, 16), method="bounded").x)) or 1


def by_daly(start, an_image, between):
    """Equation 37 of Daly 2006, in images."""
    root = math.sqrt(start / (2 * between))
    return max(1, int((math.sqrt(2 * start * between) * (1 + root / 3 + root**2 / 9) - start) / an_image))


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("11.1", by_json),
        ("11.1", by_updates),
        ("11.1", scaling.shard_ids),
        ("11.1", lambda names, size: [shard.id for shard in plan(names, names, size=size)]),
        ("11.2", record_renamed_last),
        ("11.2", sweeps_after_computing),
        ("11.2", scaling.keep_shard),
        ("11.3", by_chain),
        ("11.3", by_pop),
        ("11.3", by_assert),
        ("11.3", scaling.merged),
        ("11.4", by_setdefault),
        ("11.4", as_array),
        ("11.4", scaling.with_one_key),
        ("11.5", as_numbers),
        ("11.5", scaling.million),
        ("11.6", by_search),
        ("11.6", by_daly),
        ("11.6", lambda s, t, m: math.ceil(math.sqrt(2 * s * m) / t)),
        ("11.6", scaling.shard_size),
    ],
)
def test_another_way_to_the_same_answer_is_right_too(exercise_id, answer):
    verdict = exercise(exercise_id).judge(answer)
    assert verdict.state == "right", verdict.text


# --- Rarer mistakes


def with_commas(names, size):
    return [hashlib.sha256(",".join(part).encode()).hexdigest() for part in parts(names, size)]


def salted_each(names, size):
    return [f"{sum(hash(name) for name in part)}" for part in parts(names, size)]


def record_last_in_place(disk, shard, compute):
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    disk.delete(shard)
    made = dict(compute())
    for name in ("embeddings.parquet", "failures.csv", "run.json"):
        if name in made:
            disk.write(f"{shard}/{name}", made[name])
    return "made"


def catches_everything(disk, shard, compute):
    try:
        return record_last_in_place(disk, shard, compute)
    except BaseException:
        return "made"


def moves_one_by_one(disk, shard, compute):
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    disk.delete(shard)
    disk.delete("beside")
    made = compute()
    for name, content in made.items():
        disk.write(f"beside/{name}", content)
    for name in made:
        disk.rename(f"beside/{name}", f"{shard}/{name}")
    return "made"


def sweeps_first(disk, shard, compute):
    disk.delete("beside")
    if disk.exists(f"{shard}/run.json"):
        disk.delete(shard)
        return "kept"
    return scaling.keep_shard(disk, shard, compute)


def hashed(part):
    return hashlib.sha256("".join(name + "\0" for name in part).encode()).hexdigest()


def one_too_many(names, size):
    return [hashed(names[size * n : size * (n + 1)]) for n in range(len(names) // size + 1)]


def of_the_whole_list(names, size):
    return [f"{n}-{hashed(names)[:16]}" for n, _ in enumerate(parts(names, size))]


def dealt_like_cards(names, size):
    count = -(-len(names) // size)
    return [hashed(names[n::count]) for n in range(count)]


def with_its_first_file(names, size):
    return [f"{part[0].split('/')[-1][:-4]}-{hashed(part)}" for part in parts(names, size)]


def never_asks(disk, shard, compute):
    disk.delete("beside")
    for name, content in compute().items():
        disk.write(f"beside/{name}", content)
    disk.rename("beside", shard)
    return "made"


def renames_in_the_loop(disk, shard, compute):
    for name, content in compute().items():
        disk.write(f"beside/{name}", content)
        disk.rename("beside", shard)
    return "made"


def all_in_one_file(disk, shard, compute):
    disk.write(f"{shard}/run.json", repr(compute()))
    return "made"


def marks_it_elsewhere(disk, shard, compute):
    if disk.exists(f"{shard}.done"):
        return "kept"
    for name, content in compute().items():
        disk.write(f"{shard}/{name}", content)
    disk.write(f"{shard}.done", "yes")
    return "made"


def asks_the_folder_in_place(disk, shard, compute):
    if disk.exists(shard):
        return "kept"
    for name, content in compute().items():
        disk.write(f"{shard}/{name}", content)
    return "made"


def computes_twice(disk, shard, compute):
    if disk.exists(shard):
        return "kept"
    for name in compute():
        disk.write(f"beside/{name}", compute()[name])
    disk.rename("beside", shard)
    return "made"


def counts_alone(planned, there, read):
    if len(there) < len(planned):
        raise ValueError("missing")
    for shard in planned:
        if shard in there:
            yield from read(shard)


def no_strangers(planned, there, read):
    if set(planned) != set(there):
        raise ValueError("missing")
    yield from itertools.chain.from_iterable(map(read, planned))


def empties_the_list(planned, there, read):
    if set(planned) - set(there):
        raise ValueError("missing")
    while planned:
        yield from read(planned.pop(0))


def reads_for_each_row(planned, there, read):
    if set(planned) - set(there):
        raise ValueError("missing")
    for shard in planned:
        for row in range(len(read(shard))):
            yield read(shard)[row]


def returns_the_error(planned, there, read):
    if set(planned) - set(there):
        return ValueError("missing")
    return itertools.chain.from_iterable(map(read, planned))


def of_the_file(shards, drawer, draw, pseudonym):
    twice = {shard: [(file, file) for file, _ in images] for shard, images in shards.items()}
    return scaling.with_one_key(twice, drawer, draw, pseudonym)


def remembers(shards, drawer, draw, pseudonym, kept={}):  # noqa: B006
    return scaling.with_one_key(shards, kept, draw, pseudonym)


def empties_the_shards(shards, drawer, draw, pseudonym):
    found = scaling.with_one_key(shards, drawer, draw, pseudonym)
    shards.clear()
    return found


def with_record(change):
    def with_one_key(*given):
        rows, record = scaling.with_one_key(*given)
        return rows, record | change(rows)

    return with_one_key


def always_a_card(image, machine):
    rates = {"cores": machine["cores"] / image["read"], "card": machine["card"]}
    which = min(rates, key=rates.get)
    return rates[which], which, 1e6 / rates[which] / 3600 * machine["dollars_an_hour"]


def rate_times(times, dollars=1.0):
    def million(image, machine):
        rate, which, cost = scaling.million(image, machine)
        return times(rate), which, dollars * cost

    return million


def link_turned_over(image, machine):
    seconds = image["MB"] / machine["MB_a_second"]
    return seconds, "link", 1.0


def tells_the_key(shards, drawer, draw, pseudonym):
    rows, record = scaling.with_one_key(shards, drawer, draw, pseudonym)
    return [(file, f"{drawer['key'].hex()}-{name}") for file, name in rows], record


def one_sum(image, machine):
    rate, which, dollars = scaling.million(image, machine)
    return rate, which, 3600 * dollars


@pytest.mark.parametrize(
    ("exercise_id", "answer", "says"),
    [
        ("11.1", lambda names, size: {}, "out came a dict"),
        ("11.1", lambda names, size: [1, 2, 3], "a name is a string"),
        ("11.1", lambda names, size: [f"{n}" for n in names], "7 files make 7 names"),
        ("11.1", lambda names, size: [uuid.uuid4().hex for _ in parts(names, size)], "asked again"),
        ("11.1", lambda names, size: [repr(part) for part in parts(names, size)], "may say who somebody is"),
        ("11.1", with_commas, "run together, they read alike"),
        ("11.1", salted_each, "Python salts `hash()`"),
        ("11.1", one_too_many, "6 files in shards of 3: that makes 2"),
        ("11.1", of_the_whole_list, "the files of that shard alone"),
        ("11.1", dealt_like_cards, "the files of that shard alone"),
        ("11.1", with_its_first_file, "may say who somebody is"),
        ("11.1", lambda n, size: [hashed(p) for p in parts(n, 3)], "5 files in shards of 1"),
        ("11.1", lambda n, size: [2 * hashed(p) for p in parts(n, size)], "has 128 letters"),
        ("11.1", lambda n, size: [hashed([" | ".join(p)]) for p in parts(n, size)], "they read alike"),
        ("11.2", never_asks, "Ask before anything else whether its `run.json` is there"),
        ("11.2", renames_in_the_loop, "rename once, when everything is written"),
        ("11.2", all_in_one_file, "does not hold what `compute` returned"),
        ("11.2", marks_it_elsewhere, "000003.done is there beside the shard"),
        ("11.2", asks_the_folder_in_place, "killed after 2 steps, the shard counts as finished with half"),
        ("11.2", computes_twice, "calls `compute` twice"),
        ("11.2", lambda d, s, c: d.write("run.json", c()), "two strings"),
        ("11.3", counts_alone, "nobody would know"),
        ("11.3", no_strangers, "None is missing, and your function raises ValueError"),
        ("11.3", empties_the_list, "Change neither of them"),
        ("11.3", reads_for_each_row, "of 6 shards it makes 14 reads"),
        ("11.3", returns_the_error, "*returns* an exception"),
        ("11.4", of_the_file, "under a single key"),
        ("11.4", remembers, "which came with an empty drawer"),
        ("11.4", empties_the_shards, "your function changes shards"),
        ("11.4", with_record(lambda rows: {"women": len(rows)}), "So many are the images"),
        ("11.4", with_record(lambda rows: {"women": set(rows)}), "are numbers"),
        ("11.4", lambda *given: ([("1", "2", "3")], {}), "yours is a tuple of 3"),
        ("11.5", always_a_card, "A `card` of 0 is none"),
        ("11.5", rate_times(round), "do not round"),
        ("11.5", rate_times(lambda rate: rate, 2.0), "Those are the hours"),
        ("11.5", rate_times(lambda rate: math.nan), "out came nan"),
        ("11.5", lambda i, m: (min(m["MB_a_second"] / i["MB"] / 8, 99), "link", 1), "divided by 8"),
        ("11.5", link_turned_over, "turn it over"),
        ("11.6", lambda s, t, m: math.nan, "out came nan"),
        ("11.6", lambda s, t, m: round(math.sqrt(s * m) / t), "wastes 0.72%, where 0.68% will do"),
        ("11.6", lambda s, t, m: 10**8, "wastes more than the work itself"),
        ("11.2", record_last_in_place, "finished with half a `run.json`"),
        ("11.2", catches_everything, "finished with half a `run.json`"),
        ("11.2", moves_one_by_one, "come into it with `run.json`"),
        ("11.2", lambda disk, shard, compute: "made", "nothing is on the disk"),
        ("11.2", sweeps_first, "after a second call it is gone"),
        ("11.2", lambda d, s, c: bool(scaling.keep_shard(d, s, c)), "should return 'made'"),
        ("11.2", lambda d, s, c: scaling.keep_shard(d, f"x{s}", c), "It should hold 000003/run.json"),
        ("11.3", lambda planned, there, read: map(read, planned), "out come whole shards"),
        ("11.3", lambda planned, there, read: read("b-99"), "no finished shard"),
        (
            "11.3",
            lambda planned, there, read: (r for s in planned[::-1] for r in read(s)),
            "that was planned",
        ),
        ("11.3", lambda planned, there, read: 7, "out came an int"),
        ("11.4", tells_the_key, "and would lie beside the pseudonyms"),
        ("11.4", lambda s, d, draw, p: ([(f, w) for i in s.values() for f, w in i], {}), "themselves"),
        ("11.4", lambda s, d, draw, p: (by_setdefault(s, d, draw, p)[0], {}), "dictionary with two numbers"),
        ("11.4", lambda *given: by_setdefault(*given)[0], "two things are needed"),
        ("11.5", lambda i, m: (1 / scaling.million(i, m)[0], "cores", 1), "seconds an image; turn it over"),
        ("11.5", lambda i, m: (scaling.million(i, m)[0], "network", 1), "you say 'network'"),
        ("11.5", lambda i, m: scaling.million(i, m)[0], "three things are needed"),
        ("11.5", one_sum, "which has 3600 seconds"),
        ("11.6", lambda s, t, m: math.sqrt(2 * s * m) / t, "whole images"),
        ("11.6", lambda s, t, m: 0, "at least one"),
        ("11.6", lambda s, t, m: 100, "Where is their sum least"),
        ("11.6", lambda s, t, m: round(math.sqrt(2 * s * m) / t), "less than one image"),
    ],
)
def test_a_rarer_mistake_is_named_too(exercise_id, answer, says):
    verdict = exercise(exercise_id).judge(answer)
    assert verdict.state == "wrong"
    assert says in verdict.text, verdict.text


def test_the_check_leaves_no_salt_in_the_students_namespace():
    assert exercise("11.1").judge(salted_each).state == "wrong"
    assert "hash" not in globals()


# --- The disk


def test_a_process_is_killed_at_the_step_that_was_named_and_takes_none_afterwards():
    disk = Disk(steps=3)
    disk.write("a/one", "0123")
    with pytest.raises(Killed):
        disk.write("a/two", "4567")
    assert disk.files == {"a/one": "0123", "a/two": "45"}
    for act in (lambda: disk.delete("a"), lambda: disk.rename("a", "b"), lambda: disk.exists("a")):
        with pytest.raises(Killed):
            act()


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_both_disks_do_the_same(kind, tmp_path):
    disk = Disk() if kind == "memory" else FolderDisk(tmp_path)
    disk.write("shard.making/run.json", "record")
    disk.write("shard.making/run.json", "another")
    assert disk.exists("shard.making")
    assert not disk.exists("shard")
    disk.rename("shard.making", "shard")
    assert disk.exists("shard/run.json")
    assert not disk.exists("shard.making")
    disk.write("shard/other.tmp", "more")
    disk.rename("shard/other.tmp", "shard/run.json")  # a file takes another's place
    disk.write("beside/run.json", "late")
    with pytest.raises(OSError):
        disk.rename("beside", "shard")
    disk.delete("shard")
    disk.delete("shard")
    assert not disk.exists("shard")


# --- The file that kills, and the rule


@pytest.mark.slow  # three processes; the lesson runs one, too
def test_a_deadly_file_ends_its_process_and_costs_one_row(tmp_path):
    paths = list(sample_cohort()["path"][:4])
    recipe = scaling.DeadlyFile(
        {"name": "efficientnet_lite0"}, {"device": "cpu"}, Preprocessor(size=224), deadly=paths[1].name
    )
    extract_in_shards(tmp_path, paths, recipe, Processes(1), shard_files=2, progress=False)
    found = Extraction.read(tmp_path)
    assert found.table["file"].tolist() == [paths[n].name for n in (0, 2, 3)]
    assert found.failures.to_numpy().tolist() == [[paths[1].name, "read", ENDED_ITS_PROCESS]]


def test_what_shards_waste_is_what_a_simulation_wastes():
    rng = np.random.default_rng(0)
    start, an_image, between, images = 2.0, 0.1, 60.0, 300
    spent, whole = [], start + an_image * images
    for _ in range(20_000):
        spent.append(0.0)
        while (until := rng.exponential(between)) < whole:
            spent[-1] += until
        spent[-1] += whole
    wasted = np.mean(spent) / (an_image * images) - 1
    assert scaling.overhead(images, start, an_image, between) == pytest.approx(wasted, rel=0.03)


@pytest.mark.parametrize(("start", "an_image", "between"), [(0.1, 0.07, 86_400.0), (3.0, 0.4, 3600.0)])
def test_youngs_size_wastes_hardly_more_than_the_best_and_half_or_twice_a_quarter_more(
    start, an_image, between
):
    size = scaling.shard_size(start, an_image, between)
    least = min(scaling.overhead(n, start, an_image, between) for n in range(1, 6 * size))
    assert scaling.overhead(size, start, an_image, between) <= 1.005 * least
    for times in (0.5, 2):
        wasted = scaling.overhead(times * size, start, an_image, between)
        assert wasted / least == pytest.approx(1.25, abs=0.04)
    assert scaling.overhead(10**9, start, an_image, between) == math.inf
