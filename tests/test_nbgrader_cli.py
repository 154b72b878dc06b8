"""`grader nbgrader` as an instructor meets it: what is laid, what is left alone, and one line for whatever is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course.catalog import Course
from grader.exchange.nbgrader.source import grade_ids, source_notebook
from grader.gradebook.store import Gradebook
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version

from .conftest import TINY, TinyCourse, Told, clean_environment, command, told
from .nbgrader_class import Classroom, filled, standing_in

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def room(tiny: TinyCourse, tmp_path: Path) -> Classroom:
    """A classroom on the tiny course that nothing was laid in yet."""
    shutil.copytree(tiny.root / ".grader", tmp_path / "state")
    return Classroom(tmp_path, Course(tiny.root, tmp_path / "state"))


def test_init_lays_a_working_folder_and_leaves_what_was_edited(room: Classroom, tiny: TinyCourse) -> None:
    """Settings, notebooks, database and students; again it changes nothing, and it brings news of the course."""
    from nbgrader.api import Gradebook as Official

    roster = room.top / "roster.csv"
    roster.write_text("id,name,email\ns1,Student One,one@class.example\ns2,,\n", encoding="utf-8")
    said = room.lay(roster)
    assert "nbgrader_config.py: new" in said.out
    assert f"source/{TINY}/{TINY}.ipynb: new" in said.out
    assert sorted(p.name for p in (room.folder / "source" / TINY).iterdir()) == [
        "README.md",
        f"{TINY}.ipynb",
        "test_public.py",
    ]
    with Official(f"sqlite:///{room.folder / 'gradebook.db'}") as book:
        assert [(s.id, s.first_name, s.last_name, s.email) for s in sorted(book.students, key=lambda s: s.id)] == [
            ("s1", "Student", "One", "one@class.example"),
            ("s2", None, None, None),
        ]
    before = {p: p.read_bytes() for p in room.folder.rglob("*") if p.is_file() and p.suffix != ".db"}
    again = room.grader("nbgrader", "init", room.folder)
    assert again.code == 0
    # the settings were edited by lay(), which names the exchange
    assert "nbgrader_config.py: edited, so it was left" in again.out
    assert {p: p.read_bytes() for p in before} == before
    # the course moves on: the notebook follows, unless somebody has edited it
    tiny.edit("README.md", "A leaky integrator is", "The leaky integrator is")
    notebook = room.folder / "source" / TINY / f"{TINY}.ipynb"
    assert f"{TINY}.ipynb: updated" in room.grader("nbgrader", "build", "--into", room.folder).out
    assert "The leaky integrator is" in notebook.read_text(encoding="utf-8")
    edited = notebook.read_text(encoding="utf-8").replace("The leaky", "My leaky")
    notebook.write_text(edited, encoding="utf-8")
    left = room.grader("nbgrader", "build", TINY, "--into", room.folder)
    assert left.code == 1
    assert f"{TINY}.ipynb: edited, so it was left" in left.out
    assert notebook.read_text(encoding="utf-8") == edited
    assert room.grader("nbgrader", "build", TINY, "--into", room.folder, "--force").code == 0
    assert notebook.read_text(encoding="utf-8") != edited


def test_source_notebooks_of_all_assignments_are_valid() -> None:
    """Each is what nbgrader takes, with stable unique ids and the points of the parts."""
    from nbgrader.nbgraderformat import reads

    for assignment in Course(ROOT, ROOT / ".grader").assignments():
        book = reads(source_notebook(assignment), as_version=4)
        known = [cell.metadata.nbgrader for cell in book.cells if "nbgrader" in cell.metadata]
        assert len({about.grade_id for about in known}) == len(known)
        assert grade_ids(source_notebook(assignment)) == [about.grade_id for about in known]
        assert sum(about.points for about in known if about.grade) == assignment.points
        text = "".join(cell.source for cell in book.cells)
        handout = (assignment.folder / "README.md").read_text(encoding="utf-8")
        lines = [line for line in handout.splitlines() if line.strip() and not line.startswith("## ")]
        assert [line for line in lines if line not in text] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["init", "a-file"], "this is a file"),
        (["init", "new", "--course-id", "a b"], "is no course id"),
        (["init", "new", "--roster", "nothing.csv"], "the roster cannot be read"),
        (["init", "stock"], "this file is yours, and it does not let the engine grade"),
        (["build", "--into", "empty"], "there is no nbgrader_config.py"),
        (["build", "leeky", "--into", "empty"], "there is no assignment `leeky`"),
        (["sync", "--dir", "empty"], "there is no nbgrader_config.py"),
        (["autograde", TINY, "--dir", "empty"], "there is no nbgrader_config.py"),
        (["autograde", TINY, "--dir", "stock"], "nobody has handed in"),
        (["autograde", TINY, "--dir", "stock-with-work"], "these settings do not let the engine grade"),
        (["autograde", TINY, "--dir", "not-generated"], "is not in nbgrader's database"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(
    shared_tiny: TinyCourse, tmp_path: Path, arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done is told in a line, and nothing of a student is executed."""
    from grader.cli.main import run

    (tmp_path / "a-file").write_text("x", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    stock = "c = get_config()\nc.CourseDirectory.course_id = 'rnn'\n"
    ours = "from grader.exchange.nbgrader.settings import configure\nc = get_config()\n"
    ours += f"configure(c, course={str(shared_tiny.root)!r})\n"
    for name, text in (("stock", stock), ("stock-with-work", stock), ("not-generated", ours)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nbgrader_config.py").write_text(text, encoding="utf-8")
        if name != "stock":
            place = tmp_path / name / "submitted" / "s1" / TINY
            place.mkdir(parents=True)
            (place / f"{TINY}.ipynb").write_text("{}", encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with pytest.MonkeyPatch.context() as patch, standing_in(tmp_path):
        patch.setenv("PATH", path)
        patch.setenv("HOME", str(tmp_path))
        with pytest.raises(SystemExit) as ended:
            run(["--course", str(shared_tiny.root), "nbgrader", *arguments])
    out, err = capfd.readouterr()
    assert words in Told(int(ended.value.code or 0), out, err).error
    assert ended.value.code == 1


def test_unknown_commands_and_tier_0_are_wrong_usage(room: Classroom) -> None:
    """They end with 2 and advice."""
    near = room.grader("nbgrader", "autograd")
    assert near.code == 2
    assert "Did you mean `autograde`?" in near.err
    assert room.grader("nbgrader", "autograde", TINY, "--tier", "0").code == 2


def test_another_assignment_is_refused_and_not_executed(room: Classroom) -> None:
    """Plain nbgrader with our settings grades nothing that the course does not have."""
    room.lay()
    canary = room.top / "canary"
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**cell, "source": f"open({str(canary)!r}, 'w')"}]
    source = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    for place in ("source/other", "submitted/s1/other"):
        (room.folder / place).mkdir(parents=True)
        (room.folder / place / "other.ipynb").write_text(json.dumps(source), encoding="utf-8")
    assert room.here("generate_assignment", "other") == 0
    done = room.nbgrader("autograde", "other")
    assert done.code == 1
    assert "`other` is no assignment of this course" in done.err
    assert "Traceback" not in done.err
    assert not canary.exists()


def test_a_class_without_any_notebook_is_graded(room: Classroom, tiny: TinyCourse) -> None:
    """Modules alone are graded, and an empty folder has its report, though nbgrader itself knows no place for it."""
    room.lay()
    assignment = room.course.assignment(TINY)
    assert room.here("generate_assignment", TINY) == 0
    room.hand_in(assignment, "right", {assignment.module: tiny.reference})
    room.hand_in(assignment, "empty", {})
    said = room.grader_here("nbgrader", "autograde", TINY, "--dir", room.folder, "--quiet")
    assert said.code == 0, said.err
    assert list(room.scores(assignment)) == ["right"]
    assert sum(auto or 0 for auto, _, _ in room.scores(assignment)["right"].values()) == assignment.points
    with Gradebook.open(room.course.state / "gradebook.db") as book:
        reports = {report.student: report.earned for report in book.latest(TINY)}
    assert reports == {"empty": 0, "right": assignment.points}


def test_validate_runs_the_public_checks_and_tells_what_is_wrong(room: Classroom, tiny: TinyCourse) -> None:
    """A right notebook validates; a wrong one shows which check failed and how; an untouched one what is to do."""
    room.lay()
    assert room.here("generate_assignment", TINY) == 0
    assignment = room.course.assignment(TINY)
    released = room.released(assignment)
    work = room.top / "work"
    work.mkdir()
    wrong = "keeps_everything"
    for name, text in {
        "right": filled(released, tiny.reference),
        "wrong": filled(released, tiny.mutant(wrong)),
    }.items():
        (work / f"{name}.ipynb").write_text(text, encoding="utf-8")
    right = room.nbgrader("validate", "right.ipynb", cwd=work)
    assert "Success! Your notebook passes all the tests." in right.out, right.out + right.err
    failed = room.nbgrader("validate", "wrong.ipynb", cwd=work)
    assert "VALIDATION FAILED ON 1 CELL(S)!" in failed.out
    assert "[failed]" in failed.out
    assert "Traceback" not in failed.out
    hint = " ".join(tiny.hint(wrong).split())
    assert hint[:40] in " ".join(failed.out.split())


def test_a_check_cell_never_gives_points_in_a_folder_without_our_settings() -> None:
    """Executed by stock nbgrader it fails on standard error, which nbgrader counts as 0."""
    script = "from grader.exchange.in_notebook import public_checks\npublic_checks('bptt', 'step')"
    env = {**os.environ, "NBGRADER_EXECUTION": "autograde"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout == ""
    assert "Nothing was graded" in " ".join(done.stderr.split())


def test_the_state_that_was_named_is_in_the_settings(room: Classroom, tiny: TinyCourse, tmp_path: Path) -> None:
    """formgrader may not have the variable of the shell that laid the folder: there is one secret all the same."""
    room.lay()
    shutil.rmtree(room.course.root / ".grader", ignore_errors=True)
    assignment = room.course.assignment(TINY)
    assert room.here("generate_assignment", TINY) == 0
    room.hand_in(assignment, "s1", {assignment.notebook: filled(room.released(assignment), tiny.reference)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classroom, "env", {k: v for k, v in room.env.items() if k != "GRADER_STATE"})
        assert room.here("autograde", TINY) == 0
    assert not (room.course.root / ".grader").exists()
    with Gradebook.open(room.course.state / "gradebook.db") as book:
        assert [report.earned for report in book.latest(TINY)] == [assignment.points]


def test_a_course_without_solutions_is_refused(tmp_path: Path) -> None:
    """Outside a clone the installed course is found, by which nothing can be graded."""
    without = tmp_path / "handout"
    shutil.copytree(ROOT / "assignments" / "bptt", without / "assignments" / "bptt")
    done = told(
        command("--course", without, "nbgrader", "init", tmp_path / "room"), cwd=tmp_path, env=clean_environment()
    )
    assert "this course has no solutions" in done.error
    assert not (tmp_path / "room").exists()


def test_in_the_course_folder_the_settings_name_the_course(room: Classroom) -> None:
    """The docs' own commands: stand in the classroom and name no course."""
    room.lay()
    where = clean_environment()
    done = told(command("nbgrader", "autograde", TINY), cwd=room.folder, env=where)
    assert "nobody has handed in" in done.error
    assert told(command("nbgrader", "build"), cwd=room.folder, env=where).code == 0
    settings = room.folder / "nbgrader_config.py"
    settings.write_text(settings.read_text(encoding="utf-8") + "\n1 / 0\n", encoding="utf-8")
    assert "ZeroDivisionError" in told(command("nbgrader", "autograde", TINY), cwd=room.folder, env=where).error
