"""One figure of every kind, from small inputs."""

import cProfile
import functools

import numpy as np

from course_utils import plots
from course_utils.analysis import cluster, evaluate, reduce
from course_utils.analysis.clustering import nearest_to_centre
from course_utils.analysis.resampling import Stability
from course_utils.analysis.validity import Join, Valley
from course_utils.plots import resnet, scaling, stems

RNG = np.random.default_rng(0)
TRUTH = np.repeat([0, 1, 2], 6)
VECTORS = np.eye(20)[TRUTH] * 8 + RNG.standard_normal((18, 20))
PICTURES = [RNG.random((1, 32, 32)).astype(np.float32) for _ in TRUTH]
TRACE = {"read": np.eye(40, 30), "crop": np.eye(30, 20), "pad": np.eye(30, 30)}
KERNELS = np.random.default_rng(1).standard_normal((32, 3, 3, 3))
MOVED = {"far": [0.2, 0.4, 0.3], "near": [0.0, 0.1, 0.02]}
VIEWS = ["CC", "MLO", None] * 6
JOINS = (
    Join((0, 2), (1,), 0.0004, 0.21, (-0.6, -0.5, -0.45, -0.4, 0.4, 0.5, 0.52, 0.7)),
    Join((0,), (2,), 0.8, 0.09, (-0.5, -0.2, 0.0, 0.1, 0.4)),
)
VALLEY = Valley(3, 18, 18, "images", 10, JOINS)
STABILITY = Stability("kmeans", 3, 0.8, 3, 18, "images", (0.8, 0.9, 1.0), (0.5, 0.7, 0.95), 0)
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
        "maps": plots.several_maps(
            {"one": points, "other": 3 * points}, VIEWS, name="view", caption="Two maps.", theme=theme
        ),
        "pictures": plots.map_pictures(points, PICTURES, found.labels.tolist(), theme=theme),
        "prototypes": plots.prototypes(PICTURES, nearest_to_centre(VECTORS, TRUTH, count=3), theme=theme),
        "null": plots.silhouette_against_null(evaluate(VECTORS, found, draws=3), theme=theme),
        "valley": plots.held_out_valley(VALLEY, theme=theme),
        "stability": plots.stability_beside_null(STABILITY, theme=theme),
        "steps": plots.preprocessing_steps(TRACE, theme=theme),
        "step": plots.one_step(TRACE, 2, theme=theme),
        "timeline": plots.timeline(RUNS, theme=theme),
        "rates": plots.throughput_maps(RATES, (1, 8), (0, 2), last=("large", 8, 2), theme=theme),
        "shifts": plots.shifts(MOVED, [0.1, 0.3, 0.2], theme=theme),
        "rounds": plots.kmeans_rounds(points, points[:3], 2, theme=theme),
        "by k": plots.map_and_silhouettes(
            points, found.labels, {2: 0.2, 3: 0.3}, {2: [0.1, 0.2], 3: [0.1]}, theme=theme
        ),
        "rain": plots.histograms({"first": points[:, 0], "second": points[:, 1]}, 5, rain=True, theme=theme),
        "p values": plots.p_value_histograms(
            {"one": np.arange(1, 41) / 40, "other": [0.05] * 40}, theme=theme
        ),
        "repeated": plots.steps_repeated(
            ["raw", "clean"],
            {"first": ([0.2, 0.5], [0.1, 0.4], [0.3, 0.6]), "second": ([0.3, 0.4], [0.2, 0.3], [0.4, 0.5])},
            measure="agreement",
            theme=theme,
        ),
        "dips": plots.cumulative_dips({"first": points[:, 0]}, theme=theme),
        "flames": plots.flame_graph(PROFILE, theme=theme),
        "roofline": plots.roofline(LAYERS, {"fp32": 4e11, "bf16": 8e11}, 4e10, theme=theme),
        "ladder": plots.ladder({"plain": 10, "fused": 24.5}, {"limit": 30}, theme=theme),
        "threads": plots.reading_threads(80, 20, cores=4, threads=2, theme=theme),
        "splits": plots.two_splits({"side": ([0.5, 0.52], [0.4, 0.45])}, {"side": 0.5}, theme=theme),
        "doses": plots.shortcut_doses((0.5, 1.0), {"vendor": ([0.7, 0.9], [0.7, 0.1])}, theme=theme),
        "label curves": plots.label_curves({"plain": ((5, 9), [[0.5, 0.6], [0.6, 0.8]])}, 0.25, theme=theme),
        "run times": scaling.run_times({"a": (2, 0.5)}, {"a": [(4, 4)]}, 99, caption="A run.", theme=theme),
        "stages": scaling.slowest_stages({"plain": {"link": 70.0, "cores": 240.0}}, theme=theme),
        "bill": scaling.bill(
            {"plain": 19}, {"plain": 17}, core_hour=0.05, TB_moved=20, TB_month=10, months=12, theme=theme
        ),
        "overheads": scaling.shard_overheads({"daily": (lambda n: 1 / n, 50)}, 999, theme=theme),
        "bottleneck": resnet.bottleneck_drawing(theme=theme),
        "gradients": resnet.gradients_by_layer({(kind, 4): [1, 2, 3, 4] for kind in "abcd"}, theme=theme),
        "losses": resnet.learning_curves({("plain", "20 layers"): [0.7, 0.5, 0.1]}, theme=theme),
        "first kernels": resnet.first_kernels(KERNELS, "Kernels of a first layer, on noise.", theme=theme),
        "maps by part": resnet.maps_by_part(dict.fromkeys("ab", KERNELS[0]), "Maps of noise.", theme=theme),
        "shuffled": resnet.shuffled_places(KERNELS[0], KERNELS[0, :, ::-1], theme=theme),
        "on gray": stems.kernels_on_gray(KERNELS, np.arange(32), theme=theme),
        "colours": stems.channels_as_colours(dict.fromkeys("abc", KERNELS[0] % 1), theme=theme),
        "corners": stems.corners({"net": PICTURES[0][0]}, theme=theme),
        "padded": stems.padded_with(PICTURES[0], PICTURES[0][0], [0, 1], [1, 2], 0.25, "net", theme=theme),
        "ones": stems.ones_convolved(np.eye(3), 3 - np.eye(8), 1, (1, 1), theme=theme),
        "shares": stems.shifts_as_shares(MOVED, [0.1, 0.3, 0.2], theme=theme),
        "intervals": stems.shares_with_intervals({"view": {"a": (0.5, 0.2, 0.8)}}, theme=theme),
        "search": plots.silhouette_against_null(evaluate(VECTORS, cluster(VECTORS), draws=3), theme=theme),
    }
