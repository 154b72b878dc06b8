"""What goes wrong with a gradebook file is one line with advice, and what was recorded before stays."""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.checking.report import CheckResult, Outcome, Report
from grader.errors import GradebookError
from grader.gradebook import Gradebook
from grader.submissions.submission import Submission


def record(book: Gradebook, student: str, detail: str = "") -> None:
    handed_in = Submission(student, "bptt", (), files=(("bptt.py", b"x = 1\n"),))
    checks = (CheckResult("test_a", "one", "A", Outcome.FAILED, 1.0, 0.0, detail=detail),)
    book.record(
        handed_in,
        Report("bptt", student, "", handed_in.sha256, checks, (), "graded", 0.0, 1.0, 1, "seed", "suite"),
        "run",
    )


def students_in(path: Path) -> list[str]:
    with Gradebook.open(path) as book:
        return [report.student for report in book.latest("bptt")]


def line_of(act: Callable[[], object]) -> str:
    """Return the message of the GradebookError that `act` raises, having made sure that it is one line."""
    with pytest.raises(GradebookError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.advice, message
    return message


def as_ordinary_user(act: Callable[[], object]) -> object:
    """Return what `act` returns or raises when an ordinary user runs it (root may write everywhere)."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            result = act()
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(pickle.dumps(result))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        result = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    return result


def opened_up(path: Path) -> None:
    """Let everyone pass through the folders above `path`, as pytest keeps its own closed."""
    for folder in path.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)


@pytest.mark.parametrize("content", [b"not a database at all\n", b"SQLite format 3\0" + b"\xa5" * 4000, b"PK"])
def test_a_damaged_file_is_told_and_left_untouched(tmp_path, content):
    path = tmp_path / "gradebook.db"
    path.write_bytes(content)
    message = line_of(lambda: Gradebook.open(path))
    assert message.startswith(f"{path}: the gradebook is damaged")
    assert "left untouched" in message
    assert "move it away" in message
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["gradebook.db"]


def test_damage_in_the_middle_is_told_when_it_is_met(tmp_path):
    path = tmp_path / "gradebook.db"
    with Gradebook.open(path) as book:
        for number in range(30):
            record(book, f"s{number:03}", detail="d" * 3000)
    content = bytearray(path.read_bytes())
    assert len(content) > 100_000
    content[40_000:] = b"\x5a" * (len(content) - 40_000)
    path.write_bytes(content)
    message = line_of(lambda: students_in(path))
    assert "the gradebook is damaged" in message
    assert "restore a backup" in message


def test_an_empty_file_becomes_a_gradebook(tmp_path):
    path = tmp_path / "gradebook.db"
    path.touch()
    assert students_in(path) == []


def test_the_database_of_another_program_is_left_as_it_is(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE students (x)")
    other.close()
    before = path.read_bytes()
    message = line_of(lambda: Gradebook.open(path))
    assert "is a database, but no gradebook" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize(("version", "said"), [("2", "written by a newer grader"), ("old", "does not say its version")])
def test_a_gradebook_of_another_version_is_left_as_it_is(tmp_path, version, said):
    path = tmp_path / "gradebook.db"
    Gradebook.open(path).close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE gradebook_meta SET value = ? WHERE key = 'schema'", (version,))
    other.close()
    before = path.read_bytes()
    message = line_of(lambda: Gradebook.open(path))
    assert said in message
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    opened_up(folder / "x")
    Gradebook.open(tmp_path / "warm.db").close()  # load every module while still allowed to read it
    folder.chmod(0o555)
    try:
        for path in (folder / "gradebook.db", folder / "deeper" / "gradebook.db"):
            message = as_ordinary_user(lambda path=path: Gradebook.open(path).close())
            assert isinstance(message, str)
            assert message.startswith(f"GradebookError: {path}: the gradebook cannot be opened for writing")
            assert "Check that you may write" in message
            assert "\n" not in message
    finally:
        folder.chmod(0o755)
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_be_written_keeps_its_grades(tmp_path):
    folder = tmp_path / "closed"
    path = folder / "gradebook.db"
    with Gradebook.open(path) as book:
        record(book, "s001")
    opened_up(path)
    path.chmod(0o444)
    folder.chmod(0o555)

    def try_to_record() -> None:
        with Gradebook.open(path) as book:
            record(book, "s002")

    try:
        message = as_ordinary_user(try_to_record)
    finally:
        folder.chmod(0o755)
        path.chmod(0o644)
    assert isinstance(message, str)
    assert message.startswith(f"GradebookError: {path}: the gradebook cannot be opened for writing")
    assert students_in(path) == ["s001"]


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    path = tmp_path / "gradebook.db"
    Gradebook.open(path).close()
    opened_up(path)
    path.chmod(0o000)
    message = as_ordinary_user(lambda: Gradebook.open(path).close())
    assert isinstance(message, str)
    assert "cannot be opened for writing (Permission denied)" in message


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    path = tmp_path / "gradebook.db"
    with Gradebook.open(path) as book:
        for number in range(3):
            record(book, f"s{number:03}", detail="d" * 20_000)
        with book._engine.connect() as connection:  # the pool keeps this connection, and so the limit
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            room = connection.exec_driver_sql("PRAGMA max_page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {room + 10}")

        def fill() -> None:
            for number in range(3, 100):
                record(book, f"s{number:03}", detail="d" * 20_000)

        message = line_of(fill)
        assert message.startswith(f"{path}: the disk is full")
        assert "it continues" in message
        kept = [report.student for report in book.latest("bptt")]
        assert kept[:3] == ["s000", "s001", "s002"]
    assert students_in(path) == kept


def test_a_lock_that_is_held_too_long_is_told(tmp_path):
    path = tmp_path / "gradebook.db"
    with Gradebook.open(path, wait_seconds=0.2) as book:
        record(book, "s001")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        message = line_of(lambda: record(book, "s002"))
        assert message.startswith(f"{path}: another program keeps the gradebook locked")
        assert [report.student for report in book.latest("bptt")] == ["s001"]  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        record(book, "s002")
    assert students_in(path) == ["s001", "s002"]


def test_opening_waits_for_a_writer(tmp_path):
    path = tmp_path / "gradebook.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert "locked" in line_of(lambda: Gradebook.open(path, wait_seconds=0.1))
    holder.execute("ROLLBACK")
    holder.close()
    assert students_in(path) == []


def test_ctrl_c_in_the_middle_leaves_no_half_report(tmp_path, monkeypatch):
    from grader.gradebook import rows

    path = tmp_path / "gradebook.db"
    with Gradebook.open(path) as book:
        record(book, "s001")

        def interrupted(*_: object, **__: object) -> bool:
            raise KeyboardInterrupt

        monkeypatch.setattr(rows, "put_report", interrupted)
        with pytest.raises(KeyboardInterrupt):
            record(book, "s002")
        monkeypatch.undo()
        assert book.attempts("bptt", "s002") == []
        record(book, "s003")
    assert students_in(path) == ["s001", "s003"]


def test_damaged_stored_files_are_told(tmp_path):
    path = tmp_path / "gradebook.db"
    with Gradebook.open(path) as book:
        record(book, "s001")
        with sqlite3.connect(path) as other:
            other.execute("UPDATE submissions SET files = x'00'")
        other.close()
        message = line_of(lambda: book.stored_submission_files("bptt", "s001"))
    assert "the stored files of 's001' for bptt are damaged" in message


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://host/book", "cannot be kept in 'mysql'"),
        ("://", "URL cannot be read"),
        ("nonsense://x:y:z/", "cannot be"),
    ],
)
def test_a_url_that_cannot_hold_a_gradebook_is_told(target, said):
    assert said in line_of(lambda: Gradebook.open(target))


def test_a_folder_is_no_gradebook(tmp_path):
    assert "is a folder" in line_of(lambda: Gradebook.open(tmp_path))


def test_an_sqlite_url_names_the_same_file_as_its_path(tmp_path):
    path = tmp_path / "a folder" / "gradebook.db"
    with Gradebook.open(f"sqlite:///{path}") as book:
        record(book, "s001")
    assert students_in(path) == ["s001"]


def run_without(module: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules[{module!r}] = None\n{code}"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("module", "target", "extra"),
    [
        ("sqlalchemy", "book.db", "unrolled[instructor]"),
        ("psycopg", "postgresql://host/book", "unrolled[postgresql]"),
    ],
)
def test_a_missing_library_is_named_with_what_installs_it(module, target, extra):
    done = run_without(
        module,
        "from grader.errors import GradebookError\n"
        "from grader.gradebook import Gradebook\n"
        f"try: Gradebook.open({target!r})\n"
        "except GradebookError as error: print(error)",
    )
    assert done.returncode == 0, done.stderr
    assert extra in done.stdout
    assert done.stdout.count("\n") == 1


def test_importing_the_gradebook_loads_no_database_library():
    done = run_without("nothing", "import grader.gradebook\nprint('sqlalchemy' in sys.modules)")
    assert done.stdout == "False\n", done.stderr
