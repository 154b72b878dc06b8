"""What a classroom system made of our score, as one line and as columns of the class's CSV."""

from __future__ import annotations

from grader.checking.report import Report
from grader.gradebook.classroom import GRADED, NOT_SUBMITTED, UNGRADED, ClassroomScore
from grader.reports.summary import score_is_known
from grader.reports.text import points

COLUMNS = ("final", "final_possible", "final_outcome", "late_penalty", "extra_credit", "by_hand")


def classroom_line(score: ClassroomScore, report: Report | None = None) -> str:
    """Return what counts for a student in nbgrader, why, and whether it has another grade than `report` tells."""
    if score.outcome == NOT_SUBMITTED:
        return f"nbgrader: nothing handed in{_extension(score)}"
    told = []
    if score.by_hand:
        told.append("marks by hand")
    if score.extra_credit:
        told.append(f"extra credit {points(score.extra_credit)}")
    if score.late_penalty:
        told.append(f"late penalty {points(score.late_penalty)}")
    if score.outcome == UNGRADED:
        told.append("not all of it is graded")
    elif score.to_review:
        told.append("waits for a look by a person")
    same = report is not None and score_is_known(report) and report.possible == score.possible
    if same and score.outcome == GRADED and report is not None and abs(score.automatic - report.earned) > 1e-6:
        told.append(f"its automatic grade is {points(score.automatic)}: autograde it again")
    line = f"nbgrader: {points(score.score)} of {points(score.possible)}{' so far' * (score.outcome == UNGRADED)}"
    return line + (f" ({', '.join(told)})" if told else "") + _extension(score)


def classroom_cells(score: ClassroomScore | None) -> list[str]:
    """Return the texts of COLUMNS; they are empty where there is no final score, for that is not a zero."""
    from grader.reports.csv_table import number_text

    if score is None:
        return [""] * len(COLUMNS)
    final = number_text(score.score) if score.outcome == GRADED else ""
    return [
        final,
        number_text(score.possible),
        score.outcome,
        number_text(score.late_penalty),
        number_text(score.extra_credit),
        "yes" if score.by_hand else "no",
    ]


def _extension(score: ClassroomScore) -> str:
    if not score.extension:
        return ""
    hours = score.extension / 3600
    return f", {points(hours)} {'hour' if hours == 1 else 'hours'} more time"
