import re

import numpy as np
import pytest
from sample_figures import every_illustration
from sklearn.cluster import KMeans

from course_utils import plots
from course_utils.analysis.dip import dip
from course_utils.plots.grouping import one_hill

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(60, 2)) + np.repeat([[0, 0], [6, 0], [0, 9]], [30, 20, 10], axis=0)


@pytest.mark.parametrize("name", ["rounds", "by k", "rain", "dips"])
def test_every_figure_has_words_and_labelled_axes(name):
    shown = every_illustration()[name]
    assert min(len(shown.caption), len(shown.alt)) > 40
    assert all(axes.get_xlabel() for axes in shown.figure.axes)
    assert shown.figure.axes[0].get_ylabel()


def test_rounds_of_kmeans_end_where_scikit_learn_ends_and_say_so():
    start = POINTS[:3]
    shown = plots.kmeans_rounds(POINTS, start, 30)
    ends = KMeans(3, init=start, n_init=1).fit(POINTS)
    assert f"images nearest to each: {', '.join(map(str, np.bincount(ends.labels_)))}." in shown.alt
    assert "k-means has ended" in shown.caption
    assert "has ended" not in plots.kmeans_rounds(POINTS, start, 0).caption
    assert "has ended" not in plots.kmeans_rounds(POINTS, start, 1).caption


def test_in_one_round_each_centre_moves_to_the_mean_of_what_was_nearest_to_it():
    start = POINTS[[0, 1, 40]]
    nearest = np.linalg.norm(POINTS[:, None] - start, axis=2).argmin(axis=1)
    axes = plots.kmeans_rounds(POINTS, start, 1).figure.axes[0]
    for j, line in enumerate(axes.lines):
        assert line.get_xydata() == pytest.approx(np.array([start[j], POINTS[nearest == j].mean(axis=0)]))


def test_the_rain_stays_between_two_walls_and_its_depth_is_told():
    values = np.repeat(np.arange(7) + 0.5, [1, 5, 2, 7, 3, 4, 2])
    rain = plots.histograms({"one": values}, 7, rain=True)
    assert rain.alt.endswith("one: 3.")
    dry = plots.histograms({"one": values}, 7)
    assert dry.alt.endswith("one: 1, 5, 2, 7, 3, 4, 2.")
    assert len(rain.figure.axes[0].patches) == 2 * len(dry.figure.axes[0].patches)


def test_stacked_bars_are_as_high_as_plain_ones_and_named():
    values, kinds = RNG.normal(size=40), ["a", "b"] * 20
    axes = plots.histograms({"one": values}, 6, kinds=kinds).figure.axes[0]
    heights = np.reshape([bar.get_height() for bar in axes.patches], (2, 6)).sum(axis=0)
    assert heights.tolist() == np.histogram(values, 6)[0].tolist()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


@pytest.mark.parametrize("gap", [0, 2, 4, 8])
def test_the_nearest_curve_of_one_hill_is_as_far_away_as_the_dip(gap):
    x = np.sort(np.r_[RNG.normal(size=11), RNG.normal(gap, 1, size=9)])
    curve, distance = one_hill(x)
    assert distance == pytest.approx(dip(x), abs=1e-6)
    bends = np.sign(np.round(np.diff(np.diff(curve) / np.diff(x)), 6))
    assert re.fullmatch(r"1*-*", "".join({1: "1", -1: "-", 0: ""}[int(bend)] for bend in bends))
    assert (np.diff(curve) > -1e-9).all()
    steps = np.arange(21) / 20
    assert max((steps[1:] - curve).max(), (curve - steps[:-1]).max()) == pytest.approx(distance, abs=1e-6)
    assert f"{distance:.2f}" in plots.cumulative_dips({"one": x}).alt


def test_the_map_marks_the_number_of_clusters_and_tells_every_silhouette():
    found, null = {2: 0.3, 3: 0.25}, {2: [0.1, 0.2], 3: [0.1, 0.15]}
    shown = plots.map_and_silhouettes(POINTS, np.repeat([0, 1, 2], 20), found, null)
    assert "3 clusters on a map of 60 images" in shown.alt
    assert "2: 0.30, 3: 0.25" in shown.alt
    curve = shown.figure.axes[1]
    assert [line.get_xydata().tolist() for line in curve.lines][-1] == [[3, 0.25]]
    band = curve.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.1, 0.2)
    assert not plots.map_and_silhouettes(POINTS, np.repeat([0, 1], 30), found).figure.axes[1].collections
