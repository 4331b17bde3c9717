import base64
import cProfile
import functools
import io
import time

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.signal import correlate2d

from course_utils import plots
from course_utils.analysis import cluster, evaluate, reduce
from course_utils.analysis.clustering import nearest_to_centre

RNG = np.random.default_rng(0)
TRUTH = np.repeat([0, 1, 2], 6)
VECTORS = np.eye(20)[TRUTH] * 8 + RNG.standard_normal((18, 20))
PICTURES = [RNG.random((1, 32, 32)).astype(np.float32) for _ in TRUTH]
MASKS = [picture[0] > 0.5 for picture in PICTURES]
TRACE = {"read": np.eye(40, 30), "crop": np.eye(30, 20), "pad": np.eye(30, 30)}
MOVED = {"far": [0.2, 0.4, 0.3], "near": [0.0, 0.1, 0.02]}
VIEWS = ["CC", "MLO", None] * 6
PROFILE = cProfile.Profile()
PROFILE.runcall(lambda: [cluster(VECTORS, k=k) for k in (2, 3)])
LAYERS = {"convolution": ([4e9, 2e9], [1e7, 4e7], [0.01, 0.02]), "ReLU": ([1e6], [8e6], [0.001])}
RUNS = {
    "alone": [plots.Span("main", "read", "0", 5.0, 6.0), plots.Span("main", "embed", "0", 6.0, 8.0)],
    "ahead": [plots.Span("reader", "read", "0", 1.0, 2.0), plots.Span("main", "embed", "0", 2.0, 3.5)],
}
RATES = {"large": {(1, 0): 4.0, (8, 2): 9.0}, "small": {(8, 0): 21.0}}


@functools.cache
def every_illustration(theme: plots.Theme = "light") -> dict[str, plots.Illustration]:
    points, found = reduce(VECTORS), cluster(VECTORS, k=3)
    return {
        "sheet": plots.contact_sheet(PICTURES, ["CC left"] * 18, theme=theme),
        "batch": plots.batch_in_order(PICTURES, VECTORS, 7, 2, theme=theme),
        "curves": plots.gray_curves(
            PICTURES[0] * 4095, {"line": lambda x: x / 4095}, picture=PICTURES[0], theme=theme
        ),
        "beside": plots.side_by_side(
            {"left": PICTURES[0], "right": PICTURES[1]},
            caption="Two sheets of noise, which nobody can tell apart.",
            alt="Two squares of gray noise of the same size, side by side.",
            theme=theme,
        ),
        "window": plots.convolution_window(PICTURES[0][0], np.eye(3), 5, 7, theme=theme),
        "fields": plots.receptive_fields(PICTURES[0], {"stem": 11, "stage 1": 35}, theme=theme),
        "map": plots.map_scatter(points, VIEWS, name="view", shares=[0.4, 0.3], theme=theme),
        "pictures": plots.map_pictures(points, PICTURES, found.labels.tolist(), theme=theme),
        "prototypes": plots.prototypes(PICTURES, nearest_to_centre(VECTORS, TRUTH, count=3), theme=theme),
        "null": plots.silhouette_against_null(evaluate(VECTORS, found, draws=3), theme=theme),
        "steps": plots.preprocessing_steps(TRACE, theme=theme),
        "step": plots.one_step(TRACE, 2, theme=theme),
        "before": plots.before_and_after(PICTURES[:3], MASKS[:3], PICTURES[:3], ["a", "b", "c"], theme=theme),
        "timeline": plots.timeline(RUNS, theme=theme),
        "rates": plots.throughput_maps(RATES, (1, 8), (0, 2), last=("large", 8, 2), theme=theme),
        "shifts": plots.shifts(MOVED, [0.1, 0.3, 0.2], theme=theme),
        "flames": plots.flame_graph(PROFILE, theme=theme),
        "roofline": plots.roofline(LAYERS, {"fp32": 4e11, "bf16": 8e11}, 4e10, theme=theme),
        "ladder": plots.ladder({"plain": 10, "fused": 24.5}, {"limit": 30}, theme=theme),
        "threads": plots.reading_threads(80, 20, cores=4, threads=2, theme=theme),
        "search": plots.silhouette_against_null(evaluate(VECTORS, cluster(VECTORS), draws=3), theme=theme),
    }


@pytest.fixture(autouse=True, scope="module")
def small_figures():
    """Draw at a fraction of the resolution, since drawing is what takes the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("course_utils.plots._DPI", 40)
        yield


@pytest.mark.parametrize(
    "name",
    [
        "sheet",
        "beside",
        "curves",
        "map",
        "pictures",
        "prototypes",
        "null",
        "search",
        "flames",
        "roofline",
        "ladder",
        "threads",
    ],
)
def test_every_figure_has_caption_and_alternative_text_and_a_picture(name):
    shown = every_illustration()[name]
    assert len(shown.caption) > 40
    assert len(shown.alt) > 40
    assert imread(io.BytesIO(shown.png())).shape[2] == 4


@pytest.mark.parametrize(
    "name", ["map", "pictures", "null", "search", "flames", "roofline", "ladder", "threads"]
)
def test_every_axis_has_a_label(name):
    for axes in every_illustration()[name].figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel() or axes.get_yticklabels()[0].get_text()


def test_the_same_input_gives_the_same_bytes():
    again = every_illustration.__wrapped__()
    for name, shown in every_illustration().items():
        assert shown.png() == shown.png() == again[name].png()
        assert b"Software" not in shown.png()


def test_the_dark_theme_has_a_dark_ground_and_light_ink():
    for name, shown in every_illustration("dark").items():
        pixels = imread(io.BytesIO(shown.png()))[..., :3]
        assert pixels[0, 0].max() < 0.2, name
        assert pixels.max() > 0.8, name


def test_a_category_has_a_colour_and_a_marker_of_its_own_and_missing_ones_are_named():
    axes = every_illustration()["map"].figure.axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["CC (6)", "MLO (6)", "not stated (6)"]
    colours = {tuple(each.get_facecolor()[0]) for each in axes.collections}
    shapes = {each.get_paths()[0].vertices.tobytes() for each in axes.collections}
    assert len(colours) == len(shapes) == 3


def test_points_stand_where_the_coordinates_say():
    points = reduce(VECTORS)
    axes = plots.map_scatter(points, TRUTH.tolist()).figure.axes[0]
    drawn = np.vstack([each.get_offsets() for each in axes.collections])
    np.testing.assert_allclose(drawn, points, atol=1e-6)
    assert axes.get_xlabel() == "principal component 1"
    assert (
        every_illustration()["map"].figure.axes[0].get_xlabel() == "principal component 1 (40% of variance)"
    )


def test_more_than_eight_categories_become_seven_and_others():
    labels = plots.tidy_categories([*"aaabbbcccdddeeefffggg", "h", "i"])
    assert set(labels) == {*"abcdefg", "others"}


@pytest.mark.parametrize(("n", "limit"), [(0, 5), (1, 5), (5, 5), (100, 7), (7, 3)])
def test_a_selection_is_spread_evenly_with_both_ends(n, limit):
    chosen = plots.spread(n, limit).tolist()
    assert len(chosen) == min(n, limit)
    if n:
        assert chosen[0] == 0
        assert chosen[-1] == (n - 1 if limit > 1 else 0)
        gaps = np.diff(chosen)
        assert len(chosen) < 2 or gaps.max() - gaps.min() <= 1


def test_a_contact_sheet_of_many_says_that_it_is_a_selection():
    shown = plots.contact_sheet(PICTURES, limit=4)
    assert "4 of 18 pictures" in shown.caption
    assert sum(bool(axes.images) for axes in shown.figure.axes) == 4


def test_pictures_on_a_map_never_hide_one_another():
    close = np.concatenate([np.zeros((10, 2)), np.ones((8, 2))])
    shown = plots.map_pictures(close, PICTURES)
    assert len(shown.figure.axes[0].artists) == 2
    assert "16 that would hide others are dots" in shown.caption


def test_pictures_may_be_png_bytes_or_arrays():
    data = io.BytesIO()
    from PIL import Image

    Image.fromarray((PICTURES[0][0] * 255).round().astype(np.uint8)).save(data, "PNG")
    from_png = plots.contact_sheet([data.getvalue()]).figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(from_png, PICTURES[0][0], atol=0.003)


def test_a_notebook_gets_picture_alt_text_and_caption_as_text_that_never_varies(monkeypatch):
    shown, outputs = every_illustration()["map"], []
    monkeypatch.setattr(
        "IPython.display.display", lambda bundle, **options: outputs.append((bundle, options))
    )
    shown._ipython_display_()
    (picture, options), (caption, _) = outputs
    assert base64.b64decode(picture["image/png"]) == shown.png()
    assert picture["text/plain"] == shown.alt
    assert options["metadata"] == {"image/png": {"alt": shown.alt}}
    assert caption == {"text/markdown": f"*{shown.caption}*", "text/plain": shown.caption}
    assert "0x" not in repr(shown)


def test_html_is_self_contained_and_escaped():
    hostile = plots.Illustration(every_illustration()["map"].figure, "<script>", '"><script>')
    assert "<script>" not in hostile.html()
    assert 'src="data:image/png;base64,' in hostile.html()


def test_an_evaluation_without_silhouette_cannot_be_drawn():
    with pytest.raises(ValueError, match="no silhouette"):
        plots.silhouette_against_null(evaluate(VECTORS[:2], [0, 0]))


@pytest.mark.parametrize(
    ("batch_size", "batch", "title"),
    [
        (7, 1, "batch 1 of 3: 7 pictures, rows 0 to 6"),
        (7, 3, "batch 3 of 3: 4 pictures, rows 14 to 17"),
        (7, 99, "batch 3 of 3: 4 pictures, rows 14 to 17"),
        (18, 1, "batch 1 of 1: 18 pictures, rows 0 to 17"),
        (17, 2, "batch 2 of 2: 1 picture, rows 17 to 17"),
    ],
)
def test_the_last_batch_holds_what_is_left(batch_size, batch, title):
    drawn = plots.batch_in_order(PICTURES, VECTORS, batch_size, batch)
    assert drawn.figure.get_suptitle() == title


def test_a_bar_of_the_timeline_lies_where_its_work_was_done_and_the_clock_starts_with_each_run():
    alone, ahead = plots.timeline(RUNS).figure.axes[:2]
    bars = {
        axes.get_title(loc="left"): [(b.get_x(), b.get_width(), b.get_y() > 0) for b in axes.patches]
        for axes in (alone, ahead)
    }
    assert bars == {
        "alone: 3.00 s": [(0, 1, False), (1, 2, False)],
        "ahead: 2.50 s": [(0, 1, False), (1, 1.5, True)],  # in another thread, so on another line
    }
    assert [label.get_text() for label in ahead.get_yticklabels()] == ["reader", "main"]
    assert alone.get_xlim() == ahead.get_xlim()


def test_a_square_of_the_throughput_map_holds_its_rate_and_an_untried_one_a_question_mark():
    large, small = plots.throughput_maps(RATES, (1, 8), (0, 2), last=("large", 8, 2)).figure.axes
    assert [text.get_text() for text in large.texts] == ["4.0", "?", "?", "9.0"]  # workers down, sizes across
    assert [text.get_text() for text in small.texts] == ["?", "21.0", "?", "?"]
    assert [outline.get_xy() for outline in large.patches] == [(0.5, 0.5)]
    assert not small.patches


def test_the_curve_over_the_histogram_is_the_function_that_was_given():
    values = np.repeat([100.0, 900.0, 3000.0], [50, 5, 5])
    shown = plots.gray_curves(values, {"window": lambda x: np.clip((x - 500) / 2000, 0, 1)}, span=(0, 4000))
    (axes,) = shown.figure.axes
    x, y = axes.lines[0].get_data()
    assert (x[0], x[-1]) == (0, 4000)
    assert np.allclose(y, np.interp(x, [0, 500, 2500, 4000], [0, 0, 1, 1]), atol=1e-6)
    assert "window" in shown.alt


def test_a_curve_that_works_in_place_changes_neither_values_nor_the_next_curve():
    def spoils(x):
        x -= 1000
        return x

    values = np.linspace(0, 4000, 50, dtype=np.float32)
    shown = plots.gray_curves(values, {"first": spoils, "second": lambda x: x})
    assert values[0] == 0
    assert shown.figure.axes[0].lines[1].get_data()[1][0] == 0


def test_each_step_of_preprocessing_is_shown_with_its_name_and_size():
    shown = plots.preprocessing_steps(TRACE)
    axes = shown.figure.axes
    assert [each.get_title() for each in axes] == ["1 read", "2 crop", "3 pad"]
    assert [each.get_xlabel() for each in axes] == ["40 × 30", "30 × 20", "30 × 30"]
    assert "read, crop, pad" in shown.alt


@pytest.mark.parametrize(
    ("step", "titles"),
    [(1, ["1 read"]), (2, ["1 read", "2 crop"]), (3, ["2 crop", "3 pad"]), (9, ["2 crop", "3 pad"])],
)
def test_one_step_is_shown_after_the_one_before_it_and_beyond_the_last_is_the_last(step, titles):
    shown = plots.one_step(TRACE, step)
    assert [axes.get_title() for axes in shown.figure.axes if axes.get_title()] == titles
    assert titles[-1].split()[1] in shown.alt


def test_before_and_after_outlines_the_mask_to_the_border_of_the_picture():
    mask = np.zeros((32, 32), bool)
    mask[8:20, :10] = True
    axes = plots.before_and_after([PICTURES[0]], [mask], [PICTURES[0]], ["a"]).figure.axes[0]
    x, y = axes.collections[0].get_paths()[0].vertices.T
    assert (x.min(), x.max(), y.min(), y.max()) == (-0.5, 9.5, 7.5, 19.5)


def test_shifts_are_sorted_by_their_median_under_the_distance_between_women():
    axes = plots.shifts(MOVED, [0.1, 0.3, 0.2]).figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["near", "far", "two women"]
    diamonds = [float(each.get_offsets()[0, 0]) for each in axes.collections if len(each.get_offsets()) == 1]
    assert diamonds == [0.02, 0.3, 0.2]
    assert axes.lines[0].get_xdata()[0] == 0.2


def test_the_window_s_sum_is_what_scipy_correlates_at_that_place():
    picture, kernel = RNG.random((9, 11)), RNG.standard_normal((3, 3))
    expected = correlate2d(picture, kernel, mode="valid")
    shown = plots.convolution_window(picture, kernel, 4, 6)
    _, sums, window, _, products = shown.figure.axes
    assert np.allclose(sums.images[0].get_array(), expected)
    assert np.allclose(window.images[0].get_array(), picture[4:7, 6:9])
    assert np.isclose(products.images[0].get_array().sum(), expected[4, 6])
    assert f"{expected[4, 6]:+.2f}" in products.get_title()
    assert f"{expected[4, 6]:+.2f}" in shown.alt


def test_a_window_beyond_the_last_place_is_the_last():
    shown = plots.convolution_window(np.eye(8), np.ones((3, 3)), 40, 40)
    assert "row 5, column 5" in shown.alt


@pytest.mark.parametrize("centre", [None, (20.0, 4.0)])
def test_receptive_fields_are_squares_about_one_place(centre):
    axes = plots.receptive_fields(PICTURES[0], {"stem": 10, "stage 1": 60}, centre=centre).figure.axes[0]
    row, column = centre or (16, 16)
    squares = [patch.get_bbox() for patch in axes.patches if patch.get_label() in ("stem: 10", "stage 1: 60")]
    assert [box.width for box in squares] == [box.height for box in squares] == [10, 60]
    assert all((box.x0 + box.x1) / 2 == column and (box.y0 + box.y1) / 2 == row for box in squares)
    assert axes.get_xlim()[0] < column - 30 < column + 30 < axes.get_xlim()[1]
    assert axes.get_ylim()[1] < row - 30 < row + 30 < axes.get_ylim()[0]


def middle():
    time.sleep(0.02)


def outer():
    middle()
    time.sleep(0.03)


def test_a_flame_graph_puts_each_function_below_its_caller_and_as_wide_as_its_time():
    profile = cProfile.Profile()
    profile.runcall(outer)
    bars = [each for each in plots._flames(profile, (), 0.01) if each.depth < 3]
    assert (bars[0].name, bars[0].depth) == ("outer", 0)
    (inner,) = [bar for bar in bars if bar.name == "middle"]
    whole = bars[0].milliseconds
    assert inner.depth == 1
    assert 20 <= inner.milliseconds < whole - 29
    assert {bar.name for bar in bars} == {"outer", "middle", "sleep"}  # no path of any file
    assert [bar.stage for bar in bars if bar.depth == 2] == ["middle"]
    beside = sorted((bar.start, bar.milliseconds) for bar in bars if bar.depth == 1)
    assert beside[1][0] == pytest.approx(sum(beside[0]))


def test_a_flame_graph_hides_what_is_in_a_leaf_and_what_is_too_deep():
    profile = cProfile.Profile()
    profile.runcall(outer)
    assert "middle" in {bar.name for bar in plots._flames(profile, (), 0.01)}
    assert {bar.depth for bar in plots._flames(profile, ["middle"], 0.01)} == {0, 1}
    assert "one call, 1 level deep" in plots.flame_graph(profile, levels=1).alt


def recursive(depth):
    time.sleep(0.002)
    return recursive(depth - 1) if depth else None


def test_a_flame_graph_of_a_function_that_calls_itself_ends():
    profile = cProfile.Profile()
    profile.runcall(lambda: recursive(20))
    bars = list(plots._flames(profile, (), 0.01))
    assert [bar.name for bar in bars].count("recursive") == 1


def test_the_roof_is_the_smaller_of_what_memory_and_arithmetic_allow():
    axes = plots.roofline(LAYERS, {"fp32": 4e11}, 4e10).figure.axes[0]
    roof = axes.lines[0].get_xydata()
    left, right = roof[roof[:, 0] < 10], roof[roof[:, 0] > 10]  # the ridge: 4e11 / 4e10 FLOP a byte
    np.testing.assert_allclose(left[:, 1], 40 * left[:, 0])
    np.testing.assert_allclose(right[:, 1], 400)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), [[400, 400], [50, 100]])


@pytest.mark.parametrize(
    ("cores", "threads", "card", "in_turn", "together"),
    [
        (4, 1, True, 1000 / (80 + 20), 1000 / 80),  # one reader cannot keep up
        (4, 2, True, 1000 / (40 + 20), 1000 / 40),
        (4, 8, True, 1000 / (20 + 20), 1000 / 20),  # more threads than cores read no faster
        (8, 8, True, 1000 / (10 + 20), 1000 / 20),  # the network decides
        (4, 4, False, 1000 / (20 + 20), 1000 / (20 + 20)),  # the same cores cannot do both
        (4, 1, False, 1000 / (80 + 20), 1000 / 80),
    ],
)
def test_reading_threads_bring_what_amdahl_and_the_cores_allow(cores, threads, card, in_turn, together):
    shown = plots.reading_threads(80, 20, cores=cores, threads=threads, card=card)
    lines = {line.get_label(): line.get_ydata() for line in shown.figure.axes[0].lines}
    assert lines["in turn"][threads - 1] == pytest.approx(in_turn)
    assert lines["at the same time"][threads - 1] == pytest.approx(together)
    assert f"{in_turn:.3g} in turn" in shown.alt


def test_a_ladder_names_every_step_and_limit_with_its_rate():
    shown = plots.ladder({"plain": 10, "fused": 24.5}, {"limit": 30})
    axes = shown.figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [10, 24.5]
    assert axes.get_legend().get_texts()[0].get_text() == "limit: 30"
    assert "fused 24.5" in shown.alt
