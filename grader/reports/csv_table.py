"""The class as a CSV file that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grader.checking.report import Report
from grader.reports.classroom import COLUMNS, classroom_cells
from grader.reports.summary import (
    NOT_SUBMITTED,
    first_remark,
    outcome_words,
    score_is_known,
    sorted_reports,
    without_reports,
)
from grader.reports.text import in_order, printable
from grader.reports.writing import write_text

if TYPE_CHECKING:
    from grader.gradebook.classroom import ClassroomScore
    from grader.submissions.roster import RosterEntry

_BEFORE = ("student", "name", "outcome", "earned", "possible")
_AFTER = ("summary", "remark", "flags", "set_aside", "tier", "seed_id", "submission")
# What starts a formula in a spreadsheet, the full-width signs of East Asian keyboards included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(
    reports: Sequence[Report],
    missing: Sequence[RosterEntry],
    classroom: Mapping[str, ClassroomScore] | None = None,
) -> str:
    """Return the class as CSV: a row for each student, a column `part:ID` for the points of each part.

    `outcome` is "graded", "ungraded" or "not submitted". Points are left empty where there is no score
    (ungraded, not submitted): an empty cell is not a zero. Text that a spreadsheet would take for a formula
    gets a leading '. `classroom` (by student) adds columns for what counts in nbgrader.
    """
    parts = list(dict.fromkeys(part.id for report in reports for part in report.parts))
    rows: dict[str, list[str]] = {}
    for report in sorted_reports(reports):
        earned = {part.id: part.earned for part in report.parts} if score_is_known(report) else {}
        absent = report.outcome == NOT_SUBMITTED
        rows[report.student] = [
            cell(report.student),
            cell(report.name),
            report.outcome,
            number_text(report.earned) if score_is_known(report) else "",
            number_text(report.possible),
            *(number_text(earned[part]) if part in earned else "" for part in parts),
            cell(outcome_words(report)),
            cell(first_remark(report, 500)),
            cell("; ".join(report.flags)),
            cell("; ".join(report.set_aside)),
            "" if absent else str(report.tier),
            "" if absent else cell(report.seed_id),
            "" if absent else cell(report.submission),
        ]
    totals = {report.possible for report in reports}
    possible = number_text(totals.pop()) if len(totals) == 1 else ""
    for entry in without_reports(missing, reports):
        rows[entry.id] = [
            cell(entry.id),
            cell(entry.name),
            NOT_SUBMITTED,
            "",
            possible,
            *("" for _ in parts),
            NOT_SUBMITTED,
            *("" for _ in _AFTER[1:]),
        ]
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, lineterminator="\r\n")  # as RFC 4180 asks
    table.writerow([*_BEFORE, *(cell(f"part:{part}") for part in parts), *_AFTER, *(COLUMNS if classroom else ())])
    for student in sorted(rows, key=in_order):
        table.writerow([*rows[student], *(classroom_cells(classroom.get(student)) if classroom else ())])
    return buffer.getvalue()


def write_csv(
    path: Path,
    reports: Sequence[Report],
    missing: Sequence[RosterEntry],
    classroom: Mapping[str, ClassroomScore] | None = None,
) -> None:
    """Write `csv_text` to a file, whole or not at all; raise GraderError."""
    write_text(path, csv_text(reports, missing, classroom))


def cell(text: str, limit: int = 1000) -> str:
    """Return a text of at most `limit` characters that no spreadsheet takes for a formula."""
    shown = printable(text, limit)
    return f"'{shown}" if text.startswith(_FORMULA) or shown.startswith(_FORMULA) else shown


def number_text(value: float) -> str:
    """Return a number with at most six digits after the point, and no zeros at its end."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
