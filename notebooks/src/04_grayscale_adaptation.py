# %% [markdown]
# # 04 · Gray into three channels: what a colour network does with a mammogram
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - give a colour network a gray image, and say what each way costs in memory
# - normalise with the right statistics, once, and measure what each slip does to an embedding
# - fold three channels into one, see it fail at the border, and repair it exactly
# - prove two networks equal, instead of believing it
# - choose between replication, folding, summed kernels and retraining
#
# **Prerequisites.** [Lesson 03](03_convolution_to_resnet50.ipynb): kernels, stride, padding, batch normalisation. From PyTorch,
# shapes and broadcasting. [Lesson 02](02_preprocessing.ipynb) made the pictures that come in.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 60 min | under 60 s | under 3 GB | none | not needed |

# %% [markdown]
# ## Why three?
#
# Here are 24 synthetic mammograms, two of each of twelve women, as lesson 02 left them: one channel, numbers from 0 to 1.
# And here is a network that was trained on ImageNet. *Predict: what happens if you give it one?*

# %%
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from course_utils.embedding import load_backbone
from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms, sample_cohort

preprocess = Preprocessor(size=224)  # the size that the networks were trained on
cohort = sample_cohort()
gray = torch.from_numpy(np.stack([preprocess(read_mammogram(path)) for path in cohort.path]))
backbone = load_backbone()
print("pictures:", tuple(gray.shape))

# %%
try:
    backbone.module(gray)
except RuntimeError as error:
    print("refused:", "channels" in str(error))

# %% [markdown]
# ImageNet's pictures are photographs in colour, so the first layer, the **stem**, has three slices in every kernel: one each
# for red, green and blue. Here are those of EfficientNet-Lite0, 32 kernels of 3 × 3 pixels, trained. *Predict: what does a
# kernel that looks for "green here, purple there" answer to a gray picture?*

# %%
from matplotlib.figure import Figure

from course_utils.plots import Illustration


def stem(module):
    """The first convolution of a network."""
    return next(layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d))


lite = load_backbone("efficientnet_lite0")  # it comes with the course, so it is the same for everybody
kernels = stem(lite.module).weight  # (32, 3, 3, 3): kernels, colours, rows, columns
kept = kernels.sum(1).abs().sum((1, 2)) / kernels.abs().sum((1, 2, 3))
order = kept.argsort()


# %%
def tiles(slices):
    """A sheet of 4 × 8 kernels, (16, 32, 3), each as bright as its own largest weight allows."""
    shown = (0.5 + slices / (2 * kernels.abs().amax((1, 2, 3), keepdim=True)))[order].permute(0, 2, 3, 1)
    framed = F.pad(shown, (0, 0, 0, 1, 0, 1), value=1.0)  # a white line right of and below each
    return framed.reshape(4, 8, 4, 4, 3).permute(0, 2, 1, 3, 4).reshape(16, 32, 3)


# %%
figure = Figure(figsize=(6.4, 2.0), layout="constrained")
sheets = {"as trained": kernels, "on gray": kernels.mean(1, keepdim=True).expand_as(kernels)}
for axes, (name, slices) in zip(figure.subplots(1, 2), sheets.items()):
    axes.imshow(tiles(slices))
    axes.set_title(name, fontsize=10)
    axes.set_axis_off()
caption = (
    "Lite0's 32 kernels. Left: in their colours. Right: what is left of each if all three colours are equal."
)
alt = "Two sheets of 32 small tiles; the first row is colourful left and plain gray right."
Illustration(figure, caption, alt)

# %%
print(
    "kernels that lose more than nine tenths of themselves on gray:", int((kept < 0.1).sum()), "of", len(kept)
)

# %% [markdown]
# They look for colour, and their three slices cancel where red, green and blue are equal. A gray picture will never wake
# them up. That is no fault of the way you feed the network: it is the price of borrowing one that was trained on colour.
#
# What else is there? All ways keep everything after the stem and differ in how gray gets into it. This lesson measures
# them, one by one. First the plain one: copy the channel three times.

# %% [markdown]
# ## What does a copy cost?
#
# Three ways to write it. *Predict: how many bytes does each take for these 24 pictures?*

# %%
ways = {
    "gray": gray,
    "repeat_interleave": gray.repeat_interleave(3, dim=1),
    "repeat": gray.repeat(1, 3, 1, 1),
    "expand": gray.expand(-1, 3, -1, -1),
}
table = {
    name: {"shape": tuple(x.shape), "strides": x.stride(), "MB": round(x.untyped_storage().nbytes() / 1e6, 1)}
    for name, x in ways.items()
}
pd.DataFrame(table).T

# %% [markdown]
# A *stride* says how many numbers to walk in memory for one step along an axis. In `expand` the channel's stride is 0: one
# step along it stays where it is. Red, green and blue are the *same* numbers, read three times, and nothing was copied.
#
# Free, then? Normalise it in place, as one does to save memory. *Predict: what will PyTorch say?*

# %%
mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (backbone.mean, backbone.std))
try:
    gray.expand(-1, 3, -1, -1).sub_(mean)
except RuntimeError as error:
    print("refused, since three elements share one place in memory:", "single memory location" in str(error))

normal = (gray.expand(-1, 3, -1, -1) - mean) / std  # not in place: a new tensor
print(f"normalised: {normal.untyped_storage().nbytes() / 1e6:.1f} MB")

# %% [markdown]
# A different mean is to be taken from each channel, so they cannot stay in one place. The three copies come up in any case,
# with the first operation that tells channels apart; `expand` puts it off by one line. (Early versions of PyTorch did not
# refuse. They took the three means from the same number, one after the other.)
#
# The course's `replicate` copies once and then works in place. What must never happen is this. The shape is right, and no
# error comes. *Look at the titles and guess what went wrong:*

# %%
wrong = gray.repeat(3, 1, 1, 1).reshape(24, 3, 224, 224)
sheets = {"right, picture 0": ways["repeat"][0], "wrong, picture 0": wrong[0], "wrong, picture 1": wrong[1]}
figure = Figure(figsize=(6.2, 2.3), layout="constrained")
for axes, (name, picture) in zip(figure.subplots(1, 3), sheets.items()):
    axes.imshow(picture.permute(1, 2, 0))
    axes.set_title(name, fontsize=10)
    axes.set_axis_off()
caption = "The three channels shown as red, green and blue. Where they are equal, one sees gray."
alt = "A mammogram in gray, and two pictures in which three overlap as red, green and blue ghosts."
Illustration(figure, caption, alt)

# %%
print("different pictures among the 24:", len({picture.numpy().tobytes() for picture in wrong}))

# %% [markdown]
# `repeat(3, 1, 1, 1)` repeats the *pictures*: first all 24, then all once more. `reshape` then cuts this row into threes, so
# that a "picture" is three pictures, of two women. And since 24 is a multiple of 3, the row repeats: with this batch
# there are only eight different ones left. With a batch of one it is right by accident. That is how it survives testing.

# %% [markdown]
# ### Exercise 04.1: to three channels (4 minutes)
#
# Write `to_three_channels`. It gets a batch of gray pictures and returns each of them with its channel three times.


# %%
def to_three_channels(gray):  # (N, 1, H, W) -> (N, 3, H, W)
    ### BEGIN SOLUTION
    return gray.repeat_interleave(3, dim=1)
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("04.1").check(to_three_channels)
# exercise("04.1").hint()

# %% [markdown]
# ## Which numbers does the network expect?
#
# It has learnt on pictures that were **normalised**: $z_c = (x_c - \mu_c) / \sigma_c$, where $x_c$ is a pixel's value in
# channel $c$, from 0 to 1, and $\mu_c$ and $\sigma_c$ are the mean and the standard deviation of that channel, over the
# pictures that it was trained on. They belong to the weights, as the pinout belongs to a chip:

# %%
from course_utils.embedding.backbones import IMAGENET_MEAN, IMAGENET_STD, LITE_MEAN, LITE_STD

for name, numbers in {
    "ResNet-50, mean": IMAGENET_MEAN,
    "ResNet-50, std": IMAGENET_STD,
    "Lite0, mean": LITE_MEAN,
    "Lite0, std": LITE_STD,
}.items():
    print(f"{name:<17}", *(f"{number:.3f}" for number in numbers))

# %% [markdown]
# (EfficientNet-Lite was trained on $(p - 127)/128$, with pixels $p$ from 0 to 255. In our range that is 127/255 and 128/255.)
#
# Vera says: *"A network is robust. It was trained on photographs of all brightnesses, so what does an offset matter?"* Sam
# says: *"It will see something else altogether."* They write down seven slips that each of them has met:

# %%
others = (LITE_MEAN, LITE_STD) if backbone.name == "resnet50" else (IMAGENET_MEAN, IMAGENET_STD)
other_mean, other_std = (torch.tensor(each).view(1, 3, 1, 1) for each in others)
slips = {
    "skipped": lambda x: x,
    "done twice": lambda x: ((x - mean) / std - mean) / std,
    "on 0 to 255": lambda x: (255 * x - mean) / std,
    "before scaling to 0 to 1": lambda x: (255 * x - mean) / std / 255,
    "the other network's": lambda x: (x - other_mean) / other_std,
    "mean and std swapped": lambda x: (x - std) / mean,
    "the picture's own": lambda x: (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True),
}

# %% [markdown]
# *Rank them before you look.* We take the twelve views from above, one a woman, and measure how far each slip moves a
# vector from where it belongs, as cosine distance (0: it points the same way). For comparison, how far apart are two women?


# %%
def vectors(module, inputs):
    """(N, D), each of length 1, so that the cosine distance of two is 1 minus their product."""
    with torch.inference_mode():
        found = torch.cat([module(part) for part in inputs.split(8)]).double()
    return F.normalize(found).numpy()


def pairs(found):
    """The cosine distance of any two rows."""
    return (1 - found @ found.T)[np.triu_indices(len(found), 1)]


# %%
from_above = torch.tensor(list(cohort["view"] == "CC"))
three = gray[from_above].repeat(1, 3, 1, 1)
right = vectors(backbone.module, (three - mean) / std)
moved = {name: 1 - (vectors(backbone.module, slip(three)) * right).sum(1) for name, slip in slips.items()}

# %%
from course_utils.plots import shifts

shifts(moved, pairs(right))

# %%
rest = [distances.min() for name, distances in moved.items() if name != "mean and std swapped"]
print("each slip but the swap moves every vector:", min(rest) > np.median(pairs(right)) / 1000)

# %% [markdown]
# In the stored figure, which is EfficientNet-Lite0's, Sam wins by far: to skip the normalisation moves a vector about as far
# as another woman would be, and to do it twice or on 0 to 255 moves it further. No error, no warning; the shapes are right.
#
# And the swap? Harmless here, by luck: Lite0's mean and standard deviation are nearly the same number. With ResNet-50's it
# is not. A test with one network would have let it pass, so test with numbers that tell the slips apart.
#
# "The picture's own" has friends, since it takes out brightness and contrast. But a frozen network cannot know that, and
# mean and deviation of a picture depend on how much of it is ground: the same breast in a wider frame becomes another one.

# %% [markdown]
# ### Exercise 04.2: normalise (6 minutes)
#
# Write `normalise`. It gets pictures in three channels with *stored* whole numbers from 0 to 255, and the mean and the
# standard deviation of each channel for pixels from 0 to 1, as tuples of three. It returns what the network expects.


# %%
def normalise(stored, mean, std):  # (N, 3, H, W) uint8, three numbers, three numbers -> (N, 3, H, W) float32
    ### BEGIN SOLUTION
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
    return (stored / 255 - mean) / std
    ### END SOLUTION


exercise("04.2").check(normalise)
# exercise("04.2").hint()

# %% [markdown]
# ## Must it be three times the work?
#
# Three equal channels go in, and the stem multiplies each with weights of its own and adds up. If $x$ is the gray picture,
# $W_c$ the slice of a kernel for channel $c$, and $*$ the convolution, then the stem computes
#
# $$\sum_c W_c * \frac{x - \mu_c}{\sigma_c} \;=\; \Big(\sum_c \frac{W_c}{\sigma_c}\Big) * x \;-\; \sum_c \frac{\mu_c}{\sigma_c}\, (W_c * 1).$$
#
# On the right there is one convolution of the gray picture, with one **folded** kernel $W' = \sum_c W_c/\sigma_c$. The last
# term does not depend on the picture. $W_c * 1$ is the convolution of a picture of ones, which is the sum of the kernel's
# weights, so the term is one number a kernel: a bias, $b' = -\sum_c \frac{\mu_c}{\sigma_c} \sum_{ij} W_{c,ij}$. One channel
# in place of three, and no normalisation any more. It looks like a proof. *Can you see the hole in it?*

# %% [markdown]
# ### Exercise 04.3: fold the weights (8 minutes)
#
# Write `fold_weights`. It gets a stem's weights and the statistics, and returns the folded weights and the bias by the
# formula above. (The check asks for that formula, hole and all.)


# %%
def fold_weights(weight, mean, std):  # (O, 3, k, k), three numbers, three numbers -> (O, 1, k, k) and (O,)
    ### BEGIN SOLUTION
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
    folded = (weight / std).sum(dim=1, keepdim=True)
    bias = -(weight * mean / std).sum(dim=(1, 2, 3))
    return folded, bias
    ### END SOLUTION


exercise("04.3").check(fold_weights)
# exercise("04.3").hint()

# %% [markdown]
# ## Where is the hole?
#
# At the border. There the kernel hangs over the edge, onto **padding**: zeros, put around the *normalised* picture. A
# normalised 0 is the mean gray, so a network sees a gray world around each picture. If you fold first, the zeros go around
# $x$ itself, and there 0 is black. The naive fold paints the world around the picture black.
#
# So we can see its error without any folding: pad the picture with black, normalise, and convolve without padding. Two
# stems, Lite0's with its trained kernels, and ResNet-50's.

# %%
from course_utils.embedding.adapters import replicate

resnet = backbone if backbone.name == "resnet50" else load_backbone("resnet50", weights="random", seed=0)
networks = {"resnet50": resnet, "efficientnet_lite0": lite}


def surrounded(network, x, value):
    """The stem's output if the world around the picture has that gray, from 0 to 1."""
    conv = stem(network.module)
    zeros = conv.static_padding.padding if hasattr(conv, "static_padding") else 2 * conv.padding
    around = F.pad(x, zeros, value=value)  # left, right, above, below
    return F.conv2d(replicate(around, network.mean, network.std), conv.weight, stride=conv.stride)


# %%
def truth(network, x):
    return stem(network.module)(replicate(x, network.mean, network.std))


def error(network, x, value):
    """(h, w): at each position the worst of all kernels, as a share of the largest output."""
    right = truth(network, x)
    return ((surrounded(network, x, value) - right).abs().amax(1) / right.abs().amax())[0]


# %%
figure = Figure(figsize=(5.4, 4.2), layout="constrained")
grid = figure.subplots(2, 2)
for pair, (name, network) in zip(grid, networks.items()):
    for axes, start in zip(pair, (0, 102)):
        shown = axes.imshow(error(network, gray[:1], 0.0), cmap="magma", vmin=0, vmax=1)
        axes.set(xlim=(start - 0.5, start + 9.5), ylim=(start + 9.5, start - 0.5))
        axes.set(xticks=range(start, start + 10, 3), yticks=range(start, start + 10, 3))
    pair[0].set_ylabel(f"{name}\n{network.weights.id}\n\nrow", fontsize=8)
for axes, title in zip(grid[0], ("upper left", "lower right")):
    axes.set_title(title, fontsize=10)
for axes in grid[1]:
    axes.set_xlabel("column", fontsize=8)
figure.colorbar(shown, ax=grid, label="error (share of the largest output)")
caption = "Error of the naive fold: two corners of each stem's output, enlarged. At the left: whose weights."
alt = "Corners of two maps: a bright frame on all sides for ResNet-50, only at the lower right for Lite0."
Illustration(figure, caption, alt)

# %%
border = {}
for name, network in networks.items():
    found = error(network, gray[:1], 0.0)
    rows = (found > 1e-5).float().mean(1) > 0.5  # rows that are wrong from end to end, or nearly
    above, below = int(rows[:56].sum()), int(rows[56:].sum())
    border[name] = {"error above 10%": bool(found.max() > 0.1), "rows above": above, "rows below": below}
pd.DataFrame(border).T

# %% [markdown]
# Inside the frame there is nothing; in the frame, the error is no rounding. Why is it two rows above and one below in
# ResNet-50? Its kernel has 7 rows and moves by 2, with 3 rows of zeros above. The first output row hangs over by 3, the
# second by 1, the third by none; below, the last row hangs over by 2. Work out Lite0's by yourself: 3 rows, a step of 2, and
# zeros right and below only.
#
# Vera says: *"Then do not pad with black. Pad with the mean gray, and you are done."* Sam says: *"Which mean?"* Move
# `padding` and see (where a kernel runs). *Predict for each network: is there a gray at which the frame goes away?*

# %%
grays = np.linspace(0, 1, 41)
worst = {
    name: [error(network, gray[:1], float(value)).max().item() for value in grays]
    for name, network in networks.items()
}


def around(padding=0.0, network="resnet50"):
    figure = Figure(figsize=(6.4, 2.5), layout="constrained")
    seen, where, axes = figure.subplots(1, 3, width_ratios=(2, 2, 3))
    found = error(networks[network], gray[:1], padding)
    _ = seen.imshow(F.pad(gray[0, 0], (24,) * 4, value=padding), cmap="gray", vmin=0, vmax=1)
    _ = where.imshow(found[102:, 102:], cmap="magma", vmin=0, vmax=1, extent=(102, 112, 112, 102))
    _ = axes.plot(grays, worst[network], color="#0072B2")
    _ = axes.plot([padding], [found.max()], "D", color="#D55E00", markersize=8)
    _ = axes.set(xlabel="gray of the padding (0 to 1)", ylabel="largest error", ylim=(0, None))
    for panel, title in ((seen, "the world around it"), (where, "lower right corner"), (axes, network)):
        panel.set_title(title, fontsize=9)
    _ = seen.set(xticks=[], yticks=[])
    _ = where.set(xticks=[102, 112], yticks=[102, 112])
    caption = f"Gray {padding:.3f} around it: the largest error is {found.max():.1%} of the largest output."
    return Illustration(
        figure, caption, "A padded mammogram, a corner of its error, and the error by padding."
    )


# %%
from course_utils.teaching.widgets import LivePicture

LivePicture(around, padding=(0.0, 1.0, 0.025), network=list(networks))

# %%
for name, network in networks.items():
    fits = [
        error(network, gray[:1], mean).max().item() < 1e-5 for mean in (*network.mean, np.mean(network.mean))
    ]
    print(f"{name:<19} some mean gray is exact:", any(fits))

# %% [markdown]
# Sam wins with ResNet-50. Red, green and blue have means of their own, and one gray cannot be all three. For Lite0, whose
# three means are equal, Vera's repair is exact. We want one that holds for any network.

# %% [markdown]
# ## How is it repaired?
#
# Look at the formula again. It was right up to the last step. The hole is "$W_c * 1$ is the sum of the weights": at the
# border the picture of ones, too, ends, and beyond it there are zeros. There $W_c * 1$ is the sum of only those weights that
# lie *on* the picture. So do not replace it by a number. Feed the ones:
#
# $$\sum_c W_c * \frac{x - \mu_c}{\sigma_c} \;=\; \Big(\sum_c \frac{W_c}{\sigma_c}\Big) * x \;+\; \Big(-\sum_c \frac{\mu_c W_c}{\sigma_c}\Big) * 1$$
#
# This is a convolution of **two** channels, $[x, 1]$, the picture and a picture of ones, and it needs no bias. Zero padding
# puts zeros around both, so the mean's share vanishes outside the picture just as it should.

# %% [markdown]
# ### Exercise 04.4: repair the border with ones (6 minutes)
#
# Write `fold_with_ones`. It gets a stem's weights and the statistics, and returns the weights of a stem for $[x, 1]$: first
# the slice for the picture, then the slice for the ones.


# %%
def fold_with_ones(weight, mean, std):  # (O, 3, k, k), three numbers, three numbers -> (O, 2, k, k)
    ### BEGIN SOLUTION
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
    return torch.stack([(weight / std).sum(dim=1), -(weight * mean / std).sum(dim=1)], dim=1)
    ### END SOLUTION


exercise("04.4").check(fold_with_ones)
# exercise("04.4").hint()

# %% [markdown]
# There is a second repair, the **bias map**: compute the ones' share once, as a picture $(1, O, h, w)$ of its own, and add
# it to the output of the one-channel stem, so that each position has its own bias. Both are here in a few lines. The
# course's `adapters.fold` does the first for a whole network.

# %%
import copy

from course_utils.embedding.adapters import with_ones


def restemmed(module, weight, bias=None):
    """A copy of a network whose stem has other weights."""
    module = copy.deepcopy(module)
    stem(module).weight = torch.nn.Parameter(weight, requires_grad=False)
    stem(module).bias = None if bias is None else torch.nn.Parameter(bias, requires_grad=False)
    return module


# %%
def folded(network):
    """The two slices: (O, 1, k, k) for the picture and (O, 1, k, k) for the ones."""
    weight = stem(network.module).weight
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (network.mean, network.std))
    return (weight / std).sum(1, keepdim=True), -(weight * mean / std).sum(1, keepdim=True)


# %%
def by_ones(network, x):
    return stem(restemmed(network.module, torch.cat(folded(network), 1)))(with_ones(x))


def by_map(network, x):
    picture, ones = (stem(restemmed(network.module, part)) for part in folded(network))
    return picture(x) + ones(torch.ones_like(x[:1]))  # the second term once for all pictures of this size


def naive(network, x):
    picture, ones = folded(network)
    return stem(restemmed(network.module, picture, ones.sum((1, 2, 3))))(x)


# %% [markdown]
# ## Is it exact?
#
# Believe nothing: measure. Any weights, any size, and a border as bright as can be, where there is most to get wrong.
# *Predict: in which rows of the table will the naive fold pass?*

# %%
real = torch.from_numpy(np.stack([preprocess(read_mammogram(path)) for path in real_mammograms().path]))
bright = F.pad(real[:, :, 8:-8, 8:-8], (8,) * 4, value=1.0)
noise = torch.rand(2, 1, 97, 131, generator=torch.Generator().manual_seed(0))
inputs = {
    "real": real,
    "bright border": bright,
    "odd size": real[:, :, :223, :221],
    "noise": noise,
}
stems = networks | {
    "resnet50, seed 7": load_backbone("resnet50", weights="random", seed=7),
    "lite0, seed 7": load_backbone("efficientnet_lite0", weights="random", seed=7),
}

# %%
ways = {"ones": by_ones, "map": by_map, "naive": naive}
table = {}
for name, network in stems.items():
    for what, x in inputs.items():
        right = truth(network, x)
        gaps = {way: (f(network, x) - right).abs().max() / right.abs().max() for way, f in ways.items()}
        table[name, what] = {way: "yes" if gap < 1e-5 else "no" for way, gap in gaps.items()}
print("Is the error below 1e-5 of the largest output?")
pd.DataFrame(table).T

# %% [markdown]
# Both repairs are exact up to rounding, everywhere. (Additions in another order round otherwise, as lesson 05 shows for
# batches, so "exact" means within $10^{-5}$ of the largest output, not to the bit.) The naive fold fails wherever the kernel
# hangs over the edge, whatever the weights.
#
# And where it passes? There the sides are odd. Lite0's stem has zeros right and below only, and with 223 rows its steps of 2
# end on the last row: the zeros are never reached. Somebody who had tested this network at an odd size would have shipped it.
#
# Which repair is better? The map saves a channel's work, but it belongs to one picture size and one place in the code: it
# has to be computed again for each size, kept, and added by somebody who remembers to. The ones are an input, and everything
# else stays an ordinary convolution.

# %%
places, taps = 112 * 112, 7 * 7  # of ResNet-50's stem, which has 64 kernels
for channels in (3, 2, 1):
    print(
        f"{channels} channels: {places * 64 * taps * channels / 1e6:5.1f} million multiply-adds in the stem"
    )
print(f"a bias map for 224 × 224 has {64 * places * 4 / 1e6:.1f} MB")
print(f"the ones' weights have {64 * taps * 4 / 1e3:.1f} kB")

# %% [markdown]
# All of ResNet-50 takes some 4100 million, so folding saves about one in a hundred. It is worth having and not worth an
# error at the border. And does such an error reach the embedding? Now through the whole network, on real mammograms.

# %%
precise = copy.deepcopy(backbone.module).double()  # float64, so that rounding has no say in it
reference = vectors(precise, replicate(real.double(), backbone.mean, backbone.std))
picture, ones = (part.double() for part in folded(backbone))
exact = vectors(restemmed(precise, torch.cat([picture, ones], 1)), with_ones(real.double()))
careless = vectors(restemmed(precise, picture, ones.sum((1, 2, 3))), real.double())


def gap(found):
    return np.abs(found - reference).max() / reference.max()


# %%
moves = careless - reference
others = [np.delete(moves, row, axis=0).mean(axis=0) for row in range(len(moves))]
print("ones: within 1e-5 of the largest number:        ", gap(exact) < 1e-5)
print("naive: off by more than 100 times that:         ", gap(careless) > 100 * gap(exact))
print("naive: pictures moved the same way as the others:", sum((moves * others).sum(1) > 0), "of", len(moves))

# %% [markdown]
# Is the naive error large? No: as the next section shows, a vector moves by less than a hundredth of the distance between
# women in the stored run, since a thin frame is a small part of a picture. But it is the same frame in every picture, so it
# moves them all the same way, as the letters did in lesson 02. Whoever lays your vectors beside those of the original network
# finds a difference that nobody wrote down. It costs nothing to be exact.

# %% [markdown]
# ## Sum, average or luminance?
#
# People do simpler things. Take the mean of the means and of the deviations, normalise the gray picture with these two
# numbers, and squeeze the kernels to one channel. But how? Vera: *"Average them, so that the weights stay as large as they
# were trained."* Sam: *"Sum them. Three equal channels add up."* A third has read that gray is $0.299\,R + 0.587\,G +
# 0.114\,B$, and weights the kernels so. A fourth draws new ones at random, "they will do".
#
# *Rank them by how far they move a vector. Who is right?*

# %%
weight = stem(backbone.module).weight
picture, ones = folded(backbone)
luminance = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
dice = torch.randn(weight[:, :1].shape, generator=torch.Generator().manual_seed(0))
z = (gray - np.mean(backbone.mean)) / np.mean(backbone.std)
tried = {
    "folded, with ones": (torch.cat(folded(backbone), 1), None, with_ones(gray)),
    "folded, naive": (picture, ones.sum((1, 2, 3)), gray),
    "summed": (weight.sum(1, keepdim=True), None, z),
    "averaged": (weight.mean(1, keepdim=True), None, z),
    "luminance": ((weight * luminance).sum(1, keepdim=True), None, z),
    "random stem": (dice * weight.sum(1).std(), None, z),
}

# %%
original = vectors(backbone.module, replicate(gray, backbone.mean, backbone.std))
embedded = {name: vectors(restemmed(backbone.module, w, b), x) for name, (w, b, x) in tried.items()}
from_women = pairs(original[from_above.numpy()])
shifts({name: 1 - (found * original).sum(1) for name, found in embedded.items()}, from_women)

# %% tags=["nbval-ignore-output"]
print("how far to another woman:")
for name, found in embedded.items():
    print(f"{name:<18}{np.median(1 - (found * original).sum(1)) / np.median(from_women):8.2%}")

# %% [markdown]
# In the stored run Sam is right. For Lite0, whose channels share their statistics, the sum *is* the fold, padding included;
# for ResNet-50 it is close. The average gives a third of the contrast. "Batch normalisation will take that out" is what one
# hears, and it is wrong here: in evaluation it divides by fixed numbers, learnt from the full contrast. Luminance is a recipe
# for *pictures*, namely for making gray of colour. On kernels it also breaks the balance of those that look for colour: they
# no longer cancel on gray, and wake up to see colour where there is none. And a random stem speaks a language that the
# layers after it never learnt.

# %% [markdown]
# ## Does a classifier mind?
#
# Distance to the original is one thing; use is another. So ask a **probe**, a small classifier on top of the vectors. Two
# questions: CC or MLO? And dense (classes c and d) or not? The probe learns from eleven women and answers for the twelfth,
# each in turn, so that no woman is on both sides. As a baseline, it also gets the pictures themselves, 16 × 16 pixels.
#
# *Before you look: how many right answers of 24 would you call better than 22?*

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

features = {
    "replicated": original,
    **embedded,
    "pixels": F.interpolate(gray, (16, 16), mode="area").flatten(1).numpy(),
}
questions = {"view": cohort["view"].to_numpy(), "dense": cohort["density"].isin(["c", "d"]).to_numpy()}
probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))  # scaled by the eleven alone
one_out = LeaveOneGroupOut()

# %%
hits = {
    question: [
        cross_val_predict(probe, x, y, groups=cohort["woman"], cv=one_out) == y for x in features.values()
    ]
    for question, y in questions.items()
}


# %%
def interval(share, n=12, z=1.96):
    """Wilson's 95% interval. Two pictures of a woman are not two women, so n counts women."""
    middle, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


low, high = interval(11 / 12)
print(f"11 right of 12 is 92%, and the interval runs from {low:.0%} to {high:.0%}")

# %%
figure = Figure(figsize=(6.8, 2.9), layout="constrained")
for axes, (question, answers) in zip(figure.subplots(1, 2, sharey=True), hits.items()):
    for row, share in enumerate(np.mean(answers, axis=1)):
        _ = axes.plot(interval(share), [row, row], color="#7F7F7F", linewidth=2)
        _ = axes.plot([share], [row], "D", color="#D55E00")
    _ = axes.axvline(0.5, color="#7F7F7F", linestyle="--", linewidth=1)
    _ = axes.set(xlim=(0, 1.03), xlabel=f"{question}: share of right answers", yticks=range(len(features)))
    _ = axes.set_yticklabels(features)
axes.invert_yaxis()
caption = (
    "Diamond: right answers of 24. Line: what twelve women allow one to say (95% interval). Dashed: guessing."
)
alt = "Two charts with eight rows each; the diamonds differ a little, and the intervals overlap widely."
Illustration(figure, caption, alt)

# %% [markdown]
# In the stored run all intervals of a question overlap. On these twelve women nobody may say that one way is better than
# another, and a paper that finds "+4%" on such data has found one picture. The view is easy: even 256 pixels answer it, so
# nearly any vectors will, and the answer says nothing about them. Density is harder, and there twelve women say least. So
# choose by what you can prove (the fold is equal to the replication), and let data decide only where there is enough of it.

# %% [markdown]
# ## And if you equalise first?
#
# For training, pictures are altered at random: mirrored, rotated, their histogram equalised. Should that be on during
# extraction? *Predict: embed the same file twice, with `RandomEqualize`. Will the two vectors agree?*

# %%
from torchvision.transforms import v2


def extracted(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        augment = v2.RandomEqualize(p=0.5)
        pictures = torch.stack([augment((255 * x).round().to(torch.uint8)) for x in gray[:4]]) / 255
    return vectors(backbone.module, replicate(pictures, backbone.mean, backbone.std))


gap = 1 - (extracted(0) * extracted(1)).sum(1)
print("the same four files, twice; vectors that moved:", int((gap > 1e-6).sum()), "of 4")

# %% [markdown]
# A coin was tossed for each. The store of lesson 05 would keep whichever side came up, a duplicate would no longer be found,
# and nothing could be repeated. Then equalise *all*? That is no coin any more, but look what the same breast becomes in a
# wider frame:

# %%
picture = (255 * gray[12]).round().to(torch.uint8)  # (1, 224, 224)
narrow, wide = (v2.functional.equalize(F.pad(picture, (0, room))) for room in (0, 112))
shown = {"as it is": picture, "equalised": narrow, "equalised, wider frame": wide}
# %%
figure = Figure(figsize=(6.6, 2.3), layout="constrained")
for axes, (name, one) in zip(figure.subplots(1, 3, width_ratios=(2, 2, 3)), shown.items()):
    axes.imshow(one[0], cmap="gray", vmin=0, vmax=255)
    axes.set_title(name, fontsize=10)
    axes.set_axis_off()
caption = "One breast. Equalising spreads the grays by rank among all pixels of the picture, ground included."
alt = "A mammogram; the same one washed out by equalising; and in a wider frame washed out a little more."
Illustration(figure, caption, alt)

# %%
drift = (wide[..., :224].float() - narrow.float())[picture > 0]
print(
    "equalising makes tissue brighter by more than 60 of 255:",
    (narrow.float() - picture)[picture > 0].mean().item() > 60,
)
print("and the wider frame by more than 5 once more:           ", drift.mean().item() > 5)

# %% [markdown]
# A gray no longer says how much was absorbed, but how many pixels are darker, and that depends on the frame. Extraction has
# one picture in and one vector out, always the same. So the course has it off, and no switch to turn it on.

# %% [markdown]
# ## What if there is nothing in the picture?
#
# Files go wrong: a detector that was not exposed gives one gray everywhere; a division by zero gives NaN. *Predict: what
# does the network make of a constant picture? And of a picture in which a single pixel is NaN?*

# %%
odd = gray[:3].clone()
odd[0] = 0.2
odd[1, 0, 5, 5] = float("nan")
with torch.inference_mode():
    out = backbone.module(replicate(odd, backbone.mean, backbone.std))
for name, vector in zip(("constant", "one NaN", "its neighbour"), out):
    print(f"{name:<14} {int(vector.isnan().sum()) / len(vector):.0%} of the vector is NaN")

# %% [markdown]
# The constant picture has a vector like any other. It will have nearest neighbours, join a cluster and move a mean, and
# nothing about it says that it was made of nothing. NaN spreads: each layer carries it on, the last ones look at the whole
# picture, and one bad pixel of 50 176 leaves no number standing. (Its neighbour in the batch is safe.)
#
# Neither must get that far. The extractor looks first. A constant file costs a row in the failures, as in lesson 05:

# %%
from course_utils.embedding import EmbeddingError, EmbeddingExtractor
from course_utils.imaging.datasets import broken_samples

broken = broken_samples()
constant = next(path for path in broken.path if path.name == "constant.dcm")
extractor = EmbeddingExtractor(backbone, device="cpu")
three_files = [cohort.path[0], constant, cohort.path[1]]
extraction = extractor.extract(three_files, preprocess, progress=False)
print(
    len(extraction.vectors), "vectors and", len(extraction.failures), "failure:", extraction.failures.file[0]
)
print(extraction.failures.reason[0])

# %%
try:
    extractor.embed(odd)
except EmbeddingError:
    print("Pictures with NaN are refused before the network sees them.")

# %% [markdown]
# ### Exercise 04.5: pick out bad pictures (6 minutes)
#
# Write `usable`. It gets a batch of pictures and returns one True or False a picture: True if all its numbers are finite
# and they are not all the same.


# %%
def usable(pictures):  # (N, 1, H, W) -> (N,) of True and False
    ### BEGIN SOLUTION
    flat = pictures.flatten(start_dim=1)
    return flat.isfinite().all(dim=1) & (flat.amax(dim=1) > flat.amin(dim=1))
    ### END SOLUTION


exercise("04.5").check(usable)
# exercise("04.5").hint()

# %% [markdown]
# ## Which one, when?
#
# | you have | take | why |
# |---|---|---|
# | frozen weights from colour, a few thousand images | **replicate** | the reference; nothing can go wrong in it |
# | the same, many images or a small device | **folded, with ones** | equal within rounding, about 1% faster, two thirds of the input's memory |
# | a framework that wants one channel and no extra input | **bias map** | equal too, for one picture size |
# | weights whose channels share mean and std (Lite0) | **summed** | the same as the fold there |
# | any frozen network | *not* averaged, luminance or a new random stem | another network, whose vectors nobody has tested |
# | tens of thousands of labelled mammograms | **retrain**, from a stem with one channel | the kernels that look for colour get something to do |
#
# On retraining: Xie and Richmond trained a network on ImageNet turned gray and found it hardly worse on photographs, and better
# than the coloured one on chest radiographs. It takes ImageNet, and days on GPUs.
#
# And here is the course's own switch, on the eight real mammograms. On the command line it is `--adapter folded`.

# %%
small = EmbeddingExtractor(load_backbone(), adapter="folded", device="cpu")
paths = list(real_mammograms().path)
both = [each.extract(paths, preprocess, progress=False) for each in (extractor, small)]
one, other = (each.vectors for each in both)
print(len(one), "and", len(other), "vectors")
print(
    "largest difference below 1e-5 of the largest number:",
    np.abs(one - other).max() < 1e-5 * np.abs(one).max(),
)
print("the records say which is which:", *(each.record.adapter for each in both))

# %% [markdown]
# The solved version of this lesson is [here](solutions/04_grayscale_adaptation.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. <code>expand</code> needs no memory for its three channels. Why does that help so little?</summary>
#
# The next step, normalising, takes another mean from each channel. Then they are three different pictures and need three
# places.
# </details>
#
# <details><summary>2. Your test of the normalisation passes on Lite0 with mean and standard deviation swapped. How come, and what is a better test?</summary>
#
# Lite0's are 127/255 and 128/255, nearly the same number. Test with made-up statistics, all different from one another.
# </details>
#
# <details><summary>3. A colleague folds the mean into the stem's bias and shows you that the output is equal "everywhere but for a pixel or two". Where are they, and what happened?</summary>
#
# At the border. Zero padding stands for the mean gray in the original network and for black in the folded one; the bias
# also counts weights that lie outside the picture.
# </details>
#
# <details><summary>4. Why does a channel of ones repair it, although the ones are the same in every picture?</summary>
#
# They end where the picture ends. Padded with zeros, they tell the convolution which of its weights lie on the picture, and
# only those carry the mean.
# </details>
#
# <details><summary>5. "Averaged kernels are a third as large, but batch normalisation takes scale out." When is that true?</summary>
#
# In training, where it divides by the batch's own deviation. In evaluation it divides by a stored one, so a third of the
# contrast stays a third.
# </details>
#
# <details><summary>6. With luminance weights the probe got 24 of 24, with the fold 22. Do you change the pipeline?</summary>
#
# No. The 24 pictures are of twelve women, and the intervals overlap from end to end. Two pictures are no evidence.
# </details>

# %% [markdown]
# ## Recap
#
# A colour network wants three channels, and some of its kernels are blind on gray. Replicate along the channel axis, and
# normalise once, from 0 to 1, with the statistics of the weights. Three equal channels fold into one kernel, and the mean
# into a second one that is fed with ones, since padding ends both alike; a plain bias fails at the border. Summing is close,
# averaging and luminance are other networks. What you can prove, do not put to a vote of twelve women. Extraction never
# tosses coins, and a picture with nothing in it is a failure, not a vector.

# %% [markdown]
# ## Go further
#
# - Y. Xie, D. Richmond: *Pre-training on Grayscale ImageNet Improves Medical Image Classification*. ECCV 2018 Workshops, LNCS 11134,
#   476–484, 2019. [doi 10.1007/978-3-030-11024-6_37](https://doi.org/10.1007/978-3-030-11024-6_37). Colour is hardly missed.
# - PyTorch documentation, [Tensor.expand](https://docs.pytorch.org/docs/stable/generated/torch.Tensor.expand.html): "setting the
#   stride to 0", and the warning about writing in place; [issue 957](https://github.com/pytorch/pytorch/issues/957) is from the time
#   when it was not refused.
# - M. A. Islam, M. Kowal, S. Jia, K. G. Derpanis, N. D. B. Bruce: *Position, Padding and Predictions: A Deeper Look at Position
#   Information in CNNs*. International Journal of Computer Vision, 2024. [arXiv 2101.12322](https://arxiv.org/abs/2101.12322). What
#   networks learn from the zeros at their borders.
# - B. Alsallakh, N. Kokhlikyan, V. Miglani, J. Yuan, O. Reblitz-Richardson: *Mind the Pad: CNNs Can Develop Blind Spots*. ICLR
#   2021. [arXiv 2010.02178](https://arxiv.org/abs/2010.02178). Stride 2 pads one side more than the other, as you saw.
# - ITU-R, [Recommendation BT.601](https://www.itu.int/rec/R-REC-BT.601). Where 0.299, 0.587 and 0.114 come from.
#
# **Next:** [lesson 05, a whole folder in batches](05_batched_extraction.ipynb).
