"""What `grader verify` found: the table for authors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.course.assignment import Assignment
from grader.grading.verify import Verification, misconceptions_by_name
from grader.reports.text import counted, printable

if TYPE_CHECKING:
    from rich.console import Console

FINDINGS_SHOWN = 40


def verification_view(result: Verification, assignment: Assignment, console: Console, *, list_checks: bool) -> None:
    """Print a verification: counts, margins, idle checks, findings."""
    if result.sample > 1:
        _say(console, f"A sample: every {result.sample}th mutant, and no hints. This is a quick look, not a proof.")
    told = f"{result.told} of {counted(result.mutants, 'mutant')} told their own hint on every seed"
    rows = [
        ("checks", f"{len(result.checks)} worth {sum(c[3] for c in result.checks):g} points"),
        ("graded", f"{result.runs} times over {counted(result.seeds, 'seed')}, sandbox tier {result.tier}"),
        ("twins", f"{result.twins}, beside the reference"),
        ("mutants", told if result.sample == 1 else f"every {result.sample}th of {result.mutants}"),
        ("margin, right", _margin(result.margin_right, "of the tolerance used by {1} in {2}")),
        ("margin, wrong", _margin(result.margin_wrong, "times the tolerance missed by {1} in {2}")),
        ("student code", f"{result.cpu_seconds:.1f} CPU s in all, peak {result.peak_mb:.0f} MiB"),
    ]
    _say(console, f"{assignment.id}: {assignment.title}", "bold")
    for name, value in rows:
        _say(console, f"  {name:<14} {value}")
    by_name = misconceptions_by_name(assignment)
    poor = [f"{name} ({len(by_name.get(name, ()))})" for name in assignment.names if len(by_name.get(name, ())) < 3]
    if poor:
        _say(console, f"  fewer than three misconceptions: {', '.join(poor)}", "yellow")
    idle = result.idle_checks
    if idle:
        _say(console, f"  {counted(len(idle), 'check')} kill no mutant of their own and say why they stay:")
        for check in idle:
            _say(console, f"    {check}: {result.kept_because.get(check, 'NO REASON GIVEN')}")
    if list_checks:
        for check, part, _, worth in result.checks:
            mutants = sorted(result.killed_by.get(check, ()))
            _say(console, f"  {check} [{part}, {worth:g}]: {len(mutants)}: {', '.join(mutants)}")
    for finding in result.findings[:FINDINGS_SHOWN]:
        _say(console, f"  FOUND {printable(finding.subject, 80)}: {printable(finding.what, 400)}", "red")
    if len(result.findings) > FINDINGS_SHOWN:
        _say(console, f"  and {len(result.findings) - FINDINGS_SHOWN} more", "red")
    holds = "the sample holds" if result.sample > 1 else "the suite holds"
    verdict = holds if not result.findings else counted(len(result.findings), "finding")
    _say(console, f"  {verdict}", "bold green" if not result.findings else "bold red")


def _margin(margin: tuple[float, str, str], words: str) -> str:
    value, who, check = margin
    if not who:
        return "nothing was compared"
    return f"{value:.3g} " + words.replace("{1}", who).replace("{2}", check)


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style or None, markup=False, highlight=False)
