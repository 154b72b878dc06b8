"""What the banks cover: every item of the sources is marked by something, and the page that says so is up to date."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from grader.cli.main import run
from grader.course.catalog import Course, find_course
from grader.errors import CourseError
from grader.quiz.coverage import Coverage, coverage, gaps, is_current, load_sources, table, table_path
from grader.quiz.kinds import type_names

from .quiz_banks import written

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def found() -> Coverage:
    return coverage(find_course(ROOT))


# --- this course ----------------------------------------------------------------------------------------------------


def test_nothing_of_the_sources_is_left_out(found: Coverage) -> None:
    assert gaps(found) == []


def test_page_is_current(found: Coverage) -> None:
    assert is_current(find_course(ROOT), found), "run `grader quiz coverage`"


def test_page_says_at_once_that_it_is_generated() -> None:
    first = table_path(find_course(ROOT)).read_text(encoding="utf-8").splitlines()[0]
    assert re.search(r"\bgenerated\b", first, re.IGNORECASE)


def test_all_that_the_page_names_exists(found: Coverage) -> None:
    page = table_path(find_course(ROOT)).read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_-]+/[a-z0-9_-]+)`", page))
    questions = {question.name for bank in found.banks for question in bank.questions}
    parts = {f"{one.id}/{part.id}" for one in find_course(ROOT).assignments() for part in one.parts}
    assert named - questions - parts == set()
    assert len(named & questions) == len(questions)


def test_sources_are_all_there(found: Coverage) -> None:
    """Twenty questions, eighteen exercises, thirteen cards, a lesson of 39 items, twelve interview questions."""
    count = dict.fromkeys(found.sources.titles, 0)
    for item in found.sources.items:
        count[item.document] += 1
    assert count == {"000": 20, "001": 18, "002": 13, "003": 39, "004": 12}


def test_banks_are_large_and_varied(found: Coverage) -> None:
    questions = [question for bank in found.banks for question in bank.questions]
    assert len(questions) >= 160
    assert sum(bool(question.spec.params) for question in questions) >= len(questions) / 3
    assert {question.type for question in questions} == set(type_names())


def test_every_exercise_has_a_question_of_its_own(found: Coverage) -> None:
    """An assignment alone would do for the table; the exercises have both."""
    exercises = [item.name for item in found.sources.items if item.document == "001"]
    assert [name for name in exercises if name not in found.marked] == []


# --- another course -------------------------------------------------------------------------------------------------

SOURCES = {
    "schema": "quizsources/1",
    "documents": {"900": {"title": "A book | two", "items": {"A1": "One | half", "A2": "Two", "A3": "Three"}}},
    "covers": {"bptt/step": ["900/A3"]},
}
QUESTIONS = [
    {"id": "two", "type": "numeric", "source": ["900/A1"], "answer": {"value": 2, "exact": True}},
    {"id": "why", "type": "free", "source": ["900/A2"], "grading": "self", "model": "So.",
     "rubric": [{"id": "r", "points": 1, "text": "Says so."}]},
]  # fmt: skip


def course(folder: Path, sources: object = SOURCES, questions: object = QUESTIONS) -> Course:
    """Return a course with one assignment, one bank and a list of sources."""
    shutil.copytree(ROOT / "assignments" / "bptt", folder / "assignments" / "bptt")
    (folder / "quizzes").mkdir()
    (folder / "quizzes" / "bank.yaml").write_text(written(questions), encoding="utf-8")  # type: ignore[arg-type]
    (folder / "quizzes" / "sources.yaml").write_text(yaml.safe_dump(sources, sort_keys=False), encoding="utf-8")
    return find_course(folder)


def test_item_that_only_people_judge_is_a_gap(tmp_path: Path) -> None:
    found = coverage(course(tmp_path))
    assert gaps(found) == ["900/A2: no question and no assignment marks it (Two)"]
    rows = [line for line in table(found).splitlines() if re.match(r"\| A\d ", line)]
    assert rows == [
        "| A1 | One \\| half | `bank/two` | - |",
        "| A2 | Two | (`bank/why`) | - |",
        "| A3 | Three | - | `bptt/step` |",
    ]


def test_question_about_an_item_that_is_not_listed_is_a_gap(tmp_path: Path) -> None:
    one = [{**QUESTIONS[0], "source": ["900/A1", "900/A2", "900/A9"]}]
    assert gaps(coverage(course(tmp_path, questions=one))) == ["bank/two: sources.yaml lists no item 900/A9"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "quizsources/2"}, "quizsources/1"),
        ({"covers": {"bptt/stepp": ["900/A3"]}}, "no part `bptt/stepp`"),
        ({"covers": {"bptt/step": ["900/A7"]}}, "no source has the item `900/A7`"),
        ({"covers": {"bptt/step": "900/A3"}}, "must be a list"),
        ({"documents": {"900": {"title": "A book"}}}, "items"),
    ],
)
def test_mistake_in_the_list_is_told_with_its_place(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(CourseError) as told:
        load_sources(course(tmp_path, {**SOURCES, **change}))
    assert said in str(told.value)
    assert re.search(r"sources\.yaml:\d+:\d+: ", str(told.value))


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(list(arguments))
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_command_writes_the_page_and_checks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course(tmp_path)
    at = ("--course", str(tmp_path), "quiz", "coverage")
    assert call(*at, "--check") == 1
    assert not (tmp_path / "docs").exists()
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("900/A2: ")
    assert "docs/coverage.md" in told[1]
    assert len(told) == 2
    assert call(*at) == 0
    assert "3 items, 1 gap" in capsys.readouterr().out
    assert call(*at, "--check") == 1  # the gap is still there, the page is not told any more
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_check_is_silent_when_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course(tmp_path, {**SOURCES, "covers": {"bptt/step": ["900/A3", "900/A2"]}})
    at = ("--course", str(tmp_path), "quiz", "coverage")
    assert call(*at) == 0
    capsys.readouterr()
    assert call(*at, "--check") == 0
    assert capsys.readouterr().out == ""
    page = tmp_path / "docs" / "coverage.md"
    page.write_text(page.read_text(encoding="utf-8").replace("Two", "2"), encoding="utf-8")
    assert call(*at, "--check") == 1
    assert "docs/coverage.md" in capsys.readouterr().out


def test_course_without_a_list_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course(tmp_path)
    (tmp_path / "quizzes" / "sources.yaml").unlink()
    assert call("--course", str(tmp_path), "quiz", "coverage") == 1
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "sources.yaml" in told
