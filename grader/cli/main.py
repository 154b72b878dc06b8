"""The `grader` command: its groups, and how every error becomes one line."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from grader import __version__
from grader.cli.groups import LazyGroup
from grader.errors import GraderError

#: command -> (module, attribute, one line for `grader --help`); modules are imported when their command runs.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "list": ("grader.cli.student", "list_assignments", "Show the assignments of this course."),
    "start": ("grader.cli.student", "start", "Copy an assignment's handout into a folder of yours."),
    "check": ("grader.cli.student", "check", "Try your work against the public checks."),
    "watch": ("grader.cli.student", "watch", "Check again whenever you save; show the next thing to do."),
    "submit": ("grader.cli.student", "submit", "Pack your work for handing in and print a receipt."),
    "grade": ("grader.cli.instructor", "grade", "Grade submissions with the hidden suite."),
    "show": ("grader.cli.instructor", "show", "Show everything about one student's grade."),
    "new": ("grader.cli.author", "new", "Lay a working skeleton of an assignment."),
    "build": ("grader.cli.author", "build", "Generate stubs, notebooks and previews from the references."),
    "verify": ("grader.cli.author", "verify", "Prove a hidden suite: reference, twins, stub and mutants."),
    "quiz": ("grader.cli.quiz", "quiz", "Quizzes: take, list and prove banks of questions."),
    "nbgrader": ("grader.cli.nbgrader", "nbgrader", "Run the class on nbgrader, graded by the sandboxed engine."),
    "demo": ("grader.cli.everyone", "demo", "Grade a made-up class, live."),
    "doctor": ("grader.cli.everyone", "doctor", "Tell what this machine's sandboxes hold."),
}
SECTIONS = {
    "Students": ("list", "start", "check", "watch", "submit"),
    "Instructors": ("grade", "show", "nbgrader"),
    "Authors": ("new", "build", "verify"),
    "Quizzes": ("quiz",),
    "Everyone": ("demo", "doctor"),
}


class _Grader(LazyGroup):
    """All commands, by who uses them."""

    table = COMMANDS

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table in sections."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][2]) for name in names])


@click.group(cls=_Grader, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="grader")
@click.option(
    "--course",
    type=click.Path(path_type=Path),
    default=None,
    help="The course folder (else GRADER_COURSE, else the nearest folder above, else the installed course).",
)
@click.pass_context
def grader(ctx: click.Context, course: Path | None) -> None:
    """A course on recurrent networks: assignments, hidden suites, grading.

    \b
    Example:
      grader start bptt         get the first assignment
      grader check bptt         try your work
      grader grade bptt subs/   grade a class
    """
    ctx.obj = course


def _explain(error: OSError) -> str:
    what = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "your disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission denied",
    }.get(error.errno or 0, error.strerror or str(error))
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{what}. Nothing that was finished is lost; mend this and run the command again"


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Let the first Ctrl-C end the command, and spare what tidies up after it from a second; a third ends at once."""
    presses = 0

    def press(*_: object) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            raise KeyboardInterrupt
        if presses > 2:
            os._exit(130)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    before = signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        # a handler would be dropped while Python ends, and the exit code with it
        signal.signal(signal.SIGINT, signal.SIG_IGN if presses else before)


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code; every known error is one line on standard error."""
    try:
        with _one_interrupt():
            code = grader.main(args=arguments, prog_name="grader", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. What was finished is kept.", err=True)
        sys.exit(130)
    except GraderError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # the reader of a pipe went away: not an error, but Python would complain once more while closing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        click.echo(f"Error: {_explain(error)}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    run()
