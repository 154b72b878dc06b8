"""What replaces nbgrader's Execute: cells get the engine's outputs, and the database the engine's scores."""

from __future__ import annotations

from typing import Any

from nbformat.notebooknode import NotebookNode, from_dict
from nbgrader import utils
from nbgrader.api import Gradebook, GradeCell, SolutionCell
from nbgrader.preprocessors import GetGrades, NbGraderPreprocessor, SaveAutoGrades

from grader.exchange.nbgrader.exporter import WORK, HardenedExporter, Turn, why_not

Resources = dict[str, Any]
_KINDS = (GradeCell, SolutionCell)


class GradeOutside(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader has no types
    """Show in every cell with points what the engine found; execute nothing."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Fill in outputs, put the summary at the top and stamp the notebook as graded."""
        exporter = self.parent
        if not isinstance(exporter, HardenedExporter):
            raise why_not("GradeOutside works with HardenedExporter only: call configure(c) in nbgrader_config.py")
        turn = exporter.turn(resources)
        resources[WORK] = turn
        for cell in nb.cells:
            if cell.cell_type != "code":
                continue
            cell.outputs, cell.execution_count = [], None
            if not utils.is_grade(cell):
                continue
            if turn.graded.grades(cell.metadata.nbgrader.grade_id):
                outputs = turn.graded.outputs(cell.metadata.nbgrader.grade_id)
                cell.outputs = [from_dict(output) for output in outputs]
        nb.cells.insert(0, from_dict(turn.graded.summary(turn.notes)))
        nb.metadata["unrolled"] = {"assignment": turn.subject.id, "graded": dict(turn.graded.stamp)}
        return nb, resources


class SaveScores(SaveAutoGrades):  # type: ignore[misc]
    """Write the engine's scores: of every cell with points, whatever became of it in the notebook."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Save scores and comments in one transaction."""
        turn: Turn = resources[WORK]
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as gradebook:
            notebook = gradebook.find_submission_notebook(about["notebook"], about["assignment"], about["student"])
            # all cells at once, where each grade and comment would ask for its own; a session keeps what is held
            held = [gradebook.db.query(kind).filter_by(notebook=notebook.notebook).all() for kind in _KINDS]
            for grade in notebook.grades:
                if turn.graded.grades(grade.name):
                    grade.auto_score = turn.graded.score(grade.name, float(grade.max_score))
                else:
                    self._by_hand(grade, nb)
                grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
            cells = {cell.metadata.nbgrader.grade_id: cell for cell in nb.cells if utils.is_solution(cell)}
            for comment in notebook.comments:
                cell = cells.get(comment.name)
                untouched = cell is not None and cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
                comment.auto_comment = "No response." if untouched else None
            gradebook.db.commit()
            del held
        return nb, resources

    def _by_hand(self, grade: Any, nb: NotebookNode) -> None:
        """Score a cell that the instructor added: an untouched answer is a zero, the rest is graded by hand."""
        for cell in nb.cells:
            if utils.is_grade(cell) and cell.metadata.nbgrader.grade_id == grade.name and utils.is_solution(cell):
                grade.auto_score, _ = utils.determine_grade(cell, self.log)
                return
        grade.auto_score = None


class GetScores(GetGrades):  # type: ignore[misc]
    """Refuse a feedback page for what is not graded yet: nbgrader would show a missing score as 0."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Fill in the scores from the database."""
        graded = nb.metadata.get("unrolled", {}).get("graded", {})
        if graded.get("outcome") == "ungraded":
            about = resources["nbgrader"]
            with Gradebook(about["db_url"]) as gradebook:
                notebook = gradebook.find_submission_notebook(about["notebook"], about["assignment"], about["student"])
                open_ = [g.name for g in notebook.grades if g.auto_score is None and g.manual_score is None]
            if open_:
                raise why_not(f"the work of {about['student']} is not graded yet, so there is no feedback page")
        filled: tuple[NotebookNode, Resources] = super().preprocess(nb, resources)
        return filled
