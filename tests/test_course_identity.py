"""Fingerprints, the secret and the seed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import grader
from grader.course import identity
from grader.course.assignment import Assignment
from grader.course.catalog import Course
from grader.course.identity import Seed, course_secret, draw_seed, public_fingerprint, suite_fingerprint
from grader.course.skeleton import new_assignment
from grader.errors import CourseError


@pytest.fixture
def course(tmp_path: Path) -> Course:
    (tmp_path / "course" / "assignments").mkdir(parents=True)
    made = Course(tmp_path / "course", tmp_path / "course" / ".grader")
    new_assignment(made, "leaky")
    return made


@pytest.fixture
def assignment(course: Course) -> Assignment:
    return course.assignment("leaky")


# --- fingerprints ----------------------------------------------------------------------------------------


def test_fingerprints_are_stable(course: Course, assignment: Assignment) -> None:
    for fingerprint in (suite_fingerprint, public_fingerprint):
        assert re.fullmatch("[0-9a-f]{64}", fingerprint(assignment))
        assert fingerprint(assignment) == fingerprint(course.assignment("leaky"))
    assert suite_fingerprint(assignment) != public_fingerprint(assignment)


@pytest.mark.parametrize(
    ("name", "suite", "public"),
    [
        ("solutions/leaky/test_hidden.py", True, False),
        ("solutions/leaky/leaky.py", True, False),
        ("solutions/leaky/mutants.yaml", True, False),
        ("solutions/leaky/conftest.py", True, False),
        ("solutions/leaky/twins/weights.py", False, False),
        ("solutions/leaky/figures.py", False, False),
        ("assignments/leaky/assignment.yaml", True, True),
        ("assignments/leaky/test_public.py", False, True),
        ("assignments/leaky/data.py", True, True),
        ("assignments/leaky/leaky.py", False, False),
        ("assignments/leaky/leaky.ipynb", False, False),
        ("assignments/leaky/README.md", False, False),
        ("assignments/misconceptions.yaml", False, False),
    ],
)
def test_what_fingerprints_cover(course: Course, assignment: Assignment, name: str, suite: bool, public: bool) -> None:
    before = suite_fingerprint(assignment), public_fingerprint(assignment)
    path = course.root / name
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")
    after = suite_fingerprint(assignment), public_fingerprint(assignment)
    assert (before[0] != after[0], before[1] != after[1]) == (suite, public)


def test_text_that_moves_from_one_file_to_the_next_changes_the_fingerprint(assignment: Assignment) -> None:
    secret = assignment.secret
    assert secret is not None
    (secret / "test_hidden.py").write_bytes(b"ab")
    (secret / "leaky.py").write_bytes(b"cd")
    before = suite_fingerprint(assignment)
    (secret / "test_hidden.py").write_bytes(b"abc")
    (secret / "leaky.py").write_bytes(b"d")
    assert suite_fingerprint(assignment) != before


def test_versions_count(assignment: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"numpy": "1", "torch": "2"}
    monkeypatch.setattr(identity.metadata, "version", lambda name: versions[name])
    with_torch = replace(assignment, packages=("numpy", "torch"))
    plain, both = suite_fingerprint(assignment), suite_fingerprint(with_torch)
    public = public_fingerprint(assignment)
    assert plain != both
    versions["torch"] = "3"
    assert suite_fingerprint(assignment) == plain  # torch does not exist in a numpy exercise
    assert suite_fingerprint(with_torch) != both
    versions["numpy"] = "4"
    assert suite_fingerprint(assignment) != plain
    assert public_fingerprint(assignment) == public  # a student's numpy is another one
    now = suite_fingerprint(assignment)
    monkeypatch.setattr(grader, "__version__", "99")
    assert suite_fingerprint(assignment) != now


def test_a_package_that_is_not_installed(assignment: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise identity.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(identity.metadata, "version", version)
    assert re.fullmatch("[0-9a-f]{64}", suite_fingerprint(assignment))


def test_fingerprints_import_nothing_heavy(course: Course) -> None:
    code = (
        "import sys; from pathlib import Path; from grader.course.catalog import find_course;"
        "from grader.course import building, handout, identity, mutants, skeleton;"
        f"c = find_course(Path({str(course.root)!r})); identity.suite_fingerprint(c.assignment('leaky'));"
        "print([m for m in ('numpy', 'torch', 'pytest', 'sqlalchemy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_files_are_named(assignment: Assignment) -> None:
    assert assignment.secret is not None
    (assignment.secret / "mutants.yaml").unlink()
    assert suite_fingerprint(assignment)  # an assignment may have no mutants
    (assignment.secret / "test_hidden.py").unlink()
    with pytest.raises(CourseError, match=r"test_hidden\.py: the file is missing"):
        suite_fingerprint(assignment)
    with pytest.raises(CourseError, match="the solutions of `leaky` are not installed here"):
        suite_fingerprint(replace(assignment, secret=None))
    assert public_fingerprint(replace(assignment, secret=None)) == public_fingerprint(assignment)
    (assignment.folder / "test_public.py").unlink()
    with pytest.raises(CourseError, match=r"test_public\.py: the file is missing"):
        public_fingerprint(assignment)


# --- the secret ------------------------------------------------------------------------------------------


def test_the_secret_is_made_once_and_private(course: Course) -> None:
    before = os.umask(0)
    try:
        first = course_secret(course)
    finally:
        os.umask(before)
    path = course.state / "secret"
    assert len(first) == 32
    assert path.read_bytes() == first == course_secret(course)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(course.state.stat().st_mode) == 0o700
    assert [entry.name for entry in course.state.iterdir()] == ["secret"]  # no draft stays


def test_two_courses_have_two_secrets(course: Course, tmp_path: Path) -> None:
    other = Course(tmp_path / "other", tmp_path / "other" / ".grader")
    assert course_secret(course) != course_secret(other)


def test_a_secret_that_others_may_read_is_made_private(course: Course) -> None:
    first = course_secret(course)
    (course.state / "secret").chmod(0o644)
    assert course_secret(course) == first
    assert stat.S_IMODE((course.state / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize("size", [0, 31, 33, 5000])
def test_a_secret_of_the_wrong_size_is_kept_and_told(course: Course, size: int) -> None:
    course.state.mkdir()
    (course.state / "secret").write_bytes(b"x" * size)
    with pytest.raises(CourseError, match=r"secret: the course's secret has \d+ bytes where 32 are asked"):
        course_secret(course)
    assert (course.state / "secret").stat().st_size == size


def test_a_state_that_cannot_be_made(course: Course) -> None:
    course.state.write_text("a file where a folder is asked")
    with pytest.raises(CourseError, match="cannot be read or made") as caught:
        course_secret(course)
    assert "GRADER_STATE" in str(caught.value)
    (course.root / "folder" / "secret").mkdir(parents=True)
    with pytest.raises(CourseError, match="cannot be read or made"):
        course_secret(Course(course.root, course.root / "folder"))


def test_without_hard_links(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: object, target: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(identity.os, "link", link)
    first = course_secret(course)
    assert len(first) == 32
    assert course_secret(course) == first
    assert [entry.name for entry in course.state.iterdir()] == ["secret"]


def _ask(args: tuple[Course, bool]) -> bytes:
    course, links = args
    if not links:

        def link(source: object, target: object) -> None:
            raise PermissionError(1, "not permitted")

        identity.os.link = link  # type: ignore[assignment]  # this is a process of its own
    return course_secret(course)


@pytest.mark.parametrize("links", [True, False])
def test_many_processes_at_once_get_one_secret(tmp_path: Path, links: bool) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        for number in range(25):
            course = Course(tmp_path, tmp_path / f"state{number}")
            found = pool.map(_ask, [(course, links)] * 8, chunksize=1)
            assert len(set(found)) == 1
            assert [entry.name for entry in course.state.iterdir()] == ["secret"]


# --- the seed --------------------------------------------------------------------------------------------


def test_the_seed_is_bound_to_course_assignment_and_fingerprint(
    course: Course, assignment: Assignment, tmp_path: Path
) -> None:
    seed = draw_seed(course, assignment, "f", None)
    assert seed == draw_seed(course, assignment, "f", None)
    assert 0 <= seed.value < 2**64
    others = [
        draw_seed(course, assignment, "g", None),
        draw_seed(course, replace(assignment, id="other"), "f", None),
        draw_seed(Course(course.root, tmp_path / "elsewhere"), assignment, "f", None),
    ]
    assert len({seed, *others}) == 4
    assert len({one.id for one in (seed, *others)}) == 4


def test_the_seed_follows_the_recipe(course: Course, assignment: Assignment) -> None:
    import hmac

    secret = course_secret(course)
    value = int.from_bytes(hmac.new(secret, b"leaky\0abc", "sha256").digest()[:8], "big")
    want = hashlib.sha256(b"seed\0" + value.to_bytes(8, "big")).hexdigest()[:12]
    assert draw_seed(course, assignment, "abc", None) == Seed(value, want)


def test_a_seed_by_hand_needs_no_secret(course: Course, assignment: Assignment) -> None:
    assert draw_seed(course, assignment, "f", 7) == draw_seed(course, assignment, "other", 7)
    assert draw_seed(course, assignment, "f", 7).value == 7
    assert draw_seed(course, assignment, "f", 0).value == 0  # 0 is a seed, not "none"
    assert not course.state.exists()


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_seed_out_of_range(course: Course, assignment: Assignment, value: int) -> None:
    with pytest.raises(CourseError, match="out of range"):
        draw_seed(course, assignment, "f", value)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_ids_tell_seeds_apart(first: int, second: int) -> None:
    here = Path("unused")
    seeds = [draw_seed(Course(here, here), None, "f", value) for value in (first, second)]  # type: ignore[arg-type]
    assert (seeds[0].id == seeds[1].id) == (first == second)
    assert all(re.fullmatch("[0-9a-f]{12}", seed.id) for seed in seeds)
