"""Quizzes in the browser: the server, and the practice page that needs none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from grader.cli.options import PATH, course_of, gradebook_option, gradebook_target, number, tier_option
from grader.errors import CourseError


@contextmanager
def web_libraries() -> Iterator[None]:
    """Tell in one line what to install where a library of the extra `web` is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "grader").split(".")[0] == "grader":
            raise
        raise CourseError(
            f"quizzes in the browser need {error.name}, which is not installed",
            advice='Install it with: python -m pip install "unrolled[web]"',
        ) from None


@click.command()
@click.argument("bank", metavar="BANK")
@click.option("--roster", type=PATH, default=None, metavar="CSV", help="The class: only its students enter, by a code.")
@click.option("--codes", type=PATH, default=None, metavar="FILE", help="Write the students' codes to a CSV file.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only questions with this tag (may be repeated).")
@click.option("--level", "levels", multiple=True, metavar="LEVEL", help="Only questions of this level.")
@click.option("-n", "--n", "count", type=click.IntRange(1), default=None, help="So many questions for each student.")
@click.option("--attempts", type=click.IntRange(1, 99), default=None, help="Tries at a question (1 if graded, else 3).")
@click.option("--minutes", type=click.FloatRange(0.1, 10000), default=None, help="Time limit, from the beginning on.")
@click.option("--sittings", type=click.IntRange(1), default=None, help="How often a student may take the quiz "
              "(once if graded, else any number of times).")  # fmt: skip
@click.option("--shuffle/--no-shuffle", default=True, help="An order and variants of their own for each student "
              "(the default), or the same for all.")  # fmt: skip
@click.option("--reveal", type=click.Choice(["now", "end", "never"]), default=None, help="When marks and solutions "
              "are shown (never if graded, else now).")  # fmt: skip
@click.option("--graded", is_flag=True, help="Keep it as graded, though the bank is one for practice.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 for a free one."
)
@gradebook_option
@tier_option
@click.pass_context
def serve(
    ctx: click.Context,
    bank: str,
    roster: Path | None,
    codes: Path | None,
    tags: tuple[str, ...],
    levels: tuple[str, ...],
    count: int | None,
    attempts: int | None,
    minutes: float | None,
    sittings: int | None,
    shuffle: bool,
    reveal: str | None,
    graded: bool,
    host: str,
    port: int,
    gradebook: str | None,
    tier: str | None,
) -> int:
    """Serve the quiz BANK to browsers; a blueprint draws one for each student.

    Answers are marked here and kept before they are confirmed: no key reaches a page, and after a
    crash the same command goes on where it was. Without --roster everybody may practise. The address that shows the
    class at work is printed; keep it to yourself. Practice without a roster is kept in practice.db, a class in its
    gradebook.

    \b
    Example:
      grader quiz serve foundations
      grader quiz serve foundations --roster class.csv --codes codes.csv --minutes 30
    """
    from grader.cli.quiz_take import practice_path

    with web_libraries():
        from grader.web.serving import Plan, serve_quiz

    course = course_of(ctx)
    # guests are nobody's students: they do not belong in the gradebook of a class
    practice = gradebook is None and roster is None
    target = practice_path(course) if practice else gradebook_target(course, gradebook)
    plan = Plan(
        bank=bank, roster=roster, tags=tags, levels=levels, n=count, attempts=attempts, minutes=minutes,
        sittings=sittings, shuffle=shuffle, reveal=reveal, graded=graded, tier=number(tier),
    )  # fmt: skip
    with web_libraries():
        return serve_quiz(course, plan, target, host, port, codes, click.echo)


@click.command()
@click.argument("bank", metavar="BANK")
@click.option("--out", type=PATH, default=None, metavar="FILE", help="Where to write it (BANK.html if not said).")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only questions with this tag (may be repeated).")
@click.option("--level", "levels", multiple=True, metavar="LEVEL", help="Only questions of this level.")
@click.pass_context
def page(ctx: click.Context, bank: str, out: Path | None, tags: tuple[str, ...], levels: tuple[str, ...]) -> int:
    """Write the questions of BANK as one page for practice, which needs no server and no network.

    It marks most types by itself and shows a model answer for the others. The key is inside, so a graded bank is
    refused.

    \b
    Example:
      grader quiz page foundations
      grader quiz page foundations --out practice.html --tag lstm
    """
    from grader.quiz.loading import load_bank

    with web_libraries():
        from grader.web.practice import write_page

    course = course_of(ctx)
    target = out or Path(f"{bank}.html")
    with web_libraries():
        questions, size = write_page(load_bank(course, bank), target, tags=tags, levels=levels)
    many = "" if questions == 1 else "s"
    click.echo(f"{target}: {questions} question{many}, {size / 1000:.0f} kB. It carries the key: it is for practice.")
    return 0
