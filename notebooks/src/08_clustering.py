# %% [markdown]
# # 08 · Clustering: what is found, and what is there
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - write k-means, and run it beside three other methods
# - say what agreement between methods proves, and what it does not
# - choose a number of clusters beside what noise would choose, and keep noise points out of every count
# - name clusters by their prototypes before you look at any label
# - tell association from separation, by asking women who had no part in making the clusters
#
# **Prerequisites.** [Lesson 07](07_seeing_embeddings.ipynb): principal components, and what a map can and cannot show. From
# NumPy: masks such as `x[labels == 2]`, and `axis`.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 75 min, 85 with all | under 30 s | under 1 GB | none | not needed |

# %% [markdown]
# ## Can a machine sort mammograms that nobody has sorted?
#
# Sixty women, four mammograms each. The pictures are synthetic, so everything about them is known: how dense the breast
# is, from which direction the picture was taken, and on whose machine. All of that is in a table, and the table stays closed
# for now. We start with what any archive can give you: a vector for each picture, and which woman it belongs to.

# %%
import numpy as np
import pandas as pd

from course_utils.imaging.datasets import sample_run
from course_utils.runs import Extraction

run = sample_run()
extraction = Extraction.read(run)
vectors, pictures = extraction.vectors, extraction.thumbnails
women = extraction.table["patient_key"].to_numpy()  # a pseudonym for each woman
print(vectors.shape, "vectors of", len(np.unique(women)), "women")
print("made by", extraction.record.backbone)

# %% [markdown]
# (The vectors come with the course, so this lesson prints the same figures whichever network is installed.) That is 1280
# columns, more than a clustering needs, and many of them say the same thing. The first fifty principal components keep
# most of what differs between the pictures:

# %%
from course_utils.analysis import reduce

space = reduce(vectors, dims=50)
kept = space.var(axis=0).sum() / vectors.var(axis=0).sum()
print(f"variance kept by 50 components: {kept:.0%}")

# %% [markdown]
# ## What does k-means do?
#
# You choose the number of clusters, $k$, and put $k$ centres anywhere you like. Then two steps take turns: each image joins
# its nearest centre, and each centre moves to the mean of its images. Neither step can increase the sum
#
# $$\sum_{i=1}^{N} \lVert x_i - c_{l(i)} \rVert^2$$
#
# where $x_i$ is the vector of image $i$, $l(i)$ its cluster and $c_{l(i)}$ the centre of that cluster. There are only so
# many ways to sort the images, so it has to end.
#
# Here are three centres, all starting on the same island of the map. *Where will they be after ten rounds? Will any of
# them have crossed over?* Note your answer, then move the slider. (On a web page you see only the start.)

# %%
from course_utils.plots import kmeans_rounds
from course_utils.teaching.widgets import LivePicture

plane = space[:, :2]
begin = plane[np.argsort(plane[:, 0])[[0, 2, 4]]]


def draw(rounds=0):
    return kmeans_rounds(plane, begin, rounds)


LivePicture(draw, rounds=(0, 12))

# %% [markdown]
# ### Exercise 08.1: k-means by hand (10 minutes)
#
# Write `kmeans`. It gets points $(N, D)$ and the centres to start from, $(k, D)$. It returns two things: the labels $(N,)$, for
# each point the row number of its centre, and the centres $(k, D)$ as they are when no point changes its cluster any more. A
# centre that is nearest to no point stays where it is.


# %%
def kmeans(points, centres):  # (N, D), (k, D) -> labels (N,), centres (k, D)
    ### BEGIN SOLUTION
    labels = None
    while True:
        nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
        if labels is not None and (nearest == labels).all():
            return labels, centres
        labels, centres = nearest, centres.copy()
        for j in np.unique(labels):
            centres[j] = points[labels == j].mean(axis=0)
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("08.1").check(kmeans)
# exercise("08.1").hint()

# %% [markdown]
# From here on the lesson runs on *your* functions wherever they are right, and on the course's own elsewhere. So you can
# skip an exercise and come back. A line says which of the two it is.
#
# On the slider, one of the three centres crossed over, and after six rounds nothing moved. Where k-means ends can depend on
# where it began. *Predict: with two centres, with four and with six, how many different ends
# do ten random starts have?*

# %%
from sklearn.cluster import KMeans, kmeans_plusplus

from course_utils.teaching import groups

one_run = exercise("08.1").use(kmeans, otherwise=groups.kmeans)


# %% tags=["hide-output"]
def ten_runs(points, k):  # -> for each of ten starts: sum of squares, labels, centres
    found = []
    for seed in range(10):
        start, _ = kmeans_plusplus(points, k, random_state=seed)  # far apart
        labels, centres = map(np.asarray, one_run(points, start))
        found.append((((points - centres[labels]) ** 2).sum(), labels, centres))
    return sorted(found, key=lambda run: run[0])  # the best is first


for k in (2, 4, 6):
    sums = [run[0] for run in ten_runs(space, k)]
    ends = len(set(np.round(sums)))
    print(f"k = {k}: different ends {ends}, sums {sums[0]:.0f} to {sums[-1]:.0f}")

# %% [markdown]
# That is why libraries start several times and keep the best. With two centres, all ten starts end in the same place. Remember
# that: it was easy.
#
# ## What do four methods find?
#
# Three other methods work quite differently. **Ward** starts with every image by itself and, again and again, joins the
# two groups whose union adds least to the sum above. A **Gaussian mixture** models the data as a sum of bell-shaped clouds and gives each
# image a probability for each cloud. **HDBSCAN** looks for crowded regions with emptier ones between them. It takes no
# $k$; it tells you how many it has found.
#
# Ada says: *"They know nothing of each other. If all four agree on two groups, there are two kinds of breast, and I know my
# archive: it will be the fatty ones and the dense ones."* Ben says: *"They all look at the same vectors. They could agree on
# anything."* (If you come from lesson 07, you have a suspicion. Ada does not.)
#
# *Predict: how well will each agree with the best of your ten runs, and how many clusters will HDBSCAN find?* The
# **[adjusted Rand index](../docs/glossary.md#adjusted-rand-index)** (ARI) is 1 for the same clusters, whatever their
# numbers, and about 0 for agreement by chance.

# %% tags=["hide-output"]
from sklearn.metrics import adjusted_rand_score as ari

from course_utils.analysis import cluster

two = cluster(vectors, "kmeans", k=2)
found = {name: cluster(vectors, name, k=2).labels for name in ("kmeans", "ward", "gmm")}
found["hdbscan"] = cluster(vectors, "hdbscan").labels  # how many? it decides
_, best, _ = ten_runs(space, 2)[0]
for name, labels in found.items():
    counts = np.unique(labels, return_counts=True)[1]
    print(f"{name:<8} sizes {counts}   ARI with your best {ari(labels, best):.2f}")

# %% [markdown]
# All 240 images, four methods, one answer. But what have they agreed on? The **prototypes** of a cluster are the images
# nearest to its centre. Look at them, and give each cluster a name *before you go on*: what do the pictures in one row have in
# common that those in the other do not?

# %%
from course_utils.analysis.clustering import nearest_to_centre
from course_utils.plots import prototypes

prototypes(pictures, nearest_to_centre(vectors, two.labels, count=6, params=two.params))

# %%
names_of_two = {0: "…", 1: "…"}  # your names

# %% [markdown]
# Now open the table. *Predict: which of its four columns agree with the clusters, and how well?*

# %% tags=["hide-output"]
truth = pd.read_csv(run / "manifest.csv")  # a row per image, in the vectors' order
same = (truth["file"] == extraction.table["file"]).sum()
print(f"{same} of {len(truth)} rows name the same file; your names: {names_of_two}")
for column in ("density", "view", "laterality", "vendor"):
    print(f"{column:<12} ARI {ari(truth[column], two.labels):+z.2f}")

# %% tags=["hide-output"]
pd.crosstab(truth["view"], pd.Series(two.labels, name="cluster"))

# %% [markdown]
# The clusters are the views: one holds the pictures from above (CC), the other the oblique ones (MLO), in which the chest
# muscle fills a corner. Density, which Ada had in mind, agrees with them no better than a coin would.
#
# So Ben was right to ask. When methods agree, the pattern really is in the vectors and does not hang on one method's taste.
# That is worth knowing. It does not tell you *what* the pattern is, and what you find first is the strongest pattern, not the
# most interesting one.

# %% [markdown]
# ## What is left when the view is off?
#
# The view is written in every file; nobody needs a network to find it. So take it away: subtract from each vector the mean of
# all vectors of its view. *Predict: will Ward and the mixture still agree with k-means?*

# %% tags=["hide-output"]
view_mean = pd.DataFrame(vectors).groupby(truth["view"]).transform("mean")
off = vectors - view_mean.to_numpy()
space_off = reduce(off, dims=50)

three = cluster(off, "kmeans", k=3)
for name in ("ward", "gmm"):
    for k in (2, 3):
        agreement = ari(*(cluster(off, each, k=k).labels for each in (name, "kmeans")))
        print(f"k = {k}, {name} with kmeans: ARI {agreement:.2f}")

# %% [markdown]
# Anything from 0.27 to 0.90: each method draws its borders somewhere else. Keep that in mind, too.

# %% [markdown]
# ## And HDBSCAN? (skip on a first reading)
#
# It has a knob of its own: the size below which a crowd does not count as a cluster. What lies in no crowd is [**noise**](../docs/glossary.md#noise-point) and
# gets the label −1.

# %% [markdown]
# ### Exercise 08.2: noise is no cluster (4 minutes)
#
# Write `count_clusters`. It gets labels $(N,)$, in which −1 is noise, and returns two things: how many clusters there are, and
# what share of the images, 0 to 1, is in one.


# %%
def count_clusters(labels):  # (N,) -> number of clusters, share of images in a cluster
    ### BEGIN SOLUTION
    inside = labels >= 0
    return len(np.unique(labels[inside])), inside.mean()
    ### END SOLUTION


exercise("08.2").check(count_clusters)
# exercise("08.2").hint()

# %% [markdown]
# *Predict: as the smallest size goes from 3 to 10, does the number of clusters settle?* (`in a hurry` is
# `len(set(labels))`, which mistakes the noise for a cluster. `view still in` is the same count for the vectors as they
# were, and `ARI with view` says what these clusters are.)

# %% tags=["hide-output"]
count = exercise("08.2").use(count_clusters, otherwise=groups.count_clusters)
sizes = (3, 4, 5, 6, 8, 10)
runs = {size: cluster(off, "hdbscan", min_cluster_size=size).labels for size in sizes}
before = [cluster(vectors, "hdbscan", min_cluster_size=size).labels for size in sizes]
table = pd.DataFrame(index=list(sizes))
table["in a hurry"] = [len(set(labels)) for labels in runs.values()]
table["view still in"] = [len(set(labels)) for labels in before]
table["ARI with view"] = [round(ari(labels, truth["view"]), 2) for labels in before]
counted = [count(labels) for labels in runs.values()]
table["clusters"] = [number for number, _ in counted]
table["images in one"] = [f"{share:.0%}" for _, share in counted]
table.rename_axis("smallest size")

# %% [markdown]
# In a hurry you would report a cluster even in the last row, where every image is noise. And the rows above it give several
# answers to one question. With the view still in, every setting gave the same two clusters, the views. A number that moves with
# the knob tells you about the knob.

# %% [markdown]
# ## How many clusters?
#
# k-means takes any $k$ you like. The usual adviser is the **silhouette**. For image $i$, let $a_i$ be its mean distance to the
# others in its cluster, and $b_i$ its mean distance to the images of the nearest other cluster; then
#
# $$s_i = \frac{b_i - a_i}{\max(a_i, b_i)}$$
#
# is close to 1 if the other clusters are far away, and 0 if the image might as well be in the next one. The usual advice is to
# take the $k$ with the largest mean of all $s_i$.
#
# Move the slider. *Which k would you choose by eye? Which by the curve? And if there were no clusters at all, just one cloud,
# which k would the curve prefer?* Write the last one down.

# %%
from sklearn.metrics import silhouette_score

from course_utils.plots import map_and_silhouettes

ks = np.arange(2, 9)


# scikit-learn's k-means: it does what yours does, and we need more than a thousand runs
def silhouettes(points):
    models = [KMeans(k, n_init=10, random_state=0) for k in ks]
    labels = [model.fit_predict(points) for model in models]
    return np.array([silhouette_score(points, each) for each in labels])


curve = silhouettes(space_off)


# %% tags=["hide-input"]
def at_k(k=3):
    labels = cluster(off, "kmeans", k=k).labels
    return map_and_silhouettes(space_off[:, :2], labels, dict(zip(ks, curve)))


LivePicture(at_k, k=(2, 8))

# %% [markdown]
# Now the cloud: as many points, and the same spread along each component, but one centre and no clusters. We draw nineteen such
# clouds and put each through the same steps.

# %% tags=["hide-output"]
rng = np.random.default_rng(0)
spread = space_off.std(axis=0)
clouds = [rng.standard_normal(space_off.shape) * spread for _ in range(19)]
null = np.array([silhouettes(cloud) for cloud in clouds])  # (19 clouds, 7 k)

noise = np.random.default_rng(0).standard_normal(space_off.shape)  # round
print("our images: best silhouette at k =", ks[curve.argmax()])
print("the clouds: best silhouette at k =", *ks[null.argmax(axis=1)])

# %% [markdown]
# Two, every time. Cut an elongated cloud in the middle, and the two halves have a better silhouette than three thirds
# would. So "k = 2 by the best silhouette" is what you would report about noise. What could tell us something is where the
# images stand out *from the clouds*.

# %% [markdown]
# ### Exercise 08.3: how many, beside how many in noise (7 minutes)
#
# Write `best_k`. It gets the numbers of clusters tried, `ks` $(K,)$; the silhouettes of the data, `found` $(K,)$; and those of
# the draws without clusters, `null` (draws, $K$). The *excess* at a $k$ is the silhouette there minus the mean of the draws
# there. Return two things: the $k$ with the largest excess, and $p$. For $p$, count the data as one more draw; it is the share
# of all of them whose largest excess, *at whichever k*, is at least as large as that of the data.


# %%
def best_k(ks, found, null):  # (K,), (K,), (draws, K) -> k, p
    ### BEGIN SOLUTION
    expected = null.mean(axis=0)
    excess = found - expected
    largest = (null - expected).max(axis=1)
    p = (1 + (largest >= excess.max()).sum()) / (1 + len(null))
    return ks[excess.argmax()], p
    ### END SOLUTION


exercise("08.3").check(best_k)
# exercise("08.3").hint()

# %%
excess = groups.excess(curve, null)
print("excess:", *(f"k = {k}: {each:.3f}" for k, each in zip(ks, excess)), sep="  ")
print("largest among the clouds:", f"{groups.excess(null, null).max():.3f}")
choose = exercise("08.3").use(best_k, otherwise=groups.best_k)
print("k = {}, p = {:.2f}".format(*choose(ks, curve, null)))

caption = "Gray: nineteen clouds without clusters. Where do the images stand out most?"
ours, theirs = dict(zip(ks, curve)), dict(zip(ks, null.T))
map_and_silhouettes(space_off[:, :2], three.labels, ours, theirs, caption=caption)

# %% [markdown]
# The largest excess is at eight, the largest $k$ that we tried; every $k$ has some. (Density has four classes, and four
# has the smallest.) And no cloud reaches what the images reach, so $p$ is 1/20, as small as nineteen clouds allow. It
# says that the images are no Gaussian cloud, and that is all. Vectors of images hardly ever are: their columns are
# lopsided, and the four images of a woman lie together. Being no Gaussian cloud is one thing; having clusters is another.

# %% [markdown]
# ## And what does AIC say? (skip on a first reading)
#
# A mixture has a likelihood, so there is a criterion with more theory behind it: Akaike's, $\mathrm{AIC} = 2m - 2\ln L$,
# for $m$ free parameters and the likelihood $L$. Smaller is better: each parameter has to earn its place. *Predict: how
# many components, from 1 to 8, does it choose for noise, where the truth is one? And for our images?* The `floor` is
# added to every variance; the first is scikit-learn's default.

# %% tags=["hide-output"]
from sklearn.mixture import GaussianMixture


def best_by_aic(points, floor):
    settings = {"reg_covar": floor, "random_state": 0}
    models = [GaussianMixture(k, **settings).fit(points) for k in range(1, 9)]
    return 1 + np.argmin([model.aic(points) for model in models])


for floor in (1e-6, 0.03, 0.1, 0.3):
    of_noise, of_images = best_by_aic(noise, floor), best_by_aic(space_off, floor)
    print(f"floor {floor:<5g} noise: {of_noise}, images: {of_images}")

# %% [markdown]
# For noise it chooses eight, the most that it was offered. With eight components, each has about thirty points, and
# thirty points in fifty dimensions lie in a flat sheet. The component that fits them has no thickness across the sheet,
# so its density there is as large as the floor allows, and no penalty keeps up with that. With a high enough floor the
# criterion says one. For our images it says eight, four, two or one, depending on the floor: another knob.

# %% [markdown]
# ## What would you call them?
#
# No curve has told us how many clusters there are. Let us take three, because three rows are easy to look at, and say so.
# The view is off, and again nobody has told the method anything. Name the rows before you go on. *Predict: which column
# of the table will agree with them?*

# %%
prototypes(pictures, nearest_to_centre(off, three.labels, count=6, params=three.params))

# %%
names_of_three = {0: "…", 1: "…", 2: "…"}  # your names

# %% tags=["hide-output"]
print("your names:", names_of_three)
for column in ("density", "view", "laterality", "vendor"):
    print(f"{column:<12} ARI {ari(truth[column], three.labels):+z.2f}")
pd.crosstab(truth["density"], pd.Series(three.labels, name="cluster"))

# %% [markdown]
# There is Ada's density, from a, fatty, to d, very dense. One cluster is mostly a, one is mostly d, and the third holds what
# lies between. It is not the muscle this time: both views are in every row of pictures, and the ARI with the view is 0.00.
#
# Could it be chance? Shuffle the densities many times, and count how often the agreement is as good. All images of a
# woman have the same density, so the shuffling is between *women*. Views differ within a woman, so those are shuffled among
# her own images.

# %%
import textwrap

from course_utils.analysis import associations

known = truth[["density", "view", "laterality", "vendor"]]
for one in associations(three.labels, known, groups=women).found:
    print(textwrap.fill(one.sentence, 110), "\n")

# %% [markdown]
# The clusters are **associated** with density, well beyond chance. (Look at the p of the view. If you try four columns,
# one of them easily falls below 0.05 by luck. That is why p is corrected for their number.)

# %% [markdown]
# ## Does anything lie between them?
#
# Ada says: *"Then there are three kinds of breast, fatty, mixed and dense, and the method has found them by itself."* Ben
# says: *"Cut a rainbow into three with scissors, and the pieces will agree with the colours. That does not make three kinds
# of light."*
#
# A gap would settle it. If there are kinds, there should be few breasts between them. In fifty dimensions that is hard to see;
# on a line it is easy. So make two clusters, draw the line from one centre to the other, and give each image its position on
# it: 0 at the first centre, 1 at the second.


# %%
def position(points, first, second):  # (N, D), (D,), (D,) -> (N,)
    way = second - first
    return (points - first) @ way / (way @ way)


def two_centres(points):  # k-means, the best of ten
    return ten_runs(points, 2)[0][2]


data = {"view": space, "density": space_off, "noise": noise}
positions = {name: position(each, *two_centres(each)) for name, each in data.items()}

# %% [markdown]
# Three data sets: `view`, the vectors as they are, whose two clusters are the views; `density`, the vectors with the view
# off, whose two clusters lie towards dense and towards fatty; and `noise`, as many random points in as many dimensions,
# one round cloud without any clusters. *Predict: which of the three have a valley in the middle, and whose is the
# deepest?*

# %% tags=["hide-output"]
from course_utils.plots import histograms

histograms(positions)

# %% [markdown]
# ### Exercise 08.4: pour water on a histogram (6 minutes)
#
# To say how deep a valley is, let it rain. Water runs off a hill and stays in a valley, as high as the lower of its two walls.
# Write `deepest_puddle`. It gets the counts of a histogram and returns the depth of the water where it is deepest, in images.
# With counts 1, 5, 2, 7, 3 the answer is 3: from the 2 up to the 5. (At both ends the water runs off.)


# %%
def deepest_puddle(counts):  # (bars,) -> number of images
    ### BEGIN SOLUTION
    left = np.maximum.accumulate(counts)
    right = np.maximum.accumulate(counts[::-1])[::-1]
    return (np.minimum(left, right) - counts).max()
    ### END SOLUTION


exercise("08.4").check(deepest_puddle)
# exercise("08.4").hint()

# %%
puddle = exercise("08.4").use(deepest_puddle, otherwise=groups.deepest_puddle)
for name, values in positions.items():
    counts, _ = np.histogram(values, 12)
    print(f"{name:<8}", counts, f" deepest puddle: {puddle(counts)} images")

# %% [markdown]
# The views are apart. And *noise has a deeper valley than density*: 26 images (from 14 up to 40) against 11. Two things are
# wrong with what we did, and each has a cure.
#
# You see the first if you move the slider: the depth depends on the number of bars. We shall come back to that. The second is
# the noise.


# %% tags=["hide-input"]
def rain(bins=12):
    return histograms(positions, bins, rain=True)


LivePicture(rain, bins=(4, 40))

# %% [markdown]
# ## Why does noise have a valley?
#
# Perhaps because the points on the line are the ones that drew it. In fifty dimensions there are very many directions to
# look from, and k-means looks for the one from which the points fall apart best. There is always a best one. To find out
# whether it means anything, ask points that had no say in the choice.
#
# Here that means other *women*: a woman's left breast is no stranger to clusters that her right breast helped to make. So half
# of the women make the clusters and the other half are asked, one image each, since four images of one woman would be one
# opinion counted four times.

# %% [markdown]
# ### Exercise 08.5: ask women who did not make the clusters (9 minutes)
#
# Write `ask_others`. It gets vectors $(N, D)$; whose they are, `women` $(N,)$; an array of the women who make the
# clusters, `makers`; the function `two_centres`, which makes two centres from the rows it is given; and a generator
# `rng`. Make the centres from all images of the makers. Return positions $(M,)$ for the $M$ women who are not makers, of
# one image each, drawn with `rng.choice`. (Use the function `position` from above.)


# %%
def ask_others(vectors, women, makers, two_centres, rng):  # -> (number of others,)
    ### BEGIN SOLUTION
    first, second = two_centres(vectors[np.isin(women, makers)])
    others = np.setdiff1d(women, makers)
    rows = [rng.choice(np.flatnonzero(women == woman)) for woman in others]
    return position(vectors[rows], first, second)
    ### END SOLUTION


exercise("08.5").check(ask_others)
# exercise("08.5").hint()

# %% [markdown]
# *Predict: what share of the images lies in the middle fifth of the way, at positions 0.4 to 0.6, among the makers and
# among the others? In which of the three data sets will the two differ?* (If your function draws in another order than
# ours, your figures from here on will differ a little from those in the text.)

# %%
from course_utils.teaching.others import positions_of_makers, positions_of_others

ask = exercise("08.5").use(ask_others, otherwise=positions_of_others)
everybody = np.unique(women)


def one_halving(points, rng):  # -> the makers, and the positions of the others
    makers = rng.permutation(everybody)[: len(everybody) // 2]
    return makers, np.asarray(ask(points, women, makers, two_centres, rng))


def in_the_middle(positions):
    return (np.abs(positions - 0.5) < 0.1).mean()


# %% tags=["hide-output"]
for name, points in data.items():
    own, others, rng = [], [], np.random.default_rng(0)
    for _ in range(9):
        makers, answers = one_halving(points, rng)
        theirs = positions_of_makers(points, women, makers, two_centres)
        own.append(in_the_middle(theirs))
        others.append(in_the_middle(answers))
    own, others = (f"{np.mean(each):4.0%}" for each in (own, others))
    print(f"{name:<8} in the middle: {own} of the makers', {others} of the others'")

# %% [markdown]
# In the noise, the makers leave a valley just where a quarter of the others are. Between the views there is nobody,
# whichever women are asked. And density? Its positions range from −0.5 to 1.5, so an even spread would put a tenth of them
# in this stretch, and a tenth are there. That looks like a plateau. To be sure, we must get rid of the bars.
#
# ## How deep is a valley without bars?
#
# Halve the women once: here are the answers of the thirty who were asked. Sort them, and draw for each position the share of
# images up to there. Where images crowd, that curve is steep; over a valley it is flat. One hill makes a curve that bends
# upwards as far as the top of the hill, and downwards from there. A second hill would have to bend it upwards once more.
#
# How far is the curve from the nearest curve with only one hill? That distance is Hartigan's
# **[dip](../docs/glossary.md#dip)**: no bars, no width to choose, one number. *Predict: put the three dips in order. Is
# that of density nearer to that of the views or of the noise?*

# %% tags=["hide-output"]
from course_utils.plots import cumulative_dips

answers = {}
for name, points in data.items():
    answers[name] = one_halving(points, np.random.default_rng(0))[1]
cumulative_dips(answers)

# %% [markdown]
# Is 0.05 a lot? That depends on what thirty numbers from one hill give. The hill that comes closest to having a valley is the
# flat one, where every position is as likely as any other. So draw thirty numbers from a flat one, 999 times over, and count
# how often their dip is as large.

# %%
from course_utils.analysis.dip import dip

rng = np.random.default_rng(0)
flat = np.array([dip(rng.random(30)) for _ in range(999)])


def p_of(answers):
    return (1 + (flat >= dip(answers)).sum()) / (1 + len(flat))


for name, values in answers.items():
    print(f"{name:<8} dip {dip(values):.3f}   p = {p_of(values):.3f}")

# %% [markdown]
# One thing is left to chance: which half makes the clusters. *Predict: if you halve the women anew, nine times over, how much
# will the p of density change?*

# %% tags=["hide-output"]
tosses = {}
for name, points in data.items():
    rng = np.random.default_rng(1)
    tosses[name] = np.array([p_of(one_halving(points, rng)[1]) for _ in range(9)])
    print(f"{name:<8}", *(f"{p:.3f}" for p in tosses[name]))

# %% [markdown]
# A lottery: for density the tickets run from 0.1 to 0.95, and even the noise has one at 0.06. If you may choose your ticket,
# you can report what you like. So nobody chooses: take *twice the median* of the p-values of many halvings. (Meinshausen, Meier
# and Bühlmann have shown that this errs on the safe side. Anything above 1 counts as 1.)

# %%
for name, ps in tosses.items():
    print(f"{name:<8} p = {min(1, 2 * np.median(ps)):.3f}")

# %% [markdown]
# There is a valley between the views, and none was found between fatty and dense. Here is the line again, for all images,
# coloured by what we know:

# %%
caption = "All images with the view off, coloured by density. Where would you cut?"
look = {"kinds": truth["density"], "caption": caption}
histograms({"density": positions["density"]}, 16, **look)

# %% [markdown]
# So Ada is right that the clusters follow density, and Ben is right that following is not enough: nothing here keeps them
# apart. **[Association](../docs/glossary.md#association)** asks whether two ways of sorting agree.
# **[Separation](../docs/glossary.md#separation)** asks whether there is anything to sort. On this line density is one
# long slope; the four classes are cuts across it that people have agreed on, and the three clusters are cuts that k-means
# made. Both may be useful. Neither is a discovery of kinds.

# %% [markdown]
# ## The same, with every method and any k
#
# With more than two clusters there is more than one line. The course's `valley` arranges the centres in a tree and asks at each
# fork, with many halvings and both halves in turn, for any method. Four clusters make three forks. *Predict: with four clusters
# of the vectors as they are, at how many of the forks is there a valley?*

# %% tags=["hide-output"]
from course_utils.analysis.validity import valley

four = cluster(vectors, k=4)
asked = {"as they are, k = 4": (vectors, four), "view off, k = 3": (off, three)}
for name, (given, found) in asked.items():
    sentence = valley(given, found, groups=women).sentence
    print(textwrap.fill(f"{name}: {sentence}", 110), "\n")
pd.crosstab(truth["view"], pd.Series(four.labels, name="cluster"))

# %% [markdown]
# At one, the top: between the two clusters that are CC and the two that are MLO. Each view was cut in two only because we asked
# for four clusters, and no valley was found between its halves.

# %% [markdown]
# ## What could we have missed? (skip on a first reading)
#
# "No valley was found" does not mean "there is none". How wide must a gap be for sixty women to show it? Make one: take
# the women whose images lie beyond the middle on average, push them further out along the line, and ask again. *Predict:
# how far do you have to push?* (The unit is the distance between the two centres.)

# %% tags=["hide-output"]
first, second = two_centres(space_off)
line = pd.Series(position(space_off, first, second))
beyond = (line.groupby(women).transform("mean") > 0.5).to_numpy()  # by woman
for push in (0, 0.25, 0.5, 0.75, 1, 1.5):
    pushed = space_off + np.outer(beyond, push * (second - first))
    rng = np.random.default_rng(1)
    p = min(1, 2 * np.median([p_of(one_halving(pushed, rng)[1]) for _ in range(9)]))
    print(f"a gap of {push:4.2f}:  p = {p:.3f}")

# %% [markdown]
# Push by three quarters of the distance between the centres, and the gap is found; push by half of that, and it may be missed. So
# the sentence for a report reads: *three clusters, chosen because three are easy to look at, follow density (ARI 0.51, 60
# women); no valley between them was found; sixty women would have shown a wide one and may have hidden a narrow one.* And all of
# it is about synthetic women, seen by one network (EfficientNet-Lite0, which made the vectors that come with the course).
# Another network, or an archive of real mammograms, has to be asked the same questions again.
#
# In a terminal, on a run folder of your own:
#
# ```
# course cluster out --method ward -k 4 --remove view
# course report out
# ```
#
# The solved version of this lesson is [here](solutions/08_clustering.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. Five methods agree on two clusters, ARI 0.98. What has been shown, and what has not?</summary>
#
# That the pattern is in the vectors and not a whim of one method. Not what it is: first compare it with everything the files
# tell you anyway, such as view, side and machine.
# </details>
#
# <details><summary>2. A paper chose k = 2 by the best silhouette, 0.41. What would you ask for?</summary>
#
# The silhouettes that the same steps reach on data without clusters, at every k. Such data prefer k = 2, too.
# </details>
#
# <details><summary>3. HDBSCAN reports 6 clusters, and 70% of the images have the label −1. Which number belongs beside the 6?</summary>
#
# The 30% that are in a cluster. The six are about three images in ten, and say nothing of the others. And see whether there are
# still six with another smallest size.
# </details>
#
# <details><summary>4. Clusters agree with a diagnosis, p = 0.001. May one call them subtypes?</summary>
#
# No. Pieces of a slope agree with whatever changes along the slope. Subtypes would need a gap between them, seen in women who
# did not make the clusters.
# </details>
#
# <details><summary>5. Why one image of each woman, and not the mean of her four?</summary>
#
# The mean is fine, but it answers another question: whether women fall apart into groups, not images. What you must not do is
# count four images as four women, since that makes 60 women look like 240.
# </details>
#
# <details><summary>6. A histogram of 240 positions has a clear valley. The clusters were made from the same 240. What do you conclude?</summary>
#
# Nothing yet. In many dimensions noise shows one, too, seen from the direction that k-means has picked.
# </details>

# %% [markdown]
# ## Recap
#
# k-means, Ward and mixtures find as many groups as you ask for, in anything. When methods agree, there is a pattern, but they do
# not say what it is: here it was the view. Images that belong to no cluster are not one more cluster. Read a criterion for k
# beside what it says about noise, and see whether its answer moves with a knob. Prototypes let you name clusters before the
# labels do it for you. Clusters that agree with a label are associated with it; they are separate only if a valley lies
# between them, and for that you must ask women who did not make them.

# %% [markdown]
# ## Go further
#
# - S. P. Lloyd: *Least Squares Quantization in PCM*. IEEE Transactions on Information Theory 28(2), 129–137, 1982.
#   [doi 10.1109/TIT.1982.1056489](https://doi.org/10.1109/TIT.1982.1056489). k-means.
# - J. A. Hartigan, P. M. Hartigan: *The Dip Test of Unimodality*. Annals of Statistics 13(1), 70–84, 1985.
#   [doi 10.1214/aos/1176346577](https://doi.org/10.1214/aos/1176346577).
# - R. Tibshirani, G. Walther, T. Hastie: *Estimating the Number of Clusters in a Data Set via the Gap Statistic*. Journal of the
#   Royal Statistical Society B 63(2), 411–423, 2001.
#   [doi 10.1111/1467-9868.00293](https://doi.org/10.1111/1467-9868.00293). A criterion beside its null.
# - N. Meinshausen, L. Meier, P. Bühlmann: *p-Values for High-Dimensional Regression*. Journal of the American Statistical
#   Association 104(488), 1671–1681, 2009. [doi 10.1198/jasa.2009.tm08647](https://doi.org/10.1198/jasa.2009.tm08647). Why
#   twice the median.
# - T. Ullmann, C. Hennig, A.-L. Boulesteix: *Validation of cluster analysis results on validation data: A systematic framework*.
#   WIREs Data Mining and Knowledge Discovery 12(3), e1444, 2022.
#   [doi 10.1002/widm.1444](https://doi.org/10.1002/widm.1444).
# - scikit-learn documentation, [Clustering](https://scikit-learn.org/stable/modules/clustering.html).
#
# **Next:** [lesson 09](09_do_you_believe_it.ipynb) tries to fool you: with coins, with clouds, and with steps that were chosen
# while looking at the answer.
