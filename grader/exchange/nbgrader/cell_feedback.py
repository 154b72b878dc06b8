"""What a student reads in the cells of the graded notebook: a part's score and checks, and the summary at the top."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from grader.checking.report import CheckResult, Outcome, Report
from grader.course.assignment import Assignment, Part
from grader.exchange.nbgrader.work import Work
from grader.reports.markdown import feedback
from grader.reports.summary import checks_of
from grader.reports.text import counted, markdown_prose, printable
from grader.reports.text import points as as_points

FACTS = 6
_WORDS = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "failed",
    Outcome.NOT_ATTEMPTED: "not attempted",
    Outcome.RAISED: "raised an exception",
    Outcome.TIMED_OUT: "timed out",
    Outcome.OUT_OF_MEMORY: "out of memory",
}
_CODE = re.compile(r"`([^`]+)`")


def part_score(report: Report, part: Part) -> float | None:
    """Return what a part earned, or None as long as anything of the submission is ungraded."""
    if report.outcome != "graded":
        return None
    return sum(check.earned for check in checks_of(report, part.id))


def part_outputs(report: Report, part: Part, reading: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the outputs (nbformat) of the cell that carries a part's points; never an empty list.

    Only what `grader grade --feedback` shows students is in them.
    """
    score = part_score(report, part)
    if score is None:
        html = "<p><b>Not graded yet</b>, for a reason on our side. This is not a zero.</p>"
        return [_display({"text/plain": "not graded yet", "text/html": html})]
    shown = {"text/plain": as_points(score), "text/html": _part_html(report, part, score, reading)}
    return [{"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": shown}]


def summary_cell(
    work: Work, assignment: Assignment, notes: Sequence[str], reading: Mapping[str, str]
) -> dict[str, Any]:
    """Return the Markdown cell (nbformat) that stands at the top of a graded notebook, figures attached."""
    names = {name: f"{re.sub('[^a-z0-9_-]', '-', name.lower())}.svg" for name in work.figures}
    page = feedback(
        work.report,
        assignment.title,
        reading=reading,
        figures=[f"attachment:{name}" for name in names.values()] if work.report.outcome == "graded" else (),
    )
    lines = [page.rstrip(), "", f"Graded from `{work.handed_in.graded_from}`."]
    if notes:
        lines += ["", "The notebook was not as it was handed out:", ""]
        lines += [f"- {markdown_prose(note, 300)}" for note in notes]
    attachments = {
        file: {"image/svg+xml": base64.b64encode(work.figures[name].encode()).decode()} for name, file in names.items()
    }
    return {
        "cell_type": "markdown",
        "metadata": {"unrolled": {"feedback": True}, "deletable": False, "editable": False},
        "source": "\n".join(lines),
        **({"attachments": attachments} if attachments else {}),
    }


def _display(data: dict[str, str]) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": data}


def _part_html(report: Report, part: Part, score: float, reading: Mapping[str, str]) -> str:
    checks = checks_of(report, part.id)
    passed = sum(check.outcome is Outcome.PASSED for check in checks)
    lines = [
        f"<p><b>{as_points(score)} of {as_points(sum(c.points for c in checks))} points</b>, "
        f"{passed} of {counted(len(checks), 'check')} passed.</p>"
    ]
    if report.problem is not None:
        return "\n".join([*lines, f"<p>It could not be run: {_plain(report.problem, 600)}</p>"])
    hints = [hint for hint in report.diagnosis.hints if any(check.id in hint[3] for check in checks)]
    for _, misconception, hint, _ in hints:
        lines.append(f"<p><b>What explains it:</b> {_prose(hint)}</p>")
        if reading.get(misconception):
            lines.append(f"<p>Read on: {_prose(reading[misconception])}</p>")
    explained = {check for hint in hints for check in hint[3]}
    missed = [check for check in checks if check.outcome is not Outcome.PASSED]
    if missed:
        lines += ["<ul>", *(_check(check, explained=check.id in explained) for check in missed), "</ul>"]
    return "\n".join(lines)


def _check(check: CheckResult, *, explained: bool) -> str:
    text = f"<b>{_WORDS.get(check.outcome, 'failed')}</b>: {_prose(check.title)}"
    text += f" ({as_points(check.earned)} of {as_points(check.points)})"
    facts = [_plain(fact, 400) for fact in check.facts[:FACTS]]
    if check.hint and not explained:
        facts.append(f"Hint: {_prose(check.hint)}")
    return f"<li>{text}{''.join(f'<br>{fact}' for fact in facts)}</li>"


def _plain(text: str, limit: int) -> str:
    return escape(printable(text, limit))


def _prose(text: str) -> str:
    """Return an author's text as HTML; only `code spans` are more than text."""
    return _CODE.sub(r"<code>\1</code>", escape(printable(" ".join(text.split()), 2000)))
