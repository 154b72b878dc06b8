"""What nbgrader's autograde reads and writes notebooks through: it grades the class first, then rebuilds each one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbformat.notebooknode import NotebookNode, from_dict
from nbgrader.converters.base import NbGraderException
from nbgrader.utils import rmtree
from traitlets import Integer, Unicode

from grader.checking.report import Report
from grader.course.catalog import Course, find_course
from grader.errors import GraderError
from grader.exchange.nbgrader.official import official_cells
from grader.exchange.nbgrader.one_engine import keep_engines
from grader.exchange.nbgrader.rebuild import rebuild
from grader.exchange.nbgrader.run import Run
from grader.exchange.nbgrader.subjects import Graded, Subject, in_a_line, subject_of
from grader.exchange.nbgrader.submitted import submitted_folders
from grader.exchange.nbgrader.tidy import without_links
from grader.quiz.returned import Result

WORK = "unrolled"  # where the preprocessors find a student's turn among nbconvert's resources
# what a link must not begin with; a space keeps Markdown from making a link of it
_SCRIPT_LINK = re.compile(r"(javascript|vbscript|data)[\\\s]*:", re.IGNORECASE)
STAMP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Turn:
    """Everything about the student whose notebook is being converted."""

    subject: Subject
    graded: Graded
    notes: tuple[str, ...]


@dataclass
class Asked:
    """What `grader nbgrader autograde` asks of the exporter, and the work of every student, once it is graded."""

    course: Course
    run: Run
    work: Mapping[str, Graded] = field(default_factory=dict)


_ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)


@contextmanager
def asking(course: Course, run: Run) -> Iterator[Asked]:
    """Let the exporter that nbgrader makes in here grade for this course in this way, whatever its settings say.

    nbgrader makes it by its import string, so nothing can be handed to it.
    """
    asked = Asked(course, run)
    token = _ASKED.set(asked)
    try:
        yield asked
    finally:
        _ASKED.reset(token)


def why_not(text: str) -> NbGraderException:
    """Return nbgrader's own exception with one line."""
    return NbGraderException(" ".join(text.split()))


class HardenedExporter(NotebookExporter):  # type: ignore[misc]  # nbconvert has no types
    """Read what students handed in without believing it, and hand official cells on."""

    course = Unicode("", help="Folder that holds assignments/ and solutions/.").tag(config=True)
    state = Unicode("", help="The course's state folder; by default .grader in it.").tag(config=True)
    gradebook = Unicode("", help="Our gradebook: a file or a URL; by default in the course's state.").tag(config=True)
    jobs = Integer(0, help="Submissions graded at the same time; 0 is the number of cores.").tag(config=True)
    tier = Integer(-1, help="Sandbox: 1 or 2; -1 is the strongest of them.").tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Grade the class that the converter is about to convert."""
        super().__init__(*args, **kwargs)
        self._work: Mapping[str, Graded] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        keep_engines()
        try:
            self._grade()
        except GraderError as error:
            if _ASKED.get() is not None:  # whoever asked tells it
                raise
            self.log.error("%s", error)
            raise why_not(str(error)) from None

    # --- before the first notebook ---------------------------------------------------------------------------

    def _grade(self) -> None:
        converter = self.parent
        directory = converter.coursedir
        asked = _ASKED.get() or Asked(self._course(), self._run())
        self._subject = subject_of(asked.course, directory.assignment_id)
        self._official, self._kernelspec = official_cells(directory, self._subject)
        folders = submitted_folders(directory, self._subject.id)
        add_modules(converter, folders, self._subject)
        for student, folder in folders.items():
            for line in without_links(folder):
                self.log.warning("%s: %s", student, line)
        gradebook: Path | str = self.gradebook or asked.course.state / "gradebook.db"
        if "://" not in str(gradebook):
            gradebook = Path(gradebook)
        self._work = asked.work = self._subject.grade(folders, self._official, gradebook, asked.run)
        for student, folder in folders.items():
            if str(folder) in converter.assignments:
                self._clear_unfinished(student)

    def _course(self) -> Course:
        return find_course(Path(self.course) if self.course else None, state=Path(self.state) if self.state else None)

    def _run(self) -> Run:
        """Return how a class is graded where nobody asks but nbgrader: as the settings say, told in its log."""
        told = {"done": 0, "todo": 0}

        def started(todo: int, skipped: int) -> None:
            told["todo"] = todo
            self.log.info("%d submissions to grade, %d graded before", todo, skipped)

        def reported(report: Report | Result) -> None:
            told["done"] += 1
            self.log.info("Graded %d of %d: %s", told["done"], told["todo"], in_a_line(report))

        return Run(
            jobs=self.jobs or os.cpu_count() or 1,
            tier=self.tier if self.tier > 0 else None,
            on_start=started,
            on_report=reported,
        )

    def _clear_unfinished(self, student: str) -> None:
        """Remove a graded notebook that was cut short, is ungraded, or is about other work, suite or seed.

        nbgrader passes over every student with a folder in `autograded`, whatever is in it.
        """
        directory = self.parent.coursedir
        folder = Path(directory.format_path(directory.autograded_directory, student, directory.assignment_id))
        if not folder.exists() or directory.notebook_id != "*":
            return
        path = folder / self._subject.notebook
        try:
            found = None
            if path.stat().st_size <= STAMP_BYTES:
                found = json.loads(path.read_bytes())["metadata"]["unrolled"]["graded"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            found = None
        if found != self._work[student].stamp or found["outcome"] != "graded":
            self.log.info("%s is graded again: what lies in %s is not finished or not current", student, folder)
            rmtree(str(folder))

    # --- each notebook ---------------------------------------------------------------------------------------

    def turn(self, resources: Mapping[str, Any]) -> Turn:
        """Return everything about the student whose notebook is being converted."""
        student = resources["nbgrader"]["student"]
        return Turn(self._subject, self._work[student], self._notes.get(student, ()))

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """Convert one notebook: what was handed in is rebuilt, what we have written ourselves is read as it is."""
        if not self.parent._sanitizing or resources is None:
            return super().from_filename(filename, resources=resources, **kw)  # type: ignore[no-any-return]
        student = resources["nbgrader"]["student"]
        rebuilt = rebuild(self._official, self._work[student].cells)
        self._notes[student] = tuple(rebuilt.notes)
        for line in rebuilt.notes:
            self.log.warning("%s: %s", student, line)
        book = {
            "cells": [self._harmless(cell) for cell in rebuilt.cells],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 4,
        }
        book["metadata"] = {"kernelspec": self._kernelspec, "language_info": {"name": "python"}}
        nb: NotebookNode = from_dict(book)
        return self.from_notebook_node(nb, resources=resources, **kw)  # type: ignore[no-any-return]

    def _harmless(self, cell: dict[str, Any]) -> dict[str, Any]:
        """Return a cell whose prose cannot act in the browser of whoever grades it."""
        if cell["cell_type"] == "code" or cell["metadata"].get("nbgrader", {}).get("locked"):
            return cell
        from nbconvert.preprocessors.sanitize import SanitizeHTML

        text = "" if cell["cell_type"] == "raw" else SanitizeHTML().sanitize_html_tags(cell["source"])
        return {**cell, "source": _SCRIPT_LINK.sub(r"\1 :", text)}


def add_modules(converter: Any, folders: Mapping[str, Path], subject: Subject) -> None:
    """Let students take part who handed in the module without a notebook: nbgrader looks for notebooks only."""
    for folder in folders.values():
        if subject.module is not None and os.path.lexists(folder / subject.module):
            converter.assignments.setdefault(str(folder), [str(folder / subject.notebook)])
