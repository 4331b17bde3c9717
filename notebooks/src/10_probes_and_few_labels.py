# %% [markdown]
# # 10 · Probes and few labels: what can be read off a vector
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - read a label off embeddings, and split by woman so that the answer means something
# - find where a label leaks, and tell a leak from a habit that costs nothing
# - put an interval over women, a kappa and a simple rival beside every score
# - catch a model that learnt a bias, and say what its probabilities are worth
# - say how many labels are enough, and whether clever ways to choose them help
#
# **Prerequisites.** [Lesson 08](08_clustering.ipynb): why the unit is the woman. From scikit-learn: `fit` and `predict`.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 75 min, 100 with all | under 45 s | under 1 GB | none | not needed |

# %% [markdown]
# ## What does a vector know?
#
# Clusters show what is strongest. Often you have a question of your own instead: is this breast dense? To find out whether the
# vectors hold the answer, take labels for some of them, fit the simplest model there is, and ask it about the others. That is a
# **probe**. It is simple on purpose: what a straight cut through the vectors can tell apart must be there in plain sight.
#
# The women are not the sixty of lessons 07 and 08 but 96 others, with four synthetic mammograms each.

# %%
import numpy as np
import pandas as pd

from course_utils.imaging.datasets import sample_run
from course_utils.runs import Extraction

run = sample_run("replication")
extraction = Extraction.read(run)
vectors = extraction.vectors.astype(float)
women = extraction.table["patient_key"].to_numpy()  # a pseudonym for each woman
truth = pd.read_csv(run / "manifest.csv").assign(woman=women)  # in the same order
density = truth["density"].to_numpy()
print(vectors.shape, "vectors of", len(np.unique(women)), "women")
print("density:", *np.unique(density))

# %% [markdown]
# Here are two probes: logistic regression, which cuts straight, and the nearest neighbour, which gives an image the label of
# the one most like it. Both are asked **out of fold**: the images are dealt out to five folds, and each fold is
# predicted by a model that was fitted to the other four.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Two steps that are fitted together:
linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
nearest = KNeighborsClassifier(1)


def out_of_fold(model, vectors, labels, fold):  # -> (N,), a prediction for each image
    predicted = np.empty_like(labels)
    for k in np.unique(fold):
        train = fold != k
        fitted = model.fit(vectors[train], labels[train])
        predicted[~train] = fitted.predict(vectors[~train])
    return predicted


# %% [markdown]
# Ada says: *"384 images, shuffled, five folds. That is how everybody does it, and every image is predicted by a model that has
# never seen it."* Ben says: *"It has not seen that image. It has seen the same breast from the other side."* Ada: *"If there is
# something to learn, it learns it. What harm can the other side do?"*
#
# A **coin** can settle it. Toss one for each woman and write heads or tails on her four images. Nothing in a mammogram says how
# it fell. A model that gets it right more than one time in two is not reading mammograms.

# %% [markdown]
# ### Exercise 10.1: folds of women (10 minutes)
#
# For Ben's way we need other folds. Write `folds_of_women`. It gets `women` $(N,)$, the woman of each image; `labels` $(N,)$, a class
# for each image, the same for all of a woman's; the number of folds, `splits`; and a generator `rng`. Return the fold of each
# image, $(N,)$, a number from 0 to `splits` − 1. All images of a woman share a fold, chance decides which, and each class of
# women is dealt out evenly: a fold without a single dense breast could not say how well dense ones are read.


# %%
def folds_of_women(women, labels, splits, rng):  # -> (N,), 0 to splits - 1
    ### BEGIN SOLUTION
    names, first, owner = np.unique(women, return_index=True, return_inverse=True)
    fold = np.zeros(len(names), int)
    for label in np.unique(labels):
        hers = rng.permutation(np.flatnonzero(labels[first] == label))
        fold[hers] = np.arange(len(hers)) % splits
    return fold[owner]
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("10.1").check(folds_of_women)
# exercise("10.1").hint()

# %% [markdown]
# From here on the lesson uses *your* functions once they are right. Until then the course's own stand in for you, so you can
# skip an exercise and come back.
#
# *Predict, for ten coins: how often is the coin read right if images are shuffled, and how often if women are kept together? Which
# of the two probes gains more from shuffling?* Write down four numbers. (Balanced accuracy is the share of right answers in each
# class, averaged over the classes, so that a rare class counts as much as a common one.)

# %% tags=["hide-output"]
from sklearn.metrics import balanced_accuracy_score

from course_utils.teaching.folds import asked_in_folds, dealt_out

by_woman = exercise("10.1").use(folds_of_women, otherwise=dealt_out)


def by_image(women, labels, splits, rng):  # Ada's: each image by itself
    return dealt_out(np.arange(len(women)), labels, splits, rng)


def score(model, labels, split, seed):
    fold = np.asarray(split(women, labels, 5, np.random.default_rng(seed)))
    return balanced_accuracy_score(labels, out_of_fold(model, vectors, labels, fold))


# %% tags=["hide-output"]
names, owner = np.unique(women, return_inverse=True)


def coin(seed):  # heads for half of the women, tails for the others
    sides = np.resize(["heads", "tails"], len(names))
    return np.random.default_rng(seed).permutation(sides)[owner]


probes = {"linear": linear, "nearest": nearest}
for name, model in probes.items():
    apart = [score(model, coin(seed), by_woman, seed) for seed in range(10)]
    mixed = [score(model, coin(seed), by_image, seed) for seed in range(10)]
    print(f"{name:<8} women kept together {np.mean(apart):.2f}", end=",  ")
    print(f"images shuffled {np.mean(mixed):.2f}")

# %% [markdown]
# With the women kept together the coin is a coin. With the images shuffled it can be read, by a model that knows nothing about
# coins: it recognises the woman. Her other images are in training, with her label on them. The nearest neighbour gains more,
# since recognising is all that it does.
#
# So some of what Ada would report about anything else is recognition, too. *Predict: what will shuffling add for density, and for
# the vendor of the machine? And for the side, left or right? All images are turned the same way before the network sees them, so
# there should be nothing to read. Will shuffling make that more than one half, or less?*


# %% tags=["hide-output"]
everybody_alike = np.zeros(len(women))


def sides_by_woman(women, labels, splits, rng):  # all have both sides: one class
    return by_woman(women, everybody_alike, splits, rng)


def both_ways(model, labels, split):  # two splits by woman, two by image
    splits = (split, by_image)
    return [[score(model, labels, each, seed) for seed in range(2)] for each in splits]


# %%
vendor, side = truth["vendor"].to_numpy(), truth["laterality"].to_numpy()
asked = {"density": (density, by_woman), "vendor": (vendor, by_woman)}
asked["side"] = (side, sides_by_woman)
found, chances = {}, {}
for name, (labels, split) in asked.items():
    for which, model in probes.items():
        found[f"{name}, {which}"] = both_ways(model, labels, split)
        chances[f"{name}, {which}"] = 1 / len(np.unique(labels))

# %% tags=["hide-output"]
from course_utils.plots import two_splits

two_splits(found, chances)

# %% [markdown]
# Density and vendor gain, and nobody would have noticed: nothing looks wrong with a higher score. The side gives it away: with
# images shuffled, it is read *worse* than by tossing a coin. What could make a model wrong more often than not?

# %%
from sklearn.neighbors import NearestNeighbors

_, order = NearestNeighbors(n_neighbors=2).fit(vectors).kneighbors(vectors)
most_alike = order[:, 1]  # the nearest is the image itself
hers = women[most_alike] == women
other_side = hers & (side[most_alike] != side)
print(f"images whose nearest is the same woman's: {hers.sum()} of {len(women)}")
print(f"of these, the other breast: {other_side.sum()}")

# %% [markdown]
# For one image in three, the image most like it shows the same woman's other breast: the one image that must have the other
# label. Recognition helps if all of a woman's images share their label, and misleads if they do not. It never
# tells you anything about the label. That is the harm, and it is why `probe` has no default for `groups`.

# %% [markdown]
# ## How sure is that?
#
# So keep the women together, and ask for density. The course's `probe` does what you did, five times over, with vectors
# scaled as a whole instead of column by column. Keep the answers of your own model as well, for the next two exercises.

# %%
from course_utils.analysis import probe
from course_utils.imaging.thumbnails import read_pictures
from course_utils.plots import confusion

simple = read_pictures(extraction.thumbnails)
rivals = {"mean gray": simple.mean_gray, "histogram": simple.histogram}
rivals["thickness"] = truth["thickness_mm"]
of_density = probe(vectors, truth["density"], groups=women, baselines=rivals)
fold = np.asarray(by_woman(women, density, 5, np.random.default_rng(0)))
said = out_of_fold(linear, vectors, density, fold)
confusion(of_density)

# %% [markdown]
# ### Exercise 10.2: an interval over women (8 minutes)
#
# 96 women are not all women. How different might the share of right answers be with 96 others? The
# [**bootstrap**](../docs/glossary.md#bootstrap) asks those you have: draw as many women as there are, *with* replacement, and take
# all the images of each, twice if she was drawn twice. Write `interval`. It gets `right` $(N,)$, True or False for each image;
# `women` $(N,)$; a generator `rng`; and how often to draw,
# `draws`. Return two numbers, the 2.5 and 97.5 percentiles of the share of right answers among the images drawn.


# %%
def interval(right, women, rng, draws):  # -> low, high
    ### BEGIN SOLUTION
    rows = [np.flatnonzero(women == woman) for woman in np.unique(women)]
    shares = []
    for _ in range(draws):
        drawn = rng.integers(0, len(rows), len(rows))
        shares.append(right[np.concatenate([rows[i] for i in drawn])].mean())
    return np.percentile(shares, [2.5, 97.5])
    ### END SOLUTION


exercise("10.2").check(interval)
# exercise("10.2").hint()

# %% [markdown]
# *Predict: if every image counted as a woman of her own, would the interval be wider or narrower, and by how much?*

# %% tags=["hide-output"]
from course_utils.teaching.folds import ends_over

right = said == density
ends = exercise("10.2").use(interval, otherwise=ends_over)
over_women = ends(right, women, np.random.default_rng(0), 999)
over_images = ends(right, np.arange(len(women)), np.random.default_rng(0), 999)
print(f"right: {right.mean():.1%}")
for name, (low, high) in {"over women": over_women, "over images": over_images}.items():
    wide = 100 * (high - low)
    print(f"95% interval {name}: {low:.1%} to {high:.1%}, that is {wide:.0f} points")

# %% [markdown]
# Images of a woman are right or wrong together, so 384 of them are not 384 witnesses, and an interval over images is too narrow.
#
# (Even the one over women is a little too narrow. The women also taught the models that judged the others, which it leaves
# out; `probe` widens its intervals for that, and its documentation says by how much.)
#
# ## Is a near miss a miss?
#
# Look at the confusion matrix again: nearly all misses are by one class. Radiologists disagree by one class, too. **Cohen's
# quadratic kappa** counts a miss by two classes four times as much as a miss by one, and takes off what chance would give:
#
# $$\kappa = 1 - \frac{\sum_{ij} w_{ij}\, o_{ij}}{\sum_{ij} w_{ij}\, e_{ij}}, \qquad w_{ij} = (i - j)^2, \qquad e_{ij} = \frac{r_i\, c_j}{N}$$
#
# where $o_{ij}$ is the number of images of class $i$ that were called $j$, $r_i$ the sum of row $i$ of that table, $c_j$ the sum
# of column $j$, and $N$ the number of images. It is 1 if all are right, and 0 for what chance would give.

# %% [markdown]
# ### Exercise 10.3: quadratic kappa (7 minutes)
#
# Write `quadratic_kappa`. It gets two arrays $(N,)$ of class numbers from 0 up, `truth` and `said`, and the number of
# `classes`. Return $\kappa$.


# %%
def quadratic_kappa(truth, said, classes):  # (N,), (N,) -> a number
    ### BEGIN SOLUTION
    observed = np.zeros((classes, classes))
    np.add.at(observed, (truth, said), 1)
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / len(truth)
    i = np.arange(classes)
    weight = (i[:, None] - i) ** 2
    return 1 - (weight * observed).sum() / (weight * expected).sum()
    ### END SOLUTION


exercise("10.3").check(quadratic_kappa)
# exercise("10.3").hint()

# %% [markdown]
# *Predict: if a reader called every a b, every b c and every c d, would kappa fall as low as accuracy does?*

# %% tags=["hide-output"]
from course_utils.teaching.folds import weighted_kappa

kappa = exercise("10.3").use(quadratic_kappa, otherwise=weighted_kappa)
codes, called = (np.searchsorted(list("abcd"), each) for each in (density, said))
shifted = np.minimum(codes + 1, 3)
for name, each in {"the probe": called, "one class too high": shifted}.items():
    found = kappa(codes, each, 4)
    print(f"{name:<18} right {(each == codes).mean():.2f}, quadratic kappa {found:.2f}")

# %% [markdown]
# A quarter right, and a kappa that many would call substantial. Neither number is *the* number. Report both, and the table.

# %% [markdown]
# ## Is it the network?
#
# The vectors know density. Would it have taken a network? Three rivals, in the same folds: the mean gray of the breast; a
# **histogram**, what share of its pixels lies in each of 32 bins of gray; and the thickness of the breast, one number from the
# header. *Predict: put the four in order, for density. Then for the vendor: who knows the machine better, 1280 columns or 32
# bins?*

# %% tags=["hide-output"]
from course_utils.plots import scores_beside

scores_beside(of_density)

# %% tags=["hide-output"]
quick = {"groups": women, "repeats": 2, "permutations": 0}
of_vendor = probe(vectors, truth["vendor"], baselines=rivals, **quick)
scores_beside(of_vendor)

# %% [markdown]
# For density the network has earned its place. For the vendor it has lost: 32 bins know the machine, and a straight cut through
# the network's vectors no longer finds all of that. Without the histogram beside it, a score of nearly 0.8 would have looked
# like an achievement.
#
# And why is the thickness *below* chance?

# %%
thickness = truth[truth["view"] == "CC"].groupby("density")["thickness_mm"].mean()
means = ", ".join(f"{name} {mm:.0f} mm" for name, mm in thickness.items())
print("mean thickness, CC:", means)

# %% [markdown]
# It is the same in all four classes; this cohort was made that way. So if dense breasts happen to be thin in four folds, they
# are thick in the fifth, and whatever a model learns from the four is wrong there. It is the story of the side once more.
#
# A probe can also be asked for a number. Here it is the share of glandular tissue in the breast, from which the classes were
# cut. For numbers the measure is $R^2$, the share of the variance that is explained. *Predict: better than 0.5?*

# %% tags=["hide-output"]
glandular = truth["volumetric_fraction"].rename("glandular share")
scores_beside(probe(vectors, glandular, baselines=rivals, **quick))

# %% [markdown]
# ## What else leaks? (skip on a first reading)
#
# Ada now has a rule: *"Everything that is fitted is fitted inside the fold: scaling, principal components, the choice of columns.
# Otherwise it has seen the answers."* Ben: *"Scaling has not seen any answers. It does not look at labels."* Both claims can be
# measured, with a coin, and with few women, where leaks show most: 24 of them, two for each density and vendor.

# %%
few = truth.drop_duplicates("woman").groupby(["density", "vendor"]).head(2)["woman"]
some = np.isin(women, few)
often = (vectors[some] != 0).mean(axis=0) > 0.5  # no columns that are mostly zero
little, their = vectors[some][:, often], women[some]
of_woman = np.unique(their, return_inverse=True)[1]
print(little.shape, "vectors of", len(few), "women")

# %% [markdown]
# ### Exercise 10.4: columns chosen inside the fold (6 minutes)
#
# Columns that differ between heads and tails can be chosen with scikit-learn's `SelectKBest(k=count)`, a step like
# `StandardScaler`: put into a pipeline, it is fitted together with what comes after it. Write `chosen_inside`. It gets vectors
# $(N, D)$, labels $(N,)$, the fold of each image $(N,)$ and how many columns to choose, `count`. Return a prediction for each
# image, $(N,)$, by logistic regression from columns that were chosen *without* the fold that is asked.

# %%
from sklearn.feature_selection import SelectKBest


def chosen_inside(vectors, labels, fold, count):  # -> (N,), predicted labels
    ### BEGIN SOLUTION
    regression = LogisticRegression(max_iter=1000)
    model = make_pipeline(SelectKBest(k=count), StandardScaler(), regression)
    return out_of_fold(model, vectors, labels, fold)
    ### END SOLUTION


exercise("10.4").check(chosen_inside)
# exercise("10.4").hint()

# %% [markdown]
# *Predict, for coins: what is read if the 20 best of the columns are chosen before the split, and what if inside? And what if
# 20 principal components are taken before the split, or inside?*

# %% tags=["hide-output"]
from sklearn.decomposition import PCA

inside = exercise("10.4").use(chosen_inside, otherwise=asked_in_folds)


def four_ways(labels, seed):  # -> columns before, inside; components before, inside
    fold = np.asarray(by_woman(their, labels, 5, np.random.default_rng(seed)))
    chosen = SelectKBest(k=20).fit_transform(little, labels)
    pca = PCA(20, svd_solver="full")
    answers = (
        out_of_fold(linear, chosen, labels, fold),
        inside(little, labels, fold, 20),
        out_of_fold(linear, pca.fit_transform(little), labels, fold),
        out_of_fold(make_pipeline(pca, linear), little, labels, fold),
    )
    return [balanced_accuracy_score(labels, said) for said in answers]


# %% tags=["hide-output"]
def toss(seed):
    sides = np.resize(["heads", "tails"], len(few))
    return np.random.default_rng(seed).permutation(sides)[of_woman]


rows = {
    "coin (chance 0.50)": [four_ways(toss(seed), seed) for seed in range(20)],
    "density (chance 0.25)": [four_ways(density[some], seed) for seed in range(5)],
}
for name, found in rows.items():
    before, within, pca_before, pca_within = np.mean(found, axis=0)
    print(f"{name:<22} columns before {before:.2f}, inside {within:.2f}", end=";  ")
    print(f"components before {pca_before:.2f}, inside {pca_within:.2f}")

# %% [markdown]
# Both are right. Choosing columns by the label before the split lifts a coin, and lifts density by as much. Keeping the women
# together does not help: the leak is in the choice. Components before the split lift nothing. They look at no
# label: you could take them from women whom nobody has ever labelled.
#
# So the rule is not a ritual. What has looked at labels must not have looked at those that are asked. That goes for you as well:
# if you try ten networks and keep the one with the best score, you have chosen by the label.

# %% [markdown]
# ## What was it that you read?
#
# So far density and vendor were **crossed**: each vendor has breasts of every density. An archive seldom is. Say one hospital
# bought its machine for screening, another for women called back because their breasts are dense. To see what that does, choose
# women so that two things agree: dense breasts (c, d) from one vendor, fatty ones (a, b) from another. At a *dose* of 100% they
# agree in all 16 women in training; at 50%, in eight of them, and then the one says nothing about the other.
#
# Then test on two groups of other women: those with the same bias, and those with the bias reversed. *Predict: a model learns to
# tell the two vendors apart, at 100%. How often is it right where the bias is the same, and where it is reversed? And a model
# that learns density?* Ada says: *"Both break. If they cannot be told apart in training, a model can take either."* Ben says:
# *"It takes what is easier to see."*

# %% tags=["hide-output"]
dense = truth["density"].isin(["c", "d"]).to_numpy()
of_each = truth.assign(dense=dense).drop_duplicates("woman").set_index("woman")


def biased(first, second, dose, rng):  # -> women in training, alike, reversed
    two = of_each[of_each["vendor"].isin([first, second])]
    agree = two["dense"] == (two["vendor"] == first)
    alike, reverse = (rng.permutation(two.index[agree == each]) for each in (1, 0))
    size = len(alike) // 2
    many = round(dose * size)
    train = np.r_[alike[:many], reverse[: size - many]]
    return train, alike[many:], reverse[size - many :]


# %% tags=["hide-output"]
from itertools import combinations


def right_answers(target, dose):  # -> shares right: the same bias, and the reversed one
    rng, shares = np.random.default_rng(0), []
    for first, second in combinations(np.unique(vendor), 2):
        for _ in range(4):
            chosen = biased(first, second, dose, rng)
            train, *others = (np.isin(women, them) for them in chosen)
            model = linear.fit(vectors[train], target[train])
            shares.append([model.score(vectors[them], target[them]) for them in others])
    return np.mean(shares, axis=0)


# %% tags=["hide-output"]
doses, panels = (8 / 16, 13 / 16, 15 / 16, 16 / 16), {}
targets = {"asked for the vendor": vendor, "asked for density": dense}
for name, target in targets.items():
    panels[name] = np.transpose([right_answers(target, dose) for dose in doses])

# %% tags=["hide-output"]
from course_utils.plots import shortcut_doses

shortcut_doses(doses, panels)

# %% [markdown]
# At 100% the two models are the same model: the labels say the same. It reads density, whatever you asked for, because density
# is what the vectors show best. If you asked for density, little is lost. If you asked for the vendor, the model is wrong five
# times in six where the bias is reversed, and *cross-validation would not say so*: it asks women with the same bias, as the
# blue line does, and that line is higher than it was without a bias. One woman in 16 who breaks the rule helps a little. Three
# in 16 are not enough.
#
# Put the finding that you look for in the place of the vendor (faint), and whatever your archive ties it to in the place of
# density (plain). The cure is not in the model. Know what is tied to your label, and test where it is not:

# %%
import textwrap

from course_utils.analysis.probing import transfer

first, second, _ = np.unique(vendor)
alike = np.isin(vendor, [first, second]) & (dense == (vendor == first))
reverse = np.isin(vendor, [first, second]) & ~alike
known = truth[["density", "view", "laterality"]]
sets = {"train": alike, "test": reverse, "groups": women, "nuisances": known}
moved = transfer(vectors, truth["vendor"], **sets)
for sentence in (*moved.warnings, moved.sentence):
    print(textwrap.fill(sentence, 110), "\n")

# %% [markdown]
# ## What is a probability worth? (skip on a first reading)
#
# A probe does not only say "c". It says "c, 80%". If you mean to use that (to send unsure cases to a second reader, say), 80%
# should mean right four times in five. Whether it does is called **calibration**, and accuracy says nothing about it. To see it,
# sort the predictions into bins by their **confidence**, the largest of the predicted probabilities, and count how many in each
# bin are right.

# %% [markdown]
# ### Exercise 10.5: a reliability curve (8 minutes)
#
# Write `reliability_curve`. It gets `confidence` $(N,)$, from 0 to 1; `right` $(N,)$, True or False; and the number of `bins`, of
# equal width from 0 to 1. Return three arrays, with one number for each bin that holds any image, from low to high: the mean
# confidence of its images, the share of them that is right, and how many there are. A confidence of exactly 1 belongs to the
# last bin.


# %%
def reliability_curve(confidence, right, bins):  # -> confidence, share right, images
    ### BEGIN SOLUTION
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    used = np.unique(place)
    return (
        np.array([confidence[place == b].mean() for b in used]),
        np.array([right[place == b].mean() for b in used]),
        np.array([(place == b).sum() for b in used]),
    )
    ### END SOLUTION


exercise("10.5").check(reliability_curve)
# exercise("10.5").hint()

# %% [markdown]
# Logistic regression has a knob, $C$: the smaller, the more its weights are held back. *Predict: from 1 to 10 to 1000, what happens
# to the accuracy, and what to the probabilities?* The **expected calibration error** is the distance between mean confidence and
# share right in a bin, averaged over the bins, each weighted by its images.

# %% tags=["hide-output"]
quick = {"groups": women, "repeats": 2, "permutations": 0}
knobs = {C: probe(vectors, truth["density"], setting=C, **quick) for C in (1, 10, 1000)}
for C, one in knobs.items():
    accuracy, error = one.score.value, one.scores["calibration_error"].value
    print(f"C = {C:<5} balanced accuracy {accuracy:.2f}", end=", ")
    print(f"expected calibration error {error:.2f}")

# %% tags=["hide-output"]
from course_utils.plots import reliability

reliability(knobs[1])

# %% tags=["hide-output"]
reliability(knobs[1000])

# %% [markdown]
# (Half an image at a point is a mean over two repeats.) The accuracy is the same, and the probabilities are worth quite
# different things. Held back, the model is right far more often than it says; let loose, it is surer of itself than it should
# be. At 10, the two nearly agree. And yours? Here is your model from before, with its columns scaled one by one:

# %%
from course_utils.teaching.folds import confidence_curve

curve = exercise("10.5").use(reliability_curve, otherwise=confidence_curve)
sure = np.zeros(len(women))
for k in np.unique(fold):
    model = linear.fit(vectors[fold != k], density[fold != k])
    sure[fold == k] = model.predict_proba(vectors[fold == k]).max(axis=1)

confidence, share, images = curve(sure, right, 10)
error = np.average(abs(confidence - share), weights=images)
print(f"expected calibration error {error:.2f}")
print(f"mean confidence {sure.mean():.2f}, right {right.mean():.2f}")

# %% [markdown]
# Yours is let loose, too: with its columns scaled one by one, $C = 1$ is not what it is for `probe`.

# %% [markdown]
# ## How many labels do you need?
#
# A label costs a radiologist's time. She opens an examination and sees all four images, so you ask her about a *woman*.
# And perhaps some women teach more than others: why not ask about those that the model is least sure of? That is **active
# learning**. Its simplest form looks at the **margin**, the gap between the largest and the second largest probability.

# %% [markdown]
# ### Exercise 10.6: whom to label next (6 minutes)
#
# Write `next_woman`. It gets `probabilities` $(M, K)$ for $M$ images that have no label yet, and `women` $(M,)$. Return the woman
# whose images have the smallest mean margin.


# %%
def next_woman(probabilities, women):  # (M, K), (M,) -> one of the women
    ### BEGIN SOLUTION
    ordered = np.sort(probabilities, axis=1)
    margin = pd.Series(ordered[:, -1] - ordered[:, -2])
    return margin.groupby(women).mean().idxmin()
    ### END SOLUTION


exercise("10.6").check(next_woman)
# exercise("10.6").hint()

# %%
from course_utils.teaching.folds import least_sure

ask_about = exercise("10.6").use(next_woman, otherwise=least_sure)
labelled = np.isin(women, names[:10])
model = linear.fit(vectors[labelled], density[labelled])
whose = women[~labelled]
asked_next = ask_about(model.predict_proba(vectors[~labelled]), whose)
print("ten women are labelled; the next to ask about is number", end=" ")
print(np.searchsorted(names, asked_next), "of", len(names))

# %% [markdown]
# Three tenths of the women are put aside for the test. Five are labelled to begin with, then more, chosen in one of three ways:
# at random, by the margin, or those most unlike the ones already labelled. *Predict: what do five women give? At 20, how much
# does the margin add to choosing at random?*

# %% tags=["hide-output"]
from course_utils.analysis.probing import label_curve
from course_utils.plots import label_curves

numbers = (5, 10, 20, 40, 60)
ways = {
    "random": "at random",
    "margin": "by the margin",
    "diverse": "most unlike the others",
}
same = {"groups": women, "women": numbers, "repeats": 10}
chosen = label_curve(vectors, truth["density"], strategies=tuple(ways), **same)
curves = {ways[way]: (numbers, values) for way, values in chosen.values.items()}
label_curves(curves, 1 / 4)


# %% tags=["hide-output"]
for sentence in chosen.sentences[1:]:
    print(textwrap.fill(sentence, 88), "\n")

# %% [markdown]
# Five women are enough for more than twice what chance gives, and each doubling buys a few points more. The clever ways to choose
# buy nothing that shows above the noise: even at its best, each gains about as much as one try differs from the next. A paper
# that tried once, with one seed, could have reported any of the three as the winner.
#
# There is another kind of cleverness. The other women have no labels, but their vectors are there. **Label spreading** lets labels
# flow from an image to its neighbours; **self-training** believes its own surest predictions and learns from them. *Predict: with
# five women, which of the four is best: logistic regression, five nearest neighbours, label spreading, self-training? With 60?*

# %% tags=["hide-output"]
models = {
    "5 neighbours": "knn",
    "label spreading": "spread",
    "self-training": "self_training",
}
same["strategies"] = ("random",)
at_random = chosen.values["random"]
curves = {"logistic regression": (numbers, at_random)}
for name, model in models.items():
    found = label_curve(vectors, truth["density"], model=model, **same)
    curves[name] = (numbers, found.values["random"])
label_curves(curves, 1 / 4)

# %% tags=["hide-output"]
for name in models:
    gain = np.subtract(curves[name][1], at_random)  # the same women, the same tests
    means, sds = gain.mean(axis=0), gain.std(axis=0, ddof=1)
    best = means.argmax()
    print(f"{name:<16} at its best {means[best]:+.2f} (sd {sds[best]:.2f})", end=", ")
    print(f"with {numbers[best]} women")

# %% [markdown]
# The same women, the same tests, so the curves can be compared point by point: even where each does best, it does not beat plain
# logistic regression by more than its noise. That is a negative result, and it stays in. It does not say that these methods are
# useless, only that they added nothing here.

# %% [markdown]
# ## What would you write?
#
# Here is what `probe` says of density, one sentence after another, with what was *not* shown at the end:

# %%
for sentence in of_density.sentences:
    print(textwrap.fill(sentence, 110), "\n")

# %% [markdown]
# And all of it is about synthetic women, seen by one network. In a terminal, on a run folder of your own, with a table that holds
# your labels:
#
# ```
# course probe out --labels table.csv --target density
# course report out
# ```
#
# The solved version of this lesson is [here](solutions/10_probes_and_few_labels.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. A paper has 2000 images of 500 women and shuffles the images into folds. What would you ask for?</summary>
#
# The same with the women kept together. Until then, part of the score may be recognition of women, and how large a part nobody
# can say from outside.
# </details>
#
# <details><summary>2. A probe of the side has a balanced accuracy of 0.38. Is that worse than nothing?</summary>
#
# It is a sign. A model that is wrong more often than chance has learnt something that points the wrong way: here that a woman's
# images have the same label. Look at the split.
# </details>
#
# <details><summary>3. Somebody standardised all images together before cross-validation. Must it be done again?</summary>
#
# It looked at no label, and we found no effect of such steps. Inside the fold is still the better habit, since a pipeline costs
# nothing. Had columns been chosen by the label, it would have to be done again.
# </details>
#
# <details><summary>4. A model finds cancer with an AUC of 0.95, cross-validated, in one hospital. Name two things that could break it in the next.</summary>
#
# Whatever is tied to cancer in the first and not in the second: the machine, the clinic that women with a finding are sent to, a
# marker on the skin. Cross-validation among the same women cannot see it.
# </details>
#
# <details><summary>5. Two models have the same accuracy. One says 99% nearly always. Which do you hand to a radiologist?</summary>
#
# See first how often it is right when it says 99%. If that is nine times in ten, its 99% hide the one case that she should look
# at twice.
# </details>
#
# <details><summary>6. Active learning gained 2 points in one run. What is missing?</summary>
#
# The same with other first women and other test women. In this lesson one try differs from the next by more than that.
# </details>

# %% [markdown]
# ## Recap
#
# A probe is a simple model that is asked about women whom it has not seen. Keep a woman's images together, or a coin can be read
# and a side is read backwards. Nothing may be chosen by a label that is asked for; steps that look at no label cost nothing.
# Intervals go over women. Beside every score stand chance, and something much simpler than a network. A model takes what is
# easiest to see, so ask what is tied to your label, and test where it is not. Accuracy says nothing about probabilities. A few
# labelled women go far; tricks to make do with fewer have to be measured against their noise, and here they did not pay.

# %% [markdown]
# ## Go further
#
# - G. Alain, Y. Bengio: *Understanding intermediate layers using linear classifier probes*. 2016.
#   [arXiv:1610.01644](https://arxiv.org/abs/1610.01644).
# - S. Kapoor, A. Narayanan: *Leakage and the reproducibility crisis in machine-learning-based science*. Patterns 4(9), 100804,
#   2023. [doi 10.1016/j.patter.2023.100804](https://doi.org/10.1016/j.patter.2023.100804).
# - J. R. Zech, M. A. Badgeley, M. Liu, A. B. Costa, J. J. Titano, E. K. Oermann: *Variable generalization performance of a deep
#   learning model to detect pneumonia in chest radiographs*. PLoS Medicine 15(11), e1002683, 2018.
#   [doi 10.1371/journal.pmed.1002683](https://doi.org/10.1371/journal.pmed.1002683).
# - A. J. DeGrave, J. D. Janizek, S.-I. Lee: *AI for radiographic COVID-19 detection selects shortcuts over signal*. Nature Machine
#   Intelligence 3, 610–619, 2021. [doi 10.1038/s42256-021-00338-7](https://doi.org/10.1038/s42256-021-00338-7).
# - J. Cohen: *Weighted kappa*. Psychological Bulletin 70(4), 213–220, 1968.
#   [doi 10.1037/h0026256](https://doi.org/10.1037/h0026256).
# - C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: *On Calibration of Modern Neural Networks*. ICML 2017.
#   [arXiv:1706.04599](https://arxiv.org/abs/1706.04599).
# - scikit-learn documentation, [Common pitfalls](https://scikit-learn.org/stable/common_pitfalls.html).
#
# **Next:** [lesson 11](11_scaling_out.ipynb), scaling out: a million mammograms, and a bill.
