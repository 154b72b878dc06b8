"""Feedback for each student in Markdown: what was earned, what went wrong and why, and what to do next.

Nothing that is for the instructor only is read here (detail, location, output, mutant, flags, reason), and
every text that a student may have had a hand in is cut and escaped.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from grader.checking.report import CheckResult, Outcome, PartResult, Report
from grader.reports.summary import NOT_SUBMITTED, checks_of, missed, sorted_reports, without_reports
from grader.reports.text import counted, listed, markdown_prose, markdown_text, points
from grader.reports.writing import write_text

if TYPE_CHECKING:
    from grader.submissions.roster import RosterEntry

_FACTS_SHOWN = 6
_SET_ASIDE_SHOWN = 25
_NOTHING_TO_READ: Mapping[str, str] = MappingProxyType({})
_NO_FIGURES: Mapping[str, Sequence[Path]] = MappingProxyType({})

_WORDS = {
    Outcome.FAILED: "Failed",
    Outcome.NOT_ATTEMPTED: "Not attempted",
    Outcome.RAISED: "Raised an exception",
    Outcome.TIMED_OUT: "Timed out",
    Outcome.OUT_OF_MEMORY: "Out of memory",
}

# Names that Windows keeps for devices, with any ending.
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def feedback(
    report: Report, title: str, *, reading: Mapping[str, str] = _NOTHING_TO_READ, figures: Sequence[str] = ()
) -> str:
    """Return one student's feedback on the assignment called `title`, in Markdown.

    `reading` says where to read on for a misconception id; `figures` are links to images of what the code did.
    """
    if report.outcome == NOT_SUBMITTED:
        return _page(title, report.student, report.name, _nothing_handed_in())
    if report.outcome != "graded":
        return _page(title, report.student, report.name, _ungraded(report))
    if report.problem is not None:
        body = _cannot_be_run(report)
    else:
        body = [
            *_score(report),
            *_explanation(report, reading),
            *(line for part in report.parts for line in _part(report, part)),
            *_figures(figures),
            *_next_steps(report),
        ]
    return _page(title, report.student, report.name, [*body, *_set_aside(report), *_footer(report)])


def missing_feedback(entry: RosterEntry, title: str) -> str:
    """Return the page for a student on the roster who handed in nothing."""
    return _page(title, entry.id, entry.name, _nothing_handed_in())


def write_feedback(
    folder: Path,
    reports: Sequence[Report],
    title: str,
    *,
    missing: Sequence[RosterEntry] = (),
    reading: Mapping[str, str] = _NOTHING_TO_READ,
    figures: Mapping[str, Sequence[Path]] = _NO_FIGURES,
) -> list[Path]:
    """Write one Markdown file for each student into `folder`, made if need be; return the files, by student.

    `figures` maps a student to image files, which the page shows. Each file is written whole or not at all.
    Raises GraderError when the folder cannot be written.
    """
    links = {
        student: [quote(os.path.relpath(path, folder).replace(os.sep, "/")) for path in paths]
        for student, paths in figures.items()
    }
    pages = {
        report.student: feedback(report, title, reading=reading, figures=links.get(report.student, ()))
        for report in sorted_reports(reports)
    }
    pages |= {entry.id: missing_feedback(entry, title) for entry in without_reports(missing, reports)}
    names = file_names(list(pages))
    for student, page in pages.items():
        write_text(folder / names[student], page)
    return [folder / names[student] for student in pages]


def file_names(students: Sequence[str]) -> dict[str, str]:
    """Return a file name for each student id, safe on every system and different for each.

    An id of letters, digits, "-", "_" and single dots inside stays as it is; another one, or one that
    differs from a fellow's only in upper and lower case, gets eight digits of its SHA-256.
    """
    folded: dict[str, int] = {}
    for student in set(students):
        folded[student.casefold()] = folded.get(student.casefold(), 0) + 1
    return {student: f"{_stem(student, alone=folded[student.casefold()] == 1)}.md" for student in students}


def _stem(student: str, *, alone: bool) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", student) and not student.startswith("-")
    if plain and alone and len(student) <= 80 and not _DEVICE.fullmatch(student):
        return student
    mark = hashlib.sha256(student.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = re.sub(r"[^A-Za-z0-9_-]+", "_", student[:60]).strip("_-")
    return f"{kept or 'student'}~{mark}"


def _page(title: str, student: str, name: str, body: Sequence[str]) -> str:
    who = f"**{markdown_text(student, 128)}**"
    if name.strip():
        who += f" · {markdown_text(name, 128)}"
    return "\n".join([f"# {markdown_prose(title, 200)}: feedback", "", who, "", *body]).rstrip() + "\n"


def _nothing_handed_in() -> list[str]:
    return [
        "**Not submitted.** Nothing of yours has reached us for this assignment, so there is no score.",
        "",
        "## What to do next",
        "",
        "- If you did hand something in, tell your instructor, with the receipt that `grader submit` printed.",
        "- If you did not, ask whether there is still time: what you have so far may well earn points.",
    ]


def _ungraded(report: Report) -> list[str]:
    stuck = sum(check.outcome is Outcome.UNGRADED for check in report.checks)
    what = (
        f"{stuck} of {counted(len(report.checks), 'check')} could not be run"
        if stuck
        else "Your submission could not be graded"
    )
    return [
        f"**Not graded yet.** {what}, for a reason on our side.",
        "",
        "This is not your doing, and it is not a zero: there is no score until every check has been run. Your"
        " submission is safe.",
        "",
        "## What to do next",
        "",
        "Nothing. Your instructor sees this too and grades again. If this page still says so after a few"
        " days,"
        f" ask, and quote this: submission `{_code(report.submission[:12])}`.",
    ]


def _cannot_be_run(report: Report) -> list[str]:
    return [
        f"**{points(report.earned)} of {points(report.possible)} points.** Your submission could not be"
        " run, so no"
        " check could pass. The reason:",
        "",
        f"> {markdown_text(report.problem or '', 600)}",
        "",
        "## What to do next",
        "",
        "1. Mend what the reason names. It is often a small thing that hides work that is right.",
        "2. Run `grader check` in the folder with your work: it must at least start.",
        "3. If you may hand in again, run `grader submit`: it refuses to pack what does not import.",
        "",
    ]


def _score(report: Report) -> list[str]:
    passed = sum(check.outcome is Outcome.PASSED for check in report.checks)
    lines = [
        f"**{points(report.earned)} of {points(report.possible)} points.**"
        f" {passed} of {counted(len(report.checks), 'check')} passed.",
        "",
    ]
    if report.parts:
        lines += ["| Part | Points | Checks passed |", "| :--- | ---: | ---: |"]
        for part in report.parts:
            checks = checks_of(report, part.id)
            done = sum(check.outcome is Outcome.PASSED for check in checks)
            lines.append(
                f"| {markdown_prose(part.title, 200)} | {points(part.earned)} of {points(part.possible)}"
                f" | {done} of {len(checks)} |"
            )
        lines.append("")
    return lines


def _explanation(report: Report, reading: Mapping[str, str]) -> list[str]:
    hints = report.diagnosis.hints
    if not hints:
        return []
    lines = ["## What explains it", ""]
    failing = [check for check in missed(report.checks) if check.outcome is not Outcome.NOT_ATTEMPTED]
    explained = {check for hint in hints for check in hint[3]}
    if all(check.id in explained for check in failing):
        what = "the one check that failed" if len(failing) == 1 else f"all {len(failing)} checks that failed"
        if len(failing) == 2:
            what = "both checks that failed"
    else:
        what = f"{sum(check.id in explained for check in failing)} of the {len(failing)} checks that failed"
    if len(hints) == 1:
        lines += [f"One mistake explains {what}. Your numbers are the very ones that it leads to.", ""]
    else:
        count = {2: "Two", 3: "Three"}.get(len(hints), str(len(hints)))
        lines += [f"{count} separate mistakes together explain {what}.", ""]
    for _, misconception, hint, _ in hints:
        lines += [f"> {markdown_prose(hint)}"]
        if reading.get(misconception):
            lines += [">", f"> Read on: {markdown_prose(reading[misconception], 300)}"]
        lines.append("")
    return lines


def _part(report: Report, part: PartResult) -> list[str]:
    checks = checks_of(report, part.id)
    # A part that is right, or still untouched, has its line in the table, and that says it all.
    if len({check.outcome for check in checks} | {Outcome.NOT_ATTEMPTED}) == 1 or not missed(checks):
        return []
    explained = {check for hint in report.diagnosis.hints for check in hint[3]}
    lines = [
        f"## {markdown_prose(part.title, 200)}",
        "",
        f"{points(part.earned)} of {points(part.possible)} points",
        "",
    ]
    waiting = [check for check in checks if check.outcome is Outcome.NOT_ATTEMPTED]
    for check in missed(checks):
        if check.outcome is not Outcome.NOT_ATTEMPTED:
            lines += _missed_check(check, is_explained=check.id in explained)
    for check in waiting:
        lines.append(f"- **Not attempted**: {markdown_prose(check.title, 300)} ({_out_of(check)})")
    passed = [check for check in checks if check.outcome is Outcome.PASSED]
    if passed:
        lines.append(f"- **Passed**: {_titles(passed)}")
    lines.append("")
    return lines


def _missed_check(check: CheckResult, *, is_explained: bool) -> list[str]:
    lines = [f"- **{_WORDS[check.outcome]}**: {markdown_prose(check.title, 300)} ({_out_of(check)})"]
    lines += [f"  - {markdown_text(fact)}" for fact in check.facts[:_FACTS_SHOWN]]
    if len(check.facts) > _FACTS_SHOWN:
        lines.append(f"  - and {len(check.facts) - _FACTS_SHOWN} more of this kind")
    if is_explained:
        lines.append("  - Explained above.")
    elif check.hint:
        lines.append(f"  - Hint: {markdown_prose(check.hint)}")
    return lines


def _figures(links: Sequence[str]) -> list[str]:
    if not links:
        return []
    return ["## What your code did", "", *(line for link in links for line in (f"![figure]({link})", ""))]


def _titles(checks: Sequence[CheckResult]) -> str:
    return "; ".join(dict.fromkeys(markdown_prose(check.title, 300) for check in checks))


def _out_of(check: CheckResult) -> str:
    return f"{points(check.earned)} of {points(check.points)}"


def _next_steps(report: Report) -> list[str]:
    lines = ["## What to do next", ""]
    failing = missed(report.checks)
    by_outcome = {outcome: [check for check in failing if check.outcome is outcome] for outcome in Outcome}
    if not failing:
        return [*lines, "Nothing is missing here. Well done.", ""]
    steps: list[str] = []
    if len(by_outcome[Outcome.NOT_ATTEMPTED]) == len(report.checks):
        steps.append(
            "None of the functions has been filled in yet, or the untouched handout was handed in by"
            " mistake: look"
            " at which file you packed."
        )
    else:
        if report.diagnosis.hints:
            steps.append("Begin with what explains it, above: the checks under it belong together.")
        elif by_outcome[Outcome.FAILED]:
            first = by_outcome[Outcome.FAILED][0]
            steps.append(
                f"Begin with the first check that failed ({markdown_prose(first.title, 300)}), on an"
                " example small"
                " enough to work out by hand: what comes later often follows from it."
            )
        if by_outcome[Outcome.RAISED]:
            steps.append(
                "Where an exception was raised, the code stopped before it gave an answer: `grader check`"
                " shows"
                " the line."
            )
        if by_outcome[Outcome.TIMED_OUT]:
            steps.append(
                "Where the time ran out, look for a loop that does not end, or for work that is done again at"
                " every step."
            )
        if by_outcome[Outcome.OUT_OF_MEMORY]:
            steps.append(
                "Where the memory ran out, look for arrays that grow at every step, or that have one"
                " dimension too"
                " many."
            )
        if by_outcome[Outcome.NOT_ATTEMPTED]:
            parts = {part.id: part.title for part in report.parts}
            where = dict.fromkeys(
                markdown_prose(parts.get(check.part, check.part), 200) for check in by_outcome[Outcome.NOT_ATTEMPTED]
            )
            steps.append(f"Still to be written: {listed([f'“{title}”' for title in where])}.")
    steps.append(
        "Run `grader check` in the folder with your work until it has no complaints. If you may hand in"
        " again, run"
        " `grader submit`."
    )
    return [*lines, *(f"{number}. {step}" for number, step in enumerate(steps, 1)), ""]


def _set_aside(report: Report) -> list[str]:
    if not report.set_aside:
        return []
    lines = ["## Set aside", "", "Not everything that you handed in was used:", ""]
    lines += [f"- {markdown_text(line, 300)}" for line in report.set_aside[:_SET_ASIDE_SHOWN]]
    if len(report.set_aside) > _SET_ASIDE_SHOWN:
        lines.append(f"- and {len(report.set_aside) - _SET_ASIDE_SHOWN} more")
    return [*lines, ""]


def _footer(report: Report) -> list[str]:
    return [
        "---",
        "",
        f"Graded as handed in: submission `{_code(report.submission[:12])}`, suite"
        f" `{_code(report.fingerprint[:12])}`, seed `{_code(report.seed_id[:12])}`. If you think that a"
        " check is"
        " wrong, quote this line to your instructor.",
    ]


def _code(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z_.-]", "", text) or "none"
