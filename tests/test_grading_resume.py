"""A run that is killed, interrupted or loses a process: nothing is lost, nothing doubled, nothing left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from grader.course.catalog import Course
from grader.course.mutants import apply_mutant, load_mutants

if sys.platform != "linux":
    pytest.skip("processes are followed through /proc", allow_module_level=True)

SIZE = 200  # the class that is killed in the middle
FEW = 40  # enough to have something running whenever a process is killed
FULL = "UNROLLED_FULL" in os.environ
PATIENCE = 1200 if FULL else 60  # seconds for a step of a run, on a machine that is busy with other things
PR_SET_CHILD_SUBREAPER = 36
GRADED = re.compile(r"(\d+)/\d+ s\d+: ")

Content = dict[str, list[dict[str, Any]]]


# --- processes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it."""

    pid: int
    parent: int
    state: str
    line: str

    def kill(self) -> None:
        """Kill it; it may be gone already."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def all_processes() -> list[Process]:
    """Return all processes."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            after_name = (folder / "stat").read_text().rpartition(") ")[2].split()
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            continue  # it has just ended
        found.append(Process(int(folder.name), int(after_name[1]), after_name[0], line))
    return found


def below(pid: int) -> list[Process]:
    """Return the living descendants of a process, parents before children."""
    children: dict[int, list[Process]] = {}
    for process in all_processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [pid]
    while queue:
        for child in children.get(queue.pop(0), []):
            queue.append(child.pid)
            found.append(child)
    return [process for process in found if process.state != "Z"]


def eventually(find: Callable[[], Any], what: str) -> Any:
    """Return what `find` finds, once it does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := find():
            return found
        time.sleep(0.005)
    raise AssertionError(f"it did not come to this: {what}")


@dataclass
class Run:
    """A run of `grader grade` in the background."""

    process: subprocess.Popen[str]
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        def read() -> None:
            assert self.process.stderr is not None
            for line in self.process.stderr:
                self.told.append(line)

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()

    @property
    def graded(self) -> int:
        """Return how many reports it has told so far."""
        return max((int(found[1]) for line in list(self.told) if (found := GRADED.match(line))), default=0)

    def wait_for(self, reports: int) -> None:
        """Wait until so many reports are told."""
        eventually(lambda: self.graded >= reports or self.process.poll() is not None, f"{reports} reports")
        assert self.process.poll() is None, "it was over before the test could disturb it:\n" + "".join(self.told)

    def host(self) -> Process:
        """Return its examiner host, once there is one."""

        def find() -> Process | None:
            found = [p for p in below(self.process.pid) if p.parent == self.process.pid]
            return next((p for p in found if "grader.checking.host" in p.line), None)

        return eventually(find, "an examiner host is running")

    def examiners(self) -> list[Process]:
        """Return the examiners that its host has forked."""
        host = self.host()
        return [p for p in below(host.pid) if p.parent == host.pid and p.line == host.line]

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        code = self.process.wait(PATIENCE * 3)
        self._reader.join(PATIENCE)
        return code

    @property
    def words(self) -> str:
        """Return what it said on standard error."""
        return "".join(self.told)


@pytest.fixture
def leftovers() -> Iterator[Callable[[], list[str]]]:
    """Make this process the heir of what its children leave behind; return how to list what is still running."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    me = os.getpid()
    before = {process.pid for process in below(me)}

    def still_there() -> list[Process]:
        for process in all_processes():
            if process.parent == me and process.state == "Z" and process.pid not in before:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
        return [process for process in below(me) if process.pid not in before]

    def after_a_while() -> list[str]:
        end = time.monotonic() + 10
        while still_there() and time.monotonic() < end:
            time.sleep(0.02)
        return [f"{process.pid} (child of {process.parent}): {process.line}" for process in still_there()]

    yield after_a_while
    for process in still_there():
        process.kill()
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


# --- classes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Class:
    """A class to be graded: its course, its folder, and how to grade it."""

    assignment: str
    folder: Path
    env: dict[str, str]
    command: Callable[..., list[str]]
    content: Callable[..., Content]

    def start(self, book: Path, *options: str, students: Path | None = None) -> Run:
        """Start grading it in a process group of its own."""
        argv = self.command("grade", self.assignment, students or self.folder, "--gradebook", book, *options)
        return Run(
            subprocess.Popen(
                argv,
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )

    def finish(self, book: Path, *options: str, students: Path | None = None) -> str:
        """Grade it to the end and return what was said."""
        run = self.start(book, *options, students=students)
        assert run.end() == 0, run.words
        assert "Traceback" not in run.words
        return run.words


def hand_in(folder: Path, sources: list[str], module: str, size: int) -> None:
    """Write a class in which student n and student n + len(sources) hand in the same bytes, for even rounds n."""
    for n in range(size):
        place = folder / f"s{n:03d}"
        place.mkdir(parents=True)
        variant = n // len(sources) // 2
        (place / module).write_text(f"{sources[n % len(sources)]}\n# draft {variant}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def few(shared_tiny, processes, content, tmp_path_factory) -> Class:
    """A class of forty of the tiny course."""
    folder = tmp_path_factory.mktemp("few") / "class"
    hand_in(folder, list(shared_tiny.sources().values()), "leaky.py", FEW)
    env = processes.clean_environment({"GRADER_COURSE": str(shared_tiny.root)})
    return Class("leaky", folder, env, processes.command, content)


@pytest.fixture(scope="module")
def few_undisturbed(few, tmp_path_factory) -> Content:
    """The gradebook of the class of forty after a run that nothing disturbed."""
    book = tmp_path_factory.mktemp("undisturbed") / "grades.db"
    few.finish(book)
    found = few.content(book)
    assert len(found) == FEW
    return found


SLOW_CLASS = pytest.mark.skipif(not FULL, reason="takes minutes: set UNROLLED_FULL=1")


@pytest.fixture(params=["leaky", pytest.param("bptt", marks=SLOW_CLASS)])
def whole_class(request, shared_tiny, processes, content, tmp_path) -> Class:
    """A class of two hundred made from mutants, twins, stub and reference."""
    if request.param == "leaky":
        root, sources = shared_tiny.root, list(shared_tiny.sources().values())
    else:
        root = Path(__file__).parents[1]
        assignment = Course(root, tmp_path / "state").assignment("bptt")
        reference = (assignment.secret / assignment.module).read_text(encoding="utf-8")
        twins = [path.read_text(encoding="utf-8") for path in sorted((assignment.secret / "twins").glob("*.py"))]
        mutants = [apply_mutant(m, reference) for m in load_mutants(assignment)]
        sources = [reference, *twins, (assignment.folder / assignment.module).read_text(), *mutants][: SIZE * 3 // 4]
    hand_in(tmp_path / "class", sources, f"{request.param}.py", SIZE)
    env = processes.clean_environment({"GRADER_COURSE": str(root)})
    if request.param == "bptt":
        env["GRADER_STATE"] = str(tmp_path / "state")
    return Class(request.param, tmp_path / "class", env, processes.command, content)


def assert_each_once(content: Content, size: int) -> None:
    """Fail unless every student has one attempt and one report, which counts."""
    assert len(content) == size
    for student, rows in content.items():
        assert [row.get("attempt") for row in rows] == [1, 1], student
        assert rows[1]["current"], student
        assert rows[1]["report"]["outcome"] == "graded", student


# --- the run itself --------------------------------------------------------------------------------------------------


def test_killed_run_is_continued(whole_class, leftovers, tmp_path):
    """SIGKILL in the middle, then the same command: it goes on, and the result is that of an undisturbed run."""
    undisturbed = tmp_path / "undisturbed.db"
    whole_class.finish(undisturbed)
    book = tmp_path / "grades.db"
    run = whole_class.start(book)
    run.wait_for(SIZE // 3)
    assert len(below(run.process.pid)) >= 4, "a host, an examiner, a box and a worker are running"
    run.process.kill()
    assert run.end() == -signal.SIGKILL
    assert leftovers() == []
    held = whole_class.content(book)
    assert run.graded <= len(held) < SIZE
    assert_each_once(held, len(held))

    words = whole_class.finish(book)
    assert f"{len(held)} of {SIZE} graded already" in words
    assert len(GRADED.findall(words)) == SIZE - len(held), "nothing is graded twice"
    content = whole_class.content(book)
    assert_each_once(content, SIZE)
    assert content == whole_class.content(undisturbed)

    # students with the same bytes have the same grade each
    by_work: dict[str, set[str]] = {}
    for rows in content.values():
        grade = repr([(c["id"], c["outcome"], c["hint"]) for c in rows[1]["report"]["checks"]])
        by_work.setdefault(rows[0]["sha256"], set()).add(grade)
    assert len(by_work) < SIZE
    assert all(len(grades) == 1 for grades in by_work.values())
    assert f"{SIZE} of {SIZE} graded already" in whole_class.finish(book)
    assert leftovers() == []


def test_killed_at_any_moment(few, few_undisturbed, shared_tiny, leftovers, tmp_path):
    """Killed again and again, a little later each time and with the mutants' answers yet to be recorded."""
    course = tmp_path / "course"
    shutil.copytree(shared_tiny.root, course, symlinks=True)
    for cached in (course / ".grader" / "cache").iterdir():
        cached.unlink()
    mine = Class(few.assignment, few.folder, {**few.env, "GRADER_COURSE": str(course)}, few.command, few.content)
    book = tmp_path / "grades.db"
    killed = 0
    for delay in (0.1, 0.35, 0.5, 0.65, 0.8, 0.95, 1.1, 1.3, 1.6):
        run = mine.start(book)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(delay)
        killed += run.process.poll() is None
        run.process.kill()
        assert run.end() in (0, -signal.SIGKILL), run.words
        assert leftovers() == []
    assert killed >= 5
    mine.finish(book)
    assert mine.content(book) == few_undisturbed


def test_work_that_changed_meanwhile(few, few_undisturbed, leftovers, tmp_path):
    """What is handed in anew between the kill and the second run is another attempt; the rest stays as it is."""
    students = tmp_path / "class"
    shutil.copytree(few.folder, students)
    book = tmp_path / "grades.db"
    run = few.start(book, "--jobs", "1", students=students)
    run.wait_for(5)
    run.process.kill()
    run.end()
    assert leftovers() == []
    (students / "s001" / "leaky.py").write_bytes((students / "s000" / "leaky.py").read_bytes())
    few.finish(book, students=students)
    content = few.content(book)
    first, second, old, new = content.pop("leaky/s001")
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert (old["attempt"], old["current"]) == (1, False)
    assert (new["attempt"], new["current"], new["report"]["earned"]) == (2, True, 100)
    expected = {student: rows for student, rows in few_undisturbed.items() if student != "leaky/s001"}
    assert content == expected


# --- parts of it -----------------------------------------------------------------------------------------------------


def test_host_that_is_killed_is_replaced(few, few_undisturbed, leftovers, tmp_path):
    """When the examiner host dies, the run starts another and goes on by itself."""
    book = tmp_path / "grades.db"
    run = few.start(book)
    run.wait_for(FEW // 3)
    first = run.host()
    first.kill()
    second = eventually(lambda: (found := run.host()).pid != first.pid and found, "another host is running")
    run.wait_for(FEW // 2)
    second.kill()
    assert run.end() == 0, run.words
    assert "Traceback" not in run.words
    assert leftovers() == []
    assert few.content(book) == few_undisturbed


def test_host_that_dies_again_and_again(few, few_undisturbed, leftovers, tmp_path):
    """A host that never lasts ends the run with one line; what was graded is kept, and the command goes on later."""
    book = tmp_path / "grades.db"
    run = few.start(book, "--jobs", "1")
    run.wait_for(3)
    killed: set[int] = set()
    while run.process.poll() is None:
        for process in below(run.process.pid):
            if process.parent == run.process.pid and process.pid not in killed:
                process.kill()
                killed.add(process.pid)
        time.sleep(0.01)
    assert run.end() == 1
    errors = [line for line in run.told if line.startswith("Error: ")]
    assert len(errors) == 1, run.words
    assert "examiner" in errors[0]
    assert "Traceback" not in run.words
    assert len(killed) < 10, "it gives up"
    assert leftovers() == []
    held = few.content(book)
    assert 3 <= len(held) < FEW
    few.finish(book)
    assert few.content(book) == few_undisturbed


def test_examiner_that_is_killed_is_tried_again(few, few_undisturbed, leftovers, tmp_path):
    """An examiner that dies costs nobody anything: its submission is examined again."""
    book = tmp_path / "grades.db"
    run = few.start(book)
    hit = 0
    for wanted in (FEW // 4, FEW // 3, FEW // 2):
        run.wait_for(wanted)
        examiner = eventually(run.examiners, "an examiner is running")[0]
        examiner.kill()
        hit += 1
    assert run.end() == 0, run.words
    assert hit == 3
    assert leftovers() == []
    assert few.content(book) == few_undisturbed


SLOW = """
import time

_quick = step

def step(x, h, a):
    time.sleep(4)
    return _quick(x, h, a)
"""


def test_worker_that_is_killed_costs_the_running_check(few, few_undisturbed, shared_tiny, leftovers, tmp_path):
    """A worker that the system kills costs its student the running check, by name, and nobody else anything."""
    students = tmp_path / "class"
    for name in ("s000", "s001", "s002"):
        shutil.copytree(few.folder / name, students / name)
    (students / "s001" / "leaky.py").write_text(shared_tiny.reference + SLOW)
    book = tmp_path / "grades.db"
    run = few.start(book, "--jobs", "1", students=students)
    run.wait_for(1)

    time.sleep(1)  # into the call
    # the worker is the one process of the box that has nothing below itself
    found = below(run.process.pid)
    parents = {process.parent for process in found}
    inside = [process for process in found if "zygote" in process.line and process.pid not in parents]
    assert len(inside) == 1
    inside[0].kill()
    assert run.end() == 0, run.words
    assert leftovers() == []
    content = few.content(book)
    for name in ("leaky/s000", "leaky/s002"):
        assert content[name] == few_undisturbed[name]
    report = content["leaky/s001"][1]["report"]
    assert (report["outcome"], report["earned"]) == ("graded", 60)
    lost = [check for check in report["checks"] if check["outcome"] != "passed"]
    assert [check["id"] for check in lost] == ["test_step"]
    assert list(lost[0]["facts"]) == ["the process was stopped by the system, most likely for memory"]


# --- two at once, and Ctrl-C -----------------------------------------------------------------------------------------


def test_two_graders_on_one_gradebook(few, few_undisturbed, leftovers, tmp_path):
    """Two runs on the same class and gradebook at the same time: both succeed, nothing is lost or doubled."""
    book = tmp_path / "grades.db"
    runs = [few.start(book, "--jobs", "1") for _ in range(2)]
    for run in runs:
        assert run.end() == 0, run.words
        assert "Traceback" not in run.words
    # they really overlapped: neither found everything done by the other
    assert all(run.graded for run in runs)
    assert leftovers() == []
    assert few.content(book) == few_undisturbed


def test_two_graders_on_two_halves(few, few_undisturbed, tmp_path):
    """Two runs may also share a class between them."""
    halves = [tmp_path / "one", tmp_path / "other"]
    for n, student in enumerate(sorted(few.folder.iterdir())):
        shutil.copytree(student, halves[n % 2] / student.name)
    book = tmp_path / "grades.db"
    runs = [few.start(book, "--jobs", "1", students=half) for half in halves]
    assert [run.end() for run in runs] == [0, 0]
    assert few.content(book) == few_undisturbed


@pytest.mark.parametrize("whom", ["the process", "its whole group"])
def test_interrupt_keeps_what_is_done(few, few_undisturbed, leftovers, tmp_path, whom):
    """Ctrl-C ends with 130 and a word, at once; the same command then goes on."""
    book = tmp_path / "grades.db"
    run = few.start(book)
    run.wait_for(FEW // 4)
    pressed = time.monotonic()
    if whom == "the process":
        run.process.send_signal(signal.SIGINT)
    else:  # what a terminal does
        os.killpg(run.process.pid, signal.SIGINT)
    assert run.end() == 130
    assert time.monotonic() - pressed < 5
    assert run.told[-1] == "Interrupted. What was finished is kept.\n"
    assert "Traceback" not in run.words
    assert leftovers() == []
    held = few.content(book)
    assert run.graded <= len(held) < FEW
    assert f"{len(held)} of {FEW} graded already" in few.finish(book)
    assert few.content(book) == few_undisturbed


def test_interrupt_at_any_moment(few, leftovers, tmp_path):
    """Ctrl-C while the host comes up, twice in a row, or late: never a traceback, never a process left behind."""
    for number, delay in enumerate((0.0, 0.15, 0.3, 0.45, 0.6)):
        run = few.start(tmp_path / f"{number}.db")
        run.host()
        time.sleep(delay)
        os.killpg(run.process.pid, signal.SIGINT)
        if number % 2:
            time.sleep(0.02)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGINT)
        assert run.end() == 130, run.words
        assert "Traceback" not in run.words
        assert leftovers() == []


def test_box_that_is_killed_costs_nobody_anything(few, few_undisturbed, shared_tiny, leftovers, tmp_path):
    """When the sandbox as a whole is killed, what was running in it is not held against the student."""
    students = tmp_path / "class"
    for name in ("s000", "s001"):
        shutil.copytree(few.folder / name, students / name)
    (students / "s000" / "leaky.py").write_text(shared_tiny.reference + SLOW)
    book = tmp_path / "grades.db"
    run = few.start(book, "--jobs", "1", students=students)
    host = run.host()
    eventually(run.examiners, "an examiner is running")
    time.sleep(1)  # into the call
    for process in below(host.pid):
        if process.parent == host.pid and process.line != host.line:
            process.kill()
    assert run.end() == 0, run.words
    assert leftovers() == []
    content = few.content(book)
    assert content["leaky/s000"][-1]["report"]["earned"] == 100
    assert content["leaky/s001"] == few_undisturbed["leaky/s001"]
