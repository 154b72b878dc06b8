"""Tells from the name of a file or folder whose work it is, and what kind of file it is."""

from __future__ import annotations

import os
from pathlib import Path

from grader.course.assignment import Assignment
from grader.submissions.choosing import archive_ending, other_archive_ending
from grader.submissions.text import student_id

#: Names of folders that say where work lies, not whose it is.
_PLACES = frozenset(
    {"submissions", "submitted", "source", "release", "autograded", "assignments", "solutions"}
    | {"downloads", "desktop", "documents", "home", "tmp"}
)
LOOSE_ENDINGS = (".py", ".ipynb")


def folder_id(path: Path) -> str:
    """Return whose the folder is: its name, or that of the current folder for "."."""
    return student_id(path.name or Path(os.path.abspath(path)).name or "student")


def file_id(assignment: Assignment, path: Path) -> str:
    """Return whose the one file is that was named: by its own name, or else by its folder's."""
    stem = _bare(path.name)
    if stem not in (assignment.id, Path(assignment.module).stem, "submission", f"{assignment.id}-submission"):
        return stem_id(assignment, path.name)
    for part in reversed(path.parent.parts):
        if part == assignment.id:
            continue  # nbgrader's <student>/<assignment>/
        if part.lower() in _PLACES or part in ("..", path.anchor):
            break
        return student_id(part)
    return stem_id(assignment, path.name)


def stem_id(assignment: Assignment, name: str) -> str:
    """Return the student id in the name of a file: its stem, less the "<assignment>-" of packing."""
    stem = _bare(name)
    return student_id(stem.removeprefix(f"{assignment.id}-") or stem)


def _bare(name: str) -> str:
    ending = archive_ending(name) or other_archive_ending(name)
    return name[: -len(ending)] if ending else Path(name).stem


def is_loose(name: str) -> bool:
    """Say whether a file of this name is a submission by itself: a module, a notebook, an archive."""
    return name.lower().endswith(LOOSE_ENDINGS) or archive_ending(name) is not None


def is_test(name: str) -> bool:
    """Say whether a file of this name is a test, not a submission."""
    # The handout's own suite, and what pytest reads, are no student's.
    return name.endswith(".py") and (name.startswith("test_") or name == "conftest.py")
