"""The whole loop of a class on nbgrader, by its real commands, from `grader nbgrader init` to the fetched feedback."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from grader.checking.report import Report
from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.course.mutants import Mutant, apply_mutant, load_mutants
from grader.course.reference import read_reference
from grader.course.stub import leaks, solution_lines
from grader.gradebook.store import Gradebook
from grader.grading.demo import FORGER, HOSTILE, THIEF
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version

from .nbgrader_class import Classroom, filled, text_of

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here")

ROOT = Path(__file__).resolve().parents[1]
FULL = bool(os.environ.get("UNROLLED_FULL"))
ASSIGNMENTS = ("bptt", "lstm", "gru_copy", "seq2seq", "streamrec") if FULL else ("bptt",)
BY_PROCESS = "s01"  # goes through every step in processes of its own
WRONG = 4


@dataclass(frozen=True)
class Graded:
    """A class that went through the loop: its room, its members' sources, and the reports of `grader grade`."""

    room: Classroom
    assignment: Assignment
    sources: dict[str, str]
    modules: frozenset[str]  # students who handed in the module beside an untouched notebook
    reports: dict[str, Report]
    told: dict[str, str]  # what the commands printed


def course_for(name: str, top: Path) -> Course:
    """Return the course: this project's own, or in a short run a copy of one assignment with the mutants that are used.

    What takes long in a class is the evidence of mutants, once for a course; a copy with few is graded alike.
    """
    if FULL:
        return Course(ROOT, top / "state")
    root = top / "course"
    for folder in ("assignments", "solutions"):
        shutil.copytree(ROOT / folder / name, root / folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "assignments" / "misconceptions.yaml", root / "assignments")
    course = Course(root, top / "state")
    used = {mutant.id for mutant in chosen_mutants(course.assignment(name))}
    path = root / "solutions" / name / "mutants.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["mutants"] = [mutant for mutant in data["mutants"] if mutant["id"] in used]
    assert len(data["mutants"]) == len(used)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return course


def chosen_mutants(assignment: Assignment) -> list[Mutant]:
    """Return the mutants that hand in: spread over the catalogue, and the last one, who prefers the module."""
    known = [m for m in load_mutants(assignment) if not m.facts_only]
    return [*known[:: max(len(known) // WRONG, 1)][:WRONG], known[-1]]


def members(assignment: Assignment) -> dict[str, str]:
    """Return the class by student: right, right in another way, wrong, untouched and hostile code."""
    assert assignment.secret is not None
    reference = read_reference(assignment)
    stub = (assignment.folder / assignment.module).read_text(encoding="utf-8")
    twins = [path.read_text(encoding="utf-8") for path in sorted((assignment.secret / "twins").glob("*.py"))][:2]
    *wrong, last = [apply_mutant(mutant, reference) for mutant in chosen_mutants(assignment)]
    forged = "\n".join(f"def {name}(*args, **kwargs):\n    return AlwaysRight(1.0)\n" for name in assignment.names)
    hostile = [HOSTILE["quitter"] + reference, THIEF.replace("{module}", assignment.module) + stub, FORGER + forged]
    everybody = [reference, *twins, *wrong, stub, *hostile, last]
    return {f"s{number:02d}": source for number, source in enumerate(everybody, start=1)}


@pytest.fixture(scope="module", params=ASSIGNMENTS)
def graded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graded]:
    """Take a class through the loop once."""
    top = tmp_path_factory.mktemp(f"nb-{request.param}")
    room = Classroom(top, course_for(request.param, top))
    assignment = room.course.assignment(request.param)
    sources = members(assignment)
    modules = frozenset([max(sources)])
    roster = top / "roster.csv"
    roster.write_text("id,name\n" + "".join(f"{s},Student {s}\n" for s in [*sources, "absent"]), encoding="utf-8")
    room.lay(roster)
    said: dict[str, str] = {}

    def by_process(*arguments: str, cwd: Path | None = None) -> None:
        done = room.nbgrader(*arguments, cwd=cwd, seconds=3000)
        said[arguments[0]] = done.out + done.err
        assert done.code == 0, done.err

    by_process("generate_assignment", assignment.id)
    by_process("release_assignment", assignment.id)
    for student, source in sources.items():
        home = room.home_of(student)
        if student == BY_PROCESS:
            by_process("fetch_assignment", assignment.id, cwd=home)
        else:
            assert room.here("fetch_assignment", assignment.id, cwd=home) == 0
        path = home / assignment.id / assignment.notebook
        if student in modules:
            (path.parent / assignment.module).write_text(source, encoding="utf-8")
        else:
            path.write_text(filled(path.read_text(encoding="utf-8"), source), encoding="utf-8")
        if student == BY_PROCESS:
            by_process("submit", assignment.id, f"--student={student}", cwd=home)
        else:
            assert room.here("submit", assignment.id, f"--student={student}", cwd=home) == 0
    by_process("collect", assignment.id)
    by_process("autograde", assignment.id)
    by_process("generate_feedback", assignment.id)
    by_process("release_feedback", assignment.id)
    for student in sources:
        home = room.home_of(student)
        if student == BY_PROCESS:
            by_process("fetch_feedback", assignment.id, f"--student={student}", cwd=home)
        else:
            assert room.here("fetch_feedback", assignment.id, f"--student={student}", cwd=home) == 0
    by_process("export", "--to", str(top / "grades.csv"))

    for student, source in sources.items():  # the same code as plain modules, graded by `grader grade`
        (top / "plain" / student).mkdir(parents=True)
        (top / "plain" / student / assignment.module).write_text(source, encoding="utf-8")
    done = room.grader(
        "grade", assignment.id, top / "plain", "--gradebook", top / "plain.db", "--quiet", "--json", seconds=3000
    )
    assert done.code == 0, done.err
    with Gradebook.open(top / "plain.db") as book:
        reports = {report.student: report for report in book.latest(assignment.id)}
    assert set(reports) == set(sources)
    yield Graded(room, assignment, sources, modules, reports, said)
    shutil.rmtree(top)


def test_scores_are_those_of_grader_grade(graded: Graded) -> None:
    """Cell by cell, partial credit included; nothing waits for a human."""
    found = graded.room.scores(graded.assignment)
    assert set(found) == set(graded.sources)
    asked = {
        student: {f"part-{part.id}": pytest.approx(part.earned) for part in report.parts}
        for student, report in graded.reports.items()
    }
    assert {s: {cell: auto for cell, (auto, _, _) in cells.items()} for s, cells in found.items()} == asked
    assert {(manual, needs) for cells in found.values() for _, manual, needs in cells.values()} == {(None, False)}


def test_the_class_is_as_varied_as_it_should_be(graded: Graded) -> None:
    """References and twins are whole, stubs and attackers have nothing, the wrong ones lie between and have hints."""
    assert len(graded.sources) >= 12
    totals = [report.earned for report in graded.reports.values()]
    assert totals[:3] == pytest.approx([graded.assignment.points] * 3)
    assert totals[7:11] == [0, 0, 0, 0]
    assert all(0 < total < graded.assignment.points for total in [*totals[3:7], totals[11]])
    assert sum(bool(report.diagnosis.hints) for report in graded.reports.values()) >= WRONG


def feedback_page(graded: Graded, student: str) -> str:
    """Return the page that a student fetched."""
    (path,) = (graded.room.home_of(student) / graded.assignment.id / "feedback").glob("*/*.html")
    return path.read_text(encoding="utf-8")


def test_feedback_pages_tell_score_hint_and_facts(graded: Graded) -> None:
    """Each student fetches a page with the points, and what explains the mistakes in words."""
    for student, report in graded.reports.items():
        text = text_of(feedback_page(graded, student))
        assert f"{report.earned:g} of {report.possible:g} points" in text or report.problem, student
        for _, _, hint, _ in report.diagnosis.hints:
            assert text.count(" ".join(hint.replace("`", "").split())) >= 2, f"{student}: {hint}"  # top and cell
        for check in report.checks:
            if check.outcome.value == "failed" and check.facts:
                assert " ".join(check.facts[0].split()) in text, (student, check.id)
        taken = graded.assignment.module if student in graded.modules else graded.assignment.notebook
        assert f"Graded from {taken}." in text


def test_pictures_are_in_the_pages(graded: Graded) -> None:
    """Where the assignment has figures, whole work has a picture in its page."""
    assert graded.assignment.secret is not None
    has_figures = (graded.assignment.secret / "figures.py").is_file()
    assert ("data:image/svg+xml;base64," in feedback_page(graded, "s01")) == has_figures


def secrets(graded: Graded) -> set[str]:
    """Return what no student may read: lines of the hidden suite, and the details of failing checks."""
    assert graded.assignment.secret is not None
    hidden = (graded.assignment.secret / "test_hidden.py").read_text(encoding="utf-8")
    public = "\n".join(path.read_text(encoding="utf-8") for path in sorted(graded.assignment.folder.glob("*.[pmy]*")))
    titles = {check.title for report in graded.reports.values() for check in report.checks}
    found = set()
    for line in re.sub(r'"""[^"]*"""', "", hidden).splitlines():
        line = line.strip()
        ours = "test_" in line or "close(" in line or "expected" in line or "want" in line
        if len(line) > 30 and line not in public and ours and not any(line in title for title in titles):
            found.add(line)
    for report in graded.reports.values():
        for check in report.checks:
            detail = check.detail.strip().splitlines()
            # what the student's own exception said is the student's own
            if check.outcome.value == "failed" and detail and detail[0] not in check.facts and len(detail[0]) > 20:
                found.add(detail[0])
    assert len(found) > 20
    return found


def test_nothing_secret_is_in_any_file_that_a_student_gets(graded: Graded) -> None:
    """Search the exchange and the homes: no line of the suite, no expected value, no traceback of ours."""
    kept = secrets(graded)
    names = {"solutions/", "test_hidden", "mutants.yaml", str(graded.room.course.state), "grader/checking/"}
    own = set(graded.sources.values())
    for folder in (graded.room.exchange / "rnn" / "outbound", graded.room.exchange / "rnn" / "feedback"):
        assert any(path.is_file() for path in folder.rglob("*"))
    outbound = sorted((graded.room.exchange / "rnn" / "outbound").rglob("*"))
    pages = sorted((graded.room.exchange / "rnn" / "feedback").rglob("*.html"))
    fetched = [p for p in sorted((graded.room.top / "homes").rglob("*.html")) if p.is_file()]
    assert len(pages) == len(fetched) == len(graded.sources)
    for path in [p for p in [*outbound, *pages, *fetched] if p.is_file()]:
        raw = path.read_text(encoding="utf-8")
        text = raw if path.suffix != ".html" else text_of(raw)
        plain = " ".join(text.split())
        assert not [line for line in kept if " ".join(line.split()) in plain], path
        thief = any(name in raw for name in ("_steal", "THIEF")) and path.suffix == ".html"  # quotes its own code
        if not thief:
            assert not [name for name in names if name in text], path
        assert "Traceback (most recent call last)" not in text, path
    regions = solution_lines(read_reference(graded.assignment))
    assert not [path for path in outbound if path.is_file() and leaks(regions, path.read_text(encoding="utf-8"))]
    assert own  # what the pages quote of the students' own code is theirs


def test_the_released_notebook(graded: Graded) -> None:
    """A solution cell a function or class, a cell a part with its points; nothing to take from the solutions."""
    book = json.loads(graded.room.released(graded.assignment))
    cells = {c["metadata"]["nbgrader"]["grade_id"]: c for c in book["cells"] if "nbgrader" in c["metadata"]}
    worth = {
        name: c["metadata"]["nbgrader"]["points"] for name, c in cells.items() if c["metadata"]["nbgrader"]["grade"]
    }
    assert worth == {f"part-{part.id}": part.points for part in graded.assignment.parts}
    answers = [c for c in cells.values() if c["metadata"]["nbgrader"]["solution"]]
    assert len(answers) >= len(graded.assignment.parts)
    for cell in answers:
        source = "".join(cell["source"])
        name = cell["metadata"]["nbgrader"]["grade_id"].removeprefix("solution-")
        assert re.search(rf"^(def|class) {name}\b", source, re.MULTILINE)
        assert "raise NotImplementedError()" in source
        assert "SOLUTION" not in source


def test_nothing_of_a_student_was_executed_by_nbgrader(graded: Graded) -> None:
    """No kernel was started for autograding: every cell but those with points is without outputs."""
    for student in graded.sources:
        path = graded.room.folder / "autograded" / student / graded.assignment.id / graded.assignment.notebook
        for cell in json.loads(path.read_bytes())["cells"]:
            if cell["cell_type"] == "code":
                is_graded = cell["metadata"].get("nbgrader", {}).get("grade", False)
                assert len(cell["outputs"]) == int(is_graded)
                assert cell["execution_count"] is None
    assert "ipykernel" not in graded.told["autograde"].lower()


def test_export_has_the_scores(graded: Graded) -> None:
    """nbgrader's own export, with the student who handed in nothing."""
    rows = list(csv.DictReader(io.StringIO((graded.room.top / "grades.csv").read_text(encoding="utf-8"))))
    scores = {row["student_id"]: float(row["score"]) for row in rows if row["assignment"] == graded.assignment.id}
    assert scores == {s: pytest.approx(r.earned) for s, r in graded.reports.items()} | {"absent": 0.0}


def test_grading_again_changes_nothing(graded: Graded) -> None:
    """Neither `grader nbgrader autograde` nor nbgrader's own command grades twice, and both leave the same database."""
    before = graded.room.everything()
    done = graded.room.grader("nbgrader", "autograde", graded.assignment.id, "--dir", graded.room.folder, "--jobs", "2")
    assert done.code == 0, done.err
    assert f"{len(graded.sources)} graded" in done.out
    assert graded.room.here("autograde", graded.assignment.id, "--force") == 0
    assert graded.room.everything() == before
