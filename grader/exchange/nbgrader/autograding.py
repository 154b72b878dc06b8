"""`grader nbgrader autograde`: the class at once through the engine, then nbgrader's own autograde on the results."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.apps.autogradeapp import AutogradeApp
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException

from grader.checking.report import Report
from grader.course.catalog import Course
from grader.errors import GraderError
from grader.exchange.nbgrader.exporter import add_modules, asking
from grader.exchange.nbgrader.folder import CONFIG, inside
from grader.exchange.nbgrader.run import Run
from grader.exchange.nbgrader.subjects import Subject, subject_of
from grader.exchange.nbgrader.submitted import submitted_folders
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


class _Autograde(Autograde):  # type: ignore[misc]  # nbgrader has no types
    """nbgrader's own, also for a class in which nobody handed in a notebook."""

    def __init__(self, subject: Subject, folders: Mapping[str, Path], **kwargs: Any) -> None:
        self._subject, self._folders = subject, folders
        super().__init__(**kwargs)

    def init_notebooks(self) -> None:
        """Find what was handed in: notebooks, and modules without one."""
        try:
            super().init_notebooks()
        except NbGraderException:
            add_modules(self, self._folders, self._subject)
            if not self.assignments:
                raise


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
        folders = submitted_folders(directory, subject.id)
        if not folders:
            raise GraderError(
                f"nobody has handed in {subject.id}",
                where=directory.format_path(directory.submitted_directory, directory.student_id, subject.id),
                advice=f"First: nbgrader collect {subject.id}",
            )
        _must_be_ours(app, folder / CONFIG)
        heard = _Heard()
        app.log.addHandler(heard)
        app.log.setLevel(logging.WARNING)
        failed: list[str] = []
        directory.assignment_id = subject.id
        try:
            with asking(course, run) as asked, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # nbgrader's use of SQLAlchemy is not the user's concern
                _Autograde(subject, folders, coursedir=directory, parent=app).start()
        except NbGraderException:
            failed = heard.errors
        finally:
            app.log.removeHandler(heard)
    for text in heard.warnings:
        on_warning(text)
    told = [one.told for one in asked.work.values()]
    return Autograded(
        tuple(one for one in told if isinstance(one, Report)),
        tuple(one for one in told if isinstance(one, Result)),
        tuple(failed),
        any(one.stamp["outcome"] == "ungraded" for one in asked.work.values()),
    )


def _must_be_ours(app: Any, config: Path) -> None:
    """Raise GraderError where the settings would let nbgrader execute what students wrote."""
    if "HardenedExporter" not in str(app.config.Autograde.get("exporter_class", "")):
        raise GraderError(
            "these settings do not let the engine grade, so nothing was run",
            where=config,
            advice="Call configure(c, course=...) there, as `grader nbgrader init` writes it for a new folder",
        )
