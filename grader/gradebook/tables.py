"""The tables of the gradebook, the same in SQLite and PostgreSQL.

    students 1--n submissions 1--n reports 1--n part_results
                                           1--n check_results

A submission row is an attempt: what a student handed in, numbered from 1 for each assignment. Nothing is ever
deleted or overwritten; only the `is_current` mark moves from one report of a student to the next.
The tables of quizzes are in quiz_tables.py. They were added later and change nothing here, so they are laid in an
older gradebook when it is opened, and the version stays: a grader that does not know them reads the rest as before.
"""

from __future__ import annotations

import json
import re

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

SCHEMA_VERSION = 1

# PostgreSQL takes no NUL and neither database takes a lone surrogate, yet file names and exception messages
# hold both. They are written as this private-use mark and four hexadecimal digits; so is the mark itself.
_MARK = "\ue01a"
_UNWRITABLE = re.compile(f"[\x00\ud800-\udfff{_MARK}]")
_WRITTEN = re.compile(f"{_MARK}([0-9a-f]{{4}})")


class AnyText(TypeDecorator[str]):
    """Text of any Python characters, NUL and lone surrogates included, read back as it was."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write what the database cannot hold as the mark and a code."""
        if value is None:
            return None
        return _UNWRITABLE.sub(lambda found: f"{_MARK}{ord(found[0]):04x}", value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Turn marked codes back into characters."""
        if value is None:
            return None
        return _WRITTEN.sub(lambda found: chr(int(found[1], 16)), value)


class AsJson(TypeDecorator[object]):
    """Nested tuples of strings, kept as readable JSON; lists come back as tuples."""

    impl = AnyText
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        """Write the tuples as a JSON list."""
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:
        """Read the list back as tuples."""
        return None if value is None else _frozen(json.loads(value))


def _frozen(value: object) -> object:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


metadata = MetaData()

#: What the file says of itself: "schema" is SCHEMA_VERSION.
meta = Table(
    "gradebook_meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

students = Table(
    "students",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("student", AnyText, nullable=False, unique=True),
    Column("name", AnyText, nullable=False),  # the last one seen that is not empty
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("student_id", ForeignKey("students.id"), nullable=False),
    Column("assignment", AnyText, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("received", AnyText),  # ISO 8601 UTC, or NULL when unknown
    Column("recorded_at", Text, nullable=False),  # ISO 8601 UTC
    Column("source", AnyText, nullable=False),
    Column("name", AnyText, nullable=False),
    Column("set_aside", AsJson, nullable=False),
    Column("problem", AnyText),
    Column("files", LargeBinary, nullable=False),  # a zip archive; last, so that scans do not page through it
    UniqueConstraint("student_id", "assignment", "attempt"),
)

reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("submission_id", ForeignKey("submissions.id"), nullable=False),
    # student and assignment again, so that the database itself refuses two current reports of one student
    Column("student_id", ForeignKey("students.id"), nullable=False),
    Column("assignment", AnyText, nullable=False),
    Column("is_current", Boolean, nullable=False),
    Column("run", AnyText, nullable=False),
    Column("repeat", Integer, nullable=False),  # 0 for the first grading by this suite and seed
    Column("graded_at", Text, nullable=False),  # ISO 8601 UTC
    Column("name", AnyText, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("earned", Double, nullable=False),
    Column("possible", Double, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("seed_id", Text, nullable=False),
    Column("seed_override", Boolean, nullable=False),  # the seed was given by hand, not drawn from the secret
    Column("fingerprint", Text, nullable=False),
    Column("cpu_seconds", Double, nullable=False),
    Column("peak_mb", Double, nullable=False),
    Column("set_aside", AsJson, nullable=False),
    Column("problem", AnyText),
    Column("flags", AsJson, nullable=False),
    Column("diagnosis", AsJson, nullable=False),
    Column("reason", AnyText),
    Index(
        "reports_one_current",
        "student_id",
        "assignment",
        unique=True,
        sqlite_where=text("is_current"),
        postgresql_where=text("is_current"),
    ),
    # Two graders that grade the same file at the same time both write repeat n: the second one is refused.
    Index(
        "reports_graded_once",
        "submission_id",
        "fingerprint",
        "seed_id",
        "repeat",
        unique=True,
        sqlite_where=text("outcome = 'graded'"),
        postgresql_where=text("outcome = 'graded'"),
    ),
)

part_results = Table(
    "part_results",
    metadata,
    Column("report_id", ForeignKey("reports.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("part", AnyText, nullable=False),
    Column("title", AnyText, nullable=False),
    Column("earned", Double, nullable=False),
    Column("possible", Double, nullable=False),
)

check_results = Table(
    "check_results",
    metadata,
    Column("report_id", ForeignKey("reports.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("check_id", AnyText, nullable=False),
    Column("part", AnyText, nullable=False),
    Column("title", AnyText, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("points", Double, nullable=False),
    Column("earned", Double, nullable=False),
    Column("facts", AsJson, nullable=False),
    Column("hint", AnyText),
    Column("misconception", AnyText),
    Column("mutant", AnyText),
    Column("detail", AnyText, nullable=False),
    Column("location", AnyText, nullable=False),
    Column("output", AnyText, nullable=False),
)
