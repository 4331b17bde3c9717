"""Vectors become an answer to believe, or not. Never imports torch (lessons 07 to 10)."""

from course_utils.analysis.associations import Association, Associations, associations
from course_utils.analysis.clustering import Clustering, cluster
from course_utils.analysis.errors import AnalysisError
from course_utils.analysis.evaluation import Evaluation, evaluate
from course_utils.analysis.harmonise import group_means, harmonise
from course_utils.analysis.map_quality import Faithfulness, faithfulness
from course_utils.analysis.probing import (
    LabelCurve,
    Leaks,
    Probe,
    Transfer,
    label_curve,
    leaks,
    probe,
    ties,
    transfer,
)
from course_utils.analysis.reduction import reduce
from course_utils.analysis.resampling import Stability, stability
from course_utils.analysis.validity import Valley, valley

__all__ = [
    "AnalysisError",
    "Association",
    "Associations",
    "Clustering",
    "Evaluation",
    "Faithfulness",
    "LabelCurve",
    "Leaks",
    "Probe",
    "Stability",
    "Transfer",
    "Valley",
    "associations",
    "cluster",
    "evaluate",
    "faithfulness",
    "group_means",
    "harmonise",
    "label_curve",
    "leaks",
    "probe",
    "reduce",
    "stability",
    "ties",
    "transfer",
    "valley",
]
