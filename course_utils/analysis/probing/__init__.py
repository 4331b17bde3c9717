"""What can be read off vectors, of women whom no model has seen, and what that is worth (lesson 10)."""

from course_utils.analysis.probing.few_labels import LabelCurve, label_curve
from course_utils.analysis.probing.leakage import Leaks, leaks
from course_utils.analysis.probing.probes import Probe, probe
from course_utils.analysis.probing.transfers import Transfer, ties, transfer

__all__ = ["LabelCurve", "Leaks", "Probe", "Transfer", "label_curve", "leaks", "probe", "ties", "transfer"]
