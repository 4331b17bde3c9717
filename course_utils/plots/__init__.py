"""Figures: numbers and pictures go in; out comes an Illustration that a notebook or a web page can show.

An Illustration carries its picture, a caption that says what to look for and a text for those who cannot see
it. End a cell with one and the notebook shows all three. The same input gives the same bytes.
"""

from course_utils.plots.clusters import prototypes, silhouette_against_null
from course_utils.plots.convolution import convolution_window, receptive_fields
from course_utils.plots.extraction import Span, batch_in_order, throughput_maps, timeline
from course_utils.plots.illustration import (
    GRAY,
    MARKERS,
    PALETTE,
    Illustration,
    Picture,
    Theme,
    data_uri,
)
from course_utils.plots.maps import (
    MISSING,
    category_styles,
    in_order,
    is_missing,
    map_pictures,
    map_scatter,
    tidy_categories,
)
from course_utils.plots.pictures import contact_sheet, side_by_side, spread
from course_utils.plots.preprocessing import (
    before_and_after,
    gray_curves,
    one_step,
    preprocessing_steps,
    shifts,
)
from course_utils.plots.speed import flame_graph, ladder, reading_threads, roofline

__all__ = [
    "GRAY",
    "MARKERS",
    "MISSING",
    "PALETTE",
    "Illustration",
    "Picture",
    "Span",
    "Theme",
    "batch_in_order",
    "before_and_after",
    "category_styles",
    "contact_sheet",
    "convolution_window",
    "data_uri",
    "flame_graph",
    "gray_curves",
    "in_order",
    "is_missing",
    "ladder",
    "map_pictures",
    "map_scatter",
    "one_step",
    "preprocessing_steps",
    "prototypes",
    "reading_threads",
    "receptive_fields",
    "roofline",
    "shifts",
    "side_by_side",
    "silhouette_against_null",
    "spread",
    "throughput_maps",
    "tidy_categories",
    "timeline",
]
