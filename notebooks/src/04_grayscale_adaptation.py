# %% [markdown]
# # 04 · Gray into three channels: what a colour network does with a mammogram
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - give a colour network a gray image, and say what each way of doing so costs in memory
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
# | 75 min, 85 with all | under 60 s | under 3 GB | none | not needed |

# %% [markdown]
# ## Why three?
#
# Here are 24 synthetic mammograms, two of each of twelve women, as lesson 02 left them: one channel, numbers from 0 to 1.
# And here is a network that was trained on [ImageNet](../docs/glossary.md#imagenet). *Predict: what happens if you give it
# one of these pictures?*

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
gray = np.stack([preprocess(read_mammogram(path)) for path in cohort.path])
gray = torch.from_numpy(gray)
backbone = load_backbone()
print("pictures:", tuple(gray.shape))

# %% tags=["hide-output"]
try:
    backbone.module(gray)
except RuntimeError as error:
    print("refused: it wants", str(error).partition("to have ")[2])

# %% [markdown]
# ImageNet's pictures are photographs in colour, so the first layer, the **stem**, has three slices in every kernel: one each
# for red, green and blue. Below are those of EfficientNet-Lite0, 32 trained kernels of 3 × 3 pixels. *Predict: what does a
# kernel that looks for "green here, purple there" make of a gray picture?*

# %% tags=["hide-output"]
from course_utils.plots.stems import kernels_on_gray
from course_utils.teaching.stems import stem  # the first convolution of a network

lite = load_backbone("efficientnet_lite0")  # it comes with the course: all see the same
kernels = stem(lite.module).weight  # (32, 3, 3, 3): kernels, colours, rows, columns
kept = kernels.sum(1).abs().sum((1, 2)) / kernels.abs().sum((1, 2, 3))
print(f"kernels of which less than a tenth is left on gray: {(kept < 0.1).sum()}")
kernels_on_gray(kernels, kept.argsort())

# %% [markdown]
# Six of the 32 look for colour, and their three slices cancel where red, green and blue are equal. A gray picture will never
# wake them up. That is no fault of the way you feed the network: it is the price of borrowing one that was trained on colour.
#
# What can you do? All the ways keep everything after the stem, and differ in how gray gets into it. This lesson measures
# them one by one. First the plain one: copy the channel three times.

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
# ## What does a copy cost?
#
# PyTorch can also pretend: a *view* made by `expand` has three channels where there is one. *Predict: how many bytes do the 24
# pictures take as they are, in three channels as your function makes them, and in such a view?*

# %% tags=["hide-output"]
from course_utils.teaching import stems as course

to_three_channels = exercise("04.1").use(
    to_three_channels,
    otherwise=course.to_three_channels,
)
ways = course.copies(gray) | {"copied": to_three_channels(gray)}
pd.DataFrame({name: course.in_memory(x) for name, x in ways.items()}).T

# %% [markdown]
# Here a *stride* says how many numbers to walk in memory for one step along an axis. In the view the channel's stride is 0:
# one step along it stays where it is. Red, green and blue are the *same* numbers, read three times, and nothing was copied.
#
# Free, then? Subtract a mean from each channel, in place, as one does to save memory. *Predict: what will PyTorch say?*

# %% tags=["hide-output"]
from course_utils.embedding.adapters import replicate

try:
    ways["expand"].sub_(course.each_channel(backbone.mean))
except RuntimeError as error:
    print("refused:", str(error).partition(". ")[0])

normal = replicate(gray, backbone.mean, backbone.std)  # not in place: a new tensor
print(f"normalised: {normal.untyped_storage().nbytes() / 1e6:.1f} MB")

# %% [markdown]
# A different mean is to be taken from each channel, so the three cannot stay in one place. They become three with the first
# operation that tells channels apart; `expand` only puts that off by one line. (Early versions of PyTorch did not refuse. They
# took the three means from the same number, one after the other.)
#
# The course's `replicate` copies once and then works in place. And this is what must never happen. The shape is right, and no
# error comes. *Look at the titles and guess what went wrong:*

# %%
from course_utils.plots.stems import channels_as_colours

wrong = gray.repeat(3, 1, 1, 1).reshape(24, 3, 224, 224)
shown = {"wrong, picture 0": wrong[0], "wrong, picture 1": wrong[1]}
channels_as_colours({"right, picture 0": ways["copied"][0]} | shown)

# %%
different = {picture.numpy().tobytes() for picture in wrong}
print("different pictures among the 24:", len(different))

# %% [markdown]
# `repeat(3, 1, 1, 1)` repeats the *pictures*: first all 24, then all once more. `reshape` then cuts this row into threes. Now
# each "picture" is three pictures, of two women. And since 24 is a multiple of 3, the row repeats: with this batch
# only eight different ones are left. With a batch of one it is right by accident. That is how it survives testing.

# %% [markdown]
# ## Which numbers does the network expect?
#
# It has learnt from pictures that were **normalised**: $z_c = (x_c - \mu_c) / \sigma_c$, where $x_c$ is a pixel's value in
# channel $c$, from 0 to 1, and $\mu_c$ and $\sigma_c$ are the mean and the standard deviation of that channel, over the
# pictures that it was trained on. They belong to the weights, as the pinout belongs to a chip:
#
# | | red | green | blue |
# |---|---|---|---|
# | ResNet-50, mean | 0.485 | 0.456 | 0.406 |
# | ResNet-50, standard deviation | 0.229 | 0.224 | 0.225 |
# | Lite0, mean | 127/255 | 127/255 | 127/255 |
# | Lite0, standard deviation | 128/255 | 128/255 | 128/255 |
#
# Vera says: *"A network is robust. It was trained on photographs of all brightnesses, so what does an offset matter?"* Sam
# says: *"It will see something else altogether."* They write down seven slips that they have both come across:

# %%
resnet = load_backbone("resnet50", weights="random", seed=0)
if backbone.name == "resnet50":
    resnet = backbone
other = lite if backbone is resnet else resnet
slips = course.slips(backbone.mean, backbone.std, (other.mean, other.std))
print(*slips, sep="\n")

# %% [markdown]
# *Predict: rank them.* We take the twelve views from above, one of each woman, and measure how far each slip moves a vector
# from where it belongs, as [cosine distance](../docs/glossary.md#cosine-distance). For comparison: how far apart are two women?

# %%
from course_utils.teaching.stems import pairs, vectors  # vectors of length 1

from_above = torch.tensor(list(cohort["view"] == "CC"))
views = gray[from_above]
right = vectors(backbone.module, replicate(views, backbone.mean, backbone.std))
moved = {
    name: 1 - (vectors(backbone.module, slip(to_three_channels(views))) * right).sum(1)
    for name, slip in slips.items()
}

# %% tags=["hide-output"]
from course_utils.plots import shifts

shifts(moved, pairs(right))

# %% tags=["hide-output", "nbval-ignore-output"]
print("typically moved by, with the distance between two women as 100%:")
for name, distances in sorted(moved.items(), key=lambda item: np.median(item[1])):
    print(f"{name:<26}{np.median(distances) / np.median(pairs(right)):8.1%}")

# %% [markdown]
# In the stored figure, which is EfficientNet-Lite0's, Sam wins by far: skipping the normalisation moves a vector about as far
# as from one woman to another, and doing it twice or on 0 to 255 moves it further. No error, no warning; the shapes are right.
#
# And the swap? Harmless here, by luck: Lite0's mean and standard deviation are nearly the same number. ResNet-50's are not.
# A test with one network would have let it pass, so test with numbers that tell the slips apart.
#
# "The picture's own" has its friends, since it takes out brightness and contrast. But a frozen network was not trained on
# that, and a picture's mean and deviation depend on how much of it is ground: in a wider frame, the same breast comes out
# different.

# %% [markdown]
# ### Exercise 04.2: normalise (6 minutes)
#
# Write `normalise`. It gets pictures in three channels with *stored* whole numbers from 0 to 255, and the mean and the
# standard deviation of each channel for pixels from 0 to 1, as tuples of three. It returns what the network expects.


# %%
def normalise(stored, mean, std):  # (N, 3, H, W) uint8, 3 numbers, 3 numbers -> float32
    ### BEGIN SOLUTION
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
    return (stored / 255 - mean) / std
    ### END SOLUTION


exercise("04.2").check(normalise)
# exercise("04.2").hint()

# %% [markdown]
# ## Must it be three times the work?
#
# Three equal channels go in, and the stem multiplies each by weights of its own and adds up. If $x$ is the gray picture,
# $W_c$ the slice of a kernel for channel $c$, and $*$ the convolution, then the stem computes
#
# $$\sum_c W_c * \frac{x - \mu_c}{\sigma_c} \;=\; \Big(\sum_c \frac{W_c}{\sigma_c}\Big) * x \;-\; \sum_c \frac{\mu_c}{\sigma_c}\, (W_c * 1).$$
#
# On the right there is one convolution of the gray picture, with one **folded** kernel $W' = \sum_c W_c/\sigma_c$. The last
# term does not depend on the picture. $W_c * 1$ is the convolution of a picture of ones, which is the sum of the kernel's
# weights, so the term is one number per kernel: a bias, $b' = -\sum_c \frac{\mu_c}{\sigma_c} \sum_{ij} W_{c,ij}$. One channel
# in place of three, and nothing to normalise any more. It looks like a proof. *Can you see the hole in it?*

# %% [markdown]
# ### Exercise 04.3: fold the weights (8 minutes)
#
# Write `fold_weights`. It gets a stem's weights and the statistics, and returns the folded weights and the bias by the
# formula above. (The check asks for that formula, hole and all.)


# %%
def fold_weights(weight, mean, std):  # (O, 3, k, k), 3, 3 -> (O, 1, k, k), (O,)
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
# At the border. There the kernel hangs over the edge, onto [**padding**](../docs/glossary.md#padding): zeros, put around the
# *normalised* picture. A normalised 0 is the mean gray, so a network sees a gray world around each picture. If you fold
# first, the zeros go around $x$ itself, and there 0 is black. The naive fold paints the world around the picture black.
#
# So we can see its error without folding anything: pad the picture with black, normalise, and convolve without padding. Two
# stems: Lite0's with its trained kernels, and ResNet-50's.

# %%
networks = {"resnet50": resnet, "efficientnet_lite0": lite}


def truth(network, x):
    return stem(network.module)(replicate(x, network.mean, network.std))


def error(network, x, value):
    """(h, w): at each position the worst of all kernels, in a world of this gray."""
    right = truth(network, x)
    off = (course.surrounded(network, x, value) - right).abs().amax(1)
    return (off / right.abs().amax())[0]


# %%
from course_utils.plots.stems import corners

black = {name: error(network, gray[:1], 0.0) for name, network in networks.items()}
corners({f"{name}\n{networks[name].weights.id}": off for name, off in black.items()})

# %% tags=["nbval-ignore-output"]
for name, off in black.items():
    rows = (off > 1e-5).float().mean(1) > 0.5  # wrong from end to end, or nearly
    above, below = rows[:56].sum(), rows[56:].sum()
    print(f"{name:<20}up to {off.max():.0%}; wrong rows: {above} above, {below} below")

# %% [markdown]
# Inside the frame there is nothing; in the frame, the error is far beyond rounding. Why are there two wrong rows above and one
# below in ResNet-50? Its kernel has 7 rows and moves by 2, with 3 rows of zeros above. The first output row hangs over by 3, the
# second by 1, the third not at all; below, the last row hangs over by 2. Work out Lite0's by yourself: 3 rows, a step of 2,
# and zeros on the right and below only.
#
# Vera says: *"Then do not pad with black. Pad with the mean gray, and you are done."* Sam says: *"Which mean?"* Move
# `padding` and see (in Jupyter). *Predict for each network: is there a gray at which the frame goes away?*

# %%
grays = np.linspace(0, 1, 41)
worst = {
    name: [error(network, gray[:1], float(value)).max().item() for value in grays]
    for name, network in networks.items()
}

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots.stems import padded_with
from course_utils.teaching.widgets import LivePicture


def around(padding=0.25, network="resnet50"):
    off = error(networks[network], gray[:1], padding)
    return padded_with(gray[0].numpy(), off, grays, worst[network], padding, network)


LivePicture(around, padding=(0.0, 1.0, 0.025), network=list(networks))

# %% tags=["hide-output", "nbval-ignore-output"]
for name, network in networks.items():
    means = (*network.mean, np.mean(network.mean))
    best = min(error(network, gray[:1], float(mean)).max().item() for mean in means)
    print(f"{name:<20}with the best of its mean grays, up to {best:.1%}")

# %% [markdown]
# Sam wins with ResNet-50. Red, green and blue have means of their own, and one gray cannot be all three. For Lite0, whose
# three means are equal, Vera's repair is exact. We want one that holds for any network.

# %% [markdown]
# ## How is it repaired?
#
# Look at the formula again. It was right up to the last step. The hole is "$W_c * 1$ is the sum of the weights". Here is
# $W_c * 1$ for one slice of a kernel of ResNet-50, on a small picture of ones:

# %% tags=["nbval-ignore-output"]
from course_utils.plots.stems import ones_convolved

reds = stem(resnet.module).weight[:, :1]
sums = stem(course.restemmed(resnet.module, reds))(torch.ones(1, 1, 20, 20))[0]
number = int(sums[:, 5, 5].argmax())
ones_convolved(reds[number, 0], sums[number], stride=2, padding=(3, 2))

# %% [markdown]
# Inside it is one number, as the formula said. Along the border it is not: there the picture of ones ends, too, and only those
# weights count that lie *on* it. So do not replace $W_c * 1$ by a number. Feed the ones:
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
def fold_with_ones(weight, mean, std):  # (O, 3, k, k), 3, 3 -> (O, 2, k, k)
    ### BEGIN SOLUTION
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
    picture = (weight / std).sum(dim=1)
    ones = -(weight * mean / std).sum(dim=1)
    return torch.stack([picture, ones], dim=1)
    ### END SOLUTION


exercise("04.4").check(fold_with_ones)
# exercise("04.4").hint()

# %% [markdown]
# There is a second repair, the **bias map**: compute the ones' share once, as a picture $(1, O, h, w)$ of its own, and add
# it to the output of the one-channel stem, so that each position has a bias of its own. Here are both, made of *your* folds
# where they are right, and the naive fold beside them. (For a whole network, the course has `adapters.fold`.)

# %%
from course_utils.embedding.adapters import with_ones

fold_weights = exercise("04.3").use(fold_weights, otherwise=course.fold_weights)
fold_with_ones = exercise("04.4").use(fold_with_ones, otherwise=course.fold_with_ones)


# %%
def two_slices(network):
    return fold_with_ones(stem(network.module).weight, network.mean, network.std)


def by_ones(network, x):
    return stem(course.restemmed(network.module, two_slices(network)))(with_ones(x))


def by_map(network, x):
    slices = two_slices(network).split(1, dim=1)
    picture, ones = (stem(course.restemmed(network.module, each)) for each in slices)
    return picture(x) + ones(torch.ones_like(x[:1]))  # once for a size


def naive(network, x):
    folded, bias = fold_weights(stem(network.module).weight, network.mean, network.std)
    return stem(course.restemmed(network.module, folded, bias))(x)


# %% [markdown]
# ## Is it exact?
#
# Believe nothing: measure. Any weights, any size, and a border as bright as can be, where there is most to get wrong.
# *Predict: in which rows of the table will the naive fold pass?*

# %%
real = [preprocess(read_mammogram(path)) for path in real_mammograms().path]
real = torch.from_numpy(np.stack(real))
noise = torch.rand(2, 1, 97, 131, generator=torch.Generator().manual_seed(0))
inputs = {
    "real": real,
    "bright border": F.pad(real[:, :, 8:-8, 8:-8], (8,) * 4, value=1.0),
    "odd size": real[:, :, :223, :221],
    "noise": noise,
}
stems = networks | {
    "resnet50, seed 7": load_backbone("resnet50", weights="random", seed=7),
    "lite0, seed 7": load_backbone("efficientnet_lite0", weights="random", seed=7),
}

# %%
gaps = {}
for name, network in stems.items():
    for what, x in inputs.items():
        right = truth(network, x)
        largest = right.abs().max().item()
        gaps[name, what] = {
            way.__name__: (way(network, x) - right).abs().max().item() / largest
            for way in (by_ones, by_map, naive)
        }
gaps = pd.DataFrame(gaps).T

# %% tags=["hide-output", "nbval-ignore-output"]
gaps.map("{:.0e}".format)  # the largest error, as a share of the largest output

# %% tags=["hide-output"]
for way in gaps:
    print(f"{way}: below 1e-5 in {(gaps[way] < 1e-5).sum()} of {len(gaps)} rows")

# %% [markdown]
# Both repairs are exact up to rounding, everywhere. (Sums taken in another order round differently, as lesson 05 shows for
# batches, so "exact" means within $10^{-5}$ of the largest output, not to the bit.) The naive fold fails wherever the kernel
# hangs over the edge, whatever the weights.
#
# And where does it pass? On Lite0's stem at odd sizes (the noise is 97 × 131). That stem has zeros on the right and below
# only, and with 223 rows its steps of 2 end on the last row: the zeros are never reached. Anybody who had tested this network
# at an odd size would have shipped the error.
#
# Which repair is better? The map saves the work of a channel, but it belongs to one picture size and one place in the code: it
# has to be computed again for each size, kept, and added by somebody who remembers to. The ones are an input, and everything
# else stays an ordinary convolution.

# %% [markdown]
# What is saved? ResNet-50's stem takes 118 million multiply-adds with three channels, 79 with two and 39 with one. A bias map
# for 224 × 224 has 3.2 MB, the ones' weights 12.5 kB. All of ResNet-50 takes some 4100 million, so
# folding saves about one in a hundred. That is worth having, but it is not worth a wrong border. And does a wrong border reach
# the embedding? Now through the whole network, on real mammograms.

# %% tags=["nbval-ignore-output"]
import copy

precise = copy.deepcopy(backbone.module).double()  # no rounding behind the stem
wide = real.double()
reference = vectors(precise, replicate(wide, backbone.mean, backbone.std))
exact = vectors(course.restemmed(precise, two_slices(backbone)), with_ones(wide))
naive_fold = fold_weights(stem(backbone.module).weight, backbone.mean, backbone.std)
careless = vectors(course.restemmed(precise, *naive_fold), wide)
for name, found in (("with ones", exact), ("naive", careless)):
    share = np.abs(found - reference).max() / reference.max()
    print(f"{name:<10}off by up to {share:.0e} of the largest number")

# %% tags=["nbval-ignore-output"]
moves = careless - reference
rest = [np.delete(moves, row, axis=0).mean(axis=0) for row in range(len(moves))]
same_way = int(((moves * rest).sum(1) > 0).sum())
print(f"naive: {same_way} of {len(moves)} pictures move the same way as the others")

# %% [markdown]
# Is the naive error large? No: as the next section shows, a vector moves by less than a hundredth of the distance between
# women in the stored run, since a thin frame is a small part of a picture. But it is the same frame in every picture, so it
# moves them all the same way, much as letters beside the breast do (lesson 02). Compare your vectors with those of the original
# network, and there is a difference that nobody wrote down. It costs nothing to be exact.

# %% [markdown]
# ## Sum, average or luminance?
#
# People do simpler things. Take the mean of the means and of the deviations, normalise the gray picture with these two
# numbers, and squeeze the kernels into one channel. But how? Vera: *"Average them, so that the weights stay as large as they
# were trained."* Sam: *"Sum them. Three equal channels add up."* A third has read that gray is $0.299\,R + 0.587\,G +
# 0.114\,B$, and weights the kernels accordingly. A fourth draws new ones at random: "They will do."
#
# *Predict: rank them by how far they move a vector. Who is right?*

# %%
weight = stem(backbone.module).weight
luminance = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
dice = torch.randn(weight[:, :1].shape, generator=torch.Generator().manual_seed(0))
z = (gray - np.mean(backbone.mean)) / np.mean(backbone.std)
tried = {
    "folded, with ones": ((two_slices(backbone),), with_ones(gray)),
    "folded, naive": (naive_fold, gray),
    "summed": ((weight.sum(1, keepdim=True),), z),
    "averaged": ((weight.mean(1, keepdim=True),), z),
    "luminance": (((weight * luminance).sum(1, keepdim=True),), z),
    "random stem": ((dice * weight.sum(1).std(),), z),
}

# %%
original = vectors(backbone.module, replicate(gray, backbone.mean, backbone.std))
embedded = {}
for name, (parts, x) in tried.items():
    embedded[name] = vectors(course.restemmed(backbone.module, *parts), x)

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots.stems import shifts_as_shares

from_women = pairs(original[from_above.numpy()])
moved = {name: 1 - (found * original).sum(1) for name, found in embedded.items()}
shifts_as_shares(moved, from_women)

# %% [markdown]
# In the stored run Sam is right. For Lite0, whose channels share their statistics, the sum *is* the fold, padding included;
# for ResNet-50 it is close. The average gives a third of the contrast. "Batch normalisation will take that out" is what one
# hears, and it is wrong here: in evaluation it divides by fixed numbers, learnt from the full contrast. Luminance is a recipe
# for *pictures*: it turns colour into gray. On kernels it also breaks the balance of those that look for colour: they
# no longer cancel on gray, but wake up and see colour where there is none. And a random stem speaks a language that the
# layers after it never learnt.

# %% [markdown]
# ## Does a classifier mind? (skip on a first reading)
#
# Distance to the original is one thing; use is another. So ask a [**probe**](../docs/glossary.md#probe), a small classifier
# on top of the vectors. Two questions: CC or MLO? And dense (classes c and d) or not? The probe learns from eleven women and
# answers for the twelfth, each in turn, so that no woman is on both sides. As a baseline, it also gets the pictures
# themselves, 16 × 16 pixels.
#
# *Predict: how many right answers of 24 would you call better than 22?*

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

small = F.interpolate(gray, (16, 16), mode="area").flatten(1).numpy()
features = {"replicated": original, **embedded, "pixels": small}
questions = {
    "view": cohort["view"].to_numpy(),
    "dense": cohort["density"].isin(["c", "d"]).to_numpy(),
}
probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


# %%
def right_answers(x, y):
    """The share of right answers, each woman asked of a probe that never saw her."""
    women = {"groups": cohort["woman"], "cv": LeaveOneGroupOut()}
    return float(np.mean(cross_val_predict(probe, x, y, **women) == y))


# %%
def interval(share, n=12, z=1.96):
    """Wilson's 95% interval; n counts women, for two pictures of one are not two."""
    middle = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


low, high = interval(11 / 12)
print(f"11 right of 12 is 92%, and the interval runs from {low:.0%} to {high:.0%}")

# %% tags=["hide-output"]
from course_utils.plots.stems import shares_with_intervals

shares = {}
for question, y in questions.items():
    found = {name: right_answers(x, y) for name, x in features.items()}
    shares[question] = {name: (each, *interval(each)) for name, each in found.items()}
shares_with_intervals(shares)

# %% [markdown]
# In the stored run all intervals of a question overlap. From these twelve women nobody may say that one way is better than
# another, and a paper that finds "+4%" on such data has found one picture. The view is easy: even 256 pixels answer it, so
# nearly any vectors will, and the answer says nothing about them. Density is harder, and there twelve women tell us least. So
# choose by what you can prove (the fold is equal to the replication), and let data decide only where there is enough of it.

# %% [markdown]
# ## And if you equalise first? (skip on a first reading)
#
# For training, pictures are altered at random: mirrored, rotated, their histogram equalised. Should that be on during
# extraction? *Predict: embed the same file twice, with `RandomEqualize`. Will the two vectors agree?*

# %%
from torchvision.transforms import v2

normalise = exercise("04.2").use(normalise, otherwise=course.normalise)
stored = (255 * gray[:4]).round().to(torch.uint8)


# %% tags=["hide-output"]
def extracted(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        augment = v2.RandomEqualize(p=0.5)
        altered = to_three_channels(torch.stack([augment(x) for x in stored]))
    return vectors(backbone.module, normalise(altered, backbone.mean, backbone.std))


gap = 1 - (extracted(0) * extracted(1)).sum(1)
print(f"the same four files, twice; vectors that moved: {(gap > 1e-6).sum()} of 4")

# %% [markdown]
# A coin was tossed for each. The store of lesson 05 would keep whichever side came up, a duplicate would no longer be found,
# and nothing could be repeated. Then equalise *all*? That is no coin any more, but look what becomes of the same breast in a
# wider frame:

# %%
from course_utils.plots import side_by_side

picture = (255 * gray[12]).round().to(torch.uint8)  # (1, 224, 224)
narrow, wide = (v2.functional.equalize(F.pad(picture, (0, n))) for n in (0, 112))
shown = {
    "as it is": picture,
    "equalised": narrow,
    "equalised, wider frame": wide,
}
caption = "Equalising spreads the grays by rank among all pixels, ground included."
alt = "A mammogram; the same washed out by equalising; in a wider frame, still more so."
shown = {name: one.numpy() / 255 for name, one in shown.items()}
side_by_side(shown, caption=caption, alt=alt)

# %%
tissue = picture > 0
brighter = (narrow.float() - picture)[tissue].mean()
further = (wide[..., :224].float() - narrow.float())[tissue].mean()
print(f"equalising makes tissue brighter by {brighter:.0f} of 255 on average,")
print(f"and the wider frame by {further:.0f} more")

# %% [markdown]
# A gray no longer says how much was absorbed, but how many pixels are darker, and that depends on the frame. Extraction has
# one picture in and one vector out, always the same. So the course has no equalising in it, and no switch to turn it on.

# %% [markdown]
# ## What if there is nothing in the picture?
#
# Files go wrong: a detector that was not exposed gives one gray everywhere; a division by zero gives NaN. *Predict: what
# does the network make of a constant picture? And of a picture in which a single pixel is NaN?*

# %% tags=["hide-output"]
odd = gray[:3].clone()
odd[0] = 0.2
odd[1, 0, 5, 5] = float("nan")
with torch.inference_mode():
    out = backbone.module(replicate(odd, backbone.mean, backbone.std))
for name, vector in zip(("constant", "one NaN", "its neighbour"), out):
    print(f"{name:<14}{vector.isnan().float().mean():.0%} of the vector is NaN")

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
failures = extraction.failures
print(f"{len(extraction.vectors)} vectors, {len(failures)} failure: {failures.file[0]}")
print(failures.reason[0])

# %%
try:
    extractor.embed(odd)
except EmbeddingError:
    print("Pictures with NaN are refused before the network sees them.")

# %% [markdown]
# ### Exercise 04.5: pick out bad pictures (6 minutes)
#
# Write `usable`. It gets a batch of pictures and returns one truth value for each picture: true if all its numbers are finite
# and they are not all the same.


# %%
def usable(pictures):  # (N, 1, H, W) -> (N,) of True and False
    ### BEGIN SOLUTION
    flat = pictures.flatten(start_dim=1)
    return flat.isfinite().all(dim=1) & (flat.amax(dim=1) > flat.amin(dim=1))
    ### END SOLUTION


exercise("04.5").check(usable)
# exercise("04.5").hint()

# %%
usable = exercise("04.5").use(usable, otherwise=course.usable)
kept = odd[torch.as_tensor(usable(odd))]
print(f"pictures: {len(odd)}, of which usable: {len(kept)}")
print(f"vectors:  {len(extractor.embed(kept))}")

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

# %% tags=["nbval-ignore-output"]
folding = EmbeddingExtractor(load_backbone(), adapter="folded", device="cpu")
paths = list(real_mammograms().path)
both = [
    each.extract(paths, preprocess, progress=False)
    for each in (extractor, folding)  # the same files, twice
]
one, other = (each.vectors for each in both)
share = np.abs(one - other).max() / np.abs(one).max()
print(f"{len(one)} and {len(other)} vectors, apart by {share:.0e} of the largest")
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
# averaging and luminance are other networks. Do not put to a vote of twelve women what you can prove. Extraction never
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
