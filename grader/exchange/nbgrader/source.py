"""The source notebook of an assignment, as nbgrader wants it: handout, a solution cell a function, a cell a part."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from grader.course.assignment import Assignment, Part
from grader.course.files import read_bytes, read_text
from grader.course.identity import handout_modules
from grader.course.notebook_form import derive_notebook
from grader.course.stub import BEGIN, END
from grader.reports.text import points as as_points

SCHEMA = 3
_OPEN = re.compile(r'^( *)raise NotImplementedError\("[\w.]+: write this part"\)$', re.MULTILINE)


def solution_id(name: str) -> str:
    """Return the grade_id of the cell in which a function or class is written."""
    return f"solution-{name}"


def is_solution_id(grade_id: str | None) -> bool:
    """Say whether a grade_id has the form of a solution cell's."""
    return grade_id is not None and grade_id.startswith(solution_id(""))


def part_id(part: str) -> str:
    """Return the grade_id of the cell that carries a part's points."""
    return f"part-{part}"


def part_of(grade_id: str, assignment: Assignment) -> Part | None:
    """Return the part whose points a cell carries, or None where it is no such cell."""
    return next((part for part in assignment.parts if part_id(part.id) == grade_id), None)


def source_notebook(assignment: Assignment) -> str:
    """Return the source notebook (nbformat 4.5, JSON text) of an assignment; raise CourseError.

    Read-only cells hold the handout, each function or class that a student writes has a solution cell, and each
    part a cell with its points, which runs its public checks. Nothing in it comes from the solutions. Ids depend
    only on names.
    """
    form = json.loads(derive_notebook(read_text(assignment.folder / assignment.module), assignment))
    handout = _split(read_text(assignment.folder / "README.md"), {part.id for part in assignment.parts})
    cells: list[dict[str, Any]] = [_locked("handout-how-to-use", _introduction(assignment))]
    cells += [_locked(f"handout-{section.slug}", section.text) for section in handout.top]
    code = [cell for cell in form["cells"] if cell["cell_type"] == "code"]
    parts = {part.id: part for part in assignment.parts}
    asked = [cell["metadata"].get("unrolled", {}).get("part") if _is_asked(cell) else None for cell in code]
    begun: list[str] = []
    current: str | None = None
    for number, (cell, name) in enumerate(zip(code, asked, strict=True)):
        text = "".join(cell["source"])
        if name is not None and name != current:
            again = begun.count(name)
            label = f"{part_id(name)}-text" + (f"-{again + 1}" if again else "")
            cells.append(_locked(label, _heading(parts[name], "" if again else handout.body(name), bool(again))))
            begun.append(name)
            current = name
        if _is_asked(cell):
            cells.append(_solution(cell["metadata"]["unrolled"]["name"], text))
        else:
            cells.append(_code(cell["id"], text, {}))
        if name is not None and name not in asked[number + 1 :]:
            cells.append(_points(assignment, parts[name]))
    for part in assignment.parts:  # a part without names of its own
        if part.id not in begun:
            cells += [
                _locked(f"{part_id(part.id)}-text", _heading(part, handout.body(part.id), False)),
                _points(assignment, part),
            ]
    cells += [_locked(f"handout-{section.slug}", section.text) for section in handout.end]
    metadata = {**form["metadata"], "unrolled": {"assignment": assignment.id}}
    book = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def source_files(assignment: Assignment) -> dict[str, bytes]:
    """Return what lies in the source folder of an assignment, by name; raise CourseError.

    The notebook, the handout, the public suite and the handout's helper modules. The stub is not among them: who
    wants to hand in a module gets it by `grader start`.
    """
    names = ["README.md", "test_public.py", *(path.name for path in handout_modules(assignment))]
    return {
        assignment.notebook: source_notebook(assignment).encode(),
        **{name: read_bytes(assignment.folder / name) for name in names},
    }


def grade_ids(notebook: str | bytes) -> list[str]:
    """Return the grade_ids of a source notebook (JSON text), in order."""
    cells = json.loads(notebook)["cells"]
    return [cell["metadata"]["nbgrader"]["grade_id"] for cell in cells if "nbgrader" in cell["metadata"]]


def _is_asked(cell: dict[str, Any]) -> bool:
    """Say whether a cell of the notebook form has something for a student to write; the others are given."""
    return "name" in cell["metadata"].get("unrolled", {}) and _OPEN.search("".join(cell["source"])) is not None


# --- cells -----------------------------------------------------------------------------------------------


def _nbgrader(grade_id: str, kind: str, **values: object) -> dict[str, Any]:
    plain = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": SCHEMA}
    return {"nbgrader": {**plain, "grade_id": grade_id, "cell_type": kind, **values}}


def _locked(grade_id: str, text: str) -> dict[str, Any]:
    return {
        "cell_type": "markdown",
        "id": grade_id[:64],
        "metadata": _nbgrader(grade_id, "markdown", locked=True),
        "source": text.splitlines(keepends=True),
    }


def _code(cell_id: str, text: str, metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell_id[:64],
        "metadata": metadata,
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }


def _solution(name: str, text: str) -> dict[str, Any]:
    # nbgrader replaces a solution cell without markers as a whole, and the signature would be gone
    marked = _OPEN.sub(rf"\g<1>{BEGIN}\n\g<0>\n\g<1>{END}", text)
    return _code(solution_id(name), marked, _nbgrader(solution_id(name), "code", solution=True))


def _points(assignment: Assignment, part: Part) -> dict[str, Any]:
    text = f"""# {_counted(part.points)} for the part "{part.id}", given later by hidden checks on other inputs.
# This cell runs the public checks of the part on the cells that were run before.
from grader.exchange.in_notebook import public_checks

public_checks("{assignment.id}", "{part.id}")"""
    return _code(
        part_id(part.id), text, _nbgrader(part_id(part.id), "code", grade=True, locked=True, points=part.points)
    )


def _counted(value: float) -> str:
    return f"{as_points(value)} {'point' if value == 1 else 'points'}"


def _heading(part: Part, body: str, again: bool) -> str:
    more = " (continued)" if again else f", {_counted(part.points)}"
    # headed by its id, as in README.md, so that the handout's links find it
    return f"## {part.id}\n\n**{part.title}**{more}" + (f"\n\n{body}" if body else "")


def _introduction(assignment: Assignment) -> str:
    return f"""# {assignment.title}: how to work in this notebook

1. Fill in each cell that raises `NotImplementedError`. Keep the names and the arguments; add cells of your own
   wherever you like. Text and the cells with points are put back as they were before your work is graded.
2. The cells with points run the public checks of their part on what this kernel has run so far. All of them at
   once: **Validate**, or `nbgrader validate {assignment.notebook}`. Outside the notebook: `grader check`.
3. Save, then hand in: **Submit**, or `nbgrader submit {assignment.id}`.

If you would rather write a Python file, put `{assignment.module}` beside this notebook (`grader start {assignment.id}`
gives you one to fill in): it counts as long as no solution cell of the notebook has been filled in."""


# --- the handout -----------------------------------------------------------------------------------------


@dataclass
class _Section:
    slug: str
    heading: str
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join([self.heading, *self.lines] if self.heading else self.lines).strip()


@dataclass
class _Handout:
    top: list[_Section]
    parts: dict[str, list[_Section]]
    end: list[_Section]

    def body(self, part: str) -> str:
        """Return the text of a part's section without its heading, and of what stands between it and the next."""
        sections = self.parts.get(part, [])
        return "\n\n".join(
            "\n".join(s.lines).strip() if number == 0 else s.text for number, s in enumerate(sections)
        ).strip()


def _split(text: str, parts: set[str]) -> _Handout:
    """Return the handout by sections: what comes before the parts, at each part, and after them."""
    sections = [_Section("text", "")]
    fenced = False
    taken: set[str] = {"text", "how-to-use"}
    for line in text.split("\n"):
        fenced ^= line.lstrip().startswith("```")
        if line.startswith("## ") and not fenced:
            slug = re.sub(r"[^a-z0-9_]+", "-", line[3:].strip().lower()).strip("-")[:40] or "section"
            name, number = slug, 1
            while name in taken:
                number += 1
                name = f"{slug}-{number}"
            taken.add(name)
            sections.append(_Section(name, line))
        else:
            sections[-1].lines.append(line)
    found = [n for n, section in enumerate(sections) if section.heading[3:].strip() in parts]
    if not found:
        return _Handout([s for s in sections if s.text], {}, [])
    by_part: dict[str, list[_Section]] = {}
    current = ""
    for section in sections[found[0] : found[-1] + 1]:
        name = section.heading[3:].strip()
        current = name if name in parts else current
        by_part.setdefault(current, []).append(section)
    return _Handout(
        [s for s in sections[: found[0]] if s.text], by_part, [s for s in sections[found[-1] + 1 :] if s.text]
    )
