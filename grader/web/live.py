"""What an instructor sees while a class sits: who is where, and what is answered to each question."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from grader.gradebook.quizzes import AnswerRecord, SittingRecord
from grader.quiz.texts import expand
from grader.web import typesetting
from grader.web.desk import Desk

#: how many different answers to a question are listed
MOST = 6
LONGEST = 80
#: stands in a prompt for what differs from student to student
GAP = "…"
_FILLED_IN = re.compile(r"\{\{[^{}]*\}\}")


@dataclass(frozen=True)
class Sitter:
    """A student at work: `cells` hold a status for each question answered, by position."""

    student: str
    name: str
    begun: bool
    finished: bool
    answered: int
    total: int
    earned: float
    at: int | None
    idle: float | None
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Tally:
    """The answers to a question so far: last tries only. `said` is (what was answered, its status, how often)."""

    question: str
    prompt: str
    answers: int
    share: float
    counts: dict[str, int]
    said: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class Seen:
    """The class at one moment."""

    moment: str
    sitters: tuple[Sitter, ...]
    tallies: tuple[Tally, ...]


def look(desk: Desk) -> Seen:
    """Return the class as it is now: the newest sitting of every student."""
    now = desk.clock()
    newest: dict[str, SittingRecord] = {}
    for record in desk.book.sittings(bank=desk.kept_as, purpose=desk.purpose):
        newest[record.student] = record
    answers = desk.book.answers_of(bank=desk.kept_as, purpose=desk.purpose)
    students = list(dict.fromkeys([*(desk.roster or ()), *newest]))
    sitters = tuple(_sitter(desk, one, newest.get(one), answers, now) for one in students)
    return Seen(now.strftime("%H:%M:%S UTC"), sitters, _tallies(desk, list(newest.values()), answers))


def _sitter(
    desk: Desk, student: str, record: SittingRecord | None, answers: dict[str, list[AnswerRecord]], now: datetime
) -> Sitter:
    name = desk.name(student)
    if record is None:
        return Sitter(student, name, False, False, 0, 0, 0.0, None, None, ())
    given = answers.get(record.id, [])
    best: dict[int, AnswerRecord] = {}
    for answer in given:
        known = best.get(answer.position)
        if known is None or answer.score >= known.score:
            best[answer.position] = answer
    last = max((answer.moment for answer in given), default=record.started)
    total = len(record.items)
    waiting = next((n + 1 for n in range(total) if n not in best), None)
    return Sitter(
        student,
        name,
        True,
        record.finished is not None,
        len(best),
        total,
        round(sum(answer.score for answer in best.values()), 2),
        None if record.finished else waiting,
        max((now - datetime.fromisoformat(last)).total_seconds(), 0.0),
        tuple(best[n].status if n in best else "open" for n in range(total)),
    )


def _tallies(desk: Desk, records: Sequence[SittingRecord], answers: dict[str, list[AnswerRecord]]) -> tuple[Tally, ...]:
    last: dict[str, list[AnswerRecord]] = {}
    for record in records:
        by_position = {answer.position: answer for answer in answers.get(record.id, [])}
        for position, answer in by_position.items():
            if position < len(record.items):
                last.setdefault(record.items[position].question, []).append(answer)
    found = []
    for question in desk.bank.questions:
        given = last.get(question.name, [])
        if not given:
            continue
        said = Counter((_short(answer.response), answer.status) for answer in given)
        found.append(
            Tally(
                question.name,
                _cut(typesetting.plain(expand(_FILLED_IN.sub(GAP, question.prompt), question.macros))),
                len(given),
                sum(answer.score for answer in given) / len(given),
                dict(Counter(answer.status for answer in given)),
                tuple((text, status, count) for (text, status), count in said.most_common(MOST)),
            )
        )
    return tuple(found)


def _short(response: Any) -> str:
    if isinstance(response, dict) and "text" in response:
        response = response["text"]  # an essay: what its writer thinks of it is in the points
    return _cut(response if isinstance(response, str) else json.dumps(response, ensure_ascii=False))


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def as_dict(seen: Seen) -> dict[str, Any]:
    """Return it as JSON data."""
    return asdict(seen)
