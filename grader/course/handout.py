"""Handing an assignment out to a student, and recognising which one a student's file belongs to."""

from __future__ import annotations

import json
import os
from pathlib import Path

from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.course.files import read_bytes
from grader.course.identity import handout_modules
from grader.course.spelling import suggestion
from grader.errors import CourseError, SubmissionError

# A notebook larger than this is not opened to look for the name of its assignment.
NOTEBOOK_BYTES = 20 * 1024 * 1024


def copy_handout(assignment: Assignment, target: Path) -> list[Path]:
    """Copy an assignment's handout into a folder and return the paths written; raise CourseError.

    These are README.md, the stub, the notebook form, the public suite and helper modules, if any. A file that
    is there already and differs is a student's work: then nothing is written at all. Identical ones are left.
    """
    names = ["README.md", assignment.module, assignment.notebook, "test_public.py"]
    names += [path.name for path in handout_modules(assignment)]
    if target.resolve() == assignment.folder.resolve():
        raise CourseError(
            "this is the course's own folder of the assignment",
            where=target,
            advice="Start in a folder of your own.",
        )
    content = {name: read_bytes(assignment.folder / name) for name in names}
    new: list[str] = []
    for name in names:
        path = target / name
        if not os.path.lexists(path):
            new.append(name)
        elif not path.is_file() or path.read_bytes() != content[name]:
            raise CourseError(
                "this file is there already, and nothing is overwritten",
                where=path,
                advice="Start in another folder, or move it away first.",
            )
    written: list[Path] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in new:
            with (target / name).open("xb") as stream:
                written.append(target / name)
                stream.write(content[name])
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise CourseError(
            f"the handout cannot be written here ({error.strerror})",
            where=target,
            advice="Choose another folder.",
        ) from None
    return written


def detect_assignment(course: Course, path: Path) -> Assignment:
    """Return the assignment that a student's file or folder belongs to; raise SubmissionError or CourseError.

    A file is known by its name (bptt.py, bptt.ipynb), a renamed notebook by the assignment that it carries in
    its metadata; a folder by the one such file in it.
    """
    known = {name: assignment_id for assignment_id in course.ids for name in _file_names(assignment_id)}
    if path.is_dir():
        try:
            names = sorted(entry.name for entry in path.iterdir())
        except OSError as error:
            raise SubmissionError(f"the folder cannot be read ({error.strerror})", where=path) from None
        found = sorted({known[name] for name in names if name in known})
        if not found:
            found = sorted({one for name in names if (one := _carried(course, path / name)) is not None})
        if len(found) > 1:
            raise SubmissionError(
                f"this folder has files of several assignments ({', '.join(found)})",
                where=path,
                advice="Name the file instead of the folder.",
            )
        if not found:
            raise SubmissionError(
                "this folder has no file of an assignment",
                where=path,
                advice=_wanted(course, path.resolve().name),
            )
        return course.assignment(found[0])
    if not path.exists():
        raise SubmissionError("there is no such file or folder", where=path)
    assignment_id = known.get(path.name) or _carried(course, path)
    if assignment_id is None:
        raise SubmissionError(
            "this file's name is not that of an assignment", where=path, advice=_wanted(course, path.stem)
        )
    return course.assignment(assignment_id)


def _file_names(assignment_id: str) -> tuple[str, str]:
    return f"{assignment_id}.py", f"{assignment_id}.ipynb"


def _wanted(course: Course, word: str) -> str:
    if word in course.ids:
        return f"It should have {' or '.join(_file_names(word))}."
    return "It should be named like its assignment, with .py or .ipynb. " + suggestion(word, course.ids, "assignments")


def _carried(course: Course, path: Path) -> str | None:
    """Return the assignment that a notebook's metadata name, if this course has it."""
    try:
        if path.suffix != ".ipynb" or not path.is_file() or path.stat().st_size > NOTEBOOK_BYTES:
            return None
        found = json.loads(path.read_bytes())["metadata"]["unrolled"]["assignment"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) and found in course.ids else None
