"""Exercises of lesson 07: PCA, neighbours kept, a gap, a silhouette, and what several maps agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_utils.teaching.exercises import Exercise, NotYet, Planted, kind_of, tried

Array = NDArray[np.float64]
Pca = Callable[[Array, int], tuple[Array, Array]]
NeighboursKept = Callable[[Array, Array, int], float]
Gap = Callable[[Array, Array, NDArray[np.bool_]], float]
Silhouette = Callable[[Array, Array, NDArray[np.int64]], float]
AlwaysNeighbours = Callable[[Sequence[Array], int], NDArray[np.bool_]]
Mistake = tuple[float, str]
"""A wrong result, and what to say about it."""

# --- What several checks need


def _number(got: Any, images: int, instead: str = "Take their mean.") -> float:
    """Return the student's result as a float; refuse what is not one number, and say what to do instead."""
    array = np.asarray(got)
    if array.shape == (images,):
        raise NotYet(f"{images} numbers came out, one per image. {instead}")
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise NotYet(f"one number is needed, and out came {kind_of(got, 'an array')}.")
    if np.isnan(array).any():
        raise NotYet("out came NaN. Is somewhere 0 divided by 0, or the mean taken of nothing?")
    return float(array.item())


def _unchanged(before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]) -> None:
    if len(before) != len(after):
        raise NotYet("your function has changed the list that it was given. Leave it as it is.")
    if not all(np.array_equal(one, other) for one, other in zip(before, after, strict=True)):
        raise NotYet(
            "your function has changed the arrays that it was given: whoever uses them next gets other "
            "numbers. Write `b = a - m` in place of `a -= m`."
        )


def _name_mistake(got: float, mistakes: Iterable[Mistake]) -> None:
    """Raise the message of the first mistake that leads to this number, if one does."""
    for value, message in mistakes:
        if np.isclose(got, value, rtol=1e-4, atol=1e-6):
            raise NotYet(message)


def _distances(points: Array) -> Array:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def _nearest(points: Array, k: int, first: int = 1) -> NDArray[np.intp]:
    """Return the k nearest of each point (N, k); `first=0` counts the point itself."""
    return _distances(points).argsort(axis=1)[:, first : first + k]


# --- 07.1: PCA by hand


def _test_pca(pca: Pca) -> None:
    rng = np.random.default_rng(1)
    scales = np.array([7.0, 0.5, 3.0, 4.5, 1.0, 2.0, 0.3, 1.5, 0.8])
    for n, d, dims in ((30, 4, 2), (7, 9, 3)):
        _test_components(pca, rng.standard_normal((n, d)) * scales[:d] + 20 * rng.standard_normal(d), dims)


def _test_components(pca: Pca, vectors: Array, dims: int) -> None:
    given = vectors.copy()
    got: Any = tried(pca(given, dims))
    if not isinstance(got, tuple | list):
        raise NotYet(f"two things are needed, `scores, shares`, and out came {kind_of(got, 'an array')}.")
    if len(got) != 2:
        raise NotYet(f"two things are needed, `scores, shares`, and out came {len(got)}.")
    scores, shares = got
    if np.ndim(scores) == 1 and np.ndim(shares) == 2:
        raise NotYet("the shares came first. The scores are the first of the two things.")
    _test_scores(np.asarray(scores, np.float64), vectors, dims)
    if shares is None or shares is ...:
        raise NotYet("the scores are right; the shares are still missing.")
    if not hasattr(shares, "__array__") and isinstance(shares, Iterator):
        raise NotYet("the scores are right; of the shares make an array or a list, not a generator.")
    _test_shares(np.asarray(shares, np.float64), vectors, dims)
    _unchanged([vectors], [given])


def _scores_of(matrix: Array, dims: int) -> Array:
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    return u[:, :dims] * s[:dims]


def _same_up_to_sign(got: Array, wanted: Array) -> bool:
    """Compare columns; the direction of an axis may as well point the other way."""
    if got.shape != wanted.shape:
        return False
    return all(
        np.allclose(sign * one, other, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
        for one, other in zip(got.T, wanted.T, strict=True)
        for sign in [1.0 if one @ other >= 0 else -1.0]
    )


def _test_scores(scores: Array, vectors: Array, dims: int) -> None:
    n, d = vectors.shape
    if np.isnan(scores).any():
        raise NotYet("there is NaN among the scores. Is somewhere a root taken of a number below 0?")
    if scores.shape in ((dims, n), (dims, d), (d, dims), (d, d)) and scores.shape != (n, dims):
        raise NotYet(
            f"{n} vectors of {d} numbers in {dims} dimensions make scores of shape ({n}, {dims}), and yours "
            f"are {scores.shape}. Rows are images; the directions themselves are not the scores."
        )
    if scores.shape != (n, dims):
        raise NotYet(f"scores of shape ({n}, {dims}) are needed, one row per image, not {scores.shape}.")
    centred = vectors - vectors.mean(axis=0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    wanted = u[:, :dims] * s[:dims]
    if _same_up_to_sign(scores, wanted):
        return
    least = (
        "those are the directions with the *least* spread. `eigh` sorts from small to large: take the last "
        "ones."
    )
    last = (u * s)[:, min(n - 1, d) - dims : min(n - 1, d)]
    mistakes = [
        (
            _scores_of(vectors, dims),
            "the vectors were not centred. The first direction now points from zero to the mean image, and "
            "says nothing of how images differ. Subtract the mean of each column first.",
        ),
        (
            vectors @ vt[:dims].T,
            "the directions are right, but you projected the vectors before their mean was off: the scores "
            "do not lie around zero. Project the centred ones.",
        ),
        (
            _scores_of(centred / vectors.std(axis=0), dims),
            "you divided each column by its standard deviation. A number that hardly varies then weighs as "
            "much as one that varies a lot. Only subtract the mean.",
        ),
        (
            u[:, :dims],
            "all your columns are equally long: U alone says in which direction each image lies, not how "
            "far. Multiply each column by its singular value.",
        ),
        (
            u[:, :dims] * np.sqrt(n - 1),
            "each column is divided by its spread, so that all axes look equally important. Multiply U by "
            "the singular values, and by nothing else.",
        ),
        (
            wanted[:, ::-1],
            "the axes come in the wrong order: the first one should have the largest spread. `eigh` sorts "
            "from small to large.",
        ),
        (last, least),
        (last[:, ::-1], least),
        (np.zeros((n, dims)), least),
        (
            _scores_of(vectors - vectors.mean(axis=1, keepdims=True), dims),
            "you subtracted from each image its own mean. Subtract from each *column* the mean over all "
            "images.",
        ),
        (
            _scores_of(vectors - vectors.mean(), dims),
            "you subtracted one mean from all numbers alike. Each column has a mean of its own.",
        ),
        (
            centred @ vt[:, :dims],
            "you multiplied by columns of `vt`, and the directions are its *rows*: what `svd` gives back is "
            "already transposed.",
        ),
    ]
    for value, message in mistakes:
        if _same_up_to_sign(scores, value):
            raise NotYet(message)
    if _same_up_to_sign(scores, (u * s)[:, 1 : dims + 1]):
        raise NotYet(
            "the first axis is missing: the columns that you want are those from 0 to before `dims`."
        )
    if np.allclose(np.abs(scores), np.abs(wanted), atol=0.06):
        raise NotYet("the scores are nearly right. Did you round them? Leave all their digits.")
    lengths = np.linalg.norm(scores, axis=0)
    if _same_up_to_sign(scores, lengths * u[:, :dims]):
        raise NotYet(
            f"the axes are right, and their lengths are not: your columns are {lengths.round(1)} long, and "
            f"the singular values are {s[:dims].round(1)}."
        )
    raise NotYet(
        "the scores are not those of the principal components. Look at three things: the mean of each "
        "column before you take the matrix apart, the direction of each axis, and the length of each column."
    )


def _test_shares(shares: Array, vectors: Array, dims: int) -> None:
    squares = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
    wanted = squares[:dims] / squares.sum()
    if shares.shape == wanted.shape and np.allclose(shares, wanted, rtol=1e-3):
        return
    variances = "those are variances, not shares: divide by the variance of all axes."
    mistakes = [
        (
            squares[:dims] / squares[:dims].sum(),
            "your shares add up to 1, as if the axes that you keep were everything. Divide by the variance "
            "of *all* axes.",
        ),
        (
            np.sqrt(squares[:dims]) / np.sqrt(squares).sum(),
            "those are shares of the singular values. Variance goes with their squares.",
        ),
        (100 * wanted, "those are percent; a share lies between 0 and 1."),
        (wanted.cumsum(), "each of your shares holds those before it. One share per axis is needed."),
        (wanted.sum(), "that is what all kept axes hold together. One share per axis is needed."),
        (np.sqrt(squares[:dims]), "those are the singular values. Variance goes with their squares."),
        (
            squares[::-1][:dims] / squares.sum(),
            "the scores are right, and those are the shares of the *last* axes. `eigh` sorts from small to "
            "large.",
        ),
        (
            squares[:dims] / (vectors**2).sum(),
            "you divided by the squares of vectors that were not centred. The whole is the variance of all "
            "axes.",
        ),
        (squares[:dims], variances),
        (squares[:dims] / len(vectors), variances),
        (squares[:dims] / (len(vectors) - 1), variances),
        (squares / squares.sum(), "the shares of *all* axes came out; only the kept ones are needed."),
    ]
    for value, message in mistakes:
        if shares.shape == value.shape and np.allclose(shares, value, rtol=1e-3):
            raise NotYet(message)
    raise NotYet(
        f"the scores are right, and the shares should be {wanted.round(3)}; yours are {shares.round(3)}. "
        "The square of a singular value, divided by the sum of all such squares."
    )


def _pca(vectors: Array, dims: int) -> tuple[Array, Array, Array]:
    """Return what the planted answers start from: U, s and Vᵀ of the centred vectors."""
    return np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)


def _not_centred(vectors: Array, dims: int) -> Any:
    u, s, _ = np.linalg.svd(vectors, full_matrices=False)
    return u[:, :dims] * s[:dims], s[:dims] ** 2 / (s**2).sum()


def _projected_too_early(vectors: Array, dims: int) -> Any:
    _, s, vt = _pca(vectors, dims)
    return vectors @ vt[:dims].T, s[:dims] ** 2 / (s**2).sum()


def _standardised(vectors: Array, dims: int) -> Any:
    return _not_centred((vectors - vectors.mean(axis=0)) / vectors.std(axis=0), dims)


def _u_alone(vectors: Array, dims: int) -> Any:
    u, s, _ = _pca(vectors, dims)
    return u[:, :dims], s[:dims] ** 2 / (s**2).sum()


def _smallest_first(vectors: Array, dims: int) -> Any:
    centred = vectors - vectors.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(centred.T))
    if len(vectors) <= vectors.shape[1]:  # past the zeros that so few vectors leave
        start = vectors.shape[1] - len(vectors) + 1
        values, directions = values[start:], directions[:, start:]
    return centred @ directions[:, :dims], values[:dims] / values.sum()


def _of_what_is_kept(vectors: Array, dims: int) -> Any:
    u, s, _ = _pca(vectors, dims)
    return u[:, :dims] * s[:dims], s[:dims] ** 2 / (s[:dims] ** 2).sum()


def _not_squared(vectors: Array, dims: int) -> Any:
    u, s, _ = _pca(vectors, dims)
    return u[:, :dims] * s[:dims], s[:dims] / s.sum()


def _in_place(vectors: Array, dims: int) -> Any:
    vectors -= vectors.mean(axis=0)
    return _not_centred(vectors, dims)


# --- 07.2: neighbours kept


def _test_neighbours_kept(neighbours_kept: NeighboursKept) -> None:
    rng = np.random.default_rng(4)
    for n, d, k in ((53, 4, 7), (67, 6, 8)):  # so large that two mistakes hardly lead to one number
        vectors = rng.standard_normal((n, d)) * np.linspace(1, 3, d)
        _test_kept(neighbours_kept, vectors, vectors[:, -2:] + rng.standard_normal((n, 2)), k)


def _test_kept(neighbours_kept: NeighboursKept, vectors: Array, coordinates: Array, k: int) -> None:
    given = vectors.copy(), coordinates.copy()
    got = _number(tried(neighbours_kept(*given, k)), len(vectors))
    _unchanged([vectors, coordinates], given)
    kept = _kept(vectors, coordinates, k)
    if np.isclose(got, kept, atol=1e-6):
        return
    n = len(vectors)
    near, drawn = _nearest(vectors, k), _nearest(coordinates, k)
    both = [len({*one} & {*other}) for one, other in zip(near, drawn, strict=True)]
    itself = (
        "every image is counted as a neighbour of itself: at distance 0 it always comes first, and is always "
        "kept. Leave it out, and take the k nearest *others*."
    )
    far, drawn_far = ((-_distances(each)).argsort(axis=1)[:, :k] for each in (vectors, coordinates))
    fewer = _kept(vectors, coordinates, k - 1)
    too_few = (fewer, fewer * (k - 1) / k)
    with_itself = _nearest(vectors, k, first=0)
    one_sided = float(np.mean([np.isin(a, b).sum() / k for a, b in zip(with_itself, drawn, strict=True)]))
    mistakes = [
        (_kept(vectors, coordinates, k, first=0), itself),
        ((k * kept + 1) / (k + 1), itself),
        (kept + 1 / k, itself),
        (
            1.0,
            "1.0 came out, for a map that does lose neighbours. Are both lists of neighbours taken from the "
            "vectors, or both from the map? Is every image looked up in all lists at once, or is one shared "
            "neighbour enough?",
        ),
        (
            float((near == drawn).mean()),
            "you compared the lists place by place. The second nearest may become the third: it is still a "
            "neighbour. Compare them as sets.",
        ),
        (k * kept, "that is how many neighbours an image keeps; the share of the k is needed."),
        (n * k * kept, "that is the number of all neighbours kept; the share of them is needed."),
        (n * kept, "you added up the shares of all images. Take their mean."),
        (100 * kept, "that is percent; a share lies between 0 and 1."),
        (
            k * kept / n,
            "you divided by the number of images. An image has k neighbours that it could keep.",
        ),
        *((value, "`1 : k` holds k - 1 of them. It stops before its end.") for value in too_few),
        (
            one_sided,
            "one of your two lists still begins with the image itself, and the other does not.",
        ),
        (
            0.0,
            "0 came out, as if no image kept any neighbour. Do your lists hold the *numbers* of images "
            "(`argsort`) or distances (`sort`)? And does each neighbour count, or only a full list?",
        ),
        (
            float(np.mean([each / (2 * k - each) for each in both])),
            "you divided by how many there are in both lists together. Divide by k.",
        ),
        (
            float(np.mean([len({*a} & {*b}) / k for a, b in zip(far, drawn_far, strict=True)])),
            "those are the images *farthest* away. `argsort` goes from small to large.",
        ),
        (1 - kept, "that is the share of neighbours *lost*."),
        (
            float(np.mean([each == k for each in both])),
            "you counted the images that keep *all* of their neighbours. Each neighbour kept counts.",
        ),
        (
            _kept(vectors, coordinates, k, first=2),
            "the nearest other of each image is missing. If you have struck out the image itself already, as "
            "with infinity on the diagonal, the list begins at 0.",
        ),
    ]
    _name_mistake(got, mistakes)
    if got > 1:
        raise NotYet(
            f"{got:.3f} came out, and a share lies between 0 and 1. Does each image have k neighbours in "
            "each list, `[:, 1 : k + 1]` of a table with a row per image, and do you count those in *both* "
            "lists?"
        )
    raise NotYet(
        f"{got:.3f} came out, and it should be {kept:.3f} (n = {n}, k = {k}). For each image: its k nearest "
        "others among the vectors, its k nearest others on the map, and how many are in both."
    )


def _kept(vectors: Array, coordinates: Array, k: int, first: int = 1) -> float:
    pairs = zip(_nearest(vectors, k, first), _nearest(coordinates, k, first), strict=True)
    return float(np.mean([len({*near} & {*drawn}) / k for near, drawn in pairs]))


def _kept_with_itself(vectors: Array, coordinates: Array, k: int) -> float:
    return _kept(vectors, coordinates, k, first=0)


def _kept_place_by_place(vectors: Array, coordinates: Array, k: int) -> float:
    return float((_nearest(vectors, k) == _nearest(coordinates, k)).mean())


def _kept_anywhere(vectors: Array, coordinates: Array, k: int) -> float:
    return float(np.isin(_nearest(vectors, k), _nearest(coordinates, k)).mean())


def _kept_counted(vectors: Array, coordinates: Array, k: int) -> float:
    return k * _kept(vectors, coordinates, k)


def _kept_of_the_farthest(vectors: Array, coordinates: Array, k: int) -> float:
    far, drawn = ((-_distances(each)).argsort(axis=1)[:, :k] for each in (vectors, coordinates))
    return float(np.mean([len({*a} & {*b}) / k for a, b in zip(far, drawn, strict=True)]))


# --- 07.3: a gap, in units of the spread


def _test_gap(gap: Gap) -> None:
    rng = np.random.default_rng(3)
    is_cc = np.array([True, False, True, False, False, True, False, False, True, False, False, False])
    away = np.array([3.0, 0.0, 1.0, 0.5, 2.0])
    spread = rng.standard_normal((len(is_cc), 5)) * np.where(is_cc, 0.6, 1.3)[:, None]
    coordinates = rng.standard_normal((len(is_cc), 2)) + np.where(is_cc, 4, -4)[:, None] * [1, 0.2]
    for times in (1, 3):
        _test_one_gap(gap, spread + is_cc[:, None] * away * times, coordinates, is_cc)


def _test_one_gap(gap: Gap, vectors: Array, coordinates: Array, is_cc: NDArray[np.bool_]) -> None:
    given = vectors.copy(), coordinates.copy(), is_cc.copy()
    one_spread = "The spread is one number, the root of the mean of all squares."
    got = _number(tried(gap(*given)), len(vectors), one_spread)
    _unchanged([vectors, coordinates, is_cc], given)
    wanted, mistakes = _gaps(vectors, is_cc)
    if np.isclose(got, wanted, rtol=1e-4):
        return
    on_the_map = (
        "that gap was measured on the map. The check pulls the two groups three times as far apart and "
        "leaves the map as it was: your number stays the same. Measure in the vectors."
    )
    drawn, drawn_wrong = _gaps(coordinates, is_cc)
    _name_mistake(got, [(value, on_the_map) for value in (drawn, *dict(drawn_wrong))])
    away, drawn_away = mistakes[0][0], drawn_wrong[0][0]
    mixed = "one of the two, gap or spread, is from the map, and the other is not. Take both from one place."
    _name_mistake(got, [(drawn_away / (away / wanted), mixed), (away / (drawn_away / drawn), mixed)])
    _name_mistake(got, mistakes)
    raise NotYet(
        f"{got:.3f} came out, and it should be {wanted:.3f}. The distance between the two centres, "
        "divided by the root mean square of the distances of images from the centre of their own group."
    )


def _gaps(points: Array, is_cc: NDArray[np.bool_]) -> tuple[float, list[Mistake]]:
    """Return the gap, and what mistakes would make of it."""
    one, other = points[is_cc], points[~is_cc]
    away = float(np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)))
    own = np.where(is_cc[:, None], one.mean(axis=0), other.mean(axis=0))
    squares = ((points - own) ** 2).sum(axis=1)
    spread = float(np.sqrt(squares.mean()))
    of_groups = np.array([squares[is_cc].mean(), squares[~is_cc].mean()])
    of_all = float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))
    closest = float(_distances(points)[is_cc][:, ~is_cc].min())
    single = (
        "your spread is that of a single coordinate (`std` goes through all numbers alike). How far is "
        "an *image* from its centre? Add up its squares first."
    )
    of_one = "that is the spread of one of the two groups. Take the mean over all images."
    halves = (
        "the two groups count as one half each, and one of them is larger. Take the mean over all images."
    )
    return away / spread, [
        (
            away,
            "that is the distance between the centres, in units that nobody knows. Divide it by the spread.",
        ),
        (
            away / of_all,
            "your spread is that of all images around their common centre: the gap is in it. Measure how far "
            "each image is from the centre of its *own* group.",
        ),
        (away / float(np.sqrt(((points - own) ** 2).mean())), single),
        (
            away / spread**2,
            "your spread was not brought back by a square root: distance over distance squared.",
        ),
        (
            away / float(np.sqrt(squares).mean()),
            "the squares are missing: that is the mean distance, not the root mean square.",
        ),
        (away / float(np.sqrt(of_groups.mean())), halves),
        (away / float(np.sqrt(of_groups).mean()), halves),
        (
            closest / spread,
            "that is the gap between the two images that come closest. The distance between the centres is "
            "asked for.",
        ),
        (
            (away / spread) ** 2,
            "both are squared still: take the root of the distance and of the spread.",
        ),
        (spread / away, "that is upside down: divide the distance *by* the spread."),
        *((away / float(points.std(axis=axis).mean()), single) for axis in (None, 0)),
        *((away / each, of_one) for each in np.sqrt(of_groups)),
        (
            away / float(np.sqrt(squares.sum())),
            "your spread grows with the number of images. Take the mean of the squares before the root.",
        ),
        (
            float(np.abs(one.mean(axis=0) - other.mean(axis=0)).mean()) / spread,
            "you took a mean over the numbers of the centres. A centre has as many numbers as a vector, and "
            "the distance of two is `np.linalg.norm` of their difference.",
        ),
        (
            away
            / float(np.sqrt(((points - (one.mean(axis=0) + other.mean(axis=0) - own)) ** 2).sum(1).mean())),
            "your spread is measured from the centre of the *other* group: CC and MLO have changed places.",
        ),
        (
            away / float(np.sqrt(squares.sum() / points.shape[1])),
            "you took the mean over the numbers of a vector. Add up each image's squares, then take the mean "
            "over images.",
        ),
        (
            float(np.abs(one.mean(axis=0) - other.mean(axis=0)).sum()) / spread,
            "you added up the differences of the two centres. Their distance is the root of the sum of the "
            "*squares*.",
        ),
        *(
            (
                away / spread * np.sqrt(1 - fewer / len(points)),
                "divide by all images, not by fewer.",
            )
            for fewer in (1, 2)
        ),
        (
            away / (2 * spread),
            "half of it is missing: one spread, that of all images around their own centres.",
        ),
    ]


def _gap_of(which: int) -> Gap:
    return lambda vectors, coordinates, is_cc: _gaps(vectors, is_cc)[1][which][0]


def _gap_on_the_map(vectors: Array, coordinates: Array, is_cc: NDArray[np.bool_]) -> float:
    return _gaps(coordinates, is_cc)[0]


# --- 07.4: a silhouette


def _test_silhouette(silhouette: Silhouette) -> None:
    rng = np.random.default_rng(4)
    three = np.array([0, 1, 2, 1, 0, 2, 2, 1, 2, 0, 1, 2, 2])
    four = np.array([3, 1, 2, 1, 0, 2, 3, 1, 2, 0, 1, 2, 0, 3, 2])
    for d, labels in ((5, three), (3, four)):
        centres = 1.5 * rng.standard_normal((labels.max() + 1, d))
        vectors = rng.standard_normal((len(labels), d)) + centres[labels]
        places = np.array([[0, 3], [3, 0], [-3, -3], [4, 5]])
        coordinates = rng.standard_normal((len(labels), 2)) * 0.6 + places[labels]
        _test_one_silhouette(silhouette, vectors, coordinates, labels)


def _test_one_silhouette(
    silhouette: Silhouette, vectors: Array, coordinates: Array, labels: NDArray[np.int64]
) -> None:
    given = vectors.copy(), coordinates.copy(), labels.copy()
    got = _number(tried(silhouette(*given)), len(vectors))
    _unchanged([vectors, coordinates, labels], given)
    wanted, mistakes = _silhouettes(vectors, labels)
    if np.isclose(got, wanted, atol=1e-5):
        return
    on_the_map = (
        f"{got:.2f} is a silhouette on the *map*, where the clusters were cut out with scissors. Whether "
        "the images are so well separated, only the vectors can tell: take the distances from there."
    )
    drawn, drawn_wrong = _silhouettes(coordinates, labels)
    _name_mistake(got, mistakes)  # first, since one mistake leads to the same number on any map
    _name_mistake(got, [(value, on_the_map) for value in (drawn, *dict(drawn_wrong))])
    raise NotYet(
        f"{got:.3f} came out, and it should be {wanted:.3f}. For each image: a, the mean distance to the "
        "others of its cluster; b, that to the images of the nearest other cluster; (b - a) / max(a, b). "
        "Then the mean."
    )


def _silhouettes(points: Array, labels: NDArray[np.int64]) -> tuple[float, list[Mistake]]:
    """Return the mean silhouette, and what mistakes would make of it; labels are 0, 1, 2 …"""
    is_in = labels[:, None] == np.arange(labels.max() + 1)  # (N, k)
    sizes, rows = is_in.sum(axis=0), np.arange(len(points))

    def nearest_two(to_clusters: Array) -> tuple[Array, Array]:
        """Return each image's number for its own cluster, and the smallest for another one."""
        return to_clusters[rows, labels], np.where(is_in, np.inf, to_clusters).min(axis=1)

    far = _distances(points)
    means = far @ is_in / sizes  # of an image to a cluster: to its own with its own 0
    with_itself, b = nearest_two(means)
    a = with_itself * sizes[labels] / (sizes[labels] - 1)
    far_other = labels[:, None] != labels
    pooled = (far * far_other).sum(axis=1) / (len(points) - sizes[labels])
    others_alike = (means * ~is_in).sum(axis=1) / (len(sizes) - 1)
    farthest = np.where(is_in, -np.inf, means).max(axis=1)
    centres = np.stack([points[labels == each].mean(axis=0) for each in range(len(sizes))])
    to_centres = nearest_two(np.linalg.norm(points[:, None] - centres, axis=2))

    def index(own: Array, other: Array) -> Array:
        return (other - own) / np.maximum(own, other)

    each = index(a, b)
    squared_a, squared_b = nearest_two(far**2 @ is_in / sizes)
    squared_a = squared_a * sizes[labels] / (sizes[labels] - 1)
    of_clusters = [each[labels == label].mean() for label in range(len(sizes))]
    mistakes = [
        (
            index(with_itself, b).mean(),
            "in `a` every image is among the others of its own cluster, at distance 0. Divide by one fewer.",
        ),
        (
            index(a, pooled).mean(),
            "your `b` mixes all other clusters. Take the mean to each of them, and then the smallest.",
        ),
        (
            index(a, farthest).mean(),
            "your `b` is the mean to the cluster that is farthest away. The nearest other one counts.",
        ),
        (
            (b - a).mean(),
            "that is b - a in the units of the vectors. Divide each by the larger of the two.",
        ),
        (
            -each.mean(),
            "the sign is turned: an image that is close to its own cluster gets a number above zero.",
        ),
        (
            index(*to_centres).mean(),
            "you measured to the centres of the clusters. That is a shortcut (and another index); a and b "
            "are mean distances to *images*.",
        ),
        (
            np.mean(of_clusters),
            "that is the mean of the clusters' means, in which a small cluster weighs as much as a large "
            "one. Take the mean over all images.",
        ),
        (
            index(a, others_alike).mean(),
            "your `b` is the mean over all other clusters. The *nearest* other one counts.",
        ),
        (
            index(a, np.where(far_other, far, np.inf).min(axis=1)).mean(),
            "your `b` is the distance to a single image. Take the mean over all images of the nearest other "
            "cluster.",
        ),
        (
            index(a, means.min(axis=1)).mean(),
            "the cluster with the smallest mean distance is often the image's own. `b` looks only at others.",
        ),
        *(
            (((b - a) / bottom).mean(), "divide by the *larger* of a and b, image by image.")
            for bottom in (a, b, np.minimum(a, b), a + b)
        ),
        (each.sum(), "you added up the silhouettes of all images. Take their mean."),
        (np.median(each), "that is the median. The mean is asked for."),
        (
            each[0],
            "that is the silhouette of the first image. Does `return` stand within the loop?",
        ),
        (
            index(squared_a, squared_b).mean(),
            "those are means of *squared* distances. Take the root of each.",
        ),
        (
            (b.mean() - a.mean()) / max(a.mean(), b.mean()),
            "the mean comes last: first (b - a) / max(a, b) of each image.",
        ),
    ]
    return float(each.mean()), [(float(value), message) for value, message in mistakes]


def _silhouette_of(which: int) -> Silhouette:
    return lambda vectors, coordinates, labels: _silhouettes(vectors, labels)[1][which][0]


def _silhouette_on_the_map(vectors: Array, coordinates: Array, labels: NDArray[np.int64]) -> float:
    return _silhouettes(coordinates, labels)[0]


# --- 07.5: what several maps agree on


def _test_always_neighbours(always_neighbours: AlwaysNeighbours) -> None:
    rng = np.random.default_rng(5)
    base = rng.standard_normal((14, 2)) * [3, 1]
    turned = np.array([[0.0, 1.0], [-1.0, 0.0]])
    mirrored = np.array([[-1.0, 0.0], [0.0, 1.0]])
    maps = [base, base @ turned + 0.5 * rng.standard_normal(base.shape)]
    _test_agreement(always_neighbours, [*maps, base @ mirrored + 0.5 * rng.standard_normal(base.shape)], 4)
    _test_agreement(always_neighbours, maps, 3)


def _table(got: Any, n: int) -> NDArray[Any]:
    """Return the student's table (n, n) as an array; refuse other shapes."""
    if hasattr(got, "toarray"):  # the lesson goes on with it, and sparse tables index otherwise
        raise NotYet("your table is a sparse one. Put `.toarray()` behind it.")
    try:
        found = np.asarray(got)
    except ValueError:  # rows of unequal length
        found = np.empty(0)
    if found.shape == (n, n):
        return found
    came = kind_of(found if hasattr(got, "__array__") and found.ndim else got, "an array")
    raise NotYet(
        f"a table of shape ({n}, {n}) of True and False is needed: row i says who is a neighbour of image i "
        f"on every map. Out came {came}. A list of who is near is not a table yet."
    )


def _neighbours(points: Array, k: int, first: int = 1) -> NDArray[np.bool_]:
    return _among_nearest(_nearest(points, k, first))


def _among_nearest(nearest: NDArray[np.intp]) -> NDArray[np.bool_]:
    found = np.zeros((len(nearest), len(nearest)), bool)
    found[np.arange(len(nearest))[:, None], nearest] = True
    return found


def _test_agreement(always_neighbours: AlwaysNeighbours, maps: list[Array], k: int) -> None:
    n, given = len(maps[0]), [each.copy() for each in maps]
    got: Any = tried(always_neighbours(given, k))
    _unchanged(maps, given)
    found = _table(got, n)
    if np.array_equal(found, sum(_neighbours(points, k).astype(int) for points in maps)):
        raise NotYet("those are counts: on how many maps is j near i? True where it is on all of them.")
    if not np.isin(found, (0, 1)).all():
        raise NotYet("your table holds other things than True and False.")
    found, each = found.astype(bool), [_neighbours(points, k) for points in maps]
    wanted = np.logical_and.reduce(each)
    if np.array_equal(found, wanted):
        return
    _name_table(found, each, maps, k)
    i, j = np.argwhere(found != wanted)[0]
    on = [number for number, table in enumerate(each) if table[i, j]]
    raise NotYet(
        f"your table says {found[i, j]} for image {i} and image {j}, and {j} is among the {k} nearest of {i} "
        f"on {len(on)} of the {len(maps)} maps."
    )


def _name_table(found: NDArray[np.bool_], each: list[NDArray[np.bool_]], maps: list[Array], k: int) -> None:
    """Raise the message of the mistake that leads to this table, if one does."""
    if not found.any():
        i, j = np.argwhere(np.logical_and.reduce(each))[0]
        raise NotYet(
            f"nobody is near anybody in your table, and {j} is among the {k} nearest of {i} on every map. A "
            "table that starts as False stays so under `&`: let it start as True."
        )
    with_itself = [_neighbours(points, k, first=0) for points in maps]
    wanted = np.logical_and.reduce(each)
    distances = np.mean([_distances(points) for points in maps], axis=0)
    merged = [_neighbours(np.mean(maps, axis=0), k), _neighbours(np.hstack(maps), k)]
    merged.append(_among_nearest(distances.argsort(axis=1)[:, 1 : k + 1]))
    if found.diagonal().any():
        raise NotYet(
            f"image {found.diagonal().argmax()} is its own neighbour in your table. The k nearest *others* "
            "are asked for."
        )
    if np.array_equal(found, np.logical_and.reduce(with_itself) & ~np.eye(len(found), dtype=bool)):
        raise NotYet(
            "only k - 1 others are left. Either every image took one of its own k places before it was "
            "struck out, or `1 : k` ended one too early: it stops before its end."
        )
    if any(np.array_equal(found, table) for table in merged):
        raise NotYet(
            "you put the maps together first, and looked for neighbours once. A place on one map is no place "
            "on another, and one large distance outweighs two small ones. Look for neighbours on each map, "
            "then compare."
        )
    if np.array_equal(found, np.logical_or.reduce(each)):
        raise NotYet("those are neighbours on *some* map. On every map: `and`, not `or`.")
    if any(np.array_equal(found, table) for table in each):
        raise NotYet(
            "those are the neighbours on a single map. Is the table overwritten by each map, or does "
            "`return` stand within the loop?"
        )
    if np.array_equal(found, wanted & wanted.T):
        raise NotYet(
            "you ask for it in both directions. A neighbour need not return the compliment: row i alone says "
            "who is near image i."
        )
    if np.array_equal(found, wanted.T):
        raise NotYet("rows and columns are exchanged: row i says who is near image i.")


def _on_some_map(maps: Sequence[Array], k: int) -> Any:
    return np.logical_or.reduce([_neighbours(each, k) for each in maps])


def _on_the_mean_map(maps: Sequence[Array], k: int) -> Any:
    return _neighbours(np.mean(maps, axis=0), k)


def _on_the_last_map(maps: Sequence[Array], k: int) -> Any:
    return _neighbours(maps[-1], k)


def _with_itself(maps: Sequence[Array], k: int) -> Any:
    return np.logical_and.reduce([_neighbours(each, k, first=0) for each in maps])


def _in_both_directions(maps: Sequence[Array], k: int) -> Any:
    table = np.logical_and.reduce([_neighbours(each, k) for each in maps])
    return table & table.T


EXERCISES = (
    Exercise(
        id="07.1",
        title="PCA by hand",
        minutes=9,
        test=_test_pca,
        buys="you know what each axis is, and how much of the vectors the map leaves out.",
        hints=(
            "Three lines: centre the columns; take the vectors apart; put scores and shares together. What "
            "is the mean of a column afterwards?",
            "`u, s, vt = np.linalg.svd(centred, full_matrices=False)`. Column j of U times `s[j]` is column "
            "j of the scores, and the variance along it goes with `s[j] ** 2`.",
            "`return u[:, :dims] * s[:dims], s[:dims] ** 2 / (s**2).sum()`.",
        ),
        planted=(
            Planted(_not_centred, "did not centre", "the vectors were not centred"),
            Planted(_projected_too_early, "projected vectors with their mean", "before their mean was off"),
            Planted(_standardised, "standardised", "by its standard deviation"),
            Planted(_u_alone, "took U for the scores", "U alone says in which direction"),
            Planted(_smallest_first, "took the smallest eigenvalues", "the *least* spread"),
            Planted(_of_what_is_kept, "took shares of what is kept", "your shares add up to 1"),
            Planted(_not_squared, "did not square", "shares of the singular values"),
            Planted(_in_place, "centred in place", "has changed the arrays"),
        ),
    ),
    Exercise(
        id="07.2",
        title="Neighbours kept",
        minutes=7,
        test=_test_neighbours_kept,
        buys="any map can be asked now whether what lies side by side on it belongs side by side.",
        hints=(
            "Distances of all pairs: `np.linalg.norm(points[:, None] - points, axis=2)`, for the vectors and "
            "for the map. What stands on the diagonal?",
            "`distances.argsort(axis=1)[:, 1 : k + 1]` are the k nearest others of each image. Two such "
            "tables; and in each row, how many numbers do they share?",
            "`np.mean([len(set(a) & set(b)) / k for a, b in zip(near, drawn)])`.",
        ),
        planted=(
            Planted(_kept_with_itself, "counted the image itself", "counted as a neighbour of itself"),
            Planted(_kept_place_by_place, "compared place by place", "Compare them as sets"),
            Planted(_kept_anywhere, "looked in all lists at once", "1.0 came out"),
            Planted(_kept_counted, "did not divide by k", "the share of the k is needed"),
            Planted(_kept_of_the_farthest, "took the farthest", "*farthest* away"),
        ),
    ),
    Exercise(
        id="07.3",
        title="How far apart?",
        minutes=6,
        test=_test_gap,
        buys="your gap does not depend on who drew the map.",
        hints=(
            "Two groups, two centres: the means of their rows. How long is the vector from one to the other?",
            "The spread: for each image the squared distance from the centre of its own group; the mean over "
            "all images; the root. And which of the two arrays knows how far apart mammograms are?",
            "`own = np.where(is_cc[:, None], centre_cc, centre_mlo)`, then "
            "`spread = np.sqrt(((vectors - own) ** 2).sum(axis=1).mean())`.",
        ),
        planted=(
            Planted(_gap_on_the_map, "read the gap off the map", "measured on the map"),
            Planted(_gap_of(0), "did not divide by the spread", "in units that nobody knows"),
            Planted(_gap_of(1), "took the spread of everything", "the gap is in it"),
            Planted(_gap_of(2), "took the spread of single numbers", "Add up its squares first"),
            Planted(_gap_of(5), "averaged the two groups", "one half each"),
        ),
    ),
    Exercise(
        id="07.4",
        title="A silhouette",
        minutes=7,
        test=_test_silhouette,
        buys="a number that random numbers do not get for nothing.",
        hints=(
            "One image after the other. Which images are the others of its cluster? What are the mean "
            "distances to each of the other clusters?",
            "With `d` the distances from image i: `a = d[labels == labels[i]].sum() / (size - 1)`, since its "
            "own 0 is in the sum; `b` is the smallest of `d[labels == other].mean()`. Distances where?",
            "Distances from the vectors; the mean of `(b - a) / max(a, b)` over all images.",
        ),
        planted=(
            Planted(_silhouette_on_the_map, "took it on the map", "a silhouette on the *map*"),
            Planted(_silhouette_of(0), "counted the image itself", "Divide by one fewer"),
            Planted(_silhouette_of(1), "mixed the other clusters", "mixes all other clusters"),
            Planted(_silhouette_of(3), "did not divide", "Divide each by the larger"),
            Planted(_silhouette_of(5), "measured to centres", "to the centres of the clusters"),
        ),
    ),
    Exercise(
        id="07.5",
        title="What all maps agree on",
        minutes=6,
        test=_test_always_neighbours,
        buys="what one map shows by chance is out of your table.",
        hints=(
            "One table per map: row i is True for the k nearest others of image i. How do several such "
            "tables become one?",
            "`near = np.zeros((n, n), bool)`, then `near[np.arange(n)[:, None], nearest] = True`, with "
            "`nearest` as in exercise 07.2.",
            "Begin with a table that is True everywhere, and for each map `together &= near`.",
        ),
        planted=(
            Planted(_on_some_map, "took some map for every map", "neighbours on *some* map"),
            Planted(_on_the_mean_map, "averaged the maps", "put the maps together first"),
            Planted(_on_the_last_map, "kept the last map alone", "on a single map"),
            Planted(_with_itself, "counted the image itself", "its own neighbour"),
            Planted(_in_both_directions, "asked in both directions", "in both directions"),
        ),
    ),
)
