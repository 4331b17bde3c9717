"""Where the breast is: a picture becomes a mask of blocks (lesson 02).

In: float32 pixels, the breast bright on dark ground. Out: a `BreastMask` on a grid of about `WORKING_SIDE`
blocks, which `grayscale` uses for statistics of tissue and `preprocess` to crop and to blacken; and the side
of the chest wall. Nothing here knows about files or headers: only what a picture shows counts.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from course_utils.imaging.errors import TOO_SMALL, MammogramError

Side = Literal["left", "right"]

WORKING_SIDE = 320  # pixels on the longer side of the copy on which the mask is found: about 0.75 mm each
THINNEST = 16  # pixels of that copy on its shorter side; with fewer, edges and opening lose their meaning

# Shares of the way from the ground to Otsu's threshold, in square roots of the gray values.
CORE = 0.35  # above it is the core of the breast
RIM = 0.03  # above it is what the core may grow into: skin, nipple
FLAT = 0.08  # ground varies by less than this part of the way to the tissue's median; fat varies by more

# Lengths as fractions of the image's shorter side.
OPENING = 0.06  # radius of the opening
MARGIN = 0.005  # how much wider the mask is than what was found
DEEP = 0.015  # how far from the mask's edge blurred skin is left behind

# Levels of the copy, 255 being white.
FLAG = 204  # a flag is brighter
BESIDE = 178  # what surrounds it is darker
FAINT = 8  # where a light leak adds less than this, it has faded

FLAG_SIDES = 0.03, 0.35  # a flag's shorter and longer side, as fractions of the image's shorter side
BOX = 0.85  # the part that a flag fills of the smallest box around it
LEAK = 0.25  # a light leak is at most this part of the width deep
FADING = 0.6  # a light leak's mean is less than this part of its greatest level; a breast's is more

DULL = 99  # percentile of the breast above which its mask does not grow: it would run into a label
FILM_EDGE = 0.025  # a white film edge is at most this part of a side deep
ROUGH = 0.2  # a film edge's depth differs from a smooth one by less than this, in pixels of the copy
STRETCH = 31  # pixels of the copy along a side over which the depth is smoothed
PASSES = 3  # of the search for core and fog: each helps to find the other
PLAIN = 1.5  # the chest wall is plain if one end of the mask is this many times as tall as the other

NOTHING_THERE = "No breast can be told from the background of this image."


@dataclass(frozen=True, eq=False)
class BreastMask:
    """Where the breast is, on a grid of blocks of `factor` × `factor` pixels (`shrink`).

    Attributes:
        inside: bool `(h, w)`, true in the breast.
        factor: pixels on a block's side; whole, but where the picture is one at a fraction of its size.
    """

    inside: np.ndarray
    factor: float

    def well_inside(self) -> np.ndarray:
        """Return the mask, bool `(h, w)`, without margin or blurred skin: for statistics of tissue."""
        deep = cv2.erode(self.inside.astype(np.uint8), _disc(round(DEEP * min(self.inside.shape))))
        return deep.astype(bool) if deep.any() else self.inside

    def sample(self, rows: slice, columns: slice, shape: tuple[int, int]) -> np.ndarray:
        """Return the mask, bool `shape`, over a box of the image's pixels resized to that shape.

        The box may begin and end within a pixel.
        """
        y, x = (
            ((np.arange(n) + 0.5) * (box.stop - box.start) / n + box.start) / self.factor - 0.5
            for n, box in zip(shape, (rows, columns), strict=True)
        )
        map_x, map_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        inside = self.inside.astype(np.float32)
        return cv2.remap(inside, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) >= 0.5


def breast_mask(pixels: np.ndarray) -> np.ndarray:
    """Return where the breast is: bool `(H, W)` for pixels `(H, W)` as in `find_breast`."""
    height, width = pixels.shape
    return find_breast(pixels).sample(slice(0, height), slice(0, width), (height, width))


def shrink(pixels: np.ndarray, reduction: int = 1) -> tuple[np.ndarray, float]:
    """Return float32 `(H, W)` averaged over blocks of k × k, the longer side about `WORKING_SIDE`, and k.

    The last blocks at the right and lower edges are smaller where k does not divide the side. Where a pixel
    is the mean of `reduction` × `reduction` stored ones, the blocks are those of the stored picture,
    which may cut pixels in two.
    """
    k = max(1, round(max(pixels.shape) * reduction / WORKING_SIDE))
    if k % reduction:
        factor = k / reduction
        return area_means(pixels, *(_ends(n, factor) for n in pixels.shape)), factor
    k //= reduction
    # Whole blocks apart from the rest: OpenCV is much faster with an integer factor.
    rows, columns = ([slice(0, n - n % k), slice(n - n % k, n)] for n in pixels.shape)
    means = [
        [
            cv2.resize(part, (-(-part.shape[1] // k), -(-part.shape[0] // k)), interpolation=cv2.INTER_AREA)
            for part in (pixels[y, x] for x in columns)
            if part.size
        ]
        for y in rows
    ]
    return np.block([row for row in means if row]), k


def area_means(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the means over a grid of boxes, float32 `(h, w)`, of a picture `(H, W)`, float32.

    Args:
        picture: each pixel a square of one gray.
        rows, columns: where boxes begin and end, `(h + 1,)` and `(w + 1,)`, rising, between 0 and H or W;
            they may cut pixels.
    """
    sums = cv2.integral(picture, sdepth=cv2.CV_64F)  # of everything above and left of a corner of a pixel
    for axis, ends in enumerate((rows, columns)):
        below = np.minimum(ends.astype(int), sums.shape[axis] - 2)
        low, high = (np.take(sums, index, axis) for index in (below, below + 1))
        part = np.expand_dims(ends - below, 1 - axis)
        sums = np.diff(low + part * (high - low), axis=axis) / np.expand_dims(np.diff(ends), 1 - axis)
    return np.clip(sums, picture.min(), picture.max()).astype(np.float32)  # rounding may leave the range


def _ends(length: int, factor: float) -> np.ndarray:
    """Return where blocks of `factor` pixels end along a side, from 0 to its length."""
    return np.minimum(np.arange(int(np.ceil(length / factor)) + 1) * factor, length)


def find_breast(pixels: np.ndarray, reduction: int = 1) -> BreastMask:
    """Find the breast in float32 pixels `(H, W)`, not negative, the breast bright on dark ground.

    White film edges are painted over with what lies beside them, and flags with lead letters left out. The
    breast's core is what is clearly brighter than ground and fog, though far less than Otsu's threshold asks,
    so that fat stays. Opening by a disc cuts labels and specks off it, and the largest piece is kept. What
    lies away from it tells where a film is fogged, so that the core is looked for again, above the fog. From
    there the mask grows by the disc's radius through all that is brighter than the fog: the rim of skin, the
    nipple, the corners at the chest wall. Holes are filled, and the film edges cut off.

    Where no ground is visible, as in a magnified view, the whole image is breast. `reduction` is that of
    the `Mammogram`: the mask is looked for on the same blocks, however the file was read.

    Raises:
        MammogramError: there is nothing but ground, or the image is a few pixels high or wide, or a strip.
        ValueError: the pixels are of another type, negative, infinite or NaN.
    """
    if pixels.ndim != 2 or pixels.dtype != np.float32:
        raise ValueError(f"pixels must be float32 (H, W), not {pixels.dtype} {pixels.shape}")
    if not pixels.size:
        raise MammogramError(TOO_SMALL)
    small, factor = shrink(pixels, reduction)
    if min(small.shape) < THINNEST:
        raise MammogramError(TOO_SMALL)
    if not 0 <= small.min() <= small.max() < np.inf:  # also false for NaN
        raise ValueError("pixels must be finite numbers, none of them negative")
    small, film = _without_film_edges(small)
    inside = _breast(small) & ~film
    if not inside.any():
        raise MammogramError(NOTHING_THERE)
    return BreastMask(inside, factor)


def _breast(small: np.ndarray) -> np.ndarray:
    """Return the mask, bool `(h, w)`, of a picture of about `WORKING_SIDE` without film edges."""
    roots = cv2.GaussianBlur(np.sqrt(np.maximum(small, 0)), (0, 0), 0.5)
    white = float(np.percentile(roots, 99.5))
    if not white > 0:
        raise MammogramError(NOTHING_THERE)
    levels = np.minimum(roots * (255 / white), 255).astype(np.uint8)
    padding = _padding(levels)
    found = _ground(levels, ~padding)
    if found is None:
        return np.ones(small.shape, bool)
    ground, otsu, noise = found
    core, rim = (cut * (otsu - ground) for cut in (CORE, RIM))

    shorter = min(small.shape)
    radius = max(2, round(OPENING * shorter))
    flags = _flags(levels)
    # Neither labels with their blurred rims nor what never was film tells of fog.
    plain = (cv2.dilate(((levels > otsu) | flags).astype(np.uint8), _disc(3)) == 0) & ~padding
    lit = np.maximum(ground, _leak(levels, ground))
    fog = lit
    for _ in range(PASSES):
        breast = _largest_piece((levels > fog + max(core, noise)) & ~flags, radius)
        near = cv2.dilate(breast, np.ones((4 * radius + 1, 4 * radius + 1), np.uint8)) > 0
        away = plain & ~near
        before, fog = fog, np.maximum(lit, _fog(levels, away, radius))
        if np.abs(fog - before).mean() < 1:
            break

    skin = (levels > fog + max(rim, noise)) & (levels <= np.percentile(levels[breast > 0], DULL))
    allowed = breast | (skin & ~flags).astype(np.uint8)
    for _ in range(radius):
        breast = cv2.dilate(breast, np.ones((3, 3), np.uint8)) & allowed
    breast = cv2.morphologyEx(breast, cv2.MORPH_OPEN, _disc(2))  # specks at the skin
    wider = cv2.dilate(breast, _disc(max(1, round(MARGIN * shorter))))
    return _fill(wider & ~flags).astype(bool)


def _largest_piece(bright: np.ndarray, radius: int) -> np.ndarray:
    """Return the largest piece, uint8 `(h, w)`, of what an opening by a disc leaves of bool `(h, w)`."""
    # What lies beyond the border counts as dark, so that thin strips along it go too.
    opened = cv2.morphologyEx(
        bright.astype(np.uint8), cv2.MORPH_OPEN, _disc(radius), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        raise MammogramError(NOTHING_THERE)
    return (pieces == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)


def _fog(levels: np.ndarray, away: np.ndarray, radius: int) -> np.ndarray:
    """Return the ground's level everywhere, float `(h, w)`, from uint8 `levels` at bool `away` `(h, w)`.

    It is the mean of those around a place, or the median of those in its column where that is more, since
    light leaks in along the chest wall. Where there are none, it is 0.
    """
    box = (6 * radius + 1, 6 * radius + 1)
    share, total = (
        cv2.blur(cv2.blur(part.astype(np.float32), box), box) for part in (away, np.where(away, levels, 0))
    )
    around = np.where(share > 0.001, total / np.maximum(share, 0.001), 0)
    return np.maximum(around, _column_medians(levels, away))


def _padding(levels: np.ndarray) -> np.ndarray:
    """Return the black frame, bool `(h, w)`: rows and columns at the border without any film in them."""
    black = levels == levels.min()
    padding = np.zeros(levels.shape, bool)
    for turns in range(4):
        rows, found = np.rot90(black, turns), np.rot90(padding, turns)  # views
        found[np.logical_and.accumulate(rows.mean(axis=1) > 0.98)] = True
    return padding


def _leak(levels: np.ndarray, ground: float) -> np.ndarray:
    """Return each column's level, float `(w,)`, where light leaks in along a whole upright side; else 0.

    A leak shows in both the picture's first rows and its last ones, and fades from the side on. Breast that
    reaches both ends keeps its level up to the skin.
    """
    top, bottom = (np.median(rows, axis=0) for rows in (levels[:3], levels[-3:]))
    shared = np.minimum(top, bottom)
    leak = np.zeros(len(shared))
    for column, found in ((shared, leak), (shared[::-1], leak[::-1])):  # views
        over = column - ground
        deep = int(np.argmin(over > FAINT))
        if 0 < deep < LEAK * len(column) and over[:deep].mean() < FADING * over[:deep].max():
            found[:deep] = column[:deep]
    return leak


def _flags(levels: np.ndarray) -> np.ndarray:
    """Return where flags with lead letters are, bool `(h, w)`: white boxes in front of something darker."""
    flags = np.zeros(levels.shape, np.uint8)
    shorter = min(levels.shape)
    white = (levels > FLAG).astype(np.uint8)
    for outline in cv2.findContours(white, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        sides = cv2.minAreaRect(outline)[1]
        small = FLAG_SIDES[0] * shorter < min(sides) and max(sides) < FLAG_SIDES[1] * shorter
        if small and cv2.contourArea(outline) > BOX * sides[0] * sides[1]:
            flag = cv2.drawContours(np.zeros_like(flags), [outline], -1, 1, cv2.FILLED)
            wider = cv2.dilate(flag, _disc(2))  # with its blurred rim
            around = cv2.dilate(wider, _disc(1)) > wider
            if np.percentile(levels[around], 90) < BESIDE:
                flags = np.maximum(flags, wider)
    return flags > 0


def _ground(levels: np.ndarray, film: np.ndarray) -> tuple[float, int, float] | None:
    """Return the ground's level, Otsu's threshold and three standard deviations of its grain, or None.

    Apart from grain the ground is flat, and fat is not. Where the darker of Otsu's two classes is not flat,
    it may hold a fogged film and its black frame, so only bool `film` `(h, w)` is split. If that is not flat
    either, Otsu may have split fat from gland in an image with little ground, so its darker class is split
    once more. None: that is not flat either, so the image has no ground.
    """
    smooth = cv2.GaussianBlur(levels.astype(np.float32), (0, 0), 3)
    dark = np.ones(levels.shape, bool)
    for attempt in range(3):
        where = film if attempt == 1 else dark
        part = levels[where]
        otsu = int(cv2.threshold(part, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0])
        tissue = part[part > otsu]
        if not 0 < tissue.size < part.size:
            raise MammogramError(NOTHING_THERE)
        dark = where & (levels <= otsu)
        ground = float(np.median(levels[dark]))
        if _deviation(smooth[dark]) < FLAT * (np.median(tissue) - ground):
            return ground, otsu, 3 * _deviation((levels - smooth)[dark])
    return None


def _deviation(values: np.ndarray) -> float:
    """Return the standard deviation of normal values from their median distance to the median."""
    values = values.astype(np.float32)
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _column_medians(levels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return each column's median of uint8 `(h, w)` over bool `where`; with under 4 of them, 0."""
    count = where.sum(axis=0)
    ordered = np.sort(np.where(where, levels, 255), axis=0)
    medians = np.take_along_axis(ordered, np.minimum(count // 2, len(levels) - 1)[np.newaxis], axis=0)[0]
    return np.where(count < 4, 0, medians)


def chest_wall(inside: np.ndarray) -> Side | None:
    """Return the side at which a mask `(h, w)` is plainly taller: a breast tapers from the chest wall."""
    box = inside[:, inside.any(axis=0)]
    edge = max(1, box.shape[1] // 10)
    left, right = int(box[:, :edge].sum()), int(box[:, -edge:].sum())
    if max(left, right) < PLAIN * min(left, right):
        return None
    return "left" if left > right else "right"


def _without_film_edges(small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `(h, w)` with white film edges painted over, and where they are, bool `(h, w)`.

    An edge is at most `FILM_EDGE` of the image deep; it stays bright up to where the image drops, within
    two pixels, by more than tissue does along a quarter of a side. Where tissue as bright as the edge hides
    the drop, or drops itself much deeper in, the neighbours say how deep the edge is. Its depth is smooth;
    that of bright strands which end near the border is not. Pixels that it covers by less than a third are
    painted over, but are not where it is: tissue shows in them.
    """
    small = small.copy()
    film = np.zeros(small.shape, bool)
    white = float(np.percentile(small, 99.9))
    for turns in (0, 2, 1, 3):  # each side in turn on top
        rows, found = np.rot90(small, turns), np.rot90(film, turns)  # views
        columns = np.arange(rows.shape[1])
        deepest = max(1, round(FILM_EDGE * len(rows)))
        drop = cv2.blur(rows[:deepest] - rows[2 : deepest + 2], (9, 1))
        bright = np.logical_and.accumulate((rows[:deepest] > 0.65 * white) | (drop > 0.3 * white))
        ends = np.where(bright & (drop > 0.06 * white), drop, 0)
        depth = np.where(ends.any(axis=0), deepest - np.argmax(ends[::-1], axis=0), 0)
        if np.mean(depth > 0) < 0.25 or _roughness(depth) > ROUGH:
            continue
        usual = np.median(depth[depth > 0])
        known = np.where(depth > 0, depth <= 1.5 * usual + 1, ~bright[0])
        depth = np.rint(np.interp(columns, columns[known], depth[known])).astype(int)
        partly = rows[depth, columns] - rows[depth + 1, columns] > 0.05 * white
        depth = _smooth(depth + ((depth > 0) & partly))
        last, beyond = rows[depth - 1, columns], rows[depth, columns]
        barely = (depth > 0) & (last - beyond < (white - beyond) / 3)
        row = np.arange(deepest + 1)[:, np.newaxis]
        found[: deepest + 1] |= row < _smooth(depth - barely)
        rows[: deepest + 1] = np.where(row < depth, beyond, rows[: deepest + 1])
    return small, film


def _roughness(depth: np.ndarray) -> float:
    """Return by how many pixels a film edge's depth, where there is one, differs from a smooth one."""
    return float(np.mean(np.abs(depth - _smooth(depth))[depth > 0]))


def _smooth(depth: np.ndarray) -> np.ndarray:
    """Return the median of the `STRETCH` around each integer of `(n,)`, none above 255."""
    return cv2.medianBlur(depth.astype(np.uint8)[np.newaxis], STRETCH)[0].astype(int)


def _disc(radius: int) -> np.ndarray:
    return (np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius).astype(np.uint8)


def _fill(binary: np.ndarray) -> np.ndarray:
    outside = np.pad(binary, 1)
    cv2.floodFill(outside, None, (0, 0), 2)
    return (outside[1:-1, 1:-1] != 2).astype(np.uint8)
