"""What the check cells of a released notebook call: the public checks of one part, on the code of this kernel."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grader.checking.report import Report
    from grader.course.assignment import Assignment

WIDTH = 82  # `nbgrader validate` cuts longer lines off


def public_checks(assignment: str, part: str) -> None:
    """Run the public checks of a part on the cells that this kernel has run so far, and print how they went.

    What fails is written to standard error: `nbgrader validate` then counts the cell as failed and shows the text.
    Nothing is raised for what a student can do wrong.
    """
    from grader.course.catalog import find_course
    from grader.errors import GraderError

    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        # a course folder that lost its settings: public checks must never give points
        _fail("This cell is graded by hidden checks, which nbgrader alone does not have. Nothing was graded.")
        return
    try:
        chosen = find_course().assignment(assignment)
        if part not in {known.id for known in chosen.parts}:
            raise GraderError(f"{assignment} has no part `{part}`", advice="Fetch the assignment again")
        report, left_out = _examined(chosen, part, _cells_so_far())
    except GraderError as error:
        _fail(str(error))
        return
    if left_out:
        checks = "A check that trains" if left_out == 1 else f"{left_out} checks that train"
        print(f"{checks} a model would take too long here: run this cell by itself, or `grader check`.")
    failing = [check for check in report.checks if check.earned < check.points or check.outcome.value != "passed"]
    if failing or report.outcome != "graded":
        _fail(_told(report))
    elif report.checks:
        count = len(report.checks)
        checks = "The one public check" if count == 1 else f"All {count} public checks"
        print(f"{checks} of this part {'passes' if count == 1 else 'pass'}. The points come from hidden checks.")
    elif not left_out:
        print("This part has no public checks. The points come from hidden ones.")


def _fail(text: str) -> None:
    import textwrap

    print(
        "\n".join(textwrap.fill(line, WIDTH) if len(line) > WIDTH else line for line in text.split("\n")),
        file=sys.stderr,
    )


def _cells_so_far() -> list[str]:
    """Return the cells that were run in this kernel, in order; the number of a cell is that of its prompt."""
    from grader.errors import GraderError

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None:
        raise GraderError("this runs inside a notebook only", advice="In a terminal use `grader check`")
    raw = [str(source) for source in shell.history_manager.input_hist_raw[1:]]
    # a cell that was run again counts where it was run last; the check cells are ours
    last = {source: number for number, source in enumerate(raw)}
    return [
        source if last[source] == number and "public_checks(" not in source else "" for number, source in enumerate(raw)
    ]


def _examined(assignment: Assignment, part: str, cells: list[str]) -> tuple[Report, int]:
    """Return the report on a part's public checks, and how many were left out because they train a model."""
    from grader.grading.engine import as_job, public_examination
    from grader.grading.executors.local import Host
    from grader.submissions.from_files import submission_from_files

    book = {
        "cells": [
            {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
            for source in cells
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    submission = submission_from_files(assignment, "me", {assignment.notebook: json.dumps(book).encode()})
    with Host(public_examination(assignment).config(1)) as host:
        asked = [check for check, of, _, _ in host.ready.checks if of == part]
        # `nbgrader validate` gives a cell half a minute
        hurried = os.environ.get("NBGRADER_EXECUTION") == "validate"
        only = [check for check in asked if not (hurried and check in host.ready.training)]
        return next(iter(host.run([as_job(0, submission, only=only)]))).report, len(asked) - len(only)


def _told(report: Report) -> str:
    from rich.console import Console

    from grader.reports.practice import practice_view

    text = io.StringIO()
    # inside a kernel rich would draw into the notebook, not into the text
    console = Console(file=text, width=WIDTH, highlight=False, color_system=None, force_jupyter=False)
    practice_view(report, console, reading={})
    return text.getvalue().rstrip()
