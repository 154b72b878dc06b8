"""What several test files share: a tiny course, and the command line run as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalog import Course
from grader.course.mutants import apply_mutant, load_mutants
from grader.course.skeleton import new_assignment
from grader.course.stub import derive_stub

TINY = "leaky"
# another course, state folder or pytest configuration of whoever runs the tests must not leak in
STRANGE = ("GRADER_COURSE", "GRADER_STATE", "XDG_STATE_HOME", "PYTEST_ADDOPTS", "PYTHONPATH", "COLUMNS", "FORCE_COLOR")
# what differs between two gradings of the same thing
MEASURED = ("cpu_seconds", "peak_mb")

# A shell starts what it puts in the background with Ctrl-C ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Told:
    """What a run of the command line said: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """Return the one line that tells the error; fail where there is another number of them, or a traceback."""
        assert "Traceback" not in self.out + self.err, self.err
        found = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert len(found) == 1, f"not one line that tells the error, exit code {self.code}:\n{self.err}\n{self.out}"
        return found[0].removeprefix("Error: ")

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Return standard output as JSON lines; every line must be one object."""
        found = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(one, dict) for one in found)
        return found


@dataclass(frozen=True)
class TinyCourse:
    """A course of one assignment of four hidden checks, with every generated file in place."""

    root: Path

    @property
    def course(self) -> Course:
        """Return the course."""
        return Course(self.root, self.root / ".grader")

    @property
    def assignment(self) -> Any:
        """Return its assignment."""
        return self.course.assignment(TINY)

    @property
    def folder(self) -> Path:
        """Return what students get."""
        return self.root / "assignments" / TINY

    @property
    def secret(self) -> Path:
        """Return the folder of the solutions."""
        return self.root / "solutions" / TINY

    @property
    def reference(self) -> str:
        """Return the reference's source."""
        return (self.secret / f"{TINY}.py").read_text(encoding="utf-8")

    @property
    def twin(self) -> str:
        """Return the source of the twin."""
        return next((self.secret / "twins").glob("*.py")).read_text(encoding="utf-8")

    @property
    def stub(self) -> str:
        """Return the untouched stub."""
        return derive_stub(self.reference, f"{TINY}.py")

    def mutant(self, name: str) -> str:
        """Return the source of a mutant."""
        return apply_mutant(next(m for m in load_mutants(self.assignment) if m.id == name), self.reference)

    def hint(self, name: str) -> str:
        """Return the hint of a mutant."""
        return next(m for m in load_mutants(self.assignment) if m.id == name).hint

    def sources(self) -> dict[str, str]:
        """Return the reference, the twin, the stub and all mutants by name."""
        found = {"reference": self.reference, "twin": self.twin, "stub": self.stub}
        return found | {m.id: apply_mutant(m, self.reference) for m in load_mutants(self.assignment)}

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text in one file of the two folders; fail where it does not stand there exactly once."""
        path = self.folder / name if (self.folder / name).is_file() else self.secret / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def hand_in(self, folder: Path, work: Mapping[str, str | bytes], name: str = f"{TINY}.py") -> Path:
        """Write `folder/<student>/<name>` for every student and return the folder."""
        for student, content in work.items():
            place = folder / student
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what would change a run, plus `extra`."""
    kept = {key: value for key, value in os.environ.items() if key not in STRANGE}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})}


def command(*arguments: str | Path) -> list[str]:
    """Return the command line that runs the grader in a process of its own."""
    # -P: the folder that the tests stand in must not shadow anything
    return [sys.executable, "-P", "-m", "grader", *map(str, arguments)]


def told(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], seconds: float = 120) -> Told:
    """Run a process to its end and return what it said."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL)
    return Told(done.returncode, done.stdout.decode(), done.stderr.decode())


def succeeds(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
    """Run a process that must end with 0."""
    done = told(argv, cwd=cwd, env=env)
    assert done.code == 0, done.err


@pytest.fixture(scope="session")
def _tiny_original(tmp_path_factory: pytest.TempPathFactory) -> TinyCourse:
    """Lay the tiny course once: skeleton, generated files, preview, and the mutants' answers in its cache."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "assignments").mkdir()
    tiny = TinyCourse(root)
    new_assignment(tiny.course, TINY)
    env = clean_environment({"GRADER_COURSE": str(root)})
    succeeds(command("build", TINY), cwd=root, env=env)
    # one grade of something wrong leaves the mutants' answers in the cache, for every later test
    tiny.hand_in(root / "warm", {"s000": tiny.mutant("keeps_everything")})
    succeeds(command("grade", TINY, root / "warm", "--gradebook", root / "warm.db"), cwd=root, env=env)
    shutil.rmtree(root / "warm")
    (root / "warm.db").unlink()
    return tiny


@pytest.fixture
def tiny(_tiny_original: TinyCourse, tmp_path: Path) -> TinyCourse:
    """A tiny course of this test's own, which it may edit."""
    root = tmp_path / "course"
    shutil.copytree(_tiny_original.root, root, symlinks=True)
    return TinyCourse(root)


@pytest.fixture(scope="module")
def shared_tiny(_tiny_original: TinyCourse) -> TinyCourse:
    """The tiny course that all tests share: it must not be edited, and its gradebook is not used."""
    return _tiny_original


Grader = Callable[..., Told]


@pytest.fixture
def grader(tiny: TinyCourse, tmp_path: Path) -> Grader:
    """Run the command line in a real process, on the test's tiny course."""

    def run(
        *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, seconds: float = 120
    ) -> Told:
        return told(
            command(*arguments),
            cwd=cwd or tmp_path,
            env=clean_environment({"GRADER_COURSE": str(tiny.root), **(env or {})}),
            seconds=seconds,
        )

    return run


@pytest.fixture
def inside(
    tiny: TinyCourse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Grader:
    """Run the command line in this process, on the test's tiny course: the same code, without a start-up."""
    from grader.cli.main import run as run_command_line

    for name in STRANGE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADER_COURSE", str(tiny.root))

    def run(*arguments: str | Path, cwd: Path | None = None) -> Told:
        monkeypatch.chdir(cwd or tmp_path)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command_line([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Told(int(ended.value.code or 0), out, err)

    return run


def book_content(path: Path, *, measured: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Return all that a gradebook says, without what differs from run to run.

    For every student the attempts (with their files) and every grading of them, in order, without row numbers,
    run ids and moments; CPU seconds and memory too are left out unless `measured`.
    """
    from grader.checking.report import as_dict
    from grader.gradebook.store import Gradebook

    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as raw:
        pairs = raw.execute(
            "SELECT DISTINCT s.student, u.assignment FROM submissions u JOIN students s ON s.id = u.student_id"
        ).fetchall()
    found: dict[str, list[dict[str, Any]]] = {}
    with Gradebook.open(path) as book:
        for student, assignment in sorted(pairs):
            attempts = [
                {"attempt": a.number, "sha256": a.sha256, "problem": a.problem, "set_aside": a.set_aside}
                | {"files": book.stored_submission_files(assignment, student, a.sha256)}
                for a in book.attempts(assignment, student)
            ]
            gradings = []
            for grading in book.history(assignment, student):
                report = as_dict(grading.report)
                if not measured:
                    report = {key: value for key, value in report.items() if key not in MEASURED}
                gradings.append(
                    {"attempt": grading.attempt, "current": grading.is_current, "override": grading.seed_override}
                    | {"report": report}
                )
            found[f"{assignment}/{student}"] = [*attempts, *gradings]
    return found


@pytest.fixture(scope="session")
def content() -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """Read a gradebook as plain data; see `book_content`."""
    return book_content


@dataclass(frozen=True)
class GradedClass:
    """A small class that is graded already: where it lies, its gradebook, and what that said."""

    submissions: Path
    book: Path
    before: dict[str, list[dict[str, Any]]]

    def assert_intact(self) -> None:
        """Fail where the gradebook no longer says what it said."""
        assert book_content(self.book, measured=True) == self.before


@pytest.fixture(scope="session")
def _graded_original(_tiny_original: TinyCourse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graded")
    wrong = _tiny_original.mutant("keeps_everything")
    _tiny_original.hand_in(folder / "subs", {"s001": _tiny_original.reference, "s002": wrong})
    env = clean_environment({"GRADER_COURSE": str(_tiny_original.root)})
    succeeds(command("grade", TINY, folder / "subs", "--gradebook", folder / "grades.db"), cwd=folder, env=env)
    return folder


@pytest.fixture
def graded(_graded_original: Path, tiny: TinyCourse, tmp_path: Path) -> GradedClass:
    """A class of two (one right, one wrong) that is graded already in `tmp_path/graded/grades.db`."""
    folder = tmp_path / "graded"
    shutil.copytree(_graded_original, folder)
    book = folder / "grades.db"
    before = book_content(book, measured=True)
    assert len(before) == 2
    return GradedClass(folder / "subs", book, before)


class Processes:
    """How tests start processes of their own: see the functions of the same names."""

    command = staticmethod(command)
    clean_environment = staticmethod(clean_environment)
    told = staticmethod(told)

    @staticmethod
    def in_mount_namespace(script: str, *arguments: str | Path) -> list[str]:
        """Return the command that runs a shell script in a mount namespace of its own; skip where none may be made."""
        if shutil.which("unshare") is None:
            pytest.skip("there is no `unshare` on this machine")
        prefix = ["unshare", "--mount", "--propagation", "private"]
        if os.geteuid() != 0:
            prefix[1:1] = ["--user", "--map-root-user"]
        probe = subprocess.run([*prefix, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
        if probe.returncode:
            pytest.skip(f"no mount namespace may be made here: {probe.stderr.decode().strip()}")
        return [*prefix, "sh", "-ec", script, "sh", *map(str, arguments)]


@pytest.fixture(scope="session")
def processes() -> Processes:
    """Give what a test needs to start processes of its own."""
    return Processes()


# --- PostgreSQL ------------------------------------------------------------------------------------------


def _program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the URL of a PostgreSQL server: the one that UNROLLED_TEST_POSTGRES names, or one started here."""
    pytest.importorskip("psycopg", reason="psycopg 3 is not installed")
    if given_url := os.environ.get("UNROLLED_TEST_POSTGRES"):
        yield given_url.rstrip("/")  # without a database: postgresql://user@host:port
        return
    initdb, program = _program("initdb"), _program("postgres")
    if initdb is None or program is None:
        pytest.skip("no PostgreSQL server is installed")
    # PostgreSQL refuses to run as root, and pytest's folders are closed to everyone else.
    as_whom: dict[str, Any] = {"user": "nobody", "group": 65534, "extra_groups": ()} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="unrolled-postgres-"))
    if as_whom:
        shutil.chown(folder, "nobody")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    running = None
    try:
        subprocess.run(
            [initdb, "-D", folder / "data", "-U", "grader", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            **quiet,
            **as_whom,
        )
        options = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
        # The shell waits for its input to end, so that the server ends with pytest even if pytest is killed.
        running = subprocess.Popen(
            ["sh", "-c", '"$@" & read _; kill -INT $!; wait', "sh", program, "-D", folder / "data"]
            + [part for option in options for part in ("-c", option)],
            stdin=subprocess.PIPE,
            **quiet,
            **as_whom,
        )
        url = f"postgresql://grader@127.0.0.1:{port}"
        _wait_for(url)
        yield url
    finally:
        if running is not None:
            assert running.stdin is not None
            running.stdin.close()
            running.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(f"{url}/postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    pytest.skip("PostgreSQL does not start here")
