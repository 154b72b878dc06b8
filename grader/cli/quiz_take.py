"""`grader quiz take` and `grader quiz review`: practice at the keyboard, kept in the learner's own store."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grader.cli.options import console, course_of

if TYPE_CHECKING:
    from grader.course.catalog import Course
    from grader.gradebook.quizzes import QuizBook
    from grader.quiz.model import Bank
    from grader.quiz.progress import Progress
    from grader.quiz.sitting import Rules, Sitting
    from grader.reports.quiz_dialogue import Rater

#: whose practice it is, in a store of one
LEARNER = "me"


def practice_path(course: Course) -> Path:
    """Return where a learner's own practice is kept; a class's quizzes are in its gradebook."""
    return course.state / "practice.db"


def own_progress(course: Course, banks: Iterable[Bank]) -> dict[str, Progress]:
    """Return bank id -> how far the learner has come; nothing where there is no practice yet. Reads only."""
    path = practice_path(course)
    if not path.exists():
        return {}
    from grader.gradebook.quizzes import QuizBook
    from grader.quiz.progress import progress_of
    from grader.quiz.sitting import utc_now

    with QuizBook.open(path) as book:
        return {bank.id: progress_of(book, bank, LEARNER, utc_now()) for bank in banks if not bank.graded}


@click.command()
@click.argument("bank")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only questions with this tag; may be repeated.")
@click.option("--level", "levels", multiple=True, metavar="LEVEL", help="Only this level (remember ... create).")
@click.option("--n", "-n", "count", type=click.IntRange(1), default=None, help="Ask so many questions.")
@click.option("--seed", type=int, default=None, help="Draw the questions and variants of this seed.")
@click.option("--attempts", type=click.IntRange(1, 20), default=None, show_default="1", help="Tries at each question.")
@click.option("--cards", is_flag=True, help="Flash cards: think, turn the card over, judge yourself.")
@click.option("--fresh", is_flag=True, help="Begin a new quiz although one is not finished.")
@click.pass_context
def take(
    ctx: click.Context,
    bank: str,
    tags: tuple[str, ...],
    levels: tuple[str, ...],
    count: int | None,
    seed: int | None,
    attempts: int | None,
    cards: bool,
    fresh: bool,
) -> int:
    """Answer questions of BANK here, each with feedback at once, and a score at the end.

    Every answer is kept as it is given: stop with !quit, Ctrl-C or by closing the window, and the same command goes
    on where you were. An answer that cannot be read costs nothing. Type !hint, !skip, !note TEXT, !help. In a pipe
    the answers are read from standard input, a line each.

    \b
    Example:
      grader quiz take foundations
      grader quiz take foundations --tag lstm --level apply --n 5
      grader quiz take foundations --cards
    """
    from grader.gradebook.quizzes import QuizBook
    from grader.quiz.loading import load_practice_bank
    from grader.quiz.reviewing import rater, skills_of
    from grader.quiz.sitting import CARDS, PRACTICE, Rules, utc_now

    course = course_of(ctx)
    chosen = load_practice_bank(course, bank)
    _known(chosen, tags, levels)
    rules = Rules(attempts=1 if cards else attempts or 1, tags=tags, levels=levels, n=count)
    plain = not (tags or levels or count or attempts)
    purpose = CARDS if cards else PRACTICE
    with QuizBook.open(practice_path(course)) as book:
        sitting = _sitting(book, chosen, rules, plain, purpose, seed, fresh)
        raters = {
            n: rater(book, LEARNER, skills_of(item.question)[0], item.question, utc_now)
            for n, item in enumerate(sitting.items)
            if cards and item is not None
        }
        again = f"grader quiz take {bank}{' --cards' if cards else ''}"
        return _lead(course, book, sitting, again, raters)


def _known(bank: Bank, tags: tuple[str, ...], levels: tuple[str, ...]) -> None:
    from grader.course.spelling import suggestion
    from grader.errors import QuizError
    from grader.quiz.model import LEVELS

    for what, given, known in (("tag", tags, bank.tags), ("level", levels, LEVELS)):
        for one in given:
            if one not in known:
                raise QuizError(f"{bank.id} has no {what} `{one}`", advice=suggestion(one, known, f"{what}s"))


def _sitting(
    book: QuizBook, bank: Bank, rules: Rules, plain: bool, purpose: str, seed: int | None, fresh: bool
) -> Sitting:
    """Return the sitting to go on with, or a new one where other questions are asked for.

    `plain` says that no option was given: then the open quiz is meant, whatever its own options were.
    """
    from grader.quiz.sitting import Sitting, start

    going = None if fresh else book.open_sitting(LEARNER, bank.id, purpose)
    if going is not None:
        found = Sitting(book, going, {bank.id: bank})
        if (plain or rules == found.rules) and (seed is None or str(seed) == going.seed):
            done = sum(not place.waits for place in found.places())
            if done:
                click.echo(f"Going on: {done} of {len(found)} questions are done. --fresh begins anew.")
            return found
        click.echo("Another quiz on this bank is not finished; it is left as it is, and a new one begins.")
    drawn = secrets.randbelow(1_000_000) if seed is None else seed
    return start(book, bank, LEARNER, drawn, rules=rules, purpose=purpose, resume=False)


def _lead(course: Course, book: QuizBook, sitting: Sitting, again: str, raters: Mapping[int, Rater]) -> int:
    from grader.course.misconceptions import load_misconceptions
    from grader.quiz.loading import load_tags
    from grader.quiz.running import CodeBox
    from grader.reports.quiz_dialogue import Dialogue, conclude

    out = console()
    # what a learner writes runs as any program of theirs does, as in `grader check`: without a sandbox
    with CodeBox(0) as box:
        ended = Dialogue(out, sitting, book.notes(LEARNER), box, raters).run()
    conclude(out, sitting, ended, again, load_tags(course), load_misconceptions(course))
    return 0


@click.command()
@click.option("--n", "-n", "count", type=click.IntRange(1, 200), default=10, show_default=True, help="At most so many.")
@click.option("--new", type=click.IntRange(0, 200), default=5, show_default=True, help="At most so many new skills.")
@click.option("--bank", "only", multiple=True, metavar="BANK", help="Only questions of this bank; may be repeated.")
@click.option("--due", "only_count", is_flag=True, help="Only say how many skills are due, and when the next one is.")
@click.pass_context
def review(ctx: click.Context, count: int, new: int, only: tuple[str, ...], only_count: bool) -> int:
    """Practise what is due today: spaced repetition over skills.

    A skill is a tag with a type of question. Each review asks a variant that you have not seen yet. How soon it comes
    again follows from your answer, the hints you took, how sure you were and how long it took. A review that you stop
    goes on where you were.

    \b
    Example:
      grader quiz review
      grader quiz review --n 20 --new 10
      grader quiz review --due
    """
    from grader.gradebook.quizzes import QuizBook
    from grader.quiz import reviewing
    from grader.quiz.loading import bank_paths, load_practice_bank
    from grader.quiz.sitting import REVIEW, Rules, Sitting, begin, utc_now

    course = course_of(ctx)
    chosen = only or [bank_id for bank_id, (_, graded) in bank_paths(course).items() if not graded]
    banks = {bank_id: load_practice_bank(course, bank_id) for bank_id in chosen}
    now = utc_now()
    with QuizBook.open(practice_path(course)) as book:
        cards = book.cards(LEARNER)
        seen, wrong = reviewing.history(book, LEARNER)
        questions = {question.name: question for bank in banks.values() for question in bank.questions}
        failed = {skill for name, _ in wrong if name in questions for skill in reviewing.skills_of(questions[name])}
        seed = secrets.randbelow(1_000_000)
        due = reviewing.due_now(banks.values(), cards, seen, failed, now, seed=seed, n=count, new=new)
        old = sum(not one.new for one in due)
        later = _later(reviewing.next_due(cards), now)
        if only_count:
            click.echo(f"{old} due, {len(due) - old} new. {later}".rstrip())
            return 0
        going = book.open_sitting(LEARNER, reviewing.REVIEWS, REVIEW)
        if going is not None:
            sitting = Sitting(book, going, banks)
            click.echo("Going on with the review that was not finished.")
        elif due:
            sitting = begin(
                book, banks, reviewing.REVIEWS, LEARNER, str(seed), [one.item for one in due],
                rules=Rules(), purpose=REVIEW, resume=False, extra={"skills": [one.skill for one in due]},
            )  # fmt: skip
            click.echo(f"{old} due, {len(due) - old} new.")
        else:
            click.echo(f"Nothing is due. {later}".rstrip())
            return 0
        raters = {
            n: reviewing.rater(book, LEARNER, skill, item.question, utc_now)
            for n, (skill, item) in enumerate(zip(sitting.record.options["skills"], sitting.items, strict=True))
            if item is not None
        }
        _lead(course, book, sitting, "grader quiz review", raters)
        click.echo(_later(reviewing.next_due(book.cards(LEARNER)), utc_now()))
        return 0


def _later(due: datetime | None, now: datetime) -> str:
    """Return in words when the next skill is due."""
    if due is None:
        return ""
    minutes = (due - now).total_seconds() / 60
    if minutes <= 0:
        return "More is due now."
    if minutes < 90:
        return f"The next skill is due in {max(round(minutes), 1)} min."
    hours = minutes / 60
    return (
        f"The next skill is due in {hours:.0f} h." if hours < 36 else f"The next skill is due in {hours / 24:.0f} days."
    )
