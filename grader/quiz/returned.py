"""Forms that came back: marked into the gradebook once, by the machine first and by people where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grader.course.catalog import Course
from grader.errors import QuizError, SubmissionError
from grader.gradebook.quizzes import AnswerRecord, QuizBook, SittingRecord
from grader.quiz import marks
from grader.quiz.marking import mark
from grader.quiz.model import Item, Mark, Response, Status
from grader.quiz.offline import NotOurs, Quiz, Returned, read_returned, returned_files
from grader.quiz.running import CodeBox
from grader.quiz.sitting import FORM, Clock, item_again, record_of, utc_now
from grader.quiz.types import free
from grader.submissions.csv_rows import read_rows
from grader.submissions.text import safe_text

#: how an instructor's sheet names the mark of a question that has no rubric
SCORE = "score"
UNREADABLE, UNANSWERED, BY_HAND = "unreadable", "unanswered", "by-hand"


@dataclass(frozen=True)
class Marked:
    """An item of a form, what was answered (None: nothing), and the mark that counts now."""

    item: Item
    response: Response
    mark: Mark
    attempt: int

    @property
    def ungraded(self) -> bool:
        """Say whether the machine could not mark it."""
        return self.mark.status is Status.UNDECIDED and not self.to_judge

    @property
    def to_judge(self) -> bool:
        """Say whether a text waits for a person."""
        return self.mark.status is Status.UNDECIDED and self.mark.note == "to-judge"


@dataclass(frozen=True)
class Result:
    """What a form is worth: a point for each question."""

    student: str
    quiz: str
    form: str
    places: tuple[Marked, ...]
    finished: bool
    path: Path | None = None
    new: bool = False

    @property
    def earned(self) -> float:
        """Return the points so far; what waits for a mark has none yet."""
        return round(sum(place.mark.score for place in self.places), 6)

    @property
    def possible(self) -> float:
        """Return the points of all questions."""
        return float(len(self.places))

    @property
    def waiting(self) -> tuple[Marked, ...]:
        """Return what is not marked yet: texts for people, and what the machine could not decide."""
        return tuple(place for place in self.places if place.mark.status is Status.UNDECIDED)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON data, for the instructor."""
        return {
            "version": 1,
            "quiz": self.quiz,
            "student": self.student,
            "form": self.form,
            "outcome": "ungraded" if self.waiting else "graded",
            "earned": None if self.waiting else self.earned,
            "so_far": self.earned,
            "possible": self.possible,
            "questions": [
                {"question": place.item.question.id, "variant": place.item.variant.number, "response": place.response}
                | place.mark.as_dict()
                for place in self.places
            ],
        }


@dataclass(frozen=True)
class Collected:
    """What came of a folder: a result for each student, and a reason for each file that was not marked."""

    results: tuple[Result, ...]
    refused: tuple[tuple[Path, str], ...]


# --- marking files ----------------------------------------------------------------------------------------------------


def collect(
    course: Course,
    quiz: Quiz,
    paths: Sequence[Path],
    book: QuizBook,
    box: CodeBox,
    *,
    replace_old: bool = False,
    on_result: Callable[[Result], None] | None = None,
    clock: Clock = utc_now,
) -> Collected:
    """Mark every file of answers into the gradebook and return what came of it.

    Marked again, the same file changes nothing, but what the machine could not decide is tried once more. Another file
    for the same form is refused, unless `replace_old` says that it takes the first one's place. Of two files for one
    form in the same folders neither is marked. Raises CourseError for a path that is not there, GradebookError.
    """
    refused: list[tuple[Path, str]] = []
    found: dict[str, list[Returned]] = {}
    for path, owner in returned_files(paths):
        try:
            one = read_returned(course, quiz, path, owner)
        except NotOurs as problem:
            refused.append((path, str(problem)))
            continue
        found.setdefault(one.student, []).append(one)
    results = []
    for student in sorted(found):
        same = {one.sha256: one for one in found[student]}
        if len(same) > 1:
            names = ", ".join(sorted(str(one.path) for one in found[student])[:3])
            said = f"{student} handed in {len(same)} different files ({names}): leave one of them there"
            refused += [(one.path, said) for one in same.values()]
            continue
        given = next(iter(same.values()))
        try:
            result = mark_returned(quiz, given, book, box, replace_old=replace_old, clock=clock)
        except NotOurs as problem:
            refused.append((given.path, str(problem)))
            continue
        results.append(result)
        if on_result is not None:
            on_result(result)
    return Collected(tuple(results), tuple(sorted(refused)))


def mark_returned(
    quiz: Quiz, given: Returned, book: QuizBook, box: CodeBox, *, replace_old: bool = False, clock: Clock = utc_now
) -> Result:
    """Mark what one student handed in into the gradebook, once; raise NotOurs where other work of theirs counts.

    Marked again, the same work changes nothing, but what the machine could not decide is tried once more. With
    `replace_old` it takes the place of the other work.
    """
    known = sittings_of(book, quiz, given.student)
    current = known[-1] if known else None
    sitting = current if current is not None and current.options.get("file") == given.sha256 else None
    if current is not None and sitting is None and not replace_old:
        raise NotOurs(f"{given.student} was marked by another file before: --replace takes this one instead")
    moment = clock().isoformat(timespec="seconds")
    if sitting is None:
        key = f"{given.form}-{given.sha256[:16]}-{len(known)}"
        options = {"quiz": quiz.id, "form": given.form, "file": given.sha256, "reveal": "never", "attempts": 1}
        sitting = book.begin(
            given.student, quiz.bank.id, purpose=FORM, seed=given.seed_id,
            items=[record_of(item) for item in given.items], options=options, moment=moment, resume=False, key=key,
        )  # fmt: skip
    kept = _last(book, sitting.id)
    changed = False
    for position, (item, response) in enumerate(zip(given.items, given.answers, strict=True)):
        before = kept.get(position)
        if before is not None and (before.status != Status.UNDECIDED or before.note == "to-judge"):
            continue
        made = given.refused.get(position) or offline_mark(item, response, box)
        if before is not None and made.status is Status.UNDECIDED:
            continue
        attempt = 1 if before is None else before.attempt + 1
        _keep(book, sitting.id, position, attempt, _text_only(item, response), made, moment)
        changed = True
    _finish_if_done(book, sitting, moment)
    result = result_of(book, quiz, sitting.id)
    return replace(result, path=given.path, new=changed)


def offline_mark(item: Item, response: Response, box: CodeBox | None) -> Mark:
    """Return the mark of an answer that cannot be asked for again: what cannot be read earns nothing, and says so."""
    response = _text_only(item, response)
    if response is None or response in ("", [], {}) or (isinstance(response, str) and not response.strip()):
        return marks.wrong(UNANSWERED)
    made = mark(item, response, box)
    if made.status is not Status.INVALID:
        return made
    return Mark(Status.WRONG, 0.0, UNREADABLE, made.feedback, (), {"note": made.note})


def _text_only(item: Item, response: Response) -> Response:
    """Return the response; nobody judges a text of their own that counts."""
    if item.question.type == "free" and isinstance(response, dict):
        return response.get("text")
    return response


def _keep(
    book: QuizBook, sitting: str, position: int, attempt: int, response: Response, made: Mark, moment: str
) -> None:
    book.answer(
        sitting,
        AnswerRecord(
            position, attempt, response, made.status.value, made.score, made.note, made.misconceptions, made.feedback,
            made.evidence, moment=moment,
        ),
        late=True,
    )  # fmt: skip


def _last(book: QuizBook, sitting: str) -> dict[int, AnswerRecord]:
    return {answer.position: answer for answer in book.answers(sitting)}  # by attempt: the last one stays


def _finish_if_done(book: QuizBook, sitting: SittingRecord, moment: str) -> None:
    last = _last(book, sitting.id)
    if len(last) == len(sitting.items) and all(one.status != Status.UNDECIDED for one in last.values()):
        book.finish(sitting.id, moment)


# --- what is in the gradebook -----------------------------------------------------------------------------------------


def sittings_of(book: QuizBook, quiz: Quiz, student: str | None = None) -> list[SittingRecord]:
    """Return the sittings in which forms of a quiz were marked, oldest first."""
    found = book.sittings(student=student, bank=quiz.bank.id, purpose=FORM)
    return [one for one in found if one.options.get("quiz") == quiz.id]


def current_results(book: QuizBook, quiz: Quiz) -> tuple[Result, ...]:
    """Return the result of every student whose form was marked, by student; the last form counts."""
    last = {one.student: one for one in sittings_of(book, quiz)}
    return tuple(result_of(book, quiz, last[student].id) for student in sorted(last))


def result_of(book: QuizBook, quiz: Quiz, sitting_id: str) -> Result:
    """Return what a marked form is worth; what the bank no longer asks as it was drawn is left out.

    Raises QuizError where there is no such sitting.
    """
    record = book.sitting(sitting_id)
    if record is None:
        raise QuizError(f"there is no sitting {sitting_id!a}", where=book.label, advice="Mark the form again")
    last = _last(book, sitting_id)
    places = []
    for position, asked in enumerate(record.items):
        item = item_again(quiz.bank, asked)
        kept = last.get(position)
        if item is None or kept is None:
            continue
        given = Mark(Status(kept.status), kept.score, kept.note, kept.feedback, kept.misconceptions, kept.evidence)
        response = kept.response
        if item.question.type == "free" and isinstance(response, dict):
            response = response.get("text")
        places.append(Marked(item, response, given, kept.attempt))
    return Result(
        record.student, quiz.id, str(record.options.get("form")), tuple(places), record.finished is not None
    )  # fmt: skip


# --- marks by people --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judgement:
    """Points that a person gives for one criterion of one answer; `where` is file:line."""

    student: str
    question: str
    point: str
    points: float
    where: str


def read_judgements(path: Path) -> list[Judgement]:
    """Return the points of an instructor's sheet; raise SubmissionError with file:line for what cannot be meant.

    The sheet is CSV with the columns student, question, point and points; others are for the reader. A row without
    points is not judged yet.
    """
    found: list[Judgement] = []
    seen: dict[tuple[str, str, str], str] = {}
    for where, row in read_rows(path, ("student", "question", "point", "points")):
        if not row["points"]:
            continue
        key = (row["student"].removeprefix("'"), row["question"], row["point"])
        try:
            points = float(row["points"].replace(",", "."))
        except ValueError:
            points = float("nan")
        if not 0 <= points <= 1000:
            raise SubmissionError(f"`{safe_text(row['points'], 30)}` is no number of points", where=where)
        if key in seen:
            raise SubmissionError(f"these points are given at {seen[key]} already", where=where)
        seen[key] = where
        found.append(Judgement(*key, points, where))
    return found


def judge(
    book: QuizBook, quiz: Quiz, given: Iterable[Judgement], *, clock: Clock = utc_now
) -> tuple[int, tuple[str, ...]]:
    """Keep the marks that people give; return how many are new, and a line for each answer that lacks points still.

    A text is judged by every point of its rubric; any other answer by its score, 0 to 1, under the name `score`. Raises
    SubmissionError (file:line) before anything is kept where a row fits no answer.
    """
    results = {one.student: one for one in sittings_of(book, quiz)}
    by_answer: dict[tuple[str, str], list[Judgement]] = {}
    for one in given:
        by_answer.setdefault((one.student, one.question), []).append(one)
    planned: list[tuple[SittingRecord, int, int, Response, Mark]] = []
    lacking: list[str] = []
    for (student, question), points in by_answer.items():
        record = results.get(student)
        if record is None:
            raise SubmissionError(
                f"no form of {safe_text(student, 60)} was marked", where=points[0].where, advice="Check the student."
            )
        at = next((n for n, i in enumerate(record.items) if i.question == f"{quiz.bank.id}/{question}"), None)
        item = None if at is None else item_again(quiz.bank, record.items[at])
        last = None if at is None else _last(book, record.id).get(at)
        if at is None or item is None or last is None:
            raise SubmissionError(
                f"{safe_text(student, 60)} was not asked {safe_text(question, 60)}", where=points[0].where
            )
        made = _judged(item, last, points)
        if isinstance(made, str):
            lacking.append(f"{student}: {question}: {made}")
        elif (made[1].status.value, made[1].score, made[0]) != (last.status, last.score, last.response):
            planned.append((record, at, last.attempt + 1, *made))
    moment = clock().isoformat(timespec="seconds")
    for record, position, attempt, response, mark_ in planned:
        _keep(book, record.id, position, attempt, response, mark_, moment)
        _finish_if_done(book, record, moment)
    return len(planned), tuple(lacking)


def _judged(item: Item, last: AnswerRecord, points: Sequence[Judgement]) -> tuple[Response, Mark] | str:
    """Return the response and mark by a person, or which points are missing; raise SubmissionError."""
    text = last.response.get("text") if isinstance(last.response, dict) else last.response
    rubric = free.rubric(item) if item.question.type == "free" and text else []
    most: Mapping[str, float] = {one["id"]: float(one["points"]) for one in rubric} or {SCORE: 1.0}
    for one in points:
        if one.point not in most:
            raise SubmissionError(
                f"{item.question.id} has no point {safe_text(one.point, 40)}",
                where=one.where,
                advice=f"It has {', '.join(most)}.",
            )
        if one.points > most[one.point]:
            raise SubmissionError(f"`{one.point}` is worth at most {most[one.point]:g}", where=one.where)
    earned = {one.point: one.points for one in points}
    missing = [name for name in most if name not in earned]
    if missing:
        return f"no points yet for {', '.join(missing)}"
    if rubric:
        response = {"text": text, "points": earned}
        return response, mark(item, response)
    return last.response, marks.graded(earned[SCORE], BY_HAND)
