"""The notebook form of a stub: one solution cell for each top-level function or class."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass

from grader.course.assignment import Assignment, Part
from grader.course.reference import parse_source
from grader.course.stub import BANNER

NOTICE = BANNER.removeprefix("# ")


@dataclass(frozen=True)
class _Segment:
    """Lines that make one code cell: a definition with its name, or what stands between definitions."""

    name: str | None
    text: str


def derive_notebook(stub: str, assignment: Assignment) -> str:
    """Return the notebook form (nbformat 4.5, JSON text) of a stub.

    Its code cells, joined, are the stub without its first line: imports and constants in place, then one cell
    for each top-level function or class, with the comments and decorators above it. A heading stands before
    the first cell of each part. Cell ids and layout depend on nothing but the arguments. Raises CourseError
    if the stub is not Python.
    """
    part_of = {name: part for part in assignment.parts for name in part.names}
    cells: list[dict[str, object]] = []
    ids: set[str] = set()

    def add(kind: str, label: str, text: str, unrolled: dict[str, str] | None) -> None:
        cell: dict[str, object] = {
            "cell_type": kind,
            "id": _cell_id(label, ids),
            "metadata": {"unrolled": unrolled} if unrolled else {},
            "source": text.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append(cell)

    add("markdown", "how-to-use", _introduction(assignment), None)
    current: Part | None = None
    begun: set[str] = set()
    for segment in _segments(stub, assignment.module):
        part = part_of.get(segment.name) if segment.name else None
        if part is not None and part != current:
            add("markdown", f"part-{part.id}", _heading(part, part.id in begun), {"part": part.id})
            begun.add(part.id)
            current = part
        if segment.name is None:
            add("code", "setup", segment.text, None)
        else:
            unrolled = {"name": segment.name} | ({"part": part.id} if part is not None else {})
            add("code", f"solution-{segment.name}", segment.text, unrolled)
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "unrolled": {"assignment": assignment.id, "generated": NOTICE},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    # The layout that Jupyter itself writes, so that saving an untouched notebook changes nothing.
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _introduction(assignment: Assignment) -> str:
    return f"""# {assignment.title}

1. Read `README.md` first: it says what every function must do and how it is graded.
2. Fill in each cell that raises `NotImplementedError`. Keep the names and the arguments; add cells of
   your own wherever you like.
3. Save, then run `grader check` in this folder as often as you want: it runs the public checks.
4. Hand in with `grader submit`.

Work either here or in `{assignment.module}`, not in both: they ask for the same functions.

*{NOTICE}*"""


def _heading(part: Part, again: bool) -> str:
    if again:
        return f"## {part.title} (continued)"
    points = f"{part.points:g} {'point' if part.points == 1 else 'points'}"
    return f"## {part.title}\n\n{points}. See the section [{part.id}](README.md#{part.id}) of the handout."


def _cell_id(label: str, taken: set[str]) -> str:
    """Return an id that nbformat accepts (1 to 64 of A-Z a-z 0-9 - _) and that is not taken yet."""
    base = re.sub(r"[^A-Za-z0-9_-]", "-", label)[:58]
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


def _segments(stub: str, filename: str) -> list[_Segment]:
    """Return the stub's code cells in order, the generated notice left out."""
    text = stub.removeprefix(BANNER + "\n")
    lines = text.split("\n")
    groups: list[tuple[str | None, int]] = []  # (name, last line) of each definition or run of statements
    for node in parse_source(text, filename).body:
        last = node.end_lineno or node.lineno
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            groups.append((node.name, last))
        elif groups and groups[-1][0] is None:
            groups[-1] = (None, last)
        else:
            groups.append((None, last))
    segments: list[_Segment] = []
    first = 0
    for number, (name, last) in enumerate(groups):
        end = len(lines) if number == len(groups) - 1 else _with_trailing_comments(lines, last)
        while first < end and not lines[first].strip():
            first += 1
        segments.append(_Segment(name, "\n".join(lines[first:end]).rstrip()))
        first = end
    return segments


def _with_trailing_comments(lines: list[str], last: int) -> int:
    """Return the end of a definition, with the indented comments that follow its last statement."""
    end = last
    for number in range(last, len(lines)):
        line = lines[number]
        if line.strip() and not (line[0] in " \t" and line.lstrip().startswith("#")):
            break
        if line.strip():
            end = number + 1
    return end
