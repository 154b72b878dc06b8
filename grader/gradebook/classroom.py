"""What a classroom system such as nbgrader made of our scores, beside them in the gradebook."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from grader.gradebook.store import Gradebook

if TYPE_CHECKING:
    from sqlalchemy import Connection

GRADED, UNGRADED, NOT_SUBMITTED, REMOVED = "graded", "ungraded", "not submitted", "removed"
CLASSROOM, GRADER = "classroom", "grader"


def quiz_name(quiz: str) -> str:
    """Return the name that a quiz has among the assignments of a classroom system."""
    return f"quiz-{quiz}"


@dataclass(frozen=True)
class Cell:
    """The score of one cell: by machine, by hand, and extra credit; None is no score."""

    name: str
    automatic: float | None
    manual: float | None
    extra_credit: float | None
    possible: float


@dataclass(frozen=True)
class ClassroomScore:
    """What counts for a student in the classroom system, in points, after everything that was done to it there.

    `score` is final: marks by hand and extra credit are in it, `late_penalty` is off it. `automatic` is what machines
    gave; `to_review` says that a person is asked to look. Moments are ISO 8601 UTC, `extension` is in seconds.
    """

    student: str
    assignment: str
    origin: str
    outcome: str
    score: float = 0.0
    possible: float = 0.0
    automatic: float = 0.0
    extra_credit: float = 0.0
    late_penalty: float = 0.0
    to_review: bool = False
    received: str | None = None
    due: str | None = None
    extension: float | None = None
    cells: tuple[Cell, ...] = ()

    @property
    def by_hand(self) -> bool:
        """Say whether a person has given a score."""
        return any(cell.manual is not None for cell in self.cells)


class ClassroomBook(Gradebook):
    """A gradebook that keeps the scores of a classroom system too; a context manager."""

    def record_scores(self, given: Iterable[ClassroomScore]) -> list[ClassroomScore]:
        """Keep what differs from the last that was kept, in one transaction, and return it; raise GradebookError.

        Raises ValueError for a number that is not finite.
        """
        from sqlalchemy import insert

        from grader.gradebook import rows
        from grader.gradebook.classroom_tables import scores

        new = []
        with self._writing() as connection:
            known = {(one.student, one.assignment): one for one in _last(connection)}
            for one in given:
                if known.get((one.student, one.assignment)) == one:
                    continue
                if not all(map(math.isfinite, (one.score, one.possible, one.automatic, one.late_penalty))):
                    raise ValueError(f"the score of {one.student!r} in {one.assignment!r} is no number")
                values = asdict(one)
                del values["student"]
                student_id = rows.put_student(connection, one.student, "")
                connection.execute(
                    insert(scores).values(
                        **values | {"cells": [list(cell.values()) for cell in values["cells"]]},
                        student_id=student_id,
                        recorded_at=rows.now(),
                    )
                )
                new.append(one)
        return new

    def classroom_scores(self, assignment: str | None = None) -> dict[tuple[str, str], ClassroomScore]:
        """Return (student, assignment) -> what counts now; what was removed there is left out."""
        with self._reading() as connection:
            found = _last(connection, assignment)
        return {(one.student, one.assignment): one for one in found if one.outcome != REMOVED}

    def scores_of(self, assignment: str) -> dict[str, ClassroomScore]:
        """Return student -> what counts now in an assignment."""
        return {student: one for (student, _), one in self.classroom_scores(assignment).items()}


def _last(connection: Connection, assignment: str | None = None) -> list[ClassroomScore]:
    from sqlalchemy import func, select

    from grader.gradebook.classroom_tables import scores
    from grader.gradebook.tables import students

    newest = select(func.max(scores.c.id)).group_by(scores.c.student_id, scores.c.assignment)
    query = (
        select(scores, students.c.student)
        .join(students, scores.c.student_id == students.c.id)
        .where(scores.c.id.in_(newest))
        .order_by(students.c.student, scores.c.assignment)
    )
    if assignment is not None:
        query = query.where(scores.c.assignment == assignment)
    return [
        ClassroomScore(
            student=row.student,
            assignment=row.assignment,
            origin=row.origin,
            outcome=row.outcome,
            score=row.score,
            possible=row.possible,
            automatic=row.automatic,
            extra_credit=row.extra_credit,
            late_penalty=row.late_penalty,
            to_review=row.to_review,
            received=row.received,
            due=row.due,
            extension=row.extension,
            cells=tuple(Cell(*cell) for cell in row.cells),
        )
        for row in connection.execute(query)
    ]
