"""`grader nbgrader autograde`: the class at once through the engine, then nbgrader's own autograde on the results."""

from __future__ import annotations

import glob
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.apps.autogradeapp import AutogradeApp
from nbgrader.converters.base import NbGraderException

from grader.checking.report import Report
from grader.course.catalog import Course
from grader.errors import GraderError
from grader.exchange.nbgrader.folder import CONFIG, inside
from grader.exchange.nbgrader.official import official_cells
from grader.exchange.nbgrader.run import Run
from grader.exchange.nbgrader.subjects import subject_of
from grader.exchange.nbgrader.tidy import without_links
from grader.quiz.returned import Result


@dataclass(frozen=True)
class Autograded:
    """What became of the class: reports, or results where it was a quiz, and whom nbgrader could not do, and why.

    `ungraded` says whether anybody has no score yet for a reason on our side, or waits for a person.
    """

    reports: tuple[Report, ...]
    results: tuple[Result, ...]
    failed: tuple[str, ...]
    ungraded: bool


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
    run: Run,
    *,
    on_warning: Callable[[str], None] = lambda text: None,
) -> Autograded:
    """Grade a class and write nbgrader's database, as `nbgrader autograde` in that folder does; raise GraderError.

    What was graded before is not graded again; only this process writes the database.
    """
    if not (folder / CONFIG).is_file():
        raise GraderError(f"there is no {CONFIG}", where=folder, advice=f"First: grader nbgrader init {folder}")
    subject = subject_of(course, assignment_id)
    with inside(folder):
        app = AutogradeApp()
        app.initialize([subject.id, "--quiet"])
        directory = app.coursedir
        pattern = directory.format_path(directory.submitted_directory, directory.student_id, subject.id)
        folders = {_student(directory, found, subject.id): Path(found) for found in sorted(glob.glob(pattern))}
        if not folders:
            raise GraderError(
                f"nobody has handed in {subject.id}",
                where=pattern,
                advice=f"First: nbgrader collect {subject.id}",
            )
        _must_be_ours(app, folder / CONFIG)
        official, _ = official_cells(directory, subject)
        for student, place in folders.items():
            for line in without_links(place):
                on_warning(f"{student}: {line}")
        settings = app.config.HardenedExporter
        book = settings.get("gradebook") or course.state / "gradebook.db"
        work = subject.grade(
            folders,
            official,
            book if "://" in str(book) else Path(book),
            run,
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
    told = [one.told for one in work.values()]
    return Autograded(
        tuple(one for one in told if isinstance(one, Report)),
        tuple(one for one in told if isinstance(one, Result)),
        tuple(failed),
        any(one.stamp["outcome"] == "ungraded" for one in work.values()),
    )


def _must_be_ours(app: Any, config: Path) -> None:
    """Raise GraderError where the settings would let nbgrader execute what students wrote."""
    if "HardenedExporter" not in str(app.config.Autograde.get("exporter_class", "")):
        raise GraderError(
            "these settings do not let the engine grade, so nothing was run",
            where=config,
            advice="Call configure(c, course=...) there, as `grader nbgrader init` writes it for a new folder",
        )


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
