"""What every form of a report says alike: the words for an outcome, the first remark, what is explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from grader.checking.report import CheckResult, Outcome, Report
from grader.reports.text import counted, in_order, points, printable

if TYPE_CHECKING:
    from grader.submissions.roster import RosterEntry

NOT_SUBMITTED = "not submitted"


@dataclass(frozen=True)
class ClassSummary:
    """A class in numbers. `mean` and `median` are over graded submissions only, None without any."""

    graded: int
    ungraded: int
    missing: int
    mean: float | None
    median: float | None
    possible: float | None  # None where submissions could earn different totals


def sorted_reports(reports: Iterable[Report]) -> list[Report]:
    """Return the reports by student, s2 before s10."""
    return sorted(reports, key=lambda report: in_order(report.student))


def without_reports(missing: Iterable[RosterEntry], reports: Iterable[Report]) -> list[RosterEntry]:
    """Return, by student, who handed in nothing; a student with a report is not missing."""
    there = {report.student for report in reports if report.outcome != NOT_SUBMITTED}
    return sorted((entry for entry in missing if entry.id not in there), key=lambda entry: in_order(entry.id))


def class_summary(reports: Sequence[Report], missing: Sequence[RosterEntry]) -> ClassSummary:
    """Count outcomes and average the points of what was graded."""
    graded = [report for report in reports if report.outcome == "graded"]
    submitted = {report.student for report in reports if report.outcome != NOT_SUBMITTED}
    absent = {report.student for report in reports} | {entry.id for entry in missing}
    totals = {report.possible for report in graded}
    return ClassSummary(
        graded=len(graded),
        ungraded=sum(report.outcome == "ungraded" for report in reports),
        missing=len(absent - submitted),
        mean=fmean(report.earned for report in graded) if graded else None,
        median=median(report.earned for report in graded) if graded else None,
        possible=totals.pop() if len(totals) == 1 else None,
    )


def summary_line(summary: ClassSummary) -> str:
    """Say a class in one line: "30 graded · mean 71.3 · median 80 of 100 · 1 ungraded · 2 not submitted"."""
    words = [f"{summary.graded} graded"]
    if summary.mean is not None and summary.median is not None:
        of = f" of {points(summary.possible)}" if summary.possible is not None else ""
        words += [f"mean {points(summary.mean)}", f"median {points(summary.median)}{of}"]
    if summary.ungraded:
        words.append(f"{summary.ungraded} UNGRADED")
    if summary.missing:
        words.append(f"{summary.missing} not submitted")
    return " · ".join(words)


def outcome_words(report: Report) -> str:
    """Say how a submission fared: "all passed", "7 failed, 2 raised", "cannot be run", "UNGRADED"."""
    if report.outcome == NOT_SUBMITTED:
        return NOT_SUBMITTED
    if report.outcome != "graded":
        count = sum(check.outcome is Outcome.UNGRADED for check in report.checks)
        return f"UNGRADED ({counted(count, 'check')})" if count else "UNGRADED"
    if report.problem is not None:
        return "cannot be run"
    counts: Counter[Outcome] = Counter(check.outcome for check in report.checks)
    counts.pop(Outcome.PASSED, None)
    if not counts:
        return "all passed"
    return ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])


def first_remark(report: Report, limit: int = 120) -> str:
    """Return the one sentence that helps most: why it is ungraded or cannot run, else a hint, else a fact."""
    if report.outcome != "graded":
        return printable(report.reason or "", limit)
    if report.problem is not None:
        return printable(report.problem, limit)
    if report.diagnosis.hints:
        return printable(" ".join(report.diagnosis.hints[0][2].split()), limit)
    failing = missed(report.checks)
    for check in failing:
        if check.hint:
            return printable(" ".join(check.hint.split()), limit)
    for check in failing:
        if check.facts and check.outcome is not Outcome.NOT_ATTEMPTED:
            return printable(check.facts[0], limit)
    return ""


def missed(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that were run and not passed."""
    return [check for check in checks if check.outcome not in (Outcome.PASSED, Outcome.UNGRADED)]


def checks_of(report: Report, part: str) -> list[CheckResult]:
    """Return the checks of one part, in the order of the suite."""
    return [check for check in report.checks if check.part == part]


def score_is_known(report: Report) -> bool:
    """Return whether the points say anything: those of an ungraded report are not a score."""
    return report.outcome == "graded"
