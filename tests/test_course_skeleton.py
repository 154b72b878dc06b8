"""Laying a new assignment, and what the example in it is worth."""

from __future__ import annotations

import copy
import inspect
import itertools
import os
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader.course import skeleton
from grader.course.assignment import Assignment
from grader.course.building import generated_files, stale
from grader.course.catalog import Course
from grader.course.misconceptions import load_misconceptions
from grader.course.mutants import apply_mutant, check_misconceptions, load_mutants
from grader.course.skeleton import new_assignment
from grader.course.stub import leaks, solution_lines
from grader.errors import CourseError

# The stand-in for the engine below registers no marks.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    (tmp_path / "assignments").mkdir()
    return Course(tmp_path, tmp_path / ".grader")


def tree(root: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


# --- what is laid ----------------------------------------------------------------------------------------


def test_the_files(course: Course) -> None:
    paths = new_assignment(course, "leaky_unit")
    assert sorted(str(path.relative_to(course.root)) for path in paths) == [
        "assignments/leaky_unit/README.md",
        "assignments/leaky_unit/assignment.yaml",
        "assignments/leaky_unit/leaky_unit.ipynb",
        "assignments/leaky_unit/leaky_unit.py",
        "assignments/leaky_unit/test_public.py",
        "assignments/misconceptions.yaml",
        "solutions/leaky_unit/leaky_unit.py",
        "solutions/leaky_unit/mutants.yaml",
        "solutions/leaky_unit/test_hidden.py",
        "solutions/leaky_unit/twins/weights.py",
    ]
    assert all(path.is_file() for path in paths)
    assert {path.name for path in course.root.rglob(".*")} == set()
    assert not any("@" in path.read_text().replace("@pytest", "").replace(" @ ", "") for path in paths)
    assert (course.root / "assignments" / "leaky_unit").stat().st_mode & 0o077  # not the mode of a draft


def test_the_course_can_read_it(course: Course) -> None:
    new_assignment(course, "leaky")
    assignment = course.assignment("leaky")
    assert assignment.title == "Leaky"
    assert assignment.points == 100
    assert stale(generated_files(assignment)) == []
    mutants = load_mutants(assignment)
    check_misconceptions(mutants, load_misconceptions(course))
    assert len(mutants) == len(load_misconceptions(course)) == 8


@pytest.mark.parametrize("title", ["A title", 'With "quotes": and #', "Größe @ID@ {x} %s", "- [x", "\\n"])
def test_titles_are_quoted(course: Course, title: str) -> None:
    new_assignment(course, "leaky", title)
    assert course.assignment("leaky").title == title
    assert (course.assignment("leaky").folder / "README.md").read_text().startswith(f"# {title}\n")


def test_nothing_public_leaks(course: Course) -> None:
    new_assignment(course, "leaky")
    assignment = course.assignment("leaky")
    assert assignment.secret is not None
    regions = solution_lines((assignment.secret / "leaky.py").read_text())
    for path in assignment.folder.iterdir():
        assert leaks(regions, path.read_text()) == []


@pytest.mark.parametrize(
    "assignment_id",
    [
        "",
        "Leaky",
        "1st",
        "_x",
        "a-b",
        "a/b",
        "../x",
        "a b",
        "class",
        "numpy",
        "torch",
        "random",
        "pytest",
        "test_x",
        "é",
    ],
)
def test_bad_ids(course: Course, assignment_id: str) -> None:
    before = tree(course.root)
    with pytest.raises(CourseError) as caught:
        new_assignment(course, assignment_id)
    assert f"`{assignment_id}`" in str(caught.value)
    assert tree(course.root) == before


@pytest.mark.parametrize("title", ["", "  ", "a\nb", "a\x1b[31m"])
def test_bad_titles(course: Course, title: str) -> None:
    with pytest.raises(CourseError, match="the title must be one line of printable text"):
        new_assignment(course, "leaky", title)
    assert list((course.root / "assignments").iterdir()) == []


@pytest.mark.parametrize("where", ["assignments", "solutions"])
@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_there_is_left(course: Course, where: str, kind: str) -> None:
    place = course.root / where / "leaky"
    place.parent.mkdir(exist_ok=True)
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("x")
    else:
        place.symlink_to("nowhere")
    before = tree(course.root)
    with pytest.raises(CourseError, match=f"{where}/leaky: this is there already"):
        new_assignment(course, "leaky")
    assert tree(course.root) == before


def test_the_installed_course_is_refused(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skeleton, "PACKAGED", course.root)
    with pytest.raises(CourseError, match="the installed course cannot be added to"):
        new_assignment(course, "leaky")
    assert not any(path.name == "leaky" for path in course.root.rglob("*"))


@pytest.mark.parametrize("step", ["write_generated", "apply_mutant", "write_whole", "rename 1", "rename 2"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_nothing(
    course: Course, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    listing = course.root / "assignments" / "misconceptions.yaml"
    listing.write_text("schema: misconceptions/1\nmisconceptions: {}\n")
    before = tree(course.root)
    calls = itertools.count(1)
    real = Path.rename

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    def rename(self: Path, target: Path) -> Path:
        if next(calls) == int(step[-1]):
            raise error
        return real(self, target)

    if step.startswith("rename"):
        monkeypatch.setattr(Path, "rename", rename)
    else:
        monkeypatch.setattr(skeleton, step, fail)
    with pytest.raises(CourseError if isinstance(error, OSError) else KeyboardInterrupt):
        new_assignment(course, "leaky")
    assert tree(course.root) == before


# --- misconceptions.yaml ---------------------------------------------------------------------------------

LISTING = """\
# Keep this comment.
schema: misconceptions/1

misconceptions:
    # and this one
    old/one:   {belief: "B", read: 'R'}     # and its odd layout
    old/two:
        belief: >
            Folded
            text.
        read: R2
    # a last comment
"""


def test_misconceptions_are_appended_as_text(course: Course) -> None:
    listing = course.root / "assignments" / "misconceptions.yaml"
    listing.write_text(LISTING)
    paths = new_assignment(course, "leaky")
    assert listing in paths
    text = listing.read_text()
    assert text.startswith(LISTING)
    got = load_misconceptions(course)
    assert list(got)[:2] == ["old/one", "old/two"]
    assert got["old/two"].belief == "Folded text."
    assert got["leaky/never-carries"].read == "leaky, section run"
    assert len(got) == 10


@pytest.mark.parametrize(
    "text",
    [
        "schema: misconceptions/1\nmisconceptions:\n",
        "schema: misconceptions/1\nmisconceptions: {}",
        "schema: misconceptions/1\nmisconceptions: null  # none yet\n",
        "misconceptions:\nschema: misconceptions/1\n",
        "misconceptions:\n  old/one: {belief: B, read: R}\n\n# about the schema\nschema: misconceptions/1\n",
        "misconceptions:\n  old/one:\n    belief: B\n    read: |\n      R\n\nschema: misconceptions/1\n",
    ],
)
def test_other_layouts(course: Course, text: str) -> None:
    listing = course.root / "assignments" / "misconceptions.yaml"
    listing.write_text(text)
    new_assignment(course, "leaky")
    got = load_misconceptions(course)
    assert len(got) == 8 + text.count("old/one")


def test_a_layout_that_cannot_be_added_to(course: Course) -> None:
    listing = course.root / "assignments" / "misconceptions.yaml"
    listing.write_text("schema: misconceptions/1\nmisconceptions: {old/one: {belief: B, read: R}}\n")
    before = tree(course.root)
    with pytest.raises(CourseError, match=r"misconceptions\.yaml:2:17: misconceptions cannot be added"):
        new_assignment(course, "leaky")
    assert tree(course.root) == before


def test_a_broken_listing_is_told_first(course: Course) -> None:
    listing = course.root / "assignments" / "misconceptions.yaml"
    listing.write_text("schema: misconceptions/1\nmisconceptions:\n  old: {belief: B, read: R}\n")
    before = tree(course.root)
    with pytest.raises(CourseError, match=r"misconceptions\.yaml:3:3: "):
        new_assignment(course, "leaky")
    assert tree(course.root) == before


def test_misconceptions_of_an_earlier_try_are_kept(course: Course) -> None:
    import shutil

    new_assignment(course, "leaky")
    listing = course.root / "assignments" / "misconceptions.yaml"
    before = listing.read_text()
    shutil.rmtree(course.root / "assignments" / "leaky")
    shutil.rmtree(course.root / "solutions" / "leaky")
    assert listing not in new_assignment(course, "leaky")
    assert listing.read_text() == before


# --- what the example is worth ---------------------------------------------------------------------------
# A small stand-in for the engine: it runs a suite on a module in this process, without sandbox or pytest.


@dataclass
class Run:
    """What one check did: its outcome, what it looked at, and its points."""

    outcome: str
    evidence: list[np.ndarray] = field(default_factory=list)
    points: float = 0.0
    title: str = ""


class Failed(Exception):
    """A check that does not hold."""


def load_suite(path: Path, monkeypatch: pytest.MonkeyPatch, evidence: list[np.ndarray]) -> types.ModuleType:
    def close(got: Any, want: Any, tol: float = 1e-4, scale: float | None = None) -> None:
        evidence.append(np.array(got, dtype=float))
        got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
        size = max(float(np.max(np.abs(got) + np.abs(want), initial=0)) if got.shape == want.shape else 1, scale or 0)
        if got.shape != want.shape or not np.isfinite(got).all() or not np.max(np.abs(got - want)) <= tol * size:
            raise Failed

    fake = types.ModuleType("grader.checking")
    fake.close = close  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "grader.checking", fake)
    module = types.ModuleType("suite")
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), module.__dict__)
    return module


class Student:
    """Stands for the proxy: copies arguments in and results out, and keeps to the return specs."""

    def __init__(self, source: str, name: str) -> None:
        self.names: dict[str, Any] = {}
        exec(compile(source, name, "exec", dont_inherit=True), self.names)

    def _call(self, name: str, args: tuple[Any, ...]) -> tuple[Any, list[Any]]:
        sent = [copy.deepcopy(value) for value in args]
        result = self.names[name](*sent)
        if name == "run":
            if not isinstance(result, np.ndarray):
                raise Failed
            return result.copy(), sent
        return float(result), sent

    def step(self, *args: Any) -> float:
        return self._call("step", args)[0]

    def run(self, *args: Any) -> np.ndarray:
        return self._call("run", args)[0]

    def returning_args(self, name: str, *args: Any) -> tuple[Any, list[Any]]:
        return self._call(name, args)


def instances(
    module: types.ModuleType,
) -> Iterator[tuple[str, Callable[..., None], dict[str, Any], list[Any]]]:
    for name, function in vars(module).items():
        if not name.startswith("test_"):
            continue
        marks = function.pytestmark
        cases: list[dict[str, Any]] = [{}]
        for mark in marks:
            if mark.name == "parametrize":
                cases = [{mark.args[0]: value} for value in mark.args[1]]
        for case in cases:
            suffix = f"[{next(iter(case.values()))}]" if case else ""
            yield name + suffix, function, case, marks


def run_suite(path: Path, source: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    evidence: list[np.ndarray] = []
    module = load_suite(path, monkeypatch, evidence)
    student = Student(source, path.parent.name)
    runs: dict[str, Run] = {}
    for number, (name, function, case, marks) in enumerate(instances(module)):
        evidence.clear()
        given = {"student": student, "rng": np.random.default_rng([seed, number]), **case}
        outcome = "passed"
        try:
            function(**{key: given[key] for key in inspect.signature(function).parameters})
        except NotImplementedError:
            outcome = "not attempted"
        except Failed:
            outcome = "failed"
        points = next(mark.args[0] for mark in marks if mark.name == "points")
        title = (function.__doc__ or "").format(**case)
        runs[name] = Run(outcome, list(evidence), points, title)
    return runs


def same_evidence(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(
        one.shape == two.shape
        and np.isfinite(one).all()
        and bool(np.all(np.abs(one - two) <= 1e-6 * np.maximum(np.abs(one) + np.abs(two), 1e-12)))
        for one, two in zip(first, second, strict=True)
    )


SEEDS = range(20)


@pytest.fixture
def example(course: Course) -> tuple[Course, Assignment]:
    new_assignment(course, "leaky")
    return course, course.assignment("leaky")


@pytest.mark.parametrize("suite", ["test_hidden.py", "test_public.py"])
def test_reference_and_twin_get_everything_and_the_stub_is_not_attempted(
    example: tuple[Course, Assignment], monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    _, assignment = example
    assert assignment.secret is not None
    path = (assignment.secret if suite == "test_hidden.py" else assignment.folder) / suite
    good = [assignment.secret / "leaky.py", *(assignment.secret / "twins").glob("*.py")]
    assert len(good) == 2
    for seed in SEEDS:
        for source in good:
            runs = run_suite(path, source.read_text(), seed, monkeypatch)
            assert {run.outcome for run in runs.values()} == {"passed"}
            assert sum(run.points for run in runs.values()) == 100
            assert all(run.title and "{" not in run.title for run in runs.values())
        stub = run_suite(path, (assignment.folder / "leaky.py").read_text(), seed, monkeypatch)
        assert {run.outcome for run in stub.values()} == {"not attempted"}


def test_parts_carry_the_points_of_their_checks(
    example: tuple[Course, Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, assignment = example
    assert assignment.secret is not None
    for path in (assignment.secret / "test_hidden.py", assignment.folder / "test_public.py"):
        totals: dict[str, float] = {}
        for _, _, _, marks in instances(load_suite(path, monkeypatch, [])):
            words = {mark.name: mark.args[0] for mark in marks}
            totals[words["part"]] = totals.get(words["part"], 0) + words["points"]
        assert totals["step"] == 40 if path.name == "test_hidden.py" else set(totals) == {"step", "run"}
    hidden = {part.id: part.points for part in assignment.parts}
    assert hidden == {"step": 40, "run": 60}


def test_every_mutant_is_caught_and_told_apart(
    example: tuple[Course, Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, assignment = example
    assert assignment.secret is not None
    path = assignment.secret / "test_hidden.py"
    reference = (assignment.secret / "leaky.py").read_text()
    mutants = load_mutants(assignment)
    for seed in SEEDS:
        runs = {one.id: run_suite(path, apply_mutant(one, reference), seed, monkeypatch) for one in mutants}
        failed = {one: {name for name, run in found.items() if run.outcome == "failed"} for one, found in runs.items()}
        for mutant in mutants:
            for check in mutant.caught_by:
                assert any(re.sub(r"\[.*", "", name) == check for name in failed[mutant.id]), (
                    mutant.id,
                    check,
                )
            # The cover rule: who else fails all that this mutant fails, with the very same answers?
            if mutant.facts_only:
                continue
            supported = [
                other.id
                for other in mutants
                if failed[other.id] <= failed[mutant.id]
                and all(
                    same_evidence(runs[mutant.id][name].evidence, runs[other.id][name].evidence)
                    for name in failed[other.id]
                )
            ]
            assert supported == [mutant.id]
            wrong = np.concatenate([runs[mutant.id][name].evidence[-1].ravel() for name in failed[mutant.id]])
            assert np.any(~np.isin(wrong, (0.0, 1.0, -1.0)))


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\ndef step(x, h, a): return 0.0\ndef run(xs, h0, a): return np.zeros(len(xs))\n",
        "def step(x, h, a): return x\ndef run(xs, h0, a): return xs\n",
        "def step(x, h, a): return h\ndef run(xs, h0, a): return xs + h0\n",
    ],
)
def test_constants_and_echoes_earn_nothing(
    example: tuple[Course, Assignment], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    _, assignment = example
    assert assignment.secret is not None
    for seed in SEEDS:
        runs = run_suite(assignment.secret / "test_hidden.py", source, seed, monkeypatch)
        assert {run.outcome for run in runs.values()} == {"failed"}


def test_a_course_that_cannot_be_written(course: Course) -> None:
    folder = course.root / "assignments"
    folder.chmod(0o555)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write anywhere")
        with pytest.raises(CourseError, match="cannot be written"):
            new_assignment(course, "leaky")
    finally:
        folder.chmod(0o755)
    assert not (course.root / "solutions").exists()
