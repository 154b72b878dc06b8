"""Where the course is, where its state lies, and which assignments it has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import grader
from grader.course.assignment import Assignment
from grader.course.loading import load_assignment
from grader.course.spelling import suggestion
from grader.errors import CourseError

#: The course inside an installed package; it holds no solutions and is not written to.
PACKAGED = Path(grader.__file__).resolve().parent / "_course"


@dataclass(frozen=True)
class Course:
    """A course: `root` holds assignments/ and perhaps solutions/; `state` the gradebook and the secret."""

    root: Path
    state: Path

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of the assignments, sorted, without reading them."""
        return _ids(self.root)

    def secret_folder(self, assignment_id: str) -> Path | None:
        """Return solutions/<id> where it is installed, else None."""
        folder = self.root / "solutions" / assignment_id
        return folder if folder.is_dir() else None

    def assignments(self) -> tuple[Assignment, ...]:
        """Return all assignments, sorted by id; raise CourseError (file:line:column) for a broken one."""
        return tuple(self.assignment(assignment_id) for assignment_id in self.ids)

    def assignment(self, assignment_id: str) -> Assignment:
        """Return one assignment; raise CourseError when there is none of that id or it is broken."""
        ids = self.ids
        if assignment_id not in ids:
            raise CourseError(
                f"there is no assignment `{assignment_id}`",
                advice=suggestion(assignment_id, ids, "assignments"),
            )
        return load_assignment(self.root / "assignments" / assignment_id, self.secret_folder(assignment_id))


def find_course(explicit: Path | None = None, *, empty: bool = False, state: Path | None = None) -> Course:
    """Return the course to work on; raise CourseError when there is none.

    It is `explicit`, else the folder in the variable GRADER_COURSE, else the nearest folder from here upwards
    that has assignments/*/assignment.yaml, else the course that is installed with the package. With `empty`, a folder
    that is named need not hold an assignment yet: its first one is about to be laid. `state` is where the state of a
    named course lies unless the variable GRADER_STATE says otherwise.
    """
    if explicit is not None:
        return _named(explicit, "--course", empty, state)
    variable = os.environ.get("GRADER_COURSE")
    if variable:
        return _named(Path(variable), "GRADER_COURSE", empty, state)
    try:
        here = Path.cwd()
    except OSError:  # the folder we stand in was deleted
        here = PACKAGED
    for folder in (here, *here.parents):
        if _ids(folder):
            return _course(folder)
    if _ids(PACKAGED):
        return _course(PACKAGED)
    raise CourseError(
        "there is no course here: no folder from here upwards has assignments/*/assignment.yaml",
        where=here,
        advice="Go to the course's folder, or name it with --course or GRADER_COURSE.",
    )


def _named(folder: Path, by: str, empty: bool, state: Path | None) -> Course:
    root = _expanded(folder)
    if not _ids(root) and not (empty and root.is_dir()):
        what = "has no assignments/*/assignment.yaml" if root.is_dir() else "is no folder"
        raise CourseError(f"{by} {what}", where=root, advice="Name the folder that holds assignments/.")
    return _course(root, state)


def _course(folder: Path, state: Path | None = None) -> Course:
    root = folder.resolve()
    variable = os.environ.get("GRADER_STATE")
    if variable:
        return Course(root, _expanded(Path(variable)))
    if state is not None:
        return Course(root, _expanded(state))
    if root == PACKAGED:
        base = os.environ.get("XDG_STATE_HOME", "")
        # The XDG rules say that a relative path in the variable is to be ignored.
        home = Path(base) if Path(base).is_absolute() else _expanded(Path("~/.local/state"))
        return Course(root, home / "unrolled")
    return Course(root, root / ".grader")


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise CourseError(
            "the home folder in this path is not known",
            where=path,
            advice="Name the folder in full.",
        ) from None


def _ids(root: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(path.parent.name for path in (root / "assignments").glob("[!.]*/assignment.yaml")))
    except OSError:
        return ()
