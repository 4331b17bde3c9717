# %% [markdown]
# # 00 · Start here: from a mammogram to a row of numbers
#
# > **Educational and research use only.** Not for clinical or diagnostic use.
# > No medical decision may rely on these results.
#
# **You will be able to**
#
# - check that your machine is ready for this course
# - say what a mammogram shows, what *dense* means, and what in its file can identify a person
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
# Each lesson has such a card. Where it gives your time twice, the first is for a first reading, without the sections
# whose headings say so. The run time is that of [one particular machine](../docs/resource-cards.md) with two cores; on an
# older laptop count on twice as much. Words that you do not know are in the [glossary](../docs/glossary.md).

# %% [markdown]
# ## Is this machine ready?
#
# Run the cell below (Shift + Enter). Each line says `[ok]`, or gives a note, or, after `[!!]`, says what to do. A
# missing GPU is no fault: everything in this course runs on an ordinary laptop.

# %% tags=["nbval-ignore-output"]
from course_utils.doctor import doctor

ready = doctor()

# %% [markdown]
# ## What does a mammogram show?
#
# A mammogram is an X-ray picture of a breast that is pressed flat between two plates. What stops the rays comes
# out bright: glandular and connective tissue, muscle, the lead letters that say which side it is. Fat lets most
# of them through and comes out dark gray. Beside the breast nothing is in the way, and the ground is black.
#
# There are two standard *views*: from above (CC, cranio-caudal, "from head to foot"), and at a slant from the
# side (MLO, medio-lateral oblique), which also shows the chest muscle. A screening examination is both views of
# both breasts, four pictures.
#
# How much of a breast is bright tissue differs from woman to woman. Radiologists call it
# [density](../docs/glossary.md#density), and sort it into the four classes of
# [BI-RADS](../docs/glossary.md#bi-rads), the dictionary in which they write their reports:
#
# - **a**, almost entirely fatty: dark throughout, so that a lump would stand out
# - **b**, scattered: patches of glandular tissue in the fat
# - **c**, heterogeneously dense: so much bright tissue that a small lump could hide in it
# - **d**, extremely dense: bright nearly everywhere, and the hardest to read
#
# We call a and b *fatty*, c and d *dense*. To show you nothing but the density, we drew one woman four times:
# she is synthetic, as are all the mammograms of this lesson.

# %%
from course_utils.phantoms import Phantom
from course_utils.plots import side_by_side

drawn = {each: Phantom(density=each, seed=5).render().pixels for each in "abcd"}
shown = {each: pixels[:, :640] / 4095 for each, pixels in drawn.items()}
caption = "One synthetic breast, chest wall on the left, with more and more gland."
alt = "Four breasts of one shape: dark with few patches, then brighter and brighter."
side_by_side(shown, caption=caption, alt=alt)

# %% [markdown]
# Density matters twice. Dense tissue hides tumours, since both are bright; and women with dense breasts get
# cancer more often (McCormack and dos Santos Silva, under *Go further*). No wonder that it is the first thing
# people hope to find in embeddings.
#
# And what are readers looking for? Four things. A [**mass**](../docs/glossary.md#mass) is a lump; a smooth one is
# mostly harmless, one with spikes is suspicious. [**Calcifications**](../docs/glossary.md#calcification) are
# grains of calcium, harmless more often than not; a tight group of fine, irregular ones is taken seriously.
# **Architectural distortion** is tissue that is pulled towards a point. **Asymmetry** is tissue that one breast
# has and the other lacks. We painted one of each into a synthetic breast, far plainer than they usually are:

# %%
from course_utils.plots.findings import what_readers_look_for

what_readers_look_for(Phantom(density="a", seed=12).render().pixels / 4095)

# %% [markdown]
# This course finds none of the four. Its networks shrink every picture to 224 × 224 pixels, each about a millimetre
# wide, and most grains of calcium are smaller than that.

# %% [markdown]
# ## What may you do with a mammogram?
#
# Three rules hold in every lesson.
#
# **Nothing here is for patients.** The network that you will use learnt from photographs of dogs and
# teapots. Whatever patterns it finds in a breast, no doctor has checked them. Not for a diagnosis, not as a
# second opinion, not for your aunt.
#
# **Keep its header to yourself.** A mammogram comes as a DICOM file, and besides the pixels such a file carries a
# [header](../docs/glossary.md#header): dozens of named fields that the clinic's computers filled in. *Predict
# before you run the cell: which kinds of field in there could lead back to a person? Think of three.*

# %% tags=["hide-output"]
import re

import numpy as np
import pydicom

from course_utils.imaging.datasets import sample_cohort

cohort = sample_cohort()
file_of = dict(zip(cohort.file, cohort.path))
header = pydicom.dcmread(file_of["W01_LCC.dcm"], stop_before_pixels=True)
kinds = {
    "about the person": "Patient(Name|ID|Birth|Sex)",
    "about the visit": "(Study|Content)(Date|Time)|Acc",
    "unique in the world": ".*InstanceUID$",
}
for kind, pattern in kinds.items():
    print(f"{kind}:", *[e.keyword for e in header if re.match(pattern, e.keyword)])

# %% [markdown]
# A name is not the only thing that identifies. The date of birth together with the date of the examination
# singles people out. So does a number that is unique in the world: anybody with access to the clinic's archive
# can look it up. Note that the cell printed the *names* of the fields, never what is in them. Make that a habit:
# a notebook keeps its outputs, and notebooks get e-mailed.
#
# **So we work under pseudonyms.** All pixels enter this course through one door, `read_mammogram`. It turns the
# identifying numbers into [pseudonyms](../docs/glossary.md#pseudonym) with a secret key: the same patient gets
# the same pseudonym each time, and nobody can get back to her without the key.

# %%
from course_utils.imaging import read_mammogram

key = b"a real key is random and stays at home"
for name in ("W01_LCC.dcm", "W01_RMLO.dcm"):
    mammogram = read_mammogram(file_of[name], key=key)
    print(f"{mammogram.image_id} is of {mammogram.patient_key},", end=" ")
    print(f"view {mammogram.view}, side {mammogram.laterality}")

other_key = read_mammogram(file_of[name], key=b"another key")
print("with another key the same patient is", other_key.patient_key)

# %% [markdown]
# ## What becomes of one mammogram?
#
# Here is half the course in one cell. A *file* becomes a **mammogram** (the right gray values, lesson 01), then a
# **picture** (the breast alone, on a square, lesson 02), then a **vector** (what a network makes of it, lessons
# 03 to 06). The later lessons ask what such vectors are good for.
#
# *Predict: the picture has 512 × 512, about 262 thousand numbers. How many will the network keep? A hundred? A
# thousand? A hundred thousand?*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor

preprocess = Preprocessor(size=512)
extractor = EmbeddingExtractor(load_backbone())

picture = preprocess(mammogram)
vector = extractor.embed(picture[None])[0]
print(extractor.backbone.name, "turned", picture.size, "numbers into", vector.size)

# %% tags=["hide-output"]
from course_utils.plots.grays import from_file_to_vector

from_file_to_vector(mammogram.pixels, picture, vector)

# %% [markdown]
# With ResNet-50 there are 2048 numbers, with the smaller EfficientNet-Lite0 1280: less than one for every
# hundred that went in. (It is laid out in 32 rows only to fit on the page; neighbouring cells have nothing to do
# with one another.) Each number says how strongly one pattern, learnt from photographs, was found in the
# picture. Most are near zero, and a few light up. Such a vector is called an
# [**embedding**](../docs/glossary.md#embedding).
#
# Two steps along the way look too simple to go wrong. Both go wrong without an error, so you will write them
# yourself.

# %% [markdown]
# ## Which number is white?
#
# A file stores gray values as integers, and a network wants numbers from 0 to 1. So divide, but by what? The
# brightest pixel of the picture is at hand: divide by that, and every picture uses the full range from 0 to 1.
#
# Now take the same picture twice. The second time, the technician has laid a strip of metal beside the breast to
# mark the side. The breast itself is the same, pixel for pixel. *Predict: after dividing each by its own maximum,
# will the breast have the same numbers in both?*

# %% tags=["hide-output"]
fatty = cohort.query("density == 'a' and view == 'CC' and vendor == 'birch'").iloc[0]
plain = pydicom.dcmread(fatty.path).pixel_array
marked = plain.copy()
marked[20:32, 120:180] = 4095  # metal stops all rays: the brightest value there is

breast = plain > 500
pictures = {"as it is": plain / plain.max(), "with metal": marked / marked.max()}
for title, pixels in pictures.items():
    print(f"{title:>10}: the breast is {pixels[breast].mean():.2f} on average")

# %% tags=["hide-output"]
from course_utils.plots.grays import values_inside

caption = "Each divided by its own maximum: metal shifts every number in the breast."
alt = "One breast twice, once with a bright strip; there its grays are lower."
values_inside(pictures, breast, caption=caption, alt=alt)

# %% [markdown]
# Nothing in the breast has changed, and yet every number in it has. A network can learn that: it will find out
# which clinic uses metal markers, and call it anatomy.
#
# The way out is a number that does not depend on the picture. The header says how many bits each stored value
# uses (`BitsStored`). The largest integer that fits becomes 1, whether or not any pixel reaches it. So the rule is:
# *a range that is fixed before anybody looks at the picture*. A digital mammogram brings what it takes to keep this
# rule. A digitised film may not, and lesson 01 shows what one can do then, and at what price.

# %% [markdown]
# ### Exercise 00.1: stored integers to the range 0 to 1 (5 minutes)
#
# Write `scale_to_unit`. It gets an array of unsigned integers and the number of bits that the file uses, and
# returns float32 numbers of the same shape: 0 stays 0, and the largest integer that fits into that many bits
# becomes exactly 1.
#
# Run the cell to check your answer, as often as you like. If you are stuck, take the `#` off the last line: each
# run gives one more hint.


# %%
from course_utils.teaching import exercise


def scale_to_unit(pixels, bits_stored):  # (H, W) unsigned -> (H, W) float32, 0 to 1
    ### BEGIN SOLUTION
    return (pixels / (2**bits_stored - 1)).astype("float32")
    ### END SOLUTION


exercise("00.1").check(scale_to_unit)
# exercise("00.1").hint()

# %% [markdown]
# Once a function of yours is right, the rest of the lesson runs on it; until then, on the course's own. Here are
# the two pictures again, with and without metal:

# %%
from course_utils.teaching import grays

scale = exercise("00.1").use(scale_to_unit, otherwise=grays.to_unit)
for title, pixels in (("as it is", plain), ("with metal", marked)):
    average = scale(pixels, 12)[breast].mean()
    print(f"{title:>10}: the breast is {average:.2f} on average")

# %% [markdown]
# ## What does a network that knows teapots see in a breast?
#
# Two people look over your shoulder. Noor says: *"It learnt from photographs. All mammograms will look the same to
# it, and the vectors will be noise."* Emil says: *"No, it is good at texture. It will put fatty breasts with fatty
# ones and dense with dense."*
#
# Let the data settle it. Embed all the mammograms; then find, for each, the one whose vector is most like its
# own. "Like" is the *cosine* of the angle between two vectors, $\cos(a, b) = \frac{a \cdot b}{\lVert a \rVert
# \lVert b \rVert}$, where $a \cdot b$ is the sum of the products of their numbers and $\lVert a \rVert$ is the
# length of $a$. It is 1 if both point the same way, whatever their lengths.

# %%
extraction = extractor.extract(list(cohort.path), preprocess, progress=False)
vectors = extraction.vectors
print(len(vectors), "vectors,", len(extraction.failures), "failures")


def likeness(vectors):  # (N, D) -> (N, N), the cosine of each with each
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -1)  # nobody is their own neighbour
    return cosine


# %% [markdown]
# Look before you count. In each row below, the first mammogram asks, and beside it stand the three whose vectors
# are most like its own. *Predict: who is right, Noor or Emil?*

# %% tags=["hide-output"]
from course_utils.plots import contact_sheet

cosine, sheet = likeness(vectors), []
for name in ("W01_LCC.dcm", "W10_RMLO.dcm", "W04_LMLO.dcm"):
    asking = cohort.file.tolist().index(name)
    sheet += [asking, *cosine[asking].argsort()[::-1][:3]]
titles = [f"{cohort['view'][i]}, density {cohort.density[i]}" for i in sheet]
titles = [f"asks: {title}" if n % 4 == 0 else title for n, title in enumerate(titles)]
caption = "Left: the mammogram that asks. Then the three with the most similar vectors."
pictures = [extraction.thumbnails[i] for i in sheet]
contact_sheet(pictures, titles, columns=4, caption=caption)

# %% [markdown]
# What do neighbours share? Let us count. Since these mammograms are synthetic, we know the truth about each: its
# view, its density, and the made-up vendor whose machine took it. Beside each share stands what chance alone
# would give.


# %% tags=["hide-output", "nbval-ignore-output"]
def share_alike(labels, vectors):
    """How often an image and its nearest neighbour share a label, and how often any."""
    labels, nearest = np.asarray(labels), likeness(vectors).argmax(axis=1)
    same = labels[:, None] == labels
    by_chance = (same.sum(axis=1) - 1) / (len(labels) - 1)
    return (labels == labels[nearest]).mean(), by_chance.mean()


dense = cohort.density.isin(["c", "d"]).map({True: "dense", False: "fatty"})
labels = {"view": cohort["view"], "fatty or dense": dense}
labels |= {"density, a to d": cohort.density, "vendor": cohort.vendor}
shares = {name: share_alike(each, vectors) for name, each in labels.items()}
for name, (share, chance) in shares.items():
    print(f"{name}: shared by {share:.0%} of neighbours, {chance:.0%} of any two")

# %% tags=["hide-output"]
from course_utils.plots.grays import shares_beside_chance

caption = "How often the nearest neighbour is of the same kind; diamonds: by chance."
alt = "A bar each for view, fatty or dense, density and vendor; on each a diamond."
shares_beside_chance(shares, caption=caption, alt=alt)

# %% [markdown]
# Noor is wrong: the vectors are not noise. They tell the two views apart almost without fail. And within a view
# Emil is right: fatty breasts find fatty ones, dense ones find dense ones, and even the exact class is met far more
# often than by chance. (The numbers on the web page are EfficientNet-Lite0's; with ResNet-50 they will differ.)
#
# So the vendor leaves no trace? Its bar does not even reach what chance gives. But look at the sample: each vendor
# took exactly one woman of each class. So a neighbour of the same view and the same class is *always* from another
# vendor. The two bars compete, and density wins. A nearest neighbour shows what weighs most in a vector, not
# everything that is in it.
#
# We can tell density from vendor only because this sample mixes them evenly. Suppose that one vendor had taken all
# the dense breasts. Then the two bars would be the same bar, and nobody could say which of the two the network
# sees. That is a [**confounder**](../docs/glossary.md#confounder): what you ask about is tangled up with how the
# picture was taken. Real archives are full of them. In the study of Zech and others, under *Go further*, a network
# could tell which hospital a picture came from.
#
# So a cluster that looks like a finding may be a machine. Lessons 07 to 09 are about how not to be fooled, and
# lesson 10 asks how much of a woman's density can be read off her vectors. And 24 pictures prove little: lesson 09
# says how little.

# %% [markdown]
# ## Which row is whose?
#
# The share for the view is the best result of this lesson. Now watch it vanish. Somebody sorts the table by the
# thickness of the breast, to look at the extremes, and takes the labels from the sorted table. The vectors stay as
# they were. *Predict: which error will Python raise?*

# %% tags=["hide-output", "nbval-ignore-output"]
by_thickness = cohort.sort_values("thickness_mm")
share, chance = share_alike(by_thickness["view"], vectors)
print(len(by_thickness), "labels,", len(vectors), "vectors, no error")
print(f"the same view: {share:.0%} of neighbours, {chance:.0%} of any two")

# %% [markdown]
# None. There are as many labels as vectors, everything runs, and the best result of the day is gone. Here you
# noticed, because you knew what to expect. In a study nobody knows: you would miss a real effect, or report an
# accident. Files listed in one order and labels read in another are among the quietest of bugs. The cure is to look
# vectors up *by name*, and never to trust that two lists happen to match.

# %% [markdown]
# ### Exercise 00.2: vectors in the order of their labels (5 minutes)
#
# Write `in_order`. It gets a dictionary that maps a name to a vector of D numbers, and a list of N names in the
# order of the labels. It returns an array `(N, D)`: one row for each name, in the order of the names. A name may
# come twice. A name without a vector must raise an error, not pass in silence.


# %%
def in_order(vectors, names):  # vectors: {name: (D,)}, names: N strings -> (N, D)
    ### BEGIN SOLUTION
    return np.stack([vectors[name] for name in names])
    ### END SOLUTION


exercise("00.2").check(in_order)
# exercise("00.2").hint()

# %% [markdown]
# With it, the sorted table does no harm:

# %% tags=["nbval-ignore-output"]
rows_of = exercise("00.2").use(in_order, otherwise=grays.rows_of)
by_name = dict(zip(cohort.file, vectors))
sorted_vectors = np.asarray(rows_of(by_name, list(by_thickness.file)))
share, chance = share_alike(by_thickness["view"], sorted_vectors)
print(f"the same view: {share:.0%} of neighbours, {chance:.0%} of any two")

# %% [markdown]
# The solved version of this lesson is [here](solutions/00_start_here.ipynb). Look at it after you have
# tried: the checks tell you more when you are wrong.

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. Your colleague has removed PatientName from all headers. Is the archive anonymous?</summary>
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
# becomes a picture and then a vector of 1280 or 2048 numbers, made by a network that never saw a breast. Gray
# values are scaled by a range that was fixed before anybody looked, not by the picture's own maximum. Vectors and
# labels are joined by name, never by luck. Neighbours share what weighs most in their vectors. Here that is the
# view: how the picture was taken comes before anything that is in it.

# %% [markdown]
# ## Go further
#
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep Residual Learning for Image Recognition*. CVPR 2016.
#   [doi 10.1109/CVPR.2016.90](https://doi.org/10.1109/CVPR.2016.90).
#   The network of this course, and of lesson 03.
# - C. J. D'Orsi, E. A. Sickles, E. B. Mendelson, E. A. Morris and others: *ACR BI-RADS Atlas, Breast Imaging Reporting
#   and Data System*. Fifth edition, American College of Radiology, 2013.
#   The four classes of density and the words for findings.
# - V. A. McCormack, I. dos Santos Silva: *Breast density and parenchymal patterns as markers of breast cancer risk: a
#   meta-analysis*. Cancer Epidemiology, Biomarkers & Prevention 15(6), 1159–1169, 2006.
#   [doi 10.1158/1055-9965.EPI-06-0034](https://doi.org/10.1158/1055-9965.EPI-06-0034).
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
# **Next:** [lesson 01, mammograms as DICOM](01_mammograms_as_dicom.ipynb): what is in the file, and how its numbers
# become the grays that its maker meant.
