"""Reports and submissions as rows of the gradebook, and back again without loss."""

from __future__ import annotations

import io
import math
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from sqlalchemy import Connection, and_, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from grader.checking.report import CheckResult, Diagnosis, Outcome, PartResult, Report
from grader.gradebook.tables import check_results, part_results, reports, students, submissions

if TYPE_CHECKING:
    from sqlalchemy import Row

    from grader.submissions.submission import Submission

_EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def put_student(connection: Connection, student: str, name: str) -> int:
    """Return the row of a student, laid if new; a name that is not empty replaces the one there."""
    row = connection.execute(select(students.c.id, students.c.name).where(students.c.student == student)).one_or_none()
    if row is None:
        return _inserted(connection.execute(insert(students).values(student=student, name=name)))
    if name and name != row.name:
        connection.execute(update(students).where(students.c.id == row.id).values(name=name))
    return int(row.id)


def put_attempt(connection: Connection, student_id: int, submission: Submission) -> int:
    """Return the row of an attempt: the student's last one if its content is the same, else a new one."""
    last = connection.execute(
        select(submissions.c.id, submissions.c.attempt, submissions.c.sha256)
        .where(submissions.c.student_id == student_id, submissions.c.assignment == submission.assignment)
        .order_by(submissions.c.attempt.desc())
        .limit(1)
    ).one_or_none()
    sha256 = submission.sha256
    if last is not None and last.sha256 == sha256:
        return int(last.id)
    return _inserted(
        connection.execute(
            insert(submissions).values(
                student_id=student_id,
                assignment=submission.assignment,
                attempt=1 if last is None else last.attempt + 1,
                sha256=sha256,
                received=submission.received,
                recorded_at=now(),
                source=submission.source,
                name=submission.name,
                set_aside=submission.set_aside,
                problem=submission.problem,
                files=zipped(submission.files),
            )
        )
    )


def put_report(
    connection: Connection,
    student_id: int,
    submission_id: int,
    report: Report,
    *,
    run: str,
    fresh: bool,
    seed_override: bool,
) -> bool:
    """Lay one report with its parts and checks; return False where the same grading is current already.

    A graded report becomes the current one. An ungraded one does too, unless the current report is a grade
    for the same attempt, suite and seed: a machine that fails on a repeat does not take a grade away.
    """
    current = connection.execute(
        select(
            reports.c.id,
            reports.c.submission_id,
            reports.c.outcome,
            reports.c.fingerprint,
            reports.c.seed_id,
            reports.c.tier,
        ).where(
            reports.c.student_id == student_id,
            reports.c.assignment == report.assignment,
            reports.c.is_current,
        )
    ).one_or_none()
    graded = report.outcome == "graded"
    holds = (
        current is not None
        and current.outcome == "graded"
        and current.submission_id == submission_id
        and current.fingerprint == report.fingerprint
        and current.seed_id == report.seed_id
    )
    # A grade from the plain process (tier 0) is practice: a contained grading replaces it.
    practice = holds and current is not None and current.tier == 0 and report.tier != 0
    if holds and graded and not fresh and not practice:
        return False
    becomes_current = graded or not holds
    if becomes_current and current is not None:
        connection.execute(update(reports).where(reports.c.id == current.id).values(is_current=False))
    repeat = connection.execute(
        select(func.count())
        .select_from(reports)
        .where(
            reports.c.submission_id == submission_id,
            reports.c.fingerprint == report.fingerprint,
            reports.c.seed_id == report.seed_id,
            reports.c.outcome == "graded",
        )
    ).scalar_one()
    report_id = _inserted(
        connection.execute(
            insert(reports).values(
                submission_id=submission_id,
                student_id=student_id,
                assignment=report.assignment,
                is_current=becomes_current,
                run=run,
                repeat=repeat,
                graded_at=now(),
                name=report.name,
                outcome=report.outcome,
                earned=_finite(report.earned, report),
                possible=_finite(report.possible, report),
                tier=report.tier,
                seed_id=report.seed_id,
                seed_override=seed_override,
                fingerprint=report.fingerprint,
                cpu_seconds=_finite(report.cpu_seconds, report),
                peak_mb=_finite(report.peak_mb, report),
                set_aside=report.set_aside,
                problem=report.problem,
                flags=report.flags,
                diagnosis=report.diagnosis.hints,
                reason=report.reason,
            )
        )
    )
    if report.parts:
        connection.execute(
            insert(part_results),
            [
                {
                    "report_id": report_id,
                    "position": position,
                    "part": part.id,
                    "title": part.title,
                    "earned": _finite(part.earned, report),
                    "possible": _finite(part.possible, report),
                }
                for position, part in enumerate(report.parts)
            ],
        )
    if report.checks:
        connection.execute(
            insert(check_results),
            [
                {
                    "report_id": report_id,
                    "position": position,
                    "check_id": check.id,
                    "part": check.part,
                    "title": check.title,
                    "outcome": check.outcome.value,
                    "points": _finite(check.points, report),
                    "earned": _finite(check.earned, report),
                    "facts": check.facts,
                    "hint": check.hint,
                    "misconception": check.misconception,
                    "mutant": check.mutant,
                    "detail": check.detail,
                    "location": check.location,
                    "output": check.output,
                }
                for position, check in enumerate(report.checks)
            ],
        )
    return True


def read_reports(connection: Connection, *conditions: ColumnElement[bool]) -> list[tuple[Report, Mapping[str, object]]]:
    """Read the reports that meet the conditions, oldest first, each with the columns beside it.

    Those are run, graded_at, attempt, is_current and seed_override.
    """
    chosen = (
        select(reports.c.id)
        .select_from(reports.join(submissions, reports.c.submission_id == submissions.c.id))
        .join(students, reports.c.student_id == students.c.id)
        .where(and_(*conditions))
    )
    checks = _by_report(
        connection.execute(
            select(check_results)
            .where(check_results.c.report_id.in_(chosen))
            .order_by(check_results.c.report_id, check_results.c.position)
        ).all()
    )
    parts = _by_report(
        connection.execute(
            select(part_results)
            .where(part_results.c.report_id.in_(chosen))
            .order_by(part_results.c.report_id, part_results.c.position)
        ).all()
    )
    rows = connection.execute(
        select(reports, students.c.student, submissions.c.sha256, submissions.c.attempt)
        .select_from(reports.join(submissions, reports.c.submission_id == submissions.c.id))
        .join(students, reports.c.student_id == students.c.id)
        .where(and_(*conditions))
        .order_by(reports.c.id)
    ).all()
    return [
        (
            _report(row, parts[row.id], checks[row.id]),
            {key: getattr(row, key) for key in ("run", "graded_at", "attempt", "is_current", "seed_override")},
        )
        for row in rows
    ]


def zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the files as a zip archive, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, _EARLIEST_ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def unzipped(blob: bytes) -> dict[str, bytes]:
    """Return what `zipped` packed. Raises zipfile.BadZipFile when the stored bytes are damaged."""
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _inserted(result: object) -> int:
    key = cast("Sequence[object]", getattr(result, "inserted_primary_key", None))
    return cast(int, key[0])


def _finite(value: float, report: Report) -> float:
    # SQLite would turn NaN into NULL: such a report is a bug of the caller, and never becomes a grade.
    if not math.isfinite(value):
        raise ValueError(f"the report of {report.student!r} on {report.assignment!r} holds {value}")
    return float(value)


def _by_report(rows: Sequence[Row[tuple[object, ...]]]) -> defaultdict[int, list[Row[tuple[object, ...]]]]:
    grouped: defaultdict[int, list[Row[tuple[object, ...]]]] = defaultdict(list)
    for row in rows:
        grouped[row.report_id].append(row)
    return grouped


def _report(
    row: Row[tuple[object, ...]],
    parts: Iterable[Row[tuple[object, ...]]],
    checks: Iterable[Row[tuple[object, ...]]],
) -> Report:
    return Report(
        assignment=row.assignment,
        student=row.student,
        name=row.name,
        submission=row.sha256,
        checks=tuple(
            CheckResult(
                id=check.check_id,
                part=check.part,
                title=check.title,
                outcome=Outcome(check.outcome),
                points=check.points,
                earned=check.earned,
                facts=check.facts,
                hint=check.hint,
                misconception=check.misconception,
                mutant=check.mutant,
                detail=check.detail,
                location=check.location,
                output=check.output,
            )
            for check in checks
        ),
        parts=tuple(
            PartResult(id=part.part, title=part.title, earned=part.earned, possible=part.possible) for part in parts
        ),
        outcome=row.outcome,
        earned=row.earned,
        possible=row.possible,
        tier=row.tier,
        seed_id=row.seed_id,
        fingerprint=row.fingerprint,
        cpu_seconds=row.cpu_seconds,
        peak_mb=row.peak_mb,
        set_aside=row.set_aside,
        problem=row.problem,
        flags=row.flags,
        diagnosis=Diagnosis(hints=row.diagnosis),
        reason=row.reason,
    )
