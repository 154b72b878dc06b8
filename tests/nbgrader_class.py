"""A classroom on nbgrader for tests: folders, students who fill in notebooks, commands as processes or in this one."""

from __future__ import annotations

import ast
import html
import io
import json
import os
import re
import sqlite3
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.exchange.nbgrader.source import is_solution_id

from .conftest import Told, clean_environment, command, told

COURSE_ID = "rnn"
#: command of nbgrader -> (module, class) of the application that it starts
APPS = {
    "generate_assignment": ("nbgrader.apps.generateassignmentapp", "GenerateAssignmentApp"),
    "release_assignment": ("nbgrader.apps.releaseassignmentapp", "ReleaseAssignmentApp"),
    "fetch_assignment": ("nbgrader.apps.fetchassignmentapp", "FetchAssignmentApp"),
    "submit": ("nbgrader.apps.submitapp", "SubmitApp"),
    "collect": ("nbgrader.apps.collectapp", "CollectApp"),
    "autograde": ("nbgrader.apps.autogradeapp", "AutogradeApp"),
    "generate_feedback": ("nbgrader.apps.generatefeedbackapp", "GenerateFeedbackApp"),
    "release_feedback": ("nbgrader.apps.releasefeedbackapp", "ReleaseFeedbackApp"),
    "fetch_feedback": ("nbgrader.apps.fetchfeedbackapp", "FetchFeedbackApp"),
}
SCORES = """
SELECT a.student_id, b.name, g.auto_score, g.manual_score, g.needs_manual_grade
FROM grade g JOIN submitted_notebook n ON n.id = g.notebook_id JOIN submitted_assignment a ON a.id = n.assignment_id
JOIN assignment t ON t.id = a.assignment_id JOIN base_cell b ON b.id = g.cell_id WHERE t.name = ? ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Classroom:
    """A course folder, an exchange and the students' homes, all under one folder."""

    top: Path
    course: Course

    @property
    def folder(self) -> Path:
        """Return nbgrader's course folder."""
        return self.top / "classroom"

    @property
    def exchange(self) -> Path:
        """Return the exchange."""
        return self.top / "exchange"

    @property
    def env(self) -> dict[str, str]:
        """Return the environment of every command: nobody's own settings of Jupyter are in it."""
        places = {"HOME": "home", "JUPYTER_CONFIG_DIR": "jupyter", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython"}
        return clean_environment(
            {
                **{name: str(self.top / place) for name, place in places.items()},
                "GRADER_COURSE": str(self.course.root),
                "GRADER_STATE": str(self.course.state),
                "JUPYTER_NO_CONFIG": "",
            }
        )

    def grader(self, *arguments: str | Path, seconds: float = 600) -> Told:
        """Run our command line as a process."""
        return told(command(*arguments), cwd=self.top, env=self.env, seconds=seconds)

    def grader_here(self, *arguments: str | Path) -> Told:
        """Run our command line in this process: the same code, without a start-up."""
        from grader.cli.main import run

        out, err = io.StringIO(), io.StringIO()
        with environment(self.env), standing_in(self.top), redirect_stdout(out), redirect_stderr(err):
            try:
                run([*map(str, arguments)])
            except SystemExit as ended:
                return Told(int(ended.code or 0), out.getvalue(), err.getvalue())
        raise AssertionError("the command line did not end")

    def nbgrader(self, *arguments: str | Path, cwd: Path | None = None, seconds: float = 600) -> Told:
        """Run nbgrader as a process."""
        argv = [sys.executable, "-m", "nbgrader", *map(str, arguments)]
        return told(argv, cwd=cwd or self.folder, env=self.env, seconds=seconds)

    def here(self, name: str, *arguments: str, cwd: Path | None = None) -> int:
        """Run a command of nbgrader in this process and return its exit code: the same code, without a start-up."""
        module, attribute = APPS[name]
        with environment(self.env), standing_in(cwd or self.folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of nbgrader's own doing
            app = getattr(import_module(module), attribute)()
            try:
                app.initialize([*arguments, "--log-level=ERROR"])
                app.start()
            except SystemExit as ended:
                return int(ended.code or 0)
        return 0

    def lay(self, roster: Path | None = None) -> Told:
        """Make the course folder, with the exchange in its settings as an instructor writes it there."""
        for name in ("home", "exchange"):
            (self.top / name).mkdir(parents=True, exist_ok=True)
        self.exchange.chmod(0o777)
        extra = ["--roster", roster] if roster else []
        done = self.grader("nbgrader", "init", self.folder, "--course-id", COURSE_ID, *extra)
        assert done.code == 0, done.err
        with (self.folder / "nbgrader_config.py").open("a", encoding="utf-8") as stream:
            stream.write(f"c.Exchange.root = {str(self.exchange)!r}\n")
        return done

    def home_of(self, student: str) -> Path:
        """Return a student's folder, with settings of the student's own."""
        home = self.top / "homes" / student
        if not home.exists():
            home.mkdir(parents=True)
            (home / "nbgrader_config.py").write_text(
                f'c = get_config()\nc.CourseDirectory.course_id = "{COURSE_ID}"\n'
                f"c.Exchange.root = {str(self.exchange)!r}\nc.Exchange.cache = {str(home / '.cache')!r}\n",
                encoding="utf-8",
            )
        return home

    def released(self, assignment: Assignment) -> str:
        """Return the notebook as students get it."""
        return (self.folder / "release" / assignment.id / assignment.notebook).read_text(encoding="utf-8")

    def hand_in(self, assignment: Assignment, student: str, files: Mapping[str, str | bytes]) -> Path:
        """Put files where `nbgrader collect` puts them, and return the folder."""
        place = self.folder / "submitted" / student / assignment.id
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (place / "timestamp.txt").write_text("2026-01-05 12:00:00.000000 UTC", encoding="utf-8")
        return place

    def scores(self, assignment: Assignment) -> dict[str, dict[str, tuple[float | None, float | None, bool]]]:
        """Return (auto_score, manual_score, needs_manual_grade) by student and cell, from nbgrader's database."""
        found: dict[str, dict[str, tuple[float | None, float | None, bool]]] = {}
        with sqlite3.connect(f"file:{self.folder / 'gradebook.db'}?mode=ro", uri=True) as raw:
            for student, cell, auto, manual, needs in raw.execute(SCORES, (assignment.id,)):
                found.setdefault(student, {})[cell] = (auto, manual, bool(needs))
        return found

    def totals(self, assignment: Assignment) -> dict[str, float | None]:
        """Return what each student has; None where a cell has no score."""
        return {
            student: None
            if any(auto is None for auto, _, _ in cells.values())
            else sum(a for a, _, _ in cells.values())  # type: ignore[misc]
            for student, cells in self.scores(assignment).items()
        }

    def everything(self) -> list[tuple[Any, ...]]:
        """Return all that nbgrader's database says, without the random ids of its rows."""
        queries = (
            "SELECT id, first_name, last_name, email FROM student ORDER BY 1",
            "SELECT t.name, a.student_id, a.timestamp, a.extension FROM submitted_assignment a "
            "JOIN assignment t ON t.id = a.assignment_id ORDER BY 1, 2",
            "SELECT t.name, a.student_id, n.late_submission_penalty, n.flagged, b.name, c.auto_comment FROM comment c "
            "JOIN base_cell b ON b.id = c.cell_id JOIN submitted_notebook n ON n.id = c.notebook_id "
            "JOIN submitted_assignment a ON a.id = n.assignment_id JOIN assignment t ON t.id = a.assignment_id "
            "ORDER BY 1, 2, 5",
            "SELECT t.name, x.* FROM assignment t, "
            + SCORES.replace("SELECT", "(SELECT t.name AS of_, ", 1).replace("WHERE t.name = ? ORDER BY 1, 2", "")
            + ") x WHERE x.of_ = t.name ORDER BY 1, 3, 4",
        )
        with sqlite3.connect(f"file:{self.folder / 'gradebook.db'}?mode=ro", uri=True) as raw:
            return [row for query in queries for row in raw.execute(query)]


@contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """Replace this process's environment for a while."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """Stand in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def filled(released: str, source: str) -> str:
    """Return a released notebook with a module's code in it: definitions in their cells, the rest at the top.

    What is given stays, as it does for a careful student: code that is given may need it.
    """
    book = json.loads(released)
    ids = {c["metadata"]["nbgrader"]["grade_id"] for c in book["cells"] if c["metadata"].get("nbgrader")}
    lines = source.split("\n")
    try:
        body = ast.parse(source).body
    except SyntaxError:
        body = []
    cells: dict[str, str] = {}
    used: set[int] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and f"solution-{node.name}" in ids:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
            assert node.end_lineno is not None
            cells[f"solution-{node.name}"] = "\n".join(lines[first : node.end_lineno])
            used.update(range(first, node.end_lineno))
    rest = "\n".join(line for number, line in enumerate(lines) if number not in used)
    plain = next(c for c in book["cells"] if c["cell_type"] == "code" and not c["metadata"].get("nbgrader"))
    plain["source"] = rest + "\n" + "".join(plain["source"])
    for cell in book["cells"]:
        grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if is_solution_id(grade_id) and grade_id in cells:
            cell["source"] = cells[grade_id]
    return json.dumps(book)


def text_of(page: str) -> str:
    """Return what a reader of an HTML page reads, spaces normalised and quotes of code left out."""
    body = page[page.index("<body") :] if "<body" in page else page
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", body, flags=re.DOTALL)
    plain = html.unescape(re.sub(r"<[^>]+>", "", body)).replace("`", "")
    return " ".join(plain.split())
