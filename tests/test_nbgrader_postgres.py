"""The loop of a class with PostgreSQL as nbgrader's database, two graders at once, and `sync` between two of them."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalog import Course
from grader.gradebook.classroom import GRADER, ClassroomBook
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version

from .conftest import TINY, TinyCourse
from .nbgrader_class import Classroom, filled

pytest.importorskip("nbgrader")
pytestmark = [
    pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here"),
    pytest.mark.skipif(not os.environ.get("UNROLLED_FULL"), reason="takes long: UNROLLED_FULL=1 runs it"),
]

ROSTER = "id,name\n" + "".join(f"s{n},Student {n}\n" for n in range(1, 8))
TOTALS = """
SELECT a.student_id, sum(g.auto_score) FROM grade g JOIN submitted_notebook n ON n.id = g.notebook_id
JOIN submitted_assignment a ON a.id = n.assignment_id JOIN assignment t ON t.id = a.assignment_id
WHERE t.name = %s GROUP BY 1
"""


@pytest.fixture
def new_database(postgres: str) -> Iterator[Callable[[], str]]:
    """Give a function that makes a database and returns its URL."""
    import psycopg

    made: list[str] = []

    def make() -> str:
        made.append(f"room_{uuid.uuid4().hex}")
        with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {made[-1]}")
        return f"{postgres}/{made[-1]}"

    yield make
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def everything(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table of a database."""
    import psycopg

    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        return {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for (name,) in names}


def test_the_loop_with_postgresql(shared_tiny: TinyCourse, tmp_path: Path, new_database: Callable[[], str]) -> None:
    """From init to the fetched feedback; both gradebooks lie in PostgreSQL, and both tell what `grader grade` tells."""
    import psycopg

    theirs, ours = new_database(), new_database()
    shutil.copytree(shared_tiny.root / ".grader", tmp_path / "state")
    room = Classroom(tmp_path, Course(shared_tiny.root, tmp_path / "state"))
    room.lay()
    (room.folder / "gradebook.db").unlink()
    with (room.folder / "nbgrader_config.py").open("a", encoding="utf-8") as stream:
        stream.write(f"c.CourseDirectory.db_url = {theirs.replace('://', '+psycopg://')!r}\n")
        stream.write(f"c.HardenedExporter.gradebook = {ours!r}\n")
    roster = tmp_path / "roster.csv"
    roster.write_text(ROSTER, encoding="utf-8")
    done = room.grader("nbgrader", "init", room.folder, "--roster", roster)
    assert done.code == 0, done.err
    assert not (room.folder / "gradebook.db").exists()

    assert room.here("generate_assignment", TINY) == 0
    assert room.here("release_assignment", TINY) == 0
    assignment = room.course.assignment(TINY)
    sources = dict(
        zip(
            ["s1", "s2", "s3", "s4"],
            [shared_tiny.reference, shared_tiny.mutant("keeps_everything"), shared_tiny.twin, shared_tiny.stub],
            strict=True,
        )
    )
    for student, source in sources.items():
        home = room.home_of(student)
        assert room.here("fetch_assignment", TINY, cwd=home) == 0
        path = home / TINY / assignment.notebook
        path.write_text(filled(path.read_text(encoding="utf-8"), source), encoding="utf-8")
        assert room.here("submit", TINY, f"--student={student}", cwd=home) == 0
    assert room.here("collect", TINY) == 0
    # two graders at the same time, each on one half of the class; the class as a whole afterwards changes nothing
    argv = [sys.executable, "-m", "nbgrader", "autograde", TINY, "--quiet", "--student"]
    graders = [
        subprocess.Popen([*argv, student], cwd=room.folder, env=room.env, stderr=subprocess.PIPE, text=True)
        for student in ("s1", "s2")
    ]
    for grader in graders:
        _, said = grader.communicate(timeout=300)
        assert grader.returncode == 0, said
    done = room.grader("nbgrader", "autograde", TINY, "--dir", room.folder, "--quiet")
    assert done.code == 0, done.err
    with ClassroomBook.open(ours) as book:
        earned = {report.student: report.earned for report in book.latest(TINY)}
    assert set(earned) == set(sources)
    assert earned["s1"] == earned["s3"] == assignment.points
    assert 0 == earned["s4"] < earned["s2"] < assignment.points
    with psycopg.connect(theirs) as connection:
        assert dict(connection.execute(TOTALS, (TINY,)).fetchall()) == pytest.approx(earned)
        connection.execute("UPDATE submitted_notebook SET late_submission_penalty = 5")

    assert room.here("generate_feedback", TINY) == 0
    assert room.here("release_feedback", TINY) == 0
    assert room.here("fetch_feedback", TINY, "--student=s2", cwd=room.home_of("s2")) == 0
    pages = [path.read_text(encoding="utf-8") for path in room.home_of("s2").rglob("*.html")]
    assert len(pages) == 1
    assert shared_tiny.hint("keeps_everything")[:30] in pages[0]

    subs = shared_tiny.hand_in(tmp_path / "subs", {"s5": shared_tiny.reference})
    assert room.grader("grade", TINY, subs, "--quiet", "--gradebook", ours).code == 0
    said_ = room.grader("nbgrader", "sync", "--dir", room.folder)
    assert said_.code == 0, said_.err
    before = everything(theirs), everything(ours)
    again = room.grader("nbgrader", "sync", "--dir", room.folder)
    assert "Both gradebooks tell the same already." in again.out
    assert (everything(theirs), everything(ours)) == before
    with ClassroomBook.open(ours) as book:
        final = book.scores_of(TINY)
    assert final["s5"].origin == GRADER
    done = room.nbgrader("export", "--to", "grades.csv")
    assert done.code == 0, done.err
    with (room.folder / "grades.csv").open(encoding="utf-8", newline="") as stream:
        told = {row["student_id"]: float(row["score"]) for row in csv.DictReader(stream) if row["timestamp"]}
    assert told == pytest.approx({student: score.score for student, score in final.items()})
    assert told["s1"] == assignment.points - 5
    assert not (room.folder / "gradebook.db").exists()
