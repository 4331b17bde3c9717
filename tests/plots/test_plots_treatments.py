import numpy as np
import pytest

from course_utils.plots import shifts
from course_utils.plots import treatments as plots

RNG = np.random.default_rng(0)
TALL = RNG.random((60, 40)).astype(np.float32)
BREAST = np.zeros((60, 40), bool)
BREAST[10:50, :25] = True


def every_illustration():
    return {
        "crops": plots.crops_outlined({"one": TALL, "two": TALL}, [(5, 40, 2, 37)] * 2),
        "masks": plots.masks_beside(TALL, BREAST, {"mine": BREAST, "theirs": ~BREAST}),
        "readings": plots.readings({"as it is": ([-1, -2, 1], [1, 2, 3])}, ("without", "with")),
        "lost": plots.lost_tissue(TALL, BREAST, {"cut": [0.1, 0.3], "course": [0.0]}),
        "enlarged": plots.enlarged({"a": TALL, "b": TALL}, slice(5, 15), slice(3), caption="Two patches."),
        "squares": plots.squares_beside({"black": TALL[:40], "gray": TALL[:40]}, caption="Two squares."),
        "ground": plots.ground_by_share({"woman 1": [0.1, 0.2]}, {"woman 1": [-0.3, -0.5]}),
        "classes": plots.by_class(
            {"as it is": [0.1, 0.2, 0.3]}, "aba", xlabel="spread", caption="Dots.", alt="Dots in two rows."
        ),
        "films": plots.films_and_squares(
            {"W01 LCC": TALL, "W02 RCC": TALL}, [BREAST] * 2, [TALL[:40]] * 2, columns=2, height=50
        ),
    }


@pytest.mark.parametrize("name", every_illustration())
def test_each_figure_says_what_it_shows_and_is_drawn(name):
    shown = every_illustration()[name]
    assert len(shown.alt) >= 15
    assert shown.caption
    assert len(shown.png()) > 1000


def test_a_box_is_outlined_where_the_crop_is():
    (axes, _) = plots.crops_outlined({"one": TALL, "two": TALL}, [(5, 40, 2, 37)] * 2).figure.axes
    assert axes.patches[0].get_bbox().extents.tolist() == [1.5, 4.5, 36.5, 39.5]


def test_a_woman_is_one_row_with_both_her_readings():
    shown = plots.readings({"as it is": ([-1, 2], [1, 2])}, ("without", "with"))
    (axes,) = shown.figure.axes
    assert "as it is, 3 of 4." in shown.alt
    without, with_it = (each.get_offsets().tolist() for each in axes.collections)
    assert without == [[-1, 1], [2, 2]]
    assert with_it == [[1, 1], [2, 2]]


def test_classes_are_rows_in_their_order():
    shown = plots.by_class(
        {"x": [0.3, 0.1]}, "ba", xlabel="spread", caption="Dots.", alt="Two dots, a and b."
    )
    (axes,) = shown.figure.axes
    assert axes.collections[0].get_offsets().tolist() == [[0.3, 1], [0.1, 0]]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["a", "b"]


def test_films_keep_their_proportions_and_stand_beside_their_squares():
    shown = plots.films_and_squares({"a": TALL}, [BREAST], [np.zeros((8, 8))], columns=1, height=50)
    (axes,) = shown.figure.axes
    sheet = axes.images[0].get_array()
    film = np.flatnonzero((sheet[-1] < 1).any(axis=0)) if sheet.ndim == 3 else np.flatnonzero(sheet[-1] < 1)
    assert len(film) >= 30  # 40 × 50 / 60 columns, of which a few may be white
    assert film.max() <= 33


def test_the_outline_closes_at_the_border_of_the_picture():
    mask = np.zeros((50, 32), bool)
    mask[8:20, :10] = True
    film = np.zeros(mask.shape, np.float32)
    shown = plots.films_and_squares({"a": film}, [mask], [film[:32]], columns=1, height=50)
    x, y = shown.figure.axes[0].collections[0].get_paths()[0].vertices.T
    assert (x.min(), x.max()) == (-0.5, 9.5)
    assert np.ptp(y) == 12


def test_columns_beside_shifts_stand_in_the_rows_of_their_treatments():
    moved = {"far": [0.2, 0.4], "near": [0.0, 0.1]}
    kept = {"same view": {"near": 1.0, "far": 0.25}}
    axes, beside = shifts(moved, [0.1, 0.3], kept=kept, chance={"same view": 0.5}).figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["near", "far", "two women"]
    assert beside.collections[0].get_offsets().tolist() == [[1.0, 0], [0.25, 1]]
    assert beside.lines[0].get_xdata()[0] == 0.5
