"""Killed in the middle, run again: nbgrader's database is as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.course.assignment import Assignment
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version

from .conftest import TINY, TinyCourse, book_content, command
from .nbgrader_class import Classroom, filled
from .test_nbgrader_hostile import room_for

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here")

STUDENTS = 6


@dataclass(frozen=True)
class Undisturbed:
    """A classroom with a class handed in, before autograding, and what its database says after it."""

    room: Classroom
    assignment: Assignment
    before: Path
    after: list[tuple[Any, ...]]

    def fresh(self) -> None:
        """Put everything back to before autograding."""
        shutil.rmtree(self.room.folder)
        shutil.rmtree(self.room.course.state)
        shutil.copytree(self.before / "classroom", self.room.folder)
        shutil.copytree(self.before / "state", self.room.course.state)

    def dest(self, student: str) -> Path:
        """Return a student's graded folder."""
        return self.room.folder / "autograded" / student / TINY


@pytest.fixture(scope="module")
def class_(shared_tiny: TinyCourse, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Hand a class in, and grade it once without disturbance."""
    room = room_for(shared_tiny, tmp_path_factory.mktemp("nb-killed"))
    assignment = room.course.assignment(TINY)
    sources = [shared_tiny.reference, shared_tiny.mutant("keeps_everything"), shared_tiny.twin, shared_tiny.stub]
    for number in range(STUDENTS):
        book = filled(room.released(assignment), sources[number % len(sources)])
        room.hand_in(assignment, f"s{number}", {assignment.notebook: book})
    before = room.top / "before"
    shutil.copytree(room.folder, before / "classroom")
    shutil.copytree(room.course.state, before / "state")
    assert room.here("autograde", TINY) == 0
    return Undisturbed(room, assignment, before, room.everything())


def killed(argv: list[str], room: Classroom, ready: Any) -> bool:
    """Start a command and kill it once `ready()`; say whether it was still at work."""
    process = subprocess.Popen(
        argv, cwd=room.folder, env=room.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and not ready():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def graded_so_far(room: Classroom) -> int:
    """Return how many reports the journal holds."""
    path = room.course.state / "gradebook.db"
    try:
        return sum(len(rows) > 1 for rows in book_content(path).values()) if path.exists() else 0
    except Exception:  # it is just being made
        return 0


@pytest.mark.parametrize("by", ["nbgrader", "grader"])
def test_killed_while_grading_and_while_writing(class_: Undisturbed, by: str) -> None:
    """Two kills, one in the engine and one among the notebooks, then a run to the end."""
    class_.fresh()
    room = class_.room
    theirs = [sys.executable, "-m", "nbgrader", "autograde", TINY]
    argv = theirs if by == "nbgrader" else command("nbgrader", "autograde", TINY, "--dir", room.folder, "-j", "1")
    assert killed(argv, room, lambda: graded_so_far(room) >= 1)
    so_far = graded_so_far(room)
    assert 1 <= so_far <= STUDENTS
    assert killed(argv, room, lambda: class_.dest("s2").exists())
    assert not class_.dest("s5").exists()
    if by == "nbgrader":
        assert room.here("autograde", TINY) == 0
    else:
        done = room.grader("nbgrader", "autograde", TINY, "--dir", room.folder)
        assert done.code == 0, done.err
        assert f"{STUDENTS} graded" in done.out
    assert room.everything() == class_.after
    # nothing was graded twice
    content = book_content(room.course.state / "gradebook.db")
    assert [len(rows) for rows in content.values()] == [2] * STUDENTS


def test_every_half_written_state_is_taken_up_again(class_: Undisturbed) -> None:
    """What a kill can leave in `autograded`: nothing but copied files, an unscored notebook, half a notebook."""
    class_.fresh()
    room, name = class_.room, class_.assignment.notebook
    for student in ("s0", "s1", "s2"):
        class_.dest(student).mkdir(parents=True)
        shutil.copy(room.folder / "submitted" / student / TINY / "timestamp.txt", class_.dest(student))
    (class_.dest("s1") / name).write_text(class_.room.released(class_.assignment), encoding="utf-8")
    (class_.dest("s2") / name).write_text('{"cells": [', encoding="utf-8")
    assert room.here("autograde", TINY) == 0
    assert room.everything() == class_.after


def test_manual_scores_survive_and_are_marked(class_: Undisturbed) -> None:
    """A score and a comment that a human gave stay through a second autograde, as nbgrader promises."""
    from nbgrader.api import Gradebook

    room = class_.room
    with Gradebook(f"sqlite:///{room.folder / 'gradebook.db'}") as book:
        grade = book.find_grade("part-run", TINY, TINY, "s1")
        grade.manual_score = 12.5
        comment = book.find_comment("solution-run", TINY, TINY, "s1")
        comment.manual_comment = "see me"
        book.db.commit()
    assert room.here("autograde", TINY, "--force") == 0
    auto, manual, needs = room.scores(class_.assignment)["s1"]["part-run"]
    assert (manual, needs) == (12.5, True)
    assert auto is not None
    with Gradebook(f"sqlite:///{room.folder / 'gradebook.db'}") as book:
        assert book.find_comment("solution-run", TINY, TINY, "s1").comment == "see me"
        assert book.find_submission(TINY, "s1").score == pytest.approx(
            12.5 + sum(a or 0 for cell, (a, _, _) in room.scores(class_.assignment)["s1"].items() if cell != "part-run")
        )


def test_a_newer_submission_is_graded_and_the_old_attempt_kept(class_: Undisturbed) -> None:
    """Handing in again takes effect by the plain command."""
    class_.fresh()
    room = class_.room
    assert room.here("autograde", TINY) == 0
    right = filled(
        room.released(class_.assignment), (class_.room.course.root / "solutions" / TINY / f"{TINY}.py").read_text()
    )
    place = room.hand_in(class_.assignment, "s3", {class_.assignment.notebook: right})
    (place / "timestamp.txt").write_text("2026-01-06 12:00:00.000000 UTC", encoding="utf-8")
    assert room.here("autograde", TINY) == 0
    assert room.totals(class_.assignment)["s3"] == 100
    assert len(book_content(room.course.state / "gradebook.db")[f"{TINY}/s3"]) == 4
