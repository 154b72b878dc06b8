"""The cells of an assignment as nbgrader's database has them: what counts, whatever a student's notebook says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry

from grader.errors import GraderError
from grader.exchange.nbgrader.rebuild import OfficialCell
from grader.exchange.nbgrader.subjects import Subject


def official_cells(directory: Any, subject: Subject) -> tuple[list[OfficialCell], dict[str, Any]]:
    """Return the cells in the order of the source notebook, and the kernelspec; raise GraderError where there are none.

    `directory` is nbgrader's CourseDirectory.
    """
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        try:
            notebook = gradebook.find_notebook(Path(subject.notebook).stem, subject.id)
        except MissingEntry:
            raise GraderError(
                f"{subject.id} is not in nbgrader's database",
                advice=f"First: nbgrader generate_assignment {subject.id}",
            ) from None
        kernelspec: dict[str, Any] = json.loads(notebook.kernelspec or "{}")
        worth = {cell.name: float(cell.max_score) for cell in notebook.grade_cells}
        answers = {cell.name for cell in notebook.solution_cells}
        cells = [
            OfficialCell(
                cell.name,
                cell.cell_type,
                cell.source,
                bool(cell.locked),
                cell.name in answers,
                worth.get(cell.name),
                cell.checksum,
            )
            for cell in notebook.source_cells
        ]
    rank = {grade_id: number for number, grade_id in enumerate(subject.order())}
    return sorted(cells, key=lambda cell: rank.get(cell.grade_id, len(rank))), kernelspec
