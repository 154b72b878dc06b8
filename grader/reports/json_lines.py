"""Reports as JSON, one object a line, for programs. It carries nothing that is for the instructor only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from grader.checking.report import Outcome, Report
from grader.reports.summary import NOT_SUBMITTED, score_is_known

if TYPE_CHECKING:
    from grader.submissions.roster import RosterEntry

#: Rises when a key changes its meaning or goes; a new key does not raise it.
VERSION = 1


def as_json(report: Report) -> dict[str, object]:
    """Return a report as plain JSON values.

    `earned` is null wherever nothing is known: in an ungraded report, and in its ungraded checks. A program
    that sums points then stops instead of counting a zero.
    """
    known = score_is_known(report)
    return {
        "version": VERSION,
        "student": report.student,
        "assignment": report.assignment,
        "earned": report.earned if known else None,
        "possible": report.possible,
        "outcome": report.outcome,
        "parts": [
            {"id": part.id, "earned": part.earned if known else None, "possible": part.possible}
            for part in report.parts
        ],
        "checks": [
            {
                "id": check.id,
                "part": check.part,
                "title": check.title,
                "outcome": check.outcome.value,
                "earned": None if check.outcome is Outcome.UNGRADED else check.earned,
                "points": check.points,
                "hint": check.hint,
            }
            for check in report.checks
        ],
        "tier": report.tier,
        "seed_id": report.seed_id,
        "fingerprint": report.fingerprint,
        "cpu_seconds": report.cpu_seconds,
        "peak_mb": report.peak_mb,
        "set_aside": list(report.set_aside),
    }


def missing_as_json(entry: RosterEntry, assignment: str, possible: float) -> dict[str, object]:
    """Return the object for a student on the roster who handed in nothing: the same keys, no score."""
    return {
        "version": VERSION,
        "student": entry.id,
        "assignment": assignment,
        "earned": None,
        "possible": possible,
        "outcome": NOT_SUBMITTED,
        "parts": [],
        "checks": [],
        "tier": None,
        "seed_id": None,
        "fingerprint": None,
        "cpu_seconds": None,
        "peak_mb": None,
        "set_aside": [],
    }


def json_line(report: Report) -> str:
    """Return a report as one line of JSON in ASCII, without the line end."""
    return line_of(as_json(report))


def line_of(value: dict[str, object]) -> str:
    """Return an object as one line of JSON. ASCII only: no terminal or encoding can be upset by it."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
