"""The classroom: exercises with checks and hints, figures, live pictures, the report.

Everything that the lessons need besides the three packages that they explain. Nothing heavy is imported here.
"""

from course_utils.teaching.exercises import exercise

__all__ = ["exercise"]
