"""`grader nbgrader sync`: both gradebooks tell the same, nobody's marks are overwritten, and twice changes nothing."""

from __future__ import annotations

import csv
import datetime
import json
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalog import Course
from grader.errors import GraderError
from grader.gradebook.classroom import CLASSROOM, GRADED, GRADER, NOT_SUBMITTED, UNGRADED, ClassroomBook, ClassroomScore
from grader.quiz.asking import solution
from grader.quiz.offline import form_of, load_quiz
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version

from .conftest import TINY, TinyCourse
from .nbgrader_class import Classroom, environment, filled
from .quiz_banks import written

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here")

WRONG = "keeps_everything"
QUIZ = "quiz-final"
BANK: list[dict[str, Any]] = [
    {
        "id": f"count-{n}",
        "type": "numeric",
        "prompt": "Twice {{n}}?",
        "params": {"n": {"choice": [3, 5, 7, 11, 13]}},
        "variants": {"count": 5, "seed": 1},
        "answer": {"value": "2*n", "exact": True},
        "tags": ["lstm"],
        "level": "apply",
    }
    for n in range(3)
] + [
    {
        "id": "text",
        "type": "free",
        "prompt": "Why?",
        "model": "Because of the gate.",
        "grading": "instructor",
        "rubric": [{"id": "gate", "points": 1, "text": "Names the gate."}],
        "tags": ["training"],
    }
]


@dataclass(frozen=True)
class Both:
    """A classroom whose class was graded partly by nbgrader and partly by `grader grade`."""

    room: Classroom

    @property
    def ours(self) -> Path:
        """Return our gradebook."""
        return self.room.course.state / "gradebook.db"

    def sync(self) -> Any:
        """Synchronise, in this process."""
        from grader.exchange.nbgrader.sync import synchronise

        with environment(self.room.env):
            return synchronise(self.room.course, self.room.folder)

    def scores(self, assignment: str = TINY) -> dict[str, ClassroomScore]:
        """Return what our gradebook knows of nbgrader's."""
        with ClassroomBook.open(self.ours) as book:
            return book.scores_of(assignment)

    def dumps(self) -> tuple[list[str], list[str]]:
        """Return both databases as SQL, row for row."""
        return dump(self.ours), dump(self.room.folder / "gradebook.db")

    @contextmanager
    def theirs(self) -> Iterator[Any]:
        """Open nbgrader's gradebook."""
        from nbgrader.api import Gradebook

        with warnings.catch_warnings(), Gradebook(f"sqlite:///{self.room.folder / 'gradebook.db'}", "rnn") as gradebook:
            warnings.simplefilter("ignore")  # of nbgrader's own doing
            yield gradebook


def dump(path: Path) -> list[str]:
    """Return all that an SQLite database holds."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as raw:
        return list(raw.iterdump())


def form_file(course: Course, folder: Path, student: str, right: int, text: str | None) -> None:
    """Write a student's answers to the quiz, the first `right` numbers of them right."""
    form = form_of(course, load_quiz(course, "final"), student)
    answers: list[Any] = []
    for item in form.items:
        if item.question.type == "free":
            answers.append(text)
        else:
            answers.append(solution(item).response if right > 0 else "1000")
            right -= 1
    folder.mkdir(exist_ok=True)
    saved = {**form.header(), "answers": answers, "saved": "2026-03-02T10:00:00Z"}
    (folder / f"final-{student}.json").write_text(json.dumps(saved), encoding="utf-8")


@pytest.fixture(scope="module")
def _both(shared_tiny: TinyCourse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grade one class in both places."""
    top = tmp_path_factory.mktemp("nb-sync")
    shutil.copytree(shared_tiny.root, top / "course")
    (top / "course" / ".grader").rename(top / "state")
    quizzes = top / "course" / "solutions" / "quizzes"
    quizzes.mkdir()
    (quizzes / "final.yaml").write_text(written(BANK, "final"), encoding="utf-8")
    room = Classroom(top, Course(top / "course", top / "state"))
    roster = top / "roster.csv"
    roster.write_text("id,name\n" + "".join(f"s{n},Student {n}\n" for n in range(1, 7)), encoding="utf-8")
    room.lay(roster)
    assert room.here("generate_assignment", TINY) == 0
    assignment = room.course.assignment(TINY)
    released = room.released(assignment)
    for student, source in {"s1": shared_tiny.reference, "s2": shared_tiny.mutant(WRONG)}.items():
        room.hand_in(assignment, student, {assignment.notebook: filled(released, source)})
    assert room.here("autograde", TINY) == 0
    # s3 hands in and is not graded; s4 and a stranger are graded by `grader grade` alone, s1 by both
    room.hand_in(assignment, "s3", {assignment.notebook: filled(released, shared_tiny.reference)})
    shared_tiny.hand_in(top / "subs", {"s4": shared_tiny.mutant(WRONG), "guest": shared_tiny.reference})
    done = room.grader_here("grade", TINY, top / "subs", "--quiet")
    assert done.code == 0, done.err
    form_file(room.course, top / "answers", "s1", 3, "The gate.")
    form_file(room.course, top / "answers", "s5", 2, None)
    done = room.grader_here("quiz", "grade", "final", top / "answers")
    assert done.code == 3, done.err  # the text waits for a person
    return top


@pytest.fixture
def both(_both: Path, tmp_path: Path) -> Both:
    """A copy of that class, with marks by hand, an extension and a late penalty in nbgrader's gradebook."""
    for name in ("course", "state", "classroom", "home"):
        shutil.copytree(_both / name, tmp_path / name)
    room = Classroom(tmp_path, Course(tmp_path / "course", tmp_path / "state"))
    config = room.folder / "nbgrader_config.py"
    config.write_text(config.read_text(encoding="utf-8").replace(str(_both), str(tmp_path)), encoding="utf-8")
    made = Both(room)
    with made.theirs() as gradebook:
        gradebook.update_or_create_assignment(TINY, duedate=datetime.datetime(2026, 1, 1, 12))
        grades = gradebook.find_submission_notebook(TINY, TINY, "s2").grades
        grades[0].manual_score, grades[0].extra_credit = 7.0, 1.5
        gradebook.find_submission_notebook(TINY, TINY, "s1").late_submission_penalty = 12.5
        gradebook.grant_extension(TINY, "s1", hours=6)
        gradebook.add_submission(TINY, "s6")  # nothing handed in, but more time
        gradebook.grant_extension(TINY, "s6", days=1)
        gradebook.db.commit()
    return made


def exported(both: Both) -> dict[tuple[str, str], float]:
    """Return (student, assignment) -> final score, as nbgrader's own exporter tells it."""
    from nbgrader.plugins.export import CsvExportPlugin

    path = both.room.top / "export.csv"
    with both.theirs() as gradebook:
        CsvExportPlugin(to=str(path)).export(gradebook)
    with path.open(encoding="utf-8", newline="") as stream:
        return {(row["student_id"], row["assignment"]): float(row["score"]) for row in csv.DictReader(stream)}


def test_both_gradebooks_tell_the_same_and_twice_changes_nothing(both: Both) -> None:
    """Scores go both ways; the second run writes no row, in neither database."""
    assignment = both.room.course.assignment(TINY)
    with ClassroomBook.open(both.ours) as book:
        earned = {report.student: report.earned for report in book.latest(TINY)}
    result = both.sync()
    assert result.problems == []
    assert result.waiting == [f"{TINY}: handed in and not graded: s3 (nbgrader autograde {TINY})"]
    after = both.dumps()
    again = both.sync()
    assert (again.taken, again.given) == ([], 0)
    assert both.dumps() == after

    found = both.scores()
    assert set(found) == {"s1", "s2", "s4", "s6", "guest"}
    late, hand, attempt, absent = found["s1"], found["s2"], found["s4"], found["s6"]
    assert (late.score, late.late_penalty, late.extension, late.origin) == (87.5, 12.5, 6 * 3600, CLASSROOM)
    assert (late.received, late.due) == ("2026-01-05T12:00:00+00:00", "2026-01-01T12:00:00+00:00")
    by_machine = sum(cell.automatic or 0.0 for cell in hand.cells if cell.manual is None)
    assert hand.by_hand
    assert hand.score == pytest.approx(7.0 + 1.5 + by_machine)
    assert hand.automatic == pytest.approx(earned["s2"])
    assert (attempt.score, attempt.origin, attempt.outcome) == (earned["s4"], GRADER, GRADED)
    assert 0 < earned["s4"] < assignment.points
    assert (absent.outcome, absent.extension) == (NOT_SUBMITTED, 86400.0)
    assert found["guest"].score == assignment.points
    # nbgrader tells the very same, quiz included
    there = exported(both)
    for student, score in found.items():
        assert there[student, TINY] == pytest.approx(score.score)
    assert there["s1", QUIZ] == 0.0  # the text is not marked, so nothing went there
    assert there["s5", QUIZ] == 2.0
    quiz = both.scores(QUIZ)
    assert set(quiz) == {"s5"}
    assert (quiz["s5"].score, quiz["s5"].possible, quiz["s5"].origin) == (2.0, 4.0, GRADER)


def test_news_on_either_side_arrive_and_nothing_by_hand_is_lost(both: Both, shared_tiny: TinyCourse) -> None:
    """A new attempt, a judged text, a mark by hand on what we brought, and a removed submission."""
    both.sync()
    with both.theirs() as gradebook:
        grades = gradebook.find_submission_notebook(TINY, TINY, "s4").grades
        grades[0].manual_score = 3.0
        gradebook.remove_submission(TINY, "guest")
        gradebook.find_submission_notebook(QUIZ, QUIZ, "s5").grades[0].extra_credit = 0.5
        gradebook.db.commit()
    subs = shared_tiny.hand_in(both.room.top / "later", {"s4": shared_tiny.reference, "s2": shared_tiny.reference})
    assert both.room.grader_here("grade", TINY, subs, "--quiet").code == 0
    sheet = both.room.top / "sheet.csv"
    sheet.write_text("student,question,point,points\ns1,text,gate,1\n", encoding="utf-8")
    assert both.room.grader_here("quiz", "grade", "final", "--rubric", sheet).code == 0

    said = both.room.grader("nbgrader", "sync", "--dir", both.room.folder)
    assert said.code == 0, said.err
    found = both.scores()
    cells = {cell.name: cell for cell in found["s4"].cells}
    assert sum(cell.automatic or 0.0 for cell in cells.values()) == 100.0
    assert [cell.manual for cell in cells.values() if cell.manual is not None] == [3.0]
    assert found["s4"].to_review
    # what nbgrader has graded stays, although we have graded another file since
    assert found["s2"].by_hand
    assert found["s2"].automatic < 100.0
    # removed there, brought there again: it is our attempt, and there is no other
    assert found["guest"].origin == GRADER
    assert both.scores(QUIZ)["s5"].score == 2.5
    assert both.scores(QUIZ)["s1"].score == 4.0
    after = both.dumps()
    assert both.sync().taken == []
    assert both.dumps() == after
    marks = both.room.top / "marks.csv"
    assert both.room.grader_here("quiz", "grade", "final", "--csv", marks).code in (0, 3)
    with marks.open(encoding="utf-8", newline="") as stream:
        by_student = {row["student"]: row for row in csv.DictReader(stream)}
    assert (by_student["s5"]["final"], by_student["s5"]["extra_credit"]) == ("2.5", "0.5")
    # the instructor's view of a student, and the class as CSV
    shown = both.room.grader_here("show", TINY, "s4")
    assert "nbgrader: " in shown.out
    assert "marks by hand" in shown.out
    table = both.room.top / "class.csv"
    assert both.room.grader_here("grade", TINY, subs, "--quiet", "--csv", table).code == 0
    with table.open(encoding="utf-8", newline="") as stream:
        rows = {row["student"]: row for row in csv.DictReader(stream)}
    assert float(rows["s4"]["final"]) == found["s4"].score
    assert float(rows["s4"]["earned"]) == 100.0
    assert rows["s4"]["by_hand"] == "yes"


def test_stopped_between_the_two_databases_it_ends_the_same(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nbgrader has got already is known again as ours, and follows a new attempt later."""
    monkeypatch.setattr(ClassroomBook, "record_scores", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        both.sync()
    half = both.room.everything()
    monkeypatch.undo()
    assert both.scores() == {}
    again = both.sync()
    assert (again.given, both.room.everything()) == (0, half)
    origins = {student: score.origin for student, score in both.scores().items()}
    assert origins == dict.fromkeys(("s1", "s2", "s6"), CLASSROOM) | dict.fromkeys(("s4", "guest"), GRADER)
    assert both.sync().taken == []


def test_what_is_not_graded_or_not_ours_is_told_and_left(both: Both, shared_tiny: TinyCourse) -> None:
    """One line each: practice grades, an unknown assignment, a quiz's name taken, a bank that is gone, odd twins."""
    subs = shared_tiny.hand_in(both.room.top / "practice", {"s5": shared_tiny.reference})
    assert both.room.grader_here("grade", TINY, subs, "--quiet", "--tier", "0").code == 0
    with both.theirs() as gradebook:
        gradebook.add_assignment("essay")
        gradebook.add_assignment(QUIZ)
        gradebook.add_student("s4 ")
        for grade in gradebook.find_submission_notebook(TINY, TINY, "s1").grades:
            grade.auto_score, grade.needs_manual_grade = None, True
        gradebook.db.commit()
    (both.room.folder / "submitted" / "s2" / TINY / "timestamp.txt").write_text("2026-01-06 12:00:00 UTC")
    result = both.sync()
    assert sorted(result.problems) == [
        "`s4` and `s4 ` are one student here, so both are left out",
        f"{TINY}: graded without a sandbox (tier 0), so not brought to nbgrader: s5",
        "not of this course, so left out: essay",
        f"{QUIZ}: nbgrader has another assignment of this name, so the quiz is left out",
    ]
    assert f"{TINY}: handed in again since it was graded: s2 (nbgrader autograde {TINY})" in result.waiting
    assert both.scores()["s1"].outcome == UNGRADED
    assert {"s4", "s5"}.isdisjoint(both.scores())
    (both.room.course.root / "solutions" / "quizzes" / "final.yaml").unlink()
    with both.theirs() as gradebook:
        gradebook.remove_assignment(TINY)
    lines = both.sync().problems
    assert any(line.startswith("the quiz final is left out: there is no quiz `final`") for line in lines)
    assert any(line.startswith(f"{TINY}: 4 graded here, but nbgrader does not know it yet") for line in lines)
    assert both.scores() == {}
    assert not any("\n" in line for line in lines)


def test_a_locked_database_is_one_line(both: Both, capfd: pytest.CaptureFixture[str]) -> None:
    """Somebody else writes to nbgrader's database: nothing is half brought, and the next run brings it."""
    before = both.dumps()
    other = sqlite3.connect(both.room.folder / "gradebook.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GraderError, match="locked") as caught:
        both.sync()
    other.execute("ROLLBACK")
    other.close()
    assert "\n" not in str(caught.value)
    assert "Traceback" not in "".join(capfd.readouterr())
    assert both.dumps() == before
    assert both.sync().given == 3


def test_a_database_that_is_none_is_one_line(both: Both) -> None:
    """No database, another program's, a damaged one, a server that is not there: nothing is laid in any of them."""
    place = both.room.folder / "gradebook.db"
    place.unlink()
    with pytest.raises(GraderError, match="there is no such database"):
        both.sync()
    with sqlite3.connect(place) as raw:
        raw.execute("CREATE TABLE recipes (name TEXT)")
    before = dump(place)
    with pytest.raises(GraderError, match="no database of nbgrader's"):
        both.sync()
    assert dump(place) == before
    place.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(GraderError, match="damaged"):
        both.sync()
    config = both.room.folder / "nbgrader_config.py"
    with config.open("a", encoding="utf-8") as stream:
        stream.write('c.CourseDirectory.db_url = "postgresql+psycopg://someone:sesame@127.0.0.1:1/book"\n')
    with pytest.raises(GraderError, match="cannot be reached") as caught:
        both.sync()
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
