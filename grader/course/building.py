"""What is generated from the reference: the stub and its notebook form, written only where they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.course.assignment import Assignment
from grader.course.files import write_whole
from grader.course.notebook_form import derive_notebook
from grader.course.reference import read_reference, reference_path
from grader.course.stub import derive_stub


@dataclass(frozen=True)
class Generated:
    """A generated file: where it belongs and what it must hold."""

    path: Path
    content: bytes


def generated_files(assignment: Assignment) -> list[Generated]:
    """Return the stub and the notebook form as they must be; raise CourseError.

    Needs the solutions. The reference must define every name that assignment.yaml declares.
    """
    stub = derive_stub(read_reference(assignment), str(reference_path(assignment)))
    notebook = derive_notebook(stub, assignment)
    return [
        Generated(assignment.folder / assignment.module, stub.encode()),
        Generated(assignment.folder / assignment.notebook, notebook.encode()),
    ]


def stale(files: Sequence[Generated]) -> list[Path]:
    """Return the paths that are missing or hold something else."""
    return [file.path for file in files if not _current(file)]


def write_generated(files: Sequence[Generated]) -> list[Path]:
    """Write the files that are stale, each whole or not at all, and return their paths; raise CourseError."""
    changed = [file for file in files if not _current(file)]
    for file in changed:
        write_whole(file.path, file.content)
    return [file.path for file in changed]


def _current(file: Generated) -> bool:
    try:
        return file.path.read_bytes() == file.content
    except OSError:
        return False
