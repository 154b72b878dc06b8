"""Reads a notebook: code cells in order become chunks; outputs, metadata and magics are never used."""

from __future__ import annotations

import json
from dataclasses import dataclass

from grader.errors import SubmissionError
from grader.submissions.limits import (
    MAX_CELLS,
    MAX_MODULE_BYTES,
    MAX_NOTEBOOK_BRACKETS,
    MAX_NOTEBOOK_BYTES,
    MAX_PROSE_BYTES,
    size_text,
)
from grader.submissions.magics import set_magics_aside
from grader.submissions.submission import Chunk
from grader.submissions.text import listed

_PROSE = ("markdown", "raw", "heading", "html")
_ADVICE = "Save it again in Jupyter, or hand in the .py file"


@dataclass(frozen=True)
class Cell:
    """A cell: its kind as the notebook says ("code", "markdown") and its source."""

    kind: str
    source: str


def read_notebook(content: bytes, label: str) -> tuple[list[Chunk], list[str]]:
    """Return the code cells of a notebook as chunks, and a line for each thing that was set aside.

    `content` is nbformat 4 JSON (3 is tolerated). A chunk is labelled "cell N", where N counts all cells from
    1, as a student sees them. Blank cells give no chunk. Magics and shell lines are replaced so that line
    numbers stay. Raises SubmissionError, with `label` as the place, where this is no notebook.
    """
    chunks: list[Chunk] = []
    notes: list[str] = []
    for number, cell in enumerate(read_cells(content, label), start=1):
        if cell.kind != "code" or not cell.source.strip():
            continue
        where = f"cell {number}"
        if "\0" in cell.source or not _is_text(cell.source):
            notes.append(f"{where}: the whole cell, it holds characters that are not text")
            continue
        cleaned = set_magics_aside(cell.source)
        notes += [
            f"{where}: the whole cell, {text}" if line is None else f"{where}, line {line}: {text}"
            for line, text in cleaned.notes
        ]
        if cleaned.source is not None:
            chunks.append(Chunk(where, cleaned.source))
    return chunks, list(listed(notes))


def slim_notebook(content: bytes, label: str) -> bytes:
    """Return the notebook without outputs, attachments and metadata, as JSON that Jupyter opens.

    Cell numbers stay. Prose is left blank where a notebook holds more than 1 MiB of it. The result of a slim
    notebook is itself. Raises SubmissionError as `read_notebook` does.
    """
    cells = read_cells(content, label)
    prose = sum(_size(cell.source) for cell in cells if cell.kind != "code")
    slim: list[dict[str, object]] = []
    for cell in cells:
        kept = cell.source if cell.kind == "code" or prose <= MAX_PROSE_BYTES else ""
        entry: dict[str, object] = {"cell_type": cell.kind, "metadata": {}, "source": _source_lines(kept)}
        if cell.kind == "code":
            entry |= {"execution_count": None, "outputs": []}
        slim.append(entry)
    book = {"cells": slim, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    return (json.dumps(book, indent=1, sort_keys=True) + "\n").encode("ascii")


def read_cells(content: bytes, label: str) -> list[Cell]:
    """Return all cells of a notebook; raises SubmissionError where this is no notebook or too large."""

    def wrong(what: str) -> SubmissionError:
        return SubmissionError(what, where=label, advice=_ADVICE)

    if len(content) > MAX_NOTEBOOK_BYTES:
        raise wrong(f"{size_text(len(content))} large; at most {size_text(MAX_NOTEBOOK_BYTES)} is taken")
    if content.count(b"[") + content.count(b"{") > MAX_NOTEBOOK_BRACKETS:
        raise wrong("it is too intricate to be read as a notebook")
    try:
        book: object = json.loads(content)
    except RecursionError:
        raise wrong("it is nested too deeply for a notebook") from None
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise wrong("not a notebook: it is not JSON" + (f" (line {line})" if line else "")) from None
    raw = _raw_cells(book)
    if raw is None:
        raise wrong("not a notebook: it has no list of cells")
    if len(raw) > MAX_CELLS:
        raise wrong(f"it has {len(raw)} cells; at most {MAX_CELLS} are read")
    cells = []
    for number, item in enumerate(raw, start=1):
        if not isinstance(item, dict) or not isinstance(item.get("cell_type"), str):
            raise wrong(f"cell {number}: not a cell of a notebook")
        kind: str = item["cell_type"]
        source = item.get("input", "") if kind == "code" and "source" not in item else item.get("source", "")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            raise wrong(f"cell {number}: its source is not text")
        cells.append(Cell(kind if kind == "code" else _prose(kind), _lines_normalised(source)))
    code = sum(_size(cell.source) for cell in cells if cell.kind == "code")
    if code > MAX_MODULE_BYTES:
        raise wrong(f"it holds {size_text(code)} of code; at most {size_text(MAX_MODULE_BYTES)} is taken")
    return cells


def _raw_cells(book: object) -> list[object] | None:
    if not isinstance(book, dict):
        return None
    cells = book.get("cells")
    if isinstance(cells, list):
        return cells
    sheets = book.get("worksheets")  # nbformat 3
    if not isinstance(sheets, list):
        return None
    cells = []
    for sheet in sheets:
        if not isinstance(sheet, dict) or not isinstance(sheet.get("cells"), list):
            return None
        cells += sheet["cells"]
    return cells


def _prose(kind: str) -> str:
    # A made-up kind of cell must not make the slim notebook invalid.
    return "raw" if kind == "raw" or kind not in _PROSE else "markdown"


def _lines_normalised(source: str) -> str:
    return source.replace("\r\n", "\n").replace("\r", "\n")


def _source_lines(source: str) -> list[str]:
    lines = source.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _size(source: str) -> int:
    return len(source.encode("utf-8", "surrogatepass"))


def _is_text(source: str) -> bool:
    try:
        source.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
