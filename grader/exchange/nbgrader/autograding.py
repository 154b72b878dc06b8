"""`grader nbgrader autograde`: the class at once through the engine, then nbgrader's own autograde on the results."""

from __future__ import annotations

import glob
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.autogradeapp import AutogradeApp
from nbgrader.converters.base import NbGraderException

from grader.checking.report import Report
from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.errors import GraderError
from grader.exchange.nbgrader.folder import CONFIG, inside
from grader.exchange.nbgrader.tidy import without_links
from grader.exchange.nbgrader.work import grade_folders
from grader.grading.executors.local import Ready


@dataclass(frozen=True)
class Autograded:
    """The reports of the class by student, and the students whom nbgrader could not do, each with the reason."""

    reports: tuple[Report, ...]
    failed: tuple[str, ...]


class _Heard(logging.Handler):
    """Keeps what nbgrader says at the levels of warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "Traceback" not in text:
            (self.errors if record.levelno >= logging.ERROR else self.warnings).append(text)


def autograde(
    course: Course,
    assignment_id: str,
    folder: Path,
    *,
    jobs: int,
    tier: int | None = None,
    on_start: Callable[[int, int], None] = lambda todo, skipped: None,
    on_ready: Callable[[Ready], None] = lambda ready: None,
    on_report: Callable[[Report], None] = lambda report: None,
    on_warning: Callable[[str], None] = lambda text: None,
) -> Autograded:
    """Grade a class and write nbgrader's database, as `nbgrader autograde` in that folder does; raise GraderError.

    What was graded before is not graded again; only this process writes the database.
    """
    if not (folder / CONFIG).is_file():
        raise GraderError(f"there is no {CONFIG}", where=folder, advice=f"First: grader nbgrader init {folder}")
    assignment = course.assignment(assignment_id)
    with inside(folder):
        app = AutogradeApp()
        app.initialize([assignment.id, "--quiet"])
        directory = app.coursedir
        pattern = directory.format_path(directory.submitted_directory, directory.student_id, assignment.id)
        folders = {_student(directory, found, assignment.id): Path(found) for found in sorted(glob.glob(pattern))}
        if not folders:
            raise GraderError(
                f"nobody has handed in {assignment.id}",
                where=pattern,
                advice=f"First: nbgrader collect {assignment.id}",
            )
        _must_be_ours(app, folder / CONFIG)
        _must_be_generated(directory, assignment)
        for student, place in folders.items():
            for line in without_links(place):
                on_warning(f"{student}: {line}")
        settings = app.config.HardenedExporter
        book = settings.get("gradebook") or course.state / "gradebook.db"
        work = grade_folders(
            course,
            assignment,
            folders,
            book,
            jobs=jobs,
            tier=tier,
            on_start=on_start,
            on_ready=on_ready,
            on_report=on_report,
        )
        app.config.HardenedExporter.course = str(course.root)
        heard = _Heard()
        app.log.addHandler(heard)
        app.log.setLevel(logging.WARNING)
        failed: list[str] = []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # nbgrader's use of SQLAlchemy is not the user's concern
                _convert(app)
        except NbGraderException:
            failed = heard.errors
        finally:
            app.log.removeHandler(heard)
    for text in heard.warnings:
        on_warning(text)
    return Autograded(tuple(one.report for one in work.values()), tuple(failed))


def _must_be_ours(app: Any, config: Path) -> None:
    """Raise GraderError where the settings would let nbgrader execute what students wrote."""
    if "HardenedExporter" not in str(app.config.Autograde.get("exporter_class", "")):
        raise GraderError(
            "these settings do not let the engine grade, so nothing was run",
            where=config,
            advice="Call configure(c, course=...) there, as `grader nbgrader init` writes it for a new folder",
        )


def _must_be_generated(directory: Any, assignment: Assignment) -> None:
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        try:
            gradebook.find_notebook(Path(assignment.notebook).stem, assignment.id)
        except MissingEntry:
            raise GraderError(
                f"{assignment.id} is not in nbgrader's database",
                advice=f"First: nbgrader generate_assignment {assignment.id}",
            ) from None


def _convert(app: Any) -> None:
    from nbgrader.converters import Autograde

    app.coursedir.assignment_id = app.extra_args[0]
    Autograde(coursedir=app.coursedir, parent=app).start()


def _student(directory: Any, folder: str, assignment: str) -> str:
    import re

    pattern = directory.format_path(directory.submitted_directory, "(?P<student_id>.*)", assignment, escape=True)
    found = re.fullmatch(pattern, folder)
    if found is None:
        raise GraderError(f"whose folder is {folder}?", advice="See CourseDirectory.directory_structure")
    return found["student_id"]
