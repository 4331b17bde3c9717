"""Ask women who had no part in making the clusters (lesson 08).

Vectors, whose they are and which women make the clusters go in; out come the positions of the other women's
images on the line between two centres.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def position(points: Array, first: Array, second: Array) -> Array:
    """Return the position of points `(N, D)` on the line between two centres `(D,)`: 0 first, 1 second."""
    way = second - first
    places: Array = (points - first) @ way / (way @ way)
    return places


def positions_of_makers(
    vectors: Array, women: Array, makers: Array, two_centres: Callable[[Array], Array]
) -> Array:
    """Return the positions of all images of the makers, between the two centres that these make."""
    theirs = vectors[np.isin(women, makers)]
    return position(theirs, *two_centres(theirs))


def positions_of_others(
    vectors: Array,
    women: Array,
    makers: Array,
    two_centres: Callable[[Array], Array],
    rng: np.random.Generator,
) -> Array:
    """Return `(number of other women,)` positions, of one image drawn for each woman who is no maker.

    Args:
        vectors: `(N, D)`, one row per image.
        women: `(N,)`, whose each image is.
        makers: the women of whose images, all of them, `two_centres` makes two centres `(2, D)`.
        two_centres: gets the makers' rows.
        rng: draws the images, woman by woman in order of their names.
    """
    drawn = [rng.choice(np.flatnonzero(women == name)) for name in np.unique(women) if name not in makers]
    return position(vectors[drawn], *two_centres(vectors[np.isin(women, makers)]))
