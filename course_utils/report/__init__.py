"""The HTML report: the folder of one run goes in, one self-contained page comes out (`course report`).

The page loads nothing from the network, holds no path of a machine, and reads well on a screen, in dark mode
and on paper. What cannot be shown (too few images, no clusters yet) is said in a sentence, in its place.
`check_report` asks of the same folder what a careful reader would ask (lesson 12).
"""

from course_utils.report.page import write_report
from course_utils.report.rubric import Item, Rubric, check_report

__all__ = ["Item", "Rubric", "check_report", "write_report"]
