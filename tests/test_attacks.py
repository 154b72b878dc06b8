"""Hostile submissions: each gets exactly what it deserves, and the class around it is graded as if it were not there.

The attacks of code lie in `attacks/`, one file for each group; they go through the real engine in one run, among
submissions that are right. Hostile archives, notebooks, folders and student ids go through a second one.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import tarfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from rich.console import Console

from grader.checking.report import CheckResult, Outcome, Report
from grader.course.catalog import Course
from grader.course.skeleton import new_assignment
from grader.gradebook.store import Gradebook
from grader.grading.engine import grade_class, hidden_examination
from grader.reports.csv_table import csv_text
from grader.reports.json_lines import json_line
from grader.reports.markdown import feedback, write_feedback
from grader.reports.terminal import class_table, submission_view
from grader.sandbox.bubblewrap import find_program
from grader.sandbox.inside.lockdown import landlock_version
from grader.submissions.discover import read_submissions
from grader.submissions.submission import Chunk, Submission

pytestmark = pytest.mark.skipif(landlock_version() < 1 and find_program() is None, reason="no sandbox here")

ATTACKS = Path(__file__).parent / "attacks"
LIMITS = "{call_cpu_seconds: 1, call_wall_seconds: 4, cpu_seconds: 6, wall_seconds: 6, memory_mb: 512, reply_mb: 16}"
POINTS = {"test_step": 40, "test_run": 35, "test_run_from_rest": 10, "test_inputs_are_left": 15}
GOOD = {
    "step": "def step(x, h, a):\n    return a * h + (1 - a) * x\n",
    "run": "def run(xs, h0, a):\n    states = []\n    for x in xs:\n        h0 = a * h0 + (1 - a) * x\n"
    "        states.append(h0)\n    return np.array(states)\n",
}
BETWEEN = 6  # attacks between one right submission and the next


@dataclass(frozen=True)
class Attack:
    """A hostile submission and what must come of it."""

    group: str
    name: str
    expected: dict[str, str]
    source: str

    @property
    def student(self) -> str:
        """Return the id under which it is handed in."""
        return f"{self.group}-{self.name}"

    def words(self, check: CheckResult) -> str:
        """Return what is expected of one check: its outcome, and after a colon the fact that the student reads."""
        return self.expected.get(check.id) or self.expected.get(check.part) or self.expected.get("*") or "passed"


def load(path: Path) -> list[Attack]:
    """Read one group of attacks."""
    spec = importlib.util.spec_from_file_location(f"attacks_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [Attack(path.stem, *attack) for attack in module.ATTACKS]


ALL = [attack for path in sorted(ATTACKS.glob("*.py")) for attack in load(path)]
SLOWEST_FIRST = sorted(ALL, key=lambda a: "timed out" not in str(a.expected))


def whole(attack: Attack, places: dict[str, str]) -> str:
    """Return the attack as a file: numpy is imported, and what it does not define is right."""
    source = attack.source
    for word, place in places.items():
        source = source.replace(f"@{word}@", place)
    good = [text for name, text in GOOD.items() if not re.search(rf"^def {name}\(", source, re.MULTILINE)]
    return "\n\n".join(["import numpy as np\n" + source, *good])


@dataclass(frozen=True)
class Graded:
    """A class after grading: the reports by student, the seconds it took, and what the gradebook holds."""

    reports: dict[str, Report]
    seconds: float
    book: dict[str, Report]


@dataclass(frozen=True)
class Place:
    """A course of one assignment, made for the attacks, and where it lies."""

    course: Course
    reference: str

    @property
    def folder(self) -> Path:
        """Return the folder in which the course's own folder lies."""
        return self.course.root.parent

    def grade(self, submissions: list[Submission]) -> Graded:
        """Grade a class with two examiners into a new gradebook."""
        began = time.monotonic()
        with Gradebook.open(self.folder / f"{submissions[0].student}.db") as book:
            examination = hidden_examination(self.course, self.course.assignment("leaky"))
            result = grade_class(examination, submissions, book, jobs=2)
            recorded = {s.student: book.history("leaky", s.student) for s in submissions}
        assert {len(history) for history in recorded.values()} == {1}
        return Graded(
            {r.student: r for r in result.reports},
            time.monotonic() - began,
            {student: history[0].report for student, history in recorded.items()},
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Lay a course of one assignment with narrow limits."""
    root = tmp_path_factory.mktemp("attacks") / "course"
    (root / "assignments").mkdir(parents=True)
    course = Course(root, root / ".grader")
    new_assignment(course, "leaky")
    declared = root / "assignments" / "leaky" / "assignment.yaml"
    yaml = declared.read_text(encoding="utf-8")
    yaml, changed = re.subn(r"(?m)^limits: .*$", f"limits: {LIMITS}", yaml)
    assert changed == 1
    declared.write_text(yaml.replace("forbidden: []", "forbidden: [numpy.convolve]"), encoding="utf-8")
    return Place(course, (root / "solutions" / "leaky" / "leaky.py").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def graded(place: Place) -> Graded:
    """Grade all attacks in one run, with right submissions among them."""
    canary = place.folder / "canary"
    canary.write_text("canary", encoding="utf-8")
    for folder in (place.folder, place.folder.parent):
        folder.chmod(0o755)  # whoever the worker runs as: it is the sandbox that must refuse
    words = {
        "COURSE": str(place.course.root),
        "CANARY": str(canary),
        "NEIGHBOUR": str(place.folder / "class" / "neighbour-0" / "leaky.py"),
        "PACKAGES": str(Path(pytest.__file__).parents[1]),
    }
    work: dict[str, str] = {}
    for number, attack in enumerate(SLOWEST_FIRST):
        if number % BETWEEN == 0:
            work[f"neighbour-{number // BETWEEN}"] = place.reference
        work[attack.student] = whole(attack, words)
    work["neighbour-last"] = place.reference
    for student, source in work.items():
        (place.folder / "class" / student).mkdir(parents=True)
        (place.folder / "class" / student / "leaky.py").write_text(source, encoding="utf-8")
    found = {s.student: s for s in read_submissions(place.course.assignment("leaky"), [place.folder / "class"])}
    assert set(found) == set(work)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNROLLED_CANARY", "canary")
        return place.grade([found[student] for student in work])


@pytest.mark.parametrize("attack", ALL, ids=lambda a: a.student)
def test_attack(graded: Graded, attack: Attack) -> None:
    """An attack comes to exactly what it must: the outcome of every check, the points, what is said."""
    report = graded.reports[attack.student]
    told = {c.id: ": ".join([c.outcome.value, *c.facts]) for c in report.checks}
    asked = {c.id: attack.words(c) for c in report.checks}
    wrong = {k: f"{told[k]!r} and not {asked[k]!r}" for k in told if not fnmatchcase(told[k], asked[k])}
    details = [c.detail for c in report.checks if c.detail]
    assert not wrong, f"{wrong} {details}"
    assert report.outcome == "graded"
    assert set(told) == set(POINTS)
    assert report.earned == sum(POINTS[check] for check, words in asked.items() if words == "passed")
    if "detail" in attack.expected:
        assert attack.expected["detail"] in details
    assert list(report.flags) == [f for f in [attack.expected.get("flags")] if f]
    # what a student may read comes from fixed words; nothing that the code said or was given is in it
    visible = " ".join([*(" ".join([*c.facts, c.hint or ""]) for c in report.checks), *report.set_aside])
    assert "LEAK" not in visible
    assert report.cpu_seconds < 12
    assert report.peak_mb < 700


def test_there_are_attacks_of_every_group() -> None:
    """No group is empty, and no two attacks share a name."""
    assert {a.group for a in ALL} == {"leaving", "lying", "reading", "means", "breaking", "state", "output"}
    assert len({a.student for a in ALL}) == len(ALL) > 150


def without_measures(report: Report) -> Report:
    """Return a report without what differs from run to run and from student to student."""
    return replace(report, student="", cpu_seconds=0.0, peak_mb=0.0)


def test_neighbours_are_graded_as_if_they_were_alone(place: Place, graded: Graded) -> None:
    """Between the attacks a right submission gets what it gets in a class of its own."""
    alone = Submission(
        "alone", "leaky", (Chunk("leaky.py", place.reference),), files=(("leaky.py", place.reference.encode()),)
    )
    quiet = without_measures(place.grade([alone]).reports["alone"])
    assert quiet.earned == quiet.possible == 100
    assert all(c.outcome is Outcome.PASSED and not c.facts and not c.output and not c.detail for c in quiet.checks)
    neighbours = {student: r for student, r in graded.reports.items() if student.startswith("neighbour-")}
    assert len(neighbours) == -(-len(ALL) // BETWEEN) + 1
    assert {student: without_measures(r) for student, r in neighbours.items()} == dict.fromkeys(neighbours, quiet)
    assert max(r.peak_mb for r in neighbours.values()) < 200


def test_the_class_is_done_in_bounded_time_and_recorded(graded: Graded) -> None:
    """All attacks together take no longer than their limits allow, and the gradebook holds what was reported."""
    assert graded.seconds < 300
    assert sum(r.cpu_seconds for r in graded.reports.values()) < 60
    assert graded.book == graded.reports


def test_no_attack_earns_a_hint(graded: Graded) -> None:
    """What an attack returns is no misconception of the course; only an honest mistake is explained."""
    hinted = {s for s, r in graded.reports.items() if r.diagnosis.hints or any(c.hint for c in r.checks)}
    assert hinted == {"state-works_in_its_input"}  # which is one


def test_what_is_written_for_readers_is_harmless(graded: Graded) -> None:
    """No report of an attack moves a cursor, reorders text, opens a tag or starts a formula."""
    reports = list(graded.reports.values())
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=False, width=200)
    class_table(reports, [], console)
    for report in reports:
        submission_view(report, console, for_instructor=True)
    pages = {r.student: feedback(r, "Leaky") for r in reports}
    table = csv_text(reports, [])
    texts = {"screen": screen.getvalue(), "table": table.replace("\r\n", "\n"), **pages}
    texts |= {f"{r.student} json": json_line(r) for r in reports}
    odd = {
        name: sorted({hex(ord(c)) for c in text if c != "\n" and not c.isprintable()}) for name, text in texts.items()
    }
    assert {name: found for name, found in odd.items() if found} == {}
    assert not [name for name, page in pages.items() if "LEAK" in page or "<script" in page]
    cells = [cell for row in csv.reader(io.StringIO(table)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    assert "LEAK" in screen.getvalue()  # the instructor reads what the code said


# --- archives, notebooks, folders, ids -------------------------------------------------------------------------------

ALIEN = {
    "conftest.py": "raise SystemExit(0)",
    "pytest.ini": "[pytest]\naddopts = --collect-only",
    "sitecustomize.py": "raise SystemExit(0)",
    "evil.pth": "import os; os._exit(0)",
    "numpy.py": "raise SystemExit(0)",
    "numpy/__init__.py": "raise SystemExit(0)",
    "setup.py": "raise SystemExit(0)",
    "data.pkl": "cos\nsystem\n(S'true'\ntR.",
    "test_hidden.py": "def test_step(): pass",
    "__pycache__/leaky.cpython-311.pyc": "stale",
    ".git/hooks/post-checkout": "#!/bin/sh\nexit 1",
}


def archive(path: Path, members: Mapping[str, str | bytes | zipfile.ZipInfo]) -> None:
    """Write a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        for name, content in members.items():
            stream.writestr(name, content if isinstance(content, str | bytes) else b"")


def notebook(*cells: str) -> str:
    """Return a notebook with these code cells, and metadata that nobody should follow."""
    code = [
        {"cell_type": "code", "source": source, "outputs": [{"output_type": "stream", "text": "100 points"}],
         "metadata": {"nbgrader": {"grade": True, "points": 1000, "solution": False}}, "execution_count": 1}
        for source in cells
    ]  # fmt: skip
    metadata = {"kernelspec": {"name": "evil", "argv": ["/bin/sh", "-c", "exit 1"]}, "language_info": {"name": "sh"}}
    return json.dumps({"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def handed_in(place: Place) -> Graded:
    """Grade a class of hostile archives, notebooks, folders and ids."""
    root = place.folder / "handed in"
    root.mkdir()
    good, secret = place.reference, place.course.root / "solutions" / "leaky" / "leaky.py"

    def student(name: str, files: Mapping[str, str | bytes]) -> Path:
        for file, content in files.items():
            path = root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root / name

    student("planted", {"leaky.py": good, **ALIEN})
    archive(root / "planted-archive.zip", {"work/leaky.py": good, **{f"work/{k}": v for k, v in ALIEN.items()}})
    archive(root / "traversal.zip", {"../../leaky.py": good, "../leaky.py": good, "/leaky.py": good})
    archive(root / "traversal-beside.zip", {"../../planted.py": "raise SystemExit", "leaky.py": good})
    link = zipfile.ZipInfo("leaky.py")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(root / "link-in-archive.zip", "w") as stream:
        stream.writestr(link, str(secret))
    with tarfile.open(root / "link-in-tar.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("leaky.py")
        member.type, member.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(member)
    with tarfile.open(root / "device-in-tar.tar", "w") as tar:
        member = tarfile.TarInfo("leaky.py")
        member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 1, 9
        tar.addfile(member)
    archive(root / "bomb.zip", {"leaky.py": b" " * (80 << 20)})
    archive(root / "crowd.zip", {"leaky.py": good, **{f"f{n}.txt": "" for n in range(5000)}})
    archive(root / "lookalike.zip", {"l\u0435aky.py": good, "leaky.py\u202e": good})
    (root / "damaged.zip").write_bytes(b"PK\x03\x04" + bytes(range(256)) * 4)
    (root / "link").mkdir()
    (root / "link" / "leaky.py").symlink_to(secret)
    (root / "link-to-folder").symlink_to(secret.parent, target_is_directory=True)
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "leaky.py")
    owned = place.folder / "owned"
    magics = notebook(f"import numpy as np\n!touch {owned}\n%run evil.py", good, "%%bash\nexit 1")
    student("magics", {"leaky.ipynb": magics})
    student("shell-only", {"leaky.ipynb": notebook(f"!touch {owned}", "%%script sh\nexit")})
    student("deep-notebook", {"leaky.ipynb": "[" * 200_000})
    student("large", {"leaky.py": good + "#" * (3 << 20)})
    student("zeros", {"leaky.py": bytes(1000)})
    student("no-text", {"leaky.py": b"\xff\xfe\xfd" + good.encode()})
    student("empty", {"leaky.py": ""})
    for name in IDS:
        student(name, {"leaky.py": good})
    submissions = read_submissions(place.course.assignment("leaky"), [root])
    return place.grade(submissions)


#: Names of folders; each must come out as an id that is harmless everywhere.
IDS = [
    "=cmd|' !A0",
    "@SUM(A1)",
    "-rf",
    "+1",
    "<script>alert(1)<",
    "a\x1b[2J",
    "a\u202eb",
    "[red]a[",
    "a\nb",
    "x" * 250,
    "CON",
    'a, b; c"d',
]

#: What comes of each: the points, and words of the reason where it could not be tried.
HANDED_IN = {
    "planted": (100, None),
    "planted-archive": (100, None),
    "traversal": (0, "no leaky.py"),
    "traversal-beside": (100, None),
    "link-in-archive": (0, "link"),
    "link-in-tar": (0, "link"),
    "device-in-tar": (0, "device"),
    "bomb": (0, "large"),
    "crowd": (100, None),
    "lookalike": (0, "no leaky.py"),
    "damaged": (0, "damaged"),
    "link": (0, "link"),
    "link-to-folder": (0, "link"),
    "pipe": (0, "not a regular file"),
    "magics": (100, None),
    "shell-only": (0, None),
    "deep-notebook": (0, "notebook"),
    "large": (0, "at most 2.0 MiB"),
    "zeros": (0, "NUL byte"),
    "no-text": (0, "not utf-8"),
    "empty": (0, None),
}


@pytest.mark.parametrize("student", HANDED_IN)
def test_what_was_handed_in(handed_in: Graded, student: str) -> None:
    """Of a hostile archive, notebook or folder the whitelisted text is taken; everything else is refused by name."""
    points, reason = HANDED_IN[student]
    report = handed_in.reports[student]
    assert report.outcome == "graded"
    assert report.earned == points, (report.problem, report.set_aside, [c.facts for c in report.checks])
    assert (report.problem is None) == (reason is None), report.problem
    if reason is not None:
        assert reason in str(report.problem)


def test_planted_files_are_reported_and_never_used(handed_in: Graded) -> None:
    """What is set aside is named; a stale cache and a hidden folder are passed over."""
    for student in ("planted", "planted-archive"):
        told = " ".join(handed_in.reports[student].set_aside)
        for name in ("conftest.py", "pytest.ini", "sitecustomize.py", "evil.pth", "numpy.py", "setup.py", "data.pkl"):
            assert name in told, (student, name)


def test_nothing_was_written_by_an_archive_or_a_notebook(place: Place, handed_in: Graded) -> None:
    """No member of an archive lands on the disk, and no magic or shell line is carried out."""
    assert not (place.folder / "owned").exists()
    for folder in (place.folder, place.folder.parent, place.folder / "handed in"):
        assert not (folder / "planted.py").exists()
        assert not (folder / "leaky.py").exists()


def test_ids_are_harmless_everywhere(handed_in: Graded, tmp_path: Path) -> None:
    """A student id with a formula, markup or control characters is one printable cell, line and file name."""
    reports = [r for s, r in handed_in.reports.items() if s not in HANDED_IN]
    assert len(reports) == len(IDS)
    assert {r.earned for r in reports} == {100}
    assert all(r.student.isprintable() and len(r.student) <= 128 for r in reports)
    cells = [row[0] for row in csv.reader(io.StringIO(csv_text(reports, [])))]
    assert len(cells) == len(IDS) + 1
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]
    files = write_feedback(tmp_path / "feedback", reports, "Leaky")
    assert len({f.name.casefold() for f in files}) == len(IDS)
    assert {f.parent for f in files} == {tmp_path / "feedback"}
    assert [f.name for f in files if not re.fullmatch(r"\w[\w~-]*\.md", f.name)] == []
    assert not [f for f in files if "<script" in f.read_text(encoding="utf-8")]
