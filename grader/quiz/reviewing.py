"""Spaced repetition: what is due is a skill, and each review of it draws a variant that was not seen before.

A skill is a tag and a type of question ("lstm/numeric"). FSRS (Ye and others, 2022 to 2025) says when a skill is due;
what rating an answer earns follows from whether it is right, and from hints, confidence and time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from grader.gradebook.quizzes import AnswerRecord, CardRecord, QuizBook, Rated
from grader.quiz.model import Bank, Item, Question, Status
from grader.quiz.parameters import Stream

if TYPE_CHECKING:
    from fsrs import Scheduler

AGAIN, HARD, GOOD, EASY = 1, 2, 3, 4
#: the name under which sittings of reviews are kept: no bank can have it
REVIEWS = "*review"
#: an answer is slow at twice the minutes that its author expects, and quick at half of them
SLOW, QUICK = 2.0, 0.5


@dataclass(frozen=True)
class Due:
    """A skill to practise now: the item that is asked for it, and whether the skill is new."""

    skill: str
    item: Item
    new: bool


def skills_of(question: Question) -> tuple[str, ...]:
    """Return the skills that a question exercises, its first tag's first."""
    return tuple(f"{tag}/{question.type}" for tag in question.tags)


def rating_of(answer: AnswerRecord, question: Question) -> int | None:
    """Return what an answer says of its skill: 1 again, 2 hard, 3 good, 4 easy; None where nothing is decided.

    Right counts as easy where it was quick, without hints and not unsure, and as hard where it took a hint, was a
    guess or slow. Half right is hard, anything less is again.
    """
    if answer.note.startswith("card:"):
        return int(answer.response["card"])
    if answer.status in (Status.UNDECIDED, Status.INVALID):
        return None
    if answer.status != Status.RIGHT:
        return HARD if answer.score >= 0.5 else AGAIN
    expected = 60.0 * question.minutes
    taken = answer.seconds
    if answer.hints or answer.confidence == 1 or (taken is not None and taken > SLOW * expected):
        return HARD
    if answer.confidence in (None, 3) and taken is not None and taken < QUICK * expected and answer.attempt == 1:
        return EASY
    return GOOD


def rated(card: CardRecord | None, skill: str, rating: int, when: datetime) -> Rated:
    """Return the rating with the card as it is after it; `card` is None for a new skill."""
    from fsrs import Card, Rating

    # a card's own number is nothing to us: fsrs would wait a millisecond to make one up
    before: Any = dict(card.card) if card else None
    moment = when.astimezone(UTC)
    known = Card.from_dict(before) if before else Card(card_id=1, due=moment)
    after, _ = _scheduler().review_card(known, Rating(rating), moment)
    return Rated(rating, CardRecord(skill, dict(after.to_dict()), after.due.isoformat(timespec="seconds")))


def _scheduler() -> Scheduler:
    from fsrs import Scheduler

    # chance in the intervals spreads a large deck over days; here it would only make two runs differ
    return Scheduler(enable_fuzzing=False)


def rater(
    book: QuizBook, student: str, skill: str, question: Question, when: Callable[[], datetime]
) -> Callable[[AnswerRecord], Rated | None]:
    """Return what says of an answer how it moves the card of a skill; only a first try moves it."""

    def rate(answer: AnswerRecord) -> Rated | None:
        rating = rating_of(answer, question)
        if rating is None or answer.attempt > 1:
            return None
        return rated(book.cards(student).get(skill), skill, rating, when())

    return rate


def due_now(
    banks: Iterable[Bank],
    cards: Mapping[str, CardRecord],
    seen: Mapping[tuple[str, int], str],
    failed: Collection[str],
    when: datetime,
    *,
    seed: int | str,
    n: int = 10,
    new: int = 5,
) -> tuple[Due, ...]:
    """Return at most `n` skills to practise now, the longest overdue first, then at most `new` new ones.

    `seen` holds (question, variant) -> when it was last asked; `failed` are skills that went wrong in quizzes, which
    come first among the new ones. An item that was not seen is taken where there is one, else the one seen longest ago.
    """
    items: dict[str, list[Item]] = {}
    for bank in banks:
        for question in bank.questions:
            for skill in skills_of(question):
                items.setdefault(skill, []).extend(Item(question, variant) for variant in question.variants)
    stream = Stream(f"review\0{seed}")
    overdue = sorted(
        (datetime.fromisoformat(card.due), skill)
        for skill, card in cards.items()
        if skill in items and datetime.fromisoformat(card.due) <= when
    )
    fresh = [skill for skill in items if skill not in cards]
    fresh = [fresh[i] for i in stream.shuffled(list(range(len(fresh))))]
    fresh.sort(key=lambda skill: skill not in failed)
    chosen = [(skill, False) for _, skill in overdue][:n]
    chosen += [(skill, True) for skill in fresh[: max(min(new, n - len(chosen)), 0)]]
    found: list[Due] = []
    taken: set[str] = set()
    for skill, is_new in chosen:
        item = _least_seen(items[skill], seen, taken, stream)
        taken.add(item.question.name)
        found.append(Due(skill, Item(item.question, item.variant, stream.below(1 << 31)), is_new))
    return tuple(found)


def next_due(cards: Mapping[str, CardRecord]) -> datetime | None:
    """Return when the next skill is due, None where there is no card."""
    return min((datetime.fromisoformat(card.due) for card in cards.values()), default=None)


def history(book: QuizBook, student: str) -> tuple[dict[tuple[str, int], str], set[tuple[str, int]]]:
    """Return ((question, variant) -> when it was last asked, those of them that went wrong) of a learner."""
    seen: dict[tuple[str, int], str] = {}
    wrong: set[tuple[str, int]] = set()
    answers = book.answers_of(student=student)
    for sitting in book.sittings(student=student):
        for answer in answers.get(sitting.id, ()):
            item = sitting.items[answer.position]
            key = (item.question, item.variant)
            seen[key] = max(seen.get(key, ""), answer.moment)
            if answer.status == Status.WRONG:
                wrong.add(key)
    return seen, wrong


def _least_seen(items: list[Item], seen: Mapping[tuple[str, int], str], taken: Collection[str], stream: Stream) -> Item:
    def rank(item: Item) -> tuple[bool, str]:
        # the same question twice in one review would help itself
        return item.question.name in taken, seen.get((item.question.name, item.variant.number), "")

    best = min(map(rank, items))
    able = [item for item in items if rank(item) == best]
    return able[stream.below(len(able))]
