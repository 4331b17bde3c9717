import pytest
from sample_figures import VECTORS

from course_utils import plots
from course_utils.analysis import evaluate


def test_an_evaluation_without_silhouette_cannot_be_drawn():
    with pytest.raises(ValueError, match="no silhouette"):
        plots.silhouette_against_null(evaluate(VECTORS[:2], [0, 0]))
