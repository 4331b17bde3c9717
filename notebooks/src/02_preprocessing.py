# %% [markdown]
# # 02 · Preprocessing: from a mammogram to a square picture
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - find the breast in a mammogram, and leave letters, film edges and noise behind
# - crop, turn, resize and pad without losing, bending or inventing tissue
# - measure what a preprocessing step costs, in tissue and in the embedding
# - say what preprocessing must never do
#
# **Prerequisites.** [Lesson 01](01_mammograms_as_dicom.ipynb): reading a mammogram right. Functions and slices of NumPy
# arrays. From statistics, mean and standard deviation.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 60 min | under 45 s | under 3 GB | none | not needed |

# %% [markdown]
# ## What arrives at the network?
#
# Nearly every tutorial prepares a photograph for ResNet-50 in the same way: resize it until its shorter side has 256
# pixels, then cut 224 × 224 out of the centre. That suits photographs, since people put what they photograph in the centre.
# Here are two real mammograms of one woman, seen from above and obliquely, with that cut outlined. *Predict: how much of
# the breast does it throw away? A twentieth? A tenth? A quarter?* Note your guess: you will measure it.

# %%
from course_utils.imaging import read_mammogram
from course_utils.imaging.datasets import real_mammograms, sample_cohort
from course_utils.imaging.preprocess import shrink

real = real_mammograms()
names = [f"{row.case} {row.laterality}{row.view}" for row in real.itertuples()]
mammograms = dict(zip(names, map(read_mammogram, real.path)))
small = [shrink(mammogram.pixels)[0] for mammogram in mammograms.values()]  # for the page


def centre_cut(shape):
    """The rows and the columns that the recipe for photographs keeps."""
    side = min(shape) * 224 / 256
    return [(round((n - side) / 2), round((n + side) / 2)) for n in shape]


# %%
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_utils.plots import Illustration

figure = Figure(figsize=(2.9, 2.4), layout="constrained")
for axes, name, picture in zip(figure.subplots(1, 2), names[4::3], small[4::3]):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    (top, bottom), (left, right) = centre_cut(picture.shape)
    _ = axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec="#E69F00", lw=1.6))
    _ = axes.set_title(name, fontsize=8)
    axes.set_axis_off()
caption = "Two views, as read. Outlined: what the recipe for photographs keeps."
alt = "Two mammograms, taller than wide, each with a square outlined that cuts the breast above and below."
Illustration(figure, caption, alt)

# %% [markdown]
# Look again, at what is *not* breast. There are letters in the dark, cut off by the edge of the film. The film ends in a
# thin bright border. More than half of each picture is dark *ground*, as we shall call what lies behind the breast. And one
# breast looks left, the other right.
#
# None of that is anatomy, and all of it reaches the network unless somebody takes it out. This lesson takes it out, one
# step at a time, and measures at each step what happens without it.

# %% [markdown]
# ## What does the course do instead?
#
# A `Preprocessor` turns a mammogram into a square picture. Its `trace` keeps the picture after each step:

# %%
from course_utils.imaging import Preprocessor
from course_utils.plots import one_step, preprocessing_steps

preprocess = Preprocessor(size=512)
preprocessing_steps(preprocess.trace(mammograms["malign RMLO"]))

# %% [markdown]
# `read` is where lesson 01 left off. `crop` cuts to the breast's own box. `resize` makes the longer side 512 pixels and
# keeps the proportions. `mask` sets to black whatever is not breast. `orient` turns the chest wall to the left. `pad` fills
# up to a square, with black, on the side away from the chest wall.
#
# Look closely at 3 and 4. The white edge of the film, at the top and along the chest wall, is cut off with what is not breast:
# an edge has the same depth all along, and that is how it is told from bright tissue that touches the border. But the white
# speck beside the breast has stayed, since it lies within the outline. A mask is an estimate; you will see in a moment how good
# it is where the truth is known.
#
# Walk through it yourself: move `step`, choose another `file`, and leave a step out. *Before you leave out `crop`: what
# will be smaller then?* (On a web page you see one position. Where a kernel runs, the controls are alive.)

# %%
cohort = sample_cohort()
files = mammograms | {path.stem: read_mammogram(path) for path in cohort.path}
print(len(mammograms), "real files and", len(cohort), "synthetic ones")

# %%
from course_utils.teaching.widgets import LivePicture

left_out = {step: {step: False} for step in ("crop", "mask", "orient")}
left_out = {"nothing": {}, **left_out, "pad (it stretches)": {"keep_aspect": False}}


def walk(step=2, file="malign RMLO", leave_out="nothing"):
    return one_step(Preprocessor(**left_out[leave_out]).trace(files[file]), step)


LivePicture(walk, step=(1, 6), file=list(files), leave_out=list(left_out))

# %% [markdown]
# ## Where is the breast?
#
# It is brighter than the ground, so draw a line: what is brighter than some threshold is breast. **Otsu's method** finds
# the threshold $t$ for you. It takes the one at which the two sides differ most, that is, at which
# $w_0(t)\, w_1(t)\, (\mu_0(t) - \mu_1(t))^2$ is largest, where $w_0$ and $w_1$ are the shares of pixels below and above
# $t$, and $\mu_0$ and $\mu_1$ their mean grays.
#
# For a synthetic mammogram we know which pixels are tissue, so we can grade the method. This one comes with letters and the
# edge of a film. *Predict two mistakes: what will be in that should not be, and what will be missing?*

# %%
import tempfile
from pathlib import Path

import cv2
import numpy as np

from course_utils import phantoms
from course_utils.imaging.preprocess import breast_mask

folder = tempfile.TemporaryDirectory()


def take(phantom):
    """Write a synthetic mammogram as a DICOM file and read it, as if it came from a clinic."""
    path = Path(folder.name) / "phantom.dcm"
    truth = phantom.write(path)
    return read_mammogram(path), truth.tissue  # and where tissue really is


# %%
def otsu(pixels):
    levels = np.rint(255 * pixels).astype(np.uint8)
    return cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1] > 0


mammogram, tissue = take(
    phantoms.Phantom("b", "CC", "R", label=True, film_edge=True, vendor="cedar", seed=3, rows=640)
)
pixels = mammogram.pixels
masks = {"Otsu's threshold": otsu(pixels), "the course's mask": breast_mask(pixels)}

# %%
figure = Figure(figsize=(6.2, 2.4), layout="constrained")
for axes, (name, mask) in zip(figure.subplots(1, 3), {"as read": None, **masks}.items()):
    axes.imshow(pixels if mask is None else mask, cmap="gray", vmin=0, vmax=1)
    axes.contour(tissue, levels=[0.5], colors="#E69F00", linewidths=1.2)
    axes.set(title=name, xlabel="column (pixel)")
caption = "Orange: where tissue really is. White: what each method takes for breast."
alt = "Otsu keeps letters and film edge and loses the breast's rim; the course's mask fits the outline."
Illustration(figure, caption, alt)

# %%
for vendor in phantoms.VENDORS:
    mammogram, tissue = take(phantoms.Phantom("b", "CC", "R", label=True, vendor=vendor, seed=3, rows=640))
    inside = {"Otsu": otsu(mammogram.pixels), "the mask": breast_mask(mammogram.pixels)}
    print(f"{vendor}:", ", ".join(f"{name} keeps {mask[tissue].mean():.0%}" for name, mask in inside.items()))

# %% [markdown]
# Both mistakes, at once. Letters and film edge are as bright as the whitest tissue, so no threshold will ever part them from
# it. And the rim of the breast, thin and fatty, is darker than the threshold. How much of the breast goes with it depends
# on the grays of the vendor, as the lines above say. Hence two ideas.
#
# **Size, not brightness.** The breast is the largest connected piece. That is your first exercise.
#
# **The core first, then the rim.** `find_breast` paints over film edges, and takes Otsu's threshold as a hint only: it cuts
# far below, so that fat stays in, but above the fog that some films have. Next comes an *opening*: whatever is too narrow for a small disc to fit in goes, so
# letters that touch the breast come off. The largest piece that is left is the core. From there the mask grows outwards,
# through whatever is brighter than the ground: skin, nipple. If it must err, it errs on the large side, since a strip of
# ground does no harm, and a missing rim does.

# %% [markdown]
# ### Exercise 02.1: the breast is the largest piece (8 minutes)
#
# Write `largest_piece`. It gets a picture and a threshold. Of all connected pieces that are brighter than the threshold, it
# returns the one with the most pixels, as a mask: an array of True and False, of the picture's shape. `scipy.ndimage.label`
# finds the pieces for you.

# %%
import scipy.ndimage


def largest_piece(picture, threshold):  # (H, W) floats, a number -> (H, W) of True and False
    ### BEGIN SOLUTION
    pieces, _ = scipy.ndimage.label(picture > threshold)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0  # the ground
    return pieces == sizes.argmax()
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("02.1").check(largest_piece)
# exercise("02.1").hint()

# %% [markdown]
# ## Do three letters matter?
#
# Mira says: *"Some two hundred pixels of fifty thousand, and far from the breast. The vector will hardly notice."*
# Tom says: *"Networks read letters. If you leave them in, you sort your pictures by letters."*
#
# This can be settled. We take twelve synthetic women, each twice: the same breast to the last pixel, once with letters
# beside it and once without. How far does the vector move? And for comparison, how far apart are two different women? We
# measure *cosine distances*: 1 minus the cosine that you know from lesson 00, so 0 if both vectors point the same way.

# %%
from dataclasses import replace

from course_utils.embedding import EmbeddingExtractor, load_backbone

extractor = EmbeddingExtractor(load_backbone())
right_way = Preprocessor(size=224)  # the size that the network was trained on
whole = replace(right_way, mask=False, crop=False)


def vectors(pictures):
    """(N, D), each of length 1, so that the cosine distance of two is 1 minus their product."""
    found = extractor.embed(np.stack(pictures))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


# %%
twelve = list(phantoms.cohort(views=("CC",), sides=("L",), rows=512))
plain, lettered = ([take(replace(one, label=label))[0] for one in twelve] for label in (False, True))
bare, marked = (vectors([whole(m) for m in some]) for some in (plain, lettered))
moved = 1 - (bare * marked).sum(axis=1)
apart = 1 - (bare @ bare.T)[np.triu_indices(12, 1)]
print("the letters move every vector:                               ", moved.min() > np.median(apart) / 1000)
print(
    "typically by less than half the distance between women:      ", np.median(moved) < np.median(apart) / 2
)

masked = 1 - (vectors([right_way(m) for m in plain]) * vectors([right_way(m) for m in lettered])).sum(axis=1)
print(
    "with mask and crop, typically by less than a third of before:", np.median(masked) < np.median(moved) / 3
)

# %% [markdown]
# One point for Mira: it is a short way. (And with the mask not always none at all. Letters have their say in the threshold
# that finds the breast, so its outline may come to lie a little elsewhere.)
#
# But a way has a direction too. Take eleven of the women and note where, on average, the letters have moved them. Then look
# at the twelfth, who was not asked: *does she move the same way?*


# %%
def same_way(moves):
    """For each row of (N, D) the cosine of its angle with the mean of the other rows."""
    others = [np.delete(moves, row, axis=0).mean(axis=0) for row in range(len(moves))]
    return [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(moves, others)]


alike = same_way(marked - bare)

# %%
figure = Figure(figsize=(6.6, 2.4), layout="constrained")
picture, axes = figure.subplots(1, 2, width_ratios=(2, 3))
_ = picture.imshow(whole(lettered[0])[0], cmap="gray", vmin=0, vmax=1)
_ = picture.set(title="with letters", xlabel="column (pixel)", ylabel="row (pixel)")
_ = axes.bar(range(1, 13), alike, color="#0072B2")
_ = axes.set(xlabel="woman", ylabel="cosine (-1 to 1)", ylim=(-1, 1), xticks=range(1, 13))
_ = axes.set_title("her move against the others'", fontsize=11)
caption = (
    "Left: the dark strip at the right is padding; this file's ground is not quite black. Right: 1 if letters "
    "move her just as they move the other eleven, about 0 if the moves have nothing in common."
)
alt = "A mammogram with letters in the dark, and twelve bars, one a woman, all of them far above zero."
Illustration(figure, caption, alt)

# %%
print("women with a cosine above 0:", sum(cosine > 0 for cosine in alike), "of", len(alike))

# %% [markdown]
# If the moves had nothing in common, it would be about six. So one point for Tom: the move is short, and it is nearly the
# *same* move in everybody. Such a thing is a **feature**: with a ruler laid along that direction, letters can be read off a
# vector, whoever the woman is. Suppose that one clinic burns letters
# into its pictures, another does not, and the first sees more cancers. Then a classifier that finds the letters has learnt
# to tell ill from well, on this data, and on no other. DeGrave and others, under *Go further*, caught networks for chest
# radiographs at just that.

# %% [markdown]
# ## What does a crop cost?
#
# Back to the cut for photographs. How many *rows* it drops is plain from the shape:

# %%
rows = [(1 - 224 / 256 * min(one.pixels.shape) / len(one.pixels)) for one in mammograms.values()]
print(f"of the rows of a film, the cut for photographs drops {min(rows):.0%} to {max(rows):.0%}")

# %% [markdown]
# About half of them. But how much of the *breast*? That needs a mask.

# %% [markdown]
# ### Exercise 02.2: how much breast does a crop lose? (5 minutes)
#
# Write `share_lost`. It gets the mask of a breast and a crop that keeps the rows from `top` to before `bottom` and the
# columns from `left` to before `right`. It returns the share of the *breast* that lies outside the crop: 0 if nothing is
# lost, 1 if all is.


# %%
def share_lost(breast, top, bottom, left, right):  # breast: (H, W) of True and False -> a number from 0 to 1
    ### BEGIN SOLUTION
    return 1 - breast[top:bottom, left:right].sum() / breast.sum()
    ### END SOLUTION


exercise("02.2").check(share_lost)
# exercise("02.2").hint()

# %% [markdown]
# Now for all: the eight real ones by their mask, and twelve synthetic MLO views by the truth. The third row shows what the
# course's mask leaves out (its crop leaves out no more, since it keeps the whole mask). *Which views lose more, those from
# above (CC) or the oblique ones (MLO)?* And remember your guess.


# %%
def kept_by_cut(shape):
    (top, bottom), (left, right) = centre_cut(shape)
    kept = np.zeros(shape, bool)
    kept[top:bottom, left:right] = True
    return kept


found = [breast_mask(mammogram.pixels) for mammogram in mammograms.values()]
oblique = [take(one) for one in phantoms.cohort(views=("MLO",), sides=("L",), rows=512)]
kept = {  # pairs of masks: the breast, and what stays of the picture
    "real, centre cut": [(breast, kept_by_cut(breast.shape)) for breast in found],
    "synthetic, centre cut": [(tissue, kept_by_cut(tissue.shape)) for _, tissue in oblique],
    "synthetic, Preprocessor": [(tissue, breast_mask(one.pixels)) for one, tissue in oblique],
}
lost = {way: [(part & ~stays).sum() / part.sum() for part, stays in pairs] for way, pairs in kept.items()}

# %%
figure = Figure(figsize=(7.2, 2.5), layout="constrained")
where, axes = figure.subplots(1, 2, width_ratios=(1, 3))
breast, stays = (mask[::10, ::10] for mask in kept["real, centre cut"][names.index("malign LMLO")])
_ = where.imshow(mammograms["malign LMLO"].pixels[::10, ::10], cmap="gray", vmin=0, vmax=1)
_ = where.contourf(breast & ~stays, levels=[0.5, 1], colors="#E69F00", alpha=0.55)
_ = where.set(xticks=[], yticks=[], title="lost")
for row, values in enumerate(lost.values()):
    _ = axes.plot(values, [row] * len(values), "o", color="#0072B2", alpha=0.6)
_ = axes.set_yticks(range(3), list(lost))
_ = axes.set(ylim=(2.5, -0.5), xlim=(-0.01, None), xlabel="share of the breast that is lost (0 to 1)")
caption = "Orange: what the cut for photographs takes from one breast. Right: each dot is one mammogram."
alt = (
    "The centre cut loses a good part of each breast, above all of oblique films; the Preprocessor, nothing."
)
Illustration(figure, caption, alt)

# %%
by_name = dict(zip(names, lost["real, centre cut"]))
for view in ("CC", "MLO"):
    shares = [share for name, share in by_name.items() if name.endswith(view)]
    print(f"real {view:>3} views lose {min(shares):.0%} to {max(shares):.0%} of the breast to the centre cut")
print(
    "the Preprocessor loses less than 1% of each synthetic one:", max(lost["synthetic, Preprocessor"]) < 0.01
)

# %% [markdown]
# An oblique view loses more, since it reaches from the armpit to the fold below the breast. Both ends go, and with them a
# strip along the chest wall. A lesion there is not blurred or darkened: it is not in the picture. (The synthetic files are
# less tall than the films, so they lose less.) The course crops to what the mask found, with a little room around it.

# %% [markdown]
# ## Which way does it look?
#
# Tom: *"Leave left and right as they are, ask for two clusters, and you get left and right."* Mira: *"A network that saw
# each photograph mirrored as well, in its training, does not care."* Take the twelve women from above once more, and the
# mirror image of each, as if it were the other breast. Nothing is turned. `cluster` sorts them into two groups, such that
# those in one group are alike (lesson 07 will show how). First we sort the pictures themselves.

# %%
from sklearn.metrics import adjusted_rand_score

from course_utils.analysis import cluster
from course_utils.imaging.preprocess import resize_area

mirrored = [replace(m, pixels=np.ascontiguousarray(m.pixels[:, ::-1]), laterality="R") for m in plain]
unturned = replace(right_way, orient=False)
lefts, rights = ([unturned(m) for m in some] for some in (plain, mirrored))
sides = ["L"] * 12 + ["R"] * 12

tiny = np.stack([resize_area(picture[0], (32, 32)).ravel() for picture in (*lefts, *rights)])
agreement = adjusted_rand_score(sides, cluster(tiny, k=2).labels)
print(f"two clusters of pictures against the sides: {agreement:.2f} (1: the same, about 0: chance)")

# %% [markdown]
# For pixels Tom is right, without one exception. And for vectors? Ask twice: do clusters follow the sides, and does
# mirroring move all women the same way, as the letters did?

# %% tags=["nbval-ignore-output"]
left_vectors, right_vectors = vectors(lefts), vectors(rights)
labels = cluster(np.concatenate([left_vectors, right_vectors]), k=2).labels
print(f"two clusters of vectors against the sides: {adjusted_rand_score(sides, labels):.2f}")
same = [cosine > 0 for cosine in same_way(right_vectors - left_vectors)]
print("women with a cosine above 0:", sum(same), "of", len(same))

# %%
difference = max(np.abs(right_way(one) - right_way(other)).max() for one, other in zip(plain, mirrored))
print("turned by the course, a picture and its mirror image are the same:", difference < 1e-5)

# %% [markdown]
# With the stored weights, EfficientNet-Lite0's, Mira is right about the clusters: they do not follow the sides. (An
# untrained network gives Tom's clusters; yours may lie in between.) Yet mirroring, too, moves all women in a direction that
# they share in part, so the side is in the vectors for whoever asks. What no cluster shows may still be there. Turning
# costs nothing and takes it out, so the course turns.
#
# Which ones does it turn? The header says `L` or `R`, if it says anything. But headers are wrong now and then, and a film
# can be scanned from its back. The mask knows better, since a breast tapers away from the chest wall. The course asks the
# header only where the mask does not make it plain.

# %% [markdown]
# ### Exercise 02.3: the chest wall to the left (6 minutes)
#
# Write `wall_to_left`. It gets a picture, the mask of the breast in it, and the side that the header states (`"L"`, `"R"`
# or None; it may be wrong). It returns the picture with the chest wall at the left border, flipped left to right if need
# be.


# %%
def wall_to_left(picture, mask, stated_side):  # (H, W), (H, W) of True and False, "L", "R" or None -> (H, W)
    ### BEGIN SOLUTION
    if mask[:, -1].sum() > mask[:, 0].sum():
        return picture[:, ::-1]
    return picture
    ### END SOLUTION


exercise("02.3").check(wall_to_left)
# exercise("02.3").hint()

# %% [markdown]
# ## How do you make it smaller?
#
# A real mammogram here has some 4600 rows, and the picture gets 512. So a new pixel stands for about eighty old ones.
# *Nearest neighbour* takes one of them and drops the others; *area* takes their mean. *Predict: move the film by a single
# pixel before resizing, so little that nobody could see it. Which of the two results changes more?*

# %%
crop = preprocess.trace(mammograms["benign LMLO"])["crop"]
columns = round(crop.shape[1] * 512 / crop.shape[0])
methods = {"nearest": cv2.INTER_NEAREST, "area": cv2.INTER_AREA}
resized = {name: cv2.resize(crop, (columns, 512), interpolation=how) for name, how in methods.items()}

figure = Figure(figsize=(5.2, 2.8), layout="constrained")
for axes, (name, picture) in zip(figure.subplots(1, 2), resized.items()):
    axes.imshow(picture[260:320, :60], cmap="gray", vmin=0, vmax=1)
    axes.set(title=name, xlabel="column (pixel)", ylabel="row (pixel)")
caption = (
    "The same 60 × 60 pixels of both results, enlarged. One keeps the grain of the film, the other its mean."
)
alt = "Two enlarged patches of one breast: the left one grainy, its lines broken, the right one smooth."
Illustration(figure, caption, alt)

# %%
shifted = np.roll(crop, (1, 1), axis=(0, 1))  # one pixel down and one to the right
change = {}
for name, how in {**methods, "linear": cv2.INTER_LINEAR}.items():
    before, after = (cv2.resize(each, (columns, 512), interpolation=how) for each in (crop, shifted))
    change[name] = np.abs(after - before).mean()
print("nearest changes more than twice as much as area:", change["nearest"] > 2 * change["area"])
print(
    "linear lies in between:                         ", change["nearest"] > change["linear"] > change["area"]
)

# %% [markdown]
# What looks like texture on the left is chance: which pixel happened to be hit. A calcification, the finest thing in a
# mammogram, comes and goes with it. The mean of $n$ pixels has noise that is smaller by $\sqrt{n}$ (where the noise of
# neighbours is independent), and a bright speck leaves its trace wherever the grid falls. *Linear* interpolation, the
# default of many libraries, takes only four old pixels of the eighty into account, unless it is told to smooth first.

# %% [markdown]
# ## How do you make it square?
#
# The breast is tall, and the network wants a square. Here are four answers, all of them met in the wild. *Which one would
# you have taken, and what is wrong with each of the other three?*

# %%
narrow = [*right_way.trace(mammograms["malign LMLO"]).values()][-2]  # before padding: 224 high


def fill(picture, **how):
    """Fill up to a square on the right."""
    return np.pad(picture, ((0, 0), (0, len(picture) - picture.shape[1])), **how)


squares = {
    "black": fill(narrow),
    "stretched": cv2.resize(narrow, (224, 224), interpolation=cv2.INTER_LINEAR),
    "mirrored": fill(narrow, mode="symmetric"),
    "gray": fill(narrow, constant_values=0.5),
}

# %%
figure = Figure(figsize=(4.8, 1.8), layout="constrained")
for axes, (name, picture) in zip(figure.subplots(1, 4), squares.items()):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set(xlabel="column (pixel)", xticks=[0, 100, 200], yticks=[])
    axes.set_title(name, fontsize=9)
caption = "One breast on four squares. Which borders are anatomy?"
alt = (
    "One breast on a square four times: beside black, stretched wide, beside its mirror images, beside gray."
)
Illustration(figure, caption, alt)

# %%
boxes = [preprocess.trace(one)["crop"].shape for one in files.values()]
factors = [height / width for height, width in boxes]
print(f"stretching widens these breasts by a factor of {min(factors):.1f} to {max(factors):.1f}")

# %% [markdown]
# *Mirrored* padding comes from photographs, where it hides a border. Here it grows a second breast, and beside a narrow one
# a third. *Gray* puts a bar there that is brighter than fat and has a straight edge. How wide it is depends on the woman's
# proportions, so it becomes a measurement of her. A bar of the picture's mean does the same. *Stretching* bends every woman
# by a factor of her own, so that roundness, distance and the direction of a duct mean something else in each of them.
# *Black* adds what is there already: ground.
#
# And the course adds it on one side. With half of it on either side, the chest wall stands elsewhere in every picture.

# %% [markdown]
# ## Whose scale?
#
# One factor for height and width, but a factor of her own for each woman: every breast is as large as the square allows.
# `mm_per_pixel` takes one scale for all of them. *Predict: what does the network then see of a small breast?*

# %%
to_scale = replace(right_way, mm_per_pixel=1.0)
filled = {
    "a scale of her own": [float((right_way(one) > 0).mean()) for one in plain],
    "one scale for all": [float((to_scale(one) > 0).mean()) for one in plain],
}
for name, shares in filled.items():
    print(f"{name}: the breast fills {min(shares):.0%} to {max(shares):.0%} of the picture")

# %%
small, large = (plain[place] for place in np.argsort(filled["one scale for all"])[[0, -1]])
figure = Figure(figsize=(2.6, 0.8), layout="constrained")
for axes, (way, one) in zip(
    figure.subplots(1, 4), [(right_way, small), (right_way, large), (to_scale, small), (to_scale, large)]
):
    axes.imshow(way(one)[0, ::4, ::4], cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
caption = "The smallest and the largest breast of the twelve: each at a scale of her own, then both at 1 mm a pixel."
alt = "Two breasts of about equal height; then the same two, one of them much smaller than the other."
Illustration(figure, caption, alt)

# %% [markdown]
# To scale, a large breast is large: the picture keeps what the first way throws away. It costs detail: the small breast has
# a fraction of the pixels, and most of what the network sees is ground. And where the scale is not known, as in films and picture
# files, it cannot be had at all. Both are defensible. What is not: mixing them, or not saying which it was. (Nobody knows
# the scale *in* the breast exactly: the header's holds at the detector.)

# %% [markdown]
# ### Exercise 02.4: onto a square (8 minutes)
#
# Write `onto_square`. It gets a picture that is taller than wide, its chest wall at the left, and a size. It resizes it by
# one factor, so that its height becomes `size`, with `cv2.resize` and area interpolation; then it fills up with 0 on the
# right.


# %%
def onto_square(picture, size):  # (H, W) float32 with H >= W -> (size, size) float32
    ### BEGIN SOLUTION
    columns = round(picture.shape[1] * size / picture.shape[0])
    small = cv2.resize(picture, (columns, size), interpolation=cv2.INTER_AREA)
    return np.pad(small, ((0, 0), (0, size - columns)))
    ### END SOLUTION


exercise("02.4").check(onto_square)
# exercise("02.4").hint()

# %% [markdown]
# ## Should you normalise?
#
# Many pipelines subtract the picture's mean $\mu$ from each gray $x$ and divide by its standard deviation $\sigma$. The
# result $z = (x - \mu) / \sigma$ is called a z-score. *Predict: two breasts of the same tissue, one larger than the other.
# Do equal tissues get equal numbers?*
#
# Work it out for a breast of one even gray $g$ that fills a share $p$ of the frame, on black. Then $\mu = p\,g$ and
# $\sigma = g \sqrt{p (1 - p)}$, and the ground becomes $-\mu / \sigma = -\sqrt{p / (1 - p)}$. The gray has dropped out.
# What is left is $p$: *how much of the frame is breast*. Real breasts are not even, so let us see how far that holds, with
# three of them on wider and wider detectors.


# %%
def z_score(picture):
    return (picture - picture.mean()) / picture.std()


frames = {}
for woman in (0, 4, 9):
    breast = plain[woman].pixels
    widths = [round(extra * breast.shape[1]) for extra in (0, 0.25, 0.5, 1)]
    frames[woman] = [np.pad(breast, ((0, 0), (0, width)), mode="edge") for width in widths]  # more ground

share = {woman: [breast_mask(some[0]).sum() / frame.size for frame in some] for woman, some in frames.items()}
ground = {woman: [z_score(frame)[0, -1] for frame in some] for woman, some in frames.items()}
white = {woman: [z_score(frame).max() for frame in some] for woman, some in frames.items()}

# %%
figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.subplots()
p = np.linspace(0.08, 0.38, 100)
_ = axes.plot(p, -np.sqrt(p / (1 - p)), "--", color="#7F7F7F", label="an even breast")
for woman, style, colour in zip(frames, ("o-", "s-", "^-"), ("#0072B2", "#D55E00", "#009E73")):
    _ = axes.plot(share[woman], ground[woman], style, color=colour, label=f"woman {woman + 1}")
_ = axes.set(
    xlabel="share of the frame that the breast fills (0 to 1)", ylabel="z-score of the ground (no unit)"
)
_ = axes.legend(frameon=False, fontsize=8)
caption = "Each line is one woman, her breast the same to the last pixel, on a detector of four widths."
alt = "Three lines fall beside a dashed curve: the more of the frame is breast, the lower the ground."
Illustration(figure, caption, alt)

# %%
print("the ground rises with every wider frame:", all((np.diff(each) > 0).all() for each in ground.values()))
print("so does the whitest tissue:             ", all((np.diff(each) > 0).all() for each in white.values()))

# %% [markdown]
# Not a pixel of tissue has changed, and its numbers have. The three lines run down beside the dashed curve (above it, since
# a real breast is not even): what they tell is above all how much of the frame is breast. A network that gets such numbers
# knows who is large, and which detector was used.
#
# Stretching each picture from its own minimum to its own maximum has the fault that lesson 00 showed: one bright speck
# moves all grays. *Equalising the histogram* gives each pixel its rank among all pixels in place of its gray, from the
# darkest, 0, to the brightest, 1; CLAHE does that tile by tile. It shows an eye more, and takes away what the grays mean.
# *Predict the mean of such ranks, for a dense breast and for a fatty one.* Here is the mean gray inside the breast, over our
# twelve women:


# %%
def mean_inside(mammogram, equalise):
    picture = right_way(mammogram)[0]
    inside = picture[picture > 0]
    if equalise:  # each gray becomes its rank
        inside = inside.argsort().argsort() / len(inside)
    return inside.mean()


for equalise in (False, True):
    means = [mean_inside(one, equalise) for one in plain]
    print("equalised:" if equalise else "as it is: ", f"from {min(means):.2f} to {max(means):.2f}")

# %% [markdown]
# The mean of ranks is a half, whoever she is. Whatever made one breast brighter than another, dense tissue included, is
# gone. So the course does none of these. Its
# grays come from lesson 01: the display transform that the file asks for, on a range that does not depend on what else is
# in the picture. (The mean and standard deviation that a network wants to be subtracted and divided by are constants, the
# same for every picture. They are part of the network.)

# %% [markdown]
# ## Does it hold for all of them?
#
# Never trust a pipeline of which you have seen three pictures. Here are all the files of this lesson, real ones first. *Look
# for tissue outside the orange line, for letters inside it, and for a chest wall that is not at the left.*

# %%
from course_utils.plots import before_and_after

shown = [shrink(one.pixels)[0] for one in files.values()]
outlines = [breast_mask(picture) for picture in shown]
seen = [right_way(one)[0] for one in files.values()]
before_and_after(shown, outlines, seen, [name.replace("_", " ") for name in files])

# %% [markdown]
# Did you find any? The line errs on the large side, as it should: it takes in a strip of ground beside the skin, and the white
# speck that you know. They cost less than they look. Your own archive will hold what is not in here, so look at a page like this
# one before you trust the pipeline with it.

# %% [markdown]
# ## What does each shortcut do to an embedding?
#
# Rank them before you look. *Which one moves a vector furthest from where the right way puts it? Does any move it as far as
# another woman would be?* Mira bets on the centre cut: tissue is missing. Tom bets on mirrored padding: a breast has been
# added.
#
# We take the cohort's twelve oblique views, each treated in the right way and in nine others.


# %%
def to_left(picture, mammogram):
    return picture[:, ::-1] if mammogram.laterality == "R" else picture


def before_padding(mammogram):
    return [*right_way.trace(mammogram).values()][-2]


def cut_out(mammogram):
    (top, bottom), (left, right) = centre_cut(mammogram.pixels.shape)
    return to_left(resize_area(mammogram.pixels[top:bottom, left:right], (224, 224)), mammogram)


# %%
def nearest(mammogram):
    rows, columns = before_padding(mammogram).shape
    crop = right_way.trace(mammogram)["crop"]
    picture = to_left(cv2.resize(crop, (columns, rows), interpolation=cv2.INTER_NEAREST), mammogram)
    return fill(picture) * (right_way(mammogram)[0] > 0)


def centred(mammogram):
    return np.roll(right_way(mammogram)[0], (224 - before_padding(mammogram).shape[1]) // 2, axis=1)


def equalised(mammogram):
    picture = np.rint(255 * right_way(mammogram)[0]).astype(np.uint8)
    return cv2.createCLAHE(2.0, (8, 8)).apply(picture) / 255


# %%
shortcuts = {
    "no mask, no crop": whole,
    "centre cut": cut_out,
    "flipped": lambda one: right_way(one)[0, :, ::-1],
    "nearest neighbour": nearest,
    "stretched": replace(right_way, keep_aspect=False),
    "mirrored padding": lambda one: fill(before_padding(one), mode="symmetric"),
    "gray padding": lambda one: fill(before_padding(one), constant_values=0.5),
    "padding on both sides": centred,
    "CLAHE": equalised,
}

# %%
asked = [files[path.stem] for path in cohort.path[cohort["view"] == "MLO"]]
right = vectors([right_way(one) for one in asked])
between = 1 - (right @ right.T)[np.triu_indices(len(asked), 1)]
moved = {}
for name, way in shortcuts.items():
    pictures = [np.reshape(way(one), (1, 224, 224)).astype(np.float32) for one in asked]
    moved[name] = 1 - (right * vectors(pictures)).sum(axis=1)

# %%
from course_utils.plots import shifts

shifts(moved, between)

# %%
worst = max(np.median(distances) for distances in moved.values())
least = min(distances.min() for distances in moved.values())
print("every shortcut moves every vector:                        ", least > np.median(between) / 1000)
print("the worst goes a quarter of the way to another woman, or more:", worst > np.median(between) / 4)

# %% [markdown]
# In the stored figure, which is EfficientNet-Lite0's, Tom wins: a mirrored breast beside it moves a picture further from
# itself than another woman typically is. Stretching comes close. (With ResNet-50 the dots lie elsewhere. Who wins on your
# machine?) Much of what such vectors tell apart would be how wide a breast is, and so how wide its padding.
#
# Do not read the lower rows as harmless. The letters, too, moved a vector by a short way only, and all of them the same
# way. What matters is whether a shortcut hits all pictures alike. A flip of *all* pictures would change little in what you
# find. A flip of half of them is a variable that nobody recorded; and stretching, gray bars and cuts never hit two women
# alike.

# %% [markdown]
# ## What must preprocessing never do?
#
# **Learn from the data.** A mean over the data set, a histogram to match, a threshold tuned on all files: each carries
# something from the pictures kept for testing into those used for training. If a step must learn, it learns on the training
# set alone, and then it is part of the model.
#
# **Leak labels.** A crop around the radiologist's mark, another window for the cases that were biopsied, another scanner
# for the healthy: whatever differs with the answer gives the answer away. So a file's picture depends on its pixels, and
# not on who will read it.
#
# **Look at the neighbours.** Nothing may depend on the batch, the order or the other files. Else no vector can be kept for
# later, since nobody could say what it would have been in other company.

# %%
first = next(iter(files.values()))
alone = right_way(first)
in_company = [right_way(one) for one in [*files.values()][::-1]][-1]
print("the same picture, to the bit, alone and after all the others:", np.array_equal(alone, in_company))

variants = [
    right_way,
    replace(right_way, size=512),
    replace(right_way, mask=False),
    replace(right_way, voi="none"),
]
print(len(variants), "variants have", len({way.fingerprint for way in variants}), "fingerprints")
print("and the same options the same one:", Preprocessor(size=224).fingerprint == right_way.fingerprint)

# %% [markdown]
# The `fingerprint` is a hash of all options and of the version of the algorithm. It goes into the key under which a vector
# is stored, so that no vector is ever taken for one that was made with other options. [Lesson
# 05](05_batched_extraction.ipynb) uses such a store, and lesson 06 takes it apart.
#
# The solved version of this lesson is [here](solutions/02_preprocessing.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. Your mask keeps everything brighter than Otsu's threshold. Name two things that go wrong, and what cures each.</summary>
#
# Letters and film edges stay in, since they are brighter than tissue: keep the largest piece. The thin, fatty rim is left
# out, since it is darker than the threshold: cut lower, and let the piece grow.
# </details>
#
# <details><summary>2. Letters move a vector by a tenth of the distance between women. Why may that be worse than a random move of the same length?</summary>
#
# Random moves cancel out over many women. Letters move all vectors the same way, so they can be read off. If letters go
# with the diagnosis, a classifier finds them.
# </details>
#
# <details><summary>3. Somebody resizes to 224 × 224 with the library's default and says that the network will learn to cope. What has become of two women, one broad and one slender?</summary>
#
# They have the same outline now, each bent by another factor, and what told them apart is spread over everything else. A
# frozen network learns nothing about it. And the default interpolation has kept four old pixels of dozens.
# </details>
#
# <details><summary>4. "We z-score each image, so scanners become comparable." What else becomes of the numbers?</summary>
#
# Mean and standard deviation over the whole image depend on how much of it the breast fills. Tissue of equal gray gets
# other numbers in a larger breast, and in a wider frame.
# </details>
#
# <details><summary>5. Two clusters of your vectors do not follow the side. Is the side gone from the vectors?</summary>
#
# No. Clusters follow the largest differences only. Ask directly: learn the direction from women whose side you know, and
# test it on others, as you did with the letters.
# </details>
#
# <details><summary>6. You subtract the mean image of all 10 000 files before embedding. Which rule is broken, and what follows?</summary>
#
# It is learnt from the data, test files included, and every vector depends on all files: add one file, and all the others
# have to be computed again.
# </details>

# %% [markdown]
# ## Recap
#
# The breast is the largest piece: its core first, then its rim. Letters, film edges and noise stay behind. Crop to
# its box, for a cut from the centre loses tissue. Turn the chest wall to the left by what the mask shows. Resize by the
# area, with one factor. Pad with ground, on one side. Leave grays as the file's display transform made them. Each shortcut
# moves the vector; those that differ from woman to woman or from clinic to clinic become features. Preprocessing looks at
# one file alone, and its fingerprint says what it did.

# %% [markdown]
# ## Go further
#
# - N. Otsu: *A Threshold Selection Method from Gray-Level Histograms*. IEEE Transactions on Systems, Man, and Cybernetics 9(1),
#   62–66, 1979. [doi 10.1109/TSMC.1979.4310076](https://doi.org/10.1109/TSMC.1979.4310076). Five pages, and easy to read.
# - A. J. DeGrave, J. D. Janizek, S.-I. Lee: *AI for radiographic COVID-19 detection selects shortcuts over signal*. Nature
#   Machine Intelligence 3, 610–619, 2021. [doi 10.1038/s42256-021-00338-7](https://doi.org/10.1038/s42256-021-00338-7). Letters at the edge of a radiograph, among
#   other things, in place of the lung.
# - R. Geirhos and others: *Shortcut learning in deep neural networks*. Nature Machine Intelligence 2, 665–673, 2020.
#   [doi 10.1038/s42256-020-00257-z](https://doi.org/10.1038/s42256-020-00257-z). Why networks take the easiest feature.
# - S. M. Pizer and others: *Adaptive histogram equalization and its variations*. Computer Vision, Graphics, and Image Processing 39,
#   355–368, 1987. [doi 10.1016/S0734-189X(87)80186-X](https://doi.org/10.1016/S0734-189X%2887%2980186-X). CLAHE's origin: made for eyes.
# - R. S. Lee and others: *A curated mammography data set for use in computer-aided detection and diagnosis research*. Scientific
#   Data 4, 170177, 2017. [doi 10.1038/sdata.2017.177](https://doi.org/10.1038/sdata.2017.177). Where the eight real mammograms come from.
#
# **Next:** [lesson 03, from convolution to ResNet-50](03_convolution_to_resnet50.ipynb), in which you build the network
# that gets these squares.
