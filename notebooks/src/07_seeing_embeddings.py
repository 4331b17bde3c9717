# %% [markdown]
# # 07 · Seeing embeddings: what a map shows, and what it only seems to show
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - write PCA yourself, and say what a map of two axes leaves out
# - measure which neighbours and which distances a map keeps, beside a map drawn by hand
# - tell what the gap between two islands says, and what it does not
# - catch a silhouette that was taken on a map, and a seed that changes nothing
# - look through a map at the mammograms behind it
#
# **Prerequisites.** [Lesson 05](05_batched_extraction.ipynb): what a vector of an image is. From NumPy, arrays and means.
# From mathematics, that a matrix can be written as a product of others.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 70 min, 85 with all | under 60 s | under 3 GB | none | not needed |

# %% [markdown]
# ## Which island holds the dense breasts?
#
# Sixty women, four mammograms each: two views of each breast. They are synthetic, so we know the truth about every one.
# Fifteen women have almost no glandular tissue (density class *a*), fifteen have extremely dense breasts (*d*), and *b*
# and *c* lie between. EfficientNet-Lite0 turned each mammogram into a vector. The vectors come with the course, so there
# is nothing to wait for, and everybody looks at the same ones, whichever network is installed.

# %%
import numpy as np
import pandas as pd

from course_utils.imaging.datasets import sample_run
from course_utils.runs import Extraction

run = Extraction.read(sample_run())
truth = pd.read_csv(sample_run() / "manifest.csv")
vectors = run.vectors
women = truth["woman"].nunique()
print(vectors.shape, "from", run.record.backbone, "for", women, "women")

# %% [markdown]
# Nobody can look at 1280 numbers. So people let t-SNE draw a **map**: a point per image, and images that are alike close
# together. Here is one, without any label. Point at images on both islands, or draw around some of them to see them side by
# side. (That needs a running kernel. On a web page you see a still picture.)

# %%
from course_utils.analysis import reduce
from course_utils.teaching.picture_map import PictureMap

first_map = reduce(vectors, "tsne")
tsne = reduce(first_map)  # a map may be turned as one likes: lay its long side flat
unlabelled = pd.DataFrame({"image": ["mammogram"] * len(tsne)})
PictureMap(tsne, run.thumbnails, unlabelled, title="240 mammograms, t-SNE")

# %% [markdown]
# *Predict: which island holds the dense breasts, left or right? How sure are you?* Then we count.

# %% tags=["hide-output"]
island = pd.Series(np.where(tsne[:, 0] < 0, "left", "right"), name="island")
pd.crosstab(island, truth["density"])

# %% [markdown]
# Neither. Each island holds exactly half of every class. So what are they?

# %% tags=["hide-output", "nbval-ignore-output"]
pd.crosstab(island, truth["view"])

# %% [markdown]
# They are the two ways to put a breast into the machine: from above ([CC](../docs/glossary.md#cc)) and obliquely
# ([MLO](../docs/glossary.md#mlo)), where a corner of the chest muscle is in the picture. The map shows what is *loudest*
# in the vectors, and nobody told the network what we would like to hear.
#
# Is density on the map at all? Colour it by the columns that we know. Go through all of them.

# %%
known = truth[["density", "view", "laterality", "vendor", "thickness_mm", "woman"]]
PictureMap(tsne, run.thumbnails, known, colour="density", title="240 mammograms, t-SNE")

# %% [markdown]
# Density runs along *both* islands, from one end to the other, like a slope. It makes no gap. There are also three
# vendors, which give their images different contrasts, and they seem to be nowhere. Keep them in mind: we shall find
# them.

# %% [markdown]
# ## How do 1280 numbers become two?
#
# The oldest way is **principal component analysis** (PCA). Think of the 240 images as a cloud of points in a space of 1280
# dimensions. Look for the direction in which the cloud is longest: that is the first axis. Among all directions at right
# angles to it, take the longest again: the second axis. And so on. An image's coordinate on an axis is its **score**.
#
# Let $X$ be the vectors with the mean of each column taken off, one row per image. Every matrix can be taken apart as
#
# $$X = U S V^\top,$$
#
# where the columns of $V$ are these directions, $S$ holds the singular values $s_1 \ge s_2 \ge \dots$ on its diagonal, and the
# columns of $U$ have length 1. Multiply by $V$ from the right, and you have the scores: $XV = US$. The variance along axis $j$
# is proportional to $s_j^2$, so its **share** of the whole is $s_j^2 / \sum_i s_i^2$.

# %% [markdown]
# ### Exercise 07.1: PCA by hand (9 minutes)
#
# Write `pca`. It gets vectors $(N, D)$ and a number `dims`. It returns two things: the scores $(N, \text{dims})$ on the first
# `dims` axes, and the shares of these axes. `np.linalg.svd` takes a matrix apart. (An axis may point either way.)


# %%
def pca(vectors, dims):  # (N, D) -> scores (N, dims), shares (dims,)
    ### BEGIN SOLUTION
    centred = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    return u[:, :dims] * s[:dims], s[:dims] ** 2 / (s**2).sum()
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("07.1").check(pca)
# exercise("07.1").hint()

# %% [markdown]
# From here on the lesson runs on *your* functions wherever they are right, and on the course's own elsewhere. So you can skip
# an exercise and come back. A line says which of the two it is.

# %%
from course_utils.teaching import readings


def one_number(result):  # in whatever form it comes
    return np.asarray(result).item()


# %%
by_pca = exercise("07.1").use(pca, otherwise=readings.pca)
scores, shares = (np.asarray(each, float) for each in by_pca(vectors, 50))
for dims in (2, 10, 50):
    print(f"the first {dims:>2} axes hold {shares[:dims].sum():.0%} of the variance")

# %% [markdown]
# Half of what distinguishes these images is not on a map of two axes. *Predict: what is the first axis, what the second? And
# which axis is the vendor?* The table says, for each axis, which share of its variance lies *between* the groups: 1 if the
# group settles where an image lies, about 0 if it says nothing.


# %% tags=["hide-output"]
def between(scores, groups):
    """The share of each axis' variance that lies between groups (η²)."""
    axes = pd.DataFrame(scores)
    return axes.groupby(groups.to_numpy()).transform("mean").var() / axes.var()


columns = ("view", "density", "laterality", "vendor")
eta = pd.DataFrame({name: between(scores[:, :6], truth[name]) for name in columns})
eta.index = [f"axis {j} ({share:.0%})" for j, share in enumerate(shares[:6], start=1)]
eta.map("{:.2f}".format)

# %% [markdown]
# The first axis is the view and hardly anything else. The second is density. (So is some of the fifth, which has *b* and *c* at
# one end, and *a* and *d* at the other: a slope that bends needs more than one axis.) The vendor comes in on the fourth: nearly
# half of its variance lies between the three of them. That axis holds 4% of the whole, so no map of the first two can show
# it. *Not on the map* does not mean *not in the vectors*.

# %% [markdown]
# ## What do t-SNE and UMAP do instead?
#
# They give up on axes. **t-SNE** looks at each image $i$ and gives every other image $j$ a weight, which falls with its distance
# in the vectors; on the map it does the same with another curve:
#
# $$p_{j|i} \propto \exp\!\left(-\frac{\lVert x_i - x_j\rVert^2}{2\sigma_i^2}\right), \qquad
# q_{ij} \propto \frac{1}{1 + \lVert y_i - y_j\rVert^2}.$$
#
# Here $x$ are the vectors and $y$ the places on the map. Then it moves the places about until the $q$ are as close to the
# $p$ as they can get. (What it minimises is the Kullback–Leibler divergence.) Each image has a $\sigma_i$ of its own,
# chosen so that about as many neighbours count as the **perplexity** says: 30 by default. **UMAP** does much the same
# with other curves.
#
# (The first call of UMAP has to compile its code, which takes a while. After that it is quick.)

# %%
from course_utils.plots import map_scatter, several_maps

umap = reduce(vectors, "umap")
maps = {"PCA": scores[:, :2], "t-SNE": tsne, "UMAP": umap}
caption = (
    "The same vectors, three maps. The axes of t-SNE and UMAP mean nothing; "
    "PCA's are in units of the vectors."
)
several_maps(maps, truth["density"], name="density", caption=caption)

# %% [markdown]
# ## How much of a map may you believe?
#
# A map promises that what lies side by side belongs side by side. That can be counted. Take an image, its ten nearest others
# among the vectors, and its ten nearest others on the map. How many are in both lists?

# %% [markdown]
# ### Exercise 07.2: neighbours kept (7 minutes)
#
# Write `neighbours_kept`. It gets vectors $(N, D)$, a map of them $(N, 2)$ and a number $k$. It returns one number: the share
# of an image's $k$ nearest others that are still among its $k$ nearest others on the map, as the mean over all images.


# %%
def neighbours_kept(vectors, coordinates, k):  # (N, D), (N, 2), k -> a share, 0 to 1
    ### BEGIN SOLUTION
    nearest = []
    for points in (vectors, coordinates):
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        nearest.append(distances.argsort(axis=1)[:, 1 : k + 1])
    return np.mean([len(set(near) & set(drawn)) / k for near, drawn in zip(*nearest)])
    ### END SOLUTION


exercise("07.2").check(neighbours_kept)
# exercise("07.2").hint()

# %% [markdown]
# Ada says: *"Two numbers cannot hold 1280. Chari and Pachter (2023) show how much such maps distort, and that you can lay the
# same data out in the shape of an elephant. I believe none of them."* Ben says: *"Lause, Berens and Kobak (2024) have answered
# that. Of course distances are lost. What t-SNE keeps is neighbours, and an elephant does not."*
#
# We have no elephant, so we draw a **ring**, and put the images on it ourselves: first CC from *a* to *d*, then MLO from *d* to
# *a*, shuffled within each class. *Predict for the four maps: which keeps most neighbours, and which keeps the distances?*

# %%
place = truth["density"].map({"a": 0, "b": 1, "c": 2, "d": 3})
place = place.where(truth["view"] == "CC", 7 - place)
shuffled = np.random.default_rng(0).permutation(len(place))
order = shuffled[np.argsort(place.to_numpy()[shuffled], kind="stable")]
angle = np.empty(len(order))
angle[order] = 2 * np.pi * np.arange(len(order)) / len(order)
maps["a ring, by hand"] = np.column_stack([np.cos(angle), np.sin(angle)])

# %% tags=["hide-output", "nbval-ignore-output"]
from course_utils.analysis import faithfulness

kept_by = exercise("07.2").use(neighbours_kept, otherwise=readings.neighbours_kept)
ways = {"PCA": "pca", "t-SNE": "tsne", "UMAP": "umap"}
ways["a ring, by hand"] = lambda noise: maps["a ring, by hand"]
rows = {}
for name, points in maps.items():
    found = faithfulness(vectors, points, neighbours=10, method=ways[name])
    kept, noise = found.kept, found.noise
    share = one_number(kept_by(vectors, points, 10))
    rows[name] = {
        "neighbours kept": f"{share:.2f} ({noise.neighbours:.2f})",
        "trustworthiness": f"{kept.trustworthiness:.2f} ({noise.trustworthiness:.2f})",
        "distances by rank": f"{kept.distances:.2f} ({noise.distances:.2f})",
    }
pd.DataFrame(rows).T

# %% [markdown]
# By chance an image would keep 10 of 239, or 0.04. Of its ten neighbours t-SNE keeps six, UMAP nearly as many, PCA fewer
# than four, the ring two. So t-SNE is *not* as arbitrary as a ring: **half a point for Ben**. The last column compares
# the distances of all pairs by their rank: it is 1 if the longest in the vectors is the longest on the map, and so on
# down. There PCA is ahead, and t-SNE has lost a good part: **half a point for Ada**. The two papers agree on that much.
# They quarrel about what a map is for.
#
# The middle column, **[trustworthiness](../docs/glossary.md#trustworthiness)**, is what you will often read. It looks at
# images that are neighbours on the map only, and penalises each by how far down the true list of neighbours it stood. At
# 0.97 it sounds good. But the ring knows nothing about an image except its view and its class, and gets 0.88. A figure of
# merit says little until you know what a poor map would get.
#
# The brackets say what the same method makes of *noise*: random vectors that spread as far as ours in each direction, and
# have no groups among them. The ring, laid out for other images, keeps no more of it than chance would. But PCA, t-SNE and UMAP copy noise almost as
# faithfully as mammograms. So these figures say how well a map copies. Whether there is anything worth copying is another
# question; we shall come to it.

# %% [markdown]
# ## How far apart are the islands?
#
# A colleague lays a ruler on the t-SNE map and writes: "Mammograms of the two views lie about six spreads apart." Let us check
# that claim.

# %% [markdown]
# ### Exercise 07.3: how far apart? (6 minutes)
#
# Write `gap`. It says how far apart two groups of mammograms are, in units of their spread: the distance between the two
# centres, divided by the root mean square of the distances of all images from the centre of *their own* group. It gets the
# vectors $(N, D)$, a map of them $(N, 2)$, and an array of $N$ times True (CC) or False (MLO).


# %%
def gap(vectors, coordinates, is_cc):  # (N, D), (N, 2), (N,) -> a number
    ### BEGIN SOLUTION
    cc, mlo = vectors[is_cc].mean(axis=0), vectors[~is_cc].mean(axis=0)
    own = np.where(is_cc[:, None], cc, mlo)
    spread = np.sqrt(((vectors - own) ** 2).sum(axis=1).mean())
    return np.linalg.norm(cc - mlo) / spread
    ### END SOLUTION


exercise("07.3").check(gap)
# exercise("07.3").hint()

# %% [markdown]
# *Predict: in the vectors, are the views more than six spreads apart, or fewer? And on the other two maps?* (To measure on a map,
# we give your function the map in place of the vectors.)

# %% tags=["hide-output", "nbval-ignore-output"]
is_cc = (truth["view"] == "CC").to_numpy()
gap_of = exercise("07.3").use(gap, otherwise=readings.gap)
print(f"in the vectors: {one_number(gap_of(vectors, tsne, is_cc)):.1f} spreads")
for name in ("PCA", "t-SNE", "UMAP"):
    spreads = one_number(gap_of(maps[name], maps[name], is_cc))
    print(f"on the map of {name}: {spreads:.1f} spreads")

# %% [markdown]
# One gap, four answers. Perhaps t-SNE only has a unit of its own? Then a gap that is twice as wide should be drawn twice as
# wide. We can try that, since vectors are only numbers: take the mean of each view, and move all of its images away from the
# other view, or towards it. Within a view nothing changes.
#
# *Predict: we pull the views eight times as far apart as they are. How much wider does the gap get on the map of PCA? And on
# that of t-SNE?*

# %%
view_mean = pd.DataFrame(vectors).groupby(truth["view"]).transform("mean").to_numpy()


def pulled(times):  # 0: the two views lie on one another; 1: as they are
    return vectors + (times - 1) * (view_mean - vectors.mean(axis=0))


flat = {times: reduce(pulled(times), "pca") for times in (0, 0.5, 1, 2, 4, 8)}
drawn = {times: tsne if times == 1 else reduce(pulled(times), "tsne") for times in flat}

# %% tags=["hide-output"]
titles = {f"true gap × {times}": points for times, points in drawn.items()}
caption = (
    "t-SNE of the same images, with the views pulled apart; all panels have one scale. "
    "Look at the last three."
)
look = {"name": "view", "columns": 3, "same_scale": True, "caption": caption}
several_maps(titles, truth["view"], **look)

# %% tags=["hide-output", "nbval-ignore-output"]
print("true gap ×  vectors   PCA  t-SNE")
for times, points in drawn.items():
    each = (pulled(times), flat[times], points)
    found = [one_number(gap_of(some, points, is_cc)) for some in each]
    print(f"{times:>10}  {found[0]:7.1f} {found[1]:5.1f}  {found[2]:5.1f}")

# %% [markdown]
# In the vectors and with PCA it gets eight times as wide. With t-SNE it stays about as it was. Look back at the first
# formula: at twice the distance or at eight times, the weight $p$ is practically zero, so an image does not feel how far
# off the other side is. Look at the other end, too. Where the views lie on one another there are no islands (though the
# colours have not mixed, which we come back to), and half the true distance is enough to part them. So the gap on a t-SNE
# map says *that* neighbours stop here. It never says *how far* it is to the other side, and the colleague's six spreads
# are a property of the program.
#
# For the same reason the *size* of an island says nothing: each image has a $\sigma_i$ of its own, so a dense crowd is blown up
# until it has as much room as a sparse one. (Wattenberg and others show that with sliders; see *Go further*.)

# %% [markdown]
# ## Which of these is noise?
#
# Two maps by t-SNE. One is of our mammograms, with the mean of each view taken off, or the islands would give them away.
# The other is of noise: 240 random vectors that spread as far in each direction as these mammograms do, and have no
# groups at all. A coin decides which is which. *Predict: which one is the noise, A or B?*

# %%
from course_utils.analysis.reduction import gaussian_scores, principal_components

off = vectors - view_mean  # what is left of each image without the mean of its view
rng = np.random.default_rng(0)
_, lengths = principal_components(off.astype(float), 239)
noise = gaussian_scores(lengths, len(off), rng)
pair = [reduce(noise, "tsne"), reduce(off, "tsne")]
coin = rng.integers(2)
caption = "One of these maps is of mammograms. Which one?"
several_maps({"A": pair[coin], "B": pair[1 - coin]}, caption=caption)

# %% tags=["hide-output"]
print("The noise is", "AB"[coin])

# %% [markdown]
# Would you have bet on it? Now k-means cuts the noise into four clusters, as many as there are classes of density.

# %% tags=["nbval-ignore-output"]
from course_utils.analysis import cluster

four = cluster(pair[0], k=4).labels
caption = "Noise in four clusters. It could be a figure in a paper."
map_scatter(pair[0], four.tolist(), axis="t-SNE", caption=caption)

# %% [markdown]
# How good are these clusters? The index that nearly everybody uses is the
# **[silhouette](../docs/glossary.md#silhouette)**. For an image let $a$ be its mean distance to the others of its
# cluster, and $b$ its mean distance to the images of the nearest other cluster (the smallest such mean). Its silhouette
# is
#
# $$s = \frac{b - a}{\max(a, b)},$$
#
# near 1 if it lies well inside its own cluster, 0 on the border, below 0 if it belongs to the neighbours. The mean over all
# images judges the clustering.

# %% [markdown]
# ### Exercise 07.4: a silhouette (7 minutes)
#
# Write `silhouette`. It says how well clusters of images are separated. It gets the vectors $(N, D)$, a map of them $(N, 2)$, and
# the labels $(N,)$ that k-means gave to the points on the map: 0, 1, 2 and so on. It returns the mean silhouette. Every cluster has
# at least two images.


# %%
def silhouette(vectors, coordinates, labels):  # (N, D), (N, 2), (N,) -> -1 to 1
    ### BEGIN SOLUTION
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    found = []
    for i, own in enumerate(labels):
        a = distances[i, labels == own].sum() / ((labels == own).sum() - 1)
        b = min(distances[i, labels == other].mean() for other in set(labels) - {own})
        found.append((b - a) / max(a, b))
    return np.mean(found)
    ### END SOLUTION


exercise("07.4").check(silhouette)
# exercise("07.4").hint()

# %% [markdown]
# Our colleague takes the silhouette on the map, where the clusters are so easy to see. (Your function does the same if it gets
# the map in place of the vectors.) *Predict for the noise: how large is it on the map, and how large in the vectors?*

# %% tags=["hide-output", "nbval-ignore-output"]
cases = {
    "noise, PCA, k = 4": (noise, reduce(noise, "pca"), 4),
    "noise, UMAP, k = 4": (noise, reduce(noise, "umap"), 4),
    "noise, t-SNE, k = 4": (noise, pair[0], 4),
    "without view, t-SNE, k = 4": (off, pair[1], 4),
    "mammograms, t-SNE, k = 2": (vectors, tsne, 2),
}
how_well = exercise("07.4").use(silhouette, otherwise=readings.silhouette)
print(f"{'':<26} {'map':>5} {'vectors':>8}")
for name, (points, drawing, k) in cases.items():
    labels = cluster(drawing, k=k).labels
    on_map = one_number(how_well(drawing, drawing, labels))
    in_vectors = one_number(how_well(points, drawing, labels))
    print(f"{name:<26} {on_map:5.2f} {in_vectors:8.2f}")

# %% [markdown]
# Noise gets a third or more on *every* map, even on PCA's. k-means cuts a plane into pieces, and pieces of a plane have
# silhouettes; it would do the same to spilt sand. In the noise's own space almost nothing is left. The mammograms without the view
# fare little better: 0.4 on the map, and less than 0.1 in the vectors. Only the two islands stand out, and even they fall from 0.8
# to 0.3. That 0.3 is the honest figure. How much is a lot? Lesson 08 asks that properly.

# %% [markdown]
# ## Will it look the same tomorrow? (skip on a first reading)
#
# "The map was stable over ten random seeds," says a paper. *Predict: with another seed, how far does the point that moves most
# move?*


# %% tags=["hide-output"]
def farthest_move(other):
    return np.linalg.norm(other - first_map, axis=1).max()


print(f"another seed: {farthest_move(reduce(vectors, 'tsne', seed=1)):.1f}")

# %% [markdown]
# Not at all. That is no proof of stability: the seed was never used. `reduce` lets t-SNE start from the PCA, as Kobak and
# Linderman advise, and from there on nothing is left to chance. A thousand seeds would have agreed. Before you report that
# something did not change, make sure that it could have.
#
# So let us change something. We multiply each number by 1 plus or minus about a millionth. Another processor's rounding
# may do as much. *Predict again: how far does a point move, and does the map keep more neighbours, or fewer?*

# %% tags=["hide-output", "nbval-ignore-output"]
rounding = 1 + 1e-6 * np.random.default_rng(3).standard_normal(vectors.shape)
tomorrow = reduce(vectors * rounding, "tsne")
wide = np.ptp(tsne[:, 0])
print(f"a millionth: {farthest_move(tomorrow):.1f}; the whole map is {wide:.0f} wide")
before_after = {"before": first_map, "after": tomorrow}
for name, points in before_after.items():
    kept = faithfulness(vectors, points).kept.neighbours
    print(f"{name:>6}: neighbours kept {kept:.2f}")
caption = "t-SNE before and after each number changed by about a millionth."
several_maps(before_after, truth["density"], name="density", caption=caption)

# %% [markdown]
# The map has been drawn anew, and as many neighbours are kept as before. *Where* something lies on such a map means nothing; *what
# lies beside it* means something. (For the same reason your maps may differ from the stored ones.) Let us see how much, and
# start from random places, as scikit-learn did by default before version 1.2.

# %%
from sklearn.manifold import TSNE

fifty = reduce(vectors, dims=50)  # what `reduce` gives to t-SNE, too


def another(seed, perplexity=30, start="random"):
    model = TSNE(perplexity=perplexity, init=start, random_state=seed)
    return model.fit_transform(fifty)


starts = {f"seed {seed}": another(seed) for seed in (0, 1, 2)}
caption = "Three random starts. Where the islands lie, and how they turn, is luck."
several_maps(starts, truth["density"], name="density", caption=caption)

# %% [markdown]
# Try the perplexity as well. The picture starts at 5, from random places: there seem to be many small clusters. *At which setting
# are they gone? Which of the pictures would you have published?* (Each move takes a moment.)

# %% tags=["nbval-ignore-output"]
from course_utils.teaching.widgets import LivePicture


def draw(perplexity=5, start="random", seed=0):
    points = another(seed, perplexity, start)
    caption = f"perplexity {perplexity}, start: {start}, seed {seed}"
    look = {"name": "density", "axis": "t-SNE", "caption": caption}
    return map_scatter(points, truth["density"], **look)


controls = {"perplexity": [2, 5, 15, 30, 60, 79], "start": ["random", "pca"]}
LivePicture(draw, **controls, seed=[0, 1, 2, 3])

# %% [markdown]
# There is a way not to choose: draw several maps, and believe what *all* of them say.

# %% [markdown]
# ### Exercise 07.5: what all maps agree on (6 minutes)
#
# Write `always_neighbours`. It gets a list of maps of the same $N$ images, each $(N, d)$, and a number $k$. It returns a table
# $(N, N)$ of True and False: row $i$ has True for those $j$ that are among the $k$ nearest others of image $i$ on **every** map.


# %%
def always_neighbours(maps, k):  # [(N, d), …], k -> (N, N) of bool
    ### BEGIN SOLUTION
    together = np.ones((len(maps[0]), len(maps[0])), bool)
    for points in maps:
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        nearest = distances.argsort(axis=1)[:, 1 : k + 1]
        near = np.zeros_like(together)
        near[np.arange(len(points))[:, None], nearest] = True
        together &= near
    return together
    ### END SOLUTION


exercise("07.5").check(always_neighbours)
# exercise("07.5").hint()

# %% [markdown]
# Which images are neighbours in the vectors? Your function can tell that too: the vectors are a "map" of 1280 dimensions.
# *Predict: of the neighbours on one map, how many are neighbours in the vectors? And of the neighbours on all five?*

# %% tags=["hide-output", "nbval-ignore-output"]
five = [*starts.values(), another(0, 5), another(0, 60)]
always = exercise("07.5").use(always_neighbours, otherwise=readings.always_neighbours)
real = np.array(always([vectors], 10), bool)
for count in (1, 3, 5):
    agreed = np.array(always(five[:count], 10), bool)
    each, true = agreed.sum() / len(agreed), agreed[real].sum() / agreed.sum()
    print(f"on {count} of 5 maps: {each:4.1f} neighbours per image, {true:.0%} real")

# %% [markdown]
# What one map says about neighbours is wrong four times out of ten. What several maps say in chorus is wrong less often,
# but all five agree on only about half as many neighbours. (If neighbours are all you want, you need no map: ask the
# vectors.)

# %% [markdown]
# ## What is a map good for, then?
#
# Looking. A map puts 240 mammograms where you can see which are alike, and lets you ask *why*. You have asked already, and found
# the view: the loudest thing, but not what anyone wants to know. So we take it off (we already have: it is `off`), and ask again. For
# a slope you want distances, so this map is PCA's.
#
# *Predict: will there be islands?* Then draw around the images at one end, and run the cell below the map.

# %% tags=["hide-output"]
without_view = reduce(off)
look = {"colour": "density", "title": "Without the view, PCA"}
picker = PictureMap(without_view, run.thumbnails, known, **look)
picker

# %% tags=["hide-output"]
chosen = list(picker.selected) or np.argsort(without_view[:, 0])[:24]
whose = "images you drew around" if picker.selected else "24 images on the left"
print(f"the {whose}:")
print(truth["density"].iloc[chosen].value_counts().sort_index().to_string())

# %% [markdown]
# No islands. From one end to the other the breasts fill with glandular tissue, and the classes come apart nowhere. The
# letters *a* to *d* look like cuts through something that has no steps. But a map cannot prove that; lesson 08 asks the
# vectors.
#
# We took the view off. *Predict: is it gone?* Colour the map by view, and look at both ends. Then look at the means along the
# second axis.

# %% tags=["hide-output"]
second = pd.Series(without_view[:, 1], name="second axis")
second.groupby([truth["density"], truth["view"]]).mean().unstack().round(1)

# %% [markdown]
# The views are back. From *a* to *d* the CC images go one way along this axis, and the MLO images the other: what density does to
# a picture depends on the view, and taking off a mean takes off the mean and no more.
#
# The best thing to do with a vector is often the simplest: show the images nearest to it, in all 1280 dimensions, with no map in
# between. Click one. *Which of the things they share would you have named first?*

# %%
from course_utils.teaching.picture_map import PictureNeighbours

asked = int(np.argmax(without_view[:, 0]))
shared = truth[["density", "view", "laterality", "vendor", "woman"]]
look = {"points": without_view, "start": asked, "colour": "density"}
PictureNeighbours(vectors, run.thumbnails, shared, **look)

# %% [markdown]
# One image is an anecdote. Here are all 240, ten neighbours each. A woman's four images share her density and her vendor anyway, so
# her own do not count. *Predict: which of the four columns do neighbours share no more often than chance?*

# %% tags=["hide-output"]
from scipy.spatial.distance import cdist

same_woman = truth["woman"].to_numpy(object)[:, None] == truth["woman"].to_numpy(object)
nearest = np.where(same_woman, np.inf, cdist(vectors, vectors)).argsort(axis=1)[:, :10]
for name in ("view", "density", "vendor", "laterality"):
    values = truth[name].to_numpy(object)
    share = (values[nearest] == values[:, None]).mean()
    chance = (values == values[:, None])[~same_woman].mean()
    print(f"same {name:<11}{share:.2f}   by chance {chance:.2f}")

# %% [markdown]
# The vendor, which was on no map, is there among the neighbours. Left and right are not, since preprocessing has turned all breasts
# the same way. Always keep a column from which you expect nothing. If it shows something, look for the mistake.
#
# The solved version of this lesson is [here](solutions/07_seeing_embeddings.ipynb). On a run of your own, `course map out` writes the
# coordinates into the run folder, and `course report out` shows them with their figures underneath.

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. On a t-SNE map, island A is nearer to island B than to island C. Are A's images more like B's than like C's?</summary>
#
# The map does not say. Between islands t-SNE has no neighbours to keep, so where they lie depends mostly on where it started.
# Ask the vectors.
# </details>
#
# <details><summary>2. Two axes of a PCA hold 50% of the variance. You colour the map by vendor and see nothing. May you write that the vectors do not depend on the vendor?</summary>
#
# No. The other half is not on the map; here the vendor was on the fourth axis, with 4%. Look at further axes, or let a
# classifier try (lesson 10).
# </details>
#
# <details><summary>3. A paper clusters a UMAP map and reports a silhouette of 0.4. What do you ask for?</summary>
#
# The silhouette in the vectors, and what the same steps give on data without clusters. Noise reached almost as much on every map.
# </details>
#
# <details><summary>4. "Our map has a trustworthiness of 0.9." Is that good?</summary>
#
# It depends on what a poor map of the same data gets. Our ring, drawn by hand, had 0.88.
# </details>
#
# <details><summary>5. A t-SNE with <code>init="pca"</code> gave the same map for ten seeds. What does that show?</summary>
#
# That the seed is not used. Change something that can matter: the start, the perplexity, or leave out a tenth of the women.
# </details>
#
# <details><summary>6. Why centre the vectors before PCA, and why not divide by the standard deviation as well?</summary>
#
# Without centring the first axis points at the mean image, which all have in common. Dividing would make a column that hardly
# varies, and holds mostly rounding, as important as any other. (For columns in different units, such as age and millimetres, one
# does divide.)
# </details>

# %% [markdown]
# ## Recap
#
# A map shows the loudest thing in the vectors, which here was the view. PCA keeps distances, tells you how much it leaves out, and
# has axes that can be asked what they are. t-SNE and UMAP keep neighbours, about six of ten, and lose distances: the width of
# their gaps, the size of their islands and the direction of their axes mean nothing. Measure how faithful a map is, and a poor
# map beside it. Take the silhouette in the vectors, not on the map. What you believe should not hang on one start or one
# perplexity. Then look: the pictures behind the points say what an axis is.

# %% [markdown]
# ## Go further
#
# - T. Chari, L. Pachter: *The specious art of single-cell genomics*. PLOS Computational Biology 19(8), e1011288, 2023.
#   [doi 10.1371/journal.pcbi.1011288](https://doi.org/10.1371/journal.pcbi.1011288).
# - J. Lause, P. Berens, D. Kobak: *The art of seeing the elephant in the room: 2D embeddings of single-cell data do make sense*.
#   PLOS Computational Biology 20(10), e1012403, 2024.
#   [doi 10.1371/journal.pcbi.1012403](https://doi.org/10.1371/journal.pcbi.1012403); first as a
#   [preprint](https://pmc.ncbi.nlm.nih.gov/articles/PMC10996625/). The reply. Read both.
# - M. Wattenberg, F. Viégas, I. Johnson: *How to Use t-SNE Effectively*. Distill, 2016.
#   [doi 10.23915/distill.00002](https://doi.org/10.23915/distill.00002). With sliders.
# - N. Bergam, S. Snoeck, N. Verma: *t-SNE Exaggerates Clusters, Provably*. [arXiv 2510.07746](https://arxiv.org/abs/2510.07746).
#   A proof that the strength of clusters cannot be read off the map.
# - D. Kobak, G. C. Linderman: *Initialization is critical for preserving global data structure in both t-SNE and UMAP*. Nature
#   Biotechnology 39, 156–157, 2021. [doi 10.1038/s41587-020-00809-z](https://doi.org/10.1038/s41587-020-00809-z).
# - L. van der Maaten, G. Hinton: *Visualizing Data using t-SNE*. Journal of Machine Learning Research 9, 2579–2605, 2008.
#   [jmlr.org](https://www.jmlr.org/papers/v9/vandermaaten08a.html).
# - L. McInnes, J. Healy, J. Melville: *UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction*. 2018.
#   [arXiv 1802.03426](https://arxiv.org/abs/1802.03426).
# - I. T. Jolliffe, J. Cadima: *Principal component analysis: a review and recent developments*. Philosophical Transactions of the
#   Royal Society A 374, 20150202, 2016. [doi 10.1098/rsta.2015.0202](https://doi.org/10.1098/rsta.2015.0202).
#
# **Next:** [lesson 08](08_clustering.ipynb), clustering: what agrees, and what comes apart.
