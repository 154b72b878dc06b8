"""A quiz as a notebook in nbgrader: source notebook, marking of what was handed in, and what students are told.

The marks are kept in the course's gradebook as those of a form are: statistics, sheets for marks by hand and
`grader quiz grade` know them too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.course.catalog import Course
from grader.errors import GraderError, SubmissionError
from grader.exchange.nbgrader.handed_in import LINK_TEXT, NotebookCell, read_notebook_cells
from grader.exchange.nbgrader.rebuild import OfficialCell, rebuild
from grader.exchange.nbgrader.run import Run
from grader.exchange.nbgrader.source import grade_ids
from grader.gradebook.classroom import quiz_name
from grader.quiz import marks
from grader.quiz.asking import items
from grader.quiz.loading import bank_paths
from grader.quiz.model import Bank, Item, Mark, Response, Status
from grader.quiz.notebook import ANSWER, MARKED, item_of_cell, nbgrader_notebook, read_cell, secret_seed
from grader.quiz.offline import Returned, whole_bank
from grader.quiz.returned import UNREADABLE, Marked, Result, mark_returned
from grader.quiz.running import CodeBox
from grader.reports.quiz_results import outcome
from grader.reports.text import markdown_prose
from grader.reports.text import points as as_points
from grader.submissions.limits import MAX_NOTEBOOK_BYTES
from grader.submissions.reading import Folder, Refused, Unreadable
from grader.submissions.text import safe_text, student_id

KIND = "notebook"  # in the id of the form that a notebook stands for


def graded_quizzes(course: Course) -> list[str]:
    """Return nbgrader's names of the quizzes whose notebooks a course folder gets: the graded banks."""
    return [quiz_name(bank) for bank, (_, graded) in bank_paths(course).items() if graded]


def bank_named(course: Course, name: str) -> str | None:
    """Return the bank of the quiz that nbgrader calls `name`, None where there is none."""
    return next((bank for bank in bank_paths(course) if quiz_name(bank) == name), None)


def quiz_files(course: Course, bank: Bank) -> dict[str, bytes]:
    """Return what lies in the source folder of a quiz, by name; raise CourseError. There is no key in it."""
    drawn = items(bank, secret_seed(course, bank, 0))
    return {f"{quiz_name(bank.id)}.ipynb": nbgrader_notebook(bank, drawn).encode()}


@dataclass(frozen=True)
class QuizSubject:
    """A bank that is asked as a notebook."""

    course: Course
    bank: Bank

    @property
    def id(self) -> str:
        """Return nbgrader's name of the quiz."""
        return quiz_name(self.bank.id)

    @property
    def notebook(self) -> str:
        """Return the notebook's file name."""
        return f"{self.id}.ipynb"

    @property
    def module(self) -> str | None:
        """Return None: a quiz has no module."""
        return None

    def order(self) -> Sequence[str]:
        """Return the grade_ids of the source notebook, in order."""
        (content,) = quiz_files(self.course, self.bank).values()
        return grade_ids(content)

    def grade(
        self, folders: Mapping[str, Path], official: Sequence[OfficialCell], gradebook: Path | str, run: Run
    ) -> dict[str, QuizWork]:
        """Mark the notebooks of a class into our gradebook, code in the sandbox; raise GraderError.

        Marks come in milliseconds: one process does it, whatever `run.jobs` says.
        """
        from grader.gradebook.quizzes import QuizBook

        asked = {cell.grade_id: item_of_cell(self.bank, cell.grade_id) for cell in official if _carries_points(cell)}
        if not asked:
            raise GraderError(
                f"{self.id} in nbgrader's database is no notebook of this quiz",
                advice=f"Run `grader nbgrader build {self.id}` and `nbgrader generate_assignment {self.id} --force`",
            )
        quiz = whole_bank(self.bank)
        run.on_start(len(folders), 0)
        done = {}
        with QuizBook.open(gradebook) as book, CodeBox(run.tier) as box:
            for student, folder in folders.items():
                cells, sha256, problem = _read(folder, self.notebook)
                if problem is not None and sha256 is None:
                    result = Result(student_id(student), self.bank.id, "", (), finished=False)
                else:
                    given = _returned(self.bank, student, folder, asked, official, cells, sha256 or "", problem)
                    result = mark_returned(quiz, given, book, box, replace_old=True)
                by_cell = {
                    cell: place
                    for cell, item in asked.items()
                    for place in result.places
                    if place.item.question.id == item.question.id
                }
                done[student] = QuizWork(self.bank, cells, sha256 or "", result, by_cell, frozenset(asked), problem)
                run.on_report(result)
        return done


@dataclass(frozen=True)
class QuizWork:
    """One student's marked notebook; `places` holds the marks by grade cell."""

    bank: Bank
    cells: tuple[NotebookCell, ...] | None
    sha256: str
    result: Result
    places: Mapping[str, Marked]
    asked: frozenset[str]
    problem: str | None

    @property
    def told(self) -> Result:
        """Return the result."""
        return self.result

    @property
    def stamp(self) -> Mapping[str, str]:
        """Return what was marked, a hash of the marks, and the outcome."""
        told = json.dumps(self.result.as_dict(), sort_keys=True, ensure_ascii=True)
        open_ = len(self.places) < len(self.asked) or bool(self.result.waiting)
        return {
            "submission": self.sha256,
            "fingerprint": hashlib.sha256(told.encode()).hexdigest(),
            "seed_id": self.result.form,
            "outcome": "ungraded" if open_ else "graded",
        }

    def grades(self, grade_id: str) -> bool:
        """Say whether it is the cell of a question."""
        return grade_id in self.asked

    def score(self, grade_id: str, worth: float) -> float | None:
        """Return what the answer earned; None while it waits for a person, or could not be marked."""
        place = self.places.get(grade_id)
        return None if place is None or place.mark.status is Status.UNDECIDED else place.mark.score * worth

    def outputs(self, grade_id: str) -> list[dict[str, Any]]:
        """Return what became of the answer, in words."""
        place = self.places.get(grade_id)
        if place is None or place.ungraded:
            text = "**Not marked yet**, for a reason on our side. This is not a zero."
        elif place.to_judge:
            text = "Your text will be read by a person."
        else:
            text = "\n\n".join([f"**{outcome(place).capitalize()}**", *place.mark.feedback])
        plain = "not marked yet" if place is None else outcome(place)
        return [
            {
                "output_type": "display_data",
                "metadata": {},
                "data": {"text/plain": plain, "text/markdown": text},
            }
        ]

    def summary(self, notes: Sequence[str]) -> dict[str, Any]:
        """Return how many answers are right, and what was not as handed out."""
        lines = [f"# {self.bank.title}: your marks", ""]
        if self.problem is not None:
            lines += [f"The notebook cannot be read: {markdown_prose(self.problem, 300)}.", ""]
        if self.places:
            right = sum(place.mark.status is Status.RIGHT for place in self.places.values())
            partly = sum(place.mark.status is Status.PARTIAL for place in self.places.values())
            lines.append(f"{right} of {len(self.asked)} answers are right" + (f", {partly} partly." if partly else "."))
        if self.result.waiting:
            lines += ["", f"{as_points(len(self.result.waiting))} of your answers are not marked yet."]
        if notes:
            lines += ["", "The notebook was not as it was handed out:", ""]
            lines += [f"- {markdown_prose(note, 300)}" for note in notes]
        return {
            "cell_type": "markdown",
            "metadata": {"unrolled": {"feedback": True}, "deletable": False, "editable": False},
            "source": "\n".join(lines),
        }


def _carries_points(cell: OfficialCell) -> bool:
    return cell.points is not None and cell.grade_id.startswith(f"{MARKED}-")


def _read(folder: Path, name: str) -> tuple[tuple[NotebookCell, ...] | None, str | None, str | None]:
    """Return the cells of the notebook, the hash of the file, and why either is not there."""
    try:
        with Folder(folder) as opened, opened.file(name, MAX_NOTEBOOK_BYTES) as file:
            content = file.read()
    except (Refused, Unreadable) as error:
        return None, None, str(error)
    sha256 = hashlib.sha256(content).hexdigest()
    if content == LINK_TEXT.encode():
        return None, sha256, "what was handed in is a symbolic link, which is not followed"
    try:
        return read_notebook_cells(content), sha256, None
    except SubmissionError as error:
        return None, sha256, error.what


def _returned(
    bank: Bank,
    student: str,
    folder: Path,
    asked: Mapping[str, Item],
    official: Sequence[OfficialCell],
    cells: tuple[NotebookCell, ...] | None,
    sha256: str,
    problem: str | None,
) -> Returned:
    """Return the answers of a notebook as those of a form: read from the cells as they will be shown, never run."""
    sources: dict[str, str] = {}
    for cell in rebuild(official, cells).cells if cells is not None else ():
        grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if grade_id.startswith(f"{ANSWER}-"):
            sources[grade_id.removeprefix(f"{ANSWER}-")] = cell["source"]
    answers: list[Response] = []
    refused: dict[int, Mark] = {}
    for position, (cell_id, item) in enumerate(asked.items()):
        if cells is None:
            answers.append(None)
            refused[position] = marks.wrong(UNREADABLE, f"The notebook cannot be read: {safe_text(problem or '', 300)}")
            continue
        name = cell_id.removeprefix(f"{MARKED}-")
        response, no_answer = read_cell(item, [sources[name]] if name in sources else [])
        answers.append(response)
        if no_answer is not None:
            refused[position] = no_answer
    ours = student_id(student)
    # the same file may be handed in by two students, and another edition of the quiz asks other variants
    form = hashlib.sha256(f"{KIND}\0{bank.id}\0{ours}".encode()).hexdigest()[:32]
    edition = hashlib.sha256("\0".join([sha256, *asked]).encode()).hexdigest()
    return Returned(folder, ours, form, KIND, tuple(asked.values()), tuple(answers), edition, refused)
