"""Commands of authors: lay a skeleton, generate what is derived, prove that the suite is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grader.cli.options import console, course_of, jobs_option, number, tier_option

if TYPE_CHECKING:
    from grader.course.catalog import Course


@click.group()
def new() -> None:
    """Lay a working skeleton.

    \b
    Example:
      grader new assignment gru_words
      grader new bank attention-masks
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

    for path in new_assignment(course_of(ctx, empty=True), assignment_id, title):
        click.echo(str(path))
    click.echo(f"Next: grader build {assignment_id} && grader verify {assignment_id}")
    return 0


@new.command()
@click.argument("bank_id", metavar="ID")
@click.option("--title", default=None, help="Title of the bank.")
@click.option("--graded", is_flag=True, help="Lay it in solutions/quizzes: for graded quizzes, in no wheel.")
@click.pass_context
def bank(ctx: click.Context, bank_id: str, title: str | None, graded: bool) -> int:
    """Lay a new quiz bank ID: three questions and their oracle, which pass `grader quiz check`.

    \b
    Example:
      grader new bank attention-masks --title "Masks in attention"
    """
    from grader.quiz.skeleton import new_bank

    for path in new_bank(course_of(ctx), bank_id, title, graded=graded):
        click.echo(str(path))
    click.echo(f"Next: grader quiz check {bank_id} --strict --freeze")
    return 0


@click.command()
@click.argument("names", nargs=-1, metavar="[ASSIGNMENT|BANK]...")
@click.option("--check", "check_only", is_flag=True, help="Write nothing; exit with 1 where a file is stale.")
@jobs_option
@tier_option
@click.pass_context
def build(ctx: click.Context, names: tuple[str, ...], check_only: bool, jobs: int, tier: str | None) -> int:
    """Generate what is derived: stub, notebook and preview.npz of each assignment, the lock of each bank of questions.

    \b
    Example:
      grader build
      grader build bptt --check
      grader build foundations
    """
    from grader.course.building import generated_files, stale, write_generated
    from grader.grading.preview import make_preview, same_preview
    from grader.quiz.loading import bank_ids

    course = course_of(ctx)
    known = bank_ids(course)
    banks = [name for name in names if name in known and name not in course.ids] if names else list(known)
    assignments = [name for name in names if name not in banks] if names else course.ids
    chosen = [course.assignment(name) for name in assignments]
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
    for name in banks:
        found_stale |= not _locked(course, name, check_only)
    return 1 if found_stale else 0


def _locked(course: Course, bank_id: str, check_only: bool) -> bool:
    """Freeze a bank, or only look, and say whether its lock is what the bank asks for."""
    from grader.quiz.check import freeze, lock_findings
    from grader.quiz.findings import errors
    from grader.quiz.loading import load_bank
    from grader.quiz.lock import lock_path

    bank = load_bank(course, bank_id)
    found = errors(lock_findings(bank, strict=True))
    if not found:
        click.echo(f"{bank_id}: up to date")
        return True
    if check_only:
        click.echo(f"stale: {lock_path(bank.path)} ({found[0]}); run `grader build {bank_id}`", err=True)
        return False
    _, forbidden = freeze(bank)
    for finding in forbidden:
        click.echo(str(finding), err=True)
    if not forbidden:
        click.echo(f"written: {lock_path(bank.path)}")
    return not forbidden


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
    earn nothing. Over several seeds, shuffled, and with a worker for each check. What is found is said at once, and
    again in the table at the end.

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
                on_finding=lambda finding: progress.say(f"found: {finding.subject}: {finding.what}"),
            )
        verification_view(result, one, console(), list_checks=list_checks)
        sound = sound and not result.findings
    return 0 if sound else 1
