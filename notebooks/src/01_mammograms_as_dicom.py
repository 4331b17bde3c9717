# %% [markdown]
# # 01 · Mammograms as DICOM: the same number, the same tissue
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - find what identifies a person in a mammogram's file, under well-known names or not
# - bring stored numbers to gray values in the standard's order: modality, VOI, presentation
# - write the LINEAR window, turn MONOCHROME1, and say what it costs to forget either
# - tell views, sides and kinds of mammogram apart, and lossless from lossy
# - read any mammogram through one door, and read its warnings
#
# **Prerequisites.** [Lesson 00](00_start_here.ipynb) and a little NumPy. No medicine and no physics: both come as we need
# them. Words that you do not know are in the [glossary](../docs/glossary.md).
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 75 min, 90 with all | under 20 s | under 2 GB | none | not needed |

# %% [markdown]
# ## What is in the file?
#
# A mammogram comes as a DICOM file. It starts with a *header*, a list of *elements*: each has a *tag* (two hexadecimal
# numbers, the group and the element), a *keyword* such as `PatientID`, and a value. The pixels are an element too, normally
# the last. *Predict: how many elements does the header of one mammogram have: five, fifty, five hundred? And how many bytes
# does it take, beside those of the pixels?*

# %% tags=["hide-output"]
import pydicom

from course_utils.imaging.datasets import sample_cohort

cohort = sample_cohort()
file = cohort.set_index("file").path["W01_LCC.dcm"]
header = pydicom.dcmread(file)
pixels = header.Rows * header.Columns * header.BitsAllocated // 8
others = file.stat().st_size - len(header.PixelData)
print(f"{len(header)} elements; the pixels take {pixels / 1000:.0f} kB, ", end="")
print(f"all the others together {others / 1000:.1f} kB")

# %% [markdown]
# So a few kilobytes explain hundreds of kilobytes of pixels, and say whose they are. Who could be found through this
# file? There are four leaks, each easier to overlook than the one before.
#
# **What names a person**: her name, her number in the archive, her date of birth, her doctor's name. **What is unique or
# rare**: dates, and the numbers called UIDs, which are unique in the world by construction. Anybody with access to the
# clinic's books can find her by them. The standard lists what has to go, element by element (PS3.15, Table E.1-1; the parts
# of the standard are called PS3.1, PS3.2 and so on). **What was burned into the pixels**, where no header tool reaches. And
# **the pixels themselves**: given two chest X-rays, a network could tell whether they were of the same person. Shown one
# pair of the same and one of different people, it picked the right one 99 times in 100 (an AUC of 0.99; Packhäuser and
# others, under *Go further*).
#
# Look at the third. Here is a corner of a real mammogram, a film that was laid on a scanner:

# %%
import cv2

from course_utils.imaging import read_mammogram
from course_utils.imaging.datasets import real_mammograms
from course_utils.plots import side_by_side

films = real_mammograms()
film_of = films.set_index(["case", "laterality", "view"]).path
film_file = film_of["benign", "R", "CC"]
film = read_mammogram(film_file, voi="none").pixels  # all numbers kept, from 0 to 1
small_film = cv2.resize(film, (200, 320), interpolation=cv2.INTER_AREA)
stored = (4095 * small_film).astype("uint16")  # as if it had been stored in 12 bits

caption = "The letters are lead, laid there by the technician. Above: half a number."
alt = "A dark corner of a film with the white letters RCC and a number cut by the edge."
side_by_side({"upper left corner": film[:900:3, :1000:3]}, caption=caption, alt=alt)

# %%
element = pydicom.dcmread(film_file, stop_before_pixels=True).get("BurnedInAnnotation")
print("BurnedInAnnotation, which should say so:", element or "not in the header")

# %% [markdown]
# RCC is harmless: right breast, seen from above. On other films there is a name in this place, and the header would not have
# warned you.
#
# **What we do about it.** Files stay where they are, and only pseudonyms travel. A pseudonym has to be the same each time, or
# we could not keep a woman's pictures together, and it must not lead back to her. A hash, such as SHA-256, seems to do both:
# nobody can compute it backwards. *Predict: you publish the hashes of your patients' numbers. What can a stranger do with
# them?*

# %%
import hashlib
import hmac
import secrets


def plain(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def keyed(text, key):
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:12]


# %% tags=["hide-output"]
guesses = [f"PHANTOM-W{number:02d}" for number in range(100)]
guess = [plain(each) for each in guesses].index(plain(header.PatientID))
print(f"the plain hash is undone by guess number {guess + 1}")

with_key = keyed(header.PatientID, key=secrets.token_bytes(32))
found = [keyed(each, key=b"a key of his own") for each in guesses].count(with_key)
print(f"the keyed hash by {found} of {len(guesses)} guesses, with a key of his own")

# %% [markdown]
# Nobody computes backwards: one tries all the numbers there can be, forwards. They often have six or eight digits, and a
# laptop hashes a million of them a second. Without the secret **key** there is nothing to try. `read_mammogram` makes its
# `image_id` and `patient_key` in this way (HMAC, RFC 2104), and the key stays at home.

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
    unique = ["SOPInstanceUID", "StudyInstanceUID", "StudyDate"]  # not SOPClassUID
    hidden = ["ImageComments", (0x0009, 0x1001)]  # typed by somebody, and by the vendor
    return people + numbers + unique + hidden
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("01.1").check(identifying)
# exercise("01.1").hint()

# %% [markdown]
# ## Which bits are the picture? (skip on a first reading)
#
# Four numbers say how to take the pixels out of the bytes (PS3.5, section 8.1.1). Each pixel has room for `BitsAllocated` bits
# and uses `BitsStored` of them, the highest of which is `HighBit`. `PixelRepresentation` says whether they are signed.

# %%
for name, path in (("a phantom", file), ("a film", film_file)):
    one = pydicom.dcmread(path, stop_before_pixels=True)
    bits = f"{one.BitsAllocated} allocated, {one.BitsStored} stored"
    bits += f", high bit {one.HighBit}"
    kind = "signed" if one.PixelRepresentation else "unsigned"
    print(f"{name:>9}: {bits}, {kind}; the largest is {2**one.BitsStored - 1}")

# %% [markdown]
# None of these may be guessed. *Predict what you will see: (1) somebody wants to save memory and writes
# `pixels.astype("uint8")`; (2) a file stores signed numbers, 0 in the middle, and a reader takes them for unsigned.*

# %% tags=["hide-output"]
signed = stored.astype("int16") - 2048  # as a file with PixelRepresentation 1 has them
readings = {
    "read right": stored / 4095,
    "cast to uint8": stored.astype("uint8") / 255,
    "signed as unsigned": signed.view("uint16") / 65535,
}
caption = "One film, read in three ways, each on its full range. No error was raised."
alt = "A breast; the same as a maze of contours; and black scraps of it on white."
side_by_side(readings, caption=caption, alt=alt)

# %% [markdown]
# A cast keeps the lowest eight bits and drops the rest, so the gray runs from black to white again and again. Signed numbers
# read as unsigned tear the picture at its middle gray: −1 has become 65 535, so everything that was darker is nearly white, and
# what was brighter, letters and dense tissue, is nearly black. Old files have a third trick: they hide a drawing in the bits
# above `HighBit`. Where it is drawn, the numbers jump far out of the range.

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
from course_utils.imaging.transforms import apply_lut, read_lut

table = sample_variants()
variants = dict(zip(table.file.str.removesuffix(".dcm"), table.path))
rescaled = pydicom.dcmread(variants["rescaled"])
slope, intercept = float(rescaled.RescaleSlope), float(rescaled.RescaleIntercept)
by_table, _ = read_lut(pydicom.dcmread(variants["modality_lut"]).ModalityLUTSequence[0])

# %% tags=["hide-output"]
from course_utils.plots.grays import modality_lines

x = np.arange(4096.0)  # all numbers of 12 bits
lines = {"slope 1, intercept 0, as the standard has it": x}
lines[f"slope {slope:g}, intercept {intercept:g}"] = slope * x + intercept
lines["a table, with an entry for each number"] = apply_lut(x, by_table)
modality_lines(x, lines)

# %% [markdown]
# For mammograms the standard fixes the line $s = 1$, $i = 0$ (PS3.3 C.8.11.3); not every file keeps to it. The table falls:
# that file holds its numbers upside down, and a reader that skips this step shows a negative.
#
# ### Step 2, the VOI transform
#
# This is where vendors differ. Here are our three made-up ones. Behind each curve you see the picture's own values, as a
# histogram. *Predict: which of the three shows its breast with the strongest contrast?*


# %% tags=["hide-output"]
from course_utils.plots.grays import curves_over_values
from course_utils.teaching import grays

first = cohort.query("density == 'b'").groupby("vendor").path.first()
examples = first.map(pydicom.dcmread)
shown = {}
for vendor, one in examples.items():
    kind = "VOI LUT" if "VOILUTSequence" in one else f"window, {one.VOILUTFunction}"
    values, curve = one.pixel_array, grays.voi_of(one)
    shown[f"{vendor}: {kind}"] = (values, curve)
    inside = values[(values > 300) & (values < 3800)]  # neither ground nor label
    slopes = 4095 * np.gradient(curve(x))
    print(f"{vendor}: mean slope in the breast {slopes[inside].mean():.1f}")

caption = "Blue: the gray that a value gets. Hills: how many pixels have it (cut off)."
alt = "Three histograms, each under a curve: a straight line and two shaped like an S."
curves_over_values(shown, caption=caption, alt=alt)

# %% [markdown]
# Contrast is the slope of the curve *where the pixels are*: here birch has the most, alder the least. A straight line, a
# table of 4096 entries (a [look-up table](../docs/glossary.md#lut), LUT) and an S-shaped function do the same job, each for its
# own numbers. If you compare the raw numbers of all three, you compare vendors, not women. (Look at cedar's histogram: its
# ground is on the right. We come to that.)
#
# ### The window
#
# A [window](../docs/glossary.md#window) is two numbers, a centre and a width. `VOILUTFunction` says what they mean. Where it is
# absent, LINEAR is meant (PS3.3 C.11.2.1.2.1), which turns a value $x$ into a gray $y$ from 0 to 1 with centre $c$ and width $w$:
#
# $$y = \begin{cases} 0 & x \le c - 0.5 - \frac{w - 1}{2} \\ 1 & x > c - 0.5 + \frac{w - 1}{2} \\
# \frac{x - (c - 0.5)}{w - 1} + 0.5 & \text{otherwise} \end{cases}$$
#
# LINEAR_EXACT is the same with $c$ for $c - 0.5$ and $w$ for $w - 1$. SIGMOID is $y = 1 / (1 + e^{-4 (x - c) / w})$: like film,
# it never quite reaches black or white.

# %%
for width in (4096, 16):
    both = ("LINEAR", "LINEAR_EXACT")
    y, exact = (grays.windowed(function, 2048, width)(x) for function in both)
    difference = np.abs(y - exact).max()
    print(f"width {width:>4}: LINEAR and LINEAR_EXACT differ by up to {difference:.4f}")

# %% [markdown]
# At the usual widths nobody sees one gray in four thousand; where a file brings eight bits and a narrow window, or where two programs
# must agree to the bit, it counts. Why the odd constants? With $c = 2048$ and $w = 4096$, LINEAR takes 0 to black and
# 4095 to white exactly: twelve bits, both ends used.

# %% [markdown]
# ### Exercise 01.2: the LINEAR window, from the standard's equation (8 minutes)
#
# Write `linear_window` for a whole array at once. The check has its own version of the equation, one value at a time, and
# tries the examples in the standard's notes. In two of them the width is 1. Then the third line of the equation is never
# reached, and nothing is left but a step from black to white.


# %%
def linear_window(x, center, width):  # an array -> one of the same shape, 0 to 1
    ### BEGIN SOLUTION
    if width == 1:  # a step: there is nothing to divide by
        return np.where(x > center - 0.5, 1.0, 0.0)
    y = (x - (center - 0.5)) / (width - 1) + 0.5
    return np.clip(y, 0, 1)
    ### END SOLUTION


exercise("01.2").check(linear_window)
# exercise("01.2").hint()

# %% [markdown]
# ### Try it
#
# Here is the tool that every radiologist has at hand, with your window in it if it is right. (On a web page it stands still: the
# sliders need a running notebook.) Four tasks. On the real film, show the strands within the bright tissue. Then show the skin
# line: what happens to the bright tissue? Then set the width to 200: what is lost, and could any later step bring it back? Last,
# choose the synthetic picture: do your settings for the film suit it?

# %%
window = exercise("01.2").use(linear_window, otherwise=grays.linear)

phantom = cohort.set_index("file").path["W07_RMLO.dcm"]
small = {}
for name, path in (("real", film_of["malign", "R", "MLO"]), ("synthetic", phantom)):
    pixels = read_mammogram(path, voi="none").pixels  # all values, from 0 to 1
    size = (round(400 * pixels.shape[1] / pixels.shape[0]), 400)  # small is quick
    small[name] = 4095 * cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


# %%
from course_utils.plots import gray_curves
from course_utils.teaching.widgets import LivePicture


def draw(centre=1500, width=2600, function="LINEAR", image="real"):
    curve = grays.windowed(function, centre, width, linear=window)
    label = f"{function}, centre {centre}, width {width}"
    values = small[image]
    return gray_curves(values, {label: curve}, picture=curve(values), unit="value")


kinds = ["LINEAR", "LINEAR_EXACT", "SIGMOID"]
sliders = {"centre": (0, 4095, 15), "width": (10, 6000, 10)}
LivePicture(draw, **sliders, function=kinds, image=list(small))

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
cedar = cohort.query("vendor == 'cedar' and density == 'b'").path.iloc[0]
raw = pydicom.dcmread(cedar)
ignored, heeded = grays.voi_of(raw)(raw.pixel_array), read_mammogram(cedar).pixels

both = {"the word ignored": ignored[:, -350:], "the word heeded": heeded[:, -350:]}
caption = "The same file. On the left the ground is white, the gland dark: a negative."
alt = "A breast with dark gland on white ground; beside it bright gland on black."
side_by_side(both, caption=caption, alt=alt)

# %% [markdown]
# You would notice that in one picture. Would you in ten thousand, when nobody looks? Kofi says: *"It does not matter. A
# network looks for edges, and the edges are where they were."* Lena says: *"It will sort the pictures by that word."* Both have
# embedded a lot of images.
#
# Let the data decide. We embed all the pictures of the cohort, read right; then once more with the MONOCHROME1 ones turned, as if
# their word had been ignored. Each time we look, as in lesson 00, who is **nearest** to whom. One file in three is MONOCHROME1, so by
# chance a picture and its nearest share the word about half the time. *Predict: who is right?*

# %%
from course_utils.embedding import EmbeddingExtractor, load_backbone
from course_utils.imaging import Preprocessor

extractor = EmbeddingExtractor(load_backbone())
preprocess = Preprocessor()
pictures = np.stack([preprocess(read_mammogram(path)) for path in cohort.path])
is_negative = (cohort.vendor == "cedar").to_numpy()  # it stores MONOCHROME1
careless = np.where(is_negative[:, None, None, None], 1 - pictures, pictures)

# %% tags=["hide-output", "nbval-ignore-output"]
for name, images in (("heeded", pictures), ("ignored", careless)):
    vectors = extractor.embed(images)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1)  # nobody is their own neighbour
    share = (is_negative == is_negative[cosine.argmax(axis=1)]).mean()
    print(f"word {name:>7}: {share:.0%} of all pictures share it with their nearest")

# %% [markdown]
# Lena is. With the word ignored there are two archives in one, and hardly any picture has its nearest in the other. If you ask such
# vectors which women are alike, you get those whose machines wrote the same word, and no error was raised. Kofi's edges
# are all there; but the network also sees which side of them is bright.
#
# ### How far to turn
#
# So the numbers must be turned: $y = \text{low} + \text{high} - x$. Between which ends? A popular function takes the picture's
# own maximum, `pixels.max() - pixels`. Lesson 00 has shown what a maximum is worth: one strip of metal, and everything moves. The
# ends are those of the *range*: 0 and $2^b - 1$ for $b$ stored bits (unsigned), or 0 and 1 after the VOI.
#
# One more trap. Some files fill the room around the breast with a number that stands for *no picture*, `PixelPaddingValue`. If they use
# more than one, `PixelPaddingRangeLimit` is the other end, and all numbers from one end to the other, both included, are padding
# (PS3.3 C.7.5.1.1.2). Padding has no brightness of its own, and has to end as dark as the ground. For unsigned MONOCHROME1 the
# standard recommends $2^b - 1$, the darkest there is, which turns into 0 by itself. Other files pad with 0, and turned along with the
# rest it makes the ground white; or with a number in between, which ends as some gray.

# %% [markdown]
# ### Exercise 01.3: MONOCHROME1 turned, padding kept dark (6 minutes)
#
# Write `as_monochrome2`. It gets the stored numbers of a MONOCHROME1 picture (unsigned, `bits_stored` bits) and the padding value,
# which may be any of these numbers. It returns what MONOCHROME2 would store for the same picture, with 0 wherever there was padding.


# %%
def as_monochrome2(stored, bits_stored, padding_value):  # (H, W) -> (H, W), integers
    ### BEGIN SOLUTION
    turned = 2**bits_stored - 1 - stored
    return np.where(stored == padding_value, 0, turned)
    ### END SOLUTION


exercise("01.3").check(as_monochrome2)
# exercise("01.3").hint()

# %%
from course_utils.imaging.transforms import mirror

turn = exercise("01.3").use(as_monochrome2, otherwise=grays.as_monochrome2)
padded = pydicom.dcmread(variants["padding_monochrome1"])
alike = mirror(padded.pixel_array, 4095)  # the ends of 12 bits change places
aside = turn(padded.pixel_array, padded.BitsStored, padded.PixelPaddingValue)

both = {"all turned alike": alike / 4095, "padding set aside": np.asarray(aside) / 4095}
caption = f"A MONOCHROME1 file, padded with {padded.PixelPaddingValue} at the right."
alt = "A breast with a white strip at the right; the same breast with a black one."
side_by_side(both, caption=caption, alt=alt)

# %% [markdown]
# ## Which transform wins?
#
# A header may bring a VOI LUT *and* a window, or three windows, or an empty one. The standard calls them alternatives: one is
# used, never two in a row, and which one is up to the viewer (PS3.3 C.11.2). Ours takes the LUT if there is one, since it says
# more, and otherwise the first window that can be used.
#
# The *order*, on the other hand, is not up to anybody. A window speaks of modality values. Here is the file with a slope of
# 2 again, shown as it should be, and by a program that applies the window to the stored values. *Predict: brighter or darker?*

# %% tags=["hide-output"]
print("slope", slope, "intercept", intercept)
print("window: centre", rescaled.WindowCenter, "width", rescaled.WindowWidth)
part, its_window = rescaled.pixel_array[:, :170], grays.window_of(rescaled, window)
orders = {
    "modality, VOI": grays.to_display(part, slope, intercept, None, its_window, False),
    "VOI alone": its_window(part),
}

caption = "The same numbers, the same window, with the step before it and without."
alt = "A breast, and beside it the same breast, as if it had been badly exposed."
side_by_side(orders, caption=caption, alt=alt)

# %% [markdown]
# Darker. The window waits for numbers twice as large, and what comes out looks like a bad exposure, not like a mistake.
#
# ### Exercise 01.4: which transform, and in which order? (6 minutes)
#
# Write `to_display`, all three steps. `lut` and `window` are functions from modality values to gray values in [0, 1], to be called
# with an array; one of them may be `None`. If `low_is_bright`, the file is MONOCHROME1.


# %%
def to_display(stored, slope, intercept, lut, window, low_is_bright):  # -> 0 to 1
    ### BEGIN SOLUTION
    voi = window if lut is None else lut
    shown = voi(slope * stored + intercept)
    return 1 - shown if low_is_bright else shown
    ### END SOLUTION


exercise("01.4").check(to_display)
# exercise("01.4").hint()

# %% [markdown]
# Here it is at work on four files, beside the door that the course uses:

# %%
display = exercise("01.4").use(to_display, otherwise=grays.to_display)
for name in ("monochrome1", "rescaled", "voi_lut_and_window", "sigmoid"):
    one = pydicom.dcmread(variants[name])
    line = float(one.get("RescaleSlope", 1)), float(one.get("RescaleIntercept", 0))
    low_is_bright = one.PhotometricInterpretation == "MONOCHROME1"
    voi = grays.lut_of(one), grays.window_of(one, window)
    mine = display(one.pixel_array, *line, *voi, low_is_bright)
    off = np.abs(np.asarray(mine) - read_mammogram(variants[name]).pixels).max()
    print(f"{name:>20}: at most {off:.4f} from what read_mammogram shows")

# %% [markdown]
# ### And if the file brings nothing?
#
# Lesson 00 asked for a range that is fixed before anybody looks at the picture. The eight films bring no window and no LUT, so there
# is none. `read_mammogram` then takes the range from the picture after all, but not from its maximum: from the values *inside the
# breast*, without the lowest and the highest half per cent, and `voi` says `percentile`. Two questions. Does a strip of metal
# move it? And do two films get the same range? *Predict.*

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.imaging.grayscale import shown_by_its_breast

marked = stored.copy()
marked[20:30, 60:120] = 4095
shift = np.abs(shown_by_its_breast(marked) - shown_by_its_breast(stored))[80:].max()
print(f"a strip of metal moves the grays of the breast by at most {shift:.3f}")

for case in ("benign", "malign"):
    path = film_of[case, "R", "CC"]
    values = read_mammogram(path, voi="none").pixels
    gray = read_mammogram(path, voi="percentile").pixels
    white, half = values[gray == 1].min(), gray[np.abs(values - 0.5) < 0.001].mean()
    found = {"benign": "benign", "malign": "malignant"}[case]
    print(f"{found}: white from {white:.2f} of the scanner's range on, ", end="")
    print(f"half of that range becomes {half:.2f}")

# %% [markdown]
# So it is *robust, and yet each picture's own*. The metal did not move it. But the same stored number becomes a
# different gray in each film: what is brightest in a fatty breast ends as white as what is brightest in a dense one, and some of
# what tells them apart is gone before the network looks. That is the price, and with nothing better in the file it is the best there
# is. So look at `voi` before you compare: a study should not mix `percentile` with windows, for the way of reading would be a
# feature of its own.

# %% [markdown]
# ## Which breast, and from where?
#
# *Predict: when the four pictures of a screening examination hang on a radiologist's screen, on which side is the right breast?*


# %% tags=["hide-output"]
def hung(side, view):
    pixels = read_mammogram(film_of["malign", side, view], voi="none").pixels
    inner = slice(None, -40) if side == "R" else slice(40, None)  # no film edge
    pixels = pixels[150:-150, inner]
    return cv2.resize(pixels, (188, 320), interpolation=cv2.INTER_AREA)


pairs = {view: np.hstack([hung("R", view), hung("L", view)]) for view in ("CC", "MLO")}
caption = "Four films of one woman, as radiologists hang them: by pairs, back to back."
alt = "Two pairs of mammograms that meet at the chest wall like mirror images."
side_by_side(pairs, caption=caption, alt=alt)

# %% [markdown]
# On the left: you look at her as if she stood in front of you. Back to back, each breast is the mirror of the other, and what is
# in only one of them catches the eye. In the MLO view a muscle comes in from the upper corner, the pectoral; in the CC view it is
# mostly out of the picture.
#
# The file says all this in several places. The plain ones are `ViewPosition` (the view) and `ImageLaterality` (the side, L or R).
# `PatientOrientation` says which way the picture lies, in two values: the direction in her body in which a *row* runs, from left to
# right, and that in which a *column* runs, from top to bottom. A is anterior (towards the nipple), P posterior (towards the chest
# wall), L and R are her left and right, F is towards the feet; FR is between F and R. *Predict: a left CC picture says A and R. On
# which side of it is the nipple?*

# %% tags=["hide-output"]
for (view, side), rows in cohort.groupby(["view", "laterality"]):
    one = pydicom.dcmread(rows.path.iloc[0], stop_before_pixels=True)
    along_rows, along_columns = one.PatientOrientation
    print(f"{side} {view:<3}: rows run to {along_rows}, columns run to {along_columns}")

one = pydicom.dcmread(film_file, stop_before_pixels=True)
view = one.get("ViewPosition", "nothing")
print(f"the film: ViewPosition says {view}, orientation says {one.PatientOrientation}")

# %% [markdown]
# On the right: its rows run towards A. In the film's header, though, the view stands where the orientation should be: that is
# how this archive was written, and real headers do such things. A reader that looks only in the plain place gives `None` for this
# film. One that guesses is worse: a guess looks like a fact. Ours knows the places that are really used, warns you when it took an
# odd one, and otherwise answers `None`. It turns no picture round; lesson 02 does.

# %% [markdown]
# ## What else comes as a mammogram?
#
# Four kinds of picture go by that name, and an archive may hold all of them:
#
# | kind | what it is | how it looks |
# |---|---|---|
# | [film](../docs/glossary.md#film) | exposed on film, laid on a scanner years later | white edges, lead letters, dust; no window in the header |
# | [FFDM](../docs/glossary.md#ffdm) | full-field digital mammography: the detector measures the rays itself | black ground, the vendor's contrast |
# | [tomosynthesis](../docs/glossary.md#tomosynthesis) (DBT) | low-dose pictures from many angles, from which slices through the breast are computed | dozens of slices in one file |
# | [synthetic 2D](../docs/glossary.md#synthetic-2d) | one picture computed from a tomosynthesis, in place of a second exposure | almost like FFDM, with a texture made by software |
#
# And not every picture is one of the four of a screening examination. **Implants** are white and hide what is behind them, so there are
# extra views for which the implant is pushed back (*implant displaced*). For a **spot** view a small paddle presses on one place,
# to spread the tissue there. For a **magnification** view the breast is moved towards the tube, and a part of it is seen
# larger than on the detector's scale. *Predict: what will our reader say of these files?*

# %% tags=["hide-output"]
from course_utils.imaging import MammogramError
from course_utils.imaging.datasets import broken_samples

broken = broken_samples().set_index("file").path
various = {"a film": film_file, "a phantom": file}
various |= {"computed": variants["synthetic_2d"], "enlarged": variants["magnified"]}
various["slices"] = broken["tomosynthesis.dcm"]
for name, path in various.items():
    try:
        one = read_mammogram(path)
        modifiers = ", ".join(one.modifiers) or "none"
        print(f"{name}: {one.kind}; view modifiers: {modifiers}")
    except MammogramError as error:
        print(f"{name}: {error}")

# %% [markdown]
# Keep kind and modifiers beside your vectors, and hold them against whatever you find. Film and FFDM look different even to
# you, so expect a network to tell them apart. And spot and magnification views are taken because somebody has seen something: a model that knows such a view when it
# sees one looks as if it knew cancer.

# %% [markdown]
# ## What does *lossless* mean? (skip on a first reading)
#
# A mammogram of full size takes tens of megabytes, so archives pack it. *Lossless* means: unpack it, and every pixel is the same
# integer as before, not a similar one. *Lossy* means: some have changed. An element at the very start of the file, the
# `TransferSyntaxUID`, names the way of packing. Here is one phantom in nine of them. *Predict: how small can a picture get with
# every single bit still there: 90% of its size, half, a tenth?*

# %% tags=["hide-output", "nbval-ignore-output"]
reference = pydicom.dcmread(variants["reference"]).pixel_array
lossless = ["implicit_vr", "rle", "jpeg_lossless", "jpeg_ls_lossless"]
lossless += ["jpeg_2000_lossless", "htj2k_lossless"]
lossy = ["jpeg_ls_near_lossless", "jpeg_2000_lossy", "htj2k_lossy"]
share, error = {}, {}
for name in lossless + lossy:
    one = pydicom.dcmread(variants[name])
    share[name] = len(one.PixelData) / reference.nbytes
    error[name] = one.pixel_array.astype(int) - reference
    changed = np.count_nonzero(error[name])
    print(f"{name:>21}: {share[name]:.0%} of the bytes, {changed:>6} pixels changed")

# %% tags=["hide-output"]
from course_utils.plots.grays import packed_sizes

packed_sizes(share, lossy)

# %% [markdown]
# To about a sixth, for this picture. (`implicit_vr` is not packed at all.) How small depends on the picture: an even ground costs next
# to nothing, and most of this one is ground; the noise in the breast hardly packs at all. (RLE packs runs of equal bytes. The eight
# films are in RLE: 8 to 14 MB, of 24 to 26.) To make it smaller still, one has to change the numbers. *Predict: where will they have
# changed?*

# %% tags=["hide-output"]
from course_utils.plots.grays import changes

part = {name: error[name][80:200, :120] for name in lossy[:2]}
caption = "What two lossy files changed in a part of the picture; mind the scales."
alt = "Two maps of changes: grain all over the breast; stripes or nothing beside it."
changes(part, of=4095, caption=caption, alt=alt)

# %% [markdown]
# The finest grain. Near-lossless promises how far off a pixel may be, here 2 (the stripes are runs of ground that share one error).
# The other promises only how small the file gets, here about a sixteenth. You would see neither in the picture. Does a network?
# *Predict: how far does a lossy file move the embedding, if the nearest other woman is 100% away?*

# %% tags=["hide-output", "nbval-ignore-output"]
names = ["reference", "rle", "jpeg_ls_near_lossless", "jpeg_2000_lossy"]
shown = [preprocess(read_mammogram(variants[name])) for name in names]
vectors = extractor.embed(np.concatenate([shown, pictures])).astype(float)
vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
distance = 1 - vectors @ vectors[0]  # cosine distance from the reference
nearest_woman = distance[len(names) :].min()
for name, moved in zip(names[1:], distance[1:] / nearest_woman):
    print(f"{name:>21}: moves the vector by {max(moved, 0):.2%} of the way to her")

# %% [markdown]
# Lossless moves nothing. Lossy moves it a little, and each archive has its own settings, so this may be one more thing that tells
# archives apart. And once lossy, always lossy: unpacked and packed again without loss, the numbers are still the changed ones. So
# `LossyImageCompression` must stay at `01` (PS3.3 C.7.6.1.1.5). Look at it before you mix archives.

# %% [markdown]
# ## For the eye, or for the machine? (skip on a first reading)
#
# A detector measures how many rays arrive at each pixel. The archive gets that in one of two forms, or in both. FOR PROCESSING is
# the raw image, nearly as measured, meant for software. FOR PRESENTATION is what the vendor's software made of it, for the eye.
# `PresentationIntentType` in the header says which one a file is. *Predict: where is a raw image brightest?*

# %% tags=["hide-output"]
raw = pydicom.dcmread(variants["for_processing"])
print("this file is", raw.PresentationIntentType)
looks = {
    "as measured": raw.pixel_array / (2**raw.BitsStored - 1),
    "minus its logarithm": read_mammogram(variants["for_processing"]).pixels,
    "for presentation": read_mammogram(variants["reference"]).pixels,
}
looks = {name: look[:, :200] for name, look in looks.items()}
caption = "One exposure: as measured, minus its logarithm, and as a vendor renders it."
alt = "A black breast on a light field; a bright one with a dim rim; and evened out."
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
# All of this happens inside one function. `read_mammogram` first refuses what is not a single gray mammogram. Then it decodes the
# pixels, sets the padding aside, and takes the three steps in their order: modality, VOI, presentation. Identifying numbers become pseudonyms. What
# comes out is a `Mammogram`:

# %%
mammogram = read_mammogram(film_file, key=b"a key of one's own, kept at home")
low, high = mammogram.pixels.min(), mammogram.pixels.max()
shape, dtype = mammogram.pixels.shape, mammogram.pixels.dtype
print(f"pixels: {shape} {dtype} from {low:.0f} to {high:.0f}")
for name in ("image_id", "patient_key", "view", "laterality", "spacing_mm", "voi"):
    print(f"{name}:", getattr(mammogram, name))
print("warnings:", *mammogram.warnings, sep="\n- ")

# %% [markdown]
# Whatever was odd is a warning, and what the file does not say is `None`. A warning never quotes the header. What cannot be read
# is refused with one sentence. *Predict: what is wrong with a file named `bomb.dcm`?*

# %% tags=["hide-output"]
for name in ("truncated.dcm", "bomb.dcm"):
    try:
        read_mammogram(broken[name])
    except MammogramError as error:
        print(f"{name}: {error}")

# %% [markdown]
# Its header promises a small picture, and its pixels would unpack to a far larger one. Expect a few broken files among ten thousand from
# elsewhere, mostly by accident. In lesson 05 such a file costs one row, and not the whole night's run.

# %% [markdown]
# ## What does a picture file lose? (skip on a first reading)
#
# Many free teaching sets come as PNG or JPEG, without any header. Let us make such a file: the film above, in 8 bits, under
# a name that tells all. *Predict: which of its facts will `read_mammogram` still know?*

# %% tags=["hide-output"]
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

with TemporaryDirectory() as folder:
    copy = Path(folder) / "RIGHT_MLO_of_patient_4711.png"
    Image.fromarray(np.rint(mammogram.pixels * 255).astype(np.uint8)).save(copy)
    picture = read_mammogram(copy)

for name in ("kind", "patient_key", "view", "laterality"):
    print(f"{name}:", getattr(mammogram, name), "->", getattr(picture, name))
levels = [len(np.unique(one.pixels)) for one in (mammogram, picture)]
print("different grays:", levels[0], "->", levels[1])
print("warning:", *picture.warnings)

# %% [markdown]
# The name of the file gives a view, a side and a number, and none of them is believed: here two of the three are made up, as they
# may be anywhere. What a picture does not say comes from a table or not at all (`course embed --table`). Of the grays, 256
# steps are left, and the window through which somebody looked is burned in: nobody can choose another. And there is no scale, so
# nobody knows whether this breast is large.

# %% [markdown]
# The solved version of this lesson is [here](solutions/01_mammograms_as_dicom.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. A colleague replaced each PatientID by its SHA-256 and published the table. What do you tell him?</summary>
#
# That anybody who knows what a PatientID looks like can hash them all and look up his patients. A hash needs a secret key (HMAC), and the key stays at home.
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
# The slope first. Then one of the three, never two of them: ours takes the LUT. Then it is turned, if it is MONOCHROME1.
# </details>
#
# <details><summary>5. A file is stored with JPEG 2000 Lossless, and LossyImageCompression is 01. Can that be?</summary>
#
# Yes. It was lossy once, and was unpacked and packed again. No bit was lost in the second packing; the first had taken its share.
# </details>
#
# <details><summary>6. Half of an archive was read with its windows, half by percentiles. The clusters separate the halves. Whose fault is it?</summary>
#
# Nobody's but the reader's: percentiles stretch each breast to its own full range, a window does not. Read all of them the same way, or keep `voi` beside
# the vectors and hold it against the clusters.
# </details>

# %% [markdown]
# ## Recap
#
# A header identifies people by names, dates, unique numbers and whatever somebody typed; the pixels may, too. Pseudonyms need a key. Stored numbers
# become gray values in three steps: modality, one VOI transform, presentation; each within a fixed range where the file brings one, and never by the
# picture's own maximum. Where it brings none, percentiles of the breast are robust, and each picture's own. MONOCHROME1 is turned once, padding stays
# dark. View, side and kind are read, not guessed. Lossless means the same integers. And all of it stands behind one door, which says what it did.

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
