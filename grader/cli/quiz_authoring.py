"""Commands on banks for authors: list them, prove them, print their schema."""

from __future__ import annotations

import json

import click

from grader.cli.options import course_of, number, tier_option


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_banks(ctx: click.Context, as_json: bool) -> int:
    """Show the banks of this course: how many questions and variants each has, of which types, and your progress.

    \b
    Example:
      grader quiz list
      grader quiz list --json
    """
    from collections import Counter

    from grader.cli.quiz_take import own_progress
    from grader.quiz.blueprint import blueprint_paths, load_blueprint
    from grader.quiz.loading import bank_ids, load_bank

    course = course_of(ctx)
    banks = [load_bank(course, bank_id) for bank_id in bank_ids(course)]
    if not banks and not as_json:
        click.echo("This course has no quizzes.")
    progress = own_progress(course, banks)
    for bank in banks:
        types = Counter(question.type for question in bank.questions)
        items = sum(len(question.variants) for question in bank.questions)
        if as_json:
            line = {
                "version": 1,
                "bank": bank.id,
                "title": bank.title,
                "graded": bank.graded,
                "questions": len(bank.questions),
                "items": items,
                "types": dict(types),
                "tags": list(bank.tags),
                "progress": progress[bank.id].as_dict() if bank.id in progress else None,
            }
            click.echo(json.dumps(line))
            continue
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(types.items()))
        graded = " (graded)" if bank.graded else ""
        click.echo(f"{bank.id}  {bank.title}{graded}: {len(bank.questions)} questions, {items} variants ({kinds})")
        if bank.id in progress:
            click.echo(f"{'':<{len(bank.id)}}  {progress[bank.id]}")
    for name in blueprint_paths(course):
        blueprint = load_blueprint(course, name)
        if as_json:
            told = {"version": 1, "blueprint": name, "bank": blueprint.bank, "title": blueprint.title, "graded": True}
            click.echo(json.dumps({**told, "questions": blueprint.size}))
        else:
            drawn = f"(graded, drawn from {blueprint.bank})"
            click.echo(f"{name}  {blueprint.title} {drawn}: {blueprint.size} questions")
    return 0


@click.command()
@click.argument("banks", nargs=-1, metavar="[BANK]...")
@click.option("--strict", is_flag=True, help="Ask for a witness and a source of every question, and a fresh lock.")
@click.option("--freeze", "freeze_them", is_flag=True, help="Write the lock files: the variants that are asked.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@tier_option
@click.pass_context
def check(
    ctx: click.Context, banks: tuple[str, ...], strict: bool, freeze_them: bool, as_json: bool, tier: str | None
) -> int:
    """Prove banks, all of them if none is named.

    Every key is recomputed by its oracle in the sandbox, in every variant; recognised wrong answers, accept and
    reject lists are marked; texts, variants and options are looked through. Findings are FILE:LINE:COLUMN.

    \b
    Exit code: 0 no error, 1 at least one.

    \b
    Example:
      grader quiz check foundations
      grader quiz check --strict
      grader quiz check foundations --freeze
    """
    from grader.quiz.check import check_bank, freeze
    from grader.quiz.loading import bank_ids, load_bank
    from grader.quiz.running import CodeBox

    course = course_of(ctx)
    chosen = banks or bank_ids(course)
    if not chosen:
        click.echo("This course has no quizzes.")
    sound = True
    with CodeBox(number(tier)) as box:
        for bank_id in chosen:
            if freeze_them:
                bank = load_bank(course, bank_id)
                changed, forbidden = freeze(bank)
                for finding in forbidden:
                    click.echo(str(finding), err=True)
                if forbidden:
                    sound = False
                    continue
                if not as_json:
                    click.echo(f"{bank_id}: {'frozen' if changed else 'frozen already'}")
            report = check_bank(course, bank_id, box, strict=strict)
            sound = sound and report.sound
            if as_json:
                click.echo(json.dumps(report.as_dict()))
                continue
            for finding in report.findings:
                click.echo(str(finding))
            wrong = sum(finding.severity == "error" for finding in report.findings)
            doubts = len(report.findings) - wrong
            click.echo(
                f"{bank_id}: {report.questions} questions, {report.items} variants, "
                f"{report.witnessed} keys recomputed; "
                f"guessing earns {100 * report.guess:.0f} %; {_count(wrong, 'error')}, {_count(doubts, 'warning')}"
            )
    return 0 if sound else 1


def _count(number_: int, word: str) -> str:
    return f"{number_ or 'no'} {word}{'' if number_ == 1 else 's'}"


@click.command()
def schema() -> int:
    """Print the JSON Schema of banks: an editor that knows it completes keys and marks mistakes while you write.

    \b
    Example:
      grader quiz schema > quizbank.schema.json
    """
    from grader.quiz.loading import json_schema

    click.echo(json.dumps(json_schema(), indent=1))
    return 0
