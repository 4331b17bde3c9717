# %% [markdown]
# # 03 · From convolution to ResNet-50
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - write convolution and batch normalisation from their formulas, and fold one into the other
# - say what a number deep in a network can have seen of a mammogram
# - build the bottleneck and the four stages of ResNet-50, and count what they cost
# - prove that your network and torchvision's give the same 2048 numbers
# - show with gradients what a shortcut changes, and what it does not
#
# **Prerequisites.** [Lesson 02](02_preprocessing.ipynb): a mammogram as a square picture. Arrays in NumPy, tensors in
# PyTorch, and what a gradient is. You need never have built a network.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 60 min | under 45 s | under 3 GB | none | not needed |

# %% [markdown]
# ## What can nine numbers see?
#
# A network begins with windows. Lay a *kernel*, here 3 × 3 numbers, on a picture; multiply each number with the pixel below
# it; add up the nine products. That is one pixel of a new picture. Then move the window one column on, and do it again.
#
# Below is a piece of a real mammogram: dense tissue at the lower left, fat at the upper right. *Predict: with the kernel
# `edge, across`, which is negative on the left and positive on the right, where will the sums be far from zero? And what
# sign will they have on the border of the dense tissue?*

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

# %%
import ipywidgets

from course_utils.plots import convolution_window
from course_utils.teaching.widgets import LivePicture

KERNELS = {
    "edge, across": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "edge, down": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "mean": [[1 / 9] * 3] * 3,
    "spot": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}


# %%
def slide(kernel="edge, across", my_own="0 0 0\n0 1 0\n0 0 0", row=8, column=20):
    numbers = KERNELS.get(kernel) or [[float(n) for n in line.split()] for line in my_own.splitlines()]
    return convolution_window(patch, numbers, row, column)


editor = ipywidgets.Textarea("0 0 0\n0 1 0\n0 0 0", description="my own", rows=3, continuous_update=False)
LivePicture(slide, kernel=[*KERNELS, "my own"], my_own=editor, row=(0, 27), column=(0, 37))

# %% [markdown]
# (Where a kernel of Jupyter's runs, you can move the window, and write a kernel of your own: three lines of three numbers,
# then choose `my own`. On a web page you see one position.) On the border the pixels get darker to the right, so the right
# column weighs less than the left one, and the sums are negative: violet. Where the tissue is even, they cancel.
#
# A network's kernel looks at several *channels* at once, and there are many kernels. For kernel $o$ and place $(i, j)$:
#
# $$y_{o,i,j} = \sum_{c=1}^{C} \sum_{a=0}^{k-1} \sum_{b=0}^{k-1} w_{o,c,a,b}\; x_{c,\; s i + a - p,\; s j + b - p}$$
#
# Here $x$ is the input with $C$ channels, $w$ holds the kernels, $k$ is their size, and $y$ has one channel, or *map*, for each
# kernel. The *stride* $s$ says how far the window moves each time. The *padding* $p$ says how many rows and columns of zeros
# are laid around the input; whatever of $x$ lies outside counts as 0.
#
# *How large is $y$?* Of $n + 2p$ rows the window covers $k$, so it can move down by $n + 2p - k$, in steps of $s$. Hence the
# **shape rule**: $\lfloor (n + 2p - k) / s \rfloor + 1$ places. The + 1 is the place where it starts.

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
# From here on the lesson goes on with *your* functions wherever they are right, and with the library's elsewhere. (So you
# can skip an exercise and come back.) First ResNet-50's own first convolution on a mammogram: 64 kernels, 7 × 7, stride 2,
# padding 3. The kernels here are random.

# %%
import torch
import torch.nn.functional as F


def ready(number, answer):
    return exercise(number).judge(answer).state == "right"


def library_convolve(x, kernels, stride=1, padding=0):
    return F.conv2d(torch.from_numpy(x)[None], torch.from_numpy(kernels), None, stride, padding)[0].numpy()


# %%
colour = np.repeat(pictures[5], 3, axis=0)
kernels = np.random.default_rng(0).standard_normal((64, 3, 7, 7)).astype(np.float32)
by_hand = (convolve if ready("03.1", convolve) else library_convolve)(colour, kernels, 2, 3)
reference = library_convolve(colour, kernels, 2, 3)
error = np.abs(by_hand - reference).max() / np.abs(reference).max()
print(by_hand.shape, "equal to torch.nn.functional.conv2d within 1e-5:", error < 1e-5)

# %% [markdown]
# ## Is that a convolution at all?
#
# Ruth, who studied signals, says: *"A convolution flips the kernel. What you wrote is a correlation."* Leo says: *"It is
# called Conv2d. So it is a convolution."* SciPy has both, and settles it:

# %%
from scipy.signal import convolve2d, correlate2d

kernel = np.array(KERNELS["edge, across"], np.float32)
ours = library_convolve(patch[None], kernel[None, None])[0]
for scipys in (correlate2d, convolve2d):
    same = np.allclose(ours, scipys(patch, kernel, "valid"), atol=1e-5)
    print(f"torch's conv2d is SciPy's {scipys.__name__}:", same)

# %% [markdown]
# Ruth is right about the word. To a network it makes no difference, since it learns its kernels and would learn them
# flipped. To you it does, the day you carry kernels from one library to another.

# %% [markdown]
# ## How much of the breast can one number see?
#
# A number in the first map has seen 7 × 7 pixels. A number in a later map has seen several of those, which lie side by side,
# so it has seen more: its *receptive field*. Two numbers describe how it grows from layer to layer. The *jump* is how many
# pixels of the picture two neighbours in this map lie apart. The *field* is how many pixels, along one side, one number sees.
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
# We ask torchvision's ResNet-50 after its *stem* (the convolution, then *max pooling*, a window that keeps its largest number)
# and after each of its four *stages*, on a large picture of noise. *Predict: in what the course feeds in, a breast is up to 224 pixels high. After which stage does
# one number see all of it?*

# %%
from torchvision.models import resnet50


def parts_of(network):
    """The stem and the four stages, each as one module."""
    stem = torch.nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return {"stem": stem, **{f"stage {n}": getattr(network, f"layer{n}") for n in (1, 2, 3, 4)}}


# %%
_ = torch.manual_seed(0)
noise = torch.rand(1, 3, 448, 448, requires_grad=True)
maps, measured = noise, {}
for name, part in parts_of(resnet50(weights=None).eval().requires_grad_(False)).items():
    maps = part(maps)
    middle = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum()
    (gradient,) = torch.autograd.grad(middle, noise, retain_graph=True)
    measured[name] = int(gradient.abs().amax(dim=(0, 1, 2)).count_nonzero())
del maps, middle, gradient  # or the network's inner numbers stay in memory
print("measured:", measured)

# %%
block, halving = [(1, 1, 0), (3, 1, 1), (1, 1, 0)], [(1, 1, 0), (3, 2, 1), (1, 1, 0)]
stem = [(7, 2, 3), (3, 2, 1)]
stages = [stem, 3 * block, halving + 3 * block, halving + 5 * block, halving + 2 * block]
if ready("03.2", through):
    fields = [through([layer for stage in stages[: n + 1] for layer in stage], 224)[1] for n in range(5)]
    print("your rule:", fields, "the same:", fields == list(measured.values()))

# %%
from course_utils.plots import receptive_fields

receptive_fields(pictures[2], measured, centre=(130, 56))

# %% [markdown]
# After stage 3 one number in the middle sees the whole breast, the ground beside it, and a good deal of padding. So the last
# maps of a ResNet-50 hold no strictly local findings: each of their 7 × 7 numbers may know of nearly the whole picture. May,
# not must. Luo and others, under *Go further*, show that the middle of a field counts far more than its rim.

# %% [markdown]
# ## Why normalise in the middle of a network?
#
# Send eight mammograms of two women through twenty layers: each a convolution with freshly drawn kernels, and a *ReLU*, which
# makes negative numbers 0 and leaves the others as they are. *Predict: how different are the eight
# when they come out?* We measure by how much they differ at a place, as a share of the numbers themselves.

# %%
from torch import nn

_ = torch.manual_seed(0)
convs = [nn.Conv2d(16 if n else 1, 16, 3, padding=1) for n in range(20)]
for normalise in (False, True):
    y = F.interpolate(torch.from_numpy(pictures), (56, 56), mode="area")
    with torch.inference_mode():
        for conv in convs:
            y = F.batch_norm(conv(y), None, None, training=True) if normalise else conv(y)
            y = F.relu(y)
    differ = (y.std(dim=0).mean() / y.mean()).item()
    print(f"normalised: {normalise!s:5}  differ by less than a hundred thousandth:", differ < 1e-5)

# %% [markdown]
# Without normalisation all eight have become the same picture, to five digits and more. Each layer shrinks what differs and
# adds its *bias*, one number for each kernel, and soon the biases are all that is left. Batch normalisation puts every channel back in order, after each convolution. In
# **training** it takes the mean $\mu_c$ and the variance $\sigma_c^2$ of channel $c$ over all pictures of the batch and all
# places in them:
#
# $$y = \gamma_c \, \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c$$
#
# with a scale $\gamma_c$ and a shift $\beta_c$ that are learnt, and a small $\epsilon$ against division by zero. *Predict:
# is the variance divided by $n$ or by $n - 1$?*

# %% [markdown]
# ### Exercise 03.3: batch normalisation in training (6 minutes)
#
# Write `batch_norm` as it is in training. `x` is (N, C, H, W); `gamma` and `beta` are (C,). Divide the variance by $n$: it
# is the *biased* one.


# %%
def batch_norm(x, gamma, beta, eps):  # (N, C, H, W), (C,), (C,), a number -> (N, C, H, W)
    ### BEGIN SOLUTION
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    var = x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    return gamma.view(1, -1, 1, 1) * (x - mean) / (var + eps).sqrt() + beta.view(1, -1, 1, 1)
    ### END SOLUTION


exercise("03.3").check(batch_norm)
# exercise("03.3").hint()

# %% [markdown]
# In **evaluation** a picture must not feel its neighbours (lesson 05 shows what happens if it does). So the layer keeps a
# running mean and a running variance while it trains, and uses those. *And by what does it divide the one that it keeps?*

# %%
_ = torch.manual_seed(0)
layer = nn.BatchNorm2d(1, momentum=1.0)  # 1.0: the statistics become those of this batch
x = torch.randn(2, 1, 2, 2)  # 8 numbers
y = layer.train()(x)

divided_by = {"n": x.var(unbiased=False), "n - 1": x.var(unbiased=True)}
for name, var in divided_by.items():
    normalised = torch.allclose(y, (x - x.mean()) / (var + layer.eps).sqrt(), atol=1e-5)
    kept = torch.allclose(layer.running_var, var)
    print(f"variance by {name:5}: used to normalise: {normalised!s:5}  kept: {kept}")

# %% [markdown]
# Both, one for each purpose. With eight pictures of 56 × 56 the two differ by less than a ten thousandth; with a batch of
# 2 and maps of 1 × 1 the two differ by a factor of 2.

# %% [markdown]
# ## Does batch normalisation cost anything?
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
# Now on a whole ResNet-50, with all 53 pairs of it. Where its ImageNet weights are on your disk, these are used. Where they
# are not, the weights are RANDOM (nothing is downloaded in a lesson), and we let batch normalisation see the eight
# mammograms once, with scales and shifts drawn at random. For a proof that is as good: a fold that ignores
# the statistics passes with a mean of 0 and a variance of 1, and with nothing else.

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
            nn.init.uniform_(module.weight, 0.5, 1.5), nn.init.normal_(module.bias, 0, 0.1)
    _ = theirs.train()(images)
_ = theirs.eval()

# %%
import copy

from course_utils.embedding.backbones import fuse_conv_bn

if ready("03.4", fold):
    kernels, bias = fold(theirs.conv1.weight, theirs.bn1)
    one = F.conv2d(images, kernels, bias, stride=2, padding=3)
    two = theirs.bn1(theirs.conv1(images))
    error = ((one - two).abs().max() / two.abs().max()).item()
    print("your fold of the first pair, within 1e-5:", error < 1e-5)

# %%
exact = copy.deepcopy(theirs).double()  # 16 digits, so that rounding hides no mistake
folded = copy.deepcopy(exact)
fuse_conv_bn(folded)  # the course's own, which `course embed` runs
with torch.inference_mode():
    before, after = exact(images.double()), folded(images.double())
error = ((before - after).abs().max() / before.abs().max()).item()
print("all 53 pairs, 8 × 2048 numbers, within 1e-10:", error < 1e-10)
left = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
print("batch normalisations left:", left)
del exact, folded

# %% [markdown]
# In double precision only the last of 16 digits move. In single precision, with its 7 digits, the two differ
# a little more, since rounding now happens in other places; but no information is lost, and 53 layers less have to be run.

# %% [markdown]
# ## Why not simply make it deeper?
#
# A network learns from gradients. They are made at its end and travel back, layer by layer, and each layer multiplies them
# by something. *Predict: 56 layers, each multiplying by 0.4. What arrives at the first?* Below, a network with
# layers in pairs, 16 channels, at a size of 32 × 32, freshly drawn, asked to tell the four benign films from the four malign
# ones. With and without batch normalisation; with and without a *shortcut* that adds the input of each pair to its output.


# %%
class Tower(nn.Module):
    def __init__(self, depth, shortcut, norm):
        super().__init__()
        self.first, self.last, self.shortcut = nn.Conv2d(1, 16, 3, padding=1), nn.Linear(16, 2), shortcut
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm2d(16) if norm else nn.Identity() for _ in range(depth))

    def forward(self, x):
        x = F.relu(self.first(x))
        for n in range(0, len(self.convs), 2):
            y = F.relu(self.norms[n](self.convs[n](x)))
            y = self.norms[n + 1](self.convs[n + 1](y))
            x = F.relu(x + y if self.shortcut else y)
        return self.last(x.mean(dim=(2, 3)))


# %%
small = F.interpolate(torch.from_numpy(pictures).double(), (32, 32), mode="area")
target = torch.tensor([case == "malign" for case in real.case]).long()
kinds = [("plain", False, False), ("plain, batch norm", False, True)]
kinds += [("shortcuts", True, False), ("shortcuts, batch norm", True, True)]
norms = {}
for name, shortcut, norm in kinds:
    for depth in (8, 20, 56):
        _ = torch.manual_seed(0)
        tower = Tower(depth, shortcut, norm).double()
        F.cross_entropy(tower(small), target).backward()
        norms[name, depth] = [conv.weight.grad.norm().item() for conv in tower.convs]

# %%
from matplotlib.figure import Figure

from course_utils.plots import PALETTE, Illustration

figure = Figure(figsize=(6.4, 4.6), layout="constrained")
for axes, (name, *_) in zip(figure.subplots(2, 2, sharex=True, sharey=True).flat, kinds):
    for (depth, style), ink in zip({8: "o-", 20: "s--", 56: "^:"}.items(), PALETTE["light"]):
        place = np.arange(1, depth + 1) / depth
        axes.semilogy(place, norms[name, depth], style, color=ink, ms=3, lw=1.2, label=f"{depth} layers")
    _ = axes.set_title(name, fontsize=10)
_ = axes.legend(fontsize=8)
_ = figure.supxlabel("layer, from the first (0) to the last (1)", fontsize=9)
_ = figure.supylabel("norm of the gradient of its kernels", fontsize=9)

# %%
caption = "What reaches each layer before training. Above: without shortcuts. Below: with them."
alt = (
    "Gradient norms by layer for 8, 20 and 56 layers. Plain: falling steeply towards the first layer. "
    "Plain with batch norm: growing towards it. With shortcuts, with and without batch norm: nearly level."
)
Illustration(figure, caption, alt)

# %%
ratio = {kind: of[0] / of[-1] for (kind, depth), of in norms.items() if depth == 56}
print("At 56 layers, the first gets, compared with the last,")
print("plain:                 less than a billionth:", ratio["plain"] < 1e-9)
print("shortcuts:             more than a tenth:    ", ratio["shortcuts"] > 0.1)
print("plain, batch norm:     more than 100 times:  ", ratio["plain, batch norm"] > 100)
print("shortcuts, batch norm: less than 100 times:  ", ratio["shortcuts, batch norm"] < 100)

# %% [markdown]
# Hanna says: *"ResNet was invented against the vanishing gradient."* Omar says: *"Read the paper. Its plain networks have
# batch normalisation, and the authors write that vanishing gradients are unlikely to be the cause."*
#
# Both have a point. Without batch normalisation the gradient of a plain network vanishes, and shortcuts alone repair that,
# since the sum $x + f(x)$ passes the gradient on as it is, whatever $f$ does. With batch normalisation it does not vanish;
# in a deep plain network it *grows* towards the first layer (Yang and others derive why, for wide networks before
# training), and shortcuts tame that as well. But He and others asked something else: why does a plain network of 56 layers
# end with a higher *training* error than one of 20? It could copy the 20 and let the other layers pass everything through.
# They suspect that passing on is hard to learn for convolutions and ReLUs, and easy if the layers need only learn *zero*.
# Gradients before training cannot settle that. Training can, and their Figure 1 shows what came of it.

# %% [markdown]
# ## What is a bottleneck?
#
# ResNet-50 does not pair two 3 × 3 convolutions. Its block goes down with a 1 × 1 to a quarter of the channels, looks around
# with a 3 × 3 there, and goes up again with a 1 × 1. (A 1 × 1 convolution sees one place only, and mixes its channels.)
# *Predict: for 256 channels, how many times fewer weights is that than two 3 × 3 at full width?*

# %%
wide = 2 * 256 * 256 * 3 * 3
bottleneck = 256 * 64 + 64 * 64 * 3 * 3 + 64 * 256
print(f"two 3 × 3 at 256 channels: {wide:>9,} weights")
print(f"the bottleneck:            {bottleneck:>9,}, {wide / bottleneck:.0f} times fewer")
print(f"two 3 × 3 at 64 channels:  {2 * 64 * 64 * 3 * 3:>9,}")

# %% [markdown]
# For the price of two plain layers of 64 channels you get maps of 256. The width in the middle is called `width`, and what
# comes out has `4 * width` channels; the 4 is the *expansion*.
#
# The block adds its input at the end. Where the input has other channels or another size than the output, it must be brought
# there first, by a 1 × 1 convolution and a batch normalisation of its own: a *projection* shortcut, which torchvision calls
# `downsample`. Where they agree, nothing is done: an *identity* shortcut. ReLU comes after the sum.
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
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outside, 1, bias=False), nn.BatchNorm2d(outside)
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
# The stem makes 64 maps of 56 × 56 from a picture. Then come four stages, of 3, 4, 6 and 3 blocks, with a `width` of 64,
# 128, 256 and 512. The first block of stages 2, 3 and 4 has a stride of 2. So maps go from 56 to 28, 14 and 7, and channels
# from 256 to 2048. Where do the fifty come from? 1 + 3 · (3 + 4 + 6 + 3) = 49 convolutions, and the *classifier*, the
# last layer that makes 1000 kinds of things of the 2048 numbers. We leave it out. (The four projections are not counted.)

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
        stages.append(nn.Sequential(first, *[block(inside, width) for _ in range(depth - 1)]))
    return stages
    ### END SOLUTION


exercise("03.6").check(four_stages)
# exercise("03.6").hint()

# %% [markdown]
# The rest is short. The mean over all places at the end, *global average pooling*, makes one number of each of 2048 maps:


# %%
class ResNet50(nn.Module):
    def __init__(self, stages):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
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

# %%
answers = {"03.5": Bottleneck, "03.6": four_stages, "03.7": prove}
missing = [number for number, answer in answers.items() if not ready(number, answer)]
if missing:
    print("This needs", *missing, "first. Until then the lesson goes on with torchvision's network.")
    network = theirs
else:
    network = ResNet50(four_stages(Bottleneck))
    print("the same 2048 numbers, eight times, within 1e-5:", prove(network, theirs, images) < 1e-5)

# %% [markdown]
# ## What does it cost?
#
# A convolution multiplies each of its weights once for each place of its output. Let us count, stage by stage. We
# run a network on the device `meta`, where tensors have shapes and no numbers, so that counting costs nothing.


# %%
def count(network, size=224):
    """{part: [parameters, multiply-adds]}, the classifier as `fc`."""
    found = {}

    def note(name, module, output):
        places = output.shape[2:].numel() if output.ndim == 4 else 1
        part = {"conv1": "stem", "bn1": "stem"}.get(name.split(".")[0], name.split(".")[0])
        sums = found.setdefault(part, [0, 0])
        sums[0] += sum(p.numel() for p in module.parameters())
        sums[1] += module.weight.numel() * places * (module.weight.ndim > 1)  # batch norm folds away

    for name, module in network.named_modules():
        if hasattr(module, "weight"):
            module.register_forward_hook(lambda m, _, out, name=name: note(name, m, out))
    network(torch.empty(1, 3, size, size, device="meta"))
    return found


# %%
with torch.device("meta"):
    original = resnet50(weights=None)
table = count(original)
print(f"{'part':8}{'parameters':>12}{'multiply-adds':>18}")
for part, (parameters, products) in table.items():
    print(f"{part:8}{parameters:12,}{products:18,}")
parameters, products = (sum(column) for column in zip(*table.values()))
print(f"{'all':8}{parameters:12,}{products:18,}")
print(f"without the classifier: {parameters - table['fc'][0]:,} parameters")

# %%
from torchvision.models import ResNet50_Weights

meta = ResNet50_Weights.IMAGENET1K_V2.meta
print("parameters as torchvision states them:    ", meta["num_params"] == parameters)
print("multiply-adds as torchvision states them: ", f"{meta['_ops']:.2f}" == f"{products / 1e9:.2f}")

with torch.device("meta"):
    paper = resnet50(weights=None)
for module in paper.modules():
    if hasattr(module, "conv2") and module.conv2.stride == (2, 2):
        module.conv1.stride, module.conv2.stride = (2, 2), (1, 1)
fewer = sum(each for _, each in count(paper).values())
print(f"V1.5: {products / 1e9:.2f} billion; with the paper's stride: {fewer / 1e9:.2f} billion")

# %% [markdown]
# 25.6 million parameters, 23.5 without the classifier, and 4.1 billion multiply-adds. He and others state 3.8 billion:
# that is the stride on the first 1 × 1, where the 3 × 3 works on a quarter of the places. So V1.5 pays some 6% for looking
# at everything. Notice where the weights are, and where the work is. Stage 4 holds nearly two thirds of the weights (without
# the classifier), but a block costs about as much work in one stage as in the next: half the size leaves a quarter of the
# places, twice the channels make four times the weights.

# %% [markdown]
# ## What do the first kernels look like?
#
# Kernels of the first layer can be looked at: they have three channels, as a picture has. *Predict: what will a network that
# has seen a million photographs look for first?* If ResNet-50's weights are on your disk, these are its own. If not, they
# are those of EfficientNet-Lite0, which came with the course; the caption says which.

# %% tags=["nbval-ignore-output"]
seen = backbone if backbone.weights.pretrained else load_backbone("efficientnet_lite0")
first = next(m for m in seen.module.modules() if isinstance(m, nn.Conv2d)).weight.detach()
columns, rows = (8, 8) if len(first) == 64 else (8, 4)
figure = Figure(figsize=(5.6, 0.7 * rows), layout="constrained")
for axes, kernel in zip(figure.subplots(rows, columns).flat, first):
    _ = axes.imshow((0.5 + 0.5 * kernel / kernel.abs().max()).permute(1, 2, 0).numpy())
    axes.set_axis_off()
caption = f"The first kernels of {seen.name} ({seen.weights.id}). Gray: zero. Each has its own scale."
alt = "Small squares, one a kernel: edges of light and dark in several directions, and patches of colour."
Illustration(figure, caption, alt)

# %% [markdown]
# Light against dark in several directions, spots, and a good deal of colour. A mammogram has no colour. What these kernels
# make of it is the subject of lesson 04.

# %% [markdown]
# ## What becomes of a mammogram?
#
# One mammogram on its way. From each part we show the three maps that vary most over the picture. *Before you look: from
# which stage on will you no longer recognise the breast?*

# %%
x, stages_out = images[2:3], {}
with torch.inference_mode():
    for name, part in parts_of(network).items():
        x = stages_out[name] = part(x)
print(*[f"{name}: {tuple(maps.shape[1:])}" for name, maps in stages_out.items()], sep="\n")

# %% tags=["nbval-ignore-output"]
figure = Figure(figsize=(6.4, 4.1), layout="constrained")
for column, (name, maps) in zip(figure.subplots(3, 5).T, stages_out.items()):
    _ = column[0].set_title(f"{name}\n{maps.shape[2]} × {maps.shape[3]}", fontsize=9)
    for axes, number in zip(column, maps[0].std(dim=(1, 2)).topk(3).indices):
        _ = axes.imshow(maps[0, number], cmap="gray")
        axes.set_axis_off()
caption = f"Maps of {names[2]} after each part of ResNet-50, {label}. "
caption += "Each from its least (black) to its largest (white)."
alt = "Three maps after the stem and each of four stages: a sharp breast first, at last 7 by 7 squares."
Illustration(figure, caption, alt)

# %% [markdown]
# The outline survives for long, whatever the weights: with kernels drawn at random a map is still a filtered picture. That is
# a warning too. *A pretty feature map proves nothing about what was learnt.*

# %% [markdown]
# ## What does the mean throw away?
#
# Before global average pooling a mammogram is 2048 maps of 7 × 7, some hundred thousand numbers. After it, 2048. *Predict: if
# you shuffle the 49 places of the last maps like a pack of cards, how far does the vector move?*

# %%
last = stages_out["stage 4"]
vector = last.mean(dim=(2, 3))
order = torch.randperm(49, generator=torch.Generator().manual_seed(0))
shuffled = last.flatten(2)[:, :, order].view_as(last)
print(f"numbers before: {last.numel():,}, after: {vector.numel():,}")
print("maps moved:  ", not torch.equal(shuffled, last))
print("vector moved:", not torch.allclose(shuffled.mean(dim=(2, 3)), vector, rtol=1e-5))

# %%
figure = Figure(figsize=(6.4, 2.3), layout="constrained")
left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.5))
number = int(last[0].std(dim=(1, 2)).argmax())
for axes, maps, title in ((left, last, "one map"), (middle, shuffled, "shuffled")):
    _ = axes.imshow(maps[0, number], cmap="gray")
    _ = axes.set(xticks=[], yticks=[], title=title)
_ = right.plot(vector[0, :16], "o", mfc="none", ms=8, label="before")
_ = right.plot(shuffled.mean(dim=(2, 3))[0, :16], "x", label="shuffled")
_ = right.set(xlabel="feature", ylabel="value", title="16 of 2048", ylim=(0, None))
_ = right.legend(fontsize=8)
caption = "Left: a map of stage 4, and its places shuffled. Right: the vector does not notice."
alt = "Two 7 by 7 maps, one shuffled; beside them 16 features, where circles and crosses coincide."
Illustration(figure, caption, alt)

# %% [markdown]
# So the vector says *how much* of each feature there is, on average, and not *where*. That is why it tolerates a breast that
# lies a little higher. It is also why a small finding may drown: what fills one place of 49 counts one forty-ninth. Here is
# the first half of that, measured. We move each mammogram down by 32 pixels, one place of the last map, and compare maps and vectors.

# %%
moved = torch.roll(images, 32, dims=2)
with torch.inference_mode():
    both = [nn.Sequential(*parts_of(network).values())(each) for each in (images, moved)]


def share(a, b):
    """How far b is from a, as a share of a's length, for each of the eight."""
    return (a - b).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1)


maps_moved = share(*both)
vectors_moved = share(*[maps.mean(dim=(2, 3)) for maps in both])
print("the vector moves less far than the maps:", int((vectors_moved < maps_moved).sum()), "of 8")

# %% [markdown]
# The solved version of this lesson is [here](solutions/03_convolution_to_resnet50.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. A 5 × 5 convolution with a stride of 1 is to keep the size. Which padding?</summary>
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
# At batch normalisation: with a mean of 0, a variance of 1, a scale of 1 and a shift of 0 nearly every mistake in it
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
# By a forty-ninth of what it does to its place, unless it changes other places too, which the wide receptive field allows.
# </details>

# %% [markdown]
# ## Recap
#
# A convolution is a window of products and sums; size, field and jump follow from kernel, stride and padding. Batch
# normalisation uses the batch in training and fixed numbers afterwards, and then it folds into the convolution before it.
# A bottleneck goes down, looks around, goes up and adds its input. Sixteen of them in four stages, with a stem before
# and a mean after, are ResNet-50: 23.5 million parameters, 4.1 billion multiply-adds, 2048 numbers. You have not been told
# so. You have proven it.

# %% [markdown]
# ## Go further
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*. CVPR 2016.
#   [arXiv 1512.03385](https://arxiv.org/abs/1512.03385). Figure 1 and Section 4.1 are what Hanna and Omar quarrel about;
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
