"""Quizzes in the gradebook: sittings, every answer, notes, and when a skill is practised again.

All of it is plain data: what a bank or a mark is, this room does not know.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from grader.errors import GradebookError
from grader.gradebook.store import Gradebook

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row
    from sqlalchemy.sql.elements import ColumnElement

    AnyRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True)
class ItemRecord:
    """A question as it was drawn: bank/id, revision, hashes of meaning and content, variant, order of options."""

    question: str
    rev: int
    meaning: str
    content: str
    variant: int
    shuffle: int = 0


@dataclass(frozen=True)
class SittingRecord:
    """One taking of a quiz. `options` is JSON data; moments are ISO 8601 UTC; `finished` is None while it goes on."""

    id: str
    student: str
    bank: str
    purpose: str
    seed: str
    items: tuple[ItemRecord, ...]
    options: Mapping[str, Any]
    started: str
    finished: str | None = None


@dataclass(frozen=True)
class AnswerRecord:
    """One try at the question of a position (from 0), the tries counted from 1, with its mark.

    `hints` were used before it; `confidence` is 1 a guess, 2 fairly sure, 3 sure; `seconds` is the time it took.
    """

    position: int
    attempt: int
    response: Any
    status: str
    score: float
    note: str
    misconceptions: tuple[str, ...] = ()
    feedback: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    hints: int = 0
    confidence: int | None = None
    seconds: float | None = None
    moment: str = ""


@dataclass(frozen=True)
class PlaceRecord:
    """How far the question of a position has come, besides its answers."""

    position: int
    shown: str | None = None
    hints: int = 0
    skips: int = 0


@dataclass(frozen=True)
class CardRecord:
    """When a skill is practised again; `card` is the scheduler's own JSON data."""

    skill: str
    card: Mapping[str, Any]
    due: str


@dataclass(frozen=True)
class Rated:
    """What an answer did to a skill: the rating (1 again, 2 hard, 3 good, 4 easy) and the card as it is now."""

    rating: int
    card: CardRecord


class QuizBook(Gradebook):
    """A gradebook that keeps quizzes too; a context manager, opened with `QuizBook.open`.

    Every method that writes is one transaction: what has returned survives a crash. Several processes and threads
    may write at once.
    """

    extra: ClassVar[str] = "quiz"

    # --- sittings ---------------------------------------------------------------------------------------------

    def begin(
        self,
        student: str,
        bank: str,
        *,
        purpose: str,
        seed: str,
        items: Sequence[ItemRecord],
        options: Mapping[str, Any],
        moment: str,
        resume: bool = True,
        key: str | None = None,
    ) -> SittingRecord:
        """Return a new sitting, or, with `resume`, the open one of this student, bank and purpose where there is one.

        A sitting with a `key` of its own is laid once: it is returned again, open or not. Looking and laying are one
        transaction: two requests at once get the same sitting.
        """
        from sqlalchemy import insert

        from grader.gradebook import rows
        from grader.gradebook.quiz_tables import sittings

        with self._writing() as connection:
            student_id = rows.put_student(connection, student, "")
            if key is not None:
                laid = _sittings(connection, sittings.c.key == key)
                if laid:
                    return laid[0]
            if resume:
                found = _open(connection, student, bank, purpose)
                if found is not None:
                    return found
            record = SittingRecord(
                key or secrets.token_hex(8), student, bank, purpose, seed, tuple(items), dict(options), moment
            )
            connection.execute(
                insert(sittings).values(
                    key=record.id,
                    student_id=student_id,
                    bank=bank,
                    purpose=purpose,
                    seed=seed,
                    items=[asdict(item) for item in record.items],
                    options=record.options,
                    started=moment,
                )
            )
            return record

    def sitting(self, sitting_id: str) -> SittingRecord | None:
        """Return a sitting by its id, or None."""
        from grader.gradebook.quiz_tables import sittings

        with self._reading() as connection:
            found = _sittings(connection, sittings.c.key == sitting_id)
        return found[0] if found else None

    def open_sitting(self, student: str, bank: str, purpose: str) -> SittingRecord | None:
        """Return the last sitting of a student on a bank that is not finished, or None."""
        with self._reading() as connection:
            return _open(connection, student, bank, purpose)

    def sittings(
        self, *, student: str | None = None, bank: str | None = None, purpose: str | None = None
    ) -> list[SittingRecord]:
        """Return sittings, oldest first."""
        from grader.gradebook.quiz_tables import sittings
        from grader.gradebook.tables import students

        asked = {students.c.student: student, sittings.c.bank: bank, sittings.c.purpose: purpose}
        with self._reading() as connection:
            return _sittings(connection, *(column == value for column, value in asked.items() if value is not None))

    def finish(self, sitting_id: str, moment: str) -> str:
        """End a sitting and return when it ended; one that has ended already keeps its moment."""
        from sqlalchemy import update

        from grader.gradebook.quiz_tables import sittings

        with self._writing() as connection:
            row = self._row(connection, sitting_id)
            if row.finished is not None:
                return str(row.finished)
            connection.execute(update(sittings).where(sittings.c.id == row.id).values(finished=moment))
            return moment

    # --- answers ----------------------------------------------------------------------------------------------

    def answer(
        self, sitting_id: str, given: AnswerRecord, rated: Rated | None = None, *, late: bool = False
    ) -> tuple[AnswerRecord, bool]:
        """Keep an answer, and with it the card that it moved; return what is kept, and whether it is new.

        The key is (sitting, position, attempt): sent again, the first one stays and is returned. `late` is for the
        mark that a person gives after the sitting has ended. Raises GradebookError where there is no such sitting or
        it has ended, ValueError for a score that is no number.
        """
        from sqlalchemy import insert, select

        from grader.gradebook.quiz_tables import answers, reviews

        if not math.isfinite(given.score):
            raise ValueError(f"an answer is worth {given.score}")
        with self._writing() as connection:
            row = self._row(connection, sitting_id)
            known = connection.execute(
                select(answers).where(
                    answers.c.sitting_id == row.id,
                    answers.c.position == given.position,
                    answers.c.attempt == given.attempt,
                )
            ).one_or_none()
            if known is not None:
                return _answer(known), False
            if row.finished is not None and not late:
                raise GradebookError("this sitting has ended", where=sitting_id, advice="Begin another one")
            values = asdict(given) | {"misconceptions": list(given.misconceptions), "feedback": list(given.feedback)}
            done = connection.execute(insert(answers).values(sitting_id=row.id, **values))
            if rated is not None:
                _put_card(connection, row.student_id, rated.card)
                key = cast("Sequence[int]", done.inserted_primary_key)
                connection.execute(
                    insert(reviews).values(answer_id=key[0], skill=rated.card.skill, rating=rated.rating)
                )
        return given, True

    def answers(self, sitting_id: str) -> list[AnswerRecord]:
        """Return every answer of a sitting, by position and attempt."""
        from grader.gradebook.quiz_tables import sittings

        with self._reading() as connection:
            return [answer for _, answer in _answers(connection, sittings.c.key == sitting_id)]

    def answers_of(
        self, *, student: str | None = None, bank: str | None = None, purpose: str | None = None
    ) -> dict[str, list[AnswerRecord]]:
        """Return sitting id -> its answers, for all sittings that are asked for, in one reading."""
        from grader.gradebook.quiz_tables import sittings
        from grader.gradebook.tables import students

        asked = {students.c.student: student, sittings.c.bank: bank, sittings.c.purpose: purpose}
        found: dict[str, list[AnswerRecord]] = {}
        with self._reading() as connection:
            conditions = (column == value for column, value in asked.items() if value is not None)
            for key, answer in _answers(connection, *conditions):
                found.setdefault(key, []).append(answer)
        return found

    # --- the state of a question ------------------------------------------------------------------------------

    def places(self, sitting_id: str) -> dict[int, PlaceRecord]:
        """Return position -> how far it has come; positions that were never shown are not there."""
        from sqlalchemy import select

        from grader.gradebook.quiz_tables import places, sittings

        query = select(places).join(sittings, places.c.sitting_id == sittings.c.id).where(sittings.c.key == sitting_id)
        with self._reading() as connection:
            return {
                row.position: PlaceRecord(row.position, row.shown, row.hints, row.skips)
                for row in connection.execute(query)
            }

    def shown(self, sitting_id: str, position: int, moment: str) -> None:
        """Keep that a question is shown now."""
        self._place(sitting_id, position, shown=moment)

    def hinted(self, sitting_id: str, position: int, used: int) -> None:
        """Keep that so many hints of a question were given; the number never falls."""
        self._place(sitting_id, position, hints=used)

    def skipped(self, sitting_id: str, position: int, times: int) -> None:
        """Keep that a question was put off for the `times`-th time; the number never falls."""
        self._place(sitting_id, position, skips=times)

    def _place(self, sitting_id: str, position: int, shown: str | None = None, hints: int = 0, skips: int = 0) -> None:
        from sqlalchemy import insert, select, update

        from grader.gradebook.quiz_tables import places

        with self._writing() as connection:
            row = self._row(connection, sitting_id)
            if row.finished is not None:
                raise GradebookError("this sitting has ended", where=sitting_id, advice="Begin another one")
            here = (places.c.sitting_id == row.id) & (places.c.position == position)
            known = connection.execute(select(places).where(here)).one_or_none()
            if known is None:
                values = {"shown": shown, "hints": hints, "skips": skips}
                connection.execute(insert(places).values(sitting_id=row.id, position=position, **values))
                return
            values = {
                "shown": shown or known.shown,
                "hints": max(hints, known.hints),
                "skips": max(skips, known.skips),
            }
            connection.execute(update(places).where(here).values(**values))

    # --- notes ------------------------------------------------------------------------------------------------

    def write_note(self, student: str, question: str, text: str, moment: str) -> None:
        """Keep a note of a learner about a question (bank/id)."""
        from sqlalchemy import insert

        from grader.gradebook import rows
        from grader.gradebook.quiz_tables import notes

        with self._writing() as connection:
            student_id = rows.put_student(connection, student, "")
            connection.execute(insert(notes).values(student_id=student_id, question=question, text=text, moment=moment))

    def notes(self, student: str) -> dict[str, tuple[str, ...]]:
        """Return question -> a learner's notes about it, oldest first."""
        from sqlalchemy import select

        from grader.gradebook.quiz_tables import notes
        from grader.gradebook.tables import students

        query = (
            select(notes.c.question, notes.c.text)
            .join(students, notes.c.student_id == students.c.id)
            .where(students.c.student == student)
            .order_by(notes.c.id)
        )
        found: dict[str, tuple[str, ...]] = {}
        with self._reading() as connection:
            for row in connection.execute(query):
                found[row.question] = (*found.get(row.question, ()), row.text)
        return found

    # --- spaced repetition ------------------------------------------------------------------------------------

    def cards(self, student: str) -> dict[str, CardRecord]:
        """Return skill -> card of a learner."""
        from sqlalchemy import select

        from grader.gradebook.quiz_tables import cards
        from grader.gradebook.tables import students

        query = select(cards).join(students, cards.c.student_id == students.c.id).where(students.c.student == student)
        with self._reading() as connection:
            return {row.skill: CardRecord(row.skill, row.card, row.due) for row in connection.execute(query)}

    def _row(self, connection: Connection, sitting_id: str) -> AnyRow:
        from sqlalchemy import select

        from grader.gradebook.quiz_tables import sittings

        row = connection.execute(
            select(sittings.c.id, sittings.c.student_id, sittings.c.finished).where(sittings.c.key == sitting_id)
        ).one_or_none()
        if row is None:
            raise GradebookError(f"there is no sitting {sitting_id!a}", where=self.label, advice="Begin one first")
        return row


def _sittings(connection: Connection, *conditions: ColumnElement[bool]) -> list[SittingRecord]:
    from sqlalchemy import select

    from grader.gradebook.quiz_tables import sittings
    from grader.gradebook.tables import students

    query = (
        select(sittings, students.c.student)
        .join(students, sittings.c.student_id == students.c.id)
        .where(*conditions)
        .order_by(sittings.c.id)
    )
    return [
        SittingRecord(
            id=row.key,
            student=row.student,
            bank=row.bank,
            purpose=row.purpose,
            seed=row.seed,
            items=tuple(ItemRecord(**item) for item in row.items),
            options=row.options,
            started=row.started,
            finished=row.finished,
        )
        for row in connection.execute(query)
    ]


def _open(connection: Connection, student: str, bank: str, purpose: str) -> SittingRecord | None:
    from grader.gradebook.quiz_tables import sittings
    from grader.gradebook.tables import students

    found = _sittings(
        connection,
        students.c.student == student,
        sittings.c.bank == bank,
        sittings.c.purpose == purpose,
        sittings.c.finished.is_(None),
    )
    return found[-1] if found else None


def _answers(connection: Connection, *conditions: ColumnElement[bool]) -> Iterable[tuple[str, AnswerRecord]]:
    from sqlalchemy import select

    from grader.gradebook.quiz_tables import answers, sittings
    from grader.gradebook.tables import students

    query = (
        select(answers, sittings.c.key)
        .join(sittings, answers.c.sitting_id == sittings.c.id)
        .join(students, sittings.c.student_id == students.c.id)
        .where(*conditions)
        .order_by(sittings.c.id, answers.c.position, answers.c.attempt)
    )
    return [(row.key, _answer(row)) for row in connection.execute(query)]


def _answer(row: AnyRow) -> AnswerRecord:
    return AnswerRecord(
        position=row.position,
        attempt=row.attempt,
        response=row.response,
        status=row.status,
        score=row.score,
        note=row.note,
        misconceptions=tuple(row.misconceptions),
        feedback=tuple(row.feedback),
        evidence=row.evidence,
        hints=row.hints,
        confidence=row.confidence,
        seconds=row.seconds,
        moment=row.moment,
    )


def _put_card(connection: Connection, student_id: int, card: CardRecord) -> None:
    from sqlalchemy import insert, update

    from grader.gradebook.quiz_tables import cards

    here = (cards.c.student_id == student_id) & (cards.c.skill == card.skill)
    changed = connection.execute(update(cards).where(here).values(card=card.card, due=card.due))
    if not changed.rowcount:
        connection.execute(insert(cards).values(student_id=student_id, skill=card.skill, card=card.card, due=card.due))
