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
# | 80 min, 95 with all | under 45 s | under 3 GB | none | not needed |

# %% [markdown]
# ## What arrives at the network?
#
# Nearly every tutorial prepares a photograph for ResNet-50 in the same way: resize it until its shorter side has 256
# pixels, then cut 224 × 224 out of the centre. That suits photographs, since people put what they photograph in the centre.
# Here are two real mammograms of one woman, seen from above and obliquely, with that cut outlined. How much of the breast
# does it throw away: a tenth, a quarter, more? Note your guess; you will measure it.

# %%
from course_utils.imaging import read_mammogram
from course_utils.imaging.datasets import real_mammograms, sample_cohort
from course_utils.imaging.preprocess import shrink
from course_utils.plots.treatments import crops_outlined
from course_utils.teaching.shortcuts import centre_cut  # as in the recipe

found_to_be = {"benign": "benign", "malign": "malignant"}  # what the biopsy said
mammograms = {}
for row in real_mammograms().itertuples():
    name = f"{found_to_be[row.case]} {row.laterality}{row.view}"
    mammograms[name] = read_mammogram(row.path)
small = {name: shrink(one.pixels)[0] for name, one in mammograms.items()}
views = {name: small[name] for name in ("malignant RCC", "malignant LMLO")}
crops_outlined(views, [centre_cut(picture.shape) for picture in views.values()])

# %% [markdown]
# Look again, this time at what is *not* breast. There are letters in the dark, cut off by the edge of the film. The film ends
# in a thin bright border. More than half of each picture is dark *ground*, as we shall call whatever lies behind the breast.
# And one breast faces left, the other right.
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
preprocessing_steps(preprocess.trace(mammograms["malignant RMLO"]))

# %% [markdown]
# `read` is where lesson 01 left off. `crop` cuts to the breast's own box. `resize` makes the longer side 512 pixels and
# keeps the proportions. `mask` blackens whatever is not breast. `orient` turns the chest wall to the left. `pad` fills
# the picture up to a square, with black, on the side away from the chest wall.
#
# Look closely at 3 and 4. The white edge of the film, at the top and along the chest wall, has gone with the rest of what is
# not breast. An edge has the same depth all along, which is how it is told from bright tissue that touches the border. But
# the white speck beside the breast has stayed, since it lies within the outline. A [mask](../docs/glossary.md#mask) is an
# estimate. You will soon see how good it is where the truth is known.
#
# Walk through it yourself: move `step`, choose another `file`, and leave a step out. *Before you leave out `crop`: what
# will become smaller?* (On a web page you see one position. Where a kernel is running, the controls work.)

# %%
cohort = sample_cohort()
files = mammograms | {path.stem: read_mammogram(path) for path in cohort.path}
print(len(mammograms), "real files and", len(cohort), "synthetic ones")

# %% tags=["hide-input"]
from course_utils.teaching.widgets import LivePicture

left_out = {step: {step: False} for step in ("crop", "mask", "orient")}
left_out = {"nothing": {}, **left_out, "pad (it stretches)": {"keep_aspect": False}}


def walk(step=2, file="malignant RCC", leave_out="nothing"):
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
# In a synthetic mammogram we know which pixels are tissue, so we can grade the method. This one comes with letters and the
# edge of a film. *Predict two mistakes: what will be in the mask that should not be, and what will be missing?*

# %% tags=["hide-output"]
import numpy as np

from course_utils import phantoms
from course_utils.imaging.preprocess import breast_mask
from course_utils.plots.treatments import masks_beside
from course_utils.teaching.shortcuts import otsu, taken  # taken: written, read

what = {"density": "b", "view": "CC", "laterality": "R", "vendor": "cedar"}
one = phantoms.Phantom(label=True, film_edge=True, seed=3, rows=640, **what)
mammogram, truth = taken(one)
pixels, threshold = mammogram.pixels, otsu(mammogram.pixels)
masks = {"Otsu's threshold": pixels > threshold}
masks["the course's mask"] = breast_mask(pixels)
masks_beside(pixels, truth.tissue, masks)

# %% [markdown]
# Both mistakes at once. Letters and film edge are as bright as the whitest tissue, so no threshold will ever part them
# from it. And the rim of the breast, thin and fatty, is darker than the threshold. Hence two ideas.
#
# **Size, not brightness.** The breast is the largest connected piece. That is your first exercise.
#
# **The core first, then the rim.** The course's `find_breast` paints over film edges, and takes Otsu's threshold as a hint
# only: it cuts far below, so that fat stays in, but above the fog that some films have. Next comes an *opening*: whatever is
# too narrow for a small disc to fit in goes, so letters that touch the breast come off. The largest piece that is left is the
# core. From there the mask grows outwards, through whatever is brighter than the ground: skin, nipple. If it must err, it
# errs on the large side, since a strip of ground does no harm and a missing rim does.

# %% [markdown]
# ### Exercise 02.1: the breast is the largest piece (8 minutes)
#
# Write `largest_piece`. It gets a picture and a threshold. Of all connected pieces that are brighter than the threshold, it
# returns the one with the most pixels, as a mask: an array of True and False, of the picture's shape. `scipy.ndimage.label`
# finds the pieces for you.

# %%
import scipy.ndimage


def largest_piece(picture, threshold):  # (H, W) floats, a number -> (H, W) of bool
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
# From here on the lesson runs on *your* functions wherever they are right, and on the course's own elsewhere. A line says
# which. Here is yours at work on the mammogram above. *Predict: which of the two mistakes does it cure?*

# %% tags=["hide-output"]
from course_utils.teaching import squares

piece_of = exercise("02.1").use(largest_piece, otherwise=squares.largest_piece)
masks["its largest piece"] = np.asarray(piece_of(pixels, threshold), bool)
not_breast = truth.label | truth.film_edge
for name, mask in masks.items():
    strange, rim = mask[not_breast].mean(), mask[truth.tissue].mean()
    print(f"{name:<18} {strange:4.0%} of letters and edge, {rim:4.0%} of the breast")

# %% [markdown]
# The first, as far as letters are alone in the dark. The rim is still missing: that is what the second idea is for.

# %% [markdown]
# ## Do three letters matter?
#
# Mira says: *"Some two hundred pixels of fifty thousand, and far from the breast. The vector will hardly notice."*
# Tom says: *"Networks read letters. If you leave them in, you sort your pictures by letters."*
#
# This can be settled. We take twelve synthetic women, each twice: the same breast to the last pixel, once with letters
# beside it and once without. How far does the vector move? And for comparison, how far apart are two different women? We
# measure *cosine distances*: 1 minus the cosine that you know from lesson 00, so 0 if both vectors point the same way.
# *Predict: a tenth of the way to another woman, a third, all of it?*

# %%
from dataclasses import replace

from course_utils.embedding import EmbeddingExtractor, load_backbone

extractor = EmbeddingExtractor(load_backbone())
right_way = Preprocessor(size=224)  # the size that the network was trained on
whole = replace(right_way, mask=False, crop=False)


def vectors(pictures):
    """(N, D), each of length 1, so that 1 minus a product of two is their distance."""
    found = extractor.embed(np.stack(pictures))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


# %%
twelve = list(phantoms.cohort(views=("CC",), sides=("L",), rows=512))
plain = [taken(replace(one, label=False))[0] for one in twelve]
lettered = [taken(replace(one, label=True))[0] for one in twelve]
bare, marked = (vectors([whole(m) for m in some]) for some in (plain, lettered))
masked = [vectors([right_way(m) for m in some]) for some in (plain, lettered)]
apart = np.median(1 - (bare @ bare.T)[np.triu_indices(12, 1)])  # two women

# %% tags=["hide-output", "nbval-ignore-output"]
steps = {"as they are": (bare, marked), "with mask and crop": masked}
for name, (without, with_letters) in steps.items():
    moved = np.median(1 - (without * with_letters).sum(axis=1))
    print(f"{name:<18} letters move a vector {moved / apart:5.1%} of the way")

# %% [markdown]
# One point for Mira: it is a short way. (And with the mask it is not always zero. Letters have their say in the threshold
# that finds the breast, so its outline may come to lie a little elsewhere.)
#
# But a move has a direction too. Suppose all women move in much the same direction. Then a ruler laid along it would read
# letters off any vector. Build it from eleven of the women: it runs from the mean of their vectors without letters to the
# mean with them, and its zero is halfway. Then hold it to the two vectors of the twelfth, who had no part in it.
# *Predict: for how many of the 24 vectors will it be right? Twelve is chance.*


# %%
def read_off(without, with_it):  # (N, D) each -> (2, N); above 0 means "with"
    found = []
    for woman in range(len(without)):
        others = np.arange(len(without)) != woman  # she has no part in the ruler
        low, high = without[others].mean(axis=0), with_it[others].mean(axis=0)
        ruler = (high - low) / np.sum((high - low) ** 2)
        hers = np.stack([without[woman], with_it[woman]])
        found.append((hers - (low + high) / 2) @ ruler)
    return np.transpose(found)


# %%
def rightly(readings):
    return (readings[0] < 0).sum() + (readings[1] > 0).sum()


rulers = {name: read_off(*pair) for name, pair in steps.items()}

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots.treatments import readings

for name, pair in rulers.items():
    print(f"{name:<18} the ruler is right for {rightly(pair)} of 24 vectors")
readings(rulers, ("without letters", "with letters"))

# %% tags=["hide-output"]
can = {name: "can" if rightly(pair) > 18 else "cannot" for name, pair in rulers.items()}
for name, word in can.items():
    print(f"{name:<18} letters {word} be read off a vector")

# %% [markdown]
# One point for Tom: the move is short, and it is nearly the *same* move in everybody. Such a thing is a **feature**: it can be
# read off the vector of a woman who was never asked. With mask and crop the ruler is no better than a coin; look how close
# the two marks of a woman lie on the right.
#
# Suppose that one clinic burns letters into its pictures, another does not, and the first sees more cancers. Then a classifier
# that finds the letters has learnt to tell ill from well, on this data and on no other: a
# [shortcut](../docs/glossary.md#shortcut). DeGrave and others, under *Go further*, caught networks for chest radiographs at
# just that.

# %% [markdown]
# ## What does a crop cost?
#
# Back to the cut for photographs. It drops about half of a film's rows, as you can tell from its shape. But how much of
# the *breast*? That needs a mask.
#
# ### Exercise 02.2: how much breast does a crop lose? (4 minutes)
#
# Write `share_lost`. It gets the mask of a breast and a crop that keeps the rows from `top` to before `bottom` and the
# columns from `left` to before `right`. It returns the share of the *breast* that lies outside the crop: 0 if nothing is
# lost, 1 if everything is.


# %%
def share_lost(breast, top, bottom, left, right):  # (H, W) of bool -> from 0 to 1
    ### BEGIN SOLUTION
    return 1 - breast[top:bottom, left:right].sum() / breast.sum()
    ### END SOLUTION


exercise("02.2").check(share_lost)
# exercise("02.2").hint()

# %% [markdown]
# Now for all of them: the eight real ones by their mask, and twelve synthetic MLO views by the truth. The third row shows
# what the course's mask leaves out (its crop leaves out no more, since it keeps the whole mask). *Predict: which views lose
# more, those from above (CC) or the oblique ones (MLO)?* And remember your first guess.

# %%
lost_by = exercise("02.2").use(share_lost, otherwise=squares.share_lost)


def lost_in(breast):  # a number, in whatever form it comes
    return np.asarray(lost_by(breast, *centre_cut(breast.shape)), float).item()


# %% tags=["hide-output"]
found = {name: breast_mask(one.pixels) for name, one in mammograms.items()}  # masks
real = {name: lost_in(part) for name, part in found.items()}
planned = phantoms.cohort(views=("MLO",), sides=("L",), rows=512)
oblique = [taken(one) for one in planned]
parts = [truth.tissue for _, truth in oblique]
unseen = [(truth.tissue & ~breast_mask(one.pixels)).sum() for one, truth in oblique]
lost = {
    "real, centre cut": [*real.values()],
    "synthetic, centre cut": [lost_in(part) for part in parts],
    "synthetic, the course": [out / part.sum() for out, part in zip(unseen, parts)],
}

# %% tags=["hide-output"]
for view in ("CC", "MLO"):
    shares = [share for name, share in real.items() if name.endswith(view)]
    span = f"{min(shares):.0%} to {max(shares):.0%}"
    print(f"real {view:>3} views lose {span} of the breast")
worst = max(lost["synthetic, the course"])
print(f"the course loses at most {worst:.1%} of a synthetic one")

# %% [markdown]
# An oblique view loses more, since it reaches from the armpit to the fold below the breast. Both ends go, and with them a
# strip along the chest wall. A lesion there is not blurred or darkened: it is not in the picture. (The synthetic files are
# less tall than the films, so they lose less.) The course crops to what the mask found, with a little room around it.

# %% tags=["hide-input"]
from course_utils.plots.treatments import lost_tissue

breast = found["malignant LMLO"]
top, bottom, left, right = centre_cut(breast.shape)
gone = breast.copy()
gone[top:bottom, left:right] = False
lost_tissue(mammograms["malignant LMLO"].pixels[::12, ::12], gone[::12, ::12], lost)

# %% [markdown]
# ## Can a network tell left from right? (skip on a first reading)
#
# Tom: *"Leave left and right as they are, ask for two clusters, and you get left and right."* Mira: *"A network that saw
# each photograph mirrored as well, in its training, does not care."* Take the twelve women from above once more, and the
# mirror image of each, as if it were the other breast. Nothing is turned. `cluster` sorts them into two groups so that
# those in one group are alike (lessons 07 and 08 show how). *Predict: do the groups follow the side when we sort the
# pictures themselves? And when we sort their vectors?*

# %%
from sklearn.metrics import adjusted_rand_score

from course_utils.analysis import cluster
from course_utils.imaging.preprocess import resize_area
from course_utils.teaching.shortcuts import mirrored

unturned = replace(right_way, orient=False)
lefts, rights = [unturned(m) for m in plain], [unturned(mirrored(m)) for m in plain]
sides = ["L"] * 12 + ["R"] * 12

# %% tags=["hide-output"]
tiny = [resize_area(picture[0], (32, 32)).ravel() for picture in (*lefts, *rights)]
agreement = adjusted_rand_score(sides, cluster(np.stack(tiny), k=2).labels)
print(f"clusters of pictures against sides: {agreement:.2f} (1: the same, 0: chance)")

# %% tags=["hide-output", "nbval-ignore-output"]
left_vectors, right_vectors = vectors(lefts), vectors(rights)
labels = cluster(np.concatenate([left_vectors, right_vectors]), k=2).labels
print(f"clusters of vectors against sides: {adjusted_rand_score(sides, labels):.2f}")

# %% [markdown]
# For pixels Tom is right, without exception. With the stored weights, EfficientNet-Lite0's, Mira is right about the vectors:
# clusters do not follow the sides. (An untrained network gives Tom's clusters; yours may lie in between.) But clusters follow
# only the largest differences. So lay a ruler, as for the letters. *Predict: for how many of the 24 vectors will it name the
# right side?*

# %% tags=["hide-output", "nbval-ignore-output"]
right = rightly(read_off(left_vectors, right_vectors))
print(f"the ruler is right for {right} of 24 vectors")

# %% tags=["hide-output"]
far = max(np.abs(right_way(m) - right_way(mirrored(m))).max() for m in plain)
print(f"once turned, a picture and its mirror image differ by at most {far:.4f}")

# %% [markdown]
# Seventeen, in the stored run; two other dozens of women gave 15 and 17. That is a weak ruler, hardly better than a coin, yet
# the side has left its mark. What no cluster shows may still be there. Turning costs nothing and takes the side out
# altogether, so the course turns.

# %% [markdown]
# ## Which way does it face?
#
# A right breast faces left, and a left one faces right. That is not anatomy either, so the course turns every chest wall
# to the left. But which pictures have to be turned? The header says `L` or `R`, if it says anything. Yet headers are
# wrong now and then, and a film can be scanned from the back. The mask knows better, since a breast tapers away from the
# chest wall.
#
# Beware of the border, though. Here is how many rows of each film the mask fills in the outermost column at the chest wall:

# %%
for name, breast in found.items():
    edge = breast[:, 0 if name.split()[1][0] == "L" else -1]
    print(f"{name:<15} {edge.sum():>5} of {len(edge)} rows")

# %% [markdown]
# One mask barely touches the border, and the next film's may end before it. So do not compare the borders of the picture.
# Compare the outer thirds of the mask's own *box*, from the first column that it fills to the last.
#
# ### Exercise 02.3: the chest wall to the left (9 minutes)
#
# Write `wall_to_left`. It gets a picture, the mask of the breast in it, and the side that the header states (`"L"`, `"R"` or
# None; it may be wrong). It returns the picture with the chest wall at the left, flipped left to right if need be. If one
# outer third of the mask's box holds at least a fifth more of the breast than the other, the chest wall is there. Otherwise
# the mask does not say, and you go by the header: the chest wall of an `"L"` is at the left, that of an `"R"` at the
# right. If the header is silent, too, leave the picture as it is.


# %%
def wall_to_left(picture, mask, stated_side):  # (H, W), (H, W) of bool, "L", "R", None
    ### BEGIN SOLUTION
    columns = np.flatnonzero(mask.any(axis=0))
    box = mask[:, columns[0] : columns[-1] + 1]
    third = max(1, box.shape[1] // 3)
    left, right = box[:, :third].sum(), box[:, -third:].sum()
    unsure = max(left, right) < 1.2 * min(left, right)
    turn = stated_side == "R" if unsure else right > left
    return picture[:, ::-1] if turn else picture
    ### END SOLUTION


exercise("02.3").check(wall_to_left)
# exercise("02.3").hint()

# %% [markdown]
# Run it on all 32 files, once with the side that the header states and once with the wrong one. *Predict: on how many
# does the header make a difference?*

# %% tags=["hide-output"]
to_left = exercise("02.3").use(wall_to_left, otherwise=squares.wall_to_left)
other = {"L": "R", "R": "L"}
turned, misled = 0, 0
for one in files.values():
    picture = shrink(one.pixels)[0]
    breast = breast_mask(picture)
    said = one.laterality, other[one.laterality]
    right, wrong = (np.asarray(to_left(picture.copy(), breast, side)) for side in said)
    turned += not np.array_equal(right, picture)
    misled += not np.array_equal(right, wrong)
print(f"turned: {turned} of {len(files)}; misled by a wrong header: {misled}")

# %% [markdown]
# On none: every mask here is plain enough. (The course's `Preprocessor` compares the outer tenths, and asks for half as
# much again.) From now on, the side is no longer in the picture.

# %% [markdown]
# ## How do you make it smaller? (skip on a first reading)
#
# A real mammogram here has some 4600 rows, and the picture gets 512. So a new pixel stands for about eighty old ones.
# *Nearest neighbour* takes one of them and drops the others; *area* takes their mean. *Predict: move the film by a single
# pixel before resizing, a shift that nobody could see. Which of the two results changes more?*

# %%
import cv2

from course_utils.plots.treatments import enlarged

crop = preprocess.trace(mammograms["benign LMLO"])["crop"]
columns = round(crop.shape[1] * 512 / crop.shape[0])


def opencv(how):
    return lambda picture: cv2.resize(picture, (columns, 512), interpolation=how)


ways = {"nearest": opencv(cv2.INTER_NEAREST), "area": opencv(cv2.INTER_AREA)}

# %% tags=["hide-input", "hide-output"]
caption = "The same 60 × 60 pixels: the grain of the film, and its mean."
resized = {name: way(crop) for name, way in ways.items()}
enlarged(resized, slice(260, 320), slice(60), caption=caption)

# %% [markdown]
# What looks like texture on the left is chance: which pixel happened to be hit. A calcification, the finest thing in a
# mammogram, comes and goes with it. The mean of $n$ pixels has noise that is smaller by $\sqrt{n}$ (where the noise of
# neighbours is independent), and a bright speck leaves its trace wherever the grid falls.
#
# In between lies *linear* interpolation. It weighs the four nearest pixels, unless the library smooths first. Some do by
# default, some do not. Here are four defaults, and how much each changes when the film moves by a pixel:

# %%
import torch
from PIL import Image
from torchvision.transforms import v2

linear = {"mode": "bilinear", "align_corners": False}
ways |= {
    "cv2.resize": opencv(cv2.INTER_LINEAR),
    "interpolate": lambda x: torch.nn.functional.interpolate(
        torch.tensor(x)[None, None], (512, columns), **linear
    )[0, 0].numpy(),
    "v2.Resize": lambda x: v2.Resize((512, columns))(torch.tensor(x)[None])[0].numpy(),
    "PIL": lambda x: np.asarray(Image.fromarray(x).resize((columns, 512))),
}

# %% tags=["hide-output", "nbval-ignore-output"]
shifted = np.roll(crop, (1, 1), axis=(0, 1))  # one pixel down and one to the right
change = {name: np.abs(way(shifted) - way(crop)).mean() for name, way in ways.items()}
for name, moved in change.items():
    print(f"{name:<11} changes {moved / change['area']:.1f} times as much as area")

# %% tags=["hide-output"]
grainy = [name for name, moved in change.items() if moved > 1.5 * change["area"]]
print("more than half as much again as area:", ", ".join(grainy))

# %% [markdown]
# So "resize to 512" is not one operation. OpenCV's `cv2.resize` and PyTorch's `interpolate` take four old pixels of the
# eighty into account by default. PIL's `resize` and torchvision's `Resize` smooth first; torchvision has done so for
# tensors only since version 0.17. Say which you used, and its version.

# %% [markdown]
# ## How do you make it square?
#
# The breast is tall, and the network wants a square. Here are four answers, all of them met in the wild. *Which one would
# you have taken, and what is wrong with each of the other three?*

# %%
import cv2

from course_utils.plots.treatments import squares_beside
from course_utils.teaching.shortcuts import before_padding, filled  # up to a square

narrow = before_padding(mammograms["malignant LMLO"], right_way)
shown = {
    "black": filled(narrow),
    "stretched": cv2.resize(narrow, (224, 224), interpolation=cv2.INTER_LINEAR),
    "mirrored": filled(narrow, mode="symmetric"),
    "gray": filled(narrow, constant_values=0.5),
}
squares_beside(shown, caption="One breast on four squares. Which borders are anatomy?")

# %%
boxes = {name: preprocess.trace(one)["crop"].shape for name, one in files.items()}
factors = [height / width for height, width in boxes.values()]
print(f"stretching widens them {min(factors):.1f}-fold to {max(factors):.1f}-fold")

# %% [markdown]
# *Mirrored* padding comes from photographs, where it hides a border. Here it grows a second breast. *Gray* puts a bar
# there that is brighter than fat and has a straight edge. How wide it is depends on the woman's proportions, so it
# becomes a measurement of her. *Stretching* bends every woman by a factor of her own, so that roundness and the direction
# of a duct mean something else in each of them. *Black* adds what is there already: ground.
#
# And the course adds it on one side only. With half of it on either side, the chest wall would stand elsewhere in every
# picture.

# %% [markdown]
# ### Exercise 02.4: onto a square (7 minutes)
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
# That was the last part, so put them together: the mask, its box, your turn, your square. How far is that from the
# course's way, in gray (0 to 1) and on average over a picture?

# %% tags=["hide-output"]
fit = exercise("02.4").use(onto_square, otherwise=squares.onto_square)


def own_way(mammogram):
    breast = breast_mask(mammogram.pixels)
    rows, columns = (np.flatnonzero(breast.any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    black = mammogram.pixels[box] * breast[box]
    turned = to_left(black, breast[box], mammogram.laterality)
    return np.asarray(fit(np.ascontiguousarray(turned), 224))


far = [np.abs(own_way(one) - right_way(one)[0]).mean() for one in files.values()]
print(f"on average {np.mean(far):.3f}, at most {max(far):.3f}")

# %% [markdown]
# You have written the course's preprocessing, all but the mask and the room of one hundredth that the course leaves around the
# breast, which is why the two differ a little.

# %% [markdown]
# ## How many millimetres is a pixel?
#
# One factor for height and width, so nothing is bent. But each woman has a factor of her own: her breast is made as large as
# the square allows. So a pixel stands for fewer millimetres in a small breast than in a large one. *Predict: how far do the
# factors of our twelve women differ, over both views? And what becomes of a mass of 10 mm?*

# %% tags=["hide-output"]
scale = {}
for row in cohort.itertuples():
    one = files[row.path.stem]
    height = max(right_way.trace(one)["crop"].shape) * one.spacing_mm[0]
    scale.setdefault(row.view, []).append(height / 224)
for view, mm in scale.items():
    span = f"{min(mm):.2f} to {max(mm):.2f} mm a pixel"
    print(f"{view:>3}: {span}, {max(mm) / min(mm):.2f}-fold")
every = [mm for found in scale.values() for mm in found]
wide = [10 / mm for mm in (max(every), min(every))]
print(f"both: {max(every) / min(every):.2f}-fold")
print(f"a mass of 10 mm: {wide[0]:.0f} to {wide[1]:.0f} pixels wide")

# %% [markdown]
# The same mass covers more than twice as many pixels in one picture as in another. And a good part of that goes with the
# *view*: every MLO here is drawn smaller than every CC, since an oblique view is taller. Whatever the network makes of
# size and texture, it sees both through a lens of another strength in each woman, and in each view.
#
# The other way is one scale for all: `mm_per_pixel`. *Predict: what does the network then see of a small breast?*

# %% tags=["hide-output"]
to_scale = replace(right_way, mm_per_pixel=1.1)
scales = {"own scale": right_way, "one scale": to_scale}


def fills(way, path):
    return (way(files[path.stem]) > 0).mean()


for name, way in scales.items():
    shares = [fills(way, path) for path in cohort.path]
    print(f"{name}: the breast fills {min(shares):.0%} to {max(shares):.0%}")


# %% tags=["hide-input", "hide-output"]
above = cohort.path[cohort["view"] == "CC"]
above = sorted(above, key=lambda path: fills(to_scale, path))
shown = {}
for name, way in scales.items():
    for size, path in {"small": above[0], "large": above[-1]}.items():
        shown[f"{size}, {name}"] = way(files[path.stem])[0, ::2, ::2]
caption = "The smallest CC and the largest, each at its own scale, then both at one."
squares_beside(shown, caption=caption)

# %% [markdown]
# To scale, a large breast is large, and 10 mm are 9 pixels in everybody. It costs detail: the smallest breast has less
# than half the pixels it could have, and most of what the network sees is ground. And its *size* is now the plainest
# thing in the picture, which a scale of her own would have hidden. Neither way is wrong. What is wrong is to mix them, or
# not to say which it was.
#
# How does the file know? Two elements look alike. **ImagerPixelSpacing** (0018,1164) is the spacing at the *detector*.
# The breast lies above it and is projected a little larger than it is: in a contact view by some hundredths, in a
# [magnification view](../docs/glossary.md#magnification-view) by half or more, which EstimatedRadiographicMagnificationFactor
# (0018,1114) states if it is there. **PixelSpacing** (0028,0030) means millimetres in the patient, if somebody has
# calibrated them; in mammograms it is often missing or a copy of the other. The course takes ImagerPixelSpacing first, corrects
# nothing, and keeps `magnification` among a mammogram's `modifiers`, so that you can leave such views out. And where neither
# is there, as in our films, there is no scale to be had:

# %%
from course_utils.imaging import MammogramError

try:
    to_scale(mammograms["benign RCC"])
except MammogramError as error:
    print(error)

# %% [markdown]
# ## Should you normalise? (skip on a first reading)
#
# Many pipelines subtract the picture's mean $\mu$ from each gray $x$ and divide by its standard deviation $\sigma$. The
# result $z = (x - \mu) / \sigma$ is called a z-score. *Predict: two breasts of the same tissue, one larger than the other.
# Do equal tissues get equal numbers?*
#
# Work it out for a breast of one even gray $g$ that fills a share $p$ of the frame, on black. Then $\mu = p\,g$ and
# $\sigma = g \sqrt{p (1 - p)}$, and the ground becomes $-\mu / \sigma = -\sqrt{p / (1 - p)}$. The gray has dropped out.
# What is left is $p$: *how much of the frame is breast*. Breasts are not even, so let us see how far that holds, with
# three of them on wider and wider detectors.


# %%
def z_score(picture):
    return (picture - picture.mean()) / picture.std()


# %% tags=["hide-output"]
share, ground = {}, {}
for woman in (0, 4, 9):
    breast = plain[woman].pixels
    widths = [round(extra * breast.shape[1]) for extra in (0, 0.25, 0.5, 1)]
    frames = [np.pad(breast, ((0, 0), (0, more)), mode="edge") for more in widths]
    name, inside = f"woman {woman + 1}", breast_mask(breast).sum()
    share[name] = [inside / frame.size for frame in frames]
    ground[name] = [z_score(frame)[0, -1] for frame in frames]
    white = [z_score(frame).max() for frame in frames]
    first, last = (f"{ground[name][end]:.2f}, {white[end]:.1f}" for end in (0, -1))
    print(f"{name:<8} ground and whitest tissue go from {first} to {last}")

# %% tags=["hide-output"]
from course_utils.plots.treatments import ground_by_share

ground_by_share(share, ground)

# %% [markdown]
# Not a pixel of tissue has changed, and its numbers have. The three lines run down beside the dashed curve (above it,
# since a breast is not even): what they tell is above all how much of the frame is breast. A network that gets such
# numbers knows who is large, and which detector was used.
#
# *Equalising the histogram* gives each pixel its rank among all pixels in place of its gray, from the darkest, 0, to the
# brightest, 1; CLAHE does that tile by tile. It shows the eye more. What does it take away?
#
# A dense breast is not brighter on average, in these phantoms as on a machine that controls its exposure: the mean is
# held. What in its grays tells it from a fatty one, then? Measure their *spread* inside the breast, the standard
# deviation, for our twelve women on one vendor's machine. *Predict: which class has the largest spread, as it is? And
# which one after equalising?*


# %%
women = [taken(replace(one, vendor="alder", label=False))[0] for one in twelve]
classes = [one.density for one in twelve]


def spread(mammogram, equalise):
    picture, inside = right_way.with_mask(mammogram)
    grays = picture[inside]
    if equalise:  # each gray becomes its rank
        grays = grays.argsort().argsort() / len(grays)
    return grays.std()


# %% tags=["hide-output"]
spreads = {}
for equalise, name in enumerate(("as it is", "equalised")):
    spreads[name] = np.array([spread(one, equalise) for one in women])
for name, values in spreads.items():
    means = {each: values[np.array(classes) == each].mean() for each in "abcd"}
    print(f"{name:<9}", *(f" {each}: {mean:.2f}" for each, mean in means.items()))

# %% tags=["hide-input", "hide-output"]
from course_utils.plots.treatments import by_class

caption = "A dot is a woman. Her grays' spread follows density; that of ranks does not."
alt = "Dots move right from class a to d; after equalising, all stand on one line."
xlabel = "spread of grays (0 to 1)"
by_class(spreads, classes, xlabel=xlabel, caption=caption, alt=alt)

# %% [markdown]
# From *a* to *d* the spread grows by two thirds, since gland and fat lie further apart in a dense breast, and no woman of
# class *a* comes near one of class *d*. Ranks have a spread of $1/\sqrt{12} = 0.29$ in every woman: what told the classes
# apart is gone. So the course does neither. (The mean
# and the standard deviation that go with a network are constants, the same for every picture. They are part of the
# network.)

# %% [markdown]
# ## And where the file names no window? (skip on a first reading)
#
# The grays come from lesson 01: the display transform that the file asks for, on a range that does not depend on what
# else is in the picture. That is the principle. Here is what was used for our eight real films:

# %%
print(*{one.voi for one in mammograms.values()})

# %% [markdown]
# They name no window. Then the course takes the range between two percentiles, 0.5 and 99.5, of what lies well inside the breast,
# and that range *is* the picture's own. *Predict: we set nine pixels of one breast to white, as a marker clip would. Then we
# leave out the top third of it, the muscle, as if the film had been placed lower. How far does the gray of the tissue below
# move by each of three rules?*

# %%
path = real_mammograms().path[2]  # benign RMLO
stored = shrink(read_mammogram(path, voi="none").pixels)[0]
breast = shrink(breast_mask(read_mammogram(path).pixels).astype(np.float32))[0] == 1
y, x = np.nonzero(breast)
below = breast.copy()
below[: np.quantile(y, 1 / 3).astype(int)] = False
clip = stored.copy()
middle = y[len(y) // 2], x[len(y) // 2]
clip[middle[0] - 1 : middle[0] + 2, middle[1] - 1 : middle[1] + 2] = 1

# %% tags=["hide-output"]
rules = {
    "minimum to maximum": lambda grays: (grays.min(), grays.max()),
    "percentiles": lambda grays: np.percentile(grays, (0.5, 99.5)),
    "a fixed range": lambda grays: (0, 1),
}
print(f"{'':<19} as it is  with clip  no muscle")
for name, rule in rules.items():
    ranges = [rule(grays) for grays in (stored[breast], clip[breast], stored[below])]
    gray = [(np.median(stored[below]) - low) / (high - low) for low, high in ranges]
    print(f"{name:<19}", "     ".join(f"{each:6.2f}" for each in gray))

# %% [markdown]
# Percentiles do not feel the clip. They are *robust*, which a minimum and a maximum are not. But they do feel the muscle:
# the same tissue, untouched, gets another gray because of what else was on the film. And whatever makes a whole film
# darker or brighter, a longer exposure as well as more gland, is stretched away, for the brightest half per cent is
# always white. That is the cost.
#
# A fixed range costs nothing of the kind, *if* the numbers mean the same in every file. From one scanner with one setting
# they do, and you may set `voi` yourself. From films of unknown age, exposure and scanner they do not, and then there is
# nothing better than a robust range of the picture's own. So take it, and say so: `voi` is a column of the table beside
# the vectors. Hold it against your clusters, as lesson 09 does with view and vendor.

# %% [markdown]
# ## Does it hold for all of them?
#
# Never trust a pipeline after three pictures. Here are all the files of this lesson, real ones first. *Look for tissue
# outside the orange line, for letters inside it, and for a chest wall that is not at the left.*

# %% tags=["hide-input"]
from course_utils.plots.treatments import films_and_squares

outlines = {name: breast_mask(shrink(one.pixels)[0]) for name, one in files.items()}
seen = {name: right_way(one)[0] for name, one in files.items()}
shown = {name: shrink(one.pixels)[0] for name, one in files.items()}


def sheet(names, **size):
    some = {name.replace("_", " "): shown[name] for name in names}
    kept = [[found[name] for name in names] for found in (outlines, seen)]
    return films_and_squares(some, *kept, **size)


sheet([*mammograms], columns=4, height=214)

# %% tags=["hide-input"]
sheet([path.stem for path in cohort.path], columns=8, height=76)

# %% [markdown]
# Did you find any? The line errs on the large side, as it should: it takes in a strip of ground beside the skin, and the white
# speck that you know. They cost less than they look. Your own archive will hold things that are not in here, so look at a
# page like this one before you trust the pipeline with it.

# %% [markdown]
# ## What does each shortcut do to an embedding?
#
# Which shortcut moves a vector furthest from where the right way puts it? Does any move it as far as another woman would
# be? Mira bets on the centre cut: tissue is missing. Tom bets on mirrored padding: a breast has been added.
#
# We treat all 24 synthetic files in the right way, in yours, and in ten others: those that you have met, flipping all
# pictures, and CLAHE, which stretches the contrast tile by tile.

# %%
from course_utils.teaching.shortcuts import share_of_alike, shortcuts, told_apart

ways = {"the right way": lambda one: right_way(one)[0], "your own way": own_way}
ways |= shortcuts(right_way)
asked = [files[path.stem] for path in cohort.path]
treated = {}
for name, way in ways.items():
    treated[name] = vectors([np.float32(way(one))[None] for one in asked])

# %% [markdown]
# A distance is a difference, not yet a harm. So ask two more things. If *all* pictures are treated in one way, does an
# image's nearest neighbour, among the other women, still share its view and its density? And if *half* of the women in an
# archive are treated in one way and half in the right one, does the nearest neighbour share the treatment?
#
# *Predict the three worst by distance, and the three worst by harm.*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.plots import shifts

right = treated["the right way"]
women, view, density = cohort[["woman", "view", "density"]].to_numpy().T
between = (1 - right @ right.T)[np.triu(women[:, None] != women)]
moved = {name: 1 - (right * points).sum(axis=1) for name, points in treated.items()}
columns = {"same view": {}, "same density": {}, "treated alike": {}}
for name, points in treated.items():
    columns["same view"][name] = share_of_alike(points, view, women)
    columns["same density"][name] = share_of_alike(points, density, women)
    columns["treated alike"][name] = told_apart(right, points, women)
chance = {"same view": 1 / 2, "same density": 2 / 11, "treated alike": 10 / 22}
shifts(moved, between, kept=columns, chance=chance)

# %% [markdown]
# In the stored figure, which is EfficientNet-Lite0's, Tom wins: mirrored padding moves a picture more than half of the
# way to another woman. Stretching comes close. (With ResNet-50 the dots lie elsewhere. Who wins on your machine?)
#
# Now the columns. If all pictures are treated alike, every neighbour keeps its view, and most rows keep their density
# about as often as the right way does. Three fall to about what chance would give. But one image of 24 is four per cent,
# so beware: we asked 96 images of 48 other women, too, and 96 of 48 more. There the right way gave 0.56 and 0.66, and no
# row lay further than 0.15 from it. What is done to everybody does little harm to neighbours.
#
# The last column is where it bites. Mirror, stretch or centre half of the women, and nine times out of ten the nearest
# neighbour is one who was treated alike: the archive falls into two halves, and neither of them is anatomy. Nobody does
# that on purpose. Two clinics with two scripts do, or two versions of a library. One scale for half of them is noticed as
# well, about six times in ten, where chance would give four and a half. Not every shortcut shows so plainly. The letters
# moved a vector by a short way only, and a ruler read them off all the same.

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
# **Look at the neighbours.** Nothing may depend on the batch, the order or the other files. Otherwise no vector could be kept
# for later, since nobody could say what it would have been in other company.

# %%
first = next(iter(files.values()))
alone = right_way(first)
in_company = [right_way(one) for one in [*files.values()][::-1]][-1]
differ = (alone != in_company).sum()
print("pixels that differ, alone and after all the others:", differ)

options = [{}, {}, {"size": 512}, {"mask": False}, {"mm_per_pixel": 1.1}]
prints = {Preprocessor(**{"size": 224, **some}).fingerprint for some in options}
print(len(options), "preprocessors, two of them alike:", len(prints), "fingerprints")

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
# Random moves cancel out over many women. Letters move all vectors the same way, so a ruler reads them off women whom it has
# never seen. If letters go with the diagnosis, a classifier finds them.
# </details>
#
# <details><summary>3. Somebody resizes to 224 × 224 with <code>cv2.resize</code> and its defaults, and says that the network will learn to cope. What has become of two women, one broad and one slender?</summary>
#
# They have the same outline now, each bent by another factor, and what told them apart is spread over everything else. A
# frozen network learns nothing about it. And `cv2.resize` has looked at four old pixels of dozens, unless told otherwise.
# (That is true of PyTorch's `interpolate` as well, but not of PIL, nor of torchvision's `Resize` today.)
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
# No. Clusters follow the largest differences only. Ask directly: lay a ruler through women whose side you know, and hold it
# to others, as you did with the letters.
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
# The breast is the largest piece: its core first, then its rim. Letters, film edges and noise stay behind. Crop to its box,
# for a cut from the centre loses tissue. Turn the chest wall to the left by what the mask shows, and ask the header where it
# does not. Resize by area, by one factor, and say which scale it was. Pad with ground, on one side. Leave grays as the
# file's display transform made them; where there is none, take a robust range and record it. A shortcut that hits everybody
# alike does little; one that differs from woman to woman or from clinic to clinic becomes a feature. Preprocessing looks at
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
