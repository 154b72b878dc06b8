"""Hostile notebooks, folders and inbound names: graded right or reported, never a free point, never a lost one."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.gradebook.store import Gradebook
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version

from .conftest import TINY, TinyCourse
from .nbgrader_class import COURSE_ID, Classroom, filled, text_of

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here")

FULL_MARKS = 100.0
Book = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """What is handed in, what it is worth, and words that the student's feedback must hold."""

    files: dict[str, str | bytes]
    worth: float
    words: tuple[str, ...] = ()
    links: dict[str, Path] = field(default_factory=dict)


def room_for(tiny: TinyCourse, top: Path) -> Classroom:
    """Lay a classroom on the tiny course, its assignment generated."""
    state = top / "state"
    shutil.copytree(tiny.root / ".grader", state)
    room = Classroom(top, Course(tiny.root, state))
    room.lay()
    assert room.here("generate_assignment", TINY) == 0
    return room


def cell(book: Book, grade_id: str) -> dict[str, Any]:
    """Return the cell of a notebook that carries an id."""
    return next(c for c in book["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)


def cases(room: Classroom, tiny: TinyCourse, secret: Path) -> dict[str, Case]:
    """Return the class: each hands in the reference (or the untouched notebook), with something done to it."""
    assignment = room.course.assignment(TINY)
    released = room.released(assignment)
    right, wrong = filled(released, tiny.reference), filled(released, tiny.mutant("keeps_everything"))
    names = list(assignment.names)
    found: dict[str, Case] = {}

    def add(student: str, worth: float, change: Callable[[Book], None], *words: str, start: str = right) -> None:
        book = json.loads(start)
        change(book)
        found[student] = Case({assignment.notebook: json.dumps(book)}, worth, words)

    def each(book: Book, change: Callable[[dict[str, Any]], None]) -> None:
        for one in book["cells"]:
            change(one)

    def forge(one: dict[str, Any]) -> None:
        if one["cell_type"] == "code":
            one["outputs"] = [
                {"output_type": "execute_result", "data": {"text/plain": "100"}, "metadata": {}, "execution_count": 1}
            ]

    def enrich(one: dict[str, Any]) -> None:
        if one["metadata"].get("nbgrader", {}).get("grade"):
            one["metadata"]["nbgrader"] |= {"points": 100000, "checksum": "0" * 32}

    def without(one: dict[str, Any]) -> None:
        one["metadata"] = {}

    def strange(one: dict[str, Any]) -> None:
        one["metadata"] = {"nbgrader": {"schema_version": 99, "grade_id": "../../x y", "grade": "yes", "points": -5}}

    def garbage(one: dict[str, Any]) -> None:
        one["metadata"] = ["nbgrader"]

    def twice(book: Book) -> None:
        # the later one counts, in Python as in nbgrader
        for name in names:
            one = cell(book, f"solution-{name}")
            book["cells"].insert(0, {**one, "source": "def " + name + "(*a):\n    return 0"})

    def twice_wrong_last(book: Book) -> None:
        for name in names:
            book["cells"].append({**cell(book, f"solution-{name}"), "source": f"def {name}(*a):\n    return 0"})

    def delete(book: Book) -> None:
        book["cells"] = [
            c for c in book["cells"] if not c["metadata"].get("nbgrader", {}).get("grade") and c["cell_type"] == "code"
        ]

    def delete_answers(book: Book) -> None:
        book["cells"] = [c for c in book["cells"] if not c["metadata"].get("nbgrader", {}).get("solution")]

    def rename(one: dict[str, Any]) -> None:
        if "nbgrader" in one["metadata"]:
            one["metadata"]["nbgrader"]["grade_id"] = "mine-" + one["metadata"]["nbgrader"]["grade_id"]

    def swap_ids(book: Book) -> None:
        first, second = (cell(book, f"solution-{name}") for name in names[:2])
        first["metadata"], second["metadata"] = second["metadata"], first["metadata"]

    def answer_in_check_cell(book: Book) -> None:
        # the code counts wherever it stands; the cell itself is put back
        part = next(c for c in book["cells"] if c["metadata"].get("nbgrader", {}).get("grade"))
        one = cell(book, f"solution-{names[0]}")
        part["source"], one["source"] = one["source"], "pass"

    def as_text(book: Book) -> None:
        for name in names:
            one = cell(book, f"solution-{name}")
            one["cell_type"] = "markdown"
            one.pop("outputs"), one.pop("execution_count")

    def kernel(book: Book) -> None:
        book["metadata"] = {
            "kernelspec": {"name": "evil", "argv": ["/bin/sh", "-c", "exit 1"]},
            "unrolled": {"graded": {}},
        }

    def script(book: Book) -> None:
        attack = "<script>fetch('/formgrader/api/grade/1')</script><img src=x onerror=alert(1)>[x](javascript:alert(2))"
        book["cells"].append({"cell_type": "markdown", "metadata": {}, "source": attack})
        book["cells"].append({"cell_type": "raw", "metadata": {"raw_mimetype": "text/html"}, "source": attack})

    def odd_text(book: Book) -> None:
        book["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "lone \ud800 surrogate \x00 NUL"})

    def speak(book: Book) -> None:
        book["cells"][-1:] = [
            {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None,
             "source": "import sys\nprint('100')\nprint('x' * 10**6, file=sys.stderr)\n100.0"}
        ]  # fmt: skip

    add("right", FULL_MARKS, lambda book: None)
    add("wrong-forged", 60, lambda book: each(book, forge), start=wrong)
    add("stub-forged", 0, lambda book: each(book, forge), start=released)
    add("points", 60, lambda book: each(book, enrich), start=wrong)
    add("no-metadata", FULL_MARKS, lambda book: each(book, without), "was missing; it was put back")
    add("strange-metadata", FULL_MARKS, lambda book: each(book, strange))
    add("garbage-metadata", FULL_MARKS, lambda book: each(book, garbage))
    add("twice", FULL_MARKS, twice, "a later cell has the same id")
    add("twice-wrong-last", 0, twice_wrong_last)
    add("deleted", FULL_MARKS, delete, "was missing; it was put back")
    add("answers-deleted", 0, delete_answers, "is missing")
    add("renamed", FULL_MARKS, lambda book: each(book, rename))
    add("reversed", FULL_MARKS, lambda book: book["cells"].reverse())
    add("swapped", FULL_MARKS, swap_ids)
    add("in-check-cell", FULL_MARKS, answer_in_check_cell, "was changed; the original was put back")
    add("as-text", FULL_MARKS, as_text, "was changed to text and is read as code")
    add("kernel", FULL_MARKS, kernel)
    add("script", FULL_MARKS, script)
    add("odd-text", FULL_MARKS, odd_text)
    add("speaks", FULL_MARKS, speak)
    deep = '{"cells":' + "[" * 200_000 + "]" * 200_000 + "}"
    huge = json.loads(right)
    huge["cells"][0]["source"] = "x" * (21 * 1024 * 1024)
    big = json.loads(right)
    forge(big["cells"][-2])
    flood = {"output_type": "stream", "name": "stdout", "text": "x" * 8_000_000}
    last = {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": "1", "outputs": [flood]}
    big["cells"].append(last)
    nb, py = assignment.notebook, assignment.module
    found |= {
        "big-output": Case({nb: json.dumps(big)}, FULL_MARKS),
        "not-json": Case({nb: "PK\x03\x04 nonsense"}, 0, ("it is not JSON",)),
        "deep": Case({nb: deep}, 0, ("could not be run",)),
        "huge": Case({nb: json.dumps(huge)}, 0, ("at most 20.0 MiB",)),
        "empty": Case({nb: ""}, 0, ("could not be run",)),
        "list": Case({nb: "[]"}, 0, ("no list of cells",)),
        "module-beside-untouched": Case({nb: released, py: tiny.reference}, FULL_MARKS, (f"Graded from {py}.",)),
        "module-beside-filled": Case({nb: wrong, py: tiny.reference}, 60, (f"{py}: {nb} counts", f"Graded from {nb}.")),
        "stub-beside-filled": Case({nb: right, py: tiny.stub}, FULL_MARKS, (f"Graded from {nb}.",)),
        "module-beside-broken": Case({nb: "{", py: tiny.reference}, FULL_MARKS, (f"Graded from {py}.",)),
        "module-alone": Case({py: tiny.reference}, FULL_MARKS, (f"Graded from {py}.",)),
        "link": Case({}, 0, ("a symbolic link, which is not followed",), {nb: secret}),
        "link-beside": Case({nb: right}, FULL_MARKS, (), {"leak.html": secret, "data": secret.parent}),
    }
    return found


@dataclass(frozen=True)
class Graded:
    """The hostile class after `nbgrader autograde` and `generate_feedback`."""

    room: Classroom
    assignment: Assignment
    cases: dict[str, Case]
    code: int


@pytest.fixture(scope="module")
def graded(shared_tiny: TinyCourse, tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """Grade the hostile class once, by nbgrader's own command."""
    top = tmp_path_factory.mktemp("nb-hostile")
    room = room_for(shared_tiny, top)
    assignment = room.course.assignment(TINY)
    secret = top / "private" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("CANARY of the instructor", encoding="utf-8")
    everybody = cases(room, shared_tiny, secret)
    for student, case in everybody.items():
        place = room.hand_in(assignment, student, case.files)
        for name, target in case.links.items():
            (place / name).symlink_to(target)
        if student == "link-beside":
            os.mkfifo(place / "pipe")
    code = room.here("autograde", TINY)
    assert room.here("generate_feedback", TINY) == 0
    return Graded(room, assignment, everybody, code)


def page(graded: Graded, student: str) -> str:
    path = graded.room.folder / "feedback" / student / TINY / f"{TINY}.html"
    return path.read_text(encoding="utf-8")


def test_everybody_is_graded_for_what_the_code_is_worth(graded: Graded) -> None:
    """No trick with a notebook earns a point, and none of them costs the work that is right."""
    assert graded.code == 0
    totals = graded.room.totals(graded.assignment)
    assert {s: totals.get(s) for s in graded.cases} == {s: case.worth for s, case in graded.cases.items()}


def test_students_are_told_what_was_not_as_it_should_be(graded: Graded) -> None:
    """Whatever was changed, missing, set aside or unreadable is named in the feedback page."""
    untold = {
        student: words
        for student, case in graded.cases.items()
        for words in case.words
        if words not in text_of(page(graded, student))
    }
    assert untold == {}


def test_every_graded_notebook_has_all_official_cells(graded: Graded) -> None:
    """Locked text, cells with points and solution cells are there once each, as they were handed out."""
    official = json.loads(graded.room.released(graded.assignment))
    asked = {}
    for one in official["cells"]:
        if about := one["metadata"].get("nbgrader"):
            asked[about["grade_id"]] = (about, one["source"] if about["locked"] else None)
    for student in graded.cases:
        book = json.loads((graded.room.folder / "autograded" / student / TINY / f"{TINY}.ipynb").read_bytes())
        found = [c for c in book["cells"] if c["metadata"].get("nbgrader")]
        assert sorted(c["metadata"]["nbgrader"]["grade_id"] for c in found) == sorted(asked), student
        for one in found:
            about, source = asked[one["metadata"]["nbgrader"]["grade_id"]]
            assert {k: v for k, v in one["metadata"]["nbgrader"].items() if k != "task"} == {
                k: v for k, v in about.items() if k != "task"
            }, student
            assert source is None or "".join(one["source"]) == "".join(source), student


def test_links_lead_nowhere(graded: Graded) -> None:
    """What a link points to is in no folder of the class, and the link is no link any more."""
    for path in graded.room.folder.rglob("*"):
        assert not path.is_symlink()
        if path.is_file() and path.suffix != ".db":
            assert b"CANARY" not in path.read_bytes(), path
    place = graded.room.folder / "submitted" / "link-beside" / TINY
    assert "not followed" in (place / "leak.html").read_text(encoding="utf-8")
    assert (place / "pipe").is_file()


def test_prose_cannot_act_in_the_graders_browser(graded: Graded) -> None:
    """Scripts, handlers and script links of a student are dead text in the graded notebook and in the page."""
    raw = (graded.room.folder / "autograded" / "script" / TINY / f"{TINY}.ipynb").read_text(encoding="utf-8")
    for text in (raw, page(graded, "script")):
        assert "fetch('/formgrader" in text.replace("&#39;", "'")  # it is shown
        assert "<script>fetch" not in text
        assert not re.search(r"<img[^>]*onerror", text)
        assert not re.search(r"href=.javascript:", text)


def test_our_gradebook_has_every_attempt(graded: Graded) -> None:
    """The journal is the course's own gradebook: `grader show` works on the class."""
    with Gradebook.open(graded.room.course.state / "gradebook.db") as book:
        reports = {report.student: report for report in book.latest(TINY)}
    assert set(graded.cases) <= set(reports)
    assert {s: reports[s].earned for s in graded.cases} == {s: case.worth for s, case in graded.cases.items()}


# --- ungraded ---------------------------------------------------------------------------------------------


def test_ungraded_stays_ungraded_until_it_is_graded(tiny: TinyCourse, tmp_path: Path) -> None:
    """No score and a mark for a human, no feedback page with a zero; the next run grades it."""
    room = room_for(tiny, tmp_path)
    assignment = room.course.assignment(TINY)
    work = filled(room.released(assignment), tiny.reference)
    place = room.hand_in(assignment, "s1", {assignment.notebook: work})
    room.hand_in(assignment, "s2", {assignment.notebook: work})
    hidden = tiny.secret / "test_hidden.py"
    original = hidden.read_text(encoding="utf-8")
    # the suite itself breaks for one check, before the student's code is asked: that is our fault
    broken = original.replace("def test_run_from_rest(", "def test_run_from_rest(nobody, ", 1)
    broken += "\n\n@pytest.fixture\ndef nobody():\n    raise OSError('disk')\n"
    hidden.write_text(broken, encoding="utf-8")
    done = room.grader("nbgrader", "autograde", TINY, "--dir", room.folder, "--quiet")
    assert done.code == 3, done.err
    scores = room.scores(assignment)
    assert set(scores) == {"s1", "s2"}
    assert {(auto, needs) for cells in scores.values() for auto, _, needs in cells.values()} == {(None, True)}
    book = json.loads((room.folder / "autograded" / "s1" / TINY / f"{TINY}.ipynb").read_bytes())
    outputs = [c["outputs"] for c in book["cells"] if c["metadata"].get("nbgrader", {}).get("grade")]
    assert outputs
    assert all("not graded yet" in str(output) for output in outputs)
    assert room.here("generate_feedback", TINY) == 1
    assert not list((room.folder / "feedback").rglob("*.html"))
    # mended: nbgrader's own command, without --force, takes it up again
    hidden.write_text(original, encoding="utf-8")
    assert room.here("autograde", TINY) == 0
    assert room.totals(assignment) == {"s1": FULL_MARKS, "s2": FULL_MARKS}
    assert room.here("generate_feedback", TINY) == 0
    assert place.is_dir()


# --- the exchange -----------------------------------------------------------------------------------------


def test_collecting_is_not_led_astray(tiny: TinyCourse, tmp_path: Path) -> None:
    """Odd names stop nobody, no folder lands elsewhere, links are not copied, forged times are named."""
    room = room_for(tiny, tmp_path)
    assignment = room.course.assignment(TINY)
    assert room.here("release_assignment", TINY) == 0
    inbound = room.exchange / COURSE_ID / "inbound"
    work = filled(room.released(assignment), tiny.reference)
    canary = tmp_path / "canary.txt"
    canary.write_text("CANARY", encoding="utf-8")

    def submit(name: str) -> Path:
        place = inbound / name
        place.mkdir()
        (place / assignment.notebook).write_text(work, encoding="utf-8")
        (place / "timestamp.txt").write_text("yesterday, honestly", encoding="utf-8")
        (place / "submission_secret.txt").write_text("s" * 64, encoding="utf-8")
        return place

    good = submit(f"s1+{TINY}+2999-01-05 12:00:00.000000 UTC+AAAA")
    (good / "leak.html").symlink_to(canary)
    (good / "folder").symlink_to(canary.parent)
    submit(f"s2+{TINY}+2001-01-05 12:00:00.000000 UTC+BBBB")
    submit(f"s3+{TINY}+no time at all+CCCC")
    submit(f"..+{TINY}+2026-01-05 12:00:00.000000 UTC+DDDD")
    submit(f".+{TINY}+2026-01-05 12:00:00.000000 UTC+EEEE")
    (inbound / f"s4+{TINY}+2026-01-05 12:00:00.000000 UTC+FFFF").symlink_to(canary.parent)
    done = room.nbgrader("collect", TINY)
    assert done.code == 0, done.err
    submitted = room.folder / "submitted"
    assert sorted(path.name for path in submitted.iterdir()) == ["s1", "s2"]
    assert not (room.folder / TINY).exists()
    assert not any(b"CANARY" in path.read_bytes() for path in submitted.rglob("*") if path.is_file())
    assert (submitted / "s1" / TINY / "timestamp.txt").read_text() == "2999-01-05 12:00:00.000000 UTC"
    assert (submitted / "s1" / TINY / "submission_secret.txt").read_text() == "s" * 64
    for words in ("was the time forged?", "is not collected: its name", "it is no folder"):
        assert words in done.err, words
    assert done.err.count("was the time forged?") == 1
    assert room.here("autograde", TINY) == 0
    assert room.totals(assignment) == {"s1": FULL_MARKS, "s2": FULL_MARKS}
