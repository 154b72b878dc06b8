"""Marked forms: a table for the instructor, a page for each student, CSV, and the sheet for marks by hand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from grader.gradebook.classroom import ClassroomScore
from grader.quiz.asking import solution, view
from grader.quiz.model import Status
from grader.quiz.returned import SCORE, UNANSWERED, UNREADABLE, Marked, Result
from grader.quiz.types import free
from grader.reports.classroom import COLUMNS, classroom_cells
from grader.reports.csv_table import cell, number_text
from grader.reports.text import in_order, markdown_text, printable, printable_lines

_WORDS = {
    Status.RIGHT: "right",
    Status.PARTIAL: "partly right",
    Status.WRONG: "wrong",
    Status.UNDECIDED: "not marked yet",
    Status.INVALID: "not taken",
}
NOT_SUBMITTED = "not submitted"


def outcome(place: Marked) -> str:
    """Return in words what became of an answer."""
    if place.mark.note == UNANSWERED:
        return "no answer"
    if place.mark.note == UNREADABLE:
        return "could not be read"
    if place.to_judge:
        return "to be judged"
    return _WORDS[place.mark.status]


def summary(result: Result) -> str:
    """Return a result as one line: student, points, and what is not marked yet."""
    judge = sum(place.to_judge for place in result.places)
    broken = sum(place.ungraded for place in result.places)
    odd = sum(place.mark.note == UNREADABLE for place in result.places)
    told = [f"{judge} to be judged"] if judge else []
    told += [f"{broken} ungraded"] if broken else []
    told += [f"{odd} could not be read"] if odd else []
    points = f"{number_text(result.earned)} of {number_text(result.possible)}"
    return f"{printable(result.student, 60)}: {points}{' so far' if result.waiting else ''}" + (
        f" ({', '.join(told)})" if told else ""
    )


def results_csv(
    results: Sequence[Result],
    names: Mapping[str, str],
    missing: Sequence[str] = (),
    classroom: Mapping[str, ClassroomScore] | None = None,
) -> str:
    """Return the class as CSV, a row for each student, with a column for each question.

    A cell is empty where there is no score yet, and where a student was not asked: an empty cell is not a zero.
    `classroom` (by student) adds columns for what counts in nbgrader.
    """
    questions = sorted({place.item.question.id for result in results for place in result.places})
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, lineterminator="\r\n")
    head = ["student", "name", "outcome", "earned", "possible", "so_far", "to_judge", "ungraded"]
    added = COLUMNS if classroom else ()
    table.writerow([*head, *(cell(f"question:{name}") for name in questions), "form", *added])
    rows = {}
    for result in results:
        scores = {
            place.item.question.id: number_text(place.mark.score)
            for place in result.places
            if place.mark.status is not Status.UNDECIDED
        }
        rows[result.student] = [
            cell(result.student),
            cell(names.get(result.student, "")),
            "ungraded" if result.waiting else "graded",
            "" if result.waiting else number_text(result.earned),
            number_text(result.possible),
            number_text(result.earned),
            str(sum(place.to_judge for place in result.places)),
            str(sum(place.ungraded for place in result.places)),
            *(scores.get(name, "") for name in questions),
            result.form,
        ]
    for student in missing:
        rows.setdefault(
            student, [cell(student), cell(names.get(student, "")), NOT_SUBMITTED, *[""] * (len(questions) + 6)]
        )
    for student in sorted(rows, key=in_order):
        table.writerow([*rows[student], *(classroom_cells(classroom.get(student)) if classroom else ())])
    return buffer.getvalue()


def sheet_csv(results: Sequence[Result]) -> str:
    """Return the sheet for marks by hand: a row for each point that a person has to give, its column `points` empty.

    Texts come with their rubric; what the machine could not mark or read with a score from 0 to 1.
    """
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, lineterminator="\r\n")
    table.writerow(["student", "question", "point", "max", "points", "criterion", "answer"])
    for result in results:
        for place in result.places:
            question = place.item.question
            if place.to_judge:
                for n, point in enumerate(free.rubric(place.item)):
                    row = [point["id"], number_text(point["points"]), "", cell(point["text"])]
                    text = "" if n else cell(_answer(place), 5000)
                    table.writerow([cell(result.student), question.id, *row, text])
            elif place.ungraded or place.mark.note == UNREADABLE:
                why = f"{outcome(place)}: {' '.join(place.mark.feedback) or place.mark.note}"
                row = [SCORE, "1", "", cell(why), cell(_answer(place), 5000)]
                table.writerow([cell(result.student), question.id, *row])
    return buffer.getvalue()


def student_page(result: Result, title: str, name: str, *, solutions: bool = False) -> str:
    """Return what a student is told of a marked form, as Markdown; the answers only where `solutions` says so."""
    points = f"{number_text(result.earned)} of {number_text(result.possible)} points"
    lines = [
        f"# {title}",
        "",
        f"{markdown_text(name or result.student)}: **{points}{' so far' * bool(result.waiting)}**",
        "",
    ]
    if result.waiting:
        lines += [f"{len(result.waiting)} of your answers are not marked yet.", ""]
    for number, place in enumerate(result.places, 1):
        score = "" if place.mark.status is Status.UNDECIDED else f" ({number_text(place.mark.score)} of 1)"
        lines += [f"## {number}. {outcome(place)}{score}", "", view(place.item).prompt.strip(), ""]
        if place.response is not None:
            lines += ["Your answer:", "", *_quoted(_answer(place)), ""]
        lines += [line for said in place.mark.feedback for line in (said, "")]
        if solutions:
            after = solution(place.item)
            lines += [f"**The answer:** {after.answer}", "", after.explain.strip(), ""]
    return "\n".join(lines).rstrip() + "\n"


def _answer(place: Marked) -> str:
    """Return an answer as a person reads it: options and blocks by what they say."""
    given: Any = place.response
    shown = view(place.item)
    texts = {choice.id: choice.text for choice in (*shown.options, *shown.left)}
    texts |= {f"{field.id}.{option.id}": option.text for field in shown.fields for option in field.options}
    if isinstance(given, str):
        return texts.get(given, given) if shown.kind == "option" else given
    if isinstance(given, list) and shown.kind in ("options", "order"):
        return "\n".join(texts.get(str(one), str(one)) for one in given)
    if isinstance(given, dict):
        labels = {field.id: field.label for field in shown.fields}
        return "\n".join(
            f"{texts.get(str(k), labels.get(str(k), str(k)))}: {texts.get(str(v), texts.get(f'{k}.{v}', str(v)))}"
            for k, v in given.items()
        )
    return json.dumps(given, ensure_ascii=False)


def _quoted(text: str) -> list[str]:
    """Return a student's text as a block of code that it cannot end."""
    lines = printable_lines(text, 40_000, 600)
    longest = max((len(line) - len(line.lstrip("`")) for line in map(str.strip, lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *lines, fence]
