"""Grades the folders of a class through the one engine, with our gradebook as the journal, and draws its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.checking.report import Report
from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.errors import CourseError
from grader.exchange.nbgrader.handed_in import HandedIn, read_handed_in
from grader.grading.executors.local import Ready
from grader.submissions.submission import Submission


@dataclass(frozen=True)
class Work:
    """One student's graded work: what was handed in, the report on it, and the drawn figures (SVG) by name."""

    handed_in: HandedIn
    report: Report
    figures: Mapping[str, str]


def grade_folders(
    course: Course,
    assignment: Assignment,
    folders: Mapping[str, Path],
    gradebook: Path | str,
    *,
    jobs: int,
    tier: int | None = None,
    on_start: Callable[[int, int], None] = lambda todo, skipped: None,
    on_ready: Callable[[Ready], None] = lambda ready: None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> dict[str, Work]:
    """Grade what the gradebook does not hold yet and return the work of every student, by nbgrader's id.

    `folders` maps ids to `submitted/<student>/<assignment>`. Figures are kept beside the gradebook's state, and are
    drawn before a report is recorded: what counts as done has its figures. Raises GraderError.
    """
    from grader.gradebook.store import Gradebook
    from grader.grading.engine import grade_class, hidden_examination

    handed_in = {student: read_handed_in(assignment, folder, student) for student, folder in folders.items()}
    if not handed_in:
        return {}
    examination = hidden_examination(course, assignment, tier=tier)
    place = course.state / "figures" / assignment.id
    draw = _drawing(assignment)

    def on_pictures(submission: Submission, values: Mapping[str, Any]) -> None:
        if draw is not None:
            from grader.reports.figures import write_figures

            write_figures(place, draw, {_stem(submission.sha256, examination.seed.id): values})

    with Gradebook.open(gradebook) as book:
        result = grade_class(
            examination,
            [one.submission for one in handed_in.values()],
            book,
            jobs=jobs,
            on_start=on_start,
            on_ready=on_ready,
            on_report=on_report,
            on_pictures=on_pictures,
        )
    reports = {report.student: report for report in result.reports}
    return {
        student: Work(one, reports[one.submission.student], _figures(place, reports[one.submission.student]))
        for student, one in handed_in.items()
    }


def _drawing(assignment: Assignment) -> Any:
    from grader.reports.figures import load_drawing

    try:
        return load_drawing(assignment)
    except CourseError:  # it has none, or there is no matplotlib here
        return None


def _stem(sha256: str, seed_id: str) -> str:
    return f"{sha256[:32]}-{seed_id}"


def _figures(place: Path, report: Report) -> dict[str, str]:
    """Return the SVG of each figure of a report by name, read from where they were drawn."""
    stem = _stem(report.submission, report.seed_id)
    found = {}
    for path in sorted(place.glob(f"{stem}-*.svg")):
        found[path.stem.removeprefix(f"{stem}-")] = path.read_text(encoding="utf-8")
    return found
