# %% [markdown]
# # 11 · Scaling out: a million mammograms, and a bill
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - read a benchmark: tell a start from what one more image costs, and say what two opposite claims could both have measured
# - cut a long list of files into shards that survive a killed process, with nothing lost and nothing twice
# - merge them in order, under one key, and set aside a file that ends its process
# - say whether the link, the cores or a card holds a run back, and what a million images cost
# - work out how large a shard should be
#
# **Prerequisites.** [Lesson 05](05_batched_extraction.ipynb): a run that picks up where it stopped. [Lesson 06](06_fast_and_reproducible.ipynb):
# where the time goes. From Python, functions, dictionaries and `yield`.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 75 min, 90 with all | under 60 s | under 2 GB | none | not needed |

# %% [markdown]
# ## How can both be faster?
#
# An archive holds a million mammograms, and you want a vector of each. Two firms offer engines that spread the work over many
# processes, Quern and Tarn. (We made both up.) Each has sent you its sheet. Same machine, same files, same network:
#
# | sheet of | images | Quern took | Tarn took | which says |
# |---|---|---|---|---|
# | Quern | 1 000 000 | 100 102 s | 130 003 s | "Quern is thirty per cent ahead" |
# | Tarn | 100 | 112 s | 16 s | "Tarn is seven-fold ahead" |
#
# *Predict: has somebody lied? And at how many images would the two take equally long?*

# %% tags=["hide-output"]
from course_utils.plots.scaling import run_times

sheets = {
    "Quern": [(100, 112), (1_000_000, 100_102)],
    "Tarn": [(100, 16), (1_000_000, 130_003)],
}


def line(points):  # two runs -> the start, and what one more image costs
    (few, soon), (many, late) = points
    an_image = (late - soon) / (many - few)
    return soon - few * an_image, an_image


# %% tags=["hide-output"]
programs = {name: line(points) for name, points in sheets.items()}
for name, (start, an_image) in programs.items():
    print(f"{name}: {start:.0f} s to start, and {an_image:.2f} s an image")
(start_q, each_q), (start_t, each_t) = programs.values()
print(f"equally long: at {(start_q - start_t) / (each_t - each_q):,.0f} images")

# %% tags=["hide-output"]
caption = "Marked: what the sheets say, left of the crossing and right of it. "
caption += "On logarithmic axes seven-fold is wide, and thirty per cent is a hair."
run_times(programs, sheets, 1_000_000, caption=caption)

# %% [markdown]
# Nobody has lied. A run of $n$ images takes
#
# $$T(n) = s + c\,n,$$
#
# where $s$ is the **start** (importing, loading weights, waking processes or a whole cluster) and $c$ the
# [**marginal cost**](../docs/glossary.md#marginal-cost), the time of one more image. Tarn starts at once. Quern takes long to
# start, and then has less to do for each image. A hundred images measure the start, a million the marginal cost. A
# sheet that leaves out $n$ has told you neither.
#
# There are other ways to disagree. In [the course's own benchmark](../docs/benchmarks/embedding.md), of 1 December 2026, `course embed`
# was 5.4 times as fast as the best of the usual code on uncompressed files, and 2.8 times as fast on JPEG 2000: the same two
# programs, on other files. Read it like any vendor's.
#
# And your own machine? We take the 24 mammograms that come with the course, once in this process, which has imported
# everything, and once in two new ones, each of which imports PyTorch and loads the network before it can begin. A run's record
# says how long its processes were at work. What 16 further images add to that is their marginal cost; the rest is the start.
# *Predict: which has the longer start? Which is faster for each further image, and by how much?*

# %% tags=["hide-output", "nbval-ignore-output"]
import tempfile
import time
from pathlib import Path

import numpy as np

from course_utils.embedding.distributed import Processes, Recipe, extract_in_shards
from course_utils.imaging.datasets import sample_cohort

folder = Path(tempfile.mkdtemp())
paths = list(sample_cohort().path)
names = [path.name for path in paths]
recipe = Recipe(extractor={"deterministic": True})  # from it each process makes its own
extractor = recipe.make()
_ = extractor.extract(paths[:2], recipe.preprocessor)  # a first run should not count


# %% tags=["hide-output", "nbval-ignore-output"]
one, two, quiet = folder / "one", folder / "two", {"progress": False}


def embed(processes, n):  # -> what the run's record says of its time
    if processes == 1:
        run = extractor.extract_to(one, paths[:n], recipe.preprocessor, **quiet)
    else:
        cut = {"shard_files": n // 2, **quiet}
        run = extract_in_shards(two, paths[:n], recipe, Processes(2), **cut)
    at_work = run.timings["read_and_preprocess_s"] + run.timings["embed_s"]
    return run.timings["total_s"], at_work / processes


mine, marks = {}, {}
for processes in (1, 2):
    (soon, few), (late, many) = (embed(processes, n) for n in (8, 24))
    an_image, way = max((many - few) / 16, 0.001), f"processes: {processes}"
    mine[way] = max(late - 24 * an_image, 0.01), an_image
    marks[way] = [(8, soon), (24, late)]
caption = "This machine. Marks: what 8 and 24 images took. A busy neighbour moves them."
run_times(mine, marks, 100_000, caption=caption)

# %% [markdown]
# Two processes have the longer start on any machine, by seconds: for two dozen files they are a waste. Whether they are ahead for a
# million depends on your machine. A single process already uses several cores for the network, so what is left to gain is
# the time in which it reads and cores wait. With many cores that can be a lot, with two next to nothing.
#
# So where do the seconds of one more image go? Ada says: *"Into the network. Buy a card."* Ben says: *"Nonsense, it is the disk.
# Seventeen megabytes an image!"* Keep their quarrel in mind. First the run has to survive.

# %% [markdown]
# ## What is left after a night?
#
# A million images take hours. In that time a process runs out of memory, a machine is taken away, somebody trips
# over a cable. So the list of files is cut into [**shards**](../docs/glossary.md#shard), of a hundred files, say, and a shard's
# vectors are written as soon as it is finished. Whatever happens, only shards in progress are lost.
#
# For that, the next process must find what is finished: a shard needs a name that every process on every machine would give
# it. Python's own `hash` makes a number of any string. *Predict: will two processes get the same numbers?*

# %% tags=["hide-output", "nbval-ignore-output"]
import os
import subprocess
import sys

code = "print(*(hash(name) % 1000 for name in ('W01_LCC.dcm', 'W02_RCC.dcm')))"
fresh = {key: value for key, value in os.environ.items() if key != "PYTHONHASHSEED"}
for process in ("one process: ", "another one:"):
    run = [sys.executable, "-c", code]
    print(process, subprocess.check_output(run, env=fresh, text=True).strip())

# %% [markdown]
# `hash` is **salted**: each process mixes in a number of its own, so that nobody can send a server strings that all have the same
# hash. That is fine for a dictionary, which lives and dies with its process, and useless for a name on a disk.

# %% [markdown]
# ### Exercise 11.1: names for shards (7 minutes)
#
# Write `shard_ids`. It gets the `names` of the files in order, a list of strings, and the `size` of a shard; the last shard may be
# smaller. Return a list with one string for each shard. As long as a shard holds the same files in the same order, its name stays
# the same, in any process and whatever follows it in the list; with other files, or in another order, it has another. It will
# be the name of a folder: at most a hundred letters, digits, `-`, `_` and `.`. And it holds no file's name, since such names may
# say who somebody is.


# %%
import hashlib


def shard_ids(names, size):  # -> a list of strings, one for each shard
    ### BEGIN SOLUTION
    ids = []
    for number, start in enumerate(range(0, len(names), size)):
        closed = "".join(name + "\0" for name in names[start : start + size])
        digest = hashlib.sha256(closed.encode()).hexdigest()[:16]
        ids.append(f"{number:06d}-{digest}")
    return ids
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("11.1").check(shard_ids)
# exercise("11.1").hint()

# %% [markdown]
# From here on the lesson uses *your* functions once they are right; until then the course's own stand in for you.
#
# A new mammogram comes in. *Predict: how many shards must be computed if it stands at the end of the list, and how many
# if it stands at the front?*

# %% tags=["hide-output"]
from course_utils.teaching import scaling

ids_of = exercise("11.1").use(shard_ids, otherwise=scaling.shard_ids)
finished = set(ids_of(names, 5))
longer = {"end": [*names, "W13_LCC.dcm"], "front": ["W00_LCC.dcm", *names]}
for where, more in longer.items():
    ids = ids_of(more, 5)
    todo = len(set(ids) - finished)
    print(f"one more at the {where}: {todo} of {len(ids)} to compute")

# %% [markdown]
# At the front, every file moves up one place, and each shard holds other files than before. So append to a list. (If you
# do not, single vectors are still found in a store, as in [lesson 05](05_batched_extraction.ipynb).)

# %% [markdown]
# ## What does the next one find?
#
# A process that is killed does not say goodbye. No `except`, no `finally` runs. Imagine it while it writes a shard, and
# ask after each line: *if I end here, what does the next process find, and what will it make of that?* Writing takes
# time, and may stop halfway. To *rename* a file or a folder is a single step: it has happened, or it has not.
#
# What you are after is [**idempotent**](../docs/glossary.md#idempotent): done once, or three times because it was interrupted
# twice, the result is the same.

# %% [markdown]
# ### Exercise 11.2: there whole, or not at all (9 minutes)
#
# A shard counts as finished if its `run.json` is there. Write `keep_shard`. It gets a `disk`, the name of a `shard`, and a
# function `compute`, which takes its time and returns a dictionary {file's name: content} of all files of the shard, `run.json`
# among them. Put them on the disk as `shard/run.json` and so on. If the shard is finished already, return `"kept"` and
# compute nothing. Otherwise return `"made"`.
#
# The disk can do four things: `disk.exists(name)`; `disk.write(name, content)`, which makes folders as needed and may be
# interrupted halfway; `disk.rename(old, new)`, for a file or a folder, in one step; and `disk.delete(name)`, which deletes a folder file by
# file and does nothing if there is none. A folder cannot be renamed to one that exists. The check kills your function after every step and runs it
# again, and kills that one, too.


# %%
def keep_shard(disk, shard, compute):  # -> "kept" or "made"
    ### BEGIN SOLUTION
    if disk.exists(f"{shard}/run.json"):
        return "kept"
    beside = f"{shard}.making"
    disk.delete(beside)  # what a killed process may have left
    for name, content in compute().items():
        disk.write(f"{beside}/{name}", content)
    disk.rename(beside, shard)
    return "made"
    ### END SOLUTION


exercise("11.2").check(keep_shard)
# exercise("11.2").hint()

# %% [markdown]
# The check's disk is made up. On a real one, called three times:

# %%
from course_utils.teaching.disks import FolderDisk

keep = exercise("11.2").use(keep_shard, otherwise=scaling.keep_shard)
disk = FolderDisk(folder / "a disk")
files = {path.name: path.read_bytes() for path in sorted(one.iterdir())}
print(*(keep(disk, "000000", lambda: files) for _ in range(3)), sep=", ")
print("files on the disk:", len(list((folder / "a disk").glob("000000/*"))))

# %% [markdown]
# Now for real. The course's `Processes` does this with every shard. We take it as it is, but as soon as the first shard is
# finished, we kill one of its two processes, as `kill -9` or a lack of memory would: it is in the middle of
# another shard. *Predict: of 24 images, how many will be lost, and how many will come twice? In how many numbers will the
# vectors differ from those of the undisturbed run above?*

# %% tags=["hide-output", "nbval-ignore-output"]
import multiprocessing


class OneIsKilled(Processes):
    def run(self, todo, folder, recipe):
        for number, shard in enumerate(super().run(todo, folder, recipe)):
            if number == 0:
                victim = multiprocessing.active_children()[0]
                victim.kill()
                victim.join()
                print(victim.name, "has ended with exit code", victim.exitcode)
            yield shard


# %% tags=["hide-output", "nbval-ignore-output"]
out = folder / "killed"
_ = extract_in_shards(out, paths, recipe, OneIsKilled(2), shard_files=4, **quiet)

# %% tags=["hide-output"]
from course_utils.runs import Extraction

undisturbed, killed = Extraction.read(two), Extraction.read(out)
files = killed.table["file"].tolist()
print("lost:", len(set(names) - set(files)), "  twice:", len(files) - len(set(files)))
print("not in its place:", sum(a != b for a, b in zip(files, names)))
print("numbers with other bits:", (killed.vectors != undisturbed.vectors).sum())

# %% [markdown]
# A third process took the dead one's place and began its shard again. What had been half written lay in a hidden folder, which
# nobody took for a shard.

# %% [markdown]
# ## In which order do they come back?
#
# Shards finish as they please: one is full of large files, one was begun twice. The table must have the order of the list, or
# row $i$ is somebody else's vector. And a million rows should not have to be in memory at once.

# %% [markdown]
# ### Exercise 11.3: merged in order (6 minutes)
#
# Write `merged`. It gets the names of the shards `planned`, in the order of the list; the names of finished shards that are
# `there`, in any order, perhaps with some of another list among them; and a function `read(shard)`, which returns a shard's
# rows. Give back the rows one after the other, with one shard in memory at a time. (`yield` does it.) If a planned shard
# is missing, raise a `ValueError`.


# %%
def merged(planned, there, read):  # yields rows
    ### BEGIN SOLUTION
    missing = set(planned) - set(there)
    if missing:
        raise ValueError(f"{len(missing)} of {len(planned)} shards are missing")
    for shard in planned:
        yield from read(shard)
    ### END SOLUTION


exercise("11.3").check(merged)
# exercise("11.3").hint()

# %% [markdown]
# Five real shards, under the names that *you* gave them, are computed in shuffled order:

# %%
import secrets

from course_utils.embedding.shards import Shard, run_shard

in_order = exercise("11.3").use(merged, otherwise=scaling.merged)
planned, place, key = ids_of(names, 5), folder / "shards", secrets.token_bytes(32)
starts = np.random.default_rng(0).permutation(range(0, 24, 5))
for start in starts:
    part = slice(start, start + 5)
    shard = Shard(planned[start // 5], tuple(paths[part]), tuple(names[part]))
    run_shard(shard, place, extractor, recipe.preprocessor, store=None, key=key)

# %%
there = [run.name for run in place.iterdir()]


def files_in(shard):
    return Extraction.read(place / shard).table["file"]


rows = in_order(planned, there, files_in)
out_of_place = sum(row != name for row, name in zip(rows, names, strict=True))
print("made in the order", *starts // 5, "and merged: out of place", out_of_place)

# %% [markdown]
# ## How many women are twelve?
#
# `run_shard` asked for a `key`. Patients are [pseudonyms](../docs/glossary.md#pseudonym) in the table: hashes of the patient's ID, mixed with a secret key, since
# without one anybody could hash all the IDs there are and look hers up. (A salt again. This time it must be the *same*
# everywhere.)
#
# When the course's own extraction was first tried in several processes, each drew a key. Here it is once more. The files lie in
# two folders, one for each view, in shards of five. Three processes take part, since the second is killed on the way and
# replaced. *Predict: 12 women have two images each. How many patients does the table have? If half of these patients go into a
# test set, how many women will be on both sides?*

# %% tags=["hide-output"]
import pydicom

from course_utils.imaging.identity import pseudonym

by_view = sorted(paths, key=lambda path: path.stem[-2:])  # CC, then MLO
headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in by_view]
whose = [str(header.PatientID) for header in headers]
worked = [0, 1, 0, 1, 2]  # which process took which shard
keys = [secrets.token_bytes(32) for _ in range(3)]
each_own = [pseudonym(keys[worked[n // 5]], who) for n, who in enumerate(whose)]
shared = [pseudonym(keys[0], who) for who in whose]


def on_both_sides(patients, rng):  # -> women, if half of the patients are the test
    known = np.unique(patients)
    test = np.isin(patients, rng.permutation(known)[: len(known) // 2])
    return len(set(np.array(whose)[test]) & set(np.array(whose)[~test]))


# %% tags=["hide-output"]
for name, patients in {"a key a process": each_own, "one key": shared}.items():
    rng = np.random.default_rng(0)
    torn = np.mean([on_both_sides(patients, rng) for _ in range(2000)])
    found = len(set(patients))
    print(f"{name:<15} {len(set(whose))} women, {found} patients", end=", ")
    print(f"on both sides of a split: {torn:.0f}")

# %% [markdown]
# No row is missing, every vector is right, and the table is wrong: a woman whose images went to two processes is two patients.
# The leak of [lesson 10](10_probes_and_few_labels.ipynb) comes in by the back door, and no split by patient keeps it out.

# %% [markdown]
# ### Exercise 11.4: one key (6 minutes)
#
# Write `with_one_key`, which does it right. It gets `shards`, a dictionary {shard: list of pairs (file, patient)}; `drawer`, a dictionary that
# outlives the run, in a place that nobody else can read, and is empty at first; `draw()`, which returns a new
# key; and `pseudonym(key, patient)`. Return two things: the rows, a list of pairs (file, pseudonym), shard after shard;
# and the record, a dictionary with the number of `"images"` and of `"women"` in them. Rows and record will be published.


# %%
def with_one_key(shards, drawer, draw, pseudonym):  # -> rows, record
    ### BEGIN SOLUTION
    if "key" not in drawer:
        drawer["key"] = draw()
    rows = []
    for images in shards.values():
        rows += [(file, pseudonym(drawer["key"], who)) for file, who in images]
    return rows, {"images": len(rows), "women": len({who for _, who in rows})}
    ### END SOLUTION


exercise("11.4").check(with_one_key)
# exercise("11.4").hint()

# %%
pairs = [(path.name, who) for path, who in zip(by_view, whose)]
in_shards = {f"shard {n}": pairs[5 * n : 5 * n + 5] for n in range(5)}
keyed = exercise("11.4").use(with_one_key, otherwise=scaling.with_one_key)
rows, record = keyed(in_shards, {}, lambda: secrets.token_bytes(32), pseudonym)
print(record["images"], "images of", record["women"], "women")

# %% [markdown]
# ## What if a file kills?
#
# A process that dies is replaced, and its shard is begun again. Now suppose that the reason was a *file*: a damaged stream on
# which a decoder does not raise an error, but takes the whole process down. The next process reads the same file. *Predict: what
# will happen to a run that begins a shard again as often as it takes?*
#
# We do not crash for real. `DeadlyFile` is a recipe whose processes end without a word at one certain file. (It comes from the
# package, since a new process cannot import what a notebook defines.)

# %% tags=["hide-output"]
import textwrap

deadly = scaling.DeadlyFile(extractor=recipe.extractor, deadly=names[2])
out = folder / "deadly"
_ = extract_in_shards(out, paths[:8], deadly, Processes(2), shard_files=4, **quiet)
outlived = Extraction.read(out)
print("rows:", *outlived.table["file"])
for row in outlived.failures.itertuples():
    print(textwrap.fill(f"failed: {row.file}: {row.reason}", 88))

# %% [markdown]
# Begun again for ever, the run would never end, and each attempt would look like bad luck. So attempts are counted, and where
# the count survives: on the disk. After the first death nobody knows which of four files it was. So the second attempt goes file
# by file and writes down each *before* reading it. The note that is there after the second death names the culprit, and the
# third attempt leaves it out, as `failures.csv` says.

# %% [markdown]
# ## The card, or the disk?
#
# Back to Ada and Ben, with figures. For one image, what must come through the link, what does it cost the cores to read
# it (decoding, grays, mask), and what does the network cost? Seconds on a clock would say how busy the neighbours are, so we
# count **core-seconds**: the time of all cores that worked on it. A film comes stored in three ways, as in lesson 06.
# Which costs more, reading or the network?

# %% tags=["nbval-ignore-output"]
from course_utils.imaging import read_mammogram
from course_utils.imaging.datasets import real_mammograms
from course_utils.teaching.storing import in_three_ways

films = in_three_ways(real_mammograms().path[2], folder)
for name, path in films.items():
    clock = time.process_time()
    picture = recipe.preprocessor(read_mammogram(path))
    read = time.process_time()
    extractor.embed(np.stack([picture] * 8))
    network = (time.process_time() - read) / 8
    print(f"{name:<14} to read {1000 * (read - clock):4.0f} core-ms,", end=" ")
    print(f"network {1000 * network:3.0f} core-ms")

# %% [markdown]
# (A network on a card costs the cores next to nothing.) For the bill we take whole mammograms, 3328 × 2560 pixels, and the
# ResNet-50 of [the benchmark](../docs/benchmarks/embedding.md). It had two cores, so an image costs 2 core-seconds divided by its
# images a second. How far a file shrinks is taken from our film, at half its resolution.

# %%
# images a second on two cores, 1 December 2026: reading alone, and all of it
measured = {"uncompressed": (50.8, 16.9), "JPEG lossless": (24.7, 12.4)}
measured["JPEG 2000"] = (6.2, 4.9)
network, plain = 24.0, films["uncompressed"].stat().st_size
images, core_hours, terabytes = {}, {}, {}
for name, (reading, all_of_it) in measured.items():
    MB = 3328 * 2560 * 2 / 1e6 * films[name].stat().st_size / plain
    images[name] = {"MB": MB, "read": 2 / reading, "network": 2 / network}
    core_hours[name] = 2 / all_of_it * 1e6 / 3600
    terabytes[name] = MB  # a million of them
    print(f"{name:<14} a million: {core_hours[name]:3.0f} core-hours, {MB:4.1f} TB")

# %% [markdown]
# Now put them on a larger machine. All stages work at the same time, each on another image: while the link brings one, the cores
# read the one before. If the network runs on the cores, it shares them with reading.

# %% [markdown]
# ### Exercise 11.5: what holds it back, and what it costs (7 minutes)
#
# Write `million`. It gets an `image`, a dictionary such as those above: `MB`, and the core-seconds to `read` it and for the `network`. And
# a `machine`, also a dictionary: `cores`, `MB_a_second` (what comes through the link), `card` (images a second that a
# card's network does; 0: there is no card, and the cores do that as well) and `dollars_an_hour`, for all of it. Return three
# things: the images a second, what holds them back (`"link"`, `"cores"` or `"card"`), and the dollars for a million images.


# %%
def million(image, machine):  # -> images a second, what holds them back, dollars
    ### BEGIN SOLUTION
    on_cores = image["read"] + (0 if machine["card"] else image["network"])
    rates = {"link": machine["MB_a_second"] / image["MB"]}
    rates["cores"] = machine["cores"] / on_cores
    if machine["card"]:
        rates["card"] = machine["card"]
    slowest = min(rates, key=rates.get)
    hours = 1e6 / rates[slowest] / 3600
    return rates[slowest], slowest, hours * machine["dollars_an_hour"]
    ### END SOLUTION


exercise("11.5").check(million)
# exercise("11.5").hint()

# %% [markdown]
# The machine has 16 cores, and a link of 1250 megabytes a second, ten gigabits. Ada may add a card that embeds 2000 images a second.
# Ben may have a link four times as fast. (Both figures are round numbers, and not measured.) *Predict: uncompressed, who gains
# more? With JPEG 2000?*

# %% tags=["hide-output"]
held_back = exercise("11.5").use(million, otherwise=scaling.million)
machine = {"cores": 16, "MB_a_second": 1250, "card": 0, "dollars_an_hour": 1.0}
offers = {"as it is": {}, "Ada's card": {"card": 2000}}
offers["Ben's link"] = {"MB_a_second": 5000}
for name in ("uncompressed", "JPEG 2000"):
    for offer, change in offers.items():
        rate, which, _ = held_back(images[name], {**machine, **change})
        print(f"{name:<13} {offer:<11} {rate:4.0f} images a second: the {which}")

# %% tags=["hide-input", "hide-output"]
from course_utils.plots.scaling import slowest_stages

cases = {}
for name in ("uncompressed", "JPEG 2000"):
    image, cores = images[name], machine["cores"]
    link = machine["MB_a_second"] / image["MB"]
    alone, shared = cores / image["read"], cores / (image["read"] + image["network"])
    cases[name] = {"link": link, "cores, all of it": shared}
    cases[f"{name}, a card"] = {"link": link, "cores, reading": alone, "card": 2000}
slowest_stages(cases)

# %% [markdown]
# Uncompressed, Ben is right: the files do not come fast enough, and Ada's card changes nothing at all. With JPEG 2000 neither
# is: the link has room, and the cores decode. The card takes the network off them, a fifth of their work, and then waits for
# them. What helps there is cores, or files that are stored otherwise. A card decides nowhere in this figure. It would if
# the network were thirty times as heavy as ResNet-50, so put in the figures of *yours*.

# %% [markdown]
# ## What is on the bill?
#
# A million images take 33 core-hours uncompressed, 45 as JPEG lossless, and 113 as JPEG 2000. But computing is not all that you pay for:
# the files have to be brought to the cores, and to be kept. Prices are not facts. They differ from place to place and change
# every year, so here they are an **input with a date**. Put in those that you are offered.
#
# *Predict: which of the three archives has the lowest bill, if it is moved once and kept for a year?*

# %% tags=["hide-output"]
from functools import partial

from course_utils.plots.scaling import bill
from course_utils.teaching.widgets import LivePicture

# Dollars, entered on 30 November 2026, from no price list: yours go here.
prices = {"core_hour": 0.05, "TB_moved": 20.0, "TB_month": 10.0, "months": 12}

# %% tags=["hide-output"]
LivePicture(
    partial(bill, core_hours, terabytes, **prices),
    core_hour=(0.01, 0.5, 0.01),
    TB_moved=(0.0, 100.0),
    TB_month=(0.0, 30.0),
    months=(0, 36),
)

# %% [markdown]
# Move the sliders: is there a price at which computing is the larger part? It can be said without any price. Computing costs as much as
# moving the files once if a core-hour costs as much as moving this many terabytes:

# %%
for name, hours in core_hours.items():
    print(f"{name:<14} {terabytes[name] / hours:.2f} TB")

# %% [markdown]
# So what is slow to decode is cheap to own. JPEG 2000 costs more than three times the core-hours, and it is the terabytes that are paid
# for, month after month. But look at the one in the middle: nearly as small, and decoded in a fraction of the time. Whether
# an engine is thirty per cent ahead moves the bill by less than the width of a line. (`--read fast` decodes JPEG 2000 at a reduced
# resolution, which takes far fewer core-hours and changes vectors a little. The terabytes stay.)

# %% [markdown]
# ## How large is a shard? (skip on a first reading)
#
# A shard has a start of its own: a folder with five files, and a process that has to be told. With one image a shard
# you pay for that a million times. With all images in one shard, every interruption costs everything. There must be a best size
# in between. Is it nearer to ten, to a thousand or to a hundred thousand images, if something is interrupted once a day? Write down
# a guess.

# %% [markdown]
# ### Exercise 11.6: the best shard (8 minutes)
#
# Write `shard_size`. It gets `start`, the seconds that a shard costs before its first image; `an_image`, the seconds for each image; and
# `between`, the mean seconds between two interruptions. A shard that is interrupted is begun anew. Return the number of images
# in a shard for which the least time is wasted, a whole number, at least 1.
#
# Write down what is wasted for one image of a shard of $n$, as the sum of two terms, and take its derivative. You may take it
# that a shard is short compared with `between`. (The check also takes finer answers.)


# %%
def shard_size(start, an_image, between):  # -> images in a shard
    ### BEGIN SOLUTION
    return max(1, round((2 * start * between) ** 0.5 / an_image))
    ### END SOLUTION


exercise("11.6").check(shard_size)
# exercise("11.6").hint()

# %% [markdown]
# How long is the start here? We run a shard of one file and a shard of nine, and draw a line through them.

# %% tags=["nbval-ignore-output"]
spent = {}
for count in (1, 9, 1, 9):  # the first two warm up
    shard = Shard(f"{count} files", tuple(paths[:count]), tuple(names[:count]))
    clock, place = time.perf_counter(), Path(tempfile.mkdtemp(dir=folder))
    run_shard(shard, place, extractor, recipe.preprocessor, store=None, key=key)
    spent[count] = time.perf_counter() - clock
start, an_image = line(spent.items())
print(f"{an_image:.3f} s an image, {start:.3f} s to start")

# %% [markdown]
# For the figure we take a start of 0.1 s and 0.07 s an image. *Predict: with an interruption a day, what does the course's size, a
# hundred files, waste beside the best?*

# %% tags=["hide-output"]
from course_utils.plots.scaling import shard_overheads

best_size = exercise("11.6").use(shard_size, otherwise=scaling.shard_size)
shown = {}
means = {"every hour": 3600, "every day": 86400, "every week": 604800}  # seconds
for name, between in means.items():
    case = {"start": 0.1, "an_image": 0.07, "between": between}
    wasted, best = partial(scaling.overhead, **case), best_size(**case)
    shown[name] = wasted, best
    print(f"{name:<11} wasted by shards of 1: {wasted(1):.0%}", end=", ")
    print(f"of 100: {wasted(100):.1%}, of {best:,}: {wasted(best):.2%}")

# %% tags=["hide-output"]
shard_overheads(shown, 1_000_000)

# %% [markdown]
# With $s$ for the start, $t$ for an image and $M$ for the mean time between interruptions, the start costs $s / n$ an image.
# Half a shard is lost on average, $n t / 2$, and an interruption comes $t / M$ times an image. The sum is least at
#
# $$n = \frac{\sqrt{2 s M}}{t},$$
#
# where both terms are equal. It is Young's rule for how often a long computation should be saved, of 1974. The valley is
# wide: half or twice the best size wastes a quarter more of very little. So there is room for other reasons. A shard of a hundred is
# soon through, its progress can be seen, and little has to be gone through file by file when a file kills.

# %%
import shutil

shutil.rmtree(folder)

# %% [markdown]
# ## All of it at once
#
# In a terminal, for an archive of your own:
#
# ```
# course embed my_archive -o out --shards 8
# ```
#
# On a cluster, `--ray ADDRESS` has [Ray](https://docs.ray.io) run the same shards, with the same key, order and bits:
# [docs/cluster.md](../docs/cluster.md) says what every node needs, and which of that was never tried.
#
# The solved version of this lesson is [here](solutions/11_scaling_out.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. A sheet says: "ten times as fast as the others, on 50 images". What do you ask?</summary>
#
# How long each takes with 5000. Fifty images measure how long a program takes to start. And which files they were: what is true of
# one transfer syntax need not be true of another.
# </details>
#
# <details><summary>2. A colleague writes each shard's vectors in place and <code>run.json</code> at the very end. What can still go wrong?</summary>
#
# It may be killed while it writes `run.json`: half of one is there, and the shard counts as finished. And what an attempt before
# has left lies among what is new. Write beside, and rename.
# </details>
#
# <details><summary>3. Twice as many patients as the hospital has women, and every vector is right. Where do you look?</summary>
#
# At the key of the pseudonyms. If each process, or each run, draws its own, a woman has as many pseudonyms as keys were at work
# on her images.
# </details>
#
# <details><summary>4. A run hangs at 99%, and the log says every few minutes that a process was replaced. What is it?</summary>
#
# A file that ends its process, begun again for ever. Attempts have to be counted where the count outlives a process, and
# the file has to be named before it is read.
# </details>
#
# <details><summary>5. The link allows 70 images a second, the cores 50, the card 2000. What does a second card bring?</summary>
#
# Nothing. More cores bring up to 70, and then the link decides.
# </details>
#
# <details><summary>6. Your machines are taken away four times as often as last year. By how much should shards shrink?</summary>
#
# To half: the best size goes with the square root of the time between two interruptions. And if you leave them as they are, you
# waste little more.
# </details>

# %% [markdown]
# ## Recap
#
# A run has a start and a marginal cost, and a benchmark that leaves out the number of images has measured either. Cut the list
# into shards with names that any process would give them. Write beside and rename, so that a shard is there whole or not at
# all; begin again what is missing. Merge in the order of the list. Draw one key, once, and keep it out of what you publish.
# Count attempts on the disk, and name a file before you read it. The slowest stage decides, and which one that is depends on how the
# files are stored. On the bill, terabytes weigh more than core-hours.

# %% [markdown]
# ## Go further
#
# - F. McSherry, M. Isard, D. G. Murray: *Scalability! But at what COST?* HotOS XV, 2015. How many machines it takes until some
#   systems overtake one thread.
# - J. Dean, S. Ghemawat: *MapReduce: Simplified Data Processing on Large Clusters*. OSDI 2004, 137–150. Its section on failures
#   renames, too, and it leaves out records that crash twice.
# - J. W. Young: *A first order approximation to the optimum checkpoint interval*. Communications of the ACM 17(9), 530–531, 1974.
#   [doi 10.1145/361147.361115](https://doi.org/10.1145/361147.361115).
# - J. T. Daly: *A higher order estimate of the optimum checkpoint interval for restart dumps*. Future Generation Computer
#   Systems 22(3), 303–312, 2006. [doi 10.1016/j.future.2004.11.016](https://doi.org/10.1016/j.future.2004.11.016).
# - Python documentation, [`object.__hash__`](https://docs.python.org/3/reference/datamodel.html#object.__hash__): why strings are
#   salted.
# - Ray documentation, [Ray Data](https://docs.ray.io/en/latest/data/data.html).
#
# **Next:** [lesson 12](12_capstone.ipynb), the capstone: the whole way on real mammograms, alone.
