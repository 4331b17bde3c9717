"""The classroom: exercises with checks and hints, live pictures, students' copies of the lessons.

What lessons need besides the rooms that they explain. `exercises` holds a module a lesson; `lab` makes the
copies; `widgets`, `picture_map` and `kernels` are what moves. The other modules each belong to a lesson or
two, as their first lines say: the course's own answers, on which a lesson runs until the student's are right,
and what a lesson holds them against. Nothing heavy is imported here.
"""

from course_utils.teaching.exercises import exercise

__all__ = ["exercise"]
