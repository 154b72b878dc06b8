"""The table of what another classroom system made of our scores: late penalties, marks by hand, extra credit.

    students 1--n classroom_scores

Like everything in the gradebook, a row is never overwritten: what has changed there is a new row, and the last row of
a student and an assignment counts. Older gradebooks get the table when they are opened, as they get those of quizzes.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, Table, Text

from grader.gradebook.quiz_tables import PlainJson
from grader.gradebook.tables import AnyText, metadata

scores = Table(
    "classroom_scores",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("student_id", ForeignKey("students.id"), nullable=False),
    Column("assignment", AnyText, nullable=False),
    Column("origin", Text, nullable=False),  # who graded it: "classroom", or "grader" where we brought it there
    Column("outcome", Text, nullable=False),  # graded, ungraded, not submitted, removed
    Column("score", Double, nullable=False),
    Column("possible", Double, nullable=False),
    Column("automatic", Double, nullable=False),
    Column("extra_credit", Double, nullable=False),
    Column("late_penalty", Double, nullable=False),
    Column("to_review", Boolean, nullable=False),
    Column("received", Text),  # ISO 8601 UTC, as the two below
    Column("due", Text),  # without the extension
    Column("extension", Double),  # seconds
    Column("cells", PlainJson, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Index("classroom_scores_by_assignment", "assignment", "student_id", "id"),
)
