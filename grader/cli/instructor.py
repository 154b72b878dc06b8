"""Commands of instructors and TAs: grade a class, look at one student."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from grader.cli.options import (
    PATH,
    console,
    course_of,
    gradebook_option,
    gradebook_target,
    jobs_option,
    number,
    tier_option,
)
from grader.cli.progress import ClassProgress

if TYPE_CHECKING:
    from rich.console import Console

    from grader.checking.report import Report
    from grader.course.assignment import Assignment
    from grader.course.catalog import Course
    from grader.grading.executors.local import Ready

UNGRADED_EXIT = 3
BANNER = (
    "NO SANDBOX (tier 0): student code runs with all of your rights. It can read the hidden suite, change "
    "grades and delete files. For code that you trust, never for releasing grades."
)


def announce(ready: Ready, to: Console) -> None:
    """Say which sandbox runs, and why no stronger one."""
    if ready.tier == 0:
        to.print(BANNER, style="bold red", markup=False)
        return
    for tier, name, reason in ready.refusals:
        to.print(f"Sandbox tier {tier} ({name}) cannot be used: {reason}", markup=False)
    if ready.refusals:
        to.print(f"Using tier {ready.tier} ({ready.sandbox}); `grader doctor` tells what it holds.", markup=False)


@click.command()
@click.argument("assignment")
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH...")
@click.option("--roster", type=PATH, help="CSV with ids and names; who is on it and handed in nothing is listed.")
@jobs_option
@click.option("--fresh", is_flag=True, help="Grade anew what is graded already; the old reports are kept.")
@click.option("--seed", type=int, default=None, help="Seed of the hidden inputs, instead of the course's secret one.")
@tier_option
@gradebook_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of the table.")
@click.option("--csv", "csv_file", type=PATH, help="Write the class as CSV.")
@click.option("--feedback", type=PATH, help="Write one Markdown file per student into this folder.")
@click.option("--figures", type=PATH, help="Draw what each student's code did, as SVG, into this folder.")
@click.option("--release-unsafe", is_flag=True, help="Write feedback, figures and CSV although the tier is 0.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.pass_context
def grade(
    ctx: click.Context,
    assignment: str,
    paths: tuple[Path, ...],
    roster: Path | None,
    jobs: int,
    fresh: bool,
    seed: int | None,
    tier: str | None,
    gradebook: str | None,
    as_json: bool,
    csv_file: Path | None,
    feedback: Path | None,
    figures: Path | None,
    release_unsafe: bool,
    quiet: bool,
) -> int:
    """Grade submissions with the hidden suite of ASSIGNMENT.

    PATH is a folder of students (DIR/s001/bptt.py), of files or archives (DIR/s001.zip, .py, .ipynb), nbgrader's
    `submitted` folder, or a single submission. What is graded is kept in the gradebook as it comes: after an
    interruption the same command goes on where it stopped.

    \b
    Exit code: 0 all graded, 1 an error, 2 wrong usage, 3 some are ungraded, 130 interrupted.

    \b
    Example:
      grader grade bptt submissions/ --roster roster.csv --csv grades.csv --feedback feedback/
    """
    from grader.gradebook.classroom import ClassroomBook
    from grader.grading.engine import grade_class, hidden_examination
    from grader.reports.csv_table import write_csv
    from grader.reports.figures import load_drawing, write_figures
    from grader.reports.json_lines import json_line, line_of, missing_as_json
    from grader.reports.markdown import write_feedback
    from grader.reports.terminal import class_table
    from grader.submissions.discover import read_submissions
    from grader.submissions.roster import missing as find_missing
    from grader.submissions.roster import not_on_roster, read_roster

    if number(tier) == 0 and (csv_file or feedback or figures) and not release_unsafe:
        raise click.UsageError(
            "--csv, --feedback and --figures release grades, and tier 0 does not protect them. "
            "Add --release-unsafe if you mean it."
        )
    course = course_of(ctx)
    chosen = course.assignment(assignment)
    entries = read_roster(roster) if roster else None
    submissions = read_submissions(chosen, list(paths), entries)
    examination = hidden_examination(course, chosen, tier=number(tier), seed=seed)
    draw = load_drawing(chosen) if figures else None
    err = console(stderr=True)
    with (
        ClassroomBook.open(gradebook_target(course, gradebook)) as book,
        ClassProgress(quiet=quiet or as_json) as progress,
    ):
        result = grade_class(
            examination,
            submissions,
            book,
            jobs=jobs,
            fresh=fresh,
            seed_override=seed is not None,
            on_start=progress.begin,
            on_ready=lambda ready: announce(ready, err),
            on_report=progress.report,
        )
        classroom = book.scores_of(chosen.id) if csv_file else {}
    missing = find_missing(entries, submissions) if entries is not None else []
    if as_json:
        for report in result.reports:
            click.echo(json_line(report))
        for entry in missing:
            click.echo(line_of(missing_as_json(entry, chosen.id, chosen.points)))
    else:
        class_table(result.reports, missing, console())
    if entries is not None:
        strangers = not_on_roster(entries, submissions)
        if strangers:
            names = ", ".join(s.student for s in strangers[:10])
            more = f" and {len(strangers) - 10} more" if len(strangers) > 10 else ""
            err.print(f"Not on the roster, graded all the same: {names}{more}.", markup=False)
    if csv_file:
        write_csv(csv_file, result.reports, missing, classroom)
    drawn: dict[str, list[Path]] = {}
    if figures and draw is not None:
        drawn, failures = write_figures(figures, draw, result.pictures)
        for failure in failures:
            err.print(failure, markup=False)
        if result.skipped:
            err.print(f"{result.skipped} graded before have no figures this time: --fresh grades them anew.")
    if feedback:
        from grader.course.misconceptions import load_misconceptions

        reading = {key: m.read for key, m in load_misconceptions(course).items()}
        write_feedback(feedback, result.reports, chosen.title, missing=missing, reading=reading, figures=drawn)
    return UNGRADED_EXIT if any(r.outcome == "ungraded" for r in result.reports) else 0


@click.command()
@click.argument("assignment")
@click.argument("student")
@click.option("--check", "check", default=None, metavar="ID", help="Run this one check again, with its full traceback.")
@click.option("--student-view", is_flag=True, help="Show only what the student may see.")
@tier_option
@gradebook_option
@click.pass_context
def show(
    ctx: click.Context,
    assignment: str,
    student: str,
    check: str | None,
    student_view: bool,
    tier: str | None,
    gradebook: str | None,
) -> int:
    """Show everything about STUDENT's grade in ASSIGNMENT.

    Assertion details, what the code printed, what was set aside, and the command that runs one check again.
    The work itself comes from the gradebook, so the submission folder need not be there any more.

    \b
    Example:
      grader show bptt s001
      grader show bptt s001 --check test_gradient[W_hh]
    """
    from grader.errors import GraderError
    from grader.gradebook.classroom import ClassroomBook
    from grader.reports.terminal import submission_view

    course = course_of(ctx)
    chosen = course.assignment(assignment)
    with ClassroomBook.open(gradebook_target(course, gradebook)) as book:
        report = book.report_of(chosen.id, student)
        if report is None:
            known = [r.student for r in book.latest(chosen.id)]
            from difflib import get_close_matches

            near = get_close_matches(student, known, 1)
            raise GraderError(
                f"there is no grade of `{student}` in {chosen.id}",
                advice=f"Did you mean `{near[0]}`?" if near else "`grader grade` comes first",
            )
        final = book.scores_of(chosen.id).get(student)
        if check is not None:
            files = book.stored_submission_files(chosen.id, student, report.submission)
    if check is not None:
        report = _again(course, chosen, report, files, check, number(tier), console(stderr=True))
    submission_view(report, console(), not student_view, check=check)
    if final is not None and check is None:
        from grader.reports.classroom import classroom_line

        click.echo(f"\n{classroom_line(final, None if student_view else report)}")
    return UNGRADED_EXIT if report.outcome == "ungraded" else 0


def _again(
    course: Course,
    assignment: Assignment,
    report: Report,
    files: dict[str, bytes],
    check: str,
    tier: int | None,
    err: Console,
) -> Report:
    """Run one check of a recorded submission again, on the seed of its report where that is the course's."""
    from grader.errors import GraderError
    from grader.grading.engine import as_job, hidden_examination
    from grader.grading.executors.local import Host
    from grader.submissions.from_files import submission_from_files

    examination = hidden_examination(course, assignment, tier=tier)
    if examination.seed.id != report.seed_id:
        err.print(
            "The suite or the seed has changed since this grade: the check runs on today's inputs.",
            markup=False,
        )
    submission = submission_from_files(assignment, report.student, files, problem=report.problem, name=report.name)
    with Host(examination.config(1)) as host:
        ids = [c[0] for c in host.ready.checks]
        if check not in ids:
            from difflib import get_close_matches

            near = get_close_matches(check, ids, 1)
            raise GraderError(
                f"there is no check `{check}` in {assignment.id}",
                advice=f"Did you mean `{near[0]}`?" if near else "Leave --check out to see all of them",
            )
        job = as_job(0, submission, only=[check], details=True, diagnose=False)
        return next(iter(host.run([job]))).report
