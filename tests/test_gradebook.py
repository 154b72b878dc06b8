"""The gradebook keeps every attempt and every report, in SQLite and in PostgreSQL alike."""

from __future__ import annotations

import dataclasses
import os
import socket
import sqlite3
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from grader.checking.report import CheckResult, Diagnosis, Outcome, PartResult, Report
from grader.errors import GradebookError
from grader.gradebook import Gradebook
from grader.gradebook.classroom import Cell, ClassroomBook, ClassroomScore
from grader.submissions.submission import Submission

# --- a gradebook of each kind ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def new_target(request, tmp_path_factory):
    """Give a function that names a gradebook which is not there yet."""

    def name() -> str:
        if request.param == "sqlite":
            return str(tmp_path_factory.mktemp("book") / "deep" / "gradebook.db")
        import psycopg

        # A schema of its own is as good as a database of its own, and made much faster.
        schema = f"book_{uuid.uuid4().hex}"
        with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        made.append(schema)
        return f"{server_url}/postgres?options=-csearch_path%3D{schema}"

    made: list[str] = []
    server_url = request.getfixturevalue("postgres") if request.param == "postgresql" else ""
    yield name
    if made:
        import psycopg

        with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
            for schema in made:
                connection.execute(f"DROP SCHEMA {schema} CASCADE")


both = pytest.mark.parametrize("new_target", ["sqlite", "postgresql"], indirect=True)
sqlite_only = pytest.mark.parametrize("new_target", ["sqlite"], indirect=True)


# --- submissions and reports ----------------------------------------------------------------------


def submission(student: str = "s001", source: str = "x = 1\n", assignment: str = "bptt") -> Submission:
    return Submission(
        student=student,
        assignment=assignment,
        chunks=(),
        name="Student One",
        source=f"in/{student}/bptt.py",
        received="2025-03-01T10:00:00+00:00",
        set_aside=("notes.txt: not asked for",),
        files=(("bptt.py", source.encode()),),
    )


def report(of: Submission, **changes: object) -> Report:
    checks = (
        CheckResult("test_a", "one", "A is right", Outcome.PASSED, 2.0, 2.0),
        CheckResult(
            "test_b[W_hh]",
            "two",
            "B is right",
            Outcome.FAILED,
            0.1,
            0.0,
            facts=("wrong shape: (3, 4) where (3, 5) is asked",),
            hint="Look at the carry.",
            misconception="bptt/forgets-the-carry",
            mutant="no_carry",
            detail="assert 1 == 2",
            location="test_hidden.py:12",
            output="printed\n",
        ),
    )
    plain = Report(
        assignment=of.assignment,
        student=of.student,
        name=of.name,
        submission=of.sha256,
        checks=checks,
        parts=(PartResult("one", "Part one", 2.0, 2.0), PartResult("two", "Part two", 0.0, 0.1)),
        outcome="graded",
        earned=2.0,
        possible=2.1,
        tier=1,
        seed_id="seed1",
        fingerprint="suite1",
        cpu_seconds=0.1 + 0.2,
        peak_mb=47.25,
        set_aside=of.set_aside,
        flags=("uses the name torch in line 3",),
        diagnosis=Diagnosis((("no_carry", "bptt/forgets-the-carry", "Look at the carry.", ("test_b[W_hh]",)),)),
    )
    return dataclasses.replace(plain, **changes)


# --- what is kept ---------------------------------------------------------------------------------


@both
def test_report_is_read_back_as_it_was_written(new_target):
    target = new_target()
    handed_in = submission()
    with Gradebook.open(target) as book:
        assert book.report_of("bptt", "s001") is None
        assert book.record(handed_in, report(handed_in), "run1") is True
    with Gradebook.open(target) as book:
        assert book.report_of("bptt", "s001") == report(handed_in)
        assert book.latest("bptt") == [report(handed_in)]
        assert book.latest("lstm") == []
        (grading,) = book.history("bptt", "s001")
        (attempt,) = book.attempts("bptt", "s001")
    assert (grading.run, grading.attempt, grading.is_current, grading.seed_override) == (
        "run1",
        1,
        True,
        False,
    )
    assert grading.graded_at.endswith("+00:00")
    assert attempt.sha256 == handed_in.sha256
    assert (attempt.number, attempt.received, attempt.source) == (1, handed_in.received, handed_in.source)
    assert attempt.set_aside == handed_in.set_aside
    assert attempt.problem is None


any_text = st.text(st.characters(exclude_categories=()), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
any_check = st.builds(
    CheckResult,
    any_text,
    any_text,
    any_text,
    st.sampled_from(Outcome),
    numbers,
    numbers,
    st.lists(any_text, max_size=3).map(tuple),
    st.none() | any_text,
    st.none() | any_text,
    st.none() | any_text,
    any_text,
    any_text,
    any_text,
)
any_hint = st.tuples(any_text, any_text, any_text, st.lists(any_text, max_size=2).map(tuple))


@st.composite
def graded_submissions(draw):
    files = draw(st.dictionaries(st.from_regex(r"[a-z]{1,8}\.py", fullmatch=True), st.binary(max_size=50)))
    handed_in = Submission(
        student=draw(any_text),
        assignment=draw(any_text),
        chunks=(),
        name=draw(any_text),
        source=draw(any_text),
        received=draw(st.none() | any_text),
        set_aside=tuple(draw(st.lists(any_text, max_size=2))),
        problem=draw(st.none() | any_text.map(lambda text: text.encode("utf-8", "replace").decode())),
        files=tuple(files.items()),
    )
    made = Report(
        assignment=handed_in.assignment,
        student=handed_in.student,
        name=draw(any_text),
        submission=handed_in.sha256,
        checks=tuple(draw(st.lists(any_check, max_size=4))),
        parts=tuple(
            draw(st.lists(st.builds(PartResult, any_text, any_text, numbers, numbers), max_size=3)),
        ),
        outcome="graded",
        earned=draw(numbers),
        possible=draw(numbers),
        tier=draw(st.integers(0, 2)),
        seed_id=draw(st.text("0123456789abcdef", max_size=12)),
        fingerprint=draw(st.text("0123456789abcdef", max_size=64)),
        cpu_seconds=draw(numbers),
        peak_mb=draw(numbers),
        set_aside=tuple(draw(st.lists(any_text, max_size=2))),
        problem=draw(st.none() | any_text),
        flags=tuple(draw(st.lists(any_text, max_size=2))),
        diagnosis=Diagnosis(tuple(draw(st.lists(any_hint, max_size=2)))),
        reason=draw(st.none() | any_text),
    )
    return handed_in, made


@both
@pytest.mark.parametrize("text", ["\0", "a\ud800b", "\ud83d\ude00", "\ue01a0041\ue01a", "\x1b[31m", "\n", "'; --", "é"])
def test_text_that_databases_do_not_take_is_kept(new_target, text):
    handed_in = dataclasses.replace(
        submission(text), name=text, source=text, set_aside=(text,), assignment=f"bptt{text}"
    )
    check = CheckResult(text, text, text, Outcome.RAISED, 1.0, 0.0, (text, text), text, text, text, text, text, text)
    made = report(
        handed_in,
        checks=(check,),
        problem=text,
        flags=(text,),
        reason=text,
        parts=(PartResult(text, text, 0, 1),),
    )
    with Gradebook.open(new_target()) as book:
        book.record(handed_in, made, text)
        assert book.report_of(f"bptt{text}", text) == made
        assert book.latest(f"bptt{text}") == [made]
        assert book.history(f"bptt{text}", text)[0].run == text
        assert book.already_graded(f"bptt{text}", "suite1", "seed1") == {(text, handed_in.sha256)}
        assert book.attempts(f"bptt{text}", text)[0].set_aside == (text,)


@pytest.fixture(scope="module")
def open_book(new_target):
    with Gradebook.open(new_target()) as book:
        yield book


@both
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.reuse, Phase.generate],  # a report is large: shrinking a failure takes minutes
)
@given(pair=graded_submissions())
def test_any_report_survives_the_round_trip(open_book, pair):
    # A student of their own for every example: what was recorded for one must not bear on the next.
    student = f"{uuid.uuid4().hex}{pair[0].student}"
    handed_in, made = (dataclasses.replace(part, student=student) for part in pair)
    open_book.record(handed_in, made, "run")
    assert open_book.report_of(made.assignment, made.student) == made
    assert open_book.stored_submission_files(made.assignment, made.student) == dict(handed_in.files)
    (attempt,) = open_book.attempts(made.assignment, made.student)
    for field in ("sha256", "received", "source", "name", "set_aside", "problem"):
        assert getattr(attempt, field) == getattr(handed_in, field)


@both
def test_files_come_back_byte_for_byte(new_target):
    first, second = submission(source="x = 1\r\n"), submission(source="x = 2\0é")
    with Gradebook.open(new_target()) as book:
        book.record(first, report(first), "run")
        book.record(second, report(second), "run")
        assert book.stored_submission_files("bptt", "s001") == dict(second.files)
        assert book.stored_submission_files("bptt", "s001", first.sha256) == dict(first.files)
        with pytest.raises(GradebookError, match="no submission of 's002' for bptt"):
            book.stored_submission_files("bptt", "s002")
        with pytest.raises(GradebookError, match="with SHA-256 000000000000"):
            book.stored_submission_files("bptt", "s001", "0" * 64)


@both
def test_identical_files_of_two_students_are_two_submissions(new_target):
    one, two = submission("s001"), submission("s002")
    assert one.sha256 == two.sha256
    with Gradebook.open(new_target()) as book:
        assert book.record(one, report(one), "run")
        assert book.record(two, report(two), "run")
        assert [found.student for found in book.latest("bptt")] == ["s001", "s002"]
        assert book.already_graded("bptt", "suite1", "seed1") == {("s001", one.sha256), ("s002", one.sha256)}


# --- what is current ------------------------------------------------------------------------------


@both
def test_every_attempt_is_kept_and_the_last_counts(new_target):
    first, second = submission(source="a"), submission(source="b")
    with Gradebook.open(new_target()) as book:
        for handed_in, earned in ((first, 1.0), (second, 2.0)):
            assert book.record(handed_in, report(handed_in, earned=earned), "run")
        assert book.report_of("bptt", "s001").earned == 2.0
        # The student goes back to the first file: that is a third attempt, to be graded again.
        assert ("s001", first.sha256) not in book.already_graded("bptt", "suite1", "seed1")
        assert book.record(first, report(first, earned=1.0), "run")
        assert book.report_of("bptt", "s001").earned == 1.0
        assert [attempt.sha256 for attempt in book.attempts("bptt", "s001")] == [
            first.sha256,
            second.sha256,
            first.sha256,
        ]
        assert [(entry.attempt, entry.is_current) for entry in book.history("bptt", "s001")] == [
            (1, False),
            (2, False),
            (3, True),
        ]


@both
def test_the_same_grading_is_not_recorded_twice_unless_fresh(new_target):
    handed_in = submission()
    with Gradebook.open(new_target()) as book:
        assert book.record(handed_in, report(handed_in), "run1")
        assert not book.record(handed_in, report(handed_in, earned=0.0), "run2")
        assert book.report_of("bptt", "s001").earned == 2.0
        assert book.record(handed_in, report(handed_in, earned=1.5), "run3", fresh=True, seed_override=True)
        assert book.report_of("bptt", "s001").earned == 1.5
        history = book.history("bptt", "s001")
        assert [(entry.run, entry.report.earned, entry.seed_override) for entry in history] == [
            ("run1", 2.0, False),
            ("run3", 1.5, True),
        ]
        assert len(book.attempts("bptt", "s001")) == 1


@both
def test_a_changed_suite_is_graded_again_and_also_when_changed_back(new_target):
    handed_in = submission()
    with Gradebook.open(new_target()) as book:
        for suite, earned in (("suite1", 1.0), ("suite2", 2.0), ("suite1", 1.0)):
            assert book.already_graded("bptt", suite, "seed1") == set()
            assert book.record(handed_in, report(handed_in, fingerprint=suite, earned=earned), "run")
            assert book.already_graded("bptt", suite, "seed1") == {("s001", handed_in.sha256)}
            assert book.already_graded("bptt", suite, "seed2") == set()
            assert book.already_graded("lstm", suite, "seed1") == set()
            assert book.report_of("bptt", "s001").earned == earned
        assert len(book.history("bptt", "s001")) == 3


@both
def test_ungraded_is_kept_but_never_counts_as_done(new_target):
    handed_in = submission()
    broken = report(handed_in, outcome="ungraded", earned=0.0, reason="the sandbox did not start")
    with Gradebook.open(new_target()) as book:
        for _ in range(2):
            assert book.record(handed_in, broken, "run")
            assert book.already_graded("bptt", "suite1", "seed1") == set()
            assert book.report_of("bptt", "s001") == broken
        assert book.record(handed_in, report(handed_in), "run")
        assert book.already_graded("bptt", "suite1", "seed1") == {("s001", handed_in.sha256)}
        # A repeat that the machine fails does not take the grade away, yet it is kept.
        assert book.record(handed_in, broken, "run", fresh=True)
        assert book.report_of("bptt", "s001") == report(handed_in)
        assert book.already_graded("bptt", "suite1", "seed1") == {("s001", handed_in.sha256)}
        assert len(book.history("bptt", "s001")) == 4
        # With a new suite or a new attempt the old grade is not the answer any more.
        assert book.record(handed_in, dataclasses.replace(broken, fingerprint="suite2"), "run")
        assert book.report_of("bptt", "s001").outcome == "ungraded"


@both
def test_practice_grades_do_not_stand_in_for_contained_ones(new_target):
    handed_in = submission()
    done = {("s001", handed_in.sha256)}
    with Gradebook.open(new_target()) as book:
        book.record(handed_in, report(handed_in, tier=0), "run")
        assert book.already_graded("bptt", "suite1", "seed1", tier=0) == done
        assert book.already_graded("bptt", "suite1", "seed1", tier=1) == set()
        assert book.record(handed_in, report(handed_in, tier=2), "run")
        assert book.already_graded("bptt", "suite1", "seed1", tier=1) == done
        assert book.report_of("bptt", "s001").tier == 2


@both
def test_what_does_not_belong_together_is_refused(new_target):
    handed_in = submission()
    good = report(handed_in)
    with Gradebook.open(new_target()) as book:
        for wrong in (
            dataclasses.replace(good, student="s002"),
            dataclasses.replace(good, assignment="lstm"),
            dataclasses.replace(good, submission="0" * 64),
            dataclasses.replace(good, outcome="not submitted"),
            dataclasses.replace(good, earned=float("nan")),
        ):
            with pytest.raises(ValueError, match="report"):
                book.record(handed_in, wrong, "run")
        assert book.history("bptt", "s001") == []
        assert book.attempts("bptt", "s001") == []


# --- several graders ------------------------------------------------------------------------------

WRITER = textwrap.dedent(
    """
    import sys
    from grader.checking.report import CheckResult, Outcome, PartResult, Report
    from grader.gradebook import Gradebook
    from grader.submissions.submission import Submission

    target, run, prefix, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    with Gradebook.open(target) as book:
        for number in range(count):
            handed_in = Submission(f"{prefix}{number}", "bptt", (), files=(("bptt.py", b"%d" % number),))
            checks = tuple(
                CheckResult(f"test_{k}", "one", "T", Outcome.PASSED, 1.0, 1.0, detail="d" * 500)
                for k in range(40)
            )
            made = Report("bptt", handed_in.student, "", handed_in.sha256, checks,
                          (PartResult("one", "One", 40.0, 40.0),), "graded", 40.0, 40.0, 1, "seed1", "suite1")
            print("new" if book.record(handed_in, made, run) else "known", handed_in.student, flush=True)
    """
)


def writer(target: str, run: str, prefix: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, target, run, prefix, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


def finished(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.split("\n")[:-1]


@both
def test_four_graders_of_different_students_lose_nothing(new_target):
    target = new_target()
    written = [finished(one) for one in [writer(target, f"run{k}", f"s{k}-", 50) for k in range(4)]]
    assert all(line.startswith("new ") for lines in written for line in lines)
    with Gradebook.open(target) as book:
        found = book.latest("bptt")
    assert {one.student for one in found} == {f"s{k}-{number}" for k in range(4) for number in range(50)}
    assert len(found) == 200
    assert all(len(one.checks) == 40 for one in found)


@both
def test_four_graders_of_the_same_students_double_nothing(new_target):
    target = new_target()
    written = [finished(one) for one in [writer(target, f"run{k}", "s", 50) for k in range(4)]]
    lines = [line for one in written for line in one]
    assert len(lines) == 200
    assert sorted(line for line in lines if line.startswith("new ")) == sorted(f"new s{n}" for n in range(50))
    with Gradebook.open(target) as book:
        assert len(book.latest("bptt")) == 50
        assert all(len(book.history("bptt", f"s{number}")) == 1 for number in range(50))


@both
@pytest.mark.parametrize("after", [1, 7, 40])
def test_a_killed_grader_leaves_whole_reports_and_all_that_it_said(new_target, after):
    target = new_target()
    process = writer(target, "run", "s", 100_000)
    assert process.stdout is not None
    said = [process.stdout.readline().split()[1] for _ in range(after)]
    process.kill()
    said += [line.split()[1] for line in process.stdout.read().split("\n") if line]
    process.wait()
    with Gradebook.open(target) as book:
        found = {one.student: one for one in book.latest("bptt")}
        assert set(said) <= set(found)
        assert len(found) <= len(said) + 1  # at most the one that it had no time to tell
        for student, one in found.items():
            assert len(one.checks) == 40
            assert one.parts == (PartResult("one", "One", 40.0, 40.0),)
            assert len(book.attempts("bptt", student)) == 1
        # The same command again continues.
        again = finished(writer(target, "run2", "s", len(found) + 5))
        assert [line.split()[0] for line in again] == ["known"] * len(found) + ["new"] * 5


@both
def test_parent_and_child_write_at_the_same_time_after_a_fork(new_target):
    with Gradebook.open(new_target()) as book:

        def write(prefix: str) -> None:
            for number in range(25):
                handed_in = submission(f"{prefix}{number}")
                book.record(handed_in, report(handed_in), "run")

        write("before")
        child = os.fork()
        if child == 0:
            try:
                write("child")
                book.close()
                os._exit(0)
            except BaseException:
                os._exit(1)
        write("parent")
        assert os.waitpid(child, 0)[1] == 0
        write("after")
        assert {one.student for one in book.latest("bptt")} == {
            f"{prefix}{number}" for prefix in ("before", "child", "parent", "after") for number in range(25)
        }


@sqlite_only
def test_the_gradebook_is_one_file_when_closed(new_target):
    target = Path(new_target())
    handed_in = submission()
    with Gradebook.open(target) as book:
        book.record(handed_in, report(handed_in), "run")
    assert [path.name for path in target.parent.iterdir()] == ["gradebook.db"]


# --- PostgreSQL's own failures --------------------------------------------------------------------


def test_a_server_that_is_not_there_is_one_line_without_the_password():
    pytest.importorskip("psycopg")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(GradebookError) as caught:
        Gradebook.open(f"postgresql://grader:sesame@127.0.0.1:{port}/book")
    message = str(caught.value)
    assert "cannot be reached" in message
    assert "127.0.0.1" in message
    assert "sesame" not in message
    assert "\n" not in message


def test_a_database_that_does_not_exist_is_one_line(postgres):
    with pytest.raises(GradebookError, match=r"cannot be reached .*does not exist"):
        Gradebook.open(f"{postgres}/nothing_of_this_name")


@pytest.mark.parametrize("new_target", ["postgresql"], indirect=True)
def test_postgresql_says_when_another_holds_the_lock_or_writing_is_refused(new_target):
    import psycopg

    target = new_target()
    handed_in = submission()
    with Gradebook.open(target, wait_seconds=0.2) as book:
        with psycopg.connect(target) as other:
            other.execute("LOCK TABLE gradebook_meta, students, submissions, reports")
            with pytest.raises(GradebookError, match="keeps the gradebook locked"):
                book.record(handed_in, report(handed_in), "run")
        book.record(handed_in, report(handed_in), "run")
    other = submission("s002")
    with Gradebook.open(f"{target}%20-cdefault_transaction_read_only%3Don") as book:
        with pytest.raises(GradebookError, match="does not let you write"):
            book.record(other, report(other), "run")
        assert book.report_of("bptt", "s001") == report(handed_in)


# --- scores of a classroom system -----------------------------------------------------------------


@both
def test_classroom_scores_are_kept_where_they_change_and_the_last_one_counts(new_target):
    cells = (Cell("part-one", 2.0, None, None, 2.0), Cell("part-two", 0.5, 1.0, 0.25, 1.0))
    first = ClassroomScore(
        "s001", "bptt", "classroom", "graded", 3.0, 3.0, 2.5, 0.25, 0.25, True,
        "2026-01-05T12:00:00+00:00", "2026-01-01T12:00:00+00:00", 3600.0, cells,
    )  # fmt: skip
    other = ClassroomScore("s002", "quiz-final", "grader", "ungraded")
    target = new_target()
    with ClassroomBook.open(target) as book:
        assert book.record_scores([first, other]) == [first, other]
        assert book.record_scores([other, first]) == []
        later = dataclasses.replace(first, late_penalty=1.0, score=2.25)
        assert book.record_scores([later, other]) == [later]
        with pytest.raises(ValueError, match="is no number"):
            book.record_scores([dataclasses.replace(first, score=float("nan"))])
    with ClassroomBook.open(target) as book:
        assert book.classroom_scores() == {("s001", "bptt"): later, ("s002", "quiz-final"): other}
        assert book.scores_of("bptt") == {"s001": later}
        assert later.by_hand
        assert not other.by_hand
        gone = ClassroomScore("s001", "bptt", "classroom", "removed")
        assert book.record_scores([gone]) == [gone]
        assert book.record_scores([gone]) == []
        assert book.scores_of("bptt") == {}
        # it comes back as it was: that is news again
        assert book.record_scores([later]) == [later]
        assert book.scores_of("bptt") == {"s001": later}


def test_a_gradebook_from_before_classrooms_gets_their_table(tmp_path):
    handed_in = submission()
    path = tmp_path / "gradebook.db"
    with Gradebook.open(path) as book:
        book.record(handed_in, report(handed_in), "run")
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE classroom_scores")
    with ClassroomBook.open(path) as book:
        assert book.scores_of("bptt") == {}
        assert book.report_of("bptt", "s001") == report(handed_in)
