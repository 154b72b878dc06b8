"""A graded quiz as an assignment of nbgrader: written, released, handed in, marked, told, by its own commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalog import Course
from grader.gradebook.quizzes import QuizBook
from grader.quiz.asking import solution
from grader.quiz.loading import load_bank
from grader.quiz.model import Bank, Item
from grader.quiz.notebook import ANSWER, MARKED, item_of_cell
from grader.quiz.offline import form_of, load_quiz
from grader.quiz.returned import current_results
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version

from .nbgrader_class import Classroom, text_of
from .quiz_web import key_fragments

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here")

ROOT = Path(__file__).resolve().parents[1]
BANK, QUIZ = "exam1", "quiz-exam1"
NOTEBOOK = f"{QUIZ}.ipynb"
Book = dict[str, Any]


def grade_id(cell: dict[str, Any]) -> str:
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


@dataclass
class Taken:
    """A classroom in which the quiz is released, and how its notebook is filled in."""

    room: Classroom
    bank: Bank
    released: str

    @property
    def items(self) -> dict[str, Item]:
        """Return the items by the ids of the cells with their points."""
        ids = [grade_id(cell) for cell in json.loads(self.released)["cells"]]
        return {one: item_of_cell(self.bank, one) for one in ids if one.startswith(MARKED)}

    def filled(self, right: int) -> Book:
        """Return the notebook with the first `right` answers right, the others untouched."""
        book: Book = json.loads(self.released)
        answers = [cell for cell in book["cells"] if grade_id(cell).startswith(ANSWER)]
        for number, (cell, item) in enumerate(zip(answers[:right], self.items.values(), strict=False), 1):
            response: Any = solution(item).response
            literal = response["text"] if item.question.type == "free" else response
            cell["source"] = f"answer_{number} = {literal!r}\n"
        return book

    def hand_in(self, student: str, content: Book | bytes) -> Path:
        """Put a notebook where `nbgrader collect` puts it."""
        place = self.room.folder / "submitted" / student / QUIZ
        place.mkdir(parents=True, exist_ok=True)
        (place / NOTEBOOK).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        (place / "timestamp.txt").write_text("2026-01-05 12:00:00.000000 UTC", encoding="utf-8")
        return place

    def scores(self) -> dict[str, dict[str, tuple[float | None, float | None, bool]]]:
        """Return what nbgrader's database says, by student and cell."""
        return self.room.scores(Named(QUIZ))  # type: ignore[arg-type]

    def earned(self, student: str) -> float:
        """Return what a student has so far."""
        return sum(auto or 0.0 for auto, _, _ in self.scores()[student].values())


@dataclass(frozen=True)
class Named:
    """What stands for an assignment where only its id is asked."""

    id: str


def reordered(taken: Taken) -> Book:
    """Everything a student may tamper with outside the answers."""
    book = taken.filled(99)
    book["cells"].reverse()
    for cell in book["cells"]:
        if grade_id(cell).startswith(MARKED):
            cell["metadata"]["nbgrader"]["points"] = 100.0
            cell["source"] = "print('1000')"
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1000"}]
    book["metadata"]["kernelspec"] = {"name": "bash", "display_name": "x", "language": "bash"}
    return book


def without_metadata(taken: Taken) -> Book:
    book = taken.filled(99)
    for cell in book["cells"]:
        cell["metadata"] = {}
    return book


def as_text(taken: Taken) -> Book:
    book = taken.filled(99)
    for cell in book["cells"]:
        if grade_id(cell).startswith(ANSWER):
            cell["cell_type"] = "markdown"
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    return book


def twice(taken: Taken) -> Book:
    """The answers, and later cells of the same ids that say otherwise."""
    book = taken.filled(99)
    others = [json.loads(json.dumps(cell)) for cell in book["cells"] if grade_id(cell).startswith(ANSWER)]
    for number, cell in enumerate(others, 1):
        cell["source"], cell["id"] = f"answer_{number} = ...\n", f"again-{number}"
    book["cells"] += others
    return book


def computed(taken: Taken) -> Book:
    book = taken.filled(99)
    for cell in book["cells"]:
        if grade_id(cell).startswith(ANSWER):
            cell["source"] = f"{cell['source']}import os\nos.system('touch /tmp/executed-by-a-quiz')\n"
    return book


def only_points(taken: Taken) -> Book:
    """No answers at all, and cells of questions that nobody asked."""
    book = taken.filled(0)
    book["cells"] = [cell for cell in book["cells"] if grade_id(cell).startswith(MARKED)]
    for cell in book["cells"]:
        cell["metadata"]["nbgrader"]["grade_id"] = "mark-gru-saves--v0"
    return book


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """A class that has handed in and was marked by `grader nbgrader autograde`."""
    top = tmp_path_factory.mktemp("nb-quiz")
    room = Classroom(top, Course(ROOT, top / "state"))
    room.lay()
    assert room.here("generate_assignment", QUIZ) == 0
    released = (room.folder / "release" / QUIZ / NOTEBOOK).read_text(encoding="utf-8")
    made = Taken(room, load_bank(room.course, BANK), released)
    made.hand_in("all", made.filled(99))
    made.hand_in("ten", made.filled(10))
    made.hand_in("none", made.filled(0))
    hostile: dict[str, Callable[[Taken], Book]] = {
        "reordered": reordered,
        "bare": without_metadata,
        "text": as_text,
        "twice": twice,
        "computed": computed,
        "points": only_points,
    }
    for student, change in hostile.items():
        made.hand_in(student, change(made))
    made.hand_in("broken", b"{ no notebook")
    place = made.hand_in("link", b"")
    (place / NOTEBOOK).unlink()
    (place / NOTEBOOK).symlink_to(top / "classroom" / "submitted" / "all" / QUIZ / NOTEBOOK)
    done = room.grader("nbgrader", "autograde", QUIZ, "--dir", room.folder)
    assert done.code == 3, done.err  # texts wait for a person
    assert "explain-two: needs marking" in done.out
    return made


def waiting(taken: Taken) -> set[str]:
    """Return the students who have written the text; whether it is among the first ten depends on the secret."""
    among = any(item.question.type == "free" for item in list(taken.items.values())[:10])
    return {"all", "reordered", "bare", "text"} | ({"ten"} if among else set())


def test_the_released_notebook_asks_every_question_and_holds_no_key(taken: Taken) -> None:
    assert [item.question.id for item in taken.items.values()] != [q.id for q in taken.bank.questions]  # shuffled
    assert {item.question.id for item in taken.items.values()} == {q.id for q in taken.bank.questions}
    for item in taken.items.values():
        assert [word for word in key_fragments(item) if word in taken.released] == [], item.name
    assert "BEGIN SOLUTION" not in taken.released


def test_scores_are_those_of_the_answers_whatever_else_is_in_the_notebook(taken: Taken) -> None:
    texts = sum(item.question.type == "free" for item in taken.items.values())
    assert texts == 1
    most = len(taken.items) - texts
    first = list(taken.items.values())[:10]
    expected = {
        "all": most,
        "ten": sum(item.question.type != "free" for item in first),
        "none": 0,
        "reordered": most,
        "bare": most,
        "text": most,
        "twice": 0,
        "computed": 0,
        "points": 0,
        "broken": 0,
        "link": 0,
    }
    assert {student: taken.earned(student) for student in expected} == expected
    for student, cells in taken.scores().items():
        assert set(cells) == set(taken.items), student
        for cell, (auto, by_hand, needs) in cells.items():
            waits = taken.items[cell].question.type == "free" and student in waiting(taken)
            assert (auto is None, by_hand, needs) == (waits, None, waits), (student, cell)
    assert not Path("/tmp/executed-by-a-quiz").exists()


def test_our_gradebook_has_the_marks_for_statistics_and_for_people(taken: Taken) -> None:
    course = taken.room.course
    with QuizBook.open(course.state / "gradebook.db") as book:
        results = {one.student: one for one in current_results(book, load_quiz(course, BANK))}
    assert {student: one.earned for student, one in results.items()} == {
        student: taken.earned(student) for student in taken.scores()
    }
    told = taken.room.grader_here("quiz", "stats", BANK)
    assert told.code == 0
    assert "not enough data" in told.out


def test_what_students_read(taken: Taken) -> None:
    room = taken.room
    room.here("generate_feedback", QUIZ)  # those with a text that nobody has read get no page yet
    pages = {path.parts[-3]: path.read_text(encoding="utf-8") for path in room.folder.glob(f"feedback/*/{QUIZ}/*.html")}
    assert set(pages) == set(taken.scores()) - waiting(taken)
    assert "An answer cell holds answer = ... with a literal, and nothing else." in text_of(pages["computed"])
    assert "The notebook cannot be read" in text_of(pages["broken"])
    assert "symbolic link" in text_of(pages["link"])
    assert "0 of 28 answers are right" in text_of(pages["none"])
    for page in (pages[student] for student in ("none", "points", "broken", "link")):  # who wrote no key
        for item in taken.items.values():
            assert [word for word in key_fragments(item) if word in page] == [], item.name


def test_again_by_nbgrader_itself_nothing_changes(taken: Taken) -> None:
    before = taken.room.everything()
    assert taken.room.here("autograde", QUIZ) == 0
    assert taken.room.everything() == before


def test_a_person_reads_the_text_and_the_mark_arrives(taken: Taken) -> None:
    room = taken.room
    sheet = room.top / "sheet.csv"
    room.grader_here("quiz", "grade", BANK, "--sheet", sheet)
    lines = sheet.read_text(encoding="utf-8-sig").splitlines()
    at = lines[0].split(",").index("points")
    rows = [line.split(",") for line in lines]
    judged = [",".join([*row[:at], "1", *row[at + 1 :]]) if row[0] == "all" else ",".join(row) for row in rows[1:]]
    sheet.write_text("\n".join([lines[0], *judged]) + "\n", encoding="utf-8")
    room.grader_here("quiz", "grade", BANK, "--rubric", sheet)
    assert room.grader_here("nbgrader", "autograde", QUIZ, "--dir", room.folder).code == 3  # the others wait
    (cell,) = [cell for cell, item in taken.items.items() if item.question.type == "free"]
    auto, _, needs = taken.scores()["all"][cell]
    assert auto is not None
    assert 0 < auto < 1
    assert not needs
    # handed in again: the new work counts, the old stays in our gradebook
    taken.hand_in("ten", taken.filled(5))
    assert room.grader_here("nbgrader", "autograde", QUIZ, "--dir", room.folder).code == 3
    assert taken.earned("ten") <= 5


def test_forms_of_others_go_into_the_cells_by_question(taken: Taken) -> None:
    """Who filled in a form instead gets the marks into the same cells; the notebooks of others are left."""
    room = taken.room
    form = form_of(room.course, load_quiz(room.course, BANK), "onpaper")
    right = {item.question.id for item in form.items[:6] if item.question.type != "free"}
    answers = [solution(item).response if item.question.id in right else None for item in form.items]
    (room.top / "answers").mkdir()
    saved = {**form.header(), "answers": answers, "saved": "2026-03-02T10:00:00Z"}
    (room.top / "answers" / "exam1-onpaper.json").write_text(json.dumps(saved), encoding="utf-8")
    room.grader_here("quiz", "grade", BANK, room.top / "answers")
    before = {student: cells for student, cells in taken.scores().items() if student != "onpaper"}
    done = room.grader_here("nbgrader", "sync", "--dir", room.folder)
    assert "left out" not in done.err
    assert "Traceback" not in done.err
    after = taken.scores()
    told = {taken.items[cell].question.id: auto for cell, (auto, _, _) in after.pop("onpaper").items()}
    assert {question for question, auto in told.items() if auto == 1.0} == right
    assert sum(auto or 0.0 for auto in told.values()) == len(right)
    assert after == before
    assert "Both gradebooks tell the same already" in room.grader_here("nbgrader", "sync", "--dir", room.folder).out


def test_bad_names_are_one_line(taken: Taken) -> None:
    room = taken.room
    for arguments, words in (
        (("build", "quiz-exam9", "--into", room.folder), "quiz-exam9"),
        (("autograde", "quiz-exam9", "--dir", room.folder), "quiz-exam9"),
        (("autograde", "quiz-gates", "--dir", room.folder), "nobody has handed in"),
    ):
        done = room.grader_here("nbgrader", *arguments)
        assert done.code == 1
        assert words in done.err
        assert done.err.count("\n") == 1, done.err
