"""The gradebook: records reports, one transaction each, and answers what is current.

SQLAlchemy is imported when a gradebook is opened, not before: the command line must start fast, and a
student's machine does not have it.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, cast

from grader.checking.report import Report
from grader.errors import GradebookError
from grader.submissions.submission import Submission

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: How long a grader waits for another one's transaction before it gives up.
WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Attempt:
    """One thing that a student handed in for an assignment; attempts count from 1. Times are ISO 8601 UTC."""

    number: int
    sha256: str
    received: str | None
    recorded_at: str
    source: str
    name: str
    set_aside: tuple[str, ...]
    problem: str | None


@dataclass(frozen=True)
class Grading:
    """A report as it stands in the gradebook: of which attempt, by which run, when, and does it count."""

    report: Report
    attempt: int
    run: str
    graded_at: str
    is_current: bool
    seed_override: bool


class Gradebook:
    """An open gradebook; a context manager.

    Every attempt and every report is kept. For each student and assignment one report is *current*: the last
    one recorded, except that an ungraded repeat does not displace a grade for the same attempt, suite and
    seed. Several processes may write at once; each waits for the others. After a fork the child gets
    connections of its own; between transactions a connection may stay open, so open a gradebook after
    starting the processes that run student code, not before.
    """

    #: the extra of the package that brings SQLAlchemy to whoever opens this kind of gradebook
    extra: ClassVar[str] = "instructor"

    def __init__(self, engine: Engine, label: str) -> None:
        """Wrap an engine that `Gradebook.open` prepared."""
        self._engine = engine
        self._pid = os.getpid()
        self.label = label

    @classmethod
    def open(cls, target: Path | str, *, wait_seconds: float = WAIT_SECONDS) -> Self:
        """Open the gradebook in an SQLite file or at a URL (postgresql://user@host/database); lay it if new.

        Raises GradebookError in one line for a damaged file, a file of another program or of a newer grader,
        a folder that cannot be written, a lock held longer than `wait_seconds`, a missing driver.
        """
        try:
            from grader.gradebook.connection import open_engine
        except ModuleNotFoundError as error:
            if error.name != "sqlalchemy":
                raise
            raise GradebookError(
                "the gradebook needs SQLAlchemy, which is not installed",
                advice=f'Install it with: python -m pip install "unrolled[{cls.extra}]"',
            ) from error
        return cls(*open_engine(target, wait_seconds))

    def close(self) -> None:
        """Close every connection; SQLite then folds its log into the file."""
        self._engine.dispose(close=self._pid == os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(
        self,
        submission: Submission,
        report: Report,
        run: str,
        *,
        fresh: bool = False,
        seed_override: bool = False,
    ) -> bool:
        """Record a submission and its report in one transaction; return whether the report was new.

        `run` names the run of the grader. Where another grader has meanwhile recorded a grade of the same
        attempt with the same suite and seed, nothing is written, unless `fresh` asks for a new report beside
        it. `seed_override` says that the seed was given by hand. Raises GradebookError when it cannot be
        written, and ValueError for a report that does not belong to the submission or holds a number that is
        not finite.
        """
        from grader.gradebook import rows

        if (report.student, report.assignment) != (submission.student, submission.assignment):
            raise ValueError(f"the report of {report.student!r} is not on the submission of {submission.student!r}")
        if report.submission != submission.sha256:
            raise ValueError(f"the report of {report.student!r} is about other files than the submission")
        if report.outcome not in ("graded", "ungraded"):
            raise ValueError(f"a report that is {report.outcome!r} is not recorded")
        with self._writing() as connection:
            student_id = rows.put_student(connection, submission.student, report.name or submission.name)
            submission_id = rows.put_attempt(connection, student_id, submission)
            return rows.put_report(
                connection,
                student_id,
                submission_id,
                report,
                run=run,
                fresh=fresh,
                seed_override=seed_override,
            )

    def already_graded(
        self, assignment: str, fingerprint: str, seed_id: str, *, tier: int | None = None
    ) -> set[tuple[str, str]]:
        """Return (student, submission's SHA-256) of what this suite and seed need not grade again.

        Only grades that are current count: an ungraded report never does, nor does an older attempt that a
        student goes back to. With `tier` 1 or 2, grades from the plain process (tier 0) do not count either.
        """
        from sqlalchemy import select

        from grader.gradebook.tables import reports, students, submissions

        query = (
            select(students.c.student, submissions.c.sha256)
            .select_from(reports.join(submissions, reports.c.submission_id == submissions.c.id))
            .join(students, reports.c.student_id == students.c.id)
            .where(
                reports.c.assignment == assignment,
                reports.c.is_current,
                reports.c.outcome == "graded",
                reports.c.fingerprint == fingerprint,
                reports.c.seed_id == seed_id,
            )
        )
        if tier is not None and tier > 0:
            query = query.where(reports.c.tier > 0)
        with self._reading() as connection:
            return {(row.student, row.sha256) for row in connection.execute(query)}

    def latest(self, assignment: str) -> list[Report]:
        """Return the current report of every student with one, sorted by student id."""
        from grader.gradebook import rows
        from grader.gradebook.tables import reports

        with self._reading() as connection:
            found = rows.read_reports(connection, reports.c.assignment == assignment, reports.c.is_current)
        return sorted((report for report, _ in found), key=lambda report: report.student)

    def report_of(self, assignment: str, student: str) -> Report | None:
        """Return the current report of one student, or None."""
        from grader.gradebook import rows
        from grader.gradebook.tables import reports, students

        with self._reading() as connection:
            found = rows.read_reports(
                connection,
                reports.c.assignment == assignment,
                students.c.student == student,
                reports.c.is_current,
            )
        return found[0][0] if found else None

    def history(self, assignment: str, student: str) -> list[Grading]:
        """Return every grading of one student, oldest first."""
        from grader.gradebook import rows
        from grader.gradebook.tables import reports, students

        with self._reading() as connection:
            found = rows.read_reports(connection, reports.c.assignment == assignment, students.c.student == student)
        return [
            Grading(
                report=report,
                attempt=cast(int, beside["attempt"]),
                run=cast(str, beside["run"]),
                graded_at=cast(str, beside["graded_at"]),
                is_current=bool(beside["is_current"]),
                seed_override=bool(beside["seed_override"]),
            )
            for report, beside in found
        ]

    def attempts(self, assignment: str, student: str) -> list[Attempt]:
        """Return everything that one student handed in, oldest first (without the files)."""
        from sqlalchemy import select

        from grader.gradebook.tables import students, submissions

        query = (
            select(*(column for column in submissions.c if column.name != "files"))
            .join(students, submissions.c.student_id == students.c.id)
            .where(submissions.c.assignment == assignment, students.c.student == student)
            .order_by(submissions.c.attempt)
        )
        with self._reading() as connection:
            return [
                Attempt(
                    number=row.attempt,
                    sha256=row.sha256,
                    received=row.received,
                    recorded_at=row.recorded_at,
                    source=row.source,
                    name=row.name,
                    set_aside=row.set_aside,
                    problem=row.problem,
                )
                for row in connection.execute(query)
            ]

    def stored_submission_files(self, assignment: str, student: str, sha256: str | None = None) -> dict[str, bytes]:
        """Return the files of a student's last attempt, or of the one with this SHA-256, by name.

        Raises GradebookError when there is no such attempt, or its stored bytes are damaged.
        """
        from sqlalchemy import select

        from grader.gradebook import rows
        from grader.gradebook.tables import students, submissions

        query = (
            select(submissions.c.files)
            .join(students, submissions.c.student_id == students.c.id)
            .where(submissions.c.assignment == assignment, students.c.student == student)
            .order_by(submissions.c.attempt.desc())
            .limit(1)
        )
        if sha256 is not None:
            query = query.where(submissions.c.sha256 == sha256)
        with self._reading() as connection:
            blob = connection.execute(query).scalar()
        if blob is None:
            which = "" if sha256 is None else f" with SHA-256 {sha256[:12]}"
            raise GradebookError(
                f"no submission of {student!a} for {assignment}{which}",
                where=self.label,
                advice="Grade it first, or check the spelling of the student",
            )
        try:
            return rows.unzipped(blob)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise GradebookError(
                f"the stored files of {student!a} for {assignment} are damaged",
                where=self.label,
                advice="Restore a backup of the gradebook, or grade from the submissions folder",
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        from grader.gradebook.connection import told_plainly, writing

        with told_plainly(self.label), writing(self._engine_here()) as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        from grader.gradebook.connection import reading, told_plainly

        with told_plainly(self.label), reading(self._engine_here()) as connection:
            yield connection

    def _engine_here(self) -> Engine:
        # A connection must not be used on both sides of a fork: the child leaves the parent's alone.
        if self._pid != os.getpid():
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        return self._engine
