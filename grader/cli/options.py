"""Options that several commands share, and what they turn into."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from grader.course.catalog import Course

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


def course_of(ctx: click.Context, *, empty: bool = False) -> Course:
    """Return the course that the command line names, or the one that is found; `empty` as in `find_course`."""
    from grader.course.catalog import find_course

    return find_course(ctx.find_root().obj, empty=empty)


def tier_option(function: F) -> F:
    """Add --tier."""
    return click.option(
        "--tier",
        type=click.Choice(["0", "1", "2"]),
        default=None,
        help="Sandbox: 1 bubblewrap, 2 Landlock, 0 none (only for code that you trust). "
        "By default the strongest of 1 and 2 that this machine offers.",
    )(function)


def jobs_option(function: F) -> F:
    """Add --jobs."""
    return click.option(
        "--jobs",
        "-j",
        type=click.IntRange(1, 256),
        default=lambda: os.cpu_count() or 1,
        show_default="the number of cores",
        help="Submissions graded at the same time.",
    )(function)


def gradebook_option(function: F) -> F:
    """Add --gradebook."""
    return click.option(
        "--gradebook",
        default=None,
        metavar="FILE|URL",
        help="An SQLite file or a PostgreSQL URL. By default gradebook.db in the course's .grader folder.",
    )(function)


def number(tier: str | None) -> int | None:
    """Return the tier as a number."""
    return None if tier is None else int(tier)


def gradebook_target(course: Course, option: str | None) -> Path | str:
    """Return where the gradebook is: as asked for, else in the course's state folder."""
    if option is None:
        return course.state / "gradebook.db"
    return option if "://" in option else Path(option)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console; it prints plain text where there is no terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=not _terminal(stderr))


def _terminal(stderr: bool) -> bool:
    import sys

    return (sys.stderr if stderr else sys.stdout).isatty()
