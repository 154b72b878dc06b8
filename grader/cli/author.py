"""Commands of authors: lay a skeleton, generate what is derived, prove that the suite is right."""

from __future__ import annotations

import click

from grader.cli.options import console, course_of, jobs_option, number, tier_option


@click.group()
def new() -> None:
    """Lay a working skeleton.

    \b
    Example:
      grader new assignment gru_words
    """


@new.command()
@click.argument("assignment_id", metavar="ID")
@click.option("--title", default=None, help="Title of the assignment.")
@click.pass_context
def assignment(ctx: click.Context, assignment_id: str, title: str | None) -> int:
    """Lay a new assignment ID: a folder in assignments/ and one in solutions/ that pass `grader verify`.

    \b
    Example:
      grader new assignment gru_words --title "A GRU that counts words"
    """
    from grader.course.skeleton import new_assignment

    for path in new_assignment(course_of(ctx), assignment_id, title):
        click.echo(str(path))
    click.echo(f"Next: grader build {assignment_id} && grader verify {assignment_id}")
    return 0


@click.command()
@click.argument("assignments", nargs=-1, metavar="[ASSIGNMENT]...")
@click.option("--check", "check_only", is_flag=True, help="Write nothing; exit with 1 where a file is stale.")
@jobs_option
@tier_option
@click.pass_context
def build(ctx: click.Context, assignments: tuple[str, ...], check_only: bool, jobs: int, tier: str | None) -> int:
    """Generate what is derived from the references: stub, notebook and preview.npz of each assignment.

    \b
    Example:
      grader build
      grader build bptt --check
    """
    from grader.course.building import generated_files, stale, write_generated
    from grader.grading.preview import make_preview, same_preview

    course = course_of(ctx)
    chosen = [course.assignment(i) for i in assignments] or list(course.assignments())
    found_stale = False
    for one in chosen:
        files = generated_files(one)
        out_of_date = stale(files)
        preview = make_preview(one, jobs=jobs, tier=number(tier))
        current = preview.path.read_bytes() if preview.path.is_file() else b""
        if not same_preview(current, preview.content, preview.path):
            files.append(preview)
            out_of_date.append(preview.path)
        if check_only:
            for path in out_of_date:
                found_stale = True
                click.echo(f"stale: {path}; run `grader build {one.id}`", err=True)
        else:
            for path in write_generated(files):
                click.echo(f"written: {path}")
        if not out_of_date:
            click.echo(f"{one.id}: up to date")
    return 1 if found_stale else 0


@click.command()
@click.argument("assignments", nargs=-1, metavar="[ASSIGNMENT]...")
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="How many seeds.")
@click.option(
    "--training",
    type=click.Choice(["all", "right", "none"]),
    default="all",
    show_default=True,
    help="Who runs the checks that train: right is the reference and twins, on one seed; all also the mutants.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 1000),
    default=1,
    help="Only every N-th mutant, and no hints: a quick look, not a proof.",
)
@click.option("--checks", "list_checks", is_flag=True, help="Also list every check with the mutants that fail it.")
@jobs_option
@tier_option
@click.pass_context
def verify(
    ctx: click.Context,
    assignments: tuple[str, ...],
    seeds: int,
    training: str,
    sample: int,
    list_checks: bool,
    jobs: int,
    tier: str | None,
) -> int:
    """Prove the hidden suites: everything goes the way that a submission goes.

    The reference and its twins must get full marks, the stub must be `not attempted` throughout, and each mutant
    must be caught by the check that it names and be told its own hint; functions that answer without looking must
    earn nothing. Over several seeds, shuffled, and with a worker for each check.

    \b
    Exit code: 0 the suites hold, 1 something was found.

    \b
    Example:
      grader verify bptt --seeds 20
    """
    from grader.cli.progress import RunProgress
    from grader.grading.verify import verify as verify_assignment
    from grader.reports.verification import verification_view

    course = course_of(ctx)
    chosen = [course.assignment(i) for i in assignments] or list(course.assignments())
    sound = True
    for one in chosen:
        with RunProgress(f"verifying {one.id}") as progress:
            result = verify_assignment(
                course,
                one,
                seeds=seeds,
                jobs=jobs,
                tier=number(tier),
                training=training,
                sample=sample,
                on_start=progress.begin,
                on_run=progress.advance,
            )
        verification_view(result, one, console(), list_checks=list_checks)
        sound = sound and not result.findings
    return 0 if sound else 1
