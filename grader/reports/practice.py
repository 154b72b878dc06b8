"""What a student sees of the public checks: everything about each failing check, or one next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from grader.checking.report import CheckResult, Outcome, Report
from grader.reports.text import counted, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {Outcome.PASSED: "ok", Outcome.NOT_ATTEMPTED: "--"}
STYLES = {Outcome.PASSED: "green", Outcome.NOT_ATTEMPTED: "dim"}


def practice_view(report: Report, console: Console, *, reading: Mapping[str, str]) -> None:
    """Print every check by part, the details of those that fail, and where to read on."""
    if report.problem or report.reason:
        _say(console, printable(report.problem or report.reason or "", 400), "bold red")
        if report.problem:
            return
    for part in report.parts:
        checks = [c for c in report.checks if c.part == part.id]
        if not checks:
            continue
        passed = sum(c.outcome is Outcome.PASSED for c in checks)
        _say(console, f"{part.title} ({passed} of {counted(len(checks), 'check')})", "bold")
        for check in checks:
            mark = MARKS.get(check.outcome, "!!")
            style = STYLES.get(check.outcome, "red")
            words = "" if check.outcome is Outcome.PASSED else f" [{check.outcome.value}]"
            _say(console, f"  {mark}  {printable(check.title, 300)}{words}", style)
            if check.outcome not in MARKS:
                _details(check, console)
    _explanation(report, console, reading)
    passed = sum(c.outcome is Outcome.PASSED for c in report.checks)
    untouched = sum(c.outcome is Outcome.NOT_ATTEMPTED for c in report.checks)
    line = f"{passed} of {counted(len(report.checks), 'public check')} passed"
    if untouched:
        line += f", {untouched} not attempted yet"
    _say(console, "")
    _say(console, line + ".", "bold")
    if passed == len(report.checks):
        _say(
            console,
            "The hidden checks ask the same things on other inputs, and a few more. Now: grader submit",
        )
    # the handout's own files lie beside the work; only what concerns the work itself is worth a line here
    for note in [n for n in report.set_aside if not n.endswith("not asked for")]:
        _say(console, f"Set aside: {printable(note, 300)}", "dim")


def next_step(report: Report, console: Console, *, reading: Mapping[str, str]) -> None:
    """Print how far the work is, and the one check to make pass next."""
    passed = sum(c.outcome is Outcome.PASSED for c in report.checks)
    _say(console, f"{passed} of {counted(len(report.checks), 'public check')} passed.", "bold")
    if report.problem:
        _say(console, printable(report.problem, 400), "red")
        return
    wrong = [c for c in report.checks if c.outcome not in (Outcome.PASSED, Outcome.NOT_ATTEMPTED)]
    open_ = [c for c in report.checks if c.outcome is Outcome.NOT_ATTEMPTED]
    if not wrong and not open_:
        _say(console, "Everything passes. Now: grader submit", "green")
        return
    check = (wrong or open_)[0]
    _say(console, f"Next: {printable(check.title, 300)} [{check.outcome.value}]", "red" if wrong else "")
    _details(check, console)
    if check.hint:
        _say(console, f"      Hint: {printable(check.hint, 600)}", "yellow")
        if check.misconception is not None and check.misconception in reading:
            _say(console, f"      Read: {printable(reading[check.misconception], 200)}")


def _details(check: CheckResult, console: Console) -> None:
    for fact in check.facts:
        _say(console, f"      {printable(fact, 400)}")
    for line in printable_lines(check.detail, 1500, 12):
        _say(console, f"      {line}", "dim")
    if check.location:
        _say(console, f"      at {printable(check.location, 100)}", "dim")
    printed = printable_lines(check.output, 1500, 12)
    if printed:
        _say(console, "      your code printed:", "dim")
        for line in printed:
            _say(console, f"      | {line}", "dim")


def _explanation(report: Report, console: Console, reading: Mapping[str, str]) -> None:
    hints = report.diagnosis.hints
    if not hints:
        return
    _say(console, "")
    failing = [c for c in report.checks if c.outcome not in (Outcome.PASSED, Outcome.NOT_ATTEMPTED)]
    one = "This explains" if len(hints) == 1 else "These explain"
    _say(console, f"{one} {counted(len(failing), 'failing check')}:", "bold yellow")
    for _, misconception, hint, _ in hints:
        _say(console, f"  {printable(hint, 600)}", "yellow")
        if misconception in reading:
            _say(console, f"  Read: {printable(reading[misconception], 200)}")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style or None, markup=False, highlight=False)
