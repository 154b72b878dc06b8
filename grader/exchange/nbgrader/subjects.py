"""What nbgrader's autograde can be asked for in our course: an assignment, or a quiz as a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from grader.checking.report import Report
from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.course.misconceptions import load_misconceptions
from grader.errors import GraderError
from grader.exchange.nbgrader.cell_feedback import part_outputs, part_score, summary_cell
from grader.exchange.nbgrader.handed_in import NotebookCell
from grader.exchange.nbgrader.rebuild import OfficialCell
from grader.exchange.nbgrader.run import Run
from grader.exchange.nbgrader.source import grade_ids, part_of, source_notebook
from grader.exchange.nbgrader.work import Work, grade_folders
from grader.quiz.returned import Result


class Graded(Protocol):
    """One student's graded work, as nbgrader's notebook and database are to show it."""

    @property
    def cells(self) -> tuple[NotebookCell, ...] | None:
        """Return the cells that were handed in; None where they cannot be read."""

    @property
    def stamp(self) -> Mapping[str, str]:
        """Return what a graded notebook is stamped with: another stamp, and it is made again."""

    @property
    def told(self) -> Report | Result:
        """Return the outcome in full."""

    def grades(self, grade_id: str) -> bool:
        """Say whether the points of a cell come from here."""

    def score(self, grade_id: str, worth: float) -> float | None:
        """Return the points of such a cell, which nbgrader gives `worth` points; None while it is ungraded."""

    def outputs(self, grade_id: str) -> list[dict[str, Any]]:
        """Return the outputs (nbformat) of such a cell; never an empty list."""

    def summary(self, notes: Sequence[str]) -> dict[str, Any]:
        """Return the Markdown cell (nbformat) that stands at the top; `notes` tell what was not as handed out."""


class Subject(Protocol):
    """Something that is handed in as a notebook and graded here."""

    @property
    def id(self) -> str:
        """Return nbgrader's name of it."""

    @property
    def notebook(self) -> str:
        """Return the notebook's file name."""

    @property
    def module(self) -> str | None:
        """Return the name of the Python file that may be handed in instead, if there is one."""

    def order(self) -> Sequence[str]:
        """Return the grade_ids of the source notebook, in order; what is not among them comes last."""

    def grade(
        self, folders: Mapping[str, Path], official: Sequence[OfficialCell], gradebook: Path | str, run: Run
    ) -> Mapping[str, Graded]:
        """Grade what our gradebook does not hold yet and return everybody's work by nbgrader's id; raise GraderError.

        `folders` maps ids to `submitted/<student>/<assignment>`, `official` are the cells that were handed out.
        """


def subject_of(course: Course, name: str) -> Subject:
    """Return what nbgrader calls `name`; raise GraderError where this course has no such thing."""
    if name in course.ids:
        return AssignmentSubject(course, course.assignment(name))
    from grader.exchange.nbgrader.quizzes import QuizSubject, bank_named
    from grader.quiz.loading import load_bank

    bank = bank_named(course, name)
    if bank is None:
        raise GraderError(
            f"`{name}` is no assignment of this course, so it is not graded here: nothing of it was executed",
            where=course.root,
            advice="Grade other assignments in a course folder of their own",
        )
    return QuizSubject(course, load_bank(course, bank))


@dataclass(frozen=True)
class AssignmentSubject:
    """An assignment of the course."""

    course: Course
    assignment: Assignment

    @property
    def id(self) -> str:
        """Return its id."""
        return self.assignment.id

    @property
    def notebook(self) -> str:
        """Return the notebook's file name."""
        return self.assignment.notebook

    @property
    def module(self) -> str | None:
        """Return the module's file name."""
        return self.assignment.module

    def order(self) -> Sequence[str]:
        """Return the grade_ids of the source notebook, in order."""
        return grade_ids(source_notebook(self.assignment))

    def grade(
        self, folders: Mapping[str, Path], official: Sequence[OfficialCell], gradebook: Path | str, run: Run
    ) -> Mapping[str, Graded]:
        """Grade the folders in the sandbox, the whole class in parallel; raise GraderError."""
        reading = {key: one.read for key, one in load_misconceptions(self.course).items()}
        done = grade_folders(
            self.course,
            self.assignment,
            folders,
            gradebook,
            jobs=run.jobs,
            tier=run.tier,
            on_start=run.on_start,
            on_ready=run.on_ready,
            on_report=run.on_report,
        )
        return {student: AssignmentWork(self.assignment, work, reading) for student, work in done.items()}


@dataclass(frozen=True)
class AssignmentWork:
    """One student's graded assignment."""

    assignment: Assignment
    work: Work
    reading: Mapping[str, str]

    @property
    def cells(self) -> tuple[NotebookCell, ...] | None:
        """Return the cells that were handed in."""
        return self.work.handed_in.cells

    @property
    def told(self) -> Report:
        """Return the report."""
        return self.work.report

    @property
    def stamp(self) -> Mapping[str, str]:
        """Return what the report is about, and its outcome."""
        report = self.work.report
        return {
            "submission": report.submission,
            "fingerprint": report.fingerprint,
            "seed_id": report.seed_id,
            "outcome": report.outcome,
        }

    def grades(self, grade_id: str) -> bool:
        """Say whether it is the cell of a part."""
        return part_of(grade_id, self.assignment) is not None

    def score(self, grade_id: str, worth: float) -> float | None:
        """Return what the part earned."""
        part = part_of(grade_id, self.assignment)
        return None if part is None else scaled(part_score(self.work.report, part), part.points, worth)

    def outputs(self, grade_id: str) -> list[dict[str, Any]]:
        """Return what became of the part's checks."""
        part = part_of(grade_id, self.assignment)
        return [] if part is None else part_outputs(self.work.report, part, self.reading)

    def summary(self, notes: Sequence[str]) -> dict[str, Any]:
        """Return the feedback with its figures."""
        return summary_cell(self.work, self.assignment, notes, self.reading)


def scaled(earned: float | None, possible: float, shown: float) -> float | None:
    """Return a score in the points of its cell, should the instructor have changed those."""
    if earned is None or possible == shown:
        return earned
    return earned * shown / possible


def in_a_line(told: Report | Result) -> str:
    """Return an outcome as one line."""
    if isinstance(told, Result):
        from grader.reports.quiz_results import summary

        return summary(told)
    return f"{told.student!r} " + ("ungraded" if told.outcome != "graded" else f"{told.earned:g}/{told.possible:g}")
