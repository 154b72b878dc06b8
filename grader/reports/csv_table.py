"""The class as a CSV file that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grader.checking.report import Report
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
    from grader.submissions.roster import RosterEntry

_BEFORE = ("student", "name", "outcome", "earned", "possible")
_AFTER = ("summary", "remark", "flags", "set_aside", "tier", "seed_id", "submission")
# What starts a formula in a spreadsheet, the full-width signs of East Asian keyboards included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(reports: Sequence[Report], missing: Sequence[RosterEntry]) -> str:
    """Return the class as CSV: a row for each student, a column `part:ID` for the points of each part.

    `outcome` is "graded", "ungraded" or "not submitted". Points are left empty where there is no score
    (ungraded, not submitted): an empty cell is not a zero. Text that a spreadsheet would take for a formula
    gets a leading '.
    """
    parts = list(dict.fromkeys(part.id for report in reports for part in report.parts))
    rows: dict[str, list[str]] = {}
    for report in sorted_reports(reports):
        earned = {part.id: part.earned for part in report.parts} if score_is_known(report) else {}
        absent = report.outcome == NOT_SUBMITTED
        rows[report.student] = [
            _cell(report.student),
            _cell(report.name),
            report.outcome,
            _number(report.earned) if score_is_known(report) else "",
            _number(report.possible),
            *(_number(earned[part]) if part in earned else "" for part in parts),
            _cell(outcome_words(report)),
            _cell(first_remark(report, 500)),
            _cell("; ".join(report.flags)),
            _cell("; ".join(report.set_aside)),
            "" if absent else str(report.tier),
            "" if absent else _cell(report.seed_id),
            "" if absent else _cell(report.submission),
        ]
    totals = {report.possible for report in reports}
    possible = _number(totals.pop()) if len(totals) == 1 else ""
    for entry in without_reports(missing, reports):
        rows[entry.id] = [
            _cell(entry.id),
            _cell(entry.name),
            NOT_SUBMITTED,
            "",
            possible,
            *("" for _ in parts),
            NOT_SUBMITTED,
            *("" for _ in _AFTER[1:]),
        ]
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, lineterminator="\r\n")  # as RFC 4180 asks
    table.writerow([*_BEFORE, *(_cell(f"part:{part}") for part in parts), *_AFTER])
    table.writerows(rows[student] for student in sorted(rows, key=in_order))
    return buffer.getvalue()


def write_csv(path: Path, reports: Sequence[Report], missing: Sequence[RosterEntry]) -> None:
    """Write `csv_text` to a file, whole or not at all; raise GraderError."""
    write_text(path, csv_text(reports, missing))


def _cell(text: str) -> str:
    shown = printable(text, 1000)
    return f"'{shown}" if text.startswith(_FORMULA) or shown.startswith(_FORMULA) else shown


def _number(value: float) -> str:
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
