"""The misconceptions that a course knows: what is believed, and where to read on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from grader.course.catalog import Course
from grader.course.marked_yaml import Entry, read_document

SCHEMA = "misconceptions/1"

_ID = re.compile(r"[a-z0-9][a-z0-9_-]*(?:/[a-z0-9][a-z0-9_-]*)+")


@dataclass(frozen=True)
class Misconception:
    """A wrong belief: its id ("bptt/forgets-the-carry"), the belief in a sentence, where to read on."""

    id: str
    belief: str
    read: str


def misconceptions_file(course: Course) -> Path:
    """Return the path of the file that lists the course's misconceptions."""
    return course.root / "assignments" / "misconceptions.yaml"


def load_misconceptions(course: Course) -> dict[str, Misconception]:
    """Return id -> Misconception in file order; none without a file; raise CourseError."""
    path = misconceptions_file(course)
    return read_misconceptions(read_document(path)) if path.exists() else {}


def read_misconceptions(root: Entry) -> dict[str, Misconception]:
    """Return id -> Misconception of a document; raise CourseError at file:line:column."""
    found = root.fields(("schema", "misconceptions"))
    found["schema"].require_schema(SCHEMA)
    known: dict[str, Misconception] = {}
    for name, (key, entry) in found["misconceptions"].mapping().items():
        if not _ID.fullmatch(name):
            raise key.error(f"`{name}` is no id of a misconception", "Write it like `bptt/forgets-the-carry`.")
        texts = entry.fields(("belief", "read"))
        known[name] = Misconception(
            name, texts["belief"].text(lines=True).strip(), texts["read"].text(lines=True).strip()
        )
    return known
