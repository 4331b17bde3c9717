"""The figures show the very numbers that were measured, with words for who cannot see them."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from course_utils.analysis import Faithfulness
from course_utils.analysis.choice import Choice, Criterion
from course_utils.analysis.map_quality import Kept
from course_utils.plots.beside_noise import choice_of_k, faithfulness_of_maps

MAPS = {
    "PCA": Faithfulness(Kept(0.36, 0.94, 0.95), Kept(0.39, 0.93, 0.94), 10, 201, 201),
    "a $ring$": Faithfulness(Kept(0.05, 0.51, 0.0), None, 10, 201, 201),
}


def criterion(name: str) -> Criterion:
    """The data are best at k = 2, and stand out most at k = 3."""
    sign = 1 if name == "silhouette" else -1
    curve = {2: sign * 0.5, 3: sign * 0.45, 4: sign * 0.2}
    null = {2: (sign * 0.4, sign * 0.42), 3: (sign * 0.1, sign * 0.12), 4: (sign * 0.1, sign * 0.12)}
    return Criterion(name, curve, null)


CHOICE = Choice((2, 3, 4), (criterion("silhouette"), criterion("davies_bouldin")), "silhouette", 60)
FIVE = Choice(
    (2, 3, 4), tuple(map(criterion, ("silhouette", "davies_bouldin", "aic", "bic"))), "silhouette", 60
)


@pytest.mark.parametrize(
    "draw",
    [lambda theme: faithfulness_of_maps(MAPS, theme=theme), lambda theme: choice_of_k(FIVE, theme=theme)],
)
def test_both_themes_have_picture_caption_alt_text_and_labels(draw):
    for theme, dark in (("light", False), ("dark", True)):
        shown = draw(theme)
        pixels = imread(io.BytesIO(shown.png()))[..., :3]
        assert (pixels[0, 0].max() < 0.2) == dark
        assert len(shown.caption) > 40
        assert shown.png() == draw(theme).png()
        for axes in shown.figure.axes:
            assert not axes.axison or axes.get_xlabel()


def points(axes) -> list[tuple[str, float, float]]:
    """Return marker, x and y of each line of one point."""
    return [
        (line.get_marker(), *map(float, (line.get_xdata()[0], line.get_ydata()[0])))
        for line in axes.lines
        if len(line.get_xdata()) == 1
    ]


def test_a_map_is_a_diamond_noise_a_dot_and_chance_a_line():
    kept, trust, far = faithfulness_of_maps(MAPS).figure.axes
    assert points(kept) == [("|", 0.05, 0), ("o", 0.39, 0), ("D", 0.36, 0), ("|", 0.05, 1), ("D", 0.05, 1)]
    assert points(trust) == [("o", 0.93, 0), ("D", 0.94, 0), ("D", 0.51, 1)]
    assert points(far) == [("o", 0.94, 0), ("D", 0.95, 0), ("D", 0.0, 1)]
    assert [label.get_text() for label in kept.get_yticklabels()] == ["PCA", "a $ring$"]
    assert not kept.get_yticklabels()[1].get_parse_math()


def test_the_words_for_maps_name_every_figure():
    assert faithfulness_of_maps(MAPS).alt == (
        "What maps keep. PCA: neighbours kept 0.36 (noise 0.39), trustworthiness 0.94 (noise 0.93), rank "
        "correlation of distances 0.95 (noise 0.94); a $ring$: neighbours kept 0.05, trustworthiness 0.51, "
        "rank correlation of distances 0.00."
    )


def test_a_diamond_stands_where_the_data_stand_out_and_a_ring_at_the_best_value():
    panels = choice_of_k(CHOICE).figure.axes
    for axes, sign in zip(panels, (1, -1), strict=True):
        assert points(axes) == [("D", 3, sign * 0.45), ("o", 2, sign * 0.5)]
        assert any(
            np.array_equal(line.get_ydata(), [sign * 0.5, sign * 0.45, sign * 0.2]) for line in axes.lines
        )
        low, high = axes.collections[0].get_datalim(axes.transData).intervaly
        assert sorted((abs(low), abs(high))) == pytest.approx([0.1, 0.42])
    assert panels[0].get_xlabel() == "number of clusters k (decides)"
    assert panels[1].get_xlabel() == "number of clusters k"
    assert "larger is better" in panels[0].get_ylabel()
    assert "smaller is better" in panels[1].get_ylabel()


def test_the_words_for_a_choice_name_every_criterion():
    assert choice_of_k(CHOICE).alt == (
        "2 criteria for k = 2 to 4: silhouette chooses 3, its best value is at 2; Davies–Bouldin chooses 3, "
        "its best value is at 2."
    )


def test_an_unused_panel_is_empty():
    assert [axes.axison for axes in choice_of_k(FIVE).figure.axes] == [True] * 4 + [False] * 2


def test_no_map_is_no_figure():
    with pytest.raises(ValueError, match="no map to show"):
        faithfulness_of_maps({})
