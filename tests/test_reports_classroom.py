"""What counts in nbgrader, as a line and as columns of the CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from grader.checking.report import PartResult, Report
from grader.gradebook.classroom import Cell, ClassroomScore
from grader.reports.classroom import COLUMNS, classroom_line
from grader.reports.csv_table import csv_text
from grader.submissions.roster import RosterEntry

SCORE = ClassroomScore(
    "s1", "bptt", "classroom", "graded", 7.5, 10.0, 7.5, cells=(Cell("part-a", 7.5, None, None, 10.0),)
)
REPORT = Report(
    assignment="bptt", student="s1", name="", submission="0" * 64, checks=(),
    parts=(PartResult("a", "A", 7.5, 10.0),), outcome="graded", earned=7.5, possible=10.0, tier=1, seed_id="s",
    fingerprint="f", cpu_seconds=0.0, peak_mb=0.0, set_aside=(), problem=None, flags=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("score", "line"),
    [
        (SCORE, "nbgrader: 7.5 of 10"),
        (replace(SCORE, score=6.0, late_penalty=2.0, extra_credit=0.5),
         "nbgrader: 6 of 10 (extra credit 0.5, late penalty 2)"),
        (replace(SCORE, extension=5400.0), "nbgrader: 7.5 of 10, 1.5 hours more time"),
        (replace(SCORE, outcome="ungraded", score=3.0), "nbgrader: 3 of 10 so far (not all of it is graded)"),
        (replace(SCORE, outcome="not submitted", extension=3600.0), "nbgrader: nothing handed in, 1 hour more time"),
        (replace(SCORE, cells=(Cell("part-a", 7.5, 8.0, None, 10.0),), score=8.0, to_review=True),
         "nbgrader: 8 of 10 (marks by hand, waits for a look by a person)"),
        (replace(SCORE, automatic=5.0, score=5.0), "nbgrader: 5 of 10 (its automatic grade is 5: autograde it again)"),
        (replace(SCORE, automatic=5.0, score=5.0, possible=20.0), "nbgrader: 5 of 20"),
    ],
)  # fmt: skip
def test_line_tells_what_counts_and_why(score: ClassroomScore, line: str) -> None:
    assert classroom_line(score, REPORT) == line


def test_csv_has_the_columns_only_where_there_is_a_classroom() -> None:
    missing = [RosterEntry("s2", ""), RosterEntry("s3", "")]
    plain = csv_text([REPORT], missing)
    assert csv_text([REPORT], missing, {}) == plain
    assert "final" not in plain
    late = replace(SCORE, score=6.0, late_penalty=1.5)
    told = csv_text([REPORT], missing, {"s1": late, "s3": replace(SCORE, student="s3", outcome="ungraded")})
    rows = {row["student"]: row for row in csv.DictReader(io.StringIO(told))}
    assert tuple(rows["s1"])[-len(COLUMNS) :] == COLUMNS
    assert [rows["s1"][name] for name in COLUMNS] == ["6", "10", "graded", "1.5", "0", "no"]
    assert [rows["s2"][name] for name in COLUMNS] == [""] * len(COLUMNS)
    assert (rows["s3"]["final"], rows["s3"]["final_outcome"]) == ("", "ungraded")
    assert rows["s1"]["earned"] == "7.5"
