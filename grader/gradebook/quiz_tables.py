"""The tables of quizzes, beside those of submissions in the same gradebook.

    students 1--n quiz_sittings 1--n quiz_places    how far a question has come: shown, hints, put off
                                1--n quiz_answers   every try that counts
    students 1--n quiz_notes                        what learners write down about questions
    students 1--n quiz_cards                        when a skill is to be practised again
                                quiz_reviews        every rating that moved a card

Answers are never overwritten. What a question is lies in the bank: a sitting names it, its revision, the hashes of
its meaning and content, and which variant was asked in which order of options.
"""

from __future__ import annotations

import json

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, Table, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from grader.gradebook.tables import AnyText, metadata


class PlainJson(TypeDecorator[object]):
    """JSON data of any form, kept as readable text and read back as it was: lists stay lists."""

    impl = AnyText
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str:
        """Write the data; None is JSON's null, not the database's."""
        return json.dumps(value, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:
        """Read the data."""
        return None if value is None else json.loads(value)


sittings = Table(
    "quiz_sittings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),  # a random name, which may appear in addresses
    Column("student_id", ForeignKey("students.id"), nullable=False),
    Column("bank", AnyText, nullable=False),
    Column("purpose", AnyText, nullable=False),
    Column("seed", AnyText, nullable=False),
    Column("items", PlainJson, nullable=False),
    Column("options", PlainJson, nullable=False),
    Column("started", Text, nullable=False),  # ISO 8601 UTC
    Column("finished", Text),
    Index("quiz_sittings_by_student", "student_id", "bank"),
)

places = Table(
    "quiz_places",
    metadata,
    Column("sitting_id", ForeignKey("quiz_sittings.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("shown", Text),  # ISO 8601 UTC with fractions: when the question was last shown
    Column("hints", Integer, nullable=False),
    Column("skips", Integer, nullable=False),
)

answers = Table(
    "quiz_answers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sitting_id", ForeignKey("quiz_sittings.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),  # from 1
    Column("response", PlainJson, nullable=False),
    Column("status", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("note", AnyText, nullable=False),
    Column("misconceptions", PlainJson, nullable=False),
    Column("feedback", PlainJson, nullable=False),
    Column("evidence", PlainJson, nullable=False),
    Column("hints", Integer, nullable=False),
    Column("confidence", Integer),  # 1 a guess, 2 fairly sure, 3 sure
    Column("seconds", Double),
    Column("moment", Text, nullable=False),  # ISO 8601 UTC
    # an answer that is sent twice is kept once
    UniqueConstraint("sitting_id", "position", "attempt"),
)

notes = Table(
    "quiz_notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("student_id", ForeignKey("students.id"), nullable=False),
    Column("question", AnyText, nullable=False),
    Column("text", AnyText, nullable=False),
    Column("moment", Text, nullable=False),
    Index("quiz_notes_by_question", "student_id", "question"),
)

cards = Table(
    "quiz_cards",
    metadata,
    Column("student_id", ForeignKey("students.id"), primary_key=True),
    Column("skill", AnyText, primary_key=True),
    Column("card", PlainJson, nullable=False),
    Column("due", Text, nullable=False),  # ISO 8601 UTC
)

reviews = Table(
    "quiz_reviews",
    metadata,
    Column("answer_id", ForeignKey("quiz_answers.id"), primary_key=True),
    Column("skill", AnyText, primary_key=True),
    Column("rating", Integer, nullable=False),  # 1 again, 2 hard, 3 good, 4 easy
)
