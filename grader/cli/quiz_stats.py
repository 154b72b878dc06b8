"""`grader quiz stats`: what a class's answers say of the questions of a bank."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from grader.cli.options import course_of, gradebook_option, gradebook_target

if TYPE_CHECKING:
    from grader.quiz.statistics import BankStatistics, Estimate, QuestionStatistics

NOTHING = "not enough data"


@click.command()
@click.argument("bank")
@click.option(
    "--question", "only", default=None, metavar="ID", help="Everything about one question: options, variants."
)
@click.option("--practice", is_flag=True, help="Look at the practice of this machine instead of the gradebook.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@gradebook_option
@click.pass_context
def stats(ctx: click.Context, bank: str, only: str | None, practice: bool, as_json: bool, gradebook: str | None) -> int:
    """Tell what answers say of the questions of BANK: too hard, telling nobody apart, or with a wrong key.

    A blueprint stands for the bank that it draws from.

    Only first tries count. Every index has a 95 % interval, and below thirty learners there is "not enough data".
    Facility is the mean score; item-rest the correlation with the mean score on the other questions; discrimination
    the facility among the upper 27 % less that among the lower 27 %.

    \b
    Example:
      grader quiz stats foundations
      grader quiz stats foundations --question lstm-count
      grader quiz stats foundations --json
    """
    from pathlib import Path

    from grader.cli.quiz_take import practice_path
    from grader.course.misconceptions import load_misconceptions
    from grader.course.spelling import suggestion
    from grader.errors import QuizError
    from grader.gradebook.quizzes import QuizBook
    from grader.quiz.offline import load_quiz
    from grader.quiz.statistics import first_tries, statistics

    course = course_of(ctx)
    chosen = load_quiz(course, bank).bank
    if only is not None and chosen.question(only) is None:
        raise QuizError(
            f"{bank} has no question `{only}`", advice=suggestion(only, [q.id for q in chosen.questions], "questions")
        )
    target = practice_path(course) if practice else gradebook_target(course, gradebook)
    if isinstance(target, Path) and not target.exists():
        raise QuizError("nobody has answered anything yet", where=target, advice="Name another with --gradebook")
    with QuizBook.open(target) as book:
        found = statistics(chosen, *first_tries(book, chosen))
    if as_json:
        click.echo(json.dumps(found.as_dict()))
        return 0
    if not found.learners:
        click.echo(f"Nobody has answered a question of {bank} yet.")
        return 0
    if only is not None:
        one = next((q for q in found.questions if q.question == f"{chosen.id}/{only}"), None)
        if one is None:
            click.echo(f"Nobody has been asked {bank}/{only} yet.")
        else:
            _detail(one)
        return 0
    _summary(found, {name: known.belief for name, known in load_misconceptions(course).items()})
    return 0


def _summary(found: BankStatistics, beliefs: dict[str, str]) -> None:
    click.echo(f"{found.bank}: {found.learners} learners, {len(found.questions)} questions asked")
    click.echo(f"mean score {_words(found.mean)}; Cronbach's alpha {_words(found.alpha)}")
    if found.set_aside:
        click.echo(f"{found.set_aside} answers to older revisions of questions are set aside.")
    alerts = [(one, alert) for one in found.questions for alert in one.alerts]
    if alerts:
        click.echo("\nLook at these:")
        for one, alert in sorted(alerts, key=lambda pair: not pair[1].startswith("the key")):
            click.echo(f"  {_short(one.question)}: {alert}")
    click.echo()
    width = max(len(_short(one.question)) for one in found.questions)
    head = f"{'question':<{width}}  {'n':>5}  {'facility':<18}  {'item-rest':<20}  {'discrimination':<20}  predicted"
    click.echo(head)
    # the hardest first; where nothing can be said, in the order of the bank
    for one in sorted(found.questions, key=lambda q: q.facility.value if q.facility else 2.0):
        cells = f"{_cell(one.facility):<18}  {_cell(one.rest):<20}  {_cell(one.discrimination):<20}"
        line = f"{_short(one.question):<{width}}  {one.n:>5}  {cells if one.facility else f'{NOTHING:<62}'}"
        click.echo(f"{line}  {one.difficulty} of 5")
    if found.misconceptions:
        click.echo("\nMost common misconceptions:")
        for name, (learners, answers) in list(found.misconceptions.items())[:10]:
            who = f"{learners} learner{'' if learners == 1 else 's'}, {answers} answer{'' if answers == 1 else 's'}"
            click.echo(f"  {name}: {who}. {beliefs.get(name, '')}".rstrip())


def _detail(one: QuestionStatistics) -> None:
    click.echo(f"{one.question} ({one.type}, predicted difficulty {one.difficulty} of 5): {one.n} learners")
    for alert in one.alerts:
        click.echo(f"  ! {alert}")
    click.echo(f"facility        {_words(one.facility)}")
    click.echo(f"item-rest       {_words(one.rest)}")
    click.echo(f"discrimination  {_words(one.discrimination)}")
    click.echo(f"efficiency      {NOTHING if one.efficiency is None else f'{one.efficiency:.2f}'}")
    without = NOTHING if one.alpha_without is None else f"{one.alpha_without:.2f}"
    click.echo(f"alpha without   {without}")
    time = "" if one.seconds is None else f", median time {one.seconds:.0f} s"
    click.echo(f"hints           {100 * one.hinted:.0f} % took one{time}")
    if one.options:
        click.echo("\noption            chosen         mean of the rest  correlation")
        for row in one.options:
            rest = "-" if row.rest is None else f"{row.rest:.2f}"
            chosen = f"{row.n} ({100 * row.share:.0f} %)"
            key = f"{row.id}{' (key)' if row.key else ''}"
            click.echo(f"{key:<16}  {chosen:<13}  {rest:<16}  {_cell(row.correlation):<20}  {row.verdict}".rstrip())
    if len(one.variants) > 1:
        click.echo("\nvariant       n  facility")
        for number, (n, mean) in one.variants.items():
            click.echo(f"{number:>7}  {n:>6}  {mean:.2f}{'' if n >= 30 else f'  ({NOTHING})'}")
    click.echo("\nanswers by note: " + ", ".join(f"{note} {count}" for note, count in one.notes.items()))


def _words(value: Estimate | None) -> str:
    return NOTHING if value is None else str(value)


def _cell(value: Estimate | None) -> str:
    return "-" if value is None else str(value)


def _short(name: str) -> str:
    return name.partition("/")[2]
