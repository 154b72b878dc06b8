"""Lays a course folder that nbgrader works in, and keeps its source notebooks up to date."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.course.catalog import Course, find_course
from grader.course.files import write_whole
from grader.errors import GraderError
from grader.exchange.nbgrader.quizzes import bank_named, graded_quizzes, quiz_files
from grader.exchange.nbgrader.source import source_files
from grader.quiz.loading import load_bank
from grader.submissions.roster import RosterEntry

CONFIG = "nbgrader_config.py"
MANIFEST = ".unrolled.json"  # what was written, so that an edited file is told from an old one
_COURSE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Laid:
    """What became of one file: "new", "updated", "as it was", or "edited, so it was left"."""

    path: Path
    what: str


def course_id_of(folder: Path, asked: str | None) -> str:
    """Return the course id: as asked, or made of the folder's name; raise GraderError for one that is no id."""
    name = asked if asked is not None else re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.") or "rnn"
    if not _COURSE_ID.fullmatch(name):
        raise GraderError(f"`{name}` is no course id", advice="Use letters, digits, dots, dashes and underscores")
    return name


def lay_folder(course: Course, folder: Path, course_id: str | None, roster: Sequence[RosterEntry]) -> list[Laid]:
    """Make the settings, the source notebooks of all assignments and the database with its students.

    Done again, it brings up to date what it once wrote, and leaves what was edited. Raises GraderError.
    """
    if folder.exists() and not folder.is_dir():
        raise GraderError("this is a file", where=folder, advice="Name a folder for the course")
    if not any(course.secret_folder(one) for one in course.ids) and not graded_quizzes(course):
        raise GraderError(
            "this course has no solutions, so nothing could be graded",
            where=course.root,
            advice="Go to a clone of the project, or name it: grader --course CLONE nbgrader init ...",
        )
    name = course_id_of(folder, course_id)
    path = folder / CONFIG
    if path.is_file() and course_id is None:  # an id that was chosen before stays
        found = re.search(
            r'^c\.CourseDirectory\.course_id = "([^"]+)"$', path.read_text(encoding="utf-8"), re.MULTILINE
        )
        name = found[1] if found else name
    done = [_write(folder, CONFIG, config_text(course, name).encode(), force=False)]
    if "grader.exchange.nbgrader.settings" not in path.read_text(encoding="utf-8", errors="replace"):
        raise GraderError(
            "this file is yours, and it does not let the engine grade",
            where=path,
            advice="Add the lines `from grader.exchange.nbgrader.settings import configure` and "
            f"`{_call_of(course)}` to it, then run this again",
        )
    done += build_sources(course, folder, buildable(course), force=False)
    with settings(folder) as app:
        _add_students(app.coursedir.db_url, name, roster)
    return done


def config_text(course: Course, course_id: str) -> str:
    """Return the text of nbgrader_config.py."""
    return f'''"""Settings of nbgrader for this course; written by `grader nbgrader init`."""

from grader.exchange.nbgrader.settings import configure

c = get_config()
c.CourseDirectory.course_id = "{course_id}"
# grading by the sandboxed engine: docs/nbgrader.md says what this sets
{_call_of(course)}
# your own settings, from here on; once you have edited this file, `grader nbgrader init` leaves it alone
'''


def _call_of(course: Course) -> str:
    # a state that a variable of this shell names is to be the same for formgrader, which may not have the variable
    state = f", state={str(course.state)!r}" if os.environ.get("GRADER_STATE") else ""
    return f"configure(c, course={str(course.root)!r}{state})"


def buildable(course: Course) -> list[str]:
    """Return nbgrader's names of what a course folder gets a source notebook for: assignments and graded quizzes."""
    return [*course.ids, *graded_quizzes(course)]


def build_sources(course: Course, folder: Path, names: Sequence[str], *, force: bool) -> list[Laid]:
    """Write source/<name>/ for each assignment or quiz; files that somebody edited are left, unless `force`.

    Raises GraderError where the folder is no course folder or cannot be written, and for an unknown name.
    """
    banks = {name: bank_named(course, name) for name in names}
    files = {
        name: source_files(course.assignment(name)) if bank is None else quiz_files(course, load_bank(course, bank))
        for name, bank in banks.items()
    }
    if not (folder / CONFIG).is_file():
        raise GraderError(f"there is no {CONFIG}", where=folder, advice=f"First: grader nbgrader init {folder}")
    return [
        _write(folder, f"source/{name}/{file}", content, force=force)
        for name, contents in files.items()
        for file, content in contents.items()
    ]


def _write(folder: Path, name: str, content: bytes, *, force: bool) -> Laid:
    """Write a file unless it was edited since it was written last, and remember what was written."""
    path = folder / name
    known = _manifest(folder)
    new = _sha(content)
    try:
        old = _sha(path.read_bytes())
    except FileNotFoundError:
        old = None
    except OSError as error:
        raise GraderError(f"the file cannot be read ({error.strerror})", where=path) from None
    if old == new:
        what = "as it was"
    elif old is not None and old != known.get(name) and not force:
        return Laid(path, "edited, so it was left")
    else:
        what = "new" if old is None else "updated"
        write_whole(path, content)
    if known.get(name) != new:
        write_whole(folder / MANIFEST, (json.dumps({**known, name: new}, indent=1, sort_keys=True) + "\n").encode())
    return Laid(path, what)


def _manifest(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Stand in a folder for a while: nbgrader reads its settings from where it stands."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def settings(folder: Path) -> Iterator[Any]:
    """Stand in a course folder and yield nbgrader's application with its settings; raise GraderError."""
    from nbgrader.apps import NbGrader

    with inside(folder):
        app = NbGrader()
        try:
            app.initialize([])
        except Exception as error:
            raise GraderError(
                f"the settings cannot be read: {type(error).__name__}: {error}", where=folder / CONFIG
            ) from None
        yield app


def _add_students(db_url: str, course_id: str, roster: Sequence[RosterEntry]) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(db_url, course_id) as gradebook:
        known = {student.id for student in gradebook.students}
        for entry in roster:
            first, _, last = entry.name.rpartition(" ")
            about = {"first_name": first, "last_name": last, "email": entry.email}
            given = {key: value for key, value in about.items() if value}
            if entry.id not in known or given:
                gradebook.update_or_create_student(entry.id, **given)


def configured_course(folder: Path) -> Course | None:
    """Return the course that the settings of a course folder name, None where there are no settings of ours.

    The settings are Python: they are run, as nbgrader runs them. Raises GraderError where they cannot be.
    """
    from traitlets.config.loader import PyFileConfigLoader

    if not (folder / CONFIG).is_file():
        return None
    try:
        ours = PyFileConfigLoader(CONFIG, path=str(folder.resolve())).load_config().HardenedExporter
    except Exception as error:  # whatever the instructor wrote there
        raise GraderError(
            f"these settings cannot be read: {type(error).__name__}: {error}",
            where=folder / CONFIG,
            advice="Mend them.",
        ) from error
    root, state = ours.get("course"), ours.get("state")
    if not isinstance(root, str):
        return None
    return find_course(Path(root), state=Path(state) if isinstance(state, str) else None)
