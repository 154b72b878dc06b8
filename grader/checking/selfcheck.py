"""Run a suite under plain pytest: find the module that it is about and open a plain process for it."""

from __future__ import annotations

from pathlib import Path

from grader.checking.plugin import Examination
from grader.course.assignment import Assignment
from grader.course.catalog import find_course
from grader.course.handout import detect_assignment
from grader.course.loading import load_assignment
from grader.errors import GraderError
from grader.sandbox.contents import contents
from grader.sandbox.plain import open_box
from grader.sandbox.session import Session
from grader.submissions.submission import Submission


def assignment_of(suite: Path) -> Assignment | None:
    """Return the assignment that a suite belongs to: of its folder, of solutions/<id>, or of the module beside it."""
    folder = suite.parent
    if (folder / "assignment.yaml").is_file():
        return load_assignment(folder, None)
    public = folder.parent.parent / "assignments" / folder.name
    if folder.parent.name == "solutions" and (public / "assignment.yaml").is_file():
        return load_assignment(public, folder)
    try:
        return detect_assignment(find_course(), folder)
    except GraderError:
        return None


def open_session(submission: Submission, assignment: Assignment) -> Session:
    """Open a tier 0 session on a submission: for code that the user owns."""
    return Session(
        open_box(contents(assignment.packages)),
        assignment.limits,
        Path(assignment.module).stem,
        [(chunk.label, chunk.source) for chunk in submission.chunks],
        list(assignment.names),
        tensors="torch" in assignment.packages,
    )


def examination_for(suite: Path, submission: str | None, seed: int) -> Examination | None:
    """Return the examination for a suite file; None where no assignment belongs to it."""
    from grader.submissions.discover import read_one

    assignment = assignment_of(suite)
    if assignment is None:
        return None
    path = Path(submission) if submission else suite.parent / assignment.module
    return Examination(open_session(read_one(assignment, path), assignment), assignment.names, seed)
