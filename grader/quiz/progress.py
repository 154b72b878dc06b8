"""How far a learner has come with a bank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from grader.gradebook.quizzes import AnswerRecord, CardRecord, QuizBook, SittingRecord
from grader.quiz.model import Bank, Status
from grader.quiz.reviewing import skills_of


@dataclass(frozen=True)
class Progress:
    """Of `questions` in a bank, how many were answered, and how many rightly the last time they were asked.

    `best` is the best share of a finished sitting, `open` (answered, asked) of one that goes on, `due` the number of
    skills of the bank that are to be practised now.
    """

    questions: int
    answered: int
    right: int
    best: float | None
    open: tuple[int, int] | None
    due: int

    def __str__(self) -> str:
        if not self.answered and self.open is None:
            return "not taken yet"
        words = [f"{self.answered} of {self.questions} questions answered, {self.right} right the last time"]
        if self.best is not None:
            words.append(f"best quiz {100 * self.best:.0f} %")
        if self.open is not None:
            words.append(f"one goes on at {self.open[0]} of {self.open[1]}")
        if self.due:
            words.append(f"{self.due} to review")
        return "; ".join(words)

    def as_dict(self) -> dict[str, object]:
        """Return the progress as JSON data."""
        return {
            "questions": self.questions,
            "answered": self.answered,
            "right": self.right,
            "best": self.best,
            "open": list(self.open) if self.open else None,
            "due": self.due,
        }


def progress_of(book: QuizBook, bank: Bank, student: str, when: datetime) -> Progress:
    """Return how far a learner has come with a bank: by quizzes, flash cards and reviews."""
    sittings = book.sittings(student=student)
    answers = book.answers_of(student=student)
    last = _last(sittings, answers, bank)
    own = [one for one in sittings if one.bank == bank.id and one.purpose == "practice"]
    shares = [_share(one, answers.get(one.id, ())) for one in own if one.finished]
    going = [one for one in own if one.finished is None]
    now = (len({a.position for a in answers.get(going[-1].id, ())}), len(going[-1].items)) if going else None
    return Progress(
        questions=len(bank.questions),
        answered=len(last),
        right=sum(answer.status == Status.RIGHT for answer in last.values()),
        best=max(shares, default=None),
        open=now,
        due=len(_due(bank, book.cards(student), when)),
    )


def _last(
    sittings: Iterable[SittingRecord], answers: Mapping[str, Iterable[AnswerRecord]], bank: Bank
) -> dict[str, AnswerRecord]:
    """Return question -> its last answer, for questions that the bank still has."""
    names = {question.name for question in bank.questions}
    found: dict[str, AnswerRecord] = {}
    for sitting in sittings:
        for answer in answers.get(sitting.id, ()):
            name = sitting.items[answer.position].question
            if name in names and (name not in found or answer.moment >= found[name].moment):
                found[name] = answer
    return found


def _share(sitting: SittingRecord, answers: Iterable[AnswerRecord]) -> float:
    best: dict[int, float] = {}
    for answer in answers:
        if answer.status != Status.UNDECIDED:
            best[answer.position] = max(best.get(answer.position, 0.0), answer.score)
    return sum(best.values()) / len(sitting.items) if sitting.items else 0.0


def _due(bank: Bank, cards: Mapping[str, CardRecord], when: datetime) -> list[str]:
    own = {skill for question in bank.questions for skill in skills_of(question)}
    return [skill for skill, card in cards.items() if skill in own and datetime.fromisoformat(card.due) <= when]
