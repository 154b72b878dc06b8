"""The group `grader nbgrader`: a classroom that runs on nbgrader's own commands, graded by our engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grader.cli.groups import CommandGroup
from grader.cli.options import PATH, console, course_of, gradebook_option, jobs_option, number, tier_option

if TYPE_CHECKING:
    from grader.course.catalog import Course
    from grader.exchange.nbgrader.folder import Laid

UNGRADED_EXIT = 3


class NbgraderGroup(CommandGroup):
    """The commands of a classroom on nbgrader."""

    extra = "nbgrader"
    brings = frozenset(
        {"nbgrader", "nbconvert", "nbformat", "traitlets", "sqlalchemy", "alembic", "jupyter_core", "ipykernel"}
    )


@click.group(cls=NbgraderGroup, context_settings={"help_option_names": ["-h", "--help"]})
def nbgrader() -> None:
    """Run the class on nbgrader, graded by the sandboxed engine.

    \b
    Example:
      grader nbgrader init classroom --roster roster.csv
      grader nbgrader autograde bptt --dir classroom
    """


@nbgrader.command()
@click.argument("folder", type=PATH, metavar="DIR")
@click.option("--roster", type=PATH, help="CSV with ids and names; these students go into nbgrader's database.")
@click.option("--course-id", default=None, help="nbgrader's name of the course; by default that of DIR.")
@click.pass_context
def init(ctx: click.Context, folder: Path, roster: Path | None, course_id: str | None) -> int:
    """Make DIR a course folder of nbgrader: settings, source notebooks, database, students.

    Run it again to bring it up to date. What you have edited in it is left as it is, and named.

    \b
    Example:
      grader nbgrader init classroom --roster roster.csv --course-id rnn
    """
    from grader.exchange.nbgrader.folder import lay_folder
    from grader.submissions.roster import read_roster

    course = course_of(ctx)
    entries = read_roster(roster) if roster else []
    _say(lay_folder(course, folder, course_id, entries))
    if entries:
        click.echo(f"{len(entries)} students are in nbgrader's database.")
    click.echo(f"Next: cd {folder} && nbgrader generate_assignment {course.ids[0]}")
    return 0


@nbgrader.command()
@click.argument("assignments", nargs=-1, metavar="[ASSIGNMENT]...")
@click.option("--into", "folder", type=PATH, default=Path(), help="The course folder, by default this one.")
@click.option("--force", is_flag=True, help="Overwrite also what was edited there.")
@click.pass_context
def build(ctx: click.Context, assignments: tuple[str, ...], folder: Path, force: bool) -> int:
    """Write the source notebooks of each ASSIGNMENT (by default of all) into a course folder.

    A graded quiz is one too: the bank exam1 is the assignment quiz-exam1.

    \b
    Example:
      grader nbgrader build bptt quiz-exam1 --into classroom
    """
    from grader.exchange.nbgrader.folder import build_sources, buildable

    course = _course(ctx, folder)
    done = build_sources(course, folder, list(assignments) or buildable(course), force=force)
    _say(done)
    return 1 if any(laid.what.startswith("edited") for laid in done) else 0


def _course(ctx: click.Context, folder: Path) -> Course:
    """Return the course that the command line names, else the one that the settings of a course folder name."""
    from grader.exchange.nbgrader.folder import configured_course

    if ctx.find_root().obj is None and "GRADER_COURSE" not in os.environ:
        named = configured_course(folder)
        if named is not None:
            return named
    return course_of(ctx)


def _say(done: list[Laid]) -> None:
    changed = [laid for laid in done if laid.what != "as it was"]
    for laid in changed:
        click.echo(f"{laid.path}: {laid.what}")
    if not changed:
        click.echo("Everything is up to date.")


@nbgrader.command()
@click.argument("assignment")
@click.option("--dir", "folder", type=PATH, default=Path(), help="The course folder, by default this one.")
@jobs_option
@tier_option
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.pass_context
def autograde(ctx: click.Context, assignment: str, folder: Path, jobs: int, tier: str | None, quiet: bool) -> int:
    """Grade what was collected of ASSIGNMENT, the whole class in parallel, into nbgrader's database.

    It does what `nbgrader autograde` does in that folder, faster. After an interruption the same command goes on
    where it stopped; what is ungraded is tried again.

    \b
    Exit code: 0 all graded, 1 an error, 2 wrong usage, 3 some are ungraded, 130 interrupted.

    \b
    Example:
      grader nbgrader autograde bptt --dir classroom --jobs 4
    """
    from grader.checking.report import Report
    from grader.cli.instructor import announce
    from grader.cli.progress import ClassProgress
    from grader.cli.quiz_graded import tell
    from grader.exchange.nbgrader.autograding import autograde as grade_class
    from grader.exchange.nbgrader.run import Run
    from grader.reports.terminal import class_table

    if number(tier) == 0:
        raise click.UsageError("tier 0 does not protect the grades that nbgrader releases; choose 1 or 2")
    err = console(stderr=True)
    with ClassProgress(quiet=quiet) as progress:
        done = grade_class(
            _course(ctx, folder),
            assignment,
            folder,
            Run(
                jobs=jobs,
                tier=number(tier),
                on_start=lambda todo, skipped: progress.begin(todo, 0),
                on_ready=lambda ready: announce(ready, err),
                on_report=lambda told: progress.report(told) if isinstance(told, Report) else None,
            ),
            on_warning=lambda text: err.print(" ".join(text.split()), markup=False),
        )
    if done.results:
        tell(done.results, [], as_json=False)
    else:
        class_table(list(done.reports), [], console())
    for line in done.failed:
        click.echo(f"nbgrader: {' '.join(line.split())}", err=True)
    if done.failed:
        return 1
    return UNGRADED_EXIT if done.ungraded else 0


@nbgrader.command()
@click.option("--dir", "folder", type=PATH, default=Path(), help="The course folder, by default this one.")
@gradebook_option
@click.pass_context
def sync(ctx: click.Context, folder: Path, gradebook: str | None) -> int:
    """Bring scores both ways between nbgrader's database and the course's gradebook.

    From nbgrader come final scores: marks by hand, extra credit, late penalties, extensions. To it go the grades of
    `grader grade` for students whom nbgrader has not graded, and graded quizzes. Done again it changes nothing.

    \b
    Exit code: 0 done, 1 an error, 3 something was left out and is named.

    \b
    Example:
      grader nbgrader sync --dir classroom
    """
    from grader.exchange.nbgrader.sync import synchronise
    from grader.reports.classroom import classroom_line

    course = _course(ctx, folder)
    target = gradebook if gradebook is None or "://" in gradebook else Path(gradebook).resolve()
    done = synchronise(course, folder, target)
    for score in done.taken:
        click.echo(f"{score.assignment} {score.student}: {classroom_line(score)}")
    click.echo(
        f"{len(done.taken)} scores are new here, {done.given} went to nbgrader."
        if done.taken or done.given
        else "Both gradebooks tell the same already."
    )
    for line in done.waiting:
        click.echo(line)
    for line in done.problems:
        click.echo(line, err=True)
    return UNGRADED_EXIT if done.problems else 0


@nbgrader.command()
@click.option("--install", "do_install", is_flag=True, help="Write the kernelspec.")
@click.option("--user", is_flag=True, help="For yourself only, instead of for this environment.")
@click.option("--prefix", type=PATH, metavar="DIR", help="Below DIR/share/jupyter instead.")
@click.option(
    "--memory-mb", type=click.IntRange(256), default=4096, show_default=True, help="Memory of a notebook's processes."
)
@click.option(
    "--cpu-seconds", type=click.IntRange(10), default=600, show_default=True, help="CPU seconds of a notebook."
)
@click.pass_context
def kernel(
    ctx: click.Context, do_install: bool, user: bool, prefix: Path | None, memory_mb: int, cpu_seconds: int
) -> int:
    """Install the kernel `unrolled-sandbox`, which runs notebooks with test cells of their own in a sandbox.

    It is for assignments that nbgrader itself executes, in a course folder of their own: no network, no sight of the
    course, a /tmp of its own. Without --install it prints what belongs into their nbgrader_config.py.

    \b
    Example:
      grader nbgrader kernel
      grader nbgrader kernel --install --user --memory-mb 2048 --cpu-seconds 300
    """
    from grader.exchange.nbgrader.kernel import SETTINGS, install

    if user and prefix is not None:
        raise click.UsageError("--user and --prefix exclude each other")
    if do_install:
        folder = install(course_of(ctx).root, user=user, prefix=prefix, memory_mb=memory_mb, cpu_seconds=cpu_seconds)
        click.echo(f"{folder}: written. In nbgrader_config.py:\n")
    click.echo(SETTINGS.rstrip())
    return 0
