# %% [markdown]
# # 00 · Start here: from a mammogram to a row of numbers
#
# > **Educational and research use only.** Not for clinical or diagnostic use.
# > No medical decision may rely on these results.
#
# **You will be able to**
#
# - check that your machine is ready for this course
# - say which parts of a mammogram's file can identify a person, and work without them
# - take one mammogram the whole way, from its file to a vector
# - bring stored integers to a range that means the same in every picture
# - keep vectors and labels in one order, and see what happens when they are not
#
# **Prerequisites.** Python functions and a little NumPy. No medicine and no deep learning: both come as we
# need them.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 40 min | under 20 s | under 2 GB | none | not needed |
#
# Each lesson has such a card. Its run time is that of [one particular machine](../docs/resource-cards.md) with two cores; on an
# older laptop count on twice as much.

# %% [markdown]
# ## Is this machine ready?
#
# Run the cell below (Shift + Enter). Each line says `[ok]`, or what to do. A missing GPU is no fault:
# everything in this course runs on an ordinary laptop.

# %% tags=["nbval-ignore-output"]
from course_utils.doctor import doctor

ready = doctor()

# %% [markdown]
# ## What may you do with a mammogram?
#
# Three rules hold in every lesson.
#
# **Nothing here is for patients.** The network that you will use learnt from photographs of dogs and
# teapots. Whatever patterns it finds in a breast, no doctor has checked them. Not for a diagnosis, not as a
# second opinion, not for your aunt.
#
# **Keep its header to yourself.** A mammogram is more than its pixels. It comes as a DICOM file, and such a file also carries a header:
# dozens of named fields that the clinic's computers filled in. *Predict before you run the cell: which
# kinds of field in there could lead back to a person? Think of three.*

# %%
import re

import numpy as np
import pydicom

from course_utils.imaging.datasets import sample_cohort

cohort = sample_cohort()
header = pydicom.dcmread(cohort.path[0], stop_before_pixels=True)
names = [element.keyword for element in header]

print(len(cohort), "files, all of them synthetic: no person stands behind any of them")
print("about the person:", *[name for name in names if re.match("Patient(Name|ID|Birth|Sex)", name)])
print("about the visit:", *[name for name in names if re.match("(Study|Content)(Date|Time)|Acc", name)])
print("unique in the world:", *[name for name in names if name.endswith("InstanceUID")])

# %% [markdown]
# The name is not the only thing that identifies. A date of birth with a date of examination singles people out, and so
# does a number that is unique in the world: whoever holds the clinic's archive can look it up. Note that
# the cell printed the *names* of the fields, never what is in them. Make that a habit. A notebook keeps its
# outputs, and notebooks get e-mailed.
#
# **So we work under pseudonyms.** `read_mammogram` is the one door through which pixels enter this course.
# It turns the identifying numbers into pseudonyms with a secret key: the same patient gets the same
# pseudonym, and without the key nobody gets back.

# %%
from course_utils.imaging import read_mammogram

key = b"a real key is random and stays at home"
mammogram, same_woman = (read_mammogram(path, key=key) for path in cohort.path[:2])
for one in (mammogram, same_woman):
    print(one.image_id, "is of", one.patient_key, "view", one.view, "side", one.laterality)

other_key = read_mammogram(cohort.path[0], key=b"another key")
print("with another key the same patient is", other_key.patient_key)

# %% [markdown]
# CC and MLO are the two standard *views*: from above (cranio-caudal), and at a slant from the side
# (medio-lateral oblique), which also shows the chest muscle. You will meet both in every lesson.

# %% [markdown]
# ## What becomes of one mammogram?
#
# Here is the whole course in one cell. A *file* becomes a **mammogram** (right gray values, lesson 01),
# then a **picture** (the breast alone, on a square, lesson 02), then a **vector** (what a network makes of
# it, lessons 03 to 05). All later lessons ask what such vectors are good for.
#
# *Predict: the picture has 512 × 512, about 262 thousand numbers. How many will the network keep? A
# hundred? A thousand? A hundred thousand?*

# %% tags=["nbval-ignore-output"]
from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor

preprocess = Preprocessor(size=512)
extractor = EmbeddingExtractor(load_backbone())

picture = preprocess(mammogram)
vector = extractor.embed(picture[None])[0]
print(extractor.backbone.name, "turned", picture.size, "numbers into", vector.size)

# %%
from matplotlib.figure import Figure

from course_utils.plots import Illustration

figure = Figure(figsize=(9, 3.4), layout="constrained")
left, middle, right = figure.subplots(1, 3)
_ = left.imshow(mammogram.pixels, cmap="gray", vmin=0, vmax=1)
_ = middle.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
numbers = right.imshow(vector.reshape(32, -1), cmap="cividis", aspect="auto")
figure.colorbar(numbers, ax=right, label="activation (no unit)")
for axes, what in ((left, "mammogram"), (middle, "picture"), (right, "vector")):
    axes.set(title=f"the {what}", xlabel="column", ylabel="row")
caption = "As read; as the network gets it; what it makes of it. One cell on the right is one number."
alt = "A mammogram, the same breast cropped to a square, and a mosaic of few bright cells on dark."
Illustration(figure, caption, alt)

# %% [markdown]
# With ResNet-50 there are 2048 numbers, with the smaller EfficientNet-Lite0 1280: about one for every two
# hundred that went in. (The vector is folded into 32 rows only to fit on the page; neighbouring cells have
# nothing to do with one another.) Each number says how strongly one pattern, learnt from photographs, was
# found in the picture. Most are near zero, and a few light up. Such a vector is called an **embedding**.
#
# Two steps on this way look too small to go wrong. Both go wrong in silence, so you will write them
# yourself.

# %% [markdown]
# ## Which number is white?
#
# A file stores gray values as integers, and a network wants numbers from 0 to 1. So divide, but by what?
# The brightest pixel of the picture is at hand: divide by that, and every picture uses the full range from
# 0 to 1.
#
# Now take one picture twice. The second time the technician has laid a strip of metal beside it, to
# mark the side. The breast is the same, pixel for pixel. *Predict: after dividing each by its own maximum,
# will the breast have the same numbers in both?*

# %%
fatty = cohort.query("density == 'a' and view == 'CC' and vendor == 'birch'").iloc[0]
plain = pydicom.dcmread(fatty.path).pixel_array
marked = plain.copy()
marked[20:32, 120:180] = 4095  # metal stops all rays: the brightest value there is

breast = plain > 500
pictures = {"as it is": plain / plain.max(), "with metal": marked / marked.max()}
for title, pixels in pictures.items():
    print(f"{title:>10}: the breast is {pixels[breast].mean():.2f} on average")

# %%
figure = Figure(figsize=(9, 3.4), layout="constrained")
*panels, curves = figure.subplots(1, 3)
for axes, (title, pixels), line in zip(panels, pictures.items(), ("-", "--"), strict=True):
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axes.set(title=title, xlabel="column (pixel)", ylabel="row (pixel)")
    share, edges = np.histogram(pixels[breast], bins=60, range=(0, 1))
    curves.plot(edges[:-1], share / share.sum(), line, label=title)
curves.set(title="the breast alone", xlabel="gray value (0 to 1)", ylabel="share of pixels")
curves.legend(frameon=False)
caption = "Each divided by its own maximum: metal beside it shifts every number in the breast."
alt = "One breast twice, once with a bright strip beside it; its curve of gray values lies lower."
Illustration(figure, caption, alt)

# %% [markdown]
# Nothing in the breast has changed, and every number in it has. A network can learn that: it will find out
# which clinic uses metal markers, and call it anatomy.
#
# The way out is a number that does not depend on the picture. The header says how many bits each stored
# value uses (`BitsStored`); the largest integer that fits becomes 1, whether or not any pixel reaches it.
# Lesson 01 refines this for the display windows that a file may ask for. The rule stays: *a fixed range,
# never the picture's own*.

# %% [markdown]
# ### Exercise 00.1: stored integers to the range 0 to 1 (5 minutes)
#
# Write `scale_to_unit`. It gets an array of unsigned integers and the number of bits that the file uses,
# and returns float32 numbers of the same shape: 0 stays 0, and the largest integer that fits into so many
# bits becomes exactly 1.
#
# Run the cell to check your answer, as often as you like. If you are stuck, take the `#` off the last line:
# each run gives one more hint.


# %%
from course_utils.teaching import exercise


def scale_to_unit(pixels, bits_stored):  # (H, W) unsigned integers -> (H, W) float32 in [0, 1]
    ### BEGIN SOLUTION
    return (pixels / (2**bits_stored - 1)).astype("float32")
    ### END SOLUTION


exercise("00.1").check(scale_to_unit)
# exercise("00.1").hint()

# %% [markdown]
# ## What does a network that knows teapots see in a breast?
#
# Two people look over your shoulder. Noor says: *"It learnt from photographs. Mammograms will all look the
# same to it, and the vectors will be noise."* Emil says: *"No, it is good at texture. It will find breasts
# of the same density alike: the white ones, and the dark ones."*
#
# Let the data settle it. Embed all the mammograms; then, for each, find the one whose vector is most like
# its own. "Alike" is the *cosine* of the angle between two vectors, $\cos(a, b) = \frac{a \cdot b}{\lVert a
# \rVert \lVert b \rVert}$, where $a \cdot b$ is the sum of the products of their numbers and $\lVert a
# \rVert$ the length of $a$: it is 1 if both point the same way, whatever their lengths. *Who is right, do
# you think?*

# %%
extraction = extractor.extract(list(cohort.path), preprocess, progress=False)
vectors = extraction.vectors
print(len(vectors), "vectors,", len(extraction.failures), "failures")

unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
cosine = unit @ unit.T
np.fill_diagonal(cosine, -1)  # nobody is their own neighbour
nearest = cosine.argmax(axis=1)

# %% [markdown]
# Look before you count. In each row below, the first mammogram asks, and the three to its right are the
# most alike.

# %%
from course_utils.plots import contact_sheet

asking = [cohort.file.tolist().index(f"{name}.dcm") for name in ("W01_LCC", "W10_RMLO", "W04_LMLO")]
shown = [i for row_of in asking for i in (row_of, *cosine[row_of].argsort()[::-1][:3])]
titles = [f"{cohort['view'][i]}, density {cohort.density[i]}" for i in shown]
titles = [f"asks: {title}" if n % 4 == 0 else title for n, title in enumerate(titles)]
caption = "First column: the mammogram that asks. Then the three whose vectors are most like its own."
contact_sheet([extraction.thumbnails[i] for i in shown], titles, columns=4, caption=caption)

# %% [markdown]
# What do the neighbours share? Let us count. Since these mammograms are synthetic, we know the truth about
# each: view, density, and the style of the (made-up) vendor whose machine took it. For comparison stands
# what chance alone would give.


# %%
def share_alike(labels):
    """How often a mammogram and its nearest neighbour share a label, and how often two at random."""
    labels = np.asarray(labels)
    same = labels[:, None] == labels
    others = (same.sum(axis=1) - 1) / (len(labels) - 1)
    return (labels == labels[nearest]).mean(), others.mean()


share, chance = share_alike(cohort["view"])
print("the nearest neighbour is nearly always of the same view:", share > 0.85)
print(f"two mammograms at random are of the same view in {chance:.0%} of cases")

# %%
figure = Figure(figsize=(6.4, 2.6), layout="constrained")
axes = figure.subplots()
halves = cohort.density.isin(["a", "b"])  # the two lighter classes, against the two denser ones
kinds = {"view": cohort["view"], "light or dense": halves, "density": cohort.density, "vendor": cohort.vendor}
shares, chances = zip(*[share_alike(labels) for labels in kinds.values()], strict=True)
_ = axes.barh(range(4), shares, color="#0072B2", height=0.55, label="nearest neighbour")
_ = axes.plot(chances, range(4), "d", color="#D55E00", markersize=11, label="two at random")
_ = axes.set_yticks(range(4), list(kinds))
_ = axes.set(xlim=(0, 1), xlabel="share of pairs with the same label (0 to 1)")
axes.invert_yaxis()
_ = axes.legend(loc="lower right", frameon=False)
caption = "How often the nearest neighbour is of the same kind; a diamond is what chance would give."
alt = "Four bars: view, light or dense, and density reach far beyond their diamonds; the bar for vendor does not."
Illustration(figure, caption, alt)

# %% [markdown]
# Noor is wrong: the vectors are no noise, they tell the two views apart almost without fail. And within a
# view Emil is right: light breasts find light ones, dense ones find dense ones, and the exact class is met
# far more often than chance would. (The stored figure is EfficientNet-Lite0's; with ResNet-50 the bars will
# differ.)
#
# So the vendor leaves no trace? Its bar does not even reach what chance gives. But look at the sample: each
# vendor took exactly one woman of each class. So a neighbour of the same view and the same class is *always*
# from another vendor. The two bars compete, and density wins. A nearest neighbour shows what weighs most in a
# vector, not all that is in it.
#
# That we can tell the two apart at all is because this sample mixes them evenly. Suppose that one vendor had
# taken all the dense breasts. Then the bars for density and for vendor would be the same bar, and nobody could
# say which of the two the network sees. That is a **confounder**: what you ask for, and how the picture was
# taken, are tangled up in the data. Real archives are full of them. In the study of Zech and others, under
# *Go further*, a network could tell which hospital a picture came from.
#
# So a cluster that looks like a finding may be a machine. Lessons 07 to 09 are about how not to be fooled,
# and lesson 10 asks what the vectors know of density, for somebody who knows how to look. And 24 pictures
# prove little: how little is a question for lesson 09.

# %% [markdown]
# ## Which row is whose?
#
# That bar for the view is the best result of this lesson. Now watch it vanish. Somebody sorts the table by
# the thickness of the breast, to look at the extremes, and takes the labels from it. The vectors stay as
# they were. *Predict: which error will Python raise?*

# %%
sorted_cohort = cohort.sort_values("thickness_mm")
share, chance = share_alike(sorted_cohort["view"])
print("as many labels as vectors:", len(sorted_cohort) == len(vectors))
print("the nearest neighbour is nearly always of the same view:", share > 0.85)
print("more often than two at random, by a fifth or more:", share > chance + 0.2)

# %% [markdown]
# No error. There are as many labels as vectors, everything runs, and the best result of the day is gone.
# Here you noticed, since you knew what to expect. In a study nobody knows: a real effect would be missed,
# or an accident reported. Files listed in one order and labels read in another make the quietest of bugs.
# The cure is to look vectors up *by name*, and never to trust that two lists happen to match.

# %% [markdown]
# ### Exercise 00.2: vectors in the order of their labels (5 minutes)
#
# Write `in_order`. It gets a dictionary that maps a name to a vector of D numbers, and a list of N names in
# the order of the labels. It returns an array `(N, D)` whose row *i* is the vector of `names[i]`. A name
# may come twice. A name without a vector must raise an error, not pass in silence.


# %%
def in_order(vectors, names):  # vectors: {name: (D,)}, names: N strings -> (N, D)
    ### BEGIN SOLUTION
    return np.stack([vectors[name] for name in names])
    ### END SOLUTION


exercise("00.2").check(in_order)
# exercise("00.2").hint()

# %% [markdown]
# The solved version of this lesson is [here](solutions/00_start_here.ipynb). Look at it after you have
# tried: the checks tell you more when you are wrong.

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. Your colleague has removed PatientName from all headers. Is the archive
# anonymous?</summary>
#
# No. Dates, the accession number, the patient's ID and the unique numbers of study, series and image still
# lead back to a person, and letters burned into the pixels may too.
# </details>
#
# <details><summary>2. A vector has 1280 numbers. Does number 17 stand for a place in the breast?</summary>
#
# No. It says how strongly one learnt pattern was found in the picture as a whole. Where it was found is lost
# (lesson 03 shows how).
# </details>
#
# <details><summary>3. Two pictures of one breast were divided by their own maxima. When do equal tissues
# still have equal numbers?</summary>
#
# Only if both maxima happen to be equal. A marker, a clip or one hot pixel is enough to break it.
# </details>
#
# <details><summary>4. The nearest neighbours agree in view nearly always. Emil concludes that the network
# understands mammography. What do you say?</summary>
#
# The two views differ in outline, and one of them has a muscle in the corner. A network that knows nothing
# about breasts can tell such shapes apart. Agreement with a label says that something goes with the label,
# not what.
# </details>
#
# <details><summary>5. Why did sorting the labels raise no error, and which habit would have caught
# it?</summary>
#
# An array does not know what its rows stand for; only the numbers of rows are compared. Keep the name
# beside the vector, look labels up by name, and be suspicious of results at chance as much as of results
# that are too good.
# </details>

# %% [markdown]
# ## Recap
#
# A file holds pixels and a header, and the header identifies people: we work under pseudonyms. A mammogram
# becomes a picture and then a vector of 1280 or 2048 numbers, with a network that never saw a breast. Gray
# values are scaled by a fixed range, never by the picture's own. Vectors and labels are joined by name,
# never by luck. Neighbours share what weighs most in their vectors: here the view, that is, how the picture was
# taken, before anything that is in it.

# %% [markdown]
# ## Go further
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*. CVPR 2016.
#   [doi 10.1109/CVPR.2016.90](https://doi.org/10.1109/CVPR.2016.90).
#   The network of this course, and of lesson 03.
# - M. Raghu, C. Zhang, J. Kleinberg, S. Bengio: *Transfusion: Understanding Transfer Learning for Medical
#   Imaging*. NeurIPS 2019. [arXiv 1902.07208](https://arxiv.org/abs/1902.07208).
#   What networks from photographs bring to medical images, and what they do not.
# - J. R. Zech, M. A. Badgeley, M. Liu, A. B. Costa, J. J. Titano, E. K. Oermann: *Variable generalization
#   performance of a deep learning model to detect pneumonia in chest radiographs*. PLOS Medicine 15(11),
#   e1002683, 2018. [doi 10.1371/journal.pmed.1002683](https://doi.org/10.1371/journal.pmed.1002683).
#   A network that could tell which hospital a picture came from.
# - *DICOM PS3.15, Annex E: Attribute Confidentiality Profiles*.
#   [dicom.nema.org](https://dicom.nema.org/medical/dicom/current/output/html/part15.html#chapter_E).
#   The list of what identifies people, field by field.
#
# **Next:** [lesson 01, mammograms as DICOM](01_mammograms_as_dicom.ipynb): what stands in the file, and how its
# numbers become the grays that its maker meant.
