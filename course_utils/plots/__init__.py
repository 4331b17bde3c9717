"""Figures: numbers and pictures go in; out comes an Illustration that a notebook or a web page can show.

An Illustration carries its picture, a caption that says what to look for and a text for those who cannot see
it. End a cell with one and the notebook shows all three. The same input gives the same bytes.
"""

from course_utils.plots.associations import associations_beside_chance
from course_utils.plots.belief import p_value_histograms, steps_repeated
from course_utils.plots.beside_noise import choice_of_k, faithfulness_of_maps
from course_utils.plots.clusters import prototypes, silhouette_against_null
from course_utils.plots.convolution import convolution_window, receptive_fields
from course_utils.plots.extraction import Span, batch_in_order, throughput_maps, timeline
from course_utils.plots.few_labels import label_curves, shortcut_doses, two_splits
from course_utils.plots.grouping import cumulative_dips, histograms, kmeans_rounds, map_and_silhouettes
from course_utils.plots.illustration import (
    GRAY,
    MARKERS,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    data_uri,
    figure_html,
)
from course_utils.plots.maps import (
    MISSING,
    NOISE,
    category_styles,
    in_order,
    is_missing,
    map_pictures,
    map_scatter,
    tidy_categories,
)
from course_utils.plots.panels import several_maps
from course_utils.plots.pictures import contact_sheet, side_by_side, spread
from course_utils.plots.preprocessing import (
    gray_curves,
    one_step,
    preprocessing_steps,
    shifts,
)
from course_utils.plots.probes import confusion, reliability, scores_beside
from course_utils.plots.speed import flame_graph, ladder, reading_threads, roofline
from course_utils.plots.validity import held_out_valley, stability_beside_null

__all__ = [
    "GRAY",
    "MARKERS",
    "MISSING",
    "NOISE",
    "PALETTE",
    "Illustration",
    "Picture",
    "Span",
    "Theme",
    "associations_beside_chance",
    "batch_in_order",
    "category_styles",
    "choice_of_k",
    "confusion",
    "contact_sheet",
    "convolution_window",
    "cumulative_dips",
    "data_uri",
    "faithfulness_of_maps",
    "figure_html",
    "flame_graph",
    "gray_curves",
    "held_out_valley",
    "histograms",
    "in_order",
    "is_missing",
    "kmeans_rounds",
    "label_curves",
    "ladder",
    "map_and_silhouettes",
    "map_pictures",
    "map_scatter",
    "one_step",
    "p_value_histograms",
    "preprocessing_steps",
    "prototypes",
    "reading_threads",
    "receptive_fields",
    "reliability",
    "roofline",
    "scores_beside",
    "several_maps",
    "shifts",
    "shortcut_doses",
    "side_by_side",
    "silhouette_against_null",
    "spread",
    "stability_beside_null",
    "steps_repeated",
    "throughput_maps",
    "tidy_categories",
    "timeline",
    "two_splits",
]
