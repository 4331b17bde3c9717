# %% [markdown]
# # 01 · Mammograms as DICOM: the same number, the same tissue
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - find what identifies a person in a mammogram's file, well-known names or not
# - bring stored numbers to gray values in the standard's order: modality, VOI, presentation
# - write the LINEAR window, turn MONOCHROME1, and say what it costs to forget either
# - tell view and side, lossless and lossy, FOR PRESENTATION and FOR PROCESSING apart
# - read any mammogram through one door, and read its warnings
#
# **Prerequisites.** [Lesson 00](00_start_here.ipynb) and a little NumPy. No medicine and no physics: both come as we need
# them.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 60 min | under 20 s | under 2 GB | none | not needed |

# %% [markdown]
# ## What is in the file?
#
# A mammogram comes as a DICOM file. It starts with a *header*, a list of *elements*: each has a *tag* (two hexadecimal
# numbers, the group and the element), a *keyword* such as `PatientID`, and a value. The pixels are an element too, normally
# the last. *Predict: how many elements does the header of one mammogram have: five, fifty, five hundred? And what share of
# the bytes?*

# %%
import pydicom

from course_utils.imaging.datasets import sample_cohort

cohort = sample_cohort()
header = pydicom.dcmread(cohort.path[0])
header_bytes = cohort.path[0].stat().st_size - len(header.PixelData)
print(len(header), "elements in all")
print("the header takes less than a tenth of the pixels' bytes:", header_bytes < 0.1 * len(header.PixelData))

# %%
groups = {
    0x0008: "study, series, equipment",
    0x0010: "the patient",
    0x0018: "how it was taken",
    0x0020: "which study, which side",
    0x0028: "how to read the pixels",
    0x7FE0: "the pixels",
}
for group, what in groups.items():
    names = [element.keyword for element in header if element.tag.group == group]
    some = ", ".join(names[1:4] or names)
    print(f"{group:04X}  {what:<25} {len(names):>2}, such as {some}")

# %% [markdown]
# So a few kilobytes say what the other hundred mean, and whose they are. Who could be found by this file? There are four
# leaks, each easier to overlook than the one before.
#
# **What names a person**: name, number in the archive, date of birth, the doctor's name. **What is unique or rare**: the
# numbers called UIDs, unique in the world by construction, and dates. Whoever can look into the clinic's books finds her by
# them. The standard lists what has to go, element by element (PS3.15, Table E.1-1; the parts of the standard are called PS3.1,
# PS3.2 and so on). **What was burned into the pixels**, where no header tool
# reaches. And **the pixels themselves**: a network that was given two chest X-rays told whether they were of the same
# person. Shown one pair of the same and one of different people, it found the right one 99 times in 100 (an AUC of 0.99;
# Packhäuser and others, under *Go further*).
#
# Look at the third. Here is a corner of a real mammogram, a film that was laid on a scanner:

# %%
from matplotlib.figure import Figure

from course_utils.imaging import read_mammogram
from course_utils.imaging.datasets import real_mammograms
from course_utils.plots import Illustration

films = real_mammograms()
film = read_mammogram(films.path[0], voi="none").pixels  # every number kept, brought to 0 to 1

# %%
figure = Figure(figsize=(3.6, 2.4), layout="constrained")
axes = figure.subplots()
corner = film[:900:2, :1000:2]
_ = axes.imshow(corner, cmap="gray", vmin=0, vmax=0.8, extent=(0, 1000, 900, 0))
_ = axes.set(xlabel="column (pixel)", ylabel="row (pixel)")
caption = "The upper left corner of a digitised film. The letters are lead, put there by the technician."
alt = "A dark corner of a mammogram with the white letters RCC and, above them, a number cut by the edge."
Illustration(figure, caption, alt)

# %%
element = pydicom.dcmread(films.path[0], stop_before_pixels=True).get("BurnedInAnnotation")
print("BurnedInAnnotation, which should say so:", element or "not in the header")

# %% [markdown]
# RCC is harmless: right breast, seen from above. On other films a name stands there, and this header would not have told you.
#
# **What we do about it.** Files stay where they are, and only pseudonyms go on. A pseudonym has to be the same each time, or
# we could not keep a woman's pictures together, and must not lead back. A hash, such as SHA-256, seems to do both: nobody
# can compute it backwards. *Predict: you publish the hashes of your patients' numbers. What can a stranger do with them?*

# %%
import hashlib
import hmac
import secrets


def plain(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def keyed(text, key):
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:12]


# %%
published = plain(header.PatientID)
with_key = keyed(header.PatientID, key=secrets.token_bytes(32))
guesses = [f"PHANTOM-W{number:02d}" for number in range(100)]
print("the plain hash is undone by 100 guesses:", published in map(plain, guesses))
strangers = [keyed(guess, key=b"a key of his own") for guess in guesses]
print("the keyed hash, by a stranger with a key of his own:", with_key in strangers)

# %% [markdown]
# Nobody computes backwards: one tries them all, forwards. An archive's numbers often have six or eight digits, and a laptop
# hashes a million a second. Without the secret **key** there is nothing to try. `read_mammogram` makes its `image_id` and `patient_key` like this (HMAC, RFC
# 2104), and the key stays at home.

# %% [markdown]
# ### Exercise 01.1: what in this header leads back to her? (8 minutes)
#
# Here is a header with made-up values. Write `identifying`, which returns a list of what would have to go; a list written by
# hand will do. What is needed to read the picture, and what a million mammograms share, may stay.
#
# Give keywords: the printed name without blanks and without 's, so that *Patient's Name* is `"PatientName"`. An element that is
# private to the vendor has no keyword: give its tag, such as `(0x0010, 0x0010)`.
#
# Read the values, not only the names. And mind that `print` does not show a long text: ask for `planted_header().ImageComments`.

# %%
from course_utils.teaching.exercises.lesson_01 import planted_header

print(planted_header())


# %%
def identifying(header):  # a pydicom Dataset -> a list of keywords and tags
    ### BEGIN SOLUTION
    people = ["PatientName", "ReferringPhysicianName", "PatientBirthDate"]
    numbers = ["PatientID", "AccessionNumber"]
    unique = ["SOPInstanceUID", "StudyInstanceUID", "StudyDate"]  # but SOPClassUID is the same in all
    hidden = ["ImageComments", (0x0009, 0x1001)]  # somebody typed into one, the vendor into the other
    return people + numbers + unique + hidden
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("01.1").check(identifying)
# exercise("01.1").hint()

# %% [markdown]
# ## Which bits are the picture?
#
# Four numbers say how to take the pixels out of the bytes (PS3.5, section 8.1.1). Each pixel gets `BitsAllocated` bits of room, and
# fills `BitsStored` of them, the highest of which is `HighBit`. `PixelRepresentation` says whether they are signed.

# %%
for name, path in (("a phantom", cohort.path[0]), ("a film", films.path[0])):
    one = pydicom.dcmread(path, stop_before_pixels=True)
    bits = f"{one.BitsAllocated} allocated, {one.BitsStored} stored, high bit {one.HighBit}"
    kind = "signed" if one.PixelRepresentation else "unsigned"
    print(f"{name:>9}: {bits}, {kind}; the largest is {2**one.BitsStored - 1}")

# %% [markdown]
# None of these may be guessed. *Predict what you will see: (1) somebody wants to save memory and writes
# `pixels.astype("uint8")`; (2) a file stores signed numbers, 0 in the middle, and a reader takes them for unsigned.*

# %%
import cv2

small_film = cv2.resize(film, (200, 320), interpolation=cv2.INTER_AREA)
stored = (4095 * small_film).astype("uint16")  # 12 bits
signed = stored.astype("int16") - 2048  # what a file with PixelRepresentation 1 would hold

# %%
from course_utils.plots import side_by_side

readings = {
    "read right": stored / 4095,
    "cast to uint8": stored.astype("uint8") / 255,
    "signed as unsigned": signed.view("uint16") / 65535,
}
caption = "The same film, read in three ways, each shown on its full range. No error was raised."
alt = "A breast; the same as a maze of bright and dark contours; and black scraps of it on white."
side_by_side(readings, caption=caption, alt=alt)

# %% [markdown]
# A cast keeps the lowest eight bits and drops the rest, so the gray runs from black to white again and again. Signed numbers
# read as unsigned tear the picture at its middle gray: −1 has become 65 535, so all that was darker is nearly white, and what
# was brighter, letters and dense tissue, nearly black. Old files play a third trick: they hide a drawing in the bits above
# `HighBit`. Where it is drawn, the numbers jump far out of the range.

# %% [markdown]
# ## Which number is white?
#
# A stored number is not yet a gray. The standard puts three steps between them, in this order (PS3.4, section N.2):
#
# 1. **modality**: from what is stored to what was measured, $x = s \cdot v + i$ with `RescaleSlope` $s$ and
#    `RescaleIntercept` $i$, or through a table (PS3.3 C.11.1);
# 2. **VOI**, the *values of interest*: which of these values are to be seen, from black to white (PS3.3 C.11.2);
# 3. **presentation**: whether low is dark or bright (PS3.3 C.11.6).
#
# ### Step 1, the modality transform
#
# Here are three, from three files. `sample_variants` has one phantom in many encodings, each with its own way to say the
# same thing. *Predict: a modality transform need not be a line. Must it rise?*

# %%
import numpy as np

from course_utils.imaging.datasets import sample_variants
from course_utils.imaging.grayscale import Window, apply_lut, apply_window, read_lut, read_windows

table = sample_variants()
variants = dict(zip(table.file.str.removesuffix(".dcm"), table.path))
rescaled = pydicom.dcmread(variants["rescaled"])
slope, intercept = float(rescaled.RescaleSlope), float(rescaled.RescaleIntercept)
modality_table, _ = read_lut(pydicom.dcmread(variants["modality_lut"]).ModalityLUTSequence[0])

# %%
x = np.arange(4096.0)  # all numbers of 12 bits
figure = Figure(figsize=(5, 2.7), layout="constrained")
axes = figure.subplots()
axes.plot(x, x, "-", label="slope 1, intercept 0, as the standard has it")
axes.plot(x, slope * x + intercept, "--", label=f"slope {slope:g}, intercept {intercept:g}")
axes.plot(x, apply_lut(x, modality_table), ":", label="a table that runs downwards")
axes.set(xlabel="stored value (12 bits)", ylabel="modality value")
axes.legend(frameon=False, fontsize=8)
caption = "Three modality transforms: what is stored becomes what was measured."
alt = "Three lines over the stored value: one rises, one rises twice as steeply, one falls."
Illustration(figure, caption, alt)

# %% [markdown]
# For mammograms the standard fixes the line $s = 1$, $i = 0$ (PS3.3 C.8.11.3); not every file keeps to it. The table falls:
# that file holds its numbers upside down, and a reader that skips this step shows a negative.
#
# ### Step 2, the VOI transform
#
# This is where vendors differ. Here are our three made-up ones. Under each curve lie the picture's own values, as a histogram.
# *Predict: which of the three shows its breast with the strongest contrast?*


# %%
def voi_of(header):
    """The VOI transform of a header, as a function from modality values to [0, 1]."""
    if "VOILUTSequence" in header:
        table, _ = read_lut(header.VOILUTSequence[0])
        return lambda x: apply_lut(x, table) / (2**table.bits - 1)
    windows, _ = read_windows(header)
    return lambda x: apply_window(x.astype("float32"), windows[0])


# %%
figure = Figure(figsize=(9, 3.2), layout="constrained")
examples = cohort.query("density == 'b'").groupby("vendor").path.first().map(pydicom.dcmread)
for axes, (vendor, one) in zip(figure.subplots(1, 3, sharey=True), examples.items()):
    counts, edges = np.histogram(one.pixel_array, bins=96, range=(0, 4096))
    highest = np.sort(counts)[-3]  # the dark ground would dwarf the rest
    axes.fill_between(edges[:-1], np.minimum(counts / highest, 1), step="post", color="#bbbbbb")
    axes.plot(x, voi_of(one)(x), color="#0072B2")
    kind = "VOI LUT" if "VOILUTSequence" in one else f"window, {one.VOILUTFunction}"
    axes.set(title=f"{vendor}: {kind}", xlabel="stored value")
figure.axes[0].set_ylabel("display value (0 to 1)")
caption = "Blue: which gray each stored value becomes. Gray: how many pixels have it (peaks cut off)."
alt = "Three histograms of stored values, each under a curve: a straight line and two that bend like an S."
Illustration(figure, caption, alt)

# %%
for vendor, one in examples.items():
    inside = (one.pixel_array > 300) & (one.pixel_array < 3800)  # neither ground nor label
    slopes = 4095 * np.gradient(voi_of(one)(x))
    print(f"{vendor}: mean slope in the breast {slopes[one.pixel_array[inside]].mean():.1f}")

# %% [markdown]
# Contrast is the slope of the curve *where the pixels are*: here birch is the hardest, alder the softest. A straight line, a
# table of 4096 entries (a *look-up table*, LUT) and an S-shaped function do the same job, each for its own numbers. Take the
# raw numbers of the three for the same thing, and you compare vendors and not women. (Look at cedar's histogram: its ground is
# on the right. We come to that.)
#
# ### The window
#
# A window is two numbers, a centre and a width. What they mean is said by `VOILUTFunction`. Where it is absent, LINEAR is meant (PS3.3
# C.11.2.1.2.1), which turns a value $x$ into a gray $y$ from 0 to 1 with centre $c$ and width $w$:
#
# $$y = \begin{cases} 0 & x \le c - 0.5 - \frac{w - 1}{2} \\ 1 & x > c - 0.5 + \frac{w - 1}{2} \\
# \frac{x - (c - 0.5)}{w - 1} + 0.5 & \text{otherwise} \end{cases}$$
#
# LINEAR_EXACT is the same with $c$ for $c - 0.5$ and $w$ for $w - 1$. SIGMOID is $y = 1 / (1 + e^{-4 (x - c) / w})$: it
# never quite reaches black or white, just as film does not.

# %%
from course_utils.plots import gray_curves


def windowed(function, center, width):  # a window, as a function from values to gray values
    return lambda x: apply_window(x.astype("float32"), Window(center, width, function))


curves = {name: windowed(name, 1500, 1800) for name in ("LINEAR", "SIGMOID")}
gray_curves(stored, curves, unit="value of the film, at 12 bits")

# %%
for width in (4096, 16):
    y, exact = (windowed(name, 2048, width)(x) for name in ("LINEAR", "LINEAR_EXACT"))
    print(f"width {width:>4}: LINEAR and LINEAR_EXACT differ by up to {np.abs(y - exact).max():.4f}")

# %% [markdown]
# At the usual widths nobody sees half a step; where a file brings eight bits and a narrow window, or where two programs
# must agree to the bit, it counts. Why the odd constants? With $c = 2048$ and $w = 4096$, LINEAR takes 0 to black and
# 4095 to white exactly: twelve bits, both ends used.

# %% [markdown]
# ### Exercise 01.2: the LINEAR window, from the standard's equation (8 minutes)
#
# Write `linear_window` for a whole array at once. The check has its own version of the equation, one value at a time, and
# the examples from the standard's notes.


# %%
def linear_window(x, center, width):  # an array of values -> an array of the same shape, 0 to 1
    ### BEGIN SOLUTION
    y = (x - (center - 0.5)) / (width - 1) + 0.5
    return np.clip(y, 0, 1)
    ### END SOLUTION


exercise("01.2").check(linear_window)
# exercise("01.2").hint()

# %% [markdown]
# ### Try it
#
# Here is the tool that every radiologist has at hand. (It moves where a kernel runs; on a web page you see one
# position.) Four tasks. On the real film, show the strands within the bright tissue. Then show the skin line: what happens to
# the bright tissue? Then set the width to 200: what is lost, and could any later step bring it back? Last, choose the
# synthetic picture: do your settings for the film suit it?

# %%
from course_utils.teaching.widgets import LivePicture

synthetic = cohort.query("vendor == 'alder' and density == 'c' and view == 'MLO'").path.iloc[0]
small = {}
for name, path in (("real", films.path[6]), ("synthetic", synthetic)):
    pixels = read_mammogram(path, voi="none").pixels  # all values, from 0 to 1
    size = (round(400 * pixels.shape[1] / pixels.shape[0]), 400)  # small first, or dragging would lag
    small[name] = 4095 * cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)

# %%


def draw(centre=1500, width=2600, function="LINEAR", image="real"):
    curve = windowed(function, centre, width)
    label = f"{function}, centre {centre}, width {width}"
    shown = curve(small[image])
    return gray_curves(small[image], {label: curve}, picture=shown, unit="value (12 bits)")


kinds = ["LINEAR", "LINEAR_EXACT", "SIGMOID"]
LivePicture(draw, centre=(0, 4095, 15), width=(10, 6000, 10), function=kinds, image=list(small))

# %% [markdown]
# Strands: try centre 2250 and width 900. Skin: centre 300 and width 600; then all the bright tissue is one white. A window
# throws away on purpose: everything below it is one black, everything above it one white, and no later step can tell them
# apart again. And a window belongs to its picture: where the film shows its skin, the phantom is nearly all white. So the
# record of a run has to say which window each file was read with. `Mammogram.voi` says it.

# %% [markdown]
# ## Is low dark, or bright?
#
# This is step 3, the presentation. Film darkens where more rays arrive, and some machines keep to it: many rays, a high number,
# dark. In such a `MONOCHROME1` file the *lowest* number is the brightest. In a `MONOCHROME2` file it is the darkest. One word in
# the header says which, `PhotometricInterpretation`. Here is a file of vendor cedar with the word ignored, and heeded:

# %%
cedar = cohort.query("vendor == 'cedar' and density == 'b'").iloc[0]
raw = pydicom.dcmread(cedar.path)
ignored = voi_of(raw)(raw.pixel_array)
heeded = read_mammogram(cedar.path).pixels

pictures = {"the word ignored": ignored, "the word heeded": heeded}
caption = "The same file. On the left the ground is white and the gland dark: a negative."
alt = "A breast as a negative, dark gland on a white ground, and beside it bright gland on black."
side_by_side(pictures, caption=caption, alt=alt)

# %% [markdown]
# You would notice that in one picture. Would you in ten thousand, when nobody looks? Kofi says: *"It does not matter. A
# network looks for edges, and the edges are where they were."* Lena says: *"It will sort the pictures by that word."* Both have
# embedded a lot of images.
#
# Let the data decide. We embed all the pictures of the cohort, read right; then once more with the MONOCHROME1 ones turned, as if
# their word had been ignored. Each time we look, as in lesson 00, who is **nearest** to whom. One file in three is MONOCHROME1, so by
# chance a picture and its nearest share the word about half the time. *Who is right?*

# %%
from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor

extractor = EmbeddingExtractor(load_backbone())
preprocess = Preprocessor()
pictures = np.stack([preprocess(read_mammogram(path)) for path in cohort.path])
is_negative = (cohort.vendor == "cedar").to_numpy()  # the vendor that stores MONOCHROME1
careless = np.where(is_negative[:, None, None, None], 1 - pictures, pictures)


# %%
def share_with_nearest(images, labels):
    vectors = extractor.embed(images)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1)  # nobody is their own neighbour
    return (labels == labels[cosine.argmax(axis=1)]).mean()


for name, images in (("heeded", pictures), ("ignored", careless)):
    always = share_with_nearest(images, is_negative) > 0.95
    print(f"word {name:>7}: a picture and its nearest nearly always share the word:", always)

# %% [markdown]
# Lena is. With the word ignored there are two archives in one, and hardly any picture has its nearest in the other. Whoever
# asks such vectors for women who look alike gets women whose machine wrote the same word, and no error was raised. Kofi's edges
# are all there; but the network also sees which side of them is bright.
#
# ### How far to turn
#
# So the numbers must be turned: $y = \text{low} + \text{high} - x$. Between which ends? A popular function takes the picture's
# own maximum, `pixels.max() - pixels`. You have seen in lesson 00 what a maximum is worth: one strip of metal, and everything moves. The ends are those of the *range*: 0 and
# $2^b - 1$ for $b$ stored bits (unsigned), or 0 and 1 after the VOI.
#
# One more trap. Some files fill the room around the breast with a number that stands for *no picture*, `PixelPaddingValue`.
# It has no brightness. Turned with the rest, it makes the ground white.

# %% [markdown]
# ### Exercise 01.3: MONOCHROME1 turned, padding kept dark (6 minutes)
#
# Write `as_monochrome2`. It gets the stored numbers of a MONOCHROME1 picture (unsigned, `bits_stored` bits) and the padding value. It returns
# what MONOCHROME2 would store for the same picture, with 0 wherever there was padding.


# %%
def as_monochrome2(stored, bits_stored, padding_value):  # (H, W) integers -> (H, W) integers
    ### BEGIN SOLUTION
    turned = 2**bits_stored - 1 - stored
    return np.where(stored == padding_value, 0, turned)
    ### END SOLUTION


exercise("01.3").check(as_monochrome2)
# exercise("01.3").hint()

# %% [markdown]
# ## Which transform wins?
#
# A header may bring a VOI LUT *and* a window, or three windows, or an empty one. The standard calls them alternatives: one is
# used, never two in a row, and which one is up to the viewer (PS3.3 C.11.2). Ours takes the LUT if there is one, since it says
# more, and else the first window that can be used. If there is neither, it takes the range that nearly all values inside the
# breast span, and says so.
#
# The *order*, on the other hand, is not up to anybody. A window speaks of modality values. Here is the file with a slope of
# 2 again, shown as it should be, and by a program that applies the window to the stored values. *Predict: brighter or darker?*

# %%
print("slope", slope, "intercept", intercept)
print("window: centre", rescaled.WindowCenter, "width", rescaled.WindowWidth)
orders = {
    "modality, then VOI": voi_of(rescaled)(slope * rescaled.pixel_array + intercept),
    "VOI on stored values": voi_of(rescaled)(rescaled.pixel_array),
}

caption = "The same numbers, the same window, two orders. The second looks badly exposed, not like a bug."
alt = "A well exposed breast, and the same breast too dark."
side_by_side(orders, caption=caption, alt=alt)

# %% [markdown]
# ### Exercise 01.4: which transform, and in which order? (6 minutes)
#
# Write `to_display`, all three steps. `lut` and `window` are functions from modality values to gray values in [0, 1], like
# `voi_of(header)` above; one of them may be `None`. If `low_is_bright`, the file is MONOCHROME1.


# %%
def to_display(stored, slope, intercept, lut, window, low_is_bright):  # (H, W) -> (H, W) in [0, 1]
    ### BEGIN SOLUTION
    voi = window if lut is None else lut
    shown = voi(slope * stored + intercept)
    return 1 - shown if low_is_bright else shown
    ### END SOLUTION


exercise("01.4").check(to_display)
# exercise("01.4").hint()

# %% [markdown]
# ## Which breast, and from where?
#
# A screening examination is four pictures: each breast from above (*CC*, cranio-caudal) and at a slant from the side (*MLO*,
# medio-lateral oblique). *Predict: when they hang on a radiologist's screen, on which side is the right breast?*

# %%
woman = films[films.case == "malign"].set_index(["laterality", "view"]).path


def hung(side, view):
    pixels = read_mammogram(woman[side, view], voi="none").pixels
    inner = slice(None, -40) if side == "R" else slice(40, None)  # without the film's white edge
    pixels = pixels[150:-150, inner]
    return cv2.resize(pixels, (188, 320), interpolation=cv2.INTER_AREA)


# %%
rows = [np.hstack([hung("R", view), hung("L", view)]) for view in ("CC", "MLO")]
figure = Figure(figsize=(2.9, 4.3), layout="constrained")
axes = figure.subplots()
_ = axes.imshow(np.vstack(rows), cmap="gray", vmin=0, vmax=0.9)
_ = axes.set_xticks([94, 282], ["right breast", "left breast"])
_ = axes.set_yticks([160, 480], ["CC", "MLO"])
caption = "Four films of one woman, as they hang: right breast on the left, chest walls back to back."
alt = "Two rows of two mammograms; in each the two breasts meet at the chest wall like mirror images."
Illustration(figure, caption, alt)

# %% [markdown]
# On the left: you look at her as if she stood in front of you. Back to back, each breast is the mirror of the other, and what is
# in only one of them catches the eye. In the MLO row a muscle comes in from the upper corner, the pectoral; in the CC row it is
# mostly out of the picture.
#
# The file says all this in several places. The plain ones are `ViewPosition` (the view) and `ImageLaterality` (the side, L or R).
# `PatientOrientation` says how the picture lies, in two values: where in her body you get to when you go along a *row* to the
# right, and where when you go down a *column*. A is anterior (to the nipple), P posterior (to the chest wall), L and R her left
# and right, F to the feet; FR is between F and R. *Predict: a left CC picture says A and R. On which side of it is the nipple?*

# %%
for (view, side), rows in cohort.groupby(["view", "laterality"]):
    one = pydicom.dcmread(rows.path.iloc[0], stop_before_pixels=True)
    along_rows, along_columns = one.PatientOrientation
    print(f"{side} {view:<3}: rows run to {along_rows}, columns run to {along_columns}")

one = pydicom.dcmread(films.path[0], stop_before_pixels=True)
print("the film: ViewPosition", one.get("ViewPosition"), "but orientation", one.PatientOrientation)

# %% [markdown]
# On the right: along a row one gets to A. In the film's header, though, the view stands where the orientation should be: that is
# how this archive was written, and real headers do such things. A reader that looks only in the plain place gives `None` for this
# film. One that guesses is worse: a guess looks like a fact. Ours knows the places that are really used, warns you when it took an
# odd one, and otherwise answers `None`. It turns no picture round; lesson 02 does.

# %% [markdown]
# ## What does *lossless* mean?
#
# A mammogram of full size takes tens of megabytes, so archives pack it. *Lossless* means: unpack it, and every pixel is the same
# integer as before, not a similar one. *Lossy* means: some have changed. An element at the very start of the file, the
# `TransferSyntaxUID`, names the way of packing. Here is one phantom in nine of them. *Predict: how small can a picture get with
# every single bit still there: 90% of it, half, a tenth?*

# %%
reference = pydicom.dcmread(variants["reference"]).pixel_array
lossless = ["implicit_vr", "rle"]
lossless += ["jpeg_lossless", "jpeg_ls_lossless", "jpeg_2000_lossless", "htj2k_lossless"]
lossy = ["jpeg_ls_near_lossless", "jpeg_2000_lossy", "htj2k_lossy"]
share, error = {}, {}
for name in lossless + lossy:
    one = pydicom.dcmread(variants[name])
    share[name] = len(one.PixelData) / reference.nbytes
    error[name] = one.pixel_array.astype(int) - reference

print("every lossless one gives every bit back:", not any(error[name].any() for name in lossless))
print("lossy ones that do:", [bool(error[name].any()) for name in lossy].count(False), "of", len(lossy))

# %%
figure = Figure(figsize=(6.4, 3), layout="constrained")
axes = figure.subplots()
for names, colour, hatch in ((lossless, "#0072B2", ""), (lossy, "#D55E00", "//")):
    label = "lossless" if names is lossless else "lossy"
    widths = [share[name] for name in names]
    labels = ["implicit_vr (not packed)" if name == "implicit_vr" else name for name in names]
    axes.barh(labels, widths, color=colour, hatch=hatch, edgecolor="white", label=label)
axes.invert_yaxis()
axes.set(xlim=(0, 1), xlabel="bytes of the pixels, as a share of those uncompressed (0 to 1)")
axes.legend(frameon=False)
caption = "One picture in nine transfer syntaxes, by their names in our samples."
alt = "Nine bars: not packed at 1, five lossless ones at about a quarter to a sixth, three lossy ones below."
Illustration(figure, caption, alt)

# %% [markdown]
# To about a sixth, for this picture. How far it goes depends on the picture: an even ground costs next to nothing, and most of
# this one is ground; the noise in the breast hardly packs at all. (RLE packs runs of equal bytes. The eight films are in RLE: 8 to
# 14 MB, of 24 to 27.) Whoever wants it smaller has to change the numbers. *Predict: where will they have changed?*

# %%
from matplotlib import colormaps

figure = Figure(figsize=(6.8, 2.8), layout="constrained")
five = colormaps["PuOr"].resampled(5)
for axes, name in zip(figure.subplots(1, 2), ("jpeg_ls_near_lossless", "jpeg_2000_lossy")):
    most = abs(error[name]).max()
    changes = error[name][60:220, :160]  # a part, so that each pixel can be seen
    shown = axes.imshow(changes, five, vmin=-most, vmax=most, interpolation="nearest")
    axes.set(xlabel="column (pixel)", ylabel="row (pixel, from 60)")
    axes.set_title(name, fontsize=10)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="change (of 4095)")
caption = "What two lossy files changed, each on its own scale: the finest grain."
alt = "Two maps of changes, orange and purple: grain all over the breast; stripes or nothing beside it."
Illustration(figure, caption, alt)

# %% [markdown]
# Near-lossless promises how far off a pixel may be, here 2 (the stripes are runs of ground that share one error). The other
# promises only how small the file gets, here about a sixteenth. You would see neither in the picture. Does a network? *Predict:
# how far does a lossy file move the embedding, if the nearest other woman is 1 away?*

# %%
names = ["reference", "rle", "jpeg_ls_near_lossless", "jpeg_2000_lossy"]
shown = [preprocess(read_mammogram(variants[name])) for name in names]
vectors = extractor.embed(np.concatenate([shown, pictures])).astype(float)  # and the cohort, as above
vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
distance = 1 - vectors @ vectors[0]  # cosine distance from the reference
nearest_woman = distance[len(names) :].min()
for name, moved in zip(names[1:], distance[1:] / nearest_woman):
    print(f"{name:>21}: moved {moved > 1e-6!s:>5}, by more than a tenth {moved > 0.1}")

# %% [markdown]
# Lossless moves nothing. Lossy moves it a little, and each archive has its own settings, so this may be one more thing that tells
# archives apart. And once lossy, always lossy: unpacked and packed again without loss, the numbers are still the changed ones. So
# `LossyImageCompression` must stay at `01` (PS3.3 C.7.6.1.1.5). Look at it before you mix archives.

# %% [markdown]
# ## For the eye, or for the machine?
#
# A detector measures how many rays arrive at each pixel. The archive gets that in one of two forms, or in both. FOR PROCESSING is
# the raw image, nearly as measured: food for software. FOR PRESENTATION is what the vendor's software made of it, for the eye.
# `PresentationIntentType` in the header says which one a file is. *Predict: where is a raw image brightest?*

# %%
raw = pydicom.dcmread(variants["for_processing"])
print("this file is", raw.PresentationIntentType)
looks = {
    "FOR PROCESSING, as it is": raw.pixel_array / (2**raw.BitsStored - 1),
    "minus its logarithm": read_mammogram(variants["for_processing"]).pixels,
    "FOR PRESENTATION": read_mammogram(variants["reference"]).pixels,
}
caption = "One exposure: as the detector measured it, minus its logarithm, and as a vendor would render it."
alt = "A light field with a black breast; the same breast bright on black, its rim dim; and evened out."
side_by_side(looks, caption=caption, alt=alt)

# %% [markdown]
# Beside the breast, where nothing is in the way. Of $N_0$ rays, $N = N_0\, e^{-\mu t}$ get through a tissue of thickness $t$ and
# attenuation $\mu$ (the law of Beer and Lambert). So $-\ln N = \mu t - \ln N_0$ grows with what was in the way: tissue is bright,
# and twice as much of it is twice as far above the ground. `read_mammogram` does that, and warns you. What the vendor did beyond
# it, evening out the thinner rim and raising fine contrast, is the vendor's secret. So do not mix the two kinds in one study: the
# first thing that you would find is which is which.

# %% [markdown]
# ## One door
#
# All this stands in one function. `read_mammogram` first refuses what is not a single gray mammogram. Then it decodes the pixels,
# sets the padding aside, and takes the three steps in their order: modality, VOI, presentation. Names become pseudonyms. What
# comes out is a `Mammogram`:

# %%
mammogram = read_mammogram(films.path[0], key=b"a key of one's own, kept at home")
low, high = mammogram.pixels.min(), mammogram.pixels.max()
print("pixels:", mammogram.pixels.shape, mammogram.pixels.dtype, f"from {low:.0f} to {high:.0f}")
for name in ("image_id", "patient_key", "view", "laterality", "spacing_mm", "voi"):
    print(f"{name}:", getattr(mammogram, name))
print("warnings:", *mammogram.warnings, sep="\n- ")

# %% [markdown]
# Whatever was odd is a warning, and what the file does not say is `None`. A warning never quotes the header. What cannot be read
# is refused with one sentence. *Predict: what is wrong with a file named `bomb.dcm`?*

# %%
from course_utils.imaging import MammogramError
from course_utils.imaging.datasets import broken_samples

broken = broken_samples().set_index("file")
for name in ("tomosynthesis.dcm", "truncated.dcm", "bomb.dcm"):
    try:
        read_mammogram(broken.path[name])
    except MammogramError as error:
        print(f"{name}: {error}")

# %% [markdown]
# The last one has a header of harmless size and pixels that would unpack to far more. Expect a few broken files among ten
# thousand from elsewhere, mostly by accident. Lesson 05 is about how one of them costs one row and not the night.

# %% [markdown]
# ## What does a picture file lose?
#
# Many free teaching sets come as PNG or JPEG, without any header. Let us make such a file: the film above, in 8 bits, under
# a name that tells all. *Predict: which of its facts will `read_mammogram` still know?*

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

with TemporaryDirectory() as folder:
    file = Path(folder) / "RIGHT_MLO_of_patient_4711.png"
    Image.fromarray(np.rint(mammogram.pixels * 255).astype(np.uint8)).save(file)
    picture = read_mammogram(file)

for name in ("kind", "patient_key", "view", "laterality"):
    print(f"{name}:", getattr(mammogram, name), "->", getattr(picture, name))
grays = [len(np.unique(one.pixels)) for one in (mammogram, picture)]
print("different grays:", grays[0], "->", grays[1])
print("warning:", *picture.warnings)

# %% [markdown]
# The name of the file says a view, a side and a number, and none of them is believed: here two of the three are made up, as they
# may be anywhere. What a picture does not say comes from a table or not at all (`course embed --table`). Of the grays, 256
# steps are left, and the window through which somebody looked is burnt in: nobody can choose another. And there is no scale, so
# nobody knows whether this breast is large.

# %% [markdown]
# The solved version of this lesson is [here](solutions/01_mammograms_as_dicom.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. A colleague replaced each PatientID by its SHA-256 and published the table. What do you tell him?</summary>
#
# That whoever knows what a PatientID looks like can hash them all and look his up. A hash needs a secret key (HMAC), and the key stays at home.
# </details>
#
# <details><summary>2. Two pictures of one breast differ by a factor of 16 in their stored values. Which elements do you compare first?</summary>
#
# BitsStored (12 bits against 16: a factor of 16), then RescaleSlope and the window. All of them are answers to "which number is white".
# </details>
#
# <details><summary>3. Each picture and its nearest neighbour have the same PhotometricInterpretation. What happened?</summary>
#
# It was ignored, or heeded twice: in all files with one of the two words dark and bright are exchanged, and for the network that outweighs whose breast it is.
# </details>
#
# <details><summary>4. A header has a VOI LUT, two windows and a slope of 2. What is applied, in which order?</summary>
#
# The slope first. Then one of the three, never two of them: ours takes the LUT. Then turn, if it is MONOCHROME1.
# </details>
#
# <details><summary>5. A file is stored with JPEG 2000 Lossless, and LossyImageCompression is 01. Can that be?</summary>
#
# Yes. It was lossy once, and was unpacked and packed again. No bit was lost in the second packing; the first had taken its share.
# </details>
#
# <details><summary>6. Why must a FOR PROCESSING image not simply be inverted?</summary>
#
# The count falls exponentially with what is in the way. Inverted, thick and dense parts are pressed together at the bright end; only the logarithm makes equal steps of equal tissue.
# </details>

# %% [markdown]
# ## Recap
#
# A header identifies people by names, dates, unique numbers and whatever somebody typed; the pixels may, too. Pseudonyms need a key. Stored numbers
# become gray values in three steps: modality, one VOI transform, presentation; each within a fixed range, none by the picture's own
# maximum. MONOCHROME1 is turned once, padding stays dark. View and side are read, not guessed. Lossless means the same integers. And all of it
# stands behind one door, which says what it did.

# %% [markdown]
# ## Go further
#
# - *DICOM PS3.3*: [C.11.2, VOI LUT](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.11.2.html) (the window's equations) and
#   [C.8.11, mammography](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.11.html);
#   *PS3.4*, section N.2, the order of the transforms; *PS3.15*,
#   [Annex E](https://dicom.nema.org/medical/dicom/current/output/html/part15.html#chapter_E), what identifies people.
# - K. Packhäuser, S. Gündel, N. Münster, C. Syben, V. Christlein, A. Maier: *Deep learning-based patient re-identification is able to exploit the
#   biometric nature of medical chest X-ray data*. Scientific Reports 12, 14851, 2022.
#   [doi 10.1038/s41598-022-19045-3](https://doi.org/10.1038/s41598-022-19045-3).
# - H. Krawczyk, M. Bellare, R. Canetti: *HMAC: Keyed-Hashing for Message Authentication*. RFC 2104, 1997.
#   [rfc-editor.org](https://www.rfc-editor.org/rfc/rfc2104).
# - R. S. Lee and others: *A curated mammography data set for use in computer-aided detection and diagnosis research*. Scientific Data 4, 170177,
#   2017. [doi 10.1038/sdata.2017.177](https://doi.org/10.1038/sdata.2017.177). Where the films come from (CC BY 3.0).
# - [pydicom's user guide](https://pydicom.github.io/pydicom/stable/guides/user/index.html), which reads all of it.
#
# **Next:** [lesson 02, preprocessing](02_preprocessing.ipynb): the right gray values are there; now the breast has to come out of them, and nothing else.
