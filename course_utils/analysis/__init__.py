"""Vectors become an answer to believe, or not. Never imports torch (lessons 07 to 10)."""

from course_utils.analysis.clustering import Clustering, cluster
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.evaluation import Evaluation, evaluate
from course_utils.analysis.reduction import reduce

__all__ = ["AnalysisError", "Clustering", "Evaluation", "cluster", "evaluate", "reduce"]
