# %% [markdown]
# # 03 · From convolution to ResNet-50
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - write convolution and batch normalisation from their formulas, and fold one into the other
# - say how much of a mammogram a number deep in a network can have seen
# - build ResNet-50, block by block, and then write it from memory
# - prove that your network and torchvision's give the same 2048 numbers
# - show what a shortcut changes, in the gradients and in training
#
# **Prerequisites.** [Lesson 02](02_preprocessing.ipynb): a mammogram as a square picture. Arrays in NumPy, tensors in
# PyTorch, and what a gradient is. You need not have built a network before.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 75 min, 125 with all | under 60 s | under 3 GB | none | not needed |

# %% [markdown]
# ## What can nine numbers see?
#
# A network begins with windows. Lay a [*kernel*](../docs/glossary.md#kernel), here 3 × 3 numbers, on a picture; multiply
# each number by the pixel beneath it; add up the nine products. That is one pixel of a new picture. Then move the window one
# column to the right, and do it again.
#
# Below is a piece of a real mammogram: dense tissue at the lower left, fat at the upper right. A sum below zero will be
# violet, a sum above zero orange. *Predict: the kernel `edge, across` is negative on the left and positive on the right.
# Where will its sums be far from zero? And which colour will the border of the dense tissue have?*

# %%
import numpy as np

from course_utils.imaging import Preprocessor, read_mammogram
from course_utils.imaging.datasets import real_mammograms

real = real_mammograms()
names = [f"{row.case} {row.laterality}{row.view}" for row in real.itertuples()]
preprocess = Preprocessor(size=224)
pictures = np.stack([preprocess(read_mammogram(path)) for path in real.path])
patch = pictures[5, 0, 60:90, 20:60]
print(pictures.shape, pictures.dtype)

# %% tags=["hide-output"]
from course_utils.teaching.kernels import KernelWindow

KERNELS = {
    "edge, across": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "edge, down": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "mean": [[1 / 9] * 3] * 3,
    "spot": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
KernelWindow(patch, KERNELS, row=8, column=20)

# %% [markdown]
# (In Jupyter you can move the window and write a kernel of your own. On a web page you see one position.) Along the border of
# the dense tissue, pixels get darker from left to right. So the right column adds less than the left one takes away, and the
# sums are negative: violet. Where the tissue is even, the two cancel.
#
# A network's kernel looks at several *channels* at once, and there are many kernels. For kernel $o$ and place $(i, j)$:
#
# $$y_{o,i,j} = \sum_{c=1}^{C} \sum_{a=0}^{k-1} \sum_{b=0}^{k-1} w_{o,c,a,b}\; x_{c,\; s i + a - p,\; s j + b - p}$$
#
# Here $x$ is the input with $C$ channels, $w$ holds the kernels, $k$ is their size, and $y$ has one channel, or *map*, for
# each kernel. The [*stride*](../docs/glossary.md#stride) $s$ says how far the window moves each time. The
# [*padding*](../docs/glossary.md#padding) $p$ says how many rows and columns of zeros are laid around the input; whatever lies
# outside of $x$ counts as 0.
#
# *How large is $y$?* The window covers $k$ of the $n + 2p$ rows, so it can move down by $n + 2p - k$, in steps of $s$. That is
# the **shape rule**: $\lfloor (n + 2p - k) / s \rfloor + 1$ places. The + 1 is the place where it starts.

# %% [markdown]
# ### Exercise 03.1: convolution by hand (10 minutes)
#
# Write `convolve` in NumPy, from the formula. Two loops over the places of the window are fine; the sums over channels and
# kernel need no loop.


# %%
def convolve(x, kernels, stride=1, padding=0):  # (C, H, W), (O, C, k, k) -> (O, H', W')
    ### BEGIN SOLUTION
    k = kernels.shape[-1]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    rows, columns = ((n - k) // stride + 1 for n in x.shape[1:])
    y = np.zeros((len(kernels), rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + k, j * stride : j * stride + k]
            y[:, i, j] = (kernels * window).sum(axis=(1, 2, 3))
    return y
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("03.1").check(convolve)
# exercise("03.1").hint()

# %% [markdown]
# From here on the lesson runs on *your* functions wherever they are right, and on the course's own elsewhere. (So you can skip
# an exercise and come back.) First, ResNet-50's own first convolution on a mammogram: 64 kernels of 7 × 7, a stride of 2, a
# padding of 3. The kernels here are random.

# %% tags=["nbval-ignore-output"]
import torch
import torch.nn.functional as F

from course_utils.teaching import resnet as course

convolve = exercise("03.1").use(convolve, otherwise=course.convolve)
colour = np.repeat(pictures[5], 3, axis=0)
kernels = np.random.default_rng(0).standard_normal((64, 3, 7, 7)).astype(np.float32)
by_hand = convolve(colour, kernels, 2, 3)
from_torch = course.convolve(colour, kernels, 2, 3)
error = np.abs(by_hand - from_torch).max() / np.abs(from_torch).max()
print(f"{by_hand.shape}, off from torch's by {error:.0e} of the largest number")

# %% [markdown]
# ## Is that a convolution at all? (skip on a first reading)
#
# Ruth, who studied signals, says: *"A convolution flips the kernel. What you wrote is a correlation."* Leo says: *"It is
# called Conv2d. So it is a convolution."* SciPy has both, and settles it:

# %%
from scipy.signal import convolve2d, correlate2d

kernel = np.array(KERNELS["edge, across"], np.float32)
ours = course.convolve(patch[None], kernel[None, None])[0]
for scipys in (correlate2d, convolve2d):
    apart = np.abs(ours - scipys(patch, kernel, "valid")).max()
    print(f"torch's conv2d and SciPy's {scipys.__name__} differ by up to {apart:.2f}")

# %% [markdown]
# Ruth is right about the word. To a network it makes no difference: it learns its kernels, and would learn them flipped. To
# you it does, on the day you carry kernels from one library to another.

# %% [markdown]
# ## How much of the breast can one number see?
#
# A number in the first map has seen 7 × 7 pixels. A number in a later map has seen several of those, side by side, and so
# more of the picture: its [*receptive field*](../docs/glossary.md#receptive-field). Two numbers tell how it grows from layer
# to layer. The *jump* is how far apart two neighbours in this map lie, in pixels of the picture. The *field* is how many
# pixels, along one side, one number sees.
#
# $$r \leftarrow r + (k - 1)\, j, \qquad j \leftarrow j\, s$$
#
# Before the first layer a pixel sees itself, so $r = 1$ and $j = 1$. A kernel of size $k$ adds $k - 1$ neighbours, each
# $j$ pixels away; then the stride $s$ spreads the next neighbours out.

# %% [markdown]
# ### Exercise 03.2: size, receptive field, jump (6 minutes)
#
# Write `through`. It gets layers as a list of (kernel, stride, padding), and the size of the picture. It returns three whole
# numbers: the size of the last map (by the shape rule), the field and the jump.


# %%
def through(layers, size):  # [(7, 2, 3), (3, 2, 1)], 224 -> (56, 11, 4)
    ### BEGIN SOLUTION
    field, jump = 1, 1
    for kernel, stride, padding in layers:
        size = (size + 2 * padding - kernel) // stride + 1
        field += (kernel - 1) * jump
        jump *= stride
    return size, field, jump
    ### END SOLUTION


exercise("03.2").check(through)
# exercise("03.2").hint()

# %% [markdown]
# A rule is a claim about a network, and a claim can be measured. Take one number in the middle of a map and ask for its
# gradient with respect to the picture. A pixel outside the field cannot move that number, so its gradient is exactly 0.
# We ask torchvision's ResNet-50 after its *stem* (a convolution, then *max pooling*: a window that keeps its largest number)
# and after each of its four *stages*, on a large picture of noise. *Predict: in the course's pictures a breast is up to 224
# pixels high. After which stage does one number see all of it?*

# %%
from torchvision.models import resnet50


def parts_of(network):
    """The stem and the four stages, each as one module."""
    stem = (network.conv1, network.bn1, network.relu, network.maxpool)
    stages = {f"stage {n}": getattr(network, f"layer{n}") for n in (1, 2, 3, 4)}
    return {"stem": torch.nn.Sequential(*stem), **stages}


# %% tags=["hide-output"]
_ = torch.manual_seed(0)
noise = torch.rand(1, 3, 448, 448, requires_grad=True)
maps, measured = noise, {}
for name, part in parts_of(resnet50(weights=None).eval().requires_grad_(False)).items():
    maps = part(maps)
    middle = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum()
    (gradient,) = torch.autograd.grad(middle, noise, retain_graph=True)
    measured[name] = int(gradient.abs().amax(dim=(0, 1, 2)).count_nonzero())
del maps, middle, gradient  # or the network's inner numbers stay in memory
print("measured:", *measured.values())

# %% tags=["hide-output"]
through = exercise("03.2").use(through, otherwise=course.through)
block, halving = [(1, 1, 0), (3, 1, 1), (1, 1, 0)], [(1, 1, 0), (3, 2, 1), (1, 1, 0)]
stem = [(7, 2, 3), (3, 2, 1)]
stages = [3 * block, halving + 3 * block, halving + 5 * block, halving + 2 * block]
layers, fields = [], []
for stage in (stem, *stages):
    layers += stage
    fields.append(through(layers, 224)[1])
print("by the rule:", *fields)

# %% tags=["hide-output"]
from course_utils.plots import receptive_fields

receptive_fields(pictures[2], measured, centre=(130, 56))

# %% [markdown]
# After stage 3 one number in the middle sees the whole breast, the ground beside it, and a good deal of padding. So the last
# maps of a ResNet-50 hold no strictly local findings: each of their 7 × 7 numbers may know of nearly the whole picture. May,
# not must: Luo and others, under *Go further*, show that the middle of a field counts far more than its rim.

# %% [markdown]
# ## Why normalise in the middle of a network?
#
# Send the eight mammograms through twenty layers. Each is a convolution with freshly drawn kernels, followed by a *ReLU*,
# which turns negative numbers into 0 and leaves the others alone. *Predict: how different are the eight when they come
# out?* We measure by how much they differ at a place, as a share of the numbers themselves.

# %%
from torch import nn

_ = torch.manual_seed(0)
convs = [nn.Conv2d(16 if n else 1, 16, 3, padding=1) for n in range(20)]
start = F.interpolate(torch.from_numpy(pictures), (56, 56), mode="area")


# %% tags=["hide-output", "nbval-ignore-output"]
def difference(after_each):
    """By how much eight pictures differ at the end, as a share of the numbers."""
    y = start
    with torch.inference_mode():
        for conv in convs:
            y = F.relu(after_each(conv(y)))
    return (y.std(dim=0).mean() / y.mean()).item()


print(f"as it is: they differ by {difference(lambda y: y):.0e}")

# %% [markdown]
# All eight have become the same picture, to five digits and more. Each layer shrinks what differs and adds its *bias*, one
# number for each kernel, and soon the biases are all that is left.
# [Batch normalisation](../docs/glossary.md#batch-normalisation) puts every channel back in order after each convolution. In
# **training** it takes the mean $\mu_c$ and the variance $\sigma_c^2$ of channel $c$ over all pictures of the batch and all
# places in them:
#
# $$y = \gamma_c \, \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c$$
#
# with a scale $\gamma_c$ and a shift $\beta_c$ that are learnt, and a small $\epsilon$ against division by zero. Here are the
# same eight mammograms and the same twenty layers, with a batch norm after each convolution:

# %% tags=["nbval-ignore-output"]
ones, zeros = torch.ones(16), torch.zeros(16)
share = difference(lambda y: course.batch_norm(y, ones, zeros, 1e-5))
print(f"with batch norm: they differ by {share:.0%} of the numbers")

# %% [markdown]
# In **evaluation** a picture must not feel its neighbours (lesson 05 shows what happens if it does). So the layer keeps a
# running mean and a running variance while it trains, and uses those afterwards.
#
# From here on we need a whole ResNet-50 to compare with. If its ImageNet weights are on your disk, these are used. If not, the
# weights are RANDOM (nothing is downloaded in a lesson), and we let batch normalisation see the eight mammograms once, with
# scales and shifts drawn at random. For a proof that is just as good: with a mean of 0 and a variance of 1, code that ignores
# both would pass, and with these it does not.

# %%
import os

from course_utils.embedding import load_backbone
from course_utils.embedding.adapters import replicate
from course_utils.embedding.backbones import resnet50_weights_file

on_disk = "imagenet" if resnet50_weights_file().is_file() else "random"
backbone = load_backbone("resnet50", weights=os.environ.get("COURSE_WEIGHTS", on_disk))
theirs, label = backbone.module, backbone.weights.id
images = replicate(torch.from_numpy(pictures), backbone.mean, backbone.std)

# %%
_ = torch.manual_seed(0)
if not backbone.weights.pretrained:
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    _ = theirs.train()(images)
_ = theirs.eval()

# %% [markdown]
# ## Can you write batch normalisation? (skip on a first reading)
#
# The mean and the variance of a channel run over three of the four axes. The formula is above.

# %% [markdown]
# ### Exercise 03.3: batch normalisation in training (6 minutes)
#
# Write `batch_norm` as it is in training. `x` is (N, C, H, W); `gamma` and `beta` are (C,). Divide the variance by $n$, not
# by $n - 1$: it is the *biased* one.


# %%
def batch_norm(x, gamma, beta, eps):  # (N, C, H, W), (C,), (C,), a number -> like x
    ### BEGIN SOLUTION
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    var = x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    x = (x - mean) / (var + eps).sqrt()
    return gamma.view(1, -1, 1, 1) * x + beta.view(1, -1, 1, 1)
    ### END SOLUTION


exercise("03.3").check(batch_norm)
# exercise("03.3").hint()

# %% [markdown]
# Now beside torch's own layer. *Predict: is the variance that the layer keeps for evaluation divided by $n$, too, or by $n - 1$?*

# %% tags=["hide-output"]
batch_norm = exercise("03.3").use(batch_norm, otherwise=course.batch_norm)
_ = torch.manual_seed(0)
layer = nn.BatchNorm2d(1, momentum=1.0)  # 1.0: it keeps those of this batch alone
x = torch.randn(2, 1, 2, 2)  # 8 numbers
apart = layer.train()(x) - batch_norm(x, torch.ones(1), torch.zeros(1), layer.eps)
print(f"this batch norm and torch's layer differ by {apart.abs().max():.3f}")
by_n, by_one_less = x.var(unbiased=False), x.var(unbiased=True)
print(f"variance by n: {by_n:.2f}, by n - 1: {by_one_less:.2f}")
print(f"kept: {layer.running_var.item():.2f}")

# %% [markdown]
# It normalises with one and keeps the other. With eight pictures of 56 × 56 the two differ by less than a ten thousandth;
# with a batch of 2 and maps of 1 × 1 they differ by a factor of 2.

# %% [markdown]
# ## Does batch normalisation cost anything? (skip on a first reading)
#
# In evaluation all of its numbers are fixed. So it multiplies each channel by one number and adds another. But a convolution
# multiplies and adds already. Write $w$ for the kernels of channel $c$, and put one into the other:
#
# $$\gamma \frac{w * x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta
# \;=\; \underbrace{\frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}\, w}_{\text{new kernels}} * x
# \;+\; \underbrace{\beta - \frac{\gamma\, \mu}{\sqrt{\sigma^2 + \epsilon}}}_{\text{new bias}}$$

# %% [markdown]
# ### Exercise 03.4: fold it (6 minutes)
#
# Write `fold`. It gets the kernels of a convolution that has no bias, and the batch normalisation after it (`bn.weight` is
# $\gamma$, `bn.bias` is $\beta$, then `bn.running_mean`, `bn.running_var`, `bn.eps`). It returns new kernels and a new bias.


# %%
def fold(weight, bn):  # (O, C, k, k), a BatchNorm2d of O channels -> (O, C, k, k), (O,)
    ### BEGIN SOLUTION
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    return weight * scale.view(-1, 1, 1, 1), bn.bias - bn.running_mean * scale
    ### END SOLUTION


exercise("03.4").check(fold)
# exercise("03.4").hint()

# %% [markdown]
# Now on the whole ResNet-50, with all 53 pairs of it.

# %% tags=["nbval-ignore-output"]
import copy

fold = exercise("03.4").use(fold, otherwise=course.fold)
exact = copy.deepcopy(theirs).double()  # 16 digits, so that rounding hides no mistake
folded = course.fold_all(exact, fold)  # this fold, on each of the 53 pairs
with torch.inference_mode():
    before, after = exact(images.double()), folded(images.double())
error = ((before - after).abs().max() / before.abs().max()).item()
print(f"8 × 2048 numbers, off by {error:.0e} of the largest")
left = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
print("batch normalisations left:", left)
del exact, folded

# %% [markdown]
# In double precision only the last of 16 digits move. In single precision, with its 7 digits, the two differ a little more,
# since rounding now happens in other places. But no information is lost, and there are 53 layers fewer to run. `course embed`
# does the same.

# %% [markdown]
# ## Why not simply make it deeper?
#
# Kaiming He and others asked: why does a plain network of 56 layers end with a higher *training* error than one of 20? It
# could copy the 20 and let the other layers pass everything through.
#
# Let us train four towers of layers in pairs, with 20 and 56 layers, and batch norm everywhere. Two of them have
# [*shortcuts*](../docs/glossary.md#shortcut): the input of each pair is added to its output. In 60 steps, all of them are to
# learn which of the 24 synthetic mammograms of the sample cohort, at 32 × 32 pixels, are dense. *Predict: which of the four
# learns its 24 pictures by heart?*


# %%
class Tower(nn.Module):
    def __init__(self, depth, shortcut, norm, width=16):
        super().__init__()
        self.first, self.shortcut = nn.Conv2d(1, width, 3, 2, padding=1), shortcut
        self.last = nn.Linear(width, 2)
        convs = [nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)]
        norms = [nn.BatchNorm2d(width) if norm else nn.Identity() for _ in range(depth)]
        self.convs, self.norms = nn.ModuleList(convs), nn.ModuleList(norms)

    def forward(self, x):
        x = F.relu(self.first(x))
        for n in range(0, len(self.convs), 2):
            y = F.relu(self.norms[n](self.convs[n](x)))
            y = self.norms[n + 1](self.convs[n + 1](y))
            x = F.relu(x + y if self.shortcut else y)
        return self.last(x.mean(dim=(2, 3)))


# %%
from course_utils.imaging.datasets import sample_cohort

cohort = sample_cohort()
phantoms = np.stack([preprocess(read_mammogram(path)) for path in cohort.path])
phantoms = F.interpolate(torch.from_numpy(phantoms), (32, 32), mode="area")
dense = torch.tensor([density in ("c", "d") for density in cohort.density]).long()


# %%
def trained(depth, shortcut, steps=60):
    """The training loss, step by step."""
    _ = torch.manual_seed(0)
    tower = Tower(depth, shortcut, norm=True, width=8)
    optimizer = torch.optim.SGD(tower.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(tower(phantoms), dense)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots.resnet import learning_curves

losses = {
    (name, f"{depth} layers"): trained(depth, shortcut)
    for name, shortcut in (("plain", False), ("shortcuts", True))
    for depth in (20, 56)
}
learning_curves(losses)

# %% tags=["hide-output", "nbval-ignore-output"]
for (name, depth), run in losses.items():
    print(f"{name:<10}{depth}: loss {run[-1]:.3f} after 60 steps")

# %% [markdown]
# With 20 layers both learn the pictures by heart. With 56 the plain tower stays far behind, on the very pictures it is
# trained on. So this is not overfitting: it has more layers and does worse with them. With shortcuts, depth does no harm. He
# and others suspect that passing everything through is hard to learn for convolutions and ReLUs, and easy where a layer need
# only learn *zero*. Their Figures 1 and 6 show it on fifty thousand photographs.

# %% [markdown]
# ## What do the gradients say? (skip on a first reading)
#
# A network learns from gradients. They start at its end and travel back, layer by layer, and each layer multiplies them by
# something. *Predict: 56 layers, each multiplying by 0.4. What arrives at the first?* Below are freshly drawn towers with 16
# channels, asked to tell the four benign films from the four malignant ones: with and without batch normalisation, with and
# without shortcuts.

# %%
films = F.interpolate(torch.from_numpy(pictures).double(), (32, 32), mode="area")
target = torch.tensor([case == "malign" for case in real.case]).long()
kinds = {
    "plain": {"shortcut": False, "norm": False},
    "plain, batch norm": {"shortcut": False, "norm": True},
    "shortcuts": {"shortcut": True, "norm": False},
    "shortcuts, batch norm": {"shortcut": True, "norm": True},
}
norms = {}
for name, options in kinds.items():
    for depth in (8, 20, 56):
        _ = torch.manual_seed(0)
        tower = Tower(depth, **options).double()
        F.cross_entropy(tower(films), target).backward()
        norms[name, depth] = [conv.weight.grad.norm().item() for conv in tower.convs]

# %% tags=["hide-output"]
from course_utils.plots.resnet import gradients_by_layer

gradients_by_layer(norms)

# %% tags=["hide-output", "nbval-ignore-output"]
print("At 56 layers, the first gets so many times what the last gets:")
for name in kinds:
    print(f"{name:<22}{norms[name, 56][0] / norms[name, 56][-1]:8.0e}")

# %% [markdown]
# Hanna says: *"ResNet was invented against the vanishing gradient."* Omar says: *"Read the paper. Its plain networks have
# batch normalisation, and the authors write that vanishing gradients are unlikely to be the cause."*
#
# Both have a point. Without batch normalisation the gradient of a plain network vanishes, and shortcuts alone repair that,
# since the sum $x + f(x)$ passes the gradient on as it is, whatever $f$ does. With batch normalisation it does not vanish;
# in a deep plain network it *grows* towards the first layer (Yang and others derive why, for wide networks before
# training), and shortcuts tame that as well. So what trained badly above was not a network whose gradients vanish.

# %% [markdown]
# ## What is a bottleneck?
#
# ResNet-50 does not pair two 3 × 3 convolutions. Its block, the [bottleneck](../docs/glossary.md#bottleneck), goes down to a
# quarter of the channels with a 1 × 1, looks around there with a 3 × 3, and goes up again with a 1 × 1. (A 1 × 1 convolution
# sees one place only, and mixes its channels.) *Predict: for 256 channels, how many times fewer weights is that than two
# 3 × 3 at full width?*

# %% tags=["hide-output"]
wide = 2 * 256 * 256 * 3 * 3
bottleneck = 256 * 64 + 64 * 64 * 3 * 3 + 64 * 256
print(f"two 3 × 3 at 256 channels: {wide:>9,} weights")
fewer = wide / bottleneck
print(f"the bottleneck:            {bottleneck:>9,}, {fewer:.0f} times fewer")
print(f"two 3 × 3 at 64 channels:  {2 * 64 * 64 * 3 * 3:>9,}")

# %% [markdown]
# For the price of two plain layers of 64 channels you get maps of 256. The number of channels in the middle is called
# `width`; what comes out has `4 * width`, and the 4 is the *expansion*. Here is all of it:

# %% tags=["hide-input"]
from course_utils.plots.resnet import bottleneck_drawing

bottleneck_drawing()

# %% [markdown]
# The block adds its input at the end. Where input and output agree in channels and size, the input is added as it is: an
# *identity* shortcut. Where they do not, it is first brought into shape by a 1 × 1 convolution and a batch normalisation of
# its own: a *projection* shortcut. torchvision calls either of them `downsample`. The last ReLU comes after the sum.
#
# **Where is the stride?** In the paper the first 1 × 1 halves the size. But a 1 × 1 with a stride of 2 looks at every
# second place in every second row, and never at the other three quarters. torchvision gives the stride to the 3 × 3, whose
# windows overlap; that is called *V1.5*. You will see below what it costs.

# %% [markdown]
# ### Exercise 03.5: the bottleneck (10 minutes)
#
# Write the block, V1.5. Its parts are called `conv1`, `bn1`, `conv2`, `bn2`, `conv3`, `bn3` and `downsample`, so
# that torchvision's weights fit. No convolution has a bias. For an identity shortcut, `downsample` is `nn.Identity()`.


# %%
class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inside, width, stride=1):  # inside: the channels that come in
        super().__init__()
        ### BEGIN SOLUTION
        outside = width * self.expansion
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.downsample = nn.Identity()
        if stride != 1 or inside != outside:
            projection = nn.Conv2d(inside, outside, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outside))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))
        ### END SOLUTION


exercise("03.5").check(Bottleneck)
# exercise("03.5").hint()

# %% [markdown]
# ## How do fifty layers come together?
#
# The stem makes 64 maps of 56 × 56 from a picture of 224 × 224. Then come four stages:
#
# | stage | blocks | width | channels out | stride of its first block | size |
# |---|---|---|---|---|---|
# | stem | | | 64 | 2, and 2 in the pooling | 56 × 56 |
# | 1 | 3 | 64 | 256 | 1 | 56 × 56 |
# | 2 | 4 | 128 | 512 | 2 | 28 × 28 |
# | 3 | 6 | 256 | 1024 | 2 | 14 × 14 |
# | 4 | 3 | 512 | 2048 | 2 | 7 × 7 |
#
# All other blocks have a stride of 1. Each stage halves the size and doubles the channels, except the first, since the
# pooling has just halved it. Where do the fifty come from? 1 + 3 · (3 + 4 + 6 + 3) = 49 convolutions, and the *classifier*
# `fc`, a last layer that turns the 2048 numbers into scores for 1000 classes. An embedding does without it. (The four
# projections are not counted.)

# %% [markdown]
# ### Exercise 03.6: four stages (6 minutes)
#
# Write `four_stages`. It gets a class of blocks, such as yours, and returns four `nn.Sequential` that hold them. A
# block is made as `block(inside, width, stride)`.


# %%
def four_stages(block):  # -> four nn.Sequential
    ### BEGIN SOLUTION
    stages, inside = [], 64
    for width, depth, stride in zip((64, 128, 256, 512), (3, 4, 6, 3), (1, 2, 2, 2)):
        first = block(inside, width, stride)
        inside = width * block.expansion
        rest = [block(inside, width) for _ in range(depth - 1)]
        stages.append(nn.Sequential(first, *rest))
    return stages
    ### END SOLUTION


exercise("03.6").check(four_stages)
# exercise("03.6").hint()

# %% [markdown]
# The rest is short. At the end the mean over all places, *global average pooling*, turns each of 2048 maps into one number:


# %%
class ResNet50(nn.Module):
    def __init__(self, stages):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(64), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x.mean(dim=(2, 3))


# %% [markdown]
# ### Exercise 03.7: the proof (4 minutes)
#
# Two networks are the same if, with the same weights, they give the same numbers. Write `prove`. It loads the weights of
# `theirs` into `mine` (a name that does not fit must be an error), runs both as they are used for embeddings, and returns the
# largest difference as a share of the largest number of `theirs`.


# %%
def prove(mine, theirs, images):  # two networks, (N, 3, H, W) -> a number
    ### BEGIN SOLUTION
    mine.load_state_dict(theirs.state_dict(), strict=True)
    mine.eval()
    theirs.eval()
    with torch.inference_mode():
        a, b = mine(images), theirs(images)
    return ((a - b).abs().max() / b.abs().max()).item()
    ### END SOLUTION


exercise("03.7").check(prove)
# exercise("03.7").hint()

# %% [markdown]
# And now all of it: your blocks, in your stages, with torchvision's weights, on eight real mammograms.

# %% tags=["nbval-ignore-output"]
Bottleneck = exercise("03.5").use(Bottleneck, otherwise=course.Bottleneck)
four_stages = exercise("03.6").use(four_stages, otherwise=course.four_stages)
prove = exercise("03.7").use(prove, otherwise=course.prove)
network = ResNet50(four_stages(Bottleneck))
share = prove(network, theirs, images)
print(f"8 × 2048 numbers, off from torchvision's by {share:.0e} of the largest")

# %% [markdown]
# ## What does it cost? (skip on a first reading)
#
# A convolution multiplies each of its weights once for each place of its output. Let us count, stage by stage. The network
# runs on the device `meta`, where tensors have shapes and no numbers, so that counting costs nothing.

# %%
with torch.device("meta"):
    original = resnet50(weights=None)
table = course.count(original)
print(f"{'part':8}{'parameters':>12}{'multiply-adds':>18}")
for part, (parameters, products) in table.items():
    print(f"{part:8}{parameters:12,}{products:18,}")
parameters, products = (sum(column) for column in zip(*table.values()))
print(f"{'all':8}{parameters:12,}{products:18,}")
print(f"without the classifier: {parameters - table['fc'][0]:,} parameters")

# %%
from torchvision.models import ResNet50_Weights

meta = ResNet50_Weights.IMAGENET1K_V2.meta
print(f"torchvision states {meta['num_params']:,} and {meta['_ops']:.2f} billion")

with torch.device("meta"):
    paper = resnet50(weights=None)
for module in paper.modules():
    if hasattr(module, "conv2") and module.conv2.stride == (2, 2):
        module.conv1.stride, module.conv2.stride = (2, 2), (1, 1)
fewer = sum(each for _, each in course.count(paper).values())
print(f"V1.5: {products / 1e9:.2f} billion; the paper's: {fewer / 1e9:.2f} billion")

# %% [markdown]
# 25.6 million parameters, 23.5 without the classifier, and 4.1 billion multiply-adds, as torchvision states them. He and
# others state 3.8 billion: they have the stride on the first 1 × 1, so that the 3 × 3 works on a quarter of the places. V1.5
# pays some 6% for looking at everything. Notice where the weights are, and where the work is. Stage 4 holds nearly two thirds
# of the weights (without the classifier), but a block costs about as much work in one stage as in the next: half the size
# leaves a quarter of the places, and twice the channels make four times the weights.

# %% [markdown]
# ## What do the first kernels look like? (skip on a first reading)
#
# Kernels of the first layer can be looked at: they have three channels, as a picture has. *Predict: what will a network that
# has seen a million photographs look for first?* If ResNet-50's weights are on your disk, these are its own. If not, they
# are those of EfficientNet-Lite0, which came with the course; the caption says which.

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots.resnet import first_kernels

pretrained = backbone.weights.pretrained
seen = backbone if pretrained else load_backbone("efficientnet_lite0")
first = next(m.weight for m in seen.module.modules() if isinstance(m, nn.Conv2d))
caption = f"The first kernels of {seen.name} ({seen.weights.id}). Gray: zero."
first_kernels(first.detach(), caption)

# %% [markdown]
# Light against dark in several directions, spots, and a good deal of colour. A mammogram has no colour. What these kernels
# make of it is the subject of lesson 04.

# %% [markdown]
# ## What becomes of a mammogram? (skip on a first reading)
#
# One mammogram on its way through the network. From each part we show the three maps that vary most over the picture.
# *Predict: from which stage on will you no longer recognise the breast?*

# %%
x, stages_out = images[2:3], {}
with torch.inference_mode():
    for name, part in parts_of(network).items():
        x = stages_out[name] = part(x)
        print(f"{name}: {tuple(x.shape[1:])}")

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots.resnet import maps_by_part

caption = f"Maps of {names[2]} after each part of ResNet-50, {label}."
maps_by_part({name: maps[0] for name, maps in stages_out.items()}, caption)

# %% [markdown]
# The outline survives for long, whatever the weights: even with random kernels a map is still a filtered picture. That is
# a warning too. *A pretty feature map proves nothing about what was learnt.*

# %% [markdown]
# ## What does the mean throw away?
#
# Before global average pooling a mammogram is 2048 maps of 7 × 7, some hundred thousand numbers. After it, 2048. *Predict: if
# you shuffle the 49 places of the last maps like a pack of cards, how far does the vector move?*


# %%
def share_moved(a, b):
    """How far b is from a, as a share of a's length, for each picture."""
    return (a - b).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1)


def last_maps(gray):
    with torch.inference_mode():
        x = replicate(gray, backbone.mean, backbone.std)
        return nn.Sequential(*parts_of(network).values())(x)


# %% tags=["hide-output", "nbval-ignore-output"]
last = last_maps(torch.from_numpy(pictures[2:3]))
order = torch.randperm(49, generator=torch.Generator().manual_seed(0))
shuffled = last.flatten(2)[:, :, order].view_as(last)
vector, of_shuffled = last.mean(dim=(2, 3)), shuffled.mean(dim=(2, 3))
print(f"numbers before: {last.numel():,}, after: {vector.numel():,}")
print(f"the maps moved by {share_moved(last, shuffled).item():.0%} of their length,")
print(f"the vector by {share_moved(vector, of_shuffled).item():.0e}: rounding")

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots.resnet import shuffled_places

shuffled_places(last[0], shuffled[0])

# %% [markdown]
# So the vector says *how much* of each feature there is, on average, and not *where*. That is why it tolerates a breast that
# lies a little higher. It is also why a small finding may drown: what fills one place of 49 counts one forty-ninth. Here is
# the first half of that, measured. We put each mammogram into a taller black frame, and then 32 pixels lower in the same frame:
# one place of the last map. Nothing of the breast is lost. *Predict: which moves further, the maps or the vector?*

# %% tags=["hide-output", "nbval-ignore-output"]
gray = torch.from_numpy(pictures)
high = last_maps(F.pad(gray, (0, 0, 32, 64)))  # left, right, above, below
low = last_maps(F.pad(gray, (0, 0, 64, 32)))
of_maps = share_moved(high, low)
of_vectors = share_moved(high.mean(dim=(2, 3)), low.mean(dim=(2, 3)))
print("picture         maps  vector")
for name, maps, vector in zip(names, of_maps, of_vectors):
    print(f"{name.replace('malign', 'malignant'):<15}{maps:5.0%}{vector:8.0%}")

# %% [markdown]
# In the stored run the maps move by nine tenths of their length, and the vectors by about a tenth. Why not by nothing? The
# border of the frame has not moved along, and neither has the padding around it.

# %% [markdown]
# ## Can you write it from memory? (skip on a first reading)
#
# You have seen all the parts. Come back tomorrow, close everything above, and write ResNet-50 again, whole this time:
# stem, pooling, blocks, stages, `forward`, and the classifier `fc` with its 1000 scores.

# %% [markdown]
# ### Exercise 03.8: ResNet-50 from memory (20 minutes)
#
# Write `from_memory`, with whatever classes you need inside it. It returns a new network, and torchvision's state dict must
# load into it strictly: every name, every shape, `fc` included.


# %%
def from_memory():  # -> an nn.Module: (N, 3, H, W) -> (N, 1000)
    ### BEGIN SOLUTION
    class Block(nn.Module):
        def __init__(self, inside, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(4 * width)
            self.downsample = nn.Identity()
            if stride != 1 or inside != 4 * width:
                conv = nn.Conv2d(inside, 4 * width, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(4 * width))

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            y = F.relu(self.bn2(self.conv2(y)))
            return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            inside = 64
            for n, depth in enumerate((3, 4, 6, 3)):
                blocks = []
                for place in range(depth):
                    blocks.append(Block(inside, 64 * 2**n, 2 if n and not place else 1))
                    inside = 4 * 64 * 2**n
                setattr(self, f"layer{n + 1}", nn.Sequential(*blocks))
            self.fc = nn.Linear(2048, 1000)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean(dim=(2, 3)))

    return Network()
    ### END SOLUTION


exercise("03.8").check(from_memory)
# exercise("03.8").hint()

# %% [markdown]
# The solved version of this lesson is [here](solutions/03_convolution_to_resnet50.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. A 5 × 5 convolution with a stride of 1 is to keep the size. Which padding does it need?</summary>
#
# 2: from n + 2p - 5 + 1 = n.
# </details>
#
# <details><summary>2. Two 3 × 3 convolutions, or one 5 × 5: which sees more, and which has fewer weights?</summary>
#
# Both see 5 × 5 pixels. Two 3 × 3 have 18 weights for each pair of channels, one 5 × 5 has 25. And there is a ReLU between
# the two.
# </details>
#
# <details><summary>3. Your block gives torchvision's numbers with fresh weights, but not with trained ones. Where do you look?</summary>
#
# At batch normalisation. With a mean of 0, a variance of 1, a scale of 1 and a shift of 0, nearly every mistake in it
# stays hidden.
# </details>
#
# <details><summary>4. Why does the first block of stage 1 have a projection, although its stride is 1?</summary>
#
# The stem gives 64 channels, and the block 256. They cannot be added.
# </details>
#
# <details><summary>5. May you fold batch normalisation into the convolution while training?</summary>
#
# No. In training its mean and variance change with every batch; only in evaluation are they fixed.
# </details>
#
# <details><summary>6. A lesion fills one of the 49 places. By how much can it move a feature of the vector?</summary>
#
# By a forty-ninth of what it does to its own place, unless it changes other places too, which the wide receptive field
# allows.
# </details>

# %% [markdown]
# ## Recap
#
# A convolution is a window of products and sums; size, field and jump follow from kernel, stride and padding. Batch
# normalisation uses the batch in training and fixed numbers afterwards, and then it folds into the convolution before it.
# A bottleneck goes down, looks around, goes up and adds its input. Sixteen of them in four stages, with a stem before
# and a mean after, are ResNet-50: 23.5 million parameters, 4.1 billion multiply-adds, 2048 numbers. Nobody told you so: you
# have proven it.

# %% [markdown]
# ## Go further
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*. CVPR 2016.
#   [arXiv 1512.03385](https://arxiv.org/abs/1512.03385). Figure 1 and Section 4.1 are what Hanna and Omar disagree about;
#   Table 1 is the network.
# - torchvision's note on [ResNet](https://docs.pytorch.org/vision/stable/models/resnet.html): where V1.5 puts the stride.
# - S. Ioffe, C. Szegedy: *Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift*.
#   ICML 2015. [arXiv 1502.03167](https://arxiv.org/abs/1502.03167).
# - PyTorch's documentation of [BatchNorm2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html): which
#   variance is used where.
# - V. Dumoulin, F. Visin: *A guide to convolution arithmetic for deep learning*. 2016.
#   [arXiv 1603.07285](https://arxiv.org/abs/1603.07285). The shape rule, in pictures.
# - A. Araujo, W. Norris, J. Sim: *Computing Receptive Fields of Convolutional Neural Networks*. Distill, 2019.
#   [doi 10.23915/distill.00021](https://doi.org/10.23915/distill.00021).
# - W. Luo, Y. Li, R. Urtasun, R. Zemel: *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*.
#   NeurIPS 2016. [arXiv 1701.04128](https://arxiv.org/abs/1701.04128).
# - G. Yang, J. Pennington, V. Rao, J. Sohl-Dickstein, S. S. Schoenholz: *A Mean Field Theory of Batch Normalization*. ICLR
#   2019. [arXiv 1902.08129](https://arxiv.org/abs/1902.08129). Why gradients grow in deep plain networks.
# - M. Lin, Q. Chen, S. Yan: *Network In Network*. ICLR 2014. [arXiv 1312.4400](https://arxiv.org/abs/1312.4400). Where 1 × 1
#   convolutions and global average pooling come from.
#
# **Next:** [lesson 04](04_grayscale_adaptation.ipynb), one gray channel into a network that expects three.
