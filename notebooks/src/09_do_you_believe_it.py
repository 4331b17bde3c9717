# %% [markdown]
# # 09 · Do you believe it?
#
# > **Educational and research use only.** Not for clinical or diagnostic use. No medical decision may rely on these results.
#
# **You will be able to**
#
# - shuffle what chance could have shuffled, and say how often a wrong shuffle calls nothing a finding
# - set clusters beside data without clusters in which women are as alike as yours, and not mistake stability for truth
# - fix a chain of steps, and put it to women who had no part in choosing it
# - say when a nuisance may be taken out of vectors, and when it takes the answer with it
# - run a negative control
#
# **Prerequisites.** [Lesson 08](08_clustering.ipynb): k-means, the adjusted Rand index, clusters that follow something. From
# pandas: `groupby`.
#
# | your time | run time | peak memory | download | GPU |
# |---|---|---|---|---|
# | 70 min, 90 with all | under 60 s | under 1 GB | none | not needed |

# %% [markdown]
# ## Would your clusters follow a coin?
#
# In lesson 08 the view was subtracted from the vectors of sixty synthetic women, k-means made clusters, and these followed
# density: p = 0.001. Before you believe a [p value](../docs/glossary.md#p-value), ask it something to which you know the answer.
#
# Here are the vectors again, with the view off, in four clusters.

# %%
import numpy as np
import pandas as pd

from course_utils.analysis import cluster, harmonise
from course_utils.imaging.datasets import sample_run
from course_utils.runs import Extraction


# %%
def open_run(folder):  # -> vectors, what is known of them, whose they are, pictures
    run, known = Extraction.read(folder), pd.read_csv(folder / "manifest.csv")
    women = run.table["patient_key"].to_numpy()
    return run.vectors.astype(float), known, women, run.thumbnails


vectors, known, women, pictures = open_run(sample_run())
names, owner = np.unique(women, return_inverse=True)  # for each image, her number
off = harmonise(vectors, known, ["view"])  # each view's mean is subtracted: lesson 08
four = cluster(off, k=4).labels
print(vectors.shape, "vectors of", len(names), "women")
print("images in each cluster:", np.bincount(four))

# %% [markdown]
# Now deal out heads and tails to the women, thirty of each, and write on each of a woman's four images what she got. A coin
# knows nothing about breasts. How closely do the clusters follow it?

# %%
from sklearn.metrics import adjusted_rand_score

from course_utils.analysis.associations import adjusted_rand


# %%
def toss(rng, women=60):  # -> 0 or 1 for each woman, as many heads as tails
    return rng.permutation(np.arange(women) % 2)


def agreement(clusters, label):  # scikit-learn's, but fast: we need it very often
    clusters, label = np.asarray(clusters, int), np.asarray(label, int)
    table = np.bincount(2 * clusters + label, minlength=2 * (clusters.max() + 1))
    return adjusted_rand(table.reshape(-1, 2))


coin = toss(np.random.default_rng(0))[owner]
print(f"ARI of clusters and coin: {agreement(four, coin):.3f}")
print(f"the same by scikit-learn: {adjusted_rand_score(coin, four):.3f}")

# %% [markdown]
# Is that a lot? Shuffle the 240 labels 19 times, and see how often the agreement is as good. That is how it is usually done.
# Toss many such coins: if p means what it says, about one in twenty has p ≤ 0.05, and would be called a finding.

# %% [markdown]
# ### Exercise 09.1: shuffle women, not images (10 minutes)
#
# There is another way to shuffle. Write `p_by_women`. It gets a function `agreement(clusters, label)`, which returns a number;
# `clusters` $(N,)$; `label` $(N,)$, the same for all images of a woman; `women` $(N,)$, the woman of each image (not all of them
# have four); a generator `rng`; and the number of shuffles, `draws`. A shuffle deals out the women's labels to the women anew. Return
# $p = (1 + b) / (1 + m)$, where $m$ is the number of shuffles and $b$ the number of those in which the agreement is at least as
# good as with the labels as they are.


# %%
def p_by_women(agreement, clusters, label, women, rng, draws=99):  # -> p
    ### BEGIN SOLUTION
    _, first, owner = np.unique(women, return_index=True, return_inverse=True)
    observed = agreement(clusters, label)
    shuffles = (rng.permutation(label[first])[owner] for _ in range(draws))
    as_good = sum(agreement(clusters, each) >= observed for each in shuffles)
    return (1 + as_good) / (1 + draws)
    ### END SOLUTION


from course_utils.teaching import exercise

exercise("09.1").check(p_by_women)
# exercise("09.1").hint()

# %% [markdown]
# From here on the lesson uses *your* functions once they are right. Until then the course's own stand in for you, so you can
# skip an exercise and come back.

# %%
from course_utils.teaching.controls import package_p

p_of_yours = exercise("09.1").use(p_by_women, otherwise=package_p)

# %% [markdown]
# Such a function can do both. Tell it which woman each image is of, and it shuffles women. Tell it that every image is a woman of
# its own, and it shuffles images. So let us toss 1000 coins, and ask for p in both ways. Beside yours stands the p of the course's
# package, `package_p`, which shuffles as `associations` and `evaluate` do.
#
# *Predict: of how many of 1000 coins will p be at most 0.05, if images are shuffled, and if women are?*

# %% tags=["hide-output"]
whose = {"images": np.arange(240), "women": owner}
programs = {package_p: "package"}
programs[p_of_yours] = programs.get(p_of_yours, "yours")  # it may be the package's
p_values = {}
for p_of, program in programs.items():
    for unit, each in whose.items():
        rng, tosses = np.random.default_rng(1), np.random.default_rng(2)
        coins = [toss(tosses)[owner] for _ in range(1000)]
        found = [p_of(agreement, four, label, each, rng, 19) for label in coins]
        p_values[program, unit] = np.array(found, float)
        findings = (p_values[program, unit] <= 0.05).sum()
        print(f"{program}, shuffling {unit}: {findings} of 1000 are called a finding")

# %% tags=["hide-output"]
from scipy.stats import binom

low, high = binom.interval(0.95, 1000, 0.05)
print(f"if p keeps its promise: {low:.0f} to {high:.0f}")

# %% [markdown]
# Shuffle images, and more than one coin in three is a "finding". Shuffle women, and p keeps its promise: one in twenty, give or
# take what a thousand tosses leave to chance. Here are all the p values. If there is nothing to find, every p is as likely as
# any other, and the bars should be level.

# %%
from course_utils.plots import p_value_histograms

shown = programs[p_of_yours]
p_value_histograms({f"shuffling {unit}": p_values[shown, unit] for unit in whose})

# %% [markdown]
# Why? A woman's images are alike, so they often land in one cluster together, all four with one label. Shuffled image by image,
# her label is torn into four, and such a fluke hardly ever comes up. The shuffled sets are not what chance could have dealt.
# The rule: **shuffle what could have been otherwise**. A coin falls once for each woman, so women are what is *exchangeable*.
#
# Take the first coin that fooled the shuffling of images, and let the package say both sentences. The only difference between
# the two calls is that the second is told whose the images are.

# %%
import textwrap

from course_utils.analysis import associations

fooled = coins[np.flatnonzero(p_values[shown, "images"] <= 0.05)[0]]
for groups in (None, women):
    found = associations(four, pd.DataFrame({"coin": fooled}), groups=groups).found
    print(textwrap.fill(found[0].sentence, 110), "\n")

# %% [markdown]
# ## Was lesson 08 fair?
#
# It set the silhouettes of our images beside those of clouds without clusters. But those clouds were drawn image by image: 240
# strangers. Ours are sixty women with four images each. *Predict: take clouds of women, with no clusters in them, and set them
# beside clouds of strangers. How often will they be called "more than a cloud"?*
#
# `alike` is how alike a woman's images are: the share of the variance that lies between women. At 0 they are strangers.

# %% tags=["hide-output"]
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from course_utils.analysis import reduce

spread = reduce(off, dims=50).std(axis=0)  # as long and as wide as our images are


def cloud(rng, alike):  # (240, 50), no clusters
    between = rng.standard_normal((60, 50))[owner]
    within = rng.standard_normal((240, 50))
    return spread * (np.sqrt(alike) * between + np.sqrt(1 - alike) * within)


def silhouette(points):
    labels = KMeans(4, n_init=3, random_state=0).fit_predict(points)
    return silhouette_score(points, labels)


# %% tags=["hide-output"]
def draw(alike, count, seed):
    rng = np.random.default_rng(seed)
    return np.array([silhouette(cloud(rng, alike)) for _ in range(count)])


strangers = draw(alike=0, count=59, seed=0)
for alike in (0, 0.5, 0.9):
    data, false = draw(alike, 40, seed=1), []
    for null in (strangers, draw(alike, 59, seed=2)):
        false.append(sum((1 + (null >= each).sum()) / 60 <= 0.05 for each in data))
    print(f"alike {alike:.1f}: of 40 clouds, 'more than a cloud'", end=" ")
    print(f"beside strangers {false[0]}, beside women {false[1]}")

# %% [markdown]
# The more alike her images are, the more often four images of one woman pass for a cluster. So the clouds, too, must be made of
# women. `evaluate` does that if you tell it whose the images are. Here is one cloud of women, judged without and with that, and
# then our own images. *Predict: do they stand out from clouds of women, too?*

# %% tags=["hide-output"]
from course_utils.analysis import evaluate

nothing = cloud(np.random.default_rng(0), alike=0.9)
for name, points, groups in (
    ("a cloud of women, groups not given", nothing, None),
    ("the same cloud, groups given", nothing, women),
    ("our images, groups given", off, women),
):
    judged = evaluate(points, cluster(points, k=4), groups=groups)
    print(f"{name:<36}{judged.conclusion}")
print("\n" + textwrap.fill(judged.verdict, 110))

# %% [markdown]
# Without `groups` it takes a cloud of women for more than a cloud, as we would have. (It has a suspicion, though, and says so in
# `judged.warnings`.) With `groups` it sees a cloud. Our images stand out from clouds of women as well. So lesson 08 set the bar
# too low, and they clear the higher one, too; but the verdict says how little that means.

# %% [markdown]
# ## Does it help that the clusters come back?
#
# A usual argument: *"We took other subsamples, and got the same clusters. So they are real."* Take 80% of the women at random,
# cluster; take another 80%, cluster; and compare the two on the images that are in both. `stability` does it ten times, and then
# does the same to clouds of women with the spread of ours and no clusters. *Predict: which agree better with themselves, two
# clusters of our images or two halves of a cloud?*

# %% tags=["hide-output"]
from course_utils.analysis import stability
from course_utils.plots import stability_beside_null

back = stability(off, k=2, groups=women)
print(textwrap.fill(back.sentence, 110))
stability_beside_null(back)

# %% [markdown]
# Most of the clouds are steadier than our images. A cloud is longer one way than another, and k-means cuts it across, in the
# same place every time. That the clusters come back shows that k-means is a steady worker. It does not show that there is
# anything to cut.

# %% [markdown]
# ## Did we find it, or choose it?
#
# Ada wants clusters that follow density. Four classes are known, so she takes $k = 4$ (she knows the answer, and says so). She
# tries one step after another, looks at the ARI with density each time, and keeps what helps:
#
# 1. the images as they are
# 2. the view off: from each image, subtract the mean of all images of its view
# 3. one vector for each woman: the mean of her images
# 4. the vendor out: from each woman's vector, subtract the mean of all women of her vendor
#
# ### Exercise 09.2: the chain as one function (8 minutes)
#
# Write steps 2 to 4 as one function, `chain`. It gets vectors $(N, D)$ and, for each image, `view`, `vendor` and `women`, all
# $(N,)$. A woman has one vendor, and women need not have equally many images. Return the women's vectors $(W, D)$, sorted by
# the women's names. Density is not among the arguments: the chain must not see it.


# %%
def chain(vectors, view, vendor, women):  # -> (W, D), one row for each woman
    ### BEGIN SOLUTION
    off = vectors - pd.DataFrame(vectors).groupby(view).transform("mean").to_numpy()
    means = pd.DataFrame(off).groupby(women).mean()
    hers = pd.Series(vendor).groupby(women).first()
    return (means - means.groupby(hers).transform("mean")).to_numpy()
    ### END SOLUTION


exercise("09.2").check(chain)
# exercise("09.2").hint()

# %%
from course_utils.analysis import group_means
from course_utils.teaching.controls import cleaned

fixed_chain = exercise("09.2").use(chain, otherwise=cleaned)


# %%
def each_step(vectors, known, women):  # -> for each step: rows, what is known of them
    off = harmonise(vectors, known, ["view"])
    means, row = group_means(off, women)
    view, vendor = known["view"].to_numpy(), known["vendor"].to_numpy()
    last = fixed_chain(vectors, view, vendor, women)
    table = known[["density", "vendor"]]
    return {
        "as they are": (vectors, table),
        "view off": (off, table),
        "mean of a woman": (means, table.groupby(row).first()),
        "vendor out": (np.asarray(last, float), table.groupby(women).first()),
    }


# %% [markdown]
# Where k-means ends depends a little on where it begins (lesson 08). So each figure is a mean over ten seeds. *Predict: after
# which of the steps will the ARI with density rise most?*


# %% tags=["hide-output"]
def follow(rows, *columns, seeds=10):  # how closely four clusters follow each column
    found = [cluster(rows, k=4, seed=seed).labels for seed in range(seeds)]
    aris = [[adjusted_rand_score(column, each) for each in found] for column in columns]
    return np.mean(aris, axis=1).tolist()


for name, (rows, table) in each_step(vectors, known, women).items():
    density, vendor = follow(rows, table["density"], table["vendor"])
    print(f"{name:<16} ARI with density {density:.2f}   with vendor {vendor:+z.2f}")

# %% [markdown]
# Look at the last column, too. The clusters never followed the vendor: its ARI is about 0 at every step. Yet taking the vendor
# out helped more than anything. **A factor that forms no clusters of its own can still hide those you look
# for**: it blurs every one of them a little.
#
# Ada says: *"We found it. The network sees density."* Ben says: *"You looked at density after every step and kept what helped.
# Let me choose as you did, and I shall find you anything, a coin if you like."*
#
# ## How far does choosing get you?
#
# Let Ben try. He has a coin for each woman, as above. He shuffles women, as he should. And he has sixty ways to look at the
# data, each of them harmless: two methods, $k$ of 2, 3 or 4, and ten subsets or versions of the vectors.


# %%
def versions(vectors, known, women):  # -> for each: its rows, and the woman of each row
    owner = np.unique(women, return_inverse=True)[1]
    off = harmonise(vectors, known, ["view"])
    data = {"as they are": (vectors, owner), "view off": (off, owner)}
    data["means"] = (group_means(off, owner)[0], pd.unique(owner))
    for column in ("view", "laterality", "vendor"):
        for value in sorted(known[column].unique()):
            part = (known[column] == value).to_numpy()
            data[value] = (off[part], owner[part])
    return data


# %%
def choices(data):  # -> for each choice: its clusters, and the woman of each row
    return {
        (name, method, k): (cluster(rows, method, k=k).labels, whose)
        for name, (rows, whose) in data.items()
        for method in ("kmeans", "ward")
        for k in (2, 3, 4)
    }


tried = choices(versions(vectors, known, women))
print(f"{len(tried)} choices, such as", *list(tried)[::17], sep="\n")

# %% [markdown]
# To get p, one would shuffle each coin among the women. But a shuffled coin is just another coin. So toss 500, and compare each
# of them with the 499 others: p is the share of all 500 that agree with the clusters at least as well.
#
# *Predict: one choice alone is fooled by one coin in twenty. If Ben reports the best of his sixty, how many of 500 coins will
# have p ≤ 0.05?* (Many of the choices are much alike, so it need not be nearly all.)


# %% tags=["hide-output"]
def p_of_coins(tried, number, seed):  # -> p (500 coins, 60 choices)
    rng = np.random.default_rng(seed)
    coins = [toss(rng, number) for _ in range(500)]
    pairs = list(tried.values())
    found = [[agreement(labels, coin[of]) for labels, of in pairs] for coin in coins]
    return np.array([(np.array(found) >= row).mean(axis=0) for row in found])


first = p_of_coins(tried, number=60, seed=3)
single, best = (first <= 0.05).mean(axis=0), first.min(axis=1)
print(f"one choice, fixed beforehand: {single.mean():.0%} of the coins", end=", ")
print(f"never more than {single.max():.0%}")
print(f"the best of sixty choices:    {(best <= 0.05).mean():.0%} of the coins")

# %% [markdown]
# Each p was right, and yet nearly two coins in five are a "finding", because the one that is reported was *chosen*. Nobody has to
# cheat. It is enough to look, and to go on with what looks promising: a **garden of forking paths**.
#
# So is Ada's 0.76 worth nothing? It can be settled. There is a second folder, 96 women whom nobody has looked at: not Ada, not
# Ben, not you. Ben's coins first.

# %% [markdown]
# ### Exercise 09.3: ask strangers (4 minutes)
#
# Write `ask_strangers`. It gets p values $(S, C)$ of $S$ studies and $C$ choices, from the `first` women and from the `second`
# women. In each study, the choice with the smallest p among the first women is to be tested (of equals, any one). Return its p
# $(S,)$ among the second.


# %%
def ask_strangers(first, second):  # (S, C), (S, C) -> (S,)
    ### BEGIN SOLUTION
    choice = first.argmin(axis=1)
    return second[np.arange(len(second)), choice]
    ### END SOLUTION


exercise("09.3").check(ask_strangers)
# exercise("09.3").hint()

# %% [markdown]
# *Predict: Ben takes his best choice of sixty to the strangers, who have been dealt coins, too. How many of 500 coins have p ≤ 0.05
# there?*

# %% tags=["hide-output"]
from course_utils.teaching.controls import p_among_others

replication = open_run(sample_run("replication"))
others, known_others, women_others, pictures_others = replication
print(len(np.unique(women_others)), "other women,", len(others), "images")

ask = exercise("09.3").use(ask_strangers, otherwise=p_among_others)
tried_again = choices(versions(others, known_others, women_others))
second = p_of_coins(tried_again, number=96, seed=4)
shown = {"the best of sixty choices": best}
shown["the same choice, other women"] = np.asarray(ask(first, second), float)
for name, values in shown.items():
    print(f"{name}: {(values <= 0.05).mean():.0%} of the coins")
p_value_histograms(shown)

# %% [markdown]
# Among women who had no part in the choice, a coin is a coin again. That is what the second folder is for, and it works only
# once: choose again among these women, and they are the first women.

# %% [markdown]
# ## Does Ada's chain come back?
#
# Now Ada's turn. The chain is fixed: your function, $k = 4$, k-means. Nothing may be changed after this line. *Predict the four
# figures, and write them down.*
#
# To see how far each figure can be trusted, the whole chain is also run on 30 random halves of the women. (Halves, because a
# woman drawn twice would be a cluster of her own. A half scatters about the whole much as the whole scatters about the truth.)


# %% tags=["hide-output"]
def follow_all(vectors, known, women, seeds=10):  # -> ARI with density after each step
    steps = each_step(vectors, known.reset_index(drop=True), women).values()
    return np.array([follow(rows, of["density"], seeds=seeds)[0] for rows, of in steps])


def in_halves(vectors, known, women):  # -> the same in 30 halves of the women (30, 4)
    rng, names, found = np.random.default_rng(0), np.unique(women), []
    for _ in range(30):
        half = np.isin(women, rng.permutation(names)[: len(names) // 2])
        found.append(follow_all(vectors[half], known[half], women[half], seeds=1))
    return np.array(found)


# %%
from course_utils.plots import steps_repeated

cohorts = {
    "60 women, who chose it": (vectors, known, women),
    "96 women, never seen": (others, known_others, women_others),
}
halves = {name: in_halves(*cohort) for name, cohort in cohorts.items()}
results = {}
for name, cohort in cohorts.items():
    low, high = np.quantile(halves[name], [0.025, 0.975], axis=0)
    results[name] = (follow_all(*cohort), low, high)


# %% tags=["hide-output"]
for name, (values, *_) in results.items():
    print(f"{name:<24}", *(f"{value:.2f}" for value in values))
measure, steps = "ARI of four clusters with density", list(each_step(*cohort))
steps_repeated(steps, results, measure=measure)

# %% [markdown]
# It comes back, step by step. Ben was right that the first row proves little, and Ada was right about density. It is the second
# row that says so. And does each step help, or only the chain? In how many of the halves is the ARI higher than after the step
# before?

# %%
for name, found in halves.items():
    higher = (np.diff(found, axis=1) > 0).mean(axis=0)
    print(f"{name:<24}", *(f"{share:.0%}" for share in higher))

# %% [markdown]
# Taking the view off always helps. The other two help in more than three halves of four: likely, in both sets, but with half as
# many women you might have seen the opposite.
#
# What the second row does not show: these are other women, but from the same generator, seen by the same network. Another
# hospital would be a harder test.

# %% [markdown]
# ## What if the vendor tells you the density? (skip on a first reading)
#
# In both folders the vendor is **crossed** with density: each vendor has equally many women of each class. Real archives are
# seldom so kind. A hospital buys a new machine, and women with dense breasts are sent there first. Make such an archive out of
# our 156 women: ten times, at random, with the numbers of the table.

# %%
from course_utils.analysis.harmonise import confounded, confounding

per_woman = [each_step(*cohort)["mean of a woman"] for cohort in cohorts.values()]
pool = np.vstack([rows for rows, _ in per_woman])  # no vendor taken out
told = pd.concat([table for _, table in per_woman], ignore_index=True)

# %%
plan = {"alder": (13, 13, 3, 3), "birch": (3, 13, 13, 3), "cedar": (3, 3, 13, 13)}


def tied(rng):  # -> rows of the pool: women chosen so that vendor and density are tied
    rows = []
    for v, counts in plan.items():
        for d, count in zip("abcd", counts):
            cell = np.flatnonzero((told["vendor"] == v) & (told["density"] == d))
            rows.append(rng.permutation(cell)[:count])
    return np.concatenate(rows)


# %%
one = told.iloc[tied(np.random.default_rng(0))].reset_index(drop=True)
share = confounding(one, ["vendor"], ["density"])["density"]
print(confounded(["vendor"], "density", share))
pd.crosstab(one["vendor"], one["density"])

# %% [markdown]
# Twelve per cent does not sound like much. Before the vendor is taken out, the clusters follow density by about 0.7. And after?
# The answer comes after the next exercise.

# %% [markdown]
# ### Exercise 09.4: cross what was tied (7 minutes)
#
# What else could one do? Compare women who are alike: keep equally many of each vendor *and* each density. Write `crossed`. It
# gets `vendor` $(W,)$, `density` $(W,)$ and a generator `rng`, and returns the numbers of the rows to keep, drawn at random:
# equally many of each of the combinations, and as many as there can be.


# %%
def crossed(vendor, density, rng):  # (W,), (W,) -> numbers of rows
    ### BEGIN SOLUTION
    pairs = [(v, d) for v in np.unique(vendor) for d in np.unique(density)]
    cells = [np.flatnonzero((vendor == v) & (density == d)) for v, d in pairs]
    least = min(map(len, cells))
    return np.concatenate([rng.choice(cell, least, replace=False) for cell in cells])
    ### END SOLUTION


exercise("09.4").check(crossed)
# exercise("09.4").hint()


# %% [markdown]
# *Predict: among the tied women, how closely do the clusters follow density once the vendor is taken out? And among the few that
# are crossed?*


# %% tags=["hide-output"]
def before_and_after(rows):  # ARI with density: vendor still in, vendor taken out
    table = told.iloc[rows].reset_index(drop=True)
    clean = harmonise(pool[rows], table, ["vendor"])
    return [follow(each, table["density"], seeds=1)[0] for each in (pool[rows], clean)]


# %% tags=["hide-output"]
from course_utils.teaching.controls import evened_out

pick = exercise("09.4").use(crossed, otherwise=evened_out)
vendor, density = told["vendor"].to_numpy(), told["density"].to_numpy()
rng = np.random.default_rng(0)
archives = [tied(np.random.default_rng(seed)) for seed in range(10)]
kept = [rows[np.asarray(pick(vendor[rows], density[rows], rng))] for rows in archives]
for name, each in {"96 women, tied": archives, "36 of them, crossed": kept}.items():
    still_in, out = np.mean([before_and_after(rows) for rows in each], axis=0)
    print(f"{name:<20} ARI with density, mean of ten:", end=" ")
    print(f"vendor still in {still_in:.2f}, taken out {out:.2f}")

# %% [markdown]
# Among the tied women, taking out the vendor costs half of what the clusters knew of density. Each vendor's mean holds some of
# the density of its women, and goes with it. (Before, 0.7 is more than the crossed women reach: there the vendor's mark pointed
# the same way as density and helped. That figure is not to be believed either.) Among the crossed women, though far fewer, the
# step does what it did in the chain.
#
# So compare the nuisance with what you look for *before* you take it out. `harmonise` warns from a tenth on if you tell it what
# is to be kept, and where the two cannot be told apart at all, it refuses:

# %%
from course_utils.analysis import AnalysisError

pairs = told["vendor"] + " " + told["density"]
rows = np.flatnonzero(pairs.isin(["alder a", "birch b", "cedar d"]))  # a class each
try:
    harmonise(pool[rows], told.iloc[rows], ["vendor"], keep=["density"])
except AnalysisError as refusal:
    print(textwrap.fill(str(refusal), 110))

# %% [markdown]
# ## What should *not* work?
#
# A chain that finds density everywhere finds nothing. So look for it where it cannot be. Such a test is a [**negative control**](../docs/glossary.md#negative-control).
# The first is cheap: take out a vendor that is none. Deal the vendors out to the women anew, take *that* out, and see whether
# the last step still helps.

# %%
per_woman = [each_step(*cohort)["mean of a woman"] for cohort in cohorts.values()]
for name, (rows, table) in zip(cohorts, per_woman):
    rng, fakes = np.random.default_rng(0), []
    for _ in range(20):
        fake = pd.DataFrame({"vendor": rng.permutation(table["vendor"])})
        fakes += follow(harmonise(rows, fake, ["vendor"]), table["density"], seeds=1)
    values = results[name][0]
    print(f"{name:<24} vendor in {values[2]:.2f}", end=", ")
    print(f"fake vendor out {np.mean(fakes):.2f}, vendor out {values[3]:.2f}")

# %% [markdown]
# A fake vendor does not help. Something about the real one does.
#
# The second control: density belongs to the woman, and in these women it is the same on both sides. So subtract her right
# breast from her left.
#
# ### Exercise 09.5: left minus right (7 minutes)
#
# Write `left_minus_right`. It gets vectors $(N, D)$ and, for each image, `women`, `view` and `side` (`"L"` or `"R"`), all $(N,)$, in
# no order. A woman has at most one image of each view and side. Return one row for each woman and view: her left minus her right.
# Sort by the woman's name, then by view, and leave out a pair if one of its images is missing.


# %%
def left_minus_right(vectors, women, view, side):  # -> (pairs, D)
    ### BEGIN SOLUTION
    found = []
    for woman in np.unique(women):
        for each in np.unique(view):
            hers = (women == woman) & (view == each)
            left, right = vectors[hers & (side == "L")], vectors[hers & (side == "R")]
            if len(left) and len(right):
                found.append(left[0] - right[0])
    return np.array(found)
    ### END SOLUTION


exercise("09.5").check(left_minus_right)
# exercise("09.5").hint()

# %% [markdown]
# *Predict: how closely will clusters of these differences follow density?*

# %% tags=["hide-output"]
from course_utils.teaching.controls import across

subtract = exercise("09.5").use(left_minus_right, otherwise=across)
for name, (rows, table, whose) in cohorts.items():
    view, side = table["view"].to_numpy(), table["laterality"].to_numpy()
    differences = np.asarray(subtract(rows, whose, view, side), float)
    pairs = table.groupby([whose, view]).first()  # sorted in the same way
    density, vendor = follow(differences, pairs["density"], pairs["vendor"])
    print(f"{name:<24} {len(differences)} pairs, ARI with", end=" ")
    print(f"density {density:+z.2f}, vendor {vendor:+z.2f}")

# %% [markdown]
# Nothing is left for clusters to follow. What belongs to the woman has cancelled: her density, and her machine. Had the clusters
# still followed density, you would now look for the fault in your steps.

# %% [markdown]
# ## And what should not matter? (skip on a first reading)
#
# The third control asks where the answer sits. Paint white whatever is not black: outside of the breast the pictures are black,
# so what is left is a **mask**, an outline without tissue.

# %%
from course_utils.plots import contact_sheet
from course_utils.plots.illustration import pixels_of

grays = {
    name: np.rint(255 * np.array([pixels_of(picture)[::2, ::2] for picture in each]))
    for name, each in zip(cohorts, (pictures, pictures_others))
}  # (images, 64, 64), 0 to 255
masks = grays["60 women, who chose it"] > 0
left = known[known["laterality"] == "L"]
few = left.groupby(["view", "vendor"]).nth([0, -1]).sort_values(["view", "vendor"])
titles = [f"{row.view}, {row.vendor}, {row.density}" for row in few.itertuples()]
caption = "Twelve masks, with view, vendor and density. Which could you have told?"
shown = masks[few.index].astype(float)
contact_sheet(shown, titles, columns=6, caption=caption, what="masks")

# %% [markdown]
# To put a figure on it, let a logistic regression learn from some of the women and be asked about the others (`probe`; lesson 10
# is about it). It gets the masks as they are: 64 × 64 pixels, black or white. No network has seen them. The figures are balanced
# accuracies: the share that is right, averaged over the classes. *Predict: what can still be read off a mask? The view? The
# vendor? Density?*

# %% tags=["hide-output"]
from course_utils.analysis import probe


def read_off(above, columns):  # off outlines drawn where the gray is above a value
    for name, (_, table, whose) in cohorts.items():
        print(name)
        outlines = (grays[name] > above).reshape(len(table), -1).astype(float)
        for column in columns:
            quick = {"repeats": 1, "permutations": 0}
            asked = probe(outlines, table[column], groups=whose, **quick)
            share, chance = asked.score, asked.chance_level
            print(f"  {column:<8} {share.value:.2f}, interval", end=" ")
            print(f"{share.low:.2f} to {share.high:.2f}; by chance {chance:.2f}")


# %% tags=["hide-output"]
read_off(above=0, columns=("view", "vendor", "density"))

# %% [markdown]
# The view can be read off the outline alone, always. So can the vendor, about twice as often as by chance. Density can hardly:
# among the sixty not at all, among the others a little, if that is no luck.
#
# How does a black and white outline know the vendor? Look at the twelve masks again before you go on. Then let the sixty women
# choose the one pixel that differs most between the vendors, ask the others about *that* pixel, and see what gray it had before
# we painted it.

# %%
where = None
for name, (_, table, _) in cohorts.items():
    gray = pd.DataFrame(grays[name].reshape(len(table), -1))
    white = (gray > 0).groupby(table["vendor"]).mean()  # by vendor, the share of masks
    where = white.std().idxmax() if where is None else where  # by the first women only
    middle = gray[where].groupby(table["vendor"]).median()
    print(f"{name}: row {where // 64}, column {where % 64}")
    for vendor, share in white[where].items():
        gray_was = f"{middle[vendor]:.0f} of 255"
        print(f"  {vendor}: white in {share:.0%}, median of its gray {gray_was}")

# %% [markdown]
# (The upper corners that are missing in cedar's last two masks are not it: few of cedar's masks lack them.) It is the last
# pixel of the first column, below the breast, at the chest wall. What it shows is air, or hardly more: the preprocessor leaves
# a thin margin around the skin. Alder's window shows air as black, birch's table and cedar's sigmoid (lesson 01) as almost
# black. You do not see that. But "not black" drew the line between them: our outline was cut out of gray values, and it kept
# one of them.
#
# So draw it where the gray is above 24 of 255, more than air has with any of them. *Predict: can the vendor still be told?*

# %% tags=["hide-output"]
read_off(above=24, columns=("vendor",))

# %% [markdown]
# Less often, and still more often than by chance, if only just among the sixty. So the air was part of it and not all; the rest
# we have not traced. If somebody tells you that a network knows the vendor by how it renders tissue, ask what the outline knows,
# and how the outline was drawn.

# %% [markdown]
# ## What would you write?
#
# One question is still open: do the four clusters only follow density, or do valleys lie between them (lesson 08)? *Predict.*

# %% tags=["hide-output"]
from course_utils.analysis.validity import valley

for name, cohort in cohorts.items():
    rows, _ = each_step(*cohort)["vendor out"]
    found = valley(rows, cluster(rows, k=4), groups=np.arange(len(rows)))
    print(textwrap.fill(f"{name}: {found.sentence}", 110), "\n")

# %% [markdown]
# So this is what you can stand up for:
#
# *Four clusters (k-means; k = 4 because four classes are known) of women's mean vectors, with view and vendor subtracted, follow
# density. The steps were chosen on 60 women while looking at density (ARI 0.76) and repeated unchanged on 96 others (ARI 0.75).
# Vendor is crossed with density. Taking out a permuted vendor does not help, and differences between the breasts do not follow
# density. No valley was found between the clusters: they are parts of a continuum. All women are synthetic and come from one
# generator; one network.*
#
# In a terminal, on a run folder of your own:
#
# ```
# course cluster out -k 4 --remove view,vendor --per woman --labels table.csv
# course report out
# ```
#
# The solved version of this lesson is [here](solutions/09_do_you_believe_it.ipynb).

# %% [markdown]
# ## Check yourself
#
# <details><summary>1. Each woman has a left and a right breast, and you ask whether clusters follow the side. What do you shuffle?</summary>
#
# Left and right within each woman. Shuffling women would change nothing, since each has one of both.
# </details>
#
# <details><summary>2. A paper has 400 images of 50 women and reports p = 0.02 from shuffled images. What do you make of it?</summary>
#
# Nothing. With eight images a woman, p ≤ 0.05 may come up far more often than once in twenty. Ask for the p by women.
# </details>
#
# <details><summary>3. "In 100 bootstrap runs the five clusters came back with an ARI of 0.85." What is missing?</summary>
#
# The same figure on data without clusters. An elongated cloud comes back, too. And in a bootstrap women are drawn twice: was that
# taken care of?
# </details>
#
# <details><summary>4. You have tried sixty settings, and there are no other women. Is there an honest p?</summary>
#
# Yes: let every shuffle try the sixty settings, too, and compare your best with its best (as in exercise 08.3). It is a weaker
# test, and you must have kept track of everything you tried.
# </details>
#
# <details><summary>5. All screening images come from machine A, all images of women with symptoms from B. May the machine be subtracted?</summary>
#
# No. It would take the symptoms along. No calculation can tell the two apart. Women with symptoms from A, or screened ones from
# B, could.
# </details>
#
# <details><summary>6. The chain was repeated on 96 women, ARI 0.75. You try a fifth step on them, and get 0.80. What is that worth?</summary>
#
# It is an idea, chosen while looking at these women. It takes a third folder to test it.
# </details>

# %% [markdown]
# ## Recap
#
# Shuffle what could have been otherwise: what each woman has once goes from woman to woman. Clouds, halves and intervals are made
# of women, too. Stable is not true. A step that was chosen while looking at the answer is no discovery until it has been repeated
# on women who had no part in choosing it. A factor that forms no clusters can still hide what you look for. It may be taken out
# where it is crossed with the question; where the two are tied, it takes the answer along. And before you believe what worked,
# try what should not.

# %% [markdown]
# ## Go further
#
# - B. Phipson, G. K. Smyth: *Permutation P-values Should Never Be Zero: Calculating Exact P-values When Permutations Are Randomly
#   Drawn*. Statistical Applications in Genetics and Molecular Biology 9(1), article 39, 2010.
#   [doi 10.2202/1544-6115.1585](https://doi.org/10.2202/1544-6115.1585). Why one is added.
# - A. M. Winkler, M. A. Webster, D. Vidaurre, T. E. Nichols, S. M. Smith: *Multi-level block permutation*. NeuroImage 123, 253–268, 2015.
#   [doi 10.1016/j.neuroimage.2015.05.092](https://doi.org/10.1016/j.neuroimage.2015.05.092). What may be shuffled.
# - J. P. Simmons, L. D. Nelson, U. Simonsohn: *False-Positive Psychology*. Psychological Science 22(11), 1359–1366, 2011.
#   [doi 10.1177/0956797611417632](https://doi.org/10.1177/0956797611417632). Choosing while looking.
# - T. Ullmann, C. Hennig, A.-L. Boulesteix: *Validation of cluster analysis results on validation data: A systematic framework*.
#   WIREs Data Mining and Knowledge Discovery 12(3), e1444, 2022. [doi 10.1002/widm.1444](https://doi.org/10.1002/widm.1444).
# - V. Nygaard, E. A. Rødland, E. Hovig: *Methods that remove batch effects while retaining group differences may lead to
#   exaggerated confidence in downstream analyses*. Biostatistics 17(1), 29–39, 2016.
#   [doi 10.1093/biostatistics/kxv027](https://doi.org/10.1093/biostatistics/kxv027). Why the chain must not see density.
# - J. R. Zech et al.: *Variable generalization performance of a deep learning model to detect pneumonia in chest radiographs: A
#   cross-sectional study*. PLOS Medicine 15(11), e1002683, 2018.
#   [doi 10.1371/journal.pmed.1002683](https://doi.org/10.1371/journal.pmed.1002683).
#
# **Next:** [lesson 10](10_probes_and_few_labels.ipynb) asks how much can be read off the vectors, and with how few labels.
