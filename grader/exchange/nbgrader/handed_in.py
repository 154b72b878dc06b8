"""What a student's folder in nbgrader's `submitted` comes to: which file counts, and what is said about the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from grader.course.assignment import Assignment
from grader.course.identity import handout_modules
from grader.errors import SubmissionError
from grader.exchange.nbgrader.source import is_solution_id, source_notebook
from grader.submissions.choosing import Taken
from grader.submissions.from_files import submission_from_files
from grader.submissions.notebook import read_cells
from grader.submissions.reading import Folder, Refused, Unreadable
from grader.submissions.student_folder import LINK, content_of
from grader.submissions.submission import Submission
from grader.submissions.text import safe_text, student_id

STAMP = "timestamp.txt"
SECRET = "submission_secret.txt"
STAMP_BYTES = 200
_TO_WRITE = re.compile(r"raise NotImplementedError\(.*\)$")
#: text that stands where a symbolic link stood
LINK_TEXT = f"What was handed in here is {LINK}.\n"


@dataclass(frozen=True)
class NotebookCell:
    """A cell as it was handed in: its kind, its source, and the grade_id that its metadata claim."""

    kind: str
    source: str
    claimed: str | None


@dataclass(frozen=True)
class HandedIn:
    """One student's work: what is graded, the cells of the notebook (None where it cannot be read), its file."""

    submission: Submission
    cells: tuple[NotebookCell, ...] | None
    graded_from: str


def read_handed_in(assignment: Assignment, folder: Path, student: str) -> HandedIn:
    """Return what lies in `submitted/<student>/<assignment>`; raises nothing that a student can bring about.

    The notebook counts, unless none of its solution cells has been filled in and there is a module beside it.
    """
    identity = student_id(student)
    try:
        with Folder(folder) as opened:
            content = content_of(assignment, opened)
            received = _stamped(opened)
    except (Refused, Unreadable) as error:
        place = safe_text(str(folder), 400)
        unreadable = Submission(identity, assignment.id, (), source=place, unreadable=f"{place}: {error}")
        return HandedIn(unreadable, None, assignment.notebook)
    taken = replace(content.taken, set_aside=_worth_a_line(assignment, content.taken.set_aside))
    if taken.unreadable is not None:
        lost = Submission(identity, assignment.id, (), source=safe_text(str(folder), 400), unreadable=taken.unreadable)
        return HandedIn(replace(lost, set_aside=taken.set_aside), None, assignment.notebook)
    files, notes, cells = _chosen(assignment, taken)
    submission = submission_from_files(
        assignment,
        identity,
        files,
        source=safe_text(str(folder), 400),
        received=received,
        set_aside=(*taken.set_aside, *notes),
        problem=taken.problem,
    )
    return HandedIn(submission, cells, next(iter(files), assignment.notebook))


def _chosen(
    assignment: Assignment, taken: Taken
) -> tuple[dict[str, bytes], list[str], tuple[NotebookCell, ...] | None]:
    """Return the one file that counts, lines about the other, and the notebook's cells."""
    notebook, module = taken.files.get(assignment.notebook), taken.files.get(assignment.module)
    notes: list[str] = []
    cells = None
    if notebook is not None:
        if notebook == LINK_TEXT.encode():
            notes.append(f"{assignment.notebook}: {LINK}")
        try:
            cells = read_notebook_cells(notebook)
        except SubmissionError:
            pass  # told where it is graded
        else:
            notebook, restored = _as_code(notebook, cells)
            notes += restored
    if notebook is None or module is None:
        return dict(taken.files) | ({assignment.notebook: notebook} if notebook is not None else {}), notes, cells
    if cells is not None and filled_in(assignment, cells):
        return {assignment.notebook: notebook}, [*notes, f"{assignment.module}: {assignment.notebook} counts"], cells
    if _module_is_filled_in(assignment, module) or cells is None:
        why = "it cannot be read" if cells is None else "no solution cell of it is filled in"
        return {assignment.module: module}, [*notes, f"{assignment.notebook}: {why}, {assignment.module} counts"], cells
    return {assignment.notebook: notebook}, notes, cells


def filled_in(assignment: Assignment, cells: tuple[NotebookCell, ...]) -> bool:
    """Say whether any cell defines something that is asked for and is not the cell that was handed out."""
    given = _given(assignment)
    asked = "|".join(map(re.escape, assignment.names))
    defines = re.compile(rf"^(?:(?:async\s+def|def|class)\s+(?:{asked})\b|(?:{asked})\s*[:=])", re.MULTILINE)
    return any(
        cell.source and defines.search(cell.source) and _bare(cell.source) not in given
        for cell in cells
        if cell.kind == "code" or is_solution_id(cell.claimed)
    )


def _module_is_filled_in(assignment: Assignment, content: bytes) -> bool:
    try:
        stub = (assignment.folder / assignment.module).read_text(encoding="utf-8")
    except OSError:
        stub = ""
    text = content.decode("utf-8", "replace")
    return bool(text.strip()) and _bare(text) != _bare(stub)


def _given(assignment: Assignment) -> frozenset[tuple[str, ...]]:
    """Return the code cells as they are handed out, bare."""
    return _given_of(_Key(assignment))


class _Key:
    """An assignment as the key of a cache: two of one folder are the same."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.assignment.folder == other.assignment.folder

    def __hash__(self) -> int:
        return hash(self.assignment.folder)


@lru_cache(maxsize=8)
def _given_of(key: _Key) -> frozenset[tuple[str, ...]]:
    cells = json.loads(source_notebook(key.assignment))["cells"]
    return frozenset(_bare("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code")


def _bare(source: str) -> tuple[str, ...]:
    """Return the lines that say something: no blank ones, no comments, one form of what is still to be written."""
    lines = (_TO_WRITE.sub("raise NotImplementedError", line.rstrip()) for line in source.splitlines())
    return tuple(line for line in lines if line and not line.lstrip().startswith("#"))


# --- the notebook ----------------------------------------------------------------------------------------


def read_notebook_cells(content: bytes) -> tuple[NotebookCell, ...]:
    """Return the cells of a notebook; raises SubmissionError where it is none, or larger than what is read."""
    plain = read_cells(content, "")
    book: Any = json.loads(content)
    raw = book.get("cells") if isinstance(book, dict) else None
    if not isinstance(raw, list) or len(raw) != len(plain):  # nbformat 3
        raw = [{}] * len(plain)
    return tuple(NotebookCell(cell.kind, cell.source, _claimed(one)) for cell, one in zip(plain, raw, strict=True))


def _claimed(cell: object) -> str | None:
    value: object = cell
    for key in ("metadata", "nbgrader", "grade_id"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None


def _as_code(content: bytes, cells: tuple[NotebookCell, ...]) -> tuple[bytes, list[str]]:
    """Return the notebook with solution cells that were made text turned into code again, as nbgrader does."""
    wrong = [n for n, cell in enumerate(cells) if cell.kind != "code" and is_solution_id(cell.claimed)]
    if not wrong:
        return content, []
    book = json.loads(content)
    for number in wrong:
        book["cells"][number]["cell_type"] = "code"
    notes = [f"cell {number + 1}: it was changed to text and is read as code" for number in wrong]
    return json.dumps(book).encode(), notes


# --- what is beside it -----------------------------------------------------------------------------------


def _worth_a_line(assignment: Assignment, notes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the notes without those on files that nbgrader and the handout put there."""
    own = {"README.md", "test_public.py", "assignment.yaml", STAMP, SECRET}
    own |= {path.name for path in handout_modules(assignment)}
    return tuple(note for note in notes if note.rpartition(": ")[0] not in own)


def _stamped(folder: Folder) -> str | None:
    """Return the time in nbgrader's timestamp.txt in ISO form, or None."""
    try:
        with folder.file(STAMP, STAMP_BYTES) as file:
            moment = read_stamp(file.read())
    except (Refused, Unreadable):
        return None
    return moment.isoformat(timespec="seconds") if moment else None


def read_stamp(content: bytes) -> datetime | None:
    """Return the moment that a timestamp.txt names, as nbgrader writes it, or None where it is something else."""
    text = content.decode("ascii", "replace").strip()
    for form in ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"):
        for zone in (" UTC", ""):
            try:
                return datetime.strptime(text, form + zone).replace(tzinfo=UTC)
            except ValueError:
                continue
    return None
