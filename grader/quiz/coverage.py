"""Which question or assignment asks about which item of the course's sources, as a table and as a list of gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.course.catalog import Course
from grader.course.files import read_text
from grader.course.marked_yaml import Entry, read_document
from grader.course.spelling import suggestion
from grader.errors import CourseError
from grader.quiz.loading import SOURCES_FILE, bank_paths, load_bank
from grader.quiz.model import Bank

SCHEMA = "quizsources/1"

#: the type of question that people judge: an item that only such questions ask about is a gap
JUDGED = "free"

COMMAND = "`grader quiz coverage`"


@dataclass(frozen=True)
class SourceItem:
    """Something that a source asks or teaches: the id of its document, its own id, and what it is about."""

    document: str
    id: str
    title: str

    @property
    def name(self) -> str:
        """Return document/item, as a question's `source` says it."""
        return f"{self.document}/{self.id}"


@dataclass(frozen=True)
class Sources:
    """All items in the order of the file, the documents' titles, and item name -> parts of assignments that mark it."""

    titles: Mapping[str, str]
    items: tuple[SourceItem, ...]
    parts: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Coverage:
    """Item name -> names of the questions about it, marked by machine or judged by people; and names of no item.

    `unknown` holds (question, item) where a question names an item that no source has.
    """

    sources: Sources
    banks: tuple[Bank, ...]
    marked: Mapping[str, tuple[str, ...]]
    judged: Mapping[str, tuple[str, ...]]
    unknown: tuple[tuple[str, str], ...]


def sources_path(course: Course) -> Path:
    """Return the file that lists the course's sources."""
    return course.root / "quizzes" / SOURCES_FILE


def table_path(course: Course) -> Path:
    """Return the page that the table is written to."""
    return course.root / "docs" / "coverage.md"


def load_sources(course: Course) -> Sources:
    """Return what quizzes/sources.yaml lists; raise CourseError (file:line:column) where it is missing or broken."""
    path = sources_path(course)
    if not path.is_file():
        raise CourseError(
            "this course lists no sources", where=path, advice="docs/quizzes.md says what the file holds."
        )
    found = read_document(path).fields(("schema", "documents"), ("covers",))
    found["schema"].require_schema(SCHEMA)
    titles: dict[str, str] = {}
    items: list[SourceItem] = []
    for document, (_, entry) in found["documents"].mapping().items():
        keys = entry.fields(("title", "items"))
        titles[document] = keys["title"].text()
        items += [SourceItem(document, name, value.text()) for name, (_, value) in keys["items"].mapping().items()]
    known = [item.name for item in items]
    covers = found["covers"].mapping() if "covers" in found else {}
    return Sources(titles, tuple(items), _parts(course, covers, known))


def _parts(
    course: Course, covers: Mapping[str, tuple[Entry, Entry]], known: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return item name -> parts that mark it; raise CourseError for a part or an item that does not exist."""
    if not covers:
        return {}
    parts = [f"{assignment.id}/{part.id}" for assignment in course.assignments() for part in assignment.parts]
    found: dict[str, tuple[str, ...]] = {}
    for part, (key, entry) in covers.items():
        if part not in parts:
            raise key.error(f"there is no part `{part}` of an assignment", suggestion(part, parts, "parts"))
        for item, place in entry.words():
            if item not in known:
                raise place.error(f"no source has the item `{item}`", suggestion(item, known, "items"))
            found[item] = (*found.get(item, ()), part)
    return found


def coverage(course: Course) -> Coverage:
    """Return what the practice banks and the assignments cover; raise CourseError where something cannot be read.

    Graded banks are left out: what they ask is not told, and a course may be installed without them.
    """
    sources = load_sources(course)
    banks = tuple(load_bank(course, name) for name, (_, graded) in bank_paths(course).items() if not graded)
    known = {item.name for item in sources.items}
    marked: dict[str, tuple[str, ...]] = {}
    judged: dict[str, tuple[str, ...]] = {}
    unknown: list[tuple[str, str]] = []
    for question in (question for bank in banks for question in bank.questions):
        for item in question.source:
            if item not in known:
                unknown.append((question.name, item))
                continue
            kept = judged if question.type == JUDGED else marked
            kept[item] = (*kept.get(item, ()), question.name)
    return Coverage(sources, banks, marked, judged, tuple(unknown))


def gaps(found: Coverage) -> list[str]:
    """Return a line for each item that nothing marks, and for each question about an item that no source has."""
    lines = [
        f"{item.name}: no question and no assignment marks it ({item.title})"
        for item in found.sources.items
        if item.name not in found.marked and item.name not in found.sources.parts
    ]
    return lines + [f"{question}: {SOURCES_FILE} lists no item {item}" for question, item in found.unknown]


def table(found: Coverage) -> str:
    """Return the page: a table for each document, a row for each of its items."""
    questions = [question for bank in found.banks for question in bank.questions]
    drawn = sum(bool(question.spec.params) for question in questions)
    lines = [
        f"<!-- Generated by {COMMAND} from quizzes/ and assignments/: change those, not this page. -->",
        "",
        "# What is asked about what",
        "",
        f"{len(found.sources.items)} items of {len(found.sources.titles)} sources, and what marks them: "
        f"{len(questions)} questions in {len(found.banks)} banks, {drawn} of them with parameters, and the parts of "
        "the assignments. Questions in brackets are judged by people.",
    ]
    for document, title in found.sources.titles.items():
        lines += ["", f"## {document}: {title}", "", "| Item | About | Questions | Assignments |", "|---|---|---|---|"]
        lines += [_row(found, item) for item in found.sources.items if item.document == document]
    return "\n".join(lines) + "\n"


def _row(found: Coverage, item: SourceItem) -> str:
    questions = [f"`{name}`" for name in found.marked.get(item.name, ())]
    questions += [f"(`{name}`)" for name in found.judged.get(item.name, ())]
    parts = [f"`{part}`" for part in found.sources.parts.get(item.name, ())]
    title = item.title.replace("|", "\\|")
    return f"| {item.id} | {title} | {', '.join(questions) or '-'} | {', '.join(parts) or '-'} |"


def is_current(course: Course, found: Coverage) -> bool:
    """Say whether the page holds what the table says now."""
    path = table_path(course)
    return path.is_file() and read_text(path) == table(found)
