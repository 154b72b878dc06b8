"""Commands of students: find an assignment, start it, check it, hand it in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grader.cli.options import PATH, console, course_of

if TYPE_CHECKING:
    from grader.checking.report import Report
    from grader.course.assignment import Assignment
    from grader.course.catalog import Course

POLL_SECONDS = 0.5


@click.command(name="list")
@click.pass_context
def list_assignments(ctx: click.Context) -> int:
    """Show the assignments of this course.

    \b
    Example:
      grader list
    """
    course = course_of(ctx)
    assignments = course.assignments()
    width = max((len(a.id) for a in assignments), default=0)
    for assignment in assignments:
        packages = ", ".join(assignment.packages)
        click.echo(f"{assignment.id:<{width}}  {assignment.title}")
        click.echo(f"{'':<{width}}  {assignment.points:g} points, {len(assignment.parts)} parts, uses {packages}")
    return 0


@click.command()
@click.argument("assignment")
@click.argument("folder", required=False, type=PATH, metavar="[DIR]")
@click.pass_context
def start(ctx: click.Context, assignment: str, folder: Path | None) -> int:
    """Copy the handout of ASSIGNMENT into DIR (by default a folder of its name here).

    You get the handout, the stub to fill in, the same as a notebook, and the public checks. Files that are there
    already are never overwritten.

    \b
    Example:
      grader start bptt
      grader start bptt ~/rnn-course/bptt
    """
    from grader.course.handout import copy_handout

    chosen = course_of(ctx).assignment(assignment)
    target = folder or Path(chosen.id)
    written = copy_handout(chosen, target)
    for path in written:
        click.echo(f"{path}")
    if not written:
        click.echo(f"Everything is in {target} already.")
    click.echo(
        f"Read {target / 'README.md'}, fill in {chosen.module} or {chosen.notebook}, then: grader check {target}"
    )
    return 0


def _practise(course: Course, assignment: Assignment, path: Path) -> Report:
    """Run the public suite on a student's work in a process of its own."""
    from grader.grading.engine import as_job, examine, public_examination
    from grader.submissions.discover import read_one

    submission = read_one(assignment, path)
    examination = public_examination(assignment)
    return examine(examination, [as_job(0, submission)])[0].report


@click.command()
@click.argument("path", required=False, default=".", type=PATH, metavar="[PATH]")
@click.option("--assignment", default=None, help="Which assignment it is, where the file's name does not tell.")
@click.pass_context
def check(ctx: click.Context, path: Path, assignment: str | None) -> int:
    """Try the work in PATH (a file or a folder, by default this one) against the public checks.

    Every failing check is shown with its details, and, where your numbers are those of a known mistake, with a
    hint. The hidden checks that grade your work are other ones, on other inputs. Your code runs in a process of
    its own, without a sandbox: it is your code.

    \b
    Exit code: 0 everything passes, 1 something does not.

    \b
    Example:
      grader check
      grader check bptt/bptt.ipynb
    """
    from grader.course.handout import detect_assignment
    from grader.reports.practice import practice_view

    course = course_of(ctx)
    chosen = course.assignment(assignment) if assignment else detect_assignment(course, path)
    report = _practise(course, chosen, path)
    practice_view(report, console(), reading=_reading(course))
    return 0 if report.earned == report.possible and report.outcome == "graded" else 1


def _reading(course: Course) -> dict[str, str]:
    from grader.course.misconceptions import load_misconceptions

    return {key: m.read for key, m in load_misconceptions(course).items()}


def _state(path: Path) -> dict[str, tuple[int, int]]:
    """Return modification times and sizes of the files that matter."""
    files = [path] if path.is_file() else [*path.glob("*.py"), *path.glob("*.ipynb")]
    out = {}
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue  # it is just being saved
        out[str(file)] = (found.st_mtime_ns, found.st_size)
    return out


@click.command()
@click.argument("path", required=False, default=".", type=PATH, metavar="[PATH]")
@click.option("--assignment", default=None, help="Which assignment it is, where the file's name does not tell.")
@click.option("--runs", type=click.IntRange(1), default=None, help="Stop after so many runs.")
@click.pass_context
def watch(ctx: click.Context, path: Path, assignment: str | None, runs: int | None) -> int:
    """Check the work in PATH whenever you save it, and show one next step at a time.

    Stop with Ctrl-C.

    \b
    Example:
      grader watch bptt
    """
    from grader.course.handout import detect_assignment
    from grader.errors import SubmissionError
    from grader.reports.practice import next_step

    course = course_of(ctx)
    chosen = course.assignment(assignment) if assignment else detect_assignment(course, path)
    out = console()
    reading = _reading(course)
    done = 0
    while True:
        seen = _state(path)
        try:
            next_step(_practise(course, chosen, path), out, reading=reading)
        except SubmissionError as error:  # half-saved, or just renamed: the next save may mend it
            out.print(str(error), markup=False)
        done += 1
        if runs is not None and done >= runs:
            return 0
        out.print(f"Watching {path}; save to check again, Ctrl-C to stop.", markup=False, style="dim")
        while _state(path) == seen:
            time.sleep(POLL_SECONDS)


@click.command()
@click.argument("path", required=False, default=".", type=PATH, metavar="[PATH]")
@click.option("--assignment", default=None, help="Which assignment it is, where the file's name does not tell.")
@click.option("--student", default=None, help="Your id; it goes into the file name.")
@click.option("--to", "target", type=PATH, default=Path(), help="Folder for the zip file, by default this one.")
@click.option("--anyway", is_flag=True, help="Pack it although it cannot be loaded.")
@click.pass_context
def submit(
    ctx: click.Context, path: Path, assignment: str | None, student: str | None, target: Path, anyway: bool
) -> int:
    """Check that the work in PATH loads, pack the right files, and print a receipt.

    The receipt says what was packed, when, and its SHA-256: keep it. The zip file is what you hand in.

    \b
    Example:
      grader submit bptt --student s001
    """
    from grader.course.handout import detect_assignment
    from grader.submissions.packing import pack

    course = course_of(ctx)
    chosen = course.assignment(assignment) if assignment else detect_assignment(course, path)
    problems, missing = _loads(chosen, path)
    for problem in problems:
        click.echo(f"It does not load: {problem}", err=True)
    if problems and not anyway:
        click.echo("Nothing was packed. Mend it, or add --anyway to hand it in as it is.", err=True)
        return 1
    if missing:
        click.echo(f"Not defined, so worth nothing: {', '.join(missing)}", err=True)
    receipt = pack(chosen, path, student, target)
    click.echo(f"Packed   {receipt.path}")
    click.echo(f"Files    {', '.join(receipt.files)}")
    click.echo(f"When     {receipt.when}")
    click.echo(f"SHA-256  {receipt.sha256}")
    for line in receipt.set_aside:
        click.echo(f"Left out: {line}", err=True)
    click.echo("Hand in the zip file and keep this receipt.")
    return 0


def _loads(assignment: Assignment, path: Path) -> tuple[list[str], list[str]]:
    """Load the work as the grader would; return what failed and which names are not there."""
    from grader.checking.selfcheck import open_session
    from grader.reports.text import printable
    from grader.sandbox.faults import StudentFault
    from grader.submissions.discover import read_one

    submission = read_one(assignment, path)
    if submission.problem or submission.unreadable:
        return [str(submission.problem or submission.unreadable)], []
    session = open_session(submission, assignment)
    try:
        session.load()
        problems = [
            printable(f"{f.get('chunk')}, line {f.get('line')}: {f.get('type')}: {f.get('message')}", 300)
            for f in session.load_failures
        ]
        missing = [name for name in assignment.names if name not in session.defined]
    except StudentFault as fault:
        problems, missing = [fault.fact], []
    finally:
        session.close()
    # a notebook may hold a failing experiment; what counts is that the asked names are there
    if submission.chunks and len(submission.chunks) > 1 and not missing:
        return [], []
    return problems, missing
