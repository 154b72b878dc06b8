"""Puts what a student handed in back into the official cells, so that nothing of its metadata is ever believed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grader.exchange.nbgrader.handed_in import NotebookCell
from grader.exchange.nbgrader.source import SCHEMA

_ASSIGNED = re.compile(r"(answer_[0-9]+) = ")  # how the answer cell of a quiz begins
MISSING = "# This cell was not in what was handed in."
UNREADABLE = "*The notebook that was handed in cannot be read; what is known of it stands at the top.*"


@dataclass(frozen=True)
class OfficialCell:
    """A cell of the assignment as nbgrader's database has it; `points` is None where it carries none."""

    grade_id: str
    kind: str
    source: str
    locked: bool
    solution: bool
    points: float | None
    checksum: str | None

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the cell's metadata."""
        known: dict[str, Any] = {
            "schema_version": SCHEMA,
            "grade_id": self.grade_id,
            "grade": self.points is not None,
            "solution": self.solution,
            "locked": self.locked,
            "task": False,
            "cell_type": self.kind,
        }
        if self.points is not None:
            known["points"] = self.points
        if self.checksum:
            known["checksum"] = self.checksum
        fixed = {"deletable": False, "editable": False} if not self.solution else {}
        return {"nbgrader": known, **fixed}


@dataclass
class Rebuilt:
    """The notebook as plain JSON data, and a line for each thing that was not as it was handed out."""

    cells: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rebuild(official: Sequence[OfficialCell], handed_in: Sequence[NotebookCell] | None) -> Rebuilt:
    """Return the official cells with the student's answers in them, in the student's order.

    An answer is told by its grade_id (the last cell that claims it, as nbgrader does), or else by what it defines.
    Everything official that was deleted or changed is put back; other cells of the student stay as plain cells.
    """
    result = Rebuilt()
    by_id = {cell.grade_id: cell for cell in official}
    places: dict[str, int] = {}  # grade_id -> the student's cell that has it
    cells = list(handed_in) if handed_in is not None else [NotebookCell("markdown", UNREADABLE, None)]
    for number, cell in enumerate(cells):
        if cell.claimed in by_id:
            if cell.claimed in places:
                result.notes.append(f"cell {places[cell.claimed] + 1}: a later cell has the same id")
            places[cell.claimed] = number
    owner = {number: grade_id for grade_id, number in places.items()}
    if handed_in is not None:
        for answer in official:
            if answer.solution and answer.grade_id not in places:
                found = _by_definition(answer, cells, owner)
                if found is not None:
                    places[answer.grade_id], owner[found] = found, answer.grade_id
    out: list[tuple[str | None, dict[str, Any]]] = []
    for number, cell in enumerate(cells):
        grade_id = owner.get(number)
        if grade_id is None:
            if cell.source.strip():
                out.append((None, _cell(cell.kind, cell.source, {})))
            continue
        one = by_id[grade_id]
        if one.solution:
            out.append((grade_id, _cell(one.kind, cell.source, one.metadata)))
            continue
        out.append((grade_id, _cell(one.kind, one.source, one.metadata)))
        if cell.source.strip() != one.source.strip():
            result.notes.append(f"cell {number + 1}: `{grade_id}` was changed; the original was put back")
            if cell.kind == "code" and cell.source.strip():  # what stood there is graded as any other code
                out.append((None, _cell(cell.kind, cell.source, {})))
    _put_back(official, out, result, told=handed_in is not None)
    result.cells = [cell for _, cell in out]
    return result


def _put_back(
    official: Sequence[OfficialCell], out: list[tuple[str | None, dict[str, Any]]], result: Rebuilt, *, told: bool
) -> None:
    """Insert each official cell that is missing after the one that it follows."""
    before: str | None = None
    present = {grade_id for grade_id, _ in out}
    for cell in official:
        if cell.grade_id not in present:
            source = f"{MISSING}\n{cell.source}" if cell.solution and cell.kind == "code" else cell.source
            place = next((n + 1 for n, (grade_id, _) in enumerate(out) if grade_id == before), 0) if before else 0
            out.insert(place, (cell.grade_id, _cell(cell.kind, source, cell.metadata)))
            if told:
                what = "is missing" if cell.solution else "was missing; it was put back"
                result.notes.append(f"the cell `{cell.grade_id}` {what}")
        before = cell.grade_id


def _by_definition(cell: OfficialCell, cells: Sequence[NotebookCell], owner: dict[int, str]) -> int | None:
    """Return the last cell without an id of its own that defines, or assigns, what the official one asks for."""
    assigned = _ASSIGNED.match(cell.source)
    if assigned is not None:
        defines = re.compile(rf"^{assigned[1]}\s*=", re.MULTILINE)
    else:
        name = re.escape(cell.grade_id.removeprefix("solution-"))
        defines = re.compile(rf"^(?:async\s+def|def|class)\s+{name}\b", re.MULTILINE)
    found = [
        number
        for number, one in enumerate(cells)
        if number not in owner and one.kind == "code" and defines.search(one.source)
    ]
    return found[-1] if found else None


def _cell(kind: str, source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    # a lone surrogate cannot be written to a file
    text = source.encode("utf-8", "backslashreplace").decode("utf-8")
    one: dict[str, Any] = {"cell_type": kind, "metadata": metadata, "source": text}
    if kind == "code":
        one |= {"outputs": [], "execution_count": None}
    return one
