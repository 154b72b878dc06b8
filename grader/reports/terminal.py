"""Reports in the terminal: the class as a table, one submission in full.

Every state is said in words; colour only repeats them. Where the output is no terminal the same comes as
plain lines that are never wrapped or cut.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grader.checking.report import CheckResult, Outcome, Report
from grader.errors import GraderError
from grader.reports.summary import (
    NOT_SUBMITTED,
    checks_of,
    class_summary,
    first_remark,
    outcome_words,
    score_is_known,
    sorted_reports,
    summary_line,
    without_reports,
)
from grader.reports.text import in_order, points, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

    from grader.submissions.roster import RosterEntry

_NO_SCORE = "–"
_LOST = "points lost in"
_WIDEST = {"name": 24, "outcome": 26, _LOST: 26}  # of columns that may wrap or be cut, in a terminal
_SHORTEST_REMARK = 24
_GAP = 2  # a space of padding and the box's own
_STYLES = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "red",
    Outcome.NOT_ATTEMPTED: "dim",
    Outcome.RAISED: "red",
    Outcome.TIMED_OUT: "red",
    Outcome.OUT_OF_MEMORY: "red",
    Outcome.UNGRADED: "bold yellow",
}


def class_table(reports: Sequence[Report], missing: Sequence[RosterEntry], console: Console) -> None:
    """Print a row for each student, then a line that sums up, then the reasons of what is ungraded.

    A terminal too narrow for the points of every part gets the ids of the parts that lost some, or less.
    """
    parts = list(dict.fromkeys(part.id for report in reports for part in report.parts))
    rows = _rows(reports, missing, parts)
    head = ["student", "name", "points", *parts, "outcome", "remark"]
    empty = [head[column] for column in (1, -1) if not any(row[column] for row in rows)]
    head, rows = _without(head, rows, empty)
    fitted = _fitted(head, rows, parts, console.width) if console.is_terminal else None
    if fitted is None:
        _plain_table(head, rows, console)
    else:
        _rich_table(*fitted, console)
    _say(console, summary_line(class_summary(reports, missing)), "bold")
    for report in sorted_reports(reports):
        if report.outcome == "ungraded":
            why = printable(report.reason or "no reason was given", 300)
            _say(console, f"ungraded: {printable(report.student)}: {why}", "yellow")


def submission_view(report: Report, console: Console, for_instructor: bool, *, check: str | None = None) -> None:
    """Print one submission in full: every check by part, its outcome, points, facts and hint.

    `for_instructor` adds assertion details, the place, what the code printed, flags, and the command that
    re-runs a check. `check` shows that check only, with more of its output; raises GraderError if there is
    none of this id.
    """
    if check is not None and check not in {result.id for result in report.checks}:
        near = difflib.get_close_matches(check, [result.id for result in report.checks], 1, 0.5)
        raise GraderError(
            f"no check {printable(check)!r} in the report of {printable(report.student)}",
            advice=f"Did you mean {near[0]}?" if near else "Leave --check out to see all of them.",
        )
    _head(report, console, for_instructor)
    if check is None:
        _diagnosis(report, console, for_instructor)
    titles = {part.id: part for part in report.parts}
    width = max((len(result.outcome.value) for result in report.checks), default=0)
    width_of_points = max((len(_share(result)) for result in report.checks), default=0)
    for part in dict.fromkeys([*titles, *(result.part for result in report.checks)]):
        results = [result for result in checks_of(report, part) if check in (None, result.id)]
        if not results:
            continue
        line = printable(part)
        if part in titles:
            earned = points(titles[part].earned) if score_is_known(report) else _NO_SCORE
            line += f": {printable(titles[part].title)} ({earned} of {points(titles[part].possible)})"
        _say(console, "")
        _say(console, line, "bold")
        for result in results:
            _check(
                report,
                result,
                console,
                for_instructor,
                width=width,
                width_of_points=width_of_points,
                alone=check is not None,
            )
    if check is None:
        if for_instructor:
            _listing("For a human to look at (no points depend on it):", report.flags, console)
        _listing("Set aside:", report.set_aside, console)


def _rows(reports: Sequence[Report], missing: Sequence[RosterEntry], parts: Sequence[str]) -> list[list[str]]:
    rows: dict[str, list[str]] = {}
    for report in reports:
        known = score_is_known(report)
        cells = {part.id: f"{points(part.earned)}/{points(part.possible)}" for part in report.parts}
        outcome = outcome_words(report) + (", flagged" if report.flags else "")
        rows[report.student] = [
            printable(report.student, 40),
            printable(report.name, 40),
            f"{points(report.earned)}/{points(report.possible)}" if known else _NO_SCORE,
            *(cells.get(part, _NO_SCORE) if known else _NO_SCORE for part in parts),
            outcome,
            first_remark(report),
        ]
    for entry in without_reports(missing, reports):
        blank = [_NO_SCORE] * (1 + len(parts))
        rows[entry.id] = [printable(entry.id, 40), printable(entry.name, 40), *blank, NOT_SUBMITTED, ""]
    return [rows[student] for student in sorted(rows, key=in_order)]


def _without(head: list[str], rows: list[list[str]], titles: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    kept = [column for column, title in enumerate(head) if title not in titles]
    return [head[column] for column in kept], [[row[column] for column in kept] for row in rows]


def _widths(head: list[str], rows: list[list[str]]) -> list[int]:
    from rich.cells import cell_len

    return [max(cell_len(row[column]) for row in [head, *rows]) for column in range(len(head))]


def _fitted(
    head: list[str], rows: list[list[str]], parts: Sequence[str], width: int
) -> tuple[list[str], list[list[str]], list[int]] | None:
    """Choose columns and their widths for a terminal of `width` columns; None if even the least do not fit.

    Points and outcomes are never cut. Room is made by naming only the parts that lost points, then by leaving
    them out, then names, then remarks.
    """
    layouts = [(head, rows)]
    if parts:
        head, rows = _parts_that_lost(head, rows, parts)
    for left_out in ((), (_LOST,), (_LOST, "name"), ("name", "remark"), (_LOST, "name", "remark")):
        layouts.append(_without(head, rows, left_out))
    for chosen, cells in layouts:
        widths = _bounded_widths(chosen, cells)
        room = width - sum(widths[: chosen.index("outcome") + 1]) - _GAP * (len(chosen) - 1)
        if room >= (_SHORTEST_REMARK if chosen[-1] == "remark" else 0):
            if chosen[-1] == "remark":
                widths[-1] = min(widths[-1], room)
            return chosen, cells, widths
    return None


def _bounded_widths(head: list[str], rows: list[list[str]]) -> list[int]:
    return [min(wide, _WIDEST.get(title, wide)) for title, wide in zip(head, _widths(head, rows), strict=True)]


def _parts_that_lost(head: list[str], rows: list[list[str]], parts: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    first = head.index("points") + 1
    last = first + len(parts)

    def lost(row: list[str]) -> str:
        cells = [cell.split("/") for cell in row[first:last]]
        named = [part for part, cell in zip(parts, cells, strict=True) if len(cell) == 2 and cell[0] != cell[1]]
        return "all" if parts and len(named) == len(parts) else ", ".join(named)

    narrow = [[*row[:first], lost(row), *row[last:]] for row in rows]
    return [*head[:first], _LOST, *head[last:]], narrow


def _plain_table(head: list[str], rows: list[list[str]], console: Console) -> None:
    from rich.cells import cell_len

    widths = _widths(head, rows)
    for row in [head, *rows]:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        _say(console, "  ".join(cells).rstrip())


def _rich_table(head: list[str], rows: list[list[str]], widths: list[int], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    outcome = head.index("outcome")
    for column, (title, width) in enumerate(zip(head, widths, strict=True)):
        numeric = head.index("points") <= column < outcome and title != _LOST
        table.add_column(
            Text(title),
            justify="right" if numeric else "left",
            width=width,
            no_wrap=title not in ("outcome", _LOST),
            overflow="ellipsis",
        )
    for row in rows:
        cells = [Text(cell) for cell in row]
        cells[outcome].stylize(_row_style(row[outcome]))
        if head[-1] == "remark":
            cells[-1].stylize("dim")
        table.add_row(*cells)
    console.print(table)


def _row_style(words: str) -> str:
    if words.startswith("UNGRADED"):
        return "bold yellow"
    if words.startswith("all passed"):
        return "green"
    return "dim" if words == NOT_SUBMITTED else "red"


def _head(report: Report, console: Console, for_instructor: bool) -> None:
    name = f" ({printable(report.name)})" if report.name.strip() else ""
    _say(console, f"{report.assignment} · {printable(report.student)}{name}", "bold")
    words = outcome_words(report)
    if score_is_known(report):
        _say(console, f"{points(report.earned)} of {points(report.possible)} points · {words}")
    else:
        _say(console, f"no score · {words}", "bold yellow")
    if report.reason and for_instructor:
        _say(console, f"ungraded because: {printable(report.reason, 500)}", "yellow")
    if report.problem is not None:
        _say(console, f"cannot be run: {printable(report.problem, 500)}", "red")
    _say(
        console,
        f"tier {report.tier} · seed {printable(report.seed_id, 12)} · suite"
        f" {printable(report.fingerprint, 13)}"
        f" · submission {printable(report.submission, 13)} · {report.cpu_seconds:.2f} CPU s"
        f" · {report.peak_mb:.0f} MiB",
        "dim",
    )


def _diagnosis(report: Report, console: Console, for_instructor: bool) -> None:
    if not report.diagnosis.hints:
        return
    _say(console, "")
    count = len(report.diagnosis.hints)
    _say(console, "What explains it:" if count == 1 else f"{count} mistakes together explain it:", "bold")
    for mutant, misconception, hint, checks in report.diagnosis.hints:
        _say(console, f"  {printable(' '.join(hint.split()), 2000)}", "cyan")
        if for_instructor:
            _say(console, f"    misconception {printable(misconception)}, mutant {printable(mutant)}", "dim")
        _say(console, f"    explains {printable(', '.join(checks), 2000)}", "dim")


def _check(
    report: Report,
    result: CheckResult,
    console: Console,
    for_instructor: bool,
    *,
    width: int,
    width_of_points: int,
    alone: bool,
) -> None:
    word = result.outcome.value
    word = word if result.outcome is Outcome.PASSED else word.upper()
    share = _share(result)
    title = printable(" ".join(result.title.split()), 300)
    _say(
        console,
        f"  {word:<{width}}  {share:>{width_of_points}}  {title}  [{printable(result.id)}]",
        _STYLES[result.outcome],
    )
    indent = " " * (width + width_of_points + 6)
    for fact in result.facts:
        _say(console, f"{indent}{printable(fact, 500)}")
    explained = {check for hint in report.diagnosis.hints for check in hint[3]}
    if result.hint and (alone or result.id not in explained):
        _say(console, f"{indent}hint: {printable(' '.join(result.hint.split()), 2000)}", "cyan")
    if not for_instructor:
        return
    if alone and (result.misconception or result.mutant):
        _say(
            console,
            f"{indent}misconception {printable(result.misconception or '–')}, mutant {printable(result.mutant or '–')}",
            "dim",
        )
    if result.location:
        _say(console, f"{indent}at {printable(result.location)}")
    for heading, text in (("detail:", result.detail), ("printed:", result.output)):
        lines = printable_lines(text, *((200_000, 5000) if alone else (4000, 40)))
        if lines:
            _say(console, f"{indent}{heading}")
            for line in lines:
                _say(console, f"{indent}  {line}")
    if result.outcome is not Outcome.PASSED and not alone:
        _say(console, f"{indent}again: {printable(rerun_command(report, result.id), 400)}", "dim")


def _share(result: CheckResult) -> str:
    earned = _NO_SCORE if result.outcome is Outcome.UNGRADED else points(result.earned)
    return f"{earned}/{points(result.points)}"


def rerun_command(report: Report, check: str) -> str:
    """Return the command that runs one check again on one student's stored submission."""
    words = [report.assignment, report.student]
    option = f"--check {shlex.quote(check)}"
    if report.student.startswith("-"):
        return f"grader show {option} -- {shlex.join(words)}"
    return f"grader show {shlex.join(words)} {option}"


def _listing(heading: str, lines: Sequence[str], console: Console) -> None:
    if lines:
        _say(console, "")
        _say(console, heading, "bold")
        for line in lines:
            _say(console, f"  {printable(line, 500)}")


def _say(console: Console, line: str, style: str = "") -> None:
    """Print one line as it is: no markup, no highlighting, never wrapped or cut by the width."""
    from rich.text import Text

    console.print(Text(line, style=style), soft_wrap=True)
