"""`grader nbgrader sync`: nbgrader's final scores into our gradebook, and what was graded only here into nbgrader's."""

from __future__ import annotations

import glob
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, InvalidEntry, MissingEntry, app_log

from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.errors import GraderError
from grader.exchange.nbgrader.cell_feedback import part_score
from grader.exchange.nbgrader.folder import CONFIG, settings
from grader.exchange.nbgrader.subjects import scaled
from grader.gradebook.classroom import (
    CLASSROOM,
    GRADED,
    GRADER,
    NOT_SUBMITTED,
    REMOVED,
    UNGRADED,
    Cell,
    ClassroomBook,
    ClassroomScore,
    quiz_name,
)
from grader.gradebook.quizzes import QuizBook
from grader.quiz.model import Status
from grader.quiz.notebook import question_of_cell
from grader.submissions.text import safe_text, student_id

QUIZ_CELL = "score"
SHOWN = 10  # students named in one line


@dataclass
class Synced:
    """What was brought: the scores new in our gradebook, how many went to nbgrader's, and lines about the rest."""

    taken: list[ClassroomScore] = field(default_factory=list)
    given: int = 0
    waiting: list[str] = field(default_factory=list)  # handed in there, not graded yet
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Offer:
    """What we know of a student's score: points by cell, None where there are none yet, and when it was handed in."""

    student: str
    name: str
    scores: Mapping[str, float | None]
    received: datetime | None


@dataclass(frozen=True)
class _QuizOffer:
    """What a student has of a quiz: points in all, and 0 to 1 for each question; None where there are none yet."""

    student: str
    points: float | None
    questions: Mapping[str, float | None]


class _Room:
    """nbgrader's side: its open gradebook, its folders, and its ids of our students."""

    def __init__(self, directory: Any, gradebook: Any, result: Synced) -> None:
        self.directory, self.gradebook, self.result = directory, gradebook, result
        self.assignments: dict[str, Any] = {one.name: one for one in gradebook.assignments}
        self.ids: dict[str, str] = {}
        self.twice: set[str] = set()
        self.ours: set[tuple[str, str]] = set()  # (our student, assignment) whose automatic scores come from here
        for theirs in sorted(student.id for student in gradebook.students):
            ours = student_id(theirs)
            if ours in self.ids:
                self.twice.add(ours)
                result.problems.append(f"`{self.ids[ours]}` and `{theirs}` are one student here, so both are left out")
            self.ids.setdefault(ours, theirs)

    def folders(self, step: str, assignment: str) -> dict[str, Path]:
        """Return the folders of a step (submitted, autograded) by nbgrader's id of the student."""
        found = {}
        pattern = self.directory.format_path(step, "(?P<student_id>.*)", assignment, escape=True)
        for folder in sorted(glob.glob(self.directory.format_path(step, "*", assignment))):
            match = re.fullmatch(pattern, folder)
            if match is not None and Path(folder).is_dir():
                found[match["student_id"]] = Path(folder)
        return found


def synchronise(course: Course, folder: Path, book_at: Path | str | None = None) -> Synced:
    """Bring scores both ways, so that both gradebooks tell the same; done twice, it changes nothing.

    What nbgrader has graded is never overwritten there, nor is anything that a person has entered. `book_at` is our
    gradebook, by default that of the folder's settings. Raises GraderError where nothing can be done at all.
    """
    from grader.gradebook.connection import tables_at, told_plainly

    if not (folder / CONFIG).is_file():
        raise GraderError(f"there is no {CONFIG}", where=folder, advice=f"First: grader nbgrader init {folder}")
    result = Synced()
    with settings(folder) as app:
        target = book_at or app.config.HardenedExporter.get("gradebook") or course.state / "gradebook.db"
        url, course_id = app.coursedir.db_url, app.coursedir.course_id
        label, tables = tables_at(url)
        if not {"alembic_version", "submitted_assignment", "grade"} <= tables:
            raise GraderError(
                "this is no database of nbgrader's", where=label, advice=f"First: grader nbgrader init {folder}"
            )
        with warnings.catch_warnings(), told_plainly(label), _plain_refusals(label):
            warnings.simplefilter("ignore")  # nbgrader's use of SQLAlchemy is not the user's concern
            with Gradebook(url, course_id) as gradebook, ClassroomBook.open(target) as book:
                room = _Room(app.coursedir, gradebook, result)
                known = book.classroom_scores()
                quizzes = _quiz_offers(course, target, result)
                for assignment in course.assignments():
                    offers = _offers(book, assignment, result)
                    if offers and _takes(room, assignment.id, [f"part-{p.id}" for p in assignment.parts], offers):
                        _give(room, assignment.id, _in_their_points(room, assignment, offers), known)
                for name, (possible, results) in quizzes.items():
                    if _quiz_is_there(room, name, possible):
                        _give(room, name, _quiz_points(room, name, possible, results), known)
                gradebook.db.expire_all()
                names = [name for name in room.assignments if name in {*course.ids, *quizzes}]
                _other_assignments(room, names)
                for name in [*course.ids, *quizzes]:
                    _waiting(room, name)
                now = [score for name in names for score in _scores(room, name, known)]
                there = {(one.student, one.assignment) for one in now}
                gone = [
                    ClassroomScore(student, name, one.origin, REMOVED)
                    for (student, name), one in known.items()
                    if (student, name) not in there and student not in room.twice
                ]
                result.taken = book.record_scores([*now, *gone])
    return result


@contextmanager
def _plain_refusals(label: str) -> Iterator[None]:
    """Turn what nbgrader says of a refused row, with a traceback in its log, into one line."""
    was, app_log.disabled = app_log.disabled, True
    try:
        yield
    except InvalidEntry as error:
        reason = " ".join(str(error).split())[:200]
        raise GraderError(
            f"nbgrader's database takes no score ({reason})",
            where=label,
            advice="Run the same again when no other program writes to it: what was brought is kept",
        ) from None
    finally:
        app_log.disabled = was


# --- from here to nbgrader ---------------------------------------------------------------------------------------


def _offers(book: ClassroomBook, assignment: Assignment, result: Synced) -> list[_Offer]:
    """Return the current scores of an assignment; what must not go to nbgrader is told in a line."""
    found, practice, ungraded = [], [], []
    for report in book.latest(assignment.id):
        if report.outcome != "graded":
            ungraded.append(report.student)
        elif report.tier == 0:
            practice.append(report.student)
        else:
            moments = [
                a.received for a in book.attempts(assignment.id, report.student) if a.sha256 == report.submission
            ]
            scores = {f"part-{part.id}": part_score(report, part) for part in assignment.parts}
            found.append(_Offer(report.student, report.name, scores, _moment(moments[-1] if moments else None)))
    if practice:
        result.problems.append(
            f"{assignment.id}: graded without a sandbox (tier 0), so not brought to nbgrader: {_named(practice)}"
        )
    if ungraded:
        result.problems.append(f"{assignment.id}: ungraded here, so not brought to nbgrader: {_named(ungraded)}")
    return found


def _quiz_offers(course: Course, target: Path | str, result: Synced) -> dict[str, tuple[float, list[_QuizOffer]]]:
    """Return the points of each graded quiz and what students have of them, by nbgrader's name of it."""
    from grader.quiz.offline import load_quiz
    from grader.quiz.returned import current_results
    from grader.quiz.sitting import FORM

    found: dict[str, tuple[float, list[_QuizOffer]]] = {}
    with QuizBook.open(target) as book:
        for quiz_id in sorted({str(one.options.get("quiz")) for one in book.sittings(purpose=FORM)}):
            try:
                results = current_results(book, load_quiz(course, quiz_id))
            except GraderError as error:
                result.problems.append(f"the quiz {safe_text(quiz_id, 60)} is left out: {' '.join(str(error).split())}")
                continue
            possible = max((one.possible for one in results), default=0.0)
            short = [one.student for one in results if one.possible != possible]
            if short:
                result.problems.append(
                    f"{quiz_name(quiz_id)}: the bank no longer asks all that these were asked; their points are"
                    f" scaled to {possible:g}: {_named(short)}"
                )
            offers = []
            for one in results:
                points = one.earned * possible / one.possible if one.possible else 0.0
                by_question = {
                    place.item.question.id: None if place.mark.status is Status.UNDECIDED else place.mark.score
                    for place in one.places
                }
                offers.append(_QuizOffer(one.student, None if one.waiting else points, by_question))
            if possible:
                found[quiz_name(quiz_id)] = (possible, offers)
    return found


def _takes(room: _Room, name: str, cells: Sequence[str], offers: Sequence[_Offer]) -> bool:
    """Say whether an assignment is in nbgrader's database with the cells that we have points for."""
    if name not in room.assignments:
        room.result.problems.append(
            f"{name}: {len(offers)} graded here, but nbgrader does not know it yet"
            f" (nbgrader generate_assignment {name})"
        )
        return False
    missing = sorted(set(cells) - set(_worth(room, name)))
    if missing:
        room.result.problems.append(
            f"{name}: nbgrader's database has no cell {', '.join(missing)}"
            f" (nbgrader generate_assignment {name} --force)"
        )
    return not missing


def _worth(room: _Room, name: str) -> dict[str, float]:
    """Return the points of each cell with points of an assignment."""
    return {
        cell.name: float(cell.max_score)
        for notebook in room.assignments[name].notebooks
        for cell in (*notebook.grade_cells, *notebook.task_cells)
    }


def _in_their_points(room: _Room, assignment: Assignment, offers: Iterable[_Offer]) -> list[_Offer]:
    """Return the offers in the points of nbgrader's cells, which the instructor may have changed."""
    worth = _worth(room, assignment.id)
    possible = {f"part-{part.id}": part.points for part in assignment.parts}
    return [
        _Offer(
            one.student,
            one.name,
            {cell: scaled(earned, possible[cell], worth[cell]) for cell, earned in one.scores.items()},
            one.received,
        )
        for one in offers
    ]


def _quiz_is_there(room: _Room, name: str, possible: float) -> bool:
    """Lay a quiz as an assignment of one cell; say whether what has its name is such an assignment."""
    if name not in room.assignments:
        gradebook = room.gradebook
        gradebook.add_assignment(name)
        gradebook.add_notebook(name, name)
        gradebook.add_grade_cell(QUIZ_CELL, name, name, max_score=possible, cell_type="code")
        room.assignments[name] = gradebook.find_assignment(name)
    elif list(_worth(room, name)) != [QUIZ_CELL] and not all(_questions(room, name).values() or [None]):
        room.result.problems.append(f"{name}: nbgrader has another assignment of this name, so the quiz is left out")
        return False
    return True


def _questions(room: _Room, name: str) -> dict[str, str | None]:
    """Return the question of each cell with points, None where a cell is none of a quiz that is a notebook."""
    return {cell: question_of_cell(cell) for cell in _worth(room, name)}


def _quiz_points(room: _Room, name: str, possible: float, offers: Iterable[_QuizOffer]) -> list[_Offer]:
    """Return the offers in the points of nbgrader's cells: one for the quiz, or in a notebook one for each question."""
    worth = _worth(room, name)
    if list(worth) == [QUIZ_CELL]:
        return [_Offer(o.student, "", {QUIZ_CELL: scaled(o.points, possible, worth[QUIZ_CELL])}, None) for o in offers]
    questions = _questions(room, name)
    found, others = [], []
    for one in offers:
        if {*questions.values()} - {*one.questions}:
            others.append(one.student)
            continue
        scores = {cell: scaled(one.questions[str(asked)], 1.0, worth[cell]) for cell, asked in questions.items()}
        found.append(_Offer(one.student, "", scores, None))
    if others:
        room.result.problems.append(f"{name}: not asked what the notebook asks, so left out: {_named(others)}")
    return found


def _give(room: _Room, name: str, offers: Iterable[_Offer], known: Mapping[tuple[str, str], ClassroomScore]) -> None:
    """Enter the scores of students whom nbgrader has not graded; what a person has entered stays."""
    gradebook = room.gradebook
    theirs = {*room.folders(room.directory.submitted_directory, name)}
    theirs |= {*room.folders(room.directory.autograded_directory, name)}
    for offer in offers:
        student = room.ids.get(offer.student, offer.student)
        if student in theirs or offer.student in room.twice:
            continue
        try:
            submission = gradebook.find_submission(name, student)
        except MissingEntry:
            if all(score is None for score in offer.scores.values()):
                continue  # nothing to tell yet
            if offer.student not in room.ids:
                first, _, last = offer.name.rpartition(" ")
                about = {"first_name": first, "last_name": last}
                gradebook.add_student(student, **{key: value for key, value in about.items() if value})
                room.ids[offer.student] = student
            submission = gradebook.add_submission(name, student, timestamp=offer.received)
            for grade in _grades(submission):
                if grade.name in offer.scores:
                    grade.auto_score, grade.needs_manual_grade = None, True
        else:
            if not _is_ours(submission, offer, known.get((offer.student, name))):
                continue
        room.ours.add((offer.student, name))
        changed = False
        if offer.received is not None and submission.timestamp != offer.received:
            submission.timestamp, changed = offer.received, True
        for grade in _grades(submission):
            if grade.name not in offer.scores or grade.auto_score == offer.scores[grade.name]:
                continue
            grade.auto_score, changed = offer.scores[grade.name], True
            # as nbgrader does when it grades again: a mark by hand is to be looked at
            grade.needs_manual_grade = grade.auto_score is None or grade.manual_score is not None
        gradebook.db.commit()
        room.result.given += changed


def _is_ours(submission: Any, offer: _Offer, last: ClassroomScore | None) -> bool:
    """Say whether the automatic scores of a submission without folders are ours to set.

    They are where we set them before, where there are none (an extension was granted), or where they are the same.
    """
    if last is not None and last.outcome != NOT_SUBMITTED:
        return last.origin == GRADER
    scores = {grade.name: grade.auto_score for grade in _grades(submission)}
    return all(scores.get(name) in (None, score) for name, score in offer.scores.items())


def _grades(submission: Any) -> list[Any]:
    return [grade for notebook in submission.notebooks for grade in notebook.grades]


# --- from nbgrader to here ---------------------------------------------------------------------------------------


def _scores(room: _Room, name: str, known: Mapping[tuple[str, str], ClassroomScore]) -> Iterator[ClassroomScore]:
    """Yield what nbgrader's database says of every submission of an assignment."""
    theirs = room.folders(room.directory.submitted_directory, name)
    theirs |= room.folders(room.directory.autograded_directory, name)
    due = room.assignments[name].duedate
    worth = _worth(room, name)
    for submission in sorted(room.gradebook.assignment_submissions(name), key=lambda one: str(one.student_id)):
        student = student_id(submission.student_id)
        if student in room.twice:
            continue
        cells = tuple(
            Cell(grade.name, grade.auto_score, grade.manual_score, grade.extra_credit, worth.get(grade.name, 0.0))
            for grade in sorted(_grades(submission), key=lambda grade: str(grade.name))
        )
        penalty = sum(float(notebook.late_submission_penalty or 0.0) for notebook in submission.notebooks)
        extra = sum(cell.extra_credit or 0.0 for cell in cells)
        counted = [cell.automatic if cell.manual is None else cell.manual for cell in cells]
        before = known.get((student, name))
        submitted = submission.timestamp is not None or submission.student_id in theirs
        if all(score is None for score in counted):
            outcome = UNGRADED if submitted else NOT_SUBMITTED
        else:
            outcome = UNGRADED if any(score is None for score in counted) else GRADED
        ours = (student, name) in room.ours or (before is not None and before.origin == GRADER)
        yield ClassroomScore(
            student=student,
            assignment=name,
            origin=GRADER if ours and submission.student_id not in theirs else CLASSROOM,
            outcome=outcome,
            # as nbgrader's own export has it: extra credit counts before the penalty
            score=max(0.0, sum(score or 0.0 for score in counted) + extra - penalty),
            possible=sum(cell.possible for cell in cells),
            automatic=sum(cell.automatic or 0.0 for cell in cells),
            extra_credit=extra,
            late_penalty=penalty,
            to_review=any(grade.needs_manual_grade for grade in _grades(submission)),
            received=_iso(submission.timestamp),
            due=_iso(due),
            extension=submission.extension.total_seconds() if submission.extension is not None else None,
            cells=cells,
        )


def _waiting(room: _Room, name: str) -> None:
    """Tell whose work lies in `submitted` and is not graded, or was handed in again since."""
    graded = room.folders(room.directory.autograded_directory, name)
    new, again = [], []
    for student, folder in room.folders(room.directory.submitted_directory, name).items():
        if student not in graded:
            new.append(student)
        elif _stamp(room, folder) > _stamp(room, graded[student]):
            again.append(student)
    for what, students in (("handed in and not graded", new), ("handed in again since it was graded", again)):
        if students:
            room.result.waiting.append(f"{name}: {what}: {_named(students)} (nbgrader autograde {name})")


def _stamp(room: _Room, folder: Path) -> datetime:
    try:
        return room.directory.get_existing_timestamp(str(folder)) or datetime.min
    except (OSError, ValueError):
        return datetime.min


def _other_assignments(room: _Room, names: Sequence[str]) -> None:
    others = sorted(set(room.assignments) - set(names))
    if others:
        room.result.problems.append(f"not of this course, so left out: {_named(others)}")


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(safe_text(name, 60) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _moment(iso: str | None) -> datetime | None:
    """Return a moment as nbgrader keeps it: UTC, without saying so."""
    if iso is None:
        return None
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat(timespec="seconds")
