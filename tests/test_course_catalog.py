"""Finding the course, its state and its assignments."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.course import catalog
from grader.course.catalog import Course, find_course
from grader.errors import CourseError

YAML = """\
schema: assignment/1
id: {id}
title: A title
parts:
  - {{id: one, title: One, points: 10, names: {{f: array}}}}
"""


def make_course(root: Path, *ids: str) -> Path:
    for assignment_id in ids:
        folder = root / "assignments" / assignment_id
        folder.mkdir(parents=True)
        (folder / "assignment.yaml").write_text(YAML.format(id=assignment_id))
    return root


@pytest.fixture(autouse=True)
def _bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADER_COURSE", "GRADER_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(catalog, "PACKAGED", tmp_path / "no-package" / "_course")


def test_order_of_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explicit = make_course(tmp_path / "explicit", "a")
    variable = make_course(tmp_path / "variable", "b")
    around = make_course(tmp_path / "around", "c")
    packaged = make_course(tmp_path / "site" / "_course", "d")
    monkeypatch.setattr(catalog, "PACKAGED", packaged)
    monkeypatch.setenv("GRADER_COURSE", str(variable))
    below = around / "some" / "where"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_course(explicit).root == explicit
    assert find_course().root == variable
    monkeypatch.delenv("GRADER_COURSE")
    assert find_course().root == around
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "assignments").mkdir(parents=True)  # no assignment in it: not a course
    monkeypatch.chdir(elsewhere)
    assert find_course().root == packaged


def test_the_nearest_parent_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_course(tmp_path, "outer")
    inner = make_course(tmp_path / "in", "inner")
    monkeypatch.chdir(inner / "assignments" / "inner")
    assert find_course().ids == ("inner",)


def test_no_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CourseError, match="there is no course here") as caught:
        find_course()
    assert "--course" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_a_named_folder_that_is_no_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    make_course(tmp_path, "a")
    monkeypatch.chdir(tmp_path)  # it is not quietly replaced by the course that we stand in
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("x")
    elif kind == "empty":
        place.mkdir()
    with pytest.raises(CourseError, match="--course"):
        find_course(place)
    monkeypatch.setenv("GRADER_COURSE", str(place))
    with pytest.raises(CourseError, match="GRADER_COURSE"):
        find_course()


def test_state_lies_in_the_course(tmp_path: Path) -> None:
    assert find_course(make_course(tmp_path, "a")).state == tmp_path / ".grader"
    assert not (tmp_path / ".grader").exists()  # looking makes nothing


def test_state_by_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADER_STATE", str(tmp_path / "s"))
    assert find_course(make_course(tmp_path / "c", "a")).state == tmp_path / "s"


@pytest.mark.parametrize("explicit", [False, True])
def test_state_of_the_packaged_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, explicit: bool) -> None:
    packaged = make_course(tmp_path / "site" / "_course", "a")
    monkeypatch.setattr(catalog, "PACKAGED", packaged)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    named = packaged if explicit else None
    assert find_course(named).state == tmp_path / "home" / ".local" / "state" / "unrolled"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert find_course(named).state == tmp_path / "xdg" / "unrolled"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert find_course(named).state == tmp_path / "home" / ".local" / "state" / "unrolled"
    monkeypatch.setenv("GRADER_STATE", str(tmp_path / "s"))
    assert find_course(named).state == tmp_path / "s"


def test_assignments_are_sorted_and_know_their_folders(tmp_path: Path) -> None:
    course = find_course(make_course(tmp_path, "lstm", "bptt", "gru"))
    (tmp_path / "solutions" / "gru").mkdir(parents=True)
    (tmp_path / "assignments" / "__pycache__").mkdir()
    hidden = tmp_path / "assignments" / ".new-x"
    hidden.mkdir()
    (hidden / "assignment.yaml").write_text("not: ours")
    assert [one.id for one in course.assignments()] == ["bptt", "gru", "lstm"]
    assert [one.secret for one in course.assignments()] == [None, tmp_path / "solutions" / "gru", None]
    assert course.assignment("gru").folder == tmp_path / "assignments" / "gru"


def test_a_broken_assignment_is_named_and_spares_its_neighbours(tmp_path: Path) -> None:
    course = find_course(make_course(tmp_path, "bptt", "lstm"))
    broken = tmp_path / "assignments" / "bptt" / "assignment.yaml"
    broken.write_text(broken.read_text().replace("points: 10", "points: ten"))
    with pytest.raises(CourseError, match=r"bptt/assignment\.yaml:5:35: parts\[0\]\.points must be a number"):
        course.assignments()
    assert course.assignment("lstm").id == "lstm"


@pytest.mark.parametrize("word", ["bppt", "BPTT", "../bptt", "", "assignments"])
def test_unknown_assignment(tmp_path: Path, word: str) -> None:
    course = find_course(make_course(tmp_path, "bptt", "lstm"))
    with pytest.raises(CourseError) as caught:
        course.assignment(word)
    text = str(caught.value)
    assert f"no assignment `{word}`" in text
    assert "bptt, lstm" in text
    assert ("Did you mean `bptt`?" in text) == (word in ("bppt", "../bptt"))


def test_a_deleted_working_folder_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(CourseError):
        find_course()


def test_course_is_a_value(tmp_path: Path) -> None:
    assert Course(tmp_path, tmp_path / "s") == Course(tmp_path, tmp_path / "s")
