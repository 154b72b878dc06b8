"""The command that tells what the questions and assignments cover."""

from __future__ import annotations

import click

from grader.cli.options import course_of


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; tell every gap, and whether the page is out of date.")
@click.pass_context
def coverage(ctx: click.Context, check: bool) -> int:
    """Write docs/coverage.md: which question or assignment asks about which item of the course's sources.

    The items are listed in quizzes/sources.yaml; questions name them under `source`. Every gap is told in a line: an
    item that nothing marks, or a question about an item that is not listed.

    \b
    Exit code with --check: 0 no gap and the page is up to date, 1 otherwise.

    \b
    Example:
      grader quiz coverage
      grader quiz coverage --check
    """
    from grader.course.catalog import PACKAGED
    from grader.errors import CourseError
    from grader.quiz.coverage import coverage as what_is_covered
    from grader.quiz.coverage import gaps, is_current, table, table_path
    from grader.reports.writing import write_text

    course = course_of(ctx)
    found = what_is_covered(course)
    path = table_path(course)
    said = gaps(found)
    for line in said:
        click.echo(line)
    if check:
        current = is_current(course, found)
        if not current:
            click.echo(f"{path}: this is not what the banks say; write it with `grader quiz coverage`")
        return 1 if said or not current else 0
    if course.root == PACKAGED:
        raise CourseError(
            "the course inside the package is not written to", where=path, advice="Name your own with --course."
        )
    path.parent.mkdir(exist_ok=True)
    write_text(path, table(found))
    click.echo(f"{path}: {len(found.sources.items)} items, {len(said) or 'no'} {'gap' if len(said) == 1 else 'gaps'}")
    return 0
