"""Reads the class list: a CSV file with the id and the name of each student."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.errors import SubmissionError
from grader.submissions.limits import MAX_ROSTER_BYTES
from grader.submissions.reading import OpenFile, Refused, Unreadable
from grader.submissions.submission import Submission
from grader.submissions.text import safe_text, student_id

_ID = ("student_id", "id", "student", "username")
_NAME = ("name", "full_name", "student_name")
_FIRST = ("first_name", "firstname", "given_name")
_LAST = ("last_name", "lastname", "surname", "family_name")
_EMAIL = ("email", "email_address", "e_mail")
_DELIMITERS = ",;\t"
_HEADER_ADVICE = "The first line must name the columns, for example: id,name,email"


@dataclass(frozen=True)
class RosterEntry:
    """A student of the class: the id that their folder or file carries, and a name to show."""

    id: str
    name: str
    email: str = ""


def read_roster(path: Path) -> list[RosterEntry]:
    """Return the students of a roster file, in its order.

    The file is UTF-8 CSV (comma, semicolon or tab) with a header line. The id stands in a column called
    student_id, id, student or username; the name in one called name, or in first_name and last_name. Raises
    SubmissionError with the line for what is missing, odd or there twice.
    """
    text = _text(path)
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count) if any(mark in first for mark in _DELIMITERS) else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: dict[str, int] | None = None
    width = 0
    entries: list[RosterEntry] = []
    seen: dict[str, int] = {}
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise SubmissionError(
                f"not CSV ({error})",
                where=f"{path}:{reader.line_num}",
                advice="Check the quotes on this line",
            ) from None
        if row is None:
            break
        where = f"{path}:{reader.line_num}"
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if header is None:
            header, width = _header(cells, where), len(cells)
            continue
        if len(cells) > width:
            raise SubmissionError(
                f"{len(cells)} fields, but the header has {width}",
                where=where,
                advice="Put quotes around a name that has a comma in it",
            )
        entry = _entry(cells, header, where)
        if entry.id in seen:
            raise SubmissionError(
                f"the student {safe_text(entry.id, 60)} is already on line {seen[entry.id]}",
                where=where,
                advice="Remove one of the two",
            )
        seen[entry.id] = reader.line_num
        entries.append(entry)
    if not entries:
        raise SubmissionError("the roster names no student", where=path, advice=_HEADER_ADVICE)
    return entries


def missing(roster: Iterable[RosterEntry], submissions: Iterable[Submission]) -> list[RosterEntry]:
    """Return the students of the roster who handed in nothing, in roster order."""
    handed_in = {submission.student for submission in submissions}
    return [entry for entry in roster if entry.id not in handed_in]


def not_on_roster(roster: Iterable[RosterEntry], submissions: Iterable[Submission]) -> list[Submission]:
    """Return the submissions of students whom the roster does not name, in their order."""
    known = {entry.id for entry in roster}
    return [submission for submission in submissions if submission.student not in known]


def _text(path: Path) -> str:
    try:
        with OpenFile(path, MAX_ROSTER_BYTES) as file:
            content = file.read()
    except (Refused, Unreadable) as error:
        advice = "Check the path and its permissions"
        raise SubmissionError(f"the roster cannot be read: {error}", where=path, advice=advice) from None
    try:
        text = content.decode("utf-8-sig")
        odd = content.find(b"\0")
    except UnicodeDecodeError as error:
        text, odd = "", error.start
    if odd >= 0:
        line = content.count(b"\n", 0, odd) + 1
        advice = 'Save it as "CSV UTF-8" in the spreadsheet program'
        raise SubmissionError("not UTF-8 text", where=f"{path}:{line}", advice=advice)
    return text


def _header(cells: Sequence[str], where: str) -> dict[str, int]:
    """Return the place of each column that is used, by its role."""
    names = [cell.lower().replace(" ", "_").replace("-", "_") for cell in cells]

    def place(*known: str) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    roles = {"id": place(*_ID), "name": place(*_NAME), "first": place(*_FIRST), "last": place(*_LAST)}
    roles["email"] = place(*_EMAIL)
    if roles["name"] is None and roles["id"] is not None and names[roles["id"]] != "student":
        roles["name"] = place("student")  # some systems call the column of names so
    found = {role: at for role, at in roles.items() if at is not None}
    if "id" not in found:
        columns = safe_text(", ".join(cells), 80)
        raise SubmissionError(f"no column of student ids among: {columns}", where=where, advice=_HEADER_ADVICE)
    repeated = next((name for name in names if name and names.count(name) > 1), None)
    if repeated is not None and names.index(repeated) in found.values():
        raise SubmissionError(f"two columns are called {safe_text(repeated, 40)}", where=where)
    return found


def _entry(cells: Sequence[str], header: dict[str, int], where: str) -> RosterEntry:
    def field(role: str) -> str:
        at = header.get(role)
        return safe_text(cells[at], 200) if at is not None and at < len(cells) else ""

    raw = cells[header["id"]] if header["id"] < len(cells) else ""
    if not raw:
        raise SubmissionError("no student id on this line", where=where)
    identity = student_id(raw)
    if identity != unicodedata.normalize("NFC", raw):
        raise SubmissionError(
            f"the id {safe_text(raw, 60)} is too long or has characters that no folder name may have",
            where=where,
            advice="Use letters, digits, dots, dashes and underscores",
        )
    name = field("name") or " ".join(part for part in (field("first"), field("last")) if part)
    return RosterEntry(identity, name, field("email"))
